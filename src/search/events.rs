//! FindEvents and GetEventSearchResults (R6.9, R6.10).

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use dvrgate_index::{Snapshot, StateQuery};
use dvrgate_model::{
    EventOrigin, Items, Recording, RecordingEvent, Stamp, Topic, Track, Utc, topics,
};
use dvrgate_soap::{Call, Element, Fault, ns};

use crate::results::{Steps, deliver};
use crate::service::Search;
use crate::topic::TopicFilter;
use crate::walk::{MAX_LOOKED_AT, Walk};
use crate::wire::{FindEvents, FindResponse, keep_alive, max_matches};
use crate::xpath::Filter;
use crate::{faults, notification, scope};

/// A search for events: where it stands and what it looks for.
#[derive(Clone, Debug)]
pub struct EventSearch {
    walk: Walk,
    filter: Arc<EventFilter>,
    /// Virtual events that come first, made when the first result is asked for.
    at_start: StartState,
    /// Results that are made but not delivered.
    ready: VecDeque<RecordingEvent>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum StartState {
    NotWanted,
    Wanted,
    Made,
}

/// wsnt:FilterType: topics and contents, each met by any of its expressions, both needed.
#[derive(Debug, Default)]
struct EventFilter {
    topics: Vec<TopicFilter>,
    contents: Vec<Filter>,
}

/// Starts a search.
pub async fn find(s: Arc<Search>, call: Call, q: FindEvents) -> Result<FindResponse, Fault> {
    let snapshot = s.index.snapshot();
    let recordings = scope::resolve(&call, &*snapshot, &q.scope.unwrap_or_default())?;
    let filter = q.filter.as_ref().map(EventFilter::read).transpose()?.unwrap_or_default();
    let search = EventSearch {
        walk: Walk::new(snapshot, recordings, q.start, q.end),
        filter: Arc::new(filter),
        at_start: match q.include_start_state {
            Some(true) => StartState::Wanted,
            _ => StartState::NotWanted,
        },
        ready: VecDeque::new(),
    };
    s.events
        .start(search, keep_alive(q.keep_alive), max_matches(q.max_matches), q.start)
        .map(|token| FindResponse { token })
        .map_err(|e| faults::of_session(&call, &e))
}

/// Delivers the next results.
pub async fn results(s: Arc<Search>, call: Call) -> Result<Element, Fault> {
    deliver(&s.events, &*s.clock, call).await
}

/// Dialects of topic expressions. One grammar reads them all; it has the wildcards of the full one.
const TOPIC_DIALECTS: &[&str] = &[
    "http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet",
    "http://docs.oasis-open.org/wsn/t-1/TopicExpression/Concrete",
    "http://docs.oasis-open.org/wsn/t-1/TopicExpression/Full",
    "http://docs.oasis-open.org/wsn/t-1/TopicExpression/Simple",
];
/// Dialects of filters for contents, which are one in all but name (ONVIF Core 9.6.3, Search 5.20).
const CONTENT_DIALECTS: &[&str] = &[
    "http://www.onvif.org/ver10/tev/messageContentFilter/ItemFilter",
    "http://www.onvif.org/ver10/tse/searchFilter",
    "http://www.w3.org/TR/1999/REC-xpath-19991116",
];
/// Marks events that were never recorded but tell a state.
const VIRTUAL: dvrgate_model::EventId = dvrgate_model::EventId(0);

impl Steps for EventSearch {
    fn snapshot(&self) -> Arc<dyn Snapshot> {
        Arc::clone(self.walk.snapshot())
    }

    fn next(&mut self) -> Option<(Utc, Element)> {
        let event = self.ready.pop_front()?;
        let virtual_at = (event.id == VIRTUAL).then_some(event.at.utc);
        Some((event.at.utc, notification::result(&event, virtual_at)))
    }

    fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn is_through(&self) -> bool {
        self.walk.is_exhausted() && self.at_start != StartState::Wanted
    }

    fn position(&self) -> Utc {
        self.walk.position()
    }

    fn advance(&mut self) -> dvrgate_model::Result<()> {
        self.look()
    }
}

impl EventSearch {
    /// Makes more results ready. Blocks on the index.
    fn look(&mut self) -> dvrgate_model::Result<()> {
        if self.at_start == StartState::Wanted {
            // R6.9-5, R6.9-6: at the start point; a search backwards also at its end point.
            let events = self.states_at(self.walk.first())?;
            self.ready.extend(events);
            self.at_start = StartState::Made;
            return Ok(());
        }
        let mut looked_at = 0;
        while self.ready.is_empty() && !self.walk.is_exhausted() && looked_at < MAX_LOOKED_AT {
            let events = self.walk.page(self.filter.exact_topics())?;
            looked_at += events.len();
            let found = events.into_iter().filter(|e| self.filter.matches(e));
            let found: Vec<_> = found.map(|e| self.on_its_track(e)).collect();
            self.ready.extend(found);
        }
        if self.walk.is_exhausted() && self.walk.is_reverse() && self.at_start == StartState::Made {
            let events = self.states_at(self.walk.earliest())?;
            self.ready.extend(events);
        }
        Ok(())
    }

