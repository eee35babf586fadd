//! Formats without a payload header: samples of sound (RFC 3551 4.5), metadata documents (ONVIF
//! Streaming 5.1.2.1), MPEG-4 Part 2 (RFC 6416).

use bytes::Bytes;

use super::Emit;

/// Cuts samples; each packet has the timestamp of its own first sample. `bits_a_tick` is the size
/// of what one tick of the clock stands for, all channels together.
pub(super) fn samples(data: &Bytes, bits_a_tick: u32, emit: &mut Emit<'_>) {
    let bits_a_tick = bits_a_tick.max(1);
    // Whole samples: a multiple of the bytes in which they come out even.
    let grain = if bits_a_tick < 8 { SUB_BYTE_GRAIN } else { bits_a_tick as usize / 8 };
    let mut rest = data.clone();
    let start = emit.timestamp;
    let mut sent = 0u32;
    while !rest.is_empty() {
        let part = rest.split_to(rest.len().min(emit.room() / grain * grain));
        emit.timestamp = start.wrapping_add(sent * 8 / bits_a_tick);
        sent += part.len() as u32;
        emit.packet(false, &[], part);
    }
}

/// Samples of 2, 3, 4 and 5 bits all come out even here.
const SUB_BYTE_GRAIN: usize = 15;

/// MPEG-4 Part 2: the configuration, where it must be told, goes ahead in a packet of its own. The
/// headers of a picture stand at its front and so in one packet (RFC 6416 5.2).
pub(super) fn mpeg4(config: &[Bytes], data: &Bytes, emit: &mut Emit<'_>) {
    let room = emit.room();
    for config in config.iter().filter(|c| c.len() <= room) {
        emit.packet(false, &[], config.clone());
    }
    document(data, emit);
}

/// Cuts a document; the marker is on the last packet (R8.T-11).
pub(super) fn document(data: &Bytes, emit: &mut Emit<'_>) {
    let mut rest = data.clone();
    while !rest.is_empty() {
        let part = rest.split_to(rest.len().min(emit.room()));
        emit.packet(rest.is_empty(), &[], part);
    }
}

#[cfg(test)]
mod tests {
    use dvrgate_model::{Codec, CodecParams};

    use super::super::testing::packets_of;
    use super::super::{AccessUnit, Packetizer};
    use super::*;

    fn list(codec: Codec, len: usize) -> Vec<(u32, bool, usize)> {
        let params = CodecParams::new(codec);
        let data = Bytes::from(vec![7; len]);
        let unit = AccessUnit {
            timestamp: 100,
            extension: None,
            clean: true,
            params: &params,
            data: &data,
        };
        let list = packets_of(&mut Packetizer::new(codec, 0, 1, 0), &[unit]);
        list.iter().map(|(p, _)| (p.header.timestamp, p.header.marker, p.payload.len())).collect()
    }

    #[test]
    fn every_packet_of_samples_has_its_own_time() {
        assert_eq!(list(Codec::Pcma, 160), [(100, false, 160)]);
        assert_eq!(list(Codec::Pcma, 2000), [(100, false, 1388), (1488, false, 612)]);
        assert_eq!(list(Codec::G726 { kbit: 32 }, 1400), [(100, false, 1380), (2860, false, 20)]);
        assert!(list(Codec::Pcma, 0).is_empty());
    }

    /// R8.T-11
    #[test]
    fn the_last_packet_of_a_document_is_marked() {
        assert_eq!(list(Codec::Metadata, 1400), [(100, false, 1388), (100, true, 12)]);
    }

    #[test]
    fn a_changed_configuration_goes_ahead() {
        let config = [0, 0, 1, 0xb0, 1, 0, 0, 1, 0x20, 9];
        let mut params = CodecParams::new(Codec::Mpeg4);
        params.config = Bytes::copy_from_slice(&config);
        let picture = Bytes::from_static(&[0, 0, 1, 0xb6, 0x10, 5]);
        let whole = Bytes::from([&config[..], &picture].concat());
        let unit =
            |data| AccessUnit { timestamp: 0, extension: None, clean: true, params: &params, data };
        let mut p = Packetizer::new(Codec::Mpeg4, 96, 1, 0);
        let shape = |p: &mut Packetizer, data| -> Vec<_> {
            let list = packets_of(p, &[unit(data)]);
            list.iter().map(|(p, _)| (p.header.marker, p.payload.len())).collect()
        };
        assert_eq!(shape(&mut p, &picture), [(false, 10), (true, 6)]);
        assert_eq!(shape(&mut p, &picture), [(true, 6)]);
        p.restart();
        assert_eq!(shape(&mut p, &whole), [(true, 16)], "it is there already");
    }

    #[test]
    fn an_aac_unit_has_its_size_in_front() {
        assert_eq!(list(Codec::Aac, 300), [(100, true, 304)]);
        assert_eq!(list(Codec::Aac, 0x2000), []);
    }
}
