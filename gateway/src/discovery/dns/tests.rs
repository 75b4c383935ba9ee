//! Against a DNS server of the test, over UDP and TCP.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::base::iana::{Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name as DnsName};
use domain::rdata::{A, Aaaa, Cname, Srv};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;

use super::*;
use crate::breaker::BreakerLimits;
use crate::config::Address;
use crate::discovery::board::{Board, Certainty, Sighting};
use crate::discovery::config::Table;
use crate::discovery::gather::Discovery;
use crate::discovery::sources::Prepared;
use crate::fleet::Fleet;
use crate::hold::wait_until;
use crate::metrics::Metrics;
use crate::release::{Admission, Withdrawn, admit};
use crate::source::Network;
use crate::trust::LinkSettings;
use crate::trust::forged::{Enclave, LIVES, appraisal};
use crate::trust::testing::clock;
use crate::watch::WatchSettings;

/// Far more than anything here takes; whatever is waited for is an event.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the server says of a name.
#[derive(Clone)]
enum Says {
    Addresses(Vec<IpAddr>),
    /// The same over TCP; over UDP that the answer is cut off.
    CutOff(Vec<IpAddr>),
    CutOffEverywhere(Vec<IpAddr>),
    Alias(&'static str),
    Targets(Vec<(&'static str, u16)>),
    Code(Rcode),
    /// A for one, SERVFAIL for AAAA.
    Half(Vec<IpAddr>),
    Nothing,
    Garbage,
    /// Each question is answered when two rounds more have come, which is too late for it.
    TooLate(Vec<IpAddr>),
}

struct Server {
    address: SocketAddr,
    zone: Arc<Mutex<HashMap<String, Says>>>,
    asked: watch::Receiver<u64>,
}

impl Server {
    async fn start() -> Self {
        // One port for both, which somebody may have for TCP that is free for UDP.
        let (udp, tcp, address) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let address = udp.local_addr().unwrap();
            if let Ok(tcp) = TcpListener::bind(address).await {
                break (udp, tcp, address);
            }
        };
        let zone = Arc::new(Mutex::new(HashMap::new()));
        let (count, asked) = watch::channel(0);
        let count = Arc::new(count);
        let (of_tcp, counted) = (Arc::clone(&zone), Arc::clone(&count));
        tokio::spawn(async move {
            let mut request = [0; 2_048];
            let mut behind: VecDeque<(Vec<u8>, SocketAddr)> = VecDeque::new();
            let zone = of_tcp;
            loop {
                let (length, peer) = udp.recv_from(&mut request).await.unwrap();
                let (said, answer) = answer(&request[..length], &zone, false);
                match (said, answer) {
                    (Says::TooLate(_), Some(late)) => {
                        behind.push_back((late, peer));
                        // Two families, each of them asked for twice in a round.
                        if behind.len() > 8 {
                            let (late, peer) = behind.pop_front().unwrap();
                            let _ = udp.send_to(&late, peer).await;
                        }
                    }
                    (_, Some(answer)) => drop(udp.send_to(&answer, peer).await),
                    (_, None) => {}
                }
                counted.send_modify(|count| *count += 1);
            }
        });
        let of_tcp = Arc::clone(&zone);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let (zone, count) = (Arc::clone(&of_tcp), Arc::clone(&count));
                tokio::spawn(async move {
                    while let Ok(length) = stream.read_u16().await {
                        let mut request = vec![0; length.into()];
                        stream.read_exact(&mut request).await.unwrap();
                        if let (_, Some(answer)) = answer(&request, &zone, true) {
                            stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
                            stream.write_all(&answer).await.unwrap();
                        }
                        count.send_modify(|count| *count += 1);
                    }
                });
            }
        });
        Self { address, zone, asked }
    }

    fn say(&self, name: &str, says: Says) {
        self.zone.lock().unwrap().insert(name.to_owned(), says);
    }

    /// Waits until so many more questions have come.
    async fn asked(&self, more: u64) {
        let mut asked = self.asked.clone();
        let until = *asked.borrow() + more;
        tokio::time::timeout(PATIENCE, asked.wait_for(|count| *count >= until)).await.unwrap().unwrap();
    }
}

