//! Which of the two passes an item of a listing belongs to, when the clock showed its reading twice:
//! in the autumn hour, and after it was set back.
//!
//! Pure. A listing is in the order in which things were recorded, so an item that seems to lie
//! before its predecessor lies in the second pass, and what stands before it in the first. Items
//! that follow each other without a gap lie in the same pass. What neither tells says so: its
//! uncertainty is as wide as both passes are apart.

use dvrgate_model::{ClockMap, Hint, SourceTime, Stamp, Utc, UtcRange};

/// Begin and end of an item in the recorder's words; the same twice for an instant.
pub type Said<'a> = (&'a SourceTime, &'a SourceTime);

/// Places the items of a listing of `range`. `breaks` are the places before which the order is
/// broken.
pub fn place(
    map: &ClockMap,
    range: UtcRange,
    items: &[Said<'_>],
    breaks: &[usize],
) -> Vec<(Stamp, Stamp)> {
    let mut placed: Vec<Item> = items.iter().map(|said| Item::new(map, *said)).collect();
    let mut chain = 0;
    for i in 0..placed.len() {
        if breaks.contains(&i) {
            chain = i;
        }
        by_order(&mut placed[chain..=i]);
    }
    for i in 1..placed.len() {
        if !breaks.contains(&i) {
            let (before, item) = pair(&mut placed, i);
            item.follow(before);
        }
    }
    for i in (1..placed.len()).rev() {
        if !breaks.contains(&i) {
            let (item, after) = pair(&mut placed, i);
            item.precede(after);
        }
    }
    placed.iter().map(|item| item.stamps(map, range)).collect()
}

struct Item<'a> {
    said: Said<'a>,
    /// In the first and in the second pass; the same where the reading was shown once.
    passes: [Stamp; 2],
    /// Which pass.
    pass: usize,
    proven: bool,
}

impl<'a> Item<'a> {
    fn new(map: &ClockMap, said: Said<'a>) -> Self {
        let first = map.to_utc(said.0, Hint::NotAfter(Utc::MIN));
        let second = map.to_utc(said.0, Hint::NotBefore(Utc::MAX));
        let once = first.utc == second.utc;
        Self { said, passes: [first, second], pass: 0, proven: once }
    }

    fn start(&self) -> Utc {
        self.passes[self.pass].utc
    }

    /// On the recorder's own scale; in the same pass as the start.
    fn length_us(&self) -> i64 {
        self.said.1.civil.micros_as_if_utc() - self.said.0.civil.micros_as_if_utc()
    }

    fn is_twice(&self) -> bool {
        self.passes[0].utc != self.passes[1].utc
    }

    fn prove(&mut self, pass: usize) {
        (self.pass, self.proven) = (pass, true);
    }

    /// It begins where the item before it ends.
    fn follow(&mut self, before: &Item<'_>) {
        if self.proven || !before.proven {
            return;
        }
        let end = before.start().plus_us(before.length_us());
        let near = |pass: &usize| self.passes[*pass].utc.since_us(end).abs() <= CLOSE_US;
        if let Some(pass) = [0, 1].into_iter().find(near) {
            self.prove(pass);
        }
    }

    /// It ends where the item after it begins.
    fn precede(&mut self, after: &Item<'_>) {
        if self.proven || !after.proven {
            return;
        }
        let ends = |pass: usize| self.passes[pass].utc.plus_us(self.length_us());
        let near = |pass: &usize| after.start().since_us(ends(*pass)).abs() <= CLOSE_US;
        if let Some(pass) = [0, 1].into_iter().find(near) {
            self.prove(pass);
        }
    }

