//! Attestations as Google's Go libraries pass them around, in binary Protocol Buffers: `sevsnp.Attestation` (go-sev-guest,
//! `proto/sevsnp.proto`), `tdx.QuoteV4` and `tdx.QuoteV5` (go-tdx-guest, `proto/tdx.proto`) and `attest.Attestation` (go-tpm-tools,
//! `proto/attest.proto`), which carries one of the two beside a TPM's quotes.
//!
//! They hold the fields of a report or quote. The bytes that the processor signed are put together from them, reserved bytes zero, and
//! whether that is right needs no trust in this file: the signature covers the result. The TPM's part is not looked at.

use teegate_verifier::Tee;

use crate::error::Defect;
use crate::protobuf::{Message, broken};
use crate::statement::Statement;
use crate::unwrapped::Unwrapped;
use crate::wrapper::unrecognised;

/// Which of the messages the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    SevSnp,
    Tdx,
    Tpm,
    /// `tdx.DiceQuote` of go-tdx-guest: another kind of evidence, signed in COSE.
    Dice,
}

/// What the bytes are, if they have the shape of one of the messages. All of them begin with field 1, of bytes.
pub(crate) fn kind(bytes: &[u8]) -> Option<Kind> {
    const FIELD_1_OF_BYTES: u8 = 0x0A;
    if bytes.first() != Some(&FIELD_1_OF_BYTES) {
        return None;
    }
    let outer = Message::parse("Attestation", bytes).ok()?;
    // Its last field is a signature over P-384, of 96 bytes.
    if outer.has(10) && outer.exactly::<96>(11).is_ok() {
        return Some(Kind::Dice);
    }
    if outer.has(8) || outer.has(9) {
        return Some(Kind::Tpm);
    }
    let first = Message::parse("", outer.bytes(1).ok()?).ok()?;
    // A report has a signature of 512 bytes, the header of a quote the 16 bytes of a vendor.
    if first.exactly::<512>(28).is_ok() {
        return Some(Kind::SevSnp);
    }
    first.exactly::<16>(6).is_ok().then_some(Kind::Tdx)
}

/// Takes the evidence out of the message that fills `bytes`.
pub(crate) fn unwrap(kind: Kind, bytes: &[u8]) -> Result<Unwrapped, Defect> {
    let outer = Message::parse("Attestation", bytes)?;
    match kind {
        Kind::SevSnp => sev_snp(&outer, "go-sev-guest attestation"),
        Kind::Tdx => tdx(&outer, "go-tdx-guest quote"),
        Kind::Tpm => match (outer.has(8), outer.has(9)) {
            (true, false) => sev_snp(&outer.message(8, "sev_snp_attestation")?, "go-tpm-tools attestation"),
            (false, true) => tdx(&outer.message(9, "tdx_attestation")?, "go-tpm-tools attestation"),
            _ => Err(broken("it holds both an SEV-SNP report and a TDX quote")),
        },
        Kind::Dice => Err(unrecognised("a `DiceQuote` of go-tdx-guest, which this release does not verify")),
    }
}

fn sev_snp(attestation: &Message<'_>, form: &'static str) -> Result<Unwrapped, Defect> {
    // 1 report, 2 certificate_chain, 3 product: the sender's guess at what the signed bytes say themselves.
    attestation.only(|number| (1..=3).contains(&number))?;
    let bytes = report(&attestation.message(1, "report")?)?;
    let mut endorsements = Vec::new();
    if attestation.has(2) {
        let chain = attestation.message(2, "certificate_chain")?;
        // 1 VCEK, 6 VLEK, 2 ASK, 3 ARK. 4 and 7 are not certificates of this chain.
        for number in [1, 6, 2, 3] {
            // As in the host's table, from which it comes: what is empty or unreadable takes nothing from the others.
            match Statement::from_der(chain.bytes(number)?.to_vec()) {
                Ok(found @ Statement::Certificate(_)) => endorsements.push(found),
                Ok(_) => return Err(broken(format!("field {number} of `certificate_chain` is not a certificate"))),
                Err(_) => {}
            }
        }
    }
    Ok(Unwrapped::new(Tee::SevSnp, bytes, endorsements, form))
}

