//! Answers to the challenges of a server: Digest, else Basic (RFC 2617, 7616).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use digest_auth::{AuthContext, HttpMethod, WwwAuthenticateHeader};

use crate::message::{Fields, Request};

/// User, password, and the challenge that was last received.
pub struct ClientAuth {
    username: String,
    password: String,
    challenge: Option<Challenge>,
    /// A request with these credentials was not refused.
    accepted: bool,
}

enum Challenge {
    Digest(Box<WwwAuthenticateHeader>),
    Basic,
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAuth").field("username", &self.username).finish_non_exhaustive()
    }
}

impl ClientAuth {
    /// Nothing is sent before a server asks.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            username: username.into(),
            password: password.into(),
            challenge: None,
            accepted: false,
        }
    }

    /// Takes the challenges of a 401; `answered` is how often the request had credentials already.
    /// `false` where asking again is pointless or brings a lock-out nearer: no user, nothing that
    /// can be answered, or a refusal of what was answered. That is none where the server calls the
    /// nonce stale, or (once) where it accepted these credentials before and has a fresh nonce.
    pub fn challenged(&mut self, fields: &Fields, answered: u8) -> bool {
        let mut challenges: Vec<_> =
            fields.all("WWW-Authenticate").filter_map(Challenge::parse).collect();
        let digest = challenges.iter().position(|c| c.nonce().is_some());
        let challenge =
            (!challenges.is_empty()).then(|| challenges.swap_remove(digest.unwrap_or(0)));
        let stale = matches!(&challenge, Some(Challenge::Digest(d)) if d.stale);
        let nonce = challenge.as_ref().and_then(Challenge::nonce);
        let fresh = nonce.is_some() && nonce != self.challenge.as_ref().and_then(Challenge::nonce);
        let useful = match answered {
            0 => true,
            1 => stale || (fresh && self.accepted),
            _ => stale,
        };
        self.challenge = challenge;
        !self.username.is_empty() && self.challenge.is_some() && useful
    }

    /// Says that a request with credentials was not refused.
    pub fn accepted(&mut self) {
        self.accepted = true;
    }

    /// Adds credentials to a request, once there is a challenge. Says whether it did.
    pub fn sign(&mut self, request: &mut Request) -> bool {
        let value = match &mut self.challenge {
            None => return false,
            Some(Challenge::Basic) => {
                format!("Basic {}", BASE64.encode(format!("{}:{}", self.username, self.password)))
            }
            Some(Challenge::Digest(digest)) => {
                let context = AuthContext::new_with_method(
                    &self.username,
                    &self.password,
                    &request.uri,
                    Option::<&[u8]>::None,
                    HttpMethod::from(request.method.name()),
                );
                match digest.respond(&context) {
                    Ok(answer) => answer.to_header_string(),
                    Err(_) => return false,
                }
            }
        };
        request.fields.push("Authorization", value);
        true
    }
}

impl Challenge {
    fn nonce(&self) -> Option<&str> {
        match self {
            Self::Digest(d) => Some(&d.nonce),
            Self::Basic => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        // The parser of the digest library counts characters and cuts at bytes.
        if !text.is_ascii() {
            return None;
        }
        let scheme = text.split_ascii_whitespace().next()?;
        if scheme.eq_ignore_ascii_case("digest") {
            // Some firmware prepends a nonstandard `random=`; unknown parameters are passed over.
            digest_auth::parse(text).ok().map(|d| Self::Digest(Box::new(d)))
        } else {
            scheme.eq_ignore_ascii_case("basic").then_some(Self::Basic)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Method;

    fn challenge(values: &[&str]) -> Fields {
        let mut f = Fields::default();
        for v in values {
            f.push("WWW-Authenticate", v);
        }
        f
    }

    #[test]
    fn digest_is_preferred_and_answered_per_method() {
        let mut auth = ClientAuth::new("admin", "12345");
        let mut request = Request::new(Method::Describe, "rtsp://h/Streaming/tracks/101");
        assert!(!auth.sign(&mut request), "nothing before the challenge");
        let fields = challenge(&[
            r#"Basic realm="/""#,
            r#"Digest realm="IP Camera(C5555)", nonce="66b7d", random="x", stale="FALSE""#,
        ]);
        assert!(auth.challenged(&fields, 0));
        assert!(auth.sign(&mut request));
        let value = request.fields.get("Authorization").unwrap();
        assert!(
            value.starts_with("Digest username=\"admin\", realm=\"IP Camera(C5555)\""),
            "{value}"
        );
        assert!(value.contains("uri=\"rtsp://h/Streaming/tracks/101\""), "{value}");
        assert!(!auth.challenged(&fields, 1), "a refused password is not tried twice");
        let stale = challenge(&[r#"Digest realm="r", nonce="2", stale=true"#]);
        assert!(auth.challenged(&stale, 1));
    }

    #[test]
    fn basic_and_nothing() {
        let mut auth = ClientAuth::new("a", "b");
        assert!(auth.challenged(&challenge(&[r#"Basic realm="x""#]), 0));
        let mut request = Request::new(Method::Options, "*");
        assert!(auth.sign(&mut request));
        assert_eq!(request.fields.get("Authorization"), Some("Basic YTpi"));
        assert!(!auth.challenged(&challenge(&["Negotiate"]), 0));
        let accents = ["Digest realm=\"Kam\u{e9}ra\", n\u{e9}nce=\"1\", nonce=\"2\""];
        assert!(!auth.challenged(&challenge(&accents), 0));
        assert!(!ClientAuth::new("", "").challenged(&challenge(&["Basic"]), 0));
        assert!(!format!("{auth:?}").contains("\"b\""));
    }
}
