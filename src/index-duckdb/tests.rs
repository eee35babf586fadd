//! The contract suite on DuckDB, and what only a database on disk can do wrong.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use futures::executor::block_on;

use dvrgate_index::{Applied, Batch, Change, Index, Scope, SegmentSelect, SpanQuery, contract};
use dvrgate_model::{
    ChannelId, Direction, EventId, EventOrigin, Items, Locator, Origin, Reason, Recording,
    RecordingEvent, RecordingStatus, RecordingToken, Segment, SegmentId, SegmentState,
    SourceInformation, SourceTime, Stamp, StreamKind, SyncRunId, Topic, Track, TrackKind,
    TrackToken, Utc, UtcRange, ZoneClaim,
};

use crate::{DuckDbIndex, Opened, Options};

const FILE: &str = "index.duckdb";

fn try_open(dir: &Path) -> Opened {
    DuckDbIndex::open(Options::new(dir.join(FILE))).unwrap()
}

fn open(dir: &Path) -> DuckDbIndex {
    let opened = try_open(dir);
    assert_eq!(opened.recovered, None);
    opened.index
}

fn track() -> TrackToken {
    "yard-1-video".into()
}

/// The `n`th minute of a track, touching the one before.
fn minute(n: u64) -> Segment {
    let at = |s: i64| Utc::from_secs(1_790_000_000 + s);
    let source = |t: Utc| {
        SourceTime::from_civil(
            dvrgate_model::Civil::from_micros_as_if_utc(t.micros()),
            ZoneClaim::Utc,
        )
    };
    let (start, end) = (at(n as i64 * 60), at(n as i64 * 60 + 60));
    Segment {
        id: SegmentId(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        track: track(),
        start: Stamp::exact(start),
        end: Stamp::exact(end),
        source: (source(start), source(end)),
        reason: Reason::Continuous,
        state: SegmentState::Closed,
        locator: Locator(format!("file-{n}").into_bytes().into()),
        bytes: Some(n * 1000),
        seen: SyncRunId(1),
    }
}

fn minutes(numbers: std::ops::Range<u64>) -> Batch {
    let change = |n| Change::Segment(Box::new(minute(n)));
    Batch { run: SyncRunId(1), changes: numbers.map(change).collect() }
}

fn stored(index: &dyn Index) -> Vec<Segment> {
    let select = SegmentSelect {
        tracks: Some(vec![track()]),
        range: UtcRange::ALL,
        states: None,
        direction: Direction::Forward,
        limit: usize::MAX,
        after: None,
    };
    index.snapshot().segments(&select).unwrap().items
}

fn spans(index: &dyn Index) -> Vec<UtcRange> {
    let query = SpanQuery {
        track: track(),
        range: UtcRange::ALL,
        direction: Direction::Forward,
        limit: usize::MAX,
        after: None,
    };
    index.snapshot().spans(&query).unwrap().items.into_iter().map(|s| s.range).collect()
}

#[test]
fn keeps_the_contract_of_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let mut n = 0;
    let mut make = || {
        n += 1;
        let path = dir.path().join(n.to_string());
        Arc::new(open(&path)) as Arc<dyn Index>
    };
    contract::histories(&mut make, 0..5, 9);
}

#[test]
fn a_history_goes_on_after_each_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = contract::History::new(77);
    for _ in 0..5 {
        let index = open(dir.path());
        history.compare(&*index.snapshot());
        for _ in 0..3 {
            history.step(&index);
        }
    }
}

#[test]
fn takes_many_writers() {
    let dir = tempfile::tempdir().unwrap();
    let index: Arc<dyn Index> = Arc::new(open(dir.path()));
    contract::concurrent_writers(&index);
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract_of_the_control_store() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    let check = move || {
        let runtime = tokio::runtime::Handle::current();
        let _inside = runtime.enter();
        contract::control(&index);
    };
    tokio::task::spawn_blocking(check).await.unwrap();
}

/// Says that this process is a child of a test, and which folder it works in.
const CHILD: &str = "DVRGATE_INDEX_CHILD";

/// This test binary again, running only `test`, in which [`CHILD`] is set.
fn child(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", &format!("tests::{test}"), "--nocapture"])
        .env(CHILD, dir)
        .stdin(Stdio::null());
    command
}