/// `ATTESTATION_REPORT`. AMD 56860 rev. 1.58, table 23.
fn report(fields: &Message<'_>) -> Result<Vec<u8>, Defect> {
    fields.only(|number| (1..=31).contains(&number))?;
    let version = fields.number(1)?;
    let mut bytes = Writer(Vec::new());
    bytes.put(&fields.little_endian::<4>(1)?); // version
    bytes.put(&fields.little_endian::<4>(2)?); // guest_svn
    bytes.put(&fields.little_endian::<8>(3)?); // policy
    bytes.put(&fields.exactly::<16>(4)?); // family_id
    bytes.put(&fields.exactly::<16>(5)?); // image_id
    bytes.put(&fields.little_endian::<4>(6)?); // vmpl
    bytes.put(&fields.little_endian::<4>(7)?); // signature_algo
    bytes.put(&fields.little_endian::<8>(8)?); // current_tcb
    bytes.put(&fields.little_endian::<8>(9)?); // platform_info
    bytes.put(&fields.little_endian::<4>(10)?); // signer_info
    bytes.reserved_to(0x050);
    bytes.put(&fields.exactly::<64>(11)?); // report_data
    bytes.put(&fields.exactly::<48>(12)?); // measurement
    bytes.put(&fields.exactly::<32>(13)?); // host_data
    bytes.put(&fields.exactly::<48>(14)?); // id_key_digest
    bytes.put(&fields.exactly::<48>(15)?); // author_key_digest
    bytes.put(&fields.exactly::<32>(16)?); // report_id
    bytes.put(&fields.exactly::<32>(17)?); // report_id_ma
    bytes.put(&fields.little_endian::<8>(18)?); // reported_tcb
    bytes.put(&cpuid(version, fields.number(29)?)?);
    bytes.reserved_to(0x1A0);
    bytes.put(&fields.exactly::<64>(19)?); // chip_id
    bytes.put(&fields.little_endian::<8>(20)?); // committed_tcb
    for [build, minor, major] in [[21, 22, 23], [24, 25, 26]] {
        for number in [build, minor, major] {
            bytes.put(&fields.little_endian::<1>(number)?);
        }
        bytes.put(&[0]);
    }
    bytes.put(&fields.little_endian::<8>(27)?); // launch_tcb
    bytes.put(&fields.little_endian::<8>(30)?); // launch_mit_vector
    bytes.put(&fields.little_endian::<8>(31)?); // current_mit_vector
    bytes.reserved_to(0x2A0);
    bytes.put(&fields.exactly::<512>(28)?); // signature
    Ok(bytes.0)
}

/// Family, model and stepping out of CPUID(1).EAX: base family in 8..12, extended family in 20..28, model in 4..8 and 16..20,
/// stepping in 0..4. AMD64 Architecture Programmer's Manual, volume 3, appendix E.3.2. Reports before version 3 have none.
fn cpuid(version: u64, eax: u64) -> Result<[u8; 3], Defect> {
    if version < 3 {
        return if eax == 0 { Ok([0; 3]) } else { Err(broken("`cpuid1eax_fms` stands in a report before version 3")) };
    }
    let bits = |from: u32, width: u32| eax >> from & ((1 << width) - 1);
    if eax & !0x0FFF_0FFF != 0 {
        return Err(broken("`cpuid1eax_fms` has bits outside family, model and stepping"));
    }
    let family = bits(8, 4).saturating_add(bits(20, 8));
    let numbers = [family, bits(16, 4) << 4 | bits(4, 4), bits(0, 4)];
    let [family, model, stepping] = numbers.map(u8::try_from);
    match (family, model, stepping) {
        (Ok(family), Ok(model), Ok(stepping)) => Ok([family, model, stepping]),
        _ => Err(broken("`cpuid1eax_fms` names a family of more than one byte")),
    }
}

/// A quote of version 4 or 5 with an ECDSA P-256 key. Intel TDX DCAP Quoting Library API, appendix 3.
fn tdx(quote: &Message<'_>, form: &'static str) -> Result<Unwrapped, Defect> {
    quote.only(|number| (1..=5).contains(&number))?;
    let mut bytes = Writer(Vec::new());
    let header = quote.message(1, "header")?;
    header.only(|number| (1..=7).contains(&number))?;
    bytes.put(&header.little_endian::<2>(1)?); // version
    bytes.put(&header.little_endian::<2>(2)?); // attestation_key_type
    bytes.put(&header.little_endian::<4>(3)?); // tee_type
    bytes.put(&header.exactly::<2>(5)?); // pce_svn, which go-tdx-guest reads first; both are zero in versions 4 and 5
    bytes.put(&header.exactly::<2>(4)?); // qe_svn
    bytes.put(&header.exactly::<16>(6)?); // qe_vendor_id
    bytes.put(&header.exactly::<20>(7)?); // user_data

    if header.number(1)? == 5 {
        let descriptor = quote.message(2, "td_quote_body_descriptor")?;
        descriptor.only(|number| (1..=3).contains(&number))?;
        bytes.put(&descriptor.little_endian::<2>(1)?); // td_quote_body_type
        bytes.put(&descriptor.little_endian::<4>(2)?); // td_quote_body_size
        let body = descriptor.message(3, "td_quote_body_v5")?;
        match descriptor.number(1)? {
            TDX_1_0 => td_report(&body, 12, &mut bytes)?,
            TDX_1_5 => {
                td_report(&body, 14, &mut bytes)?;
                bytes.put(&body.exactly::<16>(13)?); // tee_tcb_svn2
                bytes.put(&body.exactly::<48>(14)?); // mr_service_td
            }
            other => return Err(broken(format!("`td_quote_body_type` is {other}, expected 2 or 3"))),
        }
    } else {
        td_report(&quote.message(2, "td_quote_body")?, 12, &mut bytes)?;
    }

    bytes.put(&quote.little_endian::<4>(3)?); // signed_data_size
    signed_data(&quote.message(4, "signed_data")?, &mut bytes)?;
    bytes.put(quote.bytes(5)?); // extra_bytes
    Ok(Unwrapped::new(Tee::Tdx, bytes.0, Vec::new(), form))
}

