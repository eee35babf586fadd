//! A simulated recorder with a device in front of it, and comparisons with its truth.

use std::sync::Arc;
use std::time::Duration;

use dvrgate_adapter::transport::tokio::SystemClock;
use dvrgate_adapter::{
    Adapter, Device, DeviceOptions, DeviceSettings, FootageBody, FootageRequest, FormatHint,
    Mapping, Priority, SegmentQuery, SourceSegment,
};
use dvrgate_hikvision_simulator::{Handle, Options, Pace, Simulator};
use dvrgate_media::container::{Anchor, Demuxed};
use dvrgate_model::ports::Clock as _;
use dvrgate_model::{
    Basis, ChannelId, ClockEpoch, ClockEpochId, ClockMap, ClockReading, Convention, Error, Hint,
    Identity, Result, SourceRange, SourceTime, StreamKind, TrackKind, Utc, UtcRange, ZoneClaim,
    ZoneTrust,
};
use dvrgate_testkit::Scenario;
use dvrgate_testkit::footage::ClockCode;
use futures::StreamExt as _;

/// Number of the network camera of the scenario.
pub const CAMERA: u16 = 9;
const MAPPING: &str = include_str!("../../../mappings/hikvision.toml");
/// Everything that waits in these tests waits at most so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits, but not for ever.
pub async fn within<T>(work: impl Future<Output = T>, what: &str) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing in {PATIENCE:?}"),
    }
}

pub struct Bench {
    pub simulator: Handle,
    pub device: Device,
    scenario: Scenario,
}

/// What the pictures of a fetch said about themselves.
#[derive(Debug)]
pub struct Pictures {
    pub seen: usize,
    /// Largest difference between the time that the adapter gave and the true one.
    pub worst_us: i64,
    /// How much that difference varies.
    pub spread_us: i64,
}

impl Bench {
    pub async fn new(behaviour: &str) -> Self {
        Self::in_zone(behaviour, "Europe/Bratislava").await
    }

    pub async fn in_zone(behaviour: &str, zone: &str) -> Self {
        Self::start(behaviour, zone, |m| m.to_owned()).await
    }

    pub async fn with_mapping(behaviour: &str, (from, to): (&str, &str)) -> Self {
        assert!(MAPPING.contains(from));
        Self::start(behaviour, "Europe/Bratislava", |m| m.replace(from, to)).await
    }

    async fn start(behaviour: &str, zone: &str, edit: impl Fn(&str) -> String) -> Self {
        let camera = behaviour.contains("\"ipc");
        let mut text = format!(
            "[clock]\noffset_s = 137.4\ndrift_ppm = 12.0\nzone = {zone:?}\n\
             [storage]\nfile = \"2m\"\n[behaviour]\n{behaviour}\n\
             [[channel]]\nid = 1\nname = \"Yard & gate\"\naudio = true\n\
             [[channel.recorded]]\nfrom = \"-6h\"\nto = \"-3h\"\n\
             [[channel.recorded]]\nfrom = \"-2h\"\nto = \"now\"\n"
        );
        if !camera {
            text.push_str(
                "[[channel]]\nid = 3\nname = \"\"\n[[channel.recorded]]\nfrom = \"-5h\"\n\
                 to = \"-20m\"\nreason = \"motion\"\nevery = \"10m\"\nlasting = \"45s\"\n\
                 [[channel]]\nid = 9\nkind = \"ip\"\nname = \"Ramp\"\n\
                 [[channel.recorded]]\nfrom = \"-30h\"\nto = \"-29h\"\nreason = \"alarm\"\n\
                 [[channel.recorded]]\nfrom = \"-1h\"\nto = \"now\"\n",
            );
        }
        text.push_str(
            "[[event]]\nat = \"-90m\"\nuntil = \"-89m\"\nkind = \"motion\"\nchannel = 1\n\
             [[event]]\nat = \"-30m\"\nuntil = \"-29m\"\nkind = \"motion\"\nchannel = 9\n",
        );
        if camera {
            text = text.replace("channel = 9", "channel = 1");
        }
        if behaviour.contains("\"nvr") {
            // A network recorder has no other inputs.
            text = text.replace("id = 1\n", "id = 1\nkind = \"ip\"\n");
            text = text.replace("id = 3\n", "id = 3\nkind = \"ip\"\n");
        }
        let scenario = Scenario::parse(&text).unwrap();
        let options = Options { pace: Pace::Free, ..Options::default() };
        let simulator = Simulator::start(&scenario, options).await.unwrap();
        let password = scenario.device.password.clone();
        let device = connect(&simulator, &scenario, &password, edit);
        Self { simulator, device, scenario }
    }

