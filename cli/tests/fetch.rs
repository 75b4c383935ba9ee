//! `teegate fetch` and `teegate verify --online` from outside, against forged vendors on loopback: what is fetched is what the
//! same command then verifies with.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its input should fail where it stands")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use teegate_forge::services::{Misbehaviour, Route, Vendor};
use teegate_forge::snp::Product;
use teegate_forge::tdx::{PckCa, Revoked};
use teegate_forge::time::{AT, DAY, rfc3339};
use teegate_measurements::GENUINE;

const FMSPC: [u8; 6] = [0xB0, 0xC0, 0x6F, 0, 0, 0];

/// Evidence and a policy that pins its forged root, in a folder of their own, and the service that can complete it.
struct Stage {
    folder: tempfile::TempDir,
    vendor: Vendor,
    service: &'static str,
    revoking: Vec<Route>,
}

impl Stage {
    fn set(service: &'static str, evidence: &[u8], vendor: &str, root: &str, routes: Vec<Route>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let required = GENUINE.replace(r#"revocation = "if-supplied""#, r#"revocation = "required""#);
        let policy = format!("{required}\n[trust_anchors]\n{vendor} = ['''{root}''']\n");
        fs::write(folder.path().join("policy.toml"), policy).unwrap();
        fs::write(folder.path().join("evidence.bin"), evidence).unwrap();
        Self { folder, vendor: Vendor::start(routes), service, revoking: Vec::new() }
    }

    fn snp(product: Product, version: u32) -> Self {
        let device = teegate_forge::snp().product(product).version(version);
        let set = device.build();
        let later = device.clone().revoke_intermediate().crl_window(AT - 60, Some(AT + 30 * DAY)).kds_routes();
        Self { revoking: later, ..Self::set("kds", &set.report, "amd", &set.ark_pem, device.kds_routes()) }
    }

    fn tdx() -> Self {
        let platform = teegate_forge::tdx();
        let set = platform.build();
        let later = platform.revoke(Revoked::Pck).edit_pck_crl(|crl| {
            (crl.this_update, crl.next_update) = (AT - 60, Some(AT + 30 * DAY));
        });
        let revoking = later.build().pcs_routes(PckCa::Platform, FMSPC);
        Self {
            revoking,
            ..Self::set("pcs", &set.quote, "intel", &set.root_pem, set.pcs_routes(PckCa::Platform, FMSPC))
        }
    }

