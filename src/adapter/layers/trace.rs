//! Writes what is done: a span per device and call, and how it ended.

use dvrgate_model::{DeviceId, Result, Vendor};
use futures::future::BoxFuture;
use tracing::Instrument;

use super::{Around, Call, Op};
use crate::transport::tokio::now;
use crate::{Cx, SourceEvent};

/// See the module documentation.
#[derive(Debug)]
pub struct Trace {
    device: DeviceId,
    vendor: Vendor,
}

impl Trace {
    /// For that recorder.
    pub fn new(device: DeviceId, vendor: Vendor) -> Self {
        Self { device, vendor }
    }
}

impl Around for Trace {
    fn around<'a, T: Send + 'a>(
        &'a self,
        cx: &'a Cx,
        op: Op,
        call: Call<'a, T>,
    ) -> BoxFuture<'a, Result<T>> {
        let span = tracing::debug_span!(
            "device", id = %self.device, vendor = %self.vendor, op = op.name(),
            priority = ?cx.priority,
        );
        let work = async move {
            let started = now();
            let result = call(cx.clone()).await;
            let ms = now().saturating_duration_since(started).as_millis() as u64;
            match result {
                Ok(value) => {
                    tracing::debug!(ms, "done");
                    Ok(value)
                }
                Err(e) => {
                    let e = e.during(op.name()).with("device", &self.device);
                    tracing::debug!(ms, error = %e, "failed");
                    Err(e)
                }
            }
        };
        Box::pin(work.instrument(span))
    }

    fn watched(&self, item: &Result<SourceEvent>) {
        match item {
            Ok(event) => tracing::debug!(
                device = %self.device, code = %event.code, active = ?event.active, "event"
            ),
            Err(e) => tracing::debug!(device = %self.device, error = %e, "event stream broke"),
        }
    }
}
