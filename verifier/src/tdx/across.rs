//! What the fields of a TDX profile ask of each other: what pins the code of a TD, what counts only beside that, and what
//! contradicts itself.

use super::fields::field;
use super::profile::{Grace, TdxProfile};
use crate::rule::{Blank, Digest, Expect, Pin, Switch, Undertaken, Waivable, pin, pins};
use crate::wrapping::Wrapping;

const DEBUG: &str = "under debug the host changes whatever runs; reject it";

/// Whether every value that is accepted of this field names somebody, or says that there is none.
fn named<T: Digest>(name: &str, rule: &Expect<T>) -> bool {
    field(name).is_some_and(|field| pins(field, rule))
}

/// Whether every value that the rule accepts shows that something was extended.
fn shows_an_event<T: Digest>(name: &str, rule: &Expect<T>) -> bool {
    let Some(field) = field(name) else { return false };
    rule.accepts_only(|value| field.blank(value.bytes()) != Some(Blank::Unextended))
}

/// Values that count only with the code that enforces them.
pub(super) fn undertaken(profile: &TdxProfile) -> Vec<Undertaken> {
    // What the firmware extends at boot.
    let boot = vec![
        ("rtmr0", profile.rtmr0.is_asked()),
        ("rtmr1", profile.rtmr1.is_asked()),
        ("rtmr2", profile.rtmr2.is_asked()),
    ];
    // What the host chooses or the guest extends, and claims about the workload that rest on it.
    let bound = vec![
        ("mrconfigid", profile.mrconfigid.is_asked()),
        ("mrowner", profile.mrowner.is_asked()),
        ("mrownerconfig", profile.mrownerconfig.is_asked()),
        ("rtmr3", profile.rtmr3.is_asked()),
        ("bound_to", profile.bound_to.required().is_some()),
    ];
    vec![Undertaken { bound: boot, code: vec![firmware(profile)] }, Undertaken { bound, code: code(profile) }]
}

/// What pins the firmware.
fn firmware(profile: &TdxProfile) -> Pin {
    let pinned = named("mrtd", &profile.mrtd);
    pin("mrtd", pinned, "any firmware may run; name its measurement, which is never zero")
}

/// What pins the code of a TD: MRTD is the firmware alone; kernel, command line and initrd are in RTMR1 and RTMR2, and the
/// ACPI tables, which are code that the host supplies (BadAML), in RTMR0.
///
/// Under a paravisor MRTD is all of the code that the hardware measures: what it starts stands in its vTPM's registers.
pub(super) fn code(profile: &TdxProfile) -> Vec<Pin> {
    let mut pins = vec![firmware(profile)];
    if profile.wrapping == Wrapping::Raw {
        pins.extend(registers(profile));
    }
    pins.extend(kept_from_the_host(profile));
    pins
}

/// In RTMR1 and RTMR2 a register of zeros counts: firmware that is pinned has extended nothing there. Recorded firmware leaves RTMR2
/// so, or all but that one. All three of zeros do not: that is a firmware that measures nothing, whatever it starts.
///
/// In RTMR0 zeros say that no ACPI table was measured where firmware measures them: the host chose them freely, and nobody judged
/// them. Firmware that is known to measure them elsewhere has this in writing.
fn registers(profile: &TdxProfile) -> [Pin; 5] {
    let measures = shows_an_event("rtmr0", &profile.rtmr0)
        || shows_an_event("rtmr1", &profile.rtmr1)
        || shows_an_event("rtmr2", &profile.rtmr2);
    let register = "code that boots goes unseen; name the value that your image boots to";
    [
        pin("rtmr0", named("rtmr0", &profile.rtmr0), register),
        pin(
            "rtmr0",
            shows_an_event("rtmr0", &profile.rtmr0) || profile.unjudged_acpi_tables.is_some(),
            "zeros say that the firmware measured no ACPI tables there, which are code that the host supplies (BadAML); name the value \
             of a firmware that measures them, or write `unjudged_acpi_tables = \"why that is well\"`",
        ),
        pin("rtmr1", named("rtmr1", &profile.rtmr1), register),
        pin("rtmr2", named("rtmr2", &profile.rtmr2), register),
        pin(
            "rtmr1",
            measures,
            "zeros in RTMR0, RTMR1 and RTMR2 are of a firmware that measures nothing, whatever it starts; name what your image \
             boots to",
        ),
    ]
}

/// What else the host could do to code that is measured.
fn kept_from_the_host(profile: &TdxProfile) -> [Pin; 3] {
    [
        pin("debug", profile.debug == Switch::Rejected, DEBUG),
        pin("profiling", profile.profiling == Switch::Rejected, "the host watches whatever runs; reject it"),
        pin(
            "service_td",
            named("service_td", &profile.service_td) || forbids_migration(profile),
            "a service TD of the host's choice can take the TD over; write \"none\" or name it, or forbid `migratable` in \
             `attributes`",
        ),
    ]
}

fn forbids_migration(profile: &TdxProfile) -> bool {
    matches!(&profile.attributes, Waivable::Required(bits) if bits.forbids("migratable"))
}

/// What softens a rule that is not there, or lets in what is taken anyway.
pub(super) fn contradiction(profile: &TdxProfile) -> Option<(&'static str, String)> {
    let takes_zeros = matches!(profile.rtmr0, Expect::Needed)
        || profile.rtmr0.accepted().is_some() && !shows_an_event("rtmr0", &profile.rtmr0);
    if profile.unjudged_acpi_tables.is_some() && !(takes_zeros && profile.wrapping == Wrapping::Raw) {
        let what = "says why nobody judges the ACPI tables of a TD whose RTMR0 is zero, and `rtmr0` takes no zeros: leave it out";
        return Some(("unjudged_acpi_tables", what.to_owned()));
    }
    let names_tables = matches!(profile.rtmr0, Expect::Needed) || shows_an_event("rtmr0", &profile.rtmr0);
    if profile.rebuilt_acpi_tables.is_some() && !(names_tables && profile.wrapping == Wrapping::Raw) {
        let what = "says from which shape of the VM the ACPI tables behind RTMR0 were rebuilt, and `rtmr0` names no value that shows any: \
                    leave it out";
        return Some(("rebuilt_acpi_tables", what.to_owned()));
    }
    let grace = profile.out_of_date_grace != Grace::None;
    let found = match profile.tcb_status.required() {
        None if grace => {
            ("out_of_date_grace", "softens `tcb_status`, which is unchecked: write \"none\", or the statuses")
        }
        None if !profile.tcb_exceptions.is_empty() => {
            ("tcb_exceptions", "softens `tcb_status`, which is unchecked: write {}, or the statuses")
        }
        Some(statuses) if grace && Grace::lets_in(statuses).iter().all(|status| statuses.contains(status)) => (
            "out_of_date_grace",
            "softens `tcb_status`, which takes all that it would let in: write \"none\", or fewer statuses",
        ),
        _ => return None,
    };
    Some((found.0, found.1.to_owned()))
}
