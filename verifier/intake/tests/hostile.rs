//! Whatever the bytes: recognition ends, does not panic, and adds nothing to the pool when it fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its input should fail where it stands")]

use teegate_intake::{endorsements, evidence};
use teegate_verifier::Endorsements;

const CERTIFICATE_PEM: &str = "-----BEGIN CERTIFICATE-----\nMA4wDKADAgECAgEHMAAwAA==\n-----END CERTIFICATE-----\n";
const ENCODED_PEM: &str = "X: -----BEGIN%20X509%20CRL-----%0AMAkwBzAAMAAYATI%3D%0A-----END%20X509%20CRL-----%0A";

/// One well-formed document of every kind that is recognised.
fn documents() -> Vec<Vec<u8>> {
    let signature = "0a".repeat(64);
    let crl = teegate_encoding::hex::decode("3009300730003000180132").unwrap();
    let crl_guid = teegate_encoding::hex::decode("92f81bc358114d3d97ffd19f88dc67ea").unwrap();
    let table = [&crl_guid[..], &[48, 0, 0, 0, 11, 0, 0, 0], &[0; 24], &crl].concat();
    let report = [&[3, 0, 0, 0][..], &[0; 1_180]].concat();
    let quote = [&[4, 0, 2, 0, 0x81, 0, 0, 0][..], &[7; 40]].concat();
    let pem = serde_json::to_string(CERTIFICATE_PEM).unwrap();
    vec![
        crl,
        CERTIFICATE_PEM.as_bytes().to_vec(),
        ENCODED_PEM.as_bytes().to_vec(),
        format!("{{\"tcbInfo\":{{\"version\":3}},\"signature\":\"{signature}\"}}").into_bytes(),
        format!(
            "HTTP/2 200\r\n{ENCODED_PEM}\r\n\r\n{{\"tcbInfo\":{{}},\"chain\":{pem},\"signature\":\"{signature}\"}}"
        )
        .into_bytes(),
        format!("{{\"vcekCert\":{pem},\"certificateChain\":{pem}}}").into_bytes(),
        table.clone(),
        [report, table].concat(),
        teegate_encoding::hex::encode(&quote).into_bytes(),
        quote,
        b"[\"application/vnd.teegate.snp-report\",\"AwAAAA\",4]".to_vec(),
        b"\x83\x78\x22application/vnd.teegate.snp-report\x44\x03\0\0\0\x04".to_vec(),
        b"{\"quote\":\"BAACAIEAAAA=\",\"cc_eventlog\":\"AAAA\"}".to_vec(),
        b"00000000  04 00 02 00 81 00 00 00  |........|\n*\n00000010  07\n00000011\n".to_vec(),
        b"q[] = {0x04, 0x00, 0x02, 0x00, 0x81, 0x00, 0x00, 0x00};\n".to_vec(),
        b"{\"outblob\":\"BAACAIEAAAA=\",\"auxblob\":\"\",\"provider\":\"tdx_guest\"}".to_vec(),
        b"\xA1\x67outblob\x48\x04\0\x02\0\x81\0\0\0".to_vec(),
        format!(
            "{{\"a\":[{{\"b\":\"{}\"}}]}}",
            teegate_encoding::hex::encode([&[4, 0, 2, 0, 0x81, 0, 0, 0][..], &[7; 630]].concat())
        )
        .into_bytes(),
        format!(
            "{{\"collaterals\":{{\"x\":[{{\"enclaveIdentity\": {{}}, \"signature\":\"{signature}\"}}],\"y\":{pem}}}}}"
        )
        .into_bytes(),
    ]
}

/// Tries the bytes everywhere. Whether they are recognised is not the question here.
fn recognise(bytes: &[u8]) {
    let mut pool = Endorsements::new();
    if endorsements::recognise("hostile", bytes, &mut pool).is_err() {
        assert!(
            pool.is_empty(),
            "a failed recognition left something behind: {}",
            teegate_encoding::hex::encode(bytes)
        );
    }
    let _any_outcome = evidence::recognise(bytes, None);
}

#[test]
fn the_documents_are_recognised_as_they_stand() {
    for document in documents() {
        let mut pool = Endorsements::new();
        let endorsement = endorsements::recognise("document", &document, &mut pool).is_ok();
        let evidence = evidence::recognise(&document, None).is_ok();
        assert!(endorsement || evidence, "{}", teegate_encoding::hex::encode(&document));
    }
}

#[test]
fn no_cut_and_no_changed_byte_is_more_than_an_error() {
    for document in documents() {
        for position in 0..document.len() {
            recognise(&document[..position]);
            for value in [0x00, 0x01, 0x30, 0x7F, 0x80, 0x84, 0xFF, b'{', b'"', b'%'] {
                let mut changed = document.clone();
                changed[position] = value;
                recognise(&changed);
            }
        }
    }
}

#[test]
fn repetition_is_no_way_to_exhaust_anything() {
    for unit in [
        "HTTP/\n\n",
        "[",
        "{\"a\":",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN ",
        "%",
        "\"",
        "0",
        "\\",
        "\n\u{1}",
        "{\"schema\":\"teegate/bundle/1\",",
        "0x0,",
        "00000000: 00\n*\n",
        "{\"collaterals\":",
        "[{\"outblob\":\"AA==\"},",
        "[4,0,",
    ] {
        recognise(unit.repeat((1 << 20) / unit.len()).as_bytes());
    }
}
