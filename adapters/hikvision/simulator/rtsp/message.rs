//! RTSP requests and answers as bytes.

use std::fmt::Write;

/// A request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) uri: String,
    headers: Vec<(String, String)>,
}

/// What stood at the front of a buffer.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Front {
    /// Not enough of anything.
    Partial,
    /// An interleaved packet of so many bytes in all: the client's RTCP.
    Interleaved(usize),
    /// A request of so many bytes in all, body included.
    Request(usize, Request),
    /// Neither.
    Nonsense,
}

const MAX_HEAD_BYTES: usize = 16 << 10;
const MAX_BODY_BYTES: usize = 64 << 10;

impl Front {
    pub(super) fn of(buffer: &[u8]) -> Self {
        match buffer {
            [] => return Front::Partial,
            [b'$', _, hi, lo, ..] => {
                let len = 4 + usize::from(u16::from_be_bytes([*hi, *lo]));
                return if buffer.len() < len { Front::Partial } else { Front::Interleaved(len) };
            }
            [b'$', ..] => return Front::Partial,
            _ => {}
        }
        let Some(head_len) = buffer.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)
        else {
            return if buffer.len() > MAX_HEAD_BYTES { Front::Nonsense } else { Front::Partial };
        };
        let Some(request) = Request::parse(&buffer[..head_len]) else { return Front::Nonsense };
        let body = request.header("content-length").map_or(Ok(0), |l| l.trim().parse::<usize>());
        match body {
            Ok(body) if body <= MAX_BODY_BYTES && buffer.len() >= head_len + body => {
                Front::Request(head_len + body, request)
            }
            Ok(body) if body <= MAX_BODY_BYTES => Front::Partial,
            _ => Front::Nonsense,
        }
    }
}

impl Request {
    fn parse(head: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(head).ok()?;
        let mut lines = text.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, uri, version) = (first.next()?, first.next()?, first.next()?);
        if version != "RTSP/1.0" || method.is_empty() {
            return None;
        }
        let headers = lines
            .take_while(|l| !l.is_empty())
            .map(|l| l.split_once(':').map(|(n, v)| (n.trim().to_owned(), v.trim().to_owned())))
            .collect::<Option<_>>()?;
        Some(Self { method: method.into(), uri: uri.into(), headers })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn bytes(&self, cseq: &str, date: &str) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            404 => "Not Found",
            453 => "Not Enough Bandwidth",
            454 => "Session Not Found",
            455 => "Method Not Valid in This State",
            461 => "Unsupported Transport",
            500 => "Internal Server Error",
            551 => "Option not supported",
            _ => "Status",
        };
        let mut out = format!("RTSP/1.0 {} {reason}\r\nCSeq: {cseq}\r\n", self.status);
        for (name, value) in &self.headers {
            let _ = write!(out, "{name}: {value}\r\n");
        }
        if !self.body.is_empty() {
            let _ = write!(out, "Content-Length: {}\r\n", self.body.len());
        }
        let _ = write!(out, "Date: {date}\r\n\r\n{}", self.body);
        out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_packets_are_told_apart_at_every_length() {
        let text =
            b"PLAY rtsp://h/x RTSP/1.0\r\nCSeq: 4\r\nContent-Length: 3\r\n\r\nabc$\x01\0\x02hi";
        let request_len = text.len() - 6;
        for cut in 0..request_len {
            assert_eq!(Front::of(&text[..cut]), Front::Partial, "at {cut}");
        }
        let Front::Request(len, request) = Front::of(text) else { panic!("no request") };
        assert_eq!(
            (len, request.method.as_str(), request.header("cseq")),
            (request_len, "PLAY", Some("4"))
        );
        for cut in request_len..text.len() {
            assert_eq!(Front::of(&text[request_len..cut]), Front::Partial);
        }
        assert_eq!(Front::of(&text[request_len..]), Front::Interleaved(6));
        for wrong in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"PLAY x RTSP/1.0\r\nContent-Length: -1\r\n\r\n",
            b"\xff\xff RTSP\r\n\r\n",
        ] {
            assert_eq!(Front::of(wrong), Front::Nonsense);
        }
    }
}
