//! Requests with credentials, as the recorder asks for them: one log-in at a time, and never a try
//! more than the recorder forgives.

use dvrgate_model::{Error, Result};
use http::StatusCode;
use http_body_util::{BodyExt, Limited};

use super::pool::{Exchange, REPLY_TIMEOUT};
use super::{HyperTransports, unsent};
use crate::Cx;
use crate::transport::HttpRequest;
use crate::transport::login::Challenge;
use crate::transport::session::{Known, Ready};
use crate::transport::tokio::within;

/// A refusal with a longer body costs its connection.
const MAX_REFUSAL_BYTES: usize = 64 << 10;

impl HyperTransports {
    /// Sends with credentials as the recorder asks for them. A 401 comes only to a request without
    /// credentials, and only where it offers no way to log in that is known here.
    pub(super) async fn exchange(&self, cx: &Cx, request: &HttpRequest) -> Result<Exchange> {
        self.logins.check()?;
        let closed = |_| Error::internal("the transport is closed");
        let slot = async { self.slots.acquire().await.map_err(closed) };
        let _slot = within(cx, None, "wait for the recorder", slot).await.map_err(unsent)?;

        let (seen, ready) = self.ready(request)?;
        let mut challenge = None;
        let header = match ready {
            Ready::No => None,
            Ready::Bare => Some(None),
            Ready::With(header) => Some(Some(header)),
        };
        if let Some(header) = header {
            let logged_in = header.is_some();
            let reply = self.send(cx, request, header).await?;
            if reply.status != StatusCode::UNAUTHORIZED || !logged_in && asks_for_nothing(&reply) {
                return Ok(reply);
            }
            let asked = self.refused(cx, reply).await?;
            if logged_in && !asked.is_stale() {
                self.logins.refused_once("the recorder no longer takes the credentials")?;
            }
            challenge = Some(asked);
        }

        let alone = async { Ok(self.login.lock().await) };
        let _alone = within(cx, None, "wait for the log-in", alone).await.map_err(unsent)?;
        self.logins.check()?;
        if self.session.number() != seen {
            // Another request logged in meanwhile.
            let header = match self.ready(request)?.1 {
                Ready::With(header) => Some(header),
                Ready::No | Ready::Bare => None,
            };
            let bare = header.is_none();
            let reply = self.send(cx, request, header).await?;
            if bare && asks_for_nothing(&reply) {
                return Ok(reply);
            }
            if reply.status == StatusCode::UNAUTHORIZED {
                return Err(self.logins.latch("the recorder refused the credentials"));
            }
            self.logins.accepted();
            return Ok(reply);
        }
        let challenge = match challenge {
            Some(challenge) => challenge,
            None => {
                let reply = self.send(cx, request, None).await?;
                if reply.status != StatusCode::UNAUTHORIZED || asks_for_nothing(&reply) {
                    self.session.learn(Known::Open);
                    return Ok(reply);
                }
                self.refused(cx, reply).await?
            }
        };
        self.log_in(cx, request, challenge).await
    }

    /// Answers a challenge; the caller holds the log-in lock.
    async fn log_in(
        &self,
        cx: &Cx,
        request: &HttpRequest,
        mut challenge: Challenge,
    ) -> Result<Exchange> {
        if self.credentials.username.is_empty() {
            return Err(self.logins.latch("the recorder asks for a log-in and none is configured"));
        }
        let mut reply = self.try_log_in(cx, request, &mut challenge).await?;
        if reply.status == StatusCode::UNAUTHORIZED {
            let fresh = self.refused(cx, reply).await;
            let Some(mut fresh) = fresh.ok().filter(Challenge::is_stale) else {
                return Err(self.logins.latch("the recorder refused the credentials"));
            };
            reply = self.try_log_in(cx, request, &mut fresh).await?;
            challenge = fresh;
        }
        if reply.status == StatusCode::UNAUTHORIZED {
            return Err(self.logins.latch("the recorder refused the credentials"));
        }
        self.logins.accepted();
        self.session.learn(Known::LoggedIn(challenge));
        tracing::debug!(host = %self.pool.target.host, "logged in");
        Ok(reply)
    }

    async fn try_log_in(
        &self,
        cx: &Cx,
        request: &HttpRequest,
        challenge: &mut Challenge,
    ) -> Result<Exchange> {
        let target = self.pool.target.path_and_query(request);
        let header =
            challenge.answer(&self.credentials, &request.method, &target, &request.body)?;
        self.send(cx, request, Some(header)).await
    }

    /// The challenge of a 401. Its body is read, so that the connection can be kept.
    async fn refused(&self, cx: &Cx, reply: Exchange) -> Result<Challenge> {
        let Exchange { headers, body, connection, .. } = reply;
        let whole = async { Ok(Limited::new(body, MAX_REFUSAL_BYTES).collect().await.is_ok()) };
        if within(cx, Some(REPLY_TIMEOUT), "read the answer", whole).await? {
            connection.give_back();
        }
        Challenge::from_headers(&headers)
    }

    fn ready(&self, request: &HttpRequest) -> Result<(u64, Ready)> {
        let target = self.pool.target.path_and_query(request);
        self.session.ready(&self.credentials, &request.method, &target, &request.body)
    }

    /// One request when its turn has come.
    async fn send(
        &self,
        cx: &Cx,
        request: &HttpRequest,
        authorization: Option<String>,
    ) -> Result<Exchange> {
        let message = self.pool.target.message(request, authorization)?;
        self.pace(cx).await?;
        // Another request may have been refused during any of the waits.
        self.logins.check()?;
        self.pool.ask(cx, message).await
    }
}

/// A 401 without a challenge that can be answered: the device logs in by other means, or not now.
fn asks_for_nothing(reply: &Exchange) -> bool {
    reply.status == StatusCode::UNAUTHORIZED && Challenge::from_headers(&reply.headers).is_err()
}
