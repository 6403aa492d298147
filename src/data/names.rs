//! Names of classes that are meant to be the same.

use std::collections::BTreeMap;

/// Two names that differ in white space alone, or in letters without width.
pub(super) fn twins<S: AsRef<str>>(names: &[S]) -> Option<(&str, &str)> {
    let mut seen = BTreeMap::new();
    names.iter().map(AsRef::as_ref).find_map(|name| {
        let visible = name.replace(['\u{200b}', '\u{feff}', '\u{ad}'], "");
        let words: Vec<&str> = visible.split_whitespace().collect();
        seen.insert(words.join(" "), name).map(|other| (other, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_makes_no_class() {
        assert_eq!(twins(&["New York", "york", "New\u{a0} York"]), Some(("New York", "New\u{a0} York")));
        assert_eq!(twins(&["cat", " cat"]), Some(("cat", " cat")));
        assert_eq!(twins(&["a", "A", "NewYork", "New York"]), None);
        assert_eq!(twins::<&str>(&[]), None);
    }
}
