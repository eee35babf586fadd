//! Where playback begins and ends, how fast it goes, and how it is paused: three sections of ten
//! seconds, ten seconds apart, groups of a second, 25 pictures a second.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dvrgate_media::codec::annexb;
use dvrgate_model::{Codec, CodecParams, Frame, FrameKind, SegmentState, Utc};
use dvrgate_rtsp::headers::{ClockRange, RtpInfo};

use super::raw::{QUIET, Raw, Seen};
use super::stage::{Stage, bare_h264, unit};

fn t(ms: i64) -> Utc {
    Utc::from_secs(1_790_000_000).plus_us(ms * 1000)
}

/// Pictures between two instants.
pub fn pictures(from_ms: i64, to_ms: i64) -> Vec<Frame> {
    let picture = |ms: i64| {
        let kind = if ms % 1000 == 0 { FrameKind::Key } else { FrameKind::Predicted };
        let nal = [&[if kind == FrameKind::Key { 0x65 } else { 0x41 }][..], &[7; 300]].concat();
        unit(&bare_h264(), t(ms), kind, annexb::join([&nal[..]]))
    };
    (from_ms..to_ms).step_by(40).map(picture).collect()
}

async fn three_sections() -> (Stage, Raw) {
    let stage = Stage::new([CodecParams::new(Codec::H264)]).await;
    let all = [0, 20_000, 40_000].into_iter().flat_map(|ms| pictures(ms, ms + 10_000));
    stage.record(all.collect(), SegmentState::Closed).await;
    let raw = Raw::new(&stage, 1).await;
    (stage, raw)
}

/// `Range` from one instant, to another.
fn range(from_ms: i64, to_ms: Option<i64>) -> String {
    let range = ClockRange { start: Some(t(from_ms)), end: to_ms.map(t) };
    format!("Range: {range}\r\n")
}

fn times(seen: &[(tokio::time::Instant, Seen)]) -> Vec<i64> {
    seen.iter().map(|(_, u)| u.replay.at.since_us(t(0)) / 1000).collect()
}

/// R8.5.5-1, R8.5.5-2, R8.5.5-3, R8.5.5-4, R8.5.5-5, R8.10-1, R8.10-2, R8.10-3: one session goes to
/// one place after the other, in either direction.
#[tokio::test(start_paused = true)]
async fn playback_begins_where_the_table_says() {
    let (_stage, mut raw) = three_sections().await;
    for (what, asked, forward, reverse) in [
        ("inside of footage", 3500, Some(3000), Some(3000)),
        ("at a clean point", 22_000, Some(22_000), Some(22_000)),
        ("in a gap", 15_000, Some(20_000), Some(9000)),
        ("right behind a section", 10_000, Some(20_000), Some(9000)),
        ("before all data", -5000, Some(0), None),
        ("after all data", 60_000, None, Some(49_000)),
    ] {
        for (scale, first) in [("1.0", forward), ("-1.0", reverse)] {
            let fields = format!("Scale: {scale}\r\nRate-Control: no\r\nImmediate: yes\r\n");
            let answer = raw.play(&format!("{fields}{}", range(asked, None))).await;
            let units = answer.units();
            assert_eq!(answer.times(t(0)).first().copied(), first, "{what} {scale}");
            let Some(first) = units.first() else { continue };
            assert!(first.replay.clean, "{what} {scale}");
            // All but the very first PLAY of the session jump.
            let jump = what != "inside of footage" || scale == "-1.0";
            assert!(first.replay.discontinuity || !jump, "{what} {scale}");
            if forward == reverse {
                let off = first.replay.at.since_us(t(asked)).abs();
                assert!(off <= 2_000_000, "R8.10-3: {off} us off");
            }
        }
    }
}

