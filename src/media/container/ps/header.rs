//! Packs, maps and stream ids of a program stream (ISO/IEC 13818-1 2.5.3, 2.5.4).

use super::policy::{Descriptor, ProgramMap, ProgramStream};

/// Last byte of the start codes (tables 2-22, 2-33).
pub(super) mod id {
    pub(crate) const END: u8 = 0xb9;
    pub(crate) const PACK: u8 = 0xba;
    pub(crate) const SYSTEM: u8 = 0xbb;
    pub(crate) const MAP: u8 = 0xbc;
    pub(crate) const PRIVATE_1: u8 = 0xbd;
    pub(crate) const PADDING: u8 = 0xbe;
    pub(crate) const PRIVATE_2: u8 = 0xbf;
    pub(crate) const FIRST_AUDIO: u8 = 0xc0;
    pub(crate) const FIRST_VIDEO: u8 = 0xe0;
    pub(crate) const LAST_VIDEO: u8 = 0xef;
}

/// Longest program stream map (2.5.4.2), length field included.
pub(super) const MAX_MAP_BYTES: usize = 1018 + 6;

/// What a pack header says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Pack {
    /// Base of the system clock reference: 33 bits at 90 kHz.
    pub(super) clock: u64,
    /// Bytes of the header, stuffing included.
    pub(super) bytes: usize,
}

/// The outcome of reading something that may still be incomplete.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scan<T> {
    Done(T),
    More,
    Bad,
}

impl Pack {
    const MPEG2_BYTES: usize = 14;
    const MPEG1_BYTES: usize = 12;

    /// Reads from the start code on.
    pub(super) fn scan(data: &[u8]) -> Scan<Self> {
        let Some(first) = data.get(4) else { return Scan::More };
        let mpeg1 = match first >> 4 {
            0b0100..=0b0111 => false,
            0b0010 => true,
            _ => return Scan::Bad,
        };
        if mpeg1 {
            let Some(clock) =
                data.get(4..Self::MPEG1_BYTES).and_then(crate::container::pes::time_stamp)
            else {
                return Scan::More;
            };
            return Scan::Done(Self { clock, bytes: Self::MPEG1_BYTES });
        }
        let Some(b) = data.get(4..Self::MPEG2_BYTES) else { return Scan::More };
        let clock = u64::from(b[0] >> 3 & 7) << 30
            | u64::from(b[0] & 3) << 28
            | u64::from(b[1]) << 20
            | u64::from(b[2] >> 3) << 15
            | u64::from(b[2] & 3) << 13
            | u64::from(b[3]) << 5
            | u64::from(b[4] >> 3);
        Scan::Done(Self { clock, bytes: Self::MPEG2_BYTES + usize::from(b[9] & 7) })
    }
}

/// Reads a map from after its length field. The second value says whether its checksum is right.
pub(super) fn parse_map(body: &[u8]) -> Option<(ProgramMap, bool)> {
    let (_, rest) = body.split_at_checked(2)?;
    let (info, rest) = take_counted(rest)?;
    let descriptors = parse_descriptors(info)?;
    let (mut streams_data, _) = take_counted(rest)?;
    let mut streams = Vec::new();
    while let [stream_type, stream_id, tail @ ..] = streams_data {
        let (info, tail) = take_counted(tail)?;
        streams.push(ProgramStream {
            stream_type: *stream_type,
            stream_id: *stream_id,
            descriptors: parse_descriptors(info)?,
        });
        streams_data = tail;
    }
    let mut whole = vec![0, 0, 1, id::MAP];
    whole.extend_from_slice(&u16::try_from(body.len()).ok()?.to_be_bytes());
    whole.extend_from_slice(body);
    Some((ProgramMap { descriptors, streams }, crate::container::crc32(&whole) == 0))
}

fn take_counted(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = data.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*count)))
}

/// Descriptors; a last one that is longer than the space it has is an error.
fn parse_descriptors(mut data: &[u8]) -> Option<Vec<Descriptor>> {
    let mut out = Vec::new();
    while let [tag, length, tail @ ..] = data {
        let (body, tail) = tail.split_at_checked(usize::from(*length))?;
        out.push(Descriptor { tag: *tag, data: body.to_vec() });
        data = tail;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs() {
        // Clock 0x1_2345_6789 in both generations.
        let base = 0x1_2345_6789u64;
        let mut mpeg2 = vec![0, 0, 1, 0xba];
        mpeg2.push(0x44 | (base >> 27 & 0x38) as u8 | (base >> 28 & 3) as u8);
        mpeg2.push((base >> 20) as u8);
        mpeg2.push((base >> 12 & 0xf8) as u8 | 4 | (base >> 13 & 3) as u8);
        mpeg2.push((base >> 5) as u8);
        mpeg2.push((base << 3) as u8 | 4);
        mpeg2.extend([1, 0, 0, 3, 0xfa]);
        assert_eq!(Pack::scan(&mpeg2), Scan::Done(Pack { clock: base, bytes: 16 }));
        for end in 0..mpeg2.len() {
            assert_eq!(Pack::scan(&mpeg2[..end]), Scan::More, "{end}");
        }
        let mut mpeg1 = vec![0, 0, 1, 0xba, 0x21 | (base >> 29 & 0xe) as u8];
        mpeg1.extend([
            (base >> 22) as u8,
            (base >> 14) as u8 | 1,
            (base >> 7) as u8,
            (base << 1) as u8 | 1,
        ]);
        mpeg1.extend([0x80, 0, 1]);
        assert_eq!(Pack::scan(&mpeg1), Scan::Done(Pack { clock: base, bytes: 12 }));
        assert_eq!(Pack::scan(&[0, 0, 1, 0xba, 0x91]), Scan::Bad);
    }

    #[test]
    fn maps_at_every_length() {
        let mut body =
            vec![0xf2, 0xff, 0, 4, 0x40, 2, 7, 8, 0, 9, 0x1b, 0xe0, 0, 0, 0x90, 0xc0, 0, 1, 0];
        // A descriptor cannot be one byte long: what is left over is ignored.
        let mut whole = vec![0, 0, 1, 0xbc, 0, body.len() as u8 + 4];
        whole.extend(&body);
        body.extend(crate::container::crc32(&whole).to_be_bytes());
        let (map, intact) = parse_map(&body).unwrap();
        assert!(intact);
        assert_eq!(map.descriptors, [Descriptor { tag: 0x40, data: vec![7, 8] }]);
        assert_eq!(map.streams[1].stream_type, 0x90);
        assert_eq!(map.streams.len(), 2);
        for end in 0..body.len() - 4 {
            assert_eq!(parse_map(&body[..end]), None, "{end}");
        }
        body[5] ^= 1;
        assert!(parse_map(&body).is_none_or(|(_, intact)| !intact));
    }
}
