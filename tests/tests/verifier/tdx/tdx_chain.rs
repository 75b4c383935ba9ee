//! TDX, authentication: the chain to Intel's root, revocation, the PCK's SGX extension, the quoting enclave, the quote.

use sha2::{Digest as _, Sha256};
use teegate_forge::certificate::{Extension, Name};
use teegate_forge::der;
use teegate_forge::keys::Key;
use teegate_forge::tdx::{PckCa, Revoked, SGX_EXTENSION, SgxExtension, TdxBuilder, sgx_member};
use teegate_forge::time::{AT, DAY, YEAR};
use teegate_verifier::Tee;

use crate::case::{Case, cases, refused};
use crate::subject::{TDX_DEVICE, good, tdx, tdx_set};

cases! {
    root_pinned chain_parts chain_signatures chain_authority chain_validity revocation_state revocation_content
    pck_extension qe_signature qe_binding qe_identity qe_attributes signature
}

fn root_pinned() -> Vec<Case> {
    let forged = || tdx(|device| device.with_keys(|keys| keys.root = Key::p256()));
    let case = |subject, actual: &str| refused("tdx.chain.root-pinned", subject).actual(actual);
    // A forgery is authentic for whoever pins the forger's root, and for nobody else.
    let stranger = teegate_forge::tdx().build();
    let root = stranger.root_pem.clone();
    let stranger = tdx_set(stranger);
    // Two certificates of the same root key exist: the key is what is pinned.
    let another_certificate = tdx(|device| device.edit_root(|root| root.not_after += YEAR));
    vec![
        case(forged(), "another key").expected("Intel SGX Root CA"),
        case(good(Tee::Tdx).under_vendors(), "another key"),
        case(tdx(|device| device.edit_pck_ca(|ca| ca.issuer = Name::intel("Intel TDX Root CA"))), "Intel TDX Root CA"),
        case(forged(), "another key").twin(another_certificate),
        case(forged(), "another key").twin(stranger.clone().under_root(root)),
        case(stranger, "another key"),
    ]
}

fn chain_parts() -> Vec<Case> {
    let chain = |edit: fn(&mut Vec<Vec<u8>>)| tdx(|device| device.edit_chain(edit));
    let case = |subject, expected: &str| refused("tdx.chain.pck", subject).expected(expected);
    let text = |text: &'static [u8]| tdx(|device| device.edit_quote(|quote| quote.inner_data = text.to_vec()));
    vec![
        case(chain(|chain| drop(chain.remove(0))), "a certificate named `Intel SGX PCK Certificate`"),
        case(chain(|chain| drop(chain.remove(1))), "the CA that issued the PCK certificate"),
        case(chain(Vec::clear), "a certificate named `Intel SGX PCK Certificate`"),
        case(text(b""), "a certificate named `Intel SGX PCK Certificate`"),
        case(text(b"{}"), "certificates that can be read"),
        case(text(b"-----BEGIN CERTIFICATE-----\n"), "certificates that can be read"),
        case(text(b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), "certificates that can be read"),
        case(chain(|chain| chain[0].push(0)), "certificates that can be read"),
        case(chain(|chain| chain.extend(vec![chain[2].clone(); 6])), "certificates that can be read"),
        // The root need not be there, and the CA may come from the pool.
        case(chain(Vec::clear), "").twin(chain(|chain| drop(chain.pop()))),
        case(chain(Vec::clear), "").twin({
            let set = TDX_DEVICE.clone().edit_chain(|chain| chain.truncate(1)).build();
            let ca = set.pck_ca.clone();
            tdx_set(set).with_pool(|pool| pool.certificates.push(ca))
        }),
    ]
}

