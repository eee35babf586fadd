//! The walker against an archive in memory: random sections, random starts, and an oracle that
//! works on the flat list of units.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Poll;

use dvrgate_index::{Index, MemoryIndex, Scope};
use dvrgate_model::{Frame, FrameKind};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::documents::{EventPage, EventWant};
use super::supply::{Found, Want};
use super::*;
use crate::synthetic::{at_ms, frame, range_ms};
use crate::{FrameFilter, Gop};

/// An archive: per track its spans and GOPs, by time.
#[derive(Clone, Debug, Default)]
struct Archive {
    tracks: HashMap<TrackToken, (Vec<UtcRange>, Vec<Arc<Gop>>)>,
    growing: bool,
    /// Answers "nothing yet" second by second instead of jumping to the next GOP.
    timid: bool,
    /// Events of the recording `r`, and how often the index is asked in vain before it has read
    /// them.
    events: Arc<MemoryIndex>,
    busy: usize,
    /// What the index says after each change.
    later: Arc<Mutex<Vec<Archive>>>,
}

impl Supply for Archive {
    fn span(&self, track: &TrackToken, at: Utc, direction: Direction) -> Result<Option<UtcRange>> {
        let spans = &self.tracks[track].0;
        Ok(match direction {
            Direction::Forward => spans.iter().find(|s| s.end() > at).copied(),
            Direction::Reverse => spans.iter().rev().find(|s| s.start() < at).copied(),
        })
    }

    fn gop<'a>(&'a mut self, want: &'a Want) -> BoxFuture<'a, Result<Found>> {
        let gops = self.tracks[&want.track].1.iter();
        let mut inside = gops
            .filter(|g| g.range.start() < want.within.end() && g.range.end() > want.within.start());
        let (found, timid, end) = match want.direction {
            Direction::Forward => (
                inside.find(|g| {
                    g.range.end() > want.from && want.beyond.is_none_or(|b| g.range.start() > b)
                }),
                want.from.plus_us(1_000_000).min(want.within.end()),
                want.within.end(),
            ),
            Direction::Reverse => (
                inside.rfind(|g| g.range.start() < want.from),
                want.from.plus_us(-1_000_000).max(want.within.start()),
                want.within.start(),
            ),
        };
        let far = found.is_none_or(|g| match want.direction {
            Direction::Forward => g.range.start() >= timid,
            Direction::Reverse => g.range.end() <= timid,
        });
        let answer = match found {
            _ if far && self.timid => Found::Nothing(timid),
            Some(gop) => Found::Gop(Arc::clone(gop)),
            None => Found::Nothing(end),
        };
        std::future::ready(Ok(answer)).boxed()
    }

    fn events(&self, want: EventWant) -> BoxFuture<'static, Result<EventPage>> {
        let scope = Scope { recordings: Some(vec!["r".into()]) };
        let page = documents::load(&*self.events.snapshot(), scope, want);
        let mut busy = self.busy;
        let reading = std::future::poll_fn(move |cx| {
            busy = busy.saturating_sub(1);
            cx.waker().wake_by_ref();
            if busy == 0 { Poll::Ready(()) } else { Poll::Pending }
        });
        reading.map(|()| page).boxed()
    }

    fn growing<'a>(&'a mut self, _track: &'a TrackToken) -> BoxFuture<'a, Result<bool>> {
        std::future::ready(Ok(self.growing)).boxed()
    }

    fn has_news(&self) -> bool {
        false
    }

    fn changed(&mut self) -> BoxFuture<'_, bool> {
        let next = self.later.lock().pop();
        if let Some(next) = &next {
            (self.tracks, self.growing) = (next.tracks.clone(), next.growing);
        }
        std::future::ready(next.is_some()).boxed()
    }
}

/// How one section of a video track looks.
#[derive(Clone, Debug)]
struct Section {
    gap_ms: i64,
    gops: Vec<usize>,
    step_ms: i64,
    bidirectional: bool,
    /// The index says that the section begins earlier and ends later by so much.
    padding_ms: (i64, i64),
}

fn sections() -> impl Strategy<Value = Vec<Section>> {
    let section = (
        prop_oneof![2_700..4_000i64, 5_000..90_000i64],
        prop::collection::vec(1..9usize, 1..5),
        prop_oneof![Just(40i64), Just(200), Just(900)],
        any::<bool>(),
        (0..250i64, 0..250i64),
    );
    let make = |(gap_ms, gops, step_ms, bidirectional, padding_ms)| Section {
        gap_ms,
        gops,
        step_ms,
        bidirectional,
        padding_ms,
    };
    prop::collection::vec(section.prop_map(make), 1..6)
}

