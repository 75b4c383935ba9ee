//! The report as `sev` 6 and later serialise it: numbers, arrays of byte numbers, reserved bytes left out, `null` for what the
//! report's version does not have. AMD 56860 rev. 1.58, table 23; reserved bytes zero.

use serde::Deserialize;

use crate::members::Members;

use super::{CocoError, Fixed, REPORT_BYTES, Rebuild, Writer, malformed};

/// `AttestationReport` of the `sev` crate. `Option` is for `null`; the members of version 5 may be missing in what
/// older agents write.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Report {
    version: u32,
    guest_svn: u32,
    policy: u64,
    family_id: Fixed<16>,
    image_id: Fixed<16>,
    vmpl: u32,
    sig_algo: u32,
    current_tcb: Members<Tcb>,
    plat_info: u64,
    key_info: u32,
    report_data: Fixed<64>,
    measurement: Fixed<48>,
    host_data: Fixed<32>,
    id_key_digest: Fixed<48>,
    author_key_digest: Fixed<48>,
    report_id: Fixed<32>,
    report_id_ma: Fixed<32>,
    reported_tcb: Members<Tcb>,
    #[serde(deserialize_with = "Option::deserialize")]
    cpuid_fam_id: Option<u8>,
    #[serde(deserialize_with = "Option::deserialize")]
    cpuid_mod_id: Option<u8>,
    #[serde(deserialize_with = "Option::deserialize")]
    cpuid_step: Option<u8>,
    chip_id: Fixed<64>,
    committed_tcb: Members<Tcb>,
    current: Members<Firmware>,
    committed: Members<Firmware>,
    launch_tcb: Members<Tcb>,
    #[serde(default)]
    launch_mit_vector: Option<u64>,
    #[serde(default)]
    current_mit_vector: Option<u64>,
    signature: Members<Signature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tcb {
    #[serde(deserialize_with = "Option::deserialize")]
    fmc: Option<u8>,
    bootloader: u8,
    tee: u8,
    snp: u8,
    microcode: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Firmware {
    major: u8,
    minor: u8,
    build: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    r: Fixed<72>,
    s: Fixed<72>,
}

/// How the processor family lays out a TCB version.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TcbLayout {
    /// Milan and Genoa: bootloader, tee, four zero, snp, microcode.
    WithoutFmc,
    /// Turin: fmc, bootloader, tee, snp, three zero, microcode.
    WithFmc,
}

impl Rebuild for Report {
    fn bytes(&self) -> Result<Vec<u8>, CocoError> {
        let layout = self.tcb_layout()?;
        let mut report = Writer(Vec::with_capacity(REPORT_BYTES));
        report.put(self.version.to_le_bytes());
        report.put(self.guest_svn.to_le_bytes());
        report.put(self.policy.to_le_bytes());
        report.put(self.family_id.0);
        report.put(self.image_id.0);
        report.put(self.vmpl.to_le_bytes());
        report.put(self.sig_algo.to_le_bytes());
        report.put(self.current_tcb.0.bytes(layout, "current_tcb")?);
        report.put(self.plat_info.to_le_bytes());
        report.put(self.key_info.to_le_bytes());
        report.reserved_to(0x050);
        report.put(self.report_data.0);
        report.put(self.measurement.0);
        report.put(self.host_data.0);
        report.put(self.id_key_digest.0);
        report.put(self.author_key_digest.0);
        report.put(self.report_id.0);
        report.put(self.report_id_ma.0);
        report.put(self.reported_tcb.0.bytes(layout, "reported_tcb")?);
        report.put(self.cpuid()?);
        report.reserved_to(0x1A0);
        report.put(self.chip_id.0);
        report.put(self.committed_tcb.0.bytes(layout, "committed_tcb")?);
        report.put([self.current.0.build, self.current.0.minor, self.current.0.major]);
        report.reserved_to(0x1EC);
        report.put([self.committed.0.build, self.committed.0.minor, self.committed.0.major]);
        report.reserved_to(0x1F0);
        report.put(self.launch_tcb.0.bytes(layout, "launch_tcb")?);
        let [launch, current] = self.mitigation_vectors()?;
        report.put(launch.to_le_bytes());
        report.put(current.to_le_bytes());
        report.reserved_to(0x2A0);
        report.put(self.signature.0.r.0);
        report.put(self.signature.0.s.0);
        report.reserved_to(REPORT_BYTES);
        Ok(report.0)
    }
}

