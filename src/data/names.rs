//! Names of classes and columns: those that are meant to be the same, and lists of them.

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

/// The first names and what stands for the others, for errors: of a hostile file they may be many and long.
#[cfg(any(feature = "csv", feature = "text"))]
pub(super) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 20;
    const CHARS: usize = 60;
    let short = |name: &S| match name.as_ref().char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}…", &name.as_ref()[..end]),
        None => name.as_ref().to_owned(),
    };
    let shown: Vec<String> = names.iter().take(SHOWN).map(short).collect();
    shown.join(", ") + if names.len() > SHOWN { ", …" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(any(feature = "csv", feature = "text"))]
    #[test]
    fn lists_are_short() {
        assert_eq!(listed(&["a", "b"]), "a, b");
        assert_eq!(listed::<&str>(&[]), "");
        assert_eq!(listed(&["é".repeat(60), "é".repeat(61)]), format!("{0}, {0}…", "é".repeat(60)));
        assert_eq!(listed(&vec!["x"; 1_000_000]), format!("{}…", "x, ".repeat(20)));
    }

    #[test]
    fn white_space_makes_no_class() {
        assert_eq!(twins(&["New York", "york", "New\u{a0} York"]), Some(("New York", "New\u{a0} York")));
        assert_eq!(twins(&["cat", " cat"]), Some(("cat", " cat")));
        assert_eq!(twins(&["a", "A", "NewYork", "New York"]), None);
        assert_eq!(twins::<&str>(&[]), None);
    }
}
