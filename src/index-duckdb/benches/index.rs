//! What the index costs, beside plain DuckDB in the same run.
//!
//! `cargo bench -p dvrgate-index-duckdb`; figures and their reading are in `docs/benchmarks.md`.
//! Writes about 2 GB into a temporary folder (`TMPDIR`) and removes it.

// A benchmark prints, and has nobody to return errors to.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use duckdb::{Connection, params};
use futures::executor::block_on;

use dvrgate_index::{
    Batch, Change, EventSelect, Index, Scope, SegmentSelect, Snapshot, SpanQuery, StateQuery,
};
use dvrgate_index_duckdb::{DuckDbIndex, Options};
use dvrgate_model::{
    Civil, Direction, Locator, Reason, RecordingToken, Segment, SegmentId, SegmentState,
    SourceTime, Stamp, SyncRunId, Topic, TrackToken, Utc, UtcRange, ZoneClaim,
};

/// 2026-03-01T00:00:00Z.
const START: i64 = 1_772_323_200;
const TRACKS: u64 = 1000;
/// Of one segment a minute, of which every tenth is missing: 10 M segments, a million spans.
const HOURS: u64 = 186;
const EVENTS: u64 = 10_000_000;
const REPEATS: usize = 200;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    println!("{:<52} {:>14} {:>14} {:>7}", "", "index", "plain DuckDB", "ratio");
    idling(&dir.path().join("idle.duckdb"));
    applying(dir.path());
    let file = dir.path().join("large.duckdb");
    generate(&file);
    opening_and_reading(&file);
}

/// One line of the table; the ratio is ours to plain.
fn line(what: &str, ours: f64, plain: Option<f64>, unit: &str) {
    let number = |v: f64| match v {
        v if v >= 1000.0 => format!("{v:.0} {unit}"),
        v if v >= 10.0 => format!("{v:.1} {unit}"),
        v => format!("{v:.3} {unit}"),
    };
    let plain_text = plain.map_or("-".to_owned(), number);
    let ratio = plain.map_or("-".to_owned(), |p| format!("{:.2}", ours / p));
    println!("{what:<52} {:>14} {plain_text:>14} {ratio:>7}", number(ours));
}

/// What a gateway with 16 channels and a year of hourly files keeps in memory.
fn idling(file: &Path) {
    const CHANNELS: u64 = 16;
    let index = DuckDbIndex::open(Options::new(file)).unwrap().index;
    for channel in 0..CHANNELS {
        let mut rows: Vec<Segment> = (0..8760).map(|hour| segment(channel, hour * 60)).collect();
        rows.iter_mut().for_each(|s| s.end.utc = s.end.utc.plus_us(3_500_000_000));
        block_on(index.apply(as_batch(rows))).unwrap();
    }
    drop(index);
    let before = resident_mb();
    let started = Instant::now();
    let index = DuckDbIndex::open(Options::new(file)).unwrap().index;
    let opened = started.elapsed().as_secs_f64() * 1000.0;
    line("start-up, 16 channels, a year of hours", opened, None, "ms");
    block_on(index.apply(Batch::default())).unwrap();
    line("resident memory of the whole process, idle", resident_mb(), None, "MB");
    line("… of which the open index", resident_mb() - before, None, "MB");
}

fn segment(track: u64, minute: u64) -> Segment {
    let start = Utc::from_secs(START + minute as i64 * 60);
    let end = start.plus_us(60_000_000);
    let source =
        |t: Utc| SourceTime::from_civil(Civil::from_micros_as_if_utc(t.micros()), ZoneClaim::Utc);
    let track = TrackToken::new(format!("yard-{track}-video"));
    let source = (source(start), source(end));
    Segment {
        id: SegmentId::derive(&track, &source.0.raw, b""),
        track,
        start: Stamp::exact(start),
        end: Stamp::exact(end),
        source,
        reason: Reason::Continuous,
        state: SegmentState::Closed,
        locator: Locator(vec![7; 40].into()),
        bytes: Some(30_000_000),
        seen: SyncRunId(1),
    }
}

