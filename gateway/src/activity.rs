//! What happens on a client's connection: what was asked, what moves, what is being answered; and when that is too little.
//!
//! Places for connections are few, and whoever holds one without using it takes it from somebody else. Bytes that move are use:
//! a piece of a request, a piece of an answer. So is a request that an instance works on, or that is all here and waits for its
//! turn. All else is silence, a poll for instances and the answers to PING included.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// So many bytes are a piece: less than that is a drip, and does not count as use.
const PIECE_BYTES: u64 = 16 << 10;
/// A connection on which a piece moved so short a time ago is moving.
const MOVING: Duration = Duration::from_secs(1);

/// How long a connection may do without what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Its first request.
    pub(crate) first: Duration,
    /// Any request, after that.
    pub(crate) idle: Duration,
    /// The client's taking the whole of an answer, once its head is there.
    pub(crate) answer: Duration,
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Activity {
    patience: Patience,
    state: Mutex<State>,
    dismissal: Notify,
}

#[derive(Debug)]
struct State {
    /// Requests whose answer has not left completely.
    open: usize,
    /// Of these, what an instance works on...
    working: usize,
    /// ...and what is all here and waits for its release, or for a place.
    waiting: usize,
    /// When the answers that are being taken have to be gone.
    due: Vec<Instant>,
    idle_until: Instant,
    /// Since when nothing has happened.
    since: Instant,
    piece_at: Option<Instant>,
    of_piece: u64,
    has_relayed: bool,
}

/// How a connection is used at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Usage {
    /// Not at all, since then.
    Silent {
        /// The last thing that happened.
        since: Instant,
        /// Whether an enclave has answered a request of it before.
        has_relayed: bool,
    },
    /// Something moves, or waits for its turn.
    Moving {
        /// The last thing that happened.
        since: Instant,
    },
    /// An instance works on a request of it.
    Working,
}

impl Activity {
    pub(crate) fn new(patience: Patience) -> Arc<Self> {
        let now = Instant::now();
        let state = State {
            open: 0,
            working: 0,
            waiting: 0,
            due: Vec::new(),
            idle_until: now + patience.first,
            since: now,
            piece_at: None,
            of_piece: 0,
            has_relayed: false,
        };
        Arc::new(Self { patience, state: Mutex::new(state), dismissal: Notify::new() })
    }

