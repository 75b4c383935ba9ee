//! What was in a request and in its answer is nowhere in the memory of the process afterwards.
//!
//! The process looks at its own memory, every byte that it could write. It must not hold what it looks for: the client is
//! another process, this test binary started once more, and the canaries are kept and compared masked.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what a test expects and does not find should end it, in its helper functions too"
)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use teegate_attester::{Answer, Attester, RawEvidence};
use teegate_enclave::engine::{Engine, EngineError, LoadError, Readiness, ShapeRule, Signature, TensorSignature};
use teegate_enclave::epoch::{Constants, Epochs};
use teegate_enclave::evidence::EvidenceActor;
use teegate_enclave::identity::Identity;
use teegate_enclave::memory::{ANSWER_BYTES, Memory, Purse};
use teegate_enclave::open::{Model, Opener, Outcome};
use teegate_enclave::tensor::{Datatype, Tensor};
use teegate_enclave::upload::Upload;
use teegate_enclave::workers::{Settings, Workers};
use teegate_protocol::bhttp::{Request, Response};
use teegate_protocol::evidence::EvidenceKind;
use teegate_protocol::manifest::{ConfigDigest, Limits, ModelDigest, ModelEntry};
use teegate_protocol::ohttp::{KeyConfig, seal};

const MASK: u8 = 0x80;

/// A text that is only ever there masked, except where it is made on purpose.
const fn masked<const N: usize>(text: &[u8; N]) -> [u8; N] {
    let mut masked = *text;
    let mut place = 0;
    while place < N {
        masked[place] ^= MASK;
        place += 1;
    }
    masked
}

/// The `id` of the request, which the answer repeats.
const ID: [u8; 22] = masked(b"canary-of-the-id-7f3a9");
/// The last three numbers of the tensor, as they lie in memory.
const TENSOR: [u8; 24] = masked(b"canary!-of-the-!-tensor!");
/// The end of a string of the request, which stands there with an escape before it: no plain copy of it is made on the way.
const TEXT: [u8; 23] = masked(b"canary-of-the-string-5e");
/// The header of the request.
const FIELD: [u8; 21] = masked(b"canary-of-the-field-3");

fn unmasked(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| byte ^ MASK).collect()
}

fn numbers() -> Vec<i64> {
    unmasked(&TENSOR).chunks(8).map(|chunk| i64::from_le_bytes(chunk.try_into().unwrap())).collect()
}

/// The last two numbers as text, as they stand in request and answer; masked.
fn digits() -> Vec<u8> {
    let mut hidden = Vec::with_capacity(64);
    for (at, number) in numbers().iter().skip(1).enumerate() {
        if at > 0 {
            hidden.push(b',' ^ MASK);
        }
        // Digit by digit, so that no text of it is ever there.
        let mut power = 10_i64.pow(number.ilog10());
        while power > 0 {
            hidden.push((b'0' + (number / power % 10) as u8) ^ MASK);
            power /= 10;
        }
    }
    hidden
}

/// How often a masked text stands, unmasked, in memory that this process can write.
fn found(masked: &[u8]) -> usize {
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut buffer = vec![0_u8; 1 << 20];
    let own = buffer.as_ptr().addr() as u64..buffer.as_ptr().addr() as u64 + buffer.len() as u64;
    let mut count = 0;
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let [mut at, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        while at < end {
            // Not what was read here a moment ago.
            if own.contains(&at) {
                at = own.end;
                continue;
            }
            let stop = if at < own.start { end.min(own.start) } else { end };
            let length = (stop - at).min(buffer.len() as u64) as usize;
            let Ok(()) = memory.read_exact_at(&mut buffer[..length], at) else { break };
            count += buffer[..length]
                .windows(masked.len())
                .filter(|window| {
                    window[0] == masked[0] ^ MASK && window.iter().zip(masked).all(|(a, b)| *a == b ^ MASK)
                })
                .count();
            // What lies across two pieces is looked at in the next.
            at += if at + length as u64 == stop { length as u64 } else { (length - masked.len() + 1) as u64 };
        }
    }
    buffer.fill(0);
    count
}

