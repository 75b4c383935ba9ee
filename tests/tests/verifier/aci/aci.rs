//! A container group of Confidential ACI, one defect at a time: what the host bound, and who endorses the virtual machine.

use teegate_forge as forge;
use teegate_forge::aci::{AciBuilder, Context, OTHER_EKU, Signs, cose};
use teegate_forge::keys::SignatureAlgorithm;
use teegate_forge::time::{AT, DAY};
use teegate_intake::envelope::Asked;
use teegate_protocol::binding;
use teegate_protocol::evidence::{Endorsements, EndorsementsKind, Envelope, EvidenceKind, TeeEvidence};
use teegate_verifier::{BoundTo, Check, Source, Wrapping};

use crate::case::{Case, cases, refused};
use crate::envelope::{judged_by, manifest};
use crate::subject::{SNP_DEVICE, Subject, aci};

cases! {
    bytes_of_the_endorsement
    the_policy_that_the_host_bound
    who_issues
    the_chain
    the_signer
    the_signature
    the_time_of_the_signer
    what_is_endorsed
}

/// The context that nothing is wrong with, with an edit before it is signed.
fn context(edit: impl FnOnce(&mut AciBuilder)) -> Context {
    let mut builder = forge::aci();
    edit(&mut builder);
    builder.build()
}

fn with(edit: impl FnOnce(&mut AciBuilder)) -> Subject {
    aci(context(edit))
}

fn good() -> Subject {
    with(|_| {})
}

/// The same, with an edit of the finished message.
fn altered(edit: impl FnOnce(&mut Vec<u8>)) -> Subject {
    let mut context = context(|_| {});
    edit(&mut context.reference_info);
    aci(context)
}

fn case(check: &str, subject: Subject) -> Case {
    refused(check, subject).twin(good())
}

fn bytes_of_the_endorsement() -> Vec<Case> {
    let form = |subject: Subject, actual: &str| case("uvm.form", subject).actual(actual);
    let payload = |json: &str| {
        let json = json.replace("MEASUREMENT", &hex::encode(forge::aci::MEASUREMENT));
        with(|aci| aci.payload = Some(json.into_bytes()))
    };
    vec![
        form(with(|aci| aci.algorithm_unprotected = true), "the protected header names no algorithm"),
        form(
            with(|aci| (aci.algorithm, aci.signature) = (-37, SignatureAlgorithm::PssSha256)),
            "signed with PS256: expected PS384",
        ),
        form(with(|aci| aci.algorithm = -257), "an algorithm that is not known here"),
        form(with(|aci| aci.svn = "100".to_owned()), "expected a text of decimal digits"),
        form(with(|aci| aci.svn = "\"0100\"".to_owned()), "expected a text of decimal digits"),
        form(
            payload(
                r#"{"x-ms-sevsnpvm-guestsvn": "100", "x-ms-sevsnpvm-launchmeasurement": "MEASUREMENT", "x-ms-sevsnpvm-guestsvn": "101"}"#,
            ),
            "stands twice",
        ),
        form(
            payload(
                r#"{"x-ms-sevsnpvm-guestsvn": "100", "x-ms-sevsnpvm-launchmeasurement": "MEASUREMENT", "x-ms-sevsnpvm-debug": "1"}"#,
            ),
            "has a member `x-ms-sevsnpvm-debug`, which is not known here",
        ),
        form(payload("[]"), "the payload: "),
        form(with(|aci| aci.thumbprint = Some([1; 32])), "x5t is not the SHA-256 of the first certificate"),
        form(
            with(|aci| aci.more.push((cose::number(2), cose::array(&[cose::text("iss")])))),
            "must be understood (crit)",
        ),
        form(with(|aci| aci.more.push((cose::text("feed"), cose::text("another")))), "a label stands twice"),
        form(altered(|bytes| bytes.push(0)), "1 bytes follow its end"),
        form(altered(|bytes| bytes.insert(0, 0xD2)), "expected an array of four"),
        form(altered(|bytes| bytes[0] = 0xD1), "expected a COSE_Sign1 (CBOR tag 18)"),
        // A protected header that announces more than there is.
        form(altered(|bytes| bytes[2..5].copy_from_slice(&[0x5B, 0xFF, 0xFF])), "are left"),
        form(altered(|bytes| bytes.resize(65 * 1024, 0)), "expected at most 65536"),
    ]
}

