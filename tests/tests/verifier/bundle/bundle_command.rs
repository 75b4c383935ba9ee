//! `teegate bundle` as its user would have it: evidence and endorsements in files, one bundle out of them, verified in another
//! folder where nothing else is and no network exists.

use std::path::PathBuf;

use serde_json::Value;
use teegate_intake::bundle::Conclusion;
use teegate_tests::harness::{Scratch, note};
use teegate_tests::isolation::without_network;
use teegate_verifier::Tee;

use crate::files::{Files, report, said, status, teegate};
use crate::subject::good;

#[test]
fn a_bundle_verifies_in_another_folder_without_any_network() {
    let mut run = 0;
    for tee in [Tee::SevSnp, Tee::Tdx] {
        let files = Files::of(&good(tee));
        let bundle = files.path("bundle.json");
        let created = files.create(&bundle, &[]);
        assert_eq!(status(&created), 0, "{}{}", said(&created.stdout), said(&created.stderr));
        let mut direct = vec!["verify", "--format", "json"];
        let options = files.options();
        direct.extend(options.iter().map(String::as_str));
        let direct = teegate(&direct);

        // Elsewhere, with everything that it was made from gone.
        let elsewhere = Scratch::new();
        std::fs::copy(&bundle, elsewhere.path().join("copy")).unwrap();
        drop(files);
        let Some(output) = without_network(elsewhere.path(), &["bundle", "verify", "copy", "--format", "json"]) else {
            note("not run: bundles in an empty network namespace (`unshare -rn` is not allowed here)");
            return;
        };
        assert_eq!(status(&output), 0, "{}", said(&output.stderr));
        assert_eq!(without_bringers(report(&output)), without_bringers(report(&direct)), "{tee}");
        let text = without_network(elsewhere.path(), &["bundle", "verify", "copy"]).unwrap();
        assert_eq!(status(&text), 0);
        assert!(said(&text.stdout).contains("\nACCEPTED: this evidence satisfies the policy `policy.toml` at "));
        run += 2;
    }
    note(&format!("bundles verified in an empty network namespace: {run} of 4"));
    assert_eq!(run, 4);
}

/// A report without who brought what: the same bytes came in files, or in a bundle.
fn without_bringers(mut report: Value) -> Value {
    report["inputs"] = Value::Null;
    for endorsement in report["endorsements"].as_array_mut().unwrap() {
        endorsement["source"] = Value::Null;
        endorsement["from"] = Value::Null;
    }
    report
}

#[test]
fn the_same_files_make_the_same_bundle_and_none_is_replaced_unasked() {
    let files = Files::of(&good(Tee::SevSnp));
    let [first, second] = ["first", "second"].map(|name| files.path(name));
    for output in [&first, &second] {
        assert_eq!(status(&files.create(output, &[])), 0);
    }
    let bytes = std::fs::read(&first).unwrap();
    assert_eq!(bytes, std::fs::read(&second).unwrap());

    std::fs::write(&second, "mine").unwrap();
    let refused = files.create(&second, &[]);
    assert_eq!(status(&refused), 1);
    assert!(said(&refused.stderr).contains("it exists already; name another file, or give `--force`"));
    assert_eq!(std::fs::read(&second).unwrap(), b"mine");
    assert_eq!(status(&files.create(&second, &["--force"])), 0);
    assert_eq!(bytes, std::fs::read(&second).unwrap());

    // What could not be taken in leaves nothing behind.
    let nothing = files.path("nothing");
    std::fs::write(&files.evidence, "no evidence").unwrap();
    assert_eq!(status(&files.create(&nothing, &[])), 2);
    assert!(!PathBuf::from(nothing).exists());
}

#[test]
fn a_rejection_is_kept_too_and_said_to_be_one() {
    let files = Files::of(&good(Tee::SevSnp).at(0));
    let bundle = files.path("bundle");
    let created = files.create(&bundle, &[]);
    assert_eq!(status(&created), 3, "{}", said(&created.stdout));
    assert!(said(&created.stderr).contains("what it holds is REJECTED"), "{}", said(&created.stderr));
    assert!(said(&created.stdout).contains("rejected, unauthentic: snp.chain.validity"), "{}", said(&created.stdout));
    let verified = teegate(&["bundle", "verify", &bundle, "--expect-recorded"]);
    assert_eq!(status(&verified), 3, "{}", said(&verified.stderr));
    assert!(said(&verified.stdout).contains("which concluded: rejected, unauthentic: snp.chain.validity"));
}

