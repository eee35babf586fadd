//! Named deviations: what a mapping may switch, and what the adapter learns of a device.

use std::time::Duration;

use dvrgate_adapter::Mapping;
use dvrgate_adapter::mapping::Ends;
use dvrgate_model::{Error, Result, ZoneTrust};

use crate::wire::download::DownloadMethod;
use crate::wire::search::SearchStyle;

/// What the `Z` of listings means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ZPolicy {
    /// Ask the device (see [`crate::calibrate`]).
    Calibrate,
    /// Not asked.
    Fixed(ZoneTrust),
}

/// Whether downloads are offered, and how they are asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DownloadPolicy {
    /// All ways in their order, until one works.
    Auto,
    /// Only this way.
    Only(DownloadMethod),
    /// Not at all: RTSP only.
    Never,
}

/// Whether a part of a listed file may be asked for by rewriting its URI.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WindowPolicy {
    /// Tried; a device that refuses or ignores it is asked for whole files from then on.
    Auto,
    /// Always.
    Rewrite,
    /// Never: only what the device issued.
    Issued,
}

/// All of them, with the numbers of queries.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) z: ZPolicy,
    /// `None` tries all styles.
    pub(crate) search: Option<SearchStyle>,
    pub(crate) download: DownloadPolicy,
    pub(crate) window: WindowPolicy,
    /// RTSP playback asks for `Rate-Control: no`.
    pub(crate) rtsp_fast: bool,
    pub(crate) ends: Ends,
    /// Items of a page and pages of a query.
    pub(crate) page: usize,
    pub(crate) pages: usize,
    /// Items that a query lists at most, over all pages.
    pub(crate) cap: usize,
    pub(crate) log_page: usize,
    pub(crate) log_cap: usize,
    pub(crate) log_categories: Vec<String>,
    pub(crate) max_window: Duration,
    /// Widest window of one question to the log: a full one is halved, an empty one costs nothing.
    pub(crate) log_window: Duration,
    pub(crate) chunk: Duration,
    pub(crate) silence: Duration,
    /// Codes, in lower case, that are repeated while they last; and after how long without a repeat
    /// they are over.
    pub(crate) repeated: Vec<String>,
    pub(crate) quiet: Duration,
    /// Sessions that are used at most.
    pub(crate) sessions: usize,
}

const NAMES: [&str; 5] = ["z", "search", "download", "download-window", "rtsp-fast"];

