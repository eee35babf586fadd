//! Timers and tasks of the simulator outside RTSP.

use std::sync::Arc;
use std::time::Duration;

use ::tokio::sync::broadcast;
use ::tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use bytes::Bytes;
use dvrgate_model::{Utc, UtcRange};
use dvrgate_testkit::archive::LoggedEvent;
use dvrgate_testkit::counters::PlaybackSlot;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio_util::sync::CancellationToken;

use crate::isapi::{Alert, part};
use crate::recorder::Recorder;

/// How often the log is looked at for what has just become the present.
const DUE_EVERY: Duration = Duration::from_millis(100);
/// An event that lasts is told again so often.
const REPEAT_EVERY: Duration = Duration::from_secs(1);

/// Waits.
pub(crate) async fn sleep(time: Duration) {
    ::tokio::time::sleep(time).await;
}

/// Keeps a playback session for a while.
pub(crate) fn hold(slot: PlaybackSlot, time: Duration, stopping: CancellationToken) {
    let Ok(runtime) = ::tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        let _slot = slot;
        ::tokio::select! {
            () = ::tokio::time::sleep(time) => {}
            () = stopping.cancelled() => {}
        }
    });
}

/// Lets bytes through at a rate per second.
pub(crate) fn paced(pieces: BoxStream<'static, Bytes>, rate: u64) -> BoxStream<'static, Bytes> {
    let mut state = (Instant::now(), 0u64);
    pieces
        .then(move |piece| {
            let due = state.0 + Duration::from_micros(state.1 * 1_000_000 / rate.max(1));
            state.1 += piece.len() as u64;
            async move {
                sleep_until(due).await;
                piece
            }
        })
        .boxed()
}

/// Tells events of the log when their time comes.
pub(crate) async fn tell_events(recorder: Arc<Recorder>) {
    let mut ticks = interval(DUE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = recorder.now();
        let mut told = recorder.told.lock();
        for event in recorder.archive.events(UtcRange::clamped(*told, now)) {
            // Nobody listens: nobody is told.
            let _ = recorder.events.send(event);
        }
        *told = now.max(*told);
    }
}

/// The body of an alert stream: heartbeats, and events while they last.
pub(crate) fn alert_stream(recorder: Arc<Recorder>) -> BoxStream<'static, Bytes> {
    let guard = StreamGuard::new(recorder.clone());
    let beat = Duration::from_millis(recorder.behaviour().heartbeat_ms.max(10));
    let mut beats = interval(beat);
    let mut repeats = interval(REPEAT_EVERY);
    for ticks in [&mut beats, &mut repeats] {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let scraps = recorder.behaviour().scraps;
    let lasting: Vec<(LoggedEvent, Utc, u32)> = Vec::new();
    let state = (recorder.clone(), recorder.events.subscribe(), beats, repeats, lasting, guard);
    futures::stream::unfold(
        state,
        |(r, mut events, mut beats, mut repeats, mut lasting, guard)| async {
            let alerts = loop {
                ::tokio::select! {
                    event = events.recv() => match event {
                        Ok(event) => {
                            if let Some(until) = event.until {
                            if lasting.is_empty() {
                                repeats.reset();
                            }
                                lasting.push((event, until, 1));
                            }
                            break vec![Alert::Event { event, active: true, posts: 1 }];
                        }
                        Err(broadcast::error::RecvError::Lagged(_)) => {}
                        Err(broadcast::error::RecvError::Closed) => return None,
                    },
                    _ = beats.tick() => break vec![Alert::Heartbeat],
                    _ = repeats.tick(), if !lasting.is_empty() => break again(&r, &mut lasting),
                }
            };
            let now = r.now();
            let parts: Vec<u8> = alerts.iter().flat_map(|a| part(&r, a, now)).collect();
            Some((Bytes::from(parts), (r, events, beats, repeats, lasting, guard)))
        },
    )
    .flat_map(move |parts| {
        let size = if scraps == 0 { parts.len().max(1) } else { scraps };
        let count = parts.len().div_ceil(size);
        let scrap = move |i: usize| parts.slice(i * size..((i + 1) * size).min(parts.len()));
        futures::stream::iter((0..count).map(scrap))
    })
    .boxed()
}

/// Repeats what lasts, and ends what is over.
fn again(r: &Recorder, lasting: &mut Vec<(LoggedEvent, Utc, u32)>) -> Vec<Alert> {
    let now = r.now();
    let mut alerts = Vec::new();
    lasting.retain_mut(|(event, until, posts)| {
        *posts += 1;
        let active = now < *until;
        if active || r.behaviour().inactive_told {
            alerts.push(Alert::Event { event: *event, active, posts: *posts });
        }
        active
    });
    alerts
}

/// One of the recorder's alert streams, given back when the client goes.
struct StreamGuard(Arc<Recorder>);

impl StreamGuard {
    fn new(recorder: Arc<Recorder>) -> Self {
        recorder.counters.count(|r| r.event_streams_open += 1);
        Self(recorder)
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.alert_streams.add_permits(1);
        self.0.counters.count(|r| r.event_streams_open -= 1);
    }
}
