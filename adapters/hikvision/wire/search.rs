//! `ContentMgmt/search`: the recording index.
//!
//! The element that moves the page is spelt `searchResultPostion`; the right spelling is ignored
//! and gives the first page for ever. Items touch the window; some firmware clips them to it.

use dvrgate_adapter::transport::HttpRequest;
use dvrgate_model::Civil;
use http::Method;

use super::uri::PlaybackUri;
use super::xml::{Element, escape};
use super::{Generation, WireError, datetime, with_xml};

/// How the track is named in a request; firmware differs in what it understands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum SearchStyle {
    /// `<trackList><trackID>`: what the vendor's own client sends.
    #[default]
    TrackList,
    /// `<trackIDList><trackID>`.
    TrackIdList,
    /// `<trackID>` alone (cameras).
    Bare,
}

impl SearchStyle {
    /// In the order in which they are tried.
    pub(crate) const ALL: [SearchStyle; 3] =
        [SearchStyle::TrackList, SearchStyle::TrackIdList, SearchStyle::Bare];
}

/// One page of a search.
#[derive(Clone, Debug)]
pub(crate) struct Query<'a> {
    /// An upper-case GUID, the same for all pages of one search: some firmware refuses other text.
    pub(crate) search_id: &'a str,
    /// One track: several are mixed up by paging.
    pub(crate) track: u32,
    /// First reading.
    pub(crate) start: Civil,
    /// Last reading.
    pub(crate) end: Civil,
    /// At most this many items; 40 is what all firmware gives.
    pub(crate) max_results: usize,
    /// Items received so far.
    pub(crate) position: usize,
}

/// Asks for a page.
pub(crate) fn request(g: Generation, style: SearchStyle, q: &Query<'_>) -> HttpRequest {
    let track = match style {
        SearchStyle::TrackList => format!("<trackList><trackID>{}</trackID></trackList>", q.track),
        SearchStyle::TrackIdList => {
            format!("<trackIDList><trackID>{}</trackID></trackIDList>", q.track)
        }
        SearchStyle::Bare => format!("<trackID>{}</trackID>", q.track),
    };
    // PSIA returns every type for this filter; ISAPI recorders return nothing without one.
    let filter = match g {
        Generation::Psia => "//metadata.psia.org/VideoMotion",
        Generation::Isapi | Generation::Unprefixed => "//recordType.meta.std-cgi.com",
    };
    let body = format!(
        "<CMSearchDescription><searchID>{}</searchID>{track}\
         <timeSpanList><timeSpan><startTime>{}</startTime><endTime>{}</endTime></timeSpan></timeSpanList>\
         <maxResults>{}</maxResults><searchResultPostion>{}</searchResultPostion>\
         <metadataList><metadataDescriptor>{filter}</metadataDescriptor></metadataList>\
         </CMSearchDescription>",
        escape(q.search_id),
        datetime::write(q.start),
        datetime::write(q.end),
        q.max_results,
        q.position,
    );
    with_xml(Method::POST, g.path("/ContentMgmt/search"), &body)
}

/// `responseStatusStrg`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Status {
    /// The last page.
    Ok,
    /// There is more (some firmware says so for ever).
    More,
    /// Nothing in the window.
    NoMatches,
    /// It did not work.
    Failed,
}

/// `CMSearchResult`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Page<T> {
    /// Whether there is more.
    pub(crate) status: Status,
    /// `totalMatches`, else `numOfMatches`: of the page or of the search, by firmware.
    pub(crate) total: Option<usize>,
    /// The items.
    pub(crate) items: Vec<T>,
}

/// `searchMatchItem` of a recording search.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Match {
    /// `trackID`.
    pub(crate) track: u32,
    /// `startTime` as written.
    pub(crate) start: String,
    /// `endTime` as written.
    pub(crate) end: String,
    /// `contentType`; empty where absent.
    pub(crate) content: String,
    /// `playbackURI`.
    pub(crate) uri: PlaybackUri,
    /// `name`, or the one in the URI.
    pub(crate) name: String,
    /// Last component of `metadataDescriptor`: `timing`, `motion`, … Brand strings before it are
    /// blank on neutral firmware.
    pub(crate) record_type: String,
}

/// More than any page that was asked for.
pub(crate) const MAX_PAGE_ITEMS: usize = 2_000;

/// Reads a page of recordings. An item that cannot be read makes the page unreadable: a hole in
/// the index would look like a gap in the footage.
pub(crate) fn parse(document: &Element) -> Result<Page<Match>, WireError> {
    page(document, item)
}

