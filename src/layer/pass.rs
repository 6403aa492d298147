//! One pass over a batch, as a layer sees it.

use super::Masks;
use super::cache::{Entry, Going};
use super::total::Total;
use crate::kernels::angles::{AngleTables, Angles};
use crate::kernels::frequencies::Frequencies;
use crate::kernels::packed::Packed;
use crate::kernels::random::{Key, Purpose};
use crate::params::{ParamId, Params};
use crate::tensor::Float;
use crate::written::Written;

/// One pass over a batch: the weights, the gradients, and what the whole pass knows.
#[derive(Debug)]
pub struct Pass<'a, T: Float = f32> {
    params: &'a Params<T>,
    gradients: &'a mut [T],
    /// Which parameters' gradients hold something; none where all do.
    written: Option<&'a mut Written>,
    /// Where new statistics are kept until the step is done.
    statistics: Option<&'a mut Statistics<T>>,
    /// Whether this is training (dropout drops) or inference.
    pub training: bool,
    /// Whether the layer now called leaves out its last activation because the loss works from logits; set by the
    /// net for the layer that has the model's last activation only.
    pub logits: bool,
    /// Whether backward may follow although this is inference.
    differentiable: bool,
    /// What layers have added to the loss.
    penalty: f64,
    seed: u64,
    step: u64,
    first_row: u64,
    /// The position of the first step.
    position: usize,
    /// The masks of the values of the net that computes.
    pub(crate) masks: Masks,
    /// What all layers of the net that computes share.
    pub(crate) common: Common<T>,
    /// What was before, where it goes on from steps that a cache keeps.
    pub(crate) going: Option<Going<'a, T>>,
    /// What all shards come to at nodes that take statistics over them, and what the gradients of this one are multiplied by before
    /// they are added to those of others.
    totals: &'a [Total],
    pub(crate) weight_of_shard: f64,
    /// The number of the node that computes.
    pub(crate) node: usize,
}

impl<'a, T: Float> Pass<'a, T> {
    /// A pass for inference.
    pub fn inference(params: &'a Params<T>) -> Self {
        Pass {
            params,
            gradients: &mut [],
            written: None,
            statistics: None,
            training: false,
            logits: false,
            differentiable: false,
            penalty: 0.0,
            seed: 0,
            step: 0,
            first_row: 0,
            position: 0,
            masks: Masks::default(),
            common: Common::default(),
            going: None,
            totals: &[],
            weight_of_shard: 1.0,
            node: 0,
        }
    }

    /// A pass that computes what inference does, after which backward gives the gradient with respect to the input; there
    /// are no gradients of parameters.
    pub fn differentiable(params: &'a Params<T>) -> Self {
        Pass { differentiable: true, ..Pass::inference(params) }
    }

    /// The same, where backward adds to gradients of the parameters too; they have the layout of the parameters.
    pub fn with_gradients(self, gradients: &'a mut [T]) -> Self {
        Pass { gradients, ..self }
    }

    /// Whether backward may follow, so that forward has to keep what that needs.
    #[inline]
    pub fn needs_backward(&self) -> bool {
        self.training || self.differentiable
    }

    /// A pass for training; `gradients` has the layout of the parameters. Random draws follow from the seed, the step (the
    /// number of batches before) and the row's number in the batch, which starts at `first_row`.
    pub fn training(params: &'a Params<T>, gradients: &'a mut [T], seed: u64, step: u64, first_row: u64) -> Self {
        Pass { gradients, training: true, seed, step, first_row, ..Pass::inference(params) }
    }

    /// The same, where gradients of parameters that are not yet marked hold leftovers, which the first to write replaces.
    pub(crate) fn replacing(self, written: &'a mut Written) -> Self {
        Pass { written: Some(written), ..self }
    }

    /// The same, with a place for new statistics; without one they are not kept.
    pub fn with_statistics(self, statistics: &'a mut Statistics<T>) -> Self {
        Pass { statistics: Some(statistics), ..self }
    }

    /// The same for a shard, with what is known of all of them, where its gradients will weigh this much.
    pub(crate) fn with_totals(self, totals: &'a [Total], weight_of_shard: f64) -> Self {
        Pass { totals, weight_of_shard, ..self }
    }

