//! The configuration file: TOML, unknown keys refused, parsed straight into domain types.
//!
//! Every mistake is reported with file, line and what to do about it, all of them at once where
//! possible. Secrets come from a file or an environment variable and are never printed.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dvrgate_model::{DeviceId, ZoneRule};
use dvrgate_rtsp::server::Groups;
use serde::{Deserialize, Deserializer};
use url::Url;

use check::{Checker, Raw};

/// The whole file, checked.
#[derive(Debug)]
pub struct Config {
    /// The gateway itself.
    pub gateway: Gateway,
    /// Who may log in. Never empty.
    pub users: Vec<User>,
    /// The recorders behind it.
    pub devices: Vec<Device>,
    /// The footage store.
    pub footage: Footage,
    /// The index.
    pub index: Index,
    /// Index sync.
    pub sync: Sync,
    /// The operator's own certificate; without it one is made.
    pub tls: Option<Tls>,
    /// Folder of the file: relative paths and the operator's own mappings are below it.
    pub base: PathBuf,
    /// What is allowed but should be mended; printed at start and by `check`.
    pub warnings: Vec<String>,
}

/// `[gateway]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Name shown to clients. Default: `dvrgate`.
    #[serde(default = "default_name")]
    pub name: String,
    /// Folder of index and footage. Made if missing.
    pub data_dir: PathBuf,
    /// Address of the SOAP services. Default: every interface, port 8080.
    #[serde(default = "default_http")]
    pub http: SocketAddr,
    /// Address of RTSP. Default: every interface, port 8554.
    #[serde(default = "default_rtsp")]
    pub rtsp: SocketAddr,
    /// Address of the SOAP services over TLS. Default: none.
    pub https: Option<SocketAddr>,
    /// Address of RTSP over TLS. Default: none.
    pub rtsps: Option<SocketAddr>,
    /// Multicast addresses for replay, for instance `239.255.64.0/24`. Default: none, and clients
    /// that ask for multicast are refused.
    #[serde(default, deserialize_with = "multicast")]
    pub multicast: Option<Groups>,
    /// Host put into URIs. Default: the address that the client used.
    pub advertise: Option<String>,
    /// Where the gateway is, for the scope list that clients see and may change: any text or path,
    /// for instance `building/north`. Taken at the first start with a data folder.
    pub location: Option<String>,
    /// Whether WS-Discovery answers on UDP port 3702. Default: yes.
    #[serde(default = "yes")]
    pub discovery: bool,
}

/// `[tls]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate and what signed it, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// `[[user]]`
#[derive(Debug)]
pub struct User {
    /// Log-in name.
    pub name: String,
    /// What it may do.
    pub level: Level,
    /// Its password.
    pub password: Secret,
}

/// ONVIF user level.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Everything.
    Administrator,
    /// Search, replay, recording control.
    Operator,
    /// Search and replay.
    User,
}

/// `[[device]]`
#[derive(Debug)]
pub struct Device {
    /// Appears in tokens.
    pub id: DeviceId,
    /// Recorder family.
    pub vendor: String,
    /// Where it is.
    pub url: Url,
    /// RTSP where it differs from what the recorder says.
    pub rtsp: Option<Url>,
    /// Log-in name on the recorder.
    pub username: String,
    /// Password on the recorder.
    pub password: Secret,
    /// Wins over what the recorder claims.
    pub time_zone: Option<ZoneRule>,
    /// Budget of the recorder.
    pub limits: DeviceLimits,
}

/// `[device.limits]`
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceLimits {
    /// Playback and download sessions at the same time.
    pub playback_sessions: Option<usize>,
    /// Control requests per second.
    pub requests_per_second: Option<f64>,
}

/// `[footage]`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Footage {
    /// Bound of the store on disk, for instance `"50GiB"`.
    pub budget: bytesize::ByteSize,
}

impl Default for Footage {
    fn default() -> Self {
        Self { budget: bytesize::ByteSize::gib(10) }
    }
}

/// `[index]`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Index {
    /// What DuckDB may use.
    pub memory_limit: bytesize::ByteSize,
}

impl Default for Index {
    fn default() -> Self {
        Self { memory_limit: bytesize::ByteSize::mib(96) }
    }
}

/// `[sync]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sync {
    /// How often every recorder is asked for what is new.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Whether recorders' event streams are listened to.
    pub watch: bool,
    /// No footage older than this is looked for.
    #[serde(with = "humantime_serde")]
    pub horizon: Duration,
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            watch: true,
            horizon: Duration::from_secs(400 * 86_400),
        }
    }
}

/// A password. `Debug` prints nothing of it.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Everything that is wrong with a configuration file, one line each.
#[derive(Debug)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// Whether a command needs the passwords.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Secrets {
    /// One that cannot be had is a mistake.
    Needed,
    /// They are not looked at: looking into the index needs none.
    Ignored,
}

impl Config {
    /// Reads and checks a file. `vendors` are the recorder families that this program knows.
    pub fn load(path: &Path, vendors: &[String], secrets: Secrets) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            ConfigError(vec![format!(
                "{}: {e}; name a readable file with --config or DVRGATE_CONFIG",
                path.display()
            )])
        })?;
        let base = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, &path.display().to_string(), base, vendors, secrets)
    }

    /// Checks the text of a file named `name`; relative paths are below `base`.
    pub fn parse(
        text: &str,
        name: &str,
        base: &Path,
        vendors: &[String],
        secrets: Secrets,
    ) -> Result<Self, ConfigError> {
        let raw: Raw = toml::from_str(text).map_err(|e| check::unreadable(text, name, &e))?;
        let mut check = Checker::new(text, name, base, secrets);
        let tls =
            raw.tls.map(|t| Tls { certificate: base.join(t.certificate), key: base.join(t.key) });
        let gateway = check.gateway(raw.gateway, tls.is_some());
        let footage = check.footage(raw.footage);
        let index = check.index(raw.index);
        let sync = check.sync(raw.sync);
        let users = check.users(raw.user);
        let devices = check.devices(raw.device, vendors);
        if !check.errors.is_empty() {
            return Err(ConfigError(check.errors));
        }
        Ok(Self {
            gateway,
            users,
            devices,
            footage,
            index,
            sync,
            tls,
            base: base.to_owned(),
            warnings: check.warnings,
        })
    }
}

fn default_name() -> String {
    "dvrgate".to_owned()
}

fn default_http() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 8080))
}

fn default_rtsp() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 8554))
}

fn multicast<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Groups>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

fn yes() -> bool {
    true
}

mod check;
#[cfg(test)]
mod tests;
