//! Store, fetch and timeline put together.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dvrgate_index::{Index, Scope};
use dvrgate_model::{Error, Origin, Result, TrackKind, TrackToken, UtcRange};
use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use tokio::sync::watch;

use crate::fetch::{Devices, FetchStats, Fetcher};
use crate::store::{Opened as StoreOpened, Transfer};
use crate::timeline::{self, Reader};
use crate::{
    Coverage, Delivery, FrameStream, Gop, GopKey, GopStore, MediaStore, Pin, PlayPlan,
    StoreOptions, StoreStats, Timeline,
};

/// Tells that the index changed, so that playback at the live edge can go on.
pub trait Changes: std::fmt::Debug + Send + Sync {
    /// A counter that rises with every change.
    fn subscribe(&self) -> watch::Receiver<u64>;
}

/// A counter that sync moves after each batch.
#[derive(Debug)]
pub struct ChangeCounter(watch::Sender<u64>);

impl ChangeCounter {
    /// Says that the index changed.
    pub fn note(&self) {
        self.0.send_modify(|n| *n += 1);
    }
}

impl Default for ChangeCounter {
    fn default() -> Self {
        Self(watch::channel(0).0)
    }
}

impl Changes for ChangeCounter {
    fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// `[footage]` of the configuration.
#[derive(Clone, Debug)]
pub struct FootageOptions {
    /// Directory of the GOP store.
    pub dir: PathBuf,
    /// Its bound.
    pub budget_bytes: u64,
    /// A recorder that sends nothing for this long in the middle of footage stalls: its session is
    /// given back and the rest asked for anew. [`FootageOptions::STALL`] suits all.
    pub stall: Duration,
}

impl FootageOptions {
    /// Longer than the silence that adapters take for the end of footage (8 s where nothing else
    /// tells it), so that an end is no stall; short enough that with a new session (some recorders
    /// take seconds) half of the minute after which viewers are taken for gone is left.
    pub const STALL: Duration = Duration::from_secs(10);
}

/// What [`Footage::open`] gives.
#[derive(Debug)]
pub struct Opened {
    /// Ready for playback.
    pub footage: Arc<Footage>,
    /// What the store found on disk, and what it had to drop.
    pub report: StoreOpened,
}

/// Footage of all recordings: the [`Timeline`] over the index, and the [`MediaStore`] beneath.
#[derive(Debug)]
pub struct Footage {
    store: GopStore,
    fetcher: Fetcher,
    index: Arc<dyn Index>,
    changes: Arc<dyn Changes>,
}

/// Figures for the log and the metrics.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FootageStats {
    /// Of the store.
    pub store: StoreStats,
    /// Of the transfers from recorders.
    pub fetch: FetchStats,
}

impl Footage {
    /// Opens the store and puts the rest around it. Blocks while sidecars are read.
    pub fn open(
        options: FootageOptions,
        devices: Arc<dyn Devices>,
        index: Arc<dyn Index>,
        changes: Arc<dyn Changes>,
    ) -> Result<Opened> {
        let FootageOptions { dir, budget_bytes, stall } = options;
        let (store, report) = GopStore::open(StoreOptions { dir, budget_bytes })?;
        let fetcher = Fetcher::new(store.clone(), Arc::clone(&index), devices, stall);
        for recording in index.snapshot().recordings(&Scope::all())? {
            fetcher.refresh_clock(&recording)?;
        }
        let footage = Arc::new(Self { store, fetcher, index, changes });
        Ok(Opened { footage, report })
    }

    /// What it holds and did.
    pub fn stats(&self) -> FootageStats {
        FootageStats { store: self.store.stats(), fetch: self.fetcher.stats() }
    }

    /// The store, for those who keep footage of their own (receivers) and for checks.
    pub fn store(&self) -> &GopStore {
        &self.store
    }

    fn walk(&self, plan: &PlayPlan) -> Result<FrameStream> {
        let changes = self.changes.subscribe();
        let recording = self.index.snapshot().recording(&plan.recording)?.ok_or_else(|| {
            Error::not_found("no such recording").with("recording", &plan.recording)
        })?;
        self.fetcher.refresh_clock(&recording)?;
        let (mut tracks, mut events) = (Vec::with_capacity(plan.tracks.len()), None);
        for token in &plan.tracks {
            let track = recording.track(token).ok_or_else(|| {
                Error::not_found("no such track in the recording").with("track", token)
            })?;
            match (track.kind, &recording.origin) {
                // Recorders tell events; what a receiver pulls are documents already.
                (TrackKind::Metadata, Origin::Device { .. }) => events = Some(token.clone()),
                (kind, _) => tracks.push((token.clone(), kind)),
            }
        }
        let reader = Reader::new(
            self.store.clone(),
            self.fetcher.clone(),
            Arc::clone(&self.index),
            recording,
            changes,
            plan.until,
        );
        Ok(timeline::walk(reader, plan, tracks, events))
    }
}

impl Timeline for Footage {
    fn play(&self, plan: PlayPlan) -> FrameStream {
        match self.walk(&plan) {
            Ok(stream) => stream,
            Err(e) => stream::once(async { Err::<Delivery, _>(e) }).boxed(),
        }
    }
}

impl MediaStore for Footage {
    fn cover(&self, track: &TrackToken, range: UtcRange) -> Result<Coverage> {
        self.store.cover(track, range)
    }

    fn gop(&self, key: &GopKey) -> BoxFuture<'_, Result<Arc<Gop>>> {
        self.store.gop(key)
    }

    fn transfer(&self, what: &str) -> Transfer {
        self.store.transfer(what)
    }

    fn put<'a>(&'a self, gop: Arc<Gop>, transfer: &'a Transfer) -> BoxFuture<'a, Result<GopKey>> {
        self.store.put(gop, transfer)
    }

    fn finish(
        &self,
        transfer: Transfer,
        sha256: Option<[u8; 32]>,
        bytes: u64,
    ) -> BoxFuture<'_, Result<()>> {
        self.store.finish(transfer, sha256, bytes)
    }

    fn pin(&self, track: &TrackToken, range: UtcRange) -> Pin {
        self.store.pin(track, range)
    }
}
