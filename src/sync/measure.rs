//! Measuring a recorder's clock more finely than it shows.
//!
//! A clock that shows whole seconds is read until the interval that holds its offset is narrow:
//! each reading is timed so that the second's edge falls into the middle of what is not known yet.

use std::time::Duration;

use dvrgate_adapter::{Device, Priority};
use dvrgate_model::{ClockReading, Result, Utc, ZoneClaim, ZoneRule, ZoneTrust};

use crate::clock::{Measurement, device_utc};

/// The interval that holds the offset, narrowed by each reading.
#[derive(Clone, Copy, Debug)]
struct Interval {
    low_us: i64,
    high_us: i64,
    /// Shortest round trip so far.
    trip_us: i64,
    at: Utc,
}

impl Interval {
    /// At some instant between `before` and `after` the clock showed `shown`: it was in
    /// `[shown, shown + resolution)` then.
    fn of(before: Utc, shown: Utc, after: Utc, resolution_us: i64) -> Self {
        Self {
            low_us: shown.since_us(after),
            high_us: shown.plus_us(resolution_us).since_us(before),
            trip_us: after.since_us(before).max(0),
            at: after,
        }
    }

    /// What both allow; the newer one alone where they contradict each other (a clock that
    /// jumped, or rounds).
    fn narrowed(self, newer: Self) -> Self {
        let low_us = self.low_us.max(newer.low_us);
        let high_us = self.high_us.min(newer.high_us);
        let trip_us = self.trip_us.min(newer.trip_us);
        match low_us <= high_us {
            true => Self { low_us, high_us, trip_us, at: newer.at },
            false => Self { trip_us, ..newer },
        }
    }

    fn width_us(&self) -> i64 {
        self.high_us - self.low_us
    }

    fn middle_us(&self) -> i64 {
        self.low_us + self.width_us() / 2
    }

    fn is_narrow(&self) -> bool {
        self.width_us() <= (2 * self.trip_us).max(NARROW_US)
    }

    /// How long to wait so that the clock's next edge, as far as it is known, is met.
    fn wait_us(&self, now: Utc, resolution_us: i64) -> i64 {
        let arrives = now.micros() + self.trip_us / 2 + self.middle_us();
        (-arrives).rem_euclid(resolution_us)
    }
}

/// Measures the clock with at most `reads` readings.
pub async fn measure(
    device: &Device,
    reads: usize,
    believed: Option<&ZoneRule>,
) -> Result<Measurement> {
    let cx = device.cx(Priority::Backfill);
    let mut first: Option<ClockReading> = None;
    let mut known: Option<Interval> = None;
    let mut fruitless = 0;
    for read in 0..reads.max(1) {
        if let (Some(known), Some(first)) = (&known, &first) {
            if known.is_narrow() {
                break;
            }
            let wait = known.wait_us(device.clock.utc(), resolution_us(first));
            tokio::time::sleep(Duration::from_micros(wait as u64)).await;
        }
        let reading = match device.adapter.clock(&cx).await {
            Ok(reading) => reading,
            // What was learnt so far stands.
            Err(e) if read > 0 => {
                tracing::debug!(device = %device.id, error = %e, "clock reading failed");
                break;
            }
            Err(e) => return Err(e),
        };
        let (zone, trust) = zone_of(device, &reading, believed);
        let shown = device_utc(&reading.device, &device.id, &zone, trust, reading.before);
        let interval = Interval::of(reading.before, shown, reading.after, resolution_us(&reading));
        let previous_width = known.map(|k| k.width_us());
        known = Some(known.map_or(interval, |k| k.narrowed(interval)));
        first.get_or_insert(reading);
        // Readings that were timed well and taught nothing: the clock is coarser than it says. One
        // alone only came late, as on a busy machine.
        if previous_width == known.map(|k| k.width_us()) {
            fruitless += 1;
        }
        if fruitless > FRUITLESS {
            break;
        }
    }
    let (Some(known), Some(first)) = (known, first) else {
        return Err(dvrgate_model::Error::internal("a clock was read and not read"));
    };
    let (zone, trust) = zone_of(device, &first, believed);
    Ok(Measurement {
        at: known.at,
        offset_us: known.middle_us(),
        uncertainty_us: (known.width_us() / 2).unsigned_abs(),
        zone,
        trust,
    })
}

/// The operator's word, else the recorder's, else what was believed before, else what the reading
/// itself claims.
fn zone_of(
    device: &Device,
    reading: &ClockReading,
    believed: Option<&ZoneRule>,
) -> (ZoneRule, ZoneTrust) {
    let claimed = || match reading.device.zone {
        ZoneClaim::Offset(s) => ZoneRule::fixed(s).ok(),
        ZoneClaim::Utc | ZoneClaim::None => None,
    };
    let zone = device
        .zone
        .clone()
        .or_else(|| reading.zone.clone())
        .or_else(|| believed.cloned())
        .or_else(claimed)
        .unwrap_or_else(ZoneRule::utc);
    (zone, reading.trust)
}

fn resolution_us(reading: &ClockReading) -> i64 {
    match reading.resolution_us {
        0 => 1_000_000,
        us => i64::try_from(us).unwrap_or(i64::MAX / 4).min(60_000_000),
    }
}

/// Readings that may teach nothing.
const FRUITLESS: usize = 3;
/// Narrow enough: less than a frame.
const NARROW_US: i64 = 30_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Timed readings of a clock that shows whole seconds find its offset to a few milliseconds.
    #[test]
    fn edges_are_found_in_few_readings() {
        for (offset_us, trip_us) in
            [(137_123_456i64, 4_000i64), (-5, 10_000), (999_999, 1_000), (-86_400_500_000, 20_000)]
        {
            let mut now = Utc::from_secs(1_795_000_000).plus_us(423_456);
            let mut known: Option<Interval> = None;
            let mut reads = 0;
            while known.is_none_or(|k| !k.is_narrow()) {
                if let Some(k) = known {
                    now = now.plus_us(k.wait_us(now, 1_000_000));
                }
                let read_at = now.plus_us(trip_us / 3).micros() + offset_us;
                let shown = Utc::from_micros(read_at - read_at.rem_euclid(1_000_000));
                let i = Interval::of(now, shown, now.plus_us(trip_us), 1_000_000);
                known = Some(known.map_or(i, |k| k.narrowed(i)));
                now = now.plus_us(trip_us);
                reads += 1;
                assert!(reads <= 8, "{known:?}");
            }
            let k = known.unwrap();
            assert!(k.low_us <= offset_us && offset_us <= k.high_us, "{k:?} misses {offset_us}");
        }
    }

    #[test]
    fn a_contradiction_forgets_what_was_known() {
        let t = Utc::from_secs(1_000);
        let a = Interval::of(t, t, t, 1_000_000);
        let b = Interval::of(t, t.plus_us(60_000_000), t, 1_000_000);
        assert_eq!(a.narrowed(b).low_us, 60_000_000);
    }
}