/// The client: seals a request with the canaries and opens the answer. Standard input and output are its wire, after the
/// words of the test harness.
fn client(keys: &str) {
    let keys = KeyConfig::parse_list(&teegate_encoding::hex::decode(keys).unwrap()).unwrap();
    let zeros: usize = std::env::var("TEEGATE_TEST_ZEROS").unwrap().parse().unwrap();
    // An allocator writes over the beginning of what is freed: the canaries stand at the end.
    let id = format!("{}{}", "x".repeat(200), String::from_utf8(unmasked(&ID)).unwrap());
    let data = [vec![0; zeros], numbers()].concat();
    let text = format!("{}\n{}", "x".repeat(zeros), String::from_utf8(unmasked(&TEXT)).unwrap());
    let mut request = Request::new("POST", "enclave", "/v2/models/m/infer");
    request.fields.push("x-canary", [vec![b'x'; 200], unmasked(&FIELD)].concat()).unwrap();
    request.content = serde_json::json!({
        "id": id,
        "inputs": [
            {"name": "x", "shape": [data.len()], "datatype": "INT64", "data": data},
            {"name": "t", "shape": [1], "datatype": "BYTES", "data": [text]},
        ],
    })
    .to_string()
    .into_bytes();
    let (ciphertext, context) = seal(&keys[0], &request.encode_padded().unwrap()).unwrap();
    println!("\nsealed {}", teegate_encoding::hex::encode(ciphertext));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).unwrap();
    let opened = context.open(&teegate_encoding::hex::decode(answer.trim()).unwrap()).unwrap();
    let response = Response::decode(&opened, 64 << 20).unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&response.content).unwrap();
    assert_eq!((response.status, answer["id"].as_str()), (200, Some(id.as_str())));
    assert_eq!(answer["outputs"][0]["data"], serde_json::json!(data));
    assert_eq!(answer["outputs"][1]["data"], serde_json::json!([text]));
    println!("\nopened");
}

/// Gives back what it gets, when it is told to.
struct Echo {
    signature: Signature,
    began: mpsc::Sender<()>,
    end: mpsc::Receiver<()>,
}

impl Engine for Echo {
    fn load(&mut self) -> Result<Signature, LoadError> {
        Ok(self.signature.clone())
    }

    fn readiness(&mut self) -> Readiness {
        Readiness::Ready
    }

    fn run(&mut self, inputs: Vec<Tensor>, _: Instant, purse: &mut Purse) -> Result<Vec<Tensor>, EngineError> {
        self.began.send(()).unwrap();
        self.end.recv().unwrap();
        let [x, t] = inputs.as_slice() else { panic!("two inputs") };
        purse.spend(x.bytes() + t.bytes()).map_err(EngineError::NoMemory)?;
        Ok(vec![Tensor { name: "y".into(), ..x.clone() }, Tensor { name: "u".into(), ..t.clone() }])
    }
}

/// Reports what it is asked for, unsigned.
struct Unsigned;

