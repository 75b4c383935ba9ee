//! Every example that a comparison of two policies gives, turned into forged evidence: the policy that is said to refuse it
//! refuses it for that field's check and no other, and the one that is said to accept it does.

use std::collections::BTreeMap;

use teegate_forge::snp::{Product, Tcb};
use teegate_forge::tdx::TdxBuilder;
use teegate_forge::time::{AT, DAY};
use teegate_measurements::{Direction, Example, Side, differences};
use teegate_verifier::{Shown, Tee};

use crate::subject::{Subject, snp, tdx};

/// Compares two rules of one field in both directions and embodies what comes out.
#[track_caller]
fn embodied(tee: Tee, field: &str, a: &str, b: &str, check: &str) -> usize {
    embodied_beside(&[], tee, field, a, b, check)
}

/// The same beside rules of other fields that both policies have.
#[track_caller]
fn embodied_beside(beside: &[(&str, &str)], tee: Tee, field: &str, a: &str, b: &str, check: &str) -> usize {
    let base = if tee == Tee::SevSnp { snp(|device| device) } else { tdx(|device| device) };
    let under = |subject: Subject, rule: &str| {
        let subject = match (tee, field) {
            // A VLEK has a provider, and a VCEK has none.
            (Tee::SevSnp, "csp_ids") => subject.under("signing_keys", "[\"vlek\"]"),
            // What an ID block says counts only under a key.
            (Tee::SevSnp, "id_key") => ["guest_svn", "family_id", "image_id"]
                .into_iter()
                .fold(subject, |subject, field| subject.under(field, UNCHECKED)),
            (Tee::SevSnp, "minimum_tcb") => subject.under("minimum_firmware", "\"unchecked\""),
            _ => subject,
        };
        let subject = beside.iter().fold(subject, |subject, (field, rule)| subject.under(field, rule));
        subject.claiming_nothing().under(field, rule)
    };
    let (policy_a, policy_b) = (under(base.clone(), a).load_policy(), under(base, b).load_policy());
    let mut seen = 0;
    for (one, other, rules) in [(&policy_a, &policy_b, [a, b]), (&policy_b, &policy_a, [b, a])] {
        let differences = differences(one, other);
        assert_eq!(differences.len(), 1, "{field}: {a} / {b}: {differences:?}");
        let difference = &differences[0];
        assert_eq!(difference.field, field);
        let sides: Vec<_> = difference.examples.iter().map(|example| example.accepted_by).collect();
        let claimed: &[Side] = match difference.direction {
            Direction::Wider => &[Side::B],
            Direction::Narrower => &[Side::A],
            Direction::Different => &[Side::B, Side::A],
            other => panic!("{field}: {a} / {b} is {other:?}"),
        };
        assert_eq!(sides, claimed, "{field}: {a} / {b}");
        for Example { accepted_by, shows, .. } in &difference.examples {
            let [takes, refuses] = if *accepted_by == Side::A { [rules[0], rules[1]] } else { [rules[1], rules[0]] };
            let subject = embody(tee, field, shows);
            let refused = under(subject.clone(), refuses).rejected();
            assert_eq!(refused.failed_checks(), [check], "{field} {shows} under {refuses}");
            if let Err(rejection) = under(subject, takes).judge() {
                panic!("{field} {shows} must be accepted under {takes}, but: {rejection}");
            }
            seen += 1;
        }
    }
    seen
}

fn bytes<const N: usize>(value: &[u8]) -> [u8; N] {
    value.try_into().unwrap()
}

fn product(name: &str) -> Product {
    match name {
        "milan" => Product::Milan,
        "genoa" => Product::Genoa,
        "turin" => Product::Turin,
        other => panic!("{other}"),
    }
}

/// Forged evidence that shows this and is in order otherwise.
fn embody(tee: Tee, field: &str, shows: &Shown) -> Subject {
    match tee {
        Tee::SevSnp => embody_snp(field, shows),
        Tee::Tdx => embody_tdx(field, shows),
        tee => unreachable!("no case of {tee}"),
    }
}

