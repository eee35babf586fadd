//! The recorder behind all its interfaces: what it lists, in its own time, and what it plays.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use dvrgate_model::ports::Clock;
use dvrgate_model::{Civil, Codec, Reason, Result, Utc, UtcRange};
use dvrgate_testkit::archive::LoggedEvent;
use dvrgate_testkit::chassis::login::LoginGuard;
use dvrgate_testkit::footage::Tone;
use dvrgate_testkit::scenario::DeviceSpec;
use dvrgate_testkit::{Archive, ChannelKind, Control, Counters, Piece, Reel, Scenario};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use crate::behaviour::{Behaviour, Listing, Profile, ZoneMark};
use crate::{Options, text};

/// Everything that the interfaces share.
#[derive(Debug)]
pub struct Recorder {
    pub(crate) archive: Archive,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) device: DeviceSpec,
    pub(crate) control: Control,
    pub(crate) counters: Counters,
    pub(crate) logins: LoginGuard,
    pub(crate) http_requests: Semaphore,
    pub(crate) alert_streams: Semaphore,
    pub(crate) events: broadcast::Sender<LoggedEvent>,
    /// Up to when alert streams were told what the log holds.
    pub(crate) told: Mutex<Utc>,
    pub(crate) rtsp_addr: RwLock<Option<SocketAddr>>,
    pub(crate) wide_searches: AtomicU64,
    pub(crate) sessions: AtomicU64,
    pub(crate) options: Options,
    pub(crate) stopping: CancellationToken,
    behaviour: RwLock<Arc<Behaviour>>,
}

/// Something that a search lists.
#[derive(Clone, Debug)]
pub struct Item {
    /// Channel.
    pub channel: u16,
    /// What it covers, in truth.
    pub range: UtcRange,
    /// Its labels.
    pub labels: (Civil, Civil),
    /// Why it was recorded.
    pub reason: Reason,
    /// Still being recorded.
    pub growing: bool,
    /// The recorder's name of it.
    pub name: String,
    /// Estimated bytes.
    pub size: u64,
    /// Encoding of its pictures.
    pub codec: Codec,
}

/// Labels are looked for so far around, whatever zone and clock do.
const LABEL_MARGIN_US: i64 = 2 * 86_400_000_000;
/// A file whose labels end no later than what was played, or so little later, repeats an hour.
const REPEAT_TOLERANCE_US: i64 = 1_000_000;
const EVENT_BACKLOG: usize = 1024;

