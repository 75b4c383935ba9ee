//! For every kind of rule that a policy can widen: forged evidence that A refuses and B accepts, and a comparison of the
//! two policies that names that field and nothing else.

use teegate_forge::snp::{Product, Tcb};
use teegate_measurements::{Difference, Direction, Example, Side, differences};
use teegate_verifier::{Shown, Tee};

use crate::subject::{Subject, snp, tdx};

/// `subject` is refused by the policy of these tests (A) for `check`, and accepted once `field` says `value` (B).
#[track_caller]
fn widened(subject: Subject, field: &str, value: &str, check: &str) {
    let wider = subject.clone().under(field, value);
    assert_eq!(subject.rejected().failed_checks(), [check], "{field}");
    wider.accepted();
    let (a, b) = (subject.load_policy(), wider.load_policy());
    let named: Vec<_> = differences(&a, &b).into_iter().map(|one| (one.tee, one.field, one.direction)).collect();
    assert_eq!(named.as_slice(), [(subject.tee.name(), field, Direction::Wider)], "{field} = {value}");
    let back: Vec<_> = differences(&b, &a).into_iter().map(|one| (one.tee, one.field, one.direction)).collect();
    assert_eq!(back.as_slice(), [(subject.tee.name(), field, Direction::Narrower)], "{field} = {value}");
}

#[test]
fn evidence_that_a_wider_snp_rule_lets_in_is_announced_by_its_field() {
    const UNCHECKED: &str = "\"unchecked\"";
    // A list of names, and denials by name.
    let genoa = snp(|device| device);
    widened(genoa.clone().under("products", "[\"milan\"]"), "products", "[\"milan\", \"genoa\"]", "snp.product.denied");
    widened(
        genoa.clone().under("denied_products", "{ genoa = \"why\" }"),
        "denied_products",
        "{}",
        "snp.product.denied",
    );
    widened(
        snp(|device| device.vlek("another-cloud")),
        "csp_ids",
        "[\"forged-cloud\", \"another-cloud\"]",
        "snp.chain.csp",
    );
    // A switch, and a scale of words.
    widened(genoa.clone().with_pool(|pool| pool.crls.clear()), "revocation", "\"if-supplied\"", "snp.chain.revocation");
    widened(snp(|device| device.debug()).claiming_nothing(), "debug", "\"allowed\"", "snp.policy.debug");
    // Floors of components, and of a version.
    let old = Tcb { microcode: 26, ..Product::Genoa.tcb() };
    widened(
        snp(|device| device.tcb(old)),
        "minimum_tcb",
        "{ milan = { bootloader = 4, tee = 0, snp = 24, microcode = 220 }, \
         genoa = { bootloader = 10, tee = 0, snp = 27, microcode = 26 }, \
         turin = { fmc = 1, bootloader = 1, tee = 1, snp = 4, microcode = 81 } }",
        "snp.tcb.minimum",
    );
    widened(
        snp(|device| device.current_firmware(1, 55, 28).committed_firmware(1, 55, 28)),
        "minimum_firmware",
        "\"1.55.28\"",
        "snp.firmware.minimum",
    );
    // Bits by name, and by mask.
    widened(
        snp(|device| device.platform_info(0)),
        "platform_info",
        "{ required = [], forbidden = [], unknown = \"rejected\" }",
        "snp.platform.info",
    );
    widened(genoa.clone().under("mitigations", "\"0x8000\""), "mitigations", UNCHECKED, "snp.mitigations");
    // One value, a list of values, a least number.
    widened(
        snp(|device| device.measurement([9; 48])).claiming_nothing(),
        "measurement",
        UNCHECKED,
        "snp.guest.measurement",
    );
    widened(snp(|device| device.vmpl(1)).claiming_nothing(), "vmpl", "[0, 1]", "snp.guest.vmpl");
    widened(snp(|device| device.guest_svn(3)), "guest_svn", "[0, 3]", "snp.guest.guest-svn");
    widened(snp(|device| device.report_data([9; 64])), "report_data", UNCHECKED, "snp.guest.report-data");
    widened(genoa.under("report_data", "\"caller\""), "report_data", UNCHECKED, "snp.guest.report-data");
}

