//! What RTSP travels in: how connections open, base64, WebSocket frames, and the whole of it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use dvrgate_model::Result;
use dvrgate_rtsp::server::transport::base64::{Decoder, NotBase64};
use dvrgate_rtsp::server::transport::frames::{Closing, Frames, MAX_FRAME_BYTES, binary_head};
use dvrgate_rtsp::server::transport::opening::{self, Asks, MAX_HEAD_BYTES, Opening};
use dvrgate_rtsp::server::transport::{Via, serve_any};
use dvrgate_rtsp::server::{
    Application, DescribeRequest, Peer, PlayRequest, Playing, Presentation, ServerConfig, Shared,
};
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};

/// The first bytes of a connection. Once they are understood, more bytes change nothing.
pub fn rtsp_opening(data: &[u8]) {
    let mut known: Option<Opening> = None;
    for end in 0..=data.len().min(2 * MAX_HEAD_BYTES) {
        let now = opening::read(&data[..end]);
        assert_eq!(opening::takes(&data[..end]).is_none(), now == Opening::Unclear);
        if let Some(before) = &known {
            assert_eq!(before, &now, "after {end} bytes");
        }
        match &now {
            Opening::Unclear => assert!(end < MAX_HEAD_BYTES, "a head without an end"),
            Opening::Request { asks, head_bytes } => {
                assert!(*head_bytes <= end && *head_bytes <= MAX_HEAD_BYTES);
                let text = match asks {
                    Asks::WebSocket(accept) => opening::websocket_answer("dvrgate", accept),
                    Asks::Refused(status) => opening::refusal("dvrgate", *status),
                    Asks::TunnelDown(_) | Asks::TunnelUp(_) => opening::tunnel_answer("dvrgate"),
                };
                assert_eq!(text.find("\r\n\r\n"), Some(text.len() - 4), "one head: {text:?}");
                return;
            }
            Opening::Rtsp | Opening::Http => known = Some(now),
        }
        // The rest of a long one teaches nothing new byte by byte.
        if known.is_some() && end > 64 {
            return;
        }
    }
}

/// Base64 in pieces: what is taken is what a strict decoder makes of every message.
pub fn rtsp_base64(data: &[u8]) {
    let whole = decoded(data, data.len().max(1));
    for size in super::piece_sizes(data) {
        let cut = decoded(data, size);
        assert_eq!(cut.0.is_ok(), whole.0.is_ok());
        if whole.0.is_ok() {
            assert_eq!(cut, whole, "pieces of {size}");
        }
    }
    let (result, rest, bytes) = whole;
    assert!(bytes.len() <= data.len() / 4 * 3 + 3);
    let text: Vec<u8> = data.iter().copied().filter(|b| !b"\r\n".contains(b)).collect();
    if result.is_ok() && rest && !text.contains(&b'=') {
        assert_eq!(STANDARD.decode(&text).as_ref(), Ok(&bytes));
    }
    // And the way there and back, whatever the bytes.
    let again = decoded(STANDARD.encode(data).as_bytes(), 7);
    assert_eq!(again, (Ok(()), true, data.to_vec()));
}

/// The result, whether nothing waits, and what came out.
fn decoded(data: &[u8], piece: usize) -> (std::result::Result<(), NotBase64>, bool, Vec<u8>) {
    let (mut decoder, mut bytes) = (Decoder::default(), Vec::new());
    for piece in data.chunks(piece) {
        if let Err(error) = decoder.decode(piece, &mut bytes) {
            return (Err(error), false, bytes);
        }
    }
    (Ok(()), decoder.is_whole(), bytes)
}

/// A client's WebSocket frames: borders of reads mean nothing, answers are frames, and little is
/// kept.
pub fn rtsp_websocket(data: &[u8]) {
    let whole = framed(data, data.len().max(1));
    for size in super::piece_sizes(data) {
        assert_eq!(framed(data, size), whole, "pieces of {size}");
    }
    let (result, bytes, replies) = whole;
    assert!(bytes.len() <= data.len() && replies.len() <= data.len() + 4);
    let mut rest = &replies[..];
    let mut closed = false;
    while let [head, length, tail @ ..] = rest {
        assert!(!closed && *head & 0x80 != 0 && *length <= 125, "an unmasked control frame");
        closed = *head & 0x0f == 8;
        rest = tail.get(usize::from(*length)..).expect("whole frames");
    }
    assert!(rest.is_empty() && closed == result.is_err());
    let mut head = Vec::new();
    binary_head(data.len().min(MAX_FRAME_BYTES), &mut head);
    assert!(matches!(head.len(), 2 | 4 | 10));
}

