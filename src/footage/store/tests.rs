use std::io::{BufRead, Write};
use std::path::Path;

use bytes::Bytes;
use dvrgate_model::{ErrorKind, Fault, FrameKind};

use super::*;
use crate::synthetic::{at_ms, frame, gop, range_ms, same};

fn open(dir: &Path, budget_bytes: u64) -> (GopStore, Opened) {
    GopStore::open(StoreOptions { dir: dir.to_owned(), budget_bytes }).unwrap()
}

fn key(track: &str, ms: i64) -> GopKey {
    GopKey { track: track.into(), start: at_ms(ms) }
}

fn files_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap());
    entries.map(|e| e.metadata().map_or(0, |m| m.len())).sum()
}

fn only_file(dir: &Path, ext: &str) -> PathBuf {
    let mut found = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    found.find(|p| p.extension().is_some_and(|e| e == ext)).unwrap()
}

#[test]
fn what_was_put_is_read_back_now_and_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let gops: Vec<Gop> = (0..20).map(|i| gop("v", i * 1000, 25, 40, 300 + i as usize)).collect();
    let (store, opened) = open(dir.path(), 10 << 20);
    assert_eq!(opened, Opened::default());
    let transfer = store.transfer("file 1");
    // In an order that is not that of time.
    for g in gops.iter().step_by(2).chain(gops.iter().skip(1).step_by(2)) {
        assert_eq!(store.put_blocking(g, &transfer).unwrap(), g.key());
    }
    store.0.finish(&transfer.0, Some([9; 32]), 777).unwrap();
    let all_there = |store: &GopStore| {
        for g in &gops {
            let back = store.gop_blocking(&g.key()).unwrap();
            assert!(same(&back, g));
            let origin = back.frames[0].origin.clone().unwrap();
            assert_eq!(
                (origin.what.as_str(), origin.sha256, origin.bytes),
                ("file 1", Some([9; 32]), 777)
            );
        }
    };
    all_there(&store);
    assert_eq!(store.stats().bytes, files_bytes(dir.path()));
    drop(store);

    let (store, opened) = open(dir.path(), 10 << 20);
    assert_eq!((opened.gops, opened.dropped_gops, opened.dropped_bytes), (20, 0, 0));
    assert_eq!(opened.bytes, files_bytes(dir.path()));
    all_there(&store);
    let found = check(dir.path()).unwrap();
    assert_eq!((found.sound_gops, found.damaged_gops, found.stray_bytes), (20, 0, 0));
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, _) = open(dir.path(), 1 << 20);
    let again = GopStore::open(StoreOptions { dir: dir.path().into(), budget_bytes: 1 << 20 });
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn coverage_names_what_is_there_and_what_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), 10 << 20);
    let t = store.transfer("");
    for ms in [0, 1000, 5000] {
        store.put_blocking(&gop("v", ms, 25, 40, 50), &t).unwrap();
    }
    let c = store.cover(&"v".into(), range_ms(500, 7000)).unwrap();
    let found: Vec<_> = c.gops.iter().map(|(k, r)| (k.clone(), *r)).collect();
    assert_eq!(found, [0, 1000, 5000].map(|ms| (key("v", ms), range_ms(ms, ms + 1000))).to_vec());
    assert_eq!(c.missing, [range_ms(2000, 5000), range_ms(6000, 7000)]);
    let none = store.cover(&"other".into(), range_ms(0, 1)).unwrap();
    assert_eq!((none.gops.len(), none.missing), (0, vec![range_ms(0, 1)]));

    let track = "v".into();
    assert_eq!(store.forward(&track, at_ms(500), None), Some(range_ms(0, 1000)));
    assert_eq!(store.forward(&track, at_ms(500), Some(at_ms(0))), Some(range_ms(1000, 2000)));
    assert_eq!(store.forward(&track, at_ms(2000), None), Some(range_ms(5000, 6000)));
    assert_eq!(store.forward(&track, at_ms(6000), None), None);
    assert_eq!(store.reverse(&track, at_ms(5000)), Some(range_ms(1000, 2000)));
    assert_eq!(store.reverse(&track, at_ms(5001)), Some(range_ms(5000, 6000)));
    assert_eq!(store.reverse(&track, at_ms(0)), None);
}

#[test]
fn the_same_footage_is_kept_once_and_a_longer_piece_replaces_a_shorter_one() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), 10 << 20);
    let t = store.transfer("");
    store.put_blocking(&gop("v", 0, 50, 40, 50), &t).unwrap();
    // Fetched again, stamped 120 ms later by another anchor.
    assert_eq!(store.put_blocking(&gop("v", 120, 50, 40, 50), &t).unwrap(), key("v", 0));
    // The start of a GOP that a broken transfer left behind, then the whole of it.
    store.put_blocking(&gop("v", 10_000, 5, 40, 50), &t).unwrap();
    store.put_blocking(&gop("v", 9_990, 50, 40, 50), &t).unwrap();
    assert_eq!(store.stats().gops, 2);
    assert!(store.gop_blocking(&key("v", 9_990)).is_ok());
    assert!(store.gop_blocking(&key("v", 10_000)).is_err());
    drop(store);
    let (store, opened) = open(dir.path(), 10 << 20);
    assert_eq!(opened.gops, 2);
    assert!(store.gop_blocking(&key("v", 9_990)).is_ok());
}

