//! Questions to the index and their cursors.
//!
//! Cursors are key-set cursors: the key of the last item returned. A page never repeats or skips
//! an item that did not move, and no database cursor outlives a request.

use dvrgate_model::{
    Direction, EventId, RecordingEvent, RecordingToken, Segment, SegmentId, SegmentState, Topic,
    TrackToken, Utc, UtcRange,
};

/// Which recordings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// Only these; `None` for all.
    pub recordings: Option<Vec<RecordingToken>>,
}

impl Scope {
    /// All recordings.
    pub fn all() -> Self {
        Self::default()
    }

    /// Whether the recording belongs to it.
    pub fn contains(&self, token: &RecordingToken) -> bool {
        self.recordings.as_ref().is_none_or(|list| list.contains(token))
    }
}

/// Some items and where the next ones start.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T, C> {
    /// The items, in the asked direction.
    pub items: Vec<T>,
    /// `None` where nothing follows.
    pub next: Option<C>,
}

/// Spans of one track.
#[derive(Clone, Debug)]
pub struct SpanQuery {
    /// Of this track.
    pub track: TrackToken,
    /// That overlap this range (they are not clipped to it).
    pub range: UtcRange,
    /// By start ascending, or descending.
    pub direction: Direction,
    /// At most this many; 0 is taken as 1, and an index may return fewer.
    pub limit: usize,
    /// After this one.
    pub after: Option<SpanCursor>,
}

/// Start of the last span returned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SpanCursor(pub Utc);

/// Segments, ordered by (start, track, id).
#[derive(Clone, Debug)]
pub struct SegmentSelect {
    /// Of these tracks; `None` for all.
    pub tracks: Option<Vec<TrackToken>>,
    /// That overlap this range.
    pub range: UtcRange,
    /// In these states; `None` for `Growing` and `Closed`.
    pub states: Option<Vec<SegmentState>>,
    /// Ascending or descending.
    pub direction: Direction,
    /// At most this many; 0 is taken as 1, and an index may return fewer.
    pub limit: usize,
    /// After this one.
    pub after: Option<SegmentCursor>,
}

/// Key of the last segment returned.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct SegmentCursor {
    /// Its start.
    pub start: Utc,
    /// Its track.
    pub track: TrackToken,
    /// Its id.
    pub id: SegmentId,
}

impl SegmentCursor {
    /// The key of that segment.
    pub fn of(segment: &Segment) -> Self {
        Self { start: segment.start.utc, track: segment.track.clone(), id: segment.id }
    }
}

/// Events, ordered by (time, id).
#[derive(Clone, Debug)]
pub struct EventSelect {
    /// Of these recordings.
    pub scope: Scope,
    /// In this range; both ends belong to it (Recording Search 5.18 searches inclusively).
    pub from: Utc,
    /// See `from`.
    pub to: Utc,
    /// Only these topics (exact paths); `None` for all. Wildcards and content filters are the
    /// caller's business.
    pub topics: Option<Vec<Topic>>,
    /// Ascending or descending.
    pub direction: Direction,
    /// At most this many; 0 is taken as 1, and an index may return fewer.
    pub limit: usize,
    /// After this one.
    pub after: Option<EventCursor>,
}

/// Key of the last event returned.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct EventCursor {
    /// Its time.
    pub time: Utc,
    /// Its id.
    pub id: EventId,
}

impl EventCursor {
    /// The key of that event.
    pub fn of(event: &RecordingEvent) -> Self {
        Self { time: event.at.utc, id: event.id }
    }
}

/// States of properties at an instant.
#[derive(Clone, Debug)]
pub struct StateQuery {
    /// Of these recordings.
    pub scope: Scope,
    /// The last event at or before it.
    pub at: Utc,
    /// Only these topics; `None` for all.
    pub topics: Option<Vec<Topic>>,
}

/// tt:RecordingSummary.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// From the first to after the last data of all recordings; `None` where there is none.
    pub data: Option<UtcRange>,
    /// Number of recordings.
    pub recordings: u64,
}
