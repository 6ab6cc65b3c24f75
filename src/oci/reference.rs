use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::name::excerpt;
use super::{Digest, Error, Reference, RepositoryName, Tag};

/// A registry, `HOST[:PORT]`; IPv6 addresses stand in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Registry {
    /// A DNS name or an IP address, without brackets, in lower case.
    host: String,
    port: Option<u16>,
}

/// `[docker://]HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]` (containers-transports(5)). Without a registry
/// it is Docker Hub's, without a tag and a digest the tag is `latest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageReference {
    /// Where.
    pub registry: Registry,
    /// Which repository there.
    pub repository: RepositoryName,
    /// Which image: the digest where both were given.
    pub reference: Reference,
    /// The tag as written, also beside a digest.
    pub tag: Option<Tag>,
}

impl Registry {
    /// The names of Docker Hub.
    pub const HUB_NAMES: [&str; 4] =
        ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];

    /// A registry by host and port as they stand in a CONNECTION: the host may be a bare IPv6 address.
    ///
    /// # Errors
    /// A host that is neither a DNS name nor an IP address in its usual spelling.
    pub fn new(host: &str, port: Option<u16>) -> Result<Self, Error> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let fail = |reason| Err(Error::Registry { value: excerpt(host), reason });
        if let Ok(address) = bare.parse::<Ipv6Addr>() {
            return Ok(Self { host: address.to_string(), port });
        }
        if bare != host || !is_dns_name(host) {
            return fail("the host is no name and no address");
        }
        if ends_in_a_number(host) && host.parse::<Ipv4Addr>().is_err() {
            return fail(
                "a host that ends in a number is an IPv4 address, and that is written as four decimal \
                 numbers without leading zeros",
            );
        }
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }

    /// Docker Hub.
    #[must_use]
    pub fn docker_hub() -> Self {
        Self { host: "docker.io".to_owned(), port: None }
    }

    /// The host without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, where one was named.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether this is Docker Hub under any of its names.
    #[must_use]
    pub fn is_docker_hub(&self) -> bool {
        self.port.is_none_or(|port| port == 443) && Self::HUB_NAMES.contains(&self.host.as_str())
    }

    /// Whether both are one place: the same text, or Docker Hub under two of its names.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self == other || (self.is_docker_hub() && other.is_docker_hub())
    }

    /// The shortest spelling of the same place: without the port that is meant anyway, and Docker Hub under the
    /// first of its names.
    #[must_use]
    pub fn canonical(&self) -> Self {
        if self.is_docker_hub() {
            return Self::docker_hub();
        }
        let host = self.host.parse::<Ipv6Addr>().map_or(self.host.clone(), |it| it.to_string());
        Self { host, port: self.port.filter(|port| *port != 443) }
    }

    /// The registry as the first component of a path in a registry that holds images of several: a
    /// colon cannot stand in a name, so a port follows `_` and an IPv6 address is written out.
    #[must_use]
    pub fn path_component(&self) -> String {
        let host = match self.host.parse::<Ipv6Addr>() {
            Ok(address) => {
                let parts = address.segments().map(|segment| format!("{segment:x}"));
                format!("ipv6-{}", parts.join("-"))
            }
            Err(_) => self.host.clone(),
        };
        self.port.map_or(host.clone(), |port| format!("{host}_{port}"))
    }

    /// Whether the text before the first `/` of a reference names a registry rather than a part of a
    /// Docker Hub repository: it has a `.` or a `:`, or is `localhost`.
    #[must_use]
    pub fn is_named_by(component: &str) -> bool {
        component.contains(['.', ':']) || component == "localhost"
    }
}

impl FromStr for Registry {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        let fail = |reason| Error::Registry { value: excerpt(value), reason };
        let (host, port) = match value.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(|| fail("`]` is missing"))?;
                if host.parse::<Ipv6Addr>().is_err() {
                    return Err(fail("only IPv6 addresses stand in brackets"));
                }
                match rest.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if rest.is_empty() => (host, None),
                    None => return Err(fail("there is more after `]`")),
                }
            }
            None => match value.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (value, None),
            },
        };
        let number = |port: &str| match port.bytes().all(|byte| byte.is_ascii_digit()) {
            true => port.parse::<u16>().ok().filter(|port| *port > 0),
            false => None,
        };
        let port = port
            .map(|port| {
                number(port).ok_or_else(|| fail("the port is not a number from 1 to 65535"))
            })
            .transpose()?;
        Self::new(host, port)
    }
}

