//! Computes the times of the index anew after the clock map changed, from the recorder's own words.
//!
//! In batches, in any order, as often as needed: what is right already is not touched. A watermark
//! says that the work is not finished, so a gateway that was stopped goes on.

use std::collections::HashMap;
use std::sync::Arc;

use dvrgate_index::encodings::video_tracks;
use dvrgate_index::{
    Batch, Change, EventCursor, EventSelect, Index, Scope, SegmentCursor, SegmentSelect, blocking,
};
use dvrgate_model::{
    ClockMap, Direction, EventOrigin, Hint, Recording, RecordingEvent, Result, Segment,
    SegmentState, SyncRunId, TrackToken, Utc, UtcRange,
};

use crate::Counts;
use crate::history::{self, is_history};
use crate::order::not_over_the_border;

/// How the doubled hour is decided, where the order of the listing is no longer known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// The old stamps were right but for a small shift.
    AsBefore,
    /// They were not: what is ambiguous says so, until it is listed again.
    Unknown,
}

/// Restates everything of the recordings of one recorder.
pub async fn restate(
    index: &Arc<dyn Index>,
    run: SyncRunId,
    recordings: &[Arc<Recording>],
    map: &ClockMap,
    order: Order,
) -> Result<Counts> {
    let mut counts = Counts::default();
    for recording in recordings {
        for track in &recording.tracks {
            counts += segments(index, run, &track.token, map, order).await?;
        }
        counts += rebuild_history(index, run, recording).await?;
        counts += events(index, run, recording, map, order).await?;
    }
    Ok(counts)
}

async fn segments(
    index: &Arc<dyn Index>,
    run: SyncRunId,
    track: &TrackToken,
    map: &ClockMap,
    order: Order,
) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut after: Option<SegmentCursor> = None;
    loop {
        // What was restated may come again behind the cursor, but nothing is passed over: what
        // was not restated yet did not move.
        let select = every_segment(track, UtcRange::ALL, after.take());
        let page = blocking(index.snapshot(), move |s| s.segments(&select)).await?;
        let changes: Vec<_> = page
            .items
            .iter()
            .filter_map(|old| {
                let (start_hint, end_hint) = match order {
                    Order::AsBefore => (Hint::Near(old.start.utc), Hint::Near(old.end.utc)),
                    Order::Unknown => (Hint::None, Hint::None),
                };
                let start = map.to_utc(&old.source.0, start_hint);
                let end = map.to_utc(&old.source.1, end_hint);
                let said = (&old.source.0, &old.source.1);
                let end = not_over_the_border(map, said, start.utc, end);
                let moved = (start, end) != (old.start, old.end);
                moved.then(|| Segment { start, end, ..old.clone() })
            })
            .map(|s| Change::Segment(Box::new(s)))
            .collect();
        counts += apply(index, run, changes).await?;
        after = page.next;
        if after.is_none() {
            return Ok(counts);
        }
    }
}

/// Recording history of the whole recording, page of segments by page of segments.
pub async fn rebuild_history(
    index: &Arc<dyn Index>,
    run: SyncRunId,
    recording: &Recording,
) -> Result<Counts> {
    let mut counts = Counts::default();
    let Some(video) = recording.tracks.first().map(|t| t.token.clone()) else {
        return Ok(counts);
    };
    let (mut from, mut after) = (Utc::MIN, None);
    loop {
        let select = every_segment(&video, UtcRange::ALL, after.take());
        let page = blocking(index.snapshot(), move |s| s.segments(&select)).await?;
        let to = match (&page.next, page.items.last()) {
            (Some(_), Some(last)) => last.start.utc,
            _ => Utc::MAX,
        };
        let tracks = recording.tracks.iter().map(|t| t.token.clone()).collect();
        let touched = UtcRange::clamped(from, to);
        let changes = history_of(index, recording, tracks, touched, &HashMap::new()).await?.changes;
        counts += apply(index, run, changes).await?;
        (from, after) = (to, page.next);
        if after.is_none() {
            return Ok(counts);
        }
    }
}

