//! The contract as tests: what every adapter must do, run against a recorder, real or simulated.
//!
//! Cases are chosen by capability. A vendor's test builds a [`Suite`] and calls [`Suite::run`];
//! each case is public too. They panic where the contract is broken, as assertions do.

use std::collections::BTreeSet;
use std::time::Duration;

use dvrgate_model::{
    ChannelId, Civil, ErrorKind, Identity, Locator, Result, SegmentId, SourceRange, StreamKind,
    TrackToken,
};
use futures::StreamExt;

use crate::transport::tokio::{now, sleep, timeout};
use crate::{
    Cx, Device, EventQuery, Footage, FootageBody, FootageRequest, OldestQuery, OldestSupport,
    PageCursor, Priority, SegmentQuery, SourceSegment,
};

/// A recorder and what is known about its footage. Times are listing readings.
#[derive(Debug)]
pub struct Suite {
    /// The recorder, with the right credentials.
    pub device: Device,
    /// A channel that has footage.
    pub channel: ChannelId,
    /// Its stream.
    pub stream: StreamKind,
    /// A stretch with at least two segments, all of them complete.
    pub recorded: SourceRange,
    /// Stretches around the doubled and the missing hour of the recorder's zone.
    pub odd_hours: Vec<SourceRange>,
}

impl Suite {
    /// Of the main stream, without odd hours.
    pub fn new(device: Device, channel: ChannelId, recorded: SourceRange) -> Self {
        Self { device, channel, stream: StreamKind::Main, recorded, odd_hours: Vec::new() }
    }

    /// All cases that the recorder's capabilities admit.
    pub async fn run(&self) {
        self.says_what_it_is().await;
        // Capabilities may be more exact now.
        let can = self.device.adapter.capabilities();
        if can.clock.read {
            self.clock_is_read_between_two_looks_at_ours().await;
        }
        if can.segments.offered {
            self.paging_lists_each_segment_once().await;
            self.the_future_is_empty().await;
            if can.segments.oldest != OldestSupport::No {
                self.the_oldest_is_not_after_what_is_listed().await;
            }
            self.odd_hours_are_answered().await;
        }
        if can.events.offered {
            self.events_of_the_future_are_empty().await;
        }
        if can.footage.by_time || can.footage.by_segment {
            self.footage_comes().await;
            self.dropping_footage_frees_its_session().await;
            self.more_sessions_than_there_are_is_busy().await;
            if can.footage.resume {
                self.resumed_bytes_are_the_same().await;
            }
        }
        self.errors_have_a_kind().await;
        self.sessions_come_back().await;
    }

