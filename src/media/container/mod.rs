//! Containers that recorders send: engines that take bytes and give access units.

mod clock90k;
mod elementary;
mod pes;
pub mod ps;
#[cfg(test)]
pub(crate) mod testmux;
pub mod ts;

use std::sync::Arc;

use bytes::Bytes;
use dvrgate_model::{Civil, CodecParams, FrameKind, MediaTime, Result, TrackKind};

pub use clock90k::RATE_HZ;
pub use elementary::MAX_UNIT_BYTES;

/// Takes a byte stream in pieces of any size and gives access units.
///
/// The calling rule: `push`, then `pull` until `None`, then `push` again; at the end `finish`, then
/// `pull` until `None`. Damage in the stream is reported as [`Demuxed::Damage`] and skipped; `push`
/// fails only where nothing can follow (a container that is not the one expected, a bound reached).
pub trait Demuxer: Send {
    /// Takes the next bytes.
    fn push(&mut self, bytes: &[u8]) -> Result<()>;
    /// Gives the next item, or `None` until more is pushed.
    fn pull(&mut self) -> Option<Demuxed>;
    /// Says that no more bytes come; what is buffered becomes the last units.
    fn finish(&mut self) -> Result<()>;
}

/// What comes out of a container, in its order.
#[derive(Clone, Debug)]
pub enum Demuxed {
    /// From here on, units of that kind have these parameters.
    Params(Arc<CodecParams>),
    /// The stream says which reading of the recorder's clock belongs to a media time.
    Anchor(Anchor),
    /// An access unit.
    Unit(Unit),
    /// Something was skipped.
    Damage {
        /// Byte of the stream at which it begins.
        at_byte: u64,
        /// How many bytes were skipped.
        skipped_bytes: u64,
        /// For the log.
        why: &'static str,
    },
}

/// A reading of the recorder's clock at a media time. A later anchor replaces an earlier one for
/// the units that follow it; between anchors the media time counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Anchor {
    /// On the media clock of the video.
    pub media: MediaTime,
    /// In the convention of the container (for most: the wall clock).
    pub civil: Civil,
    /// The convention of `civil` ([`dvrgate_model::Convention`]).
    pub convention: dvrgate_model::Convention,
    /// How exact it is: 1 000 for millisecond fields, 1 000 000 for second fields.
    pub resolution_us: u64,
}

/// One access unit before it has a track and an instant. `data` is framed as in
/// [`dvrgate_model::Frame`].
#[derive(Clone, Debug)]
pub struct Unit {
    /// Of this kind of track.
    pub kind: TrackKind,
    /// When it is presented, on the media clock; unwrapped.
    pub media: MediaTime,
    /// What it is to a decoder.
    pub frame: FrameKind,
    /// The bytes.
    pub data: Bytes,
}

/// CRC-32 of ISO/IEC 13818-1 annex A; 0 over data that ends with its own checksum.
pub(crate) fn crc32(data: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x04c1_1db7;
    data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { POLYNOMIAL } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn crc_of_a_known_text() {
        // CRC-32/MPEG-2 check value.
        assert_eq!(super::crc32(b"123456789"), 0x0376_e6e7);
    }
}
