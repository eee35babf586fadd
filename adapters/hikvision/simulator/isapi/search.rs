//! The recording index: paged search, and the calendar.

use std::sync::atomic::Ordering;

use dvrgate_model::{Civil, Codec, Reason};
use dvrgate_testkit::chassis::http::{Reply, Request};

use super::{Answer, Refusal, namespace, xml};
use crate::behaviour::{Behaviour, MatchCount, MoreMark, PlaybackHost, Profile};
use crate::recorder::{Item, Recorder};
use crate::text;

/// A search request; the page's position counts only under its misspelt name.
pub(super) struct Query {
    pub(super) leaves: Vec<(String, String)>,
    pub(super) id: String,
    pub(super) window: (Civil, Civil),
    pub(super) position: usize,
    pub(super) max_results: usize,
}

const DAY_US: i64 = 86_400_000_000;
/// Times from here on do not fit this firmware.
const YEAR_LIMIT: i16 = 2038;

impl Query {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let leaves = text::leaves(body).ok_or(Refusal::BAD_FORMAT)?;
        let get = |name: &str| leaves.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let time = |name: &str| get(name).and_then(text::read_time).ok_or(Refusal::BAD_CONTENT);
        let number = |name: &str, usual: usize| match get(name) {
            None => Ok(usual),
            Some(text) => text.parse().map_err(|_| Refusal::BAD_CONTENT),
        };
        let window = (time("startTime")?, time("endTime")?);
        if window.1 < window.0 || window.1.date().0 >= YEAR_LIMIT {
            return Err(Refusal::BAD_PARAMETERS);
        }
        Ok(Self {
            id: get("searchID").unwrap_or_default().to_owned(),
            window,
            position: number("searchResultPostion", 0)?,
            max_results: number("maxResults", 64)?,
            leaves,
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.leaves.iter().any(|(n, v)| n == name && !v.is_empty())
    }

    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.leaves.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }
}

pub(crate) fn search(r: &Recorder, request: &Request) -> Answer {
    let behaviour = r.behaviour();
    let query = Query::parse(&request.body)?;
    if behaviour.uuid_required && !is_uuid(&query.id) {
        return Err(Refusal::BAD_PARAMETERS);
    }
    if behaviour.max_results > 0 && query.max_results > behaviour.max_results {
        return Err(Refusal::BAD_PARAMETERS);
    }
    let now = r.label(r.now());
    if behaviour.refuse_future && query.window.1 > now.plus_us(60_000_000) {
        return Err(Refusal::BAD_PARAMETERS);
    }
    let width = query.window.1.micros_as_if_utc() - query.window.0.micros_as_if_utc();
    if behaviour.max_window_days > 0 && width > behaviour.max_window_days * DAY_US {
        r.counters.sin(format!("search window of {} days", width / DAY_US));
        if r.wide_searches.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            return Err(Refusal::TAG_13);
        }
    }
    let tracks: Vec<u32> = query.all("trackID").iter().filter_map(|t| t.parse().ok()).collect();
    let old = behaviour.profile == Profile::PsiaDvr;
    if behaviour.metadata_required && !old && !query.has("metadataDescriptor") {
        return Ok(results(&behaviour, &query, "NO MATCHES", 0, String::new()));
    }
    let mut items: Vec<(u32, Item)> = Vec::new();
    for track in tracks {
        let recorded = track % 100 == 1 || behaviour.record_sub_streams && track % 100 == 2;
        if recorded {
            let channel = (track / 100).min(u32::from(u16::MAX)) as u16;
            items.extend(r.items(channel, query.window).into_iter().map(|i| (track, i)));
        }
    }
    let total = items.len().min(behaviour.max_matches);
    let count = query.max_results.min(behaviour.page_size);
    let mut position = query.position.min(total);
    if behaviour.more == MoreMark::EndlessRepeat && position >= total {
        position = total.saturating_sub(count);
    }
    let page = &items[position..(position + count).min(total)];
    let left = total - position - page.len();
    let endless = behaviour.more != MoreMark::Right && total > 0;
    let status = match () {
        () if endless || left > 0 => "MORE",
        () if page.is_empty() => "NO MATCHES",
        () => "OK",
    };
    let matches = match behaviour.match_count {
        MatchCount::Page => page.len(),
        MatchCount::Total => total,
    };
    let list = page.iter().map(|(track, item)| item_text(r, &behaviour, *track, item, request));
    Ok(results(&behaviour, &query, status, matches, list.collect()))
}

fn results(b: &Behaviour, query: &Query, status: &str, matches: usize, list: String) -> Reply {
    let id = match b.profile {
        Profile::Nvr460 | Profile::Nvr50 => format!("{{{}}}", query.id.to_ascii_lowercase()),
        _ => query.id.clone(),
    };
    // Nothing found: some write nothing, some a blank.
    let list = match (list.is_empty(), b.profile) {
        (false, _) => format!("<matchList>\n{list}</matchList>\n"),
        (true, Profile::Dvr475) => "<matchList> </matchList>\n".to_owned(),
        (true, _) => String::new(),
    };
    xml(format!(
        "<CMSearchResult {}>\n<searchID>{}</searchID>\n<responseStatus>true</responseStatus>\n\
         <responseStatusStrg>{status}</responseStatusStrg>\n<numOfMatches>{matches}</numOfMatches>\n\
         {list}</CMSearchResult>\n",
        namespace(b.profile),
        text::escaped(&id)
    ))
}

