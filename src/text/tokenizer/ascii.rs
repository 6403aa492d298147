//! The split patterns over text of ASCII, byte by byte or eight bytes at a time; `None` for what needs a look at whole characters.

/// What a byte is to a pattern.
const MARK: u8 = 0;
const LETTER: u8 = 1;
const DIGIT: u8 = 2;
const SPACE: u8 = 3;
const LINE_END: u8 = 4;
const WIDE: u8 = 5;

static KINDS: [u8; 256] = {
    let mut kinds = [WIDE; 256];
    let mut byte = 0;
    while byte < 128 {
        kinds[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' => LETTER,
            b'0'..=b'9' => DIGIT,
            b'\r' | b'\n' => LINE_END,
            b' ' | b'\t' | 0x0B | 0x0C => SPACE,
            _ => MARK,
        };
        byte += 1;
    }
    kinds
};

/// What a byte may be at the beginning of a word of ASCII letters: 2 for a letter, 1 for what may stand before one.
const fn beginnings(gpt2: bool) -> [u8; 256] {
    let mut all = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        let prefix = match byte as u8 {
            b'\r' | b'\n' | b'\'' | b'0'..=b'9' => false,
            other => !gpt2 || other == b' ',
        };
        all[byte] = if (byte as u8).is_ascii_alphabetic() { 2 } else { prefix as u8 };
        byte += 1;
    }
    all
}

/// For GPT-2's words: only a space stands before a word.
pub(super) static SPACE_BEFORE: [u8; 256] = beginnings(true);
/// For cl100k's: anything may but line ends and digits, and an apostrophe that needs a closer look.
pub(super) static ANY_BEFORE: [u8; 256] = beginnings(false);

/// A bit at the top of each of eight bytes that is no letter of ASCII.
#[inline(always)]
fn no_letters(eight: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let small = (eight | (0x20 * EACH)) & (0x7F * EACH);
    let (from_a, behind_z) = (small + (0x80 - b'a' as u64) * EACH, small + (0x80 - b'z' as u64 - 1) * EACH);
    !(from_a & !behind_z & !eight) & (0x80 * EACH)
}

/// The end of a word of letters, eight bytes at a time, with a character before it where `beginnings` allows.
#[inline(always)]
pub(super) fn word(text: &str, at: usize, beginnings: &[u8; 256]) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut end = at + 1;
    loop {
        let stops = no_letters(u64::from_le_bytes(*bytes.get(end..)?.first_chunk::<8>()?));
        if stops == 0 {
            end += 8;
            continue;
        }
        end += stops.trailing_zeros() as usize / 8;
        let begins = beginnings[bytes[at] as usize] + u8::from(end > at + 1) >= 2;
        // A letter beyond ASCII goes on with the word.
        return (begins && bytes[end] < 0x80).then_some(end);
    }
}

/// How marks and numbers go together.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    /// How many digits are one piece; 0 for all.
    pub digits: u8,
    /// GPT-2's: a space may stand before digits, and line ends are white space as any other.
    pub gpt2: bool,
    /// Whether a slash goes with the line ends behind marks.
    pub slash: bool,
    /// Whether white space at the end of the text is one piece.
    pub whole_end: bool,
}

#[inline(always)]
fn kind(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).map(|&byte| KINDS[byte as usize])
}

/// The end of a piece that begins with a mark, a digit or white space and is no word.
#[inline]
pub(super) fn other(text: &str, at: usize, rules: Rules) -> Option<usize> {
    let bytes = text.as_bytes();
    let begin = at + usize::from(bytes[at] == b' ');
    let end = match kind(bytes, begin) {
        Some(MARK) if bytes[at] != b'\'' => {
            let mut end = begin + 1;
            while kind(bytes, end) == Some(MARK) {
                end += 1;
            }
            let after = |end: usize| {
                !rules.gpt2 && (kind(bytes, end) == Some(LINE_END) || (rules.slash && bytes.get(end) == Some(&b'/')))
            };
            if kind(bytes, end) == Some(WIDE) {
                return None;
            }
            while after(end) {
                end += 1;
            }
            return Some(end);
        }
        Some(DIGIT) if begin == at || rules.gpt2 => {
            let most = if rules.digits == 0 { usize::MAX } else { rules.digits as usize };
            let digits = bytes[begin..].iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
            begin + digits
        }
        // A word near the end of the text.
        Some(LETTER) => return None,
        _ => {
            let mut end = at;
            let mut line = None;
            loop {
                match kind(bytes, end) {
                    Some(SPACE) => {}
                    Some(LINE_END) => line = Some(end + 1),
                    _ => break,
                }
                end += 1;
            }
            if end == at || kind(bytes, end) == Some(WIDE) {
                return None;
            }
            return Some(match line.filter(|_| !rules.gpt2) {
                _ if end == bytes.len() && (rules.whole_end || rules.gpt2) => end,
                Some(line) => line,
                None if end == bytes.len() || end - at == 1 => end,
                None => end - 1,
            });
        }
    };
    // A digit beyond ASCII may go on with the number.
    (kind(bytes, end) != Some(WIDE)).then_some(end)
}
