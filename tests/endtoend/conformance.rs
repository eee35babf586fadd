//! Every operation of the official interface files, asked of the running program by everybody, and
//! every answer checked against the schemas of the same package.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::rig::{DEVICE, Gateway, PASSWORD, Recorder, Site, USER, python};

/// A channel with a name of many characters, one with sound, one without footage.
const SITE: &str = r#"
[clock]
offset_s = 137.4
zone = "Europe/Bratislava"
[[channel]]
id = 1
name = "Hof Süd <&> 中 📹"
audio = true
[[channel.recorded]]
from = "-30m"
to = "-25m"
[[channel.recorded]]
from = "-20m"
to = "-15m"
[[channel]]
id = 2
name = "Ramp"
[[channel.recorded]]
from = "-30m"
to = "-15m"
reason = "motion"
every = "3m"
lasting = "30s"
[[channel]]
id = 3
[[event]]
kind = "motion"
channel = 1
at = "-29m"
until = "-16m"
every = "3m"
lasting = "20s"
"#;

const OPERATOR: &str = "guard";
const VIEWER: &str = "wall";

/// What the gateway does; all else in the interface files it answers with ActionNotSupported.
const DONE: &[(&str, Access, &str)] = &[
    (
        "device",
        Access::Everybody,
        "GetServices GetServiceCapabilities GetCapabilities GetWsdlUrl GetHostname \
         GetSystemDateAndTime GetEndpointReference",
    ),
    (
        "device",
        Access::User,
        "GetDeviceInformation GetScopes GetDiscoveryMode GetDNS GetNTP GetNetworkInterfaces \
         GetNetworkProtocols GetNetworkDefaultGateway",
    ),
    (
        "device",
        Access::Administrator,
        "GetUsers CreateUsers DeleteUsers SetUser SetScopes AddScopes RemoveScopes \
         SetDiscoveryMode SystemReboot",
    ),
    ("recording", Access::Everybody, "GetServiceCapabilities"),
    (
        "recording",
        Access::User,
        "GetRecordings GetRecordingConfiguration GetRecordingOptions GetTrackConfiguration \
         GetRecordingJobs GetRecordingJobConfiguration GetRecordingJobState",
    ),
    ("search", Access::Everybody, "GetServiceCapabilities"),
    (
        "search",
        Access::User,
        "GetRecordingSummary GetRecordingInformation GetMediaAttributes FindRecordings \
         GetRecordingSearchResults FindEvents GetEventSearchResults EndSearch",
    ),
    ("replay", Access::Everybody, "GetServiceCapabilities"),
    ("replay", Access::User, "GetReplayUri GetReplayConfiguration"),
    ("replay", Access::Operator, "SetReplayConfiguration"),
];

/// The least level that may ask.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Access {
    Everybody,
    User,
    Operator,
    Administrator,
}

fn conformance(gateway: &Gateway, more: &[&str]) -> Value {
    let users = [USER, OPERATOR, VIEWER].map(|name| format!("{name}:{PASSWORD}"));
    let mut args = vec![gateway.http.as_str(), &gateway.rtsp];
    args.extend(users.iter().map(String::as_str));
    args.extend(more);
    python("conformance.py", &args)
}

/// RH5-6, RH5-7, RH5-8, RH5-9, RH1-1, RH1-3, RH1-6, RH1-7, RH1-8, RH1-10, RH2-1, RH2-2, RH2-4, RH2-5, RH2-6, RH3-1, RH3-3, RH6-4,
/// R5.2-1, R5.3.2-4, R5.6-2, R5.15-2, R5.24-1, R6.16-1, R7.1-2, R7.5-1: all answers are valid, no
/// operation is silent, levels decide who gets one, and a restart changes no token and no account.
#[test]
fn every_operation_answers_as_its_interface_file_says() {
    let recorder = Recorder::start(SITE);
    let site = Site::with(&recorder, |text| {
        let more = [(OPERATOR, "operator"), (VIEWER, "user")].map(|(name, level)| {
            format!(
                "[[user]]\nname = \"{name}\"\nlevel = \"{level}\"\npassword = \"{PASSWORD}\"\n\n"
            )
        });
        text.replace("[[device]]", &format!("{}[[device]]", more.concat()))
    });
    site.sync();
    let gateway = site.serve();
    let found = conformance(&gateway, &[]);
    gateway.stop();

    let mut done = BTreeMap::new();
    for (service, access, names) in DONE {
        for name in names.split_whitespace() {
            done.insert(format!("{service}.{name}"), *access);
        }
    }
    // R6.16-2: what the capability promises.
    if found["metadata_search"] == "true" {
        for name in ["search.FindMetadata", "search.GetMetadataSearchResults"] {
            done.insert(name.to_owned(), Access::User);
        }
    }
    let operations = found["operations"].as_object().unwrap();
    assert!(operations.len() > 100, "{}", operations.len());
    for name in done.keys() {
        assert!(operations.contains_key(name), "{name} is in no interface file");
    }
    for (name, said) in operations {
        let levels = [
            ("nobody", Access::Everybody),
            (VIEWER, Access::User),
            (OPERATOR, Access::Operator),
            (USER, Access::Administrator),
        ];
        for (user, level) in levels {
            let answer = said[user].as_str().unwrap();
            let refused = answer == "Sender/NotAuthorized";
            match done.get(name) {
                // Without arguments an operation that needs some says that they are missing.
                Some(least) => {
                    assert_eq!(refused, level < *least, "{name} for {user}: {answer}");
                    let fine = ["answer", "Sender/InvalidArgs"].contains(&answer);
                    assert!(refused || fine, "{name} for {user}: {answer}");
                }
                None if refused => assert_ne!(level, Access::Administrator, "{name}"),
                None => {
                    assert_eq!(answer, "Receiver/ActionNotSupported/NotImplemented", "{name}");
                    assert_ne!(level, Access::Everybody, "{name} tells strangers");
                }
            }
        }
    }

    let token = |n: u32| format!("{DEVICE}-{n}");
    assert_eq!(found["recordings"], json!([token(1), token(2), token(3)]));
    assert_eq!(found["names"][0], "Hof Süd <&> 中 📹");
    let jobs = found["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 3);
    assert!(jobs.iter().enumerate().all(|(i, job)| !jobs[..i].contains(job)), "{jobs:?}");
    assert_eq!(found["rtsp"], json!({USER: 200, OPERATOR: 200, VIEWER: 200}));
    assert_eq!(found["rtsp_wrong"], 401);

    let gateway = site.serve();
    // An operator that the client made before the restart.
    let again = conformance(&gateway, &["stays:its password"]);
    gateway.stop();
    assert_eq!(again["rtsp"]["stays"], 200);
    assert_eq!(again["operations"]["replay.SetReplayConfiguration"]["stays"], "Sender/InvalidArgs");
    assert_eq!(again["operations"]["device.GetUsers"]["stays"], "Sender/NotAuthorized");
    for what in ["endpoint", "recordings", "tracks", "jobs", "names", "services"] {
        assert_eq!(again[what], found[what], "{what} after a restart");
    }
}
