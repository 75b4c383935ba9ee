//! What one policy accepts that another refuses, field by field, with its direction.

use serde::Serialize;
use teegate_verifier::{Ask, BoundTo, Document, Field, Policy, Profile, Tee, Wrapping, Written};

use crate::covers::covers;
use crate::witness::{Example, Side, examples};
use crate::words::in_words;

/// What the second policy does to the set of evidence that the first accepts, in one field. Of a rule, nothing is claimed
/// that no example shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Direction {
    /// The second accepts what the first refuses, and the reverse was not found.
    Wider,
    /// The first accepts what the second refuses, and the reverse was not found.
    Narrower,
    /// Each accepts something that the other refuses.
    Different,
    /// The rules differ, and no evidence was found that one accepts and the other refuses.
    Unwitnessed,
    /// The same evidence is accepted, and more is claimed of it.
    ClaimsMore,
    /// The same evidence is accepted, and less is claimed of it.
    ClaimsLess,
}

/// One field in which two policies differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `sev-snp` or `tdx`; the profiles may have names of their own.
    pub tee: &'static str,
    /// The field; empty where a whole profile is missing.
    pub field: &'static str,
    /// Which way it goes, from the first policy to the second.
    pub direction: Direction,
    /// The sentence, in which A is the first policy and B the second.
    pub text: String,
    /// A value for each policy that accepts what the other refuses. None where there is no such value, and where words alone
    /// can say it: a profile that is missing, another claim, other roots.
    pub examples: Vec<Example>,
}

/// Every field in which `b` differs from `a`. Rules are compared one by one: a field that is wider lets more in only where the
/// rest of its profile can be satisfied.
pub fn differences(a: &Policy, b: &Policy) -> Vec<Difference> {
    let (a, b) = (a.document(), b.document());
    let kinds = |document: &Document| -> Vec<_> {
        document.profiles().iter().map(|profile| (profile.tee(), profile.wrapping())).collect()
    };
    let mut all = kinds(a);
    all.extend(kinds(b));
    all.sort_by_key(|(tee, wrapping)| (Tee::all().position(|own| own == *tee), *wrapping));
    all.dedup();
    let of = |document: &'_ Document, kind| {
        document.profiles().iter().position(|profile| (profile.tee(), profile.wrapping()) == kind)
    };
    let side = |document, kind| of(document, kind).and_then(|place| OneProfile::of(document, place));
    all.into_iter().flat_map(|kind| compare(kind, side(a, kind), side(b, kind))).collect()
}

/// One policy's profile, and the roots that its chains may end in.
struct OneProfile<'p> {
    profile: &'p Profile,
    roots: Vec<String>,
}

impl<'p> OneProfile<'p> {
    fn of(document: &'p Document, place: usize) -> Option<Self> {
        let profile = document.profiles().get(place)?;
        Some(Self { profile, roots: document.roots(profile.tee()).names() })
    }
}

fn compare((tee, wrapping): (Tee, Wrapping), a: Option<OneProfile<'_>>, b: Option<OneProfile<'_>>) -> Vec<Difference> {
    let kind = if wrapping == Wrapping::Raw { tee.to_string() } else { format!("{tee} ({wrapping})") };
    let whole = |direction, text: String| {
        vec![Difference { tee: tee.name(), field: "", direction, text, examples: Vec::new() }]
    };
    let (a, b) = match (a, b) {
        (None, None) => return Vec::new(),
        (None, Some(_)) => {
            return whole(Direction::Wider, format!("B accepts {kind} evidence; A has no profile for it."));
        }
        (Some(_), None) => {
            return whole(Direction::Narrower, format!("B has no profile for {kind} evidence; A accepts it."));
        }
        (Some(a), Some(b)) => (a, b),
    };
    let mut differences: Vec<_> = claim(tee, a.profile.bound_to(), b.profile.bound_to())
        .into_iter()
        .chain(roots(tee, &a.roots, &b.roots))
        .collect();
    let rules = [a.profile, b.profile];
    let any_status = rules.iter().any(|profile| profile.ask("tcb_status").is_some_and(Ask::is_waived));
    for ((field, a), (_, b)) in a.profile.rules().iter().zip(b.profile.rules()) {
        // What softens a rule of the one policy has nothing to soften in the other: `tcb_status` says all of it.
        if any_status && matches!(field.written, Written::Grace | Written::Exceptions(_))
            || (covers(a, b) && covers(b, a))
        {
            continue;
        }
        let examples = examples(field, rules);
        let accepts = |side| examples.iter().any(|example| example.accepted_by == side);
        let direction = match (accepts(Side::A), accepts(Side::B)) {
            (true, true) => Direction::Different,
            (true, false) => Direction::Narrower,
            (false, true) => Direction::Wider,
            (false, false) => Direction::Unwitnessed,
        };
        differences.push(Difference {
            tee: tee.name(),
            field: field.name,
            direction,
            text: sentence(field, direction, a, b),
            examples,
        });
    }
    differences
}

