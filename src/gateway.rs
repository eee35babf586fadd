//! A running gateway: listeners, services and the background, from start to drain.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use dvrgate_auth::{
    DigestGate, DigestSettings, Throttle, ThrottleSettings, TokenGate, TokenSettings, User, Users,
};
use dvrgate_device::discovery::tokio::Discovery;
use dvrgate_device::{Device as DeviceService, LinuxMachine, Machine, Settings, State, discovery};
use dvrgate_footage::Footage;
use dvrgate_model::ports::ControlStore;
use dvrgate_model::{Error, ErrorKind, Fault, Result};
use dvrgate_replay::playback::application;
use dvrgate_rtsp::server::transport::{self, Via, serve_any};
use dvrgate_rtsp::server::{Peer, Server as RtspServer, ServerConfig, SessionTimeout, Shared};
use dvrgate_soap::hyper::{Diversion, Ends, Server, Stream, full, page};
use dvrgate_soap::{Door, Host};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::accounts::AccountFile;
use crate::config::{Config, Level};
use crate::wiring::Core;
use crate::{limits, tls};

/// Listening, serving and syncing until [`Gateway::drain`].
#[derive(Debug)]
pub struct Gateway {
    /// Where SOAP is listened for.
    pub http: SocketAddr,
    /// Where RTSP is listened for.
    pub rtsp: SocketAddr,
    /// Where SOAP over TLS is listened for.
    pub https: Option<SocketAddr>,
    /// Where RTSP over TLS is listened for.
    pub rtsps: Option<SocketAddr>,
    /// Index and sync.
    pub core: Core,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// How long running requests and playbacks may go on after SIGTERM.
const DRAIN: Duration = Duration::from_secs(10);

impl Gateway {
    /// Opens index and store, binds the listeners and starts everything but sync.
    pub async fn start(config: &Config) -> Result<Self> {
        Self::start_with(config, None).await
    }

