//! The recorder: its footage is a function of time, and it can be made to wait, to break off and to
//! lie.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dvrgate_adapter::{
    Adapter, Capabilities, ControlRequest, ControlState, Cx, EventQuery, Footage, FootageBody,
    FootageRequest, FootageSupport, FormatHint, Page, Priority, SeekGrain, SegmentQuery,
    SourceEvent, SourceSegment,
};
use dvrgate_media::container::{Anchor, Demuxed, Unit};
use dvrgate_model::{
    Civil, ClockReading, Codec, CodecParams, Convention, Error, ErrorKind, FrameKind, Identity,
    Locator, MediaTime, Result, SourceRange, TrackKind, TrackToken, Utc, UtcRange, ZoneRule,
};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::toy;
use crate::synthetic::{params, payload};

pub const FRAME_US: i64 = 40_000;
pub const GOP_US: i64 = 2_000_000;
pub const AUDIO_US: i64 = 200_000;

/// What the recorder does. Changed by tests at any time.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// What it recorded, in its own UTC (see `ahead_us`).
    pub recorded: Vec<UtcRange>,
    pub sound: bool,
    /// Fails every open.
    pub refuses: Option<ErrorKind>,
    /// What happens to the next transfers, after how many bytes or, where it sends units, items.
    pub harm: VecDeque<(usize, Harm)>,
    /// As bytes of a made-up container instead of units.
    pub as_bytes: bool,
    /// Goes on at a byte.
    pub resumes: bool,
    /// Resolution of anchors.
    pub resolution_us: i64,
    /// From here on another resolution.
    pub changes_params_at: Option<Utc>,
    pub chunk: Duration,
    pub seek: SeekGrain,
    /// Begins at the clean point after the asked instant.
    pub starts_late: bool,
    pub gop_us: i64,
}

/// How a transfer goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Harm {
    /// The connection breaks.
    Breaks,
    /// Nothing more comes.
    Stalls,
    /// It ends as if that were all.
    Ends,
    /// Its log-in is refused in the middle.
    Refuses,
}

/// The recorder.
#[derive(Debug)]
pub struct Recorder {
    pub behaviour: Mutex<Behaviour>,
    pub opens: Mutex<Vec<(SourceRange, Priority, u64)>>,
    pub sessions: Arc<Sessions>,
    /// Units wait for permits when this is set.
    pub gate: Mutex<Option<Arc<Semaphore>>>,
    /// Opens wait for permits when this is set.
    pub door: Mutex<Option<Arc<Semaphore>>>,
    pub zone: ZoneRule,
    pub ahead_us: i64,
}

#[derive(Debug, Default)]
pub struct Sessions {
    pub now: AtomicUsize,
    pub most: AtomicUsize,
}

struct Session(Arc<Sessions>);

