//! What a connection's bytes come through, and who else may want them.

use std::fmt;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::Ends;

/// A connection's bytes, plain or decrypted.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Takes connections over that begin like HTTP and go on as something else: tunnels. Only the first
/// request of a connection is looked at.
pub trait Diversion: fmt::Debug + Send + Sync {
    /// Whether a connection that begins like this is taken; `None`: more bytes are needed.
    fn takes(&self, first: &[u8]) -> Option<bool>;

    /// Serves it until it ends; `first` was read from it already.
    fn serve(&self, stream: Box<dyn Stream>, first: BytesMut, ends: Ends)
    -> BoxFuture<'static, ()>;
}

/// More than what is needed to judge the head of a first request.
const FIRST_BYTES: usize = 512;

/// Reads until the diversion knows; what the other side closed before that is not taken.
pub(super) async fn look(
    diversion: &dyn Diversion,
    stream: &mut Box<dyn Stream>,
    first: &mut BytesMut,
    most: usize,
) -> io::Result<bool> {
    loop {
        if let Some(taken) = diversion.takes(first) {
            return Ok(taken);
        }
        first.reserve(FIRST_BYTES);
        if first.len() > most || stream.read_buf(first).await? == 0 {
            return Ok(false);
        }
    }
}

/// A stream of which something was read already, and that gives up when the other side takes nothing
/// for too long.
pub(super) struct Guarded {
    stream: Box<dyn Stream>,
    first: BytesMut,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    pub(super) fn new(stream: Box<dyn Stream>, first: BytesMut, patience: Duration) -> Self {
        Self { stream, first, patience, stalled: None }
    }

    /// Passes progress on; without any, fails when the patience is used up.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.stalled = None;
            return write;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let n = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first[..n]);
        self.first.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Under TLS it is the flush that waits for the other side.
        let flush = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
