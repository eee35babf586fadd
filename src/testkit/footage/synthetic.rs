//! The synthetic clip of a channel.

use bytes::Bytes;
use dvrgate_model::{Civil, Codec, Error, Result, Utc};

use super::{AccessUnit, ClipSource, ClockCode, Picture, h264, h265};

/// What a synthetic clip looks like.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SyntheticSpec {
    /// [`Codec::H264`] or [`Codec::H265`].
    pub codec: Codec,
    /// Into the clock code and the colour.
    pub channel: u16,
    /// Second caption line.
    pub title: String,
    /// Pixels across: a multiple of 32, at least 128.
    pub width: usize,
    /// Pixels down: a multiple of 16.
    pub height: usize,
    /// Pictures per second as numerator and denominator.
    pub rate: (u32, u32),
    /// Pictures from one key picture to the next; must last whole microseconds.
    pub gop: u32,
}

impl SyntheticSpec {
    /// A small picture, 12.5 a second, a key picture every two seconds.
    pub fn small(channel: u16, title: &str) -> Self {
        Self {
            codec: Codec::H264,
            channel,
            title: title.into(),
            width: 256,
            height: 144,
            rate: (25, 2),
            gop: 25,
        }
    }
}

/// Pictures with the time in them; see [`super::clock_code`] for the code.
#[derive(Debug)]
pub struct Synthetic {
    spec: SyntheticSpec,
    gop_us: i64,
    sets: Vec<Bytes>,
    still: Picture,
}

const MAX_SIDE: usize = 4096;
const MAX_GOP: u32 = 1 << 12;

impl Synthetic {
    /// Refuses a size or a rate that cannot be written.
    pub fn new(spec: SyntheticSpec) -> Result<Self> {
        let (num, den) = spec.rate;
        let gop_num = i64::from(spec.gop) * 1_000_000 * i64::from(den);
        let good = matches!(spec.codec, Codec::H264 | Codec::H265)
            && spec.width.is_multiple_of(32)
            && (128..=MAX_SIDE).contains(&spec.width)
            && spec.height.is_multiple_of(16)
            && (64..=MAX_SIDE).contains(&spec.height)
            && (1..=MAX_GOP).contains(&spec.gop)
            && num > 0
            && den > 0
            && gop_num % i64::from(num) == 0;
        if !good {
            return Err(Error::invalid(format!("no synthetic footage like {spec:?}")));
        }
        let sets = match spec.codec {
            Codec::H265 => h265::parameter_sets(spec.width, spec.height, spec.rate).to_vec(),
            _ => h264::parameter_sets(spec.width, spec.height, spec.rate).to_vec(),
        };
        let still = Picture::new(spec.width, spec.height, spec.channel, &spec.title);
        Ok(Self { gop_us: gop_num / i64::from(num), sets, still, spec })
    }

    /// Microseconds from the key picture to picture `n`.
    fn picture_us(&self, n: u32) -> i64 {
        i64::from(n) * 1_000_000 * i64::from(self.spec.rate.1) / i64::from(self.spec.rate.0)
    }
}

impl ClipSource for Synthetic {
    fn codec(&self) -> Codec {
        self.spec.codec
    }

    fn size(&self) -> (u32, u32) {
        (self.spec.width as u32, self.spec.height as u32)
    }

    fn frame_rate(&self) -> (u32, u32) {
        self.spec.rate
    }

    fn gop_us(&self) -> i64 {
        self.gop_us
    }

    fn bytes_per_second(&self) -> u64 {
        // A key picture is raw; each other changes about sixteen macroblocks of 387 bytes.
        let gop_bytes = self.spec.width * self.spec.height * 3 / 2 + self.spec.gop as usize * 6_200;
        gop_bytes as u64 * 1_000_000 / self.gop_us as u64
    }

    fn key_at_or_before(&self, t: Utc) -> Utc {
        Utc::from_micros(t.micros().div_euclid(self.gop_us) * self.gop_us)
    }

    fn key_after(&self, t: Utc) -> Utc {
        self.key_at_or_before(t).plus_us(self.gop_us)
    }

