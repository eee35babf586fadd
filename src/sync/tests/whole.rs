//! Whole passes: the index equals the recorder's truth.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dvrgate_adapter::ListOrder;
use dvrgate_adapter::SourceEvent;
use dvrgate_index::{Index, encodings};
use dvrgate_model::ports::Clock;
use dvrgate_model::{
    ChannelId, ClockEpochId, Codec, DeviceState, ErrorKind, EventOrigin, Items, RecordingEvent,
    SegmentState, SourceRange, SourceTime, TrackToken, Utc, UtcRange, ZoneClaim, topics,
};

use super::recorder::{Bench, Manners, Recorder, civil, device, syncer};
use crate::{Counts, Why};

const NOW: &str = "2026-11-25T12:00:00.300Z";

const TWO_CHANNELS: &str = r#"
[clock]
offset_s = 137.25
zone = "Europe/Bratislava"
[storage]
file = "10m"
[[channel]]
id = 1
name = "Gate"
audio = true
[[channel.recorded]]
from = "-9h"
to = "-5h"
[[channel.recorded]]
from = "-4h"
to = "now"
[[channel]]
id = 4
[[channel.recorded]]
from = "-20d"
to = "-1h"
every = "3h"
lasting = "45s"
reason = "motion"
[[event]]
at = "-3h"
until = "-2h58m"
kind = "motion"
channel = 4
[[event]]
at = "-2d"
kind = "disk-full"
[[event]]
at = "-1d"
kind = "power-on"
"#;

#[tokio::test(start_paused = true)]
async fn the_index_equals_the_recorder_and_a_second_sync_changes_nothing() {
    let bench = Bench::new(TWO_CHANNELS, NOW, Manners::default());
    let report = bench.sync().await.unwrap();
    assert!(report.complete && report.errors.is_empty(), "{report:?}");
    assert_eq!(report.clock, Some(Why::First));
    let m = report.measured.unwrap();
    assert!((m.offset_us - 137_250_000).abs() <= m.uncertainty_us as i64, "{m:?}");
    assert!(m.uncertainty_us <= 20_000, "finer than the second it shows: {m:?}");
    bench.assert_true(1);
    bench.assert_true(4);
    // R5.1-2
    assert_eq!(bench.tracks(1), ["yard-1-video", "yard-1-audio", "yard-1-metadata"]);
    assert_eq!(bench.tracks(4), ["yard-4-video", "yard-4-metadata"]);
    assert!(bench.segments("yard-4-video").iter().all(|s| s.2 == "motion"));
    let growing = |s: &&(u64, _, _, SegmentState)| s.3 == SegmentState::Growing;
    assert_eq!(bench.segments("yard-1-video").iter().filter(growing).count(), 1);
    assert_eq!(report.unknown_codes.into_iter().collect::<Vec<_>>(), [("other".into(), 1)]);

    let again = bench.sync().await.unwrap();
    assert!(again.complete);
    // A few seconds passed while the clock was measured: what grows has grown, nothing else.
    assert_eq!((again.counts.segments_new, again.counts.segments_gone), (0, 0));
    assert!(again.counts.segments_changed <= 2, "{again:?}");
    assert!(again.windows < report.windows, "{} then {}", report.windows, again.windows);
    let frozen = Bench { syncer: bench.syncer.clone(), ..bench };
    frozen.recorder.manners.lock().reads_clock = false;
    let third = frozen.sync().await.unwrap();
    let fourth = frozen.sync().await.unwrap();
    assert_eq!(fourth.counts, Counts::default(), "{third:?}");
}

