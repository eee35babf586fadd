//! What cargo knows about the workspace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `cargo metadata` of everything, once.
pub fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let out = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version=1", "--offline", "--all-features"])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).expect("cargo writes JSON")
    })
}

/// A crate of the workspace.
#[derive(Debug)]
pub struct Crate {
    /// Its folder.
    pub dir: PathBuf,
    /// What it links in a build that ships.
    pub normal: Vec<String>,
    /// What its tests and benchmarks use besides.
    pub dev: Vec<String>,
}

/// The crates of the workspace by package name.
pub fn crates() -> BTreeMap<String, Crate> {
    let m = metadata();
    let members: Vec<&str> =
        m["workspace_members"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    m["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|p| members.contains(&p["id"].as_str().unwrap()))
        .map(|p| {
            let names = |dev: bool| {
                p["dependencies"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|d| (d["kind"] == "dev") == dev)
                    .map(|d| text(&d["name"]))
                    .collect()
            };
            let manifest = PathBuf::from(text(&p["manifest_path"]));
            let dir = manifest.parent().unwrap().to_owned();
            (text(&p["name"]), Crate { dir, normal: names(false), dev: names(true) })
        })
        .collect()
}

/// Every file of the repository with that ending below `dir`, build output left out.
pub fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut stack = vec![dir.to_owned()];
    while let Some(dir) = stack.pop() {
        for entry in std::fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            let hidden = name.to_string_lossy().starts_with('.');
            if entry.file_type().unwrap().is_dir() {
                if !hidden && name != "target" {
                    stack.push(path);
                }
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
