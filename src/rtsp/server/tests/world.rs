//! A simulated network around one engine: time, delay, loss and readers that do not keep up, all of it
//! computed.

use std::collections::VecDeque;

use super::*;
use crate::rtp::{Packets, Target};

/// Once a millisecond everything moves.
pub(super) const STEP: Duration = Duration::from_millis(1);
/// What a kernel takes before it says that it would block.
pub(super) const SOCKET_BYTES: usize = 64 * 1024;
/// More than this an engine may not hold back for one session: its mark of high water, and the unit
/// and the answers that may come on top of it.
pub(super) const MAX_HELD_BYTES: usize = 300 * 1024;

/// The way from the server to the client.
#[derive(Clone, Copy)]
pub(super) struct Link {
    /// One way.
    pub(super) delay: Duration,
    /// What the client reads in a millisecond.
    pub(super) bytes_per_ms: usize,
    /// Of a hundred datagrams so many are lost, in either direction.
    pub(super) loss_percent: u64,
}

pub(super) const GOOD: Link =
    Link { delay: Duration::ZERO, bytes_per_ms: usize::MAX, loss_percent: 0 };

/// An endless clip in front of one client.
pub(super) struct World {
    pub(super) connection: Connection,
    pub(super) link: Link,
    pub(super) now: Now,
    /// Frames of the playback: the next one, where it began, what timestamps count from, whether
    /// paced.
    pub(super) playback: Option<(i64, i64, u32, bool)>,
    /// Written by the server, not read by the client, each with the instant at which it arrives.
    pub(super) stream: VecDeque<(Instant, Vec<u8>)>,
    /// On their way to the client, and to the server.
    pub(super) datagrams: VecDeque<(Instant, Target, Vec<u8>)>,
    pub(super) uplink: VecDeque<(Instant, Vec<u8>)>,
    pub(super) seed: u64,
    /// What the client read.
    pub(super) wire: Vec<u8>,
    pub(super) got: Vec<(Instant, Target, Vec<u8>)>,
    pub(super) stopped_at: Option<Instant>,
    pub(super) most_held: usize,
}

impl World {
    pub(super) fn new(link: Link) -> Self {
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
    pub(super) fn ready(link: Link, transport: &str) -> (Self, String) {
        let mut world = Self::new(link);
        world.send(&format!("SETUP {URL}/track1 RTSP/1.0\nCSeq: 1\nTransport: {transport}\n\n"));
        world.pass(2 * link.delay + Duration::from_millis(100));
        let session = field(&world.wire, "Session").split(';').next().unwrap().to_owned();
        world.wire.clear();
        (world, session)
    }

    /// The client sends a request.
    pub(super) fn send(&mut self, text: &str) {
        let at = self.now.instant + self.link.delay;
        self.uplink.push_back((at, text.replace('\n', "\r\n").into_bytes()));
    }

    pub(super) fn play(&mut self, session: &str, cseq: u32, fields: &str) {
        self.send(&format!("PLAY {URL} RTSP/1.0\nCSeq: {cseq}\nSession: {session}\n{fields}\n"));
    }

    pub(super) fn lost(&mut self) -> bool {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.seed >> 33) % 100 < self.link.loss_percent
    }

    /// The client reports what it received.
    pub(super) fn report(&mut self) {
        if !self.lost() {
            self.connection.received_rtcp(&[0x80, 201, 0, 1, 0, 0, 0, 9], self.now);
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now.instant + time;
        while self.now.instant < until {
            self.now.instant += STEP;
            self.now.utc = self.now.utc.plus_us(STEP.as_micros() as i64);
            self.step();
        }
    }

    pub(super) fn step(&mut self) {
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
    pub(super) fn serve(&mut self) {
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

    pub(super) fn write(&mut self) {
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
    pub(super) fn frames(&self) -> Vec<(i64, u8)> {
        let list = packets(&self.wire);
        for pair in list.windows(2) {
            let (a, b) = (pair[0].0.header.sequence, pair[1].0.header.sequence);
            assert_eq!(b, a.wrapping_add(1), "R8.6-7");
        }
        let marked = list.iter().filter_map(extension);
        marked.map(|e| (e.at.since_us(frame_at(0)) / 40_000, e.cseq)).collect()
    }
}
