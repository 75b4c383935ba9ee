//! Who goes for whom.

use super::*;

const NEVER: Patience =
    Patience { first: Duration::from_secs(900), idle: Duration::from_secs(900), answer: Duration::from_secs(900) };

fn places(most: usize) -> Arc<Connections> {
    Connections::new(most, NEVER, Arc::default(), Listener::Clients)
}

fn counted(connections: &Connections, line: &str) -> bool {
    let metrics = connections.metrics.render(&[]);
    metrics.lines().any(|own| own == format!("teegate_gateway_{line}"))
}

fn source(number: u8) -> Source {
    Source::V4([10, 0, 0, number])
}

/// Moves a piece, so that the connection counts as moving for a second.
fn moves(seat: &Seat) {
    seat.activity().moved(16 << 10);
}

async fn second() {
    tokio::time::advance(Duration::from_secs(1)).await;
}

/// `count` connections from `source`, one a second.
async fn seats(connections: &Arc<Connections>, number: u8, count: usize) -> Vec<Seat> {
    let mut seats = Vec::new();
    for _ in 0..count {
        seats.push(connections.enter(source(number)).expect("a place"));
        second().await;
    }
    seats
}

#[track_caller]
fn dismissed(seat: &Seat) -> bool {
    let mut dismissed = std::pin::pin!(seat.activity().dismissed());
    dismissed.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
}

fn gone(seats: &[Seat]) -> Vec<usize> {
    seats.iter().enumerate().filter(|(_, seat)| dismissed(seat)).map(|(index, _)| index).collect()
}

