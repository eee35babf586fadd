//! Sync against a recorder in memory whose truth is known.

mod edge;
mod oldest;
mod properties;
mod recorder;
mod whole;
