//! The table of the recording service.

use std::sync::Arc;

use dvrgate_index::{Index, Scope};
use dvrgate_model::ports::Sources;
use dvrgate_model::{Origin, Recording, RecordingToken, TrackToken};
use dvrgate_soap::{Access, Call, Element, Fault, Service, Value as _, Version, message, ns};

use crate::{configuration, faults, jobs};

/// Address of the service.
pub const RECORDING_SERVICE_PATH: &str = "/onvif/recording_service";

/// What the operations share.
#[derive(Debug)]
struct Recordings {
    index: Arc<dyn Index>,
    sources: Arc<dyn Sources>,
}

message! {
    /// Any request that names a recording.
    struct ByRecording in ns::TRC { token: String = "RecordingToken" }
    /// trc:GetTrackConfiguration.
    struct ByTrack in ns::TRC { recording: String = "RecordingToken", track: String = "TrackToken" }
    /// Any request that names a job.
    struct ByJob in ns::TRC { token: String = "JobToken" }
}

/// The service over an index; `sources` tells which recorders are in reach.
pub fn service(index: Arc<dyn Index>, sources: Arc<dyn Sources>) -> Service {
    use Access::{Actuate, PreAuth, ReadMedia};
    let shared = Arc::new(Recordings { index, sources });
    Service::table(ns::TRC, RECORDING_SERVICE_PATH, Version(18, 12), shared)
        .on("GetServiceCapabilities", PreAuth, capabilities)
        .on("GetRecordings", ReadMedia, recordings)
        .on("GetRecordingConfiguration", ReadMedia, recording_configuration)
        .on("GetTrackConfiguration", ReadMedia, track_configuration)
        .on("GetRecordingOptions", ReadMedia, options)
        .on("GetRecordingJobs", ReadMedia, recording_jobs)
        .on("GetRecordingJobConfiguration", ReadMedia, job_configuration)
        .on("GetRecordingJobState", ReadMedia, job_state)
        .unsupported(&[
            ("CreateRecording", Actuate),
            ("DeleteRecording", Actuate),
            ("SetRecordingConfiguration", Actuate),
            ("CreateTrack", Actuate),
            ("DeleteTrack", Actuate),
            ("SetTrackConfiguration", Actuate),
            ("CreateRecordingJob", Actuate),
            ("DeleteRecordingJob", Actuate),
            ("SetRecordingJobConfiguration", Actuate),
            ("SetRecordingJobMode", Actuate),
            ("ExportRecordedData", ReadMedia),
            ("StopExportRecordedData", ReadMedia),
            ("GetExportRecordedDataState", ReadMedia),
            ("OverrideSegmentDuration", Actuate),
            ("ListRecordedSegments", ReadMedia),
            ("ExportRecordedSegments", ReadMedia),
            ("StopExportRecordedSegments", ReadMedia),
        ])
        .build()
}

/// Bit rate of one recording in kbit/s: that of the largest recorders that adapters speak to.
const MAX_RATE_KBIT: u32 = 16_384;
/// What the index was measured to keep up with (docs/benchmarks.md). Not what there is now:
/// capabilities are static (R5.24-1).
const MAX_RECORDINGS: u32 = 10_000;

async fn capabilities(_: Arc<Recordings>, call: Call) -> Result<Element, Fault> {
    let own = Element::new(ns::TRC, "Capabilities")
        .with_attribute("DynamicRecordings", "false")
        .with_attribute("DynamicTracks", "false")
        .with_attribute("Encoding", "H264 H265 JPEG MPEG4 G711 G726 AAC")
        .with_attribute("MaxRate", MAX_RATE_KBIT.to_string())
        .with_attribute("MaxTotalRate", (MAX_RATE_KBIT * MAX_RECORDINGS).to_string())
        .with_attribute("MaxRecordings", MAX_RECORDINGS.to_string())
        .with_attribute("MaxRecordingJobs", MAX_RECORDINGS.to_string())
        .with_attribute("Options", "true")
        .with_attribute("MetadataRecording", "true");
    Ok(call.response().with(own))
}