#[test]
fn refuses_what_is_no_gop() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), 1 << 20);
    let t = store.transfer("");
    let mut bad = gop("v", 0, 3, 40, 50);
    bad.frames[0].kind = FrameKind::Predicted;
    assert_eq!(store.put_blocking(&bad, &t).unwrap_err().kind(), ErrorKind::InvalidArgument);
    bad.frames.clear();
    assert_eq!(store.put_blocking(&bad, &t).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let long = "x".repeat(65);
    assert!(store.put_blocking(&gop(&long, 0, 3, 40, 50), &t).is_err());
    let large = gop("v", 0, 3, 40, 1 << 20);
    assert_eq!(store.put_blocking(&large, &t).unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert_eq!(store.stats().failed_puts, 4);
    assert_eq!(store.stats().bytes, 0);
}

#[test]
fn the_budget_holds_and_readers_keep_what_they_hold() {
    let dir = tempfile::tempdir().unwrap();
    let budget = 4 << 20;
    let (store, _) = open(dir.path(), budget);
    let t = store.transfer("");
    let first = gop("v", 0, 25, 40, 2000);
    store.put_blocking(&first, &t).unwrap();
    let held = store.gop_blocking(&first.key()).unwrap();
    let pinned = gop("w", 0, 25, 40, 2000);
    let pin = store.pin(&"w".into(), range_ms(500, 600));
    store.put_blocking(&pinned, &t).unwrap();
    for i in 1..300 {
        store.put_blocking(&gop("v", i * 1000, 25, 40, 2000), &t).unwrap();
        assert!(store.stats().bytes <= budget, "GOP {i}: {:?}", store.stats());
        assert!(files_bytes(dir.path()) <= budget);
    }
    assert!(store.stats().evicted_files > 0);
    // Evicted, and still readable by its holder.
    assert_eq!(store.gop_blocking(&first.key()).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(same(&held, &first));
    assert!(store.stats().bytes > files_bytes(dir.path()));
    drop(held);
    assert_eq!(store.stats().bytes, files_bytes(dir.path()));
    // Pinned, so still there though never used; once released it goes.
    assert!(same(&store.gop_blocking(&pinned.key()).unwrap(), &pinned));
    drop(pin);
    for i in 300..600 {
        store.put_blocking(&gop("v", i * 1000, 25, 40, 2000), &t).unwrap();
    }
    assert!(store.gop_blocking(&pinned.key()).is_err());
}

#[test]
fn a_store_full_of_pinned_footage_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), 1 << 20);
    let t = store.transfer("");
    let _pin = store.pin(&"v".into(), range_ms(0, 1_000_000));
    let error = (0..100)
        .find_map(|i| store.put_blocking(&gop("v", i * 1000, 25, 40, 2000), &t).err())
        .unwrap();
    assert_eq!((error.kind(), error.fault()), (ErrorKind::LimitExceeded, Fault::Gateway));
    assert!(store.gop_blocking(&key("v", 0)).is_ok());
}

#[test]
fn a_smaller_budget_evicts_on_opening() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (store, _) = open(dir.path(), 8 << 20);
        let t = store.transfer("");
        for i in 0..100 {
            store.put_blocking(&gop("v", i * 1000, 25, 40, 2000), &t).unwrap();
        }
    }
    let (store, opened) = open(dir.path(), 2 << 20);
    assert!(opened.bytes <= 2 << 20 && opened.gops > 0, "{opened:?}");
    assert_eq!(store.stats().bytes, files_bytes(dir.path()));
}

#[test]
fn a_full_disk_fails_one_put_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), 64 << 20);
    let t = store.transfer("");
    store.put_blocking(&gop("v", 0, 25, 40, 500), &t).unwrap();
    // The next file is a device that is always full.
    let next = dir.path().join(format!("{}.media", file::stem(2, &"w".into())));
    std::os::unix::fs::symlink("/dev/full", &next).unwrap();
    let error = store.put_blocking(&gop("w", 0, 25, 40, 500), &t).unwrap_err();
    assert_eq!((error.kind(), error.fault()), (ErrorKind::LimitExceeded, Fault::Gateway));
    assert!(error.to_string().contains("disk of the footage store is full"), "{error}");
    // Space was not lost, the rest works, and so does the next try.
    assert_eq!(store.stats().bytes, files_bytes(dir.path()));
    assert!(store.gop_blocking(&key("v", 0)).is_ok());
    store.put_blocking(&gop("w", 0, 25, 40, 500), &t).unwrap();
    assert!(store.gop_blocking(&key("w", 0)).is_ok());
}

