//! What a simulated recorder is and what it recorded, as a TOML file says it.
//!
//! Instants are `now`, relative to the start (`-6h`, `+30s`) or RFC 3339; see [`crate::moment`].
//! `[behaviour]` is the vendor's own and is read by its simulator. Unknown keys are refused.

use std::path::{Path, PathBuf};

use dvrgate_model::{Error, Reason, Result, Utc, ZoneRule};
use serde::{Deserialize, Serialize};

use crate::faults::Faults;
use crate::moment::{Moment, Span};
use crate::{DeviceClock, moment};

/// A whole scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// For people.
    #[serde(default)]
    pub name: String,
    /// What the recorder calls itself.
    #[serde(default)]
    pub device: DeviceSpec,
    /// How wrong its clock is.
    #[serde(default)]
    pub clock: ClockSpec,
    /// How it stores footage.
    #[serde(default)]
    pub storage: StorageSpec,
    /// Its inputs.
    #[serde(default, rename = "channel")]
    pub channels: Vec<ChannelSpec>,
    /// What is in its log, or will happen.
    #[serde(default, rename = "event")]
    pub events: Vec<EventSpec>,
    /// What is wrong with it from the start.
    #[serde(default)]
    pub faults: Faults,
    /// The vendor's switches.
    #[serde(default)]
    pub behaviour: toml::Table,
}

/// Identity and log-in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceSpec {
    /// Name given by the owner.
    pub name: String,
    /// Model; empty leaves it to the simulator.
    pub model: String,
    /// Serial number; empty leaves it to the simulator.
    pub serial: String,
    /// Firmware version; empty leaves it to the simulator.
    pub firmware: String,
    /// The one account.
    pub username: String,
    /// Its password.
    pub password: String,
}

impl Default for DeviceSpec {
    fn default() -> Self {
        Self {
            name: String::new(),
            model: String::new(),
            serial: String::new(),
            firmware: String::new(),
            username: "admin".into(),
            password: "simulated-1".into(),
        }
    }
}

/// The recorder's clock.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClockSpec {
    /// Ahead of UTC by so much at the start of the simulation, zone taken off.
    pub offset_s: f64,
    /// How fast it gains, in parts per million.
    pub drift_ppm: f64,
    /// Its zone rule: an IANA name, or a POSIX rule (also a wrong one: it is the recorder's own).
    pub zone: String,
    /// When it was set, and by how much.
    #[serde(rename = "step")]
    pub steps: Vec<StepSpec>,
}

impl Default for ClockSpec {
    fn default() -> Self {
        Self { offset_s: 0.0, drift_ppm: 0.0, zone: "UTC".into(), steps: Vec::new() }
    }
}

/// The clock was set.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepSpec {
    /// When.
    pub at: Moment,
    /// By how much; positive is forward.
    pub by_s: f64,
}

/// How footage lies on the disk.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageSpec {
    /// Longest file.
    pub file: Span,
    /// How long footage is kept; none: until the disk is told to overwrite.
    pub retention: Option<Span>,
}

impl Default for StorageSpec {
    fn default() -> Self {
        Self { file: Span { us: 120_000_000 }, retention: None }
    }
}

/// One input of the recorder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelSpec {
    /// The recorder's number for it; there may be holes.
    pub id: u16,
    /// Its name; may be empty.
    #[serde(default)]
    pub name: String,
    /// Where its picture comes from.
    #[serde(default)]
    pub kind: ChannelKind,
    /// Whether there is a picture at all.
    #[serde(default = "yes")]
    pub online: bool,
    /// Whether sound is recorded with it.
    #[serde(default)]
    pub audio: bool,
    /// Pictures of every stretch that does not say otherwise.
    #[serde(default)]
    pub footage: FootageSpec,
    /// What was recorded.
    #[serde(default, rename = "recorded")]
    pub recorded: Vec<StretchSpec>,
}

fn yes() -> bool {
    true
}

/// Kind of input.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// A coaxial input.
    #[default]
    Analogue,
    /// A network camera behind the recorder.
    Ip,
}

/// Encoding of pictures.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    /// ISO/IEC 14496-10.
    #[default]
    H264,
    /// ISO/IEC 23008-2.
    H265,
}

/// The pictures.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FootageSpec {
    /// Encoding of synthetic pictures.
    pub codec: VideoCodec,
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Pictures per second: a number or a fraction as two numbers.
    pub rate: (u32, u32),
    /// Pictures from one key picture to the next.
    pub gop: u32,
    /// A file of H.264 or H.265 with start codes to loop instead of synthetic pictures.
    pub file: Option<PathBuf>,
}

impl Default for FootageSpec {
    fn default() -> Self {
        Self {
            codec: VideoCodec::H264,
            width: 256,
            height: 144,
            rate: (25, 2),
            gop: 25,
            file: None,
        }
    }
}

/// A stretch of recorded time, or many at a regular pace.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StretchSpec {
    /// From.
    pub from: Moment,
    /// To; `now` is still being recorded.
    pub to: Moment,
    /// Why: a name of [`Reason`].
    #[serde(default = "continuous")]
    pub reason: String,
    /// Only for a while every so often.
    #[serde(default)]
    pub every: Option<Span>,
    /// How long the while is; with `every`.
    #[serde(default)]
    pub lasting: Option<Span>,
    /// Other pictures than the channel's.
    #[serde(default)]
    pub footage: Option<FootageSpec>,
}

fn continuous() -> String {
    Reason::Continuous.name().into()
}

