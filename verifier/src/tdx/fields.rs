//! The table of the fields of a TDX profile: what each is about, how it is written, what it asks, and for those that are one
//! value against one rule, the check that judges it and what the report shows there.

use super::authenticate::Vouched;
use super::profile::{ATTRIBUTE_BITS, DecidingEvaluation, EventLog, STATUSES, TUD, TdxProfile, Trailing};
use crate::check::Check;
use crate::intel::words::AdvisoryId;
use crate::rule::{Ask, Asks, Blank, Field, Recorded, Severity, Shown, Topic, Value, Written};

/// What evidence shows of a field.
type Shows = for<'v> fn(&'v Vouched<'_>) -> Shown<'v>;

/// One row.
pub(crate) struct Row {
    pub(crate) field: Field,
    /// What a profile asks there.
    pub(crate) asks: fn(&TdxProfile) -> Ask,
    /// Of a field that is one value against one rule: the check, and the value. The other fields have functions of their own.
    pub(crate) shows: Option<(Check, Shows)>,
    /// Of the others, the checks that ask for it.
    apart: &'static [Check],
}

impl Row {
    /// Whether this check is judged by what a policy says here.
    pub(crate) fn is_asked_by(&self, check: Check) -> bool {
        self.shows.as_ref().is_some_and(|(own, _)| *own == check) || self.apart.contains(&check)
    }
}

const fn row(field: Field, asks: fn(&TdxProfile) -> Ask, apart: &'static [Check]) -> Row {
    Row { field, asks, shows: None, apart }
}

const fn value(field: Field, asks: fn(&TdxProfile) -> Ask, check: Check, shows: Shows) -> Row {
    Row { field, asks, shows: Some((check, shows)), apart: &[] }
}

const REJECTED_OR_ALLOWED: Written = Written::Word(&["rejected", "allowed"]);
const ADVISORIES: Written = Written::Texts { example: "INTEL-SA-99999", pattern: "^INTEL-SA-[0-9]{5}$" };
/// SHA-384 of what was built into the TD, if only of nothing: no TD shows zeros.
const NEVER_ZERO: &[(u8, Blank)] = &[(0x00, Blank::Nobody)];
/// Nothing was extended there: one state, which the firmware decides; see [`super::across`].
const EXTENDED_OR_NOT: &[(u8, Blank)] = &[(0x00, Blank::Unextended)];

fn advisories<'a>(ids: impl Iterator<Item = &'a AdvisoryId>) -> impl Iterator<Item = Value> {
    ids.map(|id| Value::Name(id.to_string()))
}

