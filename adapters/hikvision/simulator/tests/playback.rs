//! Footage over RTSP: the dialogue by hand, the pictures by ffmpeg.

use super::*;

/// A client that speaks one request at a time and collects interleaved packets.
struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
    cseq: u32,
    challenge: Option<String>,
    session: Option<String>,
}

impl Client {
    async fn connect(sim: &Handle) -> Self {
        let socket = TcpStream::connect(sim.rtsp_addr).await.unwrap();
        Self { socket, buffer: Vec::new(), cseq: 0, challenge: None, session: None }
    }

    /// Sends a request, with log-in where the server wants it; the whole answer as text.
    async fn ask(&mut self, method: &str, uri: &str, headers: &str) -> String {
        let answer = self.once(method, uri, headers).await;
        let Some(at) = answer.find("WWW-Authenticate: ") else { return answer };
        let line = answer[at + 18..].lines().next().unwrap();
        self.challenge = Some(line.to_owned());
        self.once(method, uri, headers).await
    }

    async fn once(&mut self, method: &str, uri: &str, headers: &str) -> String {
        self.cseq += 1;
        let login = self
            .challenge
            .as_ref()
            .map_or(String::new(), |c| authorization(c, method, uri, PASSWORD));
        let session = self.session.as_ref().map_or(String::new(), |s| format!("Session: {s}\r\n"));
        let request = format!(
            "{method} {uri} RTSP/1.0\r\nCSeq: {}\r\n{login}{session}{headers}\r\n",
            self.cseq
        );
        self.socket.write_all(request.as_bytes()).await.unwrap();
        loop {
            if let Some(answer) = self.answer() {
                return answer;
            }
            assert!(self.fill().await, "closed instead of an answer to {method}");
        }
    }

    /// An answer at the front of the buffer, packets before it dropped.
    fn answer(&mut self) -> Option<String> {
        while self.packet().is_some() {}
        let at = self.buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(self.buffer[..at].to_vec()).unwrap();
        let body: usize = match head.find("Content-Length: ") {
            Some(at) => head[at + 16..].lines().next().unwrap().parse().unwrap(),
            None => 0,
        };
        if self.buffer.len() < at + body {
            return None;
        }
        let rest = self.buffer.split_off(at + body);
        let answer = String::from_utf8(std::mem::replace(&mut self.buffer, rest)).unwrap();
        if let Some(at) = answer.find("Session: ") {
            let value = answer[at + 9..].lines().next().unwrap().trim();
            self.session = Some(value.split(';').next().unwrap().to_owned());
        }
        Some(answer)
    }

    fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let [b'$', channel, hi, lo, ..] = self.buffer[..] else { return None };
        let end = 4 + usize::from(u16::from_be_bytes([hi, lo]));
        if self.buffer.len() < end {
            return None;
        }
        let rest = self.buffer.split_off(end);
        let packet = std::mem::replace(&mut self.buffer, rest).split_off(4);
        Some((channel, packet))
    }

    async fn next_packet(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(packet) = self.packet() {
                return Some(packet);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn fill(&mut self) -> bool {
        let mut bytes = [0; 16 << 10];
        let read = self.socket.read(&mut bytes).await.unwrap();
        self.buffer.extend_from_slice(&bytes[..read]);
        read > 0
    }
}

fn uri(sim: &Handle, from: &str, to: &str) -> String {
    format!("rtsp://{}/Streaming/tracks/101/?starttime={from}&endtime={to}", sim.rtsp_addr)
}

fn login(uri: &str) -> String {
    uri.replacen("rtsp://", &format!("rtsp://{USER}:{PASSWORD}@"), 1)
}

const TCP: &str = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";

#[::tokio::test]
async fn the_dialogue_has_the_vendors_oddities() {
    let sim = simulator(&hour("preroll_ms = 3000")).await;
    let uri = uri(&sim, "20260601T120300Z", "20260601T120310Z");
    let mut client = Client::connect(&sim).await;
    // No DESCRIBE yet.
    assert!(
        client.ask("SETUP", &format!("{uri}/trackID=video"), TCP).await.starts_with("RTSP/1.0 455")
    );
    let described = client.ask("DESCRIBE", &uri, "").await;
    assert!(!described.contains("Content-Base") && !described.contains("sprop"));
    assert!(described.contains("a=control:trackID=video\r\n"));
    assert!(described.contains("a=range:clock=20260601T120300Z-20260601T120310Z\r\n"));
    assert!(described.contains("MEDIAINFO=494D4B480201000004000100"));
    // What RFC 3986 makes of the control attribute is not there.
    let resolved = format!("rtsp://{}/Streaming/tracks/101/trackID=video", sim.rtsp_addr);
    assert!(client.ask("SETUP", &resolved, TCP).await.starts_with("RTSP/1.0 404"));
    let set_up = client.ask("SETUP", &format!("{uri}/trackID=video"), TCP).await;
    assert!(set_up.contains("Session:        ") && set_up.contains(";ssrc= "), "{set_up}");
    for (header, status) in
        [("Scale: -1", 400), ("Scale: 32", 453), ("Scale: 3", 400), ("Range: npt=x-", 400)]
    {
        let answer = client.ask("PLAY", &uri, &format!("{header}\r\n")).await;
        assert!(answer.starts_with(&format!("RTSP/1.0 {status}")), "{header}: {answer}");
    }
    let played = client.ask("PLAY", &uri, "Range: npt=0.000-\r\n").await;
    assert!(played.contains("Range: clock=20260601T120300Z-20260601T120310Z\r\n"));
    assert!(!played.contains("RTP-Info"));
    // 12:03:00 is 10:00:42.6; three seconds earlier 39.6, whose group began at 38; up to 53.6.
    let (mut pictures, mut first) = (0, None);
    while pictures < (53_600 - 38_000) / 80 {
        let (channel, packet) = client.next_packet().await.unwrap();
        assert_eq!((channel, packet[1] & 0x7F), (0, 96));
        first.get_or_insert(u32::from_be_bytes(packet[4..8].try_into().unwrap()));
        pictures += usize::from(packet[1] & 0x80 != 0);
    }
    let ticks = sim.recorder().ticks_90k(utc("2026-06-01T10:00:38Z")) as u32;
    assert_eq!(first, Some(ticks));
    // After the end, silence on an open connection.
    assert!(client.ask("GET_PARAMETER", &uri, "").await.starts_with("RTSP/1.0 200"));
    assert!(client.packet().is_none());
    // A seek in the same session.
    let again = client.ask("PLAY", &uri, "Range: clock=20260601T120308Z-\r\n").await;
    assert!(again.contains("Range: clock=20260601T120308Z-20260601T120310Z\r\n"));
    assert!(client.next_packet().await.is_some());
    // Somebody else's session.
    let mut other = Client::connect(&sim).await;
    other.session = client.session.clone();
    assert!(other.ask("TEARDOWN", &uri, "").await.starts_with("RTSP/1.0 500"));
    assert!(client.ask("TEARDOWN", &uri, "").await.starts_with("RTSP/1.0 200"));
    assert_eq!(sim.counters.read().playback_open, 0);
}

#[::tokio::test]
async fn sessions_are_few_and_a_broken_connection_keeps_its_own() {
    let sim = simulator(&hour("playback_sessions = 2\nabandoned_s = 3600")).await;
    let uri = uri(&sim, "20260601T120300Z", "20260601T120310Z");
    let describe =
        async |client: &mut Client| client.ask("DESCRIBE", &uri, "").await[9..12].to_owned();
    let mut clients =
        [Client::connect(&sim).await, Client::connect(&sim).await, Client::connect(&sim).await];
    assert_eq!(describe(&mut clients[0]).await, "200");
    assert_eq!(describe(&mut clients[1]).await, "200");
    assert_eq!(describe(&mut clients[2]).await, "453");
    let setup = clients[0].ask("SETUP", &format!("{uri}/trackID=video"), TCP).await;
    assert!(setup.starts_with("RTSP/1.0 200"));
    clients[0].ask("TEARDOWN", &uri, "").await;
    assert_eq!(describe(&mut clients[2]).await, "200");
    clients[2].ask("SETUP", &format!("{uri}/trackID=video"), TCP).await;
    let [_, second, third] = clients;
    // One was only described, the other was set up.
    drop((second, third));
    while sim.counters.read().connections_open > 0 {
        ::tokio::task::yield_now().await;
    }
    let r = sim.counters.read();
    assert_eq!((r.playback_open, r.playback_abandoned, r.playback_refused), (1, 1, 1));
}

#[::tokio::test]
async fn wrong_targets() {
    let sim = simulator(&hour("")).await;
    let mut client = Client::connect(&sim).await;
    for (uri, status) in [
        (uri(&sim, "20260601T120300Z", "20260601T120310Z").replace("101", "102"), "400"),
        (uri(&sim, "20260601T120300Z", "20260601T120310Z").replace("101", "501"), "404"),
        (uri(&sim, "20260501T120300Z", "20260501T120310Z"), "404"),
        (uri(&sim, "yesterday", "20260501T120310Z"), "400"),
        (format!("rtsp://{}/", sim.rtsp_addr), "404"),
    ] {
        assert_eq!(client.ask("DESCRIBE", &uri, "").await[9..12], *status, "{uri}");
    }
    sim.recorder().change_behaviour(|b| b.pause = false);
    let good = uri(&sim, "20260601T120300Z", "20260601T120310Z");
    client.ask("DESCRIBE", &good, "").await;
    client.ask("SETUP", &format!("{good}/trackID=audio"), TCP).await;
    assert_eq!(client.ask("PAUSE", &good, "").await[9..12], *"551");
}

#[::tokio::test]
async fn faults_cut_and_stall() {
    let sim = simulator(&hour("")).await;
    let uri = uri(&sim, "20260601T120300Z", "20260601T120400Z");
    for truncate in [true, false] {
        sim.control.change(|f| {
            f.truncate_after_bytes = truncate.then_some(50_000);
            f.stall_after_bytes = (!truncate).then_some(50_000);
        });
        let mut client = Client::connect(&sim).await;
        client.ask("DESCRIBE", &uri, "").await;
        client.ask("SETUP", &format!("{uri}/trackID=video"), TCP).await;
        client.ask("PLAY", &uri, "").await;
        let mut bytes = 0;
        while let Some((_, packet)) = client.next_packet().await {
            bytes += packet.len();
            if !truncate && bytes > 48_000 {
                // Nothing more comes, but requests are answered.
                assert!(client.ask("OPTIONS", &uri, "").await.starts_with("RTSP/1.0 200"));
                break;
            }
        }
        assert!((48_000..=50_000).contains(&bytes), "{bytes}");
    }
}

#[::tokio::test]
async fn ffmpeg_sees_every_picture_over_tcp_and_udp() {
    let scenario = hour("odd_headers = false")
        + "[[channel]]\nid = 2\n[[channel.recorded]]\nfrom = \"2026-06-01T10:00:00Z\"\n\
           to = \"2026-06-01T10:00:10Z\"\n[[channel.recorded]]\n\
           from = \"2026-06-01T10:05:00Z\"\nto = \"2026-06-01T11:00:00Z\"\n";
    let scenario = Scenario::parse(&scenario).unwrap();
    let start = async |pace| {
        Simulator::start(&scenario, Options { pace, ..Options::default() }).await.unwrap()
    };
    // A burst over UDP would overrun the client's socket; a recorder sends at its pace.
    for (transport, pace) in [("udp", Pace::Times(4.0)), ("tcp", Pace::Free)] {
        let sim = start(pace).await;
        let url = login(&uri(&sim, "20260601T120300Z", "20260601T120310Z"));
        let expected = grid("2026-06-01T10:00:42Z", "2026-06-01T10:00:53.6Z");
        let input = ["-rtsp_transport", transport, "-i", &url];
        // The client's parser gives a picture when it sees the next one begin.
        let count = expected.len() - 1;
        let Some(shown) = decoded(&input, (256, 144), count).await else { return };
        assert_eq!(shown, expected[..count], "{transport}");
    }
    let sim = start(Pace::Free).await;
    // A gap is jumped without notice.
    let across = login(&uri(&sim, "20260601T120217Z", "20260601T130000Z").replace("101", "201"));
    let mut expected = grid("2026-06-01T10:00:00Z", "2026-06-01T10:00:10Z");
    expected.extend(grid("2026-06-01T10:05:00Z", "2026-06-01T10:05:04Z"));
    let input = ["-rtsp_transport", "tcp", "-i", &across];
    assert_eq!(decoded(&input, (256, 144), expected.len()).await.unwrap(), expected);
}

#[::tokio::test]
async fn live_pictures_are_of_the_present() {
    let sim = simulator(&hour("")).await;
    let url = login(&format!("rtsp://{}/Streaming/Channels/101", sim.rtsp_addr));
    let before = sim.recorder().now();
    let Some(shown) = decoded(&["-rtsp_transport", "tcp", "-i", &url], (256, 144), 5).await else {
        return;
    };
    assert_eq!(shown.len(), 5);
    assert!(shown[0].since_us(before) > -2_000_000 && shown[0] < sim.recorder().now());
    assert_eq!(sim.counters.read().playback_started, 0);
}

#[::tokio::test]
async fn h265_is_fragmented_and_decoded() {
    let scenario = hour("").replace("audio = true\n", "[channel.footage]\ncodec = \"h265\"\n");
    let sim = simulator(&scenario).await;
    let url = login(&uri(&sim, "20260601T120300Z", "20260601T120310Z"));
    let expected = grid("2026-06-01T10:00:42Z", "2026-06-01T10:00:53.6Z");
    let count = expected.len() - 1;
    let input = ["-rtsp_transport", "tcp", "-i", &url];
    let Some(shown) = decoded(&input, (256, 144), count).await else { return };
    assert_eq!(shown, expected[..count]);
}
