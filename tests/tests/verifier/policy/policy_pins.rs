//! What pins the code, and what pins nobody: for each condition of each definition a policy that the loader refuses by that
//! name, beside the nearest one that loads. Pinned is what a rule accepts, and not how it is written.

use teegate_measurements::{GENUINE, STRICT};
use teegate_measurements::{ReferenceValue, ReferenceValues, fill};
use teegate_verifier::{Policy, PolicyError, Tee};

use crate::policy_text::{BOUND_SNP, BOUND_TDX, PolicyText};
use crate::subject::{good, snp, tdx};

const UNCHECKED: &str = "\"unchecked\"";

fn hex(byte: &str, length: usize) -> String {
    format!("\"{}\"", byte.repeat(length))
}

/// A policy that claims nothing but this of the values that need pinned code.
fn claiming(tee: Tee, bound: &str) -> PolicyText {
    let mut policy = good(tee).policy;
    policy.claim_nothing();
    let value = match bound {
        "bound_to" => "\"workload\"".to_owned(),
        "host_data" => hex("01", 32),
        _ => hex("01", 48),
    };
    policy.set(tee, bound, &value);
    policy
}

fn with(policy: &PolicyText, tee: Tee, changes: &[(&str, String)]) -> PolicyText {
    let mut policy = policy.clone();
    changes.iter().for_each(|(field, value)| policy.set(tee, field, value));
    policy
}

/// The loader refuses it by the rule of bound values, names both fields, and says where.
#[track_caller]
fn refused(policy: &PolicyText, bound: &str, unpinned: &str) -> PolicyError {
    let text = policy.to_toml();
    let error = Policy::parse(&text).map_or_else(|error| error, |_| panic!("loaded, without `{unpinned}`:\n{text}"));
    assert_eq!(error.check(), Some("policy.bound-without-code"), "{error}");
    let words = error.to_string();
    assert!(words.contains(&format!("expects `{bound}` while `{unpinned}` does not pin who enforces it")), "{words}");
    let line = words.rsplit("(line ").next().unwrap().split(',').next().unwrap().parse::<usize>().unwrap();
    assert!(text.lines().nth(line - 1).unwrap().starts_with(&format!("{bound} = ")), "{words}");
    error
}