#[test]
fn a_killed_process_loses_no_acknowledged_batch() {
    use std::io::{BufRead, BufReader};
    const BATCH: u64 = 50;
    const BATCHES: u64 = 40;

    if let Some(dir) = std::env::var_os(CHILD) {
        let index = open(Path::new(&dir));
        for n in 0.. {
            block_on(index.apply(minutes(n * BATCH..(n + 1) * BATCH))).unwrap();
            println!("acknowledged {n}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mut child = child("a_killed_process_loses_no_acknowledged_batch", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some(n) = line.unwrap().split("acknowledged ").nth(1) {
            acknowledged = n.parse::<u64>().unwrap() + 1;
        }
        if acknowledged == BATCHES {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged >= BATCHES);

    let index = open(dir.path());
    let found = stored(&index);
    assert!(found.len() as u64 >= acknowledged * BATCH);
    assert_eq!(found.len() as u64 % BATCH, 0, "half a batch");
    let expected: Vec<Segment> = (0..found.len() as u64).map(minute).collect();
    assert_eq!(found, expected);
    let whole = UtcRange::new(found[0].start.utc, found[found.len() - 1].end.utc).unwrap();
    assert_eq!(spans(&index), [whole]);
    let again = block_on(index.apply(minutes(0..BATCH))).unwrap();
    assert_eq!(again, Applied::default());
}

/// Stands for a full disk: the kernel refuses to let any file of the process grow beyond this.
fn limit_file_size(current: Option<u64>) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // SAFETY: ignoring a signal installs no handler; without it the kernel would end the process.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current, maximum }).unwrap();
}

#[test]
fn a_full_disk_is_an_error_and_passes() {
    const LIMIT: u64 = 3 << 20;

    let Some(dir) = std::env::var_os(CHILD) else {
        let dir = tempfile::tempdir().unwrap();
        let run = child("a_full_disk_is_an_error_and_passes", dir.path()).output().unwrap();
        let output = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(run.status.success(), "{output}\n{}", String::from_utf8_lossy(&run.stderr));
        assert!(output.contains("written again"), "{output}");
        return;
    };
    let index = open(Path::new(&dir));
    block_on(index.apply(minutes(0..100))).unwrap();
    limit_file_size(Some(LIMIT));
    let mut written = 100;
    let error = loop {
        match block_on(index.apply(minutes(written..written + 2000))) {
            Ok(applied) => {
                assert_eq!(applied.segments_new, 2000);
                written += 2000;
            }
            Err(e) => break e,
        }
        assert!(written < 1_000_000, "the limit has no effect");
    };
    println!("refused after {written}: {error}");
    let refused = block_on(index.apply(minutes(written..written + 2000)));
    assert!(refused.is_err(), "still no space");
    limit_file_size(None);
    let applied = block_on(index.apply(minutes(written..written + 2000))).unwrap();
    assert_eq!(applied.segments_new, 2000, "nothing of a refused batch was kept");
    assert_eq!(stored(&index).len() as u64, written + 2000);
    drop(index);
    let index = open(Path::new(&dir));
    assert_eq!(stored(&index).len() as u64, written + 2000);
    assert_eq!(spans(&index).len(), 1);
    println!("written again");
}

/// A checkpoint that fails makes DuckDB refuse everything until it is opened anew.
#[test]
fn a_checkpoint_without_space_is_survived() {
    let Some(dir) = std::env::var_os(CHILD) else {
        let dir = tempfile::tempdir().unwrap();
        let run = child("a_checkpoint_without_space_is_survived", dir.path()).output().unwrap();
        let output = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(run.status.success(), "{output}\n{}", String::from_utf8_lossy(&run.stderr));
        assert!(output.contains("written again"), "{output}");
        return;
    };
    let index = open(Path::new(&dir));
    let threshold = |index: &DuckDbIndex| {
        let pool = index.shared.pool().unwrap();
        pool.read(|db| Ok(db.execute_batch("SET checkpoint_threshold = '1MB'")?)).unwrap();
    };
    threshold(&index);
    block_on(index.apply(minutes(0..20_000))).unwrap();
    let size = fs::metadata(Path::new(&dir).join(FILE)).unwrap().len();
    assert!(size > 1 << 20, "the first checkpoint has not happened: {size} bytes");
    limit_file_size(Some(size + 4096));
    let mut written = 20_000;
    let error = loop {
        match block_on(index.apply(minutes(written..written + 1000))) {
            Ok(_) => written += 1000,
            Err(e) => break e,
        }
        assert!(written < 1_000_000, "the limit has no effect");
    };
    println!("refused after {written}: {error}");
    limit_file_size(None);
    // The refused batch may be in the log already, or not at all, but not by half.
    let applied = block_on(index.apply(minutes(written..written + 1000))).unwrap();
    assert!([0, 1000].contains(&applied.segments_new), "{applied:?}");
    written += 1000;
    for _ in 0..2 {
        block_on(index.apply(minutes(written..written + 1000))).unwrap();
        written += 1000;
    }
    assert_eq!(stored(&index).len() as u64, written);
    drop(index);
    let index = open(Path::new(&dir));
    let expected: Vec<Segment> = (0..written).map(minute).collect();
    assert!(stored(&index) == expected, "the rows differ");
    assert_eq!(spans(&index).len(), 1);
    println!("written again");
}

#[test]
fn a_file_that_cannot_be_used_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE);
    let spoil: [(&str, &dyn Fn()); 4] = [
        ("garbage", &|| fs::write(&file, vec![0x5a; 100_000]).unwrap()),
        ("half a file", &|| {
            let bytes = fs::read(&file).unwrap();
            fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("a damaged header", &|| {
            let mut bytes = fs::read(&file).unwrap();
            bytes[4096..12288].fill(0xee);
            fs::write(&file, bytes).unwrap();
        }),
        ("a newer version", &|| {
            let db = duckdb::Connection::open(&file).unwrap();
            db.execute_batch("UPDATE schema_version SET version = 999").unwrap();
        }),
    ];
    for (n, (what, spoil)) in spoil.iter().enumerate() {
        let index = open(dir.path());
        block_on(index.apply(minutes(0..20_000))).unwrap();
        drop(index);
        spoil();
        let opened = try_open(dir.path());
        let told = opened.recovered.unwrap_or_else(|| panic!("{what} went unnoticed"));
        let aside = format!("index.duckdb.corrupt-{}", n + 1);
        assert!(told.contains(&aside), "{what}: {told}");
        assert!(dir.path().join(aside).exists(), "{what}");
        assert_eq!(stored(&opened.index), []);
        let applied = block_on(opened.index.apply(minutes(0..10))).unwrap();
        assert_eq!(applied.segments_new, 10, "{what}");
        drop(opened.index);
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn every_truncation_is_noticed_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE);
    let index = open(dir.path());
    block_on(index.apply(minutes(0..30_000))).unwrap();
    drop(index);
    let bytes = fs::read(&file).unwrap();
    for cut in (0..bytes.len()).step_by(bytes.len() / 12) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), &bytes[..cut]).unwrap();
        let opened = try_open(dir.path());
        let kept = stored(&opened.index).len();
        assert!(
            kept == 30_000 || (kept == 0 && (opened.recovered.is_some() || cut == 0)),
            "cut at {cut} of {}: {kept} rows, {:?}",
            bytes.len(),
            opened.recovered
        );
    }
}

