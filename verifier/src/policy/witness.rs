//! The smallest difference between two rules: a value that the one takes and the other refuses. It is looked for among what
//! either rule names and its nearest neighbours, and kept only if the two rules themselves say so.

use serde::Serialize;
use std::collections::BTreeMap;

use super::demand::Demand;
use super::shown::{Shown, bit, known_bits};

/// Which of two policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

/// What one policy accepts of a field and the other refuses, all else being as both ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The policy that accepts it; the other one refuses it.
    pub accepted_by: Side,
    /// What the evidence shows there.
    pub shows: Shown,
    /// The same in words: bits by their names.
    pub text: String,
}

/// An example for each side that accepts what the other refuses.
pub(super) fn examples(field: &str, a: &Demand, b: &Demand) -> Vec<Example> {
    let candidates = candidates(field, a, b);
    let find = |accepted_by, takes: &Demand, refuses: &Demand| {
        let apart = |shown: &&Shown| takes.admits(field, shown) && !refuses.admits(field, shown);
        let shows = candidates.iter().find(apart)?.clone();
        Some(Example { accepted_by, text: in_words(field, &shows), shows })
    };
    find(Side::B, b, a).into_iter().chain(find(Side::A, a, b)).collect()
}

fn in_words(field: &str, shows: &Shown) -> String {
    let Shown::Bits(bits) = shows else { return shows.to_string() };
    let named: Vec<_> =
        known_bits(field).iter().filter(|(_, bit)| bits >> bit & 1 == 1).map(|(name, _)| *name).collect();
    format!("{shows} ({})", if named.is_empty() { "no bit that has a name".to_owned() } else { named.join(", ") })
}

fn candidates(field: &str, a: &Demand, b: &Demand) -> Vec<Shown> {
    match field {
        "minimum_tcb" => return tcbs(a, b),
        "platform_info" | "policy_flags" | "attributes" => return bits(field, a, b),
        "xfam" | "mitigations" => return masks(a, b),
        "minimum_firmware" => return versions(a, b, &[0, 0, 0]),
        "minimum_abi" => return versions(a, b, &[0, 0]),
        "minimum_evaluation_number" | "guest_svn" | "vmpl" => return numbers(a, b).map(Shown::Number).collect(),
        "bulletins" => return bulletins(a, b),
        "out_of_date_grace" => return graces(a, b),
        "tcb_exceptions" => return exceptions(a, b),
        "minimum_tcb_date" => return numbers(a, b).map(Shown::Date).collect(),
        _ => {}
    }
    let states = STATES.iter().filter(|(own, ..)| *own == field);
    let mut found: Vec<_> = states.map(|(_, rank, words)| Shown::State(*rank, words)).collect();
    let listed: Vec<&String> = [a, b].into_iter().flat_map(listed).collect();
    let names = NAMES.iter().find(|(own, _)| *own == field).map_or(&[] as &[&str], |(_, names)| names);
    let texts = listed.iter().map(|text| (*text).clone()).chain(names.iter().map(|name| (*name).to_owned()));
    let texts = texts.chain(listed.iter().map(|text| neighbour(text)));
    if field == "report_data" {
        let zero = "00".repeat(64);
        found.extend(
            texts.chain([zero]).flat_map(|text| [false, true].map(|named| Shown::ReportData(text.clone(), named))),
        );
    } else {
        found.extend(texts.map(Shown::Text));
    }
    found
}

/// What a rule lists.
fn listed(demand: &Demand) -> &[String] {
    match demand {
        Demand::OneOf(values) | Demand::NoneOf(values) => values,
        _ => &[],
    }
}

/// Another digest or id of the same length, for one in hexadecimal.
fn neighbour(text: &str) -> String {
    if text == "none" {
        return "1".repeat(96);
    }
    let mut last = text.chars();
    let flipped = if last.next_back() == Some('1') { '2' } else { '1' };
    format!("{}{flipped}", last.as_str())
}

/// Every name that a field can show, beside those that a policy lists.
const NAMES: &[(&str, &[&str])] = &[
    ("products", &["milan", "genoa", "turin"]),
    ("denied_products", &["milan", "genoa", "turin"]),
    ("signing_keys", &["vcek", "vlek"]),
    ("csp_ids", &["another-provider"]),
    (
        "tcb_status",
        &[
            "UpToDate",
            "SWHardeningNeeded",
            "ConfigurationNeeded",
            "ConfigurationAndSWHardeningNeeded",
            "OutOfDate",
            "OutOfDateConfigurationNeeded",
            "TDRelaunchAdvised",
            "TDRelaunchAdvisedConfigurationNeeded",
        ],
    ),
    ("allowed_advisories", &["INTEL-SA-99999"]),
    ("denied_advisories", &["INTEL-SA-99999"]),
];

/// What has no value but is there or not, with the rank of the rules that refuse it.
const STATES: &[(&str, u8, &str)] = &[
    ("masked_chip_id", 1, "a report that hides its chip"),
    ("revocation", 2, "no revocation list supplied"),
    ("revocation", 1, "a revocation list that names the intermediate"),
    ("committed_firmware", 1, "firmware that runs uncommitted"),
    ("debug", 1, "debug allowed at launch"),
    ("migration_agent", 1, "a migration agent allowed at launch"),
    ("trailing_bytes", 1, "a byte behind the quote that is not zero"),
    ("one_evaluation", 1, "TCB info of one evaluation and QE identity of another"),
    ("profiling", 1, "profiling allowed at launch"),
    ("event_log", 1, "no event log"),
    ("deciding_evaluation", 1, "an older evaluation that finds the platform UpToDate, and a newer one that does not"),
];

