//! Searches for documents of metadata tracks, events on them, and what all searches have in common.
#![allow(clippy::unwrap_used)] // a test may

use std::sync::Arc;
use std::time::Duration;

use dvrgate_index::sample::{self, at};
use dvrgate_index::{Batch, Change, Index, MemoryIndex};
use dvrgate_model::{
    Codec, EventOrigin, Items, RecordingEvent, Stamp, SyncRunId, Topic, TrackKind, TrackToken, Utc,
    topics,
};
use dvrgate_search::service;
use dvrgate_soap::testing::Client;
use dvrgate_soap::{Element, ns};
use dvrgate_testkit::SimulatedClock;

const RESULTS: &str = "GetMetadataSearchResults";

fn motion(recording: &str, source: &str, minute: i64, state: &str) -> Change {
    let (recording, topic) = (recording.into(), Topic::new(topics::MOTION_ALARM));
    let items = Items::new([("Source", source)], [("State", state)]);
    Change::Event(Box::new(RecordingEvent {
        id: RecordingEvent::derive_id(&recording, &topic, &items, &minute.to_string()),
        recording,
        track: None,
        at: Stamp::exact(at(minute)),
        source: None,
        topic,
        items,
        property: true,
        origin: EventOrigin::Log,
    }))
}

/// The sample with metadata tracks: recorded in minutes 0 to 10 and 20 to 30 of the first recording
/// and 0 to 10 of the second; and with another encoding of the first one's pictures in 30 to 40.
async fn yard() -> Arc<MemoryIndex> {
    let index = sample::yard().await.unwrap();
    let mut changes = Vec::new();
    for channel in [1, 2] {
        let mut r = sample::recording(channel);
        let metadata = sample::track(&r.token, TrackKind::Metadata, Codec::Metadata);
        changes.push(sample::segment(&metadata.token, 0, 10));
        if channel == 1 {
            changes.push(sample::segment(&metadata.token, 20, 30));
        }
        r.tracks.push(metadata);
        let mut other = sample::track(&r.token, TrackKind::Video, Codec::H265);
        other.token = TrackToken::derive(&r.token, TrackKind::Video, 2);
        other.description = "since the new camera".into();
        if channel == 1 {
            changes.push(sample::segment(&other.token, 30, 40));
        }
        r.tracks.push(other);
        changes.insert(0, Change::Recording(Box::new(r)));
    }
    // The motion of the sample, as a recorder tells it, and more.
    changes.extend([
        motion("yard-1", "1", 5, "true"),
        motion("yard-1", "1", 7, "false"),
        motion("yard-1", "other", 7, "true"),
        motion("yard-1", "1", 15, "true"),
        motion("yard-1", "1", 25, "false"),
        motion("yard-2", "2", 7, "true"),
    ]);
    index.apply(Batch { run: SyncRunId(2), changes }).await.unwrap();
    index
}

async fn client() -> (Client, Arc<SimulatedClock>) {
    let clock = Arc::new(SimulatedClock::frozen_at(at(120)));
    (Client::new(service(yard().await, clock.clone()), clock.clone()), clock)
}

async fn find(client: &Client, operation: &str, content: &str) -> Result<String, String> {
    let found = client.ask(operation, content).await?;
    Ok(found.child_text(ns::TSE, "SearchToken").unwrap().into_owned())
}

/// State and results of a page.
async fn page(
    client: &Client,
    operation: &str,
    token: &str,
    more: &str,
) -> Result<(String, Vec<Element>), String> {
    let content = format!("<tse:SearchToken>{token}</tse:SearchToken>{more}");
    let answer = client.ask(operation, &content).await?;
    let list = answer.child(ns::TSE, "ResultList").unwrap();
    let state = list.child_text(ns::TT, "SearchState").unwrap().into_owned();
    Ok((state, list.elements().skip(1).cloned().collect()))
}

fn query(from: i64, to: i64, scope: &str, filter: &str, more: &str) -> String {
    format!(
        "<tse:StartPoint>{}</tse:StartPoint><tse:EndPoint>{}</tse:EndPoint>\
         <tse:Scope>{scope}</tse:Scope><tse:MetadataFilter><tt:MetadataStreamFilter>{filter}\
         </tt:MetadataStreamFilter></tse:MetadataFilter>{more}\
         <tse:KeepAliveTime>PT10S</tse:KeepAliveTime>",
        at(from),
        at(to)
    )
}

fn text(e: &Element, name: &str) -> String {
    e.child_text(ns::TT, name).unwrap().into_owned()
}

