//! The sidecar of a media file: what its bytes are. Pure: bytes in, values out.
//!
//! A sidecar is a row of records, each `magic, length, CRC-32, body` (integers little-endian), so
//! that a torn or damaged record is noticed and the next one found again. Bodies begin with a tag;
//! numbers in them are LEB128, signed ones zigzag. The first record names the track. A params or
//! transfer record stands before the first GOP that refers to it; a later transfer record of the
//! same number replaces the earlier one.

use bytes::Bytes;
use dvrgate_model::{
    ByteOrigin, Civil, ClockEpochId, Codec, CodecParams, Convention, FrameKind, Stamp, TrackToken,
    Utc,
};

use super::leb128::{Reader, put, put_bytes, put_signed};
use crate::Reading;

/// Starts every record; the last byte is the version.
pub const MAGIC: [u8; 4] = *b"GOP\x01";
/// Magic, length and CRC.
pub const HEAD_BYTES: usize = 12;
/// No record is longer: 65 536 frames of at most some 40 bytes.
pub const MAX_RECORD_BYTES: usize = 4 << 20;
/// No GOP has more units.
pub const MAX_FRAMES: usize = 65_536;
const MAX_PARAMETER_SETS: usize = 64;

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The media file belongs to this track.
    Track(TrackToken),
    /// Parameters that frames refer to by number.
    Params(u64, CodecParams),
    /// A transfer that GOPs refer to by number.
    Transfer(u64, ByteOrigin),
    /// A GOP.
    Gop(GopRecord),
}

/// Where a GOP lies in the media file.
#[derive(Clone, Debug, PartialEq)]
pub struct GopRecord {
    /// First unit.
    pub start: Utc,
    /// First instant after it.
    pub end: Utc,
    /// The recorder's reading at the first unit; `start` is what it meant when it was stored.
    pub source: Option<Reading>,
    /// First byte in the media file.
    pub media_offset: u64,
    /// CRC-32 of its bytes.
    pub media_crc: u32,
    /// The transfer it came with.
    pub transfer: u64,
    /// Ticks per second of its frames' media time.
    pub rate_hz: u32,
    /// Its units, one after the other.
    pub frames: Vec<FrameRecord>,
}

/// One unit of a GOP.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameRecord {
    /// Length in bytes; the unit follows the one before.
    pub len: u32,
    /// Captured at.
    pub at: Stamp,
    /// Media time.
    pub ticks: i64,
    /// What it is to a decoder.
    pub kind: FrameKind,
    /// Number of its parameters.
    pub params: u64,
}

impl GopRecord {
    /// Length of the GOP in the media file.
    pub fn media_len(&self) -> u64 {
        self.frames.iter().map(|f| u64::from(f.len)).sum()
    }
}

