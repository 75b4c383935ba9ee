//! For every kind of rule that a policy can widen: forged evidence that A refuses and B accepts, and a comparison of the
//! two policies that names that field and nothing else.

use teegate_forge::snp::{Product, Tcb};
use teegate_verifier::{Direction, Tee};

use crate::subject::{Subject, snp, tdx};

/// `subject` is refused by the policy of these tests (A) for `check`, and accepted once `field` says `value` (B).
#[track_caller]
fn widened(subject: Subject, field: &str, value: &str, check: &str) {
    let wider = subject.clone().under(field, value);
    assert_eq!(subject.rejected().failed_checks(), [check], "{field}");
    wider.accepted();
    let (a, b) = (subject.load_policy(), wider.load_policy());
    let named: Vec<_> = a.differences(&b).into_iter().map(|one| (one.tee, one.field, one.direction)).collect();
    assert_eq!(named.as_slice(), [(subject.tee.name(), field, Direction::Wider)], "{field} = {value}");
    let back: Vec<_> = b.differences(&a).into_iter().map(|one| (one.tee, one.field, one.direction)).collect();
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
        let differences = vendors.load_policy().differences(&subject.load_policy());
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
    let differences = own.load_policy().differences(&other.load_policy());
    let named: Vec<_> = differences.iter().map(|one| (one.field, one.direction)).collect();
    assert_eq!(named, [("measurement", Direction::Different)]);
    assert!(differences[0].text.starts_with("each accepts what the other refuses. A: The launch measurement"));
}
