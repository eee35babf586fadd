//! Those who are measured, each a process of its own: dvrgate, the limit, the peer.

use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dvrgate_rtsp::server::{Server, ServerConfig, Shared};
use memmap2::Mmap;
use rustls::pki_types::PrivateKeyDer;
use tokio_util::sync::CancellationToken;

use super::footage;

/// Names the program of live555's media server.
pub const LIVE555: &str = "LIVE555_MEDIA_SERVER";

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// RTSP with `clock` ranges.
    Dvrgate,
    /// RTSP with `npt` ranges: somebody else's.
    Peer,
    /// Sends as soon as somebody connects.
    Limit,
}

/// A server under test.
pub struct Running {
    pub kind: Kind,
    pub port: u16,
    /// The port for TLS, where it has one.
    pub tls: Option<u16>,
    /// Of the recording, and of its track below it.
    pub path: &'static str,
    pub track: &'static str,
    child: Child,
}

impl Running {
    /// This program again, in one of the roles below.
    pub fn again(kind: Kind, role: &str, path: &Path) -> Self {
        let me = std::env::current_exe().expect("the path of this program");
        Self::start(kind, Command::new(me).arg(role).arg(path))
    }

    /// gst-rtsp-server, if Python finds it.
    pub fn gst(file: &Path) -> Option<Self> {
        let script = include_str!("peer.py");
        let check = ["-c", "import gi; gi.require_version('GstRtspServer', '1.0')"];
        let python = "/usr/bin/python3";
        let found = Command::new(python).args(check).stderr(Stdio::null()).status();
        if !found.is_ok_and(|s| s.success()) {
            return None;
        }
        let mut command = Command::new(python);
        let mut running = Self::start(Kind::Peer, command.args(["-c", script]).arg(file));
        running.track = "/stream=0";
        Some(running)
    }

    /// live555's media server, if the environment says where it is. It chooses its port itself.
    pub fn live555(file: &Path) -> Option<Self> {
        let program = std::env::var_os(LIVE555)?;
        let mut command = Command::new(program);
        command.current_dir(file.parent()?).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("live555 starts");
        let mut lines = BufReader::new(child.stderr.take().expect("its messages")).lines();
        let address = lines.find_map(|line| {
            let line = line.ok()?;
            Some(line.split_once("rtsp://")?.1.split('/').next()?.to_owned())
        });
        let Some(address) = address else {
            println!("live555 finds no port: it takes 554 or 8554 only");
            let _ = child.wait();
            return None;
        };
        // It goes on talking, and must not be held up by a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let port = address.split_once(':').map_or(Some(554), |(_, port)| port.parse().ok());
        Some(Self {
            kind: Kind::Peer,
            port: port.expect("a port"),
            tls: None,
            path: "/hour.mkv",
            track: "/track1",
            child,
        })
    }

    fn start(kind: Kind, command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the server starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut line).expect("its ports");
        let mut ports = line.split_whitespace().map(|p| p.parse().expect("a port"));
        let port = ports.next().expect("a port");
        Self { kind, port, tls: ports.next(), path: "/replay/r", track: "/track1", child }
    }

    /// CPU time of all its threads, those that ended too.
    pub fn cpu(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        let text = std::fs::read_to_string(path).expect("its figures");
        let fields: Vec<&str> = text.rsplit_once(')').expect("a name").1.split(' ').collect();
        let ticks = |n: usize| fields[n].parse::<u64>().expect("ticks");
        Duration::from_millis((ticks(12) + ticks(13)) * 10)
    }

    /// Resident kB that belong to no file: its own memory.
    pub fn own_kb(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).expect("its figures");
        let line = text.lines().find_map(|l| l.strip_prefix("RssAnon:")).expect("a figure");
        line.split_whitespace().next().expect("a number").parse().expect("kB")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn announce(ports: &[u16]) {
    println!("{}", ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" "));
    std::io::stdout().flush().expect("somebody listens");
    // The end of input is the end of who started us.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
}

