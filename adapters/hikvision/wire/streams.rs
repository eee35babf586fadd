//! `Streaming/channels`: how each stream of each channel is encoded now.
//!
//! What footage is encoded with, only the footage says (the index contradicts its own SDP).

use dvrgate_adapter::transport::HttpRequest;

use super::xml::Element;
use super::{Generation, WireError, get};

/// Asks for the encoders of all channels.
pub(crate) fn request(g: Generation) -> HttpRequest {
    get(g.path("/Streaming/channels"))
}

/// Asks for the encoders of network cameras, where the first list leaves them out.
pub(crate) fn proxy_request(g: Generation) -> HttpRequest {
    get(g.path_or(
        "/ContentMgmt/StreamingProxy/channels",
        "/Custom/SelfExt/ContentMgmt/DynStreaming/channels",
    ))
}

/// `StreamingChannel`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Stream {
    /// `id`: channel · 100 + stream.
    pub(crate) id: u32,
    /// `videoCodecType`.
    pub(crate) video_codec: String,
    /// `videoResolutionWidth`, pixels.
    pub(crate) width: u32,
    /// `videoResolutionHeight`, pixels.
    pub(crate) height: u32,
    /// `maxFrameRate`: hundredths of frames per second; 0 is the full rate of the video standard.
    pub(crate) centi_fps: u32,
    /// `audioCompressionType` where sound is on.
    pub(crate) audio_codec: Option<String>,
    /// `audioSamplingRate` in kHz as written, for instance `8` or `16`.
    pub(crate) audio_khz: Option<String>,
}

/// `StreamingChannelList`, or a single `StreamingChannel`.
pub(crate) fn parse(document: &Element) -> Result<Vec<Stream>, WireError> {
    let wanted = "StreamingChannelList";
    let single = "StreamingChannel";
    let list: Vec<&Element> = match document {
        d if d.is(wanted) => d.all(single).collect(),
        d if d.is(single) => vec![d],
        d => return Err(WireError::Root { found: d.name.clone(), wanted }),
    };
    Ok(list.into_iter().filter_map(stream).collect())
}

fn stream(c: &Element) -> Option<Stream> {
    let video = c.child("Video");
    let audio = c.child("Audio").filter(|a| a.flag_at(&["enabled"]) == Some(true));
    Some(Stream {
        id: c.number_at(&["id"])?,
        video_codec: video.map(|v| v.string_at(&["videoCodecType"])).unwrap_or_default(),
        width: video.and_then(|v| v.number_at(&["videoResolutionWidth"])).unwrap_or(0),
        height: video.and_then(|v| v.number_at(&["videoResolutionHeight"])).unwrap_or(0),
        centi_fps: video.and_then(|v| v.number_at(&["maxFrameRate"])).unwrap_or(0),
        audio_codec: audio.and_then(|a| a.text_at(&["audioCompressionType"])).map(str::to_owned),
        audio_khz: audio.and_then(|a| a.text_at(&["audioSamplingRate"])).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const STREAMS: &[u8] = include_bytes!("../fixtures/streams.xml");

    #[test]
    fn size_rate_and_sound() {
        let s = testing::parse(STREAMS, parse).unwrap();
        assert_eq!(s.len(), 2);
        assert_eq!((s[0].id, s[0].width, s[0].height, s[0].centi_fps), (101, 960, 1088, 0));
        assert_eq!(s[0].audio_codec.as_deref(), Some("G.711ulaw"));
        assert_eq!((s[1].video_codec.as_str(), s[1].centi_fps), ("H.264", 1200));
        assert_eq!(s[1].audio_codec, None);
    }

    #[test]
    fn truncations() {
        testing::sweep(STREAMS, parse);
    }
}
