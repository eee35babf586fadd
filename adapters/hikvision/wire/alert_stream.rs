//! `Event/notification/alertStream`: a multipart answer that never ends.
//!
//! Boundaries do not match their header, part lengths are wrong, lines end in bare LF. So parts are
//! found by what they are: from `<EventNotificationAlert` to its end tag, or a JSON object behind
//! an `application/json` header. Pictures in between are passed over.

use dvrgate_adapter::transport::HttpRequest;
use memchr::memmem;

use super::xml::Element;
use super::{Generation, WireError, get};

/// Paths under which the stream is offered, in the order in which they are tried.
pub(crate) fn requests(g: Generation) -> Vec<HttpRequest> {
    let stream = "/Event/notification/alertStream";
    match g {
        Generation::Psia => vec![
            get(g.path_or(stream, &format!("/Custom/SelfExt{stream}"))),
            get(stream.to_owned()),
        ],
        Generation::Isapi | Generation::Unprefixed => vec![get(g.path(stream))],
    }
}

/// Longest alert; with regions and targets they reach some kilobytes.
const MAX_ALERT_BYTES: usize = 256 * 1024;
/// How much before a JSON object is looked at for its header.
const JSON_MARK: &[u8] = b"application/json";
const OPEN: &[u8] = b"<EventNotificationAlert";
const CLOSE: &[u8] = b"</EventNotificationAlert>";
/// The longest of the marks, less one: what may be cut at the end of the buffer.
const MAX_CUT_MARK: usize = CLOSE.len() - 1;

/// One part: the bytes of an alert.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// An XML document.
    Xml(Vec<u8>),
    /// A JSON object.
    Json(Vec<u8>),
}

/// Finds alerts in a stream of bytes.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    buffer: Vec<u8>,
}

impl Splitter {
    /// Takes the next bytes and gives the alerts that are complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Part> {
        let mut parts = Vec::new();
        // Large chunks (pictures) are taken in pieces, so that the buffer stays bounded.
        for chunk in bytes.chunks(MAX_ALERT_BYTES) {
            self.buffer.extend_from_slice(chunk);
            while let Some(part) = self.take() {
                parts.push(part);
            }
        }
        parts
    }

    fn take(&mut self) -> Option<Part> {
        loop {
            let xml = memmem::find(&self.buffer, OPEN);
            let json = memmem::find(&self.buffer, JSON_MARK);
            match (xml, json) {
                (None, None) => {
                    let keep = self.buffer.len().min(MAX_CUT_MARK);
                    self.buffer.drain(..self.buffer.len() - keep);
                    return None;
                }
                (Some(x), j) if j.is_none_or(|j| x < j) => {
                    self.buffer.drain(..x);
                    // A second start before an end: the first one was cut off.
                    let end = memmem::find(&self.buffer, CLOSE);
                    let again = memmem::find(&self.buffer[OPEN.len()..], OPEN);
                    match (end, again) {
                        (Some(end), again) if again.is_none_or(|a| end < a + OPEN.len()) => {
                            let end = end + CLOSE.len();
                            return Some(Part::Xml(self.buffer.drain(..end).collect()));
                        }
                        (_, Some(a)) => drop(self.buffer.drain(..a + OPEN.len())),
                        _ if self.buffer.len() > MAX_ALERT_BYTES => {
                            self.buffer.drain(..OPEN.len());
                        }
                        _ => return None,
                    }
                }
                (_, Some(j)) => {
                    self.buffer.drain(..j);
                    match json_end(&self.buffer) {
                        Scan::Complete(start, end) => {
                            let object = self.buffer[start..end].to_vec();
                            self.buffer.drain(..end);
                            return Some(Part::Json(object));
                        }
                        Scan::Incomplete if self.buffer.len() <= MAX_ALERT_BYTES => return None,
                        _ => drop(self.buffer.drain(..JSON_MARK.len())),
                    }
                }
                // The first arm's guard leaves only this case of (Some, None), which it took.
                (Some(_), None) => return None,
            }
        }
    }
}

enum Scan {
    Complete(usize, usize),
    Incomplete,
    Nothing,
}

