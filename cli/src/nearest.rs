//! What somebody may have meant who wrote something else.

/// The known word that a misspelt one comes close to.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer ones are no slip of the hand, and a comparison costs the product of both lengths.
    const LONGEST: usize = 64;
    if written.len() > LONGEST {
        return None;
    }
    let close = |word: &&str| distance(written, word).saturating_mul(3) <= word.chars().count();
    known.into_iter().filter(close).min_by_key(|word| distance(written, word))
}

/// How many characters have to be inserted, taken out or exchanged to make one text of the other (Levenshtein).
pub(crate) fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    // The distances of what was read of `one` from every beginning of `other`.
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for own in one.chars() {
        let mut cells = row.iter().copied();
        let mut diagonal = cells.next().unwrap_or_default();
        let mut left = diagonal.saturating_add(1);
        let mut next = vec![left];
        for (above, theirs) in cells.zip(&other) {
            let exchanged = diagonal.saturating_add(usize::from(own != *theirs));
            left = exchanged.min(above.saturating_add(1)).min(left.saturating_add(1));
            next.push(left);
            diagonal = above;
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_is_close_and_another_word_is_not() {
        for (written, meant) in [
            ("genuin", Some("genuine")),
            ("Strict", Some("strict")),
            ("strcit", Some("strict")),
            ("policy.toml", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, ["genuine", "strict"]), meant, "{written}");
        }
        assert_eq!(nearest(&"genuine".repeat(100_000), ["genuine"]), None);
    }

    #[test]
    fn a_distance_counts_what_differs() {
        for (one, other, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "axc", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}
