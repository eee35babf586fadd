//! `ContentMgmt/record/tracks`: what is recorded, by which schedule, for how long.
//!
//! `Track/Enable` reads false on tracks that record all day: the switch that counts is
//! `enableSchedule` in the extension. `SrcType` stands twice with two meanings and is not read.

use dvrgate_adapter::transport::HttpRequest;

use super::xml::Element;
use super::{Generation, WireError, get};

/// Asks for all tracks: 145 kB on 16 channels, so once.
pub(crate) fn request(g: Generation) -> HttpRequest {
    get(g.path("/ContentMgmt/record/tracks"))
}

/// `Track`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Track {
    /// `id`: channel · 100 + 1 main, 2 sub, 3 pictures.
    pub(crate) id: u32,
    /// `enableSchedule`.
    pub(crate) scheduled: Option<bool>,
    /// `DefaultRecordingMode`: `CMR` is continuous.
    pub(crate) mode: String,
    /// `SaveAudio`.
    pub(crate) saves_audio: Option<bool>,
    /// `Duration`: an expiry, not the amount of footage; 0 days is until overwritten.
    pub(crate) expiry_days: Option<u32>,
}

/// `TrackList`.
pub(crate) fn parse(document: &Element) -> Result<Vec<Track>, WireError> {
    let wanted = "TrackList";
    if !document.is(wanted) {
        return Err(WireError::Root { found: document.name.clone(), wanted });
    }
    Ok(document.all("Track").filter_map(track).collect())
}

fn track(t: &Element) -> Option<Track> {
    let extension = |name| {
        t.child("CustomExtensionList")?.all("CustomExtension").find_map(|e| e.flag_at(&[name]))
    };
    Some(Track {
        id: t.number_at(&["id"])?,
        scheduled: extension("enableSchedule"),
        mode: t.string_at(&["DefaultRecordingMode"]),
        saves_audio: extension("SaveAudio"),
        expiry_days: t.text_at(&["Duration"]).and_then(days),
    })
}

/// Days of `P30DT0H`.
fn days(duration: &str) -> Option<u32> {
    let rest = duration.strip_prefix(['P', 'p'])?;
    let end = rest.find(['D', 'd'])?;
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const TRACKS: &[u8] = include_bytes!("../fixtures/tracks.xml");

    #[test]
    fn the_schedule_switch_is_in_the_extension() {
        let t = testing::parse(TRACKS, parse).unwrap();
        assert_eq!(t.len(), 2);
        assert_eq!((t[0].id, t[0].scheduled, t[0].saves_audio), (101, Some(true), Some(true)));
        assert_eq!((t[0].mode.as_str(), t[0].expiry_days), ("CMR", Some(30)));
        assert_eq!((t[1].id, t[1].scheduled, t[1].expiry_days), (102, None, Some(0)));
        assert_eq!(days("PT5H"), None);
    }

    #[test]
    fn truncations() {
        testing::sweep(TRACKS, parse);
    }
}
