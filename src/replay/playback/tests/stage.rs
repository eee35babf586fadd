//! One recording in a store and an index, and a server in front.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use dvrgate_adapter::Device;
use dvrgate_footage::{
    ChangeCounter, Devices, Footage, FootageOptions, FrameStream, Gop, MediaStore as _, PlayPlan,
    Timeline,
};
use dvrgate_index::{Batch, Change, Index as _, MemoryIndex, sample};
use dvrgate_model::{
    Codec, CodecParams, DeviceId, EventOrigin, Frame, FrameKind, Items, MediaTime, Recording,
    RecordingEvent, RecordingStatus, SegmentState, Stamp, SyncRunId, Topic, TrackKind, TrackToken,
    Utc, UtcRange, topics,
};
use dvrgate_rtsp::server::{Application, Server, ServerConfig};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::playback::application;

/// Two units that are further apart have a gap between them.
const GAP_US: i64 = 2_000_000;
/// Sound and metadata are stored in pieces of this length.
const PIECE_US: i64 = 1_000_000;
/// How long the last unit of a section lasts where there is no other to tell.
const UNIT_US: i64 = 40_000;

/// The recording `yard-1`, its tracks `yard-1-video` and so on.
pub struct Stage {
    recording: Mutex<Recording>,
    index: Arc<MemoryIndex>,
    changes: Arc<ChangeCounter>,
    footage: Arc<Footage>,
    asked: Arc<Mutex<Vec<PlayPlan>>>,
    /// The newest section of each track.
    newest: Mutex<HashMap<TrackToken, (Utc, Utc)>>,
    _dir: tempfile::TempDir,
}

/// Everything is stored: there is no recorder.
#[derive(Debug)]
struct Nobody;

impl Devices for Nobody {
    fn device(&self, _: &DeviceId) -> Option<Arc<Device>> {
        None
    }
}

/// Remembers what it was asked.
#[derive(Debug)]
struct Remembering {
    footage: Arc<Footage>,
    asked: Arc<Mutex<Vec<PlayPlan>>>,
}

impl Timeline for Remembering {
    fn play(&self, plan: PlayPlan) -> FrameStream {
        self.asked.lock().push(plan.clone());
        self.footage.play(plan)
    }
}

/// The track of that kind.
pub fn track(kind: TrackKind) -> TrackToken {
    TrackToken::derive(&"yard-1".into(), kind, 1)
}

/// A unit of the track that its encoding belongs to.
pub fn unit(params: &Arc<CodecParams>, at: Utc, kind: FrameKind, data: Bytes) -> Frame {
    let rate_hz = params.clock_rate_hz();
    let ticks = (i128::from(at.micros()) * i128::from(rate_hz) / 1_000_000) as i64;
    Frame {
        track: track(params.codec.track_kind()),
        at: Stamp::exact(at),
        media: MediaTime { ticks, rate_hz },
        kind,
        params: params.clone(),
        data,
        origin: None,
    }
}

impl Stage {
    /// A recording with a track for each of these, and nothing recorded yet.
    pub async fn new(tracks: impl IntoIterator<Item = CodecParams>) -> Self {
        let mut recording = sample::recording(1);
        let of = |params: CodecParams| {
            let kind = params.codec.track_kind();
            let mut track = sample::track(&recording.token, kind, params.codec);
            track.params = Some(params);
            track
        };
        recording.tracks = tracks.into_iter().map(of).collect();
        recording.status = RecordingStatus::Stopped;
        let index = Arc::new(MemoryIndex::new());
        let changes = Arc::new(ChangeCounter::default());
        let dir = tempfile::tempdir().unwrap();
        let options = FootageOptions {
            dir: dir.path().to_owned(),
            budget_bytes: 1 << 30,
            stall: FootageOptions::STALL,
        };
        let opened = Footage::open(options, Arc::new(Nobody), index.clone(), changes.clone());
        let stage = Self {
            recording: Mutex::new(recording),
            index,
            changes,
            footage: opened.unwrap().footage,
            asked: Arc::default(),
            newest: Mutex::default(),
            _dir: dir,
        };
        stage.status(RecordingStatus::Stopped).await;
        stage
    }

    /// One track, recorded to the end.
    pub async fn of(frames: Vec<Frame>) -> Self {
        let params = (*frames.last().unwrap().params).clone();
        let stage = Self::new([params]).await;
        stage.record(frames, SegmentState::Closed).await;
        stage
    }

    /// Says whether it is being recorded.
    pub async fn status(&self, status: RecordingStatus) {
        let recording = {
            let mut recording = self.recording.lock();
            recording.status = status;
            recording.clone()
        };
        self.apply(vec![Change::Recording(Box::new(recording))]).await;
    }

