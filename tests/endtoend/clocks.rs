//! Every picture shows the time that its extension says, whatever the recorder's clock does.
//!
//! The recorders' clocks are 137 s ahead and drift. Pictures carry the instant of capture in a form
//! that machines read; nothing on the way but the encoder of the picture knows it.

use dvrgate_model::ports::Clock as _;
use dvrgate_model::{Direction, Utc, UtcRange, ZoneRule};
use dvrgate_testkit::DeviceClock;
use dvrgate_testkit::clock::SystemClock;

use crate::pictures::{self, SIZE};
use crate::rig::{DEVICE, Gateway, Recorder, Site};
use crate::truth::{self, utc};
use crate::wire::{Client, Unit};

const FRAME_US: i64 = 80_000;
/// Half a second a day. How fast a clock drifted before it was first seen nobody can know: an hour
/// ago this one was 21 ms less ahead.
const DRIFT_PPM: f64 = 6.0;
const SECOND_US: i64 = 1_000_000;
const HOUR_US: i64 = 3_600 * SECOND_US;
const DAY_US: i64 = 24 * HOUR_US;

/// A recorder 137 s ahead, with these stretches of one channel.
fn scenario(zone: &str, drift_ppm: f64, stretches: &[(String, String)]) -> String {
    let mut text = format!(
        "[clock]\noffset_s = 137.4\ndrift_ppm = {drift_ppm}\nzone = \"{zone}\"\n\
         [storage]\nfile = \"1m\"\n[[channel]]\nid = 1\nname = \"Yard\"\n"
    );
    for (from, to) in stretches {
        text += &format!("[[channel.recorded]]\nfrom = \"{from}\"\nto = \"{to}\"\n");
    }
    text
}

/// A recorder and a gateway that has synchronised with it.
fn started(scenario: &str) -> (Recorder, Site, Gateway) {
    let recorder = Recorder::start(scenario);
    let truth = recorder.truth();
    let age_us = utc(&truth.now).since_us(truth::spans(truth::channel(&truth, 1))[0].start());
    let hours = age_us / HOUR_US + 3;
    let site = Site::with(&recorder, |text| text.replace("\"2h\"", &format!("\"{hours}h\"")));
    site.sync();
    let gateway = site.serve();
    (recorder, site, gateway)
}

fn url(gateway: &Gateway) -> String {
    gateway.replay(&format!("{DEVICE}-1"))
}

/// Every picture that the recorder holds, played in the direction, once each and in order; returns
/// the units. Also checks the marks.
fn plays_everything(recorder: &Recorder, gateway: &Gateway, direction: Direction) -> Vec<Unit> {
    let truth = recorder.truth();
    let channel = truth::channel(&truth, 1);
    let spans = truth::spans(channel);
    let (first, last) = (spans[0].start(), spans.last().unwrap().end());
    let (from, scale) = match direction {
        Direction::Forward => (first.plus_us(-HOUR_US), "1.0"),
        Direction::Reverse => (last.plus_us(60 * SECOND_US), "-1.0"),
    };
    let mut client = Client::ready(&url(gateway), false);
    let units = client.play_all(from, scale);
    client.teardown();
    let shown = pictures::checked(&units, SIZE, FRAME_US);
    let mut groups: Vec<&[Unit]> = units.chunk_by(|_, next| !next.clean).collect();
    let mut expected = truth::pictures(channel);
    match direction {
        Direction::Forward => {
            // R8.3-14
            assert!(units.windows(2).all(|w| w[0].at < w[1].at), "times rise");
        }
        Direction::Reverse => {
            // R8.3-15, R8.6-1, R8.6-2: groups come in reverse, each in forward order behind a mark.
            for group in &groups {
                assert!(group[0].clean && group[0].discontinuity, "{:?}", group[0].at);
                assert!(group.windows(2).all(|w| w[0].at < w[1].at && !w[1].discontinuity));
            }
            assert!(groups.windows(2).all(|w| w[1].last().unwrap().at < w[0][0].at));
            groups.reverse();
            let in_order: Vec<Utc> = {
                let mut all = shown.clone();
                all.sort();
                all
            };
            same_times(&in_order, &expected);
            expected = shown.clone();
        }
    }
    same_times(&shown, &expected);
    // R8.3-7, R8.3-8, R8.6-3: where a section of recording ends in the direction of playing.
    let ends: Vec<Utc> = units.iter().filter(|u| u.end_of_section).map(|u| u.at).collect();
    let group_us = 25 * FRAME_US;
    let mut expected: Vec<Utc> = spans
        .iter()
        .map(|s| match direction {
            Direction::Forward => s.end().plus_us(-FRAME_US),
            Direction::Reverse => s.start().plus_us(group_us - FRAME_US),
        })
        .collect();
    if direction == Direction::Reverse {
        expected.reverse();
    }
    let off = |(a, b): (&Utc, &Utc)| a.since_us(*b).abs() < FRAME_US;
    assert!(
        ends.len() == expected.len() && ends.iter().zip(&expected).all(off),
        "E marks at {ends:?}, sections end at {expected:?}"
    );
    // R8.3-10
    let terminals = units.iter().filter(|u| u.terminal).count();
    assert!(terminals == 1 && units.last().unwrap().terminal, "one T mark, at the end");
    units
}

