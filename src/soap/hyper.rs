//! The driver: an HTTP/1.1 server for a [`Host`] and whatever else lives on its port.
//!
//! Everything from the network is bounded: connections in all and per address, headers, bodies, the
//! time to send either, and the time that a client may refuse to take an answer. What is not a
//! service's path goes to routes, which get the request before its body is read. A connection whose
//! first request is none is handed to a [`Diversion`]. The same over TLS.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::hyper::body::Incoming;
use ::hyper::server::conn::http1;
use ::hyper::service::service_fn;
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use http::header::{CONTENT_LENGTH, HOST};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsAcceptor, rustls};

pub use self::stream::{Diversion, Stream};
use self::stream::{Guarded, look};
use crate::host::Host;
use crate::origin::Origin;

/// A body of an answer; may stream.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Answers requests that are not for a service.
pub type Page =
    Arc<dyn Fn(Request<Incoming>, Ends) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Both ends of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// The client's.
    pub peer: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
    /// Whether TLS is in between.
    pub secure: bool,
}

/// Bounds of the server.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Connections in all; more are closed at once.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// Size of a request's head, at least 8 KiB.
    pub head_bytes: usize,
    /// Header lines.
    pub headers: usize,
    /// Size of a request's body.
    pub body_bytes: usize,
    /// Time for a head to arrive, counted from when the connection was free for it; so it also bounds
    /// how long a connection may idle.
    pub head_timeout: Duration,
    /// Time for a body to arrive.
    pub body_timeout: Duration,
    /// How long a client may leave an answer lying without taking a byte.
    pub stall_timeout: Duration,
    /// How long requests may take to end after the server was told to stop.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_per_address: 128,
            head_bytes: 16 * 1024,
            headers: 64,
            body_bytes: 256 * 1024,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(20),
            stall_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}

/// A host with its routes.
pub struct Server {
    host: Arc<Host>,
    advertise: Option<String>,
    routes: Vec<(String, Page)>,
    fallback: Option<Page>,
    diversion: Option<Arc<dyn Diversion>>,
    settings: Settings,
}

impl Server {
    /// A server of this host alone.
    pub fn new(host: Arc<Host>, settings: Settings) -> Self {
        let routes = Vec::new();
        Self { host, advertise: None, routes, fallback: None, diversion: None, settings }
    }

    /// Puts this host (with or without a port) into URIs instead of what the client called us.
    #[must_use]
    pub fn advertise(mut self, authority: Option<String>) -> Self {
        self.advertise = authority;
        self
    }

    /// Answers a path and what is below it. Earlier routes win.
    #[must_use]
    pub fn route(mut self, path: impl Into<String>, page: Page) -> Self {
        self.routes.push((path.into(), page));
        self
    }

    /// Answers everything that nobody else does; without one that is 404.
    #[must_use]
    pub fn fallback(mut self, page: Page) -> Self {
        self.fallback = Some(page);
        self
    }

    /// Hands connections over that are for somebody else.
    #[must_use]
    pub fn divert(mut self, diversion: Arc<dyn Diversion>) -> Self {
        self.diversion = Some(diversion);
        self
    }

