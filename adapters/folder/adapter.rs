//! The adapter: a folder has one clock (UTC), channels, segments and footage; nothing else.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dvrgate_adapter::{
    Adapter, Banner, Capabilities, ClockSupport, Connector, ControlRequest, ControlState, Cx,
    DeviceLimits, DeviceSettings, EventQuery, Footage, FootageBody, FootageRequest, FootageSupport,
    ListOrder, ListSupport, Mapping, OldestQuery, OldestSupport, Page, PageCursor, Score,
    SeekGrain, SegmentQuery, SourceEvent, SourceSegment,
};
use dvrgate_model::{
    Channel, Civil, ClockReading, Error, ErrorKind, Identity, Result, SourceRange, SourceTime,
    StreamKind, TrackKind, Utc, UtcRange, Vendor, ZoneClaim, ZoneRule, ZoneTrust,
};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::convert::Weighing;
use crate::footage::{self, Place};
use crate::grammar::Grammars;
use crate::library::{Clip, Library};
use crate::walk;

/// Makes adapters for folders.
#[derive(Debug)]
pub(crate) struct FolderConnector;

impl Connector for FolderConnector {
    fn vendor(&self) -> Vendor {
        Vendor::from("folder")
    }

    fn recognise(&self, _: &Banner) -> Score {
        0
    }

    fn connect(&self, settings: DeviceSettings, mapping: Arc<Mapping>) -> Result<Arc<dyn Adapter>> {
        let root =
            (settings.url.scheme() == "file").then(|| settings.url.to_file_path().ok()).flatten();
        let root = root.ok_or_else(|| {
            Error::invalid(format!(
                "device {}: the address of a folder is written file:///absolute/path",
                settings.id
            ))
        })?;
        let growing_us = mapping.query("growing-s", 10_i64).saturating_mul(1_000_000);
        let zone = settings.zone.clone().unwrap_or_else(ZoneRule::utc);
        let library =
            Library::new(root, Grammars::of(&mapping)?, Weighing::of(&mapping)?, zone, growing_us);
        let page = mapping.query("page", 500_usize).max(1);
        let limits = mapping.lower(LIMITS);
        Ok(Arc::new(Folder { library: Arc::new(library), page, limits }))
    }
}

/// A disk bears more than a recorder.
const LIMITS: DeviceLimits = DeviceLimits {
    requests_per_second: 1_000.0,
    parallel_requests: 8,
    logins_before_lockout: usize::MAX,
};
/// Files that are read at the same time.
const MAX_OPEN_FILES: usize = 8;
const CHUNK: Duration = Duration::from_secs(120);

/// A folder.
#[derive(Debug)]
struct Folder {
    library: Arc<Library>,
    page: usize,
    limits: DeviceLimits,
}

