//! What pulling footage from a recorder costs: a program stream out of memory through demuxer,
//! hash, assembly and store to a viewer, beside the limit: writing the same bytes with plain calls.
//! The recorder's network is not in it. Prints CPU seconds (of the whole process) for a gigabyte.
//!
//! `cargo bench -p dvrgate-footage --bench pull [-- --quick]`

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dvrgate_adapter::transport::hyper::HyperTransports;
use dvrgate_adapter::{
    Adapter, Capabilities, ControlRequest, ControlState, Cx, Device, DeviceOptions, DeviceSettings,
    EventQuery, Footage, FootageBody, FootageRequest, FootageSupport, FormatHint, Page,
    SegmentQuery, SourceEvent, SourceSegment,
};
use dvrgate_footage::{ChangeCounter, Devices, FootageOptions, FrameFilter, PlayPlan, Timeline};
use dvrgate_index::{Batch, Change, Index, MemoryIndex};
use dvrgate_model::ports::Clock;
use dvrgate_model::{
    ChannelId, Civil, ClockReading, Codec, DeviceId, Direction, Error, ErrorKind, Identity,
    Locator, Origin, Reason, Recording, RecordingStatus, Result, Segment, SegmentId, SegmentState,
    SourceInformation, SourceTime, Stamp, StreamKind, SyncRunId, Track, TrackKind, Utc, ZoneClaim,
};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};

const FPS: i64 = 25;
const GOP_FRAMES: i64 = 50;
/// Some 8 Mbit/s.
const KEY_BYTES: usize = 200_000;
const PREDICTED_BYTES: usize = 37_000;
const CHUNK_SECS: i64 = 60;
/// What a socket gives at once.
const PIECE_BYTES: usize = 64 << 10;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    // Cargo passes --bench; tests of all targets run without it and only want to see it live.
    let quick = args.iter().any(|a| a == "--quick") || !args.iter().any(|a| a == "--bench");
    let chunks = if quick { 1 } else { 16 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let dir = tempfile::tempdir().expect("a temporary directory");

    let recorder = Arc::new(Recorder { chunk: chunk() });
    let gigabytes = (recorder.chunk.len() as i64 * chunks) as f64 / 1e9;
    println!("{gigabytes:.3} GB in {chunks} transfers");
    let (limit, limit_wall) = measure(|| {
        let mut file = std::fs::File::create(dir.path().join("plain")).expect("create");
        for _ in 0..chunks {
            for piece in recorder.chunk.chunks(1 << 20) {
                file.write_all(piece).expect("write");
            }
        }
        file.sync_data().expect("sync");
    });
    let (pull, pull_wall) = measure(|| {
        let units = runtime.block_on(play(&recorder, dir.path(), chunks));
        assert_eq!(units, CHUNK_SECS * FPS * chunks, "every unit once");
    });
    let line = |what: &str, cpu_s: f64, wall: Duration| {
        let (cpu, speed) = (cpu_s / gigabytes, gigabytes / wall.as_secs_f64());
        println!("{what:<32} {cpu:>8.3} CPU-s/GB {speed:>8.3} GB/s");
    };
    line("write with plain calls (limit)", limit, limit_wall);
    line("pull, demux, hash, store, play", pull, pull_wall);
}

fn measure(f: impl FnOnce()) -> (f64, Duration) {
    let used = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
    };
    let (cpu, wall) = (used(), Instant::now());
    f();
    (used() - cpu, wall.elapsed())
}

