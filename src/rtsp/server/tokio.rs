//! Runs server connections over TCP, with UDP ports for those that want datagrams.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use ::tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use ::tokio::net::{TcpListener, TcpStream};
use ::tokio::sync::Semaphore;
use ::tokio::task::JoinSet;
use ::tokio::time::{Sleep, sleep_until, timeout};
use bytes::BytesMut;
use dvrgate_model::{Error, ErrorKind, Result, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use socket2::SockRef;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_util::io::poll_read_buf;
use tokio_util::sync::CancellationToken;

use super::seats::{Seat, Seats};
use super::transport::{Pairs, Stream, Via, serve_seated};
use super::udp::Datagrams;
use super::{Application, Connection, Now, Peer, Playing, Presentation, ServerConfig, Unit, Want};

/// What all connections of a server share.
#[derive(Debug)]
pub struct Shared {
    pub(super) config: Arc<ServerConfig>,
    application: Arc<dyn Application>,
    /// The grid of wake-ups counts from here.
    grid: Instant,
    pub(super) tunnels: Arc<Pairs>,
}

impl Shared {
    /// For [`serve_connection`] and [`serve_any`].
    pub fn new(config: ServerConfig, application: Arc<dyn Application>) -> Arc<Self> {
        let tunnels = Arc::default();
        Arc::new(Self { config: Arc::new(config), application, grid: instant(), tunnels })
    }
}

/// A listening server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// Unsent bytes in the kernel: what a seek still has to drain.
const NOT_SENT_LOW_WATER: u32 = 128 * 1024;
/// Slices of one vectored write; the kernel takes 1024.
const SLICES: usize = 1024;
const READ_BYTES: usize = 16 * 1024;
/// Writes, of some 256 kB each, after which other connections have their turn.
const WRITES_A_TURN: usize = 8;
/// Time for a TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Time for connections to end at shutdown.
const DRAIN: Duration = Duration::from_secs(3);
/// Time to write the last answer to a client that does not read.
const CLOSE_TIME: Duration = Duration::from_secs(1);
/// Pause after accept failed, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Opens the port.
    pub async fn bind(
        address: SocketAddr,
        config: ServerConfig,
        application: Arc<dyn Application>,
    ) -> Result<Self> {
        Self::bind_shared(address, Shared::new(config, application), None).await
    }

    /// Opens one of several ports; with `tls` it speaks nothing else (RTSPS).
    pub async fn bind_shared(
        address: SocketAddr,
        shared: Arc<Shared>,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Result<Self> {
        let listener = TcpListener::bind(address).await.map_err(|e| {
            Error::new(ErrorKind::Internal, format!("cannot listen for RTSP on {address}"))
                .because(e)
        })?;
        Ok(Self { listener, shared, tls })
    }

    /// The address that was opened.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.listener
            .local_addr()
            .map_err(|e| Error::internal("the RTSP listener has no address").because(e))
    }

    /// Serves until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let places = Arc::new(Semaphore::new(self.shared.config.max_connections));
        let mut connections = JoinSet::new();
        let mut seats = Seats::default();
        loop {
            let accepted = ::tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    ::tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let place = places.clone().try_acquire_owned().ok();
            if place.is_none() && !seats.free_one() {
                tracing::warn!("too many RTSP sessions");
                continue;
            }
            let (shared, stop, tls) = (self.shared.clone(), stop.clone(), self.tls.clone());
            let (seat, places) = (seats.take(), places.clone());
            connections.spawn(async move {
                // Who was asked to leave does so at once.
                let place = match place {
                    Some(place) => Some(place),
                    None => timeout(CLOSE_TIME, places.acquire_owned()).await.ok().and_then(Result::ok),
                };
                let Some(_place) = place else { return };
                ::tokio::select! {
                    () = stop.cancelled() => {}
                    () = seat.must_leave() => tracing::debug!("a silent connection gives way"),
                    result = accept(stream, tls, shared, seat.clone()) => if let Err(error) = result {
                        tracing::debug!(%error, "connection ended");
                    }
                }
            });
        }
        let drained = timeout(DRAIN, async { while connections.join_next().await.is_some() {} });
        drained.await.ok();
        Ok(())
    }
}

