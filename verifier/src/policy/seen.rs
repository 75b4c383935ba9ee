//! What recorded hardware showed, held against the rules of a policy: a rule about the state of a platform that no record
//! satisfies may be a mistake, or ask for what nobody has shown yet. The user's own values are not in the records.

use super::demand::Demand;
use super::names::Names;
use super::shown::{Shown, bit, known_bits};
use crate::check::Tee;

/// The records of one TEE.
pub(super) struct Seen {
    tee: Tee,
    records: Vec<toml::Table>,
}

impl Seen {
    /// Reads the records of a TEE out of the table that a release ships.
    pub(super) fn parse(text: &str, tee: Tee) -> Result<Self, toml::de::Error> {
        let mut document: toml::Table = toml::from_str(text)?;
        let records = document.remove(tee.name()).map_or(Ok(Vec::new()), toml::Value::try_into)?;
        Ok(Self { tee, records })
    }

    /// What no record satisfies, in words; `None` where one does, or where there is nothing to hold it against.
    pub(super) fn complaint(&self, field: &str, demand: &Demand) -> Option<String> {
        if let Demand::Floors(floors) = demand {
            // A floor is of one product, so that of another product says nothing about it.
            return floors.iter().find_map(|(product, floor)| {
                let own = |record: &&toml::Table| record.get("product").and_then(toml::Value::as_str) == Some(product);
                let one = Demand::Floors([(product.clone(), floor.clone())].into());
                self.none_of(field, &one, self.records.iter().filter(own).collect(), &format!(" of {product}"))
            });
        }
        self.none_of(field, demand, self.records.iter().collect(), "")
    }

    fn none_of(&self, field: &str, demand: &Demand, records: Vec<&toml::Table>, of: &str) -> Option<String> {
        let shown: Vec<_> = records.iter().filter_map(|record| shows(self.tee, field, record)).collect();
        let satisfied = |shown: &Vec<Shown>| shown.iter().all(|one| demand.admits(field, one));
        if demand.is_waived() || shown.is_empty() || shown.iter().any(satisfied) {
            return None;
        }
        let count = shown.len();
        Some(format!("none of {count} recorded cases{of} satisfies this: {}", nearest(field, demand, &shown)))
    }
}

/// How near they came.
fn nearest(field: &str, demand: &Demand, shown: &[Vec<Shown>]) -> String {
    let count = |holds: &dyn Fn(&Shown) -> bool| shown.iter().flatten().filter(|one| holds(one)).count();
    match demand {
        Demand::Bits { required, forbidden, unknown_refused } => {
            let known = known_bits(field);
            let is_set = |name: &str, shown: &Shown| matches!(shown, Shown::Bits(bits) if bits & bit(known, name) != 0);
            let mut words: Vec<_> = required
                .iter()
                .map(|name| format!("`{name}` is shown by {}", count(&|one| is_set(name, one))))
                .collect();
            words.extend(
                forbidden.iter().map(|name| format!("`{name}` is absent in {}", count(&|one| !is_set(name, one)))),
            );
            if *unknown_refused {
                let rule =
                    Demand::Bits { required: Names::default(), forbidden: Names::default(), unknown_refused: true };
                words.push(format!("no unknown bit in {}", count(&|one| rule.admits(field, one))));
            }
            words.join(", ")
        }
        Demand::Floors(floors) => {
            let parts = floors.values().flatten().filter_map(|(name, least)| {
                let highest = shown.iter().flatten().filter_map(|one| match one {
                    Shown::Tcb(_, parts) => parts.get(name).copied(),
                    _ => None,
                });
                highest.max().filter(|highest| highest < least).map(|highest| format!("`{name}` is {highest} at most"))
            });
            let parts: Vec<_> = parts.collect();
            if parts.is_empty() {
                "each component is reached, but never all at once".to_owned()
            } else {
                parts.join(", ")
            }
        }
        _ => {
            let mut values: Vec<String> = Vec::new();
            for one in shown.iter().flatten().map(Shown::to_string) {
                if !values.contains(&one) {
                    values.push(one);
                }
            }
            values.sort_unstable();
            let more = values.len().saturating_sub(6);
            values.truncate(6);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("they show {}{more}", values.join(", "))
        }
    }
}

