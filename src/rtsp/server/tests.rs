//! The engine against texts, and the whole server against the client engine of this crate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dvrgate_auth::{DigestGate, DigestSettings, Identity, Level, Secret, User, Users};
use dvrgate_media::codec::annexb;
use dvrgate_media::container::Demuxed;
use dvrgate_model::{Codec, CodecParams, Error, Result, Utc, UtcRange};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, StreamExt};

use super::{
    Application, Connection, DescribeRequest, Media, Now, Peer, PlayRequest, Playing, Presentation,
    Server, ServerConfig, Unit, Want,
};
use crate::client::{Client, ClientOptions, PlayOptions};
use crate::headers::{ClockRange, Range, RateControl};
use crate::rtp::{Packet, ReplayExtension};

pub(super) const START: i64 = 1_000_000;
pub(super) const FRAMES: i64 = 50;

/// Fifty frames of video at 25 a second.
#[derive(Debug)]
pub(super) struct Clip;

fn params() -> CodecParams {
    let mut p = CodecParams::new(Codec::H264);
    p.parameter_sets.push(Bytes::from_static(&[
        0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00,
        0x04, 0x00, 0x00, 0x03, 0x00, 0xca, 0x3c, 0x58, 0xb9, 0x20,
    ]));
    p.parameter_sets.push(Bytes::from_static(&[0x68, 0xce, 0x3c, 0x80]));
    p
}

fn presentation(path: &str) -> Result<Presentation> {
    let media = |track: &str, params| Media { track: track.into(), params };
    let range = UtcRange::new(Utc::from_secs(START), Utc::from_secs(START + 2)).ok();
    match path {
        "/replay/one" => Ok(Presentation {
            name: "one".into(),
            range,
            media: vec![media("one-video", params())],
        }),
        "/replay/two" => Ok(Presentation {
            name: "two".into(),
            range,
            media: vec![media("v", params()), media("a", CodecParams::new(Codec::Pcma))],
        }),
        _ => Err(Error::not_found("no such recording")),
    }
}

fn unit(i: i64, next: u32, paced: bool) -> Unit {
    let at = Utc::from_secs(START).plus_us(i * 40_000);
    let first = if i % 25 == 0 { 0x65 } else { 0x41 };
    let nal =
        [&[first, 0x9a][..], &vec![i as u8 | 1; if i % 25 == 0 { 5000 } else { 300 }]].concat();
    Unit {
        media: 0,
        rtp_time: next.wrapping_add(3600 * i as u32),
        replay: ReplayExtension {
            at,
            clean: i % 25 == 0,
            end_of_section: i == FRAMES - 1,
            discontinuity: false,
            terminal: i == FRAMES - 1,
            cseq: 0,
        },
        params: Arc::new(params()),
        data: annexb::join([&nal[..]]),
        due: paced.then(|| Duration::from_millis(40 * i as u64)),
    }
}

impl Application for Clip {
    fn describe(&self, request: DescribeRequest) -> BoxFuture<'_, Result<Presentation>> {
        async move { presentation(&request.path) }.boxed()
    }

    fn play(&self, request: PlayRequest) -> BoxFuture<'_, Result<Playing>> {
        async move {
            let start = match (request.range, request.position) {
                (Some(Range::Clock(ClockRange { start: Some(t), .. })), _) | (None, Some(t)) => t,
                _ => Utc::from_secs(START),
            };
            if start < Utc::from_secs(START) {
                return Err(Error::invalid("before the beginning"));
            }
            let from = start.since_us(Utc::from_secs(START)) / 40_000;
            let next = request.media[0].next;
            let paced = request.rate_control == RateControl::Server;
            let units = (from..FRAMES).map(move |i| Ok(unit(i, next, paced)));
            Ok(Playing {
                start: Some(start),
                end: None,
                scale: request.scale.unwrap_or(1.0),
                rtp_times: request.media.iter().map(|m| (m.index, m.next)).collect(),
                units: stream::iter(units).boxed(),
            })
        }
        .boxed()
    }
}