fn answer(request: &[u8], zone: &Mutex<HashMap<String, Says>>, is_tcp: bool) -> (Says, Option<Vec<u8>>) {
    let request = Message::from_octets(request.to_vec()).unwrap();
    let question = request.first_question().unwrap();
    let (name, kind) = (question.qname(), question.qtype());
    let asked = name.to_string().to_ascii_lowercase();
    let says = zone.lock().unwrap().get(&asked).cloned().unwrap_or(Says::Code(Rcode::NXDOMAIN));
    let code = match &says {
        Says::Code(code) => *code,
        Says::Half(_) if kind == Rtype::AAAA => Rcode::SERVFAIL,
        Says::Nothing => return (says, None),
        Says::Garbage => return (says, Some([request.as_slice().to_vec(), vec![0xff; 9]].concat())),
        _ => Rcode::NOERROR,
    };
    let mut answer = MessageBuilder::new_vec().start_answer(&request, code).unwrap();
    let parsed = |name: &str| name.parse::<DnsName<Vec<u8>>>().unwrap();
    let mut owner = parsed(&asked);
    let mut says = says;
    if let Says::Alias(target) = says {
        answer.push((&owner, 60, Cname::new(parsed(target)))).unwrap();
        // What stands beside an alias and belongs to nobody is not an address of it.
        answer.push((&parsed("stray"), 60, A::from_octets(10, 9, 9, 9))).unwrap();
        owner = parsed(target);
        says = zone.lock().unwrap()[target].clone();
    }
    match &says {
        Says::CutOff(_) if !is_tcp => answer.header_mut().set_tc(true),
        Says::CutOffEverywhere(_) => answer.header_mut().set_tc(true),
        _ => {}
    }
    match &says {
        Says::CutOff(_) | Says::CutOffEverywhere(_) if !is_tcp => {}
        Says::Addresses(addresses)
        | Says::CutOff(addresses)
        | Says::CutOffEverywhere(addresses)
        | Says::Half(addresses)
        | Says::TooLate(addresses) => {
            for address in addresses {
                match address {
                    IpAddr::V4(v4) if kind == Rtype::A => answer.push((&owner, 60, A::new(*v4))).unwrap(),
                    IpAddr::V6(v6) if kind == Rtype::AAAA => answer.push((&owner, 60, Aaaa::new(*v6))).unwrap(),
                    _ => {}
                }
            }
        }
        Says::Targets(targets) if kind == Rtype::SRV => {
            for (target, port) in targets {
                answer.push((&owner, 60, Srv::new(0, 0, *port, parsed(target)))).unwrap();
            }
        }
        _ => {}
    }
    (says, Some(answer.finish()))
}

fn settings(server: &Server) -> Settings {
    let settings = toml::from_str::<Table>("").unwrap().check(1).unwrap();
    let pause = Duration::from_millis(10);
    Settings {
        least: pause,
        most: pause,
        timeout: Duration::from_secs(4),
        name_servers: vec![server.address],
        ..settings
    }
}

fn followed(name: &str, port: Option<u16>, settings: Settings) -> (Arc<Board>, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    let board = Board::new(Arc::clone(&metrics));
    let post = board.post("dns:test");
    tokio::spawn(follow(Name { name: name.to_owned(), port }, settings, post));
    (board, metrics)
}

fn ips(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|address| address.parse().unwrap()).collect()
}

fn addresses(list: &[&str]) -> BTreeSet<Address> {
    list.iter().map(|address| Address::parse(address).unwrap()).collect()
}

