//! Runs connections, with UDP ports for those that want datagrams.

mod listen;

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use ::tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use ::tokio::time::{Sleep, sleep_until, timeout};
use bytes::BytesMut;
use dvrgate_model::{Result, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use tokio_util::io::poll_read_buf;

use super::seats::Seat;
use super::transport::Pairs;
use super::udp::Datagrams;
use super::{Application, Connection, Now, Peer, Playing, Presentation, ServerConfig, Unit, Want};

pub use self::listen::Server;

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
    /// For [`serve_connection`] and [`super::transport::serve_any`].
    pub fn new(config: ServerConfig, application: Arc<dyn Application>) -> Arc<Self> {
        let tunnels = Arc::default();
        Arc::new(Self { config: Arc::new(config), application, grid: instant(), tunnels })
    }
}

/// Slices of one vectored write; the kernel takes 1024.
const SLICES: usize = 1024;
const READ_BYTES: usize = 16 * 1024;
/// Writes, of some 256 kB each, after which other connections have their turn.
const WRITES_A_TURN: usize = 8;
/// Time to write the last answer to a client that does not read.
const CLOSE_TIME: Duration = Duration::from_secs(1);

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
