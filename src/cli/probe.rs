//! `probe`: what a recorder is and can do.

use clap::Args;
use dvrgate_adapter::{
    Capabilities, Device, ListSupport, OldestSupport, Priority, SegmentQuery, SourceSegment,
};
use dvrgate_model::{Channel, Civil, SourceRange, StreamKind, ZoneClaim, ZoneTrust};

use super::output::{note, say};
use super::{CliError, ConfigArg};
use crate::config::{self, Config, Secret};
use crate::{vendors, wiring};

/// `probe`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dvrgate probe --config dvrgate.toml --device yard
  PW=secret dvrgate probe http://192.0.2.64 --vendor hikvision --username viewer --password-env PW")]
pub struct ProbeArgs {
    /// Address of a recorder that is in no configuration yet.
    #[arg(value_name = "URL", conflicts_with = "device", requires = "vendor")]
    url: Option<url::Url>,
    /// Its family.
    #[arg(long, value_name = "V")]
    vendor: Option<String>,
    /// User on the recorder.
    #[arg(long, default_value = "", value_name = "U")]
    username: String,
    /// Environment variable that holds the password.
    #[arg(long, value_name = "VAR")]
    password_env: Option<String>,
    /// The configuration file. Not read for a URL: the environment may name one all the same.
    #[arg(long, value_name = "FILE", env = "DVRGATE_CONFIG")]
    config: Option<std::path::PathBuf>,
    /// A recorder of the configuration.
    #[arg(long, value_name = "ID")]
    device: Option<String>,
}

/// Asks and tells.
pub async fn run(args: ProbeArgs) -> Result<(), CliError> {
    let device = args.device()?;
    let cx = device.cx(Priority::Replay);
    let identity = device.adapter.identify(&cx).await?;
    line("address", &device.address);
    line("vendor", device.vendor.as_str());
    line("model", &identity.model);
    line("name", &identity.name);
    line("serial", &identity.serial);
    line("firmware", &identity.firmware);

    let capabilities = device.adapter.capabilities();
    if capabilities.clock.read {
        tell_clock(&device).await;
    }
    for channel in &identity.channels {
        tell_channel(&device, channel, &capabilities).await;
    }
    tell_capabilities(&capabilities);
    Ok(())
}

impl ProbeArgs {
    fn device(&self) -> Result<Device, CliError> {
        if let Some(url) = &self.url {
            let password = match &self.password_env {
                Some(name) => std::env::var(name).map_err(|_| {
                    CliError::usage(format!("the environment variable {name} is not set"))
                })?,
                None => String::new(),
            };
            let device = config::Device {
                id: "probe".into(),
                vendor: self.vendor.clone().unwrap_or_default(),
                url: url.clone(),
                rtsp: None,
                username: self.username.clone(),
                password: Secret::from(password),
                time_zone: None,
                limits: config::DeviceLimits::default(),
            };
            return Ok(wiring::connect(&device, &vendors::mappings(None)?, None)?);
        }
        let (Some(path), Some(id)) = (&self.config, &self.device) else {
            return Err(CliError::usage(
                "name a recorder: --config FILE --device ID, or URL --vendor V --username U \
                 --password-env VAR",
            ));
        };
        let config: Config = ConfigArg { config: path.clone() }.load()?;
        let configured = wiring::configured(&config, id)?;
        let documents = vendors::mappings(Some(&config.base.join("mappings")))?;
        Ok(wiring::connect(configured, &documents, None)?)
    }
}

fn line(key: &str, value: &str) {
    if !value.is_empty() {
        say(&format!("{key:<12} {value}"));
    }
}

async fn tell_clock(device: &Device) {
    let cx = device.cx(Priority::Replay);
    let reading = match device.adapter.clock(&cx).await {
        Ok(reading) => reading,
        Err(e) => return note(&format!("clock: {e}")),
    };
    let zone = device.zone.clone().or(reading.zone.clone());
    let shown = reading.device.civil;
    match &zone {
        Some(zone) => {
            let middle = reading.before.plus_us(reading.after.since_us(reading.before) / 2);
            let utc = Civil::from_micros_as_if_utc(middle.micros());
            let (expected, zone) = match (reading.trust, &reading.device.zone) {
                (ZoneTrust::Claimed, ZoneClaim::Utc) => (utc, "UTC".to_owned()),
                _ => (zone.civil(middle), zone.to_string()),
            };
            let off = (shown.micros_as_if_utc() - expected.micros_as_if_utc()) as f64 / 1e6;
            let exact = (reading.resolution_us + reading.after.since_us(reading.before) as u64 / 2)
                as f64
                / 1e6;
            line("clock", &format!("{shown} in {zone}: {off:+.1} s against ours (± {exact:.1} s)"));
        }
        None => line("clock", &format!("{shown}; its zone is not known, set time_zone")),
    }
    let trust = match reading.trust {
        ZoneTrust::WallClock => "its own wall clock, whatever it claims",
        ZoneTrust::Claimed => "as claimed (UTC)",
    };
    line("listings", trust);
}

