//! What many requests of one client leave to another.

use super::*;
use crate::hold::{Hold, HoldLimits};
use crate::testing::gateway_keeping;

/// A connection from a source of this number.
fn from(gateway: &Gateway, source: u8) -> crate::peer::Peer {
    peer_of(&gateway.budget, source)
}

#[tokio::test(start_paused = true)]
async fn however_many_wait_for_a_place_another_client_waits_one_turn() {
    let gateway = gateway();
    let (mut wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let send = |source: u8, body: &'static [u8]| {
        let (gateway, request) = (Arc::clone(&gateway), sealed(manifest.digest(), Full::new(Bytes::from_static(body))));
        tokio::spawn(async move { gateway.serve(request, &from(&gateway, source)).await })
    };
    let mut working = Vec::new();
    let mut greedy = Vec::new();
    for _ in 0..64 {
        greedy.push(send(1, b"greedy"));
        working.push(wire.arrived.recv().await.unwrap().1);
    }
    for _ in 0..100 {
        greedy.push(send(1, b"greedy"));
    }
    tokio::task::yield_now().await;
    let other = send(2, b"other");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(wire.arrived.try_recv().is_err(), "every place is taken");
    // Two of the places become free: one is the greedy client's, one the other's.
    let mut next = Vec::new();
    for mut respond in working.drain(..2) {
        answer(&mut respond, 200, b"");
        let (request, _respond) = wire.arrived.recv().await.unwrap();
        next.push(read(request.into_body()).await.unwrap());
    }
    next.sort_unstable();
    assert_eq!(next, [b"greedy".to_vec(), b"other".to_vec()]);
    drop((greedy, other));
}

#[tokio::test(start_paused = true)]
async fn slow_requests_that_are_long_leave_the_places_to_those_that_are_here() {
    let gateway = gateway_keeping(1 << 30);
    let (mut wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let instance = tokio::spawn(async move {
        let mut working = Vec::new();
        while let Some((request, mut respond)) = wire.arrived.recv().await {
            working.push(tokio::spawn(async move {
                let length = read(request.into_body()).await.map(|body| body.len()).unwrap_or(0);
                answer(&mut respond, 200, b"");
                length
            }));
        }
    });
    let mut slow = Vec::new();
    for _ in 0..200 {
        let (pieces, body) = mpsc::channel(1);
        slow.push((relay(&gateway, manifest.digest(), Announced(Slow(body), LONG)), pieces));
    }
    for (_, pieces) in &slow {
        pieces.send(Bytes::from(vec![0; window()])).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    let small = relay(&gateway, manifest.digest(), Full::new(Bytes::from_static(SEALED)));
    assert_eq!(in_time(small).await.unwrap().status(), StatusCode::OK);
    // A long one that comes fast does not wait for the slow ones either: when it is here it is here.
    let (pieces, body) = mpsc::channel(1);
    let long = relay(&gateway, manifest.digest(), Slow(body));
    pieces.send(Bytes::from(vec![0; (1 << 20) + 1])).await.unwrap();
    tokio::task::yield_now().await;
    pieces.send(Bytes::from(vec![0; 1 << 20])).await.unwrap();
    drop(pieces);
    assert_eq!(in_time(long).await.unwrap().status(), StatusCode::OK);
    assert_eq!(start.elapsed().as_secs(), 0);
    instance.abort();
}

#[tokio::test(start_paused = true)]
async fn what_one_source_keeps_here_leaves_room_for_another() {
    // Nobody is attested: requests are held, as far as there is memory.
    let gateway = gateway_keeping(3 << 20);
    let digest = ManifestDigest([1; 32]);
    let unlimited = HoldLimits { tenant_requests: 1_000, tenant_bytes: 1 << 30 };
    let gateway = Arc::new(Gateway { hold: Arc::new(Hold::new(unlimited)), ..Arc::into_inner(gateway).unwrap() });
    let body = || Full::new(Bytes::from(vec![0; 500_000]));
    let send = |source: u8| {
        let (gateway, request) = (Arc::clone(&gateway), sealed(&digest, body()));
        tokio::spawn(async move { problem_of(gateway.serve(request, &from(&gateway, source)).await).await.kind })
    };
    let start = Instant::now();
    let mut greedy: Vec<_> = (0..20).map(|_| send(1)).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let refused = greedy.extract_if(.., |sent| sent.is_finished()).collect::<Vec<_>>();
    assert!(!refused.is_empty() && !greedy.is_empty(), "{} of 20 are held", greedy.len());
    for refused in refused {
        assert_eq!(refused.await.unwrap(), ProblemKind::Busy);
    }
    assert!(gateway.budget.kept() <= gateway.budget.total());
    let other = send(2);
    assert_eq!(
        (other.await.unwrap(), start.elapsed().as_secs()),
        (ProblemKind::NoAttestedInstance, 31),
        "held to its end"
    );
    for held in greedy {
        assert_eq!(held.await.unwrap(), ProblemKind::NoAttestedInstance);
    }
    assert_eq!(gateway.budget.kept(), 0);
}
