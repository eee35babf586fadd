//! Dialogues that no simulated recorder has, over transcripts.

use std::sync::Arc;

use ::tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use dvrgate_adapter::transport::tokio::SystemClock;
use dvrgate_adapter::transport::transcript::{Exchange, Transcript};
use dvrgate_adapter::{
    Adapter, ControlRequest, Cx, DeviceSettings, EventQuery, Mapping, OldestQuery, OldestSupport,
    Priority, SegmentQuery,
};
use dvrgate_model::ports::Clock as _;
use dvrgate_model::{ChannelId, Civil, ErrorKind, Retry, SourceRange, StreamKind, ZoneTrust};
use http::{Method, StatusCode};

use crate::wire::datetime;

const INFO: &[u8] = include_bytes!("fixtures/device_info_dvr.xml");
const ABSENT: &[u8] = include_bytes!("fixtures/response_status_not_support.xml");
const SEARCH: &str = "/ISAPI/ContentMgmt/search";
const NOTHING: &str = "<CMSearchResult><responseStatus>true</responseStatus>\
    <responseStatusStrg>NO MATCHES</responseStatusStrg><numOfMatches>0</numOfMatches></CMSearchResult>";

fn adapter(policy: &str) -> Arc<dyn Adapter> {
    let text = format!("schema = 1\nvendor = \"hikvision\"\n[policies]\nz = \"local\"\n{policy}");
    let settings = DeviceSettings {
        id: "yard".into(),
        url: "http://192.0.2.1".parse().unwrap(),
        rtsp: None,
        username: "viewer".into(),
        password: "secret".into(),
        zone: None,
    };
    let mapping = Mapping::parse("test.toml", &text).unwrap();
    crate::connector().connect(settings, Arc::new(mapping)).unwrap()
}

fn cx(transcript: &Arc<Transcript>) -> Cx {
    Cx {
        transports: Arc::clone(transcript) as _,
        deadline: None,
        priority: Priority::Backfill,
        clock: Arc::new(SystemClock),
    }
}

fn script(exchanges: Vec<Exchange>) -> Arc<Transcript> {
    Arc::new(Transcript::new(exchanges))
}

fn info() -> Exchange {
    Exchange::ok(Method::GET, "/ISAPI/System/deviceInfo", INFO)
}

/// The device's clock is ours.
fn clock() -> Exchange {
    let now = datetime::write(now());
    let body = format!(
        "<Time><localTime>{}</localTime><timeZone>CST-0:00:00</timeZone></Time>",
        now.trim_end_matches('Z')
    );
    Exchange::ok(Method::GET, "/ISAPI/System/time", body)
}

fn now() -> Civil {
    Civil::from_micros_as_if_utc(SystemClock.utc().micros())
}

fn query(hours_ago: i64) -> SegmentQuery {
    let start = now().plus_us(-hours_ago * 3_600_000_000);
    SegmentQuery {
        channel: ChannelId(1),
        stream: StreamKind::Main,
        window: SourceRange::new(start, start.plus_us(3_600_000_000)),
        cursor: None,
    }
}

#[tokio::test]
async fn the_interface_is_looked_for_in_all_flavours() {
    let page = "<html><body>log in</body></html>";
    let t = script(vec![
        Exchange::ok(Method::GET, "/ISAPI/System/deviceInfo", page),
        Exchange::status(Method::GET, "/System/deviceInfo", StatusCode::NOT_FOUND, ""),
        Exchange::ok(Method::GET, "/PSIA/System/deviceInfo", INFO),
        Exchange::ok(
            Method::GET,
            "/PSIA/System/time",
            "<Time><localTime>2026-01-01T00:00:00</localTime></Time>",
        ),
    ]);
    let a = adapter("");
    let reading = a.clock(&cx(&t)).await.unwrap();
    assert_eq!((reading.trust, reading.zone), (ZoneTrust::WallClock, None));
    assert!(!a.capabilities().events.offered, "that generation has no log");
    assert_eq!(t.left(), 0);
}

