//! The model: plain lists, everything computed anew for each answer.

use std::collections::HashMap;

use dvrgate_model::{
    ClockEpoch, DeviceId, DeviceRecord, Direction, EventId, Recording, RecordingEvent,
    RecordingToken, Segment, SegmentId, SegmentState, SyncRunId, TrackToken, Utc, UtcRange,
};

use crate::{
    Applied, Batch, Change, EventSelect, SPAN_TOLERANCE_US, SegmentSelect, SpanQuery, StateQuery,
};

#[derive(Clone, Debug, Default)]
pub(super) struct Naive {
    pub devices: HashMap<DeviceId, DeviceRecord>,
    recordings: HashMap<RecordingToken, Recording>,
    epochs: Vec<ClockEpoch>,
    pub watermarks: HashMap<(DeviceId, String), String>,
    pub segments: HashMap<(TrackToken, SegmentId), Segment>,
    pub events: HashMap<EventId, RecordingEvent>,
    pub run: SyncRunId,
}

impl Naive {
    pub fn apply(&mut self, batch: Batch) -> Applied {
        let before = self.clone();
        self.run = self.run.max(batch.run);
        for change in batch.changes {
            match change {
                Change::Device(mut d) => {
                    for channel in &mut d.identity.channels {
                        channel.video.iter_mut().for_each(|p| p.parameter_sets.clear());
                        channel.audio.iter_mut().for_each(|p| p.parameter_sets.clear());
                    }
                    self.devices.insert(d.id.clone(), *d);
                }
                Change::Recording(mut r) => {
                    for track in &mut r.tracks {
                        track.params.iter_mut().for_each(|p| p.parameter_sets.clear());
                    }
                    self.recordings.insert(r.token.clone(), *r);
                }
                Change::Epoch(e) => {
                    self.epochs.retain(|old| (&old.device, old.id) != (&e.device, e.id));
                    self.epochs.push(*e);
                }
                Change::Segment(s) => drop(self.segments.insert((s.track.clone(), s.id), *s)),
                Change::Seen(track, id) => {
                    self.segments.entry((track, id)).and_modify(|s| s.seen = batch.run);
                }
                Change::Event(e) => drop(self.events.insert(e.id, *e)),
                Change::EventGone(id) => drop(self.events.remove(&id)),
                Change::Watermark { device, purpose, value } => {
                    drop(self.watermarks.insert((device, purpose), value));
                }
            }
        }
        let mut applied = Applied::default();
        for (key, new) in &self.segments {
            let Some(old) = before.segments.get(key) else {
                applied.segments_new += 1;
                continue;
            };
            let old = Segment { seen: new.seen, ..old.clone() };
            if old == *new {
                continue;
            }
            match (old.state, new.state) {
                (SegmentState::Growing | SegmentState::Closed, SegmentState::Gone) => {
                    applied.segments_gone += 1;
                }
                _ => applied.segments_changed += 1,
            }
        }
        applied.events_new =
            self.events.keys().filter(|id| !before.events.contains_key(id)).count() as u64;
        applied
    }

    pub fn spans(&self, track: &TrackToken) -> Vec<UtcRange> {
        let mut ranges: Vec<UtcRange> = self
            .segments
            .values()
            .filter(|s| &s.track == track && s.state != SegmentState::Gone)
            .map(Segment::range)
            .filter(|r| !r.is_empty())
            .collect();
        ranges.sort_by_key(|r| r.start());
        let mut spans: Vec<UtcRange> = Vec::new();
        for r in ranges {
            match spans.last_mut() {
                Some(last) if r.start().since_us(last.end()) <= SPAN_TOLERANCE_US => {
                    *last = UtcRange::clamped(last.start(), last.end().max(r.end()));
                }
                _ => spans.push(r),
            }
        }
        spans
    }

