//! What must hold of every answer, whatever the bytes were.

/// No message is longer than a screen.
const LONGEST_MESSAGE: usize = 4_000;
/// So much of a stranger's text may stand in a message.
const ECHO: usize = 80;

/// The message is short and repeats no long stretch of the input.
pub(crate) fn message(input: &[u8], message: &str) {
    assert!(message.len() <= LONGEST_MESSAGE, "a message of {} bytes", message.len());
    // In a long input, looking for it costs more than most readers take.
    if input.len() <= 2_048 || one_in_eight(input) {
        echo(input, message);
    }
}

/// The message repeats no long stretch of the input.
pub(crate) fn echo(input: &[u8], message: &str) {
    stretches(input, message, |_| true);
}

/// The same of what a verifier found: a measurement is 96 digits on both sides, and is shown whole.
pub(crate) fn echo_but_digits(input: &[u8], message: &str) {
    stretches(input, message, |stretch| !stretch.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

fn stretches(input: &[u8], message: &str, counts: impl Fn(&str) -> bool) {
    let characters: Vec<char> = message.chars().collect();
    // Every stretch of twice the length holds one of these whole.
    for window in characters.windows(ECHO + 1).step_by(ECHO / 2) {
        let stretch: String = window.iter().collect();
        if !counts(&stretch) {
            continue;
        }
        let (stretch, first) = (stretch.as_str(), window[0]);
        let mut byte = [0; 4];
        let first = first.encode_utf8(&mut byte).as_bytes()[0];
        let begins = input.iter().enumerate().filter(|(_, byte)| **byte == first);
        let repeated = begins.into_iter().any(|(at, _)| input[at..].starts_with(stretch.as_bytes()));
        assert!(!repeated, "a message repeats `{stretch}`");
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

/// One input in eight, the same ones in every run.
pub(crate) fn one_in_eight(input: &[u8]) -> bool {
    input.iter().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte)) % 8 == 0
}
