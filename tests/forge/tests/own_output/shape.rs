//! Forged certificates and CRLs beside recorded ones: the same tree of tags, the same OIDs, names, URLs, flags and usages; only values that belong to one
//! device or one day differ. Recorded files are not part of this repository; without them the comparison is skipped, and says so.

use std::path::PathBuf;

use teegate_forge as forge;
use teegate_forge::snp::Product;
use teegate_forge::tdx::PckCa;

use crate::reader::{Element, all};

/// The recorded evidence: `TEEGATE_FIXTURES`, or the folder beside the checkout.
fn recorded(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("TEEGATE_FIXTURES")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"), PathBuf::from);
    std::fs::read(folder.join(name)).ok()
}

/// One line an element: depth, tag, and the content where it has to agree.
fn skeleton(bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    for element in all(bytes).expect("DER") {
        walk(&element, 0, &mut lines);
    }
    lines
}

fn walk(element: &Element<'_>, depth: usize, lines: &mut Vec<String>) {
    let content = match element.tag {
        // OID, BOOLEAN, strings, URL: must be equal.
        0x06 | 0x01 | 0x0C | 0x13 | 0x86 => hex::encode(element.content),
        // keyUsage is a short BIT STRING; keys and signatures are long ones.
        0x03 if element.content.len() <= 2 => hex::encode(element.content),
        _ => String::new(),
    };
    lines.push(format!("{depth} {:02x} {content}", element.tag));
    let nested = match element.tag {
        tag if tag & 0x20 != 0 => Some(all(element.content).expect("constructed")),
        // extnValue holds DER, except for a raw HWID and key identifiers.
        0x04 => all(element.content).filter(|inner| inner.iter().all(|one| is_universal(one.tag))),
        _ => None,
    };
    for child in nested.unwrap_or_default() {
        walk(&child, depth + 1, lines);
    }
}

fn is_universal(tag: u8) -> bool {
    matches!(tag, 0x01..=0x06 | 0x0A | 0x0C | 0x13 | 0x16 | 0x30)
}

fn compare(name: &str, forged: &[u8]) {
    match recorded(name) {
        Some(real) => {
            let (real, forged) = (skeleton(&real), skeleton(forged));
            for (line, (real, forged)) in real.iter().zip(&forged).enumerate() {
                assert_eq!(real, forged, "{name}: element {line}, recorded on the left");
            }
            assert_eq!(real.len(), forged.len(), "{name}: count of elements");
        }
        None => eprintln!("SKIPPED: {name} is not here; set TEEGATE_FIXTURES to compare with recorded certificates"),
    }
}

#[test]
fn amd() {
    let milan = forge::snp().product(Product::Milan).build();
    compare("snp/milan-v3-dstack/vcek.der", &milan.vek);
    compare("snp-ca/milan/ask.der", &milan.intermediate);
    compare("snp-ca/milan/ark.der", &milan.ark);

    let vlek = forge::snp().product(Product::Milan).vlek("CN=cc-us-east-2.amazonaws.com").build();
    compare("snp/milan-v3-vlek-aws-coco/vlek.der", &vlek.vek);
    compare("snp-ca/milan/asvk.der", &vlek.intermediate);

    let genoa = forge::snp().product(Product::Siena).revoke(0x2_0001).build();
    compare("snp/siena-v5-confidential-ai/vcek.der", &genoa.vek);
    compare("snp-ca/genoa/ask.der", &genoa.intermediate);
    compare("snp-ca/genoa/ark.der", &genoa.ark);
    compare("snp-ca/crl/genoa-2024.crl", &genoa.crl.expect("a CRL"));

    let turin = forge::snp().product(Product::Turin).build();
    compare("snp/turin-v5-azure-ms/vcek.der", &turin.vek);
    compare("snp-ca/turin/ark.der", &turin.ark);
}

#[test]
fn intel() {
    let set = forge::tdx().build();
    compare("dcap-collateral/certs/intel-sgx-root-ca.der", &set.root);
    compare("dcap-collateral/certs/pck-platform-ca.der", &set.pck_ca);
    compare("dcap-collateral/certs/tcb-signing-2025.der", &set.tcb_signing);
    compare("dcap-collateral/pool/crl-root-20260226.der", &set.root_crl);
    let processor = forge::tdx().pck_issuer(PckCa::Processor).build();
    compare("dcap-collateral/certs/pck-processor-ca.der", &processor.pck_ca);
}

/// The order and the names of members are Intel's. `advisoryIDs` is optional and stands wherever a level has advisories.
#[test]
fn intel_json() {
    let set = forge::tdx().build();
    for (name, forged) in [
        ("dcap-collateral/pool/tcbinfo-tdx-b0c06f000000-20261008-ev20.json", set.tcb_info_response()),
        ("dcap-collateral/pool/qeid-td_qe-20261007-ev20.json", set.qe_identity_response()),
    ] {
        let Some(real) = recorded(name) else {
            eprintln!("SKIPPED: {name} is not here; set TEEGATE_FIXTURES to compare with recorded collateral");
            continue;
        };
        let real = String::from_utf8(real).expect("text");
        assert_eq!(member_names(&real), member_names(&forged), "{name}");
    }
}

/// Member names in order of their first appearance: a string is a name when a colon follows it.
fn member_names(json: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (index, text) in json.split('"').enumerate().filter(|(index, _)| index % 2 == 1) {
        let is_name = json.split('"').nth(index + 1).is_some_and(|after| after.starts_with(':'));
        if is_name && text != "advisoryIDs" && !names.iter().any(|name| name == text) {
            names.push(text.to_owned());
        }
    }
    names
}

/// A PCK leaf is recorded only inside quotes, in PEM.
#[test]
fn intel_pck_leaf() {
    let name = "tdx/v5-td15ex-b0c06f-dcap-qvl/quote.bin";
    let Some(quote) = recorded(name) else {
        eprintln!("SKIPPED: {name} is not here; set TEEGATE_FIXTURES to compare with a recorded PCK certificate");
        return;
    };
    let text = String::from_utf8_lossy(&quote);
    let pem = text.split("-----BEGIN CERTIFICATE-----").nth(1).expect("a certificate");
    let pem: String = pem.split("-----END").next().expect("its end").split_whitespace().collect();
    let real = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, pem).expect("base64");
    assert_eq!(skeleton(&real), skeleton(&forge::tdx().build().pck), "recorded on the left");
}
