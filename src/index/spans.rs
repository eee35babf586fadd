//! Spans of all tracks in memory: 16 bytes each, merged as segments come, change and go.
//!
//! A span is a maximal run of touching segments (ONVIF Recording Control annex B). Adding a
//! segment needs only the spans. Taking one away may split a span, and where it splits depends on
//! the segments beside it; [`SpanMap::edit`] asks for just those. So segments need not be in
//! memory, and start-up reads spans, not segments.

use std::collections::HashMap;
use std::sync::Arc;

use dvrgate_model::{Direction, Span, TrackToken, Utc, UtcRange};

use crate::{Page, SPAN_TOLERANCE_US, SpanCursor, SpanQuery};

/// See the module documentation. A clone shares everything that is not edited afterwards.
#[derive(Clone, Debug, Default)]
pub struct SpanMap {
    /// Token to place in `tracks`.
    places: Arc<HashMap<TrackToken, u32>>,
    /// Per track ascending, not empty, and further apart than [`SPAN_TOLERANCE_US`].
    tracks: Vec<Arc<Vec<UtcRange>>>,
}

/// What a batch does to the segments of one track. Empty ranges have no effect.
#[derive(Clone, Debug, Default)]
pub struct TrackEdit {
    /// Ranges of segments that are no longer there, or that shrank or moved.
    pub removed: Vec<UtcRange>,
    /// Ranges of segments that are there now and were not before.
    pub added: Vec<UtcRange>,
}

impl TrackEdit {
    /// Notes that a segment's live range was `old` and is `new` (`None`: not there).
    pub fn note(&mut self, old: Option<UtcRange>, new: Option<UtcRange>) {
        let (old, new) = (old.filter(|r| !r.is_empty()), new.filter(|r| !r.is_empty()));
        if old == new {
            return;
        }
        if let Some(old) = old
            && !new.is_some_and(|new| new.start() <= old.start() && old.end() <= new.end())
        {
            self.removed.push(old);
        }
        self.added.extend(new);
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }
}

impl SpanMap {
    /// The spans of a track, ascending.
    pub fn of(&self, track: &TrackToken) -> &[UtcRange] {
        match self.places.get(track) {
            Some(place) => &self.tracks[*place as usize],
            None => &[],
        }
    }

    /// From the first to after the last data of a track.
    pub fn hull(&self, track: &TrackToken) -> Option<UtcRange> {
        let spans = self.of(track);
        Some(spans.first()?.hull(spans.last()?))
    }

    /// Number of spans of all tracks.
    pub fn len(&self) -> usize {
        self.tracks.iter().map(|t| t.len()).sum()
    }

    /// Whether there is no span at all.
    pub fn is_empty(&self) -> bool {
        self.tracks.iter().all(|t| t.is_empty())
    }

