//! The walker: recorded time as a stream of units with their marks.
//!
//! ONVIF Streaming 6.3 (marks), 6.5.4 and 6.5.5 (Frames, where playback starts), 6.6 (reverse), 6.8
//! and 6.9 (live edge, end of data). A section is what is recorded without a gap: it ends where
//! its span in the index ends, and where two units are more than two seconds apart.

mod documents;
mod forward;
mod reader;
mod reverse;
mod supply;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use dvrgate_model::{Direction, Error, Result, TrackKind, TrackToken, Utc, UtcRange};
use futures::StreamExt;
use futures::stream;

use crate::{Delivery, FrameStream, Marks, PlayPlan};
use documents::{Documents, LAG_US, ReadyDocument};
use forward::{Forward, Ready, Turn};
pub(crate) use reader::Reader;
use reverse::Reverse;
use supply::Supply;

/// GOPs that follow each other within this have nothing between them.
const CONTIGUOUS_US: i64 = 250_000;

/// Whether the time between two units is a gap.
fn is_jump(earlier: Utc, later: Utc) -> bool {
    later.since_us(earlier) > dvrgate_index::SPAN_TOLERANCE_US
}

/// Why a track has no more units.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// There is no more, and no more is being recorded.
    Data,
    /// The asked range ends here.
    Range,
    /// No more yet.
    Live,
}

/// Starts a walk over the tracks of the plan that exist: `tracks` are stored, the documents of `events`
/// are made of what the index knows.
pub(crate) fn walk<S: Supply + 'static>(
    supply: S,
    plan: &PlayPlan,
    tracks: Vec<(TrackToken, TrackKind)>,
    events: Option<TrackToken>,
) -> FrameStream {
    let documents = events.map(|track| Documents::new(track, plan));
    let (forward, reverse) = match plan.direction {
        Direction::Forward => {
            let cursors = tracks.into_iter().map(|(t, kind)| Forward::new(t, kind, plan));
            (cursors.collect(), Vec::new())
        }
        Direction::Reverse => {
            // R8.6-6: no sound in reverse.
            let seen = tracks.into_iter().filter(|(_, kind)| *kind != TrackKind::Audio);
            (Vec::new(), seen.map(|(t, kind)| Reverse::new(t, kind, plan)).collect())
        }
    };
    let count = forward.len() + reverse.len();
    let walk = Walk {
        supply,
        direction: plan.direction,
        documents,
        jump_of_documents: plan.discontinuity,
        discontinuity: vec![plan.discontinuity; count],
        forward,
        reverse,
        active: None,
        from: plan.from,
        edge: None,
        edge_told: false,
        out: VecDeque::new(),
        over: false,
        failed: None,
    };
    stream::unfold(walk, |mut walk| async move {
        let item = match walk.next().await {
            Err(e) if !walk.over => {
                walk.give_up(e);
                walk.next().await
            }
            item => item,
        };
        Some((item.transpose()?, walk))
    })
    .boxed()
}

/// A playback under way.
#[derive(Debug)]
struct Walk<S> {
    supply: S,
    direction: Direction,
    /// The metadata track.
    documents: Option<Documents>,
    /// Its next document gets D.
    jump_of_documents: bool,
    forward: Vec<Forward>,
    reverse: Vec<Reverse>,
    /// The reverse track whose piece is being delivered.
    active: Option<usize>,
    /// Tracks whose next unit gets D.
    discontinuity: Vec<bool>,
    /// Where playback was asked to start.
    from: Utc,
    /// Forward: the newest unit delivered. Reverse: the start of the piece delivered last.
    edge: Option<Utc>,
    edge_told: bool,
    out: VecDeque<Delivery>,
    over: bool,
    /// Why it is over, if not because there is no more; said last.
    failed: Option<Error>,
}

