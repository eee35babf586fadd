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
