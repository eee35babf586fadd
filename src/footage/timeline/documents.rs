//! The metadata track of a playback: documents made of the events that the index has of the
//! recording, between the pictures.
//!
//! Where playback enters a section a document tells the states that properties have there. What is
//! next is read ahead, a page at a time and off the path of the pictures, which do not wait for it
//! at first ([`LAG_US`]). Documents of one instant are one. In reverse each document is a piece of
//! its own (R8.6-5).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use dvrgate_index::{EventCursor, EventSelect, Scope, Snapshot, StateQuery};
use dvrgate_media::codec::metadata::{Told, document};
use dvrgate_model::{
    Codec, CodecParams, Direction, EventOrigin, Frame, FrameKind, MediaTime, RecordingEvent,
    Result, Stamp, TrackToken, Utc, UtcRange,
};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::End;
use super::forward::Turn;
use super::supply::Supply;
use crate::PlayPlan;

/// Pictures this far behind the start wait until the first documents are read.
pub(super) const LAG_US: i64 = 500_000;
/// Events of one page. What a session holds of them is a page and what is left of the one before.
const PAGE: usize = 32;
/// With fewer documents at hand than this the next page is read.
const FEW: usize = 8;
/// The first stretch that is looked through for the next event; it doubles while there is none.
const FIRST_STRETCH_US: i64 = 3_600_000_000;

/// What is asked of the index.
#[derive(Clone, Debug)]
pub(crate) struct EventWant {
    pub(crate) direction: Direction,
    /// What is looked through: a part of one section.
    pub(crate) within: UtcRange,
    /// Behind this one.
    pub(crate) after: Option<EventCursor>,
    /// The states at that instant, too.
    pub(crate) entry: Option<Utc>,
}

/// What the index answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventPage {
    /// States at the entry.
    pub(crate) states: Vec<RecordingEvent>,
    /// The next events in the asked direction.
    pub(crate) events: Vec<RecordingEvent>,
    /// What is not looked through yet, and behind which event; `None`: nothing.
    pub(crate) rest: Option<(UtcRange, Option<EventCursor>)>,
}

/// Reads a page. Blocks on the index.
pub(crate) fn load(snapshot: &dyn Snapshot, scope: Scope, want: EventWant) -> Result<EventPage> {
    let mut page = EventPage::default();
    if let Some(at) = want.entry {
        let states = snapshot.state_at(&StateQuery { scope: scope.clone(), at, topics: None })?;
        page.states = states.into_iter().filter(is_recorded).collect();
    }
    let told = |e: &RecordingEvent| e.property && Some(e.at.utc) == want.entry;
    let (mut left, mut after, mut width_us) = (want.within, want.after, FIRST_STRETCH_US);
    while !left.is_empty() {
        let (part, behind) = match want.direction {
            Direction::Forward => {
                let middle = left.start().plus_us(width_us).min(left.end());
                (UtcRange::clamped(left.start(), middle), UtcRange::clamped(middle, left.end()))
            }
            Direction::Reverse => {
                let middle = left.end().plus_us(-width_us).max(left.start());
                (UtcRange::clamped(middle, left.end()), UtcRange::clamped(left.start(), middle))
            }
        };
        let found = snapshot.events(&EventSelect {
            scope: scope.clone(),
            from: part.start(),
            // Both ends belong to it.
            to: part.end().plus_us(-1),
            topics: None,
            direction: want.direction,
            limit: PAGE,
            after: after.take(),
        })?;
        page.events.extend(found.items.into_iter().filter(|e| is_recorded(e) && !told(e)));
        match found.next {
            Some(cursor) => after = Some(cursor),
            None => {
                left = behind;
                width_us = width_us.saturating_mul(2);
            }
        }
        if !page.events.is_empty() {
            break;
        }
    }
    page.rest = (!left.is_empty()).then_some((left, after));
    Ok(page)
}

/// R4-3: what the gateway says of its own recordings was not recorded with them.
fn is_recorded(event: &RecordingEvent) -> bool {
    event.origin != EventOrigin::Derived
}

/// The place of a playback in the metadata track.
pub(super) struct Documents {
    track: TrackToken,
    params: Arc<CodecParams>,
    direction: Direction,
    until: Option<Utc>,
    follow_live: bool,
    /// Sections before it (in reverse: that start at or after it) are through.
    search: Utc,
    /// A section was entered.
    begun: bool,
    /// A document was delivered.
    told: bool,
    section: Option<Section>,
    queue: VecDeque<Document>,
    end: Option<End>,
}

