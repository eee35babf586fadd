//! The replay extension of the RTP header (ONVIF Streaming 6.3; IEC 62676-2-32 clause 8.3), alone
//! and together with the one of JPEG (Streaming 5.1.4, 6.3.2).

use dvrgate_model::Utc;
use dvrgate_model::time::epoch;

/// Profile identifier of the replay extension (R8.3-2).
pub const REPLAY_PROFILE: u16 = 0xABAC;
/// Bytes of the extension with its own header.
pub const EXTENSION_BYTES: usize = 16;
/// Bytes of the header of any extension: identifier, words that follow.
pub(super) const HEAD_BYTES: usize = 4;
/// JPEG headers in the first packet of a picture.
pub const JPEG_START: u16 = 0xffd8;
/// More of them in a later packet.
pub const JPEG_LATER: u16 = 0xffff;
/// Words of the body (R8.3-3).
const WORDS: u16 = 3;

/// What the first packet of every access unit says about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReplayExtension {
    /// When it was captured (R8.3-13).
    pub at: Utc,
    /// C: a decoder may start here.
    pub clean: bool,
    /// E: end of a contiguous section of recording.
    pub end_of_section: bool,
    /// D: does not follow the unit before it in time.
    pub discontinuity: bool,
    /// T: last unit of the track in this playback.
    pub terminal: bool,
    /// Low byte of the CSeq of the PLAY that caused it (R8.3-12).
    pub cseq: u8,
}

impl ReplayExtension {
    /// As on the wire.
    pub fn to_bytes(&self) -> [u8; EXTENSION_BYTES] {
        let mut out = [0; EXTENSION_BYTES];
        let (secs, fraction) = epoch::to_ntp(self.at);
        out[0..2].copy_from_slice(&REPLAY_PROFILE.to_be_bytes());
        out[2..4].copy_from_slice(&WORDS.to_be_bytes());
        out[4..8].copy_from_slice(&secs.to_be_bytes());
        out[8..12].copy_from_slice(&fraction.to_be_bytes());
        let bit = |set: bool, mask: u8| if set { mask } else { 0 };
        out[12] = bit(self.clean, 0x80)
            | bit(self.end_of_section, 0x40)
            | bit(self.discontinuity, 0x20)
            | bit(self.terminal, 0x10);
        out[13] = self.cseq;
        out
    }

    /// From profile word and body of a header extension; `None` for another profile or a body
    /// that is too short. What follows the three words (a JPEG extension, R8.3-17) is left alone.
    pub fn parse(profile: u16, body: &[u8]) -> Option<Self> {
        let [s0, s1, s2, s3, f0, f1, f2, f3, flags, cseq, _, _] = *body.first_chunk::<12>()?;
        (profile == REPLAY_PROFILE).then(|| Self {
            at: epoch::from_ntp(
                u32::from_be_bytes([s0, s1, s2, s3]),
                u32::from_be_bytes([f0, f1, f2, f3]),
            ),
            clean: flags & 0x80 != 0,
            end_of_section: flags & 0x40 != 0,
            discontinuity: flags & 0x20 != 0,
            terminal: flags & 0x10 != 0,
            cseq,
        })
    }
}

/// Appends what the RTP header announces: the replay extension, that of JPEG behind its identifier
/// (whole words), or both under the identifier of the former (R8.3-17, R8.3-18).
pub(super) fn write(
    replay: Option<ReplayExtension>,
    jpeg: Option<(u16, &[u8])>,
    out: &mut Vec<u8>,
) {
    let words = |bytes: &[u8]| (bytes.len() / 4) as u16;
    if let Some(replay) = replay {
        let mut bytes = replay.to_bytes();
        if let Some((_, jpeg)) = jpeg {
            bytes[2..4].copy_from_slice(&(WORDS + 1 + words(jpeg)).to_be_bytes());
        }
        out.extend_from_slice(&bytes);
    }
    if let Some((id, bytes)) = jpeg {
        debug_assert!(bytes.len().is_multiple_of(4), "extensions are whole words");
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&words(bytes).to_be_bytes());
        out.extend_from_slice(bytes);
    }
}

