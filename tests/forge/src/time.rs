//! Calendar dates from Unix seconds, as certificates and Intel's JSON write them.

/// The default instant of every forged set: 2026-06-01T00:00:00Z.
pub const AT: u64 = 1_780_272_000;

/// Seconds in a day.
pub const DAY: u64 = 86_400;

/// Seconds in a year of 365 days; windows need no more precision.
pub const YEAR: u64 = 365 * DAY;

/// A UTC date and time.
pub(crate) struct Civil {
    pub(crate) year: u64,
    pub(crate) month: u64,
    pub(crate) day: u64,
    pub(crate) hour: u64,
    pub(crate) minute: u64,
    pub(crate) second: u64,
}

impl Civil {
    pub(crate) fn from_unix(unix: u64) -> Self {
        let (mut days, seconds) = (unix / DAY, unix % DAY);
        let mut year = 1970;
        while days >= days_of_year(year) {
            days -= days_of_year(year);
            year += 1;
        }
        let mut month = 1;
        while days >= days_of_month(year, month) {
            days -= days_of_month(year, month);
            month += 1;
        }
        Self { year, month, day: days + 1, hour: seconds / 3600, minute: seconds / 60 % 60, second: seconds % 60 }
    }
}

/// `YYYY-MM-DDTHH:MM:SSZ`.
pub fn rfc3339(unix: u64) -> String {
    let t = Civil::from_unix(unix);
    format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", t.year, t.month, t.day, t.hour, t.minute, t.second)
}

/// The midnight that begins the day of `unix`.
pub(crate) fn midnight(unix: u64) -> u64 {
    unix / DAY * DAY
}

fn is_leap(year: u64) -> bool {
    (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
}

fn days_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(AT), "2026-06-01T00:00:00Z");
        assert_eq!(rfc3339(253_402_300_799), "9999-12-31T23:59:59Z");
    }
}
