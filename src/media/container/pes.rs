//! Packets of elementary streams (ISO/IEC 13818-1 2.4.3.6; ISO/IEC 11172-1 2.4.3.3).

/// Start code and length.
pub(crate) const PREFIX_BYTES: usize = 6;
/// Flags and the length of the optional fields (13818-1).
const FLAG_BYTES: usize = 3;
const MAX_STUFFING_BYTES: usize = 16;

/// What stands between the length and the payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct PesHeader {
    /// 33 bits at 90 kHz.
    pub(crate) pts: Option<u64>,
    /// Bytes from after the length to the payload.
    pub(crate) bytes: usize,
    /// `PES_scrambling_control` says that the payload is.
    pub(crate) scrambled: bool,
}

impl PesHeader {
    /// Reads what follows the length field. `None` where it is cut off or neither form.
    pub(crate) fn parse(data: &[u8]) -> Option<Self> {
        if data.first()? & 0xc0 == 0x80 { Self::mpeg2(data) } else { Self::mpeg1(data) }
    }

    fn mpeg2(data: &[u8]) -> Option<Self> {
        let flags = data.get(..FLAG_BYTES)?;
        let bytes = FLAG_BYTES + usize::from(flags[2]);
        let optional = data.get(FLAG_BYTES..bytes)?;
        let pts = if flags[1] & 0x80 != 0 { time_stamp(optional) } else { None };
        Some(Self { pts, bytes, scrambled: flags[0] & 0x30 != 0 })
    }

    fn mpeg1(data: &[u8]) -> Option<Self> {
        let stuffing = data.iter().take_while(|b| **b == 0xff).count();
        if stuffing > MAX_STUFFING_BYTES {
            return None;
        }
        let mut at = stuffing;
        if data.get(at)? & 0xc0 == 0x40 {
            at += 2; // size of the decoder's buffer
        }
        let (pts, length) = match data.get(at)? >> 4 {
            2 => (Some(time_stamp(data.get(at..)?)?), 5),
            3 => (Some(time_stamp(data.get(at..)?)?), 10),
            0 if data[at] == 0x0f => (None, 1),
            _ => return None,
        };
        let bytes = at + length;
        (bytes <= data.len()).then_some(Self { pts, bytes, scrambled: false })
    }
}

/// PTS: 3, 15 and 15 bits, each with a marker behind it.
pub(crate) fn time_stamp(data: &[u8]) -> Option<u64> {
    let b = data.get(..5)?;
    Some(
        u64::from(b[0] >> 1 & 7) << 30
            | u64::from(b[1]) << 22
            | u64::from(b[2] >> 1) << 15
            | u64::from(b[3]) << 7
            | u64::from(b[4] >> 1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_generations() {
        // PTS 1 234 567 890
        let stamp = [0x21 | 0x02, 0x26, 0x59, 0x05, 0xa5];
        let value = time_stamp(&stamp).unwrap();
        assert_eq!(value, (1 << 30) | (0x26 << 22) | (0x2c << 15) | (5 << 7) | 0x52);
        let mut mpeg2 = vec![0x80, 0x80, 7];
        mpeg2.extend(stamp);
        mpeg2.extend([0xff, 0xff]);
        let header = PesHeader { pts: Some(value), bytes: 10, scrambled: false };
        assert_eq!(PesHeader::parse(&mpeg2), Some(header));
        let mut mpeg1 = vec![0xff, 0xff, 0x60, 0x20];
        mpeg1.extend(stamp);
        assert_eq!(PesHeader::parse(&mpeg1), Some(PesHeader { bytes: 9, ..header }));
        assert_eq!(
            PesHeader::parse(&[0x0f, 1, 2]),
            Some(PesHeader { pts: None, bytes: 1, scrambled: false })
        );
        for end in 0..10 {
            assert_eq!(PesHeader::parse(&mpeg2[..end]), None, "{end}");
        }
        for end in 0..9 {
            assert_eq!(PesHeader::parse(&mpeg1[..end]), None, "{end}");
        }
    }
}