/// What a record shows of a field, all of which must pass; `None` where the record cannot speak of it.
fn shows(tee: Tee, field: &str, record: &toml::Table) -> Option<Vec<Shown>> {
    let text = |name: &str| record.get(name).and_then(toml::Value::as_str);
    let texts = |name: &str| {
        let list = record.get(name).and_then(toml::Value::as_array)?;
        list.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
    };
    let number =
        |name: &str| record.get(name).and_then(toml::Value::as_integer).and_then(|one| u64::try_from(one).ok());
    let hex = |name: &str| text(name)?.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let flag = |name: &str| record.get(name).and_then(toml::Value::as_bool);
    let state = |there: bool, words| vec![Shown::State(1, words)].into_iter().filter(|_| there).collect::<Vec<_>>();
    let of_bit = |name: &str, bits: u64, words| hex(name).map(|word| state(word & bits != 0, words));
    let version = |text: &str| text.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u8>>>();
    let one = |shown: Shown| vec![shown];
    match (tee, field) {
        (Tee::SevSnp, "products" | "denied_products") => Some(one(Shown::Text(text("product")?.to_owned()))),
        (Tee::SevSnp, "signing_keys") => Some(one(Shown::Text(text("signing_key")?.to_owned()))),
        (Tee::SevSnp, "csp_ids") => Some(one(Shown::Text(text("csp_id")?.to_owned()))),
        (Tee::SevSnp, "masked_chip_id") => Some(state(flag("masked_chip_id")?, "a report that hides its chip")),
        (Tee::SevSnp, "minimum_tcb") => {
            let parts = record.get("tcb").and_then(toml::Value::as_table)?;
            let names = ["fmc", "bootloader", "tee", "snp", "microcode"];
            let part = |name: &&'static str| Some((*name, u8::try_from(parts.get(*name)?.as_integer()?).ok()?));
            Some(one(Shown::Tcb(text("product")?.to_owned(), names.iter().filter_map(part).collect())))
        }
        (Tee::SevSnp, "committed_firmware") => {
            Some(state(!flag("committed_firmware")?, "firmware that runs uncommitted"))
        }
        (Tee::SevSnp, "minimum_firmware") => version(text("firmware")?).map(Shown::Version).map(one),
        (Tee::SevSnp, "mitigations") => hex("mitigations").map(Shown::Mask).map(one),
        (Tee::SevSnp, "platform_info") => hex("platform_info").map(Shown::Bits).map(one),
        (Tee::SevSnp, "debug") => of_bit("policy", 1 << 19, "debug allowed at launch"),
        (Tee::SevSnp, "migration_agent") => of_bit("policy", 1 << 18, "a migration agent allowed at launch"),
        (Tee::SevSnp, "policy_flags") => {
            hex("policy").map(|word| word & !(0xFFFF | 1 << 17 | 1 << 18 | 1 << 19)).map(Shown::Bits).map(one)
        }
        (Tee::SevSnp, "minimum_abi") => {
            let [minor, major, ..] = hex("policy")?.to_le_bytes();
            Some(one(Shown::Version(vec![major, minor])))
        }
        (Tee::SevSnp, "vmpl") => number("vmpl").map(Shown::Number).map(one),
        (Tee::Tdx, "tcb_status") => Some(texts("tcb_status")?.into_iter().map(Shown::Text).collect()),
        (Tee::Tdx, "allowed_advisories" | "denied_advisories") => {
            Some(texts("advisories")?.into_iter().map(Shown::Text).collect())
        }
        (Tee::Tdx, "minimum_evaluation_number") => {
            Some(vec![Shown::Number(number("tcb_evaluation")?), Shown::Number(number("qe_evaluation")?)])
        }
        (Tee::Tdx, "one_evaluation") => {
            let split = number("tcb_evaluation")? != number("qe_evaluation")?;
            Some(state(split, "TCB info of one evaluation and QE identity of another"))
        }
        (Tee::Tdx, "minimum_tcb_date") => {
            let dates = texts("tcb_date")?;
            dates
                .iter()
                .map(|date| crate::time::UnixTime::parse(date).ok().map(|at| Shown::Date(at.seconds())))
                .collect()
        }
        (Tee::Tdx, "debug") => of_bit("attributes", 1, "debug allowed at launch"),
        (Tee::Tdx, "profiling") => of_bit("attributes", 0x70, "profiling allowed at launch"),
        (Tee::Tdx, "attributes") => hex("attributes").map(|word| word & !0xFF).map(Shown::Bits).map(one),
        (Tee::Tdx, "xfam") => hex("xfam").map(Shown::Mask).map(one),
        (Tee::Tdx, "service_td") => Some(one(Shown::Text(text("service_td")?.to_owned()))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::lint::{Remark, Severity, Shipped, lint};
    use crate::policy::ReferenceValues;

    const STRICT: &str = include_str!("../../../measurements/policy/strict.toml");
    const SEEN: &str = include_str!("../../../measurements/seen.toml");

    fn remarks(from: &str, to: &str, seen: &str) -> Vec<Remark> {
        let strict = STRICT
            .replace("host_data = \"reference-value-needed\"", &format!("host_data = \"{}\"", "11".repeat(32)))
            .replace("reference-value-needed", &"22".repeat(48));
        assert!(strict.contains(from), "{from}");
        let shipped = Shipped { strict: STRICT, seen };
        lint(&strict.replacen(from, to, 1), &ReferenceValues::default(), &shipped).unwrap()
    }

    #[test]
    fn every_rule_of_strict_is_satisfied_by_a_recorded_platform() {
        let found = remarks("", "", SEEN);
        assert!(found.iter().all(|remark| !remark.opens.contains("recorded cases")), "{found:#?}");
    }

    #[test]
    fn a_rule_that_no_record_satisfies_is_named_with_how_near_they_came() {
        for (from, to, field, says) in [
            (
                "required = [\"alias-check-complete\"]",
                "required = [\"tio\", \"alias-check-complete\"]",
                "platform_info",
                "`tio` is shown by 0, `alias-check-complete` is shown by ",
            ),
            (
                "microcode = 219",
                "microcode = 255",
                "minimum_tcb",
                "recorded cases of milan satisfies this: `microcode` is 2",
            ),
            ("minimum_firmware = \"1.55.29\"", "minimum_firmware = \"9.0.0\"", "minimum_firmware", "they show 1.5"),
            ("mitigations = \"unchecked\"", "mitigations = \"0x8000000000000000\"", "mitigations", "they show 0x"),
            ("vmpl = [0]", "vmpl = [3]", "vmpl", "they show 0"),
            (
                "minimum_evaluation_number = 20",
                "minimum_evaluation_number = 999",
                "minimum_evaluation_number",
                "they show 1",
            ),
            ("tcb_status = [\"UpToDate\"]", "tcb_status = [\"TDRelaunchAdvised\"]", "tcb_status", "OutOfDate"),
            ("xfam = { required = \"0x3\"", "xfam = { required = \"0x8003\"", "xfam", "they show 0x"),
            ("required = [\"sept-ve-disable\"]", "required = [\"kl\"]", "attributes", "`kl` is shown by 0"),
            (
                "minimum_tcb_date = \"unchecked\"",
                "minimum_tcb_date = \"2099-01-01T00:00:00Z\"",
                "minimum_tcb_date",
                "they show 20",
            ),
        ] {
            let of_field = |remark: &&Remark| {
                remark.field.ends_with(&format!(".{field}")) && remark.opens.contains("recorded cases")
            };
            let found = remarks(from, to, SEEN);
            let own: Vec<_> = found.iter().filter(of_field).collect();
            assert_eq!(own.len(), 1, "{field}: {found:#?}");
            assert_eq!(own[0].severity, Severity::Note);
            assert!(own[0].opens.starts_with("none of ") && own[0].opens.contains(says), "{}", own[0].opens);
            // Where nothing was recorded, nothing is said.
            assert_eq!(remarks(from, to, "").iter().filter(of_field).count(), 0);
        }
    }
}
