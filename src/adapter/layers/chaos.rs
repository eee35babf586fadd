//! Does harm on purpose, for tests: errors, calls that never end, footage that breaks off.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;

use dvrgate_model::{Error, ErrorKind, Result};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream;
use parking_lot::Mutex;

use super::{Around, Call, Op};
use crate::{Cx, Footage, FootageBody};

/// What befalls a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// It fails.
    Error(ErrorKind),
    /// It fails after the recorder did what was asked.
    LostAnswer(ErrorKind),
    /// It never ends.
    Stall,
    /// Its footage breaks off after that many items (pieces or units).
    Cut(usize),
    /// Nothing.
    Pass,
}

/// Faults to come, per call, in order; after the last, nothing befalls. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Script>>);

#[derive(Debug, Default)]
struct Script {
    faults: BTreeMap<Op, VecDeque<Fault>>,
    calls: BTreeMap<Op, usize>,
}

impl Faults {
    /// Adds faults for the next calls of `op`.
    pub fn push(&self, op: Op, faults: impl IntoIterator<Item = Fault>) {
        self.0.lock().faults.entry(op).or_default().extend(faults);
    }

    /// How often `op` was called.
    pub fn calls(&self, op: Op) -> usize {
        self.0.lock().calls.get(&op).copied().unwrap_or_default()
    }

    fn next(&self, op: Op) -> Fault {
        let mut script = self.0.lock();
        *script.calls.entry(op).or_default() += 1;
        let queue = script.faults.get_mut(&op);
        queue.and_then(VecDeque::pop_front).unwrap_or(Fault::Pass)
    }

    async fn befall<T>(fault: Fault, cx: &Cx, call: &Call<'_, T>) -> Result<T> {
        match fault {
            Fault::Error(kind) => Err(injected(kind)),
            Fault::LostAnswer(kind) => call(cx.clone()).await.and(Err(injected(kind))),
            Fault::Stall => std::future::pending().await,
            Fault::Cut(_) | Fault::Pass => call(cx.clone()).await,
        }
    }
}

impl Around for Faults {
    fn around<'a, T: Send + 'a>(
        &'a self,
        cx: &'a Cx,
        op: Op,
        call: Call<'a, T>,
    ) -> BoxFuture<'a, Result<T>> {
        Box::pin(async move { Self::befall(self.next(op), cx, &call).await })
    }

    fn open<'a>(&'a self, cx: &'a Cx, call: Call<'a, Footage>) -> BoxFuture<'a, Result<Footage>> {
        Box::pin(async move {
            let fault = self.next(Op::Open);
            let footage = Self::befall(fault, cx, &call).await?;
            let Fault::Cut(items) = fault else { return Ok(footage) };
            let body = match footage.body {
                FootageBody::Bytes(bytes, hint) => {
                    let cut = stream::iter([Err(injected(ErrorKind::Unreachable))]);
                    FootageBody::Bytes(bytes.take(items).chain(cut).boxed(), hint)
                }
                FootageBody::Units(units) => {
                    let cut = stream::iter([Err(injected(ErrorKind::Unreachable))]);
                    FootageBody::Units(units.take(items).chain(cut).boxed())
                }
            };
            Ok(Footage { body, ..footage })
        })
    }
}

fn injected(kind: ErrorKind) -> Error {
    Error::new(kind, "injected fault")
}
