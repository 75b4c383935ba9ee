//! One question: the addresses of a name, or of the targets of its SRV records.
//!
//! The resolver is that of the crate `domain`: over UDP with a random number and port for each question, over TCP where an answer
//! is cut off. Search domains are gone through as the C library does it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use domain::base::iana::Rtype;
use domain::base::{Message, Name as DnsName, Question, Ttl};
use domain::rdata::{A, Aaaa, Srv};
use domain::resolv::stub::conf::{ResolvConf, ServerConf, Transport};
use domain::resolv::stub::{Answer, StubResolver};
use tokio::task::JoinSet;

use crate::config::Address;
use crate::discovery::config::{Name, Settings};
use crate::discovery::special::Gate;

/// A datagram may be lost: each question is sent so often, in equal parts of its time.
const ATTEMPTS: u32 = 2;
/// At most so many addresses are taken of one answer, and so many targets of SRV records; an answer with more is not whole.
const MOST_ADDRESSES: usize = 2_048;
const MOST_TARGETS: usize = 64;
const SYSTEM: &str = "/etc/resolv.conf";

/// What came of a question.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What was found.
    pub(super) addresses: BTreeSet<Address>,
    /// How long that lives, by the shortest TTL.
    pub(super) life: Duration,
    /// Why that may not be all.
    pub(super) doubt: Option<String>,
}

/// Asks for one name.
pub(super) struct Asker {
    name: Name,
    settings: Settings,
    resolver: Option<Arc<StubResolver>>,
    gate: Gate,
}

impl Asker {
    pub(super) fn new(name: Name, settings: Settings) -> Self {
        let gate = Gate::new(settings.admit.clone());
        Self { name, settings, resolver: None, gate }
    }

    /// The next question reads the configuration of name servers again.
    pub(super) fn forget_servers(&mut self) {
        self.resolver = None;
    }

    /// Asks once; `source` is what the log calls it.
    pub(super) async fn ask(&mut self, source: &str) -> Outcome {
        let mut found = Found::default();
        match self.resolver().await {
            Ok(resolver) => found = self.search(&resolver).await,
            Err(why) => found.doubt(why),
        }
        let Found { sockets, life, doubt } = found;
        let (addresses, refused) = self.gate.sift(sockets, source);
        let life = Duration::from_secs(life.map_or(0, |life| life.as_secs().into()));
        Outcome { addresses, life, doubt: doubt.or(refused) }
    }

    async fn resolver(&mut self) -> Result<Arc<StubResolver>, String> {
        if let Some(resolver) = &self.resolver {
            return Ok(Arc::clone(resolver));
        }
        let mut conf = ResolvConf::new();
        if self.settings.name_servers.is_empty() {
            let read = tokio::task::spawn_blocking(move || conf.parse_file(SYSTEM).map(|()| conf)).await;
            let read = read.map_err(|_| format!("cannot read {SYSTEM}"))?;
            conf = read.map_err(|error| format!("cannot read {SYSTEM}: {error}"))?;
        } else {
            let servers = self.settings.name_servers.iter();
            conf.servers = servers.map(|address| ServerConf::new(*address, Transport::UdpTcp)).collect();
        }
        conf.options.timeout = self.settings.timeout / ATTEMPTS;
        conf.finalize();
        let resolver = Arc::new(StubResolver::from_conf(conf));
        self.resolver = Some(Arc::clone(&resolver));
        Ok(resolver)
    }

    /// Goes through the names that may be meant, until one has something.
    async fn search(&self, resolver: &Arc<StubResolver>) -> Found {
        let mut all = Found::default();
        let options = resolver.options();
        let suffixes = options.search.as_slice().iter().map(ToString::to_string);
        for candidate in candidates(&self.name.name, options.ndots, suffixes) {
            // The configuration has checked the name; with a search domain it may have become too long.
            let Ok(name) = candidate.parse::<DnsName<Vec<u8>>>() else { continue };
            let found = match self.name.port {
                Some(port) => addresses_of(resolver, name, port).await,
                None => targets_of(resolver, name).await,
            };
            if !found.sockets.is_empty() {
                return found;
            }
            // Of names that do not exist nothing is said while another may.
            if all.doubt.is_none() {
                all.doubt = found.doubt;
            }
        }
        all.doubt("the name has no addresses".to_owned());
        all
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    sockets: BTreeSet<SocketAddr>,
    life: Option<Ttl>,
    doubt: Option<String>,
}

impl Found {
    fn doubt(&mut self, why: String) {
        self.doubt.get_or_insert(why);
    }

    fn lives(&mut self, life: Ttl) {
        self.life = Some(self.life.map_or(life, |shortest| shortest.min(life)));
    }

    fn add(&mut self, address: impl Into<IpAddr>, port: u16) {
        if self.sockets.len() < MOST_ADDRESSES {
            self.sockets.insert(SocketAddr::new(address.into(), port));
        } else {
            self.doubt(format!("the answer has more than {MOST_ADDRESSES} addresses"));
        }
    }

