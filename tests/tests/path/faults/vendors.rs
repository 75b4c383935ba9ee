//! The vendors are away, silent, broken or say the wrong thing, while a gateway asks them and is started anew.

use std::net::TcpListener;

use teegate_forge::services::{Misbehaviour, Vendor};
use teegate_tests::harness::{Enclave, Gateway, Guest, Program, Scratch};
use teegate_tests::wire::Wire;

use super::load::{Held, LIMITS, Load, is_long, nothing_is_released, seconds};
use crate::Stage1;

/// In the place of the vendors.
enum Vendors {
    /// Nobody: connections are ended at once.
    Away,
    /// Somebody who never answers.
    Silent,
    /// 500, whatever is asked.
    Broken,
    /// No document that there should be, and lists of another vendor under the same names.
    Others,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_vendors_costs_nobody_who_is_attested() {
    let scratch = Scratch::new();
    let guest = Guest::start(&scratch, "guest", &["--services", "127.0.0.1:0"]).await;
    let enclave = Enclave::start(&scratch, "enclave", &guest).await;
    let genuine = guest.program.address("services");
    let wire = Wire::to(&genuine).await;
    let stage = Stage1 { scratch, guest, enclave };
    let Stage1 { scratch, guest, enclave } = &stage;
    let policy = scratch.write("policy.toml", &guest.policy());
    let state = scratch.path().join("state");
    let config = |listen: &str| {
        format!(
            "listen = {listen:?}\noperator_listen = \"127.0.0.1:0\"\npolicy = {policy:?}\nendorsements = []\n\
             instances = [{:?}]\nreattest_seconds = 1\nretry_seconds = 1\nadmission = \"none\"\nstate_dir = {state:?}\n\
             {LIMITS}[collateral]\nonline = true\nsources = [\"kds=http://{}\"]\n",
            enclave.address, wire.address
        )
    };
    let first = scratch.write("gateway.toml", &config("127.0.0.1:0"));
    let program = Program::start(scratch, "gateway", "teegate-gateway", &["--config", &first]).await;
    let mut gateway = Gateway { address: program.address("listening"), program };
    gateway.attested().await;
    let asked_at_first = wire.connections();
    assert!(asked_at_first > 0, "the vendors were asked");
    let again = scratch.write("gateway-again.toml", &config(&gateway.address));

    let load = Load::begin(&gateway).await;
    let held = Held::by(&gateway.program);
    // They hold their peace, or say what they say, for as long as this test runs.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let broken = Vendor::start(Vec::new());
    broken.misbehave("", usize::MAX, Misbehaviour::status(500));
    let others = Vendor::start(teegate_forge::snp().kds_routes());
    let (mut outages, mut restarts) = (0_u64, 0_u64);
    while outages == 0 || load.is_due() {
        for vendors in [Vendors::Away, Vendors::Silent, Vendors::Broken, Vendors::Others] {
            wire.open();
            match vendors {
                Vendors::Away => wire.close(),
                Vendors::Silent => wire.redirect(&silent.local_addr().unwrap().to_string()),
                Vendors::Broken => wire.redirect(&broken.address().to_string()),
                Vendors::Others => wire.redirect(&others.address().to_string()),
            }
            wire.cut();
            outages += 1;
            load.goes_on("while the vendors are out").await;
            // What it had of them it has still.
            gateway.program.kill().await;
            gateway.program = Program::start(scratch, "gateway-again", "teegate-gateway", &["--config", &again]).await;
            restarts += 1;
            load.goes_on("after a start while the vendors are out").await;
        }
        wire.open();
        wire.redirect(&genuine);
        load.goes_on("when the vendors are back").await;
        if is_long() {
            // With nothing in hand nobody can be attested: nothing is released until they are back.
            wire.close();
            gateway.program.kill().await;
            std::fs::remove_dir_all(&state).unwrap();
            gateway.program = Program::start(scratch, "gateway-again", "teegate-gateway", &["--config", &again]).await;
            outages += 1;
            restarts += 1;
            nothing_is_released(&stage, &gateway, "to whom nobody vouches for").await;
            assert_eq!(gateway.metric("teegate_gateway_released_bytes_total").await, 0);
            let before = load.answered();
            wire.open();
            // The question is repeated after a minute.
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(150);
            while load.answered() <= before + 4 {
                assert!(std::time::Instant::now() < deadline, "it asks again after a minute or two");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
    held.is_held_again_by(&gateway.program).await;
    let faults = format!("{outages} outages of the vendors, {restarts} starts meanwhile, {} s", seconds());
    let Stage1 { scratch, enclave, guest: _guest } = stage;
    load.end("vendors", &scratch, vec![("enclave", enclave)], &faults).await;
}
