//! `teegate record` in a forged guest, over the real CoCo guest API on loopback; then a bundle, then another folder without any
//! network. The hardware is forged and under roots of its own: this proves the plumbing and not the silicon.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use teegate_tests::harness::{Guest, Scratch, binary, note};

async fn teegate(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(binary("teegate"));
    command.current_dir(folder).args(arguments).output().await.unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn source(guest: &Guest) -> String {
    format!("coco=http://{}", guest.program.address("listening"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_in_a_guest_is_verified_elsewhere_out_of_a_bundle() {
    for tee in ["snp", "tdx"] {
        let scratch = Scratch::new();
        let guest = Guest::start(&scratch, "guest", &["--tee", tee]).await;
        let policy = scratch.write("policy.toml", &guest.policy());
        let data = "a5".repeat(64);
        let arguments = ["record", "--into", "recorded", "--report-data", &data, "--source", &source(&guest)];
        let recorded = teegate(scratch.path(), &arguments).await;
        assert_eq!(status(&recorded), 0, "{}", said(&recorded.stderr));
        let words = said(&recorded.stdout);
        assert!(
            words.contains("NOT VERIFIED.") && words.contains("teegate fetch recorded/evidence.bin --into"),
            "{words}"
        );

        let folder = scratch.path().join("recorded");
        let manifest: Value = serde_json::from_slice(&std::fs::read(folder.join("recorded.json")).unwrap()).unwrap();
        assert_eq!(manifest["schema"], "teegate/recorded/1");
        assert_eq!(
            (&manifest["report_data"], &manifest["files"][0]["name"]),
            (&data.as_str().into(), &"evidence.bin".into())
        );
        let length = std::fs::metadata(folder.join("evidence.bin")).unwrap().len();
        assert_eq!(manifest["files"][0]["bytes"], length);

        let endorsements = guest.endorsements().display().to_string();
        let at = manifest["at"].as_str().unwrap();
        let arguments = ["bundle", "create", "recorded/evidence.bin", "--endorsements", "recorded/endorsements"];
        let more = ["--endorsements", &endorsements, "--policy", &policy, "--at", at, "--report-data", &data];
        let created = teegate(scratch.path(), &[&arguments[..], &more, &["--output", "bundle.json"]].concat()).await;
        assert_eq!(status(&created), 0, "{}{}", said(&created.stdout), said(&created.stderr));

        let elsewhere = Scratch::new();
        std::fs::copy(scratch.path().join("bundle.json"), elsewhere.path().join("bundle.json")).unwrap();
        drop((guest, scratch));
        let verified = teegate(elsewhere.path(), &["bundle", "verify", "bundle.json"]).await;
        assert_eq!(status(&verified), 0, "{}", said(&verified.stdout));
        let mut isolated = tokio::process::Command::new("unshare");
        isolated.args(["-rn"]).arg(binary("teegate")).args(["bundle", "verify", "bundle.json"]);
        match isolated.current_dir(elsewhere.path()).output().await {
            Ok(output) if !said(&output.stderr).contains("unshare") => {
                assert_eq!(output.stdout, verified.stdout, "{}", said(&output.stderr));
                note(&format!("recorded in a forged guest ({tee}), verified without a network: 1 of 1"));
            }
            _ => note("not run: recorded evidence in an empty network namespace (`unshare -rn` is not allowed here)"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_fails_says_why_and_leaves_nothing() {
    let scratch = Scratch::new();
    let replaying = Guest::start(&scratch, "replaying", &["--replay"]).await;
    let replayed = source(&replaying);
    let first = teegate(scratch.path(), &["record", "--into", "first", "--nonce", "01", "--source", &replayed]).await;
    assert_eq!(status(&first), 0, "the twin: {}", said(&first.stderr));
    let failing = Guest::start(&scratch, "failing", &["--fail-after", "0"]).await;
    let gone = Guest::start(&scratch, "gone", &[]).await;
    let nowhere = source(&gone);
    drop(gone);
    for (source, expected) in [
        (replayed.as_str(), "carries other report data than was asked for: asked 02000000"),
        (&source(&failing), "refused with status 500 Internal Server Error: the forged device fails"),
        (&nowhere, "could not be asked: "),
        (
            "configfs-tsm=no/such/folder",
            "configfs-tsm (no/such/folder) could not be asked: it is not there: is configfs mounted",
        ),
    ] {
        let output =
            teegate(scratch.path(), &["record", "--into", "second", "--nonce", "02", "--source", source]).await;
        assert_eq!((status(&output), said(&output.stdout)), (1, String::new()), "{source}");
        assert!(said(&output.stderr).contains(expected), "{}", said(&output.stderr));
        assert!(!scratch.path().join("second").exists(), "{source}");
    }
    let again = teegate(scratch.path(), &["record", "--into", "first", "--source", &replayed]).await;
    assert_eq!(status(&again), 1);
    assert!(said(&again.stderr).contains("`first` is not empty"), "{}", said(&again.stderr));
    let hidden = std::fs::read_dir(scratch.path()).unwrap().flatten();
    assert_eq!(hidden.filter(|entry| entry.file_name().to_string_lossy().starts_with('.')).count(), 0);
}
