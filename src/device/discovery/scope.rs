//! Scopes and the rules to match them (WS-Discovery 5.1; ONVIF Core 7.3.2.2 and 7.3.3).

/// A scope of the ONVIF authority: `onvif://www.onvif.org/name/Depot%20North`. Slashes of the value
/// stay, so that a location may be a path.
pub fn onvif(category: &str, value: &str) -> String {
    let mut scope = format!("onvif://www.onvif.org/{category}/");
    for byte in value.trim().bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            scope.push(char::from(byte));
        } else {
            scope.push_str(&format!("%{byte:02X}"));
        }
    }
    scope
}

/// Whether a text can be a scope: a URI with a scheme and without blanks.
pub(crate) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    scheme_fits && !rest.is_empty() && text.chars().all(|c| c.is_ascii_graphic())
}

/// How a probe wants its scopes compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rule {
    /// By path segments; the rule when none is named.
    Rfc3986,
    /// Letter by letter.
    Strcmp0,
    /// As UUIDs.
    Uuid,
    /// Only targets without scopes.
    None,
}

impl Rule {
    /// By its URI; `None` for rules that are not known here.
    pub fn read(uri: Option<&str>) -> Option<Self> {
        let Some(uri) = uri.map(str::trim).filter(|u| !u.is_empty()) else {
            return Some(Rule::Rfc3986);
        };
        match uri.strip_prefix("http://schemas.xmlsoap.org/ws/2005/04/discovery/")? {
            // The second name is that of the older text, which some clients still send.
            "rfc3986" | "rfc2396" => Some(Rule::Rfc3986),
            "strcmp0" => Some(Rule::Strcmp0),
            "uuid" => Some(Rule::Uuid),
            "none" => Some(Rule::None),
            _ => None,
        }
    }

    /// Whether a target with these scopes is meant by a probe for those.
    pub fn matches(self, wanted: &[&str], offered: &[String]) -> bool {
        match self {
            Rule::None => offered.is_empty(),
            _ => wanted.iter().all(|w| offered.iter().any(|o| self.fits(w, o))),
        }
    }

    fn fits(self, wanted: &str, offered: &str) -> bool {
        match self {
            Rule::Rfc3986 => prefix_of(wanted, offered).unwrap_or(false),
            Rule::Strcmp0 => wanted == offered,
            Rule::Uuid => wanted.eq_ignore_ascii_case(offered),
            Rule::None => false,
        }
    }
}

/// Scheme and authority equal but for case, path a prefix segment by segment, with case. Queries and
/// fragments do not count; dot segments never match.
fn prefix_of(wanted: &str, offered: &str) -> Option<bool> {
    let (wanted, offered) = (Parts::of(wanted)?, Parts::of(offered)?);
    let same_place = wanted.scheme.eq_ignore_ascii_case(offered.scheme)
        && wanted.authority.eq_ignore_ascii_case(offered.authority);
    let (w, o) = (wanted.segments()?, offered.segments()?);
    Some(same_place && w.len() <= o.len() && w.iter().zip(&o).all(|(w, o)| w == o))
}

struct Parts<'a> {
    scheme: &'a str,
    authority: &'a str,
    path: &'a str,
}

impl<'a> Parts<'a> {
    fn of(uri: &'a str) -> Option<Self> {
        let uri = uri.split(['?', '#']).next()?;
        let (scheme, rest) = uri.split_once(':')?;
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        Some(Self { scheme, authority, path })
    }

    /// Unescaped, so that `%41` equals `A`; a final slash does not count.
    fn segments(&self) -> Option<Vec<Vec<u8>>> {
        let path = self.path.strip_prefix('/').unwrap_or(self.path);
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Some(Vec::new());
        }
        path.split('/')
            .map(|s| if matches!(s, "." | "..") { None } else { Some(unescape(s)) })
            .collect()
    }
}

fn unescape(segment: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digit = |i: usize| tail.get(i).and_then(|b| char::from(*b).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (byte, digit(0), digit(1)) {
            out.push((high * 16 + low) as u8);
            rest = &tail[2..];
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod unit {
    use super::*;

    /// RH6-6, RH6-7, with the examples of Core 7.3.2.2.2 in other words.
    #[test]
    fn paths_match_by_whole_segments() {
        let offered = [
            "onvif://www.onvif.org/location/country/china",
            "onvif://www.onvif.org/hardware/D1-566",
        ]
        .map(str::to_owned);
        for (wanted, matches) in [
            ("onvif://www.onvif.org", true),
            ("onvif://www.onvif.org/", true),
            ("ONVIF://WWW.ONVIF.ORG/location", true),
            ("onvif://www.onvif.org/location/country/china", true),
            ("onvif://www.onvif.org/location/country/china/", true),
            ("onvif://www.onvif.org/location/country/%63hina?x#y", true),
            ("onvif://www.onvif.org/hardware/D1", false),
            ("onvif://www.onvif.org/Hardware", false),
            ("onvif://www.onvif.org/location/country/china/x", false),
            ("onvif://www.onvif.org/x/../hardware", false),
            ("onvif://www.onvif.org/./hardware", false),
            ("http://www.onvif.org/hardware", false),
            ("onvif://example.org", false),
            ("nonsense", false),
            ("", false),
        ] {
            assert_eq!(Rule::Rfc3986.matches(&[wanted], &offered), matches, "{wanted}");
        }
        assert!(Rule::Rfc3986.matches(&[], &offered));
        let both = ["onvif://www.onvif.org/hardware", "onvif://www.onvif.org/location/city"];
        assert!(!Rule::Rfc3986.matches(&both, &offered), "every wanted scope counts");
    }

    #[test]
    fn other_rules() {
        let offered = ["urn:uuid:AB".to_owned()];
        assert!(Rule::Uuid.matches(&["urn:uuid:ab"], &offered));
        assert!(!Rule::Strcmp0.matches(&["urn:uuid:ab"], &offered));
        assert!(Rule::Strcmp0.matches(&["urn:uuid:AB"], &offered));
        assert!(!Rule::None.matches(&[], &offered) && Rule::None.matches(&[], &[]));
        let uri = |name: &str| format!("http://schemas.xmlsoap.org/ws/2005/04/discovery/{name}");
        for (name, rule) in [
            ("rfc3986", Some(Rule::Rfc3986)),
            ("rfc2396", Some(Rule::Rfc3986)),
            ("strcmp0", Some(Rule::Strcmp0)),
            ("uuid", Some(Rule::Uuid)),
            ("none", Some(Rule::None)),
            ("ldap", None),
        ] {
            assert_eq!(Rule::read(Some(&uri(name))), rule);
        }
        assert_eq!(Rule::read(None), Some(Rule::Rfc3986));
        assert_eq!(Rule::read(Some("urn:x")), None);
    }

    #[test]
    fn scopes_are_made_of_any_text() {
        assert_eq!(
            onvif("name", " Depot Nörd/2 "),
            "onvif://www.onvif.org/name/Depot%20N%C3%B6rd/2"
        );
        assert!(is_uri(&onvif("name", "a b")));
        for bad in ["", "x", ":x", "x:", "1x:y", "x:a b", "x:é", "http://a\n"] {
            assert!(!is_uri(bad), "{bad:?}");
        }
    }
}
