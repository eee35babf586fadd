//! Footage as these devices send it: an MPEG program stream with descriptors and an envelope of
//! their own.
//!
//! The map in front of each key frame holds the only absolute time inside the media: the device's
//! wall clock to the millisecond (descriptor 0x40). The same bytes say whether the payload is
//! encrypted; such footage is refused, since only headers of it can be read. Seen on recorders and
//! on SD cards of cameras, H.264 and H.265, versions 1, 2 and 0x100 of the descriptor.

use dvrgate_adapter::FormatHint;
use dvrgate_media::container::ps::{
    ProgramMap, ProgramStream, PsDemuxer, PsPolicy, Reading, standard_codec,
};
use dvrgate_model::{Civil, Codec, CodecParams, Convention, Error, ErrorKind, Result, TrackKind};
use memchr::memmem;

/// Descriptor: wall clock and encryption.
const BASIC: u8 = 0x40;
/// Descriptor: picture size and frame duration.
const VIDEO: u8 = 0x42;
/// Descriptor: sample rate, bit rate.
const AUDIO: u8 = 0x43;
/// Encryption field of [`BASIC`] for "none".
const CLEAR: u8 = 7;
/// Private packet: keys of encrypted footage.
const PRIVATE_ENCRYPTION: u16 = 0x4000;
/// Private packet: basic information, with the clock.
const PRIVATE_BASIC: u16 = 0x0001;
/// Steps of the clock in [`BASIC`].
pub(crate) const RESOLUTION_US: u64 = 1_000;

/// The format of a download.
pub(crate) fn format() -> FormatHint {
    FormatHint::Vendor(Box::new(demuxer()))
}

/// Reads a download.
pub(crate) fn demuxer() -> PsDemuxer {
    PsDemuxer::new(Box::<HikPolicy>::default())
}

/// Refuses what is certainly no program stream, by its first bytes.
pub(crate) fn check_opening(head: &[u8]) -> Result<()> {
    let what = match head {
        [b'4', b'H', b'K', b'H', ..] => "a file of the oldest recorders (4HKH)",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "an MP4 file",
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::NotImplemented, format!("the footage is {what}")))
}

/// The first wall clock in the head of a download, if the head reaches that far.
pub(crate) fn first_clock(head: &[u8]) -> Option<Civil> {
    const MAP: [u8; 4] = [0, 0, 1, 0xbc];
    let map = head.get(memmem::find(head, &MAP)? + MAP.len()..)?;
    let length = usize::from(u16::from_be_bytes([*map.first()?, *map.get(1)?]));
    let mut rest = map.get(6..length.checked_add(2)?.min(map.len()))?;
    while let [tag, length, tail @ ..] = rest {
        let (data, tail) = tail.split_at_checked(usize::from(*length))?;
        if *tag == BASIC {
            return Basic::parse(data).map(|b| b.clock);
        }
        rest = tail;
    }
    None
}

/// Descriptor 0x40, after tag and length.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Basic {
    /// The device's wall clock.
    pub(crate) clock: Civil,
    /// Whether payloads are encrypted.
    pub(crate) encrypted: bool,
}

impl Basic {
    /// Two letters of a brand (not compared: neutral firmware changes them), a version, then the
    /// packed time. `None` where the fields cannot be a time.
    pub(crate) fn parse(data: &[u8]) -> Option<Self> {
        let [year, b1, b2, b3, b4, b5] = *data.get(4..)?.first_chunk::<6>()?;
        let marker = b4 & 0x20 != 0;
        let clock = Civil::new(
            2000 + i16::from(year),
            b1 >> 4,
            (b1 & 0x0f) << 1 | b2 >> 7,
            b2 >> 2 & 0x1f,
            (b2 & 3) << 4 | b3 >> 4,
            (b3 & 0x0f) << 2 | b4 >> 6,
            (u32::from(b4 & 0x1f) << 5 | u32::from(b5 >> 3)).min(999) * 1_000,
        )?;
        marker.then_some(Self { clock, encrypted: b5 & 7 != CLEAR })
    }
}

