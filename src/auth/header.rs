//! The Authorization header of the Digest scheme (RFC 7616 3.4), read leniently where old clients
//! differ: any order, quoted or bare values, unknown parameters.

use std::borrow::Cow;
use std::fmt;

/// What a client sent. Borrowed from the header where nothing had to be unescaped.
#[derive(Clone, Eq, PartialEq)]
pub struct Credentials<'a> {
    /// `username` or, decoded, `username*`.
    pub username: Cow<'a, str>,
    /// As the challenge named it.
    pub realm: Cow<'a, str>,
    /// As the challenge gave it.
    pub nonce: Cow<'a, str>,
    /// The request target that the client hashed.
    pub uri: Cow<'a, str>,
    /// Hex digits.
    pub response: Cow<'a, str>,
    /// `algorithm`, when the client names it.
    pub algorithm: Option<Cow<'a, str>>,
    /// `qop`, `nc` and `cnonce`; `None` for clients of RFC 2069.
    pub protection: Option<Protection<'a>>,
}

/// The parameters that RFC 2617 added.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Protection<'a> {
    /// `auth`; anything else is refused later.
    pub qop: Cow<'a, str>,
    /// As written: the eight hex digits are part of what is hashed.
    pub nc: Cow<'a, str>,
    /// The client's own nonce.
    pub cnonce: Cow<'a, str>,
}

/// Why a header could not be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HeaderError {
    /// Longer than [`MAX_HEADER_BYTES`].
    TooLong,
    /// Not Digest. Basic ends here.
    Scheme,
    /// Not `name=value` pairs between commas, or an unfinished quoted text.
    Syntax,
    /// A parameter is missing or there twice.
    Parameters,
}

/// The response is as good as a password for its request: only the user shows.
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}

impl<'a> Credentials<'a> {
    /// Reads a header's value, scheme included.
    pub fn parse(value: &'a str) -> Result<Self, HeaderError> {
        if value.len() > MAX_HEADER_BYTES {
            return Err(HeaderError::TooLong);
        }
        let value = value.trim();
        let (scheme, rest) = value.split_once([' ', '\t']).ok_or(HeaderError::Scheme)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Err(HeaderError::Scheme);
        }
        let mut slots: [Option<Cow<'a, str>>; NAMES.len()] = Default::default();
        let mut pairs = Pairs(rest);
        while let Some((name, text)) = pairs.next()? {
            let Some(i) = NAMES.iter().position(|n| name.eq_ignore_ascii_case(n)) else { continue };
            if slots[i].replace(text).is_some() {
                return Err(HeaderError::Parameters);
            }
        }
        let [username, extended, realm, nonce, uri, response, algorithm, qop, nc, cnonce] = slots;
        let username = match (username, extended) {
            (Some(plain), None) => plain,
            (None, Some(extended)) => Cow::Owned(decode_extended(&extended)?),
            _ => return Err(HeaderError::Parameters),
        };
        let protection = match (qop, nc, cnonce) {
            (Some(qop), Some(nc), Some(cnonce)) => Some(Protection { qop, nc, cnonce }),
            // A cnonce alone is what some old clients send; RFC 2069 ignores it.
            (None, None, _) => None,
            _ => return Err(HeaderError::Parameters),
        };
        let need = |slot: Option<Cow<'a, str>>| slot.ok_or(HeaderError::Parameters);
        Ok(Self {
            username,
            realm: need(realm)?,
            nonce: need(nonce)?,
            uri: need(uri)?,
            response: need(response)?,
            algorithm,
            protection,
        })
    }
}

/// Splits `a=b, c="d, e"`.
struct Pairs<'a>(&'a str);

impl<'a> Pairs<'a> {
    #[allow(clippy::type_complexity)]
    fn next(&mut self) -> Result<Option<(&'a str, Cow<'a, str>)>, HeaderError> {
        self.0 = self.0.trim_start_matches([' ', '\t', ',', '\r', '\n']);
        if self.0.is_empty() {
            return Ok(None);
        }
        let (name, rest) = self.0.split_once('=').ok_or(HeaderError::Syntax)?;
        let name = name.trim_end();
        if name.is_empty() || name.contains(['"', ',', ' ']) {
            return Err(HeaderError::Syntax);
        }
        let rest = rest.trim_start_matches([' ', '\t']);
        let (text, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (Cow::Borrowed(rest[..end].trim_end()), &rest[end..])
            }
        };
        let rest = rest.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return Err(HeaderError::Syntax);
        }
        self.0 = rest;
        Ok(Some((name, text)))
    }
}

/// The text up to the closing quote, and what follows it.
fn unquote(text: &str) -> Result<(Cow<'_, str>, &str), HeaderError> {
    let mut owned: Option<String> = None;
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => {
                let value = owned.map_or(Cow::Borrowed(&text[..i]), Cow::Owned);
                return Ok((value, &text[i + 1..]));
            }
            '\\' => {
                let escaped = chars.next().ok_or(HeaderError::Syntax)?.1;
                owned.get_or_insert_with(|| text[..i].to_owned()).push(escaped);
            }
            c => {
                if let Some(s) = &mut owned {
                    s.push(c);
                }
            }
        }
    }
    Err(HeaderError::Syntax)
}

