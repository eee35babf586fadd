//! Many bytes: sessions without a pace.

use std::sync::Barrier;
use std::time::Instant;

use super::Setting;
use super::carrier::{OTHERS, Way};
use super::client::{Client, Pace};
use super::servers::{Kind, Running};
use super::table::{Table, share};

/// Replay as fast as it goes.
pub fn unpaced(setting: &Setting) {
    let counts = setting.counts(4, [1, 10, 100, 1000]);
    let rounds = if setting.quick { 1 } else { 3 };
    let mut rates = Table::new("GB/s, all sessions together", &counts);
    let mut costs = Table::new("server's CPU-s/GB", &counts);
    for sessions in counts {
        let mut series: Vec<(String, Series)> = Vec::new();
        for _ in 0..rounds {
            let mut add = |who: &str, server: Running, way| {
                let rushed = rush(&server, way, sessions, setting.quick);
                let known = series.iter().position(|(name, _)| name == who);
                let n = known.unwrap_or_else(|| {
                    series.push((who.to_owned(), Series::default()));
                    series.len() - 1
                });
                series[n].1.add(rushed);
            };
            add("limit, TCP", setting.limit(), Way::Tcp);
            add("dvrgate, TCP", setting.dvrgate(), Way::Tcp);
            for way in OTHERS {
                // What more of them would show the paced ones do.
                if sessions <= 10 {
                    add(&format!("dvrgate, {way}"), setting.dvrgate(), way);
                }
            }
            if let Some(server) = setting.gst().filter(|_| sessions <= 10) {
                add("gst-rtsp-server, TCP", server, Way::Tcp);
            }
        }
        for (who, mut series) in series {
            rates.add(&who, sessions, series.rates());
            costs.add(&who, sessions, format!("{:.2}", share(&mut series.cost, 0.5)));
        }
    }
    rates.print();
    costs.print();
}

/// Rates and costs of rounds.
#[derive(Default)]
struct Series {
    rate: Vec<f64>,
    cost: Vec<f64>,
    lost: f64,
}

impl Series {
    fn add(&mut self, rush: Rush) {
        self.rate.push(rush.rate);
        self.cost.push(rush.cost);
        self.lost = self.lost.max(rush.lost);
    }

    /// The middle one, the least and the most.
    fn rates(&mut self) -> String {
        let of = |values: &mut Vec<f64>, s| share(values, s);
        let v = &mut self.rate;
        let lost = if self.lost > 0.0 {
            format!(", {:.1} % lost", self.lost * 100.0)
        } else {
            String::new()
        };
        format!("{:.3} ({:.3}-{:.3}){lost}", of(v, 0.5), of(v, 0.0), of(v, 1.0))
    }
}

struct Rush {
    rate: f64,
    cost: f64,
    /// Share of the packets.
    lost: f64,
}

/// Sessions that read as fast as they can, each the same GB.
fn rush(server: &Running, way: Way, sessions: usize, quick: bool) -> Rush {
    let total: u64 = match (quick, server.kind, way) {
        (true, ..) => 20_000_000,
        (_, Kind::Peer, _) => 400_000_000,
        // The server sends no faster than 13 MB/s a session.
        (_, _, Way::Udp) => 40_000_000 * sessions as u64,
        (_, _, Way::Tls) => 800_000_000,
        _ => 1_600_000_000,
    };
    let each = total / sessions as u64;
    let buffer = if sessions > 100 { 64 * 1024 } else { 256 * 1024 };
    let set_up = |_| Client::set_up_with(server, way, buffer).expect("a session");
    let mut clients: Vec<Client> = (0..sessions).map(set_up).collect();
    let barrier = Barrier::new(sessions + 1);
    let (rate, cost) = std::thread::scope(|scope| {
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
    });
    let sum = |f: fn(&Client) -> u64| clients.iter().map(f).sum::<u64>() as f64;
    let (lost, came) = (sum(|c| c.lost), sum(|c| c.packets));
    Rush { rate, cost, lost: lost / (lost + came).max(1.0) }
}
