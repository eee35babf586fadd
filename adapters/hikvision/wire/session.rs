//! `Security/sessionLogin`: the browsers' log-in, by cookie, of devices that have digest switched
//! off.
//!
//! The device sends a challenge and says how often the password is to be hashed (SHA-256, as
//! lower-case hex text, at every step); the password itself never crosses the wire.

use std::fmt::Write as _;

use dvrgate_adapter::transport::HttpRequest;
use http::header::SET_COOKIE;
use http::{HeaderMap, Method};
use sha2::{Digest, Sha256};
use url::form_urlencoded::byte_serialize;

use super::xml::{Element, escape};
use super::{Generation, WireError, get, with_xml};

/// More would only keep us busy; devices ask for 100.
const MAX_ITERATIONS: u32 = 100_000;

/// Asks how to log in. Needs no log-in and counts as no try.
pub(crate) fn challenge_request(g: Generation, username: &str) -> HttpRequest {
    let username = byte_serialize(username.as_bytes()).collect::<String>().replace('+', "%20");
    get(g.path(&format!("/Security/sessionLogin/capabilities?username={username}")))
}

/// `SessionLoginCap`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SessionChallenge {
    session_id: String,
    /// `sessionIDVersion`, to be given back.
    version: Option<String>,
    challenge: String,
    iterations: u32,
    /// `isIrreversible`: the device keeps no password, only its hash with these.
    salts: Option<(String, Option<String>)>,
}

/// Reads how to log in.
pub(crate) fn parse_challenge(document: &Element) -> Result<SessionChallenge, WireError> {
    let wanted = "SessionLoginCap";
    if !document.is(wanted) {
        return Err(WireError::Root { found: document.name.clone(), wanted });
    }
    let text = |name: &'static str| {
        document.text_at(&[name]).map(str::to_owned).ok_or(WireError::Missing(name))
    };
    let iterations: u32 =
        document.number_at(&["iterations"]).ok_or(WireError::Missing("iterations"))?;
    if iterations > MAX_ITERATIONS {
        let value = iterations.to_string();
        return Err(WireError::Value { element: "iterations", value });
    }
    let salts = match document.flag_at(&["isIrreversible"]) {
        Some(true) => Some((text("salt")?, text("salt2").ok())),
        _ => None,
    };
    Ok(SessionChallenge {
        session_id: text("sessionID")?,
        version: text("sessionIDVersion").ok(),
        challenge: text("challenge")?,
        iterations,
        salts,
    })
}

impl SessionChallenge {
    /// What is sent in place of the password.
    fn answer(&self, username: &str, password: &str) -> String {
        let (mut x, done) = match &self.salts {
            Some((salt, second)) => {
                let mut x = hash(&[username, salt, password]);
                if let Some(second) = second {
                    x = hash(&[username, second, &x]);
                }
                (hash(&[&x, &self.challenge]), 2)
            }
            None => (format!("{}{}", hash(&[password]), self.challenge), 1),
        };
        for _ in done..self.iterations {
            x = hash(&[&x]);
        }
        x
    }

    /// Logs in. The time only keeps caches away.
    pub(crate) fn log_in_request(
        &self,
        g: Generation,
        username: &str,
        password: &str,
        unix_ms: i64,
    ) -> HttpRequest {
        let mut body = format!(
            "<SessionLogin><userName>{}</userName><password>{}</password><sessionID>{}</sessionID>\
             <isSessionIDValidLongTerm>false</isSessionIDValidLongTerm>",
            escape(username),
            self.answer(username, password),
            escape(&self.session_id),
        );
        if let Some(version) = &self.version {
            let _ = write!(body, "<sessionIDVersion>{}</sessionIDVersion>", escape(version));
        }
        body.push_str("</SessionLogin>");
        let path = g.path(&format!("/Security/sessionLogin?timeStamp={unix_ms}"));
        with_xml(Method::POST, path, &body)
    }
}

