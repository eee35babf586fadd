//! Compares what a recorder lists with what the index holds.
//!
//! Pure. The outcome depends on the listing and the index only, not on how often or in which
//! windows the listing was read: merging twice changes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use dvrgate_adapter::{Mapping, SourceSegment};
use dvrgate_index::encodings::{self, Encodings};
use dvrgate_index::{Change, Snapshot, same_but_seen};
use dvrgate_model::{
    ChannelId, ClockMap, Codec, Recording, RecordingToken, Result, Segment, SegmentId,
    SegmentState, SourceTime, Stamp, StreamKind, SyncRunId, Track, TrackKind, TrackToken, Utc,
    UtcRange,
};

use crate::order::place;

/// One channel and stream of a recorder, and the recording that stands for it.
#[derive(Clone, Debug)]
pub struct Lane {
    /// The recorder's channel.
    pub channel: ChannelId,
    /// Its stream.
    pub stream: StreamKind,
    /// The recording.
    pub recording: RecordingToken,
    /// Tracks that segments have data for; video is first.
    pub tracks: Vec<TrackToken>,
    /// Those of the pictures, with their encodings: one of them takes a segment.
    pub pictures: Vec<(TrackToken, Option<Codec>)>,
    /// Which encoding is believed when.
    pub encodings: Encodings,
    /// The metadata track: recorded whenever video is, since the recorder tells events.
    pub metadata: Option<TrackToken>,
}

impl Lane {
    /// With `events` the metadata track of the recording is recorded whenever its video is. Which
    /// track takes what is not said yet (see [`Lane::refreshed`]).
    pub fn new(
        channel: ChannelId,
        stream: StreamKind,
        recording: &Recording,
        events: bool,
    ) -> Self {
        let metadata = recording.tracks.iter().find(|t| t.kind == TrackKind::Metadata);
        Self {
            channel,
            stream,
            recording: recording.token.clone(),
            tracks: Vec::new(),
            pictures: Vec::new(),
            encodings: Encodings::default(),
            metadata: metadata.filter(|_| events).map(|t| t.token.clone()),
        }
    }

    /// The lane with what is known now of the recording.
    pub fn refreshed(&self, snapshot: &dyn Snapshot, recording: &Recording) -> Result<Self> {
        let token = |t: &Track| t.token.clone();
        let is = |kind| move |t: &&Track| t.kind == kind;
        let pictures: Vec<_> =
            encodings::video_tracks(recording).map(|t| (token(t), t.codec)).collect();
        let sound = recording.tracks.iter().filter(is(TrackKind::Audio)).map(token);
        let tracks = pictures.iter().map(|(t, _)| t.clone()).chain(sound);
        Ok(Self {
            tracks: tracks.chain(self.metadata.clone()).collect(),
            pictures,
            encodings: Encodings::of(snapshot, recording)?,
            ..self.clone()
        })
    }

    /// Whether what was recorded then belongs to the track.
    fn takes(&self, track: &TrackToken, at: Utc) -> bool {
        let believed = self.encodings.at(at);
        let of =
            |(_, codec): &&(TrackToken, Option<Codec>)| believed.is_some() && *codec == believed;
        let taker = self.pictures.iter().find(of).or(self.pictures.first());
        taker.is_none_or(|(t, _)| t == track) || !self.pictures.iter().any(|(t, _)| t == track)
    }

    /// Name of the segment of a track that stands for a listed item. The sound has names of its own;
    /// those of further tracks of pictures and of metadata follow from that of the first.
    fn segment_id(&self, track: &TrackToken, item: &SourceSegment) -> SegmentId {
        let follows = self.metadata.as_ref() == Some(track)
            || self.pictures.iter().skip(1).any(|(t, _)| t == track);
        match self.tracks.first().filter(|_| follows) {
            Some(first) => SegmentId::derive(first, &item.start.raw, &item.key).moved(first, track),
            None => SegmentId::derive(track, &item.start.raw, &item.key),
        }
    }
}

/// What a window of a listing held.
#[derive(Debug)]
pub struct Window<'a> {
    /// Whose.
    pub lane: &'a Lane,
    /// Everything in here was listed.
    pub range: UtcRange,
    /// What was listed, oldest first.
    pub items: &'a [SourceSegment],
    /// Places in `items` before which the order is broken.
    pub breaks: &'a [usize],
    /// Items may be clipped to the windows that were asked for.
    pub clips: bool,
    /// The recorder's clock.
    pub map: &'a ClockMap,
    /// What its codes mean.
    pub mapping: &'a Mapping,
    /// Who asks.
    pub run: SyncRunId,
}

/// What must change.
#[derive(Debug, Default)]
pub struct Merged {
    /// Segments that are new or different, gone ones included.
    pub put: Vec<Segment>,
    /// Segments that are as they were.
    pub seen: Vec<(TrackToken, SegmentId)>,
    /// Codes that the mapping does not know, with how often they were met.
    pub unknown_codes: BTreeMap<Box<str>, u64>,
}

impl Merged {
    /// As changes of the index.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        let put = self.put.iter().map(|s| Change::Segment(Box::new(s.clone())));
        put.chain(self.seen.iter().map(|(track, id)| Change::Seen(track.clone(), *id)))
    }
}

