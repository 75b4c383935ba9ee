//! Addresses that a name or a Service does not lead to, unless the operator says so: this machine, its link, the metadata and
//! control services of clouds, and what is no single host.
//!
//! Nobody is trusted by an address, and the first thing that a gateway writes is a TLS greeting. But whoever answers for a name must
//! not choose that it talks to what listens only because nobody else gets there.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::Address;
use crate::source::Network;

/// Metadata and control services at addresses that no range below covers: Alibaba's metadata, Azure's WireServer.
const SERVICES_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
/// AWS's and Google's metadata over IPv6.
const SERVICES_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

const LOOPBACK: &str = "loopback";

/// What one source may lead to, and what of it was refused last: that is said once.
#[derive(Debug)]
pub struct Gate {
    admitted: Vec<Network>,
    refused: BTreeSet<IpAddr>,
}

impl Gate {
    /// Special addresses pass where `admitted` covers them.
    pub fn new(admitted: Vec<Network>) -> Self {
        Self { admitted, refused: BTreeSet::new() }
    }

    /// What passes, and a doubt if something does not. `source` is what the log calls it.
    pub fn sift(&mut self, sockets: BTreeSet<SocketAddr>, source: &str) -> (BTreeSet<Address>, Option<String>) {
        let (mut addresses, mut refused_now, mut doubt) = (BTreeSet::new(), BTreeSet::new(), None);
        for socket in sockets {
            let Some(what) = refused(socket.ip(), &self.admitted) else {
                addresses.extend(Address::parse(&socket.to_string()));
                continue;
            };
            if refused_now.insert(socket.ip()) && !self.refused.contains(&socket.ip()) {
                tracing::warn!(
                    target: "audit", source, address = %socket.ip(),
                    "discovery: leads to {what}, which is left out; `discovery.admit` can admit it"
                );
            }
            doubt.get_or_insert_with(|| format!("it leads to {what}, which is not admitted"));
        }
        self.refused = refused_now;
        (addresses, doubt)
    }
}

/// Where a name of the list may lead, of what was `found` for it. `localhost` says what it is; otherwise whoever answers for a name
/// could choose a special address.
pub fn reachable(
    address: &str,
    found: impl Iterator<Item = SocketAddr>,
    admitted: &[Network],
) -> Result<Vec<SocketAddr>, String> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let is_local = host.eq_ignore_ascii_case("localhost");
    let (mut reachable, mut special) = (Vec::new(), None);
    for socket in found {
        match refused(socket.ip(), admitted) {
            Some(what) if !(is_local && what == LOOPBACK) => special = Some(what),
            _ => reachable.push(socket),
        }
    }
    match special {
        Some(what) if reachable.is_empty() => {
            Err(format!("the name leads to {what}, which is not admitted (`discovery.admit`)"))
        }
        _ => Ok(reachable),
    }
}

/// What `address` is, where that is special and none of `admitted` covers it.
pub fn refused(address: IpAddr, admitted: &[Network]) -> Option<&'static str> {
    kind(address).filter(|_| !admitted.iter().any(|network| network.contains(address)))
}

/// What is special about an address; nothing, for most.
fn kind(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => kind_v4(inner),
            None => kind_v6(address),
        },
    }
}

fn kind_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        // Linux connects to itself at 0.0.0.0; all of 0.0.0.0/8 is "this network" (RFC 1122, section 3.2.1.3).
        [0, ..] => Some("this host"),
        [127, ..] => Some(LOOPBACK),
        [169, 254, 169, 254] => Some("the metadata service"),
        [169, 254, ..] => Some("link-local"),
        [224..=255, ..] => Some("no single host"),
        _ => SERVICES_V4.contains(&address).then_some("a service of the cloud"),
    }
}