fn embody_snp(field: &str, shows: &Shown) -> Subject {
    match (field, shows) {
        ("products" | "denied_products", Shown::Name(name)) => snp(|device| device.product(product(name))),
        ("signing_keys", Shown::Name(key)) if key == "vcek" => snp(|device| device),
        ("signing_keys", Shown::Name(_)) => snp(|device| device.vlek("forged-cloud")),
        ("csp_ids", Shown::Name(id)) => snp(|device| device.vlek(id)),
        ("chip_ids", Shown::Bytes(id)) => snp(|device| device.chip_id(bytes(id))),
        ("masked_chip_id", Shown::State(..)) => snp(|device| device.masked_chip_id()),
        ("revocation", Shown::State(2, _)) => snp(|device| device).with_pool(|pool| pool.crls.clear()),
        ("revocation", Shown::State(..)) => snp(|device| device.revoke_intermediate()),
        ("max_collateral_age", Shown::Aged(days)) => {
            let issued = AT - u64::from(*days) * DAY;
            snp(move |device| device.crl_window(issued, Some(AT + DAY)))
        }
        ("committed_firmware", Shown::State(..)) => {
            let newer = Tcb { microcode: Product::Genoa.tcb().microcode + 1, ..Product::Genoa.tcb() };
            snp(|device| device.tcb(Product::Genoa.tcb()).current_tcb(newer))
        }
        ("minimum_tcb", Shown::Tcb(name, parts)) => {
            let part = |name: &str| parts.get(name).copied().unwrap_or(0);
            let tcb = Tcb {
                fmc: part("fmc"),
                bootloader: part("bootloader"),
                tee: part("tee"),
                snp: part("snp"),
                microcode: part("microcode"),
            };
            snp(|device| device.product(product(name)).tcb(tcb))
        }
        ("minimum_firmware", Shown::Version(version)) => {
            let [major, minor, build] = version.as_slice() else { panic!("{version:?}") };
            snp(|device| device.current_firmware(*major, *minor, *build).committed_firmware(*major, *minor, *build))
        }
        ("minimum_abi", Shown::Version(version)) => {
            let [major, minor] = version.as_slice() else { panic!("{version:?}") };
            snp(|device| device.policy(0x3_0000 | u64::from(*major) << 8 | u64::from(*minor)))
        }
        ("mitigations", Shown::Mask(bits)) => snp(|device| device.mitigation_vectors(*bits, *bits)),
        ("platform_info", Shown::Bits(bits)) => snp(|device| device.platform_info(*bits)),
        // The platform is what this launch policy demands of it.
        ("policy_flags", Shown::Bits(bits)) => {
            let rapl = if bits >> 23 & 1 == 1 { 1 << 3 } else { 0 };
            let hiding = if bits >> 24 & 1 == 1 { 1 << 4 } else { 0 };
            snp(|device| device.policy(bits | 1 << 17).platform_info(1 << 5 | rapl | hiding))
        }
        // Nothing else is open: the rows of other bulletins are met.
        ("bulletins", Shown::Bulletin(id, days)) => {
            let (published, firmware, component) = match &**id {
                "AMD-SB-3016" => (1_776_124_800, 48, 0x1B),
                "AMD-SB-3023" => (1_770_681_600, 49, 0x1A),
                other => panic!("{other}"),
            };
            let at = published + u64::from(*days) * DAY;
            let tcb = Tcb { snp: component, ..Product::Genoa.tcb() };
            let subject = snp(|device| {
                device.at(at).tcb(tcb).current_firmware(1, 55, firmware).committed_firmware(1, 55, firmware)
            });
            subject.under("minimum_tcb", UNCHECKED).at(at)
        }
        ("debug", Shown::State(..)) => snp(|device| device.debug()),
        ("migration_agent", Shown::State(..)) => snp(|device| device.migration_agent()),
        ("measurement", Shown::Bytes(text)) => snp(|device| device.measurement(bytes(text))),
        ("host_data", Shown::Bytes(text)) => snp(|device| device.host_data(bytes(text))),
        ("guest_svn", Shown::Number(number)) => snp(|device| device.guest_svn((*number).try_into().unwrap())),
        ("vmpl", Shown::Number(number)) => snp(|device| device.vmpl((*number).try_into().unwrap())),
        ("family_id", Shown::Bytes(text)) => snp(|device| device.family_id(bytes(text))),
        ("image_id", Shown::Bytes(text)) => snp(|device| device.image_id(bytes(text))),
        ("report_id_ma", Shown::Bytes(text)) => snp(|device| device.report_id_ma(bytes(text))),
        ("id_key", Shown::Bytes(text)) => snp(|device| device.id_key_digest(bytes(text))),
        // No author key, and the flag says so.
        ("author_key", Shown::Bytes(text)) if text.iter().all(|byte| *byte == 0) => snp(|device| device),
        ("author_key", Shown::Bytes(text)) => snp(|device| device.author_key(bytes(text))),
        ("report_data", Shown::ReportData(text, named)) => {
            let subject = snp(|device| device.report_data(bytes(text)));
            if *named { subject.asking(bytes(text)) } else { subject }
        }
        other => panic!("no evidence for {other:?}"),
    }
}