/// Track and time of every document that is found, and that the search is complete then.
async fn documents(client: &Client, query: &str) -> Result<Vec<(String, String)>, String> {
    let token = find(client, "FindMetadata", query).await?;
    let (state, found) = page(client, RESULTS, &token, "").await?;
    assert_eq!(state, "Completed");
    for result in &found {
        let track = text(result, "TrackToken");
        assert!(track.starts_with(&text(result, "RecordingToken")));
    }
    Ok(found.iter().map(|r| (text(r, "TrackToken"), text(r, "Time"))).collect())
}

const ANY: &str = "boolean(//SimpleItem[@Name=\"State\"])";

/// R4-3, R6.2.4-3, R6.2.6-1, R6.2.6-3, R6.3.6-6, R6.3.6-7, R6.13-1, R6.13-3, R6.13-4, R6.13-5: each
/// document that matches once, in order, where the metadata track was recorded.
#[tokio::test]
async fn documents_are_found() {
    let (client, _) = client().await;
    let of = |track: &str, time: &str| (format!("yard-{track}-metadata"), time.to_owned());
    let (five, seven, late) =
        ("2026-11-25T10:05:00Z", "2026-11-25T10:07:00Z", "2026-11-25T10:25:00Z");
    // Two events of an instant are one document; what happened in the gap is in none; the gateway's own
    // history is not searched.
    let all = vec![of("1", five), of("1", seven), of("2", seven), of("1", late)];
    assert_eq!(documents(&client, &query(0, 60, "", ANY, "")).await.unwrap(), all);
    let mut back = documents(&client, &query(60, 0, "", ANY, "")).await.unwrap();
    assert!(back.windows(2).all(|w| w[0].1 >= w[1].1));
    back.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
    assert_eq!(back, all);
    // Both ends belong to the range.
    let exact = documents(&client, &query(5, 7, "", ANY, "")).await.unwrap();
    assert_eq!(exact, all[..3]);
    let one = "<tt:IncludedRecordings>yard-2</tt:IncludedRecordings>";
    assert_eq!(documents(&client, &query(0, 60, one, ANY, "")).await.unwrap(), all[2..3]);
    for (filter, found) in [
        ("boolean(//SimpleItem[@Name=\"State\" and @Value=\"true\"])", &all[..3]),
        ("boolean(//SimpleItem[@Name=\"Source\" and @Value=\"other\"])", &all[1..2]),
        ("boolean(//MetadataStream/Event/NotificationMessage[Topic = \"tns1:X\"])", &all[..0]),
        ("boolean(//Track[TrackToken = \"NonExistingToken\"])", &all[..0]),
    ] {
        assert_eq!(
            documents(&client, &query(0, 60, "", filter, "")).await.unwrap(),
            found,
            "{filter}"
        );
        let both = documents(&client, &query(0, 60, one, filter, "")).await.unwrap();
        assert!(both.iter().all(|d| d.0 == "yard-2-metadata" && found.contains(d)), "{filter}");
    }
    let first = query(0, 60, "", ANY, "<tse:MaxMatches>1</tse:MaxMatches>");
    assert_eq!(documents(&client, &first).await.unwrap(), all[..1]);
    let bad = documents(&client, &query(0, 60, "", "((", "")).await;
    assert_eq!(bad.unwrap_err(), "ter:InvalidArgVal");
}

/// R6.8-4, R6.13-5, R6.14-1, R6.14-2, R6.16-2: pages, the end, EndSearch, the keep-alive.
#[tokio::test]
async fn a_session_for_documents() {
    let (client, clock) = client().await;
    let capabilities = client.ask("GetServiceCapabilities", "").await.unwrap();
    let own = capabilities.child(ns::TSE, "Capabilities").unwrap();
    assert_eq!(own.attribute("MetadataSearch"), Some("true"));

    let ask = query(0, 60, "", ANY, "");
    let token = find(&client, "FindMetadata", &ask).await.unwrap();
    let two = "<tse:MinResults>9</tse:MinResults><tse:MaxResults>2</tse:MaxResults>";
    let mut seen = Vec::new();
    for state in ["Searching", "Completed"] {
        let (said, found) = page(&client, RESULTS, &token, two).await.unwrap();
        assert_eq!((said.as_str(), found.len()), (state, 2));
        seen.extend(found.iter().map(Element::to_xml));
    }
    seen.dedup();
    assert_eq!(seen.len(), 4, "each once");
    assert_eq!(page(&client, RESULTS, &token, "").await.unwrap_err(), "ter:InvalidToken");

    // Fewer than wanted is what there is.
    let token = find(&client, "FindMetadata", &ask).await.unwrap();
    let many = "<tse:MinResults>50</tse:MinResults><tse:WaitTime>PT5S</tse:WaitTime>";
    assert_eq!(page(&client, RESULTS, &token, many).await.unwrap().1.len(), 4);

    let token = find(&client, "FindMetadata", &ask).await.unwrap();
    clock.advance(Duration::from_secs(9));
    assert!(page(&client, RESULTS, &token, two).await.is_ok());
    let end = format!("<tse:SearchToken>{token}</tse:SearchToken>");
    let ended = client.ask("EndSearch", &end).await.unwrap();
    let reached = ended.child_text(ns::TSE, "Endpoint").unwrap();
    assert_eq!(reached, "2026-11-25T10:07:00Z");
    assert_eq!(page(&client, RESULTS, &token, two).await.unwrap_err(), "ter:InvalidToken");

    let token = find(&client, "FindMetadata", &ask).await.unwrap();
    clock.advance(Duration::from_secs(11));
    assert_eq!(page(&client, RESULTS, &token, "").await.unwrap_err(), "ter:InvalidToken");
    assert_eq!(page(&client, RESULTS, "nothing", "").await.unwrap_err(), "ter:InvalidToken");
}

