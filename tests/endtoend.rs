//! End to end: simulated recorders behind the program itself, seen by clients of the standard.
//!
//! The recorders run in this process, so a test can ask them what they hold and what they saw of
//! the gateway; the gateway runs as users run it, as a process with a configuration file. Clients
//! are programs that nobody of this project wrote, and a small one that reads every byte.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may

#[path = "endtoend/clients.rs"]
mod clients;
#[path = "endtoend/clocks.rs"]
mod clocks;
#[path = "endtoend/commands.rs"]
mod commands;
#[path = "endtoend/conformance.rs"]
mod conformance;
#[path = "endtoend/encodings.rs"]
mod encodings;
#[path = "endtoend/faults.rs"]
mod faults;
#[path = "endtoend/hostile.rs"]
mod hostile;
#[path = "endtoend/index.rs"]
mod index;
#[path = "endtoend/jobs.rs"]
mod jobs;
#[path = "endtoend/metadata.rs"]
mod metadata;
#[path = "endtoend/pictures.rs"]
mod pictures;
#[path = "endtoend/protection.rs"]
mod protection;
#[path = "endtoend/replay.rs"]
mod replay;
#[path = "endtoend/rig.rs"]
mod rig;
#[path = "endtoend/transports.rs"]
mod transports;
#[path = "endtoend/truth.rs"]
mod truth;
#[path = "endtoend/wire.rs"]
mod wire;