/// Instants of a GOP of `n` frames in decode order: I P B P B … with B shown before its P.
fn order(n: usize, bidirectional: bool) -> Vec<(usize, FrameKind)> {
    let mut out = vec![(0, FrameKind::Key)];
    let mut i = 1;
    while i < n {
        if bidirectional && i + 1 < n {
            out.push((i + 1, FrameKind::Predicted));
            out.push((i, FrameKind::Bidirectional));
            i += 2;
        } else {
            out.push((i, FrameKind::Predicted));
            i += 1;
        }
    }
    out
}

/// Builds a track; `stored` GOPs hold one or two GOPs of the picture each.
fn video(token: &str, sections: &[Section]) -> (Vec<UtcRange>, Vec<Arc<Gop>>) {
    let track = TrackToken::from(token);
    let (mut spans, mut gops, mut ms) = (Vec::new(), Vec::new(), 0);
    for s in sections {
        ms += s.gap_ms;
        let first = ms;
        for (i, n) in s.gops.iter().enumerate() {
            let units = order(*n, s.bidirectional);
            let mut frames: Vec<Frame> = units
                .into_iter()
                .map(|(k, kind)| frame(&track, at_ms(ms + k as i64 * s.step_ms), kind, 4))
                .collect();
            let end = ms + *n as i64 * s.step_ms;
            // Every third GOP is stored in one piece with the one before.
            let joined = i % 3 == 1;
            if let Some(before) = gops.last_mut().and_then(Arc::get_mut).filter(|_| joined) {
                let before: &mut Gop = before;
                before.frames.append(&mut frames);
                before.range = UtcRange::clamped(before.range.start(), at_ms(end));
            } else {
                let range = range_ms(ms, end);
                gops.push(Arc::new(Gop { track: track.clone(), range, source: None, frames }));
            }
            ms = end;
        }
        spans.push(range_ms(first - s.padding_ms.0, ms + s.padding_ms.1));
    }
    (spans, gops)
}

fn archive(sections: &[Section], timid: bool) -> Archive {
    let tracks = [("v".into(), video("v", sections))].into();
    Archive { tracks, timid, ..Archive::default() }
}

fn plan(from: Utc, direction: Direction) -> PlayPlan {
    PlayPlan {
        recording: "r".into(),
        tracks: vec!["v".into()],
        from,
        until: None,
        direction,
        frames: FrameFilter::All,
        follow_live: false,
        discontinuity: false,
    }
}

fn play(archive: &Archive, plan: &PlayPlan) -> Vec<Delivery> {
    let kind = |t: &TrackToken| match t.as_str().as_bytes()[0] {
        b'a' => TrackKind::Audio,
        _ => TrackKind::Video,
    };
    let (events, stored): (Vec<TrackToken>, Vec<_>) =
        plan.tracks.iter().cloned().partition(|t| t.as_str() == "m");
    let tracks = stored.into_iter().map(|t| (t.clone(), kind(&t))).collect();
    let stream = walk(archive.clone(), plan, tracks, events.into_iter().next());
    let all: Vec<_> = stream.collect().now_or_never().expect("nothing to wait for");
    all.into_iter().map(|d| d.unwrap()).collect()
}

/// Instant, kind and marks of the units, written C E D T.
fn units(deliveries: &[Delivery]) -> Vec<(Utc, FrameKind, Marks)> {
    let unit = |d: &Delivery| match d {
        Delivery::Unit { frame, marks } => Some((frame.at.utc, frame.kind, *marks)),
        _ => None,
    };
    deliveries.iter().filter_map(unit).collect()
}

fn gaps(deliveries: &[Delivery]) -> Vec<UtcRange> {
    deliveries
        .iter()
        .filter_map(|d| match d {
            Delivery::Gap(range) => Some(*range),
            _ => None,
        })
        .collect()
}

// ---- the oracle ----

type Flat = Vec<Vec<(Utc, FrameKind)>>;

/// Units by section, in decode order.
fn flat((spans, gops): &(Vec<UtcRange>, Vec<Arc<Gop>>)) -> Flat {
    spans
        .iter()
        .map(|s| {
            let inside = gops.iter().filter(|g| g.range.overlaps(s));
            inside.flat_map(|g| g.frames.iter().map(|f| (f.at.utc, f.kind))).collect()
        })
        .collect()
}

