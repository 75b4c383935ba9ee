//! Values that a rule lists, as texts: in the order in which they were written, and each found without reading the others. A
//! list may hold as many as a file has room for.

use std::collections::BTreeSet;

/// Texts of one rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// Each once, in the order in which they were written.
    written: Vec<String>,
    known: BTreeSet<String>,
}

impl Names {
    /// Whether this is one of them.
    pub(super) fn contains(&self, text: &str) -> bool {
        self.known.contains(text)
    }

    /// Whether `other` has all of them.
    pub(super) fn are_within(&self, other: &Self) -> bool {
        self.known.is_subset(&other.known)
    }

    /// In the order in which they were written.
    pub(super) fn iter(&self) -> impl Iterator<Item = &String> {
        self.written.iter()
    }

    /// In the order in which they were written.
    pub(super) fn as_slice(&self) -> &[String] {
        &self.written
    }

    pub(super) fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// With this between them.
    pub(super) fn join(&self, between: &str) -> String {
        self.written.join(between)
    }
}

/// The same whatever their order.
impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        self.known == other.known
    }
}

impl Eq for Names {}

impl FromIterator<String> for Names {
    fn from_iter<I: IntoIterator<Item = String>>(texts: I) -> Self {
        let mut names = Self::default();
        for text in texts {
            if names.known.insert(text.clone()) {
                names.written.push(text);
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn order_and_repetition_change_no_set() {
        let names = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Names>();
        let (two, same) = (names(&["b", "a", "b"]), names(&["a", "b"]));
        assert_eq!(two, same);
        assert_eq!((two.join(", "), same.join(", ")), ("b, a".to_owned(), "a, b".to_owned()));
        assert!(two.are_within(&names(&["c", "b", "a"])) && !names(&["c", "b", "a"]).are_within(&two));
        assert!(two.contains("a") && !two.contains("c") && names(&[]).is_empty());
    }
}