fn the_policy_that_the_host_bound() -> Vec<Case> {
    let mut other_byte = good();
    other_byte.aci.as_mut().unwrap().security_policy[3] ^= 1;
    let mut none = good();
    none.aci.as_mut().unwrap().security_policy.clear();
    // The report of a group with another policy, beside this one's.
    let other =
        Subject { aci: good().aci, ..with(|aci| aci.policy = b"package policy\n\nallow_all := true\n".to_vec()) };
    [other_byte, none, other].map(|subject| case("aci.policy", subject).actual("one with ")).into()
}

fn who_issues() -> Vec<Case> {
    let mut none = good();
    none.aci.as_mut().unwrap().reference_info.clear();
    let issuer = forge::aci().build().issuer;
    let other_usage = issuer.replace("59.1.2", "59.1.3");
    let another = issuer.replace("sha256:", "sha256:A").replacen("::", "", 0);
    let short: String = another.chars().enumerate().filter(|(at, _)| *at != 30).map(|(_, c)| c).collect();
    vec![
        case("uvm.issuer", none).actual("no endorsement"),
        case("uvm.issuer", with(|aci| aci.issuer = Some(other_usage.clone()))).actual(&*other_usage).expected(&*issuer),
        case("uvm.issuer", with(|aci| aci.issuer = Some(short.clone()))).actual(&*short),
        // What is no such name at all cannot move a cursor.
        case("uvm.issuer", with(|aci| aci.issuer = Some("\u{1b}[2J".to_owned()))).actual("?[2J"),
    ]
}

fn the_chain() -> Vec<Case> {
    let chain = |subject: Subject, actual: &str| case("uvm.chain", subject).actual(actual);
    // A policy that names this root's neighbour, and an endorsement that says the same.
    let elsewhere = format!("did:x509:0:sha256:{}::eku:{}", "A".repeat(43), forge::aci::EKU);
    let other_root =
        with(|aci| aci.issuer = Some(elsewhere.clone())).under("uvm_issuers", &format!("[\"{elsewhere}\"]"));
    vec![
        chain(other_root, "whose last certificate has another digest"),
        chain(with(|aci| aci.chain = vec![0, 1]), "whose last certificate has another digest"),
        chain(with(|aci| aci.chain = vec![0]), "whose last certificate has another digest"),
        chain(with(|aci| aci.chain = vec![2]), "one certificate"),
        chain(
            with(|aci| aci.chain = vec![0, 2]),
            "`ContainerPlat` names another issuer than `Forged Supply Chain RSA Root CA`",
        ),
        // Two entries swapped, either way.
        chain(
            with(|aci| aci.chain = vec![1, 0, 2]),
            "`Forged SCD Products RSA CA` may issue certificates, or not sign",
        ),
        chain(with(|aci| aci.chain = vec![0, 2, 1]), "whose last certificate has another digest"),
        chain(with(|aci| aci.chain = vec![0, 1, 1, 2]), "names another issuer"),
        chain(with(|aci| aci.intermediate_is_ca = false), "`Forged SCD Products RSA CA` may not issue `ContainerPlat`"),
        chain(with(|aci| aci.signer_is_ca = true), "`ContainerPlat` may issue certificates, or not sign"),
        chain(
            with(|aci| aci.intermediate_window = (AT - 9 * DAY, AT - DAY)),
            "`Forged SCD Products RSA CA` is for 2026-05-23T00:00:00Z to 2026-05-31T00:00:00Z, not for 2026-06-01T00:00:00Z",
        ),
        // One bit in the signature of the signer's certificate, and x5t as it then is.
        chain(
            with(|aci| aci.damaged_certificate = Some(0)),
            "`Forged SCD Products RSA CA` did not sign `ContainerPlat`",
        ),
        chain(
            with(|aci| aci.damaged_certificate = Some(1)),
            "`Forged Supply Chain RSA Root CA` did not sign `Forged SCD",
        ),
    ]
}

