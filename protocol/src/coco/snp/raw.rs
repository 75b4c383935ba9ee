//! The report as `sev` 3 to 5 serialise it, which guest-components wrote until v0.13: every byte stands under some name, in the order of
//! the bytes, reserved ones included. What later versions of the report put into those (processor, mitigation vectors) is in
//! them, and so is the TCB of a processor that lays it out otherwise.

use serde::Deserialize;

use crate::members::Members;

use super::{CocoError, Fixed, Rebuild, Writer};

/// `AttestationReport` of the `sev` crate, versions 3 to 5. AMD 56860, table 23, as of report version 2.
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
    /// AUTHOR_KEY_EN, and what was reserved then: MASK_CHIP_KEY, SIGNING_KEY.
    #[serde(rename = "_author_key_en")]
    key_info: u32,
    #[serde(rename = "_reserved_0")]
    reserved_0: u32,
    report_data: Fixed<64>,
    measurement: Fixed<48>,
    host_data: Fixed<32>,
    id_key_digest: Fixed<48>,
    author_key_digest: Fixed<48>,
    report_id: Fixed<32>,
    report_id_ma: Fixed<32>,
    reported_tcb: Members<Tcb>,
    #[serde(rename = "_reserved_1")]
    reserved_1: Fixed<24>,
    chip_id: Fixed<64>,
    committed_tcb: Members<Tcb>,
    current_build: u8,
    current_minor: u8,
    current_major: u8,
    #[serde(rename = "_reserved_2")]
    reserved_2: u8,
    committed_build: u8,
    committed_minor: u8,
    committed_major: u8,
    #[serde(rename = "_reserved_3")]
    reserved_3: u8,
    launch_tcb: Members<Tcb>,
    #[serde(rename = "_reserved_4")]
    reserved_4: Fixed<168>,
    signature: Members<Signature>,
}

/// Eight bytes in order, under the names that they have on Milan and Genoa.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tcb {
    bootloader: u8,
    tee: u8,
    #[serde(rename = "_reserved")]
    reserved: Fixed<4>,
    snp: u8,
    microcode: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    r: Fixed<72>,
    s: Fixed<72>,
    #[serde(rename = "_reserved")]
    reserved: Fixed<368>,
}

impl Tcb {
    fn put_into(&self, report: &mut Writer) {
        report.put([self.bootloader, self.tee]);
        report.put(self.reserved.0);
        report.put([self.snp, self.microcode]);
    }
}

