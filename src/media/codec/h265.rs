//! H.265 parameter sets, slice headers and access units (ISO/IEC 23008-2 7.3, 7.4.2.4.4).
//!
//! Parsers take one NAL unit without start code or length and give `None` where it is cut off or
//! breaks a bound of the standard.

use super::bits::{BitReader, reduce, unescape};
use super::h264::SliceType;

/// `nal_unit_type` values that matter here (table 7-1).
pub mod nal {
    /// Largest type of a slice segment.
    pub const LAST_SLICE: u8 = 31;
    /// First of the types that can start decoding: BLA, IDR, CRA.
    pub const FIRST_IRAP: u8 = 16;
    /// Last of those (two are reserved).
    pub const LAST_IRAP: u8 = 23;
    /// Video parameter set.
    pub const VPS: u8 = 32;
    /// Sequence parameter set.
    pub const SPS: u8 = 33;
    /// Picture parameter set.
    pub const PPS: u8 = 34;
    /// Access unit delimiter.
    pub const AUD: u8 = 35;
    /// SEI in front of a picture.
    pub const PREFIX_SEI: u8 = 39;
}

/// Bytes of a NAL unit header.
const HEADER_BYTES: usize = 2;
/// Parameter sets are a few dozen bytes; scaling lists can make them some hundreds.
const MAX_SET_BYTES: usize = 4096;
/// Bytes of a slice that are enough for the first fields of its header.
const SLICE_HEAD_BYTES: usize = 48;
/// Largest picture side that is taken as meant.
const MAX_SIDE: u32 = 16_384;
const MAX_VPS_ID: u32 = 15;
const MAX_SPS_ID: u32 = 15;
const MAX_PPS_ID: u32 = 63;

/// `nal_unit_type` of a NAL unit; 63 (unspecified) for one that is too short.
pub fn nal_type(unit: &[u8]) -> u8 {
    if unit.len() < HEADER_BYTES { 63 } else { unit[0] >> 1 & 0x3f }
}

/// Whether it is part of a coded picture.
pub fn is_picture(unit: &[u8]) -> bool {
    nal_type(unit) <= nal::LAST_SLICE
}

/// Whether it is a slice of a picture at which decoding can start.
pub fn is_irap(unit: &[u8]) -> bool {
    (nal::FIRST_IRAP..=nal::LAST_IRAP).contains(&nal_type(unit))
}

/// Whether a NAL unit that follows a picture begins the next access unit (7.4.2.4.4).
pub fn starts_unit(unit: &[u8]) -> bool {
    match nal_type(unit) {
        0..=nal::LAST_SLICE => unit.get(HEADER_BYTES).is_some_and(|b| b & 0x80 != 0),
        nal::VPS..=nal::AUD | nal::PREFIX_SEI | 41..=44 | 48..=55 => true,
        _ => false,
    }
}

/// What is read from a video parameter set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vps {
    /// `vps_video_parameter_set_id`.
    pub id: u8,
    /// From its timing, reduced.
    pub frame_rate: Option<(u32, u32)>,
}

impl Vps {
    /// Reads a NAL unit of type 32.
    pub fn parse(unit: &[u8]) -> Option<Self> {
        if nal_type(unit) != nal::VPS {
            return None;
        }
        let rbsp = unescape(&unit[HEADER_BYTES..], MAX_SET_BYTES);
        let mut r = BitReader::new(&rbsp);
        let id = r.bits(4)? as u8;
        r.skip(8)?;
        let sub_layers = r.bits(3)?;
        r.skip(1 + 16)?;
        ProfileTierLevel::parse(&mut r, sub_layers)?;
        read_ordering(&mut r, sub_layers)?;
        // Timing is optional, and some encoders cut it short.
        Some(Self { id, frame_rate: Self::timing(&mut r) })
    }

