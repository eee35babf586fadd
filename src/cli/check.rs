//! `check`: reads configuration and mappings, contacts nothing.

use super::output::say;
use super::{CliError, ConfigArg};
use crate::{tls, wiring};

/// Checks and says what it found.
pub fn run(args: &ConfigArg) -> Result<(), CliError> {
    let config = args.load()?;
    for device in wiring::devices(&config)? {
        let values = device.mapping.explain().len();
        say(&format!(
            "device {}: {} at {}, mapping with {values} values",
            device.id, device.vendor, device.address
        ));
    }
    // One that is made at the first start is not made here: nothing is written.
    if config.tls.is_some() {
        tls::server_config(&config)?;
        say("the certificate and its key belong together");
    }
    say(&format!(
        "{}: good; {} user(s), {} device(s), data in {}",
        args.config.display(),
        config.users.len(),
        config.devices.len(),
        config.gateway.data_dir.display()
    ));
    Ok(())
}
