//! Whether an authentic report is wanted. Every rule is judged; every failure is shown.

use super::authenticate::Vouched;
use super::baseline::{self, Open};
use super::fields::FIELDS;
use super::profile::{BASELINE, Minimum, POLICY_BITS_RULED_ELSEWHERE, SnpProfile};
use super::report::Report;
use super::tcb::TcbVersion;
use crate::bytes::Mr;
use crate::check::Check;
use crate::findings::{Comparison, Findings};
use crate::judge::judge;
use crate::memory::{Memory, NO_MEMORY, Platform};
use crate::platform::Wanted;
use crate::report::Text;
use crate::rule::{Expect, Switch, Version, Waivable};
use crate::time::UnixTime;
use crate::words::{Value, words};

/// Judges every rule of the profile.
pub(crate) fn appraise(
    vouched: &Vouched<'_>,
    Wanted { profile, rules, workload, report_data, memory, .. }: Wanted<'_, SnpProfile>,
    findings: &mut Findings,
) {
    let report = vouched.report.get();
    judge_product(vouched, profile, findings);
    judge_tcb(vouched, profile, findings);
    judge_bulletins(vouched, profile, findings);
    judge_rollback(vouched, memory, findings);
    judge_firmware(report, profile, findings);
    judge_platform(report, findings);
    judge_launch_policy(report, profile, findings);
    for (row, rule) in FIELDS.iter().zip(rules.each()) {
        if let Some((check, shows)) = row.shows {
            judge(check, &rule, &shows(vouched), findings);
        }
    }
    judge_keys(report, profile, findings);
    match profile.report_data.judge(report_data, &workload.report_data) {
        None => findings.not_checked(
            Check::SNP_GUEST_REPORT_DATA,
            "report_data",
            "neither the policy nor the caller says which 64 bytes to expect",
        ),
        Some((holds, expected)) => findings.judge(
            holds,
            Comparison {
                check: Check::SNP_GUEST_REPORT_DATA,
                expected: expected.into(),
                actual: words!("{}", &workload.report_data.0),
            },
        ),
    }
}

fn judge_product(vouched: &Vouched<'_>, profile: &SnpProfile, findings: &mut Findings) {
    let denial = profile.denied_products.get(&vouched.product);
    let allowed = profile.products.contains(&vouched.product);
    let actual = match (denial, allowed) {
        (Some(reason), _) => format!("{}, denied: {reason}", vouched.product.name()).into(),
        (None, false) => words!("{}, which the policy does not name", vouched.product.name()),
        (None, true) => vouched.product.name().into(),
    };
    let expected = "a product that the policy names and does not deny".into();
    findings.judge(denial.is_none() && allowed, Comparison { check: Check::SNP_PRODUCT_DENIED, expected, actual });
}

fn judge_tcb(vouched: &Vouched<'_>, profile: &SnpProfile, findings: &mut Findings) {
    let tcb = &vouched.tcb;
    let all =
        [("reported", tcb.reported), ("committed", tcb.committed), ("launch", tcb.launch), ("current", tcb.current)];
    match &profile.minimum_tcb {
        Waivable::Unchecked => findings.not_checked(
            Check::SNP_TCB_MINIMUM,
            "minimum_tcb",
            words!("the policy names no minimum; reported is {}", tcb.reported),
        ),
        Waivable::Required(minima) => {
            let (holds, expected, actual) = match minima.get(&vouched.product) {
                None => (false, words!("a minimum for {} in the policy", vouched.product.name()), "none".into()),
                Some(Minimum(least)) => {
                    let below = all.iter().find(|(_, tcb)| !tcb.at_least(least));
                    let expected = words!("at least {}", *least);
                    (
                        below.is_none(),
                        expected,
                        below.map_or_else(
                            || words!("reported {}", tcb.reported),
                            |(name, tcb)| words!("{} {}", *name, *tcb),
                        ),
                    )
                }
            };
            findings.judge(holds, Comparison { check: Check::SNP_TCB_MINIMUM, expected, actual });
        }
    }

    judge_order(vouched, profile, findings);
}

