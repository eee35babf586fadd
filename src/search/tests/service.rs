//! The search service through its host, over the index in memory.
#![allow(clippy::unwrap_used)] // a test may

use std::sync::Arc;

use dvrgate_index::sample::{self, at};
use dvrgate_model::Utc;
use dvrgate_search::service;
use dvrgate_soap::testing::Client;
use dvrgate_soap::{Element, ns};
use dvrgate_testkit::SimulatedClock;

fn utc(text: &str) -> Utc {
    text.parse().unwrap()
}

/// Of the service over the sample, two hours later.
async fn client() -> Client {
    let clock = Arc::new(SimulatedClock::frozen_at(at(120)));
    Client::new(service(sample::yard().await.unwrap(), clock.clone()), clock)
}

async fn find(client: &Client, operation: &str, content: &str) -> Result<String, String> {
    let found = client.ask(operation, content).await?;
    Ok(found.child_text(ns::TSE, "SearchToken").unwrap().into_owned())
}

/// One result page: the state and the results.
async fn page(
    client: &Client,
    operation: &str,
    token: &str,
    max: &str,
) -> Result<(String, Vec<Element>), String> {
    let content =
        format!("<tse:SearchToken>{token}</tse:SearchToken>{max}<tse:WaitTime>PT5S</tse:WaitTime>");
    let answer = client.ask(operation, &content).await?;
    let list = answer.child(ns::TSE, "ResultList").unwrap();
    let state = list.child_text(ns::TT, "SearchState").unwrap().into_owned();
    Ok((state, list.elements().skip(1).cloned().collect()))
}

fn recordings_query(filter: &str) -> String {
    format!("<tse:Scope>{filter}</tse:Scope><tse:KeepAliveTime>PT10S</tse:KeepAliveTime>")
}

async fn tokens(client: &Client, scope: &str) -> Result<Vec<String>, String> {
    let token = find(client, "FindRecordings", &recordings_query(scope)).await?;
    let (state, found) = page(client, "GetRecordingSearchResults", &token, "").await?;
    assert_eq!(state, "Completed");
    Ok(found.iter().map(|r| r.child_text(ns::TT, "RecordingToken").unwrap().into_owned()).collect())
}

/// R6.2.4-1, R6.2.4-2, R6.18-9, R6.7-1, R6.7-5, R6.7-6, R6.8-7, R6.8-8, R6.18-1
#[tokio::test]
async fn a_scope_is_a_union_refined_by_its_filter() {
    let client = client().await;
    let filter =
        |f: &str| format!("<tt:RecordingInformationFilter>{f}</tt:RecordingInformationFilter>");
    assert_eq!(tokens(&client, "").await.unwrap(), ["yard-1", "yard-2"]);
    let one = "<tt:IncludedRecordings>yard-2</tt:IncludedRecordings>";
    assert_eq!(tokens(&client, one).await.unwrap(), ["yard-2"]);
    let source = "<tt:IncludedSources><tt:Token>urn:yard:1</tt:Token></tt:IncludedSources>";
    assert_eq!(tokens(&client, source).await.unwrap(), ["yard-1"]);
    assert_eq!(tokens(&client, &format!("{source}{one}")).await.unwrap(), ["yard-1", "yard-2"]);
    let video = filter("boolean(//Track[TrackType = \"Video\"])");
    assert_eq!(tokens(&client, &video).await.unwrap(), ["yard-1"], "only tracks with data count");
    let tail = filter(
        "boolean(//Track[TrackType = \"Audio\"]),2016-12-06T08:07:43Z,99999999,20,99999999,20",
    );
    assert_eq!(tokens(&client, &tail).await.unwrap(), ["yard-1"]);
    assert_eq!(tokens(&client, &format!("{one}{video}")).await.unwrap(), [""; 0]);
    let unknown = "<tt:IncludedRecordings>nobody</tt:IncludedRecordings>";
    assert_eq!(tokens(&client, unknown).await.unwrap_err(), "ter:InvalidToken");
    let unknown = "<tt:IncludedSources><tt:Token>nobody</tt:Token></tt:IncludedSources>";
    assert_eq!(tokens(&client, unknown).await.unwrap_err(), "ter:InvalidSource");
    for bad in ["((", "garbage", "count(//Track) &gt; 1", "boolean(//Track"] {
        assert_eq!(tokens(&client, &filter(bad)).await.unwrap_err(), "ter:InvalidArgVal", "{bad}");
    }
    let twice = filter("boolean(//Track[TrackType=\"Video\"][Description=\"\"])");
    assert_eq!(tokens(&client, &twice).await.unwrap(), ["yard-1"]);
}

