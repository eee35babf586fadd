//! `mappings explain`: the effective mapping of a recorder with the origin of each value.

use clap::{Args, Subcommand};

use super::output::{Format, Rows};
use super::{CliError, ConfigArg};
use crate::wiring;

/// `mappings`
#[derive(Args, Debug)]
pub struct MappingsArgs {
    #[command(subcommand)]
    command: MappingsCommand,
}

#[derive(Debug, Subcommand)]
enum MappingsCommand {
    /// The effective mapping of a recorder, value by value, with the document each comes from.
    ///
    /// Overlays for a model or firmware apply once the recorder was asked what it is, so after the
    /// first sync more of them may be in force than before.
    Explain {
        #[command(flatten)]
        config: ConfigArg,
        /// The recorder, as the configuration names it.
        #[arg(long, value_name = "ID")]
        device: String,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

/// Prints it.
pub fn run(args: &MappingsArgs) -> Result<(), CliError> {
    let MappingsCommand::Explain { config, device, format } = &args.command;
    let config = config.load_offline()?;
    let identity = wiring::known_identity(&config, device)?;
    let mapping = wiring::mapping_of(&config, device, identity.as_ref())?;
    let mut rows = Rows::new(&["key", "value", "origin"]);
    for e in mapping.explain() {
        rows.push(vec![e.path.clone().into(), e.value.clone().into(), e.origin.clone().into()]);
    }
    rows.print(*format)
}
