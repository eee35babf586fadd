//! Ways to a recorder. Every request and connection counts against the recorder's budgets; what
//! counts and how is here, so that no adapter can forget it.

pub mod hyper;
mod login;
mod pace;
mod session;
#[cfg(test)]
mod tests;
mod tls;
pub mod tokio;
pub mod transcript;

use std::fmt::Debug;

use ::tokio::io::{AsyncRead, AsyncWrite};
use bytes::Bytes;
use dvrgate_model::{Result, Utc};
use futures::future::BoxFuture;

use crate::Cx;
use crate::contract::ByteStream;

pub use login::{Credentials, LoginGuard};

/// What a [`Cx`] brings. In production over hyper and tokio, in tests over transcripts.
pub trait Transports: Debug + Send + Sync {
    /// Sends a request with the recorder's credentials (digest or basic as it asks), after waiting
    /// for its rate limit, and reads the whole answer, at most `max_reply_bytes`.
    fn http<'a>(&'a self, cx: &'a Cx, request: HttpRequest) -> BoxFuture<'a, Result<HttpReply>>;

    /// The same, but the body is a stream: downloads and alert streams. The deadline of the call
    /// bounds the wait for the headers; afterwards only silence ends the stream.
    fn http_stream<'a>(
        &'a self,
        cx: &'a Cx,
        request: HttpRequest,
    ) -> BoxFuture<'a, Result<HttpStream>>;

    /// Connects to a TCP port of the recorder.
    fn tcp<'a>(&'a self, cx: &'a Cx, host: &'a str, port: u16) -> BoxFuture<'a, Result<TcpIo>>;

    /// Counts refused log-ins. `http` and `http_stream` do so themselves; who logs in over
    /// [`Transports::tcp`] asks [`LoginGuard::check`] first and reports what came of it.
    fn logins(&self) -> &LoginGuard;

    /// Forgets log-ins and opens the latch: the settings changed.
    fn reset(&self) {
        self.logins().reset();
    }
}

/// A connection.
pub type TcpIo = Box<dyn Io>;

/// What a connection can do.
pub trait Io: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Io for T {}

/// A request to the recorder's web server.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// `GET`, `POST`, `PUT`.
    pub method: http::Method,
    /// Path and query below the recorder's URL.
    pub path: String,
    /// Besides those that the transport makes.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// Body; a GET with a body is sent as asked.
    pub body: Bytes,
    /// A longer answer is [`dvrgate_model::ErrorKind::LimitExceeded`].
    pub max_reply_bytes: usize,
    /// A length of zero says nothing about the body, which ends with the connection. Only for
    /// [`Transports::http_stream`].
    pub distrusts_zero: bool,
}

impl HttpRequest {
    /// A GET without a body. The bound of the answer is [`MAX_REPLY_BYTES`].
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(http::Method::GET, path, Bytes::new())
    }

    /// Any method with a body. The bound of the answer is [`MAX_REPLY_BYTES`].
    pub fn new(method: http::Method, path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: body.into(),
            max_reply_bytes: MAX_REPLY_BYTES,
            distrusts_zero: false,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: http::HeaderName, value: http::HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Bound of an answer where a request does not say another: a page of any listing fits.
pub const MAX_REPLY_BYTES: usize = 4 << 20;

/// A whole answer. Every status but 401 arrives here: what 403 or 503 mean is the vendor's
/// business. (401 after an authenticated request is [`dvrgate_model::ErrorKind::Unauthenticated`],
/// and nothing more is sent to that recorder until its settings change. A 401 that offers no
/// challenge, to a request that carried no credentials, arrives too: there the vendor logs in.)
#[derive(Clone, Debug)]
pub struct HttpReply {
    /// Status.
    pub status: http::StatusCode,
    /// Headers.
    pub headers: http::HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Ours, just before the request that was answered went out: after the waits for the rate, the
    /// connection and the log-in.
    pub sent: Utc,
    /// Ours, just after the head of the answer came.
    pub answered: Utc,
}

/// An answer whose body is still coming. Dropping it closes the connection.
pub struct HttpStream {
    /// Status.
    pub status: http::StatusCode,
    /// Headers.
    pub headers: http::HeaderMap,
    /// Body.
    pub body: ByteStream,
}

impl Debug for HttpStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpStream").field("status", &self.status).finish_non_exhaustive()
    }
}
