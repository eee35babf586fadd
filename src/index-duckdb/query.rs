//! Questions that the database answers.
//!
//! Every query bounds the time at both ends, so that DuckDB looks only at row groups of those
//! hours. A page of a long range is looked for in windows that grow from the end where it starts:
//! mostly the first one holds it.

use std::collections::HashMap;

use duckdb::{Connection, params};

use dvrgate_index::{
    EventCursor, EventSelect, Page, Scope, SegmentCursor, SegmentSelect, StateQuery,
};
use dvrgate_model::{
    Direction, RecordingEvent, RecordingToken, Segment, SegmentState, Topic, TrackToken, Utc,
    UtcRange,
};

use crate::error::Result;
use crate::names::{Interner, Names};
use crate::rows::{EVENT_COLUMNS, SEGMENT_COLUMNS, event, segment, state_code};
use crate::small::each;
use crate::state::{Bounds, Property, Shared};

const HOUR_US: i64 = 3_600_000_000;
/// Each window is this many times as long as the one before.
const GROWTH: i64 = 8;
/// Rows in one page, whatever was asked for; a cursor leads on.
const LIMIT_MAX: usize = 1_000_000;
/// Numbers in one condition; longer lists are left to the caller's own filter.
const LIST_MAX: usize = 20_000;

/// Windows `[from, to)` that together are `[first, end)`, from the end where the page starts. The
/// first one reaches an hour beyond `anchor`.
fn windows(
    first: i64,
    end: i64,
    anchor: i64,
    direction: Direction,
) -> impl Iterator<Item = (i64, i64)> {
    let (mut first, mut end, mut width) = (first, end, HOUR_US);
    std::iter::from_fn(move || {
        if first >= end {
            return None;
        }
        let window = match direction {
            Direction::Forward => {
                let to = first.max(anchor).saturating_add(width).min(end);
                (std::mem::replace(&mut first, to), to)
            }
            Direction::Reverse => {
                let from = end.min(anchor).saturating_sub(width).max(first);
                (from, std::mem::replace(&mut end, from))
            }
        };
        width = width.saturating_mul(GROWTH);
        Some(window)
    })
}

fn time(us: i64) -> String {
    format!("make_timestamp({us})")
}

fn list(ids: impl IntoIterator<Item = u32>) -> String {
    ids.into_iter().map(|id| id.to_string()).collect::<Vec<_>>().join(",")
}

fn order(direction: Direction) -> (&'static str, &'static str) {
    match direction {
        Direction::Forward => ("ASC", ">"),
        Direction::Reverse => ("DESC", "<"),
    }
}

/// Cuts to the limit and says what follows.
fn page<T, C>(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> C) -> Page<T, C> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(cursor);
    Page { items, next }
}

/// See [`dvrgate_index::Snapshot::segments`].
pub(crate) fn segments(
    db: &Connection,
    shared: &Shared,
    select: &SegmentSelect,
) -> Result<Page<Segment, SegmentCursor>> {
    let names = shared.names.read();
    let limit = select.limit.clamp(1, LIMIT_MAX);
    let (sort, beyond) = order(select.direction);
    let mut conditions = vec![format!("s.end_time > {}", time(select.range.start().micros()))];
    match &select.tracks {
        None => {}
        Some(tracks) => {
            let ids: Vec<u32> = tracks.iter().filter_map(|t| names.tracks.get(t)).collect();
            conditions.push(match ids.as_slice() {
                [] => return Ok(Page { items: Vec::new(), next: None }),
                [id] => format!("s.track_id = {id}"),
                _ => format!("s.track_id IN ({})", list(ids)),
            });
        }
    }
    conditions.push(match &select.states {
        None => format!("s.state <> {}", state_code(SegmentState::Gone)),
        Some(states) if states.is_empty() => return Ok(Page { items: Vec::new(), next: None }),
        Some(states) => {
            format!("s.state IN ({})", list(states.iter().map(|s| state_code(*s).into())))
        }
    });
    let starts = shared.bounds.read().starts;
    let mut first = starts.first.micros();
    let mut end = select.range.end().min(starts.last.plus_us(1)).micros();
    let mut after = "";
    if let Some(cursor) = &select.after {
        conditions.push(format!(
            "(s.start_time, n.text, s.id) {beyond} ({}, ?, {})",
            time(cursor.start.micros()),
            cursor.id.0,
        ));
        after = cursor.track.as_str();
        match select.direction {
            Direction::Forward => first = first.max(cursor.start.micros()),
            Direction::Reverse => end = end.min(cursor.start.micros() + 1),
        }
    }
    let anchor = match select.direction {
        Direction::Forward => select.range.start().micros(),
        Direction::Reverse => end,
    };
    let mut items = Vec::new();
    for (from, to) in windows(first, end, anchor, select.direction) {
        let sql = format!(
            "SELECT {SEGMENT_COLUMNS} FROM segment s JOIN track_name n ON n.id = s.track_id
             WHERE s.start_time >= {} AND s.start_time < {} AND {}
             ORDER BY s.start_time {sort}, n.text {sort}, s.id {sort} LIMIT {}",
            time(from),
            time(to),
            conditions.join(" AND "),
            limit + 1 - items.len(),
        );
        let mut statement = db.prepare(&sql)?;
        let mut rows = match &select.after {
            Some(_) => statement.query(params![after])?,
            None => statement.query([])?,
        };
        while let Some(row) = rows.next()? {
            items.push(segment(row, &names)?);
        }
        if items.len() > limit {
            break;
        }
    }
    Ok(page(items, limit, SegmentCursor::of))
}