impl<S: Supply> Walk<S> {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        loop {
            if let Some(delivery) = self.out.pop_front() {
                return Ok(Some(delivery));
            }
            if self.over {
                return self.failed.take().map_or(Ok(None), Err);
            }
            if let Some(documents) = &mut self.documents {
                let read = documents.read_ahead(&self.supply);
                self.without_documents_if(read)?;
            }
            let more = match self.direction {
                Direction::Forward => self.step_forward().await?,
                Direction::Reverse => self.step_reverse().await?,
            };
            self.over = !more;
        }
    }

    /// Nothing more can be had. What was held back until it is known what follows goes out, without
    /// marks: nothing is known of what follows.
    fn give_up(&mut self, reason: Error) {
        self.over = true;
        self.failed = Some(reason);
        let held = self.forward.iter_mut().enumerate();
        let mut held: Vec<_> = held.filter_map(|(i, c)| Some((i, c.give_up()?))).collect();
        held.sort_by_key(|(_, ready)| ready.key);
        for (i, ready) in held {
            self.deliver(i, ready);
        }
        if let Some(i) = self.active.take()
            && let Some(piece) = self.reverse[i].current()
        {
            for frame in std::mem::take(&mut piece.frames) {
                let clean = frame.kind.is_clean();
                let discontinuity = std::mem::take(&mut self.discontinuity[i]);
                let marks = Marks { clean, discontinuity, ..Marks::default() };
                self.out.push_back(Delivery::Unit { frame, marks });
            }
        }
    }

    /// One step; `false` when the walk is over.
    async fn step_forward(&mut self) -> Result<bool> {
        if self.supply.has_news() {
            for cursor in &mut self.forward {
                cursor.revive(&self.supply)?;
            }
        }
        let mut first: Option<(Utc, usize)> = None;
        let (mut live, mut rest) = (false, false);
        for (i, cursor) in self.forward.iter().enumerate() {
            match cursor.turn(&self.supply)? {
                Turn::At(at) if first.is_none_or(|(least, _)| at < least) => first = Some((at, i)),
                Turn::Live => live = true,
                Turn::Rest => rest = true,
                Turn::At(_) | Turn::Over => {}
            }
        }
        let turn = self.documents.as_ref().map(|d| d.turn(&self.supply)).transpose()?;
        match turn {
            Some(Turn::At(at)) if first.is_none_or(|(least, _)| at <= least) => {
                let may_wait = first.is_some_and(|(least, _)| least.since_us(at) < LAG_US);
                if self.step_documents(may_wait).await? {
                    return Ok(true);
                }
            }
            Some(Turn::Live) => live = true,
            Some(Turn::Rest) => rest = true,
            _ => {}
        }
        let Some((at, i)) = first else {
            return if live || rest { self.wait_for_more().await } else { Ok(false) };
        };
        if live {
            for (j, cursor) in self.forward.iter_mut().enumerate() {
                if matches!(cursor.turn(&self.supply)?, Turn::Live)
                    && let Some(ready) = cursor.overtaken(at)
                {
                    self.deliver(j, ready);
                    return Ok(true);
                }
            }
        }
        match self.forward[i].ready() {
            Some(ready) => self.deliver(i, ready),
            None => self.forward[i].advance(&mut self.supply).await?,
        }
        Ok(true)
    }

    fn deliver(&mut self, i: usize, ready: Ready) {
        self.edge_told = false;
        self.pass(ready.key, ready.key);
        let clean = ready.frame.kind.is_clean();
        let discontinuity = std::mem::take(&mut self.discontinuity[i]);
        let marks = Marks {
            clean,
            end_of_span: ready.end_of_span,
            discontinuity,
            terminal: ready.terminal,
        };
        self.out.push_back(Delivery::Unit { frame: ready.frame, marks });
    }

    /// All tracks have delivered what there is (R8.8-1, R8.9-2).
    async fn wait_for_more(&mut self) -> Result<bool> {
        if !self.edge_told {
            self.edge_told = true;
            self.out.push_back(Delivery::LiveEdge(self.edge.unwrap_or(self.from)));
            return Ok(true);
        }
        loop {
            if !self.supply.changed().await {
                return Ok(false);
            }
            let mut woken = false;
            for cursor in &mut self.forward {
                woken |= cursor.wake(&self.supply)?;
            }
            if let Some(documents) = &mut self.documents {
                woken |= documents.wake(&self.supply)?;
            }
            if woken {
                return Ok(true);
            }
        }
    }

    /// One step of the metadata track; `false` where there was nothing to do without waiting, and
    /// others may go first.
    async fn step_documents(&mut self, may_wait: bool) -> Result<bool> {
        let Some(documents) = &mut self.documents else { return Ok(false) };
        if let Some(ready) = documents.ready() {
            self.deliver_document(ready)?;
            return Ok(true);
        }
        if may_wait && documents.is_beginning() {
            return Ok(false);
        }
        let step = documents.advance(&mut self.supply).await;
        self.without_documents_if(step)?;
        Ok(true)
    }

    /// Pictures go on though the events cannot be read.
    fn without_documents_if(&mut self, step: Result<()>) -> Result<()> {
        match step {
            Err(e) if !(self.forward.is_empty() && self.reverse.is_empty()) => {
                tracing::warn!(error = %e, "events cannot be read; playback goes on without metadata");
                self.documents = None;
                Ok(())
            }
            step => step,
        }
    }

    fn deliver_document(&mut self, ready: ReadyDocument) -> Result<()> {
        self.edge_told = false;
        let ReadyDocument { frame, end_of_span, terminal } = ready;
        let at = frame.at.utc;
        // Documents are rare: that time passed without one is no gap.
        let (low, high) = self.edge.map_or((at, at), |e| (e.min(at), e.max(at)));
        let span = self.supply.span(&frame.track, low, Direction::Forward)?;
        match span.filter(|s| s.start() <= low && high < s.end()) {
            Some(_) => self.move_edge(at),
            None => self.pass(at, at),
        }
        // R8.6-2, R8.6-5: in reverse each is a piece of its own.
        let jump = std::mem::take(&mut self.jump_of_documents);
        let discontinuity = jump || self.direction == Direction::Reverse;
        let marks = Marks { clean: true, end_of_span, discontinuity, terminal };
        self.out.push_back(Delivery::Unit { frame, marks });
        Ok(())
    }

    /// Reports the gap between what was delivered and what comes now.
    fn pass(&mut self, from: Utc, to: Utc) {
        let gap = match (self.edge, self.direction) {
            (Some(edge), Direction::Forward) => (edge, from),
            (Some(edge), Direction::Reverse) => (to, edge),
            (None, _) => (from, from),
        };
        if is_jump(gap.0, gap.1) {
            self.out.push_back(Delivery::Gap(UtcRange::clamped(gap.0, gap.1)));
        }
        self.move_edge(match self.direction {
            Direction::Forward => to,
            Direction::Reverse => from,
        });
    }

    fn move_edge(&mut self, to: Utc) {
        self.edge = Some(match (self.edge, self.direction) {
            (Some(edge), Direction::Forward) => edge.max(to),
            (Some(edge), Direction::Reverse) => edge.min(to),
            (None, _) => to,
        });
    }

    /// One step; `false` when the walk is over.
    async fn step_reverse(&mut self) -> Result<bool> {
        if let Some(i) = self.active {
            self.continue_piece(i).await?;
            return Ok(true);
        }
        let mut last: Option<(Utc, usize)> = None;
        for (i, cursor) in self.reverse.iter().enumerate() {
            if let Some(at) = cursor.turn(&self.supply)?
                && last.is_none_or(|(most, _)| at > most)
            {
                last = Some((at, i));
            }
        }
        // What was recorded during a group of pictures comes behind it, as it is shown.
        let shown_next = match last {
            Some((at, i)) => Some(self.reverse[i].current().map_or(at, |p| p.last)),
            None => None,
        };
        if let Some(documents) = &self.documents
            && let Turn::At(at) = documents.turn(&self.supply)?
            && shown_next.is_none_or(|shown| at > shown)
        {
            let may_wait = shown_next.is_some_and(|shown| at.since_us(shown) < LAG_US);
            if self.step_documents(may_wait).await? {
                return Ok(true);
            }
        }
        let Some((_, i)) = last else { return Ok(false) };
        match self.reverse[i].current() {
            Some(piece) => {
                let (from, to) = (piece.first, piece.last);
                self.pass(from, to);
                self.active = Some(i);
                // R8.6-2: D on the first unit of every piece, the very first included.
                self.discontinuity[i] = true;
            }
            None => self.reverse[i].advance(&mut self.supply).await?,
        }
        Ok(true)
    }

    async fn continue_piece(&mut self, i: usize) -> Result<()> {
        let cursor = &mut self.reverse[i];
        let left = cursor.current().map_or(0, |p| p.frames.len());
        if left == 1 && !cursor.knows_follower() {
            return cursor.advance(&mut self.supply).await;
        }
        let Some(frame) = cursor.current().and_then(|p| p.frames.pop_front()) else {
            self.active = None;
            return Ok(());
        };
        let (end_of_span, terminal) = match left {
            1 => {
                self.active = None;
                cursor.finish_piece()
            }
            _ => (false, false),
        };
        let clean = frame.kind.is_clean();
        let discontinuity = std::mem::take(&mut self.discontinuity[i]);
        let marks = Marks { clean, end_of_span, discontinuity, terminal };
        self.out.push_back(Delivery::Unit { frame, marks });
        Ok(())
    }
}
