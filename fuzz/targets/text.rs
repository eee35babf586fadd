//! Short texts: search filters, mapping files, and the values of messages.

use std::collections::HashMap;
use std::time::Duration;

use dvrgate_adapter::Mapping;
use dvrgate_adapter::mapping::{Document, VersionReq, resolve};
use dvrgate_model::{Civil, Utc, Vendor, ZoneRule};
use dvrgate_search::TopicFilter;
use dvrgate_search::xpath::Filter;
use dvrgate_soap::{Element, Simple, ns, read_duration, write_duration};

/// A filter of recordings or events; and as a topic expression.
pub fn filter(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    if let Ok(filter) = Filter::parse(text) {
        filter.matches(&recording());
    }
    let prefixes =
        HashMap::from([("t".to_owned(), "http://www.onvif.org/ver10/topics".to_owned())]);
    if let Some(topics) = TopicFilter::parse(text, &prefixes) {
        let listed = topics.exact();
        for topic in listed.iter().flatten() {
            assert!(topics.matches(topic), "{topic} is in its own set");
        }
    }
}

fn recording() -> Element {
    let track = |kind| Element::new(ns::TT, "Track").with_value("TrackType", kind);
    let item = Element::new(ns::TT, "SimpleItem")
        .with_attribute("Name", "State")
        .with_attribute("Value", "0.75");
    Element::new(ns::TT, "RecordingInformation")
        .with_value("RecordingToken", "yard-1")
        .with(Element::new(ns::TT, "Source").with_value("Location", "Basement"))
        .with_all([track("Video"), track("Audio"), item])
}

/// A mapping of the operator's: by itself, and over the one that is built in.
pub fn mapping(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    let _ = Mapping::parse("local.toml", text).map(|m| m.explain().len());
    let documents = [Document::builtin("acme.toml", BUILT_IN), Document::local("x.toml", text)];
    let _ = resolve(&Vendor::from("acme"), &documents, None);
}

/// Something of every section, for an overlay to replace.
const BUILT_IN: &str = r#"
schema = 1
vendor = "acme"
[time]
zone = "claimed"
[segments.reason]
timing = "continuous"
[events.motion]
topic = "tns1:VideoSource/MotionAlarm"
[limits]
playback_sessions = 2
"#;

/// Times, durations, zones, versions.
pub fn values(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    if let Some(duration) = read_duration(text) {
        let again = read_duration(&write_duration(duration));
        assert_eq!(again, Some(duration), "{text}");
    }
    if let Some(t) = <Utc as Simple>::parse(text) {
        assert_eq!(<Utc as Simple>::parse(&t.format()), Some(t), "{text}");
        assert_eq!(t.to_string().parse::<Utc>().ok(), Some(t), "{text}");
    }
    let _ = (<Duration as Simple>::parse(text), <bool as Simple>::parse(text));
    if let Some((civil, rest)) = Civil::parse_prefix(text) {
        assert!(text.ends_with(rest));
        let again = Civil::parse_prefix(&civil.to_string()).map(|(c, _)| c);
        assert_eq!(again, Some(civil), "{text}");
        if let Ok(zone) = ZoneRule::parse(rest) {
            let _ = zone.civil(Utc::from_micros(civil.micros_as_if_utc()));
        }
    }
    if let Ok(zone) = ZoneRule::parse(text) {
        for t in [Utc::MIN, Utc::from_secs(1_700_000_000), Utc::MAX] {
            let _ = (zone.offset_secs(t), zone.civil(t));
        }
    }
    if let Ok(version) = VersionReq::parse(text) {
        let _ = (version.matches("V3.4.100 build 210818"), version.matches(text));
    }
}
