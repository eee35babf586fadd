//! Channels: analogue inputs (`System/Video/inputs/channels`) and network cameras
//! (`ContentMgmt/InputProxy/channels` and its `status`).
//!
//! The `size` attribute is a capacity or a count, by firmware: children are counted. Ids have holes,
//! names may be empty, network cameras that are off-line stay in the list.

use dvrgate_adapter::transport::HttpRequest;

use super::xml::Element;
use super::{Generation, WireError, get};

/// Asks for the analogue inputs. Pure network recorders refuse with 403.
pub(crate) fn analogue_request(g: Generation) -> HttpRequest {
    get(g.path("/System/Video/inputs/channels"))
}

/// Asks for the network cameras.
pub(crate) fn proxy_request(g: Generation) -> HttpRequest {
    get(g.path_or(
        "/ContentMgmt/InputProxy/channels",
        "/Custom/SelfExt/ContentMgmt/DynVideo/inputs/channels/status",
    ))
}

/// Asks which network cameras are there now; some firmware does not know this.
pub(crate) fn proxy_status_request(g: Generation) -> HttpRequest {
    get(g.path_or(
        "/ContentMgmt/InputProxy/channels/status",
        "/Custom/SelfExt/ContentMgmt/DynVideo/inputs/channels/status",
    ))
}

/// An input of the device.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Input {
    /// `id`: hundreds of stream and track ids.
    pub(crate) id: u32,
    /// `name`; may be empty.
    pub(crate) name: String,
    /// Address of the network camera, empty for analogue inputs.
    pub(crate) address: String,
    /// Whether there is a picture, where this document says so.
    pub(crate) online: Option<bool>,
}

/// `VideoInputChannelList`. A signal is present unless `resDesc` says `NO VIDEO`;
/// `videoInputEnabled` is always true.
pub(crate) fn parse_analogue(document: &Element) -> Result<Vec<Input>, WireError> {
    inputs(document, &["VideoInputChannelList", "VideoInputChannel"], |c| {
        let signal = c.text_at(&["resDesc"]).map(|r| !r.eq_ignore_ascii_case("NO VIDEO"));
        (String::new(), signal)
    })
}

/// `InputProxyChannelList`, or PSIA's list that holds the status too.
pub(crate) fn parse_proxy(document: &Element) -> Result<Vec<Input>, WireError> {
    inputs(document, &PROXY_ROOTS, |c| {
        let source = c.child("sourceInputPortDescriptor").unwrap_or(c);
        (source.string_at(&["ipAddress"]), c.flag_at(&["online"]))
    })
}

const PROXY_ROOTS: [&str; 8] = [
    "InputProxyChannelList",
    "InputProxyChannel",
    "InputProxyChannelStatusList",
    "InputProxyChannelStatus",
    "DynVideoInputChannelStatusList",
    "DynVideoInputChannelStatus",
    "DynVideoInputChannelList",
    "DynVideoInputChannel",
];

/// The children of a list, or the one item where a list of one is written without its list.
fn inputs(
    document: &Element,
    roots: &[&'static str],
    more: impl Fn(&Element) -> (String, Option<bool>),
) -> Result<Vec<Input>, WireError> {
    let found = || document.name.clone();
    if !roots.iter().any(|r| document.is(r)) {
        return Err(WireError::Root { found: found(), wanted: roots[0] });
    }
    let is_item = |e: &Element| roots.iter().any(|r| e.is(r)) && e.child("id").is_some();
    let items: Vec<&Element> = if is_item(document) {
        vec![document]
    } else {
        document.children.iter().filter(|c| is_item(c)).collect()
    };
    items
        .into_iter()
        .map(|c| {
            let id = c.number_at(&["id"]).filter(|id| (1..=MAX_CHANNEL).contains(id));
            let id =
                id.ok_or_else(|| WireError::Value { element: "id", value: c.string_at(&["id"]) })?;
            let (address, online) = more(c);
            Ok(Input { id, name: c.string_at(&["name"]), address, online })
        })
        .collect()
}

/// Largest channel number that is believed; recorders with 256 channels exist.
pub(crate) const MAX_CHANNEL: u32 = 9_999;

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const ANALOGUE: &[u8] = include_bytes!("../fixtures/channels_analogue.xml");
    const PROXY: &[u8] = include_bytes!("../fixtures/channels_proxy.xml");
    const STATUS: &[u8] = include_bytes!("../fixtures/channels_proxy_status.xml");

    #[test]
    fn no_video_is_no_signal_and_names_hold_a_bare_ampersand() {
        let list = testing::parse(ANALOGUE, parse_analogue).unwrap();
        let seen: Vec<_> = list.iter().map(|i| (i.id, i.name.as_str(), i.online)).collect();
        assert_eq!(
            seen,
            [(1, "Gate & yard", Some(true)), (2, "", Some(false)), (4, "Camera 04", None)]
        );
    }

    #[test]
    fn children_are_counted_not_the_size() {
        let list = testing::parse(PROXY, parse_proxy).unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!((list[0].id, list[0].address.as_str()), (9, "192.0.2.31"));
        let status = testing::parse(STATUS, parse_proxy).unwrap();
        assert_eq!(status[1].online, Some(false));
        let none = b"<InputProxyChannelList size=\"2\"> </InputProxyChannelList>";
        assert!(testing::parse(none, parse_proxy).unwrap().is_empty());
    }

    #[test]
    fn absurd_ids_are_refused() {
        for id in ["0", "-1", "x", "99999999999"] {
            let doc = format!(
                "<VideoInputChannelList><VideoInputChannel><id>{id}</id></VideoInputChannel></VideoInputChannelList>"
            );
            assert!(testing::parse(doc.as_bytes(), parse_analogue).is_err(), "{id}");
        }
    }

    #[test]
    fn truncations() {
        testing::sweep(ANALOGUE, parse_analogue);
        testing::sweep(PROXY, parse_proxy);
        testing::sweep(STATUS, parse_proxy);
    }
}
