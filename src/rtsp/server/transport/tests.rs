//! Each transport on the wire, byte by byte, with the whole server behind it.

use std::sync::Arc;
use std::time::Duration;

use ::tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use ::tokio::time::{sleep, timeout};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;

use super::frames::tests::masked;
use super::{Via, serve_any};
use crate::message::{Item, Limits, Reader, Response, Status};
use crate::rtp::Packet;
use crate::server::tests::{Clip, FRAMES, START, extension, gate};
use crate::server::{Peer, ServerConfig, Shared};

const URL: &str = "rtsp://192.0.2.10:8080/replay/one";

/// A server to which connections are made in memory.
struct Hall {
    shared: Arc<Shared>,
}

impl Hall {
    fn new() -> Self {
        Self::with(ServerConfig::default())
    }

    fn with(config: ServerConfig) -> Self {
        Self { shared: Shared::new(config, Arc::new(Clip)) }
    }

    fn connect_from(&self, last: u8, via: Via) -> DuplexStream {
        let (ours, theirs) = duplex(64 * 1024);
        let peer = Peer { remote: [192, 0, 2, last].into(), local: [192, 0, 2, 10].into() };
        ::tokio::spawn(serve_any(theirs, BytesMut::new(), peer, via, self.shared.clone()));
        ours
    }

    fn connect(&self) -> DuplexStream {
        self.connect_from(9, Via::Plain)
    }

    /// Opens a connection, sends, and reads the head of an answer over HTTP.
    async fn ask(&self, text: &str) -> (DuplexStream, String) {
        let mut io = self.connect();
        io.write_all(text.as_bytes()).await.unwrap();
        let head = head(&mut io).await;
        (io, head)
    }

    async fn get(&self, cookie: &str) -> DuplexStream {
        let (io, head) = self.ask(&get(cookie)).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Type: application/x-rtsp-tunnelled\r\n"), "{head}");
        assert!(!head.contains("Content-Length"), "{head}");
        io
    }

    async fn post(&self, cookie: &str) -> DuplexStream {
        let mut io = self.connect();
        io.write_all(post(cookie).as_bytes()).await.unwrap();
        io
    }

    /// One of several players from one address, in memory.
    async fn websocket(&self) -> DuplexStream {
        let (io, head) = self.ask(UPGRADE).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
        assert!(head.contains("Sec-WebSocket-Protocol: rtsp.onvif.org\r\n"), "{head}");
        io
    }
}

fn get(cookie: &str) -> String {
    format!(
        "GET /replay/one HTTP/1.0\r\nx-sessioncookie: {cookie}\r\n\
         Accept: application/x-rtsp-tunnelled\r\n\r\n"
    )
}

fn post(cookie: &str) -> String {
    format!(
        "POST /replay/one HTTP/1.0\r\nx-sessioncookie: {cookie}\r\n\
         Content-Type: application/x-rtsp-tunnelled\r\nContent-Length: 32767\r\n\r\n"
    )
}

const UPGRADE: &str = "GET /replay HTTP/1.1\r\nHost: 192.0.2.10\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: rtsp.onvif.org\r\nSec-WebSocket-Version: 13\r\n\r\n";

async fn head(io: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match io.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// What comes from a server, message by message.
struct Answers<'a> {
    io: &'a mut DuplexStream,
    reader: Reader,
    websocket: bool,
}

impl<'a> Answers<'a> {
    fn plain(io: &'a mut DuplexStream) -> Self {
        Self { io, reader: Reader::new(Limits::default()), websocket: false }
    }

    fn websocket(io: &'a mut DuplexStream) -> Self {
        Self { io, reader: Reader::new(Limits::default()), websocket: true }
    }

