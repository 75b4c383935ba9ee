//! The ATTESTATION_REPORT: AMD 56860 rev. 1.58, table 23; versions 2, 3 and 5, and 4, which is laid out like 3.

use serde::Deserialize;

use crate::bytes::{BlockId, ChipId, HostData, Measurement, Mr, ReportData, ReportId, to_hex};
use crate::check::Check;
use crate::findings::{Comparison, Findings, Stop};
use crate::reader::{OutOfBounds, Reader};
use crate::report::Text;
use crate::signature::{Scheme, holds};
use crate::stage::Signed;
use crate::words::{Value, words};

/// The bytes of one report.
pub type ReportBytes = [u8; 1184];

/// Bytes 0 to 0x29F: what the signature covers.
const SIGNED_BYTES: usize = 0x2A0;

/// Who signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SigningKey {
    /// The chip's own key.
    Vcek,
    /// The key of a provider's fleet.
    Vlek,
}

impl SigningKey {
    /// Its name in policies and reports.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Vcek => "vcek",
            Self::Vlek => "vlek",
        }
    }
}

/// Version of the SEV firmware.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct FirmwareVersion {
    pub(crate) major: u8,
    pub(crate) minor: u8,
    pub(crate) build: u8,
}

impl From<FirmwareVersion> for Value {
    fn from(FirmwareVersion { major, minor, build }: FirmwareVersion) -> Self {
        let packed = u64::from_be_bytes([0, 0, 0, 0, 0, major, minor, build]);
        Self::Packed(packed, |packed, f| {
            let [.., major, minor, build] = packed.to_be_bytes();
            write!(f, "{}", FirmwareVersion { major, minor, build })
        })
    }
}

impl std::fmt::Display for FirmwareVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.build)
    }
}

