//! Rules: the forms in which a policy says what it accepts, what each form means, and what is known of the fields that are
//! written in them. They know no platform; each platform's profile is made of them.

mod ask;
mod bits;
mod expect;
mod field;
mod forms;
mod pinned;
mod shown;
mod value;
mod words;

pub(crate) use ask::Asks;
pub use ask::{Ask, Floor};
pub use bits::{BitNames, Bits};
pub(crate) use expect::{Expect, Scalar};
pub use field::{Blank, Field, Recorded, Severity, Topic, Written};
pub(crate) use forms::{
    Age, Form, Listed, MAX_GRACE_DAYS, Mask, NO_END, ReportDataRule, Revocation, Switch, Version, Waivable, bits_of,
    clipped, not_empty, reason, reasons,
};
pub(crate) use pinned::{Digest, Pin, Undertaken, pin, pins, unpinned};
pub use shown::Shown;
pub use value::{Value, Values};
pub(crate) use words::NEEDED;
