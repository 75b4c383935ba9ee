//! What was fetched is kept for as long as it holds: served while recent, asked for again when not, served as stale in an
//! outage, never beyond its own time, and never when the file is not what was written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use teegate_collateral::{Limits, Origin, Outcome, Settings};
use teegate_forge::services::{Misbehaviour, Vendor};
use teegate_forge::snp::SnpBuilder;
use teegate_forge::time::{AT, DAY};
use teegate_verifier::UnixTime;

use crate::bench::{JumpingClock, Subject, asking, fetcher, missing};

struct Stage {
    device: SnpBuilder,
    subject: Subject,
    kds: Vendor,
    folder: tempfile::TempDir,
    fetcher: teegate_collateral::Fetcher,
    clock: std::sync::Arc<JumpingClock>,
}

impl Stage {
    /// With a CRL of 40 days around AT, and everything fetched once.
    async fn set() -> Self {
        let device = teegate_forge::snp().crl_window(AT - 10 * DAY, Some(AT + 30 * DAY));
        let kds = Vendor::start(device.kds_routes());
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { cache: Some(folder.path().join("a/b")), ..asking(&[format!("kds={}", kds.url())]) };
        let (fetcher, clock) = fetcher(settings);
        let stage = Self { subject: Subject::snp(&device), device, kds, folder, fetcher, clock };
        let outcome = stage.complete(AT).await;
        assert_eq!((missing(&outcome), outcome.notes, stage.kds.requests().len()), (vec![], vec![], 3));
        stage.kds.forget();
        stage
    }

    async fn complete(&self, at: u64) -> Outcome {
        self.subject.complete_at(&self.fetcher, at).await
    }

    /// The cache's file whose URL ends so.
    fn file(&self, end: &str) -> PathBuf {
        let url = format!("{end}\n");
        let files = std::fs::read_dir(self.folder.path().join("a/b")).unwrap().map(|entry| entry.unwrap().path());
        let mut matching = files.filter(|path| head(path).contains(&url));
        matching.next().unwrap_or_else(|| panic!("no file for {end}"))
    }
}

