//! Writes the bits of a NAL unit, emulation prevention included (ISO/IEC 14496-10, 7.3.1 and 9.1).

use bytes::Bytes;

/// Collects one NAL unit.
pub(super) struct NalWriter {
    out: Vec<u8>,
    zeros: u8,
    partial: u8,
    partial_bits: u8,
}

impl NalWriter {
    /// Starts with the unit's header bytes.
    pub(super) fn new(header: &[u8]) -> Self {
        Self { out: header.to_vec(), zeros: 0, partial: 0, partial_bits: 0 }
    }

    fn push_byte(&mut self, byte: u8) {
        if self.zeros >= 2 && byte <= 3 {
            self.out.push(3);
            self.zeros = 0;
        }
        self.out.push(byte);
        self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
    }

    /// u(1)
    pub(super) fn flag(&mut self, bit: bool) {
        self.partial = self.partial << 1 | u8::from(bit);
        self.partial_bits += 1;
        if self.partial_bits == 8 {
            let byte = self.partial;
            (self.partial, self.partial_bits) = (0, 0);
            self.push_byte(byte);
        }
    }

    /// u(n)
    pub(super) fn u(&mut self, count: u32, value: u32) {
        for i in (0..count).rev() {
            self.flag(value >> i & 1 == 1);
        }
    }

    /// ue(v)
    pub(super) fn ue(&mut self, value: u32) {
        let code = value + 1;
        let len = 32 - code.leading_zeros();
        self.u(len - 1, 0);
        self.u(len, code);
    }

    /// se(v)
    pub(super) fn se(&mut self, value: i32) {
        self.ue(if value > 0 { value as u32 * 2 - 1 } else { value.unsigned_abs() * 2 });
    }

    /// Zero bits up to the next byte.
    pub(super) fn align_zero(&mut self) {
        while self.partial_bits != 0 {
            self.flag(false);
        }
    }

    /// Whole bytes at a byte boundary.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        debug_assert_eq!(self.partial_bits, 0);
        bytes.iter().for_each(|&b| self.push_byte(b));
    }

    /// Samples at a byte boundary. None may be below 4, so none needs emulation prevention.
    pub(super) fn samples(&mut self, samples: &[u8]) {
        debug_assert_eq!(self.partial_bits, 0);
        debug_assert!(samples.iter().all(|&s| s > 3));
        self.out.extend_from_slice(samples);
        self.zeros = 0;
    }

    /// The unit, whose trailing bits are written.
    pub(super) fn finish_aligned(self) -> Bytes {
        debug_assert_eq!(self.partial_bits, 0);
        Bytes::from(self.out)
    }

    /// rbsp_trailing_bits, and the unit.
    pub(super) fn finish(mut self) -> Bytes {
        self.flag(true);
        self.align_zero();
        Bytes::from(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_and_emulation_prevention() {
        let mut w = NalWriter::new(&[0x67]);
        for v in [0, 1, 2, 3, 7] {
            w.ue(v);
        }
        // 1 010 011 00100 0001000, stop bit
        assert_eq!(w.finish().as_ref(), [0x67, 0b1010_0110, 0b0100_0001, 0b0001_0000]);
        let mut w = NalWriter::new(&[6]);
        w.bytes(&[0, 0, 0, 0, 1, 0, 0, 4]);
        assert_eq!(w.finish().as_ref(), [6, 0, 0, 3, 0, 0, 3, 1, 0, 0, 4, 0x80]);
        let mut w = NalWriter::new(&[6]);
        [0, 1, -1, 2].into_iter().for_each(|v| w.se(v));
        // 1 010 011 00100, stop bit
        assert_eq!(w.finish().as_ref(), [6, 0b1010_0110, 0b0100_1000]);
    }
}
