//! RTP packets to access units, framed as [`dvrgate_model::Frame::data`] says.
//!
//! RFC 6184 (modes 0 and 1), 7798 (without DON), 3640 (AAC-hbr), 6416, 2435, 3551. A lost packet costs every
//! access unit that it may belong to: what comes out is whole.

mod jpeg;
mod nal;
mod plain;

use bytes::Bytes;
use dvrgate_model::Codec;

use super::{Packet, jpeg_extension};

/// Bytes of the longest access unit that is collected; a larger one is dropped.
pub const MAX_UNIT_BYTES: usize = 16 * 1024 * 1024;

/// What came out of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Depacketized {
    /// A whole access unit.
    Unit {
        /// Its RTP timestamp, unwrapped: it does not jump where the 32 bits do.
        rtp_time: i64,
        /// Its bytes.
        data: Bytes,
    },
    /// Something was lost or could not be read.
    Lost {
        /// Packets that are missing by the sequence numbers; 0 where none is.
        packets: u16,
        /// For the log.
        why: &'static str,
    },
}

/// Puts the packets of one stream together. Push, then pull until `None`.
#[derive(Debug)]
pub struct Depacketizer {
    format: Format,
    last: Option<(u16, i64)>,
    /// The stream marks the ends of its units; some recorders never do.
    marks: bool,
    ready: std::collections::VecDeque<Depacketized>,
}

#[derive(Debug)]
enum Format {
    Jpeg(jpeg::Assembler),
    Nal(nal::Assembler),
    Plain(plain::Assembler),
}

impl Depacketizer {
    /// For a payload format; AAC with the AU-header sizes that are usual (AAC-hbr).
    pub fn new(codec: Codec) -> Self {
        let format = match codec {
            Codec::Jpeg => Format::Jpeg(jpeg::Assembler::default()),
            Codec::H264 => Format::Nal(nal::Assembler::h264()),
            Codec::H265 => Format::Nal(nal::Assembler::h265()),
            other => Format::Plain(plain::Assembler::new(other)),
        };
        Self { format, last: None, marks: false, ready: Default::default() }
    }

    /// Takes a packet: its parsed header and all its bytes. An old or doubled one is dropped.
    pub fn push(&mut self, packet: &Packet, bytes: &Bytes) {
        let h = &packet.header;
        let rtp_time = match self.last {
            None => i64::from(h.timestamp),
            Some((_, last)) => last + i64::from(h.timestamp.wrapping_sub(last as u32) as i32),
        };
        if let Some((sequence, _)) = self.last {
            let step = h.sequence.wrapping_sub(sequence);
            if step == 0 || step > 0x8000 {
                return;
            }
            if step > 1 {
                self.ready.push_back(Depacketized::Lost { packets: step - 1, why: "packets lost" });
                self.lost(step - 1);
            }
        }
        self.last = Some((h.sequence, rtp_time));
        self.marks |= h.marker;
        let payload = bytes.slice(packet.payload.clone());
        let ready = &mut self.ready;
        match &mut self.format {
            Format::Jpeg(a) => {
                let extension = packet.extension.clone();
                let extension = extension.and_then(|(id, at)| jpeg_extension(id, bytes.get(at)?));
                a.push(rtp_time, h.marker, extension, &payload, ready);
            }
            Format::Nal(a) => a.push(rtp_time, h.marker, payload, ready),
            Format::Plain(a) => a.push(rtp_time, h.marker, payload, ready),
        }
    }

    /// A packet that is not for this format took the next sequence number: nothing was lost.
    /// Numbers count per source, whatever the payload type (RFC 3550 5.1).
    pub fn pass(&mut self, sequence: u16) {
        if let Some((last, _)) = &mut self.last
            && sequence == last.wrapping_add(1)
        {
            *last = sequence;
        }
    }

    /// What is ready.
    pub fn pull(&mut self) -> Option<Depacketized> {
        self.ready.pop_front()
    }

    /// Gives back what was pulled too early.
    pub fn put_back(&mut self, item: Depacketized) {
        self.ready.push_back(item);
    }

    /// No more packets come: the unit that is open is given out if its end is known.
    pub fn finish(&mut self) {
        if self.marks {
            return;
        }
        match &mut self.format {
            // A picture without its last packet is not whole.
            Format::Jpeg(_) => {}
            Format::Nal(a) => a.flush(&mut self.ready),
            Format::Plain(a) => a.flush(&mut self.ready),
        }
    }

    /// Starts over after a seek: the next packet may have any number and time.
    pub fn restart(&mut self) {
        self.last = None;
        self.ready.clear();
        match &mut self.format {
            Format::Jpeg(a) => a.restart(),
            Format::Nal(a) => a.restart(),
            Format::Plain(a) => a.restart(),
        }
    }

    fn lost(&mut self, packets: u16) {
        match &mut self.format {
            Format::Jpeg(a) => a.lost(),
            Format::Nal(a) => a.lost(packets),
            Format::Plain(a) => a.lost(packets),
        }
    }
}

/// Whether the unit of the first packet behind a hole may miss its beginning: it does not where
/// the unit before it was open and one packet is missing, which was that one's end.
fn may_miss_its_start(same_time: bool, before_is_open: bool, lost: u16) -> bool {
    same_time || !before_is_open || lost > 1
}

type Ready = std::collections::VecDeque<Depacketized>;

#[cfg(test)]
mod tests {
    use dvrgate_media::codec::annexb;
    use dvrgate_model::CodecParams;

    use super::*;
    use crate::rtp::Packets;
    use crate::rtp::Target;
    use crate::rtp::packetize::{AccessUnit, Packetizer};

