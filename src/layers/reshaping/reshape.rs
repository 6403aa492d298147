//! Another shape for the same values.

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layer::{Builder, Layer, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{FREE, Float, MAX_RANK, Shape, Tensor};

/// The values of a sample, in row-major order, with another shape.
///
/// - Input of any shape, output of the target shape; both hold the same number of values. One size of the target may be −1
///   and follows from the others; one is where sizes of the input are [`FREE`](crate::FREE). No parameters.
/// - Gradient: dx = dy in the shape of x.
///
/// Keras `Reshape`, PyTorch `Unflatten` and `view`.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([12]).add(Reshape::new([-1, 4])).build(0)?;
/// assert_eq!(model.output_shape().dims(), &[3, 4]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Reshape {
    target_shape: Vec<isize>,
}

impl Reshape {
    /// The sizes of one sample, without the batch axis; at most one is −1.
    pub fn new(target_shape: impl Into<Vec<isize>>) -> Self {
        Reshape { target_shape: target_shape.into() }
    }

    fn target(&self, input: Shape) -> Result<Shape> {
        let sizes = &self.target_shape;
        let wrong = |expected: &str, hint: &str| {
            Err(Error::argument("Reshape", "target_shape", expected, format!("{sizes:?}"), hint))
        };
        if sizes.len() >= MAX_RANK {
            let hint = "join some of them";
            return wrong(&format!("at most {} sizes", MAX_RANK - 1), hint);
        }
        if sizes.iter().any(|&s| s == 0 || s < -1) {
            return wrong(
                "made of sizes of at least 1, or -1 once",
                "-1 stands for the size that follows from the others",
            );
        }
        let open = sizes.iter().filter(|&&s| s == -1).count();
        if open > 1 {
            return wrong("without a second -1", "name all sizes but one");
        }
        let len = input.open_len("Reshape")?;
        if len == FREE && open == 0 {
            let expected = format!("a target with a -1, as the number of values of {input} is free");
            let hint = "put -1 in the place of the size that follows from the free ones";
            return Err(Error::shape("Reshape", expected, format!("{sizes:?}"), hint));
        }
        // Products that overflow do not divide the number of values either.
        let known = sizes.iter().filter(|&&s| s > 0).try_fold(1usize, |n, &s| n.checked_mul(s.unsigned_abs()));
        let (fits, inferred) = match known {
            // Whether they divide a free number of values is seen when there is one.
            Some(_) if len == FREE => (true, FREE),
            Some(n) if open == 1 => (len.is_multiple_of(n), len / n),
            Some(n) => (n == len, 0),
            None => (false, 0),
        };
        if !fits {
            let expected = format!("a target of the {len} values of {input}");
            return Err(Error::shape("Reshape", expected, format!("{sizes:?}"), "keep the number of values"));
        }
        let mut dims = [0; MAX_RANK];
        for (d, &s) in dims.iter_mut().zip(sizes) {
            *d = if s == -1 { inferred } else { s.unsigned_abs() };
        }
        Shape::try_from(&dims[..sizes.len()])
    }
}

impl<T: Float> Layer<T> for Reshape {
    fn class(&self) -> &'static str {
        "Reshape"
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        self.target(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        self.target(x)
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        y.as_mut_slice().copy_from_slice(x.as_slice());
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        _: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        // dx = dy
        if let Some(dx) = dx {
            dx.as_mut_slice().copy_from_slice(dy.as_slice());
        }
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Reshape(self.clone())
    }

    fn reach(&self, _: Activation) -> Reach {
        Reach::Training
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn targets() {
        for (target, shape) in [
            (vec![3, 4], Shape::from([3, 4])),
            (vec![-1, 6], Shape::from([2, 6])),
            (vec![1, -1, 1], Shape::from([1, 12, 1])),
            (vec![-1], Shape::from([12])),
        ] {
            let layer = Reshape::new(target);
            gradcheck::check_layer(&layer, [2, 2, 3]).unwrap();
            assert_eq!(Sequential::new([2, 2, 3]).add(layer).build(0).unwrap().output_shape(), shape);
        }
        gradcheck::check_layer(&Reshape::new([1]), Shape::SCALAR).unwrap();
        gradcheck::check_layer(&Reshape::new([]), [1]).unwrap();
    }

    #[test]
    fn impossible_targets() {
        let error = |target: Vec<isize>| {
            Sequential::new([12]).add(Reshape::new(target)).build(0).unwrap_err().root().to_string()
        };
        assert_eq!(
            error(vec![5, 2]),
            "Reshape: expected a target of the 12 values of [12], got [5, 2]; keep the number of values"
        );
        assert!(error(vec![-1, 5]).contains("got [-1, 5]"));
        assert!(error(vec![-1, -1]).contains("without a second -1"));
        assert!(error(vec![0, 12]).contains("at least 1"));
        assert!(error(vec![-2, 6]).contains("at least 1"));
        assert!(error(vec![1, 1, 1, 1, 1, 12]).contains("at most 5 sizes"));
        assert!(error(vec![isize::MAX, isize::MAX]).contains("keep the number"));
        assert!(error(vec![isize::MAX, isize::MAX, -1]).contains("keep the number"));
    }
}
