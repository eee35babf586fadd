//! tt:RecordingConfiguration and tt:TrackConfiguration (R5.3.1, R5.3.2).

use std::time::Duration;

use dvrgate_model::{Recording, Track};
use dvrgate_soap::{Element, Simple as _, ns, tt};

/// Content of tt:RecordingConfiguration. A retention of zero means that the recorder keeps footage
/// until it needs the space.
pub fn recording(r: &Recording, name: Element) -> Element {
    name.with(tt::source(&r.source))
        .with(Element::new(ns::TT, "Content").with_text(r.content.clone()))
        .with(
            Element::new(ns::TT, "MaximumRetentionTime")
                .with_text(r.retention.unwrap_or(Duration::ZERO).format()),
        )
}

/// Content of tt:TrackConfiguration.
pub fn track(t: &Track, name: Element) -> Element {
    name.with(Element::new(ns::TT, "TrackType").with_text(tt::track_type(t.kind)))
        .with(Element::new(ns::TT, "Description").with_text(t.description.clone()))
}
