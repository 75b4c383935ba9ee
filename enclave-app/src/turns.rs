//! Whose turn it is when evidence is asked for: the platform answers one question at a time, and everybody wants an answer.
//!
//! An epoch goes before all others, because without it nobody is served. Of the turns that are left every second belongs
//! to connections that have had evidence before, the one that is known longest first and each at most once in ten
//! seconds: whoever has a gateway's re-check to lose loses it to no stranger, however many there are. The other half
//! belongs to strangers, or nobody could become known: three of four to new connections, one to clients' own challenges.
//! A turn that its owner does not want is anybody's.
//!
//! Who would wait longer than anybody waits is refused when it asks, and told when to ask again: a place in a queue that
//! is given up before its turn comes only makes the queue longer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use teegate_attester::{AttesterError, RawEvidence};
use tokio::sync::oneshot;

/// The longest wait for evidence that answers a challenge, the taking of it included.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often a connection goes before strangers. A gateway checks its connection far less often.
const PRIVILEGE: Duration = Duration::from_secs(10);

/// Most orders of one kind that wait. Of known connections each has one at a time, so there are no more of those than
/// connections.
const QUEUE: usize = 64;
const KNOWN_QUEUE: usize = 4096;

/// What evidence is for.
#[derive(Clone)]
pub enum Purpose {
    /// The evidence of an epoch, on which everything waits.
    Epoch,
    /// A gateway's check of its own connection.
    Channel(Arc<Caller>),
    /// A client's own challenge.
    Nonce,
}

/// A connection that asks for evidence about itself, and how it stands.
#[derive(Default)]
pub struct Caller(Mutex<Standing>);

#[derive(Default)]
struct Standing {
    known_since: Option<Instant>,
    went_first: Option<Instant>,
}

impl Caller {
    /// It has had evidence.
    pub(crate) fn answered(&self, now: Instant) {
        self.standing(|standing| standing.known_since = standing.known_since.or(Some(now)));
    }

    /// Since when it is known, if it may go before strangers now.
    fn privileged_since(&self, now: Instant) -> Option<Instant> {
        self.standing(|standing| {
            let is_due = standing.went_first.is_none_or(|before| now.saturating_duration_since(before) >= PRIVILEGE);
            standing.known_since.filter(|_| is_due)
        })
    }

    fn goes_first(&self, now: Instant) {
        self.standing(|standing| standing.went_first = Some(now));
    }