/// R8.5.2-1, R8.5.2-3, R8.5.2-4, R8.5.2-5, R8.5.2-6, R8.5.2-8: closed ranges over a gap, in both
/// directions, in every way of saying them; nothing comes behind their end, and the session plays on.
#[tokio::test(start_paused = true)]
async fn closed_ranges_over_a_gap() {
    let (_stage, mut raw) = three_sections().await;
    let inside = |ms: &i64| (0..10_000).contains(ms) || (20_000..30_000).contains(ms);
    let forward: Vec<i64> = (5000..22_000).step_by(40).filter(inside).collect();
    let of_npt =
        ["Range: npt=5-22\r\n", "Range: npt=5.000-22.0\r\n", "Range: npt=0:00:05-0:00:22\r\n"];
    for fields in of_npt.map(str::to_owned).into_iter().chain([range(5000, Some(22_000))]) {
        let answer = raw.play(&format!("Rate-Control: no\r\n{fields}")).await;
        assert_eq!(answer.times(t(0)), forward, "{fields}");
        let ends: Vec<i64> = answer
            .units()
            .iter()
            .filter(|u| u.replay.end_of_section)
            .map(|u| u.replay.at.since_us(t(0)) / 1000)
            .collect();
        assert_eq!(ends, [9960], "E before the gap, none at the end of the range");
        assert!(answer.units().iter().all(|u| !u.replay.terminal));
    }
    let until = ClockRange { start: None, end: Some(t(2000)) };
    let answer = raw.play(&format!("Rate-Control: no\r\nRange: {until}\r\n")).await;
    assert_eq!(answer.times(t(0)), (0..2000).step_by(40).collect::<Vec<_>>());

    // The groups that hold 22 s and 5 s belong to it.
    let groups = [22, 21, 20, 9, 8, 7, 6, 5].map(|s| s * 1000);
    let reverse: Vec<i64> = groups.iter().flat_map(|g| (*g..g + 1000).step_by(40)).collect();
    let fields = format!("Scale: -1.0\r\nRate-Control: no\r\n{}", range(22_000, Some(5000)));
    assert_eq!(raw.play(&fields).await.times(t(0)), reverse);
    for fields in [
        format!("Scale: -1.0\r\n{}", range(5000, Some(22_000))),
        range(22_000, Some(5000)),
        "Range: smpte=0:10:20-\r\n".to_owned(),
        "Range: clock=20260922-\r\n".to_owned(),
    ] {
        assert_eq!(raw.ask("PLAY", "", &fields).await.response.status.0, 457, "{fields}");
    }
}

/// R8.5.3-1, R8.5.3-2, R8.5.3-4: the header is of each PLAY; where it is missing, playback is paced.
#[tokio::test(start_paused = true)]
async fn rate_control_may_change_from_play_to_play() {
    let (_stage, mut raw) = three_sections().await;
    for (field, paced) in [
        ("", true),
        ("Rate-Control: no\r\n", false),
        ("Rate-Control: yes\r\n", true),
        ("Rate-Control: no\r\n", false),
    ] {
        let begun = tokio::time::Instant::now();
        let fields = format!("{field}{}", range(3000, Some(6000)));
        let answer = raw.play(&fields).await;
        assert_eq!(answer.times(t(0)).len(), 75);
        let took = begun.elapsed() - QUIET;
        let (least, most) = if paced { (2950, 2970) } else { (0, 5) };
        assert!((least..=most).contains(&took.as_millis()), "{field} {took:?}");
    }
}

