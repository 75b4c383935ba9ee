//! The policy loader: nothing has a default, nothing unknown is passed over, and every error names its place.

use teegate_measurements::{STRICT, differences};
use teegate_verifier::{Check, Outcome, Policy, PolicyError, Tee};

use crate::policy_text::PolicyText;
use crate::subject::good;

fn base() -> PolicyText {
    good(Tee::SevSnp).policy
}

#[track_caller]
fn refused(text: &str) -> PolicyError {
    match Policy::parse(text) {
        Ok(_) => panic!("loaded:\n{text}"),
        Err(error) => error,
    }
}

/// The twin of everything below.
#[test]
fn the_base_policy_loads() {
    let policy = base().load();
    assert_eq!(policy.name(), "forged");
    assert!(!policy.trusts_only_vendors(), "it pins forged roots");
    let mut vendors = base();
    (vendors.amd, vendors.intel) = (None, None);
    assert!(vendors.load().trusts_only_vendors());
}

/// The 1-based number of the line that holds `needle`.
fn line_of(text: &str, needle: &str) -> usize {
    text.lines().position(|line| line.contains(needle)).unwrap() + 1
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let text = base().to_toml();
    for place in ["schema = 1\n", "[sev-snp.forged]\n", "[tdx.forged]\n", "[trust_anchors]\n"] {
        let text = text.replacen(place, &format!("{place}measurment = \"x\"\n"), 1);
        let error = refused(&text).to_string();
        assert!(error.contains("unknown field `measurment`"), "{error}");
        let line = line_of(&text, "measurment");
        assert!(error.contains(&format!("line {line},")), "line {line}: {error}");
    }
    for (nested, unknown) in
        [("required = []", "required = [], alowed = []"), ("bootloader = 4", "bootloader = 4, psp = 1")]
    {
        let text = text.replacen(nested, unknown, 1);
        let error = refused(&text).to_string();
        let line = line_of(&text, unknown);
        assert!(error.contains("unknown field `") && error.contains(&format!("line {line},")), "{error}");
    }
    let error = refused(&text.replace("[tdx.forged]", "[sgx.forged]")).to_string();
    assert!(error.contains("unknown field `sgx`"), "{error}");
}

/// Fields that came when policies without them were in use.
pub(crate) const LATER: [&str; 2] = ["max_collateral_age", "max_root_crl_age"];

/// A policy of before still says what it said, and the report shows what it does not ask.
#[test]
fn a_policy_from_before_a_field_says_unchecked() {
    for (tee, check) in [(Tee::SevSnp, Check::SNP_CHAIN_AGE), (Tee::Tdx, Check::TDX_COLLATERAL_AGE)] {
        let mut subject = good(tee);
        subject.policy.snp.retain(|(field, _)| !LATER.contains(field));
        subject.policy.tdx.retain(|(field, _)| !LATER.contains(field));
        let finding = subject.accepted().finding(check).unwrap().clone();
        assert_eq!(finding.outcome().name(), "not-checked", "{check}");
        assert!(matches!(finding.outcome(), Outcome::NotChecked { waived_by: "max_collateral_age", .. }), "{check}");
    }
}

/// Which of its author's policies it is. No verdict depends on it.
#[test]
fn a_policy_may_say_its_version() {
    let versioned =
        |version: &str| base().to_toml().replacen("schema = 1\n", &format!("schema = 1\nversion = {version}\n"), 1);
    assert_eq!(base().load().document().version(), None);
    for version in [1, 7, i64::MAX.unsigned_abs()] {
        let text = versioned(&version.to_string());
        let policy = Policy::parse(&text).unwrap();
        assert_eq!((policy.document().version(), policy.document().text()), (Some(version), text.as_str()));
    }
    for (version, says) in
        [("0", "versions of a policy begin with 1"), ("-1", "invalid value"), ("'7'", "invalid type")]
    {
        let error = refused(&versioned(version)).to_string();
        assert!(error.contains(says) && error.contains("line 2,"), "{version}: {error}");
    }
}