    /// What the service answers after the platform was revoked.
    fn revoking(&self) -> Vec<Route> {
        self.revoking.clone()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn source(&self) -> String {
        format!("{}={}", self.service, self.vendor.url())
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_teegate"));
        // A path in a message is as it was given: relative ones keep them short.
        command.current_dir(self.folder.path()).args(args).stdin(Stdio::null()).output().unwrap()
    }

    fn fetch(&self, more: &[&str]) -> (i32, String) {
        let (source, at) = (self.source(), rfc3339(AT));
        let mut args = vec!["fetch", "evidence.bin", "--into", "out", "--source", &source, "--at", &at];
        args.extend(more);
        let output = self.run(&args);
        (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
    }

    fn verify(&self, more: &[&str]) -> (i32, String, String) {
        let at = rfc3339(AT);
        let mut args = vec!["verify", "evidence.bin", "--policy", "policy.toml", "--at", &at];
        args.extend(more);
        let output = self.run(&args);
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    fn written(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(self.path("out")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn what_is_fetched_is_what_verification_needs() {
    for (stage, names) in [
        (
            Stage::snp(Product::Genoa, 5),
            vec!["vcek-chain-genoa.pem", "vcek-crl-genoa.der", "vcek-genoa-c1c0c3c2c5c4c7c6-tcb-10-0-27-84.der"],
        ),
        (
            Stage::snp(Product::Milan, 2),
            vec!["vcek-chain-milan.pem", "vcek-crl-milan.der", "vcek-milan-c1c0c3c2c5c4c7c6-tcb-4-0-24-220.der"],
        ),
        (
            Stage::snp(Product::Turin, 5),
            vec!["vcek-chain-turin.pem", "vcek-crl-turin.der", "vcek-turin-c1c0c3c2c5c4c7c6-tcb-1-1-1-4-81.der"],
        ),
        (
            Stage::tdx(),
            vec![
                "intel-root-crl.der",
                "pck-crl-platform.http",
                "qe-identity-tdx-standard.http",
                "tcb-info-tdx-b0c06f000000-standard.http",
            ],
        ),
    ] {
        // Before, the evidence stands alone.
        let (status, out, _) = stage.verify(&[]);
        assert_eq!(status, 3, "{out}");
        let (status, said) = stage.fetch(&[]);
        assert_eq!((status, stage.written()), (0, names.iter().map(|name| (*name).to_owned()).collect()), "{said}");
        for name in names {
            assert!(said.contains(&format!("  {name}  (new)\n")), "{said}");
        }
        assert!(said.contains(&format!("      fetched now, {}/", stage.vendor.url())), "{said}");
        assert!(
            said.ends_with(
                "complete; nothing is verified yet: `teegate verify EVIDENCE --endorsements out --policy …`\n"
            )
        );
        let (status, out, err) = stage.verify(&["--endorsements", "out"]);
        assert_eq!((status, &*err), (0, ""), "{out}");

        // The same again changes nothing, and asks all of it again: nothing was to be kept.
        stage.vendor.forget();
        let (status, said) = stage.fetch(&[]);
        assert_eq!((status, said.matches("  (unchanged)\n").count()), (0, stage.written().len()), "{said}");
        assert_eq!(stage.vendor.requests().len(), stage.written().len());
    }
}

#[test]
fn online_verification_fetches_and_verifies_in_one_go_and_keeps_what_it_may() {
    for stage in [Stage::snp(Product::Genoa, 5), Stage::snp(Product::Milan, 2), Stage::tdx()] {
        let source = stage.source();
        let online = ["--online", "--source", &source, "--cache", "kept"];
        assert_eq!((stage.verify(&[]).0, stage.vendor.requests().len()), (3, 0), "nobody is asked without `--online`");
        let (status, out, err) = stage.verify(&online);
        assert_eq!((status, &*err), (0, ""), "{out}");
        let asked = stage.vendor.requests().len();
        assert!(asked >= 3);
        // From the cache now, and it says so.
        let (_, report, _) = stage.verify(&[&online[..], &["--format", "json"]].concat());
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let lists =
            report["endorsements"].as_array().unwrap().iter().filter(|endorsement| endorsement["kind"] == "crl");
        for list in lists.clone() {
            assert_eq!(list["source"], "fetched", "{report}");
            let from = list["from"].as_str().unwrap();
            assert!(from.starts_with(&stage.vendor.url()) && from.ends_with(" s ago"), "{from}");
        }
        assert!(lists.count() >= 1, "{report}");
        let (status, out, err) = stage.verify(&online);
        assert_eq!((status, &*err, stage.vendor.requests().len()), (0, "", asked), "{out}");

        // Without a cache and without the service, the verdict names what is missing, and a note says why.
        stage.vendor.misbehave("", usize::MAX, Misbehaviour::status(404));
        let (status, out, err) = stage.verify(&online[..3]);
        assert_eq!(status, 3, "{out}");
        assert!(err.starts_with("note: not to be had: ") && err.contains("status 404"), "{err}");
    }
}

/// Whatever has an order in time is asked for, also where the user named some: the verifier chooses among both. Where the vendor
/// cannot be reached, the user's stands in, and the result says that nobody could be asked.
#[test]
fn what_the_user_named_counts_beside_the_answers_and_alone_where_there_are_none() {
    for (stage, asked) in [(Stage::snp(Product::Genoa, 5), 1), (Stage::snp(Product::Milan, 2), 1), (Stage::tdx(), 4)] {
        let source = stage.source();
        let given = ["--online", "--source", &source, "--endorsements", "out"];
        assert_eq!(stage.fetch(&[]).0, 0);
        stage.vendor.forget();
        let (status, out, err) = stage.verify(&given);
        assert_eq!((status, &*err), (0, ""), "{out}");
        let requests = stage.vendor.requests();
        assert!(requests.len() == asked && requests.iter().all(|asked| !asked.contains("cert_chain")), "{requests:?}");

        stage.vendor.misbehave("", usize::MAX, Misbehaviour::status(404));
        let (status, out, err) = stage.verify(&given);
        assert_eq!((status, err.matches("note: not to be had: ").count()), (0, asked), "{out}");
        assert!(out.contains("\nNot to be had, so that the vendor could not be asked\n  CRL of "), "{out}");
        let (status, report, _) = stage.verify(&[&given[..], &["--format", "json"]].concat());
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!((status, report["not_to_be_had"].as_array().unwrap().len()), (0, asked), "{report}");
        assert!(report["not_to_be_had"][0].as_str().unwrap().contains("status 404"), "{report}");
        assert_eq!(report["inputs"]["endorsements"], serde_json::json!(["supplied"]));
        // What stands in for an answer says so; what has no order in time stands for itself.
        // The PCK certificate of a quote stands in the quote.
        let mut endorsements = report["endorsements"].as_array().unwrap().clone();
        endorsements.retain(|endorsement| endorsement["name"] != "Intel SGX PCK Certificate");
        assert!(endorsements.iter().all(|endorsement| endorsement["source"] == "supplied"), "{report}");
        for endorsement in &endorsements {
            let from = endorsement["from"].as_str().unwrap();
            let stands_in = endorsement["kind"] != "certificate";
            assert!(
                from.starts_with("out/") && from.ends_with(", the vendor could not be reached") == stands_in,
                "{from}"
            );
        }

        // A list of the user's that the vendor's answer overtakes does not stand in its way.
        stage.vendor.behave();
        stage.vendor.serve(stage.revoking());
        let (status, out, _) = stage.verify(&given);
        assert_eq!(status, 3, "{out}");
        assert!(out.contains("chain.revocation\n"), "{out}");
    }
}

#[test]
fn what_could_not_be_had_is_named_and_has_a_status_of_its_own() {
    let stage = Stage::snp(Product::Genoa, 5);
    stage.vendor.misbehave("blSPL", 1, Misbehaviour::status(429).header("retry-after", "900"));
    let (status, said) = stage.fetch(&[]);
    assert_eq!((status, stage.written().len(), stage.vendor.requests().len()), (6, 0, 1), "{said}");
    assert!(said.contains("  MISSING: VCEK of this chip and TCB (Genoa)\n      http://"), "{said}");
    assert!(said.contains("status 429: too many requests from here; try again after 900 s"), "{said}");
    assert!(said.contains("not asked, because it wants to be left alone"), "{said}");
    assert!(said.contains("incomplete: 3 not to be had"), "{said}");

    // One missing document is one: the others are written.
    stage.vendor.misbehave("/crl", 1, Misbehaviour::status(404));
    let (status, said) = stage.fetch(&[]);
    assert_eq!((status, stage.written().len()), (6, 2), "{said}");
    let (status, said) = stage.fetch(&[]);
    assert!(status == 0 && !said.is_empty(), "{said}");
    assert_eq!(stage.fetch(&["--quiet"]), (0, String::new()));

    let vlek = teegate_forge::snp().vlek("CN=cc-us-east-2.example");
    let set = vlek.build();
    let stage = Stage::set("kds", &set.report, "amd", &set.ark_pem, vlek.kds_routes());
    let (status, said) = stage.fetch(&[]);
    assert_eq!(
        (status, stage.written()),
        (6, vec!["vlek-chain-genoa.pem".to_owned(), "vlek-crl-genoa.der".to_owned()])
    );
    assert!(said.contains("  MISSING: VLEK of this TCB: AMD gives it to the provider alone; "), "{said}");
    fs::write(stage.path("out/vlek.der"), set.vek).unwrap();
    assert_eq!(stage.verify(&["--endorsements", "out"]).0, 0);
}

#[test]
fn nothing_is_overwritten_without_a_word_and_nothing_strange_at_all() {
    let device = teegate_forge::snp().crl_window(AT - DAY, Some(AT + 30 * DAY));
    let set = device.build();
    let stage = Stage::set("kds", &set.report, "amd", &set.ark_pem, device.kds_routes());
    assert_eq!(stage.fetch(&[]).0, 0);
    let crl = stage.path("out/vcek-crl-genoa.der");
    let first = fs::read(&crl).unwrap();

    // A newer list takes the place of the older.
    stage.vendor.serve(device.clone().crl_window(AT - 60, Some(AT + 60 * DAY)).kds_routes());
    let (status, said) = stage.fetch(&[]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("  vcek-crl-genoa.der  (replaces what was there before)\n"), "{said}");
    assert_ne!(fs::read(&crl).unwrap(), first);

    for put in [(|path: &Path| fs::write(path, "my notes").unwrap()) as fn(&Path), |path| fs::create_dir(path).unwrap()]
    {
        let _gone = fs::remove_file(&crl);
        put(&crl);
        let (status, said) = stage.fetch(&[]);
        assert_eq!(status, 1, "{said}");
        assert!(
            said.contains("  vcek-crl-genoa.der  (NOT WRITTEN: something else has that name, and is left alone; "),
            "{said}"
        );
        assert_eq!(said.matches("  (unchanged)\n").count(), 2, "{said}");
        if crl.is_file() {
            assert_eq!(fs::read(&crl).unwrap(), b"my notes");
        }
    }
    assert_eq!(stage.written().len(), 3, "nothing half-written is left");
}

#[test]
fn stale_answers_are_marked() {
    let stage = Stage::tdx();
    assert_eq!(stage.fetch(&["--cache", "kept"]).0, 0);
    stage.vendor.misbehave("", usize::MAX, Misbehaviour::status(404));
    let (status, said) = stage.fetch(&["--cache", "kept"]);
    assert_eq!((status, said.matches("      from the cache, fetched at ").count()), (0, 4), "{said}");
    assert!(!said.contains("STALE"), "{said}");
    // A moment at which most of the TCB info's month is over: the second `--at` counts.
    let late = rfc3339(AT + 13 * DAY);
    let source = stage.source();
    let output =
        stage.run(&["fetch", "evidence.bin", "--into", "out", "--source", &source, "--cache", "kept", "--at", &late]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("      STALE, from the cache, fetched at "), "{said}");
    assert!(said.contains("      tried before: http://") && said.contains("status 404"), "{said}");
    let output = stage.run(&[
        "verify",
        "evidence.bin",
        "--policy",
        "policy.toml",
        "--at",
        &late,
        "--online",
        "--source",
        &source,
        "--cache",
        "kept",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("is STALE, from the cache, "), "{}", text(&output.stderr));
}

#[test]
fn what_cannot_run_says_why() {
    let stage = Stage::snp(Product::Genoa, 5);
    let report = fs::read(stage.path("evidence.bin")).unwrap();
    fs::write(stage.path("cut.bin"), &report[..report.len() - 1]).unwrap();
    let output = stage.run(&["fetch", "cut.bin", "--into", "out"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stdout).starts_with("MALFORMED evidence needs nothing: "), "{}", text(&output.stdout));
    assert!(!stage.path("out").exists());
    for (args, expected) in [
        (&["fetch", "evidence.bin"][..], "error: the following required arguments were not provided"),
        (&["fetch", "evidence.bin", "--into", "policy.toml"], "error: `policy.toml`: cannot be written into: "),
        (
            &["fetch", "evidence.bin", "--into", "out", "--source", "amd"],
            "error: invalid value 'amd' for '--source <SOURCE>': source `amd` cannot be used: expected `kds`, ",
        ),
        (
            &["verify", "evidence.bin", "--policy", "genuine", "--source", "kds"],
            "error: the following required arguments were not provided:\n  --online",
        ),
    ] {
        let output = stage.run(args);
        let err = text(&output.stderr);
        assert!(output.status.code() == Some(1) && err.starts_with(expected), "{args:?}: {err}");
    }
    assert_eq!(stage.vendor.requests(), [""; 0]);
}
