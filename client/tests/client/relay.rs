//! What happens to a sealed request: answered, refused, sealed again, and never sent twice when it may have run.

use std::sync::atomic::{AtomicU64, Ordering};

use teegate_client::oip::{Tensor, TensorData};
use teegate_client::{
    AnswerError, Error, Executed, LinkError, Problem, ProblemKind, ReleaseCheck, Request, RequestError, Settings,
    SharedRuns,
};
use teegate_forge::time::{AT, DAY};
use teegate_protocol::evidence::Envelope;
use teegate_protocol::manifest::{BatchedModel, ManifestDigest, ModelDigest, ModelEntry};
use teegate_protocol::receipt::{CiphertextDigest, ReceiptKey, Release, Salt, SaltedDigest};
use teegate_verifier::UnixTime;

use crate::fake::{Act, Fake, Script, Spoil, settings};

const SECRET: &str = "0.123456789";

fn input() -> Vec<Tensor> {
    vec![Tensor { name: "x".to_owned(), shape: vec![1], data: TensorData::Fp64(vec![0.123_456_789]) }]
}

async fn infer(acts: Vec<Act>, settings: Settings) -> (Result<f32, Error>, crate::fake::Seen) {
    let script = Script::new(Fake::new(), acts);
    let client = script.connect(settings).await.unwrap();
    let answer = client.infer(&input()).await.map(|(inference, _)| match inference.outputs[0].data {
        TensorData::Fp32(ref values) => values[0],
        ref other => panic!("{other:?}"),
    });
    (answer, script.seen())
}

async fn refused(act: Act) -> AnswerError {
    let (answer, seen) = infer(vec![act], settings()).await;
    assert_eq!(seen.relayed.len(), 1, "an answer that cannot be accepted is not asked for again");
    let error = answer.unwrap_err();
    assert_eq!(error.executed(), Executed::Unknown, "{error}");
    match error {
        Error::Answer(error) => error,
        other => panic!("{other}"),
    }
}

fn no(kind: ProblemKind) -> Act {
    Act::Problem(Problem::new(kind))
}

#[tokio::test]
async fn an_answer_with_its_receipt_is_accepted_and_nothing_of_the_request_was_readable() {
    let (answer, seen) = infer(vec![], settings()).await;
    assert_eq!(answer.unwrap(), 0.5);
    assert_eq!((seen.lists, seen.relayed.len()), (1, 1));
    assert!(!String::from_utf8_lossy(&seen.every_byte).contains(SECRET));
}

#[tokio::test]
async fn what_json_has_no_word_for_goes_in_and_comes_out() {
    fn raw(response: &mut teegate_client::Response) {
        let json = r#"{"model_name":"m","outputs":[{"name":"y","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}"#;
        let raw = [f32::NAN.to_le_bytes(), f32::INFINITY.to_le_bytes()].concat();
        response.fields.push("inference-header-content-length", json.len().to_string()).unwrap();
        response.content = [json.as_bytes(), &raw].concat();
    }
    let script = Script::new(Fake::new(), [Act::Answer(Spoil::Content(raw))]);
    let client = script.connect(settings()).await.unwrap();
    let nan = Tensor { name: "x".to_owned(), shape: vec![1], data: TensorData::Fp32(vec![f32::NAN]) };
    let (inference, reply) = client.infer(&[nan]).await.unwrap();
    let TensorData::Fp32(values) = &inference.outputs[0].data else { panic!("{inference:?}") };
    assert!(values[0].is_nan() && values[1] == f32::INFINITY);
    // The request said where its JSON ends.
    let request = script.opened(&script.seen().relayed[0]);
    let json_length: usize = request.fields.get("inference-header-content-length").unwrap().parse().unwrap();
    assert_eq!(request.content[json_length..], f32::NAN.to_le_bytes());
    assert!(request.content[..json_length].ends_with(b"}") && reply.receipt.is_some());
}