/// R4-2, R6.9-13, R6.9-14, R6.17-1, R6.17-2, R6.17-3, R6.17-4: history alternates, begins with true, and lies in the data.
#[tokio::test(start_paused = true)]
async fn history_follows_the_spans() {
    let bench = Bench::new(TWO_CHANNELS, NOW, Manners::default());
    bench.sync().await.unwrap();
    let own = bench.events().into_iter().filter(|e| e.origin == EventOrigin::Derived);
    assert!(own.clone().count() > 0);
    assert!(own.into_iter().all(|e| e.topic.as_str().starts_with("tns1:RecordingHistory/")));
    for (topic, track) in [
        (topics::TRACK_STATE, Some("yard-1-video")),
        (topics::TRACK_STATE, Some("yard-1-audio")),
        (topics::TRACK_STATE, Some("yard-1-metadata")),
        (topics::TRACK_STATE, Some("yard-4-video")),
        (topics::RECORDING_STATE, None),
    ] {
        let of_track: Vec<_> = bench
            .events()
            .into_iter()
            .filter(|e| e.topic.as_str() == topic && e.origin == EventOrigin::Derived)
            .filter(|e| e.track.as_ref().map(|t| t.as_str()) == track)
            .filter(|e| {
                e.recording.as_str()
                    == if track == Some("yard-4-video") { "yard-4" } else { "yard-1" }
            })
            .collect();
        let spans = bench.spans(track.unwrap_or("yard-1-video"));
        let edges: Vec<_> =
            spans.iter().flat_map(|s| [(s.start(), "true"), (s.end(), "false")]).collect();
        let told: Vec<_> =
            of_track.iter().map(|e| (e.at.utc, e.items.data[0].value.as_str())).collect();
        assert_eq!(told, edges, "{topic} {track:?}");
        let names: Vec<_> = of_track[0].items.source.iter().map(|i| i.name.as_str()).collect();
        let data = of_track[0].items.data[0].name.as_str();
        match track {
            Some(_) => {
                assert_eq!((names, data), (vec!["RecordingToken", "Track"], "IsDataPresent"))
            }
            None => assert_eq!((names, data), (vec!["RecordingToken"], "IsRecording")),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_becomes_events() {
    let bench = Bench::new(TWO_CHANNELS, NOW, Manners::default());
    bench.sync().await.unwrap();
    let now = bench.recorder.clock.utc();
    let log: Vec<_> = bench.events().into_iter().filter(|e| e.origin == EventOrigin::Log).collect();
    let told: Vec<_> = log
        .iter()
        .map(|e| {
            let hours = now.since_us(e.at.utc) as f64 / 3.6e9;
            (
                e.recording.as_str(),
                e.topic.as_str(),
                e.items.data[0].value.as_str(),
                (hours * 10.0).round(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("yard-1", "tns1:Device/HardwareFailure/StorageFailure", "true", 480.0),
            ("yard-4", topics::MOTION_ALARM, "true", 30.0),
            ("yard-4", topics::MOTION_ALARM, "false", 30.0),
        ]
    );
    assert_eq!(log[0].items.source[0].value, "yard", "the recorder itself");
    assert!(log.iter().all(|e| e.property && e.source.is_some()));
}

/// Pages, caps, and orders of listing make no difference.
#[tokio::test(start_paused = true)]
async fn caps_and_orders_make_no_difference() {
    let easy = Bench::new(TWO_CHANNELS, NOW, Manners::default());
    easy.sync().await.unwrap();
    for (page, cap, order) in [
        (3, Some(7), ListOrder::OldestFirst),
        (1, Some(1), ListOrder::OldestFirst),
        (5, Some(20), ListOrder::NewestFirst),
        (40, None, ListOrder::Unordered),
    ] {
        let manners = Manners { page, cap, order, ..Manners::default() };
        let bench = Bench::new(TWO_CHANNELS, NOW, manners);
        let report = bench.sync().await.unwrap();
        assert!(report.complete && report.errors.is_empty(), "{report:?}");
        assert_eq!(report.halved > 0, cap.is_some());
        for track in ["yard-1-video", "yard-1-audio", "yard-1-metadata", "yard-4-video"] {
            let ids = |b: &Bench| b.segments(track).iter().map(|s| s.0).collect::<Vec<_>>();
            assert_eq!(ids(&bench), ids(&easy), "page {page}, cap {cap:?}, {order:?}");
        }
        bench.assert_true(1);
        bench.assert_true(4);
        assert_eq!(bench.events().len(), easy.events().len());
    }
}

/// A recorder that answers narrow windows only is asked in pieces, not in halves, and a window of
/// many pieces is one batch.
#[tokio::test(start_paused = true)]
async fn narrow_windows_are_asked_for_one_by_one() {
    let easy = Bench::new(TWO_CHANNELS, NOW, Manners::default());
    easy.sync().await.unwrap();
    let max_window = Some(Duration::from_secs(24 * 3600));
    let bench = Bench::new(TWO_CHANNELS, NOW, Manners { max_window, ..Manners::default() });
    let report = bench.sync().await.unwrap();
    assert!(report.complete && report.errors.is_empty(), "{report:?}");
    assert_eq!(report.halved, 0);
    assert!(report.windows < 30 && report.pages > 2 * 40, "{report:?}");
    for track in ["yard-1-video", "yard-4-video"] {
        let ids = |b: &Bench| b.segments(track).iter().map(|s| s.0).collect::<Vec<_>>();
        assert_eq!(ids(&bench), ids(&easy));
    }
    assert_eq!(bench.events().len(), easy.events().len());
}

/// Cut off after any number of requests, the next sync completes the work.
#[tokio::test(start_paused = true)]
async fn a_sync_that_is_cut_off_goes_on_where_it_was() {
    let whole = Bench::new(TWO_CHANNELS, NOW, Manners::default());
    whole.sync().await.unwrap();
    let requests = whole.recorder.lists.load(Ordering::SeqCst);
    let bench = Bench::new(TWO_CHANNELS, NOW, Manners::default());
    let mut spent = 0;
    for after in (1..requests).step_by(3) {
        // A gateway that was killed: only the index is left.
        let syncer = syncer(&bench.recorder, &bench.index, &bench.published, None);
        bench.recorder.lists.store(0, Ordering::SeqCst);
        *bench.recorder.fails.lock() = Some((after, ErrorKind::Unreachable));
        let outcome = syncer.sync_device(&"yard".into(), &|_| {}).await;
        spent += bench.recorder.lists.load(Ordering::SeqCst);
        if outcome.is_ok() {
            break;
        }
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unreachable);
        let record = bench.index.snapshot().device(&"yard".into()).unwrap();
        assert_eq!(record.map(|r| r.state), Some(DeviceState::Unreachable));
    }
    *bench.recorder.fails.lock() = None;
    bench.recorder.clock.advance(Duration::from_secs(600));
    bench.syncer.devices()[0].reset();
    assert!(bench.sync().await.unwrap().complete);
    bench.assert_true(1);
    bench.assert_true(4);
    assert!(spent > requests, "it was really cut off");
}

#[tokio::test(start_paused = true)]
async fn what_was_overwritten_is_gone() {
    let bench = Bench::new(TWO_CHANNELS, NOW, Manners::default());
    bench.sync().await.unwrap();
    let now = bench.recorder.clock.utc();
    bench.recorder.archive.overwrite_before(now.plus_us(-6 * 3_600_000_000));
    let report = bench.sync().await.unwrap();
    // Six of the files of ten minutes, for three tracks; and the motion of nineteen days.
    assert!(report.counts.segments_gone > 30 + 100, "{report:?}");
    bench.assert_true(1);
    bench.assert_true(4);
    let first = bench
        .events()
        .into_iter()
        .find(|e| e.track.as_ref().is_some_and(|t| t.as_str() == "yard-1-video"));
    let first = first.unwrap();
    // R6.17-9: the first event of a track stays true, at its new start.
    assert_eq!(first.items.data[0].value, "true");
    assert_eq!(first.at.utc, bench.spans("yard-1-video")[0].start());
    let gone = |s: &&(u64, _, _, SegmentState)| s.3 == SegmentState::Gone;
    assert!(bench.segments("yard-1-video").iter().filter(gone).count() > 10, "rows stay");
    let again = bench.sync().await.unwrap();
    assert_eq!(again.counts.segments_gone, 0);
}

#[tokio::test(start_paused = true)]
async fn what_grows_is_extended_closed_and_published() {
    let bench = Bench::new(TWO_CHANNELS, NOW, Manners::default());
    bench.sync().await.unwrap();
    assert!(bench.published.0.lock().is_empty(), "what is old is no news");
    for _ in 0..5 {
        bench.recorder.clock.advance(Duration::from_secs(420));
        let report = bench.sync().await.unwrap();
        assert!(report.counts.segments_changed >= 2, "{report:?}");
        bench.assert_true(1);
    }
    let now = bench.recorder.clock.utc();
    let truth = bench.recorder.archive.pieces(1, UtcRange::ALL, now);
    assert_eq!(bench.segments("yard-1-video").len(), truth.len());
    let growing = bench.segments("yard-1-video");
    assert_eq!(growing.iter().filter(|s| s.3 == SegmentState::Growing).count(), 1);
    assert!(bench.published.0.lock().is_empty(), "it only went on");
}

const AUTUMN: &str = r#"
[clock]
offset_s = -41.0
zone = "Europe/Bratislava"
[storage]
file = "7m"
[[channel]]
id = 1
[[channel.recorded]]
from = "2026-10-24T18:00:00Z"
to = "2026-10-25T00:40:00Z"
[[channel.recorded]]
from = "2026-10-25T00:52:00Z"
to = "2026-10-25T09:00:00Z"
"#;

/// Footage across the autumn change: every file is where it was, both times the hour was shown.
#[tokio::test(start_paused = true)]
async fn the_doubled_hour_is_told_by_the_order_of_the_listing() {
    for (now, cap) in [
        ("2026-10-25T11:00:00.7Z", None),
        ("2026-10-25T02:20:00Z", None),
        ("2026-10-25T01:31:00Z", Some(25)),
    ] {
        let manners = Manners { cap, ..Manners::default() };
        let bench = Bench::new(AUTUMN, now, manners);
        bench.sync().await.unwrap();
        bench.assert_true(1);
        let truth = bench.recorder.archive.pieces(1, UtcRange::ALL, bench.recorder.clock.utc());
        let segments = bench.segments("yard-1-video");
        assert_eq!(segments.len(), truth.len());
        for (ours, theirs) in segments.iter().zip(&truth) {
            let apart = ours.1.start().since_us(theirs.range.start()).abs();
            assert!(apart <= 1_100_000, "{now}: {} is {}", ours.1, theirs.range);
        }
        let again = bench.sync().await.unwrap();
        assert_eq!((again.counts.segments_new, again.counts.segments_gone), (0, 0), "{again:?}");
    }
}

/// A cap that is too low even for the doubled hour breaks the order of the listing; what cannot be
/// told apart says so.
#[tokio::test(start_paused = true)]
async fn a_cap_inside_the_doubled_hour_is_honest() {
    for cap in [4, 6, 9] {
        let manners = Manners { cap: Some(cap), ..Manners::default() };
        let bench = Bench::new(AUTUMN, "2026-10-25T11:00:00.7Z", manners);
        let report = bench.sync().await.unwrap();
        assert!(report.complete && report.errors.is_empty(), "{report:?}");
        let now = bench.recorder.clock.utc();
        let truth = bench.recorder.archive.pieces(1, UtcRange::ALL, now);
        let tracks = [TrackToken::from("yard-1-video")];
        let segments =
            crate::restate::all_segments(&*bench.index.snapshot(), &tracks, UtcRange::ALL).unwrap();
        assert_eq!(segments.len(), truth.len(), "cap {cap}");
        for s in segments {
            let id = String::from_utf8_lossy(&s.locator.0).into_owned();
            let theirs = truth.iter().find(|p| format!("f{}", p.range.start().micros()) == id);
            let apart = s.start.utc.since_us(theirs.unwrap().range.start()).unsigned_abs();
            assert!(apart <= 1_000_000 + s.start.uncertainty_us, "cap {cap}: {s:?}");
        }
    }
}

/// R4-1, R5.1-3, R6.17-1: a channel that is set to another encoding goes on in a track of its own;
/// the recording goes on.
#[tokio::test(start_paused = true)]
async fn another_encoding_is_another_track() {
    let bench = Bench::new(TWO_CHANNELS, NOW, Manners::default());
    bench.sync().await.unwrap();
    let changed = bench.recorder.clock.utc();
    bench.recorder.manners.lock().codec = Codec::H265;
    bench.recorder.clock.advance(Duration::from_secs(3600));
    assert!(bench.sync().await.unwrap().complete);
    let recording = bench.index.snapshot().recording(&"yard-1".into()).unwrap().unwrap();
    let codecs: Vec<_> =
        encodings::video_tracks(&recording).map(|t| (t.token.as_str(), t.codec.unwrap())).collect();
    assert_eq!(codecs, [("yard-1-video", Codec::H264), ("yard-1-video-2", Codec::H265)]);
    let (before, after) = (bench.spans("yard-1-video"), bench.spans("yard-1-video-2"));
    let border = after[0].start();
    assert_eq!((after.len(), before.last().unwrap().end()), (1, border));
    assert!((0..=600_000_000).contains(&border.since_us(changed)), "a file is not split");
    // Sound and metadata know nothing of it, and the recording never stopped.
    let sound = bench.spans("yard-1-audio");
    assert_eq!(sound.last().unwrap().end(), after[0].end());
    let edges = |topic: &str, track: Option<&str>| -> Vec<(Utc, String)> {
        let is = |e: &RecordingEvent| {
            e.recording.as_str() == "yard-1"
                && e.topic.as_str() == topic
                && e.track.as_ref().map(|t| t.as_str()) == track
        };
        let events = bench.events().into_iter().filter(is);
        events.map(|e| (e.at.utc, e.items.data[0].value.clone())).collect()
    };
    assert_eq!(edges(topics::RECORDING_STATE, None).len(), 2 * sound.len());
    let of_second = edges(topics::TRACK_STATE, Some("yard-1-video-2"));
    assert_eq!(of_second[0], (border, "true".to_owned()));
    let again = bench.sync().await.unwrap();
    assert_eq!((again.counts.segments_new, again.counts.segments_gone), (0, 0));

    // And back: the first track is taken up again.
    bench.recorder.manners.lock().codec = Codec::H264;
    bench.recorder.clock.advance(Duration::from_secs(3600));
    bench.sync().await.unwrap();
    assert_eq!(bench.tracks(1).len(), 4);
    assert_eq!(bench.spans("yard-1-video").len(), before.len() + 1);
    assert_eq!(bench.spans("yard-1-video-2")[0].end(), bench.spans("yard-1-video")[2].start());
}

/// The clock is measured only later: all stamps are computed anew from the recorder's words.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_measured_later_restates_everything() {
    let bench = Bench::new(TWO_CHANNELS, NOW, Manners { reads_clock: false, ..Manners::default() });
    bench.sync().await.unwrap();
    let wrong = bench.spans("yard-4-video")[0].start();
    let ids: Vec<_> = bench.segments("yard-4-video").iter().map(|s| s.0).collect();
    bench.recorder.manners.lock().reads_clock = true;
    let report = bench.sync().await.unwrap();
    assert_eq!(report.clock, Some(Why::First));
    bench.assert_true(1);
    bench.assert_true(4);
    let right = bench.spans("yard-4-video")[0].start();
    let hour = 3_600_000_000i64;
    assert!((wrong.since_us(right) - (hour + 137_250_000)).abs() < 2_000_000, "{wrong} {right}");
    assert_eq!(ids, bench.segments("yard-4-video").iter().map(|s| s.0).collect::<Vec<_>>());
    // History moved with it: nothing is left of the old edges.
    // Of the recording and of its three tracks.
    let edges = 2 * 4 * bench.spans("yard-1-video").len();
    let told = bench
        .events()
        .into_iter()
        .filter(|e| e.origin == EventOrigin::Derived && e.recording.as_str() == "yard-1");
    assert_eq!(told.count(), edges);
    let log = bench.events().into_iter().filter(|e| e.origin == EventOrigin::Log);
    assert_eq!(log.count(), 3);
    let clock = bench.index.snapshot().clock(&"yard".into()).unwrap();
    assert_eq!(clock.newest().id, ClockEpochId(1));
    assert_eq!(bench.sync().await.unwrap().clock, None);
}

/// The operator corrects the zone: no step is seen, and summer footage moves by the right amount.
#[tokio::test(start_paused = true)]
async fn a_zone_set_by_the_operator_restates_the_past() {
    let scenario = TWO_CHANNELS.replace("-20d", "-39d");
    let manners = Manners { tells_zone: false, ..Manners::default() };
    let bench = Bench::new(&scenario, NOW, manners);
    bench.sync().await.unwrap();
    // Believed to be UTC, winter footage is right by the measured offset, summer footage is not.
    let syncer = syncer(&bench.recorder, &bench.index, &bench.published, Some("Europe/Bratislava"));
    let report = syncer.sync_device(&"yard".into(), &|_| {}).await.unwrap();
    assert_eq!(report.clock, Some(Why::Zone));
    bench.assert_true(1);
    bench.assert_true(4);
    assert_eq!(syncer.sync_device(&"yard".into(), &|_| {}).await.unwrap().clock, None);
}

#[tokio::test(start_paused = true)]
async fn a_step_of_the_clock_is_noticed_and_said() {
    let scenario = format!("{TWO_CHANNELS}\n[[clock.step]]\nat = \"+30m\"\nby_s = 7200\n");
    let bench = Bench::new(&scenario, NOW, Manners::default());
    bench.sync().await.unwrap();
    bench.recorder.clock.advance(Duration::from_secs(29 * 60));
    assert!(!matches!(bench.sync().await.unwrap().clock, Some(Why::Step(_))));
    bench.recorder.clock.advance(Duration::from_secs(3 * 60));
    let report = bench.sync().await.unwrap();
    assert!(
        matches!(report.clock, Some(Why::Step(us)) if (us - 7_200_000_000).abs() < 100_000),
        "{report:?}"
    );
    assert_eq!(bench.syncer.devices()[0].health.state(), DeviceState::Degraded);
    bench.recorder.clock.advance(Duration::from_secs(60 * 60));
    let report = bench.sync().await.unwrap();
    assert_eq!(report.clock, None);
    assert_eq!(bench.syncer.devices()[0].health.state(), DeviceState::Ready);
    // What was recorded before and well after the step is where it was.
    let truth = bench.recorder.archive.spans(1, bench.recorder.clock.utc());
    let spans = bench.spans("yard-1-video");
    let (ours, theirs) = (spans.last().unwrap(), truth.last().unwrap());
    assert!(ours.end().since_us(theirs.end()).abs() < 1_100_000, "{ours} {theirs}");
    assert!(spans[0].start().since_us(truth[0].start()).abs() < 1_100_000);
}

#[tokio::test(start_paused = true)]
async fn one_recorder_that_fails_does_not_touch_the_others() {
    let good = Recorder::new(TWO_CHANNELS, NOW, Manners::default());
    let bad = Recorder::new(TWO_CHANNELS, NOW, Manners::default());
    *bad.fails.lock() = Some((0, ErrorKind::Unauthenticated));
    let index: Arc<dvrgate_index::MemoryIndex> = Arc::default();
    let syncer = crate::Syncer::new(
        vec![device("bad", &bad, None), device("good", &good, None)],
        Arc::clone(&index) as Arc<dyn Index>,
        Arc::clone(&good.clock) as Arc<dyn dvrgate_model::ports::Clock>,
        Arc::new(dvrgate_model::ports::NoEvents),
        crate::Options::default(),
    );
    let outcomes = syncer.sync_all(&|_| {}).await;
    let [(_, bad_outcome), (_, good_outcome)] = &outcomes[..] else { panic!() };
    assert_eq!(bad_outcome.as_ref().unwrap_err().kind(), ErrorKind::Unauthenticated);
    assert!(good_outcome.as_ref().unwrap().complete);
    let state = |id: &str| index.snapshot().device(&id.into()).unwrap().unwrap().state;
    assert_eq!((state("bad"), state("good")), (DeviceState::LockedOut, DeviceState::Ready));
    // Nothing more is sent to it.
    let asked = bad.lists.load(Ordering::SeqCst);
    assert!(syncer.sync_device(&"bad".into(), &|_| {}).await.is_err());
    assert_eq!(bad.lists.load(Ordering::SeqCst), asked);
    let e = syncer.sync_device(&"none".into(), &|_| {}).await.unwrap_err();
    assert!(e.to_string().contains("there are: bad, good"), "{e}");
}

/// A part that the recorder answers badly is reported, and the rest is done.
#[tokio::test(start_paused = true)]
async fn a_part_that_fails_is_reported() {
    let bench = Bench::new(TWO_CHANNELS, NOW, Manners::default());
    *bench.recorder.fails.lock() = Some((1, ErrorKind::Malformed));
    let report = bench.sync().await.unwrap();
    assert!(!report.complete);
    assert_eq!(report.errors.len(), 3, "{:?}", report.errors);
    *bench.recorder.fails.lock() = None;
    assert!(bench.sync().await.unwrap().complete);
    bench.assert_true(4);
}

#[tokio::test(start_paused = true)]
async fn progress_rises_to_the_end() {
    let bench = Bench::new(TWO_CHANNELS, NOW, Manners::default());
    let seen = parking_lot::Mutex::new(Vec::new());
    let note = |p: &crate::Progress<'_>| seen.lock().push((p.stage, p.fraction, p.items));
    bench.syncer.sync_device(&"yard".into(), &note).await.unwrap();
    let seen = seen.lock();
    let backfill: Vec<_> = seen.iter().filter(|s| s.0 == crate::Stage::Backfill).collect();
    assert!(backfill.windows(2).all(|w| w[0].1 <= w[1].1 && w[0].2 <= w[1].2));
    let (stage, fraction, items) = *seen.last().unwrap();
    assert_eq!((stage, fraction), (crate::Stage::Done, 1.0));
    assert!(items > 150);
}

/// The background keeps up with what grows, listens to alerts, and ends when told to.
#[tokio::test(start_paused = true)]
async fn the_background_follows_and_ends() {
    let bench = Bench::new(TWO_CHANNELS, NOW, Manners { watch: true, ..Manners::default() });
    // The recordings must be known before an alert can be placed.
    bench.sync().await.unwrap();
    let alert = |time: &str, active| SourceEvent {
        channel: Some(ChannelId(4)),
        time: Some(SourceTime::from_civil(civil(time), ZoneClaim::Offset(3600))),
        code: "VMD".into(),
        active: Some(active),
        items: Items::default(),
        live: true,
    };
    // The recorder's clock: 13:00 in Bratislava, 137 s fast. Alerts repeat themselves.
    *bench.recorder.alerts.lock() = vec![
        alert("2026-11-25T13:02:17", true),
        alert("2026-11-25T13:02:18", true),
        alert("2026-11-25T13:02:19", false),
        // Nonsense: placed on receipt.
        alert("1970-01-01T00:00:00", true),
    ];
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(Arc::clone(&bench.syncer).run(stopped));
    tokio::time::sleep(Duration::from_secs(300)).await;
    let now = bench.recorder.clock.utc();
    let end = bench.spans("yard-1-video").last().unwrap().end();
    assert!(now.since_us(end) < 30_000_000, "{end} at {now}");
    let live: Vec<_> =
        bench.events().into_iter().filter(|e| e.origin == EventOrigin::Live).collect();
    let states: Vec<_> = live.iter().map(|e| e.items.data[0].value.as_str()).collect();
    assert_eq!(states, ["true", "false", "true"]);
    assert_eq!(
        live[0].at.utc.micros() / 1_000_000,
        "2026-11-25T12:00:00Z".parse::<Utc>().unwrap().micros() / 1_000_000 - 1
    );
    assert_eq!(bench.published.0.lock().len(), 3);
    stop.send(true).unwrap();
    running.await.unwrap();
    let asked = bench.recorder.lists.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(bench.recorder.lists.load(Ordering::SeqCst), asked);
}

/// A recording that stops and starts again is news; so is its status.
#[tokio::test(start_paused = true)]
async fn the_background_does_not_repeat_what_was_just_done() {
    let bench = Bench::new(TWO_CHANNELS, NOW, Manners::default());
    bench.sync().await.unwrap();
    let looks = || bench.recorder.looks.load(Ordering::SeqCst);
    let measured = looks();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(Arc::clone(&bench.syncer).run(stopped));
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(looks(), measured);
    tokio::time::sleep(Duration::from_secs(400)).await;
    // What was believed is only found right: that takes fewer.
    assert!((1..measured).contains(&(looks() - measured)), "{measured}, then {}", looks());
    stop.send(true).unwrap();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn stop_and_start_are_published_once() {
    let scenario = r#"
        [storage]
        file = "5m"
        [[channel]]
        id = 1
        [[channel.recorded]]
        from = "-2h"
        to = "+10m"
        [[channel.recorded]]
        from = "+30m"
        to = "now"
    "#;
    let bench = Bench::new(scenario, NOW, Manners::default());
    let status = || bench.index.snapshot().recording(&"yard-1".into()).unwrap().unwrap().status;
    let mut told = Vec::new();
    bench.sync().await.unwrap();
    for _ in 0..25 {
        bench.recorder.clock.advance(Duration::from_secs(120));
        bench.sync().await.unwrap();
        for e in bench.published.0.lock().drain(..) {
            told.push((
                e.topic.as_str() == topics::TRACK_STATE,
                e.items.data[0].value.clone(),
                status(),
            ));
        }
    }
    use dvrgate_model::RecordingStatus::{Recording, Stopped};
    let of_tracks: Vec<_> = told.iter().filter(|t| t.0).map(|t| (t.1.as_str(), t.2)).collect();
    assert_eq!(of_tracks, [("false", Stopped), ("true", Recording)]);
    let of_recording: Vec<_> = told.iter().filter(|t| !t.0).map(|t| t.1.as_str()).collect();
    assert_eq!(of_recording, ["false", "true"]);
    bench.assert_true(1);
}

/// A drifting clock is learnt over days, and the footage of those days is placed by it.
#[tokio::test(start_paused = true)]
async fn a_drifting_clock_is_learnt() {
    let scenario = TWO_CHANNELS.replace("offset_s = 137.25", "offset_s = 137.25\ndrift_ppm = 60");
    let bench = Bench::new(&scenario, NOW, Manners::default());
    let mut why = Vec::new();
    for _ in 0..36 {
        why.extend(bench.sync().await.unwrap().clock);
        bench.recorder.clock.advance(Duration::from_secs(4 * 3600));
    }
    why.extend(bench.sync().await.unwrap().clock);
    assert_eq!(why[..2], [Why::First, Why::Drift], "{why:?}");
    // Six days: 31 s of drift. Without knowing it the oldest would be half a minute off.
    bench.assert_true(1);
    let clock = bench.index.snapshot().clock(&"yard".into()).unwrap();
    assert!((clock.newest().drift_ppb - 60_000).abs() < 4_000, "{:?}", clock.newest());
}

/// Recorders behind the adapter contract can be checked without footage too.
#[tokio::test(start_paused = true)]
async fn the_contract_suite_passes_and_fails_where_it_should() {
    let bench =
        Bench::new(TWO_CHANNELS, NOW, Manners { page: 3, cap: Some(9), ..Manners::default() });
    let recorded = SourceRange::new(civil("2026-11-25T06:00:00"), civil("2026-11-25T08:00:00"));
    let suite = || {
        let device = device("yard", &bench.recorder, None);
        dvrgate_adapter::suite::Suite::new(device, ChannelId(1), recorded)
    };
    suite().run().await;
    // A recorder whose pages repeat is caught.
    *bench.recorder.repeats.lock() = true;
    let broken = tokio::spawn({
        let suite = suite();
        async move { suite.paging_lists_each_segment_once().await }
    });
    assert!(broken.await.unwrap_err().is_panic());
}
