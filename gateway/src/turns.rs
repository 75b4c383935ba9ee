//! Places at an instance, handed out in turn.
//!
//! Whoever waits is asked by tenant, then by source, then by connection, each round robin. So a client that asks for a thousand
//! places waits for its own requests, and another one for one turn.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::caller::{Caller, Tenant};
use crate::source::Source;

/// How much of a request is here. It decides what kind of place it can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readiness {
    /// All of it.
    Whole,
    /// A part of a long one, which comes at its pace.
    Arriving,
}

/// Of both kinds so many: RFC 9113 section 6.5.2 recommends that a peer permit no fewer than 100 streams at a time, and requests
/// leave room for challenges. However slow those are that arrive, who is all here does not wait for them.
const FOR_WHOLE: usize = 64;
const FOR_ARRIVING: usize = 32;

/// The places at one instance.
#[derive(Debug)]
pub(crate) struct Turns {
    whole: Arc<Places>,
    arriving: Arc<Places>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { whole: Places::new(FOR_WHOLE), arriving: Places::new(FOR_ARRIVING) }
    }

    /// Places that are taken.
    pub(crate) fn taken(&self) -> usize {
        let free = self.whole.lock().free.saturating_add(self.arriving.lock().free);
        FOR_WHOLE.saturating_add(FOR_ARRIVING).saturating_sub(free)
    }

    /// Waits for a place for a request of `caller`. Who stops waiting has not been there.
    pub(crate) async fn take(&self, caller: &Caller, readiness: Readiness) -> Place {
        match readiness {
            Readiness::Whole => self.whole.take(caller).await,
            Readiness::Arriving => self.arriving.take(caller).await,
        }
    }
}

/// So many places, and who waits for one.
#[derive(Debug)]
struct Places {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    waiting: Line,
    next: u64,
}

/// One place. Dropping it hands it on to whoever's turn it is.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
}

impl Places {
    fn new(count: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { free: count, waiting: Line::default(), next: 0 }) })
    }

    async fn take(self: &Arc<Self>, caller: &Caller) -> Place {
        let (mut waits, place) = {
            let mut state = self.lock();
            if let Some(free) = state.free.checked_sub(1) {
                state.free = free;
                return Place { places: Arc::clone(self) };
            }
            let (hand_over, place) = oneshot::channel();
            let number = state.next;
            state.next = state.next.wrapping_add(1);
            let path = path_of(caller);
            state.waiting.push(&path, Waiter { number, hand_over });
            (Waits { places: self, path, number: Some(number) }, place)
        };
        match place.await {
            Ok(place) => {
                waits.number = None;
                place
            }
            // The sender goes only with the place, or with us.
            Err(_) => std::future::pending().await,
        }
    }

    /// A place is free: whoever's turn it is gets it.
    fn free(self: &Arc<Self>) {
        let waiter = {
            let mut state = self.lock();
            let next = state.waiting.pop();
            if next.is_none() {
                state.free = state.free.saturating_add(1);
            }
            next
        };
        if let Some(Waiter { hand_over, .. }) = waiter {
            // Whoever went away in this moment gives it back by dropping it, which hands it on.
            let _ = hand_over.send(Place { places: Arc::clone(self) });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.free();
    }
}

/// Somebody who waits, until he has a place or stops.
struct Waits<'a> {
    places: &'a Places,
    path: [Key; 3],
    number: Option<u64>,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.places.lock().waiting.remove(&self.path, number);
        }
    }
}

/// One step on the way from all who wait to one of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Key {
    Tenant(Tenant),
    Source(Source),
    Connection(u64),
}

fn path_of(caller: &Caller) -> [Key; 3] {
    [Key::Tenant(caller.tenant), Key::Source(caller.source), Key::Connection(caller.connection)]
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    hand_over: oneshot::Sender<Place>,
}

/// Who waits below one key: others in turn, or at the end of the path whoever came first.
#[derive(Debug, Default)]
struct Line {
    order: VecDeque<Key>,
    below: HashMap<Key, Line>,
    own: VecDeque<Waiter>,
}

