//! How this recorder behaves: a profile gives the defaults of a generation, every switch can be
//! turned on its own in the scenario's `[behaviour]`.

use dvrgate_model::{Error, Result};
use serde::{Deserialize, Serialize};

/// A generation of recorder or camera.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Profile {
    /// A DVR of about 2010: the old interface under `/PSIA`, Basic, no log, no calendar.
    #[serde(rename = "psia-dvr")]
    PsiaDvr,
    /// A DVR with coaxial inputs, firmware 4.75.
    #[default]
    #[serde(rename = "dvr-4.75")]
    Dvr475,
    /// An NVR, firmware 4.30.
    #[serde(rename = "nvr-4.30")]
    Nvr430,
    /// An NVR, firmware 4.60.
    #[serde(rename = "nvr-4.60")]
    Nvr460,
    /// An NVR, firmware 5.0.
    #[serde(rename = "nvr-5.0")]
    Nvr50,
    /// A camera with a card, firmware 5.2.
    #[serde(rename = "ipc-5.2")]
    Ipc52,
    /// A camera with a card, firmware 5.7: its `Z` is UTC.
    #[serde(rename = "ipc-5.7")]
    Ipc57,
}

impl Profile {
    /// Whether it is a camera of its own.
    pub fn is_camera(self) -> bool {
        matches!(self, Profile::Ipc52 | Profile::Ipc57)
    }

    /// Whether it can have coaxial inputs.
    pub fn has_analogue(self) -> bool {
        matches!(self, Profile::PsiaDvr | Profile::Dvr475)
    }
}

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }
    )+};
}