fn keeps(filter: FrameFilter, kind: FrameKind, distance_us: Option<i64>) -> bool {
    match filter {
        FrameFilter::All => true,
        FrameFilter::Predicted => kind != FrameKind::Bidirectional,
        FrameFilter::Intra { min_interval_us } => {
            kind.is_clean() && distance_us.is_none_or(|d| d >= min_interval_us)
        }
    }
}

fn expected_forward(
    track: &(Vec<UtcRange>, Vec<Arc<Gop>>),
    from: Utc,
    until: Option<Utc>,
    filter: FrameFilter,
) -> Vec<(Utc, FrameKind, Marks)> {
    let flat = flat(track);
    // Where playback starts (R8.5.5-1, R8.5.5-2, R8.5.5-3).
    let Some(k) = track.0.iter().position(|s| s.end() > from) else { return Vec::new() };
    let i = flat[k].iter().rposition(|(at, kind)| kind.is_clean() && *at <= from).unwrap_or(0);
    let mut out: Vec<(Utc, FrameKind, Marks)> = Vec::new();
    let mut last_key: Option<Utc> = None;
    'walk: for (n, section) in flat.iter().enumerate().skip(k) {
        let delivered_before = out.len();
        for (at, kind) in section.iter().skip(if n == k { i } else { 0 }) {
            if until.is_some_and(|u| *at >= u) {
                break 'walk;
            }
            if keeps(filter, *kind, last_key.map(|l| at.since_us(l))) {
                last_key = Some(*at);
                out.push((*at, *kind, Marks { clean: kind.is_clean(), ..Marks::default() }));
            }
        }
        if out.len() > delivered_before {
            // T only in the last section: whether an interval of `intra` will swallow all that is
            // behind a gap is not known when the unit before the gap is sent.
            let last = out.last_mut().unwrap();
            last.2.end_of_span = true;
            last.2.terminal = n + 1 == flat.len();
        }
    }
    out
}

fn expected_reverse(
    track: &(Vec<UtcRange>, Vec<Arc<Gop>>),
    from: Utc,
    until: Option<Utc>,
    filter: FrameFilter,
) -> Vec<(Utc, FrameKind, Marks)> {
    // Pieces with the number of their section.
    let mut pieces: Vec<(usize, Vec<(Utc, FrameKind)>)> = Vec::new();
    for (n, section) in flat(track).into_iter().enumerate() {
        for unit in section {
            match pieces.last_mut() {
                Some((m, piece)) if *m == n && !unit.1.is_clean() => piece.push(unit),
                _ => pieces.push((n, vec![unit])),
            }
        }
    }
    let first = pieces.iter().rposition(|(_, p)| p[0].0 <= from);
    let Some(first) = first else { return Vec::new() };
    let mut out: Vec<(Utc, FrameKind, Marks)> = Vec::new();
    let mut last_key: Option<Utc> = None;
    let (mut ended, mut last_section) = (false, 0);
    for i in (0..=first).rev() {
        let (section, piece) = &pieces[i];
        if i < first
            && pieces[i + 1].0 != *section
            && let Some(last) = out.last_mut()
        {
            last.2.end_of_span = true;
        }
        if until.is_some_and(|u| piece.iter().all(|(at, _)| *at < u)) {
            ended = true;
            break;
        }
        let begun = out.len();
        for (at, kind) in piece {
            if keeps(filter, *kind, last_key.map(|l| l.since_us(*at))) {
                out.push((*at, *kind, Marks { clean: kind.is_clean(), ..Marks::default() }));
            }
        }
        if out.len() > begun {
            out[begun].2.discontinuity = true;
            (last_key, last_section) = (Some(piece[0].0), *section);
        }
    }
    if !ended && let Some(last) = out.last_mut() {
        last.2.end_of_span = true;
        // See the forward one.
        last.2.terminal = last_section == 0;
    }
    out
}

fn filters() -> impl Strategy<Value = FrameFilter> {
    prop_oneof![
        Just(FrameFilter::All),
        Just(FrameFilter::Predicted),
        (0..5_000_000i64).prop_map(|min_interval_us| FrameFilter::Intra { min_interval_us }),
    ]
}

