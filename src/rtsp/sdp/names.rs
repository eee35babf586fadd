//! What `a=rtpmap` calls encodings.

use dvrgate_model::Codec;

/// Encoding names of `a=rtpmap`.
pub(super) fn encoding_name(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "H264",
        Codec::H265 => "H265",
        Codec::Mpeg4 => "MP4V-ES",
        Codec::Jpeg => "JPEG",
        Codec::Pcmu => "PCMU",
        Codec::Pcma => "PCMA",
        Codec::G726 { kbit: 16 } => "G726-16",
        Codec::G726 { kbit: 24 } => "G726-24",
        Codec::G726 { kbit: 40 } => "G726-40",
        Codec::G726 { .. } => "G726-32",
        Codec::Aac => "mpeg4-generic",
        Codec::Metadata => "vnd.onvif.metadata",
    }
}

pub(super) fn codec_of(name: &str) -> Option<Codec> {
    Some(match name.to_ascii_uppercase().as_str() {
        "H264" => Codec::H264,
        "H265" | "HEVC" => Codec::H265,
        "MP4V-ES" => Codec::Mpeg4,
        "JPEG" => Codec::Jpeg,
        "PCMU" => Codec::Pcmu,
        "PCMA" => Codec::Pcma,
        "G726-16" => Codec::G726 { kbit: 16 },
        "G726-24" => Codec::G726 { kbit: 24 },
        "G726-32" => Codec::G726 { kbit: 32 },
        "G726-40" => Codec::G726 { kbit: 40 },
        "MPEG4-GENERIC" => Codec::Aac,
        "VND.ONVIF.METADATA" => Codec::Metadata,
        _ => return None,
    })
}