#[tokio::test]
async fn at_most_two_reseals_each_after_a_fresh_verification() {
    use ProblemKind::{OhttpKey, PolicyChanged, Reseal, StaleManifest};
    for kind in [Reseal, StaleManifest, OhttpKey, PolicyChanged] {
        let (answer, seen) = infer(vec![no(kind), no(kind)], settings()).await;
        assert_eq!(answer.unwrap(), 0.5, "{}", kind.name());
        assert_eq!((seen.lists, seen.relayed.len()), (3, 3));
        assert!(seen.relayed[0] != seen.relayed[1] && seen.relayed[1] != seen.relayed[2], "sealed anew each time");

        let (answer, seen) = infer(vec![no(kind), no(kind), no(kind)], settings()).await;
        let error = answer.unwrap_err();
        assert!(matches!(&error, Error::Remote(remote) if remote.problem.as_ref().is_some_and(|p| p.kind == kind)));
        assert_eq!(seen.relayed.len(), 3, "never a fourth time");
    }
}

#[tokio::test]
async fn once_means_once() {
    let once = Settings { once: true, ..settings() };
    let (answer, seen) = infer(vec![no(ProblemKind::Reseal)], once).await;
    assert!(matches!(answer.unwrap_err(), Error::Remote(_)));
    assert_eq!(seen.relayed.len(), 1);
}

#[tokio::test]
async fn what_may_have_run_is_never_sent_again() {
    for problem in [
        Problem::new(ProblemKind::PolicyChanged).unknown_outcome(),
        Problem::new(ProblemKind::UpstreamLost),
        Problem::new(ProblemKind::Deadline).unknown_outcome(),
    ] {
        let (answer, seen) = infer(vec![Act::Problem(problem)], settings()).await;
        assert_eq!(answer.unwrap_err().executed(), Executed::Unknown);
        assert_eq!(seen.relayed.len(), 1);
    }
    let (answer, seen) = infer(vec![Act::HangUp], settings()).await;
    let error = answer.unwrap_err();
    assert!(matches!(error, Error::Relay(LinkError::Lost { .. })), "{error}");
    assert_eq!((error.executed(), seen.relayed.len()), (Executed::Unknown, 1));
}

#[tokio::test]
async fn a_sealed_replay_is_told_and_not_sent_again() {
    fn replay(response: &mut teegate_client::Response) {
        let problem = Problem::new(ProblemKind::Replay);
        response.status = problem.status();
        response.content = problem.to_json();
        response.fields.push("content-type", "application/problem+json").unwrap();
    }
    let (answer, seen) = infer(vec![Act::Answer(Spoil::Refusal(replay))], settings()).await;
    let error = answer.unwrap_err();
    assert!(matches!(&error, Error::Remote(remote) if remote.sealed), "{error}");
    assert_eq!((error.executed(), seen.relayed.len()), (Executed::Unknown, 1));
}

#[tokio::test]
async fn an_unsealed_success_is_an_error_whatever_it_calls_itself() {
    assert_eq!(refused(Act::Unsealed("application/json")).await, AnswerError::Unsealed { status: 200 });
    assert!(matches!(refused(Act::Unsealed("message/ohttp-res")).await, AnswerError::Open(_)));
    assert!(matches!(refused(Act::Altered).await, AnswerError::Open(_)));
}

#[tokio::test]
async fn a_receipt_has_to_be_there_and_to_speak_of_this_request() {
    assert_eq!(refused(Act::Answer(Spoil::NoReceipt)).await, AnswerError::NoReceipt);
    assert!(matches!(refused(Act::Answer(Spoil::OtherKey)).await, AnswerError::Receipt(_)));
    let other = |change| async move { refused(Act::Answer(Spoil::Receipt(change))).await };
    let about = |what| AnswerError::ReceiptOf { what };
    assert_eq!(other(|r| r.manifest = ManifestDigest([0; 32])).await, about("manifest"));
    assert_eq!(other(|r| r.request_id = Some("another".to_owned())).await, about("request id"));
    assert_eq!(other(|r| r.request_id = None).await, about("request id"));
    assert_eq!(other(|r| r.request = Salt::generate().unwrap().digest(b"another")).await, about("request"));
    assert_eq!(other(|r| r.output = SaltedDigest([0; 32])).await, about("output"));
    assert_eq!(other(|r| r.model = ModelDigest([0; 32])).await, about("model"));
}

