//! What a group of a panel looks like in each storage.

use super::super::half::widen;
use super::super::quantised::BlockKind;
use crate::bf16::Bf16;

/// Outputs of a panel.
pub const PANEL: usize = 16;

/// Inputs of a group: the values that have a scale together.
pub const GROUP: usize = 32;

/// Bytes of the scales of a group: one in half precision for each output.
pub const SCALES: usize = 2 * PANEL;

/// Groups of a storage.
pub trait Format {
    /// Bytes of a group.
    const BYTES: usize;

    /// The weights: those of each input.
    fn widen(group: &[u8], to: &mut [[f32; PANEL]; GROUP]);
}

/// Single precision.
pub struct F32Rows;
/// bfloat16.
pub struct Bf16Rows;
/// Scales, then for four inputs at a time a word for each output: their bytes plus 128, the first in the lowest, turned left by four bits. So the first two, and
/// after half a turn the other two, stand where a number has its mantissa.
pub struct Q8Blocks;
/// The same of eight inputs and their halves of bytes plus 8, turned left by twelve bits, and whole after one, two and three quarters of a turn.
pub struct Q4Blocks;

/// Bytes of a word for each output.
pub const WORDS: usize = 4 * PANEL;

/// The words of a group behind its scales, those of each place.
#[inline(always)]
fn words(group: &[u8]) -> &[[u8; WORDS]] {
    group[SCALES..].as_chunks().0
}

/// The scales of a group.
#[inline(always)]
fn scales(group: &[u8]) -> [f32; PANEL] {
    let (words, _) = group[..SCALES].as_chunks::<2>();
    std::array::from_fn(|i| widen(u16::from_le_bytes(words[i])))
}

impl Format for F32Rows {
    const BYTES: usize = 4 * PANEL * GROUP;

    #[inline(always)]
    fn widen(group: &[u8], to: &mut [[f32; PANEL]; GROUP]) {
        let (words, _) = group.as_chunks::<4>();
        to.as_flattened_mut().iter_mut().zip(words).for_each(|(v, word)| *v = f32::from_le_bytes(*word));
    }
}

impl F32Rows {
    /// A panel of rows of Wᵀ.
    pub fn pack(panel: &mut [u8], rows: &[f32], inputs: usize) {
        let (words, _) = panel.as_chunks_mut::<4>();
        for (lane, row) in rows.chunks_exact(inputs.max(1)).enumerate() {
            words[lane..].iter_mut().step_by(PANEL).zip(row).for_each(|(word, v)| *word = v.to_le_bytes());
        }
    }
}

impl Format for Bf16Rows {
    const BYTES: usize = 2 * PANEL * GROUP;

    #[inline(always)]
    fn widen(group: &[u8], to: &mut [[f32; PANEL]; GROUP]) {
        let (words, _) = group.as_chunks::<2>();
        let word = |word: &[u8; 2]| Bf16::from_bits(u16::from_le_bytes(*word)).to_f32();
        to.as_flattened_mut().iter_mut().zip(words).for_each(|(v, w)| *v = word(w));
    }
}

impl Bf16Rows {
    /// A panel of rows of Wᵀ, rounded.
    pub fn pack(panel: &mut [u8], rows: &[f32], inputs: usize) {
        let (words, _) = panel.as_chunks_mut::<2>();
        for (lane, row) in rows.chunks_exact(inputs.max(1)).enumerate() {
            let words = words[lane..].iter_mut().step_by(PANEL).zip(row);
            words.for_each(|(word, v)| *word = Bf16::nearest(*v).to_bits().to_le_bytes());
        }
    }

    /// A panel of rows of Wᵀ that are words already, the first `n` of these.
    pub fn pack_words(panel: &mut [u8], rows: &[&[u8]; PANEL], n: usize) {
        let (words, _) = panel.as_chunks_mut::<{ 2 * PANEL }>();
        let rows = rows.map(|row| row.as_chunks::<2>().0);
        #[cfg(target_arch = "x86_64")]
        let done = if n == PANEL { turned(words, &rows) } else { 0 };
        #[cfg(not(target_arch = "x86_64"))]
        let done = 0;
        for (i, to) in words.iter_mut().enumerate().take(rows[0].len()).skip(done) {
            let (to, _) = to.as_chunks_mut::<2>();
            to[..n].iter_mut().zip(&rows).for_each(|(to, row)| *to = row[i]);
        }
    }
}

