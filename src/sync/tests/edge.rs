//! The search for the edge of a second against clocks and ways whose truth is known.

use dvrgate_model::Utc;
use proptest::prelude::*;

use crate::clock::MAX_DRIFT_PPB;
use crate::edge::{Interval, Reading, Search};

/// How long the two ways of a question take.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Always as long.
    Steady(i64),
    /// Exponential: mostly short, with that mean.
    Busy(i64),
    /// Pareto: a compiler runs on the machine. Now and then a hundred times as long.
    Loaded(i64),
    /// All of the delay on the way there.
    There(i64),
    /// All of it on the way back.
    Back(i64),
    /// One in four waits this much longer.
    Queued(i64),
}

impl Way {
    fn delays_us(self, u: f64, v: f64) -> (i64, i64) {
        let exponential = |mean: i64, u: f64| (-(1.0 - u).ln() * mean as f64) as i64;
        match self {
            Self::Steady(us) => (us / 2, us / 2),
            Self::Busy(us) => (exponential(us / 2, u), exponential(us / 2, v)),
            Self::Loaded(us) => {
                let pareto = |u: f64| ((1.0 - u).powf(-0.8) * us as f64 / 2.0) as i64;
                (pareto(u).min(3_000_000), pareto(v).min(3_000_000))
            }
            Self::There(us) => (exponential(us, u), 100),
            Self::Back(us) => (100, exponential(us, u)),
            Self::Queued(us) => (500 + if u < 0.25 { us } else { 0 }, 500 + (v * 400.0) as i64),
        }
    }
}

/// A clock and a way to it.
#[derive(Clone, Copy, Debug)]
struct World {
    offset_us: i64,
    drift_ppb: i64,
    resolution_us: i64,
    way: Way,
    pause_us: i64,
}

struct Outcome {
    within: Interval,
    truth_us: i64,
    readings: usize,
    took_us: i64,
}

impl World {
    fn offset_at(&self, t: Utc) -> i64 {
        let age_us = i128::from(t.since_us(start()));
        self.offset_us + (age_us * i128::from(self.drift_ppb) / 1_000_000_000) as i64
    }

    fn run(&self, mut search: Search, seed: u64) -> Outcome {
        let mut random = fractions(seed);
        let mut now = start().plus_us((random() * 1e6) as i64);
        let (began, mut readings) = (now, 0);
        while let Some(wait_us) = search.next(now) {
            assert!(
                (0..=2 * self.resolution_us + self.pause_us).contains(&wait_us),
                "waits {wait_us}"
            );
            // Timers are late, too.
            let late_us = (random() * 1_500.0) as i64;
            let before = now.plus_us(wait_us + late_us);
            let (there_us, back_us) = self.way.delays_us(random(), random());
            let seen = before.plus_us(there_us);
            let theirs_us = seen.micros() + self.offset_at(seen);
            let shown = Utc::from_micros(theirs_us - theirs_us.rem_euclid(self.resolution_us));
            let after = seen.plus_us(back_us);
            let resolution_us = self.resolution_us;
            search.observe(&Reading { before, shown, after, resolution_us });
            (now, readings) = (after, readings + 1);
            assert!(readings <= 100, "no end");
        }
        let (within, at) = search.found().unwrap();
        Outcome { within, truth_us: self.offset_at(at), readings, took_us: now.since_us(began) }
    }
}

impl Outcome {
    fn holds_the_truth(&self) -> bool {
        (self.within.low_us..=self.within.high_us).contains(&self.truth_us)
    }
}

fn start() -> Utc {
    Utc::from_secs(1_795_000_000)
}