/// See [`dvrgate_index::Snapshot::segments_around`]. `spans` are those of the track.
pub(crate) fn segments_around(
    db: &Connection,
    shared: &Shared,
    track: &TrackToken,
    spans: &[UtcRange],
    t: Utc,
) -> Result<Vec<Segment>> {
    let names = shared.names.read();
    let Some(id) = names.tracks.get(track) else { return Ok(Vec::new()) };
    let live = format!("s.track_id = {id} AND s.state <> 2 AND s.end_time > s.start_time");
    let find = |rest: &str| {
        let mut found = Vec::new();
        let sql = format!("SELECT {SEGMENT_COLUMNS} FROM segment s WHERE {live} AND {rest}");
        each(db, &sql, |row| {
            found.push(segment(row, &names)?);
            Ok(())
        })?;
        Ok::<_, crate::error::DbError>(found)
    };
    let at = time(t.micros());
    let mut found = find(&format!("s.start_time <= {at} AND s.end_time > {at}"))?;
    let Bounds { starts, .. } = *shared.bounds.read();

    // The last that ended: its end is in the last span that starts before `t`.
    let before = spans[..spans.partition_point(|s| s.start() < t)].last();
    let anchor = before.map_or(t, |s| s.end().min(t)).micros() + 1;
    let first = starts.first.micros();
    for (from, to) in windows(first, t.micros() + 1, anchor, Direction::Reverse) {
        let last = find(&format!(
            "s.end_time >= {} AND s.end_time < {}
             ORDER BY s.end_time DESC, s.start_time DESC, s.id DESC LIMIT 1",
            time(from),
            time(to)
        ))?;
        if !last.is_empty() {
            found.extend(last);
            break;
        }
    }

    // The first that starts later: in this span, or at the start of the next.
    let next = spans.get(spans.partition_point(|s| s.end() <= t));
    let anchor = next.map_or(t, |s| s.start().max(t)).micros();
    let end = starts.last.micros() + 1;
    for (from, to) in windows(t.micros() + 1, end, anchor, Direction::Forward) {
        let next = find(&format!(
            "s.start_time >= {} AND s.start_time < {} ORDER BY s.start_time, s.id LIMIT 1",
            time(from),
            time(to)
        ))?;
        if !next.is_empty() {
            found.extend(next);
            break;
        }
    }
    found.sort_by_key(|s| (s.start.utc, s.id));
    Ok(found)
}

/// The numbers of a scope; `None` for all.
fn scope_ids(names: &Interner<RecordingToken>, scope: &Scope) -> Option<Vec<u32>> {
    let tokens = scope.recordings.as_ref()?;
    Some(tokens.iter().filter_map(|t| names.get(t)).collect())
}

fn topic_ids(names: &Names, topics: &Option<Vec<Topic>>) -> Option<Vec<u32>> {
    Some(topics.as_ref()?.iter().filter_map(|t| names.topics.get(t)).collect())
}

