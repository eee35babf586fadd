//! The index is what the recorder holds: spans, reasons and events, however sync went.

use std::collections::BTreeSet;

use dvrgate_model::Utc;
use dvrgate_testkit::EventKind;

use crate::rig::{DEVICE, Process, Recorder, Site, eventually};
use crate::truth::{self, assert_index, utc};

const SECOND_US: i64 = 1_000_000;
const HOUR_US: i64 = 3_600 * SECOND_US;

/// Six hours on four channels with gaps and every kind of reason; nothing grows.
const DEPOT: &str = r#"
[clock]
offset_s = 137.4
drift_ppm = 12.0
zone = "Europe/Bratislava"
[behaviour]
profile = "nvr-4.60"
[storage]
file = "4m"
[[channel]]
id = 1
kind = "ip"
name = "Yard"
audio = true
[[channel.recorded]]
from = "-6h"
to = "-4h"
[[channel.recorded]]
from = "-3h30m"
to = "-20m"
[[channel]]
id = 2
kind = "ip"
name = "Ramp"
[[channel.recorded]]
from = "-6h"
to = "-30m"
reason = "motion"
every = "11m"
lasting = "45s"
[[channel]]
id = 3
kind = "ip"
name = "Nothing"
[[channel]]
id = 7
kind = "ip"
name = "Door"
[[channel.recorded]]
from = "-5h"
to = "-4h30m"
reason = "alarm"
[[channel.recorded]]
from = "-4h30m"
to = "-4h"
[[channel.recorded]]
from = "-4h"
to = "-3h50m"
reason = "manual"
[[event]]
kind = "motion"
channel = 1
at = "-5h55m"
until = "-30m"
every = "13m"
lasting = "20s"
[[event]]
kind = "video-loss"
channel = 7
at = "-2h"
[[event]]
kind = "line-crossed"
channel = 2
at = "-100m"
until = "-99m"
"#;

fn site(recorder: &Recorder) -> Site {
    Site::with(recorder, |text| text.replace("\"2h\"", "\"12h\""))
}

/// Beginnings and ends of motion, by recording, to whole seconds.
fn true_motion(recorder: &Recorder) -> Vec<(String, Utc, bool)> {
    let truth = recorder.truth();
    let motion = truth.events.iter().filter(|e| e.kind == EventKind::Motion);
    let mut out: Vec<_> = motion
        .flat_map(|e| {
            let recording = format!("{DEVICE}-{}", e.channel.unwrap());
            let end = e.until.as_deref().map(|u| (recording.clone(), utc(u), false));
            [Some((recording, utc(&e.at), true)), end]
        })
        .flatten()
        .collect();
    out.sort();
    out
}

fn indexed_motion(site: &Site) -> Vec<(String, Utc, bool)> {
    let rows = site.list("events");
    let mut out: Vec<_> = rows
        .iter()
        .filter(|r| r["topic"] == "tns1:VideoSource/MotionAlarm")
        .map(|r| {
            let state = r["data"].as_str().unwrap().contains("true");
            (r["recording"].as_str().unwrap().to_owned(), utc(r["time"].as_str().unwrap()), state)
        })
        .collect();
    out.sort();
    out
}

fn assert_motion(site: &Site, recorder: &Recorder) {
    let (said, really) = (indexed_motion(site), true_motion(recorder));
    let same = |(a, b): (&(String, Utc, bool), &(String, Utc, bool))| {
        a.0 == b.0 && a.2 == b.2 && a.1.since_us(b.1).abs() <= 2 * SECOND_US
    };
    assert!(
        said.len() == really.len() && said.iter().zip(&really).all(same),
        "said: {said:#?}\nreally: {really:#?}"
    );
}

/// Recording history must tell of exactly the spans of each video track (R6.17-2, R6.9-13).
fn assert_history(site: &Site, recorder: &Recorder) {
    let rows = site.list("events");
    for channel in &recorder.truth().channels {
        let track = format!("{DEVICE}-{}-video", channel.id);
        let edges: Vec<(Utc, bool)> = rows
            .iter()
            .filter(|r| r["topic"] == "tns1:RecordingHistory/Track/State" && r["track"] == *track)
            .map(|r| {
                (utc(r["time"].as_str().unwrap()), r["data"].as_str().unwrap().contains("true"))
            })
            .collect();
        let spans = truth::spans(channel);
        assert_eq!(edges.len(), 2 * spans.len(), "{track}: {edges:?}, spans {spans:?}");
        for (span, edge) in spans.iter().zip(edges.chunks(2)) {
            assert!(edge[0].1 && !edge[1].1, "{track}: {edge:?}");
            let off = |a: Utc, b: Utc| a.since_us(b).abs() > 2 * SECOND_US;
            assert!(
                !off(edge[0].0, span.start()) && !off(edge[1].0, span.end()),
                "{span:?} {edge:?}"
            );
        }
    }
}

