//! Structures of the common schema that several services return, made from the storage model.

use std::net::Ipv6Addr;

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
        text("Address", &address(&source.address)),
    ])
}

/// What a recorder is called on the network, as the xs:anyURI that the schema wants there: a host with
/// a port alone would be read as a scheme.
fn address(host: &str) -> String {
    if host.is_empty() || host.contains("://") {
        return host.to_owned();
    }
    match host.parse::<Ipv6Addr>() {
        Ok(_) => format!("http://[{host}]/"),
        Err(_) => format!("http://{host}/"),
    }
}

/// tt:TrackType.
pub fn track_type(kind: TrackKind) -> &'static str {
    match kind {
        TrackKind::Video => "Video",
        TrackKind::Audio => "Audio",
        TrackKind::Metadata => "Metadata",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R5.3.1-4, R6.3.2-1: every child is there, and the address is a URI.
    #[test]
    fn the_source_has_all_its_children_and_its_address_is_a_uri() {
        for (known, said) in [
            ("", ""),
            ("192.0.2.64", "http://192.0.2.64/"),
            ("192.0.2.64:8000", "http://192.0.2.64:8000/"),
            ("[2001:db8::1]:80", "http://[2001:db8::1]:80/"),
            ("2001:db8::1", "http://[2001:db8::1]/"),
            ("dvr.example:80", "http://dvr.example:80/"),
            ("rtsp://192.0.2.64/1", "rtsp://192.0.2.64/1"),
            ("file:///srv/clips", "file:///srv/clips"),
        ] {
            let element =
                source(&SourceInformation { address: known.into(), ..Default::default() });
            assert_eq!(element.elements().count(), 5);
            assert_eq!(element.child_text(ns::TT, "Address").unwrap(), said);
        }
    }
}
