//! Entries of the log and alerts of the stream, as source events.

use dvrgate_adapter::SourceEvent;
use dvrgate_model::{Item, Items, ZoneClaim};

use super::{Numbering, reading};
use crate::wire::alert_stream::Alert;
use crate::wire::log_search::Entry;

/// A log entry. Its time is local, also where it carries a `Z`. `None` where it cannot be read.
pub(crate) fn log_entry(e: &Entry, numbering: &Numbering) -> Option<SourceEvent> {
    let mut time = reading(&e.time)?;
    time.zone = ZoneClaim::None;
    Some(SourceEvent {
        channel: numbering.of_log(&e.channel),
        time: Some(time),
        code: e.event.as_str().into(),
        active: edge(&e.event),
        items: data([
            ("category", Some(e.category.as_str())),
            ("userName", Some(e.user.as_str())),
            ("ipAddress", Some(e.address.as_str())),
            ("additionInformation", Some(e.text.as_str())),
        ]),
        live: false,
    })
}

/// Whether the name of a log entry says that something begins or ends.
fn edge(event: &str) -> Option<bool> {
    let event = event.to_ascii_lowercase();
    let begins = event.ends_with("start") || event == "startrec" || event == "ipcconnect";
    let ends = event.ends_with("stop") || event == "stoprec" || event == "ipcdisconnect";
    match (begins, ends) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// An alert. `None` for heartbeats.
pub(crate) fn alert(a: &Alert, numbering: &Numbering) -> Option<SourceEvent> {
    if a.is_heartbeat() {
        return None;
    }
    let dynamic = a.dynamic_channel.map(|n| numbering.of_dynamic(n));
    let state = a.active.map(|on| if on { "active" } else { "inactive" });
    Some(SourceEvent {
        channel: dynamic.or_else(|| a.channel.map(|n| numbering.of_event(n))),
        time: reading(&a.time),
        code: a.event.as_str().into(),
        active: a.active,
        items: data([
            ("eventState", state),
            ("regionID", a.region.as_deref()),
            ("detectionTarget", a.target.as_deref()),
            ("inputIOPortID", a.input.as_deref()),
            ("diskNo", a.disk.as_deref()),
        ]),
        // What the device kept from before the connection has only its own time.
        live: !a.resent,
    })
}

fn data<'a>(fields: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Items {
    let filled = fields.into_iter().filter_map(|(n, v)| Some((n, v.filter(|v| !v.is_empty())?)));
    Items {
        source: Default::default(),
        data: filled.map(|(n, v)| Item { name: n.to_owned(), value: v.to_owned() }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use dvrgate_adapter::Mapping;
    use dvrgate_model::ChannelId;

    use super::*;
    use crate::wire::alert_stream::parse_part;
    use crate::wire::channels::Input;
    use crate::wire::splitter::Splitter;
    use crate::wire::{log_search, search, testing};

    fn mapping() -> Mapping {
        Mapping::parse("hikvision.toml", include_str!("../../../mappings/hikvision.toml")).unwrap()
    }

    fn numbering() -> Numbering {
        let inputs = |ids: &[u32]| -> Vec<Input> {
            ids.iter().map(|id| Input { id: *id, ..Input::default() }).collect()
        };
        Numbering::new(&inputs(&[1, 2, 3]), &inputs(&[4, 5]))
    }

    #[test]
    fn every_code_of_the_fixtures_is_mapped() {
        let m = mapping();
        let log =
            testing::parse(include_bytes!("../fixtures/log_page.xml"), log_search::parse).unwrap();
        for e in &log.items {
            let event = log_entry(e, &numbering()).unwrap();
            assert!(m.convert(&event, "yard-1").is_some(), "{}", event.code);
        }
        let stream = include_bytes!("../fixtures/alert_stream.txt");
        for part in Splitter::default().push(stream) {
            if let Some(event) = alert(&parse_part(&part).unwrap(), &numbering()) {
                assert!(m.convert(&event, "yard-1").is_some(), "{}", event.code);
            }
        }
        let page =
            testing::parse(include_bytes!("../fixtures/search_page.xml"), search::parse).unwrap();
        for item in &page.items {
            assert!(m.knows_reason(&item.record_type), "{}", item.record_type);
        }
    }

    #[test]
    fn alerts_become_events_and_heartbeats_do_not() {
        let stream = include_bytes!("../fixtures/alert_stream.txt");
        let events: Vec<_> = Splitter::default()
            .push(stream)
            .iter()
            .filter_map(|p| alert(&parse_part(p).unwrap(), &numbering()))
            .collect();
        let seen: Vec<_> = events.iter().map(|e| (&*e.code, e.channel, e.active)).collect();
        assert_eq!(
            seen,
            [
                ("VMD", Some(ChannelId(1)), Some(true)),
                ("videoloss", Some(ChannelId(2)), Some(true)),
                ("fielddetection", Some(ChannelId(5)), Some(true)),
                ("linedetection", Some(ChannelId(3)), Some(true)),
                ("IO", None, Some(true)),
            ]
        );
        assert!(events.iter().all(|e| e.live && e.time.is_some()));
        let motion = mapping().convert(&events[0], "yard-1").unwrap();
        assert_eq!(motion.topic.as_str(), "tns1:VideoSource/MotionAlarm");
        assert_eq!(motion.items.data[0].value, "true");
    }

    #[test]
    fn log_times_are_local_even_with_a_z() {
        let log =
            testing::parse(include_bytes!("../fixtures/log_page.xml"), log_search::parse).unwrap();
        let e = log_entry(&log.items[1], &numbering()).unwrap();
        let t = e.time.unwrap();
        assert_eq!((&*t.raw, t.zone), ("2026-09-21T14:21:00Z", ZoneClaim::None));
        let stop = log_entry(&log.items[2], &numbering()).unwrap();
        assert_eq!((stop.channel, stop.active), (Some(ChannelId(4)), Some(false)));
    }
}
