//! What a caller says about a presentation and its playback, and what a server answers to PLAY.

use std::fmt;
use std::time::Duration;

use crate::headers::{Range, RateControl, RtpInfo, Scale};
use crate::message::{Method, Response};

/// How control URLs of media sections are made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ControlUrl {
    /// As RFC 3986 has it, against `Content-Base`, `Content-Location` or the URL; a name is put
    /// behind the base's path whether that ends in a slash or not.
    #[default]
    Resolve,
    /// Behind the URL as it was asked for, query included: what some recorders want.
    Append,
}

/// How to reach a presentation.
#[derive(Clone)]
pub struct ClientOptions {
    /// With its query, without user and password.
    pub url: String,
    /// Empty where none is needed.
    pub username: String,
    /// Never printed.
    pub password: String,
    /// `User-Agent`.
    pub user_agent: String,
    /// See [`ControlUrl`].
    pub control: ControlUrl,
    /// Longest wait for an answer.
    pub reply_timeout: Duration,
    /// Silence (no RTP while playing) that means the end: many recorders do not tell it.
    /// `None` waits as long as the connection lives.
    pub idle_timeout: Option<Duration>,
    /// Keeps the session alive. Where it is refused or not answered, OPTIONS takes its place.
    pub keep_alive: Method,
    /// Sent with SETUP and PLAY, for instance `onvif-replay`.
    pub require: Option<String>,
    /// Packets of these payload types come out as they are ([`super::Incoming::Raw`]), also
    /// those of sections whose encoding is not known.
    pub raw_payload_types: Vec<u8>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            username: String::new(),
            password: String::new(),
            user_agent: "dvrgate".to_owned(),
            control: ControlUrl::default(),
            reply_timeout: Duration::from_secs(10),
            idle_timeout: None,
            keep_alive: Method::GetParameter,
            require: None,
            raw_payload_types: Vec::new(),
        }
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("url", &self.url)
            .field("username", &self.username)
            .field("control", &self.control)
            .finish_non_exhaustive()
    }
}

/// What to play and how.
#[derive(Clone, Debug, Default)]
pub struct PlayOptions {
    /// Where; absent: as the URL says.
    pub range: Option<Range>,
    /// How fast.
    pub scale: Option<f64>,
    /// Who sets the pace; absent: not sent.
    pub rate_control: Option<RateControl>,
    /// Other headers.
    pub fields: Vec<(String, String)>,
}

impl PlayOptions {
    pub(super) fn to_fields(&self, require: Option<&String>) -> Vec<(&str, String)> {
        let mut fields: Vec<(&str, String)> = Vec::new();
        fields.extend(self.range.map(|r| ("Range", r.to_string())));
        fields.extend(self.scale.map(|s| ("Scale", Scale(s).to_string())));
        fields.extend(self.rate_control.map(|r| ("Rate-Control", r.to_string())));
        fields.extend(require.map(|r| ("Require", r.clone())));
        fields.extend(self.fields.iter().map(|(n, v)| (n.as_str(), v.clone())));
        fields
    }
}

/// What the server said to a PLAY.
#[derive(Clone, Debug)]
pub struct PlayReply {
    /// Where it starts, if it told.
    pub range: Option<Range>,
    /// The scale in use, if it told.
    pub scale: Option<f64>,
    /// Where the streams begin, if it told.
    pub rtp_info: RtpInfo,
}

impl PlayReply {
    pub(super) fn of(reply: &Response) -> Self {
        let field = |name| reply.fields.get(name);
        Self {
            range: field("Range").and_then(|r| r.parse().ok()),
            scale: field("Scale").and_then(|s| s.parse::<Scale>().ok()).map(|s| s.0),
            rtp_info: field("RTP-Info").unwrap_or_default().parse().unwrap_or_default(),
        }
    }
}

/// Why nothing more comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The server said so: a goodbye on every stream, ANNOUNCE, or a TEARDOWN of its own.
    Said,
    /// It closed the connection.
    Closed,
    /// It was silent for [`ClientOptions::idle_timeout`].
    Silent,
}
