//! Time: UTC inside, the recorder's own words kept beside it, and the measured relation of both.
//!
//! * [`Utc`] and [`UtcRange`]: microseconds, half-open.
//! * [`SourceTime`]: what the recorder said.
//! * [`ClockEpoch`], [`ClockMap`]: how one becomes the other, with the uncertainty stated.
//!
//! The zone database is private to this module. `docs/time.md` gives the assumptions and bounds.

mod civil;
mod clock;
pub mod epoch;
mod source;
mod utc;
mod zone;

pub use civil::Civil;
pub use clock::{
    Basis, ClockEpoch, ClockEpochId, ClockMap, ClockReading, Convention, Hint, Stamp, ZoneTrust,
};
pub use source::{SourceRange, SourceTime, ZoneClaim};
pub use utc::{Direction, Utc, UtcRange};
pub use zone::ZoneRule;
