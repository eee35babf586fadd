//! WS-Security UsernameToken (WS-UsernameToken Profile 1.1; ONVIF Core 5.9.5: nonce and creation time
//! are both required).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dvrgate_model::Utc;
use parking_lot::Mutex;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::fresh::Fresh;
use crate::gate::Refusal;
use crate::users::{Identity, Users};

/// A token as read from the header block.
#[derive(Clone, Copy)]
pub struct UsernameToken<'a> {
    /// Whose it is.
    pub username: &'a str,
    /// What proves it.
    pub password: TokenPassword<'a>,
    /// Base64, as sent.
    pub nonce: Option<&'a str>,
    /// Time of creation, as sent: its text is part of the digest.
    pub created: Option<&'a str>,
}

/// The two kinds of the profile.
#[derive(Clone, Copy)]
pub enum TokenPassword<'a> {
    /// Base64 of SHA-1 over nonce, time and password.
    Digest(&'a str),
    /// The password itself.
    Text(&'a str),
}

/// Shows the user only.
impl fmt::Debug for UsernameToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsernameToken").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What to do with passwords in the clear.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TextPasswords {
    /// As with HTTP Basic: whoever listens would have the password.
    Refuse,
    /// For listeners behind TLS.
    Accept,
}

/// How the gate behaves.
#[derive(Clone, Copy, Debug)]
pub struct TokenSettings {
    /// How far the client's clock may be off, either way. Clients without a clock ask for ours
    /// first (GetSystemDateAndTime needs no log-in).
    pub tolerance: Duration,
    /// How many tokens are remembered, so that none is used twice.
    pub tokens: usize,
    /// Passwords in the clear.
    pub text: TextPasswords,
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self { tolerance: Duration::from_secs(300), tokens: 16_384, text: TextPasswords::Refuse }
    }
}

/// Verifies username tokens. Cheap to clone; clones share what was used.
#[derive(Clone)]
pub struct TokenGate(Arc<Inner>);

struct Inner {
    users: Users,
    settings: TokenSettings,
    used: Mutex<Fresh<[u8; 16], bool>>,
}

impl TokenGate {
    /// A gate that has seen nothing yet.
    pub fn new(users: Users, settings: TokenSettings) -> Self {
        let used = Mutex::new(Fresh::new(settings.tokens));
        Self(Arc::new(Inner { users, settings, used }))
    }

    /// Who is asking.
    pub fn verify(&self, token: &UsernameToken<'_>, now: Utc) -> Result<Identity, Refusal> {
        let (Some(nonce), Some(created)) = (token.nonce, token.created) else {
            return Err(Refusal::Malformed("a token needs a nonce and a creation time"));
        };
        if nonce.len() > MAX_NONCE_CHARS || created.len() > MAX_CREATED_CHARS {
            return Err(Refusal::Malformed("nonce or creation time is too long"));
        }
        let nonce = BASE64
            .decode(nonce.trim())
            .map_err(|_| Refusal::Malformed("the nonce is not base64"))?;
        if nonce.is_empty() {
            return Err(Refusal::Malformed("the nonce is empty"));
        }
        let at =
            read_created(created).ok_or(Refusal::Malformed("the creation time cannot be read"))?;

        let user = self.0.users.get(token.username);
        let password = user.as_ref().map_or("no user has it", |u| u.password.reveal());
        let equal: bool = match token.password {
            TokenPassword::Digest(given) => {
                let given = BASE64
                    .decode(given.trim())
                    .map_err(|_| Refusal::Malformed("the digest is not base64"))?;
                let hash = Sha1::new()
                    .chain_update(&nonce)
                    .chain_update(created.as_bytes())
                    .chain_update(password.as_bytes())
                    .finalize();
                hash.as_slice().ct_eq(&given).into()
            }
            TokenPassword::Text(_) if self.0.settings.text == TextPasswords::Refuse => {
                return Err(Refusal::Scheme);
            }
            // Hashed, so that the comparison does not tell the length.
            TokenPassword::Text(given) => {
                Sha256::digest(given).as_slice().ct_eq(Sha256::digest(password).as_slice()).into()
            }
        };
        let Some(user) = user.filter(|_| equal) else {
            return Err(Refusal::Wrong { user: token.username.to_owned() });
        };
        self.spend(&nonce, at, user.name.as_str(), now)?;
        Ok((&*user).into())
    }

    fn spend(&self, nonce: &[u8], at: Utc, user: &str, now: Utc) -> Result<(), Refusal> {
        let tolerance_us = self.0.settings.tolerance.as_micros().try_into().unwrap_or(i64::MAX);
        if now.since_us(at).abs() > tolerance_us {
            return Err(Refusal::Stale);
        }
        let hash =
            Sha256::new().chain_update(user).chain_update([0]).chain_update(nonce).finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&hash[..16]);
        let mut used = self.0.used.lock();
        used.expire(now.plus_us(-tolerance_us));
        match used.entry(at, key) {
            Some(seen) if !*seen => {
                *seen = true;
                Ok(())
            }
            _ => Err(Refusal::Stale),
        }
    }
}

