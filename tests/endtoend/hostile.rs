//! Clients that mean harm, or are broken: each is refused or hung up on, memory stays bounded, and
//! whoever behaves is served all the while.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use digest_auth::{AuthContext, HttpMethod};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::rig::{DEVICE, Gateway, PASSWORD, PATIENCE, Recorder, Site, USER, eventually};
use crate::truth;
use crate::wire::Client;

/// Ten seconds.
const SHORT: &str = r#"
[[channel]]
id = 1
[[channel.recorded]]
from = "-30m"
to = "-29m50s"
"#;

/// Connections that say nothing.
const SILENT: usize = 2_000;
/// Places for connections, and what a silent one may cost.
const PLACES: usize = 2_048;
const SILENT_KB: u64 = 16;
/// What a hostile client may make the gateway hold: its own buffers, and what the allocator keeps.
const HELD_KB: u64 = 16 * 1024;
/// More than that is never taken from a client that reads no answers; most of it is the kernel's.
const MOST_BYTES: usize = 64 << 20;
const OPTIONS: &str = "OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\n";

fn serve(recorder: &Recorder) -> (Site, Gateway) {
    let site = Site::new(recorder);
    site.sync();
    let gateway = site.serve();
    // Footage and index are in memory from now on.
    served(&gateway, recorder);
    (site, gateway)
}

/// A viewer sees all of it.
fn served(gateway: &Gateway, recorder: &Recorder) {
    let truth = recorder.truth();
    let pictures = truth::pictures(truth::channel(&truth, 1));
    let mut client = Client::ready(&gateway.replay(&format!("{DEVICE}-1")), false);
    assert_eq!(client.play_all(pictures[0], "1.0").len(), pictures.len());
    client.teardown();
}

