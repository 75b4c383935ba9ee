//! One report and one quote in every form that evidence is passed around in: the same bytes come out, and the same verdict.
//!
//! The encoders here are written from the formats' definitions and share no line with the readers.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use teegate_forge as forge;
use teegate_intake::evidence;
use teegate_measurements::GENUINE;
use teegate_tests::harness::note;
use teegate_tests::size;
use teegate_verifier::{Policy, Tee, UnixTime, verify};

use crate::recorded::{crate_folder, fixtures};
use crate::subject::good;

/// Protocol Buffers: a field of bytes, or a number that is left out when it is zero.
pub(crate) fn field(number: u64, content: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn number(number: u64, value: u64) -> Vec<u8> {
    if value == 0 { Vec::new() } else { [varint(number << 3), varint(value)].concat() }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7F {
        bytes.push(0x80 | (value & 0x7F) as u8);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// `sevsnp.Report` of a raw report: the offsets of AMD 56860, table 23.
pub(crate) fn sev_report(raw: &[u8]) -> Vec<u8> {
    let uint = |field: u64, offset: usize, length: usize| number(field, little_endian(&raw[offset..offset + length]));
    let bytes = |number: u64, offset: usize, length: usize| field(number, &raw[offset..offset + length]);
    let [family, model, stepping] = [raw[0x188], raw[0x189], raw[0x18A]].map(u64::from);
    // CPUID(1).EAX: a family above 15 is 15 and an extension.
    let extended = family.saturating_sub(15);
    let eax = if family == 0 {
        0
    } else {
        extended << 20 | (model >> 4) << 16 | (family - extended) << 8 | (model & 15) << 4 | stepping
    };
    [
        uint(1, 0, 4),
        uint(2, 4, 4),
        uint(3, 8, 8),
        bytes(4, 0x10, 16),
        bytes(5, 0x20, 16),
        uint(6, 0x30, 4),
        uint(7, 0x34, 4),
        uint(8, 0x38, 8),
        uint(9, 0x40, 8),
        uint(10, 0x48, 4),
        bytes(11, 0x50, 64),
        bytes(12, 0x90, 48),
        bytes(13, 0xC0, 32),
        bytes(14, 0xE0, 48),
        bytes(15, 0x110, 48),
        bytes(16, 0x140, 32),
        bytes(17, 0x160, 32),
        uint(18, 0x180, 8),
        bytes(19, 0x1A0, 64),
        uint(20, 0x1E0, 8),
        uint(21, 0x1E8, 1),
        uint(22, 0x1E9, 1),
        uint(23, 0x1EA, 1),
        uint(24, 0x1EC, 1),
        uint(25, 0x1ED, 1),
        uint(26, 0x1EE, 1),
        uint(27, 0x1F0, 8),
        bytes(28, 0x2A0, 512),
        number(29, eax),
        uint(30, 0x1F8, 8),
        uint(31, 0x200, 8),
    ]
    .concat()
}

/// `tdx.QuoteV4` of a raw quote of version 4: the offsets of FORMATS, Intel's quote format.
fn tdx_quote(raw: &[u8]) -> Vec<u8> {
    let (body, at) = td_report(raw, 48);
    assert_eq!(at, 48 + 584);
    quote_around(raw, &body, at)
}

/// `tdx.QuoteV5` of a raw quote of version 5, with either body.
pub(crate) fn quote_v5(raw: &[u8]) -> Vec<u8> {
    let [kind, size] = [(48, 2), (50, 4)].map(|(offset, length)| little_endian(&raw[offset..offset + length]));
    let (mut body, mut at) = td_report(raw, 54);
    if size == 648 {
        body.extend([field(13, &raw[at..at + 16]), field(14, &raw[at + 16..at + 64])].concat());
        at += 64;
    }
    quote_around(raw, &[number(1, kind), number(2, size), field(3, &body)].concat(), at)
}

/// The fields that every TD report has, and where they end.
fn td_report(raw: &[u8], mut at: usize) -> (Vec<u8>, usize) {
    let mut body = Vec::new();
    for (number, length) in [(1, 16), (2, 48), (3, 48), (4, 8), (5, 8), (6, 8), (7, 48), (8, 48), (9, 48), (10, 48)]
        .into_iter()
        .chain([(11, 48); 4])
        .chain([(12, 64)])
    {
        body.extend(field(number, &raw[at..at + length]));
        at += length;
    }
    (body, at)
}

/// The message around `body`, behind which the signature begins at `at`.
fn quote_around(raw: &[u8], body: &[u8], at: usize) -> Vec<u8> {
    let uint = |field: u64, offset: usize, length: usize| number(field, little_endian(&raw[offset..offset + length]));
    let bytes = |number: u64, offset: usize, length: usize| field(number, &raw[offset..offset + length]);
    let header = [
        uint(1, 0, 2),
        uint(2, 2, 2),
        uint(3, 4, 4),
        bytes(4, 10, 2),
        bytes(5, 8, 2),
        bytes(6, 12, 16),
        bytes(7, 28, 20),
    ];
    let signed = little_endian(&raw[at..at + 4]) as usize;
    let (data, end) = (at + 4, at + 4 + signed);
    let qe = data + 64 + 64 + 6;
    let report = [
        bytes(1, qe, 16),
        uint(2, qe + 16, 4),
        bytes(3, qe + 20, 28),
        bytes(4, qe + 48, 16),
        bytes(5, qe + 64, 32),
        bytes(6, qe + 96, 32),
        bytes(7, qe + 128, 32),
        bytes(8, qe + 160, 96),
        uint(9, qe + 256, 2),
        uint(10, qe + 258, 2),
        bytes(11, qe + 260, 60),
        bytes(12, qe + 320, 64),
    ]
    .concat();
    let auth = qe + 384 + 64;
    let auth_length = little_endian(&raw[auth..auth + 2]) as usize;
    let chain = auth + 2 + auth_length;
    let certification = [
        field(1, &report),
        bytes(2, qe + 384, 64),
        field(3, &[uint(1, auth, 2), bytes(2, auth + 2, auth_length)].concat()),
        field(4, &[uint(1, chain, 2), uint(2, chain + 2, 4), field(3, &raw[chain + 6..end])].concat()),
    ]
    .concat();
    let certification = [uint(1, data + 128, 2), uint(2, data + 130, 4), field(3, &certification)].concat();
    let signed = [bytes(1, data, 64), bytes(2, data + 64, 64), field(3, &certification)].concat();
    let mut quote = [field(1, &header.concat()), field(2, body), uint(3, at, 4), field(4, &signed)].concat();
    if end < raw.len() {
        quote.extend(field(5, &raw[end..]));
    }
    quote
}

/// A CMW record in CBOR.
fn cbor_record(media_type: &str, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[0x83, 0x78, media_type.len() as u8], media_type.as_bytes(), &[0x59], &length, value, &[4]].concat()
}

/// A CMW collection in CBOR: label, type, value.
pub(crate) fn cbor_collection(records: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let text = |text: &str| [&[0x78, text.len() as u8], text.as_bytes()].concat();
    let mut collection = vec![0xA0 + records.len() as u8];
    for (label, media_type, value) in records {
        let length = u32::try_from(value.len()).unwrap().to_be_bytes();
        collection.extend([text(label), vec![0x82], text(media_type), vec![0x5A]].concat());
        collection.extend(length);
        collection.extend_from_slice(value);
    }
    collection
}

/// Every form of one report or quote, by the name that it is recognised under.
pub(crate) fn forms(tee: Tee, raw: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = hex::encode(raw);
    let base64 = STANDARD.encode(raw);
    let url = base64.replace('+', "-").replace('/', "_");
    let lines: Vec<u8> = base64.as_bytes().chunks(76).flat_map(|line| [line, b"\r\n"].concat()).collect();
    let mut forms = vec![
        ("raw bytes", raw.to_vec()),
        ("hexadecimal text", format!("0x{hex}\n").into_bytes()),
        ("base64 text", base64.into_bytes()),
        ("base64 text", lines),
        ("base64 text", url.trim_end_matches('=').to_owned().into_bytes()),
        ("base64 text", format!("{url}\n").into_bytes()),
    ];
    match tee {
        Tee::SevSnp => {
            let attestation = field(1, &sev_report(raw));
            forms.push(("go-tpm-tools attestation", [field(1, b"ak"), field(8, &attestation)].concat()));
            forms.push(("go-sev-guest attestation", attestation));
            forms.push(("CMW record in CBOR", cbor_record("application/vnd.teegate.snp-report", raw)));
            forms.push(("CoCo evidence JSON", forge::coco::snp_evidence(raw, None).into_bytes()));
            forms.push(("CoCo evidence JSON", forge::coco::older_snp_evidence(raw, None).into_bytes()));
        }
        Tee::Tdx => {
            let quote = match raw[0] {
                4 => Some(tdx_quote(raw)),
                _ => (raw[48] < 4).then(|| quote_v5(raw)),
            };
            if let Some(quote) = quote {
                forms.push(("go-tpm-tools attestation", [field(1, b"ak"), field(9, &quote)].concat()));
                forms.push(("go-tdx-guest quote", quote));
            }
            forms.push(("CMW record in CBOR", cbor_record("application/vnd.teegate.tdx-quote", raw)));
            forms.push(("CoCo evidence JSON", forge::coco::tdx_evidence(raw).into_bytes()));
            for log in [None, Some("INIT sha384/00")] {
                forms.push(("CoCo evidence JSON", forge::coco::older_tdx_evidence(raw, log).into_bytes()));
            }
        }
        tee => unreachable!("no case of {tee}"),
    }
    forms
}

/// Every form gives the bytes back.
fn assert_same_bytes(id: &str, tee: Tee, raw: &[u8]) -> usize {
    let forms = forms(tee, raw);
    for (form, bytes) in &forms {
        let found = evidence::recognise(bytes, None).unwrap_or_else(|error| panic!("{id}, {form}: {error}"));
        assert_eq!((found.tee, found.form), (tee, *form), "{id}");
        assert_eq!(hex::encode(&found.bytes), hex::encode(raw), "{id}, {form}");
        assert!(evidence::recognise(bytes, Some(tee)).is_ok(), "{id}, {form}");
    }
    forms.len()
}

#[test]
fn forged_evidence_is_the_same_in_every_form() {
    for tee in [Tee::SevSnp, Tee::Tdx] {
        let subject = good(tee);
        assert_same_bytes("forged", tee, &subject.evidence);
        for (form, bytes) in forms(tee, &subject.evidence) {
            let found = evidence::recognise(&bytes, None).unwrap();
            let judged = subject.clone().with_evidence(|evidence| *evidence = found.bytes).judge();
            assert!(judged.is_ok(), "{form}: {}", judged.unwrap_err());
        }
    }
}

#[test]
fn certificates_come_along_where_the_form_carries_them() {
    let device = forge::snp();
    let set = device.build();
    let certificates = set.certificates();
    let chain: Vec<u8> = certificates.iter().zip([1, 2, 3]).flat_map(|(der, number)| field(number, der)).collect();
    let bytes = [field(1, &sev_report(&set.report)), field(2, &chain)].concat();
    assert_eq!(evidence::recognise(&bytes, None).unwrap().endorsements.len(), certificates.len());

    let coco = forge::coco::snp_evidence(&set.report, Some(&[("VCEK", &certificates[0])]));
    assert_eq!(evidence::recognise(coco.as_bytes(), None).unwrap().endorsements.len(), 1);
    let older = forge::coco::older_snp_evidence(&set.report, Some(&[("VCEK", &certificates[0]), ("OTHER", &[])]));
    // Kinds that are no certificates are said with a GUID.
    let older = older.replace("\"OTHER\"", "{\"OTHER\":\"00000000-0000-0000-0000-000000000000\"}");
    assert_eq!(evidence::recognise(older.as_bytes(), None).unwrap().endorsements.len(), 1);
    // An entry that is empty or unreadable takes nothing from the others.
    for junk in [&b""[..], b"no DER", &certificates[1][..20]] {
        let chain = [field(2, junk), field(1, &certificates[0])].concat();
        let bytes = [field(1, &sev_report(&set.report)), field(2, &chain)].concat();
        assert_eq!(evidence::recognise(&bytes, None).unwrap().endorsements.len(), 1);
        let coco = forge::coco::snp_evidence(&set.report, Some(&[("ASK", junk), ("VCEK", &certificates[0])]));
        assert_eq!(evidence::recognise(coco.as_bytes(), None).unwrap().endorsements.len(), 1);
    }
    let lie = forge::coco::snp_evidence(&set.report, Some(&[("CRL", &certificates[0])]));
    let error = evidence::recognise(lie.as_bytes(), None).unwrap_err().to_string();
    assert!(error.contains("is not of the kind that it says"), "{error}");
}

#[test]
fn what_a_form_cannot_carry_faithfully_is_refused_by_name() {
    let report = sev_report(&good(Tee::SevSnp).evidence);
    let quote = tdx_quote(&good(Tee::Tdx).evidence);
    for (bytes, expected) in [
        (field(1, &[report.clone(), number(32, 1)].concat()), "`report` has field 32, which is not known here"),
        (field(1, &[report.clone(), number(1, 5)].concat()), "field 1 of `report` stands twice"),
        ([field(1, &report), field(4, b"")].concat(), "`Attestation` has field 4"),
        (field(1, &[report.clone(), number(29, 1 << 40)].concat()), "field 29 of `report` stands twice"),
        ([quote.clone(), field(6, b"")].concat(), "`Attestation` has field 6"),
        ([quote.clone(), field(4, b"")].concat(), "field 4 of `Attestation` stands twice"),
        ([field(8, b""), field(9, b"")].concat(), "begin with 42004a00"),
        ([field(1, b""), field(8, b""), field(9, b"")].concat(), "both an SEV-SNP report and a TDX quote"),
        ([field(1, b""), field(8, b"")].concat(), "`sev_snp_attestation` has no `report`"),
        ([field(1, b""), field(9, &field(1, &[]))].concat(), "field 5 of `header` has 0 bytes, expected 2"),
    ] {
        let error = evidence::recognise(&bytes, None).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn no_cut_and_no_changed_byte_of_any_form_is_more_than_an_error() {
    for tee in [Tee::SevSnp, Tee::Tdx] {
        let mut forms = forms(tee, &good(tee).evidence);
        forms.dedup_by_key(|(form, _)| *form);
        for (_, bytes) in forms {
            for position in (0..bytes.len()).step_by(size::step(29)) {
                let _any_outcome = evidence::recognise(&bytes[..position], None);
                for value in [0x00, 0x0A, 0x7F, 0x80, 0xFF] {
                    let mut changed = bytes.clone();
                    changed[position] = value;
                    let _any_outcome = evidence::recognise(&changed, None);
                }
            }
        }
    }
}

/// Every recorded report and quote that is one of a known version, by name.
pub(crate) fn recorded() -> Option<Vec<(String, Tee, Vec<u8>)>> {
    let fixtures = fixtures()?;
    let mut recorded = Vec::new();
    for (folder, name, tee) in [("snp", "report.bin", Tee::SevSnp), ("tdx", "quote.bin", Tee::Tdx)] {
        let mut folders: Vec<PathBuf> =
            std::fs::read_dir(fixtures.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        for folder in folders.into_iter().filter(|folder| folder.join(name).is_file()) {
            let id = folder.file_name().unwrap().to_string_lossy().into_owned();
            let raw = std::fs::read(folder.join(name)).unwrap();
            // One report is no real one: version 1.
            let whole = match tee {
                Tee::SevSnp => raw.len() == 1_184 && (2..=5).contains(&raw[0]),
                Tee::Tdx => [4, 5].contains(&raw[0]),
                tee => unreachable!("no case of {tee}"),
            };
            recorded.extend(whole.then_some((id, tee, raw)));
        }
    }
    Some(recorded)
}

#[test]
fn recorded_evidence_is_the_same_in_every_form() {
    let Some(recorded) = recorded() else { return };
    let total: usize = recorded.iter().map(|(id, tee, raw)| assert_same_bytes(id, *tee, raw)).sum();
    let recorded = recorded.len();
    note(&format!("recorded reports and quotes in other forms: {recorded}, in {total} forms, every byte as it was"));
    assert!(recorded >= 36, "only {recorded}");
}

#[test]
fn hexadecimal_as_the_dcap_qvl_crate_carries_it_has_its_verdict() {
    let sample = crate_folder("dcap-qvl").join("sample");
    let policy = Policy::parse(GENUINE).unwrap();
    for name in ["tdx-quote.hex", "quote-from-tappd.hex"] {
        let found = evidence::load(&sample.join(name), None).unwrap();
        assert_eq!((found.tee, found.form), (Tee::Tdx, "hexadecimal text"), "{name}");
        assert!(teegate_verifier::inspect(Tee::Tdx, &found.bytes).is_ok(), "{name}");
        // Without collateral it is refused for that and nothing else.
        let at = UnixTime::parse("2025-07-04T10:16:31Z").unwrap();
        let rejection = verify(&found.as_evidence(&found.endorsements), &policy, at).unwrap_err();
        assert_eq!(rejection.stage().rejection(), "unauthentic", "{name}: {rejection}");
    }
}
