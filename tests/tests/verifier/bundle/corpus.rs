//! Bundles and policies as earlier releases wrote them, in `tests/corpus`: the same verdict, or a stricter one that is listed with its
//! check and since when. Never a laxer one.
//!
//! `TEEGATE_CORPUS=write` writes the folder of this release first; README.md there says when.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use teegate_forge::snp::Product;
use teegate_forge::tdx::Revoked;
use teegate_forge::time::{DAY, YEAR};
use teegate_intake::bundle::{Bundle, Conclusion, Verdict};
use teegate_measurements::{GENUINE, STRICT};
use teegate_tests::harness::note;
use teegate_verifier::{Policy, Tee};

use crate::bundle::{bundle_of, judge_bundle};
use crate::files::{said, status, teegate};
use crate::subject::{Subject, good, snp, tdx};
use crate::tdx_log::booted;

/// The release whose folder is written.
const RELEASE: &str = env!("CARGO_PKG_VERSION");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// One subject a bundle, by the name of its file: accepted in every kind, and refused at every stage.
fn subjects() -> Vec<(&'static str, Subject)> {
    let other = format!("\"{}\"", "ee".repeat(48));
    let altered = |tee: Tee, at: usize| good(tee).with_evidence(|bytes| bytes[at] ^= 1);
    let cut = |tee: Tee| good(tee).with_evidence(|bytes| bytes.truncate(bytes.len() - 1));
    let milan = snp(|device| device.product(Product::Milan).version(2));
    vec![
        ("snp-accepted", good(Tee::SevSnp)),
        ("snp-accepted-milan-v2", milan.under("platform_info", "\"unchecked\"")),
        ("snp-accepted-turin", snp(|device| device.product(Product::Turin))),
        ("snp-accepted-vlek", snp(|device| device.vlek("forged-cloud"))),
        ("snp-accepted-caller", good(Tee::SevSnp).under("report_data", "\"caller\"").asking([0; 64])),
        ("snp-malformed", cut(Tee::SevSnp)),
        ("snp-unauthentic-altered", altered(Tee::SevSnp, 0x50)),
        ("snp-unauthentic-revoked", snp(|device| device.revoke_intermediate())),
        ("snp-unauthentic-no-crl", good(Tee::SevSnp).with_pool(|pool| pool.crls.clear())),
        ("snp-unauthentic-expired", good(Tee::SevSnp).at(good(Tee::SevSnp).now + 40 * YEAR)),
        ("snp-unauthentic-vendors-root", good(Tee::SevSnp).under_vendors()),
        ("snp-unacceptable-debug", snp(|device| device.debug())),
        ("snp-unacceptable-measurement", good(Tee::SevSnp).under("measurement", &other)),
        ("snp-unacceptable-report-data", good(Tee::SevSnp).under("report_data", "\"caller\"").asking([7; 64])),
        ("tdx-accepted", good(Tee::Tdx)),
        ("tdx-accepted-v5", tdx(|platform| platform.version_5(4))),
        ("tdx-accepted-event-log", booted()),
        ("tdx-malformed", cut(Tee::Tdx)),
        ("tdx-unauthentic-altered", altered(Tee::Tdx, 48 + 520)),
        ("tdx-unauthentic-revoked", tdx(|platform| platform.revoke(Revoked::Pck))),
        ("tdx-unauthentic-no-collateral", good(Tee::Tdx).with_pool(|pool| pool.tcb_infos.clear())),
        ("tdx-unauthentic-stale", good(Tee::Tdx).at(good(Tee::Tdx).now + 60 * DAY)),
        ("tdx-unacceptable-debug", tdx(|platform| platform.debug())),
        ("tdx-unacceptable-out-of-date", tdx(|platform| platform.platform_status("OutOfDate"))),
        ("tdx-unacceptable-mrtd", good(Tee::Tdx).under("mrtd", &other)),
    ]
}

