//! A recorder in memory: lists the files of a scenario in its own time, whole seconds, pages, caps.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dvrgate_adapter::layers::{self, Faults, Retries};
use dvrgate_adapter::transport::transcript::Transcript;
use dvrgate_adapter::{
    Adapter, Capabilities, ControlRequest, ControlState, Cx, Device, DeviceOptions, DeviceSettings,
    EventQuery, Footage, FootageRequest, ListOrder, Mapping, OldestQuery, OldestSupport, Page,
    PageCursor, SegmentQuery, SourceEvent, SourceSegment,
};
use dvrgate_index::{Index, MemoryIndex, SpanQuery};
use dvrgate_model::ports::{Clock, EventSink};
use dvrgate_model::{
    Channel, ChannelId, Civil, ClockReading, Codec, CodecParams, Direction, Error, ErrorKind,
    EventOrigin, Identity, Items, Locator, RecordingEvent, Result, SegmentState, SourceTime,
    StreamKind, TrackToken, Utc, UtcRange, ZoneClaim, ZoneRule, ZoneTrust,
};
use dvrgate_testkit::archive::LoggedEvent;
use dvrgate_testkit::{Archive, EventKind, Scenario};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use parking_lot::Mutex;

use crate::{Options, Syncer};

/// Follows tokio's clock, so that waits for an edge of a second meet it; tests can also move it.
#[derive(Debug)]
pub struct TestClock {
    origin: Utc,
    started: tokio::time::Instant,
    moved_us: AtomicI64,
}

impl TestClock {
    pub fn advance(&self, by: Duration) {
        self.moved_us.fetch_add(by.as_micros() as i64, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn utc(&self) -> Utc {
        let ran = self.started.elapsed().as_micros() as i64;
        self.origin.plus_us(ran + self.moved_us.load(Ordering::SeqCst))
    }

    fn now(&self) -> Instant {
        let moved = self.moved_us.load(Ordering::SeqCst) as u64;
        self.started.into_std() + self.started.elapsed() + Duration::from_micros(moved)
    }
}

/// What it admits about itself, and how it lists.
#[derive(Clone, Debug)]
pub struct Manners {
    pub page: usize,
    pub cap: Option<usize>,
    pub max_window: Option<Duration>,
    pub order: ListOrder,
    pub oldest: OldestSupport,
    pub reads_clock: bool,
    pub tells_zone: bool,
    pub watch: bool,
    pub codec: Codec,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            page: 40,
            cap: None,
            max_window: None,
            order: ListOrder::OldestFirst,
            oldest: OldestSupport::No,
            reads_clock: true,
            tells_zone: true,
            watch: false,
            codec: Codec::H264,
        }
    }
}