#[tokio::test]
async fn a_web_server_of_somebody_else_is_told_with_a_remedy() {
    let t = script(
        ["/ISAPI/System/deviceInfo", "/System/deviceInfo", "/PSIA/System/deviceInfo"]
            .map(|p| Exchange::status(Method::GET, p, StatusCode::NOT_FOUND, ""))
            .into(),
    );
    let e = adapter("").identify(&cx(&t)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.to_string().contains("check address and port"), "{e}");
}

#[tokio::test]
async fn a_lock_is_seen_before_any_log_in() {
    let t = script(vec![]);
    let (ours, mut theirs) = ::tokio::io::duplex(4_096);
    t.connection(Box::new(ours));
    let device = async {
        let mut asked = [0; 256];
        let n = theirs.read(&mut asked).await.unwrap();
        let asked = String::from_utf8_lossy(&asked[..n]).into_owned();
        assert!(!asked.to_ascii_lowercase().contains("authorization"), "{asked}");
        let body = include_str!("fixtures/user_check_locked.xml");
        theirs
            .write_all(format!("HTTP/1.1 401 Unauthorized\r\n\r\n{body}").as_bytes())
            .await
            .unwrap();
    };
    let (a, cx) = (adapter(""), cx(&t));
    let (answer, ()) = ::tokio::join!(a.identify(&cx), device);
    let e = answer.unwrap_err();
    assert_eq!((e.kind(), e.retry()), (ErrorKind::Unauthenticated, Retry::Never));
    assert!(e.to_string().contains("locked this user out for 1740 s"), "{e}");
    assert!(t.sent().is_empty(), "nothing was sent with a password");
}

#[tokio::test]
async fn a_search_is_asked_in_the_style_that_is_understood() {
    let refusal = "<ResponseStatus><statusCode>6</statusCode><subStatusCode>badXmlContent</subStatusCode></ResponseStatus>";
    let item = |end: &str| {
        format!(
            "<CMSearchResult><responseStatusStrg>OK</responseStatusStrg><matchList><searchMatchItem>\
             <trackID>101</trackID><timeSpan><startTime>{0}</startTime><endTime>{end}</endTime></timeSpan>\
             <mediaSegmentDescriptor><playbackURI>rtsp://h/Streaming/tracks/101?starttime=a&amp;endtime=b&amp;name=n</playbackURI>\
             </mediaSegmentDescriptor></searchMatchItem></matchList></CMSearchResult>",
            datetime::write(query(5).window.start),
        )
    };
    let end = datetime::write(query(5).window.end);
    let t = script(vec![
        info(),
        clock(),
        Exchange::status(Method::POST, SEARCH, StatusCode::BAD_REQUEST, refusal),
        Exchange::ok(Method::POST, SEARCH, item(&end)),
        Exchange::ok(Method::POST, SEARCH, item(&end)),
    ]);
    let a = adapter("");
    for _ in 0..2 {
        assert_eq!(a.list_segments(&cx(&t), query(5)).await.unwrap().items.len(), 1);
    }
    let bodies: Vec<_> =
        t.sent().iter().map(|r| String::from_utf8_lossy(&r.body).into_owned()).collect();
    assert!(bodies[2].contains("<trackList>"));
    assert!(bodies[3].contains("<trackIDList>") && bodies[4].contains("<trackIDList>"));
}

#[tokio::test]
async fn months_without_footage_cost_one_request() {
    let calendar = "/ISAPI/ContentMgmt/record/tracks/101/dailyDistribution";
    let empty = "<trackDailyDistribution><dayList/></trackDailyDistribution>";
    // A window may touch two months.
    let t = script(vec![
        info(),
        clock(),
        Exchange::ok(Method::POST, calendar, empty),
        Exchange::ok(Method::POST, calendar, empty),
    ]);
    let a = adapter("");
    for hours in (24 * 95..24 * 95 + 5).rev() {
        let page = a.list_segments(&cx(&t), query(hours)).await.unwrap();
        assert!(page.items.is_empty() && page.next.is_none() && !page.capped);
    }
    assert!(t.sent().len() <= 4);
}