/// With no root but the one that the evidence needs: bundles stay small.
fn under_one_root(name: &str, mut subject: Subject) -> Subject {
    let product = match name {
        name if name.contains("milan") => 0,
        name if name.contains("turin") => 2,
        _ => 1,
    };
    if let Some(arks) = &mut subject.policy.amd {
        *arks = vec![arks.swap_remove(product)];
    }
    match subject.tee {
        Tee::SevSnp => subject.policy.intel = None,
        Tee::Tdx => subject.policy.amd = None,
        tee => unreachable!("no case of {tee}"),
    }
    subject
}

/// Policies of this release: the one of the tests, `genuine`, and `strict` with values in it.
fn policies() -> Vec<(&'static str, String)> {
    let mut strict = STRICT.to_owned();
    while let Some((head, tail)) = strict.split_once("\"reference-value-needed\"") {
        let digits = if head.trim_end().ends_with("host_data =") { 64 } else { 96 };
        strict = format!("{head}\"{}\"{tail}", "4d".repeat(digits / 2));
    }
    vec![
        ("tests", under_one_root("", good(Tee::SevSnp)).policy.to_toml()),
        ("genuine", GENUINE.to_owned()),
        ("strict-filled", strict),
    ]
}

fn write() {
    let release = folder().join(RELEASE);
    let _gone = std::fs::remove_dir_all(&release);
    for part in ["bundles", "policies"] {
        std::fs::create_dir_all(release.join(part)).unwrap();
    }
    let mut failed = BTreeSet::new();
    for (name, subject) in subjects() {
        let mut bundle = bundle_of(&under_one_root(name, subject));
        bundle.creator = format!("teegate {RELEASE}");
        // The name says what must come out: a mistake here would be kept for ever.
        let stage = bundle.recorded.stage.as_deref().unwrap_or("accepted");
        assert!(name.split('-').nth(1) == Some(stage), "{name}: {}", bundle.recorded);
        failed.extend(bundle.recorded.failed.clone());
        std::fs::write(release.join(format!("bundles/{name}.json")), bundle.to_text().unwrap()).unwrap();
    }
    assert!(failed.len() >= 12, "{failed:?}");
    for (name, text) in policies() {
        Policy::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        std::fs::write(release.join(format!("policies/{name}.toml")), text).unwrap();
    }
}

/// Where a later release departs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    #[serde(default)]
    stricter: Vec<Departure>,
}

#[derive(Deserialize, Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[serde(deny_unknown_fields)]
struct Departure {
    file: String,
    check: String,
    since: String,
}

/// In what `now` departs from `recorded`: nothing, or the checks any of which may be listed. The error says in what it is laxer.
fn departure(recorded: &Conclusion, now: &Conclusion) -> Result<Vec<String>, String> {
    let beyond: Vec<String> = now.failed.iter().filter(|id| !recorded.failed.contains(id)).cloned().collect();
    match (recorded.verdict, now.verdict) {
        (Verdict::Rejected, Verdict::Accepted) => Err(format!("LAXER: accepted, and was rejected: {recorded}")),
        (Verdict::Accepted, Verdict::Accepted) if now.valid_until == recorded.valid_until => Ok(Vec::new()),
        // RFC 3339 in one zone sorts as text.
        (Verdict::Accepted, Verdict::Accepted) if now.valid_until > recorded.valid_until => {
            Err(format!("LAXER: {now}, and was {recorded}"))
        }
        (Verdict::Accepted, Verdict::Accepted) => Ok(vec!["valid-until".to_owned()]),
        (_, Verdict::Rejected) if now == recorded => Ok(Vec::new()),
        (_, Verdict::Rejected) if beyond.is_empty() => Err(format!("rejected for less: {now}, and was {recorded}")),
        (_, Verdict::Rejected) => Ok(beyond),
    }
}

fn files(part: &str, ending: &str) -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    for release in std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        for file in std::fs::read_dir(release.join(part)).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.strip_prefix(folder()).unwrap().display().to_string();
            assert!(name.ends_with(ending), "{name}");
            files.push((name, file));
        }
    }
    files.sort();
    files
}

