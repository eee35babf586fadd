//! Draws one picture: clock code, captions, and something that moves.

use dvrgate_model::{Civil, Utc};

use super::clock_code::{CODE_ROWS, ClockCode, write_clock};
use super::{CODE_COLUMNS, font};

/// A planar picture, 4:2:0. Each channel has one colour, so the chroma planes are flat.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Pixels across; a multiple of 32.
    pub width: usize,
    /// Pixels down; a multiple of 16.
    pub height: usize,
    /// The luma plane.
    pub luma: Vec<u8>,
    /// The value of the whole Cb plane.
    pub cb: u8,
    /// The value of the whole Cr plane.
    pub cr: u8,
    box_at: usize,
}

/// Pixels of the moving square's side.
const BOX: usize = 16;
/// Height of a caption line.
const LINE: usize = 16;
/// A glyph pixel is this many picture pixels, each way.
const SCALE: usize = 2;
/// One step of the moving square.
const BOX_STEP_US: i64 = 80_000;
const TEXT_LUMA: u8 = 220;
const BACK_LUMA: u8 = 40;

impl Picture {
    /// The still part of a channel's pictures.
    pub fn new(width: usize, height: usize, channel: u16, title: &str) -> Self {
        let mut luma = vec![BACK_LUMA; width * height];
        let scene = Self::code_height(width) + 2 * LINE;
        for y in scene..height {
            for (x, pixel) in luma[y * width..][..width].iter_mut().enumerate() {
                // Wide vertical bars, darker to the ground.
                *pixel = (60 + (x / 32 % 4) * 30 + (height - y) / 4).min(200) as u8;
            }
        }
        let hue = |shift: u16| 96 + ((channel * 37 + shift) % 64) as u8;
        let mut picture = Self { width, height, luma, cb: hue(0), cr: hue(29), box_at: usize::MAX };
        picture.text(Self::code_height(width) + LINE, title);
        picture
    }

    /// Draws what changes from picture to picture.
    pub fn show(&mut self, code: ClockCode, wall: Civil) {
        write_clock(&mut self.luma, self.width, self.height, self.width, code);
        let ((y, mo, d), (h, mi, s, _)) = (wall.date(), wall.time());
        let text = format!("{y:04}-{mo:02}-{d:02} {h:02}:{mi:02}:{s:02}");
        self.text(Self::code_height(self.width), &text);
        self.move_box(code.at);
    }

    fn code_height(width: usize) -> usize {
        (width / CODE_COLUMNS * CODE_ROWS).next_multiple_of(16)
    }

    /// The square walks along the ground, one step every 80 ms, so that playing backwards shows.
    fn move_box(&mut self, at: Utc) {
        if self.height < Self::code_height(self.width) + 2 * LINE + BOX {
            return;
        }
        let steps = (self.width / 4 - BOX / 4) as i64;
        let x = at.micros().div_euclid(BOX_STEP_US).rem_euclid(steps) as usize * 4;
        let ground = self.height - BOX;
        if self.box_at != usize::MAX {
            // What was behind the square is in the row above it, which the square never covers.
            let (from, width) = (self.box_at, self.width);
            for y in ground..self.height {
                for px in from..from + BOX {
                    self.luma[y * width + px] =
                        (60 + (px / 32 % 4) * 30 + (self.height - y) / 4).min(200) as u8;
                }
            }
        }
        for y in ground..self.height {
            self.luma[y * self.width + x..][..BOX].fill(TEXT_LUMA);
        }
        self.box_at = x;
    }

    fn text(&mut self, top: usize, text: &str) {
        let advance = 6 * SCALE;
        if top + LINE > self.height {
            return;
        }
        for (i, c) in text.chars().take(self.width / advance).enumerate() {
            let left = i * advance + SCALE;
            for (row, bits) in font::glyph(c).into_iter().enumerate() {
                let start = (top + 1 + row * SCALE) * self.width + left;
                for column in 0..5 {
                    let on = bits >> (4 - column) & 1 == 1;
                    self.luma[start + column * SCALE..][..SCALE].fill(if on {
                        TEXT_LUMA
                    } else {
                        BACK_LUMA
                    });
                }
                self.luma.copy_within(start..start + 5 * SCALE, start + self.width);
            }
        }
    }
}
