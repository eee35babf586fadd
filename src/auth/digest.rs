//! The arithmetic of Digest (RFC 7616 3.4.1 to 3.4.3).

use md5::Md5;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::header::Credentials;

/// A hash that the gate can offer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Algorithm {
    /// What every client knows.
    Md5,
    /// RFC 7616; ONVIF Core 5.9.3.
    Sha256,
}

impl Algorithm {
    /// The value of the `algorithm` parameter.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    /// Which hash a response was made with. Its length decides: some clients hash with MD5 whatever
    /// the challenge said and repeat the challenge's `algorithm` all the same.
    pub(crate) fn of_response(response: &str) -> Option<Self> {
        match response.len() {
            32 => Some(Algorithm::Md5),
            64 => Some(Algorithm::Sha256),
            _ => None,
        }
    }

    /// Lower-case hex of the hash of the parts with colons between them.
    fn hash(self, parts: &[&str]) -> Zeroizing<String> {
        let joined = Zeroizing::new(parts.join(":"));
        Zeroizing::new(match self {
            Algorithm::Md5 => hex::encode(Md5::digest(joined.as_bytes())),
            Algorithm::Sha256 => hex::encode(Sha256::digest(joined.as_bytes())),
        })
    }
}

/// The response that the right password gives.
pub(crate) fn response(
    algorithm: Algorithm,
    credentials: &Credentials<'_>,
    method: &str,
    password: &str,
) -> Zeroizing<String> {
    let secret = algorithm.hash(&[&credentials.username, &credentials.realm, password]);
    let request = algorithm.hash(&[method, &credentials.uri]);
    match &credentials.protection {
        Some(p) => {
            algorithm.hash(&[&secret, &credentials.nonce, &p.nc, &p.cnonce, &p.qop, &request])
        }
        None => algorithm.hash(&[&secret, &credentials.nonce, &request]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7616 3.9.1 and RFC 2617 3.5 (numbers only).
    #[test]
    fn published_examples() {
        let header = |response: &str, nonce: &str, cnonce: &str, realm: &str| {
            format!(
                "Digest username=\"Mufasa\", realm=\"{realm}\", uri=\"/dir/index.html\", \
                 nonce=\"{nonce}\", nc=00000001, cnonce=\"{cnonce}\", qop=auth, response=\"{response}\""
            )
        };
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (algorithm, expected, nonce, cnonce, realm, password) in [
            (
                Algorithm::Md5,
                "8ca523f5e9506fed4657c9700eebdbec",
                nonce,
                cnonce,
                "http-auth@example.org",
                "Circle of Life",
            ),
            (
                Algorithm::Sha256,
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
                nonce,
                cnonce,
                "http-auth@example.org",
                "Circle of Life",
            ),
            (
                Algorithm::Md5,
                "6629fae49393a05397450978507c4ef1",
                "dcd98b7102dd2f0e8b11d0f600bfb0c093",
                "0a4f113b",
                "testrealm@host.com",
                "Circle Of Life",
            ),
        ] {
            let text = header(expected, nonce, cnonce, realm);
            let c = Credentials::parse(&text).unwrap();
            assert_eq!(&*response(algorithm, &c, "GET", password), expected);
        }
    }
}
