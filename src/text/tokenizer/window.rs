//! The split patterns over ASCII, 64 bytes at a time: where pieces begin, a bit for each byte.
//!
//! A piece begins anew whatever stands before it, so a window that begins with one needs no memory of what was before. What depends on
//! bytes behind the window, or on characters beyond ASCII, is left out.

use crate::kernels::ascii::{Kinds, kinds};

/// Which pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// GPT-2's.
    Gpt2,
    /// cl100k's: any mark may stand before a word, and so many digits are one piece (0: all).
    Cl100k { digits: u8 },
}

/// Where pieces begin behind a byte that begins one, a bit for each of the 63 bytes behind it, the lowest for that byte and never set. What
/// lies before the last of them is cut; without any the next piece has to be found another way.
#[inline(always)]
pub(super) fn beginnings(bytes: &[u8], at: usize, words: Words) -> u64 {
    let rest = &bytes[at..];
    if rest[0] >= 0x80 {
        return 0;
    }
    let all = match rest.first_chunk::<64>() {
        Some(window) => kinds(window),
        None => {
            // What is behind the end is as little known as what is behind the window.
            let mut window = [0xFF; 64];
            window[..rest.len()].copy_from_slice(rest);
            kinds(&window)
        }
    };
    let known = all.wide.trailing_zeros();
    if known < 2 {
        return 0;
    }
    let inside = u64::MAX >> (64 - known);
    let (starts, white) = match words {
        Words::Gpt2 => gpt2(rest, all, inside),
        Words::Cl100k { digits } => cl100k(rest, all, inside, digits),
    };
    // What stands behind an apostrophe near the end of the window may go on behind it.
    let mut last = match all.apostrophes & inside & !(inside >> 2) {
        0 => known - 1,
        some => some.trailing_zeros(),
    };
    // So may white space, of which only the beginning is certain.
    if white >> (known - 1) & 1 != 0 {
        last = last.min(known - (!(white << (64 - known))).leading_zeros());
    }
    starts & (u64::MAX >> (63 - last)) & !1
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`: beginnings, and the white
/// space that is in no piece of marks.
#[inline(always)]
fn cl100k(bytes: &[u8], all: Kinds, inside: u64, digits: u8) -> (u64, u64) {
    let Kinds { letters, spaces, line_ends, .. } = all;
    let marks = inside & !(letters | all.digits | all.white);
    let mark_starts = marks & !((marks | spaces) << 1);
    // Line ends behind marks belong to them: a sum runs through all that stand beside each other.
    let absorbed = line_ends & !line_ends.wrapping_add(line_ends & marks << 1);
    let white = all.white & !absorbed;
    // White space without line ends: a piece that may end one before the last, which then is the next one's.
    let blanks = white & !line_ends;
    let blank_starts = blanks & !(blanks << 1);
    let mut starts = mark_starts | blank_starts | blanks & !(white >> 1);
    // A word takes a blank before it, or a mark that is no other's.
    starts |= letters & !((letters | blanks | mark_starts) << 1);
    starts |= white & line_ends & !(white << 1);
    // Between line ends there is no beginning.
    if blanks.wrapping_add(blank_starts) & !blanks & line_ends & white != 0 {
        let mut between = blank_starts & (white & line_ends) << 1;
        while between != 0 {
            let at = between.trailing_zeros();
            let end = at + (!(blanks >> at)).trailing_zeros();
            if end < 64 && line_ends >> end & 1 != 0 {
                starts &= !(1 << at);
            }
            between &= between - 1;
        }
    }
    starts |= match digits {
        0 => all.digits & !(all.digits << 1),
        1 => all.digits,
        most => {
            let mut behind = (1..=most).fold(all.digits, |behind, n| behind & all.digits << n);
            let mut starts = all.digits & !(all.digits << 1);
            while behind != 0 {
                let at = behind.trailing_zeros();
                starts |= 1 << at;
                behind &= !(((1 << most) - 1) << at);
            }
            starts
        }
    };
    // What goes on behind a contraction.
    let mut contractions = mark_starts & all.apostrophes & letters >> 1 & letters >> 2;
    while contractions != 0 {
        let at = contractions.trailing_zeros() as usize;
        contractions &= contractions - 1;
        let letters_of_it = contraction(bytes[at + 1] | 0x20, bytes[at + 2] | 0x20);
        let behind = 1u64.checked_shl((at + 1 + letters_of_it) as u32).unwrap_or(0);
        starts |= if letters_of_it == 0 { 0 } else { behind & letters };
    }
    (starts, white)
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`: beginnings, and white space.
#[inline(always)]
fn gpt2(bytes: &[u8], all: Kinds, inside: u64) -> (u64, u64) {
    let Kinds { letters, digits, spaces, white, .. } = all;
    let marks = inside & !(letters | digits | white);
    let mark_starts = marks & !((marks | spaces) << 1);
    let mut starts = mark_starts
        | letters & !((letters | spaces) << 1)
        | digits & !((digits | spaces) << 1)
        | white & !(white << 1 & white >> 1);
    // A space alone before what is no white space begins it; any other white space is a piece.
    let mut contractions = mark_starts & all.apostrophes & letters >> 1;
    while contractions != 0 {
        let at = contractions.trailing_zeros() as usize;
        contractions &= contractions - 1;
        let letters_of_it = contraction(bytes[at + 1], bytes.get(at + 2).copied().unwrap_or(0));
        if letters_of_it > 0 {
            let behind = 1u64.checked_shl((at + 1 + letters_of_it) as u32).unwrap_or(0);
            starts = starts & !(2 << at) | behind & letters;
        }
    }
    (starts, white)
}

/// How many letters behind an apostrophe are a contraction.
#[inline(always)]
pub(super) fn contraction(first: u8, second: u8) -> usize {
    match (first, second) {
        (b's' | b't' | b'm' | b'd', _) => 1,
        (b'r' | b'v', b'e') | (b'l', b'l') => 2,
        _ => 0,
    }
}
