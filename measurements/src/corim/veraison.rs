//! The fields of a SEV-SNP report as Veraison numbers them (services, `scheme/sevsnp`; its generators of manifests), under the
//! profile `tag:amd.com,2024:snp-corim-profile`: keys 0 to 7 for the head of a report, 640 to 650 for the guest and the processor,
//! 3328 and above for the platform. Numbers in raw values are big-endian there, whatever they are in a report.
//!
//! Its generators write down a whole report, as it was taken: with the platform's state of that day, the challenge and the chip.
//! Veraison's own appraisal passes over much of that; here it could be a condition, so all of it is named and refused.

use corim::types::common::{ClassIdChoice, InstanceIdChoice};
use corim::types::environment::ClassMap;
use corim::types::measurement::{MeasurementMap, SvnChoice};

use super::{Fields, mkey, nothing_but, raw, sha_384};
use crate::reference::ReferenceValue;

/// The profile's identifier.
pub(super) const PROFILE: &str = "tag:amd.com,2024:snp-corim-profile";

/// Attested by chip, 1.3.6.1.4.1.3704.3.1, and by cloud provider, 1.3.6.1.4.1.3704.3.2.
const CLASSES: [[u8; 9]; 2] =
    [[0x2B, 0x06, 0x01, 0x04, 0x01, 0x9C, 0x78, 0x03, 0x01], [0x2B, 0x06, 0x01, 0x04, 0x01, 0x9C, 0x78, 0x03, 0x02]];

/// What the profile can say and no reference value can hold, with the field in which a policy says it.
const ELSEWHERE: [(u64, &str, &str); 15] = [
    (0, "VERSION", "nothing"),
    (2, "POLICY", "`debug`, `migration_agent`, `policy_flags`, `minimum_abi`"),
    (6, "CURRENT_TCB", "`minimum_tcb`"),
    (7, "PLATFORM_INFO", "`platform_info`"),
    (640, "REPORT_DATA", "`report_data`"),
    (645, "REPORT_ID", "nothing: it differs with each launch"),
    (647, "REPORTED_TCB", "`minimum_tcb`"),
    (648, "CPUID_FAM_ID", "`products`"),
    (649, "CPUID_MOD_ID", "`products`"),
    (650, "CPUID_STEP", "`products`"),
    (3328, "CHIP_ID", "`chip_ids`"),
    (3329, "COMMITTED_TCB", "`minimum_tcb`, `committed_firmware`"),
    (3330, "CURRENT_VERSION", "`minimum_firmware`"),
    (3936, "COMMITTED_VERSION", "`minimum_firmware`, `committed_firmware`"),
    (3968, "LAUNCH_TCB", "`minimum_tcb`"),
];

/// The class is one of the two, and nothing else. Which key signs is `signing_keys`' affair.
pub(super) fn expect_class(class: Option<&ClassMap>) -> Result<(), String> {
    match class {
        Some(ClassMap { class_id: Some(ClassIdChoice::Oid(id)), vendor: None, model: None, layer: None, index: None })
            if CLASSES.iter().any(|known| known == id.as_slice()) =>
        {
            Ok(())
        }
        _ => Err("an environment of another class: expected the class id 1.3.6.1.4.1.3704.3.1 (by chip) or 1.3.6.1.4.1.3704.3.2 (by \
                  cloud provider), and nothing else"
            .to_owned()),
    }
}

/// Refuses, all at once, the measurements that no field can be filled from: whoever has to take them out wants the whole list.
pub(super) fn expect_held(measurements: &[MeasurementMap]) -> Result<(), String> {
    let named = |key: u64| ELSEWHERE.iter().find(|(own, ..)| *own == key);
    let others: Vec<_> = measurements
        .iter()
        .filter_map(mkey)
        .filter_map(named)
        .map(|(key, name, field)| format!("mkey {key} ({name}; a policy says it in {field})"))
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(format!(
        "holds what no field is filled from, and which could be a condition: {}; give a manifest of the guest alone, mkey 1, 3 to 5, \
         641 to 644 and 646",
        others.join(", ")
    ))
}

/// Veraison's services look a triple up by the launch measurement, which then stands in the environment too. Whatever else stands
/// there names one chip, or one provider.
pub(super) fn expect_instance(instance: Option<&InstanceIdChoice>, fields: &Fields) -> Result<(), String> {
    match (instance, fields.get("measurement")) {
        (None, _) => Ok(()),
        (Some(InstanceIdChoice::Bytes(own)), Some(ReferenceValue::Bytes(measurement))) if own == measurement => Ok(()),
        _ => Err("the environment of a reference triple names an instance that is not its own MEASUREMENT (mkey 641), so it is for one \
                  chip or one cloud provider: a policy names those with `chip_ids` and `csp_ids`"
            .to_owned()),
    }
}

/// What one measurement says of the report.
pub(super) fn fields(measurement: &MeasurementMap) -> Result<Fields, String> {
    let values = &measurement.mval;
    let key = mkey(measurement).ok_or("a measurement without a number for its key (mkey)")?;
    let place = format!("mkey {key}");
    if let Some(code) = values.extra_entries.keys().next() {
        return Err(format!("{place}: an unknown code point {code}"));
    }
    let whole = match key {
        1 => {
            nothing_but(&place, values, &["svn"])?;
            let value = match values.svn {
                Some(SvnChoice::ExactValue(svn)) => ReferenceValue::Number(svn),
                Some(SvnChoice::MinValue(svn)) => ReferenceValue::AtLeast(svn),
                _ => return Err(format!("{place}: expected an `svn`")),
            };
            return Ok(Fields::from([("guest_svn", value)]));
        }
        641 => {
            nothing_but(&place, values, &["digests"])?;
            let digests = values.digests.as_deref().ok_or_else(|| format!("{place}: expected `digests`"))?;
            return Ok(Fields::from([("measurement", sha_384(&place, digests)?)]));
        }
        3 => "family_id",
        4 => "image_id",
        5 => "vmpl",
        642 => "host_data",
        643 => "id_key",
        644 => "author_key",
        646 => "report_id_ma",
        _ => return Err(format!("{place}: the profile has no such key")),
    };
    nothing_but(&place, values, &["raw-value"])?;
    let value = values.raw_value.as_ref().ok_or_else(|| format!("{place}: expected a `raw-value`"))?;
    let value = match (whole, raw(&place, value)?) {
        ("vmpl", ReferenceValue::Bytes(bytes)) => {
            let level =
                <[u8; 4]>::try_from(bytes.as_slice()).map_err(|_| format!("{place}: expected VMPL in 4 bytes"))?;
            ReferenceValue::Number(u64::from(u32::from_be_bytes(level)))
        }
        (_, value) => value,
    };
    Ok(Fields::from([(whole, value)]))
}