    /// A request begins, and ends when the result is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.change(|state| state.open = state.open.saturating_add(1));
        Busy { activity: Arc::clone(self), due: None }
    }

    /// A request is all here, and waits for its turn until the result is dropped.
    pub(crate) fn waits(self: &Arc<Self>) -> Phase {
        self.phase(|state| &mut state.waiting)
    }

    /// An instance works on a request until the result is dropped.
    pub(crate) fn works(self: &Arc<Self>) -> Phase {
        self.phase(|state| &mut state.working)
    }

    /// An enclave answered a request.
    pub(crate) fn relayed(&self) {
        self.lock().has_relayed = true;
    }

    /// So many bytes of a request came, or of an answer went.
    pub(crate) fn moved(&self, bytes: u64) {
        let mut state = self.lock();
        state.of_piece = state.of_piece.saturating_add(bytes);
        if state.of_piece >= PIECE_BYTES {
            let now = Instant::now();
            (state.of_piece, state.since, state.piece_at) = (0, now, Some(now));
        }
    }

    /// How it is used now.
    pub(crate) fn usage(&self) -> Usage {
        let state = self.lock();
        let State { since, has_relayed, .. } = *state;
        if state.working > 0 {
            Usage::Working
        } else if state.waiting > 0 || state.piece_at.is_some_and(|at| at.elapsed() < MOVING) {
            Usage::Moving { since }
        } else {
            Usage::Silent { since, has_relayed }
        }
    }

    /// Whether nothing is being answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().open == 0
    }

    /// Ends the connection now, whatever happens on it.
    pub(crate) fn dismiss(&self) {
        self.dismissal.notify_one();
    }

    /// Resolves when the connection has to end at once.
    pub(crate) async fn dismissed(&self) {
        self.dismissal.notified().await;
    }

    /// Resolves when the connection has been silent, or an answer has not been taken, for too long.
    pub(crate) async fn over(&self) {
        loop {
            let now = Instant::now();
            let next = {
                let state = self.lock();
                // While something is open silence does not count; whoever begins meanwhile is due later than this look.
                let silent = if state.open > 0 { now + self.patience.answer } else { state.idle_until };
                state.due.iter().min().map_or(silent, |due| silent.min(*due))
            };
            if next <= now {
                return;
            }
            sleep_until(next.min(now + self.patience.answer)).await;
        }
    }

    fn phase(self: &Arc<Self>, count: fn(&mut State) -> &mut usize) -> Phase {
        self.change(|state| *count(state) = count(state).saturating_add(1));
        Phase { activity: Arc::clone(self), count }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.since = Instant::now();
        state.idle_until = state.since + self.patience.idle;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request that is being answered.
#[derive(Debug)]
pub(crate) struct Busy {
    activity: Arc<Activity>,
    due: Option<Instant>,
}

impl Busy {
    /// The head of the answer is there: from now on it is the client's turn.
    pub(crate) fn answered(&mut self) {
        let due = Instant::now() + self.activity.patience.answer;
        self.due = Some(due);
        self.activity.change(|state| state.due.push(due));
    }

    /// So many bytes of the answer went.
    pub(crate) fn moved(&self, bytes: u64) {
        self.activity.moved(bytes);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.activity.change(|state| {
            state.open = state.open.saturating_sub(1);
            if let Some(index) = state.due.iter().position(|due| Some(*due) == self.due) {
                state.due.swap_remove(index);
            }
        });
    }
}

/// A request in one phase of its way.
#[derive(Debug)]
pub(crate) struct Phase {
    activity: Arc<Activity>,
    count: fn(&mut State) -> &mut usize,
}

impl Drop for Phase {
    fn drop(&mut self) {
        let count = self.count;
        self.activity.change(|state| *count(state) = count(state).saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { first: Duration::from_secs(10), idle: Duration::from_secs(300), answer: Duration::from_secs(60) };

    async fn over_after(activity: &Activity) -> u64 {
        let start = Instant::now();
        activity.over().await;
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_by_silence_and_by_an_answer_that_is_not_taken() {
        assert_eq!(over_after(&Activity::new(PATIENCE)).await, 10, "without a first request");
        let activity = Activity::new(PATIENCE);
        activity.begin().answered();
        assert_eq!(over_after(&activity).await, 300, "without another");
        let activity = Activity::new(PATIENCE);
        let mut taken = activity.begin();
        taken.answered();
        assert_eq!(over_after(&activity).await, 60, "with an answer that nobody takes");
        drop(taken);
        let activity = Activity::new(PATIENCE);
        let busy = activity.begin();
        let held = tokio::time::timeout(Duration::from_secs(1_000), activity.over()).await;
        assert!(held.is_err(), "a request that is held is not silence");
        drop(busy);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_move_are_use_and_a_drip_is_none() {
        let activity = Activity::new(PATIENCE);
        let born = Instant::now();
        let silent = |since| Usage::Silent { since, has_relayed: false };
        assert_eq!(activity.usage(), silent(born));
        let second = || tokio::time::advance(Duration::from_secs(1));
        second().await;
        let _busy = activity.begin();
        let begun = Instant::now();
        assert_eq!(activity.usage(), silent(begun), "a request alone is a question, and no use");
        for _ in 0..10 {
            second().await;
            activity.moved(1);
        }
        assert_eq!(activity.usage(), silent(begun));
        activity.moved(PIECE_BYTES - 10);
        assert_eq!(activity.usage(), Usage::Moving { since: Instant::now() });
        let moved = Instant::now();
        second().await;
        assert_eq!(activity.usage(), silent(moved));
        let waits = activity.waits();
        assert!(matches!(activity.usage(), Usage::Moving { .. }));
        let works = activity.works();
        drop(waits);
        second().await;
        assert_eq!(activity.usage(), Usage::Working);
        drop(works);
        activity.relayed();
        assert_eq!(activity.usage(), Usage::Silent { since: Instant::now(), has_relayed: true });
    }
}
