//! Random batches, dense enough that segments touch, move, shrink, come back and go.

use dvrgate_model::{
    Basis, Channel, ChannelId, Civil, ClockEpoch, ClockEpochId, Codec, CodecParams, DeviceId,
    DeviceRecord, DeviceState, EventOrigin, Identity, Items, Locator, Origin, Reason, Recording,
    RecordingEvent, RecordingStatus, RecordingToken, Segment, SegmentId, SegmentState,
    SourceInformation, SourceRange, SourceTime, Stamp, StreamKind, SyncRunId, Topic, Track,
    TrackKind, TrackToken, Utc, ZoneClaim, ZoneRule, ZoneTrust,
};

use crate::{Batch, Change};

/// SplitMix64: small, seedable, good enough to shuffle.
#[derive(Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `n - 1`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// 2026-03-29T00:00:00Z.
const DAY: i64 = 1_774_742_400_000_000;
/// Texts that a careless store would spoil.
const TEXTS: [&str; 6] =
    ["", "plain", "it's \"quoted\"", "Škoda ☂ 監視", "a=b;c\\d", "tab\tline\n"];
const TOPICS: [&str; 4] = [
    "tns1:VideoSource/MotionAlarm",
    "tns1:RecordingHistory/Track/State",
    "tns1:VideoSource/SignalLoss",
    "tns1:Device/Trigger/Relay",
];

pub(super) fn recordings() -> Vec<RecordingToken> {
    let device = |i| DeviceId::new(format!("yard{}", i % 2));
    (0..4).map(|i| RecordingToken::derive(&device(i), ChannelId(i), StreamKind::Main)).collect()
}

pub(super) fn devices() -> Vec<DeviceId> {
    vec!["yard0".into(), "yard1".into()]
}

pub(super) fn tracks() -> Vec<TrackToken> {
    let kinds = [TrackKind::Video, TrackKind::Audio];
    recordings().iter().flat_map(|r| kinds.map(|k| TrackToken::derive(r, k, 1))).collect()
}

pub(super) fn topics() -> Vec<Topic> {
    TOPICS.iter().map(Topic::new).collect()
}

/// An instant on a coarse grid of some minutes, so that edges meet; sometimes days away.
pub(super) fn instant(rng: &mut Rng) -> Utc {
    let day = if rng.one_in(12) { rng.below(40) as i64 - 20 } else { 0 };
    Utc::from_micros(DAY + day * 86_400_000_000 + rng.below(1200) as i64 * 500_000)
}

fn stamp(rng: &mut Rng, utc: Utc) -> Stamp {
    Stamp { utc, uncertainty_us: rng.below(5_000_000), epoch: ClockEpochId(rng.below(4) as u32) }
}

fn text(rng: &mut Rng) -> String {
    (*rng.pick(&TEXTS)).to_owned()
}

fn source_time(rng: &mut Rng, utc: Utc) -> SourceTime {
    let zone = match rng.below(3) {
        0 => ZoneClaim::None,
        1 => ZoneClaim::Utc,
        _ => ZoneClaim::Offset(rng.below(86_400) as i32 - 43_200),
    };
    let mut time = SourceTime::from_civil(Civil::from_micros_as_if_utc(utc.micros()), zone);
    if rng.one_in(3) {
        time.raw = text(rng).into();
    }
    time
}

/// A batch of up to `most` changes.
pub(super) fn batch(rng: &mut Rng, run: u64, most: u64) -> Batch {
    let changes = (0..rng.below(most) + 1).map(|_| change(rng, run)).collect();
    Batch { run: SyncRunId(run), changes }
}

fn change(rng: &mut Rng, run: u64) -> Change {
    match rng.below(40) {
        0 => Change::Device(Box::new(device(rng))),
        1..=2 => Change::Recording(Box::new(recording(rng))),
        3 => Change::Epoch(Box::new(epoch(rng))),
        4 => Change::Watermark {
            device: rng.pick(&devices()).clone(),
            purpose: format!("segments:{}", rng.below(3)),
            value: text(rng),
        },
        5..=7 => Change::Seen(rng.pick(&tracks()).clone(), SegmentId(rng.below(30))),
        8..=16 => Change::Event(Box::new(event(rng))),
        17..=18 => Change::EventGone(dvrgate_model::EventId(rng.below(60))),
        _ => Change::Segment(Box::new(segment(rng, run))),
    }
}

pub(super) fn segment(rng: &mut Rng, run: u64) -> Segment {
    let start = instant(rng);
    let length = match rng.below(12) {
        0 => 0,
        1 => -500_000,
        2 => 3_600_000_000,
        _ => rng.below(120) as i64 * 500_000,
    };
    let end = start.plus_us(length);
    Segment {
        id: SegmentId(rng.below(30)),
        track: rng.pick(&tracks()).clone(),
        start: stamp(rng, start),
        end: stamp(rng, end),
        source: (source_time(rng, start), source_time(rng, end)),
        reason: *rng.pick(&Reason::ALL),
        state: match rng.below(6) {
            0 => SegmentState::Growing,
            1..=2 => SegmentState::Gone,
            _ => SegmentState::Closed,
        },
        locator: Locator((0..rng.below(9)).map(|_| rng.next() as u8).collect::<Vec<_>>().into()),
        bytes: rng.one_in(2).then(|| rng.below(1 << 40)),
        seen: SyncRunId(run),
    }
}

