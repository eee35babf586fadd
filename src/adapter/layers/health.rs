//! Feeds [`Health`] and leaves a recorder alone that does not answer or refused us.

use std::sync::Arc;

use dvrgate_model::{Error, ErrorKind, Result};
use futures::future::BoxFuture;

use super::{Around, Call, Op};
use crate::transport::tokio::now;
use crate::{Cx, Health, SourceEvent};

/// See the module documentation.
#[derive(Debug)]
pub struct Watchful(Arc<Health>);

impl Watchful {
    /// Feeds that.
    pub fn new(health: Arc<Health>) -> Self {
        Self(health)
    }

    fn observe(&self, outcome: Result<(), &Error>) {
        let Some((before, after)) = self.0.observe(now(), outcome) else { return };
        match outcome {
            Ok(()) => tracing::info!(?before, ?after, "device state"),
            Err(e) => tracing::info!(?before, ?after, error = %e, "device state"),
        }
    }
}

impl Around for Watchful {
    fn around<'a, T: Send + 'a>(
        &'a self,
        cx: &'a Cx,
        op: Op,
        call: Call<'a, T>,
    ) -> BoxFuture<'a, Result<T>> {
        Box::pin(async move {
            self.0.admit(now(), cx.priority)?;
            let result = call(cx.clone()).await;
            // No playback session is free: often ours are in use, and nobody was asked. It says
            // nothing of how the recorder is.
            let full = |e: &Error| op == Op::Open && e.kind() == ErrorKind::Busy;
            if !result.as_ref().is_err_and(full) {
                self.observe(result.as_ref().map(|_| ()));
            }
            result
        })
    }

    fn watched(&self, item: &Result<SourceEvent>) {
        self.observe(item.as_ref().map(|_| ()));
    }
}
