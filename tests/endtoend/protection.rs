//! The recorder's own counters prove that it is treated with care, and logs that secrets stay so.

use std::thread;

use dvrgate_testkit::counters::CounterReadings;

use crate::pictures::{self, SIZE};
use crate::rig::{DEVICE, PASSWORD, Process, Recorder, Site, eventually};
use crate::truth;
use crate::wire::Client;

const SECOND_US: i64 = 1_000_000;
const FRAME_US: i64 = 80_000;

/// Three channels with ten minutes each.
const DEPOT: &str = r#"
[clock]
offset_s = 137.4
zone = "Europe/Bratislava"
[behaviour]
playback_sessions = 4
[storage]
file = "2m"
[[channel]]
id = 1
[[channel.recorded]]
from = "-30m"
to = "-20m"
[[channel]]
id = 2
[[channel.recorded]]
from = "-30m"
to = "-20m"
[[channel]]
id = 3
[[channel.recorded]]
from = "-30m"
to = "-20m"
"#;

fn no_session_left(recorder: &Recorder) -> CounterReadings {
    eventually("no session is left open", || {
        let readings = recorder.counters.read();
        (readings.playback_open == 0).then_some(readings)
    })
}

#[test]
fn never_more_sessions_and_requests_than_configured() {
    let recorder = Recorder::start(DEPOT);
    let limits = |text: String| {
        text.replace("playback_sessions = 2", "playback_sessions = 1")
            .replace("requests_per_second = 10", "requests_per_second = 5")
    };
    let site = Site::with(&recorder, limits);
    site.sync();
    let gateway = site.serve();
    let truth = recorder.truth();
    let viewers: Vec<_> = truth
        .channels
        .iter()
        .flat_map(|c| [(c.id, 0), (c.id, 240)])
        .map(|(id, ahead_s)| {
            let url = gateway.replay(&format!("{DEVICE}-{id}"));
            let start = truth::spans(truth::channel(&truth, id))[0].start();
            let from = start.plus_us(ahead_s * SECOND_US);
            thread::spawn(move || {
                let mut client = Client::ready(&url, false);
                let until = from.plus_us(20 * SECOND_US);
                let units = client.play_range(from, until, "1.0", until);
                client.teardown();
                pictures::checked(&units, SIZE, FRAME_US).len()
            })
        })
        .collect();
    for viewer in viewers {
        assert!(viewer.join().unwrap() >= 250);
    }
    let readings = no_session_left(&recorder);
    assert_eq!(readings.playback_max, 1, "one session is allowed");
    assert_eq!((readings.playback_refused, readings.playback_abandoned), (0, 0));
    assert!(readings.requests_per_second_max <= 5, "{}", readings.requests_per_second_max);
    assert_eq!(readings.sins, Vec::<String>::new());

    // A viewer that vanishes, and a gateway that is killed while it fetches, leave nothing open.
    let mut client = Client::ready(&gateway.replay(&format!("{DEVICE}-2")), false);
    client.play(&[("Range", "npt=120-"), ("Rate-Control", "no")]);
    client.until(|_, video| video);
    drop(client);
    gateway.kill();
    no_session_left(&recorder);
}

