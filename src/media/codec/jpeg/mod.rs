//! JPEG: a picture taken apart into its headers and its scan (ITU-T T.81 annex B).

mod tables;

use memchr::memmem;
use smallvec::SmallVec;

pub use tables::{STANDARD_HUFFMAN, scaled_tables};

const SOF0: u8 = 0xc0;
const DHT: u8 = 0xc4;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DQT: u8 = 0xdb;
const DRI: u8 = 0xdd;
const APP0: u8 = 0xe0;

/// Coefficients of a block, and so bytes of a quantization table of 8 bits.
pub const BLOCK: usize = 64;

/// Width and height from the frame header; `None` where there is none before the scan.
pub fn size(data: &[u8]) -> Option<(u32, u32)> {
    let (frame, _) = segments(data).find_map(|s| FrameHeader::parse(&s))?;
    Some((frame.width, frame.height))
}

/// A marker segment in front of the scan.
#[derive(Clone, Copy, Debug)]
struct Segment<'a> {
    marker: u8,
    /// Without its length.
    body: &'a [u8],
    /// With marker and length.
    whole: &'a [u8],
    /// What follows it.
    rest: &'a [u8],
}

/// Segments up to the header of the first scan; markers that have none are passed over.
fn segments(data: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    const SOI: [u8; 2] = [0xff, 0xd8];
    let mut rest = data.strip_prefix(&SOI);
    std::iter::from_fn(move || {
        let mut at = rest.take()?;
        loop {
            let fill = at.iter().take_while(|b| **b == 0xff).count();
            let marker = *at.get(fill).filter(|_| fill > 0)?;
            let whole = &at[fill - 1..];
            if matches!(marker, 0x01 | 0xd0..=0xd8) {
                at = &at[fill + 1..];
                continue;
            }
            if marker == EOI {
                return None;
            }
            let length = usize::from(u16::from_be_bytes([*whole.get(2)?, *whole.get(3)?]));
            let body = whole.get(4..2 + length)?;
            let (whole, after) = whole.split_at(2 + length);
            rest = (marker != SOS).then_some(after);
            return Some(Segment { marker, body, whole, rest: after });
        }
    })
}

/// A component of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Component {
    id: u8,
    /// Horizontal factor in the high half, vertical in the low one.
    pub sampling: u8,
    /// Which quantization table.
    pub table: u8,
}

/// A start-of-frame segment.
struct FrameHeader {
    width: u32,
    height: u32,
    components: SmallVec<[Component; 4]>,
}

impl FrameHeader {
    /// The frame and whether it is baseline with 8 bits.
    fn parse(segment: &Segment<'_>) -> Option<(Self, bool)> {
        // SOF0 to SOF15, without DHT (C4), JPG (C8) and DAC (CC).
        if !matches!(segment.marker, SOF0..=0xcf) || matches!(segment.marker, DHT | 0xc8 | 0xcc) {
            return None;
        }
        let &[precision, h0, h1, w0, w1, count] = segment.body.first_chunk::<6>()?;
        let components = segment.body.get(6..6 + 3 * usize::from(count))?;
        let components = components
            .chunks_exact(3)
            .map(|c| Component { id: c[0], sampling: c[1], table: c[2] })
            .collect();
        let frame = Self {
            width: u16::from_be_bytes([w0, w1]).into(),
            height: u16::from_be_bytes([h0, h1]).into(),
            components,
        };
        Some((frame, segment.marker == SOF0 && precision == 8))
    }
}

/// A picture taken apart.
#[derive(Clone, Debug)]
pub struct Picture<'a> {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Of the frame, in its order.
    pub components: SmallVec<[Component; 4]>,
    /// Baseline, 8 bits, one scan of all components with the tables of [`STANDARD_HUFFMAN`] in
    /// their usual places: everything that a receiver of RFC 2435 takes for granted.
    pub plain: bool,
    /// The file says that its pixels are not square.
    pub stretched: bool,
    /// Quantization tables in zigzag order, 64 bytes each, or 128 where they have 16 bits.
    pub quantization: [Option<&'a [u8]>; 4],
    /// Units between restart markers; 0 for none.
    pub restart_interval: u16,
    /// What a decoder needs, each segment with its marker, up to the one of the scan and without
    /// it. Comments and applications' data are left out.
    pub headers: Vec<&'a [u8]>,
    /// The segment that starts the scan, with its marker.
    pub scan_header: &'a [u8],
    /// From there to the end of the image.
    pub scan: &'a [u8],
}