    /// More footage, by time; what follows what is there without a gap lengthens it. Tells those who
    /// wait for it.
    pub async fn record(&self, frames: Vec<Frame>, state: SegmentState) {
        let mut tracks: HashMap<TrackToken, Vec<Frame>> = HashMap::new();
        for frame in frames {
            tracks.entry(frame.track.clone()).or_default().push(frame);
        }
        let mut listed = Vec::new();
        for (track, frames) in tracks {
            let apart = |a: &Frame, b: &Frame| b.at.utc.since_us(a.at.utc) > GAP_US;
            for section in frames.chunk_by(|a, b| !apart(a, b)) {
                let range = self.store(section);
                let mut newest = self.newest.lock();
                let grown =
                    newest.get(&track).filter(|(_, end)| range.start().since_us(*end) <= GAP_US);
                let start = grown.map_or(range.start(), |(start, _)| *start);
                newest.insert(track.clone(), (start, range.end()));
                listed.push(sample::stretch(&track, start, range.end(), state));
                // Metadata is there wherever pictures are.
                let metadata = self::track(TrackKind::Metadata);
                if track == self::track(TrackKind::Video)
                    && self.recording.lock().track(&metadata).is_some()
                {
                    listed.push(sample::stretch(&metadata, start, range.end(), state));
                }
            }
        }
        self.apply(listed).await;
    }

    /// Motion begins or ends.
    pub async fn motion(&self, at: Utc, on: bool) {
        let (recording, topic) = ("yard-1".into(), Topic::new(topics::MOTION_ALARM));
        let items = Items::new([("Source", "1")], [("State", if on { "true" } else { "false" })]);
        let event = RecordingEvent {
            id: RecordingEvent::derive_id(&recording, &topic, &items, &at.to_string()),
            recording,
            track: None,
            at: Stamp::exact(at),
            source: None,
            topic,
            items,
            property: true,
            origin: EventOrigin::Log,
        };
        self.apply(vec![Change::Event(Box::new(event))]).await;
    }

    /// Stores a section in pieces that begin with a clean unit; says from when to when it is.
    fn store(&self, section: &[Frame]) -> UtcRange {
        let times: Vec<Utc> = section.iter().map(|f| f.at.utc).collect();
        let (first, last) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
        let unit_us = match section {
            [a, b, ..] => a.at.utc.since_us(b.at.utc).abs(),
            _ => UNIT_US,
        };
        let end = last.plus_us(unit_us);
        let mut begun: Option<Utc> = None;
        let mut starts = Vec::new();
        for (n, frame) in section.iter().enumerate() {
            let at = frame.at.utc;
            let long = begun.is_none_or(|b| at.since_us(b) >= PIECE_US);
            if frame.kind.is_clean() && (frame.kind == FrameKind::Key || long) {
                begun = Some(at);
                starts.push(n);
            }
        }
        let (store, transfer) = (self.footage.store(), self.footage.transfer("test"));
        for (i, &n) in starts.iter().enumerate() {
            let next = starts.get(i + 1).copied();
            let frames = section[n..next.unwrap_or(section.len())].to_vec();
            let range = UtcRange::clamped(times[n], next.map_or(end, |m| times[m]));
            let gop = Gop { track: frames[0].track.clone(), range, source: None, frames };
            store.put_blocking(&gop, &transfer).unwrap();
        }
        UtcRange::clamped(first, end)
    }

    async fn apply(&self, changes: Vec<Change>) {
        self.index.apply(Batch { run: SyncRunId(1), changes }).await.unwrap();
        self.changes.note();
    }

    /// What a server serves.
    pub fn application(&self) -> Arc<dyn Application> {
        let (footage, asked) = (self.footage.clone(), self.asked.clone());
        let timeline = Arc::new(Remembering { footage, asked });
        application(self.index.clone(), timeline, self.footage.clone())
    }

    /// What the timeline was asked for last.
    pub fn asked(&self) -> PlayPlan {
        self.asked.lock().last().cloned().unwrap()
    }

    /// A server on a port of its own.
    pub async fn serve(&self) -> Running {
        let address = "127.0.0.1:0".parse().unwrap();
        let config = ServerConfig::default();
        let server = Server::bind(address, config, self.application()).await.unwrap();
        let url = format!("rtsp://{}/replay/yard-1", server.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(server.run(stop.clone()));
        Running { url, stop }
    }
}

/// A server, stopped when dropped.
pub struct Running {
    /// Where the recording is.
    pub url: String,
    stop: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// H.264 without parameter sets: nothing is sent in band.
pub fn bare_h264() -> Arc<CodecParams> {
    Arc::new(CodecParams::new(Codec::H264))
}