/// A stretch of nine months, long ago; months are asked for from its end on.
fn months(stream: StreamKind) -> OldestQuery {
    let at = |text: &str| Civil::parse_prefix(text).unwrap().0;
    let window = SourceRange::new(at("2023-07-01T00:00:00"), at("2024-03-15T12:00:00"));
    OldestQuery { channel: ChannelId(1), stream, window }
}

fn calendar(track: u32, days: &[u8]) -> Exchange {
    let day = |d| format!("<day><dayOfMonth>{d}</dayOfMonth><record>true</record></day>");
    let days: String = days.iter().map(day).collect();
    let body =
        format!("<trackDailyDistribution><dayList>{days}</dayList></trackDailyDistribution>");
    let path = format!("/ISAPI/ContentMgmt/record/tracks/{track}/dailyDistribution");
    Exchange::ok(Method::POST, &path, body)
}

#[tokio::test]
async fn footage_begins_after_the_first_empty_month() {
    let (none, some): (&[u8], &[u8]) = (&[], &[28, 31]);
    // March may only have begun.
    for (first, begins) in [(none, "2024-01-28T00:00:00"), (&[15, 16], "2024-01-28T00:00:00")] {
        let year = [first, &[1], some, none].map(|days| calendar(101, days));
        let t = script([info(), clock()].into_iter().chain(year).collect());
        let a = adapter("");
        let oldest = a.oldest(&cx(&t), months(StreamKind::Main)).await.unwrap().unwrap();
        assert_eq!(oldest.to_string(), begins);
        let asked = String::from_utf8_lossy(&t.sent()[5].body).into_owned();
        assert!(asked.contains("2023") && asked.contains("12"), "{asked}");
        // What is known is not asked again.
        assert_eq!(a.oldest(&cx(&t), months(StreamKind::Main)).await.unwrap(), Some(oldest));
        assert_eq!(t.left(), 0);
    }
    // A day after the end of the window does not count, and two empty months are enough.
    let t = script(vec![info(), clock(), calendar(101, &[16]), calendar(101, none)]);
    assert_eq!(adapter("").oldest(&cx(&t), months(StreamKind::Main)).await.unwrap(), None);
    // Nor is anything asked before the window.
    let year = (0..9).map(|_| calendar(101, some));
    let t = script([info(), clock()].into_iter().chain(year).collect());
    let oldest = adapter("").oldest(&cx(&t), months(StreamKind::Main)).await.unwrap().unwrap();
    assert_eq!((oldest.to_string().as_str(), t.left()), ("2023-07-28T00:00:00", 0));
}

