//! What is published: a policy counts under its digest alone, a statement of keys under its own signature and for a while.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use teegate_client::{Gateway, LinkError, PolicyUrl, ReleaseCheck, Settings, Unpublished, receipt_keys};
use teegate_forge::time::AT;
use teegate_protocol::manifest::ReceiptPublicKey;
use teegate_protocol::published::{PolicyDigest, ReceiptKeys};
use teegate_protocol::receipt::ReceiptKey;
use teegate_verifier::UnixTime;
use tokio::net::TcpListener;

use crate::fake::{Act, Fake, Script, answer, settings};

/// Whoever answers with this, and the paths that were asked for.
async fn server(status: u16, body: Vec<u8>) -> (Gateway, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (body, kept) = (body.clone(), Arc::clone(&kept));
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                kept.lock().unwrap().push(request.uri().to_string());
                let answer: http::Response<Full<Bytes>> = answer(status, "application/toml", body.clone());
                async move { Ok::<_, std::convert::Infallible>(answer) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (gateway, asked)
}

#[tokio::test]
async fn a_policy_is_taken_under_its_digest_and_no_other_bytes_are() {
    let policy = b"schema = 1\n".to_vec();
    let (gateway, asked) = server(200, policy.clone()).await;
    let url = PolicyUrl::parse(&format!("{gateway}/v1/policy?v=1")).unwrap();
    assert_eq!(url.fetch(&PolicyDigest::of(&policy)).await.unwrap(), policy);
    assert_eq!(*asked.lock().unwrap(), ["/v1/policy?v=1"]);
    let refused = url.fetch(&PolicyDigest::of(b"another")).await.unwrap_err();
    let Unpublished::Digest { expected, found } = &refused else { panic!("{refused}") };
    assert_eq!((*expected, *found), (PolicyDigest::of(b"another"), PolicyDigest::of(&policy)));

    let (gateway, _) = server(404, policy.clone()).await;
    let missing =
        PolicyUrl::parse(&format!("{gateway}/p")).unwrap().fetch(&PolicyDigest::of(&policy)).await.unwrap_err();
    assert!(matches!(missing, Unpublished::Status(404)), "{missing}");
    let long = vec![b' '; (1 << 20) + 1];
    let (gateway, _) = server(200, long.clone()).await;
    let refused = PolicyUrl::parse(&format!("{gateway}/p")).unwrap().fetch(&PolicyDigest::of(&long)).await.unwrap_err();
    assert!(matches!(refused, Unpublished::Link(LinkError::TooLarge { limit: 1_048_576, .. })), "{refused}");
}

#[tokio::test]
async fn a_statement_of_keys_is_signed_by_the_current_one_and_not_old() {
    let key = ReceiptKey::generate().unwrap();
    let next = Some(ReceiptPublicKey([7; 32]));
    let keys = ReceiptKeys { current: key.public(), next, claimed_time: AT };
    let text = keys.sign(&key).unwrap().to_header();
    let (gateway, asked) = server(200, text.clone().into_bytes()).await;
    for now in [AT - 300, AT, AT + 3_600] {
        assert_eq!(receipt_keys(&gateway, UnixTime::from_seconds(now)).await.unwrap(), keys, "{now}");
    }
    assert_eq!(asked.lock().unwrap()[0], "/v1/receipt-keys");
    for now in [AT - 301, AT + 3_601] {
        let refused = receipt_keys(&gateway, UnixTime::from_seconds(now)).await.unwrap_err();
        assert!(matches!(refused, Unpublished::Stale { .. }), "{refused}");
    }
    let mut altered = text.into_bytes();
    altered[20] ^= 1;
    for body in [altered, b"no statement".to_vec(), vec![0xff; 10]] {
        let (gateway, _) = server(200, body).await;
        let refused = receipt_keys(&gateway, UnixTime::from_seconds(AT)).await.unwrap_err();
        assert!(matches!(refused, Unpublished::Statement(_)), "{refused}");
    }
}

/// A client that was told of the next key in time goes on when the gateway begins to sign with it.
#[tokio::test]
async fn of_several_pinned_keys_any_may_have_signed() {
    let script = Script::new(Fake::new(), [Act::Released(|_| {}), Act::Released(|_| {})]);
    let (signs, other) = (script.gateway_key.public(), ReceiptKey::generate().unwrap().public());
    let pinned = |keys: Vec<ReceiptPublicKey>| Settings { gateway_receipt_keys: keys, ..settings() };
    let client = script.connect(pinned(vec![other, signs])).await.unwrap();
    let request = br#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[0.5]}]}"#.to_vec();
    let reply = client.infer_json(request.clone()).await.unwrap();
    assert!(matches!(reply.release, ReleaseCheck::Verified(_)), "{:?}", reply.release);
    let client = script.connect(pinned(vec![other, other])).await.unwrap();
    let error = client.infer_json(request).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("the gateway's release receipt: "), "{error}");
}