async fn until(board: &Arc<Board>, what: &str, condition: impl Fn(&Sighting) -> bool) -> Sighting {
    let mut changes = board.changes();
    let seen = async {
        loop {
            changes.borrow_and_update();
            let sighting = board.sightings()[0].clone();
            if condition(&sighting) {
                return sighting;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("{what}: {:?}", board.sightings()))
}

async fn until_known(board: &Arc<Board>, list: &[&str]) {
    let expected = Sighting { addresses: addresses(list), certainty: Certainty::Current };
    until(board, &format!("{list:?}"), |sighting| *sighting == expected).await;
}

/// Waits for a doubt for this reason.
async fn until_doubted(board: &Arc<Board>, because: &str) -> BTreeSet<Address> {
    let is_doubted =
        |sighting: &Sighting| matches!(&sighting.certainty, Certainty::Doubtful(why) if why.contains(because));
    until(board, because, is_doubted).await.addresses
}

#[tokio::test]
async fn addresses_of_a_name_come_and_go() {
    let server = Server::start().await;
    server.say("enclaves", Says::Addresses(ips(&["10.0.0.1"])));
    let (board, metrics) = followed("enclaves", Some(8443), settings(&server));
    until_known(&board, &["10.0.0.1:8443"]).await;
    server.say("enclaves", Says::Addresses(ips(&["10.0.0.1", "10.0.0.2", "2001:db8::1"])));
    until_known(&board, &["10.0.0.1:8443", "10.0.0.2:8443", "[2001:db8::1]:8443"]).await;
    for _ in 0..4 {
        server.say("enclaves", Says::Addresses(ips(&["10.0.0.2"])));
        until_known(&board, &["10.0.0.2:8443"]).await;
        server.say("enclaves", Says::Addresses(ips(&["10.0.0.2", "10.0.0.1"])));
        until_known(&board, &["10.0.0.1:8443", "10.0.0.2:8443"]).await;
    }
    server.say("another", Says::Addresses(ips(&["10.0.0.5"])));
    server.say("enclaves", Says::Alias("another"));
    until_known(&board, &["10.0.0.5:8443"]).await;
    assert!(metrics.render(&[]).contains("discovery_doubt_total{source=\"dns:test\"} 0\n"));
}

#[tokio::test]
async fn no_answer_and_an_empty_one_keep_what_is_known_and_are_said_once() {
    let server = Server::start().await;
    let mut settings = settings(&server);
    settings.timeout = Duration::from_millis(100);
    let (board, metrics) = followed("enclaves", Some(1), settings);
    assert!(until_doubted(&board, "the name has no addresses").await.is_empty(), "it does not exist");
    let mut doubts = 1;
    for (says, because) in [
        (Says::Code(Rcode::SERVFAIL), "A: answered SERVFAIL"),
        (Says::Code(Rcode::REFUSED), "A: answered REFUSED"),
        (Says::Code(Rcode::NXDOMAIN), "the name has no addresses"),
        (Says::Addresses(Vec::new()), "the name has no addresses"),
        (Says::Nothing, "A: no answer"),
        (Says::Garbage, "A: no answer"),
        (Says::TooLate(ips(&["10.0.0.66"])), "A: no answer"),
    ] {
        server.say("enclaves", Says::Addresses(ips(&["10.0.0.1"])));
        until_known(&board, &["10.0.0.1:1"]).await;
        server.say("enclaves", says);
        assert_eq!(until_doubted(&board, because).await, addresses(&["10.0.0.1:1"]), "{because}");
        // Rounds more, of two to four questions each.
        server.asked(24).await;
        assert_eq!(board.sightings()[0].addresses, addresses(&["10.0.0.1:1"]), "{because}");
        doubts += 1;
        let counted = format!("discovery_doubt_total{{source=\"dns:test\"}} {doubts}\n");
        assert!(metrics.render(&[]).contains(&counted), "{because}: said once");
    }
}

#[tokio::test]
async fn what_nothing_confirms_is_given_up_after_its_time() {
    let server = Server::start().await;
    server.say("enclaves", Says::Addresses(ips(&["10.0.0.1"])));
    let mut settings = settings(&server);
    settings.known = Duration::from_millis(300);
    let (board, _) = followed("enclaves", Some(1), settings);
    until_known(&board, &["10.0.0.1:1"]).await;
    server.say("enclaves", Says::Half(ips(&["10.0.0.2"])));
    // A sighting in between is not waited for, because it may be over before anybody looks.
    let lapsed = |sighting: &Sighting| sighting.addresses == addresses(&["10.0.0.2:1"]);
    let sighting = until(&board, "given up", lapsed).await;
    assert!(matches!(sighting.certainty, Certainty::Doubtful(_)), "{sighting:?}");
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_asked_for_over_tcp() {
    let server = Server::start().await;
    let many: Vec<String> = (1..=200).map(|number| format!("10.0.1.{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    server.say("enclaves", Says::CutOff(ips(&many)));
    let (board, _) = followed("enclaves", Some(1), settings(&server));
    let all: Vec<String> = many.iter().map(|address| format!("{address}:1")).collect();
    until_known(&board, &all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    server.say("enclaves", Says::CutOffEverywhere(ips(&many[..9])));
    assert_eq!(until_doubted(&board, "A: the answer is cut off").await.len(), 200);
}

#[tokio::test]
async fn half_an_answer_adds_and_takes_nothing_away() {
    let server = Server::start().await;
    server.say("enclaves", Says::Addresses(ips(&["10.0.0.1", "2001:db8::1"])));
    let (board, _) = followed("enclaves", Some(1), settings(&server));
    until_known(&board, &["10.0.0.1:1", "[2001:db8::1]:1"]).await;
    server.say("enclaves", Says::Half(ips(&["10.0.0.2"])));
    let known = until_doubted(&board, "AAAA: answered SERVFAIL").await;
    assert_eq!(known, addresses(&["10.0.0.1:1", "10.0.0.2:1", "[2001:db8::1]:1"]));
}

#[tokio::test]
async fn a_name_does_not_lead_to_special_addresses_unless_they_are_admitted() {
    let special = ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "0.0.0.0"];
    let server = Server::start().await;
    server.say("enclaves", Says::Addresses(ips(&["10.0.0.1"])));
    let (board, _) = followed("enclaves", Some(1), settings(&server));
    until_known(&board, &["10.0.0.1:1"]).await;
    for address in special {
        server.say("enclaves", Says::Addresses(ips(&[address, "10.0.0.2"])));
        let known = until_doubted(&board, "which is not admitted").await;
        assert_eq!(known, addresses(&["10.0.0.1:1", "10.0.0.2:1"]), "{address}");
        server.say("enclaves", Says::Addresses(ips(&["10.0.0.1"])));
        until_known(&board, &["10.0.0.1:1"]).await;
    }
    let admitting = Settings { admit: vec![Network::parse("127.0.0.0/8").unwrap()], ..settings(&server) };
    let (board, _) = followed("enclaves", Some(1), admitting);
    server.say("enclaves", Says::Addresses(ips(&["127.0.0.1"])));
    until_known(&board, &["127.0.0.1:1"]).await;
}

#[tokio::test]
async fn srv_records_say_names_and_ports() {
    let server = Server::start().await;
    server.say("_tls._tcp.enclaves", Says::Targets(vec![("a", 1), ("b", 2), (".", 3)]));
    server.say("a", Says::Addresses(ips(&["10.0.0.1", "10.0.0.2"])));
    server.say("b", Says::Addresses(ips(&["10.0.0.3"])));
    let (board, _) = followed("_tls._tcp.enclaves", None, settings(&server));
    until_known(&board, &["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:2"]).await;
    server.say("b", Says::Code(Rcode::SERVFAIL));
    assert_eq!(until_doubted(&board, "answered SERVFAIL").await.len(), 3);
    server.say("b", Says::Code(Rcode::NXDOMAIN));
    assert_eq!(until_doubted(&board, "a target of its SRV records has no addresses").await.len(), 3);
    server.say("_tls._tcp.enclaves", Says::Targets(vec![("a", 7)]));
    until_known(&board, &["10.0.0.1:7", "10.0.0.2:7"]).await;
}

#[test]
fn the_life_of_an_answer_counts_within_bounds() {
    let settings = toml::from_str::<Table>("").unwrap().check(1).unwrap();
    for (life, pause) in [(0, 5), (30, 30), (86_400, 60)] {
        assert_eq!(pause_after(Duration::from_secs(life), &settings).as_secs(), pause);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_a_name_leads_to_is_attested_and_an_outage_does_not_touch_it() {
    let (server, enclave) = (Server::start().await, Enclave::numbered(1).await);
    server.say("enclaves", Says::Addresses(ips(&["127.0.0.1"])));
    let port = enclave.address.as_str().rsplit_once(':').unwrap().1.parse().unwrap();
    let settings = Settings {
        admit: vec![Network::parse("127.0.0.0/8").unwrap()],
        dns: vec![Name { name: "enclaves".into(), port: Some(port) }],
        ..settings(&server)
    };
    let (metrics, breaker) = (Arc::default(), BreakerLimits { failures: 3, open: PATIENCE });
    let (policy, endorsements) = (appraisal().policy.clone(), appraisal().endorsements.clone());
    let fleet = Arc::new(Fleet::new(&[], policy, endorsements, clock(), breaker, Arc::clone(&metrics)));
    let watching = WatchSettings {
        link: LinkSettings::new(PATIENCE, PATIENCE).unwrap(),
        lives: LIVES,
        reattest: Duration::from_millis(20),
        retry: Duration::from_millis(20),
        health: Duration::from_millis(20),
        drain: Duration::ZERO,
        beside: crate::trust::Beside::default(),
    };
    let _discovery = Discovery::start(&[], &settings, &fleet, &watching, &metrics).unwrap();
    let digest = *enclave.who.manifest(0, None).digest();
    let deadline = Instant::now() + PATIENCE;
    let admitted = || match admit(&fleet, &digest) {
        Admission::Release(release) => Some(release),
        Admission::Wait(_) | Admission::Refuse(_) => None,
    };
    let permit = wait_until(&mut fleet.changes(), deadline, admitted).await.expect("attested").permit;
    server.say("enclaves", Says::Code(Rcode::SERVFAIL));
    server.asked(8).await;
    assert_eq!(permit.exercise(|| ()), Ok(()));
    assert_eq!(enclave.mood.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
    server.say("enclaves", Says::Addresses(ips(&["127.0.0.2"])));
    let gone = || (!fleet.addresses().contains_key(&enclave.address)).then_some(());
    wait_until(&mut fleet.changes(), deadline, gone).await.expect("gone");
    assert_eq!(permit.exercise(|| ()), Err(Withdrawn));
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_begun_ended_and_asked_otherwise_while_who_stays_notices_nothing() {
    let (server, enclave) = (Server::start().await, Enclave::numbered(1).await);
    server.say("enclaves", Says::Addresses(ips(&["127.0.0.1"])));
    let port = enclave.address.as_str().rsplit_once(':').unwrap().1.parse().unwrap();
    let name = Name { name: "enclaves".into(), port: Some(port) };
    let none = Settings { admit: vec![Network::parse("127.0.0.0/8").unwrap()], ..settings(&server) };
    let one = Settings { dns: vec![name.clone()], ..none.clone() };
    let (metrics, breaker) = (Arc::new(Metrics::default()), BreakerLimits { failures: 3, open: PATIENCE });
    let (policy, endorsements) = (appraisal().policy.clone(), appraisal().endorsements.clone());
    let fleet = Arc::new(Fleet::new(&[], policy, endorsements, clock(), breaker, Arc::clone(&metrics)));
    let watching = WatchSettings {
        link: LinkSettings::new(PATIENCE, PATIENCE).unwrap(),
        lives: LIVES,
        reattest: Duration::from_millis(20),
        retry: Duration::from_millis(20),
        health: Duration::from_millis(20),
        drain: Duration::ZERO,
        beside: crate::trust::Beside::default(),
    };
    let listed = std::slice::from_ref(&enclave.address);
    let discovery = Discovery::start(&[], &one, &fleet, &watching, &metrics).unwrap();
    let digest = *enclave.who.manifest(0, None).digest();
    let deadline = || Instant::now() + PATIENCE;
    let admitted = || match admit(&fleet, &digest) {
        Admission::Release(release) => Some(release),
        Admission::Wait(_) | Admission::Refuse(_) => None,
    };
    let permit = wait_until(&mut fleet.changes(), deadline(), admitted).await.expect("attested").permit;
    let take = |list: &[Address], settings: &Settings| discovery.take(list, &Prepared::of(settings).unwrap());
    let stands = || permit.exercise(|| ()) == Ok(());
    let counted = || metrics.render(&[]).contains(&format!("discovery_current{{source=\"{name}\"}}"));

    // In another way, while nobody answers: what was known counts.
    server.say("enclaves", Says::Code(Rcode::SERVFAIL));
    take(&[], &Settings { timeout: Duration::from_secs(3), ..one.clone() });
    server.asked(8).await;
    assert!(stands() && counted());
    // From the source to the list, and another source that knows nobody beside it.
    take(listed, &Settings { dns: vec![Name { name: "others".into(), port: Some(1) }], ..none.clone() });
    server.asked(8).await;
    assert!(stands() && !counted(), "{}", metrics.render(&[]));
    server.say("enclaves", Says::Addresses(ips(&["127.0.0.1"])));
    take(listed, &one);
    let answered = || metrics.render(&[]).contains(&format!("discovery_current{{source=\"{name}\"}} 1\n"));
    let until = deadline();
    while !answered() {
        assert!(Instant::now() < until);
        server.asked(2).await;
    }
    take(&[], &one);
    server.asked(8).await;
    assert!(stands());
    // What may not be led to any more goes, and so does what nobody names.
    take(&[], &Settings { admit: Vec::new(), ..one });
    let gone = || (!fleet.addresses().contains_key(&enclave.address)).then_some(());
    wait_until(&mut fleet.changes(), deadline(), gone).await.expect("gone");
    assert_eq!(permit.exercise(|| ()), Err(Withdrawn));
    take(listed, &none);
    wait_until(&mut fleet.changes(), deadline(), admitted).await.expect("attested again");
    assert!(!counted());
}
