//! Runs a simulated recorder until interrupted: `cargo run --example run -- SCENARIO [HTTP RTSP]`.

use std::path::Path;

use dvrgate_hikvision_simulator::{Options, Pace, Simulator};
use dvrgate_testkit::Scenario;

#[tokio::main]
#[allow(clippy::print_stdout)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let file = args.next().ok_or("which scenario file?")?;
    let mut options = Options::default();
    if let (Some(http), Some(rtsp)) = (args.next(), args.next()) {
        (options.http, options.rtsp) = (http.parse()?, rtsp.parse()?);
    }
    if args.next().as_deref() == Some("free") {
        options.pace = Pace::Free;
    }
    let scenario = Scenario::open(Path::new(&file))?;
    let handle = Simulator::start(&scenario, options).await?;
    let device = &scenario.device;
    println!(
        "http://{} rtsp://{} user {} password {}",
        handle.http_addr, handle.rtsp_addr, device.username, device.password
    );
    tokio::signal::ctrl_c().await?;
    handle.stop().await;
    Ok(())
}
