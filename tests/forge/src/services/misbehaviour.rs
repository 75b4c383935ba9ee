//! Every way in which a service can misbehave, one at a time.

/// What a service does instead of answering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misbehaviour(pub(super) Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing, until the client goes away.
    Silent,
    /// Half of the answer, then the end.
    Truncated,
    /// The answer after this many bytes of white space.
    Oversized(usize),
    /// Another header field beside, or in place of, the answer's own.
    Relabelled(String, String),
    /// Another body.
    Body(Vec<u8>),
    /// Another status.
    Status(u16, Vec<(String, String)>),
}

impl Misbehaviour {
    /// Never answers.
    pub fn silent() -> Self {
        Self(Kind::Silent)
    }

    /// Closes the connection in the middle of the body.
    pub fn truncated() -> Self {
        Self(Kind::Truncated)
    }

    /// Sends a body of more than `bytes`.
    pub fn oversized(bytes: usize) -> Self {
        Self(Kind::Oversized(bytes))
    }

    /// The right body under another header field.
    pub fn relabelled(name: &str, value: &str) -> Self {
        Self(Kind::Relabelled(name.to_owned(), value.to_owned()))
    }

    /// Another body under the right header.
    pub fn body(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Kind::Body(bytes.into()))
    }

    /// Another status, without a document.
    pub fn status(status: u16) -> Self {
        Self(Kind::Status(status, Vec::new()))
    }

    /// With this header field; of a [`Misbehaviour::status`] alone.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Kind::Status(_, headers) = &mut self.0 {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}
