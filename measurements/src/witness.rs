//! The smallest difference between two rules: a value that the one takes and the other refuses. It is looked for among what
//! either rule names and its nearest neighbours, and kept only if the two rules themselves say so, and no other rule of the same
//! fact says otherwise.

use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use teegate_encoding::hex;
use teegate_verifier::{Ask, Bits, Field, Profile, Shown, UnixTime, Value, Written};

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
    pub shows: Shown<'static>,
    /// The same in words: bits by their names.
    pub text: String,
}

/// An example for each side that accepts what the other refuses.
pub(crate) fn examples(field: &Field, [a, b]: [&Profile; 2]) -> Vec<Example> {
    let candidates = candidates(field, a, b);
    let look = |accepted_by, takes: &Profile, refuses: &Profile| {
        let apart = |shown: &&Shown<'_>| {
            admits(takes, field.name, shown)
                && !admits(refuses, field.name, shown)
                && holds_beside(field.name, shown, takes, refuses)
        };
        let shows = candidates.iter().find(apart)?.clone();
        Some(Example { accepted_by, text: in_words(field, &shows), shows })
    };
    look(Side::B, b, a).into_iter().chain(look(Side::A, a, b)).collect()
}

/// Whether the rule of this field takes what is shown of it.
fn admits(profile: &Profile, field: &str, shown: &Shown<'_>) -> bool {
    profile.ask(field).is_some_and(|ask| ask.admits(shown))
}

fn name<'n>(text: impl Into<Cow<'n, str>>) -> Shown<'n> {
    Shown::Name(text.into())
}

/// Whether an example stands beside the other rules of the same fact: those of the one profile take it as well, and none of
/// the other lets it in after all.
fn holds_beside(field: &str, shown: &Shown<'_>, takes: &Profile, refuses: &Profile) -> bool {
    let takes_product =
        |product: &str| ["products", "denied_products"].iter().all(|field| admits(takes, field, &name(product)));
    let has_floor =
        |product: &str| !matches!(takes.ask("minimum_tcb"), Some(Ask::Floors(floors)) if !floors.contains_key(product));
    let takes_advisory =
        |id: &str| ["allowed_advisories", "denied_advisories"].iter().all(|field| admits(takes, field, &name(id)));
    // A grace lets in what is old, and asks only for how long it has been.
    let in_grace = |status: &str, days: u32| {
        let old = status.starts_with("OutOfDate") || status.starts_with("TDRelaunchAdvised");
        old && admits(refuses, "out_of_date_grace", &Shown::OutOfDate(days))
    };
    match (field, shown) {
        ("products" | "denied_products", Shown::Name(name)) => takes_product(name) && has_floor(name),
        ("minimum_tcb", Shown::Tcb(name, _)) => takes_product(name),
        // A report that hides its chip is on no list of chips.
        ("masked_chip_id", _) => takes.ask("chip_ids").is_some_and(Ask::is_waived),
        ("csp_ids", _) => admits(takes, "signing_keys", &name("vlek")),
        ("allowed_advisories" | "denied_advisories", Shown::Name(id)) => takes_advisory(id),
        ("tcb_status", Shown::OutOfDate(_)) => !admits(refuses, "out_of_date_grace", shown),
        ("tcb_status", Shown::Name(status)) => !in_grace(status, 0),
        ("out_of_date_grace", _) => !admits(refuses, "tcb_status", shown),
        ("tcb_exceptions", Shown::Advisory(id, status, _, days)) => {
            let taken_anyway = admits(refuses, "tcb_status", &name(&**status)) || in_grace(status, *days);
            !taken_anyway && takes_advisory(id)
        }
        _ => true,
    }
}

fn in_words(field: &Field, shows: &Shown<'_>) -> String {
    let (Shown::Bits(bits), Written::Bits(names, _)) = (shows, &field.written) else { return shows.to_string() };
    let named: Vec<_> = Bits::named(names, *bits).collect();
    format!("{shows} ({})", if named.is_empty() { "no bit that has a name".to_owned() } else { named.join(", ") })
}

