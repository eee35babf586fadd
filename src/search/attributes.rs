//! tt:MediaAttributes: what the tracks of a recording are encoded with at an instant (R6.3.5, R6.6).

use dvrgate_index::{Snapshot, SpanQuery};
use dvrgate_model::{Codec, Direction, Recording, Result, Track, TrackKind, Utc, UtcRange};
use dvrgate_soap::{Element, Simple as _, ns};

use crate::information;

/// The attributes of a recording, or `None` where it has no data then (R6.6-1). The span is that
/// of the footage around the instant: inside it the attributes do not change, because a track has
/// one encoding.
pub fn attributes(snapshot: &dyn Snapshot, r: &Recording, time: Utc) -> Result<Option<Element>> {
    let mut valid: Option<UtcRange> = None;
    let mut tracks = Vec::new();
    for track in &r.tracks {
        let Some(span) = span_at(snapshot, track, time)? else { continue };
        valid = match valid {
            Some(v) => v.intersect(&span),
            None => Some(span),
        };
        tracks.push(of_track(track));
    }
    let Some(valid) = valid else { return Ok(None) };
    Ok(Some(
        Element::new(ns::TSE, "MediaAttributes")
            .with(Element::new(ns::TT, "RecordingToken").with_text(r.token.as_str()))
            .with_all(tracks)
            .with(Element::new(ns::TT, "From").with_text(valid.start().format()))
            .with(Element::new(ns::TT, "Until").with_text(valid.end().format())),
    ))
}

fn span_at(snapshot: &dyn Snapshot, track: &Track, time: Utc) -> Result<Option<UtcRange>> {
    let page = snapshot.spans(&SpanQuery {
        track: track.token.clone(),
        range: UtcRange::clamped(time, time.plus_us(1)),
        direction: Direction::Forward,
        limit: 1,
        after: None,
    })?;
    Ok(page.items.first().map(|s| s.range))
}

fn of_track(track: &Track) -> Element {
    let element = Element::new(ns::TT, "TrackAttributes")
        .with(information::track(track, Element::new(ns::TT, "TrackInformation")));
    let number = |local, n: u32| Element::new(ns::TT, local).with_text(n.to_string());
    let params = track.params.as_ref();
    let encoding = Element::new(ns::TT, "Encoding").with_text(encoding(track.codec));
    element.with(match track.kind {
        TrackKind::Video => {
            let (frames, seconds) = params.and_then(|p| p.frame_rate).unwrap_or((0, 1));
            let rate = f64::from(frames) / f64::from(seconds.max(1));
            Element::new(ns::TT, "VideoAttributes").with_all([
                number("Width", params.map_or(0, |p| p.width)),
                number("Height", params.map_or(0, |p| p.height)),
                encoding,
                Element::new(ns::TT, "Framerate").with_text(rate.to_string()),
            ])
        }
        // Samplerate is in kHz.
        TrackKind::Audio => Element::new(ns::TT, "AudioAttributes").with_all([
            encoding,
            number("Samplerate", params.map_or(8, |p| p.clock_rate_hz().div_ceil(1000))),
        ]),
        TrackKind::Metadata => Element::new(ns::TT, "MetadataAttributes").with_all(
            [
                ("CanContainPTZ", "false"),
                ("CanContainAnalytics", "false"),
                ("CanContainNotifications", "true"),
            ]
            .map(|(local, is)| Element::new(ns::TT, local).with_text(is)),
        ),
    })
}

/// R6.3.5-3.
fn encoding(codec: Option<Codec>) -> &'static str {
    match codec {
        Some(Codec::H264) => "H264",
        Some(Codec::H265) => "H265",
        Some(Codec::Mpeg4) => "MPEG4",
        Some(Codec::Jpeg) => "JPEG",
        Some(Codec::Pcma | Codec::Pcmu) => "G711",
        Some(Codec::G726 { .. }) => "G726",
        Some(Codec::Aac) => "AAC",
        Some(Codec::Metadata) => "vnd.onvif.metadata",
        None => "",
    }
}
