//! Listings: recorded segments and the log, page by page, with all the ways in which paging ends.

use std::hash::{DefaultHasher, Hash, Hasher};

use dvrgate_adapter::{Cx, EventQuery, Page, PageCursor, SegmentQuery, SourceEvent, SourceSegment};
use dvrgate_model::{Civil, Error, ErrorKind, Result, SourceRange, StreamKind};

use crate::adapter::Hikvision;
use crate::convert::{self, Listing, listing_civil, track_id};
use crate::wire::search::{self, Match, Query, SearchStyle, Status};
use crate::wire::{Failure, Generation, calendar, datetime, log_search};

/// A search must not end later than this after the device's now: some refuse the future.
const FUTURE_US: i64 = 60_000_000;
/// The calendar is asked only for days that ended this long ago.
const CALENDAR_AGE_US: i64 = 2 * DAY_US;
/// A month of the calendar is believed this long.
const CALENDAR_FRESH_US: i64 = 3_600_000_000;
const DAY_US: i64 = 86_400_000_000;
const SECOND_US: i64 = 1_000_000;
/// Months that are remembered.
const MAX_MONTHS: usize = 4_096;

/// An upper-case GUID: some firmware refuses other text.
pub(crate) fn new_search_id() -> String {
    uuid::Uuid::new_v4().hyphenated().to_string().to_ascii_uppercase()
}

/// Where a listing goes on.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Cursor {
    search_id: String,
    /// Of the log: which category.
    category: usize,
    /// Items received so far.
    position: usize,
    /// Pages received so far.
    pages: usize,
    /// Of the page before, to notice that paging does not move.
    page_hash: u64,
    /// Last reading asked for: the same for all pages.
    end: Civil,
}

impl Cursor {
    fn first(end: Civil) -> Self {
        Self { search_id: new_search_id(), category: 0, position: 0, pages: 0, page_hash: 0, end }
    }

    fn write(&self) -> PageCursor {
        let Self { search_id, category, position, pages, page_hash, end } = self;
        let end = datetime::write_compact(*end);
        PageCursor(format!("{search_id} {category} {position} {pages} {page_hash} {end}").into())
    }

    fn read(cursor: &PageCursor) -> Result<Self> {
        let parse = || {
            let text = std::str::from_utf8(&cursor.0).ok()?;
            let mut parts = text.split(' ');
            Some(Self {
                search_id: parts.next()?.to_owned(),
                category: parts.next()?.parse().ok()?,
                position: parts.next()?.parse().ok()?,
                pages: parts.next()?.parse().ok()?,
                page_hash: parts.next()?.parse().ok()?,
                end: datetime::parse(parts.next()?)?.0,
            })
        };
        parse().ok_or_else(|| Error::invalid("not a cursor of this adapter"))
    }
}

/// How a listing goes on after a page.
#[derive(Debug, Eq, PartialEq)]
enum Next {
    /// The page repeats the one before: its items are none.
    Repeated { full: bool },
    /// There is more.
    More(Cursor),
    /// That was all.
    End,
    /// There is more than is ever listed.
    Capped,
}

/// What bounds a listing.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    page: usize,
    pages: usize,
    cap: usize,
}

/// Judges a page. Firmware exists that says MORE for ever, also with an empty page, and some whose
/// pages never move.
fn judge(cursor: &Cursor, status: Status, received: usize, page_hash: u64, b: Bounds) -> Next {
    let position = cursor.position + received;
    let pages = cursor.pages + 1;
    if received == 0 {
        return Next::End;
    }
    if cursor.pages > 0 && page_hash == cursor.page_hash {
        return Next::Repeated { full: received >= b.page };
    }
    if position >= b.cap {
        return Next::Capped;
    }
    match status {
        Status::More if pages >= b.pages => Next::Capped,
        Status::More => Next::More(Cursor { position, pages, page_hash, ..cursor.clone() }),
        Status::Ok | Status::NoMatches | Status::Failed => Next::End,
    }
}

fn hash_of<T: Hash>(items: impl Iterator<Item = T>) -> u64 {
    let mut hasher = DefaultHasher::new();
    items.for_each(|i| i.hash(&mut hasher));
    hasher.finish()
}

