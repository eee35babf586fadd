//! The RTSP server engine against a hostile client.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dvrgate_model::{Codec, CodecParams, Error, Result, Utc, UtcRange};
use dvrgate_rtsp::headers::{ClockRange, Range, RateControl};
use dvrgate_rtsp::message::{Item, Limits, Reader};
use dvrgate_rtsp::rtp::ReplayExtension;
use dvrgate_rtsp::server::{
    Connection, Destination, Media, Now, Peer, PlayRequest, Playing, Presentation, ServerConfig,
    Unit, Want,
};
use futures::stream::{self, StreamExt};

/// A byte of switches (1: log-in needed, 2: long pauses between requests), then what the client
/// sends. `@S` stands for the session that the server named last.
pub fn rtsp_server(data: &[u8]) {
    let Some((switches, script)) = data.split_first() else { return };
    let gate = (switches & 1 != 0).then(super::auth::gate);
    let pause = Duration::from_millis(if switches & 2 != 0 { 25_000 } else { 40 });
    let multicast = "239.255.64.0/30".parse().ok();
    let mut bench = Bench::new(ServerConfig { gate, multicast, ..Default::default() });
    let mut rest = script;
    while !rest.is_empty() && !bench.closed {
        let end = rest.windows(4).position(|w| w == b"\r\n\r\n").map_or(rest.len(), |i| i + 4);
        let (step, tail) = rest.split_at(end);
        rest = tail;
        bench.send(step);
        bench.wait(pause);
    }
    bench.wait(Duration::from_secs(120));
    assert!(bench.closed, "an idle connection ends");
}

const START: Utc = Utc::from_secs(1_000_000);
const FRAMES: i64 = 50;

/// Drives an engine by hand.
struct Bench {
    connection: Connection,
    now: Now,
    units: Option<std::vec::IntoIter<Unit>>,
    session: Vec<u8>,
    reader: Reader,
    closed: bool,
}

impl Bench {
    fn new(config: ServerConfig) -> Self {
        let now = Now { instant: Instant::now(), utc: Utc::from_secs(1_700_000_000) };
        let peer = Peer { remote: [192, 0, 2, 9].into(), local: [192, 0, 2, 10].into() };
        Self {
            connection: Connection::new(Arc::new(config), peer, now),
            now,
            units: None,
            session: b"0".to_vec(),
            reader: Reader::new(Limits { body_bytes: 1 << 20, ..Limits::default() }),
            closed: false,
        }
    }

