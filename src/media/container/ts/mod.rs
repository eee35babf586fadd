//! MPEG transport stream (ISO/IEC 13818-1 2.4): the first video and the first audio stream of the
//! first program.

mod packet;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};
use dvrgate_model::{Codec, Error, ErrorKind, Result, TrackKind};

use self::packet::{PACKET_BYTES, PAT_PID, Packet, SYNC, Sections};
use super::clock90k::Unwrap33;
use super::elementary::{Elementary, Payload};
use super::pes::{self, PesHeader};
use super::{Demuxed, Demuxer};
use crate::codec::Inspector;

/// How far the first packet may be from the start.
const MAX_LEAD_BYTES: usize = 64 * PACKET_BYTES;
/// Packets in a row that make out the first one.
const SYNC_RUN: usize = 3;
/// A packet header longer than this is damage: flags, length and 255 bytes.
const MAX_PES_HEADER_BYTES: usize = pes::PREFIX_BYTES + 3 + 255;

/// See the module documentation.
#[derive(Debug, Default)]
pub struct TsDemuxer {
    buffer: BytesMut,
    consumed: u64,
    /// Byte at which synchronisation was lost.
    lost_since: Option<u64>,
    synchronised_once: bool,
    association: Sections,
    map_pid: Option<u16>,
    map: Sections,
    video: Option<Slot>,
    audio: Option<Slot>,
    time: Unwrap33,
    out: VecDeque<Demuxed>,
}

/// The elementary stream of a packet id.
#[derive(Debug)]
struct Slot {
    pid: u16,
    stream: Elementary,
    counter: Option<u8>,
    /// Bytes of a packet whose header is not complete yet.
    head: Vec<u8>,
    in_packet: bool,
    /// Payload bytes that the packet still has; `None` where it has no length.
    left: Option<usize>,
}

impl Demuxer for TsDemuxer {
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        self.run(false)
    }

    fn pull(&mut self) -> Option<Demuxed> {
        self.out.pop_front()
    }

    fn finish(&mut self) -> Result<()> {
        self.run(true)?;
        if !self.buffer.is_empty() {
            self.lost_since.get_or_insert(self.consumed);
            let rest = self.buffer.len();
            self.buffer.clear();
            self.consumed += rest as u64;
        }
        self.report();
        for slot in [&mut self.video, &mut self.audio].into_iter().flatten() {
            slot.stream.finish(&mut self.out);
        }
        Ok(())
    }
}

