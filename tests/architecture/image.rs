//! The container image has an FFmpeg of its own: what the code asks of it must be in it.

use super::workspace::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The sorted words of a list with commas that stands between `before` and `after`.
fn list(text: &str, before: &str, after: char) -> Vec<String> {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before}"));
    let words = rest.split(after).next().unwrap();
    let mut words: Vec<String> = words.trim().split(',').map(str::to_owned).collect();
    words.sort();
    words
}

#[test]
fn the_image_reads_the_formats_that_the_code_allows() {
    let mut allowed = list(&read("src/ffmpeg/input.rs"), "FORMATS: &str = \"", '"');
    // The only one whose name to the configuration is not its name to the library.
    for name in &mut allowed {
        if name == "mpeg" {
            *name = "mpegps".to_owned();
        }
    }
    allowed.sort();
    assert_eq!(list(&read("docker/Dockerfile"), "--enable-demuxer=", ' '), allowed);
}

#[test]
fn the_image_knows_the_encodings_that_can_be_replayed() {
    let compiled = list(&read("docker/Dockerfile"), "--enable-decoder=", ' ');
    let code = read("src/ffmpeg/stream.rs");
    let replayed: Vec<String> = code
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Id::")?.split_once(" => Codec::"))
        .map(|(id, _)| id.to_lowercase())
        .collect();
    assert!(replayed.len() >= 7, "{replayed:?}");
    let missing: Vec<&String> = replayed.iter().filter(|id| !compiled.contains(id)).collect();
    assert!(missing.is_empty(), "the image cannot read {missing:?}");
}
