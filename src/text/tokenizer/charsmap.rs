//! The table of replacements that SentencePiece models carry.

use unicode_segmentation::UnicodeSegmentation;

use crate::error::{Error, Result};

/// What text becomes by the `precompiled_charsmap` of a SentencePiece model: strings and their replacements, NFKC for the most part.
///
/// Two libraries read the same table by two rules, and ids differ where the rules do. SentencePiece replaces the longest string of the table
/// at each place, [`longest`](Self::longest). Hugging Face's tokenizers goes by grapheme clusters, [`normalize`](Self::normalize): one of
/// fewer than 6 bytes is replaced whole by what the SHORTEST string that it begins with becomes; other clusters character by character.
///
/// The table is a length in bytes (u32, little endian), a double array of that length in the layout of darts-clone, and the replacements,
/// each ended by NUL. Nothing in it is believed: each place is looked at before it is read.
#[derive(Clone)]
pub(crate) struct Charsmap {
    units: Vec<u32>,
    replacements: String,
    /// For each ASCII character, whether it stays and no string of the table goes on from it with another one.
    ascii: [bool; 128],
    /// Whether that holds for all that can be printed.
    printable: bool,
    /// A bit for each character below U+10000: no string of the table begins with it, and it is [`alone`].
    quiet: Vec<u64>,
}

/// What [`Charsmap::normalize`] does with the next part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// These characters stay.
    Keep(&'a str),
    /// A character of a replacement. 0: it takes the place of the next character of the text; 1: it is one more, inserted behind the last;
    /// -n: it takes the place of the next one, and n characters after that go.
    Char(char, isize),
}

impl Charsmap {
    /// The longest replacement, in bytes, so that what a text becomes is bounded; those of NFKC have up to 33.
    const LONGEST: usize = 256;
    /// How far a string of the table is followed, in bytes: a damaged table may lead round in circles.
    const DEEPEST: usize = 256;