/// The `n`th batch: the next minute of the next `size` tracks.
fn batch(n: u64, size: u64) -> Vec<Segment> {
    (n * size..(n + 1) * size).map(|i| segment(i % 10_000, i / 10_000)).collect()
}

fn as_batch(segments: Vec<Segment>) -> Batch {
    let changes = segments.into_iter().map(|s| Change::Segment(Box::new(s))).collect();
    Batch { run: SyncRunId(1), changes }
}

/// Ours and plain in turns, the best of three each: what disturbs one run disturbs one round.
fn applying(dir: &Path) {
    const ROUNDS: usize = 3;
    for (size, batches, callers) in
        [(167u64, 400u64, 1u64), (167, 800, 16), (2000, 60, 1), (20_000, 15, 1)]
    {
        let (mut ours, mut plain) = (0.0f64, 0.0f64);
        for round in 0..ROUNDS {
            let file = |who: &str| dir.join(format!("{who}-{size}-{callers}-{round}.duckdb"));
            ours = ours.max(apply_all(&file("ours"), size, batches, callers));
            plain = plain.max(plain_append(&file("plain"), size, batches));
        }
        let what = format!("durable apply, {size} rows a batch, {callers} callers");
        line(&what, ours, Some(plain), "rows/s");
    }
}

fn apply_all(file: &Path, size: u64, batches: u64, callers: u64) -> f64 {
    let index = Arc::new(DuckDbIndex::open(Options::new(file)).unwrap().index);
    block_on(index.apply(Batch::default())).unwrap();
    let ready: Vec<Vec<Batch>> = (0..callers)
        .map(|c| (c..batches).step_by(callers as usize).map(|n| as_batch(batch(n, size))))
        .map(Iterator::collect)
        .collect();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for mine in ready {
            let index = &index;
            scope.spawn(move || {
                for batch in mine {
                    let rows = batch.changes.len() as u64;
                    let applied = block_on(index.apply(batch)).unwrap();
                    assert_eq!(applied.segments_new, rows);
                }
            });
        }
    });
    (size * batches) as f64 / started.elapsed().as_secs_f64()
}

/// The same rows into the same table by the appender, a commit a batch, one caller.
fn plain_append(file: &Path, size: u64, batches: u64) -> f64 {
    drop(DuckDbIndex::open(Options::new(file)).unwrap());
    let db = Connection::open(file).unwrap();
    db.execute_batch("SET memory_limit = '96MB'; SET threads = 2").unwrap();
    let ready: Vec<Vec<Segment>> = (0..batches).map(|n| batch(n, size)).collect();
    let us =
        |t: Utc| duckdb::types::Value::Timestamp(duckdb::types::TimeUnit::Microsecond, t.micros());
    let started = Instant::now();
    for rows in ready {
        db.execute_batch("BEGIN").unwrap();
        let mut to = db.appender("segment").unwrap();
        for s in rows {
            to.append_row(params![
                s.id.0 as u32,
                s.id.0,
                us(s.start.utc),
                us(s.end.utc),
                None::<i64>,
                0u64,
                0u64,
                0u32,
                0u32,
                &*s.source.0.raw,
                us(s.start.utc),
                None::<i32>,
                &*s.source.1.raw,
                us(s.end.utc),
                None::<i32>,
                0u8,
                1u8,
                s.bytes,
                &s.locator.0[..],
                1u64,
            ])
            .unwrap();
        }
        to.flush().unwrap();
        drop(to);
        db.execute_batch("COMMIT").unwrap();
    }
    (size * batches) as f64 / started.elapsed().as_secs_f64()
}

