//! The namespaces of ONVIF Core 5.3, with the prefixes that its texts use.
//!
//! Written documents use these prefixes, so that text which carries a prefix of its own, such as the
//! topic `tns1:RecordingHistory/Track/State`, means what it says.

macro_rules! namespaces {
    ($($(#[$doc:meta])* $name:ident $prefix:literal $uri:literal)*) => {
        $($(#[$doc])* pub const $name: &str = $uri;)*

        /// Prefix and URI of each.
        pub const KNOWN: &[(&str, &str)] = &[$(($prefix, $uri)),*];
    };
}

namespaces! {
    /// SOAP 1.2 envelope.
    ENV "env" "http://www.w3.org/2003/05/soap-envelope"
    /// SOAP 1.1 envelope: recognised in order to be refused as a version mismatch.
    ENV_1_1 "env11" "http://schemas.xmlsoap.org/soap/envelope/"
    /// WS-Addressing 1.0.
    WSA "wsa" "http://www.w3.org/2005/08/addressing"
    /// WS-Addressing as WS-Discovery uses it.
    WSADIS "wsadis" "http://schemas.xmlsoap.org/ws/2004/08/addressing"
    /// WS-Discovery.
    D "d" "http://schemas.xmlsoap.org/ws/2005/04/discovery"
    /// WS-Security.
    WSSE "wsse" "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
    /// WS-Security utilities.
    WSU "wsu" "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
    /// XML Schema.
    XS "xs" "http://www.w3.org/2001/XMLSchema"
    /// XML Schema instance.
    XSI "xsi" "http://www.w3.org/2001/XMLSchema-instance"
    /// ONVIF faults.
    TER "ter" "http://www.onvif.org/ver10/error"
    /// ONVIF topics.
    TNS1 "tns1" "http://www.onvif.org/ver10/topics"
    /// ONVIF common types.
    TT "tt" "http://www.onvif.org/ver10/schema"
    /// Device service.
    TDS "tds" "http://www.onvif.org/ver10/device/wsdl"
    /// Event service.
    TEV "tev" "http://www.onvif.org/ver10/events/wsdl"
    /// Media service.
    TRT "trt" "http://www.onvif.org/ver10/media/wsdl"
    /// Media2 service.
    TR2 "tr2" "http://www.onvif.org/ver20/media/wsdl"
    /// Recording control service.
    TRC "trc" "http://www.onvif.org/ver10/recording/wsdl"
    /// Recording search service.
    TSE "tse" "http://www.onvif.org/ver10/search/wsdl"
    /// Replay control service.
    TRP "trp" "http://www.onvif.org/ver10/replay/wsdl"
    /// Receiver service.
    TRV "trv" "http://www.onvif.org/ver10/receiver/wsdl"
    /// Remote discovery; home of the type `dn:NetworkVideoTransmitter`.
    DN "dn" "http://www.onvif.org/ver10/network/wsdl"
    /// WS-BaseNotification.
    WSNT "wsnt" "http://docs.oasis-open.org/wsn/b-2"
    /// WS-Topics.
    WSTOP "wstop" "http://docs.oasis-open.org/wsn/t-1"
    /// WS-BaseFaults.
    WSRF_BF "wsrf-bf" "http://docs.oasis-open.org/wsrf/bf-2"
    /// WS-Resource.
    WSRF_R "wsrf-r" "http://docs.oasis-open.org/wsrf/r-2"
    /// XML itself; its prefix needs no declaration.
    XML "xml" "http://www.w3.org/XML/1998/namespace"
}

/// The prefix that documents use for a namespace, if it is a known one.
pub fn prefix_of(uri: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(_, known)| *known == uri).map(|(prefix, _)| *prefix)
}

/// The URI itself, static where it is known.
pub(crate) fn intern(uri: &str) -> std::borrow::Cow<'static, str> {
    match KNOWN.iter().find(|(_, known)| *known == uri) {
        Some((_, known)) => (*known).into(),
        None => uri.to_owned().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::KNOWN;

    #[test]
    fn prefixes_and_uris_are_unique() {
        assert_eq!(KNOWN.iter().map(|k| k.0).collect::<HashSet<_>>().len(), KNOWN.len());
        assert_eq!(KNOWN.iter().map(|k| k.1).collect::<HashSet<_>>().len(), KNOWN.len());
    }
}
