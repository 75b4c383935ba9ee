//! Part two of the demo: one request that goes all the way.

use std::sync::Arc;

use teegate_client::Instance as Verified;
use teegate_client::oip::{self, TensorData};
use teegate_protocol::headers::OHTTP_RESPONSE;

use super::policy::Debug;
use super::stage::{Instance, Place};
use super::tap::Tap;

/// The largest difference between the sealed and the unsealed answer: the digits in which processors may differ.
const TOLERANCE: f32 = 1e-5;
/// How many bytes of ciphertext are shown.
const SHOWN_BYTES: usize = 64;

/// One sealed inference, beside the unsealed one, and what an onlooker saw of it. Returns the instance, which goes on running,
/// and what the client verified of it.
pub(super) async fn one_sealed_inference(place: &Place) -> Result<(Instance, Arc<Verified>), String> {
    let instance = Instance::start(place, "genuine", &[]).await?;
    let policy = instance.forged.policy(Debug::Rejected)?;
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
    nothing_readable_came_back(&tap.answered(), &reply.response.content)?;
    drop(tap);
    gateway.end().await;
    Ok((instance, verified))
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
    if shares_a_piece(wire, sample) {
        return Err("a piece of the request stands readable on the wire between client and gateway".to_owned());
    }
    say!("    no 12 bytes of the request stand anywhere in it");
    Ok(())
}

/// Makes sure that nothing of the answer's plaintext is in the sealed answer as it came back.
fn nothing_readable_came_back(wire: &[u8], answer: &[u8]) -> Result<(), String> {
    let media_type = OHTTP_RESPONSE.as_bytes();
    let at = wire.windows(media_type.len()).position(|w| w == media_type).ok_or("the tap saw no sealed answer")?;
    if shares_a_piece(wire.get(at..).unwrap_or_default(), answer) {
        return Err("a piece of the answer stands readable on the wire between gateway and client".to_owned());
    }
    say!("    and no 12 bytes of the answer in what came back\n");
    Ok(())
}

/// Whether any run of 12 bytes of `plaintext` is on the wire, so that no piece of it that means anything could hide.
fn shares_a_piece(wire: &[u8], plaintext: &[u8]) -> bool {
    plaintext.windows(12).any(|piece| wire.windows(piece.len()).any(|window| window == piece))
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

/// Reads a file of the model.
pub(super) fn read(place: &Place, name: &str) -> Result<Vec<u8>, String> {
    let path = place.model.join(name);
    std::fs::read(&path).map_err(|e| {
        format!("cannot read {}: {e}; name the folder of the demonstration model with --model", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_readable_piece_is_found_wherever_it_stands() {
        assert!(shares_a_piece(b"....a piece of text....", b"this is a piece of text"));
        assert!(!shares_a_piece(b"....a piece of ........", b"this is a piece of text"));
        let head = "content-type: message/ohttp-res\r\n\r\n";
        nothing_readable_came_back(format!("{head}........").as_bytes(), b"a piece of text").unwrap();
        nothing_readable_came_back(format!("{head}a piece of text").as_bytes(), b"a piece of text").unwrap_err();
    }
}
