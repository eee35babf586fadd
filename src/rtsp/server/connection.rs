//! One connection: requests in their order, who may make them, answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use dvrgate_auth::Identity;
use dvrgate_model::Result;

use super::playback::{PlayWaiting, overtakes};
use super::session::Session;
use super::{
    DescribeRequest, Destination, Now, Peer, PlayRequest, Playing, Presentation, ServerConfig, Unit,
};
use crate::headers::Transport;
use crate::message::{Item, Limits, Reader, Request, Response, Status};
use crate::rtp::{Packets, rtcp_compound};

/// What a connection needs from its driver. One question is open at a time; its answer is given to
/// the method named with it.
#[derive(Debug)]
pub enum Want {
    /// Answer with [`Connection::described`].
    Describe(DescribeRequest),
    /// Open a pair of UDP ports for that stream; answer with [`Connection::bound`].
    Bind {
        /// Number of the stream in the session.
        stream: usize,
        /// Where they send to.
        to: Destination,
    },
    /// Answer with [`Connection::playing`].
    Play(PlayRequest),
    /// The session ended: drop its units and ports.
    Stop,
    /// Write what is there, then close.
    Close,
}

/// The question that is open.
#[derive(Debug)]
pub(super) enum Waiting {
    Describe(Request),
    SetupDescribe(Request, Identity),
    Bind(Request, Transport),
    Play(Box<PlayWaiting>),
}

/// The engine of one connection.
#[derive(Debug)]
pub struct Connection {
    pub(super) config: Arc<ServerConfig>,
    pub(super) peer: Peer,
    reader: Reader,
    pub(super) session: Option<Session>,
    /// What was described last on this connection.
    pub(super) described: Option<(String, Presentation)>,
    pub(super) waiting: Option<Waiting>,
    /// The request that comes next, where it has to wait for the one that is open.
    next: Option<Request>,
    pub(super) wants: VecDeque<Want>,
    pub(super) out: Packets,
    pub(super) datagrams: Packets,
    /// Whether media may leave outside of this connection.
    pub(super) datagrams_allowed: bool,
    heard: Instant,
    message: Instant,
    closing: bool,
}

/// What is answered but not taken by the client; beyond it requests wait.
const MAX_OUT_BYTES: usize = 1024 * 1024;
/// Media that waits to be written: two hundred packets a write.
const HIGH_WATER_BYTES: usize = 256 * 1024;
/// The same for datagrams, which leave in portions of a tick.
const DATAGRAM_WATER_BYTES: usize = 64 * 1024;
/// What a client may send ahead of the request that is being answered.
const MAX_INPUT_BYTES: usize = 128 * 1024;

impl Connection {
    /// A connection that was just accepted.
    pub fn new(config: Arc<ServerConfig>, peer: Peer, now: Now) -> Self {
        Self {
            config,
            peer,
            reader: Reader::new(Limits::default()),
            session: None,
            described: None,
            waiting: None,
            next: None,
            wants: VecDeque::new(),
            out: Packets::default(),
            datagrams: Packets::default(),
            datagrams_allowed: true,
            heard: now.instant,
            message: now.instant,
            closing: false,
        }
    }

    /// In a tunnel and over TLS the media stay inside.
    pub fn allow_datagrams(&mut self, allowed: bool) {
        self.datagrams_allowed = allowed;
    }

    /// Where the driver reads into; then [`Connection::received`].
    pub fn input(&mut self) -> &mut BytesMut {
        self.reader.buffer()
    }

    /// Whether the driver may read.
    pub fn wants_input(&self) -> bool {
        !self.closing && self.reader.buffered() < MAX_INPUT_BYTES
    }

    /// Bytes were read: a sign of life.
    pub fn received(&mut self, now: Now) {
        self.heard = now.instant;
        self.work(now);
    }

    /// A datagram came on an RTCP port: a sign of life if it is RTCP (R8.7-2).
    pub fn received_rtcp(&mut self, bytes: &[u8], now: Now) {
        if rtcp_compound(bytes).is_some() {
            self.heard = now.instant;
        }
    }

    /// The next wish.
    pub fn want(&mut self) -> Option<Want> {
        self.wants.pop_front()
    }

    /// Whether there is a wish.
    pub fn has_want(&self) -> bool {
        !self.wants.is_empty()
    }

    /// Whether there is a session.
    pub fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// What is to be written to the connection.
    pub fn out(&mut self) -> &mut Packets {
        &mut self.out
    }

    /// What is to be sent as datagrams.
    pub fn datagrams(&mut self) -> &mut Packets {
        &mut self.datagrams
    }

    /// Whether the next unit of the playback is wanted.
    pub fn wants_unit(&self) -> bool {
        !matches!(self.waiting, Some(Waiting::Play(_)))
            && self.session.as_ref().is_some_and(Session::wants_unit)
            && self.out.pending_bytes() < HIGH_WATER_BYTES
            && self.datagrams.pending_bytes() < DATAGRAM_WATER_BYTES
    }

    /// A unit of the playback, and when it ends `None`.
    pub fn unit(&mut self, unit: Option<Unit>, now: Now) {
        if let Some(play) = self.session.as_mut().and_then(|s| s.play.as_mut()) {
            play.ended = unit.is_none();
            play.pending = unit;
            if play.ended {
                self.play_next();
            }
        }
        self.pump(now);
    }