/// R8.5.1-3, R8.5.1-5, R8.6-9, R8.10-1: Scale and Speed set how fast pictures come and their
/// timestamps run, in both directions, and the answer says which scale is in use.
#[tokio::test(start_paused = true)]
async fn scale_and_speed_set_the_pace() {
    let (_stage, mut raw) = three_sections().await;
    for (fields, rate, said) in [
        ("Scale: 2.0\r\n", 2.0, Some("2.0")),
        ("Scale: 0.5\r\n", 0.5, Some("0.5")),
        ("Speed: 4.0\r\n", 4.0, None),
        ("Scale: 0.5\r\nSpeed: 4\r\n", 2.0, Some("0.5")),
        ("Scale: 4.0\r\n", 4.0, Some("4.0")),
    ] {
        let fields = format!("Immediate: yes\r\n{fields}{}", range(2000, Some(4000)));
        let answer = raw.ask("PLAY", "", &fields).await;
        assert_eq!(answer.response.fields.get("Scale"), said);
        let mut seen: Vec<_> =
            answer.units().into_iter().map(|u| (tokio::time::Instant::now(), u)).collect();
        seen.extend(raw.watch().await);
        assert_eq!(times(&seen), (2000..4000).step_by(40).collect::<Vec<_>>(), "{fields}");
        let (begun, first) = (seen[0].0, seen[0].1);
        for (n, (at, unit)) in seen.iter().enumerate() {
            let due = Duration::from_millis(40).mul_f64(n as f64 / rate);
            let late = at.duration_since(begun).as_secs_f64() - due.as_secs_f64();
            assert!(late.abs() < 0.006, "{fields} {n}: {late}");
            let ticks = unit.timestamp.wrapping_sub(first.timestamp);
            assert_eq!(ticks, (3600.0 * n as f64 / rate) as u32, "{fields} {n}");
        }
    }
    // In reverse a group comes when its last picture is due to be shown.
    let fields = format!("Scale: -2.0\r\n{}", range(3960, Some(1000)));
    raw.ask("PLAY", "", &fields).await;
    let seen = raw.watch().await;
    let groups = seen.chunk_by(|_, b| !b.1.replay.discontinuity);
    let begun: Vec<_> =
        groups.map(|g| (g[0].0, g[0].1.replay.at.since_us(t(0)) / 1_000_000)).collect();
    assert_eq!(begun.iter().map(|b| b.1).collect::<Vec<_>>(), [3, 2, 1]);
    for pair in begun.windows(2) {
        let apart = pair[1].0.duration_since(pair[0].0).as_millis();
        assert!((494..=506).contains(&apart), "{apart} ms");
    }
}

/// RFC 2326 12.34: ten times as fast is only intra pictures, unless Frames says otherwise; no faster
/// than they can be shown.
#[tokio::test(start_paused = true)]
async fn fast_playback_shows_intra_pictures() {
    let (_stage, mut raw) = three_sections().await;
    for (fields, expected) in [
        ("Scale: 10.0\r\n", (0..10).map(|s| s * 1000).collect::<Vec<i64>>()),
        ("Scale: -10.0\r\n", (0..10).rev().map(|s| s * 1000).collect()),
        ("Scale: 10.0\r\nFrames: all\r\n", (0..10_000).step_by(40).collect()),
        ("Scale: 30.0\r\n", vec![0, 3000, 6000, 9000]),
    ] {
        let ends = if fields.contains('-') { (9999, 0) } else { (0, 10_000) };
        let fields = format!("Immediate: yes\r\n{fields}{}", range(ends.0, Some(ends.1)));
        assert_eq!(raw.play(&fields).await.times(t(0)), expected, "{fields}");
    }
}

/// R8.10-5, R8.10-6, R8.5.2-7, in both directions: what comes before a pause and after it is together
/// what comes without one.
#[tokio::test(start_paused = true)]
async fn a_pause_loses_and_repeats_nothing() {
    let (_stage, mut raw) = three_sections().await;
    for scale in ["1.0", "-1.0"] {
        let place =
            if scale == "1.0" { range(6000, Some(23_000)) } else { range(23_000, Some(6000)) };
        let fields = format!("Scale: {scale}\r\n{place}");
        let whole = raw.play(&fields).await.times(t(0));
        let mut parts = raw.ask("PLAY", "", &fields).await.times(t(0));
        for (pause, resume) in [("", ""), ("", "Require: onvif-replay\r\n"), ("at", "")] {
            // Play for a second and a half.
            let mut more = Vec::new();
            for _ in 0..15 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let at = if scale == "1.0" { 21_480 } else { 8000 };
            let pause = if pause.is_empty() { String::new() } else { range(at, None) };
            let answer = raw.ask("PAUSE", "", &pause).await;
            assert_eq!(answer.response.status.0, 200, "{pause}");
            more.extend(answer.times(t(0)));
            let rest = raw.watch().await;
            assert!(
                pause.is_empty() == rest.is_empty(),
                "R8.10-5, R8.10-6 {scale} {pause} {rest:?}"
            );
            more.extend(times(&rest));
            if !pause.is_empty() && scale == "1.0" {
                assert_eq!(more.last(), Some(&21_440), "R8.10-6: up to then");
            }
            let answer = raw.ask("PLAY", "", resume).await;
            parts.extend(more);
            parts.extend(answer.times(t(0)));
            assert_eq!(answer.response.status.0, 200);
        }
        parts.extend(times(&raw.watch().await));
        assert_eq!(parts, whole, "{scale}");
    }
}

