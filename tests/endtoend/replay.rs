//! Replay as a VMS uses it, over recorders that can only play forwards: an hour in reverse, and
//! sessions that end in whichever way.

use std::thread;
use std::time::{Duration, Instant};

use dvrgate_hikvision_simulator::Pace;
use dvrgate_model::Utc;

use crate::pictures::{self, SIZE};
use crate::rig::{DEVICE, Gateway, Recorder, Site, eventually};
use crate::truth;
use crate::wire::{Client, Unit};

const SECOND_US: i64 = 1_000_000;
const FRAME_US: i64 = 80_000;
const PICTURES_OF_GROUP: usize = 25;
/// Where the recordings of [`HOUR`] are.
const CHANNEL: u16 = 4;
/// 23 millionths of three hours.
const DRIFTED_US: i64 = 250_000;
/// So many units of a replay are decoded and their pictures looked at.
const LOOKED_AT: usize = 500;

/// One more channel for the recorder of the demo: an hour with three gaps.
const HOUR: &str = r#"
[[channel]]
id = 4
name = "Loading bay"
[[channel.recorded]]
from = "-3h"
to = "-160m"
[[channel.recorded]]
from = "-155m"
to = "-140m"
[[channel.recorded]]
from = "-139m30s"
to = "-130m"
[[channel.recorded]]
from = "-122m"
to = "-2h"
"#;

/// The recorder of the demo with the hour, and a gateway in front that may have two sessions of it.
fn depot() -> (Recorder, Site, Gateway) {
    let recorder = Recorder::start(&format!("{}{HOUR}", include_str!("../../src/cli/demo.toml")));
    let site = Site::with(&recorder, |text| text.replace("\"2h\"", "\"5h\""));
    site.sync();
    let gateway = site.serve();
    (recorder, site, gateway)
}

/// R8.6-1, R8.6-2, R8.6-3, R8.3-8, R8.3-9, R8.3-10, R8.3-15: pictures of a whole channel in reverse
/// are in order, have their marks, and none is missing or twice. `of_group` is how many of a group
/// are sent.
fn check_reverse(units: &[Unit], expected: &[Utc], sections: usize, of_group: usize) {
    assert!(units.iter().all(|u| u.clean == u.discontinuity), "groups begin clean, with D");
    let groups: Vec<&[Unit]> = units.chunk_by(|_, next| !next.discontinuity).collect();
    for group in &groups {
        assert!(group[0].clean && group.len() <= of_group, "{group:?}");
        assert!(group.windows(2).all(|w| w[0].at < w[1].at), "forwards inside of a group");
        assert!(group[..group.len() - 1].iter().all(|u| !u.end_of_section && !u.terminal));
    }
    for pair in groups.windows(2) {
        let (later, earlier) = (&pair[0], &pair[1]);
        let distance = later[0].at.since_us(earlier[earlier.len() - 1].at);
        assert!(distance > 0, "groups fall: {later:?} {earlier:?}");
        let gap = distance > PICTURES_OF_GROUP as i64 * FRAME_US + SECOND_US;
        assert_eq!(later[later.len() - 1].end_of_section, gap, "{distance} us before {later:?}");
    }
    let last = groups.last().unwrap().last().unwrap();
    assert!(last.end_of_section && last.terminal);
    assert_eq!(units.iter().filter(|u| u.end_of_section).count(), sections);
    assert_eq!(units.iter().filter(|u| u.terminal).count(), 1);

    let mut times: Vec<Utc> = units.iter().map(|u| u.at).collect();
    times.sort();
    assert_eq!(times.len(), expected.len(), "pictures");
    // Of a clock that it has only just met, the gateway does not know how it drifted in these hours.
    let errors: Vec<i64> = times.iter().zip(expected).map(|(a, b)| a.since_us(*b)).collect();
    assert!(errors.iter().all(|e| e.abs() < DRIFTED_US + FRAME_US), "{errors:?}");
    let jumps = errors.windows(2).map(|w| (w[1] - w[0]).abs());
    assert!(jumps.max().unwrap() < FRAME_US / 2, "one for one: {errors:?}");
}