    fn timing(r: &mut BitReader<'_>) -> Option<(u32, u32)> {
        let layers = r.bits(6)? as usize + 1;
        let sets = r.ue_max(1023)? as usize;
        r.skip(layers * sets)?;
        if !r.flag()? {
            return None;
        }
        let (tick, scale) = (r.bits(32)?, r.bits(32)?);
        reduce(scale.into(), tick.into())
    }
}

/// Profile, tier and level (7.3.3), as the codec string needs them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProfileTierLevel {
    /// `general_profile_space`.
    pub space: u8,
    /// `general_tier_flag`.
    pub high_tier: bool,
    /// `general_profile_idc`.
    pub profile: u8,
    /// `general_profile_compatibility_flag[0]` in the highest bit.
    pub compatibility: u32,
    /// The 48 bits of constraint flags.
    pub constraints: [u8; 6],
    /// `general_level_idc`: 30 times the level.
    pub level: u8,
}

impl ProfileTierLevel {
    fn parse(r: &mut BitReader<'_>, sub_layers: u32) -> Option<Self> {
        let space = r.bits(2)? as u8;
        let high_tier = r.flag()?;
        let profile = r.bits(5)? as u8;
        let compatibility = r.bits(32)?;
        let mut constraints = [0; 6];
        for byte in &mut constraints {
            *byte = r.bits(8)? as u8;
        }
        let level = r.bits(8)? as u8;
        let mut present = Vec::new();
        for _ in 0..sub_layers {
            present.push((r.flag()?, r.flag()?));
        }
        if sub_layers > 0 {
            r.skip(2 * (8 - sub_layers as usize))?;
        }
        for (profile, level) in present {
            r.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
        }
        Some(Self { space, high_tier, profile, compatibility, constraints, level })
    }
}

/// `sub_layer_ordering_info`: gives the largest `max_num_reorder_pics`, that of the highest layer.
fn read_ordering(r: &mut BitReader<'_>, sub_layers: u32) -> Option<u32> {
    let each = r.flag()?;
    let mut reorder = 0;
    for _ in 0..if each { sub_layers + 1 } else { 1 } {
        r.ue_max(15)?;
        reorder = r.ue_max(15)?;
        r.ue()?;
    }
    Some(reorder)
}

/// What is read from a sequence parameter set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sps {
    /// `sps_seq_parameter_set_id`.
    pub id: u8,
    /// `sps_video_parameter_set_id`.
    pub vps: u8,
    /// Profile, tier, level.
    pub profile: ProfileTierLevel,
    /// Pixels inside the conformance window.
    pub width: u32,
    /// Pixels inside the conformance window.
    pub height: u32,
    /// Pictures that may come before one that is shown earlier.
    pub max_reorder: u32,
    /// From the VUI, reduced.
    pub frame_rate: Option<(u32, u32)>,
    /// Width of `slice_segment_address`.
    address_bits: u32,
}

impl Sps {
    /// Reads a NAL unit of type 33.
    pub fn parse(unit: &[u8]) -> Option<Self> {
        if nal_type(unit) != nal::SPS {
            return None;
        }
        let rbsp = unescape(&unit[HEADER_BYTES..], MAX_SET_BYTES);
        let mut r = BitReader::new(&rbsp);
        let vps = r.bits(4)? as u8;
        let sub_layers = r.bits(3)?;
        r.flag()?;
        let profile = ProfileTierLevel::parse(&mut r, sub_layers)?;
        let id = r.ue_max(MAX_SPS_ID)? as u8;
        let chroma = r.ue_max(3)?;
        let separate_planes = chroma == 3 && r.flag()?;
        let coded_width = r.ue_max(MAX_SIDE).filter(|w| *w > 0)?;
        let coded_height = r.ue_max(MAX_SIDE).filter(|h| *h > 0)?;
        let (mut width, mut height) = (coded_width, coded_height);
        if r.flag()? {
            let (unit_x, unit_y) = match chroma {
                _ if separate_planes => (1, 1),
                1 => (2, 2),
                2 => (2, 1),
                _ => (1, 1),
            };
            let mut offset = || r.ue_max(MAX_SIDE);
            width = width.checked_sub((offset()? + offset()?) * unit_x).filter(|w| *w > 0)?;
            height = height.checked_sub((offset()? + offset()?) * unit_y).filter(|h| *h > 0)?;
        }
        r.ue_max(8)?;
        r.ue_max(8)?;
        let poc_bits = r.ue_max(12)? + 4;
        let max_reorder = read_ordering(&mut r, sub_layers)?;
        let ctb_log2 = r.ue_max(3)? + 3 + r.ue_max(3)?;
        let ctbs = coded_width.div_ceil(1 << ctb_log2) * coded_height.div_ceil(1 << ctb_log2);
        let address_bits = ctbs.next_power_of_two().trailing_zeros();
        let frame_rate = super::h265_vui::frame_rate(&mut r, poc_bits);
        Some(Self { id, vps, profile, width, height, max_reorder, frame_rate, address_bits })
    }
}

