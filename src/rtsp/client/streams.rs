//! Interleaved packets of a session to what a demuxer gives.

use std::collections::VecDeque;

use bytes::Bytes;
use dvrgate_media::container::Demuxed;
use dvrgate_model::{CodecParams, Utc};

use super::decoder::Decoder;
use crate::rtp::{Packet, Rtcp, rtcp_compound};

/// Something that a stream of the session brought.
#[derive(Clone, Debug)]
pub struct Received {
    /// Index of the media section in the description.
    pub media: usize,
    /// What came. Media times count from the start of the playback, on the stream's own clock.
    pub item: Demuxed,
    /// When the unit was captured, where the server sends the replay extension of ONVIF.
    pub captured: Option<Utc>,
}

/// What the streams bring, in the order of its arrival.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// As a demultiplexer gives it.
    Media(Received),
    /// A packet of a payload type that the caller reads itself.
    Raw(RawPacket),
}

/// A packet as it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RawPacket {
    /// Index of the media section in the description.
    pub media: usize,
    /// One of those that were asked for.
    pub payload_type: u8,
    /// M bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// RTP timestamp, as it stands.
    pub rtp_time: u32,
    /// Payload without padding.
    pub data: Bytes,
}

/// Where a stream begins, as `RTP-Info` tells.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Start {
    /// Index of the media section.
    pub media: usize,
    /// Sequence number of its first packet.
    pub sequence: Option<u16>,
    /// RTP timestamp of the start of the playback.
    pub rtp_time: Option<u32>,
}

/// The streams of one session.
#[derive(Debug, Default)]
pub struct Streams {
    streams: Vec<Stream>,
    raw_payload_types: Vec<u8>,
    ready: Queue,
    bytes: u64,
    ended: usize,
}

/// What waits to be pulled.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: VecDeque<Incoming>,
    bytes: usize,
}

#[derive(Debug)]
struct Stream {
    media: usize,
    channel: u8,
    payload_type: u8,
    /// `None` where only raw packets are wanted.
    decoder: Option<Decoder>,
    /// Sequence number of the packet before.
    last: Option<u16>,
    /// After a seek: last number of the old playback and first one of the new.
    stale: Option<(u16, u16)>,
    bye: bool,
}

/// Bounds of what waits while nobody pulls: packets beyond them are dropped and the units that they
/// belong to reported as lost. Units are pulled all the time but during a request, which takes
/// seconds at most; footage at 8 times its pace fits.
const MAX_READY: usize = 8192;
const MAX_READY_BYTES: usize = 32 * 1024 * 1024;
/// Packets of the old playback that may still come after the answer to a seek. A wrong `RTP-Info`
/// costs no more than these.
const MAX_STALE: u16 = 64;

impl Streams {
    /// Without streams; packets of these payload types will come out as they are.
    pub fn new(raw_payload_types: &[u8]) -> Self {
        Self { raw_payload_types: raw_payload_types.to_vec(), ..Self::default() }
    }

    /// Adds a stream: section of the description, RTP channel, payload type, what is known of it.
    /// Without that, only its raw packets come out.
    pub fn add(
        &mut self,
        media: usize,
        channel: u8,
        payload_type: u8,
        params: Option<&CodecParams>,
    ) {
        let decoder = params.map(|p| Decoder::new(media, p));
        self.streams.push(Stream {
            media,
            channel,
            payload_type,
            decoder,
            last: None,
            stale: None,
            bye: false,
        });
    }

    /// A PLAY was answered: everything of the one before is forgotten.
    pub fn restart(&mut self, starts: &[Start]) {
        self.ready = Queue::default();
        self.ended = 0;
        for s in &mut self.streams {
            let start = starts.iter().find(|start| start.media == s.media);
            // What still comes of the old playback lies between its last packet and the first.
            s.stale = s.last.zip(start.and_then(|start| start.sequence));
            s.last = None;
            s.bye = false;
            if let Some(d) = &mut s.decoder {
                d.restart(start.and_then(|start| start.rtp_time));
            }
        }
    }

    /// Takes a packet. Those of unknown channels and what is not RTP is dropped. Says whether it
    /// was RTP of a stream.
    pub fn push(&mut self, channel: u8, data: &Bytes) -> bool {
        let at_byte = self.bytes;
        self.bytes += data.len() as u64;
        let Some((at, rtcp)) = self.stream_of(channel, data) else { return false };
        let s = &mut self.streams[at];
        if !rtcp {
            let Ok(packet) = Packet::parse(data) else { return false };
            if !self.ready.is_full() {
                s.rtp(&packet, data, at_byte, &self.raw_payload_types, &mut self.ready);
            }
            return true;
        }
        let said_bye = rtcp_compound(data)
            .is_some_and(|all| all.iter().any(|p| matches!(p, Rtcp::Bye { .. })));
        if said_bye && !s.bye {
            s.bye = true;
            self.ended += 1;
            s.finish(at_byte, &mut self.ready);
        }
        false
    }

