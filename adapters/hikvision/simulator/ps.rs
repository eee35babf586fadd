//! The vendor's program stream: media header, packs, a map with the time in it, one PES a NAL unit.
//!
//! ISO/IEC 13818-1 2.5 with the vendor's descriptors; written from decoded card recordings.

use bytes::Bytes;
use dvrgate_model::{Civil, Codec};
use dvrgate_testkit::footage::{AccessUnit, ClipSource};

use crate::behaviour::{Behaviour, Envelope};
use crate::recorder::Recorder;

/// Writes one program stream.
#[derive(Debug)]
pub struct ProgramStream {
    envelope: Envelope,
    encrypted: bool,
    private_packets: bool,
    audio: bool,
    packs: u32,
}

/// The media header's magic.
const IMKH: &[u8; 4] = b"IMKH";
/// Container written into the media header.
pub const SYSTEM_PS: u16 = 2;
/// The same for RTP, in SDP.
pub const SYSTEM_RTP: u16 = 4;
/// A slice is cut into packets of at most so many bytes.
const MAX_PAYLOAD: usize = 65_490;
const PACK: u8 = 0xBA;
const SYSTEM_HEADER: u8 = 0xBB;
const MAP: u8 = 0xBC;
const PRIVATE: u8 = 0xBD;
const VIDEO: u8 = 0xE0;
const AUDIO: u8 = 0xC0;
const MUX_RATE: u32 = 0x01_CBF7;
/// Private packet type of basic stream information.
const PRIVATE_BASIC: u16 = 0x0001;

/// The media header of 40 bytes: what is inside, in which container.
pub fn media_header(system: u16, codec: Codec, audio: bool) -> [u8; 40] {
    let mut h = [0; 40];
    h[..4].copy_from_slice(IMKH);
    h[4..6].copy_from_slice(&0x0102u16.to_le_bytes());
    h[8..10].copy_from_slice(&system.to_le_bytes());
    let video: u16 = if codec == Codec::H265 { 5 } else { 1 };
    h[10..12].copy_from_slice(&video.to_le_bytes());
    if audio {
        h[12..14].copy_from_slice(&0x7111u16.to_le_bytes());
        h[14] = 1;
        h[15] = 16;
        h[16..20].copy_from_slice(&8_000u32.to_le_bytes());
        h[20..24].copy_from_slice(&64_000u32.to_le_bytes());
    }
    h
}

impl ProgramStream {
    /// For a download under that behaviour.
    pub fn new(behaviour: &Behaviour, audio: bool) -> Self {
        Self {
            envelope: behaviour.envelope,
            encrypted: behaviour.encrypted,
            private_packets: behaviour.private_packets,
            audio,
            packs: 0,
        }
    }

    /// What stands before the first pack.
    pub fn envelope(&self, codec: Codec) -> Vec<u8> {
        let header = media_header(SYSTEM_PS, codec, self.audio);
        match self.envelope {
            Envelope::None => Vec::new(),
            Envelope::MediaHeader => header.to_vec(),
            Envelope::Long => {
                let mut out = vec![0; 24];
                out[3] = 0x40;
                out[7] = 0x13;
                out.extend_from_slice(&header);
                out
            }
        }
    }

    /// A picture: a pack, before key pictures system header and map, then its NAL units.
    pub fn video(
        &mut self,
        unit: &AccessUnit,
        clip: &dyn ClipSource,
        pts: u64,
        wall: Civil,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(unit.len() + 256);
        self.pack(&mut out, pts);
        if unit.key {
            self.system_header(&mut out);
            self.map(&mut out, clip, wall);
        }
        let mut first = true;
        for nal in &unit.nals {
            let mut bytes = vec![0, 0, 0, 1];
            bytes.extend_from_slice(nal);
            if self.encrypted && nal.len() > 64 {
                bytes[20..].iter_mut().for_each(|b| *b ^= 0x5C);
            }
            let count = bytes.len().div_ceil(MAX_PAYLOAD);
            for (i, payload) in bytes.chunks(MAX_PAYLOAD).enumerate() {
                pes(&mut out, VIDEO, first.then_some(pts), payload, i + 1 < count);
                first = false;
            }
        }
        if unit.key && self.private_packets {
            let mut payload = Vec::new();
            payload.extend_from_slice(&PRIVATE_BASIC.to_be_bytes());
            payload.extend_from_slice(&4u16.to_be_bytes());
            payload.extend_from_slice(&basic_descriptor(wall, self.encrypted));
            pes(&mut out, PRIVATE, None, &payload, false);
        }
        out
    }

