//! A profile for SEV-SNP reports.

use serde::Deserialize;
use serde::de::Deserializer;
use std::collections::BTreeMap;
use std::fmt;

use super::report::SigningKey;
use super::tcb::{Product, TcbVersion};
use crate::bytes::{BlockId, ChipId, HostData, Measurement, Mr, ReportId};
use crate::report::BoundTo;
use crate::rule::{
    Age, BitNames, Bits, Expect, Form, Listed, MAX_GRACE_DAYS, Mask, ReportDataRule, Revocation, Scalar, Switch, Value,
    Version, Waivable, bits_of, clipped, not_empty, reasons,
};
use crate::wrapping::Wrapping;

/// Every expectation of an SEV-SNP report. All fields must be written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnpProfile {
    pub(crate) wrapping: Wrapping,
    pub(crate) bound_to: Waivable<BoundTo>,
    #[serde(deserialize_with = "not_empty")]
    pub(crate) products: Vec<Product>,
    /// Products that are refused, with the reason that the report shows.
    #[serde(deserialize_with = "reasons")]
    pub(crate) denied_products: BTreeMap<Product, String>,
    #[serde(deserialize_with = "not_empty")]
    pub(crate) signing_keys: Vec<SigningKey>,
    pub(crate) csp_ids: Waivable<Vec<String>>,
    pub(crate) masked_chip_id: Switch,
    pub(crate) chip_ids: Waivable<Vec<ChipIdText>>,
    pub(crate) revocation: Revocation,
    /// Of AMD's CRL, from its thisUpdate.
    #[serde(default = "Waivable::unwritten")]
    pub(crate) max_collateral_age: Waivable<Age>,
    pub(crate) minimum_tcb: Waivable<BTreeMap<Product, Minimum>>,
    /// Which of AMD's bulletins may be open.
    pub(crate) bulletins: Waivable<Bulletins>,
    /// Also reported <= committed, and committed == current.
    pub(crate) committed_firmware: Waivable<Committed>,
    pub(crate) minimum_firmware: Waivable<Version<3>>,
    pub(crate) mitigations: Waivable<Mask>,
    #[serde(deserialize_with = "platform_bits")]
    pub(crate) platform_info: Waivable<Bits>,
    pub(crate) debug: Switch,
    pub(crate) migration_agent: Switch,
    #[serde(deserialize_with = "policy_bits")]
    pub(crate) policy_flags: Waivable<Bits>,
    pub(crate) minimum_abi: Waivable<Version<2>>,
    pub(crate) measurement: Expect<Measurement>,
    pub(crate) host_data: Expect<HostData>,
    pub(crate) guest_svn: Expect<u32>,
    pub(crate) family_id: Expect<BlockId>,
    pub(crate) image_id: Expect<BlockId>,
    pub(crate) report_id_ma: Expect<ReportId>,
    pub(crate) vmpl: Expect<Vmpl>,
    pub(crate) id_key: Expect<Mr>,
    pub(crate) author_key: Expect<Mr>,
    pub(crate) report_data: ReportDataRule,
}

impl Form for Committed {}

impl Form for Bulletins {
    fn says_nothing(&self) -> bool {
        judged(self.baseline).all(|bulletin| self.except.contains_key(bulletin))
    }
}

/// The newest baseline of AMD's bulletins that this release holds.
pub(crate) const BASELINE: u32 = 1;

/// The bulletins that a report can show answered, and the first baseline that judges each.
pub(crate) const JUDGED: &[(&str, u32)] = &[("AMD-SB-3015", 1), ("AMD-SB-3016", 1), ("AMD-SB-3023", 1)];

/// The same without the baselines.
pub(crate) const BULLETINS: &[&str] = &["AMD-SB-3015", "AMD-SB-3016", "AMD-SB-3023"];

/// Every product, as a policy spells it.
pub(crate) const PRODUCTS: &[&str] = &[Product::Milan.word(), Product::Genoa.word(), Product::Turin.word()];

/// Every kind of key that signs reports, as a policy spells it.
pub(crate) const SIGNING_KEYS: &[&str] = &[SigningKey::Vcek.word(), SigningKey::Vlek.word()];

/// Bits of the launch policy that other rules judge: ABI version, the constant bit 17, MIGRATE_MA and DEBUG.
pub(crate) const POLICY_BITS_RULED_ELSEWHERE: u64 = 0xFFFF | 1 << 17 | 1 << 18 | 1 << 19;

fn judged(baseline: u32) -> impl Iterator<Item = &'static str> {
    JUDGED.iter().filter(move |(_, since)| *since <= baseline).map(|(bulletin, _)| *bulletin)
}

/// AMD's bulletins by the rows of one baseline: none may be open for longer than the grace, but those named.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WrittenBulletins")]
pub(crate) struct Bulletins {
    pub(crate) baseline: u32,
    /// From the day of publication; 0 for none.
    pub(crate) grace_days: u32,
    /// By bulletin, the reason that the report shows.
    pub(crate) except: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBulletins {
    #[serde(deserialize_with = "baseline")]
    baseline: u32,
    #[serde(deserialize_with = "grace_days")]
    grace_days: u32,
    #[serde(deserialize_with = "bulletin_exceptions")]
    except: BTreeMap<String, String>,
}

impl TryFrom<WrittenBulletins> for Bulletins {
    type Error = String;

