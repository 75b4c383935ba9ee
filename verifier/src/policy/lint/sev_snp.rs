//! What is weak or contradicts itself in a profile for SEV-SNP reports.

use std::collections::{BTreeMap, BTreeSet};

use super::{LONG_GRACE_DAYS, Lint, Severity};
use crate::findings::BoundTo;
use crate::policy::demand::spelt;
use crate::policy::rule::{Revocation, Switch};
use crate::policy::sev_snp::{BASELINE, ProductName, SigningKeyName, SnpProfile, SnpTcbMinimum};

impl Lint<'_> {
    pub(super) fn sev_snp(&mut self, profile: &SnpProfile, shipped: &BTreeMap<ProductName, SnpTcbMinimum>) {
        use Severity::{Error, Note, Warning};
        self.waived(
            profile.bound_to.required().is_none(),
            Warning,
            "bound_to",
            "\"guest\", \"pod\" or \"workload\", as the pinned measurement admits",
        );
        self.products(profile);
        self.keys(profile);
        match profile.revocation {
            Revocation::Required => {}
            Revocation::IfSupplied => self.say(
                Warning,
                "revocation",
                "whoever hands in the evidence leaves the list out, and a revoked certificate passes",
                "\"required\"",
            ),
            Revocation::Unchecked => self.waived(true, Warning, "revocation", "\"required\""),
        }
        self.minimum_tcb(profile, shipped);
        self.bulletins(profile);
        self.waived(profile.committed_firmware.required().is_none(), Warning, "committed_firmware", "\"required\"");
        self.waived(
            profile.minimum_firmware.required().is_none(),
            Note,
            "minimum_firmware",
            "a version such as \"1.55.29\"",
        );
        let instead = "{ required = [\"alias-check-complete\"], forbidden = [], unknown = \"rejected\" }";
        self.waived(profile.platform_info.required().is_none(), Warning, "platform_info", instead);
        self.bits(
            "platform_info",
            &profile.platform_info,
            &[("alias-check-complete", "memory modules can alias memory (BadRAM, CVE-2024-21944)")],
            &[],
        );
        if profile.debug == Switch::Allowed {
            self.say(Error, "debug", "the host can read and change the guest's memory", "\"rejected\"");
        }
        if profile.migration_agent == Switch::Allowed {
            self.say(
                Warning,
                "migration_agent",
                "a migration agent can take the guest, with its memory, to a place of its choice",
                "\"rejected\"",
            );
        }
        self.waived(!profile.measurement.is_asked(), Error, "measurement", "the launch measurement of your image");
        if profile.bound_to.required() == Some(&BoundTo::Workload) {
            self.waived(
                !profile.host_data.is_asked(),
                Warning,
                "host_data",
                "the digest of what the host must bind, if the claim of a workload rests on it",
            );
        }
        self.waived(
            !profile.vmpl.is_asked(),
            Warning,
            "vmpl",
            "[0], or the level of your guest's kernel below a paravisor",
        );
        self.report_data(&profile.report_data);
    }

    fn products(&mut self, profile: &SnpProfile) {
        let listed = &profile.products;
        if let Some(both) = listed.iter().find(|product| profile.denied_products.contains_key(product)) {
            let opens = format!("`{}` is listed and denied; the denial holds", spelt(both));
            self.say(Severity::Warning, "products", opens, "the list without it");
        }
        let takes_milan =
            listed.contains(&ProductName::Milan) && !profile.denied_products.contains_key(&ProductName::Milan);
        if takes_milan && profile.signing_keys.contains(&SigningKeyName::Vcek) && profile.chip_ids.required().is_none()
        {
            let opens = "`milan` is taken, and whoever has extracted a Milan chip's VCEK seed (AMD-SB-3045) signs reports of any TCB for \
                         that chip";
            self.say(
                Severity::Warning,
                "products",
                opens,
                "the list without `milan`, a denial with its reason, or your chips in `chip_ids`",
            );
        }
    }

    fn bulletins(&mut self, profile: &SnpProfile) {
        let newest = format!("{{ baseline = {BASELINE}, grace_days = 0, except = {{}} }}");
        let Some(rule) = profile.bulletins.required() else {
            return self.waived(true, Severity::Warning, "bulletins", &newest);
        };
        if rule.baseline < BASELINE {
            let opens =
                format!("baseline {} is not the newest: bulletins that were added since are not judged", rule.baseline);
            self.say(Severity::Warning, "bulletins", opens, format!("baseline = {BASELINE}"));
        }
        if rule.grace_days > LONG_GRACE_DAYS {
            let opens = format!("a hole may stay open for {} days after AMD published it", rule.grace_days);
            self.say(Severity::Warning, "bulletins", opens, format!("grace_days = {LONG_GRACE_DAYS} or less"));
        }
        if !rule.except.is_empty() {
            let ids = rule.except.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            self.say(
                Severity::Note,
                "bulletins",
                format!("excepted for ever: {ids}"),
                "no exception, once the platforms have answered it",
            );
        }
    }

    fn keys(&mut self, profile: &SnpProfile) {
        let vlek = profile.signing_keys.contains(&SigningKeyName::Vlek);
        self.waived(
            vlek && profile.csp_ids.required().is_none(),
            Severity::Warning,
            "csp_ids",
            "the providers whose VLEK you take, or no `vlek` in `signing_keys`",
        );
        if profile.masked_chip_id == Switch::Allowed {
            self.say(
                Severity::Warning,
                "masked_chip_id",
                "nobody can tell which chip made the report, nor refuse a chip that is known to leak",
                "\"rejected\"",
            );
        }
        self.waived(
            profile.chip_ids.required().is_none(),
            Severity::Note,
            "chip_ids",
            "the ids of your chips, where you know them",
        );
    }

    fn minimum_tcb(&mut self, profile: &SnpProfile, shipped: &BTreeMap<ProductName, SnpTcbMinimum>) {
        let Some(minima) = profile.minimum_tcb.required() else {
            return self.waived(true, Severity::Warning, "minimum_tcb", "a floor for each product, as in `strict`");
        };
        for product in profile.products.iter().collect::<BTreeSet<_>>() {
            let name = spelt(product);
            let Some(own) = minima.get(product) else {
                let opens =
                    format!("`{name}` is listed in `products` and has no floor here: all its evidence is refused");
                self.say(
                    Severity::Warning,
                    "minimum_tcb",
                    opens,
                    format!("a floor for `{name}`, or `products` without it"),
                );
                continue;
            };
            let Some(floor) = shipped.get(product) else { continue };
            let parts = [
                ("fmc", own.fmc.unwrap_or(0), floor.fmc.unwrap_or(0)),
                ("bootloader", own.bootloader, floor.bootloader),
                ("tee", own.tee, floor.tee),
                ("snp", own.snp, floor.snp),
                ("microcode", own.microcode, floor.microcode),
            ];
            for (part, own, floor) in parts.into_iter().filter(|(_, own, floor)| own < floor) {
                let opens = format!(
                    "`{part}` of `{name}` is {own}, and `strict` asks {floor}: older firmware, with what is known against it, passes"
                );
                self.say(Severity::Warning, "minimum_tcb", opens, format!("{part} = {floor} or more"));
            }
        }
    }
}
