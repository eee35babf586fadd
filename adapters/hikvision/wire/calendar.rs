//! `record/tracks/<id>/dailyDistribution`: on which days of a month there is footage.
//!
//! Days are the device's local days. Answered in about 0.1 s for any month, without paging.

use dvrgate_adapter::transport::HttpRequest;
use http::Method;

use super::xml::Element;
use super::{Generation, WireError, with_xml};

/// Asks for one month.
pub(crate) fn request(g: Generation, track: u32, year: i16, month: u8) -> HttpRequest {
    let body = format!(
        "<trackDailyParam><year>{year:04}</year><monthOfYear>{month:02}</monthOfYear></trackDailyParam>"
    );
    let path = g.path(&format!("/ContentMgmt/record/tracks/{track}/dailyDistribution"));
    with_xml(Method::POST, path, &body)
}

/// Days with footage: bit `n` stands for day `n` of the month, 1 to 31.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Days(pub(crate) u32);

impl Days {
    /// Whether that day of the month has footage.
    pub(crate) fn has(self, day: u8) -> bool {
        day < 32 && self.0 & (1 << day) != 0
    }
}

/// `trackDailyDistribution`.
pub(crate) fn parse(document: &Element) -> Result<Days, WireError> {
    let wanted = "trackDailyDistribution";
    if !document.is(wanted) {
        return Err(WireError::Root { found: document.name.clone(), wanted });
    }
    let list = document.child("dayList").ok_or(WireError::Missing("dayList"))?;
    let mut days = Days::default();
    for day in list.all("day").filter(|d| d.flag_at(&["record"]) == Some(true)) {
        let n: u32 =
            day.number_at(&["dayOfMonth"]).filter(|n| (1..=31).contains(n)).ok_or_else(|| {
                WireError::Value { element: "dayOfMonth", value: day.string_at(&["dayOfMonth"]) }
            })?;
        days.0 |= 1 << n;
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const MONTH: &[u8] = include_bytes!("../fixtures/calendar.xml");

    #[test]
    fn days_of_a_month() {
        let days = testing::parse(MONTH, parse).unwrap();
        assert!(days.has(1) && !days.has(2) && days.has(28) && !days.has(0) && !days.has(255));
        testing::sweep(MONTH, parse);
        let r = request(Generation::Isapi, 101, 2026, 2);
        assert_eq!(r.path, "/ISAPI/ContentMgmt/record/tracks/101/dailyDistribution");
        assert!(Element::parse(&r.body).is_ok_and(|d| d.text_at(&["monthOfYear"]) == Some("02")));
    }
}
