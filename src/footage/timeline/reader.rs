//! The supply of a real playback: the index, the store, and the fetcher behind it.

use std::sync::Arc;

use dvrgate_adapter::Priority;
use dvrgate_index::{Index, Scope, SegmentSelect, SpanQuery};
use dvrgate_model::{
    Direction, Error, ErrorKind, Recording, RecordingStatus, Result, SegmentState, TrackToken, Utc,
    UtcRange,
};
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::CONTIGUOUS_US;
use super::documents::{self, EventPage, EventWant};
use super::supply::{Found, Supply, Want};
use crate::fetch::{Fetcher, Standing, Ticket, Wish};
use crate::{Gop, GopKey, GopStore, MediaStore};

/// Tracks whose data ends this long before that of their recording do not grow with it.
const STALE_US: i64 = 60_000_000;
/// A GOP that vanishes between look-up and reading (evicted, damaged) is looked up this often.
const MAX_TRIES: u32 = 5;

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) store: GopStore,
    pub(crate) fetcher: Fetcher,
    pub(crate) index: Arc<dyn Index>,
    pub(crate) recording: Arc<Recording>,
    pub(crate) changes: watch::Receiver<u64>,
    /// Where playback ends, if it is known.
    until: Option<Utc>,
    /// The transfer that is being read.
    current: Option<Ticket>,
    /// The transfer of the stretch that comes next.
    ahead: Option<Ticket>,
    /// The chunk for which `ahead` was begun.
    prefetched: Option<i64>,
}

/// The next GOP that is there.
enum Next {
    Stored(UtcRange),
    InMemory(Arc<Gop>),
}

impl Next {
    fn range(&self) -> UtcRange {
        match self {
            Next::Stored(range) => *range,
            Next::InMemory(gop) => gop.range,
        }
    }
}

impl Reader {
    pub(crate) fn new(
        store: GopStore,
        fetcher: Fetcher,
        index: Arc<dyn Index>,
        recording: Arc<Recording>,
        changes: watch::Receiver<u64>,
        until: Option<Utc>,
    ) -> Self {
        Self {
            store,
            fetcher,
            index,
            recording,
            changes,
            until,
            current: None,
            ahead: None,
            prefetched: None,
        }
    }

    fn next(&self, want: &Want, from: Utc) -> Option<Next> {
        let tickets = || [&self.current, &self.ahead].into_iter().flatten();
        let (stored, unstored) = match want.direction {
            Direction::Forward => (
                self.store.forward(&want.track, from, want.beyond),
                tickets()
                    .filter_map(|t| t.forward(&want.track, from, want.beyond))
                    .min_by_key(|g| g.range.start()),
            ),
            Direction::Reverse => (
                self.store.reverse(&want.track, from),
                tickets()
                    .filter_map(|t| t.reverse(&want.track, from))
                    .max_by_key(|g| g.range.start()),
            ),
        };
        let nearer = |g: &Arc<Gop>| {
            stored.is_none_or(|s| match want.direction {
                Direction::Forward => g.range.start() < s.start(),
                Direction::Reverse => g.range.start() > s.start(),
            })
        };
        match unstored.filter(nearer) {
            Some(gop) => Some(Next::InMemory(gop)),
            None => stored.map(Next::Stored),
        }
        .filter(|n| belongs(want, &n.range()))
    }

    async fn read(&self, want: &Want, next: &Next) -> Result<Arc<Gop>> {
        match next {
            Next::InMemory(gop) => Ok(Arc::clone(gop)),
            Next::Stored(range) => {
                let key = GopKey { track: want.track.clone(), start: range.start() };
                self.store.gop(&key).await
            }
        }
    }

