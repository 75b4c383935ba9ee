//! DER for certificates and lists: the reader of the house, with instants for its dates.

pub(crate) use teegate_encoding::der::*;

use crate::time::UnixTime;

/// Dates as instants.
pub(crate) trait ReadTime {
    /// A `Time` (RFC 5280, section 4.1.2.5), of a day that there is.
    fn time(&mut self) -> Result<UnixTime>;
}

impl ReadTime for Der<'_> {
    fn time(&mut self) -> Result<UnixTime> {
        let CivilTime { year, month, day, time } = self.civil_time()?;
        UnixTime::from_civil(year, month, day, time).ok_or(DerError("a time that is not in the form of RFC 5280"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_rfc_5280_says() {
        let time = |tag: u8, text: &str| {
            let mut der = vec![tag, u8::try_from(text.len()).unwrap()];
            der.extend(text.as_bytes());
            Der::new(&der).time().map(|time| time.to_string())
        };
        assert_eq!(time(UTC_TIME, "491231235959Z").unwrap(), "2049-12-31T23:59:59Z");
        assert_eq!(time(GENERALIZED_TIME, "20500101000000Z").unwrap(), "2050-01-01T00:00:00Z");
        for text in ["4912312359Z", "491231235959", "491231235959+0100", "491331235959Z", "500101000000Z"] {
            assert_eq!(time(UTC_TIME, text), Err(DerError("a time that is not in the form of RFC 5280")), "{text}");
        }
    }
}
