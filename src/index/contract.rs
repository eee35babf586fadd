//! The contract suite: what every [`Index`] and [`ControlStore`] must do.
//!
//! Random histories of batches go to the index under test and to a model that is too simple to be
//! wrong; after each batch both must give the same answers, page by page, in both directions. A
//! failure names the seed and the step, so it can be had again.

mod history;
mod naive;

use std::sync::Arc;

use futures::executor::block_on;

use dvrgate_model::ports::{ControlStore, Versioned};
use dvrgate_model::{Direction, ErrorKind, Result, SegmentState, UtcRange};

use crate::{
    Applied, Batch, Change, EventSelect, Index, Scope, SegmentSelect, Snapshot, SpanQuery,
    StateQuery,
};
use history::Rng;
use naive::Naive;

/// Runs a history of `steps` random batches for each seed, each on a fresh index from `make`.
///
/// # Panics
///
/// Where the index differs from the model.
pub fn histories(
    make: &mut dyn FnMut() -> Arc<dyn Index>,
    seeds: std::ops::Range<u64>,
    steps: u64,
) {
    for seed in seeds {
        let index = make();
        let mut history = History::new(seed);
        for _ in 0..steps {
            history.step(&*index);
        }
    }
}

/// A history that can be interrupted: an index that was closed and opened again, or recovered,
/// must continue where it was.
#[derive(Debug)]
pub struct History {
    rng: Rng,
    model: Naive,
    seed: u64,
    step: u64,
}

/// Most changes in a random batch, and in one that changes nearly everything at once.
const BATCH_MAX: u64 = 40;
const LARGE_BATCH_MAX: u64 = 400;