    /// All tracks that ever had spans, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&TrackToken, &[UtcRange])> {
        self.places.iter().map(|(token, place)| (token, self.tracks[*place as usize].as_slice()))
    }

    /// Answers a [`SpanQuery`]: two binary searches and a copy of the page.
    pub fn page(&self, query: &SpanQuery) -> Page<Span, SpanCursor> {
        let spans = self.of(&query.track);
        let mut first = spans.partition_point(|s| s.end() <= query.range.start());
        let mut last = spans.partition_point(|s| s.start() < query.range.end()).max(first);
        let limit = query.limit.max(1);
        let span = |range: &UtcRange| Span { track: query.track.clone(), range: *range };
        let (items, more): (Vec<Span>, bool) = match query.direction {
            Direction::Forward => {
                if let Some(SpanCursor(start)) = query.after {
                    first = first.max(spans.partition_point(|s| s.start() <= start)).min(last);
                }
                let end = last.min(first.saturating_add(limit));
                (spans[first..end].iter().map(span).collect(), end < last)
            }
            Direction::Reverse => {
                if let Some(SpanCursor(start)) = query.after {
                    last = last.min(spans.partition_point(|s| s.start() < start)).max(first);
                }
                let start = first.max(last.saturating_sub(limit));
                (spans[start..last].iter().rev().map(span).collect(), start > first)
            }
        };
        let next = items.last().filter(|_| more).map(|s| SpanCursor(s.range.start()));
        Page { items, next }
    }

    /// Replaces the spans of a track, as read from where they were stored.
    pub fn load(&mut self, track: &TrackToken, spans: Vec<UtcRange>) {
        let place = self.place(track);
        self.tracks[place] = Arc::new(merged(spans));
    }

    /// Follows a batch. `near` gives the ranges of the track's live segments, as they are after
    /// the batch, that touch a range; it is asked only around what was removed. Returns whether
    /// the spans changed.
    pub fn edit<E>(
        &mut self,
        track: &TrackToken,
        edit: &TrackEdit,
        mut near: impl FnMut(UtcRange) -> Result<Vec<UtcRange>, E>,
    ) -> Result<bool, E> {
        if edit.is_empty() {
            return Ok(false);
        }
        let place = self.place(track);
        let before = &self.tracks[place];
        let mut spans = Vec::with_capacity(before.len() + edit.added.len());
        spans.extend_from_slice(before);
        for cut in merged(edit.removed.clone()) {
            let window = UtcRange::clamped(
                cut.start().plus_us(-SPAN_TOLERANCE_US),
                cut.end().plus_us(SPAN_TOLERANCE_US),
            );
            cut_out(&mut spans, cut, near(window)?);
        }
        insert(&mut spans, edit.added.clone());
        let changed = spans != **before;
        if changed {
            self.tracks[place] = Arc::new(spans);
        }
        Ok(changed)
    }

    fn place(&mut self, track: &TrackToken) -> usize {
        if let Some(place) = self.places.get(track) {
            return *place as usize;
        }
        let place = self.tracks.len();
        Arc::make_mut(&mut self.places).insert(track.clone(), place as u32);
        self.tracks.push(Arc::default());
        place
    }
}

/// Ascending, without empty ranges, and runs closer than the tolerance made one.
pub fn merged(mut ranges: Vec<UtcRange>) -> Vec<UtcRange> {
    ranges.retain(|r| !r.is_empty());
    ranges.sort_unstable_by_key(|r| (r.start(), r.end()));
    ranges.dedup_by(|next, kept| {
        let one = kept.touches(next, SPAN_TOLERANCE_US);
        if one {
            *kept = kept.hull(next);
        }
        one
    });
    ranges
}

/// Removes `cut` (a run of touching segments, so inside one span) where `near` holds the segments
/// that remain within the tolerance of it.
///
/// What starts before the cut still forms one run from the start of its span up to the latest end
/// among it: removing what starts later cannot break that chain, and the chain reached the cut, so
/// its last link is in `near`. The same holds mirrored for what ends after the cut.
fn cut_out(spans: &mut Vec<UtcRange>, cut: UtcRange, near: Vec<UtcRange>) {
    let first = spans.partition_point(|s| s.end() < cut.start());
    let last = spans.partition_point(|s| s.start() <= cut.end()).max(first);
    let left_end = near.iter().filter(|s| s.start() < cut.start()).map(|s| s.end()).max();
    let right_start = near.iter().filter(|s| s.end() > cut.end()).map(|s| s.start()).min();
    let mut pieces = near;
    for span in &spans[first..last] {
        if span.start() < cut.start() {
            pieces.push(UtcRange::clamped(span.start(), left_end.unwrap_or(cut.start())));
        }
        if span.end() > cut.end() {
            pieces.push(UtcRange::clamped(right_start.unwrap_or(cut.end()), span.end()));
        }
    }
    spans.drain(first..last);
    insert(spans, pieces);
}

/// Above this many, one pass over all spans is cheaper than a splice for each.
const SPLICE_MAX: usize = 8;

