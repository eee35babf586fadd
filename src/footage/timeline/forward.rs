//! One track forwards: units in recorded order, each held back until it is known what follows.

use std::sync::Arc;

use dvrgate_model::{Direction, Frame, FrameKind, Result, TrackKind, TrackToken, Utc};

use super::supply::{Found, Supply, Want};
use super::{CONTIGUOUS_US, End, is_jump};
use crate::{FrameFilter, Gop};

/// The footage of a section begins at most this much after its listing, which may say seconds only.
const START_US: i64 = dvrgate_index::SPAN_TOLERANCE_US;

/// The place of a playback in one track.
#[derive(Debug)]
pub(super) struct Forward {
    track: TrackToken,
    filter: FrameFilter,
    until: Option<Utc>,
    follow_live: bool,
    /// Where to start; taken by the first GOP.
    start: Option<Utc>,
    /// End of the GOP before.
    done: Utc,
    /// Start of the GOP before.
    beyond: Option<Utc>,
    /// Nothing more is between `done` and this.
    search: Utc,
    gop: Option<(Arc<Gop>, usize)>,
    /// Newest unit looked at, whether delivered or not.
    newest: Option<Utc>,
    last_key: Option<Utc>,
    held: Option<Frame>,
    ahead: Option<Frame>,
    /// Between `held` and what follows it lies a gap.
    gap_follows: bool,
    /// Order of delivery: the highest instant so far.
    key: Utc,
    end: Option<End>,
    retried: bool,
}

/// When a track wants to be served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    /// It has nothing before that instant.
    At(Utc),
    /// It waits for more to be recorded.
    Live,
    /// It has no more, and nothing is being recorded; if that is taken up again, it goes on.
    Rest,
    /// Never again.
    Over,
}

/// A unit that may go out.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) frame: Frame,
    pub(super) key: Utc,
    pub(super) end_of_span: bool,
    pub(super) terminal: bool,
}

impl Forward {
    pub(super) fn new(track: TrackToken, kind: TrackKind, plan: &crate::PlayPlan) -> Self {
        Self {
            track,
            // The header Frames is about pictures.
            filter: if kind == TrackKind::Video { plan.frames } else { FrameFilter::All },
            until: plan.until,
            follow_live: plan.follow_live,
            start: Some(plan.from),
            done: plan.from,
            beyond: None,
            search: plan.from,
            gop: None,
            newest: None,
            last_key: None,
            held: None,
            ahead: None,
            gap_follows: false,
            key: Utc::MIN,
            end: None,
            retried: false,
        }
    }

    /// When it wants to be served.
    pub(super) fn turn(&self, supply: &impl Supply) -> Result<Turn> {
        if self.end == Some(End::Live) && self.follow_live {
            return Ok(Turn::Live);
        }
        if let Some(held) = &self.held {
            return Ok(Turn::At(self.key.max(held.at.utc)));
        }
        if let Some(end) = self.end {
            // A range that ends by itself is over with its data.
            let rests = end == End::Data && self.follow_live && self.until.is_none();
            return Ok(if rests { Turn::Rest } else { Turn::Over });
        }
        let span = supply.span(&self.track, self.search, Direction::Forward)?;
        Ok(Turn::At(match (span, self.start) {
            // Its first unit lies before the requested time; nobody knows how far.
            (Some(s), Some(from)) if self.search == from && s.contains(from) => s.start(),
            (Some(s), _) => s.start().max(self.search),
            (None, _) => self.search,
        }))
    }

    /// The held unit if it is known what follows it.
    pub(super) fn ready(&mut self) -> Option<Ready> {
        let end = match (&self.ahead, self.gap_follows, self.end) {
            (Some(_), ..) | (None, true, None) => None,
            (None, _, Some(end)) => Some(end),
            (None, false, None) => return None,
        };
        let frame = self.held.take()?;
        self.key = self.key.max(frame.at.utc);
        let ready = Ready {
            key: self.key,
            end_of_span: self.gap_follows || end == Some(End::Data),
            terminal: end == Some(End::Data),
            frame,
        };
        self.gap_follows = false;
        self.held = self.ahead.take();
        self.look_ahead();
        Some(ready)
    }

    /// The unit held at the live edge, now that others have gone on without this track (R8.8-3: a
    /// section ends when its recording does).
    pub(super) fn overtaken(&mut self, others: Utc) -> Option<Ready> {
        let frame = self.held.take_if(|f| is_jump(f.at.utc, others))?;
        self.key = self.key.max(frame.at.utc);
        Some(Ready { frame, key: self.key, end_of_span: true, terminal: false })
    }

    /// The held unit when nobody will learn what follows it.
    pub(super) fn give_up(&mut self) -> Option<Ready> {
        let frame = self.held.take()?;
        self.key = self.key.max(frame.at.utc);
        Some(Ready { frame, key: self.key, end_of_span: false, terminal: false })
    }

    /// The index changed. Says whether there may be more now; where nothing was being recorded only
    /// a span that was not there tells so, and the recorder is not asked.
    pub(super) fn wake(&mut self, supply: &impl Supply) -> Result<bool> {
        let more = match self.end {
            Some(End::Live) => true,
            Some(End::Data) => supply.span(&self.track, self.search, Direction::Forward)?.is_some(),
            _ => false,
        };
        if more {
            self.end = None;
            self.search = self.done;
            self.retried = false;
        }
        Ok(more)
    }

    /// Footage of another track turned out to be of this one (R5.1-3).
    pub(super) fn revive(&mut self, supply: &impl Supply) -> Result<()> {
        let is_over = match self.end {
            Some(End::Data) => true,
            Some(End::Live) => self.newest.is_none(),
            _ => false,
        };
        if is_over && supply.span(&self.track, self.search, Direction::Forward)?.is_some() {
            self.end = None;
            self.search = self.done;
            self.retried = false;
        }
        Ok(())
    }

