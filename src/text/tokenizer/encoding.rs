//! What a text becomes.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::aligned_text::Span;
use crate::error::{Error, Result};

/// A text as tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoding {
    /// Ids, special ones of the template and padding among them.
    pub ids: Vec<u32>,
    /// The number of the text that each token belongs to, as the template has it (BERT: 0 and 1).
    pub type_ids: Vec<u32>,
    /// Bytes of the text that each token stands for, from and to: of the text that was given, not of the normalised one. A token that holds
    /// part of a character has the whole character's; those of the template and of padding have (0, 0). In a pair each in its own text.
    pub offsets: Vec<(u32, u32)>,
    /// 1 where the template or padding put the token, 0 where the text did.
    pub special_tokens_mask: Vec<u8>,
    /// 1 for tokens, 0 for padding.
    pub attention_mask: Vec<u8>,
}

impl Encoding {
    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(super) fn with_capacity(tokens: usize) -> Self {
        Self {
            ids: Vec::with_capacity(tokens),
            type_ids: Vec::with_capacity(tokens),
            offsets: Vec::with_capacity(tokens),
            special_tokens_mask: Vec::with_capacity(tokens),
            attention_mask: Vec::with_capacity(tokens),
        }
    }

    pub(super) fn push(&mut self, id: u32, type_id: u32, offsets: Span, special: bool, attention: bool) {
        self.ids.push(id);
        self.type_ids.push(type_id);
        self.offsets.push(offsets);
        self.special_tokens_mask.push(special.into());
        self.attention_mask.push(attention.into());
    }
}

/// On which side something is cut off or filled up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Side {
    /// At the beginning.
    Left,
    /// At the end.
    #[default]
    Right,
}

/// Which text of a pair is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TruncationStrategy {
    /// The longer one, then both.
    #[default]
    LongestFirst,
    /// The first.
    OnlyFirst,
    /// The second.
    OnlySecond,
}

/// Encodings are cut to a length, the template's tokens counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Truncation {
    /// Where tokens go; at the end by default.
    #[serde(default)]
    pub direction: Side,
    /// The most tokens.
    pub max_length: usize,
    /// Which text of a pair is cut; the longer one by default.
    #[serde(default)]
    pub strategy: TruncationStrategy,
    /// How many tokens windows would have in common; kept for other programs, nothing here makes windows.
    #[serde(default)]
    pub stride: usize,
}

impl Truncation {
    /// To a length, at the end.
    pub fn to(max_length: usize) -> Self {
        Self { direction: Side::Right, max_length, strategy: TruncationStrategy::LongestFirst, stride: 0 }
    }

    /// How many tokens of the first and of the second text stay, `added` being the template's.
    fn lengths(&self, first: usize, second: Option<usize>, added: usize) -> Result<(usize, usize)> {
        let (max, other) = (self.max_length.saturating_sub(added), second.unwrap_or(0));
        if first + other <= max {
            return Ok((first, other));
        }
        let too_short = |which: &str, n: usize| {
            let hint = "raise max_length, or cut the longest first";
            let expected = format!(
                "at least {} tokens for this pair when only the {which} text is cut",
                first + other - n + added + 1
            );
            Err(Error::argument("Truncation", "max_length", expected, self.max_length, hint))
        };
        let surplus = first + other - max;
        match self.strategy {
            TruncationStrategy::OnlyFirst if first > surplus => Ok((first - surplus, other)),
            TruncationStrategy::OnlyFirst => too_short("first", first),
            TruncationStrategy::OnlySecond if other > surplus => Ok((first, other - surplus)),
            TruncationStrategy::OnlySecond => too_short("second", other),
            TruncationStrategy::LongestFirst if second.is_none() => Ok((max, 0)),
            TruncationStrategy::LongestFirst => {
                let short = first.min(other);
                // The longer one alone while it stays the longer one, then half each, the odd token to the longer one.
                let (short, long) = if 2 * short <= max { (short, max - short) } else { (max / 2, max - max / 2) };
                Ok(if first <= other { (short, long) } else { (long, short) })
            }
        }
    }