    pub fn connect(&self, password: &str, edit: impl Fn(&str) -> String) -> Device {
        connect(&self.simulator, &self.scenario, password, edit)
    }

    /// The adapter without its layers.
    pub fn bare(&self) -> Arc<dyn Adapter> {
        let settings = settings(&self.simulator, &self.scenario, &self.scenario.device.password);
        let mapping = Arc::clone(&self.device.mapping);
        dvrgate_hikvision::connector().connect(settings, mapping).unwrap()
    }

    pub fn channel(&self) -> u32 {
        1
    }

    pub fn now(&self) -> Utc {
        SystemClock.utc()
    }

    /// Seconds relative to now.
    pub fn range(&self, from_s: i64, to_s: i64) -> UtcRange {
        let now = self.now();
        UtcRange::clamped(now.plus_us(from_s * 1_000_000), now.plus_us(to_s * 1_000_000))
    }

    pub async fn identify(&self) -> Identity {
        let cx = self.device.cx(Priority::Backfill);
        within(self.device.adapter.identify(&cx), "identify").await.unwrap()
    }

    pub async fn clock(&self) -> ClockReading {
        let cx = self.device.cx(Priority::Backfill);
        within(self.device.adapter.clock(&cx), "clock").await.unwrap()
    }

    /// From one look at the clock: right to its resolution.
    pub async fn clock_map(&self) -> ClockMap {
        let r = self.clock().await;
        let zone = r.zone.clone().unwrap();
        let plain = ClockEpoch::assumed(self.device.id.clone(), zone.clone(), ZoneTrust::WallClock);
        let digits = SourceTime { zone: ZoneClaim::None, ..r.device.clone() };
        let shown = ClockMap::new(Vec::new(), plain.clone()).to_utc(&digits, Hint::Near(r.before));
        let middle = r.before.plus_us(r.after.since_us(r.before) / 2);
        let epoch = ClockEpoch {
            id: ClockEpochId(1),
            // The middle of what the digits leave open.
            offset_us: shown.utc.since_us(middle) + r.resolution_us as i64 / 2,
            measured_at: middle,
            trust: r.trust,
            basis: Basis::Measured,
            uncertainty_us: r.resolution_us / 2,
            ..plain.clone()
        };
        ClockMap::new(vec![epoch], plain)
    }

    pub async fn listing_window(&self, from_s: i64, to_s: i64) -> SourceRange {
        let map = self.clock_map().await;
        map.source_windows(self.range(from_s, to_s), Convention::Listing)[0]
    }

    /// All segments of a channel in a range, windows of a day and halves where capped.
    pub async fn segments(
        &self,
        channel: u32,
        map: &ClockMap,
        range: UtcRange,
    ) -> Vec<SourceSegment> {
        let cx = self.device.cx(Priority::Backfill);
        let mut windows = map.source_windows(range, Convention::Listing);
        let mut all: Vec<SourceSegment> = Vec::new();
        while let Some(window) = windows.pop() {
            let (channel, stream) = (ChannelId(channel), StreamKind::Main);
            let mut query = SegmentQuery { channel, stream, window, cursor: None };
            loop {
                let page = self.device.adapter.list_segments(&cx, query.clone());
                let page = within(page, "list_segments").await.unwrap();
                if page.capped {
                    assert!(window.duration_us() > 2_000_000);
                    let middle = window.start.plus_us(window.duration_us() / 2_000_000 * 1_000_000);
                    windows.push(SourceRange::new(window.start, middle));
                    windows.push(SourceRange::new(middle, window.end));
                    break;
                }
                for s in page.items {
                    if !all.iter().any(|a| (&a.start, &a.key) == (&s.start, &s.key)) {
                        all.push(s);
                    }
                }
                match page.next {
                    Some(next) => query.cursor = Some(next),
                    None => break,
                }
            }
        }
        all
    }

