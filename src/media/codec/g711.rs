//! G.711: one byte a sample, no framing (ITU-T G.711; RFC 3551 4.5.14).

use dvrgate_model::{Codec, CodecParams};

/// Samples per second unless a stream says otherwise.
pub const SAMPLE_RATE_HZ: u32 = 8_000;

/// Params of a mono stream of the usual rate, for PCMU, PCMA and G.726.
pub fn params(codec: Codec) -> CodecParams {
    CodecParams { sample_rate_hz: SAMPLE_RATE_HZ, channels: 1, ..CodecParams::new(codec) }
}
