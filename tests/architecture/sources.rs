//! Rules that only the text of the sources can break.

use std::path::Path;

use super::workspace::{crates, files, root};

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The source before its unit tests, without comments.
fn shipped_code(path: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .take_while(|l| !l.starts_with("#[cfg(test)]"))
        .enumerate()
        .filter(|(_, l)| !l.trim_start().starts_with("//"))
        .map(|(n, l)| (n + 1, l.to_owned()))
        .collect()
}

fn is_test(path: &Path) -> bool {
    let p = relative(path);
    p.contains("/tests/")
        || p.starts_with("tests/")
        || p.contains("/benches/")
        || ["/tests.rs", "/testing.rs", "_tests.rs"].iter().any(|e| p.ends_with(e))
}

#[test]
fn vendor_words_stay_in_the_vendors_folder() {
    let vendors: Vec<String> = std::fs::read_dir(root().join("adapters"))
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|v| v != "folder")
        .chain(["isapi", "imkh", "dahua", "xiongmai"].map(str::to_owned))
        .collect();
    let mut bad = Vec::new();
    for path in files(&root().join("src"), ".rs") {
        let name = relative(&path);
        let composition = name == "src/vendors.rs" || name.starts_with("src/cli/");
        if composition || is_test(&path) {
            continue;
        }
        for (line, code) in shipped_code(&path) {
            let lower = code.to_lowercase();
            bad.extend(
                vendors
                    .iter()
                    .filter(|v| lower.contains(*v))
                    .map(|v| format!("{name}:{line}: {v}")),
            );
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn sockets_timers_and_the_system_clock_stay_in_driver_files() {
    // Crates of engines: only their driver files touch the outside.
    let engines = ["auth", "media", "rtsp", "soap", "adapter"];
    let outside = ["tokio::net", "tokio::time", "std::net::TcpStream", "std::net::UdpSocket"];
    let clocks = ["SystemTime::now", "Instant::now"];
    let mut bad = Vec::new();
    for (name, krate) in crates() {
        let short = name.trim_start_matches("dvrgate-");
        let vendor = krate.dir.starts_with(root().join("adapters")) && !name.ends_with("simulator");
        if !vendor && !engines.contains(&short) {
            continue;
        }
        for path in files(&krate.dir, ".rs") {
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            let rel = relative(&path);
            let nested = rel.contains("/simulator/") || rel.contains("/fuzz/");
            // A driver is a file of that name, or a file in a folder of that name.
            let driver = ["tokio", "hyper"]
                .iter()
                .any(|d| file == format!("{d}.rs") || rel.contains(&format!("/{d}/")));
            if driver || nested || is_test(&path) {
                continue;
            }
            for (line, code) in shipped_code(&path) {
                bad.extend(
                    outside
                        .iter()
                        .chain(&clocks)
                        .filter(|w| code.contains(**w))
                        .map(|w| format!("{rel}:{line}: {w}")),
                );
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn every_vendor_is_registered_and_documented() {
    let registry = std::fs::read_to_string(root().join("src/vendors.rs")).unwrap();
    for entry in std::fs::read_dir(root().join("adapters")).unwrap().map(Result::unwrap) {
        let vendor = entry.file_name().to_string_lossy().into_owned();
        assert!(
            registry.contains(&format!("dvrgate_{vendor}")),
            "{vendor} is not in src/vendors.rs"
        );
        for needed in [format!("mappings/{vendor}.toml"), format!("adapters/{vendor}/docs.md")] {
            assert!(root().join(&needed).exists(), "{needed} is missing");
        }
    }
}

#[test]
fn links_in_documents_resolve() {
    let mut bad = Vec::new();
    for path in files(root(), ".md") {
        let text = std::fs::read_to_string(&path).unwrap();
        for (_, rest) in text.match_indices("](").map(|(i, _)| text.split_at(i + 2)) {
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
                continue;
            }
            if !path.parent().unwrap().join(file).exists() {
                bad.push(format!("{}: {target}", relative(&path)));
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}
