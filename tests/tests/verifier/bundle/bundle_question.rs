//! A bundle answers its maker's question. With a policy of the verifier's own, the stranger who made it is not the caller: neither
//! its time nor its report data count, and every format says of every input whose it was.

use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use teegate_forge::time::{AT, DAY};
use teegate_verifier::Tee;

use crate::files::{Files, report, said, status, teegate};
use crate::subject::{Subject, snp};
use crate::tdx_log::booted;

/// A bundle whose maker named the report data that is in its evidence, and a policy of somebody else's beside it.
struct Stranger {
    files: Files,
    bundle: String,
    mine: String,
    tee: Tee,
}

impl Stranger {
    fn of(subject: Subject) -> Self {
        let tee = subject.tee;
        let subject = subject.under("report_data", "\"caller\"");
        let files = Files::of(&subject);
        let bundle = files.path("att.json");
        let created = files.create(&bundle, &["--report-data", DATA]);
        assert_eq!(status(&created), 0, "{}{}", said(&created.stdout), said(&created.stderr));
        let mine =
            files.scratch.write("mine.toml", &subject.policy.to_toml().replace("name = \"forged\"", "name = \"mine\""));
        Self { files, bundle, mine, tee }
    }

    fn both() -> [Self; 2] {
        // Lists that have run out by any clock that this test can meet.
        [Self::of(snp(|device| device.crl_window(AT - DAY, Some(AT + DAY)))), Self::of(booted())]
    }

    fn verify(&self, more: &[&str]) -> Output {
        teegate(&[&["bundle", "verify", &self.bundle], more].concat())
    }

    /// The options for a format; a signing key lies beside the bundle afterwards.
    fn format(&self, format: &str) -> Vec<String> {
        let mut options = vec!["--format".to_owned(), format.to_owned()];
        if format == "ear" {
            let key = STANDARD.encode(rcgen::KeyPair::generate().unwrap().serialize_der());
            let pem = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
            options.extend(["--ear-key".to_owned(), self.files.scratch.write("key.pem", &pem)]);
        }
        options
    }
}

/// What the forged devices carry.
const DATA: &str = "\
    0000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000";

const FORMATS: [&str; 5] = ["text", "json", "junit", "sarif", "ear"];

/// Whose every input was, and whether the verdict is a replay, as this format says it.
fn inputs(format: &str, output: &Output, tee: Tee) -> Value {
    let text = said(&output.stdout);
    match format {
        "text" => from_text(&text),
        "json" => {
            let report = report(output);
            with_replay(report["inputs"].clone(), report["replayed"].clone())
        }
        "junit" => from_junit(&text),
        "sarif" => {
            let log: Value = serde_json::from_str(&text).unwrap();
            let properties = &log["runs"][0]["properties"];
            with_replay(properties["inputs"].clone(), properties["replayed"].clone())
        }
        _ => {
            let claims = claims(&text);
            let claims = &claims["submods"][tee.name()]["ear_verifier_claims"];
            with_replay(claims["inputs"].clone(), claims["replayed"].clone())
        }
    }
}

fn with_replay(mut inputs: Value, replayed: Value) -> Value {
    inputs["replayed"] = replayed;
    inputs
}

fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap_or_else(|| panic!("no token: {token}"));
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

fn from_text(text: &str) -> Value {
    let line = text.lines().find_map(|line| line.strip_prefix("  inputs        ")).unwrap_or_else(|| panic!("{text}"));
    let said: Vec<(&str, Value)> = line
        .split("; ")
        .map(|part| {
            let (name, whose) = part.split_once(": ").unwrap();
            let word = |whose: &str| match whose {
                "yours" => json!("supplied"),
                "the bundle's" => json!("bundle"),
                "the evidence's" => json!("evidence"),
                "now" => json!("now"),
                "none" | "nobody named any" => Value::Null,
                other => panic!("{other}"),
            };
            let all = whose.split(" and ").map(word).collect::<Vec<_>>();
            let name = match name {
                "time" => "at",
                "report data" => "report_data",
                "event log" => "event_log",
                name => name,
            };
            (name, if name == "endorsements" { json!(all) } else { all[0].clone() })
        })
        .collect();
    let inputs = said.into_iter().map(|(name, whose)| (name.to_owned(), whose)).collect();
    with_replay(
        Value::Object(inputs),
        json!(text.contains("\nA replay: that time was named, and is not the present.\n")),
    )
}

