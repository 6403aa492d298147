//! Tokens by number and numbers by token.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::hashing::Seeded;

/// Tokens that are numbered from 0 on, each once.
#[derive(Clone, Default)]
pub(super) struct Table {
    tokens: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, u32, Seeded>,
}

impl Table {
    /// The table of tokens, or the first that is there twice.
    pub fn new(tokens: Vec<Arc<str>>) -> Result<Self, Arc<str>> {
        let mut ids = HashMap::with_capacity_and_hasher(tokens.len(), Seeded::default());
        for (token, id) in tokens.iter().zip(0..) {
            if ids.insert(token.clone(), id).is_some() {
                return Err(token.clone());
            }
        }
        Ok(Table { tokens, ids })
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(|token| &**token)
    }

    pub fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.tokens == other.tokens
    }
}

impl fmt::Debug for Table {
    /// How many there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.len())
    }
}