#[test]
fn evidence_that_a_wider_tdx_rule_lets_in_is_announced_by_its_field() {
    const UNCHECKED: &str = "\"unchecked\"";
    let good = tdx(|device| device);
    widened(tdx(|device| device.debug()).claiming_nothing(), "debug", "\"allowed\"", "tdx.td.debug");
    widened(
        tdx(|device| device.xfam(0x20_0003)),
        "xfam",
        "{ required = \"0x3\", allowed = \"0x26dbe7\" }",
        "tdx.td.xfam",
    );
    widened(
        good.clone().under("minimum_evaluation_number", "99"),
        "minimum_evaluation_number",
        "17",
        "tdx.collateral.fresh",
    );
    widened(
        good.clone().under("minimum_tcb_date", "\"2099-01-01T00:00:00Z\""),
        "minimum_tcb_date",
        UNCHECKED,
        "tdx.tcb.accepted",
    );
    widened(
        tdx(|device| {
            device.edit_tcb_info(|info| {
                info.levels.iter_mut().for_each(|level| "SWHardeningNeeded".clone_into(&mut level.status));
            })
        }),
        "tcb_status",
        "[\"UpToDate\", \"SWHardeningNeeded\"]",
        "tdx.tcb.accepted",
    );
    widened(
        tdx(|device| device.mrtd([9; 48])).claiming_nothing(),
        "mrtd",
        &format!("[\"{}\", \"{}\"]", "7d".repeat(48), "09".repeat(48)),
        "tdx.td.mrtd",
    );
    widened(tdx(|device| device.trailing(&[1])), "trailing_bytes", "\"any\"", "tdx.bytes.lengths");
    widened(tdx(|device| device.attributes(0)), "attributes", UNCHECKED, "tdx.td.attributes");
    widened(good.under("event_log", "\"required\""), "event_log", UNCHECKED, "tdx.log.replay");
}

/// A root that only B pins: what it vouches for is refused by A, and the comparison says so.
#[test]
fn evidence_under_another_root_is_announced_by_the_trust_anchors() {
    for (tee, subject) in [(Tee::SevSnp, snp(|device| device)), (Tee::Tdx, tdx(|device| device))] {
        let vendors = subject.clone().under_vendors();
        vendors.rejected();
        subject.accepted();
        let differences = differences(&vendors.load_policy(), &subject.load_policy());
        assert!(
            differences.iter().any(|one| one.tee == tee.name()
                && one.field == "trust_anchors"
                && one.direction == Direction::Different)
        );
    }
}

/// Two values of one field: each policy accepts what the other refuses.
#[test]
fn rules_that_overlap_nowhere_are_called_different() {
    let other = snp(|device| device.measurement([9; 48])).under("measurement", &format!("\"{}\"", "09".repeat(48)));
    let own = snp(|device| device);
    own.accepted();
    other.accepted();
    for (mut subject, policy) in [(own.clone(), &other.policy), (other.clone(), &own.policy)] {
        subject.policy = policy.clone();
        assert_eq!(subject.rejected().failed_checks(), ["snp.guest.measurement"]);
    }
    let differences = differences(&own.load_policy(), &other.load_policy());
    let named: Vec<_> = differences.iter().map(|one| (one.field, one.direction)).collect();
    assert_eq!(named, [("measurement", Direction::Different)]);
    assert!(differences[0].text.starts_with("each accepts what the other refuses. A: The launch measurement"));
}

/// Fields, and what a policy says of them.
type Rules<'r> = &'r [(&'r str, &'r str)];

