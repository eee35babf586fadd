//! NAL units behind start codes (ISO/IEC 14496-10 annex B) and behind lengths (14496-15).
//!
//! Reframing keeps every byte of every NAL unit and their order. Zero bytes between units belong
//! to the framing and go (B.1.1: leading and trailing zero bytes).

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem;

/// Bytes of a length in front of a NAL unit.
pub const LENGTH_BYTES: usize = 4;

const START: [u8; 3] = [0, 0, 1];

/// NAL units behind start codes, as ranges of the data. What stands before the first start code is
/// not a unit.
pub fn units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    ranges(data).map(|(from, to)| &data[from..to])
}

/// The same with the position of each start code, its leading zero byte included.
pub(crate) fn units_at(data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    ranges(data).map(|(from, to)| {
        let code = from - START.len();
        let zero = usize::from(code > 0 && data[code - 1] == 0);
        (code - zero, &data[from..to])
    })
}

/// See [`units`].
fn ranges(data: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let mut starts = memmem::find_iter(data, &START).peekable();
    std::iter::from_fn(move || {
        loop {
            let from = starts.next()? + START.len();
            let mut to = starts.peek().copied().unwrap_or(data.len());
            // A start code found inside `00 00 00 01` overlaps nothing: units never end in zero.
            while to > from && data[to - 1] == 0 {
                to -= 1;
            }
            if to > from {
                return Some((from, to));
            }
        }
    })
}

/// The first NAL unit (with what follows it), if the data begins with a start code.
pub fn leading(data: &[u8]) -> Option<&[u8]> {
    let zeros = data.iter().take_while(|b| **b == 0).count();
    (zeros >= 2 && data.get(zeros) == Some(&1) && data.len() > zeros + 1)
        .then(|| &data[zeros + 1..])
}

/// Start codes to lengths. Where all start codes have four bytes and nothing stands between the
/// units, the lengths are written in place and nothing is copied.
pub fn to_lengths(mut data: BytesMut) -> Bytes {
    let found: Vec<_> = ranges(&data).collect();
    let mut end = 0;
    let fits = found.iter().all(|(from, to)| {
        let joined = *from == end + LENGTH_BYTES;
        end = *to;
        joined
    });
    if fits {
        for (from, to) in found {
            // Access units are bounded far below 4 GiB.
            let length = (to - from) as u32;
            data[from - LENGTH_BYTES..from].copy_from_slice(&length.to_be_bytes());
        }
        data.truncate(end);
        return data.freeze();
    }
    let total = found.iter().map(|(from, to)| LENGTH_BYTES + to - from).sum();
    let mut out = BytesMut::with_capacity(total);
    for (from, to) in found {
        out.put_u32((to - from) as u32);
        out.put_slice(&data[from..to]);
    }
    out.freeze()
}

/// Lengths to four-byte start codes; what is cut off at the end is left out.
pub fn to_start_codes(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    for nal in lengths(data) {
        out.extend_from_slice(&[0, 0, 0, 1]);
        out.extend_from_slice(nal);
    }
    out
}

/// NAL units behind four-byte lengths. Ends before the first length that reaches beyond the data.
pub fn lengths(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first_chunk::<LENGTH_BYTES>()?;
        let (nal, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = tail;
        Some(nal)
    })
}

/// Whether the data is nothing but whole NAL units behind four-byte lengths.
pub fn is_whole(data: &[u8]) -> bool {
    lengths(data).map(|n| n.len() + LENGTH_BYTES).sum::<usize>() == data.len()
}

/// NAL units to the length-prefixed form.
pub fn join<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut out = BytesMut::new();
    for nal in nals {
        out.put_u32(nal.len() as u32);
        out.put_slice(nal);
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Vec<(&'static [u8], Vec<&'static [u8]>)> {
        vec![
            (&[0, 0, 0, 1, 9, 8, 0, 0, 0, 1, 7], vec![&[9, 8], &[7]]),
            (&[0, 0, 1, 9, 0, 0, 1, 7, 6], vec![&[9], &[7, 6]]),
            (&[0, 0, 0, 0, 1, 9, 0, 0, 0, 0, 0, 1, 7, 0, 0], vec![&[9], &[7]]),
            (&[5, 5, 0, 0, 1, 9], vec![&[9]]),
            (&[0, 0, 1, 0, 0, 1, 9], vec![&[9]]),
            (&[0, 0, 1], vec![]),
            (&[1, 2, 3], vec![]),
            (&[], vec![]),
        ]
    }

    #[test]
    fn both_ways() {
        for (wire, nals) in table() {
            assert_eq!(units(wire).collect::<Vec<_>>(), nals, "{wire:?}");
            let framed = to_lengths(BytesMut::from(wire));
            assert_eq!(lengths(&framed).collect::<Vec<_>>(), nals, "{wire:?}");
            assert!(is_whole(&framed), "{wire:?}");
            assert_eq!(framed, join(nals.iter().copied()));
            let back = to_start_codes(&framed);
            assert_eq!(units(&back).collect::<Vec<_>>(), nals);
        }
    }

    #[test]
    fn four_byte_start_codes_are_rewritten_in_place() {
        let data = BytesMut::from(&[0u8, 0, 0, 1, 9, 8, 0, 0, 0, 1, 7][..]);
        let before = data.as_ptr();
        assert_eq!(to_lengths(data).as_ptr(), before);
    }

    #[test]
    fn every_truncation_is_survived() {
        let framed = join([&[1u8, 2, 3][..], &[4, 5]]);
        for end in 0..framed.len() {
            assert!(!is_whole(&framed[..end]) || end == 0 || end == 7, "{end}");
            assert!(lengths(&framed[..end]).count() < 2);
        }
    }

    #[test]
    fn leading_unit() {
        assert_eq!(leading(&[0, 0, 0, 1, 9, 8]), Some(&[9, 8][..]));
        assert_eq!(leading(&[0, 0, 1, 9]), Some(&[9][..]));
        assert_eq!(leading(&[0, 1, 9]), None);
        assert_eq!(leading(&[0, 0, 1]), None);
        assert_eq!(leading(&[7, 0, 0, 1, 9]), None);
    }
}
