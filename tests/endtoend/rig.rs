//! The rig: recorders in this process, the program as a process of its own, and patience.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dvrgate_hikvision_simulator::{Handle, Options, Pace, Simulator};
use dvrgate_testkit::Scenario;
use serde_json::Value;
use tempfile::TempDir;

/// Far beyond any delay of a healthy run; what takes longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks of [`eventually`].
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// User of every gateway.
pub const USER: &str = "admin";
/// Its password: it must not be seen anywhere.
pub const PASSWORD: &str = "gate-Kx7-pass";
/// The device of a [`Site`].
pub const DEVICE: &str = "yard";

/// A simulated recorder, stopped when dropped.
pub struct Recorder {
    runtime: tokio::runtime::Runtime,
    handle: Option<Handle>,
    /// As the scenario says.
    pub password: String,
}

impl Recorder {
    /// Plays the scenario, footage as fast as it is taken.
    pub fn start(scenario: &str) -> Self {
        Self::paced(scenario, Pace::Free)
    }

    /// Plays the scenario, footage at a pace.
    pub fn paced(scenario: &str, pace: Pace) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let scenario = Scenario::parse(scenario).unwrap();
        let options = Options { pace, ..Options::default() };
        let handle = runtime.block_on(Simulator::start(&scenario, options)).unwrap();
        Self { runtime, handle: Some(handle), password: scenario.device.password }
    }
}

impl Deref for Recorder {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        self.handle.as_ref().unwrap()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let handle = self.handle.take();
        let _inside = self.runtime.enter();
        drop(handle);
    }
}

/// A gateway's folder with its configuration.
pub struct Site {
    folder: TempDir,
}

impl Site {
    /// In front of that recorder: two playback sessions, ten requests a second, footage of the
    /// last two hours.
    pub fn new(recorder: &Recorder) -> Self {
        Self::with(recorder, |text| text)
    }

