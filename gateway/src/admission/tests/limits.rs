//! What a tenant has at a time, and what a greedy one leaves to another.

use bytes::Bytes;
use h2::server::SendResponse;
use http_body_util::Full;

use super::*;
use crate::testing::peer_of;

fn answer(respond: &mut SendResponse<Bytes>) {
    respond.send_response(http::Response::new(()), true).unwrap();
}

#[tokio::test]
async fn so_many_requests_at_a_time_and_the_other_tenant_is_not_asked() {
    let mut stage = Stage::new(Folder::new().gatekeeper(&two_tenants("requests = 1"))).await;
    let listening = Arc::new(stage.listen(None).await);
    let send = |index: usize, token: &str| {
        let (listening, request) = (Arc::clone(&listening), relay(&stage.manifests[index], &bearer(token)));
        tokio::spawn(async move { ask(&listening, &request).await })
    };
    let first = send(0, TOKEN_OF_A);
    let (_request, mut at_work) = in_time(stage.wires[0].arrived.recv()).await.unwrap();
    let refused = in_time(send(0, TOKEN_OF_A)).await.unwrap();
    assert!(refused.status == 503 && refused.body.contains("urn:teegate:problem:busy"), "{refused:?}");
    assert!(
        refused.head.contains("\r\nretry-after: 1\r\n") && refused.body.contains("this tenant has as many"),
        "{refused:?}"
    );
    let other = send(1, TOKEN_OF_B);
    answer(&mut in_time(stage.wires[1].arrived.recv()).await.unwrap().1);
    assert_eq!(other.await.unwrap().status, 200);
    answer(&mut at_work);
    assert_eq!(first.await.unwrap().status, 200);
    // Its place is free again when its answer has gone.
    let runs = || stage.gateway.gatekeeper.members().iter().any(|member| member.running() > 0);
    in_time(async {
        while runs() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let next = send(0, TOKEN_OF_A);
    answer(&mut in_time(stage.wires[0].arrived.recv()).await.unwrap().1);
    assert_eq!(next.await.unwrap().status, 200);
}

#[tokio::test]
async fn so_many_requests_a_second() {
    let folder = Folder::new();
    let stage = Stage::new(folder.gatekeeper(&two_tenants("requests_per_second = 1\nburst = 2"))).await;
    let listening = stage.listen(None).await;
    // A listing and a request cost one each; what is malformed does too.
    assert_eq!(ask(&listening, &list(&bearer(TOKEN_OF_A))).await.status, 200);
    assert_eq!(ask(&listening, &relay("0", &bearer(TOKEN_OF_A))).await.status, 400);
    for request in [list(&bearer(TOKEN_OF_A)), relay(&stage.manifests[0], &bearer(TOKEN_OF_A))] {
        let refused = ask(&listening, &request).await;
        assert_eq!(refused.status, 429, "{refused:?}");
        assert!(refused.body.contains("urn:teegate:problem:rate-limited"), "{refused:?}");
        assert!(refused.head.contains("\r\nretry-after: 1\r\n"), "{refused:?}");
    }
    assert_eq!(ask(&listening, &list(&bearer(TOKEN_OF_B))).await.status, 200, "the other tenant");
    assert_eq!(ask(&listening, &request("GET /healthz", "", "")).await.status, 200);
}

#[tokio::test]
async fn so_many_bytes_in_flight() {
    let mut stage = Stage::new(Folder::new().gatekeeper(&two_tenants("bytes = 1048576"))).await;
    let listening = Arc::new(stage.listen(None).await);
    let send = |index: usize, token: &str| {
        let fields = format!(
            "content-type: {OHTTP_REQUEST}\r\nteegate-manifest: {}\r\n{}",
            stage.manifests[index],
            bearer(token)
        );
        let request = request(&format!("POST {RELAY_PATH}"), &fields, &"x".repeat(1 << 20));
        let listening = Arc::clone(&listening);
        tokio::spawn(async move { ask(&listening, &request).await })
    };
    let refused = in_time(send(0, TOKEN_OF_A)).await.unwrap();
    assert!(refused.status == 503 && refused.body.contains("urn:teegate:problem:busy"), "{refused:?}");
    let other = send(1, TOKEN_OF_B);
    let (arrived, mut respond) = in_time(stage.wires[1].arrived.recv()).await.unwrap();
    let mut body = arrived.into_body();
    while let Some(piece) = body.data().await {
        body.flow_control().release_capacity(piece.unwrap().len()).unwrap();
    }
    answer(&mut respond);
    assert_eq!(other.await.unwrap().status, 200, "the same for a tenant with room");
    assert!(stage.gateway.gatekeeper.members().iter().all(|member| member.purse().spent() == 0), "all is given back");
}

#[tokio::test(start_paused = true)]
async fn however_many_requests_of_one_tenant_wait_the_other_waits_one_turn() {
    let both = two_tenants("").replace("models = ['b']", "models = ['a']");
    let mut stage = Stage::new(Folder::new().gatekeeper(&both)).await;
    let send = |token: &str| {
        let request = http::Request::post(RELAY_PATH)
            .header("content-type", OHTTP_REQUEST)
            .header("teegate-manifest", &stage.manifests[0])
            .header("authorization", format!("Bearer {token}"))
            .body(Full::new(Bytes::copy_from_slice(token.as_bytes())))
            .unwrap();
        let gateway = Arc::clone(&stage.gateway);
        // All come from one address, as behind a proxy that names none.
        tokio::spawn(async move { gateway.serve(request, &peer_of(&gateway.budget, 1)).await.status() })
    };
    let (mut greedy, mut working) = (Vec::new(), Vec::new());
    for _ in 0..64 {
        greedy.push(send(TOKEN_OF_A));
        working.push(stage.wires[0].arrived.recv().await.unwrap().1);
    }
    greedy.extend((0..100).map(|_| send(TOKEN_OF_A)));
    tokio::task::yield_now().await;
    let other = send(TOKEN_OF_B);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(stage.wires[0].arrived.try_recv().is_err(), "every place is taken");
    let mut next = Vec::new();
    for mut respond in working.drain(..2) {
        answer(&mut respond);
        let (request, respond) = stage.wires[0].arrived.recv().await.unwrap();
        next.push((request.into_body().data().await.unwrap().unwrap(), respond));
    }
    let mut bodies: Vec<_> = next.iter().map(|(body, _)| body.as_ref()).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, [TOKEN_OF_A.as_bytes(), TOKEN_OF_B.as_bytes()]);
    drop((greedy, other));
}

#[tokio::test(start_paused = true)]
async fn what_one_tenant_has_held_is_not_the_others() {
    // The hold of a test has two places for a tenant.
    let gateway = admitting(gateway(), Folder::new().gatekeeper(&two_tenants("")));
    let send = |token: &str| {
        let request = http::Request::post(RELAY_PATH)
            .header("content-type", OHTTP_REQUEST)
            .header("teegate-manifest", "0".repeat(64))
            .header("authorization", format!("Bearer {token}"))
            .body(Full::new(Bytes::from_static(b"sealed")))
            .unwrap();
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move { gateway.serve(request, &peer_of(&gateway.budget, 1)).await.status().as_u16() })
    };
    let held = [send(TOKEN_OF_A), send(TOKEN_OF_A)];
    tokio::task::yield_now().await;
    let start = tokio::time::Instant::now();
    let refused = [send(TOKEN_OF_A), send(TOKEN_OF_A)];
    for refused in refused {
        assert_eq!(refused.await.unwrap(), 503);
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "there is no room to hold it");
    assert_eq!(send(TOKEN_OF_B).await.unwrap(), 503);
    assert_eq!(start.elapsed(), Duration::from_secs(30), "it was held for its time");
    drop(held);
}
