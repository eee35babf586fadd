//! One track in reverse: pieces from clean point to clean point, the last one first, the units of
//! each forwards (ONVIF Streaming 6.6).

use std::collections::VecDeque;
use std::sync::Arc;

use dvrgate_model::{Direction, Frame, Result, TrackKind, TrackToken, Utc};

use super::forward::passes;
use super::supply::{Found, Supply, Want};
use super::{CONTIGUOUS_US, End, is_jump};
use crate::{FrameFilter, Gop, PlayPlan};

/// The place of a playback in one track.
#[derive(Debug)]
pub(super) struct Reverse {
    track: TrackToken,
    filter: FrameFilter,
    /// Only pictures have pieces shorter than a stored GOP.
    splits: bool,
    until: Option<Utc>,
    start: Option<Utc>,
    /// Nothing more starts at or after this.
    search: Utc,
    /// Pieces of the GOP at hand that were not looked at yet, the last one last.
    pieces: Vec<Piece>,
    current: Option<Piece>,
    next: Option<Piece>,
    /// Oldest unit looked at.
    oldest: Option<Utc>,
    last_key: Option<Utc>,
    /// Between `current` and `next` lies a gap.
    gap_follows: bool,
    end: Option<End>,
}

/// What a decoder can show on its own.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) frames: VecDeque<Frame>,
    pub(super) first: Utc,
    pub(super) last: Utc,
}

impl Reverse {
    pub(super) fn new(track: TrackToken, kind: TrackKind, plan: &PlayPlan) -> Self {
        Self {
            track,
            filter: if kind == TrackKind::Video { plan.frames } else { FrameFilter::All },
            splits: kind == TrackKind::Video,
            until: plan.until,
            start: Some(plan.from),
            search: plan.from.plus_us(1),
            pieces: Vec::new(),
            current: None,
            next: None,
            oldest: None,
            last_key: None,
            gap_follows: false,
            end: None,
        }
    }

    /// Where the piece that it would deliver next begins, or the latest place where it may; `None`
    /// after the last one.
    pub(super) fn turn(&self, supply: &impl Supply) -> Result<Option<Utc>> {
        if let Some(piece) = &self.current {
            return Ok(Some(piece.first));
        }
        if self.end.is_some() {
            return Ok(None);
        }
        let span = supply.span(&self.track, self.search, Direction::Reverse)?;
        Ok(Some(span.map_or(self.search, |s| s.end().min(self.search))))
    }

    /// The piece at hand.
    pub(super) fn current(&mut self) -> Option<&mut Piece> {
        self.current.as_mut()
    }

    /// Whether it is known what follows the piece at hand.
    pub(super) fn knows_follower(&self) -> bool {
        self.next.is_some() || self.gap_follows || self.end.is_some()
    }

    /// E and T for the last unit of the piece at hand, and on to the next piece.
    pub(super) fn finish_piece(&mut self) -> (bool, bool) {
        let data = self.next.is_none() && self.end == Some(End::Data);
        let marks = (self.gap_follows || data, data);
        self.gap_follows = false;
        self.current = self.next.take();
        self.look_ahead();
        marks
    }

    /// Takes one step to the GOP before, or learns that there is none.
    pub(super) async fn advance(&mut self, supply: &mut impl Supply) -> Result<()> {
        let Some(span) = supply.span(&self.track, self.search, Direction::Reverse)? else {
            self.end = Some(End::Data);
            return Ok(());
        };
        let bound = span.end().min(self.search);
        // The bound is the first instant that does not belong to it.
        let gap = self.oldest.is_some_and(|o| is_jump(bound, o));
        if self.until.is_some_and(|u| bound <= u) && (gap || is_jump(span.start(), bound)) {
            self.gap_follows = gap;
            self.end = Some(End::Range);
            return Ok(());
        }
        if self.current.is_some() && gap && !self.gap_follows {
            self.gap_follows = true;
            return Ok(());
        }
        let inside = self.start.filter(|from| span.contains(*from));
        let want = Want {
            track: self.track.clone(),
            direction: Direction::Reverse,
            from: bound,
            beyond: None,
            within: span,
            slack_us: match inside {
                Some(_) => 0,
                None if bound < self.search || self.oldest.is_none() => {
                    dvrgate_index::SPAN_TOLERANCE_US
                }
                None => CONTIGUOUS_US,
            },
        };
        match supply.gop(&want).await? {
            Found::Nothing(to) => self.search = to.min(bound.plus_us(-1)),
            Found::Gop(gop) => {
                self.search = gop.range.start();
                self.pieces = pieces(&gop, self.splits);
                // R8.5.5-2: the clean point at or before the requested time.
                if let Some(from) = self.start.take()
                    && inside.is_some()
                {
                    self.pieces.retain(|p| p.first <= from);
                }
                self.look_ahead();
            }
        }
        Ok(())
    }

    fn look_ahead(&mut self) {
        if self.current.is_none() {
            self.current = self.next_piece();
            if self.current.is_some() {
                self.gap_follows = false;
            }
        }
        if self.current.is_some() && self.next.is_none() && !self.gap_follows {
            self.next = self.next_piece();
        }
    }

    fn next_piece(&mut self) -> Option<Piece> {
        while let Some(mut piece) = self.pieces.pop() {
            if self.oldest.is_some_and(|o| is_jump(piece.last, o)) {
                self.gap_follows = true;
            }
            if self.until.is_some_and(|u| piece.last < u) {
                self.end = Some(End::Range);
                self.pieces.clear();
                return None;
            }
            self.oldest = Some(piece.first);
            let last_key = self.last_key;
            let filter = self.filter;
            piece.frames.retain(|f| {
                passes(filter, f, |gap| last_key.is_none_or(|last| last.since_us(f.at.utc) >= gap))
            });
            if !piece.frames.is_empty() {
                self.last_key = Some(piece.first);
                return Some(piece);
            }
        }
        None
    }
}

/// The pieces of a GOP, in recorded order.
fn pieces(gop: &Arc<Gop>, splits: bool) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for frame in &gop.frames {
        let at = frame.at.utc;
        match pieces.last_mut() {
            Some(piece) if !(splits && frame.kind.is_clean()) => {
                piece.frames.push_back(frame.clone());
                piece.last = piece.last.max(at);
            }
            _ => pieces.push(Piece { frames: [frame.clone()].into(), first: at, last: at }),
        }
    }
    pieces
}