/// `None` where each accepts what the other does.
const fn direction(a_covers_b: bool, b_covers_a: bool) -> Option<Direction> {
    match (a_covers_b, b_covers_a) {
        (true, true) => None,
        (true, false) => Some(Direction::Narrower),
        (false, true) => Some(Direction::Wider),
        (false, false) => Some(Direction::Different),
    }
}

fn sentence(about: &Field, direction: Direction, a: &Ask, b: &Ask) -> String {
    let how = match direction {
        Direction::Unwitnessed => "no evidence was found that one accepts and the other refuses",
        _ if b.is_waived() => {
            return format!("B no longer asks: {}. A said: {} {}.", about.open, about.subject, in_words(a));
        }
        _ if a.is_waived() => return format!("B asks what A did not: {} {}.", about.subject, in_words(b)),
        Direction::Wider => "B accepts more",
        Direction::Narrower => "B accepts less",
        _ => "each accepts what the other refuses",
    };
    format!("{how}. A: {subject} {}. B: {subject} {}.", in_words(a), in_words(b), subject = about.subject)
}

/// A claim changes what an accepting verdict says, and no verdict.
fn claim(tee: Tee, a: Option<BoundTo>, b: Option<BoundTo>) -> Option<Difference> {
    let name = |claim: Option<BoundTo>| claim.map_or("nothing", BoundTo::name);
    let direction = match a.cmp(&b) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Less => Direction::ClaimsMore,
        std::cmp::Ordering::Greater => Direction::ClaimsLess,
    };
    let text = format!("A says that the evidence speaks for {}, B for {}.", name(a), name(b));
    Some(Difference { tee: tee.name(), field: "bound_to", direction, text, examples: Vec::new() })
}

