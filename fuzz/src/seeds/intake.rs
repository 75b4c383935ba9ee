//! Evidence and endorsements in the forms in which people have them.

use teegate_measurements::{GENUINE, STRICT};
use teegate_protocol::evidence::EvidenceKind;

use crate::forged::{ROOTS, SNP, Seeds, TDX, cbor_record};
use crate::policy::policy_under;
use crate::seeds::protocol::envelope;

pub(super) fn of(target: &str) -> Seeds {
    let text = |text: &str| text.as_bytes().to_vec();
    match target {
        "evidence_json" => vec![
            ("coco-snp", text(&SNP.coco_evidence_without_chain())),
            ("coco-tdx", text(&TDX.coco_evidence())),
            ("hexadecimal", hex::encode(&SNP.report).into_bytes()),
            (
                "cmw",
                format!(
                    "[\"{}\",\"{}\",4]",
                    EvidenceKind::TdxQuote.media_type(),
                    teegate_encoding::base64::encode_url(&TDX.quote)
                )
                .into_bytes(),
            ),
        ],
        "evidence_cbor" => vec![
            ("record-snp", cbor_record(EvidenceKind::SnpReport.media_type(), &SNP.report)),
            ("record-tdx", cbor_record(EvidenceKind::TdxQuote.media_type(), &TDX.quote)),
            (
                "collection",
                [
                    &[0xA2, 0x68],
                    &b"evidence"[..],
                    &cbor_record(EvidenceKind::SnpReport.media_type(), &SNP.report),
                    &[0x68],
                    &b"__cmwc_t"[..],
                    &[0x65],
                    b"tag:a",
                ]
                .concat(),
            ),
        ],
        "endorsements" => vec![
            ("vcek.der", SNP.vek.clone()),
            ("list.der", TDX.pck_crl.clone()),
            ("chain.pem", text(&SNP.chain_pem())),
            ("tcb-info.json", text(&TDX.tcb_info_response())),
            ("qe-identity.json", text(&TDX.qe_identity_response())),
            ("table", SNP.certificate_table()),
        ],
        "bundle" => ["snp-accepted", "snp-malformed", "tdx-accepted-event-log"]
            .into_iter()
            .map(|name| {
                let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/0.1.0/bundles");
                (name, std::fs::read(folder.join(name).with_extension("json")).expect("a bundle of the tests"))
            })
            .collect(),
        "envelope" => vec![("envelope.json", envelope()), ("roots.pem", text(&ROOTS))],
        "policy" => vec![
            ("genuine.toml", text(GENUINE)),
            ("strict.toml", text(STRICT)),
            ("everything.toml", text(&policy_under(&ROOTS, "\"caller\""))),
        ],
        "reference_values" => vec![(
            "both.toml",
            text(&format!(
                "schema = 1\nname = \"forged\"\n\n[sev-snp]\nmeasurement = \"{}\"\nhost_data = \"{}\"\n\n[tdx]\nmrtd = [\"{}\"]\nrtmr0 = \"{}\"\n",
                "4d".repeat(48),
                "00".repeat(32),
                "7d".repeat(48),
                "a0".repeat(48),
            )),
        )],
        _ => Vec::new(),
    }
}
