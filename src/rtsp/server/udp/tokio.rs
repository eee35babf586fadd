//! The sockets: pairs of ports, sends of many datagrams, reports that come back.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use ::tokio::io::{Interest, ReadBuf};
use ::tokio::net::UdpSocket;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, getsockopt, sendmmsg, sendmsg, sockopt,
};
use socket2::SockRef;

use super::{Destination, Group};
use crate::rtp::{Packets, Run, Target};
use crate::server::{Peer, TICK};

/// Datagram bytes a tick: 105 Mbit/s. A key frame must not overrun a receiver's buffer.
const BYTES_A_TICK: usize = 64 * 1024;
/// The kernel cuts a send into no more, and takes no more at once.
const SEGMENTS: usize = 64;
const SEND_BYTES: usize = 65_000;
/// Largest datagram that is read from a client: a compound of receiver reports.
const RTCP_BYTES: usize = 1500;
const PORT_ATTEMPTS: usize = 64;

/// The datagrams of a session.
#[derive(Debug)]
pub struct Datagrams {
    streams: Vec<Option<Ports>>,
    portion: Portion,
}

/// The UDP ports of one stream.
#[derive(Debug)]
struct Ports {
    rtp: Outlet,
    rtcp: Outlet,
}

/// Datagram bytes of the current tick.
#[derive(Debug)]
struct Portion {
    until: Instant,
    sent: usize,
}

/// A connected socket.
#[derive(Debug)]
struct Outlet {
    socket: UdpSocket,
    /// The kernel cuts what is sent into datagrams.
    segments: bool,
}

impl Datagrams {
    /// Without any port.
    pub fn new(now: Instant) -> Self {
        Self { streams: Vec::new(), portion: Portion { until: now, sent: 0 } }
    }

    /// Opens the ports of a stream; returns their numbers.
    pub fn bind(&mut self, stream: usize, peer: Peer, to: Destination) -> io::Result<(u16, u16)> {
        let ports = match to {
            Destination::Client { ports } => bind_pair(peer, ports)?,
            Destination::Group(group) => bind_group(peer, group)?,
        };
        let numbers = (ports.rtp.port()?, ports.rtcp.port()?);
        self.streams.resize_with(self.streams.len().max(stream + 1), || None);
        self.streams[stream] = Some(ports);
        Ok(numbers)
    }

    /// The session is over: its last few small datagrams leave, then its ports close.
    pub fn close(&mut self, last: &mut Packets) {
        while let Some((target, [head, body])) = last.datagram() {
            if let Some(outlet) = outlet(&mut self.streams, target) {
                // A client that is gone has no need of it.
                let _ = outlet.socket.try_send(&[head, body].concat());
            }
            last.datagram_done();
        }
        self.streams.clear();
    }

    /// Sends a portion. What a client refuses (its port is closed) is lost, as datagrams may be.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        packets: &mut Packets,
        now: Instant,
    ) -> Poll<()> {
        if packets.is_empty() {
            return Poll::Pending;
        }
        if now >= self.portion.until {
            self.portion = Portion { until: now + TICK, sent: 0 };
        }
        let mut any = false;
        while self.portion.sent < BYTES_A_TICK
            && let Some(run) =
                packets.run(SEGMENTS, SEND_BYTES.min(BYTES_A_TICK - self.portion.sent))
        {
            let sent = match outlet(&mut self.streams, run.target) {
                None => run.packets,
                Some(outlet) => match outlet.poll_send(cx, packets, run) {
                    Poll::Pending => break,
                    Poll::Ready(sent) => sent.unwrap_or(run.packets),
                },
            };
            let before = packets.pending_bytes();
            packets.datagrams_done(sent);
            self.portion.sent += before - packets.pending_bytes();
            any = true;
        }
        if any { Poll::Ready(()) } else { Poll::Pending }
    }

    /// When the next portion may leave, if the current one is used up.
    pub fn next_portion(&self) -> Option<Instant> {
        (self.portion.sent >= BYTES_A_TICK).then_some(self.portion.until)
    }

    /// Calls for each datagram on an RTCP port.
    pub fn poll_rtcp(&mut self, cx: &mut Context<'_>, mut received: impl FnMut(&[u8])) {
        let mut bytes = [0u8; RTCP_BYTES];
        for ports in self.streams.iter().flatten() {
            let mut buffer = ReadBuf::new(&mut bytes);
            while let Poll::Ready(Ok(())) = ports.rtcp.socket.poll_recv(cx, &mut buffer) {
                received(buffer.filled());
                buffer.clear();
            }
        }
    }
}

