//! JPEG: the size of the picture (ITU-T T.81 B.2.2).

/// Width and height from the frame header; `None` where there is none before the scan.
pub fn size(data: &[u8]) -> Option<(u32, u32)> {
    const SOI: [u8; 2] = [0xff, 0xd8];
    let mut rest = data.strip_prefix(&SOI)?;
    loop {
        let fill = rest.iter().take_while(|b| **b == 0xff).count();
        if fill == 0 {
            return None;
        }
        let marker = *rest.get(fill)?;
        rest = &rest[fill + 1..];
        match marker {
            // Markers without a segment.
            0x01 | 0xd0..=0xd8 => continue,
            // End of image, start of scan: too late.
            0xd9 | 0xda => return None,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?));
        let segment = rest.get(2..length.max(2))?;
        // SOF0 to SOF15, without DHT (C4), JPG (C8) and DAC (CC).
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            let side = |at: usize| {
                Some(u32::from(u16::from_be_bytes(segment.get(at..at + 2)?.try_into().ok()?)))
            };
            return Some((side(3)?, side(1)?));
        }
        rest = rest.get(length.max(2)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = &[
        0xff, 0xd8, 0xff, 0xe0, 0, 4, b'x', b'y', 0xff, 0xff, 0xdb, 0, 3, 0, 0xff, 0xc0, 0, 11, 8,
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
}
