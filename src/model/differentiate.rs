//! The loss of a batch and its gradient: the forward pass, the losses of the outputs, and the way back.

use std::ops::Range;

use super::masked::{CountedRows, Counts};
use super::train::{Accumulated, Ahead, Buffers, PassKey, Purpose, Training};
use super::trained_head::{TrainedHead, in_training};
use crate::graph::{Given, Net};
use crate::kernels::parallel;
use crate::layer::{Pass, Total};
use crate::params::Params;
use crate::tensor::{Float, Tensor};

impl<T: Float> Training<T> {
    /// Forward, loss with all penalties, and backward on the batch in the buffers: the loss. Its gradient is added where `written` says that there
    /// is one. In a step what is there comes to weigh as many rows as it is of, and metrics are taken where outputs go by rows. Where the loss is not
    /// finite nothing is changed, but that what was added up before is forgotten if an output goes by rows. A shard goes ahead and back by itself.
    pub(super) fn differentiate(&mut self, net: &Net<T>, params: &Params<T>, seed: u64, purpose: Purpose) -> f64 {
        let Ahead { value, back, key } = self.go_ahead(net, params, seed, purpose);
        if back {
            let Buffers { work, batch, .. } = &mut self.buffers;
            let mut pass = key.pass(params, &mut self.gradients).replacing(&mut self.written);
            net.run_back(&mut pass, work, &self.plan, Given::Batch(&batch.x, &batch.more_x));
            if self.penalised {
                pass.regularize();
            }
        }
        value
    }

    /// What of [`differentiate`](Self::differentiate) is before the way back. For a shard, penalties of weights are left to the whole batch, and metrics are taken as in a
    /// step.
    pub(super) fn go_ahead(&mut self, net: &Net<T>, params: &Params<T>, seed: u64, purpose: Purpose) -> Ahead {
        let key = self.key(seed, if let Purpose::Shard(first) = purpose { first } else { 0 });
        let penalised = self.penalised && !matches!(purpose, Purpose::Shard(_));
        self.forward(net, params, key, (0..net.node_count(), None), &[]);
        self.count_rows(net);
        let penalties = [self.layer_penalty, if penalised { params.penalty() } else { 0.0 }];
        self.losses(net);
        let of_whole = self.loss(|head| head.by_rows.is_none(), penalties);
        if !of_whole.is_finite() {
            return Ahead { value: of_whole, back: false, key };
        }
        let rows = self.rows() as u64;
        if let Purpose::Step(_) = purpose {
            self.weigh_as(rows);
        }
        // A batch of many, in which no row counts, has no part in the update.
        let back = rows > 0 || !matches!(purpose, Purpose::Step(2..));
        let measured = purpose != Purpose::Alone;
        let kept = self.losses_by_rows(net, params, key, back, measured);
        let value = self.loss(|_| true, penalties);
        if !value.is_finite() && matches!(purpose, Purpose::Step(_)) && !self.by_rows().is_empty() {
            // Some rows may have added to the gradients.
            self.accumulated = Accumulated::default();
            if kept {
                self.sums.clone_from(&self.buffers.sums);
            }
        }
        Ahead { value, back: back && value.is_finite(), key }
    }

    /// A stage of the way back, with gradients of their own.
    pub(super) fn go_back(
        &mut self,
        net: &Net<T>,
        params: &Params<T>,
        key: PassKey,
        gradients: &mut [T],
        nodes: Range<usize>,
    ) {
        let Buffers { work, batch, .. } = &mut self.buffers;
        if nodes.end >= net.node_count() {
            net.begin_back(work, &self.plan);
        }
        let mut pass = key.pass(params, gradients).replacing(&mut self.written);
        net.run_back_part(&mut pass, work, &self.plan, Given::Batch(&batch.x, &batch.more_x), nodes, None);
    }

