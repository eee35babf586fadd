//! Tests of mappings as a whole.

use std::time::Duration;

use dvrgate_model::{ErrorKind, Identity, Items, Reason, Retry, Vendor, ZoneTrust};

use super::*;
use crate::SourceEvent;

const ACME: &str = r#"
schema = 1
vendor = "acme"

[time]
format = "%Y-%m-%d"
zone = "claims-utc-means-local"

[segments]
max_results = 40
ends = "inclusive-second"
[segments.reason]
timing = "continuous"
motion = "motion"

[events."VMD"]
topic = "tns1:VideoSource/MotionAlarm"
item = { name = "State", from = "eventState", active = "true" }

[events."diskfull"]
topic = "tns1:Device/HardwareFailure/StorageFailure"
source = ""
items = [{ name = "Disk", from = "diskNo" }, { name = "Kind", value = "full" }]

[errors]
"lowPrivilege" = { kind = "permission-denied", retry = "never" }
"busy" = { kind = "busy", retry = "7s" }

[query]
page = 40

[paths]
search = "/search"

[policies]
range = "inside"
"#;

const OLD_FIRMWARE: &str = r#"
schema = 1
vendor = "acme"
[[match]]
model = "AC-7*"
firmware = ">=3.4, <4.0"
[segments]
max_results = 20
[segments.reason]
alarm = "alarm"
"#;

const LOCAL: &str = r#"
schema = 1
vendor = "acme"
[events.VMD]
topic = "tns1:RuleEngine/CellMotionDetector/Motion"
"#;

fn documents() -> Vec<Document> {
    vec![
        Document::local("/etc/acme.toml", LOCAL),
        Document::builtin("acme.old.toml", OLD_FIRMWARE),
        Document::builtin("acme.toml", ACME),
    ]
}

#[test]
fn overlays_win_in_their_order_and_are_explained() {
    let vendor = Vendor::from("acme");
    let old =
        Identity { model: "AC-7204".into(), firmware: "V3.4.9".into(), ..Identity::default() };
    let unknown = resolve(&vendor, &documents(), None).unwrap();
    assert_eq!(unknown.segments().max_results, Some(40));
    let old = resolve(&vendor, &documents(), Some(&old)).unwrap();
    assert_eq!(old.segments().max_results, Some(20));
    assert_eq!(old.reason("alarm"), Reason::Alarm);
    assert_eq!(old.reason("MOTION"), Reason::Motion);
    assert_eq!(old.reason("what"), Reason::Unknown);
    let topic = &old.event("VMD").unwrap().topic.0;
    assert_eq!(topic.as_str(), "tns1:RuleEngine/CellMotionDetector/Motion");
    // The item of the built-in document stays.
    assert!(old.event("VMD").unwrap().item.is_some());
    let origin = |path: &str| {
        let found = old.explain().iter().find(|e| e.path == path).unwrap();
        (found.value.clone(), found.origin.clone())
    };
    assert_eq!(origin("segments.max_results"), ("20".into(), "acme.old.toml".into()));
    assert_eq!(origin("segments.ends"), ("\"inclusive-second\"".into(), "acme.toml".into()));
    assert_eq!(origin("events.VMD.topic").1, "/etc/acme.toml");
}

#[test]
fn values_become_domain_types() {
    let m = Mapping::parse("acme.toml", ACME).unwrap();
    assert_eq!(m.zone_trust(), ZoneTrust::WallClock);
    assert_eq!(m.segments().ends, Ends::InclusiveSecond);
    assert_eq!(m.error("lowPrivilege"), Some((ErrorKind::PermissionDenied, Retry::Never)));
    let later = Retry::Later(Duration::from_secs(7));
    assert_eq!(m.error("busy"), Some((ErrorKind::Busy, later)));
    assert_eq!(m.query("page", 0usize), 40);
    assert_eq!(m.query("none", 7u8), 7);
    assert_eq!(m.path("search", ""), "/search");
    assert_eq!(m.policy_of("range", &[("inside", 1), ("touching", 2)], 2).unwrap(), 1);
    let e = m.policy_of("range", &[("touching", 2)], 2).unwrap_err();
    let want = "acme.toml: policies.range = \"inside\"; use one of touching";
    assert_eq!(e.to_string(), want);
}

#[test]
fn mistakes_are_named_with_file_line_and_remedy() {
    for (line, want) in [
        ("[segmets]", "acme.toml:3:2: unknown field `segmets`, expected one of"),
        ("[segments]\nmax_result = 4", "acme.toml:4:1: unknown field `max_result`"),
        ("[segments.reason]\nx = \"moton\"", "acme.toml:4:5: no reason \"moton\"; use one of"),
        ("[events.x]\ntopic = \"Motion\"", "acme.toml:4:9: not a topic: \"Motion\"; write"),
        ("[events.x]\nitem = { name = \"S\" }", "missing field `topic`"),
        ("[errors]\na = { kind = \"no\" }", "no error kind \"no\"; use one of"),
        ("[errors]\na = { kind = \"busy\", retry = \"soon\" }", "write \"never\" or seconds"),
        ("[[match]]\nfirmware = \"new\"", "not a version requirement: \"new\"; write"),
        ("[time]\nzone = \"local\"", "unknown variant `local`"),
        ("[time", "acme.toml:3:"),
    ] {
        let text = format!("schema = 1\nvendor = \"acme\"\n{line}\n");
        let e = Document::local("acme.toml", text).parse().unwrap_err().to_string();
        assert!(e.contains(want), "{line}: {e}");
    }
    let e = Document::local("m.toml", "schema = 2").parse().unwrap_err().to_string();
    assert!(e.contains("m.toml:1:10: schema 2 is not known"), "{e}");
    let none = [Document::local("m.toml", "schema = 1")];
    let e = resolve(&"acme".into(), &none, None).unwrap_err();
    assert!(e.to_string().contains("m.toml:1:1: no vendor; add"), "{e}");
}

#[test]
fn every_prefix_of_a_document_is_read_or_refused() {
    for end in (0..ACME.len()).filter(|i| ACME.is_char_boundary(*i)) {
        Document::local("acme.toml", &ACME[..end]).parse().ok();
    }
}

#[test]
fn events_become_topics_and_items() {
    let m = Mapping::parse("acme.toml", ACME).unwrap();
    let event = |code: &str, active, data: &[(&str, &str)]| SourceEvent {
        channel: None,
        time: None,
        code: code.into(),
        active,
        items: Items::new([], data.iter().copied()),
        live: false,
    };
    let motion = m.convert(&event("VMD", None, &[("eventState", "TRUE")]), "yard-1").unwrap();
    assert_eq!(motion.topic.as_str(), "tns1:VideoSource/MotionAlarm");
    assert_eq!(motion.items, Items::new([("Source", "yard-1")], [("State", "true")]));
    assert!(motion.property);
    let over = m.convert(&event("VMD", Some(false), &[("eventState", "true")]), "yard-1").unwrap();
    assert_eq!(over.items.data[0].value, "false");
    let disk = m.convert(&event("diskFull", None, &[("diskNo", "2")]), "yard").unwrap();
    assert_eq!(disk.items, Items::new([], [("Disk", "2"), ("Kind", "full")]));
    assert!(!disk.property);
    let unsaid = m.convert(&event("diskfull", None, &[]), "yard").unwrap();
    assert_eq!(unsaid.items, Items::new([], [("Kind", "full")]));
    assert!(m.convert(&event("other", None, &[]), "yard").is_none());
}
