//! Playback: clause 8, ONVIF Streaming 6. From a PLAY to access units with times and due dates.
//!
//! * `application`: what the RTSP server asks for: presentations, and playbacks of them.
//! * [`plan`]: headers of a PLAY to a [`dvrgate_footage::PlayPlan`], or the status that refuses it.
//! * [`presenter`]: deliveries of the timeline to RTP timestamps, marks and due dates.

mod application;
pub mod plan;
pub mod presenter;
#[cfg(test)]
mod tests;

pub use application::application;
