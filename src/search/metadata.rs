//! FindMetadata and GetMetadataSearchResults (R6.13, R6.14).
//!
//! The documents of a metadata track are made of the events of its recording; so are those that are
//! searched, one for each instant at which something happened while the track was recorded.

use std::collections::VecDeque;
use std::sync::Arc;

use dvrgate_index::{Snapshot, SpanQuery};
use dvrgate_model::{
    Direction, EventOrigin, RecordingEvent, RecordingToken, TrackToken, Utc, UtcRange,
};
use dvrgate_soap::{Call, Element, Fault, Simple as _, ns};

use crate::results::{Steps, deliver};
use crate::service::Search;
use crate::walk::{MAX_LOOKED_AT, Walk};
use crate::wire::{FindMetadata, FindResponse, keep_alive, max_matches};
use crate::xpath::Filter;
use crate::{faults, notification, scope};

/// A search for documents.
#[derive(Clone, Debug)]
pub struct MetadataSearch {
    walk: Walk,
    filter: Arc<Filter>,
    /// Events of the newest instant: more of it may follow.
    instant: Vec<RecordingEvent>,
    ready: VecDeque<Found>,
}

/// tt:FindMetadataResult.
#[derive(Clone, Debug)]
struct Found {
    recording: RecordingToken,
    track: TrackToken,
    at: Utc,
}

/// Starts a search.
pub async fn find(s: Arc<Search>, call: Call, q: FindMetadata) -> Result<FindResponse, Fault> {
    let snapshot = s.index.snapshot();
    let recordings = scope::resolve(&call, &*snapshot, &q.scope.unwrap_or_default())?;
    let filter = Filter::parse(&q.filter.stream).map_err(faults::invalid_argument)?;
    let search = MetadataSearch {
        walk: Walk::new(snapshot, recordings, q.start, q.end),
        filter: Arc::new(filter),
        instant: Vec::new(),
        ready: VecDeque::new(),
    };
    s.metadata
        .start(search, keep_alive(q.keep_alive), max_matches(q.max_matches), q.start)
        .map(|token| FindResponse { token })
        .map_err(|e| faults::of_session(&call, &e))
}

/// Delivers the next results.
pub async fn results(s: Arc<Search>, call: Call) -> Result<Element, Fault> {
    deliver(&s.metadata, &*s.clock, call).await
}

impl Steps for MetadataSearch {
    fn snapshot(&self) -> Arc<dyn Snapshot> {
        Arc::clone(self.walk.snapshot())
    }

    fn next(&mut self) -> Option<(Utc, Element)> {
        let Found { recording, track, at } = self.ready.pop_front()?;
        let text = |local, text: &str| Element::new(ns::TT, local).with_text(text);
        let element = Element::new(ns::TT, "Result")
            .with(text("RecordingToken", recording.as_str()))
            .with(text("TrackToken", track.as_str()))
            .with(text("Time", &at.format()));
        Some((at, element))
    }

    fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn is_through(&self) -> bool {
        self.walk.is_exhausted()
    }

    fn position(&self) -> Utc {
        self.walk.position()
    }

    fn advance(&mut self) -> dvrgate_model::Result<()> {
        let mut looked_at = 0;
        while self.ready.is_empty() && !self.walk.is_exhausted() && looked_at < MAX_LOOKED_AT {
            let events = self.walk.page(None)?;
            looked_at += events.len();
            for event in events {
                if self.instant.first().is_some_and(|e| e.at.utc != event.at.utc) {
                    self.finish_instant()?;
                }
                // R4-3: the gateway's own events are not in the track.
                if event.origin != EventOrigin::Derived {
                    self.instant.push(event);
                }
            }
            if self.walk.is_exhausted() {
                self.finish_instant()?;
            }
        }
        Ok(())
    }
}

impl MetadataSearch {
    /// The documents of an instant, one for each recording, and whether they match.
    fn finish_instant(&mut self) -> dvrgate_model::Result<()> {
        let mut events = std::mem::take(&mut self.instant);
        events.sort_by(|a, b| (&a.recording, a.id).cmp(&(&b.recording, b.id)));
        for document in events.chunk_by(|a, b| a.recording == b.recording) {
            let Some(first) = document.first() else { continue };
            let Some(track) = self.track_at(&first.recording, first.at.utc)? else { continue };
            if self.filter.matches(&notification::stream(document)) {
                let (recording, at) = (first.recording.clone(), first.at.utc);
                self.ready.push_back(Found { recording, track, at });
            }
        }
        Ok(())
    }

    /// The metadata track of a recording, if it was recorded then.
    fn track_at(
        &self,
        recording: &RecordingToken,
        at: Utc,
    ) -> dvrgate_model::Result<Option<TrackToken>> {
        let Some(track) = self.walk.metadata_track(recording) else { return Ok(None) };
        let spans = self.walk.snapshot().spans(&SpanQuery {
            track: track.token.clone(),
            range: UtcRange::clamped(at, at.plus_us(1)),
            direction: Direction::Forward,
            limit: 1,
            after: None,
        })?;
        Ok((!spans.items.is_empty()).then(|| track.token.clone()))
    }
}
