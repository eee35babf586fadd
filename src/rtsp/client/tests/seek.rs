//! More than one PLAY on a session.

use dvrgate_media::container::Demuxed;
use dvrgate_model::ErrorKind;
use tokio::io::AsyncWriteExt;

use super::{frame, options, playing, sounds};
use crate::client::{End, PlayOptions, Received};
use crate::message::Method;
use crate::rtp::write_goodbye;

#[tokio::test]
async fn a_seek_drops_the_old_playback_and_keeps_all_of_the_new() {
    let (mut client, mut recorder) = playing(options(), "1").await;
    recorder.sound(100).await;
    let serve = async {
        let play = recorder.asked(Method::Play).await;
        recorder.sound(101).await;
        let info = "RTP-Info: url=trackID=video;seq=9,url=trackID=audio;seq=500;rtptime=79840";
        recorder
            .answer(&play, &format!("200 OK\r\nRange: clock=20240501T090000Z-\r\n{info}\r\n"))
            .await;
        for n in [102, 103, 500, 501] {
            recorder.sound(n).await;
        }
    };
    let anywhere = PlayOptions::default();
    let (reply, ()) = tokio::join!(client.play(&anywhere), serve);
    assert!(reply.unwrap().range.is_some());
    let mut got = Vec::new();
    while got.len() < 2 {
        if let Some(Received { media: 1, item: Demuxed::Unit(u), .. }) =
            client.next().await.unwrap()
        {
            got.push((u.data[1], u.media.ticks));
        }
    }
    assert_eq!(got, [(500u16 as u8, 160), (501u16 as u8, 320)]);
}

#[tokio::test]
async fn a_refused_seek_changes_nothing() {
    let (mut client, mut recorder) = playing(options(), "1").await;
    recorder.sound(100).await;
    let serve = async {
        let play = recorder.asked(Method::Play).await;
        recorder.sound(101).await;
        recorder.answer(&play, "457 Invalid Range").await;
        recorder.sound(102).await;
        recorder.io.shutdown().await.unwrap();
    };
    let anywhere = PlayOptions::default();
    let (reply, ()) = tokio::join!(client.play(&anywhere), serve);
    assert_eq!(reply.unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(sounds(&mut client).await, [100, 101, 102]);
    assert_eq!(client.end(), Some(End::Closed));
}

#[tokio::test]
async fn after_the_end_of_one_playback_another_can_start() {
    let (mut client, mut recorder) = playing(options(), "1").await;
    recorder.sound(1).await;
    for channel in [1, 3] {
        let mut bye = Vec::new();
        write_goodbye(&mut bye, 9, "peer");
        recorder.write(&frame(channel, &bye)).await;
    }
    assert_eq!(sounds(&mut client).await, [1]);
    assert_eq!(client.end(), Some(End::Said));
    let serve = async {
        recorder.serve(Method::Play, "200 OK").await;
        recorder.sound(2).await;
        recorder.io.shutdown().await.unwrap();
    };
    let anywhere = PlayOptions::default();
    let (reply, ()) = tokio::join!(client.play(&anywhere), serve);
    reply.unwrap();
    assert_eq!(client.end(), None);
    assert_eq!(sounds(&mut client).await, [2]);
}
