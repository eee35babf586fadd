//! Footage out of a file: H.264 or H.265 with start codes, looped for ever.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use dvrgate_model::{Civil, Codec, Error, Result, Utc};

use super::{AccessUnit, ClipSource};

/// A file's access units in memory. Pictures must be in the order in which they are shown (no B
/// frames), and the first must be a key picture.
pub struct FileClip {
    codec: Codec,
    size: (u32, u32),
    rate: (u32, u32),
    units: Vec<(bool, Vec<Bytes>)>,
    /// Indices into `units` of the key pictures.
    keys: Vec<usize>,
    bytes: u64,
}

/// A clip is held in memory, so it must be a clip.
const MAX_CLIP_BYTES: u64 = 512 << 20;

impl FileClip {
    /// Reads a whole file; `codec` by its content. The rate is what the caller knows it to be.
    pub fn open(path: &Path, rate: (u32, u32), size: (u32, u32)) -> Result<Self> {
        let fail = |e: std::io::Error| {
            Error::invalid(format!("cannot read the clip {}", path.display())).because(e)
        };
        if std::fs::metadata(path).map_err(fail)?.len() > MAX_CLIP_BYTES {
            return Err(Error::invalid(format!("the clip {} is too long", path.display())));
        }
        Self::parse(std::fs::read(path).map_err(fail)?.into(), rate, size)
    }

    /// Takes a byte stream apart into access units.
    pub fn parse(stream: Bytes, rate: (u32, u32), size: (u32, u32)) -> Result<Self> {
        let nals = split(&stream);
        let codec = match nals.first().map(|n| n[0]) {
            // A video parameter set comes first in H.265: type 32 in bits 1 to 6.
            Some(0x40 | 0x46) => Codec::H265,
            Some(b) if matches!(b & 0x1F, 6 | 7 | 9) => Codec::H264,
            _ => {
                let why = "not H.264 or H.265 with start codes that begins with a parameter set";
                return Err(Error::invalid(why));
            }
        };
        let mut units: Vec<(bool, Vec<Bytes>)> = Vec::new();
        let (mut unit, mut key, mut has_picture) = (Vec::new(), false, false);
        for nal in nals {
            let kind = Kind::of(codec, &nal);
            if has_picture && kind.starts_unit {
                units.push((key, std::mem::take(&mut unit)));
                (key, has_picture) = (false, false);
            }
            key |= kind.key;
            has_picture |= kind.picture;
            unit.push(nal);
        }
        if has_picture {
            units.push((key, unit));
        }
        let keys: Vec<usize> = (0..units.len()).filter(|&i| units[i].0).collect();
        if keys.first() != Some(&0) || rate.0 == 0 || rate.1 == 0 {
            return Err(Error::invalid("a clip must begin with a key picture and have a rate"));
        }
        let bytes = units.iter().flat_map(|u| &u.1).map(|n| n.len() as u64).sum();
        Ok(Self { codec, size, rate, units, keys, bytes })
    }

    /// Pictures in the file.
    pub fn pictures(&self) -> usize {
        self.units.len()
    }

    fn us_of(&self, pictures: i64) -> i64 {
        let n = i128::from(pictures) * 1_000_000 * i128::from(self.rate.1);
        n.div_euclid(i128::from(self.rate.0)) as i64
    }

    /// The number of the picture shown at `t`, counted from 1970.
    fn picture_at(&self, t: Utc) -> i64 {
        let n = i128::from(t.micros()) * i128::from(self.rate.0);
        let guess = n.div_euclid(1_000_000 * i128::from(self.rate.1)) as i64;
        if self.us_of(guess + 1) <= t.micros() { guess + 1 } else { guess }
    }

    /// Which loop, and which group in it, has the picture.
    fn group_of(&self, picture: i64) -> (i64, usize) {
        let count = self.units.len() as i64;
        let within = picture.rem_euclid(count) as usize;
        (picture.div_euclid(count), self.keys.partition_point(|&k| k <= within) - 1)
    }
}

impl ClipSource for FileClip {
    fn codec(&self) -> Codec {
        self.codec
    }

    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn frame_rate(&self) -> (u32, u32) {
        self.rate
    }

    fn gop_us(&self) -> i64 {
        self.us_of((self.units.len() / self.keys.len()) as i64).max(1)
    }

    fn bytes_per_second(&self) -> u64 {
        let us = self.us_of(self.units.len() as i64).max(1) as u64;
        (u128::from(self.bytes) * 1_000_000 / u128::from(us)) as u64
    }

    fn key_at_or_before(&self, t: Utc) -> Utc {
        let (round, group) = self.group_of(self.picture_at(t));
        Utc::from_micros(self.us_of(round * self.units.len() as i64 + self.keys[group] as i64))
    }