/// What becomes of a release receipt that the gateway signed and somebody changed before.
async fn released(change: fn(&mut Release)) -> Result<ReleaseCheck, Error> {
    let script = Script::new(Fake::new(), [Act::Released(change)]);
    let pinned = Settings { gateway_receipt_keys: vec![script.gateway_key.public()], ..settings() };
    script.connect(pinned).await.unwrap().infer(&input()).await.map(|(_, reply)| reply.release)
}

#[tokio::test]
async fn a_release_receipt_has_to_speak_of_this_ciphertext_and_this_manifest() {
    assert!(matches!(released(|_| {}).await, Ok(ReleaseCheck::Verified(release)) if release.policy_version == 1));
    for (change, about) in [
        ((|r| r.ciphertext = CiphertextDigest::of(b"another")) as fn(&mut Release), "it is about another ciphertext"),
        (|r| r.manifest = ManifestDigest([0; 32]), "it is about another manifest"),
    ] {
        match released(change).await {
            Err(Error::Answer(AnswerError::Release { what })) => assert_eq!(what, about),
            other => panic!("{other:?}"),
        }
    }
    // Under a key that the gateway does not have, and where there is none at all.
    let script = Script::new(Fake::new(), [Act::Released(|_| {})]);
    let other = Settings { gateway_receipt_keys: vec![ReceiptKey::generate().unwrap().public()], ..settings() };
    let client = script.connect(other).await.unwrap();
    for missing in ["signature", "there is none"] {
        match client.infer(&input()).await {
            Err(Error::Answer(AnswerError::Release { what })) => assert!(what.contains(missing), "{what}"),
            other => panic!("{other:?}"),
        }
    }
    let unpinned = Script::new(Fake::new(), [Act::Released(|r| r.manifest = ManifestDigest([0; 32]))]);
    let (_, reply) = unpinned.connect(settings()).await.unwrap().infer(&input()).await.unwrap();
    assert_eq!(reply.release, ReleaseCheck::NotChecked);
}

