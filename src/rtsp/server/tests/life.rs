//! How sessions stay alive, and what is left when they do not.

use super::*;

/// R8.7-1, R8.7-2, R8.7-4, R8.7-5
#[test]
fn sessions_end_without_signs_of_life() {
    let mut b = Bench::new(ServerConfig::default());
    let session = setup(&mut b);
    let minute = Duration::from_secs(50);
    b.wait(minute);
    b.send(&format!("GET_PARAMETER {URL} RTSP/1.0\nCSeq: 3\nSession: {session}\n\n"));
    b.wait(minute);
    b.send_bytes(b"$\x01\x00\x08\x80\xc9\x00\x01\x00\x00\x00\x09");
    b.wait(minute);
    b.connection.received_rtcp(&[0x80, 201, 0, 1, 0, 0, 0, 9], b.now);
    b.wait(minute);
    assert!(!b.closed);
    b.connection.received_rtcp(b"no RTCP", b.now);
    b.wait(Duration::from_secs(10));
    assert!(b.closed);
    assert!(b.connection.session.is_none());
    let mut idle = Bench::new(ServerConfig::default());
    idle.wait(Duration::from_secs(60));
    assert!(idle.closed);
}

/// R7.2-6, R8.7-3: what is set while the server runs holds for sessions that begin afterwards.
#[test]
fn the_timeout_can_change() {
    let config = ServerConfig::default();
    let timeout = config.session_timeout.clone();
    let mut old = Bench::new(config.clone());
    let session = setup(&mut old);
    timeout.set(Duration::from_secs(20));
    let mut new = Bench::new(config);
    let wire = new.send(&format!(
        "SETUP {URL}/track1 RTSP/1.0\nCSeq: 2\nTransport: RTP/AVP/TCP;interleaved=0-1\n\n"
    ));
    assert!(field(&wire, "Session").ends_with(";timeout=20"), "{}", text(&wire));
    new.wait(Duration::from_secs(19));
    old.wait(Duration::from_secs(30));
    assert!(!new.closed && !old.closed);
    new.wait(Duration::from_secs(1));
    assert!(new.closed);
    let alive = format!("GET_PARAMETER {URL} RTSP/1.0\nCSeq: 3\nSession: {session}\n\n");
    assert_eq!(field(&old.send(&alive), "Session"), format!("{session};timeout=60"));
}

/// An application that counts the playbacks whose footage somebody still holds.
#[derive(Debug, Default)]
struct Counted {
    open: Arc<std::sync::atomic::AtomicUsize>,
    /// Playback fails after so many units.
    fails_after: Option<i64>,
}

/// Footage that is being read.
struct Held(Arc<std::sync::atomic::AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Counted {
    fn open(&self) -> usize {
        self.open.load(std::sync::atomic::Ordering::SeqCst)
    }
}

impl Application for Counted {
    fn describe(&self, request: DescribeRequest) -> BoxFuture<'_, Result<Presentation>> {
        Clip.describe(request)
    }

    fn play(&self, request: PlayRequest) -> BoxFuture<'_, Result<Playing>> {
        self.open.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let fails_after = self.fails_after.unwrap_or(i64::MAX);
        let held = Held(Arc::clone(&self.open));
        async move {
            let (next, paced) =
                (request.media[0].next, request.rate_control == RateControl::Server);
            let endless = stream::unfold((0i64, held), move |(i, held)| async move {
                // A second of footage, over and over: it never ends.
                let unit = match i < fails_after {
                    true => Ok(unit(i, 0, next, paced)),
                    false => Err(Error::new(
                        dvrgate_model::ErrorKind::Unreachable,
                        "the recorder is gone",
                    )),
                };
                Some((unit, (i + 1, held)))
            });
            Ok(Playing {
                start: Some(frame_at(0)),
                end: None,
                scale: 1.0,
                rtp_times: vec![(0, next)],
                units: endless.boxed(),
            })
        }
        .boxed()
    }
}

/// A client in memory of a server in memory.
struct Peerless {
    io: tokio::io::DuplexStream,
    reader: crate::message::Reader,
    session: String,
}

impl Peerless {
    /// Connected by a pipe of that many bytes, playing.
    async fn playing(shared: &Arc<Shared>, pipe_bytes: usize, fields: &str) -> Self {
        let (io, server) = tokio::io::duplex(pipe_bytes);
        let local = "192.0.2.10".parse().unwrap();
        let peer = Peer { remote: "192.0.2.9".parse().unwrap(), local };
        tokio::spawn(serve_connection(server, peer, shared.clone()));
        let reader = crate::message::Reader::new(crate::message::Limits::default());
        let mut client = Self { io, reader, session: String::new() };
        let tcp = "Transport: RTP/AVP/TCP;interleaved=0-1";
        client.send(&format!("SETUP {URL}/track1 RTSP/1.0\r\nCSeq: 1\r\n{tcp}\r\n\r\n")).await;
        let answer = loop {
            if let crate::message::Item::Response(answer) = client.item().await.unwrap() {
                break answer;
            }
        };
        let session = answer.fields.get("Session").unwrap().split(';').next().unwrap();
        client.session = session.to_owned();
        client.ask("PLAY", fields).await;
        client
    }

    async fn send(&mut self, text: &str) {
        use tokio::io::AsyncWriteExt as _;
        self.io.write_all(text.as_bytes()).await.unwrap();
    }

