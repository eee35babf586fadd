//! Dialogues with a recorder that follows a script.

mod damage;
mod dialogue;
mod life;
mod seek;

use dvrgate_media::container::Demuxed;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::{Client, ClientOptions, ControlUrl, PlayOptions};
use crate::message::{Item, Limits, Method, Reader, Request};
use crate::rtp::Header;

const URL: &str = "rtsp://192.0.2.7:554/tracks/101/?starttime=20240501T080000Z&size=7";
const SDP: &str = "v=0\r\ns=Footage\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=video\r\n\
    m=audio 0 RTP/AVP 8\r\na=control:trackID=audio\r\n\
    m=application 0 RTP/AVP 112\r\na=rtpmap:112 X-PRIVATE/90000\r\na=control:trackID=more\r\n";
const ROOM: usize = 1 << 20;

/// The other end of the connection.
struct Recorder {
    io: DuplexStream,
    reader: Reader,
}

impl Recorder {
    /// The next request; `None` where the client closed.
    async fn request(&mut self) -> Option<Request> {
        loop {
            match self.reader.next_item().unwrap() {
                Some(Item::Request(request)) => return Some(request),
                Some(_) => {}
                None => {
                    if self.io.read_buf(self.reader.buffer()).await.unwrap() == 0 {
                        return None;
                    }
                }
            }
        }
    }

    async fn asked(&mut self, method: Method) -> Request {
        let request = self.request().await.expect("a request");
        assert_eq!(request.method, method);
        request
    }

    /// Status line and header fields, each with its line break; a body behind an empty line.
    async fn answer(&mut self, to: &Request, text: &str) {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let head = head.trim_end();
        let cseq = to.fields.get("CSeq").unwrap();
        let length = body.len();
        self.write(
            format!("RTSP/1.0 {head}\r\nCSeq: {cseq}\r\nContent-Length: {length}\r\n\r\n{body}")
                .as_bytes(),
        )
        .await;
    }

    async fn serve(&mut self, method: Method, text: &str) -> Request {
        let request = self.asked(method).await;
        self.answer(&request, text).await;
        request
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
    }

    /// One sample of sound on channel 2 with its number in it.
    async fn sound(&mut self, sequence: u16) {
        self.write(&interleaved(2, 8, sequence, &sequence.to_be_bytes())).await;
    }
}

fn interleaved(channel: u8, payload_type: u8, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let timestamp = u32::from(sequence) * 160;
    Header { marker: false, payload_type, sequence, timestamp, ssrc: 9 }.write(&mut packet, false);
    packet.extend_from_slice(payload);
    frame(channel, &packet)
}

fn frame(channel: u8, packet: &[u8]) -> Vec<u8> {
    let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
    [&[b'$', channel], &length[..], packet].concat()
}

fn options() -> ClientOptions {
    ClientOptions {
        url: URL.to_owned(),
        username: "reader".to_owned(),
        password: "sesame".to_owned(),
        control: ControlUrl::Append,
        ..Default::default()
    }
}

fn pair(options: ClientOptions, room: usize) -> (Client<DuplexStream>, Recorder) {
    let (near, far) = duplex(room);
    (Client::new(near, options), Recorder { io: far, reader: Reader::new(Limits::default()) })
}

/// A session that plays video on channel 0 and sound on channel 2.
async fn playing(options: ClientOptions, session: &str) -> (Client<DuplexStream>, Recorder) {
    let (mut client, mut recorder) = pair(options, ROOM);
    let ask = async {
        client.describe().await.unwrap();
        for media in client.playable() {
            client.setup(media).await.unwrap();
        }
        client.play(&PlayOptions::default()).await.unwrap();
    };
    let answer = async {
        recorder.serve(Method::Describe, &format!("200 OK\r\n\r\n{SDP}")).await;
        loop {
            let request = recorder.request().await.unwrap();
            if request.method == Method::Play {
                break recorder.answer(&request, "200 OK").await;
            }
            recorder.answer(&request, &format!("200 OK\r\nSession: {session}\r\n")).await;
        }
    };
    tokio::join!(ask, answer);
    (client, recorder)
}

/// The numbers in the samples that come until the end.
async fn sounds(client: &mut Client<DuplexStream>) -> Vec<u16> {
    let mut got = Vec::new();
    while let Some(received) = client.next().await.unwrap() {
        if let Demuxed::Unit(u) = received.item {
            got.push(u16::from_be_bytes([u.data[0], u.data[1]]));
        }
    }
    got
}
