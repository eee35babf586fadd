//! The smallest H.264 encoder that shows exact pixels: raw macroblocks, and skipped ones.
//!
//! ISO/IEC 14496-10, baseline profile, CAVLC: key pictures are I_PCM throughout; predicted pictures
//! send the macroblocks that changed as I_PCM and skip the rest. Decoders show the very samples.

use bytes::Bytes;

use super::ClockCode;
use super::bits::NalWriter;
use super::picture::Picture;

const SEI: u8 = 0x06;
const SPS: u8 = 0x67;
const PPS: u8 = 0x68;
const IDR: u8 = 0x65;
const PREDICTED: u8 = 0x61;
/// frame_num and so the group of pictures is bounded by this many bits.
const FRAME_NUM_BITS: u32 = 16;
/// mb_type of I_PCM in an I slice, and behind the five types of a P slice.
const I_PCM: u32 = 25;
const I_PCM_IN_P: u32 = 30;
/// Names our SEI message.
pub(super) const SEI_UUID: [u8; 16] = *b"dvrgate-clock-01";

/// SPS and PPS for pictures of that size (multiples of 16) and rate.
pub(super) fn parameter_sets(width: usize, height: usize, rate: (u32, u32)) -> [Bytes; 2] {
    let mut w = NalWriter::new(&[SPS]);
    w.u(8, 66); // profile_idc: baseline
    w.u(8, 0b1100_0000); // constraint_set0 and 1
    w.u(8, 40); // level_idc
    w.ue(0);
    w.ue(FRAME_NUM_BITS - 4);
    w.ue(2); // pic_order_cnt_type: output order is decoding order
    w.ue(1); // max_num_ref_frames
    w.flag(false);
    w.ue(width as u32 / 16 - 1);
    w.ue(height as u32 / 16 - 1);
    w.flag(true); // frame_mbs_only
    w.flag(true); // direct_8x8_inference
    w.flag(false); // cropping
    w.flag(true); // VUI
    w.u(4, 0); // aspect ratio, overscan, video signal, chroma location
    w.flag(true); // timing: a picture is two ticks
    w.u(32, rate.1);
    w.u(32, rate.0 * 2);
    w.flag(true);
    w.u(3, 0); // HRD (twice), pic_struct
    w.flag(true); // bitstream restriction
    w.flag(true);
    w.ue(0);
    w.ue(0);
    w.ue(10);
    w.ue(10);
    w.ue(0); // max_num_reorder_frames
    w.ue(1); // max_dec_frame_buffering
    let sps = w.finish();

    let mut w = NalWriter::new(&[PPS]);
    w.ue(0);
    w.ue(0);
    w.u(2, 0); // CAVLC, bottom_field_pic_order
    w.ue(0); // one slice group
    w.ue(0);
    w.ue(0);
    w.u(3, 0); // weighted prediction
    w.se(0);
    w.se(0);
    w.se(0);
    w.flag(true); // deblocking_filter_control_present
    w.u(2, 0); // constrained intra, redundant pictures
    [sps, w.finish()]
}

/// A message with the clock code (D.1.6, user data unregistered).
pub(super) fn sei(code: ClockCode) -> Bytes {
    let payload = code.to_bytes();
    let mut w = NalWriter::new(&[SEI]);
    w.u(8, 5);
    w.u(8, (SEI_UUID.len() + payload.len()) as u32);
    w.bytes(&SEI_UUID);
    w.bytes(&payload);
    w.finish()
}

/// A key picture; consecutive ones must differ in `idr_id`.
pub(super) fn key(picture: &Picture, idr_id: u32) -> Bytes {
    let mut w = slice_header(IDR, 7, 0, Some(idr_id));
    for my in 0..picture.height / 16 {
        for mx in 0..picture.width / 16 {
            w.ue(I_PCM);
            macroblock(&mut w, picture, mx, my);
        }
    }
    w.finish()
}

/// A picture that differs from `before`, the one coded last.
pub(super) fn predicted(picture: &Picture, before: &Picture, frame_num: u32) -> Bytes {
    let mut w = slice_header(PREDICTED, 5, frame_num, None);
    let mut skipped = 0;
    for my in 0..picture.height / 16 {
        for mx in 0..picture.width / 16 {
            if same(picture, before, mx, my) {
                skipped += 1;
                continue;
            }
            w.ue(skipped);
            skipped = 0;
            w.ue(I_PCM_IN_P);
            macroblock(&mut w, picture, mx, my);
        }
    }
    if skipped > 0 {
        w.ue(skipped);
    }
    w.finish()
}

fn slice_header(nal: u8, slice_type: u32, frame_num: u32, idr_id: Option<u32>) -> NalWriter {
    let mut w = NalWriter::new(&[nal]);
    w.ue(0); // first_mb
    w.ue(slice_type);
    w.ue(0);
    w.u(FRAME_NUM_BITS, frame_num);
    match idr_id {
        Some(id) => {
            w.ue(id);
            w.u(2, 0); // no_output_of_prior_pics, long_term_reference
        }
        None => w.u(3, 0), // ref count override, list modification, adaptive marking
    }
    w.se(0); // slice_qp_delta
    w.ue(1); // no deblocking
    w
}

fn macroblock(w: &mut NalWriter, picture: &Picture, mx: usize, my: usize) {
    w.align_zero();
    for row in rows(mx, my, picture.width) {
        w.samples(&picture.luma[row..row + 16]);
    }
    w.samples(&[picture.cb; 64]);
    w.samples(&[picture.cr; 64]);
}

/// Whether a macroblock is alike in both.
pub(super) fn same(a: &Picture, b: &Picture, mx: usize, my: usize) -> bool {
    rows(mx, my, a.width).all(|row| a.luma[row..row + 16] == b.luma[row..row + 16])
}

/// Where the rows of a macroblock begin in the luma plane.
pub(super) fn rows(mx: usize, my: usize, width: usize) -> impl Iterator<Item = usize> {
    (my * 16..my * 16 + 16).map(move |y| y * width + mx * 16)
}