/// Drives an engine by hand: texts in, texts out.
struct Bench {
    connection: Connection,
    now: Now,
    units: Option<futures::stream::BoxStream<'static, Result<Unit>>>,
    closed: bool,
    refuse_ports: bool,
}

impl Bench {
    fn new(config: ServerConfig) -> Self {
        let now = Now { instant: Instant::now(), utc: Utc::from_secs(5_000_000) };
        let peer =
            Peer { remote: "192.0.2.9".parse().unwrap(), local: "192.0.2.10".parse().unwrap() };
        let connection = Connection::new(Arc::new(config), peer, now);
        Self { connection, now, units: None, closed: false, refuse_ports: false }
    }

    fn send(&mut self, text: &str) -> Vec<u8> {
        self.send_bytes(text.replace('\n', "\r\n").as_bytes())
    }

    fn send_bytes(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.connection.input().extend_from_slice(bytes);
        self.connection.received(self.now);
        self.run()
    }

    fn wait(&mut self, time: Duration) -> Vec<u8> {
        self.now.instant += time;
        self.now.utc = self.now.utc.plus_us(time.as_micros() as i64);
        self.connection.tick(self.now);
        self.run()
    }

    fn run(&mut self) -> Vec<u8> {
        loop {
            while let Some(want) = self.connection.want() {
                match want {
                    Want::Describe(r) => {
                        let result = Clip.describe(r).now_or_never().unwrap();
                        self.connection.described(result, self.now);
                    }
                    Want::Bind { .. } if self.refuse_ports => {
                        self.connection.bound(Err(std::io::ErrorKind::AddrInUse.into()), self.now);
                    }
                    Want::Bind { .. } => self.connection.bound(Ok((62_000, 62_001)), self.now),
                    Want::Play(r) => {
                        let result = Clip.play(r).now_or_never().unwrap();
                        let ok = self
                            .connection
                            .playing(result.as_ref().map_err(Error::share), self.now);
                        if let (Ok(p), true) = (result, ok) {
                            self.units = Some(p.units);
                        }
                    }
                    Want::Stop => self.units = None,
                    Want::Close => self.closed = true,
                }
            }
            let Some(units) = self.units.as_mut().filter(|_| self.connection.wants_unit()) else {
                break;
            };
            let unit = units.next().now_or_never().flatten();
            self.connection.unit(unit.map(|u| u.unwrap()), self.now);
        }
        let out = self.connection.out();
        let mut wire = Vec::new();
        while !out.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[]); 8];
            let n = out.slices(&mut slices);
            let bytes: Vec<u8> = slices[..n].iter().flat_map(|s| s.to_vec()).collect();
            wire.extend_from_slice(&bytes);
            out.advance(bytes.len());
        }
        wire
    }
}

fn text(wire: &[u8]) -> String {
    String::from_utf8_lossy(wire).into_owned()
}

fn status(wire: &[u8]) -> u16 {
    let text = text(wire);
    text.strip_prefix("RTSP/1.0 ")
        .and_then(|t| t[..3].parse().ok())
        .unwrap_or_else(|| panic!("{text}"))
}

