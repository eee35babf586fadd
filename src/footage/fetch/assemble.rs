//! From the items of a container to GOPs with tracks and instants. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use dvrgate_index::encodings;
use dvrgate_media::container::{Demuxed, Unit};
use dvrgate_model::{
    ByteOrigin, Civil, CodecParams, Convention, Frame, FrameKind, Recording, TrackKind, TrackToken,
    Utc, UtcRange,
};

use super::timing::Timing;
use crate::store::MAX_GOP_BYTES;
use crate::store::record::MAX_FRAMES;
use crate::{Gop, Reading};

/// A clean point closer than this to the start of a piece does not start another.
const MIN_PIECE_US: i64 = 500_000;
/// Units further apart are not one section.
pub(crate) const JUMP_US: i64 = dvrgate_index::SPAN_TOLERANCE_US;
/// The last piece of a section reaches to the section's end if that is not further than this.
const MAX_STRETCH_US: i64 = 5_000_000;
/// How long a unit lasts where nothing says so.
const DEFAULT_INTERVAL_US: i64 = 40_000;
/// Sound and metadata are cut at whole seconds, so that every transfer cuts alike.
const SECOND_US: i64 = 1_000_000;

/// How a transfer ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    /// At the end of recorded data; nothing follows before that instant.
    Section(Utc),
    /// Somewhere: the last pieces may not be whole.
    Cut,
}

/// A stored GOP near the beginning of a transfer.
#[derive(Clone, Debug)]
pub(crate) struct Landmark {
    pub(crate) range: UtcRange,
    /// Its first unit.
    pub(crate) first: Bytes,
}

/// Makes GOPs of one transfer.
#[derive(Debug)]
pub(crate) struct Assembler {
    recording: Arc<Recording>,
    timing: Timing,
    /// The reading of the first unit if the stream does not tell.
    start: (Civil, Convention),
    /// Stamps outside are nonsense.
    bounds: UtcRange,
    landmarks: Vec<Landmark>,
    origin: Arc<ByteOrigin>,
    lines: [Line; 3],
    out: VecDeque<Gop>,
    damage: u64,
    dropped: u64,
    seen: bool,
}

/// One kind of track.
#[derive(Debug, Default)]
struct Line {
    params: Option<Arc<CodecParams>>,
    token: Option<TrackToken>,
    open: Option<Open>,
    /// Of the units that are not bidirectional.
    last: Option<Utc>,
}

#[derive(Debug)]
struct Open {
    frames: Vec<Frame>,
    bytes: u64,
    start: Utc,
    /// Of all units.
    newest: Utc,
    interval_us: i64,
    source: Option<Reading>,
}

impl Assembler {
    /// `start` is the reading of the first unit if the stream does not say it; `bounds` holds
    /// everything that the transfer can bring; `landmarks` are what is stored of the picture around
    /// its beginning.
    pub(crate) fn new(
        recording: Arc<Recording>,
        timing: Timing,
        start: (Civil, Convention),
        bounds: UtcRange,
        landmarks: Vec<Landmark>,
        what: &str,
    ) -> Self {
        let origin = ByteOrigin { what: what.to_owned(), sha256: None, bytes: 0 };
        Self {
            recording,
            timing,
            start,
            bounds,
            landmarks,
            origin: Arc::new(origin),
            lines: Default::default(),
            out: VecDeque::new(),
            damage: 0,
            dropped: 0,
            seen: false,
        }
    }

    /// Pictures of the recording were seen before: those of another encoding than its tracks have
    /// get a track of their own (R5.1-3).
    pub(crate) fn seen(self, seen: bool) -> Self {
        Self { seen, ..self }
    }