    fn join(&mut self, other: Self) {
        for socket in other.sockets {
            self.add(socket.ip(), socket.port());
        }
        if let Some(life) = other.life {
            self.lives(life);
        }
        if let Some(why) = other.doubt {
            self.doubt(why);
        }
    }
}

/// The names that `name` may stand for, in the order in which they are asked for: one with a final dot for itself alone, one with few
/// dots in the search domains first.
fn candidates(name: &str, ndots: usize, suffixes: impl Iterator<Item = String>) -> Vec<String> {
    if name.ends_with('.') {
        return vec![name.to_owned()];
    }
    let is_root = |suffix: &String| suffix.is_empty() || suffix == ".";
    let mut names: Vec<String> =
        suffixes.filter(|suffix| !is_root(suffix)).map(|suffix| format!("{name}.{suffix}")).collect();
    let own = name.to_owned();
    if name.matches('.').count() >= ndots {
        names.insert(0, own)
    } else {
        names.push(own)
    }
    names
}

/// A and AAAA of `name`, at `port`.
async fn addresses_of(resolver: &Arc<StubResolver>, name: DnsName<Vec<u8>>, port: u16) -> Found {
    let mut found = Found::default();
    let (v4, v6) = tokio::join!(query(resolver, &name, Rtype::A), query(resolver, &name, Rtype::AAAA));
    for answer in [v4, v6] {
        match answer {
            Ok(answer) => take_addresses(&answer, port, &mut found),
            Err(why) => found.doubt(why),
        }
    }
    found
}

/// What the SRV records of `name` point at, all of it: priorities and weights are not read, load decides.
async fn targets_of(resolver: &Arc<StubResolver>, name: DnsName<Vec<u8>>) -> Found {
    let mut found = Found::default();
    let targets = match query(resolver, &name, Rtype::SRV).await {
        Ok(answer) => take_targets(&answer, &mut found),
        Err(why) => {
            found.doubt(why);
            return found;
        }
    };
    let mut asking = JoinSet::new();
    for (target, port) in targets {
        let resolver = Arc::clone(resolver);
        asking.spawn(async move {
            let mut of_target = addresses_of(&resolver, target, port).await;
            if of_target.sockets.is_empty() {
                of_target.doubt("a target of its SRV records has no addresses".to_owned());
            }
            of_target
        });
    }
    while let Some(asked) = asking.join_next().await {
        match asked {
            Ok(of_target) => found.join(of_target),
            Err(_) => found.doubt("a question was not asked to its end".to_owned()),
        }
    }
    found
}

/// Asks until there is an answer, or no more attempt; a name that does not exist is an answer.
async fn query(resolver: &StubResolver, name: &DnsName<Vec<u8>>, kind: Rtype) -> Result<Answer, String> {
    let mut why = String::new();
    for _ in 0..ATTEMPTS {
        match resolver.query(Question::new_in(name, kind)).await {
            Ok(answer) if answer.is_final() => return Ok(answer),
            Ok(answer) if answer.is_truncated() => why = format!("{kind}: the answer is cut off"),
            Ok(answer) => why = format!("{kind}: answered {}", answer.header().rcode()),
            Err(error) => why = format!("{kind}: no answer: {error}"),
        }
    }
    Err(why)
}

fn take_addresses(answer: &Answer, port: u16, found: &mut Found) {
    if read_addresses(answer, port, found).is_none() {
        found.doubt("an answer is not understood".to_owned());
    }
}

/// The addresses of the name that the question leads to, by way of aliases.
fn read_addresses(message: &Message<impl domain::dep::octseq::Octets>, port: u16, found: &mut Found) -> Option<()> {
    let canonical = message.canonical_name()?;
    for record in message.answer().ok()? {
        found.lives(record.ok()?.ttl());
    }
    for record in message.answer().ok()?.limit_to_in::<A>() {
        let record = record.ok()?;
        if *record.owner() == canonical {
            found.add(record.data().addr(), port);
        }
    }
    for record in message.answer().ok()?.limit_to_in::<Aaaa>() {
        let record = record.ok()?;
        if *record.owner() == canonical {
            found.add(record.data().addr(), port);
        }
    }
    Some(())
}

fn take_targets(answer: &Answer, found: &mut Found) -> Vec<(DnsName<Vec<u8>>, u16)> {
    let mut targets = Vec::new();
    let Ok(records) = answer.answer() else {
        found.doubt("an answer is not understood".to_owned());
        return targets;
    };
    for record in records.limit_to_in::<Srv<_>>() {
        let Ok(record) = record else {
            found.doubt("an answer is not understood".to_owned());
            break;
        };
        found.lives(record.ttl());
        // A root as target says that the service is not here (RFC 2782).
        let target: DnsName<Vec<u8>> = domain::base::ToName::to_name(record.data().target());
        let target = (target, record.data().port());
        if target.0.is_root() || target.1 == 0 || targets.contains(&target) {
            continue;
        }
        if targets.len() == MOST_TARGETS {
            found.doubt(format!("it has more than {MOST_TARGETS} SRV records"));
            break;
        }
        targets.push(target);
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_domains_come_first_for_names_with_few_dots() {
        let suffixes = || ["default.svc.cluster.local", "cluster.local", ""].into_iter().map(str::to_owned);
        assert_eq!(candidates("a.b.", 5, suffixes()), ["a.b."]);
        assert_eq!(candidates("a.b", 5, suffixes()), ["a.b.default.svc.cluster.local", "a.b.cluster.local", "a.b"]);
        assert_eq!(candidates("a.b", 1, suffixes())[0], "a.b");
    }
}
