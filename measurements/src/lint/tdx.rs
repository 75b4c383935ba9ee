//! What is weak or contradicts itself in a profile for TDX quotes, beyond what its table of fields says.

use std::collections::BTreeMap;
use teegate_verifier::{Ask, Profile, Severity, UnixTime, Value, Values, Wrapping};

use super::RemarkKind::{Allowed, Contradiction, Lasting, Moot, Narrow, Old, Unasked, Wide};
use super::{LONG_GRACE_DAYS, Lint, is_allowed, names};

/// The newest evaluation on record that Intel served as its standard one: TCB info issued on 2026-08-13 and QE identity issued
/// on 2026-10-07, both 20. (21 is on record since 2026-06-12, as the early one.)
pub(super) const STANDARD_EVALUATION: u64 = 20;

/// 2018-01-04T00:00:00Z, the earliest date of a TCB level in the collateral for TDX on record, that of the lowest level of each
/// platform.
const OLDEST_TCB_DATE: UnixTime = UnixTime::from_seconds(1_515_024_000);

impl Lint<'_> {
    pub(super) fn tdx(&mut self, profile: &Profile) {
        use Severity::{Error, Warning};
        if profile.ask("trailing_bytes").is_some_and(is_allowed) {
            self.say(
                Warning,
                Allowed,
                "trailing_bytes",
                "bytes that nobody signed travel with the evidence",
                "\"zero\"",
            );
        }
        if let Some(Ask::AtLeast(own)) = profile.ask("minimum_evaluation_number")
            && *own < STANDARD_EVALUATION
        {
            let opens = format!(
                "{own} is older than {STANDARD_EVALUATION}, the newest standard evaluation that this release knows: collateral \
                 from before a TCB recovery passes"
            );
            self.say(Warning, Old, "minimum_evaluation_number", opens, format!("{STANDARD_EVALUATION} or more"));
        }
        if profile.ask("deciding_evaluation").is_some_and(is_allowed) {
            let opens = "whoever supplies the collateral may add an older evaluation, and it decides";
            let instead = "\"highest\", or a `minimum_evaluation_number` that you keep raising";
            self.say(Warning, Wide, "deciding_evaluation", opens, instead);
        }
        self.statuses(profile);
        if let Some(Ask::NotBefore(floor)) = profile.ask("minimum_tcb_date")
            && *floor <= OLDEST_TCB_DATE
        {
            let opens = format!("no TCB level for TDX on record is dated before {OLDEST_TCB_DATE}: it refuses nothing");
            let instead = "a date from which on your platforms were updated, or \"unchecked\"";
            self.say(Warning, Moot, "minimum_tcb_date", opens, instead);
        }
        self.allowed(profile, "debug", Error, "the host can read and change the TD's memory");
        self.allowed(profile, "profiling", Error, "the host can watch the TD run, instruction by instruction");
        self.bits(
            profile,
            "attributes",
            &[("sept-ve-disable", "the host can raise exceptions in the TD by taking pages away")],
            &[("migratable", "a service TD can take the TD, with its memory, elsewhere")],
        );
        self.xfam(profile);
        self.acpi_tables(profile);
        self.report_data(profile);
    }

    /// Tables that the host supplies and the guest runs. Zeros in RTMR0 are of a firmware that measured none there.
    fn acpi_tables(&mut self, profile: &Profile) {
        if let Some((field, reason)) = profile.borne() {
            let opens = format!(
                "the host chooses ACPI tables, which are code (BadAML), and RTMR0 shows none of them: {reason}"
            );
            let instead = "nothing: leave it out, and name the RTMR0 of a firmware that measures them";
            return self.say(Severity::Warning, Allowed, field, opens, instead);
        }
        let is_zeros = |value: &Value| matches!(value, Value::Bytes(bytes) if bytes.iter().all(|byte| *byte == 0));
        if let Some(Ask::OneOf(values)) = profile.ask("rtmr0")
            && profile.wrapping() == Wrapping::Raw
            && values.as_slice().iter().any(is_zeros)
        {
            let opens = "zeros: the firmware measured no ACPI tables there, which are code that the host supplies (BadAML), so that nobody \
                         judges them";
            self.say(Severity::Warning, Wide, "rtmr0", opens, "the value of a firmware that measures them");
        }
    }

    fn statuses(&mut self, profile: &Profile) {
        let taken = names(profile.ask("tcb_status"));
        if let Some(status) = taken.iter().find(|status| status.starts_with("OutOfDate")) {
            let opens = format!("`{status}` is a platform with published holes that an update closes");
            let instead = "[\"UpToDate\"], and a status that you must take with `allowed_advisories` beside it";
            self.say(Severity::Warning, Wide, "tcb_status", opens, instead);
        } else if taken.iter().any(|status| *status != "UpToDate")
            && profile.ask("allowed_advisories") == Some(&Ask::Nothing)
        {
            let opens = "a status beside UpToDate is taken, with every advisory that it may carry";
            self.say(Severity::Warning, Unasked, "allowed_advisories", opens, "the advisories that your code answers");
        }
        if let Some(Ask::AtMostDays(days @ 1..)) = profile.ask("out_of_date_grace") {
            if *days > LONG_GRACE_DAYS {
                let opens =
                    format!("a platform with published holes is taken for {days} days after the date of its TCB level");
                let instead = format!("{{ days = {LONG_GRACE_DAYS} }} or less");
                self.say(Severity::Warning, Lasting, "out_of_date_grace", opens, instead);
            } else {
                let opens =
                    format!("a platform that is out of date is taken for {days} days after the date of its TCB level");
                self.say(
                    Severity::Note,
                    Lasting,
                    "out_of_date_grace",
                    opens,
                    "\"none\", once the platforms are updated",
                );
            }
        }
        if let Some(Ask::Exceptions(exceptions)) = profile.ask("tcb_exceptions") {
            self.exceptions(profile, exceptions);
        }
        if let [Some(Ask::OneOf(allowed)), Some(Ask::NoneOf(denied))] = advisories(profile)
            && let Some(both) = allowed.as_slice().iter().find(|advisory| denied.contains(advisory))
        {
            let opens = format!("`{both}` is allowed and denied; the denial holds");
            self.say(Severity::Warning, Contradiction, "allowed_advisories", opens, "it in one list only");
        }
    }

    fn exceptions(&mut self, profile: &Profile, exceptions: &BTreeMap<String, (Values, UnixTime)>) {
        let taken = if let Some(Ask::OneOf(taken)) = profile.ask("tcb_status") { Some(taken) } else { None };
        for (id, (statuses, until)) in exceptions {
            let name = Value::Name(id.clone());
            let refused = advisories(profile).into_iter().flatten().any(|list| match list {
                Ask::OneOf(allowed) => !allowed.contains(&name),
                Ask::NoneOf(denied) => denied.contains(&name),
                _ => false,
            });
            if refused {
                let opens =
                    format!("{id} is excepted, and the lists of advisories refuse it: the exception lets in nothing");
                self.say(Severity::Warning, Moot, "tcb_exceptions", opens, "no exception, or the advisory not refused");
            } else if taken.is_some_and(|taken| statuses.are_within(taken)) {
                let opens = format!("`tcb_status` takes every status of the exception for {id}, whatever the advisory");
                self.say(
                    Severity::Warning,
                    Moot,
                    "tcb_exceptions",
                    opens,
                    "no exception, or fewer statuses in `tcb_status`",
                );
            } else {
                let opens = format!("a platform that is open to {id} is taken until {until}");
                self.say(
                    Severity::Note,
                    Lasting,
                    "tcb_exceptions",
                    opens,
                    "no exception, once the platforms are updated",
                );
            }
        }
    }

    fn xfam(&mut self, profile: &Profile) {
        let Some(Ask::Mask { required, allowed }) = profile.ask("xfam") else { return };
        if *allowed == u64::MAX {
            let opens = "every feature may be on, also one of a processor to come that nobody has looked at";
            let instead = "what you can bear in `allowed`, such as \"0x6dbe7\"";
            self.say(Severity::Warning, Wide, "xfam", opens, instead);
        } else if required == allowed {
            let opens = "exactly one value: the same TD on the next processor, with one more feature, is refused";
            let instead = "what you need in `required`, what you can bear in `allowed`";
            self.say(Severity::Warning, Narrow, "xfam", opens, instead);
        }
    }
}

/// What is asked of advisories: the only ones, and those that are denied.
fn advisories(profile: &Profile) -> [Option<&Ask>; 2] {
    ["allowed_advisories", "denied_advisories"].map(|field| profile.ask(field))
}