    async fn ask(&mut self, method: &str, fields: &str) {
        let session = &self.session;
        let text =
            format!("{method} {URL} RTSP/1.0\r\nCSeq: 2\r\nSession: {session}\r\n{fields}\r\n");
        self.send(&text).await;
    }

    async fn item(&mut self) -> Option<crate::message::Item> {
        use tokio::io::AsyncReadExt as _;
        loop {
            if let Some(item) = self.reader.next_item().unwrap() {
                return Some(item);
            }
            if self.io.read_buf(self.reader.buffer()).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// When the first packet of each of the next units arrived.
    async fn units(&mut self, count: usize) -> Vec<tokio::time::Instant> {
        let mut times = Vec::new();
        while times.len() < count {
            if let Some(crate::message::Item::Packet { channel: 0, data }) = self.item().await
                && extension(&(Packet::parse(&data).unwrap(), data.to_vec())).is_some()
            {
                times.push(tokio::time::Instant::now());
            }
        }
        times
    }
}

fn hall() -> (Arc<Shared>, Arc<Counted>) {
    let application = Arc::new(Counted::default());
    (Shared::new(ServerConfig::default(), application.clone()), application)
}

/// Lets that much simulated time pass, and what falls due in it happen.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// R8.7-4: a session that dies, in whichever way, lets go of its footage (and with it of its place at
/// the recorder) within a second.
#[tokio::test(start_paused = true)]
async fn a_session_that_dies_lets_go_of_its_footage() {
    let second = Duration::from_secs(1);
    for (fields, pipe_bytes) in [("", 1 << 20), ("Rate-Control: no\r\n", 4096)] {
        let (shared, application) = hall();
        // The connection is gone.
        let client = Peerless::playing(&shared, pipe_bytes, fields).await;
        pass(second).await;
        assert_eq!(application.open(), 1);
        drop(client);
        pass(second).await;
        assert_eq!(application.open(), 0, "closed {fields}");
        // The client is silent for as long as a session may be.
        let client = Peerless::playing(&shared, pipe_bytes, fields).await;
        pass(Duration::from_secs(59)).await;
        assert_eq!(application.open(), 1);
        pass(2 * second).await;
        assert_eq!(application.open(), 0, "timed out {fields}");
        drop(client);
        // It says what is no RTSP.
        let mut client = Peerless::playing(&shared, pipe_bytes, fields).await;
        pass(second).await;
        client.send("\u{1}garbage\r\n").await;
        pass(second).await;
        assert_eq!(application.open(), 0, "garbage {fields}");
        // It says goodbye.
        let mut client = Peerless::playing(&shared, pipe_bytes, fields).await;
        client.ask("TEARDOWN", "").await;
        pass(second).await;
        assert_eq!(application.open(), 0, "torn down {fields}");
        // Another place in the footage replaces the one before.
        let mut client = Peerless::playing(&shared, pipe_bytes, fields).await;
        client.ask("PLAY", "Immediate: yes\r\nRange: clock=19700112T134640Z-\r\n").await;
        pass(second).await;
        assert_eq!(application.open(), 1, "moved {fields}");
    }
}

/// A playback that fails: all that came, a goodbye, and the connection ends; nobody waits in vain.
#[tokio::test(start_paused = true)]
async fn a_playback_that_fails_is_not_silence() {
    for fields in ["", "Rate-Control: no\r\n"] {
        let application = Arc::new(Counted { fails_after: Some(10), ..Counted::default() });
        let shared = Shared::new(ServerConfig::default(), application.clone());
        let mut client = Peerless::playing(&shared, 1 << 20, fields).await;
        client.units(10).await;
        let mut goodbyes = 0;
        while let Some(item) = client.item().await {
            if let crate::message::Item::Packet { channel: 1, data } = item {
                let all = crate::rtp::rtcp_compound(&data).unwrap();
                goodbyes += usize::from(matches!(all.last(), Some(crate::rtp::Rtcp::Bye { .. })));
            }
        }
        assert_eq!((goodbyes, application.open()), (1, 0), "{fields}");
    }
}

/// One reader that is stuck, fifty that are slow: the one that reads has every picture at its time,
/// and seeks as if it were alone.
#[tokio::test(start_paused = true)]
async fn stuck_readers_delay_nobody() {
    let (shared, application) = hall();
    let mut stuck = Vec::new();
    for n in 0..51 {
        let pipe_bytes = if n == 0 { 512 } else { 16 * 1024 };
        stuck.push(Peerless::playing(&shared, pipe_bytes, "Rate-Control: no\r\n").await);
    }
    let mut brisk = Peerless::playing(&shared, 1 << 20, "").await;
    let mut times = brisk.units(1).await;
    for round in 0..10 {
        times.extend(brisk.units(10).await);
        for slow in &mut stuck[1..] {
            slow.units(round + 1).await;
        }
    }
    for (n, time) in times.iter().enumerate() {
        let due = times[0] + Duration::from_millis(40) * n as u32;
        let late = time.saturating_duration_since(due).max(due.saturating_duration_since(*time));
        assert!(late <= TICK, "unit {n}: {late:?}");
    }
    let asked = tokio::time::Instant::now();
    brisk
        .ask("PLAY", "Immediate: yes\r\nRate-Control: no\r\nRange: clock=19700112T134640Z-\r\n")
        .await;
    brisk.units(2).await;
    assert!(asked.elapsed() <= TICK, "{:?}", asked.elapsed());
    assert_eq!(application.open(), 52);
}
