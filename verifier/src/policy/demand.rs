//! What one field of a profile accepts, in one form for all fields, so that it can be said in words and compared.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};

use super::names::Names;
use crate::rule::Expect;
use crate::rule::{Age, Bits, Mask, ReportDataRule, Revocation, Switch, Unknown, Version, Waivable};
use crate::sev_snp::profile::{SigningKeyName, SnpProfile};
use crate::tdx::profile::{DecidingEvaluation, EventLog, TdxProfile, Trailing};

/// What one field accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// Everything: the policy says `unchecked`.
    Nothing,
    /// One of these and nothing else.
    OneOf(Names),
    /// Everything but these.
    NoneOf(Names),
    /// A number, or something later than it; shown as the text.
    AtLeast(u64, String),
    /// A version, its first part first.
    Version(Vec<u8>, String),
    /// A floor of components for each product; a product without one is refused.
    Floors(BTreeMap<String, Vec<(&'static str, u8)>>),
    /// None of a set of named things, but those excepted, and each only from so many days on; the number names the set.
    NoneOpen { set: u32, grace_days: u32, except: Names },
    /// Nothing beside what another field lists, but what each of these lets in: by name, what, and until when.
    Exceptions(BTreeMap<String, (Names, u64, String)>),
    /// At most so many days.
    AtMostDays(u32),
    /// Issued at most so many days ago.
    Age(u32),
    /// Bits by name.
    Bits { required: Names, forbidden: Names, unknown_refused: bool },
    /// Bits that must be 1, and those that may be.
    Mask { required: u64, allowed: u64 },
    /// The 64 bytes that the caller names; nothing where none are named.
    Caller,
    /// A word of a scale: what a higher rank accepts, every lower one accepts too.
    Word(u8, &'static str),
}

impl Demand {
    /// Whether everything is accepted.
    pub(super) fn is_waived(&self) -> bool {
        matches!(self, Self::Nothing) || matches!(self, Self::NoneOf(denied) if denied.is_empty())
    }

    /// Whether all that `other` accepts is accepted here as well.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (own, other) if own == other || own.is_waived() => true,
            (Self::OneOf(own), Self::OneOf(other)) => other.are_within(own),
            (Self::NoneOf(own), Self::NoneOf(other)) => own.are_within(other),
            (Self::AtLeast(own, _), Self::AtLeast(other, _)) => own <= other,
            (Self::AtLeast(least, _), Self::OneOf(values)) => {
                values.iter().all(|value| value.parse::<u64>().is_ok_and(|value| value >= *least))
            }
            (Self::Version(own, _), Self::Version(other, _)) => own <= other,
            (Self::Floors(own), Self::Floors(other)) => other.iter().all(|(product, floor)| {
                own.get(product)
                    .is_some_and(|least| least.iter().zip(floor).all(|((_, least), (_, floor))| least <= floor))
            }),
            (
                Self::Bits { required, forbidden, unknown_refused },
                Self::Bits { required: asked, forbidden: denied, unknown_refused: refused },
            ) => required.are_within(asked) && forbidden.are_within(denied) && (!unknown_refused || *refused),
            (Self::Mask { required, allowed }, Self::Mask { required: asked, allowed: may }) => {
                required & !asked == 0 && may & !allowed == 0
            }
            (Self::Word(own, _), Self::Word(other, _)) => own <= other,
            (
                Self::NoneOpen { set, grace_days, except },
                Self::NoneOpen { set: other_set, grace_days: other_days, except: others },
            ) => set <= other_set && grace_days >= other_days && others.are_within(except),
            (Self::AtMostDays(own), Self::AtMostDays(other)) | (Self::Age(own), Self::Age(other)) => own >= other,
            (Self::Exceptions(own), Self::Exceptions(other)) => other.iter().all(|(name, (statuses, until, _))| {
                own.get(name).is_some_and(|(own, own_until, _)| statuses.are_within(own) && own_until >= until)
            }),
            _ => false,
        }
    }

    /// The demand, to stand behind its subject.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Nothing => "is not asked".to_owned(),
            Self::OneOf(values) => match values.as_slice() {
                [] => "may be nothing at all: the list is empty".to_owned(),
                [value] => format!("must be {value}"),
                values => format!("must be one of {}", values.join(", ")),
            },
            Self::NoneOf(values) if values.is_empty() => "may be any".to_owned(),
            Self::NoneOf(values) => format!("must not be {}", values.join(" or ")),
            Self::AtLeast(_, text) | Self::Version(_, text) => format!("must be at least {text}"),
            Self::Floors(floors) => {
                let floor = |(product, parts): (&String, &Vec<(&str, u8)>)| {
                    let parts: Vec<_> = parts.iter().map(|(name, least)| format!("{name} {least}")).collect();
                    format!("{} on {product}", parts.join(" "))
                };
                format!("must be at least {}", floors.iter().map(floor).collect::<Vec<_>>().join("; "))
            }
            Self::Bits { required, forbidden, unknown_refused } => {
                let mut asked = Vec::new();
                if !required.is_empty() {
                    asked.push(format!("must show {}", required.join(", ")));
                }
                if !forbidden.is_empty() {
                    asked.push(format!("must not show {}", forbidden.join(", ")));
                }
                if *unknown_refused {
                    asked.push("may show no bit that this release has no name for".to_owned());
                }
                asked.join("; ")
            }
            Self::Mask { required, allowed: u64::MAX } => format!("must contain the bits {required:#x}"),
            Self::Mask { required, allowed } => {
                format!("must contain the bits {required:#x} and none outside {allowed:#x}")
            }
            Self::Caller => "must be the 64 bytes that the caller names; without them nothing is accepted".to_owned(),
            Self::Word(_, words) => (*words).to_owned(),
            Self::NoneOpen { set, grace_days, except } => {
                let but = if except.is_empty() { String::new() } else { format!(", but {}", except.join(", ")) };
                match grace_days {
                    0 => format!("may leave none open, by baseline {set}{but}"),
                    days => format!("may leave none open for {days} days or more, by baseline {set}{but}"),
                }
            }
            Self::AtMostDays(0) => "is refused at once".to_owned(),
            Self::AtMostDays(days) => format!("is accepted for {days} days from the date of its TCB level"),
            Self::Age(days) => format!("must have been issued less than {days} days ago"),
            Self::Exceptions(exceptions) if exceptions.is_empty() => "is excepted by nothing".to_owned(),
            Self::Exceptions(exceptions) => {
                let one = |(name, (statuses, _, until)): (&String, &(Names, u64, String))| {
                    format!("{name} (with {}, until {until})", statuses.join(", "))
                };
                format!(
                    "is accepted while it is open to nothing but {}",
                    exceptions.iter().map(one).collect::<Vec<_>>().join("; ")
                )
            }
        }
    }
}