    /// `None` when the server closed.
    async fn item(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.reader.next_item().unwrap() {
                return Some(item);
            }
            if self.websocket {
                let data = frame(self.io).await?;
                self.reader.push(&data);
            } else {
                let mut bytes = [0; 4096];
                match self.io.read(&mut bytes).await {
                    Ok(n) if n > 0 => self.reader.push(&bytes[..n]),
                    _ => return None,
                }
            }
        }
    }

    async fn response(&mut self) -> Response {
        loop {
            match self.item().await {
                Some(Item::Response(response)) => return response,
                Some(_) => {}
                None => panic!("closed"),
            }
        }
    }

    /// The capture times of the whole clip, in microseconds from its start.
    async fn clip(&mut self) -> Vec<i64> {
        let mut times = Vec::new();
        while times.len() < FRAMES as usize {
            if let Some(Item::Packet { channel: 0, data }) = self.item().await {
                let packet = (Packet::parse(&data).unwrap(), data.to_vec());
                let start = dvrgate_model::Utc::from_secs(START);
                times.extend(extension(&packet).map(|e| e.at.since_us(start)));
            }
        }
        times
    }
}

/// The data of a binary frame that a server sends: one, whole, not masked.
async fn frame(io: &mut DuplexStream) -> Option<Vec<u8>> {
    assert_eq!(io.read_u8().await.ok()?, 0x82);
    let length = match io.read_u8().await.ok()? {
        126 => usize::from(io.read_u16().await.ok()?),
        127 => usize::try_from(io.read_u64().await.ok()?).unwrap(),
        n => usize::from(n),
    };
    let mut data = vec![0; length];
    io.read_exact(&mut data).await.ok()?;
    Some(data)
}

fn setup() -> String {
    format!(
        "SETUP {URL}/track1 RTSP/1.0\r\nCSeq: 1\r\n\
         Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"
    )
}

fn play(session: &str) -> String {
    format!(
        "PLAY {URL} RTSP/1.0\r\nCSeq: 2\r\nSession: {session}\r\nRate-Control: no\r\n\
         Range: clock=19700112T134640Z-\r\n\r\n"
    )
}

fn session(response: &Response) -> String {
    assert_eq!(response.status, Status::OK);
    let session = response.fields.get("Session").unwrap();
    session.split(';').next().unwrap().to_owned()
}

/// Base64 with a line break after so many characters.
fn tunnelled(text: &str, width: usize) -> Vec<u8> {
    let text = STANDARD.encode(text).into_bytes();
    text.chunks(width).flat_map(|line| [line, b"\r\n"].concat()).collect()
}

fn clip() -> Vec<i64> {
    (0..FRAMES).map(|i| i * 40_000).collect()
}

/// R8.T-4, R8.1-1: requests in base64 with line breaks at any place.
#[::tokio::test]
async fn a_clip_through_a_tunnel() {
    for width in [1, 3, 64, 76, 10_000] {
        let hall = Hall::new();
        let (mut get, mut post) = (hall.get("a").await, hall.post("a").await);
        let mut answers = Answers::plain(&mut get);
        post.write_all(&tunnelled(&setup(), width)).await.unwrap();
        let session = session(&answers.response().await);
        post.write_all(&tunnelled(&play(&session), width)).await.unwrap();
        assert_eq!(answers.response().await.status, Status::OK);
        assert_eq!(answers.clip().await, clip());
    }
}

/// R8.T-4: a client may open a POST for each request, and nothing is lost between them.
#[::tokio::test]
async fn posts_are_closed_and_opened_again() {
    let hall = Hall::new();
    let mut get = hall.get("a").await;
    let mut answers = Answers::plain(&mut get);
    for cseq in 1..=20 {
        let mut post = hall.post("a").await;
        let request = format!("OPTIONS * RTSP/1.0\r\nCSeq: {cseq}\r\n\r\n");
        post.write_all(&tunnelled(&request, 76)).await.unwrap();
        post.shutdown().await.unwrap();
        // The next one is there before the server saw this one end.
        if cseq % 2 == 0 {
            let response = answers.response().await;
            assert_eq!(response.fields.get("CSeq"), Some((cseq - 1).to_string().as_str()));
            let response = answers.response().await;
            assert_eq!(response.fields.get("CSeq"), Some(cseq.to_string().as_str()));
        }
    }
}

