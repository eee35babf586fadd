//! What was learnt of the recorders' clocks, beside the index.
//!
//! An index that is lost is read from the recorders again, but not how their clocks went: nobody
//! can measure today what a clock showed before it was set, and a new measurement differs by some
//! milliseconds from the one that stored footage was placed by. So the epochs of each recorder are
//! also in a file of their own below the data folder.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dvrgate_index::{Batch, Change, Index, Snapshot};
use dvrgate_model::{
    Basis, Civil, ClockEpoch, ClockEpochId, DeviceId, Error, Result, SourceRange, Utc, ZoneRule,
    ZoneTrust,
};
use serde::{Deserialize, Serialize};

/// See the module documentation. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClockFiles(Arc<Path>);

/// A file: the epochs of one recorder. Times are microseconds since 1970.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    schema: u32,
    device: String,
    epochs: Vec<Epoch>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Epoch {
    id: u32,
    /// Readings of the recorder, as if they were UTC.
    valid_from_us: i64,
    valid_until_us: i64,
    offset_us: i64,
    drift_ppb: i32,
    measured_at_us: i64,
    zone: String,
    claims_are_true: bool,
    basis: String,
    uncertainty_us: u64,
}

const SCHEMA: u32 = 1;
/// No recorder has so many epochs that its file is longer.
const MAX_FILE_BYTES: u64 = 16 << 20;

impl ClockFiles {
    /// Below that data folder. Touches nothing.
    pub fn new(data_dir: &Path) -> Self {
        Self(data_dir.join("clocks").into())
    }

    /// Brings index and files together: what a new index does not know is put into it, what has
    /// no file yet gets one.
    pub async fn settle(&self, index: &dyn Index, devices: &[DeviceId]) -> Result<()> {
        let snapshot = index.snapshot();
        let mut changes = Vec::new();
        for device in devices {
            let known = snapshot.clock(device)?;
            match (known.epochs(), self.read(device)) {
                ([], Ok(Some(kept))) => {
                    tracing::info!(%device, epochs = kept.len(), "its clock is known from before");
                    changes.extend(kept.into_iter().map(|e| Change::Epoch(Box::new(e))));
                }
                ([], Ok(None)) => {}
                ([], Err(error)) => {
                    tracing::warn!(%device, %error, "its clock must be measured anew")
                }
                (epochs, Ok(None) | Err(_)) => self.keep_or_warn(device, epochs),
                (_, Ok(Some(_))) => {}
            }
        }
        if !changes.is_empty() {
            index.apply(Batch { run: snapshot.last_run(), changes }).await?;
        }
        Ok(())
    }

    /// The recorders whose epochs a batch changes.
    pub fn touched(batch: &Batch) -> BTreeSet<DeviceId> {
        let device = |c: &Change| match c {
            Change::Epoch(e) => Some(e.device.clone()),
            _ => None,
        };
        batch.changes.iter().filter_map(device).collect()
    }

    /// Writes what the index knows of them. Blocks.
    pub fn keep(&self, snapshot: &dyn Snapshot, devices: &BTreeSet<DeviceId>) {
        for device in devices {
            match snapshot.clock(device) {
                Ok(map) => self.keep_or_warn(device, map.epochs()),
                Err(error) => tracing::warn!(%device, %error, "its clock is not kept"),
            }
        }
    }

    fn keep_or_warn(&self, device: &DeviceId, epochs: &[ClockEpoch]) {
        if let Err(error) = self.write(device, epochs) {
            let path = self.path(device);
            tracing::warn!(path = %path.display(), %error, "what is known of a clock is not kept");
        }
    }

    fn write(&self, device: &DeviceId, epochs: &[ClockEpoch]) -> std::io::Result<()> {
        let epochs = epochs.iter().map(Epoch::from).collect();
        let stored = Stored { schema: SCHEMA, device: device.to_string(), epochs };
        std::fs::create_dir_all(&self.0)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
        serde_json::to_writer_pretty(&mut file, &stored)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(self.path(device))?;
        Ok(())
    }

    fn read(&self, device: &DeviceId) -> Result<Option<Vec<ClockEpoch>>> {
        let path = self.path(device);
        let unusable = |why: String| Error::invalid(format!("{}: {why}", path.display()));
        match std::fs::metadata(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unusable(e.to_string())),
            Ok(about) if about.len() > MAX_FILE_BYTES => return Err(unusable("too long".into())),
            Ok(_) => {}
        }
        let text = std::fs::read(&path).map_err(|e| unusable(e.to_string()))?;
        let stored: Stored = serde_json::from_slice(&text).map_err(|e| unusable(e.to_string()))?;
        if (stored.schema, stored.device.as_str()) != (SCHEMA, device.as_str()) {
            return Err(unusable(format!("schema {} of {:?}", stored.schema, stored.device)));
        }
        let epochs = stored.epochs.iter().map(|e| e.read(device)).collect::<Result<Vec<_>>>();
        Ok(Some(epochs?).filter(|e| !e.is_empty()))
    }

    fn path(&self, device: &DeviceId) -> PathBuf {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let name = device.as_str().bytes().map(|b| match plain(b) {
            true => char::from(b).to_string(),
            false => format!("%{b:02x}"),
        });
        self.0.join(format!("{}.json", name.collect::<String>()))
    }
}