    fn gop(&self, key: Utc, caption: &dyn Fn(Utc) -> Civil) -> Vec<AccessUnit> {
        let idr_id = (key.micros().div_euclid(self.gop_us) & 1) as u32;
        let mut picture = self.still.clone();
        let mut before = picture.clone();
        (0..self.spec.gop)
            .map(|n| {
                let at = key.plus_us(self.picture_us(n));
                let code = ClockCode { channel: self.spec.channel, at, number: n as u16 };
                picture.show(code, caption(at));
                let mut nals = if n == 0 { self.sets.clone() } else { Vec::new() };
                let (sei, slice) = match (self.spec.codec, n) {
                    (Codec::H265, 0) => (h265::sei(code), h265::key(&picture)),
                    (Codec::H265, n) => (h265::sei(code), h265::predicted(&picture, &before, n)),
                    (_, 0) => (h264::sei(code), h264::key(&picture, idr_id)),
                    (_, n) => (h264::sei(code), h264::predicted(&picture, &before, n)),
                };
                nals.extend([sei, slice]);
                before.clone_from(&picture);
                AccessUnit { at, key: n == 0, nals }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::to_annex_b;
    use super::*;

    #[test]
    fn bytes_are_the_same_on_every_run_and_the_sei_carries_the_clock() {
        let clip = Synthetic::new(SyntheticSpec::small(3, "Yard")).unwrap();
        let key = clip.key_at_or_before("2026-11-25T03:11:31Z".parse().unwrap());
        assert_eq!(key.to_string(), "2026-11-25T03:11:30Z");
        let caption = |t: Utc| Civil::from_micros_as_if_utc(t.micros());
        let gop = clip.gop(key, &caption);
        assert_eq!(
            gop,
            Synthetic::new(SyntheticSpec::small(3, "Yard")).unwrap().gop(key, &caption)
        );
        assert_eq!(gop.len(), 25);
        assert!(gop[0].key && !gop[1].key);
        assert_eq!(gop[1].at.since_us(key), 80_000);
        let kinds: Vec<u8> = gop[0].nals.iter().map(|n| n[0] & 0x1F).collect();
        assert_eq!(kinds, [7, 8, 6, 5]);
        for (n, unit) in gop.iter().enumerate() {
            let sei = unit.nals.iter().find(|s| s[0] == 6).unwrap();
            let plain = without_emulation_prevention(sei);
            let code = ClockCode::from_bytes(plain[19..35].try_into().unwrap()).unwrap();
            assert_eq!(code, ClockCode { channel: 3, at: unit.at, number: n as u16 });
            // No start code inside a unit.
            assert!(unit.nals.iter().all(|n| !n.windows(3).any(|w| w[..2] == [0, 0] && w[2] < 3)));
        }
        let total = to_annex_b(&gop.iter().flat_map(|u| u.nals.clone()).collect::<Vec<_>>()).len();
        let estimate = clip.bytes_per_second() as usize * 2;
        assert!((estimate / 2..estimate * 2).contains(&total), "{total} against {estimate}");
    }

    /// The oracle is a decoder that nobody here wrote.
    #[test]
    fn every_decoded_picture_shows_its_instant() {
        use std::io::Write;
        use std::process::{Command, Stdio};

        for (codec, format) in [(Codec::H264, "h264"), (Codec::H265, "hevc")] {
            let small = SyntheticSpec::small(7, "Gate");
            let spec = SyntheticSpec { codec, width: 320, height: 176, ..small };
            let clip = Synthetic::new(spec).unwrap();
            let first = clip.key_at_or_before("2026-10-25T00:59:59Z".parse().unwrap());
            let caption = |t: Utc| Civil::from_micros_as_if_utc(t.micros());
            let units: Vec<AccessUnit> =
                (0..3).flat_map(|n| clip.gop(first.plus_us(n * clip.gop_us()), &caption)).collect();
            let stream = to_annex_b(&units.iter().flat_map(|u| u.nals.clone()).collect::<Vec<_>>());
            let decoder = Command::new("ffmpeg")
                .args(["-v", "error", "-f", format, "-i", "-", "-fps_mode", "passthrough"])
                .args(["-f", "rawvideo", "-pix_fmt", "gray", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            let Ok(mut decoder) = decoder else {
                eprintln!("SKIPPED: no ffmpeg to decode synthetic footage with");
                return;
            };
            let mut input = decoder.stdin.take().unwrap();
            let writer = std::thread::spawn(move || input.write_all(&stream));
            let output = decoder.wait_with_output().unwrap();
            writer.join().unwrap().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
            let shown: Vec<Utc> = output
                .stdout
                .chunks(320 * 176)
                .map(|luma| super::super::read_clock(luma, 320, 176, 320).expect("a clock").at)
                .collect();
            assert_eq!(shown, units.iter().map(|u| u.at).collect::<Vec<_>>(), "{format}");
        }
    }

    #[test]
    fn impossible_footage_is_refused() {
        for (width, height, rate, gop) in [
            (250, 144, (25, 1), 25),
            (256, 100, (25, 1), 25),
            (256, 144, (0, 1), 25),
            (256, 144, (30_000, 1001), 30),
        ] {
            let spec = SyntheticSpec { width, height, rate, gop, ..SyntheticSpec::small(1, "") };
            let fits = spec.rate == (30_000, 1001);
            assert_eq!(Synthetic::new(spec).is_ok(), fits);
        }
    }

    fn without_emulation_prevention(nal: &[u8]) -> Vec<u8> {
        let (mut out, mut zeros) = (Vec::new(), 0);
        for &b in nal {
            if zeros >= 2 && b == 3 {
                zeros = 0;
                continue;
            }
            zeros = if b == 0 { zeros + 1 } else { 0 };
            out.push(b);
        }
        out
    }
}
