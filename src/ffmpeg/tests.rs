//! Files made by the `ffmpeg` program, read here and by the demultiplexers of `dvrgate-media`.

use std::path::{Path, PathBuf};
use std::process::Command;

use dvrgate_media::container::{Demuxed, Demuxer, Unit, ps::PsDemuxer, ts::TsDemuxer};
use dvrgate_model::{Codec, ErrorKind, FrameKind, TrackKind};
use tempfile::TempDir;

use super::*;

/// Four seconds at 25 frames per second; every second begins with a clean point.
const FRAMES: usize = 100;
const GOP: usize = 25;

fn make(dir: &TempDir, name: &str, args: &[&str]) -> PathBuf {
    let path = dir.path().join(name);
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=s=320x240:r=25"])
        .args(["-f", "lavfi", "-i", "sine=r=8000", "-t", "4", "-pix_fmt", "yuv420p", "-g", "25"])
        .args(args)
        .arg(&path)
        .status()
        .expect("the tests need the ffmpeg program");
    assert!(status.success(), "{name}");
    path
}

const H264: &[&str] = &["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0"];
const H264_B: &[&str] = &["-c:v", "libx264", "-preset", "veryfast", "-bf", "2"];

fn all(path: &Path) -> Vec<Demuxed> {
    packets(path, 0).unwrap().collect::<dvrgate_model::Result<_>>().unwrap()
}

fn units(items: &[Demuxed], kind: TrackKind) -> Vec<&Unit> {
    let all = items.iter().filter_map(|d| if let Demuxed::Unit(u) = d { Some(u) } else { None });
    all.filter(|u| u.kind == kind).collect()
}

fn codecs(items: &[Demuxed]) -> Vec<Codec> {
    items
        .iter()
        .filter_map(|d| if let Demuxed::Params(p) = d { Some(p.codec) } else { None })
        .collect()
}

fn native(demuxer: &mut dyn Demuxer, path: &Path) -> Vec<Demuxed> {
    let data = std::fs::read(path).unwrap();
    let mut out = Vec::new();
    for piece in data.chunks(10_007) {
        demuxer.push(piece).unwrap();
        out.extend(std::iter::from_fn(|| demuxer.pull()));
    }
    demuxer.finish().unwrap();
    out.extend(std::iter::from_fn(|| demuxer.pull()));
    out
}

#[test]
fn containers_and_encodings() {
    let dir = TempDir::new().unwrap();
    type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], Codec, Codec);
    let table: &[Case<'_>] = &[
        ("a.mp4", H264, &["-c:a", "aac"], Codec::H264, Codec::Aac),
        (
            "b.mkv",
            &["-c:v", "libx265", "-x265-params", "log-level=none"],
            &["-c:a", "pcm_alaw"],
            Codec::H265,
            Codec::Pcma,
        ),
        ("c.ts", H264_B, &["-c:a", "aac"], Codec::H264, Codec::Aac),
        ("d.avi", &["-c:v", "mpeg4"], &["-c:a", "pcm_mulaw"], Codec::Mpeg4, Codec::Pcmu),
        ("e.mov", &["-c:v", "mjpeg"], &["-c:a", "pcm_alaw"], Codec::Jpeg, Codec::Pcma),
    ];
    for (name, video, audio, video_codec, audio_codec) in table {
        let path = make(&dir, name, &[*video, *audio].concat());
        let about = probe(&path).unwrap();
        let duration_us = about.duration_us.unwrap();
        assert!((3_900_000..4_300_000).contains(&duration_us), "{name}: {duration_us}");
        let params = about.params(TrackKind::Video).unwrap();
        assert_eq!((params.codec, params.width, params.height), (*video_codec, 320, 240), "{name}");
        let sound = about.params(TrackKind::Audio).unwrap();
        assert_eq!(
            (sound.codec, sound.sample_rate_hz, sound.channels),
            (*audio_codec, 8000, 1),
            "{name}"
        );

        let items = all(&path);
        let pictures = units(&items, TrackKind::Video);
        assert_eq!(pictures.len(), FRAMES, "{name}");
        assert_eq!(pictures[0].frame, FrameKind::Key, "{name}");
        let mut times: Vec<_> = pictures.iter().map(|u| u.media.micros()).collect();
        times.sort_unstable();
        for (i, at_us) in times.into_iter().enumerate() {
            assert!((at_us - i as i64 * 40_000).abs() <= 1_000, "{name}: {i} at {at_us}");
        }
        assert!(!units(&items, TrackKind::Audio).is_empty(), "{name}");
        for codec in [video_codec, audio_codec] {
            assert!(codecs(&items).contains(codec), "{name}: {:?}", codecs(&items));
        }
    }
}

