//! The recording service through its host, over the index in memory.
#![allow(clippy::unwrap_used)] // a test may

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dvrgate_index::sample::{self, at};
use dvrgate_index::{Batch, Change, Index, MemoryIndex};
use dvrgate_model::ports::{Sources, Trouble};
use dvrgate_model::{DeviceId, RecordingStatus, SyncRunId, TrackToken};
use dvrgate_recording::service;
use dvrgate_soap::testing::Client;
use dvrgate_soap::{Access, Element, ns};
use dvrgate_testkit::SimulatedClock;

/// The recorder "yard" is all there is.
#[derive(Debug, Default)]
struct Yard(Mutex<Option<Trouble>>);

impl Sources for Yard {
    fn trouble(&self, device: &DeviceId) -> Option<Trouble> {
        assert_eq!(device.as_str(), "yard");
        *self.0.lock().unwrap()
    }
}

async fn over(index: Arc<MemoryIndex>, changes: Vec<Change>) -> Client {
    index.apply(Batch { run: SyncRunId(2), changes }).await.unwrap();
    with(index, Arc::new(Yard::default()))
}

fn with(index: Arc<MemoryIndex>, sources: Arc<Yard>) -> Client {
    let clock = Arc::new(SimulatedClock::frozen_at(at(120)));
    Client::new(service(index, sources), clock)
}

async fn client() -> Client {
    over(sample::yard().await.unwrap(), Vec::new()).await
}

fn text(e: &Element, path: &[&str]) -> String {
    e.path(ns::TT, path)
        .unwrap_or_else(|| panic!("no {path:?} in {}", e.to_xml()))
        .raw_text()
        .into()
}

/// The element under another name of another namespace.
fn named(e: &Element, ns: &'static str, name: &'static str) -> String {
    e.clone().renamed(ns, name).to_xml()
}

fn by_recording(token: &str) -> String {
    format!("<trc:RecordingToken>{token}</trc:RecordingToken>")
}

fn by_track(recording: &str, track: &str) -> String {
    format!("{}<trc:TrackToken>{track}</trc:TrackToken>", by_recording(recording))
}

fn by_job(token: &str) -> String {
    format!("<trc:JobToken>{token}</trc:JobToken>")
}

/// R5.1-1, R5.3.1-2, R5.3.1-4, R5.3.2-1, R5.3.2-3, R5.6-1, R5.6-2, R5.6-3
#[tokio::test]
async fn recordings_are_listed_whole_and_unread() {
    let mut kept = sample::recording(2);
    kept.source.description = "<dome> & \"pole\"".into();
    kept.source.address = "http://192.0.2.7/onvif/device_service".into();
    kept.content = " two  blanks ".into();
    kept.tracks[0].description = "lens 1 > lens 2".into();
    kept.retention = Some(Duration::from_secs(30 * 86_400));
    let index = sample::yard().await.unwrap();
    let client = over(index, vec![Change::Recording(Box::new(kept.clone()))]).await;
    let answer = client.ask("GetRecordings", "").await.unwrap();
    let items: Vec<_> = answer.children(ns::TRC, "RecordingItem").collect();
    let tokens: Vec<_> = items.iter().map(|i| text(i, &["RecordingToken"])).collect();
    assert_eq!(tokens, ["yard-1", "yard-2"]);
    let of = |item: &Element, path: &[&str]| text(item, &[&["Configuration"], path].concat());
    let two = items[1];
    for (name, value) in [
        ("SourceId", &kept.source.source_id),
        ("Name", &kept.source.name),
        ("Location", &kept.source.location),
        ("Description", &kept.source.description),
        ("Address", &kept.source.address),
    ] {
        assert_eq!(&of(two, &["Source", name]), value, "{name}");
    }
    assert_eq!(of(two, &["Content"]), kept.content);
    assert_eq!(of(two, &["MaximumRetentionTime"]), "PT2592000S");
    assert_eq!(of(items[0], &["MaximumRetentionTime"]), "PT0S", "kept until space is needed");
    // This one holds no data; its tracks are listed all the same.
    let tracks: Vec<_> = two.child(ns::TT, "Tracks").unwrap().children(ns::TT, "Track").collect();
    let kinds: Vec<_> = tracks.iter().map(|t| of(t, &["TrackType"])).collect();
    assert_eq!(kinds, ["Video", "Audio"]);
    assert_eq!(text(tracks[0], &["TrackToken"]), "yard-2-video");
    assert_eq!(of(tracks[0], &["Description"]), "lens 1 > lens 2");
}