/// Types of the body of a quote of version 5: TD report of TDX 1.0, and of 1.5 with two fields more.
const TDX_1_0: u64 = 2;
const TDX_1_5: u64 = 3;

/// The fields that every TD report has; there may be others up to `last`.
fn td_report(body: &Message<'_>, last: u64, bytes: &mut Writer) -> Result<(), Defect> {
    body.only(|number| (1..=last).contains(&number))?;
    bytes.put(&body.exactly::<16>(1)?); // tee_tcb_svn
    bytes.put(&body.exactly::<48>(2)?); // mr_seam
    bytes.put(&body.exactly::<48>(3)?); // mr_signer_seam
    for number in [4, 5, 6] {
        bytes.put(&body.exactly::<8>(number)?); // seam_attributes, td_attributes, xfam
    }
    for number in [7, 8, 9, 10] {
        bytes.put(&body.exactly::<48>(number)?); // mr_td, mr_config_id, mr_owner, mr_owner_config
    }
    let registers: Vec<&[u8]> = body.repeated(11).collect();
    if registers.len() != 4 || registers.iter().any(|register| register.len() != 48) {
        return Err(broken("`rtmrs` are not four registers of 48 bytes"));
    }
    registers.iter().for_each(|register| bytes.put(register));
    bytes.put(&body.exactly::<64>(12)?); // report_data
    Ok(())
}

fn signed_data(signed: &Message<'_>, bytes: &mut Writer) -> Result<(), Defect> {
    signed.only(|number| (1..=3).contains(&number))?;
    bytes.put(&signed.exactly::<64>(1)?); // signature
    bytes.put(&signed.exactly::<64>(2)?); // ecdsa_attestation_key
    let certification = signed.message(3, "certification_data")?;
    certification.only(|number| (1..=3).contains(&number))?;
    bytes.put(&certification.little_endian::<2>(1)?); // certificate_data_type
    bytes.put(&certification.little_endian::<4>(2)?); // size

    let qe = certification.message(3, "qe_report_certification_data")?;
    qe.only(|number| (1..=4).contains(&number))?;
    let report = qe.message(1, "qe_report")?;
    report.only(|number| (1..=12).contains(&number))?;
    bytes.put(&report.exactly::<16>(1)?); // cpu_svn
    bytes.put(&report.little_endian::<4>(2)?); // misc_select
    bytes.put(&report.exactly::<28>(3)?);
    bytes.put(&report.exactly::<16>(4)?); // attributes
    bytes.put(&report.exactly::<32>(5)?); // mr_enclave
    bytes.put(&report.exactly::<32>(6)?);
    bytes.put(&report.exactly::<32>(7)?); // mr_signer
    bytes.put(&report.exactly::<96>(8)?);
    bytes.put(&report.little_endian::<2>(9)?); // isv_prod_id
    bytes.put(&report.little_endian::<2>(10)?); // isv_svn
    bytes.put(&report.exactly::<60>(11)?);
    bytes.put(&report.exactly::<64>(12)?); // report_data
    bytes.put(&qe.exactly::<64>(2)?); // qe_report_signature

    let auth = qe.message(3, "qe_auth_data")?;
    auth.only(|number| (1..=2).contains(&number))?;
    bytes.put(&auth.little_endian::<2>(1)?); // parsed_data_size
    bytes.put(auth.bytes(2)?);
    let chain = qe.message(4, "pck_certificate_chain_data")?;
    chain.only(|number| (1..=3).contains(&number))?;
    bytes.put(&chain.little_endian::<2>(1)?); // certificate_data_type
    bytes.put(&chain.little_endian::<4>(2)?); // size
    bytes.put(chain.bytes(3)?);
    Ok(())
}

/// Fields one after the other; what lies between them is reserved and zero.
struct Writer(Vec<u8>);

impl Writer {
    fn put(&mut self, field: &[u8]) {
        self.0.extend_from_slice(field);
    }

    fn reserved_to(&mut self, offset: usize) {
        debug_assert!(self.0.len() <= offset);
        self.0.resize(offset, 0);
    }
}
