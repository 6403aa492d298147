//! What a built graph is made of, for those who look at it: summaries, drawings, settings by path.

use std::ops::Range;

use crate::tensor::Shape;

/// A node of a built graph, or several under a name.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Outline {
    /// The name within what holds it.
    pub name: String,
    /// The type's name.
    pub class: &'static str,
    /// The shape of a sample of the last value that it gives.
    pub output: Shape,
    /// Positions of its parameters in the model's list.
    pub params: Range<usize>,
    /// The values that it takes from outside, each once, in the order in which they are read.
    pub inputs: Vec<u32>,
    /// The values made inside, counted as the graph's inputs first and then what the nodes give.
    pub outputs: Range<u32>,
    /// The nodes inside; none for a single one.
    pub parts: Vec<Outline>,
}

impl Outline {
    /// The entry of a path, such as `residual/dense_1`, among these and what they hold; with the positions that lead there.
    pub(crate) fn find<'a>(parts: &'a [Outline], path: &str) -> Option<(Vec<usize>, &'a Outline)> {
        parts.iter().enumerate().find_map(|(i, part)| {
            let rest = path.strip_prefix(part.name.as_str())?;
            if rest.is_empty() {
                return Some((vec![i], part));
            }
            let (mut at, found) = Outline::find(&part.parts, rest.strip_prefix('/')?)?;
            at.insert(0, i);
            Some((at, found))
        })
    }
}
