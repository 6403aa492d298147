//! What a built graph is made of, for those who look at it: summaries, drawings, settings by path.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::tensor::Shape;

/// A node of a built graph, or several under a name.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Outline {
    /// The name within what holds it.
    pub name: String,
    /// What the names of its weights begin with; of what is shared, the path of the first place.
    pub path: String,
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
    /// The last part of the path.
    pub(crate) fn label(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The names of entries side by side, all different: what is shared is `tower` where it is applied first, then `tower#2`.
    pub(crate) fn labels(parts: &[Outline]) -> Vec<String> {
        let mut times = BTreeMap::new();
        let label = |part: &Outline| {
            let n = times.entry(part.label().to_owned()).and_modify(|n| *n += 1).or_insert(1);
            if *n == 1 { part.label().to_owned() } else { format!("{}#{n}", part.label()) }
        };
        parts.iter().map(label).collect()
    }

    /// The entry of a path of such names, `residual/dense_1` or `tower#2/dense`.
    pub(crate) fn labelled<'a>(parts: &'a [Outline], path: &str) -> Option<&'a Outline> {
        parts.iter().zip(Outline::labels(parts)).find_map(|(part, label)| {
            let rest = path.strip_prefix(label.as_str())?;
            if rest.is_empty() { Some(part) } else { Outline::labelled(&part.parts, rest.strip_prefix('/')?) }
        })
    }

    /// The paths of all entries, and of those inside of them, in order.
    pub(crate) fn all(parts: &[Outline]) -> Vec<(String, &Outline)> {
        let mut all = Vec::new();
        for (part, label) in parts.iter().zip(Outline::labels(parts)) {
            let inside = Outline::all(&part.parts).into_iter().map(|(path, part)| (format!("{label}/{path}"), part));
            all.extend(std::iter::once((label.clone(), part)).chain(inside));
        }
        all
    }

    /// The nodes alone, through all scopes.
    pub(crate) fn nodes(parts: &[Outline]) -> Vec<&Outline> {
        Outline::all(parts).into_iter().map(|(_, part)| part).filter(|part| part.is_node()).collect()
    }

    /// Whether it is a single node; a scope may be empty, a node gives a value.
    pub(crate) fn is_node(&self) -> bool {
        self.parts.is_empty() && !self.outputs.is_empty()
    }

    /// The value that it gives, the last of several.
    pub(crate) fn value(&self) -> Option<u32> {
        self.outputs.clone().next_back()
    }

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
