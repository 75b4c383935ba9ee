//! Parts two and three of the demo: one request that goes all the way, and three that do not leave.

use teegate_client::oip::{self, TensorData};
use teegate_client::{Client, Error};

use super::child::Child;
use super::exchange::get;
use super::policy::Debug;
use super::stage::{Instance, MODEL, Place};
use super::swap::KeySwapper;
use super::tap::Tap;

/// The largest difference between the sealed and the unsealed answer: the digits in which processors may differ.
const TOLERANCE: f32 = 1e-5;
/// What a gateway counts that has sent nothing to any instance.
const NOTHING_RELEASED: &str = "teegate_gateway_released_bytes_total 0";
/// How many bytes of ciphertext are shown.
const SHOWN_BYTES: usize = 64;

/// One sealed inference, beside the unsealed one, and what an onlooker saw of it. Returns the instance, which goes on running.
pub(super) async fn one_sealed_inference(place: &Place) -> Result<Instance, String> {
    let instance = Instance::start(place, "genuine", &[]).await?;
    let policy = instance.forged.policy(Debug::Rejected);
    let gateway = instance.gateway(place, "gateway", &policy).await?;
    let tap = Tap::in_front_of(&gateway.address("listening")?).await?;
    let (guest_id, enclave_id) = instance.processes();
    say!("started    forge-guest (process {guest_id}): FORGED hardware, it signs whatever it is asked to");
    say!("           enclave-app (process {enclave_id}): holds the only keys; runs the model in ONNX Runtime");
    say!("           teegate-gateway (process {}): lets ciphertext through, and cannot read it", gateway.id());
    say!("           a tap between client and gateway, which keeps what an onlooker sees\n");

    let client = instance.client(&tap.address, &policy).await?.map_err(|e| e.to_string())?;
    let verified = client.instance().await.map_err(|e| e.to_string())?;
    say!("verified   instance {}, {}", verified.manifest().instance_id, verified.bound_to_words());
    say!("           measurement {}", instance.forged.measurement());
    say!("           manifest    {}", verified.digest());

    let sample = read(place, "sample.json")?;
    let reply = client.infer_json(sample.clone()).await.map_err(|e| e.to_string())?;
    say!("sealed     {} bytes of request into {} bytes of ciphertext", sample.len(), reply.sealed_bytes);
    say!("answered   {} bytes of ciphertext, opened; execution receipt verified\n", reply.answer_bytes);

    let sealed = probabilities(&reply.response.content)?;
    let unsealed = probabilities(&read(place, "expected.json")?)?;
    say!("           probability of      malignant     benign");
    say!("           sealed, through     {:.7}     {:.7}", sealed.0, sealed.1);
    say!("           unsealed, direct    {:.7}     {:.7}", unsealed.0, unsealed.1);
    if (sealed.0 - unsealed.0).abs() > TOLERANCE || (sealed.1 - unsealed.1).abs() > TOLERANCE {
        return Err(format!(
            "the sealed answer differs from the unsealed one in {}; was the model retrained without its expected.json?",
            place.model.display()
        ));
    }
    say!("           (a demonstration model, not a medical device)\n");

    let wire = tap.sent();
    show_what_was_seen(&wire, &sample)?;
    drop(tap);
    gateway.end().await;
    Ok(instance)
}

/// Three requests that are refused, each before anything of it leaves the client.
pub(super) async fn three_refusals(place: &Place, genuine: &Instance) -> Result<(), String> {
    say!(
        "1. A debug guest. Its operator can read its memory. This gateway is careless and lets it in; the client is not."
    );
    let debug = Instance::start(place, "debug", &["--debug"]).await?;
    let careless = debug.gateway(place, "careless-gateway", &debug.forged.policy(Debug::Allowed)).await?;
    let tap = Tap::in_front_of(&careless.address("listening")?).await?;
    let refused = debug.client(&tap.address, &debug.forged.policy(Debug::Rejected)).await?;
    expect_refusal(refused, "snp.policy.debug", &tap.sent(), &careless).await?;
    careless.end().await;
    debug.end().await;

    let policy = genuine.forged.policy(Debug::Rejected);
    say!("2. A swapped key. Somebody between client and gateway puts his own key into the manifest.");
    let gateway = genuine.gateway(place, "swapped-gateway", &policy).await?;
    let swapper = KeySwapper::in_front_of(&gateway.address("listening")?).await?;
    let refused = genuine.client(&swapper.address, &policy).await?;
    expect_refusal(refused, "snp.guest.report-data", &swapper.received(), &gateway).await?;
    gateway.end().await;

    say!(
        "3. Other code. The measurement of the instance is not the one in the policy; the gateway does not even offer it."
    );
    let other = genuine.forged.with_other_measurement().policy(Debug::Rejected);
    let gateway = genuine.gateway(place, "strict-gateway", &other).await?;
    let tap = Tap::in_front_of(&gateway.address("listening")?).await?;
    let refused = genuine.client(&tap.address, &other).await?;
    expect_refusal(refused, "snp.guest.measurement", &tap.sent(), &gateway).await?;
    gateway.end().await;
    Ok(())
}

