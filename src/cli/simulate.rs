//! `simulate`: one simulated recorder.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dvrgate_hikvision_simulator::{Options, Simulator};
use dvrgate_testkit::Scenario;

use super::CliError;
use super::output::say;
use super::serve::stop_signal;

/// `simulate`
#[derive(Args, Debug)]
#[command(after_help = "\
The simulator tells the truth about itself at /-/truth and what it saw of its clients at
/-/counters, both as JSON.

Example:
  dvrgate simulate hikvision --listen 127.0.0.1:8000")]
pub struct SimulateArgs {
    /// Which family.
    vendor: SimulatedVendor,
    /// What it recorded and what is wrong with it (TOML); the demo's recorder by default.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Address of its web server; RTSP takes a free port on the same host.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    listen: SocketAddr,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SimulatedVendor {
    Hikvision,
}

/// Runs it until it is told to stop.
pub async fn run(args: SimulateArgs) -> Result<(), CliError> {
    let SimulatedVendor::Hikvision = args.vendor;
    let scenario = match &args.scenario {
        Some(path) => Scenario::open(path)?,
        None => super::demo::scenario(None)?,
    };
    let rtsp = SocketAddr::new(args.listen.ip(), 0);
    let options = Options { http: args.listen, rtsp, ..Options::default() };
    let simulator = Simulator::start(&scenario, options).await?;
    say(&format!("user {} password {}", scenario.device.username, scenario.device.password));
    say(&format!(
        "simulator ready http=http://{} rtsp=rtsp://{}",
        simulator.http_addr, simulator.rtsp_addr
    ));
    stop_signal().await?;
    simulator.stop().await;
    Ok(())
}
