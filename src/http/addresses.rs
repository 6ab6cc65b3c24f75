use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::Network;

/// Which addresses a connection may lead to whose target somebody else named: those of the public
/// Internet (RFC 6890 and the IANA registries behind it), and what was allowed by hand. Whoever could
/// name any other would reach, from here, what listens for this host or its network alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    allowed: Vec<Network>,
}

/// An address no connection may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address {address} is {kind}, where nothing is connected to unless it is allowed")]
pub struct Forbidden {
    /// Which.
    pub address: IpAddr,
    /// What it is.
    pub kind: &'static str,
}

impl AddressPolicy {
    /// The public Internet, and these.
    #[must_use]
    pub fn allowing(allowed: Vec<Network>) -> Self {
        Self { allowed }
    }

    /// Judges an address.
    ///
    /// # Errors
    /// It is not public, or one of this host's own, and not allowed either.
    pub fn check(&self, address: IpAddr) -> Result<(), Forbidden> {
        if self.allowed.iter().any(|network| network.contains(address)) {
            // Who allows a way to IPv4 does not mean by that this host and its network (RFC 6052, 3.1).
            let Some(meant) = meant_v4(address) else { return Ok(()) };
            return self.check(meant.into()).map_err(|refused| Forbidden { address, ..refused });
        }
        let special = match address {
            IpAddr::V4(address) => special_v4(address),
            IpAddr::V6(address) => special_v6(address),
        };
        let own = || is_own(address).then_some("this host's own");
        match special.or_else(own) {
            Some(kind) => Err(Forbidden { address, kind }),
            None => Ok(()),
        }
    }
}

/// What an IPv4 address is, if it is not public (IANA IPv4 Special-Purpose Address Registry).
fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [first, second, third, _] = address.octets();
    Some(match (first, second, third) {
        _ if address.is_loopback() => "a loopback address",
        _ if address.is_unspecified() => "unspecified",
        _ if address.is_private() => "private",
        _ if address.is_link_local() => "link-local",
        _ if address.is_multicast() => "a multicast address",
        _ if address.is_broadcast() => "the broadcast address",
        (0, ..) => "unspecified",
        (100, 64..=127, _) => "private (shared by a provider's customers)",
        (192, 0, 0) | (192, 88, 99) => "reserved",
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => "for documentation",
        (198, 18..=19, _) => "for measurements",
        (240..=255, ..) => "reserved",
        _ => return None,
    })
}

/// What an IPv6 address is, if it is not public: all that is routed today is in 2000::/3, and of that
/// the blocks of the IANA IPv6 Special-Purpose Address Registry are not.
fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let [first, second, ..] = address.segments();
    Some(match (first, second) {
        _ if address.is_loopback() => "a loopback address",
        _ if address.is_unspecified() => "unspecified",
        _ if address.to_ipv4_mapped().is_some() => "an IPv4 address written as IPv6",
        (0x0064, 0xff9b) => "an IPv4 address written as IPv6",
        (0xfc00..=0xfdff, _) => "private",
        (0xfe80..=0xfebf, _) => "link-local",
        (0xfec0..=0xfeff, _) => "private",
        (0xff00..=0xffff, _) => "a multicast address",
        (0x2002, _) => "an IPv4 address written as IPv6",
        (0x2001, 0x0db8) | (0x3fff, 0x0000..=0x0fff) => "for documentation",
        (0x2001, 0x0000) => "an IPv4 address written as IPv6",
        (0x2001, 0x0001..=0x01ff) => "reserved",
        (0x2000..=0x3fff, _) => return None,
        _ => "reserved",
    })
}

/// The IPv4 address that an IPv6 address stands for: mapped, NAT64 with its well-known prefix, 6to4.
fn meant_v4(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let of = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => Some(of(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

/// Whether an address is this host's: the system reaches its own addresses from themselves. Nothing
/// is sent; interfaces may come and go.
fn is_own(address: IpAddr) -> bool {
    let from: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let reached_from = UdpSocket::bind(SocketAddr::new(from, 0)).and_then(|socket| {
        socket.connect(SocketAddr::new(address, 9))?;
        socket.local_addr()
    });
    reached_from.is_ok_and(|own| own.ip() == address)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(allowed: &[&str], address: &str) -> Result<(), Forbidden> {
        let allowed = allowed.iter().map(|text| text.parse().unwrap()).collect();
        AddressPolicy::allowing(allowed).check(address.parse().unwrap())
    }

    #[test]
    fn what_is_not_public_is_refused() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::a00:1",
            "100::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:2::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            let refused = check(&[], address).unwrap_err();
            assert_eq!(refused.address, address.parse::<IpAddr>().unwrap(), "{address}");
        }
    }

    #[test]
    fn what_is_allowed_by_hand_is_no_wider_than_it_says() {
        for (allowed, address) in [
            ("127.0.0.1", "127.0.0.2"),
            ("10.1.0.0/16", "10.2.0.1"),
            ("10.1.0.0/16", "::ffff:10.1.0.1"),
            ("10.1.0.0/16", "2002:a01:1::"),
            ("::1", "127.0.0.1"),
            ("fd00::/64", "fd00:0:0:1::1"),
            ("64:ff9b::/96", "64:ff9b::10.0.0.1"),
            ("64:ff9b::/96", "64:ff9b::127.0.0.1"),
            ("64:ff9b::/96", "64:ff9b:1::8.8.8.8"),
            ("2002::/16", "2002:7f00:1::"),
            ("::/0", "::ffff:169.254.169.254"),
        ] {
            assert!(check(&[allowed], address).is_err(), "{allowed} {address}");
        }
        for (allowed, address) in [
            ("127.0.0.1", "127.0.0.1"),
            ("10.1.0.0/16", "10.1.255.255"),
            ("10.1.2.3/16", "10.1.0.0"),
            ("0.0.0.0/0", "127.0.0.1"),
            ("::/0", "::1"),
            ("fd00::/8", "fdff::1"),
            ("64:ff9b::/96", "64:ff9b::8.8.8.8"),
        ] {
            assert_eq!(check(&[allowed], address), Ok(()), "{allowed} {address}");
        }
        assert_eq!(check(&["64:ff9b::/96", "10.0.0.0/8"], "64:ff9b::10.0.0.1"), Ok(()));
    }

    #[test]
    fn public_addresses_are_reached() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2606:4700::1111",
        ] {
            assert_eq!(check(&[], address), Ok(()), "{address}");
        }
    }

    #[test]
    fn this_hosts_own_addresses_are_known() {
        assert!(is_own(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_own("1.1.1.1".parse().unwrap()));
    }
}