/// The value of a header in a wire text.
fn field(wire: &[u8], name: &str) -> String {
    let text = text(wire);
    let line = text.lines().find_map(|l| l.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

/// Packets of channel 0 in a wire text, past the responses.
fn packets(wire: &[u8]) -> Vec<(Packet, Vec<u8>)> {
    let mut reader = crate::message::Reader::new(crate::message::Limits::default());
    reader.push(wire);
    let mut list = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        if let crate::message::Item::Packet { channel: 0, data } = item {
            list.push((Packet::parse(&data).unwrap(), data.to_vec()));
        }
    }
    list
}

pub(super) fn extension(packet: &(Packet, Vec<u8>)) -> Option<ReplayExtension> {
    let (profile, body) = packet.0.extension.clone()?;
    ReplayExtension::parse(profile, &packet.1[body])
}

const URL: &str = "rtsp://192.0.2.10:8554/replay/one";

fn setup(bench: &mut Bench) -> String {
    let wire = bench.send(&format!(
        "SETUP {URL}/track1 RTSP/1.0\nCSeq: 2\nRequire: onvif-replay\n\
         Transport: RTP/AVP/TCP;unicast;interleaved=0-1\n\n"
    ));
    assert_eq!(status(&wire), 200, "{}", text(&wire));
    assert!(field(&wire, "Transport").starts_with("RTP/AVP/TCP;unicast;interleaved=0-1;ssrc="));
    let session = field(&wire, "Session");
    assert!(session.ends_with(";timeout=60"), "R8.7-3: {session}");
    session.split(';').next().unwrap().to_owned()
}

#[test]
fn options_and_describe() {
    let mut b = Bench::new(ServerConfig::default());
    let wire = b.send("OPTIONS * RTSP/1.0\nCSeq: 1\n\n");
    assert_eq!(status(&wire), 200);
    let public = field(&wire, "Public");
    for method in ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN"] {
        assert!(public.split(", ").any(|m| m == method), "R8.1-5: {method}");
    }
    let wire = b.send(&format!("DESCRIBE {URL} RTSP/1.0\nCSeq: 2\nAccept: application/sdp\n\n"));
    assert_eq!(field(&wire, "Content-Base"), format!("{URL}/"), "R8.2-4");
    let sdp = text(&wire);
    assert!(sdp.contains("a=x-onvif-track:one-video\r\n"), "R8.2-2: {sdp}");
    assert!(sdp.contains("a=range:clock=19700112T134640Z-19700112T134642Z\r\n"), "{sdp}");
}