/// First and last of the times that follow each other closely.
fn stretches<'a>(times: impl Iterator<Item = &'a Utc>) -> Vec<(Utc, Utc)> {
    let mut out: Vec<(Utc, Utc)> = Vec::new();
    for &t in times {
        match out.last_mut() {
            Some(last) if t.since_us(last.1).abs() <= 2 * FRAME_US => last.1 = t,
            _ => out.push((t, t)),
        }
    }
    out
}

/// Every picture once, in order.
fn same_times(shown: &[Utc], expected: &[Utc]) {
    let missing = stretches(expected.iter().filter(|t| !shown.contains(t)));
    let other = stretches(shown.iter().filter(|t| !expected.contains(t)));
    let wrong = shown.iter().zip(expected).position(|(a, b)| a != b);
    assert!(
        shown == expected,
        "{} of {} pictures; missing {missing:?}, not of the recorder {other:?}, first wrong: {:?}",
        shown.len(),
        expected.len(),
        wrong.map(|n| &shown[n.saturating_sub(2)..(n + 3).min(shown.len())]),
    );
}

/// R8.3-13, R8.3-16, R8.5.2-2, R8.5.5-5: both directions give the same time for the same picture.
fn plays_both_ways(scenario: &str) {
    let (recorder, _site, gateway) = started(scenario);
    let forward = plays_everything(&recorder, &gateway, Direction::Forward);
    let reverse = plays_everything(&recorder, &gateway, Direction::Reverse);
    let mut times: Vec<(Utc, usize)> =
        reverse.iter().map(|u| (u.at, u.payloads.iter().map(Vec::len).sum())).collect();
    times.sort();
    let as_before: Vec<(Utc, usize)> =
        forward.iter().map(|u| (u.at, u.payloads.iter().map(Vec::len).sum())).collect();
    assert_eq!(times, as_before);
    gateway.stop();
    assert_eq!(recorder.counters.read().sins, Vec::<String>::new());
}

#[test]
fn forwards_and_in_reverse_across_a_gap_on_a_drifting_clock() {
    let stretches = [("-40m", "-37m30s"), ("-30m", "-28m")].map(|(a, b)| (a.into(), b.into()));
    plays_both_ways(&scenario("Europe/Bratislava", DRIFT_PPM, &stretches));
}

#[test]
fn across_midnight_of_a_drifting_clock() {
    // A zone in which the last whole hour was midnight. The recorder passes it 137.4 s early.
    let now = SystemClock.utc();
    let hour =
        Utc::from_micros(now.plus_us(-5 * 60 * SECOND_US).micros().div_euclid(HOUR_US) * HOUR_US);
    let ahead = (24 - hour.micros().div_euclid(HOUR_US).rem_euclid(24)) % 24;
    // The names of these zones have the sign of POSIX: Etc/GMT-3 is three hours ahead.
    let zone = match ahead {
        0 => "UTC".to_owned(),
        1..=12 => format!("Etc/GMT-{ahead}"),
        _ => format!("Etc/GMT+{}", 24 - ahead),
    };
    let stretch =
        (hour.plus_us(-200 * SECOND_US).to_string(), hour.plus_us(-80 * SECOND_US).to_string());
    let text = scenario(&zone, DRIFT_PPM, &[stretch]);
    let recorder = Recorder::start(&text);
    let midnight = hour.plus_us(-137_400_000);
    let shown = |t: Utc| recorder.recorder().label(t).to_string();
    let (before, after) = (shown(midnight.plus_us(-SECOND_US)), shown(midnight.plus_us(SECOND_US)));
    assert!(before.contains("23:59:5") && after.contains("00:00:0"), "{before} {after}");
    drop(recorder);
    plays_both_ways(&text);
}

/// The instant at which that zone last went back by an hour.
fn last_autumn(zone: &str) -> Utc {
    let zone = ZoneRule::iana(zone).unwrap();
    let now = SystemClock.utc();
    let clock = DeviceClock::exact(zone.clone());
    let year = UtcRange::clamped(now.plus_us(-380 * DAY_US), now.plus_us(-HOUR_US));
    let back = |t: &Utc| zone.offset_secs(*t) < zone.offset_secs(t.plus_us(-SECOND_US));
    clock.breaks(year).into_iter().rev().find(back).unwrap()
}