fn head(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

fn origins(outcome: &Outcome) -> Vec<Origin> {
    outcome.documents.iter().map(|document| document.origin).collect()
}

const FETCHED: UnixTime = UnixTime::from_seconds(AT);
const KEPT: Origin = Origin::Cache { fetched_at: FETCHED };
const STALE: Origin = Origin::Stale { fetched_at: FETCHED };

#[tokio::test]
async fn what_is_recent_is_served_without_a_request() {
    let stage = Stage::set().await;
    let outcome = stage.complete(AT).await;
    assert_eq!((origins(&outcome), stage.subject.failed_checks(&outcome)), (vec![KEPT; 3], vec![]));
    assert_eq!(stage.kds.requests(), [""; 0]);

    // A day later, what AMD could say anew is asked for. A VCEK never changes.
    stage.clock.pass(Duration::from_secs(DAY));
    let outcome = stage.complete(AT + DAY).await;
    assert_eq!(origins(&outcome), [KEPT, Origin::Service, Origin::Service]);
    assert_eq!(stage.kds.requests(), ["/vcek/v1/Genoa/cert_chain", "/vcek/v1/Genoa/crl"]);
}

#[tokio::test]
async fn when_three_quarters_of_its_time_are_over_it_is_asked_for_again() {
    let stage = Stage::set().await;
    for (at, origin) in [(AT + 20 * DAY - 1, KEPT), (AT + 20 * DAY, Origin::Service)] {
        assert_eq!(origins(&stage.complete(at).await), [KEPT, KEPT, origin]);
    }
}

#[tokio::test]
async fn in_an_outage_what_still_holds_is_served_and_marked() {
    let stage = Stage::set().await;
    stage.clock.pass(Duration::from_secs(2 * DAY));
    stage.kds.misbehave("", usize::MAX, Misbehaviour::status(500));
    let outcome = stage.complete(AT + 2 * DAY).await;
    assert_eq!((origins(&outcome), missing(&outcome)), (vec![KEPT, STALE, STALE], vec![]));
    assert_eq!(stage.subject.failed_checks(&outcome), [""; 0]);
    let crl = &outcome.documents[2];
    assert_eq!(crl.valid_until, UnixTime::from_seconds(AT + 30 * DAY));
    assert!(crl.tried[0].to_string().contains("status 500: the service fails"), "{}", crl.tried[0]);

    // Until its last second, and not one longer.
    let outcome = stage.complete(AT + 30 * DAY - 1).await;
    assert_eq!(origins(&outcome), [KEPT, STALE, STALE]);
    let outcome = stage.complete(AT + 30 * DAY).await;
    assert_eq!(origins(&outcome), [KEPT, STALE]);
    assert!(missing(&outcome)[0].starts_with("CRL of ARK-Genoa\n"), "{:?}", missing(&outcome));
    let outcome = stage.complete(AT - 10 * DAY - 1).await;
    assert!(missing(&outcome).iter().any(|what| what.starts_with("CRL of ARK-Genoa\n")), "nor one second earlier");
}

#[tokio::test]
async fn a_file_that_is_not_what_was_written_is_told_refused_and_replaced() {
    let stage = Stage::set().await;
    let path = stage.file("/vcek/v1/Genoa/crl");
    let good = std::fs::read(&path).unwrap();
    let other = std::fs::read(stage.file("/cert_chain")).unwrap();
    let edited = |from: &str, to: &str| {
        let text = String::from_utf8_lossy(&good[..200]).into_owned();
        assert!(text.contains(from), "{text}");
        let at = text.find(from).unwrap();
        [&good[..at], to.as_bytes(), &good[at + from.len()..]].concat()
    };
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (bytes, reason) in [
        (Vec::new(), "ends inside its head"),
        (good[..good.len() / 2].to_vec(), "does not have the digest that it was written with"),
        ([&good[..], b"\0"].concat(), "does not have the digest"),
        (flipped(good.len() - 1), "does not have the digest"),
        (flipped(30), "does not have the digest"),
        (edited("teegate-collateral/1 ", "teegate-collateral/2 "), "does not begin with `teegate-collateral/1 `"),
        (edited(&AT.to_string(), &(AT + 1).to_string()), "does not have the digest"),
        (other, "is the answer to another question"),
        (vec![b'x'; 4 << 20], "has 4194304 bytes, at most"),
    ] {
        // With the service away, a spoilt file is no stand-in for it…
        std::fs::write(&path, &bytes).unwrap();
        stage.kds.misbehave("/crl", usize::MAX, Misbehaviour::status(404));
        let outcome = stage.complete(AT).await;
        assert_eq!(outcome.missing.len(), 1, "{reason}");
        let [note] = &outcome.notes[..] else { panic!("{reason}: {:?}", outcome.notes) };
        assert!(note.contains(reason) && note.contains(&path.display().to_string()), "{note}");
        // …and with the service there, it is replaced.
        stage.kds.behave();
        let outcome = stage.complete(AT).await;
        assert_eq!((origins(&outcome), outcome.notes.len()), (vec![KEPT, KEPT, Origin::Service], 1), "{reason}");
        assert_eq!(std::fs::read(&path).unwrap(), good, "{reason}");
        assert_eq!(origins(&stage.complete(AT).await), [KEPT; 3]);
    }
}

/// Whoever can write into the folder can make a digest. What they put there must still be the document that is needed.
#[tokio::test]
async fn a_poisoned_file_with_the_right_digest_is_still_looked_at() {
    let stage = Stage::set().await;
    let path = stage.file("/vcek/v1/Genoa/crl");
    let good = std::fs::read(&path).unwrap();
    let head_ends = good.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(4).unwrap().0 + 1;
    let head: Vec<String> = head(&path).lines().skip(1).take(4).map(str::to_owned).collect();
    let write = |lines: &[&str], body: &[u8]| {
        let rest = [lines.join("\n").as_bytes(), b"\n", body].concat();
        let digest = teegate_encoding::hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&rest));
        std::fs::write(&path, [format!("teegate-collateral/1 {digest}\n").as_bytes(), &rest].concat()).unwrap();
    };
    let [url, fetched_at, from, until] = &head.iter().map(String::as_str).collect::<Vec<_>>()[..] else { panic!() };
    let later = (AT + 300 * DAY).to_string();
    let milan = teegate_forge::snp().product(teegate_forge::snp::Product::Milan);
    let milan = milan.crl_window(AT - 10 * DAY, Some(AT + 30 * DAY)).build().crl.unwrap();
    for (lines, body, reason) in [
        ([url, fetched_at, from, &*later], &good[head_ends..], "says other times than the document in it"),
        ([url, fetched_at, from, until], b"no document at all", "holds no document: "),
        ([url, fetched_at, from, until], &milan, "CRL of ARK-Genoa is not in it; it holds `ARK-Milan`"),
        ([url, "soon", from, until], &good[head_ends..], "does not say when it was fetched"),
    ] {
        write(&lines, body);
        let outcome = stage.complete(AT).await;
        let [note] = &outcome.notes[..] else { panic!("{reason}: {:?}", outcome.notes) };
        assert!(note.contains(reason), "{note}");
        assert_eq!(origins(&outcome), [KEPT, KEPT, Origin::Service], "{reason}");
    }
    // The twin that nothing is wrong with; and one that claims to be from the future, which is never recent.
    write(&[url, fetched_at, from, until], &good[head_ends..]);
    assert_eq!(origins(&stage.complete(AT).await), [KEPT; 3]);
    write(&[url, &later, from, until], &good[head_ends..]);
    assert_eq!(origins(&stage.complete(AT).await), [KEPT, KEPT, Origin::Service]);
}

