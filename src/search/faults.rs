//! The faults of the search service (the tables of R6.5 to R6.15).

use dvrgate_model::{Error, ErrorKind};
use dvrgate_soap::{Call, Fault};

/// An unknown, ended or foreign token: R6.5-2, R6.6-4, R6.7-5, R6.8-6, R6.10-2, R6.15-4.
pub fn invalid_token(what: &str) -> Fault {
    Fault::invalid_value("InvalidToken", format!("{what} is not known here"))
}

/// An unknown source in a scope: R6.7-6.
pub fn invalid_source(token: &str) -> Fault {
    Fault::invalid_value("InvalidSource", format!("no recording has the source {token:?}"))
}

/// A filter that is not of the dialect, in FindEvents: R6.9-10.
pub fn invalid_filter(why: impl std::fmt::Display) -> Fault {
    Fault::invalid_value("InvalidFilterFault", format!("the filter is not understood: {why}"))
}

/// The same elsewhere: R6.18-9.
pub fn invalid_argument(why: impl std::fmt::Display) -> Fault {
    Fault::sender("InvalidArgVal", format!("the filter is not understood: {why}"))
}

/// An error of the session table: R6.7-7, R6.9-11.
pub fn of_session(call: &Call, error: &Error) -> Fault {
    match error.kind() {
        ErrorKind::LimitExceeded => {
            Fault::receiver("Action", error.message()).and("ResourceProblem")
        }
        ErrorKind::NotFound => invalid_token("the search token"),
        _ => call.fault(error),
    }
}
