//! Recording events as notification messages (R6.2.2, R6.3.6, R6.10-3).

use std::collections::BTreeMap;

use dvrgate_model::{Items, RecordingEvent, Topic, Utc};
use dvrgate_soap::{Element, Simple as _, ns};

/// Dialect of the topics in results.
const CONCRETE_SET: &str = "http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet";

/// tt:FindEventResult. `virtual_at` is the instant of a start-state event: it takes the place of
/// the time at which the state began.
pub fn result(event: &RecordingEvent, virtual_at: Option<Utc>) -> Element {
    let time = virtual_at.unwrap_or(event.at.utc);
    let track = event.track.as_ref().map_or("", |t| t.as_str());
    Element::new(ns::TT, "Result").with_all([
        Element::new(ns::TT, "RecordingToken").with_text(event.recording.as_str()),
        Element::new(ns::TT, "TrackToken").with_text(track),
        Element::new(ns::TT, "Time").with_text(time.format()),
        notification(event, time, virtual_at.is_some()),
        Element::new(ns::TT, "StartStateEvent").with_text(virtual_at.is_some().format()),
    ])
}

/// tt:MetadataStream: the document of an instant.
pub fn stream(events: &[RecordingEvent]) -> Element {
    let messages = events
        .iter()
        .map(|e| notification(e, e.at.utc, false).renamed(ns::WSNT, "NotificationMessage"));
    let event = Element::new(ns::TT, "Event").with_all(messages);
    Element::new(ns::TT, "MetadataStream").with(event)
}

fn notification(event: &RecordingEvent, time: Utc, initial: bool) -> Element {
    let topic = Element::new(ns::WSNT, "Topic")
        .with_attribute("Dialect", CONCRETE_SET)
        .with_text(event.topic.as_str());
    Element::new(ns::TT, "Event")
        .with(declare_prefixes(topic, &event.topic))
        .with(Element::new(ns::WSNT, "Message").with(message(event, time, initial)))
}

/// tt:Message.
pub fn message(event: &RecordingEvent, time: Utc, initial: bool) -> Element {
    let mut element = Element::new(ns::TT, "Message").with_attribute("UtcTime", time.format());
    if event.property {
        let operation = if initial { "Initialized" } else { "Changed" };
        element = element.with_attribute("PropertyOperation", operation);
    }
    element.with(items("Source", &event.items, true)).with(items("Data", &event.items, false))
}

fn items(name: &'static str, items: &Items, source: bool) -> Element {
    let list = if source { &items.source } else { &items.data };
    Element::new(ns::TT, name).with_all(list.iter().map(|item| {
        Element::new(ns::TT, "SimpleItem")
            .with_attribute("Name", item.name.clone())
            .with_attribute("Value", item.value.clone())
    }))
}

/// Prefixes inside a topic are namespaces and must be declared, those of vendors too.
fn declare_prefixes(element: Element, topic: &Topic) -> Element {
    let prefixes: BTreeMap<&str, String> = topic.namespaces().collect();
    prefixes.into_iter().fold(element, |element, (prefix, uri)| element.declaring(prefix, uri))
}
