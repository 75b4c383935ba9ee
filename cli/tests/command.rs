//! The `teegate` command from outside: exit status, standard output, standard error, on evidence that published crates carry
//! (`sev` 8.0.0 and `dcap-qvl` 0.7.1, found with `cargo metadata`). Where they have not been fetched, the tests that need them
//! say so, check nothing and are counted as skipped by `ci/test.sh`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up its input should fail where it stands"
)]

mod formats;
mod proxy;
mod terminal;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const MILAN_AT: &str = "2025-06-01T00:00:00Z";
const TDX_AT: &str = "2025-07-01T00:00:00Z";

fn teegate(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_teegate"));
    command.args(args).stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The folder of a published crate, if it has been fetched.
fn published(name: &str, version: &str) -> Option<PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let metadata = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--manifest-path", manifest])
        .output()
        .ok()?;
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).ok()?;
    let package = metadata["packages"].as_array()?.iter().find(|p| p["name"] == name && p["version"] == version)?;
    Some(Path::new(package["manifest_path"].as_str()?).parent()?.to_owned())
}

/// `report` and `endorsements` of a Milan guest, and `quote` and `collateral` of a TD, as arguments.
fn milan() -> Option<[String; 3]> {
    let folder = published("sev", "8.0.0").map(|folder| folder.join("tests/certs_data"));
    let files = folder
        .map(|f| ["report_milan.hex", "vcek_milan.der", "cert_chain_milan"].map(|n| f.join(n).display().to_string()));
    skip_visibly(files, "sev 8.0.0")
}

fn tdx() -> Option<[String; 2]> {
    let folder = published("dcap-qvl", "0.7.1").map(|folder| folder.join("sample"));
    let files = folder.map(|f| ["tdx_quote", "tdx_quote_collateral.json"].map(|n| f.join(n).display().to_string()));
    skip_visibly(files, "dcap-qvl 0.7.1")
}

fn skip_visibly<const N: usize>(files: Option<[String; N]>, from: &str) -> Option<[String; N]> {
    let files = files.filter(|files| files.iter().all(|file| Path::new(file).is_file()));
    if files.is_none() {
        // `ci/test.sh` counts the line.
        let test = std::thread::current();
        let test = test.name().unwrap_or("a test");
        formats::note(&format!(
            "skipped: {test}: the evidence of {from} is not on this machine (`cargo fetch` brings it)"
        ));
    }
    files
}

fn verify_milan<'a>(files: &'a [String; 3], more: &[&'a str]) -> Output {
    let [report, vcek, chain] = files;
    let mut args = vec!["verify", report, "--endorsements", vcek, "--endorsements", chain, "--at", MILAN_AT];
    args.extend(more);
    teegate(&args)
}

#[test]
fn genuine_evidence_is_accepted_and_not_called_safe() {
    let Some(files) = milan() else { return };
    let output = verify_milan(&files, &["--policy", "genuine"]);
    let text = stdout(&output);
    assert_eq!(status(&output), 0, "{text}");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("ACCEPTED: this evidence satisfies the policy `genuine` at 2025-06-01T00:00:00Z."));
    assert!(text.contains("\nGenuine is not safe to send to. "), "{text}");
    assert!(text.contains("\n  ✓ snp.signature "), "{text}");
    assert!(text.contains("\n  ! snp.guest.measurement "), "{text}");
    assert!(text.lines().last().unwrap().starts_with("accepted: "), "{text}");
    assert!(!text.contains('\u{1b}'), "colour without a terminal");
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_quote_with_its_collateral_is_accepted_until_the_collateral_ends() {
    let Some([quote, collateral]) = tdx() else { return };
    let at = |time| teegate(&["verify", &quote, "--endorsements", &collateral, "--policy", "genuine", "--at", time]);
    let output = at(TDX_AT);
    assert_eq!(status(&output), 0, "{}", stdout(&output));
    assert!(stdout(&output).contains("\n  TCB status    "), "{}", stdout(&output));
    // 2025-08-01, in seconds: after the nextUpdate of everything that has one; the CRLs are looked at first.
    let output = at("1754006400");
    assert_eq!(status(&output), 3, "{}", stdout(&output));
    assert!(stdout(&output).contains("\n  ✗ tdx.chain.revocation\n"), "{}", stdout(&output));
}

