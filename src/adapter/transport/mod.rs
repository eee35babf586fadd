//! Ways to a recorder. Every request and connection counts against the recorder's budgets; what
//! counts and how is here, so that no adapter can forget it.

use std::fmt::Debug;

use bytes::Bytes;
use dvrgate_model::Result;
use futures::future::BoxFuture;

use crate::Cx;
use crate::contract::ByteStream;

/// What a [`Cx`] brings. In production over hyper and tokio, in tests over transcripts.
pub trait Transports: Debug + Send + Sync {
    /// Sends a request with the recorder's credentials (digest or basic as it asks), after waiting
    /// for its rate limit, and reads the whole answer, at most `max_reply_bytes`.
    fn http<'a>(&'a self, cx: &'a Cx, request: HttpRequest) -> BoxFuture<'a, Result<HttpReply>>;

    /// The same, but the body is a stream: downloads and alert streams.
    fn http_stream<'a>(
        &'a self,
        cx: &'a Cx,
        request: HttpRequest,
    ) -> BoxFuture<'a, Result<HttpStream>>;

    /// Connects to a TCP port of the recorder.
    fn tcp<'a>(&'a self, cx: &'a Cx, host: &'a str, port: u16) -> BoxFuture<'a, Result<TcpIo>>;
}

/// A connection.
pub type TcpIo = Box<dyn Io>;

/// What a connection can do.
pub trait Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Debug + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Debug + Send + Unpin> Io for T {}

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
}

/// A whole answer. Every status but 401 arrives here: what 403 or 503 mean is the vendor's
/// business. (401 after an authenticated request is [`dvrgate_model::ErrorKind::Unauthenticated`],
/// and nothing more is sent to that recorder until its settings change.)
#[derive(Clone, Debug)]
pub struct HttpReply {
    /// Status.
    pub status: http::StatusCode,
    /// Headers.
    pub headers: http::HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// An answer whose body is still coming.
pub struct HttpStream {
    /// Status.
    pub status: http::StatusCode,
    /// Headers.
    pub headers: http::HeaderMap,
    /// Body.
    pub body: ByteStream,
}
