//! A session: its streams and what it plays.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dvrgate_auth::Identity;
use dvrgate_model::Utc;

use super::Unit;
use super::queue::Queued;
use super::udp::Lease;
use crate::headers::{ClockRange, Frames, Range, RateControl, Transport};
use crate::rtp::Target;
use crate::rtp::packetize::Packetizer;

/// One track that is set up.
#[derive(Debug)]
pub(super) struct Stream {
    /// Index in the presentation.
    pub media: usize,
    /// Control URL as the client knows it.
    pub url: String,
    /// As agreed.
    pub transport: Transport,
    /// Its multicast group, where it has one; free again when the stream is gone.
    pub _group: Option<Lease>,
    pub rtp: Target,
    pub rtcp: Target,
    pub clock_hz: u32,
    pub packetizer: Packetizer,
    /// Random; see [`super::PlayMedia::base`].
    pub base: u32,
    /// See [`super::PlayMedia::next`].
    pub next: u32,
    /// When the next sender report is due.
    pub report_at: Option<Instant>,
}

/// How something is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PlayOptions {
    pub scale: Option<f64>,
    pub speed: Option<f64>,
    pub rate_control: RateControl,
    /// `None`: the server may choose (R8.5.4-3 where it does not).
    pub frames: Option<Frames>,
}

/// What is played.
#[derive(Debug)]
pub(super) struct Play {
    /// Low byte of the CSeq of the PLAY that caused it.
    pub cseq: u8,
    pub options: PlayOptions,
    /// The scale in use.
    pub scale: f64,
    pub end: Option<Utc>,
    /// The instant of `due` zero.
    pub epoch: Instant,
    /// Since when it is paused.
    pub paused: Option<Instant>,
    /// PAUSE with a Range: pause when this is reached.
    pub pause_at: Option<Utc>,
    /// PAUSE with a Range that was passed already: where PLAY resumes.
    pub back_to: Option<Utc>,
    /// The next unit, until it is due.
    pub pending: Option<Unit>,
    /// No more units come.
    pub ended: bool,
    /// Capture time of the last unit sent.
    pub last: Option<Utc>,
    /// Where it began.
    pub start: Option<Utc>,
    /// The RTP timestamps that belong to the start.
    pub rtp_times: Vec<(usize, u32)>,
}

impl Play {
    /// Whether playback runs towards earlier times.
    pub fn reverse(&self) -> bool {
        self.scale < 0.0
    }

    /// Where playback stands: what comes next, or what was last.
    pub fn position(&self) -> Option<Utc> {
        let next = self.pending.as_ref().map(|u| u.replay.at);
        self.back_to.or(next).or(self.last).or(self.start)
    }

    /// Whether a PLAY can simply take it up again.
    pub fn can_go_on(&self) -> bool {
        !self.ended && self.back_to.is_none()
    }

    /// Stops here.
    pub fn pause(&mut self, now: Instant) {
        self.paused.get_or_insert(now);
        self.pause_at = None;
    }

    /// Goes on after a pause: time stood still for it.
    pub fn resume(&mut self, now: Instant) {
        if let Some(since) = self.paused.take() {
            self.epoch += now.saturating_duration_since(since);
        }
        self.pause_at = None;
    }

    /// When the pending unit is to be sent; `None` for at once.
    pub fn due(&self) -> Option<Instant> {
        Some(self.epoch + self.pending.as_ref()?.due?)
    }

    /// Shifts the time line when a unit is late by more than `max`: after a stall playback goes on
    /// at its pace instead of rushing.
    pub fn forgive(&mut self, now: Instant, max: Duration) {
        if let Some(due) = self.due()
            && now.saturating_duration_since(due) > max
        {
            self.epoch += now - due;
        }
    }
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub id: String,
    /// Path of its presentation.
    pub path: String,
    pub user: Identity,
    /// See [`super::SessionTimeout`].
    pub timeout: Duration,
    pub streams: Vec<Stream>,
    pub play: Option<Play>,
    /// PLAYs that wait for it to end.
    pub queue: VecDeque<Queued>,
    /// Something was sent in it.
    pub sent: bool,
}

impl Session {
    /// The RTP timestamp of each stream where playback stands (R8.5.1-6 for a PLAY that goes on).
    pub fn rtp_times(&self) -> Vec<(usize, Option<u32>)> {
        let Some(play) = &self.play else { return Vec::new() };
        let next = play.pending.as_ref();
        let elapsed_us = match (next, play.options.rate_control) {
            (Some(unit), RateControl::Server) => unit.due.map(|d| d.as_micros() as i64),
            (Some(_), RateControl::Client) | (None, RateControl::Client) => {
                play.position().zip(play.start).map(|(here, start)| here.since_us(start))
            }
            (None, RateControl::Server) => None,
        };
        let of = |s: &Stream| {
            if let Some(unit) = next.filter(|u| u.media == s.media) {
                return Some(unit.rtp_time);
            }
            let Some(us) = elapsed_us else { return Some(s.next) };
            let (_, first) = play.rtp_times.iter().find(|(m, _)| *m == s.media)?;
            let ticks = i128::from(us) * i128::from(s.clock_hz) / 1_000_000;
            Some(first.wrapping_add(ticks as u32))
        };
        self.streams.iter().map(|s| (s.media, of(s))).collect()
    }

    /// What is left of a closed range that is being played, for a PLAY that only changes how.
    pub fn rest(&self, scale: Option<f64>) -> Option<Range> {
        let reverse = scale.is_some_and(|s| s < 0.0);
        let play = self.play.as_ref().filter(|p| !p.ended && p.reverse() == reverse)?;
        Some(Range::Clock(ClockRange { start: Some(play.position()?), end: Some(play.end?) }))
    }

    /// Whether playback stands still by a PAUSE.
    pub fn is_paused(&self) -> bool {
        self.play.as_ref().is_some_and(|p| p.paused.is_some())
    }

    /// Whether units are wanted: playing, not paused, none waiting, data not ended.
    pub fn wants_unit(&self) -> bool {
        self.play.as_ref().is_some_and(|p| p.paused.is_none() && p.pending.is_none() && !p.ended)
    }

    pub fn stream_of(&mut self, media: usize) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|s| s.media == media)
    }

    /// Channels that are free for an interleaved stream: those wished if possible.
    pub fn channels(&self, wish: Option<(u8, u8)>) -> Option<(u8, u8)> {
        let taken = |c: u8| {
            let used = self.streams.iter().filter_map(|s| s.transport.interleaved);
            used.into_iter().any(|(a, b)| a == c || b == c)
        };
        let free = |(a, b): &(u8, u8)| a != b && !taken(*a) && !taken(*b);
        wish.filter(free).or_else(|| (0..127).map(|n| (n * 2, n * 2 + 1)).find(free))
    }
}
