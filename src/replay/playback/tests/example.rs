//! The worked example of docs/replay.md, packet by packet.
//!
//! Clip A: A1 … A6 at 0, 40 … 200 ms; clip B: B1 … B6 ten seconds later. GOPs of three pictures; the
//! first of each takes two packets, the others one.

use std::time::Duration;

use dvrgate_footage::FrameFilter;
use dvrgate_media::codec::annexb;
use dvrgate_model::{Codec, CodecParams, Direction, Frame, FrameKind, SegmentState, Utc};

use super::raw::{Answer, PLAY_CSEQ, QUIET, Raw};
use super::stage::{Stage, bare_h264, unit};

fn t(ms: i64) -> Utc {
    Utc::from_secs(1_700_000_000).plus_us(ms * 1000)
}

const CLIP_A: [i64; 6] = [0, 40, 80, 120, 160, 200];
const CLIP_B: [i64; 6] = [10_000, 10_040, 10_080, 10_120, 10_160, 10_200];

/// The picture of that instant.
fn frame(ms: i64) -> Frame {
    let key = matches!(ms % 10_000, 0 | 120);
    let nal =
        [&[if key { 0x65 } else { 0x41 }][..], &vec![7; if key { 2000 } else { 200 }]].concat();
    let kind = if key { FrameKind::Key } else { FrameKind::Predicted };
    unit(&bare_h264(), t(ms), kind, annexb::join([&nal[..]]))
}

/// Both clips, and a session.
async fn example() -> (Stage, Raw) {
    let stage = Stage::new([CodecParams::new(Codec::H264)]).await;
    stage.record(CLIP_A.into_iter().chain(CLIP_B).map(frame).collect(), SegmentState::Closed).await;
    let raw = Raw::new(&stage, 1).await;
    (stage, raw)
}

/// PLAY and exactly so many packets.
async fn play(raw: &mut Raw, fields: &str, count: usize) -> Answer {
    let answer = raw.play(fields).await;
    assert_eq!(answer.packets.len(), count, "{fields}");
    answer
}

/// One line of the table: sequence number from the first, extension, RTP timestamp.
type Line = (u16, Option<(i64, [u8; 4], u8)>, u32);

fn table(answer: &Answer, zero: u32) -> Vec<Line> {
    let first = answer.packets[0].1.header.sequence;
    let line = |packet: &(u8, dvrgate_rtsp::rtp::Packet, bytes::Bytes)| {
        let h = packet.1.header;
        let extension = super::raw::units(std::slice::from_ref(packet)).pop().map(|u| {
            let e = u.replay;
            let flags = [e.clean, e.end_of_section, e.discontinuity, e.terminal].map(u8::from);
            (e.at.since_us(t(0)) / 1000, flags, e.cseq)
        });
        (h.sequence.wrapping_sub(first), extension, h.timestamp.wrapping_sub(zero))
    };
    answer.packets.iter().map(line).collect()
}

fn start(answer: &Answer) -> i64 {
    answer.start().unwrap().since_us(t(0)) / 1000
}

// 1 700 000 000 is 2023-11-14T22:13:20Z.
const END: &str = "Range: clock=20231114T221330.200Z-\r\n";

/// The table, with timestamps of one or the other kind. CSeq is 7 in all of it.
fn expected(timestamps: [u32; 12]) -> Vec<Line> {
    let frames: [(i64, [u8; 4]); 12] = [
        (10_120, [1, 0, 1, 0]),
        (10_160, [0, 0, 0, 0]),
        (10_200, [0, 0, 0, 0]),
        (10_000, [1, 0, 1, 0]),
        (10_040, [0, 0, 0, 0]),
        (10_080, [0, 1, 0, 0]),
        (120, [1, 0, 1, 0]),
        (160, [0, 0, 0, 0]),
        (200, [0, 0, 0, 0]),
        (0, [1, 0, 1, 0]),
        (40, [0, 0, 0, 0]),
        (80, [0, 1, 0, 1]),
    ];
    let mut lines = Vec::new();
    for ((ms, flags), timestamp) in frames.into_iter().zip(timestamps) {
        lines.push((lines.len() as u16, Some((ms, flags, PLAY_CSEQ)), timestamp));
        if flags[0] == 1 {
            lines.push((lines.len() as u16, None, timestamp));
        }
    }
    lines
}

