//! How a listing goes on from page to page, and all the ways in which it ends.

use std::hash::{DefaultHasher, Hash, Hasher};

use dvrgate_adapter::PageCursor;
use dvrgate_model::{Civil, Error, Result};

use crate::wire::datetime;
use crate::wire::search::Status;

pub(crate) const SECOND_US: i64 = 1_000_000;
/// A search must not end later than this after the device's now: some refuse the future.
pub(crate) const FUTURE_US: i64 = 60_000_000;

/// An upper-case GUID: some firmware refuses other text.
pub(crate) fn new_search_id() -> String {
    uuid::Uuid::new_v4().hyphenated().to_string().to_ascii_uppercase()
}

/// Where a listing goes on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Cursor {
    pub(crate) search_id: String,
    /// Of the log: which category.
    pub(crate) category: usize,
    /// Items received so far.
    pub(crate) position: usize,
    /// Pages received so far.
    pub(crate) pages: usize,
    /// Of the page before, to notice that paging does not move.
    pub(crate) page_hash: u64,
    /// Last reading asked for: the same for all pages.
    pub(crate) end: Civil,
}

impl Cursor {
    pub(crate) fn first(end: Civil) -> Self {
        Self { search_id: new_search_id(), category: 0, position: 0, pages: 0, page_hash: 0, end }
    }

    pub(crate) fn write(&self) -> PageCursor {
        let Self { search_id, category, position, pages, page_hash, end } = self;
        let end = datetime::write_compact(*end);
        PageCursor(format!("{search_id} {category} {position} {pages} {page_hash} {end}").into())
    }

    pub(crate) fn read(cursor: &PageCursor) -> Result<Self> {
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
pub(crate) enum Next {
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
pub(crate) struct Bounds {
    pub(crate) page: usize,
    pub(crate) pages: usize,
    pub(crate) cap: usize,
}

/// Judges a page. Firmware exists that says MORE for ever, also with an empty page, and some whose
/// pages never move.
pub(crate) fn judge(
    cursor: &Cursor,
    status: Status,
    received: usize,
    page_hash: u64,
    b: Bounds,
) -> Next {
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

pub(crate) fn hash_of<T: Hash>(items: impl Iterator<Item = T>) -> u64 {
    let mut hasher = DefaultHasher::new();
    items.for_each(|i| i.hash(&mut hasher));
    hasher.finish()
}

/// Rounded up to whole seconds, which is all that a request can say.
pub(crate) fn ceil(c: Civil) -> Civil {
    match c.micros_as_if_utc().rem_euclid(SECOND_US) {
        0 => c,
        rest => c.plus_us(SECOND_US - rest),
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
