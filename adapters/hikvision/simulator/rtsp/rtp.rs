//! RTP packets of pictures and sound (RFC 3550, 6184, 7798).

use bytes::{BufMut, Bytes, BytesMut};
use dvrgate_model::Codec;

/// Largest payload.
const MAX_PAYLOAD: usize = 1_400;
/// Payload type of pictures.
pub(super) const VIDEO_TYPE: u8 = 96;
/// Payload type of A-law.
pub(super) const AUDIO_TYPE: u8 = 8;
/// Payload type of the vendor's private packets.
pub(super) const PRIVATE_TYPE: u8 = 112;

/// One stream of packets.
#[derive(Debug)]
pub(super) struct Packetizer {
    pub(super) ssrc: u32,
    pub(super) seq: u16,
}

impl Packetizer {
    /// Packets of an access unit, the marker on the last.
    pub(super) fn picture(&mut self, codec: Codec, nals: &[Bytes], time: u32) -> Vec<Bytes> {
        let mut packets = Vec::new();
        for (i, nal) in nals.iter().enumerate() {
            let last_nal = i + 1 == nals.len();
            if nal.len() <= MAX_PAYLOAD {
                packets.push(self.packet(VIDEO_TYPE, last_nal, time, &[], nal));
                continue;
            }
            let header_len = if codec == Codec::H265 { 2 } else { 1 };
            let fragments = nal[header_len..].chunks(MAX_PAYLOAD - 3);
            let count = fragments.len();
            for (n, fragment) in fragments.enumerate() {
                let edges = u8::from(n == 0) << 7 | u8::from(n + 1 == count) << 6;
                let header: &[u8] = match codec {
                    Codec::H265 => &[nal[0] & 0x81 | 49 << 1, nal[1], edges | nal[0] >> 1 & 0x3F],
                    _ => &[nal[0] & 0xE0 | 28, edges | nal[0] & 0x1F],
                };
                packets.push(self.packet(
                    VIDEO_TYPE,
                    last_nal && n + 1 == count,
                    time,
                    header,
                    fragment,
                ));
            }
        }
        packets
    }

    /// One packet.
    pub(super) fn packet(
        &mut self,
        payload_type: u8,
        marker: bool,
        time: u32,
        header: &[u8],
        payload: &[u8],
    ) -> Bytes {
        let mut out = BytesMut::with_capacity(12 + header.len() + payload.len());
        out.put_u8(0x80);
        out.put_u8(u8::from(marker) << 7 | payload_type);
        out.put_u16(self.seq);
        out.put_u32(time);
        out.put_u32(self.ssrc);
        out.put_slice(header);
        out.put_slice(payload);
        self.seq = self.seq.wrapping_add(1);
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_join_to_the_unit() {
        for (codec, first) in [(Codec::H264, vec![0x65]), (Codec::H265, vec![0x26, 0x01])] {
            let mut nal = first.clone();
            nal.extend((0..5_000u32).map(|i| i as u8));
            let nals = [Bytes::from_static(&[0x67, 1]), Bytes::from(nal.clone())];
            let mut rtp = Packetizer { ssrc: 7, seq: 0xFFFF };
            let packets = rtp.picture(codec, &nals, 90);
            let markers: Vec<bool> = packets.iter().map(|p| p[1] & 0x80 != 0).collect();
            assert_eq!(markers, [false, false, false, false, true]);
            let mut joined = first.clone();
            for packet in &packets[1..] {
                joined.extend_from_slice(&packet[12 + first.len() + 1..]);
            }
            assert_eq!(joined, nal);
            assert_eq!(packets[1][2..4], [0, 0]);
        }
    }
}
