//! A policy in sentences, for a reader who has never seen one: what is asked, and of each field that is not, what that
//! leaves open.

use serde::Serialize;

use super::demand::Demand;
use super::document::Policy;
use crate::check::Tee;
use crate::report::BoundTo;

/// What a sentence is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// What an accepting verdict speaks for.
    Claim,
    /// Which hardware, and in which state.
    Hardware,
    /// Who vouches for it.
    Vouching,
    /// Which code runs.
    Code,
    /// For whom, and when, the evidence was made.
    Freshness,
}

/// One sentence of an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sentence {
    /// The profile that says so, such as `sev-snp.strict`; empty where the whole policy does.
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

impl Policy {
    /// This policy in sentences, profile by profile and topic by topic.
    pub fn explain(&self) -> Vec<Sentence> {
        let anchors = self.anchors();
        let mut sentences = Vec::new();
        let own = |vendor: &str, vendors: bool, pinned: usize| {
            if vendors {
                format!("A chain must end in a root of {vendor} that this release carries.")
            } else {
                format!(
                    "A chain must end in one of {pinned} roots that this file pins in place of {vendor}'s: whoever holds their keys can make evidence."
                )
            }
        };
        if let Some((name, profile)) = self.sev_snp() {
            let place = format!("sev-snp.{name}");
            sentences.push(bound_to(&place, profile.bound_to.required().copied()));
            sentences.push(Sentence {
                profile: place.clone(),
                field: "trust_anchors",
                topic: Topic::Vouching,
                asked: true,
                text: own("AMD", anchors.amd_is_vendors, anchors.amd.len()),
            });
            sentences
                .extend(profile.demands().iter().map(|(field, demand)| sentence(&place, Tee::SevSnp, field, demand)));
        }
        if let Some((name, profile)) = self.tdx() {
            let place = format!("tdx.{name}");
            sentences.push(bound_to(&place, profile.bound_to.required().copied()));
            sentences.push(Sentence {
                profile: place.clone(),
                field: "trust_anchors",
                topic: Topic::Vouching,
                asked: true,
                text: own("Intel", anchors.intel_is_vendors, anchors.intel.len()),
            });
            // What softens `tcb_status` refuses nothing where every status is taken.
            let takes_any = profile.tcb_status.required().is_none();
            let softens = |field: &str| matches!(field, "out_of_date_grace" | "tcb_exceptions");
            sentences.extend(profile.demands().iter().map(|(field, demand)| {
                let demand = if takes_any && softens(field) { &Demand::Nothing } else { demand };
                sentence(&place, Tee::Tdx, field, demand)
            }));
        }
        // Stable: within a topic the fields keep the order in which a policy is written.
        sentences.sort_by(|a, b| (&a.profile, a.topic).cmp(&(&b.profile, b.topic)));
        sentences
    }
}

fn bound_to(profile: &str, claim: Option<BoundTo>) -> Sentence {
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
        text: text.to_owned(),
    }
}

fn sentence(profile: &str, tee: Tee, field: &'static str, demand: &Demand) -> Sentence {
    let about = about(tee, field);
    let asked = !demand.is_waived();
    let text = if asked {
        format!("{} {}.", about.subject, demand.in_words())
    } else {
        format!("{}: not asked, so {}.", about.subject.trim_end_matches(','), about.open)
    };
    Sentence { profile: profile.to_owned(), field, topic: about.topic, asked, text }
}

/// A field in words.
pub(super) struct About {
    pub(super) topic: Topic,
    /// Begins a sentence.
    pub(super) subject: &'static str,
    /// What is left open where the field asks nothing.
    pub(super) open: &'static str,
}

/// What a field is about. A field without words of its own is a mistake, which a test would show.
pub(super) fn about(tee: Tee, field: &str) -> About {
    let fields = match tee {
        Tee::SevSnp => SNP,
        Tee::Tdx => TDX,
    };
    let (topic, subject, open) = fields
        .iter()
        .chain(BOTH)
        .find(|(name, ..)| *name == field)
        .map_or((Topic::Hardware, "A field", "anything"), |(_, topic, subject, open)| (*topic, *subject, *open));
    About { topic, subject, open }
}

