//! `Require` and `Unsupported`: option tags (RFC 2326 12.32, 12.41; ONVIF Streaming 6.4).

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// Option tags that a server must know, as they were written.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Require(pub Vec<String>);

/// Option tags that the server does not know.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Unsupported(pub Vec<String>);

impl Require {
    /// The tag of clause 8 (ONVIF Streaming 6.4).
    pub const ONVIF_REPLAY: &'static str = "onvif-replay";

    /// Those that are not among `known`.
    pub fn unknown(&self, known: &[&str]) -> Unsupported {
        let strange = |t: &&String| !known.iter().any(|k| k.eq_ignore_ascii_case(t));
        Unsupported(self.0.iter().filter(strange).cloned().collect())
    }
}

impl FromStr for Require {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let tags = text.split(',').map(str::trim).filter(|t| !t.is_empty());
        Ok(Self(tags.map(str::to_owned).collect()))
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R8.4-1, R8.4-2
    #[test]
    fn unknown_tags_are_named() {
        let known = [Require::ONVIF_REPLAY];
        let cases = [
            ("onvif-replay", ""),
            ("Onvif-Replay", ""),
            ("", ""),
            ("onvif-replay, implicit-play", "implicit-play"),
            ("a,,b ", "a, b"),
        ];
        for (wire, unsupported) in cases {
            let r: Require = wire.parse().unwrap();
            assert_eq!(r.unknown(&known).to_string(), unsupported, "{wire:?}");
        }
    }
}