async fn recordings(s: Arc<Recordings>, call: Call) -> Result<Element, Fault> {
    let items = s.all(&call)?.into_iter().map(|r| {
        let tracks = r.tracks.iter().map(|t| {
            Element::new(ns::TT, "Track")
                .with(Element::new(ns::TT, "TrackToken").with_text(t.token.as_str()))
                .with(configuration::track(t, Element::new(ns::TT, "Configuration")))
        });
        Element::new(ns::TRC, "RecordingItem")
            .with(Element::new(ns::TT, "RecordingToken").with_text(r.token.as_str()))
            .with(configuration::recording(&r, Element::new(ns::TT, "Configuration")))
            .with(Element::new(ns::TT, "Tracks").with_all(tracks))
    });
    Ok(call.response().with_all(items))
}

async fn recording_configuration(s: Arc<Recordings>, call: Call) -> Result<Element, Fault> {
    let q = ByRecording::read(&call.request)?;
    let r = s.one(&call, &q.token)?;
    let name = Element::new(ns::TRC, "RecordingConfiguration");
    Ok(call.response().with(configuration::recording(&r, name)))
}

async fn track_configuration(s: Arc<Recordings>, call: Call) -> Result<Element, Fault> {
    let q = ByTrack::read(&call.request)?;
    let r = s.one(&call, &q.recording)?;
    let track = r.track(&TrackToken::new(&q.track)).ok_or_else(|| faults::no_track(&q.track))?;
    let name = Element::new(ns::TRC, "TrackConfiguration");
    Ok(call.response().with(configuration::track(track, name)))
}

/// Neither jobs nor tracks can be added: every `Spare` attribute is absent (R5.20-4, R5.20-6).
async fn options(s: Arc<Recordings>, call: Call) -> Result<Element, Fault> {
    let q = ByRecording::read(&call.request)?;
    s.one(&call, &q.token)?;
    let options = Element::new(ns::TRC, "Options")
        .with(Element::new(ns::TRC, "Job"))
        .with(Element::new(ns::TRC, "Track"));
    Ok(call.response().with(options))
}

async fn recording_jobs(s: Arc<Recordings>, call: Call) -> Result<Element, Fault> {
    let items = s.all(&call)?.into_iter().map(|r| {
        Element::new(ns::TRC, "JobItem")
            .with(Element::new(ns::TT, "JobToken").with_text(jobs::token(&r)))
            .with(jobs::configuration(&r, Element::new(ns::TT, "JobConfiguration")))
    });
    Ok(call.response().with_all(items))
}

async fn job_configuration(s: Arc<Recordings>, call: Call) -> Result<Element, Fault> {
    let r = s.of_job(&call)?;
    Ok(call.response().with(jobs::configuration(&r, Element::new(ns::TRC, "JobConfiguration"))))
}

async fn job_state(s: Arc<Recordings>, call: Call) -> Result<Element, Fault> {
    let r = s.of_job(&call)?;
    let trouble = match &r.origin {
        Origin::Device { device, .. } => s.sources.trouble(device),
        Origin::Receiver { .. } => None,
    };
    Ok(call.response().with(jobs::state(&r, trouble, Element::new(ns::TRC, "State"))))
}

impl Recordings {
    fn all(&self, call: &Call) -> Result<Vec<Arc<Recording>>, Fault> {
        self.index.snapshot().recordings(&Scope::all()).map_err(|e| call.fault(&e))
    }

    fn one(&self, call: &Call, token: &str) -> Result<Arc<Recording>, Fault> {
        let found = self.index.snapshot().recording(&RecordingToken::new(token));
        found.map_err(|e| call.fault(&e))?.ok_or_else(|| faults::no_recording(token))
    }

    fn of_job(&self, call: &Call) -> Result<Arc<Recording>, Fault> {
        let q = ByJob::read(&call.request)?;
        let token = jobs::recording_of(&q.token).ok_or_else(|| faults::no_job(&q.token))?;
        self.one(call, token).map_err(|_| faults::no_job(&q.token))
    }
}
