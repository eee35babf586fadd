//! Requests to their handlers: who may make them, and how they are answered.

use dvrgate_auth::{Credentials, Identity, Refusal};
use dvrgate_model::{Error, Result};

use super::Now;
use super::connection::Connection;
use super::session::Session;
use super::uri::Uri;
use crate::headers::{BadHeader, CSeq, Require, Session as SessionHeader};
use crate::message::{Method, Request, Response, Status};

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

impl Connection {
    pub(super) fn request(&mut self, request: Request, now: Now) {
        tracing::debug!(method = %request.method, uri = request.uri, "request");
        if let Err(refused) = self.dispatch(&request, now) {
            self.refuse(&request, refused);
        }
    }

    pub(super) fn dispatch(&mut self, request: &Request, now: Now) -> Handled {
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
        let response = self.response(request, Status::OK);
        if let Some(session) = &mut self.session {
            session.take_back(&mut self.out, &mut self.datagrams);
        }
        self.end_session();
        self.out.push_response(&response.to_bytes());
        Ok(())
    }

    /// Answers 200 with what `fill` adds.
    pub(super) fn reply(&mut self, request: &Request, fill: impl FnOnce(&mut Response)) {
        let mut response = self.response(request, Status::OK);
        fill(&mut response);
        self.out.push_response(&response.to_bytes());
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
        self.out.push_response(&response.to_bytes());
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
}