pub struct Recorder {
    pub archive: Archive,
    pub manners: Mutex<Manners>,
    pub clock: Arc<TestClock>,
    pub lists: AtomicUsize,
    /// Looks at its clock.
    pub looks: AtomicUsize,
    /// Fails with this after so many lists.
    pub fails: Mutex<Option<(usize, ErrorKind)>>,
    pub alerts: Mutex<Vec<SourceEvent>>,
    /// Each page begins with the last item of the one before.
    pub repeats: Mutex<bool>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recorder {
    pub fn new(scenario: &str, now: &str, manners: Manners) -> Arc<Self> {
        let origin: Utc = now.parse().unwrap();
        let scenario = Scenario::parse(scenario).unwrap();
        let started = tokio::time::Instant::now();
        Arc::new(Self {
            archive: Archive::new(&scenario, origin).unwrap(),
            manners: Mutex::new(manners),
            clock: Arc::new(TestClock { origin, started, moved_us: AtomicI64::new(0) }),
            lists: AtomicUsize::new(0),
            looks: AtomicUsize::new(0),
            fails: Mutex::new(None),
            alerts: Mutex::default(),
            repeats: Mutex::default(),
        })
    }

    fn now(&self) -> Utc {
        self.clock.utc()
    }

    /// Whole seconds of its wall clock.
    fn said(&self, t: Utc) -> SourceTime {
        let wall = self.archive.wall(t);
        let us = wall.micros_as_if_utc();
        let civil = wall.plus_us(-us.rem_euclid(1_000_000));
        SourceTime::from_civil(civil, ZoneClaim::Utc)
    }

    fn count(&self) -> Result<()> {
        let n = self.lists.fetch_add(1, Ordering::SeqCst);
        match *self.fails.lock() {
            Some((after, kind)) if n >= after => Err(Error::new(kind, "as the test wants")),
            _ => Ok(()),
        }
    }

    fn page<T>(&self, mut items: Vec<T>, cursor: Option<PageCursor>) -> Result<Page<T>> {
        let manners = self.manners.lock().clone();
        let capped = manners.cap.is_some_and(|cap| items.len() > cap);
        if let Some(cap) = manners.cap {
            items.truncate(cap);
        }
        let at: usize = match cursor {
            Some(c) => {
                String::from_utf8_lossy(&c.0).parse().map_err(|e: std::num::ParseIntError| {
                    Error::invalid("not a cursor of this recorder").because(e)
                })?
            }
            None => 0,
        };
        let again = usize::from(*self.repeats.lock() && at > 0);
        let rest = items.split_off((at - again).min(items.len()));
        let more = rest.len() > manners.page;
        let items: Vec<T> = rest.into_iter().take(manners.page).collect();
        let next = more.then(|| PageCursor(Bytes::from((at + manners.page).to_string())));
        Ok(Page { capped: capped && next.is_none(), items, next })
    }

    fn ordered<T>(&self, mut items: Vec<T>) -> Vec<T> {
        match self.manners.lock().order {
            ListOrder::OldestFirst => {}
            ListOrder::NewestFirst => items.reverse(),
            ListOrder::Unordered => {
                let odd: Vec<T> = items.split_off(items.len() / 2);
                items = odd.into_iter().chain(items).collect();
            }
        }
        items
    }
}

impl Adapter for Recorder {
    fn capabilities(&self) -> Capabilities {
        let manners = self.manners.lock().clone();
        let mut c = Capabilities::default();
        c.clock.read = manners.reads_clock;
        c.segments.offered = true;
        c.segments.order = manners.order;
        c.segments.oldest = manners.oldest;
        c.segments.max_results = manners.cap;
        c.segments.max_window = manners.max_window;
        c.events.max_window = manners.max_window;
        c.events.offered = true;
        c.watch = manners.watch;
        c
    }

    fn identify<'a>(&'a self, _cx: &'a Cx) -> BoxFuture<'a, Result<Identity>> {
        let channels = self.archive.channels().iter().map(|c| Channel {
            id: ChannelId(c.id.into()),
            name: c.name.clone(),
            address: String::new(),
            streams: vec![StreamKind::Main],
            online: Some(c.online),
            recording: None,
            video: Some(CodecParams::new(self.manners.lock().codec)),
            audio: c.tone.as_ref().map(|_| CodecParams::new(Codec::Pcmu)),
            retention: None,
        });
        let channels = channels.collect();
        let identity = Identity { model: "Memory".into(), channels, ..Identity::default() };
        Box::pin(async { self.count().map(|()| identity) })
    }

    fn clock<'a>(&'a self, _cx: &'a Cx) -> BoxFuture<'a, Result<ClockReading>> {
        Box::pin(async {
            self.looks.fetch_add(1, Ordering::SeqCst);
            let before = self.now();
            tokio::time::sleep(Duration::from_millis(4)).await;
            let device = self.said(self.now());
            tokio::time::sleep(Duration::from_millis(4)).await;
            let zone = self.manners.lock().tells_zone.then(|| self.archive.clock().zone().clone());
            let (trust, resolution_us) = (ZoneTrust::WallClock, 1_000_000);
            Ok(ClockReading { before, device, after: self.now(), zone, trust, resolution_us })
        })
    }

