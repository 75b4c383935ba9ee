//! Who watches a client at work: what it verified, what it refused, how far an upload is.

use std::fmt;

use teegate_intake::envelope::Refused;

use crate::instance::Instance;

/// Is told what happens beside the answers. Nothing that it does changes any of it; what it does, it should do at once.
pub trait Observer: fmt::Debug + Send + Sync {
    /// An instance was verified, and may be sealed to from now on.
    fn verified(&self, instance: &Instance) {
        let _ = instance;
    }

    /// An instance that was offered was refused. Another may still be accepted.
    fn refused(&self, why: &Refused) {
        let _ = why;
    }

    /// Something to know and not to act on, such as a vendor who could not be asked.
    fn note(&self, text: &str) {
        let _ = text;
    }

    /// So many bytes of a sealed request have left.
    fn uploaded(&self, bytes: usize, of: usize) {
        let _ = (bytes, of);
    }
}
