//! Evidence as the CoCo attestation agent writes it (guest-components, attesters `snp` and `tdx`).
//!
//! For SNP the agent does not hand out the report's bytes but the decoded fields, as the `sev` crate serialises them: numbers and arrays of byte
//! numbers, reserved bytes left out, `null` for what the report's version does not have.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::json::{array, byte_numbers, nullable, object, string};

/// `attestation_report` and `cert_chain`; the chain as pairs of certificate type and DER.
pub fn snp_evidence(report: &[u8], cert_chain: Option<&[(&str, &[u8])]>) -> String {
    object(&[("attestation_report", snp_report(report)), ("cert_chain", nullable(cert_chain.map(chain)))])
}

/// The same as agents wrote it until v0.13, with the `sev` crate 3 to 5: every byte under a name, reserved ones included.
pub fn older_snp_evidence(report: &[u8], cert_chain: Option<&[(&str, &[u8])]>) -> String {
    object(&[("attestation_report", older_snp_report(report)), ("cert_chain", nullable(cert_chain.map(chain)))])
}

/// `cc_eventlog` (null) and `quote`.
pub fn tdx_evidence(quote: &[u8]) -> String {
    tdx_evidence_with_log(quote, None)
}

/// `cc_eventlog` (the log of the boot, where the guest has one) and `quote`.
pub fn tdx_evidence_with_log(quote: &[u8], log: Option<&[u8]>) -> String {
    let log = nullable(log.map(|log| string(&STANDARD.encode(log))));
    object(&[("cc_eventlog", log), ("quote", string(&STANDARD.encode(quote)))])
}

/// The same as agents wrote it from v0.10 to v0.14, with the agent's own log of what it extended, where it keeps one.
pub fn older_tdx_evidence(quote: &[u8], aa_eventlog: Option<&str>) -> String {
    object(&[
        ("cc_eventlog", "null".to_owned()),
        ("quote", string(&STANDARD.encode(quote))),
        ("aa_eventlog", nullable(aa_eventlog.map(string))),
    ])
}

fn chain(entries: &[(&str, &[u8])]) -> String {
    array(entries.iter().map(|(kind, der)| object(&[("cert_type", string(kind)), ("data", byte_numbers(der))])))
}

/// AMD 56860, table 23, as its structure stood before report version 3: the offsets of every member.
fn older_snp_report(report: &[u8]) -> String {
    let number = |offset: usize, length: usize| {
        let bytes = report[offset..offset + length].iter().rev();
        bytes.fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)).to_string()
    };
    let bytes = |offset: usize, length: usize| byte_numbers(&report[offset..offset + length]);
    let tcb = |offset: usize| {
        object(&[
            ("bootloader", number(offset, 1)),
            ("tee", number(offset + 1, 1)),
            ("_reserved", bytes(offset + 2, 4)),
            ("snp", number(offset + 6, 1)),
            ("microcode", number(offset + 7, 1)),
        ])
    };
    object(&[
        ("version", number(0x000, 4)),
        ("guest_svn", number(0x004, 4)),
        ("policy", number(0x008, 8)),
        ("family_id", bytes(0x010, 16)),
        ("image_id", bytes(0x020, 16)),
        ("vmpl", number(0x030, 4)),
        ("sig_algo", number(0x034, 4)),
        ("current_tcb", tcb(0x038)),
        ("plat_info", number(0x040, 8)),
        ("_author_key_en", number(0x048, 4)),
        ("_reserved_0", number(0x04C, 4)),
        ("report_data", bytes(0x050, 64)),
        ("measurement", bytes(0x090, 48)),
        ("host_data", bytes(0x0C0, 32)),
        ("id_key_digest", bytes(0x0E0, 48)),
        ("author_key_digest", bytes(0x110, 48)),
        ("report_id", bytes(0x140, 32)),
        ("report_id_ma", bytes(0x160, 32)),
        ("reported_tcb", tcb(0x180)),
        ("_reserved_1", bytes(0x188, 24)),
        ("chip_id", bytes(0x1A0, 64)),
        ("committed_tcb", tcb(0x1E0)),
        ("current_build", number(0x1E8, 1)),
        ("current_minor", number(0x1E9, 1)),
        ("current_major", number(0x1EA, 1)),
        ("_reserved_2", number(0x1EB, 1)),
        ("committed_build", number(0x1EC, 1)),
        ("committed_minor", number(0x1ED, 1)),
        ("committed_major", number(0x1EE, 1)),
        ("_reserved_3", number(0x1EF, 1)),
        ("launch_tcb", tcb(0x1F0)),
        ("_reserved_4", bytes(0x1F8, 168)),
        ("signature", object(&[("r", bytes(0x2A0, 72)), ("s", bytes(0x2E8, 72)), ("_reserved", bytes(0x330, 368))])),
    ])
}

