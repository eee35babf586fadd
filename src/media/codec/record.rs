//! Decoder configuration records: how ISO files and others carry parameter sets (ISO/IEC 14496-15
//! 5.3.3.1 `avcC`, 8.3.3.1 `hvcC`).

use bytes::Bytes;

/// What a record says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// Bytes of the lengths in front of NAL units: 1, 2 or 4.
    pub length_bytes: usize,
    /// In the order of the record.
    pub parameter_sets: Vec<Bytes>,
}

/// Parameter sets in one record; more is not taken as meant.
const MAX_SETS: usize = 64;

impl Record {
    /// Reads `avcC` without its box header.
    pub fn parse_avc(data: &[u8]) -> Option<Self> {
        let (head, mut rest) = data.split_first_chunk::<5>()?;
        if head[0] != 1 {
            return None;
        }
        let mut parameter_sets = Vec::new();
        for mask in [0x1f, 0xff] {
            let (count, tail) = rest.split_first()?;
            rest = tail;
            for _ in 0..count & mask {
                parameter_sets.push(take_set(&mut rest)?);
            }
        }
        // The profiles above 66, 77 and 88 may be followed by more; nothing of it is needed.
        Self::checked(head[4], parameter_sets)
    }

    /// Reads `hvcC` without its box header.
    pub fn parse_hevc(data: &[u8]) -> Option<Self> {
        let (head, mut rest) = data.split_first_chunk::<23>()?;
        // Old files have version 0.
        if head[0] > 1 {
            return None;
        }
        let mut parameter_sets = Vec::new();
        for _ in 0..head[22] {
            let (array, tail) = rest.split_first_chunk::<3>()?;
            rest = tail;
            for _ in 0..u16::from_be_bytes([array[1], array[2]]) {
                if parameter_sets.len() == MAX_SETS {
                    return None;
                }
                parameter_sets.push(take_set(&mut rest)?);
            }
        }
        Self::checked(head[21], parameter_sets)
    }

    fn checked(lengths: u8, parameter_sets: Vec<Bytes>) -> Option<Self> {
        let length_bytes = usize::from(lengths & 3) + 1;
        let ok = length_bytes != 3 && parameter_sets.len() <= MAX_SETS;
        ok.then_some(Self { length_bytes, parameter_sets })
    }

    /// Rewrites a sample whose lengths have [`Record::length_bytes`] to lengths of four bytes.
    /// `None` where it is not whole.
    pub fn widen(&self, sample: &[u8]) -> Option<Bytes> {
        if self.length_bytes == super::annexb::LENGTH_BYTES {
            return super::annexb::is_whole(sample).then(|| Bytes::copy_from_slice(sample));
        }
        let mut nals = Vec::new();
        let mut rest = sample;
        while !rest.is_empty() {
            let (length, tail) = rest.split_at_checked(self.length_bytes)?;
            let length = length.iter().fold(0, |n, b| n << 8 | usize::from(*b));
            let (nal, tail) = tail.split_at_checked(length)?;
            nals.push(nal);
            rest = tail;
        }
        Some(super::annexb::join(nals))
    }
}

fn take_set(rest: &mut &[u8]) -> Option<Bytes> {
    let (length, tail) = rest.split_first_chunk::<2>()?;
    let (set, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = tail;
    Some(Bytes::copy_from_slice(set))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AVC: &[u8] = &[1, 100, 0, 40, 0xff, 0xe1, 0, 3, 0x67, 1, 2, 1, 0, 2, 0x68, 3];

    fn hevc() -> Vec<u8> {
        let mut data = vec![1; 21];
        data.extend([
            0xfc | 1,
            2,
            0xa0,
            0,
            1,
            0,
            2,
            0x40,
            1,
            0xa1,
            0,
            2,
            0,
            1,
            0x42,
            0,
            2,
            0x42,
            9,
        ]);
        data
    }

    #[test]
    fn both_records() {
        let avc = Record::parse_avc(AVC).unwrap();
        assert_eq!(avc.length_bytes, 4);
        assert_eq!(avc.parameter_sets, [&[0x67, 1, 2][..], &[0x68, 3]]);
        let hevc = Record::parse_hevc(&hevc()).unwrap();
        assert_eq!(hevc.length_bytes, 2);
        assert_eq!(hevc.parameter_sets, [&[0x40, 1][..], &[0x42], &[0x42, 9]]);
        assert_eq!(Record::parse_avc(&[0, 0, 0, 1, 0x67, 0, 0, 0]), None);
    }

    #[test]
    fn every_truncation_is_refused() {
        for end in 0..AVC.len() {
            assert_eq!(Record::parse_avc(&AVC[..end]), None, "{end}");
        }
        let hevc = hevc();
        for end in 0..hevc.len() {
            assert_eq!(Record::parse_hevc(&hevc[..end]), None, "{end}");
        }
    }

    #[test]
    fn lengths_are_widened() {
        let two = Record { length_bytes: 2, parameter_sets: vec![] };
        assert_eq!(
            two.widen(&[0, 2, 7, 8, 0, 1, 9]).unwrap(),
            [0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9][..]
        );
        assert_eq!(two.widen(&[0, 2, 7]), None);
        let four = Record { length_bytes: 4, parameter_sets: vec![] };
        assert_eq!(four.widen(&[0, 0, 0, 1, 9]).unwrap(), [0, 0, 0, 1, 9][..]);
        assert_eq!(four.widen(&[0, 0, 0, 2, 9]), None);
    }
}
