//! Messages of the device service that carry arguments or a fixed list of values.

use dvrgate_soap::{enumeration, message, ns};

message! {
    /// tds:GetServices.
    pub(crate) struct GetServices in ns::TDS {
        /// Whether capabilities are wanted too. Required by the schema; left out by some clients.
        include_capability: Option<bool> = "IncludeCapability",
    }

    /// tds:GetCapabilities.
    pub(crate) struct GetCapabilities in ns::TDS {
        /// Which ones; none means all.
        categories: Vec<Category> = "Category",
    }

    /// tds:GetDeviceInformationResponse.
    pub(crate) struct Information in ns::TDS {
        manufacturer: String = "Manufacturer",
        model: String = "Model",
        firmware_version: String = "FirmwareVersion",
        serial_number: String = "SerialNumber",
        hardware_id: String = "HardwareId",
    }

    /// tds:SetScopes.
    pub(crate) struct SetScopes in ns::TDS {
        scopes: Vec<String> = "Scopes",
    }

    /// tds:AddScopes and tds:RemoveScopes, and the answer to the latter.
    pub(crate) struct ScopeItems in ns::TDS {
        items: Vec<String> = "ScopeItem",
    }

    /// tds:SetDiscoveryMode and tds:GetDiscoveryModeResponse.
    pub(crate) struct Discovery in ns::TDS {
        mode: DiscoveryMode = "DiscoveryMode",
    }

    /// An answer that says only that it was done.
    pub(crate) struct Done in ns::TDS {}

    /// tt:NetworkInterfaceInfo.
    pub(crate) struct InterfaceInfo in ns::TT {
        name: String = "Name",
        hardware: String = "HwAddress",
        mtu: Option<u32> = "MTU",
    }

    /// tt:PrefixedIPv4Address and tt:PrefixedIPv6Address.
    pub(crate) struct Prefixed in ns::TT {
        address: String = "Address",
        prefix: u32 = "PrefixLength",
    }

    /// tt:NetworkProtocol.
    pub(crate) struct Protocol in ns::TT {
        name: String = "Name",
        enabled: bool = "Enabled",
        port: u16 = "Port",
    }

    /// tt:User. The password is only ever read.
    pub(crate) struct User in ns::TT {
        name: String = "Username",
        password: Option<String> = "Password",
        level: UserLevel = "UserLevel",
    }

    /// tds:CreateUsers, tds:SetUser and tds:GetUsersResponse.
    pub(crate) struct UserList in ns::TDS {
        users: Vec<User> = "User",
    }

    /// tds:DeleteUsers.
    pub(crate) struct UserNames in ns::TDS {
        names: Vec<String> = "Username",
    }

    /// tt:Scope.
    pub(crate) struct Scope in ns::TT {
        definition: ScopeDefinition = "ScopeDef",
        item: String = "ScopeItem",
    }

    /// tt:OnvifVersion.
    pub(crate) struct OnvifVersion in ns::TT {
        major: u32 = "Major",
        minor: u32 = "Minor",
    }
}

enumeration! {
    /// tt:CapabilityCategory.
    pub(crate) enum Category {
        /// Everything.
        All = "All",
        /// Video analytics.
        Analytics = "Analytics",
        /// This service.
        Device = "Device",
        /// Event service.
        Events = "Events",
        /// Imaging service.
        Imaging = "Imaging",
        /// Media service.
        Media = "Media",
        /// PTZ service.
        Ptz = "PTZ",
    }

    /// tt:UserLevel.
    pub(crate) enum UserLevel {
        /// Everything.
        Administrator = "Administrator",
        /// Everything but the configuration of the system.
        Operator = "Operator",
        /// Looking only.
        User = "User",
        /// Nobody in particular; no account can have it.
        Anonymous = "Anonymous",
    }

    /// tt:DiscoveryMode.
    pub(crate) enum DiscoveryMode {
        /// Answers.
        Discoverable = "Discoverable",
        /// Is silent.
        NonDiscoverable = "NonDiscoverable",
    }

    /// tt:ScopeDefinition.
    pub(crate) enum ScopeDefinition {
        /// Belongs to the device.
        Fixed = "Fixed",
        /// Clients may change it.
        Configurable = "Configurable",
    }
}
