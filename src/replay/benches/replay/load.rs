//! Many bytes: sessions without a pace, and many sessions with one.

use std::io::ErrorKind;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rustix::event::epoll;

use super::client::{Client, Item, Pace, somewhere};
use super::servers::{Kind, Running};
use super::{Setting, median};

/// Replay as fast as it goes: 1 and 8 sessions.
pub fn unpaced(setting: &Setting) {
    let rounds = if setting.quick { 1 } else { 5 };
    for sessions in [1, 8] {
        let (mut limit, mut ours, mut peer) =
            (Series::default(), Series::default(), Series::default());
        for _ in 0..rounds {
            limit.add(rush(&setting.limit(), sessions, setting.quick));
            ours.add(rush(&setting.dvrgate(), sessions, setting.quick));
            if let Some(server) = setting.peer() {
                peer.add(rush(&server, sessions, setting.quick));
            }
        }
        limit.show("limit", sessions, None);
        ours.show("dvrgate", sessions, Some(&mut limit));
        peer.show("gst-rtsp-server", sessions, Some(&mut limit));
    }
}

/// Rates and costs of rounds.
#[derive(Default)]
struct Series {
    rate: Vec<f64>,
    cost: Vec<f64>,
}

impl Series {
    fn add(&mut self, (rate, cost): (f64, f64)) {
        self.rate.push(rate);
        self.cost.push(cost);
    }

    fn show(&mut self, who: &str, sessions: usize, limit: Option<&mut Series>) {
        if self.rate.is_empty() {
            return;
        }
        let (rate, cost) = (median(&mut self.rate), median(&mut self.cost));
        let ratio = limit.map_or(1.0, |l| cost / median(&mut l.cost));
        let ends = |v: &[f64]| format!("{:.2}-{:.2}", v[0], v[v.len() - 1]);
        println!(
            "  {who:<16} {sessions} sessions: {rate:.3} GB/s ({}), {cost:.2} CPU-s/GB ({}), {ratio:.1} x limit",
            ends(&self.rate),
            ends(&self.cost)
        );
    }
}

/// GB/s and server CPU-s/GB of sessions that read as fast as they can, each the same GB.
fn rush(server: &Running, sessions: usize, quick: bool) -> (f64, f64) {
    let each: u64 = match (quick, server.kind) {
        (true, _) => 20_000_000,
        (false, Kind::Peer) => 400_000_000 / sessions as u64,
        (false, _) => 1_600_000_000 / (sessions as u64).min(2),
    };
    let mut clients: Vec<Client> =
        (0..sessions).map(|_| Client::set_up(server).expect("a session")).collect();
    let barrier = Barrier::new(sessions + 1);
    std::thread::scope(|scope| {
        let barrier = &barrier;
        for client in &mut clients {
            scope.spawn(move || {
                barrier.wait();
                client.play(0, Pace::Unpaced).expect("PLAY");
                let begun = client.bytes;
                while client.bytes < begun + each {
                    if let Err(e) = client.next() {
                        println!("  STOPPED after {} bytes: {e}", client.bytes);
                        break;
                    }
                }
                barrier.wait();
            });
        }
        let before = server.cpu();
        barrier.wait();
        let begun = Instant::now();
        barrier.wait();
        let gigabytes = (each * sessions as u64) as f64 / 1e9;
        let cost = (server.cpu() - before).as_secs_f64() / gigabytes;
        (gigabytes / begun.elapsed().as_secs_f64(), cost)
    })
}

/// Sessions at the pace of recording, 4 Mbit/s each.
pub fn paced(setting: &Setting) {
    let counts: &[usize] = if setting.quick { &[2] } else { &[10, 100, 200, 1000] };
    for &sessions in counts {
        show("limit", crowd(&setting.limit_paced(), sessions, setting.quick), sessions);
        show("dvrgate", crowd(&setting.dvrgate(), sessions, setting.quick), sessions);
        // It is late from 130 sessions on; more would only wait.
        if sessions <= 200
            && let Some(server) = setting.peer()
        {
            show("gst-rtsp-server", crowd(&server, sessions, setting.quick), sessions);
        }
    }
}

struct Crowd {
    megabits: f64,
    cost: f64,
    cores: f64,
    /// Milliseconds behind the promptest frame of the same session.
    late: Vec<f64>,
    resident_kb: f64,
    own_kb: f64,
}

