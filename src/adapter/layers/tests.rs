//! Tests of the layers around an adapter that counts what arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dvrgate_model::{
    ChannelId, Civil, ClockReading, DeviceState, Error, ErrorKind, Identity, Locator, Result,
    Retry, SourceRange, StreamKind,
};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};

use super::*;
use crate::transport::tokio::SystemClock;
use crate::transport::transcript::Transcript;
use crate::{
    Capabilities, ControlRequest, ControlState, Cx, Device, DeviceOptions, DeviceSettings,
    EventQuery, Footage, FootageBody, FootageRequest, FormatHint, Mapping, OldestQuery,
    OldestSupport, Page, PageCursor, Priority, SegmentQuery, SourceEvent, SourceSegment,
};

/// Answers everything and counts it. Footage never ends by itself.
#[derive(Debug, Default)]
struct Counting {
    capabilities: Capabilities,
    calls: AtomicUsize,
}

impl Counting {
    fn count(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
    }
}

impl Adapter for Counting {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn identify<'a>(&'a self, _cx: &'a Cx) -> BoxFuture<'a, Result<Identity>> {
        self.count();
        Box::pin(async { Ok(Identity::default()) })
    }

    fn clock<'a>(&'a self, _cx: &'a Cx) -> BoxFuture<'a, Result<ClockReading>> {
        self.count();
        Box::pin(async { Err(Error::not_found("no clock in this test")) })
    }

    fn oldest<'a>(
        &'a self,
        _cx: &'a Cx,
        _query: OldestQuery,
    ) -> BoxFuture<'a, Result<Option<Civil>>> {
        self.count();
        Box::pin(async { Ok(Some(window(5, 6).start)) })
    }

    fn list_segments<'a>(
        &'a self,
        _cx: &'a Cx,
        query: SegmentQuery,
    ) -> BoxFuture<'a, Result<Page<SourceSegment>>> {
        self.count();
        Box::pin(async { Ok(Page { items: vec![], next: query.cursor, capped: false }) })
    }

    fn list_events<'a>(
        &'a self,
        _cx: &'a Cx,
        _query: EventQuery,
    ) -> BoxFuture<'a, Result<Page<SourceEvent>>> {
        self.count();
        Box::pin(async { Ok(Page { items: vec![], next: None, capped: false }) })
    }

    fn open<'a>(&'a self, _cx: &'a Cx, request: FootageRequest) -> BoxFuture<'a, Result<Footage>> {
        self.count();
        let first = Bytes::from(request.window.start.to_string());
        let bytes = stream::iter([Ok(first)]).chain(stream::pending()).boxed();
        let body = FootageBody::Bytes(bytes, FormatHint::MpegPs);
        Box::pin(async { Ok(Footage { body, what: String::new(), start: None }) })
    }

    fn control<'a>(
        &'a self,
        _cx: &'a Cx,
        _request: ControlRequest,
    ) -> BoxFuture<'a, Result<ControlState>> {
        self.count();
        Box::pin(async { Ok(ControlState { recording: true }) })
    }

    fn watch<'a>(&'a self, _cx: &'a Cx) -> BoxStream<'a, Result<SourceEvent>> {
        self.count();
        stream::empty().boxed()
    }
}

fn capable(sessions: usize) -> Capabilities {
    let mut c = Capabilities::default();
    c.clock.read = true;
    c.segments.offered = true;
    c.segments.max_window = Some(Duration::from_secs(3600));
    c.footage.by_time = true;
    c.footage.max_sessions = sessions;
    c
}

fn device(capabilities: Capabilities, faults: &Faults) -> (Device, Arc<Counting>) {
    let adapter = Arc::new(Counting { capabilities, ..Counting::default() });
    let settings = DeviceSettings {
        id: "yard".into(),
        url: "http://192.0.2.1".parse().unwrap(),
        rtsp: None,
        username: "viewer".into(),
        password: "secret".into(),
        zone: None,
    };
    let layers = Options { faults: Some(faults.clone()), ..Options::default() };
    let device = Device::assemble(
        settings,
        "acme".into(),
        Arc::clone(&adapter) as Arc<dyn Adapter>,
        Arc::new(Transcript::new([])),
        Arc::new(Mapping::default()),
        Arc::new(SystemClock),
        &DeviceOptions { layers, ..DeviceOptions::default() },
    );
    (device, adapter)
}