choices! {
    /// How a client proves itself over HTTP.
    HttpAuth {
        /// MD5 with qop.
        #[default]
        Digest,
        /// MD5 without qop, as early cameras.
        DigestWithoutQop,
        /// SHA-256 offered beside MD5.
        DigestSha256,
        /// Basic is taken as well as digest.
        DigestOrBasic,
        /// Basic alone.
        Basic,
        /// By cookie alone, as browsers do; the recorder keeps the password's hash only.
        Session,
        /// The same where the recorder keeps the password.
        SessionReversible,
    }
    /// What happens to Basic that nobody asked for.
    UnaskedBasic {
        /// Refused like a missing log-in.
        #[default]
        Refuse,
        /// No answer at all.
        Silence,
    }
    /// How a client proves itself over RTSP.
    RtspAuth {
        /// MD5 without qop.
        #[default]
        Digest,
        /// The same with a parameter that no standard knows.
        DigestWithRandom,
        /// Basic alone.
        Basic,
        /// Not at all.
        None,
    }
    /// What an unknown path gets.
    UnknownPath {
        /// 404.
        #[default]
        NotFound,
        /// The log-in page, with 200.
        Html,
        /// A refusal in XML under 200.
        RefusalUnderOk,
    }
    /// What `Z` means in searches, answers, playback URIs and SDP.
    ZoneMark {
        /// The recorder's wall clock.
        #[default]
        Local,
        /// UTC.
        Utc,
        /// Answers carry the wall clock with its offset instead.
        Offset,
    }
    /// How `localTime` is written.
    LocalTime {
        /// `2022-03-02T17:08:16+01:00`
        #[default]
        Offset,
        /// `2026-09-09T17:02:40`
        Plain,
        /// `2009-11-14T15:27Z`
        MinutesZ,
        /// `2016-12-24T18:59:49-8:00`
        OneDigitHour,
        /// `2021-04-06T18:04:2800:00`: the sign is lost.
        SignLost,
    }
    /// What a search lists.
    Listing {
        /// Each file.
        #[default]
        Files,
        /// Files that touch, as one.
        Merged,
    }
    /// How an answer says that there is more.
    MoreMark {
        /// Rightly.
        #[default]
        Right,
        /// `MORE` for ever, with the last page again.
        EndlessRepeat,
        /// `MORE` for ever, with nothing in it.
        EndlessEmpty,
    }
    /// What `numOfMatches` counts.
    MatchCount {
        /// The items of this page.
        #[default]
        Page,
        /// All items.
        Total,
    }
    /// Which address stands in a playback URI.
    PlaybackHost {
        /// The one the client used.
        Own,
        /// One behind some other network.
        #[default]
        Wrong,
    }
    /// Which names the log's fields have.
    LogFields {
        /// `StartDateTime`, `userName`, `additionInformation`
        #[default]
        Long,
        /// `time`, `panelUser`, `extraInfo`
        Short,
    }
    /// Which category prefix a log search must use.
    LogPrefix {
        /// Any.
        #[default]
        Any,
        /// `log.std-cgi.com`
        StdCgi,
        /// `log.hikvision.com`
        Hikvision,
    }
    /// At which RTSP request a recorder without free sessions says so.
    RefuseAt {
        /// DESCRIBE
        #[default]
        Describe,
        /// SETUP
        Setup,
    }
    /// What follows the end of the asked range.
    AfterEnd {
        /// Nothing, on an open connection.
        #[default]
        Silence,
        /// The footage that follows.
        RunsOn,
    }
    /// RTP time across a gap.
    GapTime {
        /// Jumps as the clock did.
        #[default]
        Jumps,
        /// Goes on as if there were none.
        GoesOn,
    }
    /// What a range without footage gets.
    NoFootage {
        /// 404
        #[default]
        NotFound,
        /// 400
        BadRequest,
        /// An answer and then nothing.
        Silence,
    }
    /// With which method footage is downloaded.
    DownloadMethod {
        /// POST
        #[default]
        Post,
        /// GET with a body
        Get,
        /// Either.
        Any,
    }
    /// What the other download method gets.
    WrongMethod {
        /// 403 with the reason.
        #[default]
        Refused,
        /// 200 with nothing.
        Empty,
    }
    /// Length of a download.
    ContentLength {
        /// Right.
        #[default]
        Right,
        /// Zero.
        Zero,
        /// None: the connection closes at the end.
        Absent,
    }
    /// What precedes the program stream of a download.
    Envelope {
        /// 64 bytes with the media header inside.
        #[default]
        Long,
        /// The media header of 40 bytes.
        MediaHeader,
        /// Nothing.
        None,
    }
    /// What keeps an alert stream alive.
    Heartbeat {
        /// A lost video that is not.
        #[default]
        VideoLoss,
        /// An event of its own.
        HeartBeat,
    }
    /// The boundary in the body of an alert stream against the one in its header.
    Boundary {
        /// The same.
        #[default]
        Same,
        /// The header names another.
        Other,
        /// The header's has the dashes already.
        Dashes,
    }
    /// Numbers of network cameras in events.
    EventChannels {
        /// 32 and the camera's place.
        #[default]
        From33,
        /// The channel's own.
        Same,
    }
}

/// All switches. See [`Behaviour::of`] for the defaults of a generation.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // the names say it; comments where they do not
pub struct Behaviour {
    pub profile: Profile,

    // log-in and transport
    pub http_auth: HttpAuth,
    pub unasked_basic: UnaskedBasic,
    pub rtsp_auth: RtspAuth,
    /// Wrong passwords until the lock; 0: never.
    pub lock_out_attempts: u32,
    pub lock_out_s: u64,
    /// More HTTP requests at one time are refused as busy.
    pub parallel_requests: usize,
    /// Every HTTP request takes at least so long.
    pub request_delay_ms: u64,
    pub keep_alive_s: u64,
    pub keep_alive_requests: u32,
    /// Each nonce is good for one request only.
    pub nonce_once: bool,
    pub unknown_path: UnknownPath,

    // identity and channels
    pub event_channels: EventChannels,
    /// Whether the status of network cameras can be asked.
    pub camera_status: bool,
    /// Channels that have no second stream.
    pub no_sub_stream: Vec<u16>,
    /// Whether names may hold a bare `&`.
    pub bare_ampersand: bool,

    // time
    pub zone_mark: ZoneMark,
    pub local_time: LocalTime,
    /// Verbatim, instead of the one made from the zone rule.
    pub zone_text: Option<String>,