fn the_signer() -> Vec<Case> {
    let other = "a certificate for other usages";
    // An issuer with two usages, of whom policy and endorsement say the same: its signer is for both.
    let twice = format!("{}::eku:{OTHER_EKU}", forge::aci().build().issuer);
    let of_two = |usages: &[&'static str]| {
        with(|aci| (aci.usages, aci.issuer) = (usages.to_vec(), Some(twice.clone())))
            .under("uvm_issuers", &format!("[\"{twice}\"]"))
    };
    let both = [OTHER_EKU, forge::aci::EKU];
    vec![
        case("uvm.signer", with(|aci| aci.usages = vec![OTHER_EKU])).actual(other),
        case("uvm.signer", with(|aci| aci.usages = Vec::new())).actual(other),
        case("uvm.signer", of_two(&both[..1])).twin(of_two(&both)).actual(other),
        case("uvm.signer", of_two(&both[1..])).twin(of_two(&both)).actual(other),
        case("uvm.signer", with(|aci| aci.usages = vec!["1.3.6.1.4.1.311.76.59.1", "1.3.6.1.4.1.311.76.59.1.2.1"]))
            .actual(other),
    ]
}

fn the_signature() -> Vec<Case> {
    let none = |subject: Subject| case("uvm.endorsement", subject).actual("no valid signature");
    let digits = hex::encode(forge::aci::MEASUREMENT).into_bytes();
    let place = |bytes: &[u8]| bytes.windows(digits.len()).position(|window| window == digits).unwrap();
    vec![
        none(with(|aci| aci.signs = Signs::Intermediate)),
        none(with(|aci| aci.signs = Signs::Stranger)),
        // PS256 under the name of PS384, and PKCS #1.
        none(with(|aci| aci.signature = SignatureAlgorithm::PssSha256)),
        none(with(|aci| aci.signature = SignatureAlgorithm::Pkcs1Sha384)),
        none(altered(|bytes| {
            let at = place(bytes);
            bytes[at..at + 2].copy_from_slice(b"00");
        })),
        none(altered(|bytes| *bytes.last_mut().unwrap() ^= 1)),
        // The text key `signingtime`, which nothing judges and the signature covers.
        none(altered(|bytes| {
            let at = bytes.windows(11).position(|window| window == b"signingtime").unwrap();
            bytes[at] = b'S';
        })),
    ]
}

fn the_time_of_the_signer() -> Vec<Case> {
    vec![
        case("uvm.signer-validity", with(|aci| aci.signer_window = (AT - 9 * DAY, AT - 1)))
            .actual("one for 2026-05-23T00:00:00Z to 2026-05-31T23:59:59Z")
            .expected("valid at 2026-06-01T00:00:00Z"),
        case("uvm.signer-validity", with(|aci| aci.signer_window = (AT + 1, AT + DAY))),
        // The twin says that it is not judged, and what is known.
        case("uvm.signer-validity", with(|aci| aci.signer_window = (AT - 9 * DAY, AT - 1)))
            .twin(with(|aci| aci.signer_window = (AT - 9 * DAY, AT - 1)).under("uvm_signer_validity", "\"unchecked\""))
            .twin_shows("not-checked"),
    ]
}

