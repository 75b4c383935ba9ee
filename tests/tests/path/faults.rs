//! Programs are killed and stopped while clients send numbered requests: nothing runs twice, nothing is answered wrongly, nothing takes
//! longer than it may.
//!
//! Half of the clients seal by hand and hold a ciphertext each, which they send again and again, as no client of ours would: what ran once
//! must be told as a replay. The others are plain programs behind the door of `teegate proxy`. `TEEGATE_FAULTS_SECONDS` says for how long;
//! `ci/faults.sh` runs it. What surrounds the programs fails in the files below.

mod clock;
mod disk;
mod load;
mod names;
mod vendors;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use teegate_client::Problem;
use teegate_client::seal::{Sealed, seal};
use teegate_protocol::evidence::Envelope;
use teegate_protocol::manifest::ManifestBytes;
use teegate_tests::harness::{MODEL, Program, eventually, note, signal};
use teegate_tests::http::{Answer, tried};

use crate::proxy_command::Door;
use crate::{LIMIT, RELAYED, Stage1, assert_is_expected_answer, infer_request, sample};

/// How long, unless the environment says.
const SECONDS: u64 = 8;
/// How long a request may be held, in seconds.
const HOLD: &str = "3";
/// The gateway's own limits of a request, the hold, and what a machine that is busy with other things adds.
const DEADLINE: Duration = Duration::from_secs(3 + 5 + 5 + 10);
/// Clients of each kind.
const CLIENTS: u64 = 3;

/// What became of requests.
#[derive(Default)]
struct Counts {
    asked: AtomicU64,
    answered: AtomicU64,
    /// Told as replays: they ran before, and their answers were lost or not looked at.
    replays: AtomicU64,
    /// Refused, by whomever.
    refused: AtomicU64,
    /// Not answered: the connection was lost, or nobody was there.
    lost: AtomicU64,
}

fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed) + 1
}

/// The sample with this number as its id, which comes back in the answer.
fn numbered(number: &str) -> Vec<u8> {
    String::from_utf8(sample()).unwrap().replacen('{', &format!("{{\"id\":\"{number}\","), 1).into_bytes()
}

fn assert_is_answer_to(number: &str, content: &[u8]) {
    let answer: Value = serde_json::from_slice(content).unwrap();
    assert_eq!(answer["id"], *number, "the answer to another request");
    assert_is_expected_answer(content);
}

/// One exchange within its time, whatever comes.
async fn in_time(what: &str, exchange: impl Future<Output = Result<Answer, String>>) -> Result<Answer, String> {
    let began = Instant::now();
    let came = tokio::time::timeout(DEADLINE, exchange).await;
    came.unwrap_or_else(|_| panic!("{what}: nothing after {:?}", began.elapsed()))
}

/// A request with this number, sealed to an instance that the gateway offers, if it offers one.
async fn sealed(gateway: &str, number: &str) -> Option<(Sealed, String)> {
    let path = format!("/v1/instances?model={MODEL}&wait=1");
    let list = in_time("the list", tried(gateway, "GET", &path, &[], b"")).await.ok()?;
    let list: Value = serde_json::from_slice(&list.body).ok()?;
    let envelope = list["instances"][0]["envelope"].to_string();
    let manifest = ManifestBytes::parse(Envelope::parse(envelope.as_bytes()).ok()?.manifest).unwrap();
    let key = manifest.manifest().key_configs().unwrap().pop().unwrap();
    Some((seal(&key, &infer_request(MODEL, numbered(number)), LIMIT).unwrap(), manifest.digest().to_string()))
}

/// Sends one ciphertext until there is a sealed answer, three times at most; and once more when there is one, for every second number.
async fn hostile(gateway: &str, number: &str, is_repeated: bool, counts: &Counts) {
    let Some((sealed, manifest)) = sealed(gateway, number).await else {
        tokio::time::sleep(Duration::from_millis(50)).await;
        return;
    };
    count(&counts.asked);
    let headers = [RELAYED[0], ("teegate-manifest", manifest.as_str()), ("teegate-hold", HOLD)];
    let send = async || {
        let relaying = tried(gateway, "POST", "/v1/relay", &headers, sealed.bytes());
        match in_time(number, relaying).await {
            Err(_) => {
                count(&counts.lost);
                None
            }
            Ok(answer) if answer.status == 200 => Some(answer),
            Ok(answer) => {
                Problem::parse(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()));
                count(&counts.refused);
                None
            }
        }
    };
    let mut answer = send().await;
    for _ in 0..2 {
        if answer.is_none() {
            tokio::time::sleep(Duration::from_millis(30)).await;
            answer = send().await;
        }
    }
    let Some(mut answer) = answer else { return };
    let mut has_run = false;
    if is_repeated && let Some(again) = send().await {
        (answer, has_run) = (again, true);
    }
    let response = sealed.open(&answer.body, LIMIT).unwrap().response;
    match response.status {
        200 => {
            assert!(!has_run, "number {number} ran twice");
            assert_is_answer_to(number, &response.content);
            count(&counts.answered);
        }
        409 => drop(count(&counts.replays)),
        _ => drop(count(&counts.refused)),
    }
}

