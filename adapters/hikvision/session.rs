//! Requests to the device, with the cookie of a session where it wants one.
//!
//! Most devices ask for digest or Basic, which the transports answer. One that refuses a request
//! without asking for either is logged in to as a browser would be: once, and again when its
//! session is over. A refused password closes the latch of the transports like any other.

use dvrgate_adapter::Cx;
use dvrgate_adapter::transport::{HttpReply, HttpRequest, HttpStream};
use dvrgate_model::{Error, Result};
use futures::lock::Mutex;
use http::header::COOKIE;
use http::{HeaderValue, StatusCode};

use crate::adapter::Hikvision;
use crate::wire::errors::Refusal;
use crate::wire::xml::Element;
use crate::wire::{self, Failure, Generation, session};

/// The session of one device.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Held by the request that logs in.
    cookie: Mutex<Option<HeaderValue>>,
}

impl Hikvision {
    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, cx: &Cx, request: HttpRequest) -> Result<HttpReply> {
        let cookie = self.session.cookie.lock().await.clone();
        let reply = cx.transports.http(cx, with_cookie(&request, cookie.as_ref())).await?;
        if reply.status != StatusCode::UNAUTHORIZED || is_locked(&reply) {
            return Ok(reply);
        }
        match self.log_in(cx, cookie).await? {
            Some(fresh) => {
                let reply = cx.transports.http(cx, with_cookie(&request, Some(&fresh))).await?;
                self.taken(cx, reply.status)?;
                Ok(reply)
            }
            None => Ok(reply),
        }
    }

    /// The same for an answer that is still coming.
    pub(crate) async fn stream(&self, cx: &Cx, request: HttpRequest) -> Result<HttpStream> {
        let cookie = self.session.cookie.lock().await.clone();
        let answer = cx.transports.http_stream(cx, with_cookie(&request, cookie.as_ref())).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        match self.log_in(cx, cookie).await? {
            Some(fresh) => {
                let request = with_cookie(&request, Some(&fresh));
                let answer = cx.transports.http_stream(cx, request).await?;
                self.taken(cx, answer.status)?;
                Ok(answer)
            }
            None => Ok(answer),
        }
    }

    /// A session that was just begun must be good.
    fn taken(&self, cx: &Cx, status: StatusCode) -> Result<()> {
        match status {
            StatusCode::UNAUTHORIZED => {
                Err(cx.transports.logins().latch("the recorder does not keep the session it gave"))
            }
            _ => Ok(()),
        }
    }

    /// Begins a session in place of the `old` one; `None` where the device has none.
    async fn log_in(&self, cx: &Cx, old: Option<HeaderValue>) -> Result<Option<HeaderValue>> {
        let mut cookie = self.session.cookie.lock().await;
        if *cookie != old {
            // Another request logged in meanwhile.
            return Ok(cookie.clone());
        }
        *cookie = None;
        let logins = cx.transports.logins();
        logins.check()?;
        let (username, password) = (&self.settings.username, &self.settings.password);
        if username.is_empty() {
            return Err(logins.latch("the recorder asks for a log-in and none is configured"));
        }
        let g = self.learnt(|l| l.generation).unwrap_or(Generation::Isapi);
        let reply = cx.transports.http(cx, session::challenge_request(g, username)).await?;
        let challenge = match wire::read(&reply, session::parse_challenge) {
            Ok(challenge) => challenge,
            Err(Failure::Refused(r)) if r.lock.is_some_and(|l| l.locked) => {
                return Err(self.refused(&r));
            }
            Err(_) => return Ok(None),
        };
        let request =
            challenge.log_in_request(g, username, password, cx.clock.utc().micros() / 1_000);
        let reply = cx.transports.http(cx, request).await?;
        let document = Element::parse(&reply.body).ok();
        if let Some(r) = Refusal::of(reply.status, document.as_ref()) {
            // Busy is no verdict on the password.
            let wrong = reply.status == StatusCode::UNAUTHORIZED || r.code == 401;
            let refused = self.refused(&r);
            return Err(match wrong {
                true => logins.latch("the recorder refused the log-in").because(refused),
                false => refused,
            });
        }
        let text = session::cookie(&reply.headers, document.as_ref())
            .ok_or_else(|| Error::malformed("a log-in was taken without a session"))?;
        let mut value = HeaderValue::from_str(&text)
            .map_err(|e| Error::malformed("cookie of a session").because(e))?;
        value.set_sensitive(true);
        logins.accepted();
        tracing::debug!(device = %self.settings.id, "a session began");
        *cookie = Some(value.clone());
        Ok(Some(value))
    }
}

fn with_cookie(request: &HttpRequest, cookie: Option<&HeaderValue>) -> HttpRequest {
    let request = request.clone();
    match cookie {
        Some(value) => request.header(COOKIE, value.clone()),
        None => request,
    }
}

