//! What people see of the program at the prompt: exit codes, remedies, how it starts and ends.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::rig::{DEVICE, Ended, PASSWORD, Recorder, Site, USER, python};
use crate::truth;
use crate::wire::Client;

/// Ten minutes of one channel.
const SHORT: &str = r#"
[[channel]]
id = 1
[[channel.recorded]]
from = "-30m"
to = "-20m"
"#;

/// It must have ended with that code and said all of that.
fn told(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}\n{}", ended.stdout, ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?} is not in\n{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("RUST_BACKTRACE"), "{}", ended.stderr);
}

/// Wrong use is code 2, and says what to write instead; all mistakes at once.
#[test]
fn mistakes_of_the_configuration_are_told_with_line_and_remedy() {
    let recorder = Recorder::start(SHORT);
    let broken = Site::with(&recorder, |text| {
        text.replace("vendor = \"hikvision\"", "vendor = \"hikvison\"")
            .replace("discovery = false", "advertise = \"http://nvr/\"")
    });
    for command in ["check", "serve", "sync"] {
        let ended = broken.run(command, &[]);
        told(&ended, 2, &["dvrgate.toml:6: ", "write a host", "known are: ", "hikvision"]);
    }
    let fine = Site::new(&recorder);
    assert_eq!(fine.run("check", &[]).well().stderr.matches("stands in the file").count(), 2);
    assert!(!fine.data().exists(), "check makes nothing");
    for (command, args, words) in [
        ("recordings", vec!["--device", "nobody"], "no device \"nobody\""),
        ("segments", vec!["--recording", "nobody"], "`dvrgate recordings` lists them"),
        ("segments", vec!["--from", "yesterday"], "RFC 3339"),
        ("events", vec!["--limit", "0"], "from 1 on"),
        ("sync", vec!["--device", "nobody"], "nobody"),
    ] {
        told(&fine.run(command, &args), 2, &[words]);
    }
}

/// One gateway a data folder and a port; who comes second is told why.
#[test]
fn a_second_gateway_is_told_what_is_in_its_way() {
    let recorder = Recorder::start(SHORT);
    let site = Site::new(&recorder);
    let gateway = site.serve();
    for command in ["serve", "recordings"] {
        told(&site.run(command, &[]), 1, &["has the index open", "stop it first"]);
    }
    let port = gateway.http.rsplit(':').next().unwrap().to_owned();
    let other = Site::with(&recorder, |text| {
        text.replace("http = \"127.0.0.1:0\"", &format!("http = \"127.0.0.1:{port}\""))
    });
    told(&other.run("serve", &[]), 1, &["another program uses the port", "gateway.http"]);
    let foreign = Site::with(&recorder, |text| {
        text.replace("http = \"127.0.0.1:0\"", "http = \"203.0.113.5:8080\"")
    });
    told(&foreign.run("serve", &[]), 1, &["this machine has no such address"]);
    gateway.stop();
}

/// RH5-5: a client's SystemReboot restarts the gateway, in the same process and with the same identity.
#[test]
fn a_client_restarts_the_gateway() {
    let recorder = Recorder::start(SHORT);
    let site = Site::new(&recorder);
    let gateway = site.serve();
    let first = python("restart.py", &[&gateway.http, USER, PASSWORD]);
    assert!(!first["message"].as_str().unwrap().is_empty());
    let gateway = gateway.restarted();
    let second = python("restart.py", &[&gateway.http, USER, PASSWORD]);
    assert_eq!(second["endpoint"], first["endpoint"]);
    gateway.restarted().stop();
}

/// SIGTERM ends it at once, whoever is connected: an idle client, a player. Ten seconds would be the
/// time after which they are cut.
#[test]
fn a_gateway_ends_at_once_with_clients_on_it() {
    let recorder = Recorder::start(SHORT);
    let site = Site::new(&recorder);
    // Where there is no terminal for a bar, lines tell how far it is.
    let synced = site.sync();
    for told in ["device yard: what is new, ", "device yard: done, ", ", 100 %"] {
        assert!(synced.stderr.contains(told), "{told} is not in {}", synced.stderr);
    }
    let gateway = site.serve();
    let idle = TcpStream::connect(gateway.http.strip_prefix("http://").unwrap()).unwrap();
    let truth = recorder.truth();
    let start = truth::spans(truth::channel(&truth, 1))[0].start();
    let mut player = Client::ready(&gateway.replay(&format!("{DEVICE}-1")), false);
    player.play(&[("Range", &truth::clock(start, None))]);
    player.until(|_, _| true);
    let asked = Instant::now();
    gateway.stop();
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    drop(idle);
}
