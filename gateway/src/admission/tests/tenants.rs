//! Whose request it is, and what he sees and reaches.

use super::*;
use crate::release::{Admission, Withdrawn, admit_for};

/// A client's own challenge, to whom it says.
fn challenge(wanted: &str, fields: &str) -> String {
    request(&format!("GET /v1/challenge?nonce={}&{wanted}", "A".repeat(43)), fields, "")
}

#[tokio::test]
async fn whoever_shows_no_credential_that_counts_gets_nothing() {
    let mut stage = Stage::new(Folder::new().gatekeeper(&two_tenants(""))).await;
    let listening = stage.listen(None).await;
    let field = |token: &str| bearer(token);
    for (what, fields, said) in [
        ("nothing", String::new(), "this gateway asks for a credential"),
        ("an unknown token", field("token-of-tenant-c"), "not one that this gateway admits"),
        ("a token too much", field(TOKEN_OF_A) + &field(TOKEN_OF_B), "expected one header field"),
        ("the same token twice", field(TOKEN_OF_A) + &field(TOKEN_OF_A), "expected one header field"),
        ("two tokens in one field", field(&format!("{TOKEN_OF_A}, Bearer {TOKEN_OF_B}")), "not one that"),
        ("its digest", field(&hex::encode(digest(&SHA256, TOKEN_OF_A.as_bytes()))), "not one that"),
        ("a longer token", field(&format!("{TOKEN_OF_A}a")), "not one that"),
        ("another case", field(&TOKEN_OF_A.to_uppercase()), "not one that"),
        ("another scheme", format!("authorization: Basic {TOKEN_OF_A}\r\n"), "expected `authorization: bearer …`"),
        ("another field", format!("x-authorization: Bearer {TOKEN_OF_A}\r\n"), "asks for a credential"),
        ("a field for proxies", format!("proxy-authorization: Bearer {TOKEN_OF_A}\r\n"), "asks for a credential"),
        ("a cookie", format!("cookie: token={TOKEN_OF_A}\r\n"), "asks for a credential"),
    ] {
        let endorsement = request(&format!("GET /v1/endorsements/{}", "0".repeat(64)), &fields, "");
        let challenge = challenge(&format!("manifest={}", stage.manifests[0]), &fields);
        for request in [list(&fields), relay(&stage.manifests[0], &fields), endorsement, challenge] {
            let answer = ask(&listening, &request).await;
            assert_eq!(answer.status, 401, "{what}: {answer:?}");
            assert!(answer.head.contains("\r\nwww-authenticate: bearer realm=\"teegate\"\r\n"), "{what}: {answer:?}");
            assert!(answer.body.to_lowercase().contains(said), "{what}: {answer:?}");
            assert!(
                answer.body.contains("urn:teegate:problem:unauthorised") && answer.body.contains("\"executed\":\"no\"")
            );
            assert!(!answer.body.contains(TOKEN_OF_A), "{what}: {answer:?}");
        }
    }
    // A token in the query is not a credential, and no query of ours.
    let query = request(&format!("GET {INSTANCES_PATH}?access_token={TOKEN_OF_A}"), "", "");
    assert_eq!(ask(&listening, &query).await.status, 401);
    assert!(stage.wires[0].arrived.try_recv().is_err(), "nothing reached the instance");
    // The passing twins: whoever has a token, in any case of the words around it; and health, which nobody needs one for.
    for fields in [field(TOKEN_OF_A), format!("AUTHORIZATION: bearer {TOKEN_OF_A}\r\n")] {
        assert_eq!(ask(&listening, &list(&fields)).await.status, 200);
    }
    assert_eq!(ask(&listening, &request("GET /healthz", "", "")).await.status, 200);
    assert_eq!(ask(&listening, &request("GET /readyz", "", "")).await.status, 200);
}

#[tokio::test]
async fn nothing_that_a_client_says_beside_its_request_reaches_an_instance() {
    let mut stage = Stage::new(Folder::new().gatekeeper(&two_tenants(""))).await;
    let listening = stage.listen(None).await;
    let more = "cookie: session=of-the-client\r\nx-forwarded-for: 10.1.2.3\r\nforwarded: for=10.1.2.3\r\nuser-agent: of-the-client\r\n\
                traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nx-teegate-tenant: b\r\nteegate-nonce: of-the-client\r\n";
    let request = relay(&stage.manifests[0], &format!("{}{more}", bearer(TOKEN_OF_A)));
    let asking = tokio::spawn(async move { ask(&listening, &request).await });
    let (arrived, mut respond) = in_time(stage.wires[0].arrived.recv()).await.unwrap();
    assert_eq!(
        (arrived.method().as_str(), arrived.uri().to_string().as_str()),
        ("POST", "https://enclave.invalid/ohttp")
    );
    let mut names: Vec<_> =
        arrived.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    names.sort_unstable();
    assert_eq!(names, [("content-length", "6"), ("content-type", OHTTP_REQUEST)]);
    // The passing twin: what it is asked for comes, and its answer goes back.
    let head = http::Response::builder().status(200).header("content-type", "message/ohttp-res").body(()).unwrap();
    respond.send_response(head, false).unwrap().send_data("answer".into(), true).unwrap();
    let answer = in_time(asking).await.unwrap();
    assert!(answer.status == 200 && answer.head.contains("\r\ncontent-type: message/ohttp-res\r\n"), "{answer:?}");
}

