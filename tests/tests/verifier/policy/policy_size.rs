//! Files as large as the commands read them: loading, comparing and remarking on a policy takes time in step with its size.
//! The bound is far above what it takes and far below what a comparison of each value with each would.

use std::fmt::Write;
use std::time::{Duration, Instant};

use teegate_measurements::{GENUINE, SHIPPED, STRICT};
use teegate_measurements::{ReferenceValues, differences, explain, fill, lint};
use teegate_verifier::{Policy, Tee};

use crate::subject::good;

const BOUND: Duration = Duration::from_secs(10);

/// What the commands read at most.
const MAX_BYTES: usize = 1 << 20;

#[track_caller]
fn within<R>(what: &str, work: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = work();
    let took = start.elapsed();
    assert!(took < BOUND, "{what} took {took:?}");
    result
}

/// `count` values, each written by `value`.
fn list(count: u32, value: impl Fn(u32) -> String) -> String {
    let mut list = String::from("[");
    (0..count).for_each(|number| write!(list, "{},", value(number)).unwrap());
    list + "]"
}

#[test]
fn a_large_file_of_reference_values_is_read_in_step_with_its_size() {
    let file = |numbers: &str| format!("schema = 1\nname = \"large\"\n[sev-snp]\nguest_svn = {numbers}\n");
    let numbers = list(145_000, |number| number.to_string());
    let text = file(&numbers);
    assert!((900_000..MAX_BYTES).contains(&text.len()), "{}", text.len());
    let values = within("reading", || ReferenceValues::parse(&text)).unwrap();
    let twice = file(&numbers.replace(",144999,]", ",144998,]"));
    let error = within("reading", || ReferenceValues::parse(&twice)).unwrap_err().to_string();
    assert!(error.contains("144998 stands there twice"), "{error}");

    // Filled in, and beside a policy that says the same.
    let (snp, _) = GENUINE.split_once("[tdx.genuine]").unwrap();
    let keyed = snp.replace("id_key = \"unchecked\"", &format!("id_key = \"{}\"", "11".repeat(48)));
    let asks = keyed.replace("guest_svn = \"unchecked\"", "guest_svn = \"reference-value-needed\"");
    let filled = within("filling", || fill(&asks, &values)).unwrap();
    let says = keyed.replace("guest_svn = \"unchecked\"", &format!("guest_svn = {numbers}"));
    let same = within("comparing", || fill(&says, &values)).unwrap();
    assert_eq!(within("comparing", || differences(filled.policy(), same.policy())), []);
    let none = Policy::parse(&keyed).unwrap();
    let wider = within("comparing", || differences(filled.policy(), &none));
    assert_eq!(wider.iter().map(|one| (one.field, one.examples.len())).collect::<Vec<_>>(), [("guest_svn", 1)]);

    let digests = list(9_500, |number| format!("\"{number:096x}\"").replace("\"00", "\"11"));
    let text = format!(
        "schema = 1\nname = \"large\"\n[sev-snp]\nmeasurement = {digests}\nhost_data = \"{}\"\n",
        "11".repeat(32)
    );
    assert!((900_000..MAX_BYTES).contains(&text.len()), "{}", text.len());
    let values = within("reading", || ReferenceValues::parse(&text)).unwrap();
    within("filling", || fill(STRICT, &values)).unwrap();
}

/// Every field that is written as a list, as long as a file has room for, and words that are repeated.
#[test]
fn a_policy_of_long_lists_is_read_in_step_with_its_size() {
    let advisories = list(45_000, |number| format!("\"INTEL-SA-{number:05}\""));
    let repeated =
        |word: &str, bytes: usize| list(u32::try_from(bytes / (word.len() + 3)).unwrap(), |_| format!("\"{word}\""));
    let bits = |word: &str, other: &str| {
        let (required, forbidden) = (repeated(word, 400_000), repeated(other, 400_000));
        format!("{{ required = {required}, forbidden = {forbidden}, unknown = \"rejected\" }}")
    };
    let one = "{ statuses = [\"OutOfDate\"], until = \"2027-01-01T00:00:00Z\", reason = \"why\" }";
    let exceptions = (0..8_500).map(|number| format!("INTEL-SA-{number:05} = {one}")).collect::<Vec<_>>().join(", ");
    let hex = |count: u32, digits: usize| list(count, |number| format!("\"1{number:0width$x}\"", width = digits - 1));
    for (tee, field, value) in [
        (Tee::SevSnp, "chip_ids", hex(6_500, 128)),
        (Tee::SevSnp, "csp_ids", list(80_000, |number| format!("\"c{number}\""))),
        (Tee::SevSnp, "products", repeated("milan", 800_000)),
        (Tee::SevSnp, "signing_keys", repeated("vcek", 800_000)),
        (Tee::SevSnp, "guest_svn", list(130_000, |number| number.to_string())),
        (Tee::SevSnp, "vmpl", list(300_000, |number| (number % 3).to_string())),
        (Tee::SevSnp, "measurement", hex(9_000, 96)),
        (Tee::SevSnp, "platform_info", bits("alias-check-complete", "tio")),
        (Tee::SevSnp, "policy_flags", bits("smt", "cxl")),
        (Tee::Tdx, "ppids", hex(25_000, 32)),
        (Tee::Tdx, "tcb_status", repeated("OutOfDate", 800_000)),
        (Tee::Tdx, "tcb_exceptions", format!("{{ {exceptions} }}")),
        (Tee::Tdx, "allowed_advisories", advisories.clone()),
        (Tee::Tdx, "denied_advisories", advisories),
        (Tee::Tdx, "attributes", bits("sept-ve-disable", "migratable")),
        (Tee::Tdx, "mrtd", hex(9_000, 96)),
    ] {
        let mut policy = good(tee).policy;
        (policy.amd, policy.intel) = (None, None);
        if tee == Tee::SevSnp {
            policy.tdx.clear()
        } else {
            policy.snp.clear()
        }
        policy.claim_nothing_of(tee);
        let (plain, mut large) = (policy.clone(), policy);
        large.set(tee, field, &value);
        // What stands before a field is not read again for each remark about it.
        let text = format!("# {}\n{}", "x".repeat(100_000), large.to_toml());
        assert!((600_000..MAX_BYTES).contains(&text.len()), "{field}: {}", text.len());
        let loaded = within(field, || Policy::parse(&text)).unwrap_or_else(|error| panic!("{field}: {error}"));
        within(field, || differences(&loaded, &plain.load()));
        within(field, || differences(&plain.load(), &loaded));
        within(field, || explain(loaded.document()));
        within(field, || lint(&text, &ReferenceValues::default(), &SHIPPED)).unwrap();
    }
}
