//! The time to verify at, as people write it: RFC 3339, or seconds since 1970. The command may read the clock; the verifier may not.

use std::time::{SystemTime, UNIX_EPOCH};

use teegate_verifier::UnixTime;

/// 9999-12-31T23:59:59Z, the last instant that RFC 3339 can write.
const LAST: u64 = 253_402_300_799;

/// Now, by this machine's clock.
pub(crate) fn now() -> Result<UnixTime, String> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|_| "this machine's clock stands before 1970; set it, or give `--at TIME`".to_owned())?;
    Ok(UnixTime::from_seconds(since.as_secs()))
}

/// Parses the value of `--at`.
pub(crate) fn parse(text: &str) -> Result<UnixTime, String> {
    let seconds = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok().filter(|seconds| *seconds <= LAST)
    } else {
        from_rfc_3339(text)
    };
    seconds.map(UnixTime::from_seconds).ok_or_else(|| {
        "expected RFC 3339 (`2026-06-01T00:00:00Z`, `2026-06-01T02:00:00+02:00`) or seconds since 1970".to_owned()
    })
}

/// Date and time, an optional fraction (cut off: validity has whole seconds), and `Z` or an offset.
fn from_rfc_3339(text: &str) -> Option<u64> {
    let (civil, rest) = text.split_at_checked(19)?;
    let local = UnixTime::parse(&format!("{}Z", civil.to_ascii_uppercase())).ok()?.seconds();
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            (zone.len() < fraction.len()).then_some(zone)?
        }
        None => rest,
    };
    match zone.as_bytes() {
        b"Z" | b"z" => Some(local),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two_digits(*h1, *h2)?, two_digits(*m1, *m2)?);
            let offset = (hours < 24 && minutes < 60).then_some(hours * 3_600 + minutes * 60)?;
            let instant = if *sign == b'+' { local.checked_sub(offset)? } else { local + offset };
            (instant <= LAST).then_some(instant)
        }
        _ => None,
    }
}

fn two_digits(tens: u8, units: u8) -> Option<u64> {
    (tens.is_ascii_digit() && units.is_ascii_digit()).then(|| u64::from(tens - b'0') * 10 + u64::from(units - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_to_write_one_instant() {
        for text in [
            "1780272000",
            "2026-06-01T00:00:00Z",
            "2026-06-01t00:00:00z",
            "2026-06-01T00:00:00.999Z",
            "2026-06-01T02:00:00+02:00",
            "2026-05-31T18:30:00-05:30",
        ] {
            assert_eq!(parse(text).map(UnixTime::seconds), Ok(1_780_272_000), "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "now",
            "-1",
            "1e9",
            "253402300800",
            "2026-06-01",
            "2026-06-01T00:00:00",
            "2026-06-01T00:00:00.Z",
            "2026-06-01T00:00:00+0200",
            "2026-06-01T00:00:00+24:00",
            "1970-01-01T00:00:00+00:01",
            "2026-06-01T00:00:0éZ",
        ] {
            assert!(parse(text).unwrap_err().contains("expected RFC 3339"), "{text}");
        }
    }
}
