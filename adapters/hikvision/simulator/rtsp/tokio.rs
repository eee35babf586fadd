//! Sockets and timers of the RTSP server: one task a connection, one player a session.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
use ::tokio::net::{TcpStream, UdpSocket};
use ::tokio::sync::mpsc;
use ::tokio::task::AbortHandle;
use ::tokio::time::{Instant, sleep, sleep_until};
use bytes::{BufMut, Bytes, BytesMut};
use dvrgate_model::Utc;
use dvrgate_testkit::chassis::Listener;
use dvrgate_testkit::chassis::http::spoil;
use dvrgate_testkit::{Sample, SampleKind};

use super::message::Front;
use super::rtp::{AUDIO_TYPE, PRIVATE_TYPE, Packetizer};
use super::session::{Medium, Play, Session, Then, Wish};
use crate::Pace;
use crate::behaviour::GapTime;
use crate::recorder::Recorder;

/// Packets that wait for a slow client.
const QUEUE: usize = 64;
const GARBAGE: &[u8] = b"\x01\x02$$$$RTSP\x00\xff\r\n\r\n\x80\x00";

/// Starts the RTSP server.
pub(crate) async fn start(addr: SocketAddr, recorder: Arc<Recorder>) -> io::Result<Listener> {
    let (control, counters) = (recorder.control.clone(), recorder.counters.clone());
    Listener::start(addr, control, counters, move |socket, peer| {
        let recorder = recorder.clone();
        async move {
            if let Err(error) = Connection::new(socket, peer, recorder).run().await {
                tracing::debug!(%peer, %error, "RTSP connection ended");
            }
        }
    })
    .await
}

struct Connection {
    recorder: Arc<Recorder>,
    socket: TcpStream,
    peer: SocketAddr,
    buffer: BytesMut,
    session: Session,
    ways: [Option<Way>; 2],
    player: Option<Player>,
}

/// Where packets of a medium go.
#[derive(Clone)]
enum Way {
    Tcp(u8),
    Udp(Arc<UdpSocket>, SocketAddr),
}

struct Player {
    task: AbortHandle,
    packets: mpsc::Receiver<Option<Bytes>>,
    position_us: Arc<AtomicI64>,
}

impl Drop for Player {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    fn new(socket: TcpStream, peer: SocketAddr, recorder: Arc<Recorder>) -> Self {
        let session = Session::new(recorder.clone(), peer.ip());
        let buffer = BytesMut::new();
        Self { recorder, socket, peer, buffer, session, ways: [None, None], player: None }
    }