impl<'a> Picture<'a> {
    /// Takes a picture apart; `None` where it has no frame or no scan. Of several images behind
    /// each other it is the first.
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let mut frame = None;
        let mut huffman_plain = true;
        let mut stretched = false;
        let mut quantization = [None; 4];
        let mut restart_interval = 0;
        let mut headers = Vec::new();
        for segment in segments(data) {
            match segment.marker {
                SOS => {
                    let (frame, baseline): (FrameHeader, bool) = frame?;
                    let end = memmem::find(segment.rest, &[0xff, EOI]);
                    let scan = &segment.rest[..end.unwrap_or(segment.rest.len())];
                    let plain = baseline && huffman_plain && is_plain_scan(&frame, segment.body);
                    return (!scan.is_empty()).then_some(Self {
                        width: frame.width,
                        height: frame.height,
                        components: frame.components,
                        plain,
                        stretched,
                        quantization,
                        restart_interval,
                        headers,
                        scan_header: segment.whole,
                        scan,
                    });
                }
                DQT => take_tables(segment.body, &mut quantization)?,
                DHT => huffman_plain &= is_standard_huffman(segment.body),
                DRI => restart_interval = u16::from_be_bytes(segment.body.try_into().ok()?),
                APP0 => stretched = is_stretched(segment.body),
                0xe1..=0xef | 0xfe => continue,
                _ => frame = frame.or(FrameHeader::parse(&segment)),
            }
            if segment.marker != APP0 || stretched {
                headers.push(segment.whole);
            }
        }
        None
    }
}

/// Tables of a DQT segment (B.2.4.1).
fn take_tables<'a>(mut body: &'a [u8], tables: &mut [Option<&'a [u8]>; 4]) -> Option<()> {
    while let Some((head, rest)) = body.split_first() {
        let bytes = if head >> 4 == 0 { BLOCK } else { 2 * BLOCK };
        let (table, rest) = rest.split_at_checked(bytes)?;
        *tables.get_mut(usize::from(head & 0x0f))? = Some(table);
        body = rest;
    }
    Some(())
}

fn is_standard_huffman(mut body: &[u8]) -> bool {
    while !body.is_empty() {
        let Some(table) = STANDARD_HUFFMAN.iter().find(|t| body.starts_with(t)) else {
            return false;
        };
        body = &body[table.len()..];
    }
    true
}

/// All components of the frame in their order, the first with the tables 0, the others with the
/// tables 1, all coefficients at once.
fn is_plain_scan(frame: &FrameHeader, body: &[u8]) -> bool {
    let expected = frame.components.iter().enumerate();
    let expected = expected.flat_map(|(i, c)| [c.id, if i == 0 { 0x00 } else { 0x11 }]);
    let mut all = vec![frame.components.len() as u8];
    all.extend(expected);
    all.extend([0, 63, 0]);
    all == body
}

/// JFIF: version, units, density in both directions.
fn is_stretched(body: &[u8]) -> bool {
    body.strip_prefix(b"JFIF\0").and_then(|b| b.get(3..7)).is_some_and(|d| d[..2] != d[2..])
}

