//! Sends what was recorded: two tasks beside the request path, one for spans and one for metrics, each over its own connection.
//!
//! A receiver that does not answer is asked again a few times with growing pauses, while the queue of spans keeps what it can. What is
//! given up is counted (`telemetry_dropped_total`); the log has one line when it begins to fail and one when it works again. Metrics are
//! never sent twice: the next ones say more.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use teegate_encoding::hex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::message::{self, Answer, Resource};
use super::receiver::{Receiver, Sender, Trouble};
use super::scrape::{self, Times};
use super::span::{Ended, Queue};
use crate::metrics::Metrics;

const TRACES: &str = "/v1/traces";
const METRICS: &str = "/v1/metrics";

/// Spans of one message.
const MOST_SPANS: usize = 512;
/// How often one message is sent at most.
const MOST_TRIES: u32 = 5;
/// The pause after the first failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, whatever the receiver asks for: what waits meanwhile is bounded by the queue.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is being exported, until [`Exporting::end`].
pub struct Exporting {
    tasks: [JoinHandle<()>; 2],
    stop: watch::Sender<bool>,
    time: Duration,
}

/// Begins to export to `receiver`: the spans of `queue`, and what `read` answers, which is the text of `/metrics`.
pub fn export(
    receiver: Receiver,
    queue: Queue,
    metrics: Arc<Metrics>,
    read: impl Fn() -> String + Send + 'static,
) -> Exporting {
    let receiver = Arc::new(receiver);
    let resource = Resource::new(&receiver.settings.service_name, &instance());
    let (stop, stopped) = watch::channel(false);
    metrics.telemetry_begins();
    let health = |signal| Health { signal, is_failing: false, metrics: Arc::clone(&metrics) };
    let spans = Spans {
        queue: queue.0,
        sender: Sender::new(Arc::clone(&receiver), TRACES),
        resource: resource.clone(),
        delay: receiver.settings.spans,
        health: health("spans"),
        stopped: stopped.clone(),
    };
    let readings = Readings {
        sender: Sender::new(Arc::clone(&receiver), METRICS),
        resource,
        every: receiver.settings.metrics,
        start: now(),
        health: health("metrics"),
        stopped,
    };
    let tasks = [tokio::spawn(spans.run()), tokio::spawn(readings.run(read))];
    Exporting { tasks, stop, time: receiver.settings.timeout }
}

impl Exporting {
    /// Sends what is left, within the time of one export, and ends.
    pub async fn end(self) {
        self.stop.send_replace(true);
        let [spans, readings] = self.tasks;
        let aborts = [spans.abort_handle(), readings.abort_handle()];
        let ended = timeout(self.time, async {
            let _ = spans.await;
            let _ = readings.await;
        });
        if ended.await.is_err() {
            aborts.iter().for_each(tokio::task::AbortHandle::abort);
            tracing::warn!("the last spans or metrics could not be exported within {} s", self.time.as_secs());
        }
    }
}

/// Tells this process from every other one.
fn instance() -> String {
    let mut random = [0; 16];
    // Without random numbers nothing else of this process works either.
    let _ = getrandom::fill(&mut random);
    hex::encode(random)
}

fn now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

async fn turned_true(stopped: &mut watch::Receiver<bool>) {
    // An error means that nobody is left who could wait for anything.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Whether the receiver takes one kind of message: said when it changes, counted always.
struct Health {
    signal: &'static str,
    is_failing: bool,
    metrics: Arc<Metrics>,
}

impl Health {
    /// `sent` of them arrived, of which the receiver has not taken `rejected`.
    fn arrived(&mut self, sent: u64, rejected: u64) {
        self.metrics.telemetry_exported(self.signal, sent.saturating_sub(rejected));
        if rejected > 0 {
            self.metrics.telemetry_dropped(self.signal, "refused", rejected);
            return self.fails(&format!("it refuses {rejected} of {sent}"));
        }
        if std::mem::replace(&mut self.is_failing, false) {
            tracing::info!("telemetry: the receiver takes {} again", self.signal);
        }
    }

    /// So many are given up.
    fn given_up(&mut self, count: u64, why: &Trouble) {
        let reason = if matches!(why, Trouble::Refused(_)) { "refused" } else { "unreachable" };
        self.metrics.telemetry_dropped(self.signal, reason, count);
        self.fails(&why.to_string());
    }

    fn fails(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!("telemetry: the receiver does not take all {}: {why}; what is lost is counted", self.signal);
        }
    }
}