fn embody_tdx(field: &str, shows: &Shown) -> Subject {
    match (field, shows) {
        ("trailing_bytes", Shown::State(..)) => tdx(|device| device.trailing(&[1])),
        ("ppids", Shown::Bytes(id)) => {
            let id = id.to_vec();
            tdx(|device| device.edit_sgx_extension(move |sgx| sgx.ppid.clone_from(&id)))
        }
        ("minimum_evaluation_number", Shown::Number(number)) => {
            tdx(|device| device.evaluation_number((*number).try_into().unwrap()))
        }
        ("max_collateral_age", Shown::Aged(days)) => {
            let issued = AT - u64::from(*days) * DAY;
            tdx(move |device| device.tcb_info_window(issued, AT + DAY))
        }
        ("max_root_crl_age", Shown::Aged(days)) => {
            let issued = AT - u64::from(*days) * DAY;
            tdx(move |device| device.edit_root_crl(move |crl| crl.this_update = issued))
        }
        ("one_evaluation", Shown::State(..)) => {
            tdx(|device| device.edit_qe_identity(|identity| identity.evaluation_number = 19))
        }
        ("tcb_status", Shown::Name(status)) => tdx(|device| device.platform_status(status)),
        ("allowed_advisories" | "denied_advisories", Shown::Name(id)) => {
            tdx(|device| device.platform_advisories(&[id]))
        }
        ("minimum_tcb_date", Shown::Date(seconds)) => {
            let seconds = seconds.seconds();
            tdx(|device| device.edit_tcb_info(move |info| info.levels[0].date = seconds))
        }
        ("debug", Shown::State(..)) => tdx(|device| device.debug()),
        ("profiling", Shown::State(..)) => tdx(|device| device.attributes(1 << 28 | 1 << 4)),
        ("attributes", Shown::Bits(bits)) => tdx(|device| device.attributes(*bits)),
        ("xfam", Shown::Mask(bits)) => tdx(|device| device.xfam(*bits)),
        ("service_td", Shown::Name(text)) => {
            let value = if text == "none" { [0; 48] } else { hex::decode(&**text).unwrap().try_into().unwrap() };
            tdx(|device| device.version_5(3).mrservicetd(value))
        }
        ("mrtd", Shown::Bytes(text)) => tdx(|device| device.mrtd(bytes(text))),
        ("rtmr0", Shown::Bytes(text)) => tdx(|device| device.rtmr(0, bytes(text))),
        ("rtmr1", Shown::Bytes(text)) => tdx(|device| device.rtmr(1, bytes(text))),
        ("rtmr2", Shown::Bytes(text)) => tdx(|device| device.rtmr(2, bytes(text))),
        ("rtmr3", Shown::Bytes(text)) => tdx(|device| device.rtmr(3, bytes(text))),
        ("mrconfigid", Shown::Bytes(text)) => tdx(|device| device.mrconfigid(bytes(text))),
        ("mrseam", Shown::Bytes(text)) => {
            let value = bytes(text);
            tdx(|device| device.edit_td_report(move |report| report.mrseam = value))
        }
        ("mrowner", Shown::Bytes(text)) => {
            let value = bytes(text);
            tdx(|device| device.edit_td_report(move |report| report.mrowner = value))
        }
        ("mrownerconfig", Shown::Bytes(text)) => {
            let value = bytes(text);
            tdx(|device| device.edit_td_report(move |report| report.mrownerconfig = value))
        }
        ("event_log", Shown::State(..)) => tdx(|device| device),
        ("deciding_evaluation", Shown::State(..)) => crate::tdx_outlook::with_another(99, AT - DAY),
        ("out_of_date_grace" | "tcb_status", Shown::OutOfDate(days)) => {
            let date = AT - u64::from(*days) * DAY;
            tdx(move |device| dated(device.platform_status("OutOfDate"), date))
        }
        ("tcb_exceptions", Shown::Advisory(id, status, at, days)) => {
            let at = at.seconds();
            let date = at - u64::from(*days) * DAY;
            let aged = |device: TdxBuilder| if *days == 0 { device } else { dated(device, date) };
            tdx(|device| aged(device.at(at).platform_status(status).platform_advisories(&[id]))).at(at)
        }
        ("report_data", Shown::ReportData(text, named)) => {
            let subject = tdx(|device| device.report_data(bytes(text)));
            if *named { subject.asking(bytes(text)) } else { subject }
        }
        other => panic!("no evidence for {other:?}"),
    }
}

