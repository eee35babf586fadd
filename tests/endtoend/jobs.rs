//! Recording jobs tell how the recorder behind them is.

use std::collections::BTreeSet;

use dvrgate_testkit::Faults;

use crate::rig::{DEVICE, Gateway, PASSWORD, Recorder, Site, USER, eventually, python};

/// Records all the time.
const YARD: &str = r#"
[storage]
file = "1m"
[[channel]]
id = 1
[[channel.recorded]]
from = "-30m"
to = "now"
"#;

/// The states of the job, its source and its tracks, and what is said of errors.
fn job(gateway: &Gateway) -> (BTreeSet<String>, BTreeSet<String>) {
    let job = format!("job-{DEVICE}-1");
    let seen = python("job.py", &[&gateway.http, USER, PASSWORD, &job]);
    let mut states = BTreeSet::from([seen["state"].as_str().unwrap().to_owned()]);
    let mut errors = BTreeSet::new();
    for source in seen["sources"].as_array().unwrap() {
        states.insert(source["state"].as_str().unwrap().to_owned());
        let tracks = source["tracks"].as_array().unwrap();
        assert!(!tracks.is_empty(), "{seen}");
        for track in tracks {
            states.insert(track["state"].as_str().unwrap().to_owned());
            errors.extend(track["error"].as_str().map(str::to_owned));
        }
    }
    (states, errors)
}

fn is_in(gateway: &Gateway, state: &str) {
    let line = format!("state=\"{state}\"}} 1");
    eventually(state, || gateway.page("/metrics").1.contains(&line).then_some(()));
}

/// R5.19-7, R5.19-10, R5.19-12: asked with a strict client.
#[test]
fn a_job_is_in_error_while_its_recorder_is_out_of_reach() {
    let recorder = Recorder::start(YARD);
    let site = Site::new(&recorder);
    site.sync();
    let gateway = site.serve();
    let active = (BTreeSet::from(["Active".to_owned()]), BTreeSet::new());
    type Fault = fn(&mut Faults);
    let faults: [(Fault, &str, &str); 2] = [
        (|f| f.unplugged = true, "Unreachable", "The recorder cannot be reached"),
        (|f| f.busy_requests = u32::MAX, "Degraded", "The recorder has no free session"),
    ];
    for (fault, state, text) in faults {
        is_in(&gateway, "Ready");
        assert_eq!(job(&gateway), active, "before {state}");
        recorder.control.change(fault);
        is_in(&gateway, state);
        let error = (BTreeSet::from(["Error".to_owned()]), BTreeSet::from([text.to_owned()]));
        assert_eq!(job(&gateway), error);
        recorder.control.change(|f| *f = Faults::default());
    }
    is_in(&gateway, "Ready");
    assert_eq!(job(&gateway), active, "in the end");
    gateway.stop();
    // A password that was changed on the recorder.
    let text = std::fs::read_to_string(site.config()).unwrap();
    let right = format!("password = \"{}\"", recorder.password);
    assert!(text.contains(&right));
    std::fs::write(site.config(), text.replace(&right, "password = \"another\"")).unwrap();
    let gateway = site.serve();
    is_in(&gateway, "LockedOut");
    let error = BTreeSet::from(["The recorder refuses the log-in".to_owned()]);
    assert_eq!(job(&gateway), (BTreeSet::from(["Error".to_owned()]), error));
    let said = gateway.stop().stderr;
    let remedy = "correct username and password of the device";
    assert!(said.lines().any(|l| l.contains("WARN") && l.contains(remedy)), "{said}");
}
