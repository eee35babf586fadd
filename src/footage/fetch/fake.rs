//! A recorder for tests: its footage is a function of time, its sessions are counted, and it can
//! be made to wait, to break off and to lie.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dvrgate_adapter::transport::hyper::HyperTransports;
use dvrgate_adapter::{
    Adapter, Capabilities, ControlRequest, ControlState, Cx, Device, DeviceOptions, DeviceSettings,
    EventQuery, Footage, FootageBody, FootageRequest, FootageSupport, FormatHint, Page, Priority,
    SeekGrain, SegmentQuery, SourceEvent, SourceSegment,
};
use dvrgate_index::{Batch, Change, Index, MemoryIndex};
use dvrgate_media::container::{Anchor, Demuxed, Demuxer, Unit};
use dvrgate_model::ports::Clock;
use dvrgate_model::{
    Basis, ChannelId, Civil, ClockEpoch, ClockEpochId, ClockReading, Codec, CodecParams,
    Convention, DeviceId, Error, ErrorKind, FrameKind, Identity, Locator, MediaTime, Origin,
    Reason, Recording, RecordingStatus, RecordingToken, Result, Segment, SegmentId, SegmentState,
    SourceInformation, SourceRange, SourceTime, StreamKind, SyncRunId, Track, TrackKind,
    TrackToken, Utc, UtcRange, ZoneClaim, ZoneRule, ZoneTrust,
};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::Devices;
use crate::service::{ChangeCounter, Footage as Service, FootageOptions, Opened};
use crate::synthetic::{T0, params, payload};

pub const FRAME_US: i64 = 40_000;
pub const GOP_US: i64 = 2_000_000;
pub const AUDIO_US: i64 = 200_000;

/// What the recorder does. Changed by tests at any time.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// What it recorded, in its own UTC (see `ahead_us`).
    pub recorded: Vec<UtcRange>,
    pub sound: bool,
    /// Fails every open.
    pub refuses: Option<ErrorKind>,
    /// Bytes after which a transfer breaks off, once.
    pub breaks_after: Option<usize>,
    /// As bytes of a made-up container instead of units.
    pub as_bytes: bool,
    /// Resolution of anchors.
    pub resolution_us: i64,
    /// From here on another resolution.
    pub changes_params_at: Option<Utc>,
    pub chunk: Duration,
    pub seek: SeekGrain,
    /// Begins at the clean point after the asked instant.
    pub starts_late: bool,
    pub gop_us: i64,
}

/// The recorder.
#[derive(Debug)]
pub struct Recorder {
    pub behaviour: Mutex<Behaviour>,
    pub opens: Mutex<Vec<(SourceRange, Priority, u64)>>,
    pub sessions: Arc<Sessions>,
    /// Units wait for permits when this is set.
    pub gate: Mutex<Option<Arc<Semaphore>>>,
    /// Opens wait for permits when this is set.
    pub door: Mutex<Option<Arc<Semaphore>>>,
    zone: ZoneRule,
    ahead_us: i64,
}

#[derive(Debug, Default)]
pub struct Sessions {
    pub now: AtomicUsize,
    pub most: AtomicUsize,
}

struct Session(Arc<Sessions>);

