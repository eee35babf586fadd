//! The machine-readable clock: cells of black and white in the upper part of a picture's luma.
//!
//! # Layout
//!
//! The picture is `width` pixels wide, a multiple of 32. A cell is a square of `width / 32` pixels.
//! Four rows of 32 cells stand at the top left, read left to right, top to bottom: 128 bits, the
//! most significant bit of each byte first; white (luma at least 128 at the cell's centre) is one.
//!
//! | byte | content |
//! | --- | --- |
//! | 0 | `A5` |
//! | 1-2 | channel, big-endian |
//! | 3-10 | instant of capture: microseconds since 1970 UTC, big-endian |
//! | 11-12 | number of the picture in its group, from 0, big-endian |
//! | 13-14 | CRC-16/CCITT-FALSE (polynomial 1021, start FFFF) of bytes 1 to 12, big-endian |
//! | 15 | `5A` |
//!
//! A decoded picture whose code does not check is damaged or was scaled; [`read_clock`] then gives
//! `None`. `tests/clients/clock.py` reads the same.

use dvrgate_model::Utc;

/// Cells in a row.
pub const CODE_COLUMNS: usize = 32;
/// Rows of cells.
pub const CODE_ROWS: usize = 4;
const CODE_BYTES: usize = CODE_COLUMNS * CODE_ROWS / 8;
const FIRST: u8 = 0xA5;
const LAST: u8 = 0x5A;
/// Nominal black and white of limited-range video.
const BLACK: u8 = 16;
const WHITE: u8 = 235;

/// What a picture says about itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClockCode {
    /// The recorder's channel.
    pub channel: u16,
    /// When the picture was captured.
    pub at: Utc,
    /// Its number in its group of pictures.
    pub number: u16,
}

impl ClockCode {
    /// The code as bytes; also the payload of the SEI message.
    pub fn to_bytes(self) -> [u8; CODE_BYTES] {
        let mut b = [0; CODE_BYTES];
        b[0] = FIRST;
        b[1..3].copy_from_slice(&self.channel.to_be_bytes());
        b[3..11].copy_from_slice(&self.at.micros().to_be_bytes());
        b[11..13].copy_from_slice(&self.number.to_be_bytes());
        let crc = crc16(&b[1..13]);
        b[13..15].copy_from_slice(&crc.to_be_bytes());
        b[15] = LAST;
        b
    }

    /// The reverse of [`ClockCode::to_bytes`]; `None` where the frame or the checksum is wrong.
    pub fn from_bytes(b: &[u8; CODE_BYTES]) -> Option<Self> {
        let two = |i: usize| u16::from_be_bytes([b[i], b[i + 1]]);
        if b[0] != FIRST || b[15] != LAST || two(13) != crc16(&b[1..13]) {
            return None;
        }
        let us = b[3..11].iter().fold(0i64, |n, &x| n << 8 | i64::from(x));
        Some(Self { channel: two(1), at: Utc::from_micros(us), number: two(11) })
    }
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, &b| {
        (0..8).fold(
            crc ^ u16::from(b) << 8,
            |c, _| {
                if c & 0x8000 != 0 { c << 1 ^ 0x1021 } else { c << 1 }
            },
        )
    })
}

/// Draws the code into a luma plane; see the module documentation. Does nothing where the plane is
/// too small.
pub fn write_clock(luma: &mut [u8], width: usize, height: usize, stride: usize, code: ClockCode) {
    let cell = width / CODE_COLUMNS;
    if cell == 0 || cell * CODE_ROWS > height || luma.len() < stride * height || stride < width {
        return;
    }
    let bytes = code.to_bytes();
    for row in 0..CODE_ROWS {
        let top = row * cell * stride;
        for column in 0..CODE_COLUMNS {
            let bit = row * CODE_COLUMNS + column;
            let one = bytes[bit / 8] >> (7 - bit % 8) & 1 == 1;
            luma[top + column * cell..][..cell].fill(if one { WHITE } else { BLACK });
        }
        for y in 1..cell {
            luma.copy_within(top..top + cell * CODE_COLUMNS, top + y * stride);
        }
    }
}

/// Reads the code from a decoded luma plane.
pub fn read_clock(luma: &[u8], width: usize, height: usize, stride: usize) -> Option<ClockCode> {
    let cell = width / CODE_COLUMNS;
    if cell == 0 || cell * CODE_ROWS > height || stride < width {
        return None;
    }
    let mut bytes = [0; CODE_BYTES];
    for bit in 0..CODE_COLUMNS * CODE_ROWS {
        let (row, column) = (bit / CODE_COLUMNS, bit % CODE_COLUMNS);
        let centre = (row * cell + cell / 2) * stride + column * cell + cell / 2;
        bytes[bit / 8] = bytes[bit / 8] << 1 | u8::from(*luma.get(centre)? >= 128);
    }
    ClockCode::from_bytes(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_read() {
        let (width, height, stride) = (256, 144, 272);
        let mut luma = vec![99; stride * height];
        let code =
            ClockCode { channel: 33, at: Utc::from_micros(1_795_575_600_123_456), number: 24 };
        write_clock(&mut luma, width, height, stride, code);
        assert_eq!(read_clock(&luma, width, height, stride), Some(code));
        // One cell inverted is noticed, wherever it is.
        for bit in 0..CODE_COLUMNS * CODE_ROWS {
            let mut damaged = luma.clone();
            let at = (bit / 32 * 8 + 4) * stride + bit % 32 * 8 + 4;
            damaged[at] = 255 - damaged[at];
            assert_eq!(read_clock(&damaged, width, height, stride), None, "cell {bit}");
        }
        assert_eq!(read_clock(&luma[..1000], width, height, stride), None);
    }

    #[test]
    fn the_checksum_is_the_catalogued_one() {
        assert_eq!(crc16(b"123456789"), 0x29B1);
    }
}
