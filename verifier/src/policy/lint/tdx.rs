//! What is weak or contradicts itself in a profile for TDX quotes.

use std::collections::BTreeSet;

use super::{LONG_GRACE_DAYS, Lint, Severity};
use crate::report::BoundTo;
use crate::rule::Switch;
use crate::tdx::profile::{DecidingEvaluation, OLDEST_TCB_DATE, STANDARD_EVALUATION, StatusName, TdxProfile, Trailing};

impl Lint<'_> {
    pub(super) fn tdx(&mut self, profile: &TdxProfile) {
        use Severity::{Error, Note, Warning};
        self.waived(
            profile.bound_to.required().is_none(),
            Warning,
            "bound_to",
            "\"guest\", \"pod\" or \"workload\", as the pinned measurements admit",
        );
        if profile.trailing_bytes == Trailing::Any {
            self.say(Warning, "trailing_bytes", "bytes that nobody signed travel with the evidence", "\"zero\"");
        }
        self.waived(
            profile.ppids.required().is_none(),
            Note,
            "ppids",
            "the ids of your platforms, where you know them",
        );
        match profile.minimum_evaluation_number.required() {
            None => self.waived(true, Warning, "minimum_evaluation_number", "the number of the latest TCB recovery"),
            Some(own) if *own < STANDARD_EVALUATION => {
                let opens = format!(
                    "{own} is older than {STANDARD_EVALUATION}, the newest standard evaluation that this release knows: \
                     collateral from before a TCB recovery passes"
                );
                self.say(Warning, "minimum_evaluation_number", opens, format!("{STANDARD_EVALUATION} or more"));
            }
            Some(_) => {}
        }
        if profile.deciding_evaluation == DecidingEvaluation::Lowest {
            let opens = "whoever supplies the collateral may add an older evaluation, and it decides";
            self.say(
                Warning,
                "deciding_evaluation",
                opens,
                "\"highest\", or a `minimum_evaluation_number` that you keep raising",
            );
        }
        self.waived(profile.one_evaluation.required().is_none(), Warning, "one_evaluation", "\"required\"");
        self.waived(
            profile.max_collateral_age.required().is_none(),
            Severity::Note,
            "max_collateral_age",
            "{ days = 21 }",
        );
        self.statuses(profile);
        if let Some(floor) = profile.minimum_tcb_date.required()
            && floor.0 <= OLDEST_TCB_DATE
        {
            let opens = format!("no TCB level for TDX on record is dated before {OLDEST_TCB_DATE}: it refuses nothing");
            self.say(
                Warning,
                "minimum_tcb_date",
                opens,
                "a date from which on your platforms were updated, or \"unchecked\"",
            );
        }
        if profile.debug == Switch::Allowed {
            self.say(Error, "debug", "the host can read and change the TD's memory", "\"rejected\"");
        }
        if profile.profiling == Switch::Allowed {
            self.say(Error, "profiling", "the host can watch the TD run, instruction by instruction", "\"rejected\"");
        }
        let instead = "{ required = [\"sept-ve-disable\"], forbidden = [\"migratable\", \"perfmon\", \"tpa\"], unknown = \"rejected\" }";
        self.waived(profile.attributes.required().is_none(), Warning, "attributes", instead);
        self.bits(
            "attributes",
            &profile.attributes,
            &[("sept-ve-disable", "the host can raise exceptions in the TD by taking pages away")],
            &[("migratable", "a service TD can take the TD, with its memory, elsewhere")],
        );
        self.xfam(profile);
        self.waived(!profile.service_td.is_asked(), Warning, "service_td", "\"none\"");
        self.waived(!profile.mrtd.is_asked(), Error, "mrtd", "the measurement of your firmware");
        self.blanks("mrtd", &profile.mrtd, "the measurement of your firmware");
        for (field, rule) in [("rtmr0", &profile.rtmr0), ("rtmr1", &profile.rtmr1), ("rtmr2", &profile.rtmr2)] {
            self.waived(!rule.is_asked(), Warning, field, "the value that your image boots to");
            self.blanks(field, rule, "the value that your image boots to, unless its firmware measures it elsewhere");
        }
        if profile.bound_to.required() == Some(&BoundTo::Workload) {
            self.waived(
                !profile.mrconfigid.is_asked(),
                Warning,
                "mrconfigid",
                "the digest of what the host must bind, if the claim of a workload rests on it",
            );
        }
        self.report_data(&profile.report_data);
    }

    fn statuses(&mut self, profile: &TdxProfile) {
        let old =
            |status: &&StatusName| matches!(status, StatusName::OutOfDate | StatusName::OutOfDateConfigurationNeeded);
        match profile.tcb_status.required() {
            None => self.waived(true, Severity::Warning, "tcb_status", "[\"UpToDate\"]"),
            Some(statuses) => {
                if let Some(status) = statuses.iter().find(old) {
                    let opens = format!("`{status:?}` is a platform with published holes that an update closes");
                    self.say(
                        Severity::Warning,
                        "tcb_status",
                        opens,
                        "[\"UpToDate\"], and a status that you must take with `allowed_advisories` beside it",
                    );
                } else if statuses.iter().any(|status| *status != StatusName::UpToDate)
                    && profile.allowed_advisories.required().is_none()
                {
                    let opens = "a status beside UpToDate is taken, with every advisory that it may carry";
                    self.say(Severity::Warning, "allowed_advisories", opens, "the advisories that your code answers");
                }
            }
        }
        let days = profile.out_of_date_grace.days();
        if days > LONG_GRACE_DAYS {
            let opens =
                format!("a platform with published holes is taken for {days} days after the date of its TCB level");
            self.say(Severity::Warning, "out_of_date_grace", opens, format!("{{ days = {LONG_GRACE_DAYS} }} or less"));
        } else if days > 0 {
            let opens =
                format!("a platform that is out of date is taken for {days} days after the date of its TCB level");
            self.say(Severity::Note, "out_of_date_grace", opens, "\"none\", once the platforms are updated");
        }
        self.exceptions(profile);
        if let (Some(allowed), Some(denied)) =
            (profile.allowed_advisories.required(), profile.denied_advisories.required())
            && let denied = denied.iter().collect::<BTreeSet<_>>()
            && let Some(both) = allowed.iter().find(|advisory| denied.contains(advisory))
        {
            let opens = format!("`{}` is allowed and denied; the denial holds", both.0);
            self.say(Severity::Warning, "allowed_advisories", opens, "it in one list only");
        }
    }

    fn exceptions(&mut self, profile: &TdxProfile) {
        let denied: BTreeSet<_> = profile.denied_advisories.required().into_iter().flatten().map(|id| &id.0).collect();
        let allowed: Option<BTreeSet<_>> =
            profile.allowed_advisories.required().map(|list| list.iter().map(|id| &id.0).collect());
        let taken = profile.tcb_status.required();
        for (id, exception) in &profile.tcb_exceptions {
            if denied.contains(id) || allowed.as_ref().is_some_and(|allowed| !allowed.contains(id)) {
                let opens =
                    format!("{id} is excepted, and the lists of advisories refuse it: the exception lets in nothing");
                self.say(Severity::Warning, "tcb_exceptions", opens, "no exception, or the advisory not refused");
            } else if taken.is_some_and(|taken| exception.statuses.iter().all(|status| taken.contains(status))) {
                let opens = format!("`tcb_status` takes every status of the exception for {id}, whatever the advisory");
                self.say(Severity::Warning, "tcb_exceptions", opens, "no exception, or fewer statuses in `tcb_status`");
            } else {
                let opens = format!("a platform that is open to {id} is taken until {}", exception.until.0);
                self.say(Severity::Note, "tcb_exceptions", opens, "no exception, once the platforms are updated");
            }
        }
    }

    fn xfam(&mut self, profile: &TdxProfile) {
        let Some(rule) = profile.xfam.required() else {
            return self.waived(true, Severity::Warning, "xfam", "{ required = \"0x3\", allowed = \"0x6dbe7\" }");
        };
        let (required, allowed) = (rule.required.0, rule.allowed.0);
        if allowed == u64::MAX {
            let opens = "every feature may be on, also one of a processor to come that nobody has looked at";
            self.say(Severity::Warning, "xfam", opens, "what you can bear in `allowed`, such as \"0x6dbe7\"");
        } else if required == allowed {
            let opens = "exactly one value: the same TD on the next processor, with one more feature, is refused";
            self.say(Severity::Warning, "xfam", opens, "what you need in `required`, what you can bear in `allowed`");
        }
    }
}