fn from_junit(text: &str) -> Value {
    let property = |name: &str| {
        let start = format!("<property name=\"{name}\" value=\"");
        let (_, rest) = text.split_once(&start).unwrap_or_else(|| panic!("no {name} in {text}"));
        rest.split_once('"').unwrap().0.to_owned()
    };
    let whose = |name: &str| match property(&format!("input.{name}")).as_str() {
        "nobody" => Value::Null,
        whose => json!(whose),
    };
    let mut inputs = json!({});
    for name in ["policy", "at", "report_data", "event_log"] {
        inputs[name] = whose(name);
    }
    inputs["endorsements"] = json!(property("input.endorsements").split(", ").collect::<Vec<_>>());
    with_replay(inputs, json!(property("replayed") == "true"))
}

#[test]
fn every_format_says_of_every_input_whose_it_was() {
    for stranger in Stranger::both() {
        let log = if stranger.tee == Tee::Tdx { json!("bundle") } else { Value::Null };
        let inputs_of = |policy: &str, at: &str, report_data: Value, replayed: bool| {
            json!({
                "policy": policy, "at": at, "report_data": report_data, "event_log": log,
                "endorsements": ["bundle"], "replayed": replayed,
            })
        };
        let at = stranger.files.at.clone();
        let own: [(&[&str], Value); 3] = [
            (&[], inputs_of("bundle", "bundle", json!("bundle"), true)),
            (&["--at", &at], inputs_of("bundle", "supplied", json!("bundle"), true)),
            (&["--report-data", DATA], inputs_of("bundle", "bundle", json!("supplied"), true)),
        ];
        let policy = ["--policy", &stranger.mine, "--report-data", DATA];
        let other: [(Vec<&str>, i32, Value); 2] = [
            ([&policy[..], &["--at", &at]].concat(), 0, inputs_of("supplied", "supplied", json!("supplied"), true)),
            // The bundle's time does not count: now, its lists have long run out.
            (policy.to_vec(), 3, inputs_of("supplied", "now", json!("supplied"), false)),
        ];
        for format in FORMATS {
            let options = stranger.format(format);
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            for (more, expected) in &own {
                let output = stranger.verify(&[more, &options[..]].concat());
                if format == "ear" {
                    let words = said(&output.stderr);
                    assert_eq!((status(&output), said(&output.stdout)), (1, String::new()), "{words}");
                    assert!(
                        words.contains("would put your signature under a question that whoever made the bundle asked")
                    );
                    continue;
                }
                assert_eq!(status(&output), 0, "{format} {more:?}: {}", said(&output.stdout));
                assert_eq!(inputs(format, &output, stranger.tee), *expected, "{format} {more:?}");
            }
            for (more, code, expected) in &other {
                let output = stranger.verify(&[more, &options[..]].concat());
                assert_eq!(status(&output), *code, "{format} {more:?}: {}", said(&output.stdout));
                assert_eq!(inputs(format, &output, stranger.tee), *expected, "{format} {more:?}");
            }
        }
    }
}

