//! A question without log-in: whether the account is locked, which a log-in would only make worse.
//!
//! The transports of the gateway log in by themselves, so this one request is written by hand:
//! HTTP/1.0, closed by the device.

use super::errors::{Lock, UserCheck};
use super::xml::Element;
use super::{Generation, errors};

/// An answer is shorter than this.
pub(crate) const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// The request.
pub(crate) fn request(g: Generation, host: &str) -> String {
    let path = errors::user_check(g).path;
    format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// The lock in an answer; `None` where it does not tell.
pub(crate) fn parse(answer: &[u8]) -> Option<Lock> {
    let body = memchr::memmem::find(answer, b"\r\n\r\n")? + 4;
    let body = answer.get(body..)?;
    // Chunked by some in spite of the version: the document is what lies between the brackets.
    let (from, to) = (memchr::memchr(b'<', body)?, memchr::memrchr(b'>', body)?);
    let document = Element::parse(body.get(from..=to)?).ok()?;
    UserCheck::parse(&document).ok().map(|c| c.lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_shows_without_log_in() {
        let body = include_str!("../fixtures/user_check_locked.xml");
        let answer = format!(
            "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/xml\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        let lock = parse(answer.as_bytes()).unwrap();
        assert_eq!((lock.locked, lock.unlock_seconds), (true, Some(1740)));
        let whole = answer.rfind('>').unwrap();
        for n in 0..whole {
            assert_eq!(parse(&answer.as_bytes()[..n]), None, "{n}");
        }
        assert_eq!(parse(b"HTTP/1.1 401 Unauthorized\r\n\r\n<html></html>"), None);
        assert!(
            request(Generation::Isapi, "h:80")
                .starts_with("GET /ISAPI/Security/userCheck HTTP/1.0\r\nHost: h:80\r\n")
        );
    }
}
