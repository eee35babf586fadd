//! Where the walker gets its footage from.

use std::fmt::Debug;
use std::sync::Arc;

use dvrgate_model::{Direction, Result, TrackToken, Utc, UtcRange};
use futures::future::BoxFuture;

use super::documents::{EventPage, EventWant};
use crate::Gop;

/// What the walker asks of the rest of the crate; tests answer from a list.
pub(crate) trait Supply: Debug + Send {
    /// Forward: the first span of the track that ends after `at`. Reverse: the last one that starts
    /// before `at`.
    fn span(&self, track: &TrackToken, at: Utc, direction: Direction) -> Result<Option<UtcRange>>;

    /// The next GOP, fetched if it is not stored.
    fn gop<'a>(&'a mut self, want: &'a Want) -> BoxFuture<'a, Result<Found>>;

    /// Events of the recording: what documents of its metadata track are made of. Work begins when
    /// it is polled first, and goes on elsewhere.
    fn events(&self, want: EventWant) -> BoxFuture<'static, Result<EventPage>>;

    /// Whether more of the track is being recorded now.
    fn growing<'a>(&'a mut self, track: &'a TrackToken) -> BoxFuture<'a, Result<bool>>;

    /// Whether the index changed since the last wait.
    fn has_news(&self) -> bool;

    /// Waits until the index changes; `false` if it never will.
    fn changed(&mut self) -> BoxFuture<'_, bool>;
}

/// Which GOP is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    pub(crate) track: TrackToken,
    pub(crate) direction: Direction,
    /// Forward: the first GOP that ends after it. Reverse: the last one that starts before it.
    pub(crate) from: Utc,
    /// Forward: and starts after it, being the start of the GOP before.
    pub(crate) beyond: Option<Utc>,
    /// And belongs to this stretch of recorded time: starts before its end, ends after its start.
    pub(crate) within: UtcRange,
    /// A stored GOP this far from `from` is taken as the next one; if it is further, what is
    /// between is fetched first.
    pub(crate) slack_us: i64,
}

/// What was found.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// It.
    Gop(Arc<Gop>),
    /// Nothing on the way to that instant, which is beyond [`Want::from`] in its direction.
    Nothing(Utc),
}
