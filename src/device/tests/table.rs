//! The table of operations against the list of the device service, restated from another angle: here
//! by letter and access class.

use std::collections::BTreeSet;

use super::*;

/// All operations of the device service (release of July 2026 of its description), sorted.
const ALL: &str = "AddIPAddressFilter AddScopes CreateCertificate CreateDot1XConfiguration \
    CreateStorageConfiguration CreateUsers DeleteCertificates DeleteDot1XConfiguration \
    DeleteGeoLocation DeleteStorageConfiguration DeleteUserRole DeleteUsers GetAccessPolicy \
    GetAuthFailureWarningConfiguration GetAuthFailureWarningOptions GetCACertificates \
    GetCapabilities GetCertificateInformation GetCertificates GetCertificatesStatus \
    GetClientCertificateMode GetDNS GetDPAddresses GetDeviceInformation GetDiscoveryMode \
    GetDot11Capabilities GetDot11Status GetDot1XConfiguration GetDot1XConfigurations \
    GetDynamicDNS GetEndpointReference GetGeoLocation GetHostname GetIPAddressFilter GetNTP \
    GetNetworkDefaultGateway GetNetworkInterfaces GetNetworkProtocols \
    GetPasswordComplexityConfiguration GetPasswordComplexityOptions \
    GetPasswordHistoryConfiguration GetPkcs10Request GetRelayOutputs GetRemoteDiscoveryMode \
    GetRemoteUser GetScopes GetServiceCapabilities GetServices GetStorageConfiguration \
    GetStorageConfigurations GetSystemBackup GetSystemDateAndTime GetSystemLog \
    GetSystemSupportInformation GetSystemUris GetUserRoles GetUsers GetWsdlUrl \
    GetZeroConfiguration LoadCACertificates LoadCertificateWithPrivateKey LoadCertificates \
    RemoveIPAddressFilter RemoveScopes RestoreSystem ScanAvailableDot11Networks \
    SendAuxiliaryCommand SetAccessPolicy SetAuthFailureWarningConfiguration \
    SetCertificatesStatus SetClientCertificateMode SetDNS SetDPAddresses SetDiscoveryMode \
    SetDot1XConfiguration SetDynamicDNS SetGeoLocation SetHashingAlgorithm SetHostname \
    SetHostnameFromDHCP SetIPAddressFilter SetNTP SetNetworkDefaultGateway SetNetworkInterfaces \
    SetNetworkProtocols SetPasswordComplexityConfiguration SetPasswordHistoryConfiguration \
    SetRelayOutputSettings SetRelayOutputState SetRemoteDiscoveryMode SetRemoteUser SetScopes \
    SetStorageConfiguration SetSystemDateAndTime SetSystemFactoryDefault SetUser SetUserRole \
    SetZeroConfiguration StartFirmwareUpgrade StartSystemRestore SystemReboot UpgradeFirmware \
    UpgradeSystemFirmware";

/// RH1-6: all commands of the service are in the table, and nothing else.
#[tokio::test]
async fn every_operation_has_its_row() {
    let world = World::new().await;
    let service = world.device.service();
    let names: BTreeSet<&str> = service.operations().iter().map(|o| &*o.name.local).collect();
    assert_eq!(names, ALL.split_whitespace().collect());
    assert_eq!(names.len(), service.operations().len());
}

/// RH2-6.
#[tokio::test]
async fn access_classes_follow_from_the_names_except_where_said() {
    let service = World::new().await.device.service();
    for o in service.operations() {
        let expected = match &*o.name.local {
            "GetServices"
            | "GetServiceCapabilities"
            | "GetCapabilities"
            | "GetWsdlUrl"
            | "GetHostname"
            | "GetSystemDateAndTime"
            | "GetEndpointReference" => Access::PreAuth,
            "GetUsers"
            | "GetAccessPolicy"
            | "GetSystemLog"
            | "GetSystemBackup"
            | "GetSystemSupportInformation" => Access::ReadSystemSecret,
            "SetSystemFactoryDefault"
            | "SystemReboot"
            | "RestoreSystem"
            | "StartSystemRestore"
            | "DeleteCertificates" => Access::Unrecoverable,
            n if n.contains("Firmware") => Access::Unrecoverable,
            n if n.contains("Relay") || n.contains("Storage") || n.contains("Auxiliary") => {
                if n.starts_with("Get") { Access::ReadMedia } else { Access::Actuate }
            }
            n if n.starts_with("Get") || n.starts_with("Scan") => Access::ReadSystem,
            _ => Access::WriteSystem,
        };
        assert_eq!(o.access, expected, "{}", o.name.local);
    }
}

#[tokio::test]
async fn what_is_not_supported_says_so_and_nothing_else_does() {
    let world = users::world().await.0;
    for name in ALL.split_whitespace() {
        let (status, body) = world.ask(Some("admin"), Element::new(ns::TDS, name.to_owned())).await;
        let supported = world
            .device
            .service()
            .operations()
            .iter()
            .any(|o| o.name.local == name && o.is_supported());
        let refused = format!("{body:?}").contains("ActionNotSupported");
        assert_eq!(refused, !supported, "{name}: {status} {body:?}");
    }
}

#[tokio::test]
async fn nobody_gets_past_the_door_but_for_the_seven() {
    let world = World::new().await;
    let mut open = 0;
    for name in ALL.split_whitespace() {
        let (status, _) = world.ask(None, Element::new(ns::TDS, name.to_owned())).await;
        open += usize::from(status == 200);
        assert!(status == 200 || status == 401, "{name}: {status}");
    }
    assert_eq!(open, 7);
    for (user, operation, status) in [
        ("user", "GetScopes", 200),
        ("user", "GetUsers", 400),
        ("operator", "GetUsers", 400),
        ("operator", "SetDiscoveryMode", 400),
    ] {
        assert_eq!(world.ask(Some(user), tds(operation)).await.0, status, "{user} {operation}");
    }
}
