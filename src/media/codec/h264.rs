//! H.264 parameter sets, slice headers and access units (ISO/IEC 14496-10 7.3, 7.4.1.2.3).
//!
//! Parsers take one NAL unit without start code or length and give `None` where it is cut off or
//! breaks a bound of the standard.

use super::bits::{BitReader, reduce, unescape};
use super::vui;

/// `nal_unit_type` values that matter here (table 7-1).
pub mod nal {
    /// Slice of a picture that is not IDR.
    pub const SLICE: u8 = 1;
    /// Slice of an IDR picture.
    pub const IDR: u8 = 5;
    /// Supplemental enhancement information.
    pub const SEI: u8 = 6;
    /// Sequence parameter set.
    pub const SPS: u8 = 7;
    /// Picture parameter set.
    pub const PPS: u8 = 8;
    /// Access unit delimiter.
    pub const AUD: u8 = 9;
}

/// `nal_unit_type` of a NAL unit; 0 (unspecified) for an empty one.
pub fn nal_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |b| b & 0x1f)
}

/// Whether it is part of a coded picture.
pub fn is_picture(unit: &[u8]) -> bool {
    (nal::SLICE..=nal::IDR).contains(&nal_type(unit))
}

/// Whether a NAL unit that follows a picture begins the next access unit (7.4.1.2.3). Slices do so
/// where they begin at the first macroblock.
pub fn starts_unit(unit: &[u8]) -> bool {
    match nal_type(unit) {
        nal::SLICE | nal::IDR | 2 => unit.get(1).is_some_and(|b| b & 0x80 != 0),
        nal::SEI..=nal::AUD | 14..=18 => true,
        _ => false,
    }
}

/// What is read from a sequence parameter set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sps {
    /// `profile_idc`.
    pub profile: u8,
    /// The byte of constraint flags.
    pub constraints: u8,
    /// `level_idc`.
    pub level: u8,
    /// `seq_parameter_set_id`.
    pub id: u8,
    /// Pixels after cropping.
    pub width: u32,
    /// Pixels after cropping.
    pub height: u32,
    /// No picture is a field.
    pub frames_only: bool,
    /// From the VUI, reduced; frames, not fields.
    pub frame_rate: Option<(u32, u32)>,
    /// Pictures that may come before one that is shown earlier; `None` where the stream does not
    /// limit it.
    pub max_reorder: Option<u32>,
}

/// Largest picture side in macroblocks that is taken as meant: 16 384 pixels.
const MAX_SIDE_MBS: u32 = 1024;
/// A parameter set is a few dozen bytes; scaling lists can make it some hundreds.
const MAX_SPS_BYTES: usize = 4096;
/// Bytes of a slice that are enough for the first fields of its header.
const SLICE_HEAD_BYTES: usize = 32;
const MAX_SPS_ID: u32 = 31;
const MAX_PPS_ID: u32 = 255;

