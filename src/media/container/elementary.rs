//! Payloads of packets to access units, for one elementary stream of either MPEG container.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use dvrgate_model::{Codec, CodecParams, FrameKind, MediaTime, TrackKind};

use super::clock90k::RATE_HZ;
use super::{Demuxed, Unit};
use crate::codec::{self, Inspector, aac, annexb};

/// Largest access unit; a key frame of a 4K camera has some hundreds of KiB.
pub const MAX_UNIT_BYTES: usize = 8 << 20;

/// Collects payloads until the access unit is complete.
#[derive(Debug)]
pub(crate) struct Elementary {
    codec: Codec,
    inspector: Inspector,
    announced: bool,
    open: BytesMut,
    /// Byte of the stream at which `open` began.
    at_byte: u64,
    /// Presentation times with the byte of `open` from which each counts: for the first access
    /// unit that begins there or later.
    marks: Vec<(usize, i64)>,
    /// The newest of them, also when it was used; `None` while no unit is open.
    newest: Option<i64>,
    /// Clock of the container when the last mark was set.
    clock: Option<i64>,
    /// Time of the last unit given, and the last step forward.
    given: Option<i64>,
    step: Option<i64>,
    /// Whether H.264 pictures are frames; fields come in pairs that make one unit.
    frames_only: bool,
    /// The start of the next unit is awaited: what comes before it belongs to a lost one.
    lost: bool,
    /// AAC: what `open` begins with belongs to a frame that began in the packet before.
    carried: Option<(usize, i64)>,
}

/// A payload with what its packet said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload<'a> {
    pub(crate) pts: Option<i64>,
    /// Clock of the container, for units that have no time of their own.
    pub(crate) clock: Option<i64>,
    pub(crate) data: &'a [u8],
    pub(crate) at_byte: u64,
}

impl Elementary {
    pub(crate) fn new(base: CodecParams) -> Self {
        Self {
            codec: base.codec,
            inspector: Inspector::with_base(base),
            announced: false,
            open: BytesMut::new(),
            at_byte: 0,
            marks: Vec::new(),
            newest: None,
            clock: None,
            given: None,
            step: None,
            frames_only: true,
            lost: true,
            carried: None,
        }
    }

    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    /// Exchanges what the container says about the stream.
    pub(crate) fn set_base(&mut self, base: CodecParams) {
        if self.inspector.set_base(base) {
            self.announced = false;
        }
    }

    /// Whether this payload begins an access unit.
    pub(crate) fn begins_unit(&self, p: &Payload<'_>) -> bool {
        if self.codec.track_kind() == TrackKind::Audio {
            return p.pts.is_some();
        }
        match (p.pts, self.newest) {
            (Some(_), None) => true,
            (Some(new), Some(old)) if new != old => !self.continues(p.data),
            // Recorders that repeat the time on every packet of a picture, or leave it out.
            (Some(_), Some(_)) => self.follows_picture(p.data),
            (None, Some(_)) => p.clock != self.clock && self.follows_picture(p.data),
            (None, None) => p.clock.is_some() && self.can_begin(p.data),
        }
    }

    /// Whether the payload begins inside a NAL unit: writers that fill packets to the brim give the
    /// time of the unit that begins later in the packet.
    fn continues(&self, data: &[u8]) -> bool {
        let framed = matches!(self.codec, Codec::H264 | Codec::H265);
        // No NAL unit ends in a zero byte: behind one, the start code had begun already.
        let inside = annexb::leading(data).is_none() || self.open.last() == Some(&0);
        framed && !self.open.is_empty() && inside
    }

    fn can_begin(&self, data: &[u8]) -> bool {
        match self.codec {
            Codec::H264 | Codec::H265 => {
                annexb::leading(data).is_some_and(|n| codec::starts_unit(self.codec, n))
            }
            Codec::Jpeg => data.starts_with(&[0xff, 0xd8]),
            Codec::Mpeg4 => data.starts_with(&[0, 0, 1]),
            _ => true,
        }
    }

