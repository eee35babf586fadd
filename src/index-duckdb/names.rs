//! Small numbers for the names that rows repeat: tracks, recordings, topics.

use std::collections::HashMap;
use std::hash::Hash;

use duckdb::{Connection, params};

use dvrgate_model::{RecordingToken, Topic, TrackToken};

/// All three kinds. Only the writer adds; a name's number never changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub tracks: Interner<TrackToken>,
    pub recordings: Interner<RecordingToken>,
    pub topics: Interner<Topic>,
}

#[derive(Clone, Debug)]
pub(crate) struct Interner<T> {
    ids: HashMap<T, u32>,
    names: Vec<T>,
    /// How many are in the database.
    stored: usize,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { ids: HashMap::new(), names: Vec::new(), stored: 0 }
    }
}

impl<T: Clone + Eq + Hash> Interner<T> {
    /// The number of a name, if it has one.
    pub fn get(&self, name: &T) -> Option<u32> {
        self.ids.get(name).copied()
    }

    /// The number of a name, given now if need be.
    pub fn intern(&mut self, name: &T) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.names.len() as u32;
        self.names.push(name.clone());
        self.ids.insert(name.clone(), id);
        id
    }

    /// The name of a number.
    pub fn name(&self, id: u32) -> Option<&T> {
        self.names.get(id as usize)
    }

    fn store(
        &mut self,
        db: &Connection,
        table: &str,
        text: impl Fn(&T) -> &str,
    ) -> duckdb::Result<()> {
        if self.stored == self.names.len() {
            return Ok(());
        }
        let mut appender = db.appender(table)?;
        for (id, name) in self.names.iter().enumerate().skip(self.stored) {
            appender.append_row(params![id as u32, text(name)])?;
        }
        appender.flush()?;
        self.stored = self.names.len();
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        for name in self.names.drain(len.min(self.names.len())..) {
            self.ids.remove(&name);
        }
        self.stored = self.stored.min(len);
    }

    fn load(db: &Connection, table: &str, name: impl Fn(&str) -> T) -> duckdb::Result<Self> {
        let mut all = Self::default();
        let mut statement = db.prepare(&format!("SELECT text FROM {table} ORDER BY id"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let text: String = row.get(0)?;
            all.intern(&name(&text));
        }
        all.stored = all.names.len();
        Ok(all)
    }
}

impl Names {
    pub fn load(db: &Connection) -> duckdb::Result<Self> {
        Ok(Self {
            tracks: Interner::load(db, "track_name", |t| TrackToken::new(t))?,
            recordings: Interner::load(db, "recording_name", |t| RecordingToken::new(t))?,
            topics: Interner::load(db, "topic_name", |t| Topic::new(t))?,
        })
    }

    /// Writes what was added since, in the current transaction.
    pub fn store(&mut self, db: &Connection) -> duckdb::Result<()> {
        self.tracks.store(db, "track_name", TrackToken::as_str)?;
        self.recordings.store(db, "recording_name", RecordingToken::as_str)?;
        self.topics.store(db, "topic_name", Topic::as_str)
    }

    /// Whether [`Names::store`] has anything to do.
    pub fn is_stored(&self) -> bool {
        self.mark() == [self.tracks.stored, self.recordings.stored, self.topics.stored]
    }

    /// How many there are, to come back to after a rollback.
    pub fn mark(&self) -> [usize; 3] {
        [self.tracks.names.len(), self.recordings.names.len(), self.topics.names.len()]
    }

    /// Forgets what was added since the mark.
    pub fn rollback(&mut self, mark: [usize; 3]) {
        self.tracks.truncate(mark[0]);
        self.recordings.truncate(mark[1]);
        self.topics.truncate(mark[2]);
    }
}
