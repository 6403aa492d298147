//! What a layer computes from the shape of its input: once at build where sizes are fixed, else in each pass.

use crate::error::Result;
use crate::tensor::{Float, Shape, Tensor};

/// Geometry (where a window stands and the like) of samples of one shape.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Geometry<G> {
    /// The shape of one input sample at build.
    input: Shape,
    built: G,
}

impl<G: Copy + Default> Geometry<G> {
    /// That of samples of this shape, unless their sizes are free.
    pub fn new(input: Shape, of: impl FnOnce(Shape) -> Result<G>) -> Result<Self> {
        let built = if input.is_free() { G::default() } else { of(input)? };
        Ok(Geometry { input, built })
    }

    /// The shape of one input sample at build.
    pub fn input(&self) -> Shape {
        self.input
    }

    /// That of the samples of a batch, whose shape was found to be possible.
    #[inline]
    pub fn of<T: Float>(&self, x: &Tensor<T>, of: impl FnOnce(Shape) -> Result<G>) -> G {
        if x.holds(&self.input) { self.built } else { of(x.shape().sample()).unwrap_or_default() }
    }

    /// That of samples of this shape.
    pub fn of_sample(&self, sample: Shape, of: impl FnOnce(Shape) -> Result<G>) -> G {
        if sample == self.input { self.built } else { of(sample).unwrap_or_default() }
    }
}
