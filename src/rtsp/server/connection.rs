//! One connection: requests in their order, who may make them, answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use dvrgate_auth::{Credentials, Identity, Refusal};
use dvrgate_model::{Error, Result};

use super::playback::PlayWaiting;
use super::session::Session;
use super::uri::Uri;
use super::{DescribeRequest, Now, Peer, PlayRequest, Playing, Presentation, ServerConfig, Unit};
use crate::headers::{BadHeader, CSeq, Require, Session as SessionHeader, Transport};
use crate::message::{Item, Limits, Method, Reader, Request, Response, Status};
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
        /// The client's ports for RTP and RTCP.
        client: (u16, u16),
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

const METHODS: &str =
    "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER";

/// A refusal: the status, and a header that explains it.
pub(super) struct Refused {
    status: Status,
    field: Option<(&'static str, String)>,
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self { status, field: None }
    }
}

impl Refused {
    pub fn with(status: Status, name: &'static str, value: impl Into<String>) -> Self {
        Self { status, field: Some((name, value.into())) }
    }
}

/// Done, or refused; `Ok` means that the handler answered or asked.
pub(super) type Handled = Result<(), Refused>;

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
        }
        self.pump(now);
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
        }
    }

    /// Takes requests while none is open.
    pub(super) fn work(&mut self, now: Now) {
        while self.waiting.is_none() && !self.closing && self.out.pending_bytes() < MAX_OUT_BYTES {
            match self.reader.next_item() {
                Ok(None) => break,
                Ok(Some(Item::Request(request))) => {
                    self.message = now.instant;
                    self.request(request, now);
                }
                // RTCP of interleaved clients is a sign of life by having come at all.
                Ok(Some(Item::Packet { .. } | Item::Response(_))) => {}
                Err(error) => {
                    tracing::debug!(%error, "closing");
                    self.out.push_response(Response::new(Status::BAD_REQUEST).to_bytes());
                    self.close();
                }
            }
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
            self.wants.push_back(Want::Stop);
        }
    }

    fn request(&mut self, request: Request, now: Now) {
        tracing::debug!(method = %request.method, uri = request.uri, "request");
        if let Err(refused) = self.dispatch(&request, now) {
            self.refuse(&request, refused);
        }
    }

    fn dispatch(&mut self, request: &Request, now: Now) -> Handled {
        if !request.version.get(5..).is_some_and(|v| v.starts_with("1.")) {
            return Err(Status::VERSION.into());
        }
        if request.fields.get("CSeq").and_then(|c| c.parse::<CSeq>().ok()).is_none() {
            return Err(Status::BAD_REQUEST.into());
        }
        match request.method {
            Method::Announce | Method::Record | Method::Redirect => {
                return Err(Refused::with(Status::METHOD_NOT_ALLOWED, "Allow", METHODS));
            }
            Method::Other(_) => {
                return Err(Refused::with(Status::NOT_IMPLEMENTED, "Public", METHODS));
            }
            _ => {}
        }
        let require: Vec<_> = request.fields.all("Require").collect();
        let require: Require = require.join(",").parse().unwrap_or_default();
        let unknown = require.unknown(&[Require::ONVIF_REPLAY]);
        if !unknown.0.is_empty() {
            return Err(Refused::with(
                Status::OPTION_NOT_SUPPORTED,
                "Unsupported",
                unknown.to_string(),
            ));
        }
        let in_session = match request.fields.get("Session") {
            None => false,
            Some(text) => {
                let named: SessionHeader = text.parse().map_err(|_| Status::BAD_REQUEST)?;
                if self.session.as_ref().is_none_or(|s| s.id != named.id) {
                    return Err(Status::SESSION_NOT_FOUND.into());
                }
                true
            }
        };
        if request.method == Method::Options {
            self.reply(request, |r| r.fields.push("Public", METHODS));
            return Ok(());
        }
        let user = self.authenticate(request, in_session, now)?;
        match request.method {
            Method::Describe => self.describe(request, user),
            Method::Setup => self.setup(request, user),
            Method::GetParameter | Method::SetParameter => self.parameter(request),
            _ if !in_session => Err(Status::SESSION_NOT_FOUND.into()),
            Method::Play => self.play(request, now),
            Method::Pause => self.pause(request, now),
            _ => self.teardown(request),
        }
    }

    /// R8.1-7. Inside a session missing or stale credentials are forgiven: it was opened on this
    /// very connection, and players do not read the answers to their keep-alives.
    fn authenticate(
        &self,
        request: &Request,
        in_session: bool,
        now: Now,
    ) -> Result<Identity, Refused> {
        let Some(gate) = &self.config.gate else { return Ok(Identity::anonymous()) };
        let authorization = request.fields.get("Authorization");
        let name = authorization.and_then(|a| Credentials::parse(a).ok());
        let name = name.as_ref().map(|c| &*c.username);
        if let (Some(throttle), Some(name)) = (&self.config.throttle, name)
            && let Err(wait) = throttle.admit(self.peer.remote, name, now.instant)
        {
            let seconds = wait.as_secs().max(1).to_string();
            return Err(Refused::with(Status::UNAVAILABLE, "Retry-After", seconds));
        }
        match gate.verify(request.method.name(), &request.uri, authorization, now.utc) {
            Ok(identity) => {
                if let Some(throttle) = &self.config.throttle {
                    throttle.right(self.peer.remote, &identity.name);
                }
                Ok(identity)
            }
            Err(Refusal::Missing | Refusal::Stale) if in_session => {
                let session = self.session.as_ref();
                Ok(session.map_or_else(Identity::anonymous, |s| s.user.clone()))
            }
            Err(refusal) => {
                if let (Some(throttle), Some(user)) = (&self.config.throttle, refusal.guessed()) {
                    throttle.wrong(self.peer.remote, user, now.instant);
                }
                tracing::debug!(%refusal, remote = %self.peer.remote, "not let in");
                let challenges = gate.challenge_after(&refusal, now.utc);
                Err(Refused::with(Status::UNAUTHORIZED, "WWW-Authenticate", challenges.join("\n")))
            }
        }
    }

    /// GET_PARAMETER and SET_PARAMETER: keep-alives; no parameter is known (R8.7-1).
    fn parameter(&mut self, request: &Request) -> Handled {
        if !request.body.trim_ascii().is_empty() {
            return Err(Status::PARAMETER_NOT_UNDERSTOOD.into());
        }
        self.reply(request, |_| {});
        Ok(())
    }

    fn teardown(&mut self, request: &Request) -> Handled {
        let several = self.session.as_ref().is_some_and(|s| s.streams.len() > 1);
        let uri = Uri::parse(&request.uri).ok_or(Status::NOT_FOUND)?;
        if several && uri.track().is_some() {
            return Err(Status::ONLY_AGGREGATE.into());
        }
        self.reply(request, |_| {});
        self.end_session();
        Ok(())
    }

    /// Answers 200 with what `fill` adds.
    pub(super) fn reply(&mut self, request: &Request, fill: impl FnOnce(&mut Response)) {
        let mut response = self.response(request, Status::OK);
        fill(&mut response);
        self.out.push_response(response.to_bytes());
    }

    pub(super) fn refuse(&mut self, request: &Request, refused: Refused) {
        let mut response = self.response(request, refused.status);
        if let Some((name, value)) = refused.field {
            for value in value.lines() {
                response.fields.push(name, value);
            }
        }
        if refused.status == Status::METHOD_NOT_VALID {
            response.fields.push("Allow", METHODS);
        }
        self.out.push_response(response.to_bytes());
    }

    pub(super) fn refuse_for(&mut self, request: &Request, error: &Error) {
        tracing::warn!(%error, method = %request.method, uri = request.uri, "refused");
        self.refuse(request, Status::of(error).into());
    }

    fn response(&self, request: &Request, status: Status) -> Response {
        let mut response = Response::new(status);
        if let Some(cseq) = request.fields.get("CSeq") {
            response.fields.push("CSeq", cseq);
        }
        response.fields.push("Server", &self.config.name);
        if let (Some(session), Some(_)) = (&self.session, request.fields.get("Session")) {
            response.fields.push("Session", self.session_header(session));
        }
        response
    }

    pub(super) fn session_header(&self, session: &Session) -> SessionHeader {
        SessionHeader {
            id: session.id.clone(),
            timeout_secs: u32::try_from(session.timeout.as_secs()).ok(),
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

impl From<BadHeader> for Refused {
    fn from(bad: BadHeader) -> Self {
        let status = match bad.header {
            "Range" => Status::INVALID_RANGE,
            "Frames" => Status::PARAMETER_NOT_UNDERSTOOD,
            _ => Status::BAD_REQUEST,
        };
        Self { status, field: None }
    }
}
