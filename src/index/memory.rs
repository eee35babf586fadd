//! The index in memory: for the tests of everything above it, and for gateways that keep nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;

use dvrgate_model::{
    ClockMap, DeviceId, DeviceRecord, Direction, EventId, Recording, RecordingEvent,
    RecordingToken, Result, Segment, SegmentId, SegmentState, Span, SyncRunId, TrackToken, Utc,
    UtcRange,
};

use crate::net::live_range;
use crate::{
    Applied, Batch, Catalog, EventCursor, EventSelect, Index, Net, Page, Scope, SegmentChange,
    SegmentCursor, SegmentSelect, Snapshot, SpanCursor, SpanQuery, StateQuery, Summary, TrackEdit,
};

/// See the module documentation.
#[derive(Debug, Default)]
pub struct MemoryIndex {
    state: Mutex<Arc<State>>,
}

/// Copied on write while a snapshot holds it.
#[derive(Clone, Debug, Default)]
struct State {
    catalog: Catalog,
    segments: BTreeMap<TrackToken, BTreeMap<(Utc, SegmentId), Arc<Segment>>>,
    /// Where a segment is in `segments`.
    starts: HashMap<(TrackToken, SegmentId), Utc>,
    events: BTreeMap<(Utc, EventId), Arc<RecordingEvent>>,
    /// Where an event is in `events`.
    times: HashMap<EventId, Utc>,
}

impl MemoryIndex {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Index for MemoryIndex {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied>> {
        let applied = Arc::make_mut(&mut self.state.lock()).apply(batch.into());
        Box::pin(std::future::ready(Ok(applied)))
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        self.state.lock().clone()
    }
}

impl State {
    fn apply(&mut self, net: Net) -> Applied {
        let mut applied = Applied::default();
        self.catalog.apply(&net);
        let mut edits: BTreeMap<TrackToken, TrackEdit> = BTreeMap::new();
        for ((track, id), change) in net.segments {
            let old = self.take_segment(&track, id);
            let new = match change {
                SegmentChange::Put(segment) => *segment,
                SegmentChange::Seen => match &old {
                    Some(old) => Segment { seen: net.run, ..(**old).clone() },
                    None => continue,
                },
            };
            applied.count_segment(old.as_deref(), &new);
            let old_range = old.as_deref().and_then(live_range);
            edits.entry(track.clone()).or_default().note(old_range, live_range(&new));
            self.starts.insert((track.clone(), id), new.start.utc);
            let of_track = self.segments.entry(track).or_default();
            of_track.insert((new.start.utc, id), Arc::new(new));
        }
        for (track, edit) in edits {
            let of_track = self.segments.get(&track);
            let near = |window: UtcRange| {
                let live = of_track.into_iter().flat_map(|s| s.values());
                let ranges = live.filter_map(|s| live_range(s));
                Ok::<_, std::convert::Infallible>(
                    ranges.filter(|r| r.touches(&window, 0)).collect(),
                )
            };
            match self.catalog.edit_spans(&track, &edit, near) {
                Ok(_) => {}
                Err(never) => match never {},
            }
        }
        for (id, event) in net.events {
            let old = self.times.remove(&id).and_then(|at| self.events.remove(&(at, id)));
            if let Some(event) = event {
                applied.events_new += u64::from(old.is_none());
                self.times.insert(id, event.at.utc);
                self.events.insert((event.at.utc, id), Arc::new(event));
            }
        }
        applied
    }

    fn take_segment(&mut self, track: &TrackToken, id: SegmentId) -> Option<Arc<Segment>> {
        let start = self.starts.remove(&(track.clone(), id))?;
        self.segments.get_mut(track)?.remove(&(start, id))
    }
}

impl Snapshot for State {
    fn recordings(&self, scope: &Scope) -> Result<Vec<Arc<Recording>>> {
        Ok(self.catalog.recordings(scope))
    }

    fn recording(&self, token: &RecordingToken) -> Result<Option<Arc<Recording>>> {
        Ok(self.catalog.recording(token).cloned())
    }

    fn spans(&self, query: &SpanQuery) -> Result<Page<Span, SpanCursor>> {
        Ok(self.catalog.spans().page(query))
    }