    fn standing<T>(&self, with: impl FnOnce(&mut Standing) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A question that waits for its turn.
pub(crate) struct Order {
    pub(crate) purpose: Purpose,
    pub(crate) report_data: [u8; 64],
    pub(crate) answer: oneshot::Sender<Result<RawEvidence, AttesterError>>,
}

/// The orders that wait.
pub(crate) struct Turns {
    epoch: VecDeque<Order>,
    /// With the instant since which the connection is known.
    known: Vec<(Instant, Order)>,
    new: VecDeque<Order>,
    nonce: VecDeque<Order>,
    /// The first of them is the next turn.
    round: [[Owner; 3]; 4],
    /// Whether one is under way.
    is_busy: bool,
    /// How long one takes; nothing is known before the first.
    typical: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    Known,
    New,
    Nonce,
}

/// Four turns, and who is asked in each, one after the other.
const ROUND: [[Owner; 3]; 4] = [
    [Owner::Known, Owner::New, Owner::Nonce],
    [Owner::New, Owner::Nonce, Owner::Known],
    [Owner::Known, Owner::New, Owner::Nonce],
    [Owner::Nonce, Owner::New, Owner::Known],
];

impl Turns {
    /// Nobody waits.
    pub(crate) fn new() -> Self {
        let (epoch, new, nonce) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        Self { epoch, known: Vec::new(), new, nonce, round: ROUND, is_busy: false, typical: Duration::ZERO }
    }

    /// Queues an order.
    pub(crate) fn push(&mut self, order: Order, now: Instant) -> Result<(), AttesterError> {
        self.forget_who_left();
        let owner = match &order.purpose {
            Purpose::Epoch => {
                self.epoch.push_back(order);
                return Ok(());
            }
            Purpose::Nonce => Owner::Nonce,
            Purpose::Channel(caller) => match caller.privileged_since(now) {
                Some(since) => {
                    self.admit(Owner::Known, self.known.iter().filter(|(other, _)| *other <= since).count())?;
                    self.known.push((since, order));
                    return Ok(());
                }
                None => Owner::New,
            },
        };
        let queue = if owner == Owner::New { &self.new } else { &self.nonce };
        self.admit(owner, queue.len())?;
        let queue = if owner == Owner::New { &mut self.new } else { &mut self.nonce };
        queue.push_back(order);
        Ok(())
    }

    /// The order whose turn it is; it is under way until [`Turns::done`].
    pub(crate) fn next(&mut self, now: Instant) -> Option<Order> {
        self.forget_who_left();
        let order = self.epoch.pop_front().or_else(|| {
            let [owners, ..] = self.round;
            let order = owners.into_iter().find_map(|owner| self.take(owner, now))?;
            self.round.rotate_left(1);
            Some(order)
        });
        self.is_busy = order.is_some();
        order
    }

    /// The order that was under way has taken so long.
    pub(crate) fn done(&mut self, took: Duration) {
        self.is_busy = false;
        // One slow answer does not make a slow platform.
        self.typical = if self.typical.is_zero() { took } else { (self.typical * 3 + took) / 4 };
    }

    fn take(&mut self, owner: Owner, now: Instant) -> Option<Order> {
        match owner {
            Owner::New => self.new.pop_front(),
            Owner::Nonce => self.nonce.pop_front(),
            Owner::Known => {
                let (place, _) = self.known.iter().enumerate().min_by_key(|(_, (since, _))| *since)?;
                let (_, order) = self.known.swap_remove(place);
                if let Purpose::Channel(caller) = &order.purpose {
                    caller.goes_first(now);
                }
                Some(order)
            }
        }
    }

    /// Whether one more may wait behind so many of its own kind.
    fn admit(&self, owner: Owner, ahead: usize) -> Result<(), AttesterError> {
        let most = if owner == Owner::Known { KNOWN_QUEUE } else { QUEUE };
        let turns = self.turns_before(owner, ahead).saturating_add(1);
        let wait = self.typical.saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX));
        if ahead < most && wait <= PATIENCE {
            return Ok(());
        }
        // By then so many have been answered that one more can wait.
        let seconds = wait.saturating_sub(PATIENCE).as_secs().clamp(1, PATIENCE.as_secs());
        Err(AttesterError::Busy { seconds: u32::try_from(seconds).unwrap_or(u32::MAX) })
    }

    /// How many are answered before an order that has so many of its own kind ahead of it.
    fn turns_before(&self, owner: Owner, ahead: usize) -> usize {
        let (known, new, nonce) = (self.known.len(), self.new.len(), self.nonce.len());
        let own = ahead.saturating_add(1);
        let others = match owner {
            Owner::Known => own.min(new + nonce),
            Owner::New => own.saturating_mul(2).min(known) + own.min(nonce),
            Owner::Nonce => own.saturating_mul(2).min(known) + own.min(new),
        };
        ahead.saturating_add(others).saturating_add(self.epoch.len()).saturating_add(usize::from(self.is_busy))
    }

    /// Who asked may have gone away while waiting, and often has: strangers that ask, hang up and ask again.
    fn forget_who_left(&mut self) {
        let waits = |order: &Order| !order.answer.is_closed();
        self.epoch.retain(waits);
        self.new.retain(waits);
        self.nonce.retain(waits);
        self.known.retain(|(_, order)| waits(order));
    }
}

#[cfg(test)]
impl Turns {
    /// Whether an order of a known connection waits.
    pub(crate) fn has_known(&self) -> bool {
        !self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answered = oneshot::Receiver<Result<RawEvidence, AttesterError>>;

    /// An order that is told from others by a byte.
    fn order(purpose: Purpose, name: u8) -> (Order, Answered) {
        let (answer, answered) = oneshot::channel();
        (Order { purpose, report_data: [name; 64], answer }, answered)
    }

    fn known(since: Instant) -> Arc<Caller> {
        let caller = Arc::<Caller>::default();
        caller.answered(since);
        caller
    }

    /// The names in the order in which they are served.
    fn served(turns: &mut Turns, now: Instant) -> Vec<u8> {
        std::iter::from_fn(|| turns.next(now).map(|order| order.report_data[0])).collect()
    }

    #[test]
    fn the_longest_known_goes_first_and_once_in_ten_seconds() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let (old, young) = (known(start), known(after(1)));
        let mut turns = Turns::new();
        let mut waiting = Vec::new();
        let mut ask = |turns: &mut Turns, caller: &Arc<Caller>, name, now| {
            let (order, answered) = order(Purpose::Channel(Arc::clone(caller)), name);
            turns.push(order, now).unwrap();
            waiting.push(answered);
        };
        let strangers: Vec<Arc<Caller>> = (0..4).map(|_| Arc::default()).collect();
        for (name, stranger) in (10..).zip(&strangers) {
            ask(&mut turns, stranger, name, after(2));
        }
        ask(&mut turns, &young, 2, after(2));
        ask(&mut turns, &old, 1, after(2));
        assert_eq!(served(&mut turns, after(2)), [1, 10, 2, 11, 12, 13]);
        // Nine seconds later it is one of many.
        for (name, stranger) in (10..).zip(&strangers) {
            ask(&mut turns, stranger, name, after(11));
        }
        ask(&mut turns, &old, 1, after(11));
        assert_eq!(served(&mut turns, after(11)), [10, 11, 12, 13, 1]);
        // And ten seconds later it is not.
        for (name, stranger) in (10..).zip(&strangers) {
            ask(&mut turns, stranger, name, after(12));
        }
        ask(&mut turns, &old, 1, after(12));
        let order = served(&mut turns, after(12));
        assert!(order[..2].contains(&1), "{order:?}");
    }

