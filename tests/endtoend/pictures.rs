//! From access units to pictures, with ffmpeg, and to the clock that each picture shows.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use dvrgate_model::Utc;
use dvrgate_testkit::footage::read_clock;

use crate::wire::Unit;

/// Pixels of synthetic pictures that a scenario does not change.
pub const SIZE: (usize, usize) = (256, 144);

/// Decodes pictures in the order given; each must show its clock undamaged.
pub fn shown(units: &[Unit], (width, height): (usize, usize)) -> Vec<Utc> {
    let mut stream = Vec::new();
    for nal in units.iter().flat_map(|u| &u.payloads) {
        stream.extend_from_slice(&[0, 0, 0, 1]);
        stream.extend_from_slice(nal);
    }
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "h264", "-i", "-", "-fps_mode", "passthrough"])
        .args(["-f", "rawvideo", "-pix_fmt", "gray", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ffmpeg is installed by scripts/setup.sh test");
    let mut input = ffmpeg.stdin.take().unwrap();
    let writer = thread::spawn(move || input.write_all(&stream));
    let mut luma = Vec::new();
    ffmpeg.stdout.take().unwrap().read_to_end(&mut luma).unwrap();
    writer.join().unwrap().unwrap();
    assert!(ffmpeg.wait().unwrap().success());
    let clock = |plane: &[u8]| read_clock(plane, width, height, width);
    luma.chunks(width * height)
        .enumerate()
        .map(|(n, plane)| clock(plane).unwrap_or_else(|| panic!("picture {n} is damaged")).at)
        .collect()
}

/// Decodes the units, compares the clock in each picture with the time of its extension, and
/// returns the clocks. Nothing may be lost, doubled or off by a frame interval.
pub fn checked(units: &[Unit], size: (usize, usize), frame_us: i64) -> Vec<Utc> {
    let shown = shown(units, size);
    assert_eq!(shown.len(), units.len(), "every unit is a picture");
    let errors: Vec<i64> = units.iter().zip(&shown).map(|(u, &s)| u.at.since_us(s)).collect();
    let worst = errors.iter().map(|e| e.abs()).max().unwrap_or(0);
    assert!(
        worst < frame_us,
        "the time of a frame is {worst} us off, a frame lasts {frame_us} us: {:?}",
        errors.iter().zip(&shown).take(60).collect::<Vec<_>>()
    );
    shown
}
