//! What a measured clock means for the clock map: nothing new, a drift, a new stretch, or a step.
//!
//! Pure. The stamps' stated uncertainty always covers what is tolerated here without a change, so
//! a sync that learns nothing new changes nothing.

use dvrgate_model::{
    Basis, Civil, ClockEpoch, ClockEpochId, ClockMap, Convention, DeviceId, Hint, SourceRange,
    SourceTime, Utc, ZoneClaim, ZoneRule, ZoneTrust,
};

/// A recorder's clock, measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// When.
    pub at: Utc,
    /// Recorder minus UTC with the zone taken off.
    pub offset_us: i64,
    /// Half width of the interval that holds the truth.
    pub uncertainty_us: u64,
    /// Zone rule in force.
    pub zone: ZoneRule,
    /// Whether zone claims are believed.
    pub trust: ZoneTrust,
}

/// What becomes of the epochs of a recorder.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// All as believed.
    Same,
    /// These epochs are put in place, by id.
    Changed {
        /// New ones and ones that changed.
        epochs: Vec<ClockEpoch>,
        /// Why.
        why: Why,
    },
}

/// Why epochs changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// There were none, or only assumed ones.
    First,
    /// Enough time passed to know how fast the clock drifts.
    Drift,
    /// The measurement grew old: a new stretch begins.
    Anchor,
    /// The clock was set, by about this many microseconds.
    Step(i64),
    /// The zone was believed wrongly; the order of listings must be read again.
    Zone,
}

/// Judges a measurement. `checked_at` is when the newest epoch was last found right.
pub fn judge(
    device: &DeviceId,
    epochs: &[ClockEpoch],
    checked_at: Option<Utc>,
    m: &Measurement,
) -> Verdict {
    let Some(newest) = epochs.iter().max_by_key(|e| e.id) else {
        return first(device, ClockEpochId(1), m);
    };
    if !matches!(newest.basis, Basis::Measured | Basis::Interpolated) {
        return first(device, newest.id, m);
    }
    let checked_at = checked_at.unwrap_or(newest.measured_at).min(m.at);
    let since_check_us = m.at.since_us(checked_at);
    let noise_us = m.uncertainty_us as i64 + NOISE_US;
    let tolerated_us = newest.uncertainty_at(m.at) as i64 + noise_us;
    let step_us = tolerated_us + ppb(since_check_us, MAX_DRIFT_PPB);
    // Compare what the clock shows, so that a zone that was only believed wrongly is no step.
    let diff_us = offset_in(newest, m).saturating_sub(newest.offset_at(m.at));
    if (newest.zone != m.zone || newest.trust != m.trust) && diff_us.abs() <= step_us {
        return believe(epochs, newest, m);
    }
    if diff_us.abs() > step_us {
        return step(device, newest, checked_at, diff_us, m);
    }
    if newest.drift_ppb == 0 {
        return drift(newest, m).unwrap_or(Verdict::Same);
    }
    if diff_us.abs() > tolerated_us || newest.uncertainty_at(m.at) as i64 > noise_us + STALE_US {
        return anchor(newest, checked_at, m);
    }
    Verdict::Same
}

/// The epoch of a recorder whose clock cannot be read.
pub fn unmeasured(device: &DeviceId, zone: Option<&ZoneRule>, trust: ZoneTrust) -> ClockEpoch {
    let rule = zone.cloned().unwrap_or_else(ZoneRule::utc);
    let basis = if zone.is_some() { Basis::Configured } else { Basis::Assumed };
    ClockEpoch { id: ClockEpochId(1), basis, ..ClockEpoch::assumed(device.clone(), rule, trust) }
}

/// One epoch for all times: footage from before the first measurement is placed by it too.
fn first(device: &DeviceId, id: ClockEpochId, m: &Measurement) -> Verdict {
    let epoch = ClockEpoch {
        id,
        device: device.clone(),
        valid: always(),
        offset_us: m.offset_us,
        drift_ppb: 0,
        measured_at: m.at,
        zone: m.zone.clone(),
        trust: m.trust,
        basis: Basis::Measured,
        uncertainty_us: m.uncertainty_us,
    };
    Verdict::Changed { epochs: vec![epoch], why: Why::First }
}

