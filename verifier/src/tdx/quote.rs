//! The quote: Intel TDX DCAP Quote Generation Library, quote format; versions 4 and 5, TEE type TDX.

use super::profile::Trailing;
use crate::bytes::{Mr, ReportData};
use crate::check::Check;
use crate::findings::{Comparison, Findings, Stop};
use crate::reader::{OutOfBounds, Reader};
use crate::report::Text;
use crate::signature::{Scheme, holds};
use crate::stage::Signed;
use crate::words::{Value, words};

/// Id of Intel's quoting enclave: 939A7233-F79C-4CA9-940A-0DB3957F0607, bytes as written.
const INTEL_QE_VENDOR: [u8; 16] =
    [0x93, 0x9A, 0x72, 0x33, 0xF7, 0x9C, 0x4C, 0xA9, 0x94, 0x0A, 0x0D, 0xB3, 0x95, 0x7F, 0x06, 0x07];
const TEE_TYPE_TDX: u32 = 0x81;
const ECDSA_P256: u16 = 2;
const HEADER_BYTES: usize = 48;

/// A parsed quote. Intel TDX DCAP Quote Generation Library, quote format, versions 4 and 5.
#[derive(Clone, Debug)]
pub(crate) struct Quote<'a> {
    /// 48 bytes at 0.
    header: Header<'a>,
    /// 2 for TD 1.0, 3 for TD 1.5, 4 for its extension: in version 5 the descriptor's type at 48, in version 4 always 2.
    pub(crate) body_type: u16,
    /// Header, descriptor (version 5) and body: what the attestation key signs.
    signed: &'a [u8],
    /// The TD report body: 584, 648 or 885 bytes at 48, in version 5 at 54.
    pub(crate) body: Body<'a>,
    /// ECDSA over what is signed: r and s, 64 bytes, big-endian; behind the length of the signature data.
    signature: &'a [u8; 64],
    /// x and y, big-endian.
    pub(crate) attestation_key: &'a [u8; 64],
    /// The quoting enclave's report, 384 bytes in the certification data of type 6.
    pub(crate) qe: QeReport<'a>,
    /// The PCK's signature over that report: r and s, 64 bytes.
    pub(crate) qe_signature: &'a [u8; 64],
    /// What the report's REPORTDATA binds beside the attestation key; the enclave's own.
    pub(crate) qe_auth_data: &'a [u8],
    /// The certification data inside that of type 6.
    pub(crate) certification: Certification<'a>,
    /// Bytes behind the quote.
    pub(crate) trailing: &'a [u8],
}

/// What of the header is signed and means nothing to a verdict: shown, since a reader may know more.
#[derive(Clone, Copy, Debug)]
struct Header<'a> {
    /// 2 bytes at 0: 4 or 5.
    version: u16,
    /// 4 bytes at 8: the SVNs of QE and PCE in version 3, reserved since.
    reserved: &'a [u8; 4],
    /// 20 bytes at 28, the quoting enclave's own.
    user_data: &'a [u8; 20],
}

/// TD report body. Intel TDX Module ABI Specification, TEE_TCB_INFO and TDINFO.
#[derive(Clone, Debug)]
pub(crate) struct Body<'a> {
    /// TEE_TCB_SVN, 16 bytes at 0: security versions of the TDX module; byte 0 its SVN, byte 1 its version.
    pub(crate) tee_tcb_svn: &'a [u8; 16],
    /// MRSEAM, 48 bytes at 16: the measurement of the TDX module.
    pub(crate) mrseam: Mr,
    /// MRSIGNERSEAM, 48 bytes at 64: its signer; zero for Intel's.
    pub(crate) mrsignerseam: Mr,
    /// SEAMATTRIBUTES, 8 bytes at 112: zero for a module in production.
    pub(crate) seam_attributes: &'a [u8; 8],
    /// TDATTRIBUTES, 8 bytes at 120: TUD (7:0), then bits by name in [`super::profile::ATTRIBUTE_BITS`].
    pub(crate) td_attributes: u64,
    /// XFAM, 8 bytes at 128: the extended features that the TD may use.
    pub(crate) xfam: u64,
    /// MRTD, 48 bytes at 136: SHA-384 of what was built into the TD: its firmware.
    pub(crate) mrtd: Mr,
    /// MRCONFIGID, 48 bytes at 184: what the host bound.
    pub(crate) mrconfigid: Mr,
    /// MROWNER, 48 bytes at 232: whom the host named.
    pub(crate) mrowner: Mr,
    /// MROWNERCONFIG, 48 bytes at 280: the owner's configuration, as the host named it.
    pub(crate) mrownerconfig: Mr,
    /// RTMR0 to RTMR3, 48 bytes each at 328, 376, 424 and 472: what firmware and guest extended.
    pub(crate) rtmrs: [Mr; 4],
    /// REPORTDATA, 64 bytes at 520: what the TD asked to have attested.
    pub(crate) report_data: ReportData,
    /// TD 1.5 and later.
    pub(crate) td15: Option<Td15<'a>>,
}

