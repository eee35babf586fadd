//! The one error type that crosses crate borders.
//!
//! An error says what went wrong ([`ErrorKind`]), whose doing it is ([`Fault`]) and whether asking
//! again can help ([`Retry`]). Three functions map it outward, each in the crate that owns the
//! other vocabulary: SOAP fault, RTSP status, process exit code. Parsers keep small errors of
//! their own and are wrapped where device and operation are known.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. The set is closed: every layer can match it exhaustively.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ErrorKind {
    /// The caller asked for something that makes no sense.
    InvalidArgument,
    /// The thing named does not exist.
    NotFound,
    /// No or wrong credentials.
    Unauthenticated,
    /// Known user, not allowed.
    PermissionDenied,
    /// The recorder (or the standard) cannot do this at all.
    Unsupported,
    /// dvrgate does not do this yet.
    NotImplemented,
    /// All sessions in use, or the device said so.
    Busy,
    /// Refused by a rate limit before anything was sent.
    RateLimited,
    /// No connection.
    Unreachable,
    /// No answer within the deadline.
    Timeout,
    /// The peer sent something that is not what its protocol allows.
    Malformed,
    /// Stored or received footage is damaged.
    Damaged,
    /// A named bound was reached.
    LimitExceeded,
    /// The object changed in between, or already exists.
    Conflict,
    /// The caller went away.
    Cancelled,
    /// A bug or an exhausted local resource.
    Internal,
}

/// Whose doing an error is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Fault {
    /// The client of the gateway.
    Client,
    /// The recorder.
    Device,
    /// dvrgate itself or its host.
    Gateway,
}

/// Whether asking again can help.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Retry {
    /// Asking again gives the same answer (or does harm, as with passwords).
    Never,
    /// May succeed after this long.
    Later(Duration),
    /// Was retried as often as allowed.
    Exhausted,
}

/// See the module documentation.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    fault: Fault,
    retry: Retry,
    op: &'static str,
    message: String,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with the fault and retry status that are usual for it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        use ErrorKind::*;
        let fault = match kind {
            InvalidArgument | NotFound | Conflict | Cancelled => Fault::Client,
            Unauthenticated | PermissionDenied | Unsupported | Busy | Unreachable | Timeout
            | Malformed | Damaged => Fault::Device,
            NotImplemented | RateLimited | LimitExceeded | Internal => Fault::Gateway,
        };
        let retry = match kind {
            Busy | RateLimited => Retry::Later(Duration::from_secs(2)),
            Unreachable | Timeout => Retry::Later(Duration::from_secs(5)),
            _ => Retry::Never,
        };
        Self(Box::new(Inner {
            kind,
            fault,
            retry,
            op: "",
            message: message.into(),
            context: Vec::new(),
            source: None,
        }))
    }

    /// Shorthand for [`ErrorKind::InvalidArgument`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// Shorthand for [`ErrorKind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// Shorthand for [`ErrorKind::Malformed`]: the recorder's fault, never retried.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Malformed, message)
    }

    /// Shorthand for [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Sets whose doing it is.
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.0.fault = fault;
        self
    }

    /// Sets the retry status.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Names the operation, for instance `"list_segments"`. The innermost name stays.
    pub fn during(mut self, op: &'static str) -> Self {
        if self.0.op.is_empty() {
            self.0.op = op;
        }
        self
    }

    /// Adds a key and value for the person who reads the log. Never a secret.
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((key, value.to_string()));
        self
    }

    /// Keeps the cause.
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whose doing it is.
    pub fn fault(&self) -> Fault {
        self.0.fault
    }

    /// Whether asking again can help.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// The operation, or an empty text.
    pub fn op(&self) -> &'static str {
        self.0.op
    }

    /// The message without operation, context and cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// A copy without the cause's type: the cause's text moves into the context. For errors that
    /// several waiters share.
    pub fn share(&self) -> Self {
        let mut context = self.0.context.clone();
        if let Some(s) = &self.0.source {
            context.push(("cause", s.to_string()));
        }
        Self(Box::new(Inner {
            kind: self.0.kind,
            fault: self.0.fault,
            retry: self.0.retry,
            op: self.0.op,
            message: self.0.message.clone(),
            context,
            source: None,
        }))
    }
}

/// One line, for logs: `list_segments: malformed: text {device=yard}: cause`.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.op.is_empty() {
            write!(f, "{}: ", self.0.op)?;
        }
        f.write_str(&self.0.message)?;
        for (i, (k, v)) in self.0.context.iter().enumerate() {
            write!(f, "{}{k}={v}", if i == 0 { " {" } else { ", " })?;
        }
        if !self.0.context.is_empty() {
            f.write_str("}")?;
        }
        let mut cause = self.source();
        while let Some(c) = cause {
            write!(f, ": {c}")?;
            cause = c.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?}/{:?}: {self}", self.0.kind, self.0.fault, self.0.retry)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|s| s as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_carries_operation_context_and_cause() {
        let e = Error::new(ErrorKind::Timeout, "no answer in 5 s")
            .during("clock")
            .with("device", "yard")
            .because(std::io::Error::other("reset"));
        assert_eq!(e.to_string(), "clock: no answer in 5 s {device=yard}: reset");
        assert_eq!(e.fault(), Fault::Device);
        assert!(matches!(e.retry(), Retry::Later(_)));
        assert_eq!(e.share().to_string(), "clock: no answer in 5 s {device=yard, cause=reset}");
    }
}