impl Policy {
    /// From a mapping. Unknown names and values are refused, with those that are known.
    pub(crate) fn new(m: &Mapping) -> Result<Self> {
        if let Some(unknown) = m.policies().find(|p| !NAMES.contains(p)) {
            let known = NAMES.join(", ");
            return Err(Error::invalid(format!("no policy {unknown:?}; known are: {known}")));
        }
        let z = [
            ("calibrate", ZPolicy::Calibrate),
            ("local", ZPolicy::Fixed(ZoneTrust::WallClock)),
            ("utc", ZPolicy::Fixed(ZoneTrust::Claimed)),
        ];
        let search = [
            ("auto", None),
            ("trackList", Some(SearchStyle::TrackList)),
            ("trackIDList", Some(SearchStyle::TrackIdList)),
            ("trackID", Some(SearchStyle::Bare)),
        ];
        let download = [
            ("auto", DownloadPolicy::Auto),
            ("post", DownloadPolicy::Only(DownloadMethod::Post)),
            ("get-with-body", DownloadPolicy::Only(DownloadMethod::GetWithBody)),
            ("get-query", DownloadPolicy::Only(DownloadMethod::GetQuery)),
            ("none", DownloadPolicy::Never),
        ];
        let window = [
            ("auto", WindowPolicy::Auto),
            ("rewrite", WindowPolicy::Rewrite),
            ("issued", WindowPolicy::Issued),
        ];
        let yes_no = [("yes", true), ("no", false)];
        let hours = m.segments().max_window_hours.filter(|h| *h > 0).unwrap_or(24);
        Ok(Self {
            z: m.policy_of("z", &z, ZPolicy::Calibrate)?,
            search: m.policy_of("search", &search, None)?,
            download: m.policy_of("download", &download, DownloadPolicy::Auto)?,
            window: m.policy_of("download-window", &window, WindowPolicy::Auto)?,
            rtsp_fast: m.policy_of("rtsp-fast", &yes_no, true)?,
            ends: m.segments().ends,
            page: m.query("page", 40usize).clamp(1, 200),
            pages: m.query("pages", 110usize).max(1),
            cap: m.segments().max_results.unwrap_or(4_000).max(1),
            log_page: m.query("log-page", 64usize).clamp(1, 200),
            log_cap: m.query("log-cap", 2_000usize).max(1),
            log_categories: m
                .path("log-categories", "Alarm,Exception,Operation,Information")
                .split(',')
                .map(|c| c.trim().to_owned())
                .filter(|c| !c.is_empty() && c.bytes().all(|b| b.is_ascii_alphanumeric()))
                .collect(),
            max_window: Duration::from_secs(u64::from(hours) * 3_600),
            log_window: Duration::from_secs(
                m.query("log-window-days", 31u64).clamp(1, 366) * 86_400,
            ),
            chunk: Duration::from_secs(m.query("chunk-s", 60u64).clamp(5, 600)),
            silence: Duration::from_secs(m.query("silence-s", 300u64).clamp(10, 3_600)),
            repeated: m
                .path("repeated-events", "VMD")
                .split(',')
                .map(|c| c.trim().to_ascii_lowercase())
                .collect(),
            quiet: Duration::from_secs(m.query("quiet-s", 15u64).clamp(2, 600)),
            sessions: m.limits().playback_sessions.unwrap_or(1).max(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use dvrgate_model::Identity;

    use super::*;

    #[test]
    fn the_built_in_mapping_and_mistakes_in_others() {
        let text = include_str!("../../mappings/hikvision.toml");
        let p = Policy::new(&Mapping::parse("hikvision.toml", text).unwrap()).unwrap();
        assert_eq!((p.z, p.search, p.page, p.cap), (ZPolicy::Calibrate, None, 40, 4_000));
        assert_eq!((p.ends, p.sessions, p.log_categories.len()), (Ends::InclusiveSecond, 2, 4));
        let mistake = |line: &str| {
            let text = format!("schema = 1\nvendor = \"hikvision\"\n[policies]\n{line}\n");
            Policy::new(&Mapping::parse("m.toml", &text).unwrap()).unwrap_err().to_string()
        };
        assert!(mistake("zz = \"utc\"").contains("no policy \"zz\"; known are: z, search"));
        assert!(mistake("z = \"gmt\"").contains("use one of calibrate, local, utc"));
    }

    /// Which overlays apply to a model, what they change, and that the origin of a value is told.
    #[test]
    fn overlays_by_model_and_firmware() {
        use dvrgate_adapter::mapping::{Document, resolve};
        let documents = [
            ("hikvision.toml", include_str!("../../mappings/hikvision.toml")),
            ("hikvision.camera.toml", include_str!("../../mappings/hikvision.camera.toml")),
            (
                "hikvision.first-generation.toml",
                include_str!("../../mappings/hikvision.first-generation.toml"),
            ),
            (
                "hikvision.four-sessions.toml",
                include_str!("../../mappings/hikvision.four-sessions.toml"),
            ),
            (
                "hikvision.issued-files.toml",
                include_str!("../../mappings/hikvision.issued-files.toml"),
            ),
        ]
        .map(|(name, text)| Document::builtin(name, text));
        let of = |model: &str, firmware: &str| {
            let identity = Identity {
                model: model.to_owned(),
                firmware: firmware.to_owned(),
                ..Identity::default()
            };
            let m = resolve(&"hikvision".into(), &documents, Some(&identity)).unwrap();
            let p = Policy::new(&m).unwrap();
            let origin = |path: &str| {
                let found = m.explain().iter().find(|e| e.path == path);
                found.map(|e| e.origin.clone()).unwrap_or_default()
            };
            (
                p.sessions,
                p.window,
                p.silence.as_secs(),
                origin("limits.playback_sessions"),
                origin("policies.download-window"),
            )
        };
        let base = || "hikvision.toml".to_owned();
        assert_eq!(
            of("DS-7608NI-I2", "V4.30.085 build 200916"),
            (2, WindowPolicy::Auto, 300, base(), base())
        );
        assert_eq!(
            of("DS-2CD2185FWD-I", "V5.6.3 build 190923"),
            (1, WindowPolicy::Auto, 120, "hikvision.camera.toml".into(), base())
        );
        assert_eq!(
            of("DS-7216HVI-ST", "V2.2.10 build 130111"),
            (1, WindowPolicy::Auto, 300, "hikvision.first-generation.toml".into(), base())
        );
        assert_eq!(
            of("DS-7208HQHI-K1", "V4.30.061 build 210408"),
            (3, WindowPolicy::Auto, 300, "hikvision.four-sessions.toml".into(), base())
        );
        assert_eq!(
            of("DS-7608NI-K2/8P", "V4.40.015 build 210101"),
            (2, WindowPolicy::Issued, 300, base(), "hikvision.issued-files.toml".into())
        );
        assert_eq!(of("DS-7608NI-K2/8P", "V4.61.000").1, WindowPolicy::Auto);
    }
}
