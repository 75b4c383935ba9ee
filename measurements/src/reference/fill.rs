//! A template and reference values make a policy: each field that is written as `"reference-value-needed"` takes its value
//! from them, and no value is left over unseen.

use teegate_verifier::place::{key_offset, position, readable};
use teegate_verifier::{Document, Draft, Needed, Policy, PolicyError, Profile, Tee, still_needed};
use toml::de::DeTable;

use super::collected::{ReferenceValues, Stated, named};
use super::text::REBUILT;
use crate::words::in_words;

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

/// Loads a policy from TOML and fills in what it leaves to reference values.
///
/// Where there are values for the other TEE alone, a profile that needs some is left out, so that its evidence is refused.
/// A value for a field that the policy does not leave open is an error, unless both say the same.
///
/// # Errors
/// The policy is refused, it needs a value that is not there, or a value would go unused; with line and column.
pub fn fill(text: &str, values: &ReferenceValues) -> Result<Filled, PolicyError> {
    let template = Draft::parse(text)?;
    let knows = |tee: Tee| values.given().iter().any(|given| given.tee() == tee);
    let needs = |tee: Tee| template.needed().iter().any(|needed| needed.tee == tee);
    let left_out: Vec<Tee> =
        Tee::all().filter(|tee| needs(*tee) && !knows(*tee) && !values.given().is_empty()).collect();
    let mut notes: Vec<String> = left_out
        .iter()
        .map(|tee| {
            let origin = named(&values.name());
            format!("`{origin}` holds nothing for {tee}, so that profile is left out and such evidence is refused")
        })
        .collect();
    let open: Vec<&Needed> = template.needed().iter().filter(|needed| !left_out.contains(&needed.tee)).collect();
    let missing = open.iter().copied().filter(|needed| values.find(needed.tee, needed.field.name).is_none());
    if let Some(needed) = still_needed(missing) {
        return Err(PolicyError::new(needed));
    }
    let filled = filled(text, &template, &open, values);
    let policy = left_out.iter().fold(Draft::parse(&filled)?, |draft, tee| draft.without(*tee)).complete()?;
    let own_text = if left_out.is_empty() { filled } else { without(&filled, &left_out)? };
    let document = DeTable::parse(text).map_err(|error| PolicyError::new(readable(&error)))?;
    for given in values.given() {
        if open.iter().any(|needed| needed.tee == given.tee() && needed.field.name == given.field()) {
            continue;
        }
        match unused(text, document.get_ref(), policy.document(), given) {
            Unused::SaysTheSame => {}
            Unused::NoProfile(note) => notes.push(note),
            Unused::Contradicts(error) => return Err(error),
        }
    }
    Ok(Filled { policy, text: own_text, notes })
}

/// The text of a policy, or of a template, with the profiles of one TEE alone: evidence of every other is refused.
///
/// # Errors
/// It is refused, or it has no profile for that TEE.
pub fn only(text: &str, tee: Tee) -> Result<String, PolicyError> {
    let draft = Draft::parse(text)?;
    if !draft.document().profiles().iter().any(|profile| profile.tee() == tee) {
        return Err(PolicyError::new(format!("it has no profile for {tee}, and nothing would be left of it")));
    }
    let others: Vec<Tee> = Tee::all().filter(|other| *other != tee).collect();
    without(text, &others)
}

/// The document without the profiles of some TEEs: the text that is left when their tables are cut out, with the reasons that it
/// gives beside its rules. Where that would say something else, the bare rules.
fn without(text: &str, left_out: &[Tee]) -> Result<String, PolicyError> {
    let mut document: toml::Table = toml::from_str(text).map_err(|error| PolicyError::new(readable(&error)))?;
    for tee in left_out {
        document.remove(tee.name());
    }
    let cut = without_tables(text, left_out);
    if toml::from_str::<toml::Table>(&cut).is_ok_and(|left| left == document) {
        return Ok(cut);
    }
    toml::to_string(&document).map_err(|error| PolicyError::new(error.to_string()))
}

