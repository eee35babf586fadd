//! Bounds every call in time; a nearer deadline of the caller stands.

use std::time::Duration;

use dvrgate_model::Result;
use futures::future::BoxFuture;

use super::{Around, Call, Op};
use crate::Cx;
use crate::transport::tokio::{now, within};

/// How long calls may take, waits for rates and sessions included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Deadlines {
    /// Identity: several requests on most recorders.
    pub identify: Duration,
    /// One look at the clock.
    pub clock: Duration,
    /// One page of a listing; recorders search their disks meanwhile.
    pub list: Duration,
    /// Until footage begins to come.
    pub open: Duration,
    /// Start or stop recording.
    pub control: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self { identify: s(60), clock: s(10), list: s(60), open: s(30), control: s(15) }
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct Deadline(Deadlines);

impl Deadline {
    /// With these bounds.
    pub fn new(deadlines: Deadlines) -> Self {
        Self(deadlines)
    }
}

impl Around for Deadline {
    fn around<'a, T: Send + 'a>(
        &'a self,
        cx: &'a Cx,
        op: Op,
        call: Call<'a, T>,
    ) -> BoxFuture<'a, Result<T>> {
        let limit = match op {
            Op::Identify => self.0.identify,
            Op::Clock => self.0.clock,
            Op::ListSegments | Op::Oldest | Op::ListEvents => self.0.list,
            Op::Open => self.0.open,
            Op::Control => self.0.control,
        };
        Box::pin(async move {
            let end = now() + limit;
            let deadline = Some(cx.deadline.map_or(end, |d| d.min(end)));
            let cx = Cx { deadline, ..cx.clone() };
            within(&cx, None, op.name(), call(cx.clone())).await
        })
    }
}
