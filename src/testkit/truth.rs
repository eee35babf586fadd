//! What really was, for tests to compare with: in process, and as JSON for other programs.

use dvrgate_model::{Utc, UtcRange};
use serde::Serialize;

use crate::archive::Archive;
use crate::scenario::{ChannelKind, EventKind};

/// Everything that the recorder holds at one moment. Instants are UTC, ranges half-open.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Truth {
    /// The moment.
    pub now: String,
    /// The zone rule of the recorder's wall clock.
    pub zone: String,
    /// Its clock minus UTC at the moment.
    pub clock_offset_us: i64,
    /// Each channel.
    pub channels: Vec<TrueChannel>,
    /// The log, oldest first.
    pub events: Vec<TrueEvent>,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrueChannel {
    /// The recorder's number.
    pub id: u16,
    /// Its name.
    pub name: String,
    /// Where the picture comes from.
    pub kind: ChannelKind,
    /// Recorded time.
    pub spans: Vec<TrueRange>,
    /// Files.
    pub segments: Vec<TrueSegment>,
    /// Microseconds from one picture to the next.
    pub frame_us: i64,
    /// Whether there is sound.
    pub audio: bool,
}

/// From and to.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct TrueRange {
    /// First instant.
    pub from: String,
    /// First instant after.
    pub to: String,
}

impl From<UtcRange> for TrueRange {
    fn from(range: UtcRange) -> Self {
        Self { from: range.start().to_string(), to: range.end().to_string() }
    }
}

/// A file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct TrueSegment {
    /// From and to.
    #[serde(flatten)]
    pub range: TrueRange,
    /// A name of [`dvrgate_model::Reason`].
    pub reason: &'static str,
    /// Still being recorded.
    pub growing: bool,
}

/// An event.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct TrueEvent {
    /// When it began.
    pub at: String,
    /// When it ended.
    pub until: Option<String>,
    /// What.
    pub kind: EventKind,
    /// On which channel.
    pub channel: Option<u16>,
}

impl Truth {
    /// What the archive holds at `now`.
    pub fn of(archive: &Archive, now: Utc) -> Self {
        let channels = archive.channels().iter().map(|c| {
            let rate = c.clip.frame_rate();
            TrueChannel {
                id: c.id,
                name: c.name.clone(),
                kind: c.kind,
                spans: archive.spans(c.id, now).into_iter().map(TrueRange::from).collect(),
                segments: archive
                    .pieces(c.id, UtcRange::ALL, now)
                    .into_iter()
                    .map(|p| TrueSegment {
                        range: p.range.into(),
                        reason: p.reason.name(),
                        growing: p.growing,
                    })
                    .collect(),
                frame_us: 1_000_000 * i64::from(rate.1) / i64::from(rate.0),
                audio: c.tone.is_some(),
            }
        });
        let past = UtcRange::clamped(Utc::MIN, now);
        let events = archive.events(past).into_iter().map(|e| TrueEvent {
            at: e.at.to_string(),
            until: e.until.filter(|&u| u <= now).map(|u| u.to_string()),
            kind: e.kind,
            channel: e.channel,
        });
        Self {
            now: now.to_string(),
            zone: archive.clock().zone().as_str().to_owned(),
            clock_offset_us: archive.clock().offset_at(now),
            channels: channels.collect(),
            events: events.collect(),
        }
    }
}
