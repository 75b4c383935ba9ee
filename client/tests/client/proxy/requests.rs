//! One request at the door: who may ask, what travels, what comes back, and what is said when nothing does.

use teegate_client::proxy::{Access, Event, ProxySettings, Token};
use teegate_client::{Error, Problem, ProblemKind, Response};
use teegate_protocol::evidence::Envelope;

use super::{Answer, CANARY, Door, INFER};
use crate::fake::{Act, Fake, Script, Spoil, settings};

fn decline(response: &mut Response) {
    response.status = 400;
    response.fields.push("content-type", "application/json").unwrap();
    response.content = format!(r#"{{"error":"no input is called {CANARY}"}}"#).into_bytes();
}

#[tokio::test]
async fn a_program_gets_the_answer_and_nothing_of_its_request_leaves_in_clear() {
    let mut door = Door::open(Script::new(Fake::new(), [])).await;
    let Event::Verified(instance) = door.hears().await else { panic!() };
    assert_eq!(instance.digest(), door.script.fake.manifest.digest());
    let answer = door
        .post(
            &format!("/v2/models/m/infer?{CANARY}=1"),
            &format!(
                "content-type: application/json; x={CANARY}\r\ncookie: {CANARY}\r\nauthorization: Bearer {CANARY}\r\nuser-agent: {CANARY}\r\n\
                 x-{CANARY}: {CANARY}\r\ninference-header-content-length: {}\r\n",
                INFER.len()
            ),
            INFER.replace("\"x\"", &format!("\"{CANARY}\"")).as_bytes(),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("\"outputs\"") && answer.body.contains("0.5"), "{}", answer.body);
    let digest = door.script.fake.manifest.digest().to_string();
    assert_eq!(
        (answer.header("teegate-manifest"), answer.header("teegate-bound-to")),
        (Some(&*digest), Some("workload"))
    );
    assert!(answer.header("teegate-receipt").is_some() && answer.header("teegate-receipt-salt").is_some());

    let seen = door.script.seen();
    assert!(!String::from_utf8_lossy(&seen.every_byte).contains(CANARY), "the gateway saw it");
    // Inside, there is what a model needs and nothing else.
    let inside = door.script.opened(&seen.relayed[0]);
    let names: Vec<_> = inside.fields.iter().map(|field| field.name().to_owned()).collect();
    let own = ["teegate-manifest", "teegate-request-id", "teegate-model-sha256"];
    assert_eq!(names, [&["content-type", "inference-header-content-length"][..], &own].concat());
    assert_eq!((inside.method.as_str(), inside.path.as_str()), ("POST", "/v2/models/m/versions/1/infer"));
    assert!(String::from_utf8_lossy(&inside.content).contains(CANARY), "and the body came there");
}

#[tokio::test]
async fn questions_of_any_kind_go_sealed_to_whoever_is_verified() {
    let door = Door::open(Script::new(Fake::new(), [])).await;
    for (method, path, inside) in [
        ("GET", "/v2", "GET /v2"),
        ("GET", "/v2/health/live", "GET /v2/health/live"),
        ("HEAD", "/v2/health/ready", "GET /v2/health/ready"),
        ("GET", "/v2/models/m", "GET /v2/models/m"),
        ("GET", "/v2/models/m/versions/1/ready?x=1", "GET /v2/models/m/versions/1/ready"),
        ("GET", "/v2/models/%6d/config", "GET /v2/models/m/config"),
        ("POST", "/v2/repository/index", "POST /v2/repository/index"),
        ("DELETE", "/anything/else", "DELETE /anything/else"),
    ] {
        let answer = door.ask(&format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n")).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        assert_eq!(answer.body.is_empty(), method == "HEAD");
        let opened = door.script.opened(door.script.seen().relayed.last().unwrap());
        assert_eq!(format!("{} {}", opened.method, opened.path), inside);
    }
    assert_eq!(door.script.seen().lists, 3, "one question for any instance, one for the model, one for its version");
}

#[tokio::test]
async fn what_the_model_says_comes_as_it_is_whatever_its_status() {
    let door = Door::open(Script::new(Fake::new(), [Act::Answer(Spoil::Refusal(decline))])).await;
    let answer = door.infer(INFER).await;
    assert_eq!((answer.status, answer.error()), (400, format!("no input is called {CANARY}")));
    assert!(answer.header("teegate-executed").is_none(), "it is the model's own");
    assert!(answer.header("teegate-manifest").is_some());
}

#[tokio::test]
async fn who_may_not_ask_is_told_before_anything_is_read_or_sent() {
    let token = "0123456789abcdef0123456789abcdef";
    let access = Access {
        origins: vec!["http://localhost:3000".to_owned()],
        token: Some(Token::parse(token.as_bytes()).unwrap()),
        ..Access::default()
    };
    let door = Door::with(Script::new(Fake::new(), []), ProxySettings { access, ..Default::default() }, settings());
    let door = door.await.unwrap();
    let shown = format!("authorization: Bearer {token}\r\n");
    for (host, headers, status, told) in [
        ("rebound.example", &*shown, 421, "`Host` has to be `localhost`"),
        ("localhost", &format!("{shown}origin: https://evil.example\r\n"), 403, "--allow-origin"),
        ("localhost", &format!("{shown}sec-fetch-site: cross-site\r\n"), 403, "browser"),
        ("localhost", "", 401, "--token-file"),
        ("localhost", "authorization: Bearer 0123456789abcdef0123456789abcdeF\r\n", 401, "token"),
    ] {
        for path in ["/v2", "/v2/models/m/infer"] {
            let answer = door.ask(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{headers}")).await;
            assert_eq!(answer.status, status, "{host} {headers}: {}", answer.body);
            assert!(answer.error().contains(told), "{}", answer.body);
        }
    }
    assert_eq!(door.relayed(), 0);
    // A probe shows no token, and must be no page either.
    assert_eq!(door.get("/livez").await.status, 200);
    assert_eq!(door.get("/readyz").await.status, 200);
    assert_eq!(door.ask("GET /readyz HTTP/1.1\r\nhost: rebound.example\r\n").await.status, 421);

    let page = "origin: http://localhost:3000\r\nsec-fetch-site: same-site\r\n";
    let answer = door.ask(&format!("GET /v2 HTTP/1.1\r\nhost: localhost\r\n{shown}{page}")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("http://localhost:3000")));
    let preflight = format!("OPTIONS /v2 HTTP/1.1\r\nhost: localhost\r\n{page}access-control-request-method: POST\r\n");
    let answer = door.ask(&preflight).await;
    assert_eq!((answer.status, &*answer.body), (204, ""));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("authorization"));
    let evil = preflight.replace("http://localhost:3000", "http://localhost:3001");
    assert_eq!(door.ask(&evil).await.status, 403);
    let answer = door.ask(&format!("GET /v2 HTTP/1.1\r\nhost: localhost\r\n{shown}")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
    assert_eq!(door.relayed(), 2);
}

/// What becomes of one inference, and how often something was sent for it.
async fn failed(act: Act) -> (Answer, usize) {
    let door = Door::open(Script::new(Fake::new(), [act])).await;
    let answer = door.infer(INFER).await;
    let relayed = door.relayed();
    assert_eq!(door.infer(INFER).await.status, 200, "the next one is served");
    (answer, relayed)
}

#[tokio::test]
async fn every_failure_says_in_the_protocols_words_what_is_known_of_the_request() {
    fn replay(response: &mut Response) {
        let problem = Problem::new(ProblemKind::Replay).with_detail(CANARY);
        response.status = problem.status();
        response.content = problem.to_json();
        response.fields.push("content-type", "application/problem+json").unwrap();
    }
    fn busy(response: &mut Response) {
        let problem = Problem::new(ProblemKind::Busy);
        response.status = problem.status();
        response.content = problem.to_json();
        response.fields.push("content-type", "application/problem+json").unwrap();
    }
    let problem = |kind| Act::Problem(Problem::new(kind));
    for (act, status, executed, retry, told) in [
        (Act::HangUp, 502, "unknown", None, "whether the request was executed is unknown"),
        (Act::Unsealed("application/json"), 502, "unknown", None, "unsealed success"),
        (Act::Altered, 502, "unknown", None, "unknown"),
        (Act::Answer(Spoil::NoReceipt), 502, "unknown", None, "no execution receipt"),
        (Act::Answer(Spoil::OtherKey), 502, "unknown", None, "receipt"),
        (Act::Answer(Spoil::Refusal(replay)), 502, "unknown", None, CANARY),
        (problem(ProblemKind::UpstreamLost), 502, "unknown", None, "whether it was executed is unknown"),
        (Act::Problem(Problem::new(ProblemKind::Deadline).unknown_outcome()), 504, "unknown", None, "deadline"),
        (problem(ProblemKind::NoAttestedInstance), 503, "unknown", Some("3"), "not executed"),
        (Act::Problem(Problem::new(ProblemKind::Busy).with_retry_after(7)), 503, "unknown", Some("7"), "busy"),
        (
            Act::Problem(Problem::new(ProblemKind::RateLimited).with_retry_after(9)),
            429,
            "unknown",
            Some("9"),
            "too many",
        ),
        (problem(ProblemKind::TooLarge), 413, "unknown", None, "too large"),
        (problem(ProblemKind::Forbidden), 502, "unknown", None, "not permitted"),
        // Out of the seal it is the enclave that says so.
        (Act::Answer(Spoil::Refusal(busy)), 503, "no", Some("3"), "the enclave, sealed: busy"),
    ] {
        let (answer, relayed) = failed(act).await;
        let error = answer.error();
        assert_eq!((answer.status, relayed), (status, 1), "{error}");
        assert!(error.contains(told), "{told}: {error}");
        assert_eq!(answer.header("teegate-executed"), Some(executed), "{error}");
        assert_eq!(answer.header("retry-after"), retry, "{error}");
    }
    // Sealed anew, to whom it verified anew: the program notices nothing.
    let door = Door::open(Script::new(Fake::new(), [problem(ProblemKind::Reseal)])).await;
    assert_eq!(door.infer(INFER).await.status, 200);
    assert_eq!(door.relayed(), 2);
}

#[tokio::test]
async fn where_nobody_can_be_verified_nothing_is_sent_and_the_reason_is_told() {
    let mut door = Door::open(Script::new(Fake::new(), [])).await;
    assert!(matches!(door.hears().await, Event::Verified(_)));
    let refuse = |problem| *door.script.refusal.lock().unwrap() = Some(problem);
    refuse(Problem::new(ProblemKind::UnknownModel).with_detail("they serve `m`"));
    let answer = door.post("/v2/models/other/infer", "", INFER.as_bytes()).await;
    assert_eq!(answer.status, 404);
    assert!(answer.error().contains("they serve `m`") && answer.error().contains("nothing of the request was sent"));
    refuse(Problem::new(ProblemKind::EvidenceRejected).with_checks(["snp.guest.measurement"]));
    let answer = door.infer(INFER).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("3")));
    assert!(answer.error().contains("snp.guest.measurement"), "{}", answer.body);
    *door.script.refusal.lock().unwrap() = None;

    // What can be no name is asked of nobody.
    let lists = door.script.seen().lists;
    for path in [
        "/v2/models/%C3%BC",
        "/v2/models/a%2Fb/ready",
        "/v2/models/m/versions//infer",
        &format!("/v2/models/{}", "m".repeat(129)),
    ] {
        let answer = door.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.error().contains("nor can be; nothing was sent"), "{}", answer.body);
    }
    assert_eq!(door.script.seen().lists, lists);

    // No model of that version; nobody at all; and somebody whom this policy refuses.
    let answer = door.post("/v2/models/m/versions/2/infer", "", INFER.as_bytes()).await;
    assert_eq!(answer.status, 404);
    assert!(answer.error().contains("in version `2`"), "{}", answer.body);
    let offers = std::mem::take(&mut *door.script.offers.lock().unwrap());
    let answer = door.infer(INFER).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("3")));
    assert!(answer.error().contains("offers no instance"), "{}", answer.body);
    let other: Envelope = Fake::on(|_| {}, |device| device.measurement([0x66; 48])).envelope();
    *door.script.offers.lock().unwrap() = vec![other];
    let answer = door.infer(INFER).await;
    assert_eq!((answer.status, answer.header("teegate-executed")), (403, Some("no")));
    assert!(answer.error().contains("refused: ") && answer.error().contains("nothing was sealed"), "{}", answer.body);
    assert_eq!(door.relayed(), 0);

    *door.script.offers.lock().unwrap() = offers;
    assert_eq!(door.infer(INFER).await.status, 200);
}