    /// Exchanges what is known of all shards, and the number of the node that computes, with those of a net within this one or around it.
    pub(crate) fn exchange_totals(&mut self, of: &mut (&'a [Total], usize)) {
        std::mem::swap(&mut self.totals, &mut of.0);
        std::mem::swap(&mut self.node, &mut of.1);
    }

    /// What all shards come to at the node that computes, where it takes statistics over them.
    pub(crate) fn total(&self) -> Option<&'a Total> {
        self.totals.iter().find(|total| total.node == self.node)
    }

    /// The same, where the first step of each sample stands at this position: what was before it has been computed by passes before, as a
    /// decoder does that goes on. What goes by position counts from it; the size of the context is checked by
    /// [`Net::forward`](crate::graph::Net::forward).
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let params = gradus::Params::<f32>::new();
    /// assert_eq!(Pass::inference(&params).position(), 0);
    /// assert_eq!(Pass::inference(&params).with_position(7).position(), 7);
    /// ```
    pub fn with_position(self, position: usize) -> Self {
        Pass { position, ..self }
    }

    /// The position of the first step of each sample, 0 unless [`with_position`](Self::with_position) says otherwise.
    #[inline]
    pub fn position(&self) -> usize {
        self.position
    }

    /// The position of the first step of a sample, which differs between those of a pass that goes on from a [cache](crate::Cache).
    #[inline]
    pub fn position_of(&self, sample: usize) -> usize {
        match &self.going {
            Some(going) => going.cache.steps(going.rows[sample] as usize),
            None => self.position,
        }
    }

    /// Whether it goes on from steps that a cache keeps.
    pub(crate) fn goes_on(&self) -> bool {
        self.going.is_some()
    }

    /// Whether the node that computes has its encoder's steps in the cache already.
    pub(crate) fn has_source(&self) -> bool {
        self.going.as_ref().is_some_and(|going| !going.with_source && going.cache.entries[going.node].is_source())
    }

    /// Adds the keys and values of a pass that goes on to what the node that computes keeps, where inputs `masked_as` say which count; and hands that
    /// over, to be [put back](Self::put_back).
    pub(crate) fn keep(&mut self, steps: [&[T]; 2], masked_as: [usize; 2]) -> Option<Entry<T>> {
        let Going { cache, rows, with_source, node } = self.going.as_mut()?;
        let mut entry = std::mem::take(&mut cache.entries[*node]);
        if *with_source || !entry.is_source() {
            let masks = masked_as.map(|input| self.masks.of(input));
            let of_a_row = steps.map(|steps| steps.len() / rows.len().max(1));
            let n = of_a_row[0] / entry.widths[0].max(1);
            for (i, &row) in rows.iter().enumerate() {
                let own = [0, 1].map(|k| &steps[k][i * of_a_row[k]..][..of_a_row[k]]);
                let at = if entry.is_source() { 0 } else { cache.steps(row as usize) };
                let seen = |step: usize| masks.iter().all(|mask| mask.is_none_or(|mask| mask[i * n + step]));
                entry.write(row as usize, at, own, seen);
            }
        }
        Some(entry)
    }

    /// Gives back what [`keep`](Self::keep) handed over.
    pub(crate) fn put_back(&mut self, entry: Option<Entry<T>>) {
        if let (Some(going), Some(entry)) = (&mut self.going, entry) {
            going.cache.entries[going.node] = entry;
        }
    }

    /// Of a sample whose keys are kept, over so many steps: its row, the position of its first step, and how many keys there are.
    pub(crate) fn kept(&self, entry: &Entry<T>, sample: usize, steps: usize) -> [usize; 3] {
        let Some(going) = &self.going else { return [sample, 0, steps] };
        let row = going.rows[sample] as usize;
        let [position, keys] = going.cache.of_row(entry, row, steps);
        [row, position, keys]
    }