fn window(from_s: i64, to_s: i64) -> SourceRange {
    let at = |s| Civil::from_micros_as_if_utc(s * 1_000_000);
    SourceRange::new(at(from_s), at(to_s))
}

fn segments(from_s: i64, to_s: i64) -> SegmentQuery {
    let window = window(from_s, to_s);
    SegmentQuery { channel: ChannelId(1), stream: StreamKind::Main, window, cursor: None }
}

fn oldest(from_s: i64, to_s: i64) -> OldestQuery {
    let window = window(from_s, to_s);
    OldestQuery { channel: ChannelId(1), stream: StreamKind::Main, window }
}

fn footage(from_s: i64, to_s: i64) -> FootageRequest {
    FootageRequest {
        channel: ChannelId(1),
        stream: StreamKind::Main,
        window: window(from_s, to_s),
        locator: None,
        segment: None,
        resume: 0,
    }
}

fn bytes(footage: Footage) -> crate::ByteStream {
    match footage.body {
        FootageBody::Bytes(bytes, _) => bytes,
        FootageBody::Units(_) => panic!("units"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_gate_answers_what_is_not_declared() {
    let (device, adapter) = device(Capabilities::default(), &Faults::default());
    let (cx, a) = (device.cx(Priority::Replay), &device.adapter);
    let control = ControlRequest { channel: ChannelId(1), record: true };
    let events = EventQuery { window: window(0, 10), cursor: None };
    let kinds = [
        a.clock(&cx).await.err().map(|e| e.kind()),
        a.list_segments(&cx, segments(0, 10)).await.err().map(|e| e.kind()),
        a.oldest(&cx, oldest(0, 10)).await.err().map(|e| e.kind()),
        a.list_events(&cx, events).await.err().map(|e| e.kind()),
        a.open(&cx, footage(0, 10)).await.err().map(|e| e.kind()),
        a.control(&cx, control).await.err().map(|e| e.kind()),
        a.watch(&cx).next().await.unwrap().err().map(|e| e.kind()),
    ];
    assert_eq!(kinds, [Some(ErrorKind::Unsupported); 7]);
    assert_eq!(adapter.calls.load(Ordering::SeqCst), 0);
    // A refusal of our own says nothing about the recorder.
    assert_eq!(device.health.state(), DeviceState::Unknown);
}

#[tokio::test(start_paused = true)]
async fn the_gate_keeps_windows_inside_what_can_be_answered() {
    let (device, adapter) = device(capable(1), &Faults::default());
    let (cx, a) = (device.cx(Priority::Replay), &device.adapter);
    assert!(a.list_segments(&cx, segments(0, 3601)).await.unwrap().capped);
    assert!(!a.list_segments(&cx, segments(10, 10)).await.unwrap().capped);
    assert_eq!(adapter.calls.load(Ordering::SeqCst), 0);
    let cursor = Some(PageCursor(Bytes::from_static(b"2")));
    let page = a.list_segments(&cx, SegmentQuery { cursor: cursor.clone(), ..segments(0, 3600) });
    assert_eq!(page.await.unwrap().next, cursor);
    // A fetch by segment is cut to the segment.
    let named = FootageRequest {
        locator: Some(Locator(Bytes::from_static(b"f"))),
        segment: Some(window(100, 200)),
        ..footage(50, 150)
    };
    let first = bytes(a.open(&cx, named).await.unwrap()).next().await.unwrap().unwrap();
    assert_eq!(first, window(100, 150).start.to_string());
    let resumed = FootageRequest { resume: 1, ..footage(0, 10) };
    assert_eq!(a.open(&cx, resumed).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

/// The question passes all layers: refused, repeated and harmed as any other.
#[tokio::test(start_paused = true)]
async fn where_footage_begins_is_asked_through_all_layers() {
    let mut can = capable(1);
    can.segments.oldest = OldestSupport::Likely;
    let script = Faults::default();
    let (device, adapter) = device(can, &script);
    let (cx, a) = (device.cx(Priority::Backfill), &device.adapter);
    assert_eq!(a.oldest(&cx, oldest(10, 10)).await.unwrap(), None);
    assert_eq!(adapter.calls.load(Ordering::SeqCst), 0);
    script.push(Op::Oldest, [Fault::Error(ErrorKind::Busy)]);
    assert_eq!(a.oldest(&cx, oldest(0, 10)).await.unwrap(), Some(window(5, 6).start));
    assert_eq!((script.calls(Op::Oldest), adapter.calls.load(Ordering::SeqCst)), (2, 1));
    script.push(Op::Oldest, [Fault::Stall]);
    let late = a.oldest(&cx, oldest(0, 10)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn retries_are_bounded_and_only_where_they_help() {
    use ErrorKind::*;
    for (faults, calls, end) in [
        (vec![Busy], 2, None),
        (vec![Unreachable, Timeout], 3, None),
        (vec![Busy; 5], 3, Some((Busy, Retry::Exhausted))),
        (vec![Unauthenticated], 1, Some((Unauthenticated, Retry::Never))),
        (vec![PermissionDenied], 1, Some((PermissionDenied, Retry::Never))),
        (vec![Malformed], 1, Some((Malformed, Retry::Never))),
    ] {
        let script = Faults::default();
        script.push(Op::Identify, faults.iter().map(|k| Fault::Error(*k)));
        let (device, _) = device(capable(1), &script);
        let cx = device.cx(Priority::Replay);
        let result = device.adapter.identify(&cx).await;
        assert_eq!(result.err().map(|e| (e.kind(), e.retry())), end, "{faults:?}");
        assert_eq!(script.calls(Op::Identify), calls, "{faults:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_call_that_stalls_and_forbids_late_retries() {
    let script = Faults::default();
    script.push(Op::Identify, [Fault::Stall]);
    let (device, _) = device(capable(1), &script);
    let cx = device.cx(Priority::Replay);
    let started = tokio::time::Instant::now();
    let e = device.adapter.identify(&cx).await.unwrap_err();
    assert_eq!((e.kind(), e.op()), (ErrorKind::Timeout, "identify"));
    assert!(started.elapsed() <= Deadlines::default().identify + Duration::from_millis(2));
    script.push(Op::Identify, [Fault::Error(ErrorKind::Busy)]);
    let near = started.into_std() + started.elapsed() + Duration::from_secs(1);
    let cx = Cx { deadline: Some(near), ..cx };
    let e = device.adapter.identify(&cx).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Busy);
    assert_eq!(script.calls(Op::Identify), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_log_in_stops_everything_until_the_settings_change() {
    let script = Faults::default();
    script.push(Op::Identify, [Fault::Error(ErrorKind::Unauthenticated)]);
    let (device, adapter) = device(capable(1), &script);
    let cx = device.cx(Priority::Replay);
    for _ in 0..3 {
        let e = device.adapter.identify(&cx).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unauthenticated);
    }
    assert_eq!(script.calls(Op::Identify), 1);
    assert_eq!(device.health.state(), DeviceState::LockedOut);
    device.reset();
    assert!(device.adapter.identify(&cx).await.is_ok());
    assert_eq!(adapter.calls.load(Ordering::SeqCst), 1);
    assert_eq!(device.health.state(), DeviceState::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_held_until_its_footage_is_dropped() {
    let (device, _) = device(capable(2), &Faults::default());
    let cx = device.cx(Priority::Export);
    let open = || device.adapter.open(&cx, footage(0, 10));
    let (one, _two) = (open().await.unwrap(), open().await.unwrap());
    assert_eq!(device.sessions.in_use(), 2);
    // The third waits, and is told that the recorder is busy when it waited long enough.
    let e = open().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Busy);
    assert_eq!(device.health.trouble(), None, "it is we who use its sessions");
    let mut third = open();
    assert!(futures::poll!(&mut third).is_pending());
    // The recorder takes a moment to notice that nobody reads.
    let dropped = tokio::time::Instant::now();
    drop(one);
    assert!(third.await.is_ok());
    assert!(dropped.elapsed() >= Duration::from_millis(500), "{:?}", dropped.elapsed());
}

#[tokio::test(start_paused = true)]
async fn footage_that_breaks_off_frees_its_session() {
    let script = Faults::default();
    script.push(Op::Open, [Fault::Cut(1), Fault::LostAnswer(ErrorKind::Malformed)]);
    let (device, _) = device(capable(1), &script);
    let cx = device.cx(Priority::Export);
    let mut items = bytes(device.adapter.open(&cx, footage(0, 10)).await.unwrap());
    assert!(items.next().await.unwrap().is_ok());
    assert_eq!(items.next().await.unwrap().unwrap_err().kind(), ErrorKind::Unreachable);
    assert!(items.next().await.is_none());
    assert_eq!(device.sessions.in_use(), 0);
    let e = device.adapter.open(&cx, footage(0, 10)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Malformed);
    assert_eq!(device.sessions.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn replay_makes_one_backfill_give_way() {
    let (device, _) = device(capable(2), &Faults::default());
    let open = async |priority| {
        let cx = device.cx(priority);
        device.adapter.open(&cx, footage(0, 10)).await
    };
    let mut first = bytes(open(Priority::Backfill).await.unwrap());
    let mut second = bytes(open(Priority::Backfill).await.unwrap());
    first.next().await.unwrap().unwrap();
    second.next().await.unwrap().unwrap();
    let replay = open(Priority::Replay);
    let (replay, gone) = futures::join!(replay, first.next());
    assert!(replay.is_ok());
    assert_eq!(gone.unwrap().unwrap_err().kind(), ErrorKind::Busy);
    assert!(first.next().await.is_none());
    assert!(second.next().now_or_never().is_none(), "only one gives way");
    // Export does not push anybody out.
    let export = open(Priority::Export);
    let mut export = std::pin::pin!(export);
    assert!(futures::poll!(&mut export).is_pending());
    assert!(second.next().now_or_never().is_none());
}

#[tokio::test]
async fn sessions_go_by_priority_then_by_arrival_but_nobody_starves() {
    let budget = SessionBudget::new(1);
    let held = budget.acquire(Priority::Export).await.unwrap();
    let served = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    let mut queue = vec![("backfill", Priority::Backfill), ("export", Priority::Export)];
    queue.extend((0..12).map(|_| ("replay", Priority::Replay)));
    for (name, priority) in queue {
        let (budget, served) = (budget.clone(), Arc::clone(&served));
        let mut call = Box::pin(async move {
            let permit = budget.acquire(priority).await.unwrap();
            served.lock().push(name);
            drop(permit);
        });
        assert!(futures::poll!(&mut call).is_pending());
        waiting.push(call);
    }
    drop(held);
    futures::future::join_all(waiting).await;
    let served = served.lock();
    assert_eq!(served.len(), 14);
    let backfill = served.iter().position(|n| *n == "backfill").unwrap();
    let export = served.iter().position(|n| *n == "export").unwrap();
    assert_eq!(served[0], "replay");
    assert!(backfill <= 9 && export <= 10, "{served:?}");
    assert_eq!(budget.in_use(), 0);
}

#[tokio::test]
async fn leaving_the_queue_loses_no_session() {
    let budget = SessionBudget::new(1);
    for granted_first in [false, true] {
        let held = budget.acquire(Priority::Replay).await.unwrap();
        let mut leaver = Box::pin(budget.acquire(Priority::Replay));
        assert!(futures::poll!(&mut leaver).is_pending());
        let mut next = Box::pin(budget.acquire(Priority::Backfill));
        assert!(futures::poll!(&mut next).is_pending());
        if granted_first {
            drop(held);
            drop(leaver);
        } else {
            drop(leaver);
            drop(held);
        }
        drop(next.now_or_never().expect("served at once").unwrap());
        assert_eq!((budget.in_use(), budget.waiting()), (0, 0));
    }
}
