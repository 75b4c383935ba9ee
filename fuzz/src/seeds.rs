//! What the corpora begin with: forged evidence and its endorsements, and messages as the protocol writes them.
//!
//! `teegate-fuzz seeds` writes them. Keys of the forge are fresh in each process, so what it writes differs from run to run in
//! keys, signatures and digests, and in nothing else. Two corpora come from encoders that stand with other tests: `evidence_protobuf`
//! (`tests/tests/verifier/formats.rs`) and `corim` (`measurements/tests/corim.rs`).

mod attester;
mod azure;
mod cases;
mod enclave;
mod files;
mod intake;
mod protocol;
mod statements;

use teegate_encoding::base64;
use teegate_forge as forge;

use crate::forged::{SNP, Seeds, TDX, cbor_record};

/// The first inputs of this target.
pub fn of(target: &str) -> Seeds {
    let text = |text: &str| text.as_bytes().to_vec();
    match target {
        "hex" => vec![("digits", text("00ff10Aa")), ("sixteen", text(&"5a".repeat(16))), ("odd", text("0"))],
        "base64" => vec![
            ("padded", text("Zm9vYg==")),
            ("url", text("-_-_Zg")),
            ("lines", text("Zm9v\nYmFy\r\nZg==\n")),
            ("bytes", base64::encode([0xFB; 40]).into_bytes()),
        ],
        "pem" => vec![
            ("block", text("before\n-----BEGIN A B-----\nZm9v\n-----END A B-----\nbehind")),
            ("chain", text(&forge::pem::chain(&[[1_u8; 60], [2; 60]]))),
            ("list", text(&forge::pem::crl(&[7; 30]))),
        ],
        "der" | "document" => {
            let short = forge::der::sequence(&[
                forge::der::sequence(&[
                    forge::der::explicit(0, &forge::der::integer(2)),
                    forge::der::integer(7),
                    forge::der::sequence(&[forge::der::oid("1.2.840.113549.1.1.10")]),
                    forge::der::sequence(&[forge::der::set(&[forge::der::null()])]),
                    forge::der::sequence(&[forge::der::time(forge::time::AT), forge::der::time(4_000_000_000)]),
                ]),
                forge::der::bit_string(0, &forge::der::octet_string(&forge::der::boolean(true))),
            ]);
            vec![("short", short), ("list", TDX.pck_crl.clone())]
        }
        "npy" => files::npy(),
        "npz" => files::npz(),
        "table" => files::table(),
        "cbor" => vec![
            ("record", cbor_record("application/eat+cwt", &[1, 2, 3])),
            ("numbers", vec![0x83, 0x18, 0x64, 0x39, 1, 0, 0x1B, 0, 0, 0, 1, 0, 0, 0, 0]),
            ("map", vec![0xA2, 0x61, b'a', 0x01, 0x20, 0xC1, 0x41, 0xFF]),
        ],
        "cose" => {
            use forge::aci::cose::{array, bytes, map, number, sign1, text};
            let header = map(&[
                (number(1), number(-38)),
                (number(33), array(&[bytes(&[1]), bytes(&[2, 3])])),
                (number(34), array(&[number(-16), bytes(&[4; 32])])),
                (text("iss"), text("did")),
            ]);
            vec![
                ("endorsement", sign1(&header, &map(&[(text("timestamp"), bytes(&[5]))]), b"{}", &[6; 8])),
                ("least", sign1(&map(&[(number(1), number(-7))]), &map(&[]), &[], &[])),
            ]
        }
        "protobuf" => vec![(
            "message",
            vec![0x08, 0x96, 1, 0x12, 4, 0x0A, 2, 8, 5, 0x1D, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8],
        )],
        "json" => vec![
            (
                "members",
                text("{ \"a\" : {\"x\": 1.0,  \"y\":\"\\u0041\"} , \"b\":[null, true,\"\\ud83d\\ude00\"],\"\":-1e5}"),
            ),
            ("elements", text("[ [], {\"a\":[0]}, \"\\\\\\\"\", 18446744073709551615 ]")),
            ("string", text("\"\\u0061\\n\"")),
        ],
        "sev_snp_report" => {
            let vlek = forge::snp().vlek("forged-cloud").report();
            let older = forge::snp().product(forge::snp::Product::Milan).version(2).report();
            let turin = forge::snp().product(forge::snp::Product::Turin).report();
            vec![("genoa", SNP.report.clone()), ("vlek", vlek), ("milan-version-2", older), ("turin", turin)]
        }
        "tdx_quote" => {
            let body = |kind| forge::tdx().version_5(kind).build().quote;
            let padded = forge::tdx().trailing(&[0; 32]).build().quote;
            let without = forge::tdx().certification_data_3().build().quote;
            vec![
                ("version-4", TDX.quote.clone()),
                ("version-5-body-2", body(2)),
                ("version-5-body-3", body(3)),
                ("version-5-body-4", body(4)),
                ("padded", padded),
                ("without-a-chain", without),
            ]
        }
        "hints" => {
            let of = |kind: u8, body: &[u8]| [&[kind], body].concat();
            vec![
                ("vcek", of(b'c', &SNP.vek)),
                ("intermediate", of(b'c', &SNP.intermediate)),
                ("pck", of(b'c', &TDX.pck)),
                ("list", of(b'l', &TDX.pck_crl)),
                ("tcb-info", of(b't', TDX.tcb_info.body.as_bytes())),
                ("qe-identity", of(b'q', TDX.qe_identity.body.as_bytes())),
            ]
        }
        "verify_sev_snp" => cases::of_sev_snp(),
        "verify_tdx" => cases::of_tdx(),
        other => [
            azure::of(other),
            statements::of(other),
            attester::of(other),
            protocol::of(other),
            enclave::of(other),
            intake::of(other),
        ]
        .concat(),
    }
}
