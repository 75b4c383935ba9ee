//! AMD's bulletins: what a report shows of them, when they count, and what a policy makes of it.

use teegate_forge::snp::{Product, SnpBuilder, Tcb};
use teegate_forge::time::{AT, DAY};
use teegate_verifier::{Check, FactValue, Tee, bulletin_table};

use crate::case::{Case, cases, refused};
use crate::subject::{Subject, good, snp};

cases! { firmware alias_check snp_component grace exceptions }

const NONE_OPEN: &str = "{ baseline = 1, grace_days = 0, except = {} }";

fn device(product: Product, build: u8, edit: impl FnOnce(SnpBuilder) -> SnpBuilder) -> Subject {
    snp(|device| edit(device.product(product).current_firmware(1, 55, build).committed_firmware(1, 55, build)))
}

/// One build below each figure, and at it. Published on 2026-04-14; the forged clock stands at 2026-06-01.
fn firmware() -> Vec<Case> {
    [(Product::Milan, 35, "34"), (Product::Genoa, 49, "48"), (Product::Siena, 49, "48")]
        .map(|(product, build, below)| {
            // Milan's forged floor is lower than what AMD-SB-3023 asks.
            let edit = |device: SnpBuilder| match product {
                Product::Milan => device.tcb(Tcb { snp: 0x1B, microcode: 0xDE, ..Product::Milan.tcb() }),
                _ => device,
            };
            refused("snp.tcb.bulletins", device(product, build - 1, edit))
                .twin(device(product, build, edit))
                .under("bulletins", NONE_OPEN)
                .actual(format!("firmware 1.55.{below} runs, 1.55.{build} answers it"))
        })
        .to_vec()
}

fn alias_check() -> Vec<Case> {
    vec![
        refused("snp.tcb.bulletins", device(Product::Genoa, 49, |device| device.platform_info(0x05)))
            .twin(device(Product::Genoa, 49, |device| device.platform_info(0x25)))
            .under("platform_info", "\"unchecked\"")
            .under("bulletins", NONE_OPEN)
            .actual("AMD-SB-3015 (memory modules could alias a guest's memory (CVE-2024-21944, BadRAM)): ALIAS_CHECK_COMPLETE is 0"),
    ]
}

fn snp_component() -> Vec<Case> {
    let genoa = Product::Genoa.tcb();
    let (fixed, open) = (Tcb { snp: 0x1B, ..genoa }, Tcb { snp: 0x1A, ..genoa });
    let turin = Product::Turin.tcb();
    vec![
        refused("snp.tcb.bulletins", device(Product::Genoa, 49, move |device| device.tcb(open)))
            .twin(device(Product::Genoa, 49, move |device| device.tcb(fixed)))
            .under("minimum_tcb", "\"unchecked\"")
            .under("bulletins", NONE_OPEN)
            .actual("SNP 26 in the reported or current TCB, 27 answers it"),
        // What is reported can be lower than what runs: the key that signs stands for the former.
        refused("snp.tcb.bulletins", device(Product::Genoa, 49, move |device| device.tcb(fixed).reported_tcb(open)))
            .twin(device(Product::Genoa, 49, move |device| device.tcb(fixed)))
            .under("minimum_tcb", "\"unchecked\"")
            .under("bulletins", NONE_OPEN)
            .actual("SNP 26"),
        refused("snp.tcb.bulletins", device(Product::Turin, 49, move |device| device.tcb(Tcb { snp: 3, ..turin })))
            .twin(device(Product::Turin, 49, move |device| device.tcb(Tcb { snp: 4, ..turin })))
            .under("minimum_tcb", "\"unchecked\"")
            .under("bulletins", NONE_OPEN)
            .actual("AMD-SB-3023"),
    ]
}

/// AMD-SB-3016 was published 48 days before the forged clock.
fn grace() -> Vec<Case> {
    let open = device(Product::Genoa, 48, |device| device);
    let rule = |days: u32| format!("{{ baseline = 1, grace_days = {days}, except = {{}} }}");
    vec![
        refused("snp.tcb.bulletins", open.clone().under("bulletins", &rule(48)))
            .twin(open.clone().under("bulletins", &rule(49)))
            .expected("open for 48 days or more"),
        // Before its publication nobody could know.
        refused("snp.tcb.bulletins", open.clone().under("bulletins", NONE_OPEN)).twin(
            device(Product::Genoa, 48, |device| device.at(AT - 49 * DAY))
                .at(AT - 49 * DAY)
                .under("bulletins", NONE_OPEN),
        ),
    ]
}

