//! What the loader asks of a policy about an Azure vTPM, and which profile judges which evidence.

use teegate_intake::bundle::{Bundle, Conclusion, Kept, PolicyText as KeptPolicy};
use teegate_intake::evidence;
use teegate_measurements::{POLICIES, Rewritten, SHIPPED, lint};
use teegate_verifier::{BoundTo, Draft, Policy, PolicyError, Severity, Tee, UnixTime, Wrapping, fields_around};

use crate::subject::{Subject, azure, snp};

fn good(tee: Tee) -> Subject {
    azure(tee, |vm| vm)
}

fn loaded(subject: &Subject) -> Result<Policy, PolicyError> {
    Policy::parse(&subject.policy.to_toml())
}

#[test]
fn each_field_is_asked_for_under_a_paravisor_and_refused_elsewhere() {
    for tee in Tee::all() {
        let subject = good(tee);
        loaded(&subject).unwrap();
        for field in fields_around(Wrapping::AzureVtpm).into_iter().filter(|field| !field.optional) {
            let mut without = subject.clone();
            for fields in [&mut without.policy.snp, &mut without.policy.tdx] {
                fields.retain(|(name, _)| *name != field.name);
            }
            let refused = loaded(&without).unwrap_err().to_string();
            assert!(refused.contains(&format!("missing field `{}`", field.name)), "{refused}");
        }
        let raw = subject.clone().under("wrapping", "\"none\"");
        let refused = loaded(&raw).unwrap_err().to_string();
        assert!(refused.contains("unknown field `pcr11`"), "{refused}");
        let other = subject.under("pcr4", "\"00\"");
        let refused = loaded(&other).unwrap_err().to_string();
        assert!(refused.contains("64 hexadecimal digits") && refused.contains("line "), "{refused}");
    }
}

/// What is extended or claimed counts only beside the image, and any register only beside the paravisor.
#[test]
fn registers_count_only_beside_the_code_that_they_rest_on() {
    let unchecked = "\"unchecked\"";
    for (tee, code) in [(Tee::SevSnp, "measurement"), (Tee::Tdx, "mrtd")] {
        let refused = |subject: Subject, field: &str, why: &str| {
            let error = loaded(&subject).unwrap_err();
            assert_eq!(error.check(), Some("policy.bound-without-code"), "{tee}: {error}");
            let (words, bound) = (error.to_string(), format!("expects `{field}` while `{why}`"));
            assert!(words.contains(&bound), "{tee}: {words}");
        };
        for boot in ["pcr4", "pcr9", "pcr11", "pcr12"] {
            refused(good(tee).under(boot, unchecked), "pcr8", boot);
            let claims = good(tee).under(boot, unchecked).under("pcr8", unchecked);
            refused(claims.clone(), "bound_to", boot);
            loaded(&claims.under("bound_to", unchecked)).unwrap();
        }
        // PCR 4 of zeros is of a firmware that measures nothing; the others may be left alone.
        let zeros = format!("\"{}\"", "00".repeat(32));
        refused(good(tee).under("pcr4", &zeros), "pcr8", "pcr4");
        loaded(&good(tee).under("pcr9", &zeros).under("pcr12", &zeros)).unwrap();
        loaded(&good(tee).under("pcr11", &zeros).under("pcr12", &zeros)).unwrap();
        // Somewhere the initial file system and the command line were measured: not both registers may be left alone, in no list either.
        refused(good(tee).under("pcr9", &zeros).under("pcr11", &zeros), "pcr8", "pcr9");
        let listed = format!("[\"{}\", {zeros}]", "3c".repeat(32));
        refused(good(tee).under("pcr9", &zeros).under("pcr11", &listed), "pcr8", "pcr9");
        // Without a unified kernel image and a command line of its own, what the boot loader was told stands in PCR 8.
        let by_grub = good(tee).under("pcr11", &zeros).under("pcr12", &zeros);
        refused(by_grub.clone().under("pcr8", unchecked), "bound_to", "pcr8");
        loaded(&by_grub).unwrap();
        let shown = format!("\"{}\"", "3c".repeat(32));
        loaded(&by_grub.under("pcr12", &shown).under("pcr8", unchecked)).unwrap();
        loaded(&good(tee).under("pcr12", &zeros).under("pcr8", unchecked)).unwrap();
        loaded(&good(tee).under("pcr9", &zeros).under("pcr8", unchecked)).unwrap();
        // Secure Boot says nothing without the keys under which it was.
        refused(good(tee).under("pcr7", unchecked), "pcr8", "pcr7");
        loaded(&good(tee).under("pcr7", unchecked).under("secure_boot", unchecked)).unwrap();
        let mut nothing_else = good(tee).claiming_nothing().under(code, unchecked);
        if tee == Tee::Tdx {
            for register in ["rtmr0", "rtmr1", "rtmr2"] {
                nothing_else = nothing_else.under(register, unchecked);
            }
        }
        refused(nothing_else.clone(), "pcr4", code);
        let mut open = nothing_else;
        for field in ["pcr4", "pcr7", "pcr9", "pcr11", "pcr12", "pcr8"] {
            refused(open.clone(), field, code);
            open = open.under(field, unchecked);
        }
        refused(open.clone(), "secure_boot", code);
        loaded(&open.under("secure_boot", unchecked)).unwrap();
    }
}

