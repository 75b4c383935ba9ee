//! A model of real size through the same path: MiniLM, a sentence embedding of 90 MB. `ci/minilm.sh` builds it and nobody
//! commits it; where it was not built, these tests say so and pass.

use std::path::PathBuf;

use serde_json::Value;
use sha2::{Digest, Sha256};
use teegate_client::oip::{self, Tensor, TensorData};
use teegate_client::seal::seal;
use teegate_client::{Client, Settings, Trust};
use teegate_protocol::padding::{POWERS_UP_TO_BYTES, padded_len};
use teegate_tests::harness::{Enclave, Guest, Scratch, minilm_folder, note};

use crate::{LIMIT, Stage1, infer_request, relay};

const MINILM: &str = "minilm";
/// Numbers in the embedding of one sentence.
const WIDTH: usize = 384;
/// Two sentences of the sample and their similarity, as the documentation of sentence-transformers prints it.
const PUBLISHED: [(usize, usize, f32); 3] = [(0, 1, 0.6660), (0, 2, 0.1046), (1, 2, 0.1411)];
/// What a sealed request has on top of its plaintext, RFC 9458 section 4.3: header 7, X25519 key 32, tag 16.
const REQUEST_OVERHEAD: usize = 55;
/// What a sealed answer has under AES-128-GCM, section 4.4: nonce 16, tag 16.
const ANSWER_OVERHEAD: usize = 32;

/// The folder of the model, or a line that says what was not run.
fn built() -> Option<PathBuf> {
    let folder = minilm_folder();
    if folder.is_none() {
        note("not run: MiniLM through the path (ci/minilm.sh has not built it)");
    }
    folder
}

async fn stage(folder: &std::path::Path) -> Stage1 {
    let scratch = Scratch::new();
    let guest = Guest::start(&scratch, "guest", &[]).await;
    let enclave = Enclave::serving(&scratch, "enclave", &guest, MINILM, folder).await;
    Stage1 { scratch, guest, enclave }
}

/// The only output, a row for each sentence.
fn embeddings(answer: &[u8], sentences: usize) -> Vec<Vec<f32>> {
    let mut outputs = oip::answer(answer).unwrap().outputs;
    let Tensor { name, shape, data } = outputs.remove(0);
    assert!(outputs.is_empty());
    assert_eq!((name.as_str(), shape), ("sentence_embedding", vec![sentences as u64, WIDTH as u64]));
    let TensorData::Fp32(values) = data else { panic!("{}", data.datatype()) };
    values.chunks(WIDTH).map(<[f32]>::to_vec).collect()
}

fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn assert_published_similarities(rows: &[Vec<f32>]) {
    for row in rows {
        assert!((product(row, row).sqrt() - 1.0).abs() < 1e-5, "length {}", product(row, row).sqrt());
    }
    for (one, other, published) in PUBLISHED {
        let similarity = product(&rows[one], &rows[other]);
        assert!((similarity - published).abs() < 1e-4, "sentences {one}, {other}: {similarity}, published {published}");
    }
}

#[tokio::test]
async fn minilm_answers_with_the_published_similarities() {
    let Some(folder) = built() else { return };
    let stage = stage(&folder).await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let Trust { policy, endorsements, .. } = stage.trust();
    let address = teegate_client::Gateway::parse(&format!("http://{}", gateway.address)).unwrap();
    let client = Client::connect(address, MINILM, policy, endorsements, Settings::default()).await.unwrap();

    let reply = client.infer_json(std::fs::read(folder.join("sample.json")).unwrap()).await.unwrap();
    assert_published_similarities(&embeddings(&reply.response.content, 3));
    let receipt = reply.receipt.expect("an execution receipt");
    let file = Sha256::digest(std::fs::read(folder.join("model.onnx")).unwrap());
    assert_eq!(receipt.model.to_string(), hex::encode(file), "the file that was built is the one that ran");
}

/// The sample's sentences, `times` over.
fn repeated(sample: &[u8], times: usize) -> Vec<u8> {
    let mut request: Value = serde_json::from_slice(sample).unwrap();
    for input in request["inputs"].as_array_mut().unwrap() {
        let rows = input["shape"][0].as_u64().unwrap() * times as u64;
        input["shape"][0] = rows.into();
        input["data"] = vec![input["data"].as_array().unwrap().as_slice(); times].concat().into();
    }
    serde_json::to_vec(&request).unwrap()
}

#[tokio::test]
async fn small_and_large_answers_travel_at_padded_lengths_and_agree() {
    const TIMES: usize = 30;
    let Some(folder) = built() else { return };
    let stage = stage(&folder).await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let sample = std::fs::read(folder.join("sample.json")).unwrap();

    let manifest = stage.manifest().await;
    let key = manifest.manifest().key_configs().unwrap().pop().unwrap();
    let mut of_each = Vec::new();
    for times in [1, TIMES] {
        let request = infer_request(MINILM, repeated(&sample, times));
        let sealed = seal(&key, &request, LIMIT).unwrap();
        let answer = relay(&gateway, sealed.bytes(), &manifest.digest().to_string(), 30).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let request_bytes = sealed.bytes().len() - REQUEST_OVERHEAD;
        let answer_bytes = answer.body.len() - ANSWER_OVERHEAD;
        assert!(request_bytes > request.content.len() && request_bytes == padded_len(request_bytes), "{request_bytes}");
        assert_eq!(answer_bytes, padded_len(answer_bytes));
        assert_eq!(answer_bytes > POWERS_UP_TO_BYTES, times == TIMES, "both rules of padding are used: {answer_bytes}");
        let opened = sealed.open(&answer.body, LIMIT).unwrap().response;
        of_each.push(embeddings(&opened.content, 3 * times));
    }
    let [few, many] = of_each.as_slice() else { panic!("two answers") };
    assert_published_similarities(few);
    for (row, again) in few.iter().cycle().zip(many) {
        assert!(row.iter().zip(again).all(|(a, b)| (a - b).abs() < 1e-5), "{row:?} {again:?}");
    }
}