impl Adapter for Folder {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            clock: ClockSupport { read: true, zone: true, set: false },
            segments: ListSupport {
                offered: true,
                order: ListOrder::OldestFirst,
                oldest: OldestSupport::Surely,
                ..ListSupport::default()
            },
            footage: FootageSupport {
                by_segment: true,
                seek: SeekGrain::CleanPoint,
                chunk: CHUNK,
                max_sessions: MAX_OPEN_FILES,
                ..FootageSupport::default()
            },
            limits: self.limits,
            ..Capabilities::default()
        }
    }

    fn identify<'a>(&'a self, _: &'a Cx) -> BoxFuture<'a, Result<Identity>> {
        Box::pin(async move {
            let library = Arc::clone(&self.library);
            let shelves = blocking(move || library.shelves()).await?;
            let root = self.library.root();
            let name =
                root.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let channels = shelves
                .into_iter()
                .map(|shelf| {
                    let params = |kind| shelf.newest.as_ref().and_then(|p| p.params(kind).cloned());
                    Channel {
                        id: shelf.channel,
                        video: params(TrackKind::Video),
                        audio: params(TrackKind::Audio),
                        name: shelf.name,
                        address: String::new(),
                        streams: vec![StreamKind::Main],
                        online: None,
                        recording: None,
                        retention: None,
                    }
                })
                .collect();
            Ok(Identity {
                model: "folder".into(),
                serial: root.display().to_string(),
                name,
                channels,
                ..Identity::default()
            })
        })
    }

    /// A folder's clock is the host's: what its files claim is UTC.
    fn clock<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<ClockReading>> {
        Box::pin(async move {
            let now = cx.clock.utc();
            let civil = dvrgate_model::Civil::from_micros_as_if_utc(now.micros());
            Ok(ClockReading {
                before: now,
                device: SourceTime::from_civil(civil, ZoneClaim::Utc),
                after: now,
                zone: Some(self.library.zone().clone()),
                trust: ZoneTrust::Claimed,
                resolution_us: 1,
            })
        })
    }

    fn list_segments<'a>(
        &'a self,
        cx: &'a Cx,
        query: SegmentQuery,
    ) -> BoxFuture<'a, Result<Page<SourceSegment>>> {
        Box::pin(async move {
            if query.stream != StreamKind::Main {
                return Ok(Page { items: Vec::new(), next: None, capped: false });
            }
            let after = query.cursor.as_ref().map(cursor).transpose()?;
            let (library, now) = (Arc::clone(&self.library), cx.clock.utc());
            let window = utc(query.window);
            let mut clips = blocking(move || library.clips(query.channel, window, now)).await?;
            if let Some((start, path)) = after {
                clips.retain(|c| Library::order(c) > (start, path.as_str()));
            }
            let more = clips.len() > self.page;
            clips.truncate(self.page);
            let last = clips.last().filter(|_| more).map(Library::order);
            let next = last.map(|(start, path)| PageCursor(Bytes::from(format!("{start} {path}"))));
            Ok(Page { items: clips.into_iter().map(segment).collect(), next, capped: false })
        })
    }

    fn oldest<'a>(
        &'a self,
        cx: &'a Cx,
        query: OldestQuery,
    ) -> BoxFuture<'a, Result<Option<Civil>>> {
        Box::pin(async move {
            if query.stream != StreamKind::Main {
                return Ok(None);
            }
            let (library, now) = (Arc::clone(&self.library), cx.clock.utc());
            let window = utc(query.window);
            let clips = blocking(move || library.clips(query.channel, window, now)).await?;
            Ok(clips.first().map(|c| Civil::from_micros_as_if_utc(c.times.range.start().micros())))
        })
    }

    fn list_events<'a>(
        &'a self,
        _: &'a Cx,
        _: EventQuery,
    ) -> BoxFuture<'a, Result<Page<SourceEvent>>> {
        Box::pin(async { Err(unsupported("a folder has no events")) })
    }

    fn open<'a>(&'a self, _: &'a Cx, request: FootageRequest) -> BoxFuture<'a, Result<Footage>> {
        Box::pin(async move {
            let locator = request
                .locator
                .ok_or_else(|| Error::invalid("footage of a folder needs a locator"))?;
            let place = Place::read(&locator)?;
            let (library, relative) = (Arc::clone(&self.library), place.path.clone());
            let path = blocking(move || walk::resolve(library.root(), &relative)).await?;
            let (from_us, until_us) = place.part(utc(request.window));
            let units = footage::open(path, &place, from_us, until_us).await?;
            let start = Some(place.first_reading());
            Ok(Footage { body: FootageBody::Units(units), what: place.path, start })
        })
    }

    fn control<'a>(&'a self, _: &'a Cx, _: ControlRequest) -> BoxFuture<'a, Result<ControlState>> {
        Box::pin(async { Err(unsupported("a folder cannot record")) })
    }

    fn watch<'a>(&'a self, _: &'a Cx) -> BoxStream<'a, Result<SourceEvent>> {
        futures::stream::once(async { Err(unsupported("a folder has no events")) }).boxed()
    }
}

fn segment(clip: Clip) -> SourceSegment {
    SourceSegment {
        channel: clip.channel,
        stream: StreamKind::Main,
        locator: Place::new(&clip.file.path, &clip.times).locator(),
        start: clip.times.start,
        end: clip.times.end,
        code: clip.times.basis.code().into(),
        bytes: Some(clip.file.bytes),
        key: Bytes::from(clip.file.path),
        growing: clip.growing,
    }
}

/// Listing windows are UTC: what files claim is believed.
fn utc(window: SourceRange) -> UtcRange {
    let at = |c: dvrgate_model::Civil| Utc::from_micros(c.micros_as_if_utc());
    UtcRange::clamped(at(window.start), at(window.end))
}

/// Start and path of the last item of the page before.
fn cursor(cursor: &PageCursor) -> Result<(i64, String)> {
    std::str::from_utf8(&cursor.0)
        .ok()
        .and_then(|text| text.split_once(' '))
        .and_then(|(start, path)| Some((start.parse().ok()?, path.to_owned())))
        .ok_or_else(|| Error::invalid("not a page of a folder"))
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, what)
}

/// Runs on the blocking pool.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::internal("a task of the folder adapter failed").because(e))?
}
