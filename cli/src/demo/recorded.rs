//! Part one of the demo: evidence that real AMD and Intel processors signed, verified offline at a stated time.
//!
//! The evidence is what two published crates carry for their own tests; it is read where cargo keeps their sources and
//! nothing of it is copied. The policy is `genuine`: the hardware is genuine, nothing is asked of the workload.

use std::path::{Path, PathBuf};

use teegate_intake::endorsements::load_paths;
use teegate_intake::evidence::recognise;
use teegate_verifier::{Policy, Tee, UnixTime, verify};

use crate::format::text;
use crate::screen::Screen;

/// One recorded case: where it lies in which crate, and a time at which everything it rests on is valid.
struct Case {
    title: &'static str,
    package: &'static str,
    evidence: &'static str,
    endorsements: &'static [&'static str],
    tee: Tee,
    at: &'static str,
}

const CASES: [Case; 3] = [
    Case {
        title: "AMD EPYC (Milan), SEV-SNP report",
        package: "sev-8.0.0",
        evidence: "tests/certs_data/report_milan.hex",
        endorsements: &["tests/certs_data/vcek_milan.der", "tests/certs_data/cert_chain_milan"],
        tee: Tee::SevSnp,
        at: "2023-07-02T00:00:00Z",
    },
    Case {
        title: "Intel Xeon, TDX quote version 4",
        package: "dcap-qvl-0.7.1",
        evidence: "sample/tdx_quote",
        endorsements: &["sample/tdx_quote_collateral.json"],
        tee: Tee::Tdx,
        at: "2025-07-04T00:00:00Z",
    },
    Case {
        title: "Intel Xeon, TDX quote version 5 (TD report 1.5 extended)",
        package: "dcap-qvl-0.7.1",
        evidence: "sample/tdx_quote_td15ex",
        endorsements: &["sample/tdx_quote_td15ex_collateral.json"],
        tee: Tee::Tdx,
        at: "2026-10-23T00:00:00Z",
    },
];

/// Verifies every recorded case and prints what was checked. With `at`, at that time, and then any verdict will do.
pub(super) fn run(sev_crate: Option<&Path>, dcap_qvl_crate: Option<&Path>, at: Option<UnixTime>) -> Result<(), String> {
    let policy =
        Policy::parse(teegate_measurements::GENUINE).map_err(|e| format!("the shipped policy `genuine`: {e}"))?;
    for case in &CASES {
        let given = if case.package.starts_with("sev-") { sev_crate } else { dcap_qvl_crate };
        let folder = match given {
            Some(folder) => folder.to_owned(),
            None => in_package_cache(case.package)?,
        };
        verify_one(case, &folder, &policy, at)?;
    }
    Ok(())
}

fn verify_one(case: &Case, folder: &Path, policy: &Policy, at: Option<UnixTime>) -> Result<(), String> {
    let path = folder.join(case.evidence);
    let bytes = std::fs::read(&path).map_err(|e| {
        format!(
            "cannot read {}: {e}; point --sev-crate or --dcap-qvl-crate at the source of {}",
            path.display(),
            case.package
        )
    })?;
    let evidence = recognise(&bytes, Some(case.tee)).map_err(|e| format!("{}: {e}", path.display()))?;
    let paths: Vec<PathBuf> = case.endorsements.iter().map(|name| folder.join(name)).collect();
    let endorsements = load_paths(&paths).map_err(|e| e.to_string())?;
    let now = match at {
        Some(at) => at,
        None => UnixTime::parse(case.at).map_err(|e| e.to_string())?,
    };
    say!("--- {}, from the crate {}: {}\n", case.title, case.package, case.evidence);
    let screen = Screen::of_stdout(None);
    match verify(&evidence.as_evidence(&endorsements), policy, now) {
        Ok(attested) => say!("{}", text::report(attested.report(), policy, "genuine", &[], screen)),
        Err(rejection) => {
            say!("{}", text::report(rejection.report(), policy, "genuine", &[], screen));
            // At a time of the user's choice any verdict is an answer; at ours, only one is.
            if at.is_none() {
                return Err(format!("{}: recorded evidence of real hardware was rejected: {rejection}", case.title));
            }
        }
    }
    Ok(())
}

/// The source of `package` in cargo's package cache.
fn in_package_cache(package: &str) -> Result<PathBuf, String> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let sources = home.map(|home| home.join("registry/src"));
    let found = sources
        .as_ref()
        .and_then(|sources| std::fs::read_dir(sources).ok())
        .and_then(|folders| folders.flatten().map(|entry| entry.path().join(package)).find(|path| path.is_dir()));
    found.ok_or_else(|| {
        format!(
            "the source of the crate {package}, which carries recorded evidence, is not in cargo's package cache; \
             run `cargo fetch` in the repository, or name its folder with --sev-crate / --dcap-qvl-crate"
        )
    })
}
