//! How many files this process may hold open: as many as it is allowed, and no fewer than its configuration needs.
//!
//! A connection that cannot be accepted for want of a descriptor is one thing; a link to an instance that cannot be opened is
//! another. So what does not fit is refused at the start and not met at the worst moment.

use std::fmt;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::connections::{LEAVING, NEWCOMERS};

/// Two links to each instance: the one that is in use, and its successor.
const LINKS: u64 = 2;
/// Standard streams, listeners, signals, timers, files that a reload reads, and room to spare.
const RESERVE: u64 = 64;

/// The configuration needs more open files than this process may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooFew {
    needed: u64,
    allowed: u64,
    connections: u64,
    operator_connections: u64,
    instances: u64,
}

impl fmt::Display for TooFew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needed, allowed, connections, operator_connections, instances } = self;
        write!(
            f,
            "`limits.connections = {connections}`, `limits.operator_connections = {operator_connections}` and {instances} \
             instances need {needed} open files, and this process may have {allowed}: raise the hard limit (`ulimit -Hn`, \
             `LimitNOFILE=` of systemd) or lower `limits.connections`"
        )
    }
}

impl std::error::Error for TooFew {}

/// Raises the soft limit of open files to the hard one; says what the limit is then.
pub fn raise() -> u64 {
    let limits = getrlimit(Resource::Nofile);
    if limits.current != limits.maximum {
        // Where it is refused the limit stays as it is, and what it is counts below.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, maximum: limits.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Whether `config` fits into `allowed` open files.
pub fn fits(config: &Config, allowed: u64) -> Result<(), TooFew> {
    let watched = config.discovery.most_watched(config.instances.len());
    // Where addresses come and go by themselves, as many may drain beside those in use.
    let draining = if config.discovery.has_sources() { watched } else { 0 };
    let [instances, draining] = [watched, draining].map(|count| u64::try_from(count).unwrap_or(u64::MAX));
    let (connections, operator_connections) = (config.max_connections, config.max_operator_connections);
    // Each listener has its own newcomers, and its own who were told to go.
    let passing = NEWCOMERS.saturating_add(u64::try_from(LEAVING).unwrap_or(u64::MAX)).saturating_mul(2);
    let needed = [connections, operator_connections, instances.saturating_mul(LINKS), draining, passing, RESERVE];
    let needed = needed.into_iter().fold(0, u64::saturating_add);
    if needed <= allowed {
        Ok(())
    } else {
        Err(TooFew { needed, allowed, connections, operator_connections, instances })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_does_not_fit_is_named() {
        let config = Config::parse(
            "listen = '127.0.0.1:0'\noperator_listen = '127.0.0.1:0'\npolicy = 'p.toml'\nadmission = 'none'\ninstances = ['a:1', 'b:1']\n",
            Path::new(""),
        )
        .unwrap();
        // 1,024 + 64 connections, 2 links to each of 2 instances, 2 x (64 + 64) that come and go, 64 in reserve.
        let needed = 1_024 + 64 + 4 + 256 + 64;
        assert_eq!(fits(&config, needed), Ok(()));
        let said = fits(&config, needed - 1).unwrap_err().to_string();
        for part in ["`limits.connections = 1024`", "2 instances need 1412 open files", "may have 1411", "`ulimit -Hn`"]
        {
            assert!(said.contains(part), "{said}");
        }
    }
}