    fn stamps(&self, map: &ClockMap, range: UtcRange) -> (Stamp, Stamp) {
        let mut start = self.passes[self.pass];
        let mut width_us = 0;
        if !self.proven {
            width_us = self.passes[1].utc.since_us(self.passes[0].utc).unsigned_abs();
            // It was asked for in this stretch: the likelier pass is the one inside.
            let inside = |s: &Stamp| range.contains(s.utc);
            if !inside(&start) && inside(&self.passes[1]) {
                start = self.passes[1];
            }
        }
        let mut end = match self.said.0.raw == self.said.1.raw {
            true => start,
            // No segment is longer than the hour: it ends in the pass in which it began.
            false => {
                let end = map.to_utc(self.said.1, Hint::NotBefore(start.utc));
                not_over_the_border(map, self.said, start.utc, end)
            }
        };
        start.uncertainty_us = start.uncertainty_us.saturating_add(width_us);
        end.uncertainty_us = end.uncertainty_us.saturating_add(width_us);
        (start, end)
    }
}

/// Corrects the end of what begins at `start`: a last reading that is rounded up to the end of the
/// first pass of the doubled hour, or a little over it, is not the end of the second pass.
pub fn not_over_the_border(map: &ClockMap, said: Said<'_>, start: Utc, end: Stamp) -> Stamp {
    let length_us = said.1.civil.micros_as_if_utc() - said.0.civil.micros_as_if_utc();
    let straight = start.plus_us(length_us);
    if length_us <= 0 || end.utc.since_us(straight) <= 2 * CLOSE_US {
        return end;
    }
    let earlier = SourceTime { civil: said.1.civil.plus_us(-OVER_US), ..said.1.clone() };
    let just_before = map.to_utc(&earlier, Hint::NotBefore(start)).utc;
    if straight.since_us(just_before).abs() > OVER_US + CLOSE_US {
        return end;
    }
    Stamp { utc: straight, ..end }
}

/// Places the last item of a chain by the one before it. An item of the second pass proves that
/// the ones before it, as far as the same hour goes, lie in the first.
fn by_order(chain: &mut [Item<'_>]) {
    let Some((item, before)) = chain.split_last_mut() else { return };
    let Some(previous) = before.last() else { return };
    if !item.is_twice() || item.passes[0].utc.plus_us(CLOSE_US) >= previous.start() {
        return;
    }
    item.prove(1);
    let hour_us = item.passes[1].utc.since_us(item.passes[0].utc);
    for earlier in before.iter_mut().rev() {
        let same_hour = item.passes[0].utc.since_us(earlier.passes[0].utc).abs() <= hour_us;
        if !earlier.is_twice() || !same_hour || earlier.pass == 1 {
            break;
        }
        earlier.prove(0);
    }
}

fn pair<'p, 'a>(items: &'p mut [Item<'a>], i: usize) -> (&'p mut Item<'a>, &'p mut Item<'a>) {
    let (left, right) = items.split_at_mut(i);
    (&mut left[i - 1], &mut right[0])
}

/// A last reading is rounded up, and the last group of pictures finished, by at most so much.
const OVER_US: i64 = 4_000_000;
/// Neighbours in a listing overlap, or leave open, as much as the recorder's resolution.
const CLOSE_US: i64 = 2_000_000;

#[cfg(test)]
mod tests {
    use dvrgate_model::{Civil, ClockEpoch, ZoneClaim, ZoneRule, ZoneTrust};

    use super::*;

    /// Minutes of UTC after 2026-10-24T23:00Z: the doubled hour is 02:00 to 03:00 in Bratislava,
    /// minutes 60 to 120 and 120 to 180.
    fn placed(items: &[(i64, i64)], breaks: &[usize]) -> Vec<(i64, u64)> {
        let zone = ZoneRule::parse("Europe/Bratislava").unwrap();
        let base: Utc = "2026-10-24T23:00:00Z".parse().unwrap();
        let said = |m: i64| {
            SourceTime::from_civil(zone.civil(base.plus_us(m * 60_000_000)), ZoneClaim::None)
        };
        let items: Vec<_> = items.iter().map(|(a, b)| (said(*a), said(*b))).collect();
        let items: Vec<Said<'_>> = items.iter().map(|(a, b)| (a, b)).collect();
        let mut right = ClockEpoch::assumed("yard".into(), zone.clone(), ZoneTrust::WallClock);
        right.uncertainty_us = 0;
        let map = ClockMap::new(Vec::new(), right);
        let range = UtcRange::clamped(base, base.plus_us(300 * 60_000_000));
        place(&map, range, &items, breaks)
            .iter()
            .map(|(s, _)| (s.utc.since_us(base) / 60_000_000, s.uncertainty_us / 60_000_000))
            .collect()
    }