/// All of the above over an hour with gaps, three viewers at once: the recorder sees two
/// sessions at most, none refused or left behind, each asked to play forwards.
#[test]
fn an_hour_in_reverse_with_gaps_never_exceeds_the_budget_of_the_recorder() {
    let (recorder, _site, gateway) = depot();
    let truth = recorder.truth();
    let channel = truth::channel(&truth, CHANNEL);
    let spans = truth::spans(channel);
    let expected = truth::pictures(channel);
    assert!(expected.len() > 30_000, "{}", expected.len());
    let keys: Vec<Utc> = expected.iter().step_by(PICTURES_OF_GROUP).copied().collect();
    let end = spans.last().unwrap().end();
    let before = recorder.counters.read();
    let url = gateway.replay(&format!("{DEVICE}-{CHANNEL}"));
    let viewer = |fields: &'static [(&'static str, &'static str)]| {
        let (url, range) = (url.clone(), truth::clock(end, None));
        thread::spawn(move || {
            let mut client = Client::ready(&url, false);
            let range = ("Range", range.as_str());
            let all = [&[range, ("Rate-Control", "no")], fields].concat();
            client.play(&all);
            let units = client.until(|u, _| u.terminal);
            client.teardown();
            units
        })
    };
    let viewers = [
        viewer(&[("Scale", "-1.0")]),
        viewer(&[("Scale", "-1.0"), ("Frames", "intra")]),
        viewer(&[("Scale", "-1.0"), ("Frames", "intra/60000")]),
    ];
    let [all, intra, minutes] = viewers.map(|v| v.join().unwrap());
    check_reverse(&all, &expected, spans.len(), PICTURES_OF_GROUP);
    check_reverse(&intra, &keys, spans.len(), 1);
    // R8.5.4-2
    assert!(minutes.windows(2).all(|w| w[0].at.since_us(w[1].at) >= 60 * SECOND_US));
    assert!(minutes.len() >= 45, "{}", minutes.len());
    // What the pictures themselves show.
    let groups = expected.chunks(PICTURES_OF_GROUP).rev().flatten().copied();
    let order: Vec<Utc> = groups.take(LOOKED_AT).collect();
    assert_eq!(pictures::shown(&all[..LOOKED_AT], SIZE), order);

    let after = eventually("no session is left open", || {
        let readings = recorder.counters.read();
        (readings.playback_open == 0).then_some(readings)
    });
    println!(
        "{} pictures in reverse; sessions: {} at most, {} in all",
        all.len(),
        after.playback_max,
        after.playback_started - before.playback_started
    );
    assert!(after.playback_max <= 2, "{}", after.playback_max);
    assert_eq!((after.playback_refused, after.playback_abandoned), (0, 0));
    assert_eq!(after.sins, Vec::<String>::new());
    // Nothing was fetched for each viewer by itself.
    let bytes = after.footage_bytes_sent - before.footage_bytes_sent;
    let once: usize = all.iter().flat_map(|u| &u.payloads).map(Vec::len).sum();
    assert!(bytes < 2 * once as u64, "{bytes} bytes for {once}");
    gateway.stop();
}

/// Ten minutes that a recorder plays no faster than they were recorded.
const SLOW: &str = r#"
[clock]
offset_s = 137.4
zone = "Europe/Bratislava"
[behaviour]
HOW
[storage]
file = "5m"
[[channel]]
id = 1
[[channel.recorded]]
from = "-30m"
to = "-20m"
"#;

/// R8.7-4: a viewer that vanishes or says goodbye gives its session of the recorder back within a
/// second, while the recorder is in the middle of playing for it.
#[test]
fn a_session_that_ends_frees_the_recorder_within_a_second() {
    for how in ["download_broken = true", "download_rate = 150000"] {
        frees_the_recorder(how);
    }
}

