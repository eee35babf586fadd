//! PLAYs that wait for the one before them (RFC 2326 10.5), and PAUSE among them (10.6).
//!
//! A PLAY with a Range that arrives while a closed range is played waits until that is over, unless
//! it says `Immediate: yes`. Nothing could ever follow a range without an end: playback waits there
//! for more to be recorded (R8.9-2), so a PLAY that arrives during one takes its place at once.

use dvrgate_model::Utc;

use super::Now;
use super::connection::Connection;
use super::dispatch::{Handled, Refused};
use super::playback::PlayHeaders;
use super::session::{Play, Session};
use crate::headers::{ClockRange, Npt, Range};
use crate::message::{Request, Status};

/// How many PLAYs may wait in a session.
pub(super) const MAX_QUEUED: usize = 8;

/// A PLAY that was answered and waits.
#[derive(Debug)]
pub(super) struct Queued {
    pub request: Request,
    pub headers: PlayHeaders,
    /// PAUSE with a Range that lies in it.
    pub pause_at: Option<Utc>,
}

impl Queued {
    fn reverse(&self) -> bool {
        self.headers.options.scale.is_some_and(|s| s < 0.0)
    }

    /// Whether an instant lies in its range.
    fn holds(&self, at: Utc) -> bool {
        let Some(Range::Clock(range)) = self.headers.range else { return false };
        let (first, last) = match self.reverse() {
            false => (range.start, range.end),
            true => (range.end, range.start),
        };
        first.is_none_or(|t| t <= at) && last.is_none_or(|t| at < t)
    }
}

/// Whether nothing ends the range.
fn is_open(range: &Range) -> bool {
    match range {
        Range::Clock(r) => r.end.is_none(),
        Range::Npt(r) => r.end_us.is_none(),
    }
}

/// R8.5.2-4: whether a range runs against its direction.
fn contradicts(range: &Range, reverse: bool) -> bool {
    let order = match range {
        Range::Clock(ClockRange { start: Some(a), end: Some(b) }) => a.cmp(b),
        Range::Npt(r) => match (r.start, r.end_us) {
            (Some(Npt::At(a)), Some(b)) => a.cmp(&b),
            _ => return false,
        },
        Range::Clock(_) => return false,
    };
    order == if reverse { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater }
}

impl Session {
    /// Whether a PLAY with a Range must wait.
    pub fn is_occupied(&self) -> bool {
        !self.queue.is_empty()
            || self.play.as_ref().is_some_and(|p| p.paused.is_none() && !p.ended && p.end.is_some())
    }
}

impl Play {
    /// Whether `a` is played before `b`.
    fn before(&self, a: Utc, b: Utc) -> bool {
        if self.reverse() { a > b } else { a < b }
    }
}

impl Connection {
    /// A range of normal play time as an absolute one, as the description had it.
    fn absolute(&self, range: Range) -> Range {
        let data = self.described.as_ref().and_then(|(_, p)| p.range);
        data.map_or(range, |data| range.absolute(data.start()))
    }

    /// Lets a PLAY wait, and says so (R8.10-4).
    pub(super) fn enqueue(&mut self, request: &Request, mut headers: PlayHeaders) -> Handled {
        let range = headers.range.ok_or(Status::INVALID_RANGE)?;
        headers.range = Some(self.absolute(range));
        let session = self.session.as_mut().ok_or(Status::SESSION_NOT_FOUND)?;
        if contradicts(&range, headers.options.scale.is_some_and(|s| s < 0.0)) {
            return Err(Status::INVALID_RANGE.into());
        }
        let behind = session.queue.back().and_then(|q| q.headers.range);
        if behind.is_some_and(|r| is_open(&r)) {
            return Err(Status::METHOD_NOT_VALID.into());
        }
        if session.queue.len() >= MAX_QUEUED {
            return Err(Refused::from(Status::UNAVAILABLE));
        }
        let scale = headers.options.scale;
        session.queue.push_back(Queued { request: request.clone(), headers, pause_at: None });
        self.reply_play(request, Some(range), scale.unwrap_or(1.0), None);
        Ok(())
    }

    /// The playback is over: the next one, if one waits.
    pub(super) fn play_next(&mut self) {
        let next = self.session.as_mut().and_then(|s| s.queue.pop_front());
        if let Some(Queued { request, headers, pause_at }) = next {
            self.ask_play(request, headers, Some(pause_at));
        }
    }

    /// PAUSE. Without a Range at once, and nothing waits any more (R8.10-5). With one playback goes
    /// on until then (R8.10-6), be it that a PLAY which waits gets there; those behind it are
    /// dropped.
    pub(super) fn pause(&mut self, request: &Request, now: Now) -> Handled {
        self.check_aggregate(request)?;
        let range: Option<Range> = request.fields.get("Range").map(str::parse).transpose()?;
        let range = range.map(|r| self.absolute(r));
        let session = self.session.as_mut().ok_or(Status::SESSION_NOT_FOUND)?;
        let play = session.play.as_mut().ok_or(Status::METHOD_NOT_VALID)?;
        match range {
            None => {
                play.pause(now.instant);
                session.queue.clear();
            }
            Some(Range::Clock(ClockRange { start: Some(at), .. })) => {
                session.pause_at(at, now)?;
            }
            Some(_) => return Err(Status::INVALID_RANGE.into()),
        }
        let paused = self.session.as_ref().and_then(|s| s.play.as_ref());
        let position = paused.filter(|p| p.paused.is_some()).and_then(Play::position);
        self.reply(request, |r| {
            if position.is_some() {
                r.fields.push("Range", ClockRange { start: position, end: None });
            }
        });
        Ok(())
    }
}

impl Session {
    fn pause_at(&mut self, at: Utc, now: Now) -> Handled {
        let Some(play) = &mut self.play else { return Err(Status::METHOD_NOT_VALID.into()) };
        if play.start.is_some_and(|start| play.before(at, start)) {
            return Err(Status::INVALID_RANGE.into());
        }
        if play.end.is_some_and(|end| play.before(end, at)) {
            // Behind what is played: it stops where a PLAY that waits gets there, or before the
            // first of them.
            match self.queue.iter().position(|q| q.holds(at)) {
                Some(n) => {
                    self.queue.truncate(n + 1);
                    self.queue.iter_mut().skip(n).for_each(|q| q.pause_at = Some(at));
                }
                None if self.queue.is_empty() => return Err(Status::INVALID_RANGE.into()),
                None => self.queue.clear(),
            }
            return Ok(());
        }
        self.queue.clear();
        if play.position().is_some_and(|here| play.before(at, here)) {
            // More was sent; a PLAY resumes there all the same.
            play.pause(now.instant);
            play.back_to = Some(at);
        } else {
            play.pause_at = Some(at);
        }
        Ok(())
    }
}
