//! Activations that carry settings or parameters, as layers.

/// `Layer` for a type whose `function()` is an activation: everything is that activation's.
macro_rules! activation_layer {
    ($name:ident) => {
        impl<T: $crate::Float> $crate::Layer<T> for $name {
            fn class(&self) -> &'static str {
                stringify!($name)
            }

            fn build(
                &mut self,
                input: $crate::Shape,
                b: &mut $crate::layer::Builder<T>,
            ) -> $crate::error::Result<$crate::Shape> {
                self.function().build(input, b)
            }

            fn output_shape(&self, x: $crate::Shape) -> $crate::error::Result<$crate::Shape> {
                Ok(x)
            }

            fn forward(
                &self,
                pass: &mut $crate::layer::Pass<'_, T>,
                slot: &mut $crate::layer::Slot<T>,
                x: &$crate::Tensor<T>,
                y: &mut $crate::Tensor<T>,
            ) {
                $crate::Layer::forward(&self.function(), pass, slot, x, y);
            }

            fn backward(
                &self,
                pass: &mut $crate::layer::Pass<'_, T>,
                slot: &mut $crate::layer::Slot<T>,
                x: &$crate::Tensor<T>,
                y: &$crate::Tensor<T>,
                dy: &mut $crate::Tensor<T>,
                dx: Option<&mut $crate::Tensor<T>>,
            ) {
                $crate::Layer::backward(&self.function(), pass, slot, x, y, dy, dx);
            }

            fn continuation(&self) -> $crate::layer::Continuation {
                $crate::layer::Continuation::Steps
            }

            fn mask_rule(&self) -> $crate::layer::MaskRule {
                $crate::layer::MaskRule::Passes
            }

            fn config(&self) -> $crate::layers::LayerConfig {
                $crate::layers::LayerConfig::$name(self.clone())
            }

            fn output_activation(&self) -> Option<Activation> {
                Some(self.function())
            }
        }
    };
}

mod elu;
mod leaky_relu;
mod prelu;
mod softmax;

pub use elu::Elu;
pub use leaky_relu::LeakyRelu;
pub use prelu::PRelu;
pub use softmax::Softmax;