/// Whether a URL takes it for an IPv4 address, in whatever spelling (URL Standard, "ends in a number"): two
/// names would be one place.
fn ends_in_a_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    match last.strip_prefix("0x").or_else(|| last.strip_prefix("0X")) {
        Some(hex) => hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

fn is_dns_name(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    host.len() <= 253
        && host.parse::<IpAddr>().map_or_else(|_| host.split('.').all(label), |_| true)
}

impl ImageReference {
    /// An image by its full repository, as Zuul job variables spell it (`quay.io/org/img`).
    ///
    /// # Errors
    /// What [`FromStr`] refuses.
    pub fn with_tag(repository: &str, tag: Tag) -> Result<Self, Error> {
        let (registry, repository) = split_registry(repository)?;
        Ok(Self { registry, repository, reference: tag.clone().into(), tag: Some(tag) })
    }

    /// The same repository with another tag or digest.
    #[must_use]
    pub fn at(&self, reference: impl Into<Reference>) -> Self {
        let reference = reference.into();
        let tag = match &reference {
            Reference::Tag(tag) => Some(tag.clone()),
            Reference::Digest(_) => None,
        };
        Self { reference, tag, ..self.clone() }
    }
}

impl FromStr for ImageReference {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        let rest = value.strip_prefix("docker://").unwrap_or(value);
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
            None => (rest, None),
        };
        let (rest, tag) = match rest.rsplit_once(':') {
            Some((rest, tag)) if !tag.contains('/') => (rest, Some(tag.parse::<Tag>()?)),
            _ => (rest, None),
        };
        let (registry, repository) = split_registry(rest)?;
        let reference = match (digest, &tag) {
            (Some(digest), _) => digest.into(),
            (None, Some(tag)) => tag.clone().into(),
            (None, None) => "latest".parse::<Tag>()?.into(),
        };
        Ok(Self { registry, repository, reference, tag })
    }
}

fn split_registry(value: &str) -> Result<(Registry, RepositoryName), Error> {
    match value.split_once('/') {
        Some((host, repository)) if Registry::is_named_by(host) => {
            let registry = host.parse::<Registry>()?;
            if registry.is_docker_hub() && !repository.contains('/') {
                return Ok((registry, format!("library/{repository}").parse()?));
            }
            Ok((registry, repository.parse()?))
        }
        Some(_) => Ok((Registry::docker_hub(), value.parse()?)),
        None => Ok((Registry::docker_hub(), format!("library/{value}").parse()?)),
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = match self.reference {
            Reference::Tag(_) => ':',
            Reference::Digest(_) => '@',
        };
        write!(f, "{}/{}{separator}{}", self.registry, self.repository, self.reference)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn refuses_what_is_no_reference() {
        for text in [
            "",
            "/",
            "docker://",
            "host:port/x",
            "host:0/x",
            "host:+5000/x",
            "host:70000/x",
            "[::1/x",
            "[::1]5000/x",
            "[nope]:5000/x",
            "quay.io/",
            "quay.io/Org/img",
            "quay.io/org/img:",
            "quay.io/org/img:a b",
            "quay.io/org/img@sha256:12",
            "user@quay.io/org/img",
            "ho st.io/x",
        ] {
            assert!(text.parse::<ImageReference>().is_err(), "{text}");
        }
    }

    #[test]
    fn reads_every_spelling() {
        for (text, shown) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("docker.io/busybox", "docker.io/library/busybox:latest"),
            ("org/img:1", "docker.io/org/img:1"),
            ("docker://quay.io/org/img:1", "quay.io/org/img:1"),
            ("localhost/img", "localhost/img:latest"),
            ("LocalHost:5000/img", "localhost:5000/img:latest"),
            ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
            ("[::1]:5000/a:b", "[::1]:5000/a:b"),
            ("[2001:db8::1]/a", "[2001:db8::1]/a:latest"),
        ] {
            assert_eq!(text.parse::<ImageReference>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn an_ipv4_address_has_one_spelling() {
        for text in
            ["10.5:5000", "167772165:5000", "0xa000005", "10.0.0.05", "a.0x", "1.2.3.4.5", "a.256"]
        {
            let error = text.parse::<Registry>().unwrap_err().to_string();
            assert!(error.contains("IPv4"), "{text}: {error}");
        }
        for text in ["10.0.0.5:5000", "4.example", "0x.example", "a.4b", "a.0xg"] {
            assert_eq!(text.parse::<Registry>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_ipv6_address_has_one_spelling() {
        for text in ["[2001:db8::1]:5000", "[2001:DB8:0::01]:5000", "[2001:db8:0:0:0:0:0:1]:5000"] {
            assert_eq!(text.parse::<Registry>().unwrap().to_string(), "[2001:db8::1]:5000");
        }
    }

    #[test]
    fn a_digest_wins_over_a_tag() {
        let digest = Digest::sha256(b"");
        let text = format!("quay.io/a/b:1@{digest}");
        let image: ImageReference = text.parse().unwrap();
        assert_eq!(image.reference, digest.clone().into());
        assert_eq!(image.tag.as_ref().map(Tag::as_str), Some("1"));
        assert_eq!(image.to_string(), format!("quay.io/a/b@{digest}"));
    }

    #[test]
    fn a_registry_is_one_component_of_a_path() {
        for (registry, component) in [
            ("quay.io", "quay.io"),
            ("host.example:5000", "host.example_5000"),
            ("[::1]:5000", "ipv6-0-0-0-0-0-0-0-1_5000"),
            ("[2001:db8::]", "ipv6-2001-db8-0-0-0-0-0-0"),
        ] {
            let made = registry.parse::<Registry>().unwrap().path_component();
            assert_eq!(made, component);
            assert!(format!("{made}/x").parse::<RepositoryName>().is_ok());
        }
    }

    #[test]
    fn a_connection_may_name_a_bare_ipv6_address() {
        let registry = Registry::new("2001:DB8::1", Some(5000)).unwrap();
        assert_eq!(registry.to_string(), "[2001:db8::1]:5000");
        let mapped = Registry::new("::ffff:10.0.0.5", None).unwrap();
        assert_eq!(mapped.to_string(), "[::ffff:10.0.0.5]");
        assert!(Registry::new("a/b", None).is_err());
    }
}
