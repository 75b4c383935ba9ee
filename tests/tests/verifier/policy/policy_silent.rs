//! Rules that say nothing, form by form: what lets everything through, or nothing at all, is refused where it stands, beside
//! the nearest rule that says something. So a report never shows *pass* where *not checked* would be the truth.

use teegate_verifier::{Policy, Tee};

use crate::subject::good;

fn with(tee: Tee, field: &str, value: &str) -> String {
    let mut policy = good(tee).policy;
    policy.claim_nothing();
    policy.set(tee, field, value);
    policy.to_toml()
}

/// Each of `silent` is refused with these words and its line and column; `speaks` loads.
#[track_caller]
fn refused(tee: Tee, field: &str, silent: &[&str], says: &str, speaks: &[&str]) {
    for value in silent {
        let text = with(tee, field, value);
        let Err(error) = Policy::parse(&text) else { panic!("loaded: {field} = {value}") };
        let error = error.to_string();
        assert!(error.contains(says), "{field} = {value}: {error}");
        let line = text.lines().position(|line| line == format!("{field} = {value}")).unwrap() + 1;
        let column = error.split(&format!("line {line}, column ")).nth(1).map(str::trim_start);
        assert!(column.is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit())), "{line}: {error}");
    }
    for value in speaks {
        Policy::parse(&with(tee, field, value)).unwrap_or_else(|error| panic!("{field} = {value}: {error}"));
    }
}

const NOTHING: &str = "a rule that accepts or refuses nothing: write \"unchecked\" instead";
const UNCHECKED: &str = "\"unchecked\"";

#[test]
fn what_lets_everything_through_is_refused() {
    let anything = "{ required = [], forbidden = [], unknown = \"allowed\" }";
    let something = [
        "{ required = [], forbidden = [], unknown = \"rejected\" }",
        "{ required = [], forbidden = [\"smt\"], unknown = \"allowed\" }",
    ];
    let snp: [(&str, &[&str], &[&str]); 11] = [
        ("csp_ids", &["[]"], &["[\"a\"]", UNCHECKED]),
        ("chip_ids", &["[]"], &["[\"0000000000000001\"]", UNCHECKED]),
        ("minimum_tcb", &["{}"], &["{ milan = { bootloader = 0, tee = 0, snp = 1, microcode = 0 } }", UNCHECKED]),
        ("minimum_firmware", &["\"0.0.0\""], &["\"0.0.1\"", UNCHECKED]),
        ("minimum_abi", &["\"0.0\""], &["\"0.1\"", UNCHECKED]),
        ("mitigations", &["\"0x0\"", "\"0x0000000000000000\""], &["\"0x1\"", UNCHECKED]),
        ("platform_info", &[anything], &something),
        ("policy_flags", &[anything], &something),
        ("guest_svn", &["{ at_least = 0 }"], &["{ at_least = 1 }", "0", "[0, 1]", UNCHECKED]),
        ("vmpl", &["[0, 1, 2, 3]"], &["[0, 1, 2]", "3", UNCHECKED]),
        (
            "bulletins",
            &[
                "{ baseline = 1, grace_days = 0, except = { AMD-SB-3015 = \"a\", AMD-SB-3016 = \"b\", AMD-SB-3023 = \"c\" } }",
            ],
            &[
                "{ baseline = 1, grace_days = 0, except = { AMD-SB-3015 = \"a\", AMD-SB-3016 = \"b\" } }",
                "{ baseline = 1, grace_days = 3650, except = {} }",
            ],
        ),
    ];
    for (field, silent, speaks) in snp {
        refused(Tee::SevSnp, field, silent, NOTHING, speaks);
    }
    let all = "\"UpToDate\", \"SWHardeningNeeded\", \"ConfigurationNeeded\", \"ConfigurationAndSWHardeningNeeded\", \
               \"OutOfDate\", \"OutOfDateConfigurationNeeded\", \"TDRelaunchAdvised\"";
    let last = "\"TDRelaunchAdvisedConfigurationNeeded\"";
    let tdx: [(&str, &[&str], &[&str]); 8] = [
        ("ppids", &["[]"], &["[\"00000000000000000000000000000001\"]", UNCHECKED]),
        ("minimum_evaluation_number", &["0"], &["1", UNCHECKED]),
        (
            "tcb_status",
            &["[]", &format!("[{all}, {last}]"), &format!("[{last}, {all}, {all}]")],
            &["[\"OutOfDate\"]", &format!("[{all}]"), &format!("[{all}, {all}]"), UNCHECKED],
        ),
        ("allowed_advisories", &["[]"], &["[\"INTEL-SA-00001\"]", UNCHECKED]),
        ("denied_advisories", &["[]"], &["[\"INTEL-SA-00001\"]", UNCHECKED]),
        ("minimum_tcb_date", &["\"1970-01-01T00:00:00Z\""], &["\"1970-01-01T00:00:01Z\"", UNCHECKED]),
        ("attributes", &[anything], &[something[0]]),
        (
            "xfam",
            // x87 and SSE are on in every TD: the module sees to it.
            &[
                "{ required = \"0x0\", allowed = \"0xffffffffffffffff\" }",
                "{ required = \"0x3\", allowed = \"0xffffffffffffffff\" }",
            ],
            &[
                "{ required = \"0x4\", allowed = \"0xffffffffffffffff\" }",
                "{ required = \"0x3\", allowed = \"0x7fffffffffffffff\" }",
                UNCHECKED,
            ],
        ),
    ];
    for (field, silent, speaks) in tdx {
        refused(Tee::Tdx, field, silent, NOTHING, speaks);
    }
}

