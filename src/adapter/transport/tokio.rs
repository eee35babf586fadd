//! Timers and plain connections: one of the two files of this crate that know the runtime.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ::tokio::net::TcpStream;
use ::tokio::time;
use dvrgate_model::ports::Clock;
use dvrgate_model::{Error, ErrorKind, Result, Utc};

use crate::Cx;

/// How long a connection may take to open when the call has no nearer deadline.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The monotonic clock that the timers of this file run on.
pub fn now() -> Instant {
    time::Instant::now().into_std()
}

/// Waits.
pub async fn sleep(duration: Duration) {
    time::sleep(duration).await;
}

/// Runs `work` until the deadline of the call or for `limit`, whichever is nearer; then it is
/// dropped and the call ends with [`ErrorKind::Timeout`].
pub async fn within<T>(
    cx: &Cx,
    limit: Option<Duration>,
    op: &'static str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let started = now();
    let end = match (cx.deadline, limit.map(|l| started + l)) {
        (Some(a), Some(b)) => a.min(b),
        (Some(a), None) | (None, Some(a)) => a,
        (None, None) => return work.await,
    };
    match time::timeout_at(time::Instant::from_std(end), work).await {
        Ok(result) => result,
        Err(_) => {
            let waited = now().saturating_duration_since(started);
            let message = format!("no answer in {:.1} s", waited.as_secs_f64());
            Err(Error::new(ErrorKind::Timeout, message).during(op))
        }
    }
}

/// [`within`] for work that belongs to no call.
pub async fn timeout<T>(
    limit: Duration,
    op: &'static str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    match time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => {
            let message = format!("nothing in {:.1} s", limit.as_secs_f64());
            Err(Error::new(ErrorKind::Timeout, message).during(op))
        }
    }
}

/// Connections that are open now. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<AtomicUsize>);

impl Connections {
    /// How many.
    pub fn open(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Opens one more. `host` may be an address or a name; IPv6 without brackets.
    pub async fn connect(&self, cx: &Cx, host: &str, port: u16) -> Result<Counted> {
        let connecting = async {
            let io = TcpStream::connect((host, port)).await.map_err(|e| {
                Error::new(ErrorKind::Unreachable, "cannot connect")
                    .with("host", host)
                    .with("port", port)
                    .because(e)
            })?;
            // Requests are small and each waits for its answer.
            io.set_nodelay(true).ok();
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Counted { io, connections: self.clone() })
        };
        within(cx, Some(CONNECT_TIMEOUT), "connect", connecting).await
    }
}

/// A connection that is counted while it lives.
#[derive(Debug)]
pub struct Counted {
    io: TcpStream,
    connections: Connections,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connections.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The clocks of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn utc(&self) -> Utc {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Utc::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn now(&self) -> Instant {
        now()
    }
}
