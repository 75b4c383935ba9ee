//! The fields of a SEV-SNP report as draft-deeglaze-amd-sev-snp-corim-profile-02 numbers them.

use crate::reference::ReferenceValue;
use corim::types::common::{ClassIdChoice, VersionMap};
use corim::types::environment::ClassMap;
use corim::types::measurement::{MeasurementMap, SvnChoice};

use super::{Fields, mkey, nothing_but, raw, sha_384};

/// The profile's identifier, as the draft has it.
pub(super) const PROFILE: &str = "http://amd.com/please-permalink-me";

/// Attested by chip, d05e6d1b-9f46-4ae2-a610-ce3e6ee7e153, and by cloud provider, 89a7a1f0-e704-4faa-acbd-81c86df8a961.
const CLASSES: [[u8; 16]; 2] = [
    [0xD0, 0x5E, 0x6D, 0x1B, 0x9F, 0x46, 0x4A, 0xE2, 0xA6, 0x10, 0xCE, 0x3E, 0x6E, 0xE7, 0xE1, 0x53],
    [0x89, 0xA7, 0xA1, 0xF0, 0xE7, 0x04, 0x4F, 0xAA, 0xAC, 0xBD, 0x81, 0xC8, 0x6D, 0xF8, 0xA9, 0x61],
];

/// The class is one of the two, and the rest of it is empty, as the draft demands. Which key signs is `signing_keys`' affair.
pub(super) fn expect_class(class: Option<&ClassMap>) -> Result<(), String> {
    match class {
        Some(ClassMap { class_id: Some(ClassIdChoice::Uuid(id)), vendor: None, model: None, layer: None, index: None })
            if CLASSES.contains(id) =>
        {
            Ok(())
        }
        _ => Err("an environment of another class: expected AMD's class id by chip, d05e6d1b-9f46-4ae2-a610-ce3e6ee7e153, or by \
                  cloud provider, 89a7a1f0-e704-4faa-acbd-81c86df8a961, and nothing else"
            .to_owned()),
    }
}

/// What one measurement says of the report.
pub(super) fn fields(measurement: &MeasurementMap) -> Result<Fields, String> {
    let values = &measurement.mval;
    let key = mkey(measurement).ok_or("a measurement without a number for its key (mkey): expected 0 to 10")?;
    let place = format!("mkey {key}");
    if let Some(key) = values.extra_entries.keys().next() {
        return Err(format!("{place}: an unknown code point {key}"));
    }
    let mut fields = Fields::new();
    let whole = match key {
        0 => {
            nothing_but(&place, values, &["version", "svn", "digests", "raw-value"])?;
            if let Some(version) = &values.version {
                fields.insert("image_id", image_id(&place, version)?);
            }
            match values.svn {
                None => {}
                Some(SvnChoice::ExactValue(svn)) => drop(fields.insert("guest_svn", ReferenceValue::Number(svn))),
                Some(SvnChoice::MinValue(svn)) => drop(fields.insert("guest_svn", ReferenceValue::AtLeast(svn))),
                Some(_) => return Err(format!("{place}: an unknown form of `svn`")),
            }
            if let Some(digests) = &values.digests {
                fields.insert("measurement", sha_384(&place, digests)?);
            }
            if let Some(family) = &values.raw_value {
                fields.insert("family_id", raw(&place, family)?);
            }
            return Ok(fields);
        }
        4 => "report_id_ma",
        5 => "id_key",
        6 => "author_key",
        8 => "host_data",
        1 => return Err(elsewhere(&place, "the minimum ABI", "minimum_abi")),
        2 => return Err(elsewhere(&place, "the VMPL", "vmpl")),
        3 => return Err(elsewhere(&place, "the REPORT_ID of one launch", "nothing")),
        7 | 9 | 10 => return Err(elsewhere(&place, "a version of the platform's TCB", "minimum_tcb")),
        _ => return Err(format!("{place}: the profile knows 0 to 10")),
    };
    nothing_but(&place, values, &["raw-value"])?;
    let value = values.raw_value.as_ref().ok_or_else(|| format!("{place}: expected a `raw-value`"))?;
    fields.insert(whole, raw(&place, value)?);
    Ok(fields)
}

fn elsewhere(place: &str, what: &str, field: &str) -> String {
    format!("{place}: {what}, which no field is filled from; a policy says it in `{field}`")
}

/// The draft carries IMAGE_ID as a version, in hexadecimal.
fn image_id(place: &str, version: &VersionMap) -> Result<ReferenceValue, String> {
    let text = &version.version;
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let bytes = digits.filter(|digits| digits.len() == 32 && version.version_scheme.is_none()).map(|digits| {
        digits
            .chunks_exact(2)
            .filter_map(|pair| match pair {
                [high, low] => u8::try_from(high * 16 + low).ok(),
                _ => None,
            })
            .collect()
    });
    bytes
        .map(ReferenceValue::Bytes)
        .ok_or_else(|| format!("{place}: `version`: expected IMAGE_ID as 32 hexadecimal digits"))
}
