//! Many sessions with a pace, 4 Mbit/s each, read by one thread.

use std::io::{ErrorKind, Result};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::fd::OwnedFd;

use super::Setting;
use super::carrier::{OTHERS, Way};
use super::client::{Client, Item, Pace, somewhere};
use super::servers::{Kind, Running};
use super::table::{Table, share};

const SETTLE: Duration = Duration::from_secs(2);
const TIME: Duration = Duration::from_secs(6);

/// Sessions at the pace of recording.
pub fn paced(setting: &Setting) {
    let counts = setting.counts(2, [1, 10, 100, 200, 1000]);
    let mut costs = Table::new("server's CPU-s/GB", &counts);
    let mut late = Table::new("lateness p99 / max, ms", &counts);
    let mut rates = Table::new("Mbit/s a session", &counts);
    let mut own = Table::new("own memory a session, kB", &counts);
    for sessions in counts {
        let mut add = |who: &str, server: Running, way| {
            let mut crowd = match measure(&server, way, sessions, setting.quick) {
                Ok(crowd) => crowd,
                Err(e) => {
                    println!("  {who}, {sessions} sessions: STOPPED: {e}");
                    return;
                }
            };
            costs.add(who, sessions, format!("{:.2}", crowd.cost));
            let lost = match crowd.lost {
                0.0 => String::new(),
                share => format!(", {:.2} % lost", share * 100.0),
            };
            rates.add(who, sessions, format!("{:.2}{lost}", crowd.megabits));
            if server.kind != Kind::Limit {
                let at = &mut crowd.late;
                let text = format!("{:.0} / {:.0}", share(at, 0.99), share(at, 1.0));
                late.add(who, sessions, text);
                own.add(who, sessions, format!("{:.0}", crowd.own_kb));
            }
        };
        add("limit, TCP", setting.limit_paced(), Way::Tcp);
        add("dvrgate, TCP", setting.dvrgate(), Way::Tcp);
        for way in OTHERS {
            if sessions != 200 {
                add(&format!("dvrgate, {way}"), setting.dvrgate(), way);
            }
        }
        // They are late from 100 to 130 sessions on; more would only wait.
        if let Some(server) = setting.gst().filter(|_| sessions <= 200) {
            add("gst-rtsp-server, TCP", server, Way::Tcp);
        }
        if let Some(server) = setting.live555().filter(|_| sessions <= 100) {
            add("live555, TCP", server, Way::Tcp);
        }
    }
    [costs, late, rates, own].iter().for_each(Table::print);
}

/// What was measured.
struct Measured {
    megabits: f64,
    cost: f64,
    late: Vec<f64>,
    lost: f64,
    own_kb: f64,
}

fn measure(server: &Running, way: Way, sessions: usize, quick: bool) -> Result<Measured> {
    let second = Duration::from_secs(1);
    let (settle, time) = if quick { (second, second) } else { (SETTLE, TIME) };
    let own = server.own_kb();
    let mut crowd = Crowd::new(server, way, sessions)?;
    crowd.read_for(settle)?;
    crowd.seen.iter_mut().for_each(Vec::clear);
    let sum = |crowd: &Crowd, f: fn(&Client) -> u64| crowd.clients.iter().map(f).sum::<u64>();
    let counts = |crowd: &Crowd| {
        [sum(crowd, |c| c.bytes), sum(crowd, |c| c.packets), sum(crowd, |c| c.lost)]
    };
    let (begun, cpu, before) = (Instant::now(), server.cpu(), counts(&crowd));
    crowd.read_for(time)?;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = (server.cpu() - cpu).as_secs_f64();
    let after = counts(&crowd);
    let [bytes, packets, lost] = std::array::from_fn(|i| (after[i] - before[i]) as f64);
    Ok(Measured {
        megabits: bytes * 8.0 / 1e6 / seconds / sessions as f64,
        cost: cpu / (bytes / 1e9),
        late: if server.kind == Kind::Limit { Vec::new() } else { lateness(&crowd.seen) },
        lost: lost / (lost + packets).max(1.0),
        own_kb: server.own_kb().saturating_sub(own) as f64 / sessions as f64,
    })
}

/// Sessions that play.
pub struct Crowd {
    poll: OwnedFd,
    clients: Vec<Client>,
    /// When each frame of each session was complete.
    seen: Vec<Vec<(Instant, u32)>>,
}

impl Crowd {
    pub fn new(server: &Running, way: Way, sessions: usize) -> Result<Self> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let clients = Vec::with_capacity(sessions);
        let mut crowd = Self { poll, clients, seen: vec![Vec::new(); sessions] };
        for n in 0..sessions {
            let mut client = Client::set_up_with(server, way, 192 * 1024)?;
            client.play(somewhere(n as u64), Pace::Paced)?;
            if server.kind != Kind::Limit {
                client.answer()?;
            }
            client.carrier.set_nonblocking()?;
            for socket in client.carrier.sockets() {
                let data = epoll::EventData::new_u64(n as u64);
                epoll::add(&crowd.poll, socket, data, epoll::EventFlags::IN)?;
            }
            crowd.clients.push(client);
            // Those that play are not left waiting while others are opened.
            crowd.read()?;
        }
        Ok(crowd)
    }

    pub fn read_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.read()?;
            // A wake-up for many packets.
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Reads what is there; notes when each frame was complete.
    fn read(&mut self) -> Result<()> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(1024);
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), Some(&now))?;
        for event in events {
            let n = event.data.u64() as usize;
            let client = &mut self.clients[n];
            match client.read() {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(e) if e.kind() != ErrorKind::WouldBlock => return Err(e),
                _ => {}
            }
            let at = Instant::now();
            while let Some(item) = client.take()? {
                if let Item::Rtp(rtp) = item
                    && rtp.marker
                {
                    self.seen[n].push((at, rtp.timestamp));
                }
            }
        }
        Ok(())
    }

    /// Forgets what it saw.
    pub fn forget(&mut self) {
        self.seen.iter_mut().for_each(Vec::clear);
    }
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