    /// Takes one step to the next GOP, or learns that there is none.
    pub(super) async fn advance(&mut self, supply: &mut impl Supply) -> Result<()> {
        let Some(span) = supply.span(&self.track, self.search, Direction::Forward)? else {
            return self.no_more(supply).await;
        };
        let bound = span.start().max(self.search);
        let gap = self.newest.is_some_and(|n| is_jump(n, bound));
        // Close to its end only the footage itself tells whether the section goes on.
        if self.until.is_some_and(|u| bound >= u) && (gap || is_jump(bound, span.end())) {
            self.gap_follows = gap;
            self.end = Some(End::Range);
            return Ok(());
        }
        if self.held.is_some() && gap && !self.gap_follows {
            // No need to fetch what is behind the gap to know that there is one.
            self.gap_follows = true;
            return Ok(());
        }
        let fresh_section = bound > self.search || self.newest.is_none();
        let inside = self.start.filter(|from| span.contains(*from));
        let want = Want {
            track: self.track.clone(),
            direction: Direction::Forward,
            from: bound,
            beyond: self.beyond,
            within: span,
            slack_us: match inside {
                Some(from) => (START_US - from.since_us(span.start())).max(0),
                None if fresh_section => START_US,
                None => CONTIGUOUS_US,
            },
        };
        let found = supply.gop(&want).await?;
        let found = match (inside, found) {
            // There is none before the first of a section.
            (Some(_), Found::Gop(gop)) if gop.range.start().since_us(span.start()) <= START_US => {
                Found::Gop(gop)
            }
            (Some(from), found) if !holds(&found, from) => {
                match self.one_before(supply, from, &want).await? {
                    Some(gop) => Found::Gop(gop),
                    None => found,
                }
            }
            (_, found) => found,
        };
        match found {
            Found::Nothing(to) => self.search = to.max(bound.plus_us(1)),
            Found::Gop(gop) => {
                let first = match self.start.take().filter(|_| inside.is_some()) {
                    Some(from) => start_in(&gop, from),
                    None => 0,
                };
                self.done = gop.range.end();
                self.search = self.done;
                self.beyond = Some(gop.range.start());
                self.gop = Some((gop, first));
                self.look_ahead();
            }
        }
        Ok(())
    }

    /// R8.5.5-2: the clean point at or before the requested time, where the recorder's transfer
    /// began behind it.
    async fn one_before(
        &self,
        supply: &mut impl Supply,
        from: Utc,
        want: &Want,
    ) -> Result<Option<Arc<Gop>>> {
        let before = Want { direction: Direction::Reverse, from: from.plus_us(1), ..want.clone() };
        Ok(match supply.gop(&before).await? {
            Found::Gop(gop) if !is_jump(gop.range.end(), from) => Some(gop),
            _ => None,
        })
    }

    async fn no_more(&mut self, supply: &mut impl Supply) -> Result<()> {
        if supply.growing(&self.track).await? {
            self.end = Some(End::Live);
        } else if self.search != self.done && !self.retried {
            // The last GOP was not whole while it was recorded; now it is.
            self.retried = true;
            self.search = self.done;
        } else {
            self.end = Some(End::Data);
        }
        Ok(())
    }

    /// Fills `held` and `ahead` from the GOP at hand.
    fn look_ahead(&mut self) {
        if self.held.is_none() {
            self.held = self.next_unit();
            // What lies before the first held unit is nobody's end.
            if self.held.is_some() {
                self.gap_follows = false;
            }
        }
        if self.held.is_some() && self.ahead.is_none() && !self.gap_follows {
            self.ahead = self.next_unit();
        }
    }

    /// The next unit that the filter lets through. Notes whether a gap was passed on the way.
    fn next_unit(&mut self) -> Option<Frame> {
        let (gop, index) = self.gop.as_mut()?;
        while let Some(frame) = gop.frames.get(*index) {
            let at = frame.at.utc;
            if self.newest.is_some_and(|n| is_jump(n, at)) {
                self.gap_follows = true;
            }
            if self.until.is_some_and(|u| at >= u) {
                // What follows in decode order refers to it.
                self.end = Some(End::Range);
                self.gop = None;
                return None;
            }
            self.newest = Some(self.newest.map_or(at, |n| n.max(at)));
            *index += 1;
            if passes(self.filter, frame, |gap| {
                self.last_key.is_none_or(|last| at.since_us(last) >= gap)
            }) {
                self.last_key = Some(at);
                return Some(frame.clone());
            }
        }
        self.gop = None;
        None
    }
}

/// R8.5.4-1, R8.5.4-2, R8.5.4-3, R8.5.4-4.
pub(super) fn passes(filter: FrameFilter, frame: &Frame, far_enough: impl Fn(i64) -> bool) -> bool {
    match filter {
        FrameFilter::All => true,
        FrameFilter::Predicted => frame.kind != FrameKind::Bidirectional,
        FrameFilter::Intra { min_interval_us } => {
            frame.kind.is_clean() && far_enough(min_interval_us)
        }
    }
}

fn holds(found: &Found, from: Utc) -> bool {
    matches!(found, Found::Gop(gop) if gop.range.start() <= from)
}

/// The last clean unit at or before `from`, else the first unit.
fn start_in(gop: &Gop, from: Utc) -> usize {
    gop.frames.iter().rposition(|f| f.kind.is_clean() && f.at.utc <= from).unwrap_or(0)
}
