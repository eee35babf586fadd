//! JPEG as RFC 2435, with ONVIF's header extension for what that cannot say (Streaming 5.1.4).
//!
//! A picture of the plain kind needs no extension: quantization tables travel in band (Q 255).
//! Another one (larger than 2040, not a multiple of 8, grey, with its own Huffman tables, with
//! pixels that are not square) brings all its headers in the extension; receivers that do not know
//! the extension still see the nearest thing that RFC 2435 has.

use bytes::Bytes;
use dvrgate_media::codec::jpeg::{BLOCK, Picture};

use super::Emit;
use crate::rtp::extension::{JPEG_LATER, JPEG_START};

/// Bytes of the main JPEG header and of the restart header.
const MAIN: usize = 8;
const RESTART: usize = 4;
/// Largest width and height that a byte can say in units of 8.
const MAX_SIDE: u32 = 8 * 255;
/// Tables are in band, and may be others in every picture.
const Q_DYNAMIC: u8 = 255;
/// The tables are in the extension.
const Q_EXTENSION: u8 = 0;
/// Type of a picture with restart markers, above the type without.
const WITH_RESTARTS: u8 = 64;
/// The whole picture is needed to decode it: first and last flag, highest count (3.1.7).
const WHOLE: u16 = 0xffff;
/// Offsets have 24 bits; longer pictures cannot be sent.
const MAX_SCAN: usize = 0xff_ffff;

/// What all packets of a picture repeat, but for the offset.
struct Head {
    kind: u8,
    quality: u8,
    sides: [u8; 2],
    restart_interval: u16,
}

impl Head {
    fn write(&self, offset: usize, tables: &[&[u8]], out: &mut Vec<u8>) {
        let [_, a, b, c] = (offset as u32).to_be_bytes();
        out.extend_from_slice(&[0, a, b, c, self.kind, self.quality]);
        out.extend_from_slice(&self.sides);
        if self.kind >= WITH_RESTARTS {
            out.extend_from_slice(&self.restart_interval.to_be_bytes());
            out.extend_from_slice(&WHOLE.to_be_bytes());
        }
        if offset == 0 && self.quality == Q_DYNAMIC {
            let precision = (0..).zip(tables).filter(|(_, t)| t.len() > BLOCK);
            let precision: u8 = precision.map(|(i, _)| 1 << i).sum();
            let bytes: usize = tables.iter().map(|t| t.len()).sum();
            out.extend_from_slice(&[0, precision]);
            out.extend_from_slice(&(bytes as u16).to_be_bytes());
            tables.iter().for_each(|t| out.extend_from_slice(t));
        }
    }
}

pub(super) fn packetize(data: &Bytes, emit: &mut Emit<'_>) {
    // What is no JPEG cannot be sent as such.
    let Some(picture) = Picture::parse(data) else { return };
    if picture.scan.len() > MAX_SCAN {
        return;
    }
    let (kind, kind_fits) = kind(&picture);
    let tables = tables(&picture);
    let fits = |side: u32| (1..=MAX_SIDE).contains(&side);
    let size_fits = fits(picture.width) && fits(picture.height);
    let exact = picture.width.is_multiple_of(8) && picture.height.is_multiple_of(8);
    let plain = picture.plain && !picture.stretched && kind_fits && size_fits && exact;
    let restarts = if picture.restart_interval > 0 { WITH_RESTARTS } else { 0 };
    let side = |side: u32| if size_fits { side.div_ceil(8) as u8 } else { 0 };
    let head = Head {
        kind: kind + restarts,
        quality: if tables.is_some() { Q_DYNAMIC } else { Q_EXTENSION },
        sides: [side(picture.width), side(picture.height)],
        restart_interval: picture.restart_interval,
    };
    let tables = tables.unwrap_or_default();
    let mut prefix = Vec::with_capacity(MAIN + RESTART + 4 + tables.len() * BLOCK);
    let headers =
        if plain && !tables.is_empty() { Vec::new() } else { extension_headers(&picture) };
    let mut extension = &headers[..];
    let mut first = true;
    let mut offset = 0;
    let mut scan = data.slice_ref(picture.scan);
    while !scan.is_empty() {
        prefix.clear();
        head.write(offset, &tables, &mut prefix);
        let id = if first { JPEG_START } else { JPEG_LATER };
        first = false;
        if extension.is_empty() {
            let part = scan.split_to(scan.len().min(emit.room() - prefix.len()));
            offset += part.len();
            emit.packet(scan.is_empty(), &prefix, part);
            continue;
        }
        let room = emit.room_beside(0) - prefix.len();
        let (now, later) = extension.split_at(extension.len().min(room / 4 * 4));
        extension = later;
        // The scan begins when all headers are there (5.1.4.2).
        let room = if later.is_empty() { room - now.len() } else { 0 };
        let part = scan.split_to(scan.len().min(room));
        offset += part.len();
        emit.packet_beside(Some((id, now)), scan.is_empty(), &prefix, part);
    }
}

/// The type for the sampling factors, and whether it says them.
fn kind(picture: &Picture<'_>) -> (u8, bool) {
    let sampling: Vec<u8> = picture.components.iter().map(|c| c.sampling).collect();
    match sampling[..] {
        [0x21, 0x11, 0x11] => (0, true),
        [0x22, 0x11, 0x11] => (1, true),
        _ => (1, false),
    }
}

/// The quantization tables for luminance and chrominance; `None` where there are more.
fn tables<'a>(picture: &Picture<'a>) -> Option<Vec<&'a [u8]>> {
    let of = |i: usize| {
        let component = picture.components.get(i)?;
        *picture.quantization.get(usize::from(component.table))?
    };
    match picture.components.len() {
        1 => Some(vec![of(0)?, of(0)?]),
        3 if of(1)? == of(2)? => Some(vec![of(0)?, of(1)?]),
        _ => None,
    }
}

/// All headers, filled to whole words in front of the last one: nothing may follow that.
fn extension_headers(picture: &Picture<'_>) -> Vec<u8> {
    let mut out = picture.headers.concat();
    let bytes = out.len() + picture.scan_header.len();
    out.resize(out.len() + bytes.next_multiple_of(4) - bytes, 0xff);
    out.extend_from_slice(picture.scan_header);
    out
}
