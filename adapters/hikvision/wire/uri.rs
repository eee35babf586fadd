//! `playbackURI`: the device's own name for a piece of footage.
//!
//! The host in it is the device's idea of its address and often wrong; path and query are kept byte
//! for byte, because some firmware serves only what it issued. Values are replaced in place.

use dvrgate_model::Civil;

use super::{WireError, datetime};

/// Longest URI that is believed.
const MAX_URI_BYTES: usize = 2_048;

/// A playback URI, taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PlaybackUri {
    /// Up to the path: `rtsp://192.0.2.1:554`.
    authority: String,
    /// From the path: `/Streaming/tracks/101/`.
    path: String,
    /// Behind the question mark, as issued.
    query: String,
}

impl PlaybackUri {
    /// Takes a URI as it stands in a document: white space and line breaks inside are layout.
    pub(crate) fn parse(text: &str) -> Result<Self, WireError> {
        let bad =
            || WireError::Value { element: "playbackURI", value: text.chars().take(200).collect() };
        if text.len() > MAX_URI_BYTES {
            return Err(WireError::Limit { what: "bytes in a URI", limit: MAX_URI_BYTES });
        }
        let uri: String = text.split_whitespace().collect();
        if uri.chars().any(|c| c.is_control() || c == '"' || c == '<' || c == '>') {
            return Err(bad());
        }
        let scheme = uri.find("://").ok_or_else(bad)?;
        let path_at = uri[scheme + 3..].find('/').ok_or_else(bad)? + scheme + 3;
        let (authority, rest) = uri.split_at(path_at);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Ok(Self { authority: authority.to_owned(), path: path.to_owned(), query: query.to_owned() })
    }

    /// A URI of our own making: some firmware serves any window.
    pub(crate) fn of_window(track: u32, start: Civil, end: Civil) -> Self {
        Self::of_path(&format!("/Streaming/tracks/{track}/"), start, end)
    }

    /// The same below another path.
    pub(crate) fn of_path(path: &str, start: Civil, end: Civil) -> Self {
        Self {
            authority: "rtsp://0.0.0.0".to_owned(),
            path: path.to_owned(),
            query: format!(
                "starttime={}&endtime={}",
                datetime::write_compact(start),
                datetime::write_compact(end)
            ),
        }
    }

    /// A value of the query.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find_map(|(k, v)| k.eq_ignore_ascii_case(name).then_some(v))
    }

    /// Bytes of the whole file; an estimate while it grows.
    pub(crate) fn size(&self) -> Option<u64> {
        self.value("size")?.parse().ok()
    }

    /// Which track: the last number of the path.
    pub(crate) fn track(&self) -> Option<u32> {
        self.path.trim_end_matches('/').rsplit('/').next()?.parse().ok()
    }

    /// The same footage, from and to other times. Values are replaced, order and names stay.
    #[must_use]
    pub(crate) fn with_window(&self, start: Civil, end: Civil) -> Self {
        let replace = |pair: &str| match pair.split_once('=') {
            Some((k, _)) if k.eq_ignore_ascii_case("starttime") => {
                format!("{k}={}", datetime::write_compact(start))
            }
            Some((k, _)) if k.eq_ignore_ascii_case("endtime") => {
                format!("{k}={}", datetime::write_compact(end))
            }
            _ => pair.to_owned(),
        };
        let query = self.query.split('&').map(replace).collect::<Vec<_>>().join("&");
        Self { query, ..self.clone() }
    }

    /// As issued.
    pub(crate) fn text(&self) -> String {
        self.at(&self.authority)
    }

    /// At the address under which we reach the device: `rtsp://host:port`.
    pub(crate) fn at(&self, authority: &str) -> String {
        match self.query.as_str() {
            "" => format!("{authority}{}", self.path),
            query => format!("{authority}{}?{query}", self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUED: &str = "rtsp://10.0.0.9/Streaming/tracks/101/?\nstarttime=20210818T151815Z&endtime=20210818T151908Z&name=ch01_0000&size=1400788";

    #[test]
    fn path_and_query_stay_and_the_host_goes() {
        let u = PlaybackUri::parse(ISSUED).unwrap();
        assert_eq!(
            (u.track(), u.size(), u.value("NAME")),
            (Some(101), Some(1_400_788), Some("ch01_0000"))
        );
        assert_eq!(
            u.at("rtsp://192.0.2.1:1554"),
            "rtsp://192.0.2.1:1554/Streaming/tracks/101/?starttime=20210818T151815Z&endtime=20210818T151908Z&name=ch01_0000&size=1400788"
        );
        let (start, _) = datetime::parse("20210818T151830Z").unwrap();
        let (end, _) = datetime::parse("20210818T151900Z").unwrap();
        assert_eq!(
            u.with_window(start, end).text(),
            "rtsp://10.0.0.9/Streaming/tracks/101/?starttime=20210818T151830Z&endtime=20210818T151900Z&name=ch01_0000&size=1400788"
        );
        let bare = PlaybackUri::parse("rtsp://[2001:db8::1]:554/Streaming/tracks/201?starttime=x")
            .unwrap();
        assert_eq!(bare.track(), Some(201));
        let own = PlaybackUri::of_window(301, start, end);
        assert_eq!(own.track(), Some(301));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "rtsp:", "rtsp://", "rtsp://host", "no uri", "rtsp://h/a?b=\"<"] {
            assert!(PlaybackUri::parse(bad).is_err(), "{bad}");
        }
        assert!(PlaybackUri::parse(&format!("rtsp://h/{}", "a".repeat(5000))).is_err());
        for n in 0..ISSUED.len() {
            let _ = PlaybackUri::parse(&ISSUED[..n]).map(|u| (u.track(), u.size()));
        }
    }
}