    /// The same; clients may ask for a restart, which `restart` is told of.
    pub async fn start_with(config: &Config, restart: Option<Arc<Notify>>) -> Result<Self> {
        limits::raise_open_files();
        let core = Core::open(config).await?;
        let footage = core.footage(config)?;
        let store: Arc<dyn ControlStore> = Arc::clone(&core.store) as _;

        let http_listener = bind(config.gateway.http, "http").await?;
        let http = local(&http_listener)?;
        let tls = match config.gateway.https.or(config.gateway.rtsps) {
            Some(_) => Some(tls::server_config(config)?),
            None => None,
        };
        let https_listener = match config.gateway.https {
            Some(address) => Some(bind(address, "https").await?),
            None => None,
        };
        let https = https_listener.as_ref().map(local).transpose()?;
        // SOAP and RTSP share users and the brake on guessing.
        let users = users(config)?;
        let accounts = AccountFile::new(&config.gateway.data_dir);
        accounts.load_into(&users)?;
        let digest = DigestGate::new("dvrgate", users.clone(), DigestSettings::default());
        let throttle = Arc::new(Throttle::new(ThrottleSettings::default()));
        let timeout = SessionTimeout::default();
        // One for all ports, so that the halves of a tunnel find each other wherever they come in.
        let playback = Shared::new(
            ServerConfig {
                gate: Some(digest.clone()),
                throttle: Some(Arc::clone(&throttle)),
                session_timeout: timeout.clone(),
                multicast: config.gateway.multicast.clone(),
                ..ServerConfig::default()
            },
            application(
                Arc::clone(&core.index),
                Arc::clone(&footage) as _,
                Arc::clone(&footage) as _,
            ),
        );
        let mut rtsp_servers = Vec::new();
        let mut open_rtsp = async |address, what, tls| {
            let server = RtspServer::bind_shared(address, Arc::clone(&playback), tls).await;
            let server = server.map_err(|e| taken(address, what, e))?;
            let address = server.local_addr()?;
            rtsp_servers.push(server);
            Ok::<_, Error>(address)
        };
        let rtsp = open_rtsp(config.gateway.rtsp, "rtsp", None).await?;
        let rtsps = match config.gateway.rtsps {
            Some(address) => Some(open_rtsp(address, "rtsps", tls.clone()).await?),
            None => None,
        };
        let advertise = config.gateway.advertise.clone();
        // Who listens on one address only is found at that one.
        let bound = (!http.ip().is_unspecified()).then(|| http.to_string());

        let settings = Settings {
            profiles: vec!["G".to_owned()],
            rtsp_port: rtsp.port(),
            http_port: Some(http.port()),
            https_port: https.map(|a| a.port()),
            discovery: config.gateway.discovery,
            location: config.gateway.location.clone(),
            accounts: Some(Arc::new(accounts)),
            restart,
            ..Settings::named(&config.gateway.name)
        };
        let state =
            State::open(Arc::clone(&store), settings.fixed_scopes(), settings.initial_scopes());
        let state = Arc::new(state.await?);
        let machine: Arc<dyn Machine> = Arc::new(LinuxMachine);
        let device = DeviceService::new(settings, Arc::clone(&state), Arc::clone(&machine));
        let replay = dvrgate_replay::service::service(
            Arc::clone(&core.index),
            store,
            timeout.clone(),
            rtsp.port(),
        );
        let services = vec![
            device.service(),
            dvrgate_recording::service(Arc::clone(&core.index), core.sources()),
            dvrgate_search::service(Arc::clone(&core.index), Arc::clone(&core.clock)),
            replay.await?,
        ];

        let tokens = TokenGate::new(users, TokenSettings::default());
        let door = Door::with_throttle(digest, tokens, throttle);
        let host = Host::new(services, door, Arc::clone(&core.clock));
        let ready = Arc::new(AtomicBool::new(false));
        let server = Arc::new(pages(
            Server::new(Arc::clone(&host), dvrgate_soap::hyper::Settings::default())
                .advertise(advertise.clone())
                .divert(Arc::new(Tunnels(playback))),
            &host,
            &core,
            &footage,
            &ready,
        ));

        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        if let Some(listener) = https_listener {
            tasks.spawn(Arc::clone(&server).serve(listener, tls, until(stopped.clone())));
        }
        tasks.spawn(server.serve(http_listener, None, until(stopped.clone())));
        let cancelled = CancellationToken::new();
        let cancel = cancelled.clone();
        tasks.spawn(until(stopped.clone()).map(move |()| cancel.cancel()));
        for server in rtsp_servers {
            let running = server.run(cancelled.clone());
            tasks.spawn(async move {
                if let Err(error) = running.await {
                    tracing::error!(%error, "RTSP ended");
                }
            });
        }
        if config.gateway.discovery {
            let discovery = Discovery {
                state,
                machine,
                clock: Arc::clone(&core.clock),
                http_port: http.port(),
                advertise: advertise.or(bound),
                port: discovery::PORT,
                multicast: true,
            };
            tasks.spawn(discovery.run(until(stopped)));
        }
        ready.store(true, Ordering::Relaxed);
        Ok(Self { http, rtsp, https, rtsps, core, stop, tasks })
    }

    /// Starts the background: sync and alert streams.
    pub fn follow_recorders(&mut self) {
        let syncer = Arc::clone(&self.core.syncer);
        self.tasks.spawn(syncer.run(self.stop.subscribe()));
    }

    /// Stops listening, lets running requests end, and stops.
    pub async fn drain(mut self) {
        // Without receivers everything has ended already.
        let _ = self.stop.send(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, ended).await.is_err() {
            tracing::warn!("some connections did not end in time and are cut");
        }
        self.tasks.shutdown().await;
    }
}

/// Replay in tunnels and WebSockets on the ports of the services.
#[derive(Debug)]
struct Tunnels(Arc<Shared>);

impl Diversion for Tunnels {
    fn takes(&self, first: &[u8]) -> Option<bool> {
        transport::opening::takes(first)
    }