#[tokio::test]
async fn a_connection_has_no_tenant_and_every_request_its_own() {
    let stage = Stage::new(Folder::new().gatekeeper(&two_tenants(""))).await;
    let listening = stage.listen(None).await;
    let mut stream = TcpStream::connect(listening.address).await.unwrap();
    for (fields, sees) in [
        (bearer(TOKEN_OF_A), Some(0)),
        (bearer(TOKEN_OF_B), Some(1)),
        (String::new(), None),
        (bearer(TOKEN_OF_A), Some(0)),
    ] {
        let answer = say(&mut stream, &list(&fields)).await;
        for (index, manifest) in stage.manifests.iter().enumerate() {
            assert_eq!(answer.body.contains(manifest), sees == Some(index), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn what_a_tenant_may_not_use_is_not_there() {
    let mut stage = Stage::new(Folder::new().gatekeeper(&two_tenants(""))).await;
    let listening = stage.listen(None).await;
    let listing = async |model: &str| {
        let line = format!("GET {INSTANCES_PATH}?model={model}");
        ask(&listening, &request(&line, &bearer(TOKEN_OF_A), "")).await
    };
    assert_eq!(listing("a").await.status, 200);
    let (there, nowhere) = (listing("b").await, listing("c").await);
    assert_eq!((there.status, nowhere.status), (404, 404));
    assert_eq!(there.body.replace("`b`", "`c`"), nowhere.body, "one answer, whether it exists or not");
    assert!(there.body.contains("they serve `a`"), "{there:?}");
    // Whoever has the digest of another's manifest is told that he may not, and nothing goes there.
    let answer = ask(&listening, &relay(&stage.manifests[1], &bearer(TOKEN_OF_A))).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(!answer.head.contains("www-authenticate"), "{answer:?}");
    // Neither does a challenge, by the words that it would get if the instance were not there.
    let of_b = format!("manifest={}", stage.manifests[1]);
    let answer = ask(&listening, &challenge(&of_b, &bearer(TOKEN_OF_A))).await;
    assert!(answer.status == 409 && answer.body.contains("stale-manifest"), "{answer:?}");
    assert_eq!(ask(&listening, &challenge("model=b", &bearer(TOKEN_OF_A))).await.status, 404);
    assert!(matches!(stage.wires[1].arrived.try_recv(), Err(tokio::sync::mpsc::error::TryRecvError::Empty)));
    let question = challenge(&of_b, &bearer(TOKEN_OF_B));
    let (answer, path) = tokio::join!(ask(&listening, &question), async {
        let (asked, _) = in_time(stage.wires[1].arrived.recv()).await.unwrap();
        asked.uri().path().to_owned()
    });
    assert_eq!((answer.status, path.as_str()), (503, "/.well-known/teegate"), "it was asked, and did not answer");
    let counted = stage.gateway.metrics_text();
    for (outcome, count) in [("stale-manifest", 1), ("unknown-model", 1), ("no-attested-instance", 1)] {
        let line = format!("teegate_gateway_challenge_total{{outcome=\"{outcome}\"}} {count}");
        assert!(counted.lines().any(|own| own == line), "{line} is not in:\n{counted}");
    }
    let unknown = ask(&listening, &relay(&"0".repeat(64), &bearer(TOKEN_OF_A))).await;
    assert!(unknown.status == 409 && unknown.body.contains("stale-manifest"), "{unknown:?}");
    // The passing twin: the same request in the name of the other.
    let manifest = stage.manifests[1].clone();
    let relayed = tokio::spawn(async move { ask(&listening, &relay(&manifest, &bearer(TOKEN_OF_B))).await });
    let (arrived, mut respond) = in_time(stage.wires[1].arrived.recv()).await.unwrap();
    assert!(arrived.headers().get("authorization").is_none(), "no credential goes on: {:?}", arrived.headers());
    respond.send_response(http::Response::new(()), true).unwrap();
    assert_eq!(relayed.await.unwrap().status, 200);
}

#[tokio::test]
async fn an_instance_is_for_who_may_use_every_model_of_it() {
    let folder = Folder::new();
    let both = two_tenants("").replace("models = ['b']", "models = ['a', 'b']");
    let gateway = admitting(gateway(), folder.gatekeeper(&both));
    let (wire, manifest) = (Wire::connect().await, serving(&Who::new(1), &["a", "b"]));
    gateway.fleet.accept(&crate::testing::address(), wire.trusted(&manifest, 1, FRESH));
    gateway.fleet.accept_offer(&crate::testing::address(), offer(&manifest, 1));
    let listening = listen(&gateway, None).await;
    let answer = ask(&listening, &list(&bearer(TOKEN_OF_A))).await;
    assert!(answer.status == 503 && answer.body.contains("no-attested-instance"), "{answer:?}");
    assert_eq!(ask(&listening, &relay(&manifest.digest().to_string(), &bearer(TOKEN_OF_A))).await.status, 403);
    assert_eq!(ask(&listening, &list(&bearer(TOKEN_OF_B))).await.status, 200, "who may use both");
}

#[tokio::test]
async fn a_reload_takes_at_once_and_a_permit_falls_with_its_permission() {
    let folder = Folder::new();
    let stage = Stage::new(folder.gatekeeper(&two_tenants(""))).await;
    let (gateway, listening) = (&stage.gateway, stage.listen(None).await);
    let members = gateway.gatekeeper.members();
    let permits: Vec<_> = members
        .iter()
        .zip(&stage.manifests)
        .map(|(member, manifest)| match admit_for(&gateway.fleet, &manifest.parse().unwrap(), member.permission()) {
            Admission::Release(release) => release.permit,
            other => panic!("{other:?}"),
        })
        .collect();
    // `a` may use something else, `b` is gone, and has no token any more.
    let only_a = "[admission]\ntokens = 'tokens'\n[[tenant]]\nname = 'a'\nmodels = ['c']\n";
    assert!(
        gateway.gatekeeper.prepare(&folder.settings(only_a)).unwrap_err().to_string().contains("line 2: the tenant")
    );
    assert_eq!(ask(&listening, &list(&bearer(TOKEN_OF_B))).await.status, 200, "what cannot be read changes nothing");
    folder.write("tokens", &format!("{} a\n", hex::encode(digest(&SHA256, TOKEN_OF_A.as_bytes()))));
    let rules = gateway.gatekeeper.prepare(&folder.settings(only_a)).unwrap();
    assert_eq!(permits[0].exercise(|| ()), Ok(()), "prepared is not in force");
    gateway.gatekeeper.take(rules);
    assert_eq!(permits.iter().map(|permit| permit.exercise(|| ())).collect::<Vec<_>>(), [Err(Withdrawn); 2]);
    assert_eq!(ask(&listening, &list(&bearer(TOKEN_OF_B))).await.status, 401);
    assert_eq!(ask(&listening, &relay(&stage.manifests[0], &bearer(TOKEN_OF_A))).await.status, 403);
    // And back again: the same tenant, who may again.
    let rules = gateway.gatekeeper.prepare(&folder.settings(&only_a.replace("'c'", "'a'"))).unwrap();
    gateway.gatekeeper.take(rules);
    assert_eq!(permits[0].exercise(|| ()), Ok(()));
}

/// Over real sockets: of a tenant that a reload takes away, what is on its way in ends there and then, what an instance works on is
/// answered, and nothing else is let in. Its neighbour notices nothing.
#[tokio::test]
async fn what_is_under_way_ends_with_its_tenant_and_the_next_is_not_let_in() {
    let folder = Folder::new();
    let mut stage = Stage::new(folder.gatekeeper(&two_tenants(""))).await;
    let listening = Arc::new(stage.listen(None).await);
    let send = |index: usize, token: &str| {
        let (listening, request) = (Arc::clone(&listening), relay(&stage.manifests[index], &bearer(token)));
        tokio::spawn(async move { ask(&listening, &request).await })
    };
    // Whole, and worked on: one of `a` and one of `b`.
    let (of_a, of_b) = (send(0, TOKEN_OF_A), send(1, TOKEN_OF_B));
    let mut at_work = Vec::new();
    for wire in &mut stage.wires {
        let (request, respond) = in_time(wire.arrived.recv()).await.unwrap();
        let mut body = request.into_body();
        while let Some(piece) = in_time(body.data()).await {
            body.flow_control().release_capacity(piece.unwrap().len()).unwrap();
        }
        at_work.push(respond);
    }
    // On its way: pieces of it have left for the instance of `b`.
    let fields = format!(
        "content-type: {OHTTP_REQUEST}\r\nteegate-manifest: {}\r\ntransfer-encoding: chunked\r\n{}",
        stage.manifests[1],
        bearer(TOKEN_OF_B)
    );
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(1 << 16));
    let mut client = TcpStream::connect(listening.address).await.unwrap();
    let head = format!("POST {RELAY_PATH} HTTP/1.1\r\nhost: gateway\r\n{fields}\r\n");
    client.write_all(format!("{head}{}", chunk.repeat(17)).as_bytes()).await.unwrap();
    let (request, _respond) = in_time(stage.wires[1].arrived.recv()).await.unwrap();
    let mut arriving = request.into_body();
    assert!(!in_time(arriving.data()).await.unwrap().unwrap().is_empty());

    folder.write("tokens", &format!("{} a\n", hex::encode(digest(&SHA256, TOKEN_OF_A.as_bytes()))));
    let only_a = "[admission]\ntokens = 'tokens'\n[[tenant]]\nname = 'a'\nmodels = ['a']\n";
    stage.gateway.gatekeeper.take(stage.gateway.gatekeeper.prepare(&folder.settings(only_a)).unwrap());

    let told = in_time(say(&mut client, "")).await;
    assert_eq!(told.status, 409, "{told:?}");
    assert!(told.body.contains("urn:teegate:problem:policy-changed"), "{told:?}");
    assert!(told.body.contains("\"executed\":\"unknown\""), "{told:?}");
    let cut = in_time(async {
        loop {
            match arriving.data().await {
                Some(Ok(piece)) => arriving.flow_control().release_capacity(piece.len()).unwrap(),
                end => return end,
            }
        }
    });
    let end = cut.await.map(|end| end.unwrap_err().reason());
    assert_eq!(end, Some(Some(h2::Reason::CANCEL)), "the instance has no whole request");
    let next = in_time(send(1, TOKEN_OF_B)).await.unwrap();
    assert_eq!(next.status, 401, "{next:?}");
    assert!(next.body.contains("urn:teegate:problem:unauthorised"), "{next:?}");
    for mut respond in at_work {
        respond.send_response(http::Response::new(()), true).unwrap();
    }
    assert_eq!(in_time(of_a).await.unwrap().status, 200);
    assert_eq!(in_time(of_b).await.unwrap().status, 200, "every byte of it had left before");
    assert!(stage.wires[1].arrived.try_recv().is_err(), "nothing else reached the instance");
}

#[tokio::test]
async fn no_log_has_a_token() {
    #[derive(Clone, Default)]
    struct Log(Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let listens = || tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    // While there is one subscriber, `tracing` asks that of whichever thread comes to an event first, and another test's has none.
    let _second = tracing::Dispatch::new(listens().with_writer(std::io::sink).finish());
    crate::journal::tests::not_alone();
    let _guard = tracing::subscriber::set_default(listens().with_writer(move || writer.clone()).finish());
    let stage = Stage::new(Folder::new().gatekeeper(&two_tenants(""))).await;
    let listening = stage.listen(None).await;
    for token in [TOKEN_OF_A, "token-of-nobody-at-all"] {
        ask(&listening, &list(&bearer(token))).await;
        ask(&listening, &relay(&stage.manifests[1], &bearer(token))).await;
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("not let in: the token is not one that this gateway admits"), "{log}");
    assert!(log.contains("tenant=\"a\" outcome=\"unauthorised\""), "{log}");
    assert!(!log.contains("token-of"), "{log}");
}

#[tokio::test]
async fn metrics_name_tenants_and_reasons_of_the_configuration_alone() {
    let stage = Stage::new(Folder::new().gatekeeper(&two_tenants(""))).await;
    let listening = stage.listen(None).await;
    ask(&listening, &relay(&stage.manifests[1], &bearer(TOKEN_OF_A))).await;
    ask(&listening, &relay(&stage.manifests[1], &bearer("token-of-nobody-at-all"))).await;
    let peer = crate::testing::peer_of(&stage.gateway.budget, 9);
    let answer = stage.gateway.serve_operator(&http::Method::GET, "/metrics", &peer);
    let text = String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    for line in [
        "teegate_gateway_relay_total{tenant=\"a\",outcome=\"unauthorised\"} 1",
        "teegate_gateway_relay_total{tenant=\"-\",outcome=\"unauthorised\"} 1",
        "teegate_gateway_denied_total{why=\"unknown\"} 1",
        "teegate_gateway_tenant_requests{tenant=\"a\"} 0",
        "teegate_gateway_tenant_bytes{tenant=\"b\"} 0",
    ] {
        assert!(text.lines().any(|own| own == line), "{line} is not in:\n{text}");
    }
    assert!(!text.contains("token-of"), "{text}");
}

#[tokio::test]
async fn a_header_of_the_proxy_protocol_from_a_stranger_is_no_request() {
    let stage = Stage::new(Folder::new().gatekeeper(&two_tenants(""))).await;
    let listening = stage.listen(None).await;
    let mut stream = TcpStream::connect(listening.address).await.unwrap();
    stream.write_all(&crate::proxy_protocol::testing::header_of("203.0.113.9".parse().unwrap())).await.unwrap();
    let answer = say(&mut stream, &list(&bearer(TOKEN_OF_A))).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(ask(&listening, &list(&bearer(TOKEN_OF_A))).await.status, 200, "the passing twin");
}

#[test]
fn what_is_wrong_in_the_configuration_is_named() {
    let folder = Folder::new();
    let tenant = "[[tenant]]\nname = 'a'\nmodels = ['*']\n";
    let tokens = "[admission]\ntokens = 'tokens'\n";
    for (text, said) in [
        (String::new(), "`admission` is missing, so that nobody would be asked for a credential"),
        ("admission = 'some'\n".into(), "expected the table `[admission]`, or `\"none\"`"),
        (format!("admission = 'none'\n{tenant}"), "lets everybody in, and `[[tenant]]` says who may"),
        (format!("[admission]\n{tenant}"), "takes nothing for a credential"),
        (format!("[admission]\ntoken = 'tokens'\n{tenant}"), "unknown field `token`"),
        (tokens.into(), "0 tenants are listed"),
        (format!("{tokens}{tenant}{tenant}"), "tenant `a` is listed twice"),
        (format!("{tokens}[[tenant]]\nname = '-'\nmodels = ['*']\n"), "tenant `-` has no name"),
        (format!("{tokens}[[tenant]]\nname = 'a b'\nmodels = ['*']\n"), "tenant `a b` has no name"),
        (format!("{tokens}[[tenant]]\nname = 'a'\n"), "missing field `models`"),
        (format!("{tokens}[[tenant]]\nname = 'a'\nmodels = []\n"), "tenant `a`: `models` lists none"),
        (format!("{tokens}[[tenant]]\nname = 'a'\nmodels = ['*', 'x']\n"), "or `\"*\"` alone"),
        (format!("{tokens}{tenant}requests_per_second = 0\n"), "`tenant.requests_per_second = 0` is out of bounds"),
        (format!("{tokens}{tenant}bytes = 1\n"), "`tenant.bytes = 1` is out of bounds: expected 1048576 to"),
        (format!("{tokens}{tenant}spiffe = ['spiffe://d/a']\n"), "which `[admission.spiffe]` has to take"),
        (format!("{tokens}{tenant}jwt = ['a']\n"), "which `[admission.jwt]` has to take"),
        (
            format!("[admission.spiffe]\nclient_ca = 'ca.pem'\ntrust_domain = 'd'\n{tenant}"),
            "takes client certificates, which needs `[tls]`",
        ),
        (
            format!(
                "[admission.jwt]\nkeys = 'k'\nalgorithms = ['HS256']\nissuer = 'i'\naudience = 'a'\ntenant_claim = 't'\n{tenant}"
            ),
            "`HS256` is no algorithm that is taken: expected some of EdDSA, ES256",
        ),
    ] {
        let error = folder.config(&text).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
    assert!(folder.config(&format!("{tokens}{tenant}")).is_ok());
    assert!(matches!(folder.settings("admission = 'none'\n"), Settings::Everybody));
    let silent = folder.config("plain_http = ' '\nadmission = 'none'\n").unwrap_err();
    assert!(silent.contains("`plain_http` says nothing"), "{silent}");
    let missing = Gatekeeper::load(&folder.settings(&format!("[admission]\ntokens = 'no-such-file'\n{tenant}")));
    let error = missing.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("cannot read `") && error.contains("no-such-file"), "{error}");
}

#[test]
fn the_example_shows_every_number_with_its_default() {
    let example = include_str!("../../../example.toml");
    for limit in config::BOUNDS {
        let key = limit.name.rsplit('.').next().unwrap();
        let shown = format!("{key} = {} ", limit.default);
        assert!(example.lines().any(|line| line.trim_start_matches("# ").starts_with(&shown)), "{shown}");
    }
}
