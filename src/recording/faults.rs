//! The faults of the recording service (the tables of R5.8 to R5.20).

use dvrgate_soap::Fault;

/// R5.8-2, R5.11-2, R5.20-3.
pub fn no_recording(token: &str) -> Fault {
    Fault::invalid_value("NoRecording", format!("there is no recording {token:?}"))
}

/// R5.11-3.
pub fn no_track(token: &str) -> Fault {
    Fault::invalid_value("NoTrack", format!("the recording has no track {token:?}"))
}

/// R5.17-2, R5.19-2.
pub fn no_job(token: &str) -> Fault {
    Fault::invalid_value("NoRecordingJob", format!("there is no recording job {token:?}"))
}
