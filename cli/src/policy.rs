//! The policy that the user names: one of those that are built in, or a file.

use std::path::Path;

use teegate_measurements::POLICIES;
use teegate_verifier::{Policy, PolicyError};

use crate::file;
use crate::nearest::nearest;

/// Reference values of a large fleet fit many times over.
const MAX_BYTES: usize = 1 << 20;

/// Reads the policy called `name`. The names of those that are built in are taken; a file of that name is `./genuine`.
pub(crate) fn read(name: &str) -> Result<Policy, String> {
    Policy::parse(&read_text(name)?).map_err(|error| refused(name, &error))
}

/// The text of the policy called `name`.
pub(crate) fn read_text(name: &str) -> Result<String, String> {
    let shipped = POLICIES.into_iter().find(|(own, _)| *own == name);
    shipped.map_or_else(|| read_file(name), |(_, text)| Ok(text.to_owned()))
}

/// Why the policy called `name` was refused with the reference values that the user gave: the error names what they lack.
pub(crate) fn refused_with_values(name: &str, error: &PolicyError) -> String {
    if is_template(name) {
        return format!(
            "policy `{name}` is a template, and the reference values that are given do not make a policy of it: {error}"
        );
    }
    format!("policy `{name}`, with the reference values that are given: {error}")
}

fn is_template(name: &str) -> bool {
    name != "genuine" && POLICIES.iter().any(|(own, _)| *own == name)
}

/// Why the policy called `name` was refused.
pub(crate) fn refused(name: &str, error: &PolicyError) -> String {
    match name {
        template if is_template(template) => format!(
            "policy `{template}` is a template: give your reference values with `--reference-values`, or put them into a copy of \
             `measurements/policy/{template}.toml` and name the copy: {error}"
        ),
        name => format!("policy `{name}`: {error}"),
    }
}

fn read_file(path: &str) -> Result<String, String> {
    let meant = || {
        nearest(path, POLICIES.map(|(name, _)| name))
            .map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
    };
    file_text(Path::new(path))
        .map_err(|what| format!("policy `{path}`: {what}; expected a TOML file, or one of {}{}", names(), meant()))
}

/// The policies that are built in, as an error lists them.
fn names() -> String {
    POLICIES.map(|(name, _)| format!("`{name}`")).join(", ")
}

/// The text of a file that a policy, or what belongs to one, stands in; or what is wrong with it.
pub(crate) fn file_text(path: &Path) -> Result<String, String> {
    String::from_utf8(file::read(path, MAX_BYTES)?).map_err(|_| "is not UTF-8 text".to_owned())
}
