//! What the fields of an SEV-SNP profile ask of each other: what pins the code of a guest, what counts only beside that, and what
//! contradicts itself.

use super::fields::field;
use super::profile::{SnpProfile, Vmpl};
use super::tcb::Product;
use crate::rule::{Digest, Expect, Pin, Revocation, Switch, Undertaken, pin, pins};

const DEBUG: &str = "under debug the host changes whatever runs; reject it";

/// Whether every value that is accepted of this field names somebody.
fn named<T: Digest>(name: &str, rule: &Expect<T>) -> bool {
    field(name).is_some_and(|field| pins(field, rule))
}

/// Values that count only with the code that enforces them.
pub(super) fn undertaken(profile: &SnpProfile) -> Vec<Undertaken> {
    // What the host chooses, and claims about the workload that rest on it.
    let bound = vec![("host_data", profile.host_data.is_asked()), ("bound_to", profile.bound_to.required().is_some())];
    // What the ID block says: anybody can sign one.
    let id_block = vec![
        ("guest_svn", profile.guest_svn.is_asked()),
        ("family_id", profile.family_id.is_asked()),
        ("image_id", profile.image_id.is_asked()),
    ];
    let signed = named("id_key", &profile.id_key) || named("author_key", &profile.author_key);
    let key = pin("id_key", signed, "anybody can sign an ID block; name its key, or an `author_key` that is not zero");
    vec![Undertaken { bound, code: code(profile).into() }, Undertaken { bound: id_block, code: vec![key] }]
}

/// What pins the code of an SEV-SNP guest.
pub(super) fn code(profile: &SnpProfile) -> [Pin; 4] {
    [
        pin(
            "measurement",
            named("measurement", &profile.measurement),
            "any code may run; name the launch measurement of your image, which is never zero",
        ),
        pin(
            "vmpl",
            is_single(&profile.vmpl),
            "a less privileged level can claim to be the code above it; name one level",
        ),
        pin("debug", profile.debug == Switch::Rejected, DEBUG),
        pin(
            "migration_agent",
            !has_unnamed_agent(profile),
            "an agent of the host's choice can take the guest over; reject it, or name the agent in `report_id_ma`",
        ),
    ]
}

fn has_unnamed_agent(profile: &SnpProfile) -> bool {
    profile.migration_agent == Switch::Allowed && !named("report_id_ma", &profile.report_id_ma)
}

/// Whether one privilege level alone is accepted.
fn is_single(rule: &Expect<Vmpl>) -> bool {
    matches!(rule, Expect::Needed)
        || rule
            .accepted()
            .is_some_and(|levels| levels.windows(2).all(|pair| matches!(pair, [one, other] if one == other)))
}

/// What contradicts itself: the field, and what is wrong with it.
pub(super) fn contradiction(profile: &SnpProfile) -> Option<(&'static str, String)> {
    // Refused whatever the profile claims.
    if has_unnamed_agent(profile) {
        let what = "is allowed and `report_id_ma` names no agent: it may be anybody's; name the agent";
        return Some(("migration_agent", what.to_owned()));
    }
    if profile.products.iter().all(|product| profile.denied_products.contains_key(product)) {
        return Some(("denied_products", "denies every product that is listed: nothing is accepted".to_owned()));
    }
    if profile.revocation == Revocation::Unchecked && profile.max_collateral_age.required().is_some() {
        let what = "asks how old the revocation list is, and `revocation` does not read it: write \"unchecked\" there, or \
                    \"required\" here";
        return Some(("max_collateral_age", what.to_owned()));
    }
    let minima = profile.minimum_tcb.required()?;
    let (product, _) = minima.iter().find(|(product, least)| least.0.fmc.is_some() != (**product == Product::Turin))?;
    Some(("minimum_tcb", format!("of {}: Turin alone has an `fmc`, and needs one", product.name())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::{Measurement, ReportId};
    use crate::rule::Blank;
    use crate::sev_snp::fields::FIELDS;

    /// What one value means cannot be told from a list that begins with another.
    #[test]
    fn each_blank_is_told_from_the_value_next_to_it() {
        for row in FIELDS {
            for (byte, says) in row.field.blanks {
                let mut value = [*byte; 48];
                assert_eq!(row.field.blank(&value), Some(*says), "{}", row.field.name);
                value[47] ^= 1;
                assert_eq!(row.field.blank(&value), None, "{}", row.field.name);
            }
        }
        assert_eq!(field("host_data").unwrap().blank(&[0; 32]), None);
        assert_eq!(field("report_id_ma").unwrap().blank(&[0xFF; 32]), Some(Blank::NoneThere));
        let (none, agent) = (ReportId([0xFF; 32]), ReportId([1; 32]));
        assert!(named("report_id_ma", &Expect::AnyOf(vec![none, agent])));
        assert!(!named("report_id_ma", &Expect::AnyOf(vec![none, ReportId([0; 32])])));
        assert!(!named::<Measurement>("measurement", &Expect::Unchecked));
        assert!(!named("measurement", &Expect::AtLeast(Measurement([1; 48]))));
    }

    #[test]
    fn one_level_is_one_however_often_it_is_written() {
        let of = |levels: &[u32]| Expect::AnyOf(levels.iter().map(|level| Vmpl(*level)).collect());
        assert!(is_single(&Expect::Exactly(Vmpl(2))) && is_single(&of(&[1])) && is_single(&of(&[1, 1, 1])));
        assert!(!is_single(&of(&[0, 1])) && !is_single(&of(&[1, 1, 0])) && !is_single(&Expect::Unchecked));
    }
}