#[::tokio::test(start_paused = true)]
async fn a_post_that_stays_open_gives_way_to_the_next() {
    let hall = Hall::new();
    let mut get = hall.get("a").await;
    let mut answers = Answers::plain(&mut get);
    let mut old = hall.post("a").await;
    old.write_all(&tunnelled("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", 76)).await.unwrap();
    answers.response().await;
    let mut new = hall.post("a").await;
    new.write_all(&tunnelled("OPTIONS * RTSP/1.0\r\nCSeq: 2\r\n\r\n", 76)).await.unwrap();
    assert_eq!(answers.response().await.fields.get("CSeq"), Some("2"));
    assert_eq!(old.read(&mut [0; 8]).await.unwrap(), 0, "the old one is closed");
}

#[::tokio::test(start_paused = true)]
async fn a_post_may_come_first_but_not_wait_for_ever() {
    let hall = Hall::new();
    let mut post = hall.post("a").await;
    post.write_all(&tunnelled("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", 76)).await.unwrap();
    sleep(Duration::from_secs(9)).await;
    let mut get = hall.get("a").await;
    assert_eq!(Answers::plain(&mut get).response().await.status, Status::OK);

    let mut alone = hall.post("b").await;
    assert!(head(&mut alone).await.starts_with("HTTP/1.1 408 "));
    assert_eq!(hall.shared.tunnels.count(), 1);
}

