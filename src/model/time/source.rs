//! What a recorder said about time.

use std::fmt;

use super::Civil;

/// A time in the recorder's own words, kept for ever: whatever is learnt later about its clock,
/// the stamp can be computed anew.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct SourceTime {
    /// The exact text, or the hex of a packed field.
    pub raw: Box<str>,
    /// Its calendar reading, no zone applied.
    pub civil: Civil,
    /// What it claims about its zone; often false.
    pub zone: ZoneClaim,
}

impl SourceTime {
    /// A reading with its text made from it.
    pub fn from_civil(civil: Civil, zone: ZoneClaim) -> Self {
        Self { raw: civil.to_string().into(), civil, zone }
    }
}

impl fmt::Debug for SourceTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({}, {:?})", self.raw, self.civil, self.zone)
    }
}

/// What a source time says about its own zone.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum ZoneClaim {
    /// Nothing.
    #[default]
    None,
    /// `Z`.
    Utc,
    /// An offset in seconds east of Greenwich.
    Offset(i32),
}

/// A half-open range of calendar readings. In the doubled hour it can be longer or shorter than
/// the time that passed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SourceRange {
    /// First reading.
    pub start: Civil,
    /// First reading after it.
    pub end: Civil,
}

impl SourceRange {
    /// Takes an end before the start as empty.
    pub fn new(start: Civil, end: Civil) -> Self {
        Self { start, end: end.max(start) }
    }

    /// Whether the reading belongs to it.
    pub fn contains(&self, c: Civil) -> bool {
        self.start <= c && c < self.end
    }

    /// Whether it has no reading.
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Length on the linear scale, in microseconds.
    pub fn duration_us(&self) -> i64 {
        self.end.micros_as_if_utc() - self.start.micros_as_if_utc()
    }
}
