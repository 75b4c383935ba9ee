//! Part three of the demo: two requests that the client does not seal, and one that the gateway does not let pass.

use teegate_client::seal::seal;
use teegate_client::{Client, Error, Executed, Instance as Verified, Problem, Request};
use teegate_protocol::headers::{OHTTP_REQUEST, PROBLEM_JSON, RELAY_PATH, TEEGATE_HOLD, TEEGATE_MANIFEST};

use super::child::Child;
use super::exchange::{Answer, get, post};
use super::path;
use super::policy::Debug;
use super::stage::{Instance, MODEL, Place};
use super::swap::KeySwapper;
use super::tap::Tap;

/// What a gateway counts that has sent nothing to any instance.
const NOTHING_RELEASED: &str = "teegate_gateway_released_bytes_total 0";
/// The largest request that is sealed by hand.
const MAX_SEALED: usize = 1024 * 1024;
/// How often a request is posted, at most, until no check of the instance falls together with it.
const TRIES: u32 = 50;

/// Two requests that the client refuses to seal, and one that is sealed all the same and that the gateway does not let pass.
pub(super) async fn three(place: &Place, genuine: &Instance, verified: &Verified) -> Result<(), String> {
    say!(
        "1. A debug guest. Its operator can read its memory. This gateway is careless and lets it in; the client is not."
    );
    let debug = Instance::start(place, "debug", &["--debug"]).await?;
    let careless = debug.gateway(place, "careless-gateway", &debug.forged.policy(Debug::Allowed)?).await?;
    let tap = Tap::in_front_of(&careless.address("listening")?).await?;
    let refused = debug.client(&tap.address, &debug.forged.policy(Debug::Rejected)?).await?;
    expect_refusal(refused, "snp.policy.debug", &tap.sent(), &careless).await?;
    careless.end().await;
    debug.end().await;

    let policy = genuine.forged.policy(Debug::Rejected)?;
    say!("2. A swapped key. Somebody between client and gateway puts his own key into the manifest.");
    let gateway = genuine.gateway(place, "swapped-gateway", &policy).await?;
    let swapper = KeySwapper::in_front_of(&gateway.address("listening")?).await?;
    let refused = genuine.client(&swapper.address, &policy).await?;
    expect_refusal(refused, "snp.guest.report-data", &swapper.received(), &gateway).await?;
    gateway.end().await;

    say!(
        "3. Other code. The measurement of the instance is not the one in the policy; the gateway does not even offer it."
    );
    let other = genuine.forged.with_other_measurement().policy(Debug::Rejected)?;
    let behind = Tap::in_front_of(&genuine.address()?).await?;
    let gateway = genuine.gateway_by(&behind.address, place, "strict-gateway", &other).await?;
    let tap = Tap::in_front_of(&gateway.address("listening")?).await?;
    let refused = genuine.client(&tap.address, &other).await?;
    expect_refusal(refused, "snp.guest.measurement", &tap.sent(), &gateway).await?;
    say!("   Now without asking: a request sealed by hand to that instance's key, which part 2 verified, is posted.");
    expect_nothing_passed(&post_by_hand(place, verified, &gateway, &behind).await?)?;
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
    expect_nothing_released(gateway).await?;
    say!("   REFUSED by {who}: {}", checks.join(", "));
    say!(
        "   On the wire: {} bytes, the question \"which instances run {MODEL}?\". Nothing was sealed, nothing was posted:",
        sent.len()
    );
    say!("   not one byte of the request reached the instance. The gateway's own count: {NOTHING_RELEASED}\n");
    Ok(())
}

/// What became of a request that was posted although no instance was offered.
struct Posted {
    answer: Answer,
    /// Bytes of ciphertext that were posted.
    bytes: usize,
    /// Bytes that the gateway sent to the instance while it checked it, before.
    before: u64,
    /// Bytes that it sent from the post to the answer.
    during: u64,
}