/// Every level of every part is of this date.
fn dated(device: TdxBuilder, date: u64) -> TdxBuilder {
    device
        .edit_tcb_info(move |info| {
            let modules = info.module_identities.iter_mut().flatten().flat_map(|one| &mut one.levels);
            modules.for_each(|level| level.date = date);
            info.levels.iter_mut().for_each(|level| level.date = date);
        })
        .edit_qe_identity(move |qe| qe.levels.iter_mut().for_each(|level| level.date = date))
}

const UNCHECKED: &str = "\"unchecked\"";

fn floors(bootloader: u8, snp: u8, more: &str) -> String {
    format!("{{ genoa = {{ bootloader = {bootloader}, tee = 0, snp = {snp}, microcode = 20 }}{more} }}")
}

fn bits(required: &str, forbidden: &str, unknown: &str) -> String {
    format!("{{ required = [{required}], forbidden = [{forbidden}], unknown = \"{unknown}\" }}")
}

fn quoted(byte: &str, length: usize) -> String {
    format!("\"{}\"", byte.repeat(length))
}

#[test]
fn every_example_of_a_snp_rule_is_forged_and_judged() {
    let milan = ", milan = { bootloader = 4, tee = 0, snp = 24, microcode = 220 }";
    let turin = ", turin = { fmc = 1, bootloader = 1, tee = 1, snp = 4, microcode = 81 }";
    let own = |byte: &str, length: usize| (quoted(byte, length), quoted("09", length));
    let mut rules: Vec<(&str, &str, String, String)> = Vec::new();
    let mut add = |field, check, a: &str, b: &str| rules.push((field, check, a.to_owned(), b.to_owned()));
    add("products", "snp.product.denied", "[\"milan\"]", "[\"milan\", \"turin\"]");
    add("products", "snp.product.denied", "[\"milan\"]", "[\"genoa\"]");
    add("denied_products", "snp.product.denied", "{ genoa = \"why\" }", "{}");
    add("signing_keys", "snp.chain.leaf-kind", "[\"vcek\"]", "[\"vcek\", \"vlek\"]");
    add("csp_ids", "snp.chain.csp", "[\"forged-cloud\"]", "[\"other-cloud\"]");
    add("csp_ids", "snp.chain.csp", "[\"forged-cloud\"]", UNCHECKED);
    add("masked_chip_id", "snp.leaf.chip-id", "\"rejected\"", "\"allowed\"");
    let chips = |byte| format!("[{}]", quoted(byte, 64));
    add("chip_ids", "snp.platform.allowed", &chips("11"), &chips("12"));
    add("chip_ids", "snp.platform.allowed", &chips("11"), UNCHECKED);
    add("revocation", "snp.chain.revocation", "\"required\"", "\"if-supplied\"");
    add("revocation", "snp.chain.revocation", "\"if-supplied\"", UNCHECKED);
    add("max_collateral_age", "snp.chain.age", "{ days = 30 }", "{ days = 31 }");
    add("max_collateral_age", "snp.chain.age", "{ days = 30 }", UNCHECKED);
    add("minimum_tcb", "snp.tcb.minimum", &floors(10, 27, ""), &floors(9, 27, ""));
    add("minimum_tcb", "snp.tcb.minimum", &floors(10, 26, ""), &floors(9, 27, ""));
    add("minimum_tcb", "snp.tcb.minimum", &floors(10, 27, ""), &floors(10, 27, milan));
    add("minimum_tcb", "snp.tcb.minimum", &floors(10, 27, turin), &floors(10, 27, milan));
    add("minimum_tcb", "snp.tcb.minimum", &floors(10, 27, milan), UNCHECKED);
    add("committed_firmware", "snp.tcb.order", "\"required\"", UNCHECKED);
    add("minimum_firmware", "snp.firmware.minimum", "\"1.55.29\"", "\"1.55.28\"");
    add("minimum_firmware", "snp.firmware.minimum", "\"1.55.0\"", UNCHECKED);
    add("mitigations", "snp.mitigations", "\"0x3\"", "\"0x1\"");
    add("mitigations", "snp.mitigations", "\"0x2\"", "\"0x1\"");
    let alias = "\"alias-check-complete\"";
    add("platform_info", "snp.platform.info", &bits(alias, "", "rejected"), &bits("", "", "rejected"));
    add("platform_info", "snp.platform.info", &bits(alias, "", "rejected"), &bits("", "\"tsme\"", "allowed"));
    add("platform_info", "snp.platform.info", &bits(alias, "", "rejected"), UNCHECKED);
    add("policy_flags", "snp.policy.flags", &bits("", "\"cxl\"", "rejected"), &bits("", "", "rejected"));
    add(
        "policy_flags",
        "snp.policy.flags",
        &bits("\"single-socket\"", "", "rejected"),
        &bits("", "\"smt\"", "allowed"),
    );
    let bulletins =
        |days: u32, except: &str| format!("{{ baseline = 1, grace_days = {days}, except = {{ {except} }} }}");
    add("bulletins", "snp.tcb.bulletins", &bulletins(0, ""), UNCHECKED);
    add("bulletins", "snp.tcb.bulletins", &bulletins(0, ""), &bulletins(30, ""));
    add("bulletins", "snp.tcb.bulletins", &bulletins(0, ""), &bulletins(0, "\"AMD-SB-3023\" = \"why\""));
    add("debug", "snp.policy.debug", "\"rejected\"", "\"allowed\"");
    add("migration_agent", "snp.policy.migration", "\"rejected\"", "\"allowed\"");
    add("minimum_abi", "snp.policy.flags", "\"1.5\"", "\"1.0\"");
    for (field, check, byte, length) in [
        ("measurement", "snp.guest.measurement", "4d", 48),
        ("host_data", "snp.guest.host-data", "00", 32),
        ("family_id", "snp.guest.family-id", "00", 16),
        ("image_id", "snp.guest.image-id", "00", 16),
        ("report_id_ma", "snp.guest.report-id-ma", "ff", 32),
        ("id_key", "snp.guest.id-key", "00", 48),
        ("author_key", "snp.guest.author-key", "00", 48),
        ("report_data", "snp.guest.report-data", "00", 64),
    ] {
        let (a, b) = own(byte, length);
        add(field, check, &a, &b);
        add(field, check, &a, UNCHECKED);
    }
    add("report_data", "snp.guest.report-data", "\"caller\"", UNCHECKED);
    add("report_data", "snp.guest.report-data", "\"caller\"", &quoted("09", 64));
    add("guest_svn", "snp.guest.guest-svn", "3", "{ at_least = 2 }");
    add("guest_svn", "snp.guest.guest-svn", "3", "[1, 2]");
    add("vmpl", "snp.guest.vmpl", "[0]", "[0, 1]");
    add("vmpl", "snp.guest.vmpl", "[0]", "[1, 2, 3]");
    add("vmpl", "snp.guest.vmpl", "[1, 2, 3]", UNCHECKED);
    add("vmpl", "snp.guest.vmpl", "[0]", UNCHECKED);
    let mut fields: BTreeMap<&str, usize> = BTreeMap::new();
    for (field, check, a, b) in &rules {
        *fields.entry(field).or_default() += embodied(Tee::SevSnp, field, a, b, check);
    }
    every_field_of(Tee::SevSnp, &fields);
}