    /// Whether the open unit has its picture and the data begins another one.
    fn follows_picture(&self, data: &[u8]) -> bool {
        if self.open.is_empty() || !self.can_begin(data) {
            return false;
        }
        match self.codec {
            Codec::H264 | Codec::H265 => {
                let mut frames_only = self.frames_only;
                let mut nals = annexb::units(&self.open);
                let has_picture = nals.any(|n| {
                    frames_only = self.frames_only_after(n, frames_only);
                    codec::is_picture(self.codec, n)
                });
                has_picture && frames_only
            }
            Codec::Mpeg4 => codec::mpeg4::vop_type(&self.open).is_some(),
            _ => true,
        }
    }

    /// Whether pictures are frames behind this NAL unit.
    fn frames_only_after(&self, nal: &[u8], before: bool) -> bool {
        match self.codec {
            Codec::H264 => codec::h264::Sps::parse(nal).map_or(before, |s| s.frames_only),
            _ => before,
        }
    }

    /// Takes a payload. What it completes goes to `out`.
    pub(crate) fn push(&mut self, p: Payload<'_>, begins: bool, out: &mut VecDeque<Demuxed>) {
        if begins {
            self.complete(out);
            if self.open.is_empty() {
                self.at_byte = p.at_byte;
            }
            if let Some(pts) = p.pts.or(p.clock) {
                let from = if self.marks.is_empty() { 0 } else { self.open.len() };
                self.mark(from, pts);
                self.clock = p.clock;
                self.lost = false;
            }
        }
        if self.lost {
            return;
        }
        let marked = p.pts.filter(|_| !begins && self.continues(p.data));
        if let Some(pts) = marked {
            self.mark(self.open.len(), pts);
            self.clock = p.clock;
        }
        self.open.extend_from_slice(p.data);
        if self.open.len() > MAX_UNIT_BYTES {
            self.drop_open("access unit too large", out);
        } else if marked.is_some() {
            self.split(false, out);
        }
    }

    fn mark(&mut self, from: usize, pts: i64) {
        self.marks.push((from, pts));
        self.newest = Some(pts);
    }

    fn unmark(&mut self) {
        self.marks.clear();
        self.newest = None;
    }

    /// Something of the stream is missing: the open unit gets no more bytes.
    pub(crate) fn interrupt(&mut self, out: &mut VecDeque<Demuxed>) {
        self.complete(out);
        if !self.open.is_empty() {
            self.drop_open("interrupted access unit", out);
        }
        self.unmark();
        self.carried = None;
        self.lost = true;
    }

    /// No more bytes come.
    pub(crate) fn finish(&mut self, out: &mut VecDeque<Demuxed>) {
        self.complete(out);
        if !self.open.is_empty() {
            self.drop_open("no picture in the last access unit", out);
        }
    }

    fn drop_open(&mut self, why: &'static str, out: &mut VecDeque<Demuxed>) {
        let skipped_bytes = self.open.len() as u64;
        self.open.clear();
        self.unmark();
        self.lost = true;
        self.carried = None;
        out.push_back(Demuxed::Damage { at_byte: self.at_byte, skipped_bytes, why });
    }

    /// Turns the open bytes into units, unless they still lack a picture: then they stay open and
    /// the next unit follows them.
    fn complete(&mut self, out: &mut VecDeque<Demuxed>) {
        let first = self.marks.first().map(|(_, pts)| *pts);
        let Some(pts) = first.or(self.given).filter(|_| !self.open.is_empty()) else { return };
        match self.codec {
            Codec::H264 | Codec::H265 => self.split(true, out),
            Codec::Aac if aac::Adts::parse(&self.open).is_some() => self.complete_adts(pts, out),
            _ => {
                let data = std::mem::take(&mut self.open).freeze();
                self.emit(pts, data, out);
            }
        }
        if !matches!(self.codec, Codec::H264 | Codec::H265) {
            self.unmark();
        }
    }

    /// Gives the access units of the open bytes; the last one only if no more of it comes.
    fn split(&mut self, end: bool, out: &mut VecDeque<Demuxed>) {
        let (starts, has_picture) = self.unit_starts();
        if starts.is_empty() {
            if end {
                self.drop_open("no start code", out);
            }
            return;
        }
        let mut rest = std::mem::take(&mut self.open);
        let mut at = 0;
        for next in starts.iter().skip(1).copied() {
            let unit = rest.split_to(next - at);
            self.give(at, unit, out);
            at = next;
        }
        if end && has_picture {
            self.give(at, rest, out);
            self.unmark();
            return;
        }
        // What stays open keeps the times that were not used.
        self.open = rest;
        if end {
            self.unmark();
        } else {
            self.marks.iter_mut().for_each(|(from, _)| *from = from.saturating_sub(at));
        }
    }