#[tokio::test]
async fn a_policy_that_refuses_everybody_opens_no_door() {
    let script = Script::new(Fake::new(), []);
    *script.offers.lock().unwrap() = vec![Fake::on(|_| {}, |device| device.measurement([0x66; 48])).envelope()];
    let error = Door::with(script, ProxySettings::default(), settings()).await.map(drop).unwrap_err();
    assert!(matches!(&error, Error::NoCandidate { refused } if !refused[0].checks.is_empty()), "{error}");
}

#[tokio::test]
async fn only_models_that_are_named_are_served() {
    let proxy = ProxySettings { models: vec!["m".to_owned()], ..Default::default() };
    let door = Door::with(Script::new(Fake::new(), []), proxy, settings()).await.unwrap();
    assert_eq!(door.infer(INFER).await.status, 200);
    for path in ["/v2/models/other/infer", "/v2/models/other", "/v2/models/m2/versions/1/infer"] {
        let answer = door.post(path, "", b"").await;
        assert_eq!(answer.status, 404);
        assert!(answer.error().contains("this door serves `m`, and no other model; nothing was sent"));
    }
    assert_eq!(door.relayed(), 1);
    assert_eq!(door.get("/v2/health/live").await.status, 200);

    let proxy = ProxySettings { models: vec!["m".to_owned(), "other".to_owned()], ..Default::default() };
    let error = Door::with(Script::new(Fake::new(), []), proxy, settings()).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("does not name the model `other`"), "{error}");
}