impl From<&ClockEpoch> for Epoch {
    fn from(e: &ClockEpoch) -> Self {
        Self {
            id: e.id.0,
            valid_from_us: e.valid.start.micros_as_if_utc(),
            valid_until_us: e.valid.end.micros_as_if_utc(),
            offset_us: e.offset_us,
            drift_ppb: e.drift_ppb,
            measured_at_us: e.measured_at.micros(),
            zone: e.zone.as_str().to_owned(),
            claims_are_true: e.trust == ZoneTrust::Claimed,
            basis: e.basis.name().to_owned(),
            uncertainty_us: e.uncertainty_us,
        }
    }
}

impl Epoch {
    fn read(&self, device: &DeviceId) -> Result<ClockEpoch> {
        let basis = Basis::from_name(&self.basis)
            .ok_or_else(|| Error::invalid(format!("unknown basis {:?}", self.basis)))?;
        Ok(ClockEpoch {
            id: ClockEpochId(self.id),
            device: device.clone(),
            valid: SourceRange::new(
                Civil::from_micros_as_if_utc(self.valid_from_us),
                Civil::from_micros_as_if_utc(self.valid_until_us),
            ),
            offset_us: self.offset_us,
            drift_ppb: self.drift_ppb,
            measured_at: Utc::from_micros(self.measured_at_us),
            zone: ZoneRule::parse(&self.zone)?,
            trust: match self.claims_are_true {
                true => ZoneTrust::Claimed,
                false => ZoneTrust::WallClock,
            },
            basis,
            uncertainty_us: self.uncertainty_us,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test may

    use dvrgate_index::MemoryIndex;
    use dvrgate_model::SyncRunId;

    use super::*;

    fn epochs(device: &str) -> Vec<ClockEpoch> {
        let zone = ZoneRule::parse("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let first = ClockEpoch {
            id: ClockEpochId(1),
            offset_us: -7_200_137_250,
            drift_ppb: -45_000,
            measured_at: "2026-03-01T10:00:00.25Z".parse().unwrap(),
            basis: Basis::Measured,
            uncertainty_us: 12_345,
            ..ClockEpoch::assumed(device.into(), zone, ZoneTrust::WallClock)
        };
        let border = Civil::parse_prefix("2026-05-01T02:30:00").unwrap().0;
        let second = ClockEpoch {
            id: ClockEpochId(2),
            valid: SourceRange::new(border, first.valid.end),
            trust: ZoneTrust::Claimed,
            ..first.clone()
        };
        let valid = SourceRange::new(first.valid.start, border);
        vec![ClockEpoch { valid, ..first }, second]
    }

    fn batch(device: &str) -> Batch {
        let changes = epochs(device).into_iter().map(|e| Change::Epoch(Box::new(e))).collect();
        Batch { run: SyncRunId(1), changes }
    }

    #[tokio::test]
    async fn a_new_index_learns_what_the_lost_one_knew() {
        let folder = tempfile::tempdir().unwrap();
        let files = ClockFiles::new(folder.path());
        let (yard, odd) = (DeviceId::new("yard"), DeviceId::new("../a b"));
        let devices = [yard.clone(), odd.clone()];
        let lost = MemoryIndex::default();
        for device in &devices {
            lost.apply(batch(device.as_str())).await.unwrap();
        }
        // Files are made for an index from before there were any.
        files.settle(&lost, &devices).await.unwrap();
        let new = MemoryIndex::default();
        files.settle(&new, &devices).await.unwrap();
        for device in &devices {
            let (was, is) = (lost.snapshot(), new.snapshot());
            assert_eq!(was.clock(device).unwrap().epochs(), is.clock(device).unwrap().epochs());
            assert_eq!(is.clock(device).unwrap().epochs(), epochs(device.as_str()));
        }
        // Nothing left the folder, and nothing half written stays in it.
        let names = std::fs::read_dir(folder.path().join("clocks")).unwrap();
        let mut names: Vec<_> =
            names.map(|n| n.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["%2e%2e%2fa%20b.json", "yard.json"]);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_measured_anew_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let files = ClockFiles::new(folder.path());
        let yard = DeviceId::new("yard");
        files.write(&yard, &epochs("yard")).unwrap();
        let path = files.path(&yard);
        let whole = std::fs::read(&path).unwrap();
        for cut in (0..whole.len() - 1).step_by(7) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(files.read(&yard).is_err(), "{cut} bytes");
        }
        // Another recorder's.
        std::fs::write(&path, String::from_utf8(whole).unwrap().replace("yard", "gate")).unwrap();
        let index = MemoryIndex::default();
        files.settle(&index, std::slice::from_ref(&yard)).await.unwrap();
        assert!(index.snapshot().clock(&yard).unwrap().epochs().is_empty());
        let measured = batch("yard");
        let touched = ClockFiles::touched(&measured);
        index.apply(measured).await.unwrap();
        files.keep(&*index.snapshot(), &touched);
        assert_eq!(files.read(&yard).unwrap().unwrap(), epochs("yard"));
    }
}
