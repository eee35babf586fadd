//! Where a request came from and which address it was sent to, so that the addresses in an answer are
//! ones that the client can reach.

use std::net::{IpAddr, SocketAddr};

/// Both ends of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// The client's end of the connection.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Whether TLS is in between.
    pub secure: bool,
    /// Host and port for URIs.
    authority: String,
}

impl Origin {
    /// The host for URIs is, in this order: what the configuration says (`advertise`, a host with or
    /// without a port), what the client called us (its Host header, if it is a plain host), or the
    /// address that it reached.
    pub fn new(
        peer: SocketAddr,
        local: SocketAddr,
        secure: bool,
        host_header: Option<&str>,
        advertise: Option<&str>,
    ) -> Self {
        let canonical = SocketAddr::new(local.ip().to_canonical(), local.port());
        let authority = match (advertise, host_header.filter(|h| is_authority(h))) {
            (Some(a), _) if split_port(a).1.is_some() => a.to_owned(),
            (Some(a), _) => format!("{}:{}", bracketed(a), local.port()),
            (None, Some(header)) => header.to_owned(),
            (None, None) => canonical.to_string(),
        };
        Self { peer, local: canonical, secure, authority }
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// Host and port as they stand in HTTP URIs.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host alone, an IPv6 address in brackets, for URIs with another port.
    pub fn host(&self) -> &str {
        split_port(&self.authority).0
    }

    /// The URI of a path of this server.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme(), self.authority)
    }
}

/// Whether the text is `host`, `host:port`, `[v6]` or `[v6]:port` and nothing else: it goes into URIs.
fn is_authority(text: &str) -> bool {
    let (host, port) = split_port(text);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let host_fits = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(plain),
    };
    text.len() <= MAX_AUTHORITY_BYTES
        && host_fits
        && port.is_none_or(|p| p.len() <= 5 && p.parse::<u16>().is_ok())
}

/// Takes `:port` off; colons inside brackets belong to the host.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port))
            if !port.contains(']') && (!host.contains(':') || host.ends_with(']')) =>
        {
            (host, Some(port))
        }
        _ => (text, None),
    }
}

fn bracketed(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) => format!("[{v6}]"),
        _ => host.to_owned(),
    }
}

/// Longest host name and port.
const MAX_AUTHORITY_BYTES: usize = 261;

#[cfg(test)]
mod tests {
    use super::*;

    fn url(local: &str, host: Option<&str>, advertise: Option<&str>) -> (String, String) {
        let peer = "192.0.2.9:50000".parse().unwrap();
        let o = Origin::new(peer, local.parse().unwrap(), false, host, advertise);
        (o.url("/x"), o.host().to_owned())
    }

    /// RH3-1: scheme and host of an XAddr are those of the request.
    #[test]
    fn the_address_that_the_client_used_comes_first() {
        let l = "192.0.2.1:8080";
        for (local, host, advertise, expected, bare) in [
            (l, Some("gate.local"), None, "http://gate.local/x", "gate.local"),
            (l, Some("gate.local:81"), None, "http://gate.local:81/x", "gate.local"),
            (l, Some("[2001:db8::1]:81"), None, "http://[2001:db8::1]:81/x", "[2001:db8::1]"),
            (l, Some("[2001:db8::1]"), None, "http://[2001:db8::1]/x", "[2001:db8::1]"),
            (l, None, None, "http://192.0.2.1:8080/x", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:80", None, None, "http://192.0.2.1:80/x", "192.0.2.1"),
            ("[2001:db8::1]:80", None, None, "http://[2001:db8::1]:80/x", "[2001:db8::1]"),
            (l, Some("a"), Some("203.0.113.5"), "http://203.0.113.5:8080/x", "203.0.113.5"),
            (l, Some("a"), Some("203.0.113.5:80"), "http://203.0.113.5:80/x", "203.0.113.5"),
            (l, Some("a"), Some("2001:db8::5"), "http://[2001:db8::5]:8080/x", "[2001:db8::5]"),
        ] {
            assert_eq!(url(local, host, advertise), (expected.to_owned(), bare.to_owned()));
        }
    }

    #[test]
    fn a_host_header_that_is_none_is_ignored() {
        let long = "a".repeat(300);
        for bad in [
            "", "a b", "a/../b", "a@b", "a:b", "a:99999", ":80", "[::1", "::1", "a\"", &long,
            "[zz]:80",
        ] {
            assert_eq!(
                url("192.0.2.1:8080", Some(bad), None).0,
                "http://192.0.2.1:8080/x",
                "{bad}"
            );
        }
    }
}