/// A floor is asked for product by product: one of zeros would show *pass* for each report of that product.
#[test]
fn a_floor_of_zeros_is_refused_for_each_product() {
    let zeros = "bootloader = 0, tee = 0, snp = 0, microcode = 0";
    let some = "bootloader = 0, tee = 0, snp = 1, microcode = 0";
    for (product, fmc) in [("milan", ""), ("genoa", ""), ("turin", "fmc = 0, ")] {
        let other = if product == "milan" { "genoa" } else { "milan" };
        let beside = format!("{{ {other} = {{ {some} }}, {product} = {{ {fmc}{zeros} }} }}");
        let alone = format!("{{ {product} = {{ {fmc}{zeros} }} }}");
        let speaks = format!("{{ {product} = {{ {fmc}{some} }} }}");
        refused(
            Tee::SevSnp,
            "minimum_tcb",
            &[&beside, &alone],
            "a floor of zeros is a rule that accepts or refuses nothing",
            &[&speaks],
        );
    }
    refused(Tee::SevSnp, "minimum_tcb", &[], "", &[&format!("{{ turin = {{ fmc = 1, {zeros} }} }}")]);
}

#[test]
fn what_accepts_nothing_is_refused() {
    let bits = |required: &str, forbidden: &str| {
        format!("{{ required = [{required}], forbidden = [{forbidden}], unknown = \"rejected\" }}")
    };
    for (tee, field, name) in [
        (Tee::SevSnp, "platform_info", "\"tsme\""),
        (Tee::SevSnp, "policy_flags", "\"cxl\""),
        (Tee::Tdx, "attributes", "\"perfmon\""),
    ] {
        let other = if tee == Tee::SevSnp { "\"smt\"" } else { "\"pks\"" };
        let says = format!("`{}` is required and forbidden: nothing is accepted", name.trim_matches('"'));
        let both = bits(&format!("{other}, {name}"), name);
        refused(tee, field, &[&both], &says, &[&bits(other, name), &bits(name, other)]);
    }
    refused(
        Tee::Tdx,
        "xfam",
        &["{ required = \"0x7\", allowed = \"0x3\" }", "{ required = \"0x1\", allowed = \"0xfffffffffffffffc\" }"],
        "is required and not allowed: nothing is accepted",
        &["{ required = \"0x3\", allowed = \"0x7\" }", "{ required = \"0x7\", allowed = \"0x7\" }"],
    );
    refused(Tee::SevSnp, "products", &["[]"], "an empty list accepts nothing", &["[\"milan\"]"]);
    refused(Tee::SevSnp, "signing_keys", &["[]"], "an empty list accepts nothing", &["[\"vlek\"]"]);
    refused(
        Tee::SevSnp,
        "denied_products",
        &["{ milan = \"a\", genoa = \"b\", turin = \"c\" }"],
        "`denied_products` denies every product that is listed: nothing is accepted",
        &["{ milan = \"a\", genoa = \"b\" }", "{}"],
    );
}

/// A grace without an end, and an exception that never ends, are no grace and no exception.
#[test]
fn a_grace_and_an_exception_end() {
    let bulletins = |days: u64| format!("{{ baseline = 1, grace_days = {days}, except = {{}} }}");
    refused(
        Tee::SevSnp,
        "bulletins",
        &[&bulletins(3_651), &bulletins(4_294_967_295)],
        "expected at most 3650; a longer one is none",
        &[&bulletins(3_650), &bulletins(0)],
    );
    refused(
        Tee::Tdx,
        "out_of_date_grace",
        &["{ days = 0 }", "{ days = 3651 }", "{ days = 4294967295 }"],
        "expected 1 to 3650, or \"none\"",
        &["{ days = 1 }", "{ days = 3650 }", "\"none\""],
    );
    let exception = |until: &str, reason: &str| {
        format!("{{ INTEL-SA-00837 = {{ statuses = [\"OutOfDate\"], until = \"{until}\", reason = \"{reason}\" }} }}")
    };
    let last = exception("2036-12-31T23:59:59Z", "why");
    refused(
        Tee::Tdx,
        "tcb_exceptions",
        &[&exception("2037-01-01T00:00:00Z", "why"), &exception("9999-12-31T23:59:59Z", "why")],
        "expected one before 2037-01-01T00:00:00Z; what ends later does not end",
        &[&last, &exception("2027-01-01T00:00:00Z", "why"), "{}"],
    );
    refused(
        Tee::Tdx,
        "tcb_exceptions",
        &[&exception("1970-01-01T00:00:00Z", "why")],
        "ended before it began",
        &[&exception("1970-01-01T00:00:01Z", "why")],
    );
}