/// The numbers that either rule names, and their neighbours.
fn numbers(a: &Demand, b: &Demand) -> impl Iterator<Item = u64> {
    let named = |demand: &Demand| -> Vec<u64> {
        match demand {
            Demand::AtLeast(least, _) => vec![*least],
            other => listed(other).iter().filter_map(|text| text.parse().ok()).collect(),
        }
    };
    let named = [named(a), named(b)].concat();
    named.into_iter().flat_map(|number| [number, number.saturating_sub(1), number.saturating_add(1)]).chain([0])
}

/// The versions that either rule names, and those right below.
fn versions(a: &Demand, b: &Demand, lowest: &[u8]) -> Vec<Shown> {
    let mut found = Vec::new();
    for demand in [a, b] {
        let Demand::Version(least, _) = demand else { continue };
        found.push(least.clone());
        let mut below = least.clone();
        for part in below.iter_mut().rev() {
            *part = part.wrapping_sub(1);
            if *part != u8::MAX {
                break;
            }
        }
        found.push(below);
    }
    found.push(lowest.to_vec());
    found.into_iter().map(Shown::Version).collect()
}

/// For each product: what meets both floors, and the same with one component right below a floor.
fn tcbs(a: &Demand, b: &Demand) -> Vec<Shown> {
    let floors: Vec<_> = [a, b]
        .into_iter()
        .filter_map(|demand| if let Demand::Floors(floors) = demand { Some(floors) } else { None })
        .collect();
    let mut found = Vec::new();
    for product in ["milan", "genoa", "turin"] {
        let own: Vec<_> = floors.iter().filter_map(|floors| floors.get(product)).collect();
        let mut both: BTreeMap<&'static str, u8> =
            ["bootloader", "tee", "snp", "microcode"].into_iter().map(|name| (name, 0)).collect();
        if product == "turin" {
            both.insert("fmc", 0);
        }
        for (name, least) in own.iter().copied().flatten() {
            both.entry(name).and_modify(|part| *part = (*part).max(*least));
        }
        found.push(Shown::Tcb(product.to_owned(), both.clone()));
        for (name, least) in own.iter().copied().flatten() {
            let Some(below) = least.checked_sub(1) else { continue };
            let mut one_below = both.clone();
            one_below.insert(name, below);
            found.push(Shown::Tcb(product.to_owned(), one_below));
        }
    }
    found
}

/// A bulletin that one side excepts, or any: on the last day of the one grace, and on the last of the other.
fn bulletins(a: &Demand, b: &Demand) -> Vec<Shown> {
    let mut ids = vec!["AMD-SB-3016".to_owned()];
    let mut days = vec![0];
    for demand in [a, b] {
        if let Demand::NoneOpen { grace_days, except, .. } = demand {
            ids.extend(except.iter().cloned());
            days.extend([*grace_days, grace_days.saturating_sub(1)]);
        }
    }
    ids.iter().flat_map(|id| days.iter().map(|days| Shown::Bulletin(id.clone(), *days))).collect()
}

fn graces(a: &Demand, b: &Demand) -> Vec<Shown> {
    let days = |demand: &Demand| if let Demand::AtMostDays(days) = demand { *days } else { 0 };
    [days(a), days(b)].into_iter().map(|days| Shown::OutOfDate(days.saturating_sub(1))).collect()
}

/// Each exception with each of its statuses, in its last second.
fn exceptions(a: &Demand, b: &Demand) -> Vec<Shown> {
    let mut found = Vec::new();
    for demand in [a, b] {
        let Demand::Exceptions(exceptions) = demand else { continue };
        for (id, (statuses, until, _)) in exceptions {
            let last = until.saturating_sub(1);
            found.extend(statuses.iter().map(|status| Shown::Advisory(id.clone(), status.clone(), last)));
        }
    }
    found
}

/// What both rules require, what either does, and each with one bit changed.
fn bits(field: &str, a: &Demand, b: &Demand) -> Vec<Shown> {
    let known = known_bits(field);
    let required = |demand: &Demand| match demand {
        Demand::Bits { required, .. } => required.iter().fold(0, |bits, name| bits | bit(known, name)),
        _ => 0,
    };
    // Bits of the same word that other fields rule: ABI version, migration and DEBUG of a launch policy; TUD of a TD.
    let others = match field {
        "policy_flags" => 0xF_FFFF & !(1 << 16),
        "attributes" => 0xFF,
        _ => 0,
    };
    one_bit_apart(required(a), required(b)).filter(|bits| bits & others == 0).map(Shown::Bits).collect()
}

fn masks(a: &Demand, b: &Demand) -> Vec<Shown> {
    let required = |demand: &Demand| if let Demand::Mask { required, .. } = demand { *required } else { 0 };
    one_bit_apart(required(a), required(b)).map(Shown::Mask).collect()
}

fn one_bit_apart(a: u64, b: u64) -> impl Iterator<Item = u64> {
    let bases = [a | b, a, b];
    bases.into_iter().chain(bases.into_iter().flat_map(|base| (0..u64::BITS).map(move |bit| base ^ 1 << bit)))
}
