//! One cell of a table as an element of a tensor.

use teegate_client::oip::{bf16_from_f32, f32_from_bf16, f32_from_fp16, fp16_from_f64};

/// Why a cell is none. The cell itself is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    Empty,
    /// A number with a comma in it.
    Comma,
    NotANumber,
    NotWhole,
    OutOfRange,
    NotATruthValue,
}

impl Unfit {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Empty => "it is empty; a number that is missing is written NaN, if the model takes that",
            Self::Comma => "it is no number as it stands: decimals follow a point, and nothing parts thousands",
            Self::NotANumber => "it is no number",
            Self::NotWhole => "it is no whole number",
            Self::OutOfRange => "it is out of range",
            Self::NotATruthValue => "it is neither true or false nor 1 or 0",
        }
    }
}

/// The text of a cell.
fn text(cell: &[u8]) -> Result<&str, Unfit> {
    let text = std::str::from_utf8(cell).map_err(|_| Unfit::NotANumber)?.trim();
    if text.is_empty() { Err(Unfit::Empty) } else { Ok(text) }
}

/// What is no number, and why.
fn no_number(text: &str) -> Unfit {
    if text.contains(',') && text.replace(',', ".").parse::<f64>().is_ok() { Unfit::Comma } else { Unfit::NotANumber }
}

/// A floating point number. An infinity is one only where it is written so.
fn floating<T: std::str::FromStr + Copy + Into<f64>>(cell: &[u8]) -> Result<T, Unfit> {
    let text = text(cell)?;
    let value: T = text.parse().map_err(|_| no_number(text))?;
    let is_written_so = || text.contains(['i', 'I']);
    if value.into().is_infinite() && !is_written_so() { Err(Unfit::OutOfRange) } else { Ok(value) }
}

/// `FP32`
pub(crate) fn fp32(cell: &[u8]) -> Result<f32, Unfit> {
    floating(cell)
}

/// `FP64`
pub(crate) fn fp64(cell: &[u8]) -> Result<f64, Unfit> {
    floating(cell)
}

/// `FP16`
pub(crate) fn fp16(cell: &[u8]) -> Result<u16, Unfit> {
    let value = fp64(cell)?;
    let bits = fp16_from_f64(value);
    if value.is_finite() && !f32_from_fp16(bits).is_finite() { Err(Unfit::OutOfRange) } else { Ok(bits) }
}

/// `BF16`
pub(crate) fn bf16(cell: &[u8]) -> Result<u16, Unfit> {
    let value = fp32(cell)?;
    let bits = bf16_from_f32(value);
    if value.is_finite() && !f32_from_bf16(bits).is_finite() { Err(Unfit::OutOfRange) } else { Ok(bits) }
}

/// A whole number, also where it is written `3.0`, as a table of floating point numbers has it.
pub(crate) fn whole<T: TryFrom<i128>>(cell: &[u8]) -> Result<T, Unfit> {
    let text = text(cell)?;
    // More digits than any of the types has are zeros or out of range.
    let digits = match text.split_once('.') {
        Some((digits, zeros)) if digits.parse::<i128>().is_ok() && zeros.bytes().all(|digit| digit == b'0') => digits,
        _ => text,
    };
    match digits.parse::<i128>() {
        Ok(value) => T::try_from(value).map_err(|_| Unfit::OutOfRange),
        Err(_) => Err(match digits.parse::<f64>() {
            Ok(value) if value.is_finite() && value.fract() != 0.0 => Unfit::NotWhole,
            Ok(value) if !value.is_finite() => Unfit::NotWhole,
            // A whole number in a form for fractions, or one with very many digits.
            Ok(value) => return from_floating(value),
            Err(_) => no_number(text),
        }),
    }
}

/// A whole number that was written like `1e3`; beyond 2^53 such a form does not say every digit.
fn from_floating<T: TryFrom<i128>>(value: f64) -> Result<T, Unfit> {
    if value.abs() > 9_007_199_254_740_992.0 {
        return Err(Unfit::OutOfRange);
    }
    format!("{value:.0}").parse::<i128>().ok().and_then(|value| T::try_from(value).ok()).ok_or(Unfit::OutOfRange)
}

/// `BOOL`
pub(crate) fn truth(cell: &[u8]) -> Result<bool, Unfit> {
    match text(cell)? {
        "1" | "true" | "True" | "TRUE" | "1.0" => Ok(true),
        "0" | "false" | "False" | "FALSE" | "0.0" => Ok(false),
        _ => Err(Unfit::NotATruthValue),
    }
}

/// Whether a cell could be a number or a truth value, and so is no title of a column.
pub(crate) fn is_number(cell: &[u8]) -> bool {
    text(cell).is_ok_and(|text| text.parse::<f64>().is_ok()) || truth(cell).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_in_each_form_that_means_it() {
        for (text, value) in [("1", 1.0), (" -2.5 ", -2.5), ("1e-3", 0.001), (".5", 0.5), ("inf", f32::INFINITY)] {
            assert_eq!(fp32(text.as_bytes()), Ok(value), "{text}");
        }
        assert_eq!(fp32(b"0.1"), Ok(0.1_f32), "read as what it is to be, and not rounded twice");
        assert!(fp64(b"NaN").unwrap().is_nan() && fp64(b"-Infinity").unwrap() == f64::NEG_INFINITY);
        for (text, value) in [("3", 3), ("-3.0", -3), ("1e2", 100), ("+7.", 7), ("127.000", 127)] {
            assert_eq!(whole::<i8>(text.as_bytes()), Ok(value), "{text}");
        }
        assert_eq!(whole::<u64>(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(whole::<i64>(b"-9223372036854775808"), Ok(i64::MIN));
        assert_eq!((truth(b"True"), truth(b"0")), (Ok(true), Ok(false)));
        assert_eq!((fp16(b"1.5"), bf16(b"1.5"), fp16(b"-inf")), (Ok(0x3E00), Ok(0x3FC0), Ok(0xFC00)));
    }

    #[test]
    fn what_is_none_or_does_not_fit_says_why() {
        for (text, why) in [
            ("", Unfit::Empty),
            ("  ", Unfit::Empty),
            ("1,5", Unfit::Comma),
            ("1,234.5", Unfit::NotANumber),
            ("benign", Unfit::NotANumber),
            ("1e39", Unfit::OutOfRange),
            ("-1e999", Unfit::OutOfRange),
        ] {
            assert_eq!(fp32(text.as_bytes()), Err(why), "{text}");
        }
        assert_eq!(fp32(b"\xff"), Err(Unfit::NotANumber));
        for (text, why) in [
            ("1.5", Unfit::NotWhole),
            ("NaN", Unfit::NotWhole),
            ("inf", Unfit::NotWhole),
            ("256", Unfit::OutOfRange),
            ("-1", Unfit::OutOfRange),
            ("1e300", Unfit::OutOfRange),
            ("99999999999999999999999999999999999999999999", Unfit::OutOfRange),
            ("true", Unfit::NotANumber),
            ("1,0", Unfit::Comma),
            ("", Unfit::Empty),
        ] {
            assert_eq!(whole::<u8>(text.as_bytes()), Err(why), "{text}");
        }
        assert_eq!(truth(b"2"), Err(Unfit::NotATruthValue));
        assert_eq!((fp16(b"65519"), fp16(b"65520")), (Ok(0x7BFF), Err(Unfit::OutOfRange)));
        assert_eq!((bf16(b"3.38e38"), bf16(b"3.4e38")), (Ok(0x7F7E), Err(Unfit::OutOfRange)));
    }
}
