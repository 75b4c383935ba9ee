//! Where a connection comes from: its peer, or what a named proxy says in its place.
//!
//! A share is given to a prefix and not to an address: who has an IPv6 subnet has as many addresses as he likes. A header of the
//! PROXY protocol counts from the proxies of the configuration alone, who must send one; from anybody else it is not looked for,
//! and what it looks like to HTTP or TLS is a malformed request.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncRead;

use crate::proxy_protocol::{self, NoHeader};

/// The prefix of an address: IPv4 /32, IPv6 /64. An IPv4 address mapped into IPv6 is the IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Source {
    /// All 32 bits.
    V4([u8; 4]),
    /// The first 64 bits.
    V6([u8; 8]),
}

impl Source {
    /// The source that `address` belongs to.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// The proxies whose word on a source counts.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Proxies(Vec<Network>);

impl Proxies {
    /// These.
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    fn name(&self, peer: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(peer))
    }
}

/// The one place where the source of a connection is decided. From a named proxy it reads the header before anything else, and
/// not one byte beyond.
pub(crate) async fn source_of(
    stream: &mut (impl AsyncRead + Unpin),
    peer: SocketAddr,
    proxies: &Proxies,
) -> Result<Source, NoHeader> {
    if !proxies.name(peer.ip()) {
        return Ok(Source::of(peer.ip()));
    }
    // A proxy that speaks for itself, as for a health check, is its own source.
    Ok(Source::of(proxy_protocol::read(stream).await?.unwrap_or(peer.ip())))
}

/// An address, or all addresses that begin alike: `10.0.0.7`, `10.0.0.0/24`, `2001:db8::/32`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    address: u128,
    mask: u128,
}

impl Network {
    /// Reads it; bits behind the prefix must be zero, so that a slip in either half is found.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most: u32 = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            // Digits alone: `parse` would take a sign.
            Some(bits) if bits.bytes().all(|digit| digit.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => most,
        };
        let free = most.checked_sub(bits)?;
        let mask = u128::MAX.checked_shl(free).unwrap_or(0);
        let address = widened(address);
        (address & !mask == 0).then_some(Self { address, mask })
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        widened(address) & self.mask == self.address
    }
}

/// Both families in one space, as RFC 4291 section 2.5.5.2 maps the one into the other.
fn widened(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4(octets) => Ipv4Addr::from(octets).fmt(f),
            Self::V6([a, b, c, d, e, g, h, i]) => {
                let address = Ipv6Addr::from([a, b, c, d, e, g, h, i, 0, 0, 0, 0, 0, 0, 0, 0]);
                write!(f, "{address}/64")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_is_a_prefix() {
        let source = |text: &str| Source::of(ip(text));
        assert_ne!(source("10.0.0.1"), source("10.0.0.2"));
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::9"), "one subnet, however many addresses");
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
        assert_eq!(
            (source("10.0.0.1").to_string(), source("2001:db8:1:2::1").to_string()),
            ("10.0.0.1".into(), "2001:db8:1:2::/64".into())
        );
    }

    #[test]
    fn networks_are_read_and_hold_what_begins_alike() {
        for (text, inside, outside) in [
            ("10.0.0.7", "10.0.0.7", "10.0.0.8"),
            ("10.0.0.0/24", "10.0.0.255", "10.0.1.0"),
            ("10.0.0.7", "::ffff:10.0.0.7", "::10.0.0.7"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::/0", "2001:db8::1", "none"),
        ] {
            let network = Network::parse(text).unwrap();
            assert!(network.contains(ip(inside)), "{text} {inside}");
            assert!(outside == "none" || !network.contains(ip(outside)), "{text} {outside}");
        }
        for text in
            ["", "proxy", "10.0.0", "10.0.0.0/33", "10.0.0.1/24", "10.0.0.0/+24", "10.0.0.0/", "::1/129", "10.0.0.7:80"]
        {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn only_a_named_proxy_speaks_for_others() {
        let header = proxy_protocol::testing::header_of(ip("203.0.113.9"));
        let proxies = Proxies::new(vec![Network::parse("10.0.0.7").unwrap()]);
        let source = async |peer: &str| source_of(&mut header.as_slice(), SocketAddr::new(ip(peer), 1), &proxies).await;
        assert_eq!(source("10.0.0.7").await, Ok(Source::of(ip("203.0.113.9"))));
        assert_eq!(source("::ffff:10.0.0.7").await, Ok(Source::of(ip("203.0.113.9"))));
        assert_eq!(source("10.0.0.8").await, Ok(Source::of(ip("10.0.0.8"))), "its header is not even read");
        let mut silent: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
        let named = source_of(&mut silent, SocketAddr::new(ip("10.0.0.7"), 1), &proxies).await;
        assert_eq!(named, Err(NoHeader::Signature), "a named proxy must say");
    }
}
