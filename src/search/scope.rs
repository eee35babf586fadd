//! tt:SearchScope to a list of recordings (R6.2.4).

use std::sync::Arc;

use dvrgate_index::{Scope, Snapshot};
use dvrgate_model::Recording;
use dvrgate_soap::{Call, Element, Fault, ns};

use crate::faults;
use crate::information::information;
use crate::wire::SearchScope;
use crate::xpath::{Filter, Node};

/// The recordings that a scope means, by token: the union of the listed sources and recordings
/// (all, where none is listed), as far as the filter matches.
pub fn resolve(
    call: &Call,
    snapshot: &dyn Snapshot,
    scope: &SearchScope,
) -> Result<Vec<Arc<Recording>>, Fault> {
    let mut found = snapshot.recordings(&Scope::all()).map_err(|e| call.fault(&e))?;
    for token in &scope.recordings {
        if !found.iter().any(|r| r.token.as_str() == token) {
            return Err(faults::invalid_token("a recording of the scope"));
        }
    }
    for source in &scope.sources {
        if !found.iter().any(|r| is_source(r, &source.token)) {
            return Err(faults::invalid_source(&source.token));
        }
    }
    if !scope.recordings.is_empty() || !scope.sources.is_empty() {
        found.retain(|r| {
            scope.recordings.iter().any(|t| t == r.token.as_str())
                || scope.sources.iter().any(|s| is_source(r, &s.token))
        });
    }
    if let Some(text) = scope.filter.as_deref().map(str::trim).filter(|t| !t.is_empty()) {
        let filter = Filter::parse(text).map_err(faults::invalid_argument)?;
        let name = Element::new(ns::TT, "RecordingInformation");
        found.retain(|r| filter.matches(&information(r, name.clone())));
    }
    Ok(found)
}

/// Clients name a source by its id, or by the token of the recording that stands for it.
fn is_source(recording: &Recording, token: &str) -> bool {
    recording.source.source_id == token || recording.token.as_str() == token
}

impl Node for Element {
    fn name(&self) -> &str {
        &Element::name(self).local
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        Element::attribute(self, name)
    }

    fn text(&self) -> std::borrow::Cow<'_, str> {
        Element::text(self)
    }

    fn children(&self) -> impl Iterator<Item = &Self> {
        self.elements()
    }
}