fn roots(tee: Tee, a: &[String], b: &[String]) -> Option<Difference> {
    let within = |few: &[String], many: &[String]| few.iter().all(|one| many.contains(one));
    let direction = direction(within(b, a), within(a, b))?;
    let added = b.iter().filter(|root| !a.contains(root)).count();
    let dropped = a.iter().filter(|root| !b.contains(root)).count();
    let text = format!("B trusts {added} roots that A does not, and {dropped} that A trusts are not trusted by B.");
    Some(Difference { tee: tee.name(), field: "trust_anchors", direction, text, examples: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::{Difference, Direction};
    use crate::covers::covers;
    use crate::witness::Side;
    use std::collections::BTreeMap;
    use teegate_verifier::{Ask, Bits, Policy};

    const GENUINE: &str = include_str!("../policy/genuine.toml");

    fn differences(a: &str, b: &str) -> Vec<Difference> {
        super::differences(&Policy::parse(a).unwrap(), &Policy::parse(b).unwrap())
    }

    /// What a change of one line of `genuine` does, and what its reverse does.
    #[track_caller]
    fn changes(from: &str, to: &str, field: &str, expected: Option<Direction>) {
        assert!(GENUINE.contains(from), "{from}");
        let changed = GENUINE.replacen(from, to, 1);
        let found: Vec<_> = differences(GENUINE, &changed).into_iter().map(|one| (one.field, one.direction)).collect();
        assert_eq!(
            found,
            expected.map(|direction| (field, direction)).into_iter().collect::<Vec<_>>(),
            "{from} -> {to}"
        );
        let reverse = expected.map(|direction| match direction {
            Direction::Wider => Direction::Narrower,
            Direction::Narrower => Direction::Wider,
            Direction::ClaimsMore => Direction::ClaimsLess,
            Direction::ClaimsLess => Direction::ClaimsMore,
            other => other,
        });
        for one in differences(GENUINE, &changed) {
            let sides: Vec<_> = one.examples.iter().map(|example| example.accepted_by).collect();
            let wanted: &[Side] = match one.direction {
                Direction::Wider => &[Side::B],
                Direction::Narrower => &[Side::A],
                Direction::Different => &[Side::B, Side::A],
                Direction::ClaimsMore | Direction::ClaimsLess | Direction::Unwitnessed => &[],
            };
            assert_eq!(sides, wanted, "{from} -> {to}");
        }
        let found: Vec<_> = differences(&changed, GENUINE).into_iter().map(|one| one.direction).collect();
        assert_eq!(found, reverse.into_iter().collect::<Vec<_>>(), "{to} -> {from}");
    }

    #[test]
    fn each_kind_of_rule_knows_its_direction() {
        use Direction::{Narrower, Wider};
        changes("debug = \"rejected\"", "debug = \"allowed\"", "debug", Some(Wider));
        changes("products = [\"milan\", ", "products = [", "products", Some(Narrower));
        changes("products = [\"milan\", \"genoa\"", "products = [\"genoa\", \"milan\"", "products", None);
        changes("denied_products = {}", "denied_products = { milan = \"why\" }", "denied_products", Some(Narrower));
        changes("revocation = \"if-supplied\"", "revocation = \"required\"", "revocation", Some(Narrower));
        changes("revocation = \"if-supplied\"", "revocation = \"unchecked\"", "revocation", Some(Wider));
        changes("vmpl = \"unchecked\"", "vmpl = [1, 2]", "vmpl", Some(Narrower));
        changes(
            "minimum_firmware = \"unchecked\"",
            "minimum_firmware = \"1.55.1\"",
            "minimum_firmware",
            Some(Narrower),
        );
        changes("report_data = \"unchecked\"", "report_data = \"caller\"", "report_data", Some(Narrower));
        changes("trailing_bytes = \"zero\"", "trailing_bytes = \"any\"", "trailing_bytes", Some(Wider));
        changes("event_log = \"unchecked\"", "event_log = \"required\"", "event_log", Some(Narrower));
        changes("xfam = \"unchecked\"", "xfam = { required = \"0x3\", allowed = \"0xff\" }", "xfam", Some(Narrower));
    }

    #[test]
    fn two_rules_are_compared_by_what_they_accept() {
        // An ID block counts only under a key.
        let genuine = GENUINE.replacen("id_key = \"unchecked\"", &format!("id_key = \"{}\"", "01".repeat(48)), 1);
        let ask = |text: &str| {
            let text = genuine.replacen("guest_svn = \"unchecked\"", text, 1);
            Policy::parse(&text).unwrap().document().profiles()[0].ask("guest_svn").unwrap().clone()
        };
        let [one, two, list, least] =
            ["1", "2", "[1, 2]", "{ at_least = 1 }"].map(|rule| ask(&format!("guest_svn = {rule}")));
        assert!(covers(&list, &one) && covers(&list, &two) && covers(&least, &list));
        assert!(!covers(&one, &two) && !covers(&one, &list) && !covers(&list, &least));
        let floors =
            |bootloader: u8| Ask::Floors(BTreeMap::from([("milan", vec![("bootloader", bootloader), ("tee", 3)])]));
        assert!(covers(&floors(3), &floors(4)) && !covers(&floors(4), &floors(3)));
        assert!(!covers(&floors(3), &Ask::Floors(BTreeMap::from([("turin", vec![])]))));
        let bits = |required, unknown_refused| {
            Ask::Bits(Bits { names: &[("a", 0), ("b", 1)], elsewhere: 0, required, forbidden: 0, unknown_refused })
        };
        assert!(covers(&bits(1, false), &bits(3, true)) && !covers(&bits(1, true), &bits(1, false)));
        let mask = |required, allowed| Ask::Mask { required, allowed };
        assert!(covers(&mask(1, 7), &mask(3, 3)) && !covers(&mask(3, 7), &mask(1, 7)));
        assert!(!covers(&mask(1, 3), &mask(1, 7)));
    }

    /// A list may hold every value of its form, and then there is no other.
    #[test]
    fn a_list_of_every_short_value_ends_the_search_for_another() {
        let every: Vec<_> = (0..=255_u8).map(|byte| format!("\"{byte:02x}\"")).collect();
        let many = GENUINE.replace("csp_ids = \"unchecked\"", &format!("csp_ids = [{}]", every.join(", ")));
        let found = differences(&many, GENUINE);
        assert_eq!(
            found.iter().map(|one| (one.field, one.direction)).collect::<Vec<_>>(),
            [("csp_ids", Direction::Wider)]
        );
    }

    #[test]
    fn a_missing_profile_and_other_roots_are_named() {
        let snp_alone = GENUINE.split("[tdx.genuine]").next().unwrap();
        let found = differences(snp_alone, GENUINE);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].text, "B accepts tdx evidence; A has no profile for it.");
        assert_eq!(differences(GENUINE, snp_alone)[0].direction, Direction::Narrower);
        assert_eq!(differences(GENUINE, GENUINE), Vec::new());
    }
}
