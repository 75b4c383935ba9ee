//! What is weak or contradicts itself in a profile for SEV-SNP reports.

use std::collections::{BTreeMap, BTreeSet};

use super::{Floors, LONG_GRACE_DAYS, Lint, Severity};
use crate::bytes::{BlockId, Mr};
use crate::policy::demand::spelt;
use crate::policy::pinned::is_single;
use crate::report::BoundTo;
use crate::rule::Expect;
use crate::rule::{Revocation, Switch, Version};
use crate::sev_snp::profile::{BASELINE, ProductName, SigningKeyName, SnpProfile, SnpTcbMinimum};

impl Lint<'_> {
    pub(super) fn sev_snp(&mut self, profile: &SnpProfile, shipped: &Floors) {
        use Severity::{Error, Warning};
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
        self.minimum_tcb(profile, &shipped.tcb);
        self.bulletins(profile);
        self.waived(profile.committed_firmware.required().is_none(), Warning, "committed_firmware", "\"required\"");
        self.minimum_firmware(profile, shipped.firmware);
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
        self.blanks("measurement", &profile.measurement, "the launch measurement of your image");
        self.blanks("report_id_ma", &profile.report_id_ma, "all ones for no agent, or the id of yours");
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
        if profile.vmpl.is_asked() && !is_single(&profile.vmpl) {
            let opens = "what runs at the less privileged of these levels can claim to be the code of the other, so that they pin \
                         nothing";
            self.say(Warning, "vmpl", opens, "the one level of what you talk to, such as [0]");
        }
        self.id_block(profile);
        self.report_data(&profile.report_data);
    }

    fn minimum_firmware(&mut self, profile: &SnpProfile, shipped: Option<Version<3>>) {
        let instead = shipped.map_or_else(|| "a version".to_owned(), |shipped| format!("\"{shipped}\" or later"));
        match (profile.minimum_firmware.required(), shipped) {
            (None, _) => self.waived(true, Severity::Note, "minimum_firmware", &instead),
            (Some(Version([0, ..])), _) => {
                let opens = "firmware that knows SEV-SNP is of version 1 or later: it refuses nothing";
                self.say(Severity::Warning, "minimum_firmware", opens, instead);
            }
            (Some(own), Some(shipped)) if *own < shipped => {
                let opens =
                    format!("{own} is older than the {shipped} of `strict`: with it passes what is known against it");
                self.say(Severity::Note, "minimum_firmware", opens, instead);
            }
            _ => {}
        }
    }

    /// What the ID block says, beside the keys that vouch for it.
    fn id_block(&mut self, profile: &SnpProfile) {
        let is_none = |value: &Mr| value.0 == [0; 48];
        let takes_none = |rule: &Expect<BlockId>| rule.is_met_by(&BlockId([0; 16])).unwrap_or(true);
        let (id_key, author_key, svn) = (&profile.id_key, &profile.author_key, &profile.guest_svn);
        if id_key.accepts_only(is_none) {
            let contradicts = [
                ("guest_svn", svn.is_met_by(&0).unwrap_or(true)),
                ("family_id", takes_none(&profile.family_id)),
                ("image_id", takes_none(&profile.image_id)),
                ("author_key", author_key.is_met_by(&Mr([0; 48])).unwrap_or(true)),
            ];
            for (field, _) in contradicts.iter().filter(|(_, takes)| !takes) {
                let opens = "an `id_key` of zeros says that there is no ID block, which then says zeros: nothing that is genuine is \
                             accepted";
                self.say(Severity::Error, field, opens, "zeros, or the key that signed the ID block in `id_key`");
            }
            return;
        }
        if author_key.accepted().unwrap_or_default().iter().any(is_none) && !id_key.is_asked() {
            let opens = "zeros say that no author signed the ID key: the ID block may be anybody's";
            self.say(Severity::Warning, "author_key", opens, "the key of your author, or your own in `id_key`");
        }
        match svn {
            Expect::Exactly(_) | Expect::AnyOf(_) if svn.is_met_by(&0) == Some(true) => {
                let opens = "0 is the lowest there is: the oldest guest under that key is taken";
                self.say(
                    Severity::Warning,
                    "guest_svn",
                    opens,
                    "{ at_least = … }, from the first release that you trust",
                );
            }
            Expect::Exactly(_) | Expect::AnyOf(_) => {
                let opens = "these and no other: a newer guest under that key is refused";
                self.say(Severity::Note, "guest_svn", opens, "{ at_least = … }, if newer releases are as good");
            }
            Expect::AtLeast(_) | Expect::Unchecked => {}
        }
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
