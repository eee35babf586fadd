//! Hikvision recorders and cameras, and what is sold under other names with the same firmware.
//!
//! ISAPI and its predecessor PSIA over HTTP, RTSP for playback, MPEG program streams with the
//! vendor's descriptors. `docs.md` says what was seen and on which firmware.

mod container;
mod convert;
mod policy;
mod wire;
