//! Floating point numbers of two bytes, which Rust has no type for: `FP16` (IEEE 754 binary16: sign, 5 bits of exponent, 10 of
//! fraction) and `BF16` (the upper half of a binary32). Each is kept as its bits; widening loses nothing, narrowing rounds to the
//! nearest, ties to even.

/// The value of an `FP16`.
pub fn f32_from_fp16(bits: u16) -> f32 {
    let bits = u32::from(bits);
    let (sign, exponent, fraction) = ((bits & 0x8000) << 16, (bits >> 10) & 0x1F, bits & 0x03FF);
    match exponent {
        // A zero, or a subnormal: its fraction counts steps of 2^-24.
        0 => {
            let steps = u16::try_from(fraction).map_or(0.0, f32::from);
            let size = steps / 16_777_216.0;
            if sign == 0 { size } else { -size }
        }
        // Infinity, or a NaN with what it carries.
        0x1F => f32::from_bits(sign | 0x7F80_0000 | (fraction << 13)),
        _ => f32::from_bits(sign | ((exponent + 112) << 23) | (fraction << 13)),
    }
}

/// The nearest `FP16`. A finite number that is too large becomes an infinity, as IEEE 754 has it.
pub fn fp16_from_f64(value: f64) -> u16 {
    let bits = value.to_bits();
    let sign = upper_half(bits >> 32) & 0x8000;
    if value.is_nan() {
        return sign | 0x7E00;
    }
    let size = value.abs();
    // Half a step above the largest, 65504, and beyond.
    if size >= 65_520.0 {
        return sign | 0x7C00;
    }
    // Steps of this size stand in the binade of the number, 2^-24 being the smallest.
    let exponent = i32::try_from((size.to_bits() >> 52) & 0x7FF).unwrap_or(0) - 1_023;
    let power = exponent.max(-14);
    let steps = (size * 2_f64.powi(10 - power)).round_ties_even();
    // At most 2048 steps, where the fraction overflows into the exponent, which is right so.
    let steps = whole(steps);
    let base = u16::try_from(power + 14).unwrap_or(0) << 10;
    sign | (base + steps)
}

/// The value of a `BF16`.
pub fn f32_from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The nearest `BF16`. A finite number that is too large becomes an infinity, as IEEE 754 has it.
pub fn bf16_from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        // Quiet, so that no NaN turns into an infinity when its lower half goes.
        return upper_half(u64::from(bits)) | 0x0040;
    }
    let tie_to_even = (bits >> 16) & 1;
    upper_half(u64::from(bits) + 0x7FFF + u64::from(tie_to_even))
}

/// Bits 16 to 31.
fn upper_half(bits: u64) -> u16 {
    u16::try_from((bits >> 16) & 0xFFFF).unwrap_or(0)
}

/// A small whole number, at most 2048, as an integer.
fn whole(steps: f64) -> u16 {
    // Adding 2^52 leaves the number in the lowest bits of the fraction.
    u16::try_from((steps + 4_503_599_627_370_496.0).to_bits() & 0xFFFF).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_two_bytes_is_widened_and_comes_back() {
        for bits in 0..=u16::MAX {
            let (wide, other) = (f32_from_fp16(bits), f32_from_bf16(bits));
            if wide.is_nan() {
                assert!(bits & 0x7C00 == 0x7C00 && bits & 0x3FF != 0, "{bits:04x}");
                assert!(f32_from_fp16(fp16_from_f64(f64::from(wide))).is_nan());
            } else {
                assert_eq!(fp16_from_f64(f64::from(wide)), bits, "{bits:04x} {wide}");
            }
            if other.is_nan() {
                assert!(f32_from_bf16(bf16_from_f32(other)).is_nan(), "{bits:04x}");
            } else {
                assert_eq!(bf16_from_f32(other), bits, "{bits:04x} {other}");
            }
        }
    }

    /// Values by Python's `struct.pack('<e', …)`, and by hand for the ties.
    #[test]
    fn a_number_between_two_goes_to_the_nearer_and_a_tie_to_the_even_one() {
        for (value, bits) in [
            (1.0, 0x3C00),
            (-2.0, 0xC000),
            (0.1, 0x2E66),
            (65_504.0, 0x7BFF),
            (65_519.0, 0x7BFF),
            (65_520.0, 0x7C00),
            (-1e300, 0xFC00),
            (f64::INFINITY, 0x7C00),
            (5.960_464_477_539_063e-8, 0x0001),
            (2.980_232_238_769_531_3e-8, 0x0000),
            (2.980_232_238_769_532e-8, 0x0001),
            (6.097_555_160_522_461e-5, 0x03FF),
            (6.102_6e-5, 0x0400),
            (2_049.0, 0x6800),
            (2_051.0, 0x6802),
            (1e-320, 0x0000),
            (-0.0, 0x8000),
        ] {
            assert_eq!(fp16_from_f64(value), bits, "{value}: {:04x}", fp16_from_f64(value));
        }
        assert!(f32_from_fp16(fp16_from_f64(f64::NAN)).is_nan());
        for (value, bits) in [
            (1.0_f32, 0x3F80),
            (f32::from_bits(0x3F80_8000), 0x3F80),
            (f32::from_bits(0x3F81_8000), 0x3F82),
            (3.4e38, 0x7F80),
            (f32::NEG_INFINITY, 0xFF80),
        ] {
            assert_eq!(bf16_from_f32(value), bits, "{value}: {:04x}", bf16_from_f32(value));
        }
    }
}