/// R5.6-5, R5.8-1, R5.8-2, R5.11-1, R5.11-2, R5.11-3
#[tokio::test]
async fn each_configuration_is_the_one_of_the_list() {
    let client = client().await;
    let list = client.ask("GetRecordings", "").await.unwrap();
    for item in list.children(ns::TRC, "RecordingItem") {
        let token = text(item, &["RecordingToken"]);
        let answer = client.ask("GetRecordingConfiguration", &by_recording(&token)).await.unwrap();
        let one = answer.child(ns::TRC, "RecordingConfiguration").unwrap();
        let listed = item.child(ns::TT, "Configuration").unwrap();
        assert_eq!(one.to_xml(), named(listed, ns::TRC, "RecordingConfiguration"));
        for track in item.child(ns::TT, "Tracks").unwrap().children(ns::TT, "Track") {
            let query = by_track(&token, &text(track, &["TrackToken"]));
            let answer = client.ask("GetTrackConfiguration", &query).await.unwrap();
            let one = answer.child(ns::TRC, "TrackConfiguration").unwrap();
            let listed = track.child(ns::TT, "Configuration").unwrap();
            assert_eq!(one.to_xml(), named(listed, ns::TRC, "TrackConfiguration"));
        }
    }
    for (operation, query, fault) in [
        ("GetRecordingConfiguration", by_recording("nobody"), "ter:NoRecording"),
        ("GetTrackConfiguration", by_track("nobody", "yard-1-video"), "ter:NoRecording"),
        ("GetTrackConfiguration", by_track("yard-1", "yard-2-video"), "ter:NoTrack"),
        ("GetTrackConfiguration", by_recording("yard-1"), "ter:InvalidArgs"),
    ] {
        assert_eq!(client.ask(operation, &query).await.unwrap_err(), fault, "{operation} {query}");
    }
}

/// R5.3.3-1, R5.3.3-10, R5.3.3-14, R5.15-1, R5.15-2, R5.15-3, R5.17-1, R5.17-2
#[tokio::test]
async fn every_recording_has_the_job_that_fills_it() {
    let client = client().await;
    let list = client.ask("GetRecordingJobs", "").await.unwrap();
    let items: Vec<_> = list.children(ns::TRC, "JobItem").collect();
    let tokens: Vec<_> = items.iter().map(|i| text(i, &["JobToken"])).collect();
    assert_eq!(tokens, ["job-yard-1", "job-yard-2"]);
    for (item, recording) in items.iter().zip(["yard-1", "yard-2"]) {
        let listed = item.child(ns::TT, "JobConfiguration").unwrap();
        assert_eq!(text(listed, &["RecordingToken"]), recording);
        assert_eq!(text(listed, &["Mode"]), "Active");
        assert!(text(listed, &["Priority"]).parse::<u32>().is_ok());
        let source = listed.child(ns::TT, "Source").unwrap();
        let kind = source.child(ns::TT, "SourceToken").unwrap().attribute("Type");
        assert_eq!(kind, Some("http://www.onvif.org/ver10/schema/Profile"));
        assert_eq!(source.child(ns::TT, "AutoCreateReceiver"), None);
        let destinations: Vec<_> =
            source.children(ns::TT, "Tracks").map(|t| text(t, &["Destination"])).collect();
        assert_eq!(destinations, ["video", "audio"].map(|kind| format!("{recording}-{kind}")));
        let query = by_job(&text(item, &["JobToken"]));
        let answer = client.ask("GetRecordingJobConfiguration", &query).await.unwrap();
        let one = answer.child(ns::TRC, "JobConfiguration").unwrap();
        assert_eq!(one.to_xml(), named(listed, ns::TRC, "JobConfiguration"));
    }
    for token in ["job-nobody", "yard-1", ""] {
        let fault = client.ask("GetRecordingJobConfiguration", &by_job(token)).await.unwrap_err();
        assert_eq!(fault, "ter:NoRecordingJob", "{token:?}");
    }
}