fn kind_v6(address: Ipv6Addr) -> Option<&'static str> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("this host"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(LOOPBACK),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xff00..=0xffff, ..] => Some("no single host"),
        _ => SERVICES_V6.contains(&address).then_some("the metadata service"),
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped (RFC 4291, section 2.5.5.2), compatible (section 2.5.5.1), or through
/// NAT64 at its well-known prefix (RFC 6052, section 2.1).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        // The first of these are the unspecified address and loopback of IPv6.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_refused_in_every_spelling_and_their_neighbours_are_not() {
        for (address, what) in [
            ("0.0.0.0", Some("this host")),
            ("0.1.2.3", Some("this host")),
            ("1.0.0.0", None),
            ("126.255.255.255", None),
            ("127.0.0.1", Some("loopback")),
            ("127.255.255.255", Some("loopback")),
            ("128.0.0.1", None),
            ("169.253.255.255", None),
            ("169.254.0.1", Some("link-local")),
            ("169.254.169.254", Some("the metadata service")),
            ("169.255.0.1", None),
            ("100.100.100.200", Some("a service of the cloud")),
            ("100.100.100.201", None),
            ("168.63.129.16", Some("a service of the cloud")),
            ("223.255.255.255", None),
            ("224.0.0.1", Some("no single host")),
            ("255.255.255.255", Some("no single host")),
            ("10.0.0.7", None),
            ("192.168.0.1", None),
            ("::", Some("this host")),
            ("::1", Some("loopback")),
            ("::2", None),
            ("::ffff:127.0.0.1", Some("loopback")),
            ("::ffff:169.254.169.254", Some("the metadata service")),
            ("::ffff:10.0.0.7", None),
            ("::127.0.0.1", Some("loopback")),
            ("64:ff9b::a9fe:a9fe", Some("the metadata service")),
            ("64:ff9b::a00:7", None),
            ("fe80::1", Some("link-local")),
            ("febf::1", Some("link-local")),
            ("fec0::1", None),
            ("ff02::1", Some("no single host")),
            ("fd00:ec2::254", Some("the metadata service")),
            ("fd20:ce::254", Some("the metadata service")),
            ("fd00:ec2::255", None),
            ("2001:db8::1", None),
        ] {
            assert_eq!(refused(address.parse().unwrap(), &[]), what, "{address}");
        }
    }

    #[test]
    fn a_name_of_the_list_leads_to_nothing_special_but_localhost_to_itself() {
        let admitted = [Network::parse("169.254.7.7").unwrap()];
        let led = |host: &str, found: &[&str]| {
            let found = found.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 1));
            reachable(host, found, &admitted)
                .map(|sockets| sockets.iter().map(|socket| socket.ip().to_string()).collect())
        };
        let only = |address: &str| Ok(vec![address.to_owned()]);
        assert_eq!(led("enclave:1", &["10.0.0.1", "169.254.169.254"]), only("10.0.0.1"));
        let refused = led("enclave:1", &["169.254.169.254"]).unwrap_err();
        assert_eq!(refused, "the name leads to the metadata service, which is not admitted (`discovery.admit`)");
        assert!(led("enclave:1", &["127.0.0.1"]).unwrap_err().contains("leads to loopback"));
        assert_eq!(led("enclave:1", &["169.254.7.7"]), only("169.254.7.7"));
        assert_eq!(led("Localhost:1", &["127.0.0.1"]), only("127.0.0.1"));
        assert_eq!(led("localhost:1", &["169.254.169.254"]), Err(refused));
        assert_eq!(led("enclave:1", &[]), Ok(Vec::<String>::new()), "the resolver has its own error");
    }

    #[test]
    fn what_is_written_is_admitted_and_nothing_beside_it() {
        let admitted = [Network::parse("127.0.0.0/30").unwrap(), Network::parse("::1").unwrap()];
        for (address, is_refused) in [("127.0.0.3", false), ("::1", false), ("127.0.0.4", true), ("169.254.0.1", true)]
        {
            assert_eq!(refused(address.parse().unwrap(), &admitted).is_some(), is_refused, "{address}");
        }
    }
}