/// The lines that stand under no header of these TEEs. A line that only looks like a header is taken for one.
fn without_tables(text: &str, left_out: &[Tee]) -> String {
    let mut is_kept = true;
    let lines = text.split_inclusive('\n').filter(|line| {
        if let Some(header) = line.strip_prefix('[') {
            let name = header.split(['.', ']']).next().unwrap_or_default();
            is_kept = !left_out.iter().any(|tee| tee.name() == name);
        }
        is_kept
    });
    lines.collect()
}

/// The text with each value in its place, and behind RTMR0 what is said of its ACPI tables, unless the template says it.
fn filled(text: &str, template: &Draft, open: &[&Needed], values: &ReferenceValues) -> String {
    let says_it = |needed: &Needed| {
        let mut profiles = template.document().profiles().iter();
        profiles.any(|profile| profile.name() == needed.profile && profile.rebuilt().is_some())
    };
    let (mut whole, mut from) = (String::with_capacity(text.len()), 0);
    for needed in open {
        let Some(given) = values.find(needed.tee, needed.field.name) else { continue };
        whole.push_str(text.get(from..needed.span.start).unwrap_or_default());
        whole.push_str(&given.rule());
        if let Some(shape) = given.rebuilt_acpi_tables().filter(|_| !says_it(needed)) {
            whole.push_str(&format!("\n{REBUILT} = {}", toml::Value::from(shape)));
        }
        from = needed.span.end;
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

/// A value counts for every profile of its TEE: one of them that says something else contradicts it.
fn unused(text: &str, table: &DeTable<'_>, document: &Document, given: &Stated) -> Unused {
    let (tee, field, origin) = (given.tee(), given.field(), named(given.origin()));
    let mut profiles = document.profiles().iter().filter(|profile| profile.tee() == tee).peekable();
    if profiles.peek().is_none() {
        return Unused::NoProfile(format!(
            "`{origin}` gives `{tee}.{field}`, and the policy has no profile for {tee}: such evidence is refused"
        ));
    }
    let says_else = |profile: &&Profile| {
        let rule = profile.rules().iter().find(|(own, _)| own.name == field);
        rule.filter(|(own, ask)| !given.is(own, ask)).map(|(_, ask)| (profile.name().to_owned(), in_words(ask)))
    };
    let Some((name, says)) = profiles.find_map(|profile| says_else(&profile)) else { return Unused::SaysTheSame };
    let (line, column) = position(text, key_offset(table, &[tee.name(), &name, field]).unwrap_or(0));
    Unused::Contradicts(PolicyError::new(format!(
        "[{tee}.{name}] `{field}` {says}, and `{origin}` gives a reference value for it, which would go unused: write \
         `{field} = \"{}\"`, or take the value out (line {line}, column {column})",
        Draft::NEEDED
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::differences;

    const STRICT: &str = include_str!("../../policy/strict.toml");
    const GENUINE: &str = include_str!("../../policy/genuine.toml");

    fn tees(filled: &Filled) -> Vec<Tee> {
        filled.policy().document().profiles().iter().map(Profile::tee).collect()
    }

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
        let filled = fill(STRICT, &values(&(snp() + &tdx()))).unwrap();
        assert_eq!(differences(filled.policy(), &by_hand), []);
        assert_eq!(filled.notes(), [] as [String; 0]);
        // The lists are there: a policy with one of the two measurements is another.
        let other = fill(STRICT, &values(&(snp().replace(&"33".repeat(48), &"44".repeat(48)) + &tdx())));
        assert_eq!(differences(other.unwrap().policy(), &by_hand).len(), 1);
        // With no values at all the template is what it was.
        let nothing = fill(STRICT, &ReferenceValues::new("nothing")).unwrap_err();
        assert_eq!(nothing, Policy::parse(STRICT).unwrap_err());
    }

    /// Values of both TEEs, of which one is wanted: the other's profile needs more than there is.
    #[test]
    fn one_tee_alone_is_filled_from_values_of_both() {
        let both = values(&(snp() + "[tdx]\nmrtd = \"" + &"22".repeat(48) + "\"\n"));
        let error = fill(STRICT, &both).unwrap_err().to_string();
        assert!(error.contains("`tdx.strict.rtmr0`"), "{error}");
        let text = only(STRICT, Tee::SevSnp).unwrap();
        assert!(text.contains("# ") && !text.contains("[tdx"), "{text}");
        let filled = fill(&text, &both.clone().of(Tee::SevSnp)).unwrap();
        assert!(tees(&filled) == [Tee::SevSnp] && filled.notes().is_empty(), "{:?}", filled.notes());
        assert_eq!(differences(filled.policy(), fill(STRICT, &values(&snp())).unwrap().policy()), []);
        // A profile that needs nothing goes too: it was not asked for.
        assert!(tees(&fill(&only(GENUINE, Tee::Tdx).unwrap(), &ReferenceValues::new("none")).unwrap()) == [Tee::Tdx]);
        let error = only(&text, Tee::Tdx).unwrap_err().to_string();
        assert_eq!(error, "it has no profile for tdx, and nothing would be left of it");
        assert_eq!(both.of(Tee::Tdx).given().len(), 1);
    }

    #[test]
    fn values_of_one_tee_leave_the_other_profile_out() {
        let filled = fill(STRICT, &values(&snp())).unwrap();
        assert!(tees(&filled) == [Tee::SevSnp]);
        assert_eq!(
            filled.notes(),
            ["`app` holds nothing for tdx, so that profile is left out and such evidence is refused"]
        );
        let filled = fill(STRICT, &values(&tdx())).unwrap();
        assert!(tees(&filled) == [Tee::Tdx]);
        // A profile that needs nothing stays.
        let mixed = STRICT.split("[tdx.strict]").next().unwrap().to_owned()
            + "[tdx.genuine]"
            + GENUINE.split("[tdx.genuine]").nth(1).unwrap();
        let filled = fill(&mixed, &values(&snp())).unwrap();
        assert!(tees(&filled) == Tee::all().collect::<Vec<_>>() && filled.notes().is_empty());
        // Values for a profile that the policy does not have are said to be for nothing.
        let snp_alone = STRICT.split("[tdx.strict]").next().unwrap();
        let notes = fill(snp_alone, &values(&(snp() + &tdx()))).unwrap().notes().to_vec();
        assert_eq!(notes.len(), 5);
        assert_eq!(
            notes[0],
            "`app` gives `tdx.mrconfigid`, and the policy has no profile for tdx: such evidence is refused"
        );
    }

    /// A value of RTMR0 says nothing of itself about the ACPI tables behind it: what its file says goes with it, unless the policy says it.
    #[test]
    fn what_acpi_tables_were_rebuilt_from_goes_along_with_rtmr0() {
        let register = "22".repeat(48);
        let from = |shape: &str| {
            let rtmr0 = format!("rtmr0 = \"{register}\"");
            let said =
                format!("rtmr0 = {{ value = \"{register}\", source = \"make\", rebuilt_acpi_tables = \"{shape}\" }}");
            values(&tdx().replace(&rtmr0, &said))
        };
        let rebuilt = |filled: &Filled| {
            let profile = &Policy::parse(filled.text()).unwrap();
            let profile = &profile.document().profiles()[0];
            profile.rebuilt().map(|(_, shape)| shape.to_owned())
        };
        assert_eq!(rebuilt(&fill(STRICT, &values(&tdx())).unwrap()), None);
        let shape = "QEMU 7.2, -m \\\"4 GiB\\\"\\n-machine q35";
        let filled = fill(STRICT, &from(shape)).unwrap();
        assert_eq!(rebuilt(&filled).as_deref(), Some("QEMU 7.2, -m \"4 GiB\"\n-machine q35"));
        assert_eq!(differences(filled.policy(), fill(STRICT, &values(&tdx())).unwrap().policy()), []);
        let own = STRICT.replace(
            "rtmr0 = \"reference-value-needed\"",
            "rtmr0 = \"reference-value-needed\"\nrebuilt_acpi_tables = \"as I know it\"",
        );
        assert_eq!(rebuilt(&fill(&own, &from("q35")).unwrap()).as_deref(), Some("as I know it"));
    }

    /// The reasons that a template gives are for whoever reads the policy; what only looks like a header costs no rule.
    #[test]
    fn what_is_left_keeps_its_words() {
        let comments = |text: &str| text.lines().filter(|line| line.starts_with('#')).count();
        let (snp_alone, tdx_alone) = STRICT.split_once("[tdx.strict]").unwrap();
        let filled = fill(STRICT, &values(&snp())).unwrap();
        assert_eq!(comments(filled.text()), comments(snp_alone));
        let (head, _) = STRICT.split_once("[sev-snp.strict]").unwrap();
        let filled = fill(STRICT, &values(&tdx())).unwrap();
        assert_eq!(comments(filled.text()), comments(head) + comments(tdx_alone));
        for name in ["name = \"\"\"\n[tdx.strict]\n\"\"\"", "name = \"\"\"\n[sev-snp.strict]\n\"\"\""] {
            let odd = STRICT.replace("name = \"strict\"", name);
            for values in [values(&snp()), values(&tdx())] {
                let filled = fill(&odd, &values).unwrap();
                let text = Policy::parse(filled.text()).unwrap();
                assert_eq!((differences(&text, filled.policy()), text.name()), (vec![], filled.policy().name()));
            }
        }
    }

    /// What is left where every profile is left out is no policy.
    #[test]
    fn values_for_no_profile_of_the_policy_make_no_policy() {
        let snp_alone = STRICT.split("[tdx.strict]").next().unwrap();
        let error = fill(snp_alone, &values(&tdx())).unwrap_err().to_string();
        assert!(error.starts_with("no profile: expected a table such as [sev-snp.NAME]"), "{error}");
    }

    #[test]
    fn what_is_still_needed_is_named_where_it_stands() {
        let line = STRICT.lines().position(|line| line.starts_with("host_data")).unwrap() + 1;
        let without = values(&format!("[sev-snp]\nmeasurement = \"{}\"\n", "22".repeat(48)));
        let error = fill(STRICT, &without).unwrap_err().to_string();
        assert!(
            error.contains(&format!("line {line}, column ")) && error.contains("a reference value is needed here"),
            "{error}"
        );
        let spread = STRICT
            .replace("measurement = \"reference-value-needed\"", "measurement = \"\"\"\nreference-value-needed\"\"\"");
        let error = fill(&spread, &values(&snp())).unwrap_err().to_string();
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
            let error = fill(&text, &values(&(snp() + more + &tdx()))).unwrap_err().to_string();
            let line = text.lines().position(|line| line == to).unwrap() + 1;
            assert!(error.starts_with(&format!("[sev-snp.strict] {says}")), "{error}");
            assert!(error.contains("and `app` gives a reference value for it, which would go unused"), "{error}");
            assert!(error.ends_with(&format!("(line {line}, column 1)")), "{error}");
        }
        fill(STRICT, &values(&(snp() + "vmpl = 0\n" + &tdx()))).unwrap();
    }

    #[test]
    fn values_bound_to_code_that_is_not_pinned_are_refused_as_in_a_policy() {
        let text = GENUINE.replace("host_data = \"unchecked\"", "host_data = \"reference-value-needed\"");
        let only = values(&format!("[sev-snp]\nhost_data = \"{}\"\n", "11".repeat(32)));
        assert_eq!(fill(&text, &only).unwrap_err().check(), Some("policy.bound-without-code"));
    }
}
