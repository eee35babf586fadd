//! Control objects (jobs, receivers, configurations) in memory.

use std::collections::BTreeMap;

use futures::future::{BoxFuture, ready};
use parking_lot::Mutex;

use dvrgate_model::ports::{ControlStore, Versioned};
use dvrgate_model::{Error, ErrorKind, Result};

/// A [`ControlStore`] that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryControl {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<(String, String), Versioned>,
    /// One counter for all objects: an object that is deleted and made again does not meet the
    /// version that someone still holds of the old one.
    last_version: u64,
}

impl MemoryControl {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Refuses a write whose expectation does not hold.
pub fn check_version(
    kind: &str,
    key: &str,
    found: Option<u64>,
    expected: Option<u64>,
) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let say = |v: Option<u64>| v.map_or_else(|| "none".to_owned(), |v| v.to_string());
    Err(Error::new(ErrorKind::Conflict, "the object changed in between")
        .with("kind", kind)
        .with("key", key)
        .with("version", say(found))
        .with("expected", say(expected)))
}

impl ControlStore for MemoryControl {
    fn get(&self, kind: &str, key: &str) -> BoxFuture<'_, Result<Option<Versioned>>> {
        let found = self.inner.lock().objects.get(&(kind.to_owned(), key.to_owned())).cloned();
        Box::pin(ready(Ok(found)))
    }

    fn put(
        &self,
        kind: &str,
        key: &str,
        value: String,
        expected: Option<u64>,
    ) -> BoxFuture<'_, Result<u64>> {
        let mut inner = self.inner.lock();
        let place = (kind.to_owned(), key.to_owned());
        let found = inner.objects.get(&place).map(|v| v.version);
        let result = check_version(kind, key, found, expected).map(|()| {
            inner.last_version += 1;
            let version = inner.last_version;
            inner.objects.insert(place, Versioned { version, value });
            version
        });
        Box::pin(ready(result))
    }

    fn delete(&self, kind: &str, key: &str) -> BoxFuture<'_, Result<()>> {
        self.inner.lock().objects.remove(&(kind.to_owned(), key.to_owned()));
        Box::pin(ready(Ok(())))
    }

    fn list(&self, kind: &str) -> BoxFuture<'_, Result<Vec<(String, Versioned)>>> {
        let inner = self.inner.lock();
        let found = inner.objects.iter().filter(|((k, _), _)| k == kind);
        let list = found.map(|((_, key), v)| (key.clone(), v.clone())).collect();
        Box::pin(ready(Ok(list)))
    }
}