#[test]
fn an_omitted_field_is_named() {
    for tee in [Tee::SevSnp, Tee::Tdx] {
        let fields = if tee == Tee::SevSnp { base().snp } else { base().tdx };
        for (field, _) in fields {
            let mut policy = base();
            let own = if tee == Tee::SevSnp { &mut policy.snp } else { &mut policy.tdx };
            own.retain(|(name, _)| *name != field);
            if LATER.contains(&field) {
                policy.load();
                continue;
            }
            let error = refused(&policy.to_toml()).to_string();
            assert!(error.contains(&format!("missing field `{field}`")), "{error}");
        }
    }
    for field in ["schema = 1\n", "name = \"forged\"\n"] {
        let error = refused(&base().to_toml().replacen(field, "", 1)).to_string();
        assert!(error.contains("missing field"), "{error}");
    }
}

/// A field of a profile, replaced.
fn with(tee: Tee, field: &str, value: &str) -> String {
    let mut policy = base();
    policy.set(tee, field, value);
    policy.to_toml()
}

#[test]
fn a_value_of_another_form_is_refused_with_its_line() {
    for (tee, field, value) in [
        (Tee::SevSnp, "measurement", "\"4d4d\""),
        (Tee::SevSnp, "measurement", "\"uncheked\""),
        (Tee::SevSnp, "measurement", "7"),
        (Tee::SevSnp, "measurement", "true"),
        (Tee::SevSnp, "measurement", "{ at_least = \"00\" }"),
        (Tee::SevSnp, "measurement", "[\"unchecked\"]"),
        (Tee::SevSnp, "guest_svn", "-1"),
        (Tee::SevSnp, "guest_svn", "4294967296"),
        (Tee::SevSnp, "guest_svn", "{ at_least = [1] }"),
        (Tee::SevSnp, "guest_svn", "{ at_most = 1 }"),
        (Tee::SevSnp, "guest_svn", "{}"),
        (Tee::SevSnp, "wrapping", "\"hcl\""),
        (Tee::SevSnp, "bound_to", "\"everything\""),
        (Tee::SevSnp, "products", "[\"naples\"]"),
        (Tee::SevSnp, "products", "\"unchecked\""),
        (Tee::SevSnp, "denied_products", "{ naples = \"old\" }"),
        (Tee::SevSnp, "signing_keys", "[\"none\"]"),
        (Tee::SevSnp, "masked_chip_id", "\"unchecked\""),
        (Tee::SevSnp, "debug", "\"unchecked\""),
        (Tee::SevSnp, "debug", "true"),
        (Tee::SevSnp, "chip_ids", "[\"00\"]"),
        (Tee::SevSnp, "revocation", "\"sometimes\""),
        (Tee::SevSnp, "minimum_tcb", "{ genoa = { bootloader = 1 } }"),
        (Tee::SevSnp, "minimum_tcb", "{ genoa = { bootloader = 256, tee = 0, snp = 0, microcode = 0 } }"),
        (Tee::SevSnp, "committed_firmware", "\"allowed\""),
        (Tee::SevSnp, "minimum_firmware", "\"1.55\""),
        (Tee::SevSnp, "minimum_firmware", "\"1.55.256\""),
        (Tee::SevSnp, "minimum_abi", "\"1.55.1\""),
        (Tee::SevSnp, "mitigations", "\"3\""),
        (Tee::SevSnp, "mitigations", "\"0x\""),
        (Tee::SevSnp, "mitigations", "\"0x10000000000000000\""),
        (Tee::SevSnp, "report_data", "\"00\""),
        (Tee::SevSnp, "report_data", "[\"caller\"]"),
        (Tee::Tdx, "mrtd", "\"zz\""),
        (Tee::Tdx, "service_td", "\"any\""),
        (Tee::Tdx, "trailing_bytes", "\"unchecked\""),
        (Tee::Tdx, "tcb_status", "[\"Revoked\"]"),
        (Tee::Tdx, "tcb_status", "[\"uptodate\"]"),
        (Tee::Tdx, "tcb_status", "\"UpToDate\""),
        (Tee::Tdx, "ppids", "[\"99\"]"),
        (Tee::Tdx, "minimum_evaluation_number", "-1"),
        (Tee::Tdx, "minimum_tcb_date", "\"2026-02-30T00:00:00Z\""),
        (Tee::Tdx, "minimum_tcb_date", "\"yesterday\""),
        (Tee::Tdx, "xfam", "{ required = \"0x3\" }"),
        (Tee::Tdx, "xfam", "\"0x3\""),
        (Tee::Tdx, "event_log", "\"if-supplied\""),
        (Tee::Tdx, "debug", "1"),
    ] {
        let text = with(tee, field, value);
        let error = refused(&text).to_string();
        let line = line_of(&text, &format!("{field} = {value}"));
        assert!(error.contains(&format!("line {line},")), "{field} = {value}: {error}");
    }
}

