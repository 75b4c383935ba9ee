//! Whom clients are offered, and by which address an instance is reached.

use super::*;
use crate::balance::load::Reading;
use crate::fleet::Fleet;
use crate::release::{Admission, Refusal, Release, admit};

fn reading(fleet: &Fleet, address: &crate::config::Address) -> Reading {
    fleet.read().routes[address].load().reading()
}

/// Two instances, attested and offered.
async fn two_instances() -> (Arc<Gateway>, Vec<Wire>, [ManifestDigest; 2]) {
    let (gateway, addresses) = two_addresses();
    let (mut wires, manifests) = (Vec::new(), [Who::new(1).manifest(0, None), Who::new(2).manifest(0, None)]);
    for (address, manifest) in addresses.iter().zip(&manifests) {
        let wire = Wire::connect().await;
        gateway.fleet.accept(address, wire.trusted(manifest, 1, FRESH));
        gateway.fleet.accept_offer(address, offer(manifest, 1));
        wires.push(wire);
    }
    let digests = manifests.map(|manifest| *manifest.digest());
    (gateway, wires, digests)
}

fn offered(gateway: &Gateway) -> Vec<ManifestDigest> {
    gateway.fleet.offered(None).iter().map(|offer| *offer.once().manifest().digest()).collect()
}

#[track_caller]
fn released(gateway: &Gateway, manifest: &ManifestDigest) -> Release {
    match admit(&gateway.fleet, manifest) {
        Admission::Release(release) => release,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_instance_answers_is_measured_and_a_refusal_is_not_speed() {
    let gateway = gateway();
    let (mut wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    for (status, micros, has_failed) in
        [(200, Some(2_000_000), false), (503, Some(2_000_000), true), (200, Some(2_000_000), false)]
    {
        let relaying = relay(&gateway, manifest.digest(), Full::new(Bytes::from_static(SEALED)));
        let (request, mut respond) = wire.arrived.recv().await.unwrap();
        assert_eq!(read(request.into_body()).await.unwrap(), SEALED);
        assert_eq!(reading(&gateway.fleet, &address()).in_flight, 1);
        tokio::time::sleep(Duration::from_secs(2)).await;
        answer(&mut respond, status, b"");
        body_of(relaying.await.unwrap()).await;
        let measured = reading(&gateway.fleet, &address());
        assert_eq!((measured.in_flight, measured.failed_at.is_some()), (0, has_failed), "{status}");
        assert_eq!(measured.micros, micros, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_slowly_makes_no_instance_look_slow() {
    let gateway = gateway();
    let (mut wire, manifest) = (Wire::connect().await, Who::new(1).manifest(0, None));
    gateway.fleet.accept(&address(), wire.trusted(&manifest, 1, FRESH));
    let (pieces, body) = mpsc::channel(4);
    let request = {
        let mut request = sealed(manifest.digest(), Slow(body));
        request.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(LONG));
        request
    };
    let relaying = {
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move { serve(&gateway, request).await })
    };
    let piece = Bytes::from(vec![7; window()]);
    let enclave = tokio::spawn(async move {
        let (request, mut respond) = wire.arrived.recv().await.unwrap();
        read(request.into_body()).await.unwrap();
        answer(&mut respond, 200, b"");
        wire
    });
    for _ in 0..LONG / PACE.window_bytes {
        tokio::time::sleep(Duration::from_secs(1)).await;
        pieces.send(piece.clone()).await.unwrap();
    }
    drop(pieces);
    assert_eq!(relaying.await.unwrap().status(), StatusCode::OK);
    let micros = reading(&gateway.fleet, &address()).micros.unwrap();
    assert!(micros < 1_000_000, "{micros}: it took half a minute to come");
    drop(enclave.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_reached_by_its_less_loaded_address_that_has_not_failed() {
    let (gateway, [one, two]) = two_addresses();
    let manifest = Who::new(1).manifest(0, None);
    let mut wires = Vec::new();
    for address in [&one, &two] {
        let wire = Wire::connect().await;
        gateway.fleet.accept(address, wire.trusted(&manifest, 1, FRESH));
        wires.push(wire);
    }
    let mut releases: Vec<Release> = (0..6).map(|_| released(&gateway, manifest.digest())).collect();
    assert_eq!((reading(&gateway.fleet, &one).in_flight, reading(&gateway.fleet, &two).in_flight), (3, 3));
    releases.retain(|release| release.address == one);
    assert_eq!(released(&gateway, manifest.digest()).address, two);
    // The second one is idle and has failed.
    let trip = released(&gateway, manifest.digest()).trip.unwrap();
    trip.failed(Instant::now());
    drop(trip);
    for _ in 0..8 {
        assert_eq!(released(&gateway, manifest.digest()).address, one);
    }
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(released(&gateway, manifest.digest()).address, two, "it returns after a time");
    drop(releases);
    // Another instance at the address is measured anew.
    let other = Who::new(2).manifest(0, None);
    gateway.fleet.accept(&two, wires[1].trusted(&other, 1, FRESH));
    assert_eq!(reading(&gateway.fleet, &two), Reading::default());
}

#[tokio::test(start_paused = true)]
async fn who_rests_is_not_offered_while_another_is_there_and_does_not_count_as_free() {
    let (gateway, _wires, [one, two]) = two_instances().await;
    let rest = |manifest: &ManifestDigest| {
        for _ in 0..3 {
            released(&gateway, manifest).trial.unwrap().failed(Instant::now());
        }
    };
    assert_eq!(offered(&gateway).len(), 2);
    rest(&one);
    assert_eq!(offered(&gateway), [two]);
    assert!(matches!(admit(&gateway.fleet, &one), Admission::Refuse(Refusal::Reseal)));
    rest(&two);
    assert_eq!(offered(&gateway).len(), 2, "better these than nobody");
    assert!(matches!(admit(&gateway.fleet, &one), Admission::Refuse(Refusal::Resting(_))), "there is nowhere else");
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(offered(&gateway).len(), 2);
    released(&gateway, &one);
}

#[tokio::test(start_paused = true)]
async fn an_outlier_is_left_out_of_offers_for_a_time_and_not_refused() {
    let (gateway, _wires, [one, two]) = two_instances().await;
    let fail = |manifest: &ManifestDigest| {
        for _ in 0..5 {
            released(&gateway, manifest).trip.unwrap().failed(Instant::now());
        }
    };
    fail(&one);
    assert_eq!(offered(&gateway), [two]);
    released(&gateway, &one);
    fail(&two);
    assert_eq!(offered(&gateway), [two], "at most half of them, and never the last");
    let counted = "teegate_gateway_outlier_total{reason=\"failures\"} 1\n";
    assert!(gateway.metrics.render(&[]).contains(counted));
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(offered(&gateway), [one], "it is measured anew, and now it is the other's turn");
}