#[test]
fn own_demultiplexers_agree_with_the_library() {
    let dir = TempDir::new().unwrap();
    let with = |video: &[&'static str], rest: &[&'static str]| [video, rest].concat();
    let x265 = ["-c:v", "libx265", "-x265-params", "log-level=none:bframes=3:open-gop=1"];
    let table: Vec<(&str, Vec<&str>)> = vec![
        ("a.mpg", with(H264, &["-an", "-f", "vob"])),
        ("b.mpg", with(H264_B, &["-an", "-f", "vob"])),
        ("c.mpg", with(&x265, &["-an", "-f", "vob"])),
        ("d.ts", with(H264_B, &["-c:a", "aac"])),
        ("e.ts", with(&x265, &["-c:a", "aac"])),
    ];
    for (name, args) in table {
        let path = make(&dir, name, &args);
        let library = all(&path);
        let own = match name.ends_with("ts") {
            true => native(&mut TsDemuxer::new(), &path),
            false => native(&mut PsDemuxer::default(), &path),
        };
        assert!(!own.iter().any(|d| matches!(d, Demuxed::Damage { .. })), "{name}");
        for kind in [TrackKind::Video, TrackKind::Audio] {
            let (a, b) = (units(&own, kind), units(&library, kind));
            assert_eq!(a.len(), b.len(), "{name} {kind:?}");
            for (i, (a, b)) in a.iter().zip(&b).enumerate() {
                assert!(
                    a.data == b.data,
                    "{name} {kind:?} {i}: {} and {} bytes",
                    a.data.len(),
                    b.data.len()
                );
                assert_eq!(a.frame, b.frame, "{name} {kind:?} {i}");
            }
            let step = |units: &[&Unit]| {
                units
                    .windows(2)
                    .map(|w| w[1].media.micros() - w[0].media.micros())
                    .collect::<Vec<_>>()
            };
            for (i, (a, b)) in step(&a).iter().zip(step(&b)).enumerate() {
                assert!((a - b).abs() <= 1, "{name} {kind:?} {i}: {a} {b}");
            }
        }
    }
}

#[test]
fn kinds_agree_with_the_library_decoder() {
    let dir = TempDir::new().unwrap();
    for (name, args) in [
        ("a.mkv", H264_B),
        ("b.mkv", &["-c:v", "libx265", "-x265-params", "log-level=none:bframes=3"]),
    ] {
        let path = make(&dir, name, &[args, &["-an"]].concat());
        let shown = Command::new("ffprobe")
            .args(["-v", "error", "-show_entries", "frame=pict_type", "-of", "csv=p=0"])
            .arg(&path)
            .output()
            .unwrap();
        let text = String::from_utf8(shown.stdout).unwrap();
        let expected: Vec<_> =
            text.lines().filter_map(|l| l.chars().next()).filter(|c| "IPB".contains(*c)).collect();
        let items = all(&path);
        let mut pictures = units(&items, TrackKind::Video);
        pictures.sort_by_key(|u| u.media.ticks);
        let got: Vec<_> = pictures
            .iter()
            .map(|u| match u.frame {
                FrameKind::Key => 'I',
                FrameKind::Bidirectional => 'B',
                _ => 'P',
            })
            .collect();
        assert_eq!(got, expected, "{name}");
    }
}

#[test]
fn reading_from_a_time_starts_at_the_clean_point_before_it() {
    let dir = TempDir::new().unwrap();
    for (name, args) in [
        ("a.mp4", [H264, &["-c:a", "aac"]].concat()),
        ("b.ts", [H264_B, &["-an"]].concat()),
        ("c.mpg", [H264, &["-an", "-f", "vob"]].concat()),
        ("d.mkv", [H264_B, &["-an"]].concat()),
    ] {
        let path = make(&dir, name, &args);
        let whole = all(&path);
        let whole = units(&whole, TrackKind::Video);
        for (from_us, group) in
            [(0, 0), (1_500_000, 1), (2_000_000, 2), (3_960_000, 3), (60_000_000, 3)]
        {
            let items: Vec<_> = packets(&path, from_us).unwrap().map(Result::unwrap).collect();
            let params = items.iter().position(|d| matches!(d, Demuxed::Params(_)));
            let first = items.iter().position(|d| matches!(d, Demuxed::Unit(_)));
            assert!(params < first, "{name} {from_us}");
            let got = units(&items, TrackKind::Video);
            assert_eq!(got.len(), FRAMES - group * GOP, "{name} {from_us}");
            assert!(got[0].data == whole[group * GOP].data, "{name} {from_us}");
            assert_eq!(
                got[0].media.micros(),
                whole[group * GOP].media.micros(),
                "{name} {from_us}"
            );
        }
    }
}

