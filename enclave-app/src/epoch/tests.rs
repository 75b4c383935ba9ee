//! Keys come and go in their time.

use teegate_attester::{Answer, Attester};
use teegate_protocol::evidence::EvidenceKind;
use teegate_protocol::ohttp::seal;

use super::*;

/// Reports what it is asked for, unsigned.
struct Unsigned;

impl Attester for Unsigned {
    fn evidence(&self, report_data: [u8; 64]) -> Answer<'_> {
        let mut bytes = vec![0; 1184];
        bytes[0x50..0x90].copy_from_slice(&report_data);
        let evidence = RawEvidence {
            kind: EvidenceKind::SnpReport,
            bytes,
            endorsements: None,
            event_log: None,
            left_out: Vec::new(),
        };
        Box::pin(std::future::ready(Ok(evidence)))
    }
}

fn constants() -> Constants {
    let model =
        ModelEntry { name: "m".into(), version: "1".into(), sha256: teegate_protocol::manifest::ModelDigest([1; 32]) };
    Constants {
        models: vec![model],
        config_sha256: ConfigDigest([2; 32]),
        limits: Limits {
            sealed_body_bytes: 1 << 20,
            tensor_rank: 16,
            tensor_elements: 1 << 20,
            cross_tenant_batching: false,
            batching: vec![],
        },
        length: Duration::from_secs(3600),
        grace: Duration::from_secs(600),
        replay_capacity: 64,
    }
}

/// Epochs that do not turn by themselves.
pub(crate) async fn epochs() -> Arc<Epochs> {
    start(Box::new(Unsigned)).await.unwrap()
}

async fn start(attester: Box<dyn Attester>) -> Result<Arc<Epochs>, EpochError> {
    let identity = Arc::new(Identity::generate().unwrap());
    Epochs::start(identity, EvidenceActor::start(attester), constants()).await
}

fn opens(epoch: &Epoch) -> Result<Vec<u8>, OpenError> {
    let keys = epoch.manifest().manifest().key_configs().unwrap();
    let (mut buffer, _) = seal(&keys[0], b"text").unwrap();
    epoch.open(&mut buffer).map(|_| buffer)
}

#[tokio::test]
async fn a_key_is_gone_at_its_time_whoever_still_holds_its_epoch() {
    let epochs = epochs().await;
    let first = epochs.current().unwrap();
    assert_eq!(opens(&first), Ok(b"text".to_vec()));
    // However many follow it: its manifest promises the time.
    for _ in 0..2 {
        epochs.begin(epochs.make(epochs.origin(None)).await.unwrap());
        epochs.forget_the_dead();
        assert_eq!(opens(&epochs.by_key_id(0).unwrap()), Ok(b"text".to_vec()));
    }
    assert_eq!(epochs.living().earlier.len(), 2);

    let mut dead = epochs.make(epochs.origin(None)).await.unwrap();
    (dead.ends, dead.dies) = (Duration::ZERO, Duration::ZERO);
    epochs.begin(dead);
    let dead = epochs.living().current.clone().unwrap();
    assert!(epochs.by_key_id(6).is_none());
    assert!(dead.key.read().unwrap().is_some());
    // Its time counts, and not the moment at which somebody takes the key away.
    assert_eq!(opens(&dead), Err(OpenError::UnknownKeyId { key_id: 6 }));
    epochs.forget_the_dead();
    assert!(dead.key.read().unwrap().is_none());
    // Also when it is not the current one; the others stay.
    let mut dead = epochs.make(epochs.origin(None)).await.unwrap();
    (dead.ends, dead.dies) = (Duration::ZERO, Duration::ZERO);
    epochs.begin(dead);
    epochs.begin(epochs.make(epochs.origin(None)).await.unwrap());
    let dead = epochs.living().earlier.last().cloned().unwrap();
    assert!(dead.key.read().unwrap().is_some());
    epochs.forget_the_dead();
    assert!(dead.key.read().unwrap().is_none());
    assert_eq!(epochs.living().earlier.len(), 3);
}

