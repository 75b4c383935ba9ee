//! Every signature that the forge makes, checked with another call of another algorithm object than the one that made it.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, UnparsedPublicKey, VerificationAlgorithm,
};
use teegate_forge as forge;
use teegate_forge::keys::{Key, RsaRole, SignatureAlgorithm, pss_identifier};
use teegate_forge::snp::{LeafKind, Product};
use teegate_forge::tdx::PckCa;

use crate::reader::{children, first, public_key, signed};

fn verifies(algorithm: &'static dyn VerificationAlgorithm, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
}

fn is_signed_by(der: &[u8], issuer: &[u8], algorithm: &'static dyn VerificationAlgorithm) -> bool {
    let parts = signed(der);
    verifies(algorithm, public_key(issuer), parts.tbs.whole, parts.signature)
}

/// r and s of a report, turned from little-endian to r ‖ s.
fn report_signature(report: &[u8]) -> Vec<u8> {
    let number = |offset: usize| report[offset..offset + 48].iter().rev().copied();
    number(0x2A0).chain(number(0x2E8)).collect()
}

fn report_verifies(report: &[u8], vek: &[u8]) -> bool {
    verifies(&ECDSA_P384_SHA384_FIXED, public_key(vek), &report[..0x2A0], &report_signature(report))
}

#[test]
fn snp_chains_and_reports_of_every_product() {
    for product in [Product::Milan, Product::Genoa, Product::Siena, Product::Turin] {
        for builder in [forge::snp().product(product), forge::snp().product(product).vlek("CN=cc-test")] {
            let set = builder.build();
            assert_eq!(set.report.len(), 1184);
            assert!(set.report[0x2D0..0x2E8].iter().chain(&set.report[0x318..]).all(|byte| *byte == 0));
            assert!(report_verifies(&set.report, &set.vek), "{product:?} report");
            assert!(is_signed_by(&set.vek, &set.intermediate, &RSA_PSS_2048_8192_SHA384), "{product:?} leaf");
            assert!(is_signed_by(&set.intermediate, &set.ark, &RSA_PSS_2048_8192_SHA384), "{product:?} intermediate");
            assert!(is_signed_by(&set.ark, &set.ark, &RSA_PSS_2048_8192_SHA384), "{product:?} root");
            let crl = set.crl.expect("a CRL");
            assert!(is_signed_by(&crl, &set.ark, &RSA_PSS_2048_8192_SHA384), "{product:?} CRL");
        }
    }
}

#[test]
fn a_clone_is_the_same_device() {
    let device = forge::snp();
    let set = device.build();
    assert!(report_verifies(&device.clone().report_data([1; 64]).report(), &set.vek));
    assert!(!report_verifies(&forge::snp().report(), &set.vek), "another device has another key");

    let platform = forge::tdx();
    let set = platform.build();
    let quote = platform.clone().report_data([1; 64]).quote_under(&set);
    assert!(quote_verifies(&quote, 632));
    assert_eq!(quote[636 + 64..636 + 128], set.quote[636 + 64..636 + 128], "the attestation key");
}

#[test]
fn defects_of_signatures_break_them_and_nothing_else() {
    let good = forge::snp();
    let set = good.build();
    let damaged = good.clone().edit_vek(|vek| vek.damaged_signature = true).build();
    assert_eq!(signed(&damaged.vek).tbs.whole, signed(&set.vek).tbs.whole);
    assert!(!is_signed_by(&damaged.vek, &set.intermediate, &RSA_PSS_2048_8192_SHA384));

    let stranger = good.clone().ark_key(Key::rsa(RsaRole::Stranger)).build();
    assert!(is_signed_by(&stranger.intermediate, &stranger.ark, &RSA_PSS_2048_8192_SHA384));
    assert!(!is_signed_by(&stranger.intermediate, &set.ark, &RSA_PSS_2048_8192_SHA384));

    let patched = good.clone().patch_after_signing(0x50, &[1]).build();
    assert!(!report_verifies(&patched.report, &patched.vek));
    let patched = good.clone().patch_before_signing(0x50, &[1]).build();
    assert!(report_verifies(&patched.report, &patched.vek));

    let crossed = good.clone().under_intermediate(LeafKind::Vlek).build();
    assert!(is_signed_by(&crossed.vek, &crossed.intermediate, &RSA_PSS_2048_8192_SHA384));
    assert!(!is_signed_by(&crossed.vek, &set.intermediate, &RSA_PSS_2048_8192_SHA384));
}