/// What TD 1.5 adds.
#[derive(Clone, Debug)]
pub(crate) struct Td15<'a> {
    /// TEE_TCB_SVN2, 16 bytes at 584: of the module that runs now; TEE_TCB_SVN are those of the launch.
    pub(crate) tee_tcb_svn2: &'a [u8; 16],
    /// MRSERVICETD, 48 bytes at 600: the hash of the service TDs that are bound; zero for none.
    pub(crate) mrservicetd: Mr,
    /// Initial and current hash of the service TDs, 48 bytes each at 729 and 829 (body type 4).
    pub(crate) service_td_hashes: Option<[Mr; 2]>,
}

/// The quoting enclave's report: an SGX REPORT body, of which these fields matter.
#[derive(Clone, Debug)]
pub(crate) struct QeReport<'a> {
    /// All of it, which the PCK signs.
    pub(crate) bytes: &'a [u8; 384],
    /// MISCSELECT, 4 bytes at 16.
    pub(crate) miscselect: &'a [u8; 4],
    /// ATTRIBUTES, 16 bytes at 48.
    pub(crate) attributes: &'a [u8; 16],
    /// MRSIGNER, 32 bytes at 128.
    pub(crate) mrsigner: &'a [u8; 32],
    /// ISVPRODID, 2 bytes at 256.
    pub(crate) isvprodid: u16,
    /// ISVSVN, 2 bytes at 258.
    pub(crate) isvsvn: u16,
    /// REPORTDATA, 64 bytes at 320: SHA-256 of attestation key and authentication data, then zeros.
    pub(crate) report_data: &'a [u8; 64],
}

/// Where the PCK certificate is.
#[derive(Clone, Debug)]
pub(crate) enum Certification<'a> {
    /// Type 5: the PEM chain itself.
    Chain(&'a [u8]),
    /// Type 3: encrypted PPID, CPUSVN, PCESVN, PCEID; the chain must be supplied.
    Platform { cpu_svn: &'a [u8; 16], pce_svn: u16, pce_id: &'a [u8; 2] },
}

impl Signed for Quote<'_> {
    /// The quote brings its attestation key along; whoever asks has seen the QE, signed by the PCK, vouch for it.
    type Key<'k> = ();

    fn is_signed_by(&self, (): ()) -> bool {
        holds(Scheme::EcdsaP256Fixed, &point(self.attestation_key), self.signed, self.signature)
    }
}

/// An uncompressed point from x and y.
fn point(key: &[u8; 64]) -> [u8; 65] {
    let mut point = [4; 65];
    for (to, from) in point.iter_mut().skip(1).zip(key) {
        *to = *from;
    }
    point
}

/// Bytes -> quote. Every rule here is about the encoding.
pub(crate) fn parse<'a>(bytes: &'a [u8], trailing: Trailing, findings: &mut Findings) -> Result<Quote<'a>, Stop> {
    let mut reader = Reader::new(bytes);
    let header = read_header(&mut reader, findings)?;
    let (body_type, body_size) = read_body_type(&mut reader, header.version, findings)?;
    let body_bytes = reader.bytes(body_size).map_err(|end| short("body", end, findings))?;
    let body = read_body(body_bytes, body_type).map_err(|end| short("body", end, findings))?;
    let signed_length = bytes.len() - reader.rest().len();
    let signed = bytes.get(..signed_length).unwrap_or(bytes);

    let declared = reader.u32_le().map_err(|end| short("signature data", end, findings))?;
    let length = usize::try_from(declared).unwrap_or(usize::MAX);
    let signature_data = reader.bytes(length).map_err(|end| short("signature data", end, findings))?;
    let quote_parts = read_signature_data(signature_data).map_err(|(field, end)| short(field, end, findings))?;
    let certification = read_certification(quote_parts.certification_type, quote_parts.certification_data, findings)?;

    let behind = reader.rest();
    let zero = behind.iter().all(|byte| *byte == 0);
    let (expected, actual) = match (behind.len(), zero) {
        (0, _) => ("zero bytes or nothing", "nothing".into()),
        (length, true) => ("zero bytes or nothing", words!("{} zero bytes", length)),
        (length, false) => (
            if trailing == Trailing::Any { "anything, as the policy allows" } else { "zero bytes or nothing" },
            words!("{} bytes, not all zero", length),
        ),
    };
    let comparison = Comparison::of_field(Check::TDX_BYTES_LENGTHS, "behind the quote", expected, actual);
    findings.require(zero || trailing == Trailing::Any, comparison)?;

    let QuoteParts { signature, attestation_key, qe, qe_signature, qe_auth_data, .. } = quote_parts;
    Ok(Quote {
        header,
        body_type,
        signed,
        body,
        signature,
        attestation_key,
        qe,
        qe_signature,
        qe_auth_data,
        certification,
        trailing: behind,
    })
}