/// From the first brace behind the header to the one that closes it.
fn json_end(bytes: &[u8]) -> Scan {
    let Some(start) = memchr::memchr(b'{', bytes) else { return Scan::Incomplete };
    if memmem::find(&bytes[..start], OPEN).is_some() {
        return Scan::Nothing;
    }
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (i, b) in bytes[start..].iter().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return Scan::Complete(start, start + i + 1);
                }
            }
            _ => {}
        }
    }
    Scan::Incomplete
}

/// `EventNotificationAlert`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Alert {
    /// `channelID`, where it is a number above 0.
    pub(crate) channel: Option<u32>,
    /// `dynChannelID`: of a network camera.
    pub(crate) dynamic_channel: Option<u32>,
    /// `inputIOPortID` or `dynInputIOPortID`.
    pub(crate) input: Option<String>,
    /// `dateTime` as written.
    pub(crate) time: String,
    /// `activePostCount`: 0 in heartbeats.
    pub(crate) post_count: Option<u32>,
    /// `eventType` as written; case varies.
    pub(crate) event: String,
    /// `eventState` is `active`.
    pub(crate) active: Option<bool>,
    /// `regionID` of the first region.
    pub(crate) region: Option<String>,
    /// `detectionTarget` or `targetType`: human, vehicle, others.
    pub(crate) target: Option<String>,
    /// `diskNo`.
    pub(crate) disk: Option<String>,
    /// `isDataRetransmission`: kept from before the connection was made.
    pub(crate) resent: bool,
}

impl Alert {
    /// Sent only to show that the device lives: `videoloss` that is inactive with a post count of
    /// 0 or without a channel, or `heartBeat`.
    pub(crate) fn is_heartbeat(&self) -> bool {
        self.event.eq_ignore_ascii_case("heartbeat")
            || (self.event.eq_ignore_ascii_case("videoloss")
                && self.active != Some(true)
                && (self.post_count.unwrap_or(0) == 0
                    || (self.channel.is_none() && self.dynamic_channel.is_none())))
    }
}

/// Reads a part.
pub(crate) fn parse_part(part: &Part) -> Result<Alert, WireError> {
    match part {
        Part::Xml(bytes) => Element::parse(bytes).and_then(|e| parse(&e)),
        Part::Json(bytes) => parse_json(bytes),
    }
}

/// Reads an XML alert.
pub(crate) fn parse(document: &Element) -> Result<Alert, WireError> {
    let wanted = "EventNotificationAlert";
    if !document.is(wanted) {
        return Err(WireError::Root { found: document.name.clone(), wanted });
    }
    let d = document;
    let positive = |name| d.number_at(&[name]).filter(|n: &u32| *n > 0);
    let event = d.text_at(&["eventType"]).ok_or(WireError::Missing("eventType"))?;
    // The real event is inside a wrapper that only tells how long it lasted.
    let event = match event.eq_ignore_ascii_case("duration") {
        true => d.find("relationEvent").map_or(event, |e| e.text.as_str()),
        false => event,
    };
    let found = |names: &[&str]| {
        names.iter().find_map(|n| d.find(n)).map(|e| e.text.clone()).filter(|t| !t.is_empty())
    };
    Ok(Alert {
        channel: positive("channelID"),
        dynamic_channel: positive("dynChannelID"),
        input: d.any_of(&["inputIOPortID", "dynInputIOPortID"]).map(str::to_owned),
        time: d.string_at(&["dateTime"]),
        post_count: d.number_at(&["activePostCount"]),
        event: event.to_owned(),
        active: state(d.text_at(&["eventState"]).unwrap_or_default()),
        region: found(&["regionID"]),
        target: found(&["detectionTarget", "targetType"]),
        disk: found(&["diskNo"]),
        resent: d.flag_at(&["isDataRetransmission"]) == Some(true),
    })
}

fn state(word: &str) -> Option<bool> {
    match word {
        w if w.eq_ignore_ascii_case("active") => Some(true),
        w if w.eq_ignore_ascii_case("inactive") => Some(false),
        _ => None,
    }
}