fn outlet(streams: &mut [Option<Ports>], target: Target) -> Option<&mut Outlet> {
    let (stream, rtcp) = match target {
        Target::Rtp(stream) => (stream, false),
        Target::Rtcp(stream) => (stream, true),
        Target::Response | Target::Interleaved(_) => return None,
    };
    let ports = streams.get_mut(stream)?.as_mut()?;
    Some(if rtcp { &mut ports.rtcp } else { &mut ports.rtp })
}

impl Outlet {
    /// Bound to that port, or any, and connected.
    fn open(local: SocketAddr, remote: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(local)?;
        socket.set_nonblocking(true)?;
        socket.connect(remote)?;
        // Kernels before 4.18 do not know the option.
        let segments = getsockopt(&socket, sockopt::UdpGsoSegment).is_ok();
        Ok(Self { socket: UdpSocket::from_std(socket)?, segments })
    }

    fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Sends the run; returns how many packets of it.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        packets: &Packets,
        run: Run,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_send_ready(cx))?;
            let (fd, segments) = (self.socket.as_raw_fd(), self.segments && run.packets > 1);
            let sent = self.socket.try_io(Interest::WRITABLE, || {
                if segments {
                    send_segmented(fd, packets, run)
                } else {
                    send_each(fd, packets, run.packets)
                }
                .map_err(io::Error::from)
            });
            match sent {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                // A way with a smaller packet size, or a device that cannot: the kernel says so by
                // one of several errors. Refused is what the client's host said of another one.
                Err(e) if segments && e.kind() != io::ErrorKind::ConnectionRefused => {
                    tracing::debug!(error = %e, "no segmented sends on this way");
                    self.segments = false;
                }
                other => return Poll::Ready(other),
            }
        }
    }
}

/// Headers and payloads, gathered by the kernel and cut by it.
fn send_segmented(fd: i32, packets: &Packets, run: Run) -> nix::Result<usize> {
    let mut slices = Vec::with_capacity(2 * run.packets);
    slices.extend(packets.datagrams().take(run.packets).flatten().map(IoSlice::new));
    let size = u16::try_from(run.segment_bytes).map_err(|_| Errno::EMSGSIZE)?;
    let cut = [ControlMessage::UdpGsoSegments(&size)];
    sendmsg::<()>(fd, &slices, &cut, MsgFlags::empty(), None)?;
    Ok(run.packets)
}

