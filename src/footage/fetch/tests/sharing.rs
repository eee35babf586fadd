//! Many viewers and one transfer; what is fetched ahead.

use super::*;

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
async fn a_minute_across_the_border_of_chunks_is_one_transfer_and_what_follows_is_none() {
    let site = Site::new("UTC", vec![minutes(5)], BUDGET).await;
    site.recorder.behaviour.lock().chunk = Duration::from_secs(60);
    // Chunks lie on a grid of their own.
    let grid = |t: Utc| t.micros().rem_euclid(60_000_000);
    let border = at_ms(60_000).plus_us(60_000_000 - grid(at_ms(60_000)));
    let (from, until) = (border.plus_us(-31_000_000), border.plus_us(29_000_000));
    let minute = PlayPlan { until: Some(until), ..plan(from, Direction::Forward) };
    for _ in 0..2 {
        let mut stream = site.footage.play(minute.clone());
        let mut got = 0;
        while let Some(delivery) = stream.next().await {
            delivery.unwrap();
            got += 1;
            if got % 300 == 0 {
                // A viewer is slower than a transfer.
                site.quiet().await;
            }
        }
        assert!(got >= 1_500 + 300, "{got}");
    }
    site.quiet().await;
    let stats = site.footage.stats().fetch;
    assert_eq!((stats.transfers, stats.prefetches, site.opens()), (1, 0, 1), "{stats:?}");
}

#[tokio::test]
async fn stored_footage_costs_nothing_where_it_begins_a_little_after_its_listing() {
    let recorded = range_ms(1_200, 31_200);
    let site = Site::new("UTC", vec![recorded], BUDGET).await;
    // The index knows whole seconds.
    site.list_as(recorded, range_ms(200, 32_000)).await;
    for from in [200, 600, 1_190] {
        let got = all(site.footage.play(plan(at_ms(from), Direction::Forward))).await;
        let want = every(FRAME_US, recorded.start(), recorded.end());
        assert_eq!(instants(&got, TrackKind::Video), want);
        site.quiet().await;
        site.recorder.behaviour.lock().refuses = Some(ErrorKind::Unreachable);
    }
}

#[tokio::test(start_paused = true)]
async fn a_prefetch_that_gave_its_session_away_goes_on_for_who_needs_it() {
    let site = Site::new("UTC", vec![minutes(4)], BUDGET).await;
    let video = |ms| PlayPlan {
        tracks: vec!["yard-1-video".into()],
        until: Some(at_ms(ms + 20_000)),
        ..plan(at_ms(ms), Direction::Forward)
    };
    let first = PlayPlan { until: None, ..video(0) };
    let mut first = site.footage.play(first);
    first.next().await.unwrap().unwrap();
    site.quiet().await;
    // What is fetched ahead has a session and is slow.
    let gate = Arc::new(Semaphore::new(0));
    *site.recorder.gate.lock() = Some(Arc::clone(&gate));
    for _ in 1..100 {
        first.next().await.unwrap().unwrap();
    }
    until("fetched ahead", || site.opens() == 2).await;
    // Two viewers want the recorder's two sessions.
    let others = [100_000, 180_000].map(|ms| tokio::spawn(all(site.footage.play(video(ms)))));
    // Time stands still but for this; the recorder gets a moment to notice.
    tokio::time::sleep(Duration::from_secs(1)).await;
    until("the session changed hands", || site.opens() == 4).await;
    gate.add_permits(1_000_000);
    for other in others {
        assert_eq!(other.await.unwrap().len(), 500);
    }
    assert_eq!(100 + all(first).await.len(), 6_000);
    site.quiet().await;
    assert_eq!(site.sessions(), (0, 2));
    let stats = site.footage.stats().fetch;
    assert_eq!((stats.breaks, stats.failures), (1, 0), "{stats:?}");
}
