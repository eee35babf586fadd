//! Spans of all tracks in memory: 24 bytes each, merged as segments come and go.

/// See the module documentation.
#[derive(Debug, Default)]
pub struct SpanMap;
