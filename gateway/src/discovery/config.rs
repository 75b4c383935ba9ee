//! The table `[discovery]` of the configuration: sources of addresses beside the list, with their defaults and bounds.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use teegate_protocol::limits::{Limit, OutOfBounds};

use crate::source::Network;

const fn bound(name: &'static str, default: u64, least: u64, most: u64) -> Limit {
    Limit { name, default, least, most }
}

const MAX_INSTANCES: Limit = bound("discovery.max_instances", 256, 1, 1_024);
const KNOWN: Limit = bound("discovery.known_seconds", 300, 0, 86_400);
const LEAST: Limit = bound("discovery.least_seconds", 5, 1, 3_600);
const MOST: Limit = bound("discovery.most_seconds", 60, 1, 3_600);
const TIMEOUT: Limit = bound("discovery.timeout_seconds", 5, 1, 60);

/// Every number of the table, for documentation and tests.
pub const BOUNDS: &[Limit] = &[MAX_INSTANCES, KNOWN, LEAST, MOST, TIMEOUT];

/// At most so many sources of one kind.
const MAX_SOURCES: usize = 16;
const MAX_NAME_SERVERS: usize = 4;
const DNS_PORT: u16 = 53;

/// The sources beside the list, and how they are asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// At most so many addresses are watched, of the list and of all sources together.
    pub max_instances: usize,
    /// How long what a source knew counts without an answer.
    pub known: Duration,
    /// Between two questions at least; what changes at Kubernetes is told without a question.
    pub least: Duration,
    /// Between two questions at most, whatever an answer says of its life.
    pub most: Duration,
    /// One question.
    pub timeout: Duration,
    /// Special addresses that a source may lead to.
    pub admit: Vec<Network>,
    /// Where names are asked; nothing where the system's `/etc/resolv.conf` says it.
    pub name_servers: Vec<SocketAddr>,
    /// Names of DNS.
    pub dns: Vec<Name>,
    /// Services of Kubernetes.
    pub kubernetes: Vec<Service>,
}

/// A name of DNS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    /// The name. One without a final dot is looked for in the system's search domains, too.
    pub name: String,
    /// The port at each of its addresses; without it, its SRV records say names and ports.
    pub port: Option<u16>,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "dns:{}:{port}", self.name),
            None => write!(f, "srv:{}", self.name),
        }
    }
}

/// A Service of Kubernetes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Its name.
    pub service: String,
    /// Its namespace; without one that of this pod.
    pub namespace: Option<String>,
    /// Which port of its endpoints; without it the only one.
    pub port: Option<ServicePort>,
}

