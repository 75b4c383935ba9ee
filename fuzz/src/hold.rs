//! What must hold of every answer, whatever the bytes were.

use teegate_fuzz_engine::look;
pub(crate) use teegate_fuzz_engine::look::one_in_eight;

/// No message is longer than a screen.
const LONGEST_MESSAGE: usize = 4_000;
/// So much of a stranger's text may stand in a message.
const ECHO: usize = 80;

/// The message is short and repeats no long stretch of the input.
pub(crate) fn message(input: &[u8], message: &str) {
    assert!(message.len() <= LONGEST_MESSAGE, "a message of {} bytes", message.len());
    echo(input, message);
}

/// The message repeats no long stretch of the input.
pub(crate) fn echo(input: &[u8], message: &str) {
    repeats(input, message, |_| true);
}

/// The same of what a verifier found: a measurement is 96 digits on both sides, and is shown whole.
pub(crate) fn echo_but_digits(input: &[u8], message: &str) {
    repeats(input, message, |stretch| !stretch.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

fn repeats(input: &[u8], message: &str, counts: fn(&str) -> bool) {
    if let Some(stretch) = look::repeated(input, message, ECHO, counts) {
        panic!("a message repeats `{stretch}`");
    }
}

/// What a reader gives; its message is short. One input in eight is read twice, and has to give the same.
pub(crate) fn same<T: PartialEq, E: std::fmt::Display>(input: &[u8], read: impl Fn() -> Result<T, E>) -> Option<T> {
    let first = read();
    let again = one_in_eight(input).then(&read);
    match (first, again) {
        (Ok(first), again) => {
            assert!(
                again.is_none_or(|again| again.is_ok_and(|again| again == first)),
                "read twice, and two values came"
            );
            Some(first)
        }
        (Err(first), again) => {
            let first = first.to_string();
            if let Some(again) = again {
                let again = again.err().map(|error| error.to_string());
                assert_eq!(again.as_ref(), Some(&first), "read twice, and two errors came");
            }
            message(input, &first);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_repeats_eighty_characters_and_no_more() {
        let text: String = (0..200).map(|at| char::from(b'a' + at % 23)).collect();
        let repeats = |length: usize| {
            let message = format!("it says `{}`", &text[..length]);
            std::panic::catch_unwind(|| echo(text.as_bytes(), &message)).is_err()
        };
        assert!(!repeats(80) && repeats(160));
        let digits = format!("expected {}", "4d".repeat(48));
        echo_but_digits(digits.as_bytes(), &"4d".repeat(48));
    }
}