    #[test]
    fn continuous_footage_is_certain_all_the_way() {
        let items: Vec<_> = (0..40).map(|n| (n * 7, n * 7 + 7)).collect();
        let want: Vec<_> = items.iter().map(|i| (i.0, 0)).collect();
        assert_eq!(placed(&items, &[]), want);
    }

    #[test]
    fn a_step_back_in_the_listing_proves_both_passes() {
        // 02:10, 02:40, then 02:20 again.
        assert_eq!(placed(&[(70, 72), (100, 102), (140, 142)], &[]), [(70, 0), (100, 0), (140, 0)]);
    }

    #[test]
    fn an_end_rounded_over_the_border_stays_in_the_first_pass() {
        let zone = ZoneRule::parse("Europe/Bratislava").unwrap();
        let change: Utc = "2026-10-25T01:00:00Z".parse().unwrap();
        let mut right = ClockEpoch::assumed("yard".into(), zone.clone(), ZoneTrust::WallClock);
        right.uncertainty_us = 0;
        let map = ClockMap::new(Vec::new(), right);
        let start = zone.civil(change.plus_us(-60_000_000));
        let said = |c: Civil| SourceTime::from_civil(c, ZoneClaim::None);
        for over_us in [-1_000_000, 0, 1_000_000, 2_500_000] {
            let (a, b) = (said(start), said(start.plus_us(60_000_000 + over_us)));
            let next = (said(zone.civil(change)), said(zone.civil(change.plus_us(60_000_000))));
            let stamps = place(&map, UtcRange::ALL, &[(&a, &b), (&next.0, &next.1)], &[]);
            assert_eq!(stamps[0].1.utc.since_us(change), over_us);
        }
        // What lasts through the hour ends behind it.
        let end = said(zone.civil(change.plus_us(3_660_000_000)));
        let stamps = place(&map, UtcRange::ALL, &[(&said(start), &end)], &[]);
        assert_eq!(stamps[0].1.utc.since_us(change), 3_660_000_000);
    }

    #[test]
    fn what_nothing_tells_is_an_hour_uncertain() {
        assert_eq!(placed(&[(70, 72)], &[]), [(70, 60)]);
        // Its place is a guess, and says so.
        assert_eq!(placed(&[(30, 31), (150, 152)], &[]), [(30, 0), (90, 60)]);
        // A broken order proves nothing.
        assert_eq!(placed(&[(100, 102), (140, 142)], &[1]), [(100, 60), (80, 60)]);
    }

    #[test]
    fn what_leads_out_of_the_hour_lies_in_its_second_pass() {
        assert_eq!(
            placed(&[(160, 170), (170, 180), (180, 190)], &[]),
            [(160, 0), (170, 0), (180, 0)]
        );
    }

    #[test]
    fn instants_are_placed_alike() {
        let t = SourceTime::from_civil(Civil::from_micros_as_if_utc(0), ZoneClaim::None);
        let right = ClockEpoch::assumed("yard".into(), ZoneRule::utc(), ZoneTrust::WallClock);
        let map = ClockMap::new(Vec::new(), right);
        let stamps = place(&map, UtcRange::ALL, &[(&t, &t)], &[]);
        assert_eq!(stamps[0].0, stamps[0].1);
    }
}
