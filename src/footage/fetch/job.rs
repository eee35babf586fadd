//! A task of the fetcher: a stretch of a recording, segment by segment; what breaks is taken up
//! again behind what it brought.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dvrgate_adapter::{Device, FootageRequest, SeekGrain};
use dvrgate_index::{SegmentSelect, encodings};
use dvrgate_model::{
    ChannelId, ClockMap, Convention, Direction, Error, ErrorKind, Origin, Recording, Result,
    Segment, SegmentState, SourceRange, StreamKind, TrackKind, Utc, UtcRange,
};

use super::FetchShared;
use super::flight::Flight;
use super::patience::Patience;
use super::timing::Timing;
use super::transfer::{Asked, Fetched};

/// A transfer goes on this far beyond its stretch, to see the end of the last GOP: first try, then
/// longer for recorders with longer GOPs.
const TAILS_US: [i64; 3] = [6_000_000, 30_000_000, 120_000_000];
/// Recorders that start at whole seconds may skip the clean point before: asked this much earlier.
const SECOND_LEAD_US: i64 = 2_000_000;
/// A stretch without footage shorter than this is not worth remembering.
const MIN_HOLE_US: i64 = 250_000;
/// No more segments are looked at for one stretch.
const MAX_SEGMENTS: usize = 2_000;

/// See the module documentation.
pub(super) struct Job {
    pub(super) shared: Arc<FetchShared>,
    pub(super) recording: Arc<Recording>,
    pub(super) device: Arc<Device>,
    pub(super) flight: Arc<Flight>,
}

/// A part of a segment.
struct Part<'a> {
    segment: &'a Segment,
    range: UtcRange,
    clock: &'a ClockMap,
    channel: ChannelId,
    stream: StreamKind,
}

impl Job {
    pub(super) async fn run(&self) -> Result<()> {
        let wanted = self.flight.range;
        let Origin::Device { channel, stream, .. } = &self.recording.origin else {
            return Err(Error::not_found("no recorder is behind this recording"));
        };
        let segments = self.segments(wanted).await?;
        let snapshot = self.shared.index.snapshot();
        let clock = snapshot.clock(&self.device.id)?;
        // Footage behind this is still being recorded: that nothing came does not mean that there
        // is nothing.
        let mut settled = wanted.end();
        for segment in &segments {
            let Some(range) = segment.range().intersect(&wanted) else { continue };
            let (channel, stream) = (*channel, *stream);
            self.fetch_part(&Part { segment, range, clock: &clock, channel, stream }).await?;
            if segment.state == SegmentState::Growing {
                let newest = self.flight.newest(wanted);
                settled = settled.min(newest.unwrap_or(range.start()));
            }
        }
        self.note_holes(UtcRange::clamped(wanted.start(), settled));
        if self.shared.index.snapshot().clock(&self.device.id)? != clock {
            // Measured anew while this ran.
            self.shared.clocks.forget(&self.device.id);
        }
        Ok(())
    }

    /// The segments of the stretch, those of the picture if it has any (sound is recorded in the
    /// same ones).
    async fn segments(&self, range: UtcRange) -> Result<Vec<Segment>> {
        let pictures = encodings::video_tracks(&self.recording).map(|t| t.token.clone()).collect();
        let sound = self.recording.tracks.iter().filter(|t| t.kind == TrackKind::Audio);
        let sound = sound.map(|t| vec![t.token.clone()]);
        for tracks in std::iter::once(pictures).chain(sound) {
            let select = SegmentSelect {
                tracks: Some(tracks),
                range,
                states: None,
                direction: Direction::Forward,
                limit: MAX_SEGMENTS,
                after: None,
            };
            let snapshot = self.shared.index.snapshot();
            let page = dvrgate_index::blocking(snapshot, move |s| s.segments(&select)).await?;
            if !page.items.is_empty() {
                return Ok(page.items);
            }
        }
        Ok(Vec::new())
    }

