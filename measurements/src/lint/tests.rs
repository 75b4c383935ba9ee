//! One change of a shipped policy, and the remark that it earns.

use super::*;
use teegate_verifier::{Policy, UnixTime};

fn lint(text: &str, strict: &str) -> Result<Vec<Remark>, PolicyError> {
    super::lint(text, &ReferenceValues::default(), &Shipped { strict, seen: "" })
}

use crate::{GENUINE, STRICT};

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
    earns_in(&strict(), from, to, severity, field, says);
}

#[track_caller]
fn earns_in(base: &str, from: &str, to: &str, severity: Severity, field: &str, says: &str) {
    assert!(base.contains(from), "{from}");
    let remarks = lint(&base.replace(from, to), STRICT).unwrap();
    let own = |remark: &&Remark| {
        remark.severity == severity && remark.field.ends_with(&format!(".{field}")) && remark.opens.contains(says)
    };
    assert!(remarks.iter().any(|remark| own(&remark)), "{from} -> {to}: {remarks:#?}");
    assert!(!lint(base, STRICT).unwrap().iter().any(|remark| own(&remark)));
}

/// `strict`, claiming nothing that needs pinned code.
fn unbound() -> String {
    let bound = ["bound_to", "host_data", "mrconfigid"];
    let line = |line: &str| match bound.iter().find(|field| line.starts_with(&format!("{field} = "))) {
        Some(field) => format!("{field} = \"unchecked\"\n"),
        None => format!("{line}\n"),
    };
    strict().lines().map(line).collect()
}

fn quoted(byte: &str, length: usize) -> String {
    format!("\"{}\"", byte.repeat(length))
}

/// Values of nobody, and more levels than one.
#[test]
fn a_rule_that_pins_less_than_it_looks_like_is_named() {
    use Severity::{Error, Note, Warning};
    let (zeros, twos) = (quoted("00", 48), quoted("22", 48));
    let either = format!("[{twos}, {zeros}]");
    let change = |base: &str, field: &str, to: &str, severity, says: &str| {
        earns_in(base, &format!("\n{field} = {twos}"), &format!("\n{field} = {to}"), severity, field, says);
    };
    let strict = unbound();
    // Boot registers without the firmware are refused.
    let genuine = GENUINE.replace("mrtd = \"unchecked\"", &format!("mrtd = {twos}"));
    for (base, field) in [(&strict, "measurement"), (&genuine, "mrtd")] {
        change(base, field, &zeros, Error, "nothing that is genuine is accepted");
        change(base, field, &either, Warning, "pins nobody");
    }
    for field in ["rtmr0", "rtmr1", "rtmr2"] {
        change(&strict, field, &zeros, Note, "nothing was extended there");
        change(&strict, field, &either, Note, "nothing was extended there");
    }
    for rtmr0 in [&zeros, &either] {
        change(&strict, "rtmr0", rtmr0, Warning, "the firmware measured no ACPI tables there");
    }
    let bears = format!("\nrtmr0 = {zeros}\nunjudged_acpi_tables = \"measured into RTMR2\"");
    let says = "RTMR0 shows none of them: measured into RTMR2";
    earns_in(&strict, &format!("\nrtmr0 = {twos}"), &bears, Warning, "unjudged_acpi_tables", says);
    let [none, nobody] = ["ff", "00"].map(|byte| format!("report_id_ma = {}", quoted(byte, 32)));
    earns_in(&strict, &none, &nobody, Error, "report_id_ma", "nothing that is genuine is accepted");
    earns_in(&strict, "vmpl = [0]", "vmpl = [0, 1]", Warning, "vmpl", "less privileged");
}

