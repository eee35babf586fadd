//! What the writer, the readers and the snapshots share.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use dvrgate_index::Catalog;
use dvrgate_model::{Error, ErrorKind, Fault, Utc};

use crate::names::Names;
use crate::pool::Pool;

/// See the module documentation. Only the writer changes it, and only after a commit (names
/// excepted: a name that no committed row uses harms nobody).
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// `None` while the database could not be opened again, and once the index is closed.
    pub pool: RwLock<Option<Arc<Pool>>>,
    pub catalog: RwLock<Arc<Catalog>>,
    /// Copied by the writer when it adds one while a reader holds it, which is rare.
    pub names: RwLock<Arc<Names>>,
    pub properties: RwLock<HashMap<Property, Utc>>,
    pub bounds: RwLock<Bounds>,
}

impl Shared {
    /// The names as they are now.
    pub fn names(&self) -> Arc<Names> {
        self.names.read().clone()
    }

    /// Changes the names. Only for the writer, and only when there is something to change.
    pub fn change_names<T>(&self, change: impl FnOnce(&mut Names) -> T) -> T {
        change(Arc::make_mut(&mut self.names.write()))
    }

    /// The open database.
    pub fn pool(&self) -> Result<Arc<Pool>, Error> {
        self.pool.read().clone().ok_or_else(|| {
            Error::new(ErrorKind::Internal, "the index is not open").with_fault(Fault::Gateway)
        })
    }
}

/// What a property is known by.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Property {
    pub topic: u32,
    pub recording: u32,
    pub track: Option<u32>,
    pub source_items: String,
}

/// Where the rows of the large tables lie. Only ever wider than the truth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// First and last start of a segment.
    pub starts: Ends,
    /// First and last event.
    pub events: Ends,
}

/// First and last of some instants; crossed where there is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub first: Utc,
    pub last: Utc,
}

impl Ends {
    pub const NONE: Ends = Ends { first: Utc::MAX, last: Utc::MIN };

    pub fn add(&mut self, t: Utc) {
        self.first = self.first.min(t);
        self.last = self.last.max(t);
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self { starts: Ends::NONE, events: Ends::NONE }
    }
}
