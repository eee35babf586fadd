//! The end of footage that is still growing, and what happens when it stops and goes on.

use std::time::Duration;

use dvrgate_model::{Codec, CodecParams, RecordingStatus, SegmentState};

use super::places::pictures;
use super::raw::{Raw, Seen};
use super::stage::Stage;

fn told(seen: &[Seen]) -> Vec<(i64, bool, bool)> {
    let start = pictures(0, 40)[0].at.utc;
    let of =
        |u: &Seen| (u.replay.at.since_us(start) / 1000, u.replay.end_of_section, u.replay.terminal);
    seen.iter().map(of).collect()
}

fn plain(from_ms: i64, to_ms: i64) -> Vec<(i64, bool, bool)> {
    (from_ms..to_ms).step_by(40).map(|ms| (ms, false, false)).collect()
}

/// R8.8-1, R8.8-2, R8.8-3, R8.9-1, R8.9-2, R8.3-7, with rate control and without: playback catches up
/// with recording, follows it without claiming an end, ends with it, and goes on with it.
#[tokio::test(start_paused = true)]
async fn playback_follows_what_is_recorded() {
    for fields in ["Rate-Control: no\r\n", "", "Scale: 4.0\r\n"] {
        let stage = Stage::new([CodecParams::new(Codec::H264)]).await;
        stage.status(RecordingStatus::Recording).await;
        stage.record(pictures(0, 2000), SegmentState::Growing).await;
        let mut raw = Raw::new(&stage, 1).await;
        let answer = raw.play(fields).await;
        // The newest one waits until it is known whether it is the last.
        assert_eq!(told(&answer.units()), plain(0, 1960), "{fields}");

        // What is recorded is sent as it comes, in a second a second and not at once when it is late.
        for (from, to) in [(2000, 3000), (3000, 5000)] {
            stage.record(pictures(from, to), SegmentState::Growing).await;
            let begun = tokio::time::Instant::now();
            let seen = raw.watch().await;
            let units: Vec<Seen> = seen.iter().map(|s| s.1).collect();
            assert_eq!(told(&units), plain(from - 40, to - 40), "{fields}");
            assert!(seen[0].0.duration_since(begun) < Duration::from_millis(50), "{fields}");
        }

        // Something else changes: nothing is sent.
        stage.status(RecordingStatus::Recording).await;
        assert!(raw.watch().await.is_empty());

        // It stops: E and T, and the session goes on playing.
        stage.status(RecordingStatus::Stopped).await;
        stage.record(pictures(5000, 6000), SegmentState::Closed).await;
        let units = super::raw::units(&raw.rest().await);
        let expected = [plain(4960, 5960), vec![(5960, true, true)]].concat();
        assert_eq!(told(&units), expected, "{fields}");
        assert!(raw.watch().await.is_empty());

        // It is taken up again, half a minute later.
        stage.record(pictures(36_000, 37_000), SegmentState::Closed).await;
        let units = super::raw::units(&raw.rest().await);
        let expected = [plain(36_000, 36_960), vec![(36_960, true, true)]].concat();
        assert_eq!(told(&units), expected, "{fields}");
        // No implicit PAUSE: a PLAY without a Range is a sign of life.
        let alive = raw.ask("PLAY", "", "").await;
        assert_eq!((alive.response.status.0, alive.packets.len()), (200, 0));
    }
}

/// R8.5.5-5: a start behind all data of what is being recorded is its live edge, and the answer does
/// not wait for it.
#[tokio::test(start_paused = true)]
async fn a_start_in_the_future_is_the_live_edge() {
    let stage = Stage::new([CodecParams::new(Codec::H264)]).await;
    stage.status(RecordingStatus::Recording).await;
    stage.record(pictures(0, 2000), SegmentState::Growing).await;
    let mut raw = Raw::new(&stage, 1).await;
    let begun = tokio::time::Instant::now();
    let answer = raw.ask("PLAY", "", "Range: npt=now-\r\n").await;
    assert_eq!(answer.response.status.0, 200);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    stage.record(pictures(2000, 3000), SegmentState::Growing).await;
    let seen = raw.watch().await;
    let units: Vec<Seen> = seen.iter().map(|s| s.1).collect();
    assert_eq!(told(&units).first(), Some(&(2000, false, false)));
    assert_eq!(units.len(), 24);
}