async fn play(recorder: &Arc<Recorder>, dir: &std::path::Path, chunks: i64) -> i64 {
    let index = Arc::new(MemoryIndex::new());
    let seconds = CHUNK_SECS * chunks;
    index.apply(contents(seconds)).await.expect("the index takes it");
    let settings = DeviceSettings {
        id: "yard".into(),
        url: "http://192.0.2.1".parse().expect("a URL"),
        rtsp: None,
        username: String::new(),
        password: String::new(),
        zone: None,
    };
    let transports =
        HyperTransports::new(&settings, &recorder.capabilities().limits).expect("transports");
    let device = Device::assemble(
        settings,
        "bench".into(),
        Arc::clone(recorder) as Arc<dyn Adapter>,
        Arc::new(transports),
        Arc::default(),
        Arc::new(Machine),
        &DeviceOptions::default(),
    );
    let options = FootageOptions {
        dir: dir.join("store"),
        budget_bytes: 1 << 40,
        stall: FootageOptions::STALL,
    };
    let devices = Arc::new(Only(Arc::new(device)));
    let changes = Arc::new(ChangeCounter::default());
    let footage =
        dvrgate_footage::Footage::open(options, devices, index, changes).expect("footage").footage;
    let plan = PlayPlan {
        recording: "yard-1".into(),
        tracks: vec!["yard-1-video".into()],
        from: Utc::from_secs(start()),
        until: None,
        direction: Direction::Forward,
        frames: FrameFilter::All,
        follow_live: false,
        discontinuity: false,
    };
    let units = footage.play(plan).map(|d| {
        d.expect("a unit");
        1
    });
    units.fold(0, |n, one| async move { n + one }).await
}

/// Begins on the grid of chunks.
fn start() -> i64 {
    1_780_000_020 / CHUNK_SECS * CHUNK_SECS
}

fn contents(seconds: i64) -> Batch {
    let track = Track {
        token: "yard-1-video".into(),
        kind: TrackKind::Video,
        description: String::new(),
        codec: Some(Codec::H264),
        params: None,
        data: None,
    };
    let recording = Recording {
        token: "yard-1".into(),
        source: SourceInformation::default(),
        content: String::new(),
        tracks: vec![track],
        retention: None,
        origin: Origin::Device {
            device: "yard".into(),
            channel: ChannelId(1),
            stream: StreamKind::Main,
        },
        status: RecordingStatus::Stopped,
    };
    // A segment per transfer, so that each ends with its bytes.
    let segment = |i: i64| {
        let at = |s: i64| Utc::from_secs(start() + s);
        let reading = |t: Utc| {
            SourceTime::from_civil(Civil::from_micros_as_if_utc(t.micros()), ZoneClaim::None)
        };
        let (from, to) = (at(i), at(i + CHUNK_SECS));
        Change::Segment(Box::new(Segment {
            id: SegmentId(i as u64),
            track: "yard-1-video".into(),
            start: Stamp::exact(from),
            end: Stamp::exact(to),
            source: (reading(from), reading(to)),
            reason: Reason::Continuous,
            state: SegmentState::Closed,
            locator: Locator::default(),
            bytes: None,
            seen: SyncRunId(1),
        }))
    };
    let mut changes = vec![Change::Recording(Box::new(recording))];
    changes.extend((0..seconds).step_by(CHUNK_SECS as usize).map(segment));
    Batch { run: SyncRunId(1), changes }
}

#[derive(Debug)]
struct Machine;

impl Clock for Machine {
    fn utc(&self) -> Utc {
        Utc::from_secs(start())
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}

#[derive(Debug)]
struct Only(Arc<Device>);

impl Devices for Only {
    fn device(&self, _: &DeviceId) -> Option<Arc<Device>> {
        Some(Arc::clone(&self.0))
    }
}

/// A recorder whose every chunk is the same bytes.
#[derive(Debug)]
struct Recorder {
    chunk: Bytes,
}

fn unsupported<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T>> {
    async { Err(Error::new(ErrorKind::Unsupported, "not in this benchmark")) }.boxed()
}

impl Adapter for Recorder {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            footage: FootageSupport {
                by_time: true,
                by_segment: true,
                chunk: Duration::from_secs(CHUNK_SECS as u64),
                max_sessions: 1,
                ..FootageSupport::default()
            },
            ..Capabilities::default()
        }
    }

    fn identify<'a>(&'a self, _: &'a Cx) -> BoxFuture<'a, Result<Identity>> {
        unsupported()
    }

    fn clock<'a>(&'a self, _: &'a Cx) -> BoxFuture<'a, Result<ClockReading>> {
        unsupported()
    }

    fn list_segments<'a>(
        &'a self,
        _: &'a Cx,
        _: SegmentQuery,
    ) -> BoxFuture<'a, Result<Page<SourceSegment>>> {
        unsupported()
    }

    fn list_events<'a>(
        &'a self,
        _: &'a Cx,
        _: EventQuery,
    ) -> BoxFuture<'a, Result<Page<SourceEvent>>> {
        unsupported()
    }

    fn open<'a>(&'a self, _: &'a Cx, request: FootageRequest) -> BoxFuture<'a, Result<Footage>> {
        let chunk = self.chunk.clone();
        let pieces = (0..chunk.len())
            .step_by(PIECE_BYTES)
            .map(move |at| Ok(chunk.slice(at..chunk.len().min(at + PIECE_BYTES))));
        let body = FootageBody::Bytes(stream::iter(pieces).boxed(), FormatHint::MpegPs);
        let footage = Footage { body, what: "bench".to_owned(), start: Some(request.window.start) };
        async { Ok(footage) }.boxed()
    }

    fn control<'a>(&'a self, _: &'a Cx, _: ControlRequest) -> BoxFuture<'a, Result<ControlState>> {
        unsupported()
    }

    fn watch<'a>(&'a self, _: &'a Cx) -> BoxStream<'a, Result<SourceEvent>> {
        stream::empty().boxed()
    }
}