impl Rebuild for Report {
    fn bytes(&self) -> Result<Vec<u8>, CocoError> {
        let mut report = Writer(Vec::with_capacity(super::REPORT_BYTES));
        report.put(self.version.to_le_bytes());
        report.put(self.guest_svn.to_le_bytes());
        report.put(self.policy.to_le_bytes());
        report.put(self.family_id.0);
        report.put(self.image_id.0);
        report.put(self.vmpl.to_le_bytes());
        report.put(self.sig_algo.to_le_bytes());
        self.current_tcb.0.put_into(&mut report);
        report.put(self.plat_info.to_le_bytes());
        report.put(self.key_info.to_le_bytes());
        report.put(self.reserved_0.to_le_bytes());
        report.put(self.report_data.0);
        report.put(self.measurement.0);
        report.put(self.host_data.0);
        report.put(self.id_key_digest.0);
        report.put(self.author_key_digest.0);
        report.put(self.report_id.0);
        report.put(self.report_id_ma.0);
        self.reported_tcb.0.put_into(&mut report);
        report.put(self.reserved_1.0);
        report.put(self.chip_id.0);
        self.committed_tcb.0.put_into(&mut report);
        report.put([self.current_build, self.current_minor, self.current_major, self.reserved_2]);
        report.put([self.committed_build, self.committed_minor, self.committed_major, self.reserved_3]);
        self.launch_tcb.0.put_into(&mut report);
        report.put(self.reserved_4.0);
        report.put(self.signature.0.r.0);
        report.put(self.signature.0.s.0);
        report.put(self.signature.0.reserved.0);
        Ok(report.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{REPORT_BYTES, rebuild};

    /// A report in which every byte says where it stands, as the `sev` crate of that time serialises it: names and lengths in the
    /// order of its structure.
    fn sample() -> (Vec<u8>, Value) {
        let report: Vec<u8> = (0..REPORT_BYTES).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut rest = report.as_slice();
        let mut take = |length: usize| {
            let (taken, after) = rest.split_at(length);
            rest = after;
            taken.to_vec()
        };
        let number = |bytes: Vec<u8>| json!(bytes.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)));
        let mut json = json!({});
        for (name, length, kind) in [
            ("version", 4, 'n'),
            ("guest_svn", 4, 'n'),
            ("policy", 8, 'n'),
            ("family_id", 16, 'b'),
            ("image_id", 16, 'b'),
            ("vmpl", 4, 'n'),
            ("sig_algo", 4, 'n'),
            ("current_tcb", 8, 't'),
            ("plat_info", 8, 'n'),
            ("_author_key_en", 4, 'n'),
            ("_reserved_0", 4, 'n'),
            ("report_data", 64, 'b'),
            ("measurement", 48, 'b'),
            ("host_data", 32, 'b'),
            ("id_key_digest", 48, 'b'),
            ("author_key_digest", 48, 'b'),
            ("report_id", 32, 'b'),
            ("report_id_ma", 32, 'b'),
            ("reported_tcb", 8, 't'),
            ("_reserved_1", 24, 'b'),
            ("chip_id", 64, 'b'),
            ("committed_tcb", 8, 't'),
            ("current_build", 1, 'n'),
            ("current_minor", 1, 'n'),
            ("current_major", 1, 'n'),
            ("_reserved_2", 1, 'n'),
            ("committed_build", 1, 'n'),
            ("committed_minor", 1, 'n'),
            ("committed_major", 1, 'n'),
            ("_reserved_3", 1, 'n'),
            ("launch_tcb", 8, 't'),
            ("_reserved_4", 168, 'b'),
        ] {
            let bytes = take(length);
            json[name] = match kind {
                'n' => number(bytes),
                'b' => json!(bytes),
                _ => json!({
                    "bootloader": bytes[0], "tee": bytes[1], "_reserved": bytes[2..6], "snp": bytes[6], "microcode": bytes[7],
                }),
            };
        }
        let (r, s) = (take(72), take(72));
        json["signature"] = json!({ "r": r, "s": s, "_reserved": take(368) });
        assert!(rest.is_empty());
        (report, json!({ "attestation_report": json, "cert_chain": null }))
    }

    #[test]
    fn every_byte_comes_back_from_where_the_older_agents_put_it() {
        let (report, json) = sample();
        let (bytes, chain) = rebuild(json.to_string().as_bytes()).unwrap();
        assert_eq!((bytes, chain), (report, Vec::new()));
    }

    #[test]
    fn what_cannot_be_placed_is_refused_by_name() {
        let (_, good) = sample();
        let refusal = |json: &Value| rebuild(json.to_string().as_bytes()).unwrap_err().to_string();
        let members: Vec<String> = good["attestation_report"].as_object().unwrap().keys().cloned().collect();
        for name in members.iter().filter(|name| *name != "_author_key_en") {
            let mut json = good.clone();
            json["attestation_report"].as_object_mut().unwrap().remove(name);
            assert!(refusal(&json).contains(&format!("missing field `{name}`")), "{name}");
        }
        // Names of both shapes in one report are of neither.
        for (name, value) in [("key_info", json!(0)), ("current", json!({"major": 1, "minor": 1, "build": 1}))] {
            let mut json = good.clone();
            json["attestation_report"][name] = value;
            assert!(refusal(&json).contains(&format!("unknown field `{name}`")), "{name}");
        }
        for (path, value, expected) in [
            ("/attestation_report/_reserved_4", json!([1, 2]), "2 byte numbers, expected 168"),
            ("/attestation_report/signature/_reserved", json!(vec![0; 369]), "more than 368 byte numbers"),
            ("/attestation_report/current_tcb/_reserved", json!([0, 0, 0]), "3 byte numbers, expected 4"),
            ("/attestation_report/current_tcb", json!({"fmc": null}), "unknown field `fmc`"),
            ("/attestation_report/current_tcb", json!([0, 0, [0, 0, 0, 0], 0, 0]), "sequence, expected an object"),
            ("/attestation_report/signature", json!([0, 0, 0]), "sequence, expected an object"),
            ("/attestation_report/current_build", json!(256), "expected u8"),
        ] {
            let mut json = good.clone();
            *json.pointer_mut(path).unwrap() = value;
            assert!(refusal(&json).contains(expected), "{path}: {}", refusal(&json));
        }
    }
}
