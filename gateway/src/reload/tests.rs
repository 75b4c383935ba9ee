//! A policy replaced while requests go on, on forged hardware over real TLS.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, Full};
use teegate_protocol::headers::{OHTTP_REQUEST, RELAY_PATH, TEEGATE_HOLD, TEEGATE_MANIFEST};
use teegate_protocol::manifest::ManifestDigest;
use teegate_protocol::problem::{Problem, ProblemKind};

use super::*;
use crate::fleet::Standing;
use crate::gateway::Gateway;
use crate::hold::wait_until;
use crate::testing::{POOL_BYTES, gateway_of, peer_of};
use crate::trust::forged::{Enclave, LIVES, honest, platform};
use crate::trust::testing::policy_text;
use crate::trust::{Beside, LinkSettings};
use crate::watch::{WatchSettings, watch};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const OLD: [u8; 48] = [0x5e; 48];
const NEW: [u8; 48] = [0x77; 48];

/// A gateway's files, and the gateway.
struct Place {
    folder: tempfile::TempDir,
    gateway: Arc<Gateway>,
    policies: Policies,
}

impl Place {
    /// Two enclaves, of which a policy of version 1 admits the old one.
    fn new(enclaves: &[&Enclave]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("crl.der"), platform().build().crl.unwrap()).unwrap();
        write_policy(folder.path(), 1, &[OLD]);
        let addresses: Vec<_> = enclaves.iter().map(|enclave| enclave.address.clone()).collect();
        let gateway = gateway_of(&addresses, POOL_BYTES);
        let first = load(&config(folder.path())).unwrap();
        let ratchet = Ratchet::open(None).unwrap();
        ratchet.take(&first.policy).unwrap();
        let policies = Policies::new(Arc::clone(&gateway.fleet), &first, ratchet, None, Arc::clone(&gateway.reloads));
        Self { folder, gateway, policies }
    }

    async fn start(&self, enclaves: &[&Enclave]) {
        let first = load(&config(self.folder.path())).unwrap();
        self.gateway.fleet.set_policy(first.policy.clone(), first.endorsements()).await;
        let settings = WatchSettings {
            link: LinkSettings::new(PATIENCE, PATIENCE).unwrap(),
            lives: LIVES,
            // Nothing but a change of the policy makes anybody prove himself again.
            reattest: PATIENCE * 4,
            retry: PATIENCE * 4,
            health: PATIENCE,
            drain: Duration::ZERO,
            beside: Beside::default(),
        };
        for enclave in enclaves {
            let (fleet, metrics) = (Arc::clone(&self.gateway.fleet), Arc::clone(&self.gateway.metrics));
            tokio::spawn(watch(enclave.address.clone(), fleet, settings.clone(), metrics));
        }
    }

    /// Reads the files as they are now.
    async fn reload(&self) -> Result<(), String> {
        match self.policies.next(&config(self.folder.path())) {
            Ok(loaded) => {
                self.policies.take(&loaded).await;
                Ok(())
            }
            Err(why) => {
                self.policies.refused(&why);
                Err(why)
            }
        }
    }

    fn states(&self) -> Vec<&'static str> {
        let fleet = &self.gateway.fleet;
        let now = fleet.clock().now();
        let state = fleet.read();
        let name = |standing| match standing {
            Standing::Attested(_) => "attested",
            Standing::Rejected(checks) if checks == ["snp.guest.measurement"] => "another code",
            _ => "neither",
        };
        state.standings(&now).map(|(_, standing)| name(standing)).collect()
    }

    /// Waits until the two addresses stand like this, in the order of their addresses.
    async fn until(&self, what: &str, mut states: [&str; 2]) {
        states.sort_unstable();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut changes = self.gateway.fleet.changes();
        let reached = wait_until(&mut changes, deadline, || {
            let mut now = self.states();
            now.sort_unstable();
            (now == states).then_some(())
        });
        assert!(reached.await.is_some(), "{what}: {:?}", self.states());
    }

    fn metric(&self, name: &str) -> Vec<String> {
        let metrics = self.gateway.metrics_text();
        metrics.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
    }
}

