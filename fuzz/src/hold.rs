//! What must hold of every answer, whatever the bytes were.

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
    stretches(input, message, |_| true);
}

/// The same of what a verifier found: a measurement is 96 digits on both sides, and is shown whole.
pub(crate) fn echo_but_digits(input: &[u8], message: &str) {
    stretches(input, message, |stretch| !stretch.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

fn stretches(input: &[u8], message: &str, counts: impl Fn(&str) -> bool) {
    if message.len() <= ECHO {
        return;
    }
    let starts: Vec<usize> = message.char_indices().map(|(at, _)| at).chain([message.len()]).collect();
    // Every stretch of twice the length holds one of these whole.
    for window in starts.windows(ECHO + 2).step_by(ECHO / 2) {
        let stretch = &message[window[0]..window[ECHO + 1]];
        assert!(!counts(stretch) || !holds(input, stretch.as_bytes()), "a message repeats `{stretch}`");
    }
}

/// Whether `stretch` stands in `input`: Horspool's search, because most readers take less time than a look at each byte.
fn holds(input: &[u8], stretch: &[u8]) -> bool {
    let Some((last, before)) = stretch.split_last() else { return true };
    let mut steps = [stretch.len(); 256];
    before.iter().rev().enumerate().rev().for_each(|(index, byte)| steps[usize::from(*byte)] = index + 1);
    let mut end = before.len();
    while let Some(byte) = input.get(end) {
        if byte == last && input[..end].ends_with(before) {
            return true;
        }
        end += steps[usize::from(*byte)];
    }
    false
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
    // Four sums of words side by side: one of bytes would take longer than many a reader.
    let (lines, rest) = input.as_chunks::<32>();
    let mut sums = [1_u64, 2, 3, 4];
    for line in lines {
        for (sum, word) in sums.iter_mut().zip(line.as_chunks::<8>().0) {
            *sum = (*sum ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        }
    }
    let sum = sums
        .into_iter()
        .chain(rest.iter().copied().map(u64::from))
        .fold(input.len() as u64, |sum, part| (sum ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29));
    (sum >> 32).is_multiple_of(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_found_wherever_it_stands_and_nothing_else_is() {
        let input = b"aabaabaaab, and an end: aab";
        for start in 0..input.len() {
            for end in start + 1..=input.len() {
                assert!(holds(input, &input[start..end]), "{start}..{end}");
                let mut other = input[start..end].to_vec();
                other[0] = b'x';
                assert!(!holds(input, &other));
            }
        }
        assert!(!holds(b"short", b"shorter"));
    }

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

    #[test]
    fn one_in_eight_is_about_that_many() {
        let chosen =
            (0..8_000_u32).filter(|number| one_in_eight(&[[7; 40].as_slice(), &number.to_le_bytes()].concat()));
        assert!((800..1_200).contains(&chosen.count()));
    }
}
