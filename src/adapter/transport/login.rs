//! Log-ins: which answer a recorder's challenge gets, and how many wrong ones it ever sees.
//!
//! RFC 7616 and RFC 2617 (HTTP Digest, with and without `qop`), RFC 7617 (Basic). Recorders lock
//! a user or an address out after a few refusals, so a refusal is never answered by trying on.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use digest_auth::{AlgorithmType, AuthContext, HttpMethod, Qop, WwwAuthenticateHeader};
use dvrgate_model::{Error, ErrorKind, Result};
use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use parking_lot::Mutex;

/// User name and password. Never printed.
#[derive(Clone, Default)]
pub struct Credentials {
    /// Empty where none are configured.
    pub username: String,
    /// See `username`.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Counts refused log-ins of one recorder over all its transports. Cheap to clone.
///
/// Once latched, [`LoginGuard::check`] refuses everything until [`LoginGuard::reset`], which is
/// called when the settings change.
#[derive(Clone, Debug)]
pub struct LoginGuard(Arc<Mutex<Logins>>);

#[derive(Debug)]
struct Logins {
    refused: usize,
    budget: usize,
    latched: Option<String>,
}

impl LoginGuard {
    /// Spends at most one try less than would lock us out (but always one).
    pub fn new(logins_before_lockout: usize) -> Self {
        let budget = logins_before_lockout.saturating_sub(1).max(1);
        Self(Arc::new(Mutex::new(Logins { refused: 0, budget, latched: None })))
    }

    /// Refused log-ins that may ever follow each other.
    pub fn budget(&self) -> usize {
        self.0.lock().budget
    }

    /// Whether anything may be sent.
    pub fn check(&self) -> Result<()> {
        match &self.0.lock().latched {
            None => Ok(()),
            Some(why) => Err(unauthenticated(why)),
        }
    }

    /// Whether the latch is closed.
    pub fn is_latched(&self) -> bool {
        self.0.lock().latched.is_some()
    }

    /// The recorder took the credentials.
    pub fn accepted(&self) {
        self.0.lock().refused = 0;
    }

    /// The recorder refused credentials that it took before, which may only mean that its nonce
    /// grew old. Fails, and latches, where another try could lock us out.
    pub fn refused_once(&self, why: &str) -> Result<()> {
        let mut logins = self.0.lock();
        logins.refused += 1;
        if logins.refused < logins.budget && logins.latched.is_none() {
            return Ok(());
        }
        logins.latched.get_or_insert_with(|| why.to_owned());
        Err(unauthenticated(why))
    }

    /// The recorder refused the credentials: nothing more is sent.
    pub fn latch(&self, why: &str) -> Error {
        let mut logins = self.0.lock();
        logins.refused += 1;
        logins.latched.get_or_insert_with(|| why.to_owned());
        unauthenticated(why)
    }

    /// The settings changed: try again.
    pub fn reset(&self) {
        let mut logins = self.0.lock();
        logins.refused = 0;
        logins.latched = None;
    }
}

fn unauthenticated(why: &str) -> Error {
    let remedy = "; check username and password of this device, nothing is sent until they change";
    Error::new(ErrorKind::Unauthenticated, format!("{why}{remedy}"))
}

/// What a 401 asks for.
#[derive(Clone, Debug)]
pub(crate) enum Challenge {
    Digest(Box<WwwAuthenticateHeader>),
    Basic,
}

impl Challenge {
    /// The strongest challenge among the headers that can be answered: SHA-256 before MD5, Basic
    /// only where there is no Digest.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self> {
        let mut best: Option<WwwAuthenticateHeader> = None;
        let mut basic = false;
        for value in headers.get_all(WWW_AUTHENTICATE) {
            // `to_str` admits printable ASCII only, which the digest parser relies on.
            let Ok(text) = value.to_str() else { continue };
            basic |= scheme_at(text, "basic").is_some();
            let Some(at) = scheme_at(text, "digest") else { continue };
            let Ok(digest) = WwwAuthenticateHeader::parse(&text[at + "digest".len()..]) else {
                continue;
            };
            if best.as_ref().is_none_or(|b| strength(&digest) > strength(b)) {
                best = Some(digest);
            }
        }
        match best {
            Some(mut digest) => {
                // The body is only hashed where the recorder offers nothing else.
                if digest.qop.as_ref().is_some_and(|q| q.contains(&Qop::AUTH)) {
                    digest.qop = Some(vec![Qop::AUTH]);
                }
                Ok(Self::Digest(Box::new(digest)))
            }
            None if basic => Ok(Self::Basic),
            None => Err(Error::malformed("401 without a challenge that can be answered")),
        }
    }

    /// The realm of a digest challenge, or empty.
    #[cfg(test)]
    pub fn realm(&self) -> &str {
        match self {
            Self::Digest(d) => &d.realm,
            Self::Basic => "",
        }
    }

