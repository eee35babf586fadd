//! Errors to exit codes.

use dvrgate_model::{Error, ErrorKind, Fault};

/// 2 where the person who typed must change something, else 1.
pub fn exit_code(error: &Error) -> u8 {
    match (error.kind(), error.fault()) {
        (ErrorKind::InvalidArgument | ErrorKind::NotFound, Fault::Client) => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code() {
        use ErrorKind::*;
        for kind in [
            InvalidArgument,
            NotFound,
            Unauthenticated,
            PermissionDenied,
            Unsupported,
            NotImplemented,
            Busy,
            RateLimited,
            Unreachable,
            Timeout,
            Malformed,
            Damaged,
            LimitExceeded,
            Conflict,
            Cancelled,
            Internal,
        ] {
            let want = if matches!(kind, InvalidArgument | NotFound) { 2 } else { 1 };
            assert_eq!(exit_code(&Error::new(kind, "")), want, "{kind:?}");
        }
    }
}
