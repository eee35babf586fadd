//! MPEG program stream (ISO/IEC 13818-1 2.5, 11172-1) as recorders write it.
//!
//! An access unit is what packets with one time stamp carry, up to the next time stamp. Lengths
//! are believed only if a start code follows; after damage the stream goes on at the next pack.
//! The first video and the first audio stream of the map are read; what differs by vendor is in a
//! [`PsPolicy`].

mod header;
mod policy;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};
use dvrgate_model::{Codec, CodecParams, Error, ErrorKind, MediaTime, Result, TrackKind};
use memchr::memmem;

use self::header::{MAX_MAP_BYTES, Pack, Scan, id};
use super::clock90k::{RATE_HZ, Unwrap33};
use super::elementary::{Elementary, MAX_UNIT_BYTES, Payload};
use super::pes::{self, PesHeader};
use super::{Anchor, Demuxed, Demuxer};
use crate::codec::{self, Inspector};

pub use self::policy::{Descriptor, ProgramMap, ProgramStream, PsPolicy, Reading, StandardPolicy};

/// What may stand before the first pack unless the policy says otherwise.
pub const MAX_ENVELOPE_BYTES: usize = 4096;

const START_CODE_BYTES: usize = 4;
const PACK_START: [u8; START_CODE_BYTES] = [0, 0, 1, id::PACK];

/// Encodings by `stream_type`: ISO/IEC 13818-1 table 2-34, and 0x90 as video surveillance in
/// general uses it (G.711 A-law, GB/T 28181).
pub fn standard_codec(stream_type: u8) -> Option<Codec> {
    Some(match stream_type {
        0x0f => Codec::Aac,
        0x10 => Codec::Mpeg4,
        0x1b => Codec::H264,
        0x24 => Codec::H265,
        0x90 => Codec::Pcma,
        _ => return None,
    })
}

/// See the module documentation.
pub struct PsDemuxer {
    policy: Box<dyn PsPolicy>,
    buffer: BytesMut,
    /// Bytes of the stream before `buffer`.
    consumed: u64,
    /// Bytes of `buffer` that were searched in vain.
    searched: usize,
    place: Place,
    map_was_intact: bool,
    time: Unwrap33,
    clock: Option<i64>,
    reading: Option<Reading>,
    video: Option<Slot>,
    audio: Option<Slot>,
    out: VecDeque<Demuxed>,
    failed: bool,
}

/// The elementary stream of a stream id.
struct Slot {
    id: u8,
    stream: Elementary,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// Whatever stands before the first pack.
    Envelope,
    /// A start code.
    Packet,
    /// Anything up to the next pack; begun at that byte of the stream.
    Lost { since: u64, why: &'static str },
}

/// One step of the engine.
enum Step {
    Advanced,
    More,
}

impl Default for PsDemuxer {
    fn default() -> Self {
        Self::new(Box::new(StandardPolicy))
    }
}

impl std::fmt::Debug for PsDemuxer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PsDemuxer")
            .field("consumed", &self.consumed)
            .field("buffered", &self.buffer.len())
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Demuxer for PsDemuxer {
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        self.run(false)
    }

    fn pull(&mut self) -> Option<Demuxed> {
        self.out.pop_front()
    }

    fn finish(&mut self) -> Result<()> {
        self.run(true)?;
        let rest = self.buffer.len();
        self.advance(rest);
        if let Place::Lost { since, why } = self.place {
            self.report(since, why);
        }
        for slot in [&mut self.video, &mut self.audio].into_iter().flatten() {
            slot.stream.finish(&mut self.out);
        }
        Ok(())
    }
}

impl PsDemuxer {
    /// A demuxer with a vendor's deviations.
    pub fn new(policy: Box<dyn PsPolicy>) -> Self {
        Self {
            policy,
            buffer: BytesMut::new(),
            consumed: 0,
            searched: 0,
            place: Place::Envelope,
            map_was_intact: false,
            time: Unwrap33::default(),
            clock: None,
            reading: None,
            video: None,
            audio: None,
            out: VecDeque::new(),
            failed: false,
        }
    }

