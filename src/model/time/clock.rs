//! How a recorder's words about time become UTC, and back.
//!
//! A recorder's clock shows `zone(utc + offset + drift · (utc − measured_at))`. A [`ClockEpoch`]
//! holds one such relation and the stretch of the recorder's own time over which it is believed;
//! a [`ClockMap`] holds them all. `docs/time.md` gives assumptions and error bounds.

use smallvec::SmallVec;

use super::zone::Instants;
use super::{Civil, SourceRange, SourceTime, Utc, UtcRange, ZoneClaim, ZoneRule};
use crate::DeviceId;

/// One look at a recorder's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct ClockReading {
    /// Ours, just before asking.
    pub before: Utc,
    /// Theirs.
    pub device: SourceTime,
    /// Ours, just after the answer.
    pub after: Utc,
    /// The zone rule that the recorder declares.
    pub zone: Option<ZoneRule>,
    /// What the adapter found out about the zone claims of the recorder's listings.
    pub trust: ZoneTrust,
    /// Smallest step of the recorder's clock: a second for most.
    pub resolution_us: u64,
}

/// Whether zone claims in a recorder's listings (`Z`, offsets) are to be believed.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum ZoneTrust {
    /// The digits are the recorder's wall clock, whatever the claim says.
    #[default]
    WallClock,
    /// The claim is right; a reading without claim is wall clock.
    Claimed,
}

/// Which of a recorder's two ways of writing time is meant. They differ only where zone claims are
/// believed ([`ZoneTrust::Claimed`]): such a recorder lists footage in UTC and shows a wall clock.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Convention {
    /// As in listings of footage and requests for it.
    #[default]
    Listing,
    /// As on the recorder's screen and in its log.
    WallClock,
}

/// An epoch of one recorder; counts from 1 in the order of measurement.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClockEpochId(pub u32);

/// How the relation was learnt.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Basis {
    /// Read from the recorder while it showed the time.
    Measured,
    /// Between two measurements.
    Interpolated,
    /// By the operator.
    Configured,
    /// Nobody measured: the clock is taken as right.
    #[default]
    Assumed,
}

impl Basis {
    /// Lower-case name, as the index writes it.
    pub fn name(self) -> &'static str {
        match self {
            Basis::Measured => "measured",
            Basis::Interpolated => "interpolated",
            Basis::Configured => "configured",
            Basis::Assumed => "assumed",
        }
    }

    /// The reverse of [`Basis::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        [Basis::Measured, Basis::Interpolated, Basis::Configured, Basis::Assumed]
            .into_iter()
            .find(|b| b.name() == name)
    }
}

/// A stretch over which one relation between a recorder's clock and UTC is believed.
#[derive(Clone, Debug, PartialEq)]
pub struct ClockEpoch {
    /// Its number.
    pub id: ClockEpochId,
    /// Whose clock.
    pub device: DeviceId,
    /// Over which of the recorder's own readings ([`Convention::Listing`]).
    pub valid: SourceRange,
    /// Recorder minus UTC at `measured_at`, zone taken off: positive where it is ahead.
    pub offset_us: i64,
    /// How fast that grows: parts per billion; positive where the recorder's clock is fast.
    pub drift_ppb: i32,
    /// When the offset was measured.
    pub measured_at: Utc,
    /// Zone rule of the recorder's wall clock.
    pub zone: ZoneRule,
    /// Whether zone claims are believed.
    pub trust: ZoneTrust,
    /// How this was learnt.
    pub basis: Basis,
    /// Bound of the error at `measured_at`; [`ClockEpoch::uncertainty_at`] widens it.
    pub uncertainty_us: u64,
}

/// Drift that an unmeasured clock is allowed, in parts per billion: 20 s a day is what bad
/// recorders do; 50 ppm (4 s a day) is what crystals do.
const UNMEASURED_DRIFT_PPB: u64 = 50_000;
/// Beyond this, an epoch's drift is not extrapolated to (a year of it would be nonsense).
const MAX_EXTRAPOLATION_US: i64 = 400 * 86_400_000_000;