    // search
    pub listing: Listing,
    pub page_size: usize,
    /// A larger `maxResults` is refused; 0: never.
    pub max_results: usize,
    /// More matches than this are not counted.
    pub max_matches: usize,
    pub uuid_required: bool,
    pub metadata_required: bool,
    pub more: MoreMark,
    pub match_count: MatchCount,
    /// Items are cut to the window.
    pub clip_to_window: bool,
    /// Windows that end in the recorder's future are refused.
    pub refuse_future: bool,
    /// Wider windows fail every other time; 0: never.
    pub max_window_days: i64,
    /// Labels of a file's start are this much late.
    pub seam_s: i64,
    pub playback_host: PlaybackHost,
    /// `tracks/101/?` instead of `tracks/101?`.
    pub slash_before_query: bool,
    pub line_break_in_uri: bool,
    /// `codecType` is always H.264.
    pub codec_lie: bool,
    /// Brand names are blanked in metadata descriptors.
    pub brandless: bool,
    pub calendar: bool,

    // log
    pub log: bool,
    pub log_prefix: LogPrefix,
    pub log_fields: LogFields,
    pub log_motion: bool,
    /// More entries are left out without a word.
    pub log_cap: usize,

    // playback
    /// Playback sessions and downloads at one time.
    pub playback_sessions: u64,
    pub refuse_at: RefuseAt,
    pub describe_delay_ms: u64,
    /// A session whose connection broke is kept so long.
    pub abandoned_s: u64,
    /// A session that was torn down is kept so long.
    pub teardown_ms: u64,
    /// Playback starts at a key picture at least this long before the asked time.
    pub preroll_ms: i64,
    pub after_end: AfterEnd,
    pub gap_time: GapTime,
    pub no_footage: NoFootage,
    pub pause: bool,
    /// Times the usual speed under `Rate-Control: no`.
    pub uncontrolled_speed: f64,
    /// Blanks in `Session` and `ssrc`, odd `Date`.
    pub odd_headers: bool,
    /// Private packets between those of pictures.
    pub private_packets: bool,
    /// Sub streams are recorded as well.
    pub record_sub_streams: bool,

    // download
    pub download: DownloadMethod,
    pub wrong_method: WrongMethod,
    pub content_length: ContentLength,
    pub envelope: Envelope,
    /// A window of the client's own making is refused.
    pub issued_uris_only: bool,
    /// Bytes per second; 0: as fast as it goes.
    pub download_rate: u64,
    /// Every download fails until the recorder is restarted.
    pub download_broken: bool,
    /// Pictures are encrypted.
    pub encrypted: bool,

    // events
    pub alert_streams: usize,
    pub heartbeat: Heartbeat,
    pub heartbeat_ms: u64,
    pub boundary: Boundary,
    pub bare_line_feeds: bool,
    pub wrong_part_length: bool,
    /// Parts arrive in scraps of so many bytes; 0: whole.
    pub scraps: usize,
    /// An event's first part is followed by a picture.
    pub picture_parts: bool,
    /// A part in JSON that nobody asked for comes with every heartbeat.
    pub json_parts: bool,
    /// The end of an event is told.
    pub inactive_told: bool,
    /// Events come with their network camera's number only in `dynChannelID`.
    pub dynamic_channel_only: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self::of(Profile::default())
    }
}