/// Floors below everything that exists, and the first that is not.
#[test]
fn a_floor_below_everything_is_named() {
    use Severity::{Note, Warning};
    let firmware = |to: &str| format!("minimum_firmware = \"{to}\"");
    for (to, severity, says) in
        [("0.0.1", Warning, "refuses nothing"), ("0.24.0", Warning, "refuses nothing"), ("1.55.28", Note, "1.55.29")]
    {
        earns(&firmware("1.55.29"), &firmware(to), severity, "minimum_firmware", says);
    }
    let date = |to: &str| format!("minimum_tcb_date = {to}");
    for day in ["\"1970-01-01T00:00:01Z\"", "\"2018-01-04T00:00:00Z\""] {
        earns(&date("\"unchecked\""), &date(day), Warning, "minimum_tcb_date", "refuses nothing");
    }
    let xfam = "xfam = { required = \"0x3\", allowed = \"0x6dbe7\" }";
    let all = "xfam = { required = \"0x7\", allowed = \"0xffffffffffffffff\" }";
    earns(xfam, all, Warning, "xfam", "every feature may be on");
    for (from, to, field) in [
        (date("\"unchecked\""), date("\"2018-01-04T00:00:01Z\""), "minimum_tcb_date"),
        (firmware("1.55.29"), firmware("1.55.30"), "minimum_firmware"),
        ("vmpl = [0]".to_owned(), "vmpl = [1, 1]".to_owned(), "vmpl"),
    ] {
        let remarks = lint(&strict().replace(&from, &to), STRICT).unwrap();
        assert!(!remarks.iter().any(|remark| remark.field.ends_with(&format!(".{field}"))), "{to}: {remarks:#?}");
    }
}

#[test]
fn an_id_block_is_held_against_its_keys() {
    use Severity::{Error, Note, Warning};
    let remarks = |rules: &[(&str, &str)]| -> Vec<(Severity, &str)> {
        let text = rules.iter().fold(strict(), |text, (field, value)| {
            text.replace(&format!("\n{field} = \"unchecked\""), &format!("\n{field} = {value}"))
        });
        let block = ["guest_svn", "family_id", "image_id", "id_key", "author_key"];
        let of_block = |remark: Remark| {
            let field = block.into_iter().find(|field| remark.field.ends_with(&format!(".{field}")))?;
            Some((remark.severity, field))
        };
        lint(&text, STRICT).unwrap().into_iter().filter_map(of_block).collect()
    };
    let (zeros, ones, id, no_id) = (quoted("00", 48), quoted("01", 48), quoted("05", 16), quoted("00", 16));
    let (no_block, signed) = (("id_key", zeros.as_str()), ("id_key", ones.as_str()));
    let (no_author, author) = (("author_key", zeros.as_str()), ("author_key", ones.as_str()));
    for (rules, expected) in [
        (vec![], vec![]),
        (vec![no_author], vec![(Warning, "author_key")]),
        (vec![author], vec![]),
        (vec![no_author, signed], vec![]),
        (vec![signed, ("guest_svn", "0")], vec![(Warning, "guest_svn")]),
        (vec![signed, ("guest_svn", "[0, 3]")], vec![(Warning, "guest_svn")]),
        (vec![signed, ("guest_svn", "3")], vec![(Note, "guest_svn")]),
        (vec![signed, ("guest_svn", "{ at_least = 3 }")], vec![]),
        // Without an ID block all of it is zero.
        (vec![no_block, no_author, ("guest_svn", "0"), ("family_id", &no_id)], vec![]),
        (vec![no_block, ("guest_svn", "{ at_least = 1 }")], vec![(Error, "guest_svn")]),
        (vec![no_block, ("family_id", &id)], vec![(Error, "family_id")]),
        (vec![no_block, ("image_id", &id)], vec![(Error, "image_id")]),
        (vec![no_block, author], vec![(Error, "author_key")]),
    ] {
        assert_eq!(remarks(&rules), expected, "{rules:?}");
    }
}

#[test]
fn an_exception_that_lets_in_nothing_is_told_from_one_that_does() {
    let exception = |status: &str| {
        format!(
            "{{ INTEL-SA-00837 = {{ statuses = [\"{status}\"], until = \"2027-01-01T00:00:00Z\", reason = \"why\" }} }}"
        )
    };
    let (old, up_to_date) = (exception("OutOfDate"), exception("UpToDate"));
    let (own, other) = ("[\"INTEL-SA-00837\"]", "[\"INTEL-SA-00001\"]");
    for (exception, allowed, denied, severity, says) in [
        (&old, "\"unchecked\"", "\"unchecked\"", Severity::Note, "is taken until 2027"),
        (&old, own, other, Severity::Note, "is taken until 2027"),
        (&old, "\"unchecked\"", own, Severity::Warning, "lets in nothing"),
        (&old, other, "\"unchecked\"", Severity::Warning, "lets in nothing"),
        (&up_to_date, "\"unchecked\"", "\"unchecked\"", Severity::Warning, "takes every status"),
    ] {
        let text = strict()
            .replace("\ntcb_exceptions = {}", &format!("\ntcb_exceptions = {exception}"))
            .replace("allowed_advisories = \"unchecked\"", &format!("allowed_advisories = {allowed}"))
            .replace("denied_advisories = \"unchecked\"", &format!("denied_advisories = {denied}"));
        let found: Vec<_> = lint(&text, STRICT)
            .unwrap()
            .into_iter()
            .filter(|remark| remark.field.ends_with(".tcb_exceptions"))
            .collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].severity == severity && found[0].opens.contains(says), "{found:?}");
    }
}

