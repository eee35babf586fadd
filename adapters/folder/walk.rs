//! Finding the files of a folder: bounded, and never outside it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
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
    /// Below the folder, `/` between its parts, as [`text_of`] writes it.
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
        let Ok(relative) = path.strip_prefix(root) else { continue };
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
        found.push(Found { path: text_of(relative), bytes: about.len(), written: written(&about) });
    }
    Ok(())
}

/// The file behind a path that [`files`] gave, wherever links lead now.
pub(crate) fn resolve(root: &Path, relative: &str) -> Result<PathBuf> {
    let root = fs::canonicalize(root).map_err(|e| io(e, "the folder is not there"))?;
    let path = fs::canonicalize(root.join(path_of(relative)))
        .map_err(|e| io(e, "the file is not there any more").with("file", relative))?;
    if path.starts_with(&root) && path.is_file() {
        Ok(path)
    } else {
        Err(Error::not_found("not a file of the folder").with("file", relative))
    }
}

/// A path as text from which [`path_of`] makes the same path again. Names are UTF-8 as a rule; those of
/// old recorders and disks are bytes of some other encoding, which stand as characters that nobody
/// else uses.
fn text_of(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        let odd = chunk.invalid().iter().map(|b| char::from_u32(ODD_BYTES + u32::from(*b)));
        text.extend(odd.flatten());
    }
    text
}

/// The reverse of [`text_of`].
fn path_of(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match odd_byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    OsString::from_vec(bytes).into()
}

/// A name for people: characters that stand for bytes are shown as replacements.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .map(|c| if odd_byte(c).is_some() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// A byte is written as the character this far up, in the last private plane of Unicode.
const ODD_BYTES: u32 = 0x10_ff00;

fn odd_byte(c: char) -> Option<u8> {
    let byte = u32::from(c).checked_sub(ODD_BYTES)?;
    // Bytes below 0x80 are never odd, and the plane ends with two that are no characters.
    u8::try_from(byte).ok().filter(|b| *b >= 0x80)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_text_survive() {
        for name in [&b"plain/a.mp4"[..], b"T\xfcr/a\xff\x80.mp4", b"\xc3"] {
            let path = PathBuf::from(OsString::from_vec(name.to_vec()));
            let text = text_of(&path);
            assert_eq!(path_of(&text), path, "{text:?}");
        }
        assert_eq!(text_of(Path::new("a/\u{e4}.mp4")), "a/\u{e4}.mp4");
        let odd = PathBuf::from(OsString::from_vec(b"T\xfcr".to_vec()));
        assert_eq!(shown(&text_of(&odd)), "T\u{fffd}r");
    }
}