    fn list_segments<'a>(
        &'a self,
        _cx: &'a Cx,
        query: SegmentQuery,
    ) -> BoxFuture<'a, Result<Page<SourceSegment>>> {
        Box::pin(async move {
            self.count()?;
            let channel = query.channel.0 as u16;
            let pieces = self.archive.pieces(channel, UtcRange::ALL, self.now());
            let items = pieces.into_iter().map(|p| SourceSegment {
                channel: query.channel,
                stream: query.stream,
                start: self.said(p.range.start()),
                end: self.said(p.range.end()),
                code: format!("{:?}", p.reason).to_lowercase().into(),
                bytes: None,
                locator: Locator(Bytes::from(format!("f{}", p.range.start().micros()))),
                key: Bytes::from(format!("f{}", p.range.start().micros())),
                growing: p.growing,
            });
            // It searches its index by the digits that it wrote.
            let touches = |s: &SourceSegment| {
                let end = s.end.civil.max(s.start.civil.plus_us(1));
                s.start.civil < query.window.end && query.window.start < end
            };
            self.page(self.ordered(items.filter(touches).collect()), query.cursor)
        })
    }

    /// Overlooks what lies beyond a gap of a month, where it is only likely to tell the truth.
    fn oldest<'a>(
        &'a self,
        _cx: &'a Cx,
        query: OldestQuery,
    ) -> BoxFuture<'a, Result<Option<Civil>>> {
        Box::pin(async move {
            self.count()?;
            let spans = self.archive.spans(query.channel.0 as u16, self.now());
            let month_us = match self.manners.lock().oldest {
                OldestSupport::Surely => i64::MAX,
                _ => 30 * 86_400_000_000,
            };
            let (mut oldest, mut before) = (None, query.window.end);
            for span in spans.iter().rev() {
                let (start, end) = (self.said(span.start()).civil, self.said(span.end()).civil);
                if start >= query.window.end || end <= query.window.start {
                    continue;
                }
                if before.micros_as_if_utc() - end.micros_as_if_utc() > month_us {
                    break;
                }
                (oldest, before) = (Some(start.max(query.window.start)), start);
            }
            Ok(oldest)
        })
    }

    fn list_events<'a>(
        &'a self,
        _cx: &'a Cx,
        query: EventQuery,
    ) -> BoxFuture<'a, Result<Page<SourceEvent>>> {
        Box::pin(async move {
            self.count()?;
            let past = UtcRange::clamped(Utc::MIN, self.now());
            let entries = self.archive.events(past).into_iter().flat_map(|e| {
                let begun = self.entry(&e, e.at, true);
                let over = e.until.filter(|u| *u <= self.now()).map(|u| self.entry(&e, u, false));
                std::iter::once(begun).chain(over)
            });
            let mut items: Vec<_> =
                entries.filter(|e| query.window.contains(e.time.as_ref().unwrap().civil)).collect();
            items.sort_by_key(|e| e.time.as_ref().unwrap().civil);
            self.page(self.ordered(items), query.cursor)
        })
    }

    fn open<'a>(&'a self, _cx: &'a Cx, _r: FootageRequest) -> BoxFuture<'a, Result<Footage>> {
        Box::pin(async { Err(Error::new(ErrorKind::Unsupported, "no footage in this test")) })
    }

    fn control<'a>(
        &'a self,
        _cx: &'a Cx,
        _r: ControlRequest,
    ) -> BoxFuture<'a, Result<ControlState>> {
        Box::pin(async { Err(Error::new(ErrorKind::Unsupported, "no control in this test")) })
    }

    fn watch<'a>(&'a self, _cx: &'a Cx) -> BoxStream<'a, Result<SourceEvent>> {
        let alerts: Vec<_> = self.alerts.lock().drain(..).map(Ok).collect();
        futures::stream::iter(alerts).chain(futures::stream::pending()).boxed()
    }
}

impl Recorder {
    fn entry(&self, e: &LoggedEvent, at: Utc, active: bool) -> SourceEvent {
        SourceEvent {
            channel: e.channel.map(|c| ChannelId(c.into())),
            time: Some(self.said(at)),
            code: code(e.kind).into(),
            active: Some(active),
            items: Items::default(),
            live: false,
        }
    }
}

fn code(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Motion => "VMD",
        EventKind::VideoLoss => "loss",
        EventKind::DiskFull => "full",
        _ => "other",
    }
}

pub const MAPPING: &str = r#"
schema = 1
vendor = "memory"
[segments.reason]
continuous = "continuous"
motion = "motion"
alarm = "alarm"
[events.VMD]
topic = "tns1:VideoSource/MotionAlarm"
item = { name = "State" }
[events.loss]
topic = "tns1:VideoSource/SignalLoss"
item = { name = "State" }
[events.full]
topic = "tns1:Device/HardwareFailure/StorageFailure"
source = "Token"
item = { name = "Failed" }
"#;

/// Takes what is published.
#[derive(Debug, Default)]
pub struct Published(pub Mutex<Vec<RecordingEvent>>);

impl EventSink for Published {
    fn publish(&self, event: &RecordingEvent) {
        self.0.lock().push(event.clone());
    }
}

/// A gateway with one recorder.
pub struct Bench {
    pub recorder: Arc<Recorder>,
    pub index: Arc<MemoryIndex>,
    pub published: Arc<Published>,
    pub syncer: Arc<Syncer>,
}

