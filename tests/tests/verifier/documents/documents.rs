//! The documents of the repository: what they name is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use teegate_verifier::Check;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files of the repository with this ending, by their path below its root; neither what is built nor what is hidden.
fn files(ending: &str) -> Vec<String> {
    let (mut folders, mut found) = (vec![PathBuf::new()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).unwrap().flatten() {
            let (name, kind) = (entry.file_name().into_string().unwrap(), entry.file_type().unwrap());
            if kind.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(folder.join(name));
            } else if kind.is_file() && name.ends_with(ending) {
                found.push(folder.join(name).to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// What a heading is called in a link, as the usual hosts of repositories do it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn headings(text: &str) -> BTreeSet<String> {
    text.lines().filter(|line| line.starts_with('#')).map(anchor).collect()
}

/// Links to a file or to a section of one: `[words](place)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let places = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(place, _)| place);
    places.filter(|place| !place.contains("://") && !place.starts_with("mailto:"))
}

#[test]
fn every_link_leads_to_a_file_and_a_section() {
    let mut followed = 0;
    for document in files(".md") {
        let text = std::fs::read_to_string(root().join(&document)).unwrap();
        for link in links(&text) {
            let (file, section) = link.split_once('#').map_or((link, None), |(file, section)| (file, Some(section)));
            let folder = root().join(&document).parent().unwrap().to_owned();
            let target = if file.is_empty() { root().join(&document) } else { folder.join(file) };
            assert!(target.exists(), "{document}: `{link}` leads nowhere");
            if let Some(section) = section {
                let there = headings(&std::fs::read_to_string(&target).unwrap());
                assert!(there.contains(section), "{document}: `{link}`: no such section in {there:?}");
            }
            followed += 1;
        }
    }
    assert!(followed > 40, "{followed} links");
}

/// Words in backticks that begin like a path of this repository and end like a file.
fn named(text: &str) -> impl Iterator<Item = &str> {
    const FOLDERS: [&str; 10] = [
        "ci/",
        "cli/",
        "client/",
        "docs/",
        "enclave-app/",
        "gateway/",
        "measurements/",
        "protocol/",
        "tests/",
        "verifier/",
    ];
    let words = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    words.filter(|word| {
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        let is_file = word.rsplit('/').next().is_some_and(|name| name.contains('.'));
        plain && is_file && FOLDERS.iter().any(|folder| word.starts_with(folder))
    })
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let mut found = 0;
    for document in files(".md").iter().filter(|name| !name.ends_with("CHANGELOG.md")) {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        for file in named(&text) {
            let beside = root().join(document).parent().unwrap().join(file);
            assert!(root().join(file).exists() || beside.exists(), "{document} names `{file}`, which is not there");
            found += 1;
        }
    }
    assert!(found > 100, "{found} files");
}

/// A claim is kept by a test or by a script, and not by a file that happens to exist.
#[test]
fn what_keeps_a_claim_is_a_test_or_a_script() {
    let claims = std::fs::read_to_string(root().join("docs/CLAIMS.md")).unwrap();
    let rows = claims.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let keepers: Vec<&str> =
        rows.flat_map(|(_, keepers)| named(keepers)).filter(|file| file.ends_with(".rs")).collect();
    assert!(keepers.len() > 50, "{keepers:?}");
    for file in keepers {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let marks = ["#[test]", "#[tokio::test", "cases!", "mod "];
        assert!(marks.iter().any(|mark| text.contains(mark)), "{file} holds no test");
    }
}

/// The rows of a table without its head: the first cell, and the rest.
fn rows(table: &str) -> Vec<(&str, &str)> {
    table.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | ")).skip(1).collect()
}

/// An attack is kept by tests, each by its file and its name.
#[test]
fn every_attack_is_kept_by_tests_that_are_there() {
    let document = std::fs::read_to_string(root().join("docs/ATTACKS.md")).unwrap();
    let (attacks, properties) = document.split_once("\n## The gateway, property by property\n").unwrap();
    // A property has a test over sockets and an attack; an attack has whatever keeps it.
    let (attacks, properties) = (rows(attacks), rows(properties));
    assert!(attacks.len() > 20 && properties.len() > 35, "{}, {}", attacks.len(), properties.len());
    let cells = properties.iter().flat_map(|(property, cells)| match cells.split_once(" | ") {
        Some((sockets, attack)) => [(*property, sockets), (*property, attack)],
        None => panic!("{property}: expected `property | over sockets | attacked by`"),
    });
    for (attack, keepers) in attacks.into_iter().chain(cells) {
        let keepers: Vec<_> = keepers.split('`').skip(1).step_by(2).collect();
        assert!(!keepers.is_empty(), "{attack}: nothing keeps it");
        for keeper in keepers {
            let (file, name) = keeper.split_once("::").unwrap_or_else(|| panic!("{keeper}: expected FILE::TEST"));
            let text = std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            let before = text.split_once(&format!("fn {name}()")).map(|(before, _)| before);
            let before = before.unwrap_or_else(|| panic!("{attack}: there is no `{name}` in {file}"));
            let attributes = before.rsplit("\n\n").next().unwrap();
            let is_test = ["#[test]", "#[tokio::test"].iter().any(|mark| attributes.contains(mark));
            assert!(is_test, "`{name}` in {file} is no test");
        }
    }
}

#[test]
fn the_catalogue_is_that_of_the_code() {
    let document = include_str!("../../../../verifier/CHECKS.md");
    assert!(
        document == Check::catalogue(),
        "write it anew: cargo run -p teegate -- verify --explain all > verifier/CHECKS.md"
    );
}

/// Sources give their reasons themselves, or name a document that whoever reads them has.
/// The lint refuses `unsafe` where no exception is written; SECURITY.md says where one is, in what ships.
#[test]
fn one_file_of_what_ships_has_unsafe_in_it() {
    let ships = |file: &&String| !file.starts_with("tests/") && !file.starts_with("fuzz/");
    let excepted = |file: &&String| std::fs::read_to_string(root().join(file)).unwrap().contains("(unsafe_code");
    let found = files(".rs");
    let found: Vec<_> = found.iter().filter(ships).filter(excepted).collect();
    assert_eq!(found, ["enclave-app/attester/src/sev_guest/ioctl.rs"]);
    assert!(std::fs::read_to_string(root().join("SECURITY.md")).unwrap().contains(found[0].as_str()));
    let lints = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(lints.contains("\nunsafe_code = \"deny\"\n"), "the lint");
}

#[test]
fn no_source_refers_to_a_document_that_is_not_here() {
    let documents: BTreeSet<String> =
        files(".md").iter().filter_map(|file| file.rsplit('/').next().map(str::to_owned)).collect();
    let own = file!().rsplit('/').next().unwrap();
    for source in files(".rs").iter().filter(|source| !source.ends_with(own)) {
        let text = std::fs::read_to_string(root().join(source)).unwrap();
        for line in text.lines().filter(|line| line.trim_start().starts_with("//")) {
            assert!(!line.contains("DESIGN section"), "{source}: {line}");
            for word in line.split(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))) {
                let is_document = word.ends_with(".md") && word.chars().next().is_some_and(char::is_uppercase);
                assert!(!is_document || documents.contains(word), "{source} names `{word}`, which is not here: {line}");
            }
        }
    }
}
