//! A profile for TDX quotes.

use serde::Deserialize;
use serde::de::Deserializer;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::bytes::{HexBytes, Mr, Ppid};
use crate::intel::words::{AdvisoryId, TcbStatus};
use crate::report::BoundTo;
use crate::rule::{
    Age, BitNames, Bits, Digest, Expect, Form, Listed, MAX_GRACE_DAYS, Mask, NO_END, ReportDataRule, Scalar, Switch,
    Value, Waivable, bits_of, clipped, reason,
};
use crate::time::UnixTime;
use crate::wrapping::Wrapping;

/// Every expectation of a TDX quote. All fields must be written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TdxProfile {
    pub(crate) wrapping: Wrapping,
    pub(crate) bound_to: Waivable<BoundTo>,
    /// What may stand behind the quote.
    pub(crate) trailing_bytes: Trailing,
    pub(crate) ppids: Waivable<Vec<PpidText>>,
    pub(crate) minimum_evaluation_number: Waivable<u32>,
    /// TCB info and QE identity are of the same evaluation.
    pub(crate) one_evaluation: Waivable<OneEvaluation>,
    /// Of TCB info and QE identity from their issueDate, and of the PCK CA's CRL from its thisUpdate.
    #[serde(default = "Waivable::unwritten")]
    pub(crate) max_collateral_age: Waivable<Age>,
    /// Of the root's CRL, which Intel signs once a year.
    #[serde(default = "Waivable::unwritten")]
    pub(crate) max_root_crl_age: Waivable<Age>,
    /// Which evaluation decides where several are supplied.
    pub(crate) deciding_evaluation: DecidingEvaluation,
    /// Statuses that are accepted; `unchecked` accepts all but Revoked.
    pub(crate) tcb_status: Waivable<Vec<Accepted>>,
    /// How long a platform that is out of date is accepted beside them.
    pub(crate) out_of_date_grace: Grace,
    /// By advisory: statuses that are accepted beside them, while every advisory that such a platform is open to is named
    /// here.
    #[serde(deserialize_with = "tcb_exceptions")]
    pub(crate) tcb_exceptions: BTreeMap<AdvisoryId, TcbException>,
    /// The only advisories that an accepted platform may be open to.
    pub(crate) allowed_advisories: Waivable<Vec<Advisory>>,
    pub(crate) denied_advisories: Waivable<Vec<Advisory>>,
    pub(crate) minimum_tcb_date: Waivable<Date>,
    pub(crate) debug: Switch,
    /// The profiling bits of newer modules (6:4). Reserved TUD bits cannot be allowed.
    pub(crate) profiling: Switch,
    #[serde(deserialize_with = "attribute_bits")]
    pub(crate) attributes: Waivable<Bits>,
    pub(crate) xfam: Waivable<XfamRule>,
    pub(crate) service_td: Expect<ServiceTd>,
    pub(crate) mrtd: Expect<Mr>,
    pub(crate) rtmr0: Expect<Mr>,
    pub(crate) rtmr1: Expect<Mr>,
    pub(crate) rtmr2: Expect<Mr>,
    pub(crate) rtmr3: Expect<Mr>,
    pub(crate) mrseam: Expect<Mr>,
    pub(crate) mrconfigid: Expect<Mr>,
    pub(crate) mrowner: Expect<Mr>,
    pub(crate) mrownerconfig: Expect<Mr>,
    pub(crate) event_log: EventLog,
    pub(crate) report_data: ReportDataRule,
    /// Why nobody has to judge the ACPI tables of a TD whose RTMR0 is zero.
    #[serde(default, deserialize_with = "a_reason")]
    pub(crate) unjudged_acpi_tables: Option<String>,
    /// From which declared shape of the VM the ACPI tables behind `rtmr0` were rebuilt, as the author says.
    #[serde(default, deserialize_with = "a_reason")]
    pub(crate) rebuilt_acpi_tables: Option<String>,
    /// The rules about the TCB as findings say them, once somebody has asked.
    #[serde(skip)]
    pub(crate) tcb_rules_in_words: OnceLock<Arc<str>>,
}

fn a_reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    reason(deserializer).map(Some)
}

/// What may stand behind the quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Trailing {
    Zero,
    Any,
}