    fn wire(codec: Codec, units: &[(u32, Bytes)]) -> Vec<Bytes> {
        let params = CodecParams::new(codec);
        let mut p = Packetizer::new(codec, 96, 1, 65_530);
        let mut out = Packets::default();
        for (timestamp, data) in units {
            let unit = AccessUnit {
                timestamp: *timestamp,
                extension: None,
                clean: false,
                params: &params,
                data,
            };
            p.packetize(&unit, Target::Rtp(0), &mut out);
        }
        let mut list = Vec::new();
        while let Some((_, [head, body])) = out.datagram() {
            list.push(Bytes::from([head, body].concat()));
            out.datagram_done();
        }
        list
    }

    fn read(codec: Codec, packets: &[Bytes]) -> Vec<Depacketized> {
        let mut d = Depacketizer::new(codec);
        for bytes in packets {
            d.push(&Packet::parse(bytes).unwrap(), bytes);
        }
        d.finish();
        std::iter::from_fn(|| d.pull()).collect()
    }

    fn units_of(codec: Codec) -> Vec<(u32, Bytes)> {
        let one = |fill: u8, len: usize| match codec {
            Codec::H264 => {
                annexb::join([&[0x67, 9][..], &[&[0x65][..], &vec![fill; len]].concat()])
            }
            Codec::H265 => {
                annexb::join([&[0x42, 1, 9][..], &[&[0x26, 1][..], &vec![fill; len]].concat()])
            }
            _ => Bytes::from(vec![fill; len]),
        };
        vec![
            (0xffff_f000, one(1, 4000)),
            (0xffff_f000u32.wrapping_add(3600), one(2, 10)),
            (0xffff_f000u32.wrapping_add(7200), one(3, 2000)),
        ]
    }

    #[test]
    fn what_is_packetized_comes_out_again() {
        for codec in [Codec::H264, Codec::H265, Codec::Aac, Codec::Mpeg4, Codec::Metadata] {
            let units = units_of(codec);
            let got = read(codec, &wire(codec, &units));
            let expected: Vec<_> = units
                .iter()
                .zip([0, 3600, 7200])
                .map(|((_, data), t)| Depacketized::Unit {
                    rtp_time: 0xffff_f000 + t,
                    data: data.clone(),
                })
                .collect();
            assert_eq!(got, expected, "{codec:?}");
        }
    }

    #[test]
    fn what_comes_out_is_whole_whichever_packet_is_lost() {
        for codec in [Codec::H264, Codec::H265, Codec::Aac, Codec::Metadata] {
            let units = units_of(codec);
            let packets = wire(codec, &units);
            for lost in 0..packets.len() {
                let mut some = packets.clone();
                some.remove(lost);
                let got = read(codec, &some);
                let whole: Vec<_> = got
                    .iter()
                    .filter_map(|d| match d {
                        Depacketized::Unit { data, .. } => Some(data.clone()),
                        Depacketized::Lost { .. } => None,
                    })
                    .collect();
                assert!(whole.iter().all(|w| units.iter().any(|(_, u)| u == w) || lost == 0));
                assert!(!whole.is_empty(), "{codec:?} without packet {lost}: {got:?}");
            }
        }
    }

    #[test]
    fn doubled_and_late_packets_are_dropped() {
        let units = units_of(Codec::H264);
        let mut packets = wire(Codec::H264, &units);
        packets.insert(2, packets[1].clone());
        packets.insert(4, packets[0].clone());
        assert_eq!(read(Codec::H264, &packets).len(), 3);
    }

    #[test]
    fn a_packet_of_another_payload_type_is_no_loss() {
        let units = units_of(Codec::H264);
        let packets = wire(Codec::H264, &units);
        for foreign in 1..packets.len() {
            let mut d = Depacketizer::new(Codec::H264);
            for (i, bytes) in packets.iter().enumerate() {
                let mut renumbered = bytes.to_vec();
                let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
                if i == foreign {
                    d.pass(sequence);
                }
                let sequence = sequence.wrapping_add(u16::from(i >= foreign));
                renumbered[2..4].copy_from_slice(&sequence.to_be_bytes());
                let bytes = Bytes::from(renumbered);
                d.push(&Packet::parse(&bytes).unwrap(), &bytes);
            }
            d.finish();
            let got: Vec<_> = std::iter::from_fn(|| d.pull()).collect();
            assert_eq!(got, read(Codec::H264, &packets), "before packet {foreign}");
        }
    }

    #[test]
    fn no_payload_makes_it_panic() {
        for codec in [Codec::H264, Codec::H265, Codec::Aac, Codec::Pcma, Codec::Mpeg4, Codec::Jpeg]
        {
            let mut d = Depacketizer::new(codec);
            let mut sequence = 0u16;
            for first in 0..=255u8 {
                for tail in
                    [&[][..], &[0], &[0, 0], &[0xff; 3], &[0x80, 5, 0, 9], &[0, 16, 0xff, 0xff]]
                {
                    let mut bytes = vec![0x80, 96];
                    bytes.extend_from_slice(&sequence.to_be_bytes());
                    bytes.extend_from_slice(&[0, 0, 0, first, 0, 0, 0, 1, first]);
                    bytes.extend_from_slice(tail);
                    sequence = sequence.wrapping_add(1 + u16::from(first % 3 == 0));
                    let bytes = Bytes::from(bytes);
                    d.push(&Packet::parse(&bytes).unwrap(), &bytes);
                    while d.pull().is_some() {}
                }
            }
        }
    }
}
