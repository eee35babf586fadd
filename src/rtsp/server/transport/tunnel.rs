//! The two halves of an HTTP tunnel as one stream of bytes (ONVIF Streaming 5.1.1.5).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use bytes::{Buf, Bytes};

use super::pairs::Down;

/// Written to the GET, read from the POSTs.
#[derive(Debug)]
pub struct Tunnel<S> {
    get: S,
    down: Down,
    piece: Bytes,
    /// Bytes that came on the GET, where none belong.
    stray: usize,
}

/// More than a client can send there by mistake.
const MAX_STRAY_BYTES: usize = 64 * 1024;

impl<S: AsyncRead + AsyncWrite + Unpin> Tunnel<S> {
    /// After the answer to the GET.
    pub fn new(get: S, down: Down) -> Self {
        Self { get, down, piece: Bytes::new(), stray: 0 }
    }

    /// Ready when the client closed the GET, which ends the tunnel.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut bytes = [0u8; 512];
            let mut buf = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.get).poll_read(cx, &mut buf))?;
            self.stray += buf.filled().len();
            if buf.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            if self.stray > MAX_STRAY_BYTES {
                let text = "a client sends on the wrong half of a tunnel";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tunnel<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.piece.is_empty() {
            if let Poll::Ready(end) = self.poll_end(cx) {
                return Poll::Ready(end);
            }
            match ready!(self.down.input.poll_recv(cx)) {
                Some(piece) => self.piece = piece?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let n = self.piece.len().min(buf.remaining());
        buf.put_slice(&self.piece[..n]);
        self.piece.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tunnel<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.get.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get).poll_shutdown(cx)
    }
}