// ---- the least of a multiplexer (ISO/IEC 13818-1 2.5) ----

fn chunk() -> Bytes {
    const SPS: &[u8] = &[
        0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00,
        0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x3c, 0x60, 0xc6, 0x58,
    ];
    const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
    let mut noise = 1u32;
    let mut out = Vec::new();
    for n in 0..CHUNK_SECS * FPS {
        let pts = n * 90_000 / FPS + 90_000;
        let key = n % GOP_FRAMES == 0;
        let mut unit = Vec::new();
        if key {
            for nal in [SPS, PPS] {
                unit.extend([0, 0, 0, 1]);
                unit.extend(nal);
            }
        }
        let (head, len): ([u8; 3], _) = match key {
            true => ([0x65, 0x88, 0x80], KEY_BYTES),
            false => ([0x41, 0x9a, 0x80], PREDICTED_BYTES),
        };
        unit.extend([0, 0, 0, 1]);
        unit.extend(head);
        unit.extend((0..len).map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // No start codes.
            (noise >> 24) as u8 | 4
        }));
        out.extend(pack(pts as u64));
        if key {
            out.extend(map());
        }
        for (i, part) in unit.chunks(60_000).enumerate() {
            out.extend(pes((i == 0).then_some(pts as u64), part));
        }
    }
    out.into()
}

fn pack(base: u64) -> Vec<u8> {
    let mut out = vec![0, 0, 1, 0xba];
    out.push(0x44 | (base >> 27 & 0x38) as u8 | (base >> 28 & 3) as u8);
    out.push((base >> 20) as u8);
    out.push((base >> 12 & 0xf8) as u8 | 4 | (base >> 13 & 3) as u8);
    out.push((base >> 5) as u8);
    out.push((base << 3) as u8 | 4);
    out.extend([1, 0, 0, 3, 0xf8]);
    out
}

fn map() -> Vec<u8> {
    let body = [0xe0, 0xff, 0, 0, 0, 4, 0x1b, 0xe0, 0, 0];
    let mut out = vec![0, 0, 1, 0xbc];
    out.extend((body.len() as u16 + 4).to_be_bytes());
    out.extend(body);
    let crc = out.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    });
    out.extend(crc.to_be_bytes());
    out
}

fn pes(pts: Option<u64>, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0, 1, 0xe0, 0, 0, 0x80];
    match pts {
        Some(t) => {
            out.extend([0x80, 5, 0x21 | (t >> 29 & 0xe) as u8, (t >> 22) as u8]);
            out.extend([(t >> 14) as u8 | 1, (t >> 7) as u8, (t << 1) as u8 | 1]);
        }
        None => out.extend([0, 0]),
    }
    out.extend_from_slice(data);
    let len = (out.len() - 6) as u16;
    out[4..6].copy_from_slice(&len.to_be_bytes());
    out
}
