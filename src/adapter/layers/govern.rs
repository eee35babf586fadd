//! Shares a recorder's playback sessions: few, slow to free, and also used by its own screen.
//!
//! Replay is served before export, export before back-fill, and each in its order; whoever was
//! passed over often enough is next all the same. A session is held until its footage ends, and a
//! little longer where it is dropped before: a recorder takes a moment to notice that nobody reads.
//! When somebody looks at a screen and back-fill holds all sessions, one back-fill is asked to
//! give way: its footage ends with [`ErrorKind::Busy`] and is fetched again later.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::tokio::sync::{Notify, oneshot};
use dvrgate_model::{Civil, ClockReading, Error, ErrorKind, Identity, Result};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use parking_lot::Mutex;

use crate::transport::tokio::{sleep, within};
use crate::{
    Adapter, Capabilities, ControlRequest, ControlState, Cx, EventQuery, Footage, FootageBody,
    FootageRequest, OldestQuery, Page, Priority, SegmentQuery, SourceEvent, SourceSegment,
};

/// The sessions of one recorder. Cheap to clone.
#[derive(Clone, Default)]
pub struct SessionBudget(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    limit: usize,
    next: u64,
    held: Vec<Holder>,
    waiting: Vec<Waiter>,
}

struct Holder {
    number: u64,
    priority: Priority,
    recall: Arc<Notify>,
    recalled: bool,
}

struct Waiter {
    number: u64,
    priority: Priority,
    /// How many who came later were served before.
    passed: u32,
    grant: oneshot::Sender<Permit>,
}

/// One session. Dropping it serves the next who waits.
pub struct Permit {
    budget: SessionBudget,
    number: u64,
    recall: Arc<Notify>,
    /// Taken back before anybody had it.
    void: bool,
}

impl SessionBudget {
    /// That many sessions; at least one.
    pub fn new(limit: usize) -> Self {
        let budget = Self::default();
        budget.set_limit(limit);
        budget
    }

    /// Changes the number; sessions in use stay.
    pub fn set_limit(&self, limit: usize) {
        let mut state = self.0.lock();
        state.limit = limit.max(1);
        self.settle(&mut state);
    }

    /// Sessions in use.
    pub fn in_use(&self) -> usize {
        self.0.lock().held.len()
    }

    /// Calls that wait for one.
    pub fn waiting(&self) -> usize {
        self.0.lock().waiting.iter().filter(|w| !w.grant.is_closed()).count()
    }

    /// Waits for a session. Dropping the future leaves the queue.
    pub async fn acquire(&self, priority: Priority) -> Result<Permit> {
        let granted = {
            let mut state = self.0.lock();
            let (grant, granted) = oneshot::channel();
            let number = state.number();
            state.waiting.push(Waiter { number, priority, passed: 0, grant });
            self.settle(&mut state);
            if priority == Priority::Replay {
                state.recall();
            }
            granted
        };
        granted.await.map_err(|_| Error::internal("the session budget is gone"))
    }

    /// Gives free sessions to those who wait.
    fn settle(&self, state: &mut State) {
        state.waiting.retain(|w| !w.grant.is_closed());
        while state.held.len() < state.limit {
            let Some(waiter) = state.pick() else { return };
            let (number, recall) = (waiter.number, Arc::new(Notify::new()));
            let permit =
                Permit { budget: self.clone(), number, recall: Arc::clone(&recall), void: false };
            match waiter.grant.send(permit) {
                Ok(()) => state.held.push(Holder {
                    number,
                    priority: waiter.priority,
                    recall,
                    recalled: false,
                }),
                // Left at this very moment. Its drop must not come back for the lock.
                Err(mut permit) => permit.void = true,
            }
        }
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Takes the next to be served out of the queue, which is in the order of arrival.
    fn pick(&mut self) -> Option<Waiter> {
        let patient = self.waiting.iter().position(|w| w.passed >= PATIENCE);
        let at = patient.or_else(|| {
            let first = |w: &Waiter| std::cmp::Reverse(w.number);
            let best = self.waiting.iter().max_by_key(|w| (w.priority, first(w)))?.number;
            self.waiting.iter().position(|w| w.number == best)
        })?;
        for earlier in &mut self.waiting[..at] {
            earlier.passed += 1;
        }
        Some(self.waiting.remove(at))
    }

    /// Asks one back-fill to give way, unless as many were asked as wait.
    fn recall(&mut self) {
        let replays = self.waiting.iter().filter(|w| w.priority == Priority::Replay).count();
        let asked = self.held.iter().filter(|h| h.recalled).count();
        if asked >= replays {
            return;
        }
        let backfill = |h: &&mut Holder| h.priority == Priority::Backfill && !h.recalled;
        if let Some(holder) = self.held.iter_mut().find(backfill) {
            holder.recalled = true;
            holder.recall.notify_one();
        }
    }
}

impl Permit {
    /// Resolves when somebody more important waits for this session.
    pub async fn recalled(&self) {
        self.recall.notified().await;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.void {
            return;
        }
        let mut state = self.budget.0.lock();
        state.held.retain(|h| h.number != self.number);
        self.budget.settle(&mut state);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({})", self.number)
    }
}

impl fmt::Debug for SessionBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("SessionBudget")
            .field("limit", &state.limit)
            .field("in_use", &state.held.len())
            .field("waiting", &state.waiting.len())
            .finish()
    }
}

