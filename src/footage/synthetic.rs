//! Footage for the tests of this crate: made from its time alone, so that every copy can be checked.

use std::sync::Arc;

use bytes::Bytes;
use dvrgate_model::{
    Codec, CodecParams, Frame, FrameKind, MediaTime, Stamp, TrackToken, Utc, UtcRange,
};

use crate::Gop;

/// 2026-03-04T05:06:00Z: nothing special.
pub const T0: Utc = Utc::from_micros(1_772_600_760_000_000);

pub fn at_ms(ms: i64) -> Utc {
    T0.plus_us(ms * 1000)
}

pub fn range_ms(from: i64, to: i64) -> UtcRange {
    UtcRange::new(at_ms(from), at_ms(to)).unwrap()
}

pub fn params(codec: Codec) -> Arc<CodecParams> {
    let mut p = CodecParams::new(codec);
    (p.width, p.height) = (64, 48);
    p.parameter_sets.push(Bytes::from_static(b"\x67sps"));
    Arc::new(p)
}

/// Bytes that only this unit has.
pub fn payload(track: &TrackToken, at: Utc, len: usize) -> Bytes {
    let mut seed = at.micros() as u64 ^ crc32fast::hash(track.as_str().as_bytes()) as u64;
    let mut out = Vec::with_capacity(len);
    while out.len() < len {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.extend_from_slice(&seed.to_be_bytes()[..4.min(len - out.len())]);
    }
    out.into()
}

pub fn frame(track: &TrackToken, at: Utc, kind: FrameKind, len: usize) -> Frame {
    let codec = match kind {
        FrameKind::Audio => Codec::Pcmu,
        FrameKind::Metadata => Codec::Metadata,
        _ => Codec::H264,
    };
    Frame {
        track: track.clone(),
        at: Stamp { utc: at, uncertainty_us: 1000, ..Stamp::default() },
        media: MediaTime { ticks: at.since_us(T0) * 9 / 100, rate_hz: 90_000 },
        kind,
        params: params(codec),
        data: payload(track, at, len),
        origin: None,
    }
}

/// A GOP of `frames` units from `start_ms` on, `step_ms` apart.
pub fn gop(track: &str, start_ms: i64, frames: usize, step_ms: i64, unit_bytes: usize) -> Gop {
    let track = TrackToken::from(track);
    let unit = |i: usize| {
        let kind = if i == 0 { FrameKind::Key } else { FrameKind::Predicted };
        frame(&track, at_ms(start_ms + i as i64 * step_ms), kind, unit_bytes)
    };
    Gop {
        range: range_ms(start_ms, start_ms + frames as i64 * step_ms),
        source: None,
        frames: (0..frames).map(unit).collect(),
        track: track.clone(),
    }
}

/// Whether both are the same footage.
pub fn same(a: &Gop, b: &Gop) -> bool {
    a.track == b.track
        && a.range == b.range
        && a.source == b.source
        && a.frames.len() == b.frames.len()
        && a.frames.iter().zip(&b.frames).all(|(x, y)| {
            x.at == y.at
                && x.media == y.media
                && x.kind == y.kind
                && x.params == y.params
                && x.data == y.data
        })
}