impl Session {
    fn open(sessions: &Arc<Sessions>) -> Self {
        let now = sessions.now.fetch_add(1, Ordering::SeqCst) + 1;
        sessions.most.fetch_max(now, Ordering::SeqCst);
        Self(Arc::clone(sessions))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Recorder {
    pub fn civil(&self, t: Utc) -> Civil {
        self.zone.civil(t.plus_us(self.ahead_us))
    }

    /// The units it sends for a window, with UTC instants: from the clean point at or before the
    /// start, out of the file that the locator names.
    fn footage(&self, window: SourceRange, locator: &Locator) -> Vec<(Utc, Unit)> {
        let b = self.behaviour.lock().clone();
        let mut out = Vec::new();
        for range in &b.recorded {
            if *locator != locate(*range) {
                continue;
            }
            let begun = self.civil(range.start());
            let first = range.start().micros();
            let mut us = first;
            let mut units = Vec::new();
            while us < range.end().micros() {
                let at = Utc::from_micros(us);
                let since = us - first;
                let key = since % b.gop_us == 0;
                let kind = if key { FrameKind::Key } else { FrameKind::Predicted };
                units.push((at, unit(TrackKind::Video, kind, at, first)));
                if b.sound && since % AUDIO_US == 0 {
                    units.push((at, unit(TrackKind::Audio, FrameKind::Audio, at, first)));
                }
                us += FRAME_US;
            }
            let clean: Vec<Utc> = units
                .iter()
                .filter(|(_, u)| u.frame == FrameKind::Key)
                .map(|(at, _)| *at)
                .collect();
            let begins = match b.starts_late {
                false => clean.iter().rev().find(|t| self.civil(**t) <= window.start),
                true => clean.iter().find(|t| self.civil(**t) >= window.start),
            };
            let begins = begins.or(clean.first()).copied().unwrap_or(Utc::MAX);
            // Within one pass the wall clock rises with UTC, but for the change itself.
            out.extend(units.into_iter().filter(|(at, _)| {
                *at >= begins && (self.civil(*at) < window.end || self.civil(*at) < begun)
            }));
        }
        out
    }

    fn items(&self, window: SourceRange, locator: &Locator) -> Vec<Demuxed> {
        let b = self.behaviour.lock().clone();
        let mut items = Vec::new();
        let mut shown = None;
        for (at, unit) in self.footage(window, locator) {
            let changed = b.changes_params_at.is_some_and(|t| at >= t);
            if shown != Some(changed) {
                shown = Some(changed);
                let mut p = CodecParams::clone(&params(Codec::H264));
                if changed {
                    p.width = 128;
                }
                items.push(Demuxed::Params(Arc::new(p)));
                if b.sound {
                    items.push(Demuxed::Params(params(Codec::Pcmu)));
                }
            }
            if unit.frame == FrameKind::Key {
                let us = self.civil(at).micros_as_if_utc();
                items.push(Demuxed::Anchor(Anchor {
                    media: unit.media,
                    civil: Civil::from_micros_as_if_utc(
                        us.div_euclid(b.resolution_us) * b.resolution_us,
                    ),
                    convention: Convention::WallClock,
                    resolution_us: b.resolution_us as u64,
                }));
            }
            items.push(Demuxed::Unit(unit));
        }
        items
    }

    /// The bytes of a whole answer.
    pub fn sent(&self, window: SourceRange) -> Vec<u8> {
        let file = locate(self.behaviour.lock().recorded[0]);
        self.items(window, &file).iter().flat_map(toy::write).collect()
    }

    async fn answer(&self, cx: &Cx, request: FootageRequest) -> Result<Footage> {
        let priority = cx.priority;
        self.opens.lock().push((request.window, priority, request.resume));
        let door = self.door.lock().clone();
        if let Some(door) = door {
            door.acquire().await.unwrap().forget();
        }
        if let Some(kind) = self.behaviour.lock().refuses {
            return Err(Error::new(kind, "the fake recorder refuses"));
        }
        let session = Session::open(&self.sessions);
        let items = self.items(request.window, &request.locator.unwrap_or_default());
        let gate = self.gate.lock().clone();
        let what = format!("{:?}", request.window);
        let (as_bytes, harm) = {
            let mut b = self.behaviour.lock();
            (b.as_bytes, b.harm.pop_front())
        };
        let body = if as_bytes {
            let bytes: Vec<u8> = items.iter().flat_map(toy::write).collect();
            let rest = &bytes[(request.resume as usize).min(bytes.len())..];
            let rest = &rest[..harm.map_or(rest.len(), |(n, _)| n.min(rest.len()))];
            let pieces: Vec<_> = rest.chunks(1000).map(Bytes::copy_from_slice).collect();
            let held = harmed(stream::iter(pieces).boxed(), harm).map(move |piece| {
                let _ = &session;
                piece
            });
            FootageBody::Bytes(held.boxed(), FormatHint::Vendor(Box::new(toy::Toy::default())))
        } else {
            let count = harm.map_or(items.len(), |(n, _)| n);
            let units = stream::iter(items).take(count).then(move |item| {
                let gate = gate.clone();
                async move {
                    if let Some(gate) = gate {
                        gate.acquire().await.unwrap().forget();
                    }
                    item
                }
                .boxed()
            });
            let held = harmed(units.boxed(), harm).map(move |item| {
                let _ = &session;
                item
            });
            FootageBody::Units(held.boxed())
        };
        Ok(Footage { body, what, start: None })
    }
}

/// A transfer and how it ends.
fn harmed<T: Send + 'static>(
    items: BoxStream<'static, T>,
    harm: Option<(usize, Harm)>,
) -> BoxStream<'static, Result<T>> {
    let end = match harm.map(|(_, h)| h) {
        None | Some(Harm::Ends) => stream::empty().boxed(),
        Some(Harm::Stalls) => stream::pending().boxed(),
        Some(Harm::Breaks) => broken(ErrorKind::Unreachable),
        Some(Harm::Refuses) => broken(ErrorKind::Unauthenticated),
    };
    items.map(Ok).chain(end).boxed()
}