/// Rows and columns of a square that is turned at once.
#[cfg(target_arch = "x86_64")]
const SQUARE: usize = 8;

/// Eight words of each of eight rows, from place `at` on, into bytes of the first eight columns from `first` on.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn turn_square(columns: &mut [[u8; 2 * PANEL]], first: usize, rows: &[&[[u8; 2]]; SQUARE], at: usize) {
    use std::arch::x86_64::*;
    // SAFETY: every row has eight words from there on, and every column sixteen bytes; SSE2 is part of the architecture.
    unsafe {
        let [a, b, c, d, e, f, g, h]: [__m128i; SQUARE] =
            std::array::from_fn(|i| _mm_loadu_si128(rows[i][at..at + SQUARE].as_ptr().cast()));
        let pairs = |a, b| [_mm_unpacklo_epi16(a, b), _mm_unpackhi_epi16(a, b)];
        let fours = |a, b| [_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b)];
        let ([ab, ab2], [cd, cd2], [ef, ef2], [gh, gh2]) = (pairs(a, b), pairs(c, d), pairs(e, f), pairs(g, h));
        let low = [fours(ab, cd), fours(ab2, cd2)].into_iter().flatten();
        let high = [fours(ef, gh), fours(ef2, gh2)].into_iter().flatten();
        for (k, (low, high)) in low.zip(high).enumerate() {
            for (odd, column) in [_mm_unpacklo_epi64(low, high), _mm_unpackhi_epi64(low, high)].into_iter().enumerate()
            {
                _mm_storeu_si128(columns[2 * k + odd][first..][..16].as_mut_ptr().cast(), column);
            }
        }
    }
}

/// Words of rows into the columns that they are, squares of eight at a time; how many of each row that were.
#[cfg(target_arch = "x86_64")]
fn turned(words: &mut [[u8; 2 * PANEL]], rows: &[&[[u8; 2]]; PANEL]) -> usize {
    const LINE: usize = 32;
    let shortest = rows.iter().map(|row| row.len()).min().unwrap_or(0).min(words.len());
    let whole = shortest - shortest % SQUARE;
    // Cache lines of eight rows at a time: rows are often a power of two apart, where more lines than eight push each other out.
    for line in (0..whole).step_by(LINE) {
        for half in [0, SQUARE] {
            for at in (line..whole.min(line + LINE)).step_by(SQUARE) {
                let rows: &[&[[u8; 2]]; SQUARE] = rows[half..].first_chunk().unwrap_or_else(|| unreachable!());
                turn_square(&mut words[at..], 2 * half, rows, at);
            }
        }
    }
    whole
}

impl Format for Q8Blocks {
    const BYTES: usize = SCALES + PANEL * GROUP;

    #[inline(always)]
    fn widen(group: &[u8], to: &mut [[f32; PANEL]; GROUP]) {
        let scales = scales(group);
        let (fours, _) = to.as_chunks_mut::<4>();
        for (four, words) in fours.iter_mut().zip(words(group)) {
            let (words, _) = words.as_chunks::<4>();
            for (i, to) in four.iter_mut().enumerate() {
                for ((v, word), d) in to.iter_mut().zip(words).zip(&scales) {
                    let q = Q8Blocks::plain(u32::from_le_bytes(*word)).to_le_bytes()[i] as i8;
                    *v = scaled(i32::from(q), *d);
                }
            }
        }
    }
}

impl Q8Blocks {
    /// Bytes with a sign into a word.
    fn word(plain: u32) -> u32 {
        (plain ^ 0x8080_8080).rotate_left(4)
    }

    /// And back.
    #[inline(always)]
    fn plain(word: u32) -> u32 {
        word.rotate_right(4) ^ 0x8080_8080
    }

