//! What the door says about whom it verified.

use std::sync::Arc;

use crate::error::Error;
use crate::instance::Instance;

/// Something that whoever runs the door should hear.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// This instance was verified, and requests are sealed to it from now on: the first one, one with a new manifest, or any after
    /// [`Event::Lost`].
    Verified(Arc<Instance>),
    /// There is nobody to seal to, and this is why. Requests are answered with an error until the next [`Event::Verified`].
    Lost(Error),
}
