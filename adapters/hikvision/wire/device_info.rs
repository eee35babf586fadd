//! `System/deviceInfo`: what the device is.
//!
//! The serial number holds slashes and brackets and the name is not unique: neither goes into a
//! token.

use dvrgate_adapter::transport::HttpRequest;

use super::xml::Element;
use super::{Generation, WireError, get};

/// Asks for it.
pub(crate) fn request(g: Generation) -> HttpRequest {
    get(g.path("/System/deviceInfo"))
}

/// `DeviceInfo`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct DeviceInfo {
    /// `deviceName`.
    pub(crate) name: String,
    /// `model`; PSIA recorders give the type in `deviceDescription`.
    pub(crate) model: String,
    /// `serialNumber`.
    pub(crate) serial: String,
    /// `firmwareVersion`, for instance `V4.75.011`.
    pub(crate) firmware: String,
    /// `firmwareReleasedDate`, for instance `build 240625`.
    pub(crate) build: String,
    /// `deviceType`: `DVR`, `NVR`, `IPCamera`, `IPDome`, …
    pub(crate) kind: String,
    /// `manufacturer`; blank or a label's name on neutral firmware.
    pub(crate) manufacturer: String,
}

impl DeviceInfo {
    /// Whether it is a camera rather than a recorder: cameras write true UTC where recorders write
    /// local time.
    pub(crate) fn is_camera(&self) -> bool {
        let kind = self.kind.to_ascii_lowercase();
        kind.starts_with("ip") || kind.contains("camera") || kind.contains("dome")
    }

    /// Version and build in one text.
    pub(crate) fn version(&self) -> String {
        format!("{} {}", self.firmware, self.build).trim().to_owned()
    }
}

/// Reads it.
pub(crate) fn parse(document: &Element) -> Result<DeviceInfo, WireError> {
    let wanted = "DeviceInfo";
    let d = document
        .find(wanted)
        .ok_or_else(|| WireError::Root { found: document.name.clone(), wanted })?;
    let text = |name| d.string_at(&[name]);
    let info = DeviceInfo {
        name: text("deviceName"),
        model: d.any_of(&["model", "deviceDescription"]).unwrap_or_default().to_owned(),
        serial: text("serialNumber"),
        firmware: d.any_of(&["firmwareVersion", "logicVersion"]).unwrap_or_default().to_owned(),
        build: text("firmwareReleasedDate"),
        kind: d.any_of(&["deviceType", "deviceDescription"]).unwrap_or_default().to_owned(),
        manufacturer: text("manufacturer"),
    };
    if info.model.is_empty() && info.serial.is_empty() {
        return Err(WireError::Missing("model"));
    }
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const DVR: &[u8] = include_bytes!("../fixtures/device_info_dvr.xml");

    #[test]
    fn a_hybrid_recorder() {
        let i = testing::parse(DVR, parse).unwrap();
        assert_eq!(i.model, "iDS-7208HUHI-M2/X");
        assert_eq!(i.serial, "iDS-7208HUHI-M2/X0120990101CCWRZZ0000001WCVU");
        assert_eq!(i.version(), "V4.75.011 build 240625");
        assert!(!i.is_camera());
    }

    #[test]
    fn a_psia_recorder_describes_itself_elsewhere() {
        let old =
            b"<DeviceInfo xmlns='urn:psialliance-org'><deviceDescription>DVR</deviceDescription>\
            <logicVersion>V2.1</logicVersion><serialNumber>DS-7208HVI</serialNumber></DeviceInfo>";
        let i = testing::parse(old, parse).unwrap();
        assert_eq!((i.model.as_str(), i.firmware.as_str()), ("DVR", "V2.1"));
    }

    #[test]
    fn truncations() {
        testing::sweep(DVR, parse);
    }
}