/// R8.1-8, R8.4-1, R8.4-2, R8.4-3, R8.5.1-4, R8.5.2-4, R8.5.4-5
#[test]
fn statuses() {
    let mut b = Bench::new(ServerConfig::default());
    let udp = "Transport: RTP/AVP;unicast;client_port=5000-5001\n";
    let tcp = "Transport: RTP/AVP/TCP;unicast;interleaved=4-5\n";
    for (request, fields, expected) in [
        ("DESCRIBE rtsp://h/replay/none", "", 404),
        ("DESCRIBE ftp://h/replay/one", "", 404),
        ("DESCRIBE rtsp://h/replay/one", "Accept: text/html\n", 406),
        ("DESCRIBE rtsp://h/replay/one", "Require: nonsense\n", 551),
        ("PLAY rtsp://h/replay/one", "", 454),
        ("PLAY rtsp://h/replay/one", "Session: 1\n", 454),
        ("RECORD rtsp://h/replay/one", "", 405),
        ("ANNOUNCE rtsp://h/replay/one", "", 405),
        ("DANCE rtsp://h/replay/one", "", 501),
        ("SETUP rtsp://h/replay/one/track2", tcp, 404),
        ("SETUP rtsp://h/replay/one/track1", "", 461),
        ("SETUP rtsp://h/replay/one/track1", "Transport: RTP/AVP;multicast\n", 461),
        ("SETUP rtsp://h/replay/one/track1", "Transport: RTP/AVP;unicast\n", 461),
        ("SETUP rtsp://h/replay/two", tcp, 459),
        ("SETUP rtsp://h/replay/two/track1", udp, 200),
        ("SETUP rtsp://h/replay/two/track1", "Session: ?\nTransport: RTP/AVP/TCP\n", 455),
        ("SETUP rtsp://h/replay/one/track1", "Session: ?\nTransport: RTP/AVP/TCP\n", 459),
        ("SETUP rtsp://h/replay/two/track2", "Session: ?\nTransport: RTP/AVP/TCP\n", 200),
        ("PAUSE rtsp://h/replay/two", "Session: ?\n", 455),
        ("PLAY rtsp://h/replay/two/track1", "Session: ?\n", 460),
        ("TEARDOWN rtsp://h/replay/two/track1", "Session: ?\n", 460),
        ("PLAY rtsp://h/replay/three", "Session: ?\n", 404),
        ("PLAY rtsp://h/replay/two", "Session: ?\nRange: smpte=1-\n", 457),
        ("PLAY rtsp://h/replay/two", "Session: ?\nRange: clock=19700101T000000Z-\n", 457),
        ("PLAY rtsp://h/replay/two", "Session: ?\nFrames: all/4\n", 451),
        ("PLAY rtsp://h/replay/two", "Session: ?\nScale: 0\n", 400),
        ("PLAY rtsp://h/replay/two", "Session: ?\nScale: 2\nRate-Control: no\n", 456),
        ("PLAY rtsp://h/replay/two", "Session: ?\nRequire: onvif-replay, x\n", 551),
        ("PLAY rtsp://h/replay/two", "Session: ?\n", 200),
        ("SETUP rtsp://h/replay/two/track2", "Session: ?\nTransport: RTP/AVP/TCP\n", 455),
        ("PAUSE rtsp://h/replay/two", "Session: ?\nRange: npt=5-\n", 457),
        ("PAUSE rtsp://h/replay/two", "Session: ?\n", 200),
        ("GET_PARAMETER rtsp://h/replay/two", "Session: ?\n", 200),
        ("SET_PARAMETER rtsp://h/replay/two", "Session: ?\nContent-Length: 3\n", 451),
        ("TEARDOWN rtsp://h/replay/two", "Session: ?\n", 200),
        ("TEARDOWN rtsp://h/replay/two", "Session: ?\n", 454),
    ] {
        let session = b.connection.session.as_ref().map_or("none".into(), |s| s.id.clone());
        let fields = fields.replace('?', &session);
        let body = if fields.contains("Content-Length") { "abc" } else { "" };
        let wire = b.send(&format!("{request} RTSP/1.0\nCSeq: 77\n{fields}\n{body}"));
        assert_eq!(status(&wire), expected, "{request} {fields}");
        assert_eq!(field(&wire, "CSeq"), "77");
        if expected == 551 {
            assert!(!field(&wire, "Unsupported").contains("onvif"), "R8.4-2");
        }
    }
    assert_eq!(status(&b.send("OPTIONS * RTSP/2.0\nCSeq: 1\n\n")), 505);
    assert_eq!(status(&b.send("OPTIONS * RTSP/1.0\n\n")), 400);
    assert!(!b.closed);
    assert_eq!(status(&b.send("\u{1}garbage\n")), 400);
    assert!(b.closed);
}

#[test]
fn ports_that_cannot_be_had_are_503_and_leave_no_session() {
    let mut b = Bench::new(ServerConfig::default());
    b.refuse_ports = true;
    let wire = b.send(&format!(
        "SETUP {URL}/track1 RTSP/1.0\nCSeq: 2\nTransport: RTP/AVP;unicast;client_port=5000-5001\n\n"
    ));
    assert_eq!(status(&wire), 503);
    assert!(b.connection.session.is_none());
    b.refuse_ports = false;
    let wire = b.send(&format!(
        "SETUP {URL}/track1 RTSP/1.0\nCSeq: 3\nTransport: RTP/AVP;unicast;client_port=5000-5001\n\n"
    ));
    assert!(field(&wire, "Transport").contains("server_port=62000-62001"));
}

