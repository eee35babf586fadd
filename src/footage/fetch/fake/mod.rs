//! A recorder for tests, an index that knows what it recorded, and footage over both.

mod recorder;
mod toy;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dvrgate_adapter::transport::hyper::HyperTransports;
use dvrgate_adapter::{Adapter, Device, DeviceOptions, DeviceSettings, SeekGrain};
use dvrgate_index::{Batch, Change, Index, MemoryIndex};
use dvrgate_model::ports::Clock;
use dvrgate_model::{
    Basis, ChannelId, Civil, ClockEpoch, ClockEpochId, Codec, DeviceId, Origin, Reason, Recording,
    RecordingStatus, RecordingToken, Segment, SegmentId, SegmentState, SourceInformation,
    SourceRange, SourceTime, StreamKind, SyncRunId, Track, TrackKind, Utc, UtcRange, ZoneClaim,
    ZoneRule, ZoneTrust,
};
use parking_lot::Mutex;

use self::recorder::{Behaviour, locate};
use super::Devices;
use crate::service::{ChangeCounter, Footage as Service, FootageOptions, Opened};
use crate::synthetic::T0;

pub use self::recorder::{AUDIO_US, FRAME_US, GOP_US, Harm, Recorder};

/// The clock of the machine.
#[derive(Debug)]
struct Machine;

