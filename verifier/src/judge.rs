//! One value against one rule: how every field is judged that needs nothing else.

use crate::check::Check;
use crate::findings::{Comparison, Findings};
use crate::rule::{Ask, Field, Shown};

/// Judges what evidence shows of `field` by what the profile asks there.
pub(crate) fn judge(check: Check, field: &'static Field, ask: &Ask, shown: &Shown<'_>, findings: &mut Findings) {
    if ask.is_waived() {
        let why = match shown {
            Shown::Bits(_) | Shown::Mask(_) => format!("the policy asks nothing of it; it is {shown}"),
            _ => "the policy expects no particular value".to_owned(),
        };
        return findings.not_checked(check, field.name, why);
    }
    let holds = ask.admits(shown);
    let actual = match (ask, shown) {
        (Ask::Bits(bits), Shown::Bits(value)) if !holds => bits.complaint(*value),
        _ => shown.to_string(),
    };
    findings.judge(holds, Comparison { check, expected: ask.to_string().into(), actual: actual.into() });
}
