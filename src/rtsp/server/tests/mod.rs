//! The engine against texts and a simulated network, and the whole server against the client engine of
//! this crate.

mod datagrams;
mod life;
mod network;
mod playing;
mod queue;
mod requests;
mod whole;
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dvrgate_auth::{DigestGate, DigestSettings, Identity, Level, Secret, User, Users};
use dvrgate_media::codec::annexb;
use dvrgate_media::container::Demuxed;
use dvrgate_model::{Codec, CodecParams, Error, Result, Utc, UtcRange};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, StreamExt};

use super::queue::MAX_QUEUED;
use super::{
    Application, Connection, DescribeRequest, Media, Now, Peer, PlayRequest, Playing, Presentation,
    Server, ServerConfig, Shared, TICK, Unit, Want, serve_connection,
};
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

/// When the frame of that number was captured.
fn frame_at(i: i64) -> Utc {
    Utc::from_secs(START).plus_us(i * 40_000)
}

/// The frame of that number, in a playback that began with the one numbered `from`.
fn unit(i: i64, from: i64, next: u32, paced: bool) -> Unit {
    let at = frame_at(i);
    let first = if i % 25 == 0 { 0x65 } else { 0x41 };
    let nal =
        [&[first, 0x9a][..], &vec![i as u8 | 1; if i % 25 == 0 { 5000 } else { 300 }]].concat();
    Unit {
        media: 0,
        rtp_time: next.wrapping_add(3600 * (i - from) as u32),
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
        due: paced.then(|| Duration::from_millis(40 * (i - from) as u64)),
    }
}

impl Application for Clip {
    fn describe(&self, request: DescribeRequest) -> BoxFuture<'_, Result<Presentation>> {
        async move { presentation(&request.path) }.boxed()
    }

    fn play(&self, request: PlayRequest) -> BoxFuture<'_, Result<Playing>> {
        async move {
            let range = request.range.map(|r| r.absolute(frame_at(0)));
            let (start, end) = match (range, request.position) {
                (Some(Range::Clock(ClockRange { start: Some(t), end })), _) => (t, end),
                (None, Some(t)) => (t, None),
                _ => (Utc::from_secs(START), None),
            };
            if start < Utc::from_secs(START) {
                return Err(Error::invalid("before the beginning"));
            }
            let from = start.since_us(Utc::from_secs(START)) / 40_000;
            let next = request.media[0].next;
            let paced = request.rate_control == RateControl::Server;
            let until = end.map_or(FRAMES, |t| t.since_us(frame_at(0)) / 40_000).min(FRAMES);
            let units = (from..until).map(move |i| Ok(unit(i, from, next, paced)));
            Ok(Playing {
                start: Some(start),
                end,
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
    /// What the application was asked to play.
    asked: Vec<PlayRequest>,
    /// It does not answer that yet.
    slow: bool,
}

impl Bench {
    fn new(config: ServerConfig) -> Self {
        let now = Now { instant: Instant::now(), utc: Utc::from_secs(5_000_000) };
        let peer =
            Peer { remote: "192.0.2.9".parse().unwrap(), local: "192.0.2.10".parse().unwrap() };
        let connection = Connection::new(Arc::new(config), peer, now);
        Self {
            connection,
            now,
            units: None,
            closed: false,
            refuse_ports: false,
            asked: Vec::new(),
            slow: false,
        }
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
                    Want::Play(r) if self.slow => self.asked.push(r),
                    Want::Play(r) => {
                        self.asked.push(r.clone());
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

pub(super) fn gate() -> DigestGate {
    let user =
        User { name: "admin".into(), level: Level::Administrator, password: Secret::new("12345") };
    DigestGate::new("dvrgate", Users::new(vec![user]).unwrap(), DigestSettings::default())
}
