//! The 33-bit clock of MPEG systems (ISO/IEC 13818-1 2.4.3.7), unwrapped.

/// Ticks per second of PTS and the base of the SCR.
pub const RATE_HZ: u32 = 90_000;

const MODULUS: i64 = 1 << 33;

/// Makes the wrapping counter of a program a rising one. All streams of a program share it, so
/// that they stay in step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unwrap33 {
    last: Option<i64>,
}

impl Unwrap33 {
    /// The value nearest to the one before that shows the same 33 bits.
    pub(crate) fn unwrap(&mut self, raw: u64) -> i64 {
        let raw = (raw as i64).rem_euclid(MODULUS);
        let value = match self.last {
            None => raw,
            Some(last) => {
                let ahead = (raw - last).rem_euclid(MODULUS);
                last + if ahead < MODULUS / 2 { ahead } else { ahead - MODULUS }
            }
        };
        self.last = Some(value);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_over_the_border_and_goes_back_over_it() {
        let mut u = Unwrap33::default();
        assert_eq!(u.unwrap(MODULUS as u64 - 10), MODULUS - 10);
        assert_eq!(u.unwrap(5), MODULUS + 5);
        assert_eq!(u.unwrap(MODULUS as u64 - 1), MODULUS - 1);
        assert_eq!(u.unwrap(3600), MODULUS + 3600);
    }
}
