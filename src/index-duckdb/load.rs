//! Opening: checks, migration, and everything that is kept in memory.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use duckdb::Connection;
use duckdb::arrow::array::{Array, TimestampMicrosecondArray, UInt32Array, UInt64Array};
use duckdb::arrow::record_batch::RecordBatch;

use dvrgate_index::{Catalog, SpanMap, merged};
use dvrgate_model::{Utc, UtcRange};

use crate::Options;
use crate::error::{DbError, Result};
use crate::filter::{Filter, segment_key};
use crate::migrations::migrate;
use crate::names::Names;
use crate::pool::Pool;
use crate::rows::{us, utc};
use crate::small;
use crate::state::{Bounds, Ends, Property};

/// What opening found.
pub(crate) struct Loaded {
    pub pool: Pool,
    pub writer: Open,
    pub catalog: Catalog,
    pub names: Names,
    pub properties: HashMap<Property, Utc>,
    pub bounds: Bounds,
}

/// The writer's connection and what only the writer needs.
pub(crate) struct Open {
    pub db: Connection,
    /// Loaded by the writer's thread: opening does not wait for them.
    pub filters: Option<Filters>,
    /// Tracks whose rows in `span` are behind; all of them are in `dirty_track`.
    pub dirty: HashSet<u32>,
    /// What the table `span` holds.
    pub stored: SpanMap,
}

/// Which segments and events may be there.
pub(crate) struct Filters {
    pub segments: Filter,
    pub events: Filter,
}

/// Tables that only the writer's connection sees; never on disk.
const STAGING: &str = "
    CREATE OR REPLACE TEMP TABLE stage_segment (track_id UINTEGER, id UBIGINT);
    CREATE OR REPLACE TEMP TABLE stage_event (id UBIGINT);
    CREATE OR REPLACE TEMP TABLE stage_span (track_id UINTEGER, start_time TIMESTAMP);";

/// Opens the file, or makes it.
pub(crate) fn load(options: &Options) -> Result<Loaded> {
    if let Some(parent) = options.path.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(|source| DbError::Io {
            what: format!("cannot make the folder {}", parent.display()),
            source,
        })?;
    }
    let pool = Pool::open(options)?;
    let db = pool.connect()?;
    migrate(&db)?;
    check_length(&db, &options.path)?;
    db.execute_batch(STAGING)?;
    let names = Names::load(&db)?;
    let mut catalog = Catalog::default();
    catalog.apply(&small::read(&db)?);
    load_spans(&db, &names, &mut catalog)?;
    let stored = catalog.spans().clone();
    let dirty = recompute_spans(&db, &names, &mut catalog)?;
    let properties = load_properties(&db)?;
    let bounds = Bounds {
        starts: ends(&db, "SELECT min(start_time), max(start_time) FROM segment")?,
        events: ends(&db, "SELECT min(time), max(time) FROM event")?,
    };
    let writer = Open { db, filters: None, dirty, stored };
    Ok(Loaded { pool, writer, catalog, names, properties, bounds })
}

/// DuckDB notices a missing tail only when it reads there; so the last block that the large tables
/// use must be inside the file. (The number of blocks in the header counts free ones, which a
/// checkpoint may have cut off.)
fn check_length(db: &Connection, path: &Path) -> Result<()> {
    const HEADERS: u64 = 3 * 4096;
    const TABLES: [&str; 4] = ["segment", "event", "span", "property"];
    let size = "SELECT block_size FROM pragma_database_size()";
    let size = db.query_row(size, [], |row| row.get::<_, i64>(0))?.unsigned_abs();
    let mut expected = 0;
    for table in TABLES {
        let last = format!("SELECT max(block_id) FROM pragma_storage_info('{table}')");
        let last: Option<i64> = db.query_row(&last, [], |row| row.get(0))?;
        if let Some(last) = last.and_then(|last| u64::try_from(last).ok()) {
            expected = expected.max(HEADERS + (last + 1) * size);
        }
    }
    let have = fs::metadata(path).map(|m| m.len()).unwrap_or(u64::MAX);
    if have < expected { Err(DbError::Truncated { have, expected }) } else { Ok(()) }
}

/// A column of a batch, in the type that its SQL has.
fn column<T: Array + 'static>(batch: &RecordBatch, index: usize) -> Result<&T> {
    batch
        .column(index)
        .as_any()
        .downcast_ref::<T>()
        .ok_or_else(|| DbError::Row(format!("column {index} has another type")))
}

fn load_spans(db: &Connection, names: &Names, catalog: &mut Catalog) -> Result<()> {
    let mut by_track: HashMap<u32, Vec<UtcRange>> = HashMap::new();
    in_pieces(db, "track_id, start_time, end_time", "span", "true", |batch| {
        add_ranges(batch, &mut by_track)
    })?;
    for (track, spans) in by_track {
        let token = names.tracks.name(track);
        let token = token.ok_or_else(|| DbError::Row(format!("span of unknown track {track}")))?;
        catalog.load_spans(token, spans);
    }
    Ok(())
}

/// The spans of tracks that were written to since `span` was last brought up to date, which a
/// process that was killed could not do.
fn recompute_spans(db: &Connection, names: &Names, catalog: &mut Catalog) -> Result<HashSet<u32>> {
    let mut dirty = HashSet::new();
    small::each(db, "SELECT track_id FROM dirty_track", |row| {
        dirty.insert(row.get(0)?);
        Ok(())
    })?;
    if dirty.is_empty() {
        return Ok(dirty);
    }
    let mut by_track: HashMap<u32, Vec<UtcRange>> = dirty.iter().map(|t| (*t, vec![])).collect();
    let live = "state <> 2 AND end_time > start_time
                AND track_id IN (SELECT track_id FROM dirty_track)";
    in_pieces(db, "track_id, start_time, end_time", "segment", live, |batch| {
        add_ranges(batch, &mut by_track)?;
        for ranges in by_track.values_mut().filter(|r| r.len() > MERGE_ABOVE) {
            *ranges = merged(std::mem::take(ranges));
        }
        Ok(())
    })?;
    for (track, ranges) in by_track {
        let token = names.tracks.name(track);
        let token = token.ok_or_else(|| DbError::Row(format!("dirty track {track}")))?;
        catalog.load_spans(token, ranges);
    }
    Ok(dirty)
}

