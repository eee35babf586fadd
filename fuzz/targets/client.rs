//! The RTSP client against a hostile recorder.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use dvrgate_rtsp::client::{Client, ClientOptions, ControlUrl, PlayOptions};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

/// A byte of switches (1: controls are appended, 2: in small pieces), then everything that the
/// recorder ever sends; then it closes the connection.
pub fn rtsp_client(data: &[u8]) {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without input and output needs nothing");
    }
    let Some((switches, script)) = data.split_first() else { return };
    let control = match switches & 1 {
        0 => ControlUrl::Resolve,
        _ => ControlUrl::Append,
    };
    let piece = if switches & 2 != 0 { super::piece_sizes(script)[1] } else { usize::MAX };
    let recorder = Recorder { script: script.to_vec(), at: 0, piece };
    RUNTIME.with(|r| {
        r.block_on(async {
            play(recorder, control).await;
            farewell().await;
        })
    });
}

/// A client that was dropped with a session says TEARDOWN from a task of its own, which ends with
/// the recorder's script.
async fn farewell() {
    for _ in 0..MAX_TURNS {
        if tokio::runtime::Handle::current().metrics().num_alive_tasks() == 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("a client that was dropped goes on");
}

/// Turns of the runtime; cooperative yields take some for a script of many messages.
const MAX_TURNS: usize = 10_000;

async fn play(recorder: Recorder, control: ControlUrl) {
    let options = ClientOptions {
        url: "rtsp://192.0.2.64:554/tracks/101/?starttime=20210818T151815Z&endtime=x".into(),
        username: "admin".into(),
        password: "12345".into(),
        control,
        raw_payload_types: vec![112],
        ..Default::default()
    };
    let mut client = Client::new(recorder, options);
    let _ = client.options().await;
    if client.describe().await.is_err() {
        return;
    }
    for media in client.playable() {
        let _ = client.setup(media).await;
    }
    if client.play(&PlayOptions::default()).await.is_err() {
        return;
    }
    while let Ok(Some(_)) = client.next_incoming().await {}
    // A seek, then the end.
    let _ = client.play(&PlayOptions::default()).await;
    while let Ok(Some(_)) = client.next_incoming().await {}
    let _ = client.teardown().await;
}

/// Sends what stands in a script, whatever it is asked, and reads nothing.
#[derive(Debug)]
struct Recorder {
    script: Vec<u8>,
    at: usize,
    piece: usize,
}

impl AsyncRead for Recorder {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let rest = &this.script[this.at..];
        let length = rest.len().min(this.piece).min(buffer.remaining());
        buffer.put_slice(&rest[..length]);
        this.at += length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(b.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
