//! The form of a mapping document. Unknown keys are refused; values become domain types while they
//! are read, so an error points at its line.

use std::collections::BTreeMap;
use std::time::Duration;

use dvrgate_model::{ErrorKind, Reason, Retry, Topic, ZoneTrust};
use serde::Deserialize;

use super::version::VersionReq;

/// The schema that this version reads.
pub const SCHEMA: u32 = 1;

/// A whole document.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schema {
    /// [`SCHEMA`].
    pub schema: SchemaVersion,
    /// The family that it is for.
    pub vendor: String,
    /// The label that an overlay is for.
    pub brand: Option<String>,
    /// Which recorders it applies to; to all where there is none.
    #[serde(rename = "match")]
    pub matches: Vec<Match>,
    /// Time.
    pub time: Time,
    /// Listings of footage.
    pub segments: Segments,
    /// Events by the recorder's code.
    pub events: BTreeMap<String, EventMapping>,
    /// Errors by the recorder's code.
    pub errors: BTreeMap<String, ErrorMapping>,
    /// What the recorder survives: lowers what the adapter declares.
    pub limits: Limits,
    /// Numbers of the vendor's queries, by names that the vendor's crate knows.
    pub query: BTreeMap<String, i64>,
    /// Paths and addresses, by names that the vendor's crate knows.
    pub paths: BTreeMap<String, String>,
    /// Which of the vendor's named deviations is in force.
    pub policies: BTreeMap<String, String>,
}

/// See [`SCHEMA`].
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "u32")]
pub struct SchemaVersion;

impl TryFrom<u32> for SchemaVersion {
    type Error = String;

    fn try_from(n: u32) -> Result<Self, String> {
        match n {
            SCHEMA => Ok(Self),
            n => Err(format!("schema {n} is not known; this version reads schema = {SCHEMA}")),
        }
    }
}

/// One `[[match]]`: all that is given must fit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// Pattern of the model, `*` for anything.
    pub model: Option<String>,
    /// Pattern of the manufacturer or label.
    pub manufacturer: Option<String>,
    /// Requirement on the firmware.
    pub firmware: Option<Firmware>,
}

/// See [`Match::firmware`].
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Firmware(pub VersionReq);

impl TryFrom<String> for Firmware {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        VersionReq::parse(&text).map(Self)
    }
}

/// `[time]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Time {
    /// Text form of times in requests and answers, in the words of `strftime`.
    pub format: Option<String>,
    /// Whether zone claims in listings are believed, until the recorder was asked.
    pub zone: Option<ZonePolicy>,
}

/// See [`Time::zone`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum ZonePolicy {
    /// Digits are the wall clock and nothing is claimed.
    WallClock,
    /// Digits are the wall clock although they claim to be UTC.
    ClaimsUtcMeansLocal,
    /// What is claimed is right.
    Claimed,
}

impl From<ZonePolicy> for ZoneTrust {
    fn from(policy: ZonePolicy) -> Self {
        match policy {
            ZonePolicy::WallClock | ZonePolicy::ClaimsUtcMeansLocal => ZoneTrust::WallClock,
            ZonePolicy::Claimed => ZoneTrust::Claimed,
        }
    }
}

/// `[segments]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Segments {
    /// Items of one query over all its pages; then the window is halved.
    pub max_results: Option<usize>,
    /// Widest window of one query.
    pub max_window_hours: Option<u32>,
    /// What the listed end means.
    pub ends: Ends,
    /// The recorder's code to a reason, by its name ([`Reason::name`]).
    pub reason: BTreeMap<String, ReasonName>,
}

/// What the end in a listing means.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Ends {
    /// The first instant after the footage.
    #[default]
    Exclusive,
    /// The last second of the footage.
    InclusiveSecond,
}

/// A [`Reason`] by its name.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct ReasonName(pub Reason);

impl TryFrom<String> for ReasonName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Reason::from_name(&text).map(Self).ok_or_else(|| {
            let names = Reason::ALL.map(Reason::name).join(", ");
            format!("no reason {text:?}; use one of {names}")
        })
    }
}

/// `[events."CODE"]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventMapping {
    /// ONVIF topic.
    pub topic: TopicPath,
    /// Whether it is a property (has a state until it changes); where not given, whether an item
    /// tells a state.
    pub property: Option<bool>,
    /// Name of the source item that holds the channel's token; empty for none.
    #[serde(default = "source_item")]
    pub source: String,
    /// A data item.
    pub item: Option<ItemMapping>,
    /// More data items.
    #[serde(default)]
    pub items: Vec<ItemMapping>,
}

fn source_item() -> String {
    "Source".to_owned()
}

/// One data item of an event.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemMapping {
    /// Its ONVIF name.
    pub name: String,
    /// The recorder's field that it is taken from.
    pub from: Option<String>,
    /// The item is a state: `true` where the field has this value.
    pub active: Option<String>,
    /// The item always has this value.
    pub value: Option<String>,
}

/// A concrete topic.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct TopicPath(pub Topic);

impl TryFrom<String> for TopicPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        };
        let path = text.strip_prefix("tns1:");
        if path.is_some_and(|p| p.split('/').all(name)) {
            return Ok(Self(Topic::new(text)));
        }
        Err(format!("not a topic: {text:?}; write for instance \"tns1:VideoSource/MotionAlarm\""))
    }
}

/// `[errors]`: what a recorder's error code means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorMapping {
    /// What went wrong.
    pub kind: KindName,
    /// Whether asking again can help; where not given, what is usual for the kind.
    pub retry: Option<RetryName>,
}

/// An [`ErrorKind`] in lower case with hyphens.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct KindName(pub ErrorKind);

impl TryFrom<String> for KindName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        KINDS.iter().find(|(name, _)| *name == text).map(|(_, kind)| Self(*kind)).ok_or_else(|| {
            let names = KINDS.map(|(name, _)| name).join(", ");
            format!("no error kind {text:?}; use one of {names}")
        })
    }
}

/// What a recorder can be guilty of; `internal` and the like are not a recorder's to say.
const KINDS: [(&str, ErrorKind); 12] = [
    ("invalid-argument", ErrorKind::InvalidArgument),
    ("not-found", ErrorKind::NotFound),
    ("unauthenticated", ErrorKind::Unauthenticated),
    ("permission-denied", ErrorKind::PermissionDenied),
    ("unsupported", ErrorKind::Unsupported),
    ("busy", ErrorKind::Busy),
    ("rate-limited", ErrorKind::RateLimited),
    ("unreachable", ErrorKind::Unreachable),
    ("timeout", ErrorKind::Timeout),
    ("malformed", ErrorKind::Malformed),
    ("damaged", ErrorKind::Damaged),
    ("limit-exceeded", ErrorKind::LimitExceeded),
];

/// `never`, or after how many seconds: `5s`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct RetryName(pub Retry);

impl TryFrom<String> for RetryName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self(Retry::Never));
        }
        let seconds = text.strip_suffix('s').and_then(|n| n.parse::<u32>().ok());
        seconds
            .map(|s| Self(Retry::Later(Duration::from_secs(s.into()))))
            .ok_or_else(|| format!("retry = {text:?}; write \"never\" or seconds such as \"5s\""))
    }
}

/// `[limits]`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Playback sessions that the recorder has in all.
    pub playback_sessions: Option<usize>,
    /// Control requests per second.
    pub requests_per_second: Option<f64>,
    /// Control requests at the same time.
    pub parallel_requests: Option<usize>,
    /// Refused log-ins before it locks us out.
    pub logins_before_lockout: Option<usize>,
}
