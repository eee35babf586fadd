//! Sound, MPEG-4 Part 2, metadata: formats whose packets are put one behind the other.

use bytes::{Bytes, BytesMut};
use dvrgate_model::Codec;

use super::{Depacketized, MAX_UNIT_BYTES, Ready, may_miss_its_start};

/// Builds units out of packets.
#[derive(Debug)]
pub(super) struct Assembler {
    codec: Codec,
    unit: BytesMut,
    time: i64,
    /// AAC: bytes that the open fragmented unit will have.
    expected: usize,
    damaged: Option<i64>,
    lost: u16,
}

/// Samples of one AAC frame: what separates the units of one packet.
const AAC_FRAME_TICKS: i64 = 1024;

impl Assembler {
    pub(super) fn new(codec: Codec) -> Self {
        Self { codec, unit: BytesMut::new(), time: 0, expected: 0, damaged: None, lost: 0 }
    }

    pub(super) fn push(&mut self, time: i64, marker: bool, payload: Bytes, ready: &mut Ready) {
        match self.codec {
            Codec::Aac => self.aac(time, payload, ready),
            Codec::Pcma | Codec::Pcmu | Codec::G726 { .. } => {
                if !payload.is_empty() {
                    ready.push_back(Depacketized::Unit { rtp_time: time, data: payload });
                }
            }
            _ => self.document(time, marker, payload, ready),
        }
    }

    fn document(&mut self, time: i64, marker: bool, payload: Bytes, ready: &mut Ready) {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            let damaged = may_miss_its_start(time == self.time, !self.unit.is_empty(), lost);
            self.damaged = damaged.then_some(time);
            self.unit.clear();
        }
        if time != self.time && !self.unit.is_empty() {
            self.flush(ready);
        }
        self.time = time;
        if self.damaged == Some(time) {
            return;
        }
        self.damaged = None;
        if self.unit.len() + payload.len() > MAX_UNIT_BYTES {
            ready.push_back(Depacketized::Lost { packets: 0, why: "access unit is too long" });
            self.unit.clear();
            self.damaged = Some(time);
            return;
        }
        self.unit.extend_from_slice(&payload);
        if marker {
            self.flush(ready);
        }
    }

    /// RFC 3640 AAC-hbr: headers of 16 bits, then that many units, or a part of one.
    fn aac(&mut self, time: i64, payload: Bytes, ready: &mut Ready) {
        if std::mem::take(&mut self.lost) > 0 || time != self.time {
            self.unit.clear();
        }
        let bad = |ready: &mut Ready, why| ready.push_back(Depacketized::Lost { packets: 0, why });
        let Some((bits, rest)) = payload.split_first_chunk::<2>() else {
            return bad(ready, "empty packet");
        };
        let headers = usize::from(u16::from_be_bytes(*bits)) / 16 * 2;
        let Some((headers, body)) = rest.split_at_checked(headers) else {
            return bad(ready, "AU headers are cut off");
        };
        let sizes =
            headers.chunks_exact(2).map(|h| usize::from(u16::from_be_bytes([h[0], h[1]]) >> 3));
        let mut body = payload.slice_ref(body);
        for (i, size) in sizes.enumerate() {
            if !self.unit.is_empty() || size > body.len() {
                if self.unit.is_empty() {
                    (self.expected, self.time) = (size, time);
                }
                self.unit.extend_from_slice(&body);
                if self.unit.len() > self.expected {
                    self.unit.clear();
                    return bad(ready, "more fragments than the unit is long");
                }
                if self.unit.len() == self.expected {
                    self.flush(ready);
                }
                return;
            }
            if size > 0 {
                let rtp_time = time + i as i64 * AAC_FRAME_TICKS;
                ready.push_back(Depacketized::Unit { rtp_time, data: body.split_to(size) });
            }
        }
    }

    pub(super) fn flush(&mut self, ready: &mut Ready) {
        let whole = self.codec != Codec::Aac || self.unit.len() == self.expected;
        let data = self.unit.split().freeze();
        if !data.is_empty() && whole {
            ready.push_back(Depacketized::Unit { rtp_time: self.time, data });
        }
    }

    pub(super) fn lost(&mut self, packets: u16) {
        self.lost = self.lost.saturating_add(packets);
    }

    pub(super) fn restart(&mut self) {
        *self = Self::new(self.codec);
    }
}
