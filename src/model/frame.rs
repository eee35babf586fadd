//! Access units on their way from a recorder to a client.

use std::sync::Arc;

use bytes::Bytes;

use crate::{CodecParams, FrameKind, Stamp, TrackToken};

/// A time on the media's own clock: ticks since an origin that only the source knows.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct MediaTime {
    /// Ticks; unwrapped, so they do not jump where the wire's counter does.
    pub ticks: i64,
    /// Ticks per second.
    pub rate_hz: u32,
}

impl MediaTime {
    /// Microseconds since the origin, rounded down.
    pub fn micros(self) -> i64 {
        let n = i128::from(self.ticks) * 1_000_000;
        n.div_euclid(i128::from(self.rate_hz.max(1))) as i64
    }
}

/// One access unit of one track.
///
/// `data` is immutable and byte-exact: H.264 and H.265 NAL units stand one after the other, each
/// behind its length as four bytes big-endian (ISO/IEC 14496-15); they are reframed from start
/// codes but never rewritten, reordered or dropped. Other encodings stand as they are (JPEG whole,
/// AAC without ADTS, G.711 samples, G.726 samples packed from the low bit up as RFC 3551 has them,
/// XML text).
#[derive(Clone, Debug)]
pub struct Frame {
    /// The track.
    pub track: TrackToken,
    /// When it was captured.
    pub at: Stamp,
    /// Time on the media clock; equal steps between frames stay equal here.
    pub media: MediaTime,
    /// What it is to a decoder.
    pub kind: FrameKind,
    /// What a decoder must know for it.
    pub params: Arc<CodecParams>,
    /// The bytes.
    pub data: Bytes,
    /// The vendor bytes it came from.
    pub origin: Option<Arc<ByteOrigin>>,
}

/// Which bytes of the recorder a frame came from: the start of an export's provenance chain.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ByteOrigin {
    /// What was fetched, for instance the recorder's own name of the file.
    pub what: String,
    /// SHA-256 of the vendor bytes as received, once the fetch is complete.
    pub sha256: Option<[u8; 32]>,
    /// How many bytes were received.
    pub bytes: u64,
}