    /// Cosines and sines of positions times these frequencies for every step of a batch: of the positions that are given, one for each
    /// step, else of those from [`position`](Self::position) on, the same in all samples of so many steps.
    pub(crate) fn angles<'p>(
        &'p mut self,
        frequencies: Frequencies,
        steps: usize,
        given: Option<&'p [T]>,
    ) -> Angles<'p, T> {
        match given {
            Some(positions) => self.common.angles.given(frequencies, positions),
            None if self.going.is_some() => {
                let positions = self.going.as_ref().map_or(&[][..], |going| going.cache.positions());
                self.common.angles.given(frequencies, positions)
            }
            None => self.common.angles.stretch(frequencies, self.position, steps),
        }
    }

    /// Where a layer writes the new values of statistics (all of them, for the parameters that [`Builder::state`](crate::Builder::state) registered);
    /// they take their place after the step. Empty where they are not wanted.
    pub fn statistics(&mut self, id: ParamId) -> &mut [T] {
        self.statistics.as_mut().map_or(&mut [], |s| s.get_mut(id))
    }

    /// Whether the layer of a parameter was frozen, so that its statistics stay too.
    pub fn frozen(&self, id: ParamId) -> bool {
        self.params.spec(id).is_some_and(|spec| spec.frozen)
    }

    /// Adds to the loss of the batch; `backward` adds the gradient of it to dy. A sum over samples is to be divided by their
    /// number.
    pub fn add_penalty(&mut self, penalty: f64) {
        self.penalty += penalty;
    }

    /// What layers have added to the loss so far.
    pub fn penalty(&self) -> f64 {
        self.penalty
    }

    /// The mask of the layer's input, where that has one: which steps count, sample after sample.
    #[inline]
    pub fn mask(&self) -> Option<&[bool]> {
        self.masks.of(0)
    }

    /// [`mask`](Self::mask) of one of an operation's inputs.
    #[inline]
    pub fn mask_of(&self, input: usize) -> Option<&[bool]> {
        self.masks.of(input)
    }

    /// Forgets what layers have added since there was this much of it.
    pub(crate) fn reset_penalty(&mut self, penalty: f64) {
        self.penalty = penalty;
    }

    /// All parameters.
    pub(crate) fn params(&self) -> &'a Params<T> {
        self.params
    }

    /// The values of a parameter.
    #[inline]
    pub fn weight(&self, id: ParamId) -> &'a [T] {
        self.params.get(id)
    }

    /// The values of a parameter as a matrix, with the numbers of its rows (all axes but the last) and columns.
    #[inline]
    pub(crate) fn matrix(&self, id: ParamId) -> ([usize; 2], &'a [T]) {
        let sizes = self.params.spec(id).map_or([0; 2], |spec| [spec.shape.rows(), spec.shape.last()]);
        (sizes, self.weight(id))
    }

    /// A parameter that is stored in panels; its values are not there as numbers.
    #[inline]
    pub(crate) fn packed(&self, id: ParamId) -> Option<&'a Packed> {
        self.params.spec(id)?.packed.as_deref()
    }

    /// Whether the gradient of a parameter is wanted.
    pub fn wants(&self, id: ParamId) -> bool {
        !self.gradients.is_empty() && self.params.spec(id).is_some_and(|spec| spec.trainable)
    }

    /// The gradient of a parameter, to be added to; empty where none is wanted.
    ///
    /// A layer names the parameters alone that its own `build` has registered or [reused](crate::Builder::reuse): a run over several ranks takes the
    /// gradient of a parameter for complete, and sends it off, once no node is left before that has it. What is added to another's then is lost.
    ///
    /// # Panics
    /// In such a run it may, for a parameter whose gradient has been sent off.
    #[inline]
    pub fn gradient(&mut self, id: ParamId) -> &mut [T] {
        let (gradient, beta) = self.gradient_with_beta(id);
        if beta == T::zero() {
            gradient.fill(T::zero());
        }
        gradient
    }

    /// The gradient of a parameter, and β: 1 where it is to be added to, 0 where what it holds is left over from before and to be
    /// overwritten, which saves reading it (the β of C = A·B + β·C). Empty where none is wanted. For the layer's own parameters alone, as
    /// [`gradient`](Self::gradient) has it.
    ///
    /// ```
    /// # use gradus::prelude::*;
    /// fn add_gradient(pass: &mut Pass<'_>, id: ParamId, dw: &[f32]) {
    ///     let (gradient, beta) = pass.gradient_with_beta(id);
    ///     gradient.iter_mut().zip(dw).for_each(|(g, d)| *g = if beta == 0.0 { *d } else { *g + *d });
    /// }
    /// ```
    #[inline]
    pub fn gradient_with_beta(&mut self, id: ParamId) -> (&mut [T], T) {
        let Some(spec) = self.params.spec(id).filter(|spec| spec.trainable && !self.gradients.is_empty()) else {
            return (&mut [], T::one());
        };
        let held = self.written.as_deref_mut().is_none_or(|written| written.write(id));
        (&mut self.gradients[spec.range.clone()], if held { T::one() } else { T::zero() })
    }

    /// The gradient of a parameter of which a layer adds to these rows alone, each named once and in ascending order.
    pub(crate) fn gradient_of_rows(&mut self, id: ParamId, rows: &[u32]) -> &mut [T] {
        let Some(spec) = self.params.spec(id).filter(|spec| spec.trainable && !self.gradients.is_empty()) else {
            return &mut [];
        };
        let gradient = &mut self.gradients[spec.range.clone()];
        if self.written.as_deref_mut().is_some_and(|written| !written.write_rows(id, rows)) {
            gradient.fill(T::zero());
        }
        gradient
    }

    /// Adds the gradients of the penalties on weights.
    pub(crate) fn regularize(&mut self) {
        let params = self.params;
        for (i, spec) in params.specs().iter().enumerate() {
            if let (Some(regularizer), true) = (spec.regularizer, spec.trainable) {
                let id = ParamId(i as u32);
                regularizer.add_gradient(spec.shape, params.get(id), 1.0, self.gradient(id));
            }
        }
    }

    /// The key of a layer's random draws in this pass for one row of the batch.
    pub fn key(&self, stream: u64, row: usize) -> Key {
        Key::new(self.seed, Purpose::Layer).with(stream).with(self.step).with(self.first_row + row as u64)
    }
}