/// The role of dvrgate: the real server over the store in `dir`, on two threads.
pub fn serve(dir: &Path) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (index, footage) = footage::open(dir).await;
        let application =
            dvrgate_replay::playback::application(index, footage.clone(), footage.clone());
        // The crowds of this benchmark say nothing, and a slow machine takes long to open them.
        let config = ServerConfig::default();
        config.session_timeout.set(Duration::from_secs(600));
        let shared = Shared::new(config, application);
        let mut ports = Vec::new();
        let mut servers = Vec::new();
        for tls in [None, Some(tls())] {
            let address = ([127, 0, 0, 1], 0).into();
            let server = Server::bind_shared(address, shared.clone(), tls).await.expect("a port");
            ports.push(server.local_addr().expect("an address").port());
            servers.push(server.run(CancellationToken::new()));
        }
        announce(&ports);
        futures::future::try_join_all(servers).await.expect("it serves");
    });
}

/// With a certificate made for the occasion.
fn tls() -> std::sync::Arc<rustls::ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("one");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("a version of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.into()], key);
    std::sync::Arc::new(config.expect("a certificate"))
}

const BODY: usize = 1384;
const BATCH: usize = 64;
const HEAD: usize = 16;

/// The header of an interleaved RTP packet.
fn head(sequence: u16) -> [u8; HEAD] {
    let [a, b] = ((HEAD - 4 + BODY) as u16).to_be_bytes();
    let [c, d] = sequence.to_be_bytes();
    [b'$', 0, a, b, 0x80, 96, c, d, 0, 0, 0, 0, 0, 0, 0, 1]
}

/// Sends packets out of the map, [`BATCH`] a call.
fn batch(
    stream: &mut TcpStream,
    map: &[u8],
    at: &mut usize,
    count: usize,
    sequence: &mut u16,
) -> std::io::Result<()> {
    let heads: Vec<[u8; HEAD]> =
        (0..count).map(|i| head(sequence.wrapping_add(i as u16))).collect();
    *sequence = sequence.wrapping_add(count as u16);
    let mut slices = Vec::with_capacity(2 * count);
    for h in &heads {
        if *at + BODY > map.len() {
            *at = 0;
        }
        slices.push(IoSlice::new(h));
        slices.push(IoSlice::new(&map[*at..*at + BODY]));
        *at += BODY;
    }
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        let n = stream.write_vectored(rest)?;
        IoSlice::advance_slices(&mut rest, n);
    }
    Ok(())
}

fn map(path: &Path) -> Mmap {
    let file = std::fs::File::open(path).expect("the footage");
    // SAFETY: nobody changes the file while this runs.
    unsafe { Mmap::map(&file) }.expect("a map")
}

/// The limit without a pace: a thread a client, [`BATCH`] packets of header and map a writev.
pub fn limit(path: &Path) {
    let map = std::sync::Arc::new(map(path));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    announce(&[listener.local_addr().expect("an address").port()]);
    for stream in listener.incoming() {
        let mut stream = stream.expect("a client");
        let map = map.clone();
        std::thread::spawn(move || {
            let (mut at, mut sequence) = (0, 0);
            while batch(&mut stream, &map, &mut at, BATCH, &mut sequence).is_ok() {}
        });
    }
}

/// The limit at a pace: one thread, a frame of 4 Mbit/s a writev, all that are due at a tick.
pub fn limit_paced(path: &Path) {
    const TICK: Duration = Duration::from_millis(5);
    const FRAME: Duration = Duration::from_millis(40);
    const FRAME_PACKETS: usize = 14;
    let map = map(path);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a mode");
    announce(&[listener.local_addr().expect("an address").port()]);
    let mut clients: Vec<(TcpStream, Instant, usize, u16)> = Vec::new();
    loop {
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).expect("a mode");
            stream.set_nodelay(true).expect("a mode");
            clients.push((stream, Instant::now(), 0, 0));
        }
        let now = Instant::now();
        clients.retain_mut(|(stream, due, at, sequence)| {
            if *due > now {
                return true;
            }
            *due += FRAME;
            batch(stream, &map, at, FRAME_PACKETS, sequence).is_ok()
        });
        std::thread::sleep(TICK.saturating_sub(now.elapsed()));
    }
}
