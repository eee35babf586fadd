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
    use RecordingStatus::*;
    let status = match (recording.status, data) {
        // R6.3.1-3: only what has recorded can have stopped.
        (Initiated, _) | (Unknown | Stopped, None) => "Initiated",
        (Recording, _) => "Recording",
        (Removing, _) => "Removing",
        (Removed, _) => "Removed",
        (Unknown | Stopped, Some(_)) => "Stopped",
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

#[cfg(test)]
mod tests {
    use dvrgate_index::sample::{at, recording};
    use dvrgate_model::{RecordingStatus::*, UtcRange};

    use super::*;

    /// R6.3.1-3, R6.3.1-4, R6.3.1-5, R6.3.1-6
    #[test]
    fn the_status_says_whether_it_ever_recorded() {
        for (status, data, said) in [
            (Unknown, false, "Initiated"),
            (Stopped, false, "Initiated"),
            (Initiated, false, "Initiated"),
            (Unknown, true, "Stopped"),
            (Stopped, true, "Stopped"),
            (Recording, true, "Recording"),
            (Removing, true, "Removing"),
            (Removed, false, "Removed"),
        ] {
            let mut r = recording(1);
            r.status = status;
            r.tracks[0].data = data.then(|| UtcRange::clamped(at(0), at(1)));
            let info = information(&r, Element::new(ns::TSE, "RecordingInformation"));
            assert_eq!(info.child_text(ns::TT, "RecordingStatus").unwrap(), said, "{status:?}");
        }
    }
}
