//! Requests and their methods (RFC 2326 sections 6 and 10).

use std::fmt;

use bytes::Bytes;

use super::Fields;

/// What a request asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Method {
    /// RFC 2326 10.1.
    Options,
    /// RFC 2326 10.2.
    Describe,
    /// RFC 2326 10.3: of the recording direction, or a server's news.
    Announce,
    /// RFC 2326 10.4.
    Setup,
    /// RFC 2326 10.5.
    Play,
    /// RFC 2326 10.6.
    Pause,
    /// RFC 2326 10.7.
    Teardown,
    /// RFC 2326 10.8.
    GetParameter,
    /// RFC 2326 10.9.
    SetParameter,
    /// RFC 2326 10.10.
    Redirect,
    /// RFC 2326 10.11.
    Record,
    /// Anything else.
    Other(String),
}

impl Method {
    const NAMES: [(&'static str, Method); 11] = [
        ("OPTIONS", Method::Options),
        ("DESCRIBE", Method::Describe),
        ("ANNOUNCE", Method::Announce),
        ("SETUP", Method::Setup),
        ("PLAY", Method::Play),
        ("PAUSE", Method::Pause),
        ("TEARDOWN", Method::Teardown),
        ("GET_PARAMETER", Method::GetParameter),
        ("SET_PARAMETER", Method::SetParameter),
        ("REDIRECT", Method::Redirect),
        ("RECORD", Method::Record),
    ];

    /// The method of that name.
    pub fn from_name(name: &str) -> Self {
        let known = Self::NAMES.into_iter().find(|(n, _)| *n == name);
        known.map_or_else(|| Method::Other(name.to_owned()), |(_, m)| m)
    }

    /// As on the wire.
    pub fn name(&self) -> &str {
        match self {
            Method::Other(name) => name,
            m => Self::NAMES.iter().find(|(_, k)| k == m).map_or("", |(n, _)| n),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// What it asks.
    pub method: Method,
    /// Of what: an absolute URI, or `*`.
    pub uri: String,
    /// `RTSP/1.0`, or what the peer wrote.
    pub version: String,
    /// Header fields.
    pub fields: Fields,
    /// Body; empty for most.
    pub body: Bytes,
}

impl Request {
    /// A request without header fields.
    pub fn new(method: Method, uri: impl Into<String>) -> Self {
        Self {
            method,
            uri: uri.into(),
            version: "RTSP/1.0".to_owned(),
            fields: Fields::default(),
            body: Bytes::new(),
        }
    }

    /// As on the wire. A `Content-Length` is added where there is a body.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = format!("{} {} {}\r\n", self.method, self.uri, self.version);
        self.fields.write(&mut out);
        super::response::finish(out, &self.body)
    }
}