/// The drift over the stretch since the epoch was measured, once that is long enough for the
/// error of the two measurements to be small against it.
fn drift(newest: &ClockEpoch, m: &Measurement) -> Option<Verdict> {
    let age_us = m.at.since_us(newest.measured_at);
    if age_us < MIN_BASELINE_US {
        return None;
    }
    let diff_us = m.offset_us.saturating_sub(newest.offset_us);
    let per_us = |us: i64| i128::from(us) * 1_000_000_000 / i128::from(age_us);
    let drift_ppb = per_us(diff_us);
    let error_ppb = per_us((m.uncertainty_us + newest.uncertainty_us) as i64);
    // What `ClockEpoch::uncertainty_at` allows for a known drift.
    if error_ppb > drift_ppb.abs() / 10 + 1_000 {
        return None;
    }
    // Not 0: that would say that the drift is not known.
    let drift_ppb = if drift_ppb == 0 { 1 } else { drift_ppb as i32 };
    let epoch = ClockEpoch { drift_ppb, ..newest.clone() };
    Some(Verdict::Changed { epochs: vec![epoch], why: Why::Drift })
}

/// A new stretch from the last check on, with the drift that is known.
fn anchor(newest: &ClockEpoch, checked_at: Utc, m: &Measurement) -> Verdict {
    let border = newest.reading(checked_at, Convention::Listing);
    let next = ClockEpoch {
        id: ClockEpochId(newest.id.0 + 1),
        valid: SourceRange::new(border, newest.valid.end),
        offset_us: m.offset_us,
        measured_at: m.at,
        basis: Basis::Measured,
        uncertainty_us: m.uncertainty_us,
        ..newest.clone()
    };
    let valid = SourceRange::new(newest.valid.start, border);
    let old = ClockEpoch { valid, ..newest.clone() };
    Verdict::Changed { epochs: vec![old, next], why: Why::Anchor }
}

/// The clock was set some time between the last check and now. The old relation may have held
/// until now and the new one may hold since the check; readings that both claim are placed by
/// their neighbours in the listing, as in the doubled hour.
fn step(
    device: &DeviceId,
    newest: &ClockEpoch,
    checked_at: Utc,
    by_us: i64,
    m: &Measurement,
) -> Verdict {
    let next = ClockEpoch {
        id: ClockEpochId(newest.id.0 + 1),
        device: device.clone(),
        valid: always(),
        offset_us: m.offset_us,
        drift_ppb: newest.drift_ppb,
        measured_at: m.at,
        zone: m.zone.clone(),
        trust: m.trust,
        basis: Basis::Measured,
        uncertainty_us: m.uncertainty_us,
    };
    let from = next.reading(checked_at, Convention::Listing);
    let until = newest.reading(m.at, Convention::Listing).max(from);
    let valid = SourceRange::new(newest.valid.start, until);
    let old = ClockEpoch { valid, ..newest.clone() };
    let next = ClockEpoch { valid: SourceRange::new(from, always().end), ..next };
    Verdict::Changed { epochs: vec![old, next], why: Why::Step(by_us) }
}

/// The zone rule or the trust in claims was wrong: every epoch that believed it is corrected, so
/// that at the time of its measurement the clock shows the same digits.
fn believe(epochs: &[ClockEpoch], newest: &ClockEpoch, m: &Measurement) -> Verdict {
    let wrong = epochs.iter().filter(|e| e.zone == newest.zone && e.trust == newest.trust);
    let epochs = wrong
        .map(|e| {
            let corrected = ClockEpoch { zone: m.zone.clone(), trust: m.trust, ..e.clone() };
            let shown = e.wall_clock(e.measured_at);
            let offset_us = offset_of(&corrected, shown, e.measured_at.plus_us(e.offset_us))
                .since_us(e.measured_at);
            ClockEpoch { offset_us, ..corrected }
        })
        .collect();
    Verdict::Changed { epochs, why: Why::Zone }
}

/// The measured offset as it is under the epoch's zone rule.
fn offset_in(epoch: &ClockEpoch, m: &Measurement) -> i64 {
    if epoch.zone == m.zone {
        return m.offset_us;
    }
    let shown = m.zone.civil(m.at.plus_us(m.offset_us));
    offset_of(epoch, shown, m.at.plus_us(epoch.offset_at(m.at))).since_us(m.at)
}

/// The recorder's own UTC when its wall clock shows that, under the epoch's zone rule.
fn offset_of(epoch: &ClockEpoch, shown: Civil, near: Utc) -> Utc {
    device_utc(
        &SourceTime::from_civil(shown, ZoneClaim::None),
        &epoch.device,
        &epoch.zone,
        ZoneTrust::WallClock,
        near,
    )
}

