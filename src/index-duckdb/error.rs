//! What can go wrong with the database, and what of it means that the file is broken.

use dvrgate_model::{Error, ErrorKind, Fault};

/// Errors inside this crate; they leave it as [`Error`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum DbError {
    /// From DuckDB.
    #[error(transparent)]
    Duck(#[from] duckdb::Error),
    /// A row that no version of the gateway writes.
    #[error("the index holds a row that makes no sense: {0}")]
    Row(String),
    /// The file has a schema that this version does not know.
    #[error("the index has schema version {found}; this program knows up to {known}")]
    Version { found: u32, known: u32 },
    /// The file is shorter than it says.
    #[error("the index file has {have} bytes where {expected} belong")]
    Truncated { have: u64, expected: u64 },
    /// From the file system.
    #[error("{what}")]
    Io { what: String, source: std::io::Error },
}

pub(crate) type Result<T, E = DbError> = std::result::Result<T, E>;

impl DbError {
    fn text(&self) -> String {
        match self {
            DbError::Duck(e) => e.to_string(),
            other => other.to_string(),
        }
    }

    /// Whether the instance refuses everything from now on and must be opened anew.
    pub fn is_fatal(&self) -> bool {
        let text = self.text();
        text.contains("database has been invalidated") || text.starts_with("FATAL")
    }

    /// Whether, on opening, it speaks of what is around the file rather than of the file itself.
    /// Such a file is left where it is.
    pub fn is_circumstance(&self) -> bool {
        const SIGNS: [&str; 7] = [
            "Could not set lock",
            "Conflicting lock",
            "Permission denied",
            "No space left",
            "Read-only file system",
            "Too many open files",
            "Out of Memory",
        ];
        let text = self.text();
        matches!(self, DbError::Io { .. }) || SIGNS.iter().any(|sign| text.contains(sign))
    }
}

impl From<DbError> for Error {
    fn from(e: DbError) -> Self {
        let text = e.text();
        let (kind, message) = match &e {
            DbError::Row(_) | DbError::Truncated { .. } => {
                (ErrorKind::Damaged, "the index is damaged")
            }
            DbError::Version { .. } => (ErrorKind::Unsupported, "the index is of another version"),
            DbError::Duck(_) if text.contains("Corrupt") || text.contains("checksum") => {
                (ErrorKind::Damaged, "the index is damaged")
            }
            DbError::Duck(_) if text.contains("lock on file") => (
                ErrorKind::Conflict,
                "another program has the index open (dvrgate serve keeps it open); stop it first",
            ),
            DbError::Duck(_)
                if text.contains("Read-only file system") || text.contains("Permission denied") =>
            {
                (ErrorKind::Internal, "the index cannot be written; give this user the right to")
            }
            DbError::Duck(_)
                if text.contains("No space left") || text.contains("File too large") =>
            {
                (ErrorKind::LimitExceeded, "the disk of the index is full")
            }
            DbError::Duck(_) | DbError::Io { .. } => (ErrorKind::Internal, "the index failed"),
        };
        Error::new(kind, message).with_fault(Fault::Gateway).because(e)
    }
}
