//! The replay service: clause 7, ONVIF Replay Control 5.

use std::sync::Arc;
use std::time::Duration;

use dvrgate_index::Index;
use dvrgate_model::ports::ControlStore;
use dvrgate_model::{ErrorKind, RecordingToken, Result};
use dvrgate_rtsp::server::SessionTimeout;
use dvrgate_rtsp::server::transport::WEBSOCKET_PATH;
use dvrgate_soap::{
    Access, Call, Element, Fault, Service, Simple as _, Value as _, Version, message, ns,
    read_duration,
};

/// Address of the service.
pub const REPLAY_SERVICE_PATH: &str = "/onvif/replay_service";
/// What replay URIs begin with after host and port; the recording's token follows.
pub const REPLAY_PATH: &str = "/replay/";
/// Bounds of ReplayConfiguration/SessionTimeout in seconds (R7.2-4, R7.5-3).
const TIMEOUT_RANGE_SECS: std::ops::RangeInclusive<u64> = 10..=600;
/// Where the configuration is kept in the control store.
const STORED: (&str, &str) = ("replay", "configuration");
/// How often a write is tried again that another one overtook.
const STORE_TRIES: u32 = 5;

/// What the operations share.
#[derive(Debug)]
struct Replay {
    index: Arc<dyn Index>,
    store: Arc<dyn ControlStore>,
    timeout: SessionTimeout,
    rtsp_port: u16,
}

message! {
    /// tt:StreamSetup.
    struct StreamSetup in ns::TT { stream: String = "Stream", transport: Transport = "Transport" }
    /// tt:Transport.
    struct Transport in ns::TT { protocol: String = "Protocol" }
    /// trp:GetReplayUri.
    struct GetReplayUri in ns::TRP { setup: StreamSetup = "StreamSetup", recording: String = "RecordingToken" }
    /// tt:ReplayConfiguration.
    struct ReplayConfiguration in ns::TT { timeout: Duration = "SessionTimeout" }
    /// trp:SetReplayConfiguration.
    struct SetReplayConfiguration in ns::TRP { configuration: ReplayConfiguration = "Configuration" }
}

/// The service. `rtsp_port` is where the RTSP server listens; `timeout` is shared with it. A stored
/// configuration is read first.
pub async fn service(
    index: Arc<dyn Index>,
    store: Arc<dyn ControlStore>,
    timeout: SessionTimeout,
    rtsp_port: u16,
) -> Result<Service> {
    let (kind, key) = STORED;
    if let Some(stored) = store.get(kind, key).await?.and_then(|v| read_duration(&v.value)) {
        timeout.set(stored);
    }
    let state = Arc::new(Replay { index, store, timeout, rtsp_port });
    Ok(Service::table(ns::TRP, REPLAY_SERVICE_PATH, Version(18, 12), state)
        .on("GetServiceCapabilities", Access::PreAuth, capabilities)
        .on("GetReplayUri", Access::ReadMedia, replay_uri)
        .on("GetReplayConfiguration", Access::ReadMedia, configuration)
        .on("SetReplayConfiguration", Access::Actuate, set_configuration)
        .build())
}

async fn capabilities(_: Arc<Replay>, call: Call) -> Result<Element, Fault> {
    let (low, high) = TIMEOUT_RANGE_SECS.into_inner();
    // R7.5-5: without a host; the client adds the one that it reached this service at.
    let websocket = if call.origin.secure { "wss" } else { "ws" };
    let own = Element::new(ns::TRP, "Capabilities")
        .with_attribute("ReversePlayback", "true")
        .with_attribute("SessionTimeoutRange", format!("{low} {high}"))
        .with_attribute("RTP_RTSP_TCP", "true")
        .with_attribute("RTSPWebSocketUri", format!("{websocket}:{WEBSOCKET_PATH}"));
    Ok(call.response().with(own))
}

async fn replay_uri(s: Arc<Replay>, call: Call) -> Result<Element, Fault> {
    let q = GetReplayUri::read(&call.request)?;
    let protocol = q.setup.transport.protocol.as_str();
    if q.setup.stream != "RTP-Unicast" || !matches!(protocol, "UDP" | "RTSP" | "HTTP") {
        return Err(Fault::invalid_value(
            "InvalidStreamSetup",
            format!(
                "{} over {protocol} is not offered; use RTP-Unicast over UDP, RTSP or HTTP",
                q.setup.stream
            ),
        ));
    }
    let token = RecordingToken::new(&q.recording);
    let known = s.index.snapshot().recording(&token).map_err(|e| call.fault(&e))?;
    if known.is_none() {
        let text = format!("there is no recording {token:?}");
        return Err(Fault::invalid_value("NoRecording", text));
    }
    let uri = match protocol {
        // The port of this service takes tunnels, too, and whoever reached it can reach them (R7.1-4).
        "HTTP" => call.origin.url(&format!("{REPLAY_PATH}{token}")),
        _ => format!("rtsp://{}:{}{REPLAY_PATH}{token}", call.origin.host(), s.rtsp_port),
    };
    Ok(call.response().with(Element::new(ns::TRP, "Uri").with_text(uri)))
}

async fn configuration(s: Arc<Replay>, call: Call) -> Result<Element, Fault> {
    let timeout = Element::new(ns::TT, "SessionTimeout").with_text(s.timeout.get().format());
    Ok(call.response().with(Element::new(ns::TRP, "Configuration").with(timeout)))
}

async fn set_configuration(s: Arc<Replay>, call: Call) -> Result<Element, Fault> {
    let asked = SetReplayConfiguration::read(&call.request)?.configuration.timeout;
    if !TIMEOUT_RANGE_SECS.contains(&asked.as_secs()) || asked.subsec_nanos() != 0 {
        return Err(Fault::invalid_value(
            "ConfigModify",
            format!("SessionTimeout is a whole number of seconds in {TIMEOUT_RANGE_SECS:?}"),
        ));
    }
    let (kind, key) = STORED;
    let mut more_tries = STORE_TRIES;
    loop {
        let current = s.store.get(kind, key).await.map_err(|e| call.fault(&e))?;
        let put = s.store.put(kind, key, asked.format(), current.map(|c| c.version)).await;
        match put {
            Ok(_) => break,
            // Whoever writes last wins: there is one value and no history.
            Err(e) if e.kind() == ErrorKind::Conflict && more_tries > 0 => more_tries -= 1,
            Err(e) => return Err(call.fault(&e)),
        }
    }
    s.timeout.set(asked);
    Ok(call.response())
}
