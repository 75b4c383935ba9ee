//! A folder with forged evidence as a user would have it: `evidence/report.bin`, its endorsements, a policy that accepts
//! exactly this evidence, and evidence of every other verdict beside it.

use std::fs;
use std::path::Path;
use std::process::Output;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use teegate_forge as forge;
use teegate_forge::snp::SnpBuilder;
use teegate_forge::tdx::TdxBuilder;
use tempfile::TempDir;

use crate::command;

/// When all of it is valid.
pub(super) const AT: &str = "2026-06-01T00:00:00Z";

/// Every verdict, as a report's stage names it, with its exit status.
pub(super) const VERDICTS: [(&str, i32); 4] =
    [("accepted", 0), ("malformed", 2), ("unauthentic", 3), ("unacceptable", 4)];

pub(super) struct Place {
    folder: TempDir,
    pub(super) tee: &'static str,
}

impl Place {
    pub(super) fn both() -> [Self; 2] {
        [Self::snp(|device| device), Self::tdx(|device| device)]
    }

    /// Evidence of a device with an edit.
    pub(super) fn snp(edit: impl FnOnce(SnpBuilder) -> SnpBuilder) -> Self {
        let device = edit(forge::snp());
        let set = device.build();
        let place = Self::new("sev-snp", &format!("amd = ['''\n{}''']", set.ark_pem));
        place.evidence(&set.report, &device.clone().debug().report());
        place.write("evidence/endorsements/chain.pem", set.chain_pem().as_bytes());
        place.write("evidence/endorsements/crl.der", &set.crl.unwrap());
        place
    }

    /// Evidence of a platform with an edit.
    pub(super) fn tdx(edit: impl FnOnce(TdxBuilder) -> TdxBuilder) -> Self {
        let device = edit(forge::tdx());
        let set = device.build();
        let place = Self::new("tdx", &format!("intel = ['''\n{}''']", set.root_pem));
        place.evidence(&set.quote, &device.clone().debug().quote_under(&set));
        place.write("evidence/endorsements/collateral.json", set.dcap_collateral(true).as_bytes());
        place
    }

    fn new(tee: &'static str, anchors: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), tee };
        fs::create_dir_all(place.path("evidence/endorsements")).unwrap();
        for (name, policy) in [("policy", strict()), ("genuine", teegate_measurements::GENUINE.to_owned())] {
            place.write(&format!("evidence/{name}.toml"), format!("{policy}\n[trust_anchors]\n{anchors}\n").as_bytes());
        }
        place
    }

    fn evidence(&self, accepted: &[u8], unacceptable: &[u8]) {
        self.write("evidence/report.bin", accepted);
        self.write("unacceptable.bin", unacceptable);
        self.write("malformed.bin", &accepted[..accepted.len() / 2]);
        // In the report data: signed, so that nothing but the signature is wrong.
        let mut altered = accepted.to_vec();
        altered[if self.tee == "tdx" { 48 + 520 } else { 0x50 }] ^= 1;
        self.write("unauthentic.bin", &altered);
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Replaces a line of the policy that accepts.
    pub(super) fn with_policy(self, line: &str, by: &str) -> Self {
        let text = fs::read_to_string(self.path("evidence/policy.toml")).unwrap();
        assert!(text.contains(line), "no `{line}` in the policy");
        self.write("evidence/policy.toml", text.replace(line, by).as_bytes());
        self
    }

    /// The policy `genuine` in its place, with the same roots.
    pub(super) fn with_genuine(self) -> Self {
        fs::rename(self.path("evidence/genuine.toml"), self.path("evidence/policy.toml")).unwrap();
        self
    }

    /// The file whose evidence gets this verdict.
    pub(super) fn file(&self, verdict: &str) -> String {
        if verdict == "accepted" { "evidence/report.bin".to_owned() } else { format!("{verdict}.bin") }
    }

    /// Verifies the evidence that gets this verdict, in the folder.
    pub(super) fn verify(&self, verdict: &str, more: &[&str]) -> Output {
        let evidence = self.file(verdict);
        self.run(&[&["verify", &evidence, "--policy", "evidence/policy.toml", "--at", AT], more].concat(), true)
    }

    /// Runs the command in the folder.
    pub(super) fn run(&self, args: &[&str], endorsed: bool) -> Output {
        let endorsements: &[&str] = if endorsed { &["--endorsements", "evidence/endorsements"] } else { &[] };
        // One that is forged insists on nothing: half a quote is recognised only by who says what it is.
        let tee: &[&str] = &["--tee", if self.tee == "tdx" { "tdx" } else { "snp" }];
        command(&[args, endorsements, tee].concat()).current_dir(self.folder()).output().unwrap()
    }

    /// Runs the command in the folder, which finds out for itself what each file is.
    pub(super) fn run_any(&self, args: &[&str]) -> Output {
        let endorsements: &[&str] =
            if args.first() == Some(&"verify") { &["--endorsements", "evidence/endorsements"] } else { &[] };
        command(&[args, endorsements].concat()).current_dir(self.folder()).output().unwrap()
    }

    /// What the bytes of evidence in the folder say.
    pub(super) fn inspect(&self, evidence: &str) -> Output {
        command(&["inspect", evidence, "--format", "json"]).current_dir(self.folder()).output().unwrap()
    }

    /// The arguments for a format; a signing key lies in the folder afterwards.
    pub(super) fn format(&self, format: &'static str) -> Vec<&'static str> {
        if format != "ear" {
            return vec!["--format", format];
        }
        self.signing_key("ear-key.pem", Curve::P256);
        vec!["--format", "ear", "--ear-key", "ear-key.pem"]
    }

    /// Makes a signing key in the folder; gives the public one, uncompressed.
    pub(super) fn signing_key(&self, name: &str, curve: Curve) -> Vec<u8> {
        let algorithm = match curve {
            Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        };
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(document.as_ref()));
        self.write(name, pem.as_bytes());
        EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).unwrap().public_key().as_ref().to_vec()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
}

/// The template, with the values of the forged devices in it.
fn strict() -> String {
    let hex = |byte: u8, length: usize| format!("\"{}\"", teegate_encoding::hex::encode(vec![byte; length]));
    let values = [
        ("measurement", hex(0x4D, 48)),
        ("host_data", hex(0, 32)),
        ("mrtd", hex(0x7D, 48)),
        ("rtmr0", hex(0xA0, 48)),
        ("rtmr1", hex(0xA1, 48)),
        ("rtmr2", hex(0xA2, 48)),
        ("mrconfigid", hex(0, 48)),
    ];
    let mut text = teegate_measurements::STRICT.replace("microcode = 84", "microcode = 27");
    // Milan would be taken with a warning, which ends `policy lint` with another status.
    text = text.replace("products = [\"milan\", ", "products = [");
    text = text.replace("report_data = \"caller\"", &format!("report_data = {}", hex(0, 64)));
    for (field, value) in values {
        let needed = format!("\n{field} = \"reference-value-needed\"");
        assert!(text.contains(&needed), "{field}");
        text = text.replace(&needed, &format!("\n{field} = {value}"));
    }
    text
}