fn framed(data: &[u8], piece: usize) -> (std::result::Result<(), Closing>, Vec<u8>, Vec<u8>) {
    let (mut frames, mut bytes, mut replies) = (Frames::default(), Vec::new(), Vec::new());
    for piece in data.chunks(piece) {
        if let Err(closing) = frames.decode(piece, &mut bytes, &mut replies) {
            return (Err(closing), bytes, replies);
        }
    }
    (Ok(()), bytes, replies)
}

/// What one connection sends is followed by this and the next connection.
const NEXT: &[u8] = b"@@";
const MAX_CONNECTIONS: usize = 4;
/// Longer than every patience of the server.
const LONG: Duration = Duration::from_secs(300);

/// A byte of switches (1: log-in needed, 2: clients stay instead of closing, 4: over TLS), then
/// what the connections of one client send, one after the other. In them `[` and `]` enclose what
/// travels as base64.
pub fn rtsp_tunnel(data: &[u8]) {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without input and output needs nothing");
    }
    let Some((switches, script)) = data.split_first() else { return };
    let gate = (switches & 1 != 0).then(super::auth::gate);
    let via = if switches & 4 != 0 { Via::Tls } else { Via::Plain };
    let stay = switches & 2 != 0;
    let config = ServerConfig { gate, ..Default::default() };
    RUNTIME.with(|r| {
        r.block_on(async {
            let shared = Shared::new(config, Arc::new(Recorded));
            let (mut served, mut clients) = (Vec::new(), Vec::new());
            for text in parts(script, NEXT).take(MAX_CONNECTIONS) {
                let (ours, theirs) = duplex(4096);
                let peer = Peer { remote: [192, 0, 2, 9].into(), local: [192, 0, 2, 10].into() };
                let first = BytesMut::new();
                served.push(tokio::spawn(serve_any(theirs, first, peer, via, shared.clone())));
                clients.push(tokio::spawn(talk(ours, sent(text), stay)));
            }
            for task in served {
                let ended = tokio::time::timeout(LONG, task).await.expect("no connection stays");
                let _ = ended.expect("no connection panics");
            }
            for task in clients {
                check(&task.await.expect("the client ends"));
            }
        })
    });
}

/// Sends, and returns all that comes.
async fn talk(io: DuplexStream, text: Vec<u8>, stay: bool) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(io);
    let sending = async move {
        let _ = write.write_all(&text).await;
        if stay {
            tokio::time::sleep(LONG).await;
        }
        let _ = write.shutdown().await;
    };
    let mut got = Vec::new();
    let receiving = async { read.read_to_end(&mut got).await };
    tokio::pin!(sending);
    tokio::pin!(receiving);
    // Who is hung up on does not stay.
    match futures::future::select(sending, receiving).await {
        futures::future::Either::Left(((), receiving)) => drop(receiving.await),
        futures::future::Either::Right(_) => {}
    }
    got
}

/// The server speaks RTSP or HTTP, and of HTTP one answer a connection.
fn check(got: &[u8]) {
    let begins = |with: &[u8]| got.starts_with(with) || got.is_empty();
    assert!(begins(b"HTTP/1.1 ") || begins(b"RTSP/1.0 "), "{:?}", got.escape_ascii().to_string());
    let answers = parts(got, b"HTTP/1.1 ").count() - 1;
    assert!(answers <= 1, "{answers} answers over HTTP");
}

fn parts<'a>(data: &'a [u8], at: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let here = rest?;
        let end = here.windows(at.len()).position(|w| w == at);
        rest = end.map(|n| &here[n + at.len()..]);
        Some(&here[..end.unwrap_or(here.len())])
    })
}

fn sent(text: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for (n, part) in parts(text, b"[").enumerate() {
        let (inner, plain) = match part.iter().position(|b| *b == b']') {
            Some(end) if n > 0 => (&part[..end], &part[end + 1..]),
            _ => (&[][..], part),
        };
        wire.extend_from_slice(STANDARD.encode(inner).as_bytes());
        wire.extend_from_slice(plain);
    }
    wire
}

/// What the server plays: the clip of the other target.
#[derive(Debug)]
struct Recorded;

impl Application for Recorded {
    fn describe(&self, request: DescribeRequest) -> BoxFuture<'_, Result<Presentation>> {
        async move { super::server::presentation(&request.path) }.boxed()
    }

    fn play(&self, request: PlayRequest) -> BoxFuture<'_, Result<Playing>> {
        let played = super::server::play(&request);
        async move {
            let (mut playing, units) = played?;
            playing.units = futures::stream::iter(units.into_iter().map(Ok)).boxed();
            Ok(playing)
        }
        .boxed()
    }
}
