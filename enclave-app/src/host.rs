//! `Host`, by RFC 9112 section 3.2: a request names one, over HTTP/1.1 it has to, and what it names can be one.
//!
//! Nothing here depends on it. But whoever stands in between may, and a request that two readers understand differently
//! is refused before either has.

use http::uri::Authority;
use http::{HeaderMap, Version, header};

/// Whether the request may be answered.
pub(crate) fn is_named(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version != Version::HTTP_11,
        // Empty where the target has no authority.
        (Some(host), None) => host.is_empty() || is_host(host.as_bytes()),
        (Some(_), Some(_)) => false,
    }
}

fn is_host(host: &[u8]) -> bool {
    !host.contains(&b'@') && Authority::try_from(host).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_and_only_where_it_has_to_be_there() {
        let named = |version, hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, host.parse().unwrap());
            }
            is_named(version, &headers)
        };
        for (hosts, http11, others) in [
            (&[][..], false, true),
            (&[""], true, true),
            (&["x"], true, true),
            (&["x:8443"], true, true),
            (&["[::1]:8443"], true, true),
            (&["x", "x"], false, false),
            (&["a b"], false, false),
            (&["a, b"], false, false),
            (&["user@x"], false, false),
            (&["x/y"], false, false),
        ] {
            assert_eq!(named(Version::HTTP_11, hosts), http11, "{hosts:?}");
            for version in [Version::HTTP_10, Version::HTTP_2] {
                assert_eq!(named(version, hosts), others, "{hosts:?}");
            }
        }
    }
}
