//! The recorded container group of Confidential ACI: its report, its security policy, the certificates of its host and the endorsement
//! of its virtual machine, as the platform gave them. The files lie beside the project, in `../shared/fixtures`; where that folder is
//! absent the run says what it did not run.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha384};
use teegate_intake::bundle::{Bundle, Conclusion, Kept, PolicyText as KeptPolicy};
use teegate_intake::endorsements;
use teegate_intake::evidence::{self, OwnedEvidence};
use teegate_measurements::{ACI, GENUINE, Rewritten};
use teegate_verifier::{Attested, Check, Policy, Rejection, Tee, UnixTime, Wrapping, verify};

use crate::recorded::fixtures;

const CASE: &str = "snp/milan-v2-azure-ms-aci";
/// When it was recorded, and a time at which the year of the signer is long over.
const TIMES: [&str; 2] = ["2023-02-27T00:00:00Z", "2026-11-28T00:00:00Z"];

fn file(name: &str) -> Option<Vec<u8>> {
    fixtures().map(|folder| std::fs::read(folder.join(CASE).join(name)).unwrap())
}

/// The four files under the names that the platform has for them.
fn folder() -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    put("report.bin", &file("report.bin")?);
    put("security-policy-base64", &file("security_policy.base64")?);
    put("host-amd-cert-base64", STANDARD.encode(file("thim_host_amd_certificate.json")?).as_bytes());
    put("reference-info-base64", STANDARD.encode(file("uvm_reference_info.cose")?).as_bytes());
    Some(folder)
}

/// The shipped template, with the values of this group, and without the floors of firmware that came after it.
fn policy(more: &[(&str, &str)]) -> Policy {
    let unchecked = "\"unchecked\"";
    let host_data = "\"cadd74f71ebb8fbf9782baab649612520f3c416bc5ce9ac768808ddc8d9b031c\"";
    let waived = ["revocation", "minimum_tcb", "bulletins", "minimum_firmware", "platform_info", "report_data"];
    let waived = waived.into_iter().map(|field| (field, unchecked));
    let rules = waived.chain([("host_data", host_data), ("uvm_svn", "{ at_least = 22 }")]).chain(more.iter().copied());
    let written = rules
        .fold(Rewritten::of(ACI).unwrap(), |written, (field, rule)| written.rule(Tee::SevSnp, field, rule).unwrap());
    Policy::parse(&written.text()).unwrap()
}

fn judge(evidence: &OwnedEvidence, policy: &Policy, at: &str) -> Result<Attested, Rejection> {
    verify(&evidence.as_evidence(&evidence.endorsements), policy, UnixTime::parse(at).unwrap())
}

/// What came along is all that it takes, then and today.
#[test]
fn the_recorded_group_is_accepted_when_it_ran_and_today() {
    let Some(folder) = folder() else { return };
    let evidence = evidence::load(folder.path(), None).unwrap();
    assert_eq!((evidence.form, evidence.wrapping()), ("Confidential ACI security context folder", Wrapping::AzureAci));
    let facts = evidence.inspect().unwrap();
    let fact = |name: &str| facts.iter().find(|(own, _)| *own == name).unwrap().1.to_string();
    assert_eq!((fact("uvm_svn"), fact("uvm_feed")), ("22".to_owned(), "ContainerPlat-AMD-UVM".to_owned()));
    assert_eq!(fact("uvm_launch_measurement"), fact("measurement"));
    for at in TIMES {
        let attested = judge(&evidence, &policy(&[]), at).unwrap_or_else(|refused| panic!("{at}: {refused}"));
        let report = attested.report();
        for check in [
            Check::UVM_FORM,
            Check::ACI_POLICY,
            Check::UVM_ISSUER,
            Check::UVM_CHAIN,
            Check::UVM_SIGNER,
            Check::UVM_ENDORSEMENT,
            Check::UVM_MEASUREMENT,
            Check::UVM_FEED,
            Check::UVM_SVN,
        ] {
            assert_eq!(report.finding(check).unwrap().outcome().name(), "pass", "{check}");
        }
        let validity = report.finding(Check::UVM_SIGNER_VALIDITY).unwrap();
        assert_eq!(validity.outcome().name(), "not-checked");
        let why = "the signer's validity: its certificate is for 2023-01-05T19:22:47Z to 2024-01-03T19:22:47Z, and a timestamp \
                   came along, which is not verified";
        assert_eq!(validity.outcome().why().unwrap_or_default(), why);
    }
    // Whoever asks that the signer be valid now: then, and not today.
    let strict = policy(&[("uvm_signer_validity", "\"required\"")]);
    let attested = judge(&evidence, &strict, TIMES[0]).unwrap();
    assert_eq!(attested.valid_until().to_string(), "2024-01-03T19:22:47Z");
    assert_eq!(judge(&evidence, &strict, TIMES[1]).unwrap_err().failed_checks(), ["uvm.signer-validity"]);
    for (rule, check) in [
        (("uvm_svn", "{ at_least = 23 }"), "uvm.guest-svn"),
        (("uvm_feeds", "[\"ConfAKS-AMD-UVM\"]"), "uvm.feed"),
        (
            (
                "uvm_issuers",
                "[\"did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s::eku:1.3.6.1.4.1.311.76.59.1.1\"]",
            ),
            "uvm.issuer",
        ),
    ] {
        assert_eq!(judge(&evidence, &policy(&[rule]), TIMES[1]).unwrap_err().failed_checks(), [check]);
    }
}

