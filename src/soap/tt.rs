//! Structures of the common schema that several services return, made from the storage model.

use dvrgate_model::{SourceInformation, TrackKind};

use crate::{Element, ns};

/// Longest tt:Name.
const MAX_NAME_CHARS: usize = 64;

/// tt:RecordingSourceInformation as an element named `Source`; every child is there, empty where
/// nothing is known (R6.3.2-1).
pub fn source(source: &SourceInformation) -> Element {
    let name: String = source.name.chars().take(MAX_NAME_CHARS).collect();
    let text = |local, text: &str| Element::new(ns::TT, local).with_text(text);
    Element::new(ns::TT, "Source").with_all([
        text("SourceId", &source.source_id),
        text("Name", &name),
        text("Location", &source.location),
        text("Description", &source.description),
        text("Address", &source.address),
    ])
}

/// tt:TrackType.
pub fn track_type(kind: TrackKind) -> &'static str {
    match kind {
        TrackKind::Video => "Video",
        TrackKind::Audio => "Audio",
        TrackKind::Metadata => "Metadata",
    }
}