/// The JPEG extension in an extension of that profile, alone or behind the replay extension:
/// [`JPEG_START`] or [`JPEG_LATER`], and the marker segments.
pub fn jpeg_extension(profile: u16, body: &[u8]) -> Option<(u16, &[u8])> {
    match profile {
        JPEG_START | JPEG_LATER => Some((profile, body)),
        REPLAY_PROFILE => {
            let (head, rest) = body.get(usize::from(WORDS) * 4..)?.split_first_chunk::<4>()?;
            let [id, words] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_be_bytes);
            let body = rest.get(..usize::from(words) * 4)?;
            matches!(id, JPEG_START | JPEG_LATER).then_some((id, body))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R8.3-2, R8.3-3, R8.3-4, R8.3-5, R8.3-6, R8.3-11, R8.3-12
    #[test]
    fn a_clean_point_byte_by_byte() {
        let e = ReplayExtension {
            at: "2009-06-15T11:49:00.44Z".parse().unwrap(),
            clean: true,
            end_of_section: false,
            discontinuity: false,
            terminal: false,
            cseq: 123,
        };
        let wire = hex("abac0003 cde0b3ac 70a3d70a 807b0000");
        assert_eq!(e.to_bytes().to_vec(), wire);
        assert_eq!(ReplayExtension::parse(REPLAY_PROFILE, &wire[4..]), Some(e));
        for end in 4..16 {
            assert_eq!(ReplayExtension::parse(REPLAY_PROFILE, &wire[4..end]), None);
        }
        assert_eq!(ReplayExtension::parse(0xABAD, &wire[4..]), None);
    }

    /// R8.3-17, R8.3-18
    #[test]
    fn replay_and_jpeg_together_byte_by_byte() {
        let replay = ReplayExtension {
            at: "2009-06-15T11:49:00.44Z".parse().unwrap(),
            clean: true,
            end_of_section: false,
            discontinuity: false,
            terminal: true,
            cseq: 123,
        };
        let segments = hex("ffdd0004 00070000");
        let written = |replay, id| {
            let mut out = Vec::new();
            write(replay, Some((id, &segments)), &mut out);
            out
        };
        let both = written(Some(replay), JPEG_START);
        let wire = "abac0006 cde0b3ac 70a3d70a 907b0000 ffd80002 ffdd0004 00070000";
        assert_eq!(both, hex(wire));
        assert_eq!(ReplayExtension::parse(REPLAY_PROFILE, &both[4..]), Some(replay));
        assert_eq!(jpeg_extension(REPLAY_PROFILE, &both[4..]), Some((JPEG_START, &segments[..])));
        for end in 4..both.len() {
            assert_eq!(jpeg_extension(REPLAY_PROFILE, &both[4..end]), None, "{end}");
        }
        assert_eq!(written(None, JPEG_LATER), hex("ffff0002 ffdd0004 00070000"));
        assert_eq!(jpeg_extension(JPEG_LATER, &segments), Some((JPEG_LATER, &segments[..])));
        assert_eq!(jpeg_extension(0xabad, &segments), None);
    }

    #[test]
    fn every_flag_has_its_bit_and_no_other() {
        let plain = ReplayExtension {
            at: Utc::from_secs(0),
            clean: false,
            end_of_section: false,
            discontinuity: false,
            terminal: false,
            cseq: 0,
        };
        for (e, mask) in [
            (plain, 0),
            (ReplayExtension { clean: true, ..plain }, 0x80),
            (ReplayExtension { end_of_section: true, ..plain }, 0x40),
            (ReplayExtension { discontinuity: true, ..plain }, 0x20),
            (ReplayExtension { terminal: true, ..plain }, 0x10),
        ] {
            assert_eq!(e.to_bytes()[12], mask);
            assert_eq!(ReplayExtension::parse(REPLAY_PROFILE, &e.to_bytes()[4..]), Some(e));
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> =
            text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
        digits.chunks(2).map(|p| p[0] << 4 | p[1]).collect()
    }
}