/// What a power cut leaves: the log ends anywhere.
#[test]
fn a_torn_log_keeps_every_whole_batch() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    for n in 0..10 {
        block_on(index.apply(minutes(n * 50..(n + 1) * 50))).unwrap();
    }
    let database = fs::read(dir.path().join(FILE)).unwrap();
    let log = fs::read(dir.path().join("index.duckdb.wal")).unwrap();
    for cut in (0..=log.len()).step_by(log.len() / 25) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), &database).unwrap();
        fs::write(dir.path().join("index.duckdb.wal"), &log[..cut]).unwrap();
        let opened = try_open(dir.path());
        let found = stored(&opened.index);
        assert_eq!(found.len() % 50, 0, "half a batch after {cut} of {}", log.len());
        let expected: Vec<Segment> = (0..found.len() as u64).map(minute).collect();
        assert_eq!(found, expected);
        assert_eq!(spans(&opened.index).len(), usize::from(!found.is_empty()));
        if cut == log.len() {
            assert_eq!(found.len(), 500);
        }
    }
}

#[test]
fn a_file_in_use_is_left_alone() {
    let Some(dir) = std::env::var_os(CHILD) else {
        let dir = tempfile::tempdir().unwrap();
        let index = open(dir.path());
        block_on(index.apply(minutes(0..10))).unwrap();
        let run = child("a_file_in_use_is_left_alone", dir.path()).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        assert_eq!(stored(&index).len(), 10);
        assert!(!dir.path().join("index.duckdb.corrupt-1").exists());
        return;
    };
    let error = DuckDbIndex::open(Options::new(Path::new(&dir).join(FILE))).unwrap_err();
    assert_eq!(error.kind(), dvrgate_model::ErrorKind::Conflict, "{error}");
}