/// A parsed ATTESTATION_REPORT: AMD 56860 rev. 1.58, table 23. TCB versions stay bytes until the product, and with it their layout, is
/// known.
#[derive(Clone, Debug)]
pub(crate) struct Report<'a> {
    /// All 1,184 bytes, of which 0x000 to 0x29F are signed.
    bytes: &'a [u8],
    /// VERSION, 4 bytes at 0x000: 2 to 5 are understood.
    pub(crate) version: u32,
    /// GUEST_SVN, 4 bytes at 0x004: the guest's security version, out of its ID block.
    pub(crate) guest_svn: u32,
    /// POLICY, 8 bytes at 0x008: the guest's launch policy (AMD 56860, section on guest policy): ABI minor and major, then flags.
    pub(crate) policy: u64,
    /// FAMILY_ID, 16 bytes at 0x010, out of the ID block.
    pub(crate) family_id: BlockId,
    /// IMAGE_ID, 16 bytes at 0x020, out of the ID block.
    pub(crate) image_id: BlockId,
    /// VMPL, 4 bytes at 0x030: the level that asked for the report, 0 to 3; 0xFFFFFFFF where the host asked.
    pub(crate) vmpl: u32,
    /// CURRENT_TCB, 8 bytes at 0x038: what runs.
    pub(crate) current_tcb: &'a [u8; 8],
    /// PLATFORM_INFO, 8 bytes at 0x040: bits by name in [`super::profile::PLATFORM_BITS`].
    pub(crate) platform_info: u64,
    /// 4 bytes at 0x048: AUTHOR_KEY_EN (bit 0), MASK_CHIP_KEY (1), SIGNING_KEY (4:2).
    pub(crate) flags: u32,
    /// SIGNING_KEY, bits 4:2 of the flags: 0 VCEK, 1 VLEK, 7 nobody.
    pub(crate) signing_key: SigningKey,
    /// REPORT_DATA, 64 bytes at 0x050: what whoever asked chose.
    pub(crate) report_data: ReportData,
    /// MEASUREMENT, 48 bytes at 0x090: SHA-384 of what was loaded at launch.
    pub(crate) measurement: Measurement,
    /// HOST_DATA, 32 bytes at 0x0C0: what the host bound at launch.
    pub(crate) host_data: HostData,
    /// ID_KEY_DIGEST, 48 bytes at 0x0E0: SHA-384 of the key that signed the ID block; zero without one.
    pub(crate) id_key_digest: Mr,
    /// AUTHOR_KEY_DIGEST, 48 bytes at 0x110: SHA-384 of the key that signed the ID key; zero where AUTHOR_KEY_EN is 0.
    pub(crate) author_key_digest: Mr,
    /// REPORT_ID, 32 bytes at 0x140: of this guest.
    pub(crate) report_id: ReportId,
    /// REPORT_ID_MA, 32 bytes at 0x160: of its migration agent; all ones where there is none.
    pub(crate) report_id_ma: ReportId,
    /// REPORTED_TCB, 8 bytes at 0x180: what the signing key is derived from.
    pub(crate) reported_tcb: &'a [u8; 8],
    /// CPUID_FAM_ID, CPUID_MOD_ID, CPUID_STEP, 3 bytes at 0x188: combined family, combined model, stepping; from version 3 on.
    pub(crate) cpuid: Option<[u8; 3]>,
    /// CHIP_ID, 64 bytes at 0x1A0: zero where the host masks it; on Turin 8 bytes and 56 of zero.
    pub(crate) chip_id: ChipId,
    /// COMMITTED_TCB, 8 bytes at 0x1E0: below which the firmware cannot be rolled back.
    pub(crate) committed_tcb: &'a [u8; 8],
    /// CURRENT_BUILD, CURRENT_MINOR, CURRENT_MAJOR, 3 bytes at 0x1E8.
    pub(crate) current_firmware: FirmwareVersion,
    /// COMMITTED_BUILD, COMMITTED_MINOR, COMMITTED_MAJOR, 3 bytes at 0x1EC.
    pub(crate) committed_firmware: FirmwareVersion,
    /// LAUNCH_TCB, 8 bytes at 0x1F0: what ran when the guest was launched or imported.
    pub(crate) launch_tcb: &'a [u8; 8],
    /// LAUNCH_MIT_VECTOR and CURRENT_MIT_VECTOR, 8 bytes each at 0x1F8; from version 5 on.
    pub(crate) mitigations: Option<[u64; 2]>,
    /// SIGNATURE: r at 0x2A0 and s at 0x2E8, 72 bytes each little-endian there; here 48 bytes each, big-endian.
    signature: [u8; 96],
}

impl Report<'_> {
    pub(crate) fn author_key_enabled(&self) -> bool {
        self.flags & 1 != 0
    }

    pub(crate) fn policy_bit(&self, bit: u32) -> bool {
        self.policy >> bit & 1 != 0
    }

    pub(crate) fn has_masked_chip_id(&self) -> bool {
        self.chip_id.0 == [0; 64]
    }
}

impl Signed for Report<'_> {
    /// The leaf's P-384 point.
    type Key<'k> = &'k [u8];

    fn is_signed_by(&self, key: &[u8]) -> bool {
        self.bytes.get(..SIGNED_BYTES).is_some_and(|signed| holds(Scheme::EcdsaP384Fixed, key, signed, &self.signature))
    }
}

