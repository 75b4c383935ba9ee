//! What somebody between the parties tries: relaying, redirecting, replaying, listening.

use base64::Engine as _;
use teegate_client::{AnswerError, Error, Executed, Freshness, Instance, ProblemKind};
use teegate_protocol::binding::Nonce;
use teegate_protocol::problem::Problem;
use teegate_tests::wire::{Relay, Wire};
use teegate_verifier::{Memory, Stage, Verifier};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{LIMIT, Stage1, assert_is_expected_answer, now, problem, relay, sample};

#[tokio::test]
async fn somebody_who_relays_genuine_evidence_gets_nothing() {
    let stage = Stage1::set().await;
    let relay_attacker = Relay::in_front_of(&stage.enclave.address).await;
    let gateway = stage.gateway(&relay_attacker.address, "").await;
    let (sealed, manifest) = stage.sealed_sample().await;
    let answer = relay(&gateway, sealed.bytes(), &manifest, 3).await;
    let refused = problem(&answer);
    assert_eq!((refused.kind, refused.executed), (ProblemKind::EvidenceRejected, Executed::No), "{refused}");
    assert!(refused.checks.iter().any(|check| check == "channel.key"), "{refused}");
    let seen = relay_attacker.seen();
    assert!(seen.iter().any(|path| path.starts_with("/attest")), "the attack was tried: {seen:?}");
    assert!(!seen.iter().any(|path| path == "/ohttp"), "{seen:?}");
    assert_eq!(gateway.metric("teegate_gateway_released_bytes_total").await, 0);
}

#[tokio::test]
async fn a_second_connection_gets_no_byte_before_its_own_channel_check() {
    let stage = Stage1::set().await;
    let relay_attacker = Relay::in_front_of(&stage.enclave.address).await;
    let wire = Wire::to(&stage.enclave.address).await;
    let gateway = stage.gateway(&wire.address, "").await;
    gateway.attested().await;
    let (sealed, manifest) = stage.sealed_sample().await;
    assert_eq!(relay(&gateway, sealed.bytes(), &manifest, 0).await.status, 200, "the passing twin");
    let released = gateway.metric("teegate_gateway_released_bytes_total").await;
    let before = wire.connections();

    // The address stays the same and the instance was attested a moment ago; only the connection is another.
    wire.redirect(&relay_attacker.address);
    wire.cut();
    let (sealed, manifest) = stage.sealed_sample().await;
    let refused = problem(&relay(&gateway, sealed.bytes(), &manifest, 3).await);
    assert_eq!(refused.executed, Executed::No, "{refused}");
    assert!(wire.connections() > before, "a second connection was opened");
    assert!(!relay_attacker.seen().iter().any(|path| path == "/ohttp"), "{:?}", relay_attacker.seen());
    assert_eq!(gateway.metric("teegate_gateway_released_bytes_total").await, released);

    // Back at the genuine instance, a further connection proves itself and the same ciphertext goes through.
    wire.redirect(&stage.enclave.address);
    wire.cut();
    let answer = relay(&gateway, sealed.bytes(), &manifest, 30).await;
    assert!(sealed.open(&answer.body, LIMIT).is_ok(), "{}", answer.text());
}

#[tokio::test]
async fn evidence_for_an_old_nonce_is_refused() {
    let stage = Stage1::set().await;
    let (asked, other) = (Nonce::generate().unwrap(), Nonce::generate().unwrap());
    let answer = stage.enclave.ask("GET", &format!("/.well-known/teegate?nonce={asked}"), &[], b"").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let trust = stage.trust();
    let verify = |freshness| Instance::verify(&answer.body, freshness, &trust, &Verifier::new(), &Memory::new(), now());
    assert!(verify(Freshness::Challenge(&asked)).is_ok(), "the passing twin");
    for freshness in [Freshness::Challenge(&other), Freshness::Epoch] {
        let refused = verify(freshness).unwrap_err();
        assert_eq!((refused.stage, refused.checks.as_slice()), (Stage::Appraise, &["snp.guest.report-data"][..]));
    }
}

#[tokio::test]
async fn a_replayed_ciphertext_runs_once() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    gateway.attested().await;
    let (sealed, manifest) = stage.sealed_sample().await;
    let first = relay(&gateway, sealed.bytes(), &manifest, 0).await;
    let again = relay(&gateway, sealed.bytes(), &manifest, 0).await;
    assert_eq!((first.status, again.status), (200, 200), "both answers are sealed");
    let answer = sealed.open(&again.body, LIMIT).unwrap().response;
    let replay = Problem::parse(&answer.content).unwrap();
    assert_eq!((answer.status, replay.kind, replay.executed), (409, ProblemKind::Replay, Executed::Unknown));

    let (twin, manifest) = stage.sealed_sample().await;
    let first = relay(&gateway, twin.bytes(), &manifest, 0).await;
    assert_is_expected_answer(&twin.open(&first.body, LIMIT).unwrap().response.content);
}

