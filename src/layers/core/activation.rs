//! An activation as a layer of its own: `.add(Activation::Relu)`.
//!
//! y = f(x), dx = dy·f'(x); any shape, no parameters; softmax and log-softmax go along the last axis. Keras `Activation`.

use crate::activations::Activation;
use crate::error::Result;
use crate::kernels::parallel;
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::layers::epilogue::cache_block;
use crate::tensor::{Float, Shape, Tensor};

impl<T: Float> Layer<T> for Activation {
    fn class(&self) -> &'static str {
        "Activation"
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        (*self).check()?;
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let width = x.shape().last();
        let f = if pass.logits { Activation::Linear } else { *self };
        parallel::rows(y.as_mut_slice(), width, width * (1 + f.work()), |first, y| {
            let x = &x.as_slice()[first * width..first * width + y.len()];
            for (y, x) in y.chunks_mut(cache_block(width)).zip(x.chunks(cache_block(width))) {
                y.copy_from_slice(x);
                f.forward(y, width);
            }
        });
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        x: &Tensor<T>,
        y: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let Some(dx) = dx else { return };
        let (width, dy) = (x.shape().last(), &*dy);
        let f = if pass.logits { Activation::Linear } else { *self };
        // dx = dy · f'(x)
        parallel::rows(dx.as_mut_slice(), width, width * (1 + f.work()), |first, dx| {
            let part = first * width..first * width + dx.len();
            let [x, y, dy] = [x, y, dy].map(|t| t.as_slice()[part.clone()].chunks(cache_block(width)));
            for (dx, (dy, (x, y))) in dx.chunks_mut(cache_block(width)).zip(dy.zip(x.zip(y))) {
                dx.copy_from_slice(dy);
                f.backward(x, y, dx, width);
            }
        });
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Activation(*self)
    }

    fn reach(&self, _: Activation) -> Reach {
        if *self == Activation::Linear { Reach::Training } else { Reach::Nowhere }
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;

    #[test]
    fn every_activation() {
        for activation in Activation::ALL {
            gradcheck::check_layer(&activation, [3, 5]).unwrap();
        }
    }
}
