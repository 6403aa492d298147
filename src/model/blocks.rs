//! Losses that take over the node before them: a block of rows goes through the node, the loss and back before the next, so that a wide output
//! (the logits of a language model) is never there as a whole. Every bit is as if it were.

use std::ops::Range;

use super::masked::CountedRows;
use crate::activations::Activation;
use crate::graph::{Net, RowNode};
use crate::kernels::parallel::{self, ChunksMut};
use crate::layer::{Pass, Slot};
use crate::losses::{Loss, weighted};
use crate::tensor::{Float, Tensor};

/// The buffers of a block.
#[derive(Debug, Default)]
pub(crate) struct Blocks<T: Float> {
    slot: Slot<T>,
    x: Tensor<T>,
    y: Tensor<T>,
    targets: Tensor<T>,
    dy: Tensor<T>,
    dx: Tensor<T>,
    /// Of each row, times its weight.
    losses: Vec<f64>,
}

/// An output that goes by rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByRows<'a, T: Float> {
    pub net: &'a Net<T>,
    pub at: RowNode,
    pub loss: &'a dyn Loss<T>,
    /// The last activation, where the loss takes that over too.
    pub activation: Option<Activation>,
    pub targets: &'a Tensor<T>,
    pub rows: &'a CountedRows<T>,
}

/// What is asked of the way back: the factor of the loss, and the place of the gradient of x.
pub(crate) type Back<'a, T> = (f64, Option<&'a mut Tensor<T>>);

impl<T: Float> Blocks<T> {
    /// The loss over the rows of `x`, and where asked for its gradient: added to those of the node's weights, and written for x. `measure` is handed
    /// the targets and outputs of each block, and which rows they are. A way back ends where the loss is not finite.
    pub fn run(
        &mut self,
        head: ByRows<'_, T>,
        pass: &mut Pass<'_, T>,
        x: &Tensor<T>,
        mut back: Option<Back<'_, T>>,
        mut measure: Option<impl FnMut(&Tensor<T>, &Tensor<T>, Range<usize>)>,
    ) -> f64 {
        let Blocks { slot, x: x_of, y, targets, dy, dx: dx_of, losses } = self;
        let ByRows { net, at, loss, activation, rows, .. } = head;
        let node = (at, activation.is_some());
        let (n, width) = (x.shape().rows(), x.shape().last());
        let target = head.targets.len() / n.max(1);
        let counted = rows.counted(n);
        let scale = T::one() / T::of(counted as f64);
        let mut sum = 0.0;
        for start in (0..n).step_by(at.block()) {
            let part = start..(start + at.block()).min(n);
            let len = part.len();
            x_of.resize([len, width]);
            x_of.as_mut_slice().copy_from_slice(&x.as_slice()[part.start * width..part.end * width]);
            targets.resize([len, target]);
            let of_part = part.start * target..part.end * target;
            targets.as_mut_slice().copy_from_slice(&head.targets.as_slice()[of_part]);
            net.run_rows(pass, slot, node, x_of, y);
            losses.resize(len, 0.0);
            let gradient = back.is_some().then(|| {
                dy.resize(y.shape());
                dy.as_mut_slice()
            });
            losses_of(loss, [targets, y], &rows.weights(true)[part.clone()], scale, losses, gradient);
            sum = losses.iter().fold(sum, |sum, loss| sum + loss);
            if let Some((factor, dx)) = &mut back {
                if !sum.is_finite() {
                    break;
                }
                if *factor != 1.0 {
                    let factor = T::of(*factor);
                    parallel::rows(dy.as_mut_slice(), 1, 1, |_, dy| dy.iter_mut().for_each(|d| *d *= factor));
                }
                dx_of.resize(x_of.shape());
                net.run_rows_back(pass, slot, node, [x_of, y], dy, dx.is_some().then_some(&mut *dx_of));
                if let Some(dx) = dx {
                    dx.as_mut_slice()[part.start * width..part.end * width].copy_from_slice(dx_of.as_slice());
                }
            }
            if let Some(measure) = &mut measure {
                if let Some(activation) = activation {
                    let columns = y.shape().last();
                    activation.forward(y.as_mut_slice(), columns);
                }
                measure(targets, y, part);
            }
        }
        if counted == 0 && sum == 0.0 { 0.0 } else { sum / counted as f64 }
    }
}

/// The losses of rows times their weights, and the gradients times `scale`.
fn losses_of<T: Float>(
    loss: &dyn Loss<T>,
    [targets, y]: [&Tensor<T>; 2],
    weights: &[T],
    scale: T,
    losses: &mut [f64],
    dy: Option<&mut [T]>,
) {
    let (target, width) = (targets.shape().last(), y.shape().last());
    let differentiates = dy.is_some();
    let work = width.saturating_mul(Activation::Softmax.work());
    let cut = (ChunksMut(losses, 1), ChunksMut(dy.unwrap_or_default(), width));
    parallel::par_chunks(0..weights.len(), parallel::parts(weights.len(), work), cut, &|part, (losses, dy)| {
        let mut dy = dy.0.chunks_exact_mut(width);
        for (i, value) in part.zip(losses.0) {
            let (t, p, w) = (&targets.as_slice()[i * target..][..target], y.row(i), weights[i]);
            let dy = dy.next().unwrap_or_default();
            *value = match (w == T::zero(), differentiates) {
                (true, _) => {
                    dy.fill(w);
                    0.0
                }
                (false, true) => weighted(w, loss.value_and_gradient(t, p, w * scale, dy)),
                (false, false) => weighted(w, loss.value(t, p)),
            };
        }
    });
}
