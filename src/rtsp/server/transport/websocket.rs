//! A WebSocket as a stream of bytes (ONVIF Streaming 7).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use bytes::{Buf, BytesMut};
use tokio_util::io::poll_read_buf;

use super::frames::{Frames, MAX_HEAD_BYTES, binary_head};

/// An established WebSocket.
#[derive(Debug)]
pub struct WebSocket<S> {
    io: S,
    raw: BytesMut,
    frames: Frames,
    /// From the client, not yet taken.
    data: Vec<u8>,
    taken: usize,
    /// Frames for the client.
    out: Vec<u8>,
    written: usize,
    closed: bool,
}

/// Requests are small.
const READ_BYTES: usize = 1024;
/// Data of one frame.
const FRAME_BYTES: usize = 64 * 1024;
/// Frames that wait to be written; beyond it nothing is read, so pings cannot pile up pongs.
const MAX_OUT_BYTES: usize = 2 * FRAME_BYTES;

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// After the handshake; `first` came behind it.
    pub fn new(io: S, first: BytesMut) -> Self {
        Self {
            io,
            raw: first,
            frames: Frames::default(),
            data: Vec::new(),
            taken: 0,
            out: Vec::new(),
            written: 0,
            closed: false,
        }
    }

    /// Writes what waits. Frames are written whole, so a frame never waits for data to come.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, &self.out[self.written..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += n;
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let waiting = this.poll_drain(cx)?.is_pending();
            let data = &this.data[this.taken..];
            if !data.is_empty() {
                let n = data.len().min(buf.remaining());
                buf.put_slice(&data[..n]);
                this.taken += n;
                if this.taken == this.data.len() {
                    this.data.clear();
                    this.taken = 0;
                }
                return Poll::Ready(Ok(()));
            }
            if this.closed {
                return Poll::Ready(Ok(()));
            }
            if waiting && this.out.len() - this.written > MAX_OUT_BYTES {
                return Poll::Pending;
            }
            if this.raw.is_empty() {
                this.raw.reserve(READ_BYTES);
                let io = Pin::new(&mut this.io);
                if ready!(poll_read_buf(io, cx, &mut this.raw))? == 0 {
                    return Poll::Ready(Ok(()));
                }
            }
            let result = this.frames.decode(&this.raw, &mut this.data, &mut this.out);
            this.raw.advance(this.raw.len());
            if let Err(closing) = result {
                tracing::debug!(?closing, "the WebSocket ends");
                this.closed = true;
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_drain(cx))?;
        if this.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let length = bufs.iter().map(|b| b.len()).sum::<usize>().min(FRAME_BYTES);
        if length == 0 {
            return Poll::Ready(Ok(0));
        }
        this.out.reserve_exact(length + MAX_HEAD_BYTES);
        binary_head(length, &mut this.out);
        let mut left = length;
        for buf in bufs {
            let n = buf.len().min(left);
            this.out.extend_from_slice(&buf[..n]);
            left -= n;
        }
        // What the socket does not take now goes with the next write or flush.
        let _ = this.poll_drain(cx)?;
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        // A thousand sessions keep no buffers between their frames of video.
        self.out = Vec::new();
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
