//! What `a=rtpmap` calls encodings.

use dvrgate_model::Codec;

/// Encoding names of `a=rtpmap`: those of the model but for three.
pub(super) fn encoding_name(codec: Codec) -> &'static str {
    match codec {
        Codec::Mpeg4 => "MP4V-ES",
        Codec::Aac => "mpeg4-generic",
        Codec::Metadata => "vnd.onvif.metadata",
        other => other.name(),
    }
}

pub(super) fn codec_of(name: &str) -> Option<Codec> {
    match name.to_ascii_uppercase().as_str() {
        "HEVC" => Some(Codec::H265),
        "MP4V-ES" => Some(Codec::Mpeg4),
        "MPEG4-GENERIC" => Some(Codec::Aac),
        "VND.ONVIF.METADATA" => Some(Codec::Metadata),
        // The model's own names of those three are none of `a=rtpmap`.
        name => Codec::from_name(name).filter(|codec| encoding_name(*codec) == name),
    }
}