fn write_policy(folder: &Path, version: u64, measurements: &[[u8; 48]]) {
    let text = policy_text(&platform().ark_pem(), measurements);
    std::fs::write(folder.join("policy.toml"), format!("version = {version}\n{text}")).unwrap();
}

fn config(folder: &Path) -> Config {
    let text = "listen = 'x:1'\noperator_listen = 'x:2'\npolicy = 'policy.toml'\nadmission = 'none'\nendorsements = ['crl.der']\ninstances = ['a:1']\n";
    Config::parse(text, folder).unwrap()
}

/// A sealed request for the instance of this manifest, and what became of it.
async fn ask(gateway: &Gateway, manifest: &ManifestDigest, hold: &str) -> Result<(), Problem> {
    let request = Request::post(RELAY_PATH)
        .header(CONTENT_TYPE, OHTTP_REQUEST)
        .header(TEEGATE_MANIFEST, manifest.to_string())
        .header(TEEGATE_HOLD, hold)
        .body(Full::from("ciphertext"))
        .unwrap();
    let response = gateway.serve(request, &peer_of(&gateway.budget, 1)).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    if status == http::StatusCode::OK { Ok(()) } else { Err(Problem::parse(&body).unwrap()) }
}

async fn enclave_of(measurement: [u8; 48]) -> Enclave {
    Enclave::start(move |who, challenge| honest(who, &platform().measurement(measurement), challenge)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_measurement_is_replaced_in_two_steps_and_no_request_is_lost() {
    let (old, new) = (enclave_of(OLD).await, enclave_of(NEW).await);
    let place = Place::new(&[&old, &new]);
    place.start(&[&old, &new]).await;
    place.until("the new code is nobody's yet", ["attested", "another code"]).await;
    let (old_digest, new_digest) = (*old.who.manifest(0, None).digest(), *new.who.manifest(0, None).digest());
    let counted = |measurement: [u8; 48]| {
        format!("teegate_gateway_instances{{measurement=\"{}\"}} 1", teegate_encoding::hex::encode(measurement))
    };
    assert_eq!(place.metric("teegate_gateway_instances{"), [counted(OLD)]);

    // Requests to the old instance, one after the other, over all of the widening.
    let is_over = Arc::new(AtomicBool::new(false));
    let asking = {
        let (gateway, is_over) = (Arc::clone(&place.gateway), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut answered = 0_usize;
            while !is_over.load(Ordering::SeqCst) {
                ask(&gateway, &old_digest, "30").await.unwrap_or_else(|problem| panic!("refused: {problem:?}"));
                answered += 1;
            }
            answered
        })
    };
    write_policy(place.folder.path(), 2, &[OLD, NEW]);
    place.reload().await.unwrap();
    place.until("both", ["attested", "attested"]).await;
    assert_eq!(place.metric("teegate_gateway_instances{"), [counted(OLD), counted(NEW)]);
    ask(&place.gateway, &new_digest, "30").await.unwrap();
    ask(&place.gateway, &old_digest, "30").await.unwrap();
    is_over.store(true, Ordering::SeqCst);
    let answered = asking.await.unwrap();
    assert!(answered > 0, "nothing was asked while the policy changed");

    write_policy(place.folder.path(), 3, &[NEW]);
    place.reload().await.unwrap();
    // From the moment at which that returns.
    let released = old.mood.requests.load(Ordering::SeqCst);
    let problem = ask(&place.gateway, &old_digest, "1").await.unwrap_err();
    assert!(
        matches!(problem.kind, ProblemKind::NoAttestedInstance | ProblemKind::Reseal | ProblemKind::EvidenceRejected),
        "{problem:?}"
    );
    assert_eq!(old.mood.requests.load(Ordering::SeqCst), released, "released to the old code");
    place.until("the old code is nobody's any more", ["another code", "attested"]).await;
    ask(&place.gateway, &new_digest, "30").await.unwrap();
    assert_eq!(place.metric("teegate_gateway_instances{"), [counted(NEW)]);
    assert_eq!(
        place.metric("teegate_gateway_config_last_reload_successful "),
        ["teegate_gateway_config_last_reload_successful 1"]
    );

    // Whoever puts the wider policy back changes nothing.
    write_policy(place.folder.path(), 2, &[OLD, NEW]);
    let refused = place.reload().await.unwrap_err();
    assert!(refused.contains("`version = 2`, and version 3 was in force"), "{refused}");
    write_policy(place.folder.path(), 3, &[OLD, NEW]);
    let refused = place.reload().await.unwrap_err();
    assert!(refused.contains("another text than the one of `version = 3`"), "{refused}");
    assert_eq!(place.states().iter().filter(|state| **state == "attested").count(), 1);
    assert_eq!(
        place.metric("teegate_gateway_config_last_reload_successful "),
        ["teegate_gateway_config_last_reload_successful 0"]
    );
    assert_eq!(
        place.metric("teegate_gateway_reload_total{outcome=\"refused\"}"),
        ["teegate_gateway_reload_total{outcome=\"refused\"} 2"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn new_endorsements_are_judged_by_at_once_and_withdraw_nothing() {
    let enclave = enclave_of(OLD).await;
    let place = Place::new(&[&enclave]);
    place.start(&[&enclave]).await;
    let digest = *enclave.who.manifest(0, None).digest();
    ask(&place.gateway, &digest, "30").await.unwrap();
    let version = place.gateway.fleet.appraisal().version;
    place.reload().await.unwrap();
    let before = place.gateway.fleet.appraisal();
    assert!(before.version == version, "nothing is new");

    // A list that revokes: the policy is the same, and the next round, which nobody has to wait for, is by the new list.
    let revoked = platform().revoke_intermediate().build().crl.unwrap();
    std::fs::write(place.folder.path().join("crl.der"), revoked).unwrap();
    place.reload().await.unwrap();
    assert_eq!(place.gateway.fleet.appraisal().version, version, "no permit had to end for it");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let is_rejected = || {
        let now = place.gateway.fleet.clock().now();
        let state = place.gateway.fleet.read();
        state
            .standings(&now)
            .any(|(_, standing)| matches!(standing, Standing::Rejected(&["snp.chain.revocation"])))
            .then_some(())
    };
    assert!(wait_until(&mut place.gateway.fleet.changes(), deadline, is_rejected).await.is_some());
}

/// Under an Azure vTPM the hardware's report holds no challenge of its own: the claims must hold it, as evidence of version 2 does.
#[test]
fn a_policy_that_takes_claims_older_than_the_quote_is_refused() {
    use teegate_measurements::{GENUINE, Rewritten};
    use teegate_verifier::Tee;

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("crl.der"), platform().build().crl.unwrap()).unwrap();
    let pinned = |user_data: &str| {
        let wrapped = Rewritten::of(GENUINE).unwrap().only(Tee::SevSnp).wrapped(Wrapping::AzureVtpm).unwrap();
        let (code, register) = (format!("\"{}\"", "2a".repeat(48)), format!("\"{}\"", "2b".repeat(32)));
        let rules = [
            ("measurement", code.as_str()),
            ("vmpl", "0"),
            ("debug", "\"rejected\""),
            ("migration_agent", "\"rejected\""),
            ("pcr4", &register),
            ("pcr9", &register),
            ("pcr11", &register),
            ("pcr12", &register),
            ("bound_to", "\"guest\""),
            ("user_data", user_data),
        ];
        rules.into_iter().fold(wrapped, |policy, (field, rule)| policy.rule(Tee::SevSnp, field, rule).unwrap()).text()
    };
    let load_with = |user_data: &str| {
        std::fs::write(folder.path().join("policy.toml"), pinned(user_data)).unwrap();
        load(&config(folder.path()))
    };
    load_with("\"required\"").unwrap();
    let refused = load_with("\"unchecked\"").unwrap_err();
    assert!(refused.contains("[sev-snp.genuine] `user_data` is unchecked"), "{refused}");
}
