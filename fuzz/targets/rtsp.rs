//! RTSP messages and headers, SDP, RTP and RTCP.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use bytes::Bytes;
use dvrgate_media::codec::annexb;
use dvrgate_model::{Codec, CodecParams};
use dvrgate_rtsp::client::Streams;
use dvrgate_rtsp::headers::{
    CSeq, Frames, Immediate, Range, RateControl, Require, RtpInfo, Scale, Session, Speed, Transport,
};
use dvrgate_rtsp::message::{Item, Limits, ParseError, Reader};
use dvrgate_rtsp::rtp::depacketize::{Depacketized, Depacketizer};
use dvrgate_rtsp::rtp::{Packet, ReplayExtension, rtcp_compound};
use dvrgate_rtsp::sdp::{Description, MediaDescription, Remote, payload_type};

/// A connection: messages and interleaved packets.
pub fn rtsp_message(data: &[u8]) {
    let whole = read(data, data.len().max(1));
    for size in super::piece_sizes(data) {
        assert_eq!(read(data, size), whole, "pieces of {size}");
    }
    for item in &whole.0 {
        let wire = match item {
            Item::Request(r) => r.to_bytes(),
            Item::Response(r) => r.to_bytes(),
            Item::Packet { .. } => continue,
        };
        let (mut again, error) = read(&wire, wire.len());
        assert_eq!((again.len(), error), (1, None), "what is written is one message");
        match (item, again.remove(0)) {
            (Item::Request(a), Item::Request(b)) => {
                assert_eq!((&a.method, &a.uri, &a.body), (&b.method, &b.uri, &b.body));
            }
            (Item::Response(a), Item::Response(b)) => {
                assert_eq!((a.status, &a.body), (b.status, &b.body));
            }
            (a, b) => panic!("{a:?} became {b:?}"),
        }
    }
}

fn read(data: &[u8], piece: usize) -> (Vec<Item>, Option<ParseError>) {
    let mut reader = Reader::new(Limits::default());
    let mut items = Vec::new();
    for piece in data.chunks(piece) {
        reader.push(piece);
        loop {
            match reader.next_item() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => return (items, Some(error)),
            }
        }
    }
    (items, None)
}

/// The value of a header, whichever.
pub fn rtsp_headers(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    written::<CSeq>(text);
    written::<Frames>(text);
    written::<Immediate>(text);
    written::<Range>(text);
    written::<RateControl>(text);
    written::<RtpInfo>(text);
    written::<Scale>(text);
    written::<Session>(text);
    written::<Speed>(text);
    written::<Transport>(text);
    let _ = (Transport::alternatives(text), text.parse::<Require>());
}

/// What is read can be written, and what is written reads back.
fn written<T: FromStr<Err: Debug> + Display + Debug>(text: &str) {
    let Ok(value) = text.parse::<T>() else { return };
    let wire = value.to_string();
    assert!(!wire.contains(['\r', '\n']) || text.contains(['\r', '\n']), "{wire:?}");
    let again = wire.parse::<T>();
    let again = again.unwrap_or_else(|e| panic!("{text:?} gave {value:?}, but {wire:?}: {e:?}"));
    assert_eq!(again.to_string(), wire, "{text:?}");
}

/// A session description of a recorder; what is known of it, described again.
pub fn sdp(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    let Some(remote) = Remote::parse(text) else { return };
    let known = remote.media.iter().filter_map(|m| Some((m.params.clone()?, m.track.clone())));
    let media = known.enumerate().map(|(i, (params, track))| MediaDescription {
        payload_type: payload_type(&params, i),
        params,
        control: format!("track{}", i + 1),
        track,
    });
    let own = Description {
        version: 1,
        address: [192, 0, 2, 10].into(),
        name: remote.range.clone().unwrap_or_default(),
        range: None,
        media: media.collect(),
    };
    let text = own.to_text();
    let codecs = |all: &Remote| -> Vec<Option<Codec>> {
        all.media.iter().map(|m| m.params.as_ref().map(|p| p.codec)).collect()
    };
    let expected: Vec<_> = codecs(&remote).into_iter().filter(Option::is_some).collect();
    let again = Remote::parse(&text).map(|r| codecs(&r)).unwrap_or_default();
    assert_eq!(again, expected, "{text}");
}

/// Every payload format.
const CODECS: [Codec; 9] = [
    Codec::H264,
    Codec::H265,
    Codec::Mpeg4,
    Codec::Jpeg,
    Codec::Pcma,
    Codec::Pcmu,
    Codec::G726 { kbit: 32 },
    Codec::Aac,
    Codec::Metadata,
];

/// A byte that chooses the payload format, then packets of one stream, each behind two bytes of
/// length: to the depacketizer, and as interleaved RTP and RTCP.
pub fn rtp(data: &[u8]) {
    let Some((choice, mut rest)) = data.split_first() else { return };
    let codec = CODECS[usize::from(*choice) % CODECS.len()];
    let mut depacketizer = Depacketizer::new(codec);
    let mut streams = Streams::new(&[112]);
    streams.add(0, 0, 96, Some(&CodecParams::new(codec)));
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(tail.len());
        let (bytes, tail) = tail.split_at(length);
        rest = tail;
        let bytes = Bytes::copy_from_slice(bytes);
        if let Ok(packet) = Packet::parse(&bytes) {
            if let Some((profile, body)) = &packet.extension
                && let Some(replay) = ReplayExtension::parse(*profile, &bytes[body.clone()])
            {
                assert!(ReplayExtension::parse(*profile, &replay.to_bytes()[4..]).is_some());
            }
            depacketizer.push(&packet, &bytes);
            drain(codec, &mut depacketizer);
        }
        let _ = rtcp_compound(&bytes);
        streams.push(0, &bytes);
        streams.push(1, &bytes);
    }
    depacketizer.finish();
    drain(codec, &mut depacketizer);
    streams.finish();
    while streams.pull().is_some() {}
}

fn drain(codec: Codec, depacketizer: &mut Depacketizer) {
    while let Some(item) = depacketizer.pull() {
        if let (Depacketized::Unit { data, .. }, Codec::H264 | Codec::H265) = (item, codec) {
            assert!(annexb::is_whole(&data), "a unit of whole NAL units");
        }
    }
}
