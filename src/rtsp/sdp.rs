//! Session descriptions: written for our clients, read from recorders.
//!
//! RFC 4566; the `fmtp` of RFC 6184, 7798, 3640, 6416; ONVIF Streaming 6.2 (`a=x-onvif-track`).

use std::fmt::Write;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use dvrgate_media::codec::{aac, h264};
use dvrgate_model::{Codec, CodecParams, TrackKind};

use crate::headers::ClockRange;

/// What a presentation offers.
#[derive(Clone, Debug)]
pub struct Description {
    /// Changes when the description does.
    pub version: u64,
    /// Address of the server, of the family that the connection uses (R8.2-4).
    pub address: IpAddr,
    /// Name of the session.
    pub name: String,
    /// From the first to the last data.
    pub range: Option<ClockRange>,
    /// One for each track (R8.2-1).
    pub media: Vec<MediaDescription>,
}

/// One track of a presentation.
#[derive(Clone, Debug)]
pub struct MediaDescription {
    /// What it is encoded with.
    pub params: CodecParams,
    /// Payload type of its packets.
    pub payload_type: u8,
    /// Its own control URL, relative to the presentation (R8.2-5).
    pub control: String,
    /// ONVIF TrackToken (R8.2-2).
    pub track: Option<String>,
}

/// The static payload type of an encoding (RFC 3551 table 4), or one of the dynamic ones.
pub fn payload_type(params: &CodecParams, index: usize) -> u8 {
    let telephone = params.clock_rate_hz() == 8_000 && params.channels <= 1;
    match params.codec {
        Codec::Pcmu if telephone => 0,
        Codec::Pcma if telephone => 8,
        Codec::Jpeg => 26,
        _ => 96 + (index % 32) as u8,
    }
}

impl Description {
    /// As on the wire.
    pub fn to_text(&self) -> String {
        let (family, any) = match self.address {
            IpAddr::V4(_) => ("IP4", "0.0.0.0"),
            IpAddr::V6(_) => ("IP6", "::"),
        };
        let mut out = format!(
            "v=0\r\no=- {} 1 IN {family} {}\r\ns={}\r\nc=IN {family} {any}\r\nt=0 0\r\na=control:*\r\n",
            self.version,
            self.address,
            one_line(&self.name),
        );
        if let Some(range) = &self.range {
            let _ = write!(out, "a=range:{range}\r\n");
        }
        for media in &self.media {
            media.write(&mut out);
        }
        out
    }
}

/// A session name must be there and must not break out of its line.
fn one_line(text: &str) -> String {
    let line: String = text.chars().filter(|c| !c.is_control()).collect();
    if line.trim().is_empty() { "-".to_owned() } else { line }
}

impl MediaDescription {
    fn write(&self, out: &mut String) {
        let (p, pt) = (&self.params, self.payload_type);
        let kind = match p.codec.track_kind() {
            TrackKind::Video => "video",
            TrackKind::Audio => "audio",
            TrackKind::Metadata => "application",
        };
        let clock = p.clock_rate_hz();
        let _ = write!(out, "m={kind} 0 RTP/AVP {pt}\r\n");
        let _ = write!(out, "a=rtpmap:{pt} {}/{clock}", encoding_name(p.codec));
        if p.codec.track_kind() == TrackKind::Audio && p.channels > 1 {
            let _ = write!(out, "/{}", p.channels);
        }
        out.push_str("\r\n");
        if let Some(fmtp) = fmtp(p) {
            let _ = write!(out, "a=fmtp:{pt} {fmtp}\r\n");
        }
        if let (Some((n, d)), TrackKind::Video) = (p.frame_rate, p.codec.track_kind())
            && d > 0
        {
            let _ = write!(out, "a=framerate:{:.3}\r\n", f64::from(n) / f64::from(d));
        }
        let _ = write!(out, "a=control:{}\r\n", self.control);
        if let Some(track) = &self.track {
            let _ = write!(out, "a=x-onvif-track:{}\r\n", one_line(track));
        }
        // No `a=sendonly`: ONVIF Streaming 5.3 gives it to back channels, and players believe it.
    }
}

/// Encoding names of `a=rtpmap`.
fn encoding_name(codec: Codec) -> &'static str {
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

