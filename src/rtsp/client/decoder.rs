//! Packets of one stream to access units with their parameters, media times and capture times.

use bytes::Bytes;
use dvrgate_media::codec::Inspector;
use dvrgate_media::container::{Demuxed, Unit};
use dvrgate_model::{CodecParams, MediaTime, TrackKind, Utc};

use super::streams::{Incoming, Queue, Received};
use crate::rtp::depacketize::{Depacketized, Depacketizer};
use crate::rtp::{Packet, ReplayExtension};

/// One stream whose encoding is known.
#[derive(Debug)]
pub(super) struct Decoder {
    media: usize,
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
}

impl Decoder {
    pub(super) fn new(media: usize, params: &CodecParams) -> Self {
        Self {
            media,
            kind: params.codec.track_kind(),
            clock_hz: params.clock_rate_hz(),
            depacketizer: Depacketizer::new(params.codec),
            inspector: Inspector::with_base(params.clone()),
            told: false,
            origin: None,
            announced: None,
            captured: None,
        }
    }

    /// A new playback begins, at that RTP time if the server told.
    pub(super) fn restart(&mut self, announced: Option<u32>) {
        self.depacketizer.restart();
        (self.origin, self.captured) = (None, None);
        self.announced = announced;
    }

    /// No more packets come: a unit that is open comes out.
    pub(super) fn finish(&mut self, at_byte: u64, ready: &mut Queue) {
        self.depacketizer.finish();
        self.drain(at_byte, ready);
    }

    pub(super) fn rtp(&mut self, packet: &Packet, data: &Bytes, at_byte: u64, ready: &mut Queue) {
        self.depacketizer.push(packet, data);
        if let Some((profile, body)) = &packet.extension
            && let Some(replay) = ReplayExtension::parse(*profile, &data[body.clone()])
        {
            // A unit that was open ends with the packet before this one.
            self.drain_before(packet.header.timestamp, at_byte, ready);
            self.captured = Some(replay.at);
        }
        self.drain(at_byte, ready);
    }

    /// A packet of another payload type took that sequence number.
    pub(super) fn pass(&mut self, sequence: u16) {
        self.depacketizer.pass(sequence);
    }

    /// Units of another time than `timestamp` come out with the capture time that was known.
    fn drain_before(&mut self, timestamp: u32, at_byte: u64, ready: &mut Queue) {
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

    fn drain(&mut self, at_byte: u64, ready: &mut Queue) {
        while let Some(d) = self.depacketizer.pull() {
            self.emit(d, at_byte, ready);
        }
    }

    fn emit(&mut self, d: Depacketized, at_byte: u64, ready: &mut Queue) {
        let media = self.media;
        let received = |item, captured| Incoming::Media(Received { media, item, captured });
        match d {
            Depacketized::Lost { packets, why } => {
                // How many bytes they had is not known; a packet is 1400 at most.
                let skipped_bytes = u64::from(packets) * 1400;
                ready.push(received(Demuxed::Damage { at_byte, skipped_bytes, why }, None));
            }
            Depacketized::Unit { rtp_time, data } => {
                let seen = self.inspector.inspect(&data);
                if seen.changed || !self.told {
                    self.told = true;
                    let params = self.inspector.params().clone();
                    ready.push(received(Demuxed::Params(params), None));
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
                ready.push(received(Demuxed::Unit(unit), self.captured));
            }
        }
    }
}
