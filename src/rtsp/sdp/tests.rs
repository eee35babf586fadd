//! Descriptions as texts.

use bytes::Bytes;
use dvrgate_model::{Codec, CodecParams};

use super::read::unhex;
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
    let media = [video, audio, meta].into_iter().enumerate().map(|(i, params)| MediaDescription {
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

/// R8.2-1, R8.2-2, R8.2-3, R8.2-4, R8.2-5, R8.T-9: lines in the order of RFC 4566, and no address of a
/// group where there is none.
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
