//! Dialogues with a recorder that follows a script.

use std::time::Duration;

use bytes::Bytes;
use dvrgate_media::codec::annexb;
use dvrgate_media::container::Demuxed;
use dvrgate_model::{Codec, CodecParams, ErrorKind};
use md5::{Digest, Md5};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep, timeout};

use super::{Client, ClientOptions, ControlUrl, End, Incoming, PlayOptions, Received};
use crate::message::{Item, Limits, Method, Reader, Request};
use crate::rtp::packetize::{AccessUnit, Packetizer};
use crate::rtp::{Header, Packets, Target, write_bye};

const URL: &str = "rtsp://192.0.2.7:554/tracks/101/?starttime=20240501T080000Z&size=7";
const SDP: &str = "v=0\r\ns=Footage\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=video\r\n\
    m=audio 0 RTP/AVP 8\r\na=control:trackID=audio\r\n\
    m=application 0 RTP/AVP 112\r\na=rtpmap:112 X-PRIVATE/90000\r\na=control:trackID=more\r\n";
const ROOM: usize = 1 << 20;

/// The other end of the connection.
struct Recorder {
    io: DuplexStream,
    reader: Reader,
}

impl Recorder {
    /// The next request; `None` where the client closed.
    async fn request(&mut self) -> Option<Request> {
        loop {
            match self.reader.next_item().unwrap() {
                Some(Item::Request(request)) => return Some(request),
                Some(_) => {}
                None => {
                    if self.io.read_buf(self.reader.buffer()).await.unwrap() == 0 {
                        return None;
                    }
                }
            }
        }
    }

    async fn asked(&mut self, method: Method) -> Request {
        let request = self.request().await.expect("a request");
        assert_eq!(request.method, method);
        request
    }

    /// Status line and header fields, each with its line break; a body behind an empty line.
    async fn answer(&mut self, to: &Request, text: &str) {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let head = head.trim_end();
        let cseq = to.fields.get("CSeq").unwrap();
        let length = body.len();
        self.write(
            format!("RTSP/1.0 {head}\r\nCSeq: {cseq}\r\nContent-Length: {length}\r\n\r\n{body}")
                .as_bytes(),
        )
        .await;
    }

    async fn serve(&mut self, method: Method, text: &str) -> Request {
        let request = self.asked(method).await;
        self.answer(&request, text).await;
        request
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
    }

    /// One sample of sound on channel 2 with its number in it.
    async fn sound(&mut self, sequence: u16) {
        self.write(&interleaved(2, 8, sequence, &sequence.to_be_bytes())).await;
    }
}

fn interleaved(channel: u8, payload_type: u8, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let timestamp = u32::from(sequence) * 160;
    Header { marker: false, payload_type, sequence, timestamp, ssrc: 9 }.write(&mut packet, false);
    packet.extend_from_slice(payload);
    frame(channel, &packet)
}

fn frame(channel: u8, packet: &[u8]) -> Vec<u8> {
    let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
    [&[b'$', channel], &length[..], packet].concat()
}

fn options() -> ClientOptions {
    ClientOptions {
        url: URL.to_owned(),
        username: "reader".to_owned(),
        password: "sesame".to_owned(),
        control: ControlUrl::Append,
        ..Default::default()
    }
}

fn pair(options: ClientOptions, room: usize) -> (Client<DuplexStream>, Recorder) {
    let (near, far) = duplex(room);
    (Client::new(near, options), Recorder { io: far, reader: Reader::new(Limits::default()) })
}

/// A session that plays video on channel 0 and sound on channel 2.
async fn playing(options: ClientOptions, session: &str) -> (Client<DuplexStream>, Recorder) {
    let (mut client, mut recorder) = pair(options, ROOM);
    let ask = async {
        client.describe().await.unwrap();
        for media in client.playable() {
            client.setup(media).await.unwrap();
        }
        client.play(&PlayOptions::default()).await.unwrap();
    };
    let answer = async {
        recorder.serve(Method::Describe, &format!("200 OK\r\n\r\n{SDP}")).await;
        loop {
            let request = recorder.request().await.unwrap();
            if request.method == Method::Play {
                break recorder.answer(&request, "200 OK").await;
            }
            recorder.answer(&request, &format!("200 OK\r\nSession: {session}\r\n")).await;
        }
    };
    tokio::join!(ask, answer);
    (client, recorder)
}