impl Clock for Machine {
    fn utc(&self) -> Utc {
        Utc::from_secs(0)
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

#[derive(Debug)]
struct Registry(HashMap<DeviceId, Arc<Device>>);

impl Devices for Registry {
    fn device(&self, id: &DeviceId) -> Option<Arc<Device>> {
        self.0.get(id).cloned()
    }
}

/// A recorder, an index that knows what it recorded, and footage over both.
pub struct Site {
    pub recorder: Arc<Recorder>,
    pub index: Arc<MemoryIndex>,
    pub changes: Arc<ChangeCounter>,
    pub footage: Arc<Service>,
    pub dir: tempfile::TempDir,
    pub budget: u64,
}

impl Site {
    /// `recorded` is true UTC; the recorder's clock is 137.4 s ahead, on a wall clock of `zone`.
    pub async fn new(zone: &str, recorded: Vec<UtcRange>, budget: u64) -> Self {
        let ahead_us = 137_400_000;
        let zone = ZoneRule::iana(zone).unwrap();
        let recorder = Arc::new(Recorder {
            behaviour: Mutex::new(Behaviour {
                recorded: recorded.clone(),
                sound: true,
                refuses: None,
                harm: [].into(),
                as_bytes: false,
                resumes: true,
                resolution_us: 1000,
                changes_params_at: None,
                chunk: Duration::from_secs(20),
                seek: SeekGrain::CleanPoint,
                starts_late: false,
                gop_us: GOP_US,
            }),
            opens: Mutex::default(),
            sessions: Arc::default(),
            gate: Mutex::default(),
            door: Mutex::default(),
            zone: zone.clone(),
            ahead_us,
        });
        let index = Arc::new(MemoryIndex::new());
        let changes = Arc::new(ChangeCounter::default());
        let dir = tempfile::tempdir().unwrap();
        let footage = open(&recorder, &index, &changes, dir.path(), budget);
        let site = Self { recorder, index, changes, footage, dir, budget };
        site.apply(vec![Change::Recording(Box::new(recording(RecordingStatus::Stopped)))]).await;
        site.measure_clock(ahead_us).await;
        for range in recorded {
            site.list(range, SegmentState::Closed).await;
        }
        site
    }

    /// Says how far the recorder's clock is ahead.
    pub async fn measure_clock(&self, offset_us: i64) {
        let epoch = ClockEpoch {
            id: ClockEpochId(1),
            device: "yard".into(),
            valid: SourceRange::new(
                Civil::from_micros_as_if_utc(i64::MIN),
                Civil::from_micros_as_if_utc(i64::MAX),
            ),
            offset_us,
            drift_ppb: 0,
            measured_at: T0,
            zone: self.recorder.zone.clone(),
            trust: ZoneTrust::WallClock,
            basis: Basis::Measured,
            uncertainty_us: 1000,
        };
        self.apply(vec![Change::Epoch(Box::new(epoch))]).await;
    }

    pub async fn apply(&self, changes: Vec<Change>) {
        self.index.apply(Batch { run: SyncRunId(1), changes }).await.unwrap();
        self.changes.note();
    }

    /// Puts a segment into the index, for both tracks.
    pub async fn list(&self, range: UtcRange, state: SegmentState) {
        self.put_segment(range, range, state).await;
    }

    /// The same, where the index takes it for footage of another time.
    pub async fn list_as(&self, range: UtcRange, shown: UtcRange) {
        self.put_segment(range, shown, SegmentState::Closed).await;
    }

    async fn put_segment(&self, range: UtcRange, shown: UtcRange, state: SegmentState) {
        let stamp = dvrgate_model::Stamp::exact;
        let source = |t: Utc| SourceTime::from_civil(self.recorder.civil(t), ZoneClaim::None);
        for track in ["yard-1-video", "yard-1-audio"] {
            let segment = Segment {
                id: SegmentId::derive(&track.into(), "", &locate(range).0),
                track: track.into(),
                start: stamp(shown.start()),
                end: stamp(shown.end()),
                source: (source(range.start()), source(range.end())),
                reason: Reason::Continuous,
                state,
                locator: locate(range),
                bytes: None,
                seen: SyncRunId(1),
            };
            self.apply(vec![Change::Segment(Box::new(segment))]).await;
        }
    }

    /// The same site after a restart of the gateway.
    pub async fn reopen(self) -> Self {
        let Self { recorder, index, changes, footage, dir, budget } = self;
        drop(footage);
        // The last transfer may still be writing: the lock is its.
        let lock = std::fs::File::open(dir.path().join("lock")).unwrap();
        let operation = rustix::fs::FlockOperation::NonBlockingLockExclusive;
        super::tests::until("unlocked", || rustix::fs::flock(&lock, operation).is_ok()).await;
        drop(lock);
        let footage = open(&recorder, &index, &changes, dir.path(), budget);
        Self { recorder, index, changes, footage, dir, budget }
    }

    pub fn opens(&self) -> usize {
        self.recorder.opens.lock().len()
    }

    pub fn sessions(&self) -> (usize, usize) {
        let s = &self.recorder.sessions;
        (s.now.load(Ordering::SeqCst), s.most.load(Ordering::SeqCst))
    }
}

fn open(
    recorder: &Arc<Recorder>,
    index: &Arc<MemoryIndex>,
    changes: &Arc<ChangeCounter>,
    dir: &std::path::Path,
    budget_bytes: u64,
) -> Arc<Service> {
    let settings = DeviceSettings {
        id: "yard".into(),
        url: "http://192.0.2.1".parse().unwrap(),
        rtsp: None,
        username: String::new(),
        password: String::new(),
        zone: None,
    };
    let transports = HyperTransports::new(&settings, &recorder.capabilities().limits).unwrap();
    let device = Device::assemble(
        settings,
        "fake".into(),
        Arc::clone(recorder) as Arc<dyn Adapter>,
        Arc::new(transports),
        Arc::default(),
        Arc::new(Machine),
        &DeviceOptions::default(),
    );
    let registry = Registry([("yard".into(), Arc::new(device))].into());
    let options =
        FootageOptions { dir: dir.to_owned(), budget_bytes, stall: FootageOptions::STALL };
    let (index, changes) = (Arc::clone(index), Arc::clone(changes));
    let Opened { footage, .. } =
        Service::open(options, Arc::new(registry), index, changes).unwrap();
    footage
}

pub fn recording(status: RecordingStatus) -> Recording {
    let track = |token: &str, kind, codec| Track {
        token: token.into(),
        kind,
        description: String::new(),
        codec,
        params: None,
        data: None,
    };
    Recording {
        token: RecordingToken::from("yard-1"),
        source: SourceInformation::default(),
        content: String::new(),
        tracks: vec![
            track("yard-1-video", TrackKind::Video, Some(Codec::H264)),
            track("yard-1-audio", TrackKind::Audio, None),
        ],
        retention: None,
        origin: Origin::Device {
            device: "yard".into(),
            channel: ChannelId(1),
            stream: StreamKind::Main,
        },
        status,
    }
}