/// A port of a Service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServicePort {
    /// By number, as the pods listen.
    Number(u16),
    /// By the name that the Service gives it.
    Name(String),
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kubernetes:")?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.service)?;
        match &self.port {
            Some(ServicePort::Number(port)) => write!(f, ":{port}"),
            Some(ServicePort::Name(port)) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// The table as written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Table {
    max_instances: Option<u64>,
    known_seconds: Option<u64>,
    least_seconds: Option<u64>,
    most_seconds: Option<u64>,
    timeout_seconds: Option<u64>,
    admit: Vec<String>,
    name_servers: Vec<String>,
    dns: Vec<NameTable>,
    kubernetes: Vec<ServiceTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NameTable {
    name: String,
    port: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceTable {
    service: String,
    namespace: Option<String>,
    port: Option<PortTable>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number from 1 to 65535, or the name of a port")]
enum PortTable {
    Number(u16),
    Name(String),
}

/// The table cannot be used.
#[derive(Debug)]
pub enum DiscoveryError {
    /// A number is outside its range.
    OutOfBounds(OutOfBounds),
    /// `least_seconds` is more than `most_seconds`.
    LeastAboveMost,
    /// The list alone has more addresses than may be watched.
    ListTooLong {
        /// How many it has.
        listed: usize,
        /// How many may be watched.
        most: usize,
    },
    /// An entry of `admit` is no address and no prefix.
    Admit(String),
    /// An entry of `name_servers` is no address.
    NameServer(String),
    /// There are too many sources, or name servers.
    TooMany {
        /// The key.
        key: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A name is not one of DNS.
    Name(String),
    /// A name of a Service, a namespace or a port is none that Kubernetes gives.
    Service(String),
    /// A port is zero.
    Port(String),
    /// The same source stands twice.
    Twice(String),
}

impl fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfBounds(OutOfBounds { limit: Limit { name, least, most, .. }, value }) => {
                write!(f, "`{name} = {value}` is out of bounds: expected {least} to {most}")
            }
            Self::LeastAboveMost => f.write_str("`discovery.least_seconds` is more than `discovery.most_seconds`"),
            Self::ListTooLong { listed, most } => {
                write!(f, "{listed} instances are listed, and `discovery.max_instances = {most}`: raise it")
            }
            Self::Admit(text) => write!(
                f,
                "`{text}` in `discovery.admit` is not understood: expected an address or a prefix, `127.0.0.1` or `127.0.0.0/8`"
            ),
            Self::NameServer(text) => write!(
                f,
                "`{text}` in `discovery.name_servers` is no address: expected `10.0.0.10`, `10.0.0.10:53` or `[2001:db8::a]:53`"
            ),
            Self::TooMany { key, count, most } => {
                write!(f, "`discovery.{key}` has {count} entries: expected at most {most}")
            }
            Self::Name(text) => write!(
                f,
                "`{text}` in `discovery.dns` is no name of DNS: expected labels of `A-Z a-z 0-9 - _`, for example \
                 `enclaves.default.svc.cluster.local`; an address belongs into `instances`"
            ),
            Self::Service(text) => write!(
                f,
                "`{text}` in `discovery.kubernetes` is no name of Kubernetes: expected `a-z 0-9 -`, at most 63 of them, a letter or \
                 digit first and last"
            ),
            Self::Port(name) => write!(f, "`discovery`: the port of `{name}` is 0: expected 1 to 65535"),
            Self::Twice(source) => write!(f, "`discovery`: `{source}` stands twice: remove one"),
        }
    }
}

impl std::error::Error for DiscoveryError {}

impl Table {
    /// Checks it, beside a list of `listed` addresses.
    pub(crate) fn check(self, listed: usize) -> Result<Settings, DiscoveryError> {
        let take = |bound: Limit, given| bound.resolve(given).map_err(DiscoveryError::OutOfBounds);
        let seconds = |bound: Limit, given| take(bound, given).map(Duration::from_secs);
        for (key, count, most) in [
            ("dns", self.dns.len(), MAX_SOURCES),
            ("kubernetes", self.kubernetes.len(), MAX_SOURCES),
            ("name_servers", self.name_servers.len(), MAX_NAME_SERVERS),
            ("admit", self.admit.len(), MAX_SOURCES),
        ] {
            if count > most {
                return Err(DiscoveryError::TooMany { key, count, most });
            }
        }
        let mut dns: Vec<Name> = Vec::with_capacity(self.dns.len());
        for NameTable { name, port } in self.dns {
            let name = checked_name(name, port)?;
            if dns.contains(&name) {
                return Err(DiscoveryError::Twice(name.to_string()));
            }
            dns.push(name);
        }
        let mut kubernetes: Vec<Service> = Vec::with_capacity(self.kubernetes.len());
        for service in self.kubernetes {
            let service = checked_service(service)?;
            if kubernetes.contains(&service) {
                return Err(DiscoveryError::Twice(service.to_string()));
            }
            kubernetes.push(service);
        }
        let network = |text: String| Network::parse(&text).ok_or(DiscoveryError::Admit(text));
        let settings = Settings {
            max_instances: usize::try_from(take(MAX_INSTANCES, self.max_instances)?).unwrap_or(usize::MAX),
            known: seconds(KNOWN, self.known_seconds)?,
            least: seconds(LEAST, self.least_seconds)?,
            most: seconds(MOST, self.most_seconds)?,
            timeout: seconds(TIMEOUT, self.timeout_seconds)?,
            admit: self.admit.into_iter().map(network).collect::<Result<_, _>>()?,
            name_servers: self.name_servers.into_iter().map(name_server).collect::<Result<_, _>>()?,
            dns,
            kubernetes,
        };
        if settings.least > settings.most {
            return Err(DiscoveryError::LeastAboveMost);
        }
        let most = settings.max_instances;
        if settings.has_sources() && listed > most {
            return Err(DiscoveryError::ListTooLong { listed, most });
        }
        Ok(settings)
    }
}

impl Settings {
    /// Whether there is any source beside the list.
    pub fn has_sources(&self) -> bool {
        !self.dns.is_empty() || !self.kubernetes.is_empty()
    }

    /// How many addresses may be watched at a time, beside a list of `listed`.
    pub fn most_watched(&self, listed: usize) -> usize {
        if self.has_sources() { self.max_instances } else { listed }
    }
}

fn checked_name(name: String, port: Option<u16>) -> Result<Name, DiscoveryError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(is_plain);
    let labels = name.strip_suffix('.').unwrap_or(&name);
    // Four numbers would be asked for as a name, and never found.
    let is_address = labels.parse::<IpAddr>().is_ok();
    if name.len() > 253 || is_address || !labels.split('.').all(is_label) {
        return Err(DiscoveryError::Name(name.chars().take(80).collect()));
    }
    if port == Some(0) {
        return Err(DiscoveryError::Port(name));
    }
    Ok(Name { name: name.to_ascii_lowercase(), port })
}

