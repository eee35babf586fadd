//! The smallest H.265 encoder that shows exact pixels: raw coding units, and skipped ones.
//!
//! ISO/IEC 23008-2, Main profile, coding tree units of 16 by 16: key pictures are PCM throughout;
//! predicted pictures send the units that changed as PCM and skip the rest.

use bytes::Bytes;

use super::ClockCode;
use super::bits::NalWriter;
use super::cabac::{Context, Encoder};
use super::h264::{SEI_UUID, rows, same};
use super::picture::Picture;

const TRAIL_R: u8 = 1;
const IDR_W_RADL: u8 = 19;
const VPS: u8 = 32;
const SPS: u8 = 33;
const PPS: u8 = 34;
const PREFIX_SEI: u8 = 39;
const POC_BITS: u32 = 8;
/// initValues of cu_skip_flag (by skipped neighbours), pred_mode_flag and part_mode.
const SKIP_INIT: [u8; 3] = [197, 185, 201];
const PRED_MODE_INIT: u8 = 149;
const PART_MODE_INIT_I: u8 = 184;
const PART_MODE_INIT_P: u8 = 154;

fn nal(kind: u8) -> NalWriter {
    NalWriter::new(&[kind << 1, 1])
}

/// VPS, SPS and PPS for pictures of that size (multiples of 16) and rate.
pub(super) fn parameter_sets(width: usize, height: usize, rate: (u32, u32)) -> [Bytes; 3] {
    let mut w = nal(VPS);
    w.u(4, 0);
    w.u(2, 0b11); // the base layer is here
    w.u(6, 0);
    w.u(3, 0);
    w.flag(true);
    w.u(16, 0xFFFF);
    profile(&mut w);
    ordering(&mut w);
    w.u(6, 0);
    w.ue(0);
    w.u(2, 0); // timing, extension
    let vps = w.finish();

    let mut w = nal(SPS);
    w.u(4, 0);
    w.u(3, 0);
    w.flag(true);
    profile(&mut w);
    w.ue(0);
    w.ue(1); // 4:2:0
    w.ue(width as u32);
    w.ue(height as u32);
    w.flag(false);
    w.ue(0);
    w.ue(0);
    w.ue(POC_BITS - 4);
    ordering(&mut w);
    w.ue(1); // smallest coding block 16
    w.ue(0); // and the largest
    w.ue(0); // transforms 4
    w.ue(2); // to 16
    w.ue(0);
    w.ue(0);
    w.u(3, 0); // scaling lists, asymmetric partitions, sample adaptive offset
    w.flag(true); // PCM
    w.u(4, 7);
    w.u(4, 7);
    w.ue(1); // of 16
    w.ue(0); // only
    w.flag(true); // not loop-filtered
    w.ue(1); // one set of reference pictures:
    w.ue(1); // the one before
    w.ue(0);
    w.ue(0);
    w.flag(true);
    w.u(3, 0); // long-term references, temporal prediction, strong smoothing
    w.flag(true); // VUI
    w.u(8, 0);
    w.flag(true); // timing
    w.u(32, rate.1);
    w.u(32, rate.0);
    w.u(3, 0); // proportional order, HRD, restriction
    w.flag(false);
    let sps = w.finish();

    let mut w = nal(PPS);
    w.ue(0);
    w.ue(0);
    w.u(2, 0);
    w.u(3, 0);
    w.u(2, 0); // sign hiding, cabac_init
    w.ue(0);
    w.ue(0);
    w.se(0);
    w.u(3, 0); // constrained intra, transform skip, cu_qp_delta
    w.se(0);
    w.se(0);
    w.u(6, 0); // chroma offsets, weights (2), bypass, tiles, wavefronts
    w.flag(false);
    w.flag(true); // deblocking control:
    w.flag(false);
    w.flag(true); // off
    w.u(2, 0);
    w.ue(0);
    w.u(2, 0);
    [vps, sps, w.finish()]
}

fn profile(w: &mut NalWriter) {
    w.u(3, 0);
    w.u(5, 1); // Main
    w.u(32, 0x6000_0000);
    w.u(4, 0b1001); // progressive frames only
    w.u(32, 0);
    w.u(12, 0);
    w.u(8, 120); // level 4
}

fn ordering(w: &mut NalWriter) {
    w.flag(true);
    w.ue(1);
    w.ue(0);
    w.ue(0);
}

/// A message with the clock code (user data unregistered).
pub(super) fn sei(code: ClockCode) -> Bytes {
    let payload = code.to_bytes();
    let mut w = nal(PREFIX_SEI);
    w.u(8, 5);
    w.u(8, (SEI_UUID.len() + payload.len()) as u32);
    w.bytes(&SEI_UUID);
    w.bytes(&payload);
    w.finish()
}

/// A key picture.
pub(super) fn key(picture: &Picture) -> Bytes {
    let mut w = nal(IDR_W_RADL);
    w.flag(true); // first slice
    w.flag(false);
    w.ue(0);
    w.ue(2); // I
    w.se(0);
    units(w, picture, None)
}

/// A picture that differs from `before`, the one coded last; number `n` of its group.
pub(super) fn predicted(picture: &Picture, before: &Picture, n: u32) -> Bytes {
    let mut w = nal(TRAIL_R);
    w.flag(true);
    w.ue(0);
    w.ue(1); // P
    w.u(POC_BITS, n & ((1 << POC_BITS) - 1));
    w.flag(true); // the set of the SPS
    w.flag(false);
    w.ue(4); // one merge candidate
    w.se(0);
    units(w, picture, Some(before))
}

fn units(mut w: NalWriter, picture: &Picture, before: Option<&Picture>) -> Bytes {
    w.flag(true); // byte_alignment
    w.align_zero();
    let (columns, lines) = (picture.width / 16, picture.height / 16);
    let mut skip = SKIP_INIT.map(Context::new);
    let mut pred_mode = Context::new(PRED_MODE_INIT);
    let part_init = if before.is_some() { PART_MODE_INIT_P } else { PART_MODE_INIT_I };
    let mut part_mode = Context::new(part_init);
    let mut coder = Encoder::new();
    let mut above = vec![false; columns];
    for y in 0..lines {
        let mut left = false;
        for (x, above) in above.iter_mut().enumerate() {
            let skipped = before.is_some_and(|b| same(picture, b, x, y));
            if before.is_some() {
                let neighbours = usize::from(left) + usize::from(*above);
                coder.bin(&mut w, &mut skip[neighbours], skipped);
            }
            if !skipped {
                if before.is_some() {
                    coder.bin(&mut w, &mut pred_mode, true); // intra
                }
                coder.bin(&mut w, &mut part_mode, true); // one part
                coder.terminate(&mut w, true); // PCM
                for row in rows(x, y, picture.width) {
                    w.samples(&picture.luma[row..row + 16]);
                }
                w.samples(&[picture.cb; 64]);
                w.samples(&[picture.cr; 64]);
            }
            (left, *above) = (skipped, skipped);
            // The end's flush writes the stop bit of the unit too.
            coder.terminate(&mut w, y + 1 == lines && x + 1 == columns);
        }
    }
    w.finish_aligned()
}