    /// What random draws are keyed by: the seed, the number of batches before this one, and the row in it that is the first here.
    pub(super) fn key(&self, seed: u64, first_row: u64) -> PassKey {
        let batches = self.state.step.wrapping_mul(self.optimizer.options().gradient_accumulation_steps);
        PassKey { seed, batch: batches.wrapping_add(self.accumulated.batches), first_row }
    }

    /// Some nodes of the forward pass on the batch in the buffers, after those before them, and what the next one says of its input in a line, if there
    /// is one; adds up what layers add to the loss.
    pub(super) fn forward(
        &mut self,
        net: &Net<T>,
        params: &Params<T>,
        key: PassKey,
        (part, line): (Range<usize>, Option<&mut [f64]>),
        totals: &[Total],
    ) {
        let Buffers { work, batch, .. } = &mut self.buffers;
        let x = Given::Batch(&batch.x, &batch.more_x);
        let mut pass = key
            .pass(params, &mut self.gradients)
            .replacing(&mut self.written)
            .with_statistics(&mut self.statistics)
            .with_totals(totals, 1.0);
        pass.reset_penalty(if part.start == 0 { 0.0 } else { self.layer_penalty });
        net.run_part(&mut pass, work, x, part, line);
        self.layer_penalty = pass.penalty();
    }

    /// What of the outputs of the forward pass counts.
    fn count_rows(&mut self, net: &Net<T>) {
        let Buffers { work, batch, counted, .. } = &mut self.buffers;
        let x = Given::Batch(&batch.x, &batch.more_x);
        counted.resize_with(self.heads.len(), CountedRows::default);
        for (i, head) in self.heads.iter_mut().enumerate() {
            let rows = match head.by_rows {
                Some(at) => net.rows_before(work, x, at).map_or(0, |before| before.shape().rows()),
                None => net.output(work, head.output).shape().rows(),
            };
            // A head without a loss may have metrics, which leave out the same rows.
            let masks = [net.output_mask(work, head.output), batch.mask_of(i)];
            let ignored = head.ignored_class().zip(batch.target(i));
            match masks.iter().any(Option::is_some) || ignored.is_some() || head.by_rows.is_some() {
                true => counted[i].fill(masks, rows, ignored, batch.weights_of(i)),
                false => counted[i].forget(),
            }
            head.last_rows = if head.loss.is_some() { counted[i].counted(rows) } else { 0 };
        }
    }

    /// After the forward pass of a shard that goes with others: its losses with what layers add, whatever they are, and the gradients of the
    /// outputs, so that backward may begin.
    pub(super) fn losses_of_shard(&mut self, net: &Net<T>, params: &Params<T>, key: PassKey) -> f64 {
        self.count_rows(net);
        self.losses(net);
        self.losses_by_rows(net, params, key, true, true);
        net.begin_back(&mut self.buffers.work, &self.plan);
        self.loss(|_| true, [self.layer_penalty, 0.0])
    }

    /// Some nodes of its backward pass, after those behind them, where its gradients will weigh so much; where a line is given, the first of the nodes
    /// says what it has to and does not compute yet.
    pub(super) fn backward_of_shard(
        &mut self,
        net: &Net<T>,
        params: &Params<T>,
        key: PassKey,
        (part, line): (Range<usize>, Option<&mut [f64]>),
        (totals, weight): (&[Total], f64),
    ) {
        let Buffers { work, batch, .. } = &mut self.buffers;
        let mut pass = key.pass(params, &mut self.gradients).replacing(&mut self.written).with_totals(totals, weight);
        net.run_back_part(&mut pass, work, &self.plan, Given::Batch(&batch.x, &batch.more_x), part, line);
    }

    /// The sum of the losses of these heads, with penalties.
    pub(super) fn loss(&self, of: impl Fn(&TrainedHead<T>) -> bool, [layers, weights]: [f64; 2]) -> f64 {
        let heads = self.heads.iter().filter(|head| head.loss.is_some() && of(head));
        heads.fold(0.0, |value, head| value + head.weight * head.last_loss) + layers + weights
    }

