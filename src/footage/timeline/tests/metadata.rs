//! Documents of the metadata track between pictures, against the events of an index in memory.

use dvrgate_index::{Batch, Change};
use dvrgate_model::{EventOrigin, Items, RecordingEvent, Stamp, Topic, topics};

use super::*;

fn event(ms: i64, source: &str, state: &str) -> RecordingEvent {
    let topic = Topic::new(topics::MOTION_ALARM);
    let items = Items::new([("Source", source)], [("State", state)]);
    let recording = "r".into();
    RecordingEvent {
        id: RecordingEvent::derive_id(&recording, &topic, &items, &ms.to_string()),
        recording,
        track: None,
        at: Stamp::exact(at_ms(ms)),
        source: None,
        topic,
        items,
        property: true,
        origin: EventOrigin::Log,
    }
}

/// A metadata track beside the picture of `archive`, with these events.
fn with_events(mut archive: Archive, events: Vec<RecordingEvent>) -> Archive {
    let spans = archive.tracks[&"v".into()].0.clone();
    archive.tracks.insert("m".into(), (spans, Vec::new()));
    let changes = events.into_iter().map(|e| Change::Event(Box::new(e))).collect();
    let batch = Batch { run: Default::default(), changes };
    archive.events.apply(batch).now_or_never().unwrap().unwrap();
    archive
}

fn both(plan: PlayPlan) -> PlayPlan {
    PlayPlan { tracks: vec!["v".into(), "m".into()], ..plan }
}

/// Documents: milliseconds, what is said of which source, marks.
fn documents(deliveries: &[Delivery]) -> Vec<(i64, String, Marks)> {
    let document = |d: &Delivery| match d {
        Delivery::Unit { frame, marks } if frame.kind == FrameKind::Metadata => {
            let text = std::str::from_utf8(&frame.data).unwrap();
            let word = |from: &str, of: &str| {
                let rest = of.split_once(from)?.1;
                Some(rest.split_once('"')?.0.to_owned())
            };
            let mut told: Vec<String> = text
                .split("<wsnt:NotificationMessage>")
                .skip(1)
                .map(|m| {
                    assert_eq!(word("UtcTime=\"", m), Some(frame.at.utc.to_string()));
                    let operation = word("PropertyOperation=\"", m).unwrap();
                    let source = word("Name=\"Source\" Value=\"", m).unwrap();
                    let state = word("Name=\"State\" Value=\"", m).unwrap();
                    format!("{}{source}={state}", if operation == "Initialized" { "!" } else { "" })
                })
                .collect();
            told.sort_unstable();
            Some((frame.at.utc.since_us(at_ms(0)) / 1000, told.join(","), *marks))
        }
        _ => None,
    };
    deliveries.iter().filter_map(document).collect()
}

fn in_words(list: &[(i64, &str, &str)]) -> Vec<(i64, String, Marks)> {
    list.iter().map(|(ms, text, bits)| (*ms, (*text).to_owned(), marks(bits))).collect()
}

/// Two clips from 0 to 240 ms and from 10 000 to 10 240 ms.
fn yard() -> Archive {
    let events = vec![
        event(-5_000, "1", "true"),
        event(80, "1", "false"),
        event(80, "2", "true"),
        event(130, "1", "true"),
        // In the gap: nobody recorded it, but the state is known behind it.
        event(5_000, "1", "false"),
        event(10_100, "2", "false"),
    ];
    // R4-3: what the gateway says of its own recordings does not belong to them.
    let mut own = event(100, "3", "true");
    own.origin = EventOrigin::Derived;
    with_events(two_clips(), [events, vec![own]].concat())
}

/// R4-3, R8.3-1, R8.3-7, R8.3-10: documents stand between the pictures at their time, one for an
/// instant; states first in every section.
#[test]
fn documents_stand_between_the_pictures() {
    let plan = both(plan(at_ms(0), Direction::Forward));
    let got = play(&yard(), &plan);
    let expected = in_words(&[
        (0, "!1=true", "C"),
        (80, "1=false,2=true", "C"),
        (130, "1=true", "CE"),
        (10_000, "!1=false,!2=true", "C"),
        (10_100, "2=false", "CET"),
    ]);
    assert_eq!(documents(&got), expected);
    let times: Vec<Utc> = units(&got).iter().map(|u| u.0).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(times.len(), 12 + 5);
    assert_eq!(gaps(&got), [range_ms(200, 10_000)]);
    // R8.5.4-1: the header Frames is about pictures.
    let frames = FrameFilter::Intra { min_interval_us: 0 };
    assert_eq!(documents(&play(&yard(), &PlayPlan { frames, ..plan })), expected);
}

/// R8.6-5: in reverse each document is whole, and the last one comes first, behind the group of
/// pictures during which it was recorded.
#[test]
fn documents_in_reverse() {
    let got = play(&yard(), &both(plan(at_ms(10_200), Direction::Reverse)));
    let expected = in_words(&[
        (10_200, "!1=false,!2=false", "CD"),
        (10_100, "2=false", "CDE"),
        (239, "!1=true,!2=true", "CD"),
        (130, "1=true", "CD"),
        (80, "1=false,2=true", "CDET"),
    ]);
    assert_eq!(documents(&got), expected);
    let order: Vec<i64> =
        units(&got).iter().map(|u| u.0.since_us(at_ms(0)).div_euclid(1000)).collect();
    assert_eq!(
        order,
        [
            10_120, 10_160, 10_200, 10_200, 10_100, 10_000, 10_040, 10_080, 239, 120, 160, 200,
            130, 0, 40, 80, 80
        ]
    );
    assert_eq!(gaps(&got).len(), 1);
}

