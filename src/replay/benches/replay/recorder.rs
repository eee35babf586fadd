//! From PLAY to the first unit where the footage must be fetched from the recorder first: dvrgate's
//! demo, whose simulated recorder answers without a delay of its own.

use std::io::{BufRead, BufReader, Error, Result};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use dvrgate_model::Utc;
use dvrgate_rtsp::client::{Client, ClientOptions, PlayOptions};
use dvrgate_rtsp::headers::{ClockRange, Range};

use super::Setting;
use super::latency::{Tried, add};
use super::table::Table;

/// Names the program.
const DEMO: &str = "DVRGATE_DEMO";
const PASSWORD: &str = "bench";
/// Distance between the places that are played: no fetch brings the next one along.
const STEP_US: i64 = 3 * 60 * 1_000_000;

struct Demo {
    child: Child,
    address: String,
    token: String,
    data: (Utc, Utc),
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// First plays, and the same places again.
pub fn recorder(setting: &Setting) {
    let Some(program) = std::env::var_os(DEMO) else {
        println!("footage from a recorder is NOT measured: {DEMO} does not name dvrgate");
        return;
    };
    let count = if setting.quick { 3 } else { 40 };
    let demo = Demo::start(&program).expect("the demo");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut table = Table::new("first unit, ms", &["p50", "p99", "worst", "tries"]);
    for what in ["PLAY, footage at the recorder only", "the same footage again"] {
        let mut tried = Tried::default();
        let places = (1..=count).map(|n| demo.data.0.plus_us(n * STEP_US));
        for at in places.take_while(|at| *at < demo.data.1) {
            match runtime.block_on(demo.play(at)) {
                Ok(ms) => tried.first.push(ms),
                Err(e) => {
                    tried.failed = Some(e);
                    break;
                }
            }
        }
        add(&mut table, what, tried);
    }
    table.print();
}

impl Demo {
    fn start(program: &std::ffi::OsStr) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["demo", "--http", "127.0.0.1:0", "--rtsp", "127.0.0.1:0"]);
        command.args(["--password", PASSWORD, "--exit-after", "300"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let out = child.stdout.take().ok_or_else(|| Error::other("no output"))?;
        let (mut first, mut address) = (None, None);
        for line in BufReader::new(out).lines() {
            let line = line?;
            let mut words = line.split(' ');
            if line.starts_with("recording ") && first.is_none() {
                // recording TOKEN "NAME" FROM .. TO
                let token = words.nth(1).unwrap_or_default().to_owned();
                let mut range = line.rsplit(' ').step_by(2).map(str::to_owned);
                first = Some((token, range.next().zip(range.next())));
            } else if let Some((_, rest)) = line.split_once(" rtsp=rtsp://") {
                address = Some(rest.trim().to_owned());
                break;
            }
        }
        let bad = || Error::other("the demo did not say what it has");
        let ((token, range), address) = first.zip(address).ok_or_else(bad)?;
        let (to, from) = range.ok_or_else(bad)?;
        let time = |text: &str| text.parse::<Utc>().map_err(|_| bad());
        Ok(Self { child, address, token, data: (time(&from)?, time(&to)?) })
    }

    /// Milliseconds from PLAY to the first unit, on a new connection.
    async fn play(&self, at: Utc) -> Result<f64> {
        let io = tokio::net::TcpStream::connect(&self.address).await?;
        io.set_nodelay(true)?;
        let options = ClientOptions {
            url: format!("rtsp://{}/replay/{}", self.address, self.token),
            username: "admin".into(),
            password: PASSWORD.into(),
            require: Some("onvif-replay".into()),
            ..Default::default()
        };
        let mut client = Client::new(io, options);
        client.describe().await.map_err(Error::other)?;
        client.setup(0).await.map_err(Error::other)?;
        let range = ClockRange { start: Some(at), end: None };
        let play = PlayOptions { range: Some(Range::Clock(range)), ..Default::default() };
        let begun = Instant::now();
        client.play(&play).await.map_err(Error::other)?;
        let first = client.next().await.map_err(Error::other)?;
        let ms = begun.elapsed().as_secs_f64() * 1e3;
        client.teardown().await.map_err(Error::other)?;
        first.map(|_| ms).ok_or_else(|| Error::other("nothing came"))
    }
}
