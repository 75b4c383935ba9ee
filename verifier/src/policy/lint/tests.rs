//! One change of a shipped policy, and the remark that it earns.

use super::*;

fn lint(text: &str, strict: &str) -> Result<Vec<Remark>, PolicyError> {
    super::lint(text, &ReferenceValues::default(), &Shipped { strict, seen: "" })
}

const GENUINE: &str = include_str!("../../../../measurements/policy/genuine.toml");
const STRICT: &str = include_str!("../../../../measurements/policy/strict.toml");

/// `strict`, with a reference value wherever it asks for one.
fn strict() -> String {
    let host_data = format!("host_data = \"{}\"", "11".repeat(32));
    STRICT
        .replace("host_data = \"reference-value-needed\"", &host_data)
        .replace("reference-value-needed", &"22".repeat(48))
}

#[test]
fn strict_with_its_values_warns_of_milan_and_of_nothing_else() {
    let found = |text: &str| -> Vec<(Severity, String)> {
        lint(text, STRICT).unwrap().into_iter().map(|remark| (remark.severity, remark.field)).collect()
    };
    let notes = ["sev-snp.strict.chip_ids", "tdx.strict.ppids"].map(|field| (Severity::Note, field.to_owned()));
    let milan = (Severity::Warning, "sev-snp.strict.products".to_owned());
    assert_eq!(found(&strict()), [vec![milan], notes.to_vec()].concat());
    let without = strict().replace("products = [\"milan\", ", "products = [");
    assert_eq!(found(&without), notes);
}

#[test]
fn every_remark_stands_on_the_line_and_column_of_its_field() {
    let indented = GENUINE.replace("\nrevocation", "\n\t  revocation").replace("[tdx.genuine]", "[ tdx . 'genuine' ]");
    for text in [GENUINE.to_owned(), strict(), indented] {
        let remarks = lint(&text, STRICT).unwrap();
        assert!(!remarks.is_empty());
        for remark in remarks {
            let line: String = text.lines().nth(remark.line - 1).unwrap().chars().skip(remark.column - 1).collect();
            let (table, field) = remark.field.rsplit_once('.').unwrap();
            assert!(line.starts_with(&format!("{field} =")), "{remark:?}: {line}");
            let header = text.lines().take(remark.line).filter(|line| line.starts_with('[')).last().unwrap();
            let header: String = header.chars().filter(|c| !" []'".contains(*c)).collect();
            assert_eq!(header, table);
        }
    }
}

#[test]
fn dotted_keys_and_inline_tables_have_their_places_too() {
    let (head, rest) = GENUINE.split_once("[sev-snp.genuine]\n").unwrap();
    let (snp, _) = rest.split_once("[tdx.genuine]\n").unwrap();
    let text = format!("{head}# ä\nsev-snp.genuine = {{ {} }}\n", snp.trim().replace('\n', ", "));
    let remark = lint(&text, STRICT).unwrap().into_iter().find(|remark| remark.field.ends_with(".vmpl")).unwrap();
    let line = text.lines().nth(remark.line - 1).unwrap();
    assert!(line.get(remark.column - 1..).unwrap().starts_with("vmpl = "), "{remark:?}");
    assert_eq!(position("ä\näb", 5), (2, 2));
}

/// `strict` with one value changed must earn this remark, and did not have it before.
#[track_caller]
fn earns(from: &str, to: &str, severity: Severity, field: &str, says: &str) {
    let strict = strict();
    assert!(strict.contains(from), "{from}");
    let remarks = lint(&strict.replace(from, to), STRICT).unwrap();
    let own = |remark: &&Remark| {
        remark.severity == severity && remark.field.ends_with(&format!(".{field}")) && remark.opens.contains(says)
    };
    assert!(remarks.iter().any(|remark| own(&remark)), "{from} -> {to}: {remarks:#?}");
    assert!(!lint(&strict, STRICT).unwrap().iter().any(|remark| own(&remark)));
}

