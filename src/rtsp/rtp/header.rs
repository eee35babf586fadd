//! The fixed header of an RTP packet (RFC 3550 5.1, 5.3.1).

use std::fmt;
use std::ops::Range;

/// The fields that vary; version is 2, no padding, no contributing sources (R8.T-10).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// End of an access unit, or as the payload format says.
    pub marker: bool,
    /// As agreed in the SDP, below 128.
    pub payload_type: u8,
    /// Rises by one with every packet.
    pub sequence: u16,
    /// On the clock of the payload format.
    pub timestamp: u32,
    /// Synchronization source.
    pub ssrc: u32,
}

impl Header {
    /// Bytes without extension.
    pub const BYTES: usize = 12;

    /// Appends the header. `extension` follows immediately where `extended`.
    pub fn write(&self, out: &mut Vec<u8>, extended: bool) {
        out.push(0x80 | if extended { 0x10 } else { 0 });
        out.push(if self.marker { 0x80 } else { 0 } | (self.payload_type & 0x7f));
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.ssrc.to_be_bytes());
    }
}

/// A packet as received: header, and where in the bytes the rest is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Packet {
    /// Fixed fields.
    pub header: Header,
    /// Profile word and body of the header extension.
    pub extension: Option<(u16, Range<usize>)>,
    /// Payload without padding.
    pub payload: Range<usize>,
}

/// Bytes that are no RTP packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PacketError(pub &'static str);

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an RTP packet: {}", self.0)
    }
}

impl std::error::Error for PacketError {}

impl Packet {
    /// Reads a packet.
    pub fn parse(bytes: &[u8]) -> Result<Self, PacketError> {
        const SHORT: PacketError = PacketError("too short");
        let Some(&[first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3]) =
            bytes.first_chunk::<{ Header::BYTES }>()
        else {
            return Err(SHORT);
        };
        if first >> 6 != 2 {
            return Err(PacketError("version is not 2"));
        }
        let header = Header {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
        };
        let mut at = Header::BYTES + usize::from(first & 0x0f) * 4;
        let mut extension = None;
        if first & 0x10 != 0 {
            let head = bytes.get(at..at + 4).ok_or(SHORT)?;
            let words = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let body = at + 4..at + 4 + words * 4;
            at = body.end;
            extension = Some((u16::from_be_bytes([head[0], head[1]]), body));
        }
        let mut end = bytes.len();
        if first & 0x20 != 0 {
            let padding = usize::from(*bytes.last().ok_or(SHORT)?);
            end = end.checked_sub(padding.max(1)).ok_or(SHORT)?;
        }
        if at > end {
            return Err(SHORT);
        }
        Ok(Self { header, extension, payload: at..end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: Header = Header {
        marker: true,
        payload_type: 96,
        sequence: 0xfffe,
        timestamp: 7,
        ssrc: 0x0102_0304,
    };

    #[test]
    fn round_trip_and_every_prefix() {
        let mut wire = Vec::new();
        H.write(&mut wire, true);
        wire.extend_from_slice(&[0xab, 0xac, 0, 1, 9, 9, 9, 9, b'x', b'y']);
        let p = Packet::parse(&wire).unwrap();
        assert_eq!((p.header, p.extension, p.payload), (H, Some((0xabac, 16..20)), 20..22));
        for end in 0..20 {
            assert!(Packet::parse(&wire[..end]).is_err(), "{end}");
        }
        assert!(Packet::parse(&wire[..20]).unwrap().payload.is_empty());
    }

    #[test]
    fn padding_and_sources_are_passed_over() {
        let mut wire = Vec::new();
        H.write(&mut wire, false);
        wire[0] |= 0x21;
        wire.extend_from_slice(&[0, 0, 0, 5, b'x', 0, 2]);
        assert_eq!(Packet::parse(&wire).unwrap().payload, 16..17);
        *wire.last_mut().unwrap() = 200;
        assert!(Packet::parse(&wire).is_err(), "more padding than packet");
        wire[0] = 0x40;
        assert!(Packet::parse(&wire).is_err(), "version 1");
    }
}