fn snp_report(report: &[u8]) -> String {
    let at = |offset: usize, length: usize| &report[offset..offset + length];
    let bytes = |offset, length| byte_numbers(at(offset, length));
    let u32_at = |offset| u32::from_le_bytes(at(offset, 4).try_into().expect("four bytes"));
    let u64_at = |offset| u64::from_le_bytes(at(offset, 8).try_into().expect("eight bytes"));
    let version = u32_at(0x000);
    let is_turin = version >= 3 && report[0x188] == 0x1A;
    let cpuid = |offset: usize| nullable((version >= 3).then(|| report[offset]));
    let mitigations = |offset| nullable((version >= 5).then(|| u64_at(offset)));
    let tcb = |offset| tcb_version(at(offset, 8), is_turin);
    let firmware = |offset: usize| {
        let [build, minor, major] =
            [report[offset], report[offset + 1], report[offset + 2]].map(|byte| byte.to_string());
        object(&[("major", major), ("minor", minor), ("build", build)])
    };
    object(&[
        ("version", version.to_string()),
        ("guest_svn", u32_at(0x004).to_string()),
        ("policy", u64_at(0x008).to_string()),
        ("family_id", bytes(0x010, 16)),
        ("image_id", bytes(0x020, 16)),
        ("vmpl", u32_at(0x030).to_string()),
        ("sig_algo", u32_at(0x034).to_string()),
        ("current_tcb", tcb(0x038)),
        ("plat_info", u64_at(0x040).to_string()),
        ("key_info", u32_at(0x048).to_string()),
        ("report_data", bytes(0x050, 64)),
        ("measurement", bytes(0x090, 48)),
        ("host_data", bytes(0x0C0, 32)),
        ("id_key_digest", bytes(0x0E0, 48)),
        ("author_key_digest", bytes(0x110, 48)),
        ("report_id", bytes(0x140, 32)),
        ("report_id_ma", bytes(0x160, 32)),
        ("reported_tcb", tcb(0x180)),
        ("cpuid_fam_id", cpuid(0x188)),
        ("cpuid_mod_id", cpuid(0x189)),
        ("cpuid_step", cpuid(0x18A)),
        ("chip_id", bytes(0x1A0, 64)),
        ("committed_tcb", tcb(0x1E0)),
        ("current", firmware(0x1E8)),
        ("committed", firmware(0x1EC)),
        ("launch_tcb", tcb(0x1F0)),
        ("launch_mit_vector", mitigations(0x1F8)),
        ("current_mit_vector", mitigations(0x200)),
        ("signature", object(&[("r", bytes(0x2A0, 72)), ("s", bytes(0x2E8, 72))])),
    ])
}

fn tcb_version(bytes: &[u8], is_turin: bool) -> String {
    let number = |index: usize| bytes[index].to_string();
    let (fmc, bootloader, tee, snp) = if is_turin {
        (number(0), number(1), number(2), number(3))
    } else {
        ("null".to_owned(), number(0), number(1), number(6))
    };
    object(&[("fmc", fmc), ("bootloader", bootloader), ("tee", tee), ("snp", snp), ("microcode", number(7))])
}
