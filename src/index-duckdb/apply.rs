//! One batch, inside the writer's transaction.
//!
//! Rows that are surely new (see [`crate::filter`]) go straight to the appender. The others are
//! looked up, first near the times that the batch gives, then everywhere; what changed is deleted
//! by row number and appended anew.

use std::collections::{BTreeMap, HashMap, HashSet};

use duckdb::{Connection, params};

use dvrgate_index::{
    Applied, Batch, Catalog, Net, SegmentChange, TrackEdit, live_range, merged, same_but_seen,
};
use dvrgate_model::{
    EventId, Items, RecordingEvent, Segment, SegmentId, SyncRunId, TrackToken, Utc, UtcRange,
};

use crate::error::Result;
use crate::filter::segment_key;
use crate::load::{Filters, Open, live_ranges};
use crate::names::Names;
use crate::rows::{
    EVENT_COLUMNS, EventNames, SEGMENT_COLUMNS, Us, append_event, append_segment, event, segment,
};
use crate::small::{self, each};
use crate::state::{Bounds, Property, Shared};

/// What a transaction will have changed in memory once it is committed.
pub(crate) struct Pending {
    pub catalog: Catalog,
    pub properties: HashMap<Property, Utc>,
    pub bounds: Bounds,
    /// Tracks that become dirty.
    pub dirty: HashSet<u32>,
    /// See [`Names::mark`].
    pub names: [usize; 3],
}

/// A row of the large tables: its number and what it says.
type Found<K, T> = HashMap<K, (i64, T)>;

/// A row is looked for first this far around the time that the batch gives it.
const HINT_US: i64 = 3_600_000_000;
/// Row numbers in one statement.
const ROWS_AT_ONCE: usize = 1000;
/// Above this many cuts in one track, its segments are read once and not for each cut.
const CUTS_ONE_BY_ONE: usize = 4;

/// Applies a batch within the current transaction.
pub(crate) fn apply(
    open: &mut Open,
    filters: &mut Filters,
    shared: &Shared,
    pending: &mut Pending,
    batch: Batch,
) -> Result<Applied> {
    let net = Net::from(batch);
    small::write(&open.db, &pending.catalog, &net)?;
    pending.catalog.apply(&net);
    let mut applied = Applied::default();
    if !net.segments.is_empty() {
        let edits = segments(open, filters, shared, pending, net.run, net.segments, &mut applied)?;
        spans(open, pending, edits)?;
    }
    if !net.events.is_empty() {
        events(open, filters, shared, pending, net.events, &mut applied)?;
    }
    if !shared.names().is_stored() {
        shared.change_names(|names| names.store(&open.db))?;
    }
    Ok(applied)
}

type Edits = BTreeMap<u32, (TrackToken, TrackEdit)>;

