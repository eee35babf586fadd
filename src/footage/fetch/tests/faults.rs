//! Recorders that break off, stall, lie and lack what they promised; disks that are full.

use std::time::Instant;

use super::super::fake::Harm;
use super::*;
use crate::FootageOptions;

/// A minute of a recorder that does this to its transfers, as one chunk.
async fn harmed(as_bytes: bool, harm: &[(usize, Harm)]) -> Site {
    let site = Site::new("UTC", vec![minutes(1)], BUDGET).await;
    let mut b = site.recorder.behaviour.lock();
    (b.as_bytes, b.resumes, b.chunk) = (as_bytes, false, Duration::from_secs(60));
    b.harm = harm.iter().copied().collect();
    drop(b);
    site
}

/// Plays it all and checks that every unit comes once.
async fn plays_whole(site: &Site) {
    let got = all(site.footage.play(plan(T0, Direction::Forward))).await;
    assert_eq!(instants(&got, TrackKind::Video), every(FRAME_US, T0, at_ms(60_000)));
    assert_eq!(instants(&got, TrackKind::Audio), every(AUDIO_US, T0, at_ms(60_000)));
    assert!(got.iter().all(|d| matches!(d, Delivery::Unit { .. })), "no gaps");
    site.quiet().await;
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[tokio::test(start_paused = true)]
async fn what_breaks_goes_on_behind_what_it_brought() {
    // Of units, and of bytes where the recorder cannot go on at a byte; the third attempt brings
    // nothing.
    for (as_bytes, harm) in [(false, [600, 450, 3]), (true, [60_000, 40_000, 100])] {
        let site = harmed(as_bytes, &harm.map(|n| (n, Harm::Breaks))).await;
        let begun = now();
        plays_whole(&site).await;
        let stats = site.footage.stats().fetch;
        assert_eq!((stats.transfers, stats.breaks, stats.failures), (1, 3, 0), "{stats:?}");
        assert_eq!((site.opens(), site.sessions()), (4, (0, 1)), "the session first");
        assert!(now() - begun < Duration::from_secs(2), "{:?}", now() - begun);
        // What was brought is not asked for again, but for the group that the sound was behind in.
        let starts: Vec<Utc> = {
            let opens = site.recorder.opens.lock();
            let ahead = |c: dvrgate_model::Civil| c.micros_as_if_utc() - site.recorder.ahead_us;
            opens.iter().map(|o| Utc::from_micros(ahead(o.0.start))).collect()
        };
        assert!(starts[1].since_us(starts[0]) >= 15_000_000, "{starts:?}");
        assert!(starts[2].since_us(starts[1]) >= 10_000_000, "{starts:?}");
        assert_eq!(starts[3], starts[2]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_stalls_is_given_up_and_asked_for_anew() {
    for as_bytes in [false, true] {
        let site = harmed(as_bytes, &[(600, Harm::Stalls)]).await;
        let begun = now();
        plays_whole(&site).await;
        assert_eq!((site.opens(), site.sessions()), (2, (0, 1)), "the session first");
        let pause = now() - begun;
        let bearable = FootageOptions::STALL..FootageOptions::STALL + Duration::from_secs(2);
        assert!(bearable.contains(&pause), "{pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_ends_before_its_time_broke_off() {
    for as_bytes in [false, true] {
        // In the middle of a group: it must not be taken for whole.
        let site = harmed(as_bytes, &[(617, Harm::Ends)]).await;
        plays_whole(&site).await;
        assert_eq!((site.opens(), site.sessions()), (2, (0, 1)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_breaks_too_often_ends_playback_with_all_that_came() {
    let harm: Vec<_> = std::iter::once(600).chain([0; 20]).map(|n| (n, Harm::Breaks)).collect();
    let site = harmed(false, &harm).await;
    let video = PlayPlan { tracks: vec!["yard-1-video".into()], ..plan(T0, Direction::Forward) };
    let got: Vec<Result<Delivery>> = site.footage.play(video).collect().await;
    let (last, units) = got.split_last().unwrap();
    assert_eq!(last.as_ref().unwrap_err().kind(), ErrorKind::Unreachable);
    let units: Vec<Delivery> = units.iter().map(|d| d.as_ref().unwrap().clone()).collect();
    // Nine whole groups; no unit says that the recording ends.
    assert_eq!(instants(&units, TrackKind::Video), every(FRAME_US, T0, at_ms(18_000)));
    let ends = |d: &Delivery| matches!(d, Delivery::Unit { marks, .. } if marks.end_of_span || marks.terminal);
    assert!(!units.iter().any(ends));
    assert_eq!(site.opens(), 6, "bounded");
    site.quiet().await;
    assert_eq!(site.sessions(), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_refused_log_in_is_never_tried_again() {
    let site = harmed(false, &[(600, Harm::Refuses)]).await;
    let got: Vec<Result<Delivery>> =
        site.footage.play(plan(T0, Direction::Forward)).collect().await;
    let error = got.last().unwrap().as_ref().unwrap_err();
    assert_eq!((error.kind(), site.opens()), (ErrorKind::Unauthenticated, 1));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_fetched_ahead_is_asked_for_when_it_is_needed() {
    let site = Site::new("UTC", vec![range_ms(0, 40_000)], BUDGET).await;
    let video = PlayPlan { tracks: vec!["yard-1-video".into()], ..plan(T0, Direction::Forward) };
    let mut stream = site.footage.play(video);
    stream.next().await.unwrap().unwrap();
    site.quiet().await;
    site.recorder.behaviour.lock().refuses = Some(ErrorKind::Unreachable);
    for _ in 1..400 {
        stream.next().await.unwrap().unwrap();
    }
    // Time stands still but for this.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(site.footage.stats().fetch.failures, 1, "given up");
    site.recorder.behaviour.lock().refuses = None;
    assert_eq!(all(stream).await.len(), 600);
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
async fn bytes_are_demuxed_hashed_and_resumed_where_they_broke_off() {
    use sha2::{Digest, Sha256};
    let site = Site::new("UTC", vec![range_ms(0, 20_000)], BUDGET).await;
    {
        let mut b = site.recorder.behaviour.lock();
        (b.as_bytes, b.harm) = (true, [(12_345, Harm::Breaks)].into());
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

#[tokio::test(start_paused = true)]
async fn in_reverse_what_came_is_played_before_the_reason_is_told() {
    let site = Site::new("UTC", vec![minutes(1)], BUDGET).await;
    // The last chunk comes, the one before it does not.
    let last = PlayPlan { until: Some(at_ms(40_000)), ..plan(at_ms(59_990), Direction::Reverse) };
    let seen = all(site.footage.play(last)).await.len();
    site.recorder.behaviour.lock().refuses = Some(ErrorKind::PermissionDenied);
    let got: Vec<Result<Delivery>> =
        site.footage.play(plan(at_ms(59_990), Direction::Reverse)).collect().await;
    let (error, units) = got.split_last().unwrap();
    assert_eq!(error.as_ref().unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert!(units.len() >= seen && seen > 0, "{} of {seen}", units.len());
    let ends = |d: &Result<Delivery>| {
        let Ok(Delivery::Unit { marks, .. }) = d else { panic!("{d:?}") };
        marks.end_of_span || marks.terminal
    };
    assert!(!units.iter().any(ends));
}
