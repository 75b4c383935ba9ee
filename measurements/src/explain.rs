//! A policy in sentences, for a reader who has never seen one: what is asked, and of each field that is not, what that
//! leaves open.

use serde::Serialize;
use teegate_verifier::{Ask, BoundTo, Document, Field, PinnedRoots, Topic};

use crate::words::in_words;

/// One sentence of an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sentence {
    /// The profile that says so, such as `sev-snp.strict`.
    pub profile: String,
    /// The field that says so.
    pub field: &'static str,
    /// What it is about.
    pub topic: Topic,
    /// Whether something is asked; `false` for what the policy leaves open.
    pub asked: bool,
    /// The sentence.
    pub text: String,
}

/// A policy in sentences, profile by profile and topic by topic. Of a template too: what it still needs is said of each field.
pub fn explain(document: &Document) -> Vec<Sentence> {
    let mut sentences = Vec::new();
    for profile in document.profiles() {
        let place = profile.place();
        sentences.push(bound_to(&place, profile.bound_to(), profile.weaker()));
        sentences.push(Sentence {
            profile: place.clone(),
            field: "trust_anchors",
            topic: Topic::Vouching,
            asked: true,
            text: anchors(document.roots(profile.tee())),
        });
        sentences.extend(profile.rules().iter().map(|(field, ask)| sentence(&place, field, ask)));
        sentences.extend(profile.borne().map(|(field, reason)| Sentence {
            profile: place.clone(),
            field,
            topic: Topic::Code,
            asked: false,
            text: format!(
                "ACPI tables, which are code that the host supplies (BadAML): where RTMR0 is zero nobody judges them, which the author bears \
                 because: {reason}."
            ),
        }));
        sentences.extend(profile.rebuilt().map(|(field, from)| Sentence {
            profile: place.clone(),
            field,
            topic: Topic::Code,
            asked: true,
            text: format!("The ACPI tables behind RTMR0 were rebuilt, as the author says, from the declared shape of the VM: {from}."),
        }));
    }
    // Stable: within a topic the fields keep the order in which a policy is written.
    sentences.sort_by(|a, b| (&a.profile, a.topic).cmp(&(&b.profile, b.topic)));
    sentences
}

fn anchors(roots: PinnedRoots<'_>) -> String {
    let vendor = roots.vendor();
    if roots.are_vendors() {
        return format!("A chain must end in a root of {vendor} that this release carries.");
    }
    let pinned = roots.names().len();
    format!(
        "A chain must end in one of {pinned} roots that this file pins in place of {vendor}'s: whoever holds their keys can make evidence."
    )
}

fn bound_to(profile: &str, claim: Option<BoundTo>, weaker: Option<&str>) -> Sentence {
    let text = match claim {
        Some(BoundTo::Workload) => {
            "The author says that accepted evidence speaks for one workload: the pinned code admits no other. The hardware does not say so; the pinned values must."
        }
        Some(BoundTo::Pod) => {
            "The author says that accepted evidence speaks for a measured pod, in which other code may run as well. The hardware does not say so; the pinned values must."
        }
        Some(BoundTo::Guest) => {
            "The author says that accepted evidence speaks for the whole guest: every program in that machine can read what is sent to it."
        }
        None => "No claim is made about which code accepted evidence speaks for: it is no reason to send anything.",
    };
    Sentence {
        profile: profile.to_owned(),
        field: "bound_to",
        topic: Topic::Claim,
        asked: claim.is_some(),
        text: match weaker {
            None => text.to_owned(),
            Some(reason) => {
                format!("{text} Another profile claims more, and this one may claim less because: {reason}.")
            }
        },
    }
}

fn sentence(profile: &str, field: &Field, ask: &Ask) -> Sentence {
    let asked = !ask.is_waived();
    let text = match ask {
        Ask::Needed => format!("{} needs a reference value: {}.", field.subject, field.written),
        ask if asked => format!("{} {}.", field.subject, in_words(ask)),
        _ => format!("{}: not asked, so {}.", field.subject.trim_end_matches(','), field.open),
    };
    Sentence { profile: profile.to_owned(), field: field.name, topic: field.topic, asked, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_verifier::{Draft, Policy};

    const GENUINE: &str = include_str!("../policy/genuine.toml");

    #[test]
    fn every_field_of_a_policy_has_its_sentence_and_no_other() {
        let sentences = explain(Policy::parse(GENUINE).unwrap().document());
        let table: toml::Table = toml::from_str(GENUINE).unwrap();
        for tee in ["sev-snp", "tdx"] {
            let mut written: Vec<_> = table[tee]["genuine"].as_table().unwrap().keys().map(String::as_str).collect();
            // Raw evidence is the one wrapping there is, and roots stand outside of the profiles.
            written.retain(|field| *field != "wrapping");
            written.push("trust_anchors");
            written.sort_unstable();
            let own = |sentence: &&Sentence| sentence.profile == format!("{tee}.genuine");
            let mut said: Vec<_> = sentences.iter().filter(own).map(|sentence| sentence.field).collect();
            said.sort_unstable();
            assert_eq!(said, written);
        }
        for sentence in &sentences {
            assert!(!sentence.text.contains("A field") && sentence.text.ends_with('.'), "{sentence:?}");
        }
    }

    #[test]
    fn what_is_not_asked_says_what_that_leaves_open() {
        let sentences = explain(Policy::parse(GENUINE).unwrap().document());
        let said = |field: &str| sentences.iter().find(|sentence| sentence.field == field).unwrap();
        assert_eq!(
            said("measurement").text,
            "The launch measurement (MEASUREMENT): not asked, so any code at all can run in the guest."
        );
        assert!(!said("measurement").asked && said("measurement").topic == Topic::Code);
        assert_eq!(said("products").text, "The processor must be one of milan, genoa, turin.");
        assert_eq!(said("debug").text, "A guest that the host may debug, and so read, is refused.");
        let open = GENUINE.lines().filter(|line| line.ends_with("\"unchecked\"")).count();
        // An empty list of denials asks nothing either, nor does what softens a rule that is not there.
        assert_eq!(sentences.iter().filter(|sentence| !sentence.asked).count(), open + 3);
        assert_eq!(
            said("out_of_date_grace").text,
            "A platform that is out of date, beside the accepted statuses: not asked, so it is accepted for ever."
        );
    }

    #[test]
    fn a_template_is_explained_with_all_that_it_needs() {
        const STRICT: &str = include_str!("../policy/strict.toml");
        let draft = Draft::parse(STRICT).unwrap();
        let sentences = explain(draft.document());
        let needs: Vec<_> = sentences.iter().filter(|one| one.text.contains("needs a reference value")).collect();
        assert_eq!(needs.len(), draft.needed().len());
        assert_eq!(
            needs[0].text,
            "The launch measurement (MEASUREMENT) needs a reference value: 48 bytes in hexadecimal."
        );
        assert!(needs.iter().all(|one| one.asked));
    }
}
