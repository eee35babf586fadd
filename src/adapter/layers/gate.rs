//! Refuses what the recorder does not declare, before a packet is sent, and keeps windows inside
//! what it can answer.

use dvrgate_model::{Civil, ClockReading, Error, ErrorKind, Identity, Result, SourceRange};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};

use crate::{
    Adapter, Capabilities, ControlRequest, ControlState, Cx, EventQuery, Footage, FootageRequest,
    ListSupport, OldestQuery, OldestSupport, Page, SegmentQuery, SourceEvent, SourceSegment,
};

/// See the module documentation.
#[derive(Debug)]
pub struct Gate<A> {
    inner: A,
}

impl<A: Adapter> Gate<A> {
    /// Around an adapter.
    pub fn new(inner: A) -> Self {
        Self { inner }
    }

    fn footage(&self, mut request: FootageRequest) -> Result<FootageRequest> {
        let support = self.inner.capabilities().footage;
        if !support.by_time && !support.by_segment {
            return Err(unsupported("footage"));
        }
        if !support.by_time && request.locator.is_none() {
            let message = "this recorder gives footage only by segment and none was named";
            return Err(Error::invalid(message));
        }
        if request.resume > 0 && !support.resume {
            return Err(unsupported("going on at a byte"));
        }
        if let Some(segment) = request.segment.filter(|_| request.locator.is_some()) {
            let (start, end) = (request.window.start, request.window.end);
            request.window = SourceRange::new(start.max(segment.start), end.min(segment.end));
        }
        if request.window.is_empty() {
            return Err(Error::invalid("an empty stretch of footage was asked for"));
        }
        Ok(request)
    }
}

/// What can be said about a listing without asking: `None` where it must be asked.
fn answered<T>(support: &ListSupport, what: &str, window: &SourceRange) -> Option<Result<Page<T>>> {
    if !support.offered {
        return Some(Err(unsupported(what)));
    }
    let page = |capped| Page { items: Vec::new(), next: None, capped };
    if window.is_empty() {
        return Some(Ok(page(false)));
    }
    // More than one query can answer: the caller halves the window, as for any other cap.
    let widest_us =
        support.max_window.map_or(i64::MAX, |d| d.as_micros().try_into().unwrap_or(i64::MAX));
    (window.duration_us() > widest_us).then(|| Ok(page(true)))
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("this recorder does not offer {what}"))
}

fn failed<'a, T: Send + 'a>(error: Error) -> BoxFuture<'a, Result<T>> {
    Box::pin(std::future::ready(Err(error)))
}

impl<A: Adapter> Adapter for Gate<A> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn identify<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<Identity>> {
        self.inner.identify(cx)
    }

    fn clock<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<ClockReading>> {
        match self.inner.capabilities().clock.read {
            true => self.inner.clock(cx),
            false => failed(unsupported("its clock")),
        }
    }

    fn list_segments<'a>(
        &'a self,
        cx: &'a Cx,
        query: SegmentQuery,
    ) -> BoxFuture<'a, Result<Page<SourceSegment>>> {
        let support = self.inner.capabilities().segments;
        match answered(&support, "a list of its footage", &query.window) {
            Some(answer) => Box::pin(std::future::ready(answer)),
            None => self.inner.list_segments(cx, query),
        }
    }

    fn oldest<'a>(
        &'a self,
        cx: &'a Cx,
        query: OldestQuery,
    ) -> BoxFuture<'a, Result<Option<Civil>>> {
        let support = self.inner.capabilities().segments;
        match support.oldest {
            OldestSupport::No => failed(unsupported("the beginning of its footage")),
            _ if !support.offered => failed(unsupported("a list of its footage")),
            _ if query.window.is_empty() => Box::pin(std::future::ready(Ok(None))),
            _ => self.inner.oldest(cx, query),
        }
    }

    fn list_events<'a>(
        &'a self,
        cx: &'a Cx,
        query: EventQuery,
    ) -> BoxFuture<'a, Result<Page<SourceEvent>>> {
        let support = self.inner.capabilities().events;
        match answered(&support, "a list of its events", &query.window) {
            Some(answer) => Box::pin(std::future::ready(answer)),
            None => self.inner.list_events(cx, query),
        }
    }

    fn open<'a>(&'a self, cx: &'a Cx, request: FootageRequest) -> BoxFuture<'a, Result<Footage>> {
        match self.footage(request) {
            Ok(request) => self.inner.open(cx, request),
            Err(e) => failed(e),
        }
    }

    fn control<'a>(
        &'a self,
        cx: &'a Cx,
        request: ControlRequest,
    ) -> BoxFuture<'a, Result<ControlState>> {
        match self.inner.capabilities().control.start_stop {
            true => self.inner.control(cx, request),
            false => failed(unsupported("starting and stopping of recording")),
        }
    }

    fn watch<'a>(&'a self, cx: &'a Cx) -> BoxStream<'a, Result<SourceEvent>> {
        match self.inner.capabilities().watch {
            true => self.inner.watch(cx),
            false => stream::iter([Err(unsupported("events while they happen"))]).boxed(),
        }
    }
}
