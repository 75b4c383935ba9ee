//! What pins the code of a guest, one definition for each TEE. Whatever the host chooses or the guest extends, and every
//! claim about a workload, counts only beside it.
//!
//! Pinned is a property of the set that a rule accepts, and not of how the rule is written: a set that also holds a value
//! that names nobody pins nobody.

use super::refusal::Refusal;
use crate::bytes::HexBytes;
use crate::check::Check;
use crate::rule::Expect;
use crate::rule::{Switch, Waivable};
use crate::sev_snp::profile::{SnpProfile, Vmpl};
use crate::tdx::profile::{ServiceTd, TdxProfile};

/// What a field says whose bytes are all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blank {
    /// Nobody is named, so that it may be anybody.
    Nobody,
    /// There is none, and there can be none: to accept only that is to pin it.
    NoneThere,
    /// Nothing was extended there. That is one state, which the firmware decides; see [`TdxProfile::code`].
    Unextended,
}

/// Every field in which a value of one repeated byte is no digest or id of somebody. HOST_DATA, MRCONFIGID, MROWNER and
/// MROWNERCONFIG are not among them: zeros say there that the host bound nothing, which a guest may read like any value.
const BLANKS: &[(&str, u8, Blank)] = &[
    // The digest begins as zeros and every page that is loaded changes it: a guest into which nothing was loaded.
    ("measurement", 0x00, Blank::Nobody),
    // AMD 56860, table 23: all ones where there is no migration agent, and one comes with the launch or never. That
    // firmware ever wrote zeros is not known, so nobody knows what they would mean.
    ("report_id_ma", 0xFF, Blank::NoneThere),
    ("report_id_ma", 0x00, Blank::Nobody),
    // Without an ID block, which then says SVN and ids of zero.
    ("id_key", 0x00, Blank::NoneThere),
    // No author signed the ID key, so that it may be anybody's.
    ("author_key", 0x00, Blank::Nobody),
    // No service TD is bound, and what is bound is settled when the TD is built.
    ("service_td", 0x00, Blank::NoneThere),
    // SHA-384 of what was built into the TD, if only of nothing: no TD shows zeros.
    ("mrtd", 0x00, Blank::Nobody),
    ("rtmr0", 0x00, Blank::Unextended),
    ("rtmr1", 0x00, Blank::Unextended),
    ("rtmr2", 0x00, Blank::Unextended),
    ("rtmr3", 0x00, Blank::Unextended),
];

/// What this value of a field says, where it is one of those above.
pub(super) fn blank<T: Digest>(field: &str, value: &T) -> Option<Blank> {
    let bytes = value.bytes();
    BLANKS.iter().find(|(own, byte, _)| *own == field && bytes.iter().all(|one| one == byte)).map(|(.., says)| *says)
}

/// Whether every value that the rule of a field accepts names somebody, or says that there is none.
pub(super) fn pins<T: Digest>(field: &str, rule: &Expect<T>) -> bool {
    rule.accepts_only(|value| blank(field, value) != Some(Blank::Nobody))
}

/// Whether every value that the rule accepts shows that something was extended.
fn shows_an_event<T: Digest>(field: &str, rule: &Expect<T>) -> bool {
    rule.accepts_only(|value| blank(field, value) != Some(Blank::Unextended))
}

/// What is compared byte by byte.
pub(super) trait Digest {
    fn bytes(&self) -> &[u8];
}

