//! The smallest difference between two rules: a value that the one takes and the other refuses. It is looked for among what
//! either rule names and its nearest neighbours, and kept only if the two rules themselves say so, and no other rule of the same
//! fact says otherwise.

use serde::Serialize;
use std::collections::BTreeMap;

use super::demand::Demand;
use super::shown::{Shown, bit, known_bits};
use crate::sev_snp::profile::Vmpl;

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

/// The rules of one profile, by field.
pub(super) type Rules = [(&'static str, Demand)];

/// An example for each side that accepts what the other refuses.
pub(super) fn examples(field: &str, [a, b]: [&Rules; 2]) -> Vec<Example> {
    let candidates = candidates(field, a, b);
    let look = |accepted_by, takes: &Rules, refuses: &Rules| {
        let apart = |shown: &&Shown| {
            admits(takes, field, shown) && !admits(refuses, field, shown) && holds_beside(field, shown, takes, refuses)
        };
        let shows = candidates.iter().find(apart)?.clone();
        Some(Example { accepted_by, text: in_words(field, &shows), shows })
    };
    look(Side::B, b, a).into_iter().chain(look(Side::A, a, b)).collect()
}

fn of<'r>(rules: &'r Rules, field: &str) -> Option<&'r Demand> {
    rules.iter().find(|(own, _)| *own == field).map(|(_, demand)| demand)
}

/// Whether the rule of this field takes what is shown of it.
fn admits(rules: &Rules, field: &str, shown: &Shown) -> bool {
    of(rules, field).is_some_and(|demand| demand.admits(field, shown))
}

/// Whether an example stands beside the other rules of the same fact: those of the one profile take it as well, and none of
/// the other lets it in after all.
fn holds_beside(field: &str, shown: &Shown, takes: &Rules, refuses: &Rules) -> bool {
    let takes_product = |name: &String| {
        let shown = Shown::Text(name.clone());
        ["products", "denied_products"].iter().all(|field| admits(takes, field, &shown))
    };
    let has_floor =
        |name| !matches!(of(takes, "minimum_tcb"), Some(Demand::Floors(floors)) if !floors.contains_key(name));
    let takes_advisory = |id: &String| {
        let shown = Shown::Text(id.clone());
        ["allowed_advisories", "denied_advisories"].iter().all(|field| admits(takes, field, &shown))
    };
    // A grace lets in what is old, and asks only for how long it has been.
    let in_grace = |status: &str, days: u32| {
        let old = status.starts_with("OutOfDate") || status.starts_with("TDRelaunchAdvised");
        old && admits(refuses, "out_of_date_grace", &Shown::OutOfDate(days))
    };
    match (field, shown) {
        ("products" | "denied_products", Shown::Text(name)) => takes_product(name) && has_floor(name),
        ("minimum_tcb", Shown::Tcb(name, _)) => takes_product(name),
        // A report that hides its chip is on no list of chips.
        ("masked_chip_id", _) => of(takes, "chip_ids").is_some_and(Demand::is_waived),
        ("csp_ids", _) => admits(takes, "signing_keys", &Shown::Text("vlek".to_owned())),
        ("allowed_advisories" | "denied_advisories", Shown::Text(id)) => takes_advisory(id),
        ("tcb_status", Shown::OutOfDate(_)) => !admits(refuses, "out_of_date_grace", shown),
        ("tcb_status", Shown::Text(status)) => !in_grace(status, 0),
        ("out_of_date_grace", _) => !admits(refuses, "tcb_status", shown),
        ("tcb_exceptions", Shown::Advisory(id, status, _, days)) => {
            let taken_anyway = admits(refuses, "tcb_status", &Shown::Text(status.clone())) || in_grace(status, *days);
            !taken_anyway && takes_advisory(id)
        }
        _ => true,
    }
}

fn in_words(field: &str, shows: &Shown) -> String {
    let Shown::Bits(bits) = shows else { return shows.to_string() };
    let named: Vec<_> =
        known_bits(field).iter().filter(|(_, bit)| bits >> bit & 1 == 1).map(|(name, _)| *name).collect();
    format!("{shows} ({})", if named.is_empty() { "no bit that has a name".to_owned() } else { named.join(", ") })
}