async fn tell_channel(device: &Device, channel: &Channel, capabilities: &Capabilities) {
    let mut facts = Vec::new();
    if let Some(v) = &channel.video {
        facts.push(format!("{} {}x{}", v.codec.name(), v.width, v.height));
    }
    if let Some(a) = &channel.audio {
        facts.push(a.codec.name().to_owned());
    }
    if channel.online == Some(false) {
        facts.push("no signal".to_owned());
    }
    if channel.recording == Some(true) {
        facts.push("recording".to_owned());
    }
    if capabilities.segments.offered {
        match newest(device, channel).await {
            Ok(Some(newest)) => facts.push(format!("newest footage {newest}")),
            Ok(None) => facts.push("no footage in the last day".to_owned()),
            Err(e) => facts.push(format!("listing failed: {e}")),
        }
    }
    line(&format!("channel {}", channel.id), &format!("{:?}: {}", channel.name, facts.join(", ")));
}

/// The newest segment of the last day, in the recorder's own time; without its claims of a zone where
/// they are not believed.
async fn newest(device: &Device, channel: &Channel) -> dvrgate_model::Result<Option<String>> {
    const DAY_US: i64 = 86_400_000_000;
    let cx = device.cx(Priority::Replay);
    let (now, trust) = match device.adapter.clock(&cx).await {
        Ok(reading) => (reading.device.civil, reading.trust),
        Err(_) => (Civil::from_micros_as_if_utc(cx.clock.utc().micros()), ZoneTrust::WallClock),
    };
    let window = SourceRange::new(now.plus_us(-DAY_US), now);
    let mut query =
        SegmentQuery { channel: channel.id, stream: StreamKind::Main, window, cursor: None };
    let mut newest: Option<SourceSegment> = None;
    // A day of one channel is some dozens of pages at most; a recorder that never ends is cut off.
    for _ in 0..100 {
        let page = device.adapter.list_segments(&cx, query.clone()).await?;
        newest = page.items.into_iter().chain(newest).max_by_key(|s| s.end.civil);
        match page.next {
            Some(cursor) => query.cursor = Some(cursor),
            None => break,
        }
    }
    Ok(newest.map(|s| match trust {
        ZoneTrust::WallClock => format!("{} .. {}", s.start.civil, s.end.civil),
        ZoneTrust::Claimed => format!("{} .. {}", s.start.raw, s.end.raw),
    }))
}

fn tell_capabilities(c: &Capabilities) {
    let list = |l: &ListSupport| match (l.offered, l.max_results) {
        (false, _) => "no".to_owned(),
        (true, Some(n)) => format!("yes, {n} items a query"),
        (true, None) => "yes".to_owned(),
    };
    let begin = match (c.segments.offered, c.segments.oldest) {
        (false, _) | (_, OldestSupport::No) => "",
        (_, OldestSupport::Likely) => ", tells where they begin if no month is empty",
        (_, OldestSupport::Surely) => ", tells where they begin",
    };
    line("segments", &format!("{}{begin}", list(&c.segments)));
    line("event log", &list(&c.events));
    line("live events", if c.watch { "yes" } else { "no" });
    let footage = match (c.footage.by_segment, c.footage.by_time) {
        (true, true) => "by segment and by time",
        (true, false) => "by segment",
        (false, true) => "by time",
        (false, false) => "none",
    };
    let speed = if c.footage.real_time_only { ", in real time only" } else { "" };
    line("footage", &format!("{footage}{speed}, {} session(s)", c.footage.max_sessions));
    if c.limits.logins_before_lockout < usize::MAX {
        line(
            "limits",
            &format!(
                "{} requests a second, {} at once, {} refused log-ins before it locks us out",
                c.limits.requests_per_second,
                c.limits.parallel_requests,
                c.limits.logins_before_lockout
            ),
        );
    }
    for (missing, what) in [
        (!c.segments.offered, "no listing: search and replay will not work"),
        (!c.clock.read, "its clock cannot be read: times are taken as they are"),
        (!c.events.offered && !c.watch, "no events"),
        (!c.control.start_stop, "recording cannot be started or stopped by hand"),
    ] {
        if missing {
            line("note", what);
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        probe: ProbeArgs,
    }

    fn device(args: &str) -> Result<Device, String> {
        let line = Line::try_parse_from(["probe"].into_iter().chain(args.split(' ')));
        line.map_err(|e| e.to_string())?.probe.device().map_err(|e| format!("{e:?}"))
    }

    #[test]
    fn a_url_needs_no_configuration_even_where_the_environment_names_one() {
        // In the image DVRGATE_CONFIG is always set, which is the same as --config to the parser.
        let probed = device("http://192.0.2.64 --vendor hikvision --config /nowhere.toml").unwrap();
        assert_eq!(probed.address, "192.0.2.64");
        assert!(device("http://192.0.2.64").unwrap_err().contains("--vendor"));
        assert!(device("http://192.0.2.64 --vendor hikvision --device yard").is_err());
        assert!(device("--config /nowhere.toml").unwrap_err().contains("--device ID"));
        assert!(device("--config /nowhere.toml --device yard").unwrap_err().contains("/nowhere"));
    }
}
