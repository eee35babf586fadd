//! The calendar of recorded days: spares the search of empty months and tells where footage begins.

use dvrgate_adapter::{Cx, OldestQuery, OldestSupport};
use dvrgate_model::{Civil, Error, ErrorKind, Result, SourceRange};

use crate::adapter::{Hikvision, Learnt};
use crate::convert::track_id;
use crate::paging::FUTURE_US;
use crate::wire::{Failure, Generation, calendar};

/// The calendar is asked only for days that ended this long ago.
const CALENDAR_AGE_US: i64 = 2 * DAY_US;
/// A month of the calendar is believed this long.
const CALENDAR_FRESH_US: i64 = 3_600_000_000;
const DAY_US: i64 = 86_400_000_000;
/// Months that are remembered.
const MAX_MONTHS: usize = 4_096;
/// How numbers of main tracks end.
const MAIN: u32 = 1;

/// What is known of the calendar says of the beginning of footage.
pub(crate) fn oldest_support(l: &Learnt) -> OldestSupport {
    match l.no_calendar || l.generation == Some(Generation::Psia) {
        true => OldestSupport::No,
        false => OldestSupport::Likely,
    }
}

impl Hikvision {
    /// The first recorded day of the months before the end of the window that follow each other
    /// without an empty one. No request says it; a month costs one.
    pub(crate) async fn oldest_day(&self, cx: &Cx, query: OldestQuery) -> Result<Option<Civil>> {
        let g = self.generation(cx).await?;
        if self.learnt(|l| oldest_support(l)) == OldestSupport::No {
            return Err(no_calendar());
        }
        let now = self.now(cx).await?;
        // Days are local.
        let wall = |listing: Civil| listing.plus_us(now.wall_ahead_us);
        let first = wall(query.window.start);
        let latest = now.listing.plus_us(now.went_back_us + FUTURE_US);
        let last = wall(query.window.end.min(latest));
        if last <= first {
            return Ok(None);
        }
        let track = track_id(query.channel, query.stream);
        if self.learnt(|l| l.no_calendar_of.contains(&track)) {
            return Err(no_calendar());
        }
        let (mut oldest, mut day) = (None, last);
        loop {
            let (year, month, of_month) = day.date();
            let start = day.start_of_day().plus_us(-i64::from(of_month - 1) * DAY_US);
            let Some(days) = self.month(cx, g, (track, year, month)).await? else {
                return Err(no_calendar());
            };
            let recorded = (1..=31).filter(|d| days.has(*d));
            let on = recorded.map(|d| start.plus_us(i64::from(d - 1) * DAY_US));
            let inside = |d: &Civil| *d <= last && d.plus_us(DAY_US) > first;
            match on.filter(inside).min() {
                Some(found) => oldest = Some(found),
                // The month in which the window ends may only have begun.
                None if day < last => break,
                None => {}
            }
            if start <= first {
                break;
            }
            day = start.plus_us(-DAY_US);
        }
        Ok(oldest.map(|day: Civil| day.plus_us(-now.wall_ahead_us)))
    }

    /// Whether the calendar says that a window long ago has no footage: a month costs one request.
    pub(crate) async fn is_known_empty(
        &self,
        cx: &Cx,
        g: Generation,
        track: u32,
        window: SourceRange,
        now: Civil,
    ) -> Result<bool> {
        let is_old = window.end.plus_us(CALENDAR_AGE_US) < now;
        let short = window.duration_us() <= 2 * DAY_US;
        let without = |l: &mut Learnt| l.no_calendar || l.no_calendar_of.contains(&track);
        if !is_old || !short || g == Generation::Psia || self.learnt(without) {
            return Ok(false);
        }
        // Days are local and windows may not be: a day more on both sides.
        let (mut day, last) = (window.start.plus_us(-DAY_US), window.end.plus_us(DAY_US));
        while day.start_of_day() <= last {
            let (year, month, of_month) = day.date();
            match self.month(cx, g, (track, year, month)).await? {
                Some(days) if !days.has(of_month) => {}
                _ => return Ok(false),
            }
            day = day.plus_us(DAY_US);
        }
        Ok(true)
    }

    async fn month(
        &self,
        cx: &Cx,
        g: Generation,
        key: (u32, i16, u8),
    ) -> Result<Option<calendar::Days>> {
        let now = cx.clock.utc();
        let known = self.learnt(|l| l.calendar.get(&key).copied());
        if let Some((_, days)) = known.filter(|(at, _)| now.since_us(*at) < CALENDAR_FRESH_US) {
            return Ok(Some(days));
        }
        let request = calendar::request(g, key.0, key.1, key.2);
        match self.ask(cx, request, calendar::parse).await? {
            Ok(days) => {
                self.learnt(|l| {
                    if l.calendar.len() >= MAX_MONTHS {
                        l.calendar.clear();
                    }
                    l.calendar.insert(key, (now, days));
                });
                Ok(Some(days))
            }
            Err(failure) => {
                let absent = match &failure {
                    Failure::Refused(r) => r.is_absent() || r.is_about_the_request(),
                    Failure::Unreadable(_) => true,
                };
                self.learnt(|l| match (absent, key.0 % 100) {
                    (true, MAIN) => l.no_calendar = true,
                    // Sub streams are listed that are never recorded.
                    (true, _) => _ = l.no_calendar_of.insert(key.0),
                    (false, _) => {}
                });
                Ok(None)
            }
        }
    }
}

fn no_calendar() -> Error {
    Error::new(ErrorKind::Unsupported, "the device has no calendar of its footage")
}