    /// A block of sound.
    pub fn audio(&mut self, block: &Bytes, pts: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(block.len() + 32);
        pes(&mut out, AUDIO, Some(pts), block, false);
        out
    }

    fn pack(&mut self, out: &mut Vec<u8>, scr: u64) {
        out.extend_from_slice(&[0, 0, 1, PACK]);
        let base = |from: u32, count: u32| scr >> from & ((1 << count) - 1);
        let bits = 0b01u64 << 46
            | base(30, 3) << 43
            | 1 << 42
            | base(15, 15) << 27
            | 1 << 26
            | base(0, 15) << 11
            | 1 << 10
            | 1;
        out.extend_from_slice(&bits.to_be_bytes()[2..]);
        out.extend_from_slice(&(MUX_RATE << 2 | 0b11).to_be_bytes()[1..]);
        // Six bytes of stuffing, four of which count the packs.
        out.extend_from_slice(&[0xFE, 0xFF, 0xFF]);
        out.extend_from_slice(&self.packs.to_be_bytes());
        self.packs += 1;
    }

    fn system_header(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0, 0, 1, SYSTEM_HEADER, 0, 18]);
        out.extend_from_slice(&(0x80_0001 | MUX_RATE << 1).to_be_bytes()[1..]);
        out.extend_from_slice(&[0x04, 0xE1, 0x7F]);
        for (stream, bound) in
            [(VIDEO, 0xE080u16), (AUDIO, 0xC008), (PRIVATE, 0xE080), (0xBF, 0xE080)]
        {
            out.push(stream);
            out.extend_from_slice(&bound.to_be_bytes());
        }
    }

    fn map(&self, out: &mut Vec<u8>, clip: &dyn ClipSource, wall: Civil) {
        let mut info = basic_descriptor(wall, self.encrypted).to_vec();
        info.extend_from_slice(&[0x41, 18, b'H', b'K']);
        info.extend(0..16);

        let mut video = Vec::new();
        let (width, height) = clip.size();
        let (num, den) = clip.frame_rate();
        video.extend_from_slice(&[0x42, 14, 0x07, 0x10]);
        // Encoder's date: years from 2000, month, day.
        video.extend_from_slice(&((22u16) << 9 | 1 << 5 | 30).to_be_bytes());
        video.extend_from_slice(&(width as u16).to_be_bytes());
        video.extend_from_slice(&(height as u16).to_be_bytes());
        video.extend_from_slice(&[0x19, 0x10, 0]);
        let ticks = 90_000 * den / num;
        video.extend_from_slice(&(ticks << 1 | 1).to_be_bytes()[1..]);
        video.extend_from_slice(&[0x2A, 10, 0x7F, 0xFF, 0, 0, 0x07, 0x08, 0x1F, 0xFE, 0x50, 0xBE]);

        let mut streams = vec![if clip.codec() == Codec::H265 { 0x24 } else { 0x1B }, VIDEO];
        streams.extend_from_slice(&(video.len() as u16).to_be_bytes());
        streams.extend_from_slice(&video);
        if self.audio {
            streams.extend_from_slice(&[0x90, AUDIO, 0, 12, 0x43, 10]);
            streams.extend_from_slice(&(Recorder::AUDIO_BLOCK as u16).to_be_bytes());
            streams.push(0xFE); // mono
            streams.extend_from_slice(&(8_000u32 << 2 | 3).to_be_bytes()[1..]);
            streams.extend_from_slice(&(64_000u32 << 2 | 3).to_be_bytes()[1..]);
            streams.push(0xFF);
        }
        let start = out.len();
        let length = 2 + 2 + info.len() + 2 + streams.len() + 4;
        out.extend_from_slice(&[0, 0, 1, MAP]);
        out.extend_from_slice(&(length as u16).to_be_bytes());
        out.extend_from_slice(&[0xF2, 0xFF]);
        out.extend_from_slice(&(info.len() as u16).to_be_bytes());
        out.extend_from_slice(&info);
        out.extend_from_slice(&(streams.len() as u16).to_be_bytes());
        out.extend_from_slice(&streams);
        let crc = crc32(&out[start..]);
        out.extend_from_slice(&crc.to_be_bytes());
    }
}