    fn run(&mut self, end: bool) -> Result<()> {
        if self.failed {
            return Err(Error::new(ErrorKind::Damaged, "the program stream was given up before"));
        }
        loop {
            let step = match self.place {
                Place::Envelope => self.envelope(end),
                Place::Packet => self.packet(end),
                Place::Lost { since, why } => Ok(self.resynchronise(since, why)),
            };
            match step {
                Ok(Step::Advanced) => {}
                Ok(Step::More) => return Ok(()),
                Err(e) => {
                    self.failed = true;
                    return Err(e);
                }
            }
        }
    }

    fn advance(&mut self, count: usize) {
        self.buffer.advance(count);
        self.consumed += count as u64;
        self.searched = 0;
    }

    fn report(&mut self, since: u64, why: &'static str) {
        let skipped_bytes = self.consumed - since;
        if skipped_bytes > 0 {
            self.out.push_back(Demuxed::Damage { at_byte: since, skipped_bytes, why });
        }
    }

    /// Position of a needle of at most four bytes; what was searched in vain is not searched again.
    fn find(&mut self, needle: &[u8]) -> Option<usize> {
        let from = self.searched;
        let found = memmem::find(&self.buffer[from..], needle).map(|at| from + at);
        if found.is_none() {
            self.searched = self.buffer.len().saturating_sub(needle.len() - 1).max(from);
        }
        found
    }

    /// Passes over what stands before the first pack. A stream may also begin with a packet.
    fn envelope(&mut self, end: bool) -> Result<Step> {
        let begins = self.buffer.len() >= START_CODE_BYTES && {
            self.buffer.starts_with(&PACK_START[..3]) && self.buffer[3] >= id::PACK
        };
        let limit = self.policy.max_envelope_bytes();
        let at = if begins { Some(0) } else { self.find(&PACK_START) };
        match at.filter(|at| *at <= limit) {
            Some(at) => {
                let bytes = self.buffer.copy_to_bytes(at);
                self.consumed += at as u64;
                self.searched = 0;
                self.policy.envelope(&bytes)?;
                self.place = Place::Packet;
                Ok(Step::Advanced)
            }
            None if self.buffer.len() > limit + START_CODE_BYTES || at.is_some() => {
                Err(Error::malformed("not an MPEG program stream: no pack found")
                    .with("searched_bytes", self.buffer.len()))
            }
            None if end && !self.buffer.is_empty() => {
                Err(Error::malformed("not an MPEG program stream: no pack found")
                    .with("bytes", self.buffer.len()))
            }
            None => Ok(Step::More),
        }
    }

    /// Gives up what was open and goes on at the next pack.
    fn lose(&mut self, why: &'static str, skip: usize) -> Step {
        for slot in [&mut self.video, &mut self.audio].into_iter().flatten() {
            slot.stream.interrupt(&mut self.out);
        }
        let since = self.consumed;
        self.advance(skip.min(self.buffer.len()));
        self.place = Place::Lost { since, why };
        Step::Advanced
    }

    fn resynchronise(&mut self, since: u64, why: &'static str) -> Step {
        match self.find(&PACK_START) {
            Some(at) => {
                self.advance(at);
                self.report(since, why);
                self.place = Place::Packet;
                Step::Advanced
            }
            None => {
                let keep = self.buffer.len().min(START_CODE_BYTES - 1);
                self.advance(self.buffer.len() - keep);
                Step::More
            }
        }
    }

    /// Reads one pack header, map or packet.
    fn packet(&mut self, end: bool) -> Result<Step> {
        // Files are padded with zeros, and start codes may have more of them than two.
        let zeros = self.buffer.iter().take_while(|b| **b == 0).count();
        self.advance(if end && zeros == self.buffer.len() {
            zeros
        } else {
            zeros.saturating_sub(2)
        });
        if self.buffer.len() < START_CODE_BYTES {
            if end && !self.buffer.is_empty() {
                return Ok(self.lose("cut off", START_CODE_BYTES));
            }
            return Ok(Step::More);
        }
        let code = self.buffer[3];
        if self.buffer[..3] != PACK_START[..3] || code < id::END {
            return Ok(self.lose("no start code", 1));
        }
        match code {
            id::END => {
                self.advance(START_CODE_BYTES);
                Ok(Step::Advanced)
            }
            id::PACK => self.pack(end),
            _ => self.counted(code, end),
        }
    }