/// A section that is being read.
struct Section {
    /// What was not read yet.
    unread: Option<(UtcRange, Option<EventCursor>)>,
    /// The states at that instant come first.
    entry: Option<Utc>,
    loading: Option<(Option<Utc>, BoxFuture<'static, Result<EventPage>>)>,
    /// Nothing that is not in the queue comes before it (in reverse: after it).
    bound: Utc,
    /// What follows, once all was read.
    behind: Option<Behind>,
}

/// What follows a section.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Behind {
    /// Another one, behind a gap.
    Gap,
    /// Nothing.
    End(End),
}

#[derive(Debug)]
struct Document {
    at: Stamp,
    data: Bytes,
}

/// A document that may go out.
#[derive(Debug)]
pub(super) struct ReadyDocument {
    pub(super) frame: Frame,
    pub(super) end_of_span: bool,
    pub(super) terminal: bool,
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents").field("track", &self.track).finish_non_exhaustive()
    }
}

impl Documents {
    pub(super) fn new(track: TrackToken, plan: &PlayPlan) -> Self {
        Self {
            track,
            params: Arc::new(CodecParams::new(Codec::Metadata)),
            direction: plan.direction,
            until: plan.until,
            follow_live: plan.follow_live,
            search: match plan.direction {
                Direction::Forward => plan.from,
                Direction::Reverse => plan.from.plus_us(1),
            },
            begun: false,
            told: false,
            section: None,
            queue: VecDeque::new(),
            end: None,
        }
    }

    /// When it wants to be served.
    pub(super) fn turn(&self, supply: &impl Supply) -> Result<Turn> {
        Ok(match (self.queue.front(), &self.section, self.end) {
            (Some(document), ..) => Turn::At(document.at.utc),
            (None, Some(section), _) => Turn::At(section.bound),
            (None, None, Some(End::Live)) if self.follow_live => Turn::Live,
            (None, None, Some(End::Data)) if self.follow_live && self.until.is_none() => Turn::Rest,
            (None, None, Some(_)) => Turn::Over,
            (None, None, None) => {
                let span = supply.span(&self.track, self.search, self.direction)?;
                Turn::At(match (span, self.direction) {
                    (Some(s), Direction::Forward) => s.start().max(self.search),
                    (Some(s), Direction::Reverse) => s.end().min(self.search),
                    (None, _) => self.search,
                })
            }
        })
    }

    /// Whether it waits for the index before its first document.
    pub(super) fn is_beginning(&self) -> bool {
        !self.told && self.section.as_ref().is_some_and(|s| s.loading.is_some())
    }

    /// The next document if it is known what follows it.
    pub(super) fn ready(&mut self) -> Option<ReadyDocument> {
        let behind = match self.queue.len() {
            1 => Some(self.section.as_ref()?.behind?),
            _ => None,
        };
        let Document { at, data } = self.queue.pop_front()?;
        self.told = true;
        let frame = Frame {
            track: self.track.clone(),
            at,
            media: MediaTime { ticks: at.utc.micros().div_euclid(100) * 9, rate_hz: 90_000 },
            kind: FrameKind::Metadata,
            params: Arc::clone(&self.params),
            data,
            origin: None,
        };
        let terminal = behind == Some(Behind::End(End::Data));
        let end_of_span = terminal || behind == Some(Behind::Gap);
        Some(ReadyDocument { frame, end_of_span, terminal })
    }

    /// The index changed. Says whether there may be more now.
    pub(super) fn wake(&mut self, supply: &impl Supply) -> Result<bool> {
        let more = match self.end {
            Some(End::Live | End::Data) => {
                supply.span(&self.track, self.search, self.direction)?.is_some()
            }
            Some(End::Range) | None => false,
        };
        self.end.take_if(|_| more);
        Ok(more)
    }

    /// Begins to read what comes next, or takes what was read, without waiting.
    pub(super) fn read_ahead(&mut self, supply: &impl Supply) -> Result<()> {
        let Some(section) = &mut self.section else { return Ok(()) };
        if section.loading.is_none()
            && self.queue.len() < FEW
            && let Some((within, after)) = section.unread.take()
        {
            let entry = section.entry.take();
            let want = EventWant { direction: self.direction, within, after, entry };
            section.loading = Some((entry, supply.events(want)));
        }
        let Some((entry, loading)) = &mut section.loading else { return Ok(()) };
        let entry = *entry;
        if let Some(page) = loading.now_or_never() {
            self.take(entry, page?);
        }
        Ok(())
    }