/// What the layers of a net share, from pass to pass.
#[derive(Debug, Default)]
pub(crate) struct Common<T> {
    /// Angles of positions.
    pub angles: AngleTables<T>,
    /// Room for what adapters compute on the way; it grows with the first pass.
    pub thin: Thin<T>,
}

/// What adapters compute on the way. On the way back x·A is computed once more.
#[derive(Debug, Default)]
pub(crate) struct Thin<T> {
    /// d(x), where d is dropout, and the gradient with respect to it.
    pub wide: Vec<T>,
    /// scale · d(x)·A, rows of the rank.
    pub code: Vec<T>,
    /// The gradient with respect to d(x)·A.
    pub back: Vec<T>,
}

/// New values of statistics: written by layers during a pass, put in their places after the step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics<T = f32> {
    values: Vec<T>,
    /// Where each parameter's values begin; empty ranges for those that are no statistics.
    starts: Vec<usize>,
    written: Vec<bool>,
}

impl<T: Float> Statistics<T> {
    /// Room for the statistics among these parameters.
    pub fn new(params: &Params<T>) -> Self {
        let mut starts = vec![0];
        for spec in params.specs() {
            let len = if spec.state { spec.range.len() } else { 0 };
            starts.push(starts.last().copied().unwrap_or(0) + len);
        }
        let values = vec![T::zero(); starts.last().copied().unwrap_or(0)];
        Statistics { values, written: vec![false; params.specs().len()], starts }
    }

    /// Where the new values of a parameter go; empty if it is no statistic.
    pub fn get_mut(&mut self, id: ParamId) -> &mut [T] {
        let i = id.0 as usize;
        if let Some(written) = self.written.get_mut(i) {
            *written = true;
        }
        match self.starts.get(i..i + 2) {
            Some(&[start, end]) => &mut self.values[start..end],
            _ => &mut [],
        }
    }

    /// Puts what was written in its place, and forgets it.
    pub fn apply(&mut self, params: &mut Params<T>) {
        for (i, written) in self.written.iter_mut().enumerate() {
            let new = &self.values[self.starts[i]..self.starts[i + 1]];
            if std::mem::take(written) && !new.is_empty() {
                params.get_mut(ParamId(i as u32)).copy_from_slice(new);
            }
        }
    }

    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.written.fill(false);
    }

    /// All values, and which parameters' were written.
    pub(crate) fn parts_mut(&mut self) -> (&mut [T], &mut [bool]) {
        (&mut self.values, &mut self.written)
    }
}