/// The numbers in the samples that come until the end.
async fn sounds(client: &mut Client<DuplexStream>) -> Vec<u16> {
    let mut got = Vec::new();
    while let Some(received) = client.next().await.unwrap() {
        if let Demuxed::Unit(u) = received.item {
            got.push(u16::from_be_bytes([u.data[0], u.data[1]]));
        }
    }
    got
}

fn hash(algorithm: &str, text: String) -> String {
    let bytes: Vec<u8> = match algorithm {
        "SHA-256" => Sha256::digest(text).to_vec(),
        _ => Md5::digest(text).to_vec(),
    };
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// RFC 7616 3.4.1, and RFC 2069 2.1.2 where the challenge has no qop.
fn check_digest(request: &Request, algorithm: &str, count: Option<u32>) {
    let value = request.fields.get("Authorization").expect("credentials");
    let get = |name: &str| {
        value.strip_prefix("Digest ").unwrap().split(", ").find_map(|p| {
            let (k, v) = p.split_once('=')?;
            (k == name).then(|| v.trim_matches('"').to_owned())
        })
    };
    let (nonce, uri) = (get("nonce").unwrap(), get("uri").unwrap());
    assert_eq!(uri, request.uri, "with its query");
    let ha1 = hash(algorithm, "reader:yard 1:sesame".to_owned());
    let ha2 = hash(algorithm, format!("{}:{uri}", request.method));
    let middle = match count {
        None => {
            assert!(get("qop").is_none() && get("cnonce").is_none(), "{value}");
            nonce
        }
        Some(n) => {
            let nc = get("nc").unwrap();
            assert_eq!(nc, format!("{n:08x}"));
            format!("{nonce}:{nc}:{}:auth", get("cnonce").unwrap())
        }
    };
    assert_eq!(
        get("response").unwrap(),
        hash(algorithm, format!("{ha1}:{middle}:{ha2}")),
        "{value}"
    );
}

#[tokio::test]
async fn digest_answers_are_what_the_standard_computes() {
    for (challenge, algorithm, counted) in [
        (r#"Digest realm="yard 1", nonce="55e5895b9", algorithm="MD5""#, "MD5", false),
        (r#"Digest nonce="a1", random="77", stale="FALSE", realm="yard 1""#, "MD5", false),
        (r#"Digest realm="yard 1", domain="/", qop="auth", nonce="n", opaque="o""#, "MD5", true),
        (r#"Digest realm="yard 1", qop="auth", nonce="n", algorithm=SHA-256"#, "SHA-256", true),
    ] {
        let (mut client, mut recorder) = pair(options(), ROOM);
        let ask = async {
            client.describe().await.unwrap();
            client.setup(0).await.unwrap();
        };
        let answer = async {
            let refusal = format!(
                "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: {challenge}\r\n"
            );
            let first = recorder.serve(Method::Describe, &refusal).await;
            assert_eq!(first.fields.get("Authorization"), None);
            let again = recorder.serve(Method::Describe, &format!("200 OK\r\n\r\n{SDP}")).await;
            check_digest(&again, algorithm, counted.then_some(1));
            let setup = recorder.serve(Method::Setup, "200 OK\r\nSession: 1\r\n").await;
            check_digest(&setup, algorithm, counted.then_some(2));
        };
        tokio::join!(ask, answer);
    }
}

#[tokio::test]
async fn refusals_at_any_step_are_told_apart() {
    for (status, kind) in [
        ("453 Not Enough Bandwidth", ErrorKind::Busy),
        ("404 Not Found", ErrorKind::NotFound),
        ("401 Unauthorized", ErrorKind::Unauthenticated),
        ("454 Session Not Found", ErrorKind::Conflict),
    ] {
        let (mut client, mut recorder) = pair(options(), ROOM);
        let (result, _) = tokio::join!(
            async { client.describe().await.map(drop) },
            recorder.serve(Method::Describe, status)
        );
        assert_eq!(result.unwrap_err().kind(), kind, "{status}");
    }
}

#[tokio::test]
async fn control_urls_stand_behind_the_query_and_strange_headers_are_understood() {
    let (mut client, mut recorder) = pair(options(), ROOM);
    let ask = async {
        assert_eq!(client.describe().await.unwrap().media.len(), 3);
        assert_eq!(client.playable(), [0, 1]);
        let unknown = client.setup(2).await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotImplemented);
        client.setup(0).await.unwrap();
        client.setup(1).await.unwrap();
        let scale = PlayOptions { scale: Some(4.0), ..Default::default() };
        let reply = client.play(&scale).await.unwrap();
        assert!(reply.range.is_none() && reply.scale.is_none() && reply.rtp_info.0.is_empty());
        client.next().await.unwrap();
        client.teardown().await.unwrap();
    };
    let answer = async {
        let describe = recorder.serve(Method::Describe, &format!("200 OK\r\n\r\n{SDP}")).await;
        assert_eq!(describe.uri, URL);
        assert_eq!(describe.fields.get("Accept"), Some("application/sdp"));
        let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=4-5;ssrc= d6d6627";
        let session =
            "Session:        708345999;timeout=60\r\nDate:  Wed, May 05 2021 21:51:17 GMT";
        let text = format!("200 OK\r\n{session}\r\n{transport}\r\n");
        let video = recorder.serve(Method::Setup, &text).await;
        assert_eq!(video.uri, format!("{URL}/trackID=video"));
        assert_eq!(video.fields.get("Transport"), Some("RTP/AVP/TCP;unicast;interleaved=0-1"));
        let audio = recorder.serve(Method::Setup, "200 OK\r\nSession: 708345999\r\n").await;
        assert_eq!(audio.uri, format!("{URL}/trackID=audio"));
        assert_eq!(audio.fields.get("Session"), Some("708345999"));
        let play = recorder.serve(Method::Play, "200 OK").await;
        assert_eq!((play.uri.as_str(), play.fields.get("Session")), (URL, Some("708345999")));
        assert!(play.fields.get("Scale").is_some_and(|s| s.starts_with('4')));
        recorder.write(&interleaved(4, 96, 1, &[0x65, 1])).await;
        recorder.write(&interleaved(4, 96, 2, &[0x41, 1])).await;
        recorder.serve(Method::Teardown, "200 OK\r\nConnection: close\r\n").await;
        assert!(timeout(Duration::from_secs(5), recorder.request()).await.is_err(), "still open");
    };
    tokio::time::pause();
    tokio::join!(ask, answer);
    drop(client);
    assert!(recorder.request().await.is_none(), "nothing is left to say");
}

/// Three access units as packets of channel 0.
fn footage() -> (Vec<Bytes>, Vec<u8>) {
    let params = CodecParams::new(Codec::H264);
    let nal = |first: u8, fill: u8, len: usize| [&[first][..], &vec![fill; len]].concat();
    let key = annexb::join([&[0x67, 9][..], &[0x68, 1], &nal(0x65, 1, 3000)]);
    let units =
        vec![key, annexb::join([&nal(0x41, 2, 40)[..]]), annexb::join([&nal(0x41, 3, 1500)[..]])];
    let mut packetizer = Packetizer::new(Codec::H264, 96, 1, 65_534);
    let mut packets = Packets::default();
    for (i, data) in units.iter().enumerate() {
        let timestamp = (u32::MAX - 100).wrapping_add(3600 * i as u32);
        let unit = AccessUnit { timestamp, extension: None, clean: i == 0, params: &params, data };
        packetizer.packetize(&unit, Target::Interleaved(0), &mut packets);
    }
    let mut wire = Vec::new();
    while let Some((_, [head, body])) = packets.datagram() {
        wire.extend_from_slice(head);
        wire.extend_from_slice(body);
        packets.datagram_done();
    }
    (units, wire)
}

async fn check_footage(client: &mut Client<DuplexStream>, expected: &[Bytes], what: &str) {
    let mut ticks = 0;
    for unit in expected {
        let got = loop {
            match client.next().await.unwrap().expect(what).item {
                Demuxed::Unit(u) => break u,
                Demuxed::Params(_) => {}
                other => panic!("{what}: {other:?}"),
            }
        };
        assert_eq!((&got.data, got.media.ticks), (unit, ticks), "{what}");
        ticks += 3600;
    }
}

#[tokio::test]
async fn units_are_what_was_packetized_wherever_the_connection_cuts_them() {
    let (units, wire) = footage();
    for cut in 1..wire.len() {
        let (mut client, mut recorder) = playing(options(), "1").await;
        let send = async {
            recorder.write(&wire[..cut]).await;
            tokio::task::yield_now().await;
            recorder.write(&wire[cut..]).await;
        };
        let what = format!("cut at byte {cut}");
        tokio::join!(check_footage(&mut client, &units, &what), send);
    }
}

#[tokio::test]
async fn a_whole_dialogue_passes_byte_by_byte() {
    let (units, wire) = footage();
    let (mut client, mut recorder) = pair(options(), 1);
    let ask = async {
        client.describe().await.unwrap();
        client.setup(0).await.unwrap();
        client.play(&PlayOptions::default()).await.unwrap();
        check_footage(&mut client, &units, "byte by byte").await;
        client.teardown().await.unwrap();
    };
    let answer = async {
        recorder.serve(Method::Describe, &format!("200 OK\r\n\r\n{SDP}")).await;
        recorder.serve(Method::Setup, "200 OK\r\nSession: 1\r\n").await;
        recorder.serve(Method::Play, "200 OK").await;
        recorder.write(&wire).await;
        recorder.serve(Method::Teardown, "200 OK").await;
    };
    tokio::join!(ask, answer);
}

fn replies() -> [String; 3] {
    [
        format!("RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Base: rtsp://h/a/\r\nContent-Length: {}\r\n\r\n{SDP}", SDP.len()),
        "RTSP/1.0 200 OK\r\nCSeq: 2\r\nSession: 9;timeout=60\r\nTransport: RTP/AVP/TCP;interleaved=0-1;ssrc=0A\r\n\r\n".to_owned(),
        "RTSP/1.0 200 OK\r\nCSeq: 3\r\nRange: npt=0-\r\nScale: 1.0\r\nRTP-Info: url=trackID=video;seq=1;rtptime=2\r\n\r\n".to_owned(),
    ]
}

/// How many of the three steps succeed with a recorder that says this and closes.
async fn steps(bytes: &[u8]) -> usize {
    let (mut client, mut recorder) = pair(options(), ROOM);
    recorder.write(bytes).await;
    recorder.io.shutdown().await.unwrap();
    if client.describe().await.is_err() {
        return 0;
    }
    if client.setup(0).await.is_err() {
        return 1;
    }
    if client.play(&PlayOptions::default()).await.is_err() {
        return 2;
    }
    // To the end, whatever it is.
    while let Ok(Some(_)) = client.next().await {}
    3
}

#[tokio::test]
async fn answers_that_are_cut_off_are_errors() {
    let all = replies().concat();
    let mut ends = Vec::new();
    for reply in replies() {
        ends.push(ends.last().copied().unwrap_or(0) + reply.len());
    }
    for end in 0..=all.len() {
        let whole = ends.iter().filter(|e| **e <= end).count();
        assert_eq!(steps(&all.as_bytes()[..end]).await, whole, "{end} of {ends:?}");
    }
}

#[tokio::test]
async fn no_damage_makes_it_panic_or_hang() {
    let (_, wire) = footage();
    let mut all = replies().concat().into_bytes();
    all.extend_from_slice(&wire[..200]);
    let mut passed = 0;
    for at in 0..all.len() {
        for byte in [0, b'\n', b'$', b':', b'9', 0xff] {
            let mut damaged = all.clone();
            damaged[at] = byte;
            passed += usize::from(steps(&damaged).await == 3);
        }
    }
    assert!(passed > all.len(), "most damage is in what does not matter: {passed}");
}

#[tokio::test(start_paused = true)]
async fn silence_is_the_end_however_often_the_caller_looks() {
    for impatient in [false, true] {
        let idle = Duration::from_secs(8);
        let (mut client, mut recorder) =
            playing(ClientOptions { idle_timeout: Some(idle), ..options() }, "1").await;
        // Longer than the timeout, but nobody waited.
        sleep(2 * idle).await;
        recorder.sound(1).await;
        let first = client.next().await.unwrap();
        assert!(first.is_some_and(|r| matches!(r.item, Demuxed::Params(_))));
        assert!(client.next().await.unwrap().is_some());
        let start = Instant::now();
        let next = loop {
            if !impatient {
                break client.next().await;
            }
            if let Ok(next) = timeout(Duration::from_millis(700), client.next()).await {
                break next;
            }
            // Not RTP: a report of the server.
            recorder.write(&frame(3, &[0x80, 201, 0, 1, 0, 0, 0, 9])).await;
        };
        assert!(next.unwrap().is_none());
        assert_eq!(client.end(), Some(End::Silent));
        assert!((start.elapsed().as_secs_f64() - 8.0).abs() < 0.1, "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_session_may_be_silent() {
    let idle = Some(Duration::from_secs(8));
    let (mut client, mut recorder) =
        playing(ClientOptions { idle_timeout: idle, ..options() }, "1").await;
    tokio::join!(async { client.pause().await.unwrap() }, recorder.serve(Method::Pause, "200 OK"));
    assert!(timeout(Duration::from_secs(20), client.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn keep_alives_come_in_time_and_need_no_answer() {
    let (mut client, mut recorder) = playing(options(), "5;timeout=4").await;
    let start = Instant::now();
    let serve = async {
        let first = recorder.asked(Method::GetParameter).await;
        assert_eq!(first.fields.get("Session"), Some("5"));
        recorder.answer(&first, "405 Method Not Allowed").await;
        for n in 2..=50 {
            recorder.asked(Method::Options).await;
            let late = start.elapsed().as_secs_f64() - 2.0 * f64::from(n);
            assert!(late.abs() < 0.1, "number {n} is {late} s late");
        }
        recorder.sound(7).await;
        recorder.write(b"ANNOUNCE * RTSP/1.0\r\nCSeq: 1\r\n\r\n").await;
    };
    let (got, ()) = tokio::join!(sounds(&mut client), serve);
    assert_eq!((got, client.end()), (vec![7], Some(End::Said)));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_client_frees_its_session() {
    let (client, mut recorder) = playing(options(), "77").await;
    drop(client);
    recorder.sound(1).await;
    let teardown = recorder.serve(Method::Teardown, "200 OK").await;
    assert_eq!((teardown.uri.as_str(), teardown.fields.get("Session")), (URL, Some("77")));
    assert!(recorder.request().await.is_none());

    // One that does not answer.
    let (client, mut recorder) = playing(options(), "78").await;
    drop(client);
    recorder.asked(Method::Teardown).await;
    let start = Instant::now();
    assert!(recorder.request().await.is_none());
    assert!(start.elapsed() <= Duration::from_millis(2100), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_being_made_is_freed_too() {
    let (mut client, mut recorder) = pair(options(), ROOM);
    let described = format!("200 OK\r\n\r\n{SDP}");
    tokio::join!(
        async { client.describe().await.map(drop).unwrap() },
        recorder.serve(Method::Describe, &described)
    );
    let setup = tokio::select! {
        setup = recorder.asked(Method::Setup) => setup,
        _ = client.setup(0) => panic!("nobody answered"),
    };
    drop(client);
    recorder.answer(&setup, "200 OK\r\nSession: 31\r\n").await;
    let teardown = recorder.serve(Method::Teardown, "200 OK").await;
    assert_eq!(teardown.fields.get("Session"), Some("31"));
    assert!(recorder.request().await.is_none());
}

#[tokio::test]
async fn a_client_without_a_runtime_can_be_dropped() {
    let (client, recorder) = playing(options(), "1").await;
    let thread = std::thread::spawn(move || drop(client));
    thread.join().unwrap();
    drop(recorder);
}

#[tokio::test]
async fn a_seek_drops_the_old_playback_and_keeps_all_of_the_new() {
    let (mut client, mut recorder) = playing(options(), "1").await;
    recorder.sound(100).await;
    let serve = async {
        let play = recorder.asked(Method::Play).await;
        recorder.sound(101).await;
        let info = "RTP-Info: url=trackID=video;seq=9,url=trackID=audio;seq=500;rtptime=79840";
        recorder
            .answer(&play, &format!("200 OK\r\nRange: clock=20240501T090000Z-\r\n{info}\r\n"))
            .await;
        for n in [102, 103, 500, 501] {
            recorder.sound(n).await;
        }
    };
    let anywhere = PlayOptions::default();
    let (reply, ()) = tokio::join!(client.play(&anywhere), serve);
    assert!(reply.unwrap().range.is_some());
    let mut got = Vec::new();
    while got.len() < 2 {
        if let Some(Received { media: 1, item: Demuxed::Unit(u), .. }) =
            client.next().await.unwrap()
        {
            got.push((u.data[1], u.media.ticks));
        }
    }
    assert_eq!(got, [(500u16 as u8, 160), (501u16 as u8, 320)]);
}

#[tokio::test]
async fn a_refused_seek_changes_nothing() {
    let (mut client, mut recorder) = playing(options(), "1").await;
    recorder.sound(100).await;
    let serve = async {
        let play = recorder.asked(Method::Play).await;
        recorder.sound(101).await;
        recorder.answer(&play, "457 Invalid Range").await;
        recorder.sound(102).await;
        recorder.io.shutdown().await.unwrap();
    };
    let anywhere = PlayOptions::default();
    let (reply, ()) = tokio::join!(client.play(&anywhere), serve);
    assert_eq!(reply.unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(sounds(&mut client).await, [100, 101, 102]);
    assert_eq!(client.end(), Some(End::Closed));
}

#[tokio::test]
async fn after_the_end_of_one_playback_another_can_start() {
    let (mut client, mut recorder) = playing(options(), "1").await;
    recorder.sound(1).await;
    for channel in [1, 3] {
        let mut bye = Vec::new();
        write_bye(&mut bye, 9);
        recorder.write(&frame(channel, &bye)).await;
    }
    assert_eq!(sounds(&mut client).await, [1]);
    assert_eq!(client.end(), Some(End::Said));
    let serve = async {
        recorder.serve(Method::Play, "200 OK").await;
        recorder.sound(2).await;
        recorder.io.shutdown().await.unwrap();
    };
    let anywhere = PlayOptions::default();
    let (reply, ()) = tokio::join!(client.play(&anywhere), serve);
    reply.unwrap();
    assert_eq!(client.end(), None);
    assert_eq!(sounds(&mut client).await, [2]);
}

#[tokio::test(start_paused = true)]
async fn packets_without_a_pause_do_not_hide_that_the_answer_is_missing() {
    let (mut client, mut recorder) = playing(options(), "1").await;
    let flood = async {
        for n in 0.. {
            recorder.sound(n).await;
            sleep(Duration::from_millis(20)).await;
        }
    };
    let start = Instant::now();
    let result = tokio::select! {
        result = client.pause() => result,
        () = flood => panic!("endless"),
    };
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(start.elapsed() < Duration::from_secs(11));
}

#[tokio::test]
async fn raw_packets_are_there_for_those_who_ask() {
    let raw = ClientOptions { raw_payload_types: vec![112], ..options() };
    let (mut client, mut recorder) = playing(raw, "1").await;
    assert_eq!(client.playable(), [0, 1, 2]);
    recorder.write(&interleaved(4, 112, 5, b"private")).await;
    recorder.write(&interleaved(0, 112, 1, b"among video")).await;
    recorder.io.shutdown().await.unwrap();
    let mut got = Vec::new();
    while let Some(Incoming::Raw(p)) = client.next_incoming().await.unwrap() {
        got.push((p.media, p.payload_type, p.rtp_time, p.data));
    }
    let expected = [
        (2, 112, 800, Bytes::from_static(b"private")),
        (0, 112, 160, Bytes::from_static(b"among video")),
    ];
    assert_eq!(got, expected);
}
