//! The parts of a request URI that the server looks at.

/// Scheme, authority and path of a request URI.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Uri {
    /// In lower case; `rtsp` where the client wrote none.
    pub scheme: &'static str,
    /// Host and port as the client wrote them; empty where it wrote none.
    pub authority: String,
    /// Without query and trailing slash.
    pub path: String,
}

/// The later ones are what players that tunnel write inside.
const SCHEMES: [&str; 9] =
    ["rtsp", "rtsps", "rtspu", "http", "https", "rtsph", "rtspsh", "ws", "wss"];
/// Longer ones name nothing that exists.
const MAX_BYTES: usize = 1024;

impl Uri {
    /// Reads `rtsp://host:port/path?query` or `/path`. The query is dropped, user and password too.
    pub fn parse(uri: &str) -> Option<Self> {
        if uri.len() > MAX_BYTES {
            return None;
        }
        let (scheme, authority, path) = match uri.split_once("://") {
            Some((scheme, rest)) => {
                let scheme = SCHEMES.into_iter().find(|s| s.eq_ignore_ascii_case(scheme))?;
                let (authority, path) =
                    rest.find(['/', '?']).map_or((rest, ""), |i| rest.split_at(i));
                (scheme, authority, path)
            }
            None if uri.starts_with('/') => ("rtsp", "", uri),
            None => return None,
        };
        let authority = authority.rsplit('@').next().unwrap_or_default();
        // Some clients put the control behind the query; nothing here has one.
        let path = match path.split_once('?') {
            Some((path, query)) => match query.split_once('/') {
                Some((_, control)) if !control.is_empty() => {
                    format!("{}/{control}", path.trim_end_matches('/'))
                }
                _ => path.to_owned(),
            },
            None => path.to_owned(),
        };
        let (authority, path) = (authority.to_owned(), path.trim_end_matches('/').to_owned());
        Some(Self { scheme, authority, path })
    }

    /// The presentation and the number (from 0) of the track of a control URI `…/trackN`.
    pub fn track(&self) -> Option<(&str, usize)> {
        let (presentation, last) = self.path.rsplit_once('/')?;
        let number: usize = last.strip_prefix("track")?.parse().ok()?;
        Some((presentation, number.checked_sub(1)?))
    }
}

/// Control of the track of that number, relative to its presentation.
pub(super) fn control(index: usize) -> String {
    format!("track{}", index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (wire, authority, path) in [
            ("rtsp://h:8554/replay/yard-1/", "h:8554", "/replay/yard-1"),
            ("RTSP://user:pw@h/replay/yard-1?a=b", "h", "/replay/yard-1"),
            ("rtsp://[2001:db8::1]:554/a/track2", "[2001:db8::1]:554", "/a/track2"),
            ("rtsp://h/a?x=1/track1", "h", "/a/track1"),
            ("rtsp://h", "h", ""),
            ("/a", "", "/a"),
            ("http://h:8080/replay/yard-1", "h:8080", "/replay/yard-1"),
        ] {
            let uri = Uri::parse(wire).unwrap();
            assert_eq!((uri.authority.as_str(), uri.path.as_str()), (authority, path), "{wire}");
        }
        for bad in ["*", "", "ftp://h/a", "a/b", &"/a".repeat(600)] {
            assert_eq!(Uri::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn tracks() {
        let track = |p: &str| {
            Uri::parse(p).unwrap().track().map(|(presentation, n)| (presentation.to_owned(), n))
        };
        assert_eq!(track("/replay/yard-1/track2"), Some(("/replay/yard-1".into(), 1)));
        for bad in ["/replay/yard-1", "/a/track0", "/a/track", "/a/trackx"] {
            assert_eq!(track(bad), None, "{bad}");
        }
        assert_eq!(control(1), "track2");
    }
}