#[test]
fn no_release_is_laxer_than_an_earlier_one() {
    match std::env::var("TEEGATE_CORPUS").as_deref() {
        Ok("write") => write(),
        Ok(other) => panic!("TEEGATE_CORPUS={other}: expected `write`, or nothing"),
        Err(_) => {}
    }
    let listed: Listed = toml::from_str(&std::fs::read_to_string(folder().join("stricter.toml")).unwrap()).unwrap();
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    let mut hold_against = |file: &str, departs: Result<Vec<String>, String>| match departs {
        Ok(checks) if checks.is_empty() => {}
        Ok(checks) => match listed.stricter.iter().find(|one| one.file == file && checks.contains(&one.check)) {
            Some(departure) => drop(used.insert(departure.clone())),
            None => wrong.push(format!("{file}: stricter by {checks:?}, and not listed in stricter.toml")),
        },
        Err(laxer) => wrong.push(format!("{file}: {laxer}")),
    };

    let bundles = files("bundles", ".json");
    for (name, path) in &bundles {
        let bundle = Bundle::parse(&std::fs::read(path).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
        if Policy::parse(&bundle.policy.text).is_err() {
            hold_against(name, Ok(vec!["policy".to_owned()]));
            continue;
        }
        let departs = departure(&bundle.recorded, &Conclusion::of(&judge_bundle(&bundle)));
        if departs == Ok(Vec::new()) {
            assert_command_agrees(name, path, &bundle);
        }
        hold_against(name, departs);
    }
    let policies = files("policies", ".toml");
    for (name, path) in &policies {
        let loads = Policy::parse(&std::fs::read_to_string(path).unwrap()).is_ok();
        hold_against(name, Ok(if loads { Vec::new() } else { vec!["policy".to_owned()] }));
    }
    for unused in listed.stricter.iter().filter(|departure| !used.contains(departure)) {
        wrong.push(format!("{unused:?} is listed, and nothing departs so"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(bundles.len() >= 25 && policies.len() >= 3, "{} bundles, {} policies", bundles.len(), policies.len());
    note(&format!("corpus: {} bundles and {} policies of earlier releases, none laxer", bundles.len(), policies.len()));
}

fn assert_command_agrees(name: &str, path: &Path, bundle: &Bundle) {
    let output = teegate(&["bundle", "verify", &path.display().to_string(), "--expect-recorded"]);
    let expected = match bundle.recorded.stage.as_deref() {
        None => 0,
        Some("malformed") => 2,
        Some("unauthentic") => 3,
        Some(_) => 4,
    };
    assert_eq!(status(&output), expected, "{name}: {}{}", said(&output.stdout), said(&output.stderr));
}

/// The judge of the corpus itself: every direction of a departure is told from the others.
#[test]
fn a_laxer_release_would_be_noticed() {
    let rejected = |failed: &[&str]| Conclusion {
        failed: failed.iter().map(|id| (*id).to_owned()).collect(),
        stage: Some("unacceptable".to_owned()),
        valid_until: None,
        verdict: Verdict::Rejected,
    };
    let until = |end: &str| Conclusion {
        failed: Vec::new(),
        stage: None,
        valid_until: Some(end.to_owned()),
        verdict: Verdict::Accepted,
    };
    let (day, next) = (until("2026-06-01T00:00:00Z"), until("2026-06-02T00:00:00Z"));
    for (recorded, now, expected) in [
        (&day, &day, Ok(&[][..])),
        (&day, &next, Err("LAXER")),
        (&next, &day, Ok(&["valid-until"])),
        (&day, &rejected(&["a"]), Ok(&["a"])),
        (&rejected(&["a"]), &day, Err("LAXER")),
        (&rejected(&["a"]), &rejected(&["a", "b"]), Ok(&["b"])),
        (&rejected(&["a", "b"]), &rejected(&["a"]), Err("rejected for less")),
        (&rejected(&["a"]), &rejected(&["a"]), Ok(&[])),
    ] {
        match (departure(recorded, now), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, expected) => panic!("{recorded} then {now}: {found:?}, expected {expected:?}"),
        }
    }
}