/// Merges a window. `known` are the segments of the lane's tracks, gone ones included, that
/// overlap the window or anything that is listed in it.
pub fn merge(window: &Window<'_>, known: &[Segment]) -> Merged {
    let mut merged = Merged::default();
    let by_id: HashMap<_, _> = known.iter().map(|s| ((&s.track, s.id), s)).collect();
    let mut matched: HashSet<(TrackToken, SegmentId)> = HashSet::new();
    let said: Vec<_> = window.items.iter().map(|item| (&item.start, &item.end)).collect();
    let placed = place(window.map, window.range, &said, window.breaks);
    for (item, (start, end)) in window.items.iter().zip(placed) {
        if !item.code.is_empty() && !window.mapping.knows_reason(&item.code) {
            *merged.unknown_codes.entry(item.code.clone()).or_default() += 1;
        }
        let at = encodings::instant_of(&UtcRange::clamped(start.utc, end.utc));
        let tracks = window.lane.tracks.iter().filter(|t| window.lane.takes(t, at));
        for track in tracks {
            let id = window.lane.segment_id(track, item);
            let mut old = by_id.get(&(track, id)).copied();
            if old.is_none() && window.clips {
                old = whole_of(track, item, start.utc, known);
            }
            let new = segment(window, track, item, (start, end), old);
            if !matched.insert((track.clone(), new.id)) {
                // Two pieces of one segment: the windows clipped it.
                if let Some(earlier) = merged.put.iter_mut().find(|s| s.id == new.id) {
                    extend(earlier, &new);
                    continue;
                }
            }
            match old.filter(|old| same_but_seen(old, &new)) {
                Some(_) => merged.seen.push((track.clone(), new.id)),
                None => merged.put.push(new),
            }
        }
    }
    merged.put.extend(gone(window, known, &matched));
    merged
}

/// What the index will say of a listed item.
fn segment(
    window: &Window<'_>,
    track: &TrackToken,
    item: &SourceSegment,
    (start, end): (Stamp, Stamp),
    old: Option<&Segment>,
) -> Segment {
    let own_id = window.lane.segment_id(track, item);
    let mut new = Segment {
        id: own_id,
        track: track.clone(),
        start,
        end,
        source: (item.start.clone(), item.end.clone()),
        reason: window.mapping.reason(&item.code),
        state: if item.growing { SegmentState::Growing } else { SegmentState::Closed },
        locator: item.locator.clone(),
        // The recorder has no file for what the index knows.
        bytes: item.bytes.filter(|_| window.lane.metadata.as_ref() != Some(track)),
        seen: window.run,
    };
    let Some(old) = old else { return new };
    if old.id != own_id {
        // A clipped piece of a segment that is known whole.
        new.id = old.id;
        let piece = std::mem::replace(&mut new, Segment { seen: window.run, ..old.clone() });
        extend(&mut new, &piece);
        return new;
    }
    // Another window may know less about the order in the doubled hour; what was known stays.
    new.start = surer((&old.source.0, old.start), (&new.source.0, new.start));
    new.end = surer((&old.source.1, old.end), (&new.source.1, new.end));
    new
}

/// Of two stamps for the same words the surer one; else the newer.
fn surer(old: (&SourceTime, Stamp), new: (&SourceTime, Stamp)) -> Stamp {
    let comparable = old.0 == new.0 && old.1.epoch == new.1.epoch;
    if comparable && old.1.uncertainty_us <= new.1.uncertainty_us { old.1 } else { new.1 }
}

/// Moves the end of a segment out to that of a piece of it.
fn extend(whole: &mut Segment, piece: &Segment) {
    if piece.end.utc > whole.end.utc {
        whole.end = piece.end;
        whole.source.1 = piece.source.1.clone();
        whole.state = piece.state;
        whole.bytes = piece.bytes.max(whole.bytes);
    }
}

/// The known segment that a clipped item is a piece of.
fn whole_of<'a>(
    track: &TrackToken,
    item: &SourceSegment,
    start: Utc,
    known: &'a [Segment],
) -> Option<&'a Segment> {
    known.iter().find(|s| {
        let touches = s.start.utc <= start && start <= s.end.utc.plus_us(CLOSE_US);
        s.track == *track
            && s.state != SegmentState::Gone
            && touches
            && s.source.0.raw != item.start.raw
            && s.locator == item.locator
    })
}

/// Known segments that the recorder would have listed if it still had them.
fn gone<'a>(
    window: &'a Window<'_>,
    known: &'a [Segment],
    matched: &'a HashSet<(TrackToken, SegmentId)>,
) -> impl Iterator<Item = Segment> + 'a {
    // At the borders a second may decide whether an item is listed.
    let sure = UtcRange::clamped(
        window.range.start().plus_us(CLOSE_US),
        window.range.end().plus_us(-CLOSE_US),
    );
    known
        .iter()
        .filter(move |s| {
            s.state != SegmentState::Gone
                && s.range().overlaps(&sure)
                && !matched.contains(&(s.track.clone(), s.id))
        })
        .map(|s| Segment { state: SegmentState::Gone, seen: window.run, ..s.clone() })
}

const CLOSE_US: i64 = 2_000_000;