/// The history of a stretch, with segments as `put` will make them.
pub async fn history_of(
    index: &Arc<dyn Index>,
    recording: &Recording,
    tracks: Vec<TrackToken>,
    touched: UtcRange,
    put: &HashMap<(TrackToken, dvrgate_model::SegmentId), &Segment>,
) -> Result<history::History> {
    let follows: Vec<_> = video_tracks(recording).map(|t| t.token.clone()).collect();
    let near = history::neighbourhood(touched);
    let of_tracks = tracks.clone();
    let mut segments =
        blocking(index.snapshot(), move |s| all_segments(s, &of_tracks, near)).await?;
    segments.retain(|s| !put.contains_key(&(s.track.clone(), s.id)));
    let moved = put.values().filter(|s| s.range().touches(&near, 0)).map(|s| (*s).clone());
    segments.extend(moved);
    let scope = Scope { recordings: Some(vec![recording.token.clone()]) };
    let events = blocking(index.snapshot(), move |s| {
        all_events(s, scope, touched.start(), touched.end(), Some(history::topics()))
    })
    .await?;
    Ok(history::update(&recording.token, &follows, touched, &segments, &events))
}

async fn events(
    index: &Arc<dyn Index>,
    run: SyncRunId,
    recording: &Recording,
    map: &ClockMap,
    order: Order,
) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut after: Option<EventCursor> = None;
    loop {
        let select = EventSelect {
            scope: Scope { recordings: Some(vec![recording.token.clone()]) },
            from: Utc::MIN,
            to: Utc::MAX,
            topics: None,
            direction: Direction::Forward,
            limit: PAGE,
            after: after.take(),
        };
        let page = blocking(index.snapshot(), move |s| s.events(&select)).await?;
        let restated = |old: &RecordingEvent| {
            // Live ones were stamped on receipt; history follows from the segments.
            let source = old.source.as_ref().filter(|_| old.origin == EventOrigin::Log)?;
            let hint = match order {
                Order::AsBefore => Hint::Near(old.at.utc),
                Order::Unknown => Hint::None,
            };
            let at = map.to_utc(source, hint);
            (at != old.at).then(|| RecordingEvent { at, ..old.clone() })
        };
        let changes: Vec<_> = page
            .items
            .iter()
            .filter(|e| !is_history(e))
            .filter_map(restated)
            .map(|e| Change::Event(Box::new(e)))
            .collect();
        counts += apply(index, run, changes).await?;
        after = page.next;
        if after.is_none() {
            return Ok(counts);
        }
    }
}

/// All segments of the tracks in a range, gone ones included.
pub fn all_segments(
    snapshot: &dyn dvrgate_index::Snapshot,
    tracks: &[TrackToken],
    range: UtcRange,
) -> Result<Vec<Segment>> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let select = SegmentSelect {
            tracks: Some(tracks.to_vec()),
            range,
            states: Some(STATES.to_vec()),
            direction: Direction::Forward,
            limit: PAGE,
            after,
        };
        let page = snapshot.segments(&select)?;
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

/// All events of a stretch.
pub fn all_events(
    snapshot: &dyn dvrgate_index::Snapshot,
    scope: Scope,
    from: Utc,
    to: Utc,
    topics: Option<Vec<dvrgate_model::Topic>>,
) -> Result<Vec<RecordingEvent>> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let select = EventSelect {
            scope: scope.clone(),
            from,
            to,
            topics: topics.clone(),
            direction: Direction::Forward,
            limit: PAGE,
            after,
        };
        let page = snapshot.events(&select)?;
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

fn every_segment(
    track: &TrackToken,
    range: UtcRange,
    after: Option<SegmentCursor>,
) -> SegmentSelect {
    SegmentSelect {
        tracks: Some(vec![track.clone()]),
        range,
        states: Some(STATES.to_vec()),
        direction: Direction::Forward,
        limit: PAGE,
        after,
    }
}

pub async fn apply(index: &Arc<dyn Index>, run: SyncRunId, changes: Vec<Change>) -> Result<Counts> {
    if changes.is_empty() {
        return Ok(Counts::default());
    }
    Ok(index.apply(Batch { run, changes }).await?.into())
}

const STATES: [SegmentState; 3] = [SegmentState::Growing, SegmentState::Closed, SegmentState::Gone];
pub const PAGE: usize = 2_000;
