//! What must not be seen again.

/// A credential as it was shown. It can be compared and verified and nothing else: it has no `Debug` and no `Display`, so that no
/// log line and no error can hold it.
pub(crate) struct Secret<'a>(&'a [u8]);

impl<'a> Secret<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a digest or a signature.
    pub(crate) fn expose(&self) -> &'a [u8] {
        self.0
    }
}