    /// Reads a table.
    ///
    /// # Errors
    /// [`Error::Argument`] for bytes that are none, replacements that are not UTF-8 or of more than 256 bytes.
    pub(crate) fn new(bytes: &[u8]) -> Result<Self> {
        let wrong = |expected: String, got: String| {
            let hint =
                "take the bytes of precompiled_charsmap as they stand in the model's file (base64 in tokenizer.json)";
            Error::argument("Charsmap", "precompiled_charsmap", expected, got, hint)
        };
        let Some((size, rest)) = bytes.split_first_chunk::<4>() else {
            return Err(wrong("at least 4 bytes".into(), format!("{} bytes", bytes.len())));
        };
        let size = u32::from_le_bytes(*size) as usize;
        if size == 0 || !size.is_multiple_of(4) || size > rest.len() {
            let expected = format!("a double array of a multiple of 4 bytes, at most {}", rest.len());
            return Err(wrong(expected, format!("{size} bytes")));
        }
        let (units, replacements) = rest.split_at(size);
        let units =
            units.chunks_exact(4).map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]])).collect();
        let replacements = String::from_utf8(replacements.to_vec()).map_err(|error| {
            wrong(
                "replacements in UTF-8".into(),
                format!("others from byte {}", size + 4 + error.utf8_error().valid_up_to()),
            )
        })?;
        if let Some(long) = replacements.split('\0').map(str::len).find(|&length| length > Self::LONGEST) {
            return Err(wrong(format!("replacements of at most {} bytes", Self::LONGEST), format!("one of {long}")));
        }
        let mut charsmap =
            Charsmap { units, replacements, ascii: [false; 128], printable: false, quiet: vec![0; 0x10000 / 64] };
        charsmap.ascii = std::array::from_fn(|byte| charsmap.ascii_stays(byte as u8));
        charsmap.printable = charsmap.ascii[0x20..0x7F].iter().all(|&stays| stays);
        for c in (0x80..0x10000).filter_map(char::from_u32) {
            if alone(c) && charsmap.begins_nothing(c) {
                charsmap.quiet[c as usize / 64] |= 1 << (c as usize % 64);
            }
        }
        Ok(charsmap)
    }

    /// Lengths of the strings of the table that `key` begins with, shortest first, with the places of their replacements; and whether the
    /// table has strings that go on behind `key`.
    fn prefixes(&self, key: &[u8], mut found: impl FnMut(usize, usize) -> bool) -> bool {
        let offset = |unit: u32| ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize;
        let Some(&root) = self.units.first() else { return false };
        let mut place = offset(root);
        for (length, &byte) in (1..).zip(key.iter().take(Self::DEEPEST)) {
            place ^= usize::from(byte);
            let Some(&unit) = self.units.get(place) else { return false };
            if unit & (1 << 31 | 0xFF) != u32::from(byte) {
                return false;
            }
            place ^= offset(unit);
            if unit >> 8 & 1 == 1 {
                let Some(&value) = self.units.get(place) else { return false };
                if !found(length, (value & !(1 << 31)) as usize) {
                    return true;
                }
            }
        }
        true
    }

    /// The replacement that begins at a place, if there is one.
    fn replacement(&self, place: usize) -> Option<&str> {
        let rest = self.replacements.get(place..)?;
        if rest.is_empty() {
            return None;
        }
        Some(rest.split_once('\0').map_or(rest, |(replacement, _)| replacement))
    }

    /// The replacement of the shortest string of the table that `text` begins with. Behind a NUL nothing is looked for.
    fn shortest(&self, text: &str) -> Option<&str> {
        let mut first = None;
        let end = text.bytes().position(|byte| byte == 0).unwrap_or(text.len());
        self.prefixes(&text.as_bytes()[..end], |_, place| {
            first = Some(place);
            false
        });
        self.replacement(first?)
    }

    /// The longest string of the table that `text` begins with: its length in bytes and its replacement. The length ends at a character's
    /// end.
    pub(crate) fn longest(&self, text: &str) -> Option<(usize, &str)> {
        let mut last = None;
        self.prefixes(text.as_bytes(), |length, place| {
            last = Some((length, place));
            true
        });
        let (length, place) = last.filter(|&(length, _)| text.is_char_boundary(length))?;
        Some((length, self.replacement(place)?))
    }

    fn ascii_stays(&self, byte: u8) -> bool {
        let key = [byte];
        let text = std::str::from_utf8(&key).unwrap_or_default();
        let stays = self.longest(text).is_none_or(|(_, replacement)| replacement == text);
        // A step further, to each of the ASCII characters.
        stays && byte != b'\r' && (0..128).all(|next| !self.prefixes(&[byte, next], |_, _| true))
    }

    fn begins_nothing(&self, c: char) -> bool {
        let mut buffer = [0; 4];
        let mut any = false;
        let further = self.prefixes(c.encode_utf8(&mut buffer).as_bytes(), |_, _| {
            any = true;
            false
        });
        !any && !further
    }

    /// How many bytes from `from` on surely stay, by either rule: it ends at a character's end, and what follows is no part of what stays.
    pub(crate) fn unchanged(&self, text: &str, from: usize) -> usize {
        const WIDE: usize = 32;
        let bytes = text.as_bytes();
        let mut at = from;
        loop {
            while self.printable
                && let Some(part) = bytes[at..].first_chunk::<WIDE>()
                && part.iter().fold(true, |all, byte| all & (0x20..0x7F).contains(byte))
            {
                at += WIDE - 1; // The last one by what follows it.
            }
            let Some(&byte) = bytes.get(at) else { break };
            let (stays, width) = if byte < 128 {
                (self.ascii[usize::from(byte)], 1)
            } else {
                let Some(c) = text[at..].chars().next() else { break };
                let word = self.quiet.get(c as usize / 64).copied().unwrap_or(0);
                (word >> (c as usize % 64) & 1 == 1, c.len_utf8())
            };
            let next = match bytes.get(at + width) {
                Some(0..128) => byte < 128 || bytes[at + width] != b'\r',
                None => true,
                // A character behind ASCII may be one that the table has together with it.
                Some(_) => byte >= 128 && text[at + width..].chars().next().is_some_and(alone),
            };
            if !(stays && next) {
                break;
            }
            at += width;
        }
        at - from
    }

    /// Replaces by the rule of Hugging Face's tokenizers, in steps from which offsets follow as they do there.
    ///
    /// Where a replacement has more characters than the cluster, the last ones are insertions; where it has fewer, its last one takes the
    /// rest away; where it has none, the character before it does. Nothing does at the beginning of a text: there, as in tokenizers, the
    /// characters that follow take the places of those that went, and all offsets are early by as much.
    pub(crate) fn normalize<'a>(&self, text: &'a str, emit: &mut dyn FnMut(Step<'a>)) {
        let mut out = Out { text, kept: 0, end: 0, last: None, emit };
        let mut at = 0;
        while at < text.len() {
            at += self.unchanged(text, at);
            out.end = at;
            let rest = &text[at..];
            let Some(cluster) = cluster(rest) else { break };
            if cluster.len() < 6
                && let Some(replacement) = self.shortest(cluster)
            {
                out.replace(cluster, replacement);
            } else {
                for (place, c) in cluster.char_indices() {
                    let one = &cluster[place..place + c.len_utf8()];
                    out.replace(one, self.shortest(one).unwrap_or(one));
                }
            }
            at += cluster.len();
        }
        out.flush();
    }
}

