//! JPEG (RFC 2435) with ONVIF's header extension (Streaming 5.1.4): packets to whole files.

use bytes::{Bytes, BytesMut};
use dvrgate_media::codec::jpeg::{self, BLOCK};

use super::{Depacketized, MAX_UNIT_BYTES, Ready};
use crate::rtp::JPEG_LATER;

/// Bytes of the main header and of the restart header.
const MAIN: usize = 8;
const RESTART: usize = 4;
/// Headers in the extension of one picture.
const MAX_HEADERS: usize = 64 * 1024;
/// Qualities up to this one stand for tables (RFC 2435 4.2).
const MAX_COMPUTED: u8 = 99;

/// Builds pictures.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    time: Option<i64>,
    head: Option<Head>,
    /// Marker segments of the extension.
    headers: Vec<u8>,
    scan: BytesMut,
    /// Luminance and chrominance, as far as they came in band, with their quality.
    tables: Option<(u8, Vec<u8>, Vec<u8>)>,
    damaged: bool,
}

/// What the first packet of a picture says.
#[derive(Clone, Copy, Debug)]
struct Head {
    kind: u8,
    quality: u8,
    size: (u16, u16),
    restart_interval: u16,
}

impl Assembler {
    pub(super) fn push(
        &mut self,
        time: i64,
        marker: bool,
        extension: Option<(u16, &[u8])>,
        payload: &Bytes,
        ready: &mut Ready,
    ) {
        if self.time != Some(time) {
            // Without its last packet a picture is not whole.
            self.begin();
            self.time = Some(time);
        }
        if !self.damaged
            && let Err(why) = self.append(extension, payload)
        {
            ready.push_back(Depacketized::Lost { packets: 0, why });
            self.damaged = true;
        }
        if marker {
            if let Some(data) = self.file().filter(|_| !self.damaged) {
                ready.push_back(Depacketized::Unit { rtp_time: time, data });
            }
            self.begin();
        }
    }

