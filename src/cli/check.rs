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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, Secrets};
    use crate::vendors;

    const EXAMPLE: &str = include_str!("../../docker/dvrgate.example.toml");

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, "example", Path::new("/"), &vendors::names(), Secrets::Ignored)
            .map_err(|e| e.to_string())
    }

    /// The example with the keys that it only shows.
    fn whole() -> String {
        let shown = |line: &'static str| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with('[') || rest.contains(" = ") => rest,
            _ => line,
        };
        EXAMPLE.lines().map(shown).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_example_is_good_with_and_without_what_it_only_shows() {
        parse(EXAMPLE).unwrap();
        assert_eq!(parse(&whole()).unwrap().warnings, Vec::<String>::new());
    }

    #[test]
    fn the_example_has_every_key() {
        let whole = whole();
        let parsed: toml::Table = toml::from_str(&whole).unwrap();
        for header in [
            "[gateway]",
            "[tls]",
            "[[user]]",
            "[[device]]",
            "[device.limits]",
            "[footage]",
            "[index]",
            "[sync]",
        ] {
            let mut table = &parsed;
            for name in header.trim_matches(['[', ']']).split('.') {
                table = match &table[name] {
                    toml::Value::Array(all) => all[0].as_table().unwrap(),
                    one => one.as_table().unwrap(),
                };
            }
            // The parser itself names the keys that it knows.
            let wrong = whole.replacen(header, &format!("{header}\nno_such_key = 1"), 1);
            let refusal = parse(&wrong).unwrap_err();
            let (_, known) = refusal.split_once("expected ").expect("it lists them");
            let missing: Vec<&str> = known
                .split('`')
                .skip(1)
                .step_by(2)
                .filter(|key| !table.contains_key(*key))
                .collect();
            assert!(missing.is_empty(), "{header} lacks {missing:?}: {refusal}");
        }
    }
}