impl Report {
    fn tcb_layout(&self) -> Result<TcbLayout, CocoError> {
        match (self.version, self.cpuid_fam_id) {
            // Version 2 does not name the processor; the agent has decided by the chip id, and `fmc` shows how.
            (2, None) if self.current_tcb.0.fmc.is_some() => Ok(TcbLayout::WithFmc),
            (2, None) => Ok(TcbLayout::WithoutFmc),
            (3..=5, Some(0x19)) => Ok(TcbLayout::WithoutFmc),
            (3..=5, Some(0x1A)) => Ok(TcbLayout::WithFmc),
            (2..=5, _) => {
                Err(malformed("cpuid_fam_id", "null in version 2, 25 (Milan, Genoa) or 26 (Turin) from version 3 on"))
            }
            _ => Err(malformed("version", "2, 3, 4 or 5")),
        }
    }

    fn cpuid(&self) -> Result<[u8; 3], CocoError> {
        match (self.version, self.cpuid_fam_id, self.cpuid_mod_id, self.cpuid_step) {
            (2, None, None, None) => Ok([0; 3]),
            (3.., Some(family), Some(model), Some(step)) => Ok([family, model, step]),
            _ => Err(malformed("cpuid_mod_id, cpuid_step", "null in version 2, numbers from version 3 on")),
        }
    }

    fn mitigation_vectors(&self) -> Result<[u64; 2], CocoError> {
        match (self.version, self.launch_mit_vector, self.current_mit_vector) {
            (..5, None, None) => Ok([0; 2]),
            (5.., Some(launch), Some(current)) => Ok([launch, current]),
            _ => Err(malformed("launch_mit_vector, current_mit_vector", "numbers in version 5, null before")),
        }
    }
}

