//! What draft-cds-rats-intel-corim-profile-07 has for a TD: MRTD as `tee.mrtee`, under its code point or under the `mkey` of
//! the same number; and the registers of the base draft for the RTMRs. The rest of a quote has no code point there.

use corim::cbor::value::Value;
use corim::types::environment::ClassMap;
use corim::types::measurement::{Digest, DigestAlg, IntegrityRegisterId, MeasurementMap};

use super::{Fields, mkey, nothing_but, repeated, sha_384};

/// The profile's OID, 2.16.840.1.113741.1.16.1.
pub(super) const PROFILE: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xF8, 0x4D, 0x01, 0x10, 0x01];

/// `tee.mrtee`.
const MRTEE: i64 = -83;
const MRTEE_KEY: u64 = 83;
const REGISTERS: [&str; 4] = ["rtmr0", "rtmr1", "rtmr2", "rtmr3"];

/// The draft assigns a TD no class id, so it is told by vendor and model, in the words of the draft's own examples.
pub(super) fn expect_class(class: Option<&ClassMap>) -> Result<(), String> {
    match class {
        Some(ClassMap { class_id: None, vendor: Some(vendor), model: Some(model), layer: None, index: None })
            if vendor == "Intel Corporation" && model == "TDX" =>
        {
            Ok(())
        }
        _ => Err(
            "an environment of another class: expected vendor `Intel Corporation` and model `TDX`, and nothing else"
                .to_owned(),
        ),
    }
}

/// What one measurement says of the TD.
pub(super) fn fields(measurement: &MeasurementMap) -> Result<Fields, String> {
    let values = &measurement.mval;
    let mut fields = Fields::new();
    match (&measurement.mkey, mkey(measurement)) {
        (None, _) => nothing_but("a measurement", values, &["integrity-registers"])?,
        (Some(_), Some(MRTEE_KEY)) => {
            nothing_but("mkey 83 (tee.mrtee)", values, &["digests"])?;
            let digests = values.digests.as_deref().unwrap_or_default();
            fields.insert("mrtd", sha_384("mkey 83 (tee.mrtee)", digests)?);
        }
        (Some(other), _) => {
            return Err(format!(
                "mkey {}: no field is filled from it; expected none, or 83 (tee.mrtee)",
                repeated(&format_args!("{other:?}"))
            ));
        }
    }
    for (code, value) in &values.extra_entries {
        let digests = match (*code, value) {
            (MRTEE, value) => digests(value),
            (code, _) => {
                return Err(format!("code point {code}: no field is filled from it; expected -83 (tee.mrtee)"));
            }
        };
        let digests = digests
            .ok_or("tee.mrtee: expected a digest or a list of one; an expression has no counterpart in a policy")?;
        if fields.insert("mrtd", sha_384("tee.mrtee", &digests)?).is_some() {
            return Err("tee.mrtee stands there twice, as a code point and as an mkey".to_owned());
        }
    }
    for (id, digests) in values.integrity_registers.iter().flat_map(|registers| &registers.0) {
        let name = match id {
            IntegrityRegisterId::Uint(number) => usize::try_from(*number).ok().and_then(|index| REGISTERS.get(index)),
            _ => None,
        };
        let name = name.ok_or_else(|| {
            format!("integrity register {}: a TD has RTMR 0 to 3, by number", repeated(&format_args!("{id:?}")))
        })?;
        fields.insert(name, sha_384(name, digests)?);
    }
    Ok(fields)
}

/// `digest` or `digests-type`.
fn digests(value: &Value) -> Option<Vec<Digest>> {
    let one = |value: &Value| match value {
        Value::Array(pair) => match pair.as_slice() {
            [Value::Integer(algorithm), Value::Bytes(bytes)] => {
                Some(Digest(DigestAlg::Int(i64::try_from(*algorithm).ok()?), bytes.clone()))
            }
            _ => None,
        },
        _ => None,
    };
    match value {
        Value::Array(list) if list.iter().all(|item| matches!(item, Value::Array(_))) => list.iter().map(one).collect(),
        single => one(single).map(|digest| vec![digest]),
    }
}
