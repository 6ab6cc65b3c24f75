use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::addresses::{AddressPolicy, Forbidden};

/// Turns names into addresses that a connection may lead to: what was judged is what is dialled,
/// there is no second look-up in between. `/etc/hosts` and `/etc/resolv.conf` are read once.
#[derive(Debug, Clone, Default)]
pub struct Resolver {
    /// None where nothing is judged.
    policy: Option<Arc<AddressPolicy>>,
    names: Arc<OnceLock<TokioResolver>>,
}

/// Why a name has no address to connect to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unreachable {
    /// It has addresses, and nothing is connected to any of them.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// It has none.
    #[error("the name `{name}` has no address: {reason}")]
    Unknown {
        /// Which.
        name: String,
        /// Who says so.
        reason: String,
    },
    /// Nobody who knows could be asked.
    #[error("the name `{name}` cannot be looked up: {reason}")]
    Unanswered {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
}

impl Resolver {
    /// A resolver that gives away what the policy permits.
    #[must_use]
    pub fn new(policy: AddressPolicy) -> Self {
        Self { policy: Some(Arc::new(policy)), names: Arc::default() }
    }

    /// The addresses of a host, itself a name or an address, that a connection may lead to.
    ///
    /// # Errors
    /// There are none.
    pub async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Unreachable> {
        if let Ok(address) = host.parse() {
            self.check(address)?;
            return Ok(vec![address]);
        }
        let failed = |error: NetError| {
            let (name, reason) = (host.to_owned(), error.to_string());
            match error.is_no_records_found() {
                true => Unreachable::Unknown { name, reason },
                false => Unreachable::Unanswered { name, reason },
            }
        };
        let found = self.names().map_err(failed)?.lookup_ip(host).await.map_err(failed)?;
        self.permitted(host, found.iter())
    }

    /// Those of the addresses that may be connected to; where there are none, what is wrong with the
    /// first.
    fn permitted(
        &self,
        host: &str,
        found: impl Iterator<Item = IpAddr>,
    ) -> Result<Vec<IpAddr>, Unreachable> {
        let mut permitted = Vec::new();
        let mut refused = None;
        for address in found {
            match self.check(address) {
                Ok(()) => permitted.push(address),
                Err(forbidden) => refused = refused.or(Some(forbidden)),
            }
        }
        match (permitted.is_empty(), refused) {
            (false, _) => Ok(permitted),
            (true, Some(forbidden)) => Err(forbidden.into()),
            (true, None) => Err(Unreachable::Unknown {
                name: host.to_owned(),
                reason: "no address was found".to_owned(),
            }),
        }
    }

    fn check(&self, address: IpAddr) -> Result<(), Forbidden> {
        self.policy.as_ref().map_or(Ok(()), |policy| policy.check(address))
    }

    /// Made when first asked: that takes a runtime.
    fn names(&self) -> Result<&TokioResolver, NetError> {
        if let Some(names) = self.names.get() {
            return Ok(names);
        }
        // Without a usable resolv.conf the names in /etc/hosts are still known.
        let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|_| {
            let nobody = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
            TokioResolver::builder_with_config(nobody, TokioRuntimeProvider::default())
        });
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        let made = builder.build()?;
        Ok(self.names.get_or_init(|| made))
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found = Resolver::resolve(&resolver, name.as_str()).await?;
            let found = found.into_iter().map(|address| SocketAddr::new(address, 0));
            let found: Addrs = Box::new(found);
            Ok(found)
        })
    }
}

impl From<Unreachable> for io::Error {
    fn from(error: Unreachable) -> Self {
        Self::other(error)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn permitted(found: &[&str]) -> Result<Vec<IpAddr>, Unreachable> {
        let found = found.iter().map(|text| text.parse().unwrap());
        Resolver::new(AddressPolicy::default()).permitted("h.example", found)
    }

    #[tokio::test]
    async fn an_address_is_judged_like_a_name() {
        let resolver = Resolver::new(AddressPolicy::default());
        let refused = resolver.resolve("127.0.0.1").await;
        assert!(matches!(refused, Err(Unreachable::Forbidden(_))), "{refused:?}");
        assert_eq!(resolver.resolve("9.9.9.9").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_name_of_the_hosts_file_is_judged_by_its_address() {
        let refused = Resolver::new(AddressPolicy::default()).resolve("localhost").await;
        assert!(matches!(refused, Err(Unreachable::Forbidden(_))), "{refused:?}");
        let allowed = ["127.0.0.0/8", "::1"].map(|text| text.parse().unwrap());
        let found =
            Resolver::new(AddressPolicy::allowing(allowed.into())).resolve("localhost").await;
        assert!(found.unwrap().iter().all(IpAddr::is_loopback));
    }

    #[test]
    fn of_several_addresses_only_the_permitted_are_given_away() {
        assert!(matches!(permitted(&[]), Err(Unreachable::Unknown { .. })));
        let refused = permitted(&["10.0.0.1", "127.0.0.1"]).unwrap_err();
        assert!(refused.to_string().contains("10.0.0.1"), "{refused}");
        assert_eq!(
            permitted(&["10.0.0.1", "9.9.9.9"]).unwrap(),
            ["9.9.9.9".parse::<IpAddr>().unwrap()]
        );
    }
}
