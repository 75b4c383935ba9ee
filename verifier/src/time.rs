//! Instants on the wall clock: whole seconds of Unix time, always injected by the caller.

use serde::ser::{Serialize, Serializer};
use std::fmt;

/// Seconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UnixTime(u64);

/// A text is not an instant in RFC 3339, UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeError {
    text: String,
}

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a time: expected RFC 3339 in UTC, for example `2026-06-01T00:00:00Z`", self.text)
    }
}

impl std::error::Error for TimeError {}

impl UnixTime {
    /// The instant `seconds` after the epoch.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// Parses RFC 3339 in UTC: `YYYY-MM-DDTHH:MM:SSZ`, the one form that Intel's collateral uses.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        Self::parse_utc(text).ok_or_else(|| TimeError { text: text.chars().take(40).collect() })
    }

    fn parse_utc(text: &str) -> Option<Self> {
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2, b'Z'] =
            <[u8; 20]>::try_from(text.as_bytes()).ok()?
        else {
            return None;
        };
        Self::from_civil(
            number(&[y1, y2, y3, y4])?,
            number(&[m1, m2])?,
            number(&[d1, d2])?,
            [number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?],
        )
    }

    /// The instant of a date and a time of day `[hour, minute, second]` in UTC; `None` when there is no such date.
    pub(crate) fn from_civil(year: u64, month: u64, day: u64, [hour, minute, second]: [u64; 3]) -> Option<Self> {
        if !(1970..=9999).contains(&year) || hour > 23 || minute > 59 || second > 59 || day == 0 {
            return None;
        }
        let before_month = DAYS_BEFORE_MONTH.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
        let leap = is_leap(year);
        if day > days_in_month(month, leap)? {
            return None;
        }
        let leap_day = u64::from(leap && month > 2);
        let days = days_before_year(year) - days_before_year(1970) + before_month + leap_day + day - 1;
        Some(Self(days * 86_400 + hour * 3_600 + minute * 60 + second))
    }
}

const DAYS_BEFORE_MONTH: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| digit.is_ascii_digit().then(|| value * 10 + u64::from(digit - b'0')))
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_month(month: u64, leap: bool) -> Option<u64> {
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u64::from(leap),
        _ => return None,
    })
}

/// Days from year 1 to the first day of `year` in the proleptic Gregorian calendar; `year` is at least 1.
fn days_before_year(year: u64) -> u64 {
    let past = year - 1;
    past * 365 + past / 4 - past / 100 + past / 400
}

impl Serialize for UnixTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second_of_day) = (self.0 / 86_400, self.0 % 86_400);
        let days = days.saturating_add(days_before_year(1970));
        // 146,097 days make 400 years: a first guess that is never too late, corrected upwards by at most one.
        let mut year = days.saturating_mul(400) / 146_097 + 1;
        if days_before_year(year) > days {
            year -= 1;
        } else if days_before_year(year + 1) <= days {
            year += 1;
        }
        let mut day = days - days_before_year(year);
        let leap = is_leap(year);
        let mut month = 1;
        while let Some(length) = days_in_month(month, leap) {
            if day < length {
                break;
            }
            day -= length;
            month += 1;
        }
        let (hour, minute, second) = (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
        if year > 9_999 {
            return write!(f, "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", day + 1);
        }
        // The form has one length: its digits are put in their places.
        let mut text = *b"0000-00-00T00:00:00Z";
        let pairs =
            [(0, year / 100), (2, year % 100), (5, month), (8, day + 1), (11, hour), (14, minute), (17, second)];
        for (place, number) in pairs {
            let digits = [number / 10 % 10, number % 10].map(|digit| b'0' + digit.to_le_bytes()[0]);
            text.iter_mut().skip(place).zip(digits).for_each(|(to, digit)| *to = digit);
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_seconds_agree() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2025-02-28T03:44:50Z", 1_740_714_290),
            ("2049-12-31T23:59:59Z", 2_524_607_999),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
            ("1970-12-09T08:07:06Z", 29_578_026),
        ] {
            assert_eq!(UnixTime::parse(text).unwrap().seconds(), seconds, "{text}");
            assert_eq!(UnixTime::from_seconds(seconds).to_string(), text);
        }
    }

    #[test]
    fn every_day_of_four_centuries_round_trips() {
        for day in 0..146_097 {
            let instant = UnixTime::from_seconds(day * 86_400 + 3_599);
            assert_eq!(UnixTime::parse(&instant.to_string()), Ok(instant));
        }
    }

    #[test]
    fn beyond_the_last_year_of_the_form_an_instant_is_still_shown() {
        assert_eq!(UnixTime::from_seconds(253_402_300_800).to_string(), "10000-01-01T00:00:00Z");
        assert!(UnixTime::from_seconds(u64::MAX).to_string().ends_with('Z'));
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "2025-02-29T00:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-01-01T24:00:00Z",
            "2025-01-01T00:00:00+00",
            "1969-12-31T23:59:59Z",
            "2025-00-01T00:00:00Z",
            "2025-01-00T00:00:00Z",
        ] {
            assert_eq!(UnixTime::parse(text), Err(TimeError { text: text.to_owned() }));
        }
    }
}
