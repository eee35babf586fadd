//! Playback through store and fetcher from a fake recorder inside the real layers.

use std::sync::Arc;
use std::time::Duration;

use dvrgate_adapter::{Priority, SeekGrain};
use dvrgate_index::Change;
use dvrgate_model::{
    Direction, ErrorKind, FrameKind, RecordingStatus, Result, SegmentState, TrackKind, TrackToken,
    Utc, UtcRange,
};
use futures::{FutureExt, StreamExt};
use tokio::sync::Semaphore;

use super::fake::{AUDIO_US, FRAME_US, GOP_US, Site, recording};
use crate::synthetic::{T0, at_ms, payload, range_ms};
use crate::{Delivery, FrameFilter, FrameStream, MediaStore, PlayPlan, Timeline};

const BUDGET: u64 = 64 << 20;

fn plan(from: Utc, direction: Direction) -> PlayPlan {
    PlayPlan {
        recording: "yard-1".into(),
        tracks: vec!["yard-1-video".into(), "yard-1-audio".into()],
        from,
        until: None,
        direction,
        frames: FrameFilter::All,
        follow_live: false,
        discontinuity: false,
    }
}

async fn all(stream: FrameStream) -> Vec<Delivery> {
    stream.map(|d| d.unwrap()).collect().await
}

/// Instants in order of delivery; printed as runs of even steps.
#[derive(PartialEq)]
struct Times(Vec<Utc>);

impl std::fmt::Debug for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let step = |a: Utc, b: Utc| b.since_us(a);
        let regular = |s: i64| s == FRAME_US || s == AUDIO_US;
        for run in self.0.chunk_by(|a, b| regular(step(*a, *b))) {
            let ms = |t: &Utc| t.since_us(T0) as f64 / 1000.0;
            write!(f, "[{}..{} ({})]", ms(&run[0]), ms(&run[run.len() - 1]), run.len())?;
        }
        Ok(())
    }
}

/// Instants of the units of a kind, after checking that each is the footage of its instant.
fn instants(deliveries: &[Delivery], kind: TrackKind) -> Times {
    let mut out = Vec::new();
    for d in deliveries {
        if let Delivery::Unit { frame, .. } = d
            && (frame.kind == FrameKind::Audio) == (kind == TrackKind::Audio)
        {
            let want = payload(&frame.track, frame.at.utc, frame.data.len());
            assert_eq!(frame.data, want, "not the footage of {}", frame.at.utc);
            out.push(frame.at.utc);
        }
    }
    Times(out)
}

/// Every step from `from` (inclusive) to `to`.
fn every(step_us: i64, from: Utc, to: Utc) -> Times {
    let count = to.since_us(from).div_euclid(step_us);
    Times((0..count).map(|i| from.plus_us(i * step_us)).collect())
}

/// Whole minutes from the start of the synthetic time.
fn minutes(n: i64) -> UtcRange {
    range_ms(0, n * 60_000)
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let mut tries = 0;
    while !is_so() {
        tokio::task::spawn_blocking(std::thread::yield_now).await.unwrap();
        tries += 1;
        assert!(tries < 100_000, "never: {what}");
    }
}

impl Site {
    /// Waits until no transfer runs.
    async fn quiet(&self) {
        let running = || self.footage.stats().fetch.running > 0 || self.sessions().0 > 0;
        until("quiet", || !running()).await;
    }
}

/// Everything that must not change with the way a unit came.
fn units(deliveries: &[Delivery]) -> Vec<(TrackToken, Utc, i64, usize, crate::Marks)> {
    let unit = |d: &Delivery| match d {
        Delivery::Unit { frame, marks } => {
            Some((frame.track.clone(), frame.at.utc, frame.media.ticks, frame.data.len(), *marks))
        }
        _ => None,
    };
    deliveries.iter().filter_map(unit).collect()
}

#[tokio::test]
async fn forwards_over_chunks_with_one_session_and_the_next_chunk_ahead() {
    let site = Site::new("UTC", vec![minutes(3)], BUDGET).await;
    let mut stream = site.footage.play(plan(T0, Direction::Forward));
    let mut got = Vec::new();
    while let Some(delivery) = stream.next().await {
        got.push(delivery.unwrap());
        if got.len() % 100 == 0 {
            // A viewer is slower than a transfer.
            site.quiet().await;
        }
    }
    assert_eq!(instants(&got, TrackKind::Video), every(FRAME_US, T0, at_ms(180_000)));
    assert_eq!(instants(&got, TrackKind::Audio), every(AUDIO_US, T0, at_ms(180_000)));
    assert!(got.iter().all(|d| matches!(d, Delivery::Unit { .. })), "no gaps");
    let stats = site.footage.stats().fetch;
    assert_eq!((stats.transfers, site.opens(), site.sessions().1), (9, 9, 1), "{stats:?}");
    assert_eq!(stats.prefetches, 8);
}