#[test]
fn another_question_is_said_to_be_another() {
    let files = Files::of(&good(Tee::SevSnp));
    let bundle = files.path("bundle");
    files.create(&bundle, &[]);
    let own = said(&teegate(&["bundle", "verify", &bundle]).stdout);
    assert!(own.contains("AND PINS ROOTS OF ITS OWN") && !own.contains("Another question"), "{own}");

    let genuine = teegate(&["bundle", "verify", &bundle, "--policy", "genuine"]);
    assert_eq!(status(&genuine), 3);
    let text = said(&genuine.stdout);
    assert!(text.contains("was asked: policy `genuine` and not its own, `policy.toml`; at 20"), "{text}");
    assert!(text.contains(&format!(", now, and not {}.", files.at)), "{text}");
    assert!(text.contains("✗ snp.chain.ark-pinned"), "{text}");

    let later = teegate(&["bundle", "verify", &bundle, "--at", "2090-01-01T00:00:00Z", "--format", "json"]);
    assert_eq!((status(&later), &report(&later)["at"]), (3, &Value::from("2090-01-01T00:00:00Z")));
    assert!(said(&later.stderr).contains("note: Another question than the bundle's own was asked: at 2090-"));

    let data = "ab".repeat(64);
    let other = teegate(&["bundle", "verify", &bundle, "--report-data", &data]);
    assert!(said(&other.stdout).contains("report data of your own"), "{}", said(&other.stdout));
    let both = teegate(&["bundle", "verify", &bundle, "--expect-recorded", "--at", "0"]);
    assert_eq!(status(&both), 1);
}

/// A bundle that records another conclusion than this release draws: as one from another release might.
#[test]
fn a_verdict_that_changed_is_said_and_is_an_error_where_it_must_not() {
    let files = Files::of(&good(Tee::SevSnp));
    let bundle = files.path("bundle");
    files.create(&bundle, &[]);
    let mut read = teegate_intake::bundle::Bundle::parse(&std::fs::read(&bundle).unwrap()).unwrap();
    assert_eq!(status(&teegate(&["bundle", "verify", &bundle, "--expect-recorded"])), 0, "the twin");

    read.recorded.valid_until = Some("2099-01-01T00:00:00Z".to_owned());
    read.creator = "teegate 9.9.9\u{1b}[2J".to_owned();
    std::fs::write(&bundle, read.to_text().unwrap()).unwrap();
    let output = teegate(&["bundle", "verify", &bundle]);
    let text = said(&output.stdout);
    assert_eq!(status(&output), 0);
    assert!(text.contains("made by teegate 9.9.9\\u{1b}[2J, which concluded: accepted, valid until 2099-"), "{text}");
    assert!(text.contains("THIS RELEASE CONCLUDES OTHERWISE") && !text.contains('\u{1b}'), "{text}");
    assert!(text.contains("Accepted then and now: the verdict ends at another time."), "{text}");
    let output = teegate(&["bundle", "verify", &bundle, "--expect-recorded"]);
    assert_eq!((status(&output), said(&output.stdout)), (1, String::new()));
    assert!(said(&output.stderr).contains("the verdict is not the recorded one"), "{}", said(&output.stderr));
}

/// In which direction another release departs from the one that made the bundle, by the checks that it departs in.
#[test]
fn a_stricter_release_names_the_check_that_made_it_stricter() {
    let accepted = Files::of(&good(Tee::SevSnp));
    let rejected = Files::of(&good(Tee::SevSnp).under("measurement", &format!("\"{}\"", "ee".repeat(48))));
    let [good, bad] = [&accepted, &rejected].map(|files| {
        let path = files.path("bundle");
        files.create(&path, &[]);
        teegate_intake::bundle::Bundle::parse(&std::fs::read(path).unwrap()).unwrap()
    });
    for (files, mut bundle, recorded, code, expected) in [
        (
            &accepted,
            good.clone(),
            bad.recorded.clone(),
            0,
            "It is LAXER, which no release should be: `snp.guest.measurement` refused for",
        ),
        (
            &rejected,
            bad.clone(),
            good.recorded.clone(),
            4,
            "It is STRICTER: `snp.guest.measurement` refuses what teegate tests accepted.",
        ),
        (
            &rejected,
            bad.clone(),
            Conclusion { failed: vec!["snp.chain.present".to_owned(), "x".repeat(4_000)], ..bad.recorded.clone() },
            4,
            "Rejected then and now: `snp.guest.measurement` fails now, `snp.chain.present`, `xxxx",
        ),
    ] {
        bundle.recorded = recorded;
        bundle.creator = "teegate tests".to_owned();
        let path = files.path("other");
        std::fs::write(&path, bundle.to_text().unwrap()).unwrap();
        let output = teegate(&["bundle", "verify", &path]);
        let text = said(&output.stdout);
        assert_eq!(status(&output), code, "{text}");
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains(&"x".repeat(81)), "{text}");
    }
}