/// The state of the job, of its source, and of its tracks.
async fn state(client: &Client, recording: &str) -> (String, String, Vec<String>) {
    let query = by_job(&format!("job-{recording}"));
    let answer = client.ask("GetRecordingJobState", &query).await.unwrap();
    let state = answer.child(ns::TRC, "State").unwrap();
    assert_eq!(text(state, &["RecordingToken"]), recording);
    let source = state.child(ns::TT, "Sources").unwrap();
    let tracks: Vec<_> =
        source.child(ns::TT, "Tracks").unwrap().children(ns::TT, "Track").collect();

    let answer = client.ask("GetRecordingJobConfiguration", &query).await.unwrap();
    let configured = answer.path(ns::TRC, &["JobConfiguration"]).unwrap();
    let configured = configured.child(ns::TT, "Source").unwrap();
    assert_eq!(source.child(ns::TT, "SourceToken"), configured.child(ns::TT, "SourceToken"));
    let ends = |e: &&Element| (text(e, &["SourceTag"]), text(e, &["Destination"]));
    let expected: Vec<_> = configured.children(ns::TT, "Tracks").map(|t| ends(&t)).collect();
    assert_eq!(tracks.iter().map(ends).collect::<Vec<_>>(), expected, "R5.19-9");

    let of_tracks = tracks.iter().map(|t| text(t, &["State"])).collect();
    (text(state, &["State"]), text(source, &["State"]), of_tracks)
}

/// R5.3.3-5, R5.19-1, R5.19-2, R5.19-3, R5.19-8, R5.19-9, R5.19-12
#[tokio::test]
async fn the_state_of_a_job_is_what_flows() {
    let index = sample::yard().await.unwrap();
    let in_state = |channel, status| {
        Change::Recording(Box::new(dvrgate_model::Recording {
            status,
            ..sample::recording(channel)
        }))
    };
    let recording = |channel| in_state(channel, RecordingStatus::Recording);
    let client = over(index.clone(), vec![recording(1), recording(2)]).await;
    let states = |all: &str, tracks: [&str; 2]| {
        (all.to_owned(), all.to_owned(), tracks.map(str::to_owned).to_vec())
    };
    assert_eq!(state(&client, "yard-1").await, states("Active", ["Active", "Active"]));
    assert_eq!(state(&client, "yard-2").await, states("Idle", ["Idle", "Idle"]), "no data yet");

    let video = sample::segment(&TrackToken::new("yard-2-video"), 30, 40);
    let client = over(index.clone(), vec![video]).await;
    assert_eq!(state(&client, "yard-2").await, states("PartiallyActive", ["Active", "Idle"]));

    // The mode stays what it is while the recorder pauses.
    let client = over(index, vec![in_state(1, RecordingStatus::Stopped)]).await;
    assert_eq!(state(&client, "yard-1").await, states("Idle", ["Idle", "Idle"]));
    let nobody = client.ask("GetRecordingJobState", &by_job("job-nobody")).await;
    assert_eq!(nobody.unwrap_err(), "ter:NoRecordingJob");
}

/// R5.19-7, R5.19-10, R5.19-12
#[tokio::test]
async fn a_job_is_in_error_while_its_recorder_is_out_of_reach() {
    let index = sample::yard().await.unwrap();
    let recording =
        dvrgate_model::Recording { status: RecordingStatus::Recording, ..sample::recording(1) };
    over(index.clone(), vec![Change::Recording(Box::new(recording))]).await;
    let yard = Arc::new(Yard::default());
    let client = with(index, yard.clone());
    let mut texts = std::collections::BTreeSet::new();
    for trouble in [Trouble::Unreachable, Trouble::LoginRefused, Trouble::NoSession] {
        for (trouble, expected) in [(Some(trouble), "Error"), (None, "Active")] {
            *yard.0.lock().unwrap() = trouble;
            let (job, source, tracks) = state(&client, "yard-1").await;
            assert_eq!((&*job, &*source), (expected, expected), "{trouble:?}");
            assert_eq!(tracks, [expected, expected], "{trouble:?}");
            let answer = client.ask("GetRecordingJobState", &by_job("job-yard-1")).await.unwrap();
            let tracks = answer.path(ns::TRC, &["State"]).unwrap();
            let tracks = tracks.path(ns::TT, &["Sources", "Tracks"]).unwrap();
            for track in tracks.children(ns::TT, "Track") {
                // As the schema orders them.
                let names: Vec<_> = track.elements().map(|e| e.name().local.to_string()).collect();
                let all = ["SourceTag", "Destination", "Error", "State"];
                let expected: Vec<_> =
                    all.into_iter().filter(|n| trouble.is_some() || *n != "Error").collect();
                assert_eq!(names, expected);
                texts.extend(track.child(ns::TT, "Error").map(|e| e.raw_text().to_string()));
            }
        }
    }
    assert_eq!(texts.len(), 3, "each has words of its own: {texts:?}");
    // A job without data is in error, too: nobody can tell whether it is filled.
    *yard.0.lock().unwrap() = Some(Trouble::Unreachable);
    assert_eq!(state(&client, "yard-2").await.0, "Error");
}

