//! The reference values of our own releases (`values/`, written by `ci/reproduce.sh`) fill what a policy for a guest under a vTPM
//! leaves open, beside what only an operator knows.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its input should fail where it stands")]

use std::fs;
use std::path::{Path, PathBuf};

use teegate_measurements::{AZURE_PEER_POD, ReferenceValues, fill, reference_values};
use teegate_verifier::{Tee, UnixTime};

/// The values of every release, each with its file.
fn releases() -> Vec<(PathBuf, ReferenceValues)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("values");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.map(|file| (file.clone(), values(&fs::read(&file).unwrap()))).collect()
}

fn values(text: &[u8]) -> ReferenceValues {
    reference_values(text, UnixTime::from_seconds(0)).unwrap()
}

/// The paravisor, the keys of Secure Boot and the pod, which follow from nothing that a release builds.
fn operator() -> ReferenceValues {
    let (long, short) = ("5a".repeat(48), "5b".repeat(32));
    let registers = format!("pcr7 = \"{short}\"\npcr8 = \"{short}\"\n");
    let tables = format!("[sev-snp]\nmeasurement = \"{long}\"\n{registers}[tdx]\nmrtd = \"{long}\"\n{registers}");
    values(format!("schema = 1\nname = \"operator\"\n{tables}").as_bytes())
}

#[test]
fn the_values_of_a_release_and_of_an_operator_make_a_policy() {
    let releases = releases();
    assert!(!releases.is_empty(), "no release in measurements/values");
    for (file, values) in releases {
        let file = file.display();
        for tee in Tee::all() {
            for register in ["pcr4", "pcr9", "pcr11", "pcr12"] {
                let mut stated = values.given().iter();
                let stated = stated.find(|stated| stated.tee() == tee && stated.field() == register).unwrap();
                let source = stated.source().unwrap();
                assert!(source.contains("teegate predict pcr"), "{file}: {register} of {tee} by `{source}`");
            }
        }
        let filled = fill(AZURE_PEER_POD, &values.clone().and(operator()).unwrap()).unwrap();
        assert_eq!(filled.notes(), [] as [String; 0], "{file}");
        assert!(!filled.text().contains("= \"reference-value-needed\""), "{file}");
        // Neither is enough alone.
        let release_alone = fill(AZURE_PEER_POD, &values).unwrap_err().to_string();
        assert!(release_alone.contains("pcr8") && !release_alone.contains("pcr11"), "{release_alone}");
        let operator_alone = fill(AZURE_PEER_POD, &operator()).unwrap_err().to_string();
        assert!(operator_alone.contains("pcr11") && !operator_alone.contains("pcr8"), "{operator_alone}");
    }
}
