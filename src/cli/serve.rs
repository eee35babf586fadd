//! `serve`: runs the gateway until it is told to stop.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::output::say;
use super::{CliError, ConfigArg};
use crate::gateway::Gateway;

/// Serves until SIGTERM or Ctrl-C, then drains. After a restart that a client asked for it is the same
/// process, so that whoever watches over it sees nothing of it.
pub async fn run(args: ConfigArg) -> Result<(), CliError> {
    let config = args.load()?;
    let restart = Arc::new(Notify::new());
    let mut gateway = Gateway::start_with(&config, Some(Arc::clone(&restart))).await?;
    gateway.follow_recorders();
    announce(&gateway);
    let again = tokio::select! {
        stopped = stop_signal() => stopped.map(|()| false)?,
        () = restart.notified() => true,
    };
    tracing::info!("draining");
    gateway.drain().await;
    if !again {
        return Ok(());
    }
    let failed = |e| CliError::failed(format!("cannot restart: {e}; start it again"));
    let program = std::env::current_exe().map_err(failed)?;
    // Comes back only where it fails.
    Err(failed(Command::new(program).args(std::env::args_os().skip(1)).exec()))
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