impl Session {
    fn open(sessions: &Arc<Sessions>) -> Self {
        let now = sessions.now.fetch_add(1, Ordering::SeqCst) + 1;
        sessions.most.fetch_max(now, Ordering::SeqCst);
        Self(Arc::clone(sessions))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Recorder {
    fn civil(&self, t: Utc) -> Civil {
        self.zone.civil(t.plus_us(self.ahead_us))
    }

    /// The units it sends for a window, with UTC instants: from the clean point at or before the
    /// start, out of the file that the locator names.
    fn footage(&self, window: SourceRange, locator: &Locator) -> Vec<(Utc, Unit)> {
        let b = self.behaviour.lock().clone();
        let mut out = Vec::new();
        for range in &b.recorded {
            if *locator != locate(*range) {
                continue;
            }
            let begun = self.civil(range.start());
            let first = range.start().micros();
            let mut us = first;
            let mut units = Vec::new();
            while us < range.end().micros() {
                let at = Utc::from_micros(us);
                let since = us - first;
                let key = since % b.gop_us == 0;
                let kind = if key { FrameKind::Key } else { FrameKind::Predicted };
                units.push((at, unit(TrackKind::Video, kind, at, first)));
                if b.sound && since % AUDIO_US == 0 {
                    units.push((at, unit(TrackKind::Audio, FrameKind::Audio, at, first)));
                }
                us += FRAME_US;
            }
            let clean: Vec<Utc> = units
                .iter()
                .filter(|(_, u)| u.frame == FrameKind::Key)
                .map(|(at, _)| *at)
                .collect();
            let begins = match b.starts_late {
                false => clean.iter().rev().find(|t| self.civil(**t) <= window.start),
                true => clean.iter().find(|t| self.civil(**t) >= window.start),
            };
            let begins = begins.or(clean.first()).copied().unwrap_or(Utc::MAX);
            // Within one pass the wall clock rises with UTC, but for the change itself.
            out.extend(units.into_iter().filter(|(at, _)| {
                *at >= begins && (self.civil(*at) < window.end || self.civil(*at) < begun)
            }));
        }
        out
    }

    fn items(&self, window: SourceRange, locator: &Locator) -> Vec<Demuxed> {
        let b = self.behaviour.lock().clone();
        let mut items = Vec::new();
        let mut shown = None;
        for (at, unit) in self.footage(window, locator) {
            let changed = b.changes_params_at.is_some_and(|t| at >= t);
            if shown != Some(changed) {
                shown = Some(changed);
                let mut p = CodecParams::clone(&params(Codec::H264));
                if changed {
                    p.width = 128;
                }
                items.push(Demuxed::Params(Arc::new(p)));
                if b.sound {
                    items.push(Demuxed::Params(params(Codec::Pcmu)));
                }
            }
            if unit.frame == FrameKind::Key {
                let us = self.civil(at).micros_as_if_utc();
                items.push(Demuxed::Anchor(Anchor {
                    media: unit.media,
                    civil: Civil::from_micros_as_if_utc(
                        us.div_euclid(b.resolution_us) * b.resolution_us,
                    ),
                    convention: Convention::WallClock,
                    resolution_us: b.resolution_us as u64,
                }));
            }
            items.push(Demuxed::Unit(unit));
        }
        items
    }

    /// The bytes of a whole answer.
    pub fn sent(&self, window: SourceRange) -> Vec<u8> {
        let file = locate(self.behaviour.lock().recorded[0]);
        self.items(window, &file).iter().flat_map(toy::write).collect()
    }

    async fn answer(&self, cx: &Cx, request: FootageRequest) -> Result<Footage> {
        let priority = cx.priority;
        self.opens.lock().push((request.window, priority, request.resume));
        let door = self.door.lock().clone();
        if let Some(door) = door {
            door.acquire().await.unwrap().forget();
        }
        if let Some(kind) = self.behaviour.lock().refuses {
            return Err(Error::new(kind, "the fake recorder refuses"));
        }
        let session = Session::open(&self.sessions);
        let items = self.items(request.window, &request.locator.unwrap_or_default());
        let gate = self.gate.lock().clone();
        let what = format!("{:?}", request.window);
        let body = if self.behaviour.lock().as_bytes {
            let bytes: Vec<u8> = items.iter().flat_map(toy::write).collect();
            let rest = bytes[(request.resume as usize).min(bytes.len())..].to_vec();
            let breaks = self.behaviour.lock().breaks_after.take();
            let mut pieces: Vec<Result<Bytes>> = Vec::new();
            for piece in rest[..breaks.unwrap_or(rest.len()).min(rest.len())].chunks(1000) {
                pieces.push(Ok(Bytes::copy_from_slice(piece)));
            }
            if breaks.is_some() {
                pieces.push(Err(Error::new(ErrorKind::Unreachable, "broke off")));
            }
            let held = stream::iter(pieces).map(move |p| {
                let _ = &session;
                p
            });
            FootageBody::Bytes(held.boxed(), FormatHint::Vendor(Box::new(toy::Toy::default())))
        } else {
            let units = stream::iter(items).then(move |item| {
                let (gate, _session) = (gate.clone(), &session);
                async move {
                    if let Some(gate) = gate {
                        gate.acquire().await.unwrap().forget();
                    }
                    Ok(item)
                }
                .boxed()
            });
            FootageBody::Units(units.boxed())
        };
        Ok(Footage { body, what, start: None })
    }
}

/// The name of a file: when it begins.
fn locate(file: UtcRange) -> Locator {
    Locator(file.start().micros().to_string().into())
}

fn unit(kind: TrackKind, frame: FrameKind, at: Utc, first: i64) -> Unit {
    let track = TrackToken::from(match kind {
        TrackKind::Audio => "yard-1-audio",
        _ => "yard-1-video",
    });
    Unit {
        kind,
        // An origin of its own, as in life.
        media: MediaTime { ticks: (at.micros() - first) * 9 / 100 + 12_345, rate_hz: 90_000 },
        frame,
        data: payload(&track, at, if frame == FrameKind::Key { 300 } else { 60 }),
    }
}

impl Adapter for Recorder {
    fn capabilities(&self) -> Capabilities {
        let b = self.behaviour.lock();
        Capabilities {
            footage: FootageSupport {
                by_time: true,
                by_segment: true,
                resume: true,
                seek: b.seek,
                chunk: b.chunk,
                max_sessions: 2,
                ..FootageSupport::default()
            },
            ..Capabilities::default()
        }
    }

    fn identify<'a>(&'a self, _: &'a Cx) -> BoxFuture<'a, Result<Identity>> {
        async { Ok(Identity::default()) }.boxed()
    }

    fn clock<'a>(&'a self, _: &'a Cx) -> BoxFuture<'a, Result<ClockReading>> {
        async { Err(Error::new(ErrorKind::Unsupported, "no clock")) }.boxed()
    }

    fn list_segments<'a>(
        &'a self,
        _: &'a Cx,
        _: SegmentQuery,
    ) -> BoxFuture<'a, Result<Page<SourceSegment>>> {
        async { Err(Error::new(ErrorKind::Unsupported, "no listing")) }.boxed()
    }