    /// It has a model and the channel, and says so twice in the same words.
    pub async fn says_what_it_is(&self) {
        let first = self.identity().await;
        assert!(!first.model.is_empty() || !first.name.is_empty(), "it says nothing about itself");
        let ids: Vec<_> = first.channels.iter().map(|c| c.id).collect();
        assert!(ids.contains(&self.channel), "channel {} is not among {ids:?}", self.channel);
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "a channel is listed twice: {ids:?}");
        let again = self.identity().await;
        assert_eq!((first.model, first.serial), (again.model, again.serial));
    }

    /// The looks at our clock enclose the answer.
    pub async fn clock_is_read_between_two_looks_at_ours(&self) {
        let began = self.device.clock.utc();
        let reading = must(self.device.adapter.clock(&self.cx()).await, "clock");
        let ended = self.device.clock.utc();
        assert!(began <= reading.before, "{} before {began}", reading.before);
        assert!(reading.before <= reading.after && reading.after <= ended);
        assert!(reading.resolution_us > 0, "a clock has a resolution");
        if self.device.adapter.capabilities().clock.zone {
            assert!(reading.zone.is_some(), "the zone is declared to be readable");
        }
    }

    /// All pages together hold each segment once; halves of the window hold the same segments.
    pub async fn paging_lists_each_segment_once(&self) {
        let whole = self.list(self.recorded).await;
        assert!(whole.len() >= 2, "the suite needs two segments, {} are listed", whole.len());
        let middle = halfway(self.recorded);
        let left = self.list(SourceRange::new(self.recorded.start, middle)).await;
        let right = self.list(SourceRange::new(middle, self.recorded.end)).await;
        let names = |list: &[SourceSegment]| list.iter().map(name).collect::<BTreeSet<_>>();
        let mut halves = names(&left);
        halves.extend(names(&right));
        if !self.device.adapter.capabilities().segments.clips {
            assert_eq!(names(&whole), halves, "halves of a window hold other segments");
        }
        for s in &whole {
            assert!(s.start.civil < s.end.civil, "{s:?} has no length");
            let window = self.recorded;
            let touches = s.start.civil < window.end && window.start < s.end.civil;
            assert!(touches, "{s:?} is not in the window {window:?}");
            assert_eq!((s.channel, s.stream), (self.channel, self.stream));
        }
    }

    /// Nothing was recorded tomorrow.
    pub async fn the_future_is_empty(&self) {
        let listed = self.list(self.tomorrow()).await;
        assert!(listed.is_empty(), "listed in the future: {listed:?}");
    }

    /// Footage begins, as it says, where its listing begins or before, but inside the window; and
    /// nowhere in the future. Whether it can say that may only turn out when it is asked.
    pub async fn the_oldest_is_not_after_what_is_listed(&self) {
        let oldest = async |window| {
            let query = OldestQuery { channel: self.channel, stream: self.stream, window };
            match self.device.adapter.oldest(&self.cx(), query).await {
                Err(e) if e.kind() == ErrorKind::Unsupported => {
                    let now = self.device.adapter.capabilities().segments.oldest;
                    assert_eq!(now, OldestSupport::No, "declared, and {e}");
                    None
                }
                answer => Some(must(answer, "oldest")),
            }
        };
        let first = self.list(self.recorded).await.iter().map(|s| s.start.civil).min();
        let Some(first) = first else { panic!("no segment is listed") };
        match oldest(self.recorded).await {
            None => return,
            Some(None) => panic!("footage is listed from {first} on, and there is none"),
            Some(Some(oldest)) => {
                assert!(oldest <= first, "{first} is listed, the oldest is {oldest}")
            }
        }
        assert_eq!(oldest(self.tomorrow()).await, Some(None), "in the future");
    }

    /// Around changes of the zone offset every window is answered, and only with what it holds.
    pub async fn odd_hours_are_answered(&self) {
        for window in &self.odd_hours {
            for s in self.list(*window).await {
                let touches = s.start.civil < window.end && window.start < s.end.civil;
                assert!(touches, "{s:?} is not in the window {window:?}");
            }
        }
    }

    /// Nothing happened tomorrow.
    pub async fn events_of_the_future_are_empty(&self) {
        let query = EventQuery { window: self.tomorrow(), cursor: None };
        let page = must(self.device.adapter.list_events(&self.cx(), query).await, "list_events");
        assert!(page.items.is_empty(), "events in the future: {:?}", page.items);
    }

    /// Footage of a listed segment comes.
    pub async fn footage_comes(&self) {
        let mut footage = must(self.open(&self.request().await).await, "open");
        assert!(next(&mut footage).await, "the footage of a listed segment is empty");
    }

    /// Sessions come back however footage ends.
    pub async fn dropping_footage_frees_its_session(&self) {
        let request = self.request().await;
        let sessions = self.device.adapter.capabilities().footage.max_sessions.max(1);
        for _ in 0..2 * sessions {
            drop(must(self.open(&request).await, "open, dropped at once"));
            let mut footage = must(self.open(&request).await, "open, dropped after an item");
            next(&mut footage).await;
        }
        // Cancelled while it opens.
        for _ in 0..sessions {
            let mut opening = Box::pin(self.open(&request));
            drop(futures::poll!(&mut opening));
        }
        must(self.open(&request).await, "open after others were cancelled");
        self.sessions_come_back().await;
    }

    /// A dropped session counts until the recorder can have noticed.
    async fn sessions_come_back(&self) {
        let back = async {
            while self.device.sessions.in_use() > 0 {
                sleep(POLL).await;
            }
            Ok(())
        };
        must(timeout(BACK, "sessions come back", back).await, "a session was left open");
    }

    /// One session too many is refused as busy, not as broken.
    pub async fn more_sessions_than_there_are_is_busy(&self) {
        let request = self.request().await;
        let sessions = self.device.adapter.capabilities().footage.max_sessions.max(1);
        let mut held = Vec::new();
        for _ in 0..sessions.min(MOST_SESSIONS) {
            match self.open(&request).await {
                Ok(footage) => held.push(footage),
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::Busy, "{e}");
                    break;
                }
            }
        }
        assert!(!held.is_empty(), "not one session");
        if sessions > MOST_SESSIONS {
            return;
        }
        let cx = Cx { deadline: Some(now() + IMPATIENCE), ..self.cx() };
        match self.device.adapter.open(&cx, request).await {
            Ok(_) => panic!("more sessions than declared ({sessions})"),
            Err(e) => assert_eq!(e.kind(), ErrorKind::Busy, "{e}"),
        }
    }

    /// A transfer that goes on at a byte gives the bytes that the whole one has there.
    pub async fn resumed_bytes_are_the_same(&self) {
        let request = self.request().await;
        let whole = bytes(must(self.open(&request).await, "open")).await;
        let at = whole.len() / 2;
        let resumed = FootageRequest { resume: at as u64, ..request };
        let rest = bytes(must(self.open(&resumed).await, "open at a byte")).await;
        assert!(whole[at..] == rest[..], "resumed bytes differ");
    }

    /// What goes wrong has a kind that says whose fault it is.
    pub async fn errors_have_a_kind(&self) {
        let cx = self.cx();
        let nowhere = SegmentQuery {
            channel: ChannelId(4_000),
            stream: self.stream,
            window: self.recorded,
            cursor: None,
        };
        let garbled = SegmentQuery {
            channel: self.channel,
            cursor: Some(PageCursor(bytes::Bytes::from_static(b"\xff not a cursor"))),
            ..nowhere.clone()
        };
        let lost = FootageRequest {
            channel: self.channel,
            stream: self.stream,
            window: self.recorded,
            locator: Some(Locator(bytes::Bytes::from_static(b"\xff not a locator"))),
            segment: Some(self.recorded),
            resume: 0,
        };
        let adapter = &self.device.adapter;
        let errors = [
            adapter.list_segments(&cx, nowhere).await.err(),
            adapter.list_segments(&cx, garbled).await.err(),
            adapter.open(&cx, lost).await.err(),
        ];
        for e in errors.into_iter().flatten() {
            assert_ne!(e.kind(), ErrorKind::Internal, "{e}");
            assert_ne!(e.kind(), ErrorKind::Unauthenticated, "{e}");
        }
    }

    fn cx(&self) -> Cx {
        self.device.cx(Priority::Export)
    }

    async fn identity(&self) -> Identity {
        must(self.device.adapter.identify(&self.cx()).await, "identify")
    }

    /// A day from now by our clock: no recorder is more than half a day off in this suite.
    fn tomorrow(&self) -> SourceRange {
        let day_us = 86_400_000_000;
        let now = Civil::from_micros_as_if_utc(self.device.clock.utc().micros());
        SourceRange::new(now.plus_us(2 * day_us), now.plus_us(3 * day_us))
    }

    /// All pages of a window; halved where the recorder's cap is reached.
    async fn list(&self, window: SourceRange) -> Vec<SourceSegment> {
        let mut windows = vec![window];
        let mut found: Vec<SourceSegment> = Vec::new();
        while let Some(window) = windows.pop() {
            match self.list_once(window).await {
                Some(items) => {
                    let names: BTreeSet<_> = items.iter().map(name).collect();
                    assert_eq!(names.len(), items.len(), "a segment is listed twice: {items:?}");
                    found.extend(items);
                }
                None => {
                    assert!(window.duration_us() > 2_000_000, "a cap in a window of two seconds");
                    let middle = halfway(window);
                    windows.push(SourceRange::new(middle, window.end));
                    windows.push(SourceRange::new(window.start, middle));
                }
            }
        }
        let mut seen = BTreeSet::new();
        found.retain(|s| seen.insert(name(s)));
        found
    }

    /// `None` where the cap was reached.
    async fn list_once(&self, window: SourceRange) -> Option<Vec<SourceSegment>> {
        let mut query =
            SegmentQuery { channel: self.channel, stream: self.stream, window, cursor: None };
        let mut items = Vec::new();
        let cx = self.cx();
        for _ in 0..MOST_PAGES {
            let page = self.device.adapter.list_segments(&cx, query.clone()).await;
            let page = must(page, "list_segments");
            items.extend(page.items);
            if page.capped {
                return None;
            }
            if page.next.is_none() {
                return Some(items);
            }
            assert_ne!(page.next, query.cursor, "paging does not move");
            query.cursor = page.next;
        }
        panic!("more than {MOST_PAGES} pages");
    }

    /// A request for the first segment of the suite's stretch.
    async fn request(&self) -> FootageRequest {
        let first = self.list(self.recorded).await.into_iter().min_by_key(|s| s.start.civil);
        let Some(first) = first else { panic!("no segment is listed") };
        let segment = SourceRange::new(first.start.civil, first.end.civil);
        let chunk = self.device.adapter.capabilities().footage.chunk;
        let chunk_us = i64::try_from(chunk.as_micros()).unwrap_or(i64::MAX).max(10_000_000);
        let end = segment.end.min(segment.start.plus_us(chunk_us));
        FootageRequest {
            channel: self.channel,
            stream: self.stream,
            window: SourceRange::new(segment.start, end),
            locator: Some(first.locator),
            segment: Some(segment),
            resume: 0,
        }
    }

    async fn open(&self, request: &FootageRequest) -> Result<Footage> {
        self.device.adapter.open(&self.cx(), request.clone()).await
    }
}