fn segments(
    open: &Open,
    filters: &mut Filters,
    shared: &Shared,
    pending: &mut Pending,
    run: SyncRunId,
    changes: BTreeMap<(TrackToken, SegmentId), SegmentChange>,
    applied: &mut Applied,
) -> Result<Edits> {
    let put = |change: &SegmentChange| matches!(change, SegmentChange::Put(_));
    let unnamed = {
        let names = shared.names();
        let tracks = changes.iter().filter(|(_, change)| put(change)).map(|((track, _), _)| track);
        tracks.filter(|t| names.tracks.get(t).is_none()).cloned().collect::<Vec<_>>()
    };
    if !unnamed.is_empty() {
        shared.change_names(|names| {
            for track in &unnamed {
                names.tracks.intern(track);
            }
        });
    }
    let names = shared.names();
    let mut append: Vec<(u32, Box<Segment>)> = Vec::new();
    let mut known: Vec<(u32, SegmentId, SegmentChange)> = Vec::new();
    for ((track, id), change) in changes {
        // A track without a number has no segment that could have been seen.
        let Some(number) = names.tracks.get(&track) else { continue };
        match change {
            change if filters.segments.may_contain(segment_key(number, id.0)) => {
                known.push((number, id, change));
            }
            SegmentChange::Put(new) => {
                applied.count_segment(None, &new);
                append.push((number, new));
            }
            SegmentChange::Seen => {}
        }
    }
    let mut edits = Edits::new();
    let mut note = |number: u32, old: Option<&Segment>, new: &Segment| {
        let (_, edit) =
            edits.entry(number).or_insert_with(|| (new.track.clone(), TrackEdit::default()));
        edit.note(old.and_then(live_range), live_range(new));
    };
    append.iter().for_each(|(number, new)| note(*number, None, new));

    let mut delete = Rows::new();
    let mut seen: BTreeMap<u64, Rows> = BTreeMap::new();
    let mut old = find_segments(&open.db, &names, &known)?;
    for (number, id, change) in known {
        match (change, old.remove(&(number, id.0))) {
            (SegmentChange::Seen, None) => {}
            (SegmentChange::Seen, Some((row, old))) => {
                if old.seen != run {
                    seen.entry(run.0).or_default().push((row, old.start.utc));
                }
            }
            (SegmentChange::Put(new), None) => {
                applied.count_segment(None, &new);
                note(number, None, &new);
                append.push((number, new));
            }
            (SegmentChange::Put(new), Some((_, old))) if *new == old => {}
            (SegmentChange::Put(new), Some((row, old))) if same_but_seen(&new, &old) => {
                seen.entry(new.seen.0).or_default().push((row, old.start.utc));
            }
            (SegmentChange::Put(new), Some((row, old))) => {
                applied.count_segment(Some(&old), &new);
                note(number, Some(&old), &new);
                delete.push((row, old.start.utc));
                append.push((number, new));
            }
        }
    }

    for (run, rows) in seen {
        in_rows(&open.db, &format!("UPDATE segment SET seen = {run}"), "start_time", &rows)?;
    }
    in_rows(&open.db, "DELETE FROM segment", "start_time", &delete)?;
    append.sort_by_key(|(number, s)| (hour(s.start.utc), *number, s.start.utc));
    let mut to = open.db.appender("segment")?;
    for (number, segment) in &append {
        append_segment(&mut to, *number, segment)?;
        pending.bounds.starts.add(segment.start.utc);
        filters.segments.insert(segment_key(*number, segment.id.0));
    }
    to.flush()?;
    Ok(edits)
}

fn hour(t: Utc) -> i64 {
    t.micros().div_euclid(3_600_000_000)
}

/// Rows to change: number and time. The times bound what DuckDB looks through.
type Rows = Vec<(i64, Utc)>;

/// Runs a statement on rows of these numbers; `column` is what the times are of.
fn in_rows(db: &Connection, statement: &str, column: &str, rows: &Rows) -> Result<()> {
    for rows in rows.chunks(ROWS_AT_ONCE) {
        let (first, last) = hull(rows.iter().map(|(_, at)| *at));
        let list = rows.iter().map(|(row, _)| row.to_string()).collect::<Vec<_>>().join(",");
        db.execute_batch(&format!(
            "{statement} WHERE rowid IN ({list})
             AND {column} BETWEEN make_timestamp({}) AND make_timestamp({})",
            first.micros(),
            last.micros()
        ))?;
    }
    Ok(())
}

/// First and last; crossed where there is none.
fn hull(times: impl Iterator<Item = Utc>) -> (Utc, Utc) {
    times.fold((Utc::MAX, Utc::MIN), |(first, last), t| (first.min(t), last.max(t)))
}

/// The smallest stretch of time that surely holds every row that did not move.
fn hint(times: impl Iterator<Item = Utc>) -> Option<(i64, i64)> {
    let (first, last) = hull(times);
    (first <= last).then(|| (first.plus_us(-HINT_US).micros(), last.plus_us(HINT_US).micros()))
}

