//! The metadata track: what the recorder's log tells, between the pictures during which it happened.

use dvrgate_model::Utc;

use crate::rig::{DEVICE, Recorder, Site};
use crate::truth::{self, clock, utc};
use crate::wire::{Client, Kind, Unit};

/// Two clips of twenty seconds, a minute apart, with motion in both and in between.
const YARD: &str = r#"
[clock]
offset_s = 137.4
zone = "Europe/Bratislava"
[[channel]]
id = 1
audio = true
[[channel.recorded]]
from = "-30m"
to = "-29m40s"
[[channel.recorded]]
from = "-28m40s"
to = "-28m20s"
[[channel]]
id = 2
[[channel.recorded]]
from = "-30m"
to = "-29m40s"
[[event]]
kind = "motion"
channel = 1
at = "-29m55s"
until = "-29m51s"
[[event]]
kind = "motion"
channel = 1
at = "-29m45s"
until = "-29m10s"
[[event]]
kind = "motion"
channel = 1
at = "-28m34s"
until = "-28m29s"
"#;

/// A document: when, what of motion, whether it tells a state that was there already.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    at: Utc,
    motion: bool,
    state: bool,
}

/// R8.3-13: the extension says the time that stands in the document.
fn told(unit: &Unit) -> Told {
    let text = String::from_utf8(unit.payloads.concat()).unwrap();
    let document = read(&text);
    assert_eq!(document.at, unit.at, "{text}");
    document
}

/// What a document says, with nothing of the gateway's own.
fn read(text: &str) -> Told {
    let attribute = |name: &str, in_: &str| {
        let rest =
            in_.split_once(&format!(" {name}=\"")).unwrap_or_else(|| panic!("{name}: {in_}")).1;
        rest.split_once('"').unwrap().0.to_owned()
    };
    assert!(text.starts_with("<?xml"), "{text}");
    assert!(text.ends_with("</tt:MetadataStream>"), "{text}");
    assert!(text.contains(">tns1:VideoSource/MotionAlarm</wsnt:Topic>"), "{text}");
    // R4-3
    assert!(!text.contains("RecordingHistory"), "{text}");
    let data = text.split_once("<tt:Data>").unwrap().1;
    Told {
        at: utc(&attribute("UtcTime", text)),
        motion: attribute("Value", data) == "true",
        state: attribute("PropertyOperation", text) == "Initialized",
    }
}

/// Plays all without rate control.
fn play(url: &str, kinds: &[Kind], from: Utc, fields: &[(&str, &str)]) -> Vec<Unit> {
    let mut client = Client::ready_for(url, kinds);
    let range = clock(from, None);
    let mut all = vec![("Range", range.as_str()), ("Rate-Control", "no")];
    all.extend(fields);
    client.play(&all);
    let wanted = kinds.len();
    // T is told for each stream.
    let (mut units, mut ended) = (Vec::new(), 0);
    while ended < wanted {
        let more = client.until(|u, _| u.terminal);
        ended += 1;
        units.extend(more);
    }
    client.teardown();
    units
}

fn documents(units: &[Unit]) -> Vec<Told> {
    units.iter().filter(|u| u.kind == Kind::Document).map(told).collect()
}