#[tokio::test]
async fn epochs_begin_early_while_there_are_few_keys() {
    let epochs = epochs().await;
    let rotation = tokio::spawn(Arc::clone(&epochs).rotate());
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let number = |epochs: &Epochs| epochs.current().unwrap().manifest().manifest().epoch;
    let fill = |epoch: &Epoch, places: u8| {
        for place in 0..places {
            let key = teegate_protocol::ohttp::request::ReplayKey([place; 32]);
            assert_eq!(epoch.replay().reserve(key).unwrap().take(), crate::replay::Arrival::First);
        }
        epochs.relieve(epoch);
    };
    for next in 1..8 {
        fill(&epochs.current().unwrap(), 48);
        while number(&epochs) < next {
            assert!(std::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    // The eighth is the last: what is full now is busy, until a key dies.
    let last = epochs.current().unwrap();
    fill(&last, 64);
    assert!(last.replay().is_full());
    assert!(
        tokio::time::timeout(Duration::from_millis(200), async {
            while number(&epochs) < 8 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .is_err()
    );
    assert_eq!(epochs.living().earlier.len(), 7);
    // One that begins in its time is not held back.
    epochs.begin(epochs.make(epochs.origin(None)).await.unwrap());
    assert_eq!((number(&epochs), epochs.living().earlier.len()), (8, 8));
    rotation.abort();
}

#[tokio::test]
async fn a_key_lives_as_long_as_its_manifest_says() {
    let epochs = epochs().await;
    for begins in [None, Some(boot_time() + Duration::from_secs(60))] {
        let epoch = epochs.make(epochs.origin(begins)).await.unwrap();
        let said = epoch.manifest().manifest();
        assert_eq!(epoch.dies - epoch.ends, epochs.constants.grace);
        assert_eq!(said.not_after - said.use_until, epochs.constants.grace.as_secs());
        // The manifest has whole seconds, and never promises more than there is.
        let left = epoch.ends.saturating_sub(boot_time());
        let promised = Duration::from_secs(said.use_until).saturating_sub(Duration::from_secs(unix_time()));
        assert!(promised <= left + Duration::from_secs(1) && left <= promised + Duration::from_secs(2));
    }
}

#[tokio::test]
async fn after_its_end_an_epoch_is_not_offered_and_its_key_still_opens() {
    let epochs = epochs().await;
    let mut over = epochs.make(epochs.origin(None)).await.unwrap();
    over.ends = Duration::ZERO;
    epochs.begin(over);
    assert!(epochs.current().is_none());
    assert_eq!(opens(&epochs.by_key_id(2).unwrap()), Ok(b"text".to_vec()));
}

/// Meets this error until so many seconds have passed.
struct Late(tokio::time::Instant, AttesterError);

impl Attester for Late {
    fn evidence(&self, report_data: [u8; 64]) -> Answer<'_> {
        if tokio::time::Instant::now() < self.0 {
            return Box::pin(std::future::ready(Err(self.1.clone())));
        }
        Unsigned.evidence(report_data)
    }
}

fn unreachable() -> AttesterError {
    AttesterError::Unreachable { source: "the guest API".into(), reason: "connection refused".into() }
}

/// How many seconds a start takes, on a clock that stands still but for what is waited for, and how it ends.
async fn start_behind(seconds: u64, error: AttesterError) -> (u64, Result<(), AttesterError>) {
    let begun = tokio::time::Instant::now();
    let started = start(Box::new(Late(begun + Duration::from_secs(seconds), error))).await;
    let ended = match started {
        Ok(_) => Ok(()),
        Err(EpochError::Evidence(error)) => Err(error),
        Err(other) => panic!("{other}"),
    };
    (begun.elapsed().as_secs(), ended)
}

#[tokio::test(start_paused = true)]
async fn a_source_that_comes_up_late_is_waited_for() {
    let early = AttesterError::Refused { source: "s".into(), reason: "status 503".into(), is_early: true };
    for error in [unreachable(), early] {
        let (took, ended) = start_behind(30, error).await;
        assert_eq!(ended, Ok(()));
        assert!((30..=33).contains(&took), "{took} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_comes_ends_the_start_after_a_minute_and_says_why() {
    let (took, ended) = start_behind(3600, unreachable()).await;
    assert_eq!(ended, Err(unreachable()));
    assert!((57..=60).contains(&took), "{took} s");
}

#[tokio::test(start_paused = true)]
async fn what_waiting_cannot_mend_is_not_waited_for() {
    let (source, reason) = (String::from("s"), String::from("r"));
    for error in [
        AttesterError::Missing { source: source.clone(), reason: reason.clone() },
        AttesterError::Refused { source, reason, is_early: false },
        AttesterError::OtherReportData,
    ] {
        assert_eq!(start_behind(30, error.clone()).await, (0, Err(error)));
    }
}

/// Never answers.
struct Silent;

impl Attester for Silent {
    fn evidence(&self, _: [u8; 64]) -> Answer<'_> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_is_waited_for_no_longer() {
    let begun = tokio::time::Instant::now();
    assert!(matches!(start(Box::new(Silent)).await, Err(EpochError::Evidence(AttesterError::TimedOut))));
    assert_eq!(begun.elapsed().as_secs(), 60);
}