    /// Puts a block of a file into its place of a group.
    pub fn together(block: &[u8], lane: usize, group: &mut [u8]) {
        let (scale, bytes) = block.split_at(2);
        group[2 * lane..2 * lane + 2].copy_from_slice(scale);
        let words = group[SCALES..].as_chunks_mut::<4>().0[lane..].iter_mut().step_by(PANEL);
        words.zip(bytes.as_chunks().0).for_each(|(to, q)| *to = Q8Blocks::word(u32::from_le_bytes(*q)).to_le_bytes());
    }

    /// Takes it out again.
    pub fn apart(group: &[u8], lane: usize, block: &mut [u8]) {
        let (scale, bytes) = block.split_at_mut(2);
        scale.copy_from_slice(&group[2 * lane..2 * lane + 2]);
        let words = group[SCALES..].as_chunks::<4>().0[lane..].iter().step_by(PANEL);
        words
            .zip(bytes.as_chunks_mut().0)
            .for_each(|(w, q)| *q = Q8Blocks::plain(u32::from_le_bytes(*w)).to_le_bytes());
    }
}

const _: () = assert!(BlockKind::Q8_0.block_len() == GROUP && BlockKind::Q4_0.block_len() == GROUP);

/// A weight: a scale in half precision times few bits, so nothing is rounded. What is nothing has no sign, whatever the scale's, as in registers.
#[inline(always)]
fn scaled(q: i32, scale: f32) -> f32 {
    q as f32 * scale + 0.0
}

impl Format for Q4Blocks {
    const BYTES: usize = SCALES + PANEL * GROUP / 2;

    #[inline(always)]
    fn widen(group: &[u8], to: &mut [[f32; PANEL]; GROUP]) {
        let scales = scales(group);
        let (eights, _) = to.as_chunks_mut::<8>();
        for (eight, words) in eights.iter_mut().zip(words(group)) {
            let (words, _) = words.as_chunks::<4>();
            for (i, to) in eight.iter_mut().enumerate() {
                for ((v, word), d) in to.iter_mut().zip(words).zip(&scales) {
                    let q = Q4Blocks::plain(u32::from_le_bytes(*word)) >> (4 * i) & 15;
                    *v = scaled(q as i32 - 8, *d);
                }
            }
        }
    }
}

impl Q4Blocks {
    /// Halves of bytes, those of the first input lowest, into a word.
    fn word(plain: u32) -> u32 {
        plain.rotate_left(12)
    }

    /// And back.
    #[inline(always)]
    fn plain(word: u32) -> u32 {
        word.rotate_right(12)
    }

    /// Puts a block of a file into its place of a group: there byte i has inputs i and i + 16.
    pub fn together(block: &[u8], lane: usize, group: &mut [u8]) {
        let (scale, bytes) = block.split_at(2);
        group[2 * lane..2 * lane + 2].copy_from_slice(scale);
        let (bytes, _) = bytes.as_chunks();
        let (words, _) = group[SCALES..].as_chunks_mut::<4>();
        for (i, word) in words[lane..].iter_mut().step_by(PANEL).enumerate() {
            let q = u64::from_le_bytes(bytes[i % 2]) >> (i / 2 * 4) & 0x0F0F_0F0F_0F0F_0F0F;
            let q = (q | q >> 4) & 0x00FF_00FF_00FF_00FF;
            let q = (q | q >> 8) & 0x0000_FFFF_0000_FFFF;
            *word = Q4Blocks::word((q | q >> 16) as u32).to_le_bytes();
        }
    }

    /// Takes it out again.
    pub fn apart(group: &[u8], lane: usize, block: &mut [u8]) {
        let (scale, bytes) = block.split_at_mut(2);
        scale.copy_from_slice(&group[2 * lane..2 * lane + 2]);
        let (words, _) = group[SCALES..].as_chunks::<4>();
        let eight = |i: usize| {
            let q = u64::from(Q4Blocks::plain(u32::from_le_bytes(words[lane + i * PANEL])));
            let q = (q | q << 16) & 0x0000_FFFF_0000_FFFF;
            let q = (q | q << 8) & 0x00FF_00FF_00FF_00FF;
            (q | q << 4) & 0x0F0F_0F0F_0F0F_0F0F
        };
        let (bytes, _) = bytes.as_chunks_mut();
        bytes.iter_mut().enumerate().for_each(|(i, to)| *to = (eight(i) | eight(i + 2) << 4).to_le_bytes());
    }
}
