//! What clients may change and what must stay the same over restarts: scopes, discovery mode, and the
//! address of the endpoint (ONVIF Core 7.3.1).

use std::sync::Arc;

use dvrgate_model::Result;
use dvrgate_model::ports::ControlStore;
use dvrgate_soap::Fault;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

use crate::discovery::scope;
use crate::faults;

/// The state of the device, kept in the control store.
#[derive(Debug)]
pub struct State {
    store: Arc<dyn ControlStore>,
    fixed: Vec<String>,
    kept: Mutex<Kept>,
    /// The version in the store; held over a whole change.
    writing: tokio::sync::Mutex<Option<u64>>,
    announced: watch::Sender<u32>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Kept {
    endpoint: Uuid,
    discoverable: bool,
    /// Scopes that clients may change.
    scopes: Vec<String>,
    /// Rises whenever discovery would show something else.
    metadata_version: u32,
}

impl State {
    /// Loads the state, or begins one. `fixed` scopes belong to the device; `configured` ones are what
    /// a new device starts with and clients may change.
    pub async fn open(
        store: Arc<dyn ControlStore>,
        fixed: Vec<String>,
        configured: Vec<String>,
    ) -> Result<Self> {
        let fresh = || Kept {
            endpoint: Uuid::new_v4(),
            discoverable: true,
            scopes: configured,
            metadata_version: 1,
        };
        let stored = store.get(KIND, KEY).await?;
        let version = stored.as_ref().map(|s| s.version);
        let read = stored.as_ref().and_then(|s| serde_json::from_str(&s.value).ok());
        if stored.is_some() && read.is_none() {
            tracing::warn!("the stored state of the device cannot be read and begins anew");
        }
        let begun = read.is_none();
        let kept: Kept = read.unwrap_or_else(fresh);
        let (announced, _) = watch::channel(kept.metadata_version);
        let state = Self {
            store,
            fixed,
            kept: Mutex::new(kept.clone()),
            writing: tokio::sync::Mutex::new(version),
            announced,
        };
        if begun {
            state.save(kept, &mut *state.writing.lock().await).await?;
        }
        Ok(state)
    }

    /// `urn:uuid:…`, the same for as long as the store lives.
    pub fn endpoint(&self) -> String {
        self.kept.lock().endpoint.urn().to_string()
    }

    /// Twelve hex digits out of the endpoint, for a device without another serial number.
    pub fn serial(&self) -> String {
        let hex = self.kept.lock().endpoint.simple().to_string();
        hex[hex.len() - 12..].to_uppercase()
    }

    /// Scopes of the device itself.
    pub fn fixed_scopes(&self) -> &[String] {
        &self.fixed
    }

    /// Scopes that clients may change.
    pub fn configurable_scopes(&self) -> Vec<String> {
        self.kept.lock().scopes.clone()
    }

    /// All scopes.
    pub fn scopes(&self) -> Vec<String> {
        self.fixed.iter().cloned().chain(self.configurable_scopes()).collect()
    }

    /// Whether discovery answers.
    pub fn is_discoverable(&self) -> bool {
        self.kept.lock().discoverable
    }

    /// The version that Hello and matches carry; it can be waited for.
    pub fn metadata_version(&self) -> watch::Receiver<u32> {
        self.announced.subscribe()
    }

    /// Replaces the configurable scopes.
    pub(crate) async fn set_scopes(&self, scopes: Vec<String>) -> Result<(), Fault> {
        let scopes = self.checked(Vec::new(), scopes)?;
        self.change("SetScopes", move |kept| {
            kept.scopes = scopes;
            Ok(())
        })
        .await
    }

    /// Adds configurable scopes; those that are there stay as they are.
    pub(crate) async fn add_scopes(&self, scopes: Vec<String>) -> Result<(), Fault> {
        self.change("AddScopes", |kept| {
            kept.scopes = self.checked(kept.scopes.clone(), scopes)?;
            Ok(())
        })
        .await
    }

    /// Removes configurable scopes, all or none.
    pub(crate) async fn remove_scopes(&self, scopes: &[String]) -> Result<(), Fault> {
        self.change("RemoveScopes", |kept| {
            for scope in scopes {
                if self.fixed.contains(scope) {
                    return Err(faults::fixed_scope(scope));
                }
                let at = kept.scopes.iter().position(|s| s == scope);
                kept.scopes.remove(at.ok_or_else(|| faults::no_scope(scope))?);
            }
            Ok(())
        })
        .await
    }

    /// Opens or closes discovery.
    pub(crate) async fn set_discoverable(&self, discoverable: bool) -> Result<(), Fault> {
        self.change("SetDiscoveryMode", |kept| {
            kept.discoverable = discoverable;
            Ok(())
        })
        .await
    }

    /// `more` behind `list`, each once, fixed scopes left out.
    fn checked(&self, mut list: Vec<String>, more: Vec<String>) -> Result<Vec<String>, Fault> {
        for scope in more {
            if scope.len() > MAX_SCOPE_CHARS || !scope::is_uri(&scope) {
                return Err(faults::bad_scope());
            }
            if !self.fixed.contains(&scope) && !list.contains(&scope) {
                list.push(scope);
            }
        }
        if list.len() > MAX_SCOPES {
            return Err(faults::too_many_scopes(MAX_SCOPES));
        }
        Ok(list)
    }

    /// One change at a time: read, change, store, and only then show it.
    async fn change<F>(&self, operation: &str, change: F) -> Result<(), Fault>
    where
        F: FnOnce(&mut Kept) -> Result<(), Fault>,
    {
        let mut version = self.writing.lock().await;
        let before = self.kept.lock().clone();
        let mut kept = before.clone();
        change(&mut kept)?;
        if kept == before {
            return Ok(());
        }
        kept.metadata_version = kept.metadata_version.saturating_add(1);
        let saved = self.save(kept, &mut version).await;
        saved.map_err(|e| dvrgate_soap::fault::of(&e, operation))
    }

    async fn save(&self, kept: Kept, version: &mut Option<u64>) -> Result<()> {
        let value = serde_json::to_string(&kept)
            .map_err(|e| dvrgate_model::Error::internal("state cannot be written").because(e))?;
        *version = Some(self.store.put(KIND, KEY, value, *version).await?);
        let metadata_version = kept.metadata_version;
        *self.kept.lock() = kept;
        self.announced.send_replace(metadata_version);
        Ok(())
    }
}

const KIND: &str = "device";
const KEY: &str = "state";

/// How many scopes clients may set.
pub(crate) const MAX_SCOPES: usize = 32;
/// Longest scope.
const MAX_SCOPE_CHARS: usize = 256;
