//! Entry points for fuzzing: each takes any bytes and must only not panic and not grow. The
//! ordinary tests run them over the fixtures, whole, cut and with single bytes changed.

use dvrgate_media::container::Demuxer;

use crate::wire::alert_stream;
use crate::wire::errors::{Refusal, UserCheck};
use crate::wire::splitter::{Part, Splitter};
use crate::wire::xml::Element;
use crate::wire::{
    access, anonymous, calendar, channels, datetime, device_info, download, log_search, search,
    storage, streams, time, tracks, uri,
};
use crate::{container, convert};

/// Every parser of documents.
pub fn documents(bytes: &[u8]) {
    anonymous::parse(bytes);
    download::judge(http::StatusCode::OK, bytes, true);
    let Ok(d) = Element::parse(bytes) else { return };
    Refusal::of(http::StatusCode::OK, Some(&d));
    UserCheck::parse(&d).ok();
    access::parse_rtsp_port(&d).ok();
    alert_stream::parse(&d).ok();
    calendar::parse(&d).ok();
    channels::parse_analogue(&d).ok();
    channels::parse_proxy(&d).ok();
    device_info::parse(&d).ok();
    log_search::parse(&d).ok();
    search::parse(&d).ok();
    storage::parse(&d).ok();
    streams::parse(&d).ok();
    tracks::parse(&d).ok();
    if let Ok(t) = time::parse(&d) {
        convert::clock(&t);
    }
}

/// Texts inside of documents.
pub fn texts(text: &str) {
    datetime::parse(text);
    uri::PlaybackUri::parse(text).ok();
    let (zone, local) = (Some(text.to_owned()), "2026-01-01T00:00:00".to_owned());
    convert::clock(&time::Time { local, zone, mode: String::new() });
}

/// The alert stream, in pieces of that size: what was found in it.
pub fn alerts(bytes: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let mut splitter = Splitter::default();
    let mut found = Vec::new();
    for part in bytes.chunks(piece.max(1)).flat_map(|p| splitter.push(p)) {
        alert_stream::parse_part(&part).ok();
        let (Part::Xml(alert) | Part::Json(alert)) = part;
        found.push(alert);
    }
    found
}

/// The head of a download, and packets of the vendor's own.
pub fn opening(bytes: &[u8]) {
    container::check_opening(bytes).ok();
    container::first_clock(bytes);
    container::private_packet(bytes).ok();
    container::MediaHeader::find(bytes);
}

/// Reads a download.
pub fn demuxer() -> Box<dyn Demuxer> {
    Box::new(container::demuxer())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXTURES: [&[u8]; 12] = [
        include_bytes!("fixtures/alert_stream.txt"),
        include_bytes!("fixtures/calendar.xml"),
        include_bytes!("fixtures/channels_analogue.xml"),
        include_bytes!("fixtures/channels_proxy.xml"),
        include_bytes!("fixtures/channels_proxy_status.xml"),
        include_bytes!("fixtures/device_info_dvr.xml"),
        include_bytes!("fixtures/log_page.xml"),
        include_bytes!("fixtures/search_page.xml"),
        include_bytes!("fixtures/storage.xml"),
        include_bytes!("fixtures/time.xml"),
        include_bytes!("fixtures/tracks.xml"),
        include_bytes!("fixtures/user_check_locked.xml"),
    ];

    #[test]
    fn nothing_panics_whatever_byte_changes() {
        for fixture in FIXTURES {
            for (i, other) in
                (0..fixture.len()).zip([0u8, b'<', b'>', b'&', b'"', 0xff].iter().cycle())
            {
                let mut changed = fixture.to_vec();
                changed[i] = *other;
                documents(&changed);
                alerts(&changed, 61);
                texts(&String::from_utf8_lossy(&changed[i..(i + 60).min(changed.len())]));
            }
        }
    }

    #[test]
    fn footage_of_any_bytes() {
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        for _ in 0..200 {
            let mut bytes: Vec<u8> = [0, 0, 1, 0xba, 0x44].to_vec();
            for _ in 0..40 {
                bytes.extend([0, 0, 1, 0xb9u8.wrapping_add(noise() % 0x40)]);
                let length = noise() % 24;
                bytes.extend([0, length]);
                bytes.extend((0..length).map(|_| noise()));
            }
            opening(&bytes);
            let mut demuxer = demuxer();
            let whole = bytes.chunks(97).try_for_each(|piece| {
                demuxer.push(piece)?;
                while demuxer.pull().is_some() {}
                Ok::<_, dvrgate_model::Error>(())
            });
            if whole.is_ok() {
                demuxer.finish().ok();
                while demuxer.pull().is_some() {}
            }
        }
    }
}