fn expect<T: Display>(rule: &Expect<T>) -> Demand {
    match rule {
        Expect::Exactly(value) => Demand::OneOf([value.to_string()].into_iter().collect()),
        Expect::AnyOf(values) => Demand::OneOf(values.iter().map(T::to_string).collect()),
        // Only numbers are ordered, so what is shown is one.
        Expect::AtLeast(least) => {
            let shown = least.to_string();
            shown.parse().map_or(Demand::Nothing, |number| Demand::AtLeast(number, shown.clone()))
        }
        Expect::Unchecked => Demand::Nothing,
    }
}

fn waivable<T>(rule: &Waivable<T>, demand: impl FnOnce(&T) -> Demand) -> Demand {
    rule.required().map_or(Demand::Nothing, demand)
}

fn age(rule: &Waivable<Age>) -> Demand {
    waivable(rule, |age| Demand::Age(age.days))
}

fn switch(switch: Switch) -> Demand {
    match switch {
        Switch::Rejected => Demand::Word(1, "is refused"),
        Switch::Allowed => Demand::Word(0, "is allowed"),
    }
}

fn bits(bits: &Bits) -> Demand {
    Demand::Bits {
        required: bits.required.iter().cloned().collect(),
        forbidden: bits.forbidden.iter().cloned().collect(),
        unknown_refused: bits.unknown == Unknown::Rejected,
    }
}