/// Only what is asked for is delivered, between the two times of a range, and time without documents
/// is no gap.
#[test]
fn the_metadata_track_alone() {
    let long = Section {
        gap_ms: 0,
        gops: vec![100; 100],
        step_ms: 1000,
        bidirectional: false,
        padding_ms: (0, 0),
    };
    let events =
        (0..100).map(|i| event(i * 90_000 + 7, "1", if i % 2 == 0 { "true" } else { "false" }));
    let archive = with_events(archive(&[long], false), events.collect());
    let alone = |from, until: Option<i64>, direction| PlayPlan {
        tracks: vec!["m".into()],
        until: until.map(at_ms),
        ..plan(at_ms(from), direction)
    };
    let got = play(&archive, &alone(90_000, None, Direction::Forward));
    assert!(gaps(&got).is_empty());
    let told = documents(&got);
    assert_eq!(told.len(), 100);
    assert_eq!((told[0].0, told[0].1.as_str()), (90_000, "!1=true"));
    assert_eq!(told[99].2, marks("CET"));
    let times: Vec<i64> = told.iter().skip(1).map(|d| d.0).collect();
    assert_eq!(times, (1..100).map(|i| i * 90_000 + 7).collect::<Vec<_>>());
    let times =
        |plan| documents(&play(&archive, &plan)).into_iter().map(|d| d.0).collect::<Vec<_>>();
    // R8.5.2-3, R8.5.2-4: forwards the end does not belong to it, in reverse it does.
    let end = 270_007;
    assert_eq!(times(alone(90_000, Some(end), Direction::Forward)), [90_000, 90_007, 180_007]);
    assert_eq!(times(alone(400_000, Some(end), Direction::Reverse)), [400_000, 360_007, 270_007]);
}

/// A slow index does not hold up the first pictures, and nothing is lost.
#[test]
fn pictures_do_not_wait_for_documents_at_first() {
    let plan = both(plan(at_ms(0), Direction::Forward));
    let mut busy = yard();
    busy.busy = 20;
    let tracks = vec![("v".into(), TrackKind::Video)];
    let stream = walk(busy, &plan, tracks, Some("m".into()));
    let all: Vec<_> = futures::executor::block_on(stream.collect());
    let got: Vec<Delivery> = all.into_iter().map(|d| d.unwrap()).collect();
    let kinds: Vec<FrameKind> = units(&got).iter().map(|u| u.1).collect();
    assert_eq!(kinds[..3], [FrameKind::Key, FrameKind::Predicted, FrameKind::Predicted]);
    assert_eq!(documents(&got), documents(&play(&yard(), &plan)));
}

/// R8.8-1, R8.8-2: at the live edge no end is claimed, and what happens then follows.
#[test]
fn documents_at_the_live_edge() {
    let section = |n| Section {
        gap_ms: 0,
        gops: vec![n],
        step_ms: 1000,
        bidirectional: false,
        padding_ms: (0, 0),
    };
    let grown = |n, growing, events: &[i64]| {
        let archive = Archive { growing, ..archive(&[section(n)], false) };
        let events = events.iter().map(|ms| event(*ms, "1", &ms.to_string()));
        with_events(archive, events.collect())
    };
    let mut now = grown(3, true, &[1500]);
    now.later = Arc::new(Mutex::new(vec![grown(5, false, &[1500, 4500])]));
    // The index is one; only what is known of the tracks changes.
    let batch = vec![Change::Event(Box::new(event(4500, "1", "4500")))];
    now.events.apply(Batch { run: Default::default(), changes: batch }).now_or_never();
    let follow = PlayPlan { follow_live: true, ..both(plan(at_ms(0), Direction::Forward)) };
    let got = documents(&play(&now, &follow));
    assert_eq!(got, in_words(&[(1500, "1=1500", "C"), (4500, "1=4500", "CET")]));
}

proptest! {
    /// Whatever the sections, the events and the start: every event of a section is told once, in
    /// order; reverse is the mirror of forward.
    #[test]
    fn every_event_that_was_recorded_is_told_once(
        sections in sections(),
        at in prop::collection::vec(0..200_000i64, 0..80),
        start in 0..200_000i64,
    ) {
        let events: Vec<_> = at.iter().map(|ms| event(*ms, "1", &ms.to_string())).collect();
        let archive = with_events(archive(&sections, false), events);
        let spans = archive.tracks[&"m".into()].0.clone();
        let inside = |ms: &i64| spans.iter().any(|s| s.contains(at_ms(*ms)));
        let mut recorded: Vec<i64> = at.iter().copied().filter(inside).collect();
        recorded.sort_unstable();
        recorded.dedup();
        for direction in [Direction::Forward, Direction::Reverse] {
            let got = play(&archive, &both(plan(at_ms(start), direction)));
            let told: Vec<i64> = documents(&got)
                .into_iter()
                .filter(|d| !d.1.starts_with('!'))
                .map(|d| d.0)
                .collect();
            let mut expected = recorded.clone();
            if direction == Direction::Forward {
                expected.retain(|ms| *ms >= start);
            } else {
                expected.retain(|ms| *ms <= start);
                expected.reverse();
            }
            // What happened at the very instant at which a section is entered is its state there.
            let first = |ms: &i64| {
                let entered = |s: &UtcRange| match direction {
                    Direction::Forward => s.start().max(at_ms(start)),
                    Direction::Reverse => s.end().plus_us(-1).min(at_ms(start)),
                };
                spans.iter().any(|s| entered(s) == at_ms(*ms))
            };
            expected.retain(|ms| !first(ms));
            prop_assert_eq!(told, expected);
        }
    }
}