fn codec_of(name: &str) -> Option<Codec> {
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

fn fmtp(p: &CodecParams) -> Option<String> {
    let sets = |from: usize, n: usize| {
        let sets: Vec<_> =
            p.parameter_sets.iter().skip(from).take(n).map(|s| BASE64.encode(s)).collect();
        sets.join(",")
    };
    match p.codec {
        Codec::H264 => {
            let mut line = "packetization-mode=1".to_owned();
            if let Some([_, profile, constraints, level]) =
                p.parameter_sets.first()?.first_chunk::<4>()
            {
                let _ = write!(line, ";profile-level-id={profile:02X}{constraints:02X}{level:02X}");
            }
            let _ = write!(line, ";sprop-parameter-sets={}", sets(0, usize::MAX));
            Some(line)
        }
        Codec::H265 if p.parameter_sets.len() >= 3 => Some(format!(
            "sprop-vps={};sprop-sps={};sprop-pps={}",
            sets(0, 1),
            sets(1, 1),
            sets(2, usize::MAX)
        )),
        Codec::Aac => Some(format!(
            "streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;\
             indexdeltalength=3;config={}",
            hex(&aac_config(p))
        )),
        Codec::Mpeg4 if !p.config.is_empty() => {
            // Profile and level stand behind the start code of the sequence; else simple, level 1.
            let profile = p.config.strip_prefix(&[0, 0, 1, 0xb0]).and_then(|rest| rest.first());
            let profile = profile.copied().unwrap_or(1);
            Some(format!("profile-level-id={profile};config={}", hex(&p.config)))
        }
        _ => None,
    }
}

/// The AudioSpecificConfig, or that of AAC LC where only rate and channels are known: RFC 3640 wants
/// one.
fn aac_config(p: &CodecParams) -> Bytes {
    const AAC_LC: u8 = 2;
    if !p.config.is_empty() {
        return p.config.clone();
    }
    let (rate_hz, channels) = (p.clock_rate_hz(), p.channels.max(1));
    aac::Config { object_type: AAC_LC, rate_hz, channels }.bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02X}");
        out
    })
}

