//! What a refusal means to who asked for footage (RFC 2326 section 11.3).

use std::time::Duration;

use dvrgate_model::{Error, ErrorKind, Fault, Retry};

use crate::message::{Method, Response};

/// Slots of recorders become free this long after a TEARDOWN.
const AGAIN: Duration = Duration::from_secs(2);

/// The error for an answer that is not a success.
pub(super) fn refused(method: &Method, response: &Response) -> Error {
    let status = response.status;
    let kind = match status.0 {
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::PermissionDenied,
        404 | 410 => ErrorKind::NotFound,
        453 | 503 => ErrorKind::Busy,
        // The session is gone or in another state: a new one can do it.
        454 | 455 => ErrorKind::Conflict,
        400 | 451 | 456 | 457 => ErrorKind::InvalidArgument,
        405 | 461 | 501 | 505 | 551 => ErrorKind::Unsupported,
        408 | 504 => ErrorKind::Timeout,
        _ => ErrorKind::Malformed,
    };
    let error = Error::new(kind, format!("the recorder answered {} {}", status.0, status.reason()))
        .with_fault(Fault::Device)
        .with("method", method);
    if kind == ErrorKind::Conflict { error.with_retry(Retry::Later(AGAIN)) } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Status;

    #[test]
    fn refusals_keep_their_meaning() {
        for (status, kind) in [
            (401, ErrorKind::Unauthenticated),
            (403, ErrorKind::PermissionDenied),
            (404, ErrorKind::NotFound),
            (453, ErrorKind::Busy),
            (454, ErrorKind::Conflict),
            (457, ErrorKind::InvalidArgument),
            (504, ErrorKind::Timeout),
            (551, ErrorKind::Unsupported),
            (500, ErrorKind::Malformed),
        ] {
            let e = refused(&Method::Play, &Response::new(Status(status)));
            assert_eq!((e.kind(), e.fault()), (kind, Fault::Device), "{status}");
        }
        let gone = refused(&Method::Play, &Response::new(Status(454)));
        assert!(matches!(gone.retry(), Retry::Later(_)));
    }
}
