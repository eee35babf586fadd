//! An HTTP/1.1 server small enough to misbehave on purpose.
//!
//! It takes bodies with GET, claims wrong lengths, breaks after headers, stalls, and never answers:
//! what a well-made HTTP library forbids and recorders do.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Listener;
use crate::counters::Counters;
use crate::faults::{Control, Faults};

/// A request, read whole.
#[derive(Clone, Debug)]
pub struct Request {
    /// As sent.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// Header lines in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// Who asks.
    pub peer: SocketAddr,
    /// The address asked.
    pub local: SocketAddr,
}

impl Request {
    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// The query, or nothing.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// An answer.
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Header lines; lengths and `Connection` are added.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
    /// How its end is told.
    pub framing: Framing,
    /// Whether footage faults apply to it.
    pub footage: bool,
}

/// A body.
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// As it comes; dropped when the client goes away.
    Stream(BoxStream<'static, Bytes>),
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// `Content-Length`, right (streams: chunked).
    Right,
    /// `Content-Length` with this value, right or wrong; then the connection is closed.
    Claim(u64),
    /// Neither: the connection is closed at the end.
    Close,
}

/// What becomes of a request.
pub enum Outcome {
    /// It is answered.
    Reply(Reply),
    /// The connection is closed without a word.
    Drop,
    /// Nothing, ever.
    Silence,
}

/// Answers requests.
pub trait Service: Send + Sync + 'static {
    /// Answers one.
    fn call(&self, request: Request) -> BoxFuture<'_, Outcome>;
}

/// How much of a server it is.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Idle connections are closed after this.
    pub idle: Duration,
    /// Connections are closed after so many requests.
    pub requests: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { idle: Duration::from_secs(10), requests: 99 }
    }
}

const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_BODY_BYTES: usize = 1 << 20;
const MAX_HEADERS: usize = 64;
const READ_BYTES: usize = 16 << 10;
/// What a recorder of no known make says under [`Faults::garbage`].
const GARBAGE: &[u8] = b"\x00\x7f\xff\xfe<<<&&&\r\n\r\n\x13\x37 \xc3\x28 200 NO\r\n";

impl Reply {
    /// A reply with a whole body.
    pub fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".into(), content_type.into())],
            body: Body::Whole(body.into()),
            framing: Framing::Right,
            footage: false,
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// Starts a server for `service`.
pub async fn start(
    addr: SocketAddr,
    service: Arc<dyn Service>,
    limits: Limits,
    control: Control,
    counters: Counters,
) -> io::Result<Listener> {
    let transfers = Arc::new(AtomicU64::new(0));
    let (shared_control, shared_counters) = (control.clone(), counters.clone());
    Listener::start(addr, control, counters, move |socket, peer| {
        let (service, control) = (service.clone(), shared_control.clone());
        let (counters, transfers) = (shared_counters.clone(), transfers.clone());
        async move {
            let Ok(local) = socket.local_addr() else { return };
            let connection = Connection::new(socket, peer, local, control, counters, transfers);
            if let Err(error) = connection.run(service.as_ref(), limits).await {
                tracing::debug!(%peer, %error, "connection ended");
            }
        }
    })
    .await
}

struct Connection {
    /// Whole: a half that is dropped says good-bye, and a pulled cable does not.
    socket: TcpStream,
    buffer: BytesMut,
    peer: SocketAddr,
    local: SocketAddr,
    control: Control,
    counters: Counters,
    transfers: Arc<AtomicU64>,
}

impl Connection {
    fn new(
        socket: TcpStream,
        peer: SocketAddr,
        local: SocketAddr,
        control: Control,
        counters: Counters,
        transfers: Arc<AtomicU64>,
    ) -> Self {
        let buffer = BytesMut::new();
        Self { socket, buffer, peer, local, control, counters, transfers }
    }

    async fn run(mut self, service: &dyn Service, limits: Limits) -> io::Result<()> {
        for served in 1.. {
            let Some(request) = self.request(limits.idle).await? else { break };
            let faults = self.control.faults();
            if faults.silent {
                return self.silence().await;
            }
            if faults.garbage {
                return self.send(GARBAGE).await;
            }
            let asked_to_close =
                request.header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close"));
            let last = asked_to_close || served >= limits.requests;
            match service.call(request).await {
                Outcome::Drop => break,
                Outcome::Silence => return self.silence().await,
                Outcome::Reply(reply) => {
                    if self.answer(reply, last, limits).await? {
                        break;
                    }
                }
            }
        }
        self.socket.shutdown().await
    }

