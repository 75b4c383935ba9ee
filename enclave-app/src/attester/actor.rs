//! One actor asks for evidence, so that the platform is asked one question at a time.
//!
//! A TDX quote takes tens of milliseconds and a vTPM seconds, and both serialise. So orders wait in bounded queues, an
//! epoch's before all others, gateways' channel checks and clients' own challenges in turn; only one is under way. What
//! comes back must report the bytes that were asked for: two processes of one guest can share the source, and some
//! interfaces answer the question that was written last.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::{Attester, AttesterError, RawEvidence};

/// Orders that may wait, of epochs and of clients. More of the latter than a minute's worth nobody would wait for.
const QUEUE: usize = 16;

/// Channel checks that may wait: a connection has one at a time (`server` sees to that), and there are no more
/// connections than this. So they are served in turn, and whoever asks often waits behind everybody else.
const CHANNEL_QUEUE: usize = 4096;

/// Times that an order is tried.
const ATTEMPTS: u32 = 3;

/// How long an attempt may take, and how long to wait after one that failed.
#[derive(Clone, Copy)]
struct Patience {
    attempt: Duration,
    /// Doubled after the next.
    pause: Duration,
}

/// An Azure vTPM needs seconds.
const PATIENCE: Patience = Patience { attempt: Duration::from_secs(15), pause: Duration::from_millis(100) };

/// What evidence is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The evidence of an epoch, on which everything waits.
    Epoch,
    /// A gateway's check of its own connection.
    Channel,
    /// A client's own challenge.
    Nonce,
}

struct Order {
    report_data: [u8; 64],
    answer: oneshot::Sender<Result<RawEvidence, AttesterError>>,
}

/// Takes orders for evidence. The actor ends when the last of these is dropped.
#[derive(Clone)]
pub struct EvidenceActor {
    epoch: mpsc::Sender<Order>,
    channel: mpsc::Sender<Order>,
    nonce: mpsc::Sender<Order>,
}

impl EvidenceActor {
    /// Starts the actor, on the current runtime.
    pub fn start(attester: Box<dyn Attester>) -> Self {
        Self::start_with(attester, PATIENCE)
    }

    fn start_with(attester: Box<dyn Attester>, patience: Patience) -> Self {
        let (epoch, epoch_orders) = mpsc::channel(QUEUE);
        let (channel, channel_orders) = mpsc::channel(CHANNEL_QUEUE);
        let (nonce, nonce_orders) = mpsc::channel(QUEUE);
        tokio::spawn(serve(attester, patience, [epoch_orders, channel_orders, nonce_orders]));
        Self { epoch, channel, nonce }
    }

    /// Evidence over these 64 bytes.
    ///
    /// # Errors
    /// [`AttesterError::Busy`] at once when too many wait; otherwise what the last attempt met.
    pub async fn evidence(&self, purpose: Purpose, report_data: [u8; 64]) -> Result<RawEvidence, AttesterError> {
        let (answer, answered) = oneshot::channel();
        let queue = match purpose {
            Purpose::Epoch => &self.epoch,
            Purpose::Channel => &self.channel,
            Purpose::Nonce => &self.nonce,
        };
        queue.try_send(Order { report_data, answer }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => AttesterError::Busy,
            mpsc::error::TrySendError::Closed(_) => AttesterError::Ended,
        })?;
        answered.await.unwrap_or(Err(AttesterError::Ended))
    }

    /// Resolves when the actor has ended, which only a defect can cause while somebody can still order.
    pub async fn ended(&self) {
        self.epoch.closed().await;
    }
}

async fn serve(attester: Box<dyn Attester>, patience: Patience, orders: [mpsc::Receiver<Order>; 3]) {
    let [mut epoch, mut first, mut second] = orders;
    loop {
        let order = tokio::select! {
            biased;
            Some(order) = epoch.recv() => order,
            Some(order) = first.recv() => order,
            Some(order) = second.recv() => order,
            else => return,
        };
        // Neither of the two can keep the other waiting for more than one order.
        std::mem::swap(&mut first, &mut second);
        // Who asked may have gone away while waiting.
        if !order.answer.is_closed() {
            let result = attempts(attester.as_ref(), patience, order.report_data).await;
            let _ = order.answer.send(result);
        }
    }
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
            Ok(Ok(evidence)) if evidence.report_data() == Some(&report_data) => return Ok(evidence),
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

    use teegate_protocol::evidence::EvidenceKind;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::attester::Answer;

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
        RawEvidence { kind: EvidenceKind::SnpReport, bytes, endorsements: None, event_log: None }
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

    #[tokio::test]
    async fn one_question_at_a_time_and_the_epoch_first() {
        let (actor, permits, asked) = start(0, LONG, |report_data| Ok(report(report_data)));
        let order = |purpose, first: u8| {
            let actor = actor.clone();
            tokio::spawn(async move { actor.evidence(purpose, [first; 64]).await })
        };
        let first = order(Purpose::Nonce, 1);
        while asked.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let waiting = [order(Purpose::Nonce, 2), order(Purpose::Channel, 3), order(Purpose::Epoch, 4)];
        while actor.nonce.capacity() == QUEUE
            || actor.channel.capacity() == CHANNEL_QUEUE
            || actor.epoch.capacity() == QUEUE
        {
            tokio::task::yield_now().await;
        }
        assert_eq!(*asked.lock().unwrap(), [1]);
        permits.add_permits(4);
        assert_eq!(first.await.unwrap().unwrap(), report([1; 64]));
        for done in waiting {
            done.await.unwrap().unwrap();
        }
        assert_eq!(*asked.lock().unwrap(), [1, 4, 3, 2]);
    }

    #[tokio::test]
    async fn channel_checks_without_end_do_not_keep_a_client_waiting() {
        let (actor, permits, asked) = start(0, LONG, |report_data| Ok(report(report_data)));
        let order = |purpose, first: u8| {
            let actor = actor.clone();
            tokio::spawn(async move { actor.evidence(purpose, [first; 64]).await })
        };
        let mut orders: Vec<_> = (0..32).map(|_| order(Purpose::Channel, 3)).collect();
        orders.push(order(Purpose::Nonce, 2));
        while actor.channel.capacity() > CHANNEL_QUEUE - 31 || actor.nonce.capacity() == QUEUE {
            tokio::task::yield_now().await;
        }
        permits.add_permits(33);
        for done in orders {
            done.await.unwrap().unwrap();
        }
        let place = asked.lock().unwrap().iter().position(|first| *first == 2).unwrap();
        assert!(place <= 2, "{place}");
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

    #[tokio::test]
    async fn the_end_of_the_actor_is_seen() {
        let (actor, _, _) = start(1, LONG, |_| std::panic::resume_unwind(Box::new("a defect")));
        assert!(tokio::time::timeout(Duration::from_millis(20), actor.ended()).await.is_err());
        assert_eq!(actor.evidence(Purpose::Epoch, [1; 64]).await, Err(AttesterError::Ended));
        tokio::time::timeout(Duration::from_secs(600), actor.ended()).await.unwrap();
    }

    #[tokio::test]
    async fn a_full_queue_answers_at_once() {
        let (actor, _, asked) = start(0, LONG, |report_data| Ok(report(report_data)));
        let order = || {
            let actor = actor.clone();
            tokio::spawn(async move { actor.evidence(Purpose::Nonce, [1; 64]).await })
        };
        let first = order();
        while asked.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let waiting: Vec<_> = (0..QUEUE).map(|_| order()).collect();
        while actor.nonce.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(actor.evidence(Purpose::Nonce, [1; 64]).await, Err(AttesterError::Busy));
        first.abort();
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
