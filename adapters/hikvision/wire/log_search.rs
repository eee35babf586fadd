//! `ContentMgmt/logSearch`: the device's log, the only source of past events on most recorders.
//!
//! Times in questions carry a `Z` and are local; times in answers are local without suffix. Every
//! query ends after 2 000 entries without notice.

use dvrgate_adapter::transport::HttpRequest;
use dvrgate_model::Civil;
use http::Method;

use super::search::{self, Page};
use super::xml::{Element, escape};
use super::{Generation, WireError, datetime, with_xml};

/// Domain before the category: by firmware one of them matches nothing or is refused.
pub(crate) const PREFIXES: [&str; 2] = ["log.std-cgi.com", "log.hikvision.com"];

/// One page of a log search.
#[derive(Clone, Debug)]
pub(crate) struct Query<'a> {
    /// An upper-case GUID, the same for all pages.
    pub(crate) search_id: &'a str,
    /// One of [`PREFIXES`].
    pub(crate) prefix: &'a str,
    /// `Alarm`, `Exception`, `Operation`, `Information` (or `Infomation`).
    pub(crate) category: &'a str,
    /// First reading.
    pub(crate) start: Civil,
    /// Last reading.
    pub(crate) end: Civil,
    /// At most this many items.
    pub(crate) max_results: usize,
    /// Items received so far.
    pub(crate) position: usize,
}

/// Asks for a page.
pub(crate) fn request(g: Generation, q: &Query<'_>) -> HttpRequest {
    let body = format!(
        "<CMSearchDescription><searchID>{}</searchID><metaId>{}/{}</metaId>\
         <timeSpanList><timeSpan><startTime>{}</startTime><endTime>{}</endTime></timeSpan></timeSpanList>\
         <maxResults>{}</maxResults><searchResultPostion>{}</searchResultPostion>\
         </CMSearchDescription>",
        escape(q.search_id),
        q.prefix,
        q.category,
        datetime::write(q.start),
        datetime::write(q.end),
        q.max_results,
        q.position,
    );
    with_xml(Method::POST, g.path("/ContentMgmt/logSearch"), &body)
}

/// `logDescriptor`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Entry {
    /// `Alarm`, `Exception`, …
    pub(crate) category: String,
    /// `motionStart`, `videoLost`, …
    pub(crate) event: String,
    /// What follows: a plain channel number, or `D1` for the first network camera. Empty where
    /// nothing follows.
    pub(crate) channel: String,
    /// `StartDateTime` or `time` as written.
    pub(crate) time: String,
    /// `userName` or `panelUser`.
    pub(crate) user: String,
    /// `ipAddress`.
    pub(crate) address: String,
    /// `additionInformation` or `extraInfo`.
    pub(crate) text: String,
}

/// Reads a page of log entries. Entries without time or name are left out: logs hold rubbish.
pub(crate) fn parse(document: &Element) -> Result<Page<Entry>, WireError> {
    search::page(document, item)
}

fn item(e: &Element) -> Result<Option<Entry>, WireError> {
    let d = e.child("logDescriptor").unwrap_or(e);
    let text = |names: &[&str]| d.any_of(names).unwrap_or_default().to_owned();
    let (Some(time), Some(id)) = (d.any_of(&["StartDateTime", "time"]), d.text_at(&["metaId"]))
    else {
        return Ok(None);
    };
    let mut parts = id.trim_matches('/').split('/').skip(1);
    let (Some(category), Some(event)) = (parts.next(), parts.next()) else {
        return Ok(None);
    };
    Ok(Some(Entry {
        category: category.to_owned(),
        event: event.to_owned(),
        channel: parts.next().unwrap_or_default().to_owned(),
        time: time.to_owned(),
        user: text(&["userName", "panelUser"]),
        address: text(&["ipAddress"]),
        text: text(&["additionInformation", "extraInfo"]),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::search::Status;
    use super::*;

    const LOG: &[u8] = include_bytes!("../fixtures/log_page.xml");

    #[test]
    fn both_sets_of_field_names() {
        let p = testing::parse(LOG, parse).unwrap();
        assert_eq!((p.status, p.total, p.items.len()), (Status::Ok, Some(3), 3));
        let seen: Vec<_> = p
            .items
            .iter()
            .map(|e| (e.category.as_str(), e.event.as_str(), e.channel.as_str(), e.user.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("Alarm", "motionStart", "15", ""),
                ("Exception", "illlegealAccess", "", "guest"),
                ("Alarm", "motionStop", "D1", ""),
            ]
        );
        assert_eq!(p.items[1].address, "192.0.2.77");
        assert_eq!(p.items[1].text, "web");
        testing::sweep(LOG, parse);
    }
}
