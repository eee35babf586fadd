//! WebSocket frames on the server's side (RFC 6455 section 5), as a carrier of bytes: what the data
//! frames hold is one stream, their borders mean nothing.

/// Takes a client's frames apart. Nothing is kept but the head of a frame and control frames.
#[derive(Debug, Default)]
pub struct Frames {
    head: [u8; MAX_HEAD_BYTES],
    have: usize,
    body: Option<Body>,
    control: Vec<u8>,
    /// A message is open: only continuations may follow.
    open: bool,
}

/// The frame whose payload comes in.
#[derive(Debug)]
struct Body {
    opcode: u8,
    left: usize,
    mask: [u8; 4],
    /// Payload bytes before.
    at: usize,
}

/// Why a connection ends; the codes of RFC 6455 section 7.4.1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Closing {
    /// The client closed.
    Asked,
    /// It broke the protocol.
    Protocol,
    /// It sent text.
    Text,
    /// A frame is larger than [`MAX_FRAME_BYTES`].
    TooBig,
}

/// A frame of a client. RTSP requests are small, and so is the RTCP that players send.
pub const MAX_FRAME_BYTES: usize = 1 << 20;
/// Two bytes, eight of length, four of mask.
pub const MAX_HEAD_BYTES: usize = 14;
const MAX_CONTROL_BYTES: usize = 125;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

impl Closing {
    fn code(self) -> u16 {
        match self {
            Self::Asked => 1000,
            Self::Protocol => 1002,
            Self::Text => 1003,
            Self::TooBig => 1009,
        }
    }
}

impl Frames {
    /// Appends the data in these bytes to `data`, and frames to be sent (pongs, and the last one) to
    /// `replies`. `Err`: nothing more may be read or written after the replies.
    pub fn decode(
        &mut self,
        mut bytes: &[u8],
        data: &mut Vec<u8>,
        replies: &mut Vec<u8>,
    ) -> Result<(), Closing> {
        while !bytes.is_empty() {
            let taken = match &mut self.body {
                None => {
                    self.head[self.have] = bytes[0];
                    self.have += 1;
                    self.head().inspect_err(|c| close(*c, replies))?;
                    1
                }
                Some(body) => {
                    let n = body.left.min(bytes.len());
                    let out = if body.opcode >= CLOSE { &mut self.control } else { &mut *data };
                    let (at, mask) = (body.at, body.mask);
                    out.extend(bytes[..n].iter().enumerate().map(|(i, b)| b ^ mask[(at + i) % 4]));
                    body.at += n;
                    body.left -= n;
                    n
                }
            };
            bytes = &bytes[taken..];
            if self.body.as_ref().is_some_and(|b| b.left == 0) {
                self.ended(replies)?;
            }
        }
        Ok(())
    }

    /// Reads a head that grew by a byte.
    fn head(&mut self) -> Result<(), Closing> {
        let [first, second, ..] = self.head;
        if self.have < 2 {
            return Ok(());
        }
        let (fin, opcode) = (first & FIN != 0, first & 0x0f);
        let short = usize::from(second & 0x7f);
        if self.have == 2 {
            // Reserved bits belong to extensions, and none was agreed.
            if first & 0x70 != 0 || second & MASKED == 0 {
                return Err(Closing::Protocol);
            }
            match opcode {
                CLOSE | PING | PONG if fin && short <= MAX_CONTROL_BYTES => {}
                CONTINUATION if self.open => self.open = !fin,
                BINARY if !self.open => self.open = !fin,
                TEXT if !self.open => return Err(Closing::Text),
                _ => return Err(Closing::Protocol),
            }
        }
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if self.have < 2 + extended + 4 {
            return Ok(());
        }
        let (length, mask) = self.head[2..self.have].split_at(extended);
        let length = match extended {
            0 => short as u64,
            _ => length.iter().fold(0, |n, b| n << 8 | u64::from(*b)),
        };
        let left = usize::try_from(length).unwrap_or(usize::MAX);
        if left > MAX_FRAME_BYTES {
            return Err(Closing::TooBig);
        }
        let mask = [mask[0], mask[1], mask[2], mask[3]];
        self.body = Some(Body { opcode, left, mask, at: 0 });
        self.have = 0;
        Ok(())
    }

    fn ended(&mut self, replies: &mut Vec<u8>) -> Result<(), Closing> {
        let control = std::mem::take(&mut self.control);
        match self.body.take().map(|b| b.opcode) {
            Some(PING) => {
                replies.extend_from_slice(&[FIN | PONG, control.len() as u8]);
                replies.extend_from_slice(&control);
            }
            Some(CLOSE) => {
                close(Closing::Asked, replies);
                return Err(Closing::Asked);
            }
            _ => {}
        }
        Ok(())
    }
}

