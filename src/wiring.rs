//! Puts the parts together: what each command needs, made from the configuration.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use dvrgate_adapter::device::DeviceOptions;
use dvrgate_adapter::mapping::resolve;
use dvrgate_adapter::{Device, DeviceSettings, Mapping};
use dvrgate_footage::{ChangeCounter, Devices, Footage, FootageOptions};
use dvrgate_index::{Applied, Batch, Index, Snapshot, blocking};
use dvrgate_index_duckdb::DuckDbIndex;
use dvrgate_model::ports::{Clock, EventSink, NoEvents, Sources, Trouble};
use dvrgate_model::{DeviceId, Error, Identity, Origin, Recording, Result, Utc, Vendor};
use dvrgate_sync::Syncer;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::clocks::ClockFiles;
use crate::config::{self, Config};
use crate::vendors;

/// The machine's clocks: the only place besides the drivers that reads them.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn utc(&self) -> Utc {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Utc::from_micros(since.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// An index that tells playback at the live edge when it changed, and keeps what is known of clocks
/// beside it.
#[derive(Debug)]
struct NotingIndex {
    inner: Arc<DuckDbIndex>,
    changes: Arc<ChangeCounter>,
    clocks: ClockFiles,
}

impl Index for NotingIndex {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied>> {
        async move {
            let clocks = ClockFiles::touched(&batch);
            let applied = self.inner.apply(batch).await?;
            self.changes.note();
            if !clocks.is_empty() {
                let files = self.clocks.clone();
                blocking(self.inner.snapshot(), move |s| {
                    files.keep(s, &clocks);
                    Ok(())
                })
                .await?;
            }
            Ok(applied)
        }
        .boxed()
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        self.inner.snapshot()
    }
}

/// All devices by name.
#[derive(Debug)]
struct Fleet(HashMap<DeviceId, Arc<Device>>);

impl Devices for Fleet {
    fn device(&self, id: &DeviceId) -> Option<Arc<Device>> {
        self.0.get(id).cloned()
    }
}

impl Sources for Fleet {
    fn trouble(&self, device: &DeviceId) -> Option<Trouble> {
        self.0.get(device)?.health.trouble()
    }
}

/// The parts that both `serve` and `sync` need.
#[derive(Debug)]
pub struct Core {
    /// The database itself: control objects.
    pub store: Arc<DuckDbIndex>,
    /// The index; writes through it wake live playback.
    pub index: Arc<dyn Index>,
    /// Wakes live playback.
    pub changes: Arc<ChangeCounter>,
    /// Keeps the index in step.
    pub syncer: Arc<Syncer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl Core {
    /// Opens the index and makes the devices. Contacts nothing.
    pub async fn open(config: &Config) -> Result<Self> {
        let store = Arc::new(open_index(config)?);
        let changes = Arc::new(ChangeCounter::default());
        let clocks = ClockFiles::new(&config.gateway.data_dir);
        let ids: Vec<DeviceId> = config.devices.iter().map(|d| d.id.clone()).collect();
        clocks.settle(&*store, &ids).await?;
        let (inner, noted) = (Arc::clone(&store), Arc::clone(&changes));
        let index: Arc<dyn Index> = Arc::new(NotingIndex { inner, changes: noted, clocks });
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let sink: Arc<dyn EventSink> = Arc::new(NoEvents);
        let known = |id: &DeviceId| identity_in(&*store.snapshot(), id);
        let devices = make_devices(config, &known)?;
        let options = dvrgate_sync::Options {
            fresh_every: config.sync.interval,
            watch: config.sync.watch,
            horizon: config.sync.horizon,
            ..dvrgate_sync::Options::default()
        };
        let syncer = Syncer::new(devices, Arc::clone(&index), Arc::clone(&clock), sink, options);
        Ok(Self { store, index, changes, syncer: Arc::new(syncer), clock })
    }

    fn fleet(&self) -> Arc<Fleet> {
        let named = |d: &Device| (d.id.clone(), Arc::new(d.clone()));
        Arc::new(Fleet(self.syncer.devices().iter().map(named).collect()))
    }

    /// Tells which recorders are in reach.
    pub fn sources(&self) -> Arc<dyn Sources> {
        self.fleet()
    }

    /// Opens the footage store and puts the fetch around it. Blocks while sidecars are read.
    pub fn footage(&self, config: &Config) -> Result<Arc<Footage>> {
        let options = FootageOptions {
            dir: config.gateway.data_dir.join("footage"),
            budget_bytes: config.footage.budget.as_u64(),
            stall: FootageOptions::STALL,
        };
        let opened = Footage::open(
            options,
            self.fleet(),
            Arc::clone(&self.index),
            Arc::clone(&self.changes) as _,
        )?;
        let report = opened.report;
        if report.dropped_gops > 0 || report.dropped_bytes > 0 {
            tracing::warn!(
                gops = report.dropped_gops,
                bytes = report.dropped_bytes,
                "the unfinished end of the footage store was dropped"
            );
        }
        Ok(opened.footage)
    }
}

/// Opens the index below the data folder, which is made if it is missing.
pub fn open_index(config: &Config) -> Result<DuckDbIndex> {
    let dir = &config.gateway.data_dir;
    // A file without a name leaves nothing behind. What DuckDB says instead has no remedy in it.
    std::fs::create_dir_all(dir)
        .and_then(|()| tempfile::tempfile_in(dir))
        .map_err(|e| unusable(dir, &e))?;
    let opened = DuckDbIndex::open(dvrgate_index_duckdb::Options {
        memory_limit_bytes: config.index.memory_limit.as_u64(),
        ..dvrgate_index_duckdb::Options::new(dir.join("index.duckdb"))
    })?;
    if let Some(what) = opened.recovered {
        tracing::warn!("the index was unusable and is rebuilt from the recorders: {what}");
    }
    Ok(opened.index)
}

fn unusable(dir: &Path, e: &std::io::Error) -> Error {
    let text = format!(
        "data_dir {}: {e}; name a folder that the user of this program may write, with space for \
         footage.budget",
        dir.display()
    );
    Error::invalid(text)
}

/// The devices of the configuration. Contacts nothing, and knows nothing of what the recorders are.
pub fn devices(config: &Config) -> Result<Vec<Device>> {
    make_devices(config, &|_| None)
}

/// What a recorder was when the index last saw it; `None` before the first sync.
pub fn known_identity(config: &Config, id: &str) -> Result<Option<Identity>> {
    if !config.gateway.data_dir.join("index.duckdb").exists() {
        return Ok(None);
    }
    Ok(identity_in(&*open_index(config)?.snapshot(), &DeviceId::new(id)))
}

/// The effective mapping of a device.
pub fn mapping_of(config: &Config, id: &str, identity: Option<&Identity>) -> Result<Mapping> {
    let device = configured(config, id)?;
    let documents = vendors::mappings(Some(&mappings_dir(config)))?;
    resolve(&Vendor::from(device.vendor.as_str()), &documents, identity)
}

/// The device of that name in the configuration.
pub fn configured<'a>(config: &'a Config, id: &str) -> Result<&'a config::Device> {
    config.devices.iter().find(|d| d.id.as_str() == id).ok_or_else(|| {
        let known: Vec<&str> = config.devices.iter().map(|d| d.id.as_str()).collect();
        Error::not_found(format!(
            "no device {id:?} in the configuration; there are: {}",
            known.join(", ")
        ))
    })
}