/// Wrong credentials are refused as such, by the first call and by every later one, and the
/// recorder sees at most the tries that do not lock us out. `tries` asks the recorder how many
/// refused log-ins it counted.
pub async fn a_wrong_password_is_not_tried_again(device: &Device, tries: impl Fn() -> usize) {
    let cx = device.cx(Priority::Replay);
    for _ in 0..5 {
        match device.adapter.identify(&cx).await {
            Ok(_) => panic!("a wrong password was accepted"),
            Err(e) => assert_eq!(e.kind(), ErrorKind::Unauthenticated, "{e}"),
        }
    }
    let spent = tries();
    let most = device.adapter.capabilities().limits.logins_before_lockout.saturating_sub(1).max(1);
    assert!((1..=most).contains(&spent), "{spent} refused log-ins, at most {most} are allowed");
}

fn must<T>(result: Result<T>, what: &str) -> T {
    match result {
        Ok(value) => value,
        Err(e) => panic!("{what}: {e:?}"),
    }
}

/// Identity of a segment as sync sees it.
fn name(s: &SourceSegment) -> SegmentId {
    SegmentId::derive(&TrackToken::from("suite"), &s.start.raw, &s.key)
}

fn halfway(window: SourceRange) -> Civil {
    // Whole seconds: recorders cut the fraction off.
    window.start.plus_us(window.duration_us() / 2_000_000 * 1_000_000)
}

/// Whether another item comes, in time.
async fn next(footage: &mut Footage) -> bool {
    let item = async {
        match &mut footage.body {
            FootageBody::Bytes(items, _) => items.next().await.map(|i| i.map(|_| ())).transpose(),
            FootageBody::Units(items) => items.next().await.map(|i| i.map(|_| ())).transpose(),
        }
    };
    must(timeout(PATIENCE, "footage", item).await, "footage").is_some()
}

async fn bytes(footage: Footage) -> Vec<u8> {
    let FootageBody::Bytes(mut pieces, _) = footage.body else {
        panic!("only bytes can be resumed");
    };
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await {
        whole.extend_from_slice(&must(piece, "footage"));
    }
    whole
}

const MOST_PAGES: usize = 1_000;
/// Recorders with more sessions than this are not filled up.
const MOST_SESSIONS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(20);
/// A session that was given up is free again after so long, looked at so often.
const BACK: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(10);
const IMPATIENCE: Duration = Duration::from_millis(300);