    /// One step: to the next page, to what is behind a section, to the next section, to the end.
    pub(super) async fn advance(&mut self, supply: &mut impl Supply) -> Result<()> {
        self.read_ahead(supply)?;
        let Some(section) = &mut self.section else { return self.enter(supply).await };
        if let Some((entry, loading)) = &mut section.loading {
            let (entry, page) = (*entry, loading.await?);
            self.take(entry, page);
        } else if section.unread.is_none() && section.behind.is_none() {
            self.look_behind(supply).await?;
        } else if let Some(behind) = section.behind.filter(|_| self.queue.is_empty()) {
            self.section = None;
            if let Behind::End(end) = behind {
                self.end = Some(end);
            }
        }
        Ok(())
    }

    async fn enter(&mut self, supply: &mut impl Supply) -> Result<()> {
        let Some(span) = supply.span(&self.track, self.search, self.direction)? else {
            self.end = Some(no_more(&self.track, supply).await?);
            return Ok(());
        };
        // What was read up to the live edge goes on: the states are known.
        let goes_on = self.begun && touches(&span, self.search, self.direction);
        let unread = self.part(&span);
        if unread.is_empty() {
            self.end = Some(End::Range);
            return Ok(());
        }
        let first = match self.direction {
            Direction::Forward => unread.start(),
            Direction::Reverse => unread.end().plus_us(-1),
        };
        self.begun = true;
        self.go_past(&unread);
        self.section = Some(Section {
            unread: Some((unread, None)),
            entry: (!goes_on).then_some(first),
            loading: None,
            bound: first,
            behind: None,
        });
        self.read_ahead(supply)
    }

    /// Learns what follows the section that was read.
    async fn look_behind(&mut self, supply: &mut impl Supply) -> Result<()> {
        let ends_range = self.until.is_some_and(|until| match self.direction {
            Direction::Forward => self.search >= until,
            Direction::Reverse => self.search <= until,
        });
        let span = supply.span(&self.track, self.search, self.direction)?;
        let behind = match span {
            _ if ends_range => Behind::End(End::Range),
            // It has grown meanwhile.
            Some(span) if touches(&span, self.search, self.direction) => {
                let unread = self.part(&span);
                self.go_past(&unread);
                if let Some(section) = &mut self.section {
                    section.unread = Some((unread, None));
                }
                return Ok(());
            }
            Some(_) => Behind::Gap,
            None => Behind::End(no_more(&self.track, supply).await?),
        };
        if let Some(section) = &mut self.section {
            section.behind = Some(behind);
        }
        Ok(())
    }

    /// What is to be read of a section.
    fn part(&self, span: &UtcRange) -> UtcRange {
        match self.direction {
            Direction::Forward => UtcRange::clamped(
                span.start().max(self.search),
                self.until.map_or(span.end(), |u| u.min(span.end())),
            ),
            // The earlier bound belongs to the range.
            Direction::Reverse => UtcRange::clamped(
                self.until.map_or(span.start(), |u| u.max(span.start())),
                span.end().min(self.search),
            ),
        }
    }

    fn go_past(&mut self, part: &UtcRange) {
        self.search = match self.direction {
            Direction::Forward => part.end().max(self.search),
            Direction::Reverse => part.start().min(self.search),
        };
    }

    /// Takes a page into the queue.
    fn take(&mut self, entry: Option<Utc>, page: EventPage) {
        let Some(section) = &mut self.section else { return };
        section.loading = None;
        section.bound = match (&page.rest, self.direction) {
            (Some((rest, _)), Direction::Forward) => rest.start(),
            (Some((rest, _)), Direction::Reverse) => rest.end(),
            (None, _) => self.search,
        };
        section.unread = page.rest;
        if let Some(at) = entry.filter(|_| !page.states.is_empty()) {
            let data = document(&page.states, at, Told::State);
            self.queue.push_back(Document { at: Stamp::exact(at), data });
        }
        let mut events = page.events;
        for events in events.chunk_by_mut(|a, b| a.at.utc == b.at.utc) {
            if self.direction == Direction::Reverse {
                // A document is the same in either direction.
                events.reverse();
            }
            if let Some(first) = events.first() {
                let data = document(events, first.at.utc, Told::Happened);
                self.queue.push_back(Document { at: first.at, data });
            }
        }
    }
}

async fn no_more(track: &TrackToken, supply: &mut impl Supply) -> Result<End> {
    Ok(if supply.growing(track).await? { End::Live } else { End::Data })
}

/// Whether a section goes on where another stretch of it ended.
fn touches(span: &UtcRange, search: Utc, direction: Direction) -> bool {
    match direction {
        Direction::Forward => span.start() <= search,
        Direction::Reverse => span.end() >= search,
    }
}
