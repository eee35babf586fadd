//! FindRecordings and GetRecordingSearchResults (R6.7, R6.8).

use std::collections::VecDeque;
use std::sync::Arc;

use dvrgate_index::Snapshot;
use dvrgate_model::RecordingToken;
use dvrgate_soap::{Call, Element, Fault, Simple as _, ns};

use crate::faults;
use crate::information::information;
use crate::scope;
use crate::service::Search;
use crate::wire::{FindRecordings, FindResponse, GetResults, SearchState, keep_alive, max_matches};

/// What is left to deliver, and the view it is delivered from: every result comes from the same
/// instant however long the client takes.
#[derive(Debug)]
pub struct RecordingSearch {
    snapshot: Arc<dyn Snapshot>,
    rest: VecDeque<RecordingToken>,
}

/// Starts a search.
pub async fn find(s: Arc<Search>, call: Call, q: FindRecordings) -> Result<FindResponse, Fault> {
    let snapshot = s.index.snapshot();
    let found = scope::resolve(&call, &*snapshot, &q.scope.unwrap_or_default())?;
    let rest = found.iter().map(|r| r.token.clone()).collect();
    let search = RecordingSearch { snapshot, rest };
    s.recordings
        .start(search, keep_alive(q.keep_alive), max_matches(q.max_matches), s.clock.utc())
        .map(|token| FindResponse { token })
        .map_err(|e| faults::of_session(&call, &e))
}

/// Delivers the next results. All of them are known, so nobody waits.
pub async fn results(s: Arc<Search>, call: Call) -> Result<Element, Fault> {
    let q = <GetResults as dvrgate_soap::Value>::read(&call.request)?;
    let mut lease = s.recordings.take(&q.token).map_err(|e| faults::of_session(&call, &e))?;
    let limit = q.limit(lease.left);
    let mut elements = Vec::new();
    while elements.len() < limit {
        let Some(token) = lease.state.rest.pop_front() else { break };
        let found = lease.state.snapshot.recording(&token).map_err(|e| call.fault(&e))?;
        elements
            .extend(found.map(|r| information(&r, Element::new(ns::TT, "RecordingInformation"))));
    }
    let delivered = elements.len() as u64;
    let complete = lease.state.rest.is_empty() || lease.left == Some(delivered);
    let state = if complete { SearchState::Completed } else { SearchState::Searching };
    if complete {
        s.recordings.complete(lease);
    } else {
        // The place reached has no meaning here (R6.15-3); the time is one that every client can read.
        s.recordings.put_back(lease, delivered, s.clock.utc());
    }
    let list = Element::new(ns::TSE, "ResultList")
        .with(Element::new(ns::TT, "SearchState").with_text(state.format()))
        .with_all(elements);
    Ok(call.response().with(list))
}
