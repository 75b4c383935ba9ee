//! From ciphertext to an opened request, in the buffer in which it arrived.
//!
//! A place is reserved before anything is opened, and only what runs a model keeps it ([`crate::replay`]). Calls that run
//! nothing need no exactly-once: to answer one again changes nothing here, and tells whoever has copied its ciphertext
//! nothing, because every answer is sealed for the client alone. So they cannot fill the table, however many there are.

use teegate_protocol::bhttp::{BhttpError, Request};
use teegate_protocol::ohttp::request::OpenError;
use teegate_protocol::ohttp::{EncapsulatedRequest, ServerContext};
use teegate_protocol::problem::{Problem, ProblemKind};
use teegate_protocol::receipt::{Salt, SaltedDigest};
use zeroize::Zeroizing;

use super::conditions::bad_request;
use super::inside::Inside;
use crate::epoch::Epoch;
use crate::oip::{self, Call, OipError};
use crate::replay::Arrival;
use crate::secret::Secret;

/// A request that may be answered.
pub(super) struct Opened {
    /// Everything but the content; wiped when dropped.
    pub(super) request: Zeroizing<Request>,
    /// The content, where the ciphertext was.
    pub(super) content: Secret,
    /// Names the whole request in the receipt of a run; none for a call that runs nothing.
    pub(super) named: Option<(Salt, SaltedDigest)>,
}

/// What became of a ciphertext.
pub(super) enum Unsealed {
    /// It opened, and this is to be answered.
    Opened(Opened, ServerContext),
    /// It opened, and this is the answer.
    Refused(Inside, ServerContext),
    /// It asks for a key that is not there, or no longer.
    UnknownKey(OpenError),
    /// There is no room to remember it by, so it was not opened.
    Busy,
    /// It is no encapsulated request, or does not open.
    NotOpened,
}

/// Reserves, opens, and takes the place of what will run.
pub(super) fn unseal(epoch: &Epoch, bytes: Vec<u8>, limit: usize) -> Unsealed {
    // From here on it may be plaintext.
    let mut message = Zeroizing::new(bytes);
    let key = match EncapsulatedRequest::parse(&message) {
        Ok(request) => request.replay_key(),
        Err(error) => return not_opened(error),
    };
    let Some(reservation) = epoch.replay().reserve(key) else { return Unsealed::Busy };
    let context = match epoch.open(&mut message) {
        Ok(context) => context,
        Err(error) => return not_opened(error),
    };
    let (request, place) = match Request::decode_head(&message, limit) {
        Ok((request, place)) => (Zeroizing::new(request), place),
        Err(error) => return Unsealed::Refused(not_http(error).into(), context),
    };
    let mut named = None;
    if matches!(oip::route(&request.method, &request.path), Ok(Call::Infer(_))) {
        if reservation.take() == Arrival::Again {
            return Unsealed::Refused(Problem::new(ProblemKind::Replay).into(), context);
        }
        // Before the content is moved to the front of its buffer: the receipt is about every byte that was sealed.
        match Salt::generate() {
            Ok(salt) => {
                let digest = salt.digest(&message);
                named = Some((salt, digest));
            }
            Err(error) => {
                let message = format!("execution receipt could not be made: {error}");
                return Unsealed::Refused(OipError { status: 500, message }.into(), context);
            }
        }
    }
    place.gather(&mut message);
    Unsealed::Opened(Opened { request, content: message, named }, context)
}

fn not_opened(error: OpenError) -> Unsealed {
    if error.is_key_problem() { Unsealed::UnknownKey(error) } else { Unsealed::NotOpened }
}

fn not_http(error: BhttpError) -> Problem {
    match error {
        BhttpError::TooLarge { .. } => Problem::new(ProblemKind::TooLarge).with_detail(error),
        _ => bad_request(error),
    }
}
