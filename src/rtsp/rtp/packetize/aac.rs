//! AAC as RFC 3640, mode AAC-hbr: a header of 16 bits for the one access unit of a packet.

use bytes::Bytes;

use super::Emit;

/// AU-headers-length (16 bits of headers) and one AU-header: 13 bits size, 3 bits index.
const HEADERS: usize = 4;
/// What 13 bits can say.
const MAX_AU_BYTES: usize = 0x1fff;

pub(super) fn packetize(data: &Bytes, emit: &mut Emit<'_>) {
    if data.len() > MAX_AU_BYTES {
        return; // no AAC frame is that long
    }
    let size = ((data.len() as u16) << 3).to_be_bytes();
    let headers = [0, 16, size[0], size[1]];
    let mut rest = data.clone();
    while !rest.is_empty() {
        let part = rest.split_to(rest.len().min(emit.room() - HEADERS));
        emit.packet(rest.is_empty(), &headers, part);
    }
}
