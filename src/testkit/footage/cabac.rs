//! Arithmetic coding of the few flags that a picture of raw blocks needs (ISO/IEC 23008-2, 9.3).

use super::bits::NalWriter;

/// A context variable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    state: u8,
    most_probable: bool,
}

impl Context {
    /// From its initValue, at the slice quality that all our slices have (9.3.2.2).
    pub(super) fn new(init: u8) -> Self {
        const SLICE_QP: i32 = 26;
        let slope = i32::from(init >> 4) * 5 - 45;
        let offset = (i32::from(init & 15) << 3) - 16;
        let pre = (((slope * SLICE_QP) >> 4) + offset).clamp(1, 126) as u8;
        let most_probable = pre > 63;
        Self { state: if most_probable { pre - 64 } else { 63 - pre }, most_probable }
    }
}

/// The encoder (9.3.5, informative).
#[derive(Debug)]
pub(super) struct Encoder {
    low: u32,
    range: u32,
    first: bool,
    outstanding: u32,
}

impl Encoder {
    /// At its start, and again after raw samples.
    pub(super) fn new() -> Self {
        Self { low: 0, range: 510, first: true, outstanding: 0 }
    }

    /// A bin with a context.
    pub(super) fn bin(&mut self, w: &mut NalWriter, context: &mut Context, bin: bool) {
        let quarter = (self.range >> 6 & 3) as usize;
        let lps = u32::from(RANGE_LPS[usize::from(context.state)][quarter]);
        self.range -= lps;
        if bin == context.most_probable {
            context.state = (context.state + 1).min(62);
        } else {
            self.low += self.range;
            self.range = lps;
            if context.state == 0 {
                context.most_probable = !context.most_probable;
            }
            context.state = NEXT_LPS[usize::from(context.state)];
        }
        self.renormalise(w);
    }

    /// A bin before the end, or the end: then up to and with the stop bit.
    pub(super) fn terminate(&mut self, w: &mut NalWriter, end: bool) {
        self.range -= 2;
        if !end {
            return self.renormalise(w);
        }
        self.low += self.range;
        self.range = 2;
        self.renormalise(w);
        self.put(w, self.low >> 9 & 1 == 1);
        w.flag(self.low >> 8 & 1 == 1);
        w.flag(true);
        w.align_zero();
        *self = Self::new();
    }

    fn renormalise(&mut self, w: &mut NalWriter) {
        while self.range < 256 {
            if self.low < 256 {
                self.put(w, false);
            } else if self.low >= 512 {
                self.low -= 512;
                self.put(w, true);
            } else {
                self.low -= 256;
                self.outstanding += 1;
            }
            self.range <<= 1;
            self.low <<= 1;
        }
    }

    fn put(&mut self, w: &mut NalWriter, bit: bool) {
        if !std::mem::take(&mut self.first) {
            w.flag(bit);
        }
        for _ in 0..std::mem::take(&mut self.outstanding) {
            w.flag(!bit);
        }
    }
}

/// rangeTabLps.
const RANGE_LPS: [[u8; 4]; 64] = [
    [128, 176, 208, 240],
    [128, 167, 197, 227],
    [128, 158, 187, 216],
    [123, 150, 178, 205],
    [116, 142, 169, 195],
    [111, 135, 160, 185],
    [105, 128, 152, 175],
    [100, 122, 144, 166],
    [95, 116, 137, 158],
    [90, 110, 130, 150],
    [85, 104, 123, 142],
    [81, 99, 117, 135],
    [77, 94, 111, 128],
    [73, 89, 105, 122],
    [69, 85, 100, 116],
    [66, 80, 95, 110],
    [62, 76, 90, 104],
    [59, 72, 86, 99],
    [56, 69, 81, 94],
    [53, 65, 77, 89],
    [51, 62, 73, 85],
    [48, 59, 69, 80],
    [46, 56, 66, 76],
    [43, 53, 63, 72],
    [41, 50, 59, 69],
    [39, 48, 56, 65],
    [37, 45, 54, 62],
    [35, 43, 51, 59],
    [33, 41, 48, 56],
    [32, 39, 46, 53],
    [30, 37, 43, 50],
    [29, 35, 41, 48],
    [27, 33, 39, 45],
    [26, 31, 37, 43],
    [24, 30, 35, 41],
    [23, 28, 33, 39],
    [22, 27, 32, 37],
    [21, 26, 30, 35],
    [20, 24, 29, 33],
    [19, 23, 27, 31],
    [18, 22, 26, 30],
    [17, 21, 25, 28],
    [16, 20, 23, 27],
    [15, 19, 22, 25],
    [14, 18, 21, 24],
    [14, 17, 20, 23],
    [13, 16, 19, 22],
    [12, 15, 18, 21],
    [12, 14, 17, 20],
    [11, 14, 16, 19],
    [11, 13, 15, 18],
    [10, 12, 15, 17],
    [10, 12, 14, 16],
    [9, 11, 13, 15],
    [9, 11, 12, 14],
    [8, 10, 12, 14],
    [8, 9, 11, 13],
    [7, 9, 11, 12],
    [7, 9, 10, 12],
    [7, 8, 10, 11],
    [6, 8, 9, 11],
    [6, 7, 9, 10],
    [6, 7, 8, 9],
    [2, 2, 2, 2],
];

/// transIdxLps.
const NEXT_LPS: [u8; 64] = [
    0, 0, 1, 2, 2, 4, 4, 5, 6, 7, 8, 9, 9, 11, 11, 12, 13, 13, 15, 15, 16, 16, 18, 18, 19, 19, 21,
    21, 22, 22, 23, 24, 24, 25, 26, 26, 27, 27, 28, 29, 29, 30, 30, 30, 31, 32, 32, 33, 33, 33, 34,
    34, 35, 35, 35, 36, 36, 36, 37, 37, 37, 38, 38, 63,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables follow from one formula (9.3.4.3.2.1 was made that way): each state is 0.949
    /// times as improbable as the one before, and a range is its quarter's middle times that.
    #[test]
    fn tables_from_another_angle() {
        let alpha = (0.01875f64 / 0.5).powf(1.0 / 63.0);
        for state in 0..62 {
            let p = 0.5 * alpha.powi(state as i32);
            for (quarter, &value) in RANGE_LPS[state].iter().enumerate() {
                let middle = 256.0 + 64.0 * quarter as f64 + 32.0;
                let off = (middle * p - f64::from(value)).abs();
                assert!(off <= 16.5, "{state} {quarter}: {value} is {off} off");
            }
            assert!(RANGE_LPS[state].is_sorted());
            assert!(RANGE_LPS[state + 1].iter().zip(&RANGE_LPS[state]).all(|(b, a)| b <= a));
            assert!(usize::from(NEXT_LPS[state]) <= state);
        }
        assert!(NEXT_LPS.is_sorted());
    }
}
