//! MPEG-4 Part 2: video object layer and the type of a picture (ISO/IEC 14496-2 6.2).

use memchr::memmem;

use super::bits::{BitReader, reduce};

/// What is read from a video object layer header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vol {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Only where it is fixed.
    pub frame_rate: Option<(u32, u32)>,
    /// No picture refers forwards.
    pub low_delay: bool,
}

/// How a picture is predicted (table 6-20).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VopType {
    /// From nothing.
    I,
    /// From the picture before.
    P,
    /// From both sides.
    B,
    /// Sprite: as P.
    S,
}

const GROUP_OF_VOP: u8 = 0xb3;
const VOP: u8 = 0xb6;

/// Start codes with what follows them: the code's last byte, the payload up to the next one, and
/// the position of the start code.
fn sections(data: &[u8]) -> impl Iterator<Item = (u8, &[u8], usize)> {
    let mut starts = memmem::find_iter(data, &[0, 0, 1]).peekable();
    std::iter::from_fn(move || {
        let at = starts.next()?;
        let end = starts.peek().copied().unwrap_or(data.len());
        let code = *data.get(at + 3)?;
        Some((code, data.get(at + 4..end).unwrap_or_default(), at))
    })
}

/// The type of the first picture of an access unit.
pub fn vop_type(unit: &[u8]) -> Option<VopType> {
    let (_, body, _) = sections(unit).find(|(code, ..)| *code == VOP)?;
    Some(match body.first()? >> 6 {
        0 => VopType::I,
        1 => VopType::P,
        2 => VopType::B,
        _ => VopType::S,
    })
}

/// The headers in front of the first picture or group, where a video object layer is among them:
/// what a decoder must be told.
pub fn config(unit: &[u8]) -> Option<&[u8]> {
    let mut begin = None;
    let mut has_layer = false;
    for (code, _, at) in sections(unit) {
        if matches!(code, GROUP_OF_VOP | VOP) {
            return has_layer.then(|| &unit[begin.unwrap_or(at)..at]);
        }
        begin = begin.or(Some(at));
        has_layer |= matches!(code, 0x20..=0x2f);
    }
    has_layer.then(|| &unit[begin.unwrap_or(0)..])
}

impl Vol {
    /// Finds and reads the first video object layer header of rectangular shape.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let (_, body, _) = sections(data).find(|(code, ..)| matches!(code, 0x20..=0x2f))?;
        let mut r = BitReader::new(body);
        r.skip(1 + 8)?; // random access, object type
        if r.flag()? {
            r.skip(4 + 3)?; // version, priority
        }
        const EXTENDED_ASPECT: u32 = 15;
        if r.bits(4)? == EXTENDED_ASPECT {
            r.skip(16)?;
        }
        let mut low_delay = false;
        if r.flag()? {
            r.skip(2)?;
            low_delay = r.flag()?;
            if r.flag()? {
                r.skip(79)?; // VBV parameters with their markers
            }
        }
        let shape = r.bits(2)?;
        if shape != 0 {
            return None;
        }
        r.skip(1)?;
        let resolution = r.bits(16)?;
        r.skip(1)?;
        let mut frame_rate = None;
        if r.flag()? {
            let bits = 32 - resolution.saturating_sub(1).leading_zeros();
            frame_rate = reduce(resolution.into(), r.bits(bits.max(1))?.into());
        }
        r.skip(1)?;
        let width = r.bits(13)?;
        r.skip(1)?;
        let height = r.bits(13)?;
        (width > 0 && height > 0).then_some(Self { width, height, frame_rate, low_delay })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An encoder's headers for 352x288 at 25 fps, then the start of an I picture.
    const HEAD: &[u8] = &[
        0x00, 0x00, 0x01, 0xb0, 0x01, 0x00, 0x00, 0x01, 0xb5, 0x89, 0x13, 0x00, 0x00, 0x01, 0x00,
        0x00, 0x00, 0x01, 0x20, 0x00, 0xc4, 0x8d, 0x88, 0x00, 0xcd, 0x0b, 0x04, 0x24, 0x14, 0x43,
        0x00, 0x00, 0x01, 0xb6, 0x10, 0x60,
    ];

    #[test]
    fn headers() {
        let vol = Vol::parse(HEAD).unwrap();
        assert_eq!((vol.width, vol.height), (352, 288));
        assert_eq!(vol.frame_rate, None);
        assert_eq!(vop_type(HEAD), Some(VopType::I));
        assert_eq!(config(HEAD), Some(&HEAD[..30]));
        assert_eq!(vop_type(&[0, 0, 1, 0xb6, 0x56]), Some(VopType::P));
        assert_eq!(vop_type(&[0, 0, 1, 0xb6, 0x96]), Some(VopType::B));
        assert_eq!(config(&[0, 0, 1, 0xb6, 0x56]), None);
    }

    #[test]
    fn every_truncation_is_survived() {
        for end in 0..HEAD.len() {
            let cut = &HEAD[..end];
            assert!(end >= 26 || Vol::parse(cut).is_none(), "{end}");
            assert!(end > 34 || vop_type(cut).is_none(), "{end}");
            let _ = config(cut);
        }
    }
}