fn version<const N: usize>(version: &Version<N>) -> Demand {
    Demand::Version(version.0.to_vec(), version.to_string())
}

fn report_data(rule: &ReportDataRule) -> Demand {
    match rule {
        ReportDataRule::Caller => Demand::Caller,
        ReportDataRule::Exactly(bytes) => Demand::OneOf([bytes.to_string()].into_iter().collect()),
        ReportDataRule::Unchecked => Demand::Nothing,
    }
}

/// A product or a status, as policies spell it.
pub(super) fn spelt(name: &impl Debug) -> String {
    format!("{name:?}").to_ascii_lowercase()
}

impl SnpProfile {
    /// Every field that accepts or refuses something.
    pub(super) fn demands(&self) -> Vec<(&'static str, Demand)> {
        let key = |key: &SigningKeyName| spelt(key);
        let chips =
            |chips: &Vec<crate::sev_snp::profile::ChipIdText>| chips.iter().map(|chip| chip.0.to_string()).collect();
        vec![
            ("products", Demand::OneOf(self.products.iter().map(spelt).collect())),
            ("denied_products", Demand::NoneOf(self.denied_products.keys().map(spelt).collect())),
            ("signing_keys", Demand::OneOf(self.signing_keys.iter().map(key).collect())),
            ("csp_ids", waivable(&self.csp_ids, |ids| Demand::OneOf(ids.iter().cloned().collect()))),
            ("masked_chip_id", switch(self.masked_chip_id)),
            ("chip_ids", waivable(&self.chip_ids, |list| Demand::OneOf(chips(list)))),
            (
                "revocation",
                match self.revocation {
                    Revocation::Required => {
                        Demand::Word(2, "must be there and current, and must not list the intermediate")
                    }
                    Revocation::IfSupplied => Demand::Word(1, "is read if it is supplied, and not missed if it is not"),
                    Revocation::Unchecked => Demand::Nothing,
                },
            ),
            ("max_collateral_age", age(&self.max_collateral_age)),
            (
                "minimum_tcb",
                waivable(&self.minimum_tcb, |minima| {
                    Demand::Floors(
                        minima
                            .iter()
                            .map(|(product, least)| {
                                let fmc = least.fmc.map(|fmc| ("fmc", fmc));
                                let own = [
                                    ("bootloader", least.bootloader),
                                    ("tee", least.tee),
                                    ("snp", least.snp),
                                    ("microcode", least.microcode),
                                ];
                                (spelt(product), own.into_iter().chain(fmc).collect())
                            })
                            .collect(),
                    )
                }),
            ),
            (
                "bulletins",
                waivable(&self.bulletins, |rule| Demand::NoneOpen {
                    set: rule.baseline,
                    grace_days: rule.grace_days,
                    except: rule.except.keys().cloned().collect(),
                }),
            ),
            (
                "committed_firmware",
                waivable(&self.committed_firmware, |_| Demand::Word(1, "must be the one that runs")),
            ),
            ("minimum_firmware", waivable(&self.minimum_firmware, version)),
            (
                "mitigations",
                waivable(&self.mitigations, |Mask(required)| Demand::Mask { required: *required, allowed: u64::MAX }),
            ),
            ("platform_info", waivable(&self.platform_info, bits)),
            ("debug", switch(self.debug)),
            ("migration_agent", switch(self.migration_agent)),
            ("policy_flags", waivable(&self.policy_flags, bits)),
            ("minimum_abi", waivable(&self.minimum_abi, version)),
            ("measurement", expect(&self.measurement)),
            ("host_data", expect(&self.host_data)),
            ("guest_svn", expect(&self.guest_svn)),
            ("family_id", expect(&self.family_id)),
            ("image_id", expect(&self.image_id)),
            ("report_id_ma", expect(&self.report_id_ma)),
            ("vmpl", expect(&self.vmpl)),
            ("id_key", expect(&self.id_key)),
            ("author_key", expect(&self.author_key)),
            ("report_data", report_data(&self.report_data)),
        ]
    }
}

