//! `GET /v1/policy` and `GET /v1/receipt-keys`: what is published, served.

use std::sync::PoisonError;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use teegate_protocol::published::ReceiptKeys;

use crate::answer::AnswerStream;
use crate::gateway::Gateway;
use crate::problem::RouteError;
use crate::respond::{nothing, whole};

/// A statement about keys is signed anew after so many seconds.
const STATEMENT_SECONDS: u64 = 60;

impl Gateway {
    /// `GET /v1/policy`: the policy, and its SHA-256 as the entity tag; 304 for whoever has it.
    pub(crate) fn client_policy(&self, headers: &HeaderMap) -> Result<Response<AnswerStream>, RouteError> {
        let contents = self.published.contents();
        let policy = contents.policy.as_ref().ok_or(RouteError::NotFound)?;
        let is_had = policy.is_had(headers);
        let mut answer = Response::new(if is_had { nothing() } else { whole(policy.bytes.clone()) });
        if is_had {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/toml"));
        }
        answer.headers_mut().insert(ETAG, policy.tag.clone());
        // The bytes under a tag never change; whether this tag is still the policy is asked again.
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
        Ok(answer)
    }

    /// `GET /v1/receipt-keys`: the key that signs now and the one that will, signed by the one that does.
    pub(crate) fn receipt_keys(&self) -> Result<Response<AnswerStream>, RouteError> {
        let now = self.fleet.clock().now().wall.seconds();
        let mut statement = self.published.statement.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = statement.as_ref().filter(|(signed_at, _)| now.abs_diff(*signed_at) < STATEMENT_SECONDS);
        let text = match kept {
            Some((_, text)) => text.clone(),
            None => {
                let (current, next) = (self.receipt_key.public(), self.published.contents().next_receipt_key);
                let keys = ReceiptKeys { current, next, claimed_time: now };
                let signed = keys.sign(&self.receipt_key).map_err(|_| RouteError::Internal)?;
                let text = Bytes::from(signed.to_header());
                *statement = Some((now, text.clone()));
                text
            }
        };
        let mut answer = Response::new(whole(text));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Request;
    use http::header::IF_NONE_MATCH;
    use http_body_util::{BodyExt as _, Full};
    use teegate_protocol::headers::{POLICY_PATH, RECEIPT_KEYS_PATH};
    use teegate_protocol::published::PolicyDigest;
    use teegate_protocol::receipt::{ReceiptKey, Signed};

    use super::*;
    use crate::published::{ClientPolicy, Contents, Published};
    use crate::testing::{gateway, peer};
    use crate::trust::testing::{START, set_wall};

    fn publishing(contents: Contents) -> Gateway {
        Gateway { published: Published::of(contents), ..Arc::into_inner(gateway()).unwrap() }
    }

    async fn ask(gateway: &Gateway, request: http::request::Builder) -> (Response<()>, Vec<u8>) {
        let (head, body) = gateway.serve(request.body(Full::new(Bytes::new())).unwrap(), &peer()).await.into_parts();
        (Response::from_parts(head, ()), body.collect().await.unwrap().to_bytes().to_vec())
    }

    #[tokio::test]
    async fn a_policy_is_served_byte_for_byte_under_its_digest() {
        let bytes = b"schema = 1 # as it is written\n".to_vec();
        let contents = Contents { policy: Some(ClientPolicy::of(bytes.clone())), ..Contents::default() };
        let gateway = publishing(contents);
        let (head, body) = ask(&gateway, Request::get(POLICY_PATH)).await;
        assert_eq!((head.status(), &body), (StatusCode::OK, &bytes));
        let tag = head.headers()[ETAG].to_str().unwrap().to_owned();
        assert_eq!(tag, format!("\"{}\"", PolicyDigest::of(&bytes)));
        assert_eq!(head.headers()[CACHE_CONTROL], "public, no-cache");
        for had in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}")] {
            let (head, body) = ask(&gateway, Request::get(POLICY_PATH).header(IF_NONE_MATCH, had)).await;
            assert_eq!(
                (head.status(), body.len(), &head.headers()[ETAG]),
                (StatusCode::NOT_MODIFIED, 0, &tag.parse().unwrap())
            );
        }
        let (head, body) = ask(&gateway, Request::get(POLICY_PATH).header(IF_NONE_MATCH, "\"other\"")).await;
        assert_eq!((head.status(), body), (StatusCode::OK, bytes));
        assert_eq!(ask(&gateway, Request::post(POLICY_PATH)).await.0.status().as_u16(), 405);
        let (head, _) = ask(&publishing(Contents::default()), Request::get(POLICY_PATH)).await;
        assert_eq!(head.status(), StatusCode::NOT_FOUND, "where none is published there is none");
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_stated_by_the_one_that_signs_and_anew_every_minute() {
        let next = ReceiptKey::generate().unwrap().public();
        let gateway = publishing(Contents { next_receipt_key: Some(next), ..Contents::default() });
        let stated = async || {
            let (head, body) = ask(&gateway, Request::get(RECEIPT_KEYS_PATH)).await;
            assert_eq!(
                (head.status(), &head.headers()[CACHE_CONTROL]),
                (StatusCode::OK, &HeaderValue::from_static("no-store"))
            );
            ReceiptKeys::verify(&Signed::parse_header(std::str::from_utf8(&body).unwrap()).unwrap()).unwrap()
        };
        let current = gateway.receipt_key.public();
        assert_eq!(stated().await, ReceiptKeys { current, next: Some(next), claimed_time: START });
        set_wall(START + 59);
        assert_eq!(stated().await.claimed_time, START);
        set_wall(START + 60);
        assert_eq!(stated().await.claimed_time, START + 60);
        // What a reload announces is told at once, and not after a minute.
        let another = ReceiptKey::generate().unwrap().public();
        gateway.published.take(Contents { next_receipt_key: Some(another), ..Contents::default() });
        assert_eq!(stated().await, ReceiptKeys { current, next: Some(another), claimed_time: START + 60 });
    }