/// Makes sure that the client was refused by `check`, and that all it ever sent was the question for instances.
async fn expect_refusal(
    client: Result<Client, Error>,
    check: &str,
    sent: &[u8],
    gateway: &Child,
) -> Result<(), String> {
    let (who, checks) = match client {
        Ok(_) => return Err(format!("an instance was accepted that `{check}` had to refuse")),
        Err(Error::NoCandidate { refused }) => {
            ("the client", refused.iter().flat_map(|r| r.checks.iter().map(|c| (*c).to_owned())).collect::<Vec<_>>())
        }
        Err(Error::NotOffered(problem)) => {
            ("the gateway", problem.problem.map(|problem| problem.checks).unwrap_or_default())
        }
        Err(other) => return Err(format!("expected a refusal by `{check}`, got: {other}")),
    };
    if !checks.iter().any(|failed| failed == check) {
        return Err(format!("expected a refusal by `{check}`, got one by {}", checks.join(", ")));
    }
    let requests = count(sent, b" HTTP/1.1\r\n");
    if requests == 0
        || !sent.starts_with(b"GET /v1/instances?")
        || count(sent, b"POST ") != 0
        || requests != count(sent, b"GET ")
    {
        return Err("something other than the question for instances left the client".to_owned());
    }
    let metrics =
        get(&gateway.address("operator")?, "/metrics").await.map_err(|e| format!("the gateway's metrics: {e}"))?;
    if !String::from_utf8_lossy(&metrics).lines().any(|line| line == NOTHING_RELEASED) {
        return Err(format!("the gateway's metrics do not say `{NOTHING_RELEASED}`"));
    }
    say!("   REFUSED by {who}: {}", checks.join(", "));
    say!(
        "   On the wire: {} bytes, the question \"which instances run {MODEL}?\". Nothing was sealed, nothing was posted:",
        sent.len()
    );
    say!("   not one byte of the request reached the instance. The gateway's own count: {NOTHING_RELEASED}\n");
    Ok(())
}

/// Shows the relayed request as the gateway got it, and makes sure that nothing of the plaintext is in it.
fn show_what_was_seen(wire: &[u8], sample: &[u8]) -> Result<(), String> {
    let at = wire.windows(14).position(|w| w == b"POST /v1/relay").ok_or("the tap saw no relayed request")?;
    let relayed = wire.get(at..).unwrap_or_default();
    let body_at =
        relayed.windows(4).position(|w| w == b"\r\n\r\n").ok_or("the relayed request has no end of header")?;
    let (head, body) = relayed.split_at_checked(body_at.saturating_add(4)).ok_or("the relayed request has no body")?;
    say!("what the gateway saw of the request ({} bytes in all):", relayed.len());
    for line in String::from_utf8_lossy(head).lines().filter(|line| !line.is_empty()) {
        say!("    {line}");
    }
    say!("    ({} bytes of ciphertext, the first {SHOWN_BYTES}:)", body.len());
    for row in body.get(..SHOWN_BYTES).unwrap_or(body).chunks(16) {
        let bytes: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        say!("    {}", bytes.join(" "));
    }
    // Every run of 12 bytes of the request, so that no piece of it that means anything could hide.
    if sample.windows(12).any(|piece| count(wire, piece) != 0) {
        return Err("a piece of the request stands readable on the wire between client and gateway".to_owned());
    }
    say!("    no 12 bytes of the request stand anywhere in it\n");
    Ok(())
}

fn count(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len().max(1)).filter(|window| *window == needle).count()
}

/// The two probabilities in an Open Inference Protocol answer.
fn probabilities(answer: &[u8]) -> Result<(f32, f32), String> {
    let inference = oip::answer(answer).map_err(|e| e.to_string())?;
    match inference.outputs.first().map(|tensor| &tensor.data) {
        Some(TensorData::Fp32(values)) => match values.as_slice() {
            [malignant, benign] => Ok((*malignant, *benign)),
            other => Err(format!("expected two probabilities, got {}", other.len())),
        },
        _ => Err("the answer has no FP32 output".to_owned()),
    }
}

fn read(place: &Place, name: &str) -> Result<Vec<u8>, String> {
    let path = place.model.join(name);
    std::fs::read(&path).map_err(|e| {
        format!("cannot read {}: {e}; name the folder of the demonstration model with --model", path.display())
    })
}
