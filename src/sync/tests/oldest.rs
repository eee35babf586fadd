//! Recorders that say where their footage begins are asked for less, and what they overlook is found.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dvrgate_adapter::OldestSupport;

use super::recorder::{Bench, Manners, device};
use crate::{Options, Report, Syncer};

/// A channel of three days, one that has nothing, and one whose oldest footage lies beyond a gap of
/// a month and a half.
const CHANNELS: &str = r#"
[clock]
offset_s = -41.5
zone = "Europe/Bratislava"
[storage]
file = "30m"
[[channel]]
id = 1
[[channel.recorded]]
from = "-3d"
to = "now"
[[channel]]
id = 2
[[channel]]
id = 3
[[channel.recorded]]
from = "-90d"
to = "-88d"
[[channel.recorded]]
from = "-40d"
to = "-1d"
every = "12h"
lasting = "5m"
"#;

fn bench(oldest: OldestSupport) -> Bench {
    let manners = Manners { oldest, ..Manners::default() };
    let bench = Bench::new(CHANNELS, "2026-11-25T12:00:00.300Z", manners);
    let syncer = Syncer::new(
        vec![device("yard", &bench.recorder, None)],
        Arc::clone(&bench.index) as _,
        Arc::clone(&bench.recorder.clock) as _,
        Arc::clone(&bench.published) as _,
        Options { horizon: Duration::from_secs(400 * 86_400), ..Options::default() },
    );
    Bench { syncer: Arc::new(syncer), ..bench }
}

async fn sync(bench: &Bench) -> (Report, usize) {
    let before = bench.recorder.lists.load(Ordering::SeqCst);
    let report = bench.sync().await.unwrap();
    assert!(report.complete && report.errors.is_empty(), "{report:?}");
    (report, bench.recorder.lists.load(Ordering::SeqCst) - before)
}

#[tokio::test(start_paused = true)]
async fn a_sure_beginning_spares_the_search_before_it() {
    let (blind, sure) = (bench(OldestSupport::No), bench(OldestSupport::Surely));
    let mut spent = [0, 0];
    for (b, spent) in [&blind, &sure].into_iter().zip(&mut spent) {
        *spent = sync(b).await.1;
        (1..=3).for_each(|channel| b.assert_true(channel));
    }
    let [without, with] = spent;
    assert!(with < without, "{with} requests, {without} without");
    // Nothing is looked for later, either.
    let fresh_only = sync(&sure).await.1;
    assert_eq!(fresh_only, sync(&blind).await.1);
}

#[tokio::test(start_paused = true)]
async fn what_lies_beyond_a_gap_is_found_by_and_by() {
    let bench = bench(OldestSupport::Likely);
    sync(&bench).await;
    (1..=2).for_each(|channel| bench.assert_true(channel));
    let oldest = |b: &Bench| b.spans("yard-3-video")[0].start();
    let overlooked = oldest(&bench);
    let mut passes = 0;
    while oldest(&bench) == overlooked {
        bench.recorder.clock.advance(Duration::from_secs(600));
        sync(&bench).await;
        passes += 1;
        assert!(passes <= 3, "not found");
    }
    (1..=3).for_each(|channel| bench.assert_true(channel));
    // The rest of the year is looked through, and then left alone.
    let mut requests = Vec::new();
    for _ in 0..20 {
        requests.push(sync(&bench).await.1);
    }
    assert!(requests[19] < requests[0], "{requests:?}");
    assert_eq!(requests[18], requests[19]);
    (1..=3).for_each(|channel| bench.assert_true(channel));
}
