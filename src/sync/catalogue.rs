//! From what a recorder says it is to the rows of the index: the device, a recording per channel,
//! its tracks (ONVIF Recording Control 4.1).

use std::sync::Arc;

use dvrgate_adapter::Device;
use dvrgate_model::{
    Channel, Codec, CodecParams, DeviceRecord, Identity, Origin, Recording, RecordingStatus,
    RecordingToken, SourceInformation, StreamKind, Track, TrackKind, TrackToken,
};

/// The row of a recorder; what the index already knows of its clock and syncs stays.
pub fn device(
    device: &Device,
    identity: Option<Identity>,
    old: Option<&DeviceRecord>,
) -> DeviceRecord {
    DeviceRecord {
        id: device.id.clone(),
        vendor: device.vendor.clone(),
        identity: identity.or_else(|| old.map(|o| o.identity.clone())).unwrap_or_default(),
        address: device.address.clone(),
        state: device.health.state(),
        zone: device.zone.clone().or_else(|| old.and_then(|o| o.zone.clone())),
        clock_checked_at: old.and_then(|o| o.clock_checked_at),
        last_sync_at: old.and_then(|o| o.last_sync_at),
    }
}

/// The recording of a channel's stream; tracks that footage found stay. Every recording has a
/// metadata track, which is empty as long as no event is known (R5.1-2).
pub fn recording(
    device: &Device,
    identity: &Identity,
    channel: &Channel,
    stream: StreamKind,
    old: Option<&Arc<Recording>>,
) -> Recording {
    let token = RecordingToken::derive(&device.id, channel.id, stream);
    let old_tracks = old.map(|o| o.tracks.as_slice()).unwrap_or_default();
    let mut tracks = Vec::new();
    let sound = channel.audio.as_ref();
    for (kind, said) in [(TrackKind::Video, channel.video.as_ref()), (TrackKind::Audio, sound)] {
        let known = old_tracks.iter().find(|t| t.kind == kind);
        if kind == TrackKind::Video || said.is_some() || known.is_some() {
            tracks.push(track(&token, kind, said.filter(|_| stream == StreamKind::Main), known));
        }
    }
    let events = CodecParams::new(Codec::Metadata);
    let known = old_tracks.iter().find(|t| t.kind == TrackKind::Metadata);
    tracks.push(track(&token, TrackKind::Metadata, Some(&events), known));
    // Tracks of other encodings.
    tracks.extend(
        old_tracks
            .iter()
            .filter(|t| !tracks.iter().any(|n| n.token == t.token))
            .cloned()
            .collect::<Vec<_>>(),
    );
    Recording {
        source: source(device, identity, channel),
        content: match stream {
            StreamKind::Main => String::new(),
            StreamKind::Sub => "reduced quality".to_owned(),
        },
        tracks,
        retention: channel.retention,
        origin: Origin::Device { device: device.id.clone(), channel: channel.id, stream },
        status: match channel.recording {
            Some(true) => RecordingStatus::Recording,
            Some(false) => RecordingStatus::Stopped,
            None => old.map(|o| o.status).unwrap_or_default(),
        },
        token,
    }
}

/// Whether two rows of a recording say the same; the index computes the data of tracks itself.
pub fn same(a: &Recording, b: &Recording) -> bool {
    let bare = |r: &Recording| {
        let tracks = r.tracks.iter().map(|t| Track { data: None, ..t.clone() }).collect();
        Recording { tracks, ..r.clone() }
    };
    bare(a) == bare(b)
}

/// What footage taught about a track is more exact than what the recorder says of itself.
fn track(
    recording: &RecordingToken,
    kind: TrackKind,
    said: Option<&CodecParams>,
    known: Option<&Track>,
) -> Track {
    let token =
        known.map(|k| k.token.clone()).unwrap_or_else(|| TrackToken::derive(recording, kind, 1));
    let params = known.and_then(|k| k.params.clone()).or_else(|| said.cloned());
    Track {
        token,
        kind,
        description: known.map(|k| k.description.clone()).unwrap_or_default(),
        codec: known.and_then(|k| k.codec).or_else(|| params.as_ref().map(|p| p.codec)),
        params,
        data: None,
    }
}

/// A track of pictures as the recorder describes them.
pub fn picture(recording: &RecordingToken, said: CodecParams) -> Track {
    track(recording, TrackKind::Video, Some(&said), None)
}

fn source(device: &Device, identity: &Identity, channel: &Channel) -> SourceInformation {
    let name = match channel.name.trim() {
        "" => format!("Channel {}", channel.id),
        name => name.to_owned(),
    };
    let what = [&identity.manufacturer, &identity.model].map(|t| t.trim());
    let what = what.into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" ");
    SourceInformation {
        source_id: format!("urn:dvrgate:{}:{}", device.id, channel.id),
        name,
        location: identity.name.clone(),
        description: what,
        address: match channel.address.as_str() {
            "" => device.address.clone(),
            address => address.to_owned(),
        },
    }
}