/// One request of a program that knows nothing of all this.
async fn plain(door: &str, number: &str, counts: &Counts) {
    count(&counts.asked);
    let path = format!("/v2/models/{MODEL}/infer");
    let body = numbered(number);
    let asking = tried(door, "POST", &path, &[("content-type", "application/json")], &body);
    match in_time(number, asking).await {
        Err(_) => {
            count(&counts.lost);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(answer) if answer.status == 200 => {
            assert_is_answer_to(number, &answer.body);
            count(&counts.answered);
        }
        Ok(answer) => {
            let said: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}", answer.text()));
            assert!(said["error"].is_string(), "{}", answer.text());
            count(&counts.refused);
        }
    }
}

/// The configuration of a program that was started, with the address that it got.
fn again(stage: &Stage1, name: &str, address: &str) -> String {
    let first = std::fs::read_to_string(stage.scratch.path().join(format!("{name}.toml"))).unwrap();
    stage.scratch.write(&format!("{name}-again.toml"), &first.replacen("127.0.0.1:0", address, 1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_runs_twice_and_nothing_is_answered_wrongly_while_programs_are_killed() {
    let seconds = std::env::var("TEEGATE_FAULTS_SECONDS").ok().map_or(SECONDS, |text| text.parse().unwrap());
    let mut stage = Stage1::set().await;
    let limits = "[timeouts]\nanswer_seconds = 5\nupload_seconds = 5\nbody_idle_seconds = 5\n";
    let mut gateway = stage.gateway(&stage.enclave.address, limits).await;
    gateway.attested().await;
    let mut door = Door::open(&stage, &gateway, &["--hold", HOLD]).await;
    let (enclave_again, gateway_again) =
        (again(&stage, "enclave", &stage.enclave.address), again(&stage, "gateway", &gateway.address));
    let (door_policy, gateway_url) =
        (stage.scratch.path().join("door-policy.toml"), format!("http://{}", gateway.address));
    let door_policy = door_policy.display().to_string();
    let door_again = [
        "proxy",
        "--gateway",
        &gateway_url,
        "--policy",
        &door_policy,
        "--wait",
        "10",
        "--hold",
        HOLD,
        "--listen",
        &door.address,
    ];

    let (counts, is_over) = (Arc::new([Counts::default(), Counts::default()]), Arc::new(AtomicBool::new(false)));
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let (counted, over, at) = (Arc::clone(&counts), Arc::clone(&is_over), gateway.address.clone());
        clients.spawn(async move {
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                number += 1;
                hostile(&at, &format!("sealed-{client}-{number}"), number % 2 == 0, &counted[0]).await;
            }
        });
        let (counted, over, at) = (Arc::clone(&counts), Arc::clone(&is_over), door.address.clone());
        clients.spawn(async move {
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                number += 1;
                plain(&at, &format!("plain-{client}-{number}"), &counted[1]).await;
            }
        });
    }

    let answered = |kind: usize| counts[kind].answered.load(Ordering::Relaxed);
    let goes_on = async |what: &str| {
        let before = [answered(0), answered(1)];
        eventually(&format!("both kinds of clients are answered {what}"), async || {
            (answered(0) > before[0] && answered(1) > before[1]).then_some(())
        })
        .await;
    };
    goes_on("before any fault").await;
    let (end, mut faults) = (Instant::now() + Duration::from_secs(seconds), [0_u64; 5]);
    while Instant::now() < end {
        // A worker, in the middle of what it does.
        signal("KILL", &stage.enclave.program.children());
        faults[0] += 1;
        goes_on("after a worker was killed").await;

        gateway.program.kill().await;
        gateway.program =
            Program::start(&stage.scratch, "gateway-again", "teegate-gateway", &["--config", &gateway_again]).await;
        faults[1] += 1;
        goes_on("after the gateway was killed").await;

        // Its host takes the processor away from it for a while.
        stage.enclave.program.signal("STOP");
        tokio::time::sleep(Duration::from_millis(300)).await;
        stage.enclave.program.signal("CONT");
        faults[2] += 1;
        goes_on("after the enclave stood still").await;

        door.program.kill().await;
        door.program = Program::start(&stage.scratch, "door-again", "teegate", &door_again).await;
        faults[3] += 1;
        goes_on("after the door was killed").await;

        stage.enclave.program.kill().await;
        stage.enclave.program =
            Program::start(&stage.scratch, "enclave-again", "enclave-app", &["--config", &enclave_again]).await;
        faults[4] += 1;
        goes_on("after the enclave was killed").await;
    }
    is_over.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    for (who, counts) in ["sealed by hand", "behind the door"].into_iter().zip(counts.iter()) {
        let [asked, answered, replays, refused, lost] =
            [&counts.asked, &counts.answered, &counts.replays, &counts.refused, &counts.lost]
                .map(|n| n.load(Ordering::Relaxed));
        note(&format!(
            "faults, {who}: {asked} requests; answered {answered} rightly, {replays} told as replays, refused {refused}, lost {lost}; \
             none wrongly, twice or late"
        ));
    }
    let [workers, gateways, pauses, doors, enclaves] = faults;
    note(&format!(
        "faults: killed {workers} times a worker, {gateways} a gateway, {doors} a door, {enclaves} an enclave-app; {pauses} pauses"
    ));
    assert!(counts[0].replays.load(Ordering::Relaxed) > 0, "no ciphertext was sent twice: this shows nothing");
}