/// Bytes -> report. Every rule here is about the encoding; whether the content is wanted is for appraisal.
pub(crate) fn parse<'a>(bytes: &'a [u8], findings: &mut Findings) -> Result<Report<'a>, Stop> {
    let length = || {
        let actual = words!("{} bytes", bytes.len());
        Comparison { check: Check::SNP_BYTES_LENGTH, expected: "1184 bytes".into(), actual }
    };
    findings.require(bytes.len() == size_of::<ReportBytes>(), length())?;
    // The length is exact, so the reader cannot run out; if it ever did, the report would be refused as too short.
    let (report, raw) = read(bytes).map_err(|OutOfBounds { .. }| findings.fail(length()))?;

    findings.require(
        (2..=5).contains(&report.version),
        Comparison {
            check: Check::SNP_BYTES_VERSION,
            expected: "version 2, 3, 4 or 5".into(),
            actual: words!("version {}", report.version),
        },
    )?;
    findings.require(
        raw.signature_algorithm == 1,
        Comparison {
            check: Check::SNP_BYTES_SIGNATURE_ALGORITHM,
            expected: "1 (ECDSA P-384 with SHA-384)".into(),
            actual: words!("{}", raw.signature_algorithm),
        },
    )?;
    findings.require(
        raw.signing_key <= 1,
        Comparison {
            check: Check::SNP_BYTES_SIGNING_KEY,
            expected: "0 (VCEK) or 1 (VLEK)".into(),
            actual: signing_key(raw.signing_key),
        },
    )?;
    findings.require(
        report.vmpl <= 3,
        Comparison { check: Check::SNP_BYTES_VMPL, expected: "0, 1, 2 or 3".into(), actual: vmpl(report.vmpl) },
    )?;
    match reserved_complaint(&report, &raw) {
        None => {
            findings.require(true, Comparison::of_field(Check::SNP_BYTES_RESERVED, "reserved fields", ZERO, ZERO))?
        }
        Some(complaint) => findings.require(false, complaint)?,
    }
    Ok(report)
}

const ZERO: Text = Text::Borrowed("zero");

/// What the parser needs only to judge the encoding.
struct Raw<'a> {
    signature_algorithm: u32,
    signing_key: u32,
    reserved: [(&'static str, &'a [u8]); 7],
    r: &'a [u8; 72],
    s: &'a [u8; 72],
}

/// Reads every field at its offset; AMD 56860 rev. 1.58, table 23, in that order.
fn read(bytes: &[u8]) -> Result<(Report<'_>, Raw<'_>), OutOfBounds> {
    let mut reader = Reader::new(bytes);
    let version = reader.u32_le()?; // 0x000
    let guest_svn = reader.u32_le()?; // 0x004
    let policy = reader.u64_le()?; // 0x008
    let family_id = BlockId(*reader.array()?); // 0x010
    let image_id = BlockId(*reader.array()?); // 0x020
    let vmpl = reader.u32_le()?; // 0x030
    let signature_algorithm = reader.u32_le()?; // 0x034
    let current_tcb = reader.array()?; // 0x038
    let platform_info = reader.u64_le()?; // 0x040
    let flags = reader.u32_le()?; // 0x048
    let after_flags = reader.bytes(4)?; // 0x04C
    let report_data = ReportData(*reader.array()?); // 0x050
    let measurement = Measurement(*reader.array()?); // 0x090
    let host_data = HostData(*reader.array()?); // 0x0C0
    let id_key_digest = Mr(*reader.array()?); // 0x0E0
    let author_key_digest = Mr(*reader.array()?); // 0x110
    let report_id = ReportId(*reader.array()?); // 0x140
    let report_id_ma = ReportId(*reader.array()?); // 0x160
    let reported_tcb = reader.array()?; // 0x180
    let cpuid_bytes = reader.bytes(3)?; // 0x188
    let after_cpuid = reader.bytes(21)?; // 0x18B
    let chip_id = ChipId(*reader.array()?); // 0x1A0
    let committed_tcb = reader.array()?; // 0x1E0
    let current_firmware = read_firmware(&mut reader)?; // 0x1E8
    let after_current = reader.bytes(1)?; // 0x1EB
    let committed_firmware = read_firmware(&mut reader)?; // 0x1EC
    let after_committed = reader.bytes(1)?; // 0x1EF
    let launch_tcb = reader.array()?; // 0x1F0
    let mitigation_bytes = reader.bytes(16)?; // 0x1F8
    let before_signature = reader.bytes(152)?; // 0x208
    let r: &[u8; 72] = reader.array()?; // 0x2A0
    let s: &[u8; 72] = reader.array()?; // 0x2E8
    let after_signature = reader.bytes(368)?; // 0x330
    reader.end()?;

    let cpuid = (version >= 3).then(|| <[u8; 3]>::try_from(cpuid_bytes).ok()).flatten();
    let mitigations = if version >= 5 {
        let mut vectors = Reader::new(mitigation_bytes);
        Some([vectors.u64_le()?, vectors.u64_le()?])
    } else {
        None
    };
    let signing_key = flags >> 2 & 7;
    let reserved = [
        ("bytes 0x4C to 0x4F", after_flags),
        (
            "bytes 0x188 to 0x19F",
            if version >= 3 { after_cpuid } else { bytes.get(0x188..0x1A0).unwrap_or(after_cpuid) },
        ),
        ("byte 0x1EB", after_current),
        ("byte 0x1EF", after_committed),
        ("bytes 0x1F8 to 0x207", if version >= 5 { &[] } else { mitigation_bytes }),
        ("bytes 0x208 to 0x29F", before_signature),
        ("bytes 0x330 to 0x49F", after_signature),
    ];
    let report = Report {
        bytes,
        version,
        guest_svn,
        policy,
        family_id,
        image_id,
        vmpl,
        current_tcb,
        platform_info,
        flags,
        signing_key: if signing_key == 1 { SigningKey::Vlek } else { SigningKey::Vcek },
        report_data,
        measurement,
        host_data,
        id_key_digest,
        author_key_digest,
        report_id,
        report_id_ma,
        reported_tcb,
        cpuid,
        chip_id,
        committed_tcb,
        current_firmware,
        committed_firmware,
        launch_tcb,
        mitigations,
        signature: big_endian(r, s),
    };
    Ok((report, Raw { signature_algorithm, signing_key, reserved, r, s }))
}