/// One program asks for one model and another for another: to who judges it is one gateway.
#[tokio::test]
async fn what_was_seen_for_one_model_is_refused_for_all_when_it_comes_back_older() {
    let fake = Fake::with(|manifest| {
        let other = teegate_protocol::manifest::ModelEntry { name: "n".to_owned(), ..manifest.models[0].clone() };
        manifest.models.push(other);
    });
    let door = Door::open(Script::new(fake, [])).await;
    let infer = async |model: &str| door.post(&format!("/v2/models/{model}/infer"), "", INFER.as_bytes()).await;
    let plain = door.script.fake.envelope();
    let with_list = Envelope { endorsements: Some(door.script.fake.endorsements_with_crl()), ..plain.clone() };
    // Known before, and in doubt, so that it is asked for again; nobody has seen a list, so none is missed.
    door.script.act_next(Act::Unsealed("application/json"));
    assert_eq!(infer("n").await.status, 502);
    assert_eq!(infer("n").await.status, 200);
    door.script.act_next(Act::Unsealed("application/json"));
    assert_eq!(infer("n").await.status, 502);
    *door.script.offers.lock().unwrap() = vec![with_list];
    assert_eq!(infer("m").await.status, 200);
    *door.script.offers.lock().unwrap() = vec![plain];
    let answer = infer("n").await;
    assert_eq!((answer.status, answer.header("teegate-executed")), (403, Some("no")));
    assert!(answer.error().contains("snp.chain.rollback"), "{}", answer.body);
}

