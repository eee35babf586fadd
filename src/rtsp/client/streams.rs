//! Interleaved packets of a session to what a demuxer gives.

use std::collections::VecDeque;

use bytes::Bytes;
use dvrgate_media::codec::Inspector;
use dvrgate_media::container::{Demuxed, Unit};
use dvrgate_model::{CodecParams, MediaTime, TrackKind, Utc};

use crate::rtp::depacketize::{Depacketized, Depacketizer};
use crate::rtp::{Packet, ReplayExtension, Rtcp, rtcp_compound};

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

/// The streams of one session.
#[derive(Debug, Default)]
pub struct Streams {
    streams: Vec<Stream>,
    ready: VecDeque<Received>,
    bytes: u64,
    ended: usize,
}

#[derive(Debug)]
struct Stream {
    media: usize,
    channel: u8,
    payload_type: u8,
    kind: TrackKind,
    clock_hz: u32,
    depacketizer: Depacketizer,
    inspector: Inspector,
    told: bool,
    /// RTP time that counts as 0.
    origin: Option<i64>,
    /// From `RTP-Info`.
    announced: Option<u32>,
    captured: Option<Utc>,
    bye: bool,
}

impl Streams {
    /// Adds a stream: section of the description, RTP channel, payload type, what is known of it.
    pub fn add(&mut self, media: usize, channel: u8, payload_type: u8, params: &CodecParams) {
        self.streams.push(Stream {
            media,
            channel,
            payload_type,
            kind: params.codec.track_kind(),
            clock_hz: params.clock_rate_hz(),
            depacketizer: Depacketizer::new(params.codec),
            inspector: Inspector::with_base(params.clone()),
            told: false,
            origin: None,
            announced: None,
            captured: None,
            bye: false,
        });
    }

    /// A PLAY was answered: everything of the one before is forgotten.
    pub fn restart(&mut self, rtptimes: impl IntoIterator<Item = (usize, u32)>) {
        self.ready.clear();
        self.ended = 0;
        for s in &mut self.streams {
            s.depacketizer.restart();
            (s.origin, s.announced, s.captured, s.bye) = (None, None, None, false);
        }
        for (media, rtptime) in rtptimes {
            if let Some(s) = self.streams.iter_mut().find(|s| s.media == media) {
                s.announced = Some(rtptime);
            }
        }
    }

    /// Takes a packet. Those of unknown channels and what is not RTP is dropped.
    pub fn push(&mut self, channel: u8, data: &Bytes) {
        let at_byte = self.bytes;
        self.bytes += data.len() as u64;
        if let Some(s) = self.streams.iter_mut().find(|s| s.channel == channel) {
            s.rtp(data, at_byte, &mut self.ready);
        } else if let Some(s) =
            self.streams.iter_mut().find(|s| s.channel.checked_add(1) == Some(channel))
        {
            let said_bye = rtcp_compound(data)
                .is_some_and(|all| all.iter().any(|p| matches!(p, Rtcp::Bye { .. })));
            if said_bye && !s.bye {
                s.bye = true;
                self.ended += 1;
                s.depacketizer.finish();
                s.drain(at_byte, &mut self.ready);
            }
        }
    }

    /// What is ready.
    pub fn pull(&mut self) -> Option<Received> {
        self.ready.pop_front()
    }

    /// Whether every stream said goodbye.
    pub fn ended(&self) -> bool {
        self.ended > 0 && self.ended == self.streams.len()
    }

    /// The connection ended: units that are open come out.
    pub fn finish(&mut self) {
        for s in &mut self.streams {
            s.depacketizer.finish();
            s.drain(self.bytes, &mut self.ready);
        }
    }
}

impl Stream {
    fn rtp(&mut self, data: &Bytes, at_byte: u64, ready: &mut VecDeque<Received>) {
        let Ok(packet) = Packet::parse(data) else { return };
        if packet.header.payload_type != self.payload_type {
            return;
        }
        if let Some((profile, body)) = &packet.extension
            && let Some(replay) = ReplayExtension::parse(*profile, &data[body.clone()])
        {
            // A unit that was open ends with the packet before this one.
            self.depacketizer.push(&packet, data);
            self.drain_before(packet.header.timestamp, at_byte, ready);
            self.captured = Some(replay.at);
        } else {
            self.depacketizer.push(&packet, data);
        }
        self.drain(at_byte, ready);
    }

    /// Units of another time than `timestamp` come out with the capture time that was known.
    fn drain_before(&mut self, timestamp: u32, at_byte: u64, ready: &mut VecDeque<Received>) {
        let mut later = Vec::new();
        while let Some(d) = self.depacketizer.pull() {
            match d {
                Depacketized::Unit { rtp_time, .. } if rtp_time as u32 == timestamp => {
                    later.push(d)
                }
                d => self.emit(d, at_byte, ready),
            }
        }
        self.captured = None;
        for d in later {
            self.depacketizer.put_back(d);
        }
    }

    fn drain(&mut self, at_byte: u64, ready: &mut VecDeque<Received>) {
        while let Some(d) = self.depacketizer.pull() {
            self.emit(d, at_byte, ready);
        }
    }

    fn emit(&mut self, d: Depacketized, at_byte: u64, ready: &mut VecDeque<Received>) {
        let received = |item, captured| Received { media: self.media, item, captured };
        match d {
            Depacketized::Lost { packets, why } => {
                // How many bytes they had is not known; a packet is 1400 at most.
                let skipped_bytes = u64::from(packets) * 1400;
                ready.push_back(received(Demuxed::Damage { at_byte, skipped_bytes, why }, None));
            }
            Depacketized::Unit { rtp_time, data } => {
                let seen = self.inspector.inspect(&data);
                if seen.changed || !self.told {
                    self.told = true;
                    let params = self.inspector.params().clone();
                    ready.push_back(received(Demuxed::Params(params), None));
                }
                let announced = self.announced;
                let origin = *self.origin.get_or_insert_with(|| match announced {
                    // The announced start lies within half a turn of the counter.
                    Some(t) => rtp_time + i64::from(t.wrapping_sub(rtp_time as u32) as i32),
                    None => rtp_time,
                });
                let unit = Unit {
                    kind: self.kind,
                    media: MediaTime { ticks: rtp_time - origin, rate_hz: self.clock_hz },
                    frame: seen.kind,
                    data,
                };
                ready.push_back(Received {
                    media: self.media,
                    item: Demuxed::Unit(unit),
                    captured: self.captured,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dvrgate_media::codec::annexb;
    use dvrgate_model::{Codec, FrameKind};

    use super::*;
    use crate::rtp::packetize::{AccessUnit, Packetizer};
    use crate::rtp::{Packets, Target};

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
        streams.add(3, 2, 96, &CodecParams::new(Codec::H264));
        streams.restart([(3, 910)]);
        while let Some((_, [head, body])) = out.datagram() {
            streams.push(2, &Bytes::from([head, body].concat()));
            out.datagram_done();
        }
        streams.push(9, &Bytes::from_static(b"x"));
        streams.finish();
        let mut got = Vec::new();
        while let Some(r) = streams.pull() {
            assert_eq!(r.media, 3);
            if let Demuxed::Unit(u) = r.item {
                got.push((u.frame, u.media.ticks, r.captured));
            }
        }
        let expected =
            [(FrameKind::Key, 90, Some(times[0])), (FrameKind::Predicted, 90_090, Some(times[1]))];
        assert_eq!(got, expected);
    }
}
