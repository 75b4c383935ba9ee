//! The table of the fields of an SEV-SNP profile: what each is about, how it is written, what it asks, and for those that are one
//! value against one rule, the check that judges it and what the report shows there.

use super::authenticate::Vouched;
use super::profile::{
    BASELINE, BULLETINS, Bulletins, ChipIdText, Minimum, PLATFORM_BITS, POLICY_BITS, POLICY_BITS_RULED_ELSEWHERE,
    PRODUCTS, SIGNING_KEYS, SnpProfile, Vmpl,
};
use super::tcb::{Product, TcbVersion};
use crate::check::Check;
use crate::rule::{
    Ask, Asks, Blank, Field, Floor, Recorded, Revocation, Severity, Shown, Topic, Value, Waivable, Written,
};

/// What evidence shows of a field.
type Shows = for<'v> fn(&'v Vouched<'_>) -> Shown<'v>;

/// One row.
pub(crate) struct Row {
    pub(crate) field: Field,
    /// What a profile asks there.
    pub(crate) asks: fn(&SnpProfile) -> Ask,
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

const fn row(field: Field, asks: fn(&SnpProfile) -> Ask, apart: &'static [Check]) -> Row {
    Row { field, asks, shows: None, apart }
}

const fn value(field: Field, asks: fn(&SnpProfile) -> Ask, check: Check, shows: Shows) -> Row {
    Row { field, asks, shows: Some((check, shows)), apart: &[] }
}

const REJECTED_OR_ALLOWED: Written = Written::Word(&["rejected", "allowed"]);
const REQUIRED_OR_NOT: Written = Written::Word(&["required", "unchecked"]);

/// All of them, in the order in which policies are written.
pub(crate) const FIELDS: &[Row] = &[
    row(
        Field::new(
            "products",
            Topic::Hardware,
            "The processor",
            "any generation is taken",
            Written::Names { of: PRODUCTS, waivable: false },
        )
        .recorded(Recorded::Name("product")),
        |profile| Ask::names(profile.products.iter().map(|product| product.word())),
        &[Check::SNP_PRODUCT_DENIED],
    ),
    row(
        Field::new(
            "denied_products",
            Topic::Hardware,
            "The processor",
            "no generation is denied by name",
            Written::Reasons(PRODUCTS),
        )
        .recorded(Recorded::Name("product")),
        |profile| Ask::no_names(profile.denied_products.keys().map(|product| product.word())),
        &[Check::SNP_PRODUCT_DENIED],
    ),
    row(
        Field::new(
            "signing_keys",
            Topic::Vouching,
            "The kind of key that signs the report",
            "any kind is taken",
            Written::Names { of: SIGNING_KEYS, waivable: false },
        )
        .recorded(Recorded::Name("signing_key")),
        |profile| Ask::names(profile.signing_keys.iter().map(|key| key.word())),
        &[Check::SNP_CHAIN_LEAF_KIND],
    ),
    row(
        Field::new(
            "csp_ids",
            Topic::Vouching,
            "The cloud provider of a VLEK",
            "a VLEK of any provider is taken",
            Written::Texts { example: "another-provider", pattern: "" },
        )
        .recorded(Recorded::Name("csp_id")),
        |profile| profile.csp_ids.required().map_or(Ask::Nothing, |ids| Ask::names(ids.iter().map(String::as_str))),
        &[Check::SNP_CHAIN_CSP],
    ),
    row(
        Field::new(
            "masked_chip_id",
            Topic::Hardware,
            "A report that hides its chip",
            "nobody can tell which chip it was",
            REJECTED_OR_ALLOWED,
        )
        .states(&[(1, "a report that hides its chip")])
        .recorded(Recorded::State("masked_chip_id", true)),
        |profile| profile.masked_chip_id.ask(),
        &[Check::SNP_LEAF_CHIP_ID],
    ),
    value(
        Field::new(
            "chip_ids",
            Topic::Hardware,
            "The chip",
            "any chip is taken, also one whose key is known to have been extracted",
            Written::Ids { lengths: &[64, 8], not_zero: true },
        )
        .weak(Severity::Note, "the ids of your chips, where you know them"),
        |profile| {
            let id = |chip: &ChipIdText| Value::Bytes(chip.0.0.to_vec());
            profile.chip_ids.required().map_or(Ask::Nothing, |chips| Ask::OneOf(chips.iter().map(id).collect()))
        },
        Check::SNP_PLATFORM_ALLOWED,
        |vouched| Shown::bytes(&vouched.report.get().chip_id.0),
    ),
    row(
        Field::new(
            "revocation",
            Topic::Vouching,
            "AMD's revocation list",
            "a certificate that AMD has revoked is taken",
            Written::Word(&["required", "if-supplied", "unchecked"]),
        )
        .weak(Severity::Warning, "\"required\"")
        .states(&[(2, "no revocation list supplied"), (1, "a revocation list that names the intermediate")]),
        |profile| match profile.revocation {
            Revocation::Required => Ask::Word(2, "must be there and current, and must not list the intermediate"),
            Revocation::IfSupplied => Ask::Word(1, "is read if it is supplied, and not missed if it is not"),
            Revocation::Unchecked => Ask::Nothing,
        },
        &[Check::SNP_CHAIN_REVOCATION, Check::SNP_CHAIN_AGE, Check::SNP_CHAIN_ROLLBACK],
    ),
    row(
        Field::new(
            "max_collateral_age",
            Topic::Vouching,
            "AMD's revocation list",
            "whoever hands it in may choose one from before a revocation, as long as it has not run out",
            Written::Age,
        )
        .optional(),
        |profile| profile.max_collateral_age.ask(),
        &[Check::SNP_CHAIN_AGE],
    ),
    row(
        Field::new(
            "minimum_tcb",
            Topic::Hardware,
            "The security version of the firmware's components",
            "firmware with published holes is taken",
            Written::Floors(COMPONENTS),
        )
        .weak(Severity::Warning, "a floor for each product, as in `strict`")
        .recorded(Recorded::Tcb("tcb", "product")),
        |profile| {
            let floor = |(product, least): (&Product, &Minimum)| (product.word(), components(least));
            profile
                .minimum_tcb
                .required()
                .map_or(Ask::Nothing, |minima| Ask::Floors(minima.iter().map(floor).collect()))
        },
        &[Check::SNP_TCB_MINIMUM],
    ),
    row(
        Field::new(
            "bulletins",
            Topic::Hardware,
            "Of AMD's security bulletins, the platform",
            "any may be unanswered, and the report only lists them",
            Written::Bulletins { baseline: BASELINE, judged: BULLETINS },
        )
        .weak(Severity::Warning, "{ baseline = 1, grace_days = 0, except = {} }"),
        |profile| match &profile.bulletins {
            Waivable::Unchecked => Ask::Nothing,
            Waivable::Required(Bulletins { baseline, grace_days, except }) => Ask::NoneOpen {
                set: *baseline,
                grace_days: *grace_days,
                except: except.keys().cloned().map(Value::Name).collect(),
            },
        },
        &[Check::SNP_TCB_BULLETINS],
    ),
    row(
        Field::new(
            "committed_firmware",
            Topic::Hardware,
            "The committed firmware",
            "the operator can roll the firmware back",
            REQUIRED_OR_NOT,
        )
        .weak(Severity::Warning, "\"required\"")
        .states(&[(1, "firmware that runs uncommitted")])
        .recorded(Recorded::State("committed_firmware", false)),
        |profile| {
            profile.committed_firmware.required().map_or(Ask::Nothing, |_| Ask::Word(1, "must be the one that runs"))
        },
        &[Check::SNP_TCB_ORDER],
    ),
    row(
        Field::new(
            "minimum_firmware",
            Topic::Hardware,
            "The version of the SEV firmware",
            "any version is taken",
            Written::Version(3),
        )
        .recorded(Recorded::Version("firmware")),
        |profile| profile.minimum_firmware.ask(),
        &[Check::SNP_FIRMWARE_MINIMUM],
    ),
    row(
        Field::new(
            "mitigations",
            Topic::Hardware,
            "The vector of mitigations, at launch and now,",
            "no mitigation has to be active",
            Written::Mask,
        )
        .recorded(Recorded::Mask("mitigations")),
        |profile| profile.mitigations.ask(),
        &[Check::SNP_MITIGATIONS],
    ),
    value(
        Field::new(
            "platform_info",
            Topic::Hardware,
            "The platform",
            "aliased memory (BadRAM) and any other setting go unseen",
            Written::Bits(PLATFORM_BITS, 0),
        )
        .weak(Severity::Warning, "{ required = [\"alias-check-complete\"], forbidden = [], unknown = \"rejected\" }")
        .recorded(Recorded::Bits("platform_info", 0)),
        |profile| profile.platform_info.ask(),
        Check::SNP_PLATFORM_INFO,
        |vouched| Shown::Bits(vouched.report.get().platform_info),
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
        .recorded(Recorded::StateOfBits("policy", 1 << 19)),
        |profile| profile.debug.ask(),
        &[Check::SNP_POLICY_DEBUG],
    ),
    row(
        Field::new(
            "migration_agent",
            Topic::Hardware,
            "A guest that a migration agent may move, with its memory,",
            "an agent can take it anywhere",
            REJECTED_OR_ALLOWED,
        )
        .states(&[(1, "a migration agent allowed at launch")])
        .recorded(Recorded::StateOfBits("policy", 1 << 18)),
        |profile| profile.migration_agent.ask(),
        &[Check::SNP_POLICY_MIGRATION],
    ),
    row(
        Field::new(
            "policy_flags",
            Topic::Hardware,
            "The guest's launch policy",
            "any launch policy is taken, short of debug and migration",
            Written::Bits(POLICY_BITS, POLICY_BITS_RULED_ELSEWHERE),
        )
        .recorded(Recorded::Bits("policy", POLICY_BITS_RULED_ELSEWHERE)),
        |profile| profile.policy_flags.ask(),
        &[Check::SNP_POLICY_FLAGS],
    ),
    row(
        Field::new(
            "minimum_abi",
            Topic::Hardware,
            "The firmware interface that the launch policy demands",
            "any is taken",
            Written::Version(2),
        )
        .recorded(Recorded::AbiVersion("policy")),
        |profile| profile.minimum_abi.ask(),
        &[Check::SNP_POLICY_FLAGS],
    ),
    value(
        // The digest begins as zeros and every page that is loaded changes it: a guest into which nothing was loaded.
        Field::new(
            "measurement",
            Topic::Code,
            "The launch measurement (MEASUREMENT)",
            "any code at all can run in the guest",
            Written::Bytes(48),
        )
        .weak(Severity::Error, "the launch measurement of your image")
        .blanks(&[(0x00, Blank::Nobody)]),
        |profile| profile.measurement.ask(),
        Check::SNP_GUEST_MEASUREMENT,
        |vouched| Shown::bytes(&vouched.report.get().measurement.0),
    ),
    value(
        Field::new(
            "host_data",
            Topic::Code,
            "What the host bound at launch (HOST_DATA)",
            "the host can start the measured guest with a configuration of its own",
            Written::Bytes(32),
        ),
        |profile| profile.host_data.ask(),
        Check::SNP_GUEST_HOST_DATA,
        |vouched| Shown::bytes(&vouched.report.get().host_data.0),
    ),
    value(
        Field::new(
            "guest_svn",
            Topic::Code,
            "The guest's security version",
            "an older guest of the same author is taken",
            Written::Number,
        ),
        |profile| profile.guest_svn.ask(),
        Check::SNP_GUEST_SVN,
        |vouched| Shown::Number(vouched.report.get().guest_svn.into()),
    ),
    value(
        Field::new("family_id", Topic::Code, "The family id of the ID block", "any is taken", Written::Bytes(16)),
        |profile| profile.family_id.ask(),
        Check::SNP_GUEST_FAMILY_ID,
        |vouched| Shown::bytes(&vouched.report.get().family_id.0),
    ),
    value(
        Field::new("image_id", Topic::Code, "The image id of the ID block", "any is taken", Written::Bytes(16)),
        |profile| profile.image_id.ask(),
        Check::SNP_GUEST_IMAGE_ID,
        |vouched| Shown::bytes(&vouched.report.get().image_id.0),
    ),
    value(
        // AMD 56860, table 23: all ones where there is no migration agent, and one comes with the launch or never. That
        // firmware ever wrote zeros is not known, so nobody knows what they would mean.
        Field::new(
            "report_id_ma",
            Topic::Code,
            "The migration agent that the guest is bound to",
            "any agent is taken, where migration is",
            Written::Bytes(32),
        )
        .blanks(&[(0xFF, Blank::NoneThere), (0x00, Blank::Nobody)]),
        |profile| profile.report_id_ma.ask(),
        Check::SNP_GUEST_REPORT_ID_MA,
        |vouched| Shown::bytes(&vouched.report.get().report_id_ma.0),
    ),
    value(
        Field::new(
            "vmpl",
            Topic::Code,
            "The privilege level that asked for the report",
            "what runs below a paravisor can speak for it",
            Written::Level(Vmpl::LAST, Vmpl::NO_FLOOR),
        )
        .weak(Severity::Warning, "[0], or the level of your guest's kernel below a paravisor")
        .recorded(Recorded::Numbers(&["vmpl"])),
        |profile| profile.vmpl.ask(),
        Check::SNP_GUEST_VMPL,
        |vouched| Shown::Number(vouched.report.get().vmpl.into()),
    ),
    value(
        // Zeros without an ID block, which then says SVN and ids of zero.
        Field::new(
            "id_key",
            Topic::Code,
            "The key that signed the ID block",
            "anybody can have signed it",
            Written::Bytes(48),
        )
        .blanks(&[(0x00, Blank::NoneThere)]),
        |profile| profile.id_key.ask(),
        Check::SNP_GUEST_ID_KEY,
        |vouched| Shown::bytes(&vouched.report.get().id_key_digest.0),
    ),
    row(
        // Zeros: no author signed the ID key, so that it may be anybody's.
        Field::new(
            "author_key",
            Topic::Code,
            "The key that signed the ID key",
            "anybody can have signed it",
            Written::Bytes(48),
        )
        .blanks(&[(0x00, Blank::Nobody)]),
        |profile| profile.author_key.ask(),
        &[Check::SNP_GUEST_AUTHOR_KEY],
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
        &[Check::SNP_GUEST_REPORT_DATA],
    ),
];

/// The components of each product's TCB, in the order in which reports show them.
const COMPONENTS: &[(&str, &[&str])] = &[
    ("milan", &["bootloader", "tee", "snp", "microcode"]),
    ("genoa", &["bootloader", "tee", "snp", "microcode"]),
    ("turin", &["fmc", "bootloader", "tee", "snp", "microcode"]),
];

fn components(Minimum(least): &Minimum) -> Floor {
    let TcbVersion { fmc, bootloader, tee, snp, microcode } = *least;
    let all = [("bootloader", bootloader), ("tee", tee), ("snp", snp), ("microcode", microcode)];
    fmc.map(|fmc| ("fmc", fmc)).into_iter().chain(all).collect()
}

/// The field of this name, of those above.
pub(super) fn field(name: &str) -> Option<&'static Field> {
    FIELDS.iter().map(|row| &row.field).find(|field| field.name == name)
}
