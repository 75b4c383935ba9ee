//! One value against one rule: how every field is judged that needs nothing else.

use std::sync::Arc;

use crate::check::Check;
use crate::findings::{Comparison, Findings};
use crate::report::Text;
use crate::rule::{Ask, Field, Shown};
use crate::words::{Value, words};

/// What each field of a profile asks, in the order of the platform's table, and the same as a finding says it.
#[derive(Clone, Copy)]
pub(crate) struct RulesInWords<'a> {
    pub(crate) rules: &'a [(&'static Field, Ask)],
    pub(crate) words: &'a [Arc<str>],
}

impl<'a> RulesInWords<'a> {
    /// One after the other.
    pub(crate) fn each(self) -> impl Iterator<Item = Rule<'a>> {
        let both = self.rules.iter().zip(self.words);
        both.map(|((field, ask), words)| Rule { field, ask, words })
    }

    /// What this field asks.
    pub(crate) fn of(self, field: &Field) -> Option<Rule<'a>> {
        self.each().find(|rule| rule.field.name == field.name)
    }
}

/// What one field asks.
#[derive(Clone, Copy)]
pub(crate) struct Rule<'a> {
    field: &'static Field,
    ask: &'a Ask,
    words: &'a Arc<str>,
}

/// Judges what evidence shows of a field by what the profile asks there.
pub(crate) fn judge(check: Check, Rule { field, ask, words }: &Rule<'_>, shown: &Shown<'_>, findings: &mut Findings) {
    if ask.is_waived() {
        let why = match shown {
            Shown::Bits(bits) | Shown::Mask(bits) => {
                words!("the policy asks nothing of it; it is {}", Value::Bits(*bits))
            }
            _ => "the policy expects no particular value".into(),
        };
        return findings.not_checked(check, field.name, why);
    }
    let holds = ask.admits(shown);
    let actual = match (ask, shown) {
        (Ask::Bits(bits), Shown::Bits(value)) if !holds => bits.complaint(*value).into(),
        _ => said(shown),
    };
    findings.judge(holds, Comparison { check, expected: Arc::clone(words).into(), actual });
}

fn said(shown: &Shown<'_>) -> Text {
    match shown {
        Shown::Bytes(bytes) => words!("{}", &**bytes),
        Shown::Number(number) => words!("{}", *number),
        Shown::Bits(bits) | Shown::Mask(bits) => words!("{}", Value::Bits(*bits)),
        other => other.to_string().into(),
    }
}