/// Whoever makes a bundle writes its names, as long as a bundle may be.
#[test]
fn little_is_repeated_of_what_a_bundle_says_of_itself() {
    let files = Files::of(&good(Tee::SevSnp));
    let bundle = files.path("bundle");
    files.create(&bundle, &[]);
    let mut read = teegate_intake::bundle::Bundle::parse(&std::fs::read(&bundle).unwrap()).unwrap();
    let long = "x".repeat(200_000);
    read.creator.clone_from(&long);
    read.policy.name.clone_from(&long);
    read.recorded = Conclusion {
        failed: vec![long.clone(); 3],
        stage: Some("unacceptable".to_owned()),
        valid_until: None,
        verdict: teegate_intake::bundle::Verdict::Rejected,
    };
    std::fs::write(&bundle, read.to_text().unwrap()).unwrap();
    let memory = files.scratch.write("memory.json", &format!("{{\"schema\":\"{long}\"}}"));
    let options = files.options();
    let with_memory: Vec<&str> =
        ["verify", "--memory", &memory].into_iter().chain(options.iter().map(String::as_str)).collect();
    for (args, code) in [
        (vec!["bundle", "show", &bundle], 0),
        (vec!["bundle", "verify", &bundle], 0),
        (vec!["bundle", "verify", &bundle, "--expect-recorded"], 1),
        (vec!["bundle", "verify", &bundle, "--format", "junit"], 0),
        (vec!["bundle", "verify", &bundle, "--format", "sarif"], 0),
        (vec!["bundle", "verify", &bundle, "--policy", &files.policy, "--at", &files.at], 0),
        (with_memory, 1),
    ] {
        let output = teegate(&args);
        let words = said(&output.stdout) + &said(&output.stderr);
        assert_eq!(status(&output), code, "{args:?}: {words:.400}");
        assert!(!words.contains(&"x".repeat(81)), "{args:?}: {} bytes", words.len());
    }
}

/// What a loader of another release refuses is no verdict, and says whose text it was and where it stops.
#[test]
fn a_bundle_whose_own_policy_no_longer_loads_could_not_be_asked() {
    let files = Files::of(&good(Tee::SevSnp));
    let bundle = files.path("bundle");
    files.create(&bundle, &[]);
    let mut read = teegate_intake::bundle::Bundle::parse(&std::fs::read(&bundle).unwrap()).unwrap();
    read.policy.text += &format!("\nunheard_of = \"{}\"\n", "y".repeat(200_000));
    std::fs::write(&bundle, read.to_text().unwrap()).unwrap();
    let output = teegate(&["bundle", "verify", &bundle]);
    let words = said(&output.stderr);
    assert_eq!((status(&output), said(&output.stdout)), (1, String::new()), "{words}");
    assert!(words.starts_with("error: the bundle's own policy, `policy.toml`, was written by teegate "), "{words}");
    assert!(words.contains("give `--policy` to ask one of your own") && words.contains("unheard_of"), "{words}");
    assert!(words.len() < 2_000 && !words.contains(&"y".repeat(81)), "{}", words.len());
    let mine = teegate(&["bundle", "verify", &bundle, "--policy", &files.policy, "--at", &files.at]);
    assert_eq!(status(&mine), 0, "the twin: {}{}", said(&mine.stdout), said(&mine.stderr));
}

#[test]
fn a_bundle_shows_what_it_holds_and_is_evidence_without_its_question() {
    let files = Files::of(&good(Tee::Tdx));
    let bundle = files.path("bundle");
    files.create(&bundle, &[]);
    let shown = said(&teegate(&["bundle", "show", &bundle]).stdout);
    assert!(shown.starts_with("NOT VERIFIED."), "{shown}");
    for word in ["tcb-info", "qe-identity", "crl", "certificate", "`policy.toml`", "accepted, valid until"] {
        assert!(shown.contains(word), "{word} in {shown}");
    }
    let json = report(&teegate(&["bundle", "show", &bundle, "--format", "json"]));
    assert_eq!((&json["verified"], &json["tee"]), (&Value::from(false), &Value::from("tdx")));
    assert!(json["endorsements"].as_array().unwrap().iter().all(|entry| entry["until"].is_string()), "{json}");

    let verified = teegate(&["verify", &bundle, "--policy", &files.policy, "--at", &files.at]);
    assert_eq!(status(&verified), 0, "{}", said(&verified.stdout));
    assert!(said(&verified.stderr).contains("its policy, time and report data do not"), "{}", said(&verified.stderr));
    assert_eq!(status(&teegate(&["verify", &bundle, "--policy", "genuine", "--at", &files.at])), 3);
    assert!(said(&teegate(&["inspect", &bundle]).stdout).contains("found as teegate bundle, with "));

    let cut = std::fs::read(&bundle).unwrap();
    std::fs::write(&bundle, &cut[..cut.len() / 2]).unwrap();
    for verb in ["show", "verify"] {
        let refused = teegate(&["bundle", verb, &bundle]);
        assert_eq!((status(&refused), said(&refused.stdout)), (2, String::new()), "{verb}");
        assert!(said(&refused.stderr).contains("not a well-formed bundle"), "{}", said(&refused.stderr));
    }
}
