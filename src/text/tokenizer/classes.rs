//! What kind of character: the classes that split patterns ask for, a byte for each code point.

use std::sync::LazyLock;

use unicode_properties::{GeneralCategory as G, UnicodeGeneralCategory};

/// `\p{L}`: letters.
pub(super) const LETTER: u8 = 1;
/// `\p{N}`: digits and other numbers.
pub(super) const NUMBER: u8 = 2;
/// `\s`: white space.
pub(super) const SPACE: u8 = 4;
/// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`: what can begin a word in capitals.
pub(super) const UPPER: u8 = 8;
/// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`: what can follow in small letters.
pub(super) const LOWER: u8 = 16;
/// `\p{P}`: punctuation.
pub(super) const PUNCTUATION: u8 = 32;
/// `\w`: what belongs to words, with `_`.
pub(super) const WORD: u8 = 64;
/// `\p{M}`: combining marks.
pub(super) const MARK: u8 = 128;

/// Code points from here on come hardly ever: no table.
const END: usize = 0x3_2400;

struct Table {
    /// For each 256 code points the number of their block.
    blocks: [u16; END >> 8],
    classes: Vec<[u8; 256]>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table { blocks: [0; END >> 8], classes: Vec::new() };
    for (high, number) in table.blocks.iter_mut().enumerate() {
        let block: [u8; 256] =
            std::array::from_fn(|low| char::from_u32((high << 8 | low) as u32).map_or(0, class_from_properties));
        let found = table.classes.iter().position(|other| *other == block);
        *number = found.unwrap_or_else(|| {
            table.classes.push(block);
            table.classes.len() - 1
        }) as u16;
    }
    table
});

fn class_from_properties(c: char) -> u8 {
    let mut class = match c.general_category() {
        G::UppercaseLetter | G::TitlecaseLetter => LETTER | UPPER,
        G::LowercaseLetter => LETTER | LOWER,
        G::ModifierLetter | G::OtherLetter => LETTER | UPPER | LOWER,
        G::NonspacingMark | G::SpacingMark | G::EnclosingMark => MARK | UPPER | LOWER,
        G::DecimalNumber | G::LetterNumber | G::OtherNumber => NUMBER,
        G::ConnectorPunctuation => PUNCTUATION | WORD,
        G::DashPunctuation
        | G::OpenPunctuation
        | G::ClosePunctuation
        | G::InitialPunctuation
        | G::FinalPunctuation
        | G::OtherPunctuation => PUNCTUATION,
        _ => 0,
    };
    if c.is_whitespace() {
        class |= SPACE;
    }
    let joins = matches!(c, '\u{200C}' | '\u{200D}');
    if c.is_alphabetic() || class & MARK != 0 || matches!(c.general_category(), G::DecimalNumber) || joins {
        class |= WORD;
    }
    class
}

#[cold]
fn seldom(c: char) -> u8 {
    class_from_properties(c)
}

/// The table, fetched once before a loop.
#[derive(Clone, Copy)]
pub(super) struct Classes {
    table: &'static Table,
    ascii: &'static [u8; 256],
}

impl Classes {
    pub(super) fn get() -> Self {
        let table = &*TABLE;
        Self { table, ascii: &table.classes[table.blocks[0] as usize] }
    }

    #[inline(always)]
    pub(super) fn of(self, c: char) -> u8 {
        let code = c as u32;
        match self.table.blocks.get((code >> 8) as usize) {
            Some(&block) => self.table.classes[block as usize][(code & 0xFF) as usize],
            None => seldom(c),
        }
    }

    /// The class of the character that begins at a byte of the text, and its length; class 0 and length 0 at the end.
    #[inline(always)]
    pub(super) fn at(self, text: &str, at: usize) -> (u8, usize) {
        match text.as_bytes().get(at) {
            None => (0, 0),
            Some(&byte) if byte < 0x80 => (self.ascii[byte as usize], 1),
            Some(_) => self.wide(text, at),
        }
    }

    #[inline]
    fn wide(self, text: &str, at: usize) -> (u8, usize) {
        match text[at..].chars().next() {
            Some(c) => (self.of(c), c.len_utf8()),
            None => (0, 0),
        }
    }

    /// The end of the run of characters from `at` on whose class has one of the bits.
    #[inline(always)]
    pub(super) fn run(self, text: &str, mut at: usize, bits: u8) -> usize {
        loop {
            let (class, length) = self.at(text, at);
            if class & bits == 0 {
                return at;
            }
            at += length;
        }
    }

    /// The end of the run of characters from `at` on whose class has none of the bits.
    #[inline(always)]
    pub(super) fn run_without(self, text: &str, mut at: usize, bits: u8) -> usize {
        loop {
            let (class, length) = self.at(text, at);
            if length == 0 || class & bits != 0 {
                return at;
            }
            at += length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_what_the_properties_say() {
        let classes = Classes::get();
        for c in (0..=char::MAX as u32).filter_map(char::from_u32) {
            assert_eq!(classes.of(c), class_from_properties(c), "{:x}", c as u32);
        }
        assert_eq!(classes.of('_') & WORD, WORD);
        assert_eq!(classes.of('Ⓐ') & (LETTER | WORD), WORD);
        assert_eq!(classes.of('½') & (NUMBER | WORD), NUMBER);
        assert_eq!(classes.at("aé", 1), (LETTER | LOWER | WORD, 2));
    }
}
