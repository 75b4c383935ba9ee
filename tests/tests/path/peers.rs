//! The same bytes to other implementations: a stock Oblivious HTTP client and a stock server, without any teegate code.

use teegate_client::seal::seal;
use teegate_tests::harness::MODEL;

use crate::{LIMIT, RELAYED, Stage1, assert_is_expected_answer, infer_request, sample};

#[tokio::test]
async fn a_stock_ohttp_client_talks_to_the_enclave() {
    let stage = Stage1::set().await;
    let keys = stage.enclave.ask("GET", "/.well-known/ohttp-gateway", &[], b"").await;
    assert_eq!((keys.status, keys.header("content-type")), (200, "application/ohttp-keys"));

    let mut message = bhttp::Message::request(
        b"POST".to_vec(),
        b"https".to_vec(),
        b"enclave".to_vec(),
        format!("/v2/models/{MODEL}/infer").into_bytes(),
    );
    message.put_header("content-type", "application/json");
    message.write_content(sample());
    let mut request = Vec::new();
    message.write_bhttp(bhttp::Mode::KnownLength, &mut request).unwrap();
    let client = ohttp::ClientRequest::from_encoded_config_list(&keys.body).unwrap();
    let (sealed, context) = client.encapsulate(&request).unwrap();

    let answer = stage.enclave.ask("POST", "/ohttp", &RELAYED, &sealed).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "message/ohttp-res"), "{}", answer.text());
    let opened = context.decapsulate(&answer.body).unwrap();
    let answer = bhttp::Message::read_bhttp(&mut std::io::Cursor::new(opened)).unwrap();
    assert_eq!(answer.control().status().map(|status| status.code()), Some(200));
    assert_is_expected_answer(answer.content());
}

#[test]
fn our_client_talks_to_a_stock_ohttp_server() {
    use ohttp::hpke::{Aead, Kdf, Kem};
    let suites = vec![ohttp::SymmetricSuite::new(Kdf::HkdfSha256, Aead::ChaCha20Poly1305)];
    let server = ohttp::Server::new(ohttp::KeyConfig::new(7, Kem::X25519Sha256, suites).unwrap()).unwrap();
    let list = ohttp::KeyConfig::encode_list(&[server.config()]).unwrap();
    let key = teegate_protocol::ohttp::KeyConfig::parse_list(&list).unwrap().pop().unwrap();

    let sealed = seal(&key, &infer_request(MODEL, b"private".to_vec()), LIMIT).unwrap();
    let (request, context) = server.decapsulate(sealed.bytes()).unwrap();
    let request = bhttp::Message::read_bhttp(&mut std::io::Cursor::new(request)).unwrap();
    assert_eq!(request.control().method(), Some(&b"POST"[..]));
    assert_eq!(request.content(), b"private");

    let mut message = bhttp::Message::response(bhttp::StatusCode::OK);
    message.write_content(b"answer");
    let mut response = Vec::new();
    message.write_bhttp(bhttp::Mode::KnownLength, &mut response).unwrap();
    let answer = context.encapsulate(&response).unwrap();
    assert_eq!(sealed.open(&answer, LIMIT).unwrap().response.content, b"answer");
}