/// R8.3-1, R8.3-12, R8.5.1-6, R8.5.1-7, R8.9-1; the answer and the first packets are one write.
#[test]
fn play_without_rate_control() {
    let mut b = Bench::new(ServerConfig::default());
    let session = setup(&mut b);
    let wire = b.send(&format!(
        "PLAY {URL} RTSP/1.0\nCSeq: 259\nSession: {session}\nRequire: onvif-replay\n\
         Rate-Control: no\nRange: clock=19700112T134640Z-\n\n"
    ));
    assert_eq!(status(&wire), 200);
    assert_eq!(field(&wire, "Range"), "clock=19700112T134640Z-");
    assert_eq!(field(&wire, "Rate-Control"), "no");
    let list = packets(&wire);
    let info: crate::headers::RtpInfo = field(&wire, "RTP-Info").parse().unwrap();
    let first = list[0].0.header;
    assert_eq!(info.0[0].url, format!("{URL}/track1"));
    assert_eq!((info.0[0].seq, info.0[0].rtptime), (Some(first.sequence), Some(first.timestamp)));
    for (i, p) in list.iter().enumerate() {
        assert_eq!(p.0.header.sequence, first.sequence.wrapping_add(i as u16), "R8.6-7");
    }
    let marked: Vec<_> = list.iter().filter_map(extension).collect();
    assert_eq!(marked.len(), FRAMES as usize, "one extension an access unit");
    assert!(marked.iter().all(|e| e.cseq == 3), "R8.3-12: low byte of 259");
    assert!(marked.windows(2).all(|w| w[0].at < w[1].at), "R8.3-14");
    assert!(marked[49].terminal && marked[49].end_of_section);
    assert!(b.connection.session.is_some() && !b.closed, "R8.9-1");
    // A further PLAY works without Immediate (R8.5.2-8), with its own number.
    let wire = b.send(&format!(
        "PLAY {URL} RTSP/1.0\nCSeq: 4\nSession: {session}\nRate-Control: no\n\
         Range: clock=19700112T134641Z-\n\n"
    ));
    let again = packets(&wire);
    assert_eq!(extension(&again[0]).map(|e| e.cseq), Some(4));
    let last = list.last().unwrap().0.header.sequence;
    assert_eq!(again[0].0.header.sequence, last.wrapping_add(1), "R8.6-7: no hole between PLAYs");
}

/// R8.5.3-1, R8.10-5, R8.5.2-7, R8.10-6
#[test]
fn pace_pause_and_resume() {
    let mut b = Bench::new(ServerConfig::default());
    let session = setup(&mut b);
    let count = |wire: &[u8]| packets(wire).iter().filter_map(extension).count();
    let wire = b.send(&format!("PLAY {URL} RTSP/1.0\nCSeq: 3\nSession: {session}\n\n"));
    assert_eq!(count(&wire), 1, "only the first frame is due");
    let mut frames = 0;
    for _ in 0..10 {
        frames += count(&b.wait(Duration::from_millis(40)));
    }
    assert_eq!(frames, 10);
    let wire = b.send(&format!("PAUSE {URL} RTSP/1.0\nCSeq: 4\nSession: {session}\n\n"));
    assert_eq!(field(&wire, "Range"), "clock=19700112T134640.44Z-");
    assert_eq!(count(&b.wait(Duration::from_secs(5))), 0);
    let wire = b.send(&format!("PLAY {URL} RTSP/1.0\nCSeq: 5\nSession: {session}\n\n"));
    assert_eq!(field(&wire, "Range"), "clock=19700112T134640.44Z-");
    assert_eq!(count(&wire), 0, "time stood still: the next frame is 40 ms away");
    let wire = b.wait(Duration::from_millis(40));
    let next = packets(&wire);
    let e = extension(&next[0]).unwrap();
    assert_eq!((e.at.since_us(Utc::from_secs(START)), e.cseq), (440_000, 5));
    // Pause at a time.
    let at = "clock=19700112T134640.600Z-";
    b.send(&format!("PAUSE {URL} RTSP/1.0\nCSeq: 6\nSession: {session}\nRange: {at}\n\n"));
    let mut last = None;
    for _ in 0..50 {
        let wire = b.wait(Duration::from_millis(40));
        last = packets(&wire).iter().filter_map(extension).map(|e| e.at).next_back().or(last);
    }
    assert_eq!(last.unwrap().since_us(Utc::from_secs(START)), 560_000, "R8.10-6");
    // A stall does not make it rush: at most one frame a frame interval afterwards.
    b.send(&format!("PLAY {URL} RTSP/1.0\nCSeq: 7\nSession: {session}\n\n"));
    let late = count(&b.wait(Duration::from_secs(1) + Duration::from_millis(200)));
    assert_eq!(late, 1);
    assert_eq!(count(&b.wait(Duration::from_millis(40))), 1);
}