/// An instant, how sure we are of it, and what it was computed with.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Stamp {
    /// The instant.
    pub utc: Utc,
    /// Half width of the interval that holds the truth.
    pub uncertainty_us: u64,
    /// Of the recorder that the track belongs to.
    pub epoch: ClockEpochId,
}

impl Stamp {
    /// A stamp that needed no recorder's clock.
    pub fn exact(utc: Utc) -> Self {
        Self { utc, uncertainty_us: 0, epoch: ClockEpochId(0) }
    }
}

/// What else is known when a wall-clock reading must be placed in the doubled hour.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Hint {
    /// Nothing: the first is taken and the stamp says an hour of uncertainty.
    #[default]
    None,
    /// It is not before this instant (the previous item of an ordered list).
    NotBefore(Utc),
    /// It is not after this instant.
    NotAfter(Utc),
    /// It is close to this instant.
    Near(Utc),
}

impl ClockEpoch {
    /// A clock that is believed as it is.
    pub fn assumed(device: DeviceId, zone: ZoneRule, trust: ZoneTrust) -> Self {
        Self {
            id: ClockEpochId(0),
            device,
            valid: SourceRange::new(
                Civil::from_micros_as_if_utc(i64::MIN),
                Civil::from_micros_as_if_utc(i64::MAX),
            ),
            offset_us: 0,
            drift_ppb: 0,
            measured_at: Utc::from_secs(0),
            zone,
            trust,
            basis: Basis::Assumed,
            uncertainty_us: 60_000_000,
        }
    }

    /// Offset of the recorder's clock at that instant.
    pub fn offset_at(&self, utc: Utc) -> i64 {
        let age = utc.since_us(self.measured_at).clamp(-MAX_EXTRAPOLATION_US, MAX_EXTRAPOLATION_US);
        self.offset_us + (i128::from(age) * i128::from(self.drift_ppb) / 1_000_000_000) as i64
    }

    /// Bound of the error at that instant: the measured one, wider with the age of the measurement.
    pub fn uncertainty_at(&self, utc: Utc) -> u64 {
        if self.basis == Basis::Assumed || self.basis == Basis::Configured {
            return self.uncertainty_us;
        }
        // With a known drift, a tenth of it may still be wrong; without one, all of it.
        let ppb = match self.drift_ppb {
            0 => UNMEASURED_DRIFT_PPB,
            d => u64::from(d.unsigned_abs()) / 10 + 1_000,
        };
        let age = utc.since_us(self.measured_at).unsigned_abs().min(MAX_EXTRAPOLATION_US as u64);
        self.uncertainty_us + (u128::from(age) * u128::from(ppb) / 1_000_000_000) as u64
    }

    /// From the recorder's own UTC (wall clock with the zone taken off) to UTC.
    pub(crate) fn device_to_utc(&self, device_utc: Utc) -> Utc {
        // offset_at is a function of the result; drift is below 1e-3, so two steps reach 1 µs.
        let mut utc = device_utc.plus_us(-self.offset_us);
        for _ in 0..3 {
            utc = device_utc.plus_us(-self.offset_at(utc));
        }
        utc
    }

    /// What the recorder's wall clock shows at that instant.
    pub fn wall_clock(&self, utc: Utc) -> Civil {
        self.zone.civil(utc.plus_us(self.offset_at(utc)))
    }

    /// What the recorder writes for that instant.
    pub fn reading(&self, utc: Utc, convention: Convention) -> Civil {
        match (convention, self.trust) {
            (Convention::Listing, ZoneTrust::Claimed) => {
                Civil::from_micros_as_if_utc(utc.plus_us(self.offset_at(utc)).micros())
            }
            _ => self.wall_clock(utc),
        }
    }

    fn to_utc(&self, t: &SourceTime, hint: Hint) -> (Utc, u64) {
        let claimed = match (self.trust, t.zone) {
            (ZoneTrust::Claimed, ZoneClaim::Utc) => Some(0),
            (ZoneTrust::Claimed, ZoneClaim::Offset(s)) => Some(i64::from(s)),
            _ => None,
        };
        let us = t.civil.micros_as_if_utc();
        let (utc, extra) = match claimed {
            Some(s) => (self.device_to_utc(Utc::from_micros(us - s * 1_000_000)), 0),
            None => match self.zone.instants(t.civil) {
                Instants::One(a) => (self.device_to_utc(a), 0),
                Instants::Two(a, b) => choose(self.device_to_utc(a), self.device_to_utc(b), hint),
                // A reading that the rule says cannot be: the recorder did not apply the change
                // (yet). Its clock went on by the rule before; the other reading bounds the error.
                Instants::None(before, after) => {
                    (self.device_to_utc(before), before.since_us(after).unsigned_abs())
                }
            },
        };
        (utc, self.uncertainty_at(utc).saturating_add(extra))
    }
}