fn broken<T: Send + 'static>(kind: ErrorKind) -> BoxStream<'static, Result<T>> {
    stream::once(async move { Err(Error::new(kind, "broke off")) }).boxed()
}

/// The name of a file: when it begins.
pub fn locate(file: UtcRange) -> Locator {
    Locator(file.start().micros().to_string().into())
}

fn unit(kind: TrackKind, frame: FrameKind, at: Utc, first: i64) -> Unit {
    let track = TrackToken::from(match kind {
        TrackKind::Audio => "yard-1-audio",
        _ => "yard-1-video",
    });
    Unit {
        kind,
        // An origin of its own, as in life.
        media: MediaTime { ticks: (at.micros() - first) * 9 / 100 + 12_345, rate_hz: 90_000 },
        frame,
        data: payload(&track, at, if frame == FrameKind::Key { 300 } else { 60 }),
    }
}

impl Adapter for Recorder {
    fn capabilities(&self) -> Capabilities {
        let b = self.behaviour.lock();
        Capabilities {
            footage: FootageSupport {
                by_time: true,
                by_segment: true,
                resume: b.resumes,
                seek: b.seek,
                chunk: b.chunk,
                max_sessions: 2,
                ..FootageSupport::default()
            },
            ..Capabilities::default()
        }
    }

    fn identify<'a>(&'a self, _: &'a Cx) -> BoxFuture<'a, Result<Identity>> {
        async { Ok(Identity::default()) }.boxed()
    }

    fn clock<'a>(&'a self, _: &'a Cx) -> BoxFuture<'a, Result<ClockReading>> {
        async { Err(Error::new(ErrorKind::Unsupported, "no clock")) }.boxed()
    }

    fn list_segments<'a>(
        &'a self,
        _: &'a Cx,
        _: SegmentQuery,
    ) -> BoxFuture<'a, Result<Page<SourceSegment>>> {
        async { Err(Error::new(ErrorKind::Unsupported, "no listing")) }.boxed()
    }

    fn list_events<'a>(
        &'a self,
        _: &'a Cx,
        _: EventQuery,
    ) -> BoxFuture<'a, Result<Page<SourceEvent>>> {
        async { Err(Error::new(ErrorKind::Unsupported, "no log")) }.boxed()
    }

    fn open<'a>(&'a self, cx: &'a Cx, request: FootageRequest) -> BoxFuture<'a, Result<Footage>> {
        self.answer(cx, request).boxed()
    }

    fn control<'a>(&'a self, _: &'a Cx, _: ControlRequest) -> BoxFuture<'a, Result<ControlState>> {
        async { Err(Error::new(ErrorKind::Unsupported, "no control")) }.boxed()
    }

    fn watch<'a>(&'a self, _: &'a Cx) -> BoxStream<'a, Result<SourceEvent>> {
        stream::empty().boxed()
    }
}
