//! What `fit`, `evaluate` and `predict` are handed: one tensor, or several.

use std::ops::Deref;

use crate::error::{Error, Result};
use crate::tensor::{Float, Tensor};

/// One tensor, several in the order of the model's inputs or outputs, or several by their names.
///
/// Made by `into` from `&x`, `[&a, &b]`, a slice or vector of tensors, or `[("a", &a), ("b", &b)]`.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::model::Tensors;
/// let (a, b) = (Tensor::zeros([4, 2]), Tensor::zeros([4, 3]));
/// let _: [Tensors<'_>; 3] = [(&a).into(), [&a, &b].into(), [("left", &a), ("right", &b)].into()];
/// ```
#[derive(Clone, Debug)]
pub struct Tensors<'a, T = f32> {
    list: List<'a, T>,
    /// As many as tensors, or none.
    names: Vec<&'a str>,
}

/// One tensor without a list on the heap, as most calls have it, or several.
#[derive(Clone, Debug)]
pub(crate) enum List<'a, T> {
    One([&'a Tensor<T>; 1]),
    Several(Vec<&'a Tensor<T>>),
}

impl<'a, T> Deref for List<'a, T> {
    type Target = [&'a Tensor<T>];

    #[inline]
    fn deref(&self) -> &Self::Target {
        match self {
            List::One(one) => one,
            List::Several(several) => several,
        }
    }
}

impl<'a, T> From<&'a Tensor<T>> for Tensors<'a, T> {
    fn from(tensor: &'a Tensor<T>) -> Self {
        Tensors { list: List::One([tensor]), names: Vec::new() }
    }
}

impl<'a, T> From<Vec<&'a Tensor<T>>> for Tensors<'a, T> {
    fn from(tensors: Vec<&'a Tensor<T>>) -> Self {
        Tensors { list: List::Several(tensors), names: Vec::new() }
    }
}

impl<'a, T, const N: usize> From<[&'a Tensor<T>; N]> for Tensors<'a, T> {
    fn from(tensors: [&'a Tensor<T>; N]) -> Self {
        tensors.to_vec().into()
    }
}

impl<'a, T> From<&'a [Tensor<T>]> for Tensors<'a, T> {
    fn from(tensors: &'a [Tensor<T>]) -> Self {
        tensors.iter().collect::<Vec<_>>().into()
    }
}

impl<'a, T> From<&'a Vec<Tensor<T>>> for Tensors<'a, T> {
    fn from(tensors: &'a Vec<Tensor<T>>) -> Self {
        tensors.as_slice().into()
    }
}

impl<'a, T> From<Vec<(&'a str, &'a Tensor<T>)>> for Tensors<'a, T> {
    fn from(tensors: Vec<(&'a str, &'a Tensor<T>)>) -> Self {
        let (names, list) = tensors.into_iter().unzip();
        Tensors { list: List::Several(list), names }
    }
}

impl<'a, T, const N: usize> From<[(&'a str, &'a Tensor<T>); N]> for Tensors<'a, T> {
    fn from(tensors: [(&'a str, &'a Tensor<T>); N]) -> Self {
        tensors.to_vec().into()
    }
}

impl<'a, T: Float> Tensors<'a, T> {
    /// The tensors, `n` of them in the order of their names; `what` are inputs or targets, which users call `x` or `y`.
    pub(crate) fn ordered<'n>(
        self,
        op: &'static str,
        what: &'static str,
        n: usize,
        known: impl FnOnce() -> Vec<&'n str>,
    ) -> Result<List<'a, T>> {
        if self.names.is_empty() && self.list.len() == n {
            return Ok(self.list);
        }
        self.named(op, what, &known())
    }

    #[cold]
    fn named(self, op: &'static str, what: &'static str, known: &[&str]) -> Result<List<'a, T>> {
        let list = known.join(", ");
        if self.names.is_empty() {
            let hint = match known {
                [_] => "the model has one: pass a reference to its tensor".to_owned(),
                _ => format!(
                    "pass one tensor for each, in their order, [&{}], or by name, [(\"{}\", &{})…]",
                    known.join(", &"),
                    known.first().unwrap_or(&""),
                    known.first().unwrap_or(&"")
                ),
            };
            return Err(Error::argument(op, what, format!("{} ({list})", known.len()), self.list.len(), hint));
        }
        let unknown = self.names.iter().find(|name| !known.contains(name));
        if let Some(name) = unknown {
            return Err(Error::argument(
                op,
                what,
                format!("by the names {list}"),
                name,
                "correct or leave out the name",
            ));
        }
        let find = |name: &&str| {
            let mut found = self.names.iter().zip(self.list.iter()).filter(|(given, _)| *given == name);
            match (found.next(), found.next()) {
                (Some((_, value)), None) => Ok(*value),
                (None, _) => {
                    Err(Error::argument(op, what, format!("by the names {list}"), format!("no {name}"), "pass it too"))
                }
                _ => Err(Error::argument(op, what, "each name once", format!("{name} twice"), "leave one out")),
            }
        };
        Ok(List::Several(known.iter().map(find).collect::<Result<Vec<_>>>()?))
    }
}