fn events_query(from: i64, more: &str) -> String {
    format!(
        "<tse:StartPoint>{}</tse:StartPoint><tse:Scope/><tse:SearchFilter/>\
         <tse:IncludeStartState>{}</tse:IncludeStartState>{more}\
         <tse:KeepAliveTime>PT10S</tse:KeepAliveTime>",
        at(from),
        more.contains("start state")
    )
}

/// R6.2.2-1, R6.3.6-1, R6.9-1, R6.9-14: events are on the track that has them, whoever made them, and
/// those that no track has on none.
#[tokio::test]
async fn events_are_on_their_tracks() {
    let (client, _) = client().await;
    let token = find(&client, "FindEvents", &events_query(0, "")).await.unwrap();
    let (_, found) = page(&client, "GetEventSearchResults", &token, "").await.unwrap();
    let told = |e: &Element| {
        let message = e.path(ns::TT, &["Event"]).unwrap();
        let topic = message.child_text(ns::WSNT, "Topic").unwrap().into_owned();
        let inner = message.child(ns::WSNT, "Message").unwrap().child(ns::TT, "Message").unwrap();
        assert_eq!(inner.attribute("UtcTime"), Some(text(e, "Time").as_str()));
        (topic.rsplit('/').nth(1).unwrap().to_owned(), text(e, "TrackToken"))
    };
    let all: Vec<_> = found.iter().map(told).collect();
    let tracks = |topic: &str| {
        let mut of: Vec<&str> = all.iter().filter(|e| e.0 == topic).map(|e| e.1.as_str()).collect();
        of.sort_unstable();
        of.dedup();
        of
    };
    assert_eq!(tracks("Recording"), [""]);
    assert_eq!(tracks("Track"), ["yard-1-video"]);
    // The hull of the metadata track reaches from 0 to 30 and from 0 to 10.
    assert_eq!(tracks("tns1:VideoSource"), ["yard-1-metadata", "yard-2-metadata"]);
}

/// R6.9-4, R6.9-12, R6.10-2, R6.16-3: one match, ten seconds of rest, unknown tokens, states of all
/// properties.
#[tokio::test]
async fn a_session_for_events() {
    let (client, clock) = client().await;
    let results = "GetEventSearchResults";
    let one = events_query(0, "<tse:MaxMatches>1</tse:MaxMatches>");
    let token = find(&client, "FindEvents", &one).await.unwrap();
    let (state, found) = page(&client, results, &token, "").await.unwrap();
    assert_eq!((state.as_str(), found.len()), ("Completed", 1));
    assert_eq!(page(&client, results, &token, "").await.unwrap_err(), "ter:InvalidToken");

    let token = find(&client, "FindEvents", &events_query(0, "")).await.unwrap();
    let few = "<tse:MaxResults>1</tse:MaxResults>";
    for _ in 0..3 {
        clock.advance(Duration::from_secs(9));
        assert!(page(&client, results, &token, few).await.is_ok());
    }
    clock.advance(Duration::from_secs(11));
    assert_eq!(page(&client, results, &token, few).await.unwrap_err(), "ter:InvalidToken");
    assert_eq!(page(&client, results, "nothing", few).await.unwrap_err(), "ter:InvalidToken");

    let own = client.ask("GetServiceCapabilities", "").await.unwrap();
    let own = own.child(ns::TSE, "Capabilities").unwrap();
    assert_eq!(own.attribute("GeneralStartEvents"), Some("true"));
    let states = events_query(8, "<!-- start state -->");
    let token = find(&client, "FindEvents", &states).await.unwrap();
    let (_, found) = page(&client, results, &token, "").await.unwrap();
    let is_motion = |e: &&Element| e.to_xml().contains("MotionAlarm");
    let is_state = |e: &&Element| text(e, "StartStateEvent") == "true";
    assert_eq!(found.iter().filter(is_state).filter(is_motion).count(), 3);
}

