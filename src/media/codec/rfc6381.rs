//! Codec strings: RFC 6381 3.3; ISO/IEC 14496-15 annex E for `hvc1`.

use dvrgate_model::{Codec, CodecParams};

use super::{aac, h264, h265};

/// For instance `avc1.64001F`. `None` where the encoding has no string or its parameter sets are
/// not known.
pub fn codec_string(params: &CodecParams) -> Option<String> {
    match params.codec {
        Codec::H264 => {
            let sps = params.parameter_sets.iter().find_map(|s| h264::Sps::parse(s))?;
            Some(format!("avc1.{:02X}{:02X}{:02X}", sps.profile, sps.constraints, sps.level))
        }
        Codec::H265 => {
            let sps = params.parameter_sets.iter().find_map(|s| h265::Sps::parse(s))?;
            Some(hvc1(&sps.profile))
        }
        Codec::Aac => {
            let config = aac::Config::parse(&params.config)?;
            Some(format!("mp4a.40.{}", config.object_type))
        }
        Codec::Mpeg4 => {
            // Visual object sequence: profile and level stand behind 00 00 01 B0.
            let at = memchr::memmem::find(&params.config, &[0, 0, 1, 0xb0])?;
            Some(format!("mp4v.20.{:X}", params.config.get(at + 4)?))
        }
        Codec::Pcmu => Some("ulaw".into()),
        Codec::Pcma => Some("alaw".into()),
        Codec::Jpeg | Codec::G726 { .. } | Codec::Metadata => None,
    }
}

fn hvc1(p: &h265::ProfileTierLevel) -> String {
    use std::fmt::Write;
    let space = ["", "A", "B", "C"][usize::from(p.space & 3)];
    let tier = if p.high_tier { 'H' } else { 'L' };
    // Compatibility flags in reverse bit order, constraints without trailing zero bytes.
    let mut text =
        format!("hvc1.{space}{}.{:X}.{tier}{}", p.profile, p.compatibility.reverse_bits(), p.level);
    let used = p.constraints.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    for byte in &p.constraints[..used] {
        // Writing to a string cannot fail.
        let _ = write!(text, ".{byte:X}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn strings() {
        let mut avc = CodecParams::new(Codec::H264);
        assert_eq!(codec_string(&avc), None);
        avc.parameter_sets.push(Bytes::from_static(h264::tests::SPS_1080));
        assert_eq!(codec_string(&avc).as_deref(), Some("avc1.640028"));
        let mut aac = CodecParams::new(Codec::Aac);
        aac.config = Bytes::from_static(&[0x14, 0x08]);
        assert_eq!(codec_string(&aac).as_deref(), Some("mp4a.40.2"));
        // The example of ISO/IEC 14496-15 annex E.
        let main = h265::ProfileTierLevel {
            space: 0,
            high_tier: false,
            profile: 1,
            compatibility: 0x6000_0000,
            constraints: [0xb0, 0, 0, 0, 0, 0],
            level: 93,
        };
        assert_eq!(hvc1(&main), "hvc1.1.6.L93.B0");
        assert_eq!(codec_string(&CodecParams::new(Codec::Jpeg)), None);
    }
}