    /// Which tokens of the first and of the second text stay.
    pub(super) fn ranges(&self, first: usize, second: Option<usize>, added: usize) -> Result<[Range<usize>; 2]> {
        if added > self.max_length {
            let expected = format!("at least {added}, the tokens of the template");
            return Err(Error::argument(
                "Truncation",
                "max_length",
                expected,
                self.max_length,
                "raise it, or encode without the template",
            ));
        }
        let (a, b) = self.lengths(first, second, added)?;
        let range = |all: usize, kept: usize| match self.direction {
            Side::Left => all - kept..all,
            Side::Right => 0..kept,
        };
        Ok([range(first, a), range(second.unwrap_or(0), b)])
    }
}

/// Encodings are filled up to so many tokens at most, or to a multiple of so many.
const MAX_LENGTH: usize = 1 << 20;

/// To which length encodings are filled up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PaddingStrategy {
    /// The longest of the batch.
    #[default]
    BatchLongest,
    /// A length, of 2²⁰ at most; longer ones stay as they are.
    Fixed(usize),
}

/// Encodings of a batch are filled up to one length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Padding {
    /// To which length.
    pub strategy: PaddingStrategy,
    /// On which side.
    pub direction: Side,
    /// The length is a multiple of this, which is 2²⁰ at most.
    #[serde(default)]
    pub pad_to_multiple_of: Option<usize>,
    /// The id that is put in.
    pub pad_id: u32,
    /// Its type id.
    pub pad_type_id: u32,
    /// Its token.
    pub pad_token: String,
}

impl Padding {
    /// To the longest of the batch, at the end.
    pub fn with(pad_id: u32, pad_token: impl Into<String>) -> Self {
        Self {
            strategy: PaddingStrategy::BatchLongest,
            direction: Side::Right,
            pad_to_multiple_of: None,
            pad_id,
            pad_type_id: 0,
            pad_token: pad_token.into(),
        }
    }

    /// Refuses lengths for which memory would be taken that no model needs.
    pub(super) fn check(&self) -> Result<(), String> {
        let fixed = match self.strategy {
            PaddingStrategy::BatchLongest => 0,
            PaddingStrategy::Fixed(length) => length,
        };
        match fixed.max(self.pad_to_multiple_of.unwrap_or(0)) {
            length if length > MAX_LENGTH => {
                Err(format!("expected padding to at most {MAX_LENGTH} tokens, got {length}"))
            }
            _ => Ok(()),
        }
    }

    /// The length of encodings of which the longest has so many tokens.
    pub(in super::super) fn length(&self, longest: usize) -> usize {
        let length = match self.strategy {
            PaddingStrategy::BatchLongest => longest,
            PaddingStrategy::Fixed(length) => length,
        };
        self.pad_to_multiple_of
            .filter(|n| *n > 0)
            .map_or(length, |n| length.checked_next_multiple_of(n).unwrap_or(length))
    }

    /// Fills up ids alone.
    pub(super) fn fill_ids(&self, ids: &mut Vec<u32>, length: usize) {
        let n = ids.len();
        ids.resize(length.max(n), self.pad_id);
        if self.direction == Side::Left {
            ids.rotate_left(n);
        }
    }

    pub(super) fn fill(&self, encoding: &mut Encoding, length: usize) {
        let missing = length.saturating_sub(encoding.len());
        let n = encoding.len();
        (0..missing).for_each(|_| encoding.push(self.pad_id, self.pad_type_id, (0, 0), true, false));
        if self.direction == Side::Left {
            let Encoding { ids, type_ids, offsets, special_tokens_mask, attention_mask } = encoding;
            ids.rotate_left(n);
            type_ids.rotate_left(n);
            offsets.rotate_left(n);
            special_tokens_mask.rotate_left(n);
            attention_mask.rotate_left(n);
        }
    }
}