/// Beside the pictures, sound in blocks of 40 ms.
async fn with_sound() -> (Stage, Raw) {
    let kinds = [Codec::H264, Codec::Pcma].map(CodecParams::new);
    let stage = Stage::new(kinds.clone()).await;
    let sound = Arc::new(kinds[1].clone());
    let block = |ms: i64| unit(&sound, t(ms + 5), FrameKind::Audio, Bytes::from(vec![0xd5; 320]));
    let all = pictures(0, 10_000).into_iter().chain((0..10_000).step_by(40).map(block));
    stage.record(all.collect(), SegmentState::Closed).await;
    let raw = Raw::new(&stage, 2).await;
    (stage, raw)
}

/// R8.1-6, R8.2-1, R8.2-5, R8.3-1, R8.5.1-6, R8.5.3-3, R8.T-10: one PLAY starts all tracks, in the order
/// in which they were recorded.
#[tokio::test(start_paused = true)]
async fn tracks_come_in_recorded_order() {
    let (_stage, mut raw) = with_sound().await;
    let sdp = raw.ask("DESCRIBE", "", "").await.response.body;
    let sdp = String::from_utf8(sdp.to_vec()).unwrap();
    for lines in [
        ["m=video 0 RTP/AVP 96", "a=control:track1", "a=x-onvif-track:yard-1-video"],
        ["m=audio 0 RTP/AVP 8", "a=control:track2", "a=x-onvif-track:yard-1-audio"],
    ] {
        assert!(lines.iter().all(|l| sdp.lines().any(|s| s == *l)), "{lines:?} in {sdp}");
    }
    let all = ClockRange { start: Some(t(0)), end: Some(t(10_005)) };
    assert!(sdp.contains(&format!("a=range:{all}\r\n")), "{sdp}");
    let answer = raw.play("Rate-Control: no\r\n").await;
    let info: RtpInfo = answer.response.fields.get("RTP-Info").unwrap().parse().unwrap();
    for track in [0, 1] {
        let units: Vec<_> = answer.units().into_iter().filter(|u| u.track == track).collect();
        assert_eq!(units.len(), 250, "track {track}");
        assert_eq!(units.iter().filter(|u| u.replay.terminal).count(), 1);
        // Every packet of it counts up by one from what RTP-Info said.
        let entry = &info.0[usize::from(track)];
        let mut next = entry.seq.unwrap();
        for (_, packet, _) in answer.packets.iter().filter(|p| p.0 == 2 * track) {
            assert_eq!(packet.header.sequence, next);
            next = next.wrapping_add(1);
        }
        // And its timestamps run on its own clock from there.
        let rate = if track == 0 { 90 } else { 8 };
        for unit in &units {
            let ms = unit.replay.at.since_us(t(0)) / 1000;
            let ticks = i64::from(unit.timestamp.wrapping_sub(entry.rtptime.unwrap()));
            assert_eq!(ticks, ms * rate, "track {track}");
        }
    }
    assert!(answer.times(t(0)).is_sorted(), "R8.5.3-3");
}