#[test]
fn a_refused_seek_leaves_the_playback_as_it_was() {
    let mut b = Bench::new(ServerConfig::default());
    let session = setup(&mut b);
    b.send(&format!("PLAY {URL} RTSP/1.0\nCSeq: 3\nSession: {session}\n\n"));
    let wire = b.send(&format!(
        "PLAY {URL} RTSP/1.0\nCSeq: 4\nSession: {session}\nRange: clock=19600101T000000Z-\n\n"
    ));
    assert_eq!(status(&wire), 457);
    let next = packets(&b.wait(Duration::from_millis(40)));
    assert_eq!(extension(&next[0]).map(|e| e.cseq), Some(3));
}

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

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut b = Bench::new(ServerConfig::default());
    let wire = b.send(&format!(
        "OPTIONS * RTSP/1.0\nCSeq: 1\n\nDESCRIBE {URL} RTSP/1.0\nCSeq: 2\n\n\
         SETUP {URL}/track1 RTSP/1.0\nCSeq: 3\nTransport: RTP/AVP/TCP;interleaved=0-1\n\n"
    ));
    let text = text(&wire);
    let order: Vec<_> = text.lines().filter_map(|l| l.strip_prefix("CSeq: ")).collect();
    assert_eq!(order, ["1", "2", "3"]);
}

pub(super) fn gate() -> DigestGate {
    let user =
        User { name: "admin".into(), level: Level::Administrator, password: Secret::new("12345") };
    DigestGate::new("dvrgate", Users::new(vec![user]).unwrap(), DigestSettings::default())
}

/// R8.1-7
#[test]
fn who_has_no_credentials_is_asked_for_digest() {
    let mut b = Bench::new(ServerConfig { gate: Some(gate()), ..Default::default() });
    assert_eq!(status(&b.send("OPTIONS * RTSP/1.0\nCSeq: 1\n\n")), 200);
    for method in ["DESCRIBE", "SETUP", "GET_PARAMETER"] {
        let wire = b.send(&format!("{method} {URL} RTSP/1.0\nCSeq: 2\n\n"));
        assert_eq!(status(&wire), 401);
        assert!(field(&wire, "WWW-Authenticate").starts_with("Digest realm=\"dvrgate\""));
    }
    assert_eq!(Identity::anonymous().level, Level::Anonymous);
}

#[test]
fn no_prefix_of_a_session_makes_it_panic() {
    let whole = format!(
        "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\nSETUP {URL}/track1 RTSP/1.0\r\nCSeq: 2\r\n\
         Transport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n$\x01\x00\x04abcdPLAY {URL} RTSP/1.0\r\n\
         CSeq: 3\r\nRange: clock=19700112T134640Z-\r\n\r\n"
    );
    for end in 0..whole.len() {
        let mut b = Bench::new(ServerConfig::default());
        b.send_bytes(&whole.as_bytes()[..end]);
    }
}

async fn serve(
    config: ServerConfig,
) -> (std::net::SocketAddr, tokio_util::sync::CancellationToken) {
    let server =
        Server::bind("127.0.0.1:0".parse().unwrap(), config, Arc::new(Clip)).await.unwrap();
    let address = server.local_addr().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    tokio::spawn(server.run(stop.clone()));
    (address, stop)
}

async fn client(address: std::net::SocketAddr, password: &str) -> Client<tokio::net::TcpStream> {
    let io = tokio::net::TcpStream::connect(address).await.unwrap();
    Client::new(
        io,
        ClientOptions {
            url: format!("rtsp://{address}/replay/one"),
            username: "admin".into(),
            password: password.into(),
            require: Some("onvif-replay".into()),
            ..Default::default()
        },
    )
}