impl Sps {
    /// Reads a NAL unit of type 7.
    pub fn parse(unit: &[u8]) -> Option<Self> {
        if nal_type(unit) != nal::SPS {
            return None;
        }
        let rbsp = unescape(unit.get(1..)?, MAX_SPS_BYTES);
        let mut r = BitReader::new(&rbsp);
        let (profile, constraints, level) = (r.bits(8)? as u8, r.bits(8)? as u8, r.bits(8)? as u8);
        let id = r.ue_max(MAX_SPS_ID)? as u8;
        let mut chroma = 1;
        let mut separate_planes = false;
        if matches!(
            profile,
            100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
        ) {
            chroma = r.ue_max(3)?;
            separate_planes = chroma == 3 && r.flag()?;
            r.ue_max(6)?; // bit depths
            r.ue_max(6)?;
            r.flag()?;
            if r.flag()? {
                for list in 0..if chroma == 3 { 12 } else { 8 } {
                    if r.flag()? {
                        skip_scaling_list(&mut r, if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        r.ue_max(12)?; // log2_max_frame_num_minus4
        let poc_type = r.ue_max(2)?;
        match poc_type {
            0 => {
                r.ue_max(12)?;
            }
            1 => {
                r.flag()?;
                r.se()?;
                r.se()?;
                for _ in 0..r.ue_max(255)? {
                    r.se()?;
                }
            }
            _ => {}
        }
        r.ue_max(16)?; // max_num_ref_frames
        r.flag()?;
        let width_mbs = r.ue_max(MAX_SIDE_MBS - 1)? + 1;
        let height_units = r.ue_max(MAX_SIDE_MBS - 1)? + 1;
        let frames_only = r.flag()?;
        if !frames_only {
            r.flag()?;
        }
        r.flag()?; // direct_8x8_inference_flag
        let fields = if frames_only { 1 } else { 2 };
        let (mut width, mut height) = (width_mbs * 16, height_units * 16 * fields);
        if r.flag()? {
            // Table 6-1: SubWidthC and SubHeightC; 1 without chroma.
            let (unit_x, unit_y) = match chroma {
                _ if separate_planes => (1, 1),
                1 => (2, 2),
                2 => (2, 1),
                _ => (1, 1),
            };
            let mut crop = || r.ue_max(MAX_SIDE_MBS * 16);
            let x = (crop()? + crop()?).checked_mul(unit_x)?;
            let y = (crop()? + crop()?).checked_mul(unit_y * fields)?;
            width = width.checked_sub(x).filter(|w| *w > 0)?;
            height = height.checked_sub(y).filter(|h| *h > 0)?;
        }
        let mut sps = Self {
            profile,
            constraints,
            level,
            id,
            width,
            height,
            frames_only,
            frame_rate: None,
            max_reorder: (poc_type == 2 || profile == 66).then_some(0),
        };
        if r.flag()? {
            // Some encoders cut their VUI short; what was read before stands.
            sps.read_vui(&mut r);
        }
        Some(sps)
    }

    fn read_vui(&mut self, r: &mut BitReader<'_>) -> Option<()> {
        vui::skip_description(r)?;
        if r.flag()? {
            let (tick, scale) = (u64::from(r.bits(32)?), u64::from(r.bits(32)?));
            r.flag()?;
            // A tick is a field (E.2.1), so two make a frame.
            self.frame_rate = reduce(scale, tick * 2);
        }
        let nal_hrd = r.flag()?;
        if nal_hrd {
            skip_hrd(r)?;
        }
        let vcl_hrd = r.flag()?;
        if vcl_hrd {
            skip_hrd(r)?;
        }
        if nal_hrd || vcl_hrd {
            r.flag()?;
        }
        r.flag()?;
        if r.flag()? {
            r.flag()?;
            for _ in 0..4 {
                r.ue()?;
            }
            self.max_reorder = Some(r.ue_max(16)?);
        }
        Some(())
    }
}

fn skip_scaling_list(r: &mut BitReader<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..size {
        if next != 0 {
            next = last.wrapping_add(r.se()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

fn skip_hrd(r: &mut BitReader<'_>) -> Option<()> {
    let count = r.ue_max(31)? + 1;
    r.skip(8)?;
    for _ in 0..count {
        r.ue()?;
        r.ue()?;
        r.flag()?;
    }
    r.skip(20)
}

/// Ids of a picture parameter set: its own and that of its sequence parameter set.
pub fn pps_ids(unit: &[u8]) -> Option<(u8, u8)> {
    if nal_type(unit) != nal::PPS {
        return None;
    }
    let rbsp = unescape(unit.get(1..)?, SLICE_HEAD_BYTES);
    let mut r = BitReader::new(&rbsp);
    Some((r.ue_max(MAX_PPS_ID)? as u8, r.ue_max(MAX_SPS_ID)? as u8))
}

/// How the macroblocks of a slice are predicted (table 7-6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SliceType {
    /// From this picture only (I, SI).
    I,
    /// From one other picture each (P, SP).
    P,
    /// From two other pictures each.
    B,
}

/// The first fields of a slice header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SliceHead {
    /// `first_mb_in_slice`.
    pub first_mb: u32,
    /// `slice_type`.
    pub slice_type: SliceType,
    /// `pic_parameter_set_id`.
    pub pps: u8,
}

impl SliceHead {
    /// Reads a NAL unit of type 1, 2 or 5.
    pub fn parse(unit: &[u8]) -> Option<Self> {
        if !matches!(nal_type(unit), nal::SLICE | 2 | nal::IDR) {
            return None;
        }
        let rbsp = unescape(unit.get(1..)?, SLICE_HEAD_BYTES);
        let mut r = BitReader::new(&rbsp);
        let first_mb = r.ue()?;
        let slice_type = match r.ue_max(9)? % 5 {
            0 | 3 => SliceType::P,
            1 => SliceType::B,
            _ => SliceType::I,
        };
        Some(Self { first_mb, slice_type, pps: r.ue_max(MAX_PPS_ID)? as u8 })
    }
}

/// Whether an SEI says that decoding can start right here (D.1.8: recovery point with no pictures
/// in between).
pub fn is_recovery_point(unit: &[u8]) -> bool {
    const RECOVERY_POINT: usize = 6;
    const MAX_SEI_BYTES: usize = 1024;
    if nal_type(unit) != nal::SEI {
        return false;
    }
    let rbsp = unescape(&unit[1..], MAX_SEI_BYTES);
    let mut rest = &rbsp[..];
    let varying = |rest: &mut &[u8]| -> Option<usize> {
        let mut value = 0;
        loop {
            let (first, tail) = rest.split_first()?;
            *rest = tail;
            value += usize::from(*first);
            if *first != 0xff {
                return Some(value);
            }
        }
    };
    while rest.len() > 2 {
        let (Some(kind), Some(size)) = (varying(&mut rest), varying(&mut rest)) else {
            return false;
        };
        if kind == RECOVERY_POINT {
            return BitReader::new(rest).ue() == Some(0);
        }
        let Some(tail) = rest.get(size..) else { return false };
        rest = tail;
    }
    false
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// x264, High 4.0, 1920x1080 (cropped from 1088), 25 fps, B frames.
    pub(crate) const SPS_1080: &[u8] = &[
        0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00,
        0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x3c, 0x60, 0xc6, 0x58,
    ];

    #[test]
    fn sps_of_a_cropped_picture() {
        let sps = Sps::parse(SPS_1080).unwrap();
        assert_eq!((sps.width, sps.height), (1920, 1080));
        assert_eq!((sps.profile, sps.constraints, sps.level), (100, 0, 40));
        assert_eq!(sps.frame_rate, Some((25, 1)));
        assert_eq!(sps.max_reorder, Some(2));
    }

    #[test]
    fn every_truncation_is_refused_or_loses_only_the_vui() {
        let whole = Sps::parse(SPS_1080).unwrap();
        for end in 0..SPS_1080.len() {
            if let Some(cut) = Sps::parse(&SPS_1080[..end]) {
                assert_eq!((cut.width, cut.height), (whole.width, whole.height), "{end}");
            }
        }
        assert_eq!(Sps::parse(&SPS_1080[..8]), None);
    }

    #[test]
    fn flipped_bits_never_panic() {
        for bit in 0..SPS_1080.len() * 8 {
            let mut sps = SPS_1080.to_vec();
            sps[bit / 8] ^= 0x80 >> (bit % 8);
            let _ = Sps::parse(&sps);
        }
    }

    #[test]
    fn slices() {
        // first_mb 0 (1), type 7 (0001000), pps 0 (1)
        let idr = [0x65, 0b1000_1000, 0b1000_0000];
        let head = SliceHead::parse(&idr).unwrap();
        assert_eq!(head, SliceHead { first_mb: 0, slice_type: SliceType::I, pps: 0 });
        // type 5 (00110): P; type 6 (00111): B; second slice of a picture: first_mb 1 (010)
        assert_eq!(SliceHead::parse(&[0x41, 0b1001_1010]).unwrap().slice_type, SliceType::P);
        assert_eq!(SliceHead::parse(&[0x01, 0b1001_1110]).unwrap().slice_type, SliceType::B);
        assert!(starts_unit(&idr));
        assert!(!starts_unit(&[0x41, 0b0100_0110]));
        assert!(starts_unit(&[0x09, 0xf0]));
        assert!(!starts_unit(&[0x0c, 0xff]));
        for end in 0..2 {
            assert_eq!(SliceHead::parse(&idr[..end]), None);
        }
    }

    #[test]
    fn recovery_points() {
        assert!(is_recovery_point(&[0x06, 0x06, 0x01, 0xc4, 0x80]));
        assert!(is_recovery_point(&[0x06, 0x01, 0x01, 0x00, 0x06, 0x01, 0xc4, 0x80]));
        assert!(!is_recovery_point(&[0x06, 0x06, 0x01, 0x44, 0x80]));
        assert!(!is_recovery_point(&[0x06, 0x05, 0x01, 0xc4, 0x80]));
        assert!(!is_recovery_point(&[0x06, 0xff, 0xff]));
        assert!(!is_recovery_point(&[0x06]));
    }
}