    /// Where access units begin in the open bytes, and whether the last one has its picture.
    fn unit_starts(&mut self) -> (Vec<usize>, bool) {
        let mut starts = Vec::new();
        let mut has_picture = false;
        let mut frames_only = self.frames_only;
        for (at, nal) in annexb::units_at(&self.open) {
            frames_only = self.frames_only_after(nal, frames_only);
            let is_picture = codec::is_picture(self.codec, nal);
            let splits = codec::starts_unit(self.codec, nal)
                && (frames_only || codec::h264::nal_type(nal) == codec::h264::nal::AUD);
            if starts.is_empty() {
                starts.push(0);
            } else if has_picture && splits {
                starts.push(at);
                has_picture = false;
            }
            has_picture |= is_picture;
        }
        self.frames_only = frames_only;
        (starts, has_picture)
    }

    /// Gives the unit that began at that byte of what was open.
    fn give(&mut self, began: usize, unit: BytesMut, out: &mut VecDeque<Demuxed>) {
        let usable = self.marks.iter().take_while(|(from, _)| *from <= began).count();
        let marked = self.marks.drain(..usable).next_back().map(|(_, pts)| pts);
        let rate = self.inspector.params().frame_rate;
        let step =
            rate.map(|(num, den)| i64::from(RATE_HZ) * i64::from(den) / i64::from(num.max(1)));
        let pts = marked.or_else(|| Some(self.given? + step.or(self.step)?)).or(self.given);
        let Some(pts) = pts else { return };
        let data = annexb::to_lengths(unit);
        self.emit(pts, data, out);
    }

    /// ADTS frames to units without headers. A frame that is cut by the end of the packet waits
    /// for the next packet.
    fn complete_adts(&mut self, pts: i64, out: &mut VecDeque<Demuxed>) {
        let data = std::mem::take(&mut self.open).freeze();
        let (carried, mut at_pts) = self.carried.take().unwrap_or((0, pts));
        let mut at = 0;
        while let Some(adts) = data.get(at..).and_then(aac::Adts::parse) {
            if at >= carried && at_pts < pts {
                at_pts = pts;
            }
            let Some(frame) = data.get(at + adts.header_bytes..at + adts.frame_bytes) else {
                break;
            };
            self.set_config(&adts);
            let range = at + adts.header_bytes..at + adts.header_bytes + frame.len();
            self.emit(at_pts, data.slice(range), out);
            at += adts.frame_bytes;
            let step = i64::from(RATE_HZ) * i64::from(aac::FRAME_SAMPLES);
            at_pts += step / i64::from(adts.rate_hz);
        }
        if at < data.len() {
            self.open.extend_from_slice(&data[at..]);
            self.carried = Some((self.open.len(), at_pts));
        }
    }

    fn set_config(&mut self, adts: &aac::Adts) {
        let config = adts.config().bytes();
        if self.inspector.params().config != config {
            let mut base = CodecParams::new(Codec::Aac);
            base.config = Bytes::from(config);
            self.set_base(base);
        }
    }

    fn emit(&mut self, pts: i64, data: Bytes, out: &mut VecDeque<Demuxed>) {
        if let Some(step) = self.given.map(|before| pts - before).filter(|s| *s > 0) {
            self.step = Some(step);
        }
        self.given = Some(pts);
        let seen = self.inspector.inspect(&data);
        if seen.changed || !self.announced {
            self.announced = true;
            out.push_back(Demuxed::Params(Arc::clone(self.inspector.params())));
        }
        out.push_back(Demuxed::Unit(Unit {
            kind: self.codec.track_kind(),
            media: MediaTime { ticks: pts, rate_hz: RATE_HZ },
            frame: if self.codec.track_kind() == TrackKind::Audio {
                FrameKind::Audio
            } else {
                seen.kind
            },
            data,
        }));
    }
}