fn unhex(text: &str) -> Option<Bytes> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[i * 2..i * 2 + 2], 16).ok()).collect()
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        let mut video = CodecParams::new(Codec::H264);
        video.parameter_sets.push(Bytes::from_static(&[0x67, 0x42, 0x00, 0x1f, 0xe5]));
        video.parameter_sets.push(Bytes::from_static(&[0x68, 0xce, 0x3c, 0x80]));
        video.frame_rate = Some((25, 1));
        let mut audio = CodecParams::new(Codec::Pcma);
        audio.sample_rate_hz = 8000;
        audio.channels = 1;
        let meta = CodecParams::new(Codec::Metadata);
        let media =
            [video, audio, meta].into_iter().enumerate().map(|(i, params)| MediaDescription {
                payload_type: payload_type(&params, i),
                params,
                control: format!("track{}", i + 1),
                track: Some(format!("yard-{i}")),
            });
        Description {
            version: 3_454_055_340,
            address: "192.0.2.10".parse().unwrap(),
            name: "Yard\r\na=evil".into(),
            range: None,
            media: media.collect(),
        }
    }

    /// R8.2-1, R8.2-2, R8.2-3, R8.2-4, R8.2-5
    #[test]
    fn one_section_for_each_track() {
        let text = description().to_text();
        let expected = "v=0\r\no=- 3454055340 1 IN IP4 192.0.2.10\r\ns=Yarda=evil\r\n\
            c=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n\
            m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
            a=fmtp:96 packetization-mode=1;profile-level-id=42001F;\
            sprop-parameter-sets=Z0IAH+U=,aM48gA==\r\na=framerate:25.000\r\n\
            a=control:track1\r\na=x-onvif-track:yard-0\r\n\
            m=audio 0 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n\
            a=control:track2\r\na=x-onvif-track:yard-1\r\n\
            m=application 0 RTP/AVP 98\r\na=rtpmap:98 vnd.onvif.metadata/90000\r\n\
            a=control:track3\r\na=x-onvif-track:yard-2\r\n";
        assert_eq!(text, expected);
        let v6 = Description { address: "2001:db8::1".parse().unwrap(), ..description() };
        assert!(v6.to_text().contains("c=IN IP6 ::\r\n"));
    }

    #[test]
    fn what_we_write_we_can_read() {
        let read = Remote::parse(&description().to_text()).unwrap();
        let kinds: Vec<_> = read.media.iter().map(|m| (m.kind.as_str(), m.clock_hz)).collect();
        assert_eq!(kinds, [("video", 90_000), ("audio", 8_000), ("application", 90_000)]);
        assert_eq!(read.media[1].track.as_deref(), Some("yard-1"));
        assert_eq!(read.control.as_deref(), Some("*"));
    }

    #[test]
    fn a_recorders_description() {
        let text = "v=0\no=- 1 0 IN IP4 0.0.0.0\ns= Media Server\nt=0 0\na=control:*\nb=AS:4106\n\
            a=range:clock=20210818T151815Z-20210818T151908Z\n\
            m=video 0 RTP/AVP 96\ni=Video Media\na=rtpmap:96 H265/90000\na=control:trackID=video\n\
            a=fmtp:96 profile-level-id=4D0014;packetization-mode=0\n\
            m=audio 0 RTP/AVP 8\na=rtpmap:8 PCMA/8000\na=control:trackID=audio\n\
            m=application 0 RTP/AVP 107\na=rtpmap:107 x-unknown/90000\n\
            a=Media_header:MEDIAINFO=494D4B48;\nm=broken\na=appversion:1.0\n";
        let d = Remote::parse(text).unwrap();
        assert_eq!(d.range.as_deref(), Some("clock=20210818T151815Z-20210818T151908Z"));
        let codecs: Vec<_> = d.media.iter().map(|m| m.params.as_ref().map(|p| p.codec)).collect();
        assert_eq!(codecs, [Some(Codec::H265), Some(Codec::Pcma), None]);
        assert_eq!(d.media[0].control.as_deref(), Some("trackID=video"));
        for end in 0..text.len() {
            let _ = Remote::parse(&text[..end]);
        }
    }

    #[test]
    fn what_formats_need_stands_in_their_lines() {
        let mut mpeg4 = CodecParams::new(Codec::Mpeg4);
        mpeg4.config = Bytes::from_static(&[0, 0, 1, 0xb0, 0xf5, 0, 0, 1, 0x20, 7]);
        let sound =
            |codec| CodecParams { sample_rate_hz: 16_000, channels: 1, ..CodecParams::new(codec) };
        let telephone = |codec| CodecParams { sample_rate_hz: 8_000, ..sound(codec) };
        for (params, payload, lines) in [
            (
                mpeg4,
                96,
                "a=rtpmap:96 MP4V-ES/90000\r\n\
                 a=fmtp:96 profile-level-id=245;config=000001B0F50000012007\r\n",
            ),
            (CodecParams::new(Codec::Jpeg), 26, "a=rtpmap:26 JPEG/90000\r\n"),
            (telephone(Codec::G726 { kbit: 24 }), 96, "a=rtpmap:96 G726-24/8000\r\n"),
            (
                sound(Codec::Aac),
                96,
                "a=rtpmap:96 mpeg4-generic/16000\r\n\
                 a=fmtp:96 streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;\
                 indexlength=3;indexdeltalength=3;config=1408\r\n",
            ),
        ] {
            let payload_type = payload_type(&params, 0);
            assert_eq!(payload_type, payload);
            let mut text = String::new();
            let control = "track1".to_owned();
            MediaDescription { params, payload_type, control, track: None }.write(&mut text);
            assert!(text.contains(lines), "{text}");
        }
    }

    #[test]
    fn sound_and_its_configuration() {
        let text = "m=audio 0 RTP/AVP 97\na=rtpmap:97 mpeg4-generic/16000/2\n\
            a=fmtp:97 mode=AAC-hbr; sizelength=13; config=1410\n";
        let d = Remote::parse(text).unwrap();
        let p = d.media[0].params.as_ref().unwrap();
        assert_eq!((p.codec, p.sample_rate_hz, p.channels), (Codec::Aac, 16_000, 2));
        assert_eq!(&p.config[..], [0x14, 0x10]);
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("zz"), None);
    }
}