/// What two policies that say this of these fields differ in.
fn compared(tee: Tee, a: Rules<'_>, b: Rules<'_>) -> Vec<Difference> {
    let base = if tee == Tee::SevSnp { snp(|device| device) } else { tdx(|device| device) };
    let under = |rules: Rules<'_>| {
        rules.iter().fold(base.clone(), |subject, (field, rule)| subject.under(field, rule)).load_policy()
    };
    differences(&under(a), &under(b))
}

/// The rules of a field differ while another field of the same fact decides alike on both sides: nobody accepts what the other
/// refuses, so nobody is said to.
#[test]
fn a_difference_without_evidence_is_called_no_refusal() {
    let floor = "genoa = { bootloader = 1, tee = 0, snp = 1, microcode = 1 }";
    let (genoa, both) = (
        format!("{{ {floor} }}"),
        format!("{{ {floor}, milan = {{ bootloader = 1, tee = 0, snp = 1, microcode = 1 }} }}"),
    );
    let chips = format!("[\"{}\"]", "11".repeat(64));
    let exception = |advisory: &str, status: &str| {
        format!(
            "{{ {advisory} = {{ statuses = [\"{status}\"], until = \"2027-01-01T00:00:00Z\", reason = \"why\" }} }}"
        )
    };
    let (hardening, denied) =
        (exception("INTEL-SA-00001", "SWHardeningNeeded"), exception("INTEL-SA-00002", "OutOfDate"));
    let snp: &[[Rules<'_>; 2]] = &[
        // What the list lets in is denied by name.
        [
            &[("products", "[\"milan\", \"genoa\"]"), ("denied_products", "{ milan = \"why\" }")],
            &[("products", "[\"genoa\"]"), ("denied_products", "{}")],
        ],
        // A floor of a product that neither lists.
        [
            &[("minimum_tcb", &genoa), ("products", "[\"genoa\"]")],
            &[("minimum_tcb", &both), ("products", "[\"genoa\"]")],
        ],
        // A report that hides its chip is on no list of chips.
        [
            &[("masked_chip_id", "\"rejected\""), ("chip_ids", &chips)],
            &[("masked_chip_id", "\"allowed\""), ("chip_ids", &chips)],
        ],
        // A VCEK has no provider.
        [
            &[("csp_ids", "[\"a\"]"), ("signing_keys", "[\"vcek\"]")],
            &[("csp_ids", "[\"b\"]"), ("signing_keys", "[\"vcek\"]")],
        ],
    ];
    let taking = |statuses: &'static str| ("tcb_status", statuses);
    let two = "[\"UpToDate\", \"SWHardeningNeeded\"]";
    let out_of_date = "[\"UpToDate\", \"OutOfDate\"]";
    let tdx: &[[Rules<'_>; 2]] = &[
        // What an exception would let in is taken anyway, or denied anyway.
        [&[taking(two)], &[taking(two), ("tcb_exceptions", &hardening)]],
        [
            &[("denied_advisories", "[\"INTEL-SA-00002\"]")],
            &[("denied_advisories", "[\"INTEL-SA-00002\"]"), ("tcb_exceptions", &denied)],
        ],
        // And so is what a grace would.
        [&[taking(out_of_date)], &[taking(out_of_date), ("out_of_date_grace", "{ days = 30 }")]],
        // An advisory that is allowed and denied.
        [
            &[("allowed_advisories", "[\"INTEL-SA-00001\"]"), ("denied_advisories", "[\"INTEL-SA-00002\"]")],
            &[
                ("allowed_advisories", "[\"INTEL-SA-00001\", \"INTEL-SA-00002\"]"),
                ("denied_advisories", "[\"INTEL-SA-00002\"]"),
            ],
        ],
    ];
    for (tee, pairs) in [(Tee::SevSnp, snp), (Tee::Tdx, tdx)] {
        for [a, b] in pairs {
            for (one, other) in [(a, b), (b, a)] {
                let differences = compared(tee, one, other);
                assert!(!differences.is_empty(), "{one:?} {other:?}");
                for difference in differences {
                    assert_eq!(difference.direction, Direction::Unwitnessed, "{difference:?}");
                    assert_eq!(difference.examples, [] as [Example; 0]);
                    let says = "no evidence was found that one accepts and the other refuses. A: ";
                    assert!(difference.text.starts_with(says), "{difference:?}");
                }
            }
        }
    }
}

/// The twins of the above, in which the other field does not decide: there is evidence, and it is shown.
#[test]
fn a_difference_with_evidence_shows_it() {
    let text = |text: &'static str| Shown::Name(text.into());
    for (tee, a, b, field, direction, shows) in [
        (
            Tee::SevSnp,
            &[("products", "[\"milan\", \"genoa\"]")][..],
            &[("products", "[\"genoa\"]")][..],
            "products",
            Direction::Narrower,
            text("milan"),
        ),
        (
            Tee::SevSnp,
            &[("csp_ids", "[\"a\"]")],
            &[("csp_ids", "[\"a\", \"b\"]")],
            "csp_ids",
            Direction::Wider,
            text("b"),
        ),
        // A grace lets in what is old, and not for ever.
        (
            Tee::Tdx,
            &[("tcb_status", "[\"UpToDate\", \"OutOfDate\"]")],
            &[("tcb_status", "[\"UpToDate\"]"), ("out_of_date_grace", "{ days = 30 }")],
            "tcb_status",
            Direction::Narrower,
            Shown::OutOfDate(30),
        ),
        (
            Tee::Tdx,
            &[("tcb_status", "\"unchecked\"")],
            &[("tcb_status", "[\"UpToDate\"]"), ("out_of_date_grace", "{ days = 30 }")],
            "tcb_status",
            Direction::Narrower,
            text("SWHardeningNeeded"),
        ),
    ] {
        let differences = compared(tee, a, b);
        let own = differences.iter().find(|difference| difference.field == field).unwrap();
        let by = if direction == Direction::Wider { Side::B } else { Side::A };
        assert_eq!((own.direction, own.examples.len()), (direction, 1), "{own:?}");
        assert_eq!((own.examples[0].accepted_by, &own.examples[0].shows), (by, &shows), "{own:?}");
    }
    // What softens a status is no difference of its own where the other policy asks for none.
    let softened = compared(
        Tee::Tdx,
        &[("tcb_status", "\"unchecked\"")],
        &[("tcb_status", "[\"UpToDate\"]"), ("out_of_date_grace", "{ days = 30 }")],
    );
    assert_eq!(softened.iter().map(|one| one.field).collect::<Vec<_>>(), ["tcb_status"]);
}

/// A list may hold every neighbour of its values: there is still a value that it does not hold.
#[test]
fn an_example_is_found_outside_any_list() {
    let digest = |last: &str| format!("\"{}{last}\"", "2".repeat(95));
    let every = (0..16).map(|digit| digest(&format!("{digit:x}"))).collect::<Vec<_>>().join(", ");
    let advisories = (0..300).map(|number| format!("\"INTEL-SA-{number:05}\"")).collect::<Vec<_>>().join(", ");
    for (tee, field, list) in [
        (Tee::SevSnp, "id_key", format!("[{every}]")),
        (Tee::Tdx, "mrseam", format!("[{every}]")),
        (Tee::Tdx, "service_td", format!("[\"none\", {every}]")),
        (Tee::Tdx, "allowed_advisories", format!("[{advisories}]")),
        (Tee::SevSnp, "csp_ids", "[\"another-provider\", \"another-provide1\"]".to_owned()),
    ] {
        let waive = ["guest_svn", "family_id", "image_id"].map(|field| (field, "\"unchecked\""));
        let more = if tee == Tee::SevSnp { &waive[..] } else { &[] };
        let with = |rule| [more, &[(field, rule)]].concat();
        let differences = compared(tee, &with(&list), &with("\"unchecked\""));
        assert_eq!(differences.len(), 1, "{field}");
        assert_eq!((differences[0].direction, differences[0].examples.len()), (Direction::Wider, 1), "{field}");
    }
}