/// All of them, in the order in which policies are written.
pub(crate) const FIELDS: &[Row] = &[
    row(
        Field::new(
            "trailing_bytes",
            Topic::Vouching,
            "Bytes behind the quote",
            "they can be anything",
            Written::Word(&["zero", "any"]),
        )
        .states(&[(1, "a byte behind the quote that is not zero")]),
        |profile| match profile.trailing_bytes {
            Trailing::Zero => Ask::Word(1, "may only be zero"),
            Trailing::Any => Ask::Word(0, "may be anything"),
        },
        &[Check::TDX_BYTES_LENGTHS],
    ),
    value(
        Field::new(
            "ppids",
            Topic::Hardware,
            "The platform",
            "any platform is taken, also one whose key is known to have been extracted",
            Written::Ids { lengths: &[16], not_zero: false },
        )
        .weak(Severity::Note, "the ids of your platforms, where you know them"),
        |profile| {
            let id = |ppid: &super::profile::PpidText| Value::Bytes(ppid.0.0.to_vec());
            profile.ppids.required().map_or(Ask::Nothing, |ppids| Ask::OneOf(ppids.iter().map(id).collect()))
        },
        Check::TDX_PLATFORM_ALLOWED,
        |vouched| Shown::bytes(&vouched.pck.ppid.0),
    ),
    row(
        Field::new(
            "minimum_evaluation_number",
            Topic::Vouching,
            "Intel's evaluation number",
            "collateral from before a TCB recovery hides what is known today",
            Written::Count,
        )
        .weak(Severity::Warning, "the number of the latest TCB recovery")
        .recorded(Recorded::Numbers(&["tcb_evaluation", "qe_evaluation"])),
        |profile| profile.minimum_evaluation_number.ask(),
        &[Check::TDX_COLLATERAL_FRESH],
    ),
    row(
        Field::new(
            "deciding_evaluation",
            Topic::Vouching,
            "Of several evaluations that are supplied, the one that decides",
            "any decides",
            Written::Word(&["highest", "lowest"]),
        )
        .states(&[(1, "an older evaluation that finds the platform UpToDate, and a newer one that does not")]),
        |profile| match profile.deciding_evaluation {
            DecidingEvaluation::Highest => Ask::Word(1, "is the newest"),
            DecidingEvaluation::Lowest => Ask::Word(0, "is the oldest that is not below the minimum"),
        },
        &[Check::TDX_TCB_ACCEPTED],
    ),
    row(
        Field::new(
            "one_evaluation",
            Topic::Vouching,
            "The evaluation of TCB info and of QE identity",
            "an old judgement of the one stands beside a new one of the other",
            Written::Word(&["required", "unchecked"]),
        )
        .weak(Severity::Warning, "\"required\"")
        .states(&[(1, "TCB info of one evaluation and QE identity of another")])
        .recorded(Recorded::StateOfTwo("tcb_evaluation", "qe_evaluation")),
        |profile| profile.one_evaluation.required().map_or(Ask::Nothing, |_| Ask::Word(1, "must be the same")),
        &[Check::TDX_COLLATERAL_FRESH],
    ),
    row(
        Field::new(
            "max_collateral_age",
            Topic::Vouching,
            "Each of TCB info, QE identity and the PCK CA's revocation list",
            "whoever hands them in may choose those from before a TCB recovery or a revocation, as long as they have not run out",
            Written::Age,
        )
        .optional()
        .weak(Severity::Note, "{ days = 21 }"),
        |profile| profile.max_collateral_age.ask(),
        &[Check::TDX_COLLATERAL_AGE],
    ),
    row(
        Field::new(
            "max_root_crl_age",
            Topic::Vouching,
            "The revocation list of Intel's root",
            "whoever hands it in may choose one from before a revocation, as long as it has not run out",
            Written::Age,
        )
        .optional(),
        |profile| profile.max_root_crl_age.ask(),
        &[Check::TDX_COLLATERAL_AGE],
    ),
    row(
        Field::new(
            "tcb_status",
            Topic::Hardware,
            "Intel's judgement of the platform (TCB status)",
            "every status but Revoked is taken, also OutOfDate",
            Written::Names { of: STATUSES, waivable: true },
        )
        .weak(Severity::Warning, "[\"UpToDate\"]")
        .recorded(Recorded::Names("tcb_status")),
        |profile| {
            let names = |statuses: &Vec<super::profile::Accepted>| Ask::names(statuses.iter().map(|one| one.0.name()));
            profile.tcb_status.required().map_or(Ask::Nothing, names)
        },
        &[Check::TDX_TCB_ACCEPTED],
    ),
    row(
        Field::new(
            "out_of_date_grace",
            Topic::Hardware,
            "A platform that is out of date, beside the accepted statuses,",
            "it is accepted for ever",
            Written::Grace,
        ),
        |profile| match profile.tcb_status.required() {
            // Where every status is taken there is nothing to soften.
            None => Ask::Nothing,
            Some(_) => Ask::AtMostDays(profile.out_of_date_grace.days()),
        },
        &[Check::TDX_TCB_ACCEPTED],
    ),
    row(
        Field::new(
            "tcb_exceptions",
            Topic::Hardware,
            "A platform with another status than the accepted ones",
            "it is accepted",
            Written::Exceptions(STATUSES),
        ),
        |profile| match profile.tcb_status.required() {
            None => Ask::Nothing,
            Some(_) => Ask::Exceptions(
                profile
                    .tcb_exceptions
                    .iter()
                    .map(|(id, one)| {
                        let statuses = one.statuses.iter().map(|status| Value::Name(status.0.name().to_owned()));
                        (id.to_string(), (statuses.collect(), one.until.0))
                    })
                    .collect(),
            ),
        },
        &[Check::TDX_TCB_ACCEPTED],
    ),
    row(
        Field::new(
            "allowed_advisories",
            Topic::Hardware,
            "An advisory that the platform is open to",
            "it may be open to any that its status admits",
            ADVISORIES,
        )
        .recorded(Recorded::Names("advisories")),
        |profile| {
            let allowed = profile.allowed_advisories.required();
            allowed.map_or(Ask::Nothing, |list| Ask::OneOf(advisories(list.iter().map(|one| &one.0)).collect()))
        },
        &[Check::TDX_TCB_ACCEPTED],
    ),
    row(
        Field::new(
            "denied_advisories",
            Topic::Hardware,
            "An advisory that the platform is open to",
            "none is denied by name",
            ADVISORIES,
        )
        .recorded(Recorded::Names("advisories")),
        |profile| {
            let denied = profile.denied_advisories.required();
            denied.map_or(Ask::Nothing, |list| Ask::NoneOf(advisories(list.iter().map(|one| &one.0)).collect()))
        },
        &[Check::TDX_TCB_ACCEPTED],
    ),
    row(
        Field::new(
            "minimum_tcb_date",
            Topic::Hardware,
            "The date of the platform's TCB level",
            "a level of any date is taken",
            Written::Date,
        )
        .recorded(Recorded::Dates("tcb_date")),
        |profile| profile.minimum_tcb_date.required().map_or(Ask::Nothing, |date| Ask::NotBefore(date.0)),
        &[Check::TDX_TCB_ACCEPTED],
    ),
    row(
        Field::new(
            "debug",
            Topic::Hardware,
            "A guest that the host may debug, and so read,",
            "the host can read what is sent",
            REJECTED_OR_ALLOWED,
        )
        .states(&[(1, "debug allowed at launch")])
        .recorded(Recorded::StateOfBits("attributes", 1)),
        |profile| profile.debug.ask(),
        &[Check::TDX_TD_DEBUG],
    ),
    row(
        Field::new(
            "profiling",
            Topic::Hardware,
            "A TD that the host may profile",
            "the host can watch it run",
            REJECTED_OR_ALLOWED,
        )
        .states(&[(1, "profiling allowed at launch")])
        .recorded(Recorded::StateOfBits("attributes", 0x70)),
        |profile| profile.profiling.ask(),
        &[Check::TDX_TD_ATTRIBUTES],
    ),
    value(
        Field::new(
            "attributes",
            Topic::Hardware,
            "The TD",
            "migration, performance counters and missing SEPT_VE_DISABLE go unseen",
            Written::Bits(ATTRIBUTE_BITS, TUD),
        )
        .weak(
            Severity::Warning,
            "{ required = [\"sept-ve-disable\"], forbidden = [\"migratable\", \"perfmon\", \"tpa\"], unknown = \"rejected\" }",
        )
        .recorded(Recorded::Bits("attributes", TUD)),
        |profile| profile.attributes.ask(),
        Check::TDX_TD_ATTRIBUTES,
        |vouched| Shown::Bits(vouched.quote.get().body.td_attributes),
    ),
    value(
        Field::new(
            "xfam",
            Topic::Hardware,
            "The extended features of the TD (XFAM)",
            "any feature may be on",
            Written::Masks,
        )
        .weak(Severity::Warning, "{ required = \"0x3\", allowed = \"0x6dbe7\" }")
        .recorded(Recorded::Mask("xfam")),
        |profile| {
            let masks = |rule: &super::profile::XfamRule| Ask::Mask { required: rule.required.0, allowed: rule.allowed.0 };
            profile.xfam.required().map_or(Ask::Nothing, masks)
        },
        Check::TDX_TD_XFAM,
        |vouched| Shown::Mask(vouched.quote.get().body.xfam),
    ),
    row(
        // Zeros: no service TD is bound, and what is bound is settled when the TD is built.
        Field::new(
            "service_td",
            Topic::Code,
            "The service TD (MRSERVICETD)",
            "a service TD of anybody's can act on this one",
            Written::BytesOrNone(48),
        )
        .weak(Severity::Warning, "\"none\"")
        .blanks(&[(0x00, Blank::NoneThere)])
        .recorded(Recorded::Name("service_td")),
        |profile| profile.service_td.ask(),
        &[Check::TDX_TD_SERVICE_TD],
    ),
    value(
        Field::new(
            "mrtd",
            Topic::Code,
            "The measurement of the firmware (MRTD)",
            "any firmware, and so any code, can run in the TD",
            Written::Bytes(48),
        )
        .weak(Severity::Error, "the measurement of your firmware")
        .blanks(NEVER_ZERO),
        |profile| profile.mrtd.ask(),
        Check::TDX_TD_MRTD,
        |vouched| Shown::bytes(&vouched.quote.get().body.mrtd.0),
    ),
    value(
        Field::new(
            "rtmr0",
            Topic::Code,
            "RTMR0 (firmware settings and ACPI tables)",
            "the host can supply ACPI tables, which are code (BadAML)",
            Written::Bytes(48),
        )
        .weak(Severity::Warning, "the value that your image boots to")
        .blanks(EXTENDED_OR_NOT),
        |profile| profile.rtmr0.ask(),
        Check::TDX_TD_RTMR0,
        |vouched| rtmr(vouched, 0),
    ),
    value(
        Field::new("rtmr1", Topic::Code, "RTMR1 (kernel)", "any kernel can run", Written::Bytes(48))
            .weak(Severity::Warning, "the value that your image boots to")
            .blanks(EXTENDED_OR_NOT),
        |profile| profile.rtmr1.ask(),
        Check::TDX_TD_RTMR1,
        |vouched| rtmr(vouched, 1),
    ),
    value(
        Field::new(
            "rtmr2",
            Topic::Code,
            "RTMR2 (command line and initrd)",
            "any command line and initrd can run",
            Written::Bytes(48),
        )
        .weak(Severity::Warning, "the value that your image boots to")
        .blanks(EXTENDED_OR_NOT),
        |profile| profile.rtmr2.ask(),
        Check::TDX_TD_RTMR2,
        |vouched| rtmr(vouched, 2),
    ),
    value(
        Field::new(
            "rtmr3",
            Topic::Code,
            "RTMR3 (what the guest extends itself)",
            "what the guest adds at run time goes unseen",
            Written::Bytes(48),
        )
        .blanks(EXTENDED_OR_NOT),
        |profile| profile.rtmr3.ask(),
        Check::TDX_TD_RTMR3,
        |vouched| rtmr(vouched, 3),
    ),
    value(
        Field::new(
            "mrseam",
            Topic::Vouching,
            "The TDX module (MRSEAM)",
            "any module that Intel signed and judges is taken",
            Written::Bytes(48),
        ),
        |profile| profile.mrseam.ask(),
        Check::TDX_TD_MRSEAM,
        |vouched| Shown::bytes(&vouched.quote.get().body.mrseam.0),
    ),
    value(
        Field::new(
            "mrconfigid",
            Topic::Code,
            "The configuration that the host bound (MRCONFIGID)",
            "the host can start the measured TD with a configuration of its own",
            Written::Bytes(48),
        ),
        |profile| profile.mrconfigid.ask(),
        Check::TDX_TD_MRCONFIGID,
        |vouched| Shown::bytes(&vouched.quote.get().body.mrconfigid.0),
    ),
    value(
        Field::new(
            "mrowner",
            Topic::Code,
            "The owner that the host named (MROWNER)",
            "any owner is taken",
            Written::Bytes(48),
        ),
        |profile| profile.mrowner.ask(),
        Check::TDX_TD_MROWNER,
        |vouched| Shown::bytes(&vouched.quote.get().body.mrowner.0),
    ),
    value(
        Field::new(
            "mrownerconfig",
            Topic::Code,
            "The owner's configuration (MROWNERCONFIG)",
            "any is taken",
            Written::Bytes(48),
        ),
        |profile| profile.mrownerconfig.ask(),
        Check::TDX_TD_MROWNERCONFIG,
        |vouched| Shown::bytes(&vouched.quote.get().body.mrownerconfig.0),
    ),
    row(
        Field::new(
            "event_log",
            Topic::Code,
            "The event log of the boot",
            "it may be missing; one that is supplied must replay all the same",
            Written::Word(&["required", "unchecked"]),
        )
        .states(&[(1, "no event log")]),
        |profile| match profile.event_log {
            EventLog::Required => Ask::Word(1, "must come with the quote and replay to all four registers"),
            EventLog::Unchecked => Ask::Nothing,
        },
        &[Check::TDX_LOG_REPLAY],
    ),
    row(
        Field::new(
            "report_data",
            Topic::Freshness,
            "The 64 bytes that the guest chose",
            "the evidence may be old, or made for somebody else, unless the caller names the bytes",
            Written::ReportData,
        )
        .weak(Severity::Warning, "\"caller\""),
        |profile| profile.report_data.ask(),
        &[Check::TDX_TD_REPORT_DATA],
    ),
];

fn rtmr<'v>(vouched: &'v Vouched<'_>, number: usize) -> Shown<'v> {
    Shown::bytes(vouched.quote.get().body.rtmrs.get(number).map_or(&[], |register| &register.0))
}

/// The field of this name, of those above.
pub(super) fn field(name: &str) -> Option<&'static Field> {
    FIELDS.iter().map(|row| &row.field).find(|field| field.name == name)
}
