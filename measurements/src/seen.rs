//! What recorded hardware showed, held against the rules of a policy: a rule about the state of a platform that no record
//! satisfies may be a mistake, or ask for what nobody has shown yet. The user's own values are not in the records.

use std::collections::BTreeMap;
use teegate_verifier::{Ask, Bits, Field, Floor, Recorded, Shown, Tee, UnixTime};

/// The records of one TEE.
pub(crate) struct Seen {
    records: Vec<toml::Table>,
}

impl Seen {
    /// Reads the records of a TEE out of the table that a release ships.
    pub(crate) fn parse(text: &str, tee: Tee) -> Result<Self, toml::de::Error> {
        let mut document: toml::Table = toml::from_str(text)?;
        let records = document.remove(tee.name()).map_or(Ok(Vec::new()), toml::Value::try_into)?;
        Ok(Self { records })
    }

    /// What no record satisfies, in words; `None` where one does, or where there is nothing to hold it against.
    pub(crate) fn complaint(&self, field: &Field, ask: &Ask) -> Option<String> {
        if let Ask::Floors(floors) = ask {
            // A floor is of one product, so that of another product says nothing about it.
            return floors.iter().find_map(|(product, floor)| {
                let own = |record: &&toml::Table| record.get("product").and_then(toml::Value::as_str) == Some(product);
                let one = Ask::Floors([(*product, floor.clone())].into());
                none_of(field, &one, self.records.iter().filter(own), &format!(" of {product}"))
            });
        }
        none_of(field, ask, self.records.iter(), "")
    }
}

fn none_of<'r>(field: &Field, ask: &Ask, records: impl Iterator<Item = &'r toml::Table>, of: &str) -> Option<String> {
    if ask.is_waived() || *ask == Ask::Needed {
        return None;
    }
    let shown: Vec<_> = records.filter_map(|record| shows(field, ask, record)).collect();
    let satisfied = |shown: &Vec<Shown<'_>>| shown.iter().all(|one| ask.admits(one));
    if shown.is_empty() || shown.iter().any(satisfied) {
        return None;
    }
    let count = shown.len();
    Some(format!("none of {count} recorded cases{of} satisfies this: {}", nearest(ask, &shown)))
}

/// How near they came.
fn nearest(ask: &Ask, shown: &[Vec<Shown<'_>>]) -> String {
    match ask {
        Ask::Bits(bits) => nearest_bits(bits, shown),
        Ask::Floors(floors) => nearest_floors(floors, shown),
        _ => {
            let mut values: Vec<String> = shown.iter().flatten().map(Shown::to_string).collect();
            values.sort_unstable();
            values.dedup();
            let more = values.len().saturating_sub(6);
            values.truncate(6);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("they show {}{more}", values.join(", "))
        }
    }
}

fn nearest_bits(bits: &Bits, shown: &[Vec<Shown<'_>>]) -> String {
    let words: Vec<u64> =
        shown.iter().flatten().filter_map(|one| if let Shown::Bits(word) = one { Some(*word) } else { None }).collect();
    let count = |holds: &dyn Fn(u64) -> bool| words.iter().filter(|word| holds(**word)).count();
    let bit = |name: &str| bits.names.iter().find(|(own, _)| *own == name).map_or(0, |(_, bit)| 1_u64 << bit);
    let required = Bits::named(bits.names, bits.required)
        .map(|name| format!("`{name}` is shown by {}", count(&|word| word & bit(name) != 0)));
    let forbidden = Bits::named(bits.names, bits.forbidden)
        .map(|name| format!("`{name}` is absent in {}", count(&|word| word & bit(name) == 0)));
    let unknown = bits.unknown_refused.then(|| format!("no unknown bit in {}", count(&|word| bits.unknown(word) == 0)));
    required.chain(forbidden).chain(unknown).collect::<Vec<_>>().join(", ")
}

fn nearest_floors(floors: &BTreeMap<&'static str, Floor>, shown: &[Vec<Shown<'_>>]) -> String {
    let parts = floors.values().flatten().filter_map(|(name, least)| {
        let highest = shown.iter().flatten().filter_map(|one| match one {
            Shown::Tcb(_, parts) => parts.get(name).copied(),
            _ => None,
        });
        highest.max().filter(|highest| highest < least).map(|highest| format!("`{name}` is {highest} at most"))
    });
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() { "each component is reached, but never all at once".to_owned() } else { parts.join(", ") }
}

/// What a record shows of a field, all of which must pass; `None` where the record cannot speak of it.
fn shows<'r>(field: &Field, ask: &Ask, record: &'r toml::Table) -> Option<Vec<Shown<'r>>> {
    let text = |name: &str| record.get(name).and_then(toml::Value::as_str);
    let texts = |name: &str| {
        let list = record.get(name).and_then(toml::Value::as_array)?;
        list.iter().map(toml::Value::as_str).collect::<Option<Vec<_>>>()
    };
    let number =
        |name: &str| record.get(name).and_then(toml::Value::as_integer).and_then(|one| u64::try_from(one).ok());
    let hex = |name: &str| text(name)?.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let state = |there: bool| {
        let states = field.states.iter().take(usize::from(there));
        states.map(|(rank, words)| Shown::State(*rank, words)).collect::<Vec<_>>()
    };
    Some(match field.recorded {
        Recorded::Name(name) => vec![Shown::Name(text(name)?.into())],
        Recorded::Names(name) => texts(name)?.into_iter().map(|text| Shown::Name(text.into())).collect(),
        Recorded::Numbers(names) => names.iter().map(|name| number(name).map(Shown::Number)).collect::<Option<_>>()?,
        Recorded::Dates(name) => {
            texts(name)?.iter().map(|date| UnixTime::parse(date).ok().map(Shown::Date)).collect::<Option<_>>()?
        }
        Recorded::Version(name) => {
            vec![Shown::Version(text(name)?.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?)]
        }
        Recorded::AbiVersion(name) => {
            let [minor, major, ..] = hex(name)?.to_le_bytes();
            vec![Shown::Version(vec![major, minor])]
        }
        Recorded::Bits(name, others) => vec![Shown::Bits(hex(name)? & !others)],
        Recorded::Mask(name) => vec![Shown::Mask(hex(name)?)],
        Recorded::State(name, when) => state(record.get(name).and_then(toml::Value::as_bool)? == when),
        Recorded::StateOfBits(name, bits) => state(hex(name)? & bits != 0),
        Recorded::StateOfTwo(one, other) => state(number(one)? != number(other)?),
        Recorded::Tcb(tcb, product) => {
            let parts = record.get(tcb).and_then(toml::Value::as_table)?;
            // The components that the rule names are those that it is held against.
            let names = if let Ask::Floors(floors) = ask { floors.values().flatten() } else { return None };
            let part = |name: &'static str| Some((name, u8::try_from(parts.get(name)?.as_integer()?).ok()?));
            vec![Shown::Tcb(text(product)?.into(), names.filter_map(|(name, _)| part(name)).collect())]
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::lint::{Remark, lint};
    use crate::reference::ReferenceValues;
    use crate::{SEEN, STRICT, Shipped};
    use teegate_verifier::Severity;

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
                "is shown by 10, `tio` is shown by 0",
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
