//! The engine over a simulated network.

use super::world::{GOOD, Link, MAX_HELD_BYTES, SOCKET_BYTES, World};
use super::*;
use crate::rtp::{Rtcp, Target, rtcp_compound};

const TCP: &str = "RTP/AVP/TCP;unicast;interleaved=0-1";
const UDP: &str = "RTP/AVP;unicast;client_port=5000-5001";

/// R8.5.3-2: without rate control the client's reading sets the pace. It gets everything, in order,
/// and what waits for it is bounded however long that takes.
#[test]
fn a_slow_reader_gets_everything_and_little_is_held_for_it() {
    let slow = Link { delay: Duration::from_millis(150), bytes_per_ms: 20, loss_percent: 0 };
    let (mut world, session) = World::ready(slow, TCP);
    world.play(&session, 2, "Rate-Control: no\n");
    for _ in 0..10 {
        world.pass(Duration::from_secs(2));
        world.send(&format!("GET_PARAMETER {URL} RTSP/1.0\nCSeq: 9\nSession: {session}\n\n"));
    }
    let frames = world.frames();
    assert!(frames.len() > 500, "{}", frames.len());
    assert!(frames.iter().enumerate().all(|(i, f)| *f == (i as i64, 2)));
    assert!(world.most_held <= MAX_HELD_BYTES, "{}", world.most_held);
}

/// R8.7-5: who reads nothing at all, but says that it lives, keeps its session; who is silent as well
/// loses it, and nothing goes on for it.
#[test]
fn a_stuck_reader_lives_as_long_as_it_says_so() {
    let stuck = Link { bytes_per_ms: 0, ..GOOD };
    let mut world = World::new(stuck);
    world.send(&format!("SETUP {URL}/track1 RTSP/1.0\nCSeq: 1\nTransport: {TCP}\n\n"));
    world.pass(Duration::from_millis(10));
    let session = world.connection.session.as_ref().unwrap().id.clone();
    world.play(&session, 2, "Rate-Control: no\n");
    for _ in 0..5 {
        world.pass(Duration::from_secs(50));
        world.send(&format!("OPTIONS {URL} RTSP/1.0\nCSeq: 9\nSession: {session}\n\n"));
    }
    assert!(world.stopped_at.is_none() && world.most_held <= MAX_HELD_BYTES);
    let silent_since = world.now.instant;
    world.pass(Duration::from_secs(62));
    let stopped = world.stopped_at.unwrap().duration_since(silent_since);
    assert!(
        stopped >= Duration::from_secs(60) && stopped <= Duration::from_secs(61),
        "{stopped:?}"
    );
}

/// R8.7-2: reports are signs of life even where half of them are lost; where all are, the session
/// ends in time.
#[test]
fn reports_keep_a_session_alive_over_a_bad_network() {
    for (loss_percent, lives) in [(50, true), (100, false)] {
        let (mut world, session) = World::ready(GOOD, UDP);
        world.link.loss_percent = loss_percent;
        world.play(&session, 2, "");
        let begun = world.now.instant;
        for _ in 0..60 {
            world.pass(Duration::from_secs(5));
            world.report();
        }
        assert_eq!(world.stopped_at.is_none(), lives, "{loss_percent}");
        if let Some(stopped) = world.stopped_at {
            assert_eq!(stopped.duration_since(begun).as_secs(), 60);
        }
    }
}

/// R8.5.3-1: what arrives over a network that loses a fifth is each at its time; what is lost is not
/// made up for.
#[test]
fn datagrams_are_paced_whatever_is_lost() {
    let lossy = Link { delay: Duration::from_millis(30), loss_percent: 20, ..GOOD };
    let (mut world, session) = World::ready(lossy, UDP);
    world.play(&session, 2, "");
    world.pass(Duration::from_secs(20));
    let begun = world.got[0].0;
    let mut units = 0;
    let mut first = None;
    for (at, target, bytes) in &world.got {
        let packet = Packet::parse(bytes);
        let (Target::Rtp(_), Ok(packet)) = (target, packet) else { continue };
        let Some(e) = extension(&(packet, bytes.clone())) else { continue };
        let recorded = e.at.since_us(*first.get_or_insert(e.at));
        let late = at.duration_since(begun).as_micros() as i64 - recorded;
        assert!(late.abs() <= 6_000, "{late} us late");
        units += 1;
    }
    assert!((350..450).contains(&units), "{units} of 500");
}

