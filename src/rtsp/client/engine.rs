//! The client's side of RTSP without a socket: numbers, credentials, the session, and what a server
//! asks on its own.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use dvrgate_model::{Error, ErrorKind, Result};

use super::ClientAuth;
use crate::headers::Session;
use crate::message::{Item, Limits, Method, Reader, Request, Response, Status};

/// What an engine wants or has.
#[derive(Debug)]
pub enum Event {
    /// Write these bytes.
    Send(Bytes),
    /// The answer to the request with that number.
    Reply(u32, Response),
    /// An interleaved packet.
    Packet {
        /// As agreed at SETUP.
        channel: u8,
        /// RTP or RTCP.
        data: Bytes,
    },
    /// The server said that nothing more comes (ANNOUNCE, or a TEARDOWN of its own).
    Ended,
}

/// Bytes from the wire in, events out.
#[derive(Debug)]
pub struct Engine {
    reader: Reader,
    auth: ClientAuth,
    user_agent: String,
    next_cseq: u32,
    session: Option<Session>,
    pending: Vec<Pending>,
    /// What keeps the session alive.
    keep_alive: Method,
    events: VecDeque<Event>,
}

#[derive(Debug)]
struct Pending {
    /// On the wire; changes when the request is repeated with credentials.
    cseq: u32,
    /// As the caller knows it.
    id: u32,
    request: Request,
    /// How often it was sent with credentials.
    answered: u8,
    /// How often it was sent again.
    repeats: u8,
    kind: Kind,
}

impl Pending {
    fn new(id: u32, request: Request, kind: Kind) -> Self {
        Self { cseq: id, id, request, answered: 0, repeats: 0, kind }
    }
}

/// Who waits for the answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Asked,
    KeepAlive,
}

/// Requests of the caller without an answer at the same time.
const MAX_PENDING: usize = 16;
/// A first refusal and one stale nonce.
const MAX_REPEATS: u8 = 2;
/// Descriptions of recorders are below 4 kB.
const LIMITS: Limits = Limits { head_bytes: 32 * 1024, fields: 100, body_bytes: 256 * 1024 };

impl Engine {
    /// An engine that has sent nothing yet.
    pub fn new(auth: ClientAuth, user_agent: impl Into<String>) -> Self {
        Self {
            reader: Reader::new(LIMITS),
            auth,
            user_agent: user_agent.into(),
            next_cseq: 1,
            session: None,
            pending: Vec::new(),
            keep_alive: Method::GetParameter,
            events: VecDeque::new(),
        }
    }

    /// Sets the method that keeps the session alive.
    pub fn with_keep_alive(mut self, method: Method) -> Self {
        self.keep_alive = method;
        self
    }

    /// Sends a request; number, session and credentials are added. Returns the number that its
    /// [`Event::Reply`] will carry.
    pub fn request(&mut self, request: Request) -> Result<u32> {
        if self.pending.len() >= MAX_PENDING {
            return Err(Error::new(ErrorKind::Timeout, "the recorder answers no RTSP requests"));
        }
        let id = self.next_cseq;
        self.send(Pending::new(id, request, Kind::Asked));
        Ok(id)
    }

    /// Sends a sign of life; its answer is no event. One that was not answered is given up, and
    /// OPTIONS, which every server knows, is asked from then on.
    pub fn keep_alive(&mut self, uri: &str) {
        let before = self.pending.len();
        self.pending.retain(|p| p.kind != Kind::KeepAlive);
        if self.pending.len() < before {
            self.keep_alive = Method::Options;
        }
        let request = Request::new(self.keep_alive.clone(), uri);
        self.send(Pending::new(self.next_cseq, request, Kind::KeepAlive));
    }

    /// Whether an answer to that method is still to come.
    pub fn awaits(&self, method: &Method) -> bool {
        self.pending.iter().any(|p| p.request.method == *method)
    }

    fn send(&mut self, mut p: Pending) {
        p.cseq = self.next_cseq;
        self.next_cseq = self.next_cseq.wrapping_add(1);
        let mut wire = Request { fields: Default::default(), ..p.request.clone() };
        wire.fields.push("CSeq", p.cseq);
        wire.fields.push("User-Agent", &self.user_agent);
        if let Some(session) = &self.session {
            wire.fields.push("Session", &session.id);
        }
        p.answered += u8::from(self.auth.sign(&mut wire));
        for (name, value) in p.request.fields.iter() {
            wire.fields.push(name, value);
        }
        self.events.push_back(Event::Send(wire.to_bytes()));
        self.pending.push(p);
    }

    /// Where a driver reads into.
    pub fn input(&mut self) -> &mut BytesMut {
        self.reader.buffer()
    }

