//! Plain HTTP is for the machine itself. Beyond it whoever is on the way reads credentials and names of models, so it has to be
//! written down: `plain_http = "why"`.

use std::net::SocketAddr;

/// What is written where a listener speaks plain HTTP: `Err` with what to do where nothing is, and it can be reached from elsewhere.
pub fn check(key: &str, address: SocketAddr, is_tls: bool, reason: Option<&str>) -> Result<(), String> {
    if is_tls || address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    match reason {
        Some(reason) => {
            tracing::warn!(
                "`{key}` speaks plain HTTP at {address}; the configuration says why (`plain_http`): {reason}"
            );
            Ok(())
        }
        None => Err(format!(
            "`{key}` would speak plain HTTP at {address}, which others reach: listen on loopback, give clients `[tls]`, or write \
             `plain_http = \"why\"` into the configuration"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_loopback_plain_http_has_to_be_written() {
        for address in ["127.0.0.1:1", "127.8.9.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(check("listen", address.parse().unwrap(), false, None), Ok(()), "{address}");
        }
        for address in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[2001:db8::1]:1", "[::ffff:10.0.0.1]:1"] {
            let address = address.parse().unwrap();
            let error = check("listen", address, false, None).unwrap_err();
            assert!(error.contains(&format!("`listen` would speak plain HTTP at {address}")), "{error}");
            assert_eq!(check("listen", address, true, None), Ok(()));
            assert_eq!(check("listen", address, false, Some("a mesh encrypts")), Ok(()));
        }
    }
}
