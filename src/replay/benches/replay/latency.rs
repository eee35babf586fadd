//! From PLAY to the first packet: on new connections, on a session that runs, among many others, and
//! where what is played is not in memory or not even here.

use std::io::Result;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Setting;
use super::carrier::{OTHERS, Way};
use super::client::{Client, Pace, somewhere};
use super::crowd::Crowd;
use super::servers::Running;
use super::table::{Table, share};

/// Columns of every table here.
const COLUMNS: [&str; 4] = ["p50", "p99", "worst", "tries"];

fn times() -> Table {
    Table::new("first packet, ms", &COLUMNS)
}

/// New connections and seeks, of each kind of server and beside so many other sessions.
pub fn latency(setting: &Setting) {
    let mut table = times();
    let count = if setting.quick { 10 } else { 300 };
    for sessions in setting.counts(3, [1, 10, 100, 1000]) {
        let others = sessions - 1;
        let server = setting.dvrgate();
        let stop = AtomicBool::new(false);
        let crowd = (others > 0).then(|| Crowd::new(&server, Way::Tcp, others).expect("sessions"));
        std::thread::scope(|scope| {
            if let Some(mut crowd) = crowd {
                scope.spawn({
                    let stop = &stop;
                    move || {
                        while !stop.load(Ordering::Relaxed) {
                            crowd.read_for(Duration::from_millis(100)).expect("they play");
                            crowd.forget();
                        }
                    }
                });
            }
            let among = match sessions {
                1 => String::new(),
                n => format!(", {n} sessions"),
            };
            let mut row = |what: &str, tried| add(&mut table, &format!("{what}{among}"), tried);
            row("PLAY", opened(&server, Way::Tcp, count));
            row("seek, paced", sought(&server, Pace::Paced, count));
            row("seek, unpaced", sought(&server, Pace::Unpaced, count));
            stop.store(true, Ordering::Relaxed);
        });
    }
    let server = setting.dvrgate();
    for way in OTHERS {
        add(&mut table, &format!("PLAY, {way}"), opened(&server, way, count));
    }
    drop(server);
    let count = if setting.quick { 5 } else { 100 };
    type Start = fn(&Setting) -> Option<Running>;
    let peers: [(&str, Start, &[&str]); 2] = [
        ("gst-rtsp-server", Setting::gst, &["PLAY", "seek, paced", "seek, unpaced"]),
        ("live555", Setting::live555, &["PLAY", "seek, paced"]),
    ];
    for (name, start, rows) in peers {
        for what in rows {
            // A new process each time: after a seek under way gst may answer nobody any more.
            let Some(server) = start(setting) else { continue };
            let tried = match *what {
                "PLAY" => opened(&server, Way::Tcp, count),
                "seek, paced" => sought(&server, Pace::Paced, count),
                _ => sought(&server, Pace::Unpaced, count),
            };
            add(&mut table, &format!("{name}: {what}"), tried);
        }
    }
    table.print();
}

/// Ten thousand seeks on one session, without a pace and with one: whether it ever hangs.
pub fn seeks(setting: &Setting) {
    let mut table = times();
    let count = if setting.quick { 100 } else { 10_000 };
    let server = setting.dvrgate();
    for pace in [Pace::Unpaced, Pace::Paced] {
        let pacing = if pace == Pace::Paced { "paced" } else { "unpaced" };
        add(&mut table, &format!("{count} seeks, {pacing}"), sought(&server, pace, count));
    }
    table.print();
}

/// Footage that is on the disk only, and then the same again.
pub fn cold(setting: &Setting) {
    let mut table = times();
    let count = if setting.quick { 10 } else { 200 };
    // Nothing of it is mapped by anybody yet.
    drop_cache(&setting.store).expect("the store's files");
    let server = setting.dvrgate();
    add(&mut table, "PLAY, footage on the disk only", opened(&server, Way::Tcp, count));
    add(&mut table, "the same footage again", opened(&server, Way::Tcp, count));
    drop(server);
    let server = setting.dvrgate();
    let warm = opened(&server, Way::Tcp, count);
    add(&mut table, "PLAY right after the server's start, footage in memory", warm);
    table.print();
}

/// Takes the files out of the page cache.
fn drop_cache(dir: &std::path::Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            drop_cache(&path)?;
            continue;
        }
        let file = std::fs::File::open(path)?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

/// Milliseconds to the first packet of each try; and why there are no more.
#[derive(Default)]
pub struct Tried {
    pub first: Vec<f64>,
    pub failed: Option<std::io::Error>,
}

fn opened(server: &Running, way: Way, count: u64) -> Tried {
    tried(count, |n| {
        let mut client = Client::set_up_with(server, way, 256 * 1024)?;
        play(&mut client, n, Pace::Paced)
    })
}

fn sought(server: &Running, pace: Pace, count: u64) -> Tried {
    let mut client = match Client::set_up(server) {
        Ok(client) => client,
        Err(e) => return Tried { failed: Some(e), ..Tried::default() },
    };
    let begun = play(&mut client, 0, pace);
    let mut tries = tried(count, |n| {
        // What plays between seeks: a few frames, in which the reader keeps up.
        for _ in 0..20 {
            client.next()?;
        }
        play(&mut client, n, pace)
    });
    tries.failed = begun.err().or(tries.failed);
    tries
}

fn play(client: &mut Client, n: u64, pace: Pace) -> Result<f64> {
    let begun = Instant::now();
    client.play(somewhere(n), pace)?;
    client.started()?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

fn tried(count: u64, mut one: impl FnMut(u64) -> Result<f64>) -> Tried {
    let mut tries = Tried::default();
    for n in 0..count {
        match one(n) {
            Ok(first) => tries.first.push(first),
            Err(e) => {
                tries.failed = Some(e);
                break;
            }
        }
    }
    tries
}

/// Adds a row.
pub fn add(table: &mut Table, what: &str, mut tried: Tried) {
    let n = tried.first.len();
    if let Some(e) = tried.failed {
        println!("  {what}: STOPPED after {n}: {e}");
    }
    for (column, of) in COLUMNS.iter().zip([0.5, 0.99, 1.0]) {
        table.add(what, column, format!("{:.2}", share(&mut tried.first, of)));
    }
    table.add(what, COLUMNS[3], n.to_string());
}