impl TdxProfile {
    /// Every field that accepts or refuses something.
    pub(super) fn demands(&self) -> Vec<(&'static str, Demand)> {
        let ids =
            |list: &Vec<crate::tdx::profile::Advisory>| list.iter().map(|advisory| advisory.0.to_string()).collect();
        vec![
            (
                "trailing_bytes",
                match self.trailing_bytes {
                    Trailing::Zero => Demand::Word(1, "may only be zero"),
                    Trailing::Any => Demand::Word(0, "may be anything"),
                },
            ),
            (
                "ppids",
                waivable(&self.ppids, |list| Demand::OneOf(list.iter().map(|ppid| ppid.0.to_string()).collect())),
            ),
            (
                "minimum_evaluation_number",
                waivable(&self.minimum_evaluation_number, |least| {
                    Demand::AtLeast(u64::from(*least), least.to_string())
                }),
            ),
            (
                "deciding_evaluation",
                match self.deciding_evaluation {
                    DecidingEvaluation::Highest => Demand::Word(1, "is the newest"),
                    DecidingEvaluation::Lowest => Demand::Word(0, "is the oldest that is not below the minimum"),
                },
            ),
            ("one_evaluation", waivable(&self.one_evaluation, |_| Demand::Word(1, "must be the same"))),
            ("max_collateral_age", age(&self.max_collateral_age)),
            ("max_root_crl_age", age(&self.max_root_crl_age)),
            // Statuses are spelt as Intel spells them.
            (
                "tcb_status",
                waivable(&self.tcb_status, |list| {
                    Demand::OneOf(list.iter().map(|status| status.status().name().to_owned()).collect())
                }),
            ),
            ("out_of_date_grace", Demand::AtMostDays(self.out_of_date_grace.days())),
            (
                "tcb_exceptions",
                Demand::Exceptions(
                    self.tcb_exceptions
                        .iter()
                        .map(|(id, one)| {
                            let statuses =
                                one.statuses.iter().map(|status| status.status().name().to_owned()).collect();
                            (id.to_string(), (statuses, one.until.0.seconds(), one.until.0.to_string()))
                        })
                        .collect(),
                ),
            ),
            ("allowed_advisories", waivable(&self.allowed_advisories, |list| Demand::OneOf(ids(list)))),
            ("denied_advisories", waivable(&self.denied_advisories, |list| Demand::NoneOf(ids(list)))),
            (
                "minimum_tcb_date",
                waivable(&self.minimum_tcb_date, |date| Demand::AtLeast(date.0.seconds(), date.0.to_string())),
            ),
            ("debug", switch(self.debug)),
            ("profiling", switch(self.profiling)),
            ("attributes", waivable(&self.attributes, bits)),
            ("xfam", waivable(&self.xfam, |rule| Demand::Mask { required: rule.required.0, allowed: rule.allowed.0 })),
            ("service_td", expect(&self.service_td)),
            ("mrtd", expect(&self.mrtd)),
            ("rtmr0", expect(&self.rtmr0)),
            ("rtmr1", expect(&self.rtmr1)),
            ("rtmr2", expect(&self.rtmr2)),
            ("rtmr3", expect(&self.rtmr3)),
            ("mrseam", expect(&self.mrseam)),
            ("mrconfigid", expect(&self.mrconfigid)),
            ("mrowner", expect(&self.mrowner)),
            ("mrownerconfig", expect(&self.mrownerconfig)),
            (
                "event_log",
                match self.event_log {
                    EventLog::Required => Demand::Word(1, "must come with the quote and replay to all four registers"),
                    EventLog::Unchecked => Demand::Nothing,
                },
            ),
            ("report_data", report_data(&self.report_data)),
        ]
    }
}