fn exceptions() -> Vec<Case> {
    let open = device(Product::Genoa, 48, |device| device);
    let except =
        |id: &str| format!("{{ baseline = 1, grace_days = 0, except = {{ \"{id}\" = \"hosts mitigate it\" }} }}");
    vec![
        refused("snp.tcb.bulletins", open.clone().under("bulletins", &except("AMD-SB-3023")))
            .twin(open.under("bulletins", &except("AMD-SB-3016")))
            .expected("but AMD-SB-3023 (hosts mitigate it)"),
    ]
}

/// A verdict that rests on a grace ends with it, at the latest.
#[test]
fn a_grace_ends_the_verdict() {
    let open = device(Product::Genoa, 48, |device| device)
        .under("bulletins", "{ baseline = 1, grace_days = 50, except = {} }");
    let report = open.accepted();
    assert_eq!(report.valid_until().unwrap().to_string(), "2026-06-03T00:00:00Z");
    assert_eq!(report.ends_first(), Some("the grace for AMD-SB-3016 (bulletins)"));
}

/// Without a rule the report lists them all the same, what it cannot judge beside them.
#[test]
fn open_bulletins_are_facts_whatever_the_policy_asks() {
    let report = device(Product::Genoa, 37, |device| device.tcb(Tcb { snp: 0x1A, ..Product::Genoa.tcb() }))
        .under("minimum_tcb", "\"unchecked\"")
        .accepted();
    let list = |names: &[&str]| FactValue::List(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(report.fact("bulletins_open"), Some(&list(&["AMD-SB-3015", "AMD-SB-3023", "AMD-SB-3016"])));
    let Some(FactValue::List(unseen)) = report.fact("bulletins_not_shown") else { panic!() };
    assert!(unseen.contains(&"AMD-SB-3019".to_owned()), "{unseen:?}");
    let why = report.finding(Check::SNP_TCB_BULLETINS).unwrap().outcome().why().unwrap().to_owned();
    assert!(why.ends_with("open are AMD-SB-3015, AMD-SB-3023, AMD-SB-3016"), "{why}");
}

/// No figure answers the extraction of a seed: Milan is taken with a warning, or denied.
#[test]
fn milan_is_warned_of_and_other_products_are_not() {
    let milan = snp(|device| device.product(Product::Milan));
    // Every acceptance of forged evidence warns of its roots as well.
    let warnings = |subject: &Subject| {
        let report = subject.accepted();
        let all = report.warnings().filter(|warning| !warning.contains("neither AMD's nor Intel's"));
        all.map(str::to_owned).collect::<Vec<_>>()
    };
    let said = warnings(&milan);
    assert!(said.len() == 1 && said[0].contains("AMD-SB-3045") && said[0].contains("denied_products"), "{said:?}");
    assert_eq!(warnings(&good(Tee::SevSnp)), Vec::<String>::new());
    let denied = milan.clone().under("denied_products", "{ milan = \"its keys can be extracted\" }");
    assert_eq!(denied.rejected().failed_checks(), ["snp.product.denied"]);
    assert_eq!(warnings(&milan.at(1_778_630_399)), Vec::<String>::new(), "the day before it was published");
}

#[test]
fn the_document_holds_the_table_and_a_baseline_of_the_future_is_refused() {
    let document = include_str!("../../../../verifier/BASELINE.md");
    assert!(document.contains(&bulletin_table()), "BASELINE.md has another table than this:\n{}", bulletin_table());
    let mut policy = good(Tee::SevSnp).policy;
    for (value, says) in [
        ("{ baseline = 2, grace_days = 0, except = {} }", "baseline 2: this release holds baselines 1 to 1"),
        ("{ baseline = 0, grace_days = 0, except = {} }", "baseline 0"),
        ("{ baseline = 1, grace_days = 0, except = { \"SB-3016\" = \"why\" } }", "expected a bulletin such as"),
        ("{ baseline = 1, grace_days = 0 }", "missing field `except`"),
    ] {
        policy.set(Tee::SevSnp, "bulletins", value);
        let error = teegate_verifier::Policy::parse(&policy.to_toml()).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("line "), "{value}: {error}");
    }
}
