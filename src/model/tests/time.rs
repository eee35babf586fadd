//! A recorder's words become UTC and back, over fifty years, several zones, drifting clocks, and
//! with a recorder whose own daylight-saving rule is wrong.

#![allow(clippy::unwrap_used)] // a test may

use dvrgate_model::{
    Basis, Civil, ClockEpoch, ClockEpochId, ClockMap, Convention, Hint, SourceRange, SourceTime,
    Utc, UtcRange, ZoneClaim, ZoneRule, ZoneTrust,
};
use proptest::prelude::*;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// Zones with every kind of oddity: half-hour offsets and shifts, southern summers, rules that
/// changed, no daylight saving at all, midnight changes, and POSIX rules as recorders hold them.
const ZONES: &[&str] = &[
    "UTC",
    "Europe/Bratislava",
    "America/New_York",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Asia/Kolkata",
    "Asia/Tehran",
    "Africa/Casablanca",
    "Asia/Shanghai",
    "UTC+05:45",
    "CET-1CEST,M3.5.0,M10.5.0/3",
    "EST5EDT,M3.2.0,M11.1.0",
];

fn any_zone() -> impl Strategy<Value = ZoneRule> {
    prop::sample::select(ZONES).prop_map(|z| ZoneRule::parse(z).unwrap())
}

/// 1990 to 2040.
fn any_instant() -> impl Strategy<Value = Utc> {
    (631_152_000_000_000i64..2_208_988_800_000_000).prop_map(Utc::from_micros)
}

fn forever() -> SourceRange {
    SourceRange::new(Civil::from_micros_as_if_utc(i64::MIN), Civil::from_micros_as_if_utc(i64::MAX))
}

fn epoch(zone: ZoneRule, offset_us: i64, drift_ppb: i32, measured_at: Utc) -> ClockEpoch {
    ClockEpoch {
        id: ClockEpochId(1),
        device: "yard".into(),
        valid: forever(),
        offset_us,
        drift_ppb,
        measured_at,
        zone,
        trust: ZoneTrust::WallClock,
        basis: Basis::Measured,
        uncertainty_us: 500_000,
    }
}

fn map(e: ClockEpoch) -> ClockMap {
    let fallback = ClockEpoch::assumed(e.device.clone(), e.zone.clone(), e.trust);
    ClockMap::new(vec![e], fallback)
}

