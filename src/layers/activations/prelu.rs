//! Rectifier with learnt slopes.

use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::initializers::Init;
use crate::kernels::parallel;
use crate::layer::{Builder, Layer, MaskRule, Pass, Slot};
use crate::layers::LayerConfig;
use crate::params::ParamId;
use crate::regularizers::Regularizer;
use crate::tensor::{FREE, Float, MAX_RANK, Shape, Tensor};

/// y = x for x > 0, else α·x, with an α learnt for each position of a sample.
///
/// - Input and output of one shape, at least one axis.
/// - Parameter: `alpha` α (zeros) of the sample's shape, with size 1 along shared axes.
/// - Defaults: no shared axes, no penalty, no bounds.
/// - Gradient: dx = dy for x > 0, α·dy for x < 0, 0 at 0; dα = Σ dy·x over x < 0 of the batch and the shared axes.
///
/// Keras `PReLU`, PyTorch `PReLU` (one α, or one a channel, 0.25 at first). He et al.: "Delving Deep into Rectifiers", 2015.
///
/// ```
/// use gradus::prelude::*;
/// // One slope a channel of an image [height, width, channels].
/// let model = Sequential::new([8, 8, 3]).add(PRelu::new().shared_axes([1, 2])).build(0)?;
/// assert_eq!(model.weight("prelu/alpha")?.len(), 3);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PRelu {
    shared_axes: Vec<usize>,
    alpha_initializer: Init,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    alpha_regularizer: Option<Regularizer>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    alpha_constraint: Option<Constraint>,
    #[cfg_attr(feature = "serde", serde(skip))]
    alpha: ParamId,
    /// How far apart in α two neighbours along each axis of a sample are: 0 along shared ones.
    #[cfg_attr(feature = "serde", serde(skip))]
    strides: [usize; MAX_RANK],
}

impl Default for PRelu {
    fn default() -> Self {
        PRelu {
            shared_axes: Vec::new(),
            alpha_initializer: Init::Zeros,
            alpha_regularizer: None,
            alpha_constraint: None,
            alpha: ParamId::default(),
            strides: [0; MAX_RANK],
        }
    }
}

impl PRelu {
    /// One α for each position of a sample.
    pub fn new() -> Self {
        Self::default()
    }

    /// Axes along which α is shared, counted from 1 as axis 0 is the batch; none by default.
    pub fn shared_axes(mut self, axes: impl Into<Vec<usize>>) -> Self {
        self.shared_axes = axes.into();
        self
    }

    /// How α is filled; zeros by default.
    pub fn alpha_initializer(mut self, init: impl Into<Init>) -> Self {
        self.alpha_initializer = init.into();
        self
    }

    /// A penalty on α, added to the loss; none by default.
    pub fn alpha_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.alpha_regularizer = Some(regularizer);
        self
    }

    /// Bounds that α is brought into after each update; none by default.
    pub fn alpha_constraint(mut self, constraint: Constraint) -> Self {
        self.alpha_constraint = Some(constraint);
        self
    }

    /// The positions in α of a row (along the last axis) of a sample: one if the last axis is shared.
    fn slopes(&self, sample: Shape, row: usize) -> std::ops::Range<usize> {
        let last = sample.rank() - 1;
        let (mut rest, mut at) = (row, 0);
        for axis in (0..last).rev() {
            let size = sample.dims()[axis];
            at += rest % size * self.strides[axis];
            rest /= size;
        }
        at..at + if self.strides[last] == 0 { 1 } else { sample.last() }
    }
}

/// y from x, with one slope or one for each element.
fn forward<T: Float>(alpha: &[T], x: &[T], y: &mut [T]) {
    // A slope of 0 times −∞ would be no number.
    let f = |x: T, a: T| match () {
        () if x > T::zero() => x,
        () if a == T::zero() && x.is_infinite() => a,
        () => a * x,
    };
    match *alpha {
        [a] => y.iter_mut().zip(x).for_each(|(y, &x)| *y = f(x, a)),
        _ => y.iter_mut().zip(x).zip(alpha).for_each(|((y, &x), &a)| *y = f(x, a)),
    }
}

/// dx from dy, likewise.
fn backward<T: Float>(alpha: &[T], x: &[T], dy: &[T], dx: &mut [T]) {
    let slope = |x: T, a: T| match () {
        () if x > T::zero() => T::one(),
        () if x < T::zero() => a,
        () => T::zero(),
    };
    let each = dx.iter_mut().zip(dy).zip(x);
    match *alpha {
        [a] => each.for_each(|((dx, &dy), &x)| *dx = dy * slope(x, a)),
        _ => each.zip(alpha).for_each(|(((dx, &dy), &x), &a)| *dx = dy * slope(x, a)),
    }
}

