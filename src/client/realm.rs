use std::net::IpAddr;

use url::{Host, Url};

use crate::oci::Registry;

/// A token server that may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Realm {
    pub(super) url: Url,
    /// Whether it may be told the registry's credentials.
    pub(super) trusted: bool,
    /// Whether it is on the registry's own host and port, which whoever runs this named.
    pub(super) same_place: bool,
}

impl Realm {
    /// Judges the realm of a Bearer challenge of `registry`.
    ///
    /// The realm is a URL the registry chose, and credentials go only to the host they are for. So
    /// the registry's credentials are told to a realm
    /// * on the registry's own host and port,
    /// * on a host of the registry's own domain: `registry.gitlab.com` and `gitlab.com`,
    ///   `registry.example.com` and `login.example.com` – the domain is what is left of the
    ///   registry's host without its first label, if that still has a dot,
    /// * on `auth.docker.io`, if the registry is Docker Hub, the one public pair with two domains.
    ///
    /// Any other realm is asked anonymously, or with credentials that were given for its own host.
    /// TLS is never left: a registry with TLS has a realm with TLS, and one without TLS has a realm
    /// with TLS, on its own host and port, or on another place named to be without TLS.
    ///
    /// # Errors
    /// Why the realm is not asked at all.
    pub(super) fn judge(
        registry: &Registry,
        realm: &str,
        is_plain: impl Fn(&Registry) -> bool,
    ) -> Result<Self, String> {
        let url = Url::parse(realm).map_err(|error| format!("that is no URL ({error})"))?;
        let place = place(&url).ok_or_else(|| "that is no place on the network".to_owned())?;
        let plain = is_plain(registry);
        let own_port = registry.port().unwrap_or(if plain { 80 } else { 443 });
        let same_place = registry.host() == place.host() && Some(own_port) == place.port();
        match url.scheme() {
            "https" => {}
            "http" if plain && (same_place || is_plain(&place)) => {}
            "http" => {
                return Err(format!(
                    "without TLS no credentials and no tokens are sent; the registry must name an \
                     https URL, or {place} must be named with --plain-http as the registry itself"
                ));
            }
            _ => return Err("only http and https are spoken".to_owned()),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds a login of its own".to_owned());
        }
        let trusted = same_place || same_domain(registry, &url) || is_docker_hubs(registry, &url);
        Ok(Self { url, trusted, same_place })
    }

    /// The host and port asked.
    pub(super) fn place(&self) -> Option<Registry> {
        place(&self.url)
    }
}

fn place(url: &Url) -> Option<Registry> {
    Registry::new(url.host_str()?, url.port_or_known_default()).ok()
}

fn same_domain(registry: &Registry, url: &Url) -> bool {
    let Some(Host::Domain(realm)) = url.host() else {
        return false;
    };
    if url.scheme() != "https" || registry.host().parse::<IpAddr>().is_ok() {
        return false;
    }
    if registry.host() == realm {
        return realm.contains('.');
    }
    let Some((_, domain)) = registry.host().split_once('.') else {
        return false;
    };
    domain.contains('.')
        && (realm == domain || realm.strip_suffix(domain).is_some_and(|sub| sub.ends_with('.')))
}

fn is_docker_hubs(registry: &Registry, url: &Url) -> bool {
    registry.is_docker_hub()
        && url.scheme() == "https"
        && url.host_str() == Some("auth.docker.io")
        && url.port().is_none()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn judge(registry: &str, realm: &str) -> Result<bool, String> {
        let plain: [Registry; 3] = [
            "127.0.0.1:5000".parse().unwrap(),
            "127.0.0.1:5001".parse().unwrap(),
            "plain.example".parse().unwrap(),
        ];
        let registry = registry.parse().unwrap();
        Realm::judge(&registry, realm, |place| plain.contains(place)).map(|realm| realm.trusted)
    }

    #[test]
    fn realms_that_leave_tls_or_are_no_urls_are_not_asked() {
        for (registry, realm) in [
            ("quay.io", "http://quay.io/v2/auth"),
            ("quay.io", "http://127.0.0.1:5001/token"),
            ("quay.io", "token"),
            ("quay.io", "file:///etc/passwd"),
            ("quay.io", "https://user:pw@quay.io/v2/auth"),
            ("127.0.0.1:5000", "http://127.0.0.1:5002/token"),
            ("127.0.0.1:5000", "http://elsewhere.example/token"),
        ] {
            assert!(judge(registry, realm).is_err(), "{registry} {realm}");
        }
    }

    #[test]
    fn foreign_realms_are_not_told_the_registrys_credentials() {
        for (registry, realm) in [
            ("quay.io", "https://evil.io/token"),
            ("quay.io", "https://quay.io.evil.example/token"),
            ("registry.example.com", "https://badexample.com/token"),
            ("registry.example.com", "https://com/token"),
            ("docker.io", "https://auth.docker.io:8443/token"),
            ("docker.io", "https://auth.docker.com/token"),
            ("10.0.0.1:5000", "https://10.0.0.1:5001/token"),
            ("127.0.0.1:5000", "https://127.0.0.1:5001/token"),
            ("localhost:5000", "https://localhost:5001/token"),
            ("plain.example", "https://evil.example/token"),
        ] {
            assert_eq!(judge(registry, realm), Ok(false), "{registry} {realm}");
        }
    }

    #[test]
    fn realms_of_real_registries_are_trusted() {
        for (registry, realm) in [
            ("docker.io", "https://auth.docker.io/token"),
            ("quay.io", "https://quay.io/v2/auth"),
            ("ghcr.io", "https://ghcr.io/token"),
            ("registry.gitlab.com", "https://gitlab.com/jwt/auth"),
            ("registry.example.com:5050", "https://gitlab.example.com/jwt/auth"),
            ("h.example:5000", "https://h.example:5000/auth"),
            ("[::1]:5000", "https://[::1]:5000/auth"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/auth"),
            ("plain.example", "http://plain.example/auth"),
        ] {
            assert_eq!(judge(registry, realm), Ok(true), "{registry} {realm}");
        }
        assert_eq!(judge("127.0.0.1:5000", "http://127.0.0.1:5001/auth"), Ok(false));
    }
}