#[test]
fn pictures_are_decoded() {
    let dir = TempDir::new().unwrap();
    for (name, video) in [
        ("a.mp4", H264_B),
        ("b.mkv", &["-c:v", "libx265", "-x265-params", "log-level=none"]),
        ("c.avi", &["-c:v", "mpeg4", "-q:v", "2"]),
        ("d.mov", &["-c:v", "mjpeg", "-q:v", "2"]),
    ] {
        let path = make(&dir, name, &[video, &["-an"]].concat());
        let items = all(&path);
        let params = probe(&path).unwrap().params(TrackKind::Video).unwrap().clone();
        let pictures = decode_gray(&params, units(&items, TrackKind::Video)).unwrap();
        assert_eq!(pictures.len(), FRAMES, "{name}");
        let reference = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(&path)
            .args(["-vf", "extractplanes=y", "-f", "rawvideo", "-"])
            .output()
            .unwrap();
        assert_eq!(reference.stdout.len(), FRAMES * 320 * 240, "{name}");
        for (i, picture) in pictures.iter().enumerate() {
            assert_eq!((picture.width, picture.height), (320, 240));
            assert!(picture.luma == reference.stdout[i * 320 * 240..][..320 * 240], "{name} {i}");
            assert!((picture.media.micros() - i as i64 * 40_000).abs() <= 1_000, "{name} {i}");
        }
    }
}

#[test]
fn tags() {
    let dir = TempDir::new().unwrap();
    let tagged = ["-metadata", "creation_time=2026-10-25T01:30:00Z", "-timecode", "10:00:00:00"];
    let path = make(&dir, "a.mov", &[H264, &["-an"], &tagged].concat());
    let about = probe(&path).unwrap();
    assert_eq!(about.creation_time.as_deref(), Some("2026-10-25T01:30:00.000000Z"));
    assert_eq!(about.timecode.as_deref(), Some("10:00:00:00"));
}

#[test]
fn what_is_no_footage_is_refused() {
    let dir = TempDir::new().unwrap();
    assert_eq!(probe(&dir.path().join("none.mp4")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(probe(Path::new("relative.mp4")).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let text = dir.path().join("text.mp4");
    std::fs::write(&text, "not footage").unwrap();
    assert_eq!(probe(&text).unwrap_err().kind(), ErrorKind::Damaged);
    // A list that names another file is not followed.
    let footage = make(&dir, "a.ts", &[H264, &["-an"]].concat());
    let list = dir.path().join("list.m3u8");
    std::fs::write(
        &list,
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{}\n#EXT-X-ENDLIST\n",
            footage.display()
        ),
    )
    .unwrap();
    assert!(probe(&list).is_err());
    let concat = dir.path().join("list.ffconcat");
    std::fs::write(&concat, "ffconcat version 1.0\nfile a.ts\n").unwrap();
    assert!(probe(&concat).is_err());
    // Sound alone that cannot be replayed.
    let mp3 = make(&dir, "b.mkv", &["-vn", "-c:a", "flac"]);
    assert_eq!(packets(&mp3, 0).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn truncated_and_damaged_files_never_panic() {
    let dir = TempDir::new().unwrap();
    for (name, args) in [("a.mp4", H264), ("b.ts", H264_B), ("c.mkv", H264)] {
        let path = make(&dir, name, &[args, &["-an"]].concat());
        let data = std::fs::read(&path).unwrap();
        let bad = dir.path().join(format!("bad-{name}"));
        let mut seed = 99u64;
        for round in 0..24 {
            let mut cut = data[..data.len() * (round + 1) / 24].to_vec();
            for _ in 0..round {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (seed >> 33) as usize % cut.len();
                cut[at] ^= 1 << (seed & 7);
            }
            std::fs::write(&bad, &cut).unwrap();
            if let Ok(read) = packets(&bad, 1_500_000) {
                assert!(read.flatten().count() <= 2 * FRAMES + 40);
            }
        }
    }
}