impl<T: Float> Layer<T> for PRelu {
    fn class(&self) -> &'static str {
        "PRelu"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        input.need_axis("PRelu")?;
        let rank = input.rank();
        if let Some(axis) = self.shared_axes.iter().find(|&&axis| axis == 0 || axis > rank) {
            let hint = "axis 0 is the batch, which is always shared";
            return Err(Error::argument("PRelu", "shared_axes", format!("from 1 to {rank}"), axis, hint));
        }
        if let Some(axis) = (1..=rank).find(|axis| input.dims()[axis - 1] == FREE && !self.shared_axes.contains(axis)) {
            let expected = format!("axis {axis} of {input} among them, as no slope can depend on a free size");
            let (got, hint) = (format!("{:?}", self.shared_axes), "share one slope along each free axis");
            return Err(Error::argument("PRelu", "shared_axes", expected, got, hint));
        }
        let mut sizes = [1; MAX_RANK];
        let mut stride = 1;
        for axis in (0..rank).rev() {
            let shared = self.shared_axes.contains(&(axis + 1)) || input.dims()[axis] == 1;
            sizes[axis] = if shared { 1 } else { input.dims()[axis] };
            self.strides[axis] = if shared { 0 } else { stride };
            stride *= sizes[axis];
        }
        self.alpha = b.weight("alpha", Shape::try_from(&sizes[..rank])?, &self.alpha_initializer)?;
        b.no_decay(self.alpha)?;
        b.regularize(self.alpha, self.alpha_regularizer)?;
        b.constrain(self.alpha, self.alpha_constraint.clone())?;
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let (sample, width) = (x.shape().sample(), x.shape().last());
        let alpha = pass.weight(self.alpha);
        parallel::rows(y.as_mut_slice(), width, width * 2, |first, y| {
            let x = x.as_slice()[first * width..].chunks_exact(width);
            for (row, (y, x)) in (first..).zip(y.chunks_exact_mut(width).zip(x)) {
                forward(&alpha[self.slopes(sample, row % sample.rows())], x, y);
            }
        });
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        x: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let (sample, width) = (x.shape().sample(), x.shape().last());
        // dα += Σ dy·x over x < 0
        if pass.wants(self.alpha) {
            let gradient = pass.gradient(self.alpha);
            let part = |x: T, dy: T| if x < T::zero() { dy * x } else { T::zero() };
            for (row, (x, dy)) in x.as_slice().chunks_exact(width).zip(dy.as_slice().chunks_exact(width)).enumerate() {
                match &mut gradient[self.slopes(sample, row % sample.rows())] {
                    [g] => *g += x.iter().zip(dy).map(|(&x, &dy)| part(x, dy)).sum(),
                    each => each.iter_mut().zip(x).zip(dy).for_each(|((g, &x), &dy)| *g += part(x, dy)),
                }
            }
        }
        // dx = dy · (1, α or 0)
        let Some(dx) = dx else { return };
        let alpha = pass.weight(self.alpha);
        parallel::rows(dx.as_mut_slice(), width, width * 2, |first, dx| {
            let each = x.as_slice()[first * width..].chunks_exact(width);
            let each = each.zip(dy.as_slice()[first * width..].chunks_exact(width));
            for (row, (dx, (x, dy))) in (first..).zip(dx.chunks_exact_mut(width).zip(each)) {
                backward(&alpha[self.slopes(sample, row % sample.rows())], x, dy, dx);
            }
        });
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::PRelu(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn slopes_stand_where_keras_puts_them() {
        let x = Tensor::from_fn([1, 2, 2, 2], |i| -1.0 - i as f64);
        let output = |axes: &[usize], alpha: &[f64]| {
            let mut model = Sequential::new([2, 2, 2]).add(PRelu::new().shared_axes(axes)).build_as(0).unwrap();
            model.set_weight("prelu/alpha", alpha).unwrap();
            model.predict(&x).unwrap().into_vec()
        };
        assert_eq!(output(&[1, 2], &[10.0, 1.0]), [-10.0, -2.0, -30.0, -4.0, -50.0, -6.0, -70.0, -8.0]);
        assert_eq!(output(&[1, 3], &[10.0, 1.0]), [-10.0, -20.0, -3.0, -4.0, -50.0, -60.0, -7.0, -8.0]);
        assert_eq!(output(&[2, 3], &[10.0, 1.0]), [-10.0, -20.0, -30.0, -40.0, -5.0, -6.0, -7.0, -8.0]);
        assert_eq!(output(&[1, 2, 3], &[2.0]), [-2.0, -4.0, -6.0, -8.0, -10.0, -12.0, -14.0, -16.0]);
        let alpha: Vec<f64> = (0..8).map(f64::from).collect();
        assert_eq!(output(&[], &alpha), [-0.0, -2.0, -6.0, -12.0, -20.0, -30.0, -42.0, -56.0]);
    }

    #[test]
    fn gradients() {
        for axes in [vec![], vec![1], vec![2], vec![3], vec![1, 2], vec![1, 3], vec![1, 2, 3]] {
            gradcheck::check_layer(&PRelu::new().shared_axes(axes), [2, 3, 5]).unwrap();
        }
        gradcheck::check_layer(&PRelu::new().alpha_initializer(Init::Constant(0.25)), [7]).unwrap();
        gradcheck::check_layer(&PRelu::new(), [3, 1]).unwrap();
        let bounded = PRelu::new().alpha_regularizer(Regularizer::L2(0.1)).alpha_constraint(Constraint::NonNeg);
        gradcheck::check_layer(&bounded, [3]).unwrap();
    }

    #[test]
    fn impossible_settings() {
        let error = |axes: [usize; 1], shape: Shape| {
            Sequential::new(shape).add(PRelu::new().shared_axes(axes)).build(0).unwrap_err().to_string()
        };
        assert!(error([0], Shape::from([3])).contains("shared_axes must be from 1 to 1, got 0"));
        assert!(error([2], Shape::from([3])).contains("got 2"));
        assert!(error([1], Shape::SCALAR).contains("at least one axis"));
    }
}
