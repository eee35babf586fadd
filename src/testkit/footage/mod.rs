//! Synthetic footage: pictures that show when they were taken, to people and to machines.
//!
//! Nothing is stored: a group of pictures is made from channel and instant when somebody asks for
//! it, with the same bytes every time, so a year of footage costs nothing until it is watched.

mod annexb;
mod bits;
mod cabac;
mod clock_code;
mod font;
mod h264;
mod h265;
mod picture;
mod synthetic;
mod tone;

use std::fmt::Debug;

use bytes::Bytes;
use dvrgate_model::{Civil, Codec, Utc};

pub use annexb::FileClip;
pub use clock_code::{CODE_COLUMNS, CODE_ROWS, ClockCode, read_clock, write_clock};
pub use picture::Picture;
pub use synthetic::{Synthetic, SyntheticSpec};
pub use tone::Tone;

/// A coded picture: NAL units without start codes, parameter sets in front of key pictures.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccessUnit {
    /// When it was captured.
    pub at: Utc,
    /// Whether decoding can start here.
    pub key: bool,
    /// NAL units in order.
    pub nals: Vec<Bytes>,
}

impl AccessUnit {
    /// Bytes of all NAL units.
    pub fn len(&self) -> usize {
        self.nals.iter().map(Bytes::len).sum()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Endless footage of one channel, cut into groups of pictures on a fixed grid of instants.
pub trait ClipSource: Debug + Send + Sync {
    /// [`Codec::H264`] or [`Codec::H265`].
    fn codec(&self) -> Codec;
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);
    /// Pictures per second as numerator and denominator.
    fn frame_rate(&self) -> (u32, u32);
    /// Usual length of a group of pictures.
    fn gop_us(&self) -> i64;
    /// Mean bytes per second, for estimates.
    fn bytes_per_second(&self) -> u64;
    /// The last key picture at or before `t`.
    fn key_at_or_before(&self, t: Utc) -> Utc;
    /// The first key picture after `t`.
    fn key_after(&self, t: Utc) -> Utc;
    /// The group that starts with the key picture at `key`. `caption` gives what the recorder's
    /// wall clock shows, for those who write it into the picture.
    fn gop(&self, key: Utc, caption: &dyn Fn(Utc) -> Civil) -> Vec<AccessUnit>;

    /// The first key picture at or after `t`.
    fn key_at_or_after(&self, t: Utc) -> Utc {
        let key = self.key_at_or_before(t);
        if key == t { key } else { self.key_after(t) }
    }
}

/// Joins NAL units behind four-byte start codes.
pub fn to_annex_b(nals: &[Bytes]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nals.iter().map(|n| n.len() + 4).sum());
    for nal in nals {
        out.extend_from_slice(&[0, 0, 0, 1]);
        out.extend_from_slice(nal);
    }
    out
}