/// A datagram a packet, many a call.
fn send_each(fd: i32, packets: &Packets, count: usize) -> nix::Result<usize> {
    let slices: Vec<[IoSlice<'_>; 2]> =
        packets.datagrams().take(count).map(|parts| parts.map(IoSlice::new)).collect();
    let mut headers = MultiHeaders::<()>::preallocate(slices.len(), None);
    let to = vec![None; slices.len()];
    Ok(sendmmsg(fd, &mut headers, &slices, &to, [], MsgFlags::empty())?.count())
}

/// A pair of neighbouring ports, the first one even (RFC 3550 section 11), that speak to the
/// client's pair only.
fn bind_pair(peer: Peer, client: (u16, u16)) -> io::Result<Ports> {
    let open =
        |port: u16, to: u16| Outlet::open((peer.local, port).into(), (peer.remote, to).into());
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PORT_ATTEMPTS {
        let first = open(0, client.0)?;
        let port = first.port()?;
        // The even one of the two neighbours may be the one below.
        let (rtp, rtcp) = if port.is_multiple_of(2) {
            (Ok(first), open(port + 1, client.1))
        } else {
            drop(first);
            (open(port - 1, client.0), open(port, client.1))
        };
        match (rtp, rtcp) {
            (Ok(rtp), Ok(rtcp)) => return Ok(Ports { rtp, rtcp }),
            (Err(e), _) | (_, Err(e)) => last = e,
        }
    }
    Err(last)
}

/// Two ports that send to a group, out of the interface on which the client came.
fn bind_group(peer: Peer, group: Group) -> io::Result<Ports> {
    let IpAddr::V4(local) = peer.local.to_canonical() else {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    };
    let open = |to: u16| {
        let outlet = Outlet::open((local, 0).into(), (group.address, to).into())?;
        let socket = SockRef::from(&outlet.socket);
        socket.set_multicast_if_v4(&local)?;
        socket.set_multicast_ttl_v4(group.ttl.into())?;
        Ok::<_, io::Error>(outlet)
    };
    Ok(Ports { rtp: open(group.ports.0)?, rtcp: open(group.ports.1)? })
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use bytes::Bytes;

    use super::*;

    fn receiver() -> (std::net::UdpSocket, SocketAddr) {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    /// Packets of these sizes that say which one they are.
    fn packets(sizes: &[usize]) -> Packets {
        let mut p = Packets::default();
        for (n, size) in sizes.iter().enumerate() {
            p.push(Target::Rtp(0), Bytes::from(vec![n as u8; size - 1]), |h| h.push(n as u8));
        }
        p
    }

    /// Sends runs of at most that many packets; returns how many sends it took.
    async fn send(outlet: &mut Outlet, p: &mut Packets, most: usize) -> usize {
        let mut sends = 0;
        while let Some(run) = p.run(most, SEND_BYTES) {
            let sent = poll_fn(|cx| outlet.poll_send(cx, p, run)).await.unwrap();
            p.datagrams_done(sent);
            sends += 1;
        }
        sends
    }

    fn received(socket: &std::net::UdpSocket, sizes: &[usize]) {
        for (n, size) in sizes.iter().enumerate() {
            let mut buffer = [0; 2000];
            let got = socket.recv(&mut buffer).unwrap();
            assert_eq!((got, buffer[0], buffer[got - 1]), (*size, n as u8, n as u8));
        }
    }

    /// An access unit of parameter sets and fragments, the same datagrams in either way.
    #[tokio::test]
    async fn with_and_without_segmentation_the_datagrams_are_the_same() {
        let sizes = [&[30, 8][..], &[1400; 13], &[900]].concat();
        for segments in [true, false] {
            let (socket, address) = receiver();
            let mut outlet = Outlet::open("127.0.0.1:0".parse().unwrap(), address).unwrap();
            outlet.segments &= segments;
            // The sets, then the fragments.
            assert_eq!(send(&mut outlet, &mut packets(&sizes), SEGMENTS).await, 2);
            received(&socket, &sizes);
        }
    }

    /// More segments than any kernel takes: it refuses, and they leave one by one.
    #[tokio::test]
    async fn what_the_kernel_refuses_to_cut_is_sent_plainly() {
        let (socket, address) = receiver();
        let mut outlet = Outlet::open("127.0.0.1:0".parse().unwrap(), address).unwrap();
        let (knew, sizes) = (outlet.segments, [20; 200]);
        send(&mut outlet, &mut packets(&sizes), 200).await;
        received(&socket, &sizes);
        assert!(!outlet.segments, "known before: {knew}");
        // From now on without a try.
        send(&mut outlet, &mut packets(&[9, 9]), SEGMENTS).await;
        received(&socket, &[9, 9]);
    }

    /// R8.7-2 does not hang on it: who closed its ports loses datagrams, and nothing else happens.
    #[tokio::test]
    async fn a_closed_port_is_no_error_of_the_session() {
        let peer = Peer { remote: [127, 0, 0, 1].into(), local: [127, 0, 0, 1].into() };
        let (socket, address) = receiver();
        drop(socket);
        let now = ::tokio::time::Instant::now().into_std();
        let mut datagrams = Datagrams::new(now);
        let to = Destination::Client { ports: (address.port(), address.port()) };
        datagrams.bind(0, peer, to).unwrap();
        let mut p = packets(&[1400; 90]);
        let (mut at, mut turns) = (now, 0);
        while !p.is_empty() {
            poll_fn(|cx| datagrams.poll_send(cx, &mut p, at)).await;
            // A portion a tick, so that nothing overruns a receiver.
            assert!(p.is_empty() || datagrams.next_portion() == Some(at + TICK));
            at += TICK;
            turns += 1;
        }
        assert_eq!(turns, 2);
    }
}