impl Line {
    fn push(&mut self, path: &[Key], waiter: Waiter) {
        let Some((key, rest)) = path.split_first() else { return self.own.push_back(waiter) };
        let order = &mut self.order;
        let below = self.below.entry(*key).or_insert_with(|| {
            order.push_back(*key);
            Line::default()
        });
        below.push(rest, waiter);
    }

    fn pop(&mut self) -> Option<Waiter> {
        let Some(key) = self.order.pop_front() else { return self.own.pop_front() };
        let below = self.below.get_mut(&key)?;
        let next = below.pop();
        if below.is_empty() {
            self.below.remove(&key);
        } else {
            self.order.push_back(key);
        }
        next
    }

    fn remove(&mut self, path: &[Key], number: u64) {
        let Some((key, rest)) = path.split_first() else { return self.own.retain(|waiter| waiter.number != number) };
        let Some(below) = self.below.get_mut(key) else { return };
        below.remove(rest, number);
        if below.is_empty() {
            self.below.remove(key);
            self.order.retain(|other| other != key);
        }
    }

    fn is_empty(&self) -> bool {
        self.below.is_empty() && self.own.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn caller(tenant: &'static str, source: u8) -> Caller {
        Caller::new(Tenant::named(tenant), Source::V4([10, 0, 0, source]))
    }

    /// Lets `callers` wait in this order, then hands out one place after the other; says who got it, by number.
    async fn order(callers: &[Caller]) -> Vec<usize> {
        let places = Places::new(1);
        let first = places.take(&caller("first", 0)).await;
        let (got, mut order) = mpsc::unbounded_channel();
        for (number, caller) in callers.iter().copied().enumerate() {
            let (waiting, got) = (Arc::clone(&places), got.clone());
            tokio::spawn(async move {
                let place = waiting.take(&caller).await;
                got.send(number).unwrap();
                drop(place);
            });
            tokio::task::yield_now().await;
        }
        drop((first, got));
        let mut numbers = Vec::new();
        while let Some(number) = order.recv().await {
            numbers.push(number);
        }
        assert!(places.lock().waiting.is_empty() && places.lock().free == 1);
        numbers
    }

    #[tokio::test]
    async fn a_thousand_requests_of_one_client_cost_another_one_turn() {
        let greedy = caller("default", 1);
        let mut callers = vec![greedy; 1_000];
        callers.push(caller("default", 2));
        assert_eq!(order(&callers).await[..3], [0, 1_000, 1]);
        // The same over as many connections; and from the same source, by connection.
        let mut callers: Vec<_> = (0..100).map(|_| caller("default", 1)).collect();
        callers.push(caller("default", 2));
        assert_eq!(order(&callers).await[..3], [0, 100, 1]);
        let other = caller("default", 1);
        assert_eq!(order(&[greedy, greedy, greedy, other, greedy]).await, [0, 3, 1, 2, 4]);
    }

    #[tokio::test]
    async fn tenants_take_turns_before_sources_and_sources_before_connections() {
        let [a, b, c] = [caller("one", 1), caller("one", 2), caller("other", 1)];
        let second = Caller { connection: u64::MAX, ..a };
        assert_eq!(order(&[a, a, b, second, c, c]).await, [0, 4, 2, 5, 3, 1]);
    }

    #[tokio::test]
    async fn who_stops_waiting_has_not_been_there() {
        let places = Places::new(1);
        let (one, other) = (caller("default", 1), caller("default", 2));
        let held = places.take(&one).await;
        {
            let mut waiting = std::pin::pin!(places.take(&other));
            assert!(futures_poll(waiting.as_mut()).await.is_none());
        }
        assert!(places.lock().waiting.is_empty());
        // One that is handed a place and goes at the same moment gives it back.
        let mut waiting = Box::pin(places.take(&other));
        assert!(futures_poll(waiting.as_mut()).await.is_none());
        drop(held);
        drop(waiting);
        let place = tokio::time::timeout(std::time::Duration::from_secs(5), places.take(&one)).await;
        assert!(place.is_ok());
        drop(place);
        assert_eq!(places.lock().free, 1);
    }

    /// Polls once.
    async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        std::future::poll_fn(|context| match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await
    }
}