/// The memory limit bounds what a query holds, not what it can answer.
#[test]
fn a_query_beyond_the_memory_limit_spills_beside_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { memory_limit_bytes: 32 << 20, ..Options::new(dir.path().join(FILE)) };
    let index = DuckDbIndex::open(options).unwrap().index;
    let pool = index.shared.pool().unwrap();
    let sql = "SELECT count(*), (SELECT max(memory_limit) FROM pragma_database_size())
               FROM (SELECT row_number() OVER (ORDER BY hash(a)) AS place, a
                     FROM range(3000000) r(a)) WHERE place <> a";
    let (rows, limit): (i64, String) =
        pool.read(|db| Ok(db.query_row(sql, [], |r| Ok((r.get(0)?, r.get(1)?)))?)).unwrap();
    assert!(rows > 2_900_000, "{rows}");
    assert_eq!(limit, "32.0 MiB");
}

/// The documented views, with at least these columns.
#[test]
fn users_find_the_documented_views() {
    const VIEWS: [(&str, &str); 7] = [
        (
            "devices",
            "id, vendor, model, serial, firmware, address, state, time_zone, clock_offset_us, \
             clock_uncertainty_us, clock_checked_at, last_sync_at",
        ),
        (
            "recordings",
            "token, device_id, channel, source_name, location, description, content, earliest, \
             latest, status",
        ),
        (
            "tracks",
            "token, recording_token, kind, codec, width, height, frame_rate, sample_rate, \
             channels, data_from, data_to",
        ),
        (
            "segments",
            "recording_token, track_token, start_time, end_time, source_start, source_end, \
             reason, state, bytes, locator, clock_epoch",
        ),
        ("spans", "recording_token, track_token, start_time, end_time"),
        (
            "events",
            "recording_token, track_token, time, source_time, topic, source_items, data_items, \
             is_property, state, origin",
        ),
        (
            "clock_epochs",
            "id, device_id, valid_from, valid_to, offset_us, drift_ppb, measured_at, time_zone, \
             basis, uncertainty_us",
        ),
    ];
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    let recording = RecordingToken::new("yard-1");
    let mut batch = minutes(0..3);
    batch.changes.push(Change::Recording(Box::new(Recording {
        token: recording.clone(),
        source: SourceInformation { name: "Gate".into(), ..SourceInformation::default() },
        content: String::new(),
        tracks: vec![Track {
            token: track(),
            kind: TrackKind::Video,
            description: String::new(),
            codec: Some(dvrgate_model::Codec::H264),
            params: Some(dvrgate_model::CodecParams {
                width: 1920,
                height: 1080,
                frame_rate: Some((25, 1)),
                ..dvrgate_model::CodecParams::new(dvrgate_model::Codec::H264)
            }),
            data: None,
        }],
        retention: None,
        origin: Origin::Device {
            device: "yard".into(),
            channel: ChannelId(1),
            stream: StreamKind::Main,
        },
        status: RecordingStatus::Recording,
    })));
    batch.changes.push(Change::Event(Box::new(RecordingEvent {
        id: EventId(1),
        recording,
        track: None,
        at: Stamp::exact(minute(0).start.utc),
        source: None,
        topic: Topic::new("tns1:VideoSource/MotionAlarm"),
        items: Items::new([("Source", "1")], [("State", "true")]),
        property: true,
        origin: EventOrigin::Live,
    })));
    block_on(index.apply(batch)).unwrap();
    block_on(index.flush()).unwrap();
    assert_eq!(index.snapshot().recordings(&Scope::all()).unwrap().len(), 1);
    drop(index);

    let db = duckdb::Connection::open(dir.path().join(FILE)).unwrap();
    for (view, columns) in VIEWS {
        db.execute_batch(&format!("SELECT {columns} FROM {view}")).unwrap();
    }
    let text = |sql: &str| db.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let track = "SELECT width || 'x' || height || '@' || frame_rate || ' ' || (data_to - data_from)
                 FROM tracks";
    assert_eq!(text(track), "1920x1080@25.0 00:03:00");
    let recording = "SELECT token || ' ' || (latest - earliest) || ' ' || status FROM recordings";
    assert_eq!(text(recording), "yard-1 00:03:00 recording");
    let segments = "SELECT count(*) || ' ' || min(state) || ' ' || max(reason) FROM segments";
    assert_eq!(text(segments), "3 closed continuous");
    let event = "SELECT recording_token || ' ' || topic || ' ' || state || ' ' || origin
                 FROM events";
    assert_eq!(text(event), "yard-1 tns1:VideoSource/MotionAlarm true live");
    let spans = "SELECT recording_token || ' ' || track_token || ' ' || start_time FROM spans";
    assert_eq!(text(spans), "yard-1 yard-1-video 2026-09-21 14:13:20");
}