#[tokio::test]
async fn the_enclave_may_decline() {
    fn decline(response: &mut teegate_client::Response) {
        response.status = 404;
        response.content = br#"{"error":"no such model"}"#.to_vec();
    }
    let script = Script::new(Fake::new(), [Act::Answer(Spoil::Refusal(decline))]);
    let client = script.connect(settings()).await.unwrap();
    let error = client.infer(&input()).await.unwrap_err();
    let Error::Answer(AnswerError::Declined { status: 404, message }) = &error else { panic!("{error}") };
    assert_eq!(message.as_str(), r#"{"error":"no such model"}"#);
    assert_eq!(error.to_string(), "the enclave declined (status 404)");
}

#[tokio::test]
async fn candidates_are_refused_one_by_one_until_one_is_acceptable() {
    let script = Script::new(Fake::new(), []);
    let mut tampered = script.fake.envelope();
    tampered.manifest.push(b' ');
    *script.offers.lock().unwrap() = vec![tampered.clone(), script.fake.envelope()];
    let client = script.connect(settings()).await.unwrap();
    assert_eq!(client.instance().await.unwrap().digest(), script.fake.manifest.digest());

    *script.offers.lock().unwrap() = vec![tampered.clone(), tampered];
    let Err(Error::NoCandidate { refused }) = script.connect(settings()).await else { panic!("accepted") };
    let checks: Vec<_> = refused.iter().map(|r| r.checks.clone()).collect();
    assert_eq!(checks, [["snp.guest.report-data"], ["snp.guest.report-data"]]);
    assert!(script.seen().relayed.is_empty());
}

#[tokio::test]
async fn an_instance_without_the_model_is_refused() {
    let fake = Fake::with(|manifest| manifest.models[0].name = "another".to_owned());
    let script = Script::new(fake, []);
    let Err(Error::NoCandidate { refused }) = script.connect(settings()).await else { panic!("accepted") };
    assert_eq!(refused[0].checks, ["manifest.model"]);
}

#[tokio::test]
async fn an_instance_that_joins_requests_is_refused_unless_it_is_wanted() {
    let model = Fake::new().manifest.manifest().models[0].clone();
    let named = |name: &str| vec![BatchedModel { name: name.to_owned(), version: model.version.clone(), max_rows: 8 }];
    let fake = |batching: Vec<BatchedModel>| {
        Fake::with(|manifest| {
            manifest.models.push(ModelEntry { name: "other".to_owned(), ..manifest.models[0].clone() });
            (manifest.limits.cross_tenant_batching, manifest.limits.batching) = (true, batching.clone());
        })
    };
    // Which models it joins may be left open; then it is any.
    for batching in [named(&model.name), vec![]] {
        let script = Script::new(fake(batching.clone()), []);
        let Err(Error::NoCandidate { refused }) = script.connect(settings()).await else { panic!("accepted") };
        assert_eq!(refused[0].checks, ["manifest.shared-runs"]);
        let words = refused[0].to_string();
        assert!(words.contains("may share a run with those of other callers"), "{words}");
        assert!(script.seen().relayed.is_empty());
        let wanted = Settings { shared_runs: SharedRuns::Accepted, ..settings() };
        script.connect(wanted).await.unwrap().infer(&input()).await.unwrap();
    }
    // Another model of the same instance is nobody's concern.
    Script::new(fake(named("other")), []).connect(settings()).await.unwrap().infer(&input()).await.unwrap();
}

#[tokio::test]
async fn a_model_that_nobody_serves_is_told_at_once_with_those_that_are() {
    let script = Script::new(Fake::new(), [no(ProblemKind::Reseal)]);
    let client = script.connect(settings()).await.unwrap();
    let served = "attested instances serve: breast-cancer (1), minilm (2)";
    *script.refusal.lock().unwrap() = Some(Problem::new(ProblemKind::UnknownModel).with_detail(served));
    let patient = Settings { wait: std::time::Duration::from_secs(30), ..settings() };
    let begun = std::time::Instant::now();
    let Err(error) = script.connect(patient).await else { panic!("connected") };
    assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
    let Error::NotOffered(problem) = &error else { panic!("{error}") };
    assert_eq!(problem.problem.as_ref().map(|p| p.kind), Some(ProblemKind::UnknownModel));
    assert!(error.to_string().contains(served) && !error.to_string().contains("try again"), "{error}");
    assert_eq!((error.executed(), script.seen().lists), (Executed::No, 2));
    // And when the instance at hand is gone.
    let error = client.infer(&input()).await.unwrap_err();
    let Error::NotResealed { why, .. } = &error else { panic!("{error}") };
    assert!(why.to_string().contains(served), "{error}");
}

#[tokio::test]
async fn a_request_larger_than_the_instance_opens_is_not_sent() {
    let fake = Fake::with(|manifest| manifest.limits.sealed_body_bytes = 512);
    let script = Script::new(fake, []);
    let client = script.connect(settings()).await.unwrap();
    let error = client.infer(&input()).await.unwrap_err();
    assert!(matches!(error, Error::Request(RequestError::Seal(_))), "{error}");
    assert_eq!(error.executed(), Executed::No);
    assert!(script.seen().relayed.is_empty());
}

#[tokio::test]
async fn fields_of_the_protocol_are_not_the_callers_to_set() {
    let script = Script::new(Fake::new(), []);
    let client = script.connect(settings()).await.unwrap();
    let mut request = Request::new("GET", "enclave", "/v2");
    client.send(request.clone()).await.expect("the passing twin");
    request.fields.push("teegate-request-id", "mine").unwrap();
    let error = client.send(request).await.unwrap_err();
    assert!(matches!(error, Error::Request(RequestError::Field { .. })), "{error}");
    assert_eq!(script.seen().relayed.len(), 1);
}

#[tokio::test]
async fn a_client_that_remembers_refuses_an_older_crl_or_none() {
    let script = Script::new(Fake::new(), []);
    let mut with_crl = script.fake.envelope();
    with_crl.endorsements = Some(script.fake.endorsements_with_crl());
    *script.offers.lock().unwrap() = vec![with_crl];
    let memory = script.connect(settings()).await.unwrap().memory();

    *script.offers.lock().unwrap() = vec![script.fake.envelope()];
    script.connect(settings()).await.expect("the passing twin: without a memory, no CRL is needed");
    let Err(Error::NoCandidate { refused }) = script.connect(Settings { memory, ..settings() }).await else {
        panic!("accepted")
    };
    assert_eq!(refused[0].checks, ["snp.chain.rollback"]);
}

#[tokio::test]
async fn a_reseal_without_another_instance_says_both() {
    let script = Script::new(Fake::new(), [no(ProblemKind::Reseal)]);
    let client = script.connect(settings()).await.unwrap();
    script.offers.lock().unwrap().clear();
    let error = client.infer(&input()).await.unwrap_err();
    let Error::NotResealed { problem, why } = &error else { panic!("{error}") };
    assert_eq!(problem.problem.as_ref().map(|p| p.kind), Some(ProblemKind::Reseal));
    assert!(matches!(**why, Error::NoCandidate { .. }), "{why}");
    assert_eq!((error.executed(), script.seen().relayed.len()), (Executed::No, 1));
}

#[tokio::test]
async fn a_request_that_cannot_be_sealed_does_not_put_the_instance_in_doubt() {
    let fake = Fake::with(|manifest| manifest.limits.sealed_body_bytes = 2_048);
    let script = Script::new(fake, [Act::HangUp]);
    let client = script.connect(settings()).await.unwrap();
    let large = Tensor { name: "x".to_owned(), shape: vec![10_000], data: TensorData::Uint8(vec![1; 10_000]) };
    let error = client.infer(&[large]).await.unwrap_err();
    assert!(matches!(error, Error::Request(RequestError::Seal(_))), "{error}");
    assert!(matches!(client.infer(&input()).await.unwrap_err(), Error::Relay(_)));
    assert_eq!(script.seen().lists, 1, "the instance at hand was kept");

    client.infer(&input()).await.expect("the passing twin: the script has ended");
    assert_eq!(script.seen().lists, 2, "what was sent and lost put it in doubt");
}

#[tokio::test]
async fn many_callers_ask_the_gateway_once_and_share_what_came_of_it() {
    let script = Script::new(Fake::new(), [Act::HangUp]);
    let client = script.connect(settings()).await.unwrap();
    client.infer(&input()).await.expect_err("so that no instance is at hand");
    let (a, b, c, d) = tokio::join!(client.instance(), client.instance(), client.instance(), client.instance());
    for instance in [a, b, c, d] {
        assert_eq!(instance.unwrap().digest(), script.fake.manifest.digest());
    }
    assert_eq!(script.seen().lists, 2, "one question for all four");

    let script = Script::new(Fake::new(), [Act::HangUp]);
    let client = script.connect(settings()).await.unwrap();
    client.infer(&input()).await.expect_err("so that no instance is at hand");
    let offers = std::mem::take(&mut *script.offers.lock().unwrap());
    let (a, b, c, d) = tokio::join!(client.instance(), client.instance(), client.instance(), client.instance());
    for failure in [a, b, c, d] {
        assert!(matches!(failure, Err(Error::NoCandidate { ref refused }) if refused.is_empty()), "{failure:?}");
    }
    assert_eq!(script.seen().lists, 2, "one vain question for all four");
    *script.offers.lock().unwrap() = offers;
    client.instance().await.expect("who comes later asks again");
    assert_eq!(script.seen().lists, 3);
}

#[tokio::test]
async fn an_instance_is_verified_again_when_its_evidence_has_ended_and_not_before() {
    static NOW: AtomicU64 = AtomicU64::new(AT);
    // The manifest's epoch lasts an hour, the list of revocations a minute.
    let fake = Fake::on(|_| {}, |device| device.crl_window(AT - DAY, Some(AT + 60)));
    let envelope = Envelope { endorsements: Some(fake.endorsements_with_crl()), ..fake.envelope() };
    let script = Script::new(fake, []);
    *script.offers.lock().unwrap() = vec![envelope];
    let moving = Settings { clock: || UnixTime::from_seconds(NOW.load(Ordering::SeqCst)), ..settings() };
    let client = script.connect(moving).await.unwrap();
    NOW.store(AT + 59, Ordering::SeqCst);
    client.infer(&input()).await.unwrap();
    assert_eq!(script.seen().lists, 1);
    NOW.store(AT + 60, Ordering::SeqCst);
    let refused = match client.infer(&input()).await {
        Err(Error::NoCandidate { refused }) => refused,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused[0].checks, ["snp.chain.revocation"]);
    assert_eq!((script.seen().lists, script.seen().relayed.len()), (2, 1));
}

/// Two instances that differ in their keys.
fn two() -> Vec<Fake> {
    let second = Fake::with(|manifest| manifest.instance_id = teegate_protocol::manifest::InstanceId([2; 16]));
    vec![Fake::new(), second]
}

#[tokio::test]
async fn verified_instances_take_turns_and_one_in_doubt_is_left_out() {
    let script = Script::before(two(), []);
    let client = script.connect(settings()).await.unwrap();
    for _ in 0..4 {
        client.infer(&input()).await.unwrap();
    }
    let seen = script.seen();
    let mut used = seen.targets.clone();
    used.sort();
    used.dedup();
    assert_eq!((seen.lists, used.len(), seen.targets[0] == seen.targets[2]), (1, 2, true), "{:?}", seen.targets);
    assert_ne!(seen.targets[0], seen.targets[1]);

    // One that is in doubt is not asked again, and the other takes over without a question to the gateway.
    let script = Script::before(two(), [Act::HangUp]);
    let client = script.connect(settings()).await.unwrap();
    client.infer(&input()).await.unwrap_err();
    client.infer(&input()).await.unwrap();
    client.infer(&input()).await.unwrap();
    let seen = script.seen();
    assert_eq!((seen.lists, seen.targets.len()), (1, 3));
    assert!(seen.targets[0] != seen.targets[1] && seen.targets[1] == seen.targets[2], "{:?}", seen.targets);
}

/// All were replaced while the client was idle: one that is gone says that of none of the others, and that is why they are not tried.
#[tokio::test]
async fn a_reseal_is_to_a_list_of_now_and_not_to_what_was_verified_with_the_one_that_is_gone() {
    let third = Fake::with(|manifest| manifest.instance_id = teegate_protocol::manifest::InstanceId([3; 16]));
    let script = Script::before(two().into_iter().chain([third]).collect(), [no(ProblemKind::Reseal)]);
    let fresh = script.offers.lock().unwrap().pop().unwrap();
    let client = script.connect(settings()).await.unwrap();
    let digest = ManifestDigest::of(&fresh.manifest).to_string();
    *script.offers.lock().unwrap() = vec![fresh];
    client.infer(&input()).await.unwrap();
    let seen = script.seen();
    assert_eq!((seen.lists, seen.targets.len()), (2, 2), "{:?}", seen.targets);
    assert_eq!(seen.targets[1], digest, "neither the one that is gone nor the one that was verified with it");
}

/// Only the instance itself can have sealed it, so it is there and well.
#[tokio::test]
async fn an_answer_out_of_the_seal_that_declines_leaves_the_instance_at_hand() {
    fn busy(response: &mut teegate_client::Response) {
        sealed_problem(response, &Problem::new(ProblemKind::Busy));
    }
    fn bad_request(response: &mut teegate_client::Response) {
        sealed_problem(response, &Problem::new(ProblemKind::BadRequest));
    }
    fn declined(response: &mut teegate_client::Response) {
        response.status = 400;
    }
    let spoiled = [busy, bad_request, declined].map(|change| Act::Answer(Spoil::Refusal(change)));
    let script = Script::new(Fake::new(), spoiled);
    let client = script.connect(settings()).await.unwrap();
    for _ in 0..3 {
        client.infer(&input()).await.unwrap_err();
    }
    client.infer(&input()).await.unwrap();
    assert_eq!((script.seen().lists, script.seen().relayed.len()), (1, 4));
    // The twin: the gateway says so, unsealed.
    let script = Script::new(Fake::new(), [no(ProblemKind::Busy)]);
    let client = script.connect(settings()).await.unwrap();
    client.infer(&input()).await.unwrap_err();
    client.infer(&input()).await.unwrap();
    assert_eq!((script.seen().lists, script.seen().relayed.len()), (2, 2));
}

fn sealed_problem(response: &mut teegate_client::Response, problem: &Problem) {
    response.status = problem.status();
    response.content = problem.to_json();
    response.fields.push("content-type", "application/problem+json").unwrap();
}

/// The verdict is about the moment at which it is made, and that is after the gateway handed on what it has.
#[tokio::test]
async fn evidence_that_ends_while_statements_are_fetched_is_not_sealed_to() {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let fake = Fake::with(|manifest| (manifest.use_until, manifest.not_after) = (AT + 10, AT + 610));
    let crl = fake.crl();
    let script = Script::handing_on([(teegate_protocol::evidence::EndorsementDigest::of(&crl), crl)], fake);
    // Each look at the clock is six seconds later.
    let clock = || UnixTime::from_seconds(AT + 6 * ASKED.fetch_add(1, Ordering::SeqCst));
    let error = script.connect(Settings { clock, ..settings() }).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::NoCandidate { .. }), "{error}");
}