impl History {
    /// The history of that seed, before its first batch.
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), model: Naive::default(), seed, step: 0 }
    }

    /// Applies the next batch and compares everything.
    ///
    /// # Panics
    ///
    /// Where the index differs from the model.
    pub fn step(&mut self, index: &dyn Index) {
        self.step += 1;
        let at = self.at();
        let most = if self.rng.one_in(6) { LARGE_BATCH_MAX } else { BATCH_MAX };
        let batch = history::batch(&mut self.rng, self.step, most);
        let held = index.snapshot();
        let spans_before = self.all_spans(&*held);
        let applied = ok(block_on(index.apply(batch.clone())), &at);
        assert_eq!(applied, self.model.apply(batch.clone()), "what was done, {at}");
        if self.rng.one_in(3) {
            let again = ok(block_on(index.apply(batch)), &at);
            assert_eq!(again, Applied::default(), "applied again, {at}");
        }
        assert_eq!(self.all_spans(&*held), spans_before, "a held snapshot changed, {at}");
        self.compare(&*index.snapshot());
    }

    /// Compares everything without applying anything.
    ///
    /// # Panics
    ///
    /// Where the index differs from the model.
    pub fn compare(&mut self, snapshot: &dyn Snapshot) {
        self.compare_memory(snapshot);
        for direction in [Direction::Forward, Direction::Reverse] {
            self.compare_spans(snapshot, direction);
            self.compare_segments(snapshot, direction);
            self.compare_events(snapshot, direction);
        }
        self.compare_instants(snapshot);
    }

    fn at(&self) -> String {
        format!("seed {} step {}", self.seed, self.step)
    }

    fn all_spans(&self, snapshot: &dyn Snapshot) -> Vec<Vec<UtcRange>> {
        let spans = |track: &dvrgate_model::TrackToken| {
            let query = SpanQuery {
                track: track.clone(),
                range: UtcRange::ALL,
                direction: Direction::Forward,
                limit: usize::MAX,
                after: None,
            };
            let page = ok(snapshot.spans(&query), &self.at());
            page.items.into_iter().map(|s| s.range).collect()
        };
        history::tracks().iter().map(spans).collect()
    }

    fn compare_memory(&mut self, snapshot: &dyn Snapshot) {
        let at = self.at();
        let expected = self.model.recordings();
        let all = ok(snapshot.recordings(&Scope::all()), &at);
        assert_eq!(all.iter().map(|r| (**r).clone()).collect::<Vec<_>>(), expected, "{at}");
        let scope = self.scope();
        let some = ok(snapshot.recordings(&scope), &at);
        let some_expected: Vec<_> = expected.iter().filter(|r| scope.contains(&r.token)).collect();
        assert_eq!(some.iter().map(|r| &**r).collect::<Vec<_>>(), some_expected, "{at}");
        for token in history::recordings() {
            let one = ok(snapshot.recording(&token), &at);
            assert_eq!(one.as_deref(), expected.iter().find(|r| r.token == token), "{at}");
        }
        let summary = ok(snapshot.summary(), &at);
        assert_eq!(summary.recordings, expected.len() as u64, "{at}");
        let data = expected.iter().filter_map(|r| r.data()).reduce(|a, b| a.hull(&b));
        assert_eq!(summary.data, data, "{at}");

        for id in history::devices() {
            assert_eq!(ok(snapshot.device(&id), &at).as_ref(), self.model.devices.get(&id), "{at}");
            assert_eq!(ok(snapshot.clock(&id), &at).epochs(), self.model.epochs(&id), "{at}");
            for purpose in ["segments:0", "segments:1", "none"] {
                let mark = ok(snapshot.watermark(&id, purpose), &at);
                let expected = self.model.watermarks.get(&(id.clone(), purpose.to_owned()));
                assert_eq!(mark.as_ref(), expected, "{at}");
            }
        }
        let mut devices: Vec<_> = self.model.devices.values().cloned().collect();
        devices.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(ok(snapshot.devices(), &at), devices, "{at}");
        assert_eq!(snapshot.last_run(), self.model.run, "{at}");
    }

    fn compare_spans(&mut self, snapshot: &dyn Snapshot, direction: Direction) {
        for track in history::tracks() {
            let range = self.range();
            let limit = self.limit();
            let mut query = SpanQuery { track, range, direction, limit, after: None };
            let expected = self.model.span_page(&query);
            let got = pages(limit, |after| {
                query.after = after;
                let page = snapshot.spans(&query)?;
                Ok((page.items, page.next))
            });
            let got: Vec<UtcRange> = ok(got, &self.at()).into_iter().map(|s| s.range).collect();
            assert_eq!(got, expected, "{query:?}, {}", self.at());
        }
    }

    fn compare_segments(&mut self, snapshot: &dyn Snapshot, direction: Direction) {
        let states = [SegmentState::Growing, SegmentState::Closed, SegmentState::Gone];
        for _ in 0..4 {
            let limit = self.limit();
            let mut select = SegmentSelect {
                tracks: (!self.rng.one_in(3)).then(|| self.some(history::tracks())),
                range: self.range(),
                states: self.rng.one_in(2).then(|| self.some(states.to_vec())),
                direction,
                limit,
                after: None,
            };
            let expected = self.model.segments(&select);
            let got = pages(limit, |after| {
                select.after = after;
                let page = snapshot.segments(&select)?;
                Ok((page.items, page.next))
            });
            assert_eq!(ok(got, &self.at()), expected, "{select:?}, {}", self.at());
        }
    }

    fn compare_events(&mut self, snapshot: &dyn Snapshot, direction: Direction) {
        for _ in 0..4 {
            let limit = self.limit();
            let range = self.range();
            let mut select = EventSelect {
                scope: self.scope(),
                from: range.start(),
                to: range.end(),
                topics: self.rng.one_in(2).then(|| self.some(history::topics())),
                direction,
                limit,
                after: None,
            };
            let expected = self.model.events(&select);
            let got = pages(limit, |after| {
                select.after = after;
                let page = snapshot.events(&select)?;
                Ok((page.items, page.next))
            });
            assert_eq!(ok(got, &self.at()), expected, "{select:?}, {}", self.at());
        }
    }

    fn compare_instants(&mut self, snapshot: &dyn Snapshot) {
        for track in history::tracks() {
            let t = history::instant(&mut self.rng);
            let got = ok(snapshot.segments_around(&track, t), &self.at());
            assert_eq!(got, self.model.around(&track, t), "{track} at {t}, {}", self.at());
        }
        for _ in 0..3 {
            let query = StateQuery {
                scope: self.scope(),
                at: history::instant(&mut self.rng),
                topics: self.rng.one_in(2).then(|| self.some(history::topics())),
            };
            let got = ok(snapshot.state_at(&query), &self.at());
            assert_eq!(got, self.model.state_at(&query), "{query:?}, {}", self.at());
        }
    }

    fn scope(&mut self) -> Scope {
        match self.rng.below(3) {
            0 => Scope::all(),
            _ => Scope { recordings: Some(self.some(history::recordings())) },
        }
    }

    fn range(&mut self) -> UtcRange {
        if self.rng.one_in(3) {
            return UtcRange::ALL;
        }
        let (a, b) = (history::instant(&mut self.rng), history::instant(&mut self.rng));
        UtcRange::clamped(a.min(b), b)
    }

    fn limit(&mut self) -> usize {
        if self.rng.one_in(8) { 1 } else { *self.rng.pick(&[3, 10, 40, 1000]) }
    }

    fn some<T>(&mut self, mut of: Vec<T>) -> Vec<T> {
        of.retain(|_| self.rng.one_in(2));
        of
    }
}