impl fmt::Debug for TokenGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenGate")
            .field("users", &self.0.users.len())
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

/// The profile asks for UTC; a time without a zone is taken for it.
fn read_created(text: &str) -> Option<Utc> {
    let text = text.trim();
    text.parse().or_else(|_| format!("{text}Z").parse()).ok()
}

/// Longest nonce, in base64 characters.
const MAX_NONCE_CHARS: usize = 512;
/// Longest creation time.
const MAX_CREATED_CHARS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::{Level, User};

    const NONCE: &str = "LKqI6G/AikKCQrN0zqZFlg==";
    const CREATED: &str = "2010-09-16T07:50:45Z";
    /// Of the nonce, the time and `userpassword`, computed with another program.
    const DIGEST: &str = "tuOSpGlFlIXsozq4HFNeeGeFLEI=";

    fn gate(text: TextPasswords) -> TokenGate {
        let users = Users::new(vec![User {
            name: "user".into(),
            level: Level::Operator,
            password: "userpassword".into(),
        }])
        .unwrap();
        TokenGate::new(users, TokenSettings { text, tokens: 3, ..TokenSettings::default() })
    }

    fn at(seconds: i64) -> Utc {
        let created: Utc = CREATED.parse().unwrap();
        created.plus_us(seconds * 1_000_000)
    }

    fn token(password: TokenPassword<'static>) -> UsernameToken<'static> {
        UsernameToken { username: "user", password, nonce: Some(NONCE), created: Some(CREATED) }
    }

    #[test]
    fn a_digest_lets_in_once() {
        let gate = gate(TextPasswords::Refuse);
        let good = token(TokenPassword::Digest(DIGEST));
        assert_eq!(gate.verify(&good, at(0)).unwrap().level, Level::Operator);
        assert_eq!(gate.verify(&good, at(1)), Err(Refusal::Stale), "used");
        for off in [-301, 301] {
            assert_eq!(gate.verify(&good, at(off)), Err(Refusal::Stale), "{off}");
        }
    }

    #[test]
    fn the_window_is_as_wide_as_said() {
        for off in [-300, 300] {
            let good = token(TokenPassword::Digest(DIGEST));
            assert!(gate(TextPasswords::Refuse).verify(&good, at(off)).is_ok(), "{off}");
        }
    }

    /// RH2-3: among what is refused is a token without nonce or without time.
    #[test]
    fn what_is_wrong_is_refused() {
        let gate = gate(TextPasswords::Refuse);
        let good = token(TokenPassword::Digest(DIGEST));
        let wrong = |t: UsernameToken<'_>| gate.verify(&t, at(0)).unwrap_err();
        for t in [
            UsernameToken { username: "other", ..good },
            UsernameToken { created: Some("2010-09-16T07:50:46Z"), ..good },
            UsernameToken { nonce: Some("AAAA"), ..good },
            token(TokenPassword::Digest("AAAA")),
            token(TokenPassword::Digest("")),
        ] {
            assert!(wrong(t).guessed().is_some(), "{t:?}");
        }
        let long = "A".repeat(MAX_NONCE_CHARS + 4);
        for t in [
            UsernameToken { nonce: None, ..good },
            UsernameToken { created: None, ..good },
            UsernameToken { nonce: Some(""), ..good },
            UsernameToken { nonce: Some("%"), ..good },
            UsernameToken { nonce: Some(&long), ..good },
            UsernameToken { created: Some("yesterday"), ..good },
            token(TokenPassword::Digest("%")),
        ] {
            assert!(matches!(wrong(t), Refusal::Malformed(_)), "{t:?}");
        }
        assert_eq!(wrong(token(TokenPassword::Text("userpassword"))), Refusal::Scheme);
    }

    #[test]
    fn passwords_in_the_clear_need_consent_and_still_a_fresh_nonce() {
        let gate = gate(TextPasswords::Accept);
        let good = token(TokenPassword::Text("userpassword"));
        assert!(gate.verify(&token(TokenPassword::Text("userpassworD")), at(0)).is_err());
        assert!(gate.verify(&UsernameToken { nonce: None, ..good }, at(0)).is_err());
        assert!(gate.verify(&good, at(0)).is_ok());
        assert_eq!(gate.verify(&good, at(0)), Err(Refusal::Stale));
    }

    #[test]
    fn a_full_memory_refuses_rather_than_forgets() {
        let gate = gate(TextPasswords::Accept);
        let text = TokenPassword::Text("userpassword");
        let first = token(text);
        assert!(gate.verify(&first, at(0)).is_ok());
        for s in 1..=4 {
            let created = at(s).to_string();
            let t = UsernameToken { created: Some(&created), ..token(text) };
            assert!(gate.verify(&t, at(s)).is_ok(), "{s}");
        }
        assert_eq!(gate.verify(&first, at(5)), Err(Refusal::Stale));
    }

    #[test]
    fn a_time_without_zone_is_utc() {
        assert_eq!(read_created("2010-09-16T07:50:45"), read_created(CREATED));
        assert_eq!(read_created(" 2010-09-16T09:50:45.000+02:00 "), read_created(CREATED));
    }
}
