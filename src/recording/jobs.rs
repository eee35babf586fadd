//! Recording jobs as the recorder runs them: one a recording, always there (R5.15, R5.17, R5.19).

use dvrgate_model::ports::Trouble;
use dvrgate_model::{Recording, RecordingStatus, Track, TrackKind};
use dvrgate_soap::{Element, ns};

/// What every job token begins with; the recording's token follows.
const PREFIX: &str = "job-";
/// Type of the source: a channel of the recorder, which clients know as a profile.
const PROFILE: &str = "http://www.onvif.org/ver10/schema/Profile";

/// Token of the job that fills a recording.
pub fn token(r: &Recording) -> String {
    format!("{PREFIX}{}", r.token)
}

/// Token of the recording that a job fills.
pub fn recording_of(job: &str) -> Option<&str> {
    job.strip_prefix(PREFIX)
}

/// Content of tt:RecordingJobConfiguration.
pub fn configuration(r: &Recording, name: Element) -> Element {
    let text = |local, text: &str| Element::new(ns::TT, local).with_text(text);
    let source = Element::new(ns::TT, "Source").with(source_token(r)).with_all(fed(r).map(|t| {
        Element::new(ns::TT, "Tracks")
            .with(text("SourceTag", dvrgate_soap::tt::track_type(t.kind)))
            .with(text("Destination", t.token.as_str()))
    }));
    name.with(text("RecordingToken", r.token.as_str()))
        .with(text("Mode", "Active"))
        .with(text("Priority", "1"))
        .with(source)
}

/// Content of tt:RecordingJobStateInformation: the same sources, tags and destinations as the
/// configuration (R5.19-9). A track without data is idle whatever the others do (R5.19-12); all are in error while
/// nobody can tell whether the recorder fills them (R5.19-7).
pub fn state(r: &Recording, trouble: Option<Trouble>, name: Element) -> Element {
    let text = |local, text: &str| Element::new(ns::TT, local).with_text(text);
    let states: Vec<State> = fed(r)
        .map(|t| match (trouble, r.status, t.data) {
            (Some(_), ..) => State::Error,
            (None, RecordingStatus::Recording, Some(_)) => State::Active,
            _ => State::Idle,
        })
        .collect();
    let all = State::of(&states).name();
    let tracks = Element::new(ns::TT, "Tracks").with_all(fed(r).zip(&states).map(|(t, s)| {
        Element::new(ns::TT, "Track")
            .with(text("SourceTag", dvrgate_soap::tt::track_type(t.kind)))
            .with(text("Destination", t.token.as_str()))
            .with_all(trouble.map(|t| text("Error", explain(t))))
            .with(text("State", s.name()))
    }));
    name.with(text("RecordingToken", r.token.as_str())).with(text("State", all)).with(
        Element::new(ns::TT, "Sources").with(source_token(r)).with(text("State", all)).with(tracks),
    )
}

/// Why a track is in error (R5.19-10).
fn explain(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Unreachable => "The recorder cannot be reached",
        Trouble::LoginRefused => "The recorder refuses the log-in",
        Trouble::NoSession => "The recorder has no free session",
    }
}

/// Tracks that something flows into (R5.19-12): of pictures that of the present encoding; metadata
/// only where an event was ever told.
fn fed(r: &Recording) -> impl Iterator<Item = &Track> {
    let end = |t: &Track| t.data.map(|d| d.end());
    let pictures = r.tracks.iter().filter(|t| t.kind == TrackKind::Video);
    // Of several that are empty the first.
    let newest = pictures.rev().max_by_key(|t| end(t)).map(|t| &t.token);
    r.tracks.iter().filter(move |t| match t.kind {
        TrackKind::Video => Some(&t.token) == newest,
        TrackKind::Audio => true,
        TrackKind::Metadata => t.data.is_some(),
    })
}

fn source_token(r: &Recording) -> Element {
    Element::new(ns::TT, "SourceToken")
        .with_attribute("Type", PROFILE)
        .with(Element::new(ns::TT, "Token").with_text(r.token.as_str()))
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Idle,
    Active,
    PartiallyActive,
    Error,
}

impl State {
    /// R5.19-4 to R5.19-7.
    fn of(below: &[State]) -> State {
        if below.contains(&State::Error) {
            return State::Error;
        }
        let active = below.iter().filter(|s| **s == State::Active).count();
        match active {
            0 => State::Idle,
            n if n == below.len() => State::Active,
            _ => State::PartiallyActive,
        }
    }

    fn name(self) -> &'static str {
        match self {
            State::Idle => "Idle",
            State::Active => "Active",
            State::PartiallyActive => "PartiallyActive",
            State::Error => "Error",
        }
    }
}

#[cfg(test)]
mod tests {
    use dvrgate_index::sample;
    use dvrgate_model::{Codec, UtcRange};

    use super::*;

    /// R5.19-4, R5.19-5, R5.19-6, R5.19-7
    #[test]
    fn the_whole_follows_its_parts() {
        use State::*;
        assert_eq!(State::of(&[]), Idle);
        assert_eq!(State::of(&[Idle, Idle]), Idle);
        assert_eq!(State::of(&[Active, Active]), Active);
        assert_eq!(State::of(&[Active, Idle]), PartiallyActive);
        assert_eq!(State::of(&[Active, Idle, Error]), Error);
    }

    /// R5.1-3, R5.19-12
    #[test]
    fn a_job_feeds_the_track_of_the_present_encoding() {
        let mut r = sample::recording(1);
        let of = |kind, codec| sample::track(&r.token, kind, codec);
        let (mut other, metadata) =
            (of(TrackKind::Video, Codec::H265), of(TrackKind::Metadata, Codec::Metadata));
        other.token = "other".into();
        r.tracks.extend([metadata, other]);
        let tokens =
            |r: &Recording| -> Vec<String> { fed(r).map(|t| t.token.to_string()).collect() };
        assert_eq!(tokens(&r), ["yard-1-video", "yard-1-audio"]);
        for (track, minutes) in r.tracks.iter_mut().zip([(0, 10), (0, 20), (5, 20), (10, 20)]) {
            track.data = Some(UtcRange::clamped(sample::at(minutes.0), sample::at(minutes.1)));
        }
        assert_eq!(tokens(&r), ["yard-1-audio", "yard-1-metadata", "other"]);
    }
}
