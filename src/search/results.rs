//! What all searches through time do with a result request (R6.8, R6.10, R6.14).

use std::sync::Arc;
use std::time::Duration;

use dvrgate_index::{Snapshot, blocking};
use dvrgate_model::Utc;
use dvrgate_model::ports::Clock;
use dvrgate_soap::{Call, Element, Fault, Simple as _, Value as _, ns};

use crate::faults;
use crate::session::Sessions;
use crate::wire::{GetResults, SearchState};

/// How long a result request may work where the client does not say.
const DEFAULT_WAIT: Duration = Duration::from_secs(5);
/// And at most.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// A search that is made step by step.
pub trait Steps: Clone + Send + Sync + 'static {
    /// What it searches.
    fn snapshot(&self) -> Arc<dyn Snapshot>;

    /// The next result that is made, and its time.
    fn next(&mut self) -> Option<(Utc, Element)>;

    /// Whether there is one.
    fn has_ready(&self) -> bool;

    /// Whether no more will be made.
    fn is_through(&self) -> bool;

    /// The time reached so far.
    fn position(&self) -> Utc;

    /// Makes more results. Blocks on the index.
    fn advance(&mut self) -> dvrgate_model::Result<()>;
}

/// Delivers the next results.
pub async fn deliver<S: Steps>(
    sessions: &Sessions<S>,
    clock: &dyn Clock,
    call: Call,
) -> Result<Element, Fault> {
    let q = GetResults::read(&call.request)?;
    let mut lease = sessions.take(&q.token).map_err(|e| faults::of_session(&call, &e))?;
    let limit = q.limit(lease.left);
    let wait = q.wait_time.map_or(DEFAULT_WAIT, |w| w.0).min(MAX_WAIT);
    let deadline = clock.now() + wait;

    let mut elements = Vec::new();
    let mut reached = lease.state.position();
    while elements.len() < limit {
        if let Some((at, element)) = lease.state.next() {
            reached = at;
            elements.push(element);
            continue;
        }
        if lease.state.is_through() || clock.now() > deadline {
            break;
        }
        // The search is worked on as a copy, so that a failing index does not end the session.
        let mut search = lease.state.clone();
        let snapshot = search.snapshot();
        let step = blocking(snapshot, move |_| search.advance().map(|()| search)).await;
        match step {
            Ok(search) => lease.state = search,
            Err(e) => {
                sessions.put_back(lease, 0, reached);
                return Err(call.fault(&e));
            }
        }
    }

    let delivered = elements.len() as u64;
    let through = lease.state.is_through() && !lease.state.has_ready();
    let complete = through || lease.left == Some(delivered);
    let state = if complete { SearchState::Completed } else { SearchState::Searching };
    if complete {
        sessions.complete(lease);
    } else {
        sessions.put_back(lease, delivered, reached);
    }
    let list = Element::new(ns::TSE, "ResultList")
        .with(Element::new(ns::TT, "SearchState").with_text(state.format()))
        .with_all(elements);
    Ok(call.response().with(list))
}
