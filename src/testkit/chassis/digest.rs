//! The arithmetic of Digest and Basic authentication, server side (RFC 2069, 2617, 7616).
//!
//! Written for the simulators alone, so that a mistake in the gateway's own digest cannot hide.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Digest as _;
use md5::Md5;
use sha2::Sha256;

/// Hash of a digest.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Algorithm {
    /// MD5.
    #[default]
    Md5,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    fn hash(self, text: &str) -> String {
        match self {
            Algorithm::Md5 => hex::encode(Md5::digest(text)),
            Algorithm::Sha256 => hex::encode(Sha256::digest(text)),
        }
    }
}

/// The credentials of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Credentials {
    /// Basic: name and password.
    Basic(String, String),
    /// Digest: its parameters, names in lower case, quotes taken off.
    Digest(BTreeMap<String, String>),
}

impl Credentials {
    /// From the value of an `Authorization` header.
    pub fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(' ')?;
        if scheme.eq_ignore_ascii_case("basic") {
            let plain = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
            let (user, password) = plain.split_once(':')?;
            return Some(Self::Basic(user.into(), password.into()));
        }
        scheme.eq_ignore_ascii_case("digest").then(|| Self::Digest(parameters(rest)))
    }

    /// The name that is claimed.
    pub fn user(&self) -> &str {
        match self {
            Credentials::Basic(user, _) => user,
            Credentials::Digest(p) => p.get("username").map_or("", String::as_str),
        }
    }

    /// Whether they prove knowledge of the password. For a digest, with whatever nonce and URI it
    /// names: whether those are acceptable is another question.
    pub fn prove(&self, method: &str, user: &str, password: &str) -> bool {
        match self {
            Credentials::Basic(u, p) => u == user && p == password,
            Credentials::Digest(p) => {
                let get = |name: &str| p.get(name).map_or("", String::as_str);
                let sha = get("algorithm").eq_ignore_ascii_case("sha-256");
                let algorithm = if sha { Algorithm::Sha256 } else { Algorithm::Md5 };
                let expected = response(algorithm, method, password, p);
                get("username") == user && get("response").eq_ignore_ascii_case(&expected)
            }
        }
    }
}

/// What the `response` parameter must be.
fn response(
    algorithm: Algorithm,
    method: &str,
    password: &str,
    p: &BTreeMap<String, String>,
) -> String {
    let get = |name: &str| p.get(name).map_or("", String::as_str);
    let a1 = algorithm.hash(&format!("{}:{}:{password}", get("username"), get("realm")));
    let a2 = algorithm.hash(&format!("{method}:{}", get("uri")));
    match p.get("qop") {
        Some(qop) => algorithm.hash(&format!(
            "{a1}:{}:{}:{}:{qop}:{a2}",
            get("nonce"),
            get("nc"),
            get("cnonce")
        )),
        None => algorithm.hash(&format!("{a1}:{}:{a2}", get("nonce"))),
    }
}

/// `name=value` and `name="quoted, value"`, separated by commas.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_start_matches([',', ' ', '\t']).trim().to_ascii_lowercase();
        let after = after.trim_start();
        let (value, next) = if let Some(quoted) = after.strip_prefix('"') {
            quoted.split_once('"').unwrap_or((quoted, ""))
        } else {
            let end = after.find(',').unwrap_or(after.len());
            (after[..end].trim(), &after[end..])
        };
        found.insert(name, value.to_owned());
        rest = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standards_prove() {
        // RFC 2617 3.5 and RFC 7616 3.9.1.
        let md5 = r#"Digest username="Mufasa", realm="testrealm@host.com",
            nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth, nc=00000001,
            cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1",
            opaque="5ccc069c403ebaf9f0171e9517f40e41""#;
        let credentials = Credentials::parse(md5).unwrap();
        assert!(credentials.prove("GET", "Mufasa", "Circle Of Life"));
        assert!(!credentials.prove("POST", "Mufasa", "Circle Of Life"));
        assert!(!credentials.prove("GET", "Mufasa", "Circle of Life"));
        let sha = r#"Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html",
            algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001,
            cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth,
            response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1""#;
        assert!(Credentials::parse(sha).unwrap().prove("GET", "Mufasa", "Circle of Life"));
        let basic = Credentials::parse("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap();
        assert!(basic.prove("GET", "Aladdin", "open sesame"));
    }

    #[test]
    fn nonsense_is_no_credentials_and_never_panics() {
        let text = r#"Digest username="Muf\"asa, realm=x,, =, nc"#;
        for cut in 0..text.len() {
            let _ = Credentials::parse(&text[..cut]);
        }
        assert_eq!(Credentials::parse("Bearer x"), None);
        assert_eq!(Credentials::parse("Basic ????"), None);
    }
}