/// The record as bytes, with its head.
pub fn encode(record: &Record) -> Vec<u8> {
    let mut out = vec![0; HEAD_BYTES];
    match record {
        Record::Track(token) => {
            out.push(1);
            put_bytes(&mut out, token.as_str().as_bytes());
        }
        Record::Params(id, params) => {
            out.push(2);
            put(&mut out, *id);
            encode_params(&mut out, params);
        }
        Record::Transfer(id, origin) => {
            out.push(3);
            put(&mut out, *id);
            put_bytes(&mut out, origin.what.as_bytes());
            put(&mut out, origin.bytes);
            put_bytes(&mut out, origin.sha256.as_ref().map_or(&[], |s| s.as_slice()));
        }
        Record::Gop(gop) => {
            out.push(4);
            encode_gop(&mut out, gop);
        }
    }
    let len = (out.len() - HEAD_BYTES) as u32;
    let crc = crc32fast::hash(&out[HEAD_BYTES..]);
    out[..4].copy_from_slice(&MAGIC);
    out[4..8].copy_from_slice(&len.to_le_bytes());
    out[8..12].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Parameters as bytes: what their number is computed from.
pub fn params_bytes(params: &CodecParams) -> Vec<u8> {
    let mut out = Vec::new();
    encode_params(&mut out, params);
    out
}

/// The record at the start of `bytes` and its length with the head; `None` unless it is whole and
/// sound.
pub fn decode(bytes: &[u8]) -> Option<(Record, usize)> {
    let head: &[u8; HEAD_BYTES] = bytes.first_chunk()?;
    let word = |i: usize| u32::from_le_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
    let len = word(4) as usize;
    if head[..4] != MAGIC || len > MAX_RECORD_BYTES {
        return None;
    }
    let body = bytes.get(HEAD_BYTES..HEAD_BYTES + len)?;
    if crc32fast::hash(body) != word(8) {
        return None;
    }
    Some((decode_body(body)?, HEAD_BYTES + len))
}

fn decode_body(body: &[u8]) -> Option<Record> {
    let (&tag, rest) = body.split_first()?;
    let mut r = Reader(rest);
    let record = match tag {
        1 => Record::Track(TrackToken::new(r.text()?)),
        2 => Record::Params(r.number()?, decode_params(&mut r)?),
        3 => {
            let (id, what, bytes) = (r.number()?, r.text()?.to_owned(), r.number()?);
            let sha256 = match r.bytes()? {
                [] => None,
                sum => Some(sum.try_into().ok()?),
            };
            Record::Transfer(id, ByteOrigin { what, sha256, bytes })
        }
        4 => Record::Gop(decode_gop(&mut r)?),
        _ => return None,
    };
    r.0.is_empty().then_some(record)
}

fn encode_gop(out: &mut Vec<u8>, gop: &GopRecord) {
    put_signed(out, gop.start.micros());
    put_signed(out, gop.end.since_us(gop.start));
    // Readings are at least of year 1, so MIN says that there is none.
    put_signed(
        out,
        gop.source.map_or(i64::MIN, |r| {
            r.civil.micros_as_if_utc() << 1 | i64::from(r.convention == Convention::WallClock)
        }),
    );
    put(out, gop.media_offset);
    put(out, u64::from(gop.media_crc));
    put(out, gop.transfer);
    put(out, u64::from(gop.rate_hz));
    put(out, gop.frames.len() as u64);
    let mut before = FrameRecord {
        len: 0,
        at: Stamp { utc: gop.start, ..Stamp::default() },
        ticks: 0,
        kind: FrameKind::Key,
        params: 0,
    };
    for f in &gop.frames {
        put(out, u64::from(f.len));
        put_signed(out, f.at.utc.since_us(before.at.utc));
        put_signed(out, f.ticks.wrapping_sub(before.ticks));
        // Most frames differ from the one before in nothing else.
        let same = f.at.uncertainty_us == before.at.uncertainty_us
            && f.at.epoch == before.at.epoch
            && f.params == before.params;
        out.push(kind_code(f.kind) << 1 | u8::from(!same));
        if !same {
            put(out, f.at.uncertainty_us);
            put(out, u64::from(f.at.epoch.0));
            put(out, f.params);
        }
        before = f.clone();
    }
}

fn decode_gop(r: &mut Reader<'_>) -> Option<GopRecord> {
    let start = Utc::from_micros(r.signed()?);
    let end = start.plus_us(r.signed()?);
    let source = match r.signed()? {
        i64::MIN => None,
        n => Some(Reading {
            civil: Civil::from_micros_as_if_utc(n >> 1),
            convention: if n & 1 == 1 { Convention::WallClock } else { Convention::Listing },
        }),
    };
    let media_offset = r.number()?;
    let media_crc = r.number()?.try_into().ok()?;
    let transfer = r.number()?;
    let rate_hz = r.number()?.try_into().ok()?;
    let count = usize::try_from(r.number()?).ok().filter(|n| (1..=MAX_FRAMES).contains(n))?;
    let mut frames: Vec<FrameRecord> = Vec::with_capacity(count);
    let mut at = Stamp { utc: start, ..Stamp::default() };
    let (mut ticks, mut params) = (0i64, 0);
    for _ in 0..count {
        let len = r.number()?.try_into().ok()?;
        at.utc = at.utc.plus_us(r.signed()?);
        ticks = ticks.wrapping_add(r.signed()?);
        let code = r.byte()?;
        let kind = kind_of(code >> 1)?;
        if code & 1 == 1 {
            at.uncertainty_us = r.number()?;
            at.epoch = ClockEpochId(r.number()?.try_into().ok()?);
            params = r.number()?;
        }
        frames.push(FrameRecord { len, at, ticks, kind, params });
    }
    (start <= end).then_some(GopRecord {
        start,
        end,
        source,
        media_offset,
        media_crc,
        transfer,
        rate_hz,
        frames,
    })
}

fn encode_params(out: &mut Vec<u8>, p: &CodecParams) {
    put_bytes(out, p.codec.name().as_bytes());
    put(out, u64::from(p.width));
    put(out, u64::from(p.height));
    let (num, den) = p.frame_rate.unwrap_or((0, 0));
    put(out, u64::from(num));
    put(out, u64::from(den));
    put(out, u64::from(p.sample_rate_hz));
    put(out, u64::from(p.channels));
    put(out, p.parameter_sets.len() as u64);
    for set in &p.parameter_sets {
        put_bytes(out, set);
    }
    put_bytes(out, &p.config);
}

fn decode_params(r: &mut Reader<'_>) -> Option<CodecParams> {
    let mut p = CodecParams::new(Codec::from_name(r.text()?)?);
    p.width = r.number()?.try_into().ok()?;
    p.height = r.number()?.try_into().ok()?;
    let rate: (u32, u32) = (r.number()?.try_into().ok()?, r.number()?.try_into().ok()?);
    p.frame_rate = (rate != (0, 0)).then_some(rate);
    p.sample_rate_hz = r.number()?.try_into().ok()?;
    p.channels = r.number()?.try_into().ok()?;
    let sets = usize::try_from(r.number()?).ok().filter(|n| *n <= MAX_PARAMETER_SETS)?;
    for _ in 0..sets {
        p.parameter_sets.push(Bytes::copy_from_slice(r.bytes()?));
    }
    p.config = Bytes::copy_from_slice(r.bytes()?);
    Some(p)
}

fn kind_code(kind: FrameKind) -> u8 {
    match kind {
        FrameKind::Key => 0,
        FrameKind::Predicted => 1,
        FrameKind::Bidirectional => 2,
        FrameKind::Audio => 3,
        FrameKind::Metadata => 4,
    }
}

fn kind_of(code: u8) -> Option<FrameKind> {
    Some(match code {
        0 => FrameKind::Key,
        1 => FrameKind::Predicted,
        2 => FrameKind::Bidirectional,
        3 => FrameKind::Audio,
        4 => FrameKind::Metadata,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Record> {
        let mut params = CodecParams::new(Codec::H264);
        (params.width, params.height, params.frame_rate) = (704, 576, Some((25, 1)));
        params.parameter_sets.push(Bytes::from_static(&[0x67, 1, 2]));
        params.parameter_sets.push(Bytes::from_static(&[0x68, 3]));
        let at = |us: i64, uncertainty_us| Stamp {
            utc: Utc::from_micros(1_700_000_000_000_000 + us),
            uncertainty_us,
            epoch: ClockEpochId(3),
        };
        let frame = |us, u, ticks, kind| FrameRecord {
            len: 700,
            at: at(us, u),
            ticks,
            kind,
            params: u64::MAX,
        };
        vec![
            Record::Track("yard-3-video".into()),
            Record::Params(u64::MAX, params),
            Record::Params(7, CodecParams::new(Codec::G726 { kbit: 32 })),
            Record::Transfer(
                9,
                ByteOrigin { what: "ch1.mp4".into(), sha256: Some([7; 32]), bytes: 12 },
            ),
            Record::Transfer(9, ByteOrigin { what: String::new(), sha256: None, bytes: 0 }),
            Record::Gop(GopRecord {
                start: at(0, 0).utc,
                end: at(2_000_000, 0).utc,
                source: Some(Reading {
                    civil: Civil::new(2023, 11, 14, 23, 13, 20, 5).unwrap(),
                    convention: Convention::WallClock,
                }),
                media_offset: 1 << 33,
                media_crc: 0xdead_beef,
                transfer: 9,
                rate_hz: 90_000,
                frames: vec![
                    frame(0, 40, i64::MAX, FrameKind::Key),
                    frame(120_000, 40, i64::MIN, FrameKind::Predicted),
                    frame(40_000, 41, 0, FrameKind::Bidirectional),
                ],
            }),
        ]
    }

    #[test]
    fn records_survive_and_every_truncation_is_noticed() {
        for record in samples() {
            let bytes = encode(&record);
            assert_eq!(decode(&bytes), Some((record.clone(), bytes.len())));
            for cut in 0..bytes.len() {
                assert_eq!(decode(&bytes[..cut]), None, "{record:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for record in samples() {
            let bytes = encode(&record);
            for bit in 0..bytes.len() * 8 {
                let mut bad = bytes.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(decode(&bad), None, "{record:?} bit {bit}");
            }
        }
    }

    #[test]
    fn sound_checksums_over_nonsense_do_not_panic() {
        // Bodies are read without trust in the writer: every truncation and every changed byte of
        // a body, under a checksum that fits.
        for record in samples() {
            let body = encode(&record)[HEAD_BYTES..].to_vec();
            for i in 0..body.len() {
                assert_eq!(decode_body(&body[..i]), None, "{record:?} cut at {i}");
                for value in [0, 0x7f, 0x80, 0xff] {
                    let mut bad = body.clone();
                    bad[i] = value;
                    let _ = decode_body(&bad);
                }
            }
        }
    }
}
