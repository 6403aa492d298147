//! A trained step before those of a sequence.

use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::initializers::Init;
use crate::kernels::parallel;
use crate::layer::{Builder, Layer, MaskRule, Pass, Slot};
use crate::layers::LayerConfig;
use crate::params::ParamId;
use crate::regularizers::Regularizer;
use crate::tensor::{FREE, Float, Shape, Tensor};

/// y = a trained step, and behind it the steps of x: what a transformer gathers in this step, a head reads ([`Slice::new().at(0)`](crate::layers::Slice)).
///
/// - Input `[steps, features]`, whose number may be free; output `[steps + 1, features]`.
/// - Parameter: `token` `[1, features]`.
/// - Defaults: a normal draw with a standard deviation of 0.02, no penalty, no bounds.
/// - The step counts, whatever the mask of x says of the others.
/// - Gradient: dx = dy without its first step, and of the token the sum of the first steps of dy, sample after sample.
///
/// The class token of vision transformers: `class_token` in torchvision, `cls_token` in transformers. Devlin and others: "BERT", 2019; Dosovitskiy and
/// others: "An Image is Worth 16x16 Words", 2021.
///
/// ```
/// use gradus::prelude::*;
/// let token = ClassToken::new().token_initializer(Init::Constant(7.0));
/// let model = Sequential::new([FREE, 2]).add(token).build(0)?;
/// let y = model.predict(&Tensor::from([[[1.0, 2.0], [3.0, 4.0]]]))?;
/// assert_eq!(y, Tensor::from([[[7.0, 7.0], [1.0, 2.0], [3.0, 4.0]]]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ClassToken {
    token_initializer: Init,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    token_regularizer: Option<Regularizer>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    token_constraint: Option<Constraint>,
    #[cfg_attr(feature = "serde", serde(skip))]
    token: ParamId,
}

impl Default for ClassToken {
    fn default() -> Self {
        ClassToken {
            token_initializer: Init::Normal { mean: 0.0, std: 0.02 },
            token_regularizer: None,
            token_constraint: None,
            token: ParamId::default(),
        }
    }
}

impl ClassToken {
    /// One step.
    pub fn new() -> Self {
        Self::default()
    }

    /// How the step is filled; a normal draw with a standard deviation of 0.02 by default.
    pub fn token_initializer(mut self, init: impl Into<Init>) -> Self {
        self.token_initializer = init.into();
        self
    }

    /// A penalty on the step, added to the loss; none by default.
    pub fn token_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.token_regularizer = Some(regularizer);
        self
    }

    /// Bounds that the step is brought into after each update; none by default.
    pub fn token_constraint(mut self, constraint: Constraint) -> Self {
        self.token_constraint = Some(constraint);
        self
    }
}

impl<T: Float> Layer<T> for ClassToken {
    fn class(&self) -> &'static str {
        "ClassToken"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        let output = Layer::<T>::output_shape(self, input)?;
        input.need_features("ClassToken")?;
        self.token = b.weight("token", [1, input.last()], &self.token_initializer)?;
        b.regularize(self.token, self.token_regularizer)?;
        b.constrain(self.token, self.token_constraint.clone())?;
        Ok(output)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        let &[steps, features] = x.dims() else {
            let hint = "bring samples to steps of features, with a Reshape if need be";
            return Err(Error::shape("ClassToken", "samples of [steps, features]", x, hint));
        };
        let output = Shape::from([if steps == FREE { FREE } else { steps.saturating_add(1) }, features]);
        output.open_len("ClassToken")?;
        Ok(output)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let token = pass.weight(self.token);
        let (width, sample) = (token.len(), y.shape().sample().len());
        let steps = sample - width;
        parallel::rows(y.as_mut_slice(), sample, sample, |first, y| {
            for (i, y) in (first..).zip(y.chunks_exact_mut(sample)) {
                y[..width].copy_from_slice(token);
                y[width..].copy_from_slice(&x.as_slice()[i * steps..][..steps]);
            }
        });
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        _: &Tensor<T>,
        y: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let (width, sample) = (pass.weight(self.token).len(), y.shape().sample().len());
        let steps = sample - width;
        // dtoken += Σ samples dy[0], in their order
        let gradient = pass.gradient(self.token);
        for dy in dy.as_slice().chunks_exact(sample) {
            gradient.iter_mut().zip(dy).for_each(|(g, dy)| *g += *dy);
        }
        let Some(dx) = dx else { return };
        let dy = dy.as_slice();
        parallel::rows(dx.as_mut_slice(), steps, steps, |first, dx| {
            for (i, dx) in (first..).zip(dx.chunks_exact_mut(steps.max(1))) {
                dx.copy_from_slice(&dy[i * sample + width..][..steps]);
            }
        });
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Leads(1)
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::ClassToken(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn gradients() {
        for shape in [[5, 3], [1, 1], [2, 7]] {
            gradcheck::check_layer(&ClassToken::new(), shape).unwrap();
        }
    }

    #[test]
    fn hand_computed() {
        let mut model = Sequential::new([FREE, 2]).add(ClassToken::new()).build_as(0).unwrap();
        assert_eq!(model.params().specs()[0].name, "class_token/token");
        model.set_weight("class_token/token", &[8.0f64, 9.0]).unwrap();
        for (x, y) in [
            (
                Tensor::from([[[1.0, 2.0]], [[3.0, 4.0]]]),
                Tensor::from([[[8.0, 9.0], [1.0, 2.0]], [[8.0, 9.0], [3.0, 4.0]]]),
            ),
            (Tensor::from([[[1.0, 2.0], [5.0, 6.0]]]), Tensor::from([[[8.0, 9.0], [1.0, 2.0], [5.0, 6.0]]])),
        ] {
            assert_eq!(model.predict(&x).unwrap(), y);
        }
    }

    #[test]
    fn impossible_settings() {
        let error =
            |shape: Shape| Sequential::new(shape).add(ClassToken::new()).build(0).unwrap_err().root().to_string();
        for shape in [Shape::from([3]), Shape::from([2, 3, 4])] {
            assert!(error(shape).contains("expected samples of [steps, features]"), "{shape}");
        }
        assert!(error([3, FREE].into()).contains("a last axis of fixed size"));
        let infinite = ClassToken::new().token_initializer(Init::Constant(f64::INFINITY));
        assert!(Sequential::new([2, 2]).add(infinite).build(0).is_err());
        let penalty = ClassToken::new().token_regularizer(Regularizer::L2(f64::NAN));
        assert!(Sequential::new([2, 2]).add(penalty).build(0).is_err());
    }
}