/// Headers of the pictures that RFC 2435 can send, with start of image and start of scan.
/// `sampling` is that of the first component; the restart interval is 0 for none.
pub fn write_headers(
    (width, height): (u16, u16),
    sampling: u8,
    tables: [&[u8]; 2],
    restart_interval: u16,
    out: &mut Vec<u8>,
) {
    let mut segment = |marker: u8, parts: &[&[u8]]| {
        out.extend_from_slice(&[0xff, marker]);
        let length = 2 + parts.iter().map(|p| p.len()).sum::<usize>();
        out.extend_from_slice(&(length as u16).to_be_bytes());
        parts.iter().for_each(|p| out.extend_from_slice(p));
    };
    for (id, table) in (0u8..).zip(tables) {
        let precision = if table.len() > BLOCK { 0x10 } else { 0 };
        segment(DQT, &[&[precision | id], table]);
    }
    let (w, h) = (width.to_be_bytes(), height.to_be_bytes());
    let components = [1, sampling, 0, 2, 0x11, 1, 3, 0x11, 1];
    segment(SOF0, &[&[8, h[0], h[1], w[0], w[1], 3], &components]);
    for table in STANDARD_HUFFMAN {
        segment(DHT, &[table]);
    }
    if restart_interval > 0 {
        segment(DRI, &[&restart_interval.to_be_bytes()]);
    }
    segment(SOS, &[&[3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = &[
        0xff, 0xd8, 0xff, 0xe0, 0, 4, b'x', b'y', 0xff, 0xff, 0xdb, 0, 2, 0xff, 0xc0, 0, 11, 8,
        0x02, 0x40, 0x02, 0xd0, 1, 1, 0x11, 0,
    ];

    #[test]
    fn size_after_other_segments() {
        assert_eq!(size(HEAD), Some((720, 576)));
    }

    #[test]
    fn every_truncation_is_refused() {
        for end in 0..HEAD.len() {
            assert_eq!(size(&HEAD[..end]), None, "{end}");
        }
        assert_eq!(size(&[0xff, 0xd8, 0xff, 0xda, 0, 2]), None);
    }

    fn written() -> Vec<u8> {
        let (luma, chroma) = scaled_tables(50);
        let mut out = vec![0xff, 0xd8];
        write_headers((640, 480), 0x22, [&luma, &chroma], 7, &mut out);
        out.extend_from_slice(&[1, 2, 0xff, 0, 3, 0xff, 0xd9, 0, 0]);
        out
    }

    #[test]
    fn what_is_written_is_plain_when_read() {
        let written = written();
        let p = Picture::parse(&written).unwrap();
        assert_eq!((p.width, p.height, p.restart_interval), (640, 480, 7));
        assert!(p.plain && !p.stretched);
        let (luma, chroma) = scaled_tables(50);
        assert_eq!(p.quantization, [Some(&luma[..]), Some(&chroma[..]), None, None]);
        assert_eq!(p.components.iter().map(|c| c.sampling).collect::<Vec<_>>(), [0x22, 0x11, 0x11]);
        assert_eq!(p.scan, [1, 2, 0xff, 0, 3]);
        assert_eq!((p.headers.len(), p.scan_header.len()), (8, 14));
        let whole = p.headers.concat().len() + p.scan_header.len() + p.scan.len();
        assert_eq!(2 + whole + 4, written.len(), "end of image and two bytes behind it");
    }

    #[test]
    fn every_prefix_is_survived() {
        let written = written();
        let scan = written.len() - 9;
        for end in 0..written.len() {
            assert_eq!(Picture::parse(&written[..end]).is_some(), end > scan, "{end}");
        }
    }

    #[test]
    fn what_differs_is_not_plain() {
        let written = written();
        let find = |needle: &[u8]| memmem::find(&written, needle).unwrap();
        for at in [
            find(&[0xff, SOF0]) + 1,
            find(STANDARD_HUFFMAN[2]) + 9,
            find(&[3, 1, 0x00, 2, 0x11]) + 2,
        ] {
            let mut other = written.clone();
            other[at] = other[at].wrapping_add(1);
            assert!(!Picture::parse(&other).unwrap().plain, "{at}");
        }
        let jfif =
            |x: u8| [0xff, 0xe0, 0, 16, b'J', b'F', b'I', b'F', 0, 1, 1, 0, 0, x, 0, 3, 0, 0];
        for (x, stretched) in [(3, false), (4, true)] {
            let with = [&written[..2], &jfif(x)[..], &written[2..]].concat();
            assert_eq!(Picture::parse(&with).unwrap().stretched, stretched);
        }
    }
}