    /// Brings gradients that have been added up, which are means over rows, to weigh as those of a batch of so many rows will.
    pub(super) fn weigh_as(&mut self, rows: u64) {
        let Accumulated { rows: all, last, .. } = &mut self.accumulated;
        match *last {
            _ if rows == 0 || *last == rows => return,
            0 => *all = all.saturating_mul(rows),
            last => self.written.scale(&mut self.gradients, T::of(last as f64 / rows as f64)),
        }
        *last = rows;
    }

    /// The losses of outputs that are there as a whole, and their gradients.
    fn losses(&mut self, net: &Net<T>) {
        let Buffers { work, batch, counted, .. } = &mut self.buffers;
        for (i, head) in self.heads.iter_mut().enumerate().filter(|(_, head)| head.by_rows.is_none()) {
            let loss = in_training(&head.fused).map(|fused| &*fused.loss).or(head.loss.as_deref());
            let (Some(loss), Some(t)) = (loss, batch.target(i)) else { continue };
            let counts = Counts { weights: batch.weights_of(i), rows: counted[i].some() };
            let (y, dy) = net.output_pair(work, &self.plan, head.output);
            head.last_loss = counts.loss(loss, t, y, Some(dy));
            if head.weight != 1.0 {
                let weight = T::of(head.weight);
                parallel::rows(dy.as_mut_slice(), 1, 1, |_, dy| dy.iter_mut().for_each(|d| *d *= weight));
            }
        }
    }

    /// Writes statistics that all shards have in common.
    pub(super) fn settle(&mut self, net: &Net<T>, params: &Params<T>, totals: &[Total]) {
        let mut pass =
            Pass::training(params, &mut [], 0, 0, 0).with_statistics(&mut self.statistics).with_totals(totals, 1.0);
        for total in totals {
            pass.node = total.node;
            net.shares(total.node).into_iter().for_each(|shares| shares.settle(&mut pass));
        }
    }

    /// The losses of outputs that go by rows, with the gradients of their nodes where the way `back` is asked for, and their metrics where
    /// `measured`; whether the sums of before were kept for those.
    fn losses_by_rows(&mut self, net: &Net<T>, params: &Params<T>, key: PassKey, back: bool, measured: bool) -> bool {
        let Buffers { work, batch, counted, blocks, sums, .. } = &mut self.buffers;
        let measured = measured && self.heads.iter().any(|head| head.by_rows.is_some() && !head.metrics.is_empty());
        if measured {
            sums.clone_from(&self.sums);
        }
        let x = Given::Batch(&batch.x, &batch.more_x);
        let mut pass = key.pass(params, &mut self.gradients).replacing(&mut self.written);
        // In the order in which backward would come to them.
        for at in 0..work.by_rows().len() {
            let at = work.by_rows()[at];
            let Some(i) = self.heads.iter().position(|head| head.by_rows == Some(at)) else { continue };
            let head = &self.heads[i];
            let Some(by_rows) = batch.target(i).and_then(|t| head.rows(net, t, &counted[i])) else { continue };
            let (Some(before), dx) = net.rows_and_gradient(work, &self.plan, x, at) else { continue };
            let measure = measured.then_some(|t: &Tensor<T>, y: &Tensor<T>, counts: [&[T]; 2]| {
                let figures = self.figures.iter().zip(&mut self.sums).filter(|(figure, _)| figure.head == i);
                figures.for_each(|(figure, sums)| head.measure_rows(figure.metric, sums, [t, y], counts));
            });
            let dx = dx.filter(|_| back).map(|dx| (head.weight, dx));
            let loss = blocks.run(by_rows, &mut pass, before, dx, measure);
            if back {
                net.add_rows_gradient(work, &self.plan, at);
            }
            self.heads[i].last_loss = loss;
        }
        measured
    }
}
