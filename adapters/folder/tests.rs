//! Folders of files made by the `ffmpeg` program.

use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use dvrgate_adapter::suite::Suite;
use dvrgate_adapter::{
    Device, DeviceOptions, DeviceSettings, FootageBody, FootageRequest, Mapping, Priority,
    SegmentQuery, SourceSegment,
};
use dvrgate_media::container::{Anchor, Demuxed};
use dvrgate_model::{
    ChannelId, Civil, Codec, Convention, DeviceId, ErrorKind, FrameKind, Reason, SourceRange,
    StreamKind, TrackKind, Utc, ZoneClaim, ZoneRule,
};
use dvrgate_testkit::clock::SimulatedClock;
use futures::StreamExt;
use tempfile::TempDir;

const BUILTIN: &str = include_str!("../../mappings/folder.toml");
/// 2026-11-25T00:00:00Z, when all of these tests happen.
const NOW: Utc = Utc::from_secs(1_795_564_800);

/// A file of `seconds` at 25 frames per second with a clean point each second.
fn make(dir: &Path, name: &str, seconds: u32, args: &[&str]) -> PathBuf {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=s=160x120:r=25"])
        .args(["-f", "lavfi", "-i", "sine=r=8000", "-pix_fmt", "yuv420p", "-g", "25"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-t", &seconds.to_string()])
        .args(args)
        .arg(&path)
        .status()
        .expect("the tests need the ffmpeg program");
    assert!(status.success(), "{name}");
    written(&path, NOW.plus_us(-3_600_000_000));
    path
}

fn written(path: &Path, at: Utc) {
    let time = UNIX_EPOCH + Duration::from_micros(at.micros() as u64);
    std::fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

fn device(root: &Path, zone: Option<&str>, overlay: &str) -> Device {
    let settings = DeviceSettings {
        id: DeviceId::from("shelf"),
        url: url::Url::from_directory_path(root).unwrap(),
        rtsp: None,
        username: String::new(),
        password: String::new(),
        zone: zone.map(|z| ZoneRule::iana(z).unwrap()),
    };
    let mapping =
        Arc::new(Mapping::parse("folder.toml", &BUILTIN.replace("page = 500", overlay)).unwrap());
    let clock = Arc::new(SimulatedClock::running_from(NOW));
    Device::connect(crate::connector(), settings, mapping, clock, &DeviceOptions::default())
        .unwrap()
}

fn civil(text: &str) -> Civil {
    let (civil, rest) = Civil::parse_prefix(text).unwrap();
    assert!(rest.is_empty());
    civil
}

async fn list(device: &Device, channel: u32, from: &str, to: &str) -> Vec<SourceSegment> {
    let window = SourceRange::new(civil(from), civil(to));
    let mut query = SegmentQuery {
        channel: ChannelId(channel),
        stream: StreamKind::Main,
        window,
        cursor: None,
    };
    let mut items = Vec::new();
    loop {
        let page = device
            .adapter
            .list_segments(&device.cx(Priority::Backfill), query.clone())
            .await
            .unwrap();
        items.extend(page.items);
        query.cursor = page.next;
        if query.cursor.is_none() {
            return items;
        }
    }
}

async fn open(device: &Device, s: &SourceSegment, from: &str, to: &str) -> (Anchor, Vec<Demuxed>) {
    let request = FootageRequest {
        channel: s.channel,
        stream: s.stream,
        window: SourceRange::new(civil(from), civil(to)),
        locator: Some(s.locator.clone()),
        segment: Some(SourceRange::new(s.start.civil, s.end.civil)),
        resume: 0,
    };
    let footage = device.adapter.open(&device.cx(Priority::Replay), request).await.unwrap();
    let FootageBody::Units(mut units) = footage.body else { panic!("not units") };
    let Some(Ok(Demuxed::Anchor(anchor))) = units.next().await else { panic!("no anchor first") };
    assert_eq!(footage.start, Some(anchor.civil));
    (anchor, units.map(Result::unwrap).collect().await)
}

fn pictures(items: &[Demuxed]) -> Vec<(i64, FrameKind)> {
    let unit = |d: &Demuxed| match d {
        Demuxed::Unit(u) if u.kind == TrackKind::Video => Some((u.media.micros(), u.frame)),
        _ => None,
    };
    items.iter().filter_map(unit).collect()
}

#[tokio::test]
async fn a_folder_fulfils_the_contract() {
    let dir = TempDir::new().unwrap();
    make(dir.path(), "ch01_20260101000000.mp4", 3, &["-c:a", "aac"]);
    make(dir.path(), "ch01_20260101000004.mkv", 3, &["-c:a", "pcm_alaw"]);
    make(dir.path(), "ch01_20260101000008.ts", 3, &["-an"]);
    let recorded = SourceRange::new(civil("2026-01-01T00:00:00"), civil("2026-01-01T00:00:11"));
    let mut suite = Suite::new(device(dir.path(), None, "page = 2"), ChannelId(1), recorded);
    suite.odd_hours = vec![recorded];
    suite.run().await;
}

#[tokio::test]
async fn every_container_gives_its_footage() {
    let dir = TempDir::new().unwrap();
    for (i, (name, args)) in [
        ("20260101_000000.mp4", &["-c:a", "aac"][..]),
        ("20260101_001000.mkv", &["-c:a", "pcm_alaw"]),
        ("20260101_002000.avi", &["-c:a", "pcm_mulaw"]),
        ("20260101_003000.ts", &["-c:a", "aac"]),
        ("20260101_004000.mpg", &["-an", "-f", "vob"]),
    ]
    .into_iter()
    .enumerate()
    {
        make(dir.path(), name, 4, args);
        let device = device(dir.path(), None, "page = 3");
        let listed = list(&device, 1, "2026-01-01T00:00:00", "2026-01-02T00:00:00").await;
        assert_eq!(listed.len(), i + 1, "{name}");
        let s = &listed[i];
        assert_eq!((s.key.as_ref(), &*s.code), (name.as_bytes(), "name"));
        assert_eq!(device.mapping.reason(&s.code), Reason::Unknown);
        assert!(device.mapping.knows_reason(&s.code));
        let length_us = s.end.civil.micros_as_if_utc() - s.start.civil.micros_as_if_utc();
        assert!((3_800_000..4_300_000).contains(&length_us), "{name}: {length_us}");
        // From the middle of the second second to the start of the fourth.
        let at = s.start.civil;
        let (from, to) = (at.plus_us(1_500_000).to_string(), at.plus_us(3_000_000).to_string());
        let (anchor, items) = open(&device, s, &from, &to).await;
        assert_eq!((anchor.civil, anchor.media.ticks), (at, 0), "{name}");
        let got = pictures(&items);
        assert_eq!(got.len(), 50, "{name}");
        assert!(
            (got[0].0 - 1_000_000).abs() < 2_000 && got[0].1 == FrameKind::Key,
            "{name}: {got:?}"
        );
        let codec = |d: &Demuxed| if let Demuxed::Params(p) = d { Some(p.codec) } else { None };
        assert!(items.iter().filter_map(codec).any(|c| c == Codec::H264), "{name}");
    }
}

/// Names of disks and recorders that never heard of UTF-8.
#[tokio::test]
async fn names_that_are_no_text_are_listed_and_played() {
    let dir = TempDir::new().unwrap();
    let made = make(dir.path(), "x.mp4", 2, &["-an"]);
    let odd = std::ffi::OsString::from_vec(b"T\xfcr".to_vec());
    std::fs::create_dir(dir.path().join(&odd)).unwrap();
    let name = std::ffi::OsString::from_vec(b"h\xf6f_20260101_000000.mp4".to_vec());
    std::fs::rename(made, dir.path().join(&odd).join(name)).unwrap();
    let device = device(dir.path(), None, "page = 500");
    let identity = device.adapter.identify(&device.cx(Priority::Backfill)).await.unwrap();
    let [channel] = &identity.channels[..] else { panic!("{identity:?}") };
    assert_eq!(channel.name, "T\u{fffd}r");
    let listed = list(&device, channel.id.0, "2026-01-01T00:00:00", "2026-01-02T00:00:00").await;
    assert_eq!(listed.len(), 1);
    let (_, items) = open(&device, &listed[0], "2026-01-01T00:00:00", "2026-01-01T00:00:01").await;
    assert_eq!(pictures(&items).len(), 25);
}

#[tokio::test]
async fn channels_come_from_names_and_directories() {
    let dir = TempDir::new().unwrap();
    let video = &["-an"][..];
    make(dir.path(), "ch07_20260101000000.mp4", 1, video);
    make(dir.path(), "cam2/2026-01-01/20260101_000000.mp4", 1, video);
    make(dir.path(), "gate/20260101_000000.mp4", 1, video);
    make(dir.path(), "20260101/20260101_000000.mp4", 1, video);
    std::fs::write(dir.path().join("notes.txt"), "no footage").unwrap();
    std::fs::write(dir.path().join("broken.mp4"), "no footage").unwrap();
    let device = device(dir.path(), None, "page = 500");
    let identity = device.adapter.identify(&device.cx(Priority::Backfill)).await.unwrap();
    assert_eq!(identity.model, "folder");
    let channels: Vec<_> = identity.channels.iter().map(|c| (c.id.0, c.name.as_str())).collect();
    let gate = channels[3].0;
    assert_eq!(channels, [(1, ""), (2, "cam2"), (7, ""), (gate, "gate")]);
    assert!(gate > 9_999);
    let params = identity.channels[0].video.as_ref().unwrap();
    assert_eq!((params.codec, params.width, params.height), (Codec::H264, 160, 120));
    for (id, _) in channels {
        assert_eq!(
            list(&device, id, "2026-01-01T00:00:00", "2026-01-01T00:01:00").await.len(),
            1,
            "{id}"
        );
    }
}

#[tokio::test]
async fn times_come_from_container_name_or_file() {
    let dir = TempDir::new().unwrap();
    let created = ["-an", "-metadata", "creation_time=2026-03-01T10:00:00Z"];
    make(dir.path(), "20260201_000000.mp4", 2, &created);
    make(dir.path(), "20260202_000000.mp4", 2, &["-an"]);
    written(&make(dir.path(), "clip.mp4", 2, &["-an"]), Utc::from_secs(1_767_225_602));
    let by = |overlay: &'static str| device(dir.path(), Some("Europe/Bratislava"), overlay);
    let device = by("page = 500");
    let all = list(&device, 1, "2025-01-01T00:00:00", "2027-01-01T00:00:00").await;
    let told: Vec<_> =
        all.iter().map(|s| (&*s.code, s.start.civil.to_string(), s.start.zone)).collect();
    assert_eq!(
        told,
        [
            ("file-time", "2026-01-01T00:00:00".into(), ZoneClaim::Utc),
            // Bratislava is an hour ahead in winter.
            ("name", "2026-02-01T23:00:00".into(), ZoneClaim::Utc),
            ("container", "2026-03-01T10:00:00".into(), ZoneClaim::Utc),
        ]
    );
    assert_eq!(&*all[1].start.raw, "20260202_000000");
    assert!(list(&device, 1, "2026-02-02T00:00:00", "2026-02-02T01:00:00").await.is_empty());
    assert_eq!(list(&device, 1, "2026-02-01T23:00:01", "2026-02-01T23:00:02").await.len(), 1);
    let (anchor, items) =
        open(&device, &all[1], "2026-02-01T23:00:01", "2026-02-01T23:00:02").await;
    assert_eq!(
        (anchor.convention, anchor.civil),
        (Convention::Listing, civil("2026-02-01T23:00:00"))
    );
    assert_eq!(pictures(&items).len(), 25);
    let (anchor, _) = open(&device, &all[2], "2026-03-01T10:00:00", "2026-03-01T10:00:02").await;
    assert_eq!((anchor.convention, anchor.resolution_us), (Convention::Listing, 1_000_000));
    // The reading of the clock is the host's, exactly.
    let reading = device.adapter.clock(&device.cx(Priority::Backfill)).await.unwrap();
    assert_eq!((reading.before, reading.resolution_us), (reading.after, 1));
    assert_eq!(reading.device.civil.micros_as_if_utc(), reading.before.micros());
    assert_eq!(reading.zone.unwrap().as_str(), "Europe/Bratislava");
}

#[tokio::test]
async fn the_doubled_hour_is_decided_or_named() {
    let dir = TempDir::new().unwrap();
    let path = make(dir.path(), "20261025_023000.mp4", 2, &["-an"]);
    let device = device(dir.path(), Some("Europe/Bratislava"), "page = 500");
    let (summer, winter) = (Utc::from_secs(1_792_888_200), Utc::from_secs(1_792_891_800));
    for (at, start, code) in [
        (summer.plus_us(3_000_000), summer, "name"),
        (winter.plus_us(3_000_000), winter, "name"),
        (NOW.plus_us(-86_400_000_000), summer, "name-doubled"),
    ] {
        written(&path, at);
        let listed = list(&device, 1, "2026-10-25T00:00:00", "2026-10-25T03:00:00").await;
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].start.civil.micros_as_if_utc(), start.micros(), "{code}");
        assert_eq!(&*listed[0].code, code);
        let (from, to) = (listed[0].start.civil, listed[0].end.civil);
        let (anchor, items) = open(&device, &listed[0], &from.to_string(), &to.to_string()).await;
        assert_eq!((anchor.civil, pictures(&items).len()), (from, 50));
        assert_eq!(anchor.resolution_us, if code == "name" { 1_000_000 } else { 3_600_000_000 });
    }
}

#[tokio::test]
async fn files_grow_change_and_go() {
    let dir = TempDir::new().unwrap();
    let path = make(dir.path(), "20260101_000000.ts", 2, &["-an"]);
    let device = device(dir.path(), None, "page = 500");
    let window = ("2026-01-01T00:00:00", "2026-01-01T01:00:00");
    let first = list(&device, 1, window.0, window.1).await;
    assert!(!first[0].growing);
    let longer = make(dir.path(), "longer.ts", 5, &["-an"]);
    std::fs::rename(&longer, &path).unwrap();
    written(&path, NOW);
    let second = list(&device, 1, window.0, window.1).await;
    assert!(second[0].growing);
    assert_eq!((&second[0].start, &second[0].key), (&first[0].start, &first[0].key));
    assert!(second[0].end.civil > first[0].end.civil);
    // Without a time in name or container, only at rest.
    written(&make(dir.path(), "clip.ts", 2, &["-an"]), NOW);
    assert!(list(&device, 1, "2026-11-24T00:00:00", "2026-11-26T00:00:00").await.is_empty());
    std::fs::remove_file(&path).unwrap();
    assert!(list(&device, 1, window.0, window.1).await.is_empty());
    let request = FootageRequest {
        channel: ChannelId(1),
        stream: StreamKind::Main,
        window: SourceRange::new(civil(window.0), civil(window.1)),
        locator: Some(second[0].locator.clone()),
        segment: None,
        resume: 0,
    };
    let e = device.adapter.open(&device.cx(Priority::Replay), request).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn nothing_outside_the_folder_is_read() {
    let outer = TempDir::new().unwrap();
    let root = outer.path().join("root");
    let secret = make(outer.path(), "20260101_000000.mp4", 1, &["-an"]);
    make(&root, "20260102_000000.mp4", 1, &["-an"]);
    std::os::unix::fs::symlink(&secret, root.join("20260103_000000.mp4")).unwrap();
    std::os::unix::fs::symlink(outer.path(), root.join("up")).unwrap();
    std::os::unix::fs::symlink(root.join("20260102_000000.mp4"), root.join("20260104_000000.mp4"))
        .unwrap();
    let device = device(&root, None, "page = 500");
    let listed = list(&device, 1, "2025-01-01T00:00:00", "2027-01-01T00:00:00").await;
    let names: Vec<_> =
        listed.iter().map(|s| String::from_utf8_lossy(&s.key).into_owned()).collect();
    assert_eq!(names, ["20260102_000000.mp4", "20260104_000000.mp4"]);
    for path in [
        "../20260101_000000.mp4",
        "20260103_000000.mp4",
        "up/20260101_000000.mp4",
        secret.to_str().unwrap(),
        "",
    ] {
        let locator = serde_json::json!({"path": path, "start_us": 0, "resolution_us": 1});
        let request = FootageRequest {
            channel: ChannelId(1),
            stream: StreamKind::Main,
            window: SourceRange::new(civil("1970-01-01T00:00:00"), civil("1970-01-01T00:01:00")),
            locator: Some(dvrgate_model::Locator(locator.to_string().into())),
            segment: None,
            resume: 0,
        };
        let e = device.adapter.open(&device.cx(Priority::Replay), request).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound, "{path}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let dir = TempDir::new().unwrap();
    let settings = DeviceSettings {
        id: DeviceId::from("shelf"),
        url: "http://example.invalid/".parse().unwrap(),
        rtsp: None,
        username: String::new(),
        password: String::new(),
        zone: None,
    };
    let mapping = |text: &str| Arc::new(Mapping::parse("folder.toml", text).unwrap());
    let connect =
        |s: &DeviceSettings, text: &str| crate::connector().connect(s.clone(), mapping(text));
    assert_eq!(connect(&settings, BUILTIN).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let local = DeviceSettings { url: "file:///tmp".parse().unwrap(), ..settings };
    assert!(connect(&local, BUILTIN).is_ok());
    let url = url::Url::from_directory_path(dir.path().join("gone")).unwrap();
    let gone = connect(&DeviceSettings { url, ..local.clone() }, BUILTIN).unwrap();
    let cx = device(dir.path(), None, "page = 500").cx(Priority::Backfill);
    let e = gone.identify(&cx).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unreachable);
    assert!(matches!(e.retry(), dvrgate_model::Retry::Later(_)));
    for (good, bad) in [
        ("start = \"container\"", "start = \"guess\""),
        ("\"%s\"", "\"%Q\""),
        ("start =", "strat ="),
    ] {
        assert_ne!(BUILTIN.replace(good, bad), BUILTIN);
        let e = connect(&local, &BUILTIN.replace(good, bad)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{bad}");
    }
}