/// R6.7-1, R6.9-1, R6.2.4-1: what clients send against the schema: children in the namespace of the
/// service or in none, seconds for a duration, nothing where something is required.
#[tokio::test]
async fn lenient_where_the_meaning_is_not_in_doubt() {
    let client = client().await;
    let one = "<tse:Scope><tse:IncludedRecordings>yard-2</tse:IncludedRecordings></tse:Scope>";
    let bare = "<Scope><IncludedRecordings>yard-2</IncludedRecordings></Scope>";
    for (query, count) in [
        ("", 2),
        ("<tse:Scope/>", 2),
        ("<tse:Scope/><tse:KeepAliveTime>30</tse:KeepAliveTime>", 2),
        (one, 1),
        (bare, 1),
    ] {
        let token = find(&client, "FindRecordings", query).await.unwrap();
        let (state, found) = page(&client, "GetRecordingSearchResults", &token, "").await.unwrap();
        assert_eq!((state.as_str(), found.len()), ("Completed", count), "{query}");
    }
    let foreign =
        "<tse:Scope><wsnt:IncludedRecordings>yard-2</wsnt:IncludedRecordings></tse:Scope>";
    let token = find(&client, "FindRecordings", foreign).await.unwrap();
    let (_, found) = page(&client, "GetRecordingSearchResults", &token, "").await.unwrap();
    assert_eq!(found.len(), 2, "an extension of somebody else is ignored");
    let start = format!("<tse:StartPoint>{}</tse:StartPoint>", at(0));
    assert_eq!(events(&client, &start).await.unwrap().len(), 9);
    let odd = "<tse:KeepAliveTime>a while</tse:KeepAliveTime>";
    assert_eq!(find(&client, "FindRecordings", odd).await.unwrap_err(), "ter:InvalidArgs");
}

/// R6.3.1-1, R6.3.1-2, R6.3.1-3, R6.3.1-5, R6.3.1-6, R6.3.2-1, R6.3.3-1, R6.3.3-3, R6.5-1, R6.5-2, R6.5-3
#[tokio::test]
async fn information_is_the_same_wherever_it_is_asked() {
    let client = client().await;
    let query = "<tse:RecordingToken>yard-1</tse:RecordingToken>";
    let answer = client.ask("GetRecordingInformation", query).await.unwrap();
    let info = answer.child(ns::TSE, "RecordingInformation").unwrap();
    let text = |e: &Element, n: &str| e.child_text(ns::TT, n).map(|t| t.into_owned());
    assert_eq!(text(info, "EarliestRecording").as_deref(), Some("2026-11-25T10:00:00Z"));
    assert_eq!(text(info, "LatestRecording").as_deref(), Some("2026-11-25T10:30:00Z"));
    assert_eq!(text(info, "RecordingStatus").as_deref(), Some("Stopped"));
    let tracks: Vec<_> = info.children(ns::TT, "Track").collect();
    assert_eq!(tracks.len(), 2);
    assert_eq!(text(tracks[1], "DataTo").as_deref(), Some("2026-11-25T10:10:00Z"));
    let source = info.child(ns::TT, "Source").unwrap();
    assert_eq!(source.elements().count(), 5);

    let token = find(&client, "FindRecordings", &recordings_query("")).await.unwrap();
    let (_, found) = page(&client, "GetRecordingSearchResults", &token, "").await.unwrap();
    let same = found[0].clone().renamed(ns::TSE, "RecordingInformation");
    assert_eq!(same.to_xml(), info.to_xml());
    assert_eq!(text(&found[1], "RecordingStatus").as_deref(), Some("Initiated"));
    assert_eq!(text(&found[1], "EarliestRecording"), None);

    let nobody = "<tse:RecordingToken>nobody</tse:RecordingToken>";
    assert_eq!(
        client.ask("GetRecordingInformation", nobody).await.unwrap_err(),
        "ter:InvalidToken"
    );
}

