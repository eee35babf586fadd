//! How sessions stay alive and how they end.

use std::time::Duration;

use dvrgate_media::container::Demuxed;
use dvrgate_model::ErrorKind;
use tokio::time::{Instant, sleep, timeout};

use super::{ROOM, SDP, URL, frame, interleaved, options, pair, playing, sounds};
use crate::client::{ClientOptions, End};
use crate::message::Method;

#[tokio::test(start_paused = true)]
async fn silence_is_the_end_however_often_the_caller_looks() {
    for impatient in [false, true] {
        let idle = Duration::from_secs(8);
        let (mut client, mut recorder) =
            playing(ClientOptions { idle_timeout: Some(idle), ..options() }, "1").await;
        // Longer than the timeout, but nobody waited.
        sleep(2 * idle).await;
        recorder.sound(1).await;
        let first = client.next().await.unwrap();
        assert!(first.is_some_and(|r| matches!(r.item, Demuxed::Params(_))));
        assert!(client.next().await.unwrap().is_some());
        let start = Instant::now();
        let next = loop {
            if !impatient {
                break client.next().await;
            }
            if let Ok(next) = timeout(Duration::from_millis(700), client.next()).await {
                break next;
            }
            // Not RTP: a report of the server.
            recorder.write(&frame(3, &[0x80, 201, 0, 1, 0, 0, 0, 9])).await;
        };
        assert!(next.unwrap().is_none());
        assert_eq!(client.end(), Some(End::Silent));
        assert!((start.elapsed().as_secs_f64() - 8.0).abs() < 0.1, "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn only_silence_that_a_caller_waits_for_counts() {
    let idle = Duration::from_secs(8);
    let (mut client, mut recorder) =
        playing(ClientOptions { idle_timeout: Some(idle), ..options() }, "1").await;
    // A caller who looks once and comes back late finds what came in the meantime.
    assert!(timeout(Duration::from_secs(1), client.next()).await.is_err());
    sleep(3 * idle).await;
    recorder.sound(1).await;
    assert!(client.next().await.unwrap().is_some());
    assert!(client.next().await.unwrap().is_some());
    // Every packet starts the time anew, also one that completes nothing.
    let serve = async {
        for n in 2..6 {
            sleep(Duration::from_secs(7)).await;
            recorder.write(&interleaved(0, 96, n, &[0x7c, 0x85, 1])).await;
        }
        sleep(Duration::from_secs(7)).await;
        recorder.sound(6).await;
    };
    let (next, ()) = tokio::join!(client.next(), serve);
    assert!(next.unwrap().is_some(), "{:?}", client.end());
    // Time that a caller spends on a unit is no silence.
    sleep(3 * idle).await;
    let serve = async {
        sleep(Duration::from_secs(7)).await;
        recorder.sound(7).await;
    };
    let (next, ()) = tokio::join!(client.next(), serve);
    assert!(next.unwrap().is_some(), "{:?}", client.end());
}

#[tokio::test(start_paused = true)]
async fn a_paused_session_may_be_silent() {
    let idle = Some(Duration::from_secs(8));
    let (mut client, mut recorder) =
        playing(ClientOptions { idle_timeout: idle, ..options() }, "1").await;
    tokio::join!(async { client.pause().await.unwrap() }, recorder.serve(Method::Pause, "200 OK"));
    assert!(timeout(Duration::from_secs(20), client.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn keep_alives_come_in_time_and_need_no_answer() {
    let (mut client, mut recorder) = playing(options(), "5;timeout=4").await;
    let start = Instant::now();
    let serve = async {
        let first = recorder.asked(Method::GetParameter).await;
        assert_eq!(first.fields.get("Session"), Some("5"));
        recorder.answer(&first, "405 Method Not Allowed").await;
        for n in 2..=50 {
            recorder.asked(Method::Options).await;
            let late = start.elapsed().as_secs_f64() - 2.0 * f64::from(n);
            assert!(late.abs() < 0.1, "number {n} is {late} s late");
        }
        recorder.sound(7).await;
        recorder.write(b"ANNOUNCE * RTSP/1.0\r\nCSeq: 1\r\n\r\n").await;
    };
    let (got, ()) = tokio::join!(sounds(&mut client), serve);
    assert_eq!((got, client.end()), (vec![7], Some(End::Said)));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_client_frees_its_session() {
    let (client, mut recorder) = playing(options(), "77").await;
    drop(client);
    recorder.sound(1).await;
    let teardown = recorder.serve(Method::Teardown, "200 OK").await;
    assert_eq!((teardown.uri.as_str(), teardown.fields.get("Session")), (URL, Some("77")));
    assert!(recorder.request().await.is_none());

    // One that does not answer.
    let (client, mut recorder) = playing(options(), "78").await;
    drop(client);
    recorder.asked(Method::Teardown).await;
    let start = Instant::now();
    assert!(recorder.request().await.is_none());
    assert!(start.elapsed() <= Duration::from_millis(2100), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_being_made_is_freed_too() {
    let (mut client, mut recorder) = pair(options(), ROOM);
    let described = format!("200 OK\r\n\r\n{SDP}");
    tokio::join!(
        async { client.describe().await.map(drop).unwrap() },
        recorder.serve(Method::Describe, &described)
    );
    let setup = tokio::select! {
        setup = recorder.asked(Method::Setup) => setup,
        _ = client.setup(0) => panic!("nobody answered"),
    };
    drop(client);
    recorder.answer(&setup, "200 OK\r\nSession: 31\r\n").await;
    let teardown = recorder.serve(Method::Teardown, "200 OK").await;
    assert_eq!(teardown.fields.get("Session"), Some("31"));
    assert!(recorder.request().await.is_none());
}

#[tokio::test]
async fn a_client_without_a_runtime_can_be_dropped() {
    let (client, recorder) = playing(options(), "1").await;
    let thread = std::thread::spawn(move || drop(client));
    thread.join().unwrap();
    drop(recorder);
}

#[tokio::test(start_paused = true)]
async fn packets_without_a_pause_do_not_hide_that_the_answer_is_missing() {
    let (mut client, mut recorder) = playing(options(), "1").await;
    let flood = async {
        for n in 0.. {
            recorder.sound(n).await;
            sleep(Duration::from_millis(20)).await;
        }
    };
    let start = Instant::now();
    let result = tokio::select! {
        result = client.pause() => result,
        () = flood => panic!("endless"),
    };
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(start.elapsed() < Duration::from_secs(11));
}
