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
use crate::state::{Property, Shared};

const HOUR_US: i64 = 3_600_000_000;
/// The first look back for states: many properties rest longer than an hour, and a page is not
/// what is looked for.
const STATE_US: i64 = 8 * HOUR_US;
/// Each window is this many times as long as the one before.
const GROWTH: i64 = 8;
/// Rows in one page, whatever was asked for; a cursor leads on.
const LIMIT_MAX: usize = 1_000_000;
/// Numbers in one condition; longer lists are left to the caller's own filter.
const LIST_MAX: usize = 20_000;

/// Windows `[from, to)` that together are `[first, end)`, from the end where the page starts. The
/// first one reaches `width` beyond `anchor`.
fn windows(
    first: i64,
    end: i64,
    anchor: i64,
    direction: Direction,
    mut width: i64,
) -> impl Iterator<Item = (i64, i64)> {
    let (mut first, mut end) = (first, end);
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
    let names = shared.names();
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
    // Many tracks fill a page sooner, and what does not fit is sorted in vain.
    let width = HOUR_US / select.tracks.as_ref().map_or(16, |t| t.len().clamp(1, 16)) as i64;
    for (from, to) in windows(first, end, anchor, select.direction, width) {
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
///
/// One query over an hour on both sides mostly has it all. Where it has not, the edge of the span
/// before or after is the edge of the segment that is missing; inside a long span without edges
/// nearby, windows grow up to the span's ends.
pub(crate) fn segments_around(
    db: &Connection,
    shared: &Shared,
    track: &TrackToken,
    spans: &[UtcRange],
    t: Utc,
) -> Result<Vec<Segment>> {
    let names = shared.names();
    let Some(id) = names.tracks.get(track) else { return Ok(Vec::new()) };
    let find = |rest: &str| {
        let mut found = Vec::new();
        let sql = format!(
            "SELECT {SEGMENT_COLUMNS} FROM segment s
             WHERE s.track_id = {id} AND s.state <> 2 AND s.end_time > s.start_time AND {rest}"
        );
        each(db, &sql, |row| {
            found.push(segment(row, &names)?);
            Ok(())
        })?;
        Ok::<_, crate::error::DbError>(found)
    };
    let around = spans.get(spans.partition_point(|s| s.end() <= t)).filter(|s| s.contains(t));
    let ended = spans[..spans.partition_point(|s| s.end() <= t)].last();
    let coming = spans.get(spans.partition_point(|s| s.start() <= t));
    let (from, to) = (t.plus_us(-HOUR_US), t.plus_us(HOUR_US));
    let near = find(&ends_in(from, Utc::MAX, &format!("s.start_time < {}", time(to.micros()))))?;

    let latest = |s: &&Segment| (s.end.utc, s.start.utc, s.id);
    let mut last = near.iter().filter(|s| s.range().end() <= t).max_by_key(latest).cloned();
    let mut lows = Vec::new();
    if last.is_none() {
        let start = around.map_or(from, |s| s.start()).micros();
        lows.extend(windows(start, from.micros(), from.micros(), Direction::Reverse, HOUR_US));
        lows.extend(ended.map(|s| (s.end().micros(), s.end().micros() + 1)));
    }
    for (low, high) in lows {
        let order = "true ORDER BY s.end_time DESC, s.start_time DESC, s.id DESC LIMIT 1";
        last = find(&ends_in(Utc::from_micros(low), Utc::from_micros(high), order))?.pop();
        if last.is_some() {
            break;
        }
    }

    let earliest = |s: &&Segment| (s.start.utc, s.id);
    let mut next = near.iter().filter(|s| s.start.utc > t).min_by_key(earliest).cloned();
    let mut highs = Vec::new();
    if next.is_none() {
        let end = around.map_or(to, |s| s.end()).micros();
        highs.extend(windows(to.micros(), end, to.micros(), Direction::Forward, HOUR_US));
        highs.extend(coming.map(|s| (s.start().micros(), s.start().micros() + 1)));
    }
    for (low, high) in highs {
        next = find(&format!(
            "s.start_time >= {} AND s.start_time < {} ORDER BY s.start_time, s.id LIMIT 1",
            time(low),
            time(high)
        ))?
        .pop();
        if next.is_some() {
            break;
        }
    }

    let mut found: Vec<Segment> = near.into_iter().filter(|s| s.range().contains(t)).collect();
    found.extend(last);
    found.extend(next);
    found.sort_by_key(|s| (s.start.utc, s.id));
    Ok(found)
}

/// Condition: ends in `[from, to)`, and `rest`.
fn ends_in(from: Utc, to: Utc, rest: &str) -> String {
    let (from, to) = (time(from.micros()), time(to.micros()));
    format!("s.end_time >= {from} AND s.end_time < {to} AND {rest}")
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
    let names = shared.names();
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
    for (from, to) in windows(first, end, anchor, select.direction, HOUR_US) {
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
    let names = shared.names();
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
    for (from, to) in windows(bounds.first.micros(), end, end, Direction::Reverse, STATE_US) {
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
        // One row a property, gathered while scanning: a window function would sort all of them.
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM (
                 SELECT unnest(arg_max(e, (e.time, e.id))) FROM event e
                 WHERE e.time >= {} AND e.time < {} AND e.is_property{conditions}
                 GROUP BY e.topic_id, e.recording_id, e.track_id, e.source_items) e",
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
                let mut all: Vec<_> = windows(first, end, anchor, direction, HOUR_US).collect();
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
