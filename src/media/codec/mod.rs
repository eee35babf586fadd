//! Encodings, one file a family: parameter sets, headers and framing, without decoding.

pub mod aac;
pub mod annexb;
pub mod bits;
pub mod g711;
pub mod h264;
pub mod h265;
mod h265_vui;
mod inspect;
pub mod jpeg;
pub mod metadata;
pub mod mpeg4;
pub mod record;
pub mod rfc6381;
mod sets;
#[cfg(test)]
pub(crate) mod tests;
mod vui;

use dvrgate_model::Codec;

pub use inspect::{Inspected, Inspector};

/// Recognises the encoding of video behind start codes by its parameter sets, for streams that do
/// not name it. `None` where there is no readable one.
pub fn sniff_video(annexb: &[u8]) -> Option<Codec> {
    annexb::units(annexb).find_map(|nal| {
        if h264::Sps::parse(nal).is_some() {
            Some(Codec::H264)
        } else if h265::Sps::parse(nal).is_some() || h265::Vps::parse(nal).is_some() {
            Some(Codec::H265)
        } else {
            None
        }
    })
}

/// Whether a NAL unit (start code taken off) is part of a picture.
pub(crate) fn is_picture(codec: Codec, nal: &[u8]) -> bool {
    match codec {
        Codec::H265 => h265::is_picture(nal),
        _ => h264::is_picture(nal),
    }
}

/// Whether a NAL unit that follows a picture begins the next access unit.
pub fn starts_unit(codec: Codec, nal: &[u8]) -> bool {
    match codec {
        Codec::H265 => h265::starts_unit(nal),
        _ => h264::starts_unit(nal),
    }
}