async fn accept(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    shared: Arc<Shared>,
    seat: Seat,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    SockRef::from(&stream).set_tcp_notsent_lowat(NOT_SENT_LOW_WATER)?;
    let peer = Peer { remote: stream.peer_addr()?.ip(), local: stream.local_addr()?.ip() };
    let Some(tls) = tls else {
        return serve_seated(stream, BytesMut::new(), peer, Via::Plain, shared, seat).await;
    };
    let greeted = timeout(HANDSHAKE_TIME, TlsAcceptor::from(tls).accept(stream)).await;
    let stream = greeted.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let stream: Box<dyn Stream> = Box::new(stream);
    serve_seated(stream, BytesMut::new(), peer, Via::Tls, shared, seat).await
}

/// Serves one connection that carries RTSP until it ends.
pub async fn serve_connection<S>(io: S, peer: Peer, shared: Arc<Shared>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    serve_opened(io, BytesMut::new(), peer, true, shared, Seat::default()).await
}

/// The same after its first bytes were read; `datagrams`: whether UDP may be set up.
pub(super) async fn serve_opened<S>(
    io: S,
    first: BytesMut,
    peer: Peer,
    datagrams: bool,
    shared: Arc<Shared>,
    seat: Seat,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let mut connection = Connection::new(shared.config.clone(), peer, now());
    connection.allow_datagrams(datagrams);
    if !first.is_empty() {
        *connection.input() = first;
        connection.received(now());
    }
    let mut driver = Driver {
        io,
        peer,
        grid: shared.grid,
        connection,
        question: None,
        units: None,
        datagrams: Datagrams::new(instant()),
        timer: Box::pin(sleep_until(::tokio::time::Instant::now())),
        close_by: None,
        unflushed: false,
    };
    while !driver.take_wants(&*shared.application) {
        seat.set_busy(driver.connection.has_session());
        poll_fn(|cx| driver.poll(cx)).await?;
    }
    // TLS and WebSocket have something to say at the end.
    let _ = timeout(CLOSE_TIME, driver.io.shutdown()).await;
    Ok(())
}

/// The runtime's clock, which tests can stop.
fn instant() -> Instant {
    ::tokio::time::Instant::now().into_std()
}

fn now() -> Now {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Now { instant: instant(), utc: Utc::from_micros(since.as_micros() as i64) }
}

enum Answer {
    Described(Result<Presentation>),
    Playing(Result<Playing>),
}

struct Driver<'a, S> {
    io: S,
    peer: Peer,
    grid: Instant,
    connection: Connection,
    question: Option<BoxFuture<'a, Answer>>,
    units: Option<BoxStream<'static, Result<Unit>>>,
    datagrams: Datagrams,
    timer: Pin<Box<Sleep>>,
    /// The connection is over; what is left may be written until then.
    close_by: Option<Instant>,
    /// A layer above the socket (TLS, WebSocket) took bytes that it has not passed on.
    unflushed: bool,
}

impl<'a, S: AsyncRead + AsyncWrite + Send + Unpin> Driver<'a, S> {
    /// Does what the connection wants; `true` when it is over.
    fn take_wants(&mut self, application: &'a dyn Application) -> bool {
        while let Some(want) = self.connection.want() {
            match want {
                Want::Describe(request) => {
                    let answer = application.describe(request);
                    self.question = Some(answer.map(Answer::Described).boxed());
                }
                Want::Play(request) => {
                    let answer = application.play(request);
                    self.question = Some(answer.map(Answer::Playing).boxed());
                }
                Want::Bind { stream, to } => {
                    let bound = self.datagrams.bind(stream, self.peer, to);
                    self.connection.bound(bound, now());
                }
                Want::Stop => {
                    self.datagrams.close(self.connection.datagrams());
                    self.units = None;
                    self.question = None;
                }
                Want::Close => self.close_by = Some(instant() + CLOSE_TIME),
            }
        }
        self.close_by.is_some_and(|t| self.all_written() || instant() >= t)
    }

