//! The metrics as they are answered: all of the table and nothing else, and each alert rule on them, firing and not.

mod promql;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use teegate_protocol::manifest::SpkiDigest;
use teegate_verifier::UnixTime;

use self::promql::{Sample, fires, samples};
use super::*;
use crate::metrics::METRICS;
use crate::reloads::PolicyFile;
use crate::testing::{peer, two_addresses, two_addresses_at};
use crate::tls::Certificates;
use crate::tls::tests::Pair;
use crate::trust::forged::{Enclave, LIVES, appraisal_with, honest, platform, revocations};
use crate::trust::testing::{START, Who, Wire, clock};
use crate::trust::{Distrust, Failed};

const FRESH: Duration = Duration::from_secs(300);
const RULES: &str = include_str!("../../alerts.yaml");

async fn answered(gateway: &Gateway) -> String {
    let answer = gateway.serve_operator(&Method::GET, "/metrics", &peer());
    assert_eq!(answer.headers()["content-type"], metrics::MEDIA_TYPE);
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

async fn scraped(gateway: &Gateway) -> Vec<Sample> {
    samples(&answered(gateway).await)
}

/// Names of the alerts that fire on what was scraped before and now.
fn firing(before: &[Sample], now: &[Sample]) -> BTreeSet<String> {
    let at = f64::from(u32::try_from(START).unwrap());
    let is_firing = |(_, expression): &(String, String)| {
        fires(expression, before, now, at).unwrap_or_else(|why| panic!("{expression}: {why}"))
    };
    promql::rules(RULES).into_iter().filter(is_firing).map(|(name, _)| name).collect()
}

fn named(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn refusal() -> Distrust {
    let failed = Failed {
        check: "snp.policy.debug",
        expected: "DEBUG 0".into(),
        found: "DEBUG 1".into(),
        remedy: String::new(),
    };
    Distrust {
        checks: vec!["snp.policy.debug"],
        explanation: String::new(),
        failed: [failed].into(),
        tls_spki: SpkiDigest([9; 32]),
    }
}

/// Lets the gateway show a certificate that is valid to the second of January of `year`.
fn shows_certificate(gateway: &mut Arc<Gateway>, folder: &Path, year: i32) -> Arc<Certificates> {
    let files = crate::tls::tests::files(folder);
    Pair::until(year).write(&files);
    let certificates = Certificates::load(&files).unwrap();
    Arc::get_mut(gateway).unwrap().certificates = Some(Arc::clone(&certificates));
    certificates
}

/// Lets the gateway ask for the keys of tokens where nobody is.
pub(crate) fn follows_keys(gateway: &mut Arc<Gateway>) {
    let text = "listen = 'a:1'\noperator_listen = 'b:1'\npolicy = 'p'\ninstances = ['a:1']\n[admission.jwt]\n\
                jwks_url = 'http://127.0.0.1:1/'\nalgorithms = ['EdDSA']\nissuer = 'i'\naudience = 'a'\ntenant_claim = 'sub'\n\
                [[tenant]]\nname = 'default'\nmodels = ['*']\n";
    let config = crate::config::Config::parse(text, Path::new("")).unwrap();
    Arc::get_mut(gateway).unwrap().gatekeeper = crate::admission::Gatekeeper::load(&config.admission).unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_metric_of_the_table_is_answered_and_no_other() {
    let (mut gateway, [one, two]) = two_addresses();
    let folder = tempfile::tempdir().unwrap();
    let _ = shows_certificate(&mut gateway, folder.path(), 2030);
    follows_keys(&mut gateway);
    let (wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&one, wire.trusted(&manifest, 1, FRESH));
    gateway.fleet.reject(&two, &refusal(), 1);
    gateway.metrics.checked(&one, "accepted");
    gateway.metrics.relayed("default", "answered");
    gateway.metrics.challenged("answered");
    gateway.metrics.upstream(&one, "answered");
    gateway.metrics.kept_refused("kept");
    gateway.metrics.discovered("list", 1, true);
    gateway.metrics.doubted("list");
    gateway.metrics.left_out("latency");
    gateway.metrics.denied("no-credential");
    gateway.metrics.asked_vendors("complete");
    gateway.metrics.telemetry_begins();
    let text = answered(&gateway).await;
    let described: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let expected: BTreeSet<&str> =
        METRICS.iter().map(|row| row.name.strip_suffix("_total").unwrap_or(row.name)).collect();
    assert_eq!(described, expected);
    // And each has a value, under the labels of the table.
    // A forecast takes evidence, which is not here (`trust/tests.rs`).
    for row in METRICS.iter().filter(|row| **row != metrics::FORECAST_END) {
        let name =
            if row.kind == metrics::Kind::Histogram { format!("{}_count", row.name) } else { row.name.to_owned() };
        let sample =
            samples(&text).into_iter().find(|sample| sample.name == name).unwrap_or_else(|| panic!("{name}:\n{text}"));
        assert_eq!(
            sample.labels.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            row.labels.iter().copied().collect(),
            "{name}"
        );
    }
    for line in [
        format!("teegate_gateway_instance_state{{address=\"{one}\",state=\"attested\"}} 1"),
        format!("teegate_gateway_instance_state{{address=\"{two}\",state=\"attested\"}} 0"),
        format!("teegate_gateway_instance_state{{address=\"{two}\",state=\"rejected\"}} 1"),
        format!("teegate_gateway_instance_failed_check{{address=\"{two}\",check=\"snp.policy.debug\"}} 1"),
        format!("teegate_gateway_attested_seconds{{address=\"{one}\"}} 300"),
        "teegate_gateway_first_end_seconds{kind=\"crl\",name=\"ARK-Genoa\"} 86400".to_owned(),
        format!(
            "teegate_gateway_endorsement_not_after_timestamp_seconds{{kind=\"crl\",name=\"ARK-Genoa\"}} {}",
            START + 86_400
        ),
        format!("teegate_gateway_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(text.lines().any(|own| own == line), "{line} is not in:\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_alert_fires_when_it_should_and_only_then() {
    let (unproven, _) = two_addresses();
    let (wire, other) = (Wire::connect().await, Wire::connect().await);
    let (first, second) = (Who::new(1).manifest(0, None), Who::new(2).manifest(0, None));
    let mut fired = BTreeSet::new();
    let mut check = |now: BTreeSet<String>, expected: &[&str]| {
        assert_eq!(now, named(expected));
        fired.extend(now);
    };

    let empty = scraped(&unproven).await;
    check(firing(&empty, &empty), &["TeegateGatewayNotReady"]);

    // Everything as it should be, five days before the statement ends that every proof of these tests rests on.
    let (gateway, [one, two]) = two_addresses_at(START - 4 * 86_400);
    let fleet = &gateway.fleet;
    fleet.accept(&one, wire.trusted(&first, 1, FRESH));
    fleet.accept(&two, other.trusted(&second, 1, FRESH));
    gateway.metrics.relayed("default", "answered");
    let well = scraped(&gateway).await;
    for _ in 0..99 {
        gateway.metrics.relayed("default", "answered");
    }
    let later = scraped(&gateway).await;
    check(firing(&well, &later), &[]);

    // One of two is refused: still ready.
    tokio::time::advance(Duration::from_secs(1)).await;
    fleet.reject(&two, &refusal(), 1);
    check(firing(&well, &scraped(&gateway).await), &["TeegateInstanceRejected"]);
    fleet.silent(&two, "timed-out", String::new());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(fleet.accept(&two, other.trusted(&second, 1, Duration::ZERO)));
    fleet.silent(&two, "timed-out", String::new());
    check(firing(&well, &scraped(&gateway).await), &["TeegateInstanceUnreachable"]);
    assert!(fleet.accept(&two, other.trusted(&second, 1, FRESH)));
    check(firing(&well, &scraped(&gateway).await), &[]);

    // One request in twenty is not yet more than one in twenty.
    gateway.metrics.relayed("default", "deadline");
    let counted = scraped(&gateway).await;
    for _ in 0..95 {
        gateway.metrics.relayed("default", "answered");
    }
    for _ in 0..5 {
        gateway.metrics.relayed("default", "deadline");
    }
    check(firing(&counted, &scraped(&gateway).await), &[]);
    gateway.metrics.relayed("default", "deadline");
    check(firing(&counted, &scraped(&gateway).await), &["TeegateRequestsFail"]);

    gateway.metrics.conflicted();
    let conflict = scraped(&gateway).await;
    check(firing(&conflict, &conflict), &[]);
    gateway.metrics.conflicted();
    check(firing(&conflict, &scraped(&gateway).await), &["TeegateIdentityConflict"]);

    gateway.metrics.telemetry_begins();
    let exported = scraped(&gateway).await;
    gateway.metrics.telemetry_exported("spans", 5);
    check(firing(&exported, &scraped(&gateway).await), &[]);
    gateway.metrics.telemetry_dropped("spans", "queue", 1);
    check(firing(&exported, &scraped(&gateway).await), &["TeegateTelemetryLost"]);
    let now = scraped(&gateway).await;

    gateway.reloads.refused("line 147", UnixTime::from_seconds(START));
    check(firing(&now, &scraped(&gateway).await), &["TeegateReloadRefused"]);
    gateway.reloads.taken(PolicyFile::of("test", "a policy"), UnixTime::from_seconds(START));
    check(firing(&now, &scraped(&gateway).await), &[]);

    // Another replica under another policy, and one under the same.
    let mut replicas = scraped(&gateway).await;
    replicas.extend(scraped(&gateway).await.into_iter().map(|sample| sample.with("instance", "b")));
    check(firing(&now, &replicas), &[]);
    gateway.reloads.taken(PolicyFile::of("test", "another policy"), UnixTime::from_seconds(START));
    replicas.extend(scraped(&gateway).await.into_iter().map(|sample| sample.with("instance", "c")));
    check(firing(&now, &replicas), &["TeegatePoliciesDiffer"]);

    for _ in 0..3 {
        let crate::release::Admission::Release(release) = crate::release::admit(fleet, first.digest()) else {
            panic!()
        };
        release.trial.unwrap().failed(tokio::time::Instant::now());
    }
    check(firing(&now, &scraped(&gateway).await), &["TeegateInstanceResting"]);
    tokio::time::advance(Duration::from_secs(10)).await;
    check(firing(&now, &scraped(&gateway).await), &[]);

    let full = crate::testing::peer_of(&gateway.budget, 1);
    let mut kept = Vec::new();
    while let Ok(charge) = full.charge(1 << 16) {
        kept.push(charge);
    }
    let others: Vec<_> = (2..40).map(|source| crate::testing::peer_of(&gateway.budget, source)).collect();
    for other in &others {
        while let Ok(charge) = other.charge(1 << 16) {
            kept.push(charge);
        }
    }
    check(firing(&now, &scraped(&gateway).await), &["TeegateMemoryAlmostFull"]);
    kept.clear();
    check(firing(&now, &scraped(&gateway).await), &[]);

    // Three days before the end, to the second.
    for (seconds_left, expected) in [(259_200, [].as_slice()), (259_199, ["TeegateStatementEndsSoon"].as_slice())] {
        let (gateway, [one, _]) = two_addresses_at(START + 86_400 - seconds_left);
        assert!(gateway.fleet.accept(&one, wire.trusted(&first, 1, FRESH)));
        let now = scraped(&gateway).await;
        check(firing(&now, &now), expected);
    }

    // A certificate that ends within a week, and one on disk that has no key.
    let folder = tempfile::tempdir().unwrap();
    let (mut ends, _) = two_addresses();
    let certificates = shows_certificate(&mut ends, folder.path(), 2026);
    let now = scraped(&ends).await;
    assert_eq!(certificates.not_after().to_string(), "2026-01-02T00:00:00Z", "before the wall clock of these tests");
    check(firing(&now, &now), &["TeegateGatewayNotReady", "TeegateTlsEndsSoon"]);
    let (mut lasts, _) = two_addresses();
    let certificates = shows_certificate(&mut lasts, folder.path(), 2030);
    let now = scraped(&lasts).await;
    check(firing(&now, &now), &["TeegateGatewayNotReady"]);
    std::fs::remove_file(folder.path().join("key.pem")).unwrap();
    for _ in 0..2 {
        let _ = certificates.look();
    }
    let now = scraped(&lasts).await;
    check(firing(&now, &now), &["TeegateGatewayNotReady", "TeegateTlsRefused"]);

    // An issuer of tokens that nobody has asked yet, and who is not there.
    let (mut tokens, _) = two_addresses();
    follows_keys(&mut tokens);
    let now = scraped(&tokens).await;
    check(firing(&now, &now), &["TeegateGatewayNotReady", "TeegateTokenKeysStale"]);

    let all: BTreeSet<String> = promql::rules(RULES).into_iter().map(|(name, _)| name).collect();
    // It takes evidence: see the next test.
    fired.insert("TeegateEvidenceRefusedSoon".to_owned());
    assert_eq!(fired, all, "every rule has fired once");
}

#[tokio::test]
async fn evidence_that_will_be_refused_is_seen_two_weeks_ahead() {
    for (days, is_soon) in [(1, true), (20, false)] {
        let until = START + days * 86_400;
        let platform = move || platform().crl_window(START - 100, Some(until));
        let enclave = Enclave::start(move |who, challenge| honest(who, &platform(), challenge)).await;
        let candidate = enclave.candidate().await.unwrap();
        let proven = candidate.prove(&appraisal_with(revocations(&platform())), LIVES, &clock()).await.unwrap();
        let (gateway, [one, _]) = two_addresses();
        assert!(gateway.fleet.accept(&one, proven));
        let now = scraped(&gateway).await;
        let fires = firing(&now, &now).contains("TeegateEvidenceRefusedSoon");
        assert_eq!(fires, is_soon, "{days}");
        let view = gateway.view(None);
        let proof = view.instances.iter().find_map(|instance| instance.proof.as_ref()).unwrap();
        let forecast = proof.refused_from.as_ref().unwrap();
        assert_eq!(forecast.checks, ["snp.chain.revocation"]);
        assert_eq!(forecast.at, UnixTime::from_seconds(until).to_string(), "{forecast:?}");
    }
}

#[test]
fn a_rule_names_metrics_and_labels_that_there_are() {
    let rules = promql::rules(RULES);
    assert!(rules.len() >= 10, "{rules:?}");
    for (name, expression) in rules {
        for used in promql::selectors(&expression) {
            let row = METRICS.iter().find(|row| row.name == used.name).unwrap_or_else(|| panic!("{name}: {used:?}"));
            assert!(used.labels.keys().all(|label| row.labels.contains(&label.as_str())), "{name}: {used:?}");
        }
        let handbook = include_str!("../../../docs/OPERATIONS.md");
        assert!(handbook.contains(&format!("`{name}`")), "docs/OPERATIONS.md does not say what to do at {name}");
    }
}
