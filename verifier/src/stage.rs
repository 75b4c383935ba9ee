//! Evidence before and after its signature was checked: two types, and one function that leads from one to the other.

/// What carries a signature over the very bytes that were parsed.
pub(crate) trait Signed {
    /// The key that should have signed.
    type Key<'k>;
    /// Whether `key` signed the bytes as received.
    fn is_signed_by(&self, key: Self::Key<'_>) -> bool;
}

/// Parsed, and believed by nobody. Lends its content only so that endorsements for it can be chosen.
#[derive(Clone, Debug)]
pub(crate) struct Unverified<T>(T);

/// Signed by a key that was traced to an anchor. There is no other way to make one than [`Unverified::authenticated_by`].
#[derive(Clone, Debug)]
pub(crate) struct Authentic<T>(T);

impl<T> Unverified<T> {
    /// What the bytes claim.
    pub(crate) fn new(claim: T) -> Self {
        Self(claim)
    }

    /// The claim, as a hint for choosing endorsements and for showing to people.
    pub(crate) fn hints(&self) -> &T {
        &self.0
    }
}

impl<T: Signed> Unverified<T> {
    /// The claim, once `key` is found to have signed it. Whoever calls this has traced `key` to an anchor.
    pub(crate) fn authenticated_by(self, key: T::Key<'_>) -> Option<Authentic<T>> {
        self.0.is_signed_by(key).then_some(Authentic(self.0))
    }
}

impl<T> Authentic<T> {
    /// The authenticated content.
    pub(crate) fn get(&self) -> &T {
        &self.0
    }
}
