//! Base64 as it comes through a tunnel: in pieces, with line breaks, each message padded on its own.

/// Decodes a stream. Whole groups of four are given out; the rest waits.
#[derive(Debug, Default)]
pub struct Decoder {
    group: [u8; 4],
    have: usize,
    /// How many of `group` are padding.
    padding: usize,
}

/// A byte that is neither base64 nor a line break. A blank is one, too: with it begins what a
/// confused proxy puts behind a body, the next request of somebody else.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no base64 at byte {at} of a piece")]
pub struct NotBase64 {
    /// Where in the piece.
    pub at: usize,
}

impl Decoder {
    /// Appends what a piece means to `out`. After an error none of the piece may be used.
    pub fn decode(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), NotBase64> {
        out.reserve(piece.len() / 4 * 3 + 3);
        for (at, byte) in piece.iter().enumerate() {
            let wrong = NotBase64 { at };
            let value = match byte {
                b'\r' | b'\n' => continue,
                b'=' if self.have >= 2 => {
                    self.padding += 1;
                    0
                }
                _ if self.padding > 0 => return Err(wrong),
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return Err(wrong),
            };
            self.group[self.have] = value;
            self.have += 1;
            if self.have == 4 {
                let [a, b, c, d] = self.group;
                let bytes = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
                out.extend_from_slice(&bytes[..3 - self.padding]);
                *self = Self::default();
            }
        }
        Ok(())
    }

    /// Whether nothing waits for the rest of its group.
    pub fn is_whole(&self) -> bool {
        self.have == 0
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> Result<Vec<u8>, NotBase64> {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        for piece in pieces {
            decoder.decode(piece, &mut out)?;
        }
        assert!(decoder.is_whole(), "{pieces:?}");
        Ok(out)
    }

    /// R8.T-4: messages are padded one by one and may be broken anywhere.
    #[test]
    fn messages_of_every_length_in_pieces_of_every_size_with_line_breaks() {
        let all: Vec<u8> = (0..=255).collect();
        for len in 0..40 {
            let (first, second) = (&all[..len], &all[200 - len..200]);
            let mut text = STANDARD.encode(first).into_bytes();
            text.extend_from_slice(STANDARD.encode(second).as_bytes());
            let expected = [first, second].concat();
            for width in 1..9 {
                let broken: Vec<u8> =
                    text.chunks(width).flat_map(|c| [c, b"\r\n"].concat()).collect();
                for size in [1, 2, 3, 5, 1000] {
                    let pieces: Vec<&[u8]> = broken.chunks(size).collect();
                    assert_eq!(decode(&pieces).unwrap(), expected);
                }
            }
        }
    }

    #[test]
    fn what_is_no_base64_is_refused_where_it_stands() {
        for (text, at) in [
            (&b"T1BU GET"[..], 4),
            (b"T1BU\tT1BU", 4),
            (b"=", 0),
            (b"T=", 1),
            (b"TQ=x", 3),
            (b"T1\0", 2),
            (b"T1-_", 2),
            (b"T1BU\xff", 4),
        ] {
            assert_eq!(decode(&[text]), Err(NotBase64 { at }), "{:?}", text.escape_ascii());
        }
    }

    #[test]
    fn a_broken_group_is_not_whole() {
        let text = STANDARD.encode("OPTIONS");
        for end in 0..text.len() {
            let (mut decoder, mut out) = (Decoder::default(), Vec::new());
            decoder.decode(&text.as_bytes()[..end], &mut out).unwrap();
            assert_eq!(decoder.is_whole(), end % 4 == 0);
            assert_eq!(out, &b"OPTIONS"[..end / 4 * 3]);
        }
    }
}