#[test]
fn equals_the_recorder_after_a_sync_a_second_one_and_after_overwriting() {
    let recorder = Recorder::start(DEPOT);
    let site = site(&recorder);
    site.sync();
    assert_index(&site, &recorder);
    assert_motion(&site, &recorder);
    assert_history(&site, &recorder);
    let names: BTreeSet<String> =
        site.list("recordings").iter().map(|r| r["token"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["yard-1", "yard-2", "yard-3", "yard-7"].map(str::to_owned).into());

    let again = site.sync().stdout;
    assert!(again.contains(" 0 new, 0 changed, 0 gone segments, 0 new events;"), "{again}");
    assert_index(&site, &recorder);
    assert_motion(&site, &recorder);

    // The disk was full: the oldest hour is gone.
    let truth = recorder.truth();
    let oldest = truth.channels.iter().flat_map(truth::spans).map(|s| s.start()).min().unwrap();
    recorder.overwrite_before(oldest.plus_us(HOUR_US));
    let third = site.sync().stdout;
    assert!(!third.contains(" 0 gone segments"), "{third}");
    assert_index(&site, &recorder);
    assert_history(&site, &recorder);
    assert_eq!(recorder.counters.read().sins, Vec::<String>::new());
}

#[test]
fn equals_the_recorder_when_a_sync_was_killed_in_the_middle() {
    let recorder = Recorder::start(DEPOT);
    let site = site(&recorder);
    let config = site.config();
    let searches = |r: &Recorder| {
        let by_path = r.counters.read().requests_by_path;
        by_path.iter().filter(|(p, _)| p.ends_with("earch")).map(|(_, n)| n).sum::<u64>()
    };
    for more in [6, 14] {
        let seen = searches(&recorder);
        let sync = Process::start(&["sync", "--config", config.to_str().unwrap()]);
        eventually("searches", || (searches(&recorder) >= seen + more).then_some(()));
        sync.signal("KILL");
        assert_eq!(sync.end().code, None, "it was killed before its end");
    }
    site.sync();
    assert_index(&site, &recorder);
    assert_motion(&site, &recorder);
    assert_history(&site, &recorder);
    eventually("no session is left", || {
        (recorder.counters.read().playback_open == 0).then_some(())
    });
}

#[test]
fn follows_footage_that_grows_and_events_as_they_happen() {
    let recorder = Recorder::start(
        "[clock]\noffset_s = 137.4\nzone = \"Europe/Bratislava\"\n[storage]\nfile = \"1m\"\n\
         [[channel]]\nid = 1\n[[channel.recorded]]\nfrom = \"-10m\"\nto = \"now\"\n",
    );
    let site = Site::with(&recorder, |text| text.replace("\"5s\"", "\"1s\""));
    site.sync();
    let gateway = site.serve();
    eventually("the alert stream", || {
        (recorder.counters.read().event_streams_open == 1).then_some(())
    });
    let happened = utc(&recorder.truth().now);
    recorder.happen(dvrgate_testkit::archive::LoggedEvent {
        at: happened,
        until: None,
        kind: EventKind::LineCrossed,
        channel: Some(1),
    });
    // R6.3.1-4 and R8.8: the end of what is recorded moves on while it is served.
    let latest = |site: &Site| utc(site.list("recordings")[0]["latest"].as_str().unwrap());
    gateway_has(&gateway, "recordings", 1);
    eventually("the next group of pictures is known", || {
        (recorder
            .counters
            .read()
            .requests_by_path
            .iter()
            .any(|(p, n)| p.ends_with("/search") && *n > 12))
        .then_some(())
    });
    gateway.stop();
    assert!(latest(&site).since_us(happened) > 0, "{} {happened}", latest(&site));
    let crossed = site.list("events");
    let crossed: Vec<_> =
        crossed.iter().filter(|r| r["topic"].as_str().unwrap().contains("LineDetector")).collect();
    assert!(!crossed.is_empty(), "told by the alert stream");
    let off = utc(crossed[0]["time"].as_str().unwrap()).since_us(happened);
    assert!(off.abs() <= 3 * SECOND_US, "{off} us off");
    assert_eq!(recorder.counters.read().event_streams_open, 0);
}

fn gateway_has(gateway: &crate::rig::Gateway, figure: &str, n: u64) {
    eventually(figure, || (gateway.figure(figure) == n).then_some(()));
}