fn find_segments(
    db: &Connection,
    names: &Names,
    keys: &[(u32, SegmentId, SegmentChange)],
) -> Result<Found<(u32, u64), Segment>> {
    let mut found = HashMap::new();
    if keys.is_empty() {
        return Ok(found);
    }
    let mut stage = db.appender("stage_segment")?;
    for (track, id, _) in keys {
        stage.append_row(params![*track, id.0])?;
    }
    stage.flush()?;
    drop(stage);
    let mut find = |place: &str| {
        let sql = format!(
            "SELECT {SEGMENT_COLUMNS}, s.rowid FROM segment s
             JOIN stage_segment k ON s.track_id = k.track_id AND s.id = k.id WHERE {place}"
        );
        each(db, &sql, |row| {
            let key = (row.get(0)?, row.get(1)?);
            found.insert(key, (row.get(20)?, segment(row, names)?));
            Ok(())
        })?;
        Ok::<_, crate::error::DbError>(found.len())
    };
    let hint = hint(keys.iter().filter_map(|(_, _, change)| match change {
        SegmentChange::Put(s) => Some(s.start.utc),
        SegmentChange::Seen => None,
    }));
    match hint {
        Some((from, to)) => {
            let near =
                format!("s.start_time BETWEEN make_timestamp({from}) AND make_timestamp({to})");
            if find(&near)? < keys.len() {
                find(&format!("NOT ({near})"))?;
            }
        }
        None => {
            find("true")?;
        }
    }
    db.execute_batch("DELETE FROM stage_segment")?;
    Ok(found)
}

/// Brings the spans in memory up to date. The rows are there already.
fn spans(open: &Open, pending: &mut Pending, edits: Edits) -> Result<()> {
    let mut newly_dirty = Vec::new();
    for (number, (token, edit)) in edits {
        let cuts = merged(edit.removed.clone());
        let hull = cuts.iter().copied().reduce(|a, b| a.hull(&b));
        let all = match hull {
            Some(hull) if cuts.len() > CUTS_ONE_BY_ONE => {
                // As far around as the spans ask for each cut.
                let tolerance = dvrgate_index::SPAN_TOLERANCE_US;
                let window = UtcRange::clamped(
                    hull.start().plus_us(-tolerance),
                    hull.end().plus_us(tolerance),
                );
                Some(live_ranges(&open.db, number, window)?)
            }
            _ => None,
        };
        let near = |window: UtcRange| match &all {
            Some(all) => Ok(all.iter().copied().filter(|r| r.touches(&window, 0)).collect()),
            None => live_ranges(&open.db, number, window),
        };
        let changed = pending.catalog.edit_spans(&token, &edit, near)?;
        if changed && !open.dirty.contains(&number) && pending.dirty.insert(number) {
            newly_dirty.push(number);
        }
    }
    let mut to = open.db.appender("dirty_track")?;
    for number in newly_dirty {
        to.append_row(params![number])?;
    }
    to.flush()?;
    Ok(())
}

fn events(
    open: &Open,
    filters: &mut Filters,
    shared: &Shared,
    pending: &mut Pending,
    changes: BTreeMap<EventId, Option<RecordingEvent>>,
    applied: &mut Applied,
) -> Result<()> {
    let (known, fresh): (Vec<_>, Vec<_>) =
        changes.into_iter().partition(|(id, _)| filters.events.may_contain(id.0));
    let mut append: Vec<RecordingEvent> = fresh.into_iter().filter_map(|(_, e)| e).collect();
    applied.events_new += append.len() as u64;

    let mut delete = Rows::new();
    let mut old = find_events(&open.db, &shared.names(), &known)?;
    for (id, new) in known {
        match (old.remove(&id.0), new) {
            (None, None) => {}
            (None, Some(new)) => {
                applied.events_new += 1;
                append.push(new);
            }
            (Some((row, old)), None) => delete.push((row, old.at.utc)),
            (Some((_, old)), Some(new)) if old == new => {}
            (Some((row, old)), Some(new)) => {
                delete.push((row, old.at.utc));
                append.push(new);
            }
        }
    }
    in_rows(&open.db, "DELETE FROM event", "time", &delete)?;

    let mut rows = name_events(shared, append);
    rows.sort_by_key(|(names, e)| (hour(e.at.utc), names.topic, e.at.utc));
    let mut to = open.db.appender("event")?;
    for (names, event) in &rows {
        append_event(&mut to, *names, event)?;
        pending.bounds.events.add(event.at.utc);
        filters.events.insert(event.id.0);
    }
    to.flush()?;
    properties(open, shared, pending, &rows)
}

