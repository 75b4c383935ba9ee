//! How long a sealed message is made, so that its length says little about its content.
//!
//! Up to 64 KiB: a power of two, at least 1 KiB. Above: steps of an eighth of the next lower power of two, so that padding costs at most 12.5 %
//! while a megabyte-sized message still shares its length with everything within an eighth of its size.

/// The shortest padded message.
pub const LEAST_BYTES: usize = 1024;
/// Up to here lengths are powers of two.
pub const POWERS_UP_TO_BYTES: usize = 64 * 1024;

/// The length to which a message of `length` bytes is padded. Never less than `length`.
#[must_use]
pub fn padded_len(length: usize) -> usize {
    if length <= POWERS_UP_TO_BYTES {
        return length.next_power_of_two().max(LEAST_BYTES);
    }
    let lower_power = 1_usize << length.ilog2();
    // Only a length within an eighth of the address space overflows; no message has it, and it would stay as it is.
    length.checked_next_multiple_of(lower_power / 8).unwrap_or(length)
}

/// Appends zero bytes up to [`padded_len`].
pub fn pad(message: &mut Vec<u8>) {
    message.resize(padded_len(message.len()), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_the_table() {
        for (length, padded) in [
            (0, 1024),
            (1, 1024),
            (1024, 1024),
            (1025, 2048),
            (40_000, 65_536),
            (65_536, 65_536),
            (65_537, 73_728),
            (73_728, 73_728),
            (131_072, 131_072),
            (131_073, 147_456),
            (1_000_000, 1_048_576),
            (1_048_577, 1_179_648),
        ] {
            assert_eq!(padded_len(length), padded, "{length}");
        }
        assert_eq!(padded_len(usize::MAX), usize::MAX);
    }

    #[test]
    fn padding_is_stable_monotonic_and_cheap() {
        let mut last = 0;
        for length in (0..3_000_000).step_by(997) {
            let padded = padded_len(length);
            assert!(padded >= length && padded >= last);
            assert_eq!(padded_len(padded), padded);
            assert!(length < POWERS_UP_TO_BYTES || padded - length <= length / 8);
            last = padded;
        }
    }
}