#[test]
fn algorithm_identifiers_are_those_of_the_signature_unless_they_lie() {
    let set = forge::snp().build();
    // Tag and length of the SEQUENCE, 11 bytes of OID, then the parameters: 57 bytes long in CA certificates, 52 in leaves.
    assert_eq!(signed(&set.ark).algorithm.whole.len(), 2 + 11 + 2 + 57);
    assert_eq!(signed(&set.vek).algorithm.whole.len(), 2 + 11 + 2 + 52);
    assert_eq!(children(&signed(&set.vek).tbs)[2].whole, signed(&set.vek).algorithm.whole);

    let lie = pss_identifier("2.16.840.1.101.3.4.2.2", "2.16.840.1.101.3.4.2.2", 32, None);
    let expected = lie.clone();
    let lied = forge::snp().edit_vek(move |vek| vek.outer_identifier = Some(lie.clone())).build();
    assert_eq!(signed(&lied.vek).algorithm.whole, expected);
    assert_eq!(
        children(&signed(&lied.vek).tbs)[2].whole,
        signed(&set.vek).algorithm.whole,
        "inside stands the true one"
    );

    let other = forge::snp().edit_vek(|vek| vek.algorithm = SignatureAlgorithm::PssSha256).build();
    assert!(is_signed_by(&other.vek, &other.intermediate, &RSA_PSS_2048_8192_SHA256));
    assert!(!is_signed_by(&other.vek, &other.intermediate, &RSA_PSS_2048_8192_SHA384));
    let other = forge::snp().edit_vek(|vek| vek.algorithm = SignatureAlgorithm::Pkcs1Sha384).build();
    assert!(is_signed_by(&other.vek, &other.intermediate, &RSA_PKCS1_2048_8192_SHA384));
}

/// The signature over `quote[..signed_length]` by the key in the quote.
fn quote_verifies(quote: &[u8], signed_length: usize) -> bool {
    let data = &quote[signed_length + 4..];
    let key = [&[4], &data[64..128]].concat();
    verifies(&ECDSA_P256_SHA256_FIXED, &key, &quote[..signed_length], &data[..64])
}

#[test]
fn tdx_chains_quotes_and_collateral_of_every_shape() {
    for (version, body_type, signed_length) in [(4, 2, 632), (5, 2, 54 + 584), (5, 3, 54 + 648), (5, 4, 54 + 885)] {
        for ca in [PckCa::Platform, PckCa::Processor] {
            let builder = if version == 4 { forge::tdx().version_4() } else { forge::tdx().version_5(body_type) };
            let set = builder.pck_issuer(ca).build();
            let quote = &set.quote;
            assert!(quote_verifies(quote, signed_length), "version {version} body {body_type}");

            let data = &quote[signed_length + 4..];
            assert_eq!(
                u32::from_le_bytes(quote[signed_length..signed_length + 4].try_into().unwrap()),
                data.len() as u32
            );
            let (qe_report, qe_signature) = (&data[134..518], &data[518..582]);
            assert!(verifies(&ECDSA_P256_SHA256_FIXED, public_key(&set.pck), qe_report, qe_signature));
            let bound = digest(&SHA256, &[&data[64..128], &data[584..616]].concat());
            assert_eq!(&qe_report[320..352], bound.as_ref());
            assert_eq!(&qe_report[352..], [0; 32]);
            assert_eq!(data[582..584], [32, 0]);
            assert_eq!(data[616..618], [5, 0]);
            assert!(data[622..].starts_with(b"-----BEGIN CERTIFICATE-----\n"));

            for (what, der, issuer) in [
                ("PCK", &set.pck, &set.pck_ca),
                ("PCK CA", &set.pck_ca, &set.root),
                ("root", &set.root, &set.root),
                ("TCB signing", &set.tcb_signing, &set.root),
                ("root CRL", &set.root_crl, &set.root),
                ("PCK CRL", &set.pck_crl, &set.pck_ca),
            ] {
                assert!(is_signed_by(der, issuer, &ECDSA_P256_SHA256_ASN1), "{what}");
            }
            for json in [&set.tcb_info, &set.qe_identity] {
                let key = public_key(&set.tcb_signing);
                assert!(verifies(&ECDSA_P256_SHA256_FIXED, key, json.body.as_bytes(), &json.signature));
                assert!(serde_json::from_str::<serde_json::Value>(&json.body).is_ok());
            }
        }
    }
}

