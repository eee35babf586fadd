//! Which crate may link which.

use std::collections::BTreeSet;

use super::workspace::{crates, root};

/// What each crate below the root may link of ours. A crate that is not listed fails the test, so
/// that a new one gets its place here on purpose.
const MAY_LINK: &[(&str, &[&str])] = &[
    // level 0
    ("model", &[]),
    // level 1
    ("auth", &["model"]),
    ("index", &["model"]),
    ("media", &["model"]),
    // level 2
    ("adapter", &["media", "model"]),
    ("ffmpeg", &["media", "model"]),
    ("index-duckdb", &["index", "model"]),
    ("rtsp", &["auth", "media", "model"]),
    ("soap", &["auth", "model"]),
    // level 3
    ("footage", &["adapter", "index", "media", "model"]),
    ("sync", &["adapter", "index", "model"]),
    ("testkit", &["auth", "media", "model"]),
    // level 4: services never import one another
    ("device", &["auth", "index", "model", "soap"]),
    ("recording", &["auth", "index", "model", "soap"]),
    ("replay", &["auth", "footage", "index", "media", "model", "rtsp", "soap"]),
    ("search", &["auth", "index", "model", "soap"]),
    // vendors
    ("folder", &["adapter", "ffmpeg", "media", "model"]),
    ("hikvision", &["adapter", "media", "model", "rtsp"]),
    // simulators know nothing of adapters
    ("hikvision-simulator", &["auth", "media", "model", "testkit"]),
];

fn ours(name: &str) -> Option<&str> {
    name.strip_prefix("dvrgate-")
}

#[test]
fn crates_link_only_what_their_level_may() {
    for (name, krate) in crates() {
        let Some(short) = ours(&name) else { continue };
        let (_, allowed) = MAY_LINK
            .iter()
            .find(|(n, _)| *n == short)
            .unwrap_or_else(|| panic!("{name} has no place in tests/architecture/imports.rs"));
        let used: BTreeSet<&str> = krate.normal.iter().filter_map(|d| ours(d)).collect();
        let extra: Vec<_> = used.iter().filter(|d| !allowed.contains(d)).collect();
        assert!(extra.is_empty(), "{name} links {extra:?}, which its level may not");
    }
}

#[test]
fn model_has_no_runtime_and_no_input_or_output() {
    let crates = crates();
    for banned in ["tokio", "hyper", "duckdb", "retina", "ffmpeg-next", "quick-xml"] {
        assert!(
            !crates["dvrgate-model"].normal.iter().any(|d| d == banned),
            "model links {banned}"
        );
    }
}

#[test]
fn native_libraries_are_linked_by_one_crate_each() {
    for (library, owner) in [("duckdb", "dvrgate-index-duckdb"), ("ffmpeg-next", "dvrgate-ffmpeg")]
    {
        let users: Vec<_> = crates()
            .into_iter()
            .filter(|(_, k)| k.normal.iter().any(|d| d == library))
            .map(|(n, _)| n)
            .collect();
        assert!(users.iter().all(|u| u == owner), "{library} is linked by {users:?}");
    }
}

#[test]
fn only_the_root_names_vendors_and_databases() {
    let crates = crates();
    let vendors: Vec<&String> = crates
        .iter()
        .filter(|(_, k)| k.dir.starts_with(root().join("adapters")))
        .map(|(n, _)| n)
        .collect();
    for (name, krate) in &crates {
        for dependency in &krate.normal {
            let heavy = vendors.contains(&dependency) || dependency == "dvrgate-index-duckdb";
            assert!(!heavy || name == "dvrgate", "{name} links {dependency}; only the root may");
        }
    }
}

#[test]
fn a_simulator_never_links_its_adapter() {
    for (name, krate) in crates() {
        if let Some(vendor) = name.strip_suffix("-simulator") {
            let all = krate.normal.iter().chain(&krate.dev);
            assert!(all.clone().all(|d| d != vendor), "{name} links {vendor}");
        }
    }
}