    fn pack(&mut self, end: bool) -> Result<Step> {
        let pack = match Pack::scan(&self.buffer) {
            Scan::Done(pack) => pack,
            Scan::More if end => return Ok(self.lose("cut off", START_CODE_BYTES)),
            Scan::More => return Ok(Step::More),
            Scan::Bad => return Ok(self.lose("bad pack header", START_CODE_BYTES)),
        };
        match self.followed(pack.bytes, end) {
            Scan::Done(()) => {
                self.clock = Some(self.time.unwrap(pack.clock));
                self.advance(pack.bytes);
                Ok(Step::Advanced)
            }
            Scan::More => Ok(Step::More),
            Scan::Bad => Ok(self.lose("bad pack header", START_CODE_BYTES)),
        }
    }

    /// Whether what ends at `length` is followed by a start code, by zeros, or by the end.
    fn followed(&self, length: usize, end: bool) -> Scan<()> {
        let Some(next) = self.buffer.get(length..) else {
            return if end { Scan::Bad } else { Scan::More };
        };
        match next {
            [0, 0, 1, code, ..] if *code >= id::END => Scan::Done(()),
            [0, 0, 0, ..] => Scan::Done(()),
            [_, _, _, _, ..] => Scan::Bad,
            _ if end => Scan::Done(()),
            _ => Scan::More,
        }
    }

    /// A packet with a length.
    fn counted(&mut self, code: u8, end: bool) -> Result<Step> {
        let Some(length) = self.buffer.get(4..6) else {
            return Ok(if end { self.lose("cut off", START_CODE_BYTES) } else { Step::More });
        };
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let is_video = (id::FIRST_VIDEO..=id::LAST_VIDEO).contains(&code);
        let whole = pes::PREFIX_BYTES + length;
        if length == 0 && is_video {
            return self.unbounded(code, end);
        }
        if code == id::MAP && whole > MAX_MAP_BYTES {
            return Ok(self.lose("program stream map too long", START_CODE_BYTES));
        }
        match self.followed(whole, end) {
            Scan::Done(()) => {}
            Scan::More => return Ok(Step::More),
            Scan::Bad => return Ok(self.lose("wrong packet length", START_CODE_BYTES)),
        }
        self.take(code, whole)
    }

    /// A video packet without length: it ends at the next start code of the container.
    fn unbounded(&mut self, code: u8, end: bool) -> Result<Step> {
        self.searched = self.searched.max(pes::PREFIX_BYTES);
        while let Some(at) = self.find(&PACK_START[..3]) {
            match self.buffer.get(at + 3) {
                Some(next) if *next >= id::END => return self.take(code, at),
                Some(_) => self.searched = at + 3,
                None => {
                    self.searched = at;
                    break;
                }
            }
        }
        if self.buffer.len() > MAX_UNIT_BYTES {
            return Ok(self.lose("packet without end", START_CODE_BYTES));
        }
        if end { self.take(code, self.buffer.len()) } else { Ok(Step::More) }
    }

    /// Uses the packet at the front of the buffer, which is `whole` bytes long.
    fn take(&mut self, code: u8, whole: usize) -> Result<Step> {
        let at_byte = self.consumed;
        let packet = self.buffer.split_to(whole);
        self.consumed += whole as u64;
        self.searched = 0;
        let body = &packet[pes::PREFIX_BYTES..];
        match code {
            id::SYSTEM | id::PADDING => {}
            id::MAP => self.map(body, at_byte)?,
            id::PRIVATE_1 => {
                if let Some(h) = PesHeader::parse(body) {
                    let reading = self.policy.private(code, &body[h.bytes..])?;
                    self.reading = reading.or(self.reading);
                }
            }
            id::PRIVATE_2 => {
                // By the standard it has no optional fields, but recorders write them.
                let from = PesHeader::parse(body).filter(|_| body[0] & 0xc0 == 0x80);
                let payload = &body[from.map_or(0, |h| h.bytes)..];
                let reading = self.policy.private(code, payload)?;
                self.reading = reading.or(self.reading);
            }
            id::FIRST_AUDIO..=id::LAST_VIDEO => self.elementary(code, body, at_byte)?,
            _ => {}
        }
        Ok(Step::Advanced)
    }

