//! Answers that announce a length of zero and bring a body all the same.
//!
//! Some recorders write `Content-Length: 0` over a file whose length they do not know yet. An HTTP
//! client stops there. So where a request asks for it ([`HttpRequest::distrusts_zero`]), the name of
//! that header is spoilt before it is read: then the body is what comes until the connection ends.
//!
//! [`HttpRequest::distrusts_zero`]: crate::transport::HttpRequest::distrusts_zero

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use http::HeaderMap;

use crate::transport::Io;

/// A longer head passes as it is.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// What the header is called afterwards; as long as before.
const SPOILT: &str = "spoilt-lengths";
const NAME: &[u8] = b"content-length";

/// Whether the length of an answer was spoilt.
pub(super) fn was_spoilt(headers: &HeaderMap) -> bool {
    headers.contains_key(SPOILT)
}

/// A connection whose first answer is looked at.
#[derive(Debug)]
pub(super) struct FirstAnswer {
    io: Box<dyn Io>,
    head: Vec<u8>,
    /// How much of the head was handed on; `None` until it is complete.
    handed: Option<usize>,
}

impl FirstAnswer {
    pub(super) fn new(io: Box<dyn Io>) -> Self {
        Self { io, head: Vec::new(), handed: None }
    }
}

impl AsyncRead for FirstAnswer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.handed.is_none() {
            let mut piece = [0; 4096];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut piece))?;
            this.head.extend_from_slice(piece.filled());
            let end = this.head.windows(4).position(|w| w == b"\r\n\r\n");
            if let Some(end) = end {
                spoil_zero(&mut this.head, end);
            }
            if end.is_some() || piece.filled().is_empty() || this.head.len() > MAX_HEAD_BYTES {
                this.handed = Some(0);
            }
        }
        if let Some(rest) = this.handed.and_then(|n| this.head.get(n..)).filter(|r| !r.is_empty()) {
            let n = rest.len().min(buf.remaining());
            buf.put_slice(&rest[..n]);
            this.handed = this.handed.map(|h| h + n);
            return Poll::Ready(Ok(()));
        }
        this.head = Vec::new();
        Pin::new(&mut this.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for FirstAnswer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Spoils a length of zero in the head of a 200 that ends at an offset.
fn spoil_zero(answer: &mut [u8], end: usize) {
    let Some(head) = answer.get_mut(..end) else { return };
    let status = head.split(|b| b.is_ascii_whitespace()).nth(1);
    if status != Some(b"200") {
        return;
    }
    for line in head.split_mut(|b| *b == b'\n') {
        let is_zero = line.get(NAME.len()..).is_some_and(|v| {
            v.trim_ascii().strip_prefix(b":").is_some_and(|v| v.trim_ascii() == b"0")
        });
        if let Some(name) = line.get_mut(..NAME.len())
            && is_zero
            && name.eq_ignore_ascii_case(NAME)
        {
            name.copy_from_slice(SPOILT.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoilt(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let end = text.find("\r\n\r\n").unwrap();
        spoil_zero(&mut bytes, end);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn only_a_length_of_zero_of_a_success_is_spoilt() {
        assert_eq!(SPOILT.len(), NAME.len());
        for (text, changes) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
            ("HTTP/1.0 200\r\nA: b\r\ncontent-length:0\r\nC: d\r\n\r\nContent-Length: 0\r\n", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\nX-Content-Length: 0\r\n\r\n", false),
            ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\n\r\nContent-Length: 0\r\n", false),
        ] {
            let after = spoilt(text);
            assert_eq!(after.contains(SPOILT), changes, "{text}");
            assert_eq!(after.len(), text.len());
        }
        for end in 0..24 {
            spoil_zero(&mut b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n".to_vec(), end);
        }
    }
}
