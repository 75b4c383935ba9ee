//! What the targets are judged by.

/// The policy of the tests, complete for both TEEs and strict about everything that the forged devices show.
const TEMPLATE: &str = include_str!("../policy.toml");

/// The same, which trusts these roots: AMD's in PEM, a line `intel`, Intel's.
pub(crate) fn policy_under(roots: &str, report_data: &str) -> String {
    let list = |pem: &str| {
        let end = "-----END CERTIFICATE-----\n";
        let roots: Vec<_> = pem.split_inclusive(end).map(|root| format!("\"\"\"\n{root}\"\"\"")).collect();
        roots.join(", ")
    };
    let (amd, intel) = roots.split_once("intel\n").unwrap_or((roots, ""));
    TEMPLATE.replace("AMD", &list(amd)).replace("INTEL", &list(intel)).replace("REPORT_DATA", report_data)
}
