//! Recording history: when data of a track begins and ends, as events.
//!
//! ONVIF Recording Search 5.21 (`tns1:RecordingHistory/Recording/State`, `…/Track/State`): one
//! pair per contiguous range, the first of a track is true, values alternate, none lies outside of
//! the track's data. Pure: computed anew from the segments around what changed, so edges that move
//! take their events with them.

use std::collections::{BTreeMap, BTreeSet};

use dvrgate_index::{Change, SPAN_TOLERANCE_US};
use dvrgate_model::{
    EventOrigin, Items, RecordingEvent, RecordingToken, Segment, SegmentState, Stamp, Topic,
    TrackToken, Utc, UtcRange, topics,
};

/// What changes, and what of it is news.
#[derive(Debug, Default)]
pub struct History {
    /// For the index.
    pub changes: Vec<Change>,
    /// Events that were not there before, by time.
    pub new: Vec<RecordingEvent>,
    /// Events that stay.
    pub kept: Vec<RecordingEvent>,
}

/// Where edges may have moved when segments in `changed` did: those of neighbours within the
/// tolerance of spans too.
pub fn affected(changed: UtcRange) -> UtcRange {
    UtcRange::clamped(
        changed.start().plus_us(-SPAN_TOLERANCE_US),
        changed.end().plus_us(SPAN_TOLERANCE_US),
    )
}

/// Ranges beyond `touched` are looked at, so that an edge inside it is known to be one.
pub fn neighbourhood(touched: UtcRange) -> UtcRange {
    UtcRange::clamped(
        touched.start().plus_us(-SPAN_TOLERANCE_US - 1),
        touched.end().plus_us(SPAN_TOLERANCE_US + 1),
    )
}

/// Brings the events inside `touched` up to date. `segments` are all that lie in its
/// neighbourhood, as they will be; `events` are the history events of `touched` as they are.
/// `recording_follows` are the tracks whose data means that the recording records: the pictures.
pub fn update(
    recording: &RecordingToken,
    recording_follows: &[TrackToken],
    touched: UtcRange,
    segments: &[Segment],
    events: &[RecordingEvent],
) -> History {
    let mut wanted = BTreeMap::new();
    let mut by_track: BTreeMap<&TrackToken, Vec<&Segment>> = BTreeMap::new();
    for s in segments.iter().filter(|s| s.state != SegmentState::Gone && !s.range().is_empty()) {
        by_track.entry(&s.track).or_default().push(s);
    }
    let mut want = |mut segments: Vec<&Segment>, event: &dyn Fn(Stamp, bool) -> RecordingEvent| {
        segments.sort_by_key(|s| (s.start.utc, s.id));
        for (stamp, source, present) in edges(&segments) {
            if touched.start() <= stamp.utc && stamp.utc <= touched.end() {
                let event = RecordingEvent { source: Some(source), ..event(stamp, present) };
                wanted.insert(event.id, event);
            }
        }
    };
    let pictures = recording_follows.iter().filter_map(|t| by_track.get(t)).flatten().copied();
    want(pictures.collect(), &|at, present| recording_event(recording, at, present));
    for (track, segments) in by_track {
        want(segments, &|at, present| track_event(recording, track, at, present));
    }
    let mut history = History::default();
    for old in events.iter().filter(|e| is_history(e) && e.recording == *recording) {
        match wanted.remove(&old.id) {
            Some(same) => {
                if same != *old {
                    history.changes.push(Change::Event(Box::new(same.clone())));
                }
                history.kept.push(same);
            }
            None => history.changes.push(Change::EventGone(old.id)),
        }
    }
    history.new = wanted.into_values().collect();
    history.new.sort_by_key(|e| (e.at.utc, e.id));
    history.changes.extend(history.new.iter().cloned().map(|e| Change::Event(Box::new(e))));
    history
}

/// What subscribers are told: edges from `from` on that are new, and the ends of what grew until
/// now. The end of what still grows is no news: it moves with the next look.
pub fn news(
    new: Vec<RecordingEvent>,
    kept: Vec<RecordingEvent>,
    from: Utc,
    put: &[Segment],
    known: &[Segment],
) -> Vec<RecordingEvent> {
    let grows = |s: &&Segment| s.state == SegmentState::Growing;
    let growing: BTreeSet<_> = put.iter().filter(grows).map(|s| s.end.utc).collect();
    let grew = |s: &&Segment| {
        let before = known.iter().find(|k| k.track == s.track && k.id == s.id);
        s.state == SegmentState::Closed && before.is_some_and(|k| k.state == SegmentState::Growing)
    };
    let closed: BTreeSet<_> = put.iter().filter(grew).map(|s| s.end.utc).collect();
    let new = new.into_iter().filter(|e| e.at.utc >= from || closed.contains(&e.at.utc));
    let kept = kept.into_iter().filter(|e| closed.contains(&e.at.utc));
    new.chain(kept).filter(|e| !growing.contains(&e.at.utc)).collect()
}

/// Whether this module made the event.
pub fn is_history(event: &RecordingEvent) -> bool {
    event.origin == EventOrigin::Derived
        && [topics::RECORDING_STATE, topics::TRACK_STATE].contains(&event.topic.as_str())
}

/// The topics of this module.
pub fn topics() -> Vec<Topic> {
    vec![Topic::new(topics::RECORDING_STATE), Topic::new(topics::TRACK_STATE)]
}

/// Begin and end of each run of touching segments, in order.
fn edges(segments: &[&Segment]) -> Vec<(Stamp, dvrgate_model::SourceTime, bool)> {
    let mut edges = Vec::new();
    let mut run: Option<(&Segment, &Segment)> = None;
    let mut close = |first: &Segment, last: &Segment| {
        edges.push((first.start, first.source.0.clone(), true));
        edges.push((last.end, last.source.1.clone(), false));
    };
    for s in segments {
        run = Some(match run {
            Some((first, last)) if s.start.utc <= last.end.utc.plus_us(SPAN_TOLERANCE_US) => {
                (first, if s.end.utc > last.end.utc { s } else { last })
            }
            Some((first, last)) => {
                close(first, last);
                (s, s)
            }
            None => (s, s),
        });
    }
    if let Some((first, last)) = run {
        close(first, last);
    }
    edges
}

fn track_event(
    recording: &RecordingToken,
    track: &TrackToken,
    at: Stamp,
    present: bool,
) -> RecordingEvent {
    let source = [("RecordingToken", recording.as_str()), ("Track", track.as_str())];
    let items = Items::new(source, [("IsDataPresent", text(present))]);
    event(recording, Some(track), at, topics::TRACK_STATE, items)
}

fn recording_event(recording: &RecordingToken, at: Stamp, present: bool) -> RecordingEvent {
    let source = [("RecordingToken", recording.as_str())];
    let items = Items::new(source, [("IsRecording", text(present))]);
    event(recording, None, at, topics::RECORDING_STATE, items)
}

fn event(
    recording: &RecordingToken,
    track: Option<&TrackToken>,
    at: Stamp,
    topic: &str,
    items: Items,
) -> RecordingEvent {
    let topic = Topic::new(topic);
    let when = at.utc.micros().to_string();
    RecordingEvent {
        id: RecordingEvent::derive_id(recording, &topic, &items, &when),
        recording: recording.clone(),
        track: track.cloned(),
        at,
        source: None,
        topic,
        items,
        property: true,
        origin: EventOrigin::Derived,
    }
}

fn text(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}