    fn segments(&self, select: &SegmentSelect) -> Result<Page<Segment, SegmentCursor>> {
        let wanted =
            |track: &TrackToken| select.tracks.as_ref().is_none_or(|tracks| tracks.contains(track));
        let in_state = |state: SegmentState| match &select.states {
            Some(states) => states.contains(&state),
            None => state != SegmentState::Gone,
        };
        let mut found: Vec<(SegmentCursor, &Arc<Segment>)> = self
            .segments
            .iter()
            .filter(|(track, _)| wanted(track))
            .flat_map(|(_, segments)| segments.values())
            .filter(|s| in_state(s.state) && s.range().overlaps(&select.range))
            .map(|s| (SegmentCursor::of(s), s))
            .filter(|(key, _)| match (&select.after, select.direction) {
                (None, _) => true,
                (Some(after), Direction::Forward) => key > after,
                (Some(after), Direction::Reverse) => key < after,
            })
            .collect();
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if select.direction == Direction::Reverse {
            found.reverse();
        }
        let next = found.len() > select.limit.max(1);
        found.truncate(select.limit.max(1));
        Ok(Page {
            next: found.last().filter(|_| next).map(|(key, _)| key.clone()),
            items: found.into_iter().map(|(_, s)| (**s).clone()).collect(),
        })
    }

    fn segments_around(&self, track: &TrackToken, t: Utc) -> Result<Vec<Segment>> {
        let Some(segments) = self.segments.get(track) else { return Ok(Vec::new()) };
        let live = || segments.values().filter(|s| live_range(s).is_some());
        let before = live()
            .filter(|s| s.range().end() <= t)
            .max_by_key(|s| (s.range().end(), s.start.utc, s.id));
        let at = live().filter(|s| s.range().contains(t));
        let after = live().find(|s| s.start.utc > t);
        let mut found: Vec<Segment> =
            before.into_iter().chain(at).chain(after).map(|s| (**s).clone()).collect();
        found.sort_unstable_by_key(|s| (s.start.utc, s.id));
        Ok(found)
    }

    fn events(&self, select: &EventSelect) -> Result<Page<RecordingEvent, EventCursor>> {
        if select.to < select.from {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let from = (select.from, EventId(0));
        let to = (select.to, EventId(u64::MAX));
        let wanted = |e: &RecordingEvent| {
            select.scope.contains(&e.recording)
                && select.topics.as_ref().is_none_or(|topics| topics.contains(&e.topic))
        };
        let after = |key: &EventCursor| match (&select.after, select.direction) {
            (None, _) => true,
            (Some(after), Direction::Forward) => key > after,
            (Some(after), Direction::Reverse) => key < after,
        };
        let events = self
            .events
            .range(from..=to)
            .filter(|((time, id), e)| wanted(e) && after(&EventCursor { time: *time, id: *id }));
        let limit = select.limit.max(1);
        let mut items: Vec<RecordingEvent> = match select.direction {
            Direction::Forward => events.take(limit + 1).map(|(_, e)| (**e).clone()).collect(),
            Direction::Reverse => {
                events.rev().take(limit + 1).map(|(_, e)| (**e).clone()).collect()
            }
        };
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(EventCursor::of);
        Ok(Page { items, next })
    }

    fn state_at(&self, query: &StateQuery) -> Result<Vec<RecordingEvent>> {
        let mut last = HashMap::new();
        for event in self.events.range(..=(query.at, EventId(u64::MAX))).map(|(_, e)| e) {
            let wanted = event.property
                && query.scope.contains(&event.recording)
                && query.topics.as_ref().is_none_or(|topics| topics.contains(&event.topic));
            if wanted {
                let key = (&event.topic, &event.recording, &event.track, &event.items.source);
                last.insert(key, event);
            }
        }
        let mut states: Vec<RecordingEvent> = last.into_values().map(|e| (**e).clone()).collect();
        states.sort_unstable_by_key(|e| (e.at.utc, e.id));
        Ok(states)
    }

    fn clock(&self, device: &DeviceId) -> Result<ClockMap> {
        Ok(self.catalog.clock(device))
    }

    fn device(&self, device: &DeviceId) -> Result<Option<DeviceRecord>> {
        Ok(self.catalog.device(device).cloned())
    }

    fn devices(&self) -> Result<Vec<DeviceRecord>> {
        Ok(self.catalog.devices())
    }

    fn summary(&self) -> Result<Summary> {
        Ok(self.catalog.summary())
    }

    fn watermark(&self, device: &DeviceId, purpose: &str) -> Result<Option<String>> {
        Ok(self.catalog.watermark(device, purpose).cloned())
    }

    fn last_run(&self) -> SyncRunId {
        self.catalog.last_run()
    }
}