/// Evenly spread in [0, 1): xorshift.
fn fractions(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

const SECOND_US: i64 = 1_000_000;
/// Fifty questions a second, and five.
const PAUSES_US: [i64; 2] = [22_000, 220_000];

fn ways() -> impl Strategy<Value = Way> {
    (0..6, 200..150_000i64).prop_map(|(kind, us)| match kind {
        0 => Way::Steady(us),
        1 => Way::Busy(us),
        2 => Way::Loaded(us / 10),
        3 => Way::There(us),
        4 => Way::Back(us),
        _ => Way::Queued(us),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever the way does, the stated bounds hold the truth, with and without a hint, right or
    /// wrong.
    #[test]
    fn the_bounds_hold_the_truth(
        offset_us in -200_000_000_000..200_000_000_000i64,
        drift_ppb in -MAX_DRIFT_PPB..MAX_DRIFT_PPB,
        way in ways(),
        pause_us in 0..400_000i64,
        resolution_us in prop_oneof![Just(SECOND_US), Just(60 * SECOND_US), Just(1_000), Just(1)],
        hint in proptest::option::of((-1_500_000..1_500_000i64, 0..1_000_000u64)),
        seed in any::<u64>(),
    ) {
        let world = World { offset_us, drift_ppb, resolution_us, way, pause_us };
        let mut search = Search::new(pause_us, 12);
        if let Some((wrong_us, around_us)) = hint {
            search.expect(Interval::around(offset_us + wrong_us, around_us));
        }
        let found = world.run(search, seed);
        prop_assert!(found.holds_the_truth(), "{:?} misses {}", found.within, found.truth_us);
    }
}

/// What a hundred searches come to: the worst uncertainty, readings and time.
fn worst(way: Way, pause_us: i64, hint: Option<(i64, u64)>) -> (i64, usize, i64) {
    let searches = (0..100).map(|seed| {
        let offset_us = 10_000_000 + seed as i64 * 9_973;
        let world = World { offset_us, drift_ppb: 20_000, resolution_us: SECOND_US, way, pause_us };
        let mut search = Search::new(pause_us, 12);
        if let Some((wrong_us, around_us)) = hint {
            search.expect(Interval::around(offset_us + wrong_us, around_us));
        }
        let found = world.run(search, seed + 1);
        assert!(found.holds_the_truth());
        (found.within.width_us() / 2, found.readings, found.took_us)
    });
    searches.fold((0, 0, 0), |a, b| (a.0.max(b.0), a.1.max(b.1), a.2.max(b.2)))
}

const HALF_FRAME_US: i64 = 20_000;

#[test]
fn a_recorder_that_may_be_asked_often_is_measured_within_a_second() {
    let (uncertain_us, readings, took_us) = worst(Way::Steady(3_000), PAUSES_US[0], None);
    assert!(uncertain_us < HALF_FRAME_US && readings <= 48 && took_us < 1_050_000, "{took_us}");
}

#[test]
fn one_that_may_not_is_measured_with_few_questions() {
    let (uncertain_us, readings, took_us) = worst(Way::Steady(3_000), PAUSES_US[1], None);
    assert!(uncertain_us < HALF_FRAME_US && readings <= 8, "{uncertain_us} {readings}");
    assert!(took_us < 5_100_000, "{took_us}");
}

#[test]
fn what_is_believed_is_found_right_with_few_questions() {
    for pause_us in PAUSES_US {
        for wrong_us in [0, -14_000, 14_000] {
            let hint = Some((wrong_us, 15_000));
            let (uncertain_us, readings, took_us) = worst(Way::Steady(3_000), pause_us, hint);
            let bound_us = if pause_us < 100_000 { 2_100_000 } else { 3_300_000 };
            assert!(uncertain_us < HALF_FRAME_US && readings <= 5, "{uncertain_us} {readings}");
            assert!(took_us < bound_us, "{took_us} with {pause_us}");
        }
    }
}

#[test]
fn what_is_believed_wrongly_costs_an_edge_or_two() {
    for wrong_us in [100_000, -100_000, 450_000, 5_000_000] {
        let hint = Some((wrong_us, 15_000));
        let (uncertain_us, _, took_us) = worst(Way::Steady(3_000), PAUSES_US[0], hint);
        assert!(uncertain_us <= 30_000 && took_us < 4_200_000, "{uncertain_us} {took_us}");
    }
}

#[test]
fn a_busy_machine_costs_time_and_little_precision() {
    for way in [Way::Loaded(8_000), Way::Queued(100_000), Way::Back(40_000)] {
        let (uncertain_us, _, took_us) = worst(way, PAUSES_US[0], None);
        assert!(uncertain_us <= 2 * HALF_FRAME_US, "{way:?}: {uncertain_us}");
        assert!(took_us < 16_000_000, "{way:?}: {took_us}");
    }
}

#[test]
fn a_clock_that_is_set_meanwhile_is_measured_as_it_is_now() {
    let reading = |at: Utc, offset_us: i64| Reading {
        before: at,
        shown: Utc::from_secs(at.plus_us(offset_us).micros().div_euclid(SECOND_US)),
        after: at.plus_us(2_000),
        resolution_us: SECOND_US,
    };
    let mut search = Search::new(PAUSES_US[1], 12);
    search.observe(&reading(start(), 5_000_000));
    search.observe(&reading(start().plus_us(300_000), 5_000_000));
    search.observe(&reading(start().plus_us(600_000), 65_000_000));
    let (within, _) = search.found().unwrap();
    assert!(within.low_us <= 65_000_000 && 65_000_000 <= within.high_us, "{within:?}");
    assert!(search.next(start().plus_us(602_000)).is_some());
}

/// A display that shows the new second a little late now and then: the bounds enclose both edges.
#[test]
fn a_display_that_lags_is_bounded_by_what_it_showed() {
    let shown = |at_us: i64, second: i64| Reading {
        before: start().plus_us(at_us),
        shown: start().plus_us(second * SECOND_US),
        after: start().plus_us(at_us + 1_000),
        resolution_us: SECOND_US,
    };
    let mut search = Search::new(0, 12);
    // The edge was before 0.4 s, and a second later after 0.45 s.
    search.observe(&shown(400_000, 1));
    search.observe(&shown(1_450_000, 1));
    let (within, _) = search.found().unwrap();
    assert!(within.low_us <= 551_000 && 598_000 <= within.high_us, "{within:?}");
    assert!(within.width_us() < 100_000, "{within:?}");
}

/// A clock that shows no seconds: each edge that is waited for takes a minute, so few are.
#[test]
fn a_clock_without_seconds_is_known_after_three_minutes() {
    let resolution_us = 60 * SECOND_US;
    for seed in 0..200 {
        let way = Way::Steady(3_000);
        let offset_us = 7_919_000 * seed as i64;
        let world = World { offset_us, drift_ppb: 0, resolution_us, way, pause_us: PAUSES_US[1] };
        let seen = world.run(Search::new(PAUSES_US[1], 12), seed);
        assert!(seen.holds_the_truth(), "{seed}");
        assert!(seen.within.width_us() <= 3 * SECOND_US, "{seed}: {:?}", seen.within);
        assert!(seen.took_us <= 200 * SECOND_US, "{seed}: {} us", seen.took_us);
    }
}