/// Ten million segments and events, in the order in which the gateway keeps them.
fn generate(file: &Path) {
    let started = Instant::now();
    drop(DuckDbIndex::open(Options::new(file)).unwrap());
    let db = Connection::open(file).unwrap();
    db.execute_batch("SET memory_limit = '1GB'; SET threads = 2").unwrap();
    let rows = HOURS * TRACKS * 60;
    let events_an_hour = EVENTS / HOURS;
    db.execute_batch(&format!(
        "BEGIN;
         INSERT INTO track_name SELECT i, 'yard-' || i || '-video' FROM range({TRACKS}) r(i);
         INSERT INTO recording_name SELECT i, 'yard-' || i FROM range({TRACKS}) r(i);
         INSERT INTO topic_name SELECT i, 'tns1:Some/Topic' || i FROM range(10) r(i);
         INSERT INTO recording SELECT 'yard-' || i, 'yard', i, 'main', NULL, '', '', '', '', '',
             '', NULL, 'recording' FROM range({TRACKS}) r(i);
         INSERT INTO track SELECT 'yard-' || i || '-video', 'yard-' || i, 0, 'video', '', 'H264',
             NULL FROM range({TRACKS}) r(i);
         INSERT INTO segment
             SELECT track, hash(i), t, t + INTERVAL 1 MINUTE, NULL, 500000, 500000, 1, 1,
                 strftime(t, '%Y-%m-%dT%H:%M:%SZ'), t, 2147483647,
                 strftime(t + INTERVAL 1 MINUTE, '%Y-%m-%dT%H:%M:%SZ'), t + INTERVAL 1 MINUTE,
                 2147483647, 0, 1, 20000000 + hash(i) % 10000000, encode('f' || hash(i)), 1
             FROM (SELECT i, (i // 60) % {TRACKS} AS track,
                       make_timestamp(({START} + (i // ({TRACKS} * 60)) * 3600 + (i % 60) * 60)
                                      * 1000000) AS t
                   FROM range({rows}) r(i) WHERE i % 10 <> 9);
         INSERT INTO span
             SELECT track_id, start_time, start_time + INTERVAL 9 MINUTE FROM segment
             WHERE epoch(start_time) % 600 = 0;
         INSERT INTO event
             SELECT hash(i), make_timestamp(({START} + (i // {events_an_hour}) * 3600) * 1000000
                     + (i % ({events_an_hour} // 10)) * (36000000000 // {events_an_hour})),
                 500000, 1, hash(i // 2) % {TRACKS}, NULL,
                 (i % {events_an_hour}) // ({events_an_hour} // 10 + 1), NULL, NULL, NULL,
                 'Source=1', 'State=' || (i % 2 = 0), true, 1
             FROM range({EVENTS}) r(i);
         INSERT INTO property
             SELECT topic_id, recording_id, NULL, source_items, min(time) FROM event
             GROUP BY ALL;
         COMMIT; CHECKPOINT;"
    ))
    .unwrap();
    let count = |table: &str| -> i64 {
        db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    println!(
        "(generated {} segments, {} spans, {} events, {} MB in {:.0} s)",
        count("segment"),
        count("span"),
        count("event"),
        std::fs::metadata(file).unwrap().len() / 1_000_000,
        started.elapsed().as_secs_f64()
    );
}

fn opening_and_reading(file: &Path) {
    let mut opened = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        let found = DuckDbIndex::open(Options::new(file)).unwrap();
        assert_eq!(found.recovered, None);
        opened.push(started.elapsed());
    }
    line("start-up, 1 M spans, 10 M segments and events (p50)", p50(&mut opened), None, "ms");
    let db = Connection::open(file).unwrap();
    db.execute_batch("INSERT INTO dirty_track SELECT id FROM track_name").unwrap();
    drop(db);
    let started = Instant::now();
    let index = DuckDbIndex::open(Options::new(file)).unwrap().index;
    let killed = started.elapsed().as_secs_f64() * 1000.0;
    line("start-up after a kill, spans of all tracks computed anew", killed, None, "ms");
    drop(index);
    let before = resident_mb();
    let index = DuckDbIndex::open(Options::new(file)).unwrap().index;
    line("resident memory after start-up, above before", resident_mb() - before, None, "MB");
    // The writer reads all keys meanwhile; wait for it, so that it does not disturb.
    block_on(index.apply(Batch::default())).unwrap();
    looking_up(&*index.snapshot());
    querying(&*index.snapshot());
    line("resident memory after the queries, above before", resident_mb() - before, None, "MB");
    drop(index);
    let index = DuckDbIndex::open(Options::new(file)).unwrap().index;
    let started = Instant::now();
    block_on(index.apply(as_batch(vec![segment(1, 5_000_000)]))).unwrap();
    let first = started.elapsed().as_secs_f64() * 1000.0;
    line("first batch right after start-up (waits for all keys)", first, None, "ms");
    changing(&index);
    line("resident memory after batches, above before", resident_mb() - before, None, "MB");
    drop(index);
    plain_queries(file);
}

fn looking_up(snapshot: &dyn Snapshot) {
    const LOOKUPS: u64 = 1_000_000;
    let queries: Vec<SpanQuery> = (0..1000)
        .map(|i| SpanQuery {
            track: TrackToken::new(format!("yard-{}-video", random(i) % TRACKS)),
            range: UtcRange::clamped(instant(i), Utc::MAX),
            direction: if i % 2 == 0 { Direction::Forward } else { Direction::Reverse },
            limit: 1,
            after: None,
        })
        .collect();
    let started = Instant::now();
    let mut found = 0;
    for i in 0..LOOKUPS {
        found += snapshot.spans(&queries[i as usize % queries.len()]).unwrap().items.len();
    }
    let each = started.elapsed().as_secs_f64() * 1e6 / LOOKUPS as f64;
    assert!(found > 900_000);
    line("look-up of a span", each, None, "µs");
}

/// The questions of a day's work, in the order (a) to (f).
fn querying(snapshot: &dyn Snapshot) {
    let segments = |i: u64, tracks: u64, hours: i64, limit: usize| {
        let at = instant(i);
        let select = SegmentSelect {
            tracks: Some((0..tracks).map(|t| track(i * 77 + t)).collect()),
            range: UtcRange::clamped(at, at.plus_us(hours * 3_600_000_000)),
            states: None,
            direction: Direction::Forward,
            limit,
            after: None,
        };
        snapshot.segments(&select).unwrap().items.len()
    };
    measure("(a) segments of one track, one hour", |i| segments(i, 1, 1, 1000));
    measure("(a) 100 segments of 64 tracks, one day", |i| segments(i, 64, 24, 100));
    measure("(a) 100 segments of one track, everything", |i| {
        let select = SegmentSelect {
            tracks: Some(vec![track(i)]),
            range: UtcRange::ALL,
            states: None,
            direction: if i % 2 == 0 { Direction::Forward } else { Direction::Reverse },
            limit: 100,
            after: None,
        };
        snapshot.segments(&select).unwrap().items.len()
    });
    measure("(b) spans of 64 tracks, one day", |i| {
        let at = instant(i);
        let query = |t| SpanQuery {
            track: track(i * 77 + t),
            range: UtcRange::clamped(at, at.plus_us(86_400_000_000)),
            direction: Direction::Forward,
            limit: usize::MAX,
            after: None,
        };
        (0..64).map(|t| snapshot.spans(&query(t)).unwrap().items.len()).sum()
    });
    measure("(c) summary", |_| snapshot.summary().unwrap().recordings as usize);
    for (direction, name) in [(Direction::Forward, "ascending"), (Direction::Reverse, "descending")]
    {
        measure(&format!("(d) 100 events of a topic, {name}"), |i| {
            let select = EventSelect {
                scope: Scope::all(),
                from: if direction == Direction::Forward { instant(i) } else { Utc::MIN },
                to: if direction == Direction::Reverse { instant(i) } else { Utc::MAX },
                topics: Some(vec![topic(i)]),
                direction,
                limit: 100,
                after: None,
            };
            snapshot.events(&select).unwrap().items.len()
        });
    }
    measure("(e) segments of one track around an instant", |i| {
        snapshot.segments_around(&track(i), instant(i)).unwrap().len()
    });
    measure("(e) segments of 64 tracks at an instant", |i| {
        let at = instant(i);
        let select = SegmentSelect {
            tracks: Some((0..64).map(|t| track(i * 77 + t)).collect()),
            range: UtcRange::clamped(at, at.plus_us(1)),
            states: None,
            direction: Direction::Forward,
            limit: 1000,
            after: None,
        };
        snapshot.segments(&select).unwrap().items.len()
    });
    measure("(f) state of a topic of 64 recordings at an instant", |i| {
        let token = |t| RecordingToken::new(format!("yard-{}", random(i * 77 + t) % TRACKS));
        let query = StateQuery {
            scope: Scope { recordings: Some((0..64).map(token).collect()) },
            at: instant(i),
            topics: Some(vec![topic(i)]),
        };
        snapshot.state_at(&query).unwrap().len()
    });
}

fn measure(what: &str, mut query: impl FnMut(u64) -> usize) {
    let mut found = 0;
    let mut times = Vec::new();
    for i in 0..REPEATS as u64 {
        let started = Instant::now();
        found += query(i);
        times.push(started.elapsed());
    }
    assert!(found > 0, "{what} finds nothing");
    let p50 = p50(&mut times);
    let p99 = times[REPEATS * 99 / 100].as_secs_f64() * 1000.0;
    line(&format!("{what} (p99 {p99:.1} ms)"), p50, None, "ms");
}

/// The same questions as a plain connection would ask them.
fn plain_queries(file: &Path) {
    let db = Connection::open(file).unwrap();
    db.execute_batch("SET memory_limit = '96MB'; SET threads = 2").unwrap();
    let count = |sql: String| {
        let mut statement = db.prepare(&sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        let mut n = 0;
        while rows.next().unwrap().is_some() {
            n += 1;
        }
        n
    };
    let time = |t: Utc| format!("make_timestamp({})", t.micros());
    measure("plain: (a) segments of one track, one hour", |i| {
        let at = instant(i);
        count(format!(
            "SELECT * FROM segment WHERE track_id = {} AND start_time < {} AND end_time > {}
             ORDER BY start_time, id",
            random(i) % TRACKS,
            time(at.plus_us(3_600_000_000)),
            time(at)
        ))
    });
    measure("plain: (d) 100 events of a topic, ascending", |i| {
        count(format!(
            "SELECT * FROM event WHERE topic_id = {} AND time >= {} ORDER BY time, id LIMIT 100",
            random(i) % 10,
            time(instant(i))
        ))
    });
    measure("plain: (d) 100 events of a topic, descending", |i| {
        count(format!(
            "SELECT * FROM event WHERE topic_id = {} AND time <= {}
             ORDER BY time DESC, id DESC LIMIT 100",
            random(i) % 10,
            time(instant(i))
        ))
    });
}

/// Batches that change what is there, among ten million rows.
fn changing(index: &DuckDbIndex) {
    let mut times = Vec::new();
    for i in 0..50 {
        let select = SegmentSelect {
            tracks: Some((0..64).map(|t| track(i * 77 + t)).collect()),
            range: UtcRange::clamped(instant(i), instant(i).plus_us(180_000_000)),
            states: None,
            direction: Direction::Forward,
            limit: 167,
            after: None,
        };
        let mut rows = index.snapshot().segments(&select).unwrap().items;
        rows.iter_mut().for_each(|s| s.end.utc = s.end.utc.plus_us(1_000_000));
        let started = Instant::now();
        block_on(index.apply(as_batch(rows))).unwrap();
        times.push(started.elapsed());
    }
    line("a batch that extends 167 of 10 M segments (p50)", p50(&mut times), None, "ms");
}

fn track(i: u64) -> TrackToken {
    TrackToken::new(format!("yard-{}-video", random(i) % TRACKS))
}

fn topic(i: u64) -> Topic {
    Topic::new(format!("tns1:Some/Topic{}", random(i) % 10))
}

fn instant(i: u64) -> Utc {
    let span = (HOURS - 30) * 3600 * 1_000_000;
    Utc::from_secs(START + 3600).plus_us((random(i ^ 0xabcd) % span) as i64)
}

fn random(i: u64) -> u64 {
    let mut z = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 31)
}

/// In milliseconds.
fn p50(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or_default();
    let kb = line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok());
    kb.unwrap_or(f64::NAN) / 1000.0
}