#[tokio::test]
async fn a_canary_in_the_request_appears_nowhere() {
    const CANARY: &str = "canary-7f3a91c2e5";
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let client = stage.connect(&gateway).await.unwrap();

    // In the id, in a number, and in a request that fails: errors like to repeat what they were given.
    let body = String::from_utf8(sample()).unwrap();
    let with_canary = body.replacen('{', &format!("{{\"id\": \"{CANARY}\", "), 1).replace("24.63", "24.631739517395");
    let reply = client.infer_json(with_canary.clone().into_bytes()).await.unwrap();
    assert_eq!(reply.response.status, 200);
    let failing = with_canary.replace("features", CANARY);
    let error = client.infer_json(failing.into_bytes()).await.unwrap_err();
    let words = format!("{error} {error:?}");
    // The name of an input that the model does not have is repeated, inside the seal alone.
    let Error::Answer(AnswerError::Declined { message, .. }) = &error else { panic!("{words}") };
    assert!(message.as_str().contains(CANARY), "or else this shows nothing: {}", message.as_str());
    assert!(!words.contains(CANARY), "{words}");
    // Text where a number belongs: a reader's own words would repeat it.
    let mistyped = with_canary.replacen("[24.631739517395", &format!("[\"{CANARY}\""), 1);
    let error = client.infer_json(mistyped.into_bytes()).await.unwrap_err();
    let words = format!("{error} {error:?}");
    assert!(matches!(error, Error::Answer(AnswerError::Declined { .. })), "{words}");
    assert!(!words.contains(CANARY), "{words}");
    let nonce = Nonce::generate().unwrap();
    assert_eq!(stage.enclave.ask("GET", &format!("/.well-known/teegate?nonce={nonce}"), &[], b"").await.status, 200);

    let mut said = stage.scratch.said();
    said.extend(gateway.metrics().await.into_bytes());
    for label in ["guest", "enclave", "gateway"] {
        let log = std::fs::read(stage.scratch.path().join(format!("{label}.log"))).unwrap();
        assert!(!log.is_empty(), "{label} said nothing, so this test would show nothing");
    }
    let canaries = [
        CANARY.to_owned(),
        "1739517395".to_owned(),
        hex::encode(CANARY),
        base64_of(CANARY),
        nonce.to_string(),
        hex::encode(nonce.as_bytes()),
    ];
    for canary in &canaries {
        let found = said.windows(canary.len()).position(|window| window == canary.as_bytes());
        let around = found
            .map(|at| String::from_utf8_lossy(&said[at.saturating_sub(200)..said.len().min(at + 100)]).into_owned());
        assert_eq!(around, None, "{canary} was said");
    }
}

/// Somebody who asks gateway or door for another server: in the target, as `Host`, or both. In the place of a cloud's metadata service
/// stands a listener, to which nobody may come.
#[tokio::test]
async fn whoever_names_another_server_is_sent_nowhere() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let door = crate::proxy_command::Door::open(&stage, &gateway, &[]).await;
    let metadata = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = metadata.local_addr().unwrap().to_string();
    let link_local = "169.254.169.254";
    let ask = async |address: &str, head: String| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer to {head}")).parse::<u16>().unwrap()
    };
    for server in [place.as_str(), link_local] {
        for target in ["/latest/meta-data/", "/computeMetadata/v1/"] {
            let absolute = format!("GET http://{server}{target} HTTP/1.1\r\nhost: {server}\r\n");
            let host = format!("GET {target} HTTP/1.1\r\nhost: {server}\r\n");
            assert_eq!(ask(&gateway.address, absolute.clone()).await, 404, "{absolute}");
            assert_eq!(ask(&gateway.address, host.clone()).await, 404, "{host}");
            if server == link_local {
                assert_eq!(ask(&door.address, absolute.clone()).await, 421, "{absolute}");
                assert_eq!(ask(&door.address, host.clone()).await, 421, "{host}");
            }
        }
        let tunnel = format!("CONNECT {server} HTTP/1.1\r\nhost: {server}\r\n");
        assert!([400, 404, 405].contains(&ask(&gateway.address, tunnel.clone()).await), "{tunnel}");
        assert!([400, 421].contains(&ask(&door.address, tunnel.clone()).await), "{tunnel}");
    }
    // The passing twins: both serve who asks for themselves.
    assert_eq!(ask(&gateway.address, "GET /healthz HTTP/1.1\r\nhost: gateway\r\n".into()).await, 200);
    assert_eq!(ask(&door.address, "GET /readyz HTTP/1.1\r\nhost: localhost\r\n".into()).await, 200);
    let nobody = tokio::time::timeout(std::time::Duration::from_millis(200), metadata.accept()).await;
    assert!(nobody.is_err(), "somebody came to the other server");
}

/// The middle of the base64 of `text`, which any base64 of something that contains it at that alignment has too.
fn base64_of(text: &str) -> String {
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(text)[..16].to_owned()
}
