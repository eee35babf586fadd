//! Requests as a recorder sees them, credentials, and what answers mean.

use std::time::Duration;

use bytes::Bytes;
use dvrgate_model::ErrorKind;
use md5::{Digest, Md5};
use sha2::Sha256;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::{ROOM, SDP, URL, interleaved, options, pair, playing};
use crate::client::{ClientOptions, Incoming, PlayOptions};
use crate::message::{Method, Request};

fn hash(algorithm: &str, text: String) -> String {
    let bytes: Vec<u8> = match algorithm {
        "SHA-256" => Sha256::digest(text).to_vec(),
        _ => Md5::digest(text).to_vec(),
    };
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// RFC 7616 3.4.1, and RFC 2069 2.1.2 where the challenge has no qop.
fn check_digest(request: &Request, algorithm: &str, count: Option<u32>) {
    let value = request.fields.get("Authorization").expect("credentials");
    let get = |name: &str| {
        value.strip_prefix("Digest ").unwrap().split(", ").find_map(|p| {
            let (k, v) = p.split_once('=')?;
            (k == name).then(|| v.trim_matches('"').to_owned())
        })
    };
    let (nonce, uri) = (get("nonce").unwrap(), get("uri").unwrap());
    assert_eq!(uri, request.uri, "with its query");
    let ha1 = hash(algorithm, "reader:yard 1:sesame".to_owned());
    let ha2 = hash(algorithm, format!("{}:{uri}", request.method));
    let middle = match count {
        None => {
            assert!(get("qop").is_none() && get("cnonce").is_none(), "{value}");
            nonce
        }
        Some(n) => {
            let nc = get("nc").unwrap();
            assert_eq!(nc, format!("{n:08x}"));
            format!("{nonce}:{nc}:{}:auth", get("cnonce").unwrap())
        }
    };
    assert_eq!(
        get("response").unwrap(),
        hash(algorithm, format!("{ha1}:{middle}:{ha2}")),
        "{value}"
    );
}

#[tokio::test]
async fn digest_answers_are_what_the_standard_computes() {
    for (challenge, algorithm, counted) in [
        (r#"Digest realm="yard 1", nonce="55e5895b9", algorithm="MD5""#, "MD5", false),
        (r#"Digest nonce="a1", random="77", stale="FALSE", realm="yard 1""#, "MD5", false),
        (r#"Digest realm="yard 1", domain="/", qop="auth", nonce="n", opaque="o""#, "MD5", true),
        (r#"Digest realm="yard 1", qop="auth", nonce="n", algorithm=SHA-256"#, "SHA-256", true),
    ] {
        let (mut client, mut recorder) = pair(options(), ROOM);
        let ask = async {
            client.describe().await.unwrap();
            client.setup(0).await.unwrap();
        };
        let answer = async {
            let refusal = format!(
                "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: {challenge}\r\n"
            );
            let first = recorder.serve(Method::Describe, &refusal).await;
            assert_eq!(first.fields.get("Authorization"), None);
            let again = recorder.serve(Method::Describe, &format!("200 OK\r\n\r\n{SDP}")).await;
            check_digest(&again, algorithm, counted.then_some(1));
            let setup = recorder.serve(Method::Setup, "200 OK\r\nSession: 1\r\n").await;
            check_digest(&setup, algorithm, counted.then_some(2));
        };
        tokio::join!(ask, answer);
    }
}

#[tokio::test]
async fn refusals_at_any_step_are_told_apart() {
    for (status, kind) in [
        ("453 Not Enough Bandwidth", ErrorKind::Busy),
        ("404 Not Found", ErrorKind::NotFound),
        ("401 Unauthorized", ErrorKind::Unauthenticated),
        ("454 Session Not Found", ErrorKind::Conflict),
    ] {
        let (mut client, mut recorder) = pair(options(), ROOM);
        let (result, _) = tokio::join!(
            async { client.describe().await.map(drop) },
            recorder.serve(Method::Describe, status)
        );
        assert_eq!(result.unwrap_err().kind(), kind, "{status}");
    }
}

#[tokio::test]
async fn control_urls_stand_behind_the_query_and_strange_headers_are_understood() {
    let (mut client, mut recorder) = pair(options(), ROOM);
    let ask = async {
        assert_eq!(client.describe().await.unwrap().media.len(), 3);
        assert_eq!(client.playable(), [0, 1]);
        let unknown = client.setup(2).await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotImplemented);
        client.setup(0).await.unwrap();
        client.setup(1).await.unwrap();
        let scale = PlayOptions { scale: Some(4.0), ..Default::default() };
        let reply = client.play(&scale).await.unwrap();
        assert!(reply.range.is_none() && reply.scale.is_none() && reply.rtp_info.0.is_empty());
        client.next().await.unwrap();
        client.teardown().await.unwrap();
    };
    let answer = async {
        let describe = recorder.serve(Method::Describe, &format!("200 OK\r\n\r\n{SDP}")).await;
        assert_eq!(describe.uri, URL);
        assert_eq!(describe.fields.get("Accept"), Some("application/sdp"));
        let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=4-5;ssrc= d6d6627";
        let session =
            "Session:        708345999;timeout=60\r\nDate:  Wed, May 05 2021 21:51:17 GMT";
        let text = format!("200 OK\r\n{session}\r\n{transport}\r\n");
        let video = recorder.serve(Method::Setup, &text).await;
        assert_eq!(video.uri, format!("{URL}/trackID=video"));
        assert_eq!(video.fields.get("Transport"), Some("RTP/AVP/TCP;unicast;interleaved=0-1"));
        let audio = recorder.serve(Method::Setup, "200 OK\r\nSession: 708345999\r\n").await;
        assert_eq!(audio.uri, format!("{URL}/trackID=audio"));
        assert_eq!(audio.fields.get("Session"), Some("708345999"));
        let play = recorder.serve(Method::Play, "200 OK").await;
        assert_eq!((play.uri.as_str(), play.fields.get("Session")), (URL, Some("708345999")));
        assert!(play.fields.get("Scale").is_some_and(|s| s.starts_with('4')));
        recorder.write(&interleaved(4, 96, 1, &[0x65, 1])).await;
        recorder.write(&interleaved(4, 96, 2, &[0x41, 1])).await;
        recorder.serve(Method::Teardown, "200 OK\r\nConnection: close\r\n").await;
        assert!(timeout(Duration::from_secs(5), recorder.request()).await.is_err(), "still open");
    };
    tokio::time::pause();
    tokio::join!(ask, answer);
    drop(client);
    assert!(recorder.request().await.is_none(), "nothing is left to say");
}

#[tokio::test]
async fn raw_packets_are_there_for_those_who_ask() {
    let raw = ClientOptions { raw_payload_types: vec![112], ..options() };
    let (mut client, mut recorder) = playing(raw, "1").await;
    assert_eq!(client.playable(), [0, 1, 2]);
    recorder.write(&interleaved(4, 112, 5, b"private")).await;
    recorder.write(&interleaved(0, 112, 1, b"among video")).await;
    recorder.io.shutdown().await.unwrap();
    let mut got = Vec::new();
    while let Some(Incoming::Raw(p)) = client.next_incoming().await.unwrap() {
        got.push((p.media, p.payload_type, p.rtp_time, p.data));
    }
    let expected = [
        (2, 112, 800, Bytes::from_static(b"private")),
        (0, 112, 160, Bytes::from_static(b"among video")),
    ];
    assert_eq!(got, expected);
}