/// Follows the cursors to the end. A full last page must not promise more.
fn pages<T, C>(
    limit: usize,
    mut page: impl FnMut(Option<C>) -> Result<(Vec<T>, Option<C>)>,
) -> Result<Vec<T>> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (items, next) = page(after)?;
        assert!(items.len() <= limit, "a page of {} with limit {limit}", items.len());
        assert!(next.is_none() || items.len() == limit, "a short page promises more");
        assert!(next.is_none() || !items.is_empty(), "an empty page promises more");
        all.extend(items);
        match next {
            None => return Ok(all),
            next => after = next,
        }
    }
}

/// Many writers at once: every batch is there afterwards and each was counted on its own.
///
/// # Panics
///
/// Where one is missing.
pub fn concurrent_writers(index: &Arc<dyn Index>) {
    const WRITERS: u64 = 8;
    const BATCHES: u64 = 12;
    let mut threads = Vec::new();
    for writer in 0..WRITERS {
        let index = index.clone();
        threads.push(std::thread::spawn(move || {
            let mut rng = Rng::new(1000 + writer);
            for i in 0..BATCHES {
                let mut segment = history::segment(&mut rng, i);
                segment.track = format!("writer-{writer}").as_str().into();
                segment.id = dvrgate_model::SegmentId(i);
                let changes = vec![Change::Segment(Box::new(segment))];
                let batch = Batch { run: dvrgate_model::SyncRunId(i), changes };
                let applied = ok(block_on(index.apply(batch)), "a concurrent batch");
                assert_eq!(applied.segments_new, 1);
            }
        }));
    }
    for thread in threads {
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
    let states = [SegmentState::Growing, SegmentState::Closed, SegmentState::Gone];
    let page = index.snapshot().segments(&SegmentSelect {
        tracks: None,
        range: UtcRange::ALL,
        states: Some(states.to_vec()),
        direction: Direction::Forward,
        limit: usize::MAX,
        after: None,
    });
    assert_eq!(ok(page, "all segments").items.len() as u64, WRITERS * BATCHES);
}

/// What a [`ControlStore`] must do, on an empty one.
///
/// # Panics
///
/// Where it does not.
pub fn control(store: &dyn ControlStore) {
    let at = "control store";
    let conflict = |r: Result<u64>| assert!(r.is_err_and(|e| e.kind() == ErrorKind::Conflict));
    assert_eq!(ok(block_on(store.get("job", "a")), at), None);
    assert_eq!(ok(block_on(store.list("job")), at), Vec::new());
    let first = ok(block_on(store.put("job", "b", "{\"x\":'1'}".into(), None)), at);
    conflict(block_on(store.put("job", "b", "{}".into(), None)));
    conflict(block_on(store.put("job", "b", "{}".into(), Some(first + 1))));
    conflict(block_on(store.put("job", "a", "{}".into(), Some(first))));
    let second = ok(block_on(store.put("job", "b", "2".into(), Some(first))), at);
    assert!(second > first);
    conflict(block_on(store.put("job", "b", "{}".into(), Some(first))));
    let a = ok(block_on(store.put("job", "a", "ž".into(), None)), at);
    ok(block_on(store.put("receiver", "a", "other".into(), None)), at);
    let list = vec![
        ("a".to_owned(), Versioned { version: a, value: "ž".into() }),
        ("b".to_owned(), Versioned { version: second, value: "2".into() }),
    ];
    assert_eq!(ok(block_on(store.list("job")), at), list);
    ok(block_on(store.delete("job", "b")), at);
    ok(block_on(store.delete("job", "b")), at);
    assert_eq!(ok(block_on(store.get("job", "b")), at), None);
    let again = ok(block_on(store.put("job", "b", "3".into(), None)), at);
    assert!(again > second, "a version returned");
    assert!(ok(block_on(store.get("receiver", "a")), at).is_some());
}

fn ok<T>(result: Result<T>, at: &str) -> T {
    match result {
        Ok(value) => value,
        Err(e) => panic!("{e} ({at})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryControl, MemoryIndex};

    #[test]
    fn the_memory_index_keeps_the_contract() {
        histories(&mut || Arc::new(MemoryIndex::new()), 0..60, 25);
    }

    #[test]
    fn the_memory_index_takes_many_writers() {
        let index: Arc<dyn Index> = Arc::new(MemoryIndex::new());
        concurrent_writers(&index);
    }

    #[test]
    fn the_memory_control_store_keeps_the_contract() {
        control(&MemoryControl::new());
    }
}
