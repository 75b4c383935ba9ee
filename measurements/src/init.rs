//! The first policy of somebody's own: `strict` for one TEE (or the template for its wrapping), with the values that some evidence shows in the places of those that
//! `strict` needs.

use teegate_verifier::{BoundTo, Draft, PolicyError, Tee, Wrapping, Written};

use crate::shipped::{ACI, AZURE_CVM_NODE, AZURE_PEER_POD, STRICT};

/// The text of a policy for evidence of this TEE, comments included. `shows` gives the bytes or the number that the evidence shows of
/// a field, by its name in reports; what it does not show keeps the word of the template.
///
/// Nothing is verified here: whether these values are those of one's own code is for the author to know, and so is `bound_to`, what
/// they admit.
///
/// # Errors
/// The loader refuses what the evidence shows, such as a measurement of zeros; or PCR 8 shows that no initdata was extended, and the
/// claim would be more than that of a guest.
pub fn init(
    subject: (Tee, Wrapping),
    name: &str,
    bound_to: BoundTo,
    shows: impl Fn(&str) -> Option<String>,
) -> Result<String, PolicyError> {
    init_bearing(subject, name, bound_to, None, shows)
}

/// As [`init`], of a TD whose RTMR0 may be zero: `unjudged_acpi_tables` is the reason why nobody has to judge its ACPI tables.
///
/// # Errors
/// As those of [`init`]; or there is a reason, and the evidence is of no TD whose RTMR0 is zero.
pub fn init_bearing(
    (tee, wrapping): (Tee, Wrapping),
    name: &str,
    bound_to: BoundTo,
    unjudged_acpi_tables: Option<&str>,
    shows: impl Fn(&str) -> Option<String>,
) -> Result<String, PolicyError> {
    let (called, claims, text) = template(wrapping, bound_to);
    let template = of_one_tee(text, tee).replacen(&format!("[{tee}.{called}]"), &format!("[{tee}.own]"), 1).replacen(
        &format!("name = \"{called}\""),
        &format!("name = {}", toml::Value::from(name)),
        1,
    );
    let template =
        template.replacen(&format!("bound_to = \"{claims}\""), &format!("bound_to = \"{}\"", bound_to.name()), 1);
    let template = match unjudged_acpi_tables {
        None => template,
        Some(_) if tee != Tee::Tdx => {
            return Err(PolicyError::new(format!(
                "a reason for ACPI tables that nobody judges is of a TD, and this is evidence of {tee}: leave it out"
            )));
        }
        Some(reason) => {
            let written = format!("\nunjudged_acpi_tables = {}\nrtmr0 = ", toml::Value::from(reason));
            template.replacen("\nrtmr0 = ", &written, 1)
        }
    };
    let is_zero = |name: &str| shows(name).is_some_and(|digits| is_zeros(&digits));
    // Neither a unified kernel image nor a command line was measured, so that what the boot loader was told stands in PCR 8.
    let template = match shows("pcr8").filter(|_| is_zero("pcr11") && is_zero("pcr12")) {
        Some(pcr8) => template.replacen("\npcr8 = \"unchecked\"", &format!("\npcr8 = \"{pcr8}\""), 1),
        None => template,
    };
    let draft = Draft::parse(&template)?;
    let (mut text, mut from) = (String::with_capacity(2 * template.len()), 0);
    for needed in draft.needed() {
        let Some(shown) = shows(needed.field.name) else { continue };
        if needed.field.name == "pcr8" && is_zeros(&shown) {
            return Err(PolicyError::new(NO_INITDATA));
        }
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

fn is_zeros(digits: &str) -> bool {
    digits.bytes().all(|digit| digit == b'0')
}

/// A register that nothing was extended into holds no workload, and whatever runs in the guest may extend it later.
const NO_INITDATA: &str = "`pcr8` is zero: no initdata was extended into it, so that nothing says which pod or workload was started; let the pod start \
                           with its initdata (`teegate deploy initdata` writes it) and take evidence again, or claim no more than the guest \
                           (`--bound-to guest`)";

/// The shipped template for evidence in this wrapping: its name, what it claims, and its text. Of a guest no initdata is expected.
const fn template(wrapping: Wrapping, bound_to: BoundTo) -> (&'static str, &'static str, &'static str) {
    match (wrapping, bound_to) {
        (Wrapping::AzureVtpm, BoundTo::Guest) => ("azure-cvm-node", "guest", AZURE_CVM_NODE),
        (Wrapping::AzureVtpm, _) => ("azure-peer-pod", "workload", AZURE_PEER_POD),
        (Wrapping::AzureAci, _) => ("aci", "workload", ACI),
        _ => ("strict", "workload", STRICT),
    }
}

/// A template without its head, which speaks of the template, and without the profiles of other TEEs.
fn of_one_tee(template: &str, tee: Tee) -> String {
    let own = format!("[{tee}.");
    let mut kept = true;
    let mut text = String::new();
    for line in template.lines().skip_while(|line| line.starts_with('#') || line.is_empty()) {
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
            let text = init((tee, Wrapping::Raw), "mine", BoundTo::Pod, shows).unwrap();
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

    /// Under a paravisor the template depends on what is claimed: of a node nobody expects an initdata.
    #[test]
    fn a_first_policy_for_an_azure_vtpm_is_that_of_a_pod_or_of_a_node() {
        let shows = |field: &str| Some(if field.starts_with("pcr") { "3b".repeat(32) } else { "2a".repeat(48) });
        for tee in Tee::all() {
            for (bound_to, initdata) in [(BoundTo::Guest, false), (BoundTo::Pod, true), (BoundTo::Workload, true)] {
                let text = init((tee, Wrapping::AzureVtpm), "mine", bound_to, shows).unwrap();
                let draft = Draft::parse(&text).unwrap();
                let profile = &draft.document().profiles()[0];
                assert!(draft.needed().is_empty() && draft.document().name() == "mine", "{text}");
                assert_eq!((profile.wrapping(), profile.bound_to()), (Wrapping::AzureVtpm, Some(bound_to)));
                assert_eq!(text.contains(&format!("pcr8 = \"{}\"", "3b".repeat(32))), initdata, "{text}");
            }
            // Without a unified kernel image, what the boot loader was told is pinned as well.
            let by_grub = |zeros: &'static [&'static str]| {
                move |field: &str| if zeros.contains(&field) { Some("00".repeat(32)) } else { shows(field) }
            };
            let made = |zeros| init((tee, Wrapping::AzureVtpm), "mine", BoundTo::Guest, by_grub(zeros)).unwrap();
            let text = made(&["pcr11", "pcr12"]);
            assert!(text.contains(&format!("\npcr8 = \"{}\"", "3b".repeat(32))), "{text}");
            for text in [made(&["pcr11"]), made(&["pcr12"])] {
                assert!(text.contains("\npcr8 = \"unchecked\""), "{text}");
            }
        }
    }

    /// Zeros there say that nothing was extended: nobody's initdata is none that a workload could be bound by.
    #[test]
    fn a_register_without_initdata_makes_no_policy_of_a_workload() {
        for tee in Tee::all() {
            let made = |bound_to, pcr8: &'static str| {
                init((tee, Wrapping::AzureVtpm), "mine", bound_to, |field| {
                    Some(match field {
                        "pcr8" => pcr8.repeat(32),
                        field if field.starts_with("pcr") => "3b".repeat(32),
                        _ => "2a".repeat(48),
                    })
                })
            };
            for bound_to in [BoundTo::Pod, BoundTo::Workload] {
                let refused = made(bound_to, "00").unwrap_err().to_string();
                assert!(refused.starts_with("`pcr8` is zero: no initdata was extended into it"), "{refused}");
                made(bound_to, "01").unwrap();
            }
            // What is claimed of a guest does not rest on it.
            made(BoundTo::Guest, "00").unwrap();
        }
    }

    /// Zeros in RTMR0 say that no ACPI table was measured there: that goes into a policy with a reason alone.
    #[test]
    fn a_td_that_measured_no_acpi_tables_makes_a_policy_with_a_reason_alone() {
        let made = |subject, reason, rtmr0: &'static str| {
            init_bearing(subject, "mine", BoundTo::Guest, reason, |field| {
                Some(if field == "rtmr0" { rtmr0 } else { "2a" }.repeat(if field == "host_data" { 32 } else { 48 }))
            })
        };
        let (raw, reason) = ((Tee::Tdx, Wrapping::Raw), Some("measured into \"RTMR2\""));
        let refused = made(raw, None, "00").unwrap_err();
        assert_eq!(refused.check(), Some("policy.bound-without-code"));
        assert!(refused.to_string().contains("write `unjudged_acpi_tables = "), "{refused}");
        let text = made(raw, reason, "00").unwrap();
        let draft = Draft::parse(&text).unwrap();
        assert_eq!(draft.document().profiles()[0].borne().map(|(_, reason)| reason), reason);
        for (subject, rtmr0, why) in [
            (raw, "2a", "`rtmr0` takes no zeros"),
            ((Tee::Tdx, Wrapping::AzureVtpm), "00", "`rtmr0` takes no zeros"),
            ((Tee::SevSnp, Wrapping::Raw), "00", "is of a TD, and this is evidence of sev-snp"),
        ] {
            let refused = made(subject, reason, rtmr0).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
        made(raw, None, "2a").unwrap();
    }

    #[test]
    fn any_name_is_one() {
        for name in ["[sev-snp.strict]", "a \"b\"", "\u{1b}", "one\ntwo"] {
            let text = init((Tee::SevSnp, Wrapping::Raw), name, BoundTo::Guest, |field| {
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
        let text = init((Tee::Tdx, Wrapping::Raw), "mine", BoundTo::Workload, |field| {
            (field == "mrtd").then(|| "2a".repeat(48))
        })
        .unwrap();
        assert_eq!(Draft::parse(&text).unwrap().needed().len(), 4);
        let refused =
            init((Tee::Tdx, Wrapping::Raw), "mine", BoundTo::Workload, |_| Some("00".repeat(48))).unwrap_err();
        assert_eq!(refused.check(), Some("policy.bound-without-code"));
    }
}
