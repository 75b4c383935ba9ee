//! Answers that do not come to their end: whose doing it is, and what it costs.

use super::*;
use crate::budget::FLOOR_BYTES;
use crate::testing::gateway_keeping;

/// The floor of an account.
fn floor() -> usize {
    usize::try_from(FLOOR_BYTES).unwrap()
}

/// An instance that sends the head of its answer and `pieces` of it, but not the end.
async fn endless(wire: &mut Wire, pieces: usize) -> h2::SendStream<Bytes> {
    let (request, mut respond) = wire.arrived.recv().await.unwrap();
    read(request.into_body()).await.unwrap();
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    for _ in 0..pieces {
        stream.send_data(Bytes::from_static(&[0; 10]), false).unwrap();
    }
    stream
}

fn upstream(outcome: &str, count: u32) -> String {
    format!("teegate_gateway_upstream_total{{address=\"enclave:1\",outcome=\"{outcome}\"}} {count}\n")
}

/// An instance that answers with `length` bytes, as fast as they are taken, and that is all or not.
async fn answers(wire: &mut Wire, length: usize, is_end: bool) -> h2::SendStream<Bytes> {
    let (request, mut respond) = wire.arrived.recv().await.unwrap();
    read(request.into_body()).await.unwrap();
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    stream.send_data(Bytes::from(vec![7; length]), is_end).unwrap();
    stream
}

/// Whether an instance that has one place left would take a request of another connection now.
async fn is_free(gateway: &Arc<Gateway>, wire: &mut Wire, manifest: &ManifestDigest) -> bool {
    let next = relay(gateway, manifest, Full::new(Bytes::from_static(SEALED)));
    let arrived = tokio::time::timeout(Duration::from_secs(1), wire.arrived.recv()).await.is_ok();
    next.abort();
    arrived
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_here_leaves_with_its_head() {
    let (gateway, manifest) = (gateway(), Who::new(1).manifest(0, None));
    let mut wire = Wire::connect().await;
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let relaying = relay(&gateway, manifest.digest(), Full::new(Bytes::from_static(SEALED)));
    let (request, mut respond) = wire.arrived.recv().await.unwrap();
    assert_eq!(read(request.into_body()).await.unwrap(), SEALED);
    answer(&mut respond, 200, b"sealed answer");
    let mut body = relaying.await.unwrap().into_body();
    let mut next = async || std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut body).poll_frame(context))).await;
    let Poll::Ready(Some(Ok(frame))) = next().await else { panic!("it has to be waited for") };
    assert_eq!(frame.into_data().unwrap(), &b"sealed answer"[..]);
    assert!(matches!(next().await, Poll::Ready(None)), "its end, too");
}

#[tokio::test(start_paused = true)]
async fn an_answer_leaves_the_instance_free_whoever_does_not_read_it() {
    let (gateway, manifest) = (gateway(), Who::new(1).manifest(0, None));
    let mut wire = Wire::connect().await;
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let kept = gateway.budget.kept();
    let mut unread = Vec::new();
    for _ in 0..64 {
        let relaying = relay(&gateway, manifest.digest(), Full::new(Bytes::from_static(SEALED)));
        answers(&mut wire, 100_000, true).await;
        unread.push(relaying.await.unwrap());
    }
    assert!(gateway.budget.kept() - kept >= 64 * 100_000, "it is paid for until it is taken");
    assert!(is_free(&gateway, &mut wire, manifest.digest()).await);
    assert!(gateway.metrics.render(&[]).contains(&upstream("answered", 64)), "the instance has answered");
    for response in unread {
        assert_eq!(body_of(response).await, vec![7; 100_000]);
    }
    assert_eq!(gateway.budget.kept(), kept);
}

#[tokio::test(start_paused = true)]
async fn a_client_without_memory_that_does_not_read_does_not_keep_an_instance_busy() {
    // A connection gets at most half of the pool, and its floor.
    let (gateway, manifest) = (gateway_keeping(2 << 20), Who::new(1).manifest(0, None));
    let mut wire = Wire::connect().await;
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let relaying = relay(&gateway, manifest.digest(), Full::new(Bytes::from_static(SEALED)));
    let mut stream = answers(&mut wire, 2 << 20, false).await;
    let response = relaying.await.unwrap();
    let start = Instant::now();
    let reset = in_time(std::future::poll_fn(|context| stream.poll_reset(context))).await;
    assert_eq!(reset.unwrap(), h2::Reason::CANCEL);
    assert_eq!(start.elapsed(), PACE.window, "what there is no memory for has to be taken at a pace");
    assert!(!gateway.metrics.render(&[]).contains("upstream_total{"), "that was the client");
    let (read, broken) = taken(response).await;
    assert!(matches!(broken, Some(BrokenAnswer::NotTaken)), "{broken:?}");
    assert!((1 << 20..=(1 << 20) + floor()).contains(&read), "{read} bytes were read ahead of it");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_at_a_pace_gets_a_long_answer_and_one_that_drips_does_not() {
    let (gateway, manifest) = (gateway_keeping(2 << 20), Who::new(1).manifest(0, None));
    let mut wire = Wire::connect().await;
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    for (seconds, arrives) in [(1, true), (20, false)] {
        let relaying = relay(&gateway, manifest.digest(), Full::new(Bytes::from_static(SEALED)));
        let _stream = answers(&mut wire, 2 << 20, true).await;
        let mut body = relaying.await.unwrap().into_body();
        let (mut read, mut broken) = (0, None);
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => read += frame.data_ref().unwrap().len(),
                Err(error) => broken = Some(error),
            }
            if read < 1 << 20 {
                tokio::time::sleep(Duration::from_millis(seconds * 250)).await;
            }
        }
        assert_eq!((read == 2 << 20, broken.is_none()), (arrives, arrives), "16 KiB in {} ms", seconds * 250);
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_stalls_in_its_answer_fails() {
    let (gateway, manifest) = (gateway(), Who::new(1).manifest(0, None));
    let mut wire = Wire::connect().await;
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    for _ in 0..3 {
        let relaying = relay(&gateway, manifest.digest(), Full::new(Bytes::from_static(SEALED)));
        let _stream = endless(&mut wire, 1).await;
        let response = relaying.await.unwrap();
        assert!(matches!(response.into_body().collect().await, Err(BrokenAnswer::Deadline)));
    }
    assert!(gateway.metrics.render(&[]).contains(&upstream("answer-deadline", 3)));
    let next = relay(&gateway, manifest.digest(), Full::new(Bytes::from_static(SEALED)));
    assert_eq!(problem_of(next.await.unwrap()).await.kind, ProblemKind::Busy, "it rests");
}

#[tokio::test(start_paused = true)]
async fn an_answer_counts_when_it_is_over() {
    let (gateway, manifest) = (gateway(), Who::new(1).manifest(0, None));
    let mut wire = Wire::connect().await;
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let relaying = relay(&gateway, manifest.digest(), Full::new(Bytes::from_static(SEALED)));
    let mut stream = endless(&mut wire, 3).await;
    let response = relaying.await.unwrap();
    assert!(!gateway.metrics.render(&[]).contains(&upstream("answered", 1)), "not yet");
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(body_of(response).await.len(), 30);
    assert!(gateway.metrics.render(&[]).contains(&upstream("answered", 1)));
}