fn item_text(r: &Recorder, b: &Behaviour, track: u32, item: &Item, request: &Request) -> String {
    let (start, end) = item.labels;
    let codec = match item.codec {
        Codec::H265 if !b.codec_lie => "H.265",
        _ => "H.264-BP",
    };
    let host = match b.playback_host {
        PlaybackHost::Wrong => "10.14.97.40".to_owned(),
        PlaybackHost::Own => match request.local.ip() {
            ip if ip.is_ipv6() => format!("[{ip}]"),
            ip => ip.to_string(),
        },
    };
    let prefix = if b.profile == Profile::PsiaDvr { "/PSIA/streaming" } else { "/Streaming" };
    let query = format!(
        "{}?{}starttime={}Z&amp;endtime={}Z&amp;name={}&amp;size={}",
        if b.slash_before_query { "/" } else { "" },
        if b.line_break_in_uri { "\n" } else { "" },
        text::compact(start),
        text::compact(end),
        item.name,
        item.size
    );
    format!(
        "<searchMatchItem>\n<sourceID>{{00000000-0000-0000-0000-000000000000}}</sourceID>\n\
         <trackID>{track}</trackID>\n<timeSpan>\n<startTime>{}</startTime>\n\
         <endTime>{}</endTime>\n</timeSpan>\n<mediaSegmentDescriptor>\n\
         <contentType>video</contentType>\n<codecType>{codec}</codecType>\n\
         <playbackURI>rtsp://{host}{prefix}/tracks/{track}{query}</playbackURI>\n\
         <lockStatus>unlock</lockStatus>\n<name>{}</name>\n</mediaSegmentDescriptor>\n\
         <metadataMatches>\n<metadataDescriptor>{}</metadataDescriptor>\n</metadataMatches>\n\
         </searchMatchItem>\n",
        r.written(start, item.range.start()),
        r.written(end, item.range.end()),
        item.name,
        metadata(b, item.reason),
    )
}

fn metadata(b: &Behaviour, reason: Reason) -> String {
    let kind = match reason {
        Reason::Continuous | Reason::Unknown => "timing",
        Reason::Motion => "motion",
        Reason::Alarm => "alarm",
        Reason::Event => "motionOrAlarm",
        Reason::Analytics => "smart",
        Reason::Manual => "manual",
    };
    match b.profile {
        _ if b.brandless => format!("recordType.meta..com/{kind}"),
        Profile::PsiaDvr => format!("recordType.meta.hikvision.com/{kind}"),
        Profile::Nvr430 => format!("//recordType.meta.std-cgi.com/{kind}"),
        _ => format!("recordType.meta.hikvision.com/{kind}"),
    }
}

fn is_uuid(text: &str) -> bool {
    let plain = text.trim_start_matches('{').trim_end_matches('}');
    plain.len() == 36
        && plain.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

pub(crate) fn calendar(r: &Recorder, track: &str, request: &Request) -> Answer {
    let track: u32 = track.parse().map_err(|_| Refusal::BAD_PARAMETERS)?;
    let leaves = text::leaves(&request.body).ok_or(Refusal::BAD_FORMAT)?;
    let number = |name: &str| {
        let found = leaves.iter().find(|(n, _)| n == name);
        found.and_then(|(_, v)| v.parse::<i16>().ok()).ok_or(Refusal::BAD_CONTENT)
    };
    let (year, month) = (number("year")?, number("monthOfYear")?);
    let first = u8::try_from(month)
        .ok()
        .and_then(|m| Civil::new(year, m, 1, 0, 0, 0, 0))
        .ok_or(Refusal::BAD_PARAMETERS)?;
    let channel = (track / 100).min(u32::from(u16::MAX)) as u16;
    let days = (27..31).take_while(|d| first.plus_us(d * DAY_US).date().1 == first.date().1);
    let days = days.last().map_or(28, |d| d + 1);
    let items = match track % 100 {
        1 => r.items(channel, (first, first.plus_us(days * DAY_US - 1))),
        _ => Vec::new(),
    };
    let mut list = String::new();
    for day in 0..days {
        let (from, to) = (first.plus_us(day * DAY_US), first.plus_us((day + 1) * DAY_US));
        let on_day: Vec<&Item> =
            items.iter().filter(|i| i.labels.0 < to && from < i.labels.1).collect();
        let kind = match on_day.iter().any(|i| i.reason == Reason::Continuous) {
            _ if on_day.is_empty() => String::new(),
            true => "<recordType>time</recordType>\n".to_owned(),
            false => "<recordType>event</recordType>\n".to_owned(),
        };
        list += &format!(
            "<day>\n<id>{0}</id>\n<dayOfMonth>{0}</dayOfMonth>\n<record>{1}</record>\n{kind}</day>\n",
            day + 1,
            !on_day.is_empty()
        );
    }
    let ns = namespace(r.behaviour().profile);
    Ok(xml(format!(
        "<trackDailyDistribution {ns}>\n<dayList>\n{list}</dayList>\n</trackDailyDistribution>\n"
    )))
}
