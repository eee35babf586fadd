//! The events of a search, page after page, in its direction.

use std::sync::Arc;

use dvrgate_index::{EventCursor, EventSelect, Scope, Snapshot};
use dvrgate_model::{
    Direction, Recording, RecordingEvent, RecordingToken, Topic, Track, TrackKind, Utc,
};

/// Events of some recordings between two instants, as one snapshot has them.
#[derive(Clone, Debug)]
pub struct Walk {
    snapshot: Arc<dyn Snapshot>,
    recordings: Arc<Vec<Arc<Recording>>>,
    from: Utc,
    to: Utc,
    direction: Direction,
    /// The last event that was looked at.
    after: Option<EventCursor>,
    exhausted: bool,
}

/// Events of one question to the index.
const PAGE: usize = 1000;
/// Events looked at in one step that finds little, before the client is told to ask again.
pub const MAX_LOOKED_AT: usize = 50_000;

impl Walk {
    /// From `start` to `end`, backwards if that is earlier; without it to the end of time.
    pub fn new(
        snapshot: Arc<dyn Snapshot>,
        recordings: Vec<Arc<Recording>>,
        start: Utc,
        end: Option<Utc>,
    ) -> Self {
        let end = end.unwrap_or(Utc::MAX);
        Self {
            snapshot,
            recordings: Arc::new(recordings),
            from: start.min(end),
            to: start.max(end),
            direction: if end < start { Direction::Reverse } else { Direction::Forward },
            after: None,
            exhausted: false,
        }
    }

    pub fn snapshot(&self) -> &Arc<dyn Snapshot> {
        &self.snapshot
    }

    pub fn recordings(&self) -> &[Arc<Recording>] {
        &self.recordings
    }

    pub fn scope(&self) -> Scope {
        Scope { recordings: Some(self.recordings.iter().map(|r| r.token.clone()).collect()) }
    }

    pub fn is_reverse(&self) -> bool {
        self.direction == Direction::Reverse
    }

    /// The earlier end, whatever the direction.
    pub fn earliest(&self) -> Utc {
        self.from
    }

    /// Where it begins, in its own direction.
    pub fn first(&self) -> Utc {
        match self.direction {
            Direction::Forward => self.from,
            Direction::Reverse => self.to,
        }
    }

    /// How far it came.
    pub fn position(&self) -> Utc {
        self.after.map_or(self.first(), |c| c.time)
    }

    /// Whether there are no more.
    pub fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// The next events, of these topics if any are named. Blocks on the index.
    pub fn page(
        &mut self,
        topics: Option<Vec<Topic>>,
    ) -> dvrgate_model::Result<Vec<RecordingEvent>> {
        let page = self.snapshot.events(&EventSelect {
            scope: self.scope(),
            from: self.from,
            to: self.to,
            topics,
            direction: self.direction,
            limit: PAGE,
            after: self.after,
        })?;
        self.exhausted = page.next.is_none();
        self.after = page.next.or(self.after);
        Ok(page.items)
    }

    /// The metadata track of a recording.
    pub fn metadata_track(&self, recording: &RecordingToken) -> Option<&Track> {
        let recording = self.recordings.iter().find(|r| r.token == *recording)?;
        recording.tracks.iter().find(|t| t.kind == TrackKind::Metadata)
    }
}
