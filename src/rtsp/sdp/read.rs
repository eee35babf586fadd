//! Descriptions of recorders.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use dvrgate_media::codec::h264;
use dvrgate_model::{Codec, CodecParams, TrackKind};

use super::names::codec_of;

/// A description as received.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Remote {
    /// `a=control` of the session.
    pub control: Option<String>,
    /// `a=range` of the session, as it stands.
    pub range: Option<String>,
    /// Media sections in their order.
    pub media: Vec<RemoteMedia>,
}

/// One media section as received.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RemoteMedia {
    /// `video`, `audio`, `application`, …
    pub kind: String,
    /// First payload type of the section.
    pub payload_type: u8,
    /// Encoding and what `fmtp` tells; `None` where dvrgate does not know the encoding.
    pub params: Option<CodecParams>,
    /// Encoding name as received, for the log.
    pub encoding: String,
    /// RTP clock.
    pub clock_hz: u32,
    /// `a=control`.
    pub control: Option<String>,
    /// `a=x-onvif-track`.
    pub track: Option<String>,
}

/// More sections than any recorder has.
const MAX_MEDIA: usize = 32;

impl Remote {
    /// Reads a description. Lines that make no sense are passed over; `None` only where there is
    /// no media section at all.
    pub fn parse(text: &str) -> Option<Self> {
        let mut out = Self::default();
        for line in text.lines() {
            let Some((kind, value)) = line.trim_end().split_once('=') else { continue };
            let room = out.media.len() < MAX_MEDIA;
            match (kind, out.media.last_mut()) {
                ("m", _) if room => {
                    if let Some(media) = RemoteMedia::parse(value) {
                        out.media.push(media);
                    }
                }
                ("a", Some(media)) => media.attribute(value),
                ("a", None) => match value.split_once(':') {
                    Some(("control", v)) => out.control = Some(v.trim().to_owned()),
                    Some(("range", v)) => out.range = Some(v.trim().to_owned()),
                    _ => {}
                },
                _ => {}
            }
        }
        (!out.media.is_empty()).then_some(out)
    }
}

impl RemoteMedia {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let kind = words.next()?.to_ascii_lowercase();
        let payload_type: u8 = words.nth(2)?.parse().ok().filter(|t| *t < 128)?;
        let (encoding, clock_hz) = match payload_type {
            0 => ("PCMU", 8_000),
            8 => ("PCMA", 8_000),
            26 => ("JPEG", 90_000),
            _ => ("", 90_000),
        };
        let mut media = Self {
            kind,
            payload_type,
            params: None,
            encoding: String::new(),
            clock_hz,
            control: None,
            track: None,
        };
        if !encoding.is_empty() {
            media.encoded(encoding, clock_hz, 1);
        }
        Some(media)
    }

    fn encoded(&mut self, name: &str, clock_hz: u32, channels: u16) {
        name.clone_into(&mut self.encoding);
        self.clock_hz = clock_hz;
        self.params = codec_of(name).map(|codec| {
            let mut p = CodecParams::new(codec);
            if codec.track_kind() == TrackKind::Audio {
                p.sample_rate_hz = clock_hz;
                p.channels = channels;
            }
            p
        });
    }

    fn attribute(&mut self, text: &str) {
        let Some((name, value)) = text.split_once(':') else { return };
        let value = value.trim();
        // `rtpmap` and `fmtp` begin with the payload type they are about.
        let about = || {
            let (pt, rest) = value.split_once(' ')?;
            (pt.parse() == Ok(self.payload_type)).then(|| rest.trim())
        };
        match name.trim() {
            "control" => self.control = Some(value.to_owned()),
            "x-onvif-track" => self.track = Some(value.to_owned()),
            "rtpmap" => {
                if let Some(rest) = about() {
                    let mut parts = rest.split('/').map(str::trim);
                    let name = parts.next().unwrap_or_default().to_owned();
                    let clock = parts.next().and_then(|c| c.parse().ok()).filter(|c| *c > 0);
                    let channels = parts.next().and_then(|c| c.parse().ok()).unwrap_or(1);
                    self.encoded(&name, clock.unwrap_or(self.clock_hz), channels);
                }
            }
            "fmtp" => {
                if let Some(rest) = about().map(str::to_owned) {
                    self.format(&rest);
                }
            }
            _ => {}
        }
    }

    fn format(&mut self, text: &str) {
        let Some(params) = &mut self.params else { return };
        let mut sets: [Vec<Bytes>; 3] = Default::default();
        let decode = |value: &str| -> Vec<Bytes> {
            value
                .split(',')
                .filter_map(|v| BASE64.decode(v.trim()).ok())
                .filter(|v| !v.is_empty())
                .map(Bytes::from)
                .collect()
        };
        for part in text.split(';') {
            let Some((key, value)) = part.split_once('=') else { continue };
            let value = value.trim();
            match (params.codec, key.trim().to_ascii_lowercase().as_str()) {
                (Codec::H264, "sprop-parameter-sets") => sets[0] = decode(value),
                (Codec::H265, "sprop-vps") => sets[0] = decode(value),
                (Codec::H265, "sprop-sps") => sets[1] = decode(value),
                (Codec::H265, "sprop-pps") => sets[2] = decode(value),
                (Codec::Aac | Codec::Mpeg4, "config") => {
                    params.config = unhex(value).unwrap_or_default();
                }
                _ => {}
            }
        }
        let usable = match params.codec {
            // Bogus sets are seen; the ones in band then tell.
            Codec::H264 => sets[0].first().is_some_and(|s| h264::Sps::parse(s).is_some()),
            _ => sets.iter().all(|s| !s.is_empty()),
        };
        if usable {
            params.parameter_sets = sets.into_iter().flatten().collect();
        }
    }
}

pub(super) fn unhex(text: &str) -> Option<Bytes> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[i * 2..i * 2 + 2], 16).ok()).collect()
}
