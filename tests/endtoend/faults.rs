//! Recorders that fail, disks that lie, people who mistype: nothing hangs, panics or is lost.

use std::time::{Duration, Instant};

use dvrgate_testkit::Faults;

use crate::pictures::{self, SIZE};
use crate::rig::{DEVICE, Gateway, Recorder, Site, eventually};
use crate::truth::{self, assert_index};
use crate::wire::Client;

const SECOND_US: i64 = 1_000_000;
const FRAME_US: i64 = 80_000;
/// A command with an unwilling recorder ends in this time.
const BEARABLE: Duration = Duration::from_secs(100);
/// A transfer that stalls does so behind its first pictures.
const STALL_BYTES: u64 = 200_000;

const YARD: &str = r#"
[clock]
offset_s = 137.4
zone = "Europe/Bratislava"
[storage]
file = "1m"
[[channel]]
id = 1
[[channel.recorded]]
from = "-30m"
to = "-25m"
"#;

/// Plays 20 s from `ahead_s` after the beginning and checks each picture.
fn plays(gateway: &Gateway, recorder: &Recorder, ahead_s: i64) -> usize {
    let truth = recorder.truth();
    let from = truth::spans(truth::channel(&truth, 1))[0].start().plus_us(ahead_s * SECOND_US);
    let mut client = Client::ready(&gateway.replay(&format!("{DEVICE}-1")), false);
    let until = from.plus_us(20 * SECOND_US);
    let units = client.play_range(from, until, "1.0", until);
    client.teardown();
    let shown = pictures::checked(&units, SIZE, FRAME_US);
    assert!(shown.len() >= 249, "{}", shown.len());
    shown.len()
}

#[test]
fn a_recorder_that_is_unplugged_silent_or_mad_fails_a_sync_and_recovers() {
    type Fault = fn(&mut Faults);
    let faults: [(&str, Fault); 3] = [
        ("unplugged", |f| f.unplugged = true),
        ("garbage", |f| f.garbage = true),
        ("silent", |f| f.silent = true),
    ];
    let recorder = Recorder::start(YARD);
    let site = Site::new(&recorder);
    for (what, fault) in faults {
        recorder.control.change(fault);
        let begun = Instant::now();
        let ended = site.run("sync", &[]);
        assert_eq!(ended.code, Some(1), "{what}: {ended:?}");
        assert!(ended.stderr.contains("device yard: "), "{what}: {}", ended.stderr);
        assert!(begun.elapsed() < BEARABLE, "{what} took {:?}", begun.elapsed());
        recorder.control.change(|f| *f = Faults::default());
    }
    site.sync();
    assert_index(&site, &recorder);
}

#[test]
fn footage_that_was_stored_plays_without_the_recorder() {
    let recorder = Recorder::start(YARD);
    let site = Site::new(&recorder);
    site.sync();
    let mut gateway = site.serve();
    let pictures = plays(&gateway, &recorder, 0);
    recorder.control.change(|f| f.unplugged = true);
    assert_eq!(plays(&gateway, &recorder, 0), pictures, "out of the store");
    // What is not stored cannot be had; the gateway goes on.
    let mut client = Client::ready(&gateway.replay(&format!("{DEVICE}-1")), false);
    let answer = client.ask(
        "PLAY",
        &gateway.replay(&format!("{DEVICE}-1")),
        &[("Range", "npt=240-250"), ("Rate-Control", "no"), ("Require", "onvif-replay")],
    );
    // Either at once or, as that was accepted before it was known, by the end of the connection.
    match answer.status {
        200 => client.until_closed(),
        status => assert_eq!(status, 503, "{answer:?}"),
    }
    assert!(gateway.alive());
    recorder.control.change(|f| f.unplugged = false);
    eventually("the recorder is reached again", || {
        let state = "state=\"Ready\"} 1";
        gateway.page("/metrics").1.contains(state).then_some(())
    });
    plays(&gateway, &recorder, 200);
    // And after a restart nothing of it is lost.
    gateway.kill();
    let again = site.serve();
    recorder.control.change(|f| f.unplugged = true);
    assert_eq!(plays(&again, &recorder, 0), pictures, "kept over kill -9");
}