fn frees_the_recorder(how: &str) {
    const WITHIN: Duration = Duration::from_secs(1);
    let recorder = Recorder::paced(&SLOW.replace("HOW", how), Pace::Times(4.0));
    let site = Site::new(&recorder);
    site.sync();
    let gateway = site.serve();
    let url = gateway.replay(&format!("{DEVICE}-1"));
    let open = || recorder.counters.read().playback_open;
    type End = fn(Client);
    let ends: [(&str, End); 2] = [("vanished", drop), ("torn down", Client::teardown)];
    for (n, (what, end)) in ends.into_iter().enumerate() {
        for (m, pace) in ["yes", "no"].into_iter().enumerate() {
            // Footage that nobody has seen yet.
            let range = format!("npt={}-", 60 + 120 * (2 * n + m));
            let mut client = Client::ready(&url, false);
            client.play(&[("Range", &range), ("Rate-Control", pace)]);
            client.until(|u, _| u.clean);
            eventually("the recorder plays for it", || (open() > 0).then_some(()));
            let begun = Instant::now();
            end(client);
            eventually("the session is given back", || (open() == 0).then_some(()));
            let took = begun.elapsed();
            assert!(took < WITHIN, "{how}: {what}, Rate-Control {pace}: {took:?}");
            println!("{how}: {what}, Rate-Control {pace}: free after {took:?}");
        }
    }
    gateway.stop();
    assert_eq!(recorder.counters.read().playback_abandoned, 0);
}

/// A recorder that is recording.
const LIVE: &str = r#"
[clock]
offset_s = 137.4
zone = "Europe/Bratislava"
[storage]
file = "1m"
[[channel]]
id = 1
[[channel.recorded]]
from = "-2m"
to = "now"
"#;

/// R8.8-1, R8.8-2: viewers catch up with a recorder that is recording, with rate control and without,
/// and follow it over a border of its files. No picture is missing, none twice, and no end is claimed.
#[test]
fn viewers_follow_a_recorder_that_is_recording() {
    const BEFORE_US: i64 = 60 * SECOND_US;
    const FOLLOWED_US: i64 = 25 * SECOND_US;
    /// Until the next look of sync, and a group that is whole.
    const BEHIND: Duration = Duration::from_secs(8);
    let recorder = Recorder::start(LIVE);
    let site = Site::with(&recorder, |text| text.replace("\"5s\"", "\"1s\""));
    site.sync();
    let gateway = site.serve();
    let truth = recorder.truth();
    let now = truth::utc(&truth.now);
    let from = now.plus_us(-BEFORE_US);
    let viewers: Vec<_> = [("no", "1.0"), ("yes", "4.0")]
        .into_iter()
        .map(|(pace, scale)| {
            let (url, range) = (gateway.replay(&format!("{DEVICE}-1")), truth::clock(from, None));
            thread::spawn(move || {
                let begun = Instant::now();
                let mut client = Client::ready(&url, false);
                let fields = [("Range", &*range), ("Rate-Control", pace), ("Scale", scale)];
                client.play(&fields);
                let units = client.until(|u, _| u.at.since_us(now) >= FOLLOWED_US);
                client.teardown();
                let behind = begun.elapsed().saturating_sub(Duration::from_secs(25));
                assert!(behind < BEHIND, "{pace}: {behind:?} behind");
                println!("Rate-Control {pace}: {behind:?} behind the recorder");
                units
            })
        })
        .collect();
    let all: Vec<Vec<Unit>> = viewers.into_iter().map(|v| v.join().unwrap()).collect();
    let truth = recorder.truth();
    let whole = truth::pictures(truth::channel(&truth, 1));
    for units in &all {
        let first =
            whole.iter().position(|p| p.since_us(units[0].at).abs() < FRAME_US / 2).unwrap();
        assert!(whole[first].since_us(from).abs() <= 2 * SECOND_US, "{:?}", whole[first]);
        for (unit, picture) in units.iter().zip(&whole[first..]) {
            assert!(unit.at.since_us(*picture).abs() < FRAME_US / 2, "{unit:?} {picture:?}");
            assert!(!unit.end_of_section && !unit.terminal && !unit.discontinuity, "{unit:?}");
        }
    }
    let readings = recorder.counters.read();
    let seen: usize = all[0].iter().flat_map(|u| &u.payloads).map(Vec::len).sum();
    println!(
        "{} pictures of {seen} bytes; the recorder: {} sessions, {} bytes",
        all[0].len(),
        readings.playback_started,
        readings.footage_bytes_sent
    );
    assert!(readings.playback_max <= 2, "{}", readings.playback_max);
    assert_eq!(readings.sins, Vec::<String>::new());
    gateway.stop();
}
