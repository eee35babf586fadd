//! A simulated Hikvision recorder: ISAPI and its predecessor, downloads, RTSP playback, alerts.
//!
//! Written from observations of real recorders and never from the adapter, so that one misreading
//! cannot hide behind another. What a recorder holds and how wrong its clock is comes from a
//! scenario; `[behaviour]` turns the switches of [`Behaviour`].

mod behaviour;
mod isapi;
mod ps;
mod recorder;
mod rtsp;
#[cfg(test)]
mod tests;
mod text;
mod tokio;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ::tokio::task::AbortHandle;
use dvrgate_model::ports::Clock;
use dvrgate_model::{Error, ErrorKind, Result, Utc};
use dvrgate_testkit::archive::LoggedEvent;
use dvrgate_testkit::chassis::{Listener, http};
use dvrgate_testkit::{Control, Counters, Scenario, SystemClock, Truth};

pub use behaviour::*;
pub use recorder::{Item, Recorder};

/// How a simulator is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where HTTP listens; port 0 for a free one.
    pub http: SocketAddr,
    /// Where RTSP listens; port 0 for a free one.
    pub rtsp: SocketAddr,
    /// How fast playback goes.
    pub pace: Pace,
}

/// Speed of playback over RTSP.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Pace {
    /// As a recorder's: a second a second, times `Scale`.
    #[default]
    Real,
    /// So many times faster.
    Times(f64),
    /// As fast as the client takes it.
    Free,
}

impl Default for Options {
    fn default() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { http: any, rtsp: any, pace: Pace::Real }
    }
}

/// Starts simulators.
#[derive(Clone, Copy, Debug)]
pub struct Simulator;

/// A running simulator. It stops when dropped; [`Handle::stop`] also waits for the end.
#[derive(Debug)]
pub struct Handle {
    /// Where HTTP listens.
    pub http_addr: SocketAddr,
    /// Where RTSP listens.
    pub rtsp_addr: SocketAddr,
    /// Changes what is wrong with it.
    pub control: Control,
    /// What it saw of its clients.
    pub counters: Counters,
    recorder: Arc<Recorder>,
    http: Listener,
    rtsp: Listener,
    teller: AbortHandle,
}

impl Simulator {
    /// Starts one on the machine's clock.
    pub async fn start(scenario: &Scenario, options: Options) -> Result<Handle> {
        Self::start_at(scenario, options, Arc::new(SystemClock)).await
    }

    /// Starts one on any clock. Pacing, lock-out and heartbeats follow the machine's all the same.
    pub async fn start_at(
        scenario: &Scenario,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Handle> {
        let recorder = Arc::new(Recorder::new(scenario, clock, options)?);
        let failed = |e: io::Error| {
            Error::new(ErrorKind::Unreachable, "the simulator cannot listen").because(e)
        };
        let rtsp = rtsp::start(options.rtsp, recorder.clone()).await.map_err(failed)?;
        *recorder.rtsp_addr.write() = Some(rtsp.addr());
        let behaviour = recorder.behaviour();
        let limits = http::Limits {
            idle: std::time::Duration::from_secs(behaviour.keep_alive_s),
            requests: behaviour.keep_alive_requests,
        };
        let service = Arc::new(isapi::Isapi::new(recorder.clone()));
        let (control, counters) = (recorder.control.clone(), recorder.counters.clone());
        let http = http::start(options.http, service, limits, control.clone(), counters.clone())
            .await
            .map_err(failed)?;
        let teller = ::tokio::spawn(tokio::tell_events(recorder.clone())).abort_handle();
        Ok(Handle {
            http_addr: http.addr(),
            rtsp_addr: rtsp.addr(),
            control,
            counters,
            recorder,
            http,
            rtsp,
            teller,
        })
    }
}

impl Handle {
    /// What the recorder really holds now.
    pub fn truth(&self) -> Truth {
        Truth::of(&self.recorder.archive, self.recorder.now())
    }

    /// The recorder itself, to ask for labels and items or to change its behaviour.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Lets something happen now: it enters the log, and alert streams tell it.
    pub fn happen(&self, event: LoggedEvent) {
        let told = self.recorder.told.lock();
        self.recorder.archive.log(event);
        // What is not yet past is told when its time comes.
        if event.at < *told {
            let _ = self.recorder.events.send(event);
        }
    }

    /// Overwrites every file that begins before `t`.
    pub fn overwrite_before(&self, t: Utc) {
        self.recorder.archive.overwrite_before(t);
    }

    /// Ends all connections and waits until they are gone.
    pub async fn stop(self) {
        self.recorder.stopping.cancel();
        self.http.stop().await;
        self.rtsp.stop().await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.teller.abort();
        self.recorder.stopping.cancel();
    }
}
