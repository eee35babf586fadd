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

#[tokio::test]
async fn ten_viewers_of_one_minute_cost_the_recorder_one_session() {
    let site = Site::new("Europe/Bratislava", vec![minutes(1)], BUDGET).await;
    site.recorder.behaviour.lock().chunk = Duration::from_secs(60);
    let viewers = (0..10).map(|_| {
        let footage = Arc::clone(&site.footage);
        tokio::spawn(async move { all(footage.play(plan(T0, Direction::Forward))).await })
    });
    for viewer in viewers.collect::<Vec<_>>() {
        let got = viewer.await.unwrap();
        assert_eq!(instants(&got, TrackKind::Video), every(FRAME_US, T0, at_ms(60_000)));
        assert_eq!(instants(&got, TrackKind::Audio), every(AUDIO_US, T0, at_ms(60_000)));
    }
    site.quiet().await;
    assert_eq!((site.opens(), site.sessions()), (1, (0, 1)));
    let stats = site.footage.stats();
    assert_eq!((stats.fetch.transfers, stats.fetch.joins), (1, 9));
    // An eleventh comes later and costs nothing.
    let got = all(site.footage.play(plan(T0, Direction::Forward))).await;
    assert_eq!(instants(&got, TrackKind::Video).0.len(), 1500);
    assert_eq!(site.opens(), 1);
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
async fn units_are_handed_on_while_the_transfer_runs() {
    let site = Site::new("UTC", vec![minutes(1)], BUDGET).await;
    let gate = Arc::new(Semaphore::new(0));
    *site.recorder.gate.lock() = Some(Arc::clone(&gate));
    let video = PlayPlan { tracks: vec!["yard-1-video".into()], ..plan(T0, Direction::Forward) };
    let mut stream = site.footage.play(video);
    // Two GOPs and the key frame of the third.
    gate.add_permits(150);
    for i in 0..50 {
        let Some(Ok(Delivery::Unit { frame, .. })) = stream.next().await else { panic!() };
        assert_eq!(frame.at.utc, at_ms(i * 40));
    }
    assert_eq!(site.sessions().0, 1);
    // Dropping the only viewer ends the transfer and releases the session.
    drop(stream);
    site.quiet().await;
    assert_eq!(site.sessions().0, 0);
    assert_eq!(site.footage.stats().fetch.abandoned, 1);
}

#[tokio::test]
async fn a_viewer_who_leaves_does_not_take_the_transfer_from_the_others() {
    let site = Site::new("UTC", vec![range_ms(0, 20_000)], BUDGET).await;
    let gate = Arc::new(Semaphore::new(0));
    *site.recorder.gate.lock() = Some(Arc::clone(&gate));
    let video = PlayPlan { tracks: vec!["yard-1-video".into()], ..plan(T0, Direction::Forward) };
    let (mut first, mut second) =
        (site.footage.play(video.clone()), site.footage.play(video.clone()));
    gate.add_permits(200);
    let (a, b) = futures::join!(first.next(), second.next());
    assert!(a.unwrap().is_ok() && b.unwrap().is_ok());
    drop(first);
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(site.sessions().0, 1);
    gate.add_permits(10_000);
    assert_eq!(all(second).await.len(), 499);
    site.quiet().await;
    assert_eq!((site.opens(), site.sessions().0), (1, 0));
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
async fn what_the_index_promises_and_the_recorder_lacks_is_asked_for_once() {
    let site = Site::new("UTC", vec![minutes(1)], BUDGET).await;
    // The recorder lost the middle.
    site.recorder.behaviour.lock().recorded = vec![range_ms(0, 10_000)];
    let got = all(site.footage.play(plan(T0, Direction::Forward))).await;
    assert_eq!(instants(&got, TrackKind::Video), every(FRAME_US, T0, at_ms(10_000)));
    let opens = site.opens();
    let again = all(site.footage.play(plan(T0, Direction::Forward))).await;
    assert_eq!(instants(&again, TrackKind::Video).0.len(), 250);
    assert_eq!(site.opens(), opens, "empty stretches are remembered");
}

#[tokio::test]
async fn no_connection_ends_playback_with_its_reason_and_damage_is_skipped() {
    let site = Site::new("UTC", vec![minutes(1)], BUDGET).await;
    site.recorder.behaviour.lock().refuses = Some(ErrorKind::PermissionDenied);
    let got: Vec<Result<Delivery>> =
        site.footage.play(plan(T0, Direction::Forward)).collect().await;
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].as_ref().unwrap_err().kind(), ErrorKind::PermissionDenied);
    // A second viewer at the same time does not make us ask again.
    let opens = site.opens();
    let again = site.footage.play(plan(T0, Direction::Forward)).next().await.unwrap();
    assert_eq!(again.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(site.opens(), opens);

    let site = Site::new("UTC", vec![minutes(1)], BUDGET).await;
    site.recorder.behaviour.lock().refuses = Some(ErrorKind::NotFound);
    assert!(all(site.footage.play(plan(T0, Direction::Forward))).await.is_empty());
}

#[tokio::test]
async fn a_store_that_cannot_be_written_does_not_stop_playback() {
    // No GOP of 50 frames with about 4 kB fits.
    let site = Site::new("UTC", vec![minutes(1)], 3_000).await;
    let got = all(site.footage.play(plan(T0, Direction::Forward))).await;
    assert_eq!(instants(&got, TrackKind::Video), every(FRAME_US, T0, at_ms(60_000)));
    let back = all(site.footage.play(plan(at_ms(59_990), Direction::Reverse))).await;
    assert_eq!(instants(&back, TrackKind::Video).0.len(), 1500);
    assert!(site.footage.stats().store.failed_puts > 0);
    site.quiet().await;
    assert_eq!(site.sessions().0, 0);
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
async fn bytes_are_demuxed_hashed_and_resumed_where_they_broke_off() {
    use sha2::{Digest, Sha256};
    let site = Site::new("UTC", vec![range_ms(0, 20_000)], BUDGET).await;
    {
        let mut b = site.recorder.behaviour.lock();
        (b.as_bytes, b.breaks_after) = (true, Some(12_345));
    }
    let got = all(site.footage.play(plan(T0, Direction::Forward))).await;
    assert_eq!(instants(&got, TrackKind::Video), every(FRAME_US, T0, at_ms(20_000)));
    let opens = site.recorder.opens.lock().clone();
    assert_eq!(opens.iter().map(|o| o.2).collect::<Vec<_>>(), [0, 12_345]);
    // The origin names the vendor bytes and their sum, once the transfer has ended.
    site.quiet().await;
    let key = crate::GopKey { track: "yard-1-video".into(), start: T0 };
    let gop = site.footage.gop(&key).await.unwrap();
    let origin = gop.frames[0].origin.clone().unwrap();
    let bytes = site.recorder.sent(opens[0].0);
    assert_eq!(origin.bytes, bytes.len() as u64);
    assert_eq!(origin.sha256, Some(Sha256::digest(&bytes).into()));
}

#[tokio::test]
async fn whole_second_anchors_keep_frames_in_order_over_chunks() {
    // GOPs that do not fall on seconds: every transfer begins at another phase of the second, and
    // would place its first unit up to half a second off, each another way.
    let site = Site::new("UTC", vec![minutes(3)], BUDGET).await;
    {
        let mut b = site.recorder.behaviour.lock();
        (b.resolution_us, b.gop_us) = (1_000_000, 1_720_000);
    }
    let video = PlayPlan { tracks: vec!["yard-1-video".into()], ..plan(T0, Direction::Forward) };
    let got = all(site.footage.play(video)).await;
    let times: Vec<Utc> = units(&got).into_iter().map(|u| u.1).collect();
    assert_eq!(times.len(), 4500, "every frame once");
    for (i, t) in times.iter().enumerate() {
        assert!(t.since_us(at_ms(i as i64 * 40)).unsigned_abs() <= 600_000);
    }
    let steps: Vec<i64> = times.windows(2).map(|w| w[1].since_us(w[0])).collect();
    assert!(steps.iter().all(|s| *s > 0), "R8.3-14");
    // Each transfer may narrow the second down, but none begins with a step.
    let uneven = steps.iter().filter(|s| **s != FRAME_US).count();
    assert!(uneven < 15, "{uneven} uneven steps");
    assert_eq!(site.opens(), 9, "no transfer for a hole that only the stamps made");
}

#[tokio::test]
async fn the_doubled_hour_comes_out_right() {
    // Clocks go back at 01:00:00Z; the recorder's at its own time, 137.4 s earlier. One file ends
    // there and the next begins, both within the same hour of the wall clock.
    let change: Utc = "2026-10-25T01:00:00Z".parse().unwrap();
    let change = change.plus_us(-137_400_000);
    let r = |from: i64, to: i64| {
        UtcRange::new(change.plus_us(from * 1_000_000), change.plus_us(to * 1_000_000)).unwrap()
    };
    let recorded = vec![r(-1860, -1800), r(-40, 0), r(0, 40), r(1740, 1800)];
    let site = Site::new("Europe/Bratislava", recorded.clone(), BUDGET).await;
    let parts = recorded.iter().flat_map(|r| every(FRAME_US, r.start(), r.end()).0);
    let want = Times(parts.collect());
    let got = all(site.footage.play(plan(recorded[0].start(), Direction::Forward))).await;
    assert_eq!(instants(&got, TrackKind::Video), want);
    let back = all(site.footage.play(plan(recorded[3].end(), Direction::Reverse))).await;
    let mut back = instants(&back, TrackKind::Video);
    back.0.sort();
    assert_eq!(back, want);
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
async fn a_prefetch_that_has_not_begun_is_raised_when_it_is_needed() {
    let site = Site::new("UTC", vec![range_ms(0, 40_000)], BUDGET).await;
    let video = PlayPlan { tracks: vec!["yard-1-video".into()], ..plan(T0, Direction::Forward) };
    let mut stream = site.footage.play(video);
    stream.next().await.unwrap().unwrap();
    site.quiet().await;
    // The first chunk is there; for the next one the door is shut.
    *site.recorder.door.lock() = Some(Arc::new(Semaphore::new(0)));
    for _ in 1..400 {
        stream.next().await.unwrap().unwrap();
    }
    assert_eq!(site.footage.stats().fetch.prefetches, 1);
    until("asked ahead", || site.opens() == 2).await;
    let door = site.recorder.door.lock().clone().unwrap();
    let rest = tokio::spawn(async move { all(stream).await.len() });
    until("asked again", || site.opens() == 3).await;
    door.add_permits(10);
    assert_eq!(rest.await.unwrap(), 600);
    site.quiet().await;
    let priorities: Vec<Priority> = site.recorder.opens.lock().iter().map(|o| o.1).collect();
    assert_eq!(priorities, [Priority::Replay, Priority::Backfill, Priority::Replay]);
    assert_eq!(site.sessions().0, 0);
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

#[tokio::test]
async fn stored_footage_follows_the_clock_when_it_is_measured_anew() {
    let site = Site::new("Europe/Bratislava", vec![minutes(1)], BUDGET).await;
    let before = all(site.footage.play(plan(T0, Direction::Forward))).await;
    let opens = site.opens();
    // The recorder was not 137.4 s ahead but 132.4 s: all of it happened 5 s later.
    site.measure_clock(132_400_000).await;
    site.list_as(range_ms(0, 60_000), range_ms(5_000, 65_000)).await;
    let moved = |d: &[Delivery]| -> Vec<_> {
        units(d).into_iter().map(|u| (u.0, u.1.plus_us(5_000_000), u.2, u.3, u.4)).collect()
    };
    let after = all(site.footage.play(plan(T0, Direction::Forward))).await;
    assert!(units(&after) == moved(&before));
    let site = site.reopen().await;
    let again = all(site.footage.play(plan(T0, Direction::Forward))).await;
    assert!(units(&again) == moved(&before));
    assert_eq!(site.opens(), opens);
    // And back.
    site.measure_clock(137_400_000).await;
    site.list_as(range_ms(0, 60_000), range_ms(0, 60_000)).await;
    let back = all(site.footage.play(plan(T0, Direction::Forward))).await;
    assert!(units(&back) == units(&before));
}