impl<T: HexBytes> Digest for T {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Digest for ServiceTd {
    fn bytes(&self) -> &[u8] {
        &self.0.0
    }
}

/// One condition of a definition.
pub(super) struct Pin {
    field: &'static str,
    holds: bool,
    /// What is missing where it does not hold, and what to write.
    instead: &'static str,
}

const fn pin(field: &'static str, holds: bool, instead: &'static str) -> Pin {
    Pin { field, holds, instead }
}

/// A field that asks for something, or not.
pub(super) type Asked = (&'static str, bool);

const DEBUG: &str = "under debug the host changes whatever runs; reject it";

impl SnpProfile {
    /// What pins the code of an SEV-SNP guest.
    pub(super) fn code(&self) -> [Pin; 4] {
        [
            pin(
                "measurement",
                pins("measurement", &self.measurement),
                "any code may run; name the launch measurement of your image, which is never zero",
            ),
            pin(
                "vmpl",
                is_single(&self.vmpl),
                "a less privileged level can claim to be the code above it; name one level",
            ),
            pin("debug", self.debug == Switch::Rejected, DEBUG),
            pin(
                "migration_agent",
                self.unnamed_agent().is_none(),
                "an agent of the host's choice can take the guest over; reject it, or name the agent in `report_id_ma`",
            ),
        ]
    }

    /// A migration agent that may be anybody's is refused whatever a profile claims.
    pub(super) fn unnamed_agent(&self) -> Option<String> {
        let open = self.migration_agent == Switch::Allowed && !pins("report_id_ma", &self.report_id_ma);
        let what =
            "`migration_agent` is allowed and `report_id_ma` names no agent: it may be anybody's; name the agent";
        open.then(|| what.to_owned())
    }

    /// What the host chooses, and claims about the workload that rest on it.
    pub(super) fn bound(&self) -> [Asked; 2] {
        [("host_data", self.host_data.is_asked()), ("bound_to", self.bound_to.required().is_some())]
    }

    /// Who signed the ID block: anybody can sign one.
    pub(super) fn id_block_key(&self) -> [Pin; 1] {
        let signed = pins("id_key", &self.id_key) || pins("author_key", &self.author_key);
        [pin("id_key", signed, "anybody can sign an ID block; name its key, or an `author_key` that is not zero")]
    }

    /// What the ID block says.
    pub(super) fn id_block(&self) -> [Asked; 3] {
        [
            ("guest_svn", self.guest_svn.is_asked()),
            ("family_id", self.family_id.is_asked()),
            ("image_id", self.image_id.is_asked()),
        ]
    }
}

/// Whether one privilege level alone is accepted.
pub(super) fn is_single(rule: &Expect<Vmpl>) -> bool {
    rule.accepted().is_some_and(|levels| levels.windows(2).all(|pair| matches!(pair, [one, other] if one == other)))
}

impl TdxProfile {
    /// What pins the code of a TD: MRTD is the firmware alone; kernel, command line and initrd are in RTMR1 and RTMR2, and
    /// the ACPI tables, which are code that the host supplies (BadAML), in RTMR0.
    ///
    /// A register of zeros counts: firmware that is pinned has extended nothing there. Recorded firmware leaves RTMR2 so, or
    /// both RTMR0 and RTMR1. All three of zeros do not: that is a firmware that measures nothing, whatever it starts.
    pub(super) fn code(&self) -> [Pin; 8] {
        let measures = shows_an_event("rtmr0", &self.rtmr0)
            || shows_an_event("rtmr1", &self.rtmr1)
            || shows_an_event("rtmr2", &self.rtmr2);
        let register = "code that boots goes unseen; name the value that your image boots to";
        [
            self.firmware(),
            pin("rtmr0", pins("rtmr0", &self.rtmr0), register),
            pin("rtmr1", pins("rtmr1", &self.rtmr1), register),
            pin("rtmr2", pins("rtmr2", &self.rtmr2), register),
            pin(
                "rtmr1",
                measures,
                "zeros in RTMR0, RTMR1 and RTMR2 are of a firmware that measures nothing, whatever it starts; name what \
                 your image boots to",
            ),
            pin("debug", self.debug == Switch::Rejected, DEBUG),
            pin("profiling", self.profiling == Switch::Rejected, "the host watches whatever runs; reject it"),
            pin(
                "service_td",
                pins("service_td", &self.service_td) || self.forbids("migratable"),
                "a service TD of the host's choice can take the TD over; write \"none\" or name it, or forbid \
                 `migratable` in `attributes`",
            ),
        ]
    }

    /// What the host chooses or the guest extends, and claims about the workload that rest on it.
    pub(super) fn bound(&self) -> [Asked; 5] {
        [
            ("mrconfigid", self.mrconfigid.is_asked()),
            ("mrowner", self.mrowner.is_asked()),
            ("mrownerconfig", self.mrownerconfig.is_asked()),
            ("rtmr3", self.rtmr3.is_asked()),
            ("bound_to", self.bound_to.required().is_some()),
        ]
    }

    /// What pins the firmware.
    pub(super) fn firmware(&self) -> Pin {
        pin("mrtd", pins("mrtd", &self.mrtd), "any firmware may run; name its measurement, which is never zero")
    }

    /// What the firmware extends at boot.
    pub(super) fn boot(&self) -> [Asked; 3] {
        [("rtmr0", self.rtmr0.is_asked()), ("rtmr1", self.rtmr1.is_asked()), ("rtmr2", self.rtmr2.is_asked())]
    }

    fn forbids(&self, attribute: &str) -> bool {
        matches!(&self.attributes, Waivable::Required(bits) if bits.forbidden.iter().any(|own| own == attribute))
    }
}

/// A value that the host chooses or the guest extends says nothing unless the code that enforces it is pinned too.
pub(super) fn only_with_code(place: &str, bound: &[Asked], code: &[Pin]) -> Result<(), Refusal> {
    let expected = bound.iter().find(|(_, asked)| *asked);
    let unpinned = code.iter().find(|pin| !pin.holds);
    match (expected, unpinned) {
        (Some((bound, _)), Some(Pin { field, instead, .. })) => {
            let check = Check::POLICY_BOUND_WITHOUT_CODE;
            let words = format!(
                "{check}: [{place}] expects `{bound}` while `{field}` does not pin who enforces it: {instead}, or write \
                 `{bound} = \"unchecked\"`"
            );
            Err(Refusal { words, check: Some(check) })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::{Mr, ReportId};

    /// What one value means cannot be told from a list that begins with another.
    #[test]
    fn each_blank_is_told_from_the_value_next_to_it() {
        for (field, byte, says) in BLANKS {
            let mut value = Mr([*byte; 48]);
            assert_eq!(blank(field, &value), Some(*says), "{field}");
            value.0[47] ^= 1;
            assert_eq!(blank(field, &value), None, "{field}");
        }
        assert_eq!(blank("host_data", &Mr([0; 48])), None);
        let (none, agent) = (ReportId([0xFF; 32]), ReportId([1; 32]));
        assert!(pins("report_id_ma", &Expect::AnyOf(vec![none, agent])));
        assert!(!pins("report_id_ma", &Expect::AnyOf(vec![none, ReportId([0; 32])])));
        assert!(!pins::<Mr>("mrtd", &Expect::Unchecked) && !pins("mrtd", &Expect::AtLeast(Mr([1; 48]))));
    }

    #[test]
    fn one_level_is_one_however_often_it_is_written() {
        let of = |levels: &[u32]| Expect::AnyOf(levels.iter().map(|level| Vmpl(*level)).collect());
        assert!(is_single(&Expect::Exactly(Vmpl(2))) && is_single(&of(&[1])) && is_single(&of(&[1, 1, 1])));
        assert!(!is_single(&of(&[0, 1])) && !is_single(&of(&[1, 1, 0])) && !is_single(&Expect::Unchecked));
    }
}