    fn list_events<'a>(
        &'a self,
        _: &'a Cx,
        _: EventQuery,
    ) -> BoxFuture<'a, Result<Page<SourceEvent>>> {
        async { Err(Error::new(ErrorKind::Unsupported, "no log")) }.boxed()
    }

    fn open<'a>(&'a self, cx: &'a Cx, request: FootageRequest) -> BoxFuture<'a, Result<Footage>> {
        self.answer(cx, request).boxed()
    }

    fn control<'a>(&'a self, _: &'a Cx, _: ControlRequest) -> BoxFuture<'a, Result<ControlState>> {
        async { Err(Error::new(ErrorKind::Unsupported, "no control")) }.boxed()
    }

    fn watch<'a>(&'a self, _: &'a Cx) -> BoxStream<'a, Result<SourceEvent>> {
        stream::empty().boxed()
    }
}

/// A container of the test's own: length, media time, kind, data.
pub mod toy {
    use super::*;

    #[derive(Debug, Default)]
    pub struct Toy {
        buffer: Vec<u8>,
        at: usize,
    }

    pub fn write(item: &Demuxed) -> Vec<u8> {
        let mut body = Vec::new();
        match item {
            Demuxed::Params(p) => {
                body.push(0);
                body.push(u8::from(p.codec == Codec::Pcmu));
                body.extend(p.width.to_be_bytes());
            }
            Demuxed::Anchor(a) => {
                body.push(1);
                body.extend(a.media.ticks.to_be_bytes());
                body.extend(a.civil.micros_as_if_utc().to_be_bytes());
                body.extend(a.resolution_us.to_be_bytes());
            }
            Demuxed::Unit(u) => {
                body.push(match u.frame {
                    FrameKind::Key => 2,
                    FrameKind::Predicted => 3,
                    _ => 4,
                });
                body.extend(u.media.ticks.to_be_bytes());
                body.extend(&u.data);
            }
            Demuxed::Damage { .. } => {}
        }
        let mut out = (body.len() as u32).to_be_bytes().to_vec();
        out.extend(body);
        out
    }

    fn int(bytes: &[u8]) -> i64 {
        i64::from_be_bytes(bytes.try_into().unwrap())
    }

    impl Demuxer for Toy {
        fn push(&mut self, bytes: &[u8]) -> Result<()> {
            self.buffer.drain(..std::mem::take(&mut self.at));
            self.buffer.extend_from_slice(bytes);
            Ok(())
        }

        fn pull(&mut self) -> Option<Demuxed> {
            let rest = &self.buffer[self.at..];
            let len = u32::from_be_bytes(*rest.first_chunk()?) as usize;
            let body = rest.get(4..4 + len)?.to_vec();
            self.at += 4 + len;
            let media = |b: &[u8]| MediaTime { ticks: int(&b[1..9]), rate_hz: 90_000 };
            Some(match body[0] {
                0 if body[1] == 1 => Demuxed::Params(params(Codec::Pcmu)),
                0 => {
                    let mut p = CodecParams::clone(&params(Codec::H264));
                    p.width = u32::from_be_bytes(body[2..6].try_into().unwrap());
                    Demuxed::Params(Arc::new(p))
                }
                1 => Demuxed::Anchor(Anchor {
                    media: media(&body),
                    civil: Civil::from_micros_as_if_utc(int(&body[9..17])),
                    convention: Convention::WallClock,
                    resolution_us: int(&body[17..25]) as u64,
                }),
                kind => Demuxed::Unit(Unit {
                    kind: if kind == 4 { TrackKind::Audio } else { TrackKind::Video },
                    media: media(&body),
                    frame: [FrameKind::Key, FrameKind::Predicted, FrameKind::Audio]
                        [usize::from(kind) - 2],
                    data: Bytes::copy_from_slice(&body[9..]),
                }),
            })
        }

        fn finish(&mut self) -> Result<()> {
            Ok(())
        }
    }
}

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
                breaks_after: None,
                as_bytes: false,
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
    let options = FootageOptions { dir: dir.to_owned(), budget_bytes };
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