/// `UTF-8''J%C3%A4s` (RFC 8187).
fn decode_extended(text: &str) -> Result<String, HeaderError> {
    let mut parts = text.splitn(3, '\'');
    let (charset, _language, value) = (parts.next(), parts.next(), parts.next());
    let value = match (charset, value) {
        (Some(c), Some(v)) if c.eq_ignore_ascii_case("UTF-8") => v,
        _ => return Err(HeaderError::Syntax),
    };
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&b, tail)) = rest.split_first() {
        if b == b'%' {
            let digits = tail.get(..2).ok_or(HeaderError::Syntax)?;
            bytes.extend(hex::decode(digits).map_err(|_| HeaderError::Syntax)?);
            rest = &tail[2..];
        } else {
            bytes.push(b);
            rest = tail;
        }
    }
    String::from_utf8(bytes).map_err(|_| HeaderError::Syntax)
}

/// In the order in which [`Credentials::parse`] takes them apart.
const NAMES: [&str; 10] = [
    "username",
    "username*",
    "realm",
    "nonce",
    "uri",
    "response",
    "algorithm",
    "qop",
    "nc",
    "cnonce",
];

/// Longer headers are refused unread.
pub const MAX_HEADER_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"Digest username="ad\"min", realm="r, s", nonce="n", uri="/x?a=b", response="00ff", algorithm=SHA-256, qop=auth, nc=00000001, cnonce="c=1""#;

    #[test]
    fn parameters_in_any_dress() {
        let c = Credentials::parse(FULL).unwrap();
        assert_eq!((&*c.username, &*c.realm, &*c.uri), ("ad\"min", "r, s", "/x?a=b"));
        assert_eq!(c.algorithm.as_deref(), Some("SHA-256"));
        assert_eq!(c.protection.unwrap().cnonce, "c=1");

        let bare = "digest\tusername=u,realm=r , nonce = \"n\",uri=*,response=0,opaque=\"\"";
        let c = Credentials::parse(bare).unwrap();
        assert_eq!((&*c.username, &*c.realm, &*c.uri), ("u", "r", "*"));
        assert_eq!(c.protection, None);

        let extended =
            r#"Digest username*=UTF-8''J%C3%A4s%20on, realm="r", nonce="n", uri="/", response="0""#;
        assert_eq!(Credentials::parse(extended).unwrap().username, "Jäs on");
    }

    #[test]
    fn what_is_not_digest_is_refused() {
        for (value, error) in [
            ("", HeaderError::Scheme),
            ("Digest", HeaderError::Scheme),
            ("Basic YWRtaW46YWRtaW4=", HeaderError::Scheme),
            ("Bearer x", HeaderError::Scheme),
            ("Digest username", HeaderError::Syntax),
            ("Digest username=\"x", HeaderError::Syntax),
            ("Digest username=\"x\" realm=\"y\"", HeaderError::Syntax),
            ("Digest username=\"x\"", HeaderError::Parameters),
            ("Digest username=a, username=b", HeaderError::Parameters),
            (
                "Digest username*=latin1''x, realm=r, nonce=n, uri=/, response=0",
                HeaderError::Syntax,
            ),
            (
                "Digest username*=UTF-8''%f, realm=r, nonce=n, uri=/, response=0",
                HeaderError::Syntax,
            ),
            (
                "Digest username=u, realm=r, nonce=n, uri=/, response=0, qop=auth",
                HeaderError::Parameters,
            ),
        ] {
            assert_eq!(Credentials::parse(value), Err(error), "{value}");
        }
        let long = format!("Digest username=\"{}\"", "x".repeat(MAX_HEADER_BYTES));
        assert_eq!(Credentials::parse(&long), Err(HeaderError::TooLong));
    }

    #[test]
    fn every_prefix_ends_in_an_error_or_a_value() {
        // Bare values can be cut without a trace, so only the absence of a panic and of a wrong
        // field border is asked for.
        for end in 0..FULL.len() {
            if let Ok(c) = Credentials::parse(&FULL[..end]) {
                assert_eq!(c.username, "ad\"min", "cut at {end}");
            }
        }
        for mixed in ["Digest é=\"\\", "Digest x=\"\\é\"é", "Digest ,,=,", "Digest =\"\""] {
            for (end, _) in mixed.char_indices() {
                assert!(Credentials::parse(&mixed[..end]).is_err());
            }
            assert!(Credentials::parse(mixed).is_err());
        }
    }

    #[test]
    fn debug_shows_no_response() {
        let text = format!("{:?}", Credentials::parse(FULL).unwrap());
        assert!(!text.contains("00ff") && !text.contains("c=1"), "{text}");
    }
}
