//! Footage of an hour: a minute of 1080p25 at 4 Mbit/s, over and over, in a GOP store, and the same
//! hour as a file for the peer.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use dvrgate_adapter::Device;
use dvrgate_footage::{
    ChangeCounter, Devices, Footage, FootageOptions, Gop, GopStore, MediaStore, StoreOptions,
};
use dvrgate_index::{Batch, Change, Index, MemoryIndex};
use dvrgate_media::codec::{annexb, h264};
use dvrgate_model::{
    ChannelId, Civil, Codec, CodecParams, DeviceId, Frame, FrameKind, Locator, MediaTime, Origin,
    Reason, Recording, RecordingStatus, Segment, SegmentId, SegmentState, SourceInformation,
    SourceTime, Stamp, StreamKind, SyncRunId, Track, TrackKind, TrackToken, Utc, UtcRange,
    ZoneClaim,
};

/// Seconds of footage.
pub const SECONDS: i64 = 3600;
/// Frames in a GOP, and their distance.
const GOP_FRAMES: usize = 50;
const FRAME_US: i64 = 40_000;
const AUD: u8 = 9;

/// 2026-06-01T00:00:00Z.
pub fn start() -> Utc {
    Utc::from_secs(1_780_272_000)
}

/// The minute as a byte stream with access unit delimiters: made by ffmpeg, else of random slices
/// in the same sizes.
pub fn clip(path: &Path) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let x264 = "aud=1:keyint=50:min-keyint=50:scenecut=0:bframes=0:slices=1:sliced-threads=0";
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i"])
        .arg("testsrc2=size=1920x1080:rate=25,noise=alls=8:allf=t")
        .args(["-t", "60", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-b:v", "4M", "-maxrate", "4M", "-bufsize", "4M", "-x264-params", x264])
        .arg(path)
        .status();
    if made.is_ok_and(|s| s.success()) {
        return Ok(());
    }
    println!("ffmpeg is not installed: the footage is random slices, and no peer can play it");
    let mut seed = 1u64;
    let mut nal = |head: u8, len: usize| {
        let mut nal = vec![0, 0, 0, 1, AUD, 0xf0, 0, 0, 0, 1, head];
        for _ in 0..len {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Never a start code.
            nal.push((seed >> 56) as u8 | 1);
        }
        nal
    };
    let frame = |i: usize| {
        if i.is_multiple_of(GOP_FRAMES) { nal(0x65, 100_000) } else { nal(0x41, 18_000) }
    };
    std::fs::write(path, (0..1500).flat_map(frame).collect::<Vec<u8>>())
}

/// The hour as a file for players of files, if ffmpeg makes it.
pub fn file(clip: &Path, to: &Path) -> bool {
    let minute = to.with_extension("minute.mkv");
    // The first packs the stream into a file that can be looped.
    let packed = [&["-framerate", "25"][..], &["-stream_loop", "59"]];
    let steps = packed.into_iter().zip([(clip, &*minute), (&*minute, to)]);
    steps.into_iter().all(|(options, (from, to))| {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-y"]).args(options).arg("-i").arg(from).args(["-c", "copy"]);
        ffmpeg.arg(to).status().is_ok_and(|s| s.success())
    })
}

fn track() -> TrackToken {
    "r-video".into()
}

/// Fills a store in `dir` with the hour.
pub fn fill(clip: &Path, dir: &Path) -> std::io::Result<u64> {
    let data = std::fs::read(clip)?;
    let mut units: Vec<Vec<&[u8]>> = Vec::new();
    let mut params = CodecParams::new(Codec::H264);
    (params.width, params.height) = (1920, 1080);
    for nal in annexb::units(&data) {
        match h264::nal_type(nal) {
            AUD => units.push(Vec::new()),
            7 | 8 if units.len() == 1 => params.parameter_sets.push(Bytes::copy_from_slice(nal)),
            _ => {}
        }
        if h264::nal_type(nal) != AUD
            && let Some(unit) = units.last_mut()
        {
            unit.push(nal);
        }
    }
    let params = Arc::new(params);
    let units: Vec<Bytes> = units.into_iter().map(annexb::join).collect();
    let options = StoreOptions { dir: dir.to_owned(), budget_bytes: 1 << 40 };
    let (store, _) = GopStore::open(options).expect("the store opens");
    let transfer = store.transfer("bench");
    let mut bytes = 0;
    let frames = (SECONDS * 1_000_000 / FRAME_US) as usize;
    for first in (0..frames).step_by(GOP_FRAMES) {
        let at = |n: usize| start().plus_us(n as i64 * FRAME_US);
        let frame = |n: usize| Frame {
            track: track(),
            at: Stamp::exact(at(n)),
            media: MediaTime { ticks: n as i64 * 3600, rate_hz: 90_000 },
            kind: if n == first { FrameKind::Key } else { FrameKind::Predicted },
            params: Arc::clone(&params),
            data: units[n % units.len()].clone(),
            origin: None,
        };
        let gop = Gop {
            track: track(),
            range: UtcRange::clamped(at(first), at(first + GOP_FRAMES)),
            source: None,
            frames: (first..first + GOP_FRAMES).map(frame).collect(),
        };
        bytes += gop.bytes();
        store.put_blocking(&gop, &transfer).expect("put");
    }
    store.flush().expect("flush");
    Ok(bytes)
}

/// The store in `dir` behind an index that knows the recording `r`.
pub async fn open(dir: &Path) -> (Arc<dyn Index>, Arc<Footage>) {
    let index: Arc<dyn Index> = Arc::new(MemoryIndex::new());
    index.apply(contents()).await.expect("the index takes it");
    let options =
        FootageOptions { dir: dir.to_owned(), budget_bytes: 1 << 40, stall: FootageOptions::STALL };
    let changes = Arc::new(ChangeCounter::default());
    let opened = Footage::open(options, Arc::new(Nobody), Arc::clone(&index), changes);
    (index, opened.expect("the footage opens").footage)
}

fn contents() -> Batch {
    let track = Track {
        token: track(),
        kind: TrackKind::Video,
        description: String::new(),
        codec: Some(Codec::H264),
        params: None,
        data: None,
    };
    let recording = Recording {
        token: "r".into(),
        source: SourceInformation::default(),
        content: String::new(),
        tracks: vec![track.clone()],
        retention: None,
        origin: Origin::Device {
            device: "yard".into(),
            channel: ChannelId(1),
            stream: StreamKind::Main,
        },
        status: RecordingStatus::Stopped,
    };
    let reading =
        |t: Utc| SourceTime::from_civil(Civil::from_micros_as_if_utc(t.micros()), ZoneClaim::None);
    let end = start().plus_us(SECONDS * 1_000_000);
    let segment = Segment {
        id: SegmentId(1),
        track: track.token,
        start: Stamp::exact(start()),
        end: Stamp::exact(end),
        source: (reading(start()), reading(end)),
        reason: Reason::Continuous,
        state: SegmentState::Closed,
        locator: Locator::default(),
        bytes: None,
        seen: SyncRunId(1),
    };
    let changes = vec![Change::Recording(Box::new(recording)), Change::Segment(Box::new(segment))];
    Batch { run: SyncRunId(1), changes }
}

/// No recorder: everything is stored.
#[derive(Debug)]
struct Nobody;

impl Devices for Nobody {
    fn device(&self, _: &DeviceId) -> Option<Arc<Device>> {
        None
    }
}