    fn try_from(written: WrittenBulletins) -> Result<Self, String> {
        let WrittenBulletins { baseline, grace_days, except } = written;
        match except.keys().find(|id| !judged(baseline).any(|judged| judged == *id)) {
            Some(id) => Err(format!(
                "`{id}`: baseline {baseline} judges {} alone: an exception for another says nothing",
                judged(baseline).collect::<Vec<_>>().join(", ")
            )),
            None => Ok(Self { baseline, grace_days, except }),
        }
    }
}

fn grace_days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let days = u32::deserialize(deserializer)?;
    if days <= MAX_GRACE_DAYS {
        return Ok(days);
    }
    Err(serde::de::Error::custom(format_args!(
        "a grace of {days} days: expected at most {MAX_GRACE_DAYS}; a longer one is none, and a rule without one is \"unchecked\""
    )))
}

fn baseline<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = u32::deserialize(deserializer)?;
    if (1..=BASELINE).contains(&number) {
        return Ok(number);
    }
    Err(serde::de::Error::custom(format_args!("baseline {number}: this release holds baselines 1 to {BASELINE}")))
}

fn bulletin_exceptions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let except: BTreeMap<String, String> = reasons(deserializer)?;
    let is_id = |id: &str| {
        id.strip_prefix("AMD-SB-").is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    match except.keys().find(|id| !is_id(id)) {
        Some(id) => Err(serde::de::Error::custom(format_args!(
            "`{}`: expected a bulletin such as \"AMD-SB-3016\"",
            clipped(id)
        ))),
        None => Ok(except),
    }
}

/// A virtual machine privilege level, 0 to 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Vmpl(pub(crate) u32);

impl Vmpl {
    /// The least privileged.
    pub(crate) const LAST: u32 = 3;
    /// Why a rule about it is no floor.
    pub(crate) const NO_FLOOR: &str =
        "VMPL 0 is the most privileged, and a floor would take in the less privileged; name one level, such as 0";
}

impl fmt::Display for Vmpl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Scalar for Vmpl {
    const NO_FLOOR: Option<&'static str> = Some(Self::NO_FLOOR);
    fn is_everything(rule: &Expect<Self>) -> bool {
        rule.accepted().is_some_and(|levels| (0..=Self::LAST).all(|level| levels.contains(&Self(level))))
    }
    fn form() -> String {
        format!("a privilege level from 0 to {}", Self::LAST)
    }
    fn from_text(_: &str) -> Option<Self> {
        None
    }
    fn value(&self) -> Value {
        Value::Number(self.0.into())
    }
    fn from_number(number: u64) -> Option<Self> {
        u32::try_from(number).ok().filter(|level| *level <= Self::LAST).map(Self)
    }
}

/// The one stricter order that a policy can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Committed {
    Required,
}

/// The least security patch level of each component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WrittenMinimum")]
pub(crate) struct Minimum(pub(crate) TcbVersion);

/// As a policy writes it. `fmc` belongs to Turin alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenMinimum {
    fmc: Option<u8>,
    bootloader: u8,
    tee: u8,
    snp: u8,
    microcode: u8,
}

impl TryFrom<WrittenMinimum> for Minimum {
    type Error = &'static str;

    fn try_from(written: WrittenMinimum) -> Result<Self, &'static str> {
        let WrittenMinimum { fmc, bootloader, tee, snp, microcode } = written;
        if [fmc.unwrap_or(0), bootloader, tee, snp, microcode] == [0; 5] {
            return Err(
                "a floor of zeros is a rule that accepts or refuses nothing: name what the product must have, or write \
                 \"unchecked\" for `minimum_tcb`",
            );
        }
        Ok(Self(TcbVersion { fmc, bootloader, tee, snp, microcode }))
    }
}

impl Listed for ChipIdText {}

/// A chip id of 64 bytes, or Turin's 8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChipIdText(pub(crate) ChipId);

impl<'de> Deserialize<'de> for ChipIdText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = crate::bytes::written_hex(&text).filter(|bytes| bytes.len() == 64 || bytes.len() == 8);
        let Some(bytes) = bytes else {
            return Err(serde::de::Error::custom(format_args!(
                "`{}`: expected a chip id of 128 hexadecimal digits (Turin: also 16)",
                clipped(&text)
            )));
        };
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(serde::de::Error::custom(
                "a chip id of zero is what every masked report shows: it names no chip",
            ));
        }
        let mut id = [0; 64];
        for (to, from) in id.iter_mut().zip(bytes) {
            *to = from;
        }
        Ok(Self(ChipId(id)))
    }
}

/// PLATFORM_INFO, AMD 56860 rev. 1.58, table 23; bit 6 as newer firmware and libraries name it.
pub(crate) const PLATFORM_BITS: BitNames = &[
    ("smt", 0),
    ("tsme", 1),
    ("ecc", 2),
    ("rapl-disabled", 3),
    ("ciphertext-hiding", 4),
    ("alias-check-complete", 5),
    ("iommu-write-safe", 6),
    ("tio", 7),
];

/// The flags of the guest's launch policy that describe its platform; versions, DEBUG and MIGRATE_MA have rules of their own.
pub(crate) const POLICY_BITS: BitNames = &[
    ("smt", 16),
    ("single-socket", 20),
    ("cxl", 21),
    ("aes-256-xts", 22),
    ("rapl-disabled", 23),
    ("ciphertext-hiding", 24),
    ("page-swap-disabled", 25),
];

fn platform_bits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Waivable<Bits>, D::Error> {
    bits_of(deserializer, PLATFORM_BITS, 0)
}

fn policy_bits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Waivable<Bits>, D::Error> {
    bits_of(deserializer, POLICY_BITS, POLICY_BITS_RULED_ELSEWHERE)
}