/// What whoever starts the guest binds to it is PCR 8, and nothing else says which workload it is.
#[test]
fn a_workload_is_claimed_by_the_initdata_that_the_register_names() {
    for tee in Tee::all() {
        let refused = |subject: Subject, why: &str| {
            let error = loaded(&subject).unwrap_err();
            assert_eq!(error.check(), Some("policy.bound-without-code"), "{tee}: {error}");
            assert!(error.to_string().contains(&format!("`bound_to` claims a workload, and `pcr8` {why}")), "{error}");
        };
        let (value, zeros) = (format!("\"{}\"", "3c".repeat(32)), format!("\"{}\"", "00".repeat(32)));
        for claim in ["\"workload\"", "\"pod\""] {
            let claims = |pcr8: &str| good(tee).under("bound_to", claim).under("pcr8", pcr8);
            loaded(&claims(&value)).unwrap();
            loaded(&claims(&format!("[{value}, \"{}\"]", "4d".repeat(32)))).unwrap();
            refused(claims("\"unchecked\""), "asks nothing: whoever starts the guest may bind what they like");
            refused(claims(&zeros), "also accepts zeros, which is a guest to which nothing was bound");
            refused(claims(&format!("[{value}, {zeros}]")), "also accepts zeros");
        }
        for pcr8 in ["\"unchecked\"", &zeros] {
            loaded(&good(tee).under("bound_to", "\"guest\"").under("pcr8", pcr8)).unwrap();
        }
    }
}

/// Under a paravisor nobody looks at the registers of the TD, which say nothing of the guest.
#[test]
fn the_registers_of_a_td_need_no_pin_under_a_paravisor() {
    let open = |subject: Subject| {
        let mut subject = subject;
        for field in ["rtmr0", "rtmr1", "rtmr2", "rtmr3", "mrconfigid", "mrowner", "mrownerconfig"] {
            subject = subject.under(field, "\"unchecked\"");
        }
        subject
    };
    open(good(Tee::Tdx)).accepted();
    let refused = loaded(&open(crate::subject::good(Tee::Tdx))).unwrap_err();
    assert_eq!(refused.check(), Some("policy.bound-without-code"));
}

/// Whoever reads the refusal learns in what the evidence came, and what a profile for it has to name.
#[test]
fn evidence_that_came_in_a_wrapping_without_a_profile_says_what_to_name() {
    for tee in Tee::all() {
        let mut subject = good(tee);
        subject.policy = crate::subject::good(tee).policy;
        let rejection = subject.rejected();
        assert_eq!(rejection.failed_checks(), ["policy.profile"]);
        let finding = rejection.report().finding(teegate_verifier::Check::POLICY_PROFILE).unwrap();
        assert_eq!(
            (finding.expected(), finding.actual()),
            (
                &*format!(
                    "a profile for {tee} whose evidence comes through the vTPM of an Azure confidential VM: one with \
                     `wrapping = \"azure-vtpm\"`"
                ),
                "none"
            )
        );
    }
}

