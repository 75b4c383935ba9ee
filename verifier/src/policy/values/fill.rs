//! A template and reference values make a policy: each field that is written as `"reference-value-needed"` takes its value
//! from them, and no value is left over unseen.

use toml::de::DeTable;

use super::collected::{Given, ReferenceValues};
use crate::check::Tee;
use crate::policy::document::{Policy, PolicyError};
use crate::policy::holes::{Hole, holes_of, still_needed};
use crate::policy::place::{key_offset, position, readable};
use crate::rule::NEEDED;

/// A policy with its reference values in it.
#[derive(Clone, Debug)]
pub struct Filled {
    policy: Policy,
    text: String,
    notes: Vec<String>,
}

impl Filled {
    /// The policy.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The policy as TOML that loads by itself: the values in their places, without a profile that was left out.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the values did beside filling fields: a profile that was left out, values for a TEE that the policy refuses.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl Policy {
    /// Loads a policy from TOML and fills in what it leaves to reference values.
    ///
    /// Where there are values for the other TEE alone, a profile that needs some is left out, so that its evidence is refused.
    /// A value for a field that the policy does not leave open is an error, unless both say the same.
    pub fn parse_with(text: &str, values: &ReferenceValues) -> Result<Filled, PolicyError> {
        let document = DeTable::parse(text).map_err(|error| PolicyError::new(readable(&error)))?;
        let document = document.get_ref();
        let mut holes = Vec::new();
        let mut left_out = None;
        let mut notes = Vec::new();
        for tee in [Tee::SevSnp, Tee::Tdx] {
            let own = holes_of(text, document, tee);
            let knows = |tee: Tee| values.given().iter().any(|given| given.tee() == tee);
            if !own.is_empty() && !knows(tee) && !values.given().is_empty() {
                left_out = Some(tee);
                notes.push(format!(
                    "`{}` holds nothing for {tee}, so that profile is left out and such evidence is refused",
                    values.name()
                ));
            } else {
                holes.extend(own);
            }
        }
        let missing = holes.iter().filter(|hole| values.find(hole.tee, &hole.field).is_none());
        if let Some(needed) = still_needed(text, missing) {
            return Err(PolicyError::new(needed));
        }
        let filled = filled(text, &mut holes, values);
        let policy = Self::parse_without(&filled, left_out)?;
        let own_text = match left_out {
            None => filled,
            Some(tee) => without(&filled, tee)?,
        };
        for given in values.given() {
            if holes.iter().any(|hole| hole.tee == given.tee() && hole.field == given.field()) {
                continue;
            }
            match unused(text, document, &policy, given) {
                Unused::SaysTheSame => {}
                Unused::NoProfile(note) => notes.push(note),
                Unused::Contradicts(error) => return Err(error),
            }
        }
        Ok(Filled { policy, text: own_text, notes })
    }
}

/// The document without the profiles of one TEE.
fn without(text: &str, tee: Tee) -> Result<String, PolicyError> {
    let mut document: toml::Table = toml::from_str(text).map_err(|error| PolicyError::new(readable(&error)))?;
    document.remove(tee.name());
    toml::to_string(&document).map_err(|error| PolicyError::new(error.to_string()))
}

impl ReferenceValues {
    /// Whether this policy leaves any field to reference values.
    pub fn are_asked_by(text: &str) -> bool {
        DeTable::parse(text).is_ok_and(|document| {
            [Tee::SevSnp, Tee::Tdx].iter().any(|tee| !holes_of(text, document.get_ref(), *tee).is_empty())
        })
    }
}

/// The text with each value in its place. What has none keeps the word, and the loader says where.
fn filled(text: &str, holes: &mut [Hole], values: &ReferenceValues) -> String {
    holes.sort_by_key(|hole| hole.span.start);
    let (mut whole, mut from) = (String::with_capacity(text.len()), 0);
    for hole in holes.iter() {
        let Some(given) = values.find(hole.tee, &hole.field) else { continue };
        whole.push_str(text.get(from..hole.span.start).unwrap_or_default());
        whole.push_str(&given.rule());
        from = hole.span.end;
    }
    whole.push_str(text.get(from..).unwrap_or_default());
    whole
}