/// The layer: [`Adapter::open`] waits for a session.
#[derive(Debug)]
pub struct Govern<A> {
    sessions: SessionBudget,
    configured: Option<usize>,
    inner: A,
}

impl<A: Adapter> Govern<A> {
    /// Around an adapter. `configured` lowers what the adapter declares.
    pub fn new(sessions: SessionBudget, configured: Option<usize>, inner: A) -> Self {
        Self { sessions, configured, inner }
    }

    async fn session(&self, cx: &Cx) -> Result<Permit> {
        // The adapter may have learnt more since the last time.
        let declared = match self.inner.capabilities().footage.max_sessions {
            0 => UNDECLARED_SESSIONS,
            n => n,
        };
        let limit = self.configured.map_or(declared, |c| c.min(declared));
        self.sessions.set_limit(limit);
        let work = self.sessions.acquire(cx.priority);
        within(cx, Some(LONGEST_WAIT), "wait for a session", work).await.map_err(|e| {
            match e.kind() {
                ErrorKind::Timeout => {
                    let message = "all playback sessions of the recorder are in use";
                    Error::new(ErrorKind::Busy, message).with("sessions", limit)
                }
                _ => e,
            }
        })
    }
}

/// A session in use.
struct Lease {
    permit: Option<Permit>,
    /// The recorder ended it, or never began it.
    over: bool,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take().filter(|_| !self.over) else { return };
        if let Ok(runtime) = ::tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                sleep(NOTICE_TIME).await;
                drop(permit);
            });
        }
    }
}

/// Passes the items on and holds the session until the stream ends or is dropped.
fn hold<T: Send + 'static>(
    inner: BoxStream<'static, Result<T>>,
    lease: Lease,
) -> BoxStream<'static, Result<T>> {
    // What the recorder sees is dropped first.
    let state = Some((inner, lease));
    let items = stream::unfold(state, |state| async move {
        let (mut inner, mut lease) = state?;
        let recalled = async {
            match &lease.permit {
                Some(permit) => permit.recalled().await,
                None => std::future::pending().await,
            }
        };
        let item = ::tokio::select! {
            biased;
            () = recalled => None,
            item = inner.next() => Some(item),
        };
        match item {
            Some(item) => {
                lease.over = item.is_none();
                item.map(|item| (item, Some((inner, lease))))
            }
            None => {
                let message = "gave the playback session to somebody who waits at a screen";
                Some((Err(Error::new(ErrorKind::Busy, message)), None))
            }
        }
    });
    items.boxed()
}

impl<A: Adapter> Adapter for Govern<A> {
    fn open<'a>(&'a self, cx: &'a Cx, request: FootageRequest) -> BoxFuture<'a, Result<Footage>> {
        Box::pin(async move {
            let mut lease = Lease { permit: Some(self.session(cx).await?), over: false };
            let opened = self.inner.open(cx, request).await;
            lease.over = opened.is_err();
            let footage = opened?;
            let body = match footage.body {
                FootageBody::Bytes(bytes, hint) => FootageBody::Bytes(hold(bytes, lease), hint),
                FootageBody::Units(units) => FootageBody::Units(hold(units, lease)),
            };
            Ok(Footage { body, ..footage })
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn identify<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<Identity>> {
        self.inner.identify(cx)
    }

    fn clock<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<ClockReading>> {
        self.inner.clock(cx)
    }

    fn list_segments<'a>(
        &'a self,
        cx: &'a Cx,
        query: SegmentQuery,
    ) -> BoxFuture<'a, Result<Page<SourceSegment>>> {
        self.inner.list_segments(cx, query)
    }

    fn oldest<'a>(
        &'a self,
        cx: &'a Cx,
        query: OldestQuery,
    ) -> BoxFuture<'a, Result<Option<Civil>>> {
        self.inner.oldest(cx, query)
    }

    fn list_events<'a>(
        &'a self,
        cx: &'a Cx,
        query: EventQuery,
    ) -> BoxFuture<'a, Result<Page<SourceEvent>>> {
        self.inner.list_events(cx, query)
    }

    fn control<'a>(
        &'a self,
        cx: &'a Cx,
        request: ControlRequest,
    ) -> BoxFuture<'a, Result<ControlState>> {
        self.inner.control(cx, request)
    }

    fn watch<'a>(&'a self, cx: &'a Cx) -> BoxStream<'a, Result<SourceEvent>> {
        self.inner.watch(cx)
    }
}

/// Served before anybody else after having been passed over this often.
const PATIENCE: u32 = 8;
/// Where the adapter declares none.
const UNDECLARED_SESSIONS: usize = 1;
/// A session whose footage was dropped before its end is somebody's for this much longer.
const NOTICE_TIME: Duration = Duration::from_millis(500);
/// Nobody waits longer for a session.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