/// A device as configured.
pub fn connect(
    device: &config::Device,
    documents: &[dvrgate_adapter::mapping::Document],
    identity: Option<&Identity>,
) -> Result<Device> {
    let connector = vendors::connector(&device.vendor)?;
    let mapping = resolve(&connector.vendor(), documents, identity)?;
    let settings = DeviceSettings {
        id: device.id.clone(),
        url: device.url.clone(),
        rtsp: device.rtsp.clone(),
        username: device.username.clone(),
        password: device.password.expose().to_owned(),
        zone: device.time_zone.clone(),
    };
    let options = DeviceOptions {
        playback_sessions: device.limits.playback_sessions,
        requests_per_second: device.limits.requests_per_second,
        ..DeviceOptions::default()
    };
    Device::connect(connector, settings, Arc::new(mapping), Arc::new(SystemClock), &options)
        .map_err(|e| e.with("device", &device.id))
}

fn make_devices(
    config: &Config,
    known: &dyn Fn(&DeviceId) -> Option<Identity>,
) -> Result<Vec<Device>> {
    let documents = vendors::mappings(Some(&mappings_dir(config)))?;
    let connect = |d| connect(d, &documents, known(&d.id).as_ref());
    config.devices.iter().map(connect).collect()
}

/// Where the operator's own mappings are.
fn mappings_dir(config: &Config) -> std::path::PathBuf {
    config.base.join("mappings")
}

fn identity_in(snapshot: &dyn Snapshot, id: &DeviceId) -> Option<Identity> {
    snapshot.device(id).ok().flatten().map(|d| d.identity)
}

/// The recorder behind a recording.
pub fn device_of(recording: &Recording) -> Option<&DeviceId> {
    match &recording.origin {
        Origin::Device { device, .. } => Some(device),
        Origin::Receiver { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_that_cannot_be_written_is_named_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let open = |data_dir: &str| {
            let text = format!(
                "[gateway]\ndata_dir = {data_dir:?}\n[[user]]\nname = \"a\"\nlevel = \"user\"\n\
                 password = \"b\"\n"
            );
            let secrets = config::Secrets::Needed;
            let config = Config::parse(&text, "t.toml", dir.path(), &vendors::names(), secrets);
            open_index(&config.unwrap()).map(drop).map_err(|e| e.to_string())
        };
        std::fs::write(dir.path().join("file"), "").unwrap();
        // Nobody, not even root, may make a file in /proc.
        for unusable in ["/proc", "file", "file/below"] {
            let said = open(unusable).unwrap_err();
            assert!(said.starts_with("data_dir /") && said.contains("may write"), "{said}");
        }
        open("data").unwrap();
        let left: Vec<_> = std::fs::read_dir(dir.path().join("data"))
            .unwrap()
            .flatten()
            .map(|f| f.file_name())
            .collect();
        assert!(left.iter().all(|f| f.to_string_lossy().starts_with("index.duckdb")), "{left:?}");
    }
}
