//! Rules: the forms in which a policy says what it accepts. They know no platform; each platform's profile is made of them.

mod expect;
mod forms;

pub(crate) use expect::{Expect, NEEDED, Scalar};
pub(crate) use forms::{
    Age, Bits, Form, Listed, MAX_GRACE_DAYS, Mask, NO_END, ReportDataRule, Revocation, Switch, Unknown, Version,
    Waivable, Wrapping, clipped, not_empty, only_known, reason, reasons,
};