/// The older environment variables, as one JSON object; and a policy about the hardware alone.
#[test]
fn every_form_is_the_same_evidence() {
    let Some(folder) = folder() else { return };
    let loaded = evidence::load(folder.path(), None).unwrap();
    let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let report = STANDARD.encode(file("report.bin").unwrap());
    let json = serde_json::json!({
        "UVM_SECURITY_POLICY": text("security-policy-base64"),
        "UVM_HOST_AMD_CERTIFICATE": text("host-amd-cert-base64"),
        "UVM_REFERENCE_INFO": text("reference-info-base64"),
        "report": report,
    });
    let older = evidence::recognise(json.to_string().as_bytes(), None).unwrap();
    assert_eq!((&older.aci, &older.bytes), (&loaded.aci, &loaded.bytes));
    judge(&older, &policy(&[]), TIMES[1]).unwrap();
    let genuine = Rewritten::of(GENUINE).unwrap().wrapped(Wrapping::AzureAci).unwrap();
    judge(&older, &Policy::parse(&genuine.text()).unwrap(), TIMES[1]).unwrap();
    // The bare report is other evidence, of which such a policy has no profile.
    let bare = evidence::recognise(&file("report.bin").unwrap(), None).unwrap();
    let mut pool = endorsements::load_paths(&[folder.path().join("host-amd-cert-base64")]).unwrap();
    pool.extend(&bare.endorsements);
    let verdict = verify(&bare.as_evidence(&pool), &policy(&[]), UnixTime::parse(TIMES[1]).unwrap());
    assert_eq!(verdict.unwrap_err().failed_checks(), ["policy.profile"]);
}

/// A bundle keeps the context, and its verdict.
#[test]
fn a_bundle_of_it_has_the_same_verdict() {
    let Some(folder) = folder() else { return };
    let evidence = evidence::load(folder.path(), None).unwrap();
    let (policy, at) = (policy(&[]), UnixTime::parse(TIMES[1]).unwrap());
    let attested = judge(&evidence, &policy, TIMES[1]).unwrap();
    let bundle = Bundle {
        kept: Kept::new(&evidence, []),
        policy: KeptPolicy { name: "aci".to_owned(), text: policy.document().text().to_owned() },
        at,
        report_data: None,
        recorded: Conclusion::of(attested.report()),
        creator: "test".to_owned(),
    };
    let text = bundle.to_text().unwrap();
    let again = Bundle::parse(text.as_bytes()).unwrap();
    assert_eq!(again.kept, bundle.kept);
    let evidence = again.kept.to_evidence();
    let verdict = judge(&evidence, &Policy::parse(&again.policy.text).unwrap(), TIMES[1]).unwrap();
    assert_eq!(Conclusion::of(verdict.report()), again.recorded);
    // An altered policy is seen although the bundle's digest would be made anew.
    let mut altered = again.kept.clone();
    altered.aci.as_mut().unwrap().security_policy.push(b'\n');
    let verdict = judge(&altered.to_evidence(), &policy, TIMES[1]);
    assert_eq!(verdict.unwrap_err().failed_checks(), ["aci.policy"]);
}

/// What docs/ACI.md says of the timestamp, which nothing verifies: it is one of the signature, and of nothing else of the message.
#[test]
fn the_timestamp_that_is_not_verified_is_one_of_the_signature() {
    let Some(folder) = folder() else { return };
    let evidence = evidence::load(folder.path(), None).unwrap();
    let message = evidence.aci.unwrap().reference_info;
    let label = message.windows(9).position(|window| window == b"timestamp").unwrap();
    let timestamp = &message[label + 9 + 3..label + 9 + 3 + 5_213];
    let stands_in_it = |bytes: &[u8]| {
        let digest = Sha384::digest(bytes);
        timestamp.windows(digest.len()).any(|window| window == &digest[..])
    };
    let signature = &message[message.len() - 384..];
    assert!(stands_in_it(signature) && !stands_in_it(&signature[1..]) && !stands_in_it(&message));
}

/// Whatever bit of the endorsement is flipped is noticed, but for those that no signature covers: the timestamp beside it.
#[test]
fn no_bit_of_the_endorsement_can_be_flipped() {
    let Some(folder) = folder() else { return };
    let evidence = evidence::load(folder.path(), None).unwrap();
    let policy = policy(&[]);
    let good = evidence.aci.clone().unwrap().reference_info;
    let label = good.windows(9).position(|window| window == b"timestamp").unwrap();
    // Its content behind the label and the head of three bytes.
    let timestamp = label + 9 + 3..label + 9 + 3 + 5_213;
    let mut accepted = Vec::new();
    for at in (0..good.len()).step_by(53).chain(0..16).chain(good.len() - 400..good.len()) {
        let mut altered = evidence.clone();
        altered.aci.as_mut().unwrap().reference_info[at] ^= 1 << (at % 8);
        match judge(&altered, &policy, TIMES[1]) {
            Ok(_) => accepted.push(at),
            Err(rejection) => {
                let [check] = rejection.failed_checks()[..] else { panic!("{at}: {rejection}") };
                assert!(check.starts_with("uvm."), "{at}: {check}");
            }
        }
    }
    assert!(accepted.iter().all(|at| timestamp.contains(at)), "{accepted:?}");
    assert!(accepted.len() > 50, "the timestamp is covered by nothing here, and nothing rests on it");
}