/// What is looked through, by the form in which the field is written.
fn candidates(field: &Field, in_a: &Profile, in_b: &Profile) -> Vec<Shown<'static>> {
    let (Some(a), Some(b)) = (in_a.ask(field.name), in_b.ask(field.name)) else { return Vec::new() };
    // In spite of a grace, what has been out of date for as long as it lasts is refused.
    let longest_grace =
        || [in_a, in_b].into_iter().filter_map(|profile| profile.ask("out_of_date_grace")).map(grace_days).max();
    match &field.written {
        Written::Word(_) => field.states.iter().map(|(rank, words)| Shown::State(*rank, words)).collect(),
        Written::Names { of, .. } => {
            let past = if field.name == "tcb_status" {
                [in_a, in_b]
                    .into_iter()
                    .filter_map(|profile| profile.ask("out_of_date_grace"))
                    .map(grace_days)
                    .collect()
            } else {
                Vec::new()
            };
            of.iter().map(|one| name(*one)).chain(past.into_iter().map(Shown::OutOfDate)).collect()
        }
        Written::Reasons(of) => of.iter().map(|one| name(*one)).collect(),
        Written::Texts { example, .. } => {
            listed_and_neighbours(a, b).into_iter().chain([Value::Name((*example).to_owned())]).map(shown).collect()
        }
        Written::Ids { .. } | Written::Bytes(_) | Written::BytesOrNone(_) => {
            listed_and_neighbours(a, b).into_iter().map(shown).collect()
        }
        Written::Number | Written::Count => numbers_up_to(a, b, u32::MAX),
        Written::Level(most, _) => numbers_up_to(a, b, *most),
        Written::Version(parts) => versions(a, b, *parts),
        Written::Bits(_, others) => bits(a, b, *others),
        Written::Mask | Written::Masks => masks(a, b),
        Written::Age => ages(a, b),
        Written::Date => dates(a, b),
        Written::Grace => {
            [a, b].into_iter().map(|grace| Shown::OutOfDate(grace_days(grace).saturating_sub(1))).collect()
        }
        Written::Floors(products) => tcbs(a, b, products),
        Written::Bulletins { judged, .. } => bulletins(a, b, judged),
        Written::Exceptions(_) => exceptions(a, b, longest_grace().unwrap_or(0)),
        Written::ReportData => {
            let zero = Value::Bytes(vec![0; 64]);
            let all = listed_and_neighbours(a, b).into_iter().chain([zero]);
            let bytes = all.filter_map(|value| if let Value::Bytes(bytes) = value { Some(bytes) } else { None });
            bytes.flat_map(|bytes| [false, true].map(|named| Shown::ReportData(bytes.clone().into(), named))).collect()
        }
        // A form of a later release: nothing is claimed of it.
        _ => Vec::new(),
    }
}

fn shown(value: Value) -> Shown<'static> {
    match value {
        Value::Bytes(bytes) => Shown::Bytes(bytes.into()),
        Value::Number(number) => Shown::Number(number),
        Value::Name(text) => name(text),
    }
}

/// What a rule lists.
fn listed(ask: &Ask) -> &[Value] {
    match ask {
        Ask::OneOf(values) | Ask::NoneOf(values) => values.as_slice(),
        _ => &[],
    }
}

/// Everything that either rule lists, and next to the first of each list a digest or id that neither does.
fn listed_and_neighbours(a: &Ask, b: &Ask) -> Vec<Value> {
    let is_listed = |value: &Value| {
        [a, b].iter().any(|ask| matches!(ask, Ask::OneOf(values) | Ask::NoneOf(values) if values.contains(value)))
    };
    let first = [a, b].into_iter().filter_map(|ask| listed(ask).first());
    // Each number makes another value, so the search ends behind as many as are listed.
    let most = u32::try_from(listed(a).len().saturating_add(listed(b).len())).unwrap_or(u32::MAX);
    let unlisted =
        first.filter_map(|value| (0..=most).map(|number| neighbour(value, number)).find(|one| !is_listed(one)));
    [a, b].into_iter().flat_map(listed).cloned().chain(unlisted).collect()
}

/// Another value of the same form, and with each number another.
fn neighbour(value: &Value, number: u32) -> Value {
    match value {
        Value::Bytes(bytes) => Value::Bytes(changed(bytes, number)),
        Value::Number(own) => Value::Number(own.saturating_add(number.into()).saturating_add(1)),
        Value::Name(text) if text == "none" => Value::Name(hex::encode(changed(&[0; 48], number))),
        Value::Name(text) => match (text.strip_prefix("INTEL-SA-"), hex::decode(text)) {
            (Some(_), _) => Value::Name(format!("INTEL-SA-{number:05}")),
            (None, Ok(bytes)) if bytes.len() >= 4 => Value::Name(hex::encode(changed(&bytes, number))),
            _ => Value::Name(format!("{text}-{number}")),
        },
    }
}

/// The bytes with another end.
fn changed(bytes: &[u8], number: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (own, other) in bytes.iter_mut().rev().zip(number.wrapping_add(1).to_le_bytes()) {
        *own ^= other;
    }
    bytes
}

/// The numbers that either rule names, and their neighbours, up to the greatest that there is.
fn numbers_up_to(a: &Ask, b: &Ask, greatest: u32) -> Vec<Shown<'static>> {
    let named = |ask: &Ask| -> Vec<u64> {
        match ask {
            Ask::AtLeast(least) => vec![*least],
            other => {
                let number = |value: &Value| if let Value::Number(number) = value { Some(*number) } else { None };
                listed(other).iter().filter_map(number).collect()
            }
        }
    };
    let all = around([named(a), named(b)].concat());
    all.filter(|number| *number <= u64::from(greatest)).map(Shown::Number).collect()
}