/// R8.T-3, R8.1-3, R8.1-7, R8.3-13
#[tokio::test]
async fn a_client_plays_over_tcp() {
    let (address, stop) = serve(ServerConfig { gate: Some(gate()), ..Default::default() }).await;
    let mut c = client(address, "12345").await;
    assert!(!c.options().await.unwrap().is_empty());
    c.describe().await.unwrap();
    assert_eq!(c.playable(), [0]);
    c.setup(0).await.unwrap();
    let options = PlayOptions { rate_control: Some(RateControl::Client), ..Default::default() };
    let reply = c.play(&options).await.unwrap();
    assert!(matches!(reply.range, Some(Range::Clock(r)) if r.start == Some(Utc::from_secs(START))));
    let mut units = Vec::new();
    while units.len() < FRAMES as usize {
        let received = c.next().await.unwrap().unwrap();
        if let Demuxed::Unit(u) = received.item {
            let captured = received.captured.unwrap().since_us(Utc::from_secs(START));
            units.push((u.media.micros(), captured, u.data.len()));
        }
    }
    let sets = 4 + 25 + 4 + 4;
    for (i, (media, captured, length)) in units.into_iter().enumerate() {
        let expected = 40_000 * i as i64;
        assert_eq!((media, captured), (expected, expected));
        // The parameter sets come in band with the first clean unit.
        let head = if i == 0 { sets } else { 0 };
        assert_eq!(length, head + 4 + 2 + if i % 25 == 0 { 5000 } else { 300 });
    }
    c.teardown().await.unwrap();
    let refused = client(address, "wrong").await.describe().await.unwrap_err();
    assert_eq!(refused.kind(), dvrgate_model::ErrorKind::Unauthenticated);
    stop.cancel();
}

/// R8.T-1, R8.1-2
#[tokio::test]
async fn datagrams_arrive_at_the_clients_ports() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (address, stop) = serve(ServerConfig::default()).await;
    let rtp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let rtcp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let ports =
        format!("{}-{}", rtp.local_addr().unwrap().port(), rtcp.local_addr().unwrap().port());
    let mut io = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut ask = async |text: String| {
        io.write_all(text.as_bytes()).await.unwrap();
        let mut buffer = vec![0; 4096];
        let n = io.read(&mut buffer).await.unwrap();
        buffer.truncate(n);
        buffer
    };
    let url = format!("rtsp://{address}/replay/one");
    let wire = ask(format!(
        "SETUP {url}/track1 RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP;unicast;client_port={ports}\r\n\r\n"
    ))
    .await;
    assert_eq!(status(&wire), 200);
    let agreed: crate::headers::Transport = field(&wire, "Transport").parse().unwrap();
    let (first, second) = agreed.server_port.unwrap();
    assert_eq!((first % 2, second), (0, first + 1));
    let session = field(&wire, "Session");
    let session = session.split(';').next().unwrap();
    let wire = ask(format!("PLAY {url} RTSP/1.0\r\nCSeq: 2\r\nSession: {session}\r\n\r\n")).await;
    assert_eq!(status(&wire), 200);
    let mut captured = Vec::new();
    while captured.len() < 5 {
        let mut buffer = [0; 2000];
        let (n, from) = rtp.recv_from(&mut buffer).await.unwrap();
        assert_eq!(from.port(), first);
        let packet = (Packet::parse(&buffer[..n]).unwrap(), buffer[..n].to_vec());
        captured.extend(extension(&packet).map(|e| e.at.since_us(Utc::from_secs(START))));
    }
    assert_eq!(captured, [0, 40_000, 80_000, 120_000, 160_000]);
    // R8.11-1: the report carries the wall clock, not the recorded time.
    let mut buffer = [0; 2000];
    let (n, _) = rtcp.recv_from(&mut buffer).await.unwrap();
    let all = crate::rtp::rtcp_compound(&buffer[..n]).unwrap();
    let crate::rtp::Rtcp::SenderReport(report) = all[0] else { panic!("{all:?}") };
    assert!(report.now > "2020-01-01T00:00:00Z".parse().unwrap());
    stop.cancel();
}