/// Which model runs decides whether an instance is accepted that joins requests, so nothing that runs one passes by that.
#[tokio::test]
async fn what_runs_a_model_is_not_sent_by_who_wants_none() {
    let script = Script::new(Fake::new(), []);
    let client = script.connect(settings()).await.unwrap();
    let send = |method: &str, path: &str| client.send(Request::new(method, "enclave", path));
    for path in ["/v2/models/other/infer", "/v2/models/m/versions/1/infer", "/v2/models/m/infer?x"] {
        let error = send("POST", path).await.unwrap_err();
        assert!(matches!(error, Error::Request(RequestError::RunsModel)), "{path}: {error}");
        assert!(error.to_string().contains("`Client::forward`"), "{error}");
    }
    assert_eq!(script.seen().relayed.len(), 0);
    send("GET", "/v2/models/m/infer").await.unwrap();
    send("POST", "/v2/repository/index").await.unwrap();
    assert_eq!(script.seen().relayed.len(), 2);
}

#[tokio::test]
async fn an_error_says_who_is_in_the_way() {
    use teegate_client::Fault;
    let fault = |act| async { infer(vec![act], settings()).await.0.unwrap_err().fault() };
    assert_eq!(fault(no(ProblemKind::RateLimited)).await, Fault::Gateway);
    assert_eq!(fault(no(ProblemKind::NoAttestedInstance)).await, Fault::NoInstance);
    assert_eq!(fault(Act::HangUp).await, Fault::Link);
    assert_eq!(fault(Act::Altered).await, Fault::Answer);
    fn declines(response: &mut teegate_client::Response) {
        response.status = 400;
    }
    assert_eq!(fault(Act::Answer(Spoil::Refusal(declines))).await, Fault::Model);
    fn busy(response: &mut teegate_client::Response) {
        let problem = Problem::new(ProblemKind::Busy);
        response.status = problem.status();
        response.content = problem.to_json();
        response.fields.push("content-type", "application/problem+json").unwrap();
    }
    assert_eq!(fault(Act::Answer(Spoil::Refusal(busy))).await, Fault::Enclave);
    let script = Script::new(Fake::with(|manifest| manifest.models[0].name = "another".to_owned()), []);
    let Err(error) = script.connect(settings()).await else { panic!("connected") };
    assert_eq!((error.fault(), error.failed_checks()), (Fault::Policy, vec!["manifest.model"]));
    script.offers.lock().unwrap().clear();
    let Err(error) = script.connect(settings()).await else { panic!("connected") };
    assert_eq!((error.fault(), error.failed_checks()), (Fault::NoInstance, vec![]));
}
