//! Reads bits of a NAL unit: ISO/IEC 14496-10 7.2 and 9.1 (u, ue, se), 7.4.1 (emulation prevention).

/// Takes bits from the front; every read gives `None` where the data is cut off.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    data: &'a [u8],
    bit: usize,
}

impl<'a> BitReader<'a> {
    /// Starts at the first bit of `data`, which has no emulation prevention bytes any more.
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, bit: 0 }
    }

    /// One bit.
    pub fn flag(&mut self) -> Option<bool> {
        let byte = self.data.get(self.bit / 8)?;
        let value = byte >> (7 - self.bit % 8) & 1 == 1;
        self.bit += 1;
        Some(value)
    }

    /// `count` bits, at most 32, most significant first.
    pub fn bits(&mut self, count: u32) -> Option<u32> {
        debug_assert!(count <= 32);
        let mut value = 0u64;
        for _ in 0..count {
            value = value << 1 | u64::from(self.flag()?);
        }
        u32::try_from(value).ok()
    }

    /// Passes over `count` bits.
    pub fn skip(&mut self, count: usize) -> Option<()> {
        let bit = self.bit.checked_add(count)?;
        (bit <= self.data.len() * 8).then(|| self.bit = bit)
    }

    /// Unsigned Exp-Golomb, at most 32 leading zeros.
    pub fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 32 {
                return None;
            }
        }
        let tail = u64::from(self.bits(zeros)?);
        u32::try_from((1u64 << zeros) - 1 + tail).ok()
    }

    /// Signed Exp-Golomb.
    pub fn se(&mut self) -> Option<i32> {
        let k = i64::from(self.ue()?);
        i32::try_from(if k % 2 == 1 { (k + 1) / 2 } else { -k / 2 }).ok()
    }

    /// Unsigned Exp-Golomb that must not exceed `max`.
    pub fn ue_max(&mut self, max: u32) -> Option<u32> {
        self.ue().filter(|v| *v <= max)
    }
}

/// Copies at most `max` bytes of a NAL unit, without its emulation prevention bytes.
pub fn unescape(nal: &[u8], max: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len().min(max));
    let mut zeros = 0;
    for &byte in nal {
        if out.len() == max {
            break;
        }
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// Smallest fraction of the same value; `None` where either part is 0.
pub(crate) fn reduce(num: u64, den: u64) -> Option<(u32, u32)> {
    let (mut a, mut b) = (num, den);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    if num == 0 || den == 0 {
        return None;
    }
    Some((u32::try_from(num / a).ok()?, u32::try_from(den / a).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb() {
        // 1 | 010 | 011 | 00100 | 00101
        let data = [0b1010_0110, 0b0100_0010, 0b1000_0000];
        let mut r = BitReader::new(&data);
        let got: Vec<_> = (0..5).map(|_| r.ue()).collect();
        assert_eq!(got, [0, 1, 2, 3, 4].map(Some));
        let mut r = BitReader::new(&data);
        let got: Vec<_> = (0..5).map(|_| r.se()).collect();
        assert_eq!(got, [0, 1, -1, 2, -2].map(Some));
        assert_eq!(BitReader::new(&[0; 9]).ue(), None);
        // 32 leading zeros are the longest that fit: 2^32 - 1 + 0 is the largest value.
        assert_eq!(BitReader::new(&[0, 0, 0, 0, 0x80, 0, 0, 0, 0]).ue(), Some(u32::MAX));
    }

    #[test]
    fn reads_end_with_the_data() {
        let mut r = BitReader::new(&[0xff]);
        assert_eq!(r.bits(8), Some(0xff));
        assert_eq!(r.flag(), None);
        assert_eq!(r.skip(1), None);
        assert_eq!(r.skip(0), Some(()));
    }

    #[test]
    fn emulation_prevention_goes() {
        assert_eq!(unescape(&[1, 0, 0, 3, 1, 0, 0, 0, 3, 3], 99), [1, 0, 0, 1, 0, 0, 0, 3]);
        assert_eq!(unescape(&[1, 2, 3, 4], 2), [1, 2]);
    }

    #[test]
    fn fractions() {
        assert_eq!(reduce(50, 2), Some((25, 1)));
        assert_eq!(reduce(60_000, 2_002), Some((30_000, 1_001)));
        assert_eq!(reduce(0, 2), None);
        assert_eq!(reduce(2, 0), None);
    }
}
