//! The configuration file: TOML, unknown keys refused, parsed straight into domain types.
//!
//! Every mistake is reported with file, line and what to do about it, all of them at once where
//! possible. Secrets come from a file or an environment variable and are never printed.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dvrgate_model::{DeviceId, ZoneRule};
use serde::Deserialize;
use toml::Spanned;
use url::Url;

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
                "{}: {e}; name a readable file with --config",
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
        let raw: Raw = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |s| line_of(text, s.start));
            ConfigError(vec![format!("{name}:{line}: {}", e.message())])
        })?;
        let mut check =
            Checker { text, name, base, secrets, errors: Vec::new(), warnings: Vec::new() };
        let mut gateway = raw.gateway;
        gateway.data_dir = base.join(&gateway.data_dir);
        let tls =
            raw.tls.map(|t| Tls { certificate: base.join(t.certificate), key: base.join(t.key) });
        if tls.is_some() && gateway.https.is_none() && gateway.rtsps.is_none() {
            check.warnings.push(format!(
                "{name}: [tls] is there, but neither gateway.https nor gateway.rtsps uses it"
            ));
        }
        let users = check.users(raw.user);
        let devices = check.devices(raw.device, vendors);
        if !check.errors.is_empty() {
            return Err(ConfigError(check.errors));
        }
        Ok(Self {
            gateway,
            users,
            devices,
            footage: raw.footage,
            index: raw.index,
            sync: raw.sync,
            tls,
            base: base.to_owned(),
            warnings: check.warnings,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    gateway: Gateway,
    #[serde(default)]
    user: Vec<RawUser>,
    #[serde(default)]
    device: Vec<RawDevice>,
    #[serde(default)]
    footage: Footage,
    #[serde(default)]
    index: Index,
    #[serde(default)]
    sync: Sync,
    tls: Option<Tls>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUser {
    name: Spanned<String>,
    level: Level,
    password: Spanned<SecretRef>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDevice {
    id: Spanned<String>,
    vendor: Spanned<String>,
    url: Spanned<String>,
    rtsp: Option<Spanned<String>>,
    #[serde(default)]
    username: String,
    password: Option<Spanned<SecretRef>>,
    time_zone: Option<Spanned<String>>,
    limits: Option<Spanned<DeviceLimits>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected { file = \"…\" }, { env = \"…\" } or a text")]
enum SecretRef {
    Reference(Reference),
    Literal(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum Reference {
    File(PathBuf),
    Env(String),
}

struct Checker<'a> {
    text: &'a str,
    name: &'a str,
    base: &'a Path,
    secrets: Secrets,
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl Checker<'_> {
    fn at<T>(&self, spanned: &Spanned<T>) -> String {
        format!("{}:{}", self.name, line_of(self.text, spanned.span().start))
    }

    fn error<T>(&mut self, spanned: &Spanned<T>, message: impl fmt::Display) {
        let at = self.at(spanned);
        self.errors.push(format!("{at}: {message}"));
    }

    fn users(&mut self, raw: Vec<RawUser>) -> Vec<User> {
        if raw.is_empty() {
            self.errors.push(format!(
                "{}: no [[user]]; add one with name, level = \"administrator\" and password",
                self.name
            ));
        }
        let mut users: Vec<User> = Vec::new();
        for u in raw {
            if users.iter().any(|known| known.name == *u.name.get_ref()) {
                self.error(&u.name, format!("user {:?} is there twice", u.name.get_ref()));
            }
            let password = self.secret(&u.password, &format!("user {:?}", u.name.get_ref()));
            users.push(User { name: u.name.into_inner(), level: u.level, password });
        }
        users
    }

    fn devices(&mut self, raw: Vec<RawDevice>, vendors: &[String]) -> Vec<Device> {
        let mut devices: Vec<Device> = Vec::new();
        for d in raw {
            let id = d.id.get_ref().clone();
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if id.is_empty() || id.len() > 24 || !id.chars().all(legal) {
                self.error(
                    &d.id,
                    format!("device id {id:?}: use 1 to 24 letters, digits or underscores"),
                );
            }
            if devices.iter().any(|known| known.id.as_str() == id) {
                self.error(&d.id, format!("device {id:?} is there twice"));
            }
            if !vendors.contains(d.vendor.get_ref()) {
                let known = vendors.join(", ");
                self.error(
                    &d.vendor,
                    format!("no vendor {:?}; known are: {known}", d.vendor.get_ref()),
                );
            }
            let url = self.url(&d.url, &["http", "https", "file", "dvrip"]);
            let rtsp = d.rtsp.as_ref().and_then(|u| self.url(u, &["rtsp"]));
            let password = match &d.password {
                Some(p) => self.secret(p, &format!("device {id:?}")),
                None => Secret::default(),
            };
            let time_zone = d.time_zone.as_ref().and_then(|z| {
                ZoneRule::parse(z.get_ref()).map_err(|e| self.error(z, e.message())).ok()
            });
            let limits = d.limits.map_or_else(DeviceLimits::default, |l| {
                if l.get_ref().playback_sessions == Some(0) {
                    self.error(&l, "playback_sessions = 0 would allow no playback; use 1 or more");
                }
                if l.get_ref().requests_per_second.is_some_and(|r| !(r > 0.0 && r <= 1000.0)) {
                    self.error(&l, "requests_per_second must be above 0 and at most 1000");
                }
                l.into_inner()
            });
            // The placeholder is never used: a missing URL is an error, so parsing fails.
            let Some(url) = url else { continue };
            devices.push(Device {
                id: DeviceId::new(id),
                vendor: d.vendor.into_inner(),
                url,
                rtsp,
                username: d.username,
                password,
                time_zone,
                limits,
            });
        }
        devices
    }

    fn url(&mut self, text: &Spanned<String>, schemes: &[&str]) -> Option<Url> {
        match Url::parse(text.get_ref()) {
            Ok(url) if !schemes.contains(&url.scheme()) => {
                let schemes = schemes.join("://, ");
                self.error(text, format!("{url}: use {schemes}://"));
                None
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                self.error(text, "no user or password in a URL; use username and password");
                None
            }
            Ok(url) => Some(url),
            Err(e) => {
                self.error(
                    text,
                    format!(
                        "{:?} is not a URL ({e}); write for instance \"http://192.0.2.64\"",
                        text.get_ref()
                    ),
                );
                None
            }
        }
    }

    fn secret(&mut self, secret: &Spanned<SecretRef>, whose: &str) -> Secret {
        if self.secrets == Secrets::Ignored {
            return Secret::default();
        }
        let text = match secret.get_ref() {
            SecretRef::Literal(text) => {
                let at = self.at(secret);
                self.warnings.push(format!(
                    "{at}: the password of {whose} stands in the file; \
                     better {{ file = \"…\" }} or {{ env = \"…\" }}"
                ));
                Ok(text.clone())
            }
            SecretRef::Reference(Reference::Env(name)) => std::env::var(name).map_err(|_| {
                format!("the environment variable {name} (password of {whose}) is not set")
            }),
            SecretRef::Reference(Reference::File(path)) => {
                let path = self.base.join(path);
                std::fs::read_to_string(&path)
                    .map(|t| t.trim_end_matches(['\r', '\n']).to_owned())
                    .map_err(|e| format!("{} (password of {whose}): {e}", path.display()))
            }
        };
        match text {
            Ok(text) => Secret(text),
            Err(e) => {
                self.error(secret, e);
                Secret::default()
            }
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1
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

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[gateway]
name = "Depot North"
data_dir = "data"
advertise = "192.0.2.10"

[[user]]
name = "admin"
level = "administrator"
password = "secret"

[[device]]
id = "yard"
vendor = "hikvision"
url = "http://192.0.2.64"
username = "viewer"
password = "x"
time_zone = "Europe/Bratislava"
[device.limits]
playback_sessions = 2
requests_per_second = 5

[footage]
budget = "50GiB"
"#;

    fn parse(text: &str) -> Result<Config, String> {
        let vendors = ["hikvision", "folder"].map(str::to_owned);
        Config::parse(text, "c.toml", Path::new("/base"), &vendors, Secrets::Needed)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn a_good_file_is_read_with_its_defaults() {
        let c = parse(GOOD).unwrap();
        assert_eq!(c.gateway.data_dir, Path::new("/base/data"));
        assert_eq!(c.gateway.http.port(), 8080);
        assert_eq!(c.footage.budget.as_u64(), 50 << 30);
        assert_eq!(c.devices[0].limits.playback_sessions, Some(2));
        assert_eq!(c.warnings.len(), 2, "literal passwords are warned of: {:?}", c.warnings);
        assert!(!format!("{c:?}").contains("secret"), "passwords are not printed");
    }

    #[test]
    fn ports_over_tls_are_opened_only_where_they_are_named() {
        let c = parse(GOOD).unwrap();
        assert!(c.gateway.https.is_none() && c.gateway.rtsps.is_none() && c.tls.is_none());
        let own = format!("{GOOD}\n[tls]\ncertificate = \"own/c.pem\"\nkey = \"/own/k.pem\"\n");
        let c = parse(&own).unwrap();
        assert!(c.warnings.iter().any(|w| w.contains("[tls]")), "{:?}", c.warnings);
        let c = parse(&own.replacen("[gateway]", "[gateway]\nrtsps = \"[::]:8322\"", 1)).unwrap();
        assert_eq!(c.gateway.rtsps.map(|a| a.port()), Some(8322));
        let tls = c.tls.unwrap();
        assert_eq!(tls.certificate, Path::new("/base/own/c.pem"));
        assert_eq!(tls.key, Path::new("/own/k.pem"));
        assert!(!c.warnings.iter().any(|w| w.contains("[tls]")));
    }

    #[test]
    fn mistakes_name_line_and_remedy() {
        for (from, to, line, words) in [
            ("name = \"Depot North\"", "nam = 1", 3, "unknown field `nam`"),
            ("level = \"administrator\"", "level = \"root\"", 9, "administrator"),
            ("id = \"yard\"", "id = \"the yard\"", 13, "letters, digits or underscores"),
            ("\"hikvision\"", "\"hikvison\"", 14, "known are: hikvision, folder"),
            ("http://192.0.2.64", "192.0.2.64", 15, "http://192.0.2.64"),
            ("http://192.0.2.64", "http://u:p@192.0.2.64", 15, "use username and password"),
            ("http://192.0.2.64", "ftp://192.0.2.64", 15, "use http://"),
            (
                "password = \"x\"",
                "password = { env = \"NOT_SET_ANYWHERE\" }",
                17,
                "NOT_SET_ANYWHERE",
            ),
            ("password = \"x\"", "password = { file = \"nowhere\" }", 17, "/base/nowhere"),
            ("Europe/Bratislava", "Europe/Bratislave", 18, "IANA name"),
            ("playback_sessions = 2", "playback_sessions = 0", 19, "use 1 or more"),
            ("\"50GiB\"", "\"fifty\"", 24, ""),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let error = parse(&text).unwrap_err();
            assert!(error.starts_with(&format!("c.toml:{line}: ")), "{to}: {error}");
            assert!(error.contains(words), "{to}: {error}");
        }
        let twice =
            format!("{GOOD}\n[[device]]\nid=\"yard\"\nvendor=\"folder\"\nurl=\"file:///x\"\n");
        assert!(parse(&twice).unwrap_err().contains("is there twice"));
    }
}