/// `--report-data 0x…` is taken on the command line, so a policy takes it as well, in every field of bytes.
#[test]
fn bytes_may_have_a_prefix() {
    let fields = [
        (Tee::SevSnp, "measurement", 48),
        (Tee::SevSnp, "host_data", 32),
        (Tee::SevSnp, "family_id", 16),
        (Tee::SevSnp, "report_data", 64),
        (Tee::SevSnp, "chip_ids", 64),
        (Tee::SevSnp, "chip_ids", 8),
        (Tee::Tdx, "mrtd", 48),
        (Tee::Tdx, "service_td", 48),
        (Tee::Tdx, "ppids", 16),
    ];
    for (tee, field, length) in fields {
        let rule = |text: String| match field {
            "chip_ids" | "ppids" => with(tee, field, &format!("[\"{text}\"]")),
            _ => with(tee, field, &format!("\"{text}\"")),
        };
        let digits = "5a".repeat(length);
        let plain = Policy::parse(&rule(digits.clone())).unwrap();
        let prefixed = Policy::parse(&rule(format!("0x{digits}"))).unwrap();
        assert_eq!(differences(&plain, &prefixed), [], "{field}");
        for wrong in [format!("0X{digits}"), format!("0x0x{digits}"), format!("0x{}", &digits[2..]), "0x".to_owned()] {
            let text = rule(wrong);
            let error = refused(&text).to_string();
            assert!(error.contains(&format!("line {},", line_of(&text, &format!("{field} = ")))), "{error}");
        }
    }
}

#[test]
fn unknown_bits_are_refused_by_name() {
    for (tee, field, known) in [
        (Tee::SevSnp, "platform_info", "alias-check-complete"),
        (Tee::SevSnp, "policy_flags", "single-socket"),
        (Tee::Tdx, "attributes", "sept-ve-disable"),
    ] {
        for (required, forbidden) in [("[\"debug\"]", "[]"), ("[]", "[\"debug\"]")] {
            let rule = format!("{{ required = {required}, forbidden = {forbidden}, unknown = \"rejected\" }}");
            let error = refused(&with(tee, field, &rule)).to_string();
            assert!(error.contains("unknown bit `debug`: expected one of") && error.contains(known), "{error}");
        }
        let twin = format!("{{ required = [\"{known}\"], forbidden = [], unknown = \"allowed\" }}");
        Policy::parse(&with(tee, field, &twin)).unwrap();
        for missing in ["{ required = [], forbidden = [] }", "{ required = [], unknown = \"rejected\" }", "{}"] {
            assert!(refused(&with(tee, field, missing)).to_string().contains("missing field"));
        }
    }
}

/// A list of reference values that names none would accept nothing, or, misread, everything.
#[test]
fn empty_lists_of_reference_values_are_refused() {
    let snp = [
        "measurement",
        "host_data",
        "guest_svn",
        "family_id",
        "image_id",
        "report_id_ma",
        "vmpl",
        "id_key",
        "author_key",
    ];
    let tdx =
        ["service_td", "mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mrseam", "mrconfigid", "mrowner", "mrownerconfig"];
    for (tee, fields) in [(Tee::SevSnp, &snp[..]), (Tee::Tdx, &tdx)] {
        for field in fields {
            let text = with(tee, field, "[]");
            let error = refused(&text).to_string();
            assert!(error.contains("an empty list accepts nothing"), "{error}");
            assert!(error.contains(&format!("line {},", line_of(&text, &format!("{field} = []")))), "{error}");
        }
    }
}