#[test]
fn damaged_media_is_noticed_once_after_a_start_and_can_be_stored_again() {
    let dir = tempfile::tempdir().unwrap();
    let gops = [gop("v", 0, 25, 40, 500), gop("v", 1000, 25, 40, 500)];
    {
        let (store, _) = open(dir.path(), 8 << 20);
        let t = store.transfer("");
        gops.iter().for_each(|g| drop(store.put_blocking(g, &t).unwrap()));
    }
    let path = only_file(dir.path(), "media");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[700] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(check(dir.path()).unwrap().damaged_gops, 1);

    let (store, _) = open(dir.path(), 8 << 20);
    assert_eq!(store.gop_blocking(&gops[0].key()).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(same(&store.gop_blocking(&gops[1].key()).unwrap(), &gops[1]));
    assert_eq!((store.stats().damaged_gops, store.stats().gops), (1, 1));
    let t = store.transfer("");
    store.put_blocking(&gops[0], &t).unwrap();
    assert!(same(&store.gop_blocking(&gops[0].key()).unwrap(), &gops[0]));
    drop(store);
    // The newer copy wins.
    let (store, _) = open(dir.path(), 8 << 20);
    assert!(same(&store.gop_blocking(&gops[0].key()).unwrap(), &gops[0]));
}

#[test]
fn every_truncation_opens_and_says_what_was_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let gops: Vec<Gop> = (0..3).map(|i| gop("v", i * 1000, 4, 250, 20)).collect();
    {
        let (store, _) = open(dir.path(), 8 << 20);
        let t = store.transfer("x");
        gops.iter().for_each(|g| drop(store.put_blocking(g, &t).unwrap()));
    }
    let (media, sidecar) = (only_file(dir.path(), "media"), only_file(dir.path(), "gops"));
    let (media_bytes, sidecar_bytes) =
        (std::fs::read(&media).unwrap(), std::fs::read(&sidecar).unwrap());
    for (path, whole) in [(&media, &media_bytes), (&sidecar, &sidecar_bytes)] {
        for cut in 0..whole.len() {
            std::fs::write(&media, &media_bytes).unwrap();
            std::fs::write(&sidecar, &sidecar_bytes).unwrap();
            std::fs::write(path, &whole[..cut]).unwrap();
            let (store, opened) = open(dir.path(), 8 << 20);
            let kept = opened.gops as usize;
            assert!(kept < 3 && opened.dropped_gops > 0, "{path:?} cut at {cut}: {opened:?}");
            for (i, g) in gops.iter().enumerate() {
                let back = store.gop_blocking(&g.key());
                assert_eq!(back.is_ok(), i < kept, "{path:?} cut at {cut}, GOP {i}");
                assert!(back.is_ok_and(|b| same(&b, g)) == (i < kept));
            }
            let found = check(dir.path()).unwrap();
            assert_eq!((found.damaged_gops, found.sound_gops as usize), (0, kept));
        }
    }
}

#[test]
fn a_damaged_sidecar_record_costs_only_its_own_gop() {
    let dir = tempfile::tempdir().unwrap();
    let gops: Vec<Gop> = (0..3).map(|i| gop("v", i * 1000, 4, 250, 20)).collect();
    {
        let (store, _) = open(dir.path(), 8 << 20);
        let t = store.transfer("x");
        gops.iter().for_each(|g| drop(store.put_blocking(g, &t).unwrap()));
    }
    let sidecar = only_file(dir.path(), "gops");
    let mut bytes = std::fs::read(&sidecar).unwrap();
    let magics: Vec<usize> =
        (0..bytes.len()).filter(|i| bytes[*i..].starts_with(&record::MAGIC)).collect();
    let second = magics[magics.len() - 2];
    bytes[second + 20] ^= 0x40;
    std::fs::write(&sidecar, bytes).unwrap();
    let (store, opened) = open(dir.path(), 8 << 20);
    assert_eq!((opened.gops, opened.dropped_gops), (2, 1));
    assert!(same(&store.gop_blocking(&gops[2].key()).unwrap(), &gops[2]));
}

#[tokio::test]
async fn many_tasks_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), 8 << 20);
    let tasks = (0..8).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let transfer = store.transfer("t");
            for i in 0..40 {
                // Two tasks share each track.
                let track = format!("v{}", n / 2);
                let g = Arc::new(gop(&track, i * 1000, 10, 100, 400));
                let key = store.put(Arc::clone(&g), &transfer).await.unwrap();
                assert!(same(&store.gop(&key).await.unwrap(), &g));
            }
            store.finish(transfer, None, 5).await.unwrap();
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(store.stats().gops, 4 * 40);
    drop(store);
    assert_eq!(check(dir.path()).unwrap().damaged_gops, 0);
}

#[test]
fn frames_with_two_clocks_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), 1 << 20);
    let mut g = gop("v", 0, 2, 40, 10);
    g.frames.push(frame(&"v".into(), at_ms(80), FrameKind::Predicted, 10));
    g.frames[2].media.rate_hz = 8000;
    assert!(store.put_blocking(&g, &store.transfer("")).is_err());
}

#[path = "crash_tests.rs"]
mod crash;