type Changes = Vec<(&'static str, String)>;

fn one(field: &'static str, value: impl Into<String>) -> Changes {
    vec![(field, value.into())]
}

/// For each condition of a TEE's pinned code, by the name in the error: what breaks it, and what is nearest to that and holds.
fn conditions(tee: Tee) -> Vec<(&'static str, Vec<Changes>, Vec<Changes>)> {
    let unchecked = |field: &'static str| one(field, UNCHECKED);
    let digests = |one: &str, other: &str, length| format!("[{}, {}]", hex(one, length), hex(other, length));
    let register = |field: &'static str| (field, vec![unchecked(field)], vec![one(field, digests("a1", "b1", 48))]);
    let agent = |value: String| vec![("migration_agent", "\"allowed\"".to_owned()), ("report_id_ma", value)];
    let migratable = |service_td: String, forbidden: &str| {
        let attributes = format!("{{ required = [], forbidden = [{forbidden}], unknown = \"rejected\" }}");
        vec![("service_td", service_td), ("attributes", attributes)]
    };
    let borne = || one("unjudged_acpi_tables", "\"its firmware measures them into RTMR2\"");
    let registers = |values: [&str; 3]| {
        let fields = ["rtmr0", "rtmr1", "rtmr2"].into_iter();
        fields.zip(values).map(|(field, byte)| (field, hex(byte, 48))).collect::<Changes>()
    };
    match tee {
        Tee::SevSnp => vec![
            (
                "measurement",
                vec![
                    unchecked("measurement"),
                    one("measurement", hex("00", 48)),
                    one("measurement", digests("4d", "00", 48)),
                ],
                vec![one("measurement", digests("4d", "4e", 48))],
            ),
            (
                "vmpl",
                vec![unchecked("vmpl"), one("vmpl", "[0, 1]"), one("vmpl", "[1, 2, 3]")],
                vec![one("vmpl", "0"), one("vmpl", "[0]"), one("vmpl", "[2, 2]"), one("vmpl", "3")],
            ),
            ("debug", vec![one("debug", "\"allowed\"")], vec![one("debug", "\"rejected\"")]),
            (
                "migration_agent",
                vec![
                    agent(UNCHECKED.to_owned()),
                    // No id of an agent is known to be zero, and none is said by all ones.
                    agent(hex("00", 32)),
                    agent(digests("ff", "00", 32)),
                ],
                vec![
                    agent(hex("ff", 32)),
                    agent(hex("0a", 32)),
                    agent(digests("ff", "0a", 32)),
                    vec![("migration_agent", "\"rejected\"".to_owned()), ("report_id_ma", UNCHECKED.to_owned())],
                ],
            ),
        ],
        Tee::Tdx => vec![
            (
                "mrtd",
                // Boot registers without the firmware are refused for themselves, below.
                [UNCHECKED.to_owned(), hex("00", 48), digests("7d", "00", 48)]
                    .map(|value| {
                        let mut changes = one("mrtd", value);
                        changes.extend(["rtmr0", "rtmr1", "rtmr2"].map(|field| (field, UNCHECKED.to_owned())));
                        changes
                    })
                    .to_vec(),
                vec![one("mrtd", digests("7d", "7e", 48))],
            ),
            (
                // Zeros there: no ACPI table was measured, which are the host's code.
                "rtmr0",
                vec![
                    unchecked("rtmr0"),
                    registers(["00", "a1", "a2"]),
                    registers(["00", "00", "a2"]),
                    one("rtmr0", digests("a0", "00", 48)),
                ],
                vec![
                    one("rtmr0", digests("a1", "b1", 48)),
                    // Recorded firmware extends RTMR2 alone, and measures the tables there.
                    [registers(["00", "00", "a2"]), borne()].concat(),
                    [one("rtmr0", digests("a0", "00", 48)), borne()].concat(),
                ],
            ),
            register("rtmr1"),
            register("rtmr2"),
            (
                // A firmware that measures nothing leaves all three at zero, whatever it starts.
                "rtmr1",
                vec![
                    [registers(["00", "00", "00"]), borne()].concat(),
                    vec![
                        ("rtmr0", hex("00", 48)),
                        ("rtmr1", digests("a1", "00", 48)),
                        ("rtmr2", digests("00", "a2", 48)),
                        borne().remove(0),
                    ],
                ],
                // Recorded firmware extends two of them, or RTMR2 alone.
                vec![
                    registers(["a0", "a1", "00"]),
                    [registers(["00", "00", "a2"]), borne()].concat(),
                    [registers(["00", "a1", "00"]), borne()].concat(),
                    registers(["a0", "00", "00"]),
                ],
            ),
            ("debug", vec![one("debug", "\"allowed\"")], vec![one("debug", "\"rejected\"")]),
            ("profiling", vec![one("profiling", "\"allowed\"")], vec![one("profiling", "\"rejected\"")]),
            (
                "service_td",
                vec![
                    migratable(UNCHECKED.to_owned(), ""),
                    migratable(UNCHECKED.to_owned(), "\"perfmon\""),
                    vec![("service_td", UNCHECKED.to_owned()), ("attributes", UNCHECKED.to_owned())],
                    vec![
                        ("service_td", UNCHECKED.to_owned()),
                        (
                            "attributes",
                            "{ required = [\"migratable\"], forbidden = [], unknown = \"rejected\" }".to_owned(),
                        ),
                    ],
                ],
                vec![
                    migratable(UNCHECKED.to_owned(), "\"migratable\""),
                    migratable("\"none\"".to_owned(), ""),
                    migratable(hex("66", 48), ""),
                    vec![
                        ("service_td", format!("[\"none\", {}]", hex("66", 48))),
                        ("attributes", UNCHECKED.to_owned()),
                    ],
                ],
            ),
        ],
        tee => unreachable!("no case of {tee}"),
    }
}

#[test]
fn each_condition_of_pinned_code_is_asked_for_by_every_value_that_needs_it() {
    for (tee, bound) in [(Tee::SevSnp, &BOUND_SNP[..]), (Tee::Tdx, &BOUND_TDX)] {
        for bound in bound {
            let base = claiming(tee, bound);
            base.load();
            for (condition, breaks, holds) in conditions(tee) {
                for changes in breaks {
                    let policy = with(&base, tee, &changes);
                    refused(&policy, bound, condition);
                    // What the error offers besides.
                    let mut nothing_claimed = policy.clone();
                    nothing_claimed.set(tee, bound, UNCHECKED);
                    match Policy::parse(&nothing_claimed.to_toml()) {
                        Ok(_) => {}
                        // An agent of the host's choice is refused whatever a policy claims.
                        Err(error) => assert!(condition == "migration_agent" && error.check().is_none(), "{error}"),
                    }
                }
                for changes in holds {
                    with(&base, tee, &changes).load();
                }
            }
        }
    }
    assert_eq!(Policy::parse("").unwrap_err().check(), None, "other errors bear no check's id");
}

/// Why nobody judges the ACPI tables is said where nobody does; elsewhere it would excuse what is not there. What loads with it shows it.
#[test]
fn a_reason_for_unjudged_acpi_tables_stands_where_rtmr0_takes_zeros() {
    let base = claiming(Tee::Tdx, "bound_to");
    let reason = |text: &str| ("unjudged_acpi_tables", format!("\"{text}\""));
    let zeros = [("rtmr0", hex("00", 48)), reason("measured into RTMR2")];
    let policy = with(&base, Tee::Tdx, &zeros).load();
    let tdx = policy.document().profiles().iter().find(|profile| profile.tee() == Tee::Tdx).unwrap();
    assert_eq!(tdx.borne(), Some(("unjudged_acpi_tables", "measured into RTMR2")));
    let explained = teegate_measurements::explain(policy.document());
    let sentence = explained.iter().find(|sentence| sentence.field == "unjudged_acpi_tables").unwrap();
    assert!(sentence.text.ends_with("which the author bears because: measured into RTMR2."), "{}", sentence.text);

    for changes in [vec![reason("why")], vec![("rtmr0", hex("a1", 48)), reason("why")]] {
        let error = Policy::parse(&with(&base, Tee::Tdx, &changes).to_toml()).unwrap_err().to_string();
        assert!(
            error.contains("`unjudged_acpi_tables` says why nobody judges") && error.contains("takes no zeros"),
            "{error}"
        );
    }
    let error =
        Policy::parse(&with(&base, Tee::Tdx, &[zeros[0].clone(), reason(" ")]).to_toml()).unwrap_err().to_string();
    assert!(error.contains("a reason that says nothing"), "{error}");
    // A template may say it before the value is there.
    let template = STRICT.replace(
        "rtmr0 = \"reference-value-needed\"",
        "rtmr0 = \"reference-value-needed\"\nunjudged_acpi_tables = \"why\"",
    );
    teegate_verifier::Draft::parse(&template).unwrap();
}

/// Where tables were rebuilt is said of a value of RTMR0 that shows some; of any other it would promise what is not there.
#[test]
fn what_acpi_tables_were_rebuilt_from_stands_beside_a_value_that_shows_them() {
    let base = claiming(Tee::Tdx, "bound_to");
    let rebuilt = |text: &str| ("rebuilt_acpi_tables", format!("\"{text}\""));
    let policy = with(&base, Tee::Tdx, &[("rtmr0", hex("a1", 48)), rebuilt("q35, 4 GiB")]).load();
    let tdx = policy.document().profiles().iter().find(|profile| profile.tee() == Tee::Tdx).unwrap();
    assert_eq!(tdx.rebuilt(), Some(("rebuilt_acpi_tables", "q35, 4 GiB")));
    let explained = teegate_measurements::explain(policy.document());
    let sentence = explained.iter().find(|sentence| sentence.field == "rebuilt_acpi_tables").unwrap();
    assert!(sentence.text.ends_with("from the declared shape of the VM: q35, 4 GiB."), "{}", sentence.text);

    let refused = |changes: &[(&'static str, String)], says: &str| {
        let error = Policy::parse(&with(&base, Tee::Tdx, changes).to_toml()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    let zeros = ("rtmr0", hex("00", 48));
    let bears = ("unjudged_acpi_tables", "\"measured elsewhere\"".to_owned());
    let says = "`rebuilt_acpi_tables` says from which shape of the VM";
    refused(&[zeros, bears, rebuilt("q35")], says);
    refused(&[("rtmr0", hex("a1", 48)), rebuilt(" ")], "a reason that says nothing");
    let open = [("bound_to", UNCHECKED.to_owned()), ("rtmr0", UNCHECKED.to_owned()), rebuilt("q35")];
    refused(&open, says);
    let template = STRICT.replace(
        "rtmr0 = \"reference-value-needed\"",
        "rtmr0 = \"reference-value-needed\"\nrebuilt_acpi_tables = \"q35\"",
    );
    teegate_verifier::Draft::parse(&template).unwrap();
}

/// RTMR0 to RTMR2 are extended by the firmware: without MRTD they are the word of any firmware.
#[test]
fn boot_registers_need_the_firmware() {
    for register in ["rtmr0", "rtmr1", "rtmr2"] {
        let mut policy = good(Tee::Tdx).policy;
        policy.claim_nothing();
        ["mrtd", "rtmr0", "rtmr1", "rtmr2"].iter().for_each(|field| policy.set(Tee::Tdx, field, UNCHECKED));
        policy.load();
        for value in [hex("0b", 48), hex("00", 48)] {
            policy.set(Tee::Tdx, register, &value);
            for mrtd in [UNCHECKED.to_owned(), hex("00", 48)] {
                policy.set(Tee::Tdx, "mrtd", &mrtd);
                refused(&policy, register, "mrtd");
            }
            policy.set(Tee::Tdx, "mrtd", &hex("7d", 48));
            policy.load();
        }
    }
}

/// Anybody can sign an ID block: what it says counts under an expected key alone. An author key of zero is nobody's: the ID
/// key may then be anybody's. An ID key of zero says that there is no ID block, and then SVN and ids are zero.
#[test]
fn an_id_block_needs_its_key() {
    let mut base = good(Tee::SevSnp).policy;
    for field in ["guest_svn", "family_id", "image_id", "id_key", "author_key"] {
        base.set(Tee::SevSnp, field, UNCHECKED);
    }
    base.load();
    let keys = |id_key: &str, author_key: &str| [("id_key", id_key.to_owned()), ("author_key", author_key.to_owned())];
    let (zero, five) = (hex("00", 48), hex("05", 48));
    let [either, two] = [&zero, &hex("06", 48)].map(|other| format!("[{five}, {other}]"));
    for (field, value) in
        [("guest_svn", "{ at_least = 1 }".to_owned()), ("family_id", hex("00", 16)), ("image_id", hex("01", 16))]
    {
        let policy = with(&base, Tee::SevSnp, &[(field, value)]);
        for (id_key, author_key) in [(UNCHECKED, UNCHECKED), (UNCHECKED, &zero), (UNCHECKED, &either)] {
            refused(&with(&policy, Tee::SevSnp, &keys(id_key, author_key)), field, "id_key");
        }
        for (id_key, author_key) in [
            (UNCHECKED, &*five),
            (UNCHECKED, &two),
            (&zero, UNCHECKED),
            (&five, UNCHECKED),
            (&either, UNCHECKED),
            (&zero, &zero),
        ] {
            with(&policy, Tee::SevSnp, &keys(id_key, author_key)).load();
        }
    }
}

/// Privilege goes down as the number goes up: a floor would let in the less privileged.
#[test]
fn a_privilege_level_has_no_floor() {
    for (value, says) in [
        ("{ at_least = 0 }", "`at_least` does not fit: VMPL 0 is the most privileged"),
        ("{ at_least = 1 }", "`at_least` does not fit: VMPL 0 is the most privileged"),
        ("4", "a privilege level from 0 to 3"),
        ("[0, 4]", "a privilege level from 0 to 3"),
        ("-1", "a privilege level from 0 to 3"),
        ("[0, 1, 2, 3]", "a rule that accepts or refuses nothing: write \"unchecked\" instead"),
        ("[3, 2, 1, 0, 0]", "a rule that accepts or refuses nothing: write \"unchecked\" instead"),
    ] {
        let text = good(Tee::SevSnp).under("vmpl", value).policy.to_toml();
        let error = Policy::parse(&text).unwrap_err().to_string();
        let line = text.lines().position(|line| line.starts_with("vmpl = ")).unwrap() + 1;
        assert!(error.contains(says) && error.contains(&format!("line {line},")), "{value}: {error}");
    }
    for value in ["3", "[3]", "\"unchecked\""] {
        good(Tee::SevSnp).claiming_nothing().under("vmpl", value).policy.load();
    }
    good(Tee::SevSnp).claiming_nothing().under("vmpl", "[0, 1, 2]").policy.load();
}

/// Evidence that was once accepted as a workload's: the rule that let it in no longer loads, and the nearest one that does
/// refuses the evidence.
#[test]
fn what_once_passed_for_a_workload_is_refused() {
    // A less privileged level, under a floor that took every level.
    let lower = snp(|device| device.vmpl(3)).under("bound_to", "\"workload\"");
    Policy::parse(&lower.clone().under("vmpl", "{ at_least = 0 }").policy.to_toml()).unwrap_err();
    assert_eq!(lower.under("vmpl", "0").rejected().failed_checks(), ["snp.guest.vmpl"]);

    // A TD that the host's own service TD may carry away.
    let carried = tdx(|device| {
        device.version_5(3).edit_td_report(|report| {
            report.attributes |= 1 << 29;
            report.mrservicetd = [0x66; 48];
        })
    })
    .under("bound_to", "\"workload\"")
    .under("service_td", UNCHECKED);
    refused(&carried.clone().under("attributes", UNCHECKED).policy, "mrconfigid", "service_td");
    assert_eq!(carried.rejected().failed_checks(), ["tdx.td.attributes"]);
    let none = carried.under("attributes", UNCHECKED).under("service_td", "\"none\"");
    assert_eq!(none.rejected().failed_checks(), ["tdx.td.service-td"]);

    // An ID block that anybody signed, beside an author key that says that there is no author.
    let anybody = snp(|device| device.id_key_digest([0x66; 48]).guest_svn(9))
        .under("guest_svn", "{ at_least = 7 }")
        .under("family_id", UNCHECKED)
        .under("image_id", UNCHECKED);
    refused(&anybody.clone().under("id_key", UNCHECKED).policy, "guest_svn", "id_key");
    assert_eq!(anybody.under("id_key", &hex("65", 48)).rejected().failed_checks(), ["snp.guest.id-key"]);
}

/// Reference values, of whatever file, go through the same tests as what is written in the policy.
#[test]
fn reference_values_pin_no_more_than_a_policy_does() {
    let filled = |values: &str| {
        let values = ReferenceValues::parse(&format!("schema = 1\nname = \"app\"\n{values}")).unwrap();
        fill(STRICT, &values)
    };
    let snp = |measurement: String| format!("[sev-snp]\nmeasurement = {measurement}\nhost_data = {}\n", hex("11", 32));
    filled(&snp(hex("22", 48))).unwrap();
    for measurement in [hex("00", 48), format!("[{}, {}]", hex("22", 48), hex("00", 48))] {
        let error = filled(&snp(measurement)).unwrap_err();
        assert_eq!(error.check(), Some("policy.bound-without-code"), "{error}");
        assert!(error.to_string().contains("`measurement` does not pin who enforces it"), "{error}");
    }
    let tdx = |mrtd: &str, registers: [&str; 3]| {
        let mut text = format!("[tdx]\nmrtd = {}\nmrconfigid = {}\n", hex(mrtd, 48), hex("11", 48));
        for (index, byte) in registers.iter().enumerate() {
            text += &format!("rtmr{index} = {}\n", hex(byte, 48));
        }
        text
    };
    filled(&tdx("22", ["22", "22", "00"])).unwrap();
    for (values, field) in
        [(tdx("00", ["22"; 3]), "mrtd"), (tdx("22", ["00"; 3]), "rtmr0"), (tdx("22", ["00", "22", "22"]), "rtmr0")]
    {
        let error = filled(&values).unwrap_err();
        assert_eq!(error.check(), Some("policy.bound-without-code"), "{error}");
        assert!(error.to_string().contains(&format!("`{field}` does not pin who enforces it")), "{error}");
    }

    // Keys and levels come from reference values as well.
    let asks = |fields: &[&str]| {
        let (snp, _) = GENUINE.split_once("[tdx.genuine]").unwrap();
        fields.iter().fold(snp.to_owned(), |text, field| {
            text.replace(&format!("\n{field} = \"unchecked\""), &format!("\n{field} = \"reference-value-needed\""))
        })
    };
    let keys = asks(&["guest_svn", "author_key"]);
    let mut values = ReferenceValues::new("app");
    values.add(Tee::SevSnp, "guest_svn", vec![ReferenceValue::AtLeast(3)], None).unwrap();
    let mut signed = values.clone();
    signed.add(Tee::SevSnp, "author_key", vec![ReferenceValue::Bytes(vec![5; 48])], None).unwrap();
    fill(&keys, &signed).unwrap();
    values.add(Tee::SevSnp, "author_key", vec![ReferenceValue::Bytes(vec![0; 48])], None).unwrap();
    assert_eq!(fill(&keys, &values).unwrap_err().check(), Some("policy.bound-without-code"));

    let level = |accepted: Vec<ReferenceValue>| {
        let mut values = ReferenceValues::new("app");
        values.add(Tee::SevSnp, "vmpl", accepted, None).map(|()| values)
    };
    let number = ReferenceValue::Number;
    for (accepted, says) in [
        (vec![ReferenceValue::AtLeast(0)], "`at_least` does not fit: VMPL 0 is the most privileged"),
        (vec![number(4)], "expected a number up to 3, found 4"),
        ((0..4).map(number).collect(), "accepts or refuses nothing"),
    ] {
        let error = level(accepted).unwrap_err().to_string();
        assert!(error.starts_with("`sev-snp.vmpl`: ") && error.contains(says), "{error}");
    }
    let levels = asks(&["vmpl", "measurement", "host_data"]);
    let with_level = |accepted| {
        let mut values = level(accepted).unwrap();
        values.add(Tee::SevSnp, "measurement", vec![ReferenceValue::Bytes(vec![1; 48])], None).unwrap();
        values.add(Tee::SevSnp, "host_data", vec![ReferenceValue::Bytes(vec![1; 32])], None).unwrap();
        fill(&levels, &values)
    };
    with_level(vec![number(1)]).unwrap();
    let error = with_level(vec![number(0), number(1)]).unwrap_err();
    assert!(error.to_string().contains("`vmpl` does not pin who enforces it"), "{error}");
}