/// Whether the refusal tells of a lock, which a log-in would only lengthen.
fn is_locked(reply: &HttpReply) -> bool {
    let document = Element::parse(&reply.body).ok();
    Refusal::of(reply.status, document.as_ref())
        .and_then(|r| r.lock)
        .is_some_and(|lock| lock.locked)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dvrgate_adapter::transport::Transports as _;
    use dvrgate_adapter::transport::transcript::{Exchange, Transcript};
    use dvrgate_adapter::{DeviceSettings, Mapping, Priority};
    use dvrgate_model::ErrorKind;
    use dvrgate_testkit::SimulatedClock;
    use http::Method;

    use super::*;

    const INFO: &str = "/ISAPI/System/deviceInfo";
    const CAP: &str = "/ISAPI/Security/sessionLogin/capabilities?username=viewer";
    const LOG_IN: &str = "/ISAPI/Security/sessionLogin?timeStamp=1772359200000";
    const NO: &[u8] = b"<userCheck><statusValue>401</statusValue></userCheck>";
    const CHALLENGE: &[u8] = b"<SessionLoginCap><sessionID>a</sessionID><challenge>b</challenge>\
        <iterations>2</iterations><isIrreversible>true</isIrreversible><salt>c</salt></SessionLoginCap>";

    fn refused(method: Method, path: &str, body: &'static [u8]) -> Exchange {
        Exchange::unchallenged(method, path, body)
    }

    fn around(first: Exchange, between: [Exchange; 2], last: Exchange) -> Vec<Exchange> {
        std::iter::once(first).chain(between).chain([last]).collect()
    }

    fn device() -> Hikvision {
        let text = "schema = 1\nvendor = \"hikvision\"\n";
        let settings = DeviceSettings {
            id: "yard".into(),
            url: "http://192.0.2.1".parse().unwrap(),
            rtsp: None,
            username: "viewer".into(),
            password: "secret".into(),
            zone: None,
        };
        let mapping = Mapping::parse("test.toml", text).unwrap();
        Hikvision::new(settings, Arc::new(mapping)).unwrap()
    }

    async fn send(
        device: &Hikvision,
        script: Vec<Exchange>,
    ) -> (Result<HttpReply>, Arc<Transcript>) {
        let transcript = Arc::new(Transcript::new(script));
        let cx = Cx {
            transports: Arc::clone(&transcript) as _,
            deadline: None,
            priority: Priority::Backfill,
            clock: Arc::new(SimulatedClock::frozen_at("2026-03-01T10:00:00Z".parse().unwrap())),
        };
        (device.send(&cx, HttpRequest::get(INFO)).await, transcript)
    }

    #[tokio::test]
    async fn devices_without_sessions_and_locks_are_left_alone() {
        let device = device();
        let script = vec![
            refused(Method::GET, INFO, NO),
            Exchange::status(Method::GET, CAP, StatusCode::NOT_FOUND, ""),
        ];
        let (reply, _) = send(&device, script).await;
        assert_eq!(reply.unwrap().status, StatusCode::UNAUTHORIZED);
        let locked = include_bytes!("fixtures/user_check_locked.xml");
        let (reply, transcript) = send(&device, vec![refused(Method::GET, INFO, locked)]).await;
        assert_eq!((reply.unwrap().status, transcript.left()), (StatusCode::UNAUTHORIZED, 0));
    }

    #[tokio::test]
    async fn a_password_that_a_challenge_refuses_is_not_tried_again() {
        let device = device();
        let script = vec![
            refused(Method::GET, INFO, NO),
            Exchange::ok(Method::GET, CAP, CHALLENGE),
            Exchange::ok(Method::POST, LOG_IN, NO),
        ];
        let (reply, transcript) = send(&device, script).await;
        assert_eq!(reply.unwrap_err().kind(), ErrorKind::Unauthenticated);
        assert_eq!(transcript.left(), 0);
        assert!(transcript.logins().is_latched());
    }

    #[tokio::test]
    async fn a_session_that_is_over_is_begun_again_once() {
        let device = device();
        let log_in = || {
            let named = "<SessionUserCheck><sessionID>9</sessionID></SessionUserCheck>";
            [Exchange::ok(Method::GET, CAP, CHALLENGE), Exchange::ok(Method::POST, LOG_IN, named)]
        };
        let refused = || refused(Method::GET, INFO, NO);
        let taken = || Exchange::ok(Method::GET, INFO, "<DeviceInfo/>");
        for script in [
            around(refused(), log_in(), taken()),
            vec![taken()],
            around(refused(), log_in(), taken()),
        ] {
            let length = script.len();
            let (reply, transcript) = send(&device, script).await;
            assert_eq!(reply.unwrap().status, StatusCode::OK);
            let sent = transcript.sent();
            assert_eq!(sent.len(), length);
            let last = &sent.last().unwrap().headers;
            assert!(last.iter().any(|(n, v)| n == COOKIE && v == "WebSession=9"));
        }
        let script = around(refused(), log_in(), refused());
        let (reply, transcript) = send(&device, script).await;
        assert_eq!(reply.unwrap_err().kind(), ErrorKind::Unauthenticated);
        assert!(transcript.logins().is_latched());
    }
}