fn candidates(field: &str, all_of_a: &Rules, all_of_b: &Rules) -> Vec<Shown> {
    let (Some(a), Some(b)) = (of(all_of_a, field), of(all_of_b, field)) else { return Vec::new() };
    match field {
        "minimum_tcb" => return tcbs(a, b),
        "platform_info" | "policy_flags" | "attributes" => return bits(field, a, b),
        "xfam" | "mitigations" => return masks(a, b),
        "minimum_firmware" => return versions(a, b, &[0, 0, 0]),
        "minimum_abi" => return versions(a, b, &[0, 0]),
        "minimum_evaluation_number" | "guest_svn" => return words(a, b, u32::MAX),
        "vmpl" => return words(a, b, Vmpl::LAST),
        "bulletins" => return bulletins(a, b),
        "out_of_date_grace" => return graces(a, b),
        "max_collateral_age" | "max_root_crl_age" => return ages(a, b),
        "tcb_exceptions" => {
            let longest = [all_of_a, all_of_b].into_iter().filter_map(|rules| of(rules, "out_of_date_grace"));
            return exceptions(a, b, longest.map(grace_days).max().unwrap_or(0));
        }
        // In spite of a grace, what has been out of date for as long as it lasts is refused.
        "tcb_status" => {
            let names = names_of(field).iter().map(|name| Shown::Text((*name).to_owned()));
            let graces = [all_of_a, all_of_b].into_iter().filter_map(|rules| of(rules, "out_of_date_grace"));
            let past = graces.map(|grace| Shown::OutOfDate(grace_days(grace)));
            return names.chain(past).collect();
        }
        "minimum_tcb_date" => return numbers(a, b).map(Shown::Date).collect(),
        _ => {}
    }
    let states = STATES.iter().filter(|(own, ..)| *own == field);
    let mut found: Vec<_> = states.map(|(_, rank, words)| Shown::State(*rank, words)).collect();
    let names = names_of(field).iter().map(|name| (*name).to_owned());
    let listed = [a, b].into_iter().flat_map(listed).cloned();
    let texts = listed.chain(names).chain(unlisted(field, a, b));
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
        Demand::OneOf(values) | Demand::NoneOf(values) => values.as_slice(),
        _ => &[],
    }
}

/// A digest or id that neither rule lists, next to the first of each that one does. Of names there are only so many.
fn unlisted(field: &str, a: &Demand, b: &Demand) -> Vec<String> {
    if CLOSED.contains(&field) {
        return Vec::new();
    }
    let is_listed = |text: &str| {
        [a, b].iter().any(|demand| match demand {
            Demand::OneOf(values) | Demand::NoneOf(values) => values.contains(text),
            _ => false,
        })
    };
    let first = [a, b].into_iter().filter_map(|demand| listed(demand).first());
    // Each number makes another text, so the search ends with the lists.
    first.filter_map(|text| (0..u32::MAX).map(|number| neighbour(text, number)).find(|text| !is_listed(text))).collect()
}

/// Another text of the same form, and with each number another.
fn neighbour(text: &str, number: u32) -> String {
    let text = if text == "none" { "0".repeat(96) } else { text.to_owned() };
    if number == 0 {
        let mut last = text.chars();
        let flipped = if last.next_back() == Some('1') { '2' } else { '1' };
        return format!("{}{flipped}", last.as_str());
    }
    match (text.strip_prefix("INTEL-SA-"), text.len().checked_sub(8).and_then(|end| text.get(..end))) {
        (Some(_), _) => format!("INTEL-SA-{number:05}"),
        (None, Some(begin)) if text.bytes().all(|digit| digit.is_ascii_hexdigit()) => format!("{begin}{number:08x}"),
        _ => format!("{text}-{number}"),
    }
}

/// Fields that can show nothing but the names below.
const CLOSED: [&str; 3] = ["products", "denied_products", "signing_keys"];

/// The names that a field can show, or some of them.
fn names_of(field: &str) -> &'static [&'static str] {
    NAMES.iter().find(|(own, _)| *own == field).map_or(&[], |(_, names)| names)
}

/// For each field whose values are names, beside those that a policy lists.
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

/// The same, up to the greatest that there is.
fn words(a: &Demand, b: &Demand, greatest: u32) -> Vec<Shown> {
    numbers(a, b).filter(|number| *number <= u64::from(greatest)).map(Shown::Number).collect()
}

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

/// The ages at which either rule begins to refuse, and at which it does not yet.
fn ages(a: &Demand, b: &Demand) -> Vec<Shown> {
    let named = [a, b].into_iter().filter_map(|demand| match demand {
        Demand::Age(days) => Some(*days),
        _ => None,
    });
    named.flat_map(|days| [days.saturating_sub(1), days]).map(Shown::Aged).collect()
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
    [a, b].into_iter().map(|grace| Shown::OutOfDate(grace_days(grace).saturating_sub(1))).collect()
}

const fn grace_days(demand: &Demand) -> u32 {
    if let Demand::AtMostDays(days) = demand { *days } else { 0 }
}

/// Each exception with each of its statuses, in its last second, on a platform that no grace takes any more.
fn exceptions(a: &Demand, b: &Demand, days: u32) -> Vec<Shown> {
    let mut found = Vec::new();
    for demand in [a, b] {
        let Demand::Exceptions(exceptions) = demand else { continue };
        for (id, (statuses, until, _)) in exceptions {
            let last = until.saturating_sub(1);
            found.extend(statuses.iter().map(|status| Shown::Advisory(id.clone(), status.clone(), last, days)));
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
