//! Every single bit of accepted evidence flipped: each flip is refused before anything is appraised, or stands in a
//! stretch that no signature covers and nothing rests on, which is named here. CI flips every bit of a report and every
//! seventh of a quote, so that each byte is met and each of its bits in turn; `ci/full.sh` flips all of them.

use std::ops::Range;
use std::sync::LazyLock;

use teegate_forge::pem;
use teegate_tests::size;
use teegate_verifier::{Policy, Source, Stage, Tee, UnixTime, Verifier};

use crate::subject::{Subject, TDX_DEVICE, evidence, good, tdx, tdx_set};

/// Flips every bit of `range` and gives the bits whose flip was accepted. Two threads, each with a memory of its own:
/// the endorsements are authenticated once, the evidence every time.
fn survivors(subject: &Subject, range: Range<usize>) -> Vec<usize> {
    subject.accepted();
    let middle = range.start.midpoint(range.end);
    let policy = subject.load_policy();
    let halves = [range.start..middle, middle..range.end];
    std::thread::scope(|scope| {
        let threads = halves.map(|half| scope.spawn(|| survivors_of(subject, &policy, half)));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn survivors_of(subject: &Subject, policy: &Policy, range: Range<usize>) -> Vec<usize> {
    let endorsements = subject.pool.to_endorsements();
    let verifier = Verifier::new();
    let mut bytes = subject.evidence.clone();
    let mut survivors = Vec::new();
    let step = if bytes.len() > 2_000 { size::step(7) } else { 1 };
    for bit in (range.start * 8..range.end * 8).step_by(step) {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let evidence = evidence(subject.tee, &bytes, &endorsements);
        match verifier.verify(&evidence, policy, UnixTime::from_seconds(subject.now)) {
            Ok(_) => survivors.push(bit),
            // Appraisal would have refused a value that was believed.
            Err(rejection) => assert_ne!(rejection.stage(), Stage::Appraise, "bit {bit}: {rejection}"),
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    survivors
}

/// A policy that expects nothing in particular: only the signatures can tell.
fn indifferent(mut subject: Subject) -> Subject {
    let fields: &[&str] = match subject.tee {
        Tee::SevSnp => &[
            "bound_to",
            "minimum_tcb",
            "committed_firmware",
            "minimum_firmware",
            "platform_info",
            "policy_flags",
            "measurement",
            "host_data",
            "guest_svn",
            "family_id",
            "image_id",
            "report_id_ma",
            "vmpl",
            "id_key",
            "author_key",
            "report_data",
        ],
        Tee::Tdx => &[
            "bound_to",
            "tcb_status",
            "attributes",
            "xfam",
            "service_td",
            "mrtd",
            "rtmr0",
            "rtmr1",
            "rtmr2",
            "rtmr3",
            "mrseam",
            "mrconfigid",
            "mrowner",
            "mrownerconfig",
            "report_data",
        ],
        tee => unreachable!("no case of {tee}"),
    };
    for field in fields {
        subject = subject.under(field, "\"unchecked\"");
    }
    subject
}

/// All 1,184 bytes: what the signature covers, the signature, and the zeros behind it.
#[test]
fn every_bit_of_a_report() {
    let subject = indifferent(good(Tee::SevSnp));
    assert_eq!(subject.evidence.len(), 1184);
    assert_eq!(survivors(&subject, 0..1184), Vec::<usize>::new());
}

/// Reads a little-endian length inside the quote.
fn length_at(quote: &[u8], offset: usize) -> usize {
    u32::from_le_bytes(quote[offset..offset + 4].try_into().unwrap()) as usize
}

/// Where the certificate of this number begins that the quote carries: PCK certificate, CA, root.
fn carried(quote: &[u8], number: usize) -> usize {
    let begin = b"-----BEGIN CERTIFICATE-----";
    let certificates = quote.windows(begin.len()).enumerate().filter(|(_, window)| window == begin);
    certificates.map(|(at, _)| at).nth(number).unwrap()
}

/// The root, behind leaf and CA.
fn carried_root(quote: &[u8]) -> usize {
    carried(quote, 2)
}

/// Header, descriptor, body, signature, attestation key, QE report, its signature, authentication data, every type and
/// length between them, PCK certificate and CA: all of it.
///
/// What is left is the root certificate at the end of the chain. It is carried along and never used: the root that the
/// policy pins signs the CA. `the_carried_root_is_compared_and_never_used` says what is known of those bytes.
#[test]
fn every_bit_of_a_quote() {
    let subject = indifferent(good(Tee::Tdx));
    let root = carried_root(&subject.evidence);
    assert_eq!(survivors(&subject, 0..root), Vec::<usize>::new());
}

/// Whoever holds the CA's certificate from elsewhere, as every answer of Intel's service brings it along, does not need the
/// copy in the quote: there too a byte may then change, and the report says that the certificate came from elsewhere. What
/// the quote says and who signed it cannot change.
#[test]
fn every_bit_of_a_quote_whose_ca_is_supplied_as_well() {
    let subject = indifferent(good(Tee::Tdx));
    let (ca, root) = (TDX_DEVICE.build().pck_ca, TDX_DEVICE.build().root);
    let subject = subject.with_pool(|pool| pool.certificates.extend([ca, root]));
    let (ca, end) = (carried(&subject.evidence, 1), subject.evidence.len());
    assert_eq!(survivors(&subject, 0..ca), Vec::<usize>::new());
    let in_the_ca = survivors(&subject, ca..end);
    assert!(!in_the_ca.is_empty(), "nothing survives any more: make this cover the whole quote");
    for bit in in_the_ca {
        let changed = subject.clone().with_evidence(|quote| quote[bit / 8] ^= 1 << (bit % 8));
        let report = changed.accepted();
        let of_the_ca = report.endorsements().iter().find(|one| one.name.ends_with("Platform CA")).unwrap();
        assert_eq!(of_the_ca.source, Source::Supplied);
    }
}

/// The same for the longest body, whose header and body are laid out otherwise.
#[test]
fn every_bit_of_a_version_5_quote() {
    let subject = indifferent(tdx(|device| device.version_5(4)));
    let signed = 48 + 6 + 885;
    assert_eq!(length_at(&subject.evidence, 50), 885);
    assert_eq!(survivors(&subject, 0..signed), Vec::<usize>::new());
}

/// No signature of the evidence covers the carried root, and nothing rests on it. Where a flip is seen it is refused
/// (the text is no longer a chain, or the root's name now stands over another key); elsewhere it changes nothing.
#[test]
fn the_carried_root_is_compared_and_never_used() {
    let subject = indifferent(good(Tee::Tdx));
    let root = carried_root(&subject.evidence);
    let end = subject.evidence.len();
    let survivors = survivors(&subject, root..end);
    assert!(!survivors.is_empty(), "nothing survives any more: make every_bit_of_a_quote cover the whole quote");
    // The chain without it, and with another root's certificate of the same key, is accepted just the same.
    tdx(|device| device.edit_chain(|chain| drop(chain.pop()))).accepted();
    tdx(|device| device.edit_chain(|chain| chain[2] = OTHER_ROOT.clone())).accepted();
}

/// Another certificate of the same root key.
static OTHER_ROOT: LazyLock<Vec<u8>> =
    LazyLock::new(|| TDX_DEVICE.clone().edit_root(|root| root.set_serial(77)).build().root);

/// Zero padding behind the quote is tolerated, so its length is nobody's; its bits are not.
#[test]
fn every_bit_behind_a_quote() {
    let subject = indifferent(tdx(|device| device.trailing(&[0; 64])));
    let quote = subject.evidence.len() - 64;
    assert!(subject.evidence[quote..].iter().all(|byte| *byte == 0));
    assert_eq!(survivors(&subject, quote..quote + 64), Vec::<usize>::new());
}

/// The carried chain may be written in other ways that hold the same certificates: white space and a final NUL.
#[test]
fn other_encodings_of_the_same_chain() {
    for edit in [
        (|text: &mut String| text.push('\0')) as fn(&mut String),
        |text| text.push_str("\n\n"),
        |text| *text = text.trim_end().to_owned(),
        |text| *text = text.replace('\n', "\r\n"),
    ] {
        tdx(|device| {
            device.edit_quote(move |quote| {
                let mut text = String::from_utf8(quote.inner_data.clone()).unwrap();
                edit(&mut text);
                quote.inner_data = text.into_bytes();
            })
        })
        .accepted();
    }
}

/// Every byte of every endorsement that an acceptance rests on.
#[test]
fn every_byte_of_what_vouches_for_a_report() {
    let good = good(Tee::SevSnp);
    for index in 0..2 {
        refused_after_every_flip(&good, |subject| &mut subject.pool.certificates[index]);
    }
    refused_after_every_flip(&good, |subject| &mut subject.pool.crls[0]);
}

/// The same for TDX: TCB signing certificate, both lists, both signed texts and their signatures.
#[test]
fn every_byte_of_what_vouches_for_a_quote() {
    let good = good(Tee::Tdx);
    refused_after_every_flip(&good, |subject| &mut subject.pool.certificates[0]);
    for index in 0..2 {
        refused_after_every_flip(&good, |subject| &mut subject.pool.crls[index]);
    }
    for index in 0..64 {
        let info = good.clone().with_pool(|pool| pool.tcb_infos[0].signature[index] ^= 0x10);
        let identity = good.clone().with_pool(|pool| pool.qe_identities[0].signature[index] ^= 0x10);
        for subject in [info, identity] {
            assert_eq!(subject.rejected().failed_checks(), ["tdx.collateral.signer"]);
        }
    }
    let mut texts = good.clone();
    let policy = good.load_policy();
    let verifier = Verifier::new();
    for identity in [false, true] {
        let length = if identity { good.pool.qe_identities[0].body.len() } else { good.pool.tcb_infos[0].body.len() };
        for index in (0..length).step_by(size::step(5)) {
            let flip = |subject: &mut Subject| {
                let json = if identity { &mut subject.pool.qe_identities[0] } else { &mut subject.pool.tcb_infos[0] };
                let mut bytes = std::mem::take(&mut json.body).into_bytes();
                bytes[index] ^= 1;
                json.body = String::from_utf8(bytes).unwrap();
            };
            flip(&mut texts);
            let endorsements = texts.pool.to_endorsements();
            let evidence = evidence(Tee::Tdx, &texts.evidence, &endorsements);
            let verdict = verifier.verify(&evidence, &policy, UnixTime::from_seconds(texts.now));
            assert_eq!(verdict.unwrap_err().failed_checks(), ["tdx.collateral.signer"], "byte {index}");
            flip(&mut texts);
        }
    }
}

fn refused_after_every_flip(good: &Subject, target: impl Fn(&mut Subject) -> &mut Vec<u8>) {
    let policy = good.load_policy();
    let verifier = Verifier::new();
    let mut subject = good.clone();
    for index in (0..target(&mut subject).len()).step_by(size::step(3)) {
        target(&mut subject)[index] ^= 1 << (index % 8);
        let endorsements = subject.pool.to_endorsements();
        let evidence = evidence(subject.tee, &subject.evidence, &endorsements);
        let verdict = verifier.verify(&evidence, &policy, UnixTime::from_seconds(subject.now));
        let rejection = verdict.expect_err(&format!("byte {index} flipped"));
        assert_eq!(rejection.stage(), Stage::Authenticate, "byte {index}: {rejection}");
        target(&mut subject)[index] ^= 1 << (index % 8);
    }
}

/// Two certificates in one pool entry, in either form, are one entry that is no certificate.
#[test]
fn a_chain_in_one_entry_is_no_certificate() {
    let good = good(Tee::SevSnp);
    let chain = pem::chain(&good.pool.certificates).into_bytes();
    let whole = good.pool.certificates.concat();
    for entry in [chain, whole] {
        let subject = good.clone().with_pool(|pool| pool.certificates = vec![entry]);
        assert_eq!(subject.rejected().failed_checks(), ["snp.chain.present"]);
    }
    let _ = tdx_set(TDX_DEVICE.build()).accepted();
}