/// Anywhere: in sections, in gaps, before all and after all; often exactly on a unit.
fn instants(sections: Vec<Section>) -> impl Strategy<Value = (Vec<Section>, Utc, Option<Utc>)> {
    let track = video("v", &sections);
    let marks: Vec<Utc> = flat(&track).into_iter().flatten().map(|(at, _)| at).collect();
    let last = marks.iter().max().unwrap().since_us(at_ms(0)) / 1000;
    let any_instant = prop_oneof![
        (-5_000..last + 5_000).prop_map(at_ms),
        prop::sample::select(marks.clone()),
        prop::sample::select(marks).prop_map(|t| t.plus_us(1)),
    ];
    let any_instant = any_instant.boxed();
    let until = prop::option::of(any_instant.clone());
    (Just(sections), any_instant, until)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    /// R8.3-6, R8.3-7, R8.3-10, R8.3-14, R8.5.2-2, R8.5.2-3, R8.5.2-5, R8.5.4-1, R8.5.4-2,
    /// R8.5.4-3, R8.5.4-4, R8.5.5-1, R8.5.5-2, R8.5.5-3, R8.5.5-5: forwards, every unit once, with
    /// its marks, from the right place.
    #[test]
    fn forward_is_what_the_oracle_says(
        (sections, from, until) in sections().prop_flat_map(instants),
        frames in filters(),
        timid in any::<bool>(),
    ) {
        let archive = archive(&sections, timid);
        let until = until.filter(|u| *u > from);
        let plan = PlayPlan { until, frames, ..plan(from, Direction::Forward) };
        let got = play(&archive, &plan);
        let want = expected_forward(&archive.tracks[&"v".into()], from, until, frames);
        prop_assert_eq!(units(&got), want);
    }

    /// R8.3-8, R8.3-9, R8.3-15, R8.5.5-2, R8.5.5-4, R8.5.5-5, R8.6-1, R8.6-2, R8.6-3, R8.6-4: in
    /// reverse.
    #[test]
    fn reverse_is_what_the_oracle_says(
        (sections, from, until) in sections().prop_flat_map(instants),
        frames in filters(),
        timid in any::<bool>(),
    ) {
        let archive = archive(&sections, timid);
        let until = until.filter(|u| *u < from);
        let plan = PlayPlan { until, frames, ..plan(from, Direction::Reverse) };
        let got = play(&archive, &plan);
        let want = expected_reverse(&archive.tracks[&"v".into()], from, until, frames);
        prop_assert_eq!(units(&got), want);
    }

    /// R8.6-1, R8.3-16: reverse is the mirror of forward by GOP, with the same instants.
    #[test]
    fn reverse_mirrors_forward(sections in sections()) {
        let archive = archive(&sections, false);
        let pieces = |deliveries: &[Delivery]| {
            let mut pieces: Vec<Vec<Utc>> = Vec::new();
            for (at, kind, _) in units(deliveries) {
                if kind.is_clean() {
                    pieces.push(Vec::new());
                }
                pieces.last_mut().unwrap().push(at);
            }
            pieces
        };
        let there = play(&archive, &plan(at_ms(-1000), Direction::Forward));
        let back = play(&archive, &plan(at_ms(10_000_000), Direction::Reverse));
        let mut mirrored = pieces(&back);
        mirrored.reverse();
        prop_assert_eq!(pieces(&there), mirrored);
        // Every gap is reported, in both directions the same.
        let (there, mut back) = (gaps(&there), gaps(&back));
        back.reverse();
        prop_assert_eq!(there.len(), sections.len() - 1);
        prop_assert_eq!(there, back);
    }

    /// R8.5.3-3: tracks are interleaved in recorded order, and none loses or repeats a unit.
    #[test]
    fn tracks_are_interleaved(
        (v, from, until) in sections().prop_flat_map(instants),
        w in sections(),
        timid in any::<bool>(),
    ) {
        let mut archive = archive(&v, timid);
        archive.tracks.insert("w".into(), video("w", &w));
        let until = until.filter(|u| *u > from);
        let both = vec!["v".into(), "w".into()];
        let plan = PlayPlan { tracks: both, until, ..plan(from, Direction::Forward) };
        let got = play(&archive, &plan);
        let of = |track: &str| -> Vec<Delivery> {
            let is = |d: &&Delivery| {
                matches!(d, Delivery::Unit { frame, .. } if frame.track.as_str() == track)
            };
            got.iter().filter(is).cloned().collect()
        };
        for track in ["v", "w"] {
            let want = expected_forward(&archive.tracks[&track.into()], from, until, FrameFilter::All);
            prop_assert_eq!(units(&of(track)), want);
        }
        // By time, but for bidirectional units.
        let mut high = Utc::MIN;
        for (at, kind, _) in units(&got) {
            if kind != FrameKind::Bidirectional {
                prop_assert!(at >= high);
                high = at;
            }
        }
    }
}