fn connect(address: &str) -> TcpStream {
    let host = address.split("://").nth(1).unwrap();
    let socket = TcpStream::connect(host).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// What comes until the gateway hangs up; a gateway that does not is a failure.
fn until_closed(socket: &mut TcpStream) -> String {
    let (mut all, mut some) = (Vec::new(), [0; 4096]);
    loop {
        match socket.read(&mut some) {
            Ok(0) => break,
            Ok(n) => all.extend_from_slice(&some[..n]),
            // It closed while there was still something to read from us.
            Err(e) if e.kind() == ErrorKind::ConnectionReset => break,
            Err(e) => panic!("not closed: {e}; {}", String::from_utf8_lossy(&all)),
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads up to the end of a head.
fn answer(socket: &mut TcpStream) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

/// Writes until the gateway takes no more; returns how much it took.
fn flood(socket: &mut TcpStream, text: &[u8]) -> usize {
    socket.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let piece = text.repeat(64 * 1024 / text.len() + 1);
    let mut taken = 0;
    while taken < MOST_BYTES {
        match socket.write(&piece) {
            Ok(n) => taken += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return taken,
            Err(e) => panic!("{e} after {taken} bytes"),
        }
    }
    panic!("{taken} bytes of requests are taken, and no answer is read");
}

fn grown(gateway: &Gateway, before: u64) -> u64 {
    gateway.resident_kb().saturating_sub(before)
}

#[test]
fn two_thousand_silent_connections_cost_little_and_delay_nobody() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(maximum.map_or(8_192, |most| most.min(8_192)));
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    let recorder = Recorder::start(SHORT);
    let (_site, gateway) = serve(&recorder);
    let before = gateway.resident_kb();
    let mut silent: Vec<TcpStream> = (0..SILENT).map(|_| connect(&gateway.rtsp)).collect();
    served(&gateway, &recorder);
    let each = grown(&gateway, before) / SILENT as u64;
    assert!(each <= SILENT_KB, "{each} kB each");
    // Where all places are taken the oldest of those without a session gives way.
    silent.extend((SILENT..PLACES + 8).map(|_| connect(&gateway.rtsp)));
    served(&gateway, &recorder);
    assert_eq!(until_closed(&mut silent[0]), "");
    let last = silent.last_mut().unwrap();
    last.write_all(OPTIONS.as_bytes()).unwrap();
    assert!(answer(last).starts_with("RTSP/1.0 200 "));
    assert_eq!(gateway.page("/healthz").0, 200);
    drop(silent);
    // The port for HTTP takes fewer from one address, and RTSP does not mind.
    let web: Vec<TcpStream> = (0..SILENT).map(|_| connect(&gateway.http)).collect();
    served(&gateway, &recorder);
    let each = grown(&gateway, before) / SILENT as u64;
    assert!(each <= SILENT_KB, "{each} kB each");
    drop(web);
    eventually("room for HTTP", || {
        let mut socket = connect(&gateway.http);
        write!(socket, "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").ok()?;
        until_closed(&mut socket).starts_with("HTTP/1.1 200 ").then_some(())
    });
    gateway.stop();
}

#[test]
fn malformed_and_oversized_requests_are_refused_and_end_the_connection() {
    let recorder = Recorder::start(SHORT);
    let (_site, gateway) = serve(&recorder);
    let before = gateway.resident_kb();
    let long = "a".repeat(1 << 20);
    let many = "A: b\r\n".repeat(10_000);
    for (request, status) in [
        ("\0\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), 400),
        (format!("OPTIONS {long}"), 400),
        (format!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nA: {long}\r\n\r\n"), 400),
        (format!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n{many}\r\n"), 400),
        ("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 4000000000\r\n\r\n".to_owned(), 400),
        ("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: -1\r\n\r\n".to_owned(), 400),
        ("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 1e3\r\n\r\n".to_owned(), 400),
        ("OPTIONS *\r\n\r\n".to_owned(), 400),
        // Behind a body that is longer than it was said to be stands no request.
        (format!("{OPTIONS}GET_PARAMETER * RTSP/1.0\r\nContent-Length: 2\r\n\r\n{long}"), 400),
        (format!("GET /replay/x HTTP/1.1\r\nA: {long}\r\n\r\n"), 404),
    ] {
        let shown = &request[..request.len().min(60)];
        let mut socket = connect(&gateway.rtsp);
        // It may hang up before it has heard all.
        let _ = socket.write_all(request.as_bytes());
        let answers = until_closed(&mut socket);
        let last = answers.split("\r\n\r\n").filter(|a| !a.is_empty()).last();
        // A reset overtakes what was said where more came than was read.
        if let Some(last) = last {
            let code = last.split(' ').nth(1).unwrap();
            assert_eq!(code, status.to_string(), "{shown:?}: {answers}");
        } else {
            assert!(request.len() > 16 * 1024, "{shown:?} is not answered");
        }
    }
    // What ends in the middle of a request, and what is half closed.
    for request in ["OPTIONS * RT", OPTIONS, "$\u{1}\u{1}"] {
        let mut socket = connect(&gateway.rtsp);
        socket.write_all(request.as_bytes()).unwrap();
        if request == OPTIONS {
            answer(&mut socket);
        }
        socket.shutdown(Shutdown::Write).unwrap();
        assert_eq!(until_closed(&mut socket), "", "{request:?}");
    }
    served(&gateway, &recorder);
    let grown = grown(&gateway, before);
    assert!(grown <= HELD_KB, "{grown} kB");
    gateway.stop();
}

/// Packets on channels that nobody set up mean nothing, and neither do answers; pipelined requests
/// are answered in their order, but not without bounds for who does not listen.
#[test]
fn pipelined_and_interleaved() {
    let recorder = Recorder::start(SHORT);
    let (_site, gateway) = serve(&recorder);
    let mut socket = connect(&gateway.rtsp);
    let mut wire = Vec::new();
    for n in 0..100u8 {
        wire.extend_from_slice(&[b'$', 200u8.wrapping_add(n), 0, 3, b'$', 0, 0xff]);
        wire.extend_from_slice(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n");
        wire.extend_from_slice(OPTIONS.replace('7', &n.to_string()).as_bytes());
    }
    socket.write_all(&wire).unwrap();
    for n in 0..100 {
        let answer = answer(&mut socket);
        assert!(answer.starts_with("RTSP/1.0 200 OK\r\n"), "{answer}");
        assert!(answer.contains(&format!("CSeq: {n}\r\n")), "{n}: {answer}");
    }
    let before = gateway.resident_kb();
    let mut deaf: Vec<TcpStream> = (0..4).map(|_| connect(&gateway.rtsp)).collect();
    for socket in &mut deaf {
        flood(socket, OPTIONS.as_bytes());
        served(&gateway, &recorder);
    }
    let grown = grown(&gateway, before);
    assert!(grown <= HELD_KB, "{grown} kB for four");
    gateway.stop();
}

/// R8.1-7: a log-in that somebody overheard opens nothing, here or on another connection.
#[test]
fn a_digest_serves_once() {
    let recorder = Recorder::start(SHORT);
    let (_site, gateway) = serve(&recorder);
    let url = gateway.replay(&format!("{DEVICE}-1"));
    let describe = |authorization: &str| {
        format!("DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\nAuthorization: {authorization}\r\n\r\n")
    };
    let mut socket = connect(&gateway.rtsp);
    socket.write_all(describe("Digest").as_bytes()).unwrap();
    let challenge = answer(&mut socket);
    let challenge = challenge.lines().find_map(|l| l.strip_prefix("WWW-Authenticate: ")).unwrap();
    let mut prompt = digest_auth::parse(challenge).unwrap();
    let method = HttpMethod::from("DESCRIBE");
    let context = AuthContext::new_with_method(USER, PASSWORD, &url, None::<&[u8]>, method);
    let overheard = prompt.respond(&context).unwrap().to_string();
    let mut sockets = [socket, connect(&gateway.rtsp)];
    for (socket, request, status) in [
        (0, describe(&overheard), 200),
        (1, describe(&overheard), 401),
        (1, describe(&overheard).replacen("DESCRIBE", "SETUP", 1), 401),
        (1, describe(&overheard).replacen(&url, &format!("{url}/track1"), 1), 401),
    ] {
        let socket = &mut sockets[socket];
        socket.write_all(request.as_bytes()).unwrap();
        let answer = answer(socket);
        assert!(answer.starts_with(&format!("RTSP/1.0 {status} ")), "{request}{answer}");
    }
    served(&gateway, &recorder);
    gateway.stop();
}

/// R8.T-4: what goes into a tunnel is RTSP of that tunnel or the end of it, on either port; never
/// HTTP, never somebody else's.
#[test]
fn nothing_is_smuggled_through_a_tunnel() {
    let recorder = Recorder::start(SHORT);
    let (_site, gateway) = serve(&recorder);
    for (n, address) in [&gateway.rtsp, &gateway.http].into_iter().enumerate() {
        let mut count = 0;
        let mut open = || {
            count += 1;
            let cookie = format!("x-sessioncookie: c{n}.{count}\r\n");
            let mut get = connect(address);
            write!(get, "GET /replay/x HTTP/1.0\r\n{cookie}\r\n").unwrap();
            assert!(answer(&mut get).starts_with("HTTP/1.1 200 "), "{address}");
            let mut post = connect(address);
            write!(post, "POST /replay/x HTTP/1.0\r\n{cookie}Content-Length: 4\r\n\r\n").unwrap();
            (get, post, cookie)
        };
        let asked = STANDARD.encode(OPTIONS);
        for foreign in [
            "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n",
            "POST /onvif/device_service HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            OPTIONS,
            "T1BU*",
            "====",
        ] {
            let (mut get, mut post, _) = open();
            // Longer than the four bytes that were announced.
            post.write_all(asked.as_bytes()).unwrap();
            assert!(answer(&mut get).starts_with("RTSP/1.0 200 "), "{address}");
            post.write_all(foreign.as_bytes()).unwrap();
            assert_eq!(until_closed(&mut get), "", "{address} {foreign:?}");
            assert_eq!(until_closed(&mut post), "", "{address} {foreign:?}");
        }
        // A second GET with the cookie of a tunnel that is open, and two lengths of one body.
        let (mut get, mut post, cookie) = open();
        for head in [
            format!("GET /replay/x HTTP/1.0\r\n{cookie}\r\n"),
            format!("POST /replay/x HTTP/1.1\r\n{cookie}Transfer-Encoding: chunked\r\n\r\n"),
            format!("POST /replay/x HTTP/1.1\r\n{cookie}{cookie}\r\n"),
        ] {
            let mut third = connect(address);
            third.write_all(head.as_bytes()).unwrap();
            let refused = until_closed(&mut third);
            let known = ["HTTP/1.1 409 ", "HTTP/1.1 501 ", "HTTP/1.1 400 "];
            assert!(known.iter().any(|k| refused.starts_with(k)), "{address} {head}{refused}");
        }
        post.write_all(asked.as_bytes()).unwrap();
        assert!(answer(&mut get).starts_with("RTSP/1.0 200 "), "{address}: the tunnel lives");
        // A body without an end, and nobody who reads what it asks for.
        let before = gateway.resident_kb();
        flood(&mut post, STANDARD.encode(OPTIONS.repeat(3)).as_bytes());
        let grown = grown(&gateway, before);
        assert!(grown <= HELD_KB, "{address}: {grown} kB");
        served(&gateway, &recorder);
    }
    gateway.stop();
}
