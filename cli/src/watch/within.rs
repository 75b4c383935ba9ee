//! A length of time, as people write it: `30d`.

use std::time::Duration;

/// Ten years: longer than any statement holds.
const MAX_SECONDS: u64 = 3_653 * 86_400;

/// Parses the value of `--within`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let units = [('m', 60), ('h', 3_600), ('d', 86_400), ('w', 7 * 86_400)];
    let seconds = units.iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(*unit)?.parse().ok()?;
        number.checked_mul(*seconds).filter(|seconds| *seconds <= MAX_SECONDS)
    });
    let expected = || "expected a number and `m`, `h`, `d` or `w`, at most ten years: `30d`, `12h`".to_owned();
    seconds.map(Duration::from_secs).ok_or_else(expected)
}

/// A length of time in its two largest units.
pub(super) fn in_words(seconds: u64) -> String {
    match (seconds / 86_400, seconds % 86_400 / 3_600, seconds % 3_600 / 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_and_written() {
        for (text, seconds) in [("30d", 30 * 86_400), ("12h", 43_200), ("90m", 5_400), ("2w", 1_209_600), ("0d", 0)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "30", "d", "-1d", "1y", "1.5d", "99999999999999999999d", "600w", "30 d", "30é"] {
            assert!(parse(wrong).unwrap_err().contains("expected a number and `m`"), "{wrong}");
        }
        for (seconds, words) in [(59, "0 min"), (3_660, "1 h 1 min"), (90_000, "1 d 1 h"), (86_400, "1 d 0 h")] {
            assert_eq!(in_words(seconds), words);
        }
    }
}