/// R6.1-2, R6.2.3-4, R6.3.4-1, R6.7-2, R6.8-1, R6.8-2, R6.8-5, R6.8-6, R6.15-1, R6.15-3, R6.15-4
#[tokio::test]
async fn results_come_in_pages_and_the_last_one_ends_the_session() {
    let client = client().await;
    let results = "GetRecordingSearchResults";
    let token = find(&client, "FindRecordings", &recordings_query("")).await.unwrap();
    let one = "<tse:MinResults>5</tse:MinResults><tse:MaxResults>1</tse:MaxResults>";
    let (state, first) = page(&client, results, &token, one).await.unwrap();
    assert_eq!((state.as_str(), first.len()), ("Searching", 1));
    let (state, second) = page(&client, results, &token, one).await.unwrap();
    assert_eq!((state.as_str(), second.len()), ("Completed", 1));
    assert_ne!(first[0].to_xml(), second[0].to_xml());
    assert_eq!(page(&client, results, &token, one).await.unwrap_err(), "ter:InvalidToken");

    // Out of range is adapted, not refused.
    let token = find(&client, "FindRecordings", &recordings_query("")).await.unwrap();
    let odd = format!(
        "<tse:SearchToken>{token}</tse:SearchToken><tse:MinResults>-3</tse:MinResults>\
         <tse:MaxResults>0</tse:MaxResults><tse:WaitTime>-PT5S</tse:WaitTime>"
    );
    assert!(client.ask(results, &odd).await.is_ok());

    let limited = "<tse:Scope/><tse:MaxMatches>1</tse:MaxMatches><tse:KeepAliveTime>PT10S</tse:KeepAliveTime>".to_string();
    let token = find(&client, "FindRecordings", &limited).await.unwrap();
    assert_eq!(
        page(&client, "GetEventSearchResults", &token, "").await.unwrap_err(),
        "ter:InvalidToken"
    );
    let (state, found) = page(&client, results, &token, "").await.unwrap();
    assert_eq!((state.as_str(), found.len()), ("Completed", 1));

    let token = find(&client, "FindRecordings", &recordings_query("")).await.unwrap();
    let end = format!("<tse:SearchToken>{token}</tse:SearchToken>");
    let ended = client.ask("EndSearch", &end).await.unwrap();
    assert!(ended.child(ns::TSE, "Endpoint").is_some());
    assert_eq!(client.ask("EndSearch", &end).await.unwrap_err(), "ter:InvalidToken");
    assert_eq!(page(&client, results, &token, "").await.unwrap_err(), "ter:InvalidToken");
}

fn events_query(from: Utc, to: Option<Utc>, filter: &str, start_state: bool) -> String {
    let end = to.map_or(String::new(), |t| format!("<tse:EndPoint>{t}</tse:EndPoint>"));
    format!(
        "<tse:StartPoint>{from}</tse:StartPoint>{end}<tse:Scope><tt:IncludedRecordings>yard-1\
         </tt:IncludedRecordings></tse:Scope><tse:SearchFilter>{filter}</tse:SearchFilter>\
         <tse:IncludeStartState>{start_state}</tse:IncludeStartState>\
         <tse:KeepAliveTime>PT10S</tse:KeepAliveTime>"
    )
}

/// Time, topic, last data value and start state of each result, over pages of two.
async fn events(
    client: &Client,
    query: &str,
) -> Result<Vec<(String, String, String, bool)>, String> {
    let token = find(client, "FindEvents", query).await?;
    let mut all = Vec::new();
    loop {
        let max = "<tse:MaxResults>2</tse:MaxResults>";
        let (state, found) = page(client, "GetEventSearchResults", &token, max).await?;
        for result in &found {
            let time = result.child_text(ns::TT, "Time").unwrap().into_owned();
            let event = result.child(ns::TT, "Event").unwrap();
            let topic = event.child_text(ns::WSNT, "Topic").unwrap().into_owned();
            let message =
                event.child(ns::WSNT, "Message").unwrap().child(ns::TT, "Message").unwrap();
            assert_eq!(message.attribute("UtcTime"), Some(time.as_str()), "R6.3.6-2");
            let data = message.child(ns::TT, "Data").unwrap().elements().last().unwrap();
            let start = result.child_text(ns::TT, "StartStateEvent").unwrap() == "true";
            let operation = if start { "Initialized" } else { "Changed" };
            assert_eq!(message.attribute("PropertyOperation"), Some(operation));
            let minute = (time.parse::<Utc>().unwrap().since_us(at(0)) / 60_000_000).to_string();
            let leaf = topic.trim_start_matches("tns1:").to_owned();
            all.push((minute, leaf, data.attribute("Value").unwrap().to_owned(), start));
        }
        if state == "Completed" {
            return Ok(all);
        }
    }
}