impl Behaviour {
    /// The defaults of a generation.
    pub fn of(profile: Profile) -> Self {
        use Profile::*;
        let old = profile == PsiaDvr;
        let camera = profile.is_camera();
        Self {
            profile,
            http_auth: match profile {
                PsiaDvr => HttpAuth::Basic,
                Ipc52 => HttpAuth::DigestWithoutQop,
                Nvr50 | Ipc57 => HttpAuth::DigestSha256,
                _ => HttpAuth::Digest,
            },
            unasked_basic: UnaskedBasic::default(),
            rtsp_auth: if old { RtspAuth::Basic } else { RtspAuth::Digest },
            lock_out_attempts: if old { 0 } else { 5 },
            lock_out_s: 1_800,
            parallel_requests: 4,
            request_delay_ms: 0,
            keep_alive_s: 10,
            keep_alive_requests: 99,
            nonce_once: false,
            unknown_path: if old { UnknownPath::NotFound } else { UnknownPath::Html },
            event_channels: EventChannels::default(),
            camera_status: true,
            no_sub_stream: Vec::new(),
            bare_ampersand: profile == Dvr475,
            zone_mark: if camera { ZoneMark::Utc } else { ZoneMark::Local },
            local_time: if profile == Dvr475 { LocalTime::Plain } else { LocalTime::Offset },
            zone_text: None,
            listing: if profile == Dvr475 { Listing::Merged } else { Listing::Files },
            page_size: 40,
            max_results: if profile == Nvr430 { 50 } else { 0 },
            max_matches: 4_000,
            uuid_required: profile == Dvr475,
            metadata_required: profile == Dvr475,
            more: MoreMark::default(),
            match_count: MatchCount::default(),
            clip_to_window: profile == Nvr430,
            refuse_future: profile == Nvr460,
            max_window_days: 31,
            seam_s: 0,
            playback_host: PlaybackHost::default(),
            slash_before_query: profile != Nvr430,
            line_break_in_uri: profile == Nvr460,
            codec_lie: true,
            brandless: profile == Nvr460,
            calendar: !old && profile != Ipc52,
            log: !old,
            log_prefix: LogPrefix::default(),
            log_fields: if profile == Nvr50 { LogFields::Short } else { LogFields::Long },
            log_motion: true,
            log_cap: 2_000,
            playback_sessions: if old { 1 } else { 4 },
            refuse_at: RefuseAt::default(),
            describe_delay_ms: 0,
            abandoned_s: 60,
            teardown_ms: 0,
            preroll_ms: 0,
            after_end: AfterEnd::default(),
            gap_time: GapTime::default(),
            no_footage: NoFootage::default(),
            pause: !camera,
            uncontrolled_speed: 8.4,
            odd_headers: true,
            private_packets: false,
            record_sub_streams: false,
            download: match profile {
                Nvr430 | Ipc52 => DownloadMethod::Get,
                Dvr475 => DownloadMethod::Any,
                _ => DownloadMethod::Post,
            },
            wrong_method: if profile == Ipc52 { WrongMethod::Empty } else { WrongMethod::Refused },
            content_length: ContentLength::default(),
            envelope: match profile {
                Nvr460 | Nvr50 => Envelope::Long,
                Ipc52 | Ipc57 => Envelope::None,
                _ => Envelope::MediaHeader,
            },
            issued_uris_only: false,
            download_rate: 0,
            download_broken: false,
            encrypted: false,
            alert_streams: if old { 0 } else { 4 },
            heartbeat: if profile == Nvr50 { Heartbeat::HeartBeat } else { Heartbeat::VideoLoss },
            heartbeat_ms: if camera { 300 } else { 9_500 },
            boundary: Boundary::default(),
            bare_line_feeds: false,
            wrong_part_length: false,
            scraps: 0,
            picture_parts: false,
            json_parts: false,
            inactive_told: false,
            dynamic_channel_only: false,
        }
    }

    /// The scenario's `[behaviour]` over the defaults of the profile it names.
    pub fn parse(table: &toml::Table) -> Result<Self> {
        let bad = |e: toml::de::Error| {
            Error::invalid(format!("scenario, [behaviour]: {}", e.message())).because(e)
        };
        let named: Self = table.clone().try_into().map_err(bad)?;
        let mut whole = toml::Table::try_from(Self::of(named.profile))
            .map_err(|e| Error::internal("behaviour as TOML").because(e))?;
        whole.extend(table.clone());
        whole.try_into().map_err(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_stand_over_the_profile() {
        let table = toml::from_str("profile = \"ipc-5.7\"\npage_size = 7\nlisting = \"merged\"");
        let behaviour = Behaviour::parse(&table.unwrap()).unwrap();
        assert_eq!(behaviour.zone_mark, ZoneMark::Utc);
        assert_eq!((behaviour.page_size, behaviour.listing), (7, Listing::Merged));
        assert_eq!(Behaviour::parse(&toml::Table::new()).unwrap(), Behaviour::default());
        for wrong in ["pagesize = 7", "profile = \"dvr-9\"", "listing = \"all\""] {
            assert!(Behaviour::parse(&toml::from_str(wrong).unwrap()).is_err());
        }
    }
}