/// Nothing is committed that does not run, in TCB and in firmware version; by policy, everything that runs is committed.
fn judge_order(vouched: &Vouched<'_>, profile: &SnpProfile, findings: &mut Findings) {
    let (tcb, report) = (&vouched.tcb, vouched.report.get());
    let (current, committed) = (report.current_firmware, report.committed_firmware);
    let strict = profile.committed_firmware.required().is_some();
    let complaint = if !tcb.current.at_least(&tcb.reported) {
        Some("reported exceeds current".to_owned())
    } else if !tcb.current.at_least(&tcb.committed) {
        Some("committed exceeds current".to_owned())
    } else if committed > current {
        Some(format!("committed firmware {committed} exceeds current {current}"))
    } else if strict && !tcb.committed.at_least(&tcb.reported) {
        Some("reported exceeds committed".to_owned())
    } else if strict && tcb.committed != tcb.current {
        Some("current is not committed".to_owned())
    } else if strict && committed != current {
        Some(format!("current firmware {current} is not committed, {committed} is"))
    } else {
        None
    };
    let expected = if strict {
        "reported <= committed == current, in TCB and firmware version"
    } else {
        "reported <= current, committed <= current, in TCB and firmware version (committed_firmware is unchecked)"
    };
    let holds = complaint.is_none();
    let actual = complaint.map_or("in order".into(), Text::from);
    findings.judge(holds, Comparison { check: Check::SNP_TCB_ORDER, expected: expected.into(), actual });
}

/// The bulletins that this platform has not answered, by AMD's own figures. They are stated whether or not the policy
/// judges them, as Intel's advisories are.
fn judge_bulletins(vouched: &Vouched<'_>, profile: &SnpProfile, findings: &mut Findings) {
    let now = findings.at();
    let rule = profile.bulletins.required();
    let baseline = rule.map_or(BASELINE, |rule| rule.baseline);
    let tcbs = [&vouched.tcb.reported, &vouched.tcb.current];
    let standing = baseline::standing(vouched.report.get(), vouched.product, tcbs, baseline, now);
    let facts = &mut findings.facts;
    facts.number("bulletin_baseline", baseline);
    facts.list("bulletins_open", standing.open.iter().map(|open| open.bulletin.to_owned()).collect());
    facts.list("bulletins_not_shown", standing.not_shown.iter().map(|id| (*id).to_owned()).collect());
    if let Some(warning) = baseline::unanswerable(vouched.product, now) {
        findings.warn(warning);
    }

    let in_words = |open: &Open| format!("{} ({}): {}", open.bulletin, open.fixes, open.shows);
    let Some(rule) = rule else {
        let open: Vec<_> = standing.open.iter().map(|open| open.bulletin).collect();
        let open = if open.is_empty() { "none that a report can show".to_owned() } else { open.join(", ") };
        findings.not_checked(
            Check::SNP_TCB_BULLETINS,
            "bulletins",
            format!("the policy does not ask which bulletins are open; open are {open}"),
        );
        return;
    };
    let grace_end = |open: &Open| {
        let seconds = u64::from(rule.grace_days).saturating_mul(86_400);
        UnixTime::from_seconds(open.published.seconds().saturating_add(seconds))
    };
    for coming in standing.coming.iter().filter(|coming| !rule.except.contains_key(coming.bulletin)) {
        findings.ends(grace_end(coming), format!("the time before {} (bulletins)", coming.bulletin));
    }
    let (in_grace, open): (Vec<_>, Vec<_>) = standing
        .open
        .iter()
        .filter(|open| !rule.except.contains_key(open.bulletin))
        .partition(|open| now < grace_end(open));
    for open in &in_grace {
        findings.ends(grace_end(open), format!("the grace for {} (bulletins)", open.bulletin));
    }
    let mut expected = format!("no bulletin of baseline {} open for {} days or more", rule.baseline, rule.grace_days);
    if !rule.except.is_empty() {
        let except: Vec<_> = rule.except.iter().map(|(id, reason)| format!("{id} ({reason})")).collect();
        expected.push_str(&format!(", but {}", except.join(", ")));
    }
    let actual = if open.is_empty() {
        format!("none; {} are answered by nothing that a report shows, and not judged", standing.not_shown.len())
    } else {
        open.iter().map(|open| in_words(open)).collect::<Vec<_>>().join("; ")
    };
    findings.judge(
        open.is_empty(),
        Comparison { check: Check::SNP_TCB_BULLETINS, expected: expected.into(), actual: actual.into() },
    );
}

