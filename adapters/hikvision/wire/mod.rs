//! What is said on the wire, one file an exchange: `request(…)` and `parse(bytes)`, pure functions.
//!
//! Two generations of the HTTP interface are spoken: ISAPI (with or without its prefix) and its
//! predecessor PSIA. [`Generation`] makes the paths; the documents are close enough to share a
//! parser. Field names here are the vendor's.

pub(crate) mod access;
pub(crate) mod alert_stream;
pub(crate) mod anonymous;
pub(crate) mod calendar;
pub(crate) mod channels;
pub(crate) mod control;
pub(crate) mod datetime;
pub(crate) mod device_info;
pub(crate) mod download;
pub(crate) mod errors;
pub(crate) mod log_search;
pub(crate) mod search;
pub(crate) mod session;
pub(crate) mod splitter;
pub(crate) mod storage;
pub(crate) mod streams;
pub(crate) mod time;
pub(crate) mod tracks;
pub(crate) mod uri;
pub(crate) mod xml;

use dvrgate_adapter::transport::{HttpReply, HttpRequest};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};

pub(crate) use errors::Refusal;
use xml::Element;

/// Answers of configuration and listing calls; the largest seen is 145 kB.
pub(crate) const MAX_REPLY_BYTES: usize = 4 << 20;

/// Which flavour of the HTTP interface a device has.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) enum Generation {
    /// `/ISAPI/…`.
    #[default]
    Isapi,
    /// The same resources without the prefix (transitional firmware).
    Unprefixed,
    /// `/PSIA/…` and its vendor extension `/PSIA/Custom/SelfExt/…`.
    Psia,
}

impl Generation {
    /// In the order in which they are tried.
    pub(crate) const ALL: [Generation; 3] =
        [Generation::Isapi, Generation::Unprefixed, Generation::Psia];

    /// A resource whose path is the same in all generations.
    pub(crate) fn path(self, resource: &str) -> String {
        self.path_or(resource, resource)
    }

    /// A resource that PSIA has elsewhere.
    pub(crate) fn path_or(self, resource: &str, psia: &str) -> String {
        match self {
            Generation::Isapi => format!("/ISAPI{resource}"),
            Generation::Unprefixed => resource.to_owned(),
            Generation::Psia => format!("/PSIA{psia}"),
        }
    }
}

/// Why bytes are not the document that was asked for.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum WireError {
    /// Not XML, or not all of it.
    #[error("not well-formed at byte {at}: {why}")]
    Syntax {
        /// Offset.
        at: u64,
        /// For people.
        why: String,
    },
    /// HTML.
    #[error("a web page instead of a document: wrong port, or a path the device does not know")]
    WebPage,
    /// Another document.
    #[error("<{found}> where <{wanted}> was expected")]
    Root {
        /// What came.
        found: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// An element without which the rest means nothing.
    #[error("<{0}> is missing or empty")]
    Missing(&'static str),
    /// A value that cannot be.
    #[error("<{element}> cannot be {value:?}")]
    Value {
        /// Where.
        element: &'static str,
        /// What.
        value: String,
    },
    /// A bound of this program.
    #[error("more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
}

/// Why a question has no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The device said no.
    Refused(Refusal),
    /// The device said something else.
    Unreadable(WireError),
}

/// Reads an answer: a refusal (which may come under status 200), or what `parse` makes of it.
pub(crate) fn read<T>(
    reply: &HttpReply,
    parse: fn(&Element) -> Result<T, WireError>,
) -> Result<T, Failure> {
    let document = Element::parse(&reply.body);
    if let Some(refusal) = Refusal::of(reply.status, document.as_ref().ok()) {
        return Err(Failure::Refused(refusal));
    }
    document.and_then(|d| parse(&d)).map_err(Failure::Unreadable)
}

/// A GET.
pub(crate) fn get(path: String) -> HttpRequest {
    HttpRequest { max_reply_bytes: MAX_REPLY_BYTES, ..HttpRequest::get(path) }
}

/// A request with an XML body. Some firmware wants the declaration; none minds it.
pub(crate) fn with_xml(method: Method, path: String, body: &str) -> HttpRequest {
    let text = HeaderValue::from_static("application/xml; charset=\"UTF-8\"");
    let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n{body}");
    let request = HttpRequest::new(method, path, body).header(CONTENT_TYPE, text);
    HttpRequest { max_reply_bytes: MAX_REPLY_BYTES, ..request }
}

/// Whether a status says that the answer is what was asked for (refusals under 200 apart).
fn is_success(status: StatusCode) -> bool {
    status.is_success()
}

#[cfg(test)]
pub(crate) mod testing {
    //! What the tests of the exchanges share.

    use super::*;

    /// Reads a document with a parser.
    pub(crate) fn parse<T>(
        document: &[u8],
        parse: fn(&Element) -> Result<T, WireError>,
    ) -> Result<T, WireError> {
        Element::parse(document).and_then(|e| parse(&e))
    }

    /// Every prefix of a valid document is an error, and none panics.
    pub(crate) fn sweep<T>(document: &[u8], parse_fn: fn(&Element) -> Result<T, WireError>) {
        let end = document.trim_ascii_end().len();
        assert!(parse(document, parse_fn).is_ok(), "the whole document");
        for n in 0..end {
            assert!(parse(&document[..n], parse_fn).is_err(), "prefix of {n} bytes");
        }
    }

    #[test]
    fn paths_of_the_generations() {
        assert_eq!(Generation::Isapi.path("/System/time"), "/ISAPI/System/time");
        assert_eq!(Generation::Unprefixed.path("/System/time"), "/System/time");
        assert_eq!(Generation::Psia.path_or("/a", "/Custom/b"), "/PSIA/Custom/b");
    }
}
