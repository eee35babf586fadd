//! Segments and spans (ONVIF Recording Control annex B; Recording Search 5.2).

use std::fmt;

use bytes::Bytes;

use crate::{SegmentId, SourceTime, Stamp, SyncRunId, TrackToken, UtcRange};

/// What the recorder lists as one piece of recorded data of one track.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Segment {
    /// Stable name.
    pub id: SegmentId,
    /// The track it belongs to.
    pub track: TrackToken,
    /// First instant.
    pub start: Stamp,
    /// First instant after it (half-open).
    pub end: Stamp,
    /// The recorder's own words for both, kept for ever.
    pub source: (SourceTime, SourceTime),
    /// Why it was recorded.
    pub reason: Reason,
    /// Growing, closed or gone.
    pub state: SegmentState,
    /// How the adapter finds it again.
    pub locator: Locator,
    /// Size in bytes, where the recorder says so.
    pub bytes: Option<u64>,
    /// The sync run that last saw it.
    pub seen: SyncRunId,
}

impl Segment {
    /// Start and end as a range; empty where a corrected clock made them cross.
    pub fn range(&self) -> UtcRange {
        UtcRange::clamped(self.start.utc, self.end.utc)
    }
}

/// Why something was recorded. Vendor codes are mapped to these; the set is closed.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// By schedule, all the time.
    Continuous,
    /// Motion.
    Motion,
    /// An alarm input.
    Alarm,
    /// Motion or alarm, the recorder does not say which.
    Event,
    /// Video analytics.
    Analytics,
    /// By hand.
    Manual,
    /// The recorder does not say, or a code that no mapping knows.
    #[default]
    Unknown,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 7] = [
        Reason::Continuous,
        Reason::Motion,
        Reason::Alarm,
        Reason::Event,
        Reason::Analytics,
        Reason::Manual,
        Reason::Unknown,
    ];

    /// Lower-case name, as the index and mappings write it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Continuous => "continuous",
            Reason::Motion => "motion",
            Reason::Alarm => "alarm",
            Reason::Event => "event",
            Reason::Analytics => "analytics",
            Reason::Manual => "manual",
            Reason::Unknown => "unknown",
        }
    }

    /// The reverse of [`Reason::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.name() == name)
    }
}

/// Life of a segment.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum SegmentState {
    /// Still being recorded: the end moves.
    Growing,
    /// Complete.
    #[default]
    Closed,
    /// The recorder overwrote or deleted it.
    Gone,
}

impl SegmentState {
    /// Lower-case name, as the index writes it.
    pub fn name(self) -> &'static str {
        match self {
            SegmentState::Growing => "growing",
            SegmentState::Closed => "closed",
            SegmentState::Gone => "gone",
        }
    }

    /// The reverse of [`SegmentState::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        [SegmentState::Growing, SegmentState::Closed, SegmentState::Gone]
            .into_iter()
            .find(|s| s.name() == name)
    }
}

/// How an adapter finds a piece of footage again. Opaque: only the adapter that issued it reads it.
#[derive(Clone, Default, Eq, Hash, PartialEq)]
pub struct Locator(pub Bytes);

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Locator({})", String::from_utf8_lossy(&self.0))
    }
}

/// A maximal run of touching segments of one track. What is reported as
/// `tns1:RecordingHistory/Track/State`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Span {
    /// The track.
    pub track: TrackToken,
    /// From the first to after the last instant.
    pub range: UtcRange,
}