fn said(civil: Civil) -> SourceTime {
    SourceTime::from_civil(civil, ZoneClaim::None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What the clock shows at an instant leads back to that instant, given any hint that is true.
    #[test]
    fn there_and_back(
        zone in any_zone(),
        t in any_instant(),
        offset_us in -2 * DAY_US..2 * DAY_US,
        drift_ppb in -200_000..200_000i32,
        age_us in -200 * DAY_US..200 * DAY_US,
    ) {
        let m = map(epoch(zone, offset_us, drift_ppb, t.plus_us(age_us)));
        let shown = m.to_source(t, Convention::WallClock)[0];
        for hint in [Hint::Near(t), Hint::NotBefore(t), Hint::NotAfter(t)] {
            let back = m.to_utc(&said(shown), hint);
            prop_assert!(
                back.utc.since_us(t).abs() <= 2,
                "{t} was shown as {shown} and read as {} with {hint:?}", back.utc
            );
        }
        // Without a hint, the stamp's own uncertainty covers the truth.
        let blind = m.to_utc(&said(shown), Hint::None);
        prop_assert!(blind.utc.since_us(t).unsigned_abs() <= blind.uncertainty_us);
    }

    /// A range of UTC, however it lies around changes, is covered by the windows asked for.
    #[test]
    fn windows_cover_every_reading(
        zone in any_zone(),
        start in any_instant(),
        length_us in 1..40 * DAY_US,
        offset_us in -HOUR_US..HOUR_US,
        inside in prop::collection::vec(0.0..1.0f64, 20),
    ) {
        let m = map(epoch(zone, offset_us, 0, start));
        let range = UtcRange::new(start, start.plus_us(length_us)).unwrap();
        let windows = m.source_windows(range, Convention::WallClock);
        for share in inside {
            let t = start.plus_us((length_us as f64 * share) as i64);
            let shown = m.to_source(t, Convention::WallClock)[0];
            prop_assert!(windows.iter().any(|w| w.contains(shown)), "{shown} of {t} in {windows:?}");
        }
        let asked: i64 = windows.iter().map(SourceRange::duration_us).sum();
        prop_assert!(asked <= length_us + 2 * HOUR_US, "asks for {asked} instead of {length_us}");
    }

    /// Forward order is kept: a later instant never reads as earlier when neighbours give the hint,
    /// as the items of an ordered listing do.
    #[test]
    fn an_ordered_listing_stays_ordered(
        zone in any_zone(),
        start in any_instant(),
        steps in prop::collection::vec(1_000_000..7_200_000_000i64, 1..40),
    ) {
        let m = map(epoch(zone, 0, 0, start));
        let (mut t, mut previous) = (start, m.to_utc(
            &said(m.to_source(start, Convention::WallClock)[0]), Hint::Near(start)).utc);
        for step in steps {
            t = t.plus_us(step);
            let shown = m.to_source(t, Convention::WallClock)[0];
            let read = m.to_utc(&said(shown), Hint::NotBefore(previous)).utc;
            prop_assert!(read >= previous);
            // Right whenever the listing decides it, that is when the reading repeats itself.
            if t.since_us(previous) < HOUR_US / 2 {
                prop_assert!(read.since_us(t).abs() <= 2, "{t} read as {read} after {previous}");
            }
            previous = read;
        }
    }

    /// A believed claim needs no zone at all.
    #[test]
    fn believed_claims_are_exact(t in any_instant(), zone in any_zone(), offset_s in -50_000..50_000i32) {
        let mut e = epoch(zone, 0, 0, t);
        e.trust = ZoneTrust::Claimed;
        let m = map(e);
        let civil = Civil::from_micros_as_if_utc(t.micros() + i64::from(offset_s) * 1_000_000);
        let s = SourceTime::from_civil(civil, ZoneClaim::Offset(offset_s));
        prop_assert_eq!(m.to_utc(&s, Hint::None).utc, t);
        prop_assert_eq!(m.to_source(t, Convention::Listing)[0].micros_as_if_utc(), t.micros());
    }
}

fn utc(text: &str) -> Utc {
    text.parse().unwrap()
}

fn civil(text: &str) -> Civil {
    Civil::parse_prefix(text).unwrap().0
}

#[test]
fn the_doubled_hour_is_decided_by_its_neighbours() {
    let m =
        map(epoch(ZoneRule::iana("Europe/Bratislava").unwrap(), 0, 0, utc("2026-10-24T00:00:00Z")));
    let shown = said(civil("2026-10-25T02:30:00"));
    let (first, second) = (utc("2026-10-25T00:30:00Z"), utc("2026-10-25T01:30:00Z"));
    let blind = m.to_utc(&shown, Hint::None);
    assert_eq!(blind.utc, first);
    assert!(blind.uncertainty_us >= HOUR_US as u64, "an undecided hour is said, not hidden");
    assert_eq!(m.to_utc(&shown, Hint::NotBefore(utc("2026-10-25T00:20:00Z"))).utc, first);
    assert_eq!(m.to_utc(&shown, Hint::NotBefore(utc("2026-10-25T00:50:00Z"))).utc, second);
    assert_eq!(m.to_utc(&shown, Hint::NotAfter(utc("2026-10-25T00:50:00Z"))).utc, first);
    assert_eq!(m.to_utc(&shown, Hint::Near(utc("2026-10-25T01:20:00Z"))).utc, second);
}

#[test]
fn the_missing_hour_is_read_by_the_rule_before_it_and_says_so() {
    let m =
        map(epoch(ZoneRule::iana("Europe/Bratislava").unwrap(), 0, 0, utc("2026-03-28T00:00:00Z")));
    let stamp = m.to_utc(&said(civil("2026-03-29T02:30:00")), Hint::None);
    assert_eq!(stamp.utc, utc("2026-03-29T01:30:00Z"));
    assert!(stamp.uncertainty_us >= HOUR_US as u64);
}

/// A recorder that changes back an hour early (installer's variant of the CET rule): for one hour
/// it is an hour off from the legal time. Its own rule, not the legal one, reads it right.
#[test]
fn a_wrong_rule_of_the_recorder_is_read_by_its_own_rule() {
    let wrong = ZoneRule::posix("CET-1CEST,M3.5.0/2,M10.5.0/2").unwrap();
    let legal = ZoneRule::iana("Europe/Bratislava").unwrap();
    let t = utc("2026-10-25T00:30:00Z");
    let recorder = map(epoch(wrong, 0, 0, t));
    assert_ne!(recorder.to_source(t, Convention::WallClock)[0], legal.civil(t));
    let shown = recorder.to_source(t, Convention::WallClock)[0];
    assert_eq!(recorder.to_utc(&said(shown), Hint::Near(t)).utc, t);
}

#[test]
fn a_clock_137_s_ahead_and_drifting_is_taken_off() {
    let measured_at = utc("2026-11-25T03:00:00Z");
    // 2 s a day is 23 148 ppb.
    let e = epoch(ZoneRule::utc(), 137_000_000, 23_148, measured_at);
    let m = map(e);
    let shown = m.to_source(measured_at.plus_us(-10 * DAY_US), Convention::WallClock)[0];
    assert_eq!(shown.to_string(), "2026-11-15T03:01:57.000128");
    let back = m.to_utc(&said(shown), Hint::None);
    assert_eq!(back.utc, measured_at.plus_us(-10 * DAY_US));
    assert!(back.uncertainty_us > 500_000, "the older, the less certain");
}

#[test]
fn each_epoch_reads_its_own_stretch() {
    let zone = ZoneRule::utc();
    let step = civil("2026-06-01T12:00:00");
    let mut before = epoch(zone.clone(), 3_600_000_000, 0, utc("2026-05-01T00:00:00Z"));
    before.valid = SourceRange { end: step, ..forever() };
    let mut after = epoch(zone.clone(), 0, 0, utc("2026-07-01T00:00:00Z"));
    after.valid = SourceRange { start: step, ..forever() };
    after.id = ClockEpochId(2);
    let fallback = ClockEpoch::assumed("yard".into(), zone, ZoneTrust::WallClock);
    let m = ClockMap::new(vec![after, before], fallback);
    let early = m.to_utc(&said(civil("2026-06-01T11:00:00")), Hint::None);
    assert_eq!((early.utc, early.epoch), (utc("2026-06-01T10:00:00Z"), ClockEpochId(1)));
    let late = m.to_utc(&said(civil("2026-06-01T12:30:00")), Hint::None);
    assert_eq!((late.utc, late.epoch), (utc("2026-06-01T12:30:00Z"), ClockEpochId(2)));
    let all = UtcRange::new(utc("2026-06-01T10:00:00Z"), utc("2026-06-01T13:00:00Z")).unwrap();
    let windows = m.source_windows(all, Convention::Listing);
    assert_eq!(
        windows,
        [SourceRange::new(civil("2026-06-01T11:00:00"), civil("2026-06-01T13:00:00"))]
    );
}

#[test]
fn a_window_that_ends_when_the_clock_goes_back_ends_where_the_clock_showed_it() {
    let zone = ZoneRule::iana("Europe/Bratislava").unwrap();
    let fallback = ClockEpoch::assumed("yard".into(), zone, ZoneTrust::WallClock);
    let m = ClockMap::new(vec![], fallback);
    let range = UtcRange::new(utc("2026-10-25T00:59:00Z"), utc("2026-10-25T01:00:00Z")).unwrap();
    assert_eq!(
        m.source_windows(range, Convention::WallClock),
        [SourceRange::new(civil("2026-10-25T02:59:00"), civil("2026-10-25T03:00:00"))]
    );
}

#[test]
fn a_clock_that_is_ahead_goes_back_early_and_its_windows_know() {
    let zone = ZoneRule::iana("Europe/Bratislava").unwrap();
    let mut ahead = ClockEpoch::assumed("yard".into(), zone, ZoneTrust::WallClock);
    ahead.offset_us = 137_000_000;
    let m = ClockMap::new(vec![], ahead);
    // It goes back at 00:57:43.
    let range = UtcRange::new(utc("2026-10-25T00:57:00Z"), utc("2026-10-25T00:57:45Z")).unwrap();
    assert_eq!(
        m.source_windows(range, Convention::WallClock),
        [SourceRange::new(civil("2026-10-25T02:00:00"), civil("2026-10-25T03:00:00"))]
    );
    // At the right time it went back long ago.
    let later = UtcRange::new(utc("2026-10-25T00:59:30Z"), utc("2026-10-25T01:00:30Z")).unwrap();
    assert_eq!(
        m.source_windows(later, Convention::WallClock),
        [SourceRange::new(civil("2026-10-25T02:01:47"), civil("2026-10-25T02:02:47"))]
    );
}

#[test]
fn offsets_as_text_are_read_back_or_refused() {
    for text in ["UTC", "UTC+05:30", "UTC-03:30", "UTC+14:00"] {
        assert_eq!(ZoneRule::parse(text).unwrap().as_str(), text);
    }
    for bad in ["UTC+616611", "UTC+99999999999", "UTC+-5", "UTC+5:x", "UTC+30:00", "UTC-"] {
        assert!(ZoneRule::parse(bad).is_err(), "{bad}");
    }
}
