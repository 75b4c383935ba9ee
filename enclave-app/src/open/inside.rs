//! The inside of an answer, and how it is closed: padded, then sealed.

use teegate_protocol::bhttp::{BhttpError, Response};
use teegate_protocol::headers::PROBLEM_JSON;
use teegate_protocol::ohttp::ServerContext;
use teegate_protocol::padding::padded_len;
use teegate_protocol::problem::Problem;
use zeroize::{Zeroize, Zeroizing};

use super::conditions::bad_request;
use crate::memory::Purse;
use crate::oip::OipError;
use crate::oip::answer::no_memory;
use crate::secret::{self, Secret};

const CONTENT_TYPE: &str = "content-type";
const ACCEPT_ENCODING: &str = "accept-encoding";
const JSON: &str = "application/json";

/// What framing adds to an answer, and to each of its fields, at the most.
const FRAME_BYTES: usize = 32;
/// What sealing adds: a nonce and a tag, rounded up.
const SEAL_BYTES: usize = 64;

/// An answer before it is closed.
pub(super) struct Inside {
    pub(super) status: u16,
    pub(super) fields: Vec<(&'static str, String)>,
    content: Secret,
    /// How much of it was paid for: all, or nothing of a small answer of our own.
    paid: usize,
}

/// A sealed answer on its way, and the purse that paid for it.
pub struct Sealed {
    /// The encapsulated answer.
    pub bytes: Vec<u8>,
    /// No fuller than the answer is long.
    pub purse: Purse,
}

impl Inside {
    /// A small answer of our own.
    pub(super) fn json(status: u16, content: Vec<u8>) -> Self {
        Self::of(status, JSON, content)
    }

    /// The outputs of a model, paid for.
    pub(super) fn outputs(content: Secret, has_raw_tensors: bool) -> Self {
        let media_type = if has_raw_tensors { "application/octet-stream" } else { JSON };
        let paid = content.capacity();
        Self { status: 200, fields: vec![(CONTENT_TYPE, media_type.to_owned())], content, paid }
    }

    fn of(status: u16, media_type: &str, content: Vec<u8>) -> Self {
        let fields = vec![(CONTENT_TYPE, media_type.to_owned())];
        Self { status, fields, content: Zeroizing::new(content), paid: 0 }
    }

    /// Bytes of its content.
    pub(super) fn len(&self) -> usize {
        self.content.len()
    }

    #[cfg(test)]
    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }

    /// The message that is sealed, with its padding, and memory for what it is sealed into. Otherwise what is to be said
    /// instead.
    fn padded(self, limit: usize, purse: &mut Purse) -> Result<Secret, Self> {
        let Self { status, fields, content, paid } = self;
        let head: usize = fields.iter().map(|(name, value)| name.len() + value.len() + FRAME_BYTES).sum();
        let at_most = padded_len(content.len().saturating_add(head).saturating_add(FRAME_BYTES));
        if padded_len(content.len()) > limit {
            return Err(too_large(padded_len(content.len()), limit).into());
        }
        purse.spend(at_most).map_err(no_memory)?;
        let mut response = Response::new(status);
        for (name, value) in fields {
            response.fields.push(name, value).map_err(not_written)?;
        }
        let mut content = content;
        response.content = std::mem::take(&mut *content);
        let written = response.encode_padded();
        response.content.zeroize();
        purse.refund(paid);
        let message = Zeroizing::new(written.map_err(not_written)?);
        purse.refund(at_most.saturating_sub(message.capacity()));
        if message.len() > limit {
            return Err(too_large(message.len(), limit).into());
        }
        purse.spend(message.len().saturating_add(SEAL_BYTES)).map_err(no_memory)?;
        Ok(message)
    }
}

/// Closes an answer, or a refusal for which the `spare` purse was kept. `None` when the system gives no random bytes.
pub(super) fn close(
    answer: Result<(Inside, Purse), Inside>,
    mut spare: Purse,
    context: ServerContext,
    limit: usize,
) -> Option<Sealed> {
    let closing = answer.and_then(|(inside, mut purse)| Ok((inside.padded(limit, &mut purse)?, purse)));
    let (message, mut purse) = match closing {
        Ok(closing) => closing,
        // Its own purse is gone, whatever became of the request.
        Err(refusal) => (refusal.padded(limit, &mut spare).ok()?, spare),
    };
    let expected = message.len().saturating_add(SEAL_BYTES);
    // The fields are made here, so what can fail is the random number generator.
    let bytes = context.seal(&message).ok()?;
    secret::wipe(message, &mut purse);
    purse.refund(expected.saturating_sub(bytes.capacity()));
    purse.shrink();
    Some(Sealed { bytes, purse })
}

fn too_large(bytes: usize, limit: usize) -> OipError {
    let message = format!(
        "answer has {bytes} padded bytes, at most {limit} can be sealed; ask for fewer outputs or smaller batches"
    );
    OipError { status: 500, message }
}

fn not_written(error: BhttpError) -> Inside {
    bad_request(error).into()
}

impl From<Problem> for Inside {
    fn from(problem: Problem) -> Self {
        let mut inside = Self::of(problem.status(), PROBLEM_JSON, problem.to_json());
        inside.fields.extend(problem.retry_after.map(|seconds| ("retry-after", seconds.to_string())));
        inside
    }
}

impl From<OipError> for Inside {
    fn from(error: OipError) -> Self {
        let mut inside = Self::json(error.status, error.body());
        if error.status == 415 {
            // RFC 9110, section 15.5.16: what would have been taken.
            inside.fields.push((ACCEPT_ENCODING, "identity".to_owned()));
        }
        inside
    }
}
