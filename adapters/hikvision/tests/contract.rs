//! The adapter against simulated recorders of every generation, over real connections.

#![allow(clippy::unwrap_used)] // a failure here is a failed test

mod bench;

use std::time::Duration;

use dvrgate_adapter::suite::{Suite, a_wrong_password_is_not_tried_again};
use dvrgate_adapter::{Adapter as _, EventQuery, FootageRequest, Priority};
use dvrgate_model::{ChannelId, Convention, ErrorKind, SourceRange, StreamKind, Utc, ZoneTrust};
use dvrgate_testkit::EventKind;
use dvrgate_testkit::archive::LoggedEvent;
use futures::StreamExt as _;

use bench::{Bench, within};

const PROFILES: [&str; 7] =
    ["psia-dvr", "dvr-4.75", "nvr-4.30", "nvr-4.60", "nvr-5.0", "ipc-5.2", "ipc-5.7"];

fn profile(name: &str) -> String {
    format!("profile = {name:?}\n")
}

/// The contract suite.
#[tokio::test(flavor = "multi_thread")]
async fn every_generation_keeps_the_contract() {
    for name in PROFILES {
        let bench = Bench::new(&profile(name)).await;
        bench.identify().await;
        let recorded = bench.listing_window(-7_000, -1_300).await;
        // A DVR lists files that touch as one: there, the channel with gaps.
        let channel = if name == "dvr-4.75" { 3 } else { bench.channel() };
        Suite::new(bench.device.clone(), ChannelId(channel), recorded).run().await;
        bench.finish(name).await;
    }
}

/// What is listed is what was recorded: coverage and reasons, in UTC, on a clock that is 137 s off.
#[tokio::test(flavor = "multi_thread")]
async fn listed_segments_are_the_truth() {
    for name in PROFILES {
        let bench = Bench::new(&profile(name)).await;
        bench.segments_equal_truth(name).await;
        bench.finish(name).await;
    }
}

/// Paging survives firmware that never ends, repeats itself or clips.
#[tokio::test(flavor = "multi_thread")]
async fn odd_paging_lists_the_truth_too() {
    for odd in [
        "more = \"endless-repeat\"",
        "more = \"endless-empty\"",
        "match_count = \"total\"",
        "clip_to_window = true",
        "page_size = 7",
        "refuse_future = true",
        "zone_mark = \"offset\"",
        "local_time = \"minutes-z\"",
        "local_time = \"one-digit-hour\"",
        "local_time = \"sign-lost\"",
        "calendar = false",
    ] {
        let bench = Bench::new(&format!("profile = \"nvr-5.0\"\n{odd}\n")).await;
        bench.segments_equal_truth(odd).await;
        bench.finish(odd).await;
    }
}

/// A window with more than a query ever lists is halved.
#[tokio::test(flavor = "multi_thread")]
async fn a_capped_listing_is_halved() {
    let cap = ("max_results = 4000", "max_results = 10");
    let bench = Bench::with_mapping("profile = \"nvr-5.0\"\nmax_matches = 10\n", cap).await;
    bench.segments_equal_truth("capped").await;
    bench.finish("capped").await;
}

/// The verdict on `Z` is what the recorder really does, on both sides of Greenwich.
#[tokio::test(flavor = "multi_thread")]
async fn the_meaning_of_z_is_found_out() {
    for zone in ["Asia/Kolkata", "America/New_York", "Europe/Bratislava"] {
        for (mark, trust) in [("local", ZoneTrust::WallClock), ("utc", ZoneTrust::Claimed)] {
            for listing in ["files", "merged"] {
                for clips in [false, true] {
                    let switches = format!(
                        "profile = \"nvr-5.0\"\nzone_mark = {mark:?}\nlisting = {listing:?}\nclip_to_window = {clips}\n"
                    );
                    let bench = Bench::in_zone(&switches, zone).await;
                    bench.identify().await;
                    let reading = bench.clock().await;
                    assert_eq!(reading.trust, trust, "{zone} {switches}");
                    bench.finish(zone).await;
                }
            }
        }
    }
}

/// Footage has the times of its pictures, whatever envelope, method and length it comes with.
#[tokio::test(flavor = "multi_thread")]
async fn downloaded_pictures_have_their_times() {
    for switches in PROFILES.map(profile).into_iter().chain(
        [
            "content_length = \"absent\"",
            "content_length = \"zero\"",
            "issued_uris_only = true",
            "private_packets = true",
            "wrong_method = \"empty\"\ndownload = \"get\"",
            "envelope = \"none\"",
        ]
        .map(|s| format!("profile = \"nvr-5.0\"\n{s}\n")),
    ) {
        let bench = Bench::new(&switches).await;
        let units = bench.pictures_in(-3_000, -2_980).await;
        assert!(units.seen > 200, "{switches}: {units:?}");
        assert!(units.spread_us <= 45_000, "{switches}: {units:?}");
        assert!(units.worst_us <= 1_300_000, "{switches}: {units:?}");
        bench.finish(&switches).await;
    }
}

