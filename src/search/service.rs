//! The table of the search service.

use std::sync::Arc;

use dvrgate_index::{Index, Scope};
use dvrgate_model::ports::Clock;
use dvrgate_model::{RecordingToken, Utc};
use dvrgate_soap::{Access, Call, Element, Fault, Service, Value as _, Version, ns};

use crate::attributes::attributes;
use crate::events::EventSearch;
use crate::information::information;
use crate::metadata::MetadataSearch;
use crate::recordings::RecordingSearch;
use crate::session::Sessions;
use crate::wire::{
    EndSearch, EndSearchResponse, GetMediaAttributes, GetRecordingInformation,
    GetRecordingSummaryResponse, RecordingSummary,
};
use crate::{events, faults, metadata, recordings};

/// Address of the service.
pub const SEARCH_SERVICE_PATH: &str = "/onvif/search_service";

/// What the operations share.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) index: Arc<dyn Index>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) recordings: Sessions<RecordingSearch>,
    pub(crate) events: Sessions<EventSearch>,
    pub(crate) metadata: Sessions<MetadataSearch>,
}

/// The service over an index.
pub fn service(index: Arc<dyn Index>, clock: Arc<dyn Clock>) -> Service {
    let state = Arc::new(Search {
        index,
        recordings: Sessions::new(Arc::clone(&clock)),
        events: Sessions::new(Arc::clone(&clock)),
        metadata: Sessions::new(Arc::clone(&clock)),
        clock,
    });
    Service::table(ns::TSE, SEARCH_SERVICE_PATH, Version(18, 12), state)
        .on("GetServiceCapabilities", Access::PreAuth, capabilities)
        .typed("GetRecordingSummary", Access::ReadMedia, summary)
        .on("GetRecordingInformation", Access::ReadMedia, recording_information)
        .on("GetMediaAttributes", Access::ReadMedia, media_attributes)
        .typed("FindRecordings", Access::ReadMedia, recordings::find)
        .on("GetRecordingSearchResults", Access::ReadMedia, recordings::results)
        .typed("FindEvents", Access::ReadMedia, events::find)
        .on("GetEventSearchResults", Access::ReadMedia, events::results)
        .typed("FindMetadata", Access::ReadMedia, metadata::find)
        .on("GetMetadataSearchResults", Access::ReadMedia, metadata::results)
        .typed("EndSearch", Access::ReadMedia, end_search)
        .unsupported(&[
            ("FindPTZPosition", Access::ReadMedia),
            ("GetPTZPositionSearchResults", Access::ReadMedia),
            ("GetSearchState", Access::ReadMedia),
            ("SearchImageByNL", Access::ReadMedia),
            ("GetNLSearchResults", Access::ReadMedia),
            ("SearchImageByImage", Access::ReadMedia),
            ("GetImageSearchResults", Access::ReadMedia),
        ])
        .build()
}

async fn capabilities(_: Arc<Search>, call: Call) -> Result<Element, Fault> {
    let own = Element::new(ns::TSE, "Capabilities")
        .with_attribute("MetadataSearch", "true")
        .with_attribute("GeneralStartEvents", "true");
    Ok(call.response().with(own))
}

/// Both times are always there (R6.4-2); where there is no data they are the same instant.
async fn summary(
    s: Arc<Search>,
    call: Call,
    _: Element,
) -> Result<GetRecordingSummaryResponse, Fault> {
    let summary = s.index.snapshot().summary().map_err(|e| call.fault(&e))?;
    let (from, until) =
        summary.data.map_or((Utc::default(), Utc::default()), |d| (d.start(), d.end()));
    let summary = RecordingSummary { from, until, recordings: summary.recordings };
    Ok(GetRecordingSummaryResponse { summary })
}

async fn recording_information(s: Arc<Search>, call: Call) -> Result<Element, Fault> {
    let q = GetRecordingInformation::read(&call.request)?;
    let recording = s
        .index
        .snapshot()
        .recording(&RecordingToken::new(&q.token))
        .map_err(|e| call.fault(&e))?
        .ok_or_else(|| faults::invalid_token("the recording"))?;
    Ok(call.response().with(information(&recording, Element::new(ns::TSE, "RecordingInformation"))))
}

async fn media_attributes(s: Arc<Search>, call: Call) -> Result<Element, Fault> {
    let q = GetMediaAttributes::read(&call.request)?;
    let snapshot = s.index.snapshot();
    let all = snapshot.recordings(&Scope::all()).map_err(|e| call.fault(&e))?;
    if q.recordings.iter().any(|t| !all.iter().any(|r| r.token.as_str() == t)) {
        return Err(faults::invalid_token("a recording"));
    }
    let mut response = call.response();
    for recording in all {
        if q.recordings.is_empty() || q.recordings.iter().any(|t| t == recording.token.as_str()) {
            let found = attributes(&*snapshot, &recording, q.time).map_err(|e| call.fault(&e))?;
            response = response.with_all(found);
        }
    }
    Ok(response)
}

async fn end_search(s: Arc<Search>, _: Call, q: EndSearch) -> Result<EndSearchResponse, Fault> {
    let endpoint = s
        .recordings
        .end(&q.token)
        .or_else(|| s.events.end(&q.token))
        .or_else(|| s.metadata.end(&q.token))
        .ok_or_else(|| faults::invalid_token("the search token"))?;
    Ok(EndSearchResponse { endpoint })
}
