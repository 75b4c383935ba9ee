use teegate_verifier::{Tee, verify};

use super::*;
use crate::trust::forged::{envelope, platform};
use crate::trust::testing::{START, Who, policy};

const LIMITS: RefusedLimits = RefusedLimits { files: 3, bytes: 64 << 20 };

/// Refused evidence: a debug guest, at this time.
struct Shown {
    envelope: Vec<u8>,
    endorsements: Endorsements,
    policy: Policy,
    report_data: ReportData,
}

impl Shown {
    fn new() -> Self {
        let debug = platform().debug();
        let (manifest, report_data) = (Who::new(1).manifest(0, None), [7; 64]);
        let set = debug.build();
        let mut endorsements = Endorsements::new();
        endorsements.add_crl(set.crl.clone().unwrap());
        let envelope = envelope(&manifest, &debug.report_data(report_data));
        Self { envelope, endorsements, policy: policy(&set.ark_pem, [0x5e; 48]), report_data: ReportData(report_data) }
    }

    /// Refuses it at this time, and keeps that.
    fn keep(&self, refused: &Refused, address: &str, at: u64) {
        let evidence = evidence::recognise(&self.envelope, None).unwrap();
        let mut pool = self.endorsements.clone();
        pool.extend(&evidence.endorsements);
        let policy = self.policy.with_report_data(self.report_data);
        let rejection = verify(&evidence.as_evidence(&pool), &policy, UnixTime::from_seconds(at)).unwrap_err();
        assert_eq!(rejection.failed_checks(), ["snp.policy.debug"]);
        let (report, endorsements) = (rejection.report(), &self.endorsements);
        let Self { envelope, policy, report_data, .. } = self;
        let (policy, report_data) = (policy, *report_data);
        refused.keep(&Case { address, envelope, only_certificates: false, endorsements, policy, report_data, report });
    }
}

fn open(folder: &Path, limits: RefusedLimits) -> (Refused, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    (Refused::open(folder, limits, Arc::clone(&metrics)).unwrap(), metrics)
}

/// The bundles of a folder, by name.
fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != INDEX).collect();
    names.sort();
    names
}

fn rows(folder: &Path) -> Vec<(String, String)> {
    let index: Index = serde_json::from_slice(&fs::read(folder.join(INDEX)).unwrap()).unwrap();
    index.kept.into_iter().map(|row| (row.file, row.address)).collect()
}

#[test]
fn what_is_kept_is_judged_again_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("refused");
    let (refused, _) = open(&folder, LIMITS);
    Shown::new().keep(&refused, "10.0.0.8:8443", START);
    assert_eq!(files(&folder), ["000000.json"]);

    let bundle = Bundle::parse(&fs::read(folder.join("000000.json")).unwrap()).unwrap();
    assert_eq!((bundle.kept.tee, bundle.at.seconds()), (Tee::SevSnp, START));
    assert_eq!(bundle.recorded.failed, ["snp.policy.debug"]);
    // As `teegate bundle verify` does it.
    let own = Policy::parse(&bundle.policy.text).unwrap().with_report_data(bundle.report_data.unwrap());
    let evidence = bundle.kept.to_evidence();
    let again = verify(&evidence.as_evidence(&evidence.endorsements), &own, bundle.at).unwrap_err();
    assert_eq!(Conclusion::of(again.report()), bundle.recorded);
}

#[test]
fn one_file_an_address_and_check_and_the_oldest_goes_first() {
    let place = tempfile::tempdir().unwrap();
    let (refused, metrics) = open(place.path(), LIMITS);
    let shown = Shown::new();
    for (address, at) in [("a:1", 0), ("b:1", 1), ("a:1", 59), ("a:1", 60), ("c:1", 61)] {
        shown.keep(&refused, address, START + at);
    }
    let row = |file: &str, address: &str| (file.to_owned(), address.to_owned());
    // That of `a:1` is the newer one of a minute later, under its own name.
    assert_eq!(rows(place.path()), [row("000001.json", "b:1"), row("000000.json", "a:1"), row("000002.json", "c:1")]);
    let newest = Bundle::parse(&fs::read(place.path().join("000000.json")).unwrap()).unwrap();
    assert_eq!(newest.at.seconds(), START + 60);
    let kept = metrics.render(&[]);
    assert!(kept.contains("teegate_gateway_refused_kept_total{outcome=\"kept\"} 4\n"), "{kept}");
    shown.keep(&refused, "d:1", START + 62);
    assert_eq!(files(place.path()), ["000000.json", "000002.json", "000003.json"]);
    drop(refused);

    // The next process goes on; without the index the files still count, and go first.
    let (refused, _) = open(place.path(), LIMITS);
    shown.keep(&refused, "a:1", START + 200);
    assert_eq!(files(place.path()), ["000000.json", "000002.json", "000003.json"]);
    drop(refused);
    fs::remove_file(place.path().join(INDEX)).unwrap();
    let (refused, _) = open(place.path(), LIMITS);
    shown.keep(&refused, "a:1", START + 300);
    assert_eq!(files(place.path()), ["000002.json", "000003.json", "000004.json"]);
}

#[test]
fn the_bytes_are_bounded() {
    let place = tempfile::tempdir().unwrap();
    let shown = Shown::new();
    let (refused, _) = open(place.path(), RefusedLimits { files: 100, bytes: 1 });
    for address in ["a:1", "b:1"] {
        shown.keep(&refused, address, START);
    }
    assert_eq!(rows(place.path()), [("000001.json".to_owned(), "b:1".to_owned())], "the newest, whatever its length");
}

#[test]
fn a_disk_that_takes_nothing_is_said_once_and_survived() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("refused");
    let (refused, metrics) = open(&folder, LIMITS);
    fs::remove_dir(&folder).unwrap();
    let shown = Shown::new();
    shown.keep(&refused, "a:1", START);
    shown.keep(&refused, "a:1", START + 100);
    let failed = metrics.render(&[]);
    assert!(failed.contains("teegate_gateway_refused_kept_total{outcome=\"failed\"} 2\n"), "{failed}");
    assert!(refused.state.lock().unwrap().is_failing);
    fs::create_dir(&folder).unwrap();
    shown.keep(&refused, "a:1", START + 200);
    assert!(
        !refused.state.lock().unwrap().is_failing && files(&folder).len() == 1,
        "and kept again when there is room"
    );
}