/// Seals the sample to the key in the manifest of `verified`, and posts it to `gateway`, whose way to the instance is `behind`.
///
/// What goes over that way is encrypted, so a byte of the request cannot be told from a byte of the next check by looking at it.
/// So the post is repeated if a check fell together with it: a gateway that let anything pass would do so every time.
async fn post_by_hand(place: &Place, verified: &Verified, gateway: &Child, behind: &Tap) -> Result<Posted, String> {
    let key = verified.manifest().key_configs().map_err(|e| e.to_string())?.pop().ok_or("the manifest has no key")?;
    let mut request = Request::new("POST", "enclave", &format!("/v2/models/{MODEL}/infer"));
    request.fields.push("content-type", "application/json").map_err(|e| e.to_string())?;
    request.content = path::read(place, "sample.json")?;
    let (address, manifest) = (gateway.address("listening")?, verified.digest().to_string());
    let fields = [("content-type", OHTTP_REQUEST), (TEEGATE_MANIFEST, &manifest), (TEEGATE_HOLD, "0")];
    let mut tries_left = TRIES;
    loop {
        let sealed = seal(&key, &request, MAX_SEALED).map_err(|e| e.to_string())?;
        let before = behind.sent_bytes();
        let answer = post(&address, RELAY_PATH, &fields, sealed.bytes()).await;
        let answer = answer.map_err(|e| format!("posting to the gateway: {e}"))?;
        // One more exchange with the gateway: by its end the tap has seen whatever had been sent before the answer.
        expect_nothing_released(gateway).await?;
        let during = behind.sent_bytes().saturating_sub(before);
        tries_left -= 1;
        if during == 0 || tries_left == 0 {
            return Ok(Posted { answer, bytes: sealed.bytes().len(), before, during });
        }
    }
}

/// Makes sure that the gateway refused what was posted, says that it was not executed, and passed nothing of it on.
fn expect_nothing_passed(posted: &Posted) -> Result<(), String> {
    let Posted { answer, bytes, before, during } = posted;
    let problem = Problem::parse(&answer.body).map_err(|e| format!("the gateway answered {}: {e}", answer.status))?;
    if answer.content_type != PROBLEM_JSON || problem.status() != answer.status || problem.executed != Executed::No {
        return Err(format!("expected a refusal by the gateway, got {}: {problem}", answer.status));
    }
    if *before == 0 {
        return Err("the gateway did not reach the instance through the tap, so the tap shows nothing".to_owned());
    }
    if *during != 0 {
        return Err(format!("{during} bytes went from the gateway to the instance while a request was refused"));
    }
    say!("   REFUSED by the gateway, status {}: {problem}", answer.status);
    say!(
        "   {bytes} bytes of ciphertext were posted. A tap between gateway and instance had seen {before} bytes of checking"
    );
    say!(
        "   before; it saw {during} from the post to the answer: not one byte of the request arrived. {NOTHING_RELEASED}\n"
    );
    Ok(())
}

async fn expect_nothing_released(gateway: &Child) -> Result<(), String> {
    let metrics = get(&gateway.address("operator")?, "/metrics").await;
    let metrics = metrics.map_err(|e| format!("the gateway's metrics: {e}"))?;
    if String::from_utf8_lossy(&metrics.body).lines().any(|line| line == NOTHING_RELEASED) {
        return Ok(());
    }
    Err(format!("the gateway's metrics do not say `{NOTHING_RELEASED}`"))
}

fn count(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len().max(1)).filter(|window| *window == needle).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_client::ProblemKind;

    fn posted(problem: &Problem, change: impl FnOnce(&mut Posted)) -> Result<(), String> {
        let answer =
            Answer { status: problem.status(), content_type: PROBLEM_JSON.to_owned(), body: problem.to_json() };
        let mut posted = Posted { answer, bytes: 1079, before: 1807, during: 0 };
        change(&mut posted);
        expect_nothing_passed(&posted)
    }

    #[test]
    fn a_refusal_counts_only_if_a_tap_that_is_on_the_way_saw_nothing_pass() {
        let refused = Problem::new(ProblemKind::EvidenceRejected);
        posted(&refused, |_| {}).unwrap();
        for (change, reason) in [
            ((|p: &mut Posted| p.during = 1) as fn(&mut Posted), "1 bytes went from the gateway"),
            (|p| p.before = 0, "did not reach the instance through the tap"),
            (|p| p.answer.status = 200, "expected a refusal"),
            (|p| p.answer.content_type = "message/ohttp-res".to_owned(), "expected a refusal"),
            (|p| p.answer.body.clear(), "the gateway answered 503"),
        ] {
            let error = posted(&refused, change).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let perhaps_run = Problem::new(ProblemKind::PolicyChanged).unknown_outcome();
        assert!(posted(&perhaps_run, |_| {}).unwrap_err().contains("expected a refusal"));
    }
}