    fn map(&mut self, body: &[u8], at_byte: u64) -> Result<()> {
        let parsed = header::parse_map(body);
        // Recorders exist that write no checksum; of one that does, a wrong one means damage.
        let Some((map, intact)) = parsed.filter(|(_, intact)| *intact || !self.map_was_intact)
        else {
            let skipped_bytes = (pes::PREFIX_BYTES + body.len()) as u64;
            let why = "bad program stream map";
            self.out.push_back(Demuxed::Damage { at_byte, skipped_bytes, why });
            return Ok(());
        };
        self.map_was_intact |= intact;
        let reading = self.policy.program_map(&map)?;
        self.reading = reading.or(self.reading);
        for kind in [TrackKind::Video, TrackKind::Audio] {
            let found = map.streams.iter().find_map(|s| {
                let codec = self.policy.codec(s.stream_type, s.stream_id)?;
                (codec.track_kind() == kind).then_some((s, codec))
            });
            if let Some((stream, codec)) = found {
                self.assign(stream.stream_id, codec, Some(stream));
            }
        }
        Ok(())
    }

    /// Makes the stream id carry the encoding from here on.
    fn assign(&mut self, id: u8, codec: Codec, described: Option<&ProgramStream>) {
        let mut base = CodecParams::clone(Inspector::new(codec).params());
        self.policy.refine(described, &mut base);
        let slot = match codec.track_kind() {
            TrackKind::Video => &mut self.video,
            _ => &mut self.audio,
        };
        match slot {
            Some(slot) if slot.id == id && slot.stream.codec() == codec => {
                // What ADTS headers told is not forgotten for a map that says less.
                if codec != Codec::Aac {
                    slot.stream.set_base(base);
                }
            }
            _ => {
                if let Some(old) = slot {
                    old.stream.finish(&mut self.out);
                }
                *slot = Some(Slot { id, stream: Elementary::new(base) });
            }
        }
    }

    fn elementary(&mut self, code: u8, body: &[u8], at_byte: u64) -> Result<()> {
        let Some(head) = PesHeader::parse(body) else {
            let skipped_bytes = (pes::PREFIX_BYTES + body.len()) as u64;
            self.out.push_back(Demuxed::Damage {
                at_byte,
                skipped_bytes,
                why: "bad packet header",
            });
            return Ok(());
        };
        let data = &body[head.bytes..];
        let is_video = code >= id::FIRST_VIDEO;
        let unmapped = if is_video { self.video.is_none() } else { self.audio.is_none() };
        if unmapped {
            let guess = self.policy.unmapped_codec(code);
            let guess = guess.or_else(|| if is_video { codec::sniff_video(data) } else { None });
            match guess {
                Some(codec) => self.assign(code, codec, None),
                None if is_video => {
                    let skipped_bytes = (pes::PREFIX_BYTES + body.len()) as u64;
                    let why = "encoding not known yet";
                    self.out.push_back(Demuxed::Damage { at_byte, skipped_bytes, why });
                }
                None => {}
            }
        }
        let slot = if is_video { &mut self.video } else { &mut self.audio };
        let Some(slot) = slot.as_mut().filter(|s| s.id == code) else { return Ok(()) };
        if head.scrambled {
            return Err(Error::new(ErrorKind::Unsupported, "the footage is encrypted")
                .with("at_byte", at_byte));
        }
        let pts = head.pts.map(|raw| self.time.unwrap(raw));
        let payload = Payload { pts, clock: self.clock, data, at_byte };
        let begins = slot.stream.begins_unit(&payload);
        slot.stream.push(payload, begins, &mut self.out);
        // The anchor goes between the unit that ended here and the one that begins.
        if is_video
            && begins
            && let Some(ticks) = pts
            && let Some(reading) = self.reading.take()
        {
            self.out.push_back(Demuxed::Anchor(Anchor {
                media: MediaTime { ticks, rate_hz: RATE_HZ },
                civil: reading.civil,
                convention: reading.convention,
                resolution_us: reading.resolution_us,
            }));
        }
        Ok(())
    }
}
