//! `Security/adminAccesses`: on which ports the device listens.

use dvrgate_adapter::transport::HttpRequest;

use super::xml::Element;
use super::{Generation, WireError, get};

/// Asks for the ports. Absent or broken on PSIA devices.
pub(crate) fn request(g: Generation) -> HttpRequest {
    get(g.path_or("/Security/adminAccesses", "/Security/AAA/adminAccesses"))
}

/// The RTSP port, where the list names one.
pub(crate) fn parse_rtsp_port(document: &Element) -> Result<Option<u16>, WireError> {
    let wanted = "AdminAccessProtocolList";
    if !document.is(wanted) {
        return Err(WireError::Root { found: document.name.clone(), wanted });
    }
    Ok(document
        .all("AdminAccessProtocol")
        .find(|p| p.text_at(&["protocol"]).is_some_and(|t| t.eq_ignore_ascii_case("RTSP")))
        .and_then(|p| p.number_at(&["portNo"]))
        .filter(|port| *port != 0))
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const PORTS: &[u8] = b"<AdminAccessProtocolList><AdminAccessProtocol><id>1</id><protocol>HTTP</protocol>\
        <portNo>80</portNo></AdminAccessProtocol><AdminAccessProtocol><id>2</id><protocol>RTSP</protocol>\
        <portNo>1554</portNo></AdminAccessProtocol></AdminAccessProtocolList>";

    #[test]
    fn the_rtsp_port_is_found() {
        assert_eq!(testing::parse(PORTS, parse_rtsp_port), Ok(Some(1554)));
        assert_eq!(testing::parse(b"<AdminAccessProtocolList/>", parse_rtsp_port), Ok(None));
        testing::sweep(PORTS, parse_rtsp_port);
    }
}
