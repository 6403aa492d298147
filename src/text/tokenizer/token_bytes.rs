//! The bytes of tokens, put together.

/// The bytes of every token, for tokenizers whose tokens are bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct TokenBytes {
    bytes: Vec<u8>,
    /// For each id where its bytes begin and how many there are; [`GAP`] where there is no token.
    ranges: Vec<(u32, u32)>,
}

const GAP: u32 = u32::MAX;
/// Tokens up to this length are copied in one go.
const SHORT: usize = 16;

impl TokenBytes {
    /// From the bytes of each id.
    pub(super) fn new(tokens: impl Iterator<Item = Option<Vec<u8>>>) -> Self {
        let mut all = Self::default();
        for token in tokens {
            let start = all.bytes.len() as u32;
            all.ranges.push((start, token.as_ref().map_or(GAP, |token| token.len() as u32)));
            all.bytes.extend(token.unwrap_or_default());
        }
        all.bytes.resize(all.bytes.len() + SHORT, 0);
        all
    }

    pub(super) fn get(&self, id: u32) -> Option<&[u8]> {
        let &(start, length) = self.ranges.get(id as usize)?;
        (length != GAP).then(|| &self.bytes[start as usize..(start + length) as usize])
    }

    /// The bytes of ids one after the other; `None` if one of them is no token.
    pub(super) fn concat(&self, ids: &[u32]) -> Option<Vec<u8>> {
        let mut total = 0;
        for &id in ids {
            let (_, length) = *self.ranges.get(id as usize)?;
            if length == GAP {
                return None;
            }
            total += length as usize;
        }
        let mut out = vec![0; total + SHORT];
        let mut at = 0;
        for &id in ids {
            let (start, length) = self.ranges[id as usize];
            let (start, length) = (start as usize, length as usize);
            if length <= SHORT {
                // What is written too much is overwritten by the next.
                out[at..at + SHORT].copy_from_slice(&self.bytes[start..start + SHORT]);
            } else {
                out[at..at + length].copy_from_slice(&self.bytes[start..start + length]);
            }
            at += length;
        }
        out.truncate(total);
        Some(out)
    }
}