/// Something that happened, or many at a regular pace.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventSpec {
    /// When it began.
    pub at: Moment,
    /// When it ended; none: the recorder never said.
    #[serde(default)]
    pub until: Option<Moment>,
    /// What.
    pub kind: EventKind,
    /// On which channel; none: on the recorder.
    #[serde(default)]
    pub channel: Option<u16>,
    /// Again every so often, up to the present.
    #[serde(default)]
    pub every: Option<Span>,
    /// How long each lasts; with `every`.
    #[serde(default)]
    pub lasting: Option<Span>,
}

/// What happened, in nobody's words.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// Motion in the picture.
    Motion,
    /// No signal.
    VideoLoss,
    /// Lens covered.
    Tamper,
    /// A line was crossed.
    LineCrossed,
    /// Something is inside a field.
    Intrusion,
    /// An alarm input closed.
    AlarmInput,
    /// The disk is full.
    DiskFull,
    /// The disk fails.
    DiskError,
    /// Somebody tried to log in.
    IllegalAccess,
    /// The network was lost.
    NetworkLost,
    /// Recording failed.
    RecordingFailed,
    /// The recorder was switched on.
    PowerOn,
    /// The recorder was switched off.
    PowerOff,
    /// Somebody logged in over the network.
    RemoteLogin,
}

impl Scenario {
    /// From the text of a file.
    pub fn parse(text: &str) -> Result<Self> {
        let scenario: Self = toml::from_str(text)
            .map_err(|e| Error::invalid(format!("scenario: {}", e.message())).because(e))?;
        scenario.check()?;
        Ok(scenario)
    }

    /// From a file. Clip files are found relative to it.
    pub fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            Error::invalid(format!("cannot read the scenario {}", path.display())).because(e)
        })?;
        let mut scenario = Self::parse(&text)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for channel in &mut scenario.channels {
            let stretches = channel.recorded.iter_mut().filter_map(|r| r.footage.as_mut());
            for footage in stretches.chain([&mut channel.footage]) {
                if let Some(file) = &mut footage.file {
                    *file = folder.join(&*file);
                }
            }
        }
        Ok(scenario)
    }

    fn check(&self) -> Result<()> {
        for (i, channel) in self.channels.iter().enumerate() {
            if channel.id == 0 || self.channels[..i].iter().any(|c| c.id == channel.id) {
                return Err(Error::invalid(format!("channel id {} is 0 or twice", channel.id)));
            }
            for stretch in &channel.recorded {
                if Reason::from_name(&stretch.reason).is_none() {
                    return Err(Error::invalid(format!("no reason {:?}", stretch.reason)));
                }
                let every = stretch.every.map_or(1, |e| e.us);
                if every <= 0 || stretch.every.is_some() != stretch.lasting.is_some() {
                    let why = "\"every\" and \"lasting\" go together";
                    return Err(Error::invalid(why));
                }
            }
        }
        if self.storage.file.us < 1_000_000 {
            return Err(Error::invalid("storage.file must be at least a second"));
        }
        ZoneRule::parse(&self.clock.zone).map(drop)
    }

    /// The recorder's clock, with the simulation starting at `start`.
    pub fn device_clock(&self, start: Utc) -> Result<DeviceClock> {
        let us = |s: f64| (s * 1e6).round() as i64;
        let steps =
            self.clock.steps.iter().map(|s| (s.at.resolve(start).unwrap_or(start), us(s.by_s)));
        Ok(DeviceClock::new(
            start,
            us(self.clock.offset_s),
            (self.clock.drift_ppm * 1e3).round() as i64,
            steps.collect(),
            ZoneRule::parse(&self.clock.zone)?,
        ))
    }
}

/// Start and end of each repetition of `every`, `lasting` so long, inside `from` to `to`.
pub(crate) fn repetitions(
    from: Utc,
    to: Utc,
    every: moment::Span,
    lasting: moment::Span,
) -> impl Iterator<Item = (Utc, Utc)> {
    (0..)
        .map(move |n| from.plus_us(n * every.us))
        .take_while(move |&t| t < to)
        .map(move |t| (t, t.plus_us(lasting.us).min(to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_read_and_nonsense_is_refused() {
        let text = r#"
            name = "two channels"
            [clock]
            offset_s = 137.0
            drift_ppm = 4
            zone = "Europe/Bratislava"
            [[clock.step]]
            at = "-1h"
            by_s = -2.5
            [storage]
            file = "15m"
            [[channel]]
            id = 2
            name = "Yard & gate"
            audio = true
            [[channel.recorded]]
            from = "-6h"
            to = "now"
            [[channel.recorded]]
            from = "-1d"
            to = "-6h"
            reason = "motion"
            every = "10m"
            lasting = "45s"
            [[event]]
            at = "-2h"
            kind = "video-loss"
            channel = 2
            [faults]
            busy_requests = 3
            [behaviour]
            anything = true
        "#;
        let scenario = Scenario::parse(text).unwrap();
        assert_eq!(scenario.channels[0].recorded.len(), 2);
        assert_eq!(scenario.events[0].kind, EventKind::VideoLoss);
        assert_eq!(scenario.faults.busy_requests, 3);
        let start = "2026-11-25T12:00:00Z".parse().unwrap();
        assert_eq!(scenario.device_clock(start).unwrap().offset_at(start), 137_000_000);
        for (from, to) in [
            ("id = 2", "id = 0"),
            ("\"motion\"", "\"boredom\""),
            ("lasting = \"45s\"", ""),
            ("audio = true", "audible = true"),
            ("Europe/Bratislava", "Europe/Atlantis"),
            ("\"15m\"", "\"0s\""),
        ] {
            assert!(Scenario::parse(&text.replace(from, to)).is_err(), "{to:?}");
        }
    }
}