    async fn find(&mut self, want: &Want) -> Result<Found> {
        let mut tries = 0;
        let mut from = want.from;
        loop {
            // Asked before the look-up, so that nothing lands unseen between it and waiting.
            let standing = self.current.as_mut().map(Ticket::standing);
            let next = self.next(want, from);
            let hole = hole(want, from, next.as_ref().map(Next::range));
            let at = match want.direction {
                Direction::Forward => hole.start(),
                Direction::Reverse => hole.end().plus_us(-1),
            };
            let ticket = self.current.as_mut().filter(|t| t.range().contains(at));
            let passed = match (&ticket, &standing) {
                (Some(t), Some(Standing::Flying)) if want.direction == Direction::Forward => {
                    t.passed_until(&want.track)
                }
                _ => Utc::MIN,
            };
            let adjacent = hole.duration_us() <= want.slack_us;
            match next.filter(|n| adjacent || n.range().start() <= passed) {
                Some(next) => match self.read(want, &next).await {
                    Ok(gop) => {
                        self.prefetch(want, &gop).await;
                        return Ok(Found::Gop(gop));
                    }
                    Err(e) if e.kind() == ErrorKind::NotFound && tries < MAX_TRIES => {
                        // Evicted or damaged; so it must be fetched again, by another transfer.
                        tries += 1;
                        self.current = None;
                        continue;
                    }
                    Err(e) => return Err(e),
                },
                None if adjacent => return Ok(Found::Nothing(far_end(want, want.within))),
                None if passed > at => return Ok(Found::Nothing(passed.min(hole.end()))),
                None => {}
            }
            let nothing = match (ticket, standing) {
                (Some(ticket), Some(Standing::Flying)) => {
                    ticket.changed().await;
                    continue;
                }
                // Whatever it brought is there by now; what is not there does not exist.
                (Some(ticket), Some(Standing::Landed)) => ticket.range(),
                (Some(ticket), Some(Standing::Failed(e))) => {
                    let range = ticket.range();
                    self.current = None;
                    self.skip(e, range)?
                }
                _ => match self.fetcher.empty_at(&self.recording, &want.track, at) {
                    Some(empty) => empty,
                    None => {
                        if let Some(closing) = self.current.as_mut().filter(|t| t.is_closing()) {
                            // One session for one viewer.
                            closing.changed().await;
                            continue;
                        }
                        let (direction, priority) = (want.direction, Priority::Replay);
                        let until = self.until;
                        let wish = Wish { at, hole, direction, until, priority };
                        match self.fetcher.join(&self.recording, wish).await {
                            Ok(ticket) => {
                                self.current = Some(ticket);
                                // What was fetched ahead is this one now, or of no use.
                                self.ahead = None;
                                continue;
                            }
                            Err(refused) => self.skip(refused.error, refused.range)?,
                        }
                    }
                },
            };
            from = match want.direction {
                Direction::Forward => nothing.end().min(hole.end()),
                Direction::Reverse => nothing.start().max(hole.start()),
            };
            if is_out(want, from) {
                return Ok(Found::Nothing(from));
            }
        }
    }

    /// Footage that is damaged or gone is a gap; whatever else is wrong ends the playback.
    fn skip(&self, e: Error, range: UtcRange) -> Result<UtcRange> {
        match e.kind() {
            ErrorKind::NotFound | ErrorKind::Damaged | ErrorKind::Malformed => {
                tracing::warn!(recording = %self.recording.token, %range, error = %e, "playback skips footage");
                Ok(range)
            }
            _ => Err(e),
        }
    }

    /// Begins to fetch the chunk after the one that is being played, if it is not there.
    async fn prefetch(&mut self, want: &Want, gop: &Gop) {
        let Ok(chunk) = self.fetcher.chunk_us(&self.recording) else { return };
        let cell = gop.range.start().micros().div_euclid(chunk);
        if self.prefetched == Some(cell) {
            return;
        }
        if let Some(ticket) = &mut self.current {
            if matches!(ticket.standing(), Standing::Flying) {
                // One session for one viewer.
                return;
            }
            if ticket.is_unstored() {
                // Nowhere to put more.
                return;
            }
        }
        self.prefetched = Some(cell);
        let at = match want.direction {
            Direction::Forward => Utc::from_micros((cell + 1) * chunk),
            Direction::Reverse => Utc::from_micros(cell * chunk).plus_us(-1),
        };
        let is_wanted = self.until.is_none_or(|u| match want.direction {
            Direction::Forward => at < u,
            Direction::Reverse => at >= u,
        });
        let span = match self.span(&want.track, at, Direction::Forward) {
            Ok(Some(span)) if is_wanted && span.contains(at) => span,
            _ => return,
        };
        let probe = Want {
            from: at_bound(want, at),
            beyond: None,
            within: span,
            slack_us: CONTIGUOUS_US,
            ..want.clone()
        };
        let hole = hole(&probe, probe.from, self.next(&probe, probe.from).map(|n| n.range()));
        if hole.duration_us() <= CONTIGUOUS_US
            || self.fetcher.empty_at(&self.recording, &want.track, at).is_some()
        {
            return;
        }
        let direction = want.direction;
        let priority = Priority::Backfill;
        let wish = Wish { at, hole, direction, until: self.until, priority };
        self.ahead = self.fetcher.join(&self.recording, wish).await.ok();
    }
}