impl TsDemuxer {
    /// A demuxer at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    fn run(&mut self, end: bool) -> Result<()> {
        loop {
            let lost = self.lost_since.is_some() || !self.synchronised_once;
            if lost && !self.synchronise(end)? {
                return Ok(());
            }
            if self.buffer.len() < PACKET_BYTES {
                return Ok(());
            }
            if self.buffer[0] != SYNC {
                self.lost_since = Some(self.consumed);
                continue;
            }
            let at_byte = self.consumed;
            let data = self.buffer.split_to(PACKET_BYTES);
            self.consumed += PACKET_BYTES as u64;
            if let Some(packet) = Packet::parse(&data) {
                self.packet(packet, at_byte)?;
            }
        }
    }

    /// Goes to the next place where packets follow one another; says whether there is one.
    fn synchronise(&mut self, end: bool) -> Result<bool> {
        let since = *self.lost_since.get_or_insert(self.consumed);
        loop {
            let next = memchr::memchr(SYNC, &self.buffer).unwrap_or(self.buffer.len());
            self.buffer.advance(next);
            self.consumed += next as u64;
            let seen = (0..SYNC_RUN).map(|i| self.buffer.get(i * PACKET_BYTES));
            let is_run = seen.clone().all(|b| b.is_none_or(|b| *b == SYNC));
            let is_whole = seen.clone().all(|b| b.is_some());
            if !self.synchronised_once && (self.consumed - since) as usize > MAX_LEAD_BYTES {
                return Err(Error::malformed("not an MPEG transport stream: no packets found"));
            }
            if self.buffer.is_empty() {
                return match end && !self.synchronised_once && self.consumed > 0 {
                    true => Err(Error::malformed("not an MPEG transport stream: no packets found")),
                    false => Ok(false),
                };
            }
            if is_run && (is_whole || end && self.buffer.len() >= PACKET_BYTES) {
                self.synchronised_once = true;
                self.report();
                return Ok(true);
            }
            if is_run && !end {
                return Ok(false);
            }
            self.buffer.advance(1);
            self.consumed += 1;
        }
    }

    fn report(&mut self) {
        let Some(since) = self.lost_since.take() else { return };
        let skipped_bytes = self.consumed - since;
        if skipped_bytes > 0 {
            let why = "no transport packet";
            self.out.push_back(Demuxed::Damage { at_byte: since, skipped_bytes, why });
        }
    }

    fn packet(&mut self, packet: Packet<'_>, at_byte: u64) -> Result<()> {
        if packet.error {
            return Ok(());
        }
        if packet.pid == PAT_PID {
            if let Some(section) = self.association.push(&packet)
                && let Some(pid) = packet::map_pid(&section)
            {
                self.map_pid = Some(pid);
            }
            return Ok(());
        }
        if Some(packet.pid) == self.map_pid {
            if let Some(streams) = self.map.push(&packet).and_then(|s| packet::streams(&s)) {
                self.assign(&streams);
            }
            return Ok(());
        }
        let Self { video, audio, time, out, .. } = self;
        match [video, audio].into_iter().flatten().find(|s| s.pid == packet.pid) {
            Some(_) if packet.scrambled => {
                Err(Error::new(ErrorKind::Unsupported, "the footage is encrypted")
                    .with("at_byte", at_byte))
            }
            Some(slot) => {
                slot.packet(packet, at_byte, time, out);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn assign(&mut self, streams: &[(u8, u16)]) {
        for (kind, slot) in
            [(TrackKind::Video, &mut self.video), (TrackKind::Audio, &mut self.audio)]
        {
            let found = streams.iter().find_map(|(stream_type, pid)| {
                let codec = super::ps::standard_codec(*stream_type)?;
                (codec.track_kind() == kind).then_some((codec, *pid))
            });
            let Some((codec, pid)) = found else { continue };
            if slot.as_ref().is_some_and(|s| s.pid == pid && s.stream.codec() == codec) {
                continue;
            }
            if let Some(old) = slot {
                old.stream.finish(&mut self.out);
            }
            *slot = Some(Slot::new(pid, codec));
        }
    }
}

impl Slot {
    fn new(pid: u16, codec: Codec) -> Self {
        let stream = Elementary::new(Inspector::new(codec).params().as_ref().clone());
        Self { pid, stream, counter: None, head: Vec::new(), in_packet: false, left: None }
    }

    fn packet(
        &mut self,
        p: Packet<'_>,
        at_byte: u64,
        time: &mut Unwrap33,
        out: &mut VecDeque<Demuxed>,
    ) {
        if p.payload.is_empty() {
            return;
        }
        if let Some(last) = self.counter
            && !p.discontinuity
        {
            if p.counter == last {
                return; // a packet may be sent twice (2.4.3.3)
            }
            if p.counter != (last + 1) & 0xf {
                let missing = (p.counter.wrapping_sub(last).wrapping_sub(1)) & 0xf;
                self.stream.interrupt(out);
                self.in_packet = false;
                out.push_back(Demuxed::Damage {
                    at_byte,
                    skipped_bytes: u64::from(missing) * PACKET_BYTES as u64,
                    why: "transport packets missing",
                });
            }
        }
        self.counter = Some(p.counter);
        if p.starts {
            self.head.clear();
            self.in_packet = true;
            self.left = None;
            self.header(p.payload, at_byte, time, out);
        } else if self.in_packet {
            if self.head.is_empty() {
                self.payload(None, false, p.payload, at_byte, out);
            } else {
                self.header(p.payload, at_byte, time, out);
            }
        }
    }

    /// Collects a packet header, which may be cut by the border of a transport packet.
    fn header(
        &mut self,
        data: &[u8],
        at_byte: u64,
        time: &mut Unwrap33,
        out: &mut VecDeque<Demuxed>,
    ) {
        self.head.extend_from_slice(data);
        if self.head.len() < pes::PREFIX_BYTES {
            return;
        }
        let is_start = self.head.starts_with(&[0, 0, 1]);
        match PesHeader::parse(&self.head[pes::PREFIX_BYTES..]).filter(|_| is_start) {
            Some(parsed) => {
                let head = std::mem::take(&mut self.head);
                let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
                self.left = (length > 0).then(|| length.saturating_sub(parsed.bytes));
                let pts = parsed.pts.map(|raw| time.unwrap(raw));
                self.payload(pts, true, &head[pes::PREFIX_BYTES + parsed.bytes..], at_byte, out);
            }
            None if is_start && self.head.len() < MAX_PES_HEADER_BYTES => {}
            None => {
                let skipped_bytes = self.head.len() as u64;
                self.head.clear();
                self.in_packet = false;
                self.stream.interrupt(out);
                out.push_back(Demuxed::Damage { at_byte, skipped_bytes, why: "bad packet header" });
            }
        }
    }

    fn payload(
        &mut self,
        pts: Option<i64>,
        may_begin: bool,
        data: &[u8],
        at_byte: u64,
        out: &mut VecDeque<Demuxed>,
    ) {
        let take = self.left.map_or(data.len(), |left| left.min(data.len()));
        if let Some(left) = &mut self.left {
            *left -= take;
        }
        let payload = Payload { pts, clock: None, data: &data[..take], at_byte };
        let begins = may_begin && self.stream.begins_unit(&payload);
        self.stream.push(payload, begins, out);
    }
}
