//! One actor asks for evidence, so that the platform is asked one question at a time.
//!
//! A TDX quote takes tens of milliseconds and a vTPM seconds, and both serialise. So orders wait for their turn
//! ([`crate::turns`]), and only one is under way. What comes back must report the bytes that were asked for: two processes
//! of one guest can share the source, and some interfaces answer the question that was written last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use teegate_attester::{Attester, AttesterError, RawEvidence};
use tokio::sync::{mpsc, oneshot};

use crate::turns::{Order, Purpose, Turns};

/// Times that an order is tried.
const ATTEMPTS: u32 = 3;

/// How long an attempt may take, and how long to wait after one that failed.
#[derive(Clone, Copy)]
struct Patience {
    attempt: Duration,
    /// Doubled after the next.
    pause: Duration,
}

/// An attempt outlasts the slowest source, which bounds itself: an Azure vTPM by 12 s and the metadata service beside it by 6 s. One that were given
/// up before would waste both, and leave the TPM with a question that keeps it from the next. And it leaves room in the 30 s that
/// a challenge is waited for ([`crate::turns::PATIENCE`]): that is one slow attempt and a quick one.
const PATIENCE: Patience = Patience { attempt: Duration::from_secs(20), pause: Duration::from_millis(100) };

/// Takes orders for evidence. The actor ends when the last of these is dropped.
#[derive(Clone)]
pub struct EvidenceActor {
    turns: Arc<Mutex<Turns>>,
    /// Says that there is an order. Closed when the actor has ended.
    wake: mpsc::Sender<()>,
}

impl EvidenceActor {
    /// Starts the actor, on the current runtime.
    pub fn start(attester: Box<dyn Attester>) -> Self {
        Self::start_with(attester, PATIENCE)
    }

    fn start_with(attester: Box<dyn Attester>, patience: Patience) -> Self {
        let turns = Arc::new(Mutex::new(Turns::new()));
        let (wake, woken) = mpsc::channel(1);
        tokio::spawn(serve(attester, patience, Arc::clone(&turns), woken));
        Self { turns, wake }
    }

    /// Evidence over these 64 bytes.
    ///
    /// # Errors
    /// [`AttesterError::Busy`] at once when the wait would be too long; otherwise what the last attempt met.
    pub async fn evidence(&self, purpose: Purpose, report_data: [u8; 64]) -> Result<RawEvidence, AttesterError> {
        let (answer, answered) = oneshot::channel();
        lock(&self.turns).push(Order { purpose, report_data, answer }, Instant::now())?;
        // Full means that the actor has been told already.
        if let Err(mpsc::error::TrySendError::Closed(())) = self.wake.try_send(()) {
            return Err(AttesterError::Ended);
        }
        tokio::select! {
            answered = answered => answered.unwrap_or(Err(AttesterError::Ended)),
            () = self.ended() => Err(AttesterError::Ended),
        }
    }

    /// Resolves when the actor has ended, which only a defect can cause while somebody can still order.
    pub async fn ended(&self) {
        self.wake.closed().await;
    }
}

fn lock(turns: &Mutex<Turns>) -> MutexGuard<'_, Turns> {
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    attester: Box<dyn Attester>,
    patience: Patience,
    turns: Arc<Mutex<Turns>>,
    mut woken: mpsc::Receiver<()>,
) {
    let mut said = Vec::new();
    loop {
        let order = lock(&turns).next(Instant::now());
        let Some(order) = order else {
            match woken.recv().await {
                Some(()) => continue,
                None => return,
            }
        };
        let begun = Instant::now();
        let result = attempts(attester.as_ref(), patience, order.report_data).await;
        lock(&turns).done(begun.elapsed());
        if let Ok(evidence) = &result {
            say_once(&evidence.left_out, &mut said);
        }
        let is_evidence = result.is_ok();
        // Whoever asked may have gone away meanwhile.
        if order.answer.send(result).is_ok()
            && let (true, Purpose::Channel(caller)) = (is_evidence, &order.purpose)
        {
            caller.answered(Instant::now());
        }
    }
}

