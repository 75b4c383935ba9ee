//! Whether an authentic vTPM is wanted. Every rule is judged; every failure is shown.

use super::authenticate::Vouched;
use super::claims::UserData;
use super::log;
use super::profile::VtpmProfile;
use crate::bytes::Pcr;
use crate::carriage::offered::Offered;
use crate::check::Check;
use crate::findings::{Comparison, Findings};
use crate::judge::{Rule, judge};
use crate::report::Text;
use crate::rule::{Expect, Shown};
use crate::words::words;

/// Judges every rule of the profile. `code` is the platform's rule about the launch measurement.
pub(crate) fn appraise(
    vouched: &Vouched<'_>,
    profile: &VtpmProfile,
    code: Option<Rule<'_>>,
    offered: Offered<'_>,
    event_log: Option<&[u8]>,
    findings: &mut Findings,
) {
    if let Some(rule) = code {
        judge(Check::HCL_LAUNCH, &rule, &Shown::bytes(offered.launch_measurement), findings);
    }
    judge_user_data(vouched, profile, findings);
    judge_secure_boot(vouched, profile, findings);
    judge_boot(vouched, profile, findings);
    let pcr8 = register(vouched, 8);
    match profile.pcr8.is_met_by(&pcr8) {
        None => findings.not_checked(
            Check::HCL_PCR_8,
            "pcr8",
            words!("the policy expects no particular value; it is {}", &pcr8.0),
        ),
        Some(holds) => {
            let (expected, actual) = (profile.pcr8.to_string().into(), words!("{}", &pcr8.0));
            findings.judge(holds, Comparison { check: Check::HCL_PCR_8, expected, actual });
        }
    }
    log::judge(vouched, profile, (event_log, offered.has_registers), findings);
}

/// The claims begin with what the quote holds, and go on with zeros.
fn judge_user_data(vouched: &Vouched<'_>, profile: &VtpmProfile, findings: &mut Findings) {
    if profile.user_data.required().is_none() {
        let why = "the policy takes evidence of version 1, whose claims need not hold the 64 bytes";
        return findings.not_checked(Check::HCL_USER_DATA, "user_data", why);
    }
    let extra_data = vouched.quote.get().extra_data;
    let (holds, actual): (bool, Text) = match &vouched.claims.user_data {
        UserData::Absent => (false, "no user-data".into()),
        UserData::Other(length) => (false, words!("{} characters that are not 128 hexadecimal digits", *length)),
        UserData::Bytes(bytes) => {
            let rest = bytes.strip_prefix(extra_data);
            (
                !extra_data.is_empty() && rest.is_some_and(|rest| rest.iter().all(|byte| *byte == 0)),
                words!("{}", &bytes[..]),
            )
        }
    };
    let expected = words!("{} and zeros", extra_data);
    findings.judge(holds, Comparison { check: Check::HCL_USER_DATA, expected, actual });
}

fn judge_secure_boot(vouched: &Vouched<'_>, profile: &VtpmProfile, findings: &mut Findings) {
    let said = match vouched.claims.secure_boot {
        Some(true) => "on",
        Some(false) => "off",
        None => "not said",
    };
    if profile.secure_boot.required().is_none() {
        let why = words!("the policy does not ask for it; the paravisor says: {}", said);
        return findings.not_checked(Check::HCL_SECURE_BOOT, "secure_boot", why);
    }
    let (expected, actual) = ("on".into(), said.into());
    findings.judge(
        vouched.claims.secure_boot == Some(true),
        Comparison { check: Check::HCL_SECURE_BOOT, expected, actual },
    );
}

/// One check about several fields: it names the first that does not hold, and those that nothing is asked of.
fn judge_boot(vouched: &Vouched<'_>, profile: &VtpmProfile, findings: &mut Findings) {
    let boot = profile.boot();
    let open: Vec<_> = boot.iter().filter(|(.., rule)| !rule.is_asked()).map(|(name, ..)| *name).collect();
    if open.len() == boot.len() {
        return findings.not_checked(Check::HCL_PCR_BOOT, "pcr4", "the policy expects no particular image");
    }
    let differs = |rule: &Expect<Pcr>, number| rule.is_met_by(&register(vouched, number)) == Some(false);
    let first = boot.into_iter().find(|(_, number, rule)| differs(rule, *number));
    let (expected, actual): (Text, Text) = match first {
        Some((name, number, rule)) => (format!("{name}: {rule}").into(), words!("{}", &register(vouched, number).0)),
        None if open.is_empty() => ("the named value in each register of the boot".into(), "the same".into()),
        None => (
            "the named value in each register of the boot".into(),
            format!("the same; unchecked: {}", open.join(", ")).into(),
        ),
    };
    findings.judge(first.is_none(), Comparison { check: Check::HCL_PCR_BOOT, expected, actual });
}

fn register(vouched: &Vouched<'_>, number: usize) -> Pcr {
    Pcr(vouched.registers.get(number).copied().unwrap_or_default())
}