#[test]
fn each_weakness_and_contradiction_is_named() {
    use Severity::{Note, Warning};
    let ones = "2".repeat(96);
    for (from, to, severity, field, says) in [
        ("denied_products = {}", "denied_products = { milan = \"why\" }", Warning, "products", "listed and denied"),
        ("signing_keys = [\"vcek\"]", "signing_keys = [\"vlek\"]", Warning, "csp_ids", "any provider"),
        ("masked_chip_id = \"rejected\"", "masked_chip_id = \"allowed\"", Warning, "masked_chip_id", "which chip"),
        (
            "bulletins = { baseline = 1",
            "bulletins = \"unchecked\" # { baseline = 1",
            Warning,
            "bulletins",
            "unanswered",
        ),
        ("grace_days = 0", "grace_days = 91", Warning, "bulletins", "91 days"),
        ("except = {} }\n", "except = { AMD-SB-3016 = \"why\" } }\n", Note, "bulletins", "AMD-SB-3016"),
        (
            "deciding_evaluation = \"highest\"",
            "deciding_evaluation = \"lowest\"",
            Warning,
            "deciding_evaluation",
            "older evaluation",
        ),
        ("out_of_date_grace = \"none\"", "out_of_date_grace = { days = 91 }", Warning, "out_of_date_grace", "91 days"),
        ("out_of_date_grace = \"none\"", "out_of_date_grace = { days = 9 }", Note, "out_of_date_grace", "9 days"),
        (
            "\ntcb_exceptions = {}",
            "\ntcb_exceptions = { INTEL-SA-00837 = { statuses = [\"OutOfDate\"], until = \"2027-01-01T00:00:00Z\", reason = \"why\" } }",
            Note,
            "tcb_exceptions",
            "INTEL-SA-00837 is taken until",
        ),
        ("revocation = \"required\"", "revocation = \"if-supplied\"", Warning, "revocation", "leaves the list out"),
        ("revocation = \"required\"", "revocation = \"unchecked\"", Warning, "revocation", "revoked"),
        ("microcode = 219", "microcode = 218", Warning, "minimum_tcb", "`microcode` of `milan` is 218"),
        ("fmc = 1", "fmc = 0", Warning, "minimum_tcb", "`fmc` of `turin`"),
        (
            "milan = { bootloader = 4, tee = 0, snp = 24, microcode = 219 }, ",
            "",
            Warning,
            "minimum_tcb",
            "`milan` is listed",
        ),
        (
            "committed_firmware = \"required\"",
            "committed_firmware = \"unchecked\"",
            Warning,
            "committed_firmware",
            "roll",
        ),
        ("minimum_firmware = \"1.55.29\"", "minimum_firmware = \"unchecked\"", Note, "minimum_firmware", "any version"),
        ("required = [\"alias-check-complete\"]", "required = []", Warning, "platform_info", "BadRAM"),
        ("migration_agent = \"rejected\"", "migration_agent = \"allowed\"", Warning, "migration_agent", "its memory"),
        ("report_data = \"caller\"", "report_data = \"unchecked\"", Warning, "report_data", "may be old"),
        ("trailing_bytes = \"zero\"", "trailing_bytes = \"any\"", Warning, "trailing_bytes", "nobody signed"),
        (
            "minimum_evaluation_number = 17",
            "minimum_evaluation_number = 16",
            Warning,
            "minimum_evaluation_number",
            "below the 17",
        ),
        ("one_evaluation = \"required\"", "one_evaluation = \"unchecked\"", Warning, "one_evaluation", "old judgement"),
        ("tcb_status = [\"UpToDate\"]", "tcb_status = [\"OutOfDate\"]", Warning, "tcb_status", "`OutOfDate`"),
        (
            "tcb_status = [\"UpToDate\"]",
            "tcb_status = [\"SWHardeningNeeded\"]",
            Warning,
            "allowed_advisories",
            "every advisory",
        ),
        ("tcb_status = [\"UpToDate\"]", "tcb_status = \"unchecked\"", Warning, "tcb_status", "OutOfDate"),
        ("\"sept-ve-disable\"", "", Warning, "attributes", "`sept-ve-disable` is not required"),
        ("\"migratable\", ", "", Warning, "attributes", "`migratable` is not forbidden"),
        ("required = \"0x3\"", "required = \"0x6dbe7\"", Warning, "xfam", "exactly one value"),
        ("service_td = \"none\"", "service_td = \"unchecked\"", Warning, "service_td", "service TD"),
        ("bound_to = \"workload\"", "bound_to = \"unchecked\"", Warning, "bound_to", ""),
    ] {
        earns(from, to, severity, field, says);
    }
    let host_data = format!("host_data = \"{}\"", "11".repeat(32));
    earns(&host_data, "host_data = \"unchecked\"", Warning, "host_data", "configuration of its own");
    earns(
        &format!("mrconfigid = \"{ones}\""),
        "mrconfigid = \"unchecked\"",
        Warning,
        "mrconfigid",
        "configuration of its own",
    );
    let report_data = format!("report_data = \"{}\"", "00".repeat(64));
    earns("report_data = \"caller\"", &report_data, Note, "report_data", "recorded");
}

#[test]
fn code_that_is_not_pinned_and_debug_are_errors() {
    let text = GENUINE.replace("debug = \"rejected\"", "debug = \"allowed\"");
    let text = text.replace("profiling = \"rejected\"", "profiling = \"allowed\"");
    let remarks = lint(&text, STRICT).unwrap();
    let errors: Vec<_> =
        remarks.iter().filter(|one| one.severity == Severity::Error).map(|one| one.field.as_str()).collect();
    assert_eq!(
        errors,
        [
            "sev-snp.genuine.debug",
            "sev-snp.genuine.measurement",
            "tdx.genuine.debug",
            "tdx.genuine.profiling",
            "tdx.genuine.mrtd"
        ]
    );
}

#[test]
fn what_the_loader_refuses_is_refused_here_in_the_same_words_with_its_place() {
    assert_eq!(lint(STRICT, STRICT).unwrap_err(), Policy::parse(STRICT).unwrap_err());
    for (from, to, field) in [
        ("vmpl = [0]", "vmpl = \"unchecked\"", "host_data = "),
        ("guest_svn = \"unchecked\"", "guest_svn = 1", "guest_svn = "),
        ("turin = { fmc = 1, ", "turin = { ", "minimum_tcb = "),
    ] {
        let text = strict().replace(from, to);
        let line = text.lines().position(|line| line.starts_with(field)).unwrap() + 1;
        let loader = Policy::parse(&text).unwrap_err();
        assert!(loader.to_string().ends_with(&format!(" (line {line}, column 1)")), "{loader}");
        assert_eq!(lint(&text, STRICT).unwrap_err(), loader);
    }
}
