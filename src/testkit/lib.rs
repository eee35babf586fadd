//! What tests and the demo need to play a recorder: a scenario, its footage, its clock, and a
//! server chassis.
//!
//! Vendor words live in the simulators; here are the things that all simulated recorders share.
//! Footage is generated, never shipped, and is the same on every run, so a test that decodes a
//! frame knows which instant it sees.

pub mod archive;
pub mod chassis;
pub mod clock;
pub mod counters;
pub mod device_clock;
pub mod faults;
pub mod footage;
pub mod moment;
pub mod reel;
pub mod scenario;
pub mod truth;

pub use archive::{Archive, ArchivedChannel, Piece};
pub use clock::{SimulatedClock, SystemClock};
pub use counters::{CounterReadings, Counters};
pub use device_clock::DeviceClock;
pub use faults::{Control, Faults};
pub use footage::{AccessUnit, ClipSource};
pub use reel::{Reel, Sample, SampleKind};
pub use scenario::{ChannelKind, EventKind, Scenario};
pub use truth::Truth;