/// Steps on their way out: the last character is held back, as what follows may go at its cost.
struct Out<'a, 'e> {
    text: &'a str,
    /// The characters from `kept` to `end` stay; `last` stands before them.
    kept: usize,
    end: usize,
    last: Option<(char, isize)>,
    emit: &'e mut dyn FnMut(Step<'a>),
}

impl Out<'_, '_> {
    /// Replaces the characters that stand at `end`.
    fn replace(&mut self, old: &str, new: &str) {
        let end = self.end + old.len();
        if new == old {
            self.end = end;
            return;
        }
        let (before, after) = (old.chars().count() as isize, new.chars().count() as isize);
        if after == 0
            && let Some(c) = self.text[self.kept..self.end].chars().next_back()
        {
            self.end -= c.len_utf8();
            self.flush();
            self.last = Some((c, 0));
        } else if after > 0 {
            self.flush();
        }
        (self.kept, self.end) = (end, end);
        for (place, c) in (0..).zip(new.chars()) {
            self.last
                .replace((c, (place >= before).into()))
                .into_iter()
                .for_each(|(c, change)| (self.emit)(Step::Char(c, change)));
        }
        if let Some((_, change)) = &mut self.last {
            *change += (after - before).min(0);
        }
    }

    /// Hands everything on.
    fn flush(&mut self) {
        if let Some((c, change)) = self.last.take() {
            (self.emit)(Step::Char(c, change));
        }
        if self.kept < self.end {
            (self.emit)(Step::Keep(&self.text[self.kept..self.end]));
            self.kept = self.end;
        }
    }
}

/// The first grapheme cluster.
fn cluster(text: &str) -> Option<&str> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if alone(first) && chars.next().is_none_or(alone) {
        return Some(&text[..first.len_utf8()]);
    }
    text.graphemes(true).next()
}