/// Names as RFC 1123 has labels: nothing in them has to be escaped in a path or a query.
fn checked_service(table: ServiceTable) -> Result<Service, DiscoveryError> {
    let checked = |text: String| {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends = [text.bytes().next(), text.bytes().last()];
        let is_name = text.len() <= 63
            && text.bytes().all(|byte| is_plain(byte) || byte == b'-')
            && ends.iter().all(|end| end.is_some_and(is_plain));
        if is_name { Ok(text) } else { Err(DiscoveryError::Service(text.chars().take(80).collect())) }
    };
    let service = checked(table.service)?;
    let namespace = table.namespace.map(checked).transpose()?;
    let port = match table.port {
        None => None,
        Some(PortTable::Number(0)) => return Err(DiscoveryError::Port(service)),
        Some(PortTable::Number(number)) => Some(ServicePort::Number(number)),
        Some(PortTable::Name(name)) => Some(ServicePort::Name(checked(name)?)),
    };
    Ok(Service { service, namespace, port })
}

fn name_server(text: String) -> Result<SocketAddr, DiscoveryError> {
    let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, DNS_PORT));
    address.or_else(|_| text.parse()).map_err(|_| DiscoveryError::NameServer(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<Settings, DiscoveryError> {
        toml::from_str::<Table>(text).unwrap_or_else(|error| panic!("{error}")).check(2)
    }

    #[test]
    fn the_example_shows_every_number_with_its_default() {
        let example: toml::Table = include_str!("../../example.toml").parse().unwrap();
        for bound in BOUNDS {
            let key = bound.name.strip_prefix("discovery.").unwrap();
            let shown = example["discovery"][key].as_integer().and_then(|shown| u64::try_from(shown).ok());
            assert_eq!(shown, Some(bound.default), "{}", bound.name);
            for (value, is_accepted) in [(bound.least, true), (bound.most, true), (bound.most + 1, false)] {
                // The two ends of the pause must not cross each other here.
                let rest = if key == "least_seconds" { "most_seconds = 3600\n" } else { "least_seconds = 1\n" };
                let given = checked(&format!("{key} = {value}\n{rest}"));
                assert_eq!(given.is_ok(), is_accepted, "{key} = {value}: {given:?}");
            }
        }
    }

    #[test]
    fn names_and_servers_are_read() {
        let settings = checked(
            "admit = ['127.0.0.0/8']\nname_servers = ['10.0.0.10', '[::1]:5353']\n\
             [[dns]]\nname = 'Enclaves.Default.svc.cluster.local.'\nport = 8443\n[[dns]]\nname = '_tls._tcp.enclaves'\n",
        )
        .unwrap();
        let names: Vec<String> = settings.dns.iter().map(Name::to_string).collect();
        assert_eq!(names, ["dns:enclaves.default.svc.cluster.local.:8443", "srv:_tls._tcp.enclaves"]);
        let kubernetes = "[[kubernetes]]\nservice = 'a'\n\
                          [[kubernetes]]\nservice = 'a'\nnamespace = 'n'\nport = 'https'\n\
                          [[kubernetes]]\nservice = 'a'\nport = 8443\n";
        let services = checked(kubernetes).unwrap().kubernetes;
        let services: Vec<String> = services.iter().map(Service::to_string).collect();
        assert_eq!(services, ["kubernetes:a", "kubernetes:n/a:https", "kubernetes:a:8443"]);
        assert_eq!(settings.name_servers, ["10.0.0.10:53".parse().unwrap(), "[::1]:5353".parse().unwrap()]);
        assert_eq!(settings.admit, [Network::parse("127.0.0.0/8").unwrap()]);
        assert_eq!(settings.most_watched(2), 256);
        assert_eq!(checked("").unwrap().most_watched(2), 2, "the list alone has its own bound");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let name = |name: &str| format!("[[dns]]\nname = '{name}'\nport = 1\n");
        let service = |keys: &str| format!("[[kubernetes]]\n{keys}\n");
        for (text, said) in [
            ("max_instances = 0".into(), "`discovery.max_instances = 0` is out of bounds: expected 1 to 1024"),
            (format!("max_instances = 1\n{}", name("a")), "2 instances are listed, and `discovery.max_instances = 1`"),
            ("least_seconds = 61".into(), "`discovery.least_seconds` is more than `discovery.most_seconds`"),
            ("admit = ['127.0.0.1/8']".into(), "`127.0.0.1/8` in `discovery.admit` is not understood"),
            ("name_servers = ['dns.example']".into(), "`dns.example` in `discovery.name_servers` is no address"),
            (name("a..b"), "`a..b` in `discovery.dns` is no name of DNS"),
            (name("10.0.0.7"), "`10.0.0.7` in `discovery.dns` is no name of DNS"),
            (name(&"a".repeat(64)), "is no name of DNS"),
            (name("a b"), "`a b` in `discovery.dns` is no name of DNS"),
            ("[[dns]]\nname = 'a'\nport = 0\n".into(), "`discovery`: the port of `a` is 0"),
            (service("service = 'Enclaves'"), "`Enclaves` in `discovery.kubernetes` is no name of Kubernetes"),
            (service("service = 'a&b'"), "`a&b` in `discovery.kubernetes` is no name of Kubernetes"),
            (service("service = 'a'\nnamespace = '-a'"), "`-a` in `discovery.kubernetes` is no name of Kubernetes"),
            (service("service = 'a'\nnamespace = ''"), "`` in `discovery.kubernetes` is no name of Kubernetes"),
            (service("service = 'a'\nport = 0"), "`discovery`: the port of `a` is 0"),
            (service("service = 'a'").repeat(2), "`kubernetes:a` stands twice"),
            (name("a") + &name("A"), "`dns:a:1` stands twice"),
            ((0..17).map(|n| name(&format!("a{n}"))).collect(), "`discovery.dns` has 17 entries: expected at most 16"),
        ] {
            let message = checked(&text).unwrap_err().to_string();
            assert!(message.contains(said), "{message}");
        }
    }
}