/// R8.3-1, R8.3-8, R8.3-9, R8.3-10, R8.3-12, R8.3-15, R8.5.1-3, R8.6-1, R8.6-2, R8.6-3, R8.6-7, R8.6-8
#[tokio::test(start_paused = true)]
async fn reverse_without_rate_control() {
    let (_stage, mut raw) = example().await;
    let answer = play(&mut raw, &format!("Rate-Control: no\r\nScale: -1.0\r\n{END}"), 16).await;
    let b4 = answer.packets[0].1.header.timestamp;
    let zero = b4.wrapping_sub(910_800);
    let timestamps = [
        910_800, 914_400, 918_000, 900_000, 903_600, 907_200, 10_800, 14_400, 18_000, 0, 3_600,
        7_200,
    ];
    assert_eq!(table(&answer, zero), expected(timestamps));
    // Range and RTP-Info name one and the same instant.
    assert_eq!(i64::from(answer.rtptime().wrapping_sub(zero)), start(&answer) * 90);
}

/// R8.6-9: the same with timestamps of showing, counted from R0.
#[tokio::test(start_paused = true)]
async fn reverse_with_rate_control() {
    let (_stage, mut raw) = example().await;
    let answer = play(&mut raw, &format!("Scale: -1.0\r\n{END}"), 16).await;
    let timestamps =
        [7_200, 3_600, 0, 18_000, 14_400, 10_800, 28_800, 25_200, 21_600, 39_600, 36_000, 32_400];
    assert_eq!(table(&answer, answer.rtptime()), expected(timestamps));
    assert_eq!(start(&answer), 10_200);
    assert_eq!(answer.response.fields.get("Scale"), Some("-1.0"));
}

/// R8.5.2-3, R8.5.2-4, R8.6-9: the only group of a range is complete when the range is.
#[tokio::test(start_paused = true)]
async fn a_reverse_range_of_one_group_plays_and_the_session_lives_on() {
    let (_stage, mut raw) = example().await;
    let range = "Range: clock=20231114T221330.200Z-20231114T221330.120Z\r\n";
    for pace in ["", "Rate-Control: no\r\n"] {
        let answer =
            play(&mut raw, &format!("Scale: -1.0\r\nImmediate: yes\r\n{pace}{range}"), 4).await;
        let units = table(&answer, 0);
        let times: Vec<i64> = units.iter().filter_map(|l| l.1.map(|e| e.0)).collect();
        assert_eq!(times, [10_120, 10_160, 10_200]);
    }
}

/// R8.5.5-5, R8.9-1: after all data forwards there is nothing; the session stays.
#[tokio::test(start_paused = true)]
async fn play_after_all_data_sends_nothing_and_the_session_lives_on() {
    let (_stage, mut raw) = example().await;
    let answer = play(&mut raw, "Range: clock=20331114T221330Z-\r\n", 0).await;
    assert_eq!(answer.response.status.0, 200);
    play(&mut raw, "Range: clock=20231114T221320Z-\r\nImmediate: yes\r\n", 16).await;
}

/// R8.3-7, R8.3-14, R8.5.2-2, R8.6-10
#[tokio::test(start_paused = true)]
async fn forward_without_rate_control() {
    let (_stage, mut raw) = example().await;
    let answer = play(&mut raw, "Rate-Control: no\r\n", 16).await;
    let mut lines = Vec::new();
    for ms in CLIP_A.into_iter().chain(CLIP_B) {
        let clean = u8::from(matches!(ms % 10_000, 0 | 120));
        let (edge, last) = (u8::from(ms % 10_000 == 200), u8::from(ms == 10_200));
        lines.push((
            lines.len() as u16,
            Some((ms, [clean, edge, 0, last], PLAY_CSEQ)),
            ms as u32 * 90,
        ));
        if clean == 1 {
            lines.push((lines.len() as u16, None, ms as u32 * 90));
        }
    }
    assert_eq!(table(&answer, answer.rtptime()), lines);
    assert_eq!(start(&answer), 0);
}

