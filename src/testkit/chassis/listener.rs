//! A listener whose connections end when the simulator stops or its cable is pulled.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::counters::Counters;
use crate::faults::Control;

/// Takes connections until it is stopped.
#[derive(Debug)]
pub struct Listener {
    addr: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Listener {
    /// Binds `addr` (port 0: a free one) and runs `serve` for each connection. A pulled cable
    /// resets open connections and new ones.
    pub async fn start<S, F>(
        addr: SocketAddr,
        control: Control,
        counters: Counters,
        serve: S,
    ) -> io::Result<Self>
    where
        S: Fn(TcpStream, SocketAddr) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (stopped, connections) = (stop.clone(), tasks.clone());
        tasks.spawn(async move {
            loop {
                let (socket, peer) = tokio::select! {
                    () = stopped.cancelled() => break,
                    accepted = listener.accept() => match accepted {
                        Ok(accepted) => accepted,
                        Err(error) => {
                            // Out of file descriptors: others may close theirs.
                            tracing::warn!(%error, "cannot take a connection");
                            tokio::task::yield_now().await;
                            continue;
                        }
                    },
                };
                let reset = SockRef::from(&socket).try_clone_reset();
                let mut plugged = control.plugged();
                if !*plugged.borrow_and_update() {
                    reset.on_close();
                    continue;
                }
                let _ = socket.set_nodelay(true);
                let (stopped, guard) = (stopped.clone(), counters.connection());
                let served = serve(socket, peer);
                connections.spawn(async move {
                    let _guard = guard;
                    tokio::select! {
                        () = served => {}
                        () = stopped.cancelled() => {}
                        // Before the socket is dropped with `served`.
                        () = async {
                            // Fails only where the control is gone; nobody can pull the cable then.
                            if plugged.wait_for(|p| !p).await.is_err() {
                                std::future::pending::<()>().await;
                            }
                            reset.on_close();
                        } => {}
                    }
                });
            }
        });
        Ok(Self { addr, stop, tasks })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends every connection and waits until all are gone.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
    }
}

/// A second handle on a socket, to make its close a reset.
struct Resetter(Option<socket2::Socket>);

trait CloneReset {
    fn try_clone_reset(&self) -> Resetter;
}

impl CloneReset for SockRef<'_> {
    fn try_clone_reset(&self) -> Resetter {
        Resetter(self.try_clone().ok())
    }
}

impl Resetter {
    fn on_close(self) {
        if let Some(socket) = self.0 {
            let _ = socket.set_linger(Some(std::time::Duration::ZERO));
        }
    }
}