    fn serve(
        &self,
        stream: Box<dyn Stream>,
        first: BytesMut,
        ends: Ends,
    ) -> BoxFuture<'static, ()> {
        let peer = Peer { remote: ends.peer.ip(), local: ends.local.ip() };
        let via = if ends.secure { Via::Tls } else { Via::Plain };
        let serving = serve_any(stream, first, peer, via, Arc::clone(&self.0));
        serving
            .map(|ended| {
                if let Err(error) = ended {
                    tracing::debug!(%error, "tunnel ended");
                }
            })
            .boxed()
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the gateway is gone, which is a reason to stop, too.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn bind(address: SocketAddr, what: &'static str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| taken(address, what, e))
}

fn taken(
    address: SocketAddr,
    what: &'static str,
    e: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    let why = std::iter::successors(Some(&e as &(dyn std::error::Error + 'static)), |e| e.source())
        .find_map(|e| e.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind);
    let remedy = match why {
        Some(std::io::ErrorKind::AddrInUse) => "another program uses the port; choose another",
        Some(std::io::ErrorKind::AddrNotAvailable) => {
            "this machine has no such address; use one of its own or 0.0.0.0"
        }
        Some(std::io::ErrorKind::PermissionDenied) => {
            "ports below 1024 are for privileged users; use a higher one"
        }
        _ => "choose another address",
    };
    let text = format!("cannot listen on {address}: {remedy} (gateway.{what})");
    Error::new(ErrorKind::Unreachable, text).with_fault(Fault::Gateway).because(e)
}

fn local(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|e| Error::internal("a listener without address").because(e))
}

fn users(config: &Config) -> Result<Users> {
    let user = |u: &crate::config::User| User {
        name: u.name.clone(),
        level: match u.level {
            Level::Administrator => dvrgate_auth::Level::Administrator,
            Level::Operator => dvrgate_auth::Level::Operator,
            Level::User => dvrgate_auth::Level::User,
        },
        password: u.password.expose().into(),
    };
    Users::new(config.users.iter().map(user).collect())
}

/// `/healthz`: the process lives. `/readyz`: it serves. `/metrics`: figures for Prometheus.
fn pages(
    server: Server,
    host: &Arc<Host>,
    core: &Core,
    footage: &Arc<Footage>,
    ready: &Arc<AtomicBool>,
) -> Server {
    let (host, ready, footage) = (Arc::clone(host), Arc::clone(ready), Arc::clone(footage));
    let (index, devices) = (Arc::clone(&core.index), core.syncer.devices().to_vec());
    let text = |status, body: String| {
        let mut response = Response::new(full(body));
        *response.status_mut() = status;
        response
    };
    server
        .route("/healthz", page(move |_, _| text(StatusCode::OK, "alive\n".to_owned())))
        .route(
            "/readyz",
            page(move |_, _| match ready.load(Ordering::Relaxed) {
                true => text(StatusCode::OK, "ready\n".to_owned()),
                false => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n".to_owned()),
            }),
        )
        .route(
            "/metrics",
            page(move |_, _| {
                let mut out = String::new();
                let mut figure = |name: &str, labels: &str, value: u64| {
                    // Writing to a String cannot fail.
                    let _ = writeln!(out, "dvrgate_{name}{labels} {value}");
                };
                let stats = footage.stats();
                let counters = host.counters();
                let count = |c: &std::sync::atomic::AtomicU64| c.load(Ordering::Relaxed);
                figure("soap_requests_total", "", count(&counters.requests));
                figure("soap_faults_total", "", count(&counters.faults));
                figure("soap_refused_total", "", count(&counters.refused));
                figure("footage_store_bytes", "", stats.store.bytes);
                figure("footage_store_budget_bytes", "", stats.store.budget_bytes);
                figure("footage_store_gops", "", stats.store.gops);
                figure("footage_store_hits_total", "", stats.store.hits);
                figure("footage_store_misses_total", "", stats.store.misses);
                figure("footage_transfers_total", "", stats.fetch.transfers);
                figure("footage_transfer_bytes_total", "", stats.fetch.bytes);
                figure("footage_transfer_breaks_total", "", stats.fetch.breaks);
                figure("footage_transfer_failures_total", "", stats.fetch.failures);
                if let Ok(summary) = index.snapshot().summary() {
                    figure("recordings", "", summary.recordings);
                }
                for d in &devices {
                    let label = format!("{{device=\"{}\"}}", d.id);
                    figure("device_playback_sessions", &label, d.sessions.in_use() as u64);
                    figure("device_playback_waiting", &label, d.sessions.waiting() as u64);
                    let state = format!("{{device=\"{}\",state=\"{:?}\"}}", d.id, d.health.state());
                    figure("device_state", &state, 1);
                }
                text(StatusCode::OK, out)
            }),
        )
}