/// The descriptor with the wall clock in it.
fn basic_descriptor(wall: Civil, encrypted: bool) -> [u8; 16] {
    let ((year, month, day), (hour, minute, second, us)) = (wall.date(), wall.time());
    let (year, ms) = (u64::from((year - 2000).clamp(0, 255) as u8), u64::from(us / 1000));
    let encryption = if encrypted { 1 } else { 7 };
    let bits = year << 40
        | u64::from(month) << 36
        | u64::from(day) << 31
        | u64::from(hour) << 26
        | u64::from(minute) << 20
        | u64::from(second) << 14
        | 1 << 13
        | ms << 3
        | encryption;
    let mut d = [0xFF; 16];
    d[..6].copy_from_slice(&[0x40, 14, b'H', b'K', 0x01, 0x00]);
    d[6..12].copy_from_slice(&bits.to_be_bytes()[2..]);
    d[12] = 0;
    d
}

fn pes(out: &mut Vec<u8>, stream: u8, pts: Option<u64>, payload: &[u8], continues: bool) {
    let header: usize = if pts.is_some() { 9 } else { 5 };
    out.extend_from_slice(&[0, 0, 1, stream]);
    out.extend_from_slice(&((3 + header + payload.len()) as u16).to_be_bytes());
    out.extend_from_slice(&[0x8C, if pts.is_some() { 0x80 } else { 0 }, header as u8]);
    if let Some(pts) = pts {
        let part = |from: u32, count: u32| (pts >> from & ((1 << count) - 1)) << 1 | 1;
        out.push(0x20 | part(30, 3) as u8);
        out.extend_from_slice(&(part(15, 15) as u16).to_be_bytes());
        out.extend_from_slice(&(part(0, 15) as u16).to_be_bytes());
    }
    let stuffing = header - if pts.is_some() { 5 } else { 0 };
    out.resize(out.len() + stuffing - 1, 0xFF);
    out.push(if continues { 0xFD } else { 0xFC });
    out.extend_from_slice(payload);
}

/// CRC-32 of MPEG-2 systems.
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b) << 24, |c, _| {
            if c & 0x8000_0000 != 0 { c << 1 ^ 0x04C1_1DB7 } else { c << 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoded_examples_are_written_alike() {
        // The wall clock of a real card's first map: 2025-04-28 16:06:18.091.
        let wall = Civil::new(2025, 4, 28, 16, 6, 18, 91_000).unwrap();
        let d = basic_descriptor(wall, false);
        assert_eq!(hex::encode(d), "400e484b0100194e4064a2df00ffffff");
        // The media header of a real playback session, H.265 and A-law.
        assert_eq!(
            hex::encode(media_header(SYSTEM_RTP, Codec::H265, true)),
            "494d4b48020100000400050011710110401f000000fa000000000000000000000000000000000000"
        );
        assert_eq!(crc32(b"123456789"), 0x0376_E6E7);
    }

    #[test]
    fn time_stamps_survive_their_33_bits() {
        for pts in [0, 1, 0x1_FFFF_FFFF, 0x1_2345_6789] {
            let mut out = Vec::new();
            pes(&mut out, VIDEO, Some(pts), &[9], false);
            let (b, n) = (&out[9..14], |i: usize| u64::from(out[9 + i]));
            let read =
                (n(0) >> 1 & 7) << 30 | n(1) << 22 | (n(2) >> 1) << 15 | n(3) << 7 | n(4) >> 1;
            assert_eq!(read, pts);
            assert!(b[0] & 1 == 1 && b[2] & 1 == 1 && b[4] & 1 == 1);
            assert_eq!(usize::from(out[5]), out.len() - 6);
        }
    }
}