/// The strictest policy asks for the newest standard evaluation that this release knows.
#[test]
fn strict_asks_for_the_standard_evaluation() {
    let policy = Policy::parse(&strict()).unwrap();
    let asked = policy.document().profiles()[1].ask("minimum_evaluation_number");
    assert_eq!(asked, Some(&Ask::AtLeast(tdx::STANDARD_EVALUATION)));
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
            "minimum_evaluation_number = 20",
            "minimum_evaluation_number = 19",
            Warning,
            "minimum_evaluation_number",
            "19 is older than 20, the newest standard evaluation",
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

/// What is remarked of these fields of `genuine`, by the kind that an acknowledgement names.
#[test]
fn a_remark_is_named_by_field_and_kind() {
    let names: Vec<_> = RemarkKind::ALL.map(RemarkKind::name).to_vec();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), names.len());
    let kinds = |base: &str, from: &str, to: &str, field: &str| -> Vec<RemarkKind> {
        assert!(base.contains(from), "{from}");
        let remarks = lint(&base.replace(from, to), STRICT).unwrap();
        remarks.iter().filter(|remark| remark.field.ends_with(field)).map(|remark| remark.kind).collect()
    };
    for (from, to, field, kind) in [
        ("masked_chip_id = \"rejected\"", "masked_chip_id = \"allowed\"", "masked_chip_id", RemarkKind::Allowed),
        ("revocation = \"required\"", "revocation = \"if-supplied\"", "sev-snp.strict.revocation", RemarkKind::Wide),
        ("number = 20", "number = 17", "tdx.strict.minimum_evaluation_number", RemarkKind::Old),
        (
            "baseline = 1, grace_days = 0",
            "baseline = 1, grace_days = 400",
            "sev-snp.strict.bulletins",
            RemarkKind::Lasting,
        ),
    ] {
        assert_eq!(kinds(&strict(), from, to, field), [kind], "{to}");
        assert_eq!(kinds(&strict(), from, from, field), [], "{from}");
    }
    assert_eq!(kinds(GENUINE, "schema", "schema", "sev-snp.genuine.measurement"), [RemarkKind::Unasked]);
    assert_eq!(kinds(STRICT, "schema", "schema", "sev-snp.strict.measurement"), [RemarkKind::Needed]);
}

const NOW: UnixTime = UnixTime::from_seconds(1_780_000_000);

fn accepts(field: &str, remark: &str, more: &str) -> String {
    format!(
        "schema = 1\n[[accept]]\nfield = \"{field}\"\nremark = \"{remark}\"\nreason = \"why\"\nuntil = \"2027-01-01T00:00:00Z\"\n{more}\n"
    )
}

/// The fields of `genuine` that are borne, and what is stale.
fn reviewed(text: &str) -> (Vec<String>, Vec<(StaleKind, usize)>) {
    let review = Acknowledgements::parse(text).unwrap().review(lint(GENUINE, STRICT).unwrap(), NOW);
    let borne = review.remarks.into_iter().filter(|one| one.acknowledged.is_some()).map(|one| one.remark.field);
    (borne.collect(), review.stale.iter().map(|one| (one.kind, one.line)).collect())
}