#[test]
fn a_memory_is_kept_from_run_to_run_and_refuses_what_is_older() {
    let Some([quote, collateral]) = tdx() else { return };
    let folder = tempfile::tempdir().unwrap();
    let memory = folder.path().join("memory.json");
    let verify = || {
        let memory = memory.display().to_string();
        let more = ["--policy", "genuine", "--at", TDX_AT, "--memory", &memory];
        teegate(&[&["verify", &quote, "--endorsements", &collateral], more.as_slice()].concat())
    };
    for _first_and_again in 0..2 {
        assert_eq!(status(&verify()), 0);
    }
    let seen = fs::read_to_string(&memory).unwrap();
    let mut newer: serde_json::Value = serde_json::from_str(&seen).unwrap();
    let (name, number) =
        newer["statements"].as_object_mut().unwrap().iter_mut().find(|(name, _)| name.starts_with("TCB info")).unwrap();
    assert!(name.contains("under Intel SGX Root CA (key a0af031289f5d5d4)"), "{name}");
    *number = serde_json::json!(number.as_u64().unwrap() + 1);
    fs::write(&memory, newer.to_string()).unwrap();
    let refused = verify();
    assert_eq!(status(&refused), 3);
    assert!(stdout(&refused).contains("✗ tdx.collateral.rollback"), "{}", stdout(&refused));
    assert_eq!(fs::read_to_string(&memory).unwrap(), newer.to_string(), "a rejection teaches nothing");

    fs::write(&memory, "[]").unwrap();
    let unreadable = verify();
    assert_eq!(status(&unreadable), 1);
    assert!(stderr(&unreadable).contains("is not the memory of an earlier run"), "{}", stderr(&unreadable));
}

/// Endorsements prove that the hardware is genuine, and not that its measurements are the wanted ones: either way it is said.
#[test]
fn a_policy_out_of_evidence_is_said_to_be_trust_on_first_use() {
    let Some([report, vcek, chain]) = milan() else { return };
    let endorsed = ["--endorsements", &vcek, "--endorsements", &chain, "--at", MILAN_AT];
    for (more, vouched) in [(&endorsed[..], "its maker vouches for it"), (&[], "nothing of it was verified")] {
        let output = teegate(&[&["policy", "init", "--from", &report], more].concat());
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        let (text, said) = (stdout(&output), stderr(&output));
        assert!(text.lines().nth(1).unwrap().starts_with("# This is trust on first use: "), "{text}");
        assert!(text.contains(vouched), "{text}");
        assert!(said.contains("note: This is trust on first use: "), "{said}");
    }
}

#[test]
fn each_kind_of_rejection_has_its_status_its_check_and_its_remedy() {
    let Some(files) = milan() else { return };
    let folder = tempfile::tempdir().unwrap();

    // Malformed: the report is cut by one byte.
    let cut = folder.path().join("cut.hex");
    let digits = fs::read_to_string(&files[0]).unwrap();
    fs::write(&cut, digits.trim().strip_suffix(|_| true).unwrap().strip_suffix(|_| true).unwrap()).unwrap();
    let output = teegate(&["verify", cut.to_str().unwrap(), "--policy", "genuine", "--at", MILAN_AT]);
    let text = stdout(&output);
    assert_eq!(status(&output), 2, "{text}");
    assert!(text.starts_with("REJECTED as malformed: "), "{text}");
    assert!(
        text.contains("  ✗ snp.bytes.length\n      expected   1184 bytes\n      found      1183 bytes\n"),
        "{text}"
    );
    assert!(text.lines().last().unwrap().starts_with("rejected, malformed: snp.bytes.length; "), "{text}");

    // Unauthentic: nothing vouches for it.
    let output = teegate(&["verify", &files[0], "--policy", "genuine", "--at", MILAN_AT]);
    let text = stdout(&output);
    assert_eq!(status(&output), 3, "{text}");
    assert!(text.starts_with("REJECTED as unauthentic: "), "{text}");
    assert!(text.contains("\n  ✗ snp.chain.present\n") && text.contains("; exit status 3\n"), "{text}");

    // Unacceptable: authentic, and made for somebody else.
    let output = verify_milan(&files, &["--policy", "genuine", "--report-data", &"00".repeat(64)]);
    let text = stdout(&output);
    assert_eq!(status(&output), 4, "{text}");
    assert!(text.starts_with("REJECTED as unacceptable: "), "{text}");
    assert!(text.contains("\n  report data   NOT AS EXPECTED: "), "{text}");
    assert!(text.lines().last().unwrap().starts_with("rejected, unacceptable: snp.guest.report-data; "), "{text}");
}