    pub fn span_page(&self, query: &SpanQuery) -> Vec<UtcRange> {
        let mut spans = self.spans(&query.track);
        spans.retain(|s| s.overlaps(&query.range));
        if query.direction == Direction::Reverse {
            spans.reverse();
        }
        spans
    }

    /// By token, the data ranges of their tracks filled in.
    pub fn recordings(&self) -> Vec<Recording> {
        let mut list: Vec<Recording> = self.recordings.values().cloned().collect();
        list.sort_by(|a, b| a.token.cmp(&b.token));
        for track in list.iter_mut().flat_map(|r| &mut r.tracks) {
            track.data = self.spans(&track.token).into_iter().reduce(|a, b| a.hull(&b));
        }
        list
    }

    /// Everything that the selection asks for, without paging.
    pub fn segments(&self, select: &SegmentSelect) -> Vec<Segment> {
        let mut list: Vec<Segment> = self
            .segments
            .values()
            .filter(|s| select.tracks.as_ref().is_none_or(|t| t.contains(&s.track)))
            .filter(|s| match &select.states {
                None => s.state != SegmentState::Gone,
                Some(states) => states.contains(&s.state),
            })
            .filter(|s| s.range().overlaps(&select.range))
            .cloned()
            .collect();
        list.sort_by(|a, b| (a.start.utc, &a.track, a.id).cmp(&(b.start.utc, &b.track, b.id)));
        if select.direction == Direction::Reverse {
            list.reverse();
        }
        list
    }

    pub fn around(&self, track: &TrackToken, t: Utc) -> Vec<Segment> {
        let mut live: Vec<&Segment> = self
            .segments
            .values()
            .filter(|s| &s.track == track && s.state != SegmentState::Gone)
            .filter(|s| !s.range().is_empty())
            .collect();
        live.sort_by_key(|s| (s.start.utc, s.id));
        let last = live
            .iter()
            .filter(|s| s.end.utc <= t)
            .max_by_key(|s| (s.end.utc, s.start.utc, s.id))
            .map(|s| (s.start.utc, s.id));
        let first = live.iter().find(|s| s.start.utc > t).map(|s| (s.start.utc, s.id));
        live.into_iter()
            .filter(|s| {
                let key = Some((s.start.utc, s.id));
                s.range().contains(t) || key == last || key == first
            })
            .cloned()
            .collect()
    }

    /// Everything that the selection asks for, without paging.
    pub fn events(&self, select: &EventSelect) -> Vec<RecordingEvent> {
        let mut list: Vec<RecordingEvent> = self
            .events
            .values()
            .filter(|e| select.from <= e.at.utc && e.at.utc <= select.to)
            .filter(|e| select.scope.contains(&e.recording))
            .filter(|e| select.topics.as_ref().is_none_or(|t| t.contains(&e.topic)))
            .cloned()
            .collect();
        list.sort_by_key(|e| (e.at.utc, e.id));
        if select.direction == Direction::Reverse {
            list.reverse();
        }
        list
    }

    pub fn state_at(&self, query: &StateQuery) -> Vec<RecordingEvent> {
        let mut list = self.events(&EventSelect {
            scope: query.scope.clone(),
            from: Utc::MIN,
            to: query.at,
            topics: query.topics.clone(),
            direction: Direction::Forward,
            limit: usize::MAX,
            after: None,
        });
        list.retain(|e| e.property);
        let same = |a: &RecordingEvent, b: &RecordingEvent| {
            a.recording == b.recording
                && a.topic == b.topic
                && a.track == b.track
                && a.items.source == b.items.source
        };
        let all = list.clone();
        let mut index = 0;
        list.retain(|e| {
            index += 1;
            !all[index..].iter().any(|later| same(e, later))
        });
        list
    }

    pub fn epochs(&self, device: &DeviceId) -> Vec<ClockEpoch> {
        let mut list: Vec<ClockEpoch> =
            self.epochs.iter().filter(|e| &e.device == device).cloned().collect();
        list.sort_by_key(|e| (e.valid.start, e.id));
        list
    }
}