#[tokio::test]
async fn without_a_calendar_nothing_tells_where_footage_begins() {
    let path = "/ISAPI/ContentMgmt/record/tracks/101/dailyDistribution";
    let refused = |p: &str| Exchange::status(Method::POST, p, StatusCode::FORBIDDEN, ABSENT);
    // A sub stream may lack one that the main stream has.
    let t = script(vec![
        info(),
        clock(),
        refused(&path.replace("101", "102")),
        calendar(101, &[3]),
        calendar(101, &[]),
        refused(path),
    ]);
    let a = adapter("");
    let ask = async |query| a.oldest(&cx(&t), query).await;
    assert_eq!(ask(months(StreamKind::Sub)).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(ask(months(StreamKind::Main)).await.unwrap().is_some());
    assert_eq!(a.capabilities().segments.oldest, OldestSupport::Likely);
    let mut earlier = months(StreamKind::Main);
    earlier.window.end = earlier.window.end.plus_us(-90 * 86_400_000_000);
    assert_eq!(ask(earlier).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(a.capabilities().segments.oldest, OldestSupport::No);
}

#[tokio::test]
async fn a_window_that_is_too_wide_is_halved() {
    let odd = "<ResponseStatus><statusCode>3</statusCode><subStatusCode>deviceError</subStatusCode>\
        <errorMsg>Tag 13 is invalid (two root tags)</errorMsg></ResponseStatus>";
    let t = script(vec![
        info(),
        clock(),
        Exchange::status(Method::POST, SEARCH, StatusCode::INTERNAL_SERVER_ERROR, odd),
    ]);
    let page = adapter("").list_segments(&cx(&t), query(5)).await.unwrap();
    assert!(page.capped && page.items.is_empty());
}

#[tokio::test]
async fn a_busy_device_is_asked_again_later() {
    let busy = "<ResponseStatus><statusCode>2</statusCode><statusString>Device Busy</statusString></ResponseStatus>";
    let t = script(vec![
        info(),
        clock(),
        Exchange::status(Method::POST, SEARCH, StatusCode::SERVICE_UNAVAILABLE, busy),
    ]);
    let e = adapter("").list_segments(&cx(&t), query(5)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Busy);
    assert!(matches!(e.retry(), Retry::Later(_)));
    assert_eq!(e.op(), "list_segments");
}

#[tokio::test]
async fn a_device_without_log_is_not_asked_twice() {
    let log = "/ISAPI/ContentMgmt/logSearch";
    let refused = || Exchange::status(Method::POST, log, StatusCode::FORBIDDEN, ABSENT);
    let t = script(vec![info(), clock(), refused(), refused()]);
    let a = adapter("");
    let events = EventQuery { window: query(5).window, cursor: None };
    let e = a.list_events(&cx(&t), events).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(!a.capabilities().events.offered);
}

#[tokio::test]
async fn the_last_spelling_of_a_category_is_found() {
    let log = "/ISAPI/ContentMgmt/logSearch";
    let entry = format!(
        "<CMSearchResult><responseStatusStrg>OK</responseStatusStrg><matchList><searchMatchItem>\
         <logDescriptor><metaId>log.hikvision.com/Infomation/startRec/1</metaId><StartDateTime>{}</StartDateTime>\
         </logDescriptor></searchMatchItem></matchList></CMSearchResult>",
        datetime::write(query(5).window.start.plus_us(60_000_000)).trim_end_matches('Z'),
    );
    let t = script(vec![
        info(),
        clock(),
        Exchange::ok(Method::POST, log, NOTHING),
        Exchange::ok(Method::POST, log, entry),
    ]);
    let a = adapter("[paths]\nlog-categories = \"Information\"\n");
    let events = EventQuery { window: query(5).window, cursor: None };
    let page = a.list_events(&cx(&t), events).await.unwrap();
    assert_eq!((&*page.items[0].code, page.items[0].active), ("startRec", Some(true)));
    let asked = String::from_utf8_lossy(&t.sent()[3].body).into_owned();
    assert!(asked.contains("<metaId>log.std-cgi.com/Infomation</metaId>"), "{asked}");
}

#[tokio::test]
async fn recording_by_hand() {
    let path = "/ISAPI/ContentMgmt/record/control/manual/start/tracks/301";
    let ok = "<ResponseStatus><statusCode>1</statusCode><statusString>OK</statusString></ResponseStatus>";
    let t = script(vec![info(), Exchange::ok(Method::POST, path, ok)]);
    let request = ControlRequest { channel: ChannelId(3), record: true };
    let state = adapter("").control(&cx(&t), request).await.unwrap();
    assert!(state.recording);
}

#[test]
fn addresses_and_policies_are_checked_when_connecting() {
    let settings = |url: &str| DeviceSettings {
        id: "yard".into(),
        url: url.parse().unwrap(),
        rtsp: None,
        username: String::new(),
        password: String::new(),
        zone: None,
    };
    let connect = |url: &str| {
        let mapping = Arc::new(Mapping::default());
        crate::connector().connect(settings(url), mapping).err().map(|e| e.to_string())
    };
    assert_eq!(connect("http://192.0.2.1:8080"), None);
    assert!(connect("rtsp://192.0.2.1").unwrap().contains("is written http://host"));
}

#[test]
fn banners() {
    let score = |server: &str, realm: &str| {
        crate::connector().recognise(&dvrgate_adapter::Banner {
            server: server.into(),
            realm: realm.into(),
            ..Default::default()
        })
    };
    assert!(score("DNVRS-Webs", "") > score("App-webs/", ""));
    assert!(score("", "dvr-realm") > 0 && score("", "IP Camera(C2183)") > 0);
    assert_eq!(score("nginx", "Restricted"), 0);
}
