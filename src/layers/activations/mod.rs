//! Activations that carry settings or parameters, as layers.

mod elu;
mod leaky_relu;
mod prelu;
mod softmax;

pub use elu::Elu;
pub use leaky_relu::LeakyRelu;
pub use prelu::PRelu;
pub use softmax::Softmax;