/// A private packet of RTP or PES: `type`, length in words, payload. Gives the clock where it has
/// one; fails for encrypted footage.
pub(crate) fn private_packet(payload: &[u8]) -> Result<Option<Civil>> {
    let Some((head, body)) = payload.split_first_chunk::<4>() else { return Ok(None) };
    match u16::from_be_bytes([head[0], head[1]]) {
        PRIVATE_ENCRYPTION => Err(encrypted()),
        PRIVATE_BASIC => match Basic::parse(body) {
            Some(b) if b.encrypted => Err(encrypted()),
            basic => Ok(basic.map(|b| b.clock)),
        },
        _ => Ok(None),
    }
}

fn encrypted() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "the footage is encrypted by the device; switch stream encryption off on it to record \
         footage that can be replayed",
    )
}

/// The 40 bytes that stand before a program stream, and in SDP: what is inside.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct MediaHeader {
    /// Encoding of the picture.
    pub(crate) video: Option<Codec>,
    /// Encoding of the sound.
    pub(crate) audio: Option<Codec>,
    /// Samples per second.
    pub(crate) sample_rate_hz: u32,
    /// Bits per second of the sound.
    pub(crate) audio_bit_rate: u32,
}

impl MediaHeader {
    const MAGIC: &[u8; 4] = b"IMKH";
    const BYTES: usize = 40;

    /// Finds it in what stands before the first pack.
    pub(crate) fn find(envelope: &[u8]) -> Option<Self> {
        let at = memmem::find(envelope, Self::MAGIC)?;
        let h = envelope.get(at..)?.get(..Self::BYTES)?;
        let word = |at: usize| u16::from_le_bytes([h[at], h[at + 1]]);
        let double = |at: usize| u32::from(word(at)) | u32::from(word(at + 2)) << 16;
        let audio_bit_rate = double(20);
        Some(Self {
            video: match word(10) {
                0x0001 | 0x0100 => Some(Codec::H264),
                0x0003 => Some(Codec::Mpeg4),
                0x0004 => Some(Codec::Jpeg),
                0x0005 => Some(Codec::H265),
                _ => None,
            },
            audio: match word(12) {
                0x7110 => Some(Codec::Pcmu),
                0x7111 => Some(Codec::Pcma),
                0x7260..=0x7262 => Some(g726(audio_bit_rate)),
                0x2001 => Some(Codec::Aac),
                _ => None,
            },
            sample_rate_hz: double(16),
            audio_bit_rate,
        })
    }
}

fn g726(bits_per_second: u32) -> Codec {
    Codec::G726 {
        kbit: match bits_per_second / 1000 {
            16 => 16,
            24 => 24,
            40 => 40,
            _ => 32,
        },
    }
}

/// The deviations from ISO/IEC 13818-1.
#[derive(Debug, Default)]
struct HikPolicy {
    header: MediaHeader,
}

impl PsPolicy for HikPolicy {
    fn envelope(&mut self, bytes: &[u8]) -> Result<()> {
        check_opening(bytes)?;
        self.header = MediaHeader::find(bytes).unwrap_or_default();
        Ok(())
    }

    /// 0x92 (G.722.1), 0x93, 0x99 and 0x9C have no standard replay and are left out, as is 0xB0,
    /// an encoding of 2009 that only the vendor decodes.
    fn codec(&self, stream_type: u8, _stream_id: u8) -> Option<Codec> {
        match stream_type {
            0x90 => Some(Codec::Pcma),
            0x91 => Some(Codec::Pcmu),
            0x96 | 0x98 => Some(g726(self.header.audio_bit_rate)),
            0xb1 => Some(Codec::Jpeg),
            other => standard_codec(other),
        }
    }

    fn unmapped_codec(&self, stream_id: u8) -> Option<Codec> {
        match stream_id {
            0xe0..=0xef => self.header.video,
            0xc0..=0xdf => self.header.audio,
            _ => None,
        }
    }

    fn refine(&self, stream: Option<&ProgramStream>, params: &mut CodecParams) {
        if params.codec.track_kind() == TrackKind::Audio {
            params.channels = params.channels.max(1);
            if params.sample_rate_hz == 0 {
                params.sample_rate_hz = self.header.sample_rate_hz;
            }
        }
        for d in stream.iter().flat_map(|s| &s.descriptors) {
            match (d.tag, params.codec.track_kind()) {
                (VIDEO, TrackKind::Video) => refine_video(&d.data, params),
                (AUDIO, TrackKind::Audio) => refine_audio(&d.data, params),
                _ => {}
            }
        }
    }