/// Exports spans.
struct Spans {
    queue: mpsc::Receiver<Ended>,
    sender: Sender,
    resource: Resource,
    delay: Duration,
    health: Health,
    stopped: watch::Receiver<bool>,
}

impl Spans {
    async fn run(mut self) {
        loop {
            let batch = self.gather().await;
            if batch.is_empty() {
                return;
            }
            self.send(&batch).await;
        }
    }

    /// What has ended, as soon as that is a message full, or the first of it has waited long enough. Empty at the end.
    async fn gather(&mut self) -> Vec<Ended> {
        let mut batch = Vec::new();
        let mut due = None;
        while batch.len() < MOST_SPANS && !*self.stopped.borrow() {
            let room = MOST_SPANS.saturating_sub(batch.len());
            let end = due;
            let waited = async move {
                match end {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = turned_true(&mut self.stopped) => {}
                came = self.queue.recv_many(&mut batch, room) => match came {
                    0 => break,
                    _ => due = due.or_else(|| Some(Instant::now() + self.delay)),
                },
                () = waited => break,
            }
        }
        while batch.len() < MOST_SPANS {
            let Ok(ended) = self.queue.try_recv() else { break };
            batch.push(ended);
        }
        batch
    }

    async fn send(&mut self, batch: &[Ended]) {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let message = Bytes::from(message::traces(&self.resource, batch));
        let mut tries = 0;
        loop {
            let why = match self.sender.send(message.clone()).await {
                Ok(answer) => return self.health.arrived(count, Answer::rejected(&answer, count)),
                Err(why) => why,
            };
            tries += 1;
            let pause = match &why {
                Trouble::Refused(_) => None,
                Trouble::Later(_, Some(asked)) => Some(*asked),
                Trouble::Later(_, None) | Trouble::Unreachable(_) => Some(FIRST_PAUSE.saturating_mul(1 << (tries - 1))),
            };
            let Some(pause) = pause.filter(|_| tries < MOST_TRIES && !*self.stopped.borrow()) else {
                return self.health.given_up(count, &why);
            };
            self.health.fails(&why.to_string());
            tokio::select! {
                () = sleep(pause.min(LONGEST_PAUSE)) => {}
                // Once more, at once.
                () = turned_true(&mut self.stopped) => {}
            }
        }
    }
}

/// Exports metrics.
struct Readings {
    sender: Sender,
    resource: Resource,
    every: Duration,
    start: u64,
    health: Health,
    stopped: watch::Receiver<bool>,
}

impl Readings {
    async fn run(mut self, read: impl Fn() -> String) {
        let mut pause = self.every;
        loop {
            tokio::select! {
                () = sleep(pause) => {}
                () = turned_true(&mut self.stopped) => {}
            }
            // Read before it is sent: what changes meanwhile is in the next.
            let is_last = *self.stopped.borrow();
            let (metrics, count) = scrape::read(&read(), Times { start: self.start, now: now() });
            let message = Bytes::from(message::metrics(&self.resource, metrics));
            pause = self.every;
            match self.sender.send(message).await {
                Ok(answer) => self.health.arrived(count, Answer::rejected(&answer, count)),
                Err(why) => {
                    if let Trouble::Later(_, Some(asked)) = why {
                        pause = pause.max(asked);
                    }
                    self.health.given_up(count, &why);
                }
            }
            if is_last {
                return;
            }
        }
    }
}
