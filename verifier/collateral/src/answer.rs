//! Is this the document that was asked for, and from when to when does it hold? Read by the parsers that will judge it later.

use teegate_intake::endorsements;
use teegate_verifier::{Endorsements, Hint, UnixTime, hints_of};

use crate::document::Document;
use crate::failure::Failure;
use crate::link::Answer;
use crate::source::Ask;
use crate::words::shown;

/// A document that can be read, with what it says of itself. Whether that is true is the verifier's question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    /// As a file holds it and as intake reads it.
    pub(crate) bytes: Vec<u8>,
    hints: Vec<Hint>,
    /// The latest beginning of anything in it.
    pub(crate) from: UnixTime,
    /// The earliest end of anything in it.
    pub(crate) until: UnixTime,
}

impl Read {
    /// Reads what a file or an answer holds; the error says why it is no document.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        let mut pool = Endorsements::new();
        endorsements::recognise("answer", &bytes, &mut pool).map_err(|error| error.defect().to_string())?;
        let hints: Option<Vec<Hint>> = hints_of(&pool).into_iter().collect();
        let hints = hints.ok_or("a certificate, list or statement in it cannot be read")?;
        let ends: Option<Vec<UnixTime>> = hints.iter().map(|hint| hint.until).collect();
        let until = ends.ok_or("a revocation list in it says no next update")?.into_iter().min();
        let from = hints.iter().map(|hint| hint.from).max();
        let (Some(from), Some(until)) = (from, until) else { return Err("it holds nothing".to_owned()) };
        Ok(Self { bytes, hints, from, until })
    }

    /// Whether it is `document`, and holds at `now`.
    pub(crate) fn check(&self, document: &Document, now: UnixTime) -> Result<(), Failure> {
        if now < self.from || self.until <= now {
            return Err(Failure::NotValidNow { now, from: self.from, until: self.until });
        }
        if !document.is_among(&self.hints, now) {
            return Err(Failure::NotTheDocument { reason: format!("{document} is not in it; {}", self.contents()) });
        }
        Ok(())
    }

    fn contents(&self) -> String {
        const NAMES: usize = 6;
        let name = |hint: &Hint| match hint.name.as_str() {
            "" => "something without a common name".to_owned(),
            name => format!("`{}`", shown(name)),
        };
        let names: Vec<_> = self.hints.iter().take(NAMES).map(name).collect();
        let more = self.hints.len().saturating_sub(NAMES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("it holds {}{more}", names.join(", "))
    }
}

/// The document in an answer, together with the chain of its signer where the service sends that in the header.
pub(crate) fn read(answer: &Answer, ask: &Ask) -> Result<Read, Failure> {
    let chain = ask.chain_headers.iter().find_map(|name| answer.headers.get(*name).map(|value| (name, value)));
    let bytes = match chain {
        Some((name, value)) => {
            let head = [b"HTTP/1.1 200 OK\r\n", name.as_bytes(), b": ", value.as_bytes(), b"\r\n\r\n"].concat();
            [&head, answer.body.as_ref()].concat()
        }
        None => answer.body.to_vec(),
    };
    Read::parse(bytes).map_err(|reason| Failure::NotTheDocument { reason })
}
