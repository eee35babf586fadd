//! Which pictures are sent, with real encodings: bidirectional ones left out, parameter sets that
//! change.

use std::sync::Arc;

use bytes::Bytes;
use dvrgate_media::codec::{Inspector, annexb};
use dvrgate_model::{Codec, CodecParams, Frame, FrameKind, SegmentState, Utc};
use dvrgate_rtsp::rtp::depacketize::{Depacketized, Depacketizer};

use super::codecs::{ffmpeg, md5_of};
use super::raw::{Answer, Raw};
use super::stage::{Stage, unit};

fn t(ms: i64) -> Utc {
    Utc::from_secs(1_790_000_000).plus_us(ms * 1000)
}

/// Two seconds with two bidirectional pictures between others, in decoding order, each with the time
/// at which it is shown.
fn reordered(codec: Codec) -> Option<(Vec<Frame>, Vec<u8>)> {
    let (encoder, params, raw) = match codec {
        Codec::H265 => ("libx265", "-x265-params", "hevc"),
        _ => ("libx264", "-x264-params", "h264"),
    };
    let options = match codec {
        Codec::H265 => {
            "log-level=error:bframes=2:b-adapt=0:b-pyramid=0:keyint=24:min-keyint=24:scenecut=0:open-gop=0:aud=1:repeat-headers=1"
        }
        _ => "bframes=2:b-adapt=0:b-pyramid=none:keyint=24:min-keyint=24:scenecut=0:aud=1",
    };
    let source = "-f lavfi -i testsrc2=s=352x288:r=25 -t 2 -pix_fmt yuv420p";
    let bytes = ffmpeg(&format!("{source} -c:v {encoder} {params} {options} -f {raw} pipe:1"))?;
    let delimiter = |nal: &[u8]| match codec {
        Codec::H265 => nal[0] >> 1 & 0x3f == 35,
        _ => nal[0] & 0x1f == 9,
    };
    let mut units: Vec<Vec<&[u8]>> = Vec::new();
    for nal in annexb::units(&bytes) {
        match delimiter(nal) {
            true => units.push(Vec::new()),
            false => units.last_mut()?.push(nal),
        }
    }
    let mut inspector = Inspector::new(codec);
    let looked: Vec<_> = units
        .iter()
        .map(|nals| {
            let data = annexb::join(nals.iter().copied());
            let kind = inspector.inspect(&data).kind;
            (kind, data, inspector.params().clone())
        })
        .collect();
    // One that refers backwards is shown behind the bidirectional ones that follow it.
    let mut frames = Vec::new();
    let (mut next, mut bidirectional) = (0, 0);
    for (n, (kind, data, params)) in looked.iter().enumerate() {
        let place = if *kind == FrameKind::Bidirectional {
            bidirectional += 1;
            bidirectional - 1
        } else {
            let follow = looked[n + 1..].iter().take_while(|l| l.0 == FrameKind::Bidirectional);
            let shown = next + follow.count() as i64;
            (bidirectional, next) = (next, shown + 1);
            shown
        };
        frames.push(unit(params, t(place * 40), *kind, data.clone()));
    }
    Some((frames, bytes))
}

/// The byte stream that a client has.
fn stream(codec: Codec, answer: &Answer) -> Vec<u8> {
    let (mut depacketizer, mut out) = (Depacketizer::new(codec), Vec::new());
    for (_, packet, bytes) in &answer.packets {
        depacketizer.push(packet, bytes);
        while let Some(item) = depacketizer.pull() {
            let Depacketized::Unit { data, .. } = item else { panic!("{item:?}") };
            for nal in annexb::lengths(&data) {
                out.extend_from_slice(&[0, 0, 0, 1]);
                out.extend_from_slice(nal);
            }
        }
    }
    out
}