fn read_firmware(reader: &mut Reader<'_>) -> Result<FirmwareVersion, OutOfBounds> {
    let [build, minor, major] = *reader.array()?;
    Ok(FirmwareVersion { major, minor, build })
}

/// AMD writes r and s little-endian in 72 bytes each; every library wants them big-endian in 48.
fn big_endian(r: &[u8; 72], s: &[u8; 72]) -> [u8; 96] {
    let mut signature = [0; 96];
    let (high, low) = signature.split_at_mut(48);
    for (place, number) in [(high, r), (low, s)] {
        place.iter_mut().zip(number).for_each(|(to, from)| *to = *from);
        place.reverse();
    }
    signature
}

/// Bits 25:0 of the guest policy are defined (AMD 56860, guest policy), and bit 17 is always 1.
const POLICY_KNOWN: u64 = (1 << 26) - 1;
const POLICY_ALWAYS_ONE: u64 = 1 << 17;
/// Bits 4:0 of the flags at 0x48 are defined.
const FLAGS_KNOWN: u32 = 0x1F;

fn signing_key(actual: u32) -> Text {
    match actual {
        0 => "0 (VCEK)".into(),
        1 => "1 (VLEK)".into(),
        7 => "7 (not signed)".into(),
        other => format!("{other} (reserved)").into(),
    }
}

fn vmpl(actual: u32) -> Text {
    match actual {
        u32::MAX => "0xFFFFFFFF (asked for by the host)".into(),
        other => words!("{}", other),
    }
}