#[tokio::test]
async fn in_reverse_the_mirror_with_the_same_transfers() {
    let site = Site::new("UTC", vec![minutes(2)], BUDGET).await;
    let got = all(site.footage.play(plan(at_ms(119_990), Direction::Reverse))).await;
    let want = every(FRAME_US, T0, at_ms(120_000));
    let per_gop = (GOP_US / FRAME_US) as usize;
    let pieces: Vec<&[Utc]> = want.0.chunks(per_gop).rev().collect();
    assert_eq!(instants(&got, TrackKind::Video), Times(pieces.concat()));
    assert!(instants(&got, TrackKind::Audio).0.is_empty());
    site.quiet().await;
    let stats = site.footage.stats().fetch;
    assert_eq!((stats.transfers, site.sessions()), (6, (0, 1)), "{stats:?}");
    // And forwards out of the store alone.
    let opens = site.opens();
    let there = all(site.footage.play(plan(T0, Direction::Forward))).await;
    assert_eq!(instants(&there, TrackKind::Video), every(FRAME_US, T0, at_ms(120_000)));
    assert_eq!(site.opens(), opens);
}

#[tokio::test]
async fn a_seek_starts_at_the_clean_point_before_and_fetches_from_there() {
    // R8.5.5-2.
    let site = Site::new("UTC", vec![minutes(1)], BUDGET).await;
    site.recorder.behaviour.lock().chunk = Duration::from_secs(60);
    let mut stream = site.footage.play(plan(at_ms(31_500), Direction::Forward));
    let Some(Ok(Delivery::Unit { frame, marks })) = stream.next().await else { panic!() };
    assert_eq!((frame.at.utc, marks.clean), (at_ms(30_000), true));
    drop(stream);
    site.quiet().await;
    // It did not fetch what lies before the seek.
    let stored = site.footage.cover(&"yard-1-video".into(), range_ms(0, 30_000)).unwrap();
    assert_eq!(stored.gops.len(), 0);
    assert_eq!(site.sessions().0, 0);
}

#[tokio::test]
async fn a_recorder_that_starts_behind_the_asked_instant_is_asked_for_more() {
    let site = Site::new("UTC", vec![minutes(1)], BUDGET).await;
    site.recorder.behaviour.lock().starts_late = true;
    let got = all(site.footage.play(plan(at_ms(31_500), Direction::Forward))).await;
    assert_eq!(instants(&got, TrackKind::Video), every(FRAME_US, at_ms(30_000), at_ms(60_000)));
}

#[tokio::test]
async fn what_is_stored_survives_a_restart_and_costs_nothing() {
    let site = Site::new("UTC", vec![minutes(1)], BUDGET).await;
    let before = all(site.footage.play(plan(T0, Direction::Forward))).await;
    let opens = site.opens();
    let site = site.reopen().await;
    site.recorder.behaviour.lock().refuses = Some(ErrorKind::Unreachable);
    let after = all(site.footage.play(plan(T0, Direction::Forward))).await;
    assert_eq!(format!("{:?}", units(&before)), format!("{:?}", units(&after)));
    assert_eq!(site.opens(), opens);
}

#[tokio::test]
async fn gaps_between_segments_are_skipped_and_reported() {
    // R8.3-7, R8.5.5-3.
    let recorded = vec![range_ms(0, 7_000), range_ms(19_000, 33_000)];
    let site = Site::new("UTC", recorded, BUDGET).await;
    let got = all(site.footage.play(plan(at_ms(-60_000), Direction::Forward))).await;
    let parts = [every(FRAME_US, T0, at_ms(7_000)), every(FRAME_US, at_ms(19_000), at_ms(33_000))];
    let want = Times(parts.into_iter().flat_map(|t| t.0).collect());
    assert_eq!(instants(&got, TrackKind::Video), want);
    let gaps: Vec<_> = got.iter().filter(|d| matches!(d, Delivery::Gap(_))).collect();
    assert!(matches!(gaps[..], [Delivery::Gap(r)] if *r == range_ms(6_960, 19_000)), "{gaps:?}");
    let ends: Vec<Utc> = got
        .iter()
        .filter_map(|d| match d {
            Delivery::Unit { frame, marks } if marks.end_of_span => Some(frame.at.utc),
            _ => None,
        })
        .collect();
    assert_eq!(ends, [6_800, 6_960, 32_800, 32_960].map(at_ms));
}

#[tokio::test]
async fn a_store_of_one_chunk_plays_hours() {
    // Each chunk of 20 s is some 40 kB, five minutes are 600.
    let site = Site::new("UTC", vec![minutes(5)], 300_000).await;
    let got = all(site.footage.play(plan(T0, Direction::Forward))).await;
    assert_eq!(instants(&got, TrackKind::Video), every(FRAME_US, T0, at_ms(300_000)));
    assert!(site.footage.stats().store.evicted_files > 0);
    assert!(site.footage.stats().store.bytes <= 300_000);
}

