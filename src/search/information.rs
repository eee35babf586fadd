//! tt:RecordingInformation of a recording (R6.3.1 to R6.3.3).

use dvrgate_model::{Recording, RecordingStatus, Track};
use dvrgate_soap::{Element, Simple as _, ns, tt};

/// The structure that FindRecordings and GetRecordingInformation return, as an element of `name`.
/// Only tracks that hold data are listed (R6.3.3-1).
pub fn information(recording: &Recording, name: Element) -> Element {
    let data = recording.data();
    let mut element = name
        .with(Element::new(ns::TT, "RecordingToken").with_text(recording.token.as_str()))
        .with(tt::source(&recording.source));
    if let Some(data) = data {
        element = element
            .with(Element::new(ns::TT, "EarliestRecording").with_text(data.start().format()))
            .with(Element::new(ns::TT, "LatestRecording").with_text(data.end().format()));
    }
    element = element.with(Element::new(ns::TT, "Content").with_text(recording.content.clone()));
    element = element.with_all(
        recording
            .tracks
            .iter()
            .filter(|&t| t.data.is_some())
            .map(|t| track(t, Element::new(ns::TT, "Track"))),
    );
    let status = match (recording.status, data) {
        (RecordingStatus::Initiated, _) | (RecordingStatus::Unknown, None) => "Initiated",
        (RecordingStatus::Recording, _) => "Recording",
        (RecordingStatus::Removing, _) => "Removing",
        (RecordingStatus::Removed, _) => "Removed",
        (RecordingStatus::Stopped, _) | (RecordingStatus::Unknown, Some(_)) => "Stopped",
    };
    element.with(Element::new(ns::TT, "RecordingStatus").with_text(status))
}

/// tt:TrackInformation of a track that holds data.
pub fn track(track: &Track, name: Element) -> Element {
    let mut element = name
        .with(Element::new(ns::TT, "TrackToken").with_text(track.token.as_str()))
        .with(Element::new(ns::TT, "TrackType").with_text(tt::track_type(track.kind)))
        .with(Element::new(ns::TT, "Description").with_text(track.description.clone()));
    if let Some(data) = track.data {
        element = element
            .with(Element::new(ns::TT, "DataFrom").with_text(data.start().format()))
            .with(Element::new(ns::TT, "DataTo").with_text(data.end().format()));
    }
    element
}
