//! Who is let in: HTTP Digest, WS-UsernameToken, and the brake on guessing (ONVIF Core 5.9.1).

use std::sync::Arc;
use std::time::{Duration, Instant};

use dvrgate_auth::{
    Credentials, DigestGate, DigestSettings, Identity, Refusal, Throttle, TokenGate, TokenSettings,
    Users,
};
use dvrgate_model::Utc;

use crate::origin::Origin;
use crate::security::Security;

/// Verifies whatever credentials a request brings.
#[derive(Clone, Debug)]
pub struct Door {
    digest: DigestGate,
    tokens: TokenGate,
    throttle: Arc<Throttle>,
}

/// Why a request was turned away.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Denied {
    /// 401: HTTP credentials are missing or wrong; the challenges to send.
    Challenge(Vec<String>, Refusal),
    /// The username token is wrong; no challenge, since the client chose the other way.
    Token(Refusal),
    /// 429: too many wrong passwords before.
    Wait(Duration),
}

/// What a request shows.
pub(crate) struct Shown<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) authorization: Option<&'a str>,
    pub(crate) security: Option<&'a Security>,
    pub(crate) origin: &'a Origin,
}

impl Door {
    /// A door with its own brake.
    pub fn new(realm: &str, users: Users, digest: DigestSettings, tokens: TokenSettings) -> Self {
        let throttle = Arc::new(Throttle::new(dvrgate_auth::ThrottleSettings::default()));
        Self::with_throttle(
            DigestGate::new(realm, users.clone(), digest),
            TokenGate::new(users, tokens),
            throttle,
        )
    }

    /// A door that shares its brake with another server, so that guessing moves nowhere else.
    pub fn with_throttle(digest: DigestGate, tokens: TokenGate, throttle: Arc<Throttle>) -> Self {
        Self { digest, tokens, throttle }
    }

    /// Who can log in.
    pub fn users(&self) -> &Users {
        self.digest.users()
    }

    /// The Digest half.
    pub fn digest(&self) -> &DigestGate {
        &self.digest
    }

    /// HTTP credentials first, then those of WS-Security; whichever are there must be right, and both
    /// must be of one user. Without any the client is challenged (RH2-2).
    pub(crate) fn admit(
        &self,
        shown: &Shown<'_>,
        now: Utc,
        tick: Instant,
    ) -> Result<Identity, Denied> {
        let http = match shown.authorization {
            Some(value) => Some(self.by_digest(value, shown, now, tick)?),
            None => None,
        };
        let token = match shown.security {
            Some(security) => Some(self.by_token(security, shown, now, tick)?),
            None => None,
        };
        match (http, token) {
            (Some(a), Some(b)) if a != b => {
                Err(Denied::Token(Refusal::Malformed("two users in one request")))
            }
            (Some(identity), _) | (None, Some(identity)) => Ok(identity),
            (None, None) => Err(Denied::Challenge(self.digest.challenge(now), Refusal::Missing)),
        }
    }

    fn by_digest(
        &self,
        value: &str,
        shown: &Shown<'_>,
        now: Utc,
        tick: Instant,
    ) -> Result<Identity, Denied> {
        // Read twice in the good case; what cannot be read is refused by the gate below.
        let name = Credentials::parse(value).map(|c| c.username.into_owned()).unwrap_or_default();
        self.brake(&name, shown, tick)?;
        let verdict = self.digest.verify(shown.method, shown.target, Some(value), now);
        self.learn(&verdict, &name, shown, tick);
        verdict.map_err(|r| Denied::Challenge(self.digest.challenge_after(&r, now), r))
    }

    fn by_token(
        &self,
        security: &Security,
        shown: &Shown<'_>,
        now: Utc,
        tick: Instant,
    ) -> Result<Identity, Denied> {
        self.brake(security.username(), shown, tick)?;
        let verdict = self.tokens.verify(&security.token(), now);
        self.learn(&verdict, security.username(), shown, tick);
        verdict.map_err(Denied::Token)
    }

    fn brake(&self, name: &str, shown: &Shown<'_>, tick: Instant) -> Result<(), Denied> {
        self.throttle.admit(shown.origin.peer.ip(), name, tick).map_err(Denied::Wait)
    }

    fn learn(
        &self,
        verdict: &Result<Identity, Refusal>,
        name: &str,
        shown: &Shown<'_>,
        tick: Instant,
    ) {
        let from = shown.origin.peer.ip();
        match verdict {
            Ok(_) => self.throttle.right(from, name),
            Err(refusal) => {
                if let Some(user) = refusal.guessed() {
                    tracing::warn!(%from, user, "wrong password or unknown user");
                    self.throttle.wrong(from, user, tick);
                }
            }
        }
    }
}
