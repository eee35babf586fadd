//! `demo`: a simulated recorder, a gateway in front, all on loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use dvrgate_hikvision_simulator::{Options, Simulator};
use dvrgate_index::Scope;
use dvrgate_testkit::Scenario;
use rand::Rng as _;

use super::CliError;
use super::clip::{self, Clip};
use super::output::{note, say};
use super::serve::{announce, stop_signal};
use crate::config::{Config, Device, DeviceLimits, Gateway as GatewayConfig, Level, Secret, User};
use crate::gateway::Gateway;

/// `demo`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dvrgate demo
  dvrgate demo --http 127.0.0.1:0 --rtsp 127.0.0.1:0 --password secret --exit-after 60
  dvrgate demo --footage yard.mp4")]
pub struct DemoArgs {
    /// Address of the SOAP services; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    http: SocketAddr,
    /// Address of RTSP; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8554", value_name = "ADDR")]
    rtsp: SocketAddr,
    /// Folder of index and footage, kept afterwards; a temporary one by default.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Footage of your own for one more channel a file, as any file that FFmpeg reads.
    #[arg(long, value_name = "FILE", env = "DVRGATE_DEMO_FOOTAGE")]
    footage: Vec<PathBuf>,
    /// Password of the user `admin`; random by default.
    #[arg(long, value_name = "P")]
    password: Option<String>,
    /// Stop by itself after this many seconds.
    #[arg(long, value_name = "SECS")]
    exit_after: Option<u64>,
}

/// Runs it.
pub async fn run(args: DemoArgs) -> Result<(), CliError> {
    let temporary =
        tempfile::tempdir().map_err(|e| CliError::failed(format!("no temporary folder: {e}")))?;
    let scenario = scenario(Some((&args.footage, temporary.path())))?;
    let simulator = Simulator::start(&scenario, Options::default()).await?;
    note(&format!("demo: simulated recorder at http://{}", simulator.http_addr));

    let data = args.data.clone().unwrap_or_else(|| temporary.path().join("data"));
    let password = args.password.clone().unwrap_or_else(random_password);
    let base = temporary.path().to_owned();
    lift_limits(&base)?;
    let config = config(&args, (base, data), &password, &scenario, &simulator)?;
    let mut gateway = Gateway::start(&config).await.map_err(|e| {
        // There is no configuration file here to change.
        let CliError { message, code } = CliError::from(e);
        let message = message.replace("gateway.http", "--http").replace("gateway.rtsp", "--rtsp");
        CliError { message, code }
    })?;
    note("demo: first sync of the recorder");
    for (id, report) in gateway.core.syncer.sync_all(&|_| {}).await {
        let report = report.map_err(|e| CliError::failed(format!("device {id}: {e}")))?;
        report.errors.iter().for_each(|e| note(&format!("demo: device {id}: {e}")));
    }
    gateway.follow_recorders();

    let (rtsp, snapshot) = (gateway.rtsp, gateway.core.index.snapshot());
    for r in snapshot.recordings(&Scope::all())? {
        let Some(data) = r.data() else { continue };
        say(&format!("recording {} {:?} {data}", r.token, r.source.name));
        say(&format!("  rtsp://{rtsp}/replay/{}", r.token));
    }
    say("user admin");
    say(&format!("password {password}"));
    announce(&gateway);

    let timer = async {
        match args.exit_after {
            Some(secs) => tokio::time::sleep(Duration::from_secs(secs)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        stopped = stop_signal() => stopped?,
        () = timer => {}
    }
    gateway.drain().await;
    simulator.stop().await;
    Ok(())
}

fn config(
    args: &DemoArgs,
    (base, data_dir): (PathBuf, PathBuf),
    password: &str,
    scenario: &Scenario,
    simulator: &dvrgate_hikvision_simulator::Handle,
) -> Result<Config, CliError> {
    let url = |text: String| text.parse().map_err(|e| CliError::failed(format!("{text}: {e}")));
    Ok(Config {
        gateway: GatewayConfig {
            name: "dvrgate demo".to_owned(),
            data_dir,
            http: args.http,
            rtsp: args.rtsp,
            https: None,
            rtsps: None,
            multicast: None,
            advertise: None,
            location: Some("demo".to_owned()),
            discovery: false,
        },
        users: vec![User {
            name: "admin".to_owned(),
            level: Level::Administrator,
            password: Secret::from(password.to_owned()),
        }],
        devices: vec![Device {
            id: "depot".into(),
            vendor: "hikvision".to_owned(),
            url: url(format!("http://{}", simulator.http_addr))?,
            rtsp: Some(url(format!("rtsp://{}", simulator.rtsp_addr))?),
            username: scenario.device.username.clone(),
            password: Secret::from(scenario.device.password.clone()),
            time_zone: None,
            limits: DeviceLimits { playback_sessions: Some(2), requests_per_second: Some(50.0) },
        }],
        tls: None,
        footage: crate::config::Footage::default(),
        index: crate::config::Index::default(),
        // The recorder of the demo has nothing older.
        sync: crate::config::Sync { horizon: Duration::from_secs(86_400), ..Default::default() },
        base,
        warnings: Vec::new(),
    })
}

/// A simulated recorder takes more than a real one: a local mapping says so, and the demo is ready
/// sooner.
fn lift_limits(base: &Path) -> Result<(), CliError> {
    const MAPPING: &str =
        "schema = 1\nvendor = \"hikvision\"\n[limits]\nrequests_per_second = 50\n";
    let folder = base.join("mappings");
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(folder.join("demo.toml"), MAPPING))
        .map_err(|e| CliError::failed(format!("{}: {e}", folder.display())))
}

/// The recorder of the demo, with one more channel for each file of footage.
pub fn scenario(footage: Option<(&[PathBuf], &Path)>) -> Result<Scenario, CliError> {
    let mut text = include_str!("demo.toml").to_owned();
    if let Some((files, work)) = footage {
        for (i, file) in files.iter().enumerate() {
            if !file.exists() {
                note(&format!("demo: no footage at {}; its channel is left out", file.display()));
                continue;
            }
            let Clip { path, width, height } = clip::of(file, work)?;
            text.push_str(&format!(
                "[[channel]]\nid = {}\nkind = \"ip\"\nname = {:?}\n[channel.footage]\n\
                 file = {:?}\nwidth = {width}\nheight = {height}\nrate = [25, 1]\n\
                 [[channel.recorded]]\nfrom = \"-1h\"\nto = \"now\"\n",
                20 + i,
                file.file_stem().unwrap_or_default().to_string_lossy(),
                path,
            ));
        }
    }
    Ok(Scenario::parse(&text)?)
}

fn random_password() -> String {
    const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut rng = rand::rng();
    (0..16).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())])).collect()
}