/// Whether a cluster ends between two such characters: those of long-settled blocks that are neither marks nor joined to neighbours. Not all
/// of them are listed, only the frequent ones.
fn alone(c: char) -> bool {
    matches!(c as u32,
        0..=0x0C | 0x0E..=0x7F
        | 0xA0..=0xAC | 0xAE..=0x2FF
        | 0x370..=0x482 | 0x48A..=0x52F | 0x531..=0x556 | 0x561..=0x587
        | 0x5D0..=0x5EA | 0x620..=0x64A | 0x671..=0x6D3
        | 0x10A0..=0x10FF | 0x1E00..=0x1FFE
        | 0x2010..=0x2027 | 0x2030..=0x205E | 0x2070..=0x209C | 0x20A0..=0x20BF | 0x2100..=0x27BF
        | 0x2E80..=0x2FD5 | 0x3000..=0x3029 | 0x3041..=0x3096 | 0x309B..=0x30FF | 0x3105..=0x312F | 0x3131..=0x318E
        | 0x3190..=0xA48C | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFB00..=0xFB06
        | 0xFF01..=0xFF9D | 0xFFE0..=0xFFE6 | 0x20000..=0x3FFFD)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table in the layout of the files, made the slow way.
    pub(crate) fn table(rules: &[(&str, &str)]) -> Vec<u8> {
        let (mut units, mut taken) = (vec![0u32; 1 << 16], vec![false; 1 << 16]);
        let (mut replacements, mut values) = (String::new(), vec![]);
        for (_, replacement) in rules {
            values.push(replacements.len() as u32);
            replacements += &format!("{replacement}\0");
        }
        taken[0] = true;
        let mut bases = std::collections::HashSet::new();
        let mut open = vec![(0usize, vec![])];
        while let Some((place, prefix)) = open.pop() {
            let value = rules.iter().position(|(key, _)| key.as_bytes() == prefix).map(|rule| values[rule]);
            let longer = rules.iter().map(|(key, _)| key.as_bytes()).filter(|key| key.starts_with(&prefix));
            let mut next: Vec<u8> = longer.filter_map(|key| key.get(prefix.len()).copied()).collect();
            next.sort_unstable();
            next.dedup();
            let fits = |base: &usize| {
                !bases.contains(base) && !taken[*base] && next.iter().all(|&byte| !taken[base ^ usize::from(byte)])
            };
            let base = (1..1 << 15).find(fits).unwrap();
            bases.insert(base);
            units[place] |= ((place ^ base) as u32) << 10;
            if let Some(value) = value {
                units[place] |= 1 << 8;
                units[base] = value | 1 << 31;
                taken[base] = true;
            }
            for byte in next {
                let child = base ^ usize::from(byte);
                (units[child], taken[child]) = (byte.into(), true);
                open.push((child, [&prefix[..], &[byte]].concat()));
            }
        }
        let mut bytes = ((units.len() * 4) as u32).to_le_bytes().to_vec();
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend(replacements.into_bytes());
        bytes
    }

    fn rules() -> Charsmap {
        Charsmap::new(&table(&[
            ("\t", " "),
            ("\r", " "),
            ("\u{1}", ""),
            ("ª", "a"),
            ("ª\u{301}", "á"),
            ("a\u{300}", "à"),
            ("ﬁ", "fi"),
            ("…", "..."),
            ("か\u{3099}", "が"),
            ("ab", "X"),
            ("日", "日"),
        ]))
        .unwrap()
    }

    fn steps(charsmap: &Charsmap, text: &str) -> Vec<(String, isize)> {
        let mut steps = vec![];
        charsmap.normalize(text, &mut |step| match step {
            Step::Keep(text) => steps.push((text.to_owned(), 0)),
            Step::Char(c, change) => steps.push((c.to_string(), change)),
        });
        steps
    }

    fn text(charsmap: &Charsmap, text: &str) -> String {
        steps(charsmap, text).into_iter().map(|(part, _)| part).collect()
    }

    #[test]
    fn clusters_become_what_their_shortest_prefix_does() {
        let charsmap = rules();
        let step = |text: &str, change| (text.to_owned(), change);
        assert_eq!(steps(&charsmap, "x…y"), [step("x", 0), step(".", 0), step(".", 1), step(".", 1), step("y", 0)]);
        // The mark goes with the letter, though there is a longer rule; "\r\n" is one cluster.
        assert_eq!(steps(&charsmap, "ª\u{301}x"), [step("a", -1), step("x", 0)]);
        assert_eq!(steps(&charsmap, "a\r\nb"), [step("a", 0), step(" ", -1), step("b", 0)]);
        assert_eq!(text(&charsmap, "a\rb\tﬁn a\u{300}"), "a b fin à");
        // A cluster of six bytes goes character by character.
        assert_eq!(text(&charsmap, "か\u{3099}x"), "か\u{3099}x");
        // What has no replacement goes at the cost of what stands before it.
        assert_eq!(steps(&charsmap, "xy\u{1}\u{1}z"), [step("x", 0), step("y", -2), step("z", 0)]);
        assert_eq!(steps(&charsmap, "…\u{1}"), [step(".", 0), step(".", 1), step(".", 0)]);
        assert_eq!(steps(&charsmap, "\u{1}z"), [step("z", 0)]);
        assert_eq!(steps(&charsmap, ""), []);
    }

    #[test]
    fn the_longest_string_counts_for_the_other_rule() {
        let charsmap = rules();
        assert_eq!(charsmap.longest("ª\u{301}x"), Some((4, "á")));
        assert_eq!(charsmap.longest("ªx"), Some((2, "a")));
        assert_eq!(charsmap.longest("abc"), Some((2, "X")));
        assert_eq!(charsmap.longest("ac"), None);
        assert_eq!(charsmap.longest("\u{1}"), Some((1, "")));
        // What surely stays ends where a rule may begin.
        let long = "0123456789".repeat(9);
        assert_eq!(charsmap.unchanged(&format!("{long}xab"), 0), 91);
        assert_eq!(charsmap.unchanged("漢字日、か", 3), 3);
        assert_eq!(charsmap.unchanged("xx\u{300}", 0), 1);
    }

    #[test]
    fn characters_that_stand_alone_do_so() {
        let all: Vec<char> = (0..0x40000).filter_map(char::from_u32).filter(|&c| alone(c)).collect();
        assert!(all.len() > 100_000);
        let text: String = all.iter().collect();
        assert_eq!(text.graphemes(true).count(), all.len());
        // Those of each block beside those of all others.
        let some: Vec<char> = all.iter().copied().step_by(97).collect();
        for &a in some.iter().step_by(5) {
            let text: String = some.iter().flat_map(|&b| [a, b]).collect();
            assert_eq!(text.graphemes(true).count(), 2 * some.len(), "{a:?}");
        }
    }

    #[test]
    fn whatever_the_bytes_are() {
        let error = |bytes: &[u8]| Charsmap::new(bytes).err().unwrap().to_string();
        assert!(error(b"").contains("at least 4 bytes"));
        assert!(error(&[8, 0, 0, 0, 1, 2, 3, 4]).contains("at most 4, got 8 bytes"));
        assert!(error(&[4, 0, 0, 0, 1, 2, 3, 4, 0xFF]).contains("from byte 8"));
        let long = table(&[("a", &"x".repeat(257))]);
        assert!(error(&long).contains("one of 257"));
        // Places that lead out of the table, values that lead out of the replacements or into a character.
        let mut random = 1u64;
        for _ in 0..300 {
            let mut bytes = vec![0, 4, 0, 0];
            for _ in 0..256 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let label = (random >> 40) as u32 & 0x1FF;
                let far = if random >> 63 == 1 {
                    (random >> 33) as u32 & 0x801F_FC00
                } else {
                    (random >> 20) as u32 & 0x3_FC00
                };
                bytes.extend((label | far).to_le_bytes());
            }
            bytes.extend("é\0ü".as_bytes());
            let charsmap = Charsmap::new(&bytes).unwrap();
            let all: String = (0..=255).map(char::from).collect();
            let _ = text(&charsmap, &all);
            let inside =
                |(at, _)| charsmap.longest(&all[at..]).is_none_or(|(length, _)| all.is_char_boundary(at + length));
            assert!(all.char_indices().all(inside));
        }
    }
}