/// Over RTSP the times lie in the stated interval.
#[tokio::test(flavor = "multi_thread")]
async fn played_pictures_lie_in_their_interval() {
    let (auto, none) = ("download = \"auto\"", "download = \"none\"");
    for (switches, download) in [
        ("profile = \"nvr-5.0\"\n", none),
        ("profile = \"psia-dvr\"\n", none),
        ("profile = \"dvr-4.75\"\nafter_end = \"runs-on\"\n", none),
        ("profile = \"nvr-4.30\"\nrefuse_at = \"setup\"\nprivate_packets = true\n", none),
        ("profile = \"nvr-5.0\"\ndownload_broken = true\n", auto),
    ] {
        let bench = Bench::with_mapping(switches, (auto, download)).await;
        let units = bench.pictures_in(-3_000, -2_990).await;
        assert!(units.seen > 100, "{switches}: {units:?}");
        assert!(units.worst_us <= 10_500_000, "{switches}: {units:?}");
        bench.finish(switches).await;
    }
}

/// Encrypted footage is refused with a remedy instead of shown as noise.
#[tokio::test(flavor = "multi_thread")]
async fn encrypted_footage_is_refused() {
    let bench = Bench::new("profile = \"nvr-5.0\"\nencrypted = true\n").await;
    let e = bench.try_pictures(-3_000, -2_980).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
    bench.finish("encrypted").await;
}

/// A recorder without free sessions says busy, and the adapter uses one fewer from then on.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_session_is_busy() {
    let bench =
        Bench::new("profile = \"nvr-5.0\"\nplayback_sessions = 1\ndownload_rate = 20000\n").await;
    bench.identify().await;
    let request = bench.request(-3_000, -2_940).await;
    let cx = bench.device.cx(Priority::Replay);
    let adapter = bench.bare();
    let before = adapter.capabilities().footage.max_sessions;
    let held = adapter.open(&cx, request.clone()).await.unwrap();
    let e = adapter.open(&cx, request.clone()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Busy, "{e}");
    assert_eq!(adapter.capabilities().footage.max_sessions, before - 1);
    drop(held);
    // The layers would have waited; here the recorder itself was to say it.
    bench.finish_with("busy", &["download beyond the recorder's playback sessions"]).await;
}

/// The log is the truth, under every prefix and set of names.
#[tokio::test(flavor = "multi_thread")]
async fn logged_events_are_the_truth() {
    for odd in [
        "",
        "log_prefix = \"hikvision\"",
        "log_prefix = \"std-cgi\"",
        "log_fields = \"short\"",
        "event_channels = \"same\"",
    ] {
        let bench = Bench::new(&format!("profile = \"dvr-4.75\"\n{odd}\n")).await;
        bench.identify().await;
        let map = bench.clock_map().await;
        let now = bench.now();
        let mut seen = Vec::new();
        let cx = bench.device.cx(Priority::Backfill);
        for window in map.source_windows(bench.range(-10_000, 60), Convention::WallClock) {
            let mut query = EventQuery { window, cursor: None };
            loop {
                let page = bench.device.adapter.list_events(&cx, query.clone()).await.unwrap();
                assert!(!page.capped);
                for e in page.items {
                    let at = map.to_utc(e.time.as_ref().unwrap(), Default::default()).utc;
                    assert!(bench.device.mapping.event(&e.code).is_some(), "{odd}: {}", e.code);
                    seen.push((e.code.to_ascii_lowercase(), e.channel, e.active, at));
                }
                match page.next {
                    Some(next) => query.cursor = Some(next),
                    None => break,
                }
            }
        }
        let truth = bench.simulator.truth();
        assert!(!truth.events.is_empty());
        for e in truth.events.iter().filter(|e| e.kind == EventKind::Motion) {
            let at: Utc = e.at.parse().unwrap();
            let channel = e.channel.map(|c| ChannelId(c.into()));
            let found = seen.iter().any(|(code, c, active, t)| {
                code == "motionstart"
                    && *c == channel
                    && *active == Some(true)
                    && t.since_us(at).abs() <= 2_000_000
            });
            assert!(found, "{odd}: {e:?} is not in {seen:?} at {now}");
        }
        bench.finish(odd).await;
    }
}

