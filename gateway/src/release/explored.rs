//! The release predicate under every order of events: what a permit may do is held against a [`model`] of it after each event.
//!
//! An event takes the fleet's lock as a whole, and so does a write under a permit, which is looked at in each write: so any run of
//! threads is one of these orders. They are explored breadth first to a depth, where two orders that lead to the same state go on as
//! one; without that to a smaller depth; and at random, far deeper. What goes wrong is told with its shortest order.

mod model;
mod world;

use std::collections::HashSet;
use std::fmt::Write as _;

use self::model::Likeness;
use self::world::{BEGINNING, Cast, Counts, EVENTS, Event, World};

/// How many events follow each other where states that are alike are merged, and where they are not; `TEEGATE_TESTS=full` takes one more.
const DEPTH: usize = 4;
const DEPTH_OF_ALL: usize = 3;
/// Random steps; `TEEGATE_TESTS=full` takes ten times as many. After so many it begins anew, with another fleet.
const STEPS: usize = 100_000;
const EPISODE: usize = 500;

/// What came of an order of events.
enum Outcome {
    /// The last of them cannot happen there.
    Impossible,
    Agrees(Likeness),
    Disagrees(String),
}

async fn follow(cast: &Cast, order: &[Event]) -> Outcome {
    let mut world = World::new(cast);
    for event in BEGINNING.iter().chain(order) {
        match world.step(*event).await {
            None => return Outcome::Impossible,
            Some(Err(why)) => return Outcome::Disagrees(why),
            Some(Ok(())) => {}
        }
    }
    Outcome::Agrees(world.likeness())
}

fn told(order: &[Event], why: &str) -> String {
    let mut text = format!("after {} events: {why}\n", order.len());
    for (number, event) in order.iter().enumerate() {
        let _ = writeln!(text, "  {}. {event:?}", number + 1);
    }
    text
}

/// Every order of up to `depth` events; of those that lead to like states one, if they are merged. How many were followed.
async fn explore(cast: &Cast, depth: usize, is_merged: bool) -> (usize, usize) {
    let (mut orders, mut seen, mut followed) = (vec![Vec::new()], HashSet::new(), 0);
    for _ in 0..depth {
        let mut longer = Vec::new();
        for order in &orders {
            for event in EVENTS {
                let order: Vec<Event> = order.iter().copied().chain([event]).collect();
                followed += 1;
                match follow(cast, &order).await {
                    Outcome::Disagrees(why) => panic!("{}", told(&order, &why)),
                    Outcome::Agrees(likeness) if !is_merged || seen.insert(likeness.clone()) => longer.push(order),
                    Outcome::Agrees(..) | Outcome::Impossible => {}
                }
            }
        }
        orders = longer;
    }
    (followed, seen.len())
}

fn is_full() -> bool {
    std::env::var("TEEGATE_TESTS").is_ok_and(|size| size == "full")
}

#[tokio::test(start_paused = true)]
async fn no_order_of_a_few_events_lets_a_permit_write_when_the_predicate_does_not_hold() {
    let cast = Cast::new();
    let (merged, states) = explore(&cast, DEPTH + usize::from(is_full()), true).await;
    let (all, _) = explore(&cast, DEPTH_OF_ALL + usize::from(is_full()), false).await;
    assert!(
        states > 1_000 && all > 5_000,
        "{merged} orders to {states} states, {all} without merging: this explores nothing"
    );
    println!("{merged} orders to {states} states, {all} without merging");
}

/// Numbers that are the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// What is left of an order that goes wrong, when whatever may be left out is.
async fn shortened(cast: &Cast, mut order: Vec<Event>, mut why: String) -> (Vec<Event>, String) {
    let mut at = 0;
    while at < order.len() {
        let mut shorter = order.clone();
        shorter.remove(at);
        match follow(cast, &shorter).await {
            Outcome::Disagrees(other) => (order, why) = (shorter, other),
            Outcome::Agrees(..) | Outcome::Impossible => at += 1,
        }
    }
    (order, why)
}

#[tokio::test(start_paused = true)]
async fn no_order_of_many_events_lets_a_permit_write_when_the_predicate_does_not_hold() {
    let (cast, mut random) = (Cast::new(), Random(0x9e37_79b9_7f4a_7c15));
    let steps = if is_full() { STEPS * 10 } else { STEPS };
    let mut all = Counts::default();
    for _ in 0..steps / EPISODE {
        let (mut world, mut order) = (World::new(&cast), Vec::new());
        for event in BEGINNING {
            world.step(event).await.unwrap().unwrap();
        }
        while order.len() < EPISODE {
            // Every other event is a proof or a request: otherwise there is soon nothing left to withdraw.
            let among = if random.below(2) == 0 { &EVENTS[..6] } else { &EVENTS[..] };
            let event = among[random.below(among.len())];
            match world.step(event).await {
                None => {}
                Some(outcome) => {
                    order.push(event);
                    if let Err(why) = outcome {
                        let (order, why) = shortened(&cast, order, why).await;
                        panic!("{}", told(&order, &why));
                    }
                }
            }
        }
        let Counts { written, withdrawn, admitted, changed, waited, conflicts } = world.counts;
        all.written += written;
        all.withdrawn += withdrawn;
        all.admitted += admitted;
        all.changed += changed;
        all.waited += waited;
        all.conflicts += conflicts;
    }
    let Counts { written, withdrawn, admitted, changed, waited, conflicts } = all;
    let least = [written, withdrawn, admitted, changed, waited, conflicts].into_iter().min();
    assert!(least > u64::try_from(steps / 2_000).ok(), "{all:?}: this explores nothing");
}
