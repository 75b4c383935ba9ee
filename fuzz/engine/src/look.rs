//! What invariants look for in every input. It stands here because this crate is compiled without counters: a target that counts
//! each byte that it looks at takes longer than the reader that it is about.

/// The first stretch of more than `most` characters of `message` that stands in `input` and counts: of all that begin at a multiple
/// of half of that, so that every stretch of twice the length holds one.
pub fn repeated<'m>(input: &[u8], message: &'m str, most: usize, counts: fn(&str) -> bool) -> Option<&'m str> {
    if message.len() <= most {
        return None;
    }
    let starts: Vec<usize> = message.char_indices().map(|(at, _)| at).chain([message.len()]).collect();
    let stretches = starts.windows(most + 2).step_by(most / 2).map(|window| &message[window[0]..window[most + 1]]);
    stretches.into_iter().find(|stretch| counts(stretch) && place(input, stretch.as_bytes()).is_some())
}

/// Where `stretch` stands in `input` first: Horspool's search, which does not look at each byte.
pub fn place(input: &[u8], stretch: &[u8]) -> Option<usize> {
    let Some((last, before)) = stretch.split_last() else { return Some(0) };
    let mut steps = [stretch.len(); 256];
    before.iter().rev().enumerate().rev().for_each(|(index, byte)| steps[usize::from(*byte)] = index + 1);
    let mut end = before.len();
    while let Some(byte) = input.get(end) {
        if byte == last && input[..end].ends_with(before) {
            return Some(end - before.len());
        }
        end += steps[usize::from(*byte)];
    }
    None
}

/// One input in eight, the same ones in every run.
pub fn one_in_eight(input: &[u8]) -> bool {
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
    fn a_stretch_is_found_where_it_stands_first_and_nothing_else_is() {
        let input = b"aabaabaaab, and an end: aab";
        for start in 0..input.len() {
            for end in start + 1..=input.len() {
                let stretch = &input[start..end];
                let first = input.windows(stretch.len()).position(|window| window == stretch);
                assert_eq!(place(input, stretch), first, "{start}..{end}");
                let mut other = stretch.to_vec();
                other[0] = b'x';
                assert_eq!(place(input, &other), None);
            }
        }
        assert_eq!((place(b"short", b"shorter"), place(b"", b"")), (None, Some(0)));
    }

    #[test]
    fn one_in_eight_is_about_that_many() {
        let chosen =
            (0..8_000_u32).filter(|number| one_in_eight(&[[7; 40].as_slice(), &number.to_le_bytes()].concat()));
        assert!((800..1_200).contains(&chosen.count()));
    }
}
