//! The adapter: what a device offers, and what was learnt of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dvrgate_adapter::transport::HttpRequest;
use dvrgate_adapter::{
    Adapter, Banner, Capabilities, ClockSupport, Connector, ControlRequest, ControlState,
    ControlSupport, Cx, DeviceLimits, DeviceSettings, EventQuery, Footage, FootageRequest,
    FootageSupport, ListOrder, ListSupport, Mapping, OldestQuery, OldestSupport, Page, Score,
    SeekGrain, SegmentQuery, SourceEvent, SourceSegment,
};
use dvrgate_model::{
    Civil, ClockReading, Error, ErrorKind, Identity, Result, Retry, StreamKind, Utc, Vendor,
    ZoneRule, ZoneTrust,
};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use parking_lot::Mutex;

use crate::calendar::oldest_support;
use crate::convert::{Numbering, track_id};
use crate::policy::{DownloadPolicy, Policy};
use crate::session::Session;
use crate::wire::calendar::Days;
use crate::wire::device_info::DeviceInfo;
use crate::wire::download::DownloadMethod;
use crate::wire::search::SearchStyle;
use crate::wire::xml::Element;
use crate::wire::{self, Failure, Generation, Refusal, WireError};

/// Makes adapters of this family.
#[derive(Debug)]
pub(crate) struct HikConnector;

impl Connector for HikConnector {
    fn vendor(&self) -> Vendor {
        Vendor::from("hikvision")
    }

    /// Web servers and realms by which these devices are known. Neutral firmware hides both.
    fn recognise(&self, banner: &Banner) -> Score {
        let server = banner.server.to_ascii_lowercase();
        let realm = banner.realm.to_ascii_lowercase();
        if ["hikvision-webs", "dvrdvs-webs", "dnvrs-webs"].iter().any(|s| server.contains(s)) {
            250
        } else if server.starts_with("app-webs") || realm == "dvr-realm" {
            180
        } else if realm.starts_with("ip camera(") || realm.starts_with("ds-") {
            150
        } else {
            0
        }
    }

    fn connect(&self, settings: DeviceSettings, mapping: Arc<Mapping>) -> Result<Arc<dyn Adapter>> {
        if !["http", "https"].contains(&settings.url.scheme()) || settings.url.host().is_none() {
            return Err(Error::invalid(format!(
                "device {}: the address of a recorder of this family is written http://host or \
                 https://host:port",
                settings.id
            )));
        }
        Ok(Arc::new(Hikvision::new(settings, mapping)?))
    }
}

/// One device.
#[derive(Debug)]
pub(crate) struct Hikvision {
    pub(crate) settings: DeviceSettings,
    pub(crate) mapping: Arc<Mapping>,
    pub(crate) policy: Policy,
    pub(crate) session: Session,
    learnt: Mutex<Learnt>,
}

/// What answers taught. Nothing in it is needed to be right: it is learnt again after a restart.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    pub(crate) generation: Option<Generation>,
    pub(crate) info: DeviceInfo,
    pub(crate) numbering: Numbering,
    /// Main tracks, those that are being recorded first.
    pub(crate) tracks: Vec<u32>,
    pub(crate) rtsp_port: Option<u16>,
    pub(crate) clock: Option<SeenClock>,
    /// Its zone: the operator's word, else its own.
    pub(crate) zone: Option<ZoneRule>,
    pub(crate) trust: Option<Trust>,
    pub(crate) search: Option<SearchStyle>,
    pub(crate) download: Option<DownloadMethod>,
    /// The device has no downloads.
    pub(crate) no_download: bool,
    /// Whether rewritten windows of listed files are served as asked.
    pub(crate) rewriting: Option<bool>,
    /// Which prefix and spelling a log category answers to.
    pub(crate) log: HashMap<String, usize>,
    pub(crate) no_log: bool,
    pub(crate) no_watch: bool,
    /// Days with footage by track, year and month, and when that was read.
    pub(crate) calendar: HashMap<(u32, i16, u8), (Utc, Days)>,
    pub(crate) no_calendar: bool,
    /// Sub streams without one.
    pub(crate) no_calendar_of: HashSet<u32>,
    /// Sessions taken back after the device refused one.
    pub(crate) sessions_lost: usize,
}

