//! `System/time`: the device's clock and zone.

use dvrgate_adapter::transport::HttpRequest;

use super::xml::Element;
use super::{Generation, WireError, get};

/// Asks for the clock.
pub(crate) fn request(g: Generation) -> HttpRequest {
    get(g.path("/System/time"))
}

/// `Time`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Time {
    /// `localTime` as written; [`super::datetime::parse`] reads its many forms.
    pub(crate) local: String,
    /// `timeZone` as written, white space removed.
    pub(crate) zone: Option<String>,
    /// `timeMode`: `NTP`, `manual`, `platform`, …
    pub(crate) mode: String,
}

/// Reads it.
pub(crate) fn parse(document: &Element) -> Result<Time, WireError> {
    let wanted = "Time";
    if !document.is(wanted) {
        return Err(WireError::Root { found: document.name.clone(), wanted });
    }
    Ok(Time {
        local: document.text_at(&["localTime"]).ok_or(WireError::Missing("localTime"))?.to_owned(),
        // Line breaks have been seen inside the value.
        zone: document.text_at(&["timeZone"]).map(|z| z.split_whitespace().collect::<String>()),
        mode: document.string_at(&["timeMode"]),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const TIME: &[u8] = include_bytes!("../fixtures/time.xml");

    #[test]
    fn clock_and_zone() {
        let t = testing::parse(TIME, parse).unwrap();
        assert_eq!(t.local, "2026-09-09T17:02:40+02:00");
        assert_eq!(
            t.zone.as_deref(),
            Some("CST-1:00:00DST01:00:00,M3.5.0/02:00:00,M10.5.0/03:00:00")
        );
        assert_eq!(t.mode, "NTP");
        testing::sweep(TIME, parse);
    }
}