    /// Coverage and reasons of all channels.
    pub async fn segments_equal_truth(&self, what: &str) {
        self.identify().await;
        let map = self.clock_map().await;
        let tolerance_us = 1_600_000 + map.newest().uncertainty_us as i64;
        let range = self.range(-36 * 3_600, 60);
        let truth = self.simulator.truth();
        for channel in &truth.channels {
            let listed = self.segments(channel.id.into(), &map, range).await;
            let mut spans: Vec<(Utc, Utc)> = listed
                .iter()
                .map(|s| {
                    let utc = |t: &SourceTime| map.to_utc(t, Hint::None).utc;
                    (utc(&s.start), utc(&s.end))
                })
                .collect();
            spans.sort();
            let merged = spans.into_iter().fold(Vec::<(Utc, Utc)>::new(), |mut all, (a, b)| {
                match all.last_mut() {
                    Some(last) if a.since_us(last.1) <= 2_000_000 => last.1 = last.1.max(b),
                    _ => all.push((a, b)),
                }
                all
            });
            assert_eq!(
                merged.len(),
                channel.spans.len(),
                "{what}, channel {}: {merged:?}",
                channel.id
            );
            for ((from, to), span) in merged.iter().zip(&channel.spans) {
                let near =
                    |a: Utc, text: &str| a.since_us(text.parse().unwrap()).abs() <= tolerance_us;
                // What grows has grown since.
                let grows =
                    channel.segments.last().is_some_and(|s| s.growing && s.range.to == span.to);
                assert!(near(*from, &span.from), "{what}, {}: {from} is not {span:?}", channel.id);
                assert!(
                    grows || near(*to, &span.to),
                    "{what}, {}: {to} is not {span:?}",
                    channel.id
                );
            }
            for s in &listed {
                let at = map.to_utc(&s.start, Hint::None).utc.plus_us(tolerance_us);
                let real = channel.segments.iter().find(|t| {
                    t.range.from.parse::<Utc>().unwrap() <= at && at < t.range.to.parse().unwrap()
                });
                let reason = self.device.mapping.reason(&s.code).name();
                if let Some(real) = real.filter(|_| s.code.as_ref() != "AllEvent") {
                    assert_eq!(reason, real.reason, "{what}, {s:?}");
                }
            }
        }
    }

    /// A request for a stretch of the first channel, with the segment that it lies in.
    pub async fn request(&self, from_s: i64, to_s: i64) -> FootageRequest {
        let map = self.clock_map().await;
        let range = self.range(from_s, to_s);
        let segments = self.segments(self.channel(), &map, range).await;
        let window = map.source_windows(range, Convention::Listing)[0];
        let segment = segments
            .iter()
            .max_by_key(|s| {
                let (a, b) = (s.start.civil.max(window.start), s.end.civil.min(window.end));
                b.micros_as_if_utc() - a.micros_as_if_utc()
            })
            .unwrap();
        FootageRequest {
            channel: ChannelId(self.channel()),
            stream: StreamKind::Main,
            window: SourceRange::new(window.start, window.end),
            locator: Some(segment.locator.clone()),
            segment: Some(SourceRange::new(segment.start.civil, segment.end.civil)),
            resume: 0,
        }
    }

    pub async fn pictures_in(&self, from_s: i64, to_s: i64) -> Pictures {
        self.try_pictures(from_s, to_s).await.unwrap()
    }

