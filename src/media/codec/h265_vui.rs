//! The way to the frame rate in an H.265 sequence parameter set (ISO/IEC 23008-2 7.3.2.2.1, E.2.1).

use super::bits::{BitReader, reduce};
use super::vui;

const MAX_SHORT_TERM_SETS: u32 = 64;
const MAX_DPB: u32 = 16;

/// Goes on after `log2_diff_max_min_luma_coding_block_size`. `None` where there is no VUI timing
/// or something before it is cut off.
pub(super) fn frame_rate(r: &mut BitReader<'_>, poc_bits: u32) -> Option<(u32, u32)> {
    for _ in 0..4 {
        r.ue()?; // transform block sizes and depths
    }
    if r.flag()? && r.flag()? {
        skip_scaling_lists(r)?;
    }
    r.skip(2)?; // asymmetric partitions, sample adaptive offset
    if r.flag()? {
        r.skip(8)?; // PCM bit depths
        r.ue()?;
        r.ue()?;
        r.skip(1)?;
    }
    skip_short_term_sets(r)?;
    if r.flag()? {
        for _ in 0..r.ue_max(32)? {
            r.skip(poc_bits as usize + 1)?;
        }
    }
    r.skip(2)?; // temporal motion vectors, strong intra smoothing
    if !r.flag()? {
        return None;
    }
    vui_timing(r)
}

fn vui_timing(r: &mut BitReader<'_>) -> Option<(u32, u32)> {
    vui::skip_description(r)?;
    r.skip(3)?; // neutral chroma, field sequence, frame and field information
    if r.flag()? {
        for _ in 0..4 {
            r.ue()?; // default display window
        }
    }
    if !r.flag()? {
        return None;
    }
    let (tick, scale) = (r.bits(32)?, r.bits(32)?);
    reduce(scale.into(), tick.into())
}

fn skip_scaling_lists(r: &mut BitReader<'_>) -> Option<()> {
    for size in 0..4u32 {
        // Of 32x32, only the first luma list of intra and of inter is coded.
        let step = if size == 3 { 3 } else { 1 };
        for _ in (0..6).step_by(step) {
            if !r.flag()? {
                r.ue_max(5)?;
                continue;
            }
            if size > 1 {
                r.se()?;
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                r.se()?;
            }
        }
    }
    Some(())
}

fn skip_short_term_sets(r: &mut BitReader<'_>) -> Option<()> {
    let mut previous = 0;
    for index in 0..r.ue_max(MAX_SHORT_TERM_SETS)? {
        if index > 0 && r.flag()? {
            // Predicted from the set before: one entry more than that has, each kept or not.
            r.flag()?;
            r.ue()?;
            let mut kept = 0;
            for _ in 0..=previous {
                let used = r.flag()?;
                if used || r.flag()? {
                    kept += 1;
                }
            }
            previous = kept;
        } else {
            let (negative, positive) = (r.ue_max(MAX_DPB)?, r.ue_max(MAX_DPB)?);
            for _ in 0..negative + positive {
                r.ue()?;
                r.flag()?;
            }
            previous = negative + positive;
        }
    }
    Some(())
}