/// R8.6-6: in reverse pictures come back, sound does not.
#[tokio::test(start_paused = true)]
async fn in_reverse_there_is_no_sound() {
    let (_stage, mut raw) = with_sound().await;
    for pace in ["yes", "no"] {
        let fields = format!("Scale: -1.0\r\nRate-Control: {pace}\r\n{}", range(9990, None));
        let units = raw.play(&fields).await.units();
        let count = |track| units.iter().filter(|u| u.track == track).count();
        assert_eq!([count(0), count(1)], [250, 0], "{pace}");
    }
}

/// R8.5.1-5: sound is sent at the speed at which it was recorded, or without rate control.
#[tokio::test(start_paused = true)]
async fn fast_and_slow_there_is_no_sound() {
    let (_stage, mut raw) = with_sound().await;
    let fast = "Scale: 2.0\r\n";
    for (fields, blocks) in
        [("", 250), (fast, 0), ("Speed: 0.5\r\n", 0), ("Rate-Control: no\r\n", 250)]
    {
        let answer = raw.play(&format!("Immediate: yes\r\n{fields}{}", range(0, None))).await;
        let count = |track| answer.units().iter().filter(|u| u.track == track).count();
        assert_eq!([count(0), count(1)], [250, blocks], "{fields}");
    }
}

/// R8.2-3, R8.3-1, R8.6-5, R8.T-10, R8.T-11: the metadata track, in both directions and with rate
/// control or without.
#[tokio::test(start_paused = true)]
async fn documents_come_between_the_pictures() {
    let stage = Stage::new([Codec::H264, Codec::Metadata].map(CodecParams::new)).await;
    stage.record(pictures(0, 10_000), SegmentState::Closed).await;
    for second in 0..10 {
        stage.motion(t(second * 1000 + 500), second % 2 == 0).await;
    }
    let mut raw = Raw::new(&stage, 2).await;
    let sdp = raw.ask("DESCRIBE", "", "").await.response.body;
    let sdp = String::from_utf8(sdp.to_vec()).unwrap();
    let lines = [
        "m=application 0 RTP/AVP 97",
        "a=rtpmap:97 vnd.onvif.metadata/90000",
        "a=x-onvif-track:yard-1-metadata",
    ];
    assert!(lines.iter().all(|l| sdp.lines().any(|s| s == *l)), "{sdp}");
    let of = |answer: &super::raw::Answer| -> Vec<i64> {
        let units = answer.units().into_iter().filter(|u| u.track == 1);
        units.map(|u| u.replay.at.since_us(t(0)) / 1000).collect()
    };
    let expected: Vec<i64> = (0..10).map(|s| s * 1000 + 500).collect();
    for (pace, scale) in [("no", "1.0"), ("yes", "1.0"), ("no", "-1.0"), ("yes", "-1.0")] {
        let forward = scale == "1.0";
        let place = range(if forward { 0 } else { 9990 }, None);
        let fields = format!("Immediate: yes\r\nRate-Control: {pace}\r\nScale: {scale}\r\n{place}");
        let answer = raw.play(&fields).await;
        let mut times = of(&answer);
        let pictures = answer.units().iter().filter(|u| u.track == 0).count();
        if !forward {
            // Where playback enters a section a document tells the states.
            assert!(times.remove(0) > 9500, "{times:?}");
            times.reverse();
        }
        assert_eq!((times, pictures), (expected.clone(), 250), "{pace} {scale}");
        for (_, packet, bytes) in answer.packets.iter().filter(|p| p.0 == 2) {
            // Small enough for one packet each, which is the last.
            assert_eq!((packet.header.payload_type, packet.header.marker), (97, true));
            let text = String::from_utf8_lossy(&bytes[packet.payload.clone()]);
            assert!(text.contains("MetadataStream"), "{text}");
        }
        if pace == "no" {
            let units: Vec<Seen> = answer.units().into_iter().filter(|u| u.track == 1).collect();
            for pair in units.windows(2) {
                let ticks = pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32;
                let us = pair[1].replay.at.since_us(pair[0].replay.at);
                assert!((i64::from(ticks) - us * 9 / 100).abs() <= 1, "a clock of 90 kHz");
            }
        }
    }
}
