//! What is weak or contradicts itself in a profile for SEV-SNP reports, beyond what its table of fields says.

use teegate_verifier::{Ask, Profile, Severity, Shown, Value, Written};

use super::RemarkKind::{Contradiction, Lasting, Moot, Narrow, Nobody, Old, Wide};
use super::{Floors, LONG_GRACE_DAYS, Lint, names};

/// A digest or id of zeros.
fn is_none(value: &Value) -> bool {
    matches!(value, Value::Bytes(bytes) if bytes.iter().all(|byte| *byte == 0))
}

/// Whether zeros pass this rule, or a number of zero.
fn takes_none(ask: Option<&Ask>) -> bool {
    match ask {
        Some(Ask::OneOf(values)) => values.as_slice().iter().any(|value| is_none(value) || *value == Value::Number(0)),
        Some(Ask::AtLeast(least)) => *least == 0,
        _ => true,
    }
}

impl Lint<'_> {
    pub(super) fn sev_snp(&mut self, profile: &Profile, shipped: &Floors) {
        use Severity::{Error, Warning};
        self.products(profile);
        self.keys(profile);
        if let Some(Ask::Word(1, _)) = profile.ask("revocation") {
            let opens = "whoever hands in the evidence leaves the list out, and a revoked certificate passes";
            self.say(Warning, Wide, "revocation", opens, "\"required\"");
        }
        self.minimum_tcb(profile, shipped);
        self.bulletins(profile);
        self.minimum_firmware(profile, shipped);
        let must = [("alias-check-complete", "memory modules can alias memory (BadRAM, CVE-2024-21944)")];
        self.bits(profile, "platform_info", &must, &[]);
        self.allowed(profile, "debug", Error, "the host can read and change the guest's memory");
        let opens = "a migration agent can take the guest, with its memory, to a place of its choice";
        self.allowed(profile, "migration_agent", Warning, opens);
        if let Some(Ask::OneOf(levels)) = profile.ask("vmpl")
            && levels.as_slice().len() > 1
        {
            let opens = "what runs at the less privileged of these levels can claim to be the code of the other, so that they pin \
                         nothing";
            self.say(Warning, Wide, "vmpl", opens, "the one level of what you talk to, such as [0]");
        }
        self.id_block(profile);
        self.report_data(profile);
    }

    fn minimum_firmware(&mut self, profile: &Profile, shipped: &Floors) {
        let shown = |version: &Vec<u8>| Shown::Version(version.clone()).to_string();
        let instead = shipped
            .firmware
            .as_ref()
            .map_or_else(|| "a version".to_owned(), |shipped| format!("\"{}\" or later", shown(shipped)));
        match (profile.ask("minimum_firmware"), &shipped.firmware) {
            (Some(Ask::Version(own)), _) if own.first() == Some(&0) => {
                let opens = "firmware that knows SEV-SNP is of version 1 or later: it refuses nothing";
                self.say(Severity::Warning, Moot, "minimum_firmware", opens, instead);
            }
            (Some(Ask::Version(own)), Some(shipped)) if own < shipped => {
                let (own, shipped) = (shown(own), shown(shipped));
                let opens =
                    format!("{own} is older than the {shipped} of `strict`: with it passes what is known against it");
                self.say(Severity::Note, Old, "minimum_firmware", opens, instead);
            }
            (Some(Ask::Version(_)), _) => {}
            _ => self.waived(profile, "minimum_firmware", Severity::Note, &instead),
        }
    }

    /// What the ID block says, beside the keys that vouch for it.
    fn id_block(&mut self, profile: &Profile) {
        let [id_key, author_key] = ["id_key", "author_key"].map(|field| profile.ask(field));
        if let Some(Ask::OneOf(keys)) = id_key
            && keys.as_slice().iter().all(is_none)
        {
            let zeros = ["guest_svn", "family_id", "image_id", "author_key"];
            for field in zeros.into_iter().filter(|field| !takes_none(profile.ask(field))) {
                let opens = "an `id_key` of zeros says that there is no ID block, which then says zeros: nothing that is genuine is \
                             accepted";
                self.say(
                    Severity::Error,
                    Contradiction,
                    field,
                    opens,
                    "zeros, or the key that signed the ID block in `id_key`",
                );
            }
            return;
        }
        let no_author = matches!(author_key, Some(Ask::OneOf(keys)) if keys.as_slice().iter().any(is_none));
        if no_author && id_key == Some(&Ask::Nothing) {
            let opens = "zeros say that no author signed the ID key: the ID block may be anybody's";
            self.say(Severity::Warning, Nobody, "author_key", opens, "the key of your author, or your own in `id_key`");
        }
        if let Some(svn @ Ask::OneOf(_)) = profile.ask("guest_svn") {
            if takes_none(Some(svn)) {
                let opens = "0 is the lowest there is: the oldest guest under that key is taken";
                let instead = "{ at_least = … }, from the first release that you trust";
                self.say(Severity::Warning, Wide, "guest_svn", opens, instead);
            } else {
                let opens = "these and no other: a newer guest under that key is refused";
                self.say(Severity::Note, Narrow, "guest_svn", opens, "{ at_least = … }, if newer releases are as good");
            }
        }
    }

    fn products(&mut self, profile: &Profile) {
        let [listed, denied] = ["products", "denied_products"].map(|field| names(profile.ask(field)));
        if let Some(both) = listed.iter().find(|product| denied.contains(product)) {
            let opens = format!("`{both}` is listed and denied; the denial holds");
            self.say(Severity::Warning, Contradiction, "products", opens, "the list without it");
        }
        let takes_milan = listed.contains(&"milan") && !denied.contains(&"milan");
        let takes_vcek = names(profile.ask("signing_keys")).contains(&"vcek");
        if takes_milan && takes_vcek && profile.ask("chip_ids") == Some(&Ask::Nothing) {
            let opens = "`milan` is taken, and whoever has extracted a Milan chip's VCEK seed (AMD-SB-3045) signs reports of any TCB for \
                         that chip";
            let instead = "the list without `milan`, a denial with its reason, or your chips in `chip_ids`";
            self.say(Severity::Warning, Wide, "products", opens, instead);
        }
    }

    fn bulletins(&mut self, profile: &Profile) {
        let Some(Ask::NoneOpen { set, grace_days, except }) = profile.ask("bulletins") else { return };
        let written =
            profile.rules().iter().find(|(field, _)| field.name == "bulletins").map(|(field, _)| field.written);
        if let Some(Written::Bulletins { baseline: newest, .. }) = written
            && *set < newest
        {
            let opens = format!("baseline {set} is not the newest: bulletins that were added since are not judged");
            self.say(Severity::Warning, Old, "bulletins", opens, format!("baseline = {newest}"));
        }
        if *grace_days > LONG_GRACE_DAYS {
            let opens = format!("a hole may stay open for {grace_days} days after AMD published it");
            self.say(Severity::Warning, Lasting, "bulletins", opens, format!("grace_days = {LONG_GRACE_DAYS} or less"));
        }
        if !except.is_empty() {
            let opens = format!("excepted for ever: {}", except.join(", "));
            self.say(Severity::Note, Lasting, "bulletins", opens, "no exception, once the platforms have answered it");
        }
    }

    fn keys(&mut self, profile: &Profile) {
        if names(profile.ask("signing_keys")).contains(&"vlek") {
            let instead = "the providers whose VLEK you take, or no `vlek` in `signing_keys`";
            self.waived(profile, "csp_ids", Severity::Warning, instead);
        }
        let opens = "nobody can tell which chip made the report, nor refuse a chip that is known to leak";
        self.allowed(profile, "masked_chip_id", Severity::Warning, opens);
    }

    fn minimum_tcb(&mut self, profile: &Profile, shipped: &Floors) {
        let Some(Ask::Floors(minima)) = profile.ask("minimum_tcb") else { return };
        let mut products = names(profile.ask("products"));
        products.sort_unstable();
        products.dedup();
        for name in products {
            let Some(own) = minima.get(name) else {
                let opens =
                    format!("`{name}` is listed in `products` and has no floor here: all its evidence is refused");
                let instead = format!("a floor for `{name}`, or `products` without it");
                self.say(Severity::Warning, Contradiction, "minimum_tcb", opens, instead);
                continue;
            };
            let floor = shipped.tcb.get(name).into_iter().flatten();
            let part_of = |part: &str| own.iter().find(|(name, _)| *name == part).map_or(0, |(_, least)| *least);
            for (part, floor) in floor.filter(|(part, floor)| part_of(part) < *floor) {
                let opens = format!(
                    "`{part}` of `{name}` is {}, and `strict` asks {floor}: older firmware, with what is known against it, passes",
                    part_of(part)
                );
                self.say(Severity::Warning, Old, "minimum_tcb", opens, format!("{part} = {floor} or more"));
            }
        }
    }
}
