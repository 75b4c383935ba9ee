//! Evidence as taken in: its bytes, what came along with them, and the form that both were found in.

use teegate_verifier::{Endorsements, Evidence, Source, Tee};

use crate::statement::Statement;

/// Evidence of one TEE as taken in, with the endorsements that came in the same file.
#[derive(Debug, Clone)]
pub struct OwnedEvidence {
    /// The platform that the bytes name.
    pub tee: Tee,
    /// The report or quote, exactly as received.
    pub bytes: Vec<u8>,
    /// What came along with it, as brought by the evidence, or by the bundle that it was in. It is as hostile as the
    /// evidence: the verifier believes signatures, and whoever asks the vendors lets nothing of it that has an order in time
    /// stand in for their answers ([`Endorsements::without_order_in_time`]).
    pub endorsements: Endorsements,
    /// The event log of the boot, where one came along. Nothing in it is believed until it replays to what a quote states.
    pub event_log: Option<Vec<u8>>,
    /// The form that it was found in, in words.
    pub form: &'static str,
    /// The member of somebody's JSON that it was taken out of, at most 80 characters of its name; nothing else of that file counts.
    pub member: Option<String>,
    /// What `endorsements` holds, one by one: what a bundle keeps.
    pub(crate) carried: Vec<Statement>,
}

impl OwnedEvidence {
    /// Evidence alone.
    pub(crate) fn new(tee: Tee, bytes: Vec<u8>, form: &'static str) -> Self {
        let endorsements = Endorsements::brought_by(Source::Evidence);
        Self { tee, bytes, endorsements, event_log: None, form, member: None, carried: Vec::new() }
    }

    /// Evidence alone, out of a bundle: what comes along with it, whoever made the bundle chose.
    pub(crate) fn out_of_a_bundle(tee: Tee, bytes: Vec<u8>, form: &'static str) -> Self {
        Self { endorsements: Endorsements::brought_by(Source::Bundle), ..Self::new(tee, bytes, form) }
    }

    /// The same, with more that came along.
    pub(crate) fn with_statements(mut self, statements: Vec<Statement>) -> Self {
        statements.iter().for_each(|statement| statement.clone().add_to(&mut self.endorsements));
        self.carried.extend(statements);
        self
    }

    pub(crate) fn with_event_log(self, event_log: Option<Vec<u8>>) -> Self {
        Self { event_log, ..self }
    }

    /// The evidence as the verifier takes it, with `endorsements` to choose from. Add [`OwnedEvidence::endorsements`] to
    /// them first, where what came along should count.
    #[must_use]
    pub fn as_evidence<'a>(&'a self, endorsements: &'a Endorsements) -> Evidence<'a> {
        of(self.tee, &self.bytes, self.event_log.as_deref(), endorsements)
    }
}

/// Evidence of `tee`, with the log of its boot where there is one.
pub(crate) fn of<'a>(
    tee: Tee,
    bytes: &'a [u8],
    event_log: Option<&'a [u8]>,
    endorsements: &'a Endorsements,
) -> Evidence<'a> {
    let evidence = Evidence::of(tee, bytes, endorsements);
    match event_log {
        Some(log) => evidence.with_event_log(log),
        None => evidence,
    }
}