type Row = (&'static str, Topic, &'static str, &'static str);

const BOTH: &[Row] = &[
    ("bound_to", Topic::Claim, "What accepted evidence speaks for", "no claim is made about which code it speaks for"),
    ("debug", Topic::Hardware, "A guest that the host may debug, and so read,", "the host can read what is sent"),
    (
        "report_data",
        Topic::Freshness,
        "The 64 bytes that the guest chose",
        "the evidence may be old, or made for somebody else, unless the caller names the bytes",
    ),
];

const SNP: &[Row] = &[
    ("products", Topic::Hardware, "The processor", "any generation is taken"),
    ("denied_products", Topic::Hardware, "The processor", "no generation is denied by name"),
    ("signing_keys", Topic::Vouching, "The kind of key that signs the report", "any kind is taken"),
    ("csp_ids", Topic::Vouching, "The cloud provider of a VLEK", "a VLEK of any provider is taken"),
    ("masked_chip_id", Topic::Hardware, "A report that hides its chip", "nobody can tell which chip it was"),
    ("chip_ids", Topic::Hardware, "The chip", "any chip is taken, also one whose key is known to have been extracted"),
    ("revocation", Topic::Vouching, "AMD's revocation list", "a certificate that AMD has revoked is taken"),
    (
        "max_collateral_age",
        Topic::Vouching,
        "AMD's revocation list",
        "whoever hands it in may choose one from before a revocation, as long as it has not run out",
    ),
    (
        "minimum_tcb",
        Topic::Hardware,
        "The security version of the firmware's components",
        "firmware with published holes is taken",
    ),
    (
        "bulletins",
        Topic::Hardware,
        "Of AMD's security bulletins, the platform",
        "any may be unanswered, and the report only lists them",
    ),
    ("committed_firmware", Topic::Hardware, "The committed firmware", "the operator can roll the firmware back"),
    ("minimum_firmware", Topic::Hardware, "The version of the SEV firmware", "any version is taken"),
    ("mitigations", Topic::Hardware, "The vector of mitigations, at launch and now,", "no mitigation has to be active"),
    ("platform_info", Topic::Hardware, "The platform", "aliased memory (BadRAM) and any other setting go unseen"),
    (
        "migration_agent",
        Topic::Hardware,
        "A guest that a migration agent may move, with its memory,",
        "an agent can take it anywhere",
    ),
    (
        "policy_flags",
        Topic::Hardware,
        "The guest's launch policy",
        "any launch policy is taken, short of debug and migration",
    ),
    ("minimum_abi", Topic::Hardware, "The firmware interface that the launch policy demands", "any is taken"),
    ("measurement", Topic::Code, "The launch measurement (MEASUREMENT)", "any code at all can run in the guest"),
    (
        "host_data",
        Topic::Code,
        "What the host bound at launch (HOST_DATA)",
        "the host can start the measured guest with a configuration of its own",
    ),
    ("guest_svn", Topic::Code, "The guest's security version", "an older guest of the same author is taken"),
    ("family_id", Topic::Code, "The family id of the ID block", "any is taken"),
    ("image_id", Topic::Code, "The image id of the ID block", "any is taken"),
    (
        "report_id_ma",
        Topic::Code,
        "The migration agent that the guest is bound to",
        "any agent is taken, where migration is",
    ),
    (
        "vmpl",
        Topic::Code,
        "The privilege level that asked for the report",
        "what runs below a paravisor can speak for it",
    ),
    ("id_key", Topic::Code, "The key that signed the ID block", "anybody can have signed it"),
    ("author_key", Topic::Code, "The key that signed the ID key", "anybody can have signed it"),
];

const TDX: &[Row] = &[
    ("trailing_bytes", Topic::Vouching, "Bytes behind the quote", "they can be anything"),
    (
        "ppids",
        Topic::Hardware,
        "The platform",
        "any platform is taken, also one whose key is known to have been extracted",
    ),
    (
        "minimum_evaluation_number",
        Topic::Vouching,
        "Intel's evaluation number",
        "collateral from before a TCB recovery hides what is known today",
    ),
    (
        "one_evaluation",
        Topic::Vouching,
        "The evaluation of TCB info and of QE identity",
        "an old judgement of the one stands beside a new one of the other",
    ),
    (
        "max_collateral_age",
        Topic::Vouching,
        "Each of TCB info, QE identity and the PCK CA's revocation list",
        "whoever hands them in may choose those from before a TCB recovery or a revocation, as long as they have not run out",
    ),
    (
        "max_root_crl_age",
        Topic::Vouching,
        "The revocation list of Intel's root",
        "whoever hands it in may choose one from before a revocation, as long as it has not run out",
    ),
    (
        "deciding_evaluation",
        Topic::Vouching,
        "Of several evaluations that are supplied, the one that decides",
        "any decides",
    ),
    (
        "out_of_date_grace",
        Topic::Hardware,
        "A platform that is out of date, beside the accepted statuses,",
        "it is accepted for ever",
    ),
    ("tcb_exceptions", Topic::Hardware, "A platform with another status than the accepted ones", "it is accepted"),
    (
        "tcb_status",
        Topic::Hardware,
        "Intel's judgement of the platform (TCB status)",
        "every status but Revoked is taken, also OutOfDate",
    ),
    (
        "allowed_advisories",
        Topic::Hardware,
        "An advisory that the platform is open to",
        "it may be open to any that its status admits",
    ),
    ("denied_advisories", Topic::Hardware, "An advisory that the platform is open to", "none is denied by name"),
    ("minimum_tcb_date", Topic::Hardware, "The date of the platform's TCB level", "a level of any date is taken"),
    ("profiling", Topic::Hardware, "A TD that the host may profile", "the host can watch it run"),
    ("attributes", Topic::Hardware, "The TD", "migration, performance counters and missing SEPT_VE_DISABLE go unseen"),
    ("xfam", Topic::Hardware, "The extended features of the TD (XFAM)", "any feature may be on"),
    ("service_td", Topic::Code, "The service TD (MRSERVICETD)", "a service TD of anybody's can act on this one"),
    ("mrtd", Topic::Code, "The measurement of the firmware (MRTD)", "any firmware, and so any code, can run in the TD"),
    (
        "rtmr0",
        Topic::Code,
        "RTMR0 (firmware settings and ACPI tables)",
        "the host can supply ACPI tables, which are code (BadAML)",
    ),
    ("rtmr1", Topic::Code, "RTMR1 (kernel)", "any kernel can run"),
    ("rtmr2", Topic::Code, "RTMR2 (command line and initrd)", "any command line and initrd can run"),
    ("rtmr3", Topic::Code, "RTMR3 (what the guest extends itself)", "what the guest adds at run time goes unseen"),
    ("mrseam", Topic::Vouching, "The TDX module (MRSEAM)", "any module that Intel signed and judges is taken"),
    (
        "mrconfigid",
        Topic::Code,
        "The configuration that the host bound (MRCONFIGID)",
        "the host can start the measured TD with a configuration of its own",
    ),
    ("mrowner", Topic::Code, "The owner that the host named (MROWNER)", "any owner is taken"),
    ("mrownerconfig", Topic::Code, "The owner's configuration (MROWNERCONFIG)", "any is taken"),
    (
        "event_log",
        Topic::Code,
        "The event log of the boot",
        "it may be missing; one that is supplied must replay all the same",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    const GENUINE: &str = include_str!("../../../measurements/policy/genuine.toml");

    #[test]
    fn every_field_of_a_policy_has_its_sentence_and_no_other() {
        let sentences = Policy::parse(GENUINE).unwrap().explain();
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
        let sentences = Policy::parse(GENUINE).unwrap().explain();
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
}