    /// The same with the text of the configuration changed.
    pub fn with(recorder: &Recorder, change: impl FnOnce(String) -> String) -> Self {
        let folder = TempDir::new().unwrap();
        let text = format!(
            "[gateway]\nname = \"Test site\"\ndata_dir = \"data\"\nhttp = \"127.0.0.1:0\"\n\
             rtsp = \"127.0.0.1:0\"\ndiscovery = false\n\n\
             [[user]]\nname = \"{USER}\"\nlevel = \"administrator\"\npassword = \"{PASSWORD}\"\n\n\
             [[device]]\nid = \"{DEVICE}\"\nvendor = \"hikvision\"\nurl = \"http://{}\"\n\
             rtsp = \"rtsp://{}\"\nusername = \"admin\"\npassword = \"{}\"\n\n\
             [device.limits]\nplayback_sessions = 2\nrequests_per_second = 10\n\n\
             [sync]\ninterval = \"5s\"\nhorizon = \"2h\"\n",
            recorder.http_addr, recorder.rtsp_addr, recorder.password,
        );
        let site = Self { folder };
        // Without it the family's usual five requests a second hold.
        let mappings = site.folder.path().join("mappings");
        std::fs::create_dir(&mappings).unwrap();
        let faster = "schema = 1\nvendor = \"hikvision\"\n[limits]\nrequests_per_second = 10\n";
        std::fs::write(mappings.join("faster.toml"), faster).unwrap();
        std::fs::write(site.config(), change(text)).unwrap();
        site
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("dvrgate.toml")
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs a command with `--config` and these arguments until it ends.
    pub fn run(&self, command: &str, args: &[&str]) -> Ended {
        let config = self.config();
        let mut all = vec![command, "--config", config.to_str().unwrap()];
        all.extend(args);
        Process::start(&all).end()
    }

    /// One pass of sync that must succeed.
    pub fn sync(&self) -> Ended {
        self.run("sync", &[]).well()
    }

    /// The rows of a listing command.
    pub fn list(&self, command: &str) -> Vec<Value> {
        let mut args = vec!["--format", "json"];
        if command != "recordings" {
            args.extend(["--limit", "100000"]);
        }
        let ended = self.run(command, &args).well();
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// The gateway, once it is ready.
    pub fn serve(&self) -> Gateway {
        self.serve_with(&[])
    }

    /// The same with more arguments.
    pub fn serve_with(&self, args: &[&str]) -> Gateway {
        let config = self.config();
        let mut all = vec!["serve", "--config", config.to_str().unwrap()];
        all.extend(args);
        Gateway::start(&all)
    }
}

/// A running gateway; killed when dropped, and then looked at for panics.
pub struct Gateway {
    process: Process,
    /// `http://HOST:PORT`
    pub http: String,
    /// `rtsp://HOST:PORT`
    pub rtsp: String,
    /// `https://HOST:PORT`, where it is configured.
    pub https: Option<String>,
    /// `rtsps://HOST:PORT`, where it is configured.
    pub rtsps: Option<String>,
}

impl Gateway {
    /// Runs `serve` or `demo` with these arguments until it is ready.
    pub fn start(args: &[&str]) -> Self {
        Self::ready(Process::start(args))
    }

    /// The same process after it restarted itself, once it is ready again.
    pub fn restarted(self) -> Self {
        Self::ready(self.process)
    }

    fn ready(mut process: Process) -> Self {
        let ready = loop {
            let line = process.line();
            if let Some(rest) = line.strip_prefix("dvrgate ready ") {
                break rest.to_owned();
            }
        };
        let part =
            |key: &str| ready.split(' ').find_map(|p| p.strip_prefix(key)).map(str::to_owned);
        Self {
            process,
            http: part("http=").unwrap(),
            rtsp: part("rtsp=").unwrap(),
            https: part("https="),
            rtsps: part("rtsps="),
        }
    }

    /// Where a recording is replayed.
    pub fn replay(&self, recording: &str) -> String {
        format!("{}/replay/{recording}", self.rtsp)
    }

    /// A page over HTTP, with its status.
    pub fn page(&self, path: &str) -> (u16, String) {
        let host = self.http.strip_prefix("http://").unwrap();
        let mut socket = TcpStream::connect(host).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// A figure of `/metrics`; 0 where it is not there.
    pub fn figure(&self, name: &str) -> u64 {
        let (_, text) = self.page("/metrics");
        let line = text.lines().find_map(|l| l.strip_prefix(&format!("dvrgate_{name} ")));
        line.map_or(0, |n| n.trim().parse().unwrap())
    }

    /// Its resident memory.
    pub fn resident_kb(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.child.id());
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        self.process.child.try_wait().unwrap().is_none()
    }

    /// Asks it to stop and waits: it must end well.
    pub fn stop(self) -> Ended {
        self.process.signal("TERM");
        self.process.end().well()
    }

    /// Kills it on the spot.
    pub fn kill(self) -> Ended {
        self.process.signal("KILL");
        self.process.end()
    }
}

/// The program as a process.
pub struct Process {
    child: Child,
    command: String,
    stdout: Receiver<String>,
    seen: String,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// All of standard output.
    pub stdout: String,
    /// All of standard error.
    pub stderr: String,
}

impl Ended {
    /// It must have ended with exit code 0.
    pub fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

impl Process {
    /// Starts the program.
    pub fn start(args: &[&str]) -> Self {
        Self::start_command(Command::new(env!("CARGO_BIN_EXE_dvrgate")).args(args))
    }

    /// Starts any program.
    pub fn start_command(command: &mut Command) -> Self {
        let text = format!("{command:?}");
        let mut child = command
            .env_remove("RUST_LOG")
            .env_remove("DVRGATE_DEMO_FOOTAGE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{text}: {e}"));
        let (lines, stdout) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        let stderr = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&stderr);
        let readers = vec![
            thread::spawn(move || {
                for line in out.lines() {
                    if lines.send(line.unwrap()).is_err() {
                        return;
                    }
                }
            }),
            thread::spawn(move || {
                for line in err.lines() {
                    let mut kept = kept.lock().unwrap();
                    kept.push_str(&line.unwrap());
                    kept.push('\n');
                }
            }),
        ];
        Self { child, command: text, stdout, seen: String::new(), stderr, readers }
    }

    /// The next line of standard output.
    pub fn line(&mut self) -> String {
        match self.stdout.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.seen.push_str(&line);
                self.seen.push('\n');
                line
            }
            Err(why) => panic!(
                "{}: no more lines ({why})\n{}\n{}",
                self.command,
                self.seen,
                self.stderr.lock().unwrap()
            ),
        }
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        // It may have ended by itself.
        let _ = Command::new("kill").args(["-s", name, &id]).stderr(Stdio::null()).status();
    }

    /// Waits for the end; one that does not come in time is a failure.
    pub fn end(mut self) -> Ended {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            match self.stdout.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let stderr = self.stderr.lock().unwrap().clone();
                    panic!("{} hangs\n{}\n{stderr}", self.command, self.seen);
                }
            }
        }
        let status = eventually("its end after its last line", || self.child.try_wait().unwrap());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let stderr = std::mem::take(&mut *self.stderr.lock().unwrap());
        assert!(!stderr.contains("panicked"), "{}\n{stderr}", self.command);
        Ended { code: status.code(), stdout: std::mem::take(&mut self.seen), stderr }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let stderr = self.stderr.lock().map(|s| s.clone()).unwrap_or_default();
        if thread::panicking() {
            // Shown by the test runner with the failure.
            println!("---- {}\n{}{stderr}", self.command, self.seen);
        } else {
            assert!(!stderr.contains("panicked"), "{}\n{stderr}", self.command);
        }
    }
}

/// Looks until there is something to see.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "did not come about: {what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// Runs one of the Python clients and returns its JSON.
pub fn python(script: &str, args: &[&str]) -> Value {
    // Cargo hands `[env]` to the compiler; not every test runner hands it to the tests.
    let built_with = || option_env!("DVRGATE_TEST_PYTHON").map(str::to_owned);
    let python = std::env::var("DVRGATE_TEST_PYTHON").ok().or_else(built_with).unwrap_or_else(|| {
        panic!(
            "DVRGATE_TEST_PYTHON is not set: run scripts/setup.sh test, then the tests with cargo"
        )
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let ended = Process::start_command(Command::new(python).arg(script).args(args)).end().well();
    serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}\n{}", ended.stdout))
}