fn short(list: &[(String, String, String, bool)]) -> Vec<String> {
    list.iter()
        .map(|(m, t, v, s)| {
            format!("{m} {} {v}{}", t.rsplit('/').nth(1).unwrap(), if *s { " *" } else { "" })
        })
        .collect()
}

/// R6.2.1-1, R6.2.1-2, R6.2.1-3, R6.9-1, R6.9-2, R6.9-3, R6.9-7, R6.9-13, R6.10-1, R6.17-1, R6.17-2
#[tokio::test]
async fn events_run_both_ways_and_both_ends_belong_to_the_range() {
    let client = client().await;
    let forward = events(&client, &events_query(at(0), Some(at(30)), "", false)).await.unwrap();
    let mut backward =
        events(&client, &events_query(at(30), Some(at(0)), "", false)).await.unwrap();
    assert_eq!(forward.len(), 9);
    assert_eq!(forward[0].0, "0");
    assert_eq!(forward[8].0, "30");
    assert!(forward.iter().all(|e| !e.3));
    backward.reverse();
    let sorted = |mut v: Vec<_>| {
        v.sort();
        v
    };
    assert_eq!(sorted(backward.clone()), sorted(forward.clone()));
    assert!(backward.windows(2).all(|w| w[0].0.parse::<i64>().ok() <= w[1].0.parse::<i64>().ok()));
    let open = events(&client, &events_query(at(11), None, "", false)).await.unwrap();
    assert_eq!(open.len(), 4);
    let far =
        events(&client, &events_query(utc("0001-01-01T00:00:00Z"), None, "", false)).await.unwrap();
    assert_eq!(far.len(), 9, "R6.2.6-2");
}

/// R6.2.2-3, R6.9-5, R6.9-6, R6.9-8
#[tokio::test]
async fn virtual_events_tell_the_state_at_the_start() {
    let client = client().await;
    let history = "<wsnt:TopicExpression>tns1:RecordingHistory//.</wsnt:TopicExpression>";
    let forward = events(&client, &events_query(at(5), Some(at(10)), history, true)).await.unwrap();
    assert_eq!(
        short(&forward),
        [
            "5 Recording true *",
            "5 Track false *",
            "5 Track true *",
            "10 Recording false",
            "10 Track false",
        ]
        .map(str::to_owned)
    );
    let backward =
        events(&client, &events_query(at(20), Some(at(15)), history, true)).await.unwrap();
    let starts: Vec<_> = short(&backward).into_iter().filter(|e| e.ends_with('*')).collect();
    assert_eq!(starts.len(), 6, "three at each end: {starts:?}");
    assert!(starts[..3].iter().all(|e| e.starts_with("20 ")));
    assert!(starts[3..].iter().all(|e| e.starts_with("15 ") && e.contains("false")));
    let all = events(&client, &events_query(at(6), Some(at(7)), "", true)).await.unwrap();
    assert!(
        short(&all).contains(&"6 VideoSource true *".to_owned()),
        "GeneralStartEvents: {all:?}"
    );
}

