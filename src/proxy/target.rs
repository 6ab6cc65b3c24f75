use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use rustls::pki_types::ServerName;

use super::Error;
use crate::oci::Registry;
use crate::tls::Subject;

const HTTPS: u16 = 443;

/// The authority of a CONNECT: a host and a port, the host in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    host: String,
    port: u16,
}

impl Target {
    /// Where a registry is: Docker Hub has several names, and no port means that of HTTPS.
    pub(super) fn of(registry: &Registry) -> Vec<Self> {
        let port = registry.port().unwrap_or(HTTPS);
        if registry.is_docker_hub() {
            return Registry::HUB_NAMES.map(|host| Self::new(host, port)).into();
        }
        vec![Self::new(registry.host(), port)]
    }

    /// IPv6 addresses have more than one spelling.
    fn new(host: &str, port: u16) -> Self {
        let host = host.parse().map_or_else(|_| host.to_owned(), |it: Ipv6Addr| it.to_string());
        Self { host, port }
    }

    /// A DNS name, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether `HOST[:PORT]`, as in the header `Host`, means this target within its tunnel.
    #[must_use]
    pub fn is_named_by_host(&self, host: &str) -> bool {
        let named = host.parse::<Registry>();
        named.is_ok_and(|named| Self::new(named.host(), named.port().unwrap_or(HTTPS)) == *self)
    }

    /// Whether the name in a TLS handshake means this target; addresses are not named in one (RFC
    /// 6066, section 3).
    pub(super) fn is_named_by_sni(&self, name: Option<&str>) -> bool {
        match (name, self.host.parse::<IpAddr>()) {
            (None, Ok(_)) => true,
            (Some(name), Err(_)) => name.eq_ignore_ascii_case(&self.host),
            _ => false,
        }
    }

    /// What a certificate for it names.
    pub(super) fn subject(&self) -> Subject {
        self.host.parse().map_or_else(|_| Subject::Name(self.host.clone()), Subject::Address)
    }

    pub(super) fn server_name(&self) -> Result<ServerName<'static>, Error> {
        ServerName::try_from(self.host.clone()).map_err(|_| Error::Authority(self.host.clone()))
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong =
            || Error::Authority(text.chars().take(80).flat_map(char::escape_debug).collect());
        let registry: Registry = text.parse().map_err(|_| wrong())?;
        let port = registry.port().ok_or_else(wrong)?;
        Ok(Self::new(registry.host(), port))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_no_host_and_port_is_refused() {
        for text in [
            "",
            "quay.io",
            "quay.io:",
            "quay.io:0",
            "quay.io:65536",
            "quay.io:+443",
            "quay.io.:443",
            ":443",
            "user@quay.io:443",
            "quay.io:443/",
            "https://quay.io:443",
            "quay .io:443",
            "[quay.io]:443",
            "::1:443",
            "[::1%25lo]:443",
            "quay.io:443:443",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_is_the_target_only_with_its_port() {
        let quay = target("QUAY.io:443");
        for host in ["quay.io", "Quay.IO:443"] {
            assert!(quay.is_named_by_host(host), "{host}");
        }
        for host in [
            "",
            "quay.io:80",
            "quay.io:+443",
            "evil.io",
            "quay.io.evil.io",
            "a@quay.io",
            "quay.io/",
            "quay.io.",
        ] {
            assert!(!quay.is_named_by_host(host), "{host}");
        }
        let other = target("h.example:8443");
        assert!(other.is_named_by_host("h.example:8443") && !other.is_named_by_host("h.example"));
        assert!(target("[::1]:443").is_named_by_host("[0:0::1]"));
    }

    #[test]
    fn the_name_in_a_handshake_has_to_be_there_and_the_same() {
        let quay = target("quay.io:443");
        assert!(quay.is_named_by_sni(Some("quay.IO")));
        assert!(!quay.is_named_by_sni(Some("cdn.quay.io")) && !quay.is_named_by_sni(None));
        let address = target("[2001:db8::1]:443");
        assert!(address.is_named_by_sni(None) && !address.is_named_by_sni(Some("quay.io")));
    }

    #[test]
    fn docker_hub_is_at_all_its_names() {
        let hub = Target::of(&"docker.io".parse().unwrap());
        assert!(hub.contains(&target("registry-1.docker.io:443")), "{hub:?}");
        assert_eq!(Target::of(&"h.example:5000".parse().unwrap()), [target("h.example:5000")]);
    }

    #[test]
    fn a_listed_address_is_one_in_every_spelling() {
        for listed in ["[2001:DB8:0::1]:5000", "[2001:db8::0:1]:5000"] {
            let listed = Target::of(&listed.parse().unwrap());
            assert_eq!(listed, [target("[2001:db8::1]:5000")]);
        }
    }
}
