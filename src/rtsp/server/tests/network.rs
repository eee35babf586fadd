//! The engine over a simulated network: time, delay, loss and readers that do not keep up, all of it
//! computed.

use std::collections::VecDeque;

use super::*;
use crate::rtp::{Packets, Rtcp, Target, rtcp_compound};

/// Once a millisecond everything moves.
const STEP: Duration = Duration::from_millis(1);
/// What a kernel takes before it says that it would block.
const SOCKET_BYTES: usize = 64 * 1024;
/// More than this an engine may not hold back for one session: its mark of high water, and the unit
/// and the answers that may come on top of it.
const MAX_HELD_BYTES: usize = 300 * 1024;

/// The way from the server to the client.
#[derive(Clone, Copy)]
struct Link {
    /// One way.
    delay: Duration,
    /// What the client reads in a millisecond.
    bytes_per_ms: usize,
    /// Of a hundred datagrams so many are lost, in either direction.
    loss_percent: u64,
}

const GOOD: Link = Link { delay: Duration::ZERO, bytes_per_ms: usize::MAX, loss_percent: 0 };

/// An endless clip in front of one client.
struct World {
    connection: Connection,
    link: Link,
    now: Now,
    /// Frames of the playback: the next one, where it began, what timestamps count from, whether
    /// paced.
    playback: Option<(i64, i64, u32, bool)>,
    /// Written by the server, not read by the client, each with the instant at which it arrives.
    stream: VecDeque<(Instant, Vec<u8>)>,
    /// On their way to the client, and to the server.
    datagrams: VecDeque<(Instant, Target, Vec<u8>)>,
    uplink: VecDeque<(Instant, Vec<u8>)>,
    seed: u64,
    /// What the client read.
    wire: Vec<u8>,
    got: Vec<(Instant, Target, Vec<u8>)>,
    stopped_at: Option<Instant>,
    most_held: usize,
}

impl World {
    fn new(link: Link) -> Self {
        let now = Now { instant: Instant::now(), utc: Utc::from_secs(5_000_000) };
        let peer =
            Peer { remote: "192.0.2.9".parse().unwrap(), local: "192.0.2.10".parse().unwrap() };
        Self {
            connection: Connection::new(Arc::new(ServerConfig::default()), peer, now),
            link,
            now,
            playback: None,
            stream: VecDeque::new(),
            datagrams: VecDeque::new(),
            uplink: VecDeque::new(),
            seed: 7,
            wire: Vec::new(),
            got: Vec::new(),
            stopped_at: None,
            most_held: 0,
        }
    }

    /// With a session over that transport.
    fn ready(link: Link, transport: &str) -> (Self, String) {
        let mut world = Self::new(link);
        world.send(&format!("SETUP {URL}/track1 RTSP/1.0\nCSeq: 1\nTransport: {transport}\n\n"));
        world.pass(2 * link.delay + Duration::from_millis(100));
        let session = field(&world.wire, "Session").split(';').next().unwrap().to_owned();
        world.wire.clear();
        (world, session)
    }

    /// The client sends a request.
    fn send(&mut self, text: &str) {
        let at = self.now.instant + self.link.delay;
        self.uplink.push_back((at, text.replace('\n', "\r\n").into_bytes()));
    }

    fn play(&mut self, session: &str, cseq: u32, fields: &str) {
        self.send(&format!("PLAY {URL} RTSP/1.0\nCSeq: {cseq}\nSession: {session}\n{fields}\n"));
    }

