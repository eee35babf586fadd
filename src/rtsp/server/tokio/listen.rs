//! The port: who may come in, and what the socket is set to.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::tokio::net::{TcpListener, TcpStream};
use ::tokio::sync::Semaphore;
use ::tokio::task::JoinSet;
use ::tokio::time::timeout;
use bytes::BytesMut;
use dvrgate_model::{Error, ErrorKind, Result};
use socket2::SockRef;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::server::seats::{Seat, Seats};
use crate::server::transport::{Stream, Via, serve_seated};
use crate::server::{Application, Peer, ServerConfig};

/// A listening server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// Unsent bytes in the kernel: what a seek still has to drain.
const NOT_SENT_LOW_WATER: u32 = 128 * 1024;
/// Time for a TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Time for connections to end at shutdown.
const DRAIN: Duration = Duration::from_secs(3);
/// Pause after accept failed, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time for who was asked to leave to do so.
const LEAVE_TIME: Duration = Duration::from_secs(1);

impl Server {
    /// Opens the port.
    pub async fn bind(
        address: SocketAddr,
        config: ServerConfig,
        application: Arc<dyn Application>,
    ) -> Result<Self> {
        Self::bind_shared(address, Shared::new(config, application), None).await
    }

    /// Opens one of several ports; with `tls` it speaks nothing else (RTSPS).
    pub async fn bind_shared(
        address: SocketAddr,
        shared: Arc<Shared>,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Result<Self> {
        let listener = TcpListener::bind(address).await.map_err(|e| {
            Error::new(ErrorKind::Internal, format!("cannot listen for RTSP on {address}"))
                .because(e)
        })?;
        Ok(Self { listener, shared, tls })
    }

    /// The address that was opened.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.listener
            .local_addr()
            .map_err(|e| Error::internal("the RTSP listener has no address").because(e))
    }

    /// Serves until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let places = Arc::new(Semaphore::new(self.shared.config.max_connections));
        let mut connections = JoinSet::new();
        let mut seats = Seats::default();
        loop {
            let accepted = ::tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    ::tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let place = places.clone().try_acquire_owned().ok();
            if place.is_none() && !seats.free_one() {
                tracing::warn!("too many RTSP sessions");
                continue;
            }
            let (shared, stop, tls) = (self.shared.clone(), stop.clone(), self.tls.clone());
            let (seat, places) = (seats.take(), places.clone());
            connections.spawn(async move {
                // Who was asked to leave does so at once.
                let place = match place {
                    Some(place) => Some(place),
                    None => timeout(LEAVE_TIME, places.acquire_owned()).await.ok().and_then(Result::ok),
                };
                let Some(_place) = place else { return };
                ::tokio::select! {
                    () = stop.cancelled() => {}
                    () = seat.must_leave() => tracing::debug!("a silent connection gives way"),
                    result = accept(stream, tls, shared, seat.clone()) => if let Err(error) = result {
                        tracing::debug!(%error, "connection ended");
                    }
                }
            });
        }
        let drained = timeout(DRAIN, async { while connections.join_next().await.is_some() {} });
        drained.await.ok();
        Ok(())
    }
}

async fn accept(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    shared: Arc<Shared>,
    seat: Seat,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    SockRef::from(&stream).set_tcp_notsent_lowat(NOT_SENT_LOW_WATER)?;
    let peer = Peer { remote: stream.peer_addr()?.ip(), local: stream.local_addr()?.ip() };
    let Some(tls) = tls else {
        return serve_seated(stream, BytesMut::new(), peer, Via::Plain, shared, seat).await;
    };
    let greeted = timeout(HANDSHAKE_TIME, TlsAcceptor::from(tls).accept(stream)).await;
    let stream = greeted.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let stream: Box<dyn Stream> = Box::new(stream);
    serve_seated(stream, BytesMut::new(), peer, Via::Tls, shared, seat).await
}