/// The shipped template is refused until its values are filled in, and says which.
#[test]
fn a_template_asks_for_its_reference_values() {
    let error = refused(STRICT).to_string();
    let open: Vec<_> =
        STRICT.lines().enumerate().filter(|(_, line)| line.ends_with("= \"reference-value-needed\"")).collect();
    assert!(open.len() > 5 && error.contains("a reference value is needed here: `"), "{error}");
    for (index, line) in open {
        let field = line.split(' ').next().unwrap();
        assert!(error.contains(&format!(".{field}` (line {}, ", index + 1)), "{field}: {error}");
    }
    for (tee, field, digits) in [(Tee::SevSnp, "host_data", 64), (Tee::Tdx, "mrtd", 96), (Tee::Tdx, "rtmr2", 96)] {
        let error = refused(&with(tee, field, "\"reference-value-needed\"")).to_string();
        assert!(error.contains(&format!("; {} bytes in hexadecimal)", digits / 2)), "{error}");
        assert!(error.contains(field), "{error}");
    }
}

/// A table's fields have names: by position, a swap would go unseen.
#[test]
fn tables_are_not_written_as_lists() {
    for (tee, field, value) in [
        (Tee::SevSnp, "platform_info", "[[\"smt\"], [], \"rejected\"]"),
        (Tee::SevSnp, "policy_flags", "[[], [\"cxl\"], \"rejected\"]"),
        (Tee::Tdx, "attributes", "[[\"sept-ve-disable\"], [], \"rejected\"]"),
        (Tee::Tdx, "xfam", "[\"0x3\", \"0x6dbe7\"]"),
    ] {
        let text = with(tee, field, value);
        let error = refused(&text).to_string();
        assert!(error.contains(&format!("line {},", line_of(&text, &format!("{field} = {value}")))), "{error}");
    }
}

#[test]
fn profiles_and_minima_are_not_written_as_lists_either() {
    let text = with(Tee::SevSnp, "minimum_tcb", "{ turin = [1, 1, 1, 4, 81] }");
    let error = refused(&text).to_string();
    assert!(error.contains("minimum_tcb.turin]: expected a table, each value beside its name"), "{error}");
    let named = "{ turin = { fmc = 1, bootloader = 1, tee = 1, snp = 4, microcode = 81 } }";
    let mut policy = base();
    policy.set(Tee::SevSnp, "minimum_tcb", named);
    policy.load();

    for (head, place) in [("trust_anchors = [[], []]", "[trust_anchors]"), ("sev-snp = { forged = [] }", "forged")] {
        let text = format!("schema = 1\nname = \"positions\"\n{head}\n");
        let error = refused(&text).to_string();
        assert!(error.contains(place) || error.contains("expected") || error.contains("invalid"), "{error}");
    }
}

#[test]
fn contradictions_and_empty_names_are_refused() {
    let mut policy = base();
    policy.claim_nothing();
    policy.set(Tee::SevSnp, "migration_agent", "\"allowed\"");
    policy.load();
    for nobody in ["\"unchecked\"".to_owned(), format!("\"{}\"", "00".repeat(32))] {
        policy.set(Tee::SevSnp, "report_id_ma", &nobody);
        let error = refused(&policy.to_toml()).to_string();
        assert!(error.contains("`migration_agent` is allowed and `report_id_ma` names no agent"), "{error}");
    }

    for (field, value, complaint) in [
        ("minimum_tcb", "{ turin = { bootloader = 1, tee = 1, snp = 4, microcode = 81 } }", "Turin alone has an `fmc`"),
        (
            "minimum_tcb",
            "{ genoa = { fmc = 1, bootloader = 1, tee = 1, snp = 4, microcode = 81 } }",
            "Turin alone has an `fmc`",
        ),
        ("chip_ids", "[\"0000000000000000\"]", "it names no chip"),
    ] {
        let error = refused(&with(Tee::SevSnp, field, value)).to_string();
        assert!(error.contains(complaint), "{error}");
    }
    for id in ["INTEL-SA-837", "INTEL-SA-0O837", "intel-sa-00837", "CVE-2024-21944", ""] {
        let error = refused(&with(Tee::Tdx, "denied_advisories", &format!("[\"{id}\"]"))).to_string();
        assert!(error.contains("expected an advisory such as"), "{error}");
    }
}