    fn program_map(&mut self, map: &ProgramMap) -> Result<Option<Reading>> {
        let basic = map.descriptors.iter().find(|d| d.tag == BASIC);
        match basic.and_then(|d| Basic::parse(&d.data)) {
            Some(b) if b.encrypted => Err(encrypted()),
            Some(b) => Ok(Some(Reading {
                civil: b.clock,
                convention: Convention::WallClock,
                resolution_us: RESOLUTION_US,
            })),
            None => Ok(None),
        }
    }

    fn private(&mut self, _stream_id: u8, payload: &[u8]) -> Result<Option<Reading>> {
        // The map tells the time; here only encryption counts.
        private_packet(payload).map(|_| None)
    }
}

/// Descriptor 0x42: version, date, width, height, flags, then 23 bits of 90 kHz ticks per frame.
fn refine_video(data: &[u8], params: &mut CodecParams) {
    let Some(d) = data.first_chunk::<14>() else { return };
    params.width = u32::from(u16::from_be_bytes([d[4], d[5]]));
    params.height = u32::from(u16::from_be_bytes([d[6], d[7]]));
    let ticks = u32::from_be_bytes([0, d[11], d[12], d[13]]) >> 1;
    if ticks > 0 {
        params.frame_rate = Some((90_000, ticks));
    }
}

/// Descriptor 0x43: frame length, stereo, 22 bits of sample rate, 22 bits of bit rate.
fn refine_audio(data: &[u8], params: &mut CodecParams) {
    let Some(d) = data.first_chunk::<9>() else { return };
    params.channels = 1 + u16::from(d[2] & 1);
    let rate = u32::from_be_bytes([0, d[3], d[4], d[5]]) >> 2;
    if rate > 0 {
        params.sample_rate_hz = rate;
    }
}

#[cfg(test)]
mod tests {
    use dvrgate_media::container::{Demuxed, Demuxer as _};

    use super::*;

    /// Recorded on 28 April 2025 at 16:06:18.091, not encrypted.
    const CLOCK: [u8; 14] =
        [b'H', b'K', 1, 0, 0x19, 0x4e, 0x40, 0x64, 0xa2, 0xdf, 0, 0xff, 0xff, 0xff];

    fn map(basic: &[u8], streams: &[u8]) -> Vec<u8> {
        let mut body = vec![0xf2, 0xff];
        body.extend((basic.len() as u16 + 2).to_be_bytes());
        body.extend([BASIC, basic.len() as u8]);
        body.extend(basic);
        body.extend((streams.len() as u16).to_be_bytes());
        body.extend(streams);
        body.extend([0, 0, 0, 0]);
        let mut packet = vec![0, 0, 1, 0xbc];
        packet.extend((body.len() as u16).to_be_bytes());
        packet.extend(body);
        packet
    }

    fn pes(id: u8, pts: u64, payload: &[u8]) -> Vec<u8> {
        let mut p = vec![0, 0, 1, id];
        p.extend((payload.len() as u16 + 8).to_be_bytes());
        p.extend([0x8c, 0x80, 5]);
        p.push(0x21 | (pts >> 29 & 0xe) as u8);
        p.extend([
            (pts >> 22) as u8,
            (pts >> 14) as u8 | 1,
            (pts >> 7) as u8,
            (pts << 1) as u8 | 1,
        ]);
        p.extend(payload);
        p
    }

    const PACK: [u8; 14] = [0, 0, 1, 0xba, 0x44, 0, 4, 0, 4, 1, 0, 0, 3, 0xf8];

    fn envelope(audio: u16) -> Vec<u8> {
        let mut h = vec![0, 0, 0, 0x40, 0, 0, 0, 0x13];
        h.resize(24, 0);
        h.extend(b"IMKH\x03\x01\0\0\x02\0\x01\0");
        h.extend(audio.to_le_bytes());
        h.extend([1, 16]);
        h.extend(8_000u32.to_le_bytes());
        h.extend(64_000u32.to_le_bytes());
        h.resize(64, 0);
        h
    }

    #[test]
    fn the_clock_is_read_to_the_millisecond() {
        let b = Basic::parse(&CLOCK).unwrap();
        assert_eq!(b.clock.to_string(), "2025-04-28T16:06:18.091000");
        assert!(!b.encrypted);
        let mut locked = CLOCK;
        locked[9] &= !1;
        assert!(Basic::parse(&locked).unwrap().encrypted);
        for n in 0..10 {
            assert_eq!(Basic::parse(&CLOCK[..n]), None);
        }
        let mut impossible = CLOCK;
        impossible[5] = 0xf0;
        assert_eq!(Basic::parse(&impossible), None);
    }