    async fn run(mut self) -> io::Result<()> {
        loop {
            match Front::of(&self.buffer) {
                Front::Partial => {}
                Front::Interleaved(len) => {
                    let _ = self.buffer.split_to(len);
                    continue;
                }
                Front::Nonsense => {
                    return self.socket.write_all(b"RTSP/1.0 400 Bad Request\r\n\r\n").await;
                }
                Front::Request(len, request) => {
                    let _ = self.buffer.split_to(len);
                    if !self.serve(&request).await? {
                        return self.socket.shutdown().await;
                    }
                    continue;
                }
            }
            self.buffer.reserve(4096);
            let packet = async {
                match &mut self.player {
                    Some(player) => player.packets.recv().await,
                    None => std::future::pending().await,
                }
            };
            ::tokio::select! {
                read = self.socket.read_buf(&mut self.buffer) => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
                packet = packet => match packet {
                    Some(Some(packet)) => self.send(&packet).await?,
                    // The footage was cut off.
                    Some(None) => return Ok(()),
                    None => self.stop(),
                },
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await?;
        self.recorder.counters.count(|r| r.bytes_sent += bytes.len() as u64);
        Ok(())
    }

    /// Answers one request; false where the connection ends.
    async fn serve(&mut self, request: &super::message::Request) -> io::Result<bool> {
        let faults = self.recorder.control.faults();
        if faults.garbage {
            self.send(GARBAGE).await?;
            return Ok(false);
        }
        if faults.silent {
            let mut sink = [0; 1024];
            while self.socket.read(&mut sink).await? > 0 {}
            return Ok(false);
        }
        if let Some(player) = &self.player {
            self.session.played_to(Utc::from_micros(player.position_us.load(Ordering::SeqCst)));
        }
        let (mut answer, then) = self.session.answer(request);
        let mut play = None;
        let mut go_on = true;
        match then {
            Then::Go => {}
            Then::Wait(time) if time.is_zero() => {}
            Then::Wait(time) => sleep(time).await,
            Then::Open(medium, wish) => {
                let ssrc = rand::random::<u32>() >> 4;
                let (way, port) = self.open(wish).await?;
                self.ways[medium as usize] = Some(way);
                answer = answer.with("Transport", self.session.transport(wish, port, ssrc));
            }
            Then::Play(new) => {
                self.stop();
                play = Some(new);
            }
            Then::Stop => self.stop(),
            Then::Close => {
                self.stop();
                go_on = false;
            }
        }
        let cseq = request.header("cseq").unwrap_or("0");
        let bytes = answer.bytes(cseq, &self.session.date());
        self.send(&bytes).await?;
        if let Some(play) = play {
            self.play(*play);
        }
        Ok(go_on)
    }

    fn stop(&mut self) {
        self.player = None;
    }

    async fn open(&self, wish: Wish) -> io::Result<(Way, Option<u16>)> {
        match wish {
            Wish::Tcp(channel) => Ok((Way::Tcp(channel), None)),
            Wish::Udp(port) => {
                let socket = UdpSocket::bind((self.socket.local_addr()?.ip(), 0)).await?;
                let server_port = socket.local_addr()?.port();
                let to = SocketAddr::new(self.peer.ip(), port);
                Ok((Way::Udp(Arc::new(socket), to), Some(server_port)))
            }
        }
    }

    fn play(&mut self, play: Play) {
        let (sender, packets) = mpsc::channel(QUEUE);
        let position_us = Arc::new(AtomicI64::new(0));
        let show = Show {
            recorder: self.recorder.clone(),
            ways: self.ways.clone(),
            packets: sender,
            position_us: position_us.clone(),
            sent: 0,
        };
        let task = ::tokio::spawn(show.run(play)).abort_handle();
        self.player = Some(Player { task, packets, position_us });
    }
}

/// A running player.
struct Show {
    recorder: Arc<Recorder>,
    ways: [Option<Way>; 2],
    packets: mpsc::Sender<Option<Bytes>>,
    position_us: Arc<AtomicI64>,
    sent: u64,
}

impl Show {
    async fn run(mut self, play: Play) {
        let behaviour = self.recorder.behaviour();
        let speed = match self.recorder.options.pace {
            Pace::Real => Some(play.speed),
            Pace::Times(n) => Some(play.speed * n),
            Pace::Free if play.live => Some(play.speed),
            Pace::Free => None,
        };
        let mut streams = [
            Packetizer { ssrc: rand::random(), seq: rand::random() },
            Packetizer { ssrc: rand::random(), seq: rand::random() },
        ];
        let mut anchor: Option<(Instant, Utc)> = None;
        let (mut skipped_us, mut last) = (0, None::<Utc>);
        for sample in play.reel {
            if let (true, Some(last), GapTime::GoesOn) = (sample.first, last, behaviour.gap_time) {
                skipped_us += sample.at.since_us(last);
            }
            last = Some(sample.at);
            if sample.first || anchor.is_none() {
                anchor = Some((Instant::now(), sample.at));
            }
            if let (Some(speed), Some((when, at))) = (speed, anchor) {
                let us = sample.at.since_us(at).max(0) as f64 / speed.max(0.01);
                sleep_until(when + Duration::from_micros(us as u64)).await;
            }
            self.position_us.store(sample.at.micros(), Ordering::SeqCst);
            let packets =
                self.packets_of(&mut streams, &sample, skipped_us, behaviour.private_packets);
            for (medium, packet) in packets {
                if !self.deliver(medium, packet).await {
                    return;
                }
            }
        }
        // After the end: nothing, for as long as the client cares to wait.
        std::future::pending::<()>().await;
    }

    fn packets_of(
        &self,
        streams: &mut [Packetizer; 2],
        sample: &Sample,
        skipped_us: i64,
        private: bool,
    ) -> Vec<(Medium, Bytes)> {
        let shown = sample.at.plus_us(-skipped_us);
        match &sample.kind {
            SampleKind::Video(unit, clip) => {
                let time = self.recorder.ticks_90k(shown) as u32;
                let mut packets = Vec::new();
                if private && unit.key {
                    packets.push(streams[0].packet(
                        PRIVATE_TYPE,
                        false,
                        time,
                        &[],
                        &[0, 1, 0, 1, 0, 0, 0, 0],
                    ));
                }
                packets.extend(streams[0].picture(clip.codec(), &unit.nals, time));
                packets.into_iter().map(|p| (Medium::Video, p)).collect()
            }
            SampleKind::Audio(block) => {
                let us = self.recorder.archive.clock().device_utc(shown).micros();
                let time = us.div_euclid(125) as u32;
                vec![(Medium::Audio, streams[1].packet(AUDIO_TYPE, false, time, &[], block))]
            }
        }
    }

    /// Sends a packet; false where nothing more is to be sent.
    async fn deliver(&mut self, medium: Medium, packet: Bytes) -> bool {
        let Some(way) = self.ways[medium as usize].clone() else { return true };
        let faults = self.recorder.control.faults();
        let (packet, end) = spoil(&faults, self.sent, packet);
        if end {
            if faults.truncate_after_bytes.is_some() {
                let _ = self.packets.send(None).await;
            }
            std::future::pending::<()>().await;
        }
        self.sent += packet.len() as u64;
        self.recorder.counters.count(|r| r.footage_bytes_sent += packet.len() as u64);
        match way {
            Way::Tcp(channel) => {
                let mut framed = BytesMut::with_capacity(packet.len() + 4);
                framed.put_u8(b'$');
                framed.put_u8(channel);
                framed.put_u16(packet.len() as u16);
                framed.put_slice(&packet);
                self.packets.send(Some(framed.freeze())).await.is_ok()
            }
            Way::Udp(socket, to) => {
                // A full buffer or a closed port loses packets, as networks do.
                if socket.send_to(&packet, to).await.is_ok() {
                    self.recorder.counters.count(|r| r.bytes_sent += packet.len() as u64);
                }
                true
            }
        }
    }
}
