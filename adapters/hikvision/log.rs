//! The device's log: category by category, under the prefix and spelling that it answers to.

use dvrgate_adapter::{Cx, EventQuery, Page, SourceEvent};
use dvrgate_model::{Error, ErrorKind, Result, SourceRange};

use crate::adapter::Hikvision;
use crate::convert;
use crate::paging::{
    Bounds, Cursor, FUTURE_US, Next, SECOND_US, ceil, hash_of, judge, new_search_id,
};
use crate::wire::search::{self, Status};
use crate::wire::{Failure, Generation, log_search};

impl Hikvision {
    pub(crate) async fn events(&self, cx: &Cx, query: EventQuery) -> Result<Page<SourceEvent>> {
        let empty = Page { items: Vec::new(), next: None, capped: false };
        let g = self.generation(cx).await?;
        let now = self.now(cx).await?;
        let wall = now.listing.plus_us(now.wall_ahead_us + now.went_back_us + FUTURE_US);
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