/// Fewer bytes than a length needs, or more than it allows.
fn short(field: &'static str, end: OutOfBounds, findings: &mut Findings) -> Stop {
    let expected = if end.wanted == 0 {
        "the end of the data".into()
    } else {
        words!("{} bytes at offset {}", end.wanted, end.offset)
    };
    let actual = words!("{} bytes left", end.left);
    findings.fail(Comparison::of_field(Check::TDX_BYTES_LENGTHS, field, expected, actual))
}

fn read_header<'a>(reader: &mut Reader<'a>, findings: &mut Findings) -> Result<Header<'a>, Stop> {
    let header = (|| -> Result<_, OutOfBounds> {
        let version = reader.u16_le()?;
        let key_type = reader.u16_le()?;
        let tee_type = reader.u32_le()?;
        let reserved = reader.array()?;
        let vendor: &[u8; 16] = reader.array()?;
        let user_data = reader.array()?;
        Ok((Header { version, reserved, user_data }, key_type, tee_type, *vendor))
    })();
    let (header, key_type, tee_type, vendor) = header.map_err(|end| {
        let actual = words!("{} bytes", end.offset.saturating_add(end.left));
        let malformed = Comparison::of_field(Check::TDX_BYTES_HEADER, "header", "48 bytes", actual);
        findings.fail(malformed)
    })?;
    let rules = [
        ("version", matches!(header.version, 4 | 5), "4 or 5", words!("{}", header.version)),
        ("TEE type", tee_type == TEE_TYPE_TDX, "0x81 (TDX)", words!("{}", Value::Bits(tee_type.into()))),
        ("attestation key type", key_type == ECDSA_P256, "2 (ECDSA P-256)", words!("{}", key_type)),
        ("QE vendor", vendor == INTEL_QE_VENDOR, "Intel's (939a7233…)", words!("{}", &vendor)),
    ];
    for (field, holds, expected, actual) in rules {
        findings.require(holds, Comparison::of_field(Check::TDX_BYTES_HEADER, field, expected, actual))?;
    }
    let actual = words!("version {}, TDX, ECDSA P-256, Intel's QE", header.version);
    findings.require(true, Comparison::of_field(Check::TDX_BYTES_HEADER, "header", "a TDX quote", actual))?;
    debug_assert_eq!(HEADER_BYTES, 2 + 2 + 4 + 4 + 16 + 20);
    Ok(header)
}

/// Version 4 has no descriptor, and always the body of TD 1.0.
fn read_body_type(reader: &mut Reader<'_>, version: u16, findings: &mut Findings) -> Result<(u16, usize), Stop> {
    let (body_type, declared) = if version == 4 {
        (2, 584)
    } else {
        let descriptor = reader.u16_le().and_then(|body_type| Ok((body_type, reader.u32_le()?)));
        descriptor.map_err(|end| short("body descriptor", end, findings))?
    };
    let size = match body_type {
        2 => Some(584),
        3 => Some(648),
        4 => Some(885),
        _ => None,
    };
    let expected = size.map_or_else(
        || "type 2 (584 bytes), 3 (648) or 4 (885)".into(),
        |size| words!("{} bytes for type {}", size, body_type),
    );
    let actual = words!("type {}, {} bytes", body_type, declared);
    let comparison = Comparison { check: Check::TDX_BYTES_BODY, expected, actual };
    let declared = usize::try_from(declared).ok();
    let size = findings.require_some(size.filter(|size| Some(*size) == declared), comparison)?;
    Ok((body_type, size))
}