    /// Reads and drops until the peer goes.
    async fn silence(&mut self) -> io::Result<()> {
        loop {
            self.buffer.clear();
            self.buffer.reserve(READ_BYTES);
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Ok(());
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(READ_BYTES);
        self.socket.read_buf(&mut self.buffer).await
    }

    /// The next request; none where the peer is done or idle for too long.
    async fn request(&mut self, idle: Duration) -> io::Result<Option<Request>> {
        let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let (head_len, mut request) = loop {
            if let Some(head) = head(&self.buffer).map_err(|e| bad(&e))? {
                break head;
            }
            if self.buffer.len() > MAX_HEAD_BYTES {
                return Err(bad("head too long"));
            }
            match timeout(idle, self.fill()).await {
                Err(_) | Ok(Ok(0)) => return Ok(None),
                Ok(read) => read?,
            };
        };
        let _ = self.buffer.split_to(head_len);
        if request.header("transfer-encoding").is_some() {
            return Err(bad("chunked request"));
        }
        let length = request.header("content-length").unwrap_or("0").trim();
        let length: usize = length.parse().map_err(|_| bad("content-length"))?;
        if length > MAX_BODY_BYTES {
            return Err(bad("body too long"));
        }
        let expects = request.header("expect").is_some_and(|e| e.starts_with("100"));
        if expects && self.buffer.len() < length {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        while self.buffer.len() < length {
            match timeout(idle, self.fill()).await {
                Err(_) | Ok(Ok(0)) => return Ok(None),
                Ok(read) => read?,
            };
        }
        request.body = self.buffer.split_to(length).freeze();
        (request.peer, request.local) = (self.peer, self.local);
        Ok(Some(request))
    }

    /// Sends a reply; true where the connection must end.
    async fn answer(&mut self, reply: Reply, last: bool, limits: Limits) -> io::Result<bool> {
        let faults = if reply.footage { self.control.faults() } else { Faults::default() };
        let mut framing = reply.framing;
        if faults.wrong_length_bytes != 0
            && let Body::Whole(body) = &reply.body
        {
            let claim = (body.len() as i64).saturating_add(faults.wrong_length_bytes);
            framing = Framing::Claim(claim.max(0) as u64);
        }
        let close = last || framing != Framing::Right;
        let mut out = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
        for (name, value) in &reply.headers {
            out += &format!("{name}: {value}\r\n");
        }
        let chunked = matches!(reply.body, Body::Stream(_)) && framing == Framing::Right;
        match (framing, &reply.body) {
            (Framing::Right, Body::Whole(body)) => {
                out += &format!("Content-Length: {}\r\n", body.len());
            }
            (Framing::Right, Body::Stream(_)) => out += "Transfer-Encoding: chunked\r\n",
            (Framing::Claim(n), _) => out += &format!("Content-Length: {n}\r\n"),
            (Framing::Close, _) => {}
        }
        out += &match close {
            true => "Connection: close\r\n\r\n".to_owned(),
            false => format!(
                "Connection: keep-alive\r\nKeep-Alive: timeout={}, max={}\r\n\r\n",
                limits.idle.as_secs(),
                limits.requests
            ),
        };
        self.send(out.as_bytes()).await?;
        if faults.drop_after_headers_every > 0 {
            let n = self.transfers.fetch_add(1, Ordering::SeqCst) + 1;
            if n.is_multiple_of(u64::from(faults.drop_after_headers_every)) {
                return Ok(true);
            }
        }
        let mut body = match reply.body {
            Body::Whole(body) => futures::stream::iter(
                body.chunks(READ_BYTES).map(Bytes::copy_from_slice).collect::<Vec<_>>(),
            )
            .boxed(),
            Body::Stream(stream) => stream,
        };
        let mut sent = 0;
        loop {
            let piece = tokio::select! {
                piece = body.next() => piece,
                // The client hung up while nothing was to be sent.
                read = self.socket.read_buf(&mut self.buffer), if self.buffer.len() < MAX_HEAD_BYTES => {
                    if read? == 0 {
                        return Ok(true);
                    }
                    continue;
                }
            };
            let Some(mut piece) = piece else { break };
            if reply.footage {
                let (changed, end) = spoil(&faults, sent, piece);
                piece = changed;
                if end {
                    self.write_piece(&piece, chunked, true).await?;
                    if faults.truncate_after_bytes.is_none() {
                        self.silence().await?;
                    }
                    return Ok(true);
                }
            }
            sent += piece.len() as u64;
            self.write_piece(&piece, chunked, reply.footage).await?;
        }
        if chunked {
            self.send(b"0\r\n\r\n").await?;
        }
        Ok(close)
    }

    async fn write_piece(&mut self, piece: &[u8], chunked: bool, footage: bool) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        if chunked {
            self.send(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
        }
        self.send(piece).await?;
        if footage {
            self.counters.count(|r| r.footage_bytes_sent += piece.len() as u64);
        }
        if chunked { self.send(b"\r\n").await } else { Ok(()) }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await?;
        self.counters.count(|r| r.bytes_sent += bytes.len() as u64);
        Ok(())
    }
}

/// Applies faults to a piece of footage that stands at byte `at`; true where nothing may follow.
pub fn spoil(faults: &Faults, at: u64, piece: Bytes) -> (Bytes, bool) {
    let end = faults.truncate_after_bytes.or(faults.stall_after_bytes);
    let left = end.map_or(u64::MAX, |end| end.saturating_sub(at));
    let ends = piece.len() as u64 >= left;
    let piece = if ends { piece.slice(..left as usize) } else { piece };
    let Some(every) = faults.corrupt_every_bytes.filter(|&n| n > 0) else { return (piece, ends) };
    let mut changed = BytesMut::from(piece.as_ref());
    let first = (every - at % every) % every;
    for i in (first..changed.len() as u64).step_by(every as usize) {
        changed[i as usize] ^= 0xFF;
    }
    (changed.freeze(), ends)
}

/// A head, if it is complete: its length and the request without body.
fn head(buffer: &[u8]) -> Result<Option<(usize, Request)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(buffer) {
        Ok(httparse::Status::Partial) => Ok(None),
        Err(e) => Err(e.to_string()),
        Ok(httparse::Status::Complete(len)) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let headers =
                parsed.headers.iter().map(|h| (h.name.to_owned(), text(h.value))).collect();
            let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
            let request = Request {
                method: parsed.method.unwrap_or_default().to_owned(),
                target: parsed.path.unwrap_or_default().to_owned(),
                headers,
                body: Bytes::new(),
                peer: nobody,
                local: nobody,
            };
            Ok(Some((len, request)))
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_of_a_head_is_incomplete() {
        let text = b"POST /a/b?c=d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
        let len = text.len() - 3;
        for cut in 0..len {
            assert!(head(&text[..cut]).unwrap().is_none(), "at {cut}");
        }
        let (used, request) = head(text).unwrap().unwrap();
        assert_eq!((used, request.path(), request.query()), (len, "/a/b", "c=d"));
    }

    #[test]
    fn spoilt_footage() {
        let piece = Bytes::from_static(&[1; 10]);
        let faults = Faults { truncate_after_bytes: Some(15), ..Faults::default() };
        assert_eq!(spoil(&faults, 0, piece.clone()), (piece.clone(), false));
        assert_eq!(spoil(&faults, 10, piece.clone()), (piece.slice(..5), true));
        let faults = Faults { corrupt_every_bytes: Some(7), ..Faults::default() };
        let at: Vec<usize> = (0..30)
            .step_by(10)
            .flat_map(|at| {
                let (bytes, _) = spoil(&faults, at as u64, piece.clone());
                (0..10).filter(move |&i| bytes[i] != 1).map(move |i| at + i)
            })
            .collect();
        assert_eq!(at, [0, 7, 14, 21, 28]);
    }

    struct Echo;

    impl Service for Echo {
        fn call(&self, request: Request) -> BoxFuture<'_, Outcome> {
            Box::pin(async move {
                let mut reply = Reply::new(200, "text/plain", request.body);
                reply.footage = true;
                Outcome::Reply(reply)
            })
        }
    }

    async fn ask(addr: SocketAddr) -> io::Result<Vec<u8>> {
        let mut socket = TcpStream::connect(addr).await?;
        socket
            .write_all(b"GET / HTTP/1.1\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
            .await?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn answers_lies_and_is_pulled_out() {
        let control = Control::new(Faults::default());
        let counters = Counters::default();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server =
            start(any, Arc::new(Echo), Limits::default(), control.clone(), counters.clone())
                .await
                .unwrap();
        let answer = ask(server.addr()).await.unwrap();
        assert!(answer.ends_with(b"Content-Length: 5\r\nConnection: close\r\n\r\nhello"));

        control.change(|f| f.wrong_length_bytes = 7);
        let answer = String::from_utf8(ask(server.addr()).await.unwrap()).unwrap();
        assert!(answer.contains("Content-Length: 12\r\n") && answer.ends_with("\r\n\r\nhello"));

        control.change(|f| *f = Faults { truncate_after_bytes: Some(2), ..Faults::default() });
        assert!(ask(server.addr()).await.unwrap().ends_with(b"\r\n\r\nhe"));

        control.change(|f| *f = Faults { silent: true, ..Faults::default() });
        let pending = tokio::spawn(ask(server.addr()));
        while counters.read().connections_open == 0 {
            tokio::task::yield_now().await;
        }
        control.change(|f| f.unplugged = true);
        assert!(pending.await.unwrap().is_err());
        assert!(ask(server.addr()).await.is_err());
        server.stop().await;
        assert_eq!(counters.read().connections_open, 0);
    }
}
