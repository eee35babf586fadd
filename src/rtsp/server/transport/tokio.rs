//! Opens connections: finds out what they carry, answers the HTTP around it, and brings the halves of
//! tunnels together.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use ::tokio::time::timeout;
use bytes::{Buf as _, Bytes, BytesMut};

use super::base64::Decoder;
use super::opening::{self, Asks, HttpStatus, Opening};
use super::pairs::Up;
use super::tunnel::Tunnel;
use super::websocket::WebSocket;
use crate::server::Peer;
use crate::server::seats::Seat;
use crate::server::tokio::{Shared, serve_opened};

/// A connection's bytes.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How a connection came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Via {
    /// As it is.
    Plain,
    /// Decrypted.
    Tls,
}

/// How long one half of a tunnel waits for the other, and a POST for the one before it to end.
const MEETING_TIME: Duration = Duration::from_secs(10);
/// How long a POST may still bring something after the next one was opened.
const HANDOVER_TIME: Duration = Duration::from_secs(1);
/// Time to write the answer to a request over HTTP.
const ANSWER_TIME: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 4 * 1024;
/// A first request fits in.
const FIRST_BYTES: usize = 512;

/// Serves a connection, whatever it turns out to carry. `first` was read from it already.
pub async fn serve_any<S>(
    io: S,
    first: BytesMut,
    peer: Peer,
    via: Via,
    shared: Arc<Shared>,
) -> io::Result<()>
where
    S: Stream + 'static,
{
    serve_seated(io, first, peer, via, shared, Seat::default()).await
}

/// The same for a connection that may have to give way.
pub(in crate::server) async fn serve_seated<S>(
    mut io: S,
    mut first: BytesMut,
    peer: Peer,
    via: Via,
    shared: Arc<Shared>,
    seat: Seat,
) -> io::Result<()>
where
    S: Stream + 'static,
{
    let patience = shared.config.idle_timeout;
    let opened = timeout(patience, open(&mut io, &mut first)).await;
    let asks = match opened.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
        Some(asks) => asks,
        // Over TLS the footage stays in it.
        None => return serve_opened(io, first, peer, via == Via::Plain, shared, seat).await,
    };
    // Few, and there is a copy or a pairing anyway: one type for all of them is enough.
    let io: Box<dyn Stream> = Box::new(io);
    let result = match asks {
        Asks::Refused(status) => Err((io, status)),
        Asks::WebSocket(accept) => {
            let answer = opening::websocket_answer(&shared.config.name, &accept);
            return match say(io, &answer).await? {
                Some(io) => {
                    let io = WebSocket::new(io, first);
                    serve_opened(io, BytesMut::new(), peer, false, shared, seat).await
                }
                None => Ok(()),
            };
        }
        Asks::TunnelDown(cookie) => match shared.tunnels.down(peer.remote, cookie) {
            Ok(down) => {
                let answer = opening::tunnel_answer(&shared.config.name);
                return match say(io, &answer).await? {
                    Some(io) => {
                        let io = Tunnel::new(io, down);
                        serve_opened(io, BytesMut::new(), peer, false, shared, seat).await
                    }
                    None => Ok(()),
                };
            }
            Err(status) => Err((io, status)),
        },
        Asks::TunnelUp(cookie) => match shared.tunnels.up(peer.remote, cookie) {
            Ok(up) => carry(io, first, up, &seat).await,
            Err(status) => Err((io, status)),
        },
    };
    if let Err((io, status)) = result {
        tracing::debug!(status = status.0, remote = %peer.remote, "refused over HTTP");
        if let Some(mut io) = say(io, &opening::refusal(&shared.config.name, status)).await? {
            let _ = timeout(ANSWER_TIME, io.shutdown()).await;
        }
    }
    Ok(())
}

/// Reads until it is clear what a connection carries; `None` is RTSP. Of an HTTP request only what
/// follows the head is left in `first`.
async fn open<S: Stream>(io: &mut S, first: &mut BytesMut) -> io::Result<Option<Asks>> {
    loop {
        match opening::read(first) {
            Opening::Rtsp => return Ok(None),
            Opening::Request { asks, head_bytes } => {
                first.advance(head_bytes);
                return Ok(Some(asks));
            }
            Opening::Http => return Ok(Some(Asks::Refused(HttpStatus::NOT_FOUND))),
            Opening::Unclear => {
                first.reserve(FIRST_BYTES);
                if io.read_buf(first).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
}

/// Answers; `None` where the client does not take it.
async fn say(mut io: Box<dyn Stream>, text: &str) -> io::Result<Option<Box<dyn Stream>>> {
    let said = timeout(ANSWER_TIME, async {
        io.write_all(text.as_bytes()).await?;
        io.flush().await
    });
    Ok(match said.await {
        Ok(result) => result.map(|()| Some(io))?,
        Err(_) => None,
    })
}

/// Carries the requests of one POST into its tunnel until either ends. It is never answered, unless
/// it is refused.
async fn carry(
    mut io: Box<dyn Stream>,
    first: BytesMut,
    mut up: Up,
    seat: &Seat,
) -> Result<(), (Box<dyn Stream>, HttpStatus)> {
    let mine = *up.newest.borrow_and_update();
    if timeout(MEETING_TIME, up.paired.wait_for(|paired| *paired)).await.is_err() {
        return Err((io, HttpStatus::TIMEOUT));
    }
    seat.set_busy(true);
    let turn = up.turn.clone();
    let Ok(_turn) = timeout(MEETING_TIME, turn.lock()).await else {
        return Err((io, HttpStatus::UNAVAILABLE));
    };
    let mut decoder = Decoder::default();
    let mut piece = first.to_vec();
    let broken = loop {
        let mut bytes = Vec::new();
        if decoder.decode(&piece, &mut bytes).is_err() {
            break true;
        }
        if !bytes.is_empty() && up.input.send(Ok(bytes.into())).await.is_err() {
            return Ok(());
        }
        piece.resize(READ_BYTES, 0);
        let followed = *up.newest.borrow_and_update() > mine;
        let read = ::tokio::select! {
            () = up.input.closed() => return Ok(()),
            // Looks again, with less patience.
            _ = up.newest.changed(), if !followed => None,
            read = io.read(&mut piece) => Some(read),
            () = ::tokio::time::sleep(HANDOVER_TIME), if followed => Some(Ok(0)),
        };
        match read {
            None => piece.clear(),
            Some(Ok(n)) if n > 0 => piece.truncate(n),
            Some(_) => break !decoder.is_whole(),
        }
    };
    if broken {
        // What is lost or foreign could be half a request: nothing of this tunnel is safe any more.
        let error = io::Error::new(io::ErrorKind::InvalidData, "a tunnel's base64 is broken");
        let _ = up.input.send(Err::<Bytes, _>(error)).await;
    }
    Ok(())
}
