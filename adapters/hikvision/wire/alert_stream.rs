//! `Event/notification/alertStream`: what is asked, and what one alert says. How alerts are found in
//! the answer is in [`super::splitter`].

use dvrgate_adapter::transport::HttpRequest;

use super::splitter::Part;
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
    use super::super::splitter::Splitter;
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
