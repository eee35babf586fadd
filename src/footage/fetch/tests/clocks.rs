//! Instants of what is fetched: coarse clocks, clocks that go back, clocks that are measured anew.

use super::*;

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