#[test]
fn every_example_of_a_tdx_rule_is_forged_and_judged() {
    let mut rules: Vec<(&str, &str, String, String)> = Vec::new();
    let mut add = |field, check, a: &str, b: &str| rules.push((field, check, a.to_owned(), b.to_owned()));
    add("trailing_bytes", "tdx.bytes.lengths", "\"zero\"", "\"any\"");
    let ids = |byte| format!("[{}]", quoted(byte, 16));
    add("ppids", "tdx.platform.allowed", &ids("11"), &ids("12"));
    add("ppids", "tdx.platform.allowed", &ids("11"), UNCHECKED);
    add("minimum_evaluation_number", "tdx.collateral.fresh", "18", "17");
    add("minimum_evaluation_number", "tdx.collateral.fresh", "18", UNCHECKED);
    add("one_evaluation", "tdx.collateral.fresh", "\"required\"", UNCHECKED);
    add("max_collateral_age", "tdx.collateral.age", "{ days = 28 }", "{ days = 29 }");
    add("max_collateral_age", "tdx.collateral.age", "{ days = 28 }", UNCHECKED);
    add("max_root_crl_age", "tdx.collateral.age", "{ days = 100 }", "{ days = 101 }");
    add("max_root_crl_age", "tdx.collateral.age", "{ days = 100 }", UNCHECKED);
    add("tcb_status", "tdx.tcb.accepted", "[\"UpToDate\"]", "[\"UpToDate\", \"SWHardeningNeeded\"]");
    add("tcb_status", "tdx.tcb.accepted", "[\"UpToDate\"]", "[\"OutOfDate\"]");
    add("tcb_status", "tdx.tcb.accepted", "[\"UpToDate\"]", UNCHECKED);
    let advisory = |digit: char| format!("[\"INTEL-SA-0000{digit}\"]");
    add("allowed_advisories", "tdx.tcb.accepted", &advisory('1'), &advisory('2'));
    add("allowed_advisories", "tdx.tcb.accepted", &advisory('1'), UNCHECKED);
    add("denied_advisories", "tdx.tcb.accepted", &advisory('1'), &advisory('2'));
    add("denied_advisories", "tdx.tcb.accepted", &advisory('1'), UNCHECKED);
    add("deciding_evaluation", "tdx.tcb.accepted", "\"highest\"", "\"lowest\"");
    add("out_of_date_grace", "tdx.tcb.accepted", "\"none\"", "{ days = 90 }");
    add("out_of_date_grace", "tdx.tcb.accepted", "{ days = 30 }", "{ days = 31 }");
    let exception = |status: &str, until: &str| {
        format!("{{ \"INTEL-SA-00001\" = {{ statuses = [\"{status}\"], until = \"{until}\", reason = \"why\" }} }}")
    };
    let (june, july) = ("2026-06-02T00:00:00Z", "2026-07-02T00:00:00Z");
    add("tcb_exceptions", "tdx.tcb.accepted", "{}", &exception("OutOfDate", june));
    add("tcb_exceptions", "tdx.tcb.accepted", &exception("OutOfDate", june), &exception("OutOfDate", july));
    add("tcb_exceptions", "tdx.tcb.accepted", &exception("OutOfDate", june), &exception("ConfigurationNeeded", june));
    add("minimum_tcb_date", "tdx.tcb.accepted", "\"2026-01-02T00:00:00Z\"", "\"2026-01-01T00:00:00Z\"");
    add("minimum_tcb_date", "tdx.tcb.accepted", "\"2026-01-02T00:00:00Z\"", UNCHECKED);
    add("debug", "tdx.td.debug", "\"rejected\"", "\"allowed\"");
    add("profiling", "tdx.td.debug", "\"rejected\"", "\"allowed\"");
    let sept = "\"sept-ve-disable\"";
    add("attributes", "tdx.td.attributes", &bits(sept, "\"tpa\"", "rejected"), &bits(sept, "", "rejected"));
    add("attributes", "tdx.td.attributes", &bits(sept, "", "rejected"), &bits("", "\"pks\"", "allowed"));
    add("attributes", "tdx.td.attributes", &bits(sept, "", "rejected"), UNCHECKED);
    let mask = |required: &str, allowed: &str| format!("{{ required = \"{required}\", allowed = \"{allowed}\" }}");
    add("xfam", "tdx.td.xfam", &mask("0x3", "0x6dbe7"), &mask("0x3", "0x26dbe7"));
    add("xfam", "tdx.td.xfam", &mask("0x7", "0xe7"), &mask("0x3", "0x7"));
    add("service_td", "tdx.td.service-td", "\"none\"", &quoted("09", 48));
    add("service_td", "tdx.td.service-td", "\"none\"", UNCHECKED);
    for (field, check, byte) in [
        ("mrtd", "tdx.td.mrtd", "7d"),
        ("rtmr0", "tdx.td.rtmr0", "a0"),
        ("rtmr1", "tdx.td.rtmr1", "a1"),
        ("rtmr2", "tdx.td.rtmr2", "a2"),
        ("rtmr3", "tdx.td.rtmr3", "a3"),
        ("mrseam", "tdx.td.mrseam", "5e"),
        ("mrconfigid", "tdx.td.mrconfigid", "00"),
        ("mrowner", "tdx.td.mrowner", "00"),
        ("mrownerconfig", "tdx.td.mrownerconfig", "00"),
        ("report_data", "tdx.td.report-data", "00"),
    ] {
        let length = if field == "report_data" { 64 } else { 48 };
        let (a, b) = (quoted(byte, length), quoted("09", length));
        add(field, check, &a, &b);
        // Firmware registers mean nothing without MRTD, which the loader knows.
        if field != "mrtd" {
            add(field, check, &a, UNCHECKED);
        }
    }
    add("event_log", "tdx.log.replay", "\"required\"", UNCHECKED);
    add("report_data", "tdx.td.report-data", "\"caller\"", UNCHECKED);
    add("report_data", "tdx.td.report-data", "\"caller\"", &quoted("09", 64));
    let mut fields: BTreeMap<&str, usize> = BTreeMap::new();
    for (field, check, a, b) in &rules {
        *fields.entry(field).or_default() += embodied(Tee::Tdx, field, a, b, check);
    }
    every_field_of(Tee::Tdx, &fields);
}