    /// Whether the recorder says that only its nonce was too old.
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Digest(d) if d.stale)
    }

    /// The value of `Authorization:`. Counts the use of the nonce.
    pub fn answer(
        &mut self,
        credentials: &Credentials,
        method: &http::Method,
        target: &str,
        body: &[u8],
    ) -> Result<String> {
        match self {
            Self::Basic => {
                let pair = format!("{}:{}", credentials.username, credentials.password);
                Ok(format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair)))
            }
            Self::Digest(digest) => {
                let context = AuthContext::new_with_method(
                    credentials.username.as_str(),
                    credentials.password.as_str(),
                    target,
                    Some(body),
                    HttpMethod(Cow::Borrowed(method.as_str())),
                );
                let answer = digest
                    .respond(&context)
                    .map_err(|e| Error::malformed("digest challenge").because(e))?;
                Ok(answer.to_header_string())
            }
        }
    }
}

/// Byte at which the name of an authentication scheme stands in a list of challenges.
fn scheme_at(text: &str, scheme: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    let starts = |at: usize| {
        let before = lower[..at].trim_end();
        let after = &lower[at + scheme.len()..];
        (before.is_empty() || before.ends_with(','))
            && (after.is_empty() || after.starts_with([' ', '\t', ',']))
    };
    lower.match_indices(scheme).map(|(at, _)| at).find(|at| starts(*at))
}

fn strength(digest: &WwwAuthenticateHeader) -> u8 {
    match digest.algorithm.algo {
        AlgorithmType::MD5 => 1,
        AlgorithmType::SHA2_512_256 => 2,
        AlgorithmType::SHA2_256 => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for v in values {
            map.append(WWW_AUTHENTICATE, v.parse().unwrap());
        }
        map
    }

    #[test]
    fn the_strongest_digest_wins_and_basic_is_last() {
        let md5 = r#"Digest qop="auth", realm="m", nonce="1", stale="FALSE""#;
        let sha = r#"Digest realm="s", nonce="2", algorithm=SHA-256, qop="auth,auth-int""#;
        assert_eq!(Challenge::from_headers(&headers(&[md5, sha])).unwrap().realm(), "s");
        assert_eq!(Challenge::from_headers(&headers(&[sha, md5])).unwrap().realm(), "s");
        let mixed = r#"Basic realm="b", digest realm="m", nonce="3""#;
        assert_eq!(Challenge::from_headers(&headers(&[mixed])).unwrap().realm(), "m");
        let basic = Challenge::from_headers(&headers(&[r#"Basic realm="digest""#])).unwrap();
        assert!(matches!(basic, Challenge::Basic));
        for bad in [vec![], vec!["Digest realm=\"x\""], vec!["Bearer"], vec!["Digest nonce=\"\\"]] {
            assert!(Challenge::from_headers(&headers(&bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn truncated_challenges_never_panic() {
        let text = r#"Digest realm="r, \"x\"", nonce="n", opaque="o", algorithm=MD5, qop="auth""#;
        for end in 0..text.len() {
            Challenge::from_headers(&headers(&[&text[..end]])).ok();
        }
    }

    /// The worked example of RFC 2617 section 3.5 without `qop`, by hand: HA1 and HA2 are the
    /// published ones.
    #[test]
    fn digest_without_qop_hashes_ha1_nonce_ha2() {
        let offer = r#"Digest realm="testrealm@host.com", nonce="abc""#;
        let mut challenge = Challenge::from_headers(&headers(&[offer])).unwrap();
        let credentials =
            Credentials { username: "Mufasa".into(), password: "Circle Of Life".into() };
        let target = "/dir/index.html";
        let answer = challenge.answer(&credentials, &http::Method::GET, target, b"").unwrap();
        use md5::{Digest, Md5};
        let ha1 = "939e7578ed9e3c518a452acee763bce9";
        let ha2 = "39aff3a2bab6126f332b942af96d3366";
        let want = format!("{:x}", Md5::digest(format!("{ha1}:abc:{ha2}")));
        assert!(answer.contains(&format!("response=\"{want}\"")), "{answer}");
        assert!(!answer.contains("qop") && !answer.contains("nc="), "{answer}");
    }

    #[test]
    fn a_nonce_is_used_with_a_growing_count() {
        let offer = r#"Digest realm="r", nonce="n", qop="auth""#;
        let mut challenge = Challenge::from_headers(&headers(&[offer])).unwrap();
        let credentials = Credentials::default();
        for nc in ["00000001", "00000002"] {
            let answer = challenge.answer(&credentials, &http::Method::GET, "/", b"").unwrap();
            assert!(answer.contains(nc), "{answer}");
        }
    }

    #[test]
    fn the_guard_never_spends_the_last_try() {
        for lockout in 0..6 {
            let guard = LoginGuard::new(lockout);
            let mut tries = 1;
            while guard.refused_once("refused").is_ok() {
                tries += 1;
            }
            assert!(tries <= lockout.saturating_sub(1).max(1), "{lockout}");
            assert_eq!(guard.check().unwrap_err().kind(), ErrorKind::Unauthenticated);
            guard.reset();
            assert!(guard.check().is_ok());
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let c = Credentials { username: "viewer".into(), password: "s3cret".into() };
        assert!(!format!("{c:?}").contains("s3cret"));
    }
}