    #[tokio::test]
    async fn a_policy_that_is_replaced_is_another_under_another_tag() {
        let of = |text: &str| Contents { policy: Some(ClientPolicy::of(text.into())), ..Contents::default() };
        let gateway = publishing(of("one"));
        let (first, _) = ask(&gateway, Request::get(POLICY_PATH)).await;
        gateway.published.take(of("two"));
        let had = &first.headers()[ETAG];
        let (head, body) = ask(&gateway, Request::get(POLICY_PATH).header(IF_NONE_MATCH, had)).await;
        assert_eq!((head.status(), body.as_slice()), (StatusCode::OK, b"two".as_slice()), "whoever had the one before");
        gateway.published.take(Contents::default());
        assert_eq!(ask(&gateway, Request::get(POLICY_PATH)).await.0.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn what_no_client_could_use_is_refused_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let put = |text: &str| {
            let path = folder.path().join("client.toml");
            std::fs::write(&path, text).unwrap();
            path
        };
        let load = |text: &str| Contents::load(Some(&put(text)), None).map(drop);
        let bound = teegate_measurements::GENUINE.replace("bound_to = \"unchecked\"", "bound_to = \"guest\"");
        for (text, told) in [
            ("schema = 1", "client.toml`: "),
            (teegate_measurements::GENUINE, "`bound_to`"),
            (&" ".repeat((1 << 20) + 1), "more than 1048576 bytes"),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.starts_with("`client_policy`, `") && error.contains(told), "{error}");
        }
        if let Err(error) = load(&bound) {
            // A policy that binds to a guest has to pin its code; the loader says so.
            assert!(error.contains("bound"), "{error}");
        }
        let missing = Contents::load(Some(&folder.path().join("none")), None).map(drop).unwrap_err();
        assert!(missing.contains("cannot be read"), "{missing}");
        let key = ReceiptKey::generate().unwrap().public().to_string();
        assert!(Contents::load(None, Some(&key)).is_ok());
        for wrong in ["", "ab", &key.to_uppercase(), &format!("{key}0")] {
            let error = Contents::load(None, Some(wrong)).map(drop).unwrap_err();
            assert!(error.contains("--public-key"), "{error}");
        }
    }
}
