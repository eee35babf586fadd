//! Footage of one's own, made into a clip that a recorder could have recorded. Making it takes a
//! second, so it is kept in the user's cache folder for the next time.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::CliError;

/// A clip and the size of its pictures.
#[derive(Clone, Debug)]
pub struct Clip {
    /// H.264 with start codes, 25 pictures a second, no bidirectional ones, a key picture every two
    /// seconds.
    pub path: PathBuf,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// What the clips are like; another number where that changes.
const VERSION: u32 = 1;
const WIDTH: u32 = 640;
const HEIGHT: u32 = 352;

/// The clip of a file, made in `work` where nothing can be kept.
pub fn of(file: &Path, work: &Path) -> Result<Clip, CliError> {
    let failed = |why: String| {
        CliError::failed(format!(
            "cannot use {} as footage: {why}; it must be a file that the ffmpeg command reads",
            file.display()
        ))
    };
    let name = name(file).map_err(|e| failed(e.to_string()))?;
    let folder = cache().filter(|c| std::fs::create_dir_all(c).is_ok());
    let folder = folder.unwrap_or_else(|| work.to_owned());
    let path = folder.join(&name);
    if !path.exists() {
        let part = folder.join(format!("{name}.{}.part", std::process::id()));
        let made = convert(file, &part).and_then(|()| {
            std::fs::rename(&part, &path).map_err(|e| format!("{}: {e}", path.display()))
        });
        if let Err(why) = made {
            // What was half made helps nobody; that it cannot be removed, either.
            let _ = std::fs::remove_file(&part);
            return Err(failed(why));
        }
    }
    Ok(Clip { path, width: WIDTH, height: HEIGHT })
}

/// Another file, or a file that was written anew, has another name.
fn name(file: &Path) -> std::io::Result<String> {
    let about = std::fs::metadata(file)?;
    let written = about.modified()?.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let stem: String = stem.chars().filter(|c| c.is_alphanumeric()).take(40).collect();
    Ok(format!("{stem}-{}-{written}-v{VERSION}.h264", about.len()))
}

fn cache() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    base.filter(|b| b.is_absolute()).map(|b| b.join("dvrgate/clips"))
}

fn convert(file: &Path, clip: &Path) -> Result<(), String> {
    let size = format!("scale={WIDTH}:{HEIGHT}");
    let output = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i"])
        .arg(file)
        .args(["-an", "-r", "25", "-vf", &size, "-c:v", "libx264", "-preset", "veryfast"])
        .args(["-bf", "0", "-g", "50", "-pix_fmt", "yuv420p", "-t", "60", "-f", "h264"])
        .arg(clip)
        .output()
        .map_err(|e| e.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test may

    use super::*;

    #[test]
    fn a_file_written_anew_is_another_clip() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("yard & gate.mp4");
        std::fs::write(&file, b"one").unwrap();
        let first = name(&file).unwrap();
        assert_eq!(first, name(&file).unwrap());
        assert!(first.starts_with("yardgate-3-") && first.ends_with(".h264"), "{first}");
        std::fs::write(&file, b"three").unwrap();
        assert_ne!(first, name(&file).unwrap());
        assert!(name(&folder.path().join("absent.mp4")).is_err());
    }
}