    fn send(&mut self, step: &[u8]) {
        let mut parts = step.split(|b| *b == b'@').peekable();
        let mut wire = parts.next().unwrap_or_default().to_vec();
        for part in parts {
            match part.strip_prefix(b"S") {
                Some(tail) => wire.extend(self.session.iter().chain(tail)),
                None => wire.extend(b"@".iter().chain(part)),
            }
        }
        for piece in wire.chunks(1 + wire.len() / 2) {
            if self.connection.wants_input() {
                self.connection.input().extend_from_slice(piece);
                self.connection.received(self.now);
            }
            self.connection.received_rtcp(piece, self.now);
            self.run();
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.utc = self.now.utc.plus_us(time.as_micros() as i64);
        self.connection.tick(self.now);
        self.run();
        let _ = self.connection.deadline(self.now.instant);
    }

    fn run(&mut self) {
        loop {
            while let Some(want) = self.connection.want() {
                self.answer(want);
            }
            if !self.connection.wants_unit() {
                break;
            }
            let Some(units) = &mut self.units else { break };
            let unit = units.next();
            let ended = unit.is_none();
            self.connection.unit(unit, self.now);
            if ended {
                self.units = None;
            }
        }
        self.take();
    }

    fn answer(&mut self, want: Want) {
        match want {
            Want::Describe(r) => self.connection.described(presentation(&r.path), self.now),
            Want::Bind { to, .. } => {
                let ports = match to {
                    Destination::Client { ports: (1..1024, _) } => {
                        Err(std::io::ErrorKind::AddrInUse.into())
                    }
                    _ => Ok((62_000, 62_001)),
                };
                self.connection.bound(ports, self.now);
            }
            Want::Play(request) => match play(&request) {
                Ok((playing, units)) => {
                    if self.connection.playing(Ok(&playing), self.now) {
                        self.units = Some(units.into_iter());
                    }
                }
                Err(error) => {
                    self.connection.playing(Err(error), self.now);
                }
            },
            Want::Stop => self.units = None,
            Want::Close => self.closed = true,
        }
    }

    /// Whatever a client sends, answers are RTSP.
    fn take(&mut self) {
        let out = self.connection.out();
        while !out.is_empty() {
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = out.slices(&mut slices);
            let mut written = 0;
            for slice in &slices[..filled] {
                self.reader.push(slice);
                written += slice.len();
            }
            out.advance(written);
        }
        while let Some(item) = self.reader.next_item().expect("the server writes RTSP") {
            if let Item::Response(response) = item
                && let Some(session) = response.fields.get("Session")
            {
                let id = session.split(';').next().unwrap_or_default();
                self.session = id.as_bytes().to_vec();
            }
        }
        assert_eq!(self.reader.buffered(), 0, "the server writes whole messages");
        let datagrams = self.connection.datagrams();
        while datagrams.datagram().is_some() {
            datagrams.datagram_done();
        }
    }
}

fn params() -> CodecParams {
    let mut p = CodecParams::new(Codec::H264);
    p.parameter_sets.push(Bytes::from_static(&[
        0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00,
        0x04, 0x00, 0x00, 0x03, 0x00, 0xca, 0x3c, 0x58, 0xb9, 0x20,
    ]));
    p.parameter_sets.push(Bytes::from_static(&[0x68, 0xce, 0x3c, 0x80]));
    p
}

pub(super) fn presentation(path: &str) -> Result<Presentation> {
    let media = |track: &str, params| Media { track: track.into(), params };
    let sound = || media("a", CodecParams::new(Codec::Pcma));
    let media = match path {
        "/replay/1" => vec![media("v", params())],
        "/replay/2" => vec![media("v", params()), sound()],
        _ => return Err(Error::not_found("no such recording")),
    };
    let range = UtcRange::new(START, START.plus_us(FRAMES * 40_000)).ok();
    Ok(Presentation { name: path.into(), range, media })
}

pub(super) fn play(request: &PlayRequest) -> Result<(Playing, Vec<Unit>)> {
    let start = match (request.range, request.position) {
        (Some(Range::Clock(ClockRange { start: Some(t), .. })), _) | (None, Some(t)) => t,
        _ => START,
    };
    if start < START {
        return Err(Error::invalid("before the beginning"));
    }
    let from = start.since_us(START) / 40_000;
    let scale = request.scale.unwrap_or(1.0);
    let paced = request.rate_control == RateControl::Server;
    let media = request.media[0].index;
    let next = request.media[0].next;
    let unit = |i: i64| Unit {
        media,
        rtp_time: next.wrapping_add(3600 * i as u32),
        replay: ReplayExtension {
            at: START.plus_us(i * 40_000),
            clean: i % 25 == 0,
            end_of_section: i == FRAMES - 1,
            discontinuity: false,
            terminal: i == FRAMES - 1,
            cseq: 0,
        },
        params: Arc::new(params()),
        data: Bytes::from_static(&[0, 0, 0, 6, 0x65, 0x88, 0x80, 1, 2, 3]),
        due: paced.then(|| Duration::from_millis(40 * (i - from).unsigned_abs())),
    };
    let units: Vec<Unit> = match scale < 0.0 {
        true => (0..from.min(FRAMES)).rev().map(unit).collect(),
        false => (from..FRAMES).map(unit).collect(),
    };
    let playing = Playing {
        start: Some(start),
        end: None,
        scale,
        rtp_times: request.media.iter().map(|m| (m.index, m.next)).collect(),
        units: stream::empty().boxed(),
    };
    Ok((playing, units))
}