/// Bare evidence of a paravisor's report would speak for whoever runs below it.
#[test]
fn a_raw_profile_that_names_a_paravisor_is_refused() {
    let known = "f57dc09a507c6ecd82369bffb600f0003792f4d99bc26e985ec0c266fc34faf3706faf814c9e61065768a6ff917c89ae";
    let neighbour = known.replace("89ae", "89af");
    let raw = |value: &str| loaded(&snp(|device| device).under("measurement", value));
    for value in [format!("\"{known}\""), format!("[\"{neighbour}\", \"{known}\"]")] {
        let refused = raw(&value).unwrap_err().to_string();
        assert!(refused.contains("`measurement` names a paravisor that carries other evidence"), "{refused}");
        loaded(&good(Tee::SevSnp).under("measurement", &value)).unwrap();
    }
    raw(&format!("\"{neighbour}\"")).unwrap();
}

/// Whoever makes evidence chooses its wrapping: the report out of a paravisor's is judged by the raw profile, and that names another code.
#[test]
fn the_report_out_of_a_paravisors_is_not_accepted_bare() {
    let wrapped = good(Tee::SevSnp);
    let mut bare = wrapped.clone();
    let report = bare.vtpm.take().unwrap();
    bare.evidence = report.sev_snp_report().to_vec();
    // No profile for bare evidence.
    assert_eq!(bare.rejected().failed_checks(), ["policy.profile"]);
    // A policy with both: one text, two profiles.
    let raw = snp(|device| device).under("measurement", &format!("\"{}\"", "33".repeat(48)));
    let both = format!("{}\n{}", raw.policy.to_toml(), {
        let text = wrapped.policy.to_toml();
        let at = text.find("[sev-snp.forged]").unwrap();
        let end = text.find("[tdx.forged]").unwrap();
        text[at..end].replace("[sev-snp.forged]", "[sev-snp.under-a-paravisor]")
    });
    let policy = Policy::parse(&both).unwrap();
    let pool = wrapped.pool.to_endorsements();
    let now = UnixTime::from_seconds(wrapped.now);
    let vtpm = wrapped.vtpm.as_ref().unwrap();
    teegate_verifier::verify(&teegate_verifier::Evidence::sev_snp_under_azure_vtpm(vtpm, &pool), &policy, now).unwrap();
    let taken_out = teegate_verifier::Evidence::sev_snp(vtpm.sev_snp_report(), &pool);
    let refused = teegate_verifier::verify(&taken_out, &policy, now).unwrap_err();
    assert!(refused.failed_checks().contains(&"snp.guest.measurement"), "{refused}");
}

#[test]
fn a_profile_that_claims_less_than_the_raw_one_says_why() {
    let raw = snp(|device| device).under("bound_to", "\"workload\"");
    let wrapped = good(Tee::SevSnp);
    let of = |more: &str| {
        let text = wrapped.policy.to_toml();
        let (at, end) = (text.find("[sev-snp.forged]").unwrap(), text.find("[tdx.forged]").unwrap());
        let profile = text[at..end].replace("[sev-snp.forged]", "[sev-snp.node]");
        Policy::parse(&format!("{}\n{profile}{more}", raw.policy.to_toml()))
    };
    let refused = of("").unwrap_err().to_string();
    assert!(refused.contains("[sev-snp.node] `bound_to` claims less than another profile"), "{refused}");
    let policy = of("weaker = \"nodes until March\"\n").unwrap();
    assert_eq!(policy.weakest_bound_to(), Some(BoundTo::Guest));
}