/// A rule by which summer time ends at that instant on a clock that is right: what a recorder with
/// a rule of its own believes.
fn rule_ending_at(end: Utc) -> String {
    let ahead_s = 2 * 3_600;
    let local = ZoneRule::fixed(ahead_s).unwrap().civil(end);
    let (_, month, day) = local.date();
    let since_1970 = local.micros_as_if_utc().div_euclid(DAY_US);
    let weekday = (since_1970 + 4).rem_euclid(7);
    let week = (day - 1) / 7 + 1;
    let time = local.micros_as_if_utc().rem_euclid(DAY_US) / SECOND_US;
    let (h, m, s) = (time / 3_600, time / 60 % 60, time % 60);
    let begin = (month + 5) % 12 + 1;
    format!("CET-1CEST,M{begin}.5.0,M{month}.{week}.{weekday}/{h}:{m:02}:{s:02}")
}

#[test]
fn through_the_doubled_hour_of_last_autumn() {
    let change = last_autumn("Europe/Bratislava");
    // The recorder is fast, so it goes back early. Both passes of the doubled hour and the change
    // itself are recorded.
    let at = |s: i64| change.plus_us(s * SECOND_US).to_string();
    let stretches = [(at(-2_400), at(-2_340)), (at(-200), at(-60)), (at(1_200), at(1_260))];
    plays_both_ways(&scenario("Europe/Bratislava", 0.0, &stretches));
}

#[test]
fn through_a_doubled_hour_on_a_drifting_clock_with_a_rule_of_its_own() {
    let change =
        Utc::from_secs(SystemClock.utc().plus_us(-40 * 60 * SECOND_US).micros() / SECOND_US);
    let at = |s: i64| change.plus_us(s * SECOND_US).to_string();
    let stretches = [(at(-1_800), at(-1_740)), (at(-200), at(-60)), (at(1_500), at(1_560))];
    let text = scenario(&rule_ending_at(change), DRIFT_PPM, &stretches);
    let recorder = Recorder::start(&text);
    let goes_back = change.plus_us(-137_400_000);
    let shown = |t: Utc| recorder.recorder().label(t).micros_as_if_utc();
    assert!(shown(goes_back.plus_us(60 * SECOND_US)) < shown(goes_back.plus_us(-60 * SECOND_US)));
    drop(recorder);
    plays_both_ways(&text);
}

#[test]
fn a_seek_starts_at_the_clean_point_before_in_both_directions() {
    let stretches = [("-40m", "-37m"), ("-30m", "-28m")].map(|(a, b)| (a.into(), b.into()));
    let (recorder, _site, gateway) = started(&scenario("Europe/Bratislava", DRIFT_PPM, &stretches));
    let truth = recorder.truth();
    let spans = truth::spans(truth::channel(&truth, 1));
    let group_us = 25 * FRAME_US;
    let mut client = Client::ready(&url(&gateway), false);
    // Inside footage, in the gap; forwards and in reverse. R8.5.5-1, R8.5.5-2, R8.5.5-3, R8.5.5-4
    let inside = spans[0].start().plus_us(31 * group_us + 3 * FRAME_US + 40_000);
    let gap = spans[0].end().plus_us(60 * SECOND_US);
    let (first, second) = (spans[0], spans[1]);
    let group = first.start().plus_us(31 * group_us);
    for (from, until, scale, starts, last) in [
        (inside, inside.plus_us(10 * SECOND_US), "1.0", group, inside.plus_us(10 * SECOND_US)),
        (
            gap,
            second.start().plus_us(9 * SECOND_US),
            "1.0",
            second.start(),
            second.start().plus_us(9 * SECOND_US),
        ),
        (inside, inside.plus_us(-10 * SECOND_US), "-1.0", group, inside.plus_us(-10 * SECOND_US)),
        (
            gap,
            first.end().plus_us(-9 * SECOND_US),
            "-1.0",
            first.end().plus_us(-group_us),
            first.end().plus_us(-9 * SECOND_US),
        ),
    ] {
        // R8.5.2-8: one session, one range after the other.
        let units = client.play_range(from, until, scale, last);
        let shown = pictures::checked(&units, SIZE, FRAME_US);
        assert_eq!(shown[0], starts, "from {from} with scale {scale}");
        assert!(units[0].clean);
        if scale == "1.0" {
            // R8.5.2-3
            assert!(shown.last().unwrap().since_us(until).abs() <= 2 * FRAME_US, "{shown:?}");
        } else {
            // R8.5.2-4: the group that holds the end is the last.
            let oldest = *shown.iter().min().unwrap();
            assert!(oldest <= until && until.since_us(oldest) < group_us, "{oldest} {until}");
        }
    }
    client.teardown();
    gateway.stop();
}

/// A recorder that lists each of its files: no picture is lost or doubled where they meet, though
/// their labels have whole seconds.
#[test]
fn across_the_borders_of_files() {
    let stretches = [("-40m".into(), "-38m".into())];
    let text = scenario("Europe/Bratislava", DRIFT_PPM, &stretches)
        .replace("file = \"1m\"", "file = \"15s\"")
        .replace("[storage]", "[behaviour]\nprofile = \"nvr-4.60\"\n[storage]")
        .replace("id = 1\n", "id = 1\nkind = \"ip\"\n");
    plays_both_ways(&text);
}