/// Reads a page of anything.
pub(crate) fn page<T>(
    document: &Element,
    item: fn(&Element) -> Result<Option<T>, WireError>,
) -> Result<Page<T>, WireError> {
    let wanted = "CMSearchResult";
    if !document.is(wanted) {
        return Err(WireError::Root { found: document.name.clone(), wanted });
    }
    let list: Vec<&Element> =
        document.all("matchList").flat_map(|m| m.all("searchMatchItem")).collect();
    if list.len() > MAX_PAGE_ITEMS {
        return Err(WireError::Limit { what: "items in a page", limit: MAX_PAGE_ITEMS });
    }
    let items = list.into_iter().filter_map(|e| item(e).transpose()).collect::<Result<_, _>>()?;
    let word = document.string_at(&["responseStatusStrg"]).to_ascii_uppercase();
    let status = match word.as_str() {
        "OK" => Status::Ok,
        "MORE" => Status::More,
        "NO MATCHES" | "NOMATCHES" | "NO_MATCHES" => Status::NoMatches,
        "" if document.flag_at(&["responseStatus"]) != Some(false) => Status::Ok,
        _ => Status::Failed,
    };
    let total =
        document.number_at(&["totalMatches"]).or_else(|| document.number_at(&["numOfMatches"]));
    Ok(Page { status, total, items })
}

fn item(e: &Element) -> Result<Option<Match>, WireError> {
    let text = |path: &[&str], name| e.text_at(path).ok_or(WireError::Missing(name));
    let media =
        e.child("mediaSegmentDescriptor").ok_or(WireError::Missing("mediaSegmentDescriptor"))?;
    let uri = media.text_at(&["playbackURI"]).ok_or(WireError::Missing("playbackURI"))?;
    let uri = PlaybackUri::parse(uri)?;
    let track = e.number_at(&["trackID"]).or_else(|| uri.track());
    let name = media.text_at(&["name"]).or_else(|| uri.value("name")).unwrap_or_default();
    Ok(Some(Match {
        track: track.ok_or(WireError::Missing("trackID"))?,
        start: text(&["timeSpan", "startTime"], "startTime")?.to_owned(),
        end: text(&["timeSpan", "endTime"], "endTime")?.to_owned(),
        content: media.string_at(&["contentType"]),
        name: name.to_owned(),
        record_type: e
            .at(&["metadataMatches"])
            .and_then(|m| m.text_at(&["metadataDescriptor"]))
            .and_then(|d| d.trim_end_matches('/').rsplit('/').next())
            .unwrap_or_default()
            .to_owned(),
        uri,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const PAGE: &[u8] = include_bytes!("../fixtures/search_page.xml");

    #[test]
    fn a_page_with_brandless_descriptor_and_a_broken_line() {
        let p = testing::parse(PAGE, parse).unwrap();
        assert_eq!((p.status, p.total, p.items.len()), (Status::More, Some(2), 2));
        let m = &p.items[0];
        assert_eq!((m.track, m.record_type.as_str()), (101, "timing"));
        assert_eq!(
            (m.start.as_str(), m.end.as_str()),
            ("2026-08-18T15:18:15Z", "2026-08-18T15:19:08Z")
        );
        assert_eq!((m.name.as_str(), m.uri.size()), ("00000004667000100", Some(1_400_788)));
        assert_eq!(p.items[1].record_type, "motion");
        testing::sweep(PAGE, parse);
    }

    #[test]
    fn statuses() {
        let page = |word: &str| {
            let doc = format!(
                "<CMSearchResult><responseStatus>true</responseStatus><responseStatusStrg>{word}</responseStatusStrg><matchList> \n </matchList></CMSearchResult>"
            );
            testing::parse(doc.as_bytes(), parse).unwrap().status
        };
        assert_eq!(page("OK"), Status::Ok);
        assert_eq!(page("more"), Status::More);
        assert_eq!(page("NO MATCHES"), Status::NoMatches);
        assert_eq!(page("FAILED"), Status::Failed);
        assert_eq!(page(""), Status::Ok);
    }

    #[test]
    fn the_request_keeps_the_vendors_spelling() {
        let at = |t| datetime::parse(t).unwrap().0;
        let q = Query {
            search_id: "0000-A",
            track: 901,
            start: at("2026-08-16T00:00:00"),
            end: at("2026-08-16T23:59:59"),
            max_results: 40,
            position: 80,
        };
        let r = request(Generation::Isapi, SearchStyle::TrackList, &q);
        let body = String::from_utf8(r.body.to_vec()).unwrap();
        assert_eq!(r.path, "/ISAPI/ContentMgmt/search");
        assert!(body.starts_with("<?xml"));
        let doc = Element::parse(body.as_bytes()).unwrap();
        assert_eq!(doc.text_at(&["searchResultPostion"]), Some("80"));
        assert_eq!(doc.text_at(&["searchResultPosition"]), None);
        assert_eq!(doc.text_at(&["trackList", "trackID"]), Some("901"));
        assert_eq!(
            doc.text_at(&["timeSpanList", "timeSpan", "endTime"]),
            Some("2026-08-16T23:59:59Z")
        );
        let old = request(Generation::Psia, SearchStyle::Bare, &q);
        let doc = Element::parse(&old.body).unwrap();
        assert_eq!(doc.text_at(&["trackID"]), Some("901"));
        assert_eq!(
            doc.text_at(&["metadataList", "metadataDescriptor"]),
            Some("//metadata.psia.org/VideoMotion")
        );
    }
}
