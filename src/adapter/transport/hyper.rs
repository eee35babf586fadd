//! The transports of production: HTTP/1.1 over hyper, one pool of connections a recorder.
//!
//! Requests to one recorder are sent one after the other on a few kept connections, never
//! pipelined, not faster than its rate and never more at once than its limit. The first log-in is
//! made by one request while the others wait, so that a wrong password costs one try, not one a
//! request.

mod length;
mod log_in;
mod pool;

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::tokio::sync::{Mutex as AsyncMutex, Semaphore};
use dvrgate_model::{Error, ErrorKind, Result};
use futures::future::BoxFuture;
use http_body_util::BodyExt;

use self::pool::{Exchange, Pool, REPLY_TIMEOUT, exchange_error};
use super::pace::Pace;
use super::session::{Known, Session};
use super::tokio::within;
use super::{Credentials, HttpReply, HttpRequest, HttpStream, LoginGuard, TcpIo, Transports};
use crate::contract::ByteStream;
use crate::{Cx, DeviceLimits, DeviceSettings};

/// How long a stream may be silent. Alert streams send heartbeats more often than this.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an answer that announces nothing is waited for.
const ZERO_PATIENCE: Duration = Duration::from_secs(3);

/// See the module documentation.
pub struct HyperTransports {
    credentials: Credentials,
    logins: LoginGuard,
    session: Session,
    /// Held by the request that logs in.
    login: AsyncMutex<()>,
    slots: Semaphore,
    pace: Pace,
    pool: Pool,
}

impl HyperTransports {
    /// Contacts nothing. `limits` are the recorder's after the configuration lowered them.
    pub fn new(settings: &DeviceSettings, limits: &DeviceLimits) -> Result<Self> {
        let logins = LoginGuard::new(limits.logins_before_lockout);
        // Every request in flight can be refused, and one more tries a fresh nonce; all of them
        // together must fit the budget.
        let parallel = limits.parallel_requests.min(logins.budget().saturating_sub(1)).max(1);
        Ok(Self {
            credentials: Credentials {
                username: settings.username.clone(),
                password: settings.password.clone(),
            },
            logins,
            session: Session::default(),
            login: AsyncMutex::new(()),
            slots: Semaphore::new(parallel),
            pace: Pace::new(limits)?,
            pool: Pool::new(settings)?,
        })
    }

    /// Requests sent so far, log-ins included.
    pub fn requests(&self) -> u64 {
        self.pool.requests.load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.pool.connections.open()
    }

    /// Waits for the recorder's rate. First come, first served.
    async fn pace(&self, cx: &Cx) -> Result<()> {
        let turn = async {
            self.pace.turn().await;
            Ok(())
        };
        within(cx, None, "wait for the request rate", turn).await.map_err(unsent)
    }

    async fn whole(&self, cx: &Cx, request: HttpRequest) -> Result<HttpReply> {
        let Exchange { status, headers, mut body, connection, sent, answered } =
            self.exchange(cx, &request).await?;
        let mut bytes = Vec::new();
        let bound = request.max_reply_bytes;
        let reading = async {
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.map_err(exchange_error)?.into_data() else { continue };
                if bytes.len() + data.len() > bound {
                    return Err(Error::new(ErrorKind::LimitExceeded, "the answer is too long")
                        .with("bound_bytes", bound)
                        .with("path", &request.path));
                }
                bytes.extend_from_slice(&data);
            }
            Ok(())
        };
        within(cx, Some(REPLY_TIMEOUT), "read the answer", reading).await?;
        connection.give_back();
        Ok(HttpReply { status, headers, body: bytes.into(), sent, answered })
    }

    async fn streamed(&self, cx: &Cx, request: HttpRequest) -> Result<HttpStream> {
        let Exchange { status, headers, body, connection, .. } =
            self.exchange(cx, &request).await?;
        // An answer that announces nothing may mean it.
        let doubtful = length::was_spoilt(&headers);
        // What follows is not bound by the deadline of the call.
        let cx = Cx { deadline: None, ..cx.clone() };
        let state = Some((body, connection, cx, doubtful));
        let body: ByteStream = Box::pin(futures::stream::unfold(state, |state| async move {
            let (mut body, connection, cx, doubtful) = state?;
            loop {
                let next = async { Ok(body.frame().await) };
                let patience = if doubtful { ZERO_PATIENCE } else { SILENCE_TIMEOUT };
                match within(&cx, Some(patience), "read the stream", next).await {
                    Err(_) if doubtful => return None,
                    Ok(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) if data.is_empty() => {}
                        Ok(data) => return Some((Ok(data), Some((body, connection, cx, false)))),
                        Err(_trailers) => {}
                    },
                    Ok(Some(Err(e))) => return Some((Err(exchange_error(e)), None)),
                    Ok(None) => {
                        connection.give_back();
                        return None;
                    }
                    Err(silent) => return Some((Err(silent), None)),
                }
            }
        }));
        Ok(HttpStream { status, headers, body })
    }
}

/// A wait of our own that took too long is not the recorder's silence.
fn unsent(e: Error) -> Error {
    match e.kind() {
        ErrorKind::Timeout => {
            let message = "too many requests wait for this recorder";
            Error::new(ErrorKind::RateLimited, message).during(e.op())
        }
        _ => e,
    }
}

impl Transports for HyperTransports {
    fn http<'a>(&'a self, cx: &'a Cx, request: HttpRequest) -> BoxFuture<'a, Result<HttpReply>> {
        Box::pin(self.whole(cx, request))
    }

    fn http_stream<'a>(
        &'a self,
        cx: &'a Cx,
        request: HttpRequest,
    ) -> BoxFuture<'a, Result<HttpStream>> {
        Box::pin(self.streamed(cx, request))
    }

    fn tcp<'a>(&'a self, cx: &'a Cx, host: &'a str, port: u16) -> BoxFuture<'a, Result<TcpIo>> {
        Box::pin(async move {
            self.logins.check()?;
            self.pace(cx).await?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Ok(Box::new(self.pool.connect(cx, host, port).await?) as TcpIo)
        })
    }

    fn logins(&self) -> &LoginGuard {
        &self.logins
    }

    fn reset(&self) {
        self.logins.reset();
        self.session.learn(Known::Nothing);
    }
}

impl fmt::Debug for HyperTransports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperTransports")
            .field("host", &self.pool.target.host)
            .field("port", &self.pool.target.port)
            .field("credentials", &self.credentials)
            .field("logins", &self.logins)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}
