//! Descriptions for our clients.

use std::fmt::Write;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use dvrgate_media::codec::aac;
use dvrgate_model::{Codec, CodecParams, TrackKind};

use super::names::encoding_name;
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
    pub(super) fn write(&self, out: &mut String) {
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
