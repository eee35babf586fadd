//! Transports that replay a script: what an adapter sends is compared, what it gets is given.
//!
//! For the tests of vendors. A request that the script does not expect is an error, so a test
//! fails where the dialogue leaves the script.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use dvrgate_model::{Error, ErrorKind, Result, Utc};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;

use super::{HttpReply, HttpRequest, HttpStream, LoginGuard, TcpIo, Transports};
use crate::Cx;

/// One expected request and its answer.
pub struct Exchange {
    method: Method,
    path: String,
    answer: Result<HttpReply>,
    /// A 401 arrives instead of being the end.
    unchallenged: bool,
}

impl Exchange {
    /// A 200 with that body.
    pub fn ok(method: Method, path: &str, body: impl Into<Bytes>) -> Self {
        Self::status(method, path, StatusCode::OK, body)
    }

    /// That status and body.
    pub fn status(method: Method, path: &str, status: StatusCode, body: impl Into<Bytes>) -> Self {
        // When, is known once it is asked.
        let (sent, answered) = (Utc::MIN, Utc::MIN);
        let answer =
            Ok(HttpReply { status, headers: HeaderMap::new(), body: body.into(), sent, answered });
        Self { method, path: path.to_owned(), answer, unchallenged: false }
    }

    /// No answer but an error of the transport.
    pub fn fails(method: Method, path: &str, kind: ErrorKind) -> Self {
        let answer = Err(Error::new(kind, "scripted"));
        Self { method, path: path.to_owned(), answer, unchallenged: false }
    }

    /// A 401 that offers no challenge.
    pub fn unchallenged(method: Method, path: &str, body: impl Into<Bytes>) -> Self {
        let exchange = Self::status(method, path, StatusCode::UNAUTHORIZED, body);
        Self { unchallenged: true, ..exchange }
    }

    /// With this header in the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if let Ok(reply) = &mut self.answer {
            reply.headers.append(name, value);
        }
        self
    }
}

/// See the module documentation.
pub struct Transcript {
    script: Mutex<VecDeque<Exchange>>,
    sent: Mutex<Vec<HttpRequest>>,
    connections: Mutex<VecDeque<TcpIo>>,
    logins: LoginGuard,
}

impl Transcript {
    /// Expects these requests in this order.
    pub fn new(script: impl IntoIterator<Item = Exchange>) -> Self {
        Self {
            script: Mutex::new(script.into_iter().collect()),
            sent: Mutex::default(),
            connections: Mutex::default(),
            logins: LoginGuard::new(3),
        }
    }

    /// Gives this connection to the next call of [`Transports::tcp`]; the other end of a
    /// `tokio::io::duplex` is the test's.
    pub fn connection(&self, io: TcpIo) {
        self.connections.lock().push_back(io);
    }

    /// What was sent, in order.
    pub fn sent(&self) -> Vec<HttpRequest> {
        self.sent.lock().clone()
    }

    /// How much of the script is left.
    pub fn left(&self) -> usize {
        self.script.lock().len()
    }

    fn answer(&self, cx: &Cx, request: HttpRequest) -> Result<HttpReply> {
        let next = self.script.lock().pop_front();
        let got = format!("{} {}", request.method, request.path);
        let max_reply_bytes = request.max_reply_bytes;
        self.sent.lock().push(request);
        let Some(expected) = next else {
            return Err(Error::internal(format!("not in the transcript: {got}")));
        };
        let want = format!("{} {}", expected.method, expected.path);
        if got != want {
            return Err(Error::internal(format!("the transcript has {want}, not {got}")));
        }
        let unchallenged = expected.unchallenged;
        let reply = expected.answer?;
        let now = cx.clock.utc();
        let reply = HttpReply { sent: now, answered: now, ..reply };
        if reply.status == StatusCode::UNAUTHORIZED && !unchallenged {
            return Err(self.logins.latch("the recorder refused the credentials"));
        }
        if reply.body.len() > max_reply_bytes {
            return Err(Error::new(ErrorKind::LimitExceeded, "the answer is too long"));
        }
        Ok(reply)
    }
}

impl Transports for Transcript {
    fn http<'a>(&'a self, cx: &'a Cx, request: HttpRequest) -> BoxFuture<'a, Result<HttpReply>> {
        Box::pin(async move { self.answer(cx, request) })
    }

    /// The body comes in pieces of a size that suits no parser.
    fn http_stream<'a>(
        &'a self,
        cx: &'a Cx,
        request: HttpRequest,
    ) -> BoxFuture<'a, Result<HttpStream>> {
        Box::pin(async move {
            let request = HttpRequest { max_reply_bytes: usize::MAX, ..request };
            let HttpReply { status, headers, mut body, .. } = self.answer(cx, request)?;
            let mut pieces = Vec::new();
            while !body.is_empty() {
                pieces.push(Ok(body.split_to(body.len().min(PIECE_BYTES))));
            }
            Ok(HttpStream { status, headers, body: stream::iter(pieces).boxed() })
        })
    }

    fn tcp<'a>(&'a self, _cx: &'a Cx, host: &'a str, port: u16) -> BoxFuture<'a, Result<TcpIo>> {
        Box::pin(async move {
            self.connections.lock().pop_front().ok_or_else(|| {
                Error::new(ErrorKind::Unreachable, format!("no connection to {host}:{port}"))
            })
        })
    }

    fn logins(&self) -> &LoginGuard {
        &self.logins
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcript").field("left", &self.left()).finish_non_exhaustive()
    }
}

const PIECE_BYTES: usize = 97;
