//! Events of recordings (ONVIF Recording Search 5.18 to 5.20; Core 9).

use smallvec::SmallVec;

use crate::id::fnv64;
use crate::{RecordingToken, SourceTime, Stamp, TrackToken};

/// An ONVIF topic as a concrete path with the prefix `tns1:`, for instance
/// `tns1:VideoSource/MotionAlarm`. Vendor topics use a prefix of their own inside the path.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Topic(std::sync::Arc<str>);

impl Topic {
    /// Takes the path as it is.
    pub fn new(path: impl AsRef<str>) -> Self {
        Self(std::sync::Arc::from(path.as_ref()))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The prefixes inside the path and the namespaces they stand for, those of vendors too.
    pub fn namespaces(&self) -> impl Iterator<Item = (&str, String)> {
        let prefixes = self.0.split('/').filter_map(|step| Some(step.split_once(':')?.0));
        prefixes.map(|prefix| match prefix {
            "tns1" => (prefix, "http://www.onvif.org/ver10/topics".to_owned()),
            _ => (prefix, format!("urn:dvrgate:topics:{prefix}")),
        })
    }
}

impl std::fmt::Debug for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Topics that the gateway itself speaks of.
pub mod topics {
    /// Recording state; items `RecordingToken`; data `IsRecording` (Recording Search 5.19).
    pub const RECORDING_STATE: &str = "tns1:RecordingHistory/Recording/State";
    /// Track state; items `RecordingToken`, `Track`; data `IsDataPresent` (Recording Search 5.19).
    pub const TRACK_STATE: &str = "tns1:RecordingHistory/Track/State";
    /// Motion of a video source; item `Source`; data `State`.
    pub const MOTION_ALARM: &str = "tns1:VideoSource/MotionAlarm";
    /// Lost signal of a video source; item `Source`; data `State`.
    pub const SIGNAL_LOSS: &str = "tns1:VideoSource/SignalLoss";
}

/// tt:SimpleItem.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Item {
    /// Name, for instance `State`.
    pub name: String,
    /// Value as text, for instance `true`.
    pub value: String,
}

/// The items of an event, apart as the message is.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Items {
    /// tt:Source: what identifies the property.
    pub source: SmallVec<[Item; 2]>,
    /// tt:Data: what changed.
    pub data: SmallVec<[Item; 2]>,
}

impl Items {
    /// Both lists from pairs.
    pub fn new<'a>(
        source: impl IntoIterator<Item = (&'a str, &'a str)>,
        data: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let item = |(n, v): (&str, &str)| Item { name: n.to_owned(), value: v.to_owned() };
        Self {
            source: source.into_iter().map(item).collect(),
            data: data.into_iter().map(item).collect(),
        }
    }

    /// `name=value` joined by `;` with `\` before `\`, `;` and `=`: how the index stores a list.
    pub fn encode(list: &[Item]) -> String {
        let mut out = String::new();
        let escape = |text: &str, out: &mut String| {
            for c in text.chars() {
                if matches!(c, '\\' | ';' | '=') {
                    out.push('\\');
                }
                out.push(c);
            }
        };
        for (i, item) in list.iter().enumerate() {
            if i > 0 {
                out.push(';');
            }
            escape(&item.name, &mut out);
            out.push('=');
            escape(&item.value, &mut out);
        }
        out
    }

    /// The reverse of [`Items::encode`]; what it cannot read it leaves out.
    pub fn decode(text: &str) -> SmallVec<[Item; 2]> {
        let mut list = SmallVec::new();
        let (mut name, mut current, mut escaped) = (None, String::new(), false);
        for c in text.chars() {
            match c {
                _ if escaped => {
                    current.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '=' if name.is_none() => name = Some(std::mem::take(&mut current)),
                ';' => {
                    let value = std::mem::take(&mut current);
                    list.extend(name.take().map(|name| Item { name, value }));
                }
                _ => current.push(c),
            }
        }
        list.extend(name.map(|name| Item { name, value: current }));
        list
    }
}

/// Where an event was learnt.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum EventOrigin {
    /// Pushed by the recorder while it happened.
    Live,
    /// Out of the recorder's log.
    Log,
    /// Computed by the gateway, for instance from the edges of spans.
    Derived,
}

impl EventOrigin {
    /// Lower-case name, as the index writes it.
    pub fn name(self) -> &'static str {
        match self {
            EventOrigin::Live => "live",
            EventOrigin::Log => "log",
            EventOrigin::Derived => "derived",
        }
    }

    /// The reverse of [`EventOrigin::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        [EventOrigin::Live, EventOrigin::Log, EventOrigin::Derived]
            .into_iter()
            .find(|o| o.name() == name)
    }
}

/// Stable name of an event: the same event learnt twice has the same id.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EventId(pub u64);

/// Something that happened on a recording.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordingEvent {
    /// See [`RecordingEvent::derive_id`].
    pub id: EventId,
    /// On which recording.
    pub recording: RecordingToken,
    /// On which track, where it concerns one.
    pub track: Option<TrackToken>,
    /// When.
    pub at: Stamp,
    /// When, in the recorder's own words.
    pub source: Option<SourceTime>,
    /// What.
    pub topic: Topic,
    /// The items.
    pub items: Items,
    /// Whether it is a property (has a state until it changes).
    pub property: bool,
    /// Where it was learnt.
    pub origin: EventOrigin,
}

impl RecordingEvent {
    /// The id of an event with these contents. `when` is the source time's text, or for derived
    /// events the UTC microseconds as text.
    pub fn derive_id(
        recording: &RecordingToken,
        topic: &Topic,
        items: &Items,
        when: &str,
    ) -> EventId {
        let (source, data) = (Items::encode(&items.source), Items::encode(&items.data));
        EventId(fnv64(&[
            recording.as_str().as_bytes(),
            topic.as_str().as_bytes(),
            source.as_bytes(),
            data.as_bytes(),
            when.as_bytes(),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_survive_their_text_form() {
        let items = Items::new([("Source", "a=b;c\\d"), ("Rule", "")], [("State", "true")]);
        let text = Items::encode(&items.source);
        assert_eq!(text, "Source=a\\=b\\;c\\\\d;Rule=");
        assert_eq!(Items::decode(&text), items.source);
        assert_eq!(Items::decode(""), SmallVec::<[Item; 2]>::new());
    }
}