/// R8.5.3-1, R8.9-1: paced by recorded time, the gap skipped with one frame interval.
#[tokio::test(start_paused = true)]
async fn forward_with_rate_control() {
    let (_stage, mut raw) = example().await;
    let begun = tokio::time::Instant::now();
    let answer = play(&mut raw, "", 16).await;
    let stamps: Vec<u32> = table(&answer, answer.rtptime())
        .into_iter()
        .filter_map(|(_, extension, timestamp)| extension.map(|_| timestamp))
        .collect();
    assert_eq!(stamps, (0..12).map(|i| i * 3600).collect::<Vec<_>>());
    // Eleven intervals.
    let took = begun.elapsed();
    assert!(
        took >= QUIET + Duration::from_millis(430) && took < QUIET + Duration::from_millis(600),
        "{took:?}"
    );
}

/// R8.5.2-3, R8.5.2-4, R8.5.2-8
#[tokio::test(start_paused = true)]
async fn closed_ranges_end_and_contradictions_are_refused() {
    let (_stage, mut raw) = example().await;
    let closed = "Range: clock=20231114T221320Z-20231114T221320.120Z\r\n";
    let answer = play(&mut raw, &format!("Rate-Control: no\r\n{closed}"), 4).await;
    let times: Vec<i64> = table(&answer, 0).iter().filter_map(|l| l.1.map(|e| e.0)).collect();
    assert_eq!(times, [0, 40, 80]);
    for fields in [
        format!("Scale: -1.0\r\n{closed}"),
        "Range: clock=20231114T221320.120Z-20231114T221320Z\r\n".to_owned(),
    ] {
        assert_eq!(raw.ask("PLAY", "", &fields).await.response.status.0, 457, "{fields}");
    }
    // The session is still playing, and takes another PLAY without Immediate.
    let again = play(&mut raw, &format!("Rate-Control: no\r\n{closed}"), 4).await;
    let first = table(&again, 0)[0].1.unwrap();
    assert_eq!(first.1[2], 1, "R8.3-9: it does not follow what was sent before");
}

/// R8.5.4-1, R8.6-4, R8.10-1, R8.10-2
#[tokio::test(start_paused = true)]
async fn headers_reach_the_timeline() {
    let (stage, mut raw) = example().await;
    let fields = "Frames: intra/4000\r\nRate-Control: no\r\nScale: -1.0\r\nImmediate: yes\r\n";
    let answer = play(&mut raw, &format!("{fields}{END}"), 4).await;
    let marks: Vec<_> =
        table(&answer, 0).iter().filter_map(|l| l.1.map(|e| e.1[..3].to_vec())).collect();
    assert_eq!(marks, vec![vec![1, 1, 1]; 2]);
    let asked = stage.asked();
    assert_eq!(asked.frames, FrameFilter::Intra { min_interval_us: 4_000_000 });
    assert_eq!((asked.direction, asked.from), (Direction::Reverse, t(10_200)));
    assert!(asked.discontinuity && !asked.follow_live);
}

/// R8.2-1, R8.2-2, R8.8-1
#[tokio::test(start_paused = true)]
async fn what_is_described() {
    let (stage, mut raw) = example().await;
    let answer = raw.ask("DESCRIBE", "", "Accept: application/sdp\r\n").await;
    let sdp = String::from_utf8(answer.response.body.to_vec()).unwrap();
    for line in
        ["s=Camera 1", "a=rtpmap:96 H264/90000", "a=control:track1", "a=x-onvif-track:yard-1-video"]
    {
        assert!(sdp.lines().any(|l| l == line), "{line} in {sdp}");
    }
    play(&mut raw, "Rate-Control: no\r\n", 16).await;
    assert!(stage.asked().follow_live);
    let unknown = raw.ask("DESCRIBE", "x", "").await;
    assert_eq!(unknown.response.status.0, 404);
}