impl Attester for Unsigned {
    fn evidence(&self, report_data: [u8; 64]) -> Answer<'_> {
        let mut bytes = vec![0; 1184];
        bytes[0x50..0x90].copy_from_slice(&report_data);
        let evidence = RawEvidence {
            kind: EvidenceKind::SnpReport,
            bytes,
            endorsements: None,
            event_log: None,
            left_out: Vec::new(),
        };
        Box::pin(std::future::ready(Ok(evidence)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_request_or_its_answer_stays_in_memory() {
    if let Ok(keys) = std::env::var("TEEGATE_TEST_KEYS") {
        return client(&keys);
    }
    let tensor =
        |name: &str, datatype| TensorSignature { name: name.into(), datatype, shape: ShapeRule::Dimensions(vec![-1]) };
    let pair = |x, t| vec![tensor(x, Datatype::Int64), tensor(t, Datatype::Bytes)];
    let signature = Signature { inputs: pair("x", "t"), outputs: pair("y", "u"), ..Signature::default() };
    let ((began, has_begun), (release, end)) = (mpsc::channel(), mpsc::channel());
    let settings = Settings { places: 1, queue: 1, deadline: Duration::from_secs(600), batching: None };
    let workers = Workers::start("m", vec![Box::new(Echo { signature, began, end })], settings).unwrap();
    let entry = ModelEntry { name: "m".into(), version: "1".into(), sha256: ModelDigest([1; 32]) };
    let identity = Arc::new(Identity::generate().unwrap());
    let limits = Limits {
        sealed_body_bytes: 8 << 20,
        tensor_rank: 16,
        tensor_elements: 1 << 31,
        cross_tenant_batching: false,
        batching: vec![],
    };
    let constants = Constants {
        models: vec![entry.clone()],
        config_sha256: ConfigDigest([2; 32]),
        limits,
        length: Duration::from_secs(3600),
        grace: Duration::from_secs(600),
        replay_capacity: 64,
    };
    let epochs =
        Epochs::start(Arc::clone(&identity), EvidenceActor::start(Box::new(Unsigned)), constants).await.unwrap();
    let opener = Arc::new(Opener::new(Arc::clone(&epochs), identity, vec![Model { entry, workers }], 8 << 20));
    let memory = Memory::new(64 << 20, 0);
    let digits = digits();

    // Short messages are handled where they arrive, long ones on threads of their own.
    for zeros in [100, 400_000] {
        let mut client = Command::new("/proc/self/exe")
            .args(["--exact", "nothing_of_a_request_or_its_answer_stays_in_memory", "--nocapture"])
            .env("TEEGATE_TEST_KEYS", teegate_encoding::hex::encode(epochs.current().unwrap().key_configs()))
            .env("TEEGATE_TEST_ZEROS", zeros.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(client.stdout.take().unwrap()).lines().map(Result::unwrap);
        let sealed = lines.find_map(|line| line.strip_prefix("sealed ").map(str::to_owned)).unwrap();
        let canaries: [(&str, &[u8]); 5] =
            [("id", &ID), ("tensor", &TENSOR), ("text", &TEXT), ("digits", &digits), ("field", &FIELD)];
        for (name, canary) in canaries {
            assert_eq!(found(canary), 0, "{name}: this process does not know it yet");
        }

        let share = memory.share();
        let (mut purse, mut spare) = (share.purse(), share.purse());
        spare.reserve(ANSWER_BYTES).unwrap();
        let bytes = teegate_encoding::hex::decode(sealed).unwrap();
        purse.spend(bytes.capacity()).unwrap();
        let answering = {
            let opener = Arc::clone(&opener);
            tokio::spawn(async move { opener.answer(Upload { bytes, purse }, spare).await })
        };
        has_begun.recv().unwrap();
        assert!(
            [&ID[..], &TENSOR, &TEXT].iter().all(|canary| found(canary) > 0),
            "while it runs it is there, or else this test shows nothing"
        );
        assert_eq!((found(&digits), found(&FIELD)), (0, 0), "what has been read is gone before the run");
        release.send(()).unwrap();
        let Outcome::Sealed(answer) = answering.await.unwrap() else { panic!("not sealed") };
        for (name, canary) in canaries {
            assert_eq!(found(canary), 0, "{name}: {zeros} zeros before it");
        }
        writeln!(client.stdin.take().unwrap(), "{}", teegate_encoding::hex::encode(&answer.bytes)).unwrap();
        assert!(lines.any(|line| line == "opened"), "the answer is the right one");
        assert!(client.wait().unwrap().success());
    }
}
