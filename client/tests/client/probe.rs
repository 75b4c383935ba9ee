//! What stands at an address: what is held against the connection, and how statements are fetched that only their digest names.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::PrivateKeyDer;
use teegate_client::{Ask, Error, Gateway, NotChallenged, Observer, Problem, ProblemKind, Settings, Stands, probe};
use teegate_protocol::binding::{self, Nonce};
use teegate_protocol::evidence::EndorsementDigest;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::fake::{Challenged, Fake, Script, answer, settings};

#[derive(Debug, Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// TLS with a certificate that nobody knows.
fn acceptor() -> TlsAcceptor {
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Ends TLS before whoever listens at `inner`.
async fn in_front_of(inner: String) -> Gateway {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let acceptor = acceptor();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, inner) = (acceptor.clone(), inner.clone());
            tokio::spawn(async move {
                let Ok(mut outer) = acceptor.accept(stream).await else { return };
                let mut plain = tokio::net::TcpStream::connect(inner).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut outer, &mut plain).await;
            });
        }
    });
    gateway
}

fn place(gateway: &Gateway) -> String {
    gateway.to_string().trim_start_matches("http://").to_owned()
}

/// An enclave-app that answers challenges, reached without TLS.
async fn enclave(fake: Arc<Fake>) -> Gateway {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let fake = Arc::clone(&fake);
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let fake = Arc::clone(&fake);
                async move {
                    let nonce = request.uri().query().and_then(|query| query.strip_prefix("nonce="));
                    let (status, body) = match nonce.filter(|_| request.uri().path() == "/.well-known/teegate") {
                        Some(nonce) => {
                            let nonce = nonce.parse().unwrap();
                            let data = binding::fresh(fake.manifest.digest(), &nonce);
                            (200, fake.envelope_that_binds(data, Some(nonce)).to_json().unwrap())
                        }
                        None => (404, Vec::new()),
                    };
                    Response::builder().status(status).body(Full::new(Bytes::from(body)))
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    gateway
}

#[tokio::test]
async fn the_key_of_the_connection_is_held_against_the_manifest_or_it_is_said_that_it_was_not() {
    let fake = Arc::new(Fake::new());
    let trust = fake.trust();
    let plain = enclave(Arc::clone(&fake)).await;
    let (stands, found) =
        probe(&plain, trust.policy.clone(), trust.endorsements.clone(), Ask::Fresh, &settings()).await.unwrap();
    assert_eq!((stands, found.len()), (Stands::Enclave, 1));
    assert!(found[0].verdict.is_ok(), "{:?}", found[0].verdict);
    assert_eq!(found[0].tls_key, None, "without TLS there is no key to check");

    // Somebody who ends TLS in front of it holds another key than the manifest names.
    let relay = in_front_of(place(&plain)).await;
    let (_, found) = probe(&relay, trust.policy, trust.endorsements, Ask::Fresh, &settings()).await.unwrap();
    let held = found[0].tls_key.unwrap().to_string();
    let refused = found[0].verdict.as_ref().map(drop).unwrap_err();
    assert_eq!(refused.checks, ["channel.key"]);
    assert!(refused.to_string().contains(&format!("who answered holds {held}")), "{refused}");
}

#[tokio::test]
async fn what_a_gateway_under_a_private_ca_hands_on_is_taken_too_and_what_it_does_not_is_told() {
    let fake = Fake::new();
    let crl = fake.crl();
    let script = Script::handing_on([(EndorsementDigest::of(&crl), crl)], fake);
    let gateway = in_front_of(place(&script.serve().await)).await;
    let trust = script.fake.trust_that_asks_for_a_crl();
    let notes = Arc::new(Notes::default());
    let observer: Arc<dyn Observer> = Arc::<Notes>::clone(&notes);
    let settings = Settings { observer: Some(observer), ..settings() };
    let (stands, found) =
        probe(&gateway, trust.policy.clone(), trust.endorsements.clone(), Ask::Fresh, &settings).await.unwrap();
    assert_eq!(stands, Stands::Gateway);
    assert!(found[0].verdict.is_ok(), "{:?}", found[0].verdict);
    assert_eq!(*notes.0.lock().unwrap(), [""; 0]);

    let named = EndorsementDigest([7; 32]);
    *script.endorsements.lock().unwrap() = vec![(named, b"other bytes".to_vec())];
    let (_, found) = probe(&gateway, trust.policy, trust.endorsements, Ask::Fresh, &settings).await.unwrap();
    assert_eq!(found[0].verdict.as_ref().map(drop).unwrap_err().checks, ["snp.chain.revocation"]);
    let notes = notes.0.lock().unwrap().join("\n");
    assert!(notes.starts_with(&format!("endorsement {named}, which the gateway lists, was not to be had")), "{notes}");
}

/// One probe of a gateway that makes this of challenges.
async fn probed(ask: Ask, challenged: Challenged) -> Result<teegate_client::Probed, Error> {
    let script = Script::new(Fake::new(), []);
    *script.challenged.lock().unwrap() = challenged;
    let trust = script.fake.trust();
    let (_, mut found) = probe(&script.serve().await, trust.policy, trust.endorsements, ask, &settings()).await?;
    Ok(found.remove(0))
}

#[tokio::test]
async fn the_instances_of_a_gateway_answer_a_challenge_of_the_probe_through_it() {
    let fresh = probed(Ask::Fresh, |fake, nonce| fake.answer_to(nonce)).await.unwrap();
    assert!(fresh.verdict.is_ok() && fresh.nonce.is_some(), "{:?}", fresh.verdict);
    // Recorded answers: to another challenge, which the envelope says; to another, under the name of this one; and of the epoch.
    let challenges: [Challenged; 3] = [
        |fake, _| fake.answer_to(Nonce::from_bytes([7; 32])),
        |fake, nonce| {
            let data = binding::fresh(fake.manifest.digest(), &Nonce::from_bytes([7; 32]));
            answer(200, "application/cmw+json", fake.envelope_that_binds(data, Some(nonce)).to_json().unwrap())
        },
        |fake, _| answer(200, "application/cmw+json", fake.envelope().to_json().unwrap()),
    ];
    for challenged in challenges {
        let refused = probed(Ask::Fresh, challenged).await.unwrap().verdict.map(drop).unwrap_err();
        assert_eq!(refused.checks, ["snp.guest.report-data"], "{refused}");
    }
    // The evidence of the epoch, for whoever asks for no more; nobody is challenged for it.
    let epoch = probed(Ask::Epoch, |_, _| panic!("challenged")).await.unwrap();
    assert!(epoch.verdict.is_ok() && epoch.nonce.is_none(), "{:?}", epoch.verdict);
}

#[tokio::test]
async fn a_challenge_that_cannot_be_had_is_an_error_and_no_verdict() {
    let declined = probed(Ask::Fresh, |_, _| {
        let problem = Problem::new(ProblemKind::RateLimited).with_retry_after(2);
        answer(429, "application/problem+json", problem.to_json())
    });
    let error = declined.await.map(drop).unwrap_err();
    assert!(
        matches!(&error, Error::NotChallenged { why, .. } if matches!(**why, NotChallenged::Declined(_))),
        "{error}"
    );
    let told = error.to_string();
    assert!(
        told.contains("could not be challenged through the gateway") && told.contains("try again in 2 s"),
        "{told}"
    );
    // A gateway of before knows no such question.
    let error = probed(Ask::Fresh, |_, _| answer(404, "text/plain", Vec::new())).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("status 404"), "{error}");
    // Somebody else's answer, however good, is not that of the instance that was asked.
    let error = probed(Ask::Fresh, |_, nonce| Fake::with(|manifest| manifest.epoch = 9).answer_to(nonce));
    let error = error.await.map(drop).unwrap_err();
    assert!(
        matches!(&error, Error::NotChallenged { why, .. } if matches!(**why, NotChallenged::Another(Some(_)))),
        "{error}"
    );
    let error =
        probed(Ask::Fresh, |_, _| answer(200, "text/plain", b"no envelope".to_vec())).await.map(drop).unwrap_err();
    assert!(error.to_string().ends_with("what answered is no envelope"), "{error}");
}

#[tokio::test]
async fn where_one_instance_is_wanted_no_other_is_challenged() {
    let script = Script::before(vec![Fake::new(), Fake::with(|manifest| manifest.epoch = 9)], []);
    let trust = script.fake.trust();
    let wanted = *script.fake.manifest.digest();
    let found = probe(&script.serve().await, trust.policy, trust.endorsements, Ask::FreshOf(wanted), &settings()).await;
    let asked: Vec<_> = found.unwrap().1.iter().map(|probed| probed.nonce.is_some()).collect();
    assert_eq!(asked, [true, false]);
}