pub fn device(id: &str, recorder: &Arc<Recorder>, zone: Option<&str>) -> Device {
    let settings = DeviceSettings {
        id: id.into(),
        url: "memory://recorder".parse().unwrap(),
        rtsp: None,
        username: String::new(),
        password: String::new(),
        zone: zone.map(|z| ZoneRule::parse(z).unwrap()),
    };
    let layers = layers::Options {
        retries: Retries { attempts: 1, ..Retries::default() },
        faults: Some(Faults::default()),
        ..layers::Options::default()
    };
    Device::assemble(
        settings,
        "memory".into(),
        Arc::clone(recorder) as Arc<dyn Adapter>,
        Arc::new(Transcript::new([])),
        Arc::new(Mapping::parse("memory.toml", MAPPING).unwrap()),
        Arc::clone(&recorder.clock) as Arc<dyn Clock>,
        &DeviceOptions { layers, ..DeviceOptions::default() },
    )
}

pub fn syncer(
    recorder: &Arc<Recorder>,
    index: &Arc<MemoryIndex>,
    published: &Arc<Published>,
    zone: Option<&str>,
) -> Arc<Syncer> {
    Arc::new(Syncer::new(
        vec![device("yard", recorder, zone)],
        Arc::clone(index) as Arc<dyn Index>,
        Arc::clone(&recorder.clock) as Arc<dyn Clock>,
        Arc::clone(published) as Arc<dyn EventSink>,
        Options { horizon: Duration::from_secs(40 * 86_400), ..Options::default() },
    ))
}

impl Bench {
    pub fn new(scenario: &str, now: &str, manners: Manners) -> Self {
        let recorder = Recorder::new(scenario, now, manners);
        let (index, published) = (Arc::default(), Arc::default());
        let syncer = syncer(&recorder, &index, &published, None);
        Self { recorder, index, published, syncer }
    }

    pub async fn sync(&self) -> Result<crate::Report> {
        self.syncer.sync_device(&"yard".into(), &|_| {}).await
    }

    pub fn spans(&self, track: &str) -> Vec<UtcRange> {
        let query = SpanQuery {
            track: track.into(),
            range: UtcRange::ALL,
            direction: Direction::Forward,
            limit: 100_000,
            after: None,
        };
        let page = self.index.snapshot().spans(&query).unwrap();
        page.items.into_iter().map(|s| s.range).collect()
    }

    /// Id, range, reason and state of every segment of a track, by start.
    pub fn segments(&self, track: &str) -> Vec<(u64, UtcRange, &'static str, SegmentState)> {
        let tracks = [TrackToken::from(track)];
        let all = crate::restate::all_segments(&*self.index.snapshot(), &tracks, UtcRange::ALL);
        all.unwrap().into_iter().map(|s| (s.id.0, s.range(), s.reason.name(), s.state)).collect()
    }

    pub fn events(&self) -> Vec<RecordingEvent> {
        let scope = dvrgate_index::Scope::all();
        crate::restate::all_events(&*self.index.snapshot(), scope, Utc::MIN, Utc::MAX, None)
            .unwrap()
    }

    /// The index has the recorder's spans, to the second that it writes. The metadata track is
    /// recorded with the picture if anything ever happened, else it is empty.
    pub fn assert_true(&self, channel: u16) {
        let now = self.recorder.clock.utc();
        let recorded = self.recorder.archive.spans(channel, now);
        let told = |e: &RecordingEvent| e.recording.as_str() == format!("yard-{channel}");
        let happened = self.events().iter().any(|e| told(e) && e.origin != EventOrigin::Derived);
        for track in self.tracks(channel) {
            let empty = track.ends_with("-metadata") && !happened;
            let truth = if empty { Vec::new() } else { recorded.clone() };
            let spans = self.spans(&track);
            assert_eq!(spans.len(), truth.len(), "{track}:\n{spans:?}\n{truth:?}");
            for (ours, theirs) in spans.iter().zip(&truth) {
                let apart = |a: Utc, b: Utc| a.since_us(b).abs();
                let worst =
                    apart(ours.start(), theirs.start()).max(apart(ours.end(), theirs.end()));
                assert!(worst <= 1_100_000, "{track}: {ours} is {theirs}");
            }
        }
    }

    pub fn tracks(&self, channel: u16) -> Vec<String> {
        let token = format!("yard-{channel}");
        let recording = self.index.snapshot().recording(&token.as_str().into()).unwrap().unwrap();
        recording.tracks.iter().map(|t| t.token.to_string()).collect()
    }
}

pub fn civil(text: &str) -> Civil {
    Civil::parse_prefix(text).unwrap().0
}
