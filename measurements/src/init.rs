//! The first policy of somebody's own: `strict` for one TEE, with the values that some evidence shows in the places of those that
//! `strict` needs.

use teegate_verifier::{BoundTo, Draft, PolicyError, Tee, Written};

use crate::shipped::STRICT;

/// The text of a policy for evidence of this TEE, comments included. `shows` gives the bytes or the number that the evidence shows of
/// a field, by its name in reports; what it does not show keeps the word of the template.
///
/// Nothing is verified here: whether these values are those of one's own code is for the author to know, and so is `bound_to`, what
/// they admit.
///
/// # Errors
/// The loader refuses what the evidence shows, such as a measurement of zeros.
pub fn init(
    tee: Tee,
    name: &str,
    bound_to: BoundTo,
    shows: impl Fn(&str) -> Option<String>,
) -> Result<String, PolicyError> {
    let template = of_one_tee(tee).replacen(&format!("[{tee}.strict]"), &format!("[{tee}.own]"), 1).replacen(
        "name = \"strict\"",
        &format!("name = {}", toml::Value::from(name)),
        1,
    );
    let template = template.replacen("bound_to = \"workload\"", &format!("bound_to = \"{}\"", bound_to.name()), 1);
    let draft = Draft::parse(&template)?;
    let (mut text, mut from) = (String::with_capacity(2 * template.len()), 0);
    for needed in draft.needed() {
        let Some(shown) = shows(needed.field.name) else { continue };
        text.push_str(template.get(from..needed.span.start).unwrap_or_default());
        match needed.field.written {
            Written::Bytes(_) | Written::BytesOrNone(_) => text.push_str(&format!("\"{shown}\"")),
            _ => text.push_str(&shown),
        }
        from = needed.span.end;
    }
    text.push_str(template.get(from..).unwrap_or_default());
    Draft::parse(&text)?;
    Ok(text)
}

/// `strict` without its head, which speaks of the template, and without the profiles of other TEEs.
fn of_one_tee(tee: Tee) -> String {
    let own = format!("[{tee}.");
    let mut kept = true;
    let mut text = String::new();
    for line in STRICT.lines().skip_while(|line| line.starts_with('#') || line.is_empty()) {
        if line.starts_with('[') {
            kept = line.starts_with(&own);
        }
        if kept {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::lint;
    use crate::reference::ReferenceValues;
    use teegate_verifier::Severity;

    #[test]
    fn a_first_policy_is_strict_with_what_the_evidence_shows() {
        for tee in Tee::all() {
            let shows = |field: &str| {
                let length = if field == "host_data" { 32 } else { 48 };
                Some("2a".repeat(length))
            };
            let text = init(tee, "mine", BoundTo::Pod, shows).unwrap();
            let draft = Draft::parse(&text).unwrap();
            assert!(draft.needed().is_empty(), "{text}");
            assert_eq!(draft.document().name(), "mine");
            assert_eq!(draft.document().profiles()[0].bound_to(), Some(BoundTo::Pod));
            assert_eq!(
                draft.document().profiles().iter().map(|one| one.place()).collect::<Vec<_>>(),
                [format!("{tee}.own")]
            );
            let found = lint(&text, &ReferenceValues::default(), &crate::SHIPPED).unwrap();
            assert!(found.iter().all(|remark| remark.severity != Severity::Error), "{found:?}");
            // The reasons that `strict` gives beside its rules are there.
            assert!(text.lines().filter(|line| line.starts_with('#')).count() > 3, "{text}");
        }
    }

    #[test]
    fn any_name_is_one() {
        for name in ["[sev-snp.strict]", "a \"b\"", "\u{1b}", "one\ntwo"] {
            let text = init(Tee::SevSnp, name, BoundTo::Guest, |field| {
                Some("2a".repeat(if field == "host_data" { 32 } else { 48 }))
            })
            .unwrap();
            let draft = Draft::parse(&text).unwrap();
            assert_eq!(
                (draft.document().name(), draft.document().profiles()[0].place()),
                (name, "sev-snp.own".to_owned())
            );
        }
    }

    #[test]
    fn what_is_not_shown_is_still_needed_and_zeros_are_refused() {
        let text =
            init(Tee::Tdx, "mine", BoundTo::Workload, |field| (field == "mrtd").then(|| "2a".repeat(48))).unwrap();
        assert_eq!(Draft::parse(&text).unwrap().needed().len(), 4);
        let refused = init(Tee::Tdx, "mine", BoundTo::Workload, |_| Some("00".repeat(48))).unwrap_err();
        assert_eq!(refused.check(), Some("policy.bound-without-code"));
    }
}