/// The recorder's own UTC when it says that time: the zone is taken off, the offset is not.
pub fn device_utc(
    time: &SourceTime,
    device: &DeviceId,
    zone: &ZoneRule,
    trust: ZoneTrust,
    near: Utc,
) -> Utc {
    let right = ClockEpoch::assumed(device.clone(), zone.clone(), trust);
    ClockMap::new(Vec::new(), right).to_utc(time, Hint::Near(near)).utc
}

fn always() -> SourceRange {
    SourceRange::new(
        Civil::from_micros_as_if_utc(Utc::MIN.micros()),
        Civil::from_micros_as_if_utc(Utc::MAX.micros()),
    )
}

fn ppb(us: i64, ppb: i64) -> i64 {
    (i128::from(us) * i128::from(ppb) / 1_000_000_000) as i64
}

/// Two measurements of an unchanged clock differ by this besides their stated uncertainty.
const NOISE_US: i64 = 50_000;
/// No recorder's clock drifts faster (43 s a day); what changes faster was set.
pub const MAX_DRIFT_PPB: i64 = 500_000;
/// Shortest time over which a drift is computed.
pub const MIN_BASELINE_US: i64 = 3_600_000_000;
/// When an epoch has become this much less certain than a fresh measurement, a new one begins.
const STALE_US: i64 = 500_000;

#[cfg(test)]
mod tests {
    use dvrgate_model::UtcRange;

    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    fn at(text: &str) -> Utc {
        text.parse().unwrap()
    }

    fn measured(at: Utc, offset_us: i64, zone: &str) -> Measurement {
        let zone = ZoneRule::parse(zone).unwrap();
        Measurement { at, offset_us, uncertainty_us: 20_000, zone, trust: ZoneTrust::WallClock }
    }

    /// Applies a verdict as the index would.
    fn apply(epochs: &mut Vec<ClockEpoch>, verdict: Verdict) -> Option<Why> {
        let Verdict::Changed { epochs: changed, why } = verdict else { return None };
        for e in changed {
            epochs.retain(|old| old.id != e.id);
            epochs.push(e);
        }
        Some(why)
    }

    fn map(epochs: &[ClockEpoch]) -> ClockMap {
        let fallback = ClockEpoch::assumed("yard".into(), ZoneRule::utc(), ZoneTrust::WallClock);
        ClockMap::new(epochs.to_vec(), fallback)
    }

    /// A year of looks at a drifting clock: every reading is placed within its stated uncertainty,
    /// and the number of epochs stays small.
    #[test]
    fn a_year_of_drift_stays_inside_the_stated_uncertainty() {
        for drift_ppb in [0, 400, -3_000, 20_000, -45_000, 200_000] {
            let start = at("2026-01-01T00:00:00Z");
            let truth = |t: Utc| 137_000_000 + ppb(t.since_us(start), drift_ppb);
            let (mut epochs, mut checked) = (Vec::new(), None);
            let mut changes = 0;
            for hour in 0..24 * 365 {
                let now = start.plus_us(hour * HOUR_US);
                let noise = (hour * 7919 % 30_000) - 15_000;
                let m = measured(now, truth(now) + noise, "Europe/Bratislava");
                let verdict = judge(&"yard".into(), &epochs, checked, &m);
                let why = apply(&mut epochs, verdict);
                assert!(!matches!(why, Some(Why::Step(_) | Why::Zone)), "{why:?} at {now}");
                changes += usize::from(why.is_some());
                checked = Some(now);
                // What was recorded in the last hour is placed right.
                let t = now.plus_us(-HOUR_US / 3);
                let zone = ZoneRule::parse("Europe/Bratislava").unwrap();
                let shown = zone.civil(t.plus_us(truth(t)));
                let said = SourceTime::from_civil(shown, ZoneClaim::None);
                let stamp = map(&epochs).to_utc(&said, Hint::Near(t));
                let error = stamp.utc.since_us(t).unsigned_abs();
                // Faster drifts are known only after the first hours.
                let known = epochs[0].drift_ppb != 0 || drift_ppb.abs() < 50_000;
                assert!(
                    !known || error <= stamp.uncertainty_us + NOISE_US as u64,
                    "{error} us off at {now}, said {} (drift {drift_ppb})",
                    stamp.uncertainty_us
                );
            }
            assert!(changes < 1_200, "{changes} changes with a drift of {drift_ppb}");
        }
    }