/// The chip has shown no higher TCB before. A VLEK names no chip that could be remembered.
fn judge_rollback(vouched: &Vouched<'_>, memory: Option<&Memory>, findings: &mut Findings) {
    let Some(name) = vouched.chip.clone() else {
        findings.not_applicable(Check::SNP_TCB_ROLLBACK, "a VLEK names no chip that could be remembered");
        return;
    };
    let TcbVersion { fmc, bootloader, tee, snp, microcode } = vouched.tcb.reported;
    let tcb = fmc.into_iter().chain([bootloader, tee, snp, microcode]).map(u16::from).collect();
    let platform = Platform { name, tcb, at: findings.at() };
    match memory {
        None => findings.not_applicable(Check::SNP_TCB_ROLLBACK, NO_MEMORY),
        Some(memory) => {
            let complaint = memory.lower_component(&platform);
            let actual = complaint.clone().unwrap_or_else(|| "nothing higher was seen before".to_owned());
            let expected = "a reported TCB with no component below one seen before".into();
            findings.judge(
                complaint.is_none(),
                Comparison { check: Check::SNP_TCB_ROLLBACK, expected, actual: actual.into() },
            );
        }
    }
    findings.seen.platform = Some(platform);
}

fn judge_firmware(report: &Report<'_>, profile: &SnpProfile, findings: &mut Findings) {
    let (current, committed) = (report.current_firmware, report.committed_firmware);
    match &profile.minimum_firmware {
        Waivable::Unchecked => findings.not_checked(
            Check::SNP_FIRMWARE_MINIMUM,
            "minimum_firmware",
            words!("the policy names no minimum; current is {}, committed {}", current, committed),
        ),
        Waivable::Required(least) => {
            let holds = [current, committed]
                .iter()
                .all(|version| Version([version.major, version.minor, version.build]) >= *least);
            let actual = words!("current {}, committed {}", current, committed);
            let expected = format!("at least {least}").into();
            findings.judge(holds, Comparison { check: Check::SNP_FIRMWARE_MINIMUM, expected, actual });
        }
    }

    match (&profile.mitigations, report.mitigations) {
        (Waivable::Unchecked, _) => {
            findings.not_checked(Check::SNP_MITIGATIONS, "mitigations", "the policy requires no mitigation bits")
        }
        (Waivable::Required(mask), vectors) => {
            let holds =
                vectors.is_some_and(|[launch, current]| launch & mask.0 == mask.0 && current & mask.0 == mask.0);
            let actual = vectors.map_or_else(
                || format!("none: a report of version {} has no mitigation vectors", report.version),
                |[launch, current]| format!("launch {launch:#x}, current {current:#x}"),
            );
            findings.judge(
                holds,
                Comparison {
                    check: Check::SNP_MITIGATIONS,
                    expected: format!("{:#x} in both", mask.0).into(),
                    actual: actual.into(),
                },
            );
        }
    }
}