    /// R6.9-1: what the recorder told is in the metadata track, as far as that reaches (R6.9-14);
    /// what the gateway says of its own recordings is not (R4-3).
    fn on_its_track(&self, mut event: RecordingEvent) -> RecordingEvent {
        if event.track.is_none() && event.origin != EventOrigin::Derived {
            let metadata = self.walk.metadata_track(&event.recording);
            let holds = |t: &&Track| t.data.is_some_and(|d| d.contains(event.at.utc));
            event.track = metadata.filter(holds).map(|t| t.token.clone());
        }
        event
    }

    /// Virtual events: the state of every property at an instant, and of the recording history even
    /// where nothing was ever recorded before it.
    fn states_at(&self, at: Utc) -> dvrgate_model::Result<Vec<RecordingEvent>> {
        let known = self.walk.snapshot().state_at(&StateQuery {
            scope: self.walk.scope(),
            at,
            topics: self.filter.exact_topics(),
        })?;
        let have: HashSet<(String, String)> =
            known.iter().map(|e| (e.topic.to_string(), Items::encode(&e.items.source))).collect();
        let missing = self
            .walk
            .recordings()
            .iter()
            .flat_map(|r| unrecorded(r))
            .filter(|e| !have.contains(&(e.topic.to_string(), Items::encode(&e.items.source))));
        let mut events: Vec<RecordingEvent> =
            known.into_iter().chain(missing).filter(|e| self.filter.matches(e)).collect();
        for event in &mut events {
            event.id = VIRTUAL;
            event.at = Stamp { utc: at, ..event.at };
        }
        let mut events: Vec<_> = events.into_iter().map(|e| self.on_its_track(e)).collect();
        events.sort_by(|a, b| {
            (&a.recording, &a.topic, &a.track).cmp(&(&b.recording, &b.topic, &b.track))
        });
        Ok(events)
    }
}

/// The history properties of a recording before its first data.
fn unrecorded(r: &Recording) -> impl Iterator<Item = RecordingEvent> {
    let token = r.token.as_str();
    let event =
        |topic: &str, track: Option<&dvrgate_model::TrackToken>, items: Items| RecordingEvent {
            id: VIRTUAL,
            recording: r.token.clone(),
            track: track.cloned(),
            at: Stamp::default(),
            source: None,
            topic: Topic::new(topic),
            items,
            property: true,
            origin: EventOrigin::Derived,
        };
    let recording = event(
        topics::RECORDING_STATE,
        None,
        Items::new([("RecordingToken", token)], [("IsRecording", "false")]),
    );
    let tracks: Vec<_> = r
        .tracks
        .iter()
        .map(|t| {
            let source = [("RecordingToken", token), ("Track", t.token.as_str())];
            let items = Items::new(source, [("IsDataPresent", "false")]);
            event(topics::TRACK_STATE, Some(&t.token), items)
        })
        .collect();
    std::iter::once(recording).chain(tracks)
}

impl EventFilter {
    /// Reads wsnt:FilterType. What it does not understand is a fault, not ignored (R6.9-10).
    fn read(filter: &Element) -> Result<Self, Fault> {
        let mut out = Self::default();
        for part in filter.elements() {
            let text = part.text();
            let topic = part.is(ns::WSNT, "TopicExpression");
            let known = match topic {
                true => TOPIC_DIALECTS,
                false if part.is(ns::WSNT, "MessageContent") => CONTENT_DIALECTS,
                false => return Err(faults::invalid_filter(part.name().local.as_ref())),
            };
            let dialect = part.attribute("Dialect").map_or("", str::trim);
            if !dialect.is_empty() && !known.contains(&dialect) {
                return Err(faults::invalid_filter(format!("the dialect {dialect}")));
            }
            if text.is_empty() {
                continue;
            }
            if topic {
                let topics = TopicFilter::parse(&text, &prefixes(part, &text))
                    .ok_or_else(|| faults::invalid_filter("no topic expression"))?;
                out.topics.push(topics);
            } else {
                out.contents.push(Filter::parse(&text).map_err(faults::invalid_filter)?);
            }
        }
        Ok(out)
    }

    fn matches(&self, event: &RecordingEvent) -> bool {
        let topic = self.topics.is_empty() || self.topics.iter().any(|t| t.matches(&event.topic));
        if !topic || self.contents.is_empty() {
            return topic;
        }
        let message = notification::message(event, event.at.utc, false);
        self.contents.iter().any(|f| f.matches(&message))
    }

    /// The topics as a list, where no wildcard is among them.
    fn exact_topics(&self) -> Option<Vec<Topic>> {
        if self.topics.is_empty() {
            return None;
        }
        let lists: Option<Vec<Vec<Topic>>> = self.topics.iter().map(TopicFilter::exact).collect();
        lists.map(|l| l.into_iter().flatten().collect())
    }
}

/// The namespaces of the prefixes that a topic expression uses.
fn prefixes(element: &Element, expression: &str) -> HashMap<String, String> {
    expression
        .split(['/', '|'])
        .filter_map(|step| {
            let (prefix, _) = step.trim().split_once(':')?;
            Some((prefix.to_owned(), element.namespace(prefix)?.to_owned()))
        })
        .collect()
}
