//! The command line.

mod check;
#[cfg(feature = "demo")]
mod clip;
#[cfg(feature = "demo")]
mod demo;
mod exit;
mod health;
mod list;
mod log;
mod mappings;
mod output;
mod probe;
mod serve;
#[cfg(feature = "demo")]
mod simulate;
mod sync;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Secrets};
pub use exit::exit_code;

/// Stands beside a fleet of legacy recorders and makes it one standards-based recorder.
///
/// A VMS that speaks ONVIF Profile G then searches, replays and exports the footage of all of
/// them, with correct UTC on every frame.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// More to see: -v tells every exchange, -vv every byte. (RUST_LOG works too.)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    /// Logs as JSON, one object a line.
    #[arg(long, global = true)]
    log_json: bool,
}

const EXAMPLES: &str = "\
Examples:
  dvrgate demo                                  a simulated recorder behind a gateway, on loopback
  dvrgate probe http://192.0.2.64 --vendor hikvision --username viewer --password-env PW
                                                what that recorder is and can do
  dvrgate check --config dvrgate.toml           is the configuration right?
  dvrgate sync --config dvrgate.toml            fetch the recording index once
  dvrgate serve --config dvrgate.toml           run the gateway
  dvrgate recordings --config dvrgate.toml      what there is";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM, then drain.
    Serve(ConfigArg),
    /// A simulated recorder with footage of the last hours and a gateway in front, on loopback.
    #[cfg(feature = "demo")]
    Demo(demo::DemoArgs),
    /// Run one simulated recorder.
    #[cfg(feature = "demo")]
    Simulate(simulate::SimulateArgs),
    /// Read configuration and mappings; contact nothing.
    Check(ConfigArg),
    /// Ask the gateway on this machine whether it serves: exit code 0 if it does.
    Health(ConfigArg),
    /// What a recorder is and can do: model, channels, clock, footage, limits, what will not work.
    Probe(probe::ProbeArgs),
    /// One pass of index sync, with progress, then end.
    Sync(sync::SyncArgs),
    /// List the recordings in the index.
    Recordings(list::RecordingsArgs),
    /// List recorded segments.
    Segments(list::SegmentsArgs),
    /// List events.
    Events(list::EventsArgs),
    /// Show what is known about a recorder family.
    Mappings(mappings::MappingsArgs),
}

/// `--config FILE`
#[derive(Args, Clone, Debug)]
pub struct ConfigArg {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "DVRGATE_CONFIG")]
    config: PathBuf,
}

impl ConfigArg {
    /// For commands that log in somewhere or let others log in.
    fn load(&self) -> Result<Config, CliError> {
        self.load_with(Secrets::Needed)
    }

    /// For commands that only look into the index.
    fn load_offline(&self) -> Result<Config, CliError> {
        self.load_with(Secrets::Ignored)
    }

    fn load_with(&self, secrets: Secrets) -> Result<Config, CliError> {
        let config = Config::load(&self.config, &crate::vendors::names(), secrets)
            .map_err(|e| CliError::usage(e.to_string()))?;
        for warning in &config.warnings {
            output::note(&format!("warning: {warning}"));
        }
        Ok(config)
    }
}

/// Why a command ends other than well, and with which exit code.
#[derive(Debug)]
pub struct CliError {
    message: String,
    code: u8,
}

impl CliError {
    /// Wrong use: exit code 2.
    fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }

    /// Failed: exit code 1.
    fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }
}

impl From<dvrgate_model::Error> for CliError {
    fn from(e: dvrgate_model::Error) -> Self {
        Self { message: e.to_string(), code: exit_code(&e) }
    }
}

/// Runs the command and says how it ended: 0 done, 1 failed, 2 wrong use.
pub fn run(cli: Cli) -> ExitCode {
    log::install(cli.verbose, cli.log_json);
    // Two threads suffice for a gateway that mostly waits; queries block on their own pool.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, usize::from).min(4))
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(dispatch(cli.command));
            // Blocking calls that hang (a dead disk) must not keep a finished program alive.
            runtime.shutdown_timeout(std::time::Duration::from_secs(5));
            result
        }
        Err(e) => Err(CliError::failed(format!("no runtime: {e}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            output::note(&format!("dvrgate: {}", e.message));
            ExitCode::from(e.code)
        }
    }
}

async fn dispatch(command: Command) -> Result<(), CliError> {
    match command {
        Command::Serve(args) => serve::run(args).await,
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(args).await,
        #[cfg(feature = "demo")]
        Command::Simulate(args) => simulate::run(args).await,
        Command::Check(args) => check::run(&args),
        Command::Health(args) => health::run(&args).await,
        Command::Probe(args) => probe::run(args).await,
        Command::Sync(args) => sync::run(args).await,
        Command::Recordings(args) => list::recordings(&args),
        Command::Segments(args) => list::segments(args).await,
        Command::Events(args) => list::events(args).await,
        Command::Mappings(args) => mappings::run(&args),
    }
}
