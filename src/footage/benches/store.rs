//! What storing, finding and reading footage costs, beside the limit: writing the same bytes with
//! plain calls, and reading them back. Prints one line per figure.
//!
//! `cargo bench -p dvrgate-footage [-- --quick]`

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dvrgate_footage::{Gop, GopKey, GopStore, MediaStore, StoreOptions};
use dvrgate_model::{
    Codec, CodecParams, Frame, FrameKind, MediaTime, Stamp, TrackToken, Utc, UtcRange,
};

/// 4 Mbit/s at 25 fps: a key frame of 100 kB, 49 predicted ones of 18 kB, in two seconds.
const KEY_BYTES: usize = 100_000;
const PREDICTED_BYTES: usize = 18_000;
const FRAMES: i64 = 50;
const FRAME_US: i64 = 40_000;

fn main() {
    // Cargo passes --bench; tests of all targets run without it and only want to see it live.
    let quick =
        std::env::args().any(|a| a == "--quick") || !std::env::args().any(|a| a == "--bench");
    let gops = if quick { 20 } else { 1_000 };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let media = make(gops);
    let gigabytes = media.iter().map(Gop::bytes).sum::<u64>() as f64 / 1e9;
    println!("{gops} GOPs, {gigabytes:.3} GB");

    let limit = cpu(|| plain_copy(dir.path(), &media));
    let (store, _) =
        GopStore::open(StoreOptions { dir: dir.path().join("store"), budget_bytes: 1 << 40 })
            .expect("the store opens");
    let transfer = store.transfer("bench");
    let put = cpu(|| {
        for gop in &media {
            store.put_blocking(gop, &transfer).expect("put");
        }
        store.flush().expect("flush");
    });
    report("write with plain calls (limit)", limit, gigabytes, "CPU-s/GB");
    report("put", put, gigabytes, "CPU-s/GB");

    let read_limit = cpu(|| {
        let bytes = std::fs::read(dir.path().join("plain")).expect("read");
        black_box(touch(&bytes));
    });
    let read = cpu(|| {
        for gop in &media {
            let gop = store.gop_blocking(&gop.key()).expect("gop");
            for f in &gop.frames {
                black_box(touch(&f.data));
            }
        }
    });
    drop((transfer, store));
    let (store, _) =
        GopStore::open(StoreOptions { dir: dir.path().join("store"), budget_bytes: 1 << 40 })
            .expect("the store opens again");
    let verified = cpu(|| {
        for gop in &media {
            black_box(store.gop_blocking(&gop.key()).expect("gop").frames.len());
        }
    });
    report("read with plain calls (limit)", read_limit, gigabytes, "CPU-s/GB");
    report("gop", read, gigabytes, "CPU-s/GB");
    report("gop with checksum (first touch after a start)", verified, gigabytes, "CPU-s/GB");
    drop(store);

    lookups(dir.path(), if quick { 2_000 } else { 200_000 });
}

/// The GOP look-up of a PLAY, in a directory of many small GOPs.
fn lookups(dir: &std::path::Path, gops: i64) {
    let (store, _) =
        GopStore::open(StoreOptions { dir: dir.join("lookups"), budget_bytes: 1 << 40 })
            .expect("the store opens");
    let transfer = store.transfer("bench");
    let track = TrackToken::from("yard-1-video");
    let params = Arc::new(CodecParams::new(Codec::H264));
    let data = Bytes::from_static(b"small");
    for i in 0..gops {
        let at = start(i);
        let frame = frame(&track, &params, at, FrameKind::Key, data.clone());
        let gop = Gop {
            track: track.clone(),
            range: UtcRange::clamped(at, start(i + 1)),
            source: None,
            frames: vec![frame],
        };
        store.put_blocking(&gop, &transfer).expect("put");
    }
    let rounds = 200_000;
    let mut worst = Duration::ZERO;
    let begun = Instant::now();
    for i in 0..rounds {
        let at = start((i * 7919) % gops).plus_us(1_000_000);
        let one = Instant::now();
        black_box(store.forward(&track, at, None));
        worst = worst.max(one.elapsed());
    }
    let each = begun.elapsed().as_nanos() as f64 / rounds as f64;
    println!(
        "{:<48} {each:>9.0} ns    worst {worst:?}, {gops} GOPs",
        "look-up of the GOP at an instant"
    );
    let key = GopKey { track, start: start(gops / 2) };
    let begun = Instant::now();
    for _ in 0..10_000 {
        black_box(store.gop_blocking(&key).expect("gop"));
    }
    let each = begun.elapsed().as_nanos() as f64 / 10_000.0;
    println!("{:<48} {each:>9.0} ns", "gop of one small unit");
}

fn start(i: i64) -> Utc {
    Utc::from_secs(1_780_000_000).plus_us(i * FRAMES * FRAME_US)
}

fn frame(
    track: &TrackToken,
    params: &Arc<CodecParams>,
    at: Utc,
    kind: FrameKind,
    data: Bytes,
) -> Frame {
    Frame {
        track: track.clone(),
        at: Stamp::exact(at),
        media: MediaTime { ticks: at.micros() * 9 / 100, rate_hz: 90_000 },
        kind,
        params: Arc::clone(params),
        data,
        origin: None,
    }
}

fn make(gops: i64) -> Vec<Gop> {
    let track = TrackToken::from("yard-1-video");
    let params = Arc::new(CodecParams::new(Codec::H264));
    let noise: Bytes = (0..KEY_BYTES + 4096)
        .scan(1u32, |x, _| {
            *x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some((*x >> 24) as u8)
        })
        .collect();
    let unit = |i: i64, n: i64| {
        let at = start(i).plus_us(n * FRAME_US);
        let from = ((i * FRAMES + n) % 4096) as usize;
        let (kind, len) = match n {
            0 => (FrameKind::Key, KEY_BYTES),
            _ => (FrameKind::Predicted, PREDICTED_BYTES),
        };
        frame(&track, &params, at, kind, noise.slice(from..from + len))
    };
    let gop = |i| Gop {
        track: track.clone(),
        range: UtcRange::clamped(start(i), start(i + 1)),
        source: None,
        frames: (0..FRAMES).map(|n| unit(i, n)).collect(),
    };
    (0..gops).map(gop).collect()
}

/// One file, a write per frame gathered to about the size of a GOP, one sync.
fn plain_copy(dir: &std::path::Path, media: &[Gop]) {
    let file = std::fs::File::create(dir.join("plain")).expect("create");
    let mut out = std::io::BufWriter::with_capacity(1 << 20, file);
    for frame in media.iter().flat_map(|g| &g.frames) {
        out.write_all(&frame.data).expect("write");
    }
    let file = out.into_inner().expect("flush");
    file.sync_data().expect("sync");
}

/// One byte of every cache line, as a sender's copy would.
fn touch(bytes: &[u8]) -> u64 {
    bytes.iter().step_by(64).map(|b| u64::from(*b)).sum()
}

/// CPU seconds (user and system) of this process.
fn cpu(f: impl FnOnce()) -> f64 {
    let before = used();
    f();
    used() - before
}

fn used() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

fn report(what: &str, cpu_s: f64, gigabytes: f64, unit: &str) {
    println!("{what:<48} {:>9.3} {unit}", cpu_s / gigabytes);
}