fn close(why: Closing, replies: &mut Vec<u8>) {
    replies.extend_from_slice(&[FIN | CLOSE, 2]);
    replies.extend_from_slice(&why.code().to_be_bytes());
}

/// Appends the head of a binary frame of that length.
pub fn binary_head(length: usize, out: &mut Vec<u8>) {
    out.push(FIN | BINARY);
    match length {
        0..126 => out.push(length as u8),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A client's frame.
    pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        binary_head(payload.len(), &mut frame);
        frame[0] = first;
        frame[1] |= MASKED;
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().enumerate().map(|(i, b)| b ^ mask[i % 4]));
        frame
    }

    fn decode(pieces: &[&[u8]]) -> (Vec<u8>, Vec<u8>, Result<(), Closing>) {
        let (mut frames, mut data, mut replies) = Default::default();
        for piece in pieces {
            let result = Frames::decode(&mut frames, piece, &mut data, &mut replies);
            if result.is_err() {
                return (data, replies, result);
            }
        }
        (data, replies, Ok(()))
    }

    /// R8.T-6: split and joined frames, with control frames between the parts of a message.
    #[test]
    fn frame_borders_mean_nothing() {
        let long = vec![7u8; 300];
        let huge = vec![9u8; 70_000];
        let wire = [
            masked(FIN | BINARY, b"OPT"),
            masked(BINARY, b"IO"),
            masked(FIN | PING, b"there?"),
            masked(CONTINUATION, b""),
            masked(FIN | PONG, b"yes"),
            masked(FIN | CONTINUATION, b"NS"),
            masked(FIN | BINARY, &long),
            masked(FIN | BINARY, &huge),
        ]
        .concat();
        let expected = [b"OPTIONS".to_vec(), long, huge].concat();
        for size in [1, 2, 3, 7, 1000, wire.len()] {
            let pieces: Vec<&[u8]> = wire.chunks(size).collect();
            let (data, replies, result) = decode(&pieces);
            assert_eq!(result, Ok(()));
            assert!(data == expected, "{size}");
            assert_eq!(replies, [&[0x8a, 6][..], b"there?"].concat());
        }
    }

    #[test]
    fn every_prefix_waits_for_more() {
        let wire = [masked(FIN | BINARY, &[1; 200]), masked(FIN | PING, b"x")].concat();
        for end in 0..wire.len() {
            let (data, replies, result) = decode(&[&wire[..end]]);
            assert_eq!((result, replies.len()), (Ok(()), 0));
            assert!(data.len() <= 200);
        }
    }

    #[test]
    fn the_first_frame_of_the_standard_to_the_byte() {
        // RFC 6455 section 5.7, with the opcode of binary data.
        let wire = [0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(decode(&[&wire]).0, b"Hello");
    }

    #[test]
    fn breaches_end_the_connection_with_their_code() {
        let mut unmasked = Vec::new();
        binary_head(3, &mut unmasked);
        let mut too_big = masked(FIN | BINARY, &[]);
        too_big.splice(1..2, [MASKED | 127, 0, 0, 0, 0, 0, 0x10, 0, 1]);
        let mut absurd = masked(FIN | BINARY, &[]);
        absurd.splice(1..2, [[MASKED | 127; 1].as_slice(), &[0xff; 8]].concat());
        let mut long_ping = masked(FIN | PING, &[1; 130]);
        long_ping.truncate(10);
        for (wire, code) in [
            (unmasked, 1002),
            (masked(FIN | TEXT, b"OPTIONS"), 1003),
            (masked(FIN | 0x40 | BINARY, b"x"), 1002),
            (masked(FIN | 3, b"x"), 1002),
            (masked(FIN | CONTINUATION, b"x"), 1002),
            (masked(PING, b"x"), 1002),
            ([masked(BINARY, b"x"), masked(FIN | BINARY, b"y")].concat(), 1002),
            (long_ping, 1002),
            (too_big, 1009),
            (absurd, 1009),
            (masked(FIN | CLOSE, &[0x03, 0xe8, b'b', b'y', b'e']), 1000),
            (masked(FIN | CLOSE, b""), 1000),
        ] {
            let (_, replies, result) = decode(&[&wire]);
            assert!(result.is_err(), "{wire:x?}");
            assert_eq!(replies[..2], [0x88, 2]);
            assert_eq!(u16::from_be_bytes([replies[2], replies[3]]), code, "{wire:x?}");
        }
    }

    #[test]
    fn lengths_of_heads() {
        for (length, head) in [
            (0, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (65_535, &[0x82, 126, 255, 255]),
            (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            binary_head(length, &mut out);
            assert_eq!(out, head);
        }
    }
}