/// R6.7-4, R6.8-3, R6.8-4: ten seconds of rest; a result request that can get no more answers at once.
#[tokio::test]
async fn a_session_for_recordings() {
    let (client, clock) = client().await;
    let results = "GetRecordingSearchResults";
    let ask = "<tse:Scope/><tse:KeepAliveTime>PT10S</tse:KeepAliveTime>";
    let token = find(&client, "FindRecordings", ask).await.unwrap();
    let few = "<tse:MaxResults>1</tse:MaxResults>";
    clock.advance(Duration::from_secs(9));
    assert_eq!(page(&client, results, &token, few).await.unwrap().1.len(), 1);
    clock.advance(Duration::from_secs(9));
    let many = "<tse:MinResults>100</tse:MinResults><tse:WaitTime>PT30S</tse:WaitTime>";
    let begun = std::time::Instant::now();
    let (state, found) = page(&client, results, &token, many).await.unwrap();
    assert_eq!((state.as_str(), found.len()), ("Completed", 1));
    assert!(begun.elapsed() < Duration::from_secs(20));
    let token = find(&client, "FindRecordings", ask).await.unwrap();
    clock.advance(Duration::from_secs(11));
    assert_eq!(page(&client, results, &token, few).await.unwrap_err(), "ter:InvalidToken");
}

/// R6.7-7, R6.9-11, R6.13-6
#[tokio::test]
async fn sessions_are_bounded() {
    let (client, clock) = client().await;
    let queries = [
        ("FindRecordings", "<tse:Scope/><tse:KeepAliveTime>PT10S</tse:KeepAliveTime>".to_owned()),
        ("FindEvents", events_query(0, "")),
        ("FindMetadata", query(0, 60, "", ANY, "")),
    ];
    for (operation, ask) in queries {
        let mut open = 0;
        let refused = loop {
            match find(&client, operation, &ask).await {
                Ok(_) => open += 1,
                Err(refused) => break refused,
            }
            assert!(open < 10_000, "{operation} has no bound");
        };
        assert_eq!(refused, "ter:ResourceProblem", "{operation}");
        // Those that nobody names make room.
        clock.advance(Duration::from_secs(11));
        assert!(find(&client, operation, &ask).await.is_ok());
    }
}

/// R5.1-3, R6.3.1-7, R6.3.3-2, R6.3.3-4, R6.3.5-2, R6.6-3: a track of pictures for each encoding, and at
/// an instant that of the one that was recorded then.
#[tokio::test]
async fn two_encodings_are_two_tracks() {
    let (client, _) = client().await;
    let token = "<tse:RecordingToken>yard-1</tse:RecordingToken>";
    let answer = client.ask("GetRecordingInformation", token).await.unwrap();
    let again = client.ask("GetRecordingInformation", token).await.unwrap();
    assert_eq!(answer.to_xml(), again.to_xml());
    let info = answer.child(ns::TSE, "RecordingInformation").unwrap();
    let tracks: Vec<_> = info
        .children(ns::TT, "Track")
        .map(|t| (text(t, "TrackToken"), text(t, "TrackType"), text(t, "Description")))
        .collect();
    let expected = [
        ("yard-1-video", "Video", ""),
        ("yard-1-audio", "Audio", ""),
        ("yard-1-metadata", "Metadata", ""),
        ("yard-1-video-2", "Video", "since the new camera"),
    ];
    assert_eq!(tracks, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
    let encoding = async |minute: i64| {
        let time = format!("<tse:Time>{}</tse:Time>", at(minute));
        let query = format!("<tse:RecordingTokens>yard-1</tse:RecordingTokens>{time}");
        let answer = client.ask("GetMediaAttributes", &query).await.unwrap();
        let attributes = answer.child(ns::TSE, "MediaAttributes").unwrap();
        let kinds = ["VideoAttributes", "AudioAttributes", "MetadataAttributes"];
        let tracks: Vec<_> = attributes.children(ns::TT, "TrackAttributes").cloned().collect();
        for t in &tracks {
            let of = kinds.iter().filter(|k| t.child(ns::TT, k).is_some()).count();
            assert_eq!(of, 1, "{}", t.to_xml());
        }
        let (from, until) = (text(attributes, "From"), text(attributes, "Until"));
        let t = at(minute);
        assert!(from.parse::<Utc>().unwrap() <= t && t <= until.parse::<Utc>().unwrap());
        let video = tracks.iter().find_map(|t| t.child(ns::TT, "VideoAttributes")).unwrap();
        text(video, "Encoding")
    };
    assert_eq!((encoding(25).await, encoding(35).await), ("H264".to_owned(), "H265".to_owned()));
}
