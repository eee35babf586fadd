//! From a recorder's event to an ONVIF message: topic and items (ONVIF Core 9; Recording Search
//! 5.18 to 5.20). The only place that makes topics.

use dvrgate_model::{Item, Items, Topic};
use smallvec::SmallVec;

use super::Mapping;
use super::schema::{EventMapping, ItemMapping};
use crate::SourceEvent;

/// What an event becomes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MappedEvent {
    /// ONVIF topic.
    pub topic: Topic,
    /// Source and data items.
    pub items: Items,
    /// Whether it is a property.
    pub property: bool,
}

impl Mapping {
    /// What the event becomes, or `None` for a code that the mapping does not know. `source` is
    /// the token that stands for the event's channel.
    pub fn convert(&self, event: &SourceEvent, source: &str) -> Option<MappedEvent> {
        self.event(&event.code).map(|mapping| mapping.convert(event, source))
    }
}

impl EventMapping {
    /// All data items.
    pub fn data(&self) -> impl Iterator<Item = &ItemMapping> {
        self.item.iter().chain(&self.items)
    }

    /// Whether events of this code are properties.
    pub fn is_property(&self) -> bool {
        self.property.unwrap_or_else(|| self.data().any(ItemMapping::is_state))
    }

    fn convert(&self, event: &SourceEvent, source: &str) -> MappedEvent {
        let mut source_items = SmallVec::new();
        if !self.source.is_empty() {
            source_items.push(Item { name: self.source.clone(), value: source.to_owned() });
        }
        let data = self
            .data()
            .filter_map(|m| Some(Item { name: m.name.clone(), value: m.value_for(event)? }))
            .collect();
        MappedEvent {
            topic: self.topic.0.clone(),
            items: Items { source: source_items, data },
            property: self.is_property(),
        }
    }
}

impl ItemMapping {
    fn is_state(&self) -> bool {
        self.active.is_some() || (self.from.is_none() && self.value.is_none())
    }

    /// `None` where the recorder did not say.
    fn value_for(&self, event: &SourceEvent) -> Option<String> {
        if let Some(value) = &self.value {
            return Some(value.clone());
        }
        let field = self.from.as_ref().and_then(|from| {
            let mut fields = event.items.data.iter().chain(&event.items.source);
            fields.find(|i| i.name == *from).map(|i| i.value.as_str())
        });
        if !self.is_state() {
            return field.map(str::to_owned);
        }
        let by_field = || Some(field?.eq_ignore_ascii_case(self.active.as_ref()?));
        // A code that only ever says that something began has no state to tell.
        let active = event.active.or_else(by_field).unwrap_or(true);
        Some(active.to_string())
    }
}