fn reserved_complaint(report: &Report<'_>, raw: &Raw<'_>) -> Option<Comparison> {
    let complain = |field: &'static str, actual: String| {
        Some(Comparison::of_field(Check::SNP_BYTES_RESERVED, field, ZERO, actual))
    };
    for (field, bytes) in raw.reserved {
        // Every byte is looked at: that is what a processor does sixteen at a time.
        if bytes.iter().fold(0, |bits, byte| bits | byte) != 0 {
            return complain(field, to_hex(bytes));
        }
    }
    if report.policy & !POLICY_KNOWN != 0 {
        return complain("POLICY bits 63:26", format!("{:#x}", report.policy & !POLICY_KNOWN));
    }
    if report.policy & POLICY_ALWAYS_ONE == 0 {
        return Some(Comparison::of_field(Check::SNP_BYTES_RESERVED, "POLICY bit 17", "one", ZERO));
    }
    if report.flags & !FLAGS_KNOWN != 0 {
        return complain("FLAGS bits 31:5", format!("{:#x}", report.flags & !FLAGS_KNOWN));
    }
    for (field, number) in [("R above 48 bytes", raw.r), ("S above 48 bytes", raw.s)] {
        let above = number.split_at_checked(48).map_or(&number[..], |(_, above)| above);
        if above.iter().any(|byte| *byte != 0) {
            return complain(field, to_hex(above));
        }
    }
    for (field, number) in [("R", report.signature.first_chunk::<48>()), ("S", report.signature.last_chunk::<48>())] {
        if number.is_none_or(|number| *number == [0; 48] || *number >= P384_ORDER) {
            return Some(Comparison::of_field(
                Check::SNP_BYTES_RESERVED,
                field,
                "between 0 and the order of P-384",
                number.map_or_else(String::new, |number| to_hex(number)),
            ));
        }
    }
    None
}

/// The order n of P-384 (NIST SP 800-186, section 3.2.1.4), big-endian.
const P384_ORDER: [u8; 48] = [
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xC7, 0x63, 0x4D, 0x81, 0xF4, 0x37, 0x2D, 0xDF, 0x58, 0x1A, 0x0D, 0xB2, 0x48, 0xB0,
    0xA7, 0x7A, 0xEC, 0xEC, 0x19, 0x6A, 0xCC, 0xC5, 0x29, 0x73,
];

/// Every field by name, for the report.
pub(crate) fn state(report: &Report<'_>, findings: &mut Findings) {
    let facts = &mut findings.facts;
    facts.number("version", report.version);
    facts.text(
        "signing_key",
        match report.signing_key {
            SigningKey::Vcek => "vcek",
            SigningKey::Vlek => "vlek",
        },
    );
    facts.bytes("measurement", &report.measurement.0);
    facts.bytes("report_data", &report.report_data.0);
    facts.bytes("host_data", &report.host_data.0);
    facts.bytes("chip_id", &report.chip_id.0);
    facts.flag("debug", report.policy_bit(19));
    facts.flag("migration_agent", report.policy_bit(18));
    facts.text("policy", words!("{}", Value::Bits(report.policy)));
    facts.number("vmpl", report.vmpl);
    facts.number("guest_svn", report.guest_svn);
    facts.bytes("family_id", &report.family_id.0);
    facts.bytes("image_id", &report.image_id.0);
    facts.text("platform_info", words!("{}", Value::Bits(report.platform_info)));
    facts.flag("author_key_enabled", report.author_key_enabled());
    facts.flag("mask_chip_key", report.flags & 2 != 0);
    facts.bytes("id_key_digest", &report.id_key_digest.0);
    facts.bytes("author_key_digest", &report.author_key_digest.0);
    facts.bytes("report_id", &report.report_id.0);
    facts.bytes("report_id_ma", &report.report_id_ma.0);
    facts.bytes("reported_tcb", report.reported_tcb);
    facts.bytes("current_tcb", report.current_tcb);
    facts.bytes("committed_tcb", report.committed_tcb);
    facts.bytes("launch_tcb", report.launch_tcb);
    facts.text("current_firmware", words!("{}", report.current_firmware));
    facts.text("committed_firmware", words!("{}", report.committed_firmware));
    match report.cpuid {
        Some([family, model, stepping]) => {
            facts.number("cpuid_family", family);
            facts.number("cpuid_model", model);
            facts.number("cpuid_stepping", stepping);
        }
        None => ["cpuid_family", "cpuid_model", "cpuid_stepping"].into_iter().for_each(|name| facts.absent(name)),
    }
    match report.mitigations {
        Some([launch, current]) => {
            facts.text("launch_mitigations", words!("{}", Value::Bits(launch)));
            facts.text("current_mitigations", words!("{}", Value::Bits(current)));
        }
        None => ["launch_mitigations", "current_mitigations"].into_iter().for_each(|name| facts.absent(name)),
    }
}
