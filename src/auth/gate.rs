//! The Digest gate: challenges, and the verdict on what comes back (RFC 7616 3.3 to 3.5).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dvrgate_model::Utc;
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;

use crate::digest::{self, Algorithm};
use crate::fresh::{Fresh, Window};
use crate::header::{Credentials, HeaderError};
use crate::nonce::Mint;
use crate::users::{Identity, Users};

/// Verifies Digest credentials. Cheap to clone; clones share nonces and their use.
#[derive(Clone)]
pub struct DigestGate(Arc<Inner>);

struct Inner {
    realm: String,
    users: Users,
    settings: DigestSettings,
    mint: Mint,
    used: Mutex<Fresh<u64, Window>>,
}

/// How the gate behaves.
#[derive(Clone, Copy, Debug)]
pub struct DigestSettings {
    /// Which hashes are offered.
    pub offer: Offer,
    /// How long a nonce may be used. Clients of RFC 2069 send no count, so this is also how long
    /// their request could be repeated by an eavesdropper.
    pub nonce_lifetime: Duration,
    /// How many nonces in use are remembered; the table holds about 64 bytes for each.
    pub nonces: usize,
}

impl Default for DigestSettings {
    fn default() -> Self {
        Self { offer: Offer::Both, nonce_lifetime: Duration::from_secs(300), nonces: 16_384 }
    }
}

/// Which hashes are offered (ONVIF Core 5.9.3: MD5 is what every client must know).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Offer {
    /// SHA-256 and MD5.
    Both,
    /// MD5 alone, for clients that stumble over two challenges.
    Md5,
    /// SHA-256 alone.
    Sha256,
}

impl Offer {
    /// Strongest first, as RFC 7616 3.7 asks, and MD5 last, which is what makes old clients work:
    /// players that know only MD5 keep the *last* challenge they read, while those that keep the
    /// first one are recent enough to know SHA-256. Both challenges carry the same nonce and the
    /// response's length tells the hash, so a client that mixes them up still gets in.
    pub const fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Offer::Both => &[Algorithm::Sha256, Algorithm::Md5],
            Offer::Md5 => &[Algorithm::Md5],
            Offer::Sha256 => &[Algorithm::Sha256],
        }
    }
}

/// Why somebody was not let in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// No credentials at all: the client wants to be asked.
    Missing,
    /// Credentials of another scheme, Basic above all.
    Scheme,
    /// Credentials that cannot be read or do not belong to this request.
    Malformed(&'static str),
    /// The right password with a nonce that is too old or was used: try again with a new one.
    Stale,
    /// Unknown user or wrong password, which is not told apart. Counts as a guess.
    Wrong {
        /// The name that was tried.
        user: String,
    },
}

impl Refusal {
    /// The name that somebody tried to guess the password of, for [`crate::Throttle`].
    pub fn guessed(&self) -> Option<&str> {
        match self {
            Refusal::Wrong { user } => Some(user),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Missing => f.write_str("credentials are needed"),
            Refusal::Scheme => f.write_str("only Digest is accepted"),
            Refusal::Malformed(why) => write!(f, "credentials cannot be used: {why}"),
            Refusal::Stale => f.write_str("the nonce is too old or was used before"),
            Refusal::Wrong { user } => write!(f, "unknown user or wrong password: {user:?}"),
        }
    }
}

impl std::error::Error for Refusal {}

impl DigestGate {
    /// A gate with a fresh key: nonces of another gate, or of an earlier run, are stale.
    pub fn new(realm: impl Into<String>, users: Users, settings: DigestSettings) -> Self {
        Self::with_key(realm, users, settings, rand::random())
    }

    /// A gate whose nonces can be foreseen by who knows the key; for tests.
    pub fn with_key(
        realm: impl Into<String>,
        users: Users,
        settings: DigestSettings,
        key: [u8; 32],
    ) -> Self {
        // A quote or a control character would break out of the challenge.
        let realm: String =
            realm.into().chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect();
        let used = Mutex::new(Fresh::new(settings.nonces));
        Self(Arc::new(Inner { realm, users, settings, mint: Mint::new(key), used }))
    }

    /// The realm as challenges name it.
    pub fn realm(&self) -> &str {
        &self.0.realm
    }

    /// Who can log in.
    pub fn users(&self) -> &Users {
        &self.0.users
    }

