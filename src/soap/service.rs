//! Services as tables of operations.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use dvrgate_auth::Identity;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::access::Access;
use crate::envelope::Addressing;
use crate::host::Host;
use crate::origin::Origin;
use crate::{Element, Fault, Name, Ns, Value};

/// What an operation answers.
pub type Reply = Result<Element, Fault>;

/// A service: an address, a namespace, and its table of operations.
pub struct Service {
    namespace: &'static str,
    path: &'static str,
    version: Version,
    operations: Vec<Operation>,
}

/// The release of the specification that a service implements: `Version(18, 12)`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Version(pub u32, pub u32);

/// A row of the table.
pub struct Operation {
    /// Name of the request element.
    pub name: Name,
    /// Who may use it.
    pub access: Access,
    handler: Option<Handler>,
}

type Handler = Arc<dyn Fn(Call) -> BoxFuture<'static, Reply> + Send + Sync>;

impl Operation {
    /// Whether it does anything but refuse.
    pub fn is_supported(&self) -> bool {
        self.handler.is_some()
    }

    /// Runs it.
    pub(crate) fn run(&self, call: Call) -> BoxFuture<'static, Reply> {
        match &self.handler {
            Some(handler) => handler(call),
            None => futures::future::ready(Err(Fault::not_supported(&self.name.local))).boxed(),
        }
    }
}

/// Table rows that share a state. Ends with [`Table::build`].
pub struct Table<S> {
    service: Service,
    state: Arc<S>,
}

impl Service {
    /// Begins a table. `path` is absolute; requests to paths below it come to this service too, which
    /// gives subscriptions addresses of their own.
    pub fn table<S: Send + Sync + 'static>(
        namespace: &'static str,
        path: &'static str,
        version: Version,
        state: Arc<S>,
    ) -> Table<S> {
        let service = Service { namespace, path, version, operations: Vec::new() };
        Table { service, state }
    }

    /// Its namespace.
    pub fn namespace(&self) -> &'static str {
        self.namespace
    }

    /// Its path.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its table.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The row for a request element.
    pub(crate) fn find(&self, name: &Name) -> Option<&Operation> {
        self.operations.iter().find(|o| o.name == *name)
    }
}

impl<S: Send + Sync + 'static> Table<S> {
    /// An operation that reads its request and builds its answer itself. `handler` gets the state and
    /// the call; [`Call::response`] begins the answer.
    #[must_use]
    pub fn on<F, Fut>(self, name: &'static str, access: Access, handler: F) -> Self
    where
        F: Fn(Arc<S>, Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Reply> + Send + 'static,
    {
        let ns = self.service.namespace;
        self.on_in(ns, name, access, handler)
    }

    /// The same for an operation whose request is in another namespace than its service.
    #[must_use]
    pub fn on_in<F, Fut>(
        self,
        ns: impl Into<Ns>,
        name: &'static str,
        access: Access,
        handler: F,
    ) -> Self
    where
        F: Fn(Arc<S>, Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Reply> + Send + 'static,
    {
        let state = Arc::clone(&self.state);
        let handler: Handler = Arc::new(move |call| handler(Arc::clone(&state), call).boxed());
        self.row(Name::new(ns, name), access, Some(handler))
    }

    /// An operation with a typed request and answer. The handler gets the state, the call (its
    /// `request` element included) and the request.
    #[must_use]
    pub fn typed<Q, A, F, Fut>(self, name: &'static str, access: Access, handler: F) -> Self
    where
        Q: Value + Send + 'static,
        A: Value,
        F: Fn(Arc<S>, Call, Q) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Fault>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        self.on(name, access, move |state, call| {
            let handler = Arc::clone(&handler);
            async move {
                let request = Q::read(&call.request)?;
                let response = call.response();
                let answer = handler(state, call, request).await?;
                Ok(answer.write(response))
            }
        })
    }

    /// Operations of the specification that are answered with ActionNotSupported.
    #[must_use]
    pub fn unsupported(self, rows: &[(&'static str, Access)]) -> Self {
        rows.iter().fold(self, |table, &(name, access)| {
            let name = Name::new(table.service.namespace, name);
            table.row(name, access, None)
        })
    }

    /// The service.
    pub fn build(self) -> Service {
        self.service
    }

    fn row(mut self, name: Name, access: Access, handler: Option<Handler>) -> Self {
        debug_assert!(self.service.find(&name).is_none(), "{name} is in the table twice");
        self.service.operations.push(Operation { name, access, handler });
        self
    }
}

/// One request on its way to an operation. Cheap to clone.
#[derive(Clone)]
pub struct Call {
    /// Who asks.
    pub identity: Identity,
    /// The request element.
    pub request: Arc<Element>,
    /// Both ends of the connection.
    pub origin: Arc<Origin>,
    /// Path of the request, for services with addresses below their own.
    pub path: Arc<str>,
    /// WS-Addressing blocks of the request.
    pub addressing: Arc<Addressing>,
    /// Where all services meet.
    pub host: Arc<Host>,
}

impl Call {
    /// The name of the operation.
    pub fn operation(&self) -> &str {
        &self.request.name().local
    }

    /// An empty answer: `FooResponse` for `Foo`, in the namespace of the request.
    pub fn response(&self) -> Element {
        let name = self.request.name();
        Element::new(name.ns.clone(), format!("{}Response", name.local))
    }

    /// The URI of a path of this server, with the address that the client used.
    pub fn url(&self, path: &str) -> String {
        self.origin.url(path)
    }

    /// The fault for an error of the gateway.
    pub fn fault(&self, error: &dvrgate_model::Error) -> Fault {
        crate::fault::of(error, self.operation())
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("operation", &self.operation())
            .field("identity", &self.identity)
            .field("peer", &self.origin.peer)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("path", &self.path)
            .field("namespace", &self.namespace)
            .field("operations", &self.operations.len())
            .finish()
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name.local, self.access.name())?;
        if self.is_supported() { Ok(()) } else { f.write_str(" (not supported)") }
    }
}

impl<S> fmt::Debug for Table<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.service.fmt(f)
    }
}
