//! H.264 (RFC 6184, packetization mode 1) and H.265 (RFC 7798): single NAL units and fragments.

use bytes::Bytes;
use dvrgate_media::codec::{annexb, h264, h265};
use dvrgate_model::Codec;

use super::Emit;

const FU_A: u8 = 28;
const FU_H265: u8 = 49;
const START: u8 = 0x80;
const END: u8 = 0x40;

/// Whether a unit has a sequence parameter set of its own.
pub(super) fn brings_sets(codec: Codec, data: &[u8]) -> bool {
    annexb::lengths(data).any(|nal| match codec {
        Codec::H265 => h265::nal_type(nal) == h265::nal::SPS,
        _ => h264::nal_type(nal) == h264::nal::SPS,
    })
}

pub(super) fn h264(sets: &[Bytes], data: &Bytes, emit: &mut Emit<'_>) {
    each_nal(sets, data, |nal, last| {
        let Some(&first) = nal.first() else { return };
        let header = |flags: u8| [(first & 0xe0) | FU_A, flags | (first & 0x1f)];
        send(&nal, last, 1, header, emit);
    });
}

pub(super) fn h265(sets: &[Bytes], data: &Bytes, emit: &mut Emit<'_>) {
    each_nal(sets, data, |nal, last| {
        let Some(&[first, second]) = nal.first_chunk::<2>() else { return };
        let kind = first >> 1 & 0x3f;
        let header = |flags: u8| [(first & 0x81) | FU_H265 << 1, second, flags | kind];
        send(&nal, last, 2, header, emit);
    });
}

/// Calls for each NAL unit; the flag says that it is the last of the access unit.
fn each_nal(sets: &[Bytes], data: &Bytes, mut f: impl FnMut(Bytes, bool)) {
    for set in sets {
        f(set.clone(), false);
    }
    let mut nals = annexb::lengths(data).filter(|n| n.len() > 1).peekable();
    while let Some(nal) = nals.next() {
        let last = nals.peek().is_none();
        f(data.slice_ref(nal), last);
    }
}

fn send<const N: usize>(
    nal: &Bytes,
    last: bool,
    nal_header: usize,
    header: impl Fn(u8) -> [u8; N],
    emit: &mut Emit<'_>,
) {
    if nal.len() <= emit.room() {
        emit.packet(last, &[], nal.clone());
        return;
    }
    let mut rest = nal.slice(nal_header..);
    let mut flags = START;
    while !rest.is_empty() {
        let part = rest.split_to(rest.len().min(emit.room() - N));
        if rest.is_empty() {
            flags |= END;
        }
        emit.packet(last && rest.is_empty(), &header(flags), part);
        flags = 0;
    }
}

#[cfg(test)]
mod tests {
    use dvrgate_model::CodecParams;

    use super::super::testing::packets_of;
    use super::super::{AccessUnit, MAX_PACKET_BYTES, Packetizer};
    use super::*;
    use crate::rtp::ReplayExtension;

    fn extension() -> ReplayExtension {
        ReplayExtension {
            at: dvrgate_model::Utc::from_secs(1_000),
            clean: true,
            end_of_section: false,
            discontinuity: false,
            terminal: false,
            cseq: 7,
        }
    }

    /// R8.3-1, R8.T-10, R8.T-12
    #[test]
    fn sets_then_fragments_of_one_size_and_one_extension() {
        for (codec, sps, idr, fu) in [
            (Codec::H264, &[0x67, 1, 2][..], &[0x65][..], 2),
            (Codec::H265, &[0x42, 1, 2][..], &[0x26, 1][..], 3),
        ] {
            let mut params = CodecParams::new(codec);
            params.parameter_sets.push(Bytes::copy_from_slice(sps));
            let picture = [idr, &vec![0xaa; 4000][..]].concat();
            let data = annexb::join([&picture[..]]);
            let unit = AccessUnit {
                timestamp: 9000,
                extension: Some(extension()),
                clean: true,
                params: &params,
                data: &data,
            };
            let mut p = Packetizer::new(codec, 96, 1, 65_534);
            let list = packets_of(&mut p, &[unit.clone(), unit]);
            let shape: Vec<_> = list
                .iter()
                .map(|(p, b)| (p.header.sequence, p.header.marker, p.extension.is_some(), b.len()))
                .collect();
            let full = MAX_PACKET_BYTES;
            let room = full - 12 - fu;
            let tail = 4000 - 2 * room + 12 + fu;
            assert_eq!(
                shape,
                [
                    (65_534, false, true, 28 + 3),
                    (65_535, false, false, full),
                    (0, false, false, full),
                    (1, true, false, tail),
                    // The sets are known now, so the second unit has none.
                    (2, false, true, full),
                    (3, false, false, full),
                    (4, true, false, 4000 - (room - 16) - room + 12 + fu),
                ],
                "{codec:?}"
            );
            assert!(list.iter().all(|(p, _)| p.header.timestamp == 9000));
            p.restart();
            assert_eq!(p.next_sequence(), 5);
        }
    }

    #[test]
    fn sets_in_the_unit_are_not_doubled() {
        let mut params = CodecParams::new(Codec::H264);
        params.parameter_sets.push(Bytes::from_static(&[0x67, 1]));
        let data = annexb::join([&[0x67, 1][..], &[0x65, 2][..]]);
        let unit =
            AccessUnit { timestamp: 0, extension: None, clean: true, params: &params, data: &data };
        let list = packets_of(&mut Packetizer::new(Codec::H264, 96, 1, 0), &[unit]);
        let first_bytes: Vec<u8> = list.iter().map(|(p, b)| b[p.payload.start]).collect();
        assert_eq!(first_bytes, [0x67, 0x65]);
        assert!(list[1].0.header.marker && !list[0].0.header.marker);
    }
}
