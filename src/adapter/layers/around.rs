//! A layer that treats calls alike: it is told which call it is and gets it as a closure.

use std::fmt::Debug;
use std::sync::Arc;

use dvrgate_model::{Civil, ClockReading, Identity, Result};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::{
    Adapter, Capabilities, ControlRequest, ControlState, Cx, EventQuery, Footage, FootageRequest,
    OldestQuery, Page, SegmentQuery, SourceEvent, SourceSegment,
};

/// The calls of an adapter.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Op {
    /// [`Adapter::identify`].
    Identify,
    /// [`Adapter::clock`].
    Clock,
    /// [`Adapter::list_segments`].
    ListSegments,
    /// [`Adapter::oldest`].
    Oldest,
    /// [`Adapter::list_events`].
    ListEvents,
    /// [`Adapter::open`].
    Open,
    /// [`Adapter::control`].
    Control,
}

impl Op {
    /// The name of the method.
    pub fn name(self) -> &'static str {
        match self {
            Op::Identify => "identify",
            Op::Clock => "clock",
            Op::ListSegments => "list_segments",
            Op::Oldest => "oldest",
            Op::ListEvents => "list_events",
            Op::Open => "open",
            Op::Control => "control",
        }
    }
}

/// The call that a layer stands around; it may be made more than once.
pub type Call<'a, T> = Box<dyn Fn(Cx) -> BoxFuture<'a, Result<T>> + Send + Sync + 'a>;

/// What a layer does with calls.
pub trait Around: Debug + Send + Sync {
    /// Around every call.
    fn around<'a, T: Send + 'a>(
        &'a self,
        cx: &'a Cx,
        op: Op,
        call: Call<'a, T>,
    ) -> BoxFuture<'a, Result<T>>;

    /// Around [`Adapter::open`], for layers that care about what happens to the footage.
    fn open<'a>(&'a self, cx: &'a Cx, call: Call<'a, Footage>) -> BoxFuture<'a, Result<Footage>> {
        self.around(cx, Op::Open, call)
    }

    /// Sees what [`Adapter::watch`] yields.
    fn watched(&self, _item: &Result<SourceEvent>) {}
}

/// An adapter with a layer around it.
#[derive(Debug)]
pub struct Layered<L, A> {
    layer: L,
    inner: A,
}

impl<L: Around, A: Adapter> Layered<L, A> {
    /// Puts the layer around the adapter.
    pub fn new(layer: L, inner: A) -> Self {
        Self { layer, inner }
    }
}

impl<L: Around, A: Adapter> Adapter for Layered<L, A> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn identify<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<Identity>> {
        let call: Call<'a, _> =
            Box::new(move |cx| Box::pin(async move { self.inner.identify(&cx).await }));
        self.layer.around(cx, Op::Identify, call)
    }

    fn clock<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<ClockReading>> {
        let call: Call<'a, _> =
            Box::new(move |cx| Box::pin(async move { self.inner.clock(&cx).await }));
        self.layer.around(cx, Op::Clock, call)
    }

    fn list_segments<'a>(
        &'a self,
        cx: &'a Cx,
        query: SegmentQuery,
    ) -> BoxFuture<'a, Result<Page<SourceSegment>>> {
        let call: Call<'a, _> = Box::new(move |cx| {
            let query = query.clone();
            Box::pin(async move { self.inner.list_segments(&cx, query).await })
        });
        self.layer.around(cx, Op::ListSegments, call)
    }

    fn oldest<'a>(
        &'a self,
        cx: &'a Cx,
        query: OldestQuery,
    ) -> BoxFuture<'a, Result<Option<Civil>>> {
        let call: Call<'a, _> =
            Box::new(move |cx| Box::pin(async move { self.inner.oldest(&cx, query).await }));
        self.layer.around(cx, Op::Oldest, call)
    }

    fn list_events<'a>(
        &'a self,
        cx: &'a Cx,
        query: EventQuery,
    ) -> BoxFuture<'a, Result<Page<SourceEvent>>> {
        let call: Call<'a, _> = Box::new(move |cx| {
            let query = query.clone();
            Box::pin(async move { self.inner.list_events(&cx, query).await })
        });
        self.layer.around(cx, Op::ListEvents, call)
    }

    fn open<'a>(&'a self, cx: &'a Cx, request: FootageRequest) -> BoxFuture<'a, Result<Footage>> {
        let call: Call<'a, _> = Box::new(move |cx| {
            let request = request.clone();
            Box::pin(async move { self.inner.open(&cx, request).await })
        });
        self.layer.open(cx, call)
    }

    fn control<'a>(
        &'a self,
        cx: &'a Cx,
        request: ControlRequest,
    ) -> BoxFuture<'a, Result<ControlState>> {
        let call: Call<'a, _> = Box::new(move |cx| {
            let request = request.clone();
            Box::pin(async move { self.inner.control(&cx, request).await })
        });
        self.layer.around(cx, Op::Control, call)
    }

    fn watch<'a>(&'a self, cx: &'a Cx) -> BoxStream<'a, Result<SourceEvent>> {
        self.inner.watch(cx).inspect(|item| self.layer.watched(item)).boxed()
    }
}

impl<A: Adapter + ?Sized> Adapter for Arc<A> {
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    fn identify<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<Identity>> {
        (**self).identify(cx)
    }

    fn clock<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<ClockReading>> {
        (**self).clock(cx)
    }

    fn list_segments<'a>(
        &'a self,
        cx: &'a Cx,
        query: SegmentQuery,
    ) -> BoxFuture<'a, Result<Page<SourceSegment>>> {
        (**self).list_segments(cx, query)
    }

    fn oldest<'a>(
        &'a self,
        cx: &'a Cx,
        query: OldestQuery,
    ) -> BoxFuture<'a, Result<Option<Civil>>> {
        (**self).oldest(cx, query)
    }

    fn list_events<'a>(
        &'a self,
        cx: &'a Cx,
        query: EventQuery,
    ) -> BoxFuture<'a, Result<Page<SourceEvent>>> {
        (**self).list_events(cx, query)
    }

    fn open<'a>(&'a self, cx: &'a Cx, request: FootageRequest) -> BoxFuture<'a, Result<Footage>> {
        (**self).open(cx, request)
    }

    fn control<'a>(
        &'a self,
        cx: &'a Cx,
        request: ControlRequest,
    ) -> BoxFuture<'a, Result<ControlState>> {
        (**self).control(cx, request)
    }

    fn watch<'a>(&'a self, cx: &'a Cx) -> BoxStream<'a, Result<SourceEvent>> {
        (**self).watch(cx)
    }
}