/// The numbers of the names in events, new ones where need be.
fn name_events(shared: &Shared, events: Vec<RecordingEvent>) -> Vec<(EventNames, RecordingEvent)> {
    let known = |names: &Names, e: &RecordingEvent| {
        Some(EventNames {
            recording: names.recordings.get(&e.recording)?,
            track: match &e.track {
                None => None,
                Some(track) => Some(names.tracks.get(track)?),
            },
            topic: names.topics.get(&e.topic)?,
        })
    };
    let intern = |names: &mut Names, e: &RecordingEvent| EventNames {
        recording: names.recordings.intern(&e.recording),
        track: e.track.as_ref().map(|t| names.tracks.intern(t)),
        topic: names.topics.intern(&e.topic),
    };
    let numbers: Option<Vec<EventNames>> = {
        let names = shared.names();
        events.iter().map(|e| known(&names, e)).collect()
    };
    let numbers = numbers.unwrap_or_else(|| {
        shared.change_names(|names| events.iter().map(|e| intern(names, e)).collect())
    });
    numbers.into_iter().zip(events).collect()
}

fn find_events(
    db: &Connection,
    names: &Names,
    keys: &[(EventId, Option<RecordingEvent>)],
) -> Result<Found<u64, RecordingEvent>> {
    let mut found = HashMap::new();
    if keys.is_empty() {
        return Ok(found);
    }
    let mut stage = db.appender("stage_event")?;
    for (id, _) in keys {
        stage.append_row(params![id.0])?;
    }
    stage.flush()?;
    drop(stage);
    let mut find = |place: &str| {
        let sql = format!(
            "SELECT {EVENT_COLUMNS}, e.rowid FROM event e
             JOIN stage_event k ON e.id = k.id WHERE {place}"
        );
        each(db, &sql, |row| {
            found.insert(row.get(0)?, (row.get(14)?, event(row, names)?));
            Ok(())
        })?;
        Ok::<_, crate::error::DbError>(found.len())
    };
    match hint(keys.iter().filter_map(|(_, e)| e.as_ref()).map(|e| e.at.utc)) {
        Some((from, to)) => {
            let near = format!("e.time BETWEEN make_timestamp({from}) AND make_timestamp({to})");
            if find(&near)? < keys.len() {
                find(&format!("NOT ({near})"))?;
            }
        }
        None => {
            find("true")?;
        }
    }
    db.execute_batch("DELETE FROM stage_event")?;
    Ok(found)
}

/// Notes properties that are new, or whose first event is earlier than any before.
fn properties(
    open: &Open,
    shared: &Shared,
    pending: &mut Pending,
    rows: &[(EventNames, RecordingEvent)],
) -> Result<()> {
    let mut changed: HashMap<Property, Utc> = HashMap::new();
    let known = shared.properties.read();
    for (names, event) in rows.iter().filter(|(_, e)| e.property) {
        let property = Property {
            topic: names.topic,
            recording: names.recording,
            track: names.track,
            source_items: Items::encode(&event.items.source),
        };
        let first = changed
            .get(&property)
            .or_else(|| pending.properties.get(&property))
            .or_else(|| known.get(&property));
        if first.is_none_or(|first| event.at.utc < *first) {
            changed.insert(property, event.at.utc);
        }
    }
    for (property, first) in changed {
        let Property { topic, recording, track, source_items } = &property;
        open.db.execute(
            "DELETE FROM property WHERE topic_id = ? AND recording_id = ?
             AND track_id IS NOT DISTINCT FROM ? AND source_items = ?",
            params![topic, recording, track, source_items],
        )?;
        open.db.execute(
            "INSERT INTO property VALUES (?, ?, ?, ?, ?)",
            params![topic, recording, track, source_items, Us::from(first)],
        )?;
        pending.properties.insert(property, first);
    }
    Ok(())
}