fn read_body(bytes: &[u8], body_type: u16) -> Result<Body<'_>, OutOfBounds> {
    let mut reader = Reader::new(bytes);
    let tee_tcb_svn = reader.array()?; // 0
    let mrseam = Mr(*reader.array()?); // 16
    let mrsignerseam = Mr(*reader.array()?); // 64
    let seam_attributes = reader.array()?; // 112
    let td_attributes = reader.u64_le()?; // 120
    let xfam = reader.u64_le()?; // 128
    let mrtd = Mr(*reader.array()?); // 136
    let mrconfigid = Mr(*reader.array()?); // 184
    let mrowner = Mr(*reader.array()?); // 232
    let mrownerconfig = Mr(*reader.array()?); // 280
    let rtmrs = [Mr(*reader.array()?), Mr(*reader.array()?), Mr(*reader.array()?), Mr(*reader.array()?)]; // 328, 376, 424, 472
    let report_data = ReportData(*reader.array()?); // 520
    let td15 = if body_type >= 3 {
        let tee_tcb_svn2 = reader.array()?; // 584
        let mrservicetd = Mr(*reader.array()?); // 600
        let service_td_hashes = if body_type == 4 {
            reader.bytes(1 + 32 + 48)?; // 648 VMID, 649 TD id, 681 device information
            let initial = Mr(*reader.array()?); // 729
            reader.bytes(8 + 16 + 16 + 12)?; // 777 attributes, 785 CPUSVN, 801 TEE_TCB_SVN, 817 FMSPC, all initial
            let current = Mr(*reader.array()?); // 829
            reader.bytes(8)?; // 877 current attributes
            Some([initial, current])
        } else {
            None
        };
        Some(Td15 { tee_tcb_svn2, mrservicetd, service_td_hashes })
    } else {
        None
    };
    reader.end()?;
    Ok(Body {
        tee_tcb_svn,
        mrseam,
        mrsignerseam,
        seam_attributes,
        td_attributes,
        xfam,
        mrtd,
        mrconfigid,
        mrowner,
        mrownerconfig,
        rtmrs,
        report_data,
        td15,
    })
}

struct QuoteParts<'a> {
    signature: &'a [u8; 64],
    attestation_key: &'a [u8; 64],
    qe: QeReport<'a>,
    qe_signature: &'a [u8; 64],
    qe_auth_data: &'a [u8],
    certification_type: u16,
    certification_data: &'a [u8],
}

/// Signature, attestation key, and certification data of type 6, which nests the rest; each nesting ends exactly.
fn read_signature_data(bytes: &[u8]) -> Result<QuoteParts<'_>, (&'static str, OutOfBounds)> {
    let at = |field: &'static str| move |end: OutOfBounds| (field, end);
    let mut reader = Reader::new(bytes);
    let signature = reader.array().map_err(at("quote signature"))?;
    let attestation_key = reader.array().map_err(at("attestation key"))?;
    let outer_type = reader.u16_le().map_err(at("certification data"))?;
    let outer = read_sized(&mut reader).map_err(at("certification data"))?;
    reader.end().map_err(at("signature data"))?;
    if outer_type != 6 {
        // Shown as certification data of that type, which the caller refuses: nothing of it is read.
        return Ok(QuoteParts {
            signature,
            attestation_key,
            qe: read_qe_report(&[0; 384]).map_err(at("QE report"))?,
            qe_signature: &[0; 64],
            qe_auth_data: &[],
            certification_type: NOT_SIX,
            certification_data: &[],
        });
    }
    let mut reader = Reader::new(outer);
    let qe = read_qe_report(reader.array().map_err(at("QE report"))?).map_err(at("QE report"))?;
    let qe_signature = reader.array().map_err(at("QE report signature"))?;
    let auth_length = reader.u16_le().map_err(at("QE authentication data"))?;
    let qe_auth_data = reader.bytes(usize::from(auth_length)).map_err(at("QE authentication data"))?;
    let certification_type = reader.u16_le().map_err(at("QE certification data"))?;
    let certification_data = read_sized(&mut reader).map_err(at("QE certification data"))?;
    reader.end().map_err(at("QE certification data"))?;
    Ok(QuoteParts {
        signature,
        attestation_key,
        qe,
        qe_signature,
        qe_auth_data,
        certification_type,
        certification_data,
    })
}

/// Stands for an outer type other than 6; no inner type has this number.
const NOT_SIX: u16 = 6;

