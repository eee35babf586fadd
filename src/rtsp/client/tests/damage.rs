//! Bytes that are cut anywhere, are missing or are wrong.

use bytes::Bytes;
use dvrgate_media::codec::annexb;
use dvrgate_media::container::Demuxed;
use dvrgate_model::{Codec, CodecParams, ErrorKind};
use tokio::io::{AsyncWriteExt, DuplexStream};

use super::{ROOM, SDP, options, pair, playing};
use crate::client::{Client, PlayOptions};
use crate::message::Method;
use crate::rtp::packetize::{AccessUnit, Packetizer};
use crate::rtp::{Packets, Target};

/// Three access units as packets of channel 0.
fn footage() -> (Vec<Bytes>, Vec<u8>) {
    let params = CodecParams::new(Codec::H264);
    let nal = |first: u8, fill: u8, len: usize| [&[first][..], &vec![fill; len]].concat();
    let key = annexb::join([&[0x67, 9][..], &[0x68, 1], &nal(0x65, 1, 3000)]);
    let units =
        vec![key, annexb::join([&nal(0x41, 2, 40)[..]]), annexb::join([&nal(0x41, 3, 1500)[..]])];
    let mut packetizer = Packetizer::new(Codec::H264, 96, 1, 65_534);
    let mut packets = Packets::default();
    for (i, data) in units.iter().enumerate() {
        let timestamp = (u32::MAX - 100).wrapping_add(3600 * i as u32);
        let unit = AccessUnit { timestamp, extension: None, clean: i == 0, params: &params, data };
        packetizer.packetize(&unit, Target::Interleaved(0), &mut packets);
    }
    let mut wire = Vec::new();
    while let Some((_, [head, body])) = packets.datagram() {
        wire.extend_from_slice(head);
        wire.extend_from_slice(body);
        packets.datagram_done();
    }
    (units, wire)
}

async fn check_footage(client: &mut Client<DuplexStream>, expected: &[Bytes], what: &str) {
    let mut ticks = 0;
    for unit in expected {
        let got = loop {
            match client.next().await.unwrap().expect(what).item {
                Demuxed::Unit(u) => break u,
                Demuxed::Params(_) => {}
                other => panic!("{what}: {other:?}"),
            }
        };
        assert_eq!((&got.data, got.media.ticks), (unit, ticks), "{what}");
        ticks += 3600;
    }
}

#[tokio::test]
async fn units_are_what_was_packetized_wherever_the_connection_cuts_them() {
    let (units, wire) = footage();
    for cut in 1..wire.len() {
        let (mut client, mut recorder) = playing(options(), "1").await;
        let send = async {
            recorder.write(&wire[..cut]).await;
            tokio::task::yield_now().await;
            recorder.write(&wire[cut..]).await;
        };
        let what = format!("cut at byte {cut}");
        tokio::join!(check_footage(&mut client, &units, &what), send);
    }
}

#[tokio::test]
async fn a_whole_dialogue_passes_byte_by_byte() {
    let (units, wire) = footage();
    let (mut client, mut recorder) = pair(options(), 1);
    let ask = async {
        client.describe().await.unwrap();
        client.setup(0).await.unwrap();
        client.play(&PlayOptions::default()).await.unwrap();
        check_footage(&mut client, &units, "byte by byte").await;
        client.teardown().await.unwrap();
    };
    let answer = async {
        recorder.serve(Method::Describe, &format!("200 OK\r\n\r\n{SDP}")).await;
        recorder.serve(Method::Setup, "200 OK\r\nSession: 1\r\n").await;
        recorder.serve(Method::Play, "200 OK").await;
        recorder.write(&wire).await;
        recorder.serve(Method::Teardown, "200 OK").await;
    };
    tokio::join!(ask, answer);
}

fn replies() -> [String; 3] {
    [
        format!("RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Base: rtsp://h/a/\r\nContent-Length: {}\r\n\r\n{SDP}", SDP.len()),
        "RTSP/1.0 200 OK\r\nCSeq: 2\r\nSession: 9;timeout=60\r\nTransport: RTP/AVP/TCP;interleaved=0-1;ssrc=0A\r\n\r\n".to_owned(),
        "RTSP/1.0 200 OK\r\nCSeq: 3\r\nRange: npt=0-\r\nScale: 1.0\r\nRTP-Info: url=trackID=video;seq=1;rtptime=2\r\n\r\n".to_owned(),
    ]
}

/// How many of the three steps succeed with a recorder that says this and closes.
async fn steps(bytes: &[u8]) -> usize {
    let (mut client, mut recorder) = pair(options(), ROOM);
    recorder.write(bytes).await;
    recorder.io.shutdown().await.unwrap();
    if client.describe().await.is_err() {
        return 0;
    }
    if client.setup(0).await.is_err() {
        return 1;
    }
    if client.play(&PlayOptions::default()).await.is_err() {
        return 2;
    }
    // To the end, whatever it is.
    while let Ok(Some(_)) = client.next().await {}
    3
}

#[tokio::test]
async fn answers_that_are_cut_off_are_errors() {
    let all = replies().concat();
    let mut ends = Vec::new();
    for reply in replies() {
        ends.push(ends.last().copied().unwrap_or(0) + reply.len());
    }
    for end in 0..=all.len() {
        let whole = ends.iter().filter(|e| **e <= end).count();
        assert_eq!(steps(&all.as_bytes()[..end]).await, whole, "{end} of {ends:?}");
    }
}

#[tokio::test]
async fn no_damage_makes_it_panic_or_hang() {
    let (_, wire) = footage();
    let mut all = replies().concat().into_bytes();
    all.extend_from_slice(&wire[..200]);
    let mut passed = 0;
    for at in 0..all.len() {
        for byte in [0, b'\n', b'$', b':', b'9', 0xff] {
            let mut damaged = all.clone();
            damaged[at] = byte;
            passed += usize::from(steps(&damaged).await == 3);
        }
    }
    assert!(passed > all.len(), "most damage is in what does not matter: {passed}");
}

#[tokio::test]
async fn a_recorder_that_asks_and_never_reads_is_given_up() {
    let (mut client, mut recorder) = pair(options(), 64);
    let flood = async {
        loop {
            recorder.write(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n").await;
        }
    };
    let result = tokio::select! {
        result = client.next() => result,
        () = flood => panic!("endless"),
    };
    assert_eq!(result.unwrap_err().kind(), ErrorKind::LimitExceeded);
}
