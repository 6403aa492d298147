//! Losses that take over the node before them: a block of rows goes through the node, the loss and back before the next, so that a wide output
//! (the logits of a language model) is never there as a whole. Rows that a mask or an ignored class leaves out do not go at all. Every bit is as if
//! the other rows were the whole batch, with their output there at once.

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
    /// The rows that go.
    rows: Vec<usize>,
    /// What each row of the block counts, and that times its weight.
    weights: [Vec<T>; 2],
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
    /// the targets and outputs of each block, and what its rows count, without and with their weights. A way back ends where the loss is not finite.
    pub fn run(
        &mut self,
        head: ByRows<'_, T>,
        pass: &mut Pass<'_, T>,
        x: &Tensor<T>,
        mut back: Option<Back<'_, T>>,
        mut measure: Option<impl FnMut(&Tensor<T>, &Tensor<T>, [&[T]; 2])>,
    ) -> f64 {
        let Blocks { slot, x: x_of, y, targets, dy, dx: dx_of, losses, rows, weights } = self;
        let ByRows { net, at, loss, activation, .. } = head;
        let node = (at, activation.is_some());
        let (n, width) = (x.shape().rows(), x.shape().last());
        let target = head.targets.len() / n.max(1);
        rows.clear();
        if rows.capacity() < n {
            // For batches of which more rows count, too: no later step takes memory.
            rows.reserve(n);
            let most = n.min(at.block());
            x_of.resize([most, width]);
            y.resize([most, at.outputs()]);
            targets.resize([most, target]);
            losses.reserve(most);
            weights.iter_mut().for_each(|weights| weights.reserve(most));
            if back.is_some() {
                dx_of.resize([most, width]);
                dy.resize([most, at.outputs()]);
            }
        }
        rows.extend(head.rows.counting(n));
        let counted = rows.len();
        let scale = T::one() / T::of(counted as f64);
        if let Some((_, Some(dx))) = &mut back
            && counted < n
        {
            dx.as_mut_slice().fill(T::zero());
        }
        let mut sum = 0.0;
        for part in rows.chunks(at.block()) {
            let len = part.len();
            x_of.resize([len, width]);
            gather(part, width, x.as_slice(), x_of.as_mut_slice());
            targets.resize([len, target]);
            gather(part, target, head.targets.as_slice(), targets.as_mut_slice());
            for (to, weighted) in weights.iter_mut().zip([false, true]) {
                let from = head.rows.weights(weighted);
                to.clear();
                to.extend(part.iter().map(|&row| from[row]));
            }
            net.run_rows(pass, slot, node, x_of, y);
            losses.resize(len, 0.0);
            let gradient = back.is_some().then(|| {
                dy.resize(y.shape());
                dy.as_mut_slice()
            });
            losses_of(loss, [targets, y], &weights[1], scale, losses, gradient);
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
                    for (&row, from) in part.iter().zip(dx_of.as_slice().chunks_exact(width.max(1))) {
                        dx.as_mut_slice()[row * width..][..width].copy_from_slice(from);
                    }
                }
            }
            if let Some(measure) = &mut measure {
                if let Some(activation) = activation {
                    let columns = y.shape().last();
                    activation.forward(y.as_mut_slice(), columns);
                }
                let [counts, weighted] = &*weights;
                measure(targets, y, [counts, weighted]);
            }
        }
        if counted == 0 { 0.0 } else { sum / counted as f64 }
    }
}

/// These rows, one behind the other.
fn gather<T: Copy>(rows: &[usize], width: usize, from: &[T], to: &mut [T]) {
    for (&row, to) in rows.iter().zip(to.chunks_exact_mut(width.max(1))) {
        to.copy_from_slice(&from[row * width..][..width]);
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