fn event(rng: &mut Rng) -> RecordingEvent {
    let recording = rng.pick(&recordings()).clone();
    let at = instant(rng);
    let sources = [[("Source", "a=b;\\")], [("Source", "2")]];
    RecordingEvent {
        id: dvrgate_model::EventId(rng.below(60)),
        track: rng.one_in(3).then(|| TrackToken::derive(&recording, TrackKind::Video, 1)),
        recording,
        at: stamp(rng, at),
        source: rng.one_in(2).then(|| source_time(rng, at)),
        topic: rng.pick(&topics()).clone(),
        items: Items::new(*rng.pick(&sources), [("State", *rng.pick(&["true", "false"]))]),
        property: !rng.one_in(4),
        origin: *rng.pick(&[EventOrigin::Live, EventOrigin::Log, EventOrigin::Derived]),
    }
}

fn params(rng: &mut Rng, codec: Codec) -> CodecParams {
    CodecParams {
        width: rng.below(4000) as u32,
        height: rng.below(4000) as u32,
        frame_rate: rng.one_in(2).then_some((30_000, 1001)),
        sample_rate_hz: rng.below(48_001) as u32,
        channels: rng.below(3) as u16,
        // Not kept; see `Naive::apply`.
        parameter_sets: (0..rng.below(3)).map(|i| vec![i as u8; 4].into()).collect(),
        ..CodecParams::new(codec)
    }
}

pub(super) fn recording(rng: &mut Rng) -> Recording {
    let token = rng.pick(&recordings()).clone();
    let track = |rng: &mut Rng, kind, codec: Codec| Track {
        token: TrackToken::derive(&token, kind, 1),
        kind,
        description: text(rng),
        codec: Some(codec),
        params: rng.one_in(2).then(|| params(rng, codec)),
        data: None,
    };
    let mut tracks = vec![track(rng, TrackKind::Video, Codec::H265)];
    if rng.one_in(2) {
        tracks.push(track(rng, TrackKind::Audio, Codec::G726 { kbit: 24 }));
    }
    let origin = if rng.one_in(4) {
        Origin::Receiver { receiver: text(rng) }
    } else {
        Origin::Device {
            device: rng.pick(&devices()).clone(),
            channel: ChannelId(rng.below(64) as u32),
            stream: if rng.one_in(2) { StreamKind::Main } else { StreamKind::Sub },
        }
    };
    Recording {
        token,
        source: SourceInformation {
            source_id: text(rng),
            name: text(rng),
            location: text(rng),
            description: text(rng),
            address: text(rng),
        },
        content: text(rng),
        tracks,
        retention: rng.one_in(2).then(|| std::time::Duration::from_secs(rng.below(1 << 30))),
        origin,
        status: *rng.pick(&[
            RecordingStatus::Initiated,
            RecordingStatus::Recording,
            RecordingStatus::Stopped,
            RecordingStatus::Removing,
            RecordingStatus::Removed,
            RecordingStatus::Unknown,
        ]),
    }
}

fn zone(rng: &mut Rng) -> ZoneRule {
    let fixed = ZoneRule::fixed(19_800).unwrap_or_else(|_| ZoneRule::utc());
    let named = ZoneRule::iana("Europe/Bratislava").unwrap_or_else(|_| ZoneRule::utc());
    rng.pick(&[ZoneRule::utc(), fixed, named]).clone()
}

fn epoch(rng: &mut Rng) -> ClockEpoch {
    let (a, b) = (instant(rng), instant(rng));
    let civil = |t: Utc| Civil::from_micros_as_if_utc(t.micros());
    ClockEpoch {
        id: ClockEpochId(rng.below(4) as u32 + 1),
        device: rng.pick(&devices()).clone(),
        valid: SourceRange::new(civil(a), civil(b)),
        offset_us: rng.below(1 << 30) as i64 - (1 << 29),
        drift_ppb: rng.below(100_000) as i32 - 50_000,
        measured_at: instant(rng),
        zone: zone(rng),
        trust: if rng.one_in(2) { ZoneTrust::WallClock } else { ZoneTrust::Claimed },
        basis: *rng.pick(&[
            Basis::Measured,
            Basis::Interpolated,
            Basis::Configured,
            Basis::Assumed,
        ]),
        uncertainty_us: rng.below(1 << 32),
    }
}

fn device(rng: &mut Rng) -> DeviceRecord {
    let channel = |rng: &mut Rng| Channel {
        id: ChannelId(rng.below(64) as u32),
        name: text(rng),
        address: text(rng),
        streams: [StreamKind::Main, StreamKind::Sub][..rng.below(3) as usize].to_vec(),
        online: *rng.pick(&[None, Some(true), Some(false)]),
        recording: *rng.pick(&[None, Some(true), Some(false)]),
        video: rng.one_in(2).then(|| params(rng, Codec::H264)),
        audio: rng.one_in(3).then(|| params(rng, Codec::Pcma)),
        retention: rng.one_in(3).then(|| std::time::Duration::from_secs(rng.below(1 << 30))),
    };
    DeviceRecord {
        id: rng.pick(&devices()).clone(),
        vendor: "some".into(),
        identity: Identity {
            model: text(rng),
            serial: text(rng),
            firmware: text(rng),
            manufacturer: text(rng),
            name: text(rng),
            channels: (0..rng.below(3)).map(|_| channel(rng)).collect(),
        },
        address: text(rng),
        state: *rng.pick(&[
            DeviceState::Unknown,
            DeviceState::Ready,
            DeviceState::Degraded,
            DeviceState::LockedOut,
            DeviceState::Unreachable,
        ]),
        zone: rng.one_in(2).then(|| zone(rng)),
        clock_checked_at: rng.one_in(2).then(|| instant(rng)),
        last_sync_at: rng.one_in(2).then(|| instant(rng)),
    }
}