    /// Fetches a stretch that may lie in two segments and compares the time of each picture.
    pub async fn try_pictures(&self, from_s: i64, to_s: i64) -> Result<Pictures> {
        self.identify().await;
        let map = self.clock_map().await;
        let request = self.request(from_s, to_s).await;
        let cx = self.device.cx(Priority::Replay);
        let footage = within(self.device.adapter.open(&cx, request), "open").await?;
        let items = within(drain(footage.body), "footage").await?;
        let (mut anchor, mut differences) = (None::<Anchor>, Vec::new());
        for item in items {
            match item {
                Demuxed::Anchor(a) => anchor = Some(a),
                Demuxed::Unit(u) if u.kind == TrackKind::Video => {
                    let (Some(a), Some(code)) = (anchor, code(&u.data)) else { continue };
                    assert_eq!(u32::from(code.channel), self.channel());
                    let civil = a.civil.plus_us(u.media.micros() - a.media.micros());
                    let zone = match a.convention {
                        Convention::Listing => ZoneClaim::Utc,
                        Convention::WallClock => ZoneClaim::None,
                    };
                    let time = SourceTime::from_civil(civil, zone);
                    let utc = map.to_utc(&time, Hint::Near(code.at)).utc;
                    differences.push(utc.since_us(code.at));
                }
                Demuxed::Damage { why, at_byte, .. } => panic!("damage at {at_byte}: {why}"),
                _ => {}
            }
        }
        let worst = differences.iter().map(|d| d.abs()).max().unwrap_or(0);
        let (low, high) = (differences.iter().min(), differences.iter().max());
        let spread_us = high.unwrap_or(&0) - low.unwrap_or(&0);
        Ok(Pictures { seen: differences.len(), worst_us: worst, spread_us })
    }

    /// Nothing was left open and nothing was done that a recorder would suffer from.
    pub async fn finish(self, what: &str) {
        let counters = self.simulator.counters.clone();
        self.finish_bare(what).await;
        let seen = counters.read();
        assert_eq!(seen.playback_refused, 0, "{what}: a session more than there are was asked for");
        assert_eq!(seen.log_ins_after_refusal, 0, "{what}");
    }

    pub async fn finish_bare(self, what: &str) {
        self.finish_with(what, &[]).await;
    }

    pub async fn finish_with(self, what: &str, sins: &[&str]) {
        let Self { simulator, device, .. } = self;
        let counters = simulator.counters.clone();
        drop(device);
        let closed = async {
            while counters.read().playback_open > 0 {
                tokio::task::yield_now().await;
            }
        };
        within(closed, what).await;
        let seen = counters.read();
        assert_eq!(seen.sins, sins, "{what}");
        simulator.stop().await;
    }
}

fn settings(simulator: &Handle, scenario: &Scenario, password: &str) -> DeviceSettings {
    DeviceSettings {
        id: "bench".into(),
        url: format!("http://{}", simulator.http_addr).parse().unwrap(),
        rtsp: Some(format!("rtsp://{}", simulator.rtsp_addr).parse().unwrap()),
        username: scenario.device.username.clone(),
        password: password.to_owned(),
        zone: None,
    }
}

fn connect(
    simulator: &Handle,
    scenario: &Scenario,
    password: &str,
    edit: impl Fn(&str) -> String,
) -> Device {
    // The tests are not to wait for the rate that real recorders need.
    let text = edit(MAPPING).replace("requests_per_second = 5", "requests_per_second = 500");
    let mapping = Mapping::parse("hikvision.toml", &text).unwrap();
    let settings = settings(simulator, scenario, password);
    let connector = dvrgate_hikvision::connector();
    let options = DeviceOptions::default();
    Device::connect(connector, settings, Arc::new(mapping), Arc::new(SystemClock), &options)
        .unwrap()
}

/// All items of a footage.
async fn drain(body: FootageBody) -> Result<Vec<Demuxed>, Error> {
    let mut items = Vec::new();
    match body {
        FootageBody::Units(mut units) => {
            while let Some(item) = units.next().await {
                items.push(item?);
            }
        }
        FootageBody::Bytes(mut bytes, hint) => {
            let FormatHint::Vendor(mut demuxer) = hint else { panic!("{hint:?}") };
            while let Some(piece) = bytes.next().await {
                demuxer.push(&piece?)?;
                items.extend(std::iter::from_fn(|| demuxer.pull()));
            }
            demuxer.finish()?;
            items.extend(std::iter::from_fn(|| demuxer.pull()));
        }
    }
    Ok(items)
}

/// The code in the picture's SEI message; 03 behind two zeros is not part of it.
fn code(unit: &[u8]) -> Option<ClockCode> {
    let at = memchr::memmem::find(unit, b"dvrgate-clock-01")? + 16;
    let mut plain = Vec::new();
    for b in &unit[at..] {
        if *b == 3 && plain.ends_with(&[0, 0]) {
            continue;
        }
        plain.push(*b);
        if plain.len() == 16 {
            break;
        }
    }
    ClockCode::from_bytes(plain.as_slice().try_into().ok()?)
}