    /// Takes the next item.
    pub(crate) fn push(&mut self, item: Demuxed) {
        match item {
            Demuxed::Params(params) => {
                let token = self.track_for(&params);
                let line = &mut self.lines[index(params.codec.track_kind())];
                line.token = token;
                line.params = Some(params);
            }
            Demuxed::Anchor(anchor) => self.timing.anchor(&anchor),
            Demuxed::Unit(unit) => {
                if self.unit(unit).is_none() {
                    self.dropped += 1;
                }
            }
            Demuxed::Damage { at_byte, skipped_bytes, why } => {
                self.damage += 1;
                tracing::debug!(what = %self.origin.what, at_byte, skipped_bytes, why, "footage is damaged");
            }
        }
    }

    /// A whole GOP.
    pub(crate) fn pull(&mut self) -> Option<Gop> {
        self.out.pop_front()
    }

    /// Whether every piece that starts before `end` was closed, so that no more need be fetched.
    pub(crate) fn reached(&self, end: Utc) -> bool {
        let open = |kind| self.lines[index(kind)].open.as_ref();
        let past = |o: &Open| o.start >= end;
        match open(TrackKind::Video) {
            // Sound lags behind in the stream, but not by this much.
            Some(video) => {
                past(video)
                    && (open(TrackKind::Audio).is_none_or(past)
                        || video.newest >= end.plus_us(JUMP_US))
            }
            None => {
                self.lines[index(TrackKind::Video)].params.is_none()
                    && open(TrackKind::Audio).is_some_and(past)
            }
        }
    }

    /// When the newest unit so far was captured.
    pub(crate) fn newest(&self) -> Option<Utc> {
        self.lines.iter().filter_map(|l| l.last).max()
    }

    /// Ends the transfer. What is whole can then be pulled; returns the start of a video piece
    /// that may not be whole and was left out.
    pub(crate) fn finish(&mut self, ending: Ending) -> Option<Utc> {
        let mut cut = None;
        for kind in [TrackKind::Video, TrackKind::Audio, TrackKind::Metadata] {
            let Some(open) = self.lines[index(kind)].open.take() else { continue };
            match ending {
                Ending::Cut => {
                    if kind == TrackKind::Video {
                        cut = Some(open.start);
                    }
                }
                Ending::Section(end) => {
                    let least = open.newest.plus_us(open.interval_us);
                    let end = end.min(open.newest.plus_us(MAX_STRETCH_US)).max(least);
                    self.close(open, end);
                }
            }
        }
        if self.damage + self.dropped > 0 {
            tracing::debug!(what = %self.origin.what, damage = self.damage, dropped_units = self.dropped, "transfer was not whole");
        }
        cut
    }

    /// `None` if the unit cannot be used.
    fn unit(&mut self, unit: Unit) -> Option<()> {
        if !self.timing.is_known() {
            self.timing.assume(unit.media, self.start.0, self.start.1);
        }
        if unit.frame == FrameKind::Key && !self.landmarks.is_empty() {
            self.recognise(&unit);
        }
        let mut at = self.timing.stamp(unit.media)?;
        let line = &mut self.lines[index(unit.kind)];
        let (params, token) = (line.params.clone()?, line.token.clone()?);
        if !self.bounds.contains(at.utc) {
            return None;
        }
        // A small step back is noise of the anchors. (R8.3-14: stamps rise over key and predicted
        // units.) A large one is other footage and begins a piece of its own.
        if unit.frame != FrameKind::Bidirectional {
            match line.last {
                Some(last) if at.utc <= last && last.since_us(at.utc) <= JUMP_US => {
                    at.utc = last.plus_us(1);
                }
                _ => {}
            }
            line.last = Some(at.utc);
        }
        let starts = match &line.open {
            None if unit.frame.is_clean() => true,
            // Units before the first clean point cannot be decoded.
            None => return None,
            Some(open) => unit.frame.is_clean() && begins(open, unit.kind, at.utc),
        };
        if starts && let Some(open) = line.open.take() {
            let contiguous = (0..=JUMP_US).contains(&at.utc.since_us(open.newest));
            let end = if contiguous { at.utc } else { open.newest.plus_us(open.interval_us) };
            self.close(open, end);
        }
        let source = self.timing.reading(unit.media);
        let line = &mut self.lines[index(unit.kind)];
        let open = line.open.get_or_insert_with(|| Open {
            frames: Vec::new(),
            bytes: 0,
            start: at.utc,
            newest: at.utc,
            interval_us: DEFAULT_INTERVAL_US,
            source,
        });
        open.bytes += unit.data.len() as u64;
        if open.bytes > MAX_GOP_BYTES || open.frames.len() >= MAX_FRAMES {
            // No clean point for so long: keep what there is and wait for one.
            let open = line.open.take()?;
            let end = open.newest.plus_us(open.interval_us);
            self.close(open, end);
            return None;
        }
        open.push(Frame {
            track: token,
            at,
            media: unit.media,
            kind: unit.frame,
            params,
            data: unit.data,
            origin: Some(Arc::clone(&self.origin)),
        });
        Some(())
    }