/// Whether the event log of the boot must be there. One that is there is judged under either word: it replays to all four
/// RTMRs, so that no register may have been extended without an event in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EventLog {
    Required,
    Unchecked,
}

/// A TCB status that can be accepted. Revoked cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted(pub(crate) TcbStatus);

/// Every one of them, as Intel spells it.
pub(crate) const STATUSES: &[&str] = &[
    TcbStatus::UpToDate.name(),
    TcbStatus::SWHardeningNeeded.name(),
    TcbStatus::ConfigurationNeeded.name(),
    TcbStatus::ConfigurationAndSWHardeningNeeded.name(),
    TcbStatus::OutOfDate.name(),
    TcbStatus::OutOfDateConfigurationNeeded.name(),
    TcbStatus::TDRelaunchAdvised.name(),
    TcbStatus::TDRelaunchAdvisedConfigurationNeeded.name(),
];

impl<'de> Deserialize<'de> for Accepted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let status = TcbStatus::from_name(&text).filter(|status| STATUSES.contains(&status.name()));
        status.map(Self).ok_or_else(|| serde::de::Error::unknown_variant(&text, STATUSES))
    }
}

impl Listed for Accepted {
    fn is_everything(statuses: &[Self]) -> bool {
        STATUSES.iter().all(|name| statuses.iter().any(|status| status.0.name() == *name))
    }
}

/// Intel serves an early and a standard evaluation of a platform at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DecidingEvaluation {
    /// The newest that was supplied: adding an older one cannot make a platform look better.
    Highest,
    /// The oldest that was supplied and is not below the minimum.
    Lowest,
}

/// How long a platform that is out of date is still taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grace {
    /// Written `"none"`.
    None,
    /// Written `{ days = … }`, from the TCB date of what it runs.
    Days(u32),
}

impl<'de> Deserialize<'de> for Grace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected \"none\" or { days = … }")]
        enum Written {
            Word(NoGrace),
            Table(GraceDays),
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        enum NoGrace {
            None,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct GraceDays {
            days: u32,
        }
        match Written::deserialize(deserializer)? {
            Written::Word(NoGrace::None) => Ok(Self::None),
            Written::Table(GraceDays { days }) if (1..=MAX_GRACE_DAYS).contains(&days) => Ok(Self::Days(days)),
            Written::Table(GraceDays { days }) => Err(serde::de::Error::custom(format_args!(
                "a grace of {days} days: expected 1 to {MAX_GRACE_DAYS}, or \"none\""
            ))),
        }
    }
}

impl Grace {
    /// The statuses that a grace lets in beside these. Grace gives time to update; a configuration that is missing is another
    /// matter, with a word of its own.
    pub(crate) fn lets_in(statuses: &[Accepted]) -> &'static [Accepted] {
        use TcbStatus::{
            ConfigurationNeeded, OutOfDate, OutOfDateConfigurationNeeded, TDRelaunchAdvised,
            TDRelaunchAdvisedConfigurationNeeded,
        };
        if statuses.contains(&Accepted(ConfigurationNeeded)) {
            &[
                Accepted(OutOfDate),
                Accepted(TDRelaunchAdvised),
                Accepted(OutOfDateConfigurationNeeded),
                Accepted(TDRelaunchAdvisedConfigurationNeeded),
            ]
        } else {
            &[Accepted(OutOfDate), Accepted(TDRelaunchAdvised)]
        }
    }

    /// In days; 0 for none.
    pub(crate) const fn days(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Days(days) => days,
        }
    }
}

/// An exception for one advisory. It ends: what is accepted for ever belongs into `tcb_status`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TcbException {
    pub(crate) statuses: Vec<Accepted>,
    pub(crate) until: Date,
    /// Shown in the report that rests on it.
    #[serde(deserialize_with = "reason")]
    pub(crate) reason: String,
}

fn tcb_exceptions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<AdvisoryId, TcbException>, D::Error> {
    let written = BTreeMap::<Advisory, TcbException>::deserialize(deserializer)?;
    if let Some((advisory, _)) = written.iter().find(|(_, exception)| exception.statuses.is_empty()) {
        return Err(serde::de::Error::custom(format_args!(
            "the exception for {} names no status: expected those that it lets in",
            advisory.0
        )));
    }
    for (Advisory(id), TcbException { until: Date(until), .. }) in &written {
        if until.seconds() == 0 {
            return Err(serde::de::Error::custom(format_args!(
                "the exception for {id} ended before it began ({until})"
            )));
        }
        if *until >= NO_END {
            return Err(serde::de::Error::custom(format_args!(
                "the exception for {id} ends at {until}: expected one before {NO_END}; what ends later does not end"
            )));
        }
    }
    Ok(written.into_iter().map(|(advisory, exception)| (advisory.0, exception)).collect())
}