/// A weight for each sample, or for each of its steps: one list for all outputs, or lists for some outputs by name.
///
/// Of outputs `[n, steps, …]` there may be n·steps weights, those of a sample one after another.
///
/// Made by `into` from `&[0.5, 2.0]`, a slice or vector, or `[("click", &weights[..])]`; outputs that are not named have no weights.
///
/// ```
/// use gradus::model::Weights;
/// let (all, click) = (vec![1.0f32, 2.0], [0.5f32, 0.0]);
/// let _: [Weights<'_>; 2] = [(&all).into(), [("click", &click[..])].into()];
/// ```
#[derive(Clone, Debug)]
pub struct Weights<'a, T = f32> {
    /// A name of none is for all outputs.
    lists: Vec<(Option<&'a str>, &'a [T])>,
}

impl<'a, T> From<&'a [T]> for Weights<'a, T> {
    fn from(weights: &'a [T]) -> Self {
        Weights { lists: vec![(None, weights)] }
    }
}

impl<'a, T> From<&'a Vec<T>> for Weights<'a, T> {
    fn from(weights: &'a Vec<T>) -> Self {
        weights.as_slice().into()
    }
}

impl<'a, T, const N: usize> From<&'a [T; N]> for Weights<'a, T> {
    fn from(weights: &'a [T; N]) -> Self {
        weights.as_slice().into()
    }
}

impl<'a, T> From<Vec<(&'a str, &'a [T])>> for Weights<'a, T> {
    fn from(lists: Vec<(&'a str, &'a [T])>) -> Self {
        Weights { lists: lists.into_iter().map(|(name, weights)| (Some(name), weights)).collect() }
    }
}

impl<'a, T, const N: usize> From<[(&'a str, &'a [T]); N]> for Weights<'a, T> {
    fn from(lists: [(&'a str, &'a [T]); N]) -> Self {
        lists.to_vec().into()
    }
}

impl<'a, T: Float> Weights<'a, T> {
    /// One list for each of these outputs.
    pub(crate) fn ordered(&self, op: &'static str, known: &[&str]) -> Result<Vec<Option<&'a [T]>>> {
        for (i, (name, _)) in self.lists.iter().enumerate() {
            if let Some(name) = name.filter(|name| !known.contains(name)) {
                let expected = format!("for one of the outputs {}", known.join(", "));
                let hint = "outputs without a loss and metrics take no weights";
                return Err(Error::argument(op, "sample_weight", expected, name, hint));
            }
            if let Some(name) = name.filter(|_| self.lists[..i].iter().any(|(other, _)| other == name)) {
                return Err(Error::argument(
                    op,
                    "sample_weight",
                    "each name once",
                    format!("{name} twice"),
                    "leave one out",
                ));
            }
        }
        let of = |name: &&str| {
            let own = self.lists.iter().find(|(given, _)| given.is_none_or(|given| given == *name));
            own.map(|(_, weights)| *weights)
        };
        Ok(known.iter().map(of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_names() {
        let (a, b) = (Tensor::<f32>::zeros([1]), Tensor::<f32>::zeros([2]));
        let of = |tensors: Tensors<'_>| {
            let ordered = tensors.ordered("fit", "x", 2, || vec!["left", "right"]);
            ordered.map(|all| all.iter().map(|t| t.len()).collect::<Vec<_>>()).map_err(|e| e.to_string())
        };
        assert_eq!(of([&a, &b].into()), Ok(vec![1, 2]));
        assert_eq!(of([("right", &a), ("left", &b)].into()), Ok(vec![2, 1]));
        assert_eq!(of((&[a.clone(), b.clone()][..]).into()), Ok(vec![1, 2]));
        assert_eq!(
            of((&a).into()).unwrap_err(),
            "fit: x must be 2 (left, right), got 1; pass one tensor for each, in their order, [&left, &right], or by name, \
             [(\"left\", &left)…]"
        );
        assert_eq!(
            of([("left", &a), ("rigth", &b)].into()).unwrap_err(),
            "fit: x must be by the names left, right, got rigth; correct or leave out the name"
        );
        assert!(of([("left", &a)].into()).unwrap_err().contains("no right"));
        assert!(of([("left", &a), ("right", &a), ("left", &b)].into()).unwrap_err().contains("left twice"));
    }
}
