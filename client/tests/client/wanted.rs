//! A client for whatever stands behind a gateway, and one for a model in a named version.

use teegate_client::{AnswerError, Client, Error, Refused, Request, RequestError, Trust, Wanted};
use teegate_protocol::manifest::{ModelDigest, ModelEntry};

use crate::fake::{Act, Fake, MODEL, Script, Spoil, settings};

async fn client(script: &std::sync::Arc<Script>, wanted: Wanted) -> Client {
    let Trust { policy, endorsements, .. } = script.fake.trust();
    Client::new(script.serve().await, wanted, policy, endorsements, settings())
}

fn model(name: &str, version: Option<&str>) -> Wanted {
    Wanted::Model { name: name.to_owned(), version: version.map(str::to_owned) }
}

fn refusal(error: Error) -> Refused {
    match error {
        Error::NoCandidate { mut refused } => refused.remove(0),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn whatever_serves_can_be_asked_and_runs_no_model() {
    let script = Script::new(Fake::new(), []);
    let client = client(&script, Wanted::Any).await;
    assert!(client.at_hand().is_none(), "nobody was asked yet");
    assert_eq!(script.seen().lists, 0);
    let reply = client.send(Request::new("GET", "enclave", "/v2/health/live")).await.unwrap();
    assert_eq!(reply.response.status, 200);
    let seen = script.seen();
    assert_eq!((seen.lists, script.opened(&seen.relayed[0]).path.as_str()), (1, "/v2/health/live"));
    assert_eq!(client.at_hand().unwrap().digest(), script.fake.manifest.digest());

    let error = client.forward(Request::new("POST", "enclave", "/")).await.unwrap_err();
    assert_eq!(refusal(error).checks, ["manifest.model"]);
    assert_eq!(script.seen().relayed.len(), 1, "nothing was sealed for it");
}

#[tokio::test]
async fn the_version_that_is_named_runs_or_none() {
    let versions = ["1", "2"].map(|version| ModelEntry {
        name: MODEL.to_owned(),
        version: version.to_owned(),
        sha256: ModelDigest([3; 32]),
    });
    let script = Script::new(Fake::with(|manifest| manifest.models = versions.into()), []);
    for (version, path) in [
        (None, "/v2/models/m/versions/2/infer"),
        (Some("1"), "/v2/models/m/versions/1/infer"),
        (Some("2"), "/v2/models/m/versions/2/infer"),
    ] {
        let client = client(&script, model(MODEL, version)).await;
        let reply = client.forward(Request::new("POST", "enclave", "/whatever")).await.unwrap();
        assert!(reply.receipt.is_some());
        let opened = script.opened(script.seen().relayed.last().unwrap());
        assert_eq!(opened.path, path);
    }
    let before = script.seen().relayed.len();
    let refused = refusal(client(&script, model(MODEL, Some("3"))).await.instance().await.unwrap_err());
    assert_eq!(refused.checks, ["manifest.model"]);
    assert!(refused.reason.ends_with("does not name the model `m` in version `3`"), "{}", refused.reason);
    assert_eq!(script.seen().relayed.len(), before);
}

#[tokio::test]
async fn what_is_forwarded_comes_back_as_it_is_and_a_success_has_a_receipt() {
    fn decline(response: &mut teegate_client::Response) {
        response.status = 400;
        response.content = br#"{"error":"no"}"#.to_vec();
    }
    let script = Script::new(Fake::new(), [Act::Answer(Spoil::Refusal(decline)), Act::Answer(Spoil::NoReceipt)]);
    let client = client(&script, model(MODEL, None)).await;
    let mut request = Request::new("POST", "enclave", "/");
    request.fields.push("content-type", "application/json").unwrap();
    request.content = b"not even JSON".to_vec();
    let reply = client.forward(request.clone()).await.unwrap();
    assert_eq!((reply.response.status, &*reply.response.content), (400, &br#"{"error":"no"}"#[..]));
    assert_eq!(script.opened(&script.seen().relayed[0]).content, request.content);
    let error = client.forward(request.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Answer(AnswerError::NoReceipt)), "{error}");

    request.fields.push("teegate-manifest", "00").unwrap();
    let error = client.forward(request).await.unwrap_err();
    assert!(matches!(error, Error::Request(RequestError::Field { .. })), "{error}");
    assert_eq!(script.seen().relayed.len(), 2);
}