/// R8.10-1, R8.10-2, R8.10-3 over a long way: behind the answer to a seek nothing of before comes.
#[test]
fn behind_the_answer_to_a_seek_everything_is_new() {
    let far = Link { delay: Duration::from_millis(300), bytes_per_ms: 500, loss_percent: 0 };
    let (mut world, session) = World::ready(far, TCP);
    world.play(&session, 2, "Rate-Control: no\n");
    world.pass(Duration::from_secs(3));
    let range = ClockRange { start: Some(frame_at(10_000)), end: None };
    world.play(&session, 3, &format!("Rate-Control: no\nImmediate: yes\nRange: {range}\n"));
    world.pass(Duration::from_secs(3));
    let text = text(&world.wire);
    let answer = text.find("CSeq: 3\r\n").unwrap();
    assert!(answer > 0);
    let frames = world.frames();
    let turn = frames.iter().position(|f| f.1 == 3).unwrap();
    assert!(frames[..turn].iter().all(|f| f.1 == 2) && frames[turn..].iter().all(|f| f.1 == 3));
    assert_eq!(frames[turn].0, 10_000);
}

/// R8.10-1, R8.6-7: who reads slowly waits for what the network has already, not for what the server
/// holds; no packet number is left out, and every unit that was begun is whole.
#[test]
fn a_seek_overtakes_what_was_not_sent() {
    let slow = Link { delay: Duration::from_millis(20), bytes_per_ms: 20, loss_percent: 0 };
    for fields in ["Immediate: yes\n", ""] {
        let (mut world, session) = World::ready(slow, TCP);
        world.play(&session, 2, "Rate-Control: no\n");
        world.pass(Duration::from_secs(5));
        assert!(world.connection.out().pending_bytes() > 200 * 1024);
        let range = ClockRange { start: Some(frame_at(10_000)), end: None };
        world.play(&session, 3, &format!("Rate-Control: no\n{fields}Range: {range}\n"));
        let begun = world.now.instant;
        let arrived = |world: &World| world.frames().iter().any(|f| f.1 == 3);
        while !arrived(&world) {
            world.pass(Duration::from_millis(50));
        }
        let took = world.now.instant.duration_since(begun);
        // What a socket holds and the unit that was begun, at twenty bytes a millisecond.
        let most = Duration::from_millis((SOCKET_BYTES as u64 + 8_000) / 20 + 100);
        assert!(took <= most, "{fields} {took:?}");
        let frames = world.frames();
        assert_eq!(frames.iter().find(|f| f.1 == 3), Some(&(10_000, 3)));
        assert!(frames.iter().filter(|f| f.1 == 2).enumerate().all(|(i, f)| f.0 == i as i64));
        let packets = packets(&world.wire);
        for pair in packets.windows(2).filter(|p| extension(&p[1]).is_some()) {
            assert!(pair[0].0.header.marker, "{:?} before {:?}", pair[0].0, pair[1].0);
        }
    }
}

/// R8.11-1, R8.11-2, R8.1-4: with rate control reports tell the wall clock beside the stream's time;
/// without there are none, so none has a time other than zero. A goodbye ends either.
#[test]
fn reports_and_goodbyes() {
    for (fields, reports) in [("", true), ("Rate-Control: no\n", false)] {
        let (mut world, session) = World::ready(Link { bytes_per_ms: 50, ..GOOD }, TCP);
        let begun = world.now;
        world.play(&session, 2, fields);
        world.pass(Duration::from_secs(12));
        world.send(&format!("TEARDOWN {URL} RTSP/1.0\nCSeq: 3\nSession: {session}\n\n"));
        world.link.bytes_per_ms = usize::MAX;
        world.pass(Duration::from_secs(1));
        let mut reader = crate::message::Reader::new(crate::message::Limits::default());
        reader.push(&world.wire);
        let (mut rtcp, mut first, mut last_is_answer) = (Vec::new(), None, false);
        while let Some(item) = reader.next_item().unwrap() {
            last_is_answer = false;
            match item {
                crate::message::Item::Packet { channel: 0, data } => {
                    first.get_or_insert(Packet::parse(&data).unwrap().header.timestamp);
                }
                crate::message::Item::Packet { data, .. } => {
                    rtcp.push(rtcp_compound(&data).unwrap())
                }
                _ => last_is_answer = true,
            }
        }
        assert!(last_is_answer, "nothing follows the answer to TEARDOWN");
        assert!(matches!(
            rtcp.pop().unwrap()[..],
            [Rtcp::ReceiverReport { .. }, _, Rtcp::Bye { .. }]
        ));
        assert_eq!(rtcp.len(), if reports { 3 } else { 0 }, "one each five seconds");
        for compound in rtcp {
            let Rtcp::SenderReport(report) = compound[0] else { panic!("{compound:?}") };
            let since = report.now.since_us(begun.utc);
            let shown = i64::from(report.timestamp.wrapping_sub(first.unwrap())) * 100 / 9;
            assert!((since - shown).abs() <= 10_000, "{since} us, {shown} us");
        }
    }
}