/// What the launch policy demands of the platform, which the firmware should have seen to.
fn judge_platform(report: &Report<'_>, findings: &mut Findings) {
    let info = report.platform_info;
    let shows = |bit: u32| info >> bit & 1 != 0;
    let complaint = if !report.policy_bit(16) && shows(0) {
        Some("SMT is on, which the launch policy forbids")
    } else if report.policy_bit(23) && !shows(3) {
        Some("RAPL is on, which the launch policy forbids")
    } else if report.policy_bit(24) && !shows(4) {
        Some("ciphertext hiding is off, which the launch policy demands")
    } else {
        None
    };
    let expected = "the platform that the launch policy demands".into();
    findings.judge(
        complaint.is_none(),
        Comparison { check: Check::SNP_PLATFORM_AGREES, expected, actual: complaint.unwrap_or("as demanded").into() },
    );
}

fn judge_launch_policy(report: &Report<'_>, profile: &SnpProfile, findings: &mut Findings) {
    let (debug, migration) = (report.policy_bit(19), report.policy_bit(18));
    let may = |switch: Switch, name: &'static str| {
        if switch == Switch::Allowed { words!("{} 0 or 1, as the policy allows", name) } else { words!("{} 0", name) }
    };
    findings.judge(
        !debug || profile.debug == Switch::Allowed,
        Comparison {
            check: Check::SNP_POLICY_DEBUG,
            expected: may(profile.debug, "DEBUG"),
            actual: if debug { "DEBUG 1" } else { "DEBUG 0" }.into(),
        },
    );
    findings.judge(
        !migration || profile.migration_agent == Switch::Allowed,
        Comparison {
            check: Check::SNP_POLICY_MIGRATION,
            expected: may(profile.migration_agent, "MIGRATE_MA"),
            actual: if migration { "MIGRATE_MA 1" } else { "MIGRATE_MA 0" }.into(),
        },
    );

    let flags = report.policy & !POLICY_BITS_RULED_ELSEWHERE;
    let [minor, major, ..] = report.policy.to_le_bytes();
    let abi = Version([major, minor]);
    let mut expected = Vec::new();
    let mut complaints = Vec::new();
    if let Waivable::Required(bits) = &profile.policy_flags {
        expected.push(bits.to_string());
        complaints.extend((!bits.admits(flags)).then(|| bits.complaint(flags)));
    }
    let (flags_ruled, abi_ruled) =
        (profile.policy_flags.required().is_some(), profile.minimum_abi.required().is_some());
    if flags_ruled != abi_ruled {
        expected.push(format!("({} is unchecked)", if flags_ruled { "minimum_abi" } else { "policy_flags" }));
    }
    if let Waivable::Required(least) = &profile.minimum_abi {
        expected.push(format!("ABI at least {least}"));
        if abi < *least {
            complaints.push(format!("ABI {abi}"));
        }
    }
    if expected.is_empty() {
        findings.not_checked(
            Check::SNP_POLICY_FLAGS,
            "policy_flags",
            words!("the policy asks nothing of the launch policy's flags; they are {}", Value::Bits(report.policy)),
        );
        return;
    }
    let actual = if complaints.is_empty() { format!("{:#x}", report.policy) } else { complaints.join(", ") };
    findings.judge(
        complaints.is_empty(),
        Comparison { check: Check::SNP_POLICY_FLAGS, expected: expected.join(", ").into(), actual: actual.into() },
    );
}

/// An author key digest that is set while no author key is in use, or the reverse, is refused even if none is expected.
fn judge_keys(report: &Report<'_>, profile: &SnpProfile, findings: &mut Findings) {
    let digest: &Mr = &report.author_key_digest;
    let consistent = report.author_key_enabled() == (digest.0 != [0; 48]);
    let met = profile.author_key.is_met_by(digest).unwrap_or(true);
    let expected = match &profile.author_key {
        Expect::Unchecked => "zero if and only if AUTHOR_KEY_EN is 0 (author_key is unchecked)".into(),
        expected => Text::from(format!("{expected}; zero if and only if AUTHOR_KEY_EN is 0")),
    };
    let actual = words!("{}, AUTHOR_KEY_EN {}", &digest.0, u8::from(report.author_key_enabled()));
    findings.judge(consistent && met, Comparison { check: Check::SNP_GUEST_AUTHOR_KEY, expected, actual });
}