fn insert(spans: &mut Vec<UtcRange>, added: Vec<UtcRange>) {
    let added = merged(added);
    if added.len() > SPLICE_MAX {
        let mut all = std::mem::take(spans);
        all.extend(added);
        *spans = merged(all);
        return;
    }
    for new in added {
        let before = |t: Utc| t.plus_us(SPAN_TOLERANCE_US);
        let first = spans.partition_point(|s| before(s.end()) < new.start());
        let last = spans.partition_point(|s| s.start() <= before(new.end())).max(first);
        let one = spans[first..last].iter().fold(new, |a, b| a.hull(b));
        spans.splice(first..last, [one]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn r(a: i64, b: i64) -> UtcRange {
        UtcRange::new(Utc::from_secs(a), Utc::from_secs(b)).unwrap()
    }

    fn edit(map: &mut SpanMap, live: &[UtcRange], removed: &[UtcRange], added: &[UtcRange]) {
        let edit = TrackEdit { removed: removed.to_vec(), added: added.to_vec() };
        let near = |w: UtcRange| {
            Ok::<_, ()>(live.iter().copied().filter(|s| s.touches(&w, 0)).collect::<Vec<_>>())
        };
        map.edit(&"t".into(), &edit, near).unwrap();
    }

    #[test]
    fn touching_segments_are_one_span() {
        let mut map = SpanMap::default();
        edit(&mut map, &[], &[], &[r(0, 10), r(12, 20), r(23, 30)]);
        assert_eq!(map.of(&"t".into()), [r(0, 20), r(23, 30)]);
        edit(&mut map, &[], &[], &[r(20, 23)]);
        assert_eq!(map.of(&"t".into()), [r(0, 30)]);
        assert_eq!(map.hull(&"t".into()), Some(r(0, 30)));
        assert_eq!(map.of(&"other".into()), []);
    }

    #[test]
    fn what_is_taken_away_splits_a_span() {
        let mut map = SpanMap::default();
        let all = [r(0, 10), r(10, 20), r(20, 30), r(30, 40), r(12, 14)];
        edit(&mut map, &[], &[], &all);
        edit(&mut map, &[all[0], all[2], all[3], all[4]], &[all[1]], &[]);
        assert_eq!(map.of(&"t".into()), [r(0, 14), r(20, 40)]);
        // Two cuts in one batch, one of them replaced by something shorter.
        edit(&mut map, &[r(0, 5), all[2]], &[all[0], all[3], all[4]], &[r(0, 5)]);
        assert_eq!(map.of(&"t".into()), [r(0, 5), r(20, 30)]);
        edit(&mut map, &[], &[r(0, 5), all[2]], &[]);
        assert!(map.is_empty());
    }

    #[test]
    fn pages_run_both_ways() {
        let mut map = SpanMap::default();
        let spans: Vec<_> = (0..10).map(|i| r(i * 100, i * 100 + 50)).collect();
        map.load(&"t".into(), spans.clone());
        for direction in [Direction::Forward, Direction::Reverse] {
            let mut query = SpanQuery {
                track: "t".into(),
                range: r(149, 801),
                direction,
                limit: 3,
                after: None,
            };
            let mut seen = Vec::new();
            loop {
                let page = map.page(&query);
                seen.extend(page.items.iter().map(|s| s.range));
                query.after = page.next;
                if page.next.is_none() {
                    break;
                }
            }
            let mut expected = spans[1..=8].to_vec();
            if direction == Direction::Reverse {
                expected.reverse();
            }
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn a_clone_does_not_change() {
        let mut map = SpanMap::default();
        map.load(&"t".into(), vec![r(0, 10)]);
        let held = map.clone();
        edit(&mut map, &[], &[r(0, 10)], &[]);
        assert_eq!(held.of(&"t".into()), [r(0, 10)]);
        assert_eq!(map.of(&"t".into()), []);
    }
}
