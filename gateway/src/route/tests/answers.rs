//! Answers that do not come to their end: whose doing it is, and what it costs.

use super::*;

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

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_does_not_keep_an_instance_busy() {
    let (gateway, manifest) = (gateway(), Who::new(1).manifest(0, None));
    let mut wire = Wire::connect().await;
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let relaying = relay(&gateway, manifest.digest(), Full::new(Bytes::from_static(SEALED)));
    let mut stream = endless(&mut wire, 20).await;
    let response = relaying.await.unwrap();
    let start = Instant::now();
    let reset = std::future::poll_fn(|context| stream.poll_reset(context));
    let reset = tokio::time::timeout(Duration::from_secs(300), reset).await.expect("the stream is given back");
    assert_eq!(reset.unwrap(), h2::Reason::CANCEL);
    assert_eq!(start.elapsed().as_secs(), 60);
    assert!(!gateway.metrics.render(&[]).contains("answer-deadline"), "that was the client");
    assert!(matches!(response.into_body().collect().await, Err(BrokenAnswer::Deadline)));
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
