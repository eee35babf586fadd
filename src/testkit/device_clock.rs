//! The simulated recorder's own clock: offset, drift, steps, and the zone rule it believes in.

use dvrgate_model::{Civil, Utc, UtcRange, ZoneRule};

/// The clock of a simulated recorder.
///
/// Its wall clock shows `zone(utc + offset(utc))`. The offset is the one given at the reference
/// instant; it drifts from there in both directions, and each step adds to it from the step on.
#[derive(Clone, Debug)]
pub struct DeviceClock {
    reference: Utc,
    offset_us: i64,
    drift_ppb: i64,
    steps: Vec<(Utc, i64)>,
    zone: ZoneRule,
}

/// Zones change their offset at most a few times a year; a change is looked for at this pace.
const ZONE_PROBE_US: i64 = 6 * 3_600_000_000;

impl DeviceClock {
    /// `offset_us` holds at `reference`; `steps` are the instants at which the clock was set and by
    /// how much (positive: forward).
    pub fn new(
        reference: Utc,
        offset_us: i64,
        drift_ppb: i64,
        mut steps: Vec<(Utc, i64)>,
        zone: ZoneRule,
    ) -> Self {
        steps.sort_by_key(|s| s.0);
        Self { reference, offset_us, drift_ppb, steps, zone }
    }

    /// A right clock.
    pub fn exact(zone: ZoneRule) -> Self {
        Self::new(Utc::default(), 0, 0, Vec::new(), zone)
    }

    /// The zone rule that the recorder applies.
    pub fn zone(&self) -> &ZoneRule {
        &self.zone
    }

    /// Recorder minus UTC, zone taken off.
    pub fn offset_at(&self, t: Utc) -> i64 {
        let elapsed = i128::from(t.since_us(self.reference));
        let drift = (elapsed * i128::from(self.drift_ppb)).div_euclid(1_000_000_000) as i64;
        let mut offset = self.offset_us + drift;
        for &(at, by) in &self.steps {
            if self.reference < at && at <= t {
                offset += by;
            } else if t < at && at <= self.reference {
                offset -= by;
            }
        }
        offset
    }

    /// What the recorder takes for UTC.
    pub fn device_utc(&self, t: Utc) -> Utc {
        t.plus_us(self.offset_at(t))
    }

    /// What its wall clock shows.
    pub fn wall(&self, t: Utc) -> Civil {
        self.zone.civil(self.device_utc(t))
    }

    /// Seconds east of Greenwich that its wall clock has at that instant.
    pub fn zone_offset_secs(&self, t: Utc) -> i32 {
        self.zone.offset_secs(self.device_utc(t))
    }

    /// The instants inside `range` at which the wall clock jumps: steps and changes of zone offset.
    pub fn breaks(&self, range: UtcRange) -> Vec<Utc> {
        let inside = |t: Utc| range.start() < t && t < range.end();
        let mut breaks: Vec<Utc> = self.steps.iter().map(|s| s.0).filter(|&t| inside(t)).collect();
        let mut left = range.start();
        while left < range.end() {
            let right = left.plus_us(ZONE_PROBE_US).min(range.end());
            if self.zone_offset_secs(left) != self.zone_offset_secs(right) {
                let (mut lo, mut hi) = (left.micros(), right.micros());
                let before = self.zone_offset_secs(left);
                while hi - lo > 1 {
                    let mid = lo + (hi - lo) / 2;
                    if self.zone_offset_secs(Utc::from_micros(mid)) == before {
                        lo = mid;
                    } else {
                        hi = mid;
                    }
                }
                breaks.push(Utc::from_micros(hi));
            }
            left = right;
        }
        breaks.retain(|&t| inside(t));
        breaks.sort();
        breaks.dedup();
        breaks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Utc {
        text.parse().unwrap()
    }

    #[test]
    fn offset_drift_and_steps_add_up() {
        let now = utc("2026-11-25T12:00:00Z");
        let hour = 3_600_000_000;
        let clock = DeviceClock::new(
            now,
            137_000_000,
            10_000,
            vec![(now.plus_us(-hour), 30_000_000)],
            ZoneRule::utc(),
        );
        assert_eq!(clock.offset_at(now), 137_000_000);
        // 10 ppm over two hours is 72 ms; before the step the clock was 30 s less ahead.
        assert_eq!(clock.offset_at(now.plus_us(-2 * hour)), 137_000_000 - 72_000 - 30_000_000);
        assert_eq!(clock.offset_at(now.plus_us(hour)), 137_000_000 + 36_000);
    }

    #[test]
    fn breaks_are_the_jumps_of_the_wall_clock() {
        let zone = ZoneRule::iana("Europe/Bratislava").unwrap();
        let clock = DeviceClock::new(
            utc("2026-10-25T00:00:00Z"),
            60_000_000,
            0,
            vec![(utc("2026-10-25T12:00:00Z"), 5)],
            zone,
        );
        let range =
            UtcRange::new(utc("2026-10-24T00:00:00Z"), utc("2026-10-26T00:00:00Z")).unwrap();
        // The recorder is a minute fast, so it leaves summer time a minute early.
        assert_eq!(
            clock.breaks(range),
            vec![utc("2026-10-25T00:59:00Z"), utc("2026-10-25T12:00:00Z")]
        );
    }
}