/// The value of `Cookie:` after a log-in: what the device set, else the session that its answer
/// names.
pub(crate) fn cookie(headers: &HeaderMap, document: Option<&Element>) -> Option<String> {
    let set = headers.get_all(SET_COOKIE).iter().filter_map(|v| {
        let pair = v.to_str().ok()?.split(';').next()?.trim();
        let (name, value) = pair.split_once('=')?;
        (!name.is_empty() && !value.is_empty()).then(|| pair.to_owned())
    });
    let pairs: Vec<_> = set.collect();
    if !pairs.is_empty() {
        return Some(pairs.join("; "));
    }
    document?.text_at(&["sessionID"]).map(|id| format!("WebSession={id}"))
}

fn hash(parts: &[&str]) -> String {
    let mut sha = Sha256::new();
    parts.iter().for_each(|p| sha.update(p));
    let mut hex = String::with_capacity(64);
    for byte in sha.finalize() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const CAP: &[u8] = b"<SessionLoginCap version=\"2.0\"><sessionID>abc</sessionID>\
        <challenge>c1</challenge><iterations>4</iterations><isIrreversible>true</isIrreversible>\
        <salt>s1</salt><salt2>s2</salt2><sessionIDVersion>2.1</sessionIDVersion></SessionLoginCap>";

    #[test]
    fn the_password_is_hashed_as_the_device_says() {
        let mut c = testing::parse(CAP, parse_challenge).unwrap();
        let x = hash(&[&hash(&["admin", "s2", &hash(&["admin", "s1", "pw"])]), "c1"]);
        assert_eq!(c.answer("admin", "pw"), hash(&[&hash(&[&x])]));
        c.salts = Some(("s1".into(), None));
        let x = hash(&[&hash(&["admin", "s1", "pw"]), "c1"]);
        assert_eq!(c.answer("admin", "pw"), hash(&[&hash(&[&x])]));
        c.salts = None;
        let x = format!("{}c1", hash(&["pw"]));
        assert_eq!(c.answer("admin", "pw"), hash(&[&hash(&[&hash(&[&x])])]));
        assert_eq!(
            hash(&["ab", "c"]),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        testing::sweep(CAP, parse_challenge);
    }

    #[test]
    fn log_in_and_cookie() {
        let c = testing::parse(CAP, parse_challenge).unwrap();
        let request = c.log_in_request(Generation::Isapi, "a&b", "pw", 7);
        assert_eq!(request.path, "/ISAPI/Security/sessionLogin?timeStamp=7");
        let body = String::from_utf8(request.body.to_vec()).unwrap();
        assert!(body.contains("<userName>a&amp;b</userName>"), "{body}");
        assert!(body.contains("<sessionID>abc</sessionID>") && !body.contains("pw<"), "{body}");
        assert!(body.contains("<sessionIDVersion>2.1</sessionIDVersion>"), "{body}");
        let ask = challenge_request(Generation::Isapi, "a&b").path;
        assert_eq!(ask, "/ISAPI/Security/sessionLogin/capabilities?username=a%26b");
        let mut headers = HeaderMap::new();
        let named =
            Element::parse(b"<SessionUserCheck><sessionID>9</sessionID></SessionUserCheck>");
        let named = named.unwrap();
        assert_eq!(cookie(&headers, Some(&named)).unwrap(), "WebSession=9");
        assert_eq!(cookie(&headers, None), None);
        headers.append(SET_COOKIE, "WebSession_0a=1f; Path=/; HttpOnly".parse().unwrap());
        headers.append(SET_COOKIE, "odd".parse().unwrap());
        assert_eq!(cookie(&headers, Some(&named)).unwrap(), "WebSession_0a=1f");
    }

    #[test]
    fn endless_hashing_is_refused() {
        let text = String::from_utf8(CAP.to_vec()).unwrap();
        let many = text.replace("<iterations>4<", "<iterations>4000000000<");
        let e = testing::parse(many.as_bytes(), parse_challenge).unwrap_err();
        assert!(matches!(e, WireError::Value { element: "iterations", .. }));
    }
}
