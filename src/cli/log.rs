//! Logs go to standard error; what a command was asked for goes to standard output.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

/// Installs the subscriber: `RUST_LOG` wins, else the number of `-v`.
pub fn install(verbose: u8, json: bool) {
    let default = match verbose {
        0 => "info",
        1 => "debug,hyper=info,hyper_util=info,rustls=info",
        _ => "trace,hyper=debug,hyper_util=debug,rustls=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false);
    // A second installation (tests) keeps the first.
    let _ = if json {
        registry.with(layer.json()).try_init()
    } else {
        registry.with(layer.compact()).try_init()
    };
}
