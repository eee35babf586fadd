//! ONVIF metadata documents: events of a recording as tt:MetadataStream (ONVIF Streaming 5.1.2.1.1).
//!
//! One document for one instant. What is written is UTF-8 XML that declares every prefix it uses, so
//! each document stands on its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use dvrgate_model::{Item, RecordingEvent, Utc};

/// Why events are told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    /// They happened then.
    Happened,
    /// They are states that properties have then, whenever they took them.
    State,
}

/// The document of one instant.
pub fn document(events: &[RecordingEvent], at: Utc, told: Told) -> Bytes {
    let mut out = String::from(HEAD);
    let prefixes: BTreeMap<_, _> = events.iter().flat_map(|e| e.topic.namespaces()).collect();
    for (prefix, uri) in prefixes {
        attribute(&mut out, &format!("xmlns:{prefix}"), &uri);
    }
    out.push_str("><tt:Event>");
    events.iter().for_each(|e| notification(&mut out, e, at, told));
    out.push_str("</tt:Event></tt:MetadataStream>");
    out.into()
}

const HEAD: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8"?><tt:MetadataStream"#,
    r#" xmlns:tt="http://www.onvif.org/ver10/schema""#,
    r#" xmlns:wsnt="http://docs.oasis-open.org/wsn/b-2""#,
);

fn notification(out: &mut String, event: &RecordingEvent, at: Utc, told: Told) {
    out.push_str(r#"<wsnt:NotificationMessage><wsnt:Topic Dialect="#);
    out.push_str(r#""http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet">"#);
    escape(out, event.topic.as_str());
    // Writing to a String cannot fail.
    let _ = write!(out, r#"</wsnt:Topic><wsnt:Message><tt:Message UtcTime="{at}""#);
    if event.property {
        let operation = match told {
            Told::Happened => "Changed",
            Told::State => "Initialized",
        };
        attribute(out, "PropertyOperation", operation);
    }
    out.push('>');
    items(out, "Source", &event.items.source);
    items(out, "Data", &event.items.data);
    out.push_str("</tt:Message></wsnt:Message></wsnt:NotificationMessage>");
}

fn items(out: &mut String, name: &str, list: &[Item]) {
    let _ = write!(out, "<tt:{name}>");
    for item in list {
        out.push_str("<tt:SimpleItem");
        attribute(out, "Name", &item.name);
        attribute(out, "Value", &item.value);
        out.push_str("/>");
    }
    let _ = write!(out, "</tt:{name}>");
}

fn attribute(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, r#" {name}=""#);
    escape(out, value);
    out.push('"');
}

/// What XML 1.0 cannot hold is left out: recorders put control characters into their logs.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => {}
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use dvrgate_model::{EventId, EventOrigin, Items, Stamp, Topic};

    use super::*;

    fn event(topic: &str, property: bool, value: &str) -> RecordingEvent {
        RecordingEvent {
            id: EventId(1),
            recording: "yard-1".into(),
            track: None,
            at: Stamp::default(),
            source: None,
            topic: Topic::new(topic),
            items: Items::new([("Source", "yard-1")], [("State", value)]),
            property,
            origin: EventOrigin::Log,
        }
    }

    #[test]
    fn a_document_stands_on_its_own() {
        let at: Utc = "2026-11-25T03:11:30.25Z".parse().unwrap();
        let events = [
            event("tns1:VideoSource/MotionAlarm", true, "true"),
            event("tns1:A/x:B", false, "a<\"\u{1}&\n"),
        ];
        let text = document(&events, at, Told::Happened);
        let text = std::str::from_utf8(&text).unwrap();
        assert!(
            text.starts_with(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><tt:MetadataStream xmlns:tt="
            )
        );
        for part in [
            r#" xmlns:tns1="http://www.onvif.org/ver10/topics" xmlns:x="urn:dvrgate:topics:x"><tt:Event><wsnt:NotificationMessage>"#,
            r#"ConcreteSet">tns1:VideoSource/MotionAlarm</wsnt:Topic><wsnt:Message>"#,
            r#"<tt:Message UtcTime="2026-11-25T03:11:30.250000Z" PropertyOperation="Changed"><tt:Source>"#,
            r#"<tt:SimpleItem Name="Source" Value="yard-1"/></tt:Source><tt:Data>"#,
            r#"<tt:Message UtcTime="2026-11-25T03:11:30.250000Z"><tt:Source>"#,
            r#"Value="a&lt;&quot;&amp;&#10;"/></tt:Data></tt:Message></wsnt:Message>"#,
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let state = document(&events[..1], at, Told::State);
        let state = std::str::from_utf8(&state).unwrap();
        assert!(state.contains(r#"PropertyOperation="Initialized""#), "{state}");
        assert!(!state.contains("xmlns:x"));
    }
}
