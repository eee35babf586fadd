//! The transports of production: HTTP/1.1 over hyper, one pool of connections a recorder.
//!
//! Requests to one recorder are sent one after the other on a few kept connections, never
//! pipelined, not faster than its rate and never more at once than its limit. The first log-in is
//! made by one request while the others wait, so that a wrong password costs one try, not one a
//! request.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::hyper::body::Incoming;
use ::hyper::client::conn::http1::{self, SendRequest};
use ::tokio::sync::{Mutex as AsyncMutex, Semaphore};
use bytes::Bytes;
use dvrgate_model::{Error, ErrorKind, Result};
use futures::future::BoxFuture;
use http::header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::login::Challenge;
use super::pace::Pace;
use super::session::{Known, Ready, Session};
use super::tokio::{Connections, within};
use super::{
    Credentials, HttpReply, HttpRequest, HttpStream, Io, LoginGuard, TcpIo, Transports, tls,
};
use crate::contract::ByteStream;
use crate::{Cx, DeviceLimits, DeviceSettings};

/// How long a recorder may take to answer when the call has no nearer deadline.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a stream may be silent. Alert streams send heartbeats more often than this.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// Bound of the headers of an answer.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// A refusal with a longer body costs its connection.
const MAX_REFUSAL_BYTES: usize = 64 << 10;

/// See the module documentation.
pub struct HyperTransports {
    target: Target,
    credentials: Credentials,
    logins: LoginGuard,
    session: Session,
    /// Held by the request that logs in.
    login: AsyncMutex<()>,
    slots: Semaphore,
    pace: Pace,
    idle: Arc<Mutex<Vec<SendRequest<Full<Bytes>>>>>,
    connections: Connections,
    tls: Option<TlsConnector>,
    requests: AtomicU64,
}

/// Where the recorder is.
struct Target {
    /// `http` or `https`; others have no web server of ours to ask.
    scheme: String,
    host: String,
    port: u16,
    host_header: HeaderValue,
    /// Of the configured URL, without a slash at its end.
    path: String,
}

/// An answer and the connection that it comes on.
struct Exchange {
    status: StatusCode,
    headers: HeaderMap,
    body: Incoming,
    sender: SendRequest<Full<Bytes>>,
}

impl HyperTransports {
    /// Contacts nothing. `limits` are the recorder's after the configuration lowered them.
    pub fn new(settings: &DeviceSettings, limits: &DeviceLimits) -> Result<Self> {
        let url = &settings.url;
        let host = match url.host() {
            Some(url::Host::Ipv6(a)) => a.to_string(),
            Some(host) => host.to_string(),
            None => String::new(),
        };
        let scheme = url.scheme().to_owned();
        let port = url.port_or_known_default().unwrap_or(0);
        let authority = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let host_header = HeaderValue::from_str(&authority)
            .map_err(|e| Error::invalid(format!("host of {url}")).because(e))?;
        let tls = match scheme.as_str() {
            "https" => Some(TlsConnector::from(tls::client_config()?)),
            _ => None,
        };
        let logins = LoginGuard::new(limits.logins_before_lockout);
        // Every request in flight can be refused, and one more tries a fresh nonce; all of them
        // together must fit the budget.
        let parallel = limits.parallel_requests.min(logins.budget().saturating_sub(1)).max(1);
        Ok(Self {
            target: Target {
                scheme,
                host,
                port,
                host_header,
                path: url.path().trim_end_matches('/').to_owned(),
            },
            credentials: Credentials {
                username: settings.username.clone(),
                password: settings.password.clone(),
            },
            logins,
            session: Session::default(),
            login: AsyncMutex::new(()),
            slots: Semaphore::new(parallel),
            pace: Pace::new(limits.requests_per_second)?,
            idle: Arc::default(),
            connections: Connections::default(),
            tls,
            requests: AtomicU64::new(0),
        })
    }