/// Reads a JSON alert: the same keys at top level, possibly inside `EventNotificationAlert`.
fn parse_json(bytes: &[u8]) -> Result<Alert, WireError> {
    let value: serde_json::Value = serde_json::from_slice(bytes)
        .map_err(|e| WireError::Syntax { at: e.column() as u64, why: e.to_string() })?;
    let d = value.get("EventNotificationAlert").unwrap_or(&value);
    let text = |name: &str| match d.get(name) {
        Some(serde_json::Value::String(s)) => Some(s.clone()),
        Some(serde_json::Value::Number(n)) => Some(n.to_string()),
        Some(serde_json::Value::Bool(b)) => Some(b.to_string()),
        _ => None,
    };
    let number = |name: &str| text(name)?.parse().ok();
    Ok(Alert {
        channel: number("channelID").filter(|n| *n > 0),
        dynamic_channel: number("dynChannelID").filter(|n| *n > 0),
        input: text("inputIOPortID").or_else(|| text("dynInputIOPortID")),
        time: text("dateTime").unwrap_or_default(),
        post_count: number("activePostCount"),
        event: text("eventType")
            .filter(|t| !t.is_empty())
            .ok_or(WireError::Missing("eventType"))?,
        active: state(&text("eventState").unwrap_or_default()),
        region: text("regionID"),
        target: text("detectionTarget").or_else(|| text("targetType")),
        disk: text("diskNo"),
        resent: text("isDataRetransmission").as_deref() == Some("true"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const STREAM: &[u8] = include_bytes!("../fixtures/alert_stream.txt");

    fn alerts(pieces: usize) -> Vec<Alert> {
        let mut splitter = Splitter::default();
        STREAM
            .chunks(pieces)
            .flat_map(|c| splitter.push(c))
            .map(|p| parse_part(&p).unwrap())
            .collect()
    }

    #[test]
    fn parts_are_found_whatever_the_framing() {
        let whole = alerts(STREAM.len());
        let seen: Vec<_> = whole
            .iter()
            .map(|a| (a.event.as_str(), a.channel, a.active, a.is_heartbeat()))
            .collect();
        assert_eq!(
            seen,
            [
                ("videoloss", None, Some(false), true),
                ("VMD", Some(1), Some(true), false),
                ("videoloss", Some(2), Some(true), false),
                ("fielddetection", Some(34), Some(true), false),
                ("linedetection", Some(3), Some(true), false),
                ("IO", None, Some(true), false),
                ("heartBeat", None, Some(true), true),
            ]
        );
        assert_eq!(whole[3].region.as_deref(), Some("2"));
        assert_eq!(whole[3].target.as_deref(), Some("human"));
        assert_eq!(whole[5].input.as_deref(), Some("1"));
        for pieces in [1, 2, 3, 7, 64, 1000] {
            assert_eq!(alerts(pieces), whole, "in pieces of {pieces}");
        }
    }

    #[test]
    fn an_alert_that_was_cut_off_is_passed_over() {
        let mut s = Splitter::default();
        let bytes = b"<EventNotificationAlert><a>--b\n<EventNotificationAlert><eventType>VMD</eventType></EventNotificationAlert>";
        assert_eq!(s.push(bytes).len(), 1);
        assert!(s.buffer.is_empty());
    }

    #[test]
    fn the_buffer_is_bounded() {
        let mut s = Splitter::default();
        for _ in 0..40 {
            s.push(&[0xff; 100_000]);
            assert!(s.buffer.len() <= MAX_CUT_MARK);
        }
        s.push(OPEN);
        for _ in 0..40 {
            s.push(&[b'x'; 100_000]);
            assert!(s.buffer.len() <= 2 * MAX_ALERT_BYTES);
        }
        s.push(b"Content-Type: application/json\n\n{");
        for _ in 0..40 {
            s.push(&[b'{'; 100_000]);
            assert!(s.buffer.len() <= 2 * MAX_ALERT_BYTES);
        }
    }

    #[test]
    fn truncations() {
        let alert = b"<EventNotificationAlert><eventType>VMD</eventType><channelID>1</channelID></EventNotificationAlert>";
        testing::sweep(alert, parse);
        let json = br#"{"eventType":"VMD","channelID":1,"eventState":"active"}"#;
        assert!(parse_json(json).is_ok());
        for n in 0..json.len() {
            assert!(parse_json(&json[..n]).is_err());
        }
        for n in 0..STREAM.len() {
            for part in Splitter::default().push(&STREAM[..n]) {
                let _ = parse_part(&part);
            }
        }
    }
}
