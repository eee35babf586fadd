//! The least of a multiplexer, for tests of the demultiplexers.

use super::{Demuxed, Demuxer, Unit};

pub(crate) const SPS: &[u8] = crate::codec::h264::tests::SPS_1080;
pub(crate) const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

/// An H.264 slice that begins a picture: IDR, P or B, with `size` bytes of `fill`.
pub(crate) fn slice(kind: char, size: usize, fill: u8) -> Vec<u8> {
    let head = match kind {
        'I' => [0x65, 0b1000_1000],
        'P' => [0x41, 0b1001_1010],
        _ => [0x01, 0b1001_1110],
    };
    let mut nal = head.to_vec();
    nal.push(0b1000_0000);
    nal.extend(std::iter::repeat_n(fill.max(4), size));
    nal
}

pub(crate) fn annexb(nals: &[&[u8]]) -> Vec<u8> {
    nals.iter()
        .flat_map(|n| [0, 0, 0, 1].iter().chain(n.iter()).copied().collect::<Vec<_>>())
        .collect()
}

fn stamp(prefix: u8, t: u64) -> [u8; 5] {
    [
        prefix << 4 | (t >> 29 & 0xe) as u8 | 1,
        (t >> 22) as u8,
        (t >> 14) as u8 | 1,
        (t >> 7) as u8,
        (t << 1) as u8 | 1,
    ]
}

pub(crate) fn pes(id: u8, pts: Option<u64>, data: &[u8]) -> Vec<u8> {
    let mut out = pes_unbounded(id, pts, data);
    let length = (out.len() - 6) as u16;
    out[4..6].copy_from_slice(&length.to_be_bytes());
    out
}

pub(crate) fn pes_unbounded(id: u8, pts: Option<u64>, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0, 1, id, 0, 0, 0x8c];
    match pts {
        Some(t) => {
            out.extend([0x80, 7]);
            out.extend(stamp(2, t));
            out.extend([0xff, 0xfc]);
        }
        None => out.extend([0x00, 2, 0xff, 0xfc]),
    }
    out.extend_from_slice(data);
    out
}

pub(crate) fn pack(base: u64) -> Vec<u8> {
    let mut out = vec![0, 0, 1, 0xba];
    out.push(0x44 | (base >> 27 & 0x38) as u8 | (base >> 28 & 3) as u8);
    out.push((base >> 20) as u8);
    out.push((base >> 12 & 0xf8) as u8 | 4 | (base >> 13 & 3) as u8);
    out.push((base >> 5) as u8);
    out.push((base << 3) as u8 | 4);
    out.extend([1, 0, 0, 3, 0xfe, 0xff, 0xff, 0, 0, 0, 1]);
    out
}

pub(crate) fn system() -> Vec<u8> {
    let mut out = vec![0, 0, 1, 0xbb, 0, 12];
    out.extend([0x83, 0xa2, 0x3f, 4, 0xe1, 0x7f, 0xe0, 0xe0, 0x80, 0xc0, 0xc0, 8]);
    out
}

/// A map with one private descriptor and these streams.
pub(crate) fn map(descriptor: &[u8], streams: &[(u8, u8)]) -> Vec<u8> {
    let mut body = vec![0xf2, 0xff];
    body.extend((descriptor.len() as u16 + 2).to_be_bytes());
    body.extend([0x40, descriptor.len() as u8]);
    body.extend(descriptor);
    body.extend((streams.len() as u16 * 4).to_be_bytes());
    for (kind, id) in streams {
        body.extend([*kind, *id, 0, 0]);
    }
    let mut out = vec![0, 0, 1, 0xbc];
    out.extend((body.len() as u16 + 4).to_be_bytes());
    out.extend(body);
    out.extend(super::crc32(&out).to_be_bytes());
    out
}

/// Pushes the pieces and gives everything that comes out.
pub(crate) fn demux(
    demuxer: &mut dyn Demuxer,
    pieces: &[&[u8]],
) -> dvrgate_model::Result<Vec<Demuxed>> {
    let mut out = Vec::new();
    for piece in pieces {
        let pushed = demuxer.push(piece);
        out.extend(std::iter::from_fn(|| demuxer.pull()));
        pushed?;
    }
    let finished = demuxer.finish();
    out.extend(std::iter::from_fn(|| demuxer.pull()));
    finished.map(|()| out)
}

pub(crate) fn units(items: &[Demuxed]) -> Vec<&Unit> {
    items.iter().filter_map(|d| if let Demuxed::Unit(u) = d { Some(u) } else { None }).collect()
}

/// Everything in a form that compares; of a unit's bytes, their hash.
pub(crate) fn trace(items: &[Demuxed]) -> Vec<String> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let item = |d: &Demuxed| match d {
        Demuxed::Unit(u) => {
            let mut hasher = DefaultHasher::new();
            u.data.hash(&mut hasher);
            format!("{:?} {:?} {:?} {:x}", u.kind, u.media, u.frame, hasher.finish())
        }
        other => format!("{other:?}"),
    };
    items.iter().map(item).collect()
}

/// Numbers that are the same in every run (xorshift).
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}