fn show(who: &str, crowd: std::io::Result<Crowd>, sessions: usize) {
    let mut c = match crowd {
        Ok(crowd) => crowd,
        Err(e) => return println!("  {who:<16} {sessions} sessions: STOPPED: {e}"),
    };
    c.late.sort_by(f64::total_cmp);
    let late = |share: f64| c.late.get((c.late.len().max(1) - 1) * (share * 1e4) as usize / 10_000);
    let late = |share| late(share).copied().unwrap_or_default();
    println!(
        "  {who:<16} {sessions} sessions: {:.2} Mbit/s each, {:.2} CPU-s/GB ({:.2} cores), late p50 {:.0} p99 {:.0} max {:.0} ms, {:.0} kB resident a session, {:.0} kB without files",
        c.megabits,
        c.cost,
        c.cores,
        late(0.5),
        late(0.99),
        late(1.0),
        c.resident_kb,
        c.own_kb
    );
}

/// One client thread that reads all sessions.
fn crowd(server: &Running, sessions: usize, quick: bool) -> std::io::Result<Crowd> {
    let (settle, time) = if quick { (1, 1) } else { (3, 10) };
    let (rss, own) = server.resident_kb();
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut clients = Vec::with_capacity(sessions);
    let mut seen: Vec<Vec<(Instant, u32)>> = vec![Vec::new(); sessions];
    let mut events = Vec::with_capacity(1024);
    for n in 0..sessions {
        let mut client = Client::set_up_with(server, 192 * 1024)?;
        client.play(somewhere(n as u64), Pace::Paced)?;
        if server.kind != Kind::Limit {
            client.answer()?;
        }
        client.stream.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(n as u64);
        epoll::add(&poll, &client.stream, data, epoll::EventFlags::IN)?;
        clients.push(client);
        // Those that play are not left waiting while others are opened.
        turn(&poll, &mut events, &mut clients, &mut seen)?;
    }
    let run = |secs: u64, clients: &mut Vec<Client>, seen: &mut Vec<_>, events: &mut Vec<_>| {
        let end = Instant::now() + Duration::from_secs(secs);
        while Instant::now() < end {
            turn(&poll, events, clients, seen)?;
            // A wake-up for many packets.
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok::<_, std::io::Error>(())
    };
    run(settle, &mut clients, &mut seen, &mut events)?;
    seen.iter_mut().for_each(Vec::clear);
    let bytes = |clients: &[Client]| clients.iter().map(|c| c.bytes).sum::<u64>() as f64;
    let (begun, cpu, from) = (Instant::now(), server.cpu(), bytes(&clients));
    run(time, &mut clients, &mut seen, &mut events)?;
    let seconds = begun.elapsed().as_secs_f64();
    let (cpu, got) = ((server.cpu() - cpu).as_secs_f64(), bytes(&clients) - from);
    let (rss_now, own_now) = server.resident_kb();
    let each = |before: u64, now: u64| now.saturating_sub(before) as f64 / sessions as f64;
    let late = if server.kind == Kind::Limit { Vec::new() } else { lateness(&seen) };
    Ok(Crowd {
        megabits: got * 8.0 / 1e6 / seconds / sessions as f64,
        cost: cpu / (got / 1e9),
        cores: cpu / seconds,
        late,
        resident_kb: each(rss, rss_now),
        own_kb: each(own, own_now),
    })
}

/// Reads what is there; notes when each frame was complete.
fn turn(
    poll: &rustix::fd::OwnedFd,
    events: &mut Vec<epoll::Event>,
    clients: &mut [Client],
    seen: &mut [Vec<(Instant, u32)>],
) -> std::io::Result<()> {
    events.clear();
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    epoll::wait(poll, rustix::buffer::spare_capacity(events), Some(&now))?;
    for event in events.drain(..) {
        let n = event.data.u64() as usize;
        match clients[n].read() {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(e) if e.kind() != ErrorKind::WouldBlock => return Err(e),
            _ => {}
        }
        let at = Instant::now();
        while let Some(item) = clients[n].take()? {
            if let Item::Rtp(rtp) = item
                && rtp.marker
            {
                seen[n].push((at, rtp.timestamp));
            }
        }
    }
    Ok(())
}

/// How much later than the promptest one of its session each frame came.
fn lateness(seen: &[Vec<(Instant, u32)>]) -> Vec<f64> {
    let mut late = Vec::new();
    for frames in seen {
        let Some(&(t0, rtp0)) = frames.first() else { continue };
        let offset = |(t, rtp): &(Instant, u32)| {
            let shown = f64::from(rtp.wrapping_sub(rtp0) as i32) / 90.0;
            (*t - t0).as_secs_f64() * 1e3 - shown
        };
        let least = frames.iter().map(offset).fold(f64::INFINITY, f64::min);
        late.extend(frames.iter().map(|f| offset(f) - least));
    }
    late
}
