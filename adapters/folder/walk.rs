//! Finding the files of a folder: bounded, and never outside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use dvrgate_model::{Error, ErrorKind, Result, Retry, Utc};

/// Directories below the folder that are entered.
const MAX_DEPTH: usize = 8;
/// Files of one folder; more is an error, so that nothing is left out in silence.
pub(crate) const MAX_FILES: usize = 100_000;
/// After how long a folder that is not there is looked for again.
const ABSENT: std::time::Duration = std::time::Duration::from_secs(30);

/// Extensions of footage.
const EXTENSIONS: [&str; 16] = [
    "264", "265", "avi", "h264", "h265", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts",
    "ps", "ts", "vob",
];

/// A file of the folder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Found {
    /// Below the folder, `/` between its parts.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// Last written.
    pub(crate) written: Utc,
}

/// All footage of the folder, in the order of the paths.
pub(crate) fn files(root: &Path) -> Result<Vec<Found>> {
    let root = fs::canonicalize(root).map_err(|e| io(e, "the folder is not there"))?;
    let mut found = Vec::new();
    enter(&root, &root, 0, &mut found)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn enter(root: &Path, directory: &Path, depth: usize, found: &mut Vec<Found>) -> Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        // One locked directory does not hide the others.
        Err(e) if depth > 0 => {
            tracing::warn!(directory = %directory.display(), error = %e, "directory left out");
            return Ok(());
        }
        Err(e) => return Err(io(e, "the folder cannot be read")),
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            if depth < MAX_DEPTH {
                enter(root, &path, depth + 1, found)?;
            }
            continue;
        }
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if !EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()) {
            continue;
        }
        // A link to a file of the folder is a file; links to directories could make a circle.
        if kind.is_symlink() && !fs::canonicalize(&path).is_ok_and(|p| p.starts_with(root)) {
            continue;
        }
        let Ok(about) = fs::metadata(&path) else { continue };
        let Some(relative) = path.strip_prefix(root).ok().and_then(Path::to_str) else { continue };
        if !about.is_file() || about.len() == 0 {
            continue;
        }
        if found.len() == MAX_FILES {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("more than {MAX_FILES} files"),
            )
            .with("folder", root.display()));
        }
        found.push(Found {
            path: relative.to_owned(),
            bytes: about.len(),
            written: written(&about),
        });
    }
    Ok(())
}

/// The file behind a path that [`files`] gave, wherever links lead now.
pub(crate) fn resolve(root: &Path, relative: &str) -> Result<PathBuf> {
    let root = fs::canonicalize(root).map_err(|e| io(e, "the folder is not there"))?;
    let path = fs::canonicalize(root.join(relative))
        .map_err(|e| io(e, "the file is not there any more").with("file", relative))?;
    if path.starts_with(&root) && path.is_file() {
        Ok(path)
    } else {
        Err(Error::not_found("not a file of the folder").with("file", relative))
    }
}

fn written(about: &fs::Metadata) -> Utc {
    let since = about.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    Utc::from_micros(since.and_then(|d| i64::try_from(d.as_micros()).ok()).unwrap_or(0))
}

fn io(e: std::io::Error, what: &str) -> Error {
    use std::io::ErrorKind as Io;
    match e.kind() {
        Io::NotFound if what.starts_with("the file ") => Error::not_found(what).because(e),
        Io::NotFound | Io::NotADirectory => {
            Error::new(ErrorKind::Unreachable, what).with_retry(Retry::Later(ABSENT)).because(e)
        }
        Io::PermissionDenied => Error::new(ErrorKind::PermissionDenied, what).because(e),
        _ => Error::new(ErrorKind::Unreachable, what).because(e),
    }
}