    /// Serves until `stop` resolves, then lets running requests end, at most for the drain time. With
    /// `tls` the port speaks HTTPS.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        stop: impl Future<Output = ()>,
    ) {
        let census = Census::new(&self.settings);
        let (stopping, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        if let Some(place) = census.enter(peer.ip()) {
                            let server = Arc::clone(&self);
                            let (tls, stopped) = (tls.clone(), stopped.clone());
                            tasks.spawn(async move {
                                server.accepted(stream, peer, tls, stopped).await;
                                drop(place);
                            });
                        } else {
                            tracing::debug!(%peer, "too many connections, closed");
                        }
                    }
                    Err(error) => {
                        // Out of descriptors, most likely: others have to close first.
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        stopping.send_replace(true);
        let ended = async { while tasks.join_next().await.is_some() {} };
        if timeout(self.settings.drain, ended).await.is_err() {
            tracing::info!(
                connections = tasks.len(),
                "connections cut at the end of the drain time"
            );
            tasks.shutdown().await;
        }
    }

    async fn accepted(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let Ok(local) = stream.local_addr() else { return };
        let ends = Ends { peer, local, secure: tls.is_some() };
        let _ = stream.set_nodelay(true);
        let opening = async {
            let mut stream: Box<dyn Stream> = match tls {
                Some(tls) => Box::new(TlsAcceptor::from(tls).accept(stream).await?),
                None => Box::new(stream),
            };
            let mut first = BytesMut::new();
            let taker = match &self.diversion {
                Some(d)
                    if look(&**d, &mut stream, &mut first, self.settings.head_bytes).await? =>
                {
                    Some(Arc::clone(d))
                }
                _ => None,
            };
            Ok::<_, std::io::Error>((stream, first, taker))
        };
        let opened = tokio::select! {
            opened = timeout(self.settings.head_timeout, opening) => opened,
            _ = stopped.changed() => return,
        };
        match opened {
            Ok(Ok((stream, first, Some(taker)))) => tokio::select! {
                () = taker.serve(stream, first, ends) => {}
                _ = stopped.changed() => {}
            },
            Ok(Ok((stream, first, None))) => {
                let stream = Guarded::new(stream, first, self.settings.stall_timeout);
                self.connection(stream, ends, stopped).await;
            }
            Ok(Err(error)) => tracing::debug!(%peer, %error, "connection did not open"),
            Err(_) => tracing::debug!(%peer, "connection did not open in time"),
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: Guarded,
        ends: Ends,
        mut stopped: watch::Receiver<bool>,
    ) {
        let (io, peer) = (TokioIo::new(stream), ends.peer);
        let server = Arc::clone(&self);
        let service = service_fn(move |request| {
            let server = Arc::clone(&server);
            async move { Ok::<_, std::convert::Infallible>(server.respond(request, ends).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.settings.head_timeout)
            .max_headers(self.settings.headers)
            .max_buf_size(self.settings.head_bytes.max(8192))
            .serve_connection(io, service);
        tokio::pin!(connection);
        let mut draining = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%peer, %error, "connection ended");
                    }
                    return;
                }
                _ = stopped.changed(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    async fn respond(&self, request: Request<Incoming>, ends: Ends) -> Response<Body> {
        let path = request.uri().path();
        if self.host.serves(path) {
            return self.soap(request, ends).await;
        }
        let below = |route: &str| {
            path.strip_prefix(route).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let route = self.routes.iter().find(|(route, _)| below(route)).map(|(_, page)| page);
        match route.or(self.fallback.as_ref()) {
            Some(page) => page(request, ends).await,
            None => status(StatusCode::NOT_FOUND),
        }
    }

    async fn soap(&self, request: Request<Incoming>, ends: Ends) -> Response<Body> {
        let (head, body) = request.into_parts();
        let announced = head
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok()?.parse::<usize>().ok())
            .unwrap_or(0);
        if announced > self.settings.body_bytes {
            return status(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let limited = Limited::new(body, self.settings.body_bytes);
        let body = match timeout(self.settings.body_timeout, limited.collect()).await {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(e)) if e.is::<LengthLimitError>() => {
                return status(StatusCode::PAYLOAD_TOO_LARGE);
            }
            Ok(Err(_)) => return status(StatusCode::BAD_REQUEST),
            Err(_) => return status(StatusCode::REQUEST_TIMEOUT),
        };
        let called = head.headers.get(HOST).and_then(|v| v.to_str().ok());
        let origin =
            Origin::new(ends.peer, ends.local, ends.secure, called, self.advertise.as_deref());
        let answer = self.host.answer(Request::from_parts(head, body), origin).await;
        answer.map(full)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes: Vec<_> = self.routes.iter().map(|(path, _)| path).collect();
        f.debug_struct("Server")
            .field("host", &self.host)
            .field("routes", &routes)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// A body from bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// An answer without a body.
pub fn status(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = code;
    response
}

/// A page from a function that needs neither the body nor time.
pub fn page<F>(answer: F) -> Page
where
    F: Fn(&Request<Incoming>, Ends) -> Response<Body> + Send + Sync + 'static,
{
    Arc::new(move |request, ends| {
        let response = answer(&request, ends);
        Box::pin(async move { response })
    })
}

/// Counts connections.
#[derive(Clone, Debug)]
struct Census(Arc<Mutex<HashMap<IpAddr, usize>>>, usize, usize);

/// A connection's place; gives it back when dropped.
struct Place(Census, IpAddr);

impl Census {
    fn new(settings: &Settings) -> Self {
        Self(Arc::default(), settings.connections, settings.connections_per_address)
    }

    fn enter(&self, from: IpAddr) -> Option<Place> {
        let from = from.to_canonical();
        let mut counts = self.0.lock();
        let all: usize = counts.values().sum();
        let here = counts.get(&from).copied().unwrap_or(0);
        if all >= self.1 || here >= self.2 {
            return None;
        }
        counts.insert(from, here + 1);
        Some(Place(self.clone(), from))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.0.0.lock();
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

mod stream;
#[cfg(test)]
mod tests;
