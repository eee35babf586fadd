//! Reads a listing to its end: page by page, and in halves where the recorder's cap is reached.

use std::collections::HashSet;
use std::hash::Hash;

use dvrgate_adapter::{
    Cx, Device, EventQuery, ListOrder, ListSupport, Page, PageCursor, SegmentQuery, SourceEvent,
    SourceSegment,
};
use dvrgate_model::{ChannelId, Civil, Error, Result, SourceRange, StreamKind};
use futures::future::BoxFuture;

/// Everything that some windows hold, oldest first.
#[derive(Debug)]
pub struct Listed<T> {
    /// Each item once.
    pub items: Vec<T>,
    /// Places in `items` before which the order of the recorder's listing is broken: a window had
    /// to be halved inside an hour that the clock shows twice.
    pub breaks: Vec<usize>,
    /// Pages that were read.
    pub pages: u64,
    /// How often a window was halved.
    pub halved: u64,
    /// Windows so narrow that they cannot be halved and yet hold more than the recorder lists.
    pub overfull: u64,
}

/// The segments of a channel that touch the windows. `doubled` says which readings the clock shows
/// twice.
pub async fn segments(
    device: &Device,
    cx: &Cx,
    (channel, stream): (ChannelId, StreamKind),
    windows: &[SourceRange],
    doubled: impl Fn(Civil) -> bool,
) -> Result<Listed<SourceSegment>> {
    let support = device.adapter.capabilities().segments;
    let fetch = |window, cursor| {
        let query = SegmentQuery { channel, stream, window, cursor };
        device.adapter.list_segments(cx, query)
    };
    let key = |s: &SourceSegment| (s.start.raw.clone(), s.key.clone());
    list(windows, &support, doubled, fetch, |s| s.start.civil, key).await
}

/// The events of the windows.
pub async fn events(
    device: &Device,
    cx: &Cx,
    windows: &[SourceRange],
    doubled: impl Fn(Civil) -> bool,
) -> Result<Listed<SourceEvent>> {
    let support = device.adapter.capabilities().events;
    let fetch = |window, cursor| device.adapter.list_events(cx, EventQuery { window, cursor });
    let key = |e: &SourceEvent| {
        let time = e.time.as_ref().map(|t| t.raw.clone());
        (time, e.channel, e.code.clone(), e.active, e.items.clone())
    };
    let civil = |e: &SourceEvent| e.time.as_ref().map(|t| t.civil);
    list(windows, &support, doubled, fetch, civil, key).await
}

async fn list<'a, T, K: Eq + Hash, O: Ord>(
    windows: &[SourceRange],
    support: &ListSupport,
    doubled: impl Fn(Civil) -> bool,
    fetch: impl Fn(SourceRange, Option<PageCursor>) -> BoxFuture<'a, Result<Page<T>>>,
    civil: impl Fn(&T) -> O,
    key: impl Fn(&T) -> K,
) -> Result<Listed<T>> {
    let mut listed =
        Listed { items: Vec::new(), breaks: Vec::new(), pages: 0, halved: 0, overfull: 0 };
    let mut seen = HashSet::new();
    let mut open: Vec<SourceRange> =
        windows.iter().flat_map(|w| pieces(whole_seconds(w), support, &doubled)).collect();
    open.reverse();
    while let Some(window) = open.pop() {
        let (mut items, capped) = one(window, &fetch, &mut listed.pages).await?;
        if capped && window.duration_us() >= 2 * SECOND_US {
            let middle = middle(&window, &doubled);
            open.push(SourceRange::new(middle, window.end));
            open.push(SourceRange::new(window.start, middle));
            listed.halved += 1;
            continue;
        }
        listed.overfull += u64::from(capped);
        if doubled(window.start) {
            listed.breaks.push(listed.items.len());
        }
        match support.order {
            ListOrder::OldestFirst => {}
            ListOrder::NewestFirst => items.reverse(),
            ListOrder::Unordered => items.sort_by_key(&civil),
        }
        listed.items.extend(items.into_iter().filter(|item| seen.insert(key(item))));
    }
    Ok(listed)
}

/// A window cut to what the recorder answers at once, in order.
fn pieces(
    window: SourceRange,
    support: &ListSupport,
    doubled: impl Fn(Civil) -> bool,
) -> Vec<SourceRange> {
    let widest_us = support
        .max_window
        .and_then(|d| i64::try_from(d.as_micros()).ok())
        .unwrap_or(i64::MAX)
        .max(SECOND_US);
    let (mut pieces, mut start) = (Vec::new(), window.start);
    while start < window.end {
        let mut end = start.plus_us(widest_us).min(window.end);
        // As when halving, not inside a doubled hour, if that can be helped.
        while end < window.end && doubled(end) && end.plus_us(-HOUR_US) > start {
            end = end.plus_us(-HOUR_US);
        }
        pieces.push(SourceRange::new(start, end));
        start = end;
    }
    pieces
}

/// Where to halve: not inside an hour that the clock shows twice, if that can be helped, because
/// the order of the listing is what tells its two passes apart.
fn middle(window: &SourceRange, doubled: impl Fn(Civil) -> bool) -> Civil {
    let half_us = window.duration_us() / 2 / SECOND_US * SECOND_US;
    let middle = window.start.plus_us(half_us);
    let inside = |c: &Civil| window.start < *c && *c < window.end && !doubled(*c);
    let around = (0..=STEPS).flat_map(|n| {
        let aside_us = n * half_us / STEPS / SECOND_US * SECOND_US;
        [middle.plus_us(aside_us), middle.plus_us(-aside_us)]
    });
    around.into_iter().find(inside).unwrap_or(middle)
}

/// All pages of one window, and whether the cap was reached.
async fn one<'a, T>(
    window: SourceRange,
    fetch: impl Fn(SourceRange, Option<PageCursor>) -> BoxFuture<'a, Result<Page<T>>>,
    pages: &mut u64,
) -> Result<(Vec<T>, bool)> {
    let mut items = Vec::new();
    let mut cursor = None;
    for _ in 0..MOST_PAGES {
        let page = fetch(window, cursor.clone()).await?;
        *pages += 1;
        items.extend(page.items);
        if page.capped || page.next.is_none() {
            return Ok((items, page.capped));
        }
        if page.next == cursor {
            return Err(Error::malformed("the next page of a listing is the same page"));
        }
        cursor = page.next;
    }
    // A recorder that always says MORE. What it said so far may be right or not.
    Err(Error::malformed(format!("a listing with more than {MOST_PAGES} pages")))
}

/// Recorders cut fractions off; the window must not become smaller by that.
fn whole_seconds(window: &SourceRange) -> SourceRange {
    let floor = |us: i64| us.div_euclid(SECOND_US) * SECOND_US;
    let start = window.start.micros_as_if_utc();
    let end = window.end.micros_as_if_utc();
    SourceRange::new(
        window.start.plus_us(floor(start) - start),
        window.end.plus_us(floor(end + SECOND_US - 1) - end),
    )
}

/// Places on each side of the middle that are looked at.
const STEPS: i64 = 32;
const HOUR_US: i64 = 3_600_000_000;
const SECOND_US: i64 = 1_000_000;
/// Of one window; the recorder's caps are far below.
const MOST_PAGES: usize = 2_000;
