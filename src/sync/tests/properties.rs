//! Properties of the pure parts: merging is idempotent and free of order; history is a function of
//! the segments.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use dvrgate_adapter::{Mapping, SourceSegment};
use dvrgate_index::encodings::Encodings;
use dvrgate_index::{Change, merged};
use dvrgate_model::{
    ChannelId, Civil, ClockEpoch, ClockMap, EventId, Locator, RecordingEvent, Segment, SegmentId,
    SegmentState, SourceTime, StreamKind, SyncRunId, TrackToken, Utc, UtcRange, ZoneClaim,
    ZoneRule, ZoneTrust,
};
use proptest::prelude::*;

use super::recorder::MAPPING;
use crate::history;
use crate::merge::{Lane, Window, merge};

type Store = BTreeMap<(TrackToken, SegmentId), Segment>;

struct World {
    items: Vec<SourceSegment>,
    lane: Lane,
    map: ClockMap,
    mapping: Mapping,
}

const BASE: i64 = 1_790_000_000;

impl World {
    /// Files of those lengths with those gaps between them, in seconds.
    fn new(files: &[(u32, u32)]) -> Self {
        let mut at = BASE;
        let items = files
            .iter()
            .map(|(gap, length)| {
                let start = at + i64::from(*gap);
                at = start + i64::from(*length);
                item(start, at)
            })
            .collect();
        let lane = Lane {
            channel: ChannelId(1),
            stream: StreamKind::Main,
            recording: "yard-1".into(),
            tracks: vec!["yard-1-video".into(), "yard-1-audio".into()],
            pictures: vec![("yard-1-video".into(), None)],
            encodings: Encodings::default(),
            metadata: None,
        };
        let right = ClockEpoch::assumed("yard".into(), ZoneRule::utc(), ZoneTrust::WallClock);
        let map = ClockMap::new(Vec::new(), right);
        Self { items, lane, map, mapping: Mapping::parse("m", MAPPING).unwrap() }
    }

    /// Lists a window and merges it into the store, as a pass does.
    fn list(&self, store: &mut Store, from: i64, to: i64, run: u64) -> usize {
        let range = UtcRange::clamped(Utc::from_secs(from), Utc::from_secs(to));
        let (a, b) = (second(from), second(to));
        let items: Vec<_> = self
            .items
            .iter()
            .filter(|s| s.start.civil < b.civil && a.civil < s.end.civil)
            .cloned()
            .collect();
        let known: Vec<_> = store.values().cloned().collect();
        let window = Window {
            lane: &self.lane,
            range,
            items: &items,
            breaks: &[],
            clips: false,
            map: &self.map,
            mapping: &self.mapping,
            run: SyncRunId(run),
        };
        let outcome = merge(&window, &known);
        let changed = outcome.put.len();
        for s in outcome.put {
            store.insert((s.track.clone(), s.id), s);
        }
        changed
    }
}

fn second(s: i64) -> SourceTime {
    SourceTime::from_civil(Civil::from_micros_as_if_utc(s * 1_000_000), ZoneClaim::Utc)
}

fn item(start: i64, end: i64) -> SourceSegment {
    SourceSegment {
        channel: ChannelId(1),
        stream: StreamKind::Main,
        start: second(start),
        end: second(end),
        code: "continuous".into(),
        bytes: None,
        locator: Locator::default(),
        key: Bytes::new(),
        growing: false,
    }
}

/// Without the run that last saw them.
fn contents(store: &Store) -> Vec<Segment> {
    store.values().map(|s| Segment { seen: SyncRunId(0), ..s.clone() }).collect()
}

fn files() -> impl Strategy<Value = Vec<(u32, u32)>> {
    prop::collection::vec((0u32..300, 1u32..900), 1..40)
}