/// What happens is told while it happens, however the stream is framed.
#[tokio::test(flavor = "multi_thread")]
async fn alerts_arrive() {
    for odd in [
        "",
        "boundary = \"other\"",
        "boundary = \"dashes\"\nbare_line_feeds = true",
        "wrong_part_length = true\nscraps = 11",
        "picture_parts = true\njson_parts = true",
        "dynamic_channel_only = true",
        "event_channels = \"same\"",
    ] {
        let switches = format!("profile = \"dvr-4.75\"\nheartbeat_ms = 200\n{odd}\n");
        let bench = Bench::new(&switches).await;
        bench.identify().await;
        let cx = bench.device.cx(Priority::Backfill);
        let mut alerts = bench.device.adapter.watch(&cx);
        let channel = if odd.is_empty() { 1 } else { bench::CAMERA };
        let next = async {
            // The stream must be open before it happens: heartbeats do not show here, so it
            // happens until it is heard.
            loop {
                let at = bench.now();
                let kind = EventKind::Motion;
                bench.simulator.happen(LoggedEvent {
                    at,
                    until: None,
                    kind,
                    channel: Some(channel),
                });
                let wait = tokio::time::timeout(Duration::from_millis(300), alerts.next());
                // Other things are told too.
                match wait.await {
                    Ok(Some(Ok(e))) if !e.code.eq_ignore_ascii_case("vmd") => {}
                    Ok(event) => return event,
                    Err(_) => {}
                }
            }
        };
        let event = within(next, odd).await.unwrap().unwrap();
        assert_eq!((&*event.code.to_ascii_lowercase(), event.active), ("vmd", Some(true)), "{odd}");
        assert_eq!(event.channel, Some(ChannelId(channel.into())), "{odd}");
        drop(alerts);
        bench.finish(odd).await;
    }
}

/// What begins ends, although the recorder only ever says that it is on.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_is_not_repeated_is_over() {
    let switches = "profile = \"dvr-4.75\"\nheartbeat_ms = 200\ninactive_told = false\n";
    let bench = Bench::with_mapping(switches, ("quiet-s = 15", "quiet-s = 2")).await;
    bench.identify().await;
    let cx = bench.device.cx(Priority::Backfill);
    let mut alerts = bench.device.adapter.watch(&cx);
    let (kind, channel) = (EventKind::Motion, Some(1));
    let mut begun = false;
    let edges = async {
        loop {
            if !begun {
                let at = bench.now();
                bench.simulator.happen(LoggedEvent { at, until: None, kind, channel });
            }
            let wait = tokio::time::timeout(Duration::from_millis(300), alerts.next());
            let Ok(Some(Ok(event))) = wait.await else { continue };
            if event.code.eq_ignore_ascii_case("vmd") && event.channel == Some(ChannelId(1)) {
                assert_eq!(event.active, Some(!begun), "{event:?}");
                if begun {
                    return;
                }
                begun = true;
            }
        }
    };
    within(edges, "the end").await;
    drop(alerts);
    bench.finish("ends").await;
}

/// A wrong password is tried once, and a lock is reported without another try.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_locks_nobody_out() {
    for name in ["dvr-4.75", "nvr-5.0", "ipc-5.2"] {
        let bench = Bench::new(&profile(name)).await;
        let device = bench.connect("wrong", |m| m.to_owned());
        let counters = bench.simulator.counters.clone();
        a_wrong_password_is_not_tried_again(&device, || {
            counters.read().log_ins_refused.try_into().unwrap()
        })
        .await;
        assert_eq!(counters.read().lock_outs, 0);
        bench.finish_bare(name).await;
    }
}

/// Where a recorder takes neither digest nor Basic, a session is begun as browsers do it: one log-in
/// for all requests, and one try with a wrong password.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_begun_where_nothing_else_is_taken() {
    for auth in ["session", "session-reversible"] {
        let bench = Bench::new(&format!("profile = \"nvr-5.0\"\nhttp_auth = {auth:?}\n")).await;
        bench.segments_equal_truth(auth).await;
        let units = bench.pictures_in(-3_000, -2_980).await;
        assert!(units.seen > 200 && units.worst_us <= 1_300_000, "{auth}: {units:?}");
        let counters = bench.simulator.counters.clone();
        let log_ins = |what: &str| counters.read().requests_by_path.get(what).copied().unwrap_or(0);
        assert_eq!(log_ins("POST /ISAPI/Security/sessionLogin"), 1, "{auth}");
        let device = bench.connect("wrong", |m| m.to_owned());
        a_wrong_password_is_not_tried_again(&device, || {
            counters.read().log_ins_refused.try_into().unwrap()
        })
        .await;
        assert_eq!(counters.read().lock_outs, 0);
        bench.finish_bare(auth).await;
    }
}

/// Requests for what is not there are answered without footage of something else.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_has_no_footage() {
    let bench = Bench::new("profile = \"nvr-5.0\"\n").await;
    bench.identify().await;
    let window = bench.listing_window(-40_000, -39_980).await;
    let request = FootageRequest {
        channel: ChannelId(bench.channel()),
        stream: StreamKind::Main,
        window: SourceRange::new(window.start, window.end),
        locator: None,
        segment: None,
        resume: 0,
    };
    let e = bench.device.adapter.open(&bench.device.cx(Priority::Replay), request).await;
    assert_eq!(e.unwrap_err().kind(), ErrorKind::NotFound);
    bench.finish("gap").await;
}