fn chain_signatures() -> Vec<Case> {
    let case = |subject, actual: &str| refused("tdx.chain.pck", subject).actual(actual);
    let pck = |edit: fn(&mut teegate_forge::certificate::Certificate)| tdx(|device| device.edit_pck(edit));
    let ca = |edit: fn(&mut teegate_forge::certificate::Certificate)| tdx(|device| device.edit_pck_ca(edit));
    // A forged hierarchy that hides its root: only the signature can tell.
    let hidden = tdx(|device| device.with_keys(|keys| keys.root = Key::p256()).edit_chain(|chain| drop(chain.pop())));
    let by_root = TDX_DEVICE.keys().root;
    vec![
        case(pck(|pck| pck.damaged_signature = true), "the PCK certificate is not signed by"),
        case(pck(|pck| pck.signer = Key::p256()), "the PCK certificate is not signed by"),
        case(
            tdx(|device| device.edit_pck(move |pck| pck.signer = by_root.clone())),
            "the PCK certificate is not signed by",
        ),
        case(ca(|ca| ca.damaged_signature = true), "Platform CA is not signed by the pinned root"),
        case(ca(|ca| ca.signer = Key::p384()), "Platform CA is not signed by the pinned root"),
        case(hidden, "Platform CA is not signed by the pinned root"),
    ]
}

fn chain_authority() -> Vec<Case> {
    let case = |subject, actual: &str| refused("tdx.chain.pck", subject).actual(actual);
    let ca = |extension: Extension| tdx(|device| device.edit_pck_ca(move |ca| ca.set_extension(extension.clone())));
    let pck = |extension: Extension| tdx(|device| device.edit_pck(move |pck| pck.set_extension(extension.clone())));
    let root = |extension: Extension| {
        let set = TDX_DEVICE.clone().edit_root(move |root| root.set_extension(extension.clone())).build();
        let pem = set.root_pem.clone();
        tdx_set(set).under_root(pem)
    };
    let named = tdx(|device| {
        let name = || Name::intel("Intel SGX TCB Signing");
        device.edit_pck_ca(move |ca| ca.subject = name()).edit_pck(move |pck| pck.issuer = name())
    });
    let unknown = || Extension::critical("1.2.3.4", vec![5, 0]);
    vec![
        case(named, "the CA is `Intel SGX TCB Signing`"),
        case(ca(Extension::basic_constraints(false, None)), "may not issue or revoke"),
        case(ca(Extension::key_usage(1, 0x02)), "may not issue or revoke"),
        case(ca(Extension::key_usage(1, 0x04)), "may not issue or revoke"),
        case(root(Extension::basic_constraints(true, Some(0))), "the root may not issue or revoke"),
        case(root(Extension::key_usage(1, 0x02)), "the root may not issue or revoke"),
        case(pck(Extension::basic_constraints(true, None)), "claims the powers of an authority"),
        // Bits of the first byte: 0x80 digitalSignature, 0x40 nonRepudiation, 0x04 keyCertSign, 0x02 cRLSign.
        case(pck(Extension::key_usage(0, 0x04)), "its key usage").twin(pck(Extension::key_usage(0, 0xC0))),
        case(pck(Extension::key_usage(0, 0x82)), "claims the powers of an authority"),
        case(pck(Extension::key_usage(0, 0x40)), "its key usage does not say that it signs")
            .twin(pck(Extension::key_usage(0, 0x80))),
        case(tdx(|device| device.edit_pck(|pck| pck.drop_extension("2.5.29.15"))), "its key usage"),
        case(pck(unknown()), "an unknown critical extension"),
        case(ca(unknown()), "an unknown critical extension"),
        case(root(unknown()), "an unknown critical extension"),
        case(tdx(|device| device.edit_pck(|pck| pck.duplicate_extension("2.5.29.15"))), "the same extension twice"),
        case(tdx(|device| device.edit_pck(|pck| pck.duplicate_extension(SGX_EXTENSION))), "the same extension twice"),
        case(tdx(|device| device.edit_pck_ca(|ca| ca.duplicate_extension("2.5.29.19"))), "the same extension twice"),
        case(pck(unknown()), "").twin(tdx(|device| device.pck_issuer(PckCa::Processor))),
    ]
}

