//! The name by which a gateway finds its instances changes, vanishes, moves and comes back.

use std::net::Ipv4Addr;

use teegate_tests::harness::{Enclave, Gateway, Guest, Program, Scratch, eventually};
use teegate_tests::names::{NameServer, Says};

use super::load::{Held, LIMITS, Load, nothing_is_released, seconds};
use crate::Stage1;

const ONE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_flaps_costs_no_request_that_is_on_its_way() {
    let scratch = Scratch::new();
    let guest = Guest::start(&scratch, "guest", &[]).await;
    let one = Enclave::start(&scratch, "enclave", &guest).await;
    // Under one name there is one port.
    let port = one.address.rsplit_once(':').unwrap().1.to_owned();
    let config = std::fs::read_to_string(scratch.path().join("enclave.toml")).unwrap();
    let config = scratch.write("other.toml", &config.replacen("127.0.0.1:0", &format!("{OTHER}:{port}"), 1));
    let program = Program::start(&scratch, "other", "enclave-app", &["--config", &config]).await;
    let other = Enclave { address: program.address("listening"), program };

    let stage = Stage1 { scratch, guest, enclave: one };
    let Stage1 { scratch, guest, .. } = &stage;
    let server = NameServer::start(Says::Addresses(vec![ONE])).await;
    let discovery = format!(
        "{LIMITS}[discovery]\nadmit = [\"127.0.0.0/8\"]\nname_servers = [{:?}]\nleast_seconds = 1\nmost_seconds = 1\n\
         timeout_seconds = 1\nknown_seconds = 2\n[[discovery.dns]]\nname = \"enclaves.test.\"\nport = {port}\n",
        server.address
    );
    let gateway = Gateway::start(scratch, "gateway", guest, &guest.policy(), &[], &discovery).await;
    gateway.attested().await;
    let load = Load::begin(&gateway).await;
    let held = Held::by(&gateway.program);
    // Where the fleet stands, as its operator is told.
    let attested = async |count: u64, what: &str| {
        let line = format!("teegate_gateway_addresses{{state=\"attested\"}} {count}");
        eventually(what, async || gateway.metrics().await.contains(&line).then_some(())).await;
    };
    let (mut moves, mut vanishings) = (0_u64, 0_u64);
    while moves == 0 || load.is_due() {
        for (addresses, count) in [(vec![ONE, OTHER], 2), (vec![OTHER], 1), (vec![ONE], 1)] {
            server.say(Says::Addresses(addresses));
            moves += 1;
            attested(count, "the instances that the name leads to").await;
            load.goes_on("where the name leads to").await;
        }
        for says in [Says::NoSuchName, Says::Failure, Says::Nothing, Says::Garbage, Says::Addresses(Vec::new())] {
            // What was known stays for a while; then it is given up, and held requests end as they should.
            server.say(says.clone());
            vanishings += 1;
            load.goes_on("while the name is in doubt").await;
            if says == Says::NoSuchName {
                attested(0, "what nothing confirms is given up").await;
                nothing_is_released(&stage, &gateway, "to an instance that was given up").await;
            }
            server.say(Says::Addresses(vec![ONE]));
            attested(1, "the name is back").await;
            load.goes_on("when the name is back").await;
        }
    }
    held.is_held_again_by(&gateway.program).await;
    let faults = format!("{moves} moves of the name, {vanishings} times without an answer, {} s", seconds());
    let Stage1 { scratch, enclave, guest: _guest } = stage;
    load.end("names", &scratch, vec![("enclave", enclave), ("other", other)], &faults).await;
}