    /// The hashes on offer, in order of preference.
    pub fn algorithms(&self) -> &'static [Algorithm] {
        self.0.settings.offer.algorithms()
    }

    /// The values of `WWW-Authenticate`, one header each, for a request without credentials.
    pub fn challenge(&self, now: Utc) -> Vec<String> {
        self.challenges(now, false)
    }

    /// The same after a refusal; says `stale=true` where the password was right, so that the
    /// client tries again without asking its user.
    pub fn challenge_after(&self, refusal: &Refusal, now: Utc) -> Vec<String> {
        self.challenges(now, matches!(refusal, Refusal::Stale))
    }

    fn challenges(&self, now: Utc, stale: bool) -> Vec<String> {
        let nonce = self.0.mint.issue(now);
        let stale = if stale { ", stale=true" } else { "" };
        let one = |a: &Algorithm| {
            let (realm, name) = (&self.0.realm, a.name());
            format!(
                r#"Digest realm="{realm}", qop="auth", algorithm={name}, nonce="{nonce}"{stale}"#
            )
        };
        self.algorithms().iter().map(one).collect()
    }

    /// Who is asking. `method` and `uri` are those of the request line; `authorization` is the
    /// header's value, if there is one.
    pub fn verify(
        &self,
        method: &str,
        uri: &str,
        authorization: Option<&str>,
        now: Utc,
    ) -> Result<Identity, Refusal> {
        let value = authorization.ok_or(Refusal::Missing)?;
        let credentials = Credentials::parse(value).map_err(|e| match e {
            HeaderError::Scheme => Refusal::Scheme,
            HeaderError::TooLong => Refusal::Malformed("the header is too long"),
            HeaderError::Syntax => Refusal::Malformed("the header is not a list of parameters"),
            HeaderError::Parameters => Refusal::Malformed("a parameter is missing or there twice"),
        })?;
        let algorithm = self.algorithm(&credentials)?;
        if !same_target(&credentials.uri, uri) {
            return Err(Refusal::Malformed("they are for another request target"));
        }
        if credentials.realm != self.0.realm {
            return Err(Refusal::Malformed("they are for another realm"));
        }
        let count = match &credentials.protection {
            None => None,
            Some(p) if p.qop.eq_ignore_ascii_case("auth") => Some(
                u32::from_str_radix(&p.nc, 16)
                    .map_err(|_| Refusal::Malformed("nc is not a hexadecimal number"))?,
            ),
            Some(_) => return Err(Refusal::Malformed("only qop=auth was offered")),
        };

        // The password first: whether a nonce is known must not be told to those who have none.
        let user = self.0.users.get(&credentials.username);
        let password = user.as_ref().map_or(NOBODYS_PASSWORD, |u| u.password.reveal());
        let expected = digest::response(algorithm, &credentials, method, password);
        let given = credentials.response.to_ascii_lowercase();
        let equal: bool = expected.as_bytes().ct_eq(given.as_bytes()).into();
        let Some(user) = user.filter(|_| equal) else {
            return Err(Refusal::Wrong { user: credentials.username.into_owned() });
        };
        self.spend(&credentials.nonce, count, now)?;
        Ok((&*user).into())
    }

    fn algorithm(&self, credentials: &Credentials<'_>) -> Result<Algorithm, Refusal> {
        if credentials.algorithm.as_ref().is_some_and(|a| a.to_ascii_lowercase().ends_with("-sess"))
        {
            return Err(Refusal::Malformed("session variants of the hash were not offered"));
        }
        Algorithm::of_response(&credentials.response)
            .filter(|a| self.algorithms().contains(a))
            .ok_or(Refusal::Malformed("the response is not of a hash that was offered"))
    }

    /// Marks nonce and count as used, if they are still good.
    fn spend(&self, nonce: &str, count: Option<u32>, now: Utc) -> Result<(), Refusal> {
        let issued = self.0.mint.recognise(nonce).ok_or(Refusal::Stale)?;
        let lifetime_us = self.0.settings.nonce_lifetime.as_micros().try_into().unwrap_or(i64::MAX);
        let age_us = now.since_us(issued.at);
        // A nonce from the future: the wall clock was set back. Its age is not known.
        if age_us > lifetime_us || age_us < -CLOCK_SLACK_US {
            return Err(Refusal::Stale);
        }
        let Some(count) = count else { return Ok(()) };
        let mut used = self.0.used.lock();
        used.expire(now.plus_us(-lifetime_us));
        let window = used.entry(issued.at, issued.serial).ok_or(Refusal::Stale)?;
        if window.take(count) { Ok(()) } else { Err(Refusal::Stale) }
    }
}

impl fmt::Debug for DigestGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestGate")
            .field("realm", &self.0.realm)
            .field("users", &self.0.users.len())
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

/// Whether both name the same target. Clients and proxies differ on whether scheme and host belong
/// to it, and RTSP clients on a final slash; path and query have to agree.
fn same_target(claimed: &str, requested: &str) -> bool {
    let path = |uri: &str| {
        let path = match uri.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("", |i| &rest[i..]),
            None => uri,
        };
        path.strip_suffix('/').unwrap_or(path).to_owned()
    };
    claimed == requested || path(claimed) == path(requested)
}

/// Hashed in place of the password of a user who does not exist, so that both take equally long.
const NOBODYS_PASSWORD: &str = "no user has it";

/// How far a wall clock may be set back without making nonces stale.
const CLOCK_SLACK_US: i64 = 2_000_000;

#[cfg(test)]
mod tests;
