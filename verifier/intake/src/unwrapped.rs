//! What comes out of a form of evidence, before it is known what else the file held.

use teegate_verifier::{AciContext, AzureVtpm, Tee};

use crate::statement::Statement;

/// What came out of a wrapper.
#[derive(Debug)]
pub(crate) struct Unwrapped {
    pub(crate) tee: Tee,
    pub(crate) bytes: Vec<u8>,
    pub(crate) endorsements: Vec<Statement>,
    pub(crate) event_log: Option<Vec<u8>>,
    pub(crate) form: &'static str,
    /// What lay around it.
    pub(crate) vtpm: Option<AzureVtpm>,
    /// The security context beside it.
    pub(crate) aci: Option<AciContext>,
}

impl Unwrapped {
    /// Evidence and what came with it, with nothing around it and no log.
    pub(crate) fn new(tee: Tee, bytes: Vec<u8>, endorsements: Vec<Statement>, form: &'static str) -> Self {
        Self { tee, bytes, endorsements, event_log: None, form, vtpm: None, aci: None }
    }
}
