//! Playback: clause 8, ONVIF Streaming 6. From a PLAY to access units with times and due dates.
//!
//! * [`plan`]: headers of a PLAY to a [`dvrgate_footage::PlayPlan`], or the status that refuses it.
//! * [`presenter`]: deliveries of the timeline to RTP timestamps, marks and due dates.

pub mod plan;
pub mod presenter;
