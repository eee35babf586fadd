//! What the system allows this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Sockets and files that a full gateway has open: 2,048 RTSP connections with two pairs of UDP
/// ports each, and the footage that they play.
const WANTED: u64 = 16_384;

/// Systems start programs with room for 1,024 open files and let them ask for more.
pub fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(WANTED, |most| most.min(WANTED));
    let Some(have) = current.filter(|have| *have < wanted) else { return };
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => tracing::debug!(have, wanted, "raised the limit of open files"),
        Err(error) => tracing::warn!(%error, have, "the limit of open files stays low"),
    }
}