/// R8.5.4-1, R8.5.4-3, R8.5.4-4: whether a picture is bidirectional is read from its slices. Without
/// them the rest decodes to the very pictures that it decodes to with them.
#[tokio::test]
async fn bidirectional_pictures_are_left_out_by_their_slices() {
    for (codec, format) in [(Codec::H264, "h264"), (Codec::H265, "hevc")] {
        let Some((frames, bytes)) = reordered(codec) else { return };
        let kinds = |kind| frames.iter().filter(|f| f.kind == kind).count();
        let (keys, predicted) = (kinds(FrameKind::Key), kinds(FrameKind::Predicted));
        let all = frames.len();
        assert!(all == 50 && keys == 3 && all - keys - predicted >= 28, "{keys} {predicted}");
        let whole = md5_of(format, &bytes);
        assert_eq!(whole.len(), 50);
        let stage = Stage::of(frames.clone()).await;
        for (fields, count) in [("all", all), ("predicted", keys + predicted), ("intra", keys)] {
            let mut raw = Raw::new(&stage, 1).await;
            let answer = raw.play(&format!("Rate-Control: no\r\nFrames: {fields}\r\n")).await;
            assert_eq!(answer.units().len(), count, "{codec:?} {fields}");
            let decoded = md5_of(format, &stream(codec, &answer));
            assert_eq!(decoded.len(), count, "{codec:?} {fields}");
            // In order among those of the whole, none of them damaged.
            let mut rest = whole.iter();
            assert!(decoded.iter().all(|d| rest.any(|w| w == d)), "{codec:?} {fields}");
        }
    }
}

/// R8.T-12: parameter sets come in band where a receiver has none or others, and only there; in
/// reverse as well, and again after a seek.
#[tokio::test(start_paused = true)]
async fn parameter_sets_that_change_are_sent_in_band() {
    let params = |n: u8| {
        let mut params = CodecParams::new(Codec::H264);
        params.parameter_sets = vec![vec![0x67, 0x42, 0xc0, n].into(), vec![0x68, n].into()].into();
        Arc::new(params)
    };
    let (first, second) = (params(1), params(2));
    let group = |ms: i64, params: &Arc<CodecParams>| {
        let params = params.clone();
        (0..25).map(move |n| {
            let kind = if n == 0 { FrameKind::Key } else { FrameKind::Predicted };
            let nal = [&[if n == 0 { 0x65 } else { 0x41 }][..], &[7; 100]].concat();
            unit(&params, t(ms + 40 * n), kind, annexb::join([&nal[..]]))
        })
    };
    let groups = [(0, &first), (1000, &first), (2000, &second), (3000, &second), (4000, &first)];
    let frames: Vec<Frame> = groups.into_iter().flat_map(|(ms, p)| group(ms, p)).collect();
    let stage = Stage::new([(*first).clone()]).await;
    stage.record(frames, SegmentState::Closed).await;
    let mut raw = Raw::new(&stage, 1).await;
    let sets = |answer: &Answer| -> Vec<(usize, Bytes)> {
        let bytes = stream(Codec::H264, answer);
        let (mut pictures, mut sets) = (0, Vec::new());
        for nal in annexb::units(&bytes) {
            match nal[0] & 0x1f {
                7 | 8 => sets.push((pictures, Bytes::copy_from_slice(nal))),
                _ => pictures += 1,
            }
        }
        assert_eq!(pictures, 125);
        sets
    };
    let of = |picture: usize, params: &Arc<CodecParams>| {
        params.parameter_sets.iter().map(move |s| (picture, s.clone())).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        let answer = raw.play("Rate-Control: no\r\nRange: npt=0-\r\nImmediate: yes\r\n").await;
        assert_eq!(sets(&answer), [of(0, &first), of(50, &second), of(100, &first)].concat());
    }
    let fields = "Rate-Control: no\r\nScale: -1.0\r\nRange: npt=4.9-\r\nImmediate: yes\r\n";
    let answer = raw.play(fields).await;
    assert_eq!(sets(&answer), [of(0, &first), of(25, &second), of(75, &first)].concat());
}
