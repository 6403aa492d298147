//! What a pass is given.

use crate::tensor::{Float, Tensor};

/// The inputs of a pass, where the caller has them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Given<'a, T> {
    Refs(&'a [&'a Tensor<T>]),
    /// The first, and the others.
    Batch(&'a Tensor<T>, &'a [Tensor<T>]),
}

impl<'a, T: Float> Given<'a, T> {
    pub fn get(&self, i: usize) -> Option<&'a Tensor<T>> {
        match *self {
            Given::Refs(x) => x.get(i).copied(),
            Given::Batch(first, _) if i == 0 => Some(first),
            Given::Batch(_, more) => more.get(i - 1),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Given::Refs(x) => x.len(),
            Given::Batch(_, more) => 1 + more.len(),
        }
    }

    pub fn iter(self) -> impl Iterator<Item = &'a Tensor<T>> + Clone {
        (0..).map_while(move |i| self.get(i))
    }

    pub fn samples(&self) -> usize {
        self.get(0).map_or(0, Tensor::samples)
    }

    /// How many values all inputs hold.
    pub fn values(self) -> usize {
        self.iter().map(Tensor::len).fold(0, usize::saturating_add)
    }
}
