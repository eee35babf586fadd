//! Alerts that are told again and again while they last, and whose end is often not told.
//!
//! The first one of a burst is passed on. What repeats it is not, so that a line is crossed once.
//! Where something that lasts has not been repeated for a while, its end is told in place of the
//! device.

use std::time::Duration;

use dvrgate_adapter::SourceEvent;
use dvrgate_model::ChannelId;

/// More things at once do not last: the oldest are forgotten.
const MAX_OPEN: usize = 1_024;

/// What is under way.
#[derive(Debug, Default)]
pub(crate) struct Bursts {
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    key: Key,
    /// When it is over if it is not repeated.
    until: Duration,
    /// The event that tells its end.
    end: Option<SourceEvent>,
}

#[derive(Debug, Eq, PartialEq)]
struct Key {
    code: String,
    channel: Option<ChannelId>,
    /// Region or input.
    part: Option<String>,
}

/// How a code behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Manner {
    /// Both edges are told: passed on as they are.
    Edges,
    /// It lasts and is repeated; its end may not be told.
    Repeated,
    /// It happens: only its begin means something.
    Once,
}

impl Bursts {
    /// What of an event is to be passed on. `now` is any time that only grows.
    pub(crate) fn take(
        &mut self,
        event: SourceEvent,
        manner: Manner,
        now: Duration,
        quiet: Duration,
    ) -> Option<SourceEvent> {
        let (Some(active), false) = (event.active, manner == Manner::Edges || !event.live) else {
            return Some(event);
        };
        let key = key(&event);
        let known = self.open.iter().position(|o| o.key == key);
        let until = now + quiet;
        match (active, known.and_then(|at| self.open.get_mut(at))) {
            (true, Some(open)) => {
                open.until = until;
                None
            }
            (true, None) => {
                if self.open.len() >= MAX_OPEN {
                    self.open.remove(0);
                }
                let end = (manner == Manner::Repeated).then(|| end_of(&event));
                self.open.push(Open { key, until, end });
                Some(event)
            }
            (false, _) => {
                if let Some(at) = known {
                    self.open.remove(at);
                }
                (manner == Manner::Repeated).then_some(event)
            }
        }
    }

    /// When the next one is over.
    pub(crate) fn next_end(&self) -> Option<Duration> {
        self.open.iter().map(|o| o.until).min()
    }

    /// The ends of what was not repeated in time.
    pub(crate) fn over(&mut self, now: Duration) -> Vec<SourceEvent> {
        let (over, open) =
            std::mem::take(&mut self.open).into_iter().partition(|o: &Open| o.until <= now);
        self.open = open;
        over.into_iter().filter_map(|o: Open| o.end).collect()
    }
}

fn key(event: &SourceEvent) -> Key {
    let part = ["regionID", "inputIOPortID"]
        .iter()
        .find_map(|name| event.items.data.iter().find(|i| i.name == *name))
        .map(|i| i.value.clone());
    Key { code: event.code.to_ascii_lowercase(), channel: event.channel, part }
}

/// The device did not say when: it counts when it is found out.
fn end_of(event: &SourceEvent) -> SourceEvent {
    let mut end = SourceEvent { active: Some(false), time: None, ..event.clone() };
    for item in end.items.data.iter_mut().filter(|i| i.name == "eventState") {
        item.value = "inactive".to_owned();
    }
    end
}

#[cfg(test)]
mod tests {
    use dvrgate_model::{Item, Items};

    use super::*;

    const QUIET: Duration = Duration::from_secs(15);

    fn event(active: Option<bool>, region: &str, live: bool) -> SourceEvent {
        let item = |name: &str, value: &str| Item { name: name.into(), value: value.into() };
        SourceEvent {
            channel: Some(ChannelId(1)),
            time: None,
            code: "VMD".into(),
            active,
            items: Items {
                source: Default::default(),
                data: [item("eventState", "active"), item("regionID", region)]
                    .into_iter()
                    .collect(),
            },
            live,
        }
    }

    #[test]
    fn a_burst_has_one_begin_and_one_end() {
        let mut b = Bursts::default();
        let s = Duration::from_secs;
        let on = || event(Some(true), "1", true);
        assert!(b.take(on(), Manner::Repeated, s(0), QUIET).is_some());
        assert_eq!(b.take(on(), Manner::Repeated, s(1), QUIET), None);
        // Another region is something else.
        assert!(b.take(event(Some(true), "2", true), Manner::Repeated, s(2), QUIET).is_some());
        assert_eq!(b.next_end(), Some(s(16)));
        assert!(b.over(s(15)).is_empty());
        let over = b.over(s(16));
        assert_eq!((over.len(), over[0].active), (1, Some(false)));
        assert_eq!(over[0].items.data[0].value, "inactive");
        // An end that is told is the end.
        assert!(b.take(event(Some(false), "2", true), Manner::Repeated, s(16), QUIET).is_some());
        assert_eq!((b.next_end(), b.over(s(99)).len()), (None, 0));
        assert!(b.take(on(), Manner::Repeated, s(99), QUIET).is_some());
    }

    #[test]
    fn what_happens_once_has_no_end_and_the_rest_passes() {
        let mut b = Bursts::default();
        let s = Duration::from_secs;
        let on = |live| event(Some(true), "1", live);
        assert!(b.take(on(true), Manner::Once, s(0), QUIET).is_some());
        assert_eq!(b.take(on(true), Manner::Once, s(1), QUIET), None);
        assert_eq!(b.take(event(Some(false), "1", true), Manner::Once, s(2), QUIET), None);
        assert!(b.take(on(true), Manner::Once, s(3), QUIET).is_some());
        assert!(b.over(s(18)).is_empty());
        assert!(b.take(on(true), Manner::Once, s(19), QUIET).is_some());
        for _ in 0..2 {
            assert!(b.take(on(true), Manner::Edges, s(20), QUIET).is_some());
            assert!(b.take(on(false), Manner::Once, s(20), QUIET).is_some());
            assert!(b.take(event(None, "1", true), Manner::Once, s(20), QUIET).is_some());
        }
    }

    #[test]
    fn what_is_under_way_is_bounded() {
        let mut b = Bursts::default();
        for n in 0..3 * MAX_OPEN {
            b.take(event(Some(true), &n.to_string(), true), Manner::Repeated, QUIET, QUIET);
        }
        assert_eq!(b.open.len(), MAX_OPEN);
    }
}