#[tokio::test(start_paused = true)]
async fn the_oldest_silence_makes_room() {
    let connections = places(4);
    let held = seats(&connections, 1, 4).await;
    drop(held[0].activity().begin());
    second().await;
    let _newcomer = connections.enter(source(1)).expect("room is made");
    assert_eq!(gone(&held), [1], "the first has asked something since");
    assert_eq!(connections.lock().seats.len(), 4, "its place is the newcomer's at once");
    assert!(counted(&connections, "displaced_total{listener=\"clients\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn a_poll_is_silence_and_work_is_not() {
    let connections = places(4);
    let held = seats(&connections, 1, 4).await;
    let _requests: Vec<_> = held.iter().map(|seat| seat.activity().begin()).collect();
    let _works = held[0].activity().works();
    let _waits = held[1].activity().waits();
    second().await;
    moves(&held[2]);
    let newcomer = connections.enter(source(1)).expect("room is made");
    assert_eq!(gone(&held), [3], "the only one that merely waits for something to happen");
    moves(&newcomer);
    assert!(connections.enter(source(1)).is_none(), "nobody is silent");
    second().await;
    assert!(connections.enter(source(1)).is_some(), "a moment later the pieces have stopped");
    assert_eq!(gone(&held), [2]);
}

#[tokio::test(start_paused = true)]
async fn who_holds_the_most_makes_room_first() {
    let connections = places(8);
    let light = seats(&connections, 1, 3).await;
    let heavy = seats(&connections, 2, 5).await;
    let _newcomer = connections.enter(source(3)).expect("room is made");
    assert_eq!((gone(&light), gone(&heavy)), (vec![], vec![0]), "though the light one's silence is older");
    let _own = connections.enter(source(2)).expect("at the cost of its own");
    assert_eq!((gone(&light), gone(&heavy)), (vec![], vec![1]));
    heavy.iter().for_each(moves);
    assert!(connections.enter(source(2)).is_some_and(|seat| !dismissed(&seat)));
}

#[tokio::test(start_paused = true)]
async fn the_silence_of_a_light_source_is_not_for_a_heavy_one() {
    let connections = places(8);
    let light = seats(&connections, 1, 3).await;
    let heavy = seats(&connections, 2, 5).await;
    let _working: Vec<_> = heavy.iter().map(|seat| seat.activity().works()).collect();
    assert!(connections.enter(source(2)).is_none(), "it has nothing to give up");
    assert_eq!(gone(&light), [] as [usize; 0]);
    assert!(connections.enter(source(1)).is_some(), "a light source has: its own silence");
    assert_eq!(gone(&light), [0]);
}

#[tokio::test(start_paused = true)]
async fn more_than_half_of_the_places_is_lent() {
    let connections = places(8);
    let heavy = seats(&connections, 1, 7).await;
    heavy.iter().for_each(moves);
    assert!(connections.enter(source(1)).is_none(), "the last eighth is kept from it");
    let first = connections.enter(source(2)).expect("and is there for another");
    moves(&first);
    let second = connections.enter(source(2)).expect("then a connection that moves goes");
    assert_eq!(gone(&heavy).len(), 1);
    let _working: Vec<_> = heavy.iter().chain([&first, &second]).map(|seat| seat.activity().works()).collect();
    assert!(connections.enter(source(3)).is_none(), "work never goes");
}

#[tokio::test(start_paused = true)]
async fn who_has_had_an_answer_goes_last_up_to_an_eighth() {
    let connections = places(16);
    let mut held = seats(&connections, 1, 8).await;
    held.extend(seats(&connections, 2, 8).await);
    for seat in &held[..3] {
        seat.activity().relayed();
    }
    let mut newcomers = Vec::new();
    for number in 0..14 {
        newcomers.push(connections.enter(source(3 + number)).expect("room is made"));
        second().await;
        drop(newcomers.last().map(|seat: &Seat| seat.activity().begin()));
    }
    let mut went = gone(&held);
    went.sort_unstable();
    let expected: Vec<usize> = [0].into_iter().chain(3..16).collect();
    assert_eq!(went, expected, "two of sixteen are kept, the latest of the three");
    assert_eq!(gone(&newcomers), [] as [usize; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_waits_for_a_place_and_not_for_ever() {
    let connections = places(2);
    let held = seats(&connections, 1, 2).await;
    let works: Vec<_> = held.iter().map(|seat| seat.activity().works()).collect();
    let start = Instant::now();
    assert!(connections.seat(source(1)).await.is_none());
    assert_eq!(start.elapsed(), PATIENCE);
    assert!(counted(&connections, "refused_total{listener=\"clients\"} 1"));
    let waiting = {
        let connections = Arc::clone(&connections);
        tokio::spawn(async move { connections.seat(source(1)).await })
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    drop((works, held));
    assert!(waiting.await.unwrap().is_some());
    assert!(start.elapsed() <= LOOK);
    assert_eq!(connections.newcomers.taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_and_those_who_leave_are_bounded() {
    let connections = places(2);
    let held = seats(&connections, 1, 2).await;
    let _works: Vec<_> = held.iter().map(|seat| seat.activity().works()).collect();
    let waiting = |number: u8| {
        let connections = Arc::clone(&connections);
        tokio::spawn(async move { connections.seat(source(number)).await.is_none() })
    };
    let mut newcomers: Vec<_> = (0..100).map(|_| waiting(1)).collect();
    newcomers.push(waiting(2));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(connections.newcomers.taken(), 43, "two thirds for one source, and one of another");
    assert_eq!(newcomers.iter().filter(|one| one.is_finished()).count(), 58, "the others are told at once");

    let connections = places(2);
    let mut told = Vec::new();
    for _ in 0..2 + LEAVING {
        told.push(connections.enter(source(1)).expect("room is made"));
    }
    assert!(connections.enter(source(1)).is_none(), "nobody else is told before one of them has gone");
    drop(told.remove(0));
    assert!(connections.enter(source(1)).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_place_belongs_to_the_source_that_a_proxy_names() {
    let connections = places(4);
    let held = seats(&connections, 1, 4).await;
    for seat in &held[..3] {
        assert!(seat.comes_from(source(2)));
    }
    let held_by = |number| connections.lock().held_by(source(number));
    assert_eq!((held_by(1), held_by(2)), (1, 3));
    let newcomer = connections.enter(source(3));
    assert_eq!((newcomer.is_some(), gone(&held)), (true, vec![0]));
    drop((held, newcomer));
    {
        let state = connections.lock();
        assert_eq!((state.seats.len(), state.sources.len(), state.leaving), (0, 0, 0));
    }

    // Who would get no place does not get one by coming through a proxy.
    let connections = places(8);
    let heavy = seats(&connections, 1, 7).await;
    let _working: Vec<_> = heavy.iter().map(|seat| seat.activity().works()).collect();
    let proxied = connections.enter(source(9)).expect("the proxy's own");
    assert!(!proxied.comes_from(source(1)));
    assert!(counted(&connections, "refused_total{listener=\"clients\"} 1"));
    drop(proxied);
    let proxied = connections.enter(source(9)).expect("its place is free");
    assert!(proxied.comes_from(source(2)));
    assert_eq!(connections.lock().leaving, 0);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_costs_a_bounded_look_however_many_places_there_are() {
    let connections = places(3 * LOOKED_AT);
    let from = |number: usize| Source::V6(u64::try_from(number).unwrap().to_be_bytes());
    let held: Vec<_> = (0..3 * LOOKED_AT).map(|number| connections.enter(from(number)).expect("a place")).collect();
    let mut newcomers = Vec::new();
    for number in 0..6 {
        second().await;
        newcomers.push(connections.enter(source(number)).expect("room is made"));
    }
    let mut thirds: Vec<_> = gone(&held).iter().map(|index| index / LOOKED_AT).collect();
    assert_eq!(thirds.len(), 6);
    thirds.dedup();
    assert_eq!(thirds, [0, 1, 2], "every part of them has its turn");
}
