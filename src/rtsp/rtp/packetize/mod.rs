//! Access units to RTP packets. A file for each family of payload formats.

mod aac;
mod jpeg;
mod nal;
mod plain;

use bytes::Bytes;
use dvrgate_media::codec::mpeg4;
use dvrgate_model::{Codec, CodecParams};

use super::extension::{self, EXTENSION_BYTES, ReplayExtension};
use super::header::Header;
use super::packets::{Packets, Target};

/// Bytes of the largest packet from the RTP header on. All packets of a fragmented unit but the
/// last have exactly this size, which is what UDP segmentation offload asks for.
pub const MAX_PACKET_BYTES: usize = 1400;

/// One access unit on its way out.
#[derive(Clone, Debug)]
pub struct AccessUnit<'a> {
    /// RTP timestamp.
    pub timestamp: u32,
    /// Written into the first packet; `None` outside of replay.
    pub extension: Option<ReplayExtension>,
    /// A decoder may start here.
    pub clean: bool,
    /// What a decoder must know for it.
    pub params: &'a CodecParams,
    /// Framed as [`dvrgate_model::Frame::data`] says.
    pub data: &'a Bytes,
}

/// Numbers of one RTP stream, and the payload format's memory.
#[derive(Debug)]
pub struct Packetizer {
    codec: Codec,
    payload_type: u8,
    ssrc: u32,
    sequence: u16,
    packets: u32,
    bytes: u32,
    /// The parameter sets that went out last.
    sent_sets: Vec<Bytes>,
}

impl Packetizer {
    /// `sequence` is that of the first packet; RFC 3550 wants it random.
    pub fn new(codec: Codec, payload_type: u8, ssrc: u32, sequence: u16) -> Self {
        Self { codec, payload_type, ssrc, sequence, packets: 0, bytes: 0, sent_sets: Vec::new() }
    }

    /// Synchronization source.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Sequence number of the next packet.
    pub fn next_sequence(&self) -> u16 {
        self.sequence
    }

    /// Packets and payload bytes so far, modulo 2^32 as sender reports count.
    pub fn counts(&self) -> (u32, u32) {
        (self.packets, self.bytes)
    }

    /// Takes a packet back that was not sent; packets are taken back from the earliest on. The number
    /// of the first is that of the next packet again.
    pub fn take_back(&mut self, first: Option<u16>, payload_bytes: usize) {
        self.sequence = first.unwrap_or(self.sequence);
        self.packets = self.packets.wrapping_sub(1);
        self.bytes = self.bytes.wrapping_sub(payload_bytes as u32);
    }

    /// Forgets which parameter sets the receiver has: the next clean unit brings them again.
    pub fn restart(&mut self) {
        self.sent_sets.clear();
    }

    /// Appends the packets of a unit.
    pub fn packetize(&mut self, unit: &AccessUnit<'_>, target: Target, out: &mut Packets) {
        let sets = self.sets_to_insert(unit);
        let mut emit = Emit {
            stream: self,
            target,
            timestamp: unit.timestamp,
            extension: unit.extension,
            out,
        };
        match emit.stream.codec {
            Codec::H264 => nal::h264(&sets, unit.data, &mut emit),
            Codec::H265 => nal::h265(&sets, unit.data, &mut emit),
            Codec::Aac => aac::packetize(unit.data, &mut emit),
            Codec::Pcmu | Codec::Pcma => {
                plain::samples(unit.data, 8 * u32::from(unit.params.channels.max(1)), &mut emit);
            }
            Codec::G726 { kbit } => plain::samples(unit.data, u32::from(kbit) / 8, &mut emit),
            Codec::Jpeg => jpeg::packetize(unit.data, &mut emit),
            Codec::Mpeg4 => plain::mpeg4(&sets, unit.data, &mut emit),
            Codec::Metadata => plain::document(unit.data, &mut emit),
        }
    }

    /// Parameter sets, or the configuration of MPEG-4, in band when they are not part of the unit
    /// and the receiver has none or others (R8.T-12).
    fn sets_to_insert(&mut self, unit: &AccessUnit<'_>) -> Vec<Bytes> {
        let config = std::slice::from_ref(&unit.params.config);
        let sets = match self.codec {
            Codec::H264 | Codec::H265 => &unit.params.parameter_sets[..],
            Codec::Mpeg4 if !unit.params.config.is_empty() => config,
            _ => &[],
        };
        if !unit.clean || sets.is_empty() || self.sent_sets[..] == *sets {
            return Vec::new();
        }
        self.sent_sets = sets.to_vec();
        let brought = match self.codec {
            Codec::Mpeg4 => mpeg4::config(unit.data).is_some(),
            codec => nal::brings_sets(codec, unit.data),
        };
        if brought { Vec::new() } else { self.sent_sets.clone() }
    }
}

/// Writes the packets of one unit; the extension goes into the first.
struct Emit<'a> {
    stream: &'a mut Packetizer,
    target: Target,
    timestamp: u32,
    extension: Option<ReplayExtension>,
    out: &'a mut Packets,
}

impl Emit<'_> {
    /// Payload bytes that fit into the next packet.
    fn room(&self) -> usize {
        let extension = if self.extension.is_some() { EXTENSION_BYTES } else { 0 };
        MAX_PACKET_BYTES - Header::BYTES - extension
    }

    /// The same beside a JPEG extension of so many bytes.
    fn room_beside(&self, jpeg: usize) -> usize {
        self.room() - extension::HEAD_BYTES - jpeg
    }

    /// `prefix` and `body` together fit into [`Emit::room`].
    fn packet(&mut self, marker: bool, prefix: &[u8], body: Bytes) {
        self.packet_beside(None, marker, prefix, body);
    }

    /// With a JPEG extension of whole words; all together fit into [`Emit::room_beside`].
    fn packet_beside(
        &mut self,
        jpeg: Option<(u16, &[u8])>,
        marker: bool,
        prefix: &[u8],
        body: Bytes,
    ) {
        let s = &mut *self.stream;
        let header = Header {
            marker,
            payload_type: s.payload_type,
            sequence: s.sequence,
            timestamp: self.timestamp,
            ssrc: s.ssrc,
        };
        s.sequence = s.sequence.wrapping_add(1);
        s.packets = s.packets.wrapping_add(1);
        s.bytes = s.bytes.wrapping_add((prefix.len() + body.len()) as u32);
        let replay = self.extension.take();
        self.out.push(self.target, body, |head| {
            header.write(head, replay.is_some() || jpeg.is_some());
            extension::write(replay, jpeg, head);
            head.extend_from_slice(prefix);
        });
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::rtp::Packet;

    /// The packets of units, as bytes.
    pub(crate) fn packets_of(
        packetizer: &mut Packetizer,
        units: &[AccessUnit<'_>],
    ) -> Vec<(Packet, Vec<u8>)> {
        let mut out = Packets::default();
        for unit in units {
            packetizer.packetize(unit, Target::Rtp(0), &mut out);
        }
        let mut list = Vec::new();
        while let Some((_, [head, body])) = out.datagram() {
            let bytes = [head, body].concat();
            assert!(bytes.len() <= MAX_PACKET_BYTES);
            list.push((Packet::parse(&bytes).unwrap(), bytes));
            out.datagram_done();
        }
        list
    }
}
