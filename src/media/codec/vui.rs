//! What the video usability information of H.264 (E.1.1) and H.265 (E.2.1) begin with alike.

use super::bits::BitReader;

/// The sample aspect ratio that is written out.
const EXTENDED_SAR: u32 = 255;

/// Aspect ratio, overscan, video signal type and chroma location: nothing of it matters here.
pub(super) fn skip_description(r: &mut BitReader<'_>) -> Option<()> {
    if r.flag()? && r.bits(8)? == EXTENDED_SAR {
        r.skip(32)?;
    }
    if r.flag()? {
        r.skip(1)?; // overscan
    }
    if r.flag()? {
        r.skip(4)?; // video format and range
        if r.flag()? {
            r.skip(24)?; // colours
        }
    }
    if r.flag()? {
        r.ue()?; // chroma location of both fields
        r.ue()?;
    }
    Some(())
}