impl Supply for Reader {
    fn span(&self, track: &TrackToken, at: Utc, direction: Direction) -> Result<Option<UtcRange>> {
        let range = match direction {
            Direction::Forward => UtcRange::clamped(at, Utc::MAX),
            Direction::Reverse => UtcRange::clamped(Utc::MIN, at),
        };
        let query = SpanQuery { track: track.clone(), range, direction, limit: 1, after: None };
        let page = self.index.snapshot().spans(&query)?;
        Ok(page.items.into_iter().next().map(|s| s.range))
    }

    fn gop<'a>(&'a mut self, want: &'a Want) -> BoxFuture<'a, Result<Found>> {
        Box::pin(self.find(want))
    }

    fn events(&self, want: EventWant) -> BoxFuture<'static, Result<EventPage>> {
        let scope = Scope { recordings: Some(vec![self.recording.token.clone()]) };
        let snapshot = self.index.snapshot();
        Box::pin(dvrgate_index::blocking(snapshot, move |s| documents::load(s, scope, want)))
    }

    fn growing<'a>(&'a mut self, track: &'a TrackToken) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let snapshot = self.index.snapshot();
            let Some(recording) = snapshot.recording(&self.recording.token)? else {
                return Ok(false);
            };
            let of_track = recording.track(track).and_then(|t| t.data);
            let (Some(of_all), Some(of_track)) = (recording.data(), of_track) else {
                return Ok(recording.status == RecordingStatus::Recording);
            };
            if of_all.end().since_us(of_track.end()) > STALE_US {
                return Ok(false);
            }
            match recording.status {
                RecordingStatus::Recording => return Ok(true),
                RecordingStatus::Unknown => {}
                _ => return Ok(false),
            }
            let select = SegmentSelect {
                tracks: Some(vec![track.clone()]),
                range: UtcRange::clamped(of_track.end().plus_us(-1), Utc::MAX),
                states: Some(vec![SegmentState::Growing]),
                direction: Direction::Reverse,
                limit: 1,
                after: None,
            };
            let page = dvrgate_index::blocking(snapshot, move |s| s.segments(&select)).await?;
            Ok(!page.items.is_empty())
        })
    }

    fn has_news(&self) -> bool {
        self.changes.has_changed().unwrap_or_default()
    }

    fn changed(&mut self) -> BoxFuture<'_, bool> {
        // A transfer that found nothing here may find something now.
        self.current = None;
        Box::pin(async move {
            let changed = self.changes.changed().await.is_ok();
            if let Err(e) = self.fetcher.refresh_clock(&self.recording) {
                tracing::warn!(recording = %self.recording.token, error = %e, "the clock cannot be read");
            }
            changed
        })
    }
}

/// What is missing between `from` and the next GOP, inside the wanted stretch.
fn hole(want: &Want, from: Utc, next: Option<UtcRange>) -> UtcRange {
    match want.direction {
        Direction::Forward => {
            let end = next.map_or(want.within.end(), |n| n.start().min(want.within.end()));
            UtcRange::clamped(from, end)
        }
        Direction::Reverse => {
            let start = next.map_or(want.within.start(), |n| n.end().max(want.within.start()));
            UtcRange::clamped(start.min(from), from)
        }
    }
}

fn belongs(want: &Want, range: &UtcRange) -> bool {
    range.start() < want.within.end() && range.end() > want.within.start()
}

/// The end of a stretch in the direction of play.
fn far_end(want: &Want, range: UtcRange) -> Utc {
    match want.direction {
        Direction::Forward => range.end(),
        Direction::Reverse => range.start(),
    }
}

fn is_out(want: &Want, from: Utc) -> bool {
    match want.direction {
        Direction::Forward => from >= want.within.end(),
        Direction::Reverse => from <= want.within.start(),
    }
}

/// [`Want::from`] for what is at an instant.
fn at_bound(want: &Want, at: Utc) -> Utc {
    match want.direction {
        Direction::Forward => at,
        Direction::Reverse => at.plus_us(1),
    }
}
