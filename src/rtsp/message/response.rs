//! Responses and status codes (RFC 2326 section 7).

use bytes::Bytes;
use dvrgate_model::{Error, ErrorKind, Fault};

use super::Fields;

/// A status code.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Status(pub u16);

#[allow(missing_docs)] // the names are RFC 2326's own, section 7.1.1
impl Status {
    pub const OK: Status = Status(200);
    pub const BAD_REQUEST: Status = Status(400);
    pub const UNAUTHORIZED: Status = Status(401);
    pub const FORBIDDEN: Status = Status(403);
    pub const NOT_FOUND: Status = Status(404);
    pub const METHOD_NOT_ALLOWED: Status = Status(405);
    pub const NOT_ACCEPTABLE: Status = Status(406);
    pub const REQUEST_TIMEOUT: Status = Status(408);
    pub const ENTITY_TOO_LARGE: Status = Status(413);
    pub const PARAMETER_NOT_UNDERSTOOD: Status = Status(451);
    pub const NOT_ENOUGH_BANDWIDTH: Status = Status(453);
    pub const SESSION_NOT_FOUND: Status = Status(454);
    pub const METHOD_NOT_VALID: Status = Status(455);
    pub const HEADER_NOT_VALID: Status = Status(456);
    pub const INVALID_RANGE: Status = Status(457);
    pub const AGGREGATE_NOT_ALLOWED: Status = Status(459);
    pub const ONLY_AGGREGATE: Status = Status(460);
    pub const UNSUPPORTED_TRANSPORT: Status = Status(461);
    pub const INTERNAL: Status = Status(500);
    pub const NOT_IMPLEMENTED: Status = Status(501);
    pub const BAD_GATEWAY: Status = Status(502);
    pub const UNAVAILABLE: Status = Status(503);
    pub const GATEWAY_TIMEOUT: Status = Status(504);
    pub const VERSION: Status = Status(505);
    pub const OPTION_NOT_SUPPORTED: Status = Status(551);
}

impl Status {
    /// 2xx.
    pub fn is_success(self) -> bool {
        (200..300).contains(&self.0)
    }

    /// The usual reason phrase.
    pub fn reason(self) -> &'static str {
        match self.0 {
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            406 => "Not Acceptable",
            408 => "Request Time-out",
            413 => "Request Entity Too Large",
            451 => "Parameter Not Understood",
            453 => "Not Enough Bandwidth",
            454 => "Session Not Found",
            455 => "Method Not Valid in This State",
            456 => "Header Field Not Valid for Resource",
            457 => "Invalid Range",
            459 => "Aggregate Operation Not Allowed",
            460 => "Only Aggregate Operation Allowed",
            461 => "Unsupported Transport",
            500 => "Internal Server Error",
            501 => "Not Implemented",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            504 => "Gateway Time-out",
            505 => "RTSP Version Not Supported",
            551 => "Option Not Supported",
            _ => "Unknown",
        }
    }

    /// The status that tells a client about an error of the layers below.
    pub fn of(error: &Error) -> Self {
        match (error.kind(), error.fault()) {
            (ErrorKind::InvalidArgument, _) => Self::INVALID_RANGE,
            (ErrorKind::NotFound, _) => Self::NOT_FOUND,
            (ErrorKind::PermissionDenied | ErrorKind::Unauthenticated, Fault::Client) => {
                Self::FORBIDDEN
            }
            (ErrorKind::Unsupported, Fault::Client) => Self::PARAMETER_NOT_UNDERSTOOD,
            (ErrorKind::NotImplemented, _) => Self::NOT_IMPLEMENTED,
            (ErrorKind::Busy | ErrorKind::RateLimited, _) => Self::NOT_ENOUGH_BANDWIDTH,
            (ErrorKind::LimitExceeded, _) => Self::UNAVAILABLE,
            (ErrorKind::Unreachable, _) => Self::UNAVAILABLE,
            (ErrorKind::Timeout, _) => Self::GATEWAY_TIMEOUT,
            (_, Fault::Device) => Self::BAD_GATEWAY,
            _ => Self::INTERNAL,
        }
    }
}

/// A response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    /// What came of it.
    pub status: Status,
    /// Header fields.
    pub fields: Fields,
    /// Body; empty for most.
    pub body: Bytes,
}

impl Response {
    /// A response without header fields.
    pub fn new(status: Status) -> Self {
        Self { status, fields: Fields::default(), body: Bytes::new() }
    }

    /// As on the wire. A `Content-Length` is added where there is a body.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = format!("RTSP/1.0 {} {}\r\n", self.status.0, self.status.reason());
        self.fields.write(&mut out);
        finish(out, &self.body)
    }
}

pub(super) fn finish(mut head: String, body: &[u8]) -> Bytes {
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut out = head.into_bytes();
    out.extend_from_slice(body);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R8.1-8
    #[test]
    fn every_error_kind_has_a_status() {
        use ErrorKind::*;
        for (kind, status) in [
            (InvalidArgument, 457),
            (NotFound, 404),
            (Unauthenticated, 502),
            (PermissionDenied, 502),
            (Unsupported, 502),
            (NotImplemented, 501),
            (Busy, 453),
            (RateLimited, 453),
            (Unreachable, 503),
            (Timeout, 504),
            (Malformed, 502),
            (Damaged, 502),
            (LimitExceeded, 503),
            (Conflict, 500),
            (Cancelled, 500),
            (Internal, 500),
        ] {
            let of = Status::of(&Error::new(kind, ""));
            assert_eq!(of.0, status, "{kind:?}");
            assert_ne!(of.reason(), "Unknown");
        }
        let refused = Error::new(PermissionDenied, "").with_fault(Fault::Client);
        assert_eq!(Status::of(&refused), Status::FORBIDDEN);
    }
}