/// Each number, those next to it, and 0.
fn around(numbers: Vec<u64>) -> impl Iterator<Item = u64> {
    numbers.into_iter().flat_map(|number| [number, number.saturating_sub(1), number.saturating_add(1)]).chain([0])
}

fn dates(a: &Ask, b: &Ask) -> Vec<Shown<'static>> {
    let first = |ask: &Ask| if let Ask::NotBefore(first) = ask { Some(first.seconds()) } else { None };
    let named = [a, b].into_iter().filter_map(first).collect();
    around(named).map(|seconds| Shown::Date(UnixTime::from_seconds(seconds))).collect()
}

/// The ages at which either rule begins to refuse, and at which it does not yet.
fn ages(a: &Ask, b: &Ask) -> Vec<Shown<'static>> {
    let named = [a, b].into_iter().filter_map(|ask| if let Ask::Age(days) = ask { Some(*days) } else { None });
    named.flat_map(|days| [days.saturating_sub(1), days]).map(Shown::Aged).collect()
}

/// The versions that either rule names, those right below, and the lowest.
fn versions(a: &Ask, b: &Ask, parts: usize) -> Vec<Shown<'static>> {
    let mut found = Vec::new();
    for ask in [a, b] {
        let Ask::Version(least) = ask else { continue };
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
    found.push(vec![0; parts]);
    found.into_iter().map(Shown::Version).collect()
}

/// For each product: what meets both floors, and the same with one component right below a floor.
fn tcbs(a: &Ask, b: &Ask, products: &[(&'static str, &'static [&'static str])]) -> Vec<Shown<'static>> {
    let floors: Vec<_> =
        [a, b].into_iter().filter_map(|ask| if let Ask::Floors(floors) = ask { Some(floors) } else { None }).collect();
    let mut found = Vec::new();
    for (product, components) in products {
        let own: Vec<_> = floors.iter().filter_map(|floors| floors.get(product)).collect();
        let mut both: BTreeMap<&'static str, u8> = components.iter().map(|name| (*name, 0)).collect();
        for (name, least) in own.iter().copied().flatten() {
            both.entry(name).and_modify(|part| *part = (*part).max(*least));
        }
        found.push(Shown::Tcb((*product).into(), both.clone()));
        for (name, least) in own.iter().copied().flatten() {
            let Some(below) = least.checked_sub(1) else { continue };
            let mut one_below = both.clone();
            one_below.insert(name, below);
            found.push(Shown::Tcb((*product).into(), one_below));
        }
    }
    found
}

/// A bulletin that one side excepts, or any, the newest first: on the last day of the one grace, and on the last of the other.
fn bulletins(a: &Ask, b: &Ask, judged: &[&str]) -> Vec<Shown<'static>> {
    let mut ids: Vec<String> = judged.iter().rev().map(|id| (*id).to_owned()).collect();
    let mut days = vec![0];
    for ask in [a, b] {
        if let Ask::NoneOpen { grace_days, except, .. } = ask {
            ids.extend(except.as_slice().iter().map(Value::to_string));
            days.extend([*grace_days, grace_days.saturating_sub(1)]);
        }
    }
    ids.iter().flat_map(|id| days.iter().map(|days| Shown::Bulletin(id.clone().into(), *days))).collect()
}

const fn grace_days(ask: &Ask) -> u32 {
    if let Ask::AtMostDays(days) = ask { *days } else { 0 }
}

/// Each exception with each of its statuses, in its last second, on a platform that no grace takes any more.
fn exceptions(a: &Ask, b: &Ask, days: u32) -> Vec<Shown<'static>> {
    let mut found = Vec::new();
    for ask in [a, b] {
        let Ask::Exceptions(exceptions) = ask else { continue };
        for (id, (statuses, until)) in exceptions {
            let last = UnixTime::from_seconds(until.seconds().saturating_sub(1));
            let with = |status: &Value| Shown::Advisory(id.clone().into(), status.to_string().into(), last, days);
            found.extend(statuses.as_slice().iter().map(with));
        }
    }
    found
}

/// What both rules require, what either does, and each with one bit changed; without bits that other fields rule.
fn bits(a: &Ask, b: &Ask, others: u64) -> Vec<Shown<'static>> {
    let required = |ask: &Ask| if let Ask::Bits(bits) = ask { bits.required } else { 0 };
    one_bit_apart(required(a), required(b)).filter(|bits| bits & others == 0).map(Shown::Bits).collect()
}

fn masks(a: &Ask, b: &Ask) -> Vec<Shown<'static>> {
    let required = |ask: &Ask| if let Ask::Mask { required, .. } = ask { *required } else { 0 };
    one_bit_apart(required(a), required(b)).map(Shown::Mask).collect()
}

fn one_bit_apart(a: u64, b: u64) -> impl Iterator<Item = u64> {
    let bases = [a | b, a, b];
    bases.into_iter().chain(bases.into_iter().flat_map(|base| (0..u64::BITS).map(move |bit| base ^ 1 << bit)))
}
