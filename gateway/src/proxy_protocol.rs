//! The header by which a proxy says for whom it connects: the PROXY protocol, version 2, binary.
//! HAProxy, "The PROXY protocol, versions 1 & 2", section 2.2. Version 1 is text without a length, and is not read.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes 0 to 11.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Byte 12: version 2 in the upper half, the command in the lower.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// Byte 13: the address family in the upper half, a byte stream in the lower.
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
/// What may follow the 16 bytes: addresses, then fields that are not looked at. Section 2.2 has proxies keep below 536 bytes as a
/// rule; certificates that some put into a field are longer.
const MOST_BYTES: u16 = 4_096;

/// There is no header that could be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoHeader {
    /// The connection ended or broke within it.
    Ended,
    /// The first bytes are something else.
    Signature,
    /// Another version, or a command that is not known.
    Command(u8),
    /// An address that is no source of a TCP connection.
    Family(u8),
    /// Longer than is read, or shorter than its addresses.
    Length(u16),
}

impl fmt::Display for NoHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the connection ended within the PROXY header"),
            Self::Signature => f.write_str("a named proxy sent no PROXY header of version 2"),
            Self::Command(byte) => {
                write!(f, "PROXY header: version and command are {byte:#04x}, expected 0x20 or 0x21")
            }
            Self::Family(byte) => {
                write!(f, "PROXY header: family and transport are {byte:#04x}, expected 0x11 or 0x21 (TCP)")
            }
            Self::Length(length) => write!(f, "PROXY header: its length is {length}, at most {MOST_BYTES} is read"),
        }
    }
}

/// Reads one header and nothing beyond it: the address that the proxy connects for, or nothing where it connects for itself.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<IpAddr>, NoHeader> {
    let ended = |_| NoHeader::Ended;
    let mut signature = [0; SIGNATURE.len()];
    stream.read_exact(&mut signature).await.map_err(ended)?;
    if signature != SIGNATURE {
        return Err(NoHeader::Signature);
    }
    let command = stream.read_u8().await.map_err(ended)?;
    let family = stream.read_u8().await.map_err(ended)?;
    let length = stream.read_u16().await.map_err(ended)?;
    if command != LOCAL && command != PROXY {
        return Err(NoHeader::Command(command));
    }
    if length > MOST_BYTES {
        return Err(NoHeader::Length(length));
    }
    let mut rest = vec![0; usize::from(length)];
    stream.read_exact(&mut rest).await.map_err(ended)?;
    // Section 2.2: what stands in the header of a LOCAL connection is not to be used.
    if command == LOCAL {
        return Ok(None);
    }
    match family {
        UNSPECIFIED => Ok(None),
        // Source address, destination address, the two ports.
        TCP_OVER_IPV4 if rest.len() >= 12 => {
            Ok(rest.first_chunk().map(|source: &[u8; 4]| IpAddr::V4(Ipv4Addr::from(*source))))
        }
        TCP_OVER_IPV6 if rest.len() >= 36 => {
            Ok(rest.first_chunk().map(|source: &[u8; 16]| IpAddr::V6(Ipv6Addr::from(*source))))
        }
        TCP_OVER_IPV4 | TCP_OVER_IPV6 => Err(NoHeader::Length(length)),
        family => Err(NoHeader::Family(family)),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// What a proxy sends that connects for `source`.
    pub(crate) fn header_of(source: IpAddr) -> Vec<u8> {
        let (family, source) = match source {
            IpAddr::V4(source) => (TCP_OVER_IPV4, source.octets().to_vec()),
            IpAddr::V6(source) => (TCP_OVER_IPV6, source.octets().to_vec()),
        };
        let ports = [0x12, 0x34, 0x00, 0x50];
        header(PROXY, family, &[source.clone(), vec![0; source.len()], ports.to_vec()].concat())
    }

    pub(crate) fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{header, header_of};
    use super::*;

    async fn parse(mut bytes: &[u8]) -> (Result<Option<IpAddr>, NoHeader>, usize) {
        let read = read(&mut bytes).await;
        (read, bytes.len())
    }

    #[tokio::test]
    async fn the_source_is_read_and_not_one_byte_beyond() {
        for address in ["203.0.113.9", "2001:db8::9"] {
            let address: IpAddr = address.parse().unwrap();
            let bytes = [header_of(address), b"GET".to_vec()].concat();
            assert_eq!(parse(&bytes).await, (Ok(Some(address)), 3));
        }
        // The bytes of the specification's example layout, written out: TCP over IPv4 with one field behind the addresses.
        let known = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x10\xcb\x00\x71\x09\x0a\x00\x00\x07\x12\x34\x00\x50\x04\x00\x01\x2a";
        assert_eq!(parse(known).await, (Ok(Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)))), 0));
        assert_eq!(parse(&header(LOCAL, 0x31, &[1; 216])).await, (Ok(None), 0), "a health check of the proxy's own");
        assert_eq!(parse(&header(PROXY, UNSPECIFIED, &[])).await, (Ok(None), 0));
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused_and_none_is_read_without_end() {
        for (bytes, error) in [
            (b"PROXY TCP4 203.0.113.9 10.0.0.7 4660 80\r\n".to_vec(), NoHeader::Signature),
            (header(0x11, TCP_OVER_IPV4, &[0; 12]), NoHeader::Command(0x11)),
            (header(0x22, TCP_OVER_IPV4, &[0; 12]), NoHeader::Command(0x22)),
            (header(PROXY, 0x12, &[0; 12]), NoHeader::Family(0x12)),
            (header(PROXY, 0x31, &[0; 216]), NoHeader::Family(0x31)),
            (header(PROXY, TCP_OVER_IPV4, &[0; 11]), NoHeader::Length(11)),
            (header(PROXY, TCP_OVER_IPV6, &[0; 35]), NoHeader::Length(35)),
            (header(PROXY, TCP_OVER_IPV4, &[0; 4_097]), NoHeader::Length(4_097)),
        ] {
            assert_eq!(parse(&bytes).await.0, Err(error), "{error}");
        }
        assert!(parse(&header(PROXY, TCP_OVER_IPV4, &[0; 4_096])).await.0.is_ok(), "the passing twin");
        let whole = header_of(IpAddr::V4(Ipv4Addr::LOCALHOST));
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]).await.0, Err(NoHeader::Ended), "{end}");
        }
    }
}