#[test]
fn the_wrong_signer_is_the_one_asked_for() {
    let platform = forge::tdx();
    let keys = platform.keys();
    let set = platform.clone().tcb_info_signed_by(keys.pck.clone()).qe_report_signed_by(keys.pck_ca).build();
    let body = set.tcb_info.body.as_bytes();
    assert!(!verifies(&ECDSA_P256_SHA256_FIXED, public_key(&set.tcb_signing), body, &set.tcb_info.signature));
    assert!(verifies(&ECDSA_P256_SHA256_FIXED, public_key(&set.pck), body, &set.tcb_info.signature));
    let data = &set.quote[636..];
    assert!(verifies(&ECDSA_P256_SHA256_FIXED, public_key(&set.pck_ca), &data[134..518], &data[518..582]));
}

#[test]
fn containers_hold_what_they_wrap() {
    let set = forge::tdx().build();
    let collateral: serde_json::Value = serde_json::from_str(&set.dcap_collateral(true)).expect("JSON");
    assert_eq!(collateral["tcb_info"], set.tcb_info.body.as_str());
    assert_eq!(collateral["root_ca_crl"], hex::encode(&set.root_crl));
    assert!(collateral["pck_certificate_chain"].as_str().expect("PEM").ends_with("-----END CERTIFICATE-----\n"));
    let response = set.tcb_info_response();
    assert_eq!(
        response[r#"{"tcbInfo":"#.len()..].find(&set.tcb_info.body),
        Some(0),
        "the signed bytes stand as they are"
    );

    let set = forge::snp().build();
    let table = set.certificate_table();
    assert_eq!(hex::encode(&table[..16]), "63da758de6644564adc5f4b93be8accd");
    let at = |offset: usize| u32::from_le_bytes(table[offset..offset + 4].try_into().unwrap()) as usize;
    assert_eq!(table[at(16)..at(16) + at(20)], set.vek);
    assert_eq!(table[24 * 3..24 * 4], [0; 24]);
    assert_eq!(first(&table[at(24 * 2 + 16)..]).expect("an element").0.whole, set.ark);
}

#[test]
fn coco_evidence_says_what_the_report_says() {
    for (product, version) in [(Product::Milan, 2), (Product::Genoa, 3), (Product::Turin, 5)] {
        let set = forge::snp().product(product).version(version).build();
        let evidence: serde_json::Value = serde_json::from_str(&set.coco_evidence()).expect("JSON");
        let report = &evidence["attestation_report"];
        assert_eq!(report["version"], version);
        assert_eq!(report["policy"], 0x30000);
        assert_eq!(report["measurement"], serde_json::json!(set.report[0x90..0xC0]));
        assert_eq!(report["signature"]["s"], serde_json::json!(set.report[0x2E8..0x330]));
        assert_eq!(report["cpuid_fam_id"].is_null(), version == 2);
        assert_eq!(report["launch_mit_vector"].is_null(), version < 5);
        assert_eq!(report["current_tcb"]["fmc"].is_null(), product != Product::Turin);
        assert_eq!(report["current_tcb"]["microcode"], product.tcb().microcode);
        assert_eq!(report["current"]["build"], set.report[0x1E8]);
        assert_eq!(evidence["cert_chain"][0]["cert_type"], "VCEK");
        assert_eq!(evidence["cert_chain"][0]["data"], serde_json::json!(set.vek));
    }
}