    #[test]
    fn size_rate_and_sound_come_from_the_descriptors() {
        let mut p = CodecParams::new(Codec::H265);
        refine_video(
            &[7, 0x10, 0x10, 0xea, 0x0a, 0x80, 5, 0xf0, 0x19, 0x10, 0, 0, 0x1c, 0x21],
            &mut p,
        );
        assert_eq!((p.width, p.height, p.frame_rate), (2688, 1520, Some((90_000, 3_600))));
        let mut a = CodecParams::new(Codec::Pcma);
        refine_audio(&[1, 0x40, 0xfe, 0, 0x7d, 3, 3, 0xe8, 3, 0xff], &mut a);
        assert_eq!((a.sample_rate_hz, a.channels), (8_000, 1));
    }

    #[test]
    fn an_envelope_tells_the_sound() {
        let h = MediaHeader::find(&envelope(0x7110)).unwrap();
        assert_eq!((h.video, h.audio), (Some(Codec::H264), Some(Codec::Pcmu)));
        for n in 0..64 {
            assert_eq!(MediaHeader::find(&envelope(0x7110)[..n]), None);
        }
    }

    fn demux(bytes: &[u8]) -> Result<Vec<Demuxed>> {
        let mut d = demuxer();
        let mut out = Vec::new();
        for chunk in bytes.chunks(7) {
            d.push(chunk)?;
            out.extend(std::iter::from_fn(|| d.pull()));
        }
        d.finish()?;
        out.extend(std::iter::from_fn(|| d.pull()));
        Ok(out)
    }

    fn stream() -> Vec<u8> {
        let streams = [0x1b, 0xe0, 0, 0, 0x91, 0xc0, 0, 0];
        let idr = [0, 0, 0, 1, 0x65, 0x88, 0x80, 1, 2, 3];
        [
            envelope(0x7110),
            PACK.to_vec(),
            map(&CLOCK, &streams),
            pes(0xe0, 90_000, &idr),
            pes(0xc0, 90_000, &[0x7f; 160]),
            PACK.to_vec(),
            pes(0xe0, 93_600, &[0, 0, 0, 1, 0x41, 0x9a, 1, 2]),
        ]
        .concat()
    }

    #[test]
    fn footage_has_anchors_and_mu_law_sound() {
        let out = demux(&stream()).unwrap();
        let anchors: Vec<_> = out
            .iter()
            .filter_map(|d| match d {
                Demuxed::Anchor(a) => Some((a.media.ticks, a.civil.to_string(), a.convention)),
                _ => None,
            })
            .collect();
        assert_eq!(
            anchors,
            [(90_000, "2025-04-28T16:06:18.091000".to_owned(), Convention::WallClock)]
        );
        let sound = out.iter().any(|d| matches!(d, Demuxed::Params(p) if p.codec == Codec::Pcmu));
        assert!(sound);
        let units = out.iter().filter(|d| matches!(d, Demuxed::Unit(_))).count();
        assert_eq!(units, 3);
        assert_eq!(first_clock(&stream()).unwrap().to_string(), "2025-04-28T16:06:18.091000");
    }

    #[test]
    fn encrypted_footage_is_refused_with_a_remedy() {
        let mut locked = CLOCK;
        locked[9] &= !7;
        let bytes = [PACK.to_vec(), map(&locked, &[0x1b, 0xe0, 0, 0])].concat();
        let e = demux(&bytes).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(e.to_string().contains("switch stream encryption off"));
        assert!(private_packet(&[0x40, 0, 0, 1, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn no_truncation_panics() {
        let whole = stream();
        for n in 0..whole.len() {
            let _ = demux(&whole[..n]);
            let _ = first_clock(&whole[..n]);
        }
        for n in 0..18 {
            let packet = [&[0, 1, 0, 4][..], &CLOCK].concat();
            assert_eq!(private_packet(&packet[..n]).unwrap().is_some(), n >= 14);
        }
        assert!(check_opening(b"4HKH....").is_err());
        assert!(check_opening(b"\0\0\0\x18ftypisom").is_err());
    }
}
