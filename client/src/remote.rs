//! Problems that somebody else reports: the gateway, outside the seal, or the enclave, inside it.
//!
//! An unsealed problem is a diagnostic and not the truth: whoever is on the way can write one. It may make a client fetch,
//! verify and seal again, at most twice; it cannot make it send anything unsealed. A problem in the wrong place, such as an
//! unsealed `replay`, is not read as one.

use std::fmt;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use teegate_protocol::bhttp::Response;
use teegate_protocol::headers::PROBLEM_JSON;
use teegate_protocol::problem::{Executed, Problem, ProblemKind};

use crate::words::Words;

/// What somebody else says went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteProblem {
    /// The status of the answer.
    pub status: u16,
    /// The problem, if there was a readable one in its place.
    pub problem: Option<Problem>,
    /// Whether it came out of the seal: then the enclave said it.
    pub sealed: bool,
    /// The detail of a sealed problem, taken out of it: it may repeat something of the request.
    pub words: Option<Words>,
}

impl RemoteProblem {
    /// What is known of the request's fate.
    pub fn executed(&self) -> Executed {
        self.problem.as_ref().map_or(Executed::Unknown, |problem| problem.executed)
    }

    /// Whether it says that nobody is there who could be asked.
    pub(crate) fn says_none_is_there(&self) -> bool {
        let none = [ProblemKind::NoAttestedInstance, ProblemKind::UnknownModel];
        !self.sealed && self.problem.as_ref().is_some_and(|problem| none.contains(&problem.kind))
    }

    /// Whether another seal, to a freshly verified manifest, is what it asks for.
    pub(crate) fn asks_to_reseal(&self) -> bool {
        let asks = |problem: &Problem| problem.executed == Executed::No && problem.kind.asks_to_reseal();
        !self.sealed && self.problem.as_ref().is_some_and(asks)
    }
}

/// Reads an answer that came without a seal and is no success.
pub(crate) fn unsealed(answer: &http::Response<Bytes>) -> RemoteProblem {
    let status = answer.status().as_u16();
    let media_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let problem = read(media_type, answer.body(), status).filter(|problem| problem.kind.may_be_unsealed());
    RemoteProblem { status, problem, sealed: false, words: None }
}

/// Reads a sealed answer that is no success; `None` if it is no problem of ours.
pub(crate) fn sealed(answer: &Response) -> Option<RemoteProblem> {
    let mut problem = read(answer.fields.get("content-type"), &answer.content, answer.status)?;
    let words = problem.detail.take().map(Words::new);
    let in_place = problem.kind.may_be_sealed();
    Some(RemoteProblem { status: answer.status, problem: Some(problem).filter(|_| in_place), sealed: true, words })
}

fn read(media_type: Option<&str>, body: &[u8], status: u16) -> Option<Problem> {
    if !is_media_type(media_type, PROBLEM_JSON) {
        return None;
    }
    Problem::parse(body).ok().filter(|problem| problem.status() == status)
}

/// Whether a `content-type` names that media type, whatever its parameters.
pub(crate) fn is_media_type(value: Option<&str>, expected: &str) -> bool {
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(expected)
}

impl fmt::Display for RemoteProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.sealed { "the enclave, sealed" } else { "the gateway, unsealed" };
        match &self.problem {
            Some(problem) => {
                write!(f, "{who}: {problem}")?;
                if let Some(seconds) = problem.retry_after {
                    write!(f, "; try again in {seconds} s")?;
                }
                Ok(())
            }
            None => write!(
                f,
                "{who}: status {} without a readable problem; whether it was executed is unknown",
                self.status
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(problem: &Problem, media_type: &str) -> http::Response<Bytes> {
        http::Response::builder()
            .status(problem.status())
            .header(CONTENT_TYPE, media_type)
            .body(Bytes::from(problem.to_json()))
            .unwrap()
    }

    #[test]
    fn exactly_the_stale_ones_ask_for_another_seal() {
        for kind in ProblemKind::ALL.into_iter().filter(|kind| kind.may_be_unsealed()) {
            let remote = unsealed(&answer(&Problem::new(kind), PROBLEM_JSON));
            assert_eq!(remote.problem.as_ref().map(|p| p.kind), Some(kind));
            let expected = ["reseal", "stale-manifest", "ohttp-key", "policy-changed"].contains(&kind.name());
            assert_eq!(remote.asks_to_reseal(), expected, "{}", kind.name());
        }
    }

    #[test]
    fn nothing_is_sealed_again_once_the_request_may_have_run() {
        let problem = Problem::new(ProblemKind::PolicyChanged).unknown_outcome();
        let remote = unsealed(&answer(&problem, PROBLEM_JSON));
        assert_eq!(remote.executed(), Executed::Unknown);
        assert!(!remote.asks_to_reseal());
    }

    #[test]
    fn a_problem_out_of_place_is_not_read() {
        let replay = Problem::new(ProblemKind::Replay);
        let remote = unsealed(&answer(&replay, PROBLEM_JSON));
        assert_eq!((remote.problem.as_ref(), remote.executed()), (None, Executed::Unknown));

        let mut response = Response::new(409);
        response.fields.push("content-type", PROBLEM_JSON).unwrap();
        response.content = replay.to_json();
        assert_eq!(sealed(&response).unwrap().problem, Some(replay));
        let stale = Problem::new(ProblemKind::StaleManifest);
        response.content = stale.to_json();
        assert_eq!(sealed(&response).unwrap().problem, None, "only a gateway says this, and never sealed");
    }

    #[test]
    fn another_media_type_or_status_is_no_problem_of_ours() {
        let reseal = Problem::new(ProblemKind::Reseal);
        assert_eq!(unsealed(&answer(&reseal, "text/html")).problem, None);
        assert!(unsealed(&answer(&reseal, "application/problem+json; charset=utf-8")).problem.is_some());
        let mut other = answer(&reseal, PROBLEM_JSON);
        *other.status_mut() = http::StatusCode::BAD_GATEWAY;
        assert_eq!(unsealed(&other).problem, None);
    }
}
