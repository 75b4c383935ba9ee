//! What the gateway offers: `GET /v1/instances`. A list of envelopes, every byte of it hostile.
//!
//! A gateway may offer only some instances, or none, and may lie about why; it cannot make an instance acceptable. So this
//! file only bounds what is read; [`crate::instance`] decides.

use std::time::Duration;

use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use teegate_protocol::evidence::EndorsementDigest;
use teegate_protocol::headers::INSTANCES_PATH;
use teegate_protocol::limits;
use teegate_protocol::members::{List, Members};

use crate::error::Error;
use crate::link::{Gateway, Upload};
use crate::remote;

/// A gateway offers at most so many instances; what is beyond is not looked at.
const MAX_OFFERED: usize = 3;
/// At most so many statements of one instance are asked for; a verdict rests on about ten.
const MAX_STATEMENTS: usize = 32;
/// Nor is a longer list read.
const MAX_LISTED: usize = 64;
/// The longest list that is read, in bytes.
pub(crate) const MAX_BYTES: usize = limits::ENVELOPE_BYTES * (MAX_OFFERED + 1);
/// Time for the answer itself, beside the time for which the gateway was asked to wait.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// One instance that is offered.
pub(crate) struct Offered {
    /// What it says of itself.
    pub(crate) envelope: Vec<u8>,
    /// The statements that the gateway's own verdict rested on.
    pub(crate) endorsements: Vec<EndorsementDigest>,
}

/// The instances that the gateway offers for `model`, or for any, waiting at most `wait` until there is one.
pub(crate) async fn fetch(gateway: &Gateway, model: Option<&str>, wait: Duration) -> Result<Vec<Offered>, Error> {
    let wait = wait.min(Duration::from_secs(limits::WAIT_SECONDS.most));
    let model = model.map_or_else(String::new, |model| format!("model={}&", query_value(model)));
    let path = format!("{INSTANCES_PATH}?{model}wait={}", wait.as_secs());
    let request = Request::get(path)
        .body(Upload::nothing())
        .map_err(|e| Error::Listing(format!("the request for instances cannot be written: {e}")))?;
    let answer =
        gateway.exchange(request, wait.saturating_add(ANSWER_WITHIN), MAX_BYTES).await.map_err(Error::Unlisted)?;
    if answer.status() != StatusCode::OK {
        return Err(Error::NotOffered(remote::unsealed(&answer)));
    }
    let offered = read(answer.body()).map_err(Error::Listing)?;
    tracing::debug!(offered = offered.len(), "instances offered");
    Ok(offered)
}

pub(crate) fn read(body: &[u8]) -> Result<Vec<Offered>, String> {
    #[derive(Deserialize)]
    struct Offer<'a> {
        #[serde(borrow)]
        envelope: &'a RawValue,
        // A gateway of before names none.
        #[serde(default)]
        endorsements: List<String, MAX_STATEMENTS>,
    }
    #[derive(Deserialize)]
    struct Offers<'a> {
        #[serde(borrow)]
        instances: List<Members<Offer<'a>>, MAX_LISTED>,
    }
    let Members(offers) = serde_json::from_slice::<Members<Offers<'_>>>(body)
        .map_err(|e| format!("the gateway's list of instances is not the JSON that was expected: {e}"))?;
    let offered = offers.instances.0.iter().take(MAX_OFFERED);
    Ok(offered
        .map(|Members(offer)| Offered {
            envelope: offer.envelope.get().as_bytes().to_vec(),
            // What is no digest names nothing that could be asked for.
            endorsements: offer.endorsements.0.iter().filter_map(|digest| digest.parse().ok()).collect(),
        })
        .collect())
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
fn query_value(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_three_envelopes_are_taken_byte_for_byte() {
        let digest = "ab".repeat(32);
        let one = format!(r#"{{"envelope":{{ "a" : 1 }},"manifest":"00","endorsements":["{digest}","AB"]}}"#);
        let body = format!(r#"{{"v":1,"instances":[{one},{one},{one},{one}],"policy_version":7}}"#);
        let read = read(body.as_bytes()).unwrap();
        assert_eq!(read.len(), 3);
        assert_eq!(read[0].envelope, br#"{ "a" : 1 }"#);
        assert_eq!(read[0].endorsements, [digest.parse().unwrap()]);
        assert!(super::read(br#"{"instances":[{"envelope":{}}]}"#).unwrap()[0].endorsements.is_empty());
        assert!(super::read(br#"{"instances":[]}"#).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for body in [
            &b""[..],
            b"[]",
            br#"[[{"envelope":{}}]]"#,
            br#"{"instances":[[{}]]}"#,
            br#"{"instances":[{}]}"#,
            br#"{"instances":[{"envelope":{},"endorsements":{}}]}"#,
            br#"{"instances":[],"instances":[]}"#,
        ] {
            assert!(read(body).map(drop).unwrap_err().contains("list of instances"), "{body:?}");
        }
        let long = format!(r#"{{"instances":"{}"}}"#, "x".repeat(10_000));
        assert!(read(long.as_bytes()).map(drop).unwrap_err().len() < 200, "and it is not repeated");
    }

    #[test]
    fn a_model_name_cannot_add_to_the_query() {
        assert_eq!(query_value("a&wait=0 ü"), "a%26wait%3D0%20%C3%BC");
    }
}