/// Some bytes under that label are called a timestamp, and nothing else is. No signature covers them, so that whoever carries the
/// message can write what they like there.
#[test]
fn a_timestamp_came_along_where_bytes_of_one_did() {
    let said = |edit: &dyn Fn(&mut Vec<u8>, usize)| {
        let subject = altered(|bytes| {
            let at = bytes.windows(9).position(|window| window == b"timestamp").unwrap() + 9;
            // A byte string of 15.
            assert_eq!(bytes[at..at + 16], *b"\x4Fnot taken apart");
            edit(bytes, at);
        });
        let report = subject.under("uvm_signer_validity", "\"unchecked\"").accepted();
        report.finding(Check::UVM_SIGNER_VALIDITY).unwrap().outcome().why().unwrap().to_owned()
    };
    let (some, none) = ("and a timestamp came along, which is not verified", "and no timestamp came along");
    let empty = |bytes: &mut Vec<u8>, at: usize| drop(bytes.splice(at..at + 16, [0x40]));
    let shorter = |bytes: &mut Vec<u8>, at: usize| drop(bytes.splice(at..at + 16, [0x41, 0]));
    // A text of 15 characters, and a number.
    let text = |bytes: &mut Vec<u8>, at: usize| bytes[at] = 0x6F;
    let number = |bytes: &mut Vec<u8>, at: usize| drop(bytes.splice(at..at + 16, [0x00]));
    let another = |bytes: &mut Vec<u8>, at: usize| bytes[at - 1] = b'q';
    for (edit, expected) in [
        (&(|_: &mut Vec<u8>, _: usize| ()) as &dyn Fn(&mut Vec<u8>, usize), some),
        (&shorter, some),
        (&empty, none),
        (&text, none),
        (&number, none),
        (&another, none),
    ] {
        let why = said(edit);
        assert!(why.contains(expected), "{expected}: {why}");
    }
}

fn what_is_endorsed() -> Vec<Case> {
    let unchecked = "\"unchecked\"";
    let claims = |subject: Subject| subject.under("bound_to", unchecked).under("host_data", unchecked);
    vec![
        case("uvm.measurement", with(|aci| aci.measurement = [0xAD; 48])).actual("adad").expected("acac"),
        case("uvm.feed", with(|aci| aci.feed = "ConfAKS-AMD-UVM".to_owned())).actual("ConfAKS-AMD-UVM"),
        case("uvm.guest-svn", with(|aci| aci.svn = "\"99\"".to_owned())).actual("99").expected("at least 100"),
        case("uvm.guest-svn", with(|aci| aci.svn = "\"101\"".to_owned())).under("uvm_svn", "100").expected("100"),
        // Whoever names no line of releases or version takes any, and the report says so.
        case("uvm.feed", with(|aci| aci.feed = "other".to_owned()))
            .twin(claims(with(|aci| aci.feed = "other".to_owned())).under("uvm_feeds", unchecked))
            .twin_shows("not-checked"),
        case("uvm.guest-svn", with(|aci| aci.svn = "\"1\"".to_owned()))
            .twin(claims(with(|aci| aci.svn = "\"1\"".to_owned())).under("uvm_svn", unchecked))
            .twin_shows("not-checked"),
    ]
}

/// What an acceptance says: in what it was carried, what came along, until when.
#[test]
fn an_acceptance_says_what_it_rests_on() {
    let report = good().accepted();
    assert_eq!((report.wrapping(), report.wrapping().name()), (Wrapping::AzureAci, "aci"));
    for (fact, value) in
        [("uvm_svn", "100"), ("uvm_feed", "ContainerPlat-AMD-UVM"), ("uvm_launch_measurement", "acacacac")]
    {
        assert!(report.fact(fact).unwrap().to_string().starts_with(value), "{fact}");
    }
    assert_eq!(report.fact("security_policy_sha256"), report.fact("host_data"));
    let line = report.endorsements().iter().find(|one| one.kind == "uvm-endorsement").unwrap();
    assert_eq!((&*line.name, line.source), ("ContainerPlat-AMD-UVM", Source::Evidence));
    // The verdict ends as soon as a certificate does on which it rests; the signer's only where it is judged.
    let soon = |subject: Subject| subject.accepted().valid_until().unwrap().seconds();
    assert_eq!(soon(with(|aci| aci.signer_window = (AT - DAY, AT + 3 * DAY))), AT + 3 * DAY);
    let waived = with(|aci| aci.signer_window = (AT - DAY, AT + 3 * DAY)).under("uvm_signer_validity", "\"unchecked\"");
    assert!(soon(waived) > AT + 3 * DAY);
    assert_eq!(soon(with(|aci| aci.intermediate_window = (AT - DAY, AT + 2 * DAY))), AT + 2 * DAY);
    for now in [AT + 2 * DAY, AT + 2 * DAY + 1] {
        let verdict = with(|aci| aci.intermediate_window = (AT - DAY, AT + 2 * DAY)).at(now).judge();
        assert_eq!(verdict.is_ok(), now == AT + 2 * DAY, "both ends count");
    }
}

