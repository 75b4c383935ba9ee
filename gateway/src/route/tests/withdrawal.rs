//! What becomes of a request when its proof falls: nothing of it is written afterwards, and nothing of it is missing when it
//! goes out again.

use super::*;

const TEN_KIB: usize = 10 << 10;

/// A request of 10 KiB that the gateway has queued, of which the socket takes at most 1 KiB.
async fn stuck(
    fresh: Duration,
) -> (Arc<Gateway>, Wire, tokio::sync::watch::Sender<bool>, tokio::task::JoinHandle<Response<AnswerStream>>) {
    let (gateway, manifest) = (gateway(), Who::new(1).manifest(0, None));
    let (wire, tap) = Wire::connect_through_a_tap().await;
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, fresh));
    tap.send_replace(false);
    let relaying = relay(&gateway, manifest.digest(), Full::new(Bytes::from(vec![1; TEN_KIB])));
    tokio::time::sleep(Duration::from_millis(10)).await;
    let metrics = gateway.metrics.render(&[]);
    assert!(metrics.contains("\nteegate_gateway_released_bytes_total 10240\n"), "queued: {metrics}");
    (gateway, wire, tap, relaying)
}

/// Lets everything flow again: the enclave must not see the end of the request.
async fn assert_cut(mut wire: Wire, tap: &tokio::sync::watch::Sender<bool>) {
    tap.send_replace(true);
    if let Some((request, _)) = wire.arrived.recv().await {
        assert!(read(request.into_body()).await.is_err(), "the request was written to its end");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_policy_change_the_socket_gets_nothing_that_was_queued() {
    let (gateway, wire, tap, relaying) = stuck(FRESH).await;
    gateway.fleet.set_policy(any_policy(), Endorsements::new()).await;
    assert_cut(wire, &tap).await;
    let problem = problem_of(in_time(relaying).await.unwrap()).await;
    assert_eq!((problem.kind, problem.executed), (ProblemKind::PolicyChanged, Executed::Unknown));
}

#[tokio::test(start_paused = true)]
async fn after_a_rejection_the_socket_gets_nothing_that_was_queued() {
    let (gateway, wire, tap, relaying) = stuck(FRESH).await;
    let distrust = Distrust {
        checks: vec!["snp.policy.debug"],
        explanation: "debug".into(),
        failed: Arc::default(),
        tls_spki: SpkiDigest([1; 32]),
    };
    gateway.fleet.reject(&address(), &distrust, 1);
    assert_cut(wire, &tap).await;
    let problem = problem_of(in_time(relaying).await.unwrap()).await;
    assert_eq!((problem.kind, problem.executed), (ProblemKind::PolicyChanged, Executed::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_proof_that_lapses_takes_back_what_was_queued() {
    let start = Instant::now();
    let (_gateway, wire, tap, relaying) = stuck(Duration::from_secs(15)).await;
    let problem = problem_of(in_time(relaying).await.unwrap()).await;
    assert_eq!((problem.kind, problem.executed), (ProblemKind::PolicyChanged, Executed::Unknown));
    assert_eq!(start.elapsed().as_secs(), 15);
    assert_cut(wire, &tap).await;
}

#[tokio::test(start_paused = true)]
async fn a_step_of_the_clock_takes_back_what_was_queued() {
    // Back by more than is tolerated, and forward to the end of the manifest.
    for wall in [START - 61, START + 4_200] {
        let (_gateway, wire, tap, relaying) = stuck(FRESH).await;
        let start = Instant::now();
        set_wall(wall);
        let problem = problem_of(in_time(relaying).await.unwrap()).await;
        assert_eq!((problem.kind, problem.executed), (ProblemKind::PolicyChanged, Executed::Unknown));
        assert!(start.elapsed() < Duration::from_secs(3), "nothing else told of it: {:?}", start.elapsed());
        assert_cut(wire, &tap).await;
    }
    // The passing twin: a step that is tolerated.
    let (_gateway, mut wire, tap, relaying) = stuck(FRESH).await;
    set_wall(START - 59);
    tokio::time::sleep(Duration::from_secs(3)).await;
    tap.send_replace(true);
    let (request, mut respond) = wire.arrived.recv().await.unwrap();
    assert_eq!(read(request.into_body()).await.unwrap().len(), TEN_KIB);
    answer(&mut respond, 200, b"");
    assert_eq!(relaying.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_has_left_gets_its_answer_whatever_changes() {
    let (gateway, manifest) = (gateway(), Who::new(1).manifest(0, None));
    let mut wire = Wire::connect().await;
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let relaying = relay(&gateway, manifest.digest(), Full::new(Bytes::from(vec![1; TEN_KIB])));
    let (request, mut respond) = wire.arrived.recv().await.unwrap();
    assert_eq!(read(request.into_body()).await.unwrap().len(), TEN_KIB);
    let start = Instant::now();
    gateway.fleet.set_policy(any_policy(), Endorsements::new()).await;
    assert!(start.elapsed().is_zero(), "nothing had to be waited for");
    answer(&mut respond, 200, b"sealed answer");
    assert_eq!(relaying.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_request_of_which_nothing_was_sent_goes_out_whole_the_next_time() {
    let (gateway, manifest) = (gateway(), Who::new(1).manifest(0, None));
    let mut full = Wire::connect_without_window().await;
    gateway.fleet.accept(&address(), full.trusted(&manifest, 1, FRESH));
    let relaying = relay(&gateway, manifest.digest(), Full::new(Bytes::from_static(SEALED)));
    let _stream = full.arrived.recv().await.unwrap();
    gateway.fleet.set_policy(any_policy(), Endorsements::new()).await;
    let mut wire = Wire::connect().await;
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 2, FRESH));
    let (request, mut respond) = wire.arrived.recv().await.unwrap();
    assert_eq!(read(request.into_body()).await.unwrap(), SEALED, "with its first piece");
    answer(&mut respond, 200, b"");
    assert_eq!(relaying.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_until_the_proof_has_lapsed_opens_no_stream() {
    let (gateway, manifest) = (gateway(), Who::new(1).manifest(0, None));
    let mut wire = Wire::connect().await;
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, Duration::from_secs(10)));
    let mut answered = Vec::new();
    for _ in 0..64 {
        let relaying = relay(&gateway, manifest.digest(), Full::new(Bytes::from_static(SEALED)));
        answered.push((relaying, wire.arrived.recv().await.unwrap()));
    }
    let start = Instant::now();
    let late = relay(&gateway, manifest.digest(), Full::new(Bytes::from_static(SEALED)));
    tokio::time::sleep(Duration::from_secs(11)).await;
    let (first, (_, mut respond)) = answered.pop().unwrap();
    answer(&mut respond, 200, b"");
    assert_eq!(first.await.unwrap().status(), StatusCode::OK, "its answer was under way, and its place is free");
    let problem = problem_of(in_time(late).await.unwrap()).await;
    assert_eq!((problem.kind, problem.executed), (ProblemKind::NoAttestedInstance, Executed::No));
    assert_eq!(start.elapsed().as_secs(), 30, "held until its time was over");
    assert!(wire.arrived.try_recv().is_err());
    let metrics = gateway.metrics.render(&[]);
    assert!(!metrics.contains("outcome=\"deadline\"} 65"), "no room is no failure of the instance: {metrics}");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_refuses_a_stream_is_asked_again_and_not_waited_for() {
    let (gateway, manifest) = (gateway(), Who::new(1).manifest(0, None));
    let mut wire = Wire::connect_without_window().await;
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let start = Instant::now();
    let relaying = relay(&gateway, manifest.digest(), Full::new(Bytes::from_static(SEALED)));
    for _ in 0..=MOST_REFUSALS {
        let (_, mut respond) = wire.arrived.recv().await.unwrap();
        respond.send_reset(h2::Reason::REFUSED_STREAM);
    }
    let problem = problem_of(in_time(relaying).await.unwrap()).await;
    assert_eq!((problem.kind, problem.executed), (ProblemKind::NoAttestedInstance, Executed::No));
    assert_eq!(start.elapsed().as_secs(), 0, "its connection stands: nobody waits for another");
}