    /// Fetches a part of a segment: with longer tails until the last GOP was seen whole, and again
    /// from where it broke.
    async fn fetch_part(&self, part: &Part<'_>) -> Result<()> {
        let range = &part.range;
        let mut patience = Patience::new(self.device.clock.now());
        let mut tails = TAILS_US.into_iter();
        let mut tail = tails.next().unwrap_or_default();
        // What was begun with a lower priority goes on.
        let mut from = self.flight.goes_on_at(*range).unwrap_or(range.start());
        let mut ended_there = false;
        while from < range.end() {
            let before = self.flight.newest(*range);
            let outcome = self.fetch_window(part, from, tail, ended_there).await;
            let progressed = self.flight.newest(*range) > before;
            let broken = match outcome {
                Ok(Fetched::Whole) => return Ok(()),
                Ok(Fetched::Cut(start)) => {
                    let Some(longer) = tails.next() else { return Ok(()) };
                    (from, tail) = (start, longer);
                    continue;
                }
                Ok(Fetched::Early) => {
                    // If there is no more, the last GOP is whole with what follows.
                    tail = tails.next().unwrap_or(tail);
                    ended_there = true;
                    Error::new(ErrorKind::Unreachable, "footage ended before its time")
                }
                Err(e) => e,
            };
            let now = self.device.clock.now();
            let Some(pause) = patience.pause(&broken, progressed, now) else { return Err(broken) };
            self.shared.counts.breaks.fetch_add(1, Ordering::Relaxed);
            tracing::info!(recording = %self.recording.token, error = %broken, ?pause, progressed, "footage broke off and is taken up again");
            // Whoever comes with a higher priority meanwhile need not wait.
            self.flight.state.lock().opened = false;
            tokio::time::sleep(pause).await;
            from = self.flight.goes_on_at(*range).unwrap_or(range.start());
        }
        Ok(())
    }

    /// Fetches a part from `from` on, with a tail. `ended_there`: an attempt before this one found
    /// no more from there on.
    async fn fetch_window(
        &self,
        part: &Part<'_>,
        from: Utc,
        tail: i64,
        ended_there: bool,
    ) -> Result<Fetched> {
        let Part { segment, range, clock, channel, stream } = part;
        let (start, end) = match self.device.adapter.capabilities().footage.seek {
            SeekGrain::CleanPoint => (from, range.end().plus_us(tail).min(segment.end.utc)),
            SeekGrain::Second => (
                from.plus_us(-SECOND_LEAD_US).max(segment.start.utc).min(from),
                range.end().plus_us(tail).min(segment.end.utc),
            ),
            SeekGrain::Segment => (segment.start.utc, segment.end.utc),
        };
        let window = UtcRange::clamped(start, end);
        let listed = listed(segment, clock);
        let mut sources = clock.source_windows(window, Convention::Listing);
        // A segment ends where the recorder says, also where its clock went back in the last group
        // of pictures and no longer shows that reading.
        if let Some(last) = sources.last_mut().filter(|_| window.end() >= segment.end.utc) {
            last.end = last.end.max(listed.end);
        }
        let growing = segment.state == SegmentState::Growing;
        let in_parts = sources.len() > 1;
        let mut fetched = Fetched::Whole;
        for source in sources {
            let request = FootageRequest {
                channel: *channel,
                stream: *stream,
                window: source,
                locator: Some(segment.locator.clone()),
                segment: Some(listed),
                resume: 0,
            };
            let asked = Asked {
                request,
                timing: Timing::new((*clock).clone(), window.start()),
                window,
                enough: range.end(),
                section: (!growing && end >= segment.end.utc).then_some(segment.end.utc),
                // The end of a segment that grows is a guess, and so is that of a part of a window.
                promised: (!growing && !in_parts).then(|| range.end().min(end)),
                ended_there,
            };
            fetched = self.transfer(asked).await?;
        }
        Ok(match fetched {
            // The end of the segment while it grows is no end; it is asked for again later.
            Fetched::Cut(start) if start >= range.end() || end >= segment.end.utc || growing => {
                Fetched::Whole
            }
            other => other,
        })
    }

    /// Remembers where the index promised footage and none came.
    fn note_holes(&self, wanted: UtcRange) {
        let now = self.device.clock.now();
        for track in &self.recording.tracks {
            let mut pieces = self.flight.brought(&track.token);
            pieces.sort_by_key(|r| r.start());
            let mut at = wanted.start();
            let hole = |from: Utc, to: Utc| {
                let hole = UtcRange::clamped(from, to.min(wanted.end()));
                if hole.duration_us() > MIN_HOLE_US {
                    self.shared.memory.note_empty(&track.token, hole, now);
                }
            };
            for piece in pieces {
                hole(at, piece.start());
                at = at.max(piece.end());
            }
            hole(at, wanted.end());
        }
    }
}

/// First and last reading of a segment. One that ends in the second pass of the doubled hour may
/// end before it begins; then the last reading that it shows at all.
fn listed(segment: &Segment, clock: &ClockMap) -> SourceRange {
    let (start, end) = (segment.source.0.civil, segment.source.1.civil);
    if end > start {
        return SourceRange::new(start, end);
    }
    let shown = clock.source_windows(segment.range(), Convention::Listing);
    SourceRange::new(start, shown.iter().map(|w| w.end).max().unwrap_or(end))
}
