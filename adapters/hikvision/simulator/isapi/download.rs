//! Footage as a file over HTTP.

use std::sync::Arc;

use bytes::Bytes;
use dvrgate_testkit::SampleKind;
use dvrgate_testkit::chassis::http::{Body, Framing, Reply, Request};
use futures::StreamExt;

use super::{Answer, Refusal};
use crate::behaviour::{ContentLength, DownloadMethod, WrongMethod};
use crate::ps::ProgramStream;
use crate::recorder::Recorder;
use crate::text::{self, PlaybackUri};

/// Longer downloads are made while they are sent, so their length is not known beforehand.
const WHOLE_UP_TO_US: i64 = 10 * 60_000_000;

pub(crate) fn download(r: &Arc<Recorder>, request: &Request) -> Answer {
    let behaviour = r.behaviour();
    let taken = match behaviour.download {
        DownloadMethod::Post => request.method == "POST",
        DownloadMethod::Get => request.method == "GET",
        DownloadMethod::Any => matches!(request.method.as_str(), "POST" | "GET"),
    };
    if !taken {
        return match behaviour.wrong_method {
            WrongMethod::Refused => Err(Refusal::METHOD),
            WrongMethod::Empty => Ok(Reply::new(200, "Opaque/data", "")),
        };
    }
    if behaviour.download_broken {
        return Err(Refusal::DEVICE_ERROR);
    }
    let leaves = text::leaves(&request.body).ok_or(Refusal::BAD_FORMAT)?;
    let uri = leaves.iter().find(|(name, _)| name == "playbackURI").map(|(_, uri)| uri.as_str());
    let uri = uri.and_then(PlaybackUri::parse).ok_or(Refusal::BAD_CONTENT)?;
    let recorded = uri.stream() == 1 || behaviour.record_sub_streams && uri.stream() == 2;
    if !recorded || behaviour.issued_uris_only && uri.name.is_none() {
        return Err(Refusal::BAD_PARAMETERS);
    }
    let parts = r.parts(&uri);
    if parts.is_empty() {
        // Overwritten since it was listed: a refusal under 200.
        let mut reply = Refusal::DEVICE_ERROR.reply(request);
        reply.status = 200;
        return Ok(reply);
    }
    let Some(slot) = r.counters.playback_slot(behaviour.playback_sessions) else {
        r.counters.sin("download beyond the recorder's playback sessions");
        return Err(Refusal::BUSY);
    };
    let length_us: i64 = parts
        .iter()
        .map(|(p, range)| p.range.intersect(range).map_or(0, |r| r.duration_us()))
        .sum();
    let audio = r.archive.channel(uri.channel()).is_some_and(|c| c.tone.is_some());
    let mut mux = ProgramStream::new(&behaviour, audio);
    let start = mux.envelope(parts[0].0.clip.codec());
    let (recorder, reel) = (r.clone(), r.reel(parts));
    let pieces = std::iter::once(start).chain(reel.map(move |sample| {
        let pts = recorder.ticks_90k(sample.at);
        let _slot = &slot;
        match sample.kind {
            SampleKind::Video(unit, clip) => {
                let wall = recorder.archive.wall(sample.at);
                mux.video(&unit, clip.as_ref(), pts, wall)
            }
            SampleKind::Audio(block) => mux.audio(&block, pts),
        }
    }));
    let whole = length_us <= WHOLE_UP_TO_US;
    let (body, framing) = match behaviour.content_length {
        ContentLength::Right if whole && behaviour.download_rate == 0 => {
            let bytes: Vec<u8> = pieces.flatten().collect();
            (Body::Whole(Bytes::from(bytes)), Framing::Right)
        }
        ContentLength::Right => (stream(pieces, behaviour.download_rate), Framing::Right),
        ContentLength::Zero => (stream(pieces, behaviour.download_rate), Framing::Claim(0)),
        ContentLength::Absent => (stream(pieces, behaviour.download_rate), Framing::Close),
    };
    let mut reply = Reply::new(200, "Opaque/data", "");
    (reply.body, reply.framing, reply.footage) = (body, framing, true);
    Ok(reply)
}

fn stream(pieces: impl Iterator<Item = Vec<u8>> + Send + 'static, rate: u64) -> Body {
    let pieces = futures::stream::iter(pieces).map(Bytes::from);
    match rate {
        0 => Body::Stream(pieces.boxed()),
        rate => Body::Stream(crate::tokio::paced(pieces.boxed(), rate)),
    }
}