/// Rounded up to whole seconds, which is all that a request can say.
fn ceil(c: Civil) -> Civil {
    match c.micros_as_if_utc().rem_euclid(SECOND_US) {
        0 => c,
        rest => c.plus_us(SECOND_US - rest),
    }
}

impl Hikvision {
    pub(crate) async fn segments(
        &self,
        cx: &Cx,
        query: SegmentQuery,
    ) -> Result<Page<SourceSegment>> {
        let empty = Page { items: Vec::new(), next: None, capped: false };
        let g = self.generation(cx).await?;
        let now = self.now(cx).await?;
        let latest = now.listing.plus_us(FUTURE_US);
        let window = query.window;
        if window.start >= latest || window.is_empty() {
            return Ok(empty);
        }
        let track = track_id(query.channel, query.stream);
        let cursor = match &query.cursor {
            Some(c) => Cursor::read(c)?,
            None if self.is_known_empty(cx, g, track, window, now.listing).await? => {
                return Ok(empty);
            }
            None => Cursor::first(ceil(window.end).min(latest)),
        };
        let bounds =
            Bounds { page: self.policy.page, pages: self.policy.pages, cap: self.policy.cap };
        let ask = Query {
            search_id: &cursor.search_id,
            track,
            start: window.start,
            end: cursor.end,
            max_results: bounds.page,
            position: cursor.position,
        };
        let mut answer = self.search_in_any_style(cx, g, &ask).await?;
        // Some refuse any end that is not over yet.
        if let Err(Failure::Refused(r)) = &answer
            && r.is_about_the_request()
            && ask.end > now.listing
            && ask.start < now.listing
        {
            let ask = Query { end: now.listing, ..ask.clone() };
            answer = self.search_in_any_style(cx, g, &ask).await?;
        }
        let page = match answer {
            Ok(page) => page,
            Err(Failure::Refused(r)) if r.is_window_too_wide() => {
                return Ok(Page { capped: true, ..empty });
            }
            // Recorders list sub tracks that they never record, and refuse to search them.
            Err(Failure::Refused(r))
                if query.stream == StreamKind::Sub
                    && (r.is_about_the_request() || r.is_absent()) =>
            {
                return Ok(empty);
            }
            Err(failure) => return Err(self.failed(failure).with("track", track)),
        };
        if page.status == Status::Failed && page.items.is_empty() {
            let message = "the device says that its search failed";
            return Err(Error::new(ErrorKind::Busy, message).with("track", track));
        }
        let hash = hash_of(page.items.iter().map(|m| (&m.start, &m.end, &m.name)));
        let next = judge(&cursor, page.status, page.items.len(), hash, bounds);
        let items = match next {
            Next::Repeated { .. } => Vec::new(),
            _ => {
                let how =
                    Listing { ends: self.policy.ends, trust: now.trust, now: Some(now.listing) };
                self.converted(&page.items, &query, how)?
            }
        };
        let capped = matches!(next, Next::Capped | Next::Repeated { full: true });
        let next = if let Next::More(cursor) = next { Some(cursor.write()) } else { None };
        Ok(Page { items, next, capped })
    }

    fn converted(
        &self,
        items: &[Match],
        query: &SegmentQuery,
        how: Listing,
    ) -> Result<Vec<SourceSegment>> {
        let mut out = Vec::with_capacity(items.len());
        for m in items {
            let segment = convert::segment(m, query.channel, query.stream, how)
                .map_err(|e| self.failed(Failure::Unreadable(e)))?;
            out.extend(segment.filter(|s| {
                listing_civil(&s.start, how.trust) < query.window.end
                    && listing_civil(&s.end, how.trust) > query.window.start
            }));
        }
        Ok(out)
    }