    /// The first picture of the transfer: if it is stored already, or follows what is stored, it
    /// keeps that time.
    fn recognise(&mut self, unit: &Unit) -> Option<()> {
        let landmarks = std::mem::take(&mut self.landmarks);
        let at = self.timing.stamp(unit.media)?.utc;
        let resolution_us = self.timing.resolution_us();
        let same = landmarks.iter().find(|l| l.first == unit.data).map(|l| l.range.start());
        let follows = || {
            let ends = landmarks.iter().map(|l| l.range.end());
            let open = ends.filter(|e| !landmarks.iter().any(|l| l.range.contains(*e)));
            open.min_by_key(|e| e.since_us(at).unsigned_abs())
        };
        let instant = same.or_else(follows)?;
        if instant.since_us(at).unsigned_abs() <= resolution_us.unsigned_abs() {
            self.timing.settle(unit.media, instant);
        }
        Some(())
    }

    fn close(&mut self, open: Open, end: Utc) {
        let Some(first) = open.frames.first() else { return };
        self.out.push_back(Gop {
            track: first.track.clone(),
            range: UtcRange::clamped(open.start, end.max(open.start.plus_us(1))),
            source: open.source,
            frames: open.frames,
        });
    }

    /// The track of that kind and encoding. Sound whose encoding is not known yet, or was listed
    /// wrongly, goes into the track that there is.
    fn track_for(&self, params: &CodecParams) -> Option<TrackToken> {
        let kind = params.codec.track_kind();
        if kind == TrackKind::Video {
            return Some(encodings::track_for(&self.recording, params.codec, self.seen));
        }
        let of_kind = || self.recording.tracks.iter().filter(move |t| t.kind == kind);
        of_kind()
            .find(|t| t.codec == Some(params.codec))
            .or_else(|| of_kind().find(|t| t.codec.is_none()))
            .or_else(|| of_kind().next())
            .map(|t| t.token.clone())
    }
}

impl Open {
    fn push(&mut self, frame: Frame) {
        let step = frame.at.utc.since_us(self.newest);
        if step > 0 && step <= JUMP_US {
            self.interval_us = step;
        }
        self.newest = self.newest.max(frame.at.utc);
        self.frames.push(frame);
    }
}

/// Whether a clean unit begins another piece.
fn begins(open: &Open, kind: TrackKind, at: Utc) -> bool {
    let step = at.since_us(open.newest);
    if !(0..=JUMP_US).contains(&step) {
        return true;
    }
    match kind {
        TrackKind::Video => at.since_us(open.start) >= MIN_PIECE_US,
        TrackKind::Audio | TrackKind::Metadata => {
            at.micros().div_euclid(SECOND_US) != open.start.micros().div_euclid(SECOND_US)
        }
    }
}

fn index(kind: TrackKind) -> usize {
    match kind {
        TrackKind::Video => 0,
        TrackKind::Audio => 1,
        TrackKind::Metadata => 2,
    }
}

#[cfg(test)]
#[path = "assemble_tests.rs"]
mod tests;