/// Neighbours in a listing overlap by the recorder's resolution.
const SLACK_US: i64 = 2_000_000;

/// Of the two instants of a doubled reading, the one that the hint asks for, and the uncertainty
/// that remains.
fn choose(first: Utc, second: Utc, hint: Hint) -> (Utc, u64) {
    let width = second.since_us(first).unsigned_abs();
    match hint {
        Hint::None => (first, width),
        Hint::NotBefore(t) if first.plus_us(SLACK_US) < t => (second, 0),
        // Not before the previous item, yet both would fit: the earlier one continues the list.
        Hint::NotBefore(_) => (first, 0),
        Hint::NotAfter(t) if second.plus_us(-SLACK_US) > t => (first, 0),
        Hint::NotAfter(_) => (second, 0),
        Hint::Near(t) => {
            let (a, b) = (t.since_us(first).unsigned_abs(), t.since_us(second).unsigned_abs());
            (if a <= b { first } else { second }, 0)
        }
    }
}

/// All epochs of one recorder, by validity.
#[derive(Clone, Debug, PartialEq)]
pub struct ClockMap {
    epochs: Vec<ClockEpoch>,
}

impl ClockMap {
    /// From epochs in any order. `fallback` answers where none is valid.
    pub fn new(mut epochs: Vec<ClockEpoch>, fallback: ClockEpoch) -> Self {
        epochs.sort_by_key(|e| (e.valid.start, e.id));
        epochs.insert(0, fallback);
        Self { epochs }
    }

    /// The epochs, without the fallback.
    pub fn epochs(&self) -> &[ClockEpoch] {
        &self.epochs[1..]
    }

    /// The newest epoch, or the fallback.
    pub fn newest(&self) -> &ClockEpoch {
        self.epochs.iter().max_by_key(|e| e.id).unwrap_or(&self.epochs[0])
    }

    /// When that was. The hint decides the doubled autumn hour, and likewise readings that a clock
    /// which was set showed twice.
    pub fn to_utc(&self, t: &SourceTime, hint: Hint) -> Stamp {
        let reading = self.listing_reading(t);
        let stamp = |e: &ClockEpoch| {
            let (utc, uncertainty_us) = e.to_utc(t, hint);
            Stamp { utc, uncertainty_us, epoch: e.id }
        };
        let mut claims: SmallVec<[Stamp; 2]> =
            self.epochs[1..].iter().filter(|e| e.valid.contains(reading)).map(stamp).collect();
        claims.sort_unstable_by_key(|s| (s.utc, s.epoch));
        let (Some(first), Some(last)) = (claims.first(), claims.last()) else {
            return stamp(&self.epochs[0]);
        };
        let chosen = match hint {
            Hint::None => {
                let width = last.utc.since_us(first.utc).unsigned_abs();
                return Stamp { uncertainty_us: first.uncertainty_us + width, ..*first };
            }
            Hint::NotBefore(t) => claims.iter().find(|s| s.utc.plus_us(SLACK_US) >= t),
            Hint::NotAfter(t) => {
                return *claims.iter().rfind(|s| s.utc.plus_us(-SLACK_US) <= t).unwrap_or(first);
            }
            Hint::Near(t) => claims.iter().min_by_key(|s| s.utc.since_us(t).unsigned_abs()),
        };
        *chosen.unwrap_or(last)
    }