/// R4-3, R6.9-1, R8.2-1, R8.2-2, R8.2-3, R8.3-1, R8.5.3-3, R8.5.4-1, R8.6-5, R8.T-11: what happened is
/// told between the pictures, in both directions, whichever pictures are wanted, and alone.
#[test]
fn what_happened_is_told_between_the_pictures() {
    let recorder = Recorder::start(YARD);
    let site = Site::new(&recorder);
    site.sync();
    let gateway = site.serve();
    let truth = recorder.truth();
    let spans = truth::spans(truth::channel(&truth, 1));
    let url = gateway.replay(&format!("{DEVICE}-1"));
    let (first, last) = (spans[0].start(), spans[1].end());

    let client = Client::open(&url);
    let section = client.sdp.split("\nm=").find(|s| s.starts_with("application")).unwrap();
    assert!(section.contains(" vnd.onvif.metadata/90000\r"), "{section}");
    assert!(section.contains(&format!("a=x-onvif-track:{DEVICE}-1-metadata\r")), "{section}");
    drop(client);

    let both = [Kind::Picture, Kind::Document];
    let units = play(&url, &both, first, &[]);
    let told = documents(&units);
    // Two beginnings, an end; the end in the gap is known behind it.
    let said: Vec<_> = told.iter().map(|t| (t.motion, t.state)).collect();
    let expected = [
        (true, false),
        (false, false),
        (true, false),
        (false, true),
        (true, false),
        (false, false),
    ];
    assert_eq!(said, expected, "{told:?}");
    let really = ["-29m55s", "-29m51s", "-29m45s"].len();
    let events = &truth.events;
    let near = |said: Utc, really: &str| said.since_us(utc(really)).abs() <= 2_000_000;
    assert!(near(told[0].at, &events[0].at) && near(told[1].at, events[0].until.as_ref().unwrap()));
    assert!(near(told[really - 1].at, &events[1].at) && near(told[4].at, &events[2].at));
    assert!(told[3].at.since_us(spans[1].start()).abs() <= 2_000_000, "{told:?}");
    let order: Vec<_> = units.iter().map(|u| (u.at, u.kind)).collect();
    assert!(order.is_sorted_by_key(|u| u.0), "in the order of time: {order:?}");
    let pictures = units.iter().filter(|u| u.kind == Kind::Picture).count();
    assert_eq!(pictures, truth::pictures(truth::channel(&truth, 1)).len());
    let marks = |u: &&Unit| (u.end_of_section, u.terminal);
    let of_documents: Vec<_> =
        units.iter().filter(|u| u.kind == Kind::Document).map(|u| marks(&u)).collect();
    let (no, gap, end) = ((false, false), (true, false), (true, true));
    assert_eq!(of_documents, [no, no, gap, no, no, end]);

    // Intra pictures only: the same documents.
    let units = play(&url, &both, first, &[("Frames", "intra")]);
    assert!(units.iter().all(|u| u.clean));
    assert_eq!(documents(&units), told);

    // The metadata alone.
    let units = play(&url, &[Kind::Document], first, &[]);
    assert_eq!(units.len(), told.len());
    assert_eq!(documents(&units), told);

    // In reverse the last one comes first, each with a jump.
    let units = play(&url, &both, last, &[("Scale", "-1.0")]);
    let mut backwards = documents(&units);
    assert!(units.iter().filter(|u| u.kind == Kind::Document).all(|u| u.discontinuity));
    assert!(backwards.iter().rev().map(|t| t.at).is_sorted());
    backwards.retain(|t| !t.state);
    backwards.reverse();
    assert_eq!(backwards, told.into_iter().filter(|t| !t.state).collect::<Vec<_>>());
    gateway.stop();
}

/// R8.3-9, R8.10-1, R8.10-2: a seek goes for the documents as for the pictures; states are told where
/// playback begins. R5.1-2: where nothing happened the track is there and empty.
#[test]
fn seeking_among_documents() {
    let recorder = Recorder::start(YARD);
    let site = Site::new(&recorder);
    site.sync();
    let gateway = site.serve();
    let truth = recorder.truth();
    let spans = truth::spans(truth::channel(&truth, 1));
    let mut client = Client::ready_for(
        &gateway.replay(&format!("{DEVICE}-1")),
        &[Kind::Picture, Kind::Document],
    );
    let is_document = |u: &Unit| u.kind == Kind::Document;
    // The log has whole seconds, so two seconds later it is past.
    let (one, other) = (&truth.events[0], &truth.events[1]);
    let changes = [(&one.at, true), (one.until.as_ref().unwrap(), false), (&other.at, true)];
    for (changed, motion) in changes {
        let from = utc(changed).plus_us(2_000_000);
        let range = clock(from, None);
        let fields = [("Range", range.as_str()), ("Rate-Control", "no"), ("Immediate", "yes")];
        let (cseq, _) = client.play(&fields);
        let units = client.until(|u, _| u.cseq == cseq && is_document(u));
        let first = units.iter().find(|u| u.cseq == cseq && is_document(u)).unwrap();
        assert!(first.discontinuity && first.clean);
        let state = told(first);
        assert_eq!((state.motion, state.state), (motion, true), "{state:?}");
        assert_eq!(state.at, from);
    }
    client.teardown();

    let quiet = format!("{DEVICE}-2");
    let client = Client::open(&gateway.replay(&quiet));
    assert!(client.sdp.contains(&format!("a=x-onvif-track:{quiet}-metadata\r")), "{}", client.sdp);
    let units = play(&gateway.replay(&quiet), &[Kind::Picture], spans[0].start(), &[]);
    assert!(!units.is_empty());
    gateway.stop();
    assert!(truth::indexed(&site, "metadata").iter().all(|s| s.recording != quiet));
}