    /// One page, in the style that the device understands. A style is learnt from the first answer
    /// that is none about the request.
    pub(crate) async fn search_in_any_style(
        &self,
        cx: &Cx,
        g: Generation,
        query: &Query<'_>,
    ) -> Result<Result<search::Page<Match>, Failure>> {
        let known = self.learnt(|l| l.search);
        let styles = known.map_or(SearchStyle::ALL.to_vec(), |s| vec![s]);
        let mut first_refusal = None;
        for style in styles {
            match self.ask(cx, search::request(g, style, query), search::parse).await? {
                Ok(page) => {
                    // "Nothing" may only mean that the track was not understood.
                    if !page.items.is_empty() {
                        self.learnt(|l| l.search = Some(style));
                    }
                    return Ok(Ok(page));
                }
                Err(Failure::Refused(r)) if r.is_about_the_request() => {
                    first_refusal.get_or_insert(r);
                }
                Err(other) => return Ok(Err(other)),
            }
        }
        Ok(Err(Failure::Refused(first_refusal.unwrap_or_default())))
    }

    /// Whether the calendar says that a window long ago has no footage: a month costs one request.
    async fn is_known_empty(
        &self,
        cx: &Cx,
        g: Generation,
        track: u32,
        window: SourceRange,
        now: Civil,
    ) -> Result<bool> {
        let is_old = window.end.plus_us(CALENDAR_AGE_US) < now;
        let short = window.duration_us() <= 2 * DAY_US;
        if !is_old || !short || g == Generation::Psia || self.learnt(|l| l.no_calendar) {
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
                let absent = matches!(&failure, Failure::Refused(r) if r.is_absent() || r.is_about_the_request());
                self.learnt(|l| {
                    l.no_calendar |= absent || matches!(failure, Failure::Unreadable(_))
                });
                Ok(None)
            }
        }
    }

    pub(crate) async fn events(&self, cx: &Cx, query: EventQuery) -> Result<Page<SourceEvent>> {
        let empty = Page { items: Vec::new(), next: None, capped: false };
        let g = self.generation(cx).await?;
        let now = self.now(cx).await?;
        let wall = now.listing.plus_us(now.wall_ahead_us + FUTURE_US);
        let window = query.window;
        if window.start >= wall || window.is_empty() {
            return Ok(empty);
        }
        let cursor = match &query.cursor {
            Some(c) => Cursor::read(c)?,
            // The last second of the window, since the end of a request is inclusive.
            None => Cursor::first(ceil(window.end).plus_us(-SECOND_US).min(wall)),
        };
        let Some(category) = self.policy.log_categories.get(cursor.category) else {
            return Ok(empty);
        };
        let numbering = self.learnt(|l| l.numbering.clone());
        let next_category =
            (cursor.category + 1 < self.policy.log_categories.len()).then(|| Cursor {
                search_id: new_search_id(),
                category: cursor.category + 1,
                ..Cursor::first(cursor.end)
            });
        let Some(page) = self.log_page(cx, g, category, &cursor, window).await? else {
            return Ok(Page { next: next_category.map(|c| c.write()), ..empty });
        };
        let bounds =
            Bounds { page: self.policy.log_page, pages: usize::MAX, cap: self.policy.log_cap };
        // A total that reaches the cap tells at once that the window is too wide.
        let overfull = page.total.is_some_and(|t| t >= bounds.cap);
        let hash = hash_of(page.items.iter().map(|e| (&e.time, &e.event, &e.channel, &e.text)));
        let next = judge(&cursor, page.status, page.items.len(), hash, bounds);
        let items = match next {
            Next::Repeated { .. } => Vec::new(),
            _ => page
                .items
                .iter()
                .filter_map(|e| convert::log_entry(e, &numbering))
                .filter(|e| e.time.as_ref().is_some_and(|t| window.contains(t.civil)))
                .collect(),
        };
        let capped = overfull || matches!(next, Next::Capped | Next::Repeated { full: true });
        let next = match next {
            _ if capped => None,
            Next::More(cursor) => Some(cursor),
            _ => next_category,
        };
        Ok(Page { items, next: next.map(|c| c.write()), capped })
    }

    /// A page of one category, under the prefix and spelling that the device answers to. `None`
    /// where it refuses the category.
    async fn log_page(
        &self,
        cx: &Cx,
        g: Generation,
        category: &str,
        cursor: &Cursor,
        window: SourceRange,
    ) -> Result<Option<search::Page<log_search::Entry>>> {
        // The vendor's spelling of this one lost a letter in some firmware.
        let spellings: &[&str] = match category {
            "Information" => &["Information", "Infomation"],
            other => &[other],
        };
        let ways: Vec<(&str, &str)> = log_search::PREFIXES
            .iter()
            .flat_map(|p| spellings.iter().map(move |s| (*p, *s)))
            .collect();
        let known = self.learnt(|l| l.log.get(category).copied());
        let mut order: Vec<usize> = (0..ways.len()).collect();
        match known {
            Some(way) => order = vec![way],
            None if cursor.pages > 0 => order.truncate(1),
            None => {}
        }
        let (mut nothing, mut absent) = (None, None);
        for way in order {
            let Some((prefix, spelling)) = ways.get(way) else { continue };
            let ask = log_search::Query {
                search_id: &cursor.search_id,
                prefix,
                category: spelling,
                start: window.start,
                end: cursor.end,
                max_results: self.policy.log_page,
                position: cursor.position,
            };
            match self.ask(cx, log_search::request(g, &ask), log_search::parse).await? {
                Ok(page) if page.items.is_empty() => nothing = Some(page),
                Ok(page) => {
                    self.learnt(|l| l.log.insert(category.to_owned(), way));
                    return Ok(Some(page));
                }
                Err(Failure::Refused(r)) if r.is_window_too_wide() => {
                    let items = Vec::new();
                    let total = Some(self.policy.log_cap);
                    return Ok(Some(search::Page { status: Status::Ok, total, items }));
                }
                Err(Failure::Refused(r)) if r.is_absent() || r.is_about_the_request() => {
                    absent = Some(r);
                }
                Err(other) => return Err(self.failed(other)),
            }
        }
        match (nothing, absent) {
            (Some(page), _) => Ok(Some(page)),
            // Without any log the first category is refused like all others.
            (None, Some(r)) if cursor.category == 0 && r.is_absent() => {
                self.learnt(|l| l.no_log = true);
                Err(Error::new(ErrorKind::Unsupported, "the device offers no log"))
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { page: 40, pages: 3, cap: 100 };

    fn at(text: &str) -> Civil {
        Civil::parse_prefix(text).unwrap().0
    }

    #[test]
    fn cursors_survive_their_text() {
        let c = Cursor {
            position: 80,
            pages: 2,
            page_hash: u64::MAX,
            ..Cursor::first(at("2026-03-01T10:00:00"))
        };
        assert_eq!(Cursor::read(&c.write()).unwrap(), c);
        let text = c.write().0;
        for n in 0..text.len() - 16 {
            assert!(Cursor::read(&PageCursor(text.slice(..n))).is_err(), "{n}");
        }
        assert!(Cursor::read(&PageCursor(vec![0xff, 0].into())).is_err());
    }

    #[test]
    fn every_way_in_which_paging_ends() {
        let first = Cursor::first(at("2026-03-01T10:00:00"));
        let Next::More(second) = judge(&first, Status::More, 40, 1, BOUNDS) else { panic!() };
        assert_eq!((second.position, second.pages), (40, 1));
        assert_eq!(judge(&second, Status::Ok, 12, 2, BOUNDS), Next::End);
        assert_eq!(judge(&second, Status::NoMatches, 0, 2, BOUNDS), Next::End);
        // MORE with nothing.
        assert_eq!(judge(&second, Status::More, 0, 2, BOUNDS), Next::End);
        // The position is ignored: the first page for ever.
        assert_eq!(judge(&second, Status::More, 40, 1, BOUNDS), Next::Repeated { full: true });
        assert_eq!(judge(&second, Status::More, 7, 1, BOUNDS), Next::Repeated { full: false });
        // MORE for ever.
        let third = Cursor { pages: 2, position: 50, ..second };
        assert_eq!(judge(&third, Status::More, 10, 3, BOUNDS), Next::Capped);
        // The cap, whatever the status says.
        assert_eq!(judge(&third, Status::Ok, 50, 3, BOUNDS), Next::Capped);
    }

    #[test]
    fn ends_are_rounded_up() {
        assert_eq!(ceil(at("2026-03-01T10:00:00.5")), at("2026-03-01T10:00:01"));
        assert_eq!(ceil(at("2026-03-01T10:00:00")), at("2026-03-01T10:00:00"));
        let id = new_search_id();
        assert_eq!((id.len(), id.to_ascii_uppercase()), (36, id.clone()));
    }
}
