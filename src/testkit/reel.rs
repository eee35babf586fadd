//! Plays pieces of an archive: samples of picture and sound in the order of time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use dvrgate_model::{Utc, UtcRange};

use crate::archive::Piece;
use crate::device_clock::DeviceClock;
use crate::footage::{AccessUnit, ClipSource, Tone};

/// An iterator over the media of pieces, made one group of pictures at a time.
pub struct Reel {
    parts: VecDeque<(Piece, UtcRange)>,
    tone: Option<Arc<Tone>>,
    clock: Arc<DeviceClock>,
    ready: VecDeque<Sample>,
    next_key: Option<Utc>,
}

/// One picture or one block of sound.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it was captured.
    pub at: Utc,
    /// What it is.
    pub kind: SampleKind,
    /// Whether it is the first after a gap, or of the reel.
    pub first: bool,
}

/// What a sample is.
#[derive(Clone, Debug)]
pub enum SampleKind {
    /// A picture, of that clip.
    Video(AccessUnit, Arc<dyn ClipSource>),
    /// A block of G.711 A-law.
    Audio(Bytes),
}

impl Reel {
    /// Plays of each piece the groups of pictures that overlap the range beside it.
    pub fn new(
        parts: Vec<(Piece, UtcRange)>,
        tone: Option<Arc<Tone>>,
        clock: Arc<DeviceClock>,
    ) -> Self {
        Self { parts: parts.into(), tone, clock, ready: VecDeque::new(), next_key: None }
    }

    /// Makes the next group ready; false at the end.
    fn refill(&mut self) -> bool {
        loop {
            let Some((piece, range)) = self.parts.front() else { return false };
            let first = self.next_key.is_none();
            let key = self.next_key.unwrap_or_else(|| {
                piece.clip.key_at_or_before(range.start()).max(piece.range.start())
            });
            let end = piece.range.end().min(range.end());
            if key >= end {
                self.parts.pop_front();
                // The next part goes on without a seam where it begins right here.
                let seamless = self
                    .parts
                    .front()
                    .is_some_and(|(p, r)| p.range.start() == key && r.start() <= key);
                self.next_key = seamless.then_some(key);
                continue;
            }
            let next = piece.clip.key_after(key);
            let clock = &self.clock;
            let units = piece.clip.gop(key, &|t| clock.wall(t));
            let mut samples: Vec<Sample> = units
                .into_iter()
                .filter(|u| u.at < end)
                .map(|u| Sample {
                    at: u.at,
                    kind: SampleKind::Video(u, piece.clip.clone()),
                    first: false,
                })
                .collect();
            if let Some(tone) = &self.tone {
                let mut at = tone.block_at_or_after(key);
                while at < next.min(end) {
                    let kind = SampleKind::Audio(tone.block(at));
                    samples.push(Sample { at, kind, first: false });
                    at = at.plus_us(Tone::BLOCK_US);
                }
                samples.sort_by_key(|s| (s.at, matches!(s.kind, SampleKind::Audio(_))));
            }
            if let Some(sample) = samples.first_mut() {
                sample.first = first;
            }
            self.ready.extend(samples);
            self.next_key = Some(next);
            return true;
        }
    }
}

impl Iterator for Reel {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        while self.ready.is_empty() {
            if !self.refill() {
                return None;
            }
        }
        self.ready.pop_front()
    }
}

impl fmt::Debug for Reel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reel({} parts left)", self.parts.len())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Archive, Scenario};

    use super::*;

    #[test]
    fn pictures_and_sound_come_in_order_and_gaps_are_marked() {
        let text = r#"
            [storage]
            file = "30s"
            [[channel]]
            id = 1
            audio = true
            [[channel.recorded]]
            from = "-5m"
            to = "-4m"
            [[channel.recorded]]
            from = "-3m"
            to = "-2m"
        "#;
        let start: Utc = "2026-11-25T12:00:00Z".parse().unwrap();
        let archive = Archive::new(&Scenario::parse(text).unwrap(), start).unwrap();
        let pieces = archive.pieces(1, UtcRange::ALL, start);
        assert_eq!(pieces.len(), 4);
        let asked = UtcRange::clamped(start.plus_us(-271_000_000), start.plus_us(-170_000_000));
        let parts = pieces.into_iter().map(|p| (p, asked)).collect();
        let samples: Vec<Sample> = archive.reel(parts).collect();
        assert!(samples.windows(2).all(|w| w[0].at <= w[1].at));
        let firsts: Vec<i64> =
            samples.iter().filter(|s| s.first).map(|s| s.at.since_us(start) / 1_000_000).collect();
        // From the key picture before; the border of two files is no gap.
        assert_eq!(firsts, [-272, -180]);
        let video = samples.iter().filter(|s| matches!(s.kind, SampleKind::Video(..))).count();
        assert_eq!(video, (32 + 10) * 25 / 2);
        assert_eq!(samples.len() - video, (32 + 10) * 25);
    }
}