impl Tcb {
    fn bytes(&self, layout: TcbLayout, place: &str) -> Result<[u8; 8], CocoError> {
        let Self { fmc, bootloader, tee, snp, microcode } = *self;
        match (layout, fmc) {
            (TcbLayout::WithoutFmc, None) => Ok([bootloader, tee, 0, 0, 0, 0, snp, microcode]),
            (TcbLayout::WithFmc, Some(fmc)) => Ok([fmc, bootloader, tee, snp, 0, 0, 0, microcode]),
            _ => Err(malformed(&format!("{place}.fmc"), "a number on Turin, null before")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{Chain, ChainKind, rebuild as rebuild_from};

    /// A report in which no two neighbouring fields hold the same bytes, and its JSON as the agent would write it: two
    /// independent spellings of table 23.
    fn sample(version: u32, family: u8) -> (Vec<u8>, Value) {
        let mut report = vec![0_u8; 0x4A0];
        let mut fill = |offset: usize, length: usize, seed: u8| -> Vec<u8> {
            let bytes: Vec<u8> = (0..=u8::MAX).map(|i| seed.wrapping_add(i)).take(length).collect();
            report[offset..offset + length].copy_from_slice(&bytes);
            bytes
        };
        let mut json = json!({
            "family_id": fill(0x010, 16, 3), "image_id": fill(0x020, 16, 5), "report_data": fill(0x050, 64, 7),
            "measurement": fill(0x090, 48, 11), "host_data": fill(0x0C0, 32, 13), "id_key_digest": fill(0x0E0, 48, 17),
            "author_key_digest": fill(0x110, 48, 19), "report_id": fill(0x140, 32, 23), "report_id_ma": fill(0x160, 32, 29),
            "chip_id": fill(0x1A0, 64, 31),
            "signature": { "r": fill(0x2A0, 72, 37), "s": fill(0x2E8, 72, 41) },
        });
        for (offset, bytes, name, value) in [
            (0x000, version.to_le_bytes().to_vec(), "version", json!(version)),
            (0x004, 0x0102_0304_u32.to_le_bytes().to_vec(), "guest_svn", json!(0x0102_0304)),
            (0x008, 0x0003_0000_u64.to_le_bytes().to_vec(), "policy", json!(0x0003_0000)),
            (0x030, 2_u32.to_le_bytes().to_vec(), "vmpl", json!(2)),
            (0x034, 1_u32.to_le_bytes().to_vec(), "sig_algo", json!(1)),
            (0x040, 0x25_u64.to_le_bytes().to_vec(), "plat_info", json!(0x25)),
            (0x048, 4_u32.to_le_bytes().to_vec(), "key_info", json!(4)),
            (0x1E8, vec![29, 55, 1], "current", json!({"major": 1, "minor": 55, "build": 29})),
            (0x1EC, vec![28, 54, 1], "committed", json!({"major": 1, "minor": 54, "build": 28})),
        ] {
            report[offset..offset + bytes.len()].copy_from_slice(&bytes);
            json[name] = value;
        }
        for (offset, name, base) in [
            (0x038, "current_tcb", 50_u8),
            (0x180, "reported_tcb", 60),
            (0x1E0, "committed_tcb", 70),
            (0x1F0, "launch_tcb", 80),
        ] {
            let (bytes, fmc) = if family == 0x1A {
                ([base + 4, base, base + 1, base + 2, 0, 0, 0, base + 3], json!(base + 4))
            } else {
                ([base, base + 1, 0, 0, 0, 0, base + 2, base + 3], Value::Null)
            };
            report[offset..offset + 8].copy_from_slice(&bytes);
            json[name] =
                json!({"fmc": fmc, "bootloader": base, "tee": base + 1, "snp": base + 2, "microcode": base + 3});
        }
        for (offset, name, value) in
            [(0x188, "cpuid_fam_id", family), (0x189, "cpuid_mod_id", 1), (0x18A, "cpuid_step", 2)]
        {
            json[name] = if version >= 3 { json!(value) } else { Value::Null };
            report[offset] = if version >= 3 { value } else { 0 };
        }
        for (offset, name, value) in [(0x1F8, "launch_mit_vector", 0x3F_u64), (0x200, "current_mit_vector", 0x1F)] {
            json[name] = if version >= 5 { json!(value) } else { Value::Null };
            if version >= 5 {
                report[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
        (report, json!({ "attestation_report": json, "cert_chain": null }))
    }

    fn rebuild(json: &Value) -> Result<(Vec<u8>, Chain), String> {
        rebuild_from(json.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_bytes_come_back_for_every_version_and_layout() {
        for (version, family) in [(2, 0x19), (3, 0x19), (4, 0x19), (5, 0x19), (3, 0x1A), (5, 0x1A), (2, 0x1A)] {
            let (report, json) = sample(version, family);
            assert_eq!(
                teegate_encoding::hex::encode(rebuild(&json).unwrap().0),
                teegate_encoding::hex::encode(&report),
                "version {version} family {family:#x}"
            );
        }
        // Agents built before version 5 do not write its members.
        let (report, mut json) = sample(3, 0x19);
        json["attestation_report"].as_object_mut().unwrap().retain(|name, _| !name.ends_with("_mit_vector"));
        assert_eq!(rebuild(&json).unwrap().0, report);
    }

    #[test]
    fn unknown_missing_and_contradictory_members_are_refused_by_name() {
        let (_, good) = sample(3, 0x19);
        let members: Vec<String> = good["attestation_report"].as_object().unwrap().keys().cloned().collect();
        for name in members.iter().filter(|name| !name.ends_with("_mit_vector")) {
            let mut json = good.clone();
            json["attestation_report"].as_object_mut().unwrap().remove(name);
            let reason = rebuild(&json).unwrap_err();
            assert!(reason.contains(&format!("missing field `{name}`")), "{name}: {reason}");
        }
        let edits: [(&[&str], Value, &str); 15] = [
            (&["attestation_report", "new_field"], json!(0), "unknown field `new_field`"),
            (&["attestation_report", "current_tcb", "new_part"], json!(0), "unknown field `new_part`"),
            (&["attestation_report", "current_tcb"], json!([null, 0, 0, 0, 0]), "sequence, expected an object"),
            (&["attestation_report", "current"], json!([1, 55, 0]), "sequence, expected an object"),
            (&["cert_chain"], json!([["VCEK", [0x30]]]), "sequence, expected an object"),
            (&["new_member"], json!(0), "unknown field `new_member`"),
            (&["attestation_report", "version"], json!(6), "`attestation_report.version`"),
            (
                &["attestation_report", "version"],
                json!(5),
                "`attestation_report.launch_mit_vector, current_mit_vector`",
            ),
            (&["attestation_report", "version"], json!(2), "`attestation_report.cpuid_fam_id`"),
            (&["attestation_report", "cpuid_fam_id"], json!(0x1B), "`attestation_report.cpuid_fam_id`"),
            (&["attestation_report", "cpuid_fam_id"], json!(0x1A), "`attestation_report.current_tcb.fmc`"),
            (&["attestation_report", "launch_tcb", "fmc"], json!(1), "`attestation_report.launch_tcb.fmc`"),
            (&["attestation_report", "cpuid_step"], Value::Null, "`attestation_report.cpuid_mod_id, cpuid_step`"),
            (&["attestation_report", "chip_id"], json!([1, 2]), "2 byte numbers, expected 64"),
            (&["attestation_report", "host_data"], json!([256]), "expected u8"),
        ];
        for (path, value, expected) in edits {
            let mut json = good.clone();
            let (last, parents) = path.split_last().unwrap();
            parents.iter().fold(&mut json, |at, name| &mut at[*name])[*last] = value;
            let reason = rebuild(&json).unwrap_err();
            assert!(reason.contains(expected), "{path:?}: {reason}");
        }
    }

    #[test]
    fn the_chain_is_kept_and_other_entries_are_left_out() {
        let (_, mut json) = sample(3, 0x19);
        json["cert_chain"] = json!([
            {"cert_type": "VCEK", "data": [0x30, 1]},
            {"cert_type": {"OTHER": "00000000-0000-0000-0000-000000000000"}, "data": [1]},
            {"cert_type": "Empty", "data": []},
            {"cert_type": "CRL", "data": [0x30, 2]},
        ]);
        let chain = rebuild(&json).unwrap().1;
        assert_eq!(chain, [(ChainKind::Certificate, vec![0x30, 1]), (ChainKind::Crl, vec![0x30, 2])]);
        json["cert_chain"] = json!([{"cert_type": "ROOT", "data": [0x30]}]);
        assert!(rebuild(&json).unwrap_err().contains("unknown variant `ROOT`"));
    }

    #[test]
    fn no_damaged_answer_gets_further_than_an_error() {
        let (_, good) = sample(3, 0x19);
        let text = good.to_string();
        for end in 0..text.len() {
            assert!(rebuild_from(&text.as_bytes()[..end]).is_err(), "{end}");
        }
        for position in (0..text.len()).step_by(7) {
            for byte in [b'9', b'-', b'"', b'[', b'n'] {
                let mut damaged = text.clone().into_bytes();
                damaged[position] = byte;
                // A changed number is another report, which the signature will not cover; what matters here is that
                // nothing worse happens.
                let _ = rebuild_from(&damaged);
            }
        }
    }
}