fn marks(text: &str) -> Marks {
    let has = |c| text.contains(c);
    Marks { clean: has('C'), end_of_span: has('E'), discontinuity: has('D'), terminal: has('T') }
}

/// Two clips of 25 fps, GOPs of three: the worked example of docs/replay.md.
fn two_clips() -> Archive {
    let section = |gap_ms| Section {
        gap_ms,
        gops: vec![3, 3],
        step_ms: 40,
        bidirectional: false,
        padding_ms: (0, 0),
    };
    archive(&[section(0), section(10_000 - 240)], false)
}

#[test]
fn the_worked_example_forwards() {
    let got = play(&two_clips(), &plan(at_ms(0), Direction::Forward));
    let ms = [0, 40, 80, 120, 160, 200, 10_000, 10_040, 10_080, 10_120, 10_160, 10_200];
    let bits = ["C", "", "", "C", "", "E", "C", "", "", "C", "", "ET"];
    let want: Vec<_> = ms.iter().zip(bits).map(|(ms, b)| (at_ms(*ms), marks(b))).collect();
    let got: Vec<_> = units(&got).into_iter().map(|(at, _, m)| (at, m)).collect();
    assert_eq!(got, want);
}

#[test]
fn the_worked_example_in_reverse() {
    // R8.3-8, R8.3-9, R8.6-1, R8.6-2, R8.6-3.
    let got = play(&two_clips(), &plan(at_ms(10_200), Direction::Reverse));
    let ms = [10_120, 10_160, 10_200, 10_000, 10_040, 10_080, 120, 160, 200, 0, 40, 80];
    let bits = ["CD", "", "", "CD", "", "E", "CD", "", "", "CD", "", "ET"];
    let want: Vec<_> = ms.iter().zip(bits).map(|(ms, b)| (at_ms(*ms), marks(b))).collect();
    assert_eq!(gaps(&got), [range_ms(200, 10_000)]);
    let got: Vec<_> = units(&got).into_iter().map(|(at, _, m)| (at, m)).collect();
    assert_eq!(got, want);
}

#[test]
fn immediate_sets_d_on_the_first_unit_of_every_track() {
    // R8.10-2.
    let mut archive = two_clips();
    let w = archive.tracks[&"v".into()].clone();
    archive.tracks.insert("w".into(), w);
    let plan = PlayPlan {
        discontinuity: true,
        tracks: vec!["v".into(), "w".into()],
        ..plan(at_ms(130), Direction::Forward)
    };
    let got = units(&play(&archive, &plan));
    let flagged: Vec<usize> =
        got.iter().enumerate().filter(|(_, u)| u.2.discontinuity).map(|(i, _)| i).collect();
    assert_eq!((flagged, got[0].0, got[1].0), (vec![0, 1], at_ms(120), at_ms(120)));
}

#[test]
fn no_sound_in_reverse() {
    // R8.6-6.
    let mut archive = two_clips();
    let audio = TrackToken::from("a");
    let sound = Gop {
        track: audio.clone(),
        range: range_ms(0, 240),
        source: None,
        frames: (0..6).map(|i| frame(&audio, at_ms(i * 40), FrameKind::Audio, 4)).collect(),
    };
    archive.tracks.insert(audio, (vec![range_ms(0, 240)], vec![Arc::new(sound)]));
    let tracks = vec!["v".into(), "a".into()];
    let plan = PlayPlan { tracks, ..plan(at_ms(200), Direction::Reverse) };
    let got = units(&play(&archive, &plan));
    assert!(!got.is_empty() && got.iter().all(|u| u.1 != FrameKind::Audio));
}

fn growing(sections: &[Section], growing: bool) -> Archive {
    Archive { growing, ..archive(sections, false) }
}

/// Deliveries in words: milliseconds with their marks.
fn told(deliveries: &[Delivery]) -> Vec<String> {
    deliveries
        .iter()
        .map(|d| match d {
            Delivery::Unit { frame, marks } => format!(
                "{}{}{}",
                frame.at.utc.since_us(at_ms(0)) / 1000,
                if marks.end_of_span { "E" } else { "" },
                if marks.terminal { "T" } else { "" }
            ),
            Delivery::Gap(_) => "gap".into(),
            Delivery::LiveEdge(at) => format!("edge {}", at.since_us(at_ms(0)) / 1000),
        })
        .collect()
}

