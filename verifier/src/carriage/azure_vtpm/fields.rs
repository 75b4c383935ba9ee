//! The table of the fields that a profile for an Azure vTPM has beside those of its platform.

use super::profile::VtpmProfile;
use crate::check::Check;
use crate::rule::{Ask, Asks, Blank, Field, Severity, Topic, Written};

/// One row.
pub(crate) struct Row {
    pub(crate) field: Field,
    /// What a profile asks there.
    pub(crate) asks: fn(&VtpmProfile) -> Ask,
    /// The checks that ask for it.
    pub(crate) apart: &'static [Check],
}

const REQUIRED_OR_NOT: Written = Written::Word(&["required", "unchecked"]);

const fn register(name: &'static str, subject: &'static str, open: &'static str) -> Field {
    Field::new(name, Topic::Code, subject, open, Written::Bytes(32))
}

/// All of them, in the order in which policies are written.
pub(crate) const FIELDS: &[Row] = &[
    Row {
        field: Field::new(
            "user_data",
            Topic::Freshness,
            "The guest's 64 bytes in the paravisor's claims",
            "the hardware's report may be older than the quote (evidence of version 1)",
            REQUIRED_OR_NOT,
        )
        .weak(Severity::Warning, "\"required\", where your agents send evidence of version 2")
        .states(&[(1, "claims without the 64 bytes")]),
        asks: |profile| {
            profile.user_data.required().map_or(Ask::Nothing, |_| Ask::Word(1, "must be those that the quote holds"))
        },
        apart: &[Check::HCL_USER_DATA],
    },
    Row {
        field: Field::new(
            "secure_boot",
            Topic::Code,
            "Secure Boot",
            "the firmware may start what nobody signed; the registers below say what it started",
            REQUIRED_OR_NOT,
        )
        .states(&[(1, "a guest without Secure Boot")]),
        asks: |profile| profile.secure_boot.required().map_or(Ask::Nothing, |_| Ask::Word(1, "must be on")),
        apart: &[Check::HCL_SECURE_BOOT],
    },
    Row {
        field: register(
            "pcr4",
            "PCR 4, the boot loader and what it starts,",
            "any boot loader or unified kernel image can run",
        )
        .weak(Severity::Warning, "the value that your image boots to")
        .blanks(&[(0x00, Blank::Nobody)]),
        asks: |profile| profile.pcr4.ask(),
        apart: &[Check::HCL_PCR_BOOT],
    },
    Row {
        field: register("pcr7", "PCR 7, the keys of Secure Boot,", "Secure Boot may trust anybody's keys")
            .blanks(&[(0x00, Blank::Nobody)]),
        asks: |profile| profile.pcr7.ask(),
        apart: &[Check::HCL_PCR_BOOT],
    },
    Row {
        field: register(
            "pcr8",
            "PCR 8, the initdata of a pod or what a boot loader was told,",
            "the host can start the measured guest with an initdata of its own",
        )
        .blanks(&[(0x00, Blank::Unextended)]),
        asks: |profile| profile.pcr8.ask(),
        apart: &[Check::HCL_PCR_8],
    },
    Row {
        field: register("pcr9", "PCR 9, the initial file system,", "any initial file system can run")
            .weak(Severity::Warning, "the value that your image boots to")
            .blanks(&[(0x00, Blank::Unextended)]),
        asks: |profile| profile.pcr9.ask(),
        apart: &[Check::HCL_PCR_BOOT],
    },
    Row {
        field: register("pcr11", "PCR 11, the unified kernel image,", "any kernel image can run")
            .weak(Severity::Warning, "the value that your image boots to")
            .blanks(&[(0x00, Blank::Unextended)]),
        asks: |profile| profile.pcr11.ask(),
        apart: &[Check::HCL_PCR_BOOT],
    },
    Row {
        field: register("pcr12", "PCR 12, the kernel's command line and credentials,", "any command line is taken")
            .weak(Severity::Warning, "the value that your image boots to")
            .blanks(&[(0x00, Blank::Unextended)]),
        asks: |profile| profile.pcr12.ask(),
        apart: &[Check::HCL_PCR_BOOT],
    },
    Row {
        field: Field::new(
            "vtpm_log",
            Topic::Code,
            "The event log of the guest's boot",
            "it may be missing; one that is supplied must replay all the same",
            REQUIRED_OR_NOT,
        )
        .optional()
        .states(&[(1, "no event log of the vTPM")]),
        asks: |profile| {
            let must = "must come with the evidence and replay to the registers of the quote";
            profile.vtpm_log.required().map_or(Ask::Nothing, |_| Ask::Word(1, must))
        },
        apart: &[Check::HCL_LOG_REPLAY],
    },
];

/// The field of this name, of those above.
pub(super) fn field(name: &str) -> Option<&'static Field> {
    FIELDS.iter().map(|row| &row.field).find(|field| field.name == name)
}