/// The device's clock against ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeenClock {
    /// When it was read.
    pub(crate) at: Utc,
    /// Its wall clock minus our UTC, microseconds.
    pub(crate) ahead_us: i64,
    /// Its zone's offset then, seconds, where the zone is known.
    pub(crate) offset_s: Option<i32>,
    /// How far it went back not long ago: what was recorded before then may show later readings
    /// than it does.
    pub(crate) went_back_us: i64,
}

/// A verdict on zone claims, and under which circumstances it was found.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    pub(crate) trust: ZoneTrust,
    /// Firmware, zone and offset: a change asks again.
    pub(crate) key: String,
    pub(crate) at: Utc,
    /// Found by asking, not assumed.
    pub(crate) decided: bool,
}

/// What these devices survive, before the mapping lowers it.
const LIMITS: DeviceLimits =
    DeviceLimits { requests_per_second: 50.0, parallel_requests: 3, logins_before_lockout: 3 };

impl Hikvision {
    pub(crate) fn new(settings: DeviceSettings, mapping: Arc<Mapping>) -> Result<Self> {
        let policy = Policy::new(&mapping)?;
        let learnt = Learnt { search: policy.search, ..Learnt::default() };
        let (session, learnt) = (Session::default(), Mutex::new(learnt));
        Ok(Self { settings, mapping, policy, session, learnt })
    }

    /// Reads or changes what was learnt. Never held over an await: the closure is synchronous.
    pub(crate) fn learnt<T>(&self, f: impl FnOnce(&mut Learnt) -> T) -> T {
        f(&mut self.learnt.lock())
    }

    /// Sends a request and reads the answer. The outer result is the way to the device, the inner
    /// one what it said.
    pub(crate) async fn ask<T>(
        &self,
        cx: &Cx,
        request: HttpRequest,
        parse: fn(&Element) -> Result<T, WireError>,
    ) -> Result<Result<T, Failure>> {
        let reply = self.send(cx, request).await?;
        Ok(wire::read(&reply, parse))
    }

    /// The same where any refusal is an error.
    pub(crate) async fn get<T>(
        &self,
        cx: &Cx,
        request: HttpRequest,
        parse: fn(&Element) -> Result<T, WireError>,
    ) -> Result<T> {
        let path = request.path.clone();
        self.ask(cx, request, parse).await?.map_err(|f| self.failed(f).with("path", path))
    }

    /// What a failure means outside.
    pub(crate) fn failed(&self, failure: Failure) -> Error {
        match failure {
            Failure::Refused(r) => self.refused(&r),
            Failure::Unreadable(WireError::WebPage) => {
                Error::new(ErrorKind::Unsupported, WireError::WebPage.to_string())
            }
            Failure::Unreadable(e) => Error::malformed("the answer cannot be read").because(e),
        }
    }

    /// What a refusal means outside: a lock-out first, then the mapping, then the HTTP status.
    pub(crate) fn refused(&self, r: &Refusal) -> Error {
        if let Some(lock) = r.lock.filter(|l| l.locked) {
            let seconds = lock.unlock_seconds.unwrap_or(0);
            let message = format!("the device has locked this user out for {seconds} s more");
            return Error::new(ErrorKind::Unauthenticated, message).with_retry(Retry::Never);
        }
        let said = match (r.text.is_empty(), r.sub_code.is_empty()) {
            (true, true) => format!("the device answered {}", r.http),
            (_, true) => format!("the device answered {}: {}", r.http, r.text),
            _ => format!("the device answered {}: {} ({})", r.http, r.text, r.sub_code),
        };
        if r.http == 401 || r.code == 401 {
            return Error::new(ErrorKind::Unauthenticated, said);
        }
        let mapped = self.mapping.error(&r.sub_code).filter(|_| !r.sub_code.is_empty());
        if let Some((kind, retry)) = mapped {
            return Error::new(kind, said).with_retry(retry);
        }
        let kind = match (r.http, r.code) {
            (503, _) | (_, 2) | (500..=599, _) | (_, 3) => ErrorKind::Busy,
            (404, _) => ErrorKind::NotFound,
            (403 | 405, _) | (_, 4) => ErrorKind::Unsupported,
            (400, _) | (_, 5 | 6) => ErrorKind::InvalidArgument,
            _ => ErrorKind::Malformed,
        };
        Error::new(kind, said)
    }