/// A reason stands in the report that rests on it.
#[test]
fn a_reason_says_something() {
    const EMPTY: &str = "a reason that says nothing: the report shows it";
    let denied = |reason: &str| format!("{{ genoa = \"{reason}\" }}");
    refused(Tee::SevSnp, "denied_products", &[&denied(""), &denied(" \\t")], EMPTY, &[&denied("x")]);
    let except =
        |reason: &str| format!("{{ baseline = 1, grace_days = 0, except = {{ AMD-SB-3016 = \"{reason}\" }} }}");
    refused(Tee::SevSnp, "bulletins", &[&except(""), &except("  ")], EMPTY, &[&except("x")]);
    let exception = |reason: &str| {
        format!(
            "{{ INTEL-SA-00837 = {{ statuses = [\"OutOfDate\"], until = \"2027-01-01T00:00:00Z\", reason = \"{reason}\" }} }}"
        )
    };
    refused(Tee::Tdx, "tcb_exceptions", &[&exception(""), &exception(" ")], EMPTY, &[&exception("x")]);
}

/// What excepts a bulletin that nobody judges, or softens what is taken anyway, says nothing either.
#[test]
fn what_softens_nothing_is_refused() {
    let except = |id: &str| format!("{{ baseline = 1, grace_days = 0, except = {{ {id} = \"why\" }} }}");
    refused(
        Tee::SevSnp,
        "bulletins",
        &[&except("AMD-SB-3034"), &except("AMD-SB-9999")],
        "baseline 1 judges AMD-SB-3015, AMD-SB-3016, AMD-SB-3023 alone: an exception for another says nothing",
        &[&except("AMD-SB-3015"), &except("AMD-SB-3023")],
    );
    let taking = |statuses: &str| {
        let mut policy = good(Tee::Tdx).policy;
        policy.set(Tee::Tdx, "out_of_date_grace", "{ days = 30 }");
        policy.set(Tee::Tdx, "tcb_status", statuses);
        Policy::parse(&policy.to_toml())
    };
    for statuses in [
        "[\"UpToDate\", \"OutOfDate\", \"TDRelaunchAdvised\"]",
        "[\"TDRelaunchAdvised\", \"ConfigurationNeeded\", \"OutOfDate\", \"OutOfDateConfigurationNeeded\", \
         \"TDRelaunchAdvisedConfigurationNeeded\"]",
    ] {
        let error = taking(statuses).unwrap_err().to_string();
        assert!(
            error.contains("`out_of_date_grace` softens `tcb_status`, which takes all that it would let in"),
            "{error}"
        );
        assert!(error.contains("(line ") && error.ends_with(", column 1)"), "{error}");
    }
    for statuses in [
        "[\"UpToDate\"]",
        "[\"UpToDate\", \"OutOfDate\"]",
        "[\"UpToDate\", \"TDRelaunchAdvised\"]",
        // Grace covers what is out of date and lacks a configuration where that lack is taken.
        "[\"OutOfDate\", \"TDRelaunchAdvised\", \"ConfigurationNeeded\"]",
        "[\"OutOfDate\", \"TDRelaunchAdvised\", \"ConfigurationNeeded\", \"OutOfDateConfigurationNeeded\"]",
    ] {
        taking(statuses).unwrap_or_else(|error| panic!("{statuses}: {error}"));
    }
}

/// The report says so where nothing is asked, and shows no rule as passed.
#[test]
fn what_is_waived_is_shown_as_not_checked() {
    for (tee, field, check) in [
        (Tee::SevSnp, "minimum_tcb", "snp.tcb.minimum"),
        (Tee::SevSnp, "minimum_firmware", "snp.firmware.minimum"),
        (Tee::SevSnp, "bulletins", "snp.tcb.bulletins"),
        (Tee::SevSnp, "platform_info", "snp.platform.info"),
        (Tee::SevSnp, "guest_svn", "snp.guest.guest-svn"),
        (Tee::SevSnp, "vmpl", "snp.guest.vmpl"),
        (Tee::Tdx, "tcb_status", "tdx.tcb.accepted"),
        (Tee::Tdx, "xfam", "tdx.td.xfam"),
        (Tee::Tdx, "attributes", "tdx.td.attributes"),
    ] {
        let report = good(tee).claiming_nothing().under(field, UNCHECKED).accepted();
        let finding = report.findings().iter().find(|finding| finding.check().id() == check).unwrap();
        assert_eq!(finding.outcome().name(), "not-checked", "{field}");
    }
}