    /// Does all that can be done now. Ready when the connection may want something.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut turn = false;
        if let Some(question) = &mut self.question
            && let Poll::Ready(answer) = question.poll_unpin(cx)
        {
            self.question = None;
            match answer {
                Answer::Described(result) => self.connection.described(result, now()),
                Answer::Playing(Ok(playing)) => {
                    if self.connection.playing(Ok(&playing), now()) {
                        self.units = Some(playing.units);
                    }
                }
                Answer::Playing(Err(error)) => {
                    self.connection.playing(Err(error), now());
                }
            }
            turn = true;
        }
        // Read before writing: a request that stops or moves the playback overtakes it.
        turn |= self.poll_read(cx)?.is_ready();
        let mut wrote_all = false;
        for round in 1.. {
            self.fill(cx);
            let wrote = self.poll_write(cx)?.is_ready();
            wrote_all |= wrote;
            let packets = self.connection.datagrams();
            let sent = self.datagrams.poll_send(cx, packets, instant()).is_ready();
            if !wrote && !sent {
                break;
            }
            // A client that reads as fast as this writes must be heard all the same, and others
            // served.
            if self.poll_read(cx)?.is_ready() {
                turn = true;
                break;
            }
            if round == WRITES_A_TURN {
                cx.waker().wake_by_ref();
                break;
            }
        }
        let connection = &mut self.connection;
        self.datagrams.poll_rtcp(cx, |bytes| connection.received_rtcp(bytes, now()));
        turn |= self.poll_timer(cx).is_ready();
        if wrote_all && self.connection.out().is_empty() {
            // Requests may have waited for room.
            self.connection.tick(now());
        }
        turn |= self.connection.has_want();
        if turn || (self.close_by.is_some() && self.all_written()) {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    /// Takes units as long as they are there and there is room.
    fn fill(&mut self, cx: &mut Context<'_>) {
        while let Some(units) = self.units.as_mut().filter(|_| self.connection.wants_unit()) {
            match units.poll_next_unpin(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(unit))) => self.connection.unit(Some(unit), now()),
                Poll::Ready(Some(Err(error))) => {
                    tracing::warn!(%error, "playback failed");
                    self.units = None;
                    self.connection.failed();
                }
                Poll::Ready(None) => {
                    self.units = None;
                    self.connection.unit(None, now());
                }
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.connection.wants_input() {
            return Poll::Pending;
        }
        let input = self.connection.input();
        input.reserve(READ_BYTES);
        let read = ready!(poll_read_buf(Pin::new(&mut self.io), cx, input))?;
        if read == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.connection.received(now());
        Poll::Ready(Ok(()))
    }

    fn all_written(&mut self) -> bool {
        self.connection.out().is_empty() && !self.unflushed
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let out = self.connection.out();
        if out.is_empty() {
            if self.unflushed {
                self.unflushed = Pin::new(&mut self.io).poll_flush(cx)?.is_pending();
            }
            return Poll::Pending;
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let n = out.slices(&mut slices);
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..n]))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        out.advance(written);
        if out.is_empty() {
            self.unflushed = Pin::new(&mut self.io).poll_flush(cx)?.is_pending();
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when something is due now.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut deadline = match self.close_by {
            Some(t) => t,
            None => self.connection.deadline(self.grid),
        };
        if !self.connection.datagrams().is_empty()
            && let Some(next) = self.datagrams.next_portion()
        {
            deadline = deadline.min(next);
        }
        if self.timer.deadline().into_std() != deadline {
            self.timer.as_mut().reset(deadline.into());
        }
        ready!(self.timer.poll_unpin(cx));
        self.connection.tick(now());
        Poll::Ready(())
    }
}