    #[test]
    fn strangers_without_end_leave_a_known_connection_its_turn_and_a_client_one_of_four() {
        let now = Instant::now();
        let mut turns = Turns::new();
        let mut waiting = Vec::new();
        for name in 0..60 {
            let (order, answered) = order(Purpose::Channel(Arc::default()), name);
            turns.push(order, now).unwrap();
            waiting.push(answered);
        }
        for (purpose, name) in [(Purpose::Nonce, 100), (Purpose::Nonce, 101), (Purpose::Channel(known(now)), 200)] {
            let (order, answered) = order(purpose, name);
            turns.push(order, now).unwrap();
            waiting.push(answered);
        }
        let order = served(&mut turns, now);
        let place = |name| order.iter().position(|served| *served == name).unwrap();
        assert!(place(200) <= 1 && place(100) <= 4 && place(101) <= 8, "{order:?}");
        assert_eq!(order.len(), 63);
    }

    #[test]
    fn who_would_wait_too_long_is_refused_at_once_and_told_when_to_come_back() {
        let now = Instant::now();
        let mut turns = Turns::new();
        let mut waiting = Vec::new();
        let mut push = |turns: &mut Turns, purpose, name| {
            let (order, answered) = order(purpose, name);
            let pushed = turns.push(order, now);
            waiting.push(answered);
            pushed
        };
        // Two seconds each: fifteen fit into half a minute.
        turns.done(Duration::from_secs(2));
        for name in 0..15 {
            assert_eq!(push(&mut turns, Purpose::Channel(Arc::default()), name), Ok(()), "{name}");
        }
        let busy = |seconds| Err(AttesterError::Busy { seconds });
        assert_eq!(push(&mut turns, Purpose::Channel(Arc::default()), 99), busy(2));
        // Others have turns of their own, which come sooner.
        assert_eq!(push(&mut turns, Purpose::Nonce, 50), Ok(()));
        assert_eq!(push(&mut turns, Purpose::Channel(known(now)), 60), Ok(()));
        assert_eq!(push(&mut turns, Purpose::Epoch, 70), Ok(()));
        assert_eq!(turns.next(now).unwrap().report_data[0], 70);
        // A platform that is slow for once is not taken for slow, and one that stays so is.
        turns.done(Duration::from_secs(45));
        assert_eq!(push(&mut turns, Purpose::Nonce, 51), busy(30));
        for _ in 0..20 {
            turns.done(Duration::from_millis(10));
        }
        assert_eq!(push(&mut turns, Purpose::Nonce, 51), Ok(()));
    }

    #[test]
    fn queues_are_bounded_and_who_left_takes_no_place() {
        let now = Instant::now();
        let mut turns = Turns::new();
        let mut waiting = Vec::new();
        for purpose in [Purpose::Nonce, Purpose::Channel(Arc::default())] {
            for _ in 0..QUEUE {
                let (order, answered) = order(purpose.clone(), 1);
                turns.push(order, now).unwrap();
                waiting.push(answered);
            }
            let (order, _answered) = order(purpose.clone(), 1);
            assert_eq!(turns.push(order, now), Err(AttesterError::Busy { seconds: 1 }));
        }
        waiting.truncate(1);
        for purpose in [Purpose::Nonce, Purpose::Channel(Arc::default())] {
            let (order, answered) = order(purpose, 2);
            turns.push(order, now).unwrap();
            waiting.push(answered);
        }
        assert_eq!(served(&mut turns, now).len(), 3);
    }
}
