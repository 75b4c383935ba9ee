//! One question at a time: whoever asks what is being asked already gets the same answer, and the service sees one request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OnceCell;

/// Questions under way, by URL.
#[derive(Debug)]
pub(crate) struct Flights<T> {
    under_way: Mutex<HashMap<String, Weak<OnceCell<T>>>>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self { under_way: Mutex::new(HashMap::new()) }
    }
}

impl<T: Clone> Flights<T> {
    /// The answer to `question`: that of whoever is asking it already, or else of `ask`. If the one who asks goes away, one
    /// of those who wait asks instead.
    pub(crate) async fn join(&self, question: &str, ask: impl Future<Output = T>) -> T {
        let flight = self.flight(question);
        // The last one to hold the flight ends it: the map keeps none alive.
        flight.get_or_init(|| ask).await.clone()
    }

    fn flight(&self, question: &str) -> Arc<OnceCell<T>> {
        // Nothing can panic while this lock is held, so that a poisoned one is as good as any.
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|_, flight| flight.strong_count() > 0);
        if let Some(flight) = under_way.get(question).and_then(Weak::upgrade) {
            return flight;
        }
        let flight = Arc::new(OnceCell::new());
        under_way.insert(question.to_owned(), Arc::downgrade(&flight));
        flight
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn two_who_ask_the_same_get_one_answer_and_a_third_who_comes_later_a_new_one() {
        let flights = Flights::default();
        let asked = AtomicU32::new(0);
        let (answer, answered) = oneshot::channel::<u32>();
        let first = flights.join("same", async {
            asked.fetch_add(1, Ordering::SeqCst);
            answered.await.unwrap()
        });
        let second = flights.join("same", async { unreachable!("somebody is asking already") });
        let other = flights.join("other", async { 7 });
        let release = async { answer.send(5).unwrap() };
        let (first, second, other, ()) = tokio::join!(first, second, other, release);
        assert_eq!((first, second, other, asked.load(Ordering::SeqCst)), (5, 5, 7, 1));
        assert_eq!(flights.join("same", async { 6 }).await, 6);
    }

    #[tokio::test]
    async fn one_who_waits_asks_when_the_asker_goes_away() {
        let flights = Flights::default();
        let mut first = Box::pin(flights.join("same", std::future::pending::<u32>()));
        let second = flights.join("same", async { 6 });
        tokio::select! { biased; _ = &mut first => unreachable!(), () = std::future::ready(()) => {} }
        let leave = async { drop(first) };
        assert_eq!(tokio::join!(second, leave).0, 6);
    }
}