fn chain_validity() -> Vec<Case> {
    let case = |subject, actual: &str, twin| refused("tdx.chain.pck", subject).actual(actual).twin(twin);
    let pck = |from, to| tdx(|device| device.edit_pck(move |pck| (pck.not_before, pck.not_after) = (from, to)));
    let ca = |from, to| tdx(|device| device.edit_pck_ca(move |ca| (ca.not_before, ca.not_after) = (from, to)));
    let root = |from, to| {
        let set = TDX_DEVICE.clone().edit_root(move |root| (root.not_before, root.not_after) = (from, to)).build();
        let pem = set.root_pem.clone();
        tdx_set(set).under_root(pem)
    };
    vec![
        case(pck(AT - YEAR, AT - 1), "PCK Certificate is valid from", pck(AT - YEAR, AT)),
        case(pck(AT + 1, AT + YEAR), "PCK Certificate is valid from", pck(AT, AT + YEAR)),
        case(ca(AT - YEAR, AT - 1), "Platform CA is valid from", ca(AT - YEAR, AT)),
        case(ca(AT + 1, AT + YEAR), "Platform CA is valid from", ca(AT, AT + YEAR)),
        case(root(AT - YEAR, AT - 1), "Root CA is valid from", root(AT - YEAR, AT)),
        case(root(AT + 1, AT + YEAR), "Root CA is valid from", root(AT, AT + YEAR)),
    ]
}

/// Each of the two lists: signed by its issuer, and thisUpdate <= now < nextUpdate.
fn revocation_state() -> Vec<Case> {
    type Edit = fn(TdxBuilder, Box<dyn Fn(&mut teegate_forge::crl::Crl) + Send + Sync>) -> TdxBuilder;
    let lists: [(&str, Edit); 2] = [
        ("Intel SGX Root CA", |device, edit| device.edit_root_crl(edit)),
        ("Intel SGX PCK Platform CA", |device, edit| device.edit_pck_crl(edit)),
    ];
    let mut cases = Vec::new();
    for (issuer, list) in lists {
        let window = |from: u64, to: Option<u64>| {
            tdx(|device| list(device, Box::new(move |crl| (crl.this_update, crl.next_update) = (from, to))))
        };
        let case = |subject, actual: String| refused("tdx.chain.revocation", subject).actual(actual);
        let unsigned = format!("a list of {issuer} that it did not sign");
        let [stale, early] = ["for", "of"].map(|word| format!("the list of {issuer} is {word} "));
        let stranger = tdx(|device| list(device, Box::new(|crl| crl.signer = Key::p256())));
        let pck = TDX_DEVICE.keys().pck;
        let by_pck = tdx(|device| list(device, Box::new(move |crl| crl.signer = pck.clone())));
        cases.extend([
            case(tdx(|device| list(device, Box::new(|crl| crl.damaged_signature = true))), unsigned.clone()),
            case(stranger, unsigned.clone()),
            case(by_pck, unsigned),
            case(window(AT - 2 * DAY, Some(AT)), stale.clone()).twin(window(AT - 2 * DAY, Some(AT + 1))),
            case(window(AT + 1, Some(AT + DAY)), early).twin(window(AT, Some(AT + DAY))),
            case(window(AT - DAY, None), format!("the list of {issuer} has no nextUpdate")),
        ]);
    }
    cases
}

fn revocation_content() -> Vec<Case> {
    let case = |which, actual: &str| refused("tdx.chain.revocation", tdx(|device| device.revoke(which))).actual(actual);
    // Serials are unique within one issuer only: the PCK's serial on the root's list is another certificate.
    let serial = |key: &Key| der::unsigned(&key.key_identifier());
    let keys = TDX_DEVICE.keys();
    let (pck, ca, signing) = (serial(&keys.pck), serial(&keys.pck_ca), serial(&keys.tcb_signing));
    let elsewhere = tdx(|device| {
        device.edit_root_crl(move |crl| crl.revoke(&pck)).edit_pck_crl(move |crl| {
            crl.revoke(&ca);
            crl.revoke(&signing);
        })
    });
    vec![
        case(Revoked::Pck, "the PCK certificate is revoked"),
        case(Revoked::PckCa, "the PCK CA is revoked"),
        case(Revoked::TcbSigning, "the TCB signing certificate is revoked"),
        case(Revoked::Pck, "revoked").twin(elsewhere),
        case(Revoked::Pck, "revoked").twin(tdx(|device| device.edit_pck_crl(|crl| crl.revoke(&[0])))),
    ]
}

