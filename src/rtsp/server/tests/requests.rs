//! Requests and their answers.

use super::*;

#[test]
fn options_and_describe() {
    let mut b = Bench::new(ServerConfig::default());
    let wire = b.send("OPTIONS * RTSP/1.0\nCSeq: 1\n\n");
    assert_eq!(status(&wire), 200);
    let public = field(&wire, "Public");
    for method in ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN"] {
        assert!(public.split(", ").any(|m| m == method), "R8.1-5: {method}");
    }
    let wire = b.send(&format!("DESCRIBE {URL} RTSP/1.0\nCSeq: 2\nAccept: application/sdp\n\n"));
    assert_eq!(field(&wire, "Content-Base"), format!("{URL}/"), "R8.2-4");
    let sdp = text(&wire);
    assert!(sdp.contains("a=x-onvif-track:one-video\r\n"), "R8.2-2: {sdp}");
    assert!(sdp.contains("a=range:clock=19700112T134640Z-19700112T134642Z\r\n"), "{sdp}");
}

/// R8.1-8, R8.4-1, R8.4-2, R8.4-3, R8.5.1-4, R8.5.2-4, R8.5.4-5
#[test]
fn statuses() {
    let mut b = Bench::new(ServerConfig::default());
    let udp = "Transport: RTP/AVP;unicast;client_port=5000-5001\n";
    let tcp = "Transport: RTP/AVP/TCP;unicast;interleaved=4-5\n";
    for (request, fields, expected) in [
        ("DESCRIBE rtsp://h/replay/none", "", 404),
        ("DESCRIBE ftp://h/replay/one", "", 404),
        ("DESCRIBE rtsp://h/replay/one", "Accept: text/html\n", 406),
        ("DESCRIBE rtsp://h/replay/one", "Require: nonsense\n", 551),
        ("PLAY rtsp://h/replay/one", "", 454),
        ("PLAY rtsp://h/replay/one", "Session: 1\n", 454),
        ("RECORD rtsp://h/replay/one", "", 405),
        ("ANNOUNCE rtsp://h/replay/one", "", 405),
        ("DANCE rtsp://h/replay/one", "", 501),
        ("SETUP rtsp://h/replay/one/track2", tcp, 404),
        ("SETUP rtsp://h/replay/one/track1", "", 461),
        ("SETUP rtsp://h/replay/one/track1", "Transport: RTP/AVP;multicast\n", 461),
        ("SETUP rtsp://h/replay/one/track1", "Transport: RTP/AVP;unicast\n", 461),
        ("SETUP rtsp://h/replay/two", tcp, 459),
        ("SETUP rtsp://h/replay/two/track1", udp, 200),
        ("SETUP rtsp://h/replay/two/track1", "Session: ?\nTransport: RTP/AVP/TCP\n", 455),
        ("SETUP rtsp://h/replay/one/track1", "Session: ?\nTransport: RTP/AVP/TCP\n", 459),
        ("SETUP rtsp://h/replay/two/track2", "Session: ?\nTransport: RTP/AVP/TCP\n", 200),
        ("PAUSE rtsp://h/replay/two", "Session: ?\n", 455),
        ("PLAY rtsp://h/replay/two/track1", "Session: ?\n", 460),
        ("TEARDOWN rtsp://h/replay/two/track1", "Session: ?\n", 460),
        ("PLAY rtsp://h/replay/three", "Session: ?\n", 404),
        ("PLAY rtsp://h/replay/two", "Session: ?\nRange: smpte=1-\n", 457),
        ("PLAY rtsp://h/replay/two", "Session: ?\nRange: clock=19700101T000000Z-\n", 457),
        ("PLAY rtsp://h/replay/two", "Session: ?\nFrames: all/4\n", 451),
        ("PLAY rtsp://h/replay/two", "Session: ?\nScale: 0\n", 400),
        ("PLAY rtsp://h/replay/two", "Session: ?\nScale: 2\nRate-Control: no\n", 456),
        ("PLAY rtsp://h/replay/two", "Session: ?\nRequire: onvif-replay, x\n", 551),
        ("PLAY rtsp://h/replay/two", "Session: ?\n", 200),
        ("SETUP rtsp://h/replay/two/track2", "Session: ?\nTransport: RTP/AVP/TCP\n", 455),
        ("PAUSE rtsp://h/replay/two", "Session: ?\nRange: npt=now-\n", 457),
        ("PAUSE rtsp://h/replay/two", "Session: ?\n", 200),
        ("GET_PARAMETER rtsp://h/replay/two", "Session: ?\n", 200),
        ("SET_PARAMETER rtsp://h/replay/two", "Session: ?\nContent-Length: 3\n", 451),
        ("TEARDOWN rtsp://h/replay/two", "Session: ?\n", 200),
        ("TEARDOWN rtsp://h/replay/two", "Session: ?\n", 454),
    ] {
        let session = b.connection.session.as_ref().map_or("none".into(), |s| s.id.clone());
        let fields = fields.replace('?', &session);
        let body = if fields.contains("Content-Length") { "abc" } else { "" };
        let wire = b.send(&format!("{request} RTSP/1.0\nCSeq: 77\n{fields}\n{body}"));
        assert_eq!(status(&wire), expected, "{request} {fields}");
        assert_eq!(field(&wire, "CSeq"), "77");
        if expected == 551 {
            assert!(!field(&wire, "Unsupported").contains("onvif"), "R8.4-2");
        }
    }
    assert_eq!(status(&b.send("OPTIONS * RTSP/2.0\nCSeq: 1\n\n")), 505);
    assert_eq!(status(&b.send("OPTIONS * RTSP/1.0\n\n")), 400);
    assert!(!b.closed);
    assert_eq!(status(&b.send("\u{1}garbage\n")), 400);
    assert!(b.closed);
}

