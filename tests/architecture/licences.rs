//! Every dependency may be shipped under MIT or Apache-2.0.

use super::workspace::metadata;

const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "WTFPL", // ffmpeg-next's own code; the libraries themselves are LGPL and linked dynamically
    "Zlib",
];

/// Whether a licence expression can be met: every part of an AND, one part of an OR.
fn met(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], " ");
    flat.split(" AND ").all(|part| {
        part.split(" OR ").flat_map(|p| p.split('/')).any(|l| ALLOWED.contains(&l.trim()))
    })
}

#[test]
fn licences_are_permissive() {
    let bad: Vec<String> = metadata()["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|p| !met(p["license"].as_str().unwrap_or("none")))
        .map(|p| format!("{} {}: {}", p["name"], p["version"], p["license"]))
        .collect();
    assert!(bad.is_empty(), "not on the list in tests/architecture/licences.rs: {bad:#?}");
}

#[test]
fn expressions_are_read_right() {
    assert!(met("MIT OR GPL-3.0"));
    assert!(met("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(!met("MIT AND GPL-3.0"));
    assert!(!met("none"));
}