/// Says what is wrong with evidence that goes out, and again only when it is something else: evidence is taken all the time.
fn say_once(left_out: &[String], said: &mut Vec<String>) {
    if said.as_slice() == left_out {
        return;
    }
    for what in left_out {
        tracing::warn!(what, "evidence was taken, with a shortcoming");
    }
    *said = left_out.to_vec();
}

async fn attempts(
    attester: &dyn Attester,
    patience: Patience,
    report_data: [u8; 64],
) -> Result<RawEvidence, AttesterError> {
    let mut pause = patience.pause;
    let mut attempt = 1;
    loop {
        let error = match tokio::time::timeout(patience.attempt, attester.evidence(report_data)).await {
            Ok(Ok(evidence)) if evidence.report_data() == Some(report_data) => return Ok(evidence),
            Ok(Ok(_)) => AttesterError::OtherReportData,
            Ok(Err(error)) => error,
            Err(_) => AttesterError::TimedOut,
        };
        tracing::warn!(attempt, %error, "no evidence");
        if attempt == ATTEMPTS {
            return Err(error);
        }
        attempt += 1;
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use teegate_attester::Answer;
    use teegate_protocol::evidence::EvidenceKind;
    use tokio::sync::Semaphore;

    use super::*;

    /// Answers each question after a permit was given, and notes what it was asked.
    struct Stepped {
        permits: Arc<Semaphore>,
        asked: Arc<Mutex<Vec<u8>>>,
        answer: fn([u8; 64]) -> Result<RawEvidence, AttesterError>,
    }

    impl Attester for Stepped {
        fn evidence(&self, report_data: [u8; 64]) -> Answer<'_> {
            Box::pin(async move {
                self.asked.lock().unwrap().push(report_data[0]);
                self.permits.acquire().await.unwrap().forget();
                (self.answer)(report_data)
            })
        }
    }

    const SHORT: Patience = Patience { attempt: Duration::from_millis(200), pause: Duration::from_millis(1) };
    const LONG: Patience = Patience { attempt: Duration::from_secs(600), ..SHORT };

    fn report(report_data: [u8; 64]) -> RawEvidence {
        let mut bytes = vec![0; 1184];
        bytes[0x50..0x90].copy_from_slice(&report_data);
        RawEvidence { kind: EvidenceKind::SnpReport, bytes, endorsements: None, event_log: None, left_out: Vec::new() }
    }

    fn start(
        permits: usize,
        patience: Patience,
        answer: fn([u8; 64]) -> Result<RawEvidence, AttesterError>,
    ) -> (EvidenceActor, Arc<Semaphore>, Arc<Mutex<Vec<u8>>>) {
        let (permits, asked) = (Arc::new(Semaphore::new(permits)), Arc::new(Mutex::new(Vec::new())));
        let attester = Stepped { permits: Arc::clone(&permits), asked: Arc::clone(&asked), answer };
        (EvidenceActor::start_with(Box::new(attester), patience), permits, asked)
    }

    /// The questions that were asked, by the first byte of each, when all of `orders` are answered.
    async fn order_of(
        (actor, permits, asked): (EvidenceActor, Arc<Semaphore>, Arc<Mutex<Vec<u8>>>),
        orders: Vec<(Purpose, u8)>,
    ) -> Vec<u8> {
        let mut answers = Vec::new();
        for (purpose, first) in orders {
            let mut answer = Box::pin({
                let actor = actor.clone();
                async move { actor.evidence(purpose, [first; 64]).await }
            });
            // Asked once, which queues it.
            tokio::select! {
                biased;
                early = &mut answer => panic!("{early:?}"),
                () = std::future::ready(()) => {}
            }
            while asked.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            answers.push((first, answer));
        }
        assert_eq!(asked.lock().unwrap().len(), 1, "one question at a time");
        permits.add_permits(answers.len());
        for (first, answer) in answers {
            assert_eq!(answer.await, Ok(report([first; 64])));
        }
        asked.lock().unwrap().clone()
    }

    fn stranger() -> Purpose {
        Purpose::Channel(Arc::default())
    }

    fn acquaintance() -> Purpose {
        let caller = Arc::<crate::turns::Caller>::default();
        caller.answered(Instant::now());
        Purpose::Channel(caller)
    }

    #[tokio::test]
    async fn an_epoch_goes_first_and_who_is_known_has_every_second_turn() {
        let first_known = acquaintance();
        let orders = vec![
            (Purpose::Nonce, 1),
            (Purpose::Nonce, 2),
            (Purpose::Nonce, 3),
            (stranger(), 10),
            (stranger(), 11),
            (stranger(), 12),
            (acquaintance(), 21),
            (first_known, 20),
            (Purpose::Epoch, 30),
        ];
        let started = start(0, LONG, |report_data| Ok(report(report_data)));
        // The first was alone, and took the turn of those who are known.
        assert_eq!(order_of(started, orders).await, [1, 30, 10, 20, 2, 21, 11, 12, 3]);
    }

    #[tokio::test]
    async fn an_answer_makes_a_connection_known_and_a_failure_does_not() {
        let (actor, _, _) =
            start(
                99,
                LONG,
                |report_data| {
                    if report_data[0] == 9 { Err(AttesterError::TimedOut) } else { Ok(report(report_data)) }
                },
            );
        let caller = Arc::default();
        let is_known = |caller: &Arc<_>| {
            let turns = Arc::new(Mutex::new(Turns::new()));
            let (answer, _answered) = oneshot::channel();
            let order = Order { purpose: Purpose::Channel(Arc::clone(caller)), report_data: [0; 64], answer };
            lock(&turns).push(order, Instant::now()).unwrap();
            lock(&turns).has_known()
        };
        assert!(!is_known(&caller));
        assert!(actor.evidence(Purpose::Channel(Arc::clone(&caller)), [9; 64]).await.is_err());
        assert!(!is_known(&caller));
        actor.evidence(Purpose::Channel(Arc::clone(&caller)), [1; 64]).await.unwrap();
        while !is_known(&caller) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn an_answer_to_another_question_is_refused_after_three_attempts() {
        let (actor, _, asked) = start(9, LONG, |_| Ok(report([9; 64])));
        assert_eq!(actor.evidence(Purpose::Epoch, [1; 64]).await, Err(AttesterError::OtherReportData));
        assert_eq!(asked.lock().unwrap().len(), 3);
        assert_eq!(actor.evidence(Purpose::Epoch, [9; 64]).await, Ok(report([9; 64])));
    }

    #[tokio::test]
    async fn a_source_that_hangs_is_given_up() {
        let (actor, _, asked) = start(0, SHORT, |report_data| Ok(report(report_data)));
        assert_eq!(actor.evidence(Purpose::Epoch, [1; 64]).await, Err(AttesterError::TimedOut));
        assert_eq!(asked.lock().unwrap().len(), 3);
    }

    #[test]
    fn an_attempt_outlasts_the_slowest_source_and_fits_into_the_wait_for_a_challenge() {
        let slowest = teegate_attester::azure_vtpm::AzureVtpm::LONGEST;
        assert!(slowest < PATIENCE.attempt, "{slowest:?} of {:?}", PATIENCE.attempt);
        let left = crate::turns::PATIENCE.checked_sub(PATIENCE.attempt + PATIENCE.pause).unwrap();
        assert!(left >= Duration::from_secs(5), "{left:?}");
    }

    #[tokio::test]
    async fn the_end_of_the_actor_is_seen() {
        let (actor, _, _) = start(1, LONG, |_| std::panic::resume_unwind(Box::new("a defect")));
        assert!(tokio::time::timeout(Duration::from_millis(20), actor.ended()).await.is_err());
        assert_eq!(actor.evidence(Purpose::Epoch, [1; 64]).await, Err(AttesterError::Ended));
        tokio::time::timeout(Duration::from_secs(600), actor.ended()).await.unwrap();
    }
}