    /// A session was refused: one fewer is used from now on.
    pub(crate) fn lose_session(&self) {
        self.learnt(|l| l.sessions_lost = (l.sessions_lost + 1).min(self.policy.sessions - 1));
    }

    async fn record(&self, cx: &Cx, request: ControlRequest) -> Result<ControlState> {
        let generation = self.generation(cx).await?;
        let track = track_id(request.channel, StreamKind::Main);
        let ask = wire::control::request(generation, track, request.record);
        let reply = self.send(cx, ask).await?;
        match Refusal::of(reply.status, Element::parse(&reply.body).ok().as_ref()) {
            Some(refusal) => Err(self.refused(&refusal)),
            None => Ok(ControlState { recording: request.record }),
        }
    }
}

impl Adapter for Hikvision {
    fn capabilities(&self) -> Capabilities {
        let p = &self.policy;
        let list = |cap, width| ListSupport {
            offered: true,
            max_results: Some(cap),
            max_window: Some(width),
            order: ListOrder::OldestFirst,
            clips: true,
            oldest: OldestSupport::No,
        };
        self.learnt(|l| {
            let old = l.generation == Some(Generation::Psia);
            let downloads = p.download != DownloadPolicy::Never && !l.no_download;
            Capabilities {
                clock: ClockSupport { read: true, zone: true, set: false },
                segments: ListSupport { oldest: oldest_support(l), ..list(p.cap, p.max_window) },
                events: ListSupport {
                    offered: !old && !l.no_log,
                    order: ListOrder::Unordered,
                    clips: false,
                    ..list(p.log_cap, p.log_window)
                },
                footage: FootageSupport {
                    by_time: true,
                    by_segment: true,
                    resume: false,
                    seek: SeekGrain::Second,
                    chunk: p.chunk,
                    max_sessions: p.sessions - l.sessions_lost,
                    real_time_only: !downloads && !p.rtsp_fast,
                },
                control: ControlSupport { start_stop: !old },
                watch: !l.no_watch,
                limits: self.mapping.lower(LIMITS),
            }
        })
    }

    fn identify<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<Identity>> {
        Box::pin(async move { self.identity(cx).await.map_err(|e| e.during("identify")) })
    }

    fn clock<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<ClockReading>> {
        Box::pin(async move { self.read_clock(cx).await.map_err(|e| e.during("clock")) })
    }

    fn list_segments<'a>(
        &'a self,
        cx: &'a Cx,
        query: SegmentQuery,
    ) -> BoxFuture<'a, Result<Page<SourceSegment>>> {
        Box::pin(
            async move { self.segments(cx, query).await.map_err(|e| e.during("list_segments")) },
        )
    }

    fn oldest<'a>(
        &'a self,
        cx: &'a Cx,
        query: OldestQuery,
    ) -> BoxFuture<'a, Result<Option<Civil>>> {
        Box::pin(async move { self.oldest_day(cx, query).await.map_err(|e| e.during("oldest")) })
    }

    fn list_events<'a>(
        &'a self,
        cx: &'a Cx,
        query: EventQuery,
    ) -> BoxFuture<'a, Result<Page<SourceEvent>>> {
        Box::pin(async move { self.events(cx, query).await.map_err(|e| e.during("list_events")) })
    }

    fn open<'a>(&'a self, cx: &'a Cx, request: FootageRequest) -> BoxFuture<'a, Result<Footage>> {
        Box::pin(async move { self.footage(cx, request).await.map_err(|e| e.during("open")) })
    }

    fn control<'a>(
        &'a self,
        cx: &'a Cx,
        request: ControlRequest,
    ) -> BoxFuture<'a, Result<ControlState>> {
        Box::pin(async move { self.record(cx, request).await.map_err(|e| e.during("control")) })
    }

    fn watch<'a>(&'a self, cx: &'a Cx) -> BoxStream<'a, Result<SourceEvent>> {
        crate::tokio::watch(self, cx)
    }
}