fn pck_extension() -> Vec<Case> {
    let sgx = |edit: fn(&mut SgxExtension)| tdx(|device| device.edit_sgx_extension(edit));
    let case = |subject, actual: &str| refused("tdx.pck.extension", subject).actual(actual);
    let mut cases = vec![
        case(tdx(|device| device.edit_pck(|pck| pck.drop_extension(SGX_EXTENSION))), "no SGX extension"),
        case(sgx(|sgx| sgx.cpusvn[15] = 1), "a CPUSVN that differs"),
        case(sgx(|sgx| sgx.components[3] += 1), "a CPUSVN that differs"),
        case(sgx(|sgx| sgx.configuration = None), "a platform instance without its configuration"),
        case(sgx(|sgx| sgx.platform_instance_id = None), "a platform instance without its configuration"),
        case(sgx(|sgx| sgx.ppid.truncate(15)), "another length"),
        case(sgx(|sgx| sgx.fmspc.push(0)), "another length"),
        case(sgx(|sgx| sgx.pceid.truncate(1)), "another length"),
        case(sgx(|sgx| sgx.cpusvn.push(0)), "another length"),
        case(sgx(|sgx| sgx.appended = vec![sgx_member("8", &der::null())]), "an unknown member"),
        case(sgx(|sgx| sgx.appended = vec![der::sequence(&[der::oid("1.2.3.4"), der::null()])]), "an unknown member"),
        case(sgx(|sgx| sgx.replaced = vec![("2.4".to_owned(), der::integer(256))]), "a component SVN above 255"),
        case(sgx(|sgx| sgx.replaced = vec![("2.17".to_owned(), der::integer(65536))]), "a PCESVN above 65535"),
        case(sgx(|sgx| sgx.replaced = vec![("2.4".to_owned(), vec![2, 1, 0x82])]), "a negative number"),
        case(sgx(|sgx| sgx.replaced = vec![("7.1".to_owned(), vec![1, 1, 1])]), "neither 0x00 nor 0xFF"),
        case(sgx(|sgx| sgx.replaced = vec![("1".to_owned(), der::null())]), "another type than expected"),
    ];
    for member in ["1", "2", "3", "4", "5", "2.1", "2.16", "2.17", "2.18", "7.3"] {
        let absent = tdx(|device| device.edit_sgx_extension(move |sgx| sgx.dropped = vec![member.to_owned()]));
        let twice = tdx(|device| device.edit_sgx_extension(move |sgx| sgx.duplicated = vec![member.to_owned()]));
        cases.push(case(absent, "is absent"));
        cases.push(case(twice, "twice"));
    }
    cases[0] = cases[0].clone().twin(tdx(|device| device.pck_issuer(PckCa::Processor)));
    cases
}

fn qe_signature() -> Vec<Case> {
    let case = |subject| refused("tdx.qe.signature", subject).actual("no valid signature");
    let keys = TDX_DEVICE.keys();
    let by = |key: Key| tdx(|device| device.qe_report_signed_by(key));
    vec![
        case(by(Key::p256())),
        case(by(keys.attestation)),
        case(by(keys.pck_ca)),
        case(tdx(|device| device.edit_quote(|quote| quote.qe_report[100] ^= 1))),
        case(tdx(|device| device.edit_quote(|quote| quote.qe_report_signature = [0; 64]))),
        // A PCK on another curve signs nothing that a quote can carry.
        case(tdx(|device| device.edit_pck(|pck| pck.set_public_key(&Key::p384())))),
    ]
}

fn qe_binding() -> Vec<Case> {
    let case = |subject| refused("tdx.qe.binding", subject).expected("and 32 zero bytes");
    let stranger = Key::p256();
    let point: [u8; 64] = stranger.point().try_into().unwrap();
    vec![
        // A whole quote signed by a key that the quoting enclave never saw.
        case(tdx(|device| {
            device.quote_signed_by(stranger.clone()).edit_quote(move |quote| quote.attestation_key = point)
        })),
        case(tdx(|device| device.edit_quote(|quote| quote.auth_data[0] ^= 1))),
        case(tdx(|device| device.edit_quote(|quote| quote.auth_data.push(0)))),
        case(tdx(|device| device.edit_qe_report(|qe| qe.report_data[0] ^= 1))),
        case(tdx(|device| device.edit_qe_report(|qe| qe.report_data[32] = 1))),
        case(tdx(|device| device.edit_qe_report(|qe| qe.report_data[63] = 0x80))),
        case(tdx(|device| device.edit_qe_report(|qe| qe.report_data = [0; 64]))),
    ]
}

