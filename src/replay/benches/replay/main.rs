//! What replay costs: the real server over a full store, beside the limit (packets out of a mapped
//! file by plain writev), gst-rtsp-server and live555, each in a process of its own, in turns.
//!
//! `cargo bench -p dvrgate-replay -- [--quick] [--sessions N] [--clip FILE] [--dir DIR] [PART...]`: parts
//! `unpaced`, `latency`, `cold`, `recorder`, `paced`, `seeks`. `LIVE555_MEDIA_SERVER` names the program
//! of live555, `DVRGATE_DEMO` dvrgate itself with its demo, for `recorder`.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![allow(clippy::unwrap_used, reason = "a benchmark may")]
#![allow(missing_docs, reason = "nobody links to a benchmark")]

mod carrier;
mod client;
mod crowd;
mod footage;
mod latency;
mod load;
mod recorder;
mod servers;
mod table;

use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use servers::{Kind, Running};

/// Where everything is, and how much is measured.
pub struct Setting {
    store: PathBuf,
    clip: PathBuf,
    file: Option<PathBuf>,
    pub quick: bool,
    /// Only that many.
    sessions: Option<usize>,
}

impl Setting {
    /// The numbers of sessions to measure.
    pub fn counts<const N: usize>(&self, quick: usize, all: [usize; N]) -> Vec<usize> {
        match (self.sessions, self.quick) {
            (Some(only), _) => vec![only],
            (None, true) => vec![quick],
            (None, false) => all.to_vec(),
        }
    }

    pub fn dvrgate(&self) -> Running {
        Running::again(Kind::Dvrgate, "--serve", &self.store)
    }

    pub fn limit(&self) -> Running {
        // The whole hour, so that it comes out of memory and not out of the processor's cache.
        let file = self.file.as_deref().unwrap_or(&self.clip);
        Running::again(Kind::Limit, "--limit", file)
    }

    pub fn limit_paced(&self) -> Running {
        Running::again(Kind::Limit, "--limit-paced", &self.clip)
    }

    pub fn gst(&self) -> Option<Running> {
        Running::gst(self.file.as_deref()?)
    }

    pub fn live555(&self) -> Option<Running> {
        Running::live555(self.file.as_deref()?)
    }
}

fn main() {
    // A thousand sessions over UDP are three thousand sockets here, and five thousand there.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(maximum.map_or(16_384, |most| most.min(16_384)));
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let after = |name: &str| {
        let at = args.iter().position(|a| a == name)?;
        args.get(at + 1).map(PathBuf::from)
    };
    type Role = (&'static str, fn(&Path));
    let roles: [Role; 3] = [
        ("--serve", servers::serve),
        ("--limit", servers::limit),
        ("--limit-paced", servers::limit_paced),
    ];
    for (name, role) in roles {
        if let Some(path) = after(name) {
            return role(&path);
        }
    }
    // Cargo passes --bench; tests of all targets run without it and only want to see it live.
    let quick = args.iter().any(|a| a == "--quick") || !args.iter().any(|a| a == "--bench");
    let scratch = tempfile::tempdir().unwrap();
    let dir = after("--dir").unwrap_or_else(|| scratch.path().to_owned());
    let clip = after("--clip").unwrap_or_else(|| dir.join("minute.h264"));
    footage::clip(&clip).unwrap();
    let setting = Setting {
        store: dir.join("store"),
        file: Some(dir.join("hour.mkv")).filter(|f| f.exists() || footage::file(&clip, f)),
        clip,
        quick,
        sessions: after("--sessions").and_then(|n| n.to_str()?.parse().ok()),
    };
    if !setting.store.exists() {
        let bytes = footage::fill(&setting.clip, &setting.store).unwrap();
        println!("an hour of {:.2} GB", bytes as f64 / 1e9);
    }
    if setting.gst().is_none() {
        println!("gst-rtsp-server is NOT measured: Python does not find GstRtspServer 1.0");
    }
    if setting.live555().is_none() {
        println!("live555 is NOT measured: {} does not name its program", servers::LIVE555);
    }
    type Part = (&'static str, fn(&Setting));
    let parts: [Part; 6] = [
        ("unpaced", load::unpaced),
        ("latency", latency::latency),
        ("cold", latency::cold),
        ("recorder", recorder::recorder),
        ("paced", crowd::paced),
        ("seeks", latency::seeks),
    ];
    let named = |name: &str| args.iter().any(|a| a == name);
    let all = !parts.iter().any(|(name, _)| named(name));
    for (name, part) in parts {
        if all || named(name) {
            println!("{name}; load average {}", load_average());
            part(&setting);
        }
    }
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}