    /// The session, once there is one.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The next event, `None` until more bytes come. An error is final.
    pub fn poll(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let item = self.reader.next_item().map_err(|e| {
                Error::malformed("the recorder sent something that is not RTSP").because(e)
            })?;
            match item {
                None => return Ok(None),
                Some(Item::Packet { channel, data }) => {
                    return Ok(Some(Event::Packet { channel, data }));
                }
                Some(Item::Response(response)) => self.response(response)?,
                Some(Item::Request(request)) => self.asked(&request),
            }
        }
    }

    fn response(&mut self, response: Response) -> Result<()> {
        let cseq = response.fields.get("CSeq").and_then(|c| c.trim().parse::<u32>().ok());
        let at = match cseq {
            Some(cseq) => self.pending.iter().position(|p| p.cseq == cseq),
            // Answers come in the order of the requests.
            None => (!self.pending.is_empty()).then_some(0),
        };
        let Some(at) = at else { return Ok(()) };
        let mut p = self.pending.remove(at);
        if response.status == Status::UNAUTHORIZED {
            let useful = self.auth.challenged(&response.fields, p.answered);
            if useful && p.repeats < MAX_REPEATS {
                p.repeats += 1;
                self.send(p);
                return Ok(());
            }
            if p.kind == Kind::Asked {
                let why = "the recorder refused user or password";
                return Err(
                    Error::new(ErrorKind::Unauthenticated, why).with("method", &p.request.method)
                );
            }
        } else if p.answered > 0 {
            self.auth.accepted();
        }
        if p.kind == Kind::KeepAlive {
            if !response.status.is_success() {
                tracing::debug!(method = %p.request.method, status = response.status.0, "keep-alive refused");
                self.keep_alive = Method::Options;
            }
            return Ok(());
        }
        if p.request.method == Method::Setup && response.status.is_success() {
            self.take_session(&response);
        }
        if p.request.method == Method::Teardown {
            self.session = None;
        }
        self.events.push_back(Event::Reply(p.id, response));
        Ok(())
    }

    fn take_session(&mut self, response: &Response) {
        let told = response.fields.get("Session").and_then(|s| s.parse::<Session>().ok());
        let Some(mut told) = told else { return };
        if let Some(known) = self.session.take()
            && known.id == told.id
        {
            // The timeout is not always repeated.
            told.timeout_secs = told.timeout_secs.or(known.timeout_secs);
        }
        self.session = Some(told);
    }

    /// A server asks: keep-alives are answered, news of the end is passed on.
    fn asked(&mut self, request: &Request) {
        let status = match request.method {
            Method::Options | Method::GetParameter | Method::SetParameter | Method::Announce => {
                Status::OK
            }
            Method::Teardown => Status::OK,
            _ => Status::NOT_IMPLEMENTED,
        };
        let mut response = Response::new(status);
        for name in ["CSeq", "Session"] {
            if let Some(value) = request.fields.get(name) {
                response.fields.push(name, value);
            }
        }
        self.events.push_back(Event::Send(response.to_bytes()));
        // An ANNOUNCE with a description renews that; without one it is news of the end.
        let end = match request.method {
            Method::Announce => request.body.is_empty(),
            Method::Teardown => true,
            _ => false,
        };
        if end {
            self.events.push_back(Event::Ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine() -> Engine {
        Engine::new(ClientAuth::new("admin", "12345"), "dvrgate")
    }

    fn sent(e: &mut Engine) -> String {
        match e.poll().unwrap() {
            Some(Event::Send(bytes)) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_challenge_is_answered_and_the_session_kept() {
        let mut e = engine();
        let id = e.request(Request::new(Method::Setup, "rtsp://h/a/trackID=1")).unwrap();
        assert!(!sent(&mut e).contains("Authorization"));
        e.input().extend_from_slice(
            b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\n\
              WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", stale=\"FALSE\"\r\n\r\n",
        );
        let again = sent(&mut e);
        assert!(
            again.contains("CSeq: 2\r\n") && again.contains("Authorization: Digest"),
            "{again}"
        );
        e.input().extend_from_slice(
            b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nSession:        708345999;timeout=60\r\n\r\n$\0\0\x01x",
        );
        assert!(
            matches!(e.poll(), Ok(Some(Event::Reply(i, r))) if i == id && r.status == Status::OK)
        );
        assert!(matches!(e.poll(), Ok(Some(Event::Packet { channel: 0, .. }))));
        assert_eq!(e.session().unwrap().id, "708345999");
        e.request(Request::new(Method::Play, "rtsp://h/a")).unwrap();
        let play = sent(&mut e);
        assert!(
            play.contains("Session: 708345999\r\n") && play.contains("Authorization"),
            "{play}"
        );
    }

    #[test]
    fn a_refused_password_is_final() {
        let mut e = engine();
        e.request(Request::new(Method::Describe, "rtsp://h/a")).unwrap();
        sent(&mut e);
        let no = |n: u32| {
            format!(
                "RTSP/1.0 401 Unauthorized\r\nCSeq: {n}\r\n\
                 WWW-Authenticate: Digest realm=\"r\", nonce=\"n{n}\"\r\n\r\n"
            )
        };
        e.input().extend_from_slice(no(1).as_bytes());
        sent(&mut e);
        e.input().extend_from_slice(no(2).as_bytes());
        assert_eq!(e.poll().unwrap_err().kind(), ErrorKind::Unauthenticated);
    }

    #[test]
    fn what_the_server_asks() {
        let mut e = engine();
        e.input().extend_from_slice(
            b"OPTIONS * RTSP/1.0\r\nCSeq: 9\r\n\r\nANNOUNCE x RTSP/1.0\r\nCSeq: 10\r\n\r\n",
        );
        assert!(sent(&mut e).starts_with("RTSP/1.0 200 OK\r\nCSeq: 9\r\n"));
        assert!(sent(&mut e).contains("CSeq: 10"));
        assert!(matches!(e.poll(), Ok(Some(Event::Ended))));
        e.input().extend_from_slice(b"\x00\x01garbage\r\n");
        assert_eq!(e.poll().unwrap_err().kind(), ErrorKind::Malformed);
    }

    #[test]
    fn an_announced_description_is_not_the_end() {
        let mut e = engine();
        e.input().extend_from_slice(
            b"ANNOUNCE x RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 5\r\n\r\nv=0\r\n",
        );
        assert!(sent(&mut e).starts_with("RTSP/1.0 200 OK"));
        assert!(matches!(e.poll(), Ok(None)));
    }

    #[test]
    fn keep_alives_without_an_answer_do_no_harm() {
        let mut e = engine();
        e.keep_alive("rtsp://h/a");
        assert!(sent(&mut e).starts_with("GET_PARAMETER rtsp://h/a "));
        for _ in 0..10 * MAX_PENDING {
            e.keep_alive("rtsp://h/a");
            assert!(sent(&mut e).starts_with("OPTIONS "));
        }
        assert_eq!(e.pending.len(), 1);
        let id = e.request(Request::new(Method::Pause, "rtsp://h/a")).unwrap();
        sent(&mut e);
        let late =
            format!("RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\nRTSP/1.0 200 OK\r\nCSeq: {id}\r\n\r\n");
        e.input().extend_from_slice(late.as_bytes());
        assert!(matches!(e.poll(), Ok(Some(Event::Reply(i, _))) if i == id));
    }

    #[test]
    fn a_refused_keep_alive_gives_way_to_options() {
        for status in ["405 Method Not Allowed", "501 Not Implemented", "401 Unauthorized"] {
            let mut e = engine();
            e.keep_alive("rtsp://h/a");
            sent(&mut e);
            e.input().extend_from_slice(format!("RTSP/1.0 {status}\r\nCSeq: 1\r\n\r\n").as_bytes());
            assert!(matches!(e.poll(), Ok(None)), "{status}");
            e.keep_alive("rtsp://h/a");
            assert!(sent(&mut e).starts_with("OPTIONS "), "{status}");
        }
    }

    #[test]
    fn a_fresh_nonce_is_tried_once_after_the_password_was_accepted() {
        let no = |n: u32, nonce: &str| {
            format!(
                "RTSP/1.0 401 Unauthorized\r\nCSeq: {n}\r\n\
                 WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\"\r\n\r\n"
            )
        };
        let mut e = engine();
        e.request(Request::new(Method::Describe, "rtsp://h/a")).unwrap();
        sent(&mut e);
        e.input().extend_from_slice(no(1, "a").as_bytes());
        sent(&mut e);
        e.input().extend_from_slice(b"RTSP/1.0 200 OK\r\nCSeq: 2\r\n\r\n");
        assert!(matches!(e.poll(), Ok(Some(Event::Reply(..)))));
        e.request(Request::new(Method::Setup, "rtsp://h/a/1")).unwrap();
        assert!(sent(&mut e).contains("nonce=\"a\""));
        e.input().extend_from_slice(no(3, "b").as_bytes());
        assert!(sent(&mut e).contains("nonce=\"b\""));
        e.input().extend_from_slice(no(4, "c").as_bytes());
        assert_eq!(e.poll().unwrap_err().kind(), ErrorKind::Unauthenticated, "only once");
    }

    #[test]
    fn a_session_keeps_its_timeout_when_it_is_not_repeated() {
        let mut e = engine();
        for (n, session) in [(1, "  7 ; timeout=30"), (2, "7")] {
            e.request(Request::new(Method::Setup, "rtsp://h/a/1")).unwrap();
            sent(&mut e);
            let reply = format!("RTSP/1.0 200 OK\r\nCSeq: {n}\r\nSession:{session}\r\n\r\n");
            e.input().extend_from_slice(reply.as_bytes());
            assert!(matches!(e.poll(), Ok(Some(Event::Reply(..)))));
            assert_eq!(e.session().unwrap().timeout_secs, Some(30));
        }
    }
}