/// What a value means for which the template has no place.
enum Unused {
    SaysTheSame,
    NoProfile(String),
    Contradicts(PolicyError),
}

fn unused(text: &str, document: &DeTable<'_>, policy: &Policy, given: &Given) -> Unused {
    let (tee, field, origin) = (given.tee(), given.field(), given.origin());
    let profile = match tee {
        Tee::SevSnp => policy.sev_snp().map(|(name, profile)| (name, profile.demands())),
        Tee::Tdx => policy.tdx().map(|(name, profile)| (name, profile.demands())),
    };
    let Some((name, demands)) = profile else {
        return Unused::NoProfile(format!(
            "`{origin}` gives `{tee}.{field}`, and the policy has no profile for {tee}: such evidence is refused"
        ));
    };
    let demand = demands.iter().find(|(own, _)| *own == field).map(|(_, demand)| demand);
    if demand.is_some_and(|demand| given.is(demand)) {
        return Unused::SaysTheSame;
    }
    let (line, column) = position(text, key_offset(document, &[tee.name(), name, field]).unwrap_or(0));
    let says = demand.map_or_else(String::new, |demand| demand.in_words());
    Unused::Contradicts(PolicyError::new(format!(
        "[{tee}.{name}] `{field}` {says}, and `{origin}` gives a reference value for it, which would go unused: write \
         `{field} = \"{NEEDED}\"`, or take the value out (line {line}, column {column})"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: &str = include_str!("../../../../measurements/policy/strict.toml");
    const GENUINE: &str = include_str!("../../../../measurements/policy/genuine.toml");

    fn values(tables: &str) -> ReferenceValues {
        ReferenceValues::parse(&format!("schema = 1\nname = \"app\"\n{tables}")).unwrap()
    }

    fn snp() -> String {
        format!(
            "[sev-snp]\nmeasurement = [\"{}\", \"{}\"]\nhost_data = \"{}\"\n",
            "22".repeat(48),
            "33".repeat(48),
            "11".repeat(32)
        )
    }

    fn tdx() -> String {
        let register = |name: &str| format!("{name} = \"{}\"\n", "22".repeat(48));
        "[tdx]\n".to_owned() + &["mrtd", "rtmr0", "rtmr1", "rtmr2", "mrconfigid"].map(register).concat()
    }

    /// What the template means with these values is what a copy means into which they were written by hand.
    #[test]
    fn a_filled_template_is_the_policy_that_its_author_would_have_written() {
        let by_hand = STRICT
            .replace("host_data = \"reference-value-needed\"", &format!("host_data = \"{}\"", "11".repeat(32)))
            .replace(
                "measurement = \"reference-value-needed\"",
                &format!("measurement = [\"{}\", \"{}\"]", "22".repeat(48), "33".repeat(48)),
            )
            .replace("reference-value-needed", &"22".repeat(48));
        let by_hand = Policy::parse(&by_hand).unwrap();
        let filled = Policy::parse_with(STRICT, &values(&(snp() + &tdx()))).unwrap();
        assert_eq!(filled.policy().differences(&by_hand), []);
        assert_eq!(filled.notes(), [] as [String; 0]);
        // The lists are there: a policy with one of the two measurements is another.
        let other = Policy::parse_with(STRICT, &values(&(snp().replace(&"33".repeat(48), &"44".repeat(48)) + &tdx())));
        assert_eq!(other.unwrap().policy().differences(&by_hand).len(), 1);
        // With no values at all the template is what it was.
        let nothing = Policy::parse_with(STRICT, &ReferenceValues::new("nothing")).unwrap_err();
        assert_eq!(nothing, Policy::parse(STRICT).unwrap_err());
    }

    #[test]
    fn values_of_one_tee_leave_the_other_profile_out() {
        let filled = Policy::parse_with(STRICT, &values(&snp())).unwrap();
        assert!(filled.policy().sev_snp().is_some() && filled.policy().tdx().is_none());
        assert_eq!(
            filled.notes(),
            ["`app` holds nothing for tdx, so that profile is left out and such evidence is refused"]
        );
        let filled = Policy::parse_with(STRICT, &values(&tdx())).unwrap();
        assert!(filled.policy().sev_snp().is_none() && filled.policy().tdx().is_some());
        // A profile that needs nothing stays.
        let mixed = STRICT.split("[tdx.strict]").next().unwrap().to_owned()
            + "[tdx.genuine]"
            + GENUINE.split("[tdx.genuine]").nth(1).unwrap();
        let filled = Policy::parse_with(&mixed, &values(&snp())).unwrap();
        assert!(filled.policy().tdx().is_some() && filled.notes().is_empty());
        // Values for a profile that the policy does not have are said to be for nothing.
        let snp_alone = STRICT.split("[tdx.strict]").next().unwrap();
        let notes = Policy::parse_with(snp_alone, &values(&(snp() + &tdx()))).unwrap().notes().to_vec();
        assert_eq!(notes.len(), 5);
        assert_eq!(
            notes[0],
            "`app` gives `tdx.mrconfigid`, and the policy has no profile for tdx: such evidence is refused"
        );
    }

    #[test]
    fn what_is_still_needed_is_named_where_it_stands() {
        let line = STRICT.lines().position(|line| line.starts_with("host_data")).unwrap() + 1;
        let without = values(&format!("[sev-snp]\nmeasurement = \"{}\"\n", "22".repeat(48)));
        let error = Policy::parse_with(STRICT, &without).unwrap_err().to_string();
        assert!(
            error.contains(&format!("line {line}, column ")) && error.contains("a reference value is needed here"),
            "{error}"
        );
        let spread = STRICT
            .replace("measurement = \"reference-value-needed\"", "measurement = \"\"\"\nreference-value-needed\"\"\"");
        let error = Policy::parse_with(&spread, &values(&snp())).unwrap_err().to_string();
        assert!(error.contains("a reference value is needed here"), "{error}");
    }

    #[test]
    fn a_value_that_the_policy_does_not_ask_for_is_refused_unless_both_say_the_same() {
        let own = format!("measurement = \"{}\"", "55".repeat(48));
        for (from, to, more, says) in [
            ("measurement = \"reference-value-needed\"", own.as_str(), "", "`measurement` must be 5555"),
            (
                "guest_svn = \"unchecked\"",
                "guest_svn = \"unchecked\"",
                "guest_svn = { at_least = 2 }\n",
                "`guest_svn` is not asked",
            ),
            ("vmpl = [0]", "vmpl = [0]", "vmpl = 1\n", "`vmpl` must be 0"),
            ("vmpl = [0]", "vmpl = [0]", "vmpl = [0, 1]\n", "`vmpl` must be 0"),
        ] {
            let text = STRICT.replace(from, to);
            let error = Policy::parse_with(&text, &values(&(snp() + more + &tdx()))).unwrap_err().to_string();
            let line = text.lines().position(|line| line == to).unwrap() + 1;
            assert!(error.starts_with(&format!("[sev-snp.strict] {says}")), "{error}");
            assert!(error.contains("and `app` gives a reference value for it, which would go unused"), "{error}");
            assert!(error.ends_with(&format!("(line {line}, column 1)")), "{error}");
        }
        Policy::parse_with(STRICT, &values(&(snp() + "vmpl = 0\n" + &tdx()))).unwrap();
    }

    #[test]
    fn values_bound_to_code_that_is_not_pinned_are_refused_as_in_a_policy() {
        let text = GENUINE.replace("host_data = \"unchecked\"", "host_data = \"reference-value-needed\"");
        let only = values(&format!("[sev-snp]\nhost_data = \"{}\"\n", "11".repeat(32)));
        assert_eq!(Policy::parse_with(&text, &only).unwrap_err().check(), Some("policy.bound-without-code"));
    }
}
