//! From a recorder's log and alert stream to events of recordings.

use std::collections::{BTreeMap, HashMap};

use dvrgate_adapter::{Mapping, SourceEvent};
use dvrgate_model::{
    ChannelId, ClockMap, DeviceId, EventOrigin, Hint, Items, RecordingEvent, RecordingToken, Stamp,
    Topic, Utc, UtcRange,
};

use crate::order::place;

/// What is needed to place events.
#[derive(Clone, Debug)]
pub struct Places<'a> {
    /// Whose events.
    pub device: &'a DeviceId,
    /// Its clock.
    pub map: &'a ClockMap,
    /// What its codes mean.
    pub mapping: &'a Mapping,
    /// The recording of each channel. What concerns the whole recorder is told on the first.
    pub recordings: &'a BTreeMap<ChannelId, RecordingToken>,
}

/// Events of a log, placed.
#[derive(Debug, Default)]
pub struct Placed {
    /// In the order of the log.
    pub events: Vec<RecordingEvent>,
    /// Codes that the mapping does not know, with how often they were met.
    pub unknown_codes: BTreeMap<Box<str>, u64>,
    /// Events without a time, or of channels that have no recording.
    pub unplaced: u64,
}

impl Places<'_> {
    /// Places the entries that a log has for a stretch of time, oldest first. `breaks` are the
    /// places before which the order of the log is broken.
    pub fn log(&self, range: UtcRange, entries: &[SourceEvent], breaks: &[usize]) -> Placed {
        let mut placed = Placed::default();
        // Recorders' logs have a time for every entry; one without has no place in the order.
        let timed: Vec<_> = entries.iter().filter_map(|e| Some((e, e.time.as_ref()?))).collect();
        placed.unplaced = (entries.len() - timed.len()) as u64;
        let said: Vec<_> = timed.iter().map(|(_, time)| (*time, *time)).collect();
        for ((entry, _), (at, _)) in timed.iter().zip(place(self.map, range, &said, breaks)) {
            if self.mapping.event(&entry.code).is_none() {
                *placed.unknown_codes.entry(entry.code.clone()).or_default() += 1;
                continue;
            }
            match self.place(entry, at, EventOrigin::Log) {
                Some(event) => placed.events.push(event),
                None => placed.unplaced += 1,
            }
        }
        placed
    }

    /// Places an event that was pushed: at the recorder's time where that is near the time of
    /// receipt, else at receipt.
    pub fn live(&self, event: &SourceEvent, received: Utc) -> Option<RecordingEvent> {
        let receipt = Stamp { utc: received, uncertainty_us: RECEIPT_US, ..Stamp::default() };
        let said = event.time.as_ref().map(|t| self.map.to_utc(t, Hint::Near(received)));
        let near = |s: &Stamp| s.utc.since_us(received).unsigned_abs() <= BELIEVED_US;
        self.place(event, said.filter(near).unwrap_or(receipt), EventOrigin::Live)
    }

    fn place(&self, event: &SourceEvent, at: Stamp, origin: EventOrigin) -> Option<RecordingEvent> {
        let (recording, source) = match event.channel {
            Some(channel) => {
                let recording = self.recordings.get(&channel)?;
                (recording, recording.as_str())
            }
            None => (self.recordings.values().next()?, self.device.as_str()),
        };
        let mapped = self.mapping.convert(event, source)?;
        // Log and alert stream write times differently; the reading is what they share.
        let when = match &event.time {
            Some(time) => time.civil.to_string(),
            None => at.utc.to_string(),
        };
        Some(RecordingEvent {
            id: RecordingEvent::derive_id(recording, &mapped.topic, &mapped.items, &when),
            recording: recording.clone(),
            track: None,
            at,
            source: event.time.clone(),
            topic: mapped.topic,
            items: mapped.items,
            property: mapped.property,
            origin,
        })
    }
}

/// Of events that were placed, those that the index does not have. `known` are the events of the
/// same stretch of time, a little wider.
pub fn unknown(placed: Vec<RecordingEvent>, known: &[RecordingEvent]) -> Vec<RecordingEvent> {
    let by_id: HashMap<_, _> = known.iter().map(|e| (e.id, e)).collect();
    let mut by_subject: HashMap<_, Vec<&RecordingEvent>> = HashMap::new();
    for e in known {
        by_subject.entry(subject(e)).or_default().push(e);
    }
    let told = |new: &RecordingEvent| match by_id.get(&new.id) {
        Some(old) => old.at == new.at,
        // Pushed while it happened, and now in the log; or the other way round.
        None => by_subject.get(&subject(new)).is_some_and(|same| {
            same.iter().any(|old| {
                let apart_us = old.at.utc.since_us(new.at.utc).unsigned_abs();
                old.origin != new.origin && apart_us <= SAME_EVENT_US && state(old) == state(new)
            })
        }),
    };
    placed.into_iter().filter(|e| !told(e)).collect()
}

/// The states of properties as the alert stream told them: it repeats itself.
#[derive(Debug, Default)]
pub struct States(HashMap<(RecordingToken, Topic, String), String>);

impl States {
    /// Whether the event says something new.
    pub fn is_news(&mut self, event: &RecordingEvent) -> bool {
        if !event.property {
            return true;
        }
        let state = state(event).unwrap_or_default().to_owned();
        self.0.insert(subject(event), state.clone()) != Some(state)
    }
}

fn subject(event: &RecordingEvent) -> (RecordingToken, Topic, String) {
    (event.recording.clone(), event.topic.clone(), Items::encode(&event.items.source))
}

/// The first data item is the state of a property.
fn state(event: &RecordingEvent) -> Option<&str> {
    event.items.data.first().map(|i| i.value.as_str())
}

/// Log and alert stream are taken to tell the same event when they are this close.
const SAME_EVENT_US: u64 = 3_000_000;
/// An alert on its way.
const RECEIPT_US: u64 = 1_000_000;
/// A pushed time further away from the receipt is not believed.
const BELIEVED_US: u64 = 60_000_000;