/// What another rule of the same fact would let in after all is no example; what it lets pass for a while is one afterwards.
#[test]
fn an_example_holds_beside_the_other_rules_of_its_fact() {
    let exception = |statuses: &str| {
        format!(
            "{{ \"INTEL-SA-00001\" = {{ statuses = [{statuses}], until = \"2027-01-01T00:00:00Z\", reason = \"why\" }} }}"
        )
    };
    let check = "tdx.tcb.accepted";
    let grace = [("out_of_date_grace", "{ days = 30 }")];
    let old = exception("\"OutOfDate\"");
    assert_eq!(embodied_beside(&grace, Tee::Tdx, "tcb_exceptions", "{}", &old, check), 2);
    let two = "[\"UpToDate\", \"OutOfDate\"]";
    assert_eq!(embodied_beside(&grace, Tee::Tdx, "tcb_status", "[\"UpToDate\"]", two, check), 2);
    let taken = [("tcb_status", "[\"UpToDate\", \"SWHardeningNeeded\"]")];
    let wider = exception("\"SWHardeningNeeded\", \"OutOfDate\"");
    assert_eq!(embodied_beside(&taken, Tee::Tdx, "tcb_exceptions", "{}", &wider, check), 2);
    let denied = [("denied_products", "{ milan = \"why\" }")];
    let products = embodied_beside(
        &denied,
        Tee::SevSnp,
        "products",
        "[\"genoa\"]",
        "[\"genoa\", \"milan\", \"turin\"]",
        "snp.product.denied",
    );
    assert_eq!(products, 2);
}

/// No field that can differ is without an example that was forged.
fn every_field_of(tee: Tee, fields: &BTreeMap<&str, usize>) {
    let document: toml::Table = toml::from_str(teegate_measurements::GENUINE).unwrap();
    for field in document[tee.name()]["genuine"].as_table().unwrap().keys() {
        let others = ["wrapping", "bound_to"];
        assert!(others.contains(&field.as_str()) || fields.contains_key(field.as_str()), "{tee} {field}");
    }
    assert!(fields.values().all(|examples| *examples >= 2), "{fields:?}");
}
