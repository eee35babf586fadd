//! The scenario files that come with the project.

use std::path::Path;

use super::*;

#[::tokio::test]
async fn every_scenario_of_this_vendor_runs_and_holds_footage() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("hikvision-"))
        .collect();
    files.sort();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let scenario = Scenario::open(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let sim = Simulator::start(&scenario, Options::default()).await.unwrap();
        let truth = sim.truth();
        let spans: usize = truth.channels.iter().map(|c| c.spans.len()).sum();
        assert!(spans > 0, "{}", file.display());
        sim.stop().await;
    }
}