/// Ranges of one track that are collected before touching ones are made one.
const MERGE_ABOVE: usize = 100_000;

/// Rows of track, start and end.
fn add_ranges(batch: &RecordBatch, to: &mut HashMap<u32, Vec<UtcRange>>) -> Result<()> {
    let tracks = column::<UInt32Array>(batch, 0)?;
    let starts = column::<TimestampMicrosecondArray>(batch, 1)?;
    let ends = column::<TimestampMicrosecondArray>(batch, 2)?;
    for row in 0..batch.num_rows() {
        let (start, end) = (Utc::from_micros(starts.value(row)), Utc::from_micros(ends.value(row)));
        to.entry(tracks.value(row)).or_default().push(UtcRange::clamped(start, end));
    }
    Ok(())
}

/// Ranges of the segments of a track that are not gone and touch the window.
pub(crate) fn live_ranges(db: &Connection, track: u32, window: UtcRange) -> Result<Vec<UtcRange>> {
    let mut ranges = Vec::new();
    let sql = format!(
        "SELECT start_time, end_time FROM segment
         WHERE track_id = {track} AND state <> 2 AND end_time > start_time
           AND start_time <= make_timestamp({}) AND end_time >= make_timestamp({})",
        window.end().micros(),
        window.start().micros(),
    );
    small::each(db, &sql, |row| {
        ranges.push(UtcRange::clamped(utc(row, 0)?, utc(row, 1)?));
        Ok(())
    })?;
    Ok(ranges)
}

fn load_properties(db: &Connection) -> Result<HashMap<Property, Utc>> {
    let mut all = HashMap::new();
    small::each(db, "SELECT * FROM property", |row| {
        let property = Property {
            topic: row.get(0)?,
            recording: row.get(1)?,
            track: row.get(2)?,
            source_items: row.get(3)?,
        };
        all.insert(property, utc(row, 4)?);
        Ok(())
    })?;
    Ok(all)
}

fn ends(db: &Connection, sql: &str) -> Result<Ends> {
    let mut found = Ends::NONE;
    small::each(db, sql, |row| {
        if let (Some(first), Some(last)) = (us(row, 0)?, us(row, 1)?) {
            found = Ends { first: Utc::from_micros(first), last: Utc::from_micros(last) };
        }
        Ok(())
    })?;
    Ok(found)
}

impl Filters {
    /// Reads the keys of all rows: a tenth of a second a million.
    pub fn load(db: &Connection) -> Result<Self> {
        let mut segments = Filter::with_capacity(capacity(db, "segment")?);
        in_pieces(db, "track_id, id", "segment", "true", |batch| {
            let tracks = column::<UInt32Array>(batch, 0)?;
            let ids = column::<UInt64Array>(batch, 1)?;
            for row in 0..batch.num_rows() {
                segments.insert(segment_key(tracks.value(row), ids.value(row)));
            }
            Ok(())
        })?;
        let mut events = Filter::with_capacity(capacity(db, "event")?);
        in_pieces(db, "id", "event", "true", |batch| {
            let ids = column::<UInt64Array>(batch, 0)?;
            ids.values().iter().for_each(|id| events.insert(*id));
            Ok(())
        })?;
        Ok(Self { segments, events })
    }
}

/// Room for all rows of a table and a quarter more.
fn capacity(db: &Connection, table: &str) -> Result<usize> {
    let count = format!("SELECT count(*) FROM {table}");
    let count: i64 = db.query_row(&count, [], |row| row.get(0))?;
    Ok(count.unsigned_abs() as usize / 4 * 5)
}

/// Rows read at once, so that no result outgrows the memory limit.
const ROWS_AT_ONCE: i64 = 1_000_000;

/// Reads the rows of a table that fulfil a condition, piece by piece.
fn in_pieces(
    db: &Connection,
    columns: &str,
    table: &str,
    condition: &str,
    mut f: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let last = format!("SELECT coalesce(max(rowid), -1) FROM {table}");
    let last: i64 = db.query_row(&last, [], |row| row.get(0))?;
    for first in (0..=last).step_by(ROWS_AT_ONCE as usize) {
        let sql = format!(
            "SELECT {columns} FROM {table}
             WHERE rowid >= {first} AND rowid < {} AND {condition}",
            first + ROWS_AT_ONCE
        );
        let mut statement = db.prepare(&sql)?;
        for batch in statement.query_arrow([])? {
            f(&batch)?;
        }
    }
    Ok(())
}

/// Moves a file that cannot be used out of the way, its log with it. Returns the new name.
pub(crate) fn set_aside(path: &Path) -> Result<PathBuf> {
    let named = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let io = |source| DbError::Io { what: format!("cannot rename {}", path.display()), source };
    let aside = (1..)
        .map(|n| named(&format!(".corrupt-{n}")))
        .find(|p| !p.exists())
        .unwrap_or_else(|| named(".corrupt"));
    let mut wal_aside = aside.as_os_str().to_owned();
    wal_aside.push(".wal");
    if path.exists() {
        fs::rename(path, &aside).map_err(io)?;
    }
    if named(".wal").exists() {
        fs::rename(named(".wal"), wal_aside).map_err(io)?;
    }
    Ok(aside)
}