    /// Epochs are valid over listing readings; other writings must become one first.
    fn listing_reading(&self, t: &SourceTime) -> Civil {
        let newest = self.newest();
        match (newest.trust, t.zone) {
            (ZoneTrust::WallClock, _) | (ZoneTrust::Claimed, ZoneClaim::Utc) => t.civil,
            (ZoneTrust::Claimed, ZoneClaim::Offset(s)) => {
                t.civil.plus_us(-i64::from(s) * 1_000_000)
            }
            (ZoneTrust::Claimed, ZoneClaim::None) => match newest.zone.instants(t.civil) {
                Instants::One(a) | Instants::Two(a, _) | Instants::None(a, _) => {
                    Civil::from_micros_as_if_utc(a.micros())
                }
            },
        }
    }

    /// What the recorder wrote for that instant: one reading, or two where a step of its clock let
    /// two epochs claim the instant.
    pub fn to_source(&self, t: Utc, convention: Convention) -> SmallVec<[Civil; 2]> {
        let mut readings: SmallVec<[Civil; 2]> = self.epochs[1..]
            .iter()
            .filter(|e| e.valid.contains(e.reading(t, Convention::Listing)))
            .map(|e| e.reading(t, convention))
            .collect();
        if readings.is_empty() {
            readings.push(self.epochs[0].reading(t, convention));
        }
        readings.sort_unstable();
        readings.dedup();
        readings
    }

    /// Windows of readings that together cover everything the recorder wrote during `range`,
    /// merged where they overlap. More than one only around a step; in the doubled hour one window
    /// that covers the hour (what it holds must be placed by [`Hint`] and clipped afterwards).
    pub fn source_windows(&self, range: UtcRange, convention: Convention) -> Vec<SourceRange> {
        let mut windows: Vec<SourceRange> = Vec::new();
        for part in self.parts(range) {
            let (epoch, range) = part;
            let read = |t| epoch.reading(t, convention);
            // The end is read just before it: a change of offset at the end itself is not inside.
            let last = range.end().plus_us(-1).max(range.start());
            let mut points = vec![read(range.start()), read(last).plus_us(1)];
            // Around a change of offset the clock shows readings beyond both ends. It changes when
            // the recorder's own clock says so, not when it is time.
            let device_utc = |t: Utc| t.plus_us(epoch.offset_at(t));
            let own = UtcRange::clamped(device_utc(range.start()), device_utc(range.end()));
            for (at, _, _) in epoch.zone.changes(own) {
                let at = epoch.device_to_utc(at);
                points.push(read(at.plus_us(-1)).plus_us(1));
                points.push(read(at));
            }
            if let (Some(start), Some(end)) = (points.iter().min(), points.iter().max()) {
                windows.push(SourceRange::new(*start, *end));
            }
        }
        windows.sort_by_key(|w| w.start);
        let mut merged: Vec<SourceRange> = Vec::new();
        for w in windows.into_iter().filter(|w| !w.is_empty()) {
            match merged.last_mut() {
                Some(last) if w.start <= last.end => last.end = last.end.max(w.end),
                _ => merged.push(w),
            }
        }
        merged
    }

    /// The part of `range` over which each epoch is valid; two parts share an instant where the
    /// clock was set at an unknown time. What no epoch claims goes to the fallback.
    fn parts(&self, range: UtcRange) -> Vec<(&ClockEpoch, UtcRange)> {
        let mut parts = Vec::new();
        let mut open = vec![range];
        for e in self.epochs[1..].iter().rev() {
            let as_utc = |c: Civil| {
                let claim = match e.trust {
                    ZoneTrust::Claimed => ZoneClaim::Utc,
                    ZoneTrust::WallClock => ZoneClaim::None,
                };
                e.to_utc(&SourceTime::from_civil(c, claim), Hint::None).0
            };
            let valid = UtcRange::clamped(as_utc(e.valid.start), as_utc(e.valid.end));
            let Some(inside) = range.intersect(&valid) else { continue };
            parts.push((e, inside));
            let mut rest = Vec::new();
            for r in open {
                let Some(inside) = r.intersect(&valid) else {
                    rest.push(r);
                    continue;
                };
                rest.push(UtcRange::clamped(r.start(), inside.start()));
                rest.push(UtcRange::clamped(inside.end(), r.end()));
            }
            open = rest.into_iter().filter(|r| !r.is_empty()).collect();
        }
        parts.extend(open.into_iter().map(|r| (&self.epochs[0], r)));
        parts
    }
}