/// R6.2.2-2, R6.9-9, R6.9-10
#[tokio::test]
async fn filters_choose_by_topic_and_content() {
    let client = client().await;
    let query = |filter: &str| events_query(at(0), Some(at(30)), filter, false);
    let topic = "<wsnt:TopicExpression Dialect=\"http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet\">tns1:VideoSource/MotionAlarm|tns1:RecordingHistory/Recording/State</wsnt:TopicExpression>";
    assert_eq!(events(&client, &query(topic)).await.unwrap().len(), 5);
    let content = "<wsnt:MessageContent Dialect=\"http://www.onvif.org/ver10/tev/messageContentFilter/ItemFilter\">boolean(//tt:SimpleItem[@Name=\"IsDataPresent\" and @Value=\"true\"])</wsnt:MessageContent>";
    assert_eq!(events(&client, &query(content)).await.unwrap().len(), 2);
    // The three names of the one dialect, and none.
    let item = "http://www.onvif.org/ver10/tev/messageContentFilter/ItemFilter";
    for other in [
        "http://www.onvif.org/ver10/tse/searchFilter",
        "http://www.w3.org/TR/1999/REC-xpath-19991116",
        "",
    ] {
        let content = content.replace(item, other);
        assert_eq!(events(&client, &query(&content)).await.unwrap().len(), 2, "{other}");
    }
    for bad in [
        "<wsnt:TopicExpression>a b</wsnt:TopicExpression>",
        "<wsnt:MessageContent>boolean(</wsnt:MessageContent>",
        "<wsnt:ProducerProperties>x</wsnt:ProducerProperties>",
        "<wsnt:TopicExpression>vendor:Undeclared</wsnt:TopicExpression>",
        "<wsnt:TopicExpression Dialect=\"urn:x\">tns1:VideoSource</wsnt:TopicExpression>",
        "<wsnt:MessageContent Dialect=\"urn:x\">boolean(//a)</wsnt:MessageContent>",
        "<x:Anything xmlns:x=\"urn:x\"/>",
    ] {
        assert_eq!(
            events(&client, &query(bad)).await.unwrap_err(),
            "ter:InvalidFilterFault",
            "{bad}"
        );
    }
}

/// R6.4-1, R6.4-2, R6.4-3, R6.16-1
#[tokio::test]
async fn the_summary_and_the_capabilities() {
    let client = client().await;
    let answer = client.ask("GetRecordingSummary", "").await.unwrap();
    let summary = answer.child(ns::TSE, "Summary").unwrap();
    let text = |n| summary.child_text(ns::TT, n).unwrap().into_owned();
    assert_eq!(text("DataFrom"), "2026-11-25T10:00:00Z");
    assert_eq!(text("DataUntil"), "2026-11-25T10:30:00Z");
    assert_eq!(text("NumberRecordings"), "2");
    let capabilities = client.ask("GetServiceCapabilities", "").await.unwrap();
    let own = capabilities.child(ns::TSE, "Capabilities").unwrap();
    assert_eq!(own.attribute("MetadataSearch"), Some("true"));
}

/// R6.3.5-1, R6.3.5-2, R6.3.5-3, R6.6-1, R6.6-2, R6.6-4
#[tokio::test]
async fn media_attributes_hold_for_the_footage_around_an_instant() {
    let client = client().await;
    let query = |token: &str, t: Utc| format!("{token}<tse:Time>{t}</tse:Time>");
    let answer = client.ask("GetMediaAttributes", &query("", at(5))).await.unwrap();
    let all: Vec<_> = answer.children(ns::TSE, "MediaAttributes").collect();
    assert_eq!(all.len(), 1, "yard-2 has no data then");
    assert_eq!(all[0].child_text(ns::TT, "From").unwrap(), "2026-11-25T10:00:00Z");
    assert_eq!(all[0].child_text(ns::TT, "Until").unwrap(), "2026-11-25T10:10:00Z");
    let video = all[0].path(ns::TT, &["TrackAttributes", "VideoAttributes"]).unwrap();
    assert_eq!(video.child_text(ns::TT, "Encoding").unwrap(), "H264");
    assert_eq!(video.child_text(ns::TT, "Framerate").unwrap(), "25");
    let audio = all[0].children(ns::TT, "TrackAttributes").nth(1).unwrap();
    let audio = audio.child(ns::TT, "AudioAttributes").unwrap();
    assert_eq!(audio.child_text(ns::TT, "Samplerate").unwrap(), "8");
    let gap = client.ask("GetMediaAttributes", &query("", at(15))).await.unwrap();
    assert_eq!(gap.elements().count(), 0);
    let nobody = query("<tse:RecordingTokens>nobody</tse:RecordingTokens>", at(5));
    assert_eq!(client.ask("GetMediaAttributes", &nobody).await.unwrap_err(), "ter:InvalidToken");
}

/// R6.1-3, R6.11-2, R6.16-4, RH2-5: and not even that is told to strangers.
#[tokio::test]
async fn what_is_missing_answers_with_the_standards_fault() {
    let client = client().await;
    for operation in ["FindPTZPosition", "GetSearchState", "SearchImageByNL"] {
        assert_eq!(
            client.ask(operation, "").await.unwrap_err(),
            "ter:NotImplemented",
            "{operation}"
        );
        let stranger = client.ask_as(None, operation, "").await;
        assert_eq!(stranger.unwrap_err(), "ter:NotAuthorized", "{operation}");
    }
}
