//! From the text to checked values: what cannot work is a mistake with its line and a remedy, what
//! works but should be mended a warning.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dvrgate_model::{DeviceId, ZoneRule};
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::{
    ConfigError, Device, DeviceLimits, Footage, Gateway, Index, Level, Secret, Secrets, Sync, Tls,
    User,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) gateway: Spanned<Gateway>,
    #[serde(default)]
    pub(super) user: Vec<RawUser>,
    #[serde(default)]
    pub(super) device: Vec<RawDevice>,
    pub(super) footage: Option<Spanned<Footage>>,
    pub(super) index: Option<Spanned<Index>>,
    pub(super) sync: Option<Spanned<Sync>>,
    pub(super) tls: Option<Tls>,
}

/// Below this the store holds not even a minute of one camera.
const SMALL_BUDGET_BYTES: u64 = 256 << 20;
/// Below this DuckDB cannot work.
const LEAST_INDEX_BYTES: u64 = 48 << 20;

/// What the TOML reader says, with what to write instead where it does not say so itself.
pub(super) fn unreadable(text: &str, name: &str, e: &toml::de::Error) -> ConfigError {
    let line = e.span().map_or(1, |s| line_of(text, s.start));
    let message = e.message();
    let remedies = [
        ("socket address", "write address and port, for instance \"0.0.0.0:8080\""),
        ("expected a sequence", "write the heading in two brackets: [[user]], [[device]]"),
        ("expected a duration", "write for instance \"30s\" or \"400d\""),
        ("parsable", "write for instance \"50GiB\""),
        ("missing field `gateway`", "begin with [gateway] and its data_dir"),
        ("missing field `data_dir`", "name a folder: data_dir = \"/var/lib/dvrgate\""),
    ];
    let remedy = remedies.iter().find(|(sign, _)| message.contains(sign));
    let remedy = remedy.map_or(String::new(), |(_, remedy)| format!("; {remedy}"));
    ConfigError(vec![format!("{name}:{line}: {message}{remedy}")])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUser {
    name: Spanned<String>,
    level: Level,
    password: Spanned<SecretRef>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDevice {
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

pub(super) struct Checker<'a> {
    text: &'a str,
    name: &'a str,
    base: &'a Path,
    secrets: Secrets,
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(text: &'a str, name: &'a str, base: &'a Path, secrets: Secrets) -> Self {
        Self { text, name, base, secrets, errors: Vec::new(), warnings: Vec::new() }
    }

    /// Where the first of these keys of a table stands, or the table where none does.
    fn key<T>(&self, table: &Spanned<T>, keys: &[&str]) -> String {
        let start = table.span().start;
        let body = self.text.get(start..).unwrap_or_default().lines().enumerate().skip(1);
        let own: Vec<_> =
            body.take_while(|(_, line)| !line.trim_start().starts_with('[')).collect();
        let stands = |key: &&str| {
            let mut own = own.iter();
            own.find_map(|(i, line)| {
                let rest = line.trim_start().strip_prefix(key)?;
                rest.trim_start().starts_with('=').then_some(*i)
            })
        };
        let line = line_of(self.text, start) + keys.iter().find_map(stands).unwrap_or(0);
        format!("{}:{line}", self.name)
    }

    pub(super) fn gateway(&mut self, table: Spanned<Gateway>, tls: bool) -> Gateway {
        let g = table.get_ref();
        if tls && g.https.is_none() && g.rtsps.is_none() {
            self.warnings.push(format!(
                "{}: [tls] is there, but neither gateway.https nor gateway.rtsps uses it",
                self.name
            ));
        }
        let ports = [
            ("http", Some(g.http)),
            ("rtsp", Some(g.rtsp)),
            ("https", g.https),
            ("rtsps", g.rtsps),
        ];
        let ports: Vec<(&str, SocketAddr)> =
            ports.into_iter().filter_map(|(key, at)| Some((key, at?))).collect();
        for (i, (key, at)) in ports.iter().enumerate() {
            if let Some((other, _)) = ports[..i].iter().find(|(_, other)| overlap(*other, *at)) {
                let at = self.key(&table, &[key, other]);
                self.errors.push(format!(
                    "{at}: {key} and {other} have the same port; each needs one of its own"
                ));
            }
        }
        if let Some(host) = &g.advertise
            && !is_authority(host)
        {
            let at = self.key(&table, &["advertise"]);
            self.errors.push(format!(
                "{at}: advertise = {host:?}: write a host, with a port or without, for instance \
                 \"192.0.2.10\" or \"nvr.example:8080\""
            ));
        }
        let mut gateway = table.into_inner();
        gateway.data_dir = self.base.join(&gateway.data_dir);
        gateway
    }

    pub(super) fn footage(&mut self, table: Option<Spanned<Footage>>) -> Footage {
        let Some(table) = table else { return Footage::default() };
        let budget = table.get_ref().budget;
        if budget.as_u64() < SMALL_BUDGET_BYTES {
            let at = self.key(&table, &["budget"]);
            self.warnings.push(format!(
                "{at}: a budget of {budget} holds next to nothing, so footage is fetched again and \
                 again; better some gigabytes"
            ));
        }
        table.into_inner()
    }

    pub(super) fn index(&mut self, table: Option<Spanned<Index>>) -> Index {
        let Some(table) = table else { return Index::default() };
        let limit = table.get_ref().memory_limit;
        if limit.as_u64() < LEAST_INDEX_BYTES {
            let at = self.key(&table, &["memory_limit"]);
            self.errors.push(format!(
                "{at}: DuckDB cannot work with {limit}; use {} or more",
                bytesize::ByteSize(LEAST_INDEX_BYTES)
            ));
        }
        table.into_inner()
    }

    pub(super) fn sync(&mut self, table: Option<Spanned<Sync>>) -> Sync {
        let Some(table) = table else { return Sync::default() };
        let Sync { interval, horizon, .. } = *table.get_ref();
        for (key, value, least) in [("interval", interval, "1s"), ("horizon", horizon, "1m")] {
            let floor = if key == "interval" { 1 } else { 60 };
            if value < Duration::from_secs(floor) {
                let at = self.key(&table, &[key]);
                self.errors.push(format!("{at}: {key} is too short; use {least} or more"));
            }
        }
        table.into_inner()
    }

    fn at<T>(&self, spanned: &Spanned<T>) -> String {
        format!("{}:{}", self.name, line_of(self.text, spanned.span().start))
    }

    fn error<T>(&mut self, spanned: &Spanned<T>, message: impl fmt::Display) {
        let at = self.at(spanned);
        self.errors.push(format!("{at}: {message}"));
    }

    pub(super) fn users(&mut self, raw: Vec<RawUser>) -> Vec<User> {
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
            // The colon parts name from realm in what digest hashes.
            if u.name.get_ref().is_empty() || u.name.get_ref().contains([':', '"']) {
                self.error(&u.name, "a user needs a name, without : and \"");
            }
            let password = self.secret(&u.password, &format!("user {:?}", u.name.get_ref()));
            if password.expose().is_empty() && self.secrets == Secrets::Needed {
                let whose = format!("the password of user {:?} is empty", u.name.get_ref());
                self.error(&u.password, format!("{whose}; anybody could log in"));
            }
            users.push(User { name: u.name.into_inner(), level: u.level, password });
        }
        if !users.is_empty() && !users.iter().any(|u| u.level == Level::Administrator) {
            self.warnings.push(format!(
                "{}: no user is an administrator, so nobody can change scopes or see users",
                self.name
            ));
        }
        users
    }

    pub(super) fn devices(&mut self, raw: Vec<RawDevice>, vendors: &[String]) -> Vec<Device> {
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
                    .map_err(|e| {
                        let path = path.display();
                        format!(
                            "{path} (password of {whose}): {e}; name a file that this user may read"
                        )
                    })
            }
        };
        match text {
            Ok(text) => Secret(text),
            Err(e) => {
                self.error(secret, e);
                Secret("?".to_owned())
            }
        }
    }
}

/// Whether two listeners cannot both be had. Port 0 picks a free one each time.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let wide = |x: SocketAddr| x.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || wide(a) || wide(b))
}

/// `host` or `host:port`, as it stands in a URL.
fn is_authority(text: &str) -> bool {
    let url = Url::parse(&format!("http://{text}/"));
    !text.contains(['/', '@', '?', '#']) && url.is_ok_and(|u| u.has_host())
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1
}
