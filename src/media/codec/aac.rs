//! AAC: ADTS headers and AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1, 1.A.2).

use super::bits::BitReader;

/// Samples per second by `samplingFrequencyIndex` (table 1.18).
pub const RATES_HZ: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Samples of one frame and channel.
pub const FRAME_SAMPLES: u32 = 1024;

/// An ADTS header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Adts {
    /// MPEG-4 audio object type; 2 is AAC LC.
    pub object_type: u8,
    /// Samples per second.
    pub rate_hz: u32,
    /// Channels; 0 where they are described inside the frame.
    pub channels: u16,
    /// Bytes of the header, checksum included.
    pub header_bytes: usize,
    /// Bytes of header and frame.
    pub frame_bytes: usize,
}

impl Adts {
    /// Bytes of the header without checksum.
    pub const MIN_BYTES: usize = 7;

    /// Reads the header at the front of `data`.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let mut r = BitReader::new(data.get(..Self::MIN_BYTES)?);
        if r.bits(12)? != 0xfff {
            return None;
        }
        r.skip(1)?;
        if r.bits(2)? != 0 {
            return None;
        }
        let unprotected = r.flag()?;
        let object_type = r.bits(2)? as u8 + 1;
        let rate_hz = *RATES_HZ.get(r.bits(4)? as usize)?;
        r.skip(1)?;
        let channels = channels_of(r.bits(3)?)?;
        r.skip(4)?;
        let frame_bytes = r.bits(13)? as usize;
        let header_bytes = if unprotected { 7 } else { 9 };
        (frame_bytes > header_bytes).then_some(Self {
            object_type,
            rate_hz,
            channels,
            header_bytes,
            frame_bytes,
        })
    }

    /// The same as an AudioSpecificConfig.
    pub fn config(&self) -> Config {
        Config { object_type: self.object_type, rate_hz: self.rate_hz, channels: self.channels }
    }
}

/// `channelConfiguration`: 7 stands for 8 channels.
fn channels_of(code: u32) -> Option<u16> {
    match code {
        0..=6 => Some(code as u16),
        7 => Some(8),
        _ => None,
    }
}

/// AudioSpecificConfig, as far as AAC needs it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Config {
    /// MPEG-4 audio object type; 2 is AAC LC.
    pub object_type: u8,
    /// Samples per second.
    pub rate_hz: u32,
    /// Channels; 0 where they are described in band.
    pub channels: u16,
}

const ESCAPE_TYPE: u32 = 31;
const ESCAPE_RATE: u32 = 15;

impl Config {
    /// Reads the front of an AudioSpecificConfig.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let mut r = BitReader::new(data);
        let mut object_type = r.bits(5)?;
        if object_type == ESCAPE_TYPE {
            object_type = 32 + r.bits(6)?;
        }
        let rate_hz = match r.bits(4)? {
            ESCAPE_RATE => r.bits(24)?,
            index => *RATES_HZ.get(index as usize)?,
        };
        Some(Self { object_type: object_type as u8, rate_hz, channels: channels_of(r.bits(4)?)? })
    }

    /// Writes it, with frames of 1024 samples and no extension.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bits = BitWriter::default();
        if u32::from(self.object_type) < ESCAPE_TYPE {
            bits.put(self.object_type.into(), 5);
        } else {
            bits.put(ESCAPE_TYPE, 5);
            bits.put(u32::from(self.object_type) - 32, 6);
        }
        match RATES_HZ.iter().position(|r| *r == self.rate_hz) {
            Some(index) => bits.put(index as u32, 4),
            None => {
                bits.put(ESCAPE_RATE, 4);
                bits.put(self.rate_hz, 24);
            }
        }
        bits.put(if self.channels == 8 { 7 } else { self.channels.into() }, 4);
        bits.put(0, 3);
        bits.data
    }
}

#[derive(Default)]
struct BitWriter {
    data: Vec<u8>,
    used: usize,
}

impl BitWriter {
    fn put(&mut self, value: u32, count: u32) {
        for i in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.data.push(0);
            }
            self.data[self.used / 8] |= ((value >> i & 1) as u8) << (7 - self.used % 8);
            self.used += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AAC LC, 16 kHz, mono, 144 bytes with header.
    const HEADER: [u8; 7] = [0xff, 0xf1, 0x60, 0x40, 0x12, 0x1f, 0xfc];

    #[test]
    fn adts() {
        let adts = Adts::parse(&HEADER).unwrap();
        assert_eq!(
            adts,
            Adts {
                object_type: 2,
                rate_hz: 16_000,
                channels: 1,
                header_bytes: 7,
                frame_bytes: 144
            }
        );
        assert_eq!(adts.config().bytes(), [0x14, 0x08]);
        for end in 0..HEADER.len() {
            assert_eq!(Adts::parse(&HEADER[..end]), None);
        }
    }

    #[test]
    fn every_rate_survives() {
        // ISO/IEC 14496-3 table 1.18, from the other end.
        assert_eq!(
            RATES_HZ.iter().rev().take(4).collect::<Vec<_>>(),
            [&7350, &8000, &11_025, &12_000]
        );
        assert!(RATES_HZ.is_sorted_by(|a, b| a > b));
        for rate_hz in RATES_HZ.into_iter().chain([10_000]) {
            for (object_type, channels) in [(2, 1), (5, 2), (39, 8)] {
                let config = Config { object_type, rate_hz, channels };
                assert_eq!(Config::parse(&config.bytes()), Some(config));
            }
        }
        assert_eq!(Config::parse(&[0x14]), None);
        assert_eq!(Config::parse(&[]), None);
    }
}
