//! The simulator against clients: raw ones here, and decoders that nobody here wrote.

mod alerts;
mod download;
mod http;
mod playback;
mod scenarios;
mod search;

use std::net::SocketAddr;
use std::time::Duration;

use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
use ::tokio::net::TcpStream;
use ::tokio::time::timeout;
use digest_auth::{AuthContext, HttpMethod};
use dvrgate_model::Utc;
use dvrgate_testkit::Scenario;

use crate::{Handle, Options, Pace, Simulator};

/// Far beyond any delay of a healthy test.
const PATIENCE: Duration = Duration::from_secs(60);
const USER: &str = "admin";
const PASSWORD: &str = "simulated-1";

/// A simulator on free ports, playing as fast as it goes.
async fn simulator(scenario: &str) -> Handle {
    let options = Options { pace: Pace::Free, ..Options::default() };
    Simulator::start(&Scenario::parse(scenario).unwrap(), options).await.unwrap()
}

/// A channel with an hour of footage in the past and the given switches.
fn hour(behaviour: &str) -> String {
    format!(
        "[behaviour]\n{behaviour}\n[clock]\noffset_s = 137.4\nzone = \"Europe/Bratislava\"\n\
         [[channel]]\nid = 1\nname = \"Yard\"\naudio = true\n[[channel.recorded]]\n\
         from = \"2026-06-01T10:00:00Z\"\nto = \"2026-06-01T11:00:00Z\"\n"
    )
}

fn utc(text: &str) -> Utc {
    text.parse().unwrap()
}

/// An answer over HTTP.
#[derive(Debug)]
struct Got {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Got {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn all(&self, element: &str) -> Vec<String> {
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        let text = self.text();
        let found = text.split(&open).skip(1);
        found.filter_map(|t| t.split_once(&close)).map(|(v, _)| v.to_owned()).collect()
    }

    fn challenge(&self) -> &str {
        let line = self.head.lines().find(|l| l.starts_with("WWW-Authenticate: ")).unwrap();
        &line["WWW-Authenticate: ".len()..]
    }
}

/// One request on a connection of its own, with these header lines.
async fn ask(addr: SocketAddr, method: &str, target: &str, headers: &str, body: &str) -> Got {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n{headers}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await.unwrap();
    let at = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut body = bytes.split_off(at);
    if head.contains("chunked") {
        body = unchunked(&body);
    }
    Got { status, head, body }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let at = rest.windows(2).position(|w| w == b"\r\n").unwrap();
        let len = usize::from_str_radix(std::str::from_utf8(&rest[..at]).unwrap(), 16).unwrap();
        if len == 0 {
            return out;
        }
        out.extend_from_slice(&rest[at + 2..at + 2 + len]);
        rest = &rest[at + 2 + len + 2..];
    }
}

/// The `Authorization` line that answers a challenge.
fn authorization(challenge: &str, method: &str, uri: &str, password: &str) -> String {
    let mut prompt = digest_auth::parse(challenge).unwrap();
    let method = HttpMethod::from(method.to_owned());
    let context = AuthContext::new_with_method(USER, password, uri, Option::<&[u8]>::None, method);
    format!("Authorization: {}\r\n", prompt.respond(&context).unwrap())
}

/// A request with digest, after the challenge.
async fn get(sim: &Handle, method: &str, target: &str, body: &str) -> Got {
    let challenge = ask(sim.http_addr, method, target, "", body).await;
    assert_eq!(challenge.status, 401, "{}", challenge.text());
    let header = authorization(challenge.challenge(), method, target, PASSWORD);
    ask(sim.http_addr, method, target, &header, body).await
}

/// A search for footage of a track; `extra` goes into the request.
async fn search(sim: &Handle, track: u32, from: &str, to: &str, extra: &str) -> Got {
    let body = format!(
        "<CMSearchDescription><searchID>88C2CD4D-D3FA-4AD4-BD80-555C18205DCC</searchID>\
         <trackList><trackID>{track}</trackID></trackList><timeSpanList><timeSpan>\
         <startTime>{from}</startTime><endTime>{to}</endTime></timeSpan></timeSpanList>{extra}\
         <metadataList><metadataDescriptor>//recordType.meta.std-cgi.com</metadataDescriptor>\
         </metadataList></CMSearchDescription>"
    );
    get(sim, "POST", "/ISAPI/ContentMgmt/search", &body).await
}

/// Runs ffmpeg on an input and gives the instants that the decoded pictures show; none where there
/// is no ffmpeg.
async fn decoded(input: &[&str], size: (usize, usize), frames: usize) -> Option<Vec<Utc>> {
    let frames = frames.to_string();
    let running = ::tokio::process::Command::new("ffmpeg")
        // Threads would keep pictures back until an end that never comes.
        .args(["-v", "error", "-nostdin", "-threads", "1"])
        .args(input)
        .args(["-map", "0:v", "-fps_mode", "passthrough", "-frames:v", &frames])
        .args(["-f", "rawvideo", "-pix_fmt", "gray", "-"])
        .kill_on_drop(true)
        .output();
    let Ok(output) = timeout(PATIENCE, running).await.expect("ffmpeg in time") else {
        eprintln!("SKIPPED: no ffmpeg to decode with");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let clock = |luma: &[u8]| {
        dvrgate_testkit::footage::read_clock(luma, size.0, size.1, size.0).expect("a clock").at
    };
    Some(output.stdout.chunks(size.0 * size.1).map(clock).collect())
}

/// Every picture of the synthetic grid from one instant to another.
fn grid(from: &str, to: &str) -> Vec<Utc> {
    let (from, to) = (utc(from), utc(to));
    (0..).map(|n| from.plus_us(n * 80_000)).take_while(|&t| t < to).collect()
}