/// The one word that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OneEvaluation {
    Required,
}

/// An advisory by Intel's id. A misspelt one would deny nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Advisory(pub(crate) AdvisoryId);

impl<'de> Deserialize<'de> for Advisory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let id @ AdvisoryId::IntelSa(_) = AdvisoryId::from_name(&text) {
            return Ok(Self(id));
        }
        let text = clipped(&text);
        Err(serde::de::Error::custom(format_args!("`{text}`: expected an advisory such as \"INTEL-SA-00837\"")))
    }
}

/// XFAM by mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WrittenXfam")]
pub(crate) struct XfamRule {
    /// Bits that must be 1.
    pub(crate) required: Mask,
    /// Bits that may be 1.
    pub(crate) allowed: Mask,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenXfam {
    required: Mask,
    allowed: Mask,
}

impl TryFrom<WrittenXfam> for XfamRule {
    type Error = String;

    fn try_from(WrittenXfam { required, allowed }: WrittenXfam) -> Result<Self, String> {
        match required.0 & !allowed.0 {
            0 => Ok(Self { required, allowed }),
            both => Err(format!("{both:#x} is required and not allowed: nothing is accepted")),
        }
    }
}

/// x87 and SSE: the TDX module builds no TD without them (XFAM_FIXED1).
const XFAM_OF_EVERY_TD: u64 = 0x3;

impl Form for XfamRule {
    fn says_nothing(&self) -> bool {
        self.required.0 & !XFAM_OF_EVERY_TD == 0 && self.allowed.0 == u64::MAX
    }
}

/// MRSERVICETD: `"none"` for zero, or the hash of the service TDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServiceTd(pub(crate) Mr);

impl PartialOrd for ServiceTd {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.0.partial_cmp(&other.0)
    }
}

impl fmt::Display for ServiceTd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.0 == [0; 48] { f.write_str("none") } else { self.0.fmt(f) }
    }
}

impl Scalar for ServiceTd {
    const NO_FLOOR: Option<&'static str> = Mr::NO_FLOOR;
    fn form() -> String {
        "\"none\" or 96 hexadecimal digits".to_owned()
    }
    /// As a policy spells it.
    fn value(&self) -> Value {
        Value::Name(self.to_string())
    }
    fn from_text(text: &str) -> Option<Self> {
        if text == "none" { Some(Self(Mr([0; 48]))) } else { Mr::parse_hex(text).map(Self) }
    }
}

/// A platform provisioning id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PpidText(pub(crate) Ppid);

impl<'de> Deserialize<'de> for PpidText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ppid::parse_hex(&text).map(Self).ok_or_else(|| {
            let text = clipped(&text);
            serde::de::Error::custom(format_args!("`{text}`: expected a PPID of 32 hexadecimal digits"))
        })
    }
}

impl Digest for ServiceTd {
    fn bytes(&self) -> &[u8] {
        &self.0.0
    }
}

impl Form for OneEvaluation {}
impl Listed for Advisory {}
impl Listed for PpidText {}

impl Form for Date {
    fn says_nothing(&self) -> bool {
        self.0.seconds() == 0
    }
}

/// An instant, written in RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date(pub(crate) UnixTime);

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        UnixTime::parse(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The TUD bits of TDATTRIBUTES (7:0), which `debug` and `profiling` rule. Intel TDX Module ABI Specification.
pub(crate) const TUD: u64 = 0xFF;

/// TDATTRIBUTES other than the TUD bits. Intel TDX Module ABI Specification.
pub(crate) const ATTRIBUTE_BITS: BitNames =
    &[("lass", 27), ("sept-ve-disable", 28), ("migratable", 29), ("pks", 30), ("kl", 31), ("tpa", 62), ("perfmon", 63)];

fn attribute_bits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Waivable<Bits>, D::Error> {
    bits_of(deserializer, ATTRIBUTE_BITS, TUD)
}