#[test]
fn json_is_the_report_and_nothing_else() {
    let Some(files) = milan() else { return };
    let output = verify_milan(&files, &["--policy", "genuine", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["schema"], "teegate/report/1");
    assert_eq!(report["verdict"], "accepted");
    assert_eq!(report["at"], MILAN_AT);
    assert_eq!(report["facts"]["measurement"].as_str().unwrap().len(), 96);
}

#[test]
fn inspecting_says_first_that_nothing_was_verified() {
    let Some(files) = milan() else { return };
    let output = teegate(&["inspect", &files[0]]);
    let text = stdout(&output);
    assert_eq!(status(&output), 0, "{text}{}", stderr(&output));
    assert!(text.starts_with("NOT VERIFIED. "), "{text}");
    assert!(text.contains("\n  measurement "), "{text}");

    let output = teegate(&["inspect", &files[0], "--format", "json"]);
    let inspection: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(inspection["verified"], false);
    assert_eq!(inspection["facts"]["measurement"].as_str().unwrap().len(), 96);
}

#[test]
fn a_reader_that_goes_away_does_not_change_the_verdict() {
    let Some(files) = milan() else { return };
    let mut child = command(&["verify", &files[0], "--policy", "genuine", "--at", MILAN_AT])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn what_cannot_run_is_status_1_with_the_reason_on_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let quote = path("quote.bin");
    fs::write(&quote, [&[4, 0, 2, 0, 0x81, 0, 0, 0][..], &[0; 700]].concat()).unwrap();
    let report = path("report.bin");
    fs::write(&report, [&[2, 0, 0, 0][..], &[0; 1_180]].concat()).unwrap();
    let text = path("notes.txt");
    fs::write(&text, "hello").unwrap();
    let huge = path("huge");
    fs::File::create(&huge).unwrap().set_len(1 << 30).unwrap();

    for (args, expected) in [
        (vec!["verify", "no/such/file", "--policy", "genuine"], "error: `no/such/file`: cannot be read: ".to_owned()),
        (
            vec!["verify", &quote, "--policy", "genuine", "--endorsements", &huge],
            format!("error: `{huge}`: too large: "),
        ),
        (
            vec!["verify", &quote, "--policy", "genuine", "--endorsements", &text],
            format!("error: `{text}`: not recognised: found text without "),
        ),
        (vec!["verify", &quote, "--policy", "genuine", "--event-log", &huge], format!("error: `{huge}`: too large: ")),
        (
            vec!["verify", &report, "--policy", "genuine", "--event-log", &text],
            "error: an event log belongs to a TDX quote or to evidence of a vTPM, and this is sev-snp evidence; "
                .to_owned(),
        ),
        (
            vec!["verify", &quote],
            "error: no policy given, so there is nothing to hold the evidence against; ".to_owned(),
        ),
        (vec!["verify", &quote, "--policy", "strict"], "error: policy `strict` is a template: ".to_owned()),
        (vec!["verify", &quote, "--policy", &text], format!("error: policy `{text}`: ")),
        (vec!["verify", "--explain", "nonsense"], "error: `nonsense` is not a check; the nearest are ".to_owned()),
        (vec!["verify"], "error: ".to_owned()),
        (
            vec!["verify", &quote, "--at", "yesterday"],
            "error: invalid value 'yesterday' for '--at <TIME>': expected RFC 3339".to_owned(),
        ),
        (
            vec!["verify", &quote, "--report-data", "00"],
            "error: invalid value '00' for '--report-data <HEX>': expected 128".to_owned(),
        ),
        (vec!["certify"], "error: unrecognized subcommand".to_owned()),
        (vec![], String::new()),
    ] {
        let output = teegate(&args);
        assert_eq!(status(&output), 1, "{args:?}");
        assert!(stderr(&output).starts_with(&expected), "{args:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{args:?}");
    }
}

/// Whoever presents evidence chooses its bytes, and must not be able to make a rejection look like a run that failed.
#[test]
fn what_was_read_and_is_no_evidence_is_malformed_and_what_cannot_be_opened_is_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (text, quote, huge) = (path("notes.txt"), path("quote.bin"), path("huge"));
    fs::write(&text, "hello").unwrap();
    fs::write(&quote, [&[4, 0, 2, 0, 0x81, 0, 0, 0][..], &[0; 700]].concat()).unwrap();
    fs::File::create(&huge).unwrap().set_len(1 << 30).unwrap();
    let missing = path("no-such-file");
    for (file, tee, code, expected) in [
        (&missing, "tdx", 1, "cannot be read: "),
        (&text, "", 2, "not recognised: found 5 bytes that begin with 68656c6c6f"),
        (&huge, "", 2, "too large: 1073741824 bytes, at most 4194304 are read; "),
        (&quote, "snp", 2, "is tdx evidence, sev-snp was insisted on; "),
    ] {
        for verb in ["verify", "inspect", "fetch", "bundle create", "bundle verify", "bundle show"] {
            let of_a_bundle = matches!(verb, "bundle verify" | "bundle show");
            let mut args: Vec<&str> = verb.split(' ').chain([file.as_str()]).collect();
            let out = path("out");
            match verb {
                "verify" => args.extend(["--policy", "genuine"]),
                "fetch" => args.extend(["--into", &out]),
                "bundle create" => args.extend(["--policy", "genuine", "--output", &out]),
                _ => {}
            }
            if !tee.is_empty() && !of_a_bundle {
                args.extend(["--tee", tee]);
            }
            let output = teegate(&args);
            let said = stderr(&output);
            assert_eq!((status(&output), stdout(&output)), (code, String::new()), "{args:?}: {said}");
            assert!(said.starts_with(&format!("error: `{file}`: ")), "{args:?}: {said}");
            assert!(of_a_bundle || said.contains(expected), "{args:?}: {said}");
            assert!(!Path::new(&out).exists(), "{args:?}");
        }
    }
}

