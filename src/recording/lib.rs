//! The recording service: clause 5, ONVIF Recording Control 5, the part that reads.
//!
//! | operation | where |
//! |---|---|
//! | GetServiceCapabilities, GetRecordings, Get(Recording, Track)Configuration, GetRecordingOptions | `service` |
//! | GetRecordingJobs, GetRecordingJobConfiguration, GetRecordingJobState | `jobs` |
//! | everything that creates, changes, deletes or exports | not supported yet |
//!
//! What a recorder records by itself is shown as one active job a recording, so that a client sees
//! where the footage comes from.

mod configuration;
mod faults;
mod jobs;
mod service;

pub use service::{RECORDING_SERVICE_PATH, service};