/// A length of 32 bits, then so many bytes.
fn read_sized<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], OutOfBounds> {
    let length = reader.u32_le()?;
    reader.bytes(usize::try_from(length).unwrap_or(usize::MAX))
}

fn read_qe_report(bytes: &[u8; 384]) -> Result<QeReport<'_>, OutOfBounds> {
    let mut reader = Reader::new(bytes);
    reader.bytes(16)?; // 0 CPUSVN
    let miscselect = reader.array()?; // 16
    reader.bytes(28)?; // 20
    let attributes = reader.array()?; // 48
    reader.bytes(32 + 32)?; // 64 MRENCLAVE, 96
    let mrsigner = reader.array()?; // 128
    reader.bytes(96)?; // 160
    let isvprodid = reader.u16_le()?; // 256
    let isvsvn = reader.u16_le()?; // 258
    reader.bytes(60)?; // 260
    let report_data = reader.array()?; // 320
    reader.end()?;
    Ok(QeReport { bytes, miscselect, attributes, mrsigner, isvprodid, isvsvn, report_data })
}

fn read_certification<'a>(kind: u16, data: &'a [u8], findings: &mut Findings) -> Result<Certification<'a>, Stop> {
    let certification = match kind {
        5 => Some(Certification::Chain(data)),
        3 => {
            let mut reader = Reader::new(data);
            let platform = (|| -> Result<_, OutOfBounds> {
                reader.bytes(384)?; // PPID, encrypted to Intel
                let platform = Certification::Platform {
                    cpu_svn: reader.array()?,
                    pce_svn: reader.u16_le()?,
                    pce_id: reader.array()?,
                };
                reader.end()?;
                Ok(platform)
            })();
            platform.ok()
        }
        _ => None,
    };
    let actual = match kind {
        NOT_SIX => "outer certification data that is not of type 6".into(),
        kind => words!("type {}, {} bytes", kind, data.len()),
    };
    let expected = Text::Borrowed("type 6 holding type 5 (PEM chain), or type 3 (404 bytes)");
    let comparison = Comparison { check: Check::TDX_BYTES_CERTIFICATION_DATA, expected, actual };
    findings.require_some(certification, comparison)
}

/// Every field by name, for the report.
pub(crate) fn state(quote: &Quote<'_>, findings: &mut Findings) {
    let Body { report_data, rtmrs, td15, .. } = &quote.body;
    let body = &quote.body;
    let facts = &mut findings.facts;
    facts.number("version", quote.header.version);
    facts.bytes("header_reserved", quote.header.reserved);
    facts.bytes("header_user_data", quote.header.user_data);
    facts.number("body_type", quote.body_type);
    facts.bytes("mrtd", &body.mrtd.0);
    facts.bytes("report_data", &report_data.0);
    for (name, rtmr) in ["rtmr0", "rtmr1", "rtmr2", "rtmr3"].into_iter().zip(rtmrs) {
        facts.bytes(name, &rtmr.0);
    }
    facts.flag("debug", body.td_attributes & 1 != 0);
    facts.bytes("td_attributes", &body.td_attributes.to_le_bytes());
    facts.bytes("xfam", &body.xfam.to_le_bytes());
    facts.bytes("mrconfigid", &body.mrconfigid.0);
    facts.bytes("mrowner", &body.mrowner.0);
    facts.bytes("mrownerconfig", &body.mrownerconfig.0);
    facts.bytes("tee_tcb_svn", body.tee_tcb_svn);
    facts.bytes("mrseam", &body.mrseam.0);
    facts.bytes("mrsignerseam", &body.mrsignerseam.0);
    facts.bytes("seam_attributes", body.seam_attributes);
    match td15 {
        Some(td15) => {
            facts.bytes("tee_tcb_svn2", td15.tee_tcb_svn2);
            facts.bytes("mrservicetd", &td15.mrservicetd.0);
        }
        None => ["tee_tcb_svn2", "mrservicetd"].into_iter().for_each(|name| facts.absent(name)),
    }
    facts.bytes("qe_mrsigner", quote.qe.mrsigner);
    facts.number("qe_isvprodid", quote.qe.isvprodid);
    facts.number("qe_isvsvn", quote.qe.isvsvn);
    facts.text(
        "certification_data",
        match quote.certification {
            Certification::Chain(_) => "type 5 (PEM chain)",
            Certification::Platform { .. } => "type 3 (encrypted PPID)",
        },
    );
    facts.number("trailing_bytes", u64::try_from(quote.trailing.len()).unwrap_or(u64::MAX));
}