#[test]
fn transfers_that_break_are_taken_up_again() {
    let recorder = Recorder::start(YARD);
    let site = Site::new(&recorder);
    site.sync();
    let mut gateway = site.serve();
    // A transfer ends in the middle of its program stream, connection and all, after some nine
    // seconds.
    recorder.control.change(|f| f.truncate_after_bytes = Some(1_000_000));
    plays(&gateway, &recorder, 0);
    assert!(gateway.figure("footage_transfer_breaks_total") >= 1);
    // Every other one breaks right behind its headers.
    recorder.control.change(|f| {
        *f = Faults { drop_after_headers_every: 2, ..Faults::default() };
    });
    plays(&gateway, &recorder, 100);
    assert!(gateway.alive());
    recorder.control.change(|f| *f = Faults::default());
    plays(&gateway, &recorder, 200);
    eventually("no session is left", || {
        (recorder.counters.read().playback_open == 0).then_some(())
    });
    assert_eq!(recorder.counters.read().playback_max, 1, "one session is freed before the next");
    gateway.stop();
}

#[test]
fn a_transfer_that_stalls_is_given_up_and_taken_up_again() {
    let recorder = Recorder::start(YARD);
    let site = Site::new(&recorder);
    site.sync();
    let gateway = site.serve();
    let before = recorder.counters.read().footage_bytes_sent;
    recorder.control.change(|f| f.stall_after_bytes = Some(STALL_BYTES));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            eventually("the transfer stalls", || {
                let sent = recorder.counters.read().footage_bytes_sent - before;
                (sent >= STALL_BYTES).then_some(())
            });
            recorder.control.change(|f| *f = Faults::default());
        });
        // A viewer notices a pause.
        plays(&gateway, &recorder, 0);
    });
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    gateway.stop();
    eventually("no session is left", || {
        (recorder.counters.read().playback_open == 0).then_some(())
    });
}

#[test]
fn a_corrupt_index_is_rebuilt_and_footage_is_kept() {
    let recorder = Recorder::start(YARD);
    let site = Site::new(&recorder);
    site.sync();
    let gateway = site.serve();
    let pictures = plays(&gateway, &recorder, 0);
    gateway.stop();
    let fetched = recorder.counters.read().footage_bytes_sent;
    let index = site.data().join("index.duckdb");
    assert!(index.exists());
    std::fs::write(&index, b"this is no database").unwrap();
    let ended = site.sync();
    assert!(ended.stderr.contains("rebuilt"), "{}", ended.stderr);
    assert_index(&site, &recorder);
    let gateway = site.serve();
    let calibrated = recorder.counters.read().footage_bytes_sent;
    // Its clock is known from before, to the microsecond.
    assert_eq!(plays(&gateway, &recorder, 0), pictures);
    let more = recorder.counters.read().footage_bytes_sent - calibrated;
    assert!(more < fetched / 2, "{more} bytes again, {fetched} the first time");
    gateway.stop();
}

#[test]
fn mistakes_in_the_configuration_name_line_and_remedy() {
    let recorder = Recorder::start(YARD);
    for (from, to, line, remedy) in [
        ("name = \"Test site\"", "nam = \"Test site\"", 2, "unknown field"),
        ("level = \"administrator\"", "level = \"root\"", 10, "administrator"),
        ("vendor = \"hikvision\"", "vendor = \"hikvison\"", 15, "known are: "),
        ("url = \"http://", "url = \"ftp://", 16, "use http://"),
        ("playback_sessions = 2", "playback_sessions = 0", 21, "use 1 or more"),
        ("id = \"yard\"", "id = \"the yard\"", 14, "letters, digits or underscores"),
        ("data_dir = \"data\"\n", "", 1, "data_dir"),
    ] {
        let site = Site::with(&recorder, |text| {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            changed
        });
        for command in ["check", "sync", "serve"] {
            let ended = site.run(command, &[]);
            assert_eq!(ended.code, Some(2), "{command} {to}: {ended:?}");
            let place = format!("{}:{line}: ", site.config().display());
            assert!(ended.stderr.contains(&place), "{command} {to}: {}", ended.stderr);
            assert!(ended.stderr.contains(remedy), "{command} {to}: {}", ended.stderr);
        }
    }
    let nobody = crate::rig::Process::start(&["check", "--config", "/nowhere/dvrgate.toml"]).end();
    assert_eq!(nobody.code, Some(2));
    assert!(nobody.stderr.contains("/nowhere/dvrgate.toml"), "{}", nobody.stderr);
    assert_eq!(recorder.counters.read().requests, 0, "no recorder was contacted");
}