    fn key_after(&self, t: Utc) -> Utc {
        let (round, group) = self.group_of(self.picture_at(t));
        let next = self.keys.get(group + 1).copied().unwrap_or(self.units.len());
        Utc::from_micros(self.us_of(round * self.units.len() as i64 + next as i64))
    }

    fn gop(&self, key: Utc, _caption: &dyn Fn(Utc) -> Civil) -> Vec<AccessUnit> {
        let (round, group) = self.group_of(self.picture_at(key));
        let end = self.keys.get(group + 1).copied().unwrap_or(self.units.len());
        (self.keys[group]..end)
            .map(|i| AccessUnit {
                at: Utc::from_micros(self.us_of(round * self.units.len() as i64 + i as i64)),
                key: self.units[i].0,
                nals: self.units[i].1.clone(),
            })
            .collect()
    }
}

impl fmt::Debug for FileClip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileClip({:?}, {} pictures, {} bytes)", self.codec, self.units.len(), self.bytes)
    }
}

/// What a NAL unit is for the finding of access units.
struct Kind {
    starts_unit: bool,
    picture: bool,
    key: bool,
}

impl Kind {
    fn of(codec: Codec, nal: &[u8]) -> Self {
        if codec == Codec::H264 {
            let kind = nal[0] & 0x1F;
            let picture = matches!(kind, 1 | 5);
            // first_mb_in_slice is zero where its ue(v) is a single one bit.
            let first = picture && nal.get(1).is_some_and(|b| b & 0x80 != 0);
            Self { starts_unit: first || matches!(kind, 6..=9), picture, key: kind == 5 }
        } else {
            let kind = nal[0] >> 1 & 0x3F;
            let picture = kind < 32;
            let first = picture && nal.get(2).is_some_and(|b| b & 0x80 != 0);
            let opens = matches!(kind, 32..=35 | 39);
            Self { starts_unit: first || opens, picture, key: (16..=21).contains(&kind) }
        }
    }
}

/// NAL units between start codes of three or four bytes; trailing zeros are not theirs.
fn split(stream: &Bytes) -> Vec<Bytes> {
    let mut starts = Vec::new();
    let mut i = 0;
    while i + 3 <= stream.len() {
        match &stream[i..i + 3] {
            [0, 0, 1] => {
                starts.push(i);
                i += 3;
            }
            [_, _, 2..=255] => i += 3,
            _ => i += 1,
        }
    }
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    starts
        .iter()
        .zip(ends)
        .filter_map(|(&start, end)| {
            let body = &stream[start + 3..end];
            let len = body.iter().rposition(|&b| b != 0)? + 1;
            Some(stream.slice(start + 3..start + 3 + len))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Synthetic, SyntheticSpec, to_annex_b};
    use super::*;

    fn caption(t: Utc) -> Civil {
        Civil::from_micros_as_if_utc(t.micros())
    }

    #[test]
    fn a_looped_file_keeps_its_units_and_fills_time() {
        let spec = SyntheticSpec { gop: 5, ..SyntheticSpec::small(1, "x") };
        let source = Synthetic::new(spec).unwrap();
        let key = source.key_at_or_before("2026-11-25T03:11:30Z".parse().unwrap());
        let mut units = source.gop(key, &caption);
        units.extend(source.gop(source.key_after(key), &caption));
        let stream = to_annex_b(&units.iter().flat_map(|u| u.nals.clone()).collect::<Vec<_>>());
        let clip = FileClip::parse(stream.clone().into(), (30_000, 1001), (256, 144)).unwrap();
        assert_eq!((clip.pictures(), clip.codec()), (10, Codec::H264));

        let start = clip.key_at_or_before(key);
        let (mut t, mut seen) = (start, 0);
        for _ in 0..50 {
            let gop = clip.gop(t, &caption);
            assert!(gop[0].key && gop[0].at == t);
            assert!(
                gop.iter().zip(&gop[1..]).all(|(a, b)| b.at.since_us(a.at).abs_diff(33_367) < 2)
            );
            let group = seen / 5 % 2;
            let first = (clip.group_of(clip.picture_at(start)).1 + group) % 2;
            assert_eq!(gop[1].nals, units[first * 5 + 1].nals);
            seen += gop.len();
            assert_eq!(clip.key_at_or_before(gop[4].at), t);
            assert_eq!(clip.key_at_or_before(clip.key_after(t).plus_us(-1)), t);
            t = clip.key_after(t);
        }
        for cut in 0..stream.len().min(2000) {
            let _ = FileClip::parse(Bytes::copy_from_slice(&stream[..cut]), (25, 1), (0, 0));
        }
    }
}
