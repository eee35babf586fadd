//! Recorded segments, page by page.

use dvrgate_adapter::{Cx, Page, SegmentQuery, SourceSegment};
use dvrgate_model::{Error, ErrorKind, Result, StreamKind};

use crate::adapter::Hikvision;
use crate::convert::{self, Listing, listing_civil, track_id};
use crate::paging::{Bounds, Cursor, FUTURE_US, Next, ceil, hash_of, judge};
use crate::wire::search::{self, Match, Query, SearchStyle, Status};
use crate::wire::{Failure, Generation};

impl Hikvision {
    pub(crate) async fn segments(
        &self,
        cx: &Cx,
        query: SegmentQuery,
    ) -> Result<Page<SourceSegment>> {
        let empty = Page { items: Vec::new(), next: None, capped: false };
        let g = self.generation(cx).await?;
        let now = self.now(cx).await?;
        let latest = now.listing.plus_us(FUTURE_US + now.went_back_us);
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
                let zone = self.learnt(|l| l.zone.clone());
                let how = Listing {
                    ends: self.policy.ends,
                    trust: now.trust,
                    now: Some(now.listing),
                    went_back: now.went_back_us > 0,
                    zone: zone.as_ref(),
                };
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
        how: Listing<'_>,
    ) -> Result<Vec<SourceSegment>> {
        let mut out = Vec::with_capacity(items.len());
        for m in items {
            let segment = convert::segment(m, query.channel, query.stream, how)
                .map_err(|e| self.failed(Failure::Unreadable(e)))?;
            out.extend(segment.filter(|s| {
                let (start, end) =
                    (listing_civil(&s.start, how.trust), listing_civil(&s.end, how.trust));
                // One in which the clock went back shows its latest reading in between.
                start < query.window.end && end.max(start) > query.window.start
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
}