#[::tokio::test(start_paused = true)]
async fn a_get_without_a_post_ends_when_it_was_idle_for_too_long() {
    let hall = Hall::new();
    let mut get = hall.get("a").await;
    let patience = ServerConfig::default().idle_timeout + Duration::from_secs(2);
    assert_eq!(timeout(patience, get.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
    assert_eq!(hall.shared.tunnels.count(), 0);
}

#[::tokio::test]
async fn a_second_get_is_refused_and_the_first_plays_on() {
    let hall = Hall::new();
    let (mut first, mut post) = (hall.get("a").await, hall.post("a").await);
    let (_, answer) = hall.ask(&get("a")).await;
    assert!(answer.starts_with("HTTP/1.1 409 "), "{answer}");
    // From another address it is another tunnel, and so is a POST.
    let mut stranger = hall.connect_from(66, Via::Plain);
    stranger.write_all(get("a").as_bytes()).await.unwrap();
    assert!(head(&mut stranger).await.starts_with("HTTP/1.1 200 "));
    let mut forged = hall.connect_from(66, Via::Plain);
    forged.write_all(super::tests::post("a").as_bytes()).await.unwrap();
    forged.write_all(&tunnelled("OPTIONS * RTSP/1.0\r\nCSeq: 66\r\n\r\n", 76)).await.unwrap();
    assert_eq!(
        Answers::plain(&mut stranger).response().await.fields.get("CSeq"),
        Some("66"),
        "only to itself"
    );
    post.write_all(&tunnelled("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", 76)).await.unwrap();
    assert_eq!(Answers::plain(&mut first).response().await.fields.get("CSeq"), Some("1"));
}

/// What stands behind the announced length of a POST is never read as HTTP, and HTTP in it ends the
/// tunnel before any of it becomes RTSP.
#[::tokio::test]
async fn nothing_is_smuggled_through_a_tunnel() {
    for foreign in [
        "GET /replay/one HTTP/1.1\r\nx-sessioncookie: b\r\n\r\n",
        "POST /onvif/device_service HTTP/1.1\r\n\r\n",
        "OPTIONS * RTSP/1.0\r\nCSeq: 2\r\n\r\n",
        "T1BU*",
    ] {
        let hall = Hall::new();
        let (mut get, mut post) = (hall.get("a").await, hall.post("a").await);
        let mut answers = Answers::plain(&mut get);
        post.write_all(&tunnelled("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", 76)).await.unwrap();
        answers.response().await;
        post.write_all(foreign.as_bytes()).await.unwrap();
        assert_eq!(answers.item().await, None, "{foreign}");
        let mut answer = Vec::new();
        let _ = post.read_to_end(&mut answer).await;
        assert!(answer.is_empty(), "{foreign}");
    }
    for fields in ["x-sessioncookie: b\r\n", "Transfer-Encoding: chunked\r\n"] {
        let hall = Hall::new();
        let _get = hall.get("a").await;
        let text = post("a").replace("\r\n\r\n", &format!("\r\n{fields}\r\n"));
        let (_, answer) = hall.ask(&text).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 501 "));
    }
}

#[::tokio::test]
async fn a_group_cut_in_two_by_the_end_of_a_post_ends_the_tunnel() {
    let hall = Hall::new();
    let (mut get, mut post) = (hall.get("a").await, hall.post("a").await);
    post.write_all(b"T1BUSU9O").await.unwrap();
    post.write_all(b"UyA").await.unwrap();
    post.shutdown().await.unwrap();
    assert_eq!(Answers::plain(&mut get).item().await, None);
}

#[::tokio::test]
async fn endless_requests_and_strays_are_bounded() {
    // One request that never ends.
    let hall = Hall::new();
    let (mut get, mut post) = (hall.get("a").await, hall.post("a").await);
    let line = STANDARD.encode("X-Endless: yes, and so on for ever\r\n");
    let flood = async {
        post.write_all(STANDARD.encode("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n").as_bytes()).await?;
        loop {
            post.write_all(line.as_bytes()).await?;
        }
    };
    let (flooded, response) =
        ::tokio::join!(flood, async { Answers::plain(&mut get).response().await });
    let _: std::io::Error = {
        let r: std::io::Result<()> = flooded;
        r.unwrap_err()
    };
    assert_eq!(response.status, Status::BAD_REQUEST);

    // Bytes on the half where the client has nothing to say.
    let mut get = hall.get("b").await;
    let stray = async {
        loop {
            if get.write_all(&[b'x'; 4096]).await.is_err() {
                break;
            }
        }
    };
    timeout(Duration::from_secs(10), stray).await.unwrap();

    // A head that never ends.
    let mut io = hall.connect();
    let head = async {
        io.write_all(b"GET / HTTP/1.1\r\n").await?;
        loop {
            io.write_all(b"a: b\r\n").await?;
        }
    };
    let ended: std::io::Result<()> = timeout(Duration::from_secs(10), head).await.unwrap();
    ended.unwrap_err();
}

#[::tokio::test(start_paused = true)]
async fn slow_openings_are_closed() {
    let hall = Hall::new();
    for opening in ["", "G", "GET /replay HTTP/1.1\r\nHost"] {
        let mut io = hall.connect();
        io.write_all(opening.as_bytes()).await.unwrap();
        let patience = ServerConfig::default().idle_timeout + Duration::from_secs(2);
        let end = timeout(patience, io.read(&mut [0; 8])).await.unwrap();
        assert_eq!(end.unwrap_or(0), 0, "{opening}");
    }
}

#[::tokio::test]
async fn the_client_ends_a_tunnel_by_closing_the_get() {
    let hall = Hall::new();
    let (get, mut post) = (hall.get("a").await, hall.post("a").await);
    drop(get);
    assert_eq!(post.read(&mut [0; 8]).await.unwrap_or(0), 0);
    while hall.shared.tunnels.count() > 0 {
        ::tokio::task::yield_now().await;
    }
}

/// The media stay in what the client chose, and the log-in is that of RTSP (R8.1-7).
#[::tokio::test]
async fn datagrams_are_not_offered_inside_and_digest_is() {
    let hall = Hall::with(ServerConfig { gate: Some(gate()), ..ServerConfig::default() });
    let (mut get, mut post) = (hall.get("a").await, hall.post("a").await);
    post.write_all(&tunnelled(&setup(), 76)).await.unwrap();
    let response = Answers::plain(&mut get).response().await;
    assert_eq!(response.status, Status::UNAUTHORIZED);
    assert!(response.fields.get("WWW-Authenticate").unwrap().starts_with("Digest "));

    let hall = Hall::new();
    let udp = setup().replace("RTP/AVP/TCP;unicast;interleaved=0-1", "RTP/AVP;client_port=4000-1");
    let mut tls = hall.connect_from(9, Via::Tls);
    tls.write_all(udp.as_bytes()).await.unwrap();
    let response = Answers::plain(&mut tls).response().await;
    assert_eq!(response.status, Status::UNSUPPORTED_TRANSPORT);
}

/// R8.T-6
#[::tokio::test]
async fn a_clip_through_a_websocket() {
    let hall = Hall::new();
    let mut io = hall.websocket().await;
    // A request over several frames, with a ping between two of them.
    for part in setup().as_bytes().chunks(7) {
        io.write_all(&masked(0x82, part)).await.unwrap();
    }
    let session = session(&Answers::websocket(&mut io).response().await);
    let play = play(&session);
    let (first, second) = play.split_at(20);
    io.write_all(&masked(0x02, first.as_bytes())).await.unwrap();
    io.write_all(&masked(0x89, b"are you there")).await.unwrap();
    let mut pong = [0; 15];
    io.read_exact(&mut pong).await.unwrap();
    assert_eq!(pong[..], [&[0x8a, 13][..], b"are you there"].concat());
    io.write_all(&masked(0x80, second.as_bytes())).await.unwrap();
    let mut answers = Answers::websocket(&mut io);
    assert_eq!(answers.response().await.status, Status::OK);
    assert_eq!(answers.clip().await, clip());
    io.write_all(&masked(0x88, &[0x03, 0xe8])).await.unwrap();
    let mut last = Vec::new();
    io.read_to_end(&mut last).await.unwrap();
    assert!(last.ends_with(&[0x88, 2, 0x03, 0xe8]), "{last:x?}");
}

/// R8.T-6
#[::tokio::test]
async fn a_websocket_carries_no_text_and_no_other_protocol() {
    let hall = Hall::new();
    let mut io = hall.websocket().await;
    io.write_all(&masked(0x81, b"OPTIONS * RTSP/1.0\r\n\r\n")).await.unwrap();
    let mut last = Vec::new();
    io.read_to_end(&mut last).await.unwrap();
    assert_eq!(last, [0x88, 2, 0x03, 0xeb]);
    let (_, head) = hall.ask(&UPGRADE.replace("rtsp.onvif.org", "chat")).await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    let (_, head) = hall.ask(&UPGRADE.replace("Version: 13", "Version: 7")).await;
    assert!(head.starts_with("HTTP/1.1 426 ") && head.contains("Version: 13\r\n"), "{head}");
    let (_, head) = hall.ask("GET /elsewhere HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
}

/// Frames are whole when they are written; a client that stops reading stops the server, not more.
#[::tokio::test]
async fn a_websocket_that_nobody_reads_holds_little() {
    let hall = Hall::new();
    let mut io = hall.websocket().await;
    io.write_all(&masked(0x82, setup().as_bytes())).await.unwrap();
    let session = session(&Answers::websocket(&mut io).response().await);
    // Pings until the server takes no more: the pongs fill the pipe, then a bounded buffer.
    let ping = masked(0x89, &[b'p'; 125]);
    let mut sent = 0usize;
    while timeout(Duration::from_millis(200), io.write_all(&ping)).await.is_ok() {
        sent += ping.len();
        assert!(sent < 1 << 20, "unbounded");
    }
    drop(session);
}

/// Whatever part of an opening comes, the server neither panics nor answers out of turn.
#[::tokio::test]
async fn every_prefix_of_every_transport() {
    let wires = [
        [get("a").into_bytes(), b"stray".to_vec()].concat(),
        [post("a").into_bytes(), tunnelled(&setup(), 76)].concat(),
        [UPGRADE.as_bytes().to_vec(), masked(0x82, setup().as_bytes())].concat(),
        setup().into_bytes(),
    ];
    for wire in wires {
        for end in 0..wire.len() {
            let hall = Hall::new();
            let (mut ours, theirs) = duplex(64 * 1024);
            let peer = Peer { remote: [192, 0, 2, 9].into(), local: [192, 0, 2, 10].into() };
            let serving = serve_any(theirs, BytesMut::new(), peer, Via::Plain, hall.shared.clone());
            ours.write_all(&wire[..end]).await.unwrap();
            ours.shutdown().await.unwrap();
            if wire.starts_with(b"POST") && end >= post("a").len() {
                // It waits for its other half.
                drop(::tokio::spawn(serving));
                continue;
            }
            let _ = timeout(Duration::from_secs(10), serving).await.unwrap();
            assert_eq!(hall.shared.tunnels.count(), 0);
        }
    }
}