/// See [`dvrgate_index::Snapshot::events`].
pub(crate) fn events(
    db: &Connection,
    shared: &Shared,
    select: &EventSelect,
) -> Result<Page<RecordingEvent, EventCursor>> {
    let names = shared.names.read();
    let limit = select.limit.clamp(1, LIMIT_MAX);
    let (sort, beyond) = order(select.direction);
    let mut conditions = String::new();
    let lists = [
        ("recording_id", scope_ids(&names.recordings, &select.scope)),
        ("topic_id", topic_ids(&names, &select.topics)),
    ];
    for (column, ids) in lists {
        match ids {
            None => {}
            Some(ids) if ids.is_empty() => return Ok(Page { items: Vec::new(), next: None }),
            Some(ids) => conditions += &format!(" AND e.{column} IN ({})", list(ids)),
        }
    }
    let bounds = shared.bounds.read().events;
    let mut first = select.from.max(bounds.first).micros();
    let mut end = select.to.min(bounds.last).micros().saturating_add(1);
    if let Some(EventCursor { time: at, id }) = &select.after {
        conditions += &format!(" AND (e.time, e.id) {beyond} ({}, {})", time(at.micros()), id.0);
        match select.direction {
            Direction::Forward => first = first.max(at.micros()),
            Direction::Reverse => end = end.min(at.micros() + 1),
        }
    }
    let anchor = match select.direction {
        Direction::Forward => first,
        Direction::Reverse => end,
    };
    let mut items = Vec::new();
    for (from, to) in windows(first, end, anchor, select.direction) {
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM event e
             WHERE e.time >= {} AND e.time < {}{conditions}
             ORDER BY e.time {sort}, e.id {sort} LIMIT {}",
            time(from),
            time(to),
            limit + 1 - items.len(),
        );
        each(db, &sql, |row| {
            items.push(event(row, &names)?);
            Ok(())
        })?;
        if items.len() > limit {
            break;
        }
    }
    Ok(page(items, limit, EventCursor::of))
}

/// See [`dvrgate_index::Snapshot::state_at`]. Looks back in growing windows until each property
/// that can have a state has been met.
pub(crate) fn state_at(
    db: &Connection,
    shared: &Shared,
    query: &StateQuery,
) -> Result<Vec<RecordingEvent>> {
    let names = shared.names.read();
    let recordings = scope_ids(&names.recordings, &query.scope);
    let topics = topic_ids(&names, &query.topics);
    let mut open: HashMap<Property, Utc> = shared
        .properties
        .read()
        .iter()
        .filter(|(p, first)| {
            **first <= query.at
                && recordings.as_ref().is_none_or(|ids| ids.contains(&p.recording))
                && topics.as_ref().is_none_or(|ids| ids.contains(&p.topic))
        })
        .map(|(p, first)| (p.clone(), *first))
        .collect();
    let mut states = Vec::new();
    let bounds = shared.bounds.read().events;
    let end = query.at.min(bounds.last).micros().saturating_add(1);
    for (from, to) in windows(bounds.first.micros(), end, end, Direction::Reverse) {
        open.retain(|_, first| first.micros() < to);
        if open.is_empty() {
            break;
        }
        let mut conditions = String::new();
        for (column, id_of) in [
            ("topic_id", (|p: &Property| p.topic) as fn(&Property) -> u32),
            ("recording_id", |p| p.recording),
        ] {
            let mut ids: Vec<u32> = open.keys().map(id_of).collect();
            ids.sort_unstable();
            ids.dedup();
            if ids.len() <= LIST_MAX {
                conditions += &format!(" AND e.{column} IN ({})", list(ids));
            }
        }
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM event e
             WHERE e.time >= {} AND e.time < {} AND e.is_property{conditions}
             QUALIFY row_number() OVER (
                 PARTITION BY e.topic_id, e.recording_id, e.track_id, e.source_items
                 ORDER BY e.time DESC, e.id DESC) = 1",
            time(from),
            time(to),
        );
        each(db, &sql, |row| {
            let property = Property {
                recording: row.get(4)?,
                track: row.get(5)?,
                topic: row.get(6)?,
                source_items: row.get(10)?,
            };
            if open.remove(&property).is_some() {
                states.push(event(row, &names)?);
            }
            Ok(())
        })?;
    }
    states.sort_by_key(|e| (e.at.utc, e.id));
    Ok(states)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_everything_once() {
        for direction in [Direction::Forward, Direction::Reverse] {
            for (first, end, anchor) in
                [(0, 100 * HOUR_US, 5), (-7, 3, 1), (0, 10 * HOUR_US, 20 * HOUR_US), (5, 5, 5)]
            {
                let mut all: Vec<_> = windows(first, end, anchor, direction).collect();
                assert!(all.len() < 10);
                if direction == Direction::Reverse {
                    all.reverse();
                }
                let mut at = first;
                for (from, to) in all {
                    assert_eq!(from, at);
                    assert!(to > from);
                    at = to;
                }
                assert_eq!(at, end);
            }
        }
    }
}