    /// Which stream a packet belongs to, and whether it is RTCP. Some servers agree to the same
    /// channel for every stream; the payload type then tells.
    fn stream_of(&self, channel: u8, data: &[u8]) -> Option<(usize, bool)> {
        let mut on_channel =
            (0..self.streams.len()).filter(|i| self.streams[*i].channel == channel);
        if let Some(first) = on_channel.next() {
            let payload_type = data.get(1).map(|b| b & 0x7f);
            let of_type = |i: &usize| Some(self.streams[*i].payload_type) == payload_type;
            let at = std::iter::once(first).chain(on_channel).find(of_type);
            return Some((at.unwrap_or(first), false));
        }
        let at = self.streams.iter().position(|s| s.channel.checked_add(1) == Some(channel))?;
        Some((at, true))
    }

    /// What is ready.
    pub fn pull(&mut self) -> Option<Incoming> {
        self.ready.pop()
    }

    /// Whether every stream said goodbye.
    pub fn ended(&self) -> bool {
        self.ended > 0 && self.ended == self.streams.len()
    }

    /// The connection ended: units that are open come out.
    pub fn finish(&mut self) {
        for s in &mut self.streams {
            s.finish(self.bytes, &mut self.ready);
        }
    }
}

impl Queue {
    pub(super) fn push(&mut self, incoming: Incoming) {
        self.bytes += incoming.len();
        self.items.push_back(incoming);
    }

    fn pop(&mut self) -> Option<Incoming> {
        let incoming = self.items.pop_front()?;
        self.bytes -= incoming.len();
        Some(incoming)
    }

    fn is_full(&self) -> bool {
        self.items.len() >= MAX_READY || self.bytes >= MAX_READY_BYTES
    }
}

impl Incoming {
    fn len(&self) -> usize {
        match self {
            Self::Media(Received { item: Demuxed::Unit(unit), .. }) => unit.data.len(),
            Self::Media(_) => 0,
            Self::Raw(packet) => packet.data.len(),
        }
    }
}

impl Stream {
    fn rtp(
        &mut self,
        packet: &Packet,
        data: &Bytes,
        at_byte: u64,
        raw_payload_types: &[u8],
        ready: &mut Queue,
    ) {
        let h = &packet.header;
        if let Some((old, first)) = self.stale {
            // Counted from the old playback: close behind it, and the first is not reached.
            let behind_old = h.sequence.wrapping_sub(old);
            if behind_old <= MAX_STALE && behind_old < first.wrapping_sub(old) {
                return;
            }
            self.stale = None;
        }
        self.last = Some(h.sequence);
        if h.payload_type != self.payload_type
            && let Some(d) = &mut self.decoder
        {
            d.pass(h.sequence);
        }
        if raw_payload_types.contains(&h.payload_type) {
            ready.push(Incoming::Raw(RawPacket {
                media: self.media,
                payload_type: h.payload_type,
                marker: h.marker,
                sequence: h.sequence,
                rtp_time: h.timestamp,
                data: data.slice(packet.payload.clone()),
            }));
        } else if h.payload_type == self.payload_type
            && let Some(d) = &mut self.decoder
        {
            d.rtp(packet, data, at_byte, ready);
        }
    }

    fn finish(&mut self, at_byte: u64, ready: &mut Queue) {
        if let Some(d) = &mut self.decoder {
            d.finish(at_byte, ready);
        }
    }
}

#[cfg(test)]
mod tests {
    use dvrgate_media::codec::annexb;
    use dvrgate_model::{Codec, FrameKind};

    use super::*;
    use crate::rtp::packetize::{AccessUnit, Packetizer};
    use crate::rtp::{Header, Packets, ReplayExtension, Target};

    #[test]
    fn units_count_from_the_announced_start_and_carry_the_capture_time() {
        let mut params = CodecParams::new(Codec::H264);
        params.parameter_sets.push(Bytes::from_static(&[
            0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03,
            0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xca, 0x3c, 0x58, 0xb9, 0x20,
        ]));
        params.parameter_sets.push(Bytes::from_static(&[0x68, 0xce, 0x3c, 0x80]));
        let mut p = Packetizer::new(Codec::H264, 96, 1, 0);
        let mut out = Packets::default();
        let times: Vec<Utc> = [100, 101].into_iter().map(Utc::from_secs).collect();
        for (i, at) in times.iter().enumerate() {
            let data = annexb::join([&[if i == 0 { 0x65 } else { 0x41 }, 0x9a, 1, 2, 3][..]]);
            let unit = AccessUnit {
                timestamp: 1_000 + 90_000 * i as u32,
                extension: Some(ReplayExtension {
                    at: *at,
                    clean: i == 0,
                    end_of_section: false,
                    discontinuity: false,
                    terminal: false,
                    cseq: 1,
                }),
                clean: i == 0,
                params: &params,
                data: &data,
            };
            p.packetize(&unit, Target::Rtp(0), &mut out);
        }
        let mut streams = Streams::default();
        streams.add(3, 2, 96, Some(&CodecParams::new(Codec::H264)));
        streams.restart(&[Start { media: 3, sequence: Some(0), rtp_time: Some(910) }]);
        while let Some((_, [head, body])) = out.datagram() {
            streams.push(2, &Bytes::from([head, body].concat()));
            out.datagram_done();
        }
        streams.push(9, &Bytes::from_static(b"x"));
        streams.finish();
        let mut got = Vec::new();
        while let Some(r) = streams.pull() {
            let Incoming::Media(r) = r else { panic!("{r:?}") };
            assert_eq!(r.media, 3);
            if let Demuxed::Unit(u) = r.item {
                got.push((u.frame, u.media.ticks, r.captured));
            }
        }
        let expected =
            [(FrameKind::Key, 90, Some(times[0])), (FrameKind::Predicted, 90_090, Some(times[1]))];
        assert_eq!(got, expected);
    }

