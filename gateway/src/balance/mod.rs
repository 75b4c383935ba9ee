//! Whom requests go to, where the gateway chooses at all: which instances a client is offered, and by which of its addresses an
//! instance is reached. A client seals to one instance, so that once it has sealed only the second is left.
//!
//! [`load`] measures what passes, [`choice`] takes the less loaded of two, [`outliers`] leaves out who does much worse than the
//! others for a time. All of it is about availability: whether a request *may* be sent is the release predicate's question.

pub mod choice;
pub mod load;
pub mod outliers;