    /// The playback failed and nothing more of it can be had. That is no end of data (R8.9-1), and the
    /// protocol has no message for it: the client gets what was sent so far, a goodbye on every
    /// stream and the end of the connection, instead of silence. What it asks next is answered with
    /// the reason.
    pub fn failed(&mut self) {
        self.close();
    }

    /// Sends what is due, ends what timed out, and goes on with requests that waited for room.
    pub fn tick(&mut self, now: Now) {
        if !self.closing && now.instant >= self.expires() {
            tracing::debug!(session = self.session.is_some(), "connection timed out");
            self.close();
        }
        self.pump(now);
        self.work(now);
    }

    /// When [`Connection::tick`] must be called at the latest. `grid` is an instant that all
    /// connections share.
    pub fn deadline(&self, grid: Instant) -> Instant {
        let held = matches!(self.waiting, Some(Waiting::Play(_)));
        let pump = self.session.as_ref().filter(|_| !held);
        let pump = pump.and_then(|s| s.pump_at(grid));
        pump.map_or(self.expires(), |p| p.min(self.expires()))
    }

    fn expires(&self) -> Instant {
        match &self.session {
            Some(session) => self.heard + session.timeout,
            None => self.message + self.config.idle_timeout,
        }
    }

    fn pump(&mut self, now: Now) {
        if matches!(self.waiting, Some(Waiting::Play(_))) {
            return;
        }
        if let Some(session) = &mut self.session {
            session.pump(now, &mut self.out, &mut self.datagrams, &self.config.name);
            // What waits came after the PAUSE that is reached now.
            if session.is_paused() && !session.queue.is_empty() {
                self.play_next();
            }
        }
    }

    /// Takes requests while none is open.
    pub(super) fn work(&mut self, now: Now) {
        while !self.closing && self.out.pending_bytes() < MAX_OUT_BYTES && self.may_take() {
            let next = self.next.take().map(Item::Request);
            match next.map_or_else(|| self.reader.next_item(), |next| Ok(Some(next))) {
                Ok(None) => break,
                Ok(Some(Item::Request(request))) => {
                    self.message = now.instant;
                    match self.waiting.take() {
                        None => self.request(request, now),
                        Some(Waiting::Play(play)) if overtakes(&request) => {
                            self.overtake(play, request, now);
                        }
                        waiting => (self.waiting, self.next) = (waiting, Some(request)),
                    }
                }
                // RTCP of interleaved clients is a sign of life by having come at all.
                Ok(Some(Item::Packet { .. } | Item::Response(_))) => {}
                Err(error) => {
                    tracing::debug!(%error, "closing");
                    self.out.push_response(&Response::new(Status::BAD_REQUEST).to_bytes());
                    self.close();
                }
            }
        }
    }

    /// Whether a request may be looked at: none is open, or a PLAY that another may overtake.
    fn may_take(&self) -> bool {
        match &self.waiting {
            None => true,
            Some(Waiting::Play(_)) => self.next.is_none(),
            Some(_) => false,
        }
    }

    fn close(&mut self) {
        self.end_session();
        self.waiting = None;
        self.closing = true;
        self.wants.push_back(Want::Close);
    }

    pub(super) fn end_session(&mut self) {
        if let Some(session) = self.session.take() {
            tracing::info!(session = session.id, path = session.path, "session ended");
            // Nothing of it is sent any more but that it is over.
            self.datagrams = Packets::default();
            session.say_goodbye(&mut self.out, &mut self.datagrams, &self.config.name);
            self.wants.push_back(Want::Stop);
        }
    }

    /// Answer to [`Want::Describe`].
    pub fn described(&mut self, result: Result<Presentation>, now: Now) {
        match self.waiting.take() {
            Some(Waiting::Describe(request)) => match result {
                Ok(presentation) => self.reply_description(&request, presentation),
                Err(error) => self.refuse_for(&request, &error),
            },
            Some(Waiting::SetupDescribe(request, user)) => match result {
                Ok(presentation) => {
                    let done = self.setup_described(&request, user, presentation);
                    done.unwrap_or_else(|refused| self.refuse(&request, refused));
                }
                Err(error) => self.refuse_for(&request, &error),
            },
            other => self.waiting = other,
        }
        self.work(now);
    }

    /// Answer to [`Want::Bind`]: the server's ports.
    pub fn bound(&mut self, result: std::io::Result<(u16, u16)>, now: Now) {
        match self.waiting.take() {
            Some(Waiting::Bind(request, transport)) => {
                self.setup_bound(&request, transport, result)
            }
            other => self.waiting = other,
        }
        self.work(now);
    }

    /// Answer to [`Want::Play`], without its units. `true`: the units replace those of the
    /// playback before; `false`: the playback before goes on.
    pub fn playing(&mut self, result: Result<&Playing>, now: Now) -> bool {
        let replaced = match self.waiting.take() {
            Some(Waiting::Play(waiting)) => match result {
                Ok(playing) => {
                    self.started(*waiting, playing, now);
                    true
                }
                Err(error) if waiting.queued.is_some() => {
                    tracing::warn!(%error, uri = waiting.request.uri, "a queued PLAY is left out");
                    self.play_next();
                    false
                }
                Err(error) => {
                    self.refuse_for(&waiting.request, &error);
                    false
                }
            },
            other => {
                self.waiting = other;
                false
            }
        };
        self.work(now);
        replaced
    }
}