#[test]
fn ten_viewers_of_one_minute_cost_one_transfer() {
    let recorder = Recorder::start(DEPOT);
    let site = Site::new(&recorder);
    site.sync();
    let gateway = site.serve();
    let url = gateway.replay(&format!("{DEVICE}-1"));
    // Once a process: what the recorder's times mean stands in the head of a file. Once a recording:
    // its parameter sets stand in a group of pictures.
    let before = recorder.counters.read();
    Client::ready(&url, false).teardown();
    let described = no_session_left(&recorder);
    assert!(described.playback_started - before.playback_started <= 2);
    let truth = recorder.truth();
    let from = truth::spans(truth::channel(&truth, 1))[0].start().plus_us(30 * SECOND_US);
    let until = from.plus_us(60 * SECOND_US);
    let viewers: Vec<_> = (0..10)
        .map(|_| {
            let url = url.clone();
            thread::spawn(move || {
                let mut client = Client::ready(&url, false);
                let units = client.play_range(from, until, "1.0", until);
                client.teardown();
                units.iter().map(|u| (u.at, u.payloads.concat().len())).collect::<Vec<_>>()
            })
        })
        .collect();
    let seen: Vec<_> = viewers.into_iter().map(|v| v.join().unwrap()).collect();
    assert!(seen[0].len() >= 740, "{}", seen[0].len());
    assert!(seen.iter().all(|s| *s == seen[0]), "all saw the same");
    let after = no_session_left(&recorder);
    let transfers = gateway.figure("footage_transfers_total");
    let sessions = after.playback_started - described.playback_started;
    assert_eq!((sessions, after.playback_max), (1, 1), "{transfers} transfers");
    // What was looked at, the group before and the one behind, and what was on its way when nobody
    // waited any more.
    let bytes = after.footage_bytes_sent - described.footage_bytes_sent;
    let once: usize = seen[0].iter().map(|(_, bytes)| bytes).sum();
    assert!(bytes < once as u64 * 3 / 2, "{bytes} bytes for {once} watched ten times");
    gateway.stop();
}

#[test]
fn a_wrong_password_is_tried_once() {
    let mut recorder = Recorder::start(DEPOT);
    recorder.password = "not-the-password".to_owned();
    let site = Site::new(&recorder);
    let failed = site.run("sync", &[]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.stderr.contains("yard"), "{}", failed.stderr);
    let readings = recorder.counters.read();
    assert_eq!((readings.log_ins_refused, readings.log_ins_after_refusal), (1, 0));

    // A gateway that runs on does not try again either, whatever is asked of it.
    let fresh = Recorder::start(DEPOT);
    let site = Site::with(&fresh, |text| {
        text.replace("simulated-1", "not-the-password").replace("\"5s\"", "\"1s\"")
    });
    let gateway = site.serve();
    eventually("the refusal", || (fresh.counters.read().log_ins_refused > 0).then_some(()));
    let locked = "dvrgate_device_state{device=\"yard\",state=\"LockedOut\"} 1";
    eventually("the gateway knows", || gateway.page("/metrics").1.contains(locked).then_some(()));
    // It asks without a log-in from time to time whether anything changed; ten looks must not cost
    // one log-in.
    let asked = fresh.counters.read().requests;
    for _ in 0..10 {
        let (status, _) = gateway.page("/readyz");
        assert_eq!(status, 200);
    }
    gateway.stop();
    let readings = fresh.counters.read();
    assert_eq!((readings.log_ins_refused, readings.log_ins_after_refusal), (1, 0), "{asked}");
    assert_eq!(readings.lock_outs, 0);
}

#[test]
fn no_password_or_digest_response_in_the_logs() {
    let recorder = Recorder::start(DEPOT);
    let site = Site::new(&recorder);
    let config = site.config();
    let sync = Process::start(&["-vv", "sync", "--config", config.to_str().unwrap()]).end().well();
    let gateway = site.serve_with(&["-vv"]);
    let mut client = Client::ready(&gateway.replay(&format!("{DEVICE}-1")), false);
    client.play(&[("Range", "npt=0-"), ("Rate-Control", "no")]);
    client.until(|u, video| video && u.clean);
    client.teardown();
    // A wrong one must not be written down either.
    let served = gateway.stop();
    for (what, log) in [("sync", &sync), ("serve", &served)] {
        let text = format!("{}{}", log.stdout, log.stderr);
        assert!(text.len() > 5_000, "{what} tells much: {}", text.len());
        assert!(!text.contains(&recorder.password), "{what}: the recorder's password");
        assert!(!text.contains(PASSWORD), "{what}: the gateway's password");
        assert!(!text.contains("response=\""), "{what}: a digest response");
        let credentials = text.lines().find(|l| l.contains("Digest username"));
        assert_eq!(credentials, None, "{what}: credentials");
    }
}
