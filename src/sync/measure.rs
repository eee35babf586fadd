//! Measuring a recorder's clock more finely than it shows.

use std::time::Duration;

use dvrgate_adapter::{Device, Priority};
use dvrgate_model::{
    Basis, ClockEpoch, ClockReading, Error, Result, ZoneClaim, ZoneRule, ZoneTrust,
};

use crate::clock::{MIN_BASELINE_US, Measurement, device_utc};
use crate::edge::{Interval, Reading, Search};

/// Measures the clock with at most `reads` readings, besides those of one sweep over a second.
/// `believed` is the zone that was believed so far, `epoch` the newest measurement: it says when to
/// look, so that one that still holds is found right with few readings.
pub async fn measure(
    device: &Device,
    reads: usize,
    believed: Option<&ZoneRule>,
    epoch: Option<&ClockEpoch>,
) -> Result<Measurement> {
    let cx = device.cx(Priority::Backfill);
    let pause_us = i64::try_from(device.limits.pause().as_micros()).unwrap_or(i64::MAX / 4);
    let mut search = Search::new(pause_us, reads);
    let mut means: Option<(ZoneRule, ZoneTrust)> = None;
    let mut readings = 0;
    while let Some(wait_us) = search.next(device.clock.utc()) {
        tokio::time::sleep(Duration::from_micros(wait_us.unsigned_abs())).await;
        let reading = match device.adapter.clock(&cx).await {
            Ok(reading) => reading,
            // What was learnt so far stands.
            Err(e) if means.is_some() => {
                tracing::debug!(device = %device.id, error = %e, "clock reading failed");
                break;
            }
            Err(e) => return Err(e),
        };
        let (zone, trust) = means.get_or_insert_with(|| {
            let means = zone_of(device, &reading, believed);
            let fits = |e: &&ClockEpoch| {
                e.basis == Basis::Measured && (&e.zone, e.trust) == (&means.0, means.1)
            };
            if let Some(e) = epoch.filter(fits) {
                let at = reading.after;
                let offsets = Interval::around(e.offset_at(at), e.uncertainty_at(at));
                match at.since_us(e.measured_at) < MIN_BASELINE_US {
                    true => search.check(offsets),
                    false => search.expect(offsets),
                }
            }
            means
        });
        let shown = device_utc(&reading.device, &device.id, zone, *trust, reading.before);
        readings += 1;
        search.observe(&Reading {
            before: reading.before,
            shown,
            after: reading.after,
            resolution_us: resolution_us(&reading),
        });
    }
    let (Some((within, at)), Some((zone, trust))) = (search.found(), means) else {
        return Err(Error::internal("a clock was read and not read"));
    };
    let half_us = within.width_us() / 2;
    let offset_us = within.low_us + half_us;
    tracing::debug!(device = %device.id, readings, offset_us, within_us = half_us, "clock measured");
    Ok(Measurement { at, offset_us, uncertainty_us: half_us.unsigned_abs() + 1, zone, trust })
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
