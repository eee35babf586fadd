//! `ContentMgmt/download`: footage as a file, named by a playback URI.
//!
//! By generation the request is a POST, a GET with a body, or a GET with the URI in its query. The
//! wrong one is refused, or answered 200 with nothing. A refusal may also be XML under 200.

use dvrgate_adapter::transport::HttpRequest;
use http::Method;

use super::errors::Refusal;
use super::uri::PlaybackUri;
use super::xml::{Element, escape};
use super::{Generation, get, with_xml};

/// How footage is asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum DownloadMethod {
    /// POST with a body.
    #[default]
    Post,
    /// GET with a body.
    GetWithBody,
    /// GET with the URI in the query.
    GetQuery,
}

impl DownloadMethod {
    /// In the order in which they are tried.
    pub(crate) const ALL: [DownloadMethod; 3] =
        [DownloadMethod::Post, DownloadMethod::GetWithBody, DownloadMethod::GetQuery];
}

/// Asks for footage.
pub(crate) fn request(g: Generation, method: DownloadMethod, uri: &PlaybackUri) -> HttpRequest {
    let path = g.path_or("/ContentMgmt/download", "/Custom/SelfExt/ContentMgmt/download");
    if method == DownloadMethod::GetQuery {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("playbackURI", &uri.text())
            .finish();
        return HttpRequest { distrusts_zero: true, ..get(format!("{path}?{query}")) };
    }
    let namespace = match g {
        Generation::Psia => "http://urn:selfextension:psiaext-ver10-xsd",
        Generation::Isapi | Generation::Unprefixed => "http://www.isapi.org/ver20/XMLSchema",
    };
    let body = format!(
        "<downloadRequest version=\"1.0\" xmlns=\"{namespace}\"><playbackURI>{}</playbackURI></downloadRequest>",
        escape(&uri.text())
    );
    let verb = if method == DownloadMethod::Post { Method::POST } else { Method::GET };
    // Some announce no length, some one of zero.
    HttpRequest { distrusts_zero: true, ..with_xml(verb, path, &body) }
}

/// What the first bytes of a download are.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Opening {
    /// Footage, as far as can be seen.
    Footage,
    /// A refusal under status 200.
    Refused(Refusal),
    /// Nothing: the wrong method, or nothing recorded.
    Empty,
    /// Too little to tell.
    Undecided,
}

/// A refusal is shorter than this.
pub(crate) const MAX_REFUSAL_BYTES: usize = 16 * 1024;

/// Judges the first bytes. `complete` says that no more follow.
pub(crate) fn judge(status: http::StatusCode, head: &[u8], complete: bool) -> Opening {
    let text = head.trim_ascii_start();
    if text.is_empty() {
        return if complete { Opening::Empty } else { Opening::Undecided };
    }
    let is_text = text.starts_with(b"<") || text.starts_with("\u{feff}<".as_bytes());
    if !is_text {
        return Opening::Footage;
    }
    if !complete && head.len() < MAX_REFUSAL_BYTES {
        return Opening::Undecided;
    }
    let document = Element::parse(head);
    let refusal = Refusal::of(status, document.as_ref().ok()).unwrap_or_else(|| Refusal {
        http: status.as_u16(),
        text: match document {
            Ok(d) => format!("<{}> instead of footage", d.name),
            Err(e) => e.to_string(),
        },
        ..Refusal::default()
    });
    Opening::Refused(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &[u8] = include_bytes!("../fixtures/response_status_not_support.xml");

    fn uri() -> PlaybackUri {
        PlaybackUri::parse("rtsp://10.0.0.9/Streaming/tracks/101/?starttime=20260818T151815Z&endtime=20260818T151908Z&name=a&size=7").unwrap()
    }

    #[test]
    fn three_ways_to_ask() {
        let r = request(Generation::Isapi, DownloadMethod::Post, &uri());
        assert_eq!((r.method.as_str(), r.path.as_str()), ("POST", "/ISAPI/ContentMgmt/download"));
        let doc = Element::parse(&r.body).unwrap();
        assert_eq!(doc.string_at(&["playbackURI"]), uri().text());
        assert_eq!(request(Generation::Isapi, DownloadMethod::GetWithBody, &uri()).method, "GET");
        let q = request(Generation::Isapi, DownloadMethod::GetQuery, &uri());
        assert!(q.path.contains("playbackURI=rtsp%3A%2F%2F10.0.0.9%2F") && q.body.is_empty());
        let old = request(Generation::Psia, DownloadMethod::Post, &uri());
        assert_eq!(old.path, "/PSIA/Custom/SelfExt/ContentMgmt/download");
    }

    #[test]
    fn refusals_under_200_and_nothing_at_all() {
        let ok = http::StatusCode::OK;
        assert!(
            matches!(judge(ok, REFUSED, true), Opening::Refused(r) if r.sub_code == "notSupport")
        );
        assert!(matches!(judge(ok, b"<html><body>log in", true), Opening::Refused(_)));
        assert_eq!(judge(ok, b"", true), Opening::Empty);
        assert_eq!(judge(ok, b"", false), Opening::Undecided);
        assert_eq!(judge(ok, &REFUSED[..40], false), Opening::Undecided);
        assert_eq!(judge(ok, b"IMKH\x01\x01", false), Opening::Footage);
        assert_eq!(judge(ok, &[0, 0, 1, 0xba], false), Opening::Footage);
        for n in 0..REFUSED.len() {
            let _ = judge(ok, &REFUSED[..n], true);
        }
    }
}