impl Recorder {
    pub(crate) fn new(
        scenario: &Scenario,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self> {
        let behaviour = Behaviour::parse(&scenario.behaviour)?;
        let counters = Counters::default();
        let lock = Duration::from_secs(behaviour.lock_out_s);
        let attempts = (behaviour.lock_out_attempts > 0).then_some(behaviour.lock_out_attempts);
        let now = clock.utc();
        Ok(Self {
            archive: Archive::new(scenario, now)?,
            clock,
            device: scenario.device.clone(),
            control: Control::new(scenario.faults.clone()),
            logins: LoginGuard::new(attempts, lock, counters.clone()),
            counters,
            http_requests: Semaphore::new(behaviour.parallel_requests),
            alert_streams: Semaphore::new(behaviour.alert_streams),
            events: broadcast::Sender::new(EVENT_BACKLOG),
            told: Mutex::new(now),
            rtsp_addr: RwLock::new(None),
            wide_searches: AtomicU64::new(0),
            sessions: AtomicU64::new(225_263_317),
            options,
            stopping: CancellationToken::new(),
            behaviour: RwLock::new(Arc::new(behaviour)),
        })
    }

    /// How it behaves at the moment.
    pub fn behaviour(&self) -> Arc<Behaviour> {
        self.behaviour.read().clone()
    }

    /// Changes how it behaves.
    pub fn change_behaviour(&self, change: impl FnOnce(&mut Behaviour)) {
        let mut behaviour = self.behaviour.write();
        let mut changed = (**behaviour).clone();
        change(&mut changed);
        *behaviour = Arc::new(changed);
    }

    pub(crate) fn now(&self) -> Utc {
        self.clock.utc()
    }

    /// The label of an instant in lists, URIs and SDP.
    pub fn label(&self, t: Utc) -> Civil {
        match self.behaviour().zone_mark {
            ZoneMark::Utc => {
                Civil::from_micros_as_if_utc(self.archive.clock().device_utc(t).micros())
            }
            ZoneMark::Local | ZoneMark::Offset => self.archive.wall(t),
        }
    }

    /// Labels of both ends of a stretch without a jump inside. A jump right at the end must not
    /// show in the end's label.
    pub fn labels(&self, range: UtcRange) -> (Civil, Civil) {
        let (start, end) = (self.label(range.start()), self.label(range.end()));
        let straight = start.plus_us(range.duration_us());
        let off = end.micros_as_if_utc() - straight.micros_as_if_utc();
        (start, if off.abs() < 1_000_000 { end } else { straight })
    }

    /// A label as lists write it.
    pub fn written(&self, label: Civil, t: Utc) -> String {
        match self.behaviour().zone_mark {
            ZoneMark::Offset => {
                text::long(label) + &text::offset(self.archive.clock().zone_offset_secs(t))
            }
            _ => text::long(label) + "Z",
        }
    }

    /// UTC instants that may have labels in the window.
    fn around(&self, window: (Civil, Civil)) -> UtcRange {
        let at = |c: Civil, by: i64| Utc::from_micros(c.micros_as_if_utc()).plus_us(by);
        UtcRange::clamped(at(window.0, -LABEL_MARGIN_US), at(window.1, LABEL_MARGIN_US))
    }

    /// What a search of that channel lists: everything whose labels touch the window, oldest first.
    pub fn items(&self, channel: u16, window: (Civil, Civil)) -> Vec<Item> {
        let (behaviour, now) = (self.behaviour(), self.now());
        // Merged spans are the same whatever is asked for, so all files must be seen.
        let asked = match behaviour.listing {
            Listing::Merged => UtcRange::ALL,
            Listing::Files => self.around(window),
        };
        let mut items: Vec<Item> = Vec::new();
        for piece in self.archive.pieces(channel, asked, now) {
            match items.last_mut() {
                Some(last) if behaviour.listing == Listing::Merged && piece.continues => {
                    last.range = last.range.hull(&piece.range);
                    last.growing = piece.growing;
                }
                _ => items.push(self.item(&piece)),
            }
        }
        for item in &mut items {
            item.labels = self.labels(item.range);
            item.labels.0 = item.labels.0.plus_us(behaviour.seam_s * 1_000_000);
            item.size = self.estimate(item);
        }
        items.retain(|i| i.labels.0 <= window.1 && window.0 <= i.labels.1);
        if behaviour.clip_to_window {
            for item in &mut items {
                item.labels = (item.labels.0.max(window.0), item.labels.1.min(window.1));
            }
        }
        items
    }

    fn item(&self, piece: &Piece) -> Item {
        let start = piece.range.start();
        Item {
            channel: piece.channel,
            range: piece.range,
            labels: (self.label(start), self.label(start)),
            reason: piece.reason,
            growing: piece.growing,
            name: self.file_name(piece.channel, start),
            size: 0,
            codec: piece.clip.codec(),
        }
    }

    fn file_name(&self, channel: u16, start: Utc) -> String {
        let number = start.micros().div_euclid(1_000_000);
        if self.behaviour().profile.is_camera() {
            format!("ch{channel:02}_{number:017}")
        } else {
            format!("{number:014}{channel:03}")
        }
    }

    fn estimate(&self, item: &Item) -> u64 {
        let Some(channel) = self.archive.channel(item.channel) else { return 0 };
        let sound = channel.tone.as_ref().map_or(0, |_| 8_500);
        let rate = channel.clip.bytes_per_second() * 103 / 100 + sound;
        rate * (item.range.duration_us() as u64 / 1_000_000)
    }

    /// The pieces of footage that a playback request reaches, and how much of each. An hour that
    /// occurred twice gives its first occurrence, unless the request names the file.
    pub fn parts(&self, uri: &text::PlaybackUri) -> Vec<(Piece, UtcRange)> {
        let behaviour = self.behaviour();
        let until = uri.end.unwrap_or_else(|| self.label(self.now()));
        let channel = uri.channel();
        let pieces = self.archive.pieces(channel, self.around((uri.start, until)), self.now());
        let named = uri.name.as_ref().and_then(|name| {
            let items = self.items(channel, (uri.start, until));
            items.into_iter().find(|i| i.name == *name).map(|i| i.range)
        });
        let mut parts: Vec<(Piece, UtcRange)> = Vec::new();
        let mut played: Option<Civil> = None;
        for piece in pieces {
            if named.is_some_and(|n| !n.overlaps(&piece.range)) {
                continue;
            }
            let (first, last) = self.labels(piece.range);
            // The second of the end is included.
            let end = until.plus_us(1_000_000);
            if end <= first || last <= uri.start {
                continue;
            }
            if played.is_some_and(|p| last <= p.plus_us(REPEAT_TOLERANCE_US)) {
                continue;
            }
            played = Some(last.max(played.unwrap_or(last)));
            let at = |c: Civil| {
                let ahead = c.micros_as_if_utc() - first.micros_as_if_utc();
                piece.range.start().plus_us(ahead.clamp(0, piece.range.duration_us()))
            };
            let mut from = at(uri.start);
            if parts.is_empty() {
                from = from.plus_us(-behaviour.preroll_ms * 1_000).max(piece.range.start());
            }
            let range = UtcRange::clamped(from, at(end));
            parts.push((piece, range));
        }
        parts
    }

    /// Plays them.
    pub fn reel(&self, parts: Vec<(Piece, UtcRange)>) -> Reel {
        self.archive.reel(parts)
    }

    /// The recorder's 90 kHz clock, shared by all streams: it wraps as counters do.
    pub fn ticks_90k(&self, t: Utc) -> u64 {
        let us = self.archive.clock().device_utc(t).micros();
        (i128::from(us) * 9).div_euclid(100).rem_euclid(1 << 33) as u64
    }

    /// The number that events give a channel.
    pub fn event_channel(&self, channel: u16) -> u16 {
        use crate::behaviour::EventChannels;
        let cameras = self.archive.channels().iter().filter(|c| c.kind == ChannelKind::Ip);
        match cameras.enumerate().find(|(_, c)| c.id == channel) {
            Some((k, _)) if self.behaviour().event_channels == EventChannels::From33 => {
                33 + k as u16
            }
            _ => channel,
        }
    }

    /// Model, serial number, firmware, type: the scenario's, or those of the profile.
    pub fn identity(&self) -> [String; 4] {
        let profile = self.behaviour().profile;
        let (model, serial, firmware, kind) = match profile {
            Profile::PsiaDvr => ("DS-7208HI-S", "DS-7208HI-S0820100415AAWR", "V2.1.0", "DVR"),
            Profile::Dvr475 => {
                ("iDS-7208HQHI-M1/S", "iDS-7208HQHI-M1/S0820220101CCWR(C)", "V4.75.011", "DVR")
            }
            Profile::Nvr430 => {
                ("DS-7616NI-Q2", "DS-7616NI-Q21620200101CCRR(B)", "V4.30.097", "NVR")
            }
            Profile::Nvr460 => {
                ("DS-7608NXI-I2", "DS-7608NXI-I2/0820210101CCRR", "V4.60.000", "NVR")
            }
            Profile::Nvr50 => ("DS-9632NI-M8", "DS-9632NI-M8/1620240101CCRR", "V5.03.020", "NVR"),
            Profile::Ipc52 => {
                ("DS-2CD2532F-IWS", "DS-2CD2532F-IWS20140101CCWR", "V5.2.0", "IPCamera")
            }
            Profile::Ipc57 => {
                ("DS-2CD2386G2-IU", "DS-2CD2386G2-IU20240101AAWR", "V5.7.15", "IPCamera")
            }
        };
        let or = |given: &str, usual: &str| if given.is_empty() { usual } else { given }.to_owned();
        let d = &self.device;
        [or(&d.model, model), or(&d.serial, serial), or(&d.firmware, firmware), kind.to_owned()]
    }

    /// Bytes of one block of sound.
    pub const AUDIO_BLOCK: usize = Tone::BLOCK_SAMPLES;
}
