//! Replays the corpus of the fuzz targets (`fuzz/`): every input as it is, cut off behind every
//! byte, and with single bytes changed. Nothing may panic, and nothing may take long.
//!
//! `scripts/fuzz.sh` looks for new inputs; what it finds is committed and runs here from then on.

#![allow(clippy::print_stderr, clippy::unwrap_used)] // a test may

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[path = "../fuzz/targets/mod.rs"]
mod targets;

/// No input takes more than milliseconds; machines under load are forgiven a lot.
const MAX_TIME: Duration = Duration::from_secs(5);
/// Larger inputs are not cut everywhere.
const MAX_CUT_BYTES: usize = 4096;
/// Bytes changed in each input, spread evenly.
const CHANGES: usize = 48;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// Inputs of a target by name, in the order of their names.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fs::read_dir(corpus().join(target)).unwrap();
    let mut paths: Vec<_> = folder.map(|e| e.unwrap().path()).collect();
    paths.sort();
    let name = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|p| (name(p), fs::read(p).unwrap())).collect()
}

/// Runs the target; a panic in it says which input it was.
fn run(target: &str, input: &str, what: &str, data: &[u8]) {
    struct Where<'a>([&'a str; 3]);
    impl Drop for Where<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("fuzz/corpus/{}/{}, {}", self.0[0], self.0[1], self.0[2]);
            }
        }
    }
    let (_, function) = targets::ALL.iter().find(|(name, _)| *name == target).unwrap();
    let at = Where([target, input, what]);
    let began = Instant::now();
    function(data);
    let took = began.elapsed();
    assert!(took < MAX_TIME, "took {took:?}");
    drop(at);
}

fn replay(target: &str) {
    let inputs = inputs(target);
    assert!(inputs.len() >= 10, "only {} inputs", inputs.len());
    for (name, data) in inputs {
        run(target, &name, "as it is", &data);
        if data.len() <= MAX_CUT_BYTES {
            for end in 0..data.len() {
                run(target, &name, &format!("cut behind {end}"), &data[..end]);
            }
        }
        let mut changed = data.clone();
        for at in (0..data.len()).step_by(data.len().div_ceil(CHANGES).max(1)) {
            for (how, byte) in [("flipped", data[at] ^ 0x80), ("+1", data[at].wrapping_add(1))] {
                changed[at] = byte;
                run(target, &name, &format!("byte {at} {how}"), &changed);
            }
            changed[at] = data[at];
        }
    }
}

macro_rules! replays {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )*

        /// None is forgotten, here or on disk.
        #[test]
        fn every_target_is_replayed() {
            let replayed = BTreeSet::from([$(stringify!($target).to_owned()),*]);
            let known = targets::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
            let names = |path: &str| -> BTreeSet<String> {
                let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
                let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
                entries.map(|p| p.file_stem().unwrap().to_string_lossy().into_owned()).collect()
            };
            assert_eq!(replayed, known);
            assert_eq!(names("fuzz/corpus"), known);
            assert_eq!(names("fuzz/fuzz_targets"), known);
        }
    };
}

replays! {
    alerts codec digest discovery documents filter footage mapping ps rtp rtsp_base64 rtsp_client
    rtsp_headers rtsp_message rtsp_opening rtsp_server rtsp_tunnel rtsp_websocket sdp sidecar soap
    ts values
}