    fn packet(payload_type: u8, sequence: u16, data: &[u8]) -> Bytes {
        let mut out = Vec::new();
        let header = Header { marker: true, payload_type, sequence, timestamp: 160, ssrc: 1 };
        header.write(&mut out, false);
        out.extend_from_slice(data);
        out.into()
    }

    fn sound() -> CodecParams {
        CodecParams::new(Codec::Pcmu)
    }

    /// The last byte of every unit that is ready.
    fn units(streams: &mut Streams) -> Vec<u8> {
        std::iter::from_fn(|| streams.pull())
            .filter_map(|i| match i {
                Incoming::Media(Received { item: Demuxed::Unit(u), .. }) => u.data.last().copied(),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn packets_of_the_old_playback_are_dropped_after_a_seek() {
        let start = |sequence| [Start { media: 0, sequence, rtp_time: None }];
        for (first, sent, expected) in [
            (Some(20), &[11, 12, 20, 21][..], &[20, 21][..]),
            (Some(20), &[19, 21, 22], &[21, 22]), // the first is lost
            (Some(12), &[11, 12], &[12]),         // numbers go on
            (Some(5), &[11, 5, 6], &[5, 6]),      // numbers go back
            (None, &[11, 12], &[11, 12]),         // told nothing
            (Some(40_000), &[11, 40_000], &[64]), // 40 000 modulo 256
            (Some(30_000), &[400, 401], &[144, 145]), // not what was announced, and not the old one
        ] {
            let mut s = Streams::default();
            s.add(0, 0, 0, Some(&sound()));
            s.push(0, &packet(0, 10, &[1, 10]));
            s.restart(&start(first));
            for n in sent {
                s.push(0, &packet(0, *n, &[1, *n as u8]));
            }
            assert_eq!(units(&mut s), expected, "{first:?}");
        }
    }

    #[test]
    fn raw_packets_come_as_they_are_and_unknown_ones_not_at_all() {
        let mut s = Streams::new(&[112]);
        s.add(0, 0, 0, Some(&sound()));
        s.add(1, 2, 98, None);
        for (channel, payload_type) in [(0, 112), (0, 0), (0, 99), (2, 98), (2, 112)] {
            assert!(s.push(channel, &packet(payload_type, 7, b"private")));
        }
        assert!(!s.push(0, &Bytes::from_static(b"no RTP")) && !s.push(7, &packet(0, 7, b"x")));
        let got: Vec<_> = std::iter::from_fn(|| s.pull())
            .filter_map(|i| match i {
                Incoming::Raw(p) => Some((p.media, p.payload_type, p.rtp_time, p.data)),
                Incoming::Media(Received { media, item: Demuxed::Unit(u), .. }) => {
                    Some((media, 0, 0, u.data))
                }
                Incoming::Media(_) => None,
            })
            .collect();
        let data = Bytes::from_static(b"private");
        assert_eq!(
            got,
            [(0, 112, 160, data.clone()), (0, 0, 0, data.clone()), (1, 112, 160, data)]
        );
    }

    #[test]
    fn streams_that_share_a_channel_are_told_apart_by_payload_type() {
        let mut s = Streams::default();
        s.add(0, 0, 8, Some(&CodecParams::new(Codec::Pcma)));
        s.add(1, 0, 0, Some(&sound()));
        s.push(0, &packet(0, 1, b"x"));
        assert!(matches!(s.pull(), Some(Incoming::Media(Received { media: 1, .. }))));
    }

    #[test]
    fn what_nobody_pulls_is_bounded() {
        let mut s = Streams::default();
        s.add(0, 0, 0, Some(&sound()));
        let data = vec![0; 60_000];
        for n in 0..2_000 {
            s.push(0, &packet(0, n, &data));
        }
        assert!(s.ready.bytes < MAX_READY_BYTES + data.len());
        for n in 2_000..20_000 {
            s.push(0, &packet(0, n, b""));
        }
        assert!(s.ready.items.len() <= MAX_READY);
        while s.pull().is_some() {}
        assert_eq!(s.ready.bytes, 0);
        s.push(0, &packet(0, 20_000, b"x"));
        let Some(Incoming::Media(next)) = s.pull() else { panic!("nothing") };
        assert!(matches!(next.item, Demuxed::Damage { .. }), "{next:?}");
        assert_eq!(units(&mut s), b"x");
    }
}