/// R5.20-1, R5.20-2, R5.20-3, R5.20-4, R5.20-6, R5.24-11
#[tokio::test]
async fn options_offer_no_more_than_can_be_made() {
    let client = client().await;
    let answer = client.ask("GetRecordingOptions", &by_recording("yard-1")).await.unwrap();
    let options = answer.child(ns::TRC, "Options").unwrap();
    for name in ["Job", "Track"] {
        let spare = options.child(ns::TRC, name).unwrap().attributes().count();
        assert_eq!(spare, 0, "nothing spare in {name}");
    }
    let nobody = client.ask("GetRecordingOptions", &by_recording("nobody")).await;
    assert_eq!(nobody.unwrap_err(), "ter:NoRecording");
}

/// R5.24-1, R5.24-2, R5.24-3, R5.24-4, R5.24-5, R5.24-6, R5.24-7, R5.24-8, R5.24-9, R5.24-10, R5.24-12, R5.24-13,
/// R5.24-14, R5.24-15, R5.24-16
#[tokio::test]
async fn capabilities_are_static_and_promise_what_is_there() {
    let empty = over(Arc::new(MemoryIndex::new()), Vec::new()).await;
    let client = client().await;
    let answer = client.ask_as(None, "GetServiceCapabilities", "").await.unwrap();
    let earlier = empty.ask_as(None, "GetServiceCapabilities", "").await.unwrap();
    assert_eq!(answer.to_xml(), earlier.to_xml(), "recordings that appear change nothing");
    let own = answer.child(ns::TRC, "Capabilities").unwrap();
    let of = |name| own.attribute(name).unwrap_or_else(|| panic!("no {name}"));
    for (name, value) in [
        ("DynamicRecordings", "false"),
        ("DynamicTracks", "false"),
        ("Options", "true"),
        ("MetadataRecording", "true"),
    ] {
        assert_eq!(of(name), value, "{name}");
    }
    let encodings: Vec<_> = of("Encoding").split(' ').collect();
    assert!(["H264", "JPEG", "MPEG4", "G711", "AAC"].iter().all(|e| encodings.contains(e)));
    let (rate, total): (f64, f64) =
        (of("MaxRate").parse().unwrap(), of("MaxTotalRate").parse().unwrap());
    assert!(rate > 0.0 && total >= rate);
    let recordings: f64 = of("MaxRecordings").parse().unwrap();
    assert!(recordings >= 2.0 && recordings.fract() == 0.0);
    // As each recording has one job.
    assert_eq!(f64::from(of("MaxRecordingJobs").parse::<i32>().unwrap()), recordings);
    // Neither what would have to list something, nor what the edition does not know.
    let all: Vec<_> = own.attributes().map(|(name, _)| &*name.local).collect();
    assert_eq!(all.len(), 9, "{all:?}");
}

/// R5.4-2, R5.5-4, R5.9-7, R5.10-5, R5.24x-6
#[tokio::test]
async fn what_is_not_offered_is_refused_by_fault() {
    let client = client().await;
    for operation in [
        "CreateRecording",
        "DeleteRecording",
        "CreateTrack",
        "DeleteTrack",
        "CreateRecordingJob",
        "ExportRecordedData",
        "ListRecordedSegments",
        "NoSuchOperation",
    ] {
        let fault = client.ask(operation, "").await.unwrap_err();
        assert_eq!(fault, "ter:NotImplemented", "{operation}");
    }
}

/// RH2-5: who may only look sees everything, and changes nothing.
#[tokio::test]
async fn operations_have_the_access_classes_of_the_standard() {
    let client = client().await;
    let viewer = Some("viewer");
    assert!(client.ask_as(viewer, "GetRecordings", "").await.is_ok());
    for user in [viewer, None] {
        let fault = client.ask_as(user, "DeleteRecordingJob", &by_job("job-yard-1")).await;
        assert_eq!(fault.unwrap_err(), "ter:NotAuthorized");
    }
    assert_eq!(client.ask_as(None, "GetRecordings", "").await.unwrap_err(), "ter:NotAuthorized");
    let table = service(Arc::new(MemoryIndex::new()), Arc::new(Yard::default()));
    let open: Vec<_> = table
        .operations()
        .iter()
        .filter(|o| o.access == Access::PreAuth)
        .map(|o| o.name.local.to_string())
        .collect();
    assert_eq!(open, ["GetServiceCapabilities"]);
    // R5.1-9.
    assert!(!table.operations().iter().any(|o| o.name.local.contains("Lock")));
}