    fn lost(&mut self) -> bool {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.seed >> 33) % 100 < self.link.loss_percent
    }

    /// The client reports what it received.
    fn report(&mut self) {
        if !self.lost() {
            self.connection.received_rtcp(&[0x80, 201, 0, 1, 0, 0, 0, 9], self.now);
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now.instant + time;
        while self.now.instant < until {
            self.now.instant += STEP;
            self.now.utc = self.now.utc.plus_us(STEP.as_micros() as i64);
            self.step();
        }
    }

    fn step(&mut self) {
        let now = self.now.instant;
        while let Some((_, bytes)) = self.uplink.pop_front_if(|(at, _)| *at <= now) {
            self.connection.input().extend_from_slice(&bytes);
            self.connection.received(self.now);
        }
        if now >= self.connection.deadline(now) {
            self.connection.tick(self.now);
        }
        self.serve();
        self.write();
        self.serve();
        // The client reads at its pace what has arrived.
        let mut budget = self.link.bytes_per_ms;
        while budget > 0
            && let Some((at, mut bytes)) = self.stream.pop_front()
        {
            if at > now {
                self.stream.push_front((at, bytes));
                break;
            }
            let rest = bytes.split_off(bytes.len().min(budget));
            budget = budget.saturating_sub(bytes.len());
            self.wire.extend(bytes);
            if !rest.is_empty() {
                self.stream.push_front((at, rest));
            }
        }
        while let Some((_, target, bytes)) = self.datagrams.pop_front_if(|(at, ..)| *at <= now) {
            self.got.push((now, target, bytes));
        }
        let held =
            self.connection.out().pending_bytes() + self.connection.datagrams().pending_bytes();
        self.most_held = self.most_held.max(held);
    }

    /// What a driver does for the engine.
    fn serve(&mut self) {
        loop {
            while let Some(want) = self.connection.want() {
                match want {
                    Want::Describe(r) => {
                        let result = presentation(&r.path);
                        self.connection.described(result, self.now);
                    }
                    Want::Bind { .. } => self.connection.bound(Ok((62_000, 62_001)), self.now),
                    Want::Play(r) => {
                        let from = match r.range {
                            Some(Range::Clock(ClockRange { start: Some(t), .. })) => {
                                t.since_us(frame_at(0)) / 40_000
                            }
                            _ => 0,
                        };
                        let next = r.media[0].next;
                        let playing = Playing {
                            start: Some(frame_at(from)),
                            end: None,
                            scale: 1.0,
                            rtp_times: vec![(0, next)],
                            units: stream::empty().boxed(),
                        };
                        assert!(self.connection.playing(Ok(&playing), self.now));
                        let paced = r.rate_control == RateControl::Server;
                        self.playback = Some((from, from, next, paced));
                    }
                    Want::Stop => {
                        self.playback = None;
                        self.stopped_at = Some(self.now.instant);
                    }
                    Want::Close => {}
                }
            }
            let Some((i, from, next, paced)) = self.playback.as_mut() else { return };
            if !self.connection.wants_unit() {
                return;
            }
            let unit = unit(*i, *from, *next, *paced);
            *i += 1;
            self.connection.unit(Some(unit), self.now);
        }
    }

    fn write(&mut self) {
        let arrives = self.now.instant + self.link.delay;
        let in_kernel: usize = self.stream.iter().map(|(_, b)| b.len()).sum();
        let mut room = SOCKET_BYTES.saturating_sub(in_kernel);
        let out: &mut Packets = self.connection.out();
        while room > 0 && !out.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[]); 8];
            let n = out.slices(&mut slices);
            let bytes: Vec<u8> =
                slices[..n].iter().flat_map(|s| s.iter().copied()).take(room).collect();
            room -= bytes.len();
            out.advance(bytes.len());
            self.stream.push_back((arrives, bytes));
        }
        while let Some((target, [head, body])) = self.connection.datagrams().datagram() {
            let datagram = [head, body].concat();
            self.connection.datagrams().datagram_done();
            if !self.lost() {
                self.datagrams.push_back((arrives, target, datagram));
            }
        }
    }

    /// Frames that the client has, by number, with the CSeq of their PLAY. Sequence numbers must have
    /// no hole.
    fn frames(&self) -> Vec<(i64, u8)> {
        let list = packets(&self.wire);
        for pair in list.windows(2) {
            let (a, b) = (pair[0].0.header.sequence, pair[1].0.header.sequence);
            assert_eq!(b, a.wrapping_add(1), "R8.6-7");
        }
        let marked = list.iter().filter_map(extension);
        marked.map(|e| (e.at.since_us(frame_at(0)) / 40_000, e.cseq)).collect()
    }
}

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