    /// Requests sent so far, log-ins included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.connections.open()
    }

    /// Sends with credentials as the recorder asks for them. What comes is never a 401.
    async fn exchange(&self, cx: &Cx, request: &HttpRequest) -> Result<Exchange> {
        self.logins.check()?;
        let closed = |_| Error::internal("the transport is closed");
        let slot = async { self.slots.acquire().await.map_err(closed) };
        let _slot = within(cx, None, "wait for the recorder", slot).await.map_err(unsent)?;

        let (seen, ready) = self.ready(request)?;
        let mut challenge = None;
        let header = match ready {
            Ready::No => None,
            Ready::Bare => Some(None),
            Ready::With(header) => Some(Some(header)),
        };
        if let Some(header) = header {
            let logged_in = header.is_some();
            let reply = self.send(cx, request, header).await?;
            if reply.status != StatusCode::UNAUTHORIZED {
                return Ok(reply);
            }
            let asked = self.refused(cx, reply).await?;
            if logged_in && !asked.is_stale() {
                self.logins.refused_once("the recorder no longer takes the credentials")?;
            }
            challenge = Some(asked);
        }

        let alone = async { Ok(self.login.lock().await) };
        let _alone = within(cx, None, "wait for the log-in", alone).await.map_err(unsent)?;
        self.logins.check()?;
        if self.session.number() != seen {
            // Another request logged in meanwhile.
            let header = match self.ready(request)?.1 {
                Ready::With(header) => Some(header),
                Ready::No | Ready::Bare => None,
            };
            let reply = self.send(cx, request, header).await?;
            if reply.status == StatusCode::UNAUTHORIZED {
                return Err(self.logins.latch("the recorder refused the credentials"));
            }
            self.logins.accepted();
            return Ok(reply);
        }
        let challenge = match challenge {
            Some(challenge) => challenge,
            None => {
                let reply = self.send(cx, request, None).await?;
                if reply.status != StatusCode::UNAUTHORIZED {
                    self.session.learn(Known::Open);
                    return Ok(reply);
                }
                self.refused(cx, reply).await?
            }
        };
        self.log_in(cx, request, challenge).await
    }

    /// Answers a challenge; the caller holds the log-in lock.
    async fn log_in(
        &self,
        cx: &Cx,
        request: &HttpRequest,
        mut challenge: Challenge,
    ) -> Result<Exchange> {
        if self.credentials.username.is_empty() {
            return Err(self.logins.latch("the recorder asks for a log-in and none is configured"));
        }
        let mut reply = self.try_log_in(cx, request, &mut challenge).await?;
        if reply.status == StatusCode::UNAUTHORIZED {
            let fresh = self.refused(cx, reply).await;
            let Some(mut fresh) = fresh.ok().filter(Challenge::is_stale) else {
                return Err(self.logins.latch("the recorder refused the credentials"));
            };
            reply = self.try_log_in(cx, request, &mut fresh).await?;
            challenge = fresh;
        }
        if reply.status == StatusCode::UNAUTHORIZED {
            return Err(self.logins.latch("the recorder refused the credentials"));
        }
        self.logins.accepted();
        self.session.learn(Known::LoggedIn(challenge));
        tracing::debug!(host = %self.target.host, "logged in");
        Ok(reply)
    }

    async fn try_log_in(
        &self,
        cx: &Cx,
        request: &HttpRequest,
        challenge: &mut Challenge,
    ) -> Result<Exchange> {
        let target = self.path_and_query(request);
        let header =
            challenge.answer(&self.credentials, &request.method, &target, &request.body)?;
        self.send(cx, request, Some(header)).await
    }

    /// The challenge of a 401. Its body is read, so that the connection can be kept.
    async fn refused(&self, cx: &Cx, reply: Exchange) -> Result<Challenge> {
        let Exchange { headers, body, sender, .. } = reply;
        let whole = async { Ok(Limited::new(body, MAX_REFUSAL_BYTES).collect().await.is_ok()) };
        if within(cx, Some(REPLY_TIMEOUT), "read the answer", whole).await? {
            keep(&self.idle, sender);
        }
        Challenge::from_headers(&headers)
    }

    fn ready(&self, request: &HttpRequest) -> Result<(u64, Ready)> {
        let target = self.path_and_query(request);
        self.session.ready(&self.credentials, &request.method, &target, &request.body)
    }

    fn path_and_query(&self, request: &HttpRequest) -> String {
        let slash = if request.path.starts_with('/') { "" } else { "/" };
        format!("{}{slash}{}", self.target.path, request.path)
    }

    /// Waits for the recorder's rate. First come, first served.
    async fn pace(&self, cx: &Cx) -> Result<()> {
        let turn = async {
            self.pace.turn().await;
            Ok(())
        };
        within(cx, None, "wait for the request rate", turn).await.map_err(unsent)
    }

    /// One request and the head of its answer. A kept connection that the recorder closed in the
    /// meantime is replaced once.
    async fn send(
        &self,
        cx: &Cx,
        request: &HttpRequest,
        authorization: Option<String>,
    ) -> Result<Exchange> {
        let mut message = self.message(request, authorization)?;
        self.pace(cx).await?;
        // Another request may have been refused during any of the waits.
        self.logins.check()?;
        self.requests.fetch_add(1, Ordering::Relaxed);
        loop {
            let (mut sender, reused) = match self.kept().await {
                Some(sender) => (sender, true),
                None => (self.open(cx).await?, false),
            };
            let again = message.clone();
            let work = async { Ok(sender.try_send_request(message).await) };
            let sent = within(cx, Some(REPLY_TIMEOUT), "wait for the answer", work).await?;
            match sent {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    tracing::debug!(
                        method = %request.method, path = %request.path,
                        status = head.status.as_u16(), "answered"
                    );
                    return Ok(Exchange {
                        status: head.status,
                        headers: head.headers,
                        body,
                        sender,
                    });
                }
                Err(mut refused) => {
                    let unsent = refused.take_message().is_some();
                    let e = refused.into_error();
                    let safe = request.method.is_safe() && e.is_incomplete_message();
                    if !reused || !(unsent || safe) {
                        return Err(exchange_error(e));
                    }
                    message = again;
                }
            }
        }
    }

    fn message(
        &self,
        request: &HttpRequest,
        authorization: Option<String>,
    ) -> Result<http::Request<Full<Bytes>>> {
        if !matches!(self.target.scheme.as_str(), "http" | "https") {
            let scheme = &self.target.scheme;
            return Err(Error::invalid(format!("a {scheme}:// recorder has no web server")));
        }
        let target = self.path_and_query(request);
        let mut message = http::Request::builder()
            .method(request.method.clone())
            .uri(target)
            .body(Full::new(request.body.clone()))
            .map_err(|e| Error::invalid("request").with("path", &request.path).because(e))?;
        let headers = message.headers_mut();
        headers.insert(HOST, self.target.host_header.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static("dvrgate"));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        for (name, value) in &request.headers {
            headers.insert(name, value.clone());
        }
        if let Some(text) = authorization {
            let mut value = HeaderValue::from_str(&text).map_err(|e| {
                Error::invalid("username or realm with characters that HTTP refuses").because(e)
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(message)
    }

    /// A kept connection that is still open. Its last answer was read to the end, so it becomes
    /// ready, or closes, at once.
    async fn kept(&self) -> Option<SendRequest<Full<Bytes>>> {
        loop {
            let mut sender = self.idle.lock().pop()?;
            if sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
    }

    async fn open(&self, cx: &Cx) -> Result<SendRequest<Full<Bytes>>> {
        let io = self.connections.connect(cx, &self.target.host, self.target.port).await?;
        let io: Box<dyn Io> = match &self.tls {
            None => Box::new(io),
            Some(tls) => {
                let host = self.target.host.clone();
                let name = ServerName::try_from(host)
                    .map_err(|e| Error::invalid("host name for TLS").because(e))?;
                let handshake = async {
                    tls.connect(name, io).await.map_err(|e| {
                        Error::new(ErrorKind::Unreachable, "TLS handshake failed").because(e)
                    })
                };
                Box::new(within(cx, Some(REPLY_TIMEOUT), "TLS handshake", handshake).await?)
            }
        };
        let (sender, connection) = http1::Builder::new()
            .title_case_headers(true)
            .max_buf_size(MAX_HEADER_BYTES)
            .handshake(TokioIo::new(io))
            .await
            .map_err(exchange_error)?;
        // Ends when the sender and the body are dropped, or the recorder closes.
        ::tokio::spawn(async move {
            if let Err(e) = connection.await {
                tracing::debug!(error = %e, "connection ended");
            }
        });
        Ok(sender)
    }

    async fn whole(&self, cx: &Cx, request: HttpRequest) -> Result<HttpReply> {
        let Exchange { status, headers, mut body, sender } = self.exchange(cx, &request).await?;
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
        keep(&self.idle, sender);
        Ok(HttpReply { status, headers, body: bytes.into() })
    }

    async fn streamed(&self, cx: &Cx, request: HttpRequest) -> Result<HttpStream> {
        let Exchange { status, headers, body, sender } = self.exchange(cx, &request).await?;
        // What follows is not bound by the deadline of the call.
        let cx = Cx { deadline: None, ..cx.clone() };
        let idle = Arc::clone(&self.idle);
        let state = Some((body, sender, idle, cx));
        let body: ByteStream = Box::pin(futures::stream::unfold(state, |state| async move {
            let (mut body, sender, idle, cx) = state?;
            loop {
                let next = async { Ok(body.frame().await) };
                match within(&cx, Some(SILENCE_TIMEOUT), "read the stream", next).await {
                    Ok(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) if data.is_empty() => {}
                        Ok(data) => return Some((Ok(data), Some((body, sender, idle, cx)))),
                        Err(_trailers) => {}
                    },
                    Ok(Some(Err(e))) => return Some((Err(exchange_error(e)), None)),
                    Ok(None) => {
                        keep(&idle, sender);
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

/// Keeps a connection whose answer was read to its end.
fn keep(idle: &Mutex<Vec<SendRequest<Full<Bytes>>>>, sender: SendRequest<Full<Bytes>>) {
    if !sender.is_closed() {
        idle.lock().push(sender);
    }
}

fn exchange_error(e: ::hyper::Error) -> Error {
    let (kind, message) = if e.is_parse() || e.is_parse_too_large() {
        (ErrorKind::Malformed, "the answer is not HTTP")
    } else if e.is_timeout() {
        (ErrorKind::Timeout, "no answer")
    } else {
        (ErrorKind::Unreachable, "the connection broke")
    };
    Error::new(kind, message).because(e)
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
            Ok(Box::new(self.connections.connect(cx, host, port).await?) as TcpIo)
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
            .field("host", &self.target.host)
            .field("port", &self.target.port)
            .field("credentials", &self.credentials)
            .field("logins", &self.logins)
            .field("connections", &self.connections.open())
            .finish_non_exhaustive()
    }
}
