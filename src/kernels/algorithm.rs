//! How a convolution is computed: chosen once from its sizes, so that every pass goes the same way.

use std::ops::Range;

use super::convolution::{Convolution, Gradients};
use super::float::Float;
use super::winograd::Winograd;

/// The way a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// As products of gathered patches.
    Products(Convolution),
    /// By Winograd's filtering.
    Winograd(Winograd),
}

impl Default for Algorithm {
    fn default() -> Self {
        Algorithm::Products(Convolution::default())
    }
}

impl Algorithm {
    /// The faster way.
    pub fn new(convolution: Convolution) -> Self {
        let Convolution { window, filters, groups } = convolution;
        Winograd::new(window, filters, groups).map_or(Algorithm::Products(convolution), Algorithm::Winograd)
    }

    /// Values that the weights become in [`prepare_forward`](Self::prepare_forward).
    pub fn prepared_forward(&self, backward_follows: bool) -> usize {
        match self {
            Algorithm::Products(_) => 0,
            Algorithm::Winograd(w) => {
                if backward_follows {
                    w.both()
                } else {
                    w.weights()
                }
            }
        }
    }

    /// Brings the weights into the form that forward reads, and, if backward follows, that backward reads.
    pub fn prepare_forward<T: Float>(&self, w: &[T], backward_follows: bool, into: &mut [T]) {
        match self {
            Algorithm::Products(_) => {}
            Algorithm::Winograd(winograd) if backward_follows => winograd.transform_both(w, into),
            Algorithm::Winograd(winograd) => winograd.transform(w, into),
        }
    }

    /// Values that the weights become in [`prepare_backward`](Self::prepare_backward).
    pub fn prepared_backward(&self) -> usize {
        match self {
            Algorithm::Products(c) => c.patch() * c.filters,
            Algorithm::Winograd(w) => 2 * w.weights(),
        }
    }

    /// Brings the weights into the form that the input's gradient reads, where forward has not.
    pub fn prepare_backward<T: Float>(&self, w: &[T], into: &mut [T]) {
        if let Algorithm::Products(c) = self {
            c.transpose_weights(w, into);
        }
    }

    /// Working space of [`forward`](Self::forward), in values.
    pub fn forward_space(&self, images: usize) -> usize {
        match self {
            Algorithm::Products(c) => c.forward_space(images),
            Algorithm::Winograd(w) => w.forward_space(images),
        }
    }

    /// y = the convolution, then `finish(y, z)` for a few rows of y at a time, with the same rows of `z` unless that is empty.
    #[allow(clippy::too_many_arguments)]
    pub fn forward<T: Float>(
        &self,
        x: &[T],
        (w, prepared): (&[T], &[T]),
        y: &mut [T],
        z: &mut [T],
        space: &mut [T],
        finish: impl Fn(&mut [T], &mut [T]) + Sync,
    ) {
        match self {
            Algorithm::Products(c) => c.forward(x, w, y, z, space, finish),
            Algorithm::Winograd(winograd) => winograd.forward(x, prepared, y, z, space, finish),
        }
    }

    /// Working space and blocks' sums that [`backward`](Self::backward) needs for so many images.
    pub fn backward_space(&self, images: usize) -> [usize; 2] {
        match self {
            Algorithm::Products(c) => c.backward_space(images),
            Algorithm::Winograd(w) => w.backward_space(images),
        }
    }

    /// See [`Convolution::backward`].
    #[allow(clippy::too_many_arguments)]
    pub fn backward<T: Float>(
        &self,
        x: &[T],
        prepared: &[T],
        dy: &mut [T],
        space: &mut [T],
        sums: &mut [T],
        start: impl Fn(&mut [T], Range<usize>) + Sync,
        gradients: Gradients<'_, T>,
    ) {
        match self {
            Algorithm::Products(c) => c.backward(x, prepared, dy, space, sums, start, gradients),
            Algorithm::Winograd(w) => w.backward(x, prepared, dy, space, sums, start, gradients),
        }
    }
}