#[test]
fn an_acknowledgement_bears_the_remark_that_it_names_and_no_other() {
    let field = "sev-snp.genuine.measurement";
    assert_eq!(reviewed(&accepts(field, "unasked", "")), (vec![field.to_owned()], vec![]));
    assert_eq!(reviewed(&accepts(field, "wide", "")), (vec![], vec![(StaleKind::Unused, 2)]));
    assert_eq!(reviewed(&accepts("sev-snp.genuine.measuremen", "unasked", "")), (vec![], vec![(StaleKind::Unused, 2)]));
    let opens = lint(GENUINE, STRICT).unwrap().into_iter().find(|remark| remark.field == field).unwrap().opens;
    assert_eq!(
        reviewed(&accepts(field, "unasked", &format!("opens = '''{opens}'''"))),
        (vec![field.to_owned()], vec![])
    );
    assert_eq!(
        reviewed(&accepts(field, "unasked", "opens = \"something else\"")),
        (vec![], vec![(StaleKind::Unused, 2)])
    );
    assert_eq!(reviewed("schema = 1"), (vec![], vec![]));
}

#[test]
fn an_acknowledgement_ends() {
    let text = accepts("sev-snp.genuine.measurement", "unasked", "");
    let review = |now| Acknowledgements::parse(&text).unwrap().review(lint(GENUINE, STRICT).unwrap(), now);
    let end = UnixTime::parse("2027-01-01T00:00:00Z").unwrap();
    let before = review(UnixTime::from_seconds(end.seconds() - 1));
    assert_eq!((before.remarks.iter().filter(|one| one.acknowledged.is_some()).count(), before.stale), (1, vec![]));
    let after = review(end);
    assert!(after.remarks.iter().all(|one| one.acknowledged.is_none()));
    assert_eq!(
        after.stale.iter().map(|one| (one.severity, one.kind)).collect::<Vec<_>>(),
        [(Severity::Error, StaleKind::Expired)]
    );
    assert_eq!(before.remarks.len(), after.remarks.len(), "nothing is left out of what is shown");
}

#[test]
fn an_acknowledgement_without_a_reason_or_an_end_is_refused_with_its_place() {
    let good = accepts("a.b.c", "unasked", "");
    assert!(Acknowledgements::parse(&good).is_ok());
    for (from, to, says) in [
        ("schema = 1", "", "`schema` is missing"),
        ("schema = 1", "schema = 2", "line 1, column 10: `schema`: expected 1"),
        (
            "schema = 1",
            "schema = 1\nmore = 1",
            "line 2, column 1: `more`: expected `schema = 1` and tables `[[accept]]`",
        ),
        ("reason = \"why\"\n", "", "line 2, column 1: `reason` is missing: expected `field`"),
        ("reason = \"why\"", "reason = \" \"", "line 5, column 10: `reason`: expected a string that is not empty"),
        ("until = \"2027-01-01T00:00:00Z\"\n", "", "line 2, column 1: `until` is missing"),
        ("\"2027-01-01T00:00:00Z\"", "\"never\"", "line 6, column 9: `until`: expected a time such as"),
        ("\"2027-01-01T00:00:00Z\"", "2027-01-01T00:00:00Z", "line 6, column 9: `until`: expected a string"),
        (
            "\"unasked\"",
            "\"unaskd\"",
            "line 4, column 10: `remark`: `unaskd` is none; expected one of unasked, needed, ",
        ),
        ("[[accept]]", "[accept]", "line 2, column 2: `accept`: expected"),
        ("reason =", "why = 1\nreason =", "line 5, column 1: `why`: expected `field`"),
        ("schema = 1\n", "schema = 1\naccept = [1]\n#", ""),
    ] {
        let error = Acknowledgements::parse(&good.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(says), "{to}: {error}");
    }
    let twice = good.clone() + good.split_once('\n').unwrap().1;
    let error = Acknowledgements::parse(&twice).unwrap_err().to_string();
    assert_eq!(error, "line 8, column 1: what stands in line 2 is accepted a second time");
    let entry = |number: usize| good.split_once('\n').unwrap().1.replace("a.b.c", &format!("a.b.c{number}"));
    let many = |number: usize| format!("schema = 1\n{}", (0..number).map(entry).collect::<String>());
    assert!(Acknowledgements::parse(&many(1_000)).is_ok());
    let error = Acknowledgements::parse(&many(1_001)).unwrap_err().to_string();
    assert!(error.ends_with(": more than 1000 are accepted"), "{error}");
    let long = Acknowledgements::parse(&good.replace("unasked", &"x".repeat(100_000))).unwrap_err().to_string();
    assert!(long.len() < 500, "{}", long.len());
}
