//! `ContentMgmt/record/control/manual`: recording by hand.

use dvrgate_adapter::transport::HttpRequest;
use http::Method;

use super::{Generation, get};

/// Starts or stops recording on a track. The answer is a `ResponseStatus`.
pub(crate) fn request(g: Generation, track: u32, record: bool) -> HttpRequest {
    let verb = if record { "start" } else { "stop" };
    let path = g.path(&format!("/ContentMgmt/record/control/manual/{verb}/tracks/{track}"));
    HttpRequest { method: Method::POST, ..get(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let r = request(Generation::Isapi, 101, true);
        assert_eq!(r.method, Method::POST);
        assert_eq!(r.path, "/ISAPI/ContentMgmt/record/control/manual/start/tracks/101");
        assert!(request(Generation::Isapi, 101, false).path.contains("/stop/"));
    }
}