#[tokio::test]
async fn why_it_is_not_ready_is_told_to_who_has_the_token() {
    let access = Access { token: Some(Token::parse(b"0123456789abcdef").unwrap()), ..Access::default() };
    let mut door = Door::with(Script::new(Fake::new(), []), ProxySettings { access, ..Default::default() }, settings())
        .await
        .unwrap();
    assert!(matches!(door.hears().await, Event::Verified(_)));
    assert_eq!(door.get("/readyz").await.status, 200);
    let credential = "authorization: Bearer 0123456789abcdef\r\n";
    assert_eq!(door.post("/v2/models/m/infer", credential, INFER.as_bytes()).await.status, 200);
    *door.script.offers.lock().unwrap() = vec![Fake::on(|_| {}, |device| device.measurement([0x66; 48])).envelope()];
    // What was lost puts all in doubt, and they are verified anew.
    door.script.act_next(Act::HangUp);
    assert_eq!(door.post("/v2/models/m/infer", credential, INFER.as_bytes()).await.status, 502);
    assert!(matches!(door.hears().await, Event::Lost(_)));
    let answer = door.get("/readyz").await;
    assert_eq!((answer.status, answer.error().as_str()), (503, "nobody is verified; why is told to who has the token"));
    let answer = door.ask(&format!("GET /readyz HTTP/1.1\r\nhost: localhost\r\n{credential}")).await;
    assert!(answer.status == 503 && answer.error().contains("refused: "), "{}", answer.body);
}