#[test]
fn at_the_live_edge_no_end_is_claimed_until_recording_stops() {
    // R8.8-1, R8.8-2, R8.8-3, R8.9-2.
    let section = |gops: Vec<usize>| Section {
        gap_ms: 1000,
        gops,
        step_ms: 40,
        bidirectional: false,
        padding_ms: (0, 0),
    };
    let mut now = growing(&[section(vec![1, 2])], true);
    // Last one first.
    now.later = Arc::new(Mutex::new(vec![
        growing(&[section(vec![1, 2, 3])], false),
        growing(&[section(vec![1, 2, 3])], true),
        growing(&[section(vec![1, 2])], true),
    ]));
    let follow = PlayPlan { follow_live: true, ..plan(at_ms(0), Direction::Forward) };
    let got = play(&now, &follow);
    let text = told(&got);
    assert_eq!(
        text,
        ["1000", "1040", "edge 1040", "1080", "1120", "1160", "edge 1160", "1200ET", "edge 1200"]
    );

    // Without follow_live it ends there, and claims no end.
    let got = play(&now, &plan(at_ms(0), Direction::Forward));
    let last = units(&got).pop().unwrap();
    assert_eq!((last.0, last.2), (at_ms(1080), marks("")));
}

/// R8.9-1, R8.9-2: at the end of data playback waits, and goes on when recording is taken up again. A
/// change of something else does not wake it.
#[test]
fn playback_goes_on_when_recording_is_taken_up_again() {
    let section = |gops: Vec<usize>, gap_ms| Section {
        gap_ms,
        gops,
        step_ms: 40,
        bidirectional: false,
        padding_ms: (0, 0),
    };
    let before = [section(vec![1, 1], 1000)];
    let after = [section(vec![1, 1], 1000), section(vec![1], 10_000)];
    let mut now = growing(&before, false);
    // Last one first.
    let later = vec![growing(&after, false), growing(&before, false), growing(&before, false)];
    now.later = Arc::new(Mutex::new(later));
    let follow = PlayPlan { follow_live: true, ..plan(at_ms(0), Direction::Forward) };
    let got = told(&play(&now, &follow));
    assert_eq!(got, ["1000", "1040ET", "edge 1040", "gap", "11080ET", "edge 11080"]);

    // Behind all data there is nothing but what comes later.
    now.later = Arc::new(Mutex::new(vec![growing(&after, false)]));
    let late = PlayPlan { follow_live: true, ..plan(at_ms(5000), Direction::Forward) };
    assert_eq!(told(&play(&now, &late)), ["edge 5000", "11080ET", "edge 11080"]);

    // A range that ends by itself is over with its data.
    now.later = Arc::new(Mutex::new(vec![growing(&after, false)]));
    let closed = PlayPlan { until: Some(at_ms(60_000)), ..follow };
    assert_eq!(told(&play(&now, &closed)), ["1000", "1040ET"]);
}

#[test]
fn a_track_that_stopped_does_not_hold_up_the_others_at_the_live_edge() {
    let section = |gops: Vec<usize>, step_ms| Section {
        gap_ms: 0,
        gops,
        step_ms,
        bidirectional: false,
        padding_ms: (0, 0),
    };
    let mut archive = growing(&[section(vec![5], 1000)], true);
    archive.tracks.insert("w".into(), video("w", &[section(vec![2], 40)]));
    let tracks = vec!["v".into(), "w".into()];
    let plan = PlayPlan { tracks, follow_live: true, ..plan(at_ms(0), Direction::Forward) };
    let got = units(&play(&archive, &plan));
    let w_end = got.iter().position(|u| u.0 == at_ms(40)).unwrap();
    assert_eq!(got[w_end].2, marks("E"));
    assert!(got.iter().any(|u| u.0 == at_ms(3000)));
}

#[test]
fn nothing_to_play_is_nothing() {
    // R8.5.5-5.
    let archive = two_clips();
    assert!(play(&archive, &plan(at_ms(-10), Direction::Reverse)).is_empty());
    assert!(play(&archive, &plan(at_ms(20_000), Direction::Forward)).is_empty());
}

#[path = "documents_tests.rs"]
mod documents_tests;
