//! dvrgate: stands beside a fleet of legacy recorders and makes it one standards-based recorder.
//!
//! This crate only composes: `config` reads the file, `vendors` lists the recorder families,
//! `wiring` puts the parts together, `cli` is what people type.

mod accounts;
mod cli;
mod clocks;
mod config;
mod gateway;
mod limits;
mod tls;
mod vendors;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::run(cli::Cli::parse())
}
