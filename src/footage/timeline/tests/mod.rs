//! The walker against an archive in memory.

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

#[test]
fn nothing_to_play_is_nothing() {
    // R8.5.5-5.
    let archive = two_clips();
    assert!(play(&archive, &plan(at_ms(-10), Direction::Reverse)).is_empty());
    assert!(play(&archive, &plan(at_ms(20_000), Direction::Forward)).is_empty());
}

mod edge;
mod metadata;
mod oracle;