/// What is read from a picture parameter set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pps {
    /// `pps_pic_parameter_set_id`.
    pub id: u8,
    /// `pps_seq_parameter_set_id`.
    pub sps: u8,
    dependent_slices: bool,
    extra_bits: u32,
}

impl Pps {
    /// Reads a NAL unit of type 34.
    pub fn parse(unit: &[u8]) -> Option<Self> {
        if nal_type(unit) != nal::PPS {
            return None;
        }
        let rbsp = unescape(&unit[HEADER_BYTES..], SLICE_HEAD_BYTES);
        let mut r = BitReader::new(&rbsp);
        let id = r.ue_max(MAX_PPS_ID)? as u8;
        let sps = r.ue_max(MAX_SPS_ID)? as u8;
        let dependent_slices = r.flag()?;
        r.flag()?;
        Some(Self { id, sps, dependent_slices, extra_bits: r.bits(3)? })
    }
}

/// The picture parameter set that a slice segment names; `None` where it is cut off.
pub fn slice_pps(unit: &[u8]) -> Option<u8> {
    slice_reader_start(unit, |r, _| r.ue_max(MAX_PPS_ID).map(|id| id as u8))
}

/// The type of a slice; `None` for a dependent slice segment (it continues one) or one cut off.
pub fn slice_type(unit: &[u8], pps: &Pps, sps: &Sps) -> Option<SliceType> {
    slice_reader_start(unit, |r, first| {
        r.ue()?;
        if !first {
            if pps.dependent_slices && r.flag()? {
                return None;
            }
            r.skip(sps.address_bits as usize)?;
        }
        r.skip(pps.extra_bits as usize)?;
        Some(match r.ue_max(2)? {
            0 => SliceType::B,
            1 => SliceType::P,
            _ => SliceType::I,
        })
    })
}

/// Passes over the fields in front of the PPS id; the reader goes on with
/// `first_slice_segment_in_pic_flag`.
fn slice_reader_start<T>(
    unit: &[u8],
    read: impl FnOnce(&mut BitReader<'_>, bool) -> Option<T>,
) -> Option<T> {
    if !is_picture(unit) {
        return None;
    }
    let rbsp = unescape(&unit[HEADER_BYTES..], SLICE_HEAD_BYTES);
    let mut r = BitReader::new(&rbsp);
    let first = r.flag()?;
    if is_irap(unit) {
        r.flag()?;
    }
    read(&mut r, first)
}

/// Ids of a parameter set: its own, then that of the set it refers to (0 for a VPS).
pub fn set_ids(unit: &[u8]) -> Option<(u8, u8)> {
    match nal_type(unit) {
        nal::VPS => Some(((unit.get(HEADER_BYTES)? >> 4).min(MAX_VPS_ID as u8), 0)),
        nal::SPS => Sps::parse(unit).map(|s| (s.id, s.vps)),
        nal::PPS => Pps::parse(unit).map(|p| (p.id, p.sps)),
        _ => None,
    }
}