#[tokio::test]
async fn files_are_the_owners_alone_and_nothing_half_written_is_left() {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::set().await;
    let folder = stage.folder.path().join("a/b");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&stage.file("/crl"))), (0o700, 0o600));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3);
    // A pipe in a file's place is not opened: reading it would never end.
    let path = stage.file("/vcek/v1/Genoa/crl");
    std::fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let outcome = stage.complete(AT).await;
    assert!(outcome.notes[0].contains("is not a regular file"), "{:?}", outcome.notes);
    assert_eq!((missing(&outcome), origins(&stage.complete(AT).await)), (vec![], vec![KEPT; 3]));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_costs_a_note_and_no_document() {
    let device = teegate_forge::snp();
    let kds = Vendor::start(device.kds_routes());
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("file");
    std::fs::write(&cache, "in the way").unwrap();
    let settings = Settings { cache: Some(cache), ..asking(&[format!("kds={}", kds.url())]) };
    let outcome = Subject::snp(&device).complete(&fetcher(settings).0).await;
    assert_eq!((missing(&outcome), outcome.documents.len()), (vec![], 3));
    assert!(outcome.notes.iter().any(|note| note.contains("cannot be kept in the cache")), "{:?}", outcome.notes);
}

#[tokio::test]
async fn a_document_of_another_chip_behind_the_same_address_is_not_served() {
    let stage = Stage::set().await;
    let folder = tempfile::tempdir().unwrap();
    let thim = Vendor::start(stage.device.thim_routes());
    let settings = Settings {
        cache: Some(folder.path().to_owned()),
        ..asking(&[format!("thim={}", thim.url()), format!("kds={}", stage.kds.url())])
    };
    let (fetcher, _) = fetcher(settings);
    assert_eq!(missing(&stage.subject.complete(&fetcher).await), [""; 0]);
    // The folder moves to another host.
    let other = stage.device.clone().chip_id([0x33; 64]);
    thim.serve(other.thim_routes());
    let subject = Subject::snp(&other);
    let outcome = subject.complete(&fetcher).await;
    assert_eq!((missing(&outcome), subject.failed_checks(&outcome)), (vec![], vec![]));
    assert!(
        outcome.notes[0].contains("VCEK of this chip and TCB (Milan) is not in it")
            || outcome.notes[0].contains("VCEK of this chip and TCB (Genoa) is not in it"),
        "{:?}",
        outcome.notes
    );
    assert_eq!(outcome.documents[0].origin, Origin::Service);
}

#[tokio::test]
async fn what_was_not_used_for_longest_makes_room() {
    let device = teegate_forge::snp().crl_window(AT - 10 * DAY, Some(AT + 30 * DAY));
    let kds = Vendor::start(device.kds_routes());
    let folder = tempfile::tempdir().unwrap();
    // Of somebody else's, and older than all.
    std::fs::write(folder.path().join("notes"), "").unwrap();
    let files = || -> Vec<String> {
        let names = std::fs::read_dir(folder.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "notes").collect()
    };
    let subject = Subject::snp(&device);
    // Each a day later: room is made when an answer is kept.
    for (days, limits, kept) in [
        (1, Limits::default(), 3),
        (2, Limits { max_cache_files: 2, ..Limits::default() }, 2),
        (3, Limits { max_cache_bytes: 1, ..Limits::default() }, 1),
    ] {
        let settings =
            Settings { cache: Some(folder.path().to_owned()), limits, ..asking(&[format!("kds={}", kds.url())]) };
        let (fetcher, clock) = fetcher(settings);
        clock.pass(Duration::from_secs(days * DAY));
        let outcome = subject.complete_at(&fetcher, AT + days * DAY).await;
        assert_eq!((missing(&outcome), outcome.notes), (vec![], vec![]));
        assert_eq!(files().len(), kept, "{limits:?}");
    }
    assert!(folder.path().join("notes").exists());
}