#[test]
fn shipped_templates_ask_for_the_values_of_both_tees_and_are_without_errors_once_filled() {
    for (name, text) in POLICIES.into_iter().filter(|(name, _)| name.starts_with("azure-")) {
        let draft = Draft::parse(text).unwrap();
        let needed: Vec<_> = draft.needed().iter().map(|one| format!("{}.{}", one.tee, one.field.name)).collect();
        let registers = if name == "azure-peer-pod" {
            vec!["pcr4", "pcr7", "pcr8", "pcr9", "pcr11", "pcr12"]
        } else {
            vec!["pcr4", "pcr7", "pcr9", "pcr11", "pcr12"]
        };
        let expected: Vec<_> = [("sev-snp", "measurement"), ("tdx", "mrtd")]
            .into_iter()
            .flat_map(|(tee, code)| {
                std::iter::once(code).chain(registers.iter().copied()).map(move |field| format!("{tee}.{field}"))
            })
            .collect();
        assert_eq!(needed, expected, "{name}");
        let (mut filled, mut from) = (String::new(), 0);
        for one in draft.needed() {
            let length = if one.field.name.starts_with("pcr") { 32 } else { 48 };
            filled.push_str(&text[from..one.span.start]);
            filled.push_str(&format!("\"{}\"", "3c".repeat(length)));
            from = one.span.end;
        }
        filled.push_str(&text[from..]);
        let policy = Policy::parse(&filled).unwrap();
        let claims = if name == "azure-peer-pod" { BoundTo::Workload } else { BoundTo::Guest };
        assert_eq!(policy.weakest_bound_to(), Some(claims), "{name}");
        let remarks = lint(&filled, &Default::default(), &SHIPPED).unwrap();
        assert!(remarks.iter().all(|remark| remark.severity != Severity::Error), "{name}: {remarks:?}");
    }
}

/// Each version of the JSON is the same evidence, and so is a bundle of it; an envelope holds it as a record.
#[test]
fn every_form_of_it_is_judged_alike() {
    use teegate_forge::azure::AzureBuilder;
    for tee in Tee::all() {
        let subject = good(tee);
        let vm = match tee {
            Tee::SevSnp => AzureBuilder::on_snp(crate::subject::SNP_DEVICE.clone()),
            _ => AzureBuilder::on_tdx(crate::subject::TDX_DEVICE.clone()),
        };
        let set = vm.build();
        let policy = subject.load_policy();
        let now = UnixTime::from_seconds(subject.now);
        for version in [0, 1, 2] {
            let found = evidence::recognise(set.coco_evidence(version).as_bytes(), None).unwrap();
            assert_eq!((found.tee, found.wrapping()), (tee, Wrapping::AzureVtpm), "version {version}");
            let mut pool = subject.pool.to_endorsements();
            pool.extend(&found.endorsements);
            let attested = teegate_verifier::verify(&found.as_evidence(&pool), &policy, now);
            let attested = attested.unwrap_or_else(|refused| panic!("{tee} version {version}: {refused}"));
            assert!(found.inspect().unwrap().iter().any(|(name, _)| *name == "pcr23"));

            let bundle = Bundle {
                kept: Kept::new(&found, []),
                policy: KeptPolicy { name: "p".to_owned(), text: subject.policy.to_toml() },
                at: now,
                report_data: None,
                recorded: Conclusion::of(attested.report()),
                creator: "this test".to_owned(),
            };
            let text = bundle.to_text().unwrap();
            let again = Bundle::parse(text.as_bytes()).unwrap();
            assert_eq!(again, bundle);
            let kept = again.kept.to_evidence();
            let mut pool = subject.pool.to_endorsements();
            pool.extend(&kept.endorsements);
            teegate_verifier::verify(&kept.as_evidence(&pool), &policy, now).unwrap();
        }
        // A paravisor's report alone can be looked at; it says nothing of the guest.
        let alone = evidence::recognise(&set.hcl_report, None).unwrap();
        assert!(alone.form.contains("without the quote"), "{}", alone.form);
        let facts = alone.inspect().unwrap();
        assert!(facts.iter().any(|(name, _)| *name == "vtpm_key"));
        if tee == Tee::SevSnp {
            let pool = subject.pool.to_endorsements();
            let refused = teegate_verifier::verify(&alone.as_evidence(&pool), &policy, now).unwrap_err();
            assert_eq!(refused.failed_checks(), ["hcl.quote"]);
        }
    }
}

/// `genuine`, for evidence under a paravisor.
pub(crate) fn genuine_under_a_paravisor() -> Policy {
    let genuine = Rewritten::of(teegate_measurements::GENUINE).unwrap().wrapped(Wrapping::AzureVtpm).unwrap();
    Policy::parse(&genuine.text()).unwrap()
}