#[test]
fn help_version_and_explanations_are_answers() {
    for args in [&["--help"][..], &["--version"], &["verify", "--help"], &["verify", "--explain", "snp.signature"]] {
        let output = teegate(args);
        assert_eq!((status(&output), stderr(&output)), (0, String::new()), "{args:?}");
        assert_ne!(stdout(&output), "");
    }
    let help = stdout(&teegate(&["--help"])).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        help.contains("rejected as 2 malformed (what was read and is no evidence, or an altered bundle, included), 3")
    );
    assert!(
        stdout(&teegate(&["verify", "--explain", "snp.signature"])).starts_with("snp.signature\n\n  establishes   ")
    );
}

#[test]
fn strangers_in_a_folder_are_passed_over_aloud() {
    let Some([quote, collateral]) = tdx() else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::copy(collateral, folder.path().join("collateral.json")).unwrap();
    fs::write(folder.path().join("README"), "what this is").unwrap();
    let output = teegate(&[
        "verify",
        &quote,
        "--endorsements",
        folder.path().to_str().unwrap(),
        "--policy",
        "genuine",
        "--at",
        TDX_AT,
    ]);
    assert_eq!(status(&output), 0, "{}", stdout(&output));
    let readme = folder.path().join("README").display().to_string();
    let expected = "holds no endorsement and is passed over: text without a PEM block or a JSON object";
    assert_eq!(stderr(&output), format!("note: `{readme}` {expected}\n"));
}

/// `teegate infer` with nobody at the gateway's address, and what `more` adds.
fn infer(folder: &Path, more: &[&str]) -> Output {
    let input = folder.join("request.json");
    fs::write(&input, r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[0.5]}]}"#).unwrap();
    let input = input.display().to_string();
    let mut args = vec!["infer", "--gateway", "http://127.0.0.1:1", "--model", "m", "--input", &input];
    args.extend_from_slice(&["--policy", "genuine"]);
    args.extend_from_slice(more);
    teegate(&args)
}

#[test]
fn an_earlier_report_is_kept_until_there_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    fs::write(&report, "of an earlier run").unwrap();
    let output = infer(folder.path(), &["--report", &report.display().to_string()]);
    assert_eq!(status(&output), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains("nothing was sealed"), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(&report).unwrap(), "of an earlier run");
    let nowhere = infer(folder.path(), &["--report", "no-such-folder/report.json"]);
    assert!(stderr(&nowhere).contains("cannot write no-such-folder"), "before the gateway is asked");
}

#[test]
fn infer_waits_as_long_as_it_is_told_or_says_that_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let accepted = infer(folder.path(), &["--wait", "30", "--hold", "120"]);
    assert!(stderr(&accepted).contains("no connection to the gateway"), "{}", stderr(&accepted));
    for (option, more_than_there_is) in [("--wait", "31"), ("--hold", "121")] {
        let refused = infer(folder.path(), &[option, more_than_there_is]);
        assert_eq!(status(&refused), 1);
        assert!(stderr(&refused).contains(option), "{}", stderr(&refused));
    }
    let help = stdout(&teegate(&["infer", "--help"]));
    assert!(
        help.contains("--hold") && !help.contains("genuine"),
        "`genuine` says nothing of what it is bound to: {help}"
    );
}

/// A request may hold secrets where a mistake stands.
#[test]
fn infer_tells_where_a_request_is_wrong_and_does_not_repeat_it() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("wrong.json");
    fs::write(&input, r#"{"inputs":"canary-7f3a91c2e5"}"#).unwrap();
    let input = input.display().to_string();
    let args = ["infer", "--gateway", "http://127.0.0.1:1", "--model", "m", "--input", &input, "--policy", "genuine"];
    let output = teegate(&args);
    assert_eq!(status(&output), 1);
    assert!(stderr(&output).contains("`inputs` is not an array of at most 1024 objects"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("canary"), "{}", stderr(&output));
}