    fn append(
        &mut self,
        extension: Option<(u16, &[u8])>,
        payload: &[u8],
    ) -> Result<(), &'static str> {
        const CUT: &str = "JPEG header is cut off";
        if self.scan.len() + payload.len() > MAX_UNIT_BYTES {
            return Err("access unit is too long");
        }
        if let Some((id, more)) = extension {
            if id == JPEG_LATER && self.head.is_none() {
                return Err("start of a picture is missing");
            }
            if self.headers.len() + more.len() > MAX_HEADERS {
                return Err("JPEG headers are too long");
            }
            // Behind the start of the scan it is part of the scan.
            if self.scan.is_empty() {
                self.headers.extend_from_slice(more);
            } else {
                self.scan.extend_from_slice(more);
            }
            if payload.is_empty() && self.head.is_some() {
                return Ok(());
            }
        }
        let (&[_, a, b, c, kind, quality, width, height], rest) =
            payload.split_first_chunk::<MAIN>().ok_or(CUT)?;
        let mut rest = rest;
        let mut restart_interval = 0;
        if matches!(kind, 64..=127) {
            let (restart, tail) = rest.split_first_chunk::<RESTART>().ok_or(CUT)?;
            restart_interval = u16::from_be_bytes([restart[0], restart[1]]);
            rest = tail;
        }
        let offset = u32::from_be_bytes([0, a, b, c]) as usize;
        if offset != self.scan.len() {
            return Err("part of a picture is missing");
        }
        if offset == 0 && quality >= 128 {
            let (&[_, precision, l0, l1], tail) = rest.split_first_chunk::<4>().ok_or(CUT)?;
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            let (tables, tail) = tail.split_at_checked(length).ok_or(CUT)?;
            self.take_tables(quality, precision, tables)?;
            rest = tail;
        }
        let size = (u16::from(width) * 8, u16::from(height) * 8);
        self.head.get_or_insert(Head { kind, quality, size, restart_interval });
        self.scan.extend_from_slice(rest);
        Ok(())
    }

    /// Empty tables mean those that came before with that quality (RFC 2435 3.1.8).
    fn take_tables(&mut self, q: u8, precision: u8, data: &[u8]) -> Result<(), &'static str> {
        if data.is_empty() {
            let known = self.tables.as_ref().is_some_and(|(of, ..)| *of == q && q != 255);
            return if known { Ok(()) } else { Err("quantization tables never came") };
        }
        let bytes = |bit: u8| if precision >> bit & 1 == 1 { 2 * BLOCK } else { BLOCK };
        let luma = data.get(..bytes(0)).ok_or("quantization table is cut off")?;
        let chroma = data.get(bytes(0)..bytes(0) + bytes(1)).unwrap_or(luma);
        self.tables = Some((q, luma.to_vec(), chroma.to_vec()));
        Ok(())
    }

    /// The picture as a file.
    fn file(&self) -> Option<Bytes> {
        let head = self.head.filter(|_| !self.scan.is_empty())?;
        let mut out = vec![0xff, 0xd8];
        if self.headers.is_empty() {
            self.write_headers(head, &mut out)?;
        } else {
            out.extend_from_slice(&self.headers);
        }
        out.extend_from_slice(&self.scan);
        if !self.scan.ends_with(&[0xff, 0xd9]) {
            out.extend_from_slice(&[0xff, 0xd9]);
        }
        Some(out.into())
    }

    fn write_headers(&self, head: Head, out: &mut Vec<u8>) -> Option<()> {
        let sampling = match head.kind & 0x3f {
            0 => 0x21,
            1 => 0x22,
            _ => return None,
        };
        let computed;
        let tables = match (&self.tables, head.quality) {
            (_, 1..=MAX_COMPUTED) => {
                computed = jpeg::scaled_tables(head.quality);
                [&computed.0[..], &computed.1[..]]
            }
            (Some((of, luma, chroma)), quality) if *of == quality => [&luma[..], &chroma[..]],
            _ => return None,
        };
        jpeg::write_headers(head.size, sampling, tables, head.restart_interval, out);
        Some(())
    }

    fn begin(&mut self) {
        self.time = None;
        self.head = None;
        self.headers.clear();
        self.scan.clear();
        self.damaged = false;
    }

    /// What is open misses packets; so may what comes next, but offsets tell.
    pub(super) fn lost(&mut self) {
        self.damaged = true;
    }

    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use dvrgate_media::codec::jpeg::Picture;
    use dvrgate_model::{Codec, CodecParams, Utc};

    use super::super::Depacketizer;
    use super::*;
    use crate::rtp::packetize::{AccessUnit, Packetizer};
    use crate::rtp::{JPEG_START, Packet, Packets, ReplayExtension, Target, jpeg_extension};

    /// A picture of that size whose pixels are square unless there is a thumbnail.
    fn picture(size: (u16, u16), restarts: u16, thumbnail: usize, scan: usize) -> Bytes {
        let (luma, chroma) = jpeg::scaled_tables(70);
        let mut out = vec![0xff, 0xd8];
        if thumbnail > 0 {
            out.extend_from_slice(&[0xff, 0xe0]);
            out.extend_from_slice(&(16 + thumbnail as u16).to_be_bytes());
            out.extend_from_slice(b"JFIF\0\x01\x02\0\0\x04\0\x03\0\0");
            out.resize(out.len() + thumbnail, 0x33);
        }
        jpeg::write_headers(size, 0x22, [&luma, &chroma], restarts, &mut out);
        out.resize(out.len() + scan, 0x55);
        out.extend_from_slice(&[0xff, 0xd9]);
        out.into()
    }

    fn wire(pictures: &[Bytes]) -> Vec<(Packet, Bytes)> {
        let params = CodecParams::new(Codec::Jpeg);
        let replay = ReplayExtension {
            at: Utc::from_secs(1_000),
            clean: true,
            end_of_section: false,
            discontinuity: true,
            terminal: false,
            cseq: 7,
        };
        let mut p = Packetizer::new(Codec::Jpeg, 26, 1, 65_530);
        let mut out = Packets::default();
        for (i, data) in (0u32..).zip(pictures) {
            let unit = AccessUnit {
                timestamp: i * 3600,
                extension: Some(replay),
                clean: true,
                params: &params,
                data,
            };
            p.packetize(&unit, Target::Rtp(0), &mut out);
        }
        let mut list = Vec::new();
        while let Some((_, [head, body])) = out.datagram() {
            let bytes = Bytes::from([head, body].concat());
            assert!(bytes.len() <= crate::rtp::packetize::MAX_PACKET_BYTES);
            list.push((Packet::parse(&bytes).unwrap(), bytes));
            out.datagram_done();
        }
        list
    }

    fn read(packets: &[(Packet, Bytes)]) -> Vec<(i64, Bytes)> {
        let mut d = Depacketizer::new(Codec::Jpeg);
        for (packet, bytes) in packets {
            d.push(packet, bytes);
        }
        d.finish();
        let units = std::iter::from_fn(|| d.pull()).filter_map(|d| match d {
            Depacketized::Unit { rtp_time, data } => Some((rtp_time, data)),
            Depacketized::Lost { .. } => None,
        });
        units.collect()
    }

    /// Pictures that RFC 2435 can say come out byte by byte, and their packets look as it wants.
    #[test]
    fn plain_pictures_need_no_extension() {
        let pictures = [picture((640, 480), 0, 0, 3000), picture((640, 480), 20, 0, 10)];
        let packets = wire(&pictures);
        let (first, bytes) = &packets[0];
        assert_eq!(first.extension, Some((0xabac, 16..28)));
        assert_eq!(bytes[28..36], [0, 0, 0, 0, 1, 255, 80, 60]);
        assert_eq!(bytes[36..40], [0, 0, 0, 128]);
        let (second, bytes) = &packets[1];
        let offset = (1400 - 28 - 8 - 4 - 128u16).to_be_bytes();
        assert_eq!(bytes[12..20], [0, 0, offset[0], offset[1], 1, 255, 80, 60]);
        assert!(second.extension.is_none() && !second.header.marker);
        assert!(packets[2].0.header.marker);
        // With restart markers: the type, the interval and the flags say so.
        assert_eq!(packets[3].1[28..40], [0, 0, 0, 0, 65, 255, 80, 60, 0, 20, 255, 255]);
        let read = read(&packets);
        assert_eq!(read, [(0, pictures[0].clone()), (3600, pictures[1].clone())]);
    }

    /// R8.3-17, R8.3-18: what RFC 2435 cannot say goes into the extension, with that of replay in
    /// the first packet and alone in others.
    #[test]
    fn other_pictures_bring_their_headers() {
        for (size, thumbnail, sides) in
            [((644, 483), 0, [81, 61]), ((4096, 2160), 0, [0, 0]), ((640, 480), 3000, [80, 60])]
        {
            let original = picture(size, 4, thumbnail, 3000);
            let packets = wire(std::slice::from_ref(&original));
            let mut segments = Vec::new();
            let mut with = 0;
            for (i, (packet, bytes)) in packets.iter().enumerate() {
                let Some((id, body)) = packet.extension.clone() else { continue };
                let (jpeg, more) = jpeg_extension(id, &bytes[body.clone()]).unwrap();
                assert_eq!(jpeg, if i == 0 { JPEG_START } else { JPEG_LATER });
                assert_eq!(id, if i == 0 { 0xabac } else { JPEG_LATER });
                let words = more.len() / 4 + if i == 0 { 4 } else { 0 };
                assert_eq!(body.len(), 4 * words, "R8.3-17: N + 4 words");
                segments.extend_from_slice(more);
                with += 1;
            }
            assert_eq!(with, if thumbnail > 0 { 3 } else { 1 });
            let main = packets[0].0.payload.start;
            assert_eq!(packets[0].1[main + 6..main + 8], sides);
            let [(_, copy)] = &read(&packets)[..] else { panic!("one picture") };
            let (a, b) = (Picture::parse(&original).unwrap(), Picture::parse(copy).unwrap());
            assert_eq!((a.headers, a.scan_header, a.scan), (b.headers, b.scan_header, b.scan));
            assert_eq!((b.width, b.height), (size.0.into(), size.1.into()));
            assert!(segments.ends_with(a.scan_header));
        }
    }

    #[test]
    fn what_comes_out_is_whole_whichever_packet_is_lost() {
        for thumbnail in [0, 3000] {
            let pictures: Vec<_> =
                [3000, 10, 2000].map(|n| picture((640, 480), 0, thumbnail, n)).into();
            let packets = wire(&pictures);
            let whole = read(&packets);
            for lost in 0..packets.len() {
                let mut some = packets.clone();
                let (gone, _) = some.remove(lost);
                let got = read(&some);
                let mut expected = whole.clone();
                expected.retain(|(t, _)| *t != i64::from(gone.header.timestamp));
                assert_eq!(got, expected, "without packet {lost}");
            }
        }
    }

    #[test]
    fn pictures_of_cameras() {
        // Quality 50 in place of tables; RFC 2435 has no tables in band then.
        let packet = |payload: &[u8], sequence: u8, marker: bool| {
            let second = 26 | if marker { 0x80 } else { 0 };
            let head = [0x80, second, 0, sequence, 0, 0, 0, 9, 0, 0, 0, 1];
            let bytes = Bytes::from([&head[..], payload].concat());
            (Packet::parse(&bytes).unwrap(), bytes)
        };
        let whole = [0, 0, 0, 0, 0, 50, 2, 2, 9, 8, 7];
        let [(9, file)] = &read(&[packet(&whole, 0, true)])[..] else { panic!("one picture") };
        let p = Picture::parse(file).unwrap();
        assert_eq!((p.width, p.height, p.components[0].sampling), (16, 16, 0x21));
        assert_eq!(p.quantization[0], Some(&jpeg::scaled_tables(50).0[..]));
        assert_eq!(p.scan, [9, 8, 7]);
        for end in 0..8 {
            assert_eq!(read(&[packet(&whole[..end], 0, true)]), [], "{end}");
        }
        // Tables under a number that is not theirs, and none at all.
        assert_eq!(read(&[packet(&[0, 0, 0, 0, 0, 200, 2, 2, 0, 0, 0, 0, 1], 0, true)]), []);
        assert_eq!(read(&[packet(&[0, 0, 0, 0, 0, 255, 2, 2, 0, 0, 0, 9, 1], 0, true)]), []);
    }
}
