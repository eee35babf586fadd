//! `serve`: runs the gateway until it is told to stop.

use tokio::signal::unix::{SignalKind, signal};

use super::output::say;
use super::{CliError, ConfigArg};
use crate::gateway::Gateway;

/// Serves until SIGTERM or Ctrl-C, then drains.
pub async fn run(args: ConfigArg) -> Result<(), CliError> {
    let config = args.load()?;
    let mut gateway = Gateway::start(&config).await?;
    gateway.follow_recorders();
    announce(&gateway);
    stop_signal().await?;
    tracing::info!("draining");
    gateway.drain().await;
    Ok(())
}

/// The line that scripts wait for.
pub fn announce(gateway: &Gateway) {
    let mut line =
        format!("dvrgate ready http=http://{} rtsp=rtsp://{}", gateway.http, gateway.rtsp);
    for (scheme, address) in [("https", gateway.https), ("rtsps", gateway.rtsps)] {
        if let Some(address) = address {
            line += &format!(" {scheme}={scheme}://{address}");
        }
    }
    say(&line);
}

/// Resolves on SIGTERM and on Ctrl-C.
pub async fn stop_signal() -> Result<(), CliError> {
    let failed = |e| CliError::failed(format!("cannot wait for signals: {e}"));
    let mut term = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        _ = term.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(failed)?,
    }
    Ok(())
}