/// The same of evidence in files: everything is the user's but what came along.
#[test]
fn evidence_in_files_says_it_in_every_format_too() {
    for stranger in Stranger::both() {
        let Files { evidence, policy, at, .. } = &stranger.files;
        let endorsements = stranger.files.path("endorsements");
        let plain = ["verify", evidence, "--policy", policy, "--report-data", DATA, "--at", at];
        let log = stranger.files.path("event-log.bin");
        let mut files = [&plain[..], &["--endorsements", &endorsements]].concat();
        let bundle = [&["verify", &stranger.bundle], &plain[2..]].concat();
        let (mut logs, tdx) = ([Value::Null, Value::Null], stranger.tee == Tee::Tdx);
        if tdx {
            files.extend(["--event-log", &log]);
            logs = [json!("supplied"), json!("bundle")];
        }
        for format in FORMATS {
            let options = stranger.format(format);
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            for (args, log, whose) in [(&files, &logs[0], "supplied"), (&bundle, &logs[1], "bundle")] {
                let output = teegate(&[args, &options[..]].concat());
                assert_eq!(status(&output), 0, "{format} {args:?}: {}{}", said(&output.stdout), said(&output.stderr));
                let expected = json!({
                    "policy": "supplied", "at": "supplied", "report_data": "supplied", "event_log": log,
                    "endorsements": [whose], "replayed": true,
                });
                assert_eq!(inputs(format, &output, stranger.tee), expected, "{format} {args:?}");
            }
        }
    }
}

/// The maker of a bundle names the report data that its evidence carries, and is not the caller of anybody's policy but its own.
#[test]
fn whoever_made_the_bundle_is_not_the_caller() {
    for stranger in Stranger::both() {
        let mine = ["--policy", &stranger.mine, "--at", &stranger.files.at];
        for format in FORMATS {
            let options = stranger.format(format);
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            let refused = stranger.verify(&[&mine[..], &options].concat());
            let words = said(&refused.stderr);
            assert_eq!((status(&refused), said(&refused.stdout)), (1, String::new()), "{format}");
            assert!(words.contains("give `--report-data HEX`") && words.contains("nothing was judged"), "{words}");
        }
        // The same question to the same evidence in a file.
        let Files { evidence, at, .. } = &stranger.files;
        let endorsements = stranger.files.path("endorsements");
        for verb in [&["verify"][..], &["bundle", "create", "--output", "nowhere"]] {
            let question = [evidence, "--endorsements", &endorsements, "--policy", &stranger.mine, "--at", at];
            let refused = teegate(&[verb, &question].concat());
            assert_eq!((status(&refused), said(&refused.stdout)), (1, String::new()), "{verb:?}");
            assert!(said(&refused.stderr).contains("give `--report-data HEX`"), "{}", said(&refused.stderr));
        }
        // A challenge of the verifier's own is not in it, and is what is compared.
        let challenge = "c1".repeat(64);
        let relayed = stranger.verify(&[&mine[..], &["--report-data", &challenge]].concat());
        assert_eq!(status(&relayed), 4, "{}", said(&relayed.stdout));
        assert!(
            said(&relayed.stdout).contains("guest.report-data\n") || said(&relayed.stdout).contains("td.report-data\n")
        );
        assert!(said(&relayed.stdout).contains(&format!("expected   {challenge}")), "{}", said(&relayed.stdout));
    }
}

/// The nonce of a signed result is what the relying party asked for, and nothing else.
#[test]
fn the_nonce_of_a_result_is_the_command_lines_alone() {
    for stranger in Stranger::both() {
        let fixed = stranger.files.scratch.write(
            "fixed.toml",
            &std::fs::read_to_string(&stranger.mine)
                .unwrap()
                .replace("report_data = \"caller\"", "report_data = \"unchecked\""),
        );
        let options = stranger.format("ear");
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        for (more, nonce) in
            [(&[][..], Value::Null), (&["--report-data", DATA], json!(URL_SAFE_NO_PAD.encode([0; 64])))]
        {
            let args = ["--policy", &fixed, "--at", &stranger.files.at];
            let output = stranger.verify(&[&args[..], more, &options].concat());
            assert_eq!(status(&output), 0, "{}", said(&output.stderr));
            let claims = claims(&said(&output.stdout));
            assert_eq!(claims["submods"][stranger.tee.name()]["eat_nonce"], nonce, "{more:?}");
        }
    }
}