    #[test]
    fn a_step_splits_the_readings() {
        for by_us in [7_200_000_000, -7_200_000_000, 90_000_000, -90_000_000] {
            let start = at("2026-05-01T00:00:00Z");
            let mut epochs = Vec::new();
            let look = |epochs: &[ClockEpoch], t, offset| {
                judge(&"yard".into(), epochs, Some(start), &measured(t, offset, "UTC"))
            };
            let verdict = look(&epochs, start, 0);
            assert_eq!(apply(&mut epochs, verdict), Some(Why::First));
            let later = start.plus_us(HOUR_US);
            let verdict = look(&epochs, later, by_us);
            assert_eq!(apply(&mut epochs, verdict), Some(Why::Step(by_us)));
            let map = map(&epochs);
            let said = |t: Utc, offset: i64| {
                let civil = Civil::from_micros_as_if_utc(t.micros() + offset);
                map.to_utc(&SourceTime::from_civil(civil, ZoneClaim::None), Hint::None)
            };
            let long_before = start.plus_us(-3 * HOUR_US);
            assert_eq!(said(long_before, 0).utc, long_before);
            let after = later.plus_us(3 * HOUR_US);
            assert_eq!(said(after, by_us).utc, after);
            // In between a neighbour decides; without one the step is admitted.
            for (minute, offset) in [(10, 0), (20, 0), (40, by_us), (50, by_us), (65, by_us)] {
                let t = start.plus_us(minute * 60_000_000);
                let blind = said(t, offset);
                assert!(blind.utc.since_us(t).unsigned_abs() <= blind.uncertainty_us.max(1));
                let civil = Civil::from_micros_as_if_utc(t.micros() + offset);
                let civil = SourceTime::from_civil(civil, ZoneClaim::None);
                assert_eq!(map.to_utc(&civil, Hint::Near(t)).utc, t);
                // Both ways of writing are asked for.
                let minute = UtcRange::new(t, t.plus_us(60_000_000)).unwrap();
                let windows = map.source_windows(minute, Convention::Listing);
                assert!(windows.iter().any(|w| w.contains(civil.civil)), "{windows:?}");
            }
            assert_eq!(
                judge(&"yard".into(), &epochs, Some(later), &measured(after, by_us, "UTC")),
                Verdict::Same
            );
        }
    }

    #[test]
    fn a_zone_believed_wrongly_is_corrected_without_a_step() {
        let now = at("2026-07-01T12:00:00Z");
        let mut epochs = Vec::new();
        // Believed to be UTC, the wall clock of Bratislava looks two hours fast.
        let utc = measured(now, 2 * HOUR_US + 5_000_000, "UTC");
        let verdict = judge(&"yard".into(), &epochs, None, &utc);
        apply(&mut epochs, verdict);
        let right = measured(now.plus_us(HOUR_US), 5_000_000, "Europe/Bratislava");
        let verdict = judge(&"yard".into(), &epochs, Some(now), &right);
        let why = apply(&mut epochs, verdict);
        assert_eq!(why, Some(Why::Zone));
        assert_eq!(epochs.len(), 1);
        assert_eq!(epochs[0].offset_us, 5_000_000);
        let winter = at("2026-01-15T12:00:00Z");
        let shown = right.zone.civil(winter.plus_us(5_000_000));
        let said = SourceTime::from_civil(shown, ZoneClaim::None);
        assert_eq!(map(&epochs).to_utc(&said, Hint::None).utc, winter);
    }

    #[test]
    fn a_clock_that_cannot_be_read_has_an_epoch_all_the_same() {
        let zone = ZoneRule::parse("Asia/Kolkata").unwrap();
        let e = unmeasured(&"yard".into(), Some(&zone), ZoneTrust::WallClock);
        assert_eq!((e.basis, e.id), (Basis::Configured, ClockEpochId(1)));
        let m = measured(at("2026-07-01T12:00:00Z"), 1_000_000, "Asia/Kolkata");
        let Verdict::Changed { epochs, why } = judge(&"yard".into(), &[e], None, &m) else {
            panic!("a measurement replaces an assumption");
        };
        assert_eq!(
            (why, epochs[0].id, epochs[0].basis),
            (Why::First, ClockEpochId(1), Basis::Measured)
        );
    }
}
