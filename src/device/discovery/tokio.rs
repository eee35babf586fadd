//! The driver: UDP port 3702, multicast and unicast.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket as StdUdpSocket};
use std::sync::Arc;

use ::tokio::net::UdpSocket;
use ::tokio::sync::Semaphore;
use ::tokio::task::JoinSet;
use dvrgate_model::ports::Clock;
use dvrgate_soap::DEVICE_SERVICE_PATH;
use socket2::{Domain, Protocol, Socket, Type};

use super::message::MAX_DATAGRAM_BYTES;
use super::{GROUP, Responder, Target, parse};
use crate::machine::Machine;
use crate::state::State;

/// What discovery tells, and where it listens.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// Scopes, mode, endpoint.
    pub state: Arc<State>,
    /// Interfaces.
    pub machine: Arc<dyn Machine>,
    /// Time, for the number of this run.
    pub clock: Arc<dyn Clock>,
    /// Port of the device service.
    pub http_port: u16,
    /// Host, with or without a port, to tell instead of the address of the interface.
    pub advertise: Option<String>,
    /// Port to listen on and to announce to: [`super::PORT`], except in tests.
    pub port: u16,
    /// Whether to join the multicast group and announce: yes, except in tests.
    pub multicast: bool,
}

impl Discovery {
    /// Answers until `stop` resolves, then says good-bye. When the port cannot be had, says so in the
    /// log and waits for the end: the gateway works without being found.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        match self.bind() {
            Ok(socket) => self.serve(socket, stop).await,
            Err(error) => {
                tracing::warn!(%error, port = self.port, "WS-Discovery is off: no socket");
                stop.await;
            }
        }
    }

    /// The socket, shared with whoever else on this host answers discovery.
    pub fn bind(&self) -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.set_multicast_ttl_v4(1)?;
        let any = if self.multicast { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        socket.bind(&SocketAddrV4::new(any, self.port).into())?;
        if self.multicast {
            let joined = self.addresses().filter(|ip| socket.join_multicast_v4(&GROUP, ip).is_ok());
            if joined.count() == 0 {
                socket.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED)?;
            }
        }
        UdpSocket::from_std(StdUdpSocket::from(socket))
    }

    /// Serves on a socket that was bound before.
    pub async fn serve(self, socket: UdpSocket, stop: impl Future<Output = ()>) {
        let socket = Arc::new(socket);
        let mut responder = Responder::new(self.clock.utc());
        let mut version = self.state.metadata_version();
        let mut was_discoverable = self.announce(&socket, &mut responder).await;
        let places = Arc::new(Semaphore::new(MAX_WAITING));
        let mut waiting = JoinSet::new();
        let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
        ::tokio::pin!(stop);
        loop {
            ::tokio::select! {
                () = &mut stop => break,
                Ok(()) = version.changed() => {
                    if was_discoverable && !self.state.is_discoverable() {
                        self.leave(&socket, &mut responder).await;
                    }
                    was_discoverable = self.announce(&socket, &mut responder).await;
                }
                Some(_) = waiting.join_next(), if !waiting.is_empty() => {}
                received = socket.recv_from(&mut buffer) => {
                    let Ok((length, from)) = received else { continue };
                    let Some(request) = parse(&buffer[..length]) else { continue };
                    let Some(answer) = responder.ask(request, from, || self.target_for(from)) else {
                        continue;
                    };
                    // A flood of questions gets no flood of answers.
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                    let socket = Arc::clone(&socket);
                    waiting.spawn(async move {
                        ::tokio::time::sleep(answer.after).await;
                        if let Err(error) = socket.send_to(&answer.bytes, answer.to).await {
                            tracing::debug!(%error, to = %answer.to, "discovery answer not sent");
                        }
                        drop(place);
                    });
                }
            }
        }
        if was_discoverable {
            self.leave(&socket, &mut responder).await;
        }
    }

    /// Says Hello on every interface, if that is wanted; returns whether the gateway may be found.
    async fn announce(&self, socket: &UdpSocket, responder: &mut Responder) -> bool {
        if !self.state.is_discoverable() {
            return false;
        }
        for address in self.addresses().collect::<Vec<_>>() {
            let target = self.target(vec![self.url(IpAddr::V4(address))]);
            self.multicast(socket, address, &responder.hello(&target)).await;
        }
        true
    }

    async fn leave(&self, socket: &UdpSocket, responder: &mut Responder) {
        for address in self.addresses().collect::<Vec<_>>() {
            let target = self.target(Vec::new());
            self.multicast(socket, address, &responder.bye(&target)).await;
        }
    }

    async fn multicast(&self, socket: &UdpSocket, from: Ipv4Addr, bytes: &[u8]) {
        if !self.multicast {
            return;
        }
        let chosen = socket2::SockRef::from(socket).set_multicast_if_v4(&from);
        let sent = match chosen {
            Ok(()) => socket.send_to(bytes, (GROUP, self.port)).await.map(drop),
            Err(e) => Err(e),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, %from, "announcement not sent");
        }
    }

    /// What a client is told; nothing while the device hides.
    pub(crate) fn target_for(&self, client: SocketAddr) -> Option<Target> {
        if !self.state.is_discoverable() {
            return None;
        }
        // The kernel knows which of our addresses the client can reach; nothing is sent for this.
        let reachable = StdUdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
            .and_then(|probe| probe.connect(client).and_then(|()| probe.local_addr()));
        let address = reachable.ok().map(|a| a.ip()).filter(|ip| !ip.is_unspecified());
        let first = || self.addresses().next().map(IpAddr::V4);
        Some(self.target(vec![self.url(address.or_else(first)?)]))
    }

    fn target(&self, addresses: Vec<String>) -> Target {
        Target {
            endpoint: self.state.endpoint(),
            scopes: self.state.scopes(),
            addresses,
            metadata_version: *self.state.metadata_version().borrow(),
        }
    }

    fn url(&self, address: IpAddr) -> String {
        let local = SocketAddr::new(address, self.http_port);
        let origin =
            dvrgate_soap::Origin::new(local, local, false, None, self.advertise.as_deref());
        origin.url(DEVICE_SERVICE_PATH)
    }

    fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let all = self.machine.interfaces().into_iter().flat_map(|i| i.addresses);
        all.filter_map(|(ip, _)| match ip {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        })
    }
}

/// Answers that wait to be sent.
const MAX_WAITING: usize = 64;