#[tokio::test]
async fn new_parameters_come_with_the_frames_they_are_for() {
    // R8.T-12: a change of parameters is visible to whoever packs the units.
    let site = Site::new("UTC", vec![minutes(1)], BUDGET).await;
    site.recorder.behaviour.lock().changes_params_at = Some(at_ms(30_000));
    for _ in 0..2 {
        let got = all(site.footage.play(plan(T0, Direction::Forward))).await;
        for d in got {
            if let Delivery::Unit { frame, .. } = d
                && frame.kind != FrameKind::Audio
            {
                let want = if frame.at.utc < at_ms(30_000) { 64 } else { 128 };
                assert_eq!(frame.params.width, want, "{}", frame.at.utc);
            }
        }
    }
}

#[tokio::test]
async fn long_gops_are_fetched_with_longer_tails() {
    let site = Site::new("UTC", vec![minutes(2)], BUDGET).await;
    site.recorder.behaviour.lock().gop_us = 25_000_000;
    let got = all(site.footage.play(plan(T0, Direction::Forward))).await;
    assert_eq!(instants(&got, TrackKind::Video), every(FRAME_US, T0, at_ms(120_000)));
}

#[tokio::test]
async fn footage_that_only_comes_by_the_segment_comes_once() {
    let site = Site::new("UTC", vec![minutes(2)], BUDGET).await;
    site.recorder.behaviour.lock().seek = SeekGrain::Segment;
    let got = all(site.footage.play(plan(at_ms(61_000), Direction::Forward))).await;
    assert_eq!(instants(&got, TrackKind::Video), every(FRAME_US, at_ms(60_000), at_ms(120_000)));
    let got = all(site.footage.play(plan(T0, Direction::Forward))).await;
    assert_eq!(instants(&got, TrackKind::Video), every(FRAME_US, T0, at_ms(120_000)));
    assert_eq!(site.opens(), 1);
}

#[tokio::test]
async fn the_live_edge_is_followed_until_recording_stops() {
    // R8.8-1, R8.8-2, R8.8-3, R8.9-2.
    let site = Site::new("UTC", vec![range_ms(0, 60_000)], BUDGET).await;
    site.apply(vec![Change::Recording(Box::new(recording(RecordingStatus::Recording)))]).await;
    site.list(range_ms(0, 11_000), SegmentState::Growing).await;
    site.recorder.behaviour.lock().recorded = vec![range_ms(0, 11_000)];
    let tracks = vec!["yard-1-video".into()];
    let live = PlayPlan { tracks, follow_live: true, ..plan(T0, Direction::Forward) };
    let mut stream = site.footage.play(live);
    let mut seen = Vec::new();
    let mut edges = 0;
    loop {
        match stream.next().await.unwrap().unwrap() {
            Delivery::Unit { frame, marks } => seen.push((frame.at.utc, marks)),
            Delivery::Gap(gap) => panic!("{gap}"),
            Delivery::LiveEdge(_) if seen.last().is_some_and(|(_, m)| m.terminal) => break,
            Delivery::LiveEdge(_) => {
                edges += 1;
                assert!(seen.iter().all(|(_, m)| !m.end_of_span && !m.terminal));
                let (until, state) = match edges {
                    1 => (17_000, SegmentState::Growing),
                    2 => (25_000, SegmentState::Growing),
                    _ => (25_000, SegmentState::Closed),
                };
                site.recorder.behaviour.lock().recorded = vec![range_ms(0, until)];
                if state == SegmentState::Closed {
                    let stopped = recording(RecordingStatus::Stopped);
                    site.apply(vec![Change::Recording(Box::new(stopped))]).await;
                }
                site.list(range_ms(0, until), state).await;
            }
        }
    }
    assert!(edges >= 3);
    let times = Times(seen.iter().map(|(at, _)| *at).collect());
    assert_eq!(times, every(FRAME_US, T0, at_ms(25_000)));
    let (_, last) = seen.last().unwrap();
    assert!(last.end_of_span && last.terminal);

    // Nothing is asked of the recorder while nothing new is there, and playback goes on when it is.
    let opens = site.opens();
    site.list(range_ms(0, 25_000), SegmentState::Closed).await;
    site.list(range_ms(0, 25_000), SegmentState::Closed).await;
    assert!(stream.next().now_or_never().is_none());
    assert_eq!(site.opens(), opens);
    let again = range_ms(40_000, 50_000);
    site.recorder.behaviour.lock().recorded = vec![range_ms(0, 25_000), again];
    site.list(again, SegmentState::Closed).await;
    assert!(matches!(stream.next().await, Some(Ok(Delivery::Gap(_)))));
    let mut resumed = Vec::new();
    while let Delivery::Unit { frame, .. } = stream.next().await.unwrap().unwrap() {
        resumed.push(frame.at.utc);
    }
    assert_eq!(Times(resumed), every(FRAME_US, at_ms(40_000), at_ms(50_000)));
}

mod clocks;
mod faults;
mod sharing;