#[test]
fn ports_that_cannot_be_had_are_503_and_leave_no_session() {
    let mut b = Bench::new(ServerConfig::default());
    b.refuse_ports = true;
    let wire = b.send(&format!(
        "SETUP {URL}/track1 RTSP/1.0\nCSeq: 2\nTransport: RTP/AVP;unicast;client_port=5000-5001\n\n"
    ));
    assert_eq!(status(&wire), 503);
    assert!(b.connection.session.is_none());
    b.refuse_ports = false;
    let wire = b.send(&format!(
        "SETUP {URL}/track1 RTSP/1.0\nCSeq: 3\nTransport: RTP/AVP;unicast;client_port=5000-5001\n\n"
    ));
    assert!(field(&wire, "Transport").contains("server_port=62000-62001"));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut b = Bench::new(ServerConfig::default());
    let wire = b.send(&format!(
        "OPTIONS * RTSP/1.0\nCSeq: 1\n\nDESCRIBE {URL} RTSP/1.0\nCSeq: 2\n\n\
         SETUP {URL}/track1 RTSP/1.0\nCSeq: 3\nTransport: RTP/AVP/TCP;interleaved=0-1\n\n"
    ));
    let text = text(&wire);
    let order: Vec<_> = text.lines().filter_map(|l| l.strip_prefix("CSeq: ")).collect();
    assert_eq!(order, ["1", "2", "3"]);
}

/// R8.1-7
#[test]
fn who_has_no_credentials_is_asked_for_digest() {
    let mut b = Bench::new(ServerConfig { gate: Some(gate()), ..Default::default() });
    assert_eq!(status(&b.send("OPTIONS * RTSP/1.0\nCSeq: 1\n\n")), 200);
    for method in ["DESCRIBE", "SETUP", "GET_PARAMETER"] {
        let wire = b.send(&format!("{method} {URL} RTSP/1.0\nCSeq: 2\n\n"));
        assert_eq!(status(&wire), 401);
        assert!(field(&wire, "WWW-Authenticate").starts_with("Digest realm=\"dvrgate\""));
    }
    assert_eq!(Identity::anonymous().level, Level::Anonymous);
}

#[test]
fn no_prefix_of_a_session_makes_it_panic() {
    let whole = format!(
        "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\nSETUP {URL}/track1 RTSP/1.0\r\nCSeq: 2\r\n\
         Transport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n$\x01\x00\x04abcdPLAY {URL} RTSP/1.0\r\n\
         CSeq: 3\r\nRange: clock=19700112T134640Z-\r\n\r\n"
    );
    for end in 0..whole.len() {
        let mut b = Bench::new(ServerConfig::default());
        b.send_bytes(&whole.as_bytes()[..end]);
    }
}