/// A verifier that remembers judges policy, time and measurement anew.
#[test]
fn a_memo_changes_no_verdict() {
    let verifier = teegate_verifier::Verifier::new();
    for _ in 0..2 {
        assert!(good().judge_with(&verifier).is_ok());
        for (subject, check) in [
            (with(|aci| aci.measurement = [0xAD; 48]), "uvm.measurement"),
            (good().under("uvm_svn", "{ at_least = 101 }"), "uvm.guest-svn"),
            (good().at(AT + 200 * DAY), "uvm.signer-validity"),
            (altered(|bytes| *bytes.last_mut().unwrap() ^= 1), "uvm.endorsement"),
        ] {
            let rejection = subject.judge_with(&verifier).unwrap_err();
            assert_eq!(rejection.failed_checks(), [check]);
        }
    }
    // Whoever endorses anything is nobody until the policy names the issuer.
    let own = good().under("measurement", &format!("\"{}\"", "ac".repeat(48)));
    let fields = ["uvm_issuers", "uvm_feeds", "uvm_svn", "uvm_signer_validity"];
    let report = fields.into_iter().fold(own, |subject, field| subject.under(field, "\"unchecked\"")).accepted();
    assert_eq!(report.finding(Check::UVM_ENDORSEMENT).unwrap().outcome().name(), "not-checked");
    assert!(report.endorsements().iter().all(|one| one.kind != "uvm-endorsement"));
}

/// What client and gateway judge: an envelope whose evidence is of the type `aci-snp`.
#[test]
fn an_envelope_of_it_proves_its_manifest() {
    let (manifest, context) = (manifest(), context(|_| {}));
    let device = SNP_DEVICE.clone().host_data(context.host_data()).measurement(forge::aci::MEASUREMENT);
    let set = device.report_data(binding::epoch(manifest.digest())).build();
    let mut members = serde_json::json!({ "report": hex::encode(&set.report) });
    context.files().into_iter().for_each(|(name, text)| members[name] = text.into());
    let envelope = |kind: EvidenceKind, bytes: Vec<u8>| Envelope {
        manifest: manifest.as_bytes().to_vec(),
        evidence: TeeEvidence { kind, bytes },
        endorsements: Some(Endorsements {
            kind: EndorsementsKind::PemCertificateChain,
            bytes: (forge::pem::chain(&set.certificates()) + &forge::pem::crl(set.crl.as_ref().unwrap())).into_bytes(),
        }),
        event_log: None,
        nonce: None,
    };
    let policy = good().under("report_data", "\"caller\"").load_policy();
    let judged = |kind, bytes| judged_by(&envelope(kind, bytes), &Asked::Epoch, &policy, AT);
    let proven = judged(EvidenceKind::AciSnp, members.to_string().into_bytes()).unwrap();
    assert_eq!(proven.attested().bound_to(), Some(BoundTo::Workload));
    assert_eq!(proven.attested().report().wrapping(), Wrapping::AzureAci);

    let refused = |kind, bytes: Vec<u8>, check: &str| {
        let refused = judged(kind, bytes).unwrap_err();
        assert_eq!(refused.checks, [check], "{refused}");
    };
    let mut other = members.clone();
    other["security-policy-base64"] = "cGFja2FnZQ==".into();
    refused(EvidenceKind::AciSnp, other.to_string().into_bytes(), "aci.policy");
    let mut none = members.clone();
    none.as_object_mut().unwrap().remove("reference-info-base64");
    refused(EvidenceKind::AciSnp, none.to_string().into_bytes(), "uvm.issuer");
    // The same report as another type of evidence, and what is no such evidence under this type.
    refused(EvidenceKind::SnpReport, set.report.clone(), "policy.profile");
    refused(EvidenceKind::AciSnp, set.report.clone(), "envelope.evidence-type");
}