#[test]
fn two_profiles_of_one_tee_are_refused() {
    for (tee, table) in [(Tee::SevSnp, "sev-snp"), (Tee::Tdx, "tdx")] {
        let mut second = base();
        (second.amd, second.intel) = (None, None);
        if tee == Tee::SevSnp {
            second.tdx.clear()
        } else {
            second.snp.clear()
        }
        let second = second.to_toml();
        let (_, second) = second.split_once("\n\n").unwrap();
        let second = second.replace(&format!("[{table}.forged]"), &format!("[{table}.other]"));
        let text = format!("{}\n{second}", base().to_toml());
        let error = refused(&text).to_string();
        assert!(error.contains(&format!("[{table}.forged] and [{table}.other]: expected one profile")), "{error}");
    }
}

#[test]
fn a_policy_without_a_profile_is_refused() {
    let error = refused("schema = 1\nname = \"empty\"\n").to_string();
    assert!(error.contains("no profile: expected a table such as [sev-snp.NAME] or [tdx.NAME]"), "{error}");
    let error = refused(&base().to_toml().replacen("schema = 1", "schema = 2", 1)).to_string();
    assert!(error.contains("schema = 2: this release reads policies of schema 1"), "{error}");
}

#[test]
fn a_key_or_a_table_twice_is_refused() {
    let text = base().to_toml();
    let twice = text.replacen("debug = \"rejected\"\n", "debug = \"rejected\"\ndebug = \"allowed\"\n", 1);
    let error = refused(&twice).to_string();
    assert!(error.contains("duplicate key"), "{error}");
    assert!(error.contains(&format!("line {},", line_of(&twice, "debug = \"allowed\""))), "{error}");
    let (_, profile) = text.split_once("[tdx.forged]").unwrap();
    assert!(refused(&format!("{text}\n[tdx.forged]{profile}")).to_string().contains("duplicate key"));
}

#[test]
fn what_is_pinned_must_be_roots() {
    let subject = good(Tee::SevSnp);
    let ask = teegate_forge::pem::certificate(&subject.pool.certificates[1]);
    let garbage = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".to_owned();
    for (root, expected) in [
        (ask, "trust_anchors.amd: `SEV-Genoa` is not self-signed: expected a root"),
        (garbage, "trust_anchors.amd: not a certificate"),
        (String::new(), "trust_anchors.amd: expected certificates in PEM"),
        ("no PEM".to_owned(), "trust_anchors.amd: expected certificates in PEM"),
    ] {
        let mut policy = base();
        policy.amd = Some(vec![root]);
        let error = refused(&policy.to_toml()).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    // To pin nothing is to trust nobody.
    let mut nobody = subject;
    nobody.policy.amd = Some(Vec::new());
    assert_eq!(nobody.rejected().failed_checks(), ["snp.chain.ark-pinned"]);
}

#[test]
fn hostile_text_is_an_error() {
    for text in
        ["", "\0", "schema", "schema = ", "= 1", "[", "[[sev-snp]]", "schema = 1\nname = 3\n", "\u{feff}\u{202e}"]
    {
        assert!(!refused(text).to_string().is_empty(), "{text:?}");
    }
    assert!(refused(&format!("schema = {}1{}", "[".repeat(100_000), "]".repeat(100_000))).check().is_none());
    assert!(refused(&format!("name = \"{}\"", "x".repeat(1 << 20))).check().is_none());
}
