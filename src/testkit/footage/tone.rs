//! The sound of a channel: a steady tone in G.711 A-law, 8 kHz.

use bytes::Bytes;
use dvrgate_model::Utc;

/// A tone whose pitch tells the channel. Blocks of 40 ms on a fixed grid of instants.
#[derive(Debug)]
pub struct Tone {
    second: Bytes,
    frequency_hz: u32,
}

const SAMPLES_PER_SECOND: usize = 8_000;

impl Tone {
    /// Microseconds of a block.
    pub const BLOCK_US: i64 = 40_000;
    /// Samples, and bytes, of a block.
    pub const BLOCK_SAMPLES: usize = 320;

    /// 400 Hz and 50 Hz more for each channel.
    pub fn new(channel: u16) -> Self {
        // A whole number of cycles a second, so one second repeats without a click.
        let frequency_hz = 400 + u32::from(channel % 40) * 50;
        let second: Vec<u8> = (0..SAMPLES_PER_SECOND)
            .map(|i| {
                let phase = f64::from(frequency_hz) * i as f64 / SAMPLES_PER_SECOND as f64;
                a_law(((phase * std::f64::consts::TAU).sin() * 8_000.0) as i16)
            })
            .collect();
        Self { second: second.into(), frequency_hz }
    }

    /// Its pitch.
    pub fn frequency_hz(&self) -> u32 {
        self.frequency_hz
    }

    /// The first block at or after `t`.
    pub fn block_at_or_after(&self, t: Utc) -> Utc {
        Utc::from_micros(
            (t.micros() + Self::BLOCK_US - 1).div_euclid(Self::BLOCK_US) * Self::BLOCK_US,
        )
    }

    /// The block that starts at `at`, an instant of the grid.
    pub fn block(&self, at: Utc) -> Bytes {
        let first = (at.micros().rem_euclid(1_000_000) / 125) as usize;
        self.second.slice(first..first + Self::BLOCK_SAMPLES)
    }
}

/// ITU-T G.711 A-law of a 16-bit sample.
fn a_law(sample: i16) -> u8 {
    let (sign, magnitude) =
        if sample >= 0 { (0x80, i32::from(sample)) } else { (0, -i32::from(sample) - 1) };
    let magnitude = (magnitude >> 3).min(0xFFF); // A-law has 13 bits, of which one is the sign
    let code = if magnitude < 32 {
        magnitude >> 1
    } else {
        let segment = 27 - magnitude.leading_zeros() as i32;
        segment << 4 | (magnitude >> segment & 0x0F)
    };
    (sign | code as u8) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_of_a_law() {
        // Sign and magnitude of the smallest, and the largest, code words (G.711 table 1).
        assert_eq!(a_law(0), 0xD5);
        assert_eq!(a_law(-1), 0x55);
        assert_eq!(a_law(i16::MAX), 0xAA);
        assert_eq!(a_law(i16::MIN), 0x2A);
        assert_eq!(a_law(1000), 0xFA);
    }

    #[test]
    fn blocks_join_without_a_click() {
        let tone = Tone::new(1);
        assert_eq!(tone.frequency_hz(), 450);
        let at = tone.block_at_or_after("2026-11-25T03:11:30.960001Z".parse().unwrap());
        assert_eq!(at.to_string(), "2026-11-25T03:11:31Z");
        let second: Vec<u8> =
            (0..25).flat_map(|n| tone.block(at.plus_us(n * Tone::BLOCK_US)).to_vec()).collect();
        assert_eq!(second, tone.second);
    }
}