/// Windows that cover everything, cut at any places.
fn windows(cuts: &[u16]) -> Vec<(i64, i64)> {
    let length = 60_000;
    let mut borders: Vec<i64> = cuts.iter().map(|c| BASE + i64::from(*c) % length).collect();
    borders.extend([BASE - 10, BASE + length]);
    borders.sort_unstable();
    borders.windows(2).map(|w| (w[0], w[1])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn windows_in_any_order_and_number_give_one_index(
        files in files(),
        cuts in prop::collection::vec(any::<u16>(), 0..12),
        order in any::<u64>(),
    ) {
        let world = World::new(&files);
        let (mut whole, mut parts) = (Store::new(), Store::new());
        world.list(&mut whole, BASE - 10, BASE + 60_000, 1);
        let mut windows = windows(&cuts);
        windows.sort_by_key(|w| (w.0 as u64).wrapping_mul(order | 1));
        for (i, (from, to)) in windows.iter().enumerate() {
            world.list(&mut parts, *from, *to, 2 + i as u64);
        }
        prop_assert_eq!(contents(&whole), contents(&parts));
        prop_assert_eq!(whole.len(), 2 * files.len());
        // Again, in the other order: nothing changes.
        for (from, to) in windows.iter().rev() {
            prop_assert_eq!(world.list(&mut parts, *from, *to, 99), 0);
        }
    }

    #[test]
    fn what_is_deleted_anywhere_is_gone_once_its_window_is_listed(
        files in files(),
        keep in prop::collection::vec(any::<bool>(), 40),
        cuts in prop::collection::vec(any::<u16>(), 0..6),
    ) {
        let mut world = World::new(&files);
        let mut store = Store::new();
        world.list(&mut store, BASE - 10, BASE + 60_000, 1);
        let mut kept = keep.iter();
        world.items.retain(|_| kept.next() == Some(&true));
        for (from, to) in windows(&cuts) {
            world.list(&mut store, from - 3, to + 3, 2);
        }
        let live = store.values().filter(|s| s.state != SegmentState::Gone).count();
        prop_assert_eq!(live, 2 * world.items.len());
    }

    #[test]
    fn history_does_not_depend_on_the_way(
        files in files(),
        cuts in prop::collection::vec(any::<u16>(), 0..8),
        deleted in prop::collection::vec(any::<bool>(), 40),
    ) {
        let mut world = World::new(&files);
        let mut store = Store::new();
        let mut events: HashMap<EventId, RecordingEvent> = HashMap::new();
        for pass in 0..2 {
            for (from, to) in windows(&cuts) {
                let before = store.clone();
                world.list(&mut store, from - 3, to + 3, 2);
                let moved = store.iter().filter(|(k, s)| before.get(*k) != Some(*s));
                let changed = moved.map(|(_, s)| s.range()).reduce(|a, b| a.hull(&b));
                let Some(touched) = changed.map(history::affected) else { continue };
                let near = history::neighbourhood(touched);
                let segments: Vec<_> =
                    store.values().filter(|s| s.range().overlaps(&near)).cloned().collect();
                let inside = |e: &&RecordingEvent| touched.start() <= e.at.utc && e.at.utc <= touched.end();
                let known: Vec<_> = events.values().filter(inside).cloned().collect();
                let update = history::update(
                    &world.lane.recording, &world.lane.tracks[..1], touched, &segments, &known,
                );
                for change in update.changes {
                    match change {
                        Change::Event(e) => { events.insert(e.id, *e); }
                        Change::EventGone(id) => { events.remove(&id); }
                        other => panic!("{other:?}"),
                    }
                }
            }
            for track in &world.lane.tracks {
                let live = store.values().filter(|s| s.track == *track && s.state != SegmentState::Gone);
                let spans = merged(live.map(Segment::range).collect());
                let mut told: Vec<_> = events
                    .values()
                    .filter(|e| e.track.as_ref() == Some(track))
                    .map(|e| (e.at.utc, e.items.data[0].value == "true"))
                    .collect();
                told.sort();
                let mut wanted: Vec<_> =
                    spans.iter().flat_map(|s| [(s.start(), true), (s.end(), false)]).collect();
                wanted.sort();
                prop_assert_eq!(told, wanted, "pass {}", pass);
            }
            let mut deleted = deleted.iter();
            world.items.retain(|_| deleted.next() != Some(&true));
        }
    }
}

/// A recorder that clips items to the window: pieces of a known segment extend it, nothing is
/// listed twice.
#[test]
fn clipped_pieces_belong_to_their_segment() {
    let world = World::new(&[(0, 1_000)]);
    let mut store = Store::new();
    world.list(&mut store, BASE - 10, BASE + 500, 1);
    let known: Vec<_> = store.values().cloned().collect();
    let piece = SourceSegment { growing: true, ..item(BASE + 900, BASE + 1_300) };
    let range = UtcRange::clamped(Utc::from_secs(BASE + 900), Utc::from_secs(BASE + 1_500));
    let window = Window {
        lane: &world.lane,
        range,
        items: &[piece],
        breaks: &[],
        clips: true,
        map: &world.map,
        mapping: &world.mapping,
        run: SyncRunId(2),
    };
    let outcome = merge(&window, &known);
    assert_eq!(outcome.put.len(), 2, "one a track: {outcome:?}");
    for s in &outcome.put {
        assert!(known.iter().any(|k| k.id == s.id));
        assert_eq!(s.range().duration_us(), 1_300_000_000);
        assert_eq!(s.state, SegmentState::Growing);
    }
}
