//! Connections to a recorder's web server, and one request over one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::hyper::body::Incoming;
use ::hyper::client::conn::http1::{self, SendRequest};
use bytes::Bytes;
use dvrgate_model::{Error, ErrorKind, Result, Utc};
use http::header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::length::FirstAnswer;
use crate::transport::tokio::{Connections, Counted, within};
use crate::transport::{HttpRequest, Io, tls};
use crate::{Cx, DeviceSettings};

/// How long a recorder may take to answer when the call has no nearer deadline.
pub(super) const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// Bound of the headers of an answer.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Where the recorder is.
pub(super) struct Target {
    /// `http` or `https`; others have no web server of ours to ask.
    scheme: String,
    pub(super) host: String,
    pub(super) port: u16,
    host_header: HeaderValue,
    /// Of the configured URL, without a slash at its end.
    path: String,
}

impl Target {
    fn new(settings: &DeviceSettings) -> Result<Self> {
        let url = &settings.url;
        let host = match url.host() {
            Some(url::Host::Ipv6(a)) => a.to_string(),
            Some(host) => host.to_string(),
            None => String::new(),
        };
        let authority = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let host_header = HeaderValue::from_str(&authority)
            .map_err(|e| Error::invalid(format!("host of {url}")).because(e))?;
        Ok(Self {
            scheme: url.scheme().to_owned(),
            host,
            port: url.port_or_known_default().unwrap_or(0),
            host_header,
            path: url.path().trim_end_matches('/').to_owned(),
        })
    }

    pub(super) fn path_and_query(&self, request: &HttpRequest) -> String {
        let slash = if request.path.starts_with('/') { "" } else { "/" };
        format!("{}{slash}{}", self.path, request.path)
    }

    pub(super) fn message(
        &self,
        request: &HttpRequest,
        authorization: Option<String>,
    ) -> Result<Message> {
        if !matches!(self.scheme.as_str(), "http" | "https") {
            let scheme = &self.scheme;
            return Err(Error::invalid(format!("a {scheme}:// recorder has no web server")));
        }
        let target = self.path_and_query(request);
        let mut message = http::Request::builder()
            .method(request.method.clone())
            .uri(target)
            .body(Full::new(request.body.clone()))
            .map_err(|e| Error::invalid("request").with("path", &request.path).because(e))?;
        let headers = message.headers_mut();
        headers.insert(HOST, self.host_header.clone());
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
        if request.distrusts_zero {
            message.extensions_mut().insert(DistrustsZero);
        }
        Ok(message)
    }
}

/// Marks a message as [`HttpRequest::distrusts_zero`].
#[derive(Clone, Copy)]
struct DistrustsZero;

pub(super) type Message = http::Request<Full<Bytes>>;
type Sender = SendRequest<Full<Bytes>>;

/// An answer and the connection that it comes on.
pub(super) struct Exchange {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Incoming,
    pub(super) connection: Borrowed,
    /// Ours, just before the request was sent.
    pub(super) sent: Utc,
    /// Ours, just after the head of the answer came.
    pub(super) answered: Utc,
}

/// A connection of the pool, to be given back once its answer was read to the end. It is closed
/// otherwise.
pub(super) struct Borrowed {
    sender: Sender,
    idle: Arc<Mutex<Vec<Sender>>>,
}

impl Borrowed {
    pub(super) fn give_back(self) {
        if !self.sender.is_closed() {
            self.idle.lock().push(self.sender);
        }
    }
}

/// See the module documentation.
pub(super) struct Pool {
    pub(super) target: Target,
    idle: Arc<Mutex<Vec<Sender>>>,
    pub(super) connections: Connections,
    tls: Option<TlsConnector>,
    pub(super) requests: AtomicU64,
}

impl Pool {
    /// Contacts nothing.
    pub(super) fn new(settings: &DeviceSettings) -> Result<Self> {
        let target = Target::new(settings)?;
        let tls = match target.scheme.as_str() {
            "https" => Some(TlsConnector::from(tls::client_config()?)),
            _ => None,
        };
        let (idle, connections) = (Arc::default(), Connections::default());
        Ok(Self { target, idle, connections, tls, requests: AtomicU64::new(0) })
    }

    /// One request and the head of its answer. A kept connection that the recorder closed in the
    /// meantime is replaced once.
    pub(super) async fn ask(&self, cx: &Cx, mut message: Message) -> Result<Exchange> {
        let (method, path) = (message.method().clone(), message.uri().clone());
        self.requests.fetch_add(1, Ordering::Relaxed);
        let distrusts = message.extensions().get::<DistrustsZero>().is_some();
        loop {
            let kept = if distrusts { None } else { self.kept().await };
            let (mut sender, reused) = match kept {
                Some(sender) => (sender, true),
                None => (self.open(cx, distrusts).await?, false),
            };
            let again = message.clone();
            let sent = cx.clock.utc();
            let work = async { Ok(sender.try_send_request(message).await) };
            let outcome = within(cx, Some(REPLY_TIMEOUT), "wait for the answer", work).await?;
            let answered = cx.clock.utc();
            match outcome {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let status = head.status.as_u16();
                    tracing::debug!(%method, path = path.path(), status, "answered");
                    // Where a body ends with its connection, that is not used again.
                    let idle = if distrusts { Arc::default() } else { Arc::clone(&self.idle) };
                    return Ok(Exchange {
                        status: head.status,
                        headers: head.headers,
                        body,
                        connection: Borrowed { sender, idle },
                        sent,
                        answered,
                    });
                }
                Err(mut refused) => {
                    let unsent = refused.take_message().is_some();
                    let e = refused.into_error();
                    let safe = method.is_safe() && e.is_incomplete_message();
                    if !reused || !(unsent || safe) {
                        return Err(exchange_error(e));
                    }
                    message = again;
                }
            }
        }
    }

    /// A kept connection that is still open. Its last answer was read to the end, so it becomes
    /// ready, or closes, at once.
    async fn kept(&self) -> Option<Sender> {
        loop {
            let mut sender = self.idle.lock().pop()?;
            if sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
    }

    async fn open(&self, cx: &Cx, distrusts_zero: bool) -> Result<Sender> {
        let io = self.connect(cx, &self.target.host, self.target.port).await?;
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
        let io = if distrusts_zero { Box::new(FirstAnswer::new(io)) } else { io };
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

    /// A bare connection to a port of the recorder.
    pub(super) async fn connect(&self, cx: &Cx, host: &str, port: u16) -> Result<Counted> {
        self.connections.connect(cx, host, port).await
    }
}

pub(super) fn exchange_error(e: ::hyper::Error) -> Error {
    let (kind, message) = if e.is_parse() || e.is_parse_too_large() {
        (ErrorKind::Malformed, "the answer is not HTTP")
    } else if e.is_timeout() {
        (ErrorKind::Timeout, "no answer")
    } else {
        (ErrorKind::Unreachable, "the connection broke")
    };
    Error::new(kind, message).because(e)
}