fn qe_identity() -> Vec<Case> {
    let case = |subject, actual: &str| refused("tdx.qe.identity", subject).expected("TD_QE, version 2").actual(actual);
    let mut cases: Vec<_> = ["QE", "QVE", "td_qe", ""]
        .map(|id| {
            let subject = tdx(|device| device.edit_qe_identity(move |identity| id.clone_into(&mut identity.id)));
            case(subject, &format!("the identity is of `{id}`"))
        })
        .to_vec();
    cases.extend([
        case(tdx(|device| device.edit_qe_identity(|identity| identity.version = 1)), "version 1"),
        case(tdx(|device| device.edit_qe_identity(|identity| identity.version = 3)), "version 3"),
        case(tdx(|device| device.edit_qe_report(|qe| qe.mrsigner[0] ^= 1)), "MRSIGNER"),
        case(tdx(|device| device.edit_qe_report(|qe| qe.mrsigner[31] ^= 1)), "MRSIGNER"),
        case(tdx(|device| device.edit_qe_identity(|identity| identity.mrsigner[9] ^= 1)), "MRSIGNER"),
        case(tdx(|device| device.edit_qe_report(|qe| qe.isvprodid = 1)), "ISVPRODID 1"),
        case(tdx(|device| device.edit_qe_report(|qe| qe.isvprodid = 0x0102)), "ISVPRODID 258"),
    ]);
    for index in 0..4 {
        let subject = tdx(|device| device.edit_qe_report(move |qe| qe.miscselect[index] = 1));
        cases.push(case(subject, "MISCSELECT"));
    }
    cases
}

/// Every bit of ATTRIBUTES that the mask covers; those that it leaves out may be anything.
fn qe_attributes() -> Vec<Case> {
    let flipped = |bit: usize| tdx(|device| device.edit_qe_report(move |qe| qe.attributes[bit / 8] ^= 1 << (bit % 8)));
    let mut cases: Vec<_> = (0..64)
        .filter(|bit| *bit != 2)
        .map(|bit| refused("tdx.qe.identity", flipped(bit)).actual("ATTRIBUTES"))
        .collect();
    // MODE64BIT is masked out by Intel, and so is XFRM.
    for bit in [2, 64, 127] {
        cases.push(refused("tdx.qe.identity", flipped(0)).twin(flipped(bit)));
    }
    cases
}

fn signature() -> Vec<Case> {
    let case = |subject| refused("tdx.signature", subject).actual("no valid signature");
    let keys = TDX_DEVICE.keys();
    // The enclave vouches for bytes that are no point of the curve: nothing can have been signed by them.
    let off_curve = tdx(|device| {
        let bound = Sha256::digest([&[1; 64][..], &(0..32).collect::<Vec<u8>>()].concat());
        device
            .edit_qe_report(move |qe| qe.report_data[..32].copy_from_slice(&bound))
            .edit_quote(|quote| quote.attestation_key = [1; 64])
    });
    let v5 = |offset: usize| tdx(|device| device.version_5(3).patch_after_signing(offset, &[0xFF]));
    vec![
        case(tdx(|device| device.quote_signed_by(Key::p256()))),
        case(tdx(|device| device.quote_signed_by(keys.pck.clone()))),
        case(off_curve),
        case(tdx(|device| device.edit_quote(|quote| quote.signature = Some([0; 64])))),
        case(tdx(|device| device.patch_after_signing(48 + 136, &[0xFF]))),
        case(tdx(|device| device.patch_after_signing(28, &[0xFF]))),
        case(v5(28)).twin(tdx(|device| device.version_5(3))),
        case(v5(54 + 600)).twin(tdx(|device| device.version_5(4))),
    ]
}
